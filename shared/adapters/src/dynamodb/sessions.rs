//! A user's sessions: one query lists them; each is ended by a deletion.

use std::cmp::Reverse;

use domain::rules::session::Session;
use domain::use_cases::sessions::SessionsStore;
use domain::values::ids::{SessionId, UserId};
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::items::attributes::{Item, Row, text};
use super::items::session::{session, session_key};
use super::store::Store;
use super::tables::{HasSessions, HasUsers};

impl<T: HasUsers + HasSessions> SessionsStore for Store<T> {
    async fn user_exists(&self, user: &UserId) -> Result<bool, Unavailable> {
        Ok(self.find_user_item(user).await?.is_some())
    }

    async fn live_sessions_of_user(&self, user: &UserId, now: Timestamp) -> Result<Option<Vec<Session>>, Unavailable> {
        let (user, sessions) = tokio::try_join!(self.find_user_item(user), self.live_sessions(user, now))?;
        Ok(user.map(|_| sessions))
    }

    async fn end_session(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable> {
        self.delete_session(user, session).await
    }

    async fn end_all_sessions(&self, user: &UserId, last: &SessionId) -> Result<(), Unavailable> {
        for item in self.session_items(user).await? {
            let id = Row(&item).parsed("session_id", str::parse::<SessionId>)?;
            if id != *last {
                self.delete_session(user, &id).await?;
            }
        }
        self.delete_session(user, last).await
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

    pub(super) async fn session_items(&self, user: &UserId) -> Result<Vec<Item>, Unavailable> {
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(self.tables.sessions())
                .key_condition_expression("user_id = :user")
                .expression_attribute_values(":user", text(user.as_str()))
                .consistent_read(true)
                .set_exclusive_start_key(from);
            let page = request.send().await.map_err(|error| Unavailable::new("list sessions", error))?;
            items.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
    }

    pub(super) async fn delete_session(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable> {
        self.delete("end a session", self.tables.sessions(), session_key(user, session)).await
    }
}
