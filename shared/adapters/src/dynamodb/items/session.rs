//! Sessions: one item for each signed-in device.

use domain::rules::session::Session;
use domain::values::ids::{SessionId, UserId};
use domain::values::text::{DeviceName, FcmToken, OrganizationId};

use super::attributes::{Corrupt, Item, Row, moment, number, text};

pub(in crate::dynamodb) fn session_key(user: &UserId, session: &SessionId) -> Item {
    Item::from([("user_id".into(), text(user.as_str())), ("session_id".into(), text(session.as_str()))])
}

/// `expires_at`, the TTL attribute, is when the session ends unused.
pub(in crate::dynamodb) fn session_item(session: &Session) -> Item {
    let mut item = session_key(&session.user, &session.id);
    item.insert("organization".into(), text(session.organization.as_str()));
    item.insert("counter".into(), number(session.counter));
    item.insert("created_at".into(), moment(session.created_at));
    item.insert("last_used_at".into(), moment(session.last_used_at));
    item.insert("expires_at".into(), moment(session.idle_until));
    item.insert("ends_at".into(), moment(session.ends_at));
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
        idle_until: row.moment("expires_at")?,
        ends_at: row.moment("ends_at")?,
        device_name: row.optional("device_name", DeviceName::parse)?,
        fcm_token: row.optional("fcm_token", FcmToken::parse)?,
        fcm_token_at: row.optional_moment("fcm_token_at")?,
    })
}
