//! Accounts: changing a profile, deleting user, locks, sessions and pending codes together, and registering FCM tokens.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::notice::{AccountEvent, Notice, NoticeContext};
use domain::rules::token::Caller;
use domain::rules::user::{KeptUsernames, Release, ReleaseReason, USERNAME_KEPT_SECONDS, User};
use domain::use_cases::account::{Account, AccountStore, ChangeOutcome, ProfileChange, RegistrationOutcome};
use domain::values::ids::{SessionId, UserId};
use domain::values::purpose::Purpose;
use domain::values::text::FcmToken;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Item, Row, moment, moments_by_name, number, text};
use super::items::challenge::{challenge_name, challenges, keep, record_key};
use super::items::session::{if_live, session, session_key};
use super::items::user::{
    deleted_user, forget_devices, if_available_to, if_phone_of, keep_username, phone_lock_key, release_phone, user,
    user_key, username_lock, username_lock_key,
};
use super::store::{Store, Updated};
use super::tables::{HasNotices, HasOtps, HasSessions, HasUsers};
use super::transaction::{Transaction, Written};

/// A transaction takes 100 items (DynamoDB's limit); user, locks and codes need some of them.
const SESSIONS_IN_TRANSACTION: usize = 90;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    User,
    NewUsername,
    FormerUsername,
    Notice,
}

impl<T: HasUsers + HasOtps + HasSessions + HasNotices> AccountStore for Store<T> {
    async fn account(&self, id: &UserId) -> Result<Option<Account>, Unavailable> {
        let Some(item) = self.find_user_item(id).await? else { return Ok(None) };
        let mut user = user(&item)?;
        // The user item does not say when the phone was proven if that was before it recorded it: the lock does.
        if let User { phone: Some(phone), phone_proven_at: proven_at @ None, .. } = &mut user
            && let Some(lock) = self.find_phone_lock(phone).await?
        {
            *proven_at = Row(&lock).optional_moment("proven_at")?;
        }
        let kept_usernames = KeptUsernames(Row(&item).moments_by_name("kept_usernames")?);
        Ok(Some(Account { user, kept_usernames }))
    }

    async fn change_profile(
        &self,
        seen: &Account,
        change: &ProfileChange,
        kept: &KeptUsernames,
        notice: Option<&Notice>,
        now: Timestamp,
    ) -> Result<ChangeOutcome, Unavailable> {
        let Account { user: seen, kept_usernames: seen_kept } = seen;
        let users = self.tables.users();
        let mut changed = seen.clone();
        let mut expression = Expression::new().if_exists("pk");
        if let Some(name) = &change.name {
            expression = expression.set_or_remove("name", name.as_ref().map(|name| text(name.as_str())));
            changed.name.clone_from(name);
        }
        if let Some(image_url) = &change.image_url {
            expression = expression.set_or_remove("image_url", image_url.as_ref().map(|url| text(url.as_str())));
            changed.image_url.clone_from(image_url);
        }
        if let Some(username) = &change.username {
            expression = expression
                .set_or_remove("username", username.as_ref().map(|username| text(username.as_str())))
                .set_or_remove("kept_usernames", moments_by_name(&kept.0))
                .if_equals_or_absent("username", seen_username(seen))
                .if_equals_or_absent("kept_usernames", moments_by_name(&seen_kept.0));
            changed.username.clone_from(username);
        }
        let mut transaction =
            Transaction::new("change a profile").update(Step::User, users, user_key(&seen.id), expression);
        if let Some(username) = &change.username {
            if let Some(username) = username {
                let lock = username_lock(username, &seen.id);
                transaction = transaction.put(Step::NewUsername, users, lock, if_available_to(&seen.id, now));
            }
            if let Some(former) = &seen.username
                && let Some(until) = kept.0.get(&former.folded())
            {
                let key = username_lock_key(former);
                transaction = transaction.update(Step::FormerUsername, users, key, keep_username(&seen.id, *until));
            }
        }
        let transaction = self.telling(transaction, Step::Notice, notice);
        match self.transact(transaction).await? {
            Written::Done => Ok(ChangeOutcome::Changed(Box::new(changed))),
            Written::Refused(refusal) if refusal.failed_condition(Step::User).is_some() => Ok(ChangeOutcome::Stale),
            Written::Refused(refusal) if refusal.failed_condition(Step::NewUsername).is_some() => {
                Ok(ChangeOutcome::UsernameTaken)
            }
            Written::Refused(_) => Ok(ChangeOutcome::Stale),
        }
    }

    async fn delete_account(
        &self,
        seen: &User,
        own: &SessionId,
        undo_until: Timestamp,
        notices: Option<&NoticeContext>,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let Some(deletion) = self.read_deletion(seen, own, notices).await? else { return Ok(false) };
        Ok(self.transact(self.deleting(seen, &deletion, Some(undo_until), now)).await?.is_done())
    }

    async fn register_fcm_token(
        &self,
        caller: &Caller,
        token: &FcmToken,
        now: Timestamp,
    ) -> Result<RegistrationOutcome, Unavailable> {
        let (user, is_registered) =
            tokio::join!(self.find_user_item(&caller.user), self.write_fcm_token(caller, token, now));
        Ok(match (user?, is_registered?) {
            (None, _) => RegistrationOutcome::NoSuchUser,
            (Some(_), false) => RegistrationOutcome::NoSuchSession,
            (Some(_), true) => RegistrationOutcome::Registered,
        })
    }
}

/// What is read before an account is deleted.
pub(super) struct Deletion {
    item: Item,
    /// The attributes of the challenges that end.
    codes: Vec<String>,
    /// The keys of the sessions that end in the transaction.
    sessions: Vec<Item>,
    notice: Option<Notice>,
}

impl<T: HasUsers + HasOtps + HasSessions + HasNotices> Store<T> {
    /// Reads what a deletion needs; none if the user no longer exists. Ends the sessions that do not fit the transaction.
    pub(super) async fn read_deletion(
        &self,
        seen: &User,
        own: &SessionId,
        notices: Option<&NoticeContext>,
    ) -> Result<Option<Deletion>, Unavailable> {
        let (items, codes, item) =
            tokio::try_join!(self.session_items(&seen.id), self.own_challenges(seen), self.find_user_item(&seen.id))?;
        let Some(item) = item else { return Ok(None) };
        let fcm_token = |item: &Item| FcmToken::parse(Row(item).text("fcm_token").ok()?).ok();
        let is_own = |item: &&Item| session_key_of(item) == Some(session_key(&seen.id, own));
        let own_token = items.iter().find(is_own).and_then(fcm_token);
        // An earlier session of the same device has the same token.
        let devices = items.iter().filter_map(fcm_token).filter(|token| Some(token) != own_token.as_ref()).collect();
        let notice = notices.and_then(|notices| notices.to_ended(AccountEvent::AccountDeleted, &seen.id, devices));
        let mut sessions: Vec<Item> = items.iter().filter_map(session_key_of).collect();
        // A user may have more sessions than a transaction takes. The surplus is ended first. The caller's own session ends
        // with the account, so that the caller can ask again.
        sessions.sort_by_key(|key| *key != session_key(&seen.id, own));
        for key in sessions.split_off(sessions.len().min(SESSIONS_IN_TRANSACTION)) {
            self.delete("delete an account", self.tables.sessions(), key).await?;
        }
        Ok(Some(Deletion { item, codes, sessions, notice }))
    }

    /// A deletion that can be taken back until then; for good, if there is no such time. The username is kept in any case.
    pub(super) fn deleting(
        &self,
        seen: &User,
        deletion: &Deletion,
        undo_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Transaction<()> {
        let (users, otps) = (self.tables.users(), self.tables.otps());
        let Deletion { item, codes, sessions, notice } = deletion;
        let unchanged = Expression::new()
            // A sign-in since the user was read has opened a session that may not be in the list.
            .if_equals_or_absent("sign_ins", (seen.sign_ins > 0).then(|| number(seen.sign_ins)))
            .if_equals_or_absent("phone", seen.phone.as_ref().map(|phone| text(phone.e164())))
            .if_equals_or_absent("username", seen_username(seen))
            // The item is kept as it was read.
            .if_equals_or_absent("name", item.get("name").cloned())
            .if_equals_or_absent("image_url", item.get("image_url").cloned())
            .if_equals_or_absent("former_phones", item.get("former_phones").cloned());
        let mut transaction = Transaction::new("delete an account").delete((), users, user_key(&seen.id), unchanged);
        if let Some(username) = &seen.username {
            let kept = keep_username(&seen.id, now.plus(USERNAME_KEPT_SECONDS));
            transaction = transaction.update((), users, username_lock_key(username), kept);
        }
        if let Some(phone) = &seen.phone {
            transaction = match undo_until {
                Some(until) => {
                    let release = Release { reason: ReleaseReason::AccountDeleted, until };
                    // Whoever takes the deletion back starts without known devices.
                    let keys = seen.device_keys.others_than(None);
                    let released = forget_devices(release_phone(&seen.id, release), &keys);
                    transaction.update((), users, phone_lock_key(phone), released).put(
                        (),
                        users,
                        deleted_user(item.clone(), &seen.id, until),
                        Expression::new(),
                    )
                }
                None => transaction.delete((), users, phone_lock_key(phone), if_phone_of(&seen.id)),
            };
            if !codes.is_empty() {
                // The codes are removed and the counts of wrong codes stay, or deleting an account would reset them.
                let no_codes = codes.iter().fold(keep(Expression::new(), now), |change, name| change.remove(name));
                transaction = transaction.update((), otps, record_key(phone), no_codes);
            }
        }
        for key in sessions {
            transaction = transaction.delete((), self.tables.sessions(), key.clone(), Expression::new());
        }
        self.telling(transaction, (), notice)
    }
}

impl<T: HasOtps> Store<T> {
    /// The attributes of the challenges at the user's phone, except those of other callers.
    async fn own_challenges(&self, user: &User) -> Result<Vec<String>, Unavailable> {
        let Some(phone) = &user.phone else { return Ok(Vec::new()) };
        let item = self.get("read pending codes", self.tables.otps(), record_key(phone)).await?;
        let own = |purpose: &Purpose| purpose.caller().is_none_or(|caller| *caller == user.id);
        let purposes = item.iter().flat_map(challenges).map(|(purpose, _)| purpose);
        Ok(purposes.filter(own).map(|purpose| challenge_name(&purpose)).collect())
    }
}

impl<T: HasSessions> Store<T> {
    /// Returns whether the session is live.
    async fn write_fcm_token(&self, caller: &Caller, token: &FcmToken, now: Timestamp) -> Result<bool, Unavailable> {
        let stamp = || if_live(Expression::new().set("fcm_token_at", moment(now)), now);
        let update = |expression| {
            let key = session_key(&caller.user, &caller.session);
            self.update("register an FCM token", self.tables.sessions(), key, expression)
        };
        match update(stamp()).await? {
            Updated::ConditionFailed(_) => Ok(false),
            Updated::Done(item) if session(&item)?.fcm_token.as_ref() == Some(token) => Ok(true),
            Updated::Done(_) => {
                let updated = update(stamp().set("fcm_token", text(token.as_str()))).await?;
                Ok(matches!(updated, Updated::Done(_)))
            }
        }
    }
}

fn seen_username(seen: &User) -> Option<AttributeValue> {
    seen.username.as_ref().map(|username| text(username.as_str()))
}

fn session_key_of(item: &Item) -> Option<Item> {
    let member = |name: &str| Some((name.to_owned(), item.get(name)?.clone()));
    Some(Item::from([member("user_id")?, member("session_id")?]))
}
