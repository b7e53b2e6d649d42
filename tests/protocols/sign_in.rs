//! Sign-in by claim, compare and consume: clients that submit right codes or wrong ones to one of two organizations, and
//! strangers who never stop guessing.

use domain::rules::challenge::{Challenge, ChallengeRecord, Claim, Consumption, GuessLane, IdempotencyDigest};
use domain::rules::code_key::CodeKeyVersion;
use domain::rules::failures::Failures;
use domain::rules::limits::Limits;
use domain::values::ids::{ChallengeId, SessionId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::source_address::SourceAddress;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use stateright::{Model, Property};

use crate::explore;

const START: Timestamp = Timestamp::from_seconds(1_000_000);
const CLIENTS: usize = 3;

#[derive(Clone, Copy)]
struct Client {
    /// The challenge whose code it types; none if it guesses wrong.
    code_of: Option<u8>,
    /// The organization that it signs in to.
    organization: usize,
    /// The issued id that it sends, if any.
    id: Option<u8>,
    idempotency_key: Option<u8>,
}

#[derive(Clone, Debug, Hash, PartialEq)]
enum Progress {
    Begins,
    /// Read this record. Its claim is written if the record is still the same.
    Read(ChallengeRecord),
    /// Its attempt is counted, and it compares its code with this challenge's.
    Granted(Challenge),
    /// Its code is right and was not consumed when it claimed.
    Matched(Challenge),
    /// Its sign-in is written, and the answer is not sent yet.
    Written(SessionId),
    SignedIn(SessionId),
    Refused,
}

#[derive(Clone, Debug, Hash, PartialEq)]
struct State {
    /// The phone's counts. The challenges are beside it, one for each organization.
    counts: ChallengeRecord,
    challenges: [Option<Challenge>; 2],
    /// Each session, with the challenge and the client that opened it.
    opened: Vec<(SessionId, ChallengeId, usize)>,
    clients: Vec<Progress>,
    crashes_left: u8,
    retries: [u8; CLIENTS],
    /// Comparisons with the code of the first challenge: without an id, and with each of its ids.
    compared: [u32; 4],
    now: Timestamp,
    sends_left: u8,
}

impl State {
    /// The record as the organization's sign-ins see it.
    fn record(&self, organization: usize) -> ChallengeRecord {
        ChallengeRecord { challenge: self.challenges[organization].clone(), ..self.counts.clone() }
    }

    fn write(&mut self, organization: usize, record: ChallengeRecord) {
        self.challenges[organization].clone_from(&record.challenge);
        self.counts = ChallengeRecord { challenge: None, ..record };
    }
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
    /// Somebody guesses wrong at the first organization, with this id or without one.
    Stranger(Option<u8>),
    /// A new challenge replaces one whose code no send repeats.
    Send,
}

struct SignIn {
    clients: Vec<Client>,
    /// The ids with which strangers guess for ever.
    strangers: &'static [Option<u8>],
    /// Wrong codes with ids before the first step.
    failures: u32,
    limits: Limits,
    crashes: u8,
    moments: &'static [u32],
}

/// Seconds after the start: the last in which a retry is answered, the first in which it is not, and the code's expiry.
const MOMENTS: &[u32] = &[0, 59, 60, 600];

/// The issued ids of the first organization's challenge.
const FIRST_ID: u8 = 1;
const RESEND_ID: u8 = 2;
const THIRD_ID: u8 = 3;
/// The second organization's challenge, and its only id.
const OTHER: u8 = 4;
/// The challenge of a later send.
const LATER: u8 = 5;

const FIRST_ORGANIZATION: usize = 0;
const SECOND_ORGANIZATION: usize = 1;

fn challenge(n: u8) -> ChallengeId {
    ChallengeId::from_random([n; 16])
}

fn phone() -> PhoneNumber {
    PhoneNumber::from_e164("+9779841234567").unwrap()
}

impl SignIn {
    fn new(clients: impl Into<Vec<Client>>) -> Self {
        let limits = Limits { code_attempts: 2, ..Limits::default() };
        Self { clients: clients.into(), strangers: &[], failures: 0, limits, crashes: 1, moments: MOMENTS }
    }

    /// The challenge of a send, with these ids.
    fn challenge(&self, ids: &[u8], now: Timestamp) -> Challenge {
        let issued = ids.iter().map(|id| (challenge(*id), 0)).collect();
        Challenge { issued, ..Challenge::new(challenge(ids[0]), CodeKeyVersion::new("1"), now, &self.limits) }
    }

    fn claim(&self, client: usize, now: Timestamp) -> Claim {
        let Client { organization, id, idempotency_key, .. } = self.clients[client];
        let idempotency = idempotency_key.map(|key| IdempotencyDigest::new(key.to_string()));
        Claim { idempotency, ..claim(organization, id, now) }
    }

    fn is_right(&self, client: usize, granted: &Challenge) -> bool {
        self.clients[client].code_of.is_some_and(|code_of| granted.id == challenge(code_of))
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

fn claim(organization: usize, id: Option<u8>, now: Timestamp) -> Claim {
    let organization = OrganizationId::parse(["first", "second"][organization]).unwrap();
    Claim {
        purpose: Purpose::SignIn { organization },
        phone: phone(),
        lane: GuessLane::of(id.map(challenge).as_ref()),
        challenge_id: id.map(challenge),
        idempotency: None,
        source: SourceAddress::of(None),
        now,
    }
}

/// Counts a comparison with the first challenge's code.
fn compare(compared: &mut [u32; 4], granted: &Challenge, id: Option<u8>) {
    if granted.id == challenge(FIRST_ID) {
        compared[usize::from(id.unwrap_or(0))] += 1;
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
        let with_id = Failures { consecutive: self.failures, ..Failures::default() };
        vec![State {
            counts: ChallengeRecord { with_id, ..ChallengeRecord::default() },
            challenges: [
                Some(self.challenge(&[FIRST_ID, RESEND_ID, THIRD_ID], START)),
                Some(self.challenge(&[OTHER], START)),
            ],
            opened: Vec::new(),
            clients: vec![Progress::Begins; self.clients.len()],
            crashes_left: self.crashes,
            retries: [0; CLIENTS],
            compared: [0; 4],
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
        let next = self.moments.iter().find(|moment| **moment > waited);
        actions.extend(next.map(|moment| Action::Wait(moment - waited)));
        actions.extend(self.strangers.iter().map(|id| Action::Stranger(*id)));
        let record = state.record(FIRST_ORGANIZATION);
        if state.sends_left > 0 && record.repeatable(state.now, &self.limits).is_none() {
            actions.push(Action::Send);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let now = state.now;
        match action {
            Action::ClaimAtOnce(client) => {
                let organization = self.clients[client].organization;
                let claim = self.claim(client, now);
                state.clients[client] = match state.record(organization).count(&claim, &self.limits) {
                    Ok(next) => {
                        let granted = next.challenge_to_compare(&claim, &self.limits).cloned();
                        state.write(organization, next);
                        granted.map_or(Progress::Refused, Progress::Granted)
                    }
                    Err(_) => Progress::Refused,
                };
            }
            Action::Read(client) => {
                state.clients[client] = Progress::Read(state.record(self.clients[client].organization));
            }
            Action::WriteClaim(client) => {
                let Progress::Read(read) = &last.clients[client] else { return None };
                let organization = self.clients[client].organization;
                let claim = self.claim(client, now);
                state.clients[client] = match read.count(&claim, &self.limits) {
                    Err(_) => Progress::Refused,
                    Ok(next) if state.record(organization) == *read => {
                        let granted = next.challenge_to_compare(&claim, &self.limits).cloned();
                        state.write(organization, next);
                        granted.map_or(Progress::Refused, Progress::Granted)
                    }
                    Ok(_) => Progress::Begins,
                };
            }
            Action::Compare(client) => {
                let Progress::Granted(granted) = &last.clients[client] else { return None };
                compare(&mut state.compared, granted, self.clients[client].id);
                state.clients[client] = match &granted.consumption {
                    _ if !self.is_right(client, granted) => Progress::Refused,
                    Some(consumed) => self.resumed(client, consumed, now),
                    None => Progress::Matched(granted.clone()),
                };
            }
            Action::Stranger(id) => {
                let claim = claim(FIRST_ORGANIZATION, id, now);
                let next = state.record(FIRST_ORGANIZATION).count(&claim, &self.limits).ok()?;
                if let Ok(granted) = next.challenge_to_compare(&claim, &self.limits) {
                    compare(&mut state.compared, granted, id);
                }
                state.write(FIRST_ORGANIZATION, next);
            }
            Action::Consume(client) => {
                let Progress::Matched(matched) = &last.clients[client] else { return None };
                let organization = self.clients[client].organization;
                let session = SessionId::from_random([u8::try_from(client).unwrap() * 16 + state.retries[client]; 16]);
                let consumed = Consumption {
                    at: now,
                    idempotency: self.claim(client, now).idempotency,
                    user: UserId::from_random([1; 16]),
                    session: Some(session.clone()),
                };
                let record = state.record(organization);
                let current = record.challenge.as_ref().filter(|current| current.id == matched.id);
                let lane = self.claim(client, now).lane;
                state.clients[client] = match record.consume(lane, consumed).filter(|_| current.is_some()) {
                    Some(next) => {
                        state.opened.push((session.clone(), matched.id.clone(), client));
                        state.write(organization, next);
                        Progress::Written(session)
                    }
                    None => match current.and_then(|current| current.consumption.as_ref()) {
                        Some(consumed) => self.resumed(client, consumed, now),
                        None => Progress::Refused,
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
                let record = state.record(FIRST_ORGANIZATION);
                let key_version = CodeKeyVersion::new("1");
                let later = record.new_challenge(challenge(LATER), key_version, now, &self.limits);
                state.challenges[FIRST_ORGANIZATION] = Some(later);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a code opens at most one session", |_, state: &State| {
                let by = |id| state.opened.iter().filter(|(_, opener, _)| *opener == challenge(id)).count();
                [FIRST_ID, OTHER, LATER].into_iter().all(|id| by(id) <= 1)
            }),
            Property::always("no more codes are compared than there are attempts", |model: &Self, state: &State| {
                // The retry of a sign-in is compared too, but with the right code.
                state.compared.iter().all(|compared| *compared <= model.limits.code_attempts)
            }),
            Property::always(
                "a wrong code signs nobody in, and no code signs in to another organization",
                |model, state| {
                    let state: &State = state;
                    let opened = state.opened.iter().map(|(_, _, client)| *client);
                    opened.chain(signed_in(state).map(|(client, _)| client)).all(|client| {
                        let Client { code_of, organization, .. } = model.clients[client];
                        code_of.is_some_and(|code_of| (code_of == OTHER) == (organization == SECOND_ORGANIZATION))
                    })
                },
            ),
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
                "an id that only its owner shows keeps a comparison until its code has ended, whatever strangers do",
                |model: &Self, state: &State| {
                    let claim = model.claim(0, state.now);
                    let record = state.record(FIRST_ORGANIZATION);
                    let is_owner_alone = model.crashes == 0 && model.clients[0].id == Some(FIRST_ID);
                    !is_owner_alone
                        || state.clients[0] != Progress::Begins
                        || record
                            .challenge
                            .as_ref()
                            .is_none_or(|current| current.id != challenge(FIRST_ID) || !current.is_live(state.now))
                        || record.count(&claim, &model.limits).is_ok()
                },
            ),
            Property::sometimes("somebody signs in", |_, state: &State| signed_in(state).next().is_some()),
        ]
    }
}

const fn right(idempotency_key: Option<u8>) -> Client {
    Client { code_of: Some(FIRST_ID), organization: FIRST_ORGANIZATION, id: Some(FIRST_ID), idempotency_key }
}

const fn wrong(id: Option<u8>) -> Client {
    Client { code_of: None, organization: FIRST_ORGANIZATION, id, idempotency_key: None }
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
fn a_code_of_one_organization_signs_in_to_no_other() {
    let in_second =
        |code_of, id| Client { code_of: Some(code_of), organization: SECOND_ORGANIZATION, id, ..wrong(None) };
    for id in [None, Some(FIRST_ID), Some(OTHER)] {
        let clients = [right(None), in_second(FIRST_ID, id), in_second(OTHER, Some(OTHER))];
        explore(&format!("two organizations, {id:?}"), SignIn { crashes: 0, ..SignIn::new(clients) });
    }
}

#[test]
fn strangers_who_never_stop_keep_nobody_out() {
    let strangers = SignIn { crashes: 0, strangers: &[None, Some(RESEND_ID)], ..SignIn::new([right(None)]) };
    explore("strangers without an id and with a resend's", strangers);
}

/// Nine wrong codes came before, so each further one with an id closes the phone: between the owner's send and submit.
#[test]
fn a_closure_between_a_send_and_its_submit_leaves_its_id_a_comparison() {
    let strangers: &[_] = &[None, Some(RESEND_ID), Some(THIRD_ID)];
    let moments = &[0, 1, 31, 90, 600];
    let closures = SignIn { crashes: 0, failures: 9, strangers, moments, ..SignIn::new([right(None)]) };
    explore("closures between a send and its submit", closures);
}
