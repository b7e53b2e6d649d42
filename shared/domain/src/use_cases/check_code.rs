//! Checking a code: one conditional write counts the attempt, and only then is the code compared.
//!
//! Only this module makes a [`GrantedClaim`], and only a `GrantedClaim` can compare a code.

use std::future::Future;

use crate::rules::challenge::{Challenge, ChallengeRecord, Claim, ClaimRefusal, CodeRefusal};
use crate::rules::code_key::{CodeKey, CodeKeyVersion};
use crate::rules::limits::Limits;
use crate::values::otp_code::OtpCode;
use crate::values::text::OrganizationId;
use crate::values::unavailable::Unavailable;

/// How often a claim is retried because other claims change the record. In each round one of them wins, and after five
/// wins no attempt is left; closed records and replays need more rounds.
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
    /// The condition failed. Holds the record that failed it, if there is one with a challenge.
    NotCounted(Option<ChallengeRecord>),
}

pub trait CheckCodeStore: Sync {
    /// Counts an attempt by one write whose condition is [`ChallengeRecord::claim`] for a record whose code was not
    /// consumed and whose failures bring no delay. Not counted does not mean refused.
    fn count_attempt(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> impl Future<Output = Result<CountOutcome, Unavailable>> + Send;
    /// Counts an attempt by replacing `seen` with `next`, if the record still is `seen`.
    fn count_attempt_from(
        &self,
        claim: &Claim,
        seen: &ChallengeRecord,
        next: &ChallengeRecord,
    ) -> impl Future<Output = Result<CountOutcome, Unavailable>> + Send;
}

/// What a person typed, and the fixed code that it may match instead of a derived one.
#[derive(Clone, Debug)]
pub struct SubmittedCode {
    pub code: OtpCode,
    pub organization: OrganizationId,
    /// The organization's fixed code for the phone, if the phone is one of its test numbers.
    pub fixed: Option<OtpCode>,
}

#[derive(Debug)]
pub enum ClaimOutcome {
    /// The attempt is counted; now the code may be compared.
    Granted(GrantedClaim),
    Refused(ClaimRefusal, Option<ChallengeRecord>),
}

/// A counted attempt: the permission to compare one code, one time.
#[derive(Debug)]
pub struct GrantedClaim {
    claim: Claim,
    record: ChallengeRecord,
}

impl GrantedClaim {
    pub fn challenge(&self) -> &Challenge {
        &self.record.challenge
    }

    /// Compares the code. A fixed code counts only for the organization whose send started the challenge.
    pub async fn accepts(
        self,
        submitted: &SubmittedCode,
        keys: &impl CodeKeys,
        limits: &Limits,
    ) -> Result<Comparison, Unavailable> {
        let Self { claim, record } = self;
        let challenge = &record.challenge;
        let is_correct = if let Some(organization) = &challenge.fixed_code_of {
            let expected = submitted.fixed.as_ref().filter(|_| *organization == submitted.organization);
            expected.is_some_and(|expected| submitted.code.matches(expected))
        } else {
            let key = keys.version(&challenge.key_version).await?;
            submitted.code.matches(&key.derive(&challenge.id, &claim.purpose, &record.phone))
        };
        Ok(if is_correct {
            Comparison::Correct(Box::new(record.challenge))
        } else {
            Comparison::Incorrect(CodeRefusal::Incorrect { attempts_left: Some(record.attempts_left(&claim, limits)) })
        })
    }
}

#[derive(Debug)]
pub enum Comparison {
    Correct(Box<Challenge>),
    Incorrect(CodeRefusal),
}

/// Claims an attempt, given what the first write that tried to count it did.
///
/// Where that write's condition failed, [`ChallengeRecord::claim`] decides about the record that failed it, and a second write
/// counts the attempt if the record has not changed since.
pub async fn claim_attempt(
    store: &impl CheckCodeStore,
    claim: &Claim,
    limits: &Limits,
    first: CountOutcome,
) -> Result<ClaimOutcome, Unavailable> {
    let mut outcome = first;
    for _ in 0..MAX_ROUNDS {
        let seen = match outcome {
            CountOutcome::Counted(record) => {
                return Ok(ClaimOutcome::Granted(GrantedClaim { claim: claim.clone(), record }));
            }
            CountOutcome::NotCounted(None) => {
                return Ok(ClaimOutcome::Refused(ClaimRefusal::NoSuchChallenge, None));
            }
            CountOutcome::NotCounted(Some(seen)) => seen,
        };
        match seen.claim(claim, limits) {
            Err(refusal) => return Ok(ClaimOutcome::Refused(refusal, Some(seen))),
            Ok(next) => outcome = store.count_attempt_from(claim, &seen, &next).await?,
        }
    }
    Err(Unavailable::new("claim an attempt", "other claims changed the record each time"))
}
