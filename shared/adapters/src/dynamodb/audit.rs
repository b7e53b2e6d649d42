//! The audit log: what operators change, each change with its entry in one transaction. Entries have numbers without gaps, so
//! that a removed one is missed.

use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Row, number};
use super::items::audit::{AuditEntry, Change, entry, entry_item, entry_key, log_key};
use super::store::{Consistency, Store};
use super::tables::HasSettings;
use super::transaction::{Transaction, Written};

/// How often an entry is written again because another one got its number.
const MAX_RETRIES: usize = 10;
/// The most items of one batch (DynamoDB's limit).
const ENTRIES_IN_BATCH: usize = 100;

impl<T: HasSettings> Store<T> {
    /// Writes a change that is not one transaction, before it is made.
    pub async fn record(&self, change: &Change) -> Result<(), Unavailable> {
        self.transact_recorded(change, || Transaction::<()>::new("write the audit log")).await.map(drop)
    }

    /// The last entries, newest first.
    pub async fn audit_entries(&self, most: u32) -> Result<Vec<AuditEntry>, Unavailable> {
        let last = self.last_audit_number().await?;
        let first = last.saturating_sub(u64::from(most)).saturating_add(1);
        let numbers: Vec<u64> = (first..=last).rev().collect();
        let mut entries = Vec::new();
        for numbers in numbers.chunks(ENTRIES_IN_BATCH) {
            let table = self.tables.settings();
            let keys = numbers.iter().map(|number| (table, entry_key(*number))).collect();
            let found = self.get_all("read the audit log", keys, Consistency::Strong).await?;
            for number in numbers {
                if let Some(item) = found.of(table).get(&entry_key(*number)) {
                    entries.push(entry(item, *number)?);
                }
            }
        }
        Ok(entries)
    }

    /// Writes what `build` makes and the entry of the change, or nothing.
    pub(super) async fn transact_recorded<Tag>(
        &self,
        change: &Change,
        build: impl Fn() -> Transaction<Tag>,
    ) -> Result<Written<Tag>, Unavailable> {
        let settings = self.tables.settings();
        for _ in 0..MAX_RETRIES {
            let last = self.last_audit_number().await?;
            let next = last.saturating_add(1);
            let counted = Expression::new().set("last", number(next)).if_counts("last", last);
            let transaction = build().map(Some).update(None, settings, log_key(), counted).put(
                None,
                settings,
                entry_item(next, change),
                Expression::new().if_absent("pk"),
            );
            match self.transact(transaction).await? {
                Written::Done => return Ok(Written::Done),
                Written::Refused(refusal) => {
                    if let Some(refusal) = refusal.tagged() {
                        return Ok(Written::Refused(refusal));
                    }
                }
            }
        }
        Err(Unavailable::new("write the audit log", "other changes were written each time"))
    }

    async fn last_audit_number(&self) -> Result<u64, Unavailable> {
        let item = self.get("read the audit log", self.tables.settings(), log_key()).await?;
        Ok(item.map(|item| Row(&item).number("last")).transpose()?.unwrap_or_default())
    }
}
