//! A challenge: one code on its way to one phone. Claim a try, compare, consume; in that order, each at most once.
//!
//! The functions here are the whole protocol. The store turns each into one conditional write: either the
//! condition spelled out, or "nothing changed since I looked" around the state that these functions return.

use std::collections::BTreeMap;

use crate::code::{CodeKeyVersion, OtpCode};
use crate::gateway::Gateway;
use crate::ids::{ChallengeId, SessionId, UserId};
use crate::limits::{CLOSING_FAILURE, DAY, Limits};
use crate::phone::PhoneNumber;
use crate::pumping::Credit;
use crate::send_otp::CodeKeys;
use crate::text::OrganizationId;
use crate::{Timestamp, Unavailable};

/// For how long after a sign-in its retry, with the same idempotency key and code, gets tokens again. Seconds.
pub const REPLAY_SECONDS: u32 = 60;
/// How many ids a challenge can be told by; more sends than that tell one of them again. The limits of sends end sooner,
/// except where nothing is sent.
pub const MOST_TOLD: usize = 16;

/// What a code is for. A code for one purpose, or one caller, is no code for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing in: whoever holds the phone.
    SignIn,
    /// Binding the phone to the signed-in caller who asked.
    VerifyPhone {
        /// Who asked.
        caller: UserId,
    },
}

impl Purpose {
    /// The purpose's name, as the code is derived from it and the store keys it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::VerifyPhone { .. } => "verify_phone",
        }
    }

    /// Who asked, where that is part of the purpose.
    pub const fn caller(&self) -> Option<&UserId> {
        match self {
            Self::SignIn => None,
            Self::VerifyPhone { caller } => Some(caller),
        }
    }
}

/// SHA-256 of an `Idempotency-Key`: enough to recognise it, useless to replay it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyDigest(String);

impl IdempotencyDigest {
    /// Takes the digest in any text form that is always the same.
    pub fn new(digest: String) -> Self {
        Self(digest)
    }

    /// The digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for IdempotencyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdempotencyDigest(…)")
    }
}

/// How a challenge ended well: at most once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Consumed {
    /// When.
    pub at: Timestamp,
    /// The idempotency key that came with the code, if one did.
    pub idempotency: Option<IdempotencyDigest>,
    /// Who signed in or was bound.
    pub user: UserId,
    /// The session that was opened; none where a phone was verified.
    pub session: Option<SessionId>,
}

/// One code's life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Challenge {
    /// The id that its first send told; the code is derived from it.
    pub id: ChallengeId,
    /// The version of the key that derives the code.
    pub key_version: CodeKeyVersion,
    /// When the code stops being good.
    pub expires_at: Timestamp,
    /// Whether the caller asked to change a number that is verified already.
    pub changes_number: bool,
    /// The organization whose fixed code it awaits, in place of a derived one.
    pub fixed_code_of: Option<OrganizationId>,
    /// The ids that its sends told, one each, with the tries claimed with them: one who asks for a code to be sent again
    /// cannot spend the tries of one who asked before.
    pub told: BTreeMap<ChallengeId, u32>,
    /// Tries claimed without an id.
    pub unbound_attempts: u32,
    /// How it ended, if it did.
    pub consumed: Option<Consumed>,
    /// The gateway that carried its code last, or is about to; for counting alone.
    pub carried_by: Option<Gateway>,
    /// Whether devices of the number's holder were asked to approve the sign-in.
    pub is_approval_asked: bool,
    /// Who approved the sign-in on a device of theirs. It counts for their own account alone.
    pub approved_by: Option<UserId>,
    /// What its messages were counted on, for when its code comes back; none where no budgets are kept.
    pub credit: Option<Credit>,
}

impl Challenge {
    /// A new one, untried, that awaits a derived code, changes no number and is no gateway's yet.
    pub fn new(id: ChallengeId, key_version: CodeKeyVersion, now: Timestamp, limits: &Limits) -> Self {
        Self {
            told: BTreeMap::from([(id.clone(), 0)]),
            id,
            key_version,
            expires_at: now.plus(limits.code_lifetime_seconds),
            changes_number: false,
            fixed_code_of: None,
            unbound_attempts: 0,
            consumed: None,
            carried_by: None,
            is_approval_asked: false,
            approved_by: None,
            credit: None,
        }
    }

    /// Whether its code could still be accepted from someone with tries left.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.consumed.is_none() && now < self.expires_at
    }

    /// Notes that `by` approves the sign-in of whoever was told `id`; `None` if there is none to approve.
    pub fn approve(&self, id: &ChallengeId, by: &UserId, now: Timestamp) -> Option<Self> {
        let is_approvable = self.is_live(now) && self.told.contains_key(id);
        is_approvable.then(|| Self { approved_by: Some(by.clone()), ..self.clone() })
    }

    /// The id with the fewest tries claimed, and how many. Where the code is sent again the new id begins with as many,
    /// so that sending again gives nobody more.
    pub fn least_tried(&self) -> Option<(&ChallengeId, u32)> {
        self.told.iter().map(|(id, tries)| (id, *tries)).min_by_key(|(_, tries)| *tries)
    }
}

/// The record of one purpose and phone (or caller): its challenge, and its wrong codes in a row, which outlive it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChallengeRecord {
    /// The phone that the code went to.
    pub phone: PhoneNumber,
    /// The latest challenge.
    pub challenge: Challenge,
    /// Codes tried since the last right one.
    pub failures: u32,
    /// Until when every try is refused.
    pub closed_until: Timestamp,
}

/// A try at a challenge, before any code is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What the code would be for.
    pub purpose: Purpose,
    /// The phone the code would have gone to.
    pub phone: PhoneNumber,
    /// The id that a send told, if the client sent one: its tries are counted apart from all others.
    pub challenge_id: Option<ChallengeId>,
    /// The idempotency key, if the client sent one.
    pub idempotency: Option<IdempotencyDigest>,
    /// When the try was made.
    pub now: Timestamp,
}

/// Why a try was not granted. No code was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimRefusal {
    /// Nothing was sent, or to another phone, or it is another challenge's id.
    NoSuchChallenge,
    /// The code has expired.
    Expired,
    /// The code was used.
    Consumed,
    /// This challenge's tries are spent; a new code can be had then.
    Spent {
        /// Seconds until the challenge has expired.
        retry_after_seconds: u32,
    },
    /// Too many wrong codes in a row.
    Closed {
        /// Seconds until the next try is considered.
        retry_after_seconds: u32,
    },
}

/// Why a code was not accepted, as its user is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeRefusal {
    /// It is wrong; or used, expired or never sent, where the caller didn't show its challenge.
    Incorrect {
        /// Tries left, where that says nothing the caller shouldn't know.
        attempts_left: Option<u32>,
    },
    /// The challenge shown has expired or was used.
    Expired,
    /// The challenge's tries are spent.
    TooManyAttempts {
        /// Seconds until a new code can be had.
        retry_after_seconds: u32,
    },
    /// Too many wrong codes in a row.
    TooManyRequests {
        /// Seconds until the next try is considered.
        retry_after_seconds: u32,
    },
}

impl ClaimRefusal {
    /// What the maker of `claim` is told: only who shows the challenge learns that it ended; to all others every ending
    /// looks like a wrong code.
    pub const fn as_told_to(&self, claim: &Claim) -> CodeRefusal {
        match self {
            Self::Expired | Self::Consumed if claim.challenge_id.is_some() => CodeRefusal::Expired,
            Self::NoSuchChallenge | Self::Expired | Self::Consumed => CodeRefusal::Incorrect { attempts_left: None },
            Self::Spent { retry_after_seconds } => {
                CodeRefusal::TooManyAttempts { retry_after_seconds: *retry_after_seconds }
            }
            Self::Closed { retry_after_seconds } => {
                CodeRefusal::TooManyRequests { retry_after_seconds: *retry_after_seconds }
            }
        }
    }
}

/// What was typed, and what it may be compared with besides a derived code.
#[derive(Clone, Debug)]
pub struct TypedCode {
    /// What was typed.
    pub code: OtpCode,
    /// The organization it was typed for.
    pub organization: OrganizationId,
    /// That organization's fixed code for the phone, if it is one of its test numbers.
    pub fixed: Option<OtpCode>,
}

/// The answer to a claim, with the record as it stands after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The try is counted; now the code may be compared.
    Granted(ChallengeRecord),
    /// No try.
    Refused(ClaimRefusal, Option<ChallengeRecord>),
}

impl ChallengeRecord {
    /// Counts one try, or says why there is none. This is the only way to a comparison.
    ///
    /// # Errors
    /// [`ClaimRefusal`]; the record is then unchanged.
    pub fn claim(&self, claim: &Claim, limits: &Limits) -> Result<Self, ClaimRefusal> {
        let now = claim.now;
        let mut next = self.clone();
        let challenge = &self.challenge;
        let tries = match &claim.challenge_id {
            Some(id) => next.challenge.told.get_mut(id),
            None => Some(&mut next.challenge.unbound_attempts),
        };
        let tries = tries.filter(|_| self.phone == claim.phone).ok_or(ClaimRefusal::NoSuchChallenge)?;
        match &challenge.consumed {
            Some(consumed) if !consumed.may_be_replayed_by(claim) => return Err(ClaimRefusal::Consumed),
            None if now >= challenge.expires_at => return Err(ClaimRefusal::Expired),
            _ => {}
        }
        if now < self.closed_until {
            return Err(ClaimRefusal::Closed { retry_after_seconds: now.seconds_until(self.closed_until) });
        }
        if *tries >= limits.code_attempts {
            return Err(ClaimRefusal::Spent { retry_after_seconds: now.seconds_until(challenge.expires_at) });
        }
        *tries = tries.saturating_add(1);
        // A record that was closed for its day, and whose day has passed, begins again.
        let in_a_row = if self.failures >= CLOSING_FAILURE { 0 } else { self.failures };
        next.failures = in_a_row.saturating_add(1);
        let delay = limits.delay_after(next.failures);
        next.closed_until = if delay == 0 { Timestamp::default() } else { now.plus(delay) };
        Ok(next)
    }

    /// Tries left to one who made `claim`.
    pub fn attempts_left(&self, claim: &Claim, limits: &Limits) -> u32 {
        let tries = match &claim.challenge_id {
            Some(id) => self.challenge.told.get(id).copied().unwrap_or_default(),
            None => self.challenge.unbound_attempts,
        };
        limits.code_attempts.saturating_sub(tries)
    }

    /// Marks the challenge as used and forgets the wrong codes before it; `None` if it was used already.
    pub fn consume(&self, consumed: Consumed) -> Option<Self> {
        if self.challenge.consumed.is_some() {
            return None;
        }
        let mut next = self.clone();
        next.challenge.consumed = Some(consumed);
        next.failures = 0;
        next.closed_until = Timestamp::default();
        Some(next)
    }

    /// Whether `typed` is the code. Call it only on a granted record.
    ///
    /// A fixed code counts only where a send for its own organization started the challenge: nobody signs in with it to
    /// another.
    ///
    /// # Errors
    /// When the key is out of reach.
    pub async fn accepts(
        &self,
        typed: &TypedCode,
        purpose: &Purpose,
        keys: &impl CodeKeys,
    ) -> Result<bool, Unavailable> {
        let challenge = &self.challenge;
        if let Some(organization) = &challenge.fixed_code_of {
            let expected = typed.fixed.as_ref().filter(|_| *organization == typed.organization);
            return Ok(expected.is_some_and(|expected| typed.code.matches(expected)));
        }
        let key = keys.version(&challenge.key_version).await?;
        Ok(typed.code.matches(&key.derive(&challenge.id, purpose, &self.phone)))
    }

    /// Until when the record must be kept: its counts outlive its code by a week, a closed day in it.
    pub fn keep_until(&self, now: Timestamp) -> Timestamp {
        self.closed_until.max(now).plus(7 * DAY)
    }
}

impl Consumed {
    /// Whether a retry of the very request that consumed it may have its answer again.
    pub fn may_be_replayed_by(&self, claim: &Claim) -> bool {
        self.session.is_some()
            && self.idempotency.is_some()
            && self.idempotency == claim.idempotency
            && claim.now < self.at.plus(REPLAY_SECONDS)
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
            failures: 0,
            closed_until: Timestamp::default(),
        }
    }

    fn claim(challenge_id: Option<ChallengeId>, now: Timestamp) -> Claim {
        Claim { purpose: Purpose::SignIn, phone: record().phone, challenge_id, idempotency: None, now }
    }

    #[test]
    fn tries_with_and_without_the_challenge_id_are_counted_apart() {
        let limits = Limits::default();
        let mut state = record();
        for _ in 0..5 {
            state = state.claim(&claim(None, START), &limits).unwrap();
        }
        assert_eq!(state.claim(&claim(None, START), &limits), Err(ClaimRefusal::Spent { retry_after_seconds: 600 }));
        assert!(state.claim(&claim(Some(state.challenge.id.clone()), START), &limits).is_ok());
    }

    #[test]
    fn a_day_closed_at_the_hundredth_wrong_code_is_followed_by_a_clean_start() {
        let limits = Limits { code_attempts: u32::MAX, code_lifetime_seconds: 30 * DAY, ..Limits::default() };
        let mut state = record();
        state.challenge.expires_at = START.plus(30 * DAY);
        state.failures = 99;
        let closed = state.claim(&claim(None, START), &limits).unwrap();
        assert_eq!(closed.claim(&claim(None, START), &limits), Err(ClaimRefusal::Closed { retry_after_seconds: DAY }));
        let reopened = closed.claim(&claim(None, START.plus(DAY)), &limits).unwrap();
        assert_eq!((reopened.failures, reopened.closed_until), (1, Timestamp::default()));
    }

    #[test]
    fn a_challenge_is_approved_by_an_id_it_told_until_it_expires_or_is_used() {
        let state = record();
        let (id, by) = (state.challenge.id.clone(), UserId::from_random([3; 16]));
        let until = state.challenge.expires_at;
        let approved = |challenge: &Challenge, id: &ChallengeId, now| {
            challenge.approve(id, &by, now).is_some_and(|approved| approved.approved_by.as_ref() == Some(&by))
        };
        assert!(approved(&state.challenge, &id, until.minus(1)));
        assert!(!approved(&state.challenge, &id, until));
        assert!(!approved(&state.challenge, &ChallengeId::from_random([9; 16]), START));
        let consumed = Consumed { at: START, idempotency: None, user: by.clone(), session: None };
        assert!(!approved(&state.consume(consumed).unwrap().challenge, &id, START));
    }

    #[test]
    fn only_the_same_idempotency_key_within_a_minute_reopens_a_used_challenge() {
        let limits = Limits::default();
        let key = IdempotencyDigest::new("a".into());
        let used = record()
            .consume(Consumed {
                at: START,
                idempotency: Some(key.clone()),
                user: UserId::from_random([1; 16]),
                session: Some(SessionId::from_random([1; 16])),
            })
            .unwrap();
        let with = |idempotency, seconds| Claim { idempotency, ..claim(None, START.plus(seconds)) };
        assert!(used.claim(&with(Some(key.clone()), 59), &limits).is_ok());
        assert_eq!(used.claim(&with(Some(key), 60), &limits), Err(ClaimRefusal::Consumed));
        assert_eq!(
            used.claim(&with(Some(IdempotencyDigest::new("b".into())), 1), &limits),
            Err(ClaimRefusal::Consumed)
        );
        assert_eq!(used.claim(&with(None, 1), &limits), Err(ClaimRefusal::Consumed));
    }
}
