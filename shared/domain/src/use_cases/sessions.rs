//! A user's sessions: listing them, and ending one or all of them.

use std::future::Future;

use thiserror::Error;

use crate::rules::session::Session;
use crate::rules::token::Caller;
use crate::values::ids::{SessionId, UserId};
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

pub trait SessionsStore: Sync {
    fn user_exists(&self, user: &UserId) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Reads the live sessions, the last used one first; at the same time, whether the user exists. None if not.
    fn live_sessions_of_user(
        &self,
        user: &UserId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Vec<Session>>, Unavailable>> + Send;
    /// Succeeds if the session no longer exists.
    fn end_session(&self, user: &UserId, session: &SessionId) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// Ends all sessions, `last` as the last one: as long as any session is left, the caller can ask again.
    fn end_all_sessions(&self, user: &UserId, last: &SessionId)
    -> impl Future<Output = Result<(), Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum SessionsError {
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Lists the caller's live sessions, the last used one first.
pub async fn list_sessions(
    store: &impl SessionsStore,
    caller: &Caller,
    now: Timestamp,
) -> Result<Vec<Session>, SessionsError> {
    store.live_sessions_of_user(&caller.user, now).await?.ok_or(SessionsError::NoSuchUser)
}

/// Ends one of the caller's sessions. Ending an unknown one succeeds.
pub async fn end_session(
    store: &impl SessionsStore,
    caller: &Caller,
    session: &SessionId,
) -> Result<(), SessionsError> {
    require_user(store, caller).await?;
    Ok(store.end_session(&caller.user, session).await?)
}

/// Ends all of the caller's sessions. If it fails, some may have ended, and the caller's own has not.
pub async fn end_all_sessions(store: &impl SessionsStore, caller: &Caller) -> Result<(), SessionsError> {
    require_user(store, caller).await?;
    Ok(store.end_all_sessions(&caller.user, &caller.session).await?)
}

async fn require_user(store: &impl SessionsStore, caller: &Caller) -> Result<(), SessionsError> {
    if store.user_exists(&caller.user).await? { Ok(()) } else { Err(SessionsError::NoSuchUser) }
}
