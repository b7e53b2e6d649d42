//! The audit log: `audit` has the number of the last entry, and `audit#<number>` is an entry.

use domain::values::time::Timestamp;

use super::attributes::{Corrupt, Item, Row, key, moment, text};

/// What an operator changes. No text has a code, a token or a full number.
#[derive(Clone, Debug)]
pub struct Change {
    /// Who.
    pub by: String,
    /// What, such as `user.sign_out`.
    pub action: &'static str,
    /// Of whom: a user id, an organization, a masked number.
    pub subject: String,
    pub detail: Option<String>,
    pub at: Timestamp,
}

/// A change as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// From 1, without gaps.
    pub number: u64,
    pub by: String,
    pub action: String,
    pub subject: String,
    pub detail: Option<String>,
    pub at: Timestamp,
}

pub(in crate::dynamodb) fn log_key() -> Item {
    key("audit")
}

pub(in crate::dynamodb) fn entry_key(number: u64) -> Item {
    key(format!("audit#{number}"))
}

pub(in crate::dynamodb) fn entry_item(number: u64, change: &Change) -> Item {
    let mut item = entry_key(number);
    item.insert("at".into(), moment(change.at));
    item.insert("by".into(), text(change.by.as_str()));
    item.insert("action".into(), text(change.action));
    item.insert("subject".into(), text(change.subject.as_str()));
    item.extend(change.detail.as_ref().map(|detail| ("detail".into(), text(detail.as_str()))));
    item
}

pub(in crate::dynamodb) fn entry(item: &Item, number: u64) -> Result<AuditEntry, Corrupt> {
    let row = Row(item);
    Ok(AuditEntry {
        number,
        at: row.moment("at")?,
        by: row.text("by")?.to_owned(),
        action: row.text("action")?.to_owned(),
        subject: row.text("subject")?.to_owned(),
        detail: row.optional_text("detail")?.map(str::to_owned),
    })
}
