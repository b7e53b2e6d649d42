//! Signing in by a code: claim a try, compare, then consume the code and open the session in one transaction.

use std::future::Future;

use crate::Unavailable;
use crate::approval::{AskStore, Pushes, ask_devices};
use crate::challenge::{
    Claim, ClaimOutcome, ClaimRefusal, CodeRefusal, Consumed, IdempotencyDigest, Purpose, TypedCode,
};
use crate::ids::ChallengeId;
use crate::limits::Limits;
use crate::phone::PhoneNumber;
use crate::send_otp::CodeKeys;
use crate::sign_in::{Arrival, Evidence, Holder, Opened, SignInStore, SignedIn, open_session, resume};

/// A code, typed.
#[derive(Clone, Debug)]
pub struct SubmitOtp {
    /// The phone it went to.
    pub phone: PhoneNumber,
    /// What was typed, for the organization to sign in to.
    pub code: TypedCode,
    /// The challenge it answers, if the client says.
    pub challenge_id: Option<ChallengeId>,
    /// The client's idempotency key, if it sent one.
    pub idempotency: Option<IdempotencyDigest>,
    /// What came along.
    pub arrival: Arrival,
}

/// What signing in by a code needs of the store.
pub trait SubmitOtpStore: SignInStore {
    /// Claims a try and, side by side, finds the user who has the phone.
    fn claim_attempt_and_find_user(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> impl Future<Output = Result<(ClaimOutcome, Option<Holder>), Unavailable>> + Send;
}

/// Why nobody was signed in.
#[derive(Debug)]
pub enum SubmitOtpError {
    /// The code was not accepted.
    Code(CodeRefusal),
    /// The fixed code was right, and its user has roles that a code known to several people must not open.
    TestNumberRefused,
    /// The number has been dormant, and may be another person's by now: it takes more than the code, which is good still.
    SecondSignalRequired {
        /// Whether a device of its holder was asked to approve the sign-in.
        approval_asked: bool,
    },
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for SubmitOtpError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Signs in whoever holds the phone and typed the code. Where that is not enough, and there are `pushes`, devices of the
/// number's holder are asked.
///
/// # Errors
/// [`SubmitOtpError`]; nobody was signed in then, unless it is `Unavailable`: then the same request may be repeated.
pub async fn submit_otp(
    store: &(impl SubmitOtpStore + AskStore),
    keys: &impl CodeKeys,
    pushes: Option<&impl Pushes>,
    limits: &Limits,
    request: SubmitOtp,
) -> Result<SignedIn, SubmitOtpError> {
    let claim = Claim {
        purpose: Purpose::SignIn,
        phone: request.phone.clone(),
        challenge_id: request.challenge_id,
        idempotency: request.idempotency.clone(),
        now: request.arrival.now,
    };
    let (outcome, holder) = store.claim_attempt_and_find_user(&claim, limits).await?;
    let record = match outcome {
        ClaimOutcome::Granted(record) => record,
        ClaimOutcome::Refused(refusal, _) => return Err(SubmitOtpError::Code(refusal.as_told_to(&claim))),
    };
    if !record.accepts(&request.code, &claim.purpose, keys).await? {
        let attempts_left = Some(record.attempts_left(&claim, limits));
        return Err(SubmitOtpError::Code(CodeRefusal::Incorrect { attempts_left }));
    }
    let is_test_number = record.challenge.fixed_code_of.is_some();
    if let Some(consumed) = &record.challenge.consumed {
        return repeated(store, &claim, consumed, is_test_number).await;
    }
    let challenge = record.challenge;
    let evidence = Evidence::Code { challenge: Box::new(challenge.clone()), idempotency: request.idempotency };
    match open_session(store, limits, &request.phone, evidence, holder, request.arrival).await? {
        Opened::SignedIn(signed_in) => Ok(*signed_in),
        Opened::TestNumberRefused => Err(SubmitOtpError::TestNumberRefused),
        Opened::SecondSignalRequired(holder) => {
            let shown = claim.challenge_id.as_ref();
            let asked = ask_devices(store, pushes, &holder, &claim.phone, &challenge, shown, claim.now).await?;
            Err(SubmitOtpError::SecondSignalRequired { approval_asked: asked })
        }
        // It may have been this very request, sent twice.
        Opened::AlreadyConsumed(consumed) => {
            let same = consumed.filter(|consumed| consumed.may_be_replayed_by(&claim));
            repeated(store, &claim, &same.ok_or_else(|| used(&claim))?, is_test_number).await
        }
    }
}

/// Answers a request again whose code was consumed by the same request before.
async fn repeated(
    store: &impl SubmitOtpStore,
    claim: &Claim,
    consumed: &Consumed,
    is_test_number: bool,
) -> Result<SignedIn, SubmitOtpError> {
    resume(store, consumed, is_test_number, claim.now).await?.ok_or_else(|| used(claim))
}

fn used(claim: &Claim) -> SubmitOtpError {
    SubmitOtpError::Code(ClaimRefusal::Consumed.as_told_to(claim))
}
