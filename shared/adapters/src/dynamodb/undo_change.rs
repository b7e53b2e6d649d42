//! Taking back a change of number: the user, the locks of all the numbers, and the sessions, in one transaction.

use domain::rules::notice::Notice;
use domain::rules::session::Session;
use domain::rules::undo::UndoneChange;
use domain::rules::user::User;
use domain::use_cases::undo_change::{UndoChangeStore, UndoOutcome};
use domain::values::ids::UserId;
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{moment, number, text};
use super::items::session::session_key;
use super::items::user::{
    device_key_name, forget_devices, former_phones_value, if_phone_of, if_released, overtake_change, phone_lock,
    phone_lock_key, user_key,
};
use super::store::Store;
use super::tables::{HasNotices, HasSessions, HasUsers};
use super::transaction::{Transaction, Written};
use crate::telemetry::trace;

/// A transaction takes 100 items (DynamoDB's limit); the proof, the user, the locks and the counters need some of them.
const SESSIONS_IN_TRANSACTION: usize = 85;

/// When the returning number was last proven, and by which key if that is now.
pub(super) struct Proven<'a> {
    pub(super) at: Timestamp,
    pub(super) by: Option<&'a KeyThumbprint>,
}

/// The tags of an undo's steps in a transaction.
pub(super) struct UndoSteps<Tag> {
    pub(super) phone_lock: Tag,
    pub(super) user: Tag,
    pub(super) other: Tag,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    PhoneLock,
    User,
    Other,
}

impl<T: HasUsers + HasSessions + HasNotices> UndoChangeStore for Store<T> {
    async fn user_and_sessions(&self, user: &UserId) -> Result<Option<(User, Vec<Session>)>, Unavailable> {
        self.find_user_and_sessions(user).await
    }

    async fn undo_change(&self, undone: &UndoneChange, notice: Option<&Notice>) -> Result<UndoOutcome, Unavailable> {
        trace("an undo writes", undone);
        self.end_surplus_sessions(undone).await?;
        let steps = UndoSteps { phone_lock: Step::PhoneLock, user: Step::User, other: Step::Other };
        // Nobody proves the number now: the moment of its last proof returns with it.
        let proven = Proven { at: undone.former.proven_at, by: None };
        let proven_at = |user: Expression| user.set("phone_proven_at", moment(undone.former.proven_at));
        let transaction = Transaction::new("undo a change of number");
        let transaction = self.undoing(transaction, undone, &steps, proven, proven_at);
        let transaction = self.telling(transaction, Step::Other, notice);
        match self.transact(transaction).await? {
            Written::Done => {
                let user = self.find_user(&undone.user.id).await?;
                let user = user.ok_or_else(|| Unavailable::new("undo a change", "the user was deleted meanwhile"))?;
                Ok(UndoOutcome::Undone(Box::new(user)))
            }
            Written::Refused(refusal) if refusal.failed_condition(Step::User).is_some() => Ok(UndoOutcome::Stale),
            Written::Refused(refusal) if refusal.failed_condition(Step::PhoneLock).is_some() => {
                Ok(UndoOutcome::NumberTaken)
            }
            Written::Refused(_) => Ok(UndoOutcome::Stale),
        }
    }
}

impl<T: HasUsers + HasSessions> Store<T> {
    /// Ends the sessions for which the transaction has no room. They end too if the undo then fails.
    pub(super) async fn end_surplus_sessions(&self, undone: &UndoneChange) -> Result<(), Unavailable> {
        for session in undone.sessions.iter().skip(SESSIONS_IN_TRANSACTION) {
            self.delete_session(&undone.user.id, session).await?;
        }
        Ok(())
    }

    /// Adds an undo to a transaction. `change_user` is what else it changes of the user.
    pub(super) fn undoing<Tag: Copy>(
        &self,
        transaction: Transaction<Tag>,
        undone: &UndoneChange,
        steps: &UndoSteps<Tag>,
        proven: Proven<'_>,
        change_user: impl FnOnce(Expression) -> Expression,
    ) -> Transaction<Tag> {
        let (users, id, former) = (self.tables.users(), &undone.user.id, &undone.former);
        let seen_phone = undone.user.phone.as_ref();
        let mut known = undone.user.device_keys.clone();
        known.0.retain(|key, _| !undone.device_keys.contains(key));
        let user = forget_devices(change_user(Expression::new()), &undone.device_keys)
            .set("phone", text(former.phone.e164()))
            .set_or_remove("former_phones", former_phones_value(&undone.earlier))
            .if_equals_or_absent("phone", seen_phone.map(|phone| text(phone.e164())))
            .if_equals_or_absent("former_phones", former_phones_value(&undone.user.former_phones))
            // A sign-in since the user was read has opened a session that is not in the list.
            .if_equals_or_absent("sign_ins", (undone.user.sign_ins > 0).then(|| number(undone.user.sign_ins)));
        let user = overtake_change(user, &undone.user, undone.now);
        // The lock gets copies of the device keys, so none of them may have been forgotten since.
        let user = known.0.keys().fold(user, |user, key| user.if_exists(&device_key_name(key)));
        known.0.extend(proven.by.map(|key| (key.clone(), proven.at)));
        let lock = phone_lock(&former.phone, id, proven.at, &known);
        let mut transaction = transaction.put(steps.phone_lock, users, lock, if_released(id, former.until)).update(
            steps.user,
            users,
            user_key(id),
            user,
        );
        if let Some(phone) = seen_phone {
            transaction = transaction.delete(steps.other, users, phone_lock_key(phone), if_phone_of(id));
        }
        for session in undone.sessions.iter().take(SESSIONS_IN_TRANSACTION) {
            let key = session_key(id, session);
            transaction = transaction.delete(steps.other, self.tables.sessions(), key, Expression::new());
        }
        transaction
    }
}
