//! A user's sessions: one query lists them; each is ended by a deletion.

use std::cmp::Reverse;

use domain::rules::notice::{AccountEvent, Notice, NoticeContext};
use domain::rules::session::Session;
use domain::rules::user::User;
use domain::use_cases::sessions::SessionsStore;
use domain::values::ids::{SessionId, UserId};
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::text::FcmToken;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Item, Row, text};
use super::items::session::{session, session_key};
use super::items::user::{forget_devices, if_phone_of, phone_lock_key, user_key};
use super::store::Store;
use super::tables::{HasNotices, HasSessions, HasUsers};
use super::transaction::Transaction;

impl<T: HasUsers + HasSessions + HasNotices> SessionsStore for Store<T> {
    async fn user(&self, user: &UserId) -> Result<Option<User>, Unavailable> {
        self.find_user(user).await
    }

    async fn user_and_session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<(Option<User>, Option<Session>), Unavailable> {
        tokio::try_join!(self.find_user(user), self.find_session(user, session))
    }

    async fn live_sessions_of_user(&self, user: &UserId, now: Timestamp) -> Result<Option<Vec<Session>>, Unavailable> {
        let (user, sessions) = tokio::try_join!(self.find_user_item(user), self.live_sessions(user, now))?;
        Ok(user.map(|_| sessions))
    }

    async fn end_session(
        &self,
        user: &UserId,
        session: &SessionId,
        notice: Option<&Notice>,
    ) -> Result<(), Unavailable> {
        self.tell(notice).await?;
        self.delete_session(user, session).await
    }

    async fn forget_device_keys(&self, seen: &User, keys: &[KeyThumbprint]) -> Result<bool, Unavailable> {
        let users = self.tables.users();
        // The lock of the phone has the keys too. A change of number copies them, so it must not come in between.
        let own_phone = seen.phone.as_ref().map(|phone| text(phone.e164()));
        let of_user = Expression::new().if_exists("pk").if_equals_or_absent("phone", own_phone);
        let mut transaction =
            Transaction::new("forget a device").update((), users, user_key(&seen.id), forget_devices(of_user, keys));
        if let Some(phone) = &seen.phone {
            let of_lock = forget_devices(if_phone_of(&seen.id), keys);
            transaction = transaction.update((), users, phone_lock_key(phone), of_lock);
        }
        Ok(self.transact(transaction).await?.is_done())
    }

    async fn end_other_sessions(
        &self,
        user: &UserId,
        kept: &SessionId,
        notices: Option<&NoticeContext>,
    ) -> Result<(), Unavailable> {
        let (mut others, mut devices) = (Vec::new(), Vec::new());
        for item in self.session_items(user).await? {
            let row = Row(&item);
            let id = row.parsed("session_id", str::parse::<SessionId>)?;
            if id != *kept {
                others.push(id);
                // What else the item has is no reason to leave the session open.
                devices.extend(row.optional("fcm_token", FcmToken::parse).ok().flatten());
            }
        }
        let notice = notices.and_then(|notices| notices.to_ended(AccountEvent::SignedOut, user, devices));
        self.tell(notice.as_ref()).await?;
        for session in others {
            self.delete_session(user, &session).await?;
        }
        Ok(())
    }
}

impl<T: HasSessions> Store<T> {
    /// The last used session first.
    pub(super) async fn live_sessions(&self, user: &UserId, now: Timestamp) -> Result<Vec<Session>, Unavailable> {
        let items = self.session_items(user).await?;
        let mut sessions = items.iter().map(session).collect::<Result<Vec<_>, _>>()?;
        sessions.retain(|session| session.is_live(now));
        sessions.sort_by_key(|session| Reverse((session.last_used_at, session.id.clone())));
        Ok(sessions)
    }

    /// How many live sessions a user has besides this one; of those in a page of 1 MB, so that no sign-in reads without end.
    pub(super) async fn count_other_sessions(
        &self,
        user: &UserId,
        own: &SessionId,
        now: Timestamp,
    ) -> Result<u32, Unavailable> {
        let (items, _) = self.page_of_sessions(user, None).await?;
        let sessions = items.iter().map(session).collect::<Result<Vec<_>, _>>()?;
        let others = sessions.iter().filter(|session| session.id != *own && session.is_live(now));
        Ok(u32::try_from(others.count()).unwrap_or(u32::MAX))
    }

    async fn page_of_sessions(
        &self,
        user: &UserId,
        from: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), Unavailable> {
        let request = self
            .client
            .query()
            .table_name(self.tables.sessions())
            .key_condition_expression("user_id = :user")
            .expression_attribute_values(":user", text(user.as_str()))
            .consistent_read(true)
            .set_exclusive_start_key(from);
        let page = request.send().await.map_err(|error| Unavailable::new("list sessions", error))?;
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key))
    }

    pub(super) async fn session_items(&self, user: &UserId) -> Result<Vec<Item>, Unavailable> {
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let (page, next) = self.page_of_sessions(user, from).await?;
            items.extend(page);
            from = next;
            if from.is_none() {
                return Ok(items);
            }
        }
    }

    pub(super) async fn delete_session(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable> {
        self.delete("end a session", self.tables.sessions(), session_key(user, session)).await
    }
}
