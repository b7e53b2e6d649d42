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

/// The answer to a transaction: all of it is written, or nothing.
pub(super) enum Written<Tag> {
    Done,
    Refused(Refusal<Tag>),
}

pub(super) struct Refusal<Tag>(Vec<FailedCondition<Tag>>);

pub(super) struct FailedCondition<Tag> {
    step: Tag,
    /// The item that failed the condition, if it exists.
    pub(super) item: Option<Item>,
}

impl<Tag: PartialEq> Refusal<Tag> {
    pub(super) fn failed_condition(&self, step: Tag) -> Option<&FailedCondition<Tag>> {
        self.0.iter().find(|failed| failed.step == step)
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
        // One token for every attempt, so that a lost answer writes nothing twice and no attempt conflicts with an earlier one.
        let token = format!("{:032x}", u128::from_be_bytes(random::bytes()?));
        let mut pause = FIRST_PAUSE_MILLISECONDS;
        for _ in 0..MAX_ATTEMPTS {
            let request = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            let request = request.client_request_token(token.clone());
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
                let failed = failed.map(|(step, reason)| FailedCondition { step, item: reason.item });
                return Ok(Written::Refused(Refusal(failed.collect())));
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
