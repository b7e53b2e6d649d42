//! A user's sessions: listing them, and ending one or all of them.

use std::future::Future;

use thiserror::Error;

use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::session::Session;
use crate::rules::token::Caller;
use crate::rules::user::User;
use crate::values::ids::{SessionId, UserId};
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How often the end of a session is retried because the user changed in between.
const MAX_RETRIES: usize = 4;

pub trait SessionsStore: Sync {
    fn user(&self, user: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    /// Reads the user and, at the same time, one of their sessions, which may have ended.
    fn user_and_session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<(Option<User>, Option<Session>), Unavailable>> + Send;
    /// Reads the live sessions, the last used one first; at the same time, whether the user exists. None if not.
    fn live_sessions_of_user(
        &self,
        user: &UserId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Vec<Session>>, Unavailable>> + Send;
    /// Succeeds if the session no longer exists. Its device is told first.
    fn end_session(
        &self,
        user: &UserId,
        session: &SessionId,
        notice: Option<&Notice>,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// Forgets device keys of a user, unless their phone is no longer the one in `seen`. Returns whether it did.
    fn forget_device_keys(
        &self,
        seen: &User,
        keys: &[KeyThumbprint],
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// The devices are told first.
    fn end_other_sessions(
        &self,
        user: &UserId,
        kept: &SessionId,
        notices: Option<&NoticeContext>,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
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

/// Ends the caller's own session. The device stays known, because its owner is holding it.
pub async fn end_own_session(store: &impl SessionsStore, caller: &Caller) -> Result<(), SessionsError> {
    store.user(&caller.user).await?.ok_or(SessionsError::NoSuchUser)?;
    Ok(store.end_session(&caller.user, &caller.session, None).await?)
}

/// Ends one of the caller's sessions. If it is another device's, that device is no longer known, because somebody else may
/// hold it. Ending an unknown session succeeds.
pub async fn end_session(
    store: &impl SessionsStore,
    caller: &Caller,
    session: &SessionId,
    notices: Option<&NoticeContext>,
) -> Result<(), SessionsError> {
    if *session == caller.session {
        return end_own_session(store, caller).await;
    }
    let (user, ended) = store.user_and_session(&caller.user, session).await?;
    let user = user.ok_or(SessionsError::NoSuchUser)?;
    let token = ended.as_ref().and_then(|session| session.fcm_token.clone());
    let notice = notices
        .and_then(|notices| notices.to_ended(AccountEvent::SignedOut, &caller.user, token.into_iter().collect()));
    if let Some(key) = ended.and_then(|session| session.device_key) {
        let (_, own) = store.user_and_session(&caller.user, &caller.session).await?;
        // An earlier session of the caller's own device has the same key.
        if own.and_then(|own| own.device_key).as_ref() != Some(&key) {
            // The key first: as long as the session is left, the caller can ask again.
            forget(store, user, |_| vec![key.clone()]).await?;
        }
    }
    Ok(store.end_session(&caller.user, session, notice.as_ref()).await?)
}

/// Ends all of the caller's sessions and forgets the devices, except the caller's own. If it fails, some sessions may have
/// ended, and the caller's own has not.
pub async fn end_all_sessions(
    store: &impl SessionsStore,
    caller: &Caller,
    notices: Option<&NoticeContext>,
) -> Result<(), SessionsError> {
    let (user, own) = store.user_and_session(&caller.user, &caller.session).await?;
    let own_key = own.and_then(|session| session.device_key);
    end_others(store, user.ok_or(SessionsError::NoSuchUser)?, &caller.session, own_key.as_ref(), notices).await?;
    // The last one: as long as it is left, the caller can ask again.
    Ok(store.end_session(&caller.user, &caller.session, None).await?)
}

/// Ends all of a user's sessions but this one, and forgets the devices but this one. If it fails, some may have ended.
pub async fn end_other_sessions(
    store: &impl SessionsStore,
    user: User,
    kept: &Session,
    notices: Option<&NoticeContext>,
) -> Result<(), SessionsError> {
    end_others(store, user, &kept.id, kept.device_key.as_ref(), notices).await
}

async fn end_others(
    store: &impl SessionsStore,
    user: User,
    kept: &SessionId,
    kept_key: Option<&KeyThumbprint>,
    notices: Option<&NoticeContext>,
) -> Result<(), SessionsError> {
    let id = user.id.clone();
    forget(store, user, |user| user.device_keys.others_than(kept_key)).await?;
    Ok(store.end_other_sessions(&id, kept, notices).await?)
}

async fn forget(
    store: &impl SessionsStore,
    mut user: User,
    keys: impl Fn(&User) -> Vec<KeyThumbprint>,
) -> Result<(), SessionsError> {
    for _ in 0..MAX_RETRIES {
        let keys = keys(&user);
        if keys.is_empty() || store.forget_device_keys(&user, &keys).await? {
            return Ok(());
        }
        user = store.user(&user.id).await?.ok_or(SessionsError::NoSuchUser)?;
    }
    Err(Unavailable::new("forget a device", "the user changed each time").into())
}
