//! Taking back a change of number from a device that was signed in before it. Whoever has the former number does it with a
//! sign-in instead, see [`super::open_session`].

use std::future::Future;

use thiserror::Error;

use crate::rules::device_proof::{ProofRefusal, require_key};
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::session::Session;
use crate::rules::token::Caller;
use crate::rules::undo::UndoneChange;
use crate::rules::user::User;
use crate::values::ids::UserId;
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How often an undo is retried because the user changed in between.
const MAX_RETRIES: usize = 4;

#[derive(Clone, Debug)]
pub enum UndoOutcome {
    /// Holds the user after the write.
    Undone(Box<User>),
    /// The former number has another holder by now.
    NumberTaken,
    /// The user changed since they were read; nothing was written.
    Stale,
}

pub trait UndoChangeStore: Sync {
    fn user_and_sessions(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<Option<(User, Vec<Session>)>, Unavailable>> + Send;
    /// The number returns, the later ones are free, and the sessions end: all or nothing.
    fn undo_change(
        &self,
        undone: &UndoneChange,
        notice: Option<&Notice>,
    ) -> impl Future<Output = Result<UndoOutcome, Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum UndoChangeError {
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error("the number was not changed since the session was opened, or too long ago")]
    NothingToUndo,
    #[error("the former number has another holder by now")]
    NumberTaken,
    #[error(transparent)]
    InvalidProof(#[from] ProofRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Gives the caller's user the number that they had when the caller's session was opened. The session must be bound to the
/// key that the request proves: a copy of an old token must not move an account. After an error nothing changed, unless it
/// is `Unavailable`: then the request may be repeated.
pub async fn undo_change(
    store: &impl UndoChangeStore,
    caller: &Caller,
    proven: Option<&KeyThumbprint>,
    notices: Option<&NoticeContext>,
    now: Timestamp,
) -> Result<User, UndoChangeError> {
    for _ in 0..MAX_RETRIES {
        let (user, sessions) = store.user_and_sessions(&caller.user).await?.ok_or(UndoChangeError::NoSuchUser)?;
        let own = sessions.iter().find(|session| session.id == caller.session);
        let own = own.ok_or(UndoChangeError::NothingToUndo)?;
        require_key(own.device_key.as_ref().ok_or(ProofRefusal::UnboundSession)?, proven)?;
        let former = user.former_phone_of(own, now).map(|former| former.phone.clone());
        let former = former.ok_or(UndoChangeError::NothingToUndo)?;
        let undone = user.undo_change(&former, &sessions, Some(&caller.session), now);
        let notice = notices.and_then(|notices| {
            notices.to_devices(AccountEvent::PhoneChangeUndone, &caller.user, Some(&caller.session))
        });
        let undone = undone.ok_or(UndoChangeError::NothingToUndo)?;
        match store.undo_change(&undone, notice.as_ref()).await? {
            UndoOutcome::Undone(user) => return Ok(*user),
            UndoOutcome::NumberTaken => return Err(UndoChangeError::NumberTaken),
            UndoOutcome::Stale => {}
        }
    }
    Err(Unavailable::new("undo a change of number", "the user changed each time").into())
}
