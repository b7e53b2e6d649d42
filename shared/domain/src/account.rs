//! A user's own profile: reading it, changing it, ending it.

use std::future::Future;

use crate::ids::{SessionId, UserId};
use crate::text::{ImageUrl, Name, Username};
use crate::user::User;
use crate::{Timestamp, Unavailable};

/// How often a change is tried again because the user changed meanwhile.
const TRIES: usize = 4;

/// What a user may change of themselves. `None` leaves as is; `Some(None)` clears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// What they are called.
    pub name: Option<Option<Name>>,
    /// Where their picture is.
    pub image_url: Option<Option<ImageUrl>>,
    /// Their username; one that is given up is free for others.
    pub username: Option<Option<Username>>,
}

/// The answer to a change.
#[derive(Clone, Debug)]
pub enum ChangeOutcome {
    /// Written; the user as they now are.
    Changed(User),
    /// Another user has that username.
    UsernameTaken,
    /// The user changed since they were read; nothing was written.
    Stale,
}

/// What the account needs of the store.
pub trait AccountStore: Sync {
    /// Reads a user.
    fn user(&self, id: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    /// Writes a change, and moves the lock on the username with it, unless the user differs from `seen` in that.
    fn change_profile(
        &self,
        seen: &User,
        change: &ProfileChange,
    ) -> impl Future<Output = Result<ChangeOutcome, Unavailable>> + Send;
    /// Removes the user, their locks, their sessions and their pending codes, unless phone or username differ from
    /// `seen`. Answers whether it did. If it fails, the session `own` is still there to ask again from.
    fn delete_account(
        &self,
        seen: &User,
        own: &SessionId,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

/// Why an account could not be read, changed or deleted.
#[derive(Debug)]
pub enum AccountError {
    /// The user is gone.
    NoSuchUser,
    /// Another user has that username.
    UsernameTaken,
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for AccountError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Reads the caller's profile.
///
/// # Errors
/// [`AccountError`].
pub async fn read_profile(store: &impl AccountStore, caller: &UserId) -> Result<User, AccountError> {
    store.user(caller).await?.ok_or(AccountError::NoSuchUser)
}

/// Changes the caller's profile.
///
/// # Errors
/// [`AccountError`]; nothing was changed then.
pub async fn change_profile(
    store: &impl AccountStore,
    caller: &UserId,
    change: &ProfileChange,
) -> Result<User, AccountError> {
    for _ in 0..TRIES {
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
    Err(Unavailable::new("change a profile", "the user kept changing").into())
}

/// Deletes the account of a caller, who asks from the session `own`; their number and username are free again.
///
/// # Errors
/// [`AccountError`]; the account is then still there, unless it is `Unavailable`: then the request may be repeated.
pub async fn delete_account(
    store: &impl AccountStore,
    caller: &UserId,
    own: &SessionId,
    now: Timestamp,
) -> Result<(), AccountError> {
    for _ in 0..TRIES {
        let seen = read_profile(store, caller).await?;
        if store.delete_account(&seen, own, now).await? {
            return Ok(());
        }
    }
    Err(Unavailable::new("delete an account", "the user kept changing").into())
}
