//! Firebase tokens that were used: one item for each.

use domain::rules::challenge::Consumption;
use domain::rules::firebase_token::TokenDigest;
use domain::values::time::{HOUR, Timestamp};

use super::attributes::{Item, key, moment, text};

pub(in crate::dynamodb) fn token_key(digest: &TokenDigest) -> Item {
    key(format!("firebase#{}", digest.as_str()))
}

/// Kept an hour longer than the token is valid, because TTL may delete at once.
pub(in crate::dynamodb) fn token_item(digest: &TokenDigest, valid_until: Timestamp, consumption: &Consumption) -> Item {
    let mut item = token_key(digest);
    item.insert("consumed_at".into(), moment(consumption.at));
    item.insert("consumed_user".into(), text(consumption.user.as_str()));
    let idempotency = consumption.idempotency.as_ref();
    item.extend(idempotency.map(|digest| ("consumed_idempotency".into(), text(digest.as_str()))));
    item.extend(consumption.session.as_ref().map(|session| ("consumed_session".into(), text(session.as_str()))));
    item.insert("expires_at".into(), moment(valid_until.plus(HOUR)));
    item
}
