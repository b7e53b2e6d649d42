//! What operators read and change of users and numbers. Each change is written with its entry in the audit log.

use domain::rules::notice::{Notice, NoticeContext};
use domain::rules::session::Session;
use domain::rules::user::{KeptUsernames, PhoneHolder, User};
use domain::use_cases::sessions::SessionsStore;
use domain::values::custom_claims::CustomClaims;
use domain::values::ids::{SessionId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::text::{OrganizationId, Username};
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Row, moment, text};
use super::items::audit::Change;
use super::items::notice::{notice, notices_of};
use super::items::session::session;
use super::items::user::{
    BLOCKED_AT, ROLE_PREFIX, forget_devices, if_phone_of, if_released, organization_set, phone_lock_key, user,
    user_key, username_lock_key,
};
use super::store::Store;
use super::tables::{HasNotices, HasOtps, HasSessions, HasSettings, HasUsers};
use super::transaction::Transaction;
use crate::random;

/// How often a change is retried because the user changed in between.
const MAX_RETRIES: usize = 4;
const NO_END: &str = "the user changed each time";

/// A user with what only operators see together.
#[derive(Clone, Debug)]
pub struct Person {
    pub user: User,
    pub kept_usernames: KeptUsernames,
    /// Also those that ended by age.
    pub sessions: Vec<Session>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleChange {
    Add,
    Remove,
}

/// What the end of all sessions of a user comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOut {
    Alone,
    /// The user can't sign in any more, until somebody takes the block back.
    WithBlock,
}

impl<T: HasUsers> Store<T> {
    pub async fn number_holder(&self, phone: &PhoneNumber) -> Result<Option<PhoneHolder>, Unavailable> {
        self.find_holder(phone).await
    }

    /// The user who has a username; none if it is only kept for a former owner.
    pub async fn username_holder(&self, username: &Username) -> Result<Option<UserId>, Unavailable> {
        let lock = self.get("find a username", self.tables.users(), username_lock_key(username)).await?;
        let Some(lock) = lock.filter(|lock| !lock.contains_key("kept_until")) else { return Ok(None) };
        Ok(Some(Row(&lock).parsed("user_id", str::parse::<UserId>)?))
    }
}

impl<T: HasUsers + HasSessions> Store<T> {
    pub async fn person(&self, id: &UserId) -> Result<Option<Person>, Unavailable> {
        let (item, sessions) = tokio::try_join!(self.find_user_item(id), self.session_items(id))?;
        let Some(item) = item else { return Ok(None) };
        Ok(Some(Person {
            user: user(&item)?,
            kept_usernames: KeptUsernames(Row(&item).moments_by_name("kept_usernames")?),
            sessions: sessions.iter().map(session).collect::<Result<_, _>>()?,
        }))
    }
}

impl<T: HasNotices> Store<T> {
    /// What a user is to be told and was not told yet.
    pub async fn waiting_notices(&self, id: &UserId) -> Result<Vec<Notice>, Unavailable> {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let query = self.client.query().table_name(self.tables.notices()).key_condition_expression("pk = :user");
            let query = query.expression_attribute_values(":user", notices_of(id)).consistent_read(true);
            let page = query.set_exclusive_start_key(from).send().await;
            let page = page.map_err(|error| Unavailable::new("read the notices of a user", error))?;
            for item in page.items.unwrap_or_default() {
                found.push(notice(&item)?);
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }
}

impl<T: HasUsers + HasSettings> Store<T> {
    /// Gives a user roles in an organization, or takes them. Returns whether the user exists.
    pub async fn change_roles(
        &self,
        id: &UserId,
        roles: &[String],
        organization: &OrganizationId,
        which: RoleChange,
        change: &Change,
    ) -> Result<bool, Unavailable> {
        let changed = || {
            roles.iter().fold(Expression::new(), |expression, role| {
                let (name, set) = (format!("{ROLE_PREFIX}{role}"), organization_set([organization]));
                match which {
                    RoleChange::Add => expression.add(&name, set),
                    RoleChange::Remove => expression.delete_from_set(&name, set),
                }
            })
        };
        self.change_user(id, change, changed).await
    }

    /// Lets a blocked user sign in again. Returns whether the user exists.
    pub async fn unblock_user(&self, id: &UserId, change: &Change) -> Result<bool, Unavailable> {
        self.change_user(id, change, || Expression::new().remove(BLOCKED_AT)).await
    }

    /// Writes what operators say of a user to backends, or removes it. Returns whether the user exists.
    pub async fn set_claims(
        &self,
        id: &UserId,
        claims: Option<&CustomClaims>,
        change: &Change,
    ) -> Result<bool, Unavailable> {
        let value = || claims.map(|claims| text(claims.as_str()));
        self.change_user(id, change, || Expression::new().set_or_remove("claims", value())).await
    }

    async fn change_user(
        &self,
        id: &UserId,
        change: &Change,
        expression: impl Fn() -> Expression,
    ) -> Result<bool, Unavailable> {
        let build = || {
            let changed = expression().if_exists("pk");
            Transaction::new("change a user").update((), self.tables.users(), user_key(id), changed)
        };
        Ok(self.transact_recorded(change, build).await?.is_done())
    }

    /// Makes a number nobody's: its holder loses it, or it is no longer kept for a former one. Returns false if the holder is
    /// another one by now.
    pub async fn release_number(
        &self,
        phone: &PhoneNumber,
        seen: &PhoneHolder,
        change: &Change,
    ) -> Result<bool, Unavailable> {
        let users = self.tables.users();
        let build = || {
            let transaction = Transaction::new("release a number");
            match seen.release {
                Some(release) => {
                    transaction.delete((), users, phone_lock_key(phone), if_released(&seen.user, release.until))
                }
                None => {
                    // As for every loss of a number, only a fresh token gives the account another one.
                    let lost = Expression::new()
                        .set("phone_lost_at", moment(change.at))
                        .remove_all(&["phone", "phone_proven_at"])
                        .if_equals("phone", text(phone.e164()));
                    transaction.delete((), users, phone_lock_key(phone), if_phone_of(&seen.user)).update(
                        (),
                        users,
                        user_key(&seen.user),
                        lost,
                    )
                }
            }
        };
        Ok(self.transact_recorded(change, build).await?.is_done())
    }
}

impl<T: HasUsers + HasSessions + HasSettings + HasNotices> Store<T> {
    /// Makes all devices of a user unknown and ends all sessions, the records of those that ended by age included. If it
    /// fails, some may be left. Returns whether the user exists.
    pub async fn sign_out_everywhere(
        &self,
        id: &UserId,
        what: SignOut,
        notices: Option<&NoticeContext>,
        change: &Change,
    ) -> Result<bool, Unavailable> {
        for _ in 0..MAX_RETRIES {
            let Some(seen) = self.find_user(id).await? else { return Ok(false) };
            let keys = seen.device_keys.others_than(None);
            let build = || {
                let phone = seen.phone.as_ref().map(|phone| text(phone.e164()));
                let mut of_user = Expression::new().if_exists("pk").if_equals_or_absent("phone", phone);
                if what == SignOut::WithBlock {
                    of_user = of_user.set(BLOCKED_AT, moment(change.at));
                }
                let (users, transaction) = (self.tables.users(), Transaction::new("sign a user out"));
                let transaction = match what {
                    // DynamoDB takes no update that changes nothing.
                    SignOut::Alone if keys.is_empty() => transaction.check((), users, user_key(id), of_user),
                    _ => transaction.update((), users, user_key(id), forget_devices(of_user, &keys)),
                };
                match &seen.phone {
                    Some(phone) if !keys.is_empty() => {
                        let of_lock = forget_devices(if_phone_of(id), &keys);
                        transaction.update((), users, phone_lock_key(phone), of_lock)
                    }
                    _ => transaction,
                }
            };
            if self.transact_recorded(change, build).await?.is_done() {
                self.end_other_sessions(id, &no_session()?, notices).await?;
                return Ok(true);
            }
        }
        Err(Unavailable::new("sign a user out", NO_END))
    }
}

impl<T: HasUsers + HasOtps + HasSessions + HasSettings + HasNotices> Store<T> {
    /// Deletes a user as they can do themselves. Without `undo_until` nothing can be taken back, and the number is free at
    /// once. Returns whether the user existed.
    pub async fn delete_user(
        &self,
        id: &UserId,
        undo_until: Option<Timestamp>,
        notices: Option<&NoticeContext>,
        change: &Change,
    ) -> Result<bool, Unavailable> {
        for _ in 0..MAX_RETRIES {
            let Some(seen) = self.find_user(id).await? else { return Ok(false) };
            let Some(deletion) = self.read_deletion(&seen, &no_session()?, notices).await? else { return Ok(false) };
            let build = || self.deleting(&seen, &deletion, undo_until, change.at);
            if self.transact_recorded(change, build).await?.is_done() {
                return Ok(true);
            }
        }
        Err(Unavailable::new("delete a user", NO_END))
    }
}

/// What DynamoDB says of a table.
pub struct TableState {
    pub name: String,
    /// Such as `ACTIVE`.
    pub status: Result<String, Unavailable>,
    /// Whether it stays when the stack goes.
    pub is_retained: bool,
    pub is_protected: bool,
}

impl<T: HasUsers + HasOtps + HasSessions + HasSettings + HasNotices> Store<T> {
    pub async fn table_states(&self) -> Vec<TableState> {
        let tables = &self.tables;
        let (users, otps, sessions) = (tables.users(), tables.otps(), tables.sessions());
        let names =
            [(users, true), (tables.settings(), true), (otps, false), (sessions, false), (tables.notices(), true)];
        let mut states = Vec::new();
        for (name, is_retained) in names {
            let answer = self.client.describe_table().table_name(name).send().await;
            let table = answer.map(|answer| answer.table).map_err(|error| Unavailable::new("describe a table", error));
            let is_protected = match &table {
                Ok(Some(table)) => table.deletion_protection_enabled.unwrap_or_default(),
                _ => false,
            };
            let status = table.map(|table| {
                let status = table.and_then(|table| table.table_status);
                status.map(|status| status.as_str().to_owned()).unwrap_or_default()
            });
            states.push(TableState { name: name.to_owned(), status, is_retained, is_protected });
        }
        states
    }
}

/// An id that no session has: an operator has none.
fn no_session() -> Result<SessionId, Unavailable> {
    Ok(SessionId::from_random(random::bytes()?))
}
