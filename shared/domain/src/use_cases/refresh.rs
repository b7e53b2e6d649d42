//! Refreshing: one conditional write rotates the refresh token. An old copy of the token ends the session.

use std::future::Future;

use thiserror::Error;

use crate::rules::limits::Limits;
use crate::rules::organization::{Access, Membership};
use crate::rules::session::{PresentedRefreshToken, Rotation, Session};
use crate::rules::user::User;
use crate::values::ids::{SessionId, UserId};
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

pub trait RefreshStore: Sync {
    fn read_owner(&self, id: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
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
    /// As [`Self::revoke_session`], and leaves a trace of why.
    fn revoke_reused_session(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
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
    #[error("the organization admits only its members; the session and its token stay as they are")]
    NotAMember,
    #[error("an operator blocked the account; the session was ended")]
    AccountBlocked,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Presents a refresh token of an organization with this access. Returns what the new tokens are issued for.
pub async fn refresh(
    store: &impl RefreshStore,
    limits: &Limits,
    access: &Access,
    token: &PresentedRefreshToken,
    now: Timestamp,
) -> Result<(User, Session), RefreshError> {
    // Before the rotation: who becomes a member again refreshes with the same token.
    if access.membership == Membership::Invited {
        let owner = store.read_owner(&token.user).await?;
        if owner.is_some_and(|owner| !access.admits(&owner, &token.organization)) {
            return Err(RefreshError::NotAMember);
        }
    }
    let (rotation, owner) = store.rotate_and_read_user(token, now, limits).await?;
    match (rotation, owner) {
        (Rotation::Rotated(_) | Rotation::Replayed(_), Some(owner)) if owner.is_blocked() => {
            store.revoke_session(&token.user, &token.session).await?;
            Err(RefreshError::AccountBlocked)
        }
        // Whoever blocks an account ends its sessions.
        (Rotation::Revoked, Some(owner)) if owner.is_blocked() => Err(RefreshError::AccountBlocked),
        (Rotation::Rotated(current) | Rotation::Replayed(current), Some(owner)) => Ok((owner, current)),
        (Rotation::Rotated(_) | Rotation::Replayed(_), None) => {
            store.revoke_session(&token.user, &token.session).await?;
            Err(RefreshError::NoSuchUser)
        }
        (Rotation::Reused, _) => {
            store.revoke_reused_session(&token.user, &token.session, now).await?;
            Err(RefreshError::RefreshReused)
        }
        (Rotation::Expired, _) => Err(RefreshError::Expired),
        (Rotation::Revoked, None) => Err(RefreshError::NoSuchUser),
        (Rotation::Revoked, Some(_)) => Err(RefreshError::SessionRevoked),
    }
}
