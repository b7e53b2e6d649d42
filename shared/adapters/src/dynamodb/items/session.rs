//! Sessions: one item for each signed-in device.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::session::{KEPT_AFTER_END_SECONDS, Session};
use domain::values::ids::{SessionId, UserId};
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::text::{DeviceName, FcmToken, OrganizationId};
use domain::values::time::Timestamp;

use super::attributes::{Corrupt, Item, Row, moment, number, text};
use crate::dynamodb::expression::Expression;

pub(in crate::dynamodb) fn session_key(user: &UserId, session: &SessionId) -> Item {
    Item::from([("user_id".into(), text(user.as_str())), ("session_id".into(), text(session.as_str()))])
}

/// The TTL attribute `expires_at`: no earlier than the record may go. A rotation does not know `ends_at`, so it counts
/// from the end of the unused session.
pub(in crate::dynamodb) fn record_expires_at(idle_until: Timestamp) -> AttributeValue {
    moment(idle_until.plus(KEPT_AFTER_END_SECONDS))
}

/// The condition that a session is live.
pub(in crate::dynamodb) fn if_live(expression: Expression, now: Timestamp) -> Expression {
    expression.if_above("idle_until", moment(now)).if_above("ends_at", moment(now))
}

/// Marks a session that is about to be deleted because an older refresh token was presented.
pub(in crate::dynamodb) fn mark_reused(now: Timestamp) -> Expression {
    Expression::new().set("reused_at", moment(now)).if_exists("user_id").if_absent("reused_at")
}

pub(in crate::dynamodb) fn was_reused(item: &Item) -> bool {
    item.contains_key("reused_at")
}

pub(in crate::dynamodb) fn session_item(session: &Session) -> Item {
    let mut item = session_key(&session.user, &session.id);
    item.insert("organization".into(), text(session.organization.as_str()));
    item.insert("counter".into(), number(session.counter));
    item.insert("created_at".into(), moment(session.created_at));
    item.insert("last_used_at".into(), moment(session.last_used_at));
    item.insert("idle_until".into(), moment(session.idle_until));
    item.insert("expires_at".into(), record_expires_at(session.idle_until));
    item.insert("ends_at".into(), moment(session.ends_at));
    item.extend(session.device_key.as_ref().map(|key| ("device_key".into(), text(key.as_str()))));
    item.extend(session.device_name.as_ref().map(|name| ("device_name".into(), text(name.as_str()))));
    item.extend(session.fcm_token.as_ref().map(|token| ("fcm_token".into(), text(token.as_str()))));
    item.extend(session.fcm_token_at.map(|at| ("fcm_token_at".into(), moment(at))));
    item
}

pub(in crate::dynamodb) fn session(item: &Item) -> Result<Session, Corrupt> {
    let row = Row(item);
    Ok(Session {
        user: row.parsed("user_id", str::parse::<UserId>)?,
        id: row.parsed("session_id", str::parse::<SessionId>)?,
        organization: row.parsed("organization", OrganizationId::parse)?,
        counter: row.number("counter")?,
        created_at: row.moment("created_at")?,
        last_used_at: row.moment("last_used_at")?,
        idle_until: row.moment("idle_until")?,
        ends_at: row.moment("ends_at")?,
        device_key: row.optional("device_key", str::parse::<KeyThumbprint>)?,
        device_name: row.optional("device_name", DeviceName::parse)?,
        fcm_token: row.optional("fcm_token", FcmToken::parse)?,
        fcm_token_at: row.optional_moment("fcm_token_at")?,
    })
}
