//! Signing in with an ID token of Firebase phone sign-in instead of a code. Each token opens one session.

use std::future::Future;

use thiserror::Error;

use super::open_session::{
    OpenOutcome, OpenSessionStore, PhoneProof, ProvenPhone, Resumption, SignInContext, SignedIn, open_session,
    resume_session,
};
use crate::rules::challenge::{Consumption, IdempotencyDigest};
use crate::rules::firebase_token::{FirebaseRefusal, TokenDigest, VerifiedToken};
use crate::rules::limits::Limits;
use crate::rules::organization::Organization;
use crate::rules::user::{PhoneHolder, Recovery, Release};
use crate::values::phone::{DialledNumber, PhoneNumber};
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

#[derive(Clone, Debug)]
pub struct SubmitFirebaseRequest {
    pub token: VerifiedToken,
    /// The token's number, read like one that a person typed.
    pub phone: DialledNumber,
    pub idempotency: Option<IdempotencyDigest>,
    pub context: SignInContext,
}

pub trait SubmitFirebaseStore: OpenSessionStore {
    /// Finds the phone's holder and, at the same time, the earlier use of the token.
    fn find_holder_and_token_use(
        &self,
        phone: &PhoneNumber,
        digest: &TokenDigest,
    ) -> impl Future<Output = Result<(Option<PhoneHolder>, Option<Consumption>), Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum SubmitFirebaseError {
    #[error("the token was not accepted")]
    Token(FirebaseRefusal),
    #[error("the organization admits only its members")]
    NotAMember,
    #[error("an operator blocked the account")]
    Blocked,
    #[error("the organization does not accept numbers of this country")]
    CountryNotAllowed,
    /// Several people may know the number's fixed code.
    #[error("the number is a test number, but its user has roles that such a number must not open")]
    TestNumberRefused,
    #[error("the number is dormant and may belong to another person by now")]
    SecondSignalRequired,
    #[error("the number's account was deleted or got another number a short time ago")]
    Released(Release),
    #[error("no change of this number can be taken back")]
    NothingToUndo,
    #[error("the account can be opened later, unless a device refuses")]
    RecoveryPending(Recovery),
    #[error("a device refused to give the account to whoever has its number")]
    RecoveryRefused { until: Timestamp },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Signs in the holder of the phone that the token proves. A retry of the same request gets tokens again for the
/// session that the token opened, while that session is live.
///
/// Firebase's own test numbers have fixed codes too, and their tokens look like any other. So the organization's test
/// numbers open nothing by Firebase that their fixed codes do not open.
///
/// If it is `Unavailable`, the request may be repeated; after any other error nobody was signed in.
pub async fn submit_firebase(
    store: &impl SubmitFirebaseStore,
    organization: &Organization,
    limits: &Limits,
    request: SubmitFirebaseRequest,
) -> Result<SignedIn, SubmitFirebaseError> {
    let SubmitFirebaseRequest { token, phone: dialled, idempotency, context } = request;
    let VerifiedToken { digest, valid_until, .. } = token;
    let now = context.now;
    let is_test_number = organization.fixed_code(&dialled.number, now).is_some();
    if !is_test_number && !organization.sends_to(dialled.country) {
        return Err(SubmitFirebaseError::CountryNotAllowed);
    }
    let phone = dialled.number;
    let (organization, device_key) = (organization.id.clone(), context.device.key.clone());
    let resumption = Resumption { organization, device_key, is_test_number };
    let (holder, used) = store.find_holder_and_token_use(&phone, &digest).await?;
    let consumption = match used {
        Some(consumption) => Some(consumption),
        None => {
            let proof = PhoneProof::Firebase { digest, valid_until, idempotency: idempotency.clone(), is_test_number };
            match open_session(store, limits, ProvenPhone { phone, proof, holder }, context).await? {
                OpenOutcome::SignedIn(signed_in) => return Ok(*signed_in),
                OpenOutcome::AlreadyConsumed(consumption) => consumption,
                OpenOutcome::NothingToUndo => return Err(SubmitFirebaseError::NothingToUndo),
                OpenOutcome::RecoveryPending(recovery) => return Err(SubmitFirebaseError::RecoveryPending(recovery)),
                OpenOutcome::RecoveryRefused { until } => return Err(SubmitFirebaseError::RecoveryRefused { until }),
                OpenOutcome::Released(release) => return Err(SubmitFirebaseError::Released(release)),
                OpenOutcome::SecondSignalRequired(_) => return Err(SubmitFirebaseError::SecondSignalRequired),
                OpenOutcome::Blocked => return Err(SubmitFirebaseError::Blocked),
                OpenOutcome::NotAMember => return Err(SubmitFirebaseError::NotAMember),
                OpenOutcome::TestNumberRefused => return Err(SubmitFirebaseError::TestNumberRefused),
            }
        }
    };
    let used_before = SubmitFirebaseError::Token(FirebaseRefusal::Invalid);
    match consumption.filter(|consumption| consumption.may_be_replayed(idempotency.as_ref(), now)) {
        Some(consumption) => {
            let resumed = resume_session(store, &consumption, &resumption, now).await?;
            resumed.ok_or(used_before)
        }
        None => Err(used_before),
    }
}
