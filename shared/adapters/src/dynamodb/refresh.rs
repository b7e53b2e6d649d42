//! Refreshing: one conditional write rotates the session, and at the same time the user is read.

use domain::rules::limits::Limits;
use domain::rules::session::{PresentedRefreshToken, Rotation};
use domain::rules::user::User;
use domain::use_cases::refresh::RefreshStore;
use domain::values::ids::{SessionId, UserId};
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{moment, number, text};
use super::items::session::{if_live, mark_reused, record_expires_at, session, session_key};
use super::store::{Store, Updated};
use super::tables::{HasSessions, HasUsers};
use crate::telemetry::trace;

const ATTEMPTED: &str = "rotate a session";

impl<T: HasUsers + HasSessions> RefreshStore for Store<T> {
    async fn read_owner(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        self.find_user(id).await
    }

    async fn rotate_and_read_user(
        &self,
        token: &PresentedRefreshToken,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(Rotation, Option<User>), Unavailable> {
        let (rotation, user) = tokio::join!(self.rotate(token, now, limits), self.find_user(&token.user));
        let rotated = (rotation?, user?);
        trace("a session is refreshed", &rotated);
        Ok(rotated)
    }

    async fn revoke_session(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable> {
        self.delete_session(user, session).await
    }

    /// A deletion carries nothing, so the reason is written first. Whoever sees the deleted item knows it.
    async fn revoke_reused_session(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let key = session_key(user, session);
        self.update("mark a session", self.tables.sessions(), key, mark_reused(now)).await?;
        self.delete_session(user, session).await
    }
}

impl<T: HasSessions> Store<T> {
    /// [`domain::rules::session::Session::rotate`] as one write. If its condition fails, the transition itself decides about
    /// the session that failed the condition.
    async fn rotate(
        &self,
        token: &PresentedRefreshToken,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Rotation, Unavailable> {
        let idle_until = now.plus(limits.refresh_idle_seconds);
        let expression = Expression::new()
            .set("counter", number(token.counter.saturating_add(1)))
            .set("last_used_at", moment(now))
            .set("idle_until", moment(idle_until))
            .set("expires_at", record_expires_at(idle_until))
            .if_equals("counter", number(token.counter))
            .if_equals_or_absent("device_key", token.device_key.as_ref().map(|key| text(key.as_str())));
        let expression = if_live(expression, now);
        let key = session_key(&token.user, &token.session);
        match self.update(ATTEMPTED, self.tables.sessions(), key, expression).await? {
            Updated::Done(item) => Ok(Rotation::Rotated(session(&item)?)),
            Updated::ConditionFailed(None) => Ok(Rotation::Revoked),
            Updated::ConditionFailed(Some(item)) => match session(&item)?.rotate(token, now, limits) {
                Rotation::Rotated(_) => Err(Unavailable::new(ATTEMPTED, "the condition contradicts the rule")),
                other => Ok(other),
            },
        }
    }
}
