//! Rotation and its grace period: three clients that hold the same refresh token.

use domain::rules::limits::Limits;
use domain::rules::session::{Device, PresentedRefreshToken, Rotation, Session};
use domain::values::ids::{SessionId, UserId};
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use stateright::{Model, Property};

use crate::explore;

const START: Timestamp = Timestamp::from_seconds(1_000_000);
const CLIENTS: usize = 3;

#[derive(Clone, Debug, Hash, PartialEq)]
enum Progress {
    /// Holds the token with this counter.
    Holds(u64),
    /// Presented this token and read the session. The rotation is written if the session is still the same.
    Read(u64, Option<Session>),
    /// The session is rotated, now or before, and the answer is not sent yet.
    Answering(u64, Session),
    /// The token was reused. The session is not ended yet.
    Ending,
    SignedOut,
}

#[derive(Clone, Debug, Hash, PartialEq)]
struct State {
    session: Option<Session>,
    clients: Vec<Progress>,
    /// How often each client may still present its token.
    refreshes_left: [u8; CLIENTS],
    crashes_left: u8,
    waits_left: u8,
    now: Timestamp,
    /// The counter of each rotation.
    rotated_to: Vec<u64>,
    is_reuse_seen: bool,
    are_tokens_issued_after_end: bool,
}

#[derive(Clone, Debug, Hash, PartialEq)]
enum Action {
    /// The conditional write succeeds at once.
    Rotate(usize),
    /// The condition fails and returns the session.
    Read(usize),
    /// The second write, on the condition that the session is the one that was read.
    Write(usize),
    Answer(usize),
    End(usize),
    /// The function dies or its answer is lost, and the client keeps its token.
    Crash(usize),
    Wait(u32),
}

struct Refresh {
    refreshes: [u8; CLIENTS],
    crashes: u8,
    waits: u8,
    /// The clients are one device that refreshes three times at once. Nothing may sign it out.
    is_one_device: bool,
    /// The key that the session is bound to.
    device_key: Option<KeyThumbprint>,
    limits: Limits,
}

impl Refresh {
    fn settle(&self, state: &mut State, client: usize, presented: u64, rotation: Rotation) {
        state.clients[client] = match rotation {
            Rotation::Rotated(next) => {
                state.rotated_to.push(next.counter);
                state.session = Some(next.clone());
                Progress::Answering(presented, next)
            }
            Rotation::Replayed(session) => Progress::Answering(presented, session),
            Rotation::Reused => {
                state.is_reuse_seen = true;
                Progress::Ending
            }
            Rotation::Expired | Rotation::Revoked => Progress::SignedOut,
        };
    }

    fn rotation(&self, session: Option<&Session>, presented: u64, now: Timestamp) -> Rotation {
        session.map_or(Rotation::Revoked, |session| {
            let token = PresentedRefreshToken {
                user: session.user.clone(),
                session: session.id.clone(),
                organization: session.organization.clone(),
                counter: presented,
                device_key: self.device_key.clone(),
            };
            session.rotate(&token, now, &self.limits)
        })
    }
}

impl Model for Refresh {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let (user, id) = (UserId::from_random([1; 16]), SessionId::from_random([2; 16]));
        let organization = OrganizationId::parse("default").unwrap();
        let device = Device { key: self.device_key.clone(), ..Device::default() };
        vec![State {
            session: Some(Session::open(user, id, organization, device, START, &self.limits)),
            clients: vec![Progress::Holds(1); CLIENTS],
            refreshes_left: self.refreshes,
            crashes_left: self.crashes,
            waits_left: self.waits,
            now: START,
            rotated_to: Vec::new(),
            is_reuse_seen: false,
            are_tokens_issued_after_end: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (client, progress) in state.clients.iter().enumerate() {
            match progress {
                Progress::Holds(_) if state.refreshes_left[client] > 0 => {
                    actions.extend([Action::Rotate(client), Action::Read(client)]);
                }
                Progress::Read(..) => actions.push(Action::Write(client)),
                Progress::Answering(..) => actions.push(Action::Answer(client)),
                Progress::Ending => actions.push(Action::End(client)),
                Progress::Holds(_) | Progress::SignedOut => continue,
            }
            if state.crashes_left > 0 && matches!(progress, Progress::Read(..) | Progress::Answering(..)) {
                actions.push(Action::Crash(client));
            }
        }
        if state.waits_left > 0 {
            let grace = self.limits.refresh_grace_seconds;
            actions.extend([Action::Wait(grace - 1), Action::Wait(grace)]);
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
            Action::Read(client) => {
                let Progress::Holds(token) = last.clients[client] else { return None };
                state.refreshes_left[client] -= 1;
                state.clients[client] = Progress::Read(token, last.session.clone());
            }
            Action::Write(client) => {
                let Progress::Read(token, read) = &last.clients[client] else { return None };
                let rotation = self.rotation(read.as_ref(), *token, last.now);
                if matches!(rotation, Rotation::Rotated(_)) && last.session != *read {
                    state.clients[client] = Progress::Read(*token, last.session.clone());
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
                let (Progress::Read(token, _) | Progress::Answering(token, _)) = last.clients[client] else {
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
        state.are_tokens_issued_after_end |=
            last.session.is_none() && (0..CLIENTS).any(began) && !is_read_before_the_end(last);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two rotations lead to the same counter", |_, state: &State| {
                state
                    .rotated_to
                    .iter()
                    .all(|counter| state.rotated_to.iter().filter(|other| *other == counter).count() == 1)
            }),
            Property::always("nobody holds a token newer than the newest rotation", |_, state: &State| {
                let latest = state.rotated_to.iter().copied().max().unwrap_or(1);
                state.clients.iter().all(|client| !matches!(client, Progress::Holds(token) if *token > latest))
            }),
            Property::always("an ended session issues no tokens", |_, state: &State| {
                !state.are_tokens_issued_after_end
            }),
            Property::always("one device's simultaneous refreshes sign nobody out", |model: &Self, state: &State| {
                !model.is_one_device || (!state.is_reuse_seen && state.session.is_some())
            }),
            Property::sometimes("a reused token is detected", |model: &Self, state: &State| {
                model.is_one_device || (state.is_reuse_seen && state.session.is_none())
            }),
        ]
    }
}

/// Whether a client read the session before its end and still has to write.
fn is_read_before_the_end(state: &State) -> bool {
    state.clients.iter().any(|client| matches!(client, Progress::Read(_, Some(_))))
}

#[test]
fn simultaneous_refreshes_of_one_device_sign_nobody_out_even_if_answers_are_lost() {
    let limits = Limits::default();
    let (refreshes, device_key) = ([1; CLIENTS], None);
    let model = Refresh { refreshes, crashes: 3, waits: 0, is_one_device: true, device_key, limits };
    explore("three refreshes at once", model);
}

#[test]
fn a_bound_device_that_loses_answers_is_not_signed_out_however_late_it_asks_again() {
    let limits = Limits::default();
    let (refreshes, device_key) = ([1; CLIENTS], Some("a".repeat(43).parse().unwrap()));
    let model = Refresh { refreshes, crashes: 3, waits: 2, is_one_device: true, device_key, limits };
    explore("three refreshes of a bound session over a minute", model);
}

#[test]
fn a_copied_refresh_token_is_detected_and_an_ended_session_issues_no_tokens() {
    let limits = Limits::default();
    for device_key in [None, Some("a".repeat(43).parse().unwrap())] {
        let (refreshes, limits) = ([3, 2, 1], limits.clone());
        let model = Refresh { refreshes, crashes: 1, waits: 2, is_one_device: false, device_key, limits };
        explore("a copied refresh token", model);
    }
}
