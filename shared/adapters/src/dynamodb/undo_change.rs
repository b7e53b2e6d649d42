//! Taking back a change of number: the user, the locks of all the numbers, and the sessions, in one transaction.

use domain::rules::session::Session;
use domain::rules::undo::UndoneChange;
use domain::rules::user::User;
use domain::use_cases::undo_change::{UndoChangeStore, UndoOutcome};
use domain::values::ids::UserId;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{moment, number, text};
use super::items::session::session_key;
use super::items::user::{
    forget_devices, former_phones_value, if_held_by, if_phone_of, phone_lock_key, return_phone, user_key,
};
use super::store::Store;
use super::tables::{HasSessions, HasUsers};
use super::transaction::{Transaction, Written};
use crate::telemetry::trace;

/// A transaction takes 100 items (DynamoDB's limit); the proof, the user, the locks and the counters need some of them.
const SESSIONS_IN_TRANSACTION: usize = 85;

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

impl<T: HasUsers + HasSessions> UndoChangeStore for Store<T> {
    async fn user_and_sessions(&self, user: &UserId) -> Result<Option<(User, Vec<Session>)>, Unavailable> {
        self.find_user_and_sessions(user).await
    }

    async fn undo_change(&self, undone: &UndoneChange) -> Result<UndoOutcome, Unavailable> {
        trace("an undo writes", undone);
        self.end_surplus_sessions(undone).await?;
        let steps = UndoSteps { phone_lock: Step::PhoneLock, user: Step::User, other: Step::Other };
        // The sign-ins do not change, and neither does the moment of the last proof.
        let user = Expression::new().set("phone_proven_at", moment(undone.former.proven_at));
        let transaction = Transaction::new("undo a change of number");
        let transaction = self.undoing(transaction, undone, &steps, Expression::new(), user);
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
    /// Ends the sessions for which the transaction has no room. If the undo then fails, it is repeated.
    pub(super) async fn end_surplus_sessions(&self, undone: &UndoneChange) -> Result<(), Unavailable> {
        for session in undone.sessions.iter().skip(SESSIONS_IN_TRANSACTION) {
            self.delete_session(&undone.user.id, session).await?;
        }
        Ok(())
    }

    /// Adds an undo to a transaction. `lock` and `user` are what else changes of the returning phone's lock and of the user.
    pub(super) fn undoing<Tag: Copy>(
        &self,
        transaction: Transaction<Tag>,
        undone: &UndoneChange,
        steps: &UndoSteps<Tag>,
        lock: Expression,
        user: Expression,
    ) -> Transaction<Tag> {
        let (users, id, former) = (self.tables.users(), &undone.user.id, &undone.former);
        let seen_phone = undone.user.phone.as_ref();
        let user = forget_devices(user, &undone.device_keys)
            .set("phone", text(former.phone.e164()))
            .set_or_remove("former_phones", former_phones_value(&undone.earlier))
            .if_equals_or_absent("phone", seen_phone.map(|phone| text(phone.e164())))
            .if_equals_or_absent("former_phones", former_phones_value(&undone.user.former_phones))
            // A sign-in since the user was read has opened a session that is not in the list.
            .if_equals_or_absent("sign_ins", (undone.user.sign_ins > 0).then(|| number(undone.user.sign_ins)));
        let lock = forget_devices(lock, &undone.device_keys);
        let lock = return_phone(lock, id, former.until);
        let mut transaction = transaction.update(steps.phone_lock, users, phone_lock_key(&former.phone), lock).update(
            steps.user,
            users,
            user_key(id),
            user,
        );
        if let Some(phone) = seen_phone {
            transaction = transaction.delete(steps.other, users, phone_lock_key(phone), if_phone_of(id));
        }
        for later in &undone.later {
            transaction = transaction.delete(steps.other, users, phone_lock_key(&later.phone), if_held_by(id));
        }
        for session in undone.sessions.iter().take(SESSIONS_IN_TRANSACTION) {
            let key = session_key(id, session);
            transaction = transaction.delete(steps.other, self.tables.sessions(), key, Expression::new());
        }
        transaction
    }
}
