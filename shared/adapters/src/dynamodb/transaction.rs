//! Transactions: all or nothing. Each step has a tag, by which a refused transaction says which condition failed.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use domain::values::unavailable::Unavailable;
use tokio::time::timeout;

use super::expression::Expression;
use super::items::attributes::Item;
use super::store::Store;
use crate::random;

/// Attempts while other transactions hold an item, or requests are throttled.
const MAX_CONTENDED: u32 = 6;
/// The longest pause before the second attempt. It doubles with each further one, up to the maximum. Milliseconds.
const FIRST_PAUSE_MILLISECONDS: u32 = 10;
const MAX_PAUSE_MILLISECONDS: u32 = 250;
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

impl<Tag> Refusal<Option<Tag>> {
    /// The failed conditions of the steps that have a tag; none if those all held.
    pub(super) fn tagged(self) -> Option<Refusal<Tag>> {
        let failed =
            self.0.into_iter().filter_map(|failed| Some(FailedCondition { step: failed.step?, item: failed.item }));
        let failed: Vec<_> = failed.collect();
        (!failed.is_empty()).then_some(Refusal(failed))
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

    /// The same steps with other tags.
    pub(super) fn map<Other>(self, tag: impl Fn(Tag) -> Other) -> Transaction<Other> {
        let steps = self.steps.into_iter().map(|(step, item)| (tag(step), item));
        Transaction { attempted: self.attempted, steps: steps.collect() }
    }

    pub(super) fn put(mut self, tag: Tag, table: &str, item: Item, expression: Expression) -> Self {
        let expression = expression.build();
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(ALL_OLD);
        self.steps.push((tag, put.build().map(|put| TransactWriteItem::builder().put(put).build())));
        self
    }

    pub(super) fn update(mut self, tag: Tag, table: &str, key: Item, expression: Expression) -> Self {
        let expression = expression.build();
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key))
            .update_expression(expression.update)
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(ALL_OLD);
        self.steps.push((tag, update.build().map(|update| TransactWriteItem::builder().update(update).build())));
        self
    }

    pub(super) fn delete(mut self, tag: Tag, table: &str, key: Item, expression: Expression) -> Self {
        let expression = expression.build();
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(key))
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(ALL_OLD);
        self.steps.push((tag, delete.build().map(|delete| TransactWriteItem::builder().delete(delete).build())));
        self
    }

    /// Writes nothing, but the transaction is refused unless the condition holds.
    pub(super) fn check(mut self, tag: Tag, table: &str, key: Item, expression: Expression) -> Self {
        let expression = expression.build();
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(key))
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(ALL_OLD);
        let step = check.build().map(|check| TransactWriteItem::builder().condition_check(check).build());
        self.steps.push((tag, step));
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
        let decided = timeout(self.transaction_timeout, decide(self.client_of_transactions(), attempted, items)).await;
        let unknown = |_| Unavailable::new(attempted, "DynamoDB did not say in time whether it is written");
        let reasons = decided.map_err(unknown)??;
        if reasons.is_empty() {
            return Ok(Written::Done);
        }
        // DynamoDB gives one reason for each step, in order.
        let failed = tags.into_iter().zip(reasons).filter(|(_, reason)| is_failed_condition(reason));
        let failed = failed.map(|(step, reason)| FailedCondition { step, item: reason.item });
        Ok(Written::Refused(Refusal(failed.collect())))
    }

    /// Makes the client of transactions, so that the first request need not. Poll it after what opens connections: it works
    /// while those wait for the other side.
    pub async fn prepare_transactions(&self) {
        self.client_of_transactions();
    }

    /// A client without the SDK's retries, which give up too early and do not choose a token.
    fn client_of_transactions(&self) -> &Client {
        let config = || self.client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        self.client_of_transactions.get_or_init(|| Client::from_conf(config()))
    }
}

/// Sends a transaction until DynamoDB says what became of it. Returns no reasons if everything is written, and the reasons
/// of the steps if nothing is, because a condition failed.
///
/// DynamoDB executes the requests with one `ClientRequestToken` once. A repeated request gets the success of the first, or
/// `TransactionInProgressException` while that one has not ended, which a request after five seconds brings about. With other
/// items it gets `IdempotentParameterMismatchException`. So the token stays until DynamoDB cancels the transaction, which
/// writes nothing. With a new token, a transaction that finishes late would be executed a second time: refused by what it
/// wrote itself, or written twice.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
async fn decide(
    client: &Client,
    attempted: &'static str,
    items: Vec<TransactWriteItem>,
) -> Result<Vec<CancellationReason>, Unavailable> {
    let (mut token, mut contended, mut pause) = (new_token()?, 0_u32, FIRST_PAUSE_MILLISECONDS);
    // Whether a request with this token may be written. Then throttling is no reason to give up.
    let mut is_undecided = false;
    loop {
        let request = client.transact_write_items().set_transact_items(Some(items.clone()));
        let Err(error) = request.client_request_token(&token).send().await else { return Ok(Vec::new()) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                let reasons = canceled.cancellation_reasons();
                if reasons.iter().any(is_failed_condition) {
                    return Ok(reasons.to_vec());
                }
                // Another transaction holds an item, or a partition is throttled.
                (token, is_undecided) = (new_token()?, false);
                contended = contended.saturating_add(1);
            }
            Some(
                TransactWriteItemsError::ProvisionedThroughputExceededException(_)
                | TransactWriteItemsError::RequestLimitExceeded(_)
                | TransactWriteItemsError::ThrottlingException(_),
            ) => contended = contended.saturating_add(u32::from(!is_undecided)),
            _ if may_be_written(&error) => is_undecided = true,
            _ => return Err(Unavailable::new(attempted, error)),
        }
        if contended == MAX_CONTENDED {
            return Err(Unavailable::new(attempted, "other requests were in its way each time"));
        }
        // The random pause keeps retries apart.
        let jitter = random::number()?.checked_rem(pause).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(u64::from(jitter))).await;
        pause = pause.saturating_mul(2).min(MAX_PAUSE_MILLISECONDS);
    }
}

fn new_token() -> Result<String, Unavailable> {
    Ok(format!("{:032x}", u128::from_be_bytes(random::bytes()?)))
}

/// Whether the transaction may be written all the same, now or later: it is in progress, or no answer came, or only that
/// of a server that failed.
fn may_be_written(error: &SdkError<TransactWriteItemsError>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(answer) => {
            answer.err().is_transaction_in_progress_exception() || answer.raw().status().is_server_error()
        }
        _ => true,
    }
}

fn is_failed_condition(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Timeouts;

    #[test]
    fn a_request_comes_after_the_five_seconds_that_dynamodb_needs_to_end_a_transaction() {
        let Timeouts { attempt, transaction, .. } = Timeouts::default();
        let last = transaction - attempt - Duration::from_millis(u64::from(MAX_PAUSE_MILLISECONDS));
        assert!(last > Duration::from_secs(5), "{last:?}");
    }
}
