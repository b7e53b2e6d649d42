//! A challenge: one code sent to one phone. Its transitions are the protocol: claim an attempt, then consume the code, each
//! by one conditional write of the store.

use std::collections::BTreeMap;
use std::fmt;

use super::code_key::CodeKeyVersion;
use super::limits::{CLOSING_FAILURE, Limits};
use super::pumping::VerificationCredit;
use crate::values::gateway::Gateway;
use crate::values::ids::{ChallengeId, SessionId, UserId};
use crate::values::phone::PhoneNumber;
use crate::values::purpose::Purpose;
use crate::values::text::OrganizationId;
use crate::values::time::{DAY, Timestamp};

/// How long a retry with the same idempotency key and proof is answered with tokens again. Seconds.
pub const REPLAY_SECONDS: u32 = 60;
/// The most ids that one challenge issues; a further send returns an existing id. The limits on sends are lower, except for
/// test numbers.
pub const MAX_ISSUED_IDS: usize = 16;

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
    /// The organization whose fixed code is expected instead of a derived one.
    pub fixed_code_of: Option<OrganizationId>,
    /// Each id that a send issued, with the attempts claimed under it. Whoever requests a resend uses up attempts of their
    /// own id, not those of an earlier one.
    pub attempts_by_id: BTreeMap<ChallengeId, u32>,
    pub attempts_without_id: u32,
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
            attempts_by_id: BTreeMap::from([(id.clone(), 0)]),
            id,
            key_version,
            expires_at: now.plus(limits.code_lifetime_seconds),
            changes_number: false,
            fixed_code_of: None,
            attempts_without_id: 0,
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

    /// Approves the sign-in of whoever was issued `id`; `None` if there is nothing to approve.
    pub fn approve(&self, id: &ChallengeId, by: &UserId, now: Timestamp) -> Option<Self> {
        let is_approvable = self.is_live(now) && self.attempts_by_id.contains_key(id);
        is_approvable.then(|| Self { approved_by: Some(by.clone()), ..self.clone() })
    }

    /// The id with the fewest attempts. A new id starts with as many, so that a resend gives nobody more attempts.
    pub fn least_attempted(&self) -> Option<(&ChallengeId, u32)> {
        self.attempts_by_id.iter().map(|(id, attempts)| (id, *attempts)).min_by_key(|(_, attempts)| *attempts)
    }
}

/// The record of one purpose and phone (or caller): its challenge, and its consecutive wrong codes, which outlive it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChallengeRecord {
    pub phone: PhoneNumber,
    pub challenge: Challenge,
    /// Attempts since the last right code.
    pub consecutive_failures: u32,
    /// Every attempt is refused until then.
    pub closed_until: Timestamp,
}

/// An attempt at a challenge, before any code is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub purpose: Purpose,
    pub phone: PhoneNumber,
    /// The id that a send issued, if the client shows one. Attempts are counted by id.
    pub challenge_id: Option<ChallengeId>,
    pub idempotency: Option<IdempotencyDigest>,
    pub now: Timestamp,
}

/// Why an attempt was not granted. No code was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimRefusal {
    /// Nothing was sent, or it was sent to another phone, or the id is of another challenge.
    NoSuchChallenge,
    Expired,
    Consumed,
    /// All attempts are used up. A new code is available when this one has expired.
    AttemptsExhausted {
        retry_after_seconds: u32,
    },
    /// Too many consecutive wrong codes.
    Closed {
        retry_after_seconds: u32,
    },
}

/// Why a code was not accepted, as the client learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeRefusal {
    /// Wrong; or consumed, expired or never sent, where the client did not show the challenge.
    Incorrect {
        /// None where the number would reveal what the client must not know.
        attempts_left: Option<u32>,
    },
    /// The challenge that the client showed has expired or was consumed.
    Expired,
    TooManyAttempts {
        retry_after_seconds: u32,
    },
    TooManyRequests {
        retry_after_seconds: u32,
    },
}

impl ClaimRefusal {
    /// What the client learns. Only a client that shows the challenge learns that it ended; for all others it looks like a
    /// wrong code.
    pub const fn to_client(&self, claim: &Claim) -> CodeRefusal {
        match self {
            Self::Expired | Self::Consumed if claim.challenge_id.is_some() => CodeRefusal::Expired,
            Self::NoSuchChallenge | Self::Expired | Self::Consumed => CodeRefusal::Incorrect { attempts_left: None },
            Self::AttemptsExhausted { retry_after_seconds } => {
                CodeRefusal::TooManyAttempts { retry_after_seconds: *retry_after_seconds }
            }
            Self::Closed { retry_after_seconds } => {
                CodeRefusal::TooManyRequests { retry_after_seconds: *retry_after_seconds }
            }
        }
    }
}

impl ChallengeRecord {
    /// Counts one attempt, or says why it is refused. The record is then unchanged.
    pub fn claim(&self, claim: &Claim, limits: &Limits) -> Result<Self, ClaimRefusal> {
        let now = claim.now;
        let mut next = self.clone();
        let challenge = &self.challenge;
        let attempts = match &claim.challenge_id {
            Some(id) => next.challenge.attempts_by_id.get_mut(id),
            None => Some(&mut next.challenge.attempts_without_id),
        };
        let attempts = attempts.filter(|_| self.phone == claim.phone).ok_or(ClaimRefusal::NoSuchChallenge)?;
        match &challenge.consumption {
            Some(consumption) if !consumption.may_be_replayed_by(claim) => return Err(ClaimRefusal::Consumed),
            None if now >= challenge.expires_at => return Err(ClaimRefusal::Expired),
            _ => {}
        }
        if now < self.closed_until {
            return Err(ClaimRefusal::Closed { retry_after_seconds: now.seconds_until(self.closed_until) });
        }
        if *attempts >= limits.code_attempts {
            let retry_after_seconds = now.seconds_until(challenge.expires_at);
            return Err(ClaimRefusal::AttemptsExhausted { retry_after_seconds });
        }
        *attempts = attempts.saturating_add(1);
        // A record whose closed day has passed starts again.
        let failures = if self.consecutive_failures >= CLOSING_FAILURE { 0 } else { self.consecutive_failures };
        next.consecutive_failures = failures.saturating_add(1);
        let delay = limits.delay_after(next.consecutive_failures);
        next.closed_until = if delay == 0 { Timestamp::default() } else { now.plus(delay) };
        Ok(next)
    }

    /// Attempts left to the client that made `claim`.
    pub fn attempts_left(&self, claim: &Claim, limits: &Limits) -> u32 {
        let attempts = match &claim.challenge_id {
            Some(id) => self.challenge.attempts_by_id.get(id).copied().unwrap_or_default(),
            None => self.challenge.attempts_without_id,
        };
        limits.code_attempts.saturating_sub(attempts)
    }

    /// Consumes the challenge and resets the consecutive failures; `None` if it was already consumed.
    pub fn consume(&self, consumption: Consumption) -> Option<Self> {
        if self.challenge.consumption.is_some() {
            return None;
        }
        let mut next = self.clone();
        next.challenge.consumption = Some(consumption);
        next.consecutive_failures = 0;
        next.closed_until = Timestamp::default();
        Some(next)
    }

    /// How long the record must be kept: its counts outlive its code, and a closed day, by a week.
    pub fn keep_until(&self, now: Timestamp) -> Timestamp {
        self.closed_until.max(now).plus(7 * DAY)
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

    const START: Timestamp = Timestamp::from_seconds(1_000_000);

    fn record() -> ChallengeRecord {
        let id = ChallengeId::from_random([1; 16]);
        ChallengeRecord {
            phone: PhoneNumber::from_e164("+9779841234567").unwrap(),
            challenge: Challenge::new(id, CodeKeyVersion::new("1"), START, &Limits::default()),
            consecutive_failures: 0,
            closed_until: Timestamp::default(),
        }
    }

    fn claim(challenge_id: Option<ChallengeId>, now: Timestamp) -> Claim {
        Claim { purpose: Purpose::SignIn, phone: record().phone, challenge_id, idempotency: None, now }
    }

    #[test]
    fn attempts_with_and_without_the_challenge_id_are_counted_separately() {
        let limits = Limits::default();
        let mut state = record();
        for _ in 0..5 {
            state = state.claim(&claim(None, START), &limits).unwrap();
        }
        let exhausted = ClaimRefusal::AttemptsExhausted { retry_after_seconds: 600 };
        assert_eq!(state.claim(&claim(None, START), &limits), Err(exhausted));
        assert!(state.claim(&claim(Some(state.challenge.id.clone()), START), &limits).is_ok());
    }

    #[test]
    fn the_hundredth_wrong_code_closes_the_record_for_a_day_and_then_the_count_starts_again() {
        let limits = Limits { code_attempts: u32::MAX, code_lifetime_seconds: 30 * DAY, ..Limits::default() };
        let mut state = record();
        state.challenge.expires_at = START.plus(30 * DAY);
        state.consecutive_failures = 99;
        let closed = state.claim(&claim(None, START), &limits).unwrap();
        assert_eq!(closed.claim(&claim(None, START), &limits), Err(ClaimRefusal::Closed { retry_after_seconds: DAY }));
        let reopened = closed.claim(&claim(None, START.plus(DAY)), &limits).unwrap();
        assert_eq!((reopened.consecutive_failures, reopened.closed_until), (1, Timestamp::default()));
    }

    #[test]
    fn a_challenge_can_be_approved_by_an_issued_id_until_it_expires_or_is_consumed() {
        let state = record();
        let (id, by) = (state.challenge.id.clone(), UserId::from_random([3; 16]));
        let until = state.challenge.expires_at;
        let approved = |challenge: &Challenge, id: &ChallengeId, now| {
            challenge.approve(id, &by, now).is_some_and(|approved| approved.approved_by.as_ref() == Some(&by))
        };
        assert!(approved(&state.challenge, &id, until.minus(1)));
        assert!(!approved(&state.challenge, &id, until));
        assert!(!approved(&state.challenge, &ChallengeId::from_random([9; 16]), START));
        let consumption = Consumption { at: START, idempotency: None, user: by.clone(), session: None };
        assert!(!approved(&state.consume(consumption).unwrap().challenge, &id, START));
    }

    #[test]
    fn a_consumed_challenge_is_replayed_only_for_the_same_idempotency_key_within_a_minute() {
        let limits = Limits::default();
        let key = IdempotencyDigest::new("a".into());
        let consumed = record()
            .consume(Consumption {
                at: START,
                idempotency: Some(key.clone()),
                user: UserId::from_random([1; 16]),
                session: Some(SessionId::from_random([1; 16])),
            })
            .unwrap();
        let with = |idempotency, seconds| Claim { idempotency, ..claim(None, START.plus(seconds)) };
        let other_key = Some(IdempotencyDigest::new("b".into()));
        assert!(consumed.claim(&with(Some(key.clone()), 59), &limits).is_ok());
        assert_eq!(consumed.claim(&with(Some(key), 60), &limits), Err(ClaimRefusal::Consumed));
        assert_eq!(consumed.claim(&with(other_key, 1), &limits), Err(ClaimRefusal::Consumed));
        assert_eq!(consumed.claim(&with(None, 1), &limits), Err(ClaimRefusal::Consumed));
    }
}
