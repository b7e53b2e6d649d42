//! Profiles changed and accounts deleted: user, locks, sessions and pending codes together.

use aws_sdk_dynamodb::types::{Delete, Put, Update};
use domain::account::{AccountStore, ChangeOutcome, ProfileChange};
use domain::challenge::Purpose;
use domain::ids::{SessionId, UserId};
use domain::user::User;
use domain::{Timestamp, Unavailable};

use super::challenges::{record_key, verification_key};
use super::item::{moment, text};
use super::sessions::session_key;
use super::transaction::{Written, steps};
use super::users::{lock, phone_lock_key, user_key, username_lock_key};
use super::{Item, Store};
use crate::config::Table;

/// A transaction takes 100 items (DynamoDB's limit); user, locks and codes need some of them.
const SESSIONS_IN_TRANSACTION: usize = 90;

impl AccountStore for Store {
    async fn user(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        self.find_user(id).await
    }

    async fn change_profile(&self, seen: &User, change: &ProfileChange) -> Result<ChangeOutcome, Unavailable> {
        let users = self.table(Table::Users);
        let mut after = seen.clone();
        let mut set = Vec::new();
        let mut remove = Vec::new();
        let mut update = Update::builder().table_name(users).set_key(Some(user_key(&seen.id)));
        let mut write = |name: &'static str, value: Option<&str>| {
            // `name` and `source` are reserved words of DynamoDB: all go by placeholders.
            update = update.clone().expression_attribute_names(format!("#{name}"), name);
            match value {
                Some(value) => {
                    set.push(format!("#{name} = :{name}"));
                    update = update.clone().expression_attribute_values(format!(":{name}"), text(value));
                }
                None => remove.push(format!("#{name}")),
            }
        };
        if let Some(name) = &change.name {
            write("name", name.as_ref().map(|name| name.as_str()));
            after.name.clone_from(name);
        }
        if let Some(image_url) = &change.image_url {
            write("image_url", image_url.as_ref().map(|url| url.as_str()));
            after.image_url.clone_from(image_url);
        }
        if let Some(username) = &change.username {
            write("username", username.as_ref().map(|username| username.as_str()));
            after.username.clone_from(username);
        }
        let mut expression = String::new();
        for (keyword, parts) in [("SET ", &set), ("REMOVE ", &remove)] {
            if !parts.is_empty() {
                expression.push_str(&format!("{keyword}{} ", parts.join(", ")));
            }
        }
        update = update.update_expression(expression);
        update = match (&change.username, &seen.username) {
            (None, _) => update.condition_expression("attribute_exists(pk)"),
            (Some(_), None) => update.condition_expression("attribute_exists(pk) AND attribute_not_exists(username)"),
            (Some(_), Some(before)) => update
                .condition_expression("username = :before")
                .expression_attribute_values(":before", text(before.as_str())),
        };
        let mut all = steps!["change a profile"; Update(update)];
        if change.username.is_some() {
            if let Some(username) = &after.username {
                let taken = Put::builder()
                    .table_name(users)
                    .set_item(Some(lock(username_lock_key(username), &seen.id)))
                    .condition_expression("attribute_not_exists(pk) OR user_id = :user")
                    .expression_attribute_values(":user", text(seen.id.as_str()));
                all.extend(steps!["change a profile"; Put(taken)]);
            }
            let folded = after.username.as_ref().map(|username| username.folded());
            if let Some(before) = seen.username.as_ref().filter(|before| Some(before.folded()) != folded) {
                let freed = Delete::builder().table_name(users).set_key(Some(username_lock_key(before)));
                let freed = freed
                    .condition_expression("user_id = :user")
                    .expression_attribute_values(":user", text(seen.id.as_str()));
                all.extend(steps!["change a profile"; Delete(freed)]);
            }
        }
        match self.transact("change a profile", all).await? {
            Written::Done => Ok(ChangeOutcome::Changed(after)),
            Written::Refused(refused) if matches!(refused.first(), Some(Some(_))) => Ok(ChangeOutcome::Stale),
            Written::Refused(_) if after.username.is_some() => Ok(ChangeOutcome::UsernameTaken),
            Written::Refused(_) => Ok(ChangeOutcome::Stale),
        }
    }

    async fn delete_account(&self, seen: &User, own: &SessionId, now: Timestamp) -> Result<bool, Unavailable> {
        let users = self.table(Table::Users);
        let otps = self.table(Table::Otps);
        let mut sessions: Vec<Item> = self.session_items(&seen.id).await?.iter().filter_map(session_key_of).collect();
        // More devices than a transaction takes: the surplus is signed out first, the account goes last, and with it the
        // device that asked, which can then ask again.
        sessions.sort_by_key(|key| *key != session_key(&seen.id, own));
        for key in sessions.split_off(sessions.len().min(SESSIONS_IN_TRANSACTION)) {
            let request = self.client.delete_item().table_name(self.table(Table::Sessions)).set_key(Some(key));
            request.send().await.map_err(|error| Unavailable::new("delete an account", error))?;
        }
        let mut user = Delete::builder().table_name(users).set_key(Some(user_key(&seen.id)));
        // A sign-in since they were read has opened a session that is not among those listed: read again, then.
        let mut conditions = vec!["last_sign_in_at = :signed_in"];
        user = user.expression_attribute_values(":signed_in", moment(seen.last_sign_in_at));
        match &seen.phone {
            Some(phone) => {
                conditions.push("phone = :phone");
                user = user.expression_attribute_values(":phone", text(phone.e164()));
            }
            None => conditions.push("attribute_not_exists(phone)"),
        }
        match &seen.username {
            Some(username) => {
                conditions.push("username = :username");
                user = user.expression_attribute_values(":username", text(username.as_str()));
            }
            None => conditions.push("attribute_not_exists(username)"),
        }
        let user = user.condition_expression(conditions.join(" AND "));
        let mut all = steps!["delete an account"; Delete(user)];
        let locks =
            seen.phone.as_ref().map(phone_lock_key).into_iter().chain(seen.username.as_ref().map(username_lock_key));
        for key in locks {
            let freed = Delete::builder()
                .table_name(users)
                .set_key(Some(key))
                .condition_expression("user_id = :user")
                .expression_attribute_values(":user", text(seen.id.as_str()));
            all.extend(steps!["delete an account"; Delete(freed)]);
        }
        let pending = Delete::builder().table_name(otps).set_key(Some(verification_key(&seen.id)));
        all.extend(steps!["delete an account"; Delete(pending)]);
        if let Some(phone) = &seen.phone {
            // The code goes; the counts of wrong ones stay, or deleting an account would clear them.
            let no_code = Update::builder()
                .table_name(otps)
                .set_key(Some(record_key(&Purpose::SignIn, phone)))
                .update_expression("SET expires_at = if_not_exists(expires_at, :now) REMOVE phone, challenge_id, consumed_at, consumed_idempotency, consumed_user, consumed_session, is_approval_asked, approved_by, counted_source")
                .expression_attribute_values(":now", moment(now));
            all.extend(steps!["delete an account"; Update(no_code)]);
        }
        for key in sessions {
            let ended = Delete::builder().table_name(self.table(Table::Sessions)).set_key(Some(key));
            all.extend(steps!["delete an account"; Delete(ended)]);
        }
        Ok(matches!(self.transact("delete an account", all).await?, Written::Done))
    }
}

fn session_key_of(item: &Item) -> Option<Item> {
    let member = |name: &str| Some((name.to_owned(), item.get(name)?.clone()));
    Some(Item::from([member("user_id")?, member("session_id")?]))
}
