//! Transactions: all or nothing. Each step has a tag, by which a refused transaction says which condition failed.

use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::Item;
use super::store::Store;
use crate::random;

/// Attempts while other transactions hold an item.
const MAX_ATTEMPTS: u32 = 6;
/// The longest pause before the second attempt. It doubles with each further one. Milliseconds.
const FIRST_PAUSE_MILLISECONDS: u32 = 10;
const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

/// A transaction under construction. `Tag` names its steps.
pub(super) struct Transaction<Tag> {
    attempted: &'static str,
    steps: Vec<(Tag, Result<TransactWriteItem, BuildError>)>,
}

/// The answer to a transaction.
pub(super) enum Written<Tag> {
    /// Everything is written.
    Done,
    /// Nothing is written.
    Refused(Refusal<Tag>),
}

/// The steps whose conditions failed, with the items that they met.
pub(super) struct Refusal<Tag>(Vec<(Tag, Option<Item>)>);

impl<Tag: PartialEq> Refusal<Tag> {
    /// If the condition of this step failed: the item that it met, if there is one.
    pub(super) fn met_by(&self, tag: &Tag) -> Option<Option<&Item>> {
        self.0.iter().find(|(failed, _)| failed == tag).map(|(_, item)| item.as_ref())
    }
}

impl<Tag> Written<Tag> {
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

impl<Tag> Transaction<Tag> {
    /// `attempted` is a verb phrase for the error, such as "sign in".
    pub(super) const fn new(attempted: &'static str) -> Self {
        Self { attempted, steps: Vec::new() }
    }

    pub(super) fn put(mut self, tag: Tag, table: &str, item: Item, expression: Expression) -> Self {
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .set_condition_expression(expression.condition())
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .return_values_on_condition_check_failure(ALL_OLD);
        self.steps.push((tag, put.build().map(|put| TransactWriteItem::builder().put(put).build())));
        self
    }

    pub(super) fn update(mut self, tag: Tag, table: &str, key: Item, expression: Expression) -> Self {
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key))
            .update_expression(expression.update())
            .set_condition_expression(expression.condition())
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .return_values_on_condition_check_failure(ALL_OLD);
        self.steps.push((tag, update.build().map(|update| TransactWriteItem::builder().update(update).build())));
        self
    }

    pub(super) fn delete(mut self, tag: Tag, table: &str, key: Item, expression: Expression) -> Self {
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(key))
            .set_condition_expression(expression.condition())
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .return_values_on_condition_check_failure(ALL_OLD);
        self.steps.push((tag, delete.build().map(|delete| TransactWriteItem::builder().delete(delete).build())));
        self
    }
}

impl<T> Store<T> {
    /// Writes all steps of a transaction or none.
    pub(super) async fn transact<Tag>(&self, transaction: Transaction<Tag>) -> Result<Written<Tag>, Unavailable> {
        let Transaction { attempted, steps } = transaction;
        let (tags, items): (Vec<Tag>, Vec<_>) = steps.into_iter().unzip();
        let items = items.into_iter().collect::<Result<Vec<_>, _>>();
        let items = items.map_err(|error| Unavailable::new(attempted, error))?;
        let mut pause = FIRST_PAUSE_MILLISECONDS;
        for _ in 0..MAX_ATTEMPTS {
            // The SDK gives each of its own retries the same token, so that a lost answer writes nothing twice.
            let request = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            let error = match request.send().await {
                Ok(_) => return Ok(Written::Done),
                Err(error) => error,
            };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    canceled.cancellation_reasons().to_vec()
                }
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => Vec::new(),
                _ => return Err(Unavailable::new(attempted, error)),
            };
            if reasons.iter().any(is_failed_condition) {
                // DynamoDB gives one reason for each step, in order.
                let failed = tags.into_iter().zip(reasons).filter(|(_, reason)| is_failed_condition(reason));
                return Ok(Written::Refused(Refusal(failed.map(|(tag, reason)| (tag, reason.item)).collect())));
            }
            // Another transaction holds an item, or a partition is throttled. The random pause keeps retries apart.
            let jitter = random::number()?.checked_rem(pause).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(u64::from(jitter))).await;
            pause = pause.saturating_mul(2);
        }
        Err(Unavailable::new(attempted, "other transactions held an item each time"))
    }
}

fn is_failed_condition(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}
