//! Signing in by a code: claim an attempt, compare, then consume the code and open the session in one transaction.

use std::future::Future;

use thiserror::Error;

use super::approval::{ApprovalRequestStore, PushGateway, request_approval};
use super::check_code::{
    CheckCodeStore, ClaimOutcome, CodeKeys, Comparison, GuessCounts, Standing, SubmittedCode, claim_attempt,
};
use super::open_session::{
    OpenOutcome, OpenSessionStore, PhoneProof, ProvenPhone, Resumption, SignInContext, SignedIn, is_known_device,
    open_session, resume_session,
};
use crate::rules::challenge::{Claim, ClaimRefusal, CodeRefusal, Consumption, GuessLane, IdempotencyDigest};
use crate::rules::limits::Limits;
use crate::rules::user::{PhoneHolder, Recovery, Release};
use crate::values::ids::ChallengeId;
use crate::values::phone::PhoneNumber;
use crate::values::purpose::Purpose;
use crate::values::source_address::SourceAddress;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

#[derive(Clone, Debug)]
pub struct SubmitOtpRequest {
    pub phone: PhoneNumber,
    pub code: SubmittedCode,
    pub challenge_id: Option<ChallengeId>,
    pub idempotency: Option<IdempotencyDigest>,
    pub source: SourceAddress,
    pub context: SignInContext,
}

pub trait SubmitOtpStore: CheckCodeStore + OpenSessionStore {
    /// [`CheckCodeStore::count_guess`] and, at the same time, a read of the phone's holder.
    fn count_guess_and_find_holder(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> impl Future<Output = Result<(GuessCounts, Option<PhoneHolder>), Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum SubmitOtpError {
    #[error("the code was not accepted")]
    Code(CodeRefusal),
    /// Several people know the fixed code.
    #[error("the fixed code was right, but its user has roles that such a code must not open")]
    TestNumberRefused,
    /// The code was not consumed.
    #[error("the organization admits only its members")]
    NotAMember,
    /// The code was not consumed.
    #[error("an operator blocked the account")]
    Blocked,
    /// The code was not consumed.
    #[error("the number is dormant and may belong to another person by now")]
    SecondSignalRequired {
        /// Whether a device of the phone's holder was asked to approve the sign-in.
        approval_requested: bool,
    },
    /// The code was not consumed.
    #[error("the number's account was deleted or got another number a short time ago")]
    Released(Release),
    /// The code was not consumed.
    #[error("no change of this number can be taken back")]
    NothingToUndo,
    /// The code was not consumed.
    #[error("the account can be opened later, unless a device refuses")]
    RecoveryPending(Recovery),
    /// The code was not consumed.
    #[error("a device refused to give the account to whoever has its number")]
    RecoveryRefused { until: Timestamp },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Signs in whoever holds the phone and typed the code. If the number is dormant, the holder's devices are asked through
/// `pushes`.
///
/// If it is `Unavailable`, the same request may be repeated; after any other error nobody was signed in.
pub async fn submit_otp(
    store: &(impl SubmitOtpStore + ApprovalRequestStore),
    keys: &impl CodeKeys,
    pushes: Option<&impl PushGateway>,
    limits: &Limits,
    request: SubmitOtpRequest,
) -> Result<SignedIn, SubmitOtpError> {
    let claim = Claim {
        purpose: Purpose::SignIn { organization: request.context.organization.clone() },
        phone: request.phone.clone(),
        lane: GuessLane::of(request.challenge_id.as_ref()),
        challenge_id: request.challenge_id,
        idempotency: request.idempotency.clone(),
        source: request.source,
        now: request.context.now,
    };
    // Read before the attempt is counted, and whether or not there is a challenge: if the key cannot be read, no attempt
    // is used up, and only a code of an older key makes a guess without an id take longer.
    keys.current().await?;
    let (counted, holder) = store.count_guess_and_find_holder(&claim, limits).await?;
    let is_known = holder.as_ref().is_some_and(|holder| is_known_device(holder, &request.context.device, claim.now));
    let standing = if is_known { Standing::KnownDevice } else { Standing::Anyone };
    let granted = match claim_attempt(store, &claim, standing, limits, counted).await? {
        ClaimOutcome::Granted(granted) => granted,
        ClaimOutcome::Refused(refusal, _) => return Err(SubmitOtpError::Code(refusal.to_client(&claim))),
    };
    let (used_up_excuse, lane) = (granted.used_up_excuse(), granted.lane());
    let challenge = match granted.accepts(&request.code, keys, limits).await? {
        Comparison::Correct(challenge) => challenge,
        Comparison::Incorrect(refusal) => return Err(SubmitOtpError::Code(refusal)),
    };
    let resumption = Resumption {
        organization: request.context.organization.clone(),
        device_key: request.context.device.key.clone(),
        is_test_number: challenge.has_fixed_code,
    };
    if let Some(consumption) = &challenge.consumption {
        return replay(store, &claim, consumption, &resumption).await;
    }
    let proof = PhoneProof::Code { challenge: challenge.clone(), lane, idempotency: request.idempotency };
    let proven = ProvenPhone { phone: request.phone, proof, holder };
    let opened = open_session(store, limits, proven, request.context).await;
    if used_up_excuse && !matches!(opened, Ok(OpenOutcome::SignedIn(_) | OpenOutcome::AlreadyConsumed(_))) {
        // The code was right and can be submitted again. If this fails, that needs a new one.
        let _ = store.excuse_again(&claim).await;
    }
    match opened? {
        OpenOutcome::SignedIn(signed_in) => Ok(*signed_in),
        OpenOutcome::TestNumberRefused => Err(SubmitOtpError::TestNumberRefused),
        OpenOutcome::Blocked => Err(SubmitOtpError::Blocked),
        OpenOutcome::NotAMember => Err(SubmitOtpError::NotAMember),
        OpenOutcome::NothingToUndo => Err(SubmitOtpError::NothingToUndo),
        OpenOutcome::Released(release) => Err(SubmitOtpError::Released(release)),
        OpenOutcome::RecoveryPending(recovery) => Err(SubmitOtpError::RecoveryPending(recovery)),
        OpenOutcome::RecoveryRefused { until } => Err(SubmitOtpError::RecoveryRefused { until }),
        OpenOutcome::SecondSignalRequired(holder) => {
            let approval_requested = match holder {
                Some(holder) => request_approval(store, pushes, &holder, &claim, &challenge).await?,
                None => false,
            };
            Err(SubmitOtpError::SecondSignalRequired { approval_requested })
        }
        OpenOutcome::AlreadyConsumed(consumption) => {
            // The request that consumed the code may be this one, sent twice.
            match consumption.filter(|consumption| consumption.may_be_replayed_by(&claim)) {
                Some(consumption) => replay(store, &claim, &consumption, &resumption).await,
                None => Err(consumed(&claim)),
            }
        }
    }
}

/// Answers a retry of the request that consumed the code.
async fn replay(
    store: &impl SubmitOtpStore,
    claim: &Claim,
    consumption: &Consumption,
    resumption: &Resumption,
) -> Result<SignedIn, SubmitOtpError> {
    resume_session(store, consumption, resumption, claim.now).await?.ok_or_else(|| consumed(claim))
}

fn consumed(claim: &Claim) -> SubmitOtpError {
    SubmitOtpError::Code(ClaimRefusal::Consumed.to_client(claim))
}
