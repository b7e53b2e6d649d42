//! Notices that are to be delivered: one item for each.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::notice::{AccountEvent, Notice, Recipient};
use domain::values::ids::{NoticeId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::text::{FcmToken, OrganizationId};
use domain::values::time::DAY;

use super::attributes::{Corrupt, Item, Row, moment, text};

/// How long the item of a notice stays that could not be delivered.
const KEPT_SECONDS: u32 = 7 * DAY;

/// The partition key of a user's notices.
pub(in crate::dynamodb) fn notices_of(user: &UserId) -> AttributeValue {
    text(format!("user#{user}"))
}

pub(in crate::dynamodb) fn notice_key(user: &UserId, id: &NoticeId) -> Item {
    Item::from([("pk".into(), notices_of(user)), ("sk".into(), text(id.as_str()))])
}

pub(in crate::dynamodb) fn notice_item(notice: &Notice) -> Item {
    let mut item = notice_key(&notice.user, &notice.id);
    item.insert("user_id".into(), text(notice.user.as_str()));
    item.insert("event".into(), text(notice.event.name()));
    item.insert("organization_id".into(), text(notice.organization.as_str()));
    item.insert("at".into(), moment(notice.at));
    item.insert("expires_at".into(), moment(notice.at.plus(KEPT_SECONDS)));
    item.extend(match &notice.recipient {
        Recipient::DevicesBut(session) => {
            session.iter().map(|session| ("not_session".into(), text(session.as_str()))).collect::<Vec<_>>()
        }
        Recipient::Devices(tokens) => {
            let tokens = tokens.iter().map(|token| text(token.as_str())).collect();
            vec![("fcm_tokens".into(), AttributeValue::L(tokens))]
        }
        Recipient::Number { phone, until } => {
            vec![("phone".into(), text(phone.e164())), ("until".into(), moment(*until))]
        }
    });
    item
}

pub(in crate::dynamodb) fn notice(item: &Item) -> Result<Notice, Corrupt> {
    let row = Row(item);
    let phone = row.optional("phone", PhoneNumber::from_e164)?;
    let recipient = match (phone, item.get("fcm_tokens")) {
        (Some(phone), _) => Recipient::Number { phone, until: row.moment("until")? },
        (None, Some(tokens)) => Recipient::Devices(fcm_tokens(tokens)?),
        (None, None) => Recipient::DevicesBut(row.optional("not_session", str::parse)?),
    };
    Ok(Notice {
        id: row.parsed("sk", str::parse)?,
        event: row.parsed("event", |name| AccountEvent::of_name(name).ok_or(()))?,
        user: row.parsed("user_id", str::parse)?,
        organization: row.parsed("organization_id", OrganizationId::parse)?,
        recipient,
        at: row.moment("at")?,
    })
}

fn fcm_tokens(value: &AttributeValue) -> Result<Vec<FcmToken>, Corrupt> {
    let corrupt = || Corrupt::new("fcm_tokens");
    let tokens = value.as_l().map_err(|_| corrupt())?.iter();
    let parsed = tokens.map(|token| FcmToken::parse(token.as_s().ok()?).ok());
    parsed.collect::<Option<_>>().ok_or_else(corrupt)
}
