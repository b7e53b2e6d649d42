//! Refusing what waits: one conditional write on the user, with what the devices are told.

use domain::rules::notice::Notice;
use domain::rules::user::{DelayedChange, Recovery, User};
use domain::use_cases::refuse::RefusalStore;
use domain::values::ids::UserId;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::user::{delayed_change_value, recovery_value, user_key};
use super::store::Store;
use super::tables::{HasNotices, HasUsers};
use super::transaction::Transaction;

impl<T: HasUsers + HasNotices> RefusalStore for Store<T> {
    async fn user(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        self.find_user(id).await
    }

    async fn end_change(
        &self,
        user: &UserId,
        seen: &DelayedChange,
        ended: &DelayedChange,
        notice: Option<&Notice>,
    ) -> Result<bool, Unavailable> {
        let change = Expression::new()
            .set("delayed_change", delayed_change_value(ended))
            .if_equals("delayed_change", delayed_change_value(seen));
        self.refuse("refuse a change of number", user, change, notice).await
    }

    async fn refuse_recovery(
        &self,
        user: &UserId,
        seen: &Recovery,
        refused: &Recovery,
        notice: Option<&Notice>,
    ) -> Result<bool, Unavailable> {
        let change =
            Expression::new().set("recovery", recovery_value(refused)).if_equals("recovery", recovery_value(seen));
        self.refuse("refuse a recovery", user, change, notice).await
    }
}

impl<T: HasUsers + HasNotices> Store<T> {
    async fn refuse(
        &self,
        attempted: &'static str,
        user: &UserId,
        change: Expression,
        notice: Option<&Notice>,
    ) -> Result<bool, Unavailable> {
        let transaction = Transaction::new(attempted).update((), self.tables.users(), user_key(user), change);
        Ok(self.transact(self.telling(transaction, (), notice)).await?.is_done())
    }
}
