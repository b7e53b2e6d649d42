//! Who may pass: a good access token whose session is still open.

use std::future::Future;

use crate::ids::{SessionId, UserId};
use crate::session::Session;
use crate::token::Caller;
use crate::{Timestamp, Unavailable};

/// What authorizing needs of the store.
pub trait AuthorizeStore: Sync {
    /// Reads a session.
    fn session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<Session>, Unavailable>> + Send;
}

/// Why a caller may not pass.
#[derive(Debug)]
pub enum AuthorizeError {
    /// There is no token.
    TokenRequired,
    /// The token is not one of ours, or not for this.
    TokenInvalid,
    /// The token's time is over.
    TokenExpired,
    /// The session was ended.
    SessionRevoked,
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for AuthorizeError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Lets a caller with a good token pass, unless their session has ended since.
///
/// # Errors
/// [`AuthorizeError`].
pub async fn check_session(store: &impl AuthorizeStore, caller: &Caller, now: Timestamp) -> Result<(), AuthorizeError> {
    match store.session(&caller.user, &caller.session).await? {
        Some(session) if session.is_live(now) => Ok(()),
        _ => Err(AuthorizeError::SessionRevoked),
    }
}
