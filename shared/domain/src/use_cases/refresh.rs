//! Refreshing: one conditional write rotates the refresh token. An old copy of the token ends the session.

use std::future::Future;

use thiserror::Error;

use crate::rules::limits::Limits;
use crate::rules::session::{Rotation, Session};
use crate::rules::token::PresentedRefreshToken;
use crate::rules::user::User;
use crate::values::ids::{SessionId, UserId};
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

pub trait RefreshStore: Sync {
    /// Applies [`Session::rotate`] and, at the same time, reads the user.
    fn rotate_and_read_user(
        &self,
        token: &PresentedRefreshToken,
        now: Timestamp,
        limits: &Limits,
    ) -> impl Future<Output = Result<(Rotation, Option<User>), Unavailable>> + Send;
    /// Succeeds if the session no longer exists.
    fn revoke_session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum RefreshError {
    #[error("the session has expired")]
    Expired,
    #[error("the session was ended")]
    SessionRevoked,
    #[error("an older refresh token was presented; the session was ended")]
    RefreshReused,
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Presents a refresh token. Returns what the new tokens are issued for.
pub async fn refresh(
    store: &impl RefreshStore,
    limits: &Limits,
    token: &PresentedRefreshToken,
    now: Timestamp,
) -> Result<(User, Session), RefreshError> {
    let (rotation, owner) = store.rotate_and_read_user(token, now, limits).await?;
    match (rotation, owner) {
        (Rotation::Rotated(current) | Rotation::Replayed(current), Some(owner)) => Ok((owner, current)),
        (Rotation::Rotated(_) | Rotation::Replayed(_), None) => {
            store.revoke_session(&token.user, &token.session).await?;
            Err(RefreshError::NoSuchUser)
        }
        (Rotation::Reused, _) => {
            store.revoke_session(&token.user, &token.session).await?;
            Err(RefreshError::RefreshReused)
        }
        (Rotation::Expired, _) => Err(RefreshError::Expired),
        (Rotation::Revoked, None) => Err(RefreshError::NoSuchUser),
        (Rotation::Revoked, Some(_)) => Err(RefreshError::SessionRevoked),
    }
}
