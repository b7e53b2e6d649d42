//! Signing in with an ID token of Firebase phone sign-in instead of a code. Each token opens one session.

use std::future::Future;

use thiserror::Error;

use super::open_session::{
    OpenOutcome, OpenSessionStore, PhoneProof, ProvenPhone, SignInContext, SignedIn, open_session, resume_session,
};
use crate::rules::challenge::Consumption;
use crate::rules::firebase_token::{FirebaseRefusal, TokenDigest, VerifiedToken};
use crate::rules::limits::Limits;
use crate::rules::user::PhoneHolder;
use crate::values::phone::PhoneNumber;
use crate::values::unavailable::Unavailable;

#[derive(Clone, Debug)]
pub struct SubmitFirebaseRequest {
    pub token: VerifiedToken,
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
    #[error("the number is dormant and may belong to another person by now")]
    SecondSignalRequired,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Signs in the holder of the phone that the token proves. The same token gets tokens again for the session that it opened,
/// while that session is live.
///
/// If it is `Unavailable`, the request may be repeated; after any other error nobody was signed in.
pub async fn submit_firebase(
    store: &impl SubmitFirebaseStore,
    limits: &Limits,
    request: SubmitFirebaseRequest,
) -> Result<SignedIn, SubmitFirebaseError> {
    let SubmitFirebaseRequest { token: VerifiedToken { phone, digest, valid_until }, context } = request;
    let now = context.now;
    let (holder, used) = store.find_holder_and_token_use(&phone, &digest).await?;
    let consumption = match used {
        Some(consumption) => Some(consumption),
        None => {
            let proof = PhoneProof::Firebase { digest, valid_until };
            match open_session(store, limits, ProvenPhone { phone, proof, holder }, context).await? {
                OpenOutcome::SignedIn(signed_in) => return Ok(*signed_in),
                OpenOutcome::AlreadyConsumed(consumption) => consumption,
                OpenOutcome::SecondSignalRequired(_) => return Err(SubmitFirebaseError::SecondSignalRequired),
                OpenOutcome::NotAMember => return Err(SubmitFirebaseError::NotAMember),
                OpenOutcome::TestNumberRefused => None,
            }
        }
    };
    let ended = SubmitFirebaseError::Token(FirebaseRefusal::Invalid);
    let Some(consumption) = consumption else { return Err(ended) };
    resume_session(store, &consumption, false, now).await?.ok_or(ended)
}
