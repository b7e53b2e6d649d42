//! What is due: reading it, and removing it together with what it does.

use domain::rules::due::Due;
use domain::rules::notice::Notice;
use domain::rules::undo::LongerUndo;
use domain::rules::user::{DelayedChange, Ending, PhoneHolder, User};
use domain::use_cases::bind_phone::{BindOutcome, PhoneBinding};
use domain::use_cases::do_due::{DueStore, ENOUGH_DUE};
use domain::values::ids::UserId;
use domain::values::phone::PhoneNumber;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::bind_phone::Step;
use super::expression::Expression;
use super::items::attributes::{Item, moment};
use super::items::due::{due, due_item, due_key, due_until};
use super::items::user::{delayed_change_value, former_phones_value, if_released, phone_lock_key, user_key};
use super::store::Store;
use super::tables::{HasNotices, HasOtps, HasUsers};
use super::transaction::{Transaction, Written};
use crate::telemetry::{trace, unavailable};

impl<T: HasUsers + HasOtps + HasNotices> DueStore for Store<T> {
    async fn due(&self, now: Timestamp) -> Result<Vec<Due>, Unavailable> {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let query = self.client.query().table_name(self.tables.notices());
            let query = query.key_condition_expression("pk = :partition AND sk < :end").consistent_read(true);
            let query = due_until(now)
                .into_iter()
                .fold(query, |query, (name, value)| query.expression_attribute_values(name, value))
                .set_exclusive_start_key(from);
            let page = query.send().await.map_err(|error| Unavailable::new("read what is due", error))?;
            // One item that cannot be read must not keep the others from being done.
            let read = |item: &Item| due(item).inspect_err(|corrupt| unavailable("due", &(*corrupt).into())).ok();
            found.extend(page.items.unwrap_or_default().iter().filter_map(read));
            from = page.last_evaluated_key;
            if from.is_none() || found.len() >= ENOUGH_DUE {
                return Ok(found);
            }
        }
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        self.find_user(id).await
    }

    async fn phone_holder(&self, phone: &PhoneNumber) -> Result<Option<PhoneHolder>, Unavailable> {
        self.find_holder(phone).await
    }

    async fn sends(&self, phone: &PhoneNumber) -> Result<Vec<Timestamp>, Unavailable> {
        Ok(self.schedule(phone).await?.shared)
    }

    async fn make_change(&self, due: &Due, binding: &PhoneBinding) -> Result<BindOutcome, Unavailable> {
        trace("a change that is due writes", binding);
        let transaction = self.removing(Transaction::new("make a change of number"), due);
        match self.transact(self.binding(transaction, binding)).await? {
            Written::Done => Ok(BindOutcome::Bound),
            Written::Refused(refusal) => self.refused_binding(binding, &refusal).await,
        }
    }

    async fn drop_change(&self, due: &Due, seen: &DelayedChange, notices: &[Notice]) -> Result<bool, Unavailable> {
        let ended = Expression::new()
            .set("delayed_change", delayed_change_value(&seen.ended(Ending::Withdrawn)))
            .if_equals("delayed_change", delayed_change_value(seen));
        let transaction = self.removing(Transaction::new("drop a change of number"), due);
        let transaction = transaction.update(Step::User, self.tables.users(), user_key(&due.user), ended);
        Ok(self.transact(self.telling(transaction, Step::Notice, notices)).await?.is_done())
    }

    async fn extend_undo(&self, due: &Due, longer: &LongerUndo) -> Result<bool, Unavailable> {
        let LongerUndo { user, before, after, former_phones } = longer;
        let users = self.tables.users();
        let of_user = Expression::new()
            .set_or_remove("former_phones", former_phones_value(former_phones))
            .if_equals_or_absent("former_phones", former_phones_value(&user.former_phones));
        let of_lock = if_released(&user.id, before.until)
            .set("released_until", moment(after.until))
            .set("kept_until", moment(after.until));
        let next = due_item(&Due { at: after.decided_at(), ..due.clone() });
        let transaction = self
            .removing(Transaction::new("let a change be taken back for longer"), due)
            .update(Step::User, users, user_key(&user.id), of_user)
            .update(Step::FormerLock, users, phone_lock_key(&before.phone), of_lock)
            .put(Step::Notice, self.tables.notices(), next, Expression::new());
        Ok(self.transact(transaction).await?.is_done())
    }

    async fn postpone(&self, due: &Due, to: Timestamp) -> Result<(), Unavailable> {
        let later = due_item(&Due { at: to, ..due.clone() });
        let transaction = self.removing(Transaction::new("postpone what is due"), due);
        let transaction = transaction.put(Step::Notice, self.tables.notices(), later, Expression::new());
        self.transact(transaction).await.map(drop)
    }

    async fn finish(&self, due: &Due, notices: &[Notice]) -> Result<bool, Unavailable> {
        let transaction = self.removing(Transaction::new("remove what was due"), due);
        Ok(self.transact(self.telling(transaction, Step::Notice, notices)).await?.is_done())
    }
}

impl<T: HasNotices> Store<T> {
    fn removing(&self, transaction: Transaction<Step>, due: &Due) -> Transaction<Step> {
        transaction.delete(Step::Proof, self.tables.notices(), due_key(due), Expression::new().if_exists("pk"))
    }
}
