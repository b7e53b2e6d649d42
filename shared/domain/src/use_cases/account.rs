//! The caller's own account: reading, changing and deleting it, and registering a device's FCM token.

use std::future::Future;

use thiserror::Error;

use crate::rules::limits::Limits;
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::token::Caller;
use crate::rules::user::{KeptUsernames, User};
use crate::values::ids::{SessionId, UserId};
use crate::values::text::{FcmToken, ImageUrl, Name, Username};
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How often a change is retried because the user changed in between.
const MAX_RETRIES: usize = 4;

/// A user with what only their own account shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: User,
    pub kept_usernames: KeptUsernames,
}

/// `None` keeps a member; `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    pub name: Option<Option<Name>>,
    pub image_url: Option<Option<ImageUrl>>,
    /// A username that is given up is kept for its former owner first.
    pub username: Option<Option<Username>>,
}

#[derive(Clone, Debug)]
pub enum ChangeOutcome {
    /// Holds the user after the write.
    Changed(Box<User>),
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
    fn account(&self, id: &UserId) -> impl Future<Output = Result<Option<Account>, Unavailable>> + Send;
    /// Writes a change, and the locks on usernames with it, unless username or kept usernames differ from `seen`. The
    /// usernames in `kept` are kept for the user afterwards.
    fn change_profile(
        &self,
        seen: &Account,
        change: &ProfileChange,
        kept: &KeptUsernames,
        notice: Option<&Notice>,
        now: Timestamp,
    ) -> impl Future<Output = Result<ChangeOutcome, Unavailable>> + Send;
    /// Deletes the user, sessions and pending codes, and keeps the username, unless phone or username differ from `seen`.
    /// The user and the phone are kept for an undo until then, if there is a phone to prove. Returns whether it did. If it
    /// fails, the session `own` still exists, so that its device can ask again. The devices of the other sessions are told.
    fn delete_account(
        &self,
        seen: &User,
        own: &SessionId,
        undo_until: Timestamp,
        notices: Option<&NoticeContext>,
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
    #[error("the user has given up too many usernames")]
    TooManyUsernames { retry_after_seconds: u32 },
    #[error("this requires an access token that was issued for a code")]
    FreshTokenRequired,
    #[error("the session was ended")]
    SessionRevoked,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

pub async fn read_profile(store: &impl AccountStore, caller: &UserId) -> Result<User, AccountError> {
    Ok(read_account(store, caller).await?.user)
}

async fn read_account(store: &impl AccountStore, caller: &UserId) -> Result<Account, AccountError> {
    store.account(caller).await?.ok_or(AccountError::NoSuchUser)
}

/// Another username requires a fresh token, because the present one is given up with it.
pub async fn change_profile(
    store: &impl AccountStore,
    caller: &Caller,
    change: &ProfileChange,
    notices: Option<&NoticeContext>,
    now: Timestamp,
) -> Result<User, AccountError> {
    for _ in 0..MAX_RETRIES {
        let seen = read_account(store, &caller.user).await?;
        if *change == ProfileChange::default() {
            return Ok(seen.user);
        }
        let former = &seen.user.username;
        let kept = match &change.username {
            Some(username) if username != former => {
                if !caller.fresh {
                    return Err(AccountError::FreshTokenRequired);
                }
                let kept = seen.kept_usernames.after_change(former.as_ref(), username.as_ref(), now);
                kept.map_err(|room_at| AccountError::TooManyUsernames {
                    retry_after_seconds: now.seconds_until(room_at),
                })?
            }
            _ => seen.kept_usernames.clone(),
        };
        let is_renamed = change.username.as_ref().is_some_and(|username| username != former);
        let notice = notices
            .filter(|_| is_renamed && !seen.kept_usernames.changed_within_an_hour(now))
            .and_then(|notices| notices.to_devices(AccountEvent::UsernameChanged, &caller.user, Some(&caller.session)));
        match store.change_profile(&seen, change, &kept, notice.as_ref(), now).await? {
            ChangeOutcome::Changed(user) => return Ok(*user),
            ChangeOutcome::UsernameTaken => return Err(AccountError::UsernameTaken),
            ChangeOutcome::Stale => {}
        }
    }
    Err(Unavailable::new("change a profile", "the user changed each time").into())
}

/// Deletes the account of a caller with a fresh token. Whoever proves its number can take that back for a while, or have a
/// new account. If it is `Unavailable`, the request may be repeated; after any other error the account still exists.
pub async fn delete_account(
    store: &impl AccountStore,
    limits: &Limits,
    caller: &Caller,
    notices: Option<&NoticeContext>,
    now: Timestamp,
) -> Result<(), AccountError> {
    if !caller.fresh {
        return Err(AccountError::FreshTokenRequired);
    }
    for _ in 0..MAX_RETRIES {
        let seen = read_profile(store, &caller.user).await?;
        let undo_until = now.plus(limits.undo_seconds);
        if store.delete_account(&seen, &caller.session, undo_until, notices, now).await? {
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
