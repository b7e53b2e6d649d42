//! Refusing what waits: a change of number, or the recovery of an account.

use std::future::Future;

use thiserror::Error;

use crate::rules::limits::Limits;
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::token::Caller;
use crate::rules::user::{DelayedChange, Ending, Recovery, User};
use crate::values::ids::UserId;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How often a refusal is retried because the user changed in between.
const MAX_RETRIES: usize = 4;

pub trait RefusalStore: Sync {
    fn user(&self, id: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    /// Returns whether the change was still as seen.
    fn end_change(
        &self,
        user: &UserId,
        seen: &DelayedChange,
        ended: &DelayedChange,
        notice: Option<&Notice>,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Returns whether the recovery was still as seen.
    fn refuse_recovery(
        &self,
        user: &UserId,
        seen: &Recovery,
        refused: &Recovery,
        notice: Option<&Notice>,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum RefusalError {
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error("nothing waits that could be refused")]
    NothingPending,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Stops a change that waits. The session that asked for it withdraws it; any other one refuses it, and then nobody can ask
/// again for a while.
pub async fn stop_change(
    store: &impl RefusalStore,
    caller: &Caller,
    notices: Option<&NoticeContext>,
    now: Timestamp,
) -> Result<Ending, RefusalError> {
    let notice = to_devices(AccountEvent::PhoneChangeStopped, caller, notices);
    for _ in 0..MAX_RETRIES {
        let user = store.user(&caller.user).await?.ok_or(RefusalError::NoSuchUser)?;
        let change = user.pending_change(now).ok_or(RefusalError::NothingPending)?;
        let is_own = change.requested_by == caller.session;
        let ending = if is_own { Ending::Withdrawn } else { Ending::Refused { at: now } };
        if store.end_change(&caller.user, change, &change.ended(ending), notice.as_ref()).await? {
            return Ok(ending);
        }
    }
    Err(Unavailable::new("refuse a change of number", "the user changed each time").into())
}

/// Refuses the account to whoever has the dormant number and asked for it.
pub async fn refuse_recovery(
    store: &impl RefusalStore,
    limits: &Limits,
    caller: &Caller,
    notices: Option<&NoticeContext>,
    now: Timestamp,
) -> Result<(), RefusalError> {
    let notice = to_devices(AccountEvent::RecoveryStopped, caller, notices);
    for _ in 0..MAX_RETRIES {
        let user = store.user(&caller.user).await?.ok_or(RefusalError::NoSuchUser)?;
        let recovery = user.pending_recovery(limits, now).ok_or(RefusalError::NothingPending)?;
        let refused = Recovery { refused_at: Some(now), ..recovery.clone() };
        if store.refuse_recovery(&caller.user, &recovery, &refused, notice.as_ref()).await? {
            return Ok(());
        }
    }
    Err(Unavailable::new("refuse a recovery", "the user changed each time").into())
}

fn to_devices(event: AccountEvent, caller: &Caller, notices: Option<&NoticeContext>) -> Option<Notice> {
    notices?.to_devices(event, &caller.user, Some(&caller.session))
}
