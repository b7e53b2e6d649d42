//! Rotation and its grace: what three holders of one refresh token can do to its session.

use domain::Timestamp;
use domain::ids::{SessionId, UserId};
use domain::limits::Limits;
use domain::session::{ROTATION_GRACE_SECONDS, Rotation, Session};
use stateright::{Model, Property};

use crate::explore;

const START: Timestamp = Timestamp::from_seconds(1_000_000);
const CLIENTS: usize = 3;

#[derive(Clone, Debug, Hash, PartialEq)]
enum Progress {
    /// Holds a token, and may present it.
    Holds(u64),
    /// Presented that token and met the session, which will be rotated if nothing has changed since.
    Met(u64, Option<Session>),
    /// The session is rotated, or was found so; the answer is on its way.
    Answering(u64, Session),
    /// It was found to be a copy: the session is about to be ended.
    Ending,
    SignedOut,
}

#[derive(Clone, Debug, Hash, PartialEq)]
struct State {
    session: Option<Session>,
    clients: Vec<Progress>,
    /// How often each may still present its token, and how often an answer to it may still be lost.
    refreshes_left: [u8; CLIENTS],
    crashes_left: u8,
    waits_left: u8,
    now: Timestamp,
    /// Which counters were made by a rotation, and how often.
    made: Vec<u64>,
    /// Whether a token was ever found to be a copy.
    is_reuse_seen: bool,
    /// Whether tokens were given after the session had ended.
    is_given_after_end: bool,
}

#[derive(Clone, Debug, Hash, PartialEq)]
enum Action {
    /// One conditional write, or what it met.
    Rotate(usize),
    Meet(usize),
    Write(usize),
    Answer(usize),
    End(usize),
    /// The function dies or the answer is lost: the client still holds what it held.
    Crash(usize),
    Wait(u32),
}

struct Refresh {
    refreshes: [u8; CLIENTS],
    crashes: u8,
    waits: u8,
    /// Whether the holders refresh once each, at about the same time: then nobody may be signed out.
    is_one_device: bool,
    limits: Limits,
}

impl Refresh {
    /// What a client does next, given what became of its token; the session as it is then.
    fn settle(&self, state: &mut State, client: usize, presented: u64, rotation: Rotation) {
        state.clients[client] = match rotation {
            Rotation::Rotated(next) => {
                state.made.push(next.counter);
                state.session = Some(next.clone());
                Progress::Answering(presented, next)
            }
            Rotation::Repeated(session) => Progress::Answering(presented, session),
            Rotation::Reused => {
                state.is_reuse_seen = true;
                Progress::Ending
            }
            Rotation::Expired | Rotation::Revoked => Progress::SignedOut,
        };
    }

    fn rotation(&self, session: Option<&Session>, presented: u64, now: Timestamp) -> Rotation {
        session.map_or(Rotation::Revoked, |session| session.rotate(presented, now, &self.limits))
    }
}

impl Model for Refresh {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let (user, id) = (UserId::from_random([1; 16]), SessionId::from_random([2; 16]));
        vec![State {
            session: Some(Session::open(user, id, None, None, START, &self.limits)),
            clients: vec![Progress::Holds(1); CLIENTS],
            refreshes_left: self.refreshes,
            crashes_left: self.crashes,
            waits_left: self.waits,
            now: START,
            made: Vec::new(),
            is_reuse_seen: false,
            is_given_after_end: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (client, progress) in state.clients.iter().enumerate() {
            match progress {
                Progress::Holds(_) if state.refreshes_left[client] > 0 => {
                    actions.extend([Action::Rotate(client), Action::Meet(client)]);
                }
                Progress::Met(..) => actions.push(Action::Write(client)),
                Progress::Answering(..) => actions.push(Action::Answer(client)),
                Progress::Ending => actions.push(Action::End(client)),
                Progress::Holds(_) | Progress::SignedOut => continue,
            }
            if state.crashes_left > 0 && matches!(progress, Progress::Met(..) | Progress::Answering(..)) {
                actions.push(Action::Crash(client));
            }
        }
        if state.waits_left > 0 {
            actions.extend([Action::Wait(ROTATION_GRACE_SECONDS - 1), Action::Wait(ROTATION_GRACE_SECONDS)]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Rotate(client) => {
                let Progress::Holds(token) = last.clients[client] else { return None };
                state.refreshes_left[client] -= 1;
                let rotation = self.rotation(last.session.as_ref(), token, last.now);
                self.settle(&mut state, client, token, rotation);
            }
            Action::Meet(client) => {
                let Progress::Holds(token) = last.clients[client] else { return None };
                state.refreshes_left[client] -= 1;
                state.clients[client] = Progress::Met(token, last.session.clone());
            }
            Action::Write(client) => {
                let Progress::Met(token, met) = &last.clients[client] else { return None };
                let rotation = self.rotation(met.as_ref(), *token, last.now);
                if matches!(rotation, Rotation::Rotated(_)) && last.session != *met {
                    state.clients[client] = Progress::Met(*token, last.session.clone());
                } else {
                    self.settle(&mut state, client, *token, rotation);
                }
            }
            Action::Answer(client) => {
                let Progress::Answering(_, session) = &last.clients[client] else { return None };
                state.clients[client] = Progress::Holds(session.counter);
            }
            Action::End(client) => {
                state.session = None;
                state.clients[client] = Progress::SignedOut;
            }
            Action::Crash(client) => {
                let (Progress::Met(token, _) | Progress::Answering(token, _)) = last.clients[client] else {
                    return None;
                };
                state.crashes_left -= 1;
                state.refreshes_left[client] += 1;
                state.clients[client] = Progress::Holds(token);
            }
            Action::Wait(seconds) => {
                state.waits_left -= 1;
                state.now = last.now.plus(seconds);
            }
        }
        let began = |client: usize| {
            !matches!(last.clients[client], Progress::Answering(..))
                && matches!(state.clients[client], Progress::Answering(..))
        };
        state.is_given_after_end |= last.session.is_none() && (0..CLIENTS).any(began) && !met_before_the_end(last);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("each counter is made by one rotation", |_, state: &State| {
                state.made.iter().all(|counter| state.made.iter().filter(|made| *made == counter).count() == 1)
            }),
            Property::always("nobody is given what is yet to come", |_, state: &State| {
                let latest = state.made.iter().copied().max().unwrap_or(1);
                state.clients.iter().all(|client| !matches!(client, Progress::Holds(token) if *token > latest))
            }),
            Property::always("an ended session gives no tokens", |_, state: &State| !state.is_given_after_end),
            Property::always("one device's simultaneous refreshes sign nobody out", |model: &Self, state: &State| {
                !model.is_one_device || (!state.is_reuse_seen && state.session.is_some())
            }),
            Property::sometimes("a copy is found out", |model: &Self, state: &State| {
                model.is_one_device || (state.is_reuse_seen && state.session.is_none())
            }),
        ]
    }
}

/// Whether someone looked at the session while it was there, and has yet to write.
fn met_before_the_end(state: &State) -> bool {
    state.clients.iter().any(|client| matches!(client, Progress::Met(_, Some(_))))
}

#[test]
fn refreshes_of_one_device_at_one_time_sign_nobody_out_whatever_is_lost() {
    let limits = Limits::default();
    let model = Refresh { refreshes: [1; CLIENTS], crashes: 3, waits: 0, is_one_device: true, limits };
    explore("three refreshes at once", model);
}

#[test]
fn a_copied_token_is_found_out_and_an_ended_session_gives_nothing() {
    let limits = Limits::default();
    let model = Refresh { refreshes: [3, 2, 1], crashes: 1, waits: 2, is_one_device: false, limits };
    explore("a copied refresh token", model);
}
