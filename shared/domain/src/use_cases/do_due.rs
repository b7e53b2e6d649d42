//! Doing what is due: a change of number that nobody refused is made, and people are told once more of what waits.

use std::future::Future;

use super::bind_phone::{BindOutcome, PhoneBinding, is_available, notices};
use crate::rules::due::{Due, DueKind};
use crate::rules::limits::Limits;
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::undo::LongerUndo;
use crate::rules::user::{DelayedChange, FormerPhone, PhoneHolder, User};
use crate::values::ids::UserId;
use crate::values::phone::PhoneNumber;
use crate::values::text::OrganizationId;
use crate::values::time::{HOUR, Timestamp};
use crate::values::unavailable::Unavailable;

/// With so many things to do, the rest is read later.
pub const ENOUGH_DUE: usize = 500;
/// How often a change is made again because the user or the phone's holder changed in between.
const MAX_RETRIES: usize = 4;

pub trait DueStore: Sync {
    /// What is due by now, the oldest first: all of it if it is less than [`ENOUGH_DUE`].
    fn due(&self, now: Timestamp) -> impl Future<Output = Result<Vec<Due>, Unavailable>> + Send;
    fn user(&self, id: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    fn phone_holder(
        &self,
        phone: &PhoneNumber,
    ) -> impl Future<Output = Result<Option<PhoneHolder>, Unavailable>> + Send;
    /// When codes were sent to the phone in the last two days, oldest first, without those from the reserve of known devices.
    fn sends(&self, phone: &PhoneNumber) -> impl Future<Output = Result<Vec<Timestamp>, Unavailable>> + Send;
    /// Binds the phone of a change that is due, and removes what was due: all or nothing.
    fn make_change(
        &self,
        due: &Due,
        binding: &PhoneBinding,
    ) -> impl Future<Output = Result<BindOutcome, Unavailable>> + Send;
    /// Ends a change that cannot be made, and removes what was due. Returns false, and does nothing, if the change differs from
    /// `seen` by now, or another run did it.
    fn drop_change(
        &self,
        due: &Due,
        seen: &DelayedChange,
        notices: &[Notice],
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Lets a change be taken back for longer, and decides again at its new end. Returns false, and does nothing, if the user
    /// or the lock of the former number differs by now, or another run did it.
    fn extend_undo(&self, due: &Due, longer: &LongerUndo) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Moves what is due to a later time, behind what is due now. Does nothing if another run did it.
    fn postpone(&self, due: &Due, to: Timestamp) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// Writes the notices and removes what was due. Returns false, and does nothing, if another run did it.
    fn finish(&self, due: &Due, notices: &[Notice]) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

/// What the notices of one thing that is due have in common; none where nobody is told.
type NewContext<'a> = &'a (dyn Fn(&OrganizationId) -> Result<Option<NoticeContext>, Unavailable> + Sync);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Reminded,
    ChangeMade {
        user: UserId,
        /// The user who lost the phone, because they had not proven it for long.
        former_holder: Option<UserId>,
    },
    /// Another user has the number by now.
    ChangeDropped,
    /// Somebody proved the old number meanwhile.
    ChangeRefused,
    /// A change can be taken back for longer, because the former number had no codes left.
    UndoExtended,
    /// The change or the recovery ended before.
    Nothing,
    /// The old number had no codes left for a refusal, or the user changed their number so often that a further change must
    /// wait.
    NotYet,
}

/// Does one thing that is due. After an error it stays due. `new_context` is asked for each attempt.
pub async fn do_due(
    store: &impl DueStore,
    new_context: NewContext<'_>,
    limits: &Limits,
    due: &Due,
    now: Timestamp,
) -> Result<Done, Unavailable> {
    let work = Work { store, new_context, limits, due, now };
    match due.kind {
        DueKind::ChangeReminder | DueKind::RecoveryReminder => work.remind().await,
        DueKind::Change => work.make_change().await,
        DueKind::UndoEnd => work.end_undo().await,
    }
}

struct Work<'a, Store> {
    store: &'a Store,
    new_context: NewContext<'a>,
    limits: &'a Limits,
    due: &'a Due,
    now: Timestamp,
}

impl<Store: DueStore> Work<'_, Store> {
    async fn remind(&self) -> Result<Done, Unavailable> {
        let user = self.store.user(&self.due.user).await?;
        let notices = match (&user, self.due.kind) {
            (Some(user), DueKind::RecoveryReminder) => self.recovery_notices(user)?,
            (Some(user), _) => self.change_notices(user)?,
            (None, _) => None,
        };
        let is_finished = self.store.finish(self.due, notices.as_deref().unwrap_or_default()).await?;
        Ok(if is_finished && notices.is_some() { Done::Reminded } else { Done::Nothing })
    }

    /// The change that was asked for then, if nobody refused it.
    fn pending<'u>(&self, user: &'u User) -> Option<&'u DelayedChange> {
        user.pending_change(self.now).filter(|change| change.requested_at == self.due.requested_at)
    }

    /// None if the change does not wait any more.
    fn change_notices(&self, user: &User) -> Result<Option<Vec<Notice>>, Unavailable> {
        let Some(change) = self.pending(user) else { return Ok(None) };
        let Some(context) = (self.new_context)(&change.organization)? else { return Ok(Some(Vec::new())) };
        let event = AccountEvent::PhoneChangeDue;
        let to_devices = context.to_devices(event, &user.id, None);
        let number = user.reachable_number(self.limits, self.now).cloned();
        let to_number = number.map(|phone| context.to_number(event, &user.id, phone, change.due_at));
        Ok(Some(to_devices.into_iter().chain(to_number).collect()))
    }

    /// None if the recovery does not wait any more.
    fn recovery_notices(&self, user: &User) -> Result<Option<Vec<Notice>>, Unavailable> {
        let recovery = user.pending_recovery(self.limits, self.now);
        let recovery = recovery.filter(|recovery| recovery.requested_at == self.due.requested_at);
        let Some(recovery) = recovery else { return Ok(None) };
        let context = (self.new_context)(&recovery.organization)?;
        let to_devices = context.and_then(|context| context.to_devices(AccountEvent::RecoveryDue, &user.id, None));
        Ok(Some(to_devices.into_iter().collect()))
    }

    async fn make_change(&self) -> Result<Done, Unavailable> {
        let (store, limits, due, now) = (self.store, self.limits, self.due, self.now);
        for _ in 0..MAX_RETRIES {
            let Some(user) = store.user(&due.user).await? else { return self.give_up(None).await };
            let Some(change) = self.pending(&user).cloned() else { return self.give_up(Some(&user)).await };
            if self.may_have_been_kept_from_refusing(&change).await? {
                return self.postpone().await;
            }
            let holder = store.phone_holder(&change.to).await?.filter(|holder| holder.user != user.id);
            let context = (self.new_context)(&change.organization)?;
            if holder.as_ref().is_some_and(|holder| !is_available(holder, limits, now)) {
                let event = AccountEvent::PhoneChangeStopped;
                let notice = context.and_then(|context| context.to_devices(event, &user.id, None));
                if store.drop_change(due, &change, notice.as_slice()).await? {
                    return Ok(Done::ChangeDropped);
                }
                continue;
            }
            let Ok(former_phones) = user.former_phones_after(&change.to, &change.requested_by, now, limits) else {
                return self.postpone().await;
            };
            let id = user.id.clone();
            let binding = PhoneBinding {
                notices: self.told(&user, &change, &former_phones, context.as_ref()),
                user,
                phone: change.to.clone(),
                proven_at: change.requested_at,
                former_holder: holder.clone(),
                former_phones,
                waited: Some(change),
                now,
            };
            match store.make_change(due, &binding).await? {
                BindOutcome::Bound => {
                    let former_holder = holder.filter(PhoneHolder::has_phone).map(|holder| holder.user);
                    return Ok(Done::ChangeMade { user: id, former_holder });
                }
                BindOutcome::AlreadyConsumed => return Ok(Done::Nothing),
                BindOutcome::PhoneTaken(_) | BindOutcome::UserChanged(_) => {}
            }
        }
        Err(Unavailable::new("make a change of number", "the user changed each time"))
    }

    /// Whoever made the change could use up the former number's codes, so that its owner cannot take it back.
    async fn end_undo(&self) -> Result<Done, Unavailable> {
        let (due, limits) = (self.due, self.limits);
        let user = self.store.user(&due.user).await?;
        let longer = user.and_then(|user| user.with_longer_undo(due.requested_at, limits, self.now));
        if let Some(longer) = longer
            && !limits.left_room_for_a_code(&self.store.sends(&longer.before.phone).await?, self.now)
        {
            // If it changed in between, it stays due.
            let is_extended = self.store.extend_undo(due, &longer).await?;
            return Ok(if is_extended { Done::UndoExtended } else { Done::Nothing });
        }
        self.store.finish(due, &[]).await?;
        Ok(Done::Nothing)
    }

    /// Tries again in the next hour, after everything that is due before.
    async fn postpone(&self) -> Result<Done, Unavailable> {
        self.store.postpone(self.due, self.now.plus(HOUR / 2)).await?;
        Ok(Done::NotYet)
    }

    /// Whoever asked could use up the old number's codes, so that its owner cannot sign in with it and refuse.
    async fn may_have_been_kept_from_refusing(&self, change: &DelayedChange) -> Result<bool, Unavailable> {
        let Some(from) = &change.from else { return Ok(false) };
        let sends = self.store.sends(from).await?;
        Ok(!self.limits.left_room_for_a_code(&sends, self.now))
    }

    /// Removes what was due. A refusal by a proof of the number is told now, because the proof itself tells nobody.
    async fn give_up(&self, user: Option<&User>) -> Result<Done, Unavailable> {
        let refused = user.and_then(|user| {
            let change = user.delayed_change.as_deref()?;
            let is_this = change.requested_at == self.due.requested_at && change.ended.is_none();
            (is_this && user.has_refused_by_proof(change)).then_some((user, change))
        });
        let Some((user, change)) = refused else {
            self.store.finish(self.due, &[]).await?;
            return Ok(Done::Nothing);
        };
        let context = (self.new_context)(&change.organization)?;
        let event = AccountEvent::PhoneChangeStopped;
        let notice = context.and_then(|context| context.to_devices(event, &user.id, None));
        let is_finished = self.store.finish(self.due, notice.as_slice()).await?;
        Ok(if is_finished { Done::ChangeRefused } else { Done::Nothing })
    }

    /// All devices are told of a change that waited. A number that may belong to another person by now is told nothing.
    fn told(
        &self,
        user: &User,
        change: &DelayedChange,
        former_phones: &[FormerPhone],
        context: Option<&NoticeContext>,
    ) -> Vec<Notice> {
        let is_reachable = user.reachable_number(self.limits, self.now).is_some();
        notices(user, &change.to, if is_reachable { former_phones } else { &[] }, None, context)
    }
}
