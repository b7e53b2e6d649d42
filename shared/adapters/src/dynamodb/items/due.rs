//! What happens at its time: one partition, sorted by time. Few people ask for such things, so one partition is enough.

use domain::rules::due::{Due, DueKind};
use domain::values::time::{DAY, Timestamp};

use super::attributes::{Corrupt, Item, Row, moment, text};

const PARTITION: &str = "due";
/// What nobody did for so long is not done any more.
const KEPT_SECONDS: u32 = 30 * DAY;

/// With as many digits as the latest moment has, so that texts sort as times do.
fn time(at: Timestamp) -> String {
    format!("{:012}", at.seconds())
}

pub(in crate::dynamodb) fn due_key(due: &Due) -> Item {
    // Of two changes of one user, both can be decided at the same time.
    let place = format!("{}#{}#{}#{}", time(due.at), due.kind.name(), due.user, due.requested_at.seconds());
    Item::from([("pk".into(), text(PARTITION)), ("sk".into(), text(place))])
}

/// The values of a query for what is due: the partition, and the place before which it is.
pub(in crate::dynamodb) fn due_until(now: Timestamp) -> [(&'static str, aws_sdk_dynamodb::types::AttributeValue); 2] {
    [(":partition", text(PARTITION)), (":end", text(time(now.plus(1))))]
}

pub(in crate::dynamodb) fn due_item(due: &Due) -> Item {
    let mut item = due_key(due);
    item.insert("user_id".into(), text(due.user.as_str()));
    item.insert("kind".into(), text(due.kind.name()));
    item.insert("at".into(), moment(due.at));
    item.insert("requested_at".into(), moment(due.requested_at));
    item.insert("expires_at".into(), moment(due.at.plus(KEPT_SECONDS)));
    item
}

pub(in crate::dynamodb) fn due(item: &Item) -> Result<Due, Corrupt> {
    let row = Row(item);
    Ok(Due {
        at: row.moment("at")?,
        kind: row.parsed("kind", |name| DueKind::of_name(name).ok_or(()))?,
        user: row.parsed("user_id", str::parse)?,
        requested_at: row.moment("requested_at")?,
    })
}
