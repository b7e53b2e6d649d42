//! Staying signed in: one conditional write rotates the refresh token; an old copy of it ends the session.

use std::future::Future;

use crate::ids::{SessionId, UserId};
use crate::limits::Limits;
use crate::session::{Rotation, Session};
use crate::user::User;
use crate::{Timestamp, Unavailable};

/// What refreshing needs of the store.
pub trait RefreshStore: Sync {
    /// Rotates the session if `presented` is its current token's number and, side by side, reads the user.
    fn rotate_and_read_user(
        &self,
        user: &UserId,
        session: &SessionId,
        presented: u64,
        now: Timestamp,
        limits: &Limits,
    ) -> impl Future<Output = Result<(Rotation, Option<User>), Unavailable>> + Send;
    /// Ends a session. Ending one that is gone is no error.
    fn end_session(&self, user: &UserId, session: &SessionId) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Why no tokens were given.
#[derive(Debug)]
pub enum RefreshError {
    /// The session's time is over.
    Expired,
    /// The session was ended.
    SessionRevoked,
    /// An older token was shown: the session was ended.
    RefreshReused,
    /// The user is gone.
    NoSuchUser,
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for RefreshError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Takes refresh token number `presented` and answers what the new tokens are to be made of.
///
/// # Errors
/// [`RefreshError`].
pub async fn refresh(
    store: &impl RefreshStore,
    limits: &Limits,
    user: &UserId,
    session: &SessionId,
    presented: u64,
    now: Timestamp,
) -> Result<(User, Session), RefreshError> {
    let (rotation, owner) = store.rotate_and_read_user(user, session, presented, now, limits).await?;
    match (rotation, owner) {
        (Rotation::Rotated(current) | Rotation::Repeated(current), Some(owner)) => Ok((owner, current)),
        (Rotation::Rotated(_) | Rotation::Repeated(_), None) => {
            store.end_session(user, session).await?;
            Err(RefreshError::NoSuchUser)
        }
        (Rotation::Reused, _) => {
            store.end_session(user, session).await?;
            Err(RefreshError::RefreshReused)
        }
        (Rotation::Expired, _) => Err(RefreshError::Expired),
        (Rotation::Revoked, None) => Err(RefreshError::NoSuchUser),
        (Rotation::Revoked, Some(_)) => Err(RefreshError::SessionRevoked),
    }
}
