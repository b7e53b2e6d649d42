//! Sessions: one item per signed-in device.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use domain::authorize::AuthorizeStore;
use domain::ids::{SessionId, UserId};
use domain::limits::Limits;
use domain::refresh::RefreshStore;
use domain::session::{Rotation, Session};
use domain::text::{DeviceName, FcmToken};
use domain::user::User;
use domain::{Timestamp, Unavailable};

use super::item::{Corrupt, Row, moment, number, text};
use super::transaction::ALL_OLD;
use super::{Item, Store};
use crate::config::Table;
use crate::telemetry::trace;

pub(super) fn session_key(user: &UserId, session: &SessionId) -> Item {
    Item::from([("user_id".into(), text(user.as_str())), ("session_id".into(), text(session.as_str()))])
}

/// Writes a session. `expires_at` is the TTL attribute: when it ends unused.
pub(super) fn session_item(session: &Session) -> Item {
    let mut item = session_key(&session.user, &session.id);
    item.insert("counter".into(), number(session.counter));
    item.insert("created_at".into(), moment(session.created_at));
    item.insert("last_used_at".into(), moment(session.last_used_at));
    item.insert("expires_at".into(), moment(session.idle_until));
    item.insert("ends_at".into(), moment(session.ends_at));
    if let Some(name) = &session.device_name {
        item.insert("device_name".into(), text(name.as_str()));
    }
    if let Some(token) = &session.fcm_token {
        item.insert("fcm_token".into(), text(token.as_str()));
    }
    if let Some(at) = session.fcm_token_at {
        item.insert("fcm_token_at".into(), moment(at));
    }
    item
}

/// Reads a session.
pub(super) fn session(item: &Item) -> Result<Session, Corrupt> {
    let row = Row(item);
    Ok(Session {
        user: row.parsed("user_id", str::parse::<UserId>)?,
        id: row.parsed("session_id", str::parse::<SessionId>)?,
        counter: row.number("counter")?,
        created_at: row.moment("created_at")?,
        last_used_at: row.moment("last_used_at")?,
        idle_until: row.moment("expires_at")?,
        ends_at: row.moment("ends_at")?,
        device_name: row.optional("device_name", DeviceName::parse)?,
        fcm_token: row.optional("fcm_token", FcmToken::parse)?,
        fcm_token_at: row.optional_moment("fcm_token_at")?,
    })
}

impl Store {
    pub(super) async fn find_session(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, Unavailable> {
        let item = self.get("read a session", Table::Sessions, session_key(user, id)).await?;
        Ok(item.as_ref().map(session).transpose()?)
    }

    /// All of a user's sessions that are in force, the one used last first.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn sessions(&self, user: &UserId, now: Timestamp) -> Result<Vec<Session>, Unavailable> {
        let mut sessions = Vec::new();
        for item in self.session_items(user).await? {
            let session = session(&item)?;
            if session.is_live(now) {
                sessions.push(session);
            }
        }
        sessions.sort_by_key(|session| std::cmp::Reverse((session.last_used_at, session.id.clone())));
        Ok(sessions)
    }

    pub(super) async fn session_items(&self, user: &UserId) -> Result<Vec<Item>, Unavailable> {
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(self.table(Table::Sessions))
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

    /// Ends all of a user's sessions, `own` last: whoever asked for it from there can ask again as long as any is left.
    ///
    /// # Errors
    /// When the store is out of reach; some may have ended.
    pub async fn end_all_sessions(&self, user: &UserId, own: &SessionId) -> Result<(), Unavailable> {
        for item in self.session_items(user).await? {
            let id = Row(&item).parsed("session_id", str::parse::<SessionId>)?;
            if id != *own {
                self.end_session(user, &id).await?;
            }
        }
        self.end_session(user, own).await
    }

    /// Notes that the device's FCM token holds: the time always, the token only if it is another. `false` if the
    /// session is gone.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn register_fcm_token(
        &self,
        user: &UserId,
        id: &SessionId,
        token: &FcmToken,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let stamped = self.update_session(user, id, "SET fcm_token_at = :at", [(":at", moment(now))].into()).await?;
        match stamped {
            None => Ok(false),
            Some(session) if session.fcm_token.as_ref() == Some(token) => Ok(true),
            Some(_) => {
                let values = [(":at", moment(now)), (":token", text(token.as_str()))].into();
                Ok(self.update_session(user, id, "SET fcm_token_at = :at, fcm_token = :token", values).await?.is_some())
            }
        }
    }

    /// Changes a session that exists.
    async fn update_session(
        &self,
        user: &UserId,
        id: &SessionId,
        change: &str,
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<Option<Session>, Unavailable> {
        let mut request = self
            .client
            .update_item()
            .table_name(self.table(Table::Sessions))
            .set_key(Some(session_key(user, id)))
            .update_expression(change)
            .condition_expression("attribute_exists(session_id)")
            .return_values(ReturnValue::AllNew);
        for (name, value) in values {
            request = request.expression_attribute_values(name, value);
        }
        match request.send().await {
            Ok(answer) => Ok(answer.attributes.as_ref().map(session).transpose()?),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(Unavailable::new("update a session", error)),
        }
    }

    /// [`Session::rotate`] as one write, its condition spelled out; what a failed condition means is asked of the
    /// transition itself.
    async fn rotate(
        &self,
        user: &UserId,
        id: &SessionId,
        presented: u64,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Rotation, Unavailable> {
        let request = self
            .client
            .update_item()
            .table_name(self.table(Table::Sessions))
            .set_key(Some(session_key(user, id)))
            .update_expression("SET #counter = :next, last_used_at = :now, expires_at = :idle_until")
            .condition_expression("#counter = :presented AND expires_at > :now AND ends_at > :now")
            // COUNTER is one of DynamoDB's reserved words.
            .expression_attribute_names("#counter", "counter")
            .expression_attribute_values(":presented", number(presented))
            .expression_attribute_values(":next", number(presented.saturating_add(1)))
            .expression_attribute_values(":now", moment(now))
            .expression_attribute_values(":idle_until", moment(now.plus(limits.refresh_idle_seconds)))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ALL_OLD);
        match request.send().await {
            Ok(answer) => {
                let item =
                    answer.attributes.ok_or_else(|| Unavailable::new("rotate a session", "no session came back"))?;
                Ok(Rotation::Rotated(session(&item)?))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => match failed.item() {
                    None => Ok(Rotation::Revoked),
                    Some(item) => match session(item)?.rotate(presented, now, limits) {
                        Rotation::Rotated(_) => {
                            Err(Unavailable::new("rotate a session", "the condition contradicts the rule"))
                        }
                        other => Ok(other),
                    },
                },
                _ => Err(Unavailable::new("rotate a session", error)),
            },
        }
    }
}

impl AuthorizeStore for Store {
    async fn session(&self, user: &UserId, session: &SessionId) -> Result<Option<Session>, Unavailable> {
        self.find_session(user, session).await
    }
}

impl RefreshStore for Store {
    async fn rotate_and_read_user(
        &self,
        user: &UserId,
        session: &SessionId,
        presented: u64,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(Rotation, Option<User>), Unavailable> {
        let rotated = tokio::try_join!(self.rotate(user, session, presented, now, limits), self.find_user(user))?;
        trace("a session continues", &rotated);
        Ok(rotated)
    }

    async fn end_session(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable> {
        let request =
            self.client.delete_item().table_name(self.table(Table::Sessions)).set_key(Some(session_key(user, session)));
        request.send().await.map_err(|error| Unavailable::new("end a session", error))?;
        Ok(())
    }
}
