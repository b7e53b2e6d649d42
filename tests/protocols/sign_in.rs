//! Claim, compare, consume: what three clients, some of them wrong, can do to one code.

use domain::Timestamp;
use domain::challenge::{Challenge, ChallengeRecord, Claim, ClaimRefusal, Consumed, IdempotencyDigest, Purpose};
use domain::code::CodeKeyVersion;
use domain::ids::{ChallengeId, SessionId, UserId};
use domain::limits::Limits;
use domain::phone::PhoneNumber;
use stateright::{Model, Property};

use crate::explore;

const START: Timestamp = Timestamp::from_seconds(1_000_000);
const CLIENTS: usize = 3;

/// How one client goes about it.
#[derive(Clone, Copy)]
struct Client {
    has_right_code: bool,
    /// The id it shows, of those that sends told; or none.
    shows: Option<u8>,
    /// Which idempotency key it sends.
    key: Option<u8>,
}

/// How far one client has come.
#[derive(Clone, Debug, Hash, PartialEq)]
enum Progress {
    /// About to claim.
    Begins,
    /// Its claim met this record, and will be written if nothing has changed since.
    Met(ChallengeRecord),
    /// Its try is counted, and handed it this record; now it compares.
    Granted(ChallengeRecord),
    /// The code was right and not used before; now it consumes.
    Matched(ChallengeRecord),
    /// Its sign-in is written; now it answers.
    Written(SessionId),
    SignedIn(SessionId),
    Refused,
}

#[derive(Clone, Debug, Hash, PartialEq)]
struct State {
    record: ChallengeRecord,
    /// Sessions, each with the challenge that opened it and the client that did.
    opened: Vec<(SessionId, ChallengeId, usize)>,
    clients: Vec<Progress>,
    crashes_left: u8,
    /// How often each has begun.
    tries: [u8; CLIENTS],
    /// Comparisons with the first challenge's code: without an id, with the first, with the one that a resend told.
    compared: [u32; 3],
    now: Timestamp,
    sends_left: u8,
}

#[derive(Clone, Debug, Hash, PartialEq)]
enum Action {
    /// One conditional write that grants or refuses at once.
    ClaimAtOnce(usize),
    /// The write's condition failed, and handed the record back.
    Meet(usize),
    /// The second write, which holds the record to what was met.
    WriteClaim(usize),
    Compare(usize),
    Consume(usize),
    Answer(usize),
    /// The function dies, or its answer is lost; the client tries again from the start.
    Crash(usize),
    Wait(u32),
    /// A new code goes out where the old one is of no more use.
    Send,
}

struct SignIn {
    clients: [Client; CLIENTS],
    limits: Limits,
    crashes: u8,
}

/// The moments at which something can happen: the last second in which a retry is answered, the first in which it is
/// not, and the end of the code.
const MOMENTS: [u32; 4] = [0, 59, 60, 600];

/// The ids of the first challenge: that of the first send, and that of a resend.
const FIRST: u8 = 1;
const TOLD_AGAIN: u8 = 2;

fn challenge(n: u8) -> ChallengeId {
    ChallengeId::from_random([n; 16])
}

fn phone() -> PhoneNumber {
    PhoneNumber::from_e164("+9779841234567").unwrap()
}

impl SignIn {
    fn new(clients: [Client; CLIENTS]) -> Self {
        let limits = Limits { code_attempts: 2, ..Limits::default() };
        Self { clients, limits, crashes: 1 }
    }

    fn claim(&self, client: usize, now: Timestamp) -> Claim {
        let Client { shows, key, .. } = self.clients[client];
        Claim {
            purpose: Purpose::SignIn,
            phone: phone(),
            challenge_id: shows.map(challenge),
            idempotency: key.map(|key| IdempotencyDigest::new(key.to_string())),
            now,
        }
    }

    /// Whether the client's code, that of the first challenge, is the code of the record it was granted.
    fn is_right(&self, client: usize, granted: &ChallengeRecord) -> bool {
        self.clients[client].has_right_code && granted.challenge.id == challenge(1)
    }

    fn resumed(&self, client: usize, consumed: &Consumed, now: Timestamp) -> Progress {
        match &consumed.session {
            Some(session) if consumed.may_be_replayed_by(&self.claim(client, now)) => {
                Progress::Written(session.clone())
            }
            _ => Progress::Refused,
        }
    }
}

/// The sessions that anybody was told of.
fn told(state: &State) -> impl Iterator<Item = (usize, &SessionId)> {
    state.clients.iter().enumerate().filter_map(|(client, progress)| match progress {
        Progress::SignedIn(session) => Some((client, session)),
        _ => None,
    })
}

impl Model for SignIn {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut first = Challenge::new(challenge(1), CodeKeyVersion::new("1"), START, &self.limits);
        first.told.insert(challenge(TOLD_AGAIN), 0);
        let record =
            ChallengeRecord { phone: phone(), challenge: first, failures: 0, closed_until: Timestamp::default() };
        vec![State {
            record,
            opened: Vec::new(),
            clients: vec![Progress::Begins; CLIENTS],
            crashes_left: self.crashes,
            tries: [0; CLIENTS],
            compared: [0; 3],
            now: START,
            sends_left: 1,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (client, progress) in state.clients.iter().enumerate() {
            match progress {
                Progress::Begins => actions.extend([Action::ClaimAtOnce(client), Action::Meet(client)]),
                Progress::Met(_) => actions.push(Action::WriteClaim(client)),
                Progress::Granted(_) => actions.push(Action::Compare(client)),
                Progress::Matched(_) => actions.push(Action::Consume(client)),
                Progress::Written(_) => actions.push(Action::Answer(client)),
                Progress::SignedIn(_) | Progress::Refused => continue,
            }
            if state.crashes_left > 0 && *progress != Progress::Begins {
                actions.push(Action::Crash(client));
            }
        }
        let waited = START.seconds_until(state.now);
        actions.extend(MOMENTS.into_iter().find(|moment| *moment > waited).map(|moment| Action::Wait(moment - waited)));
        if state.sends_left > 0 && !state.record.challenge.is_live(state.now) {
            actions.push(Action::Send);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let now = state.now;
        match action {
            Action::ClaimAtOnce(client) => {
                state.clients[client] = match state.record.claim(&self.claim(client, now), &self.limits) {
                    Ok(next) => {
                        state.record = next.clone();
                        Progress::Granted(next)
                    }
                    Err(_) => Progress::Refused,
                };
            }
            Action::Meet(client) => state.clients[client] = Progress::Met(state.record.clone()),
            Action::WriteClaim(client) => {
                let Progress::Met(met) = &last.clients[client] else { return None };
                state.clients[client] = match met.claim(&self.claim(client, now), &self.limits) {
                    Err(_) => Progress::Refused,
                    Ok(next) if state.record == *met => {
                        state.record = next.clone();
                        Progress::Granted(next)
                    }
                    Ok(_) => Progress::Begins,
                };
            }
            Action::Compare(client) => {
                let Progress::Granted(granted) = &last.clients[client] else { return None };
                if granted.challenge.id == challenge(1) {
                    state.compared[usize::from(self.clients[client].shows.unwrap_or(0))] += 1;
                }
                state.clients[client] = match &granted.challenge.consumed {
                    _ if !self.is_right(client, granted) => Progress::Refused,
                    Some(consumed) => self.resumed(client, consumed, now),
                    None => Progress::Matched(granted.clone()),
                };
            }
            Action::Consume(client) => {
                let Progress::Matched(matched) = &last.clients[client] else { return None };
                let session = SessionId::from_random([u8::try_from(client).unwrap() * 16 + state.tries[client]; 16]);
                let consumed = Consumed {
                    at: now,
                    idempotency: self.claim(client, now).idempotency,
                    user: UserId::from_random([1; 16]),
                    session: Some(session.clone()),
                };
                let same_challenge = state.record.challenge.id == matched.challenge.id;
                state.clients[client] = match state.record.consume(consumed).filter(|_| same_challenge) {
                    Some(next) => {
                        state.opened.push((session.clone(), next.challenge.id.clone(), client));
                        state.record = next;
                        Progress::Written(session)
                    }
                    None => match &state.record.challenge.consumed {
                        Some(consumed) if same_challenge => self.resumed(client, consumed, now),
                        _ => Progress::Refused,
                    },
                };
            }
            Action::Answer(client) => {
                let Progress::Written(session) = &last.clients[client] else { return None };
                state.clients[client] = Progress::SignedIn(session.clone());
            }
            Action::Crash(client) => {
                state.crashes_left -= 1;
                state.tries[client] += 1;
                state.clients[client] = Progress::Begins;
            }
            Action::Wait(seconds) => state.now = now.plus(seconds),
            Action::Send => {
                state.sends_left -= 1;
                state.record.challenge = Challenge::new(challenge(3), CodeKeyVersion::new("1"), now, &self.limits);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a code opens at most one session", |_, state: &State| {
                let by = |id| state.opened.iter().filter(|(_, opener, _)| *opener == challenge(id)).count();
                by(1) <= 1 && by(3) <= 1
            }),
            Property::always("no more codes are compared than there are tries", |model: &Self, state: &State| {
                // A retry of the sign-in itself is compared beside them, with the right code.
                state.compared.iter().all(|compared| *compared <= model.limits.code_attempts)
            }),
            Property::always("a wrong code signs nobody in", |model, state: &State| {
                let opened = state.opened.iter().map(|(_, _, client)| *client);
                opened.chain(told(state).map(|(client, _)| client)).all(|client| model.clients[client].has_right_code)
            }),
            Property::always("everybody who is signed in has a session that was written", |_, state: &State| {
                told(state).all(|(_, session)| state.opened.iter().any(|(opened, ..)| opened == session))
            }),
            Property::always("one who sent another key, or none, gets no part in a sign-in", |model, state: &State| {
                told(state).all(|(client, session)| {
                    let opener = state.opened.iter().find(|(opened, ..)| opened == session).unwrap().2;
                    client == opener
                        || (model.clients[client].key.is_some()
                            && model.clients[client].key == model.clients[opener].key)
                })
            }),
            Property::always(
                "strangers cannot spend the tries of whoever shows the id that they were told",
                |model: &Self, state: &State| {
                    let owners = model.clients.iter().filter(|client| client.shows == Some(FIRST)).count();
                    let claim = model.claim(0, state.now);
                    owners > 1
                        || model.crashes > 0
                        || state.clients[0] != Progress::Begins
                        || !matches!(state.record.claim(&claim, &model.limits), Err(ClaimRefusal::Spent { .. }))
                },
            ),
            Property::sometimes("somebody signs in", |_, state: &State| told(state).next().is_some()),
        ]
    }
}

const fn right(key: Option<u8>) -> Client {
    Client { has_right_code: true, shows: Some(FIRST), key }
}

const fn wrong(shows: Option<u8>) -> Client {
    Client { has_right_code: false, shows, key: None }
}

#[test]
fn of_three_right_answers_one_signs_in() {
    explore("three right answers", SignIn::new([right(None), right(Some(1)), right(Some(2))]));
}

#[test]
fn one_request_sent_three_times_signs_in_once() {
    explore("one request, three times", SignIn::new([right(Some(1)), right(Some(1)), right(Some(1))]));
}

#[test]
fn wrong_answers_beside_a_right_one_are_counted_before_they_are_compared() {
    explore("two wrong, bound", SignIn::new([right(Some(1)), wrong(Some(FIRST)), wrong(Some(FIRST))]));
    explore("two wrong, unbound", SignIn::new([right(Some(1)), wrong(None), wrong(None)]));
}

#[test]
fn strangers_cannot_spend_the_tries_of_one_who_was_told_another_id_or_any() {
    for (what, shows) in [("without an id", None), ("told by a resend", Some(TOLD_AGAIN))] {
        let model = SignIn { crashes: 0, ..SignIn::new([right(None), wrong(shows), wrong(shows)]) };
        explore(&format!("two strangers {what}, beside the owner"), model);
    }
}
