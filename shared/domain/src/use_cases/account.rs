//! The caller's own account: reading, changing and deleting it, and registering a device's FCM token.

use std::future::Future;

use thiserror::Error;

use crate::rules::token::Caller;
use crate::rules::user::User;
use crate::values::ids::{SessionId, UserId};
use crate::values::text::{FcmToken, ImageUrl, Name, Username};
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How often a change is retried because the user changed in between.
const MAX_RETRIES: usize = 4;

/// `None` keeps a member; `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    pub name: Option<Option<Name>>,
    pub image_url: Option<Option<ImageUrl>>,
    /// A username that is given up becomes available to others.
    pub username: Option<Option<Username>>,
}

#[derive(Clone, Debug)]
pub enum ChangeOutcome {
    /// Holds the user after the write.
    Changed(User),
    UsernameTaken,
    /// The user changed since they were read; nothing was written.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationOutcome {
    Registered,
    NoSuchSession,
    NoSuchUser,
}

pub trait AccountStore: Sync {
    fn user(&self, id: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    /// Writes a change, and the lock on the username with it, unless the username differs from `seen`.
    fn change_profile(
        &self,
        seen: &User,
        change: &ProfileChange,
    ) -> impl Future<Output = Result<ChangeOutcome, Unavailable>> + Send;
    /// Deletes the user, their locks, sessions and pending codes, unless phone or username differ from `seen`. Returns
    /// whether it did. If it fails, the session `own` still exists, so that its device can ask again.
    fn delete_account(
        &self,
        seen: &User,
        own: &SessionId,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Stamps the time on the session always, and writes the token only if it changed.
    fn register_fcm_token(
        &self,
        caller: &Caller,
        token: &FcmToken,
        now: Timestamp,
    ) -> impl Future<Output = Result<RegistrationOutcome, Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum AccountError {
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error("another user has this username")]
    UsernameTaken,
    #[error("the session was ended")]
    SessionRevoked,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

pub async fn read_profile(store: &impl AccountStore, caller: &UserId) -> Result<User, AccountError> {
    store.user(caller).await?.ok_or(AccountError::NoSuchUser)
}

pub async fn change_profile(
    store: &impl AccountStore,
    caller: &UserId,
    change: &ProfileChange,
) -> Result<User, AccountError> {
    for _ in 0..MAX_RETRIES {
        let seen = read_profile(store, caller).await?;
        if *change == ProfileChange::default() {
            return Ok(seen);
        }
        match store.change_profile(&seen, change).await? {
            ChangeOutcome::Changed(user) => return Ok(user),
            ChangeOutcome::UsernameTaken => return Err(AccountError::UsernameTaken),
            ChangeOutcome::Stale => {}
        }
    }
    Err(Unavailable::new("change a profile", "the user changed each time").into())
}

/// Deletes the caller's account; their number and username become available. If it is `Unavailable`, the request may be
/// repeated; after any other error the account still exists.
pub async fn delete_account(store: &impl AccountStore, caller: &Caller, now: Timestamp) -> Result<(), AccountError> {
    for _ in 0..MAX_RETRIES {
        let seen = read_profile(store, &caller.user).await?;
        if store.delete_account(&seen, &caller.session, now).await? {
            return Ok(());
        }
    }
    Err(Unavailable::new("delete an account", "the user changed each time").into())
}

/// Registers the FCM token of the caller's device.
pub async fn register_fcm_token(
    store: &impl AccountStore,
    caller: &Caller,
    token: &FcmToken,
    now: Timestamp,
) -> Result<(), AccountError> {
    match store.register_fcm_token(caller, token, now).await? {
        RegistrationOutcome::Registered => Ok(()),
        RegistrationOutcome::NoSuchSession => Err(AccountError::SessionRevoked),
        RegistrationOutcome::NoSuchUser => Err(AccountError::NoSuchUser),
    }
}
