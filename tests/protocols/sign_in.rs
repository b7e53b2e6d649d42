//! Sign-in by claim, compare and consume: three clients that submit the same code or wrong ones.

use domain::rules::challenge::{Challenge, ChallengeRecord, Claim, ClaimRefusal, Consumption, IdempotencyDigest};
use domain::rules::code_key::CodeKeyVersion;
use domain::rules::limits::Limits;
use domain::values::ids::{ChallengeId, SessionId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::time::Timestamp;
use stateright::{Model, Property};

use crate::explore;

const START: Timestamp = Timestamp::from_seconds(1_000_000);
const CLIENTS: usize = 3;

#[derive(Clone, Copy)]
struct Client {
    has_right_code: bool,
    /// The issued id that it sends, if any.
    id: Option<u8>,
    idempotency_key: Option<u8>,
}

#[derive(Clone, Debug, Hash, PartialEq)]
enum Progress {
    Begins,
    /// Read this record. Its claim is written if the record is still the same.
    Read(ChallengeRecord),
    /// Its attempt is counted, and it compares its code with this record.
    Granted(ChallengeRecord),
    /// Its code is right and was not consumed when it claimed.
    Matched(ChallengeRecord),
    /// Its sign-in is written, and the answer is not sent yet.
    Written(SessionId),
    SignedIn(SessionId),
    Refused,
}

#[derive(Clone, Debug, Hash, PartialEq)]
struct State {
    record: ChallengeRecord,
    /// Each session, with the challenge and the client that opened it.
    opened: Vec<(SessionId, ChallengeId, usize)>,
    clients: Vec<Progress>,
    crashes_left: u8,
    retries: [u8; CLIENTS],
    /// Comparisons with the first challenge's code: without an id, with the first id, with the resend's id.
    compared: [u32; 3],
    now: Timestamp,
    sends_left: u8,
}

#[derive(Clone, Debug, Hash, PartialEq)]
enum Action {
    /// The conditional write grants or refuses at once.
    ClaimAtOnce(usize),
    /// The condition fails and returns the record.
    Read(usize),
    /// The second write, on the condition that the record is the one that was read.
    WriteClaim(usize),
    Compare(usize),
    Consume(usize),
    Answer(usize),
    /// The function dies or its answer is lost, and the client starts again.
    Crash(usize),
    Wait(u32),
    /// A new challenge replaces one that is no longer live.
    Send,
}

struct SignIn {
    clients: [Client; CLIENTS],
    limits: Limits,
    crashes: u8,
}

/// Seconds after the start: the last in which a retry is answered, the first in which it is not, and the code's expiry.
const MOMENTS: [u32; 4] = [0, 59, 60, 600];

/// The issued ids of the first challenge.
const FIRST_ID: u8 = 1;
const RESEND_ID: u8 = 2;

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
        let Client { id, idempotency_key, .. } = self.clients[client];
        Claim {
            purpose: Purpose::SignIn,
            phone: phone(),
            challenge_id: id.map(challenge),
            idempotency: idempotency_key.map(|key| IdempotencyDigest::new(key.to_string())),
            now,
        }
    }

    /// A right code is the first challenge's, which is not right for a later challenge.
    fn is_right(&self, client: usize, granted: &ChallengeRecord) -> bool {
        self.clients[client].has_right_code && granted.challenge.id == challenge(1)
    }

    fn resumed(&self, client: usize, consumed: &Consumption, now: Timestamp) -> Progress {
        match &consumed.session {
            Some(session) if consumed.may_be_replayed_by(&self.claim(client, now)) => {
                Progress::Written(session.clone())
            }
            _ => Progress::Refused,
        }
    }
}

/// The clients that are signed in, with their sessions.
fn signed_in(state: &State) -> impl Iterator<Item = (usize, &SessionId)> {
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
        first.attempts_by_id.insert(challenge(RESEND_ID), 0);
        let record = ChallengeRecord {
            phone: phone(),
            challenge: first,
            consecutive_failures: 0,
            closed_until: Timestamp::default(),
        };
        vec![State {
            record,
            opened: Vec::new(),
            clients: vec![Progress::Begins; CLIENTS],
            crashes_left: self.crashes,
            retries: [0; CLIENTS],
            compared: [0; 3],
            now: START,
            sends_left: 1,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (client, progress) in state.clients.iter().enumerate() {
            match progress {
                Progress::Begins => actions.extend([Action::ClaimAtOnce(client), Action::Read(client)]),
                Progress::Read(_) => actions.push(Action::WriteClaim(client)),
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
            Action::Read(client) => state.clients[client] = Progress::Read(state.record.clone()),
            Action::WriteClaim(client) => {
                let Progress::Read(read) = &last.clients[client] else { return None };
                state.clients[client] = match read.claim(&self.claim(client, now), &self.limits) {
                    Err(_) => Progress::Refused,
                    Ok(next) if state.record == *read => {
                        state.record = next.clone();
                        Progress::Granted(next)
                    }
                    Ok(_) => Progress::Begins,
                };
            }
            Action::Compare(client) => {
                let Progress::Granted(granted) = &last.clients[client] else { return None };
                if granted.challenge.id == challenge(1) {
                    state.compared[usize::from(self.clients[client].id.unwrap_or(0))] += 1;
                }
                state.clients[client] = match &granted.challenge.consumption {
                    _ if !self.is_right(client, granted) => Progress::Refused,
                    Some(consumed) => self.resumed(client, consumed, now),
                    None => Progress::Matched(granted.clone()),
                };
            }
            Action::Consume(client) => {
                let Progress::Matched(matched) = &last.clients[client] else { return None };
                let session = SessionId::from_random([u8::try_from(client).unwrap() * 16 + state.retries[client]; 16]);
                let consumed = Consumption {
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
                    None => match &state.record.challenge.consumption {
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
                state.retries[client] += 1;
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
            Property::always("no more codes are compared than there are attempts", |model: &Self, state: &State| {
                // The retry of a sign-in is compared too, but with the right code.
                state.compared.iter().all(|compared| *compared <= model.limits.code_attempts)
            }),
            Property::always("a wrong code signs nobody in", |model, state: &State| {
                let opened = state.opened.iter().map(|(_, _, client)| *client);
                opened
                    .chain(signed_in(state).map(|(client, _)| client))
                    .all(|client| model.clients[client].has_right_code)
            }),
            Property::always("everybody who is signed in has a written session", |_, state: &State| {
                signed_in(state).all(|(_, session)| state.opened.iter().any(|(opened, ..)| opened == session))
            }),
            Property::always(
                "a client without the opener's idempotency key does not get its session",
                |model, state: &State| {
                    signed_in(state).all(|(client, session)| {
                        let opener = state.opened.iter().find(|(opened, ..)| opened == session).unwrap().2;
                        let key = |client: usize| model.clients[client].idempotency_key;
                        client == opener || (key(client).is_some() && key(client) == key(opener))
                    })
                },
            ),
            Property::always(
                "strangers without the first id cannot exhaust the attempts of a client that sends it",
                |model: &Self, state: &State| {
                    let owners = model.clients.iter().filter(|client| client.id == Some(FIRST_ID)).count();
                    let claim = model.claim(0, state.now);
                    owners > 1
                        || model.crashes > 0
                        || state.clients[0] != Progress::Begins
                        || !matches!(
                            state.record.claim(&claim, &model.limits),
                            Err(ClaimRefusal::AttemptsExhausted { .. })
                        )
                },
            ),
            Property::sometimes("somebody signs in", |_, state: &State| signed_in(state).next().is_some()),
        ]
    }
}

const fn right(idempotency_key: Option<u8>) -> Client {
    Client { has_right_code: true, id: Some(FIRST_ID), idempotency_key }
}

const fn wrong(id: Option<u8>) -> Client {
    Client { has_right_code: false, id, idempotency_key: None }
}

#[test]
fn one_of_three_right_codes_signs_in() {
    explore("three right codes", SignIn::new([right(None), right(Some(1)), right(Some(2))]));
}

#[test]
fn one_request_sent_three_times_signs_in_once() {
    explore("one request, three times", SignIn::new([right(Some(1)), right(Some(1)), right(Some(1))]));
}

#[test]
fn wrong_codes_beside_a_right_one_are_counted_before_they_are_compared() {
    explore("two wrong codes with the id", SignIn::new([right(Some(1)), wrong(Some(FIRST_ID)), wrong(Some(FIRST_ID))]));
    explore("two wrong codes without an id", SignIn::new([right(Some(1)), wrong(None), wrong(None)]));
}

#[test]
fn strangers_without_the_first_id_cannot_exhaust_its_attempts() {
    for (what, id) in [("without an id", None), ("with a resend's id", Some(RESEND_ID))] {
        let model = SignIn { crashes: 0, ..SignIn::new([right(None), wrong(id), wrong(id)]) };
        explore(&format!("two strangers {what} beside the owner"), model);
    }
}
