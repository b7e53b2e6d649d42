//! A challenge: one code sent to one phone. Its transitions are the protocol: claim an attempt, then consume the code, each
//! by one conditional write of the store.

use std::collections::BTreeMap;
use std::fmt;

use super::code_key::CodeKeyVersion;
use super::failures::{Closed, Failures};
use super::limits::Limits;
use super::pumping::VerificationCredit;
use crate::values::gateway::Gateway;
use crate::values::ids::{ChallengeId, SessionId, UserId};
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::phone::PhoneNumber;
use crate::values::purpose::Purpose;
use crate::values::source_address::SourceAddress;
use crate::values::time::{DAY, Timestamp};

/// How long a retry with the same idempotency key and proof is answered with tokens again. Seconds.
pub const REPLAY_SECONDS: u32 = 60;
/// The most ids that one challenge issues; a further send returns an existing id. The limits on sends are lower, except for
/// test numbers.
pub const MAX_ISSUED_IDS: usize = 16;

/// How long a record is kept after its last guess or send: longer than its code is valid or a closure lasts, and a week, so
/// that the counts of wrong codes do not end early.
pub const RECORD_KEPT_SECONDS: u32 = 9 * DAY;

/// SHA-256 of an `Idempotency-Key`: enough to recognize the key, and not to replay it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyDigest(String);

impl IdempotencyDigest {
    /// Accepts any canonical text form of the digest.
    pub fn new(digest: String) -> Self {
        Self(digest)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyDigest(…)")
    }
}

/// The one use of a challenge's code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Consumption {
    pub at: Timestamp,
    pub idempotency: Option<IdempotencyDigest>,
    /// The user who signed in or whose phone was verified.
    pub user: UserId,
    /// The session that was opened; none where a phone was verified.
    pub session: Option<SessionId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Challenge {
    /// The id that the first send issued. The code is derived from it.
    pub id: ChallengeId,
    /// The version of the key that derives the code.
    pub key_version: CodeKeyVersion,
    pub expires_at: Timestamp,
    /// Whether the caller asked to change a number that is already verified.
    pub changes_number: bool,
    /// The key of the device that asked for a change without the old number, so that the change waits.
    pub delayed_by: Option<KeyThumbprint>,
    /// Whether the organization's fixed code for the phone is expected instead of a derived one.
    pub has_fixed_code: bool,
    /// The ids that sends issued, and the attempts under each. Whoever requests a resend uses up attempts of their own id,
    /// not those of an earlier one.
    pub issued: BTreeMap<ChallengeId, u32>,
    /// [`ChallengeRecord::guesses_without_id`] when the challenge was planned. Later ones count as its attempts.
    pub guesses_before: u32,
    pub consumption: Option<Consumption>,
    /// The gateway that carried the last message, or is about to. Used only for metrics.
    pub carrier: Option<Gateway>,
    /// Whether the phone holder's devices were asked to approve the sign-in.
    pub approval_requested: bool,
    /// The user who approved the sign-in on one of their devices. It counts only for their own account.
    pub approved_by: Option<UserId>,
    /// None where budgets are off.
    pub credit: Option<VerificationCredit>,
}

impl Challenge {
    /// A challenge without attempts that expects a derived code and changes no number.
    pub fn new(id: ChallengeId, key_version: CodeKeyVersion, now: Timestamp, limits: &Limits) -> Self {
        Self {
            issued: BTreeMap::from([(id.clone(), 0)]),
            id,
            key_version,
            expires_at: now.plus(limits.code_lifetime_seconds),
            changes_number: false,
            delayed_by: None,
            has_fixed_code: false,
            guesses_before: 0,
            consumption: None,
            carrier: None,
            approval_requested: false,
            approved_by: None,
            credit: None,
        }
    }

    /// Whether the code can still be accepted from someone with attempts left.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.consumption.is_none() && now < self.expires_at
    }

    /// Whether nobody is answered by it any more, not even a retry.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.expires_at.plus(REPLAY_SECONDS)
    }

    /// Approves the sign-in of whoever was issued `id`; `None` if there is nothing to approve.
    pub fn approve(&self, id: &ChallengeId, by: &UserId, now: Timestamp) -> Option<Self> {
        let is_approvable = self.is_live(now) && self.issued.contains_key(id);
        is_approvable.then(|| Self { approved_by: Some(by.clone()), ..self.clone() })
    }

    /// The id with the fewest attempts. A new id starts with as many, so that a resend gives nobody more attempts.
    pub fn least_attempted(&self) -> Option<(&ChallengeId, u32)> {
        self.issued.iter().map(|(id, attempts)| (id, *attempts)).min_by_key(|(_, attempts)| *attempts)
    }

    /// Attempts left with an id; none for a guess without an id, which must not learn whether there is a challenge.
    pub fn attempts_left(&self, id: Option<&ChallengeId>, limits: &Limits) -> Option<u32> {
        let attempts = self.issued.get(id?)?;
        Some(limits.code_attempts.saturating_sub(*attempts))
    }

    /// Consumes the code; `None` if it was already consumed.
    pub fn consume(&self, consumption: Consumption) -> Option<Self> {
        self.consumption.is_none().then(|| Self { consumption: Some(consumption), ..self.clone() })
    }
}

/// The record of a phone as one purpose sees it: the challenge of the purpose, and the guesses at the codes of all purposes,
/// which outlive it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChallengeRecord {
    pub challenge: Option<Challenge>,
    /// Guesses that showed an issued id.
    pub with_id: Failures,
    /// Guesses that showed none. They are counted whether or not there is a challenge, and never delay one that shows an id.
    pub without_id: Failures,
    /// Guesses of known devices that the closure of [`Self::with_id`] would have refused.
    pub of_known_devices: Failures,
    /// All guesses without an id, ever.
    pub guesses_without_id: u32,
}

/// Guesses are counted in lanes, which never delay or close each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuessLane {
    WithId,
    WithoutId,
    /// Guesses that show an id and prove a key with which the phone's holder signed in before, while the lane of other
    /// guesses is closed. So nobody else can close the phone to those devices.
    KnownDevice,
}

impl GuessLane {
    /// The lane of a guess that shows this id.
    pub const fn of(shown: Option<&ChallengeId>) -> Self {
        match shown {
            Some(_) => Self::WithId,
            None => Self::WithoutId,
        }
    }
}

/// An attempt at a challenge, before any code is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub purpose: Purpose,
    pub phone: PhoneNumber,
    /// The id that a send issued, if the client shows one. Attempts are counted by id.
    pub challenge_id: Option<ChallengeId>,
    pub lane: GuessLane,
    pub idempotency: Option<IdempotencyDigest>,
    pub source: SourceAddress,
    pub now: Timestamp,
}

/// Why a code may not be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimRefusal {
    /// Nothing was sent for this purpose, or the id is of another challenge.
    NoSuchChallenge,
    Expired,
    Consumed,
    /// All attempts are used up. A new code can be requested.
    AttemptsExhausted,
    /// Too many consecutive wrong codes, or too many guesses from the source.
    Closed {
        retry_after_seconds: u32,
    },
}

impl From<Closed> for ClaimRefusal {
    fn from(Closed { retry_after_seconds }: Closed) -> Self {
        Self::Closed { retry_after_seconds }
    }
}

/// Why a code was not accepted, as the client learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeRefusal {
    /// Wrong; or consumed, expired, never sent or exhausted, where the client did not show the challenge.
    Incorrect {
        /// None where the number would reveal what the client must not know.
        attempts_left: Option<u32>,
    },
    /// The challenge that the client showed has expired or was consumed.
    Expired,
    /// The attempts of the id that the client showed are used up.
    TooManyAttempts,
    TooManyRequests {
        retry_after_seconds: u32,
    },
}

impl ClaimRefusal {
    /// The refusal of a guess that another closure refuses too. The wait is the longer one, so that it is enough.
    pub fn and_closed(self, other: Closed) -> Self {
        match self {
            Self::Closed { retry_after_seconds } => {
                Self::Closed { retry_after_seconds: retry_after_seconds.max(other.retry_after_seconds) }
            }
            _ => self,
        }
    }

    /// What the client learns. A client that shows no issued id learns nothing that depends on whether there is a challenge:
    /// whatever the reason, it looks like a wrong code.
    pub const fn to_client(&self, claim: &Claim) -> CodeRefusal {
        match self {
            Self::Closed { retry_after_seconds } => {
                CodeRefusal::TooManyRequests { retry_after_seconds: *retry_after_seconds }
            }
            Self::Expired | Self::Consumed if claim.challenge_id.is_some() => CodeRefusal::Expired,
            Self::AttemptsExhausted if claim.challenge_id.is_some() => CodeRefusal::TooManyAttempts,
            _ => CodeRefusal::Incorrect { attempts_left: None },
        }
    }
}

impl ChallengeRecord {
    /// The live challenge whose code a send may repeat, and its id with the fewest attempts. A code that can no longer be
    /// tried is not repeated: wrong guesses refuse no send.
    pub fn repeatable(&self, now: Timestamp, limits: &Limits) -> Option<(&Challenge, &ChallengeId, u32)> {
        let live = self.challenge.as_ref().filter(|challenge| challenge.is_live(now))?;
        let (id, attempts) = live.least_attempted()?;
        (attempts < limits.code_attempts).then_some((live, id, attempts))
    }

    /// The challenge of a send that repeats no code. Earlier guesses without an id use up none of its attempts.
    pub fn new_challenge(
        &self,
        id: ChallengeId,
        key_version: CodeKeyVersion,
        now: Timestamp,
        limits: &Limits,
    ) -> Challenge {
        Challenge { guesses_before: self.guesses_without_id, ..Challenge::new(id, key_version, now, limits) }
    }

    /// Counts a guess, or says why it is refused. The record is then unchanged.
    ///
    /// A guess without an id is counted whether or not there is a challenge; [`Self::challenge_to_compare`] then says whether
    /// it may be compared. One with an id is counted only if it may be.
    pub fn count(&self, claim: &Claim, limits: &Limits) -> Result<Self, ClaimRefusal> {
        let mut next = self.clone();
        let Some(id) = &claim.challenge_id else {
            next.without_id = self.without_id.count(None, claim.now, limits)?;
            next.guesses_without_id = self.guesses_without_id.saturating_add(1);
            return Ok(next);
        };
        let challenge = next.challenge.as_mut().ok_or(ClaimRefusal::NoSuchChallenge)?;
        let attempts = challenge.issued.get_mut(id).ok_or(ClaimRefusal::NoSuchChallenge)?;
        *attempts = attempts.saturating_add(1);
        // Several people know a fixed code, it stays the same and its sends are not limited: no closure excuses a guess at it.
        let excusable = (!challenge.has_fixed_code).then_some(id);
        next.challenge_to_compare(claim, limits)?;
        match claim.lane {
            GuessLane::KnownDevice => next.of_known_devices = self.of_known_devices.count(None, claim.now, limits)?,
            GuessLane::WithId | GuessLane::WithoutId => {
                next.with_id = self.with_id.count(excusable, claim.now, limits)?;
            }
        }
        Ok(next)
    }

    /// The challenge with whose code a guess may be compared, after the guess is counted. So the last attempt is the one that
    /// makes the count equal to the limit.
    pub fn challenge_to_compare(&self, claim: &Claim, limits: &Limits) -> Result<&Challenge, ClaimRefusal> {
        let challenge = self.challenge.as_ref().ok_or(ClaimRefusal::NoSuchChallenge)?;
        let attempts = match &claim.challenge_id {
            Some(id) => *challenge.issued.get(id).ok_or(ClaimRefusal::NoSuchChallenge)?,
            None => self.guesses_without_id.saturating_sub(challenge.guesses_before),
        };
        match &challenge.consumption {
            Some(consumption) if !consumption.may_be_replayed_by(claim) => Err(ClaimRefusal::Consumed),
            None if claim.now >= challenge.expires_at => Err(ClaimRefusal::Expired),
            // Retries too: whoever shows the idempotency key need not know the code.
            _ if attempts > limits.code_attempts => Err(ClaimRefusal::AttemptsExhausted),
            _ => Ok(challenge),
        }
    }

    /// Consumes the code and resets the failures of the lane in which it was guessed; `None` if it was already consumed. The
    /// other lane stays, so that nobody who shows no id sees by its closure that the code was consumed.
    pub fn consume(&self, lane: GuessLane, consumption: Consumption) -> Option<Self> {
        let mut next = Self { challenge: Some(self.challenge.as_ref()?.consume(consumption)?), ..self.clone() };
        match lane {
            GuessLane::WithId => next.with_id = Failures::default(),
            GuessLane::WithoutId => next.without_id = Failures::default(),
            GuessLane::KnownDevice => next.of_known_devices = Failures::default(),
        }
        Some(next)
    }
}

impl Consumption {
    /// Whether `claim` is a retry of the request that consumed the code, and may get its answer again.
    pub fn may_be_replayed_by(&self, claim: &Claim) -> bool {
        self.may_be_replayed(claim.idempotency.as_ref(), claim.now)
    }

    /// Whether a request with this key is a retry of the one that used up the proof, and may get its answer again.
    pub fn may_be_replayed(&self, idempotency: Option<&IdempotencyDigest>, now: Timestamp) -> bool {
        self.session.is_some()
            && self.idempotency.is_some()
            && self.idempotency.as_ref() == idempotency
            && now < self.at.plus(REPLAY_SECONDS)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::values::text::OrganizationId;

    const START: Timestamp = Timestamp::from_seconds(1_000_000);

    fn record() -> ChallengeRecord {
        let id = ChallengeId::from_random([1; 16]);
        let challenge = Challenge::new(id, CodeKeyVersion::new("1"), START, &Limits::default());
        ChallengeRecord { challenge: Some(challenge), ..ChallengeRecord::default() }
    }

    fn first_id() -> ChallengeId {
        record().challenge.unwrap().id
    }

    fn claim(challenge_id: Option<ChallengeId>, now: Timestamp) -> Claim {
        Claim {
            purpose: Purpose::SignIn { organization: OrganizationId::parse("default").unwrap() },
            phone: PhoneNumber::from_e164("+9779841234567").unwrap(),
            lane: GuessLane::of(challenge_id.as_ref()),
            challenge_id,
            idempotency: None,
            source: SourceAddress::of(None),
            now,
        }
    }

    #[test]
    fn guesses_without_an_id_spend_only_the_attempts_of_guesses_without_an_id() {
        let limits = Limits::default();
        let (mut state, without) = (record(), claim(None, START));
        for _ in 0..5 {
            state = state.count(&without, &limits).unwrap();
            assert!(state.challenge_to_compare(&without, &limits).is_ok());
        }
        state = state.count(&without, &limits).unwrap();
        assert_eq!(state.challenge_to_compare(&without, &limits), Err(ClaimRefusal::AttemptsExhausted));
        assert!(state.count(&claim(Some(first_id()), START), &limits).is_ok());
    }

    #[test]
    fn a_closure_of_guesses_without_an_id_refuses_no_guess_with_one() {
        let limits = Limits::default();
        let mut state = record();
        while let Ok(next) = state.count(&claim(None, START), &limits) {
            state = next;
        }
        assert_eq!(state.without_id.consecutive, 10);
        assert_eq!(state.with_id, Failures::default());
        assert!(state.count(&claim(Some(first_id()), START), &limits).is_ok());
    }

    #[test]
    fn a_guess_without_an_id_is_counted_and_refused_alike_with_and_without_a_challenge() {
        let limits = Limits { code_attempts: u32::MAX, ..Limits::default() };
        let (mut with, mut without) = (record(), ChallengeRecord::default());
        loop {
            let guess = claim(None, START);
            match (with.count(&guess, &limits), without.count(&guess, &limits)) {
                (Ok(next_with), Ok(next_without)) => (with, without) = (next_with, next_without),
                (refused_with, refused_without) => {
                    assert_eq!(refused_with.unwrap_err(), refused_without.unwrap_err());
                    break;
                }
            }
        }
    }

    #[test]
    fn no_closure_excuses_a_guess_at_a_fixed_code() {
        let limits = Limits::default();
        let mut state = record();
        state.challenge.as_mut().unwrap().has_fixed_code = true;
        state.with_id = Failures { consecutive: 10, closed_until: START.plus(30), ..Failures::default() };
        let refused = state.count(&claim(Some(first_id()), START), &limits);
        assert_eq!(refused, Err(ClaimRefusal::Closed { retry_after_seconds: 30 }));
    }

    #[test]
    fn a_challenge_can_be_approved_by_an_issued_id_until_it_expires_or_is_consumed() {
        let challenge = record().challenge.unwrap();
        let (id, by) = (challenge.id.clone(), UserId::from_random([3; 16]));
        let until = challenge.expires_at;
        let approved = |challenge: &Challenge, id: &ChallengeId, now| {
            challenge.approve(id, &by, now).is_some_and(|approved| approved.approved_by.as_ref() == Some(&by))
        };
        assert!(approved(&challenge, &id, until.minus(1)));
        assert!(!approved(&challenge, &id, until));
        assert!(!approved(&challenge, &ChallengeId::from_random([9; 16]), START));
        let consumption = Consumption { at: START, idempotency: None, user: by.clone(), session: None };
        assert!(!approved(&challenge.consume(consumption).unwrap(), &id, START));
    }

    #[test]
    fn a_consumed_challenge_is_replayed_only_for_the_same_idempotency_key_within_a_minute() {
        let limits = Limits::default();
        let key = IdempotencyDigest::new("a".into());
        let consumed = record()
            .consume(
                GuessLane::WithId,
                Consumption {
                    at: START,
                    idempotency: Some(key.clone()),
                    user: UserId::from_random([1; 16]),
                    session: Some(SessionId::from_random([1; 16])),
                },
            )
            .unwrap();
        for id in [None, Some(first_id())] {
            let compared = |idempotency, seconds| {
                let claim = Claim { idempotency, ..claim(id.clone(), START.plus(seconds)) };
                let counted = consumed.count(&claim, &limits)?;
                counted.challenge_to_compare(&claim, &limits).map(drop)
            };
            assert_eq!(compared(Some(key.clone()), 59), Ok(()));
            assert_eq!(compared(Some(key.clone()), 60), Err(ClaimRefusal::Consumed));
            assert_eq!(compared(Some(IdempotencyDigest::new("b".into())), 1), Err(ClaimRefusal::Consumed));
            assert_eq!(compared(None, 1), Err(ClaimRefusal::Consumed));
        }
    }
}
