//! Users from and for elsewhere: writing one with their locks, if nothing is in the way, and reading all, page by page.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use domain::rules::user::User;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Item, Row, moment};
use super::items::user::{
    if_available_to, phone_lock, phone_lock_key, user, user_item, user_key, username_lock, username_lock_key,
};
use super::store::{Consistency, FoundItems, Store};
use super::tables::HasUsers;
use super::transaction::{Transaction, Written};

/// The most users whose items one batch reads: three items each, of DynamoDB's hundred.
pub const USERS_IN_BATCH: usize = 33;
const BYTES_IN_UNIT: usize = 1_024;
/// A transaction consumes twice as many.
const UNITS_IN_TRANSACTION: u64 = 2;

/// What became of a user who was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImportOutcome {
    Written,
    /// A user with this id exists: most likely this one, written before.
    AlreadyThere,
    /// Another user has the number, or it is kept for one.
    NumberTaken,
    /// Another user has the username, or it is kept for one.
    UsernameTaken,
}

/// Where a page of users ended.
pub struct Cursor(Item);

/// Some of all users.
pub struct UsersPage {
    pub users: Vec<User>,
    /// None after the last page.
    pub next: Option<Cursor>,
    pub read_units: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    User,
    Phone,
    Username,
}

/// The items of a user.
fn items(user: &User) -> Vec<(Step, Item)> {
    let mut items = vec![(Step::User, user_item(user))];
    let proven_at = user.phone_proven_at.unwrap_or(user.created_at);
    let lock = user.phone.as_ref().map(|phone| phone_lock(phone, &user.id, proven_at, &user.device_keys));
    items.extend(lock.map(|lock| (Step::Phone, lock)));
    items.extend(user.username.as_ref().map(|username| (Step::Username, username_lock(username, &user.id))));
    items
}

/// The write units of a user who is written in a transaction, as far as their items tell.
pub fn import_units(user: &User) -> u64 {
    let of = |(_, item): (Step, Item)| {
        let units = u64::try_from(size(&item).div_ceil(BYTES_IN_UNIT).max(1)).unwrap_or(u64::MAX);
        units.saturating_mul(UNITS_IN_TRANSACTION)
    };
    items(user).into_iter().map(of).sum()
}

/// About the bytes of an item by DynamoDB's rules.
fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len().saturating_add(value_size(value))).sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::L(values) => {
            values.iter().map(|value| value_size(value).saturating_add(1)).sum::<usize>().saturating_add(3)
        }
        AttributeValue::M(members) => size(members).saturating_add(members.len()).saturating_add(3),
        _ => 1,
    }
}

impl<T: HasUsers> Store<T> {
    /// Writes a user and their locks, all or nothing. Writing the same one again changes nothing.
    pub async fn import_user(&self, user: &User, now: Timestamp) -> Result<ImportOutcome, Unavailable> {
        let table = self.tables.users();
        let transaction =
            items(user).into_iter().fold(Transaction::new("import a user"), |transaction, (step, item)| {
                let condition = match step {
                    Step::User => Expression::new().if_absent("pk"),
                    // TTL deletes late.
                    Step::Phone => {
                        Expression::new().if_any(|on| [on.absent("pk"), on.at_most("released_until", moment(now))])
                    }
                    Step::Username => if_available_to(&user.id, now),
                };
                transaction.put(step, table, item, condition)
            });
        Ok(match self.transact(transaction).await? {
            Written::Done => ImportOutcome::Written,
            Written::Refused(refusal) if refusal.failed_condition(Step::User).is_some() => ImportOutcome::AlreadyThere,
            Written::Refused(refusal) if refusal.failed_condition(Step::Phone).is_some() => ImportOutcome::NumberTaken,
            Written::Refused(_) => ImportOutcome::UsernameTaken,
        })
    }

    /// What would become of at most [`USERS_IN_BATCH`] users who were written now, in their order.
    pub async fn check_import(&self, users: &[&User], now: Timestamp) -> Result<Vec<ImportOutcome>, Unavailable> {
        let table = self.tables.users();
        let keys = users.iter().flat_map(|user| {
            let phone = user.phone.as_ref().map(phone_lock_key);
            let username = user.username.as_ref().map(username_lock_key);
            [Some(user_key(&user.id)), phone, username].into_iter().flatten()
        });
        // Two records of one user have the same keys, and DynamoDB refuses a key twice.
        let mut distinct: Vec<Item> = Vec::new();
        for key in keys {
            if !distinct.contains(&key) {
                distinct.push(key);
            }
        }
        let keys = distinct.into_iter().map(|key| (table, key)).collect();
        let found = self.get_all("look for collisions", keys, Consistency::Strong).await?;
        users.iter().map(|user| check(user, found.of(table), now)).collect()
    }

    /// A page of all users, also of those without a number.
    pub async fn users_page(&self, from: Option<Cursor>) -> Result<UsersPage, Unavailable> {
        let request = self
            .client
            .scan()
            .table_name(self.tables.users())
            .filter_expression("begins_with(pk, :prefix)")
            .expression_attribute_values(":prefix", AttributeValue::S("user#".to_owned()))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_exclusive_start_key(from.map(|Cursor(key)| key));
        let page = request.send().await.map_err(|error| Unavailable::new("read all users", error))?;
        let users = page.items.unwrap_or_default().iter().map(user).collect::<Result<_, _>>()?;
        let read_units = page.consumed_capacity.and_then(|consumed| consumed.capacity_units).unwrap_or_default();
        // Strongly consistent reads consume whole units.
        Ok(UsersPage { users, next: page.last_evaluated_key.map(Cursor), read_units: read_units.ceil() as u64 })
    }
}

fn check(user: &User, found: &FoundItems, now: Timestamp) -> Result<ImportOutcome, Unavailable> {
    if found.get(&user_key(&user.id)).is_some() {
        return Ok(ImportOutcome::AlreadyThere);
    }
    if let Some(lock) = user.phone.as_ref().and_then(|phone| found.get(&phone_lock_key(phone))) {
        let is_over = Row(lock).optional_moment("released_until")?.is_some_and(|until| until <= now);
        if !is_over {
            return Ok(ImportOutcome::NumberTaken);
        }
    }
    if let Some(lock) = user.username.as_ref().and_then(|username| found.get(&username_lock_key(username))) {
        let row = Row(lock);
        let is_over = row.optional_moment("kept_until")?.is_some_and(|until| until <= now);
        if !is_over && row.text("user_id")? != user.id.as_str() {
            return Ok(ImportOutcome::UsernameTaken);
        }
    }
    Ok(ImportOutcome::Written)
}
