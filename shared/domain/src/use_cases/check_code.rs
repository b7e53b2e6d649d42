//! Checking a code: one conditional write counts the attempt, and only then is the code compared.
//!
//! Only this module makes a [`GrantedClaim`], and only a `GrantedClaim` can compare a code.

use std::future::Future;

use crate::rules::challenge::{Challenge, ChallengeRecord, Claim, ClaimRefusal, CodeRefusal, GuessLane};
use crate::rules::code_key::{CodeKey, CodeKeyVersion};
use crate::rules::failures::Closed;
use crate::rules::limits::Limits;
use crate::values::otp_code::OtpCode;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How often a claim is retried because other claims change the record. In each round one of them wins, and after a few wins
/// no attempt is left, or the phone is closed.
const MAX_ROUNDS: usize = 12;

/// Provides the keys that derive codes.
pub trait CodeKeys: Sync {
    /// The key for new challenges.
    fn current(&self) -> impl Future<Output = Result<CodeKey, Unavailable>> + Send;
    /// The key of an existing challenge.
    fn version(&self, version: &CodeKeyVersion) -> impl Future<Output = Result<CodeKey, Unavailable>> + Send;
}

/// What a write that counts an attempt did.
#[derive(Clone, Debug)]
pub enum CountOutcome {
    /// The attempt is counted. Holds the record after the write.
    Counted(ChallengeRecord),
    /// The condition failed. Holds the record that failed it.
    NotCounted(ChallengeRecord),
}

/// What the first writes that count a guess did, all at the same time.
#[derive(Clone, Debug)]
pub struct GuessCounts {
    pub attempt: CountOutcome,
    /// Set if the guess's source has no guesses left in the guess's lane until then.
    pub source_closed_until: Option<Timestamp>,
}

pub trait CheckCodeStore: Sync {
    /// Counts a guess at its phone and, at the same time, at its source.
    ///
    /// The write at the phone has the condition of [`ChallengeRecord::count`] for a code that was not consumed, and failures
    /// that bring no delay. If it fails, the guess may still be allowed: [`claim_attempt`] decides.
    fn count_guess(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> impl Future<Output = Result<GuessCounts, Unavailable>> + Send;
    /// Counts an attempt by replacing `seen` with `next`, if the record still is `seen`.
    fn count_attempt_from(
        &self,
        claim: &Claim,
        seen: &ChallengeRecord,
        next: &ChallengeRecord,
    ) -> impl Future<Output = Result<CountOutcome, Unavailable>> + Send;
    /// Gives the claim's id its comparison in a closure back.
    fn excuse_again(&self, claim: &Claim) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// What a person typed, and the fixed code that it may match instead of a derived one.
#[derive(Clone, Debug)]
pub struct SubmittedCode {
    pub code: OtpCode,
    /// The organization's fixed code for the phone, if the phone is one of its test numbers.
    pub fixed: Option<OtpCode>,
}

#[derive(Debug)]
pub enum ClaimOutcome {
    /// The attempt is counted; now the code may be compared.
    Granted(GrantedClaim),
    Refused(ClaimRefusal, Option<Challenge>),
}

impl ClaimOutcome {
    pub const fn challenge(&self) -> Option<&Challenge> {
        match self {
            Self::Granted(granted) => Some(granted.challenge()),
            Self::Refused(_, challenge) => challenge.as_ref(),
        }
    }
}

/// Who makes a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Anyone,
    /// A device that proved a key with which the phone's holder signed in before. The guesses of others never refuse it.
    KnownDevice,
}

/// A counted attempt: the permission to compare one code, one time.
#[derive(Debug)]
pub struct GrantedClaim {
    claim: Claim,
    challenge: Challenge,
    used_up_excuse: bool,
}

impl GrantedClaim {
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// Whether the closure that is in force, or that the claim began, refuses further claims under its id.
    pub const fn used_up_excuse(&self) -> bool {
        self.used_up_excuse
    }

    /// The lane in which the attempt is counted.
    pub const fn lane(&self) -> GuessLane {
        self.claim.lane
    }

    /// Compares the code.
    pub async fn accepts(
        self,
        submitted: &SubmittedCode,
        keys: &impl CodeKeys,
        limits: &Limits,
    ) -> Result<Comparison, Unavailable> {
        let Self { claim, challenge, .. } = self;
        let is_correct = if challenge.has_fixed_code {
            submitted.fixed.as_ref().is_some_and(|expected| submitted.code.matches(expected))
        } else {
            let key = keys.version(&challenge.key_version).await?;
            submitted.code.matches(&key.derive(&challenge.id, &claim.purpose, &claim.phone))
        };
        Ok(if is_correct {
            Comparison::Correct(Box::new(challenge))
        } else {
            let attempts_left = challenge.attempts_left(claim.challenge_id.as_ref(), limits);
            Comparison::Incorrect(CodeRefusal::Incorrect { attempts_left })
        })
    }
}

#[derive(Debug)]
pub enum Comparison {
    Correct(Box<Challenge>),
    Incorrect(CodeRefusal),
}

/// Claims an attempt, given what the first writes that count it did.
///
/// If the condition of the write at the phone failed, [`ChallengeRecord::count`] decides, from the record that the store
/// returned, and a second write counts the attempt if the record has not changed since.
pub async fn claim_attempt(
    store: &impl CheckCodeStore,
    claim: &Claim,
    standing: Standing,
    limits: &Limits,
    counts: GuessCounts,
) -> Result<ClaimOutcome, Unavailable> {
    if let (Some(until), Standing::Anyone) = (counts.source_closed_until, standing) {
        return Ok(refused_at_source(claim, limits, until, counts.attempt));
    }
    let mut claim = claim.clone();
    let mut outcome = counts.attempt;
    for _ in 0..MAX_ROUNDS {
        let seen = match outcome {
            CountOutcome::Counted(record) => {
                return Ok(match record.challenge_to_compare(&claim, limits) {
                    Ok(challenge) => {
                        let used = &record.with_id.used_in_closure;
                        let is_of_lane = claim.lane == GuessLane::WithId;
                        let used_up_excuse =
                            is_of_lane && claim.challenge_id.as_ref().is_some_and(|id| used.contains(id));
                        let challenge = challenge.clone();
                        ClaimOutcome::Granted(GrantedClaim { claim, challenge, used_up_excuse })
                    }
                    Err(refusal) => ClaimOutcome::Refused(refusal, record.challenge),
                });
            }
            CountOutcome::NotCounted(seen) => seen,
        };
        match seen.count(&claim, limits) {
            Err(ClaimRefusal::Closed { .. }) if may_change_lane(&claim, standing, &seen) => {
                claim.lane = GuessLane::KnownDevice;
                outcome = CountOutcome::NotCounted(seen);
            }
            Err(refusal) => return Ok(ClaimOutcome::Refused(refusal, seen.challenge)),
            Ok(next) => outcome = store.count_attempt_from(&claim, &seen, &next).await?,
        }
    }
    Err(Unavailable::new("claim an attempt", "other claims changed the record each time"))
}

/// Whether the guess of a known device that is refused in its lane may be counted in the lane of known devices. Several
/// people know a fixed code, so a guess at it may not.
fn may_change_lane(claim: &Claim, standing: Standing, seen: &ChallengeRecord) -> bool {
    let is_fixed = seen.challenge.as_ref().is_some_and(|challenge| challenge.has_fixed_code);
    standing == Standing::KnownDevice && claim.lane == GuessLane::WithId && !is_fixed
}

fn refused_at_source(claim: &Claim, limits: &Limits, until: Timestamp, attempt: CountOutcome) -> ClaimOutcome {
    let at_source = Closed { retry_after_seconds: claim.now.seconds_until(until) };
    let (record, at_phone) = match attempt {
        CountOutcome::Counted(record) => (record, None),
        CountOutcome::NotCounted(record) => {
            let refusal = record.count(claim, limits).err();
            (record, refusal)
        }
    };
    let refusal = match at_phone {
        Some(closed @ ClaimRefusal::Closed { .. }) => closed.and_closed(at_source),
        _ => at_source.into(),
    };
    ClaimOutcome::Refused(refusal, record.challenge)
}
