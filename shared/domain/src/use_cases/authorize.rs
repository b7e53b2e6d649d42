//! Authorizing: a valid access token whose session is live.

use std::future::Future;

use thiserror::Error;

use crate::rules::device_proof::ProofRefusal;
use crate::rules::session::Session;
use crate::rules::token::Caller;
use crate::values::ids::{SessionId, UserId};
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

pub trait AuthorizeStore: Sync {
    fn session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<Session>, Unavailable>> + Send;
    fn user_exists(&self, user: &UserId) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum AuthorizeError {
    #[error("there is no access token")]
    TokenRequired,
    #[error("the access token is not valid here")]
    TokenInvalid,
    #[error("the access token has expired")]
    TokenExpired,
    #[error(transparent)]
    InvalidProof(#[from] ProofRefusal),
    #[error("the session was ended")]
    SessionRevoked,
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Lets a caller with a valid token pass while their session is live. Only a refusal reads the user, to tell a revoked
/// session from a deleted account.
pub async fn authorize(store: &impl AuthorizeStore, caller: &Caller, now: Timestamp) -> Result<(), AuthorizeError> {
    match store.session(&caller.user, &caller.session).await? {
        Some(session) if session.is_live(now) => Ok(()),
        _ if store.user_exists(&caller.user).await? => Err(AuthorizeError::SessionRevoked),
        _ => Err(AuthorizeError::NoSuchUser),
    }
}
