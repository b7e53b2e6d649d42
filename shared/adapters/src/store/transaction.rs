//! Transactions: all or nothing, tried again while others are in the way, refused with the place that refused.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use domain::Unavailable;

use super::{Item, Store};
use crate::random;

/// Tries while other transactions hold an item.
const TRIES: u32 = 6;
/// The longest pause before the second try; it doubles with each. Milliseconds.
const FIRST_PAUSE_MILLISECONDS: u32 = 10;

/// The answer to a transaction.
pub(super) enum Written {
    /// All of it is written.
    Done,
    /// None of it is. For each step, in order: whether its condition failed, and the item it met.
    Refused(Vec<Option<Option<Item>>>),
}

impl Store {
    /// Writes all steps or none.
    pub(super) async fn transact(
        &self,
        what: &'static str,
        steps: Vec<TransactWriteItem>,
    ) -> Result<Written, Unavailable> {
        let mut pause = FIRST_PAUSE_MILLISECONDS;
        for _ in 0..TRIES {
            // The SDK gives each of its own retries the same token, so that a lost answer writes nothing twice.
            let error = match self.client.transact_write_items().set_transact_items(Some(steps.clone())).send().await {
                Ok(_) => return Ok(Written::Done),
                Err(error) => error,
            };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    canceled.cancellation_reasons().to_vec()
                }
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => Vec::new(),
                _ => return Err(Unavailable::new(what, error)),
            };
            if reasons.iter().any(|reason| reason.code() == Some("ConditionalCheckFailed")) {
                return Ok(Written::Refused(reasons.into_iter().map(failed_condition).collect()));
            }
            // Another transaction holds an item, or a partition is throttled: wait a while, each a different one.
            let jitter = random::number()?.checked_rem(pause).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(u64::from(jitter))).await;
            pause = pause.saturating_mul(2);
        }
        Err(Unavailable::new(what, "others were in the way each time"))
    }
}

fn failed_condition(reason: CancellationReason) -> Option<Option<Item>> {
    (reason.code.as_deref() == Some("ConditionalCheckFailed")).then_some(reason.item)
}

/// A step of a transaction; each answers with the item it met when its condition fails.
pub(super) enum Step {
    Put(Put),
    Update(Update),
    Delete(Delete),
}

impl From<Step> for TransactWriteItem {
    fn from(step: Step) -> Self {
        let item = Self::builder();
        match step {
            Step::Put(put) => item.put(put),
            Step::Update(update) => item.update(update),
            Step::Delete(delete) => item.delete(delete),
        }
        .build()
    }
}

/// Makes the steps of a transaction; a builder that lacks a member is a fault of ours, said as such.
macro_rules! steps {
    ($what:literal; $($kind:ident($builder:expr)),* $(,)?) => {
        vec![$(
            aws_sdk_dynamodb::types::TransactWriteItem::from($crate::store::transaction::Step::$kind(
                $builder
                    .return_values_on_condition_check_failure($crate::store::transaction::ALL_OLD)
                    .build()
                    .map_err(|error| domain::Unavailable::new($what, error))?,
            ))
        ),*]
    };
}
pub(super) use steps;

/// What a failed condition answers with.
pub(super) const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;
