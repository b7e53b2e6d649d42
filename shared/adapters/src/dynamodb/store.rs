//! The store of one function: one client, and the tables that the function may use.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::rules::organization::{Access, Organization};
use domain::values::country::Country;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::text::OrganizationId;
use domain::values::unavailable::Unavailable;

use super::contention::TransactionConflicts;
use super::expression::Expression;
use super::items::attributes::{Item, Row};
use super::tables::TableSet;
use crate::app::App;
use crate::config::ConfigError;
use crate::expiring::Expiring;
use crate::random;

/// The longest pause after each attempt of a batch. Milliseconds.
const BATCH_PAUSES_MILLISECONDS: [u32; 4] = [50, 100, 200, 400];
/// The most organizations, and countries of organizations, that are cached, unknown ones included.
const CACHED: usize = 256;

/// Cheap to clone. `T` is the set of tables.
pub struct Store<T> {
    pub(super) client: Client,
    pub(super) client_of_transactions: Arc<OnceLock<Client>>,
    pub(super) transaction_timeout: Duration,
    pub(super) tables: Arc<T>,
    pub(super) issuer: Arc<str>,
    pub(super) numbering_plan: Arc<NumberingPlan>,
    pub(super) organizations: Arc<Expiring<OrganizationId, Option<Organization>>>,
    /// With the numbers that get no codes.
    pub(super) organizations_for_sends: Arc<Expiring<OrganizationId, Option<Organization>>>,
    pub(super) accesses: Arc<Expiring<OrganizationId, Option<Access>>>,
    pub(super) highest_days: Arc<Expiring<(OrganizationId, Country), u32>>,
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            client_of_transactions: Arc::clone(&self.client_of_transactions),
            transaction_timeout: self.transaction_timeout,
            tables: Arc::clone(&self.tables),
            issuer: Arc::clone(&self.issuer),
            numbering_plan: Arc::clone(&self.numbering_plan),
            organizations: Arc::clone(&self.organizations),
            organizations_for_sends: Arc::clone(&self.organizations_for_sends),
            accesses: Arc::clone(&self.accesses),
            highest_days: Arc::clone(&self.highest_days),
        }
    }
}

/// What a single conditional write did.
pub(super) enum Updated {
    /// Holds the item after the write.
    Done(Item),
    /// Holds the item that failed the condition, if it exists.
    ConditionFailed(Option<Item>),
}

/// How up to date a read is. An eventually consistent one costs half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Consistency {
    Strong,
    Eventual,
}

/// Items that were read together, by their partition keys, which say of what kind each is.
#[derive(Default)]
pub(super) struct Found {
    by_table: HashMap<String, FoundItems>,
    nothing: FoundItems,
}

/// Those of one table, by their keys.
#[derive(Default)]
pub(super) struct FoundItems(HashMap<String, Item>);

impl Found {
    pub(super) fn of(&self, table: &str) -> &FoundItems {
        self.by_table.get(table).unwrap_or(&self.nothing)
    }
}

impl FoundItems {
    pub(super) fn get(&self, key: &Item) -> Option<&Item> {
        self.at(Row(key).text("pk").ok()?)
    }

    pub(super) fn at(&self, pk: &str) -> Option<&Item> {
        self.0.get(pk)
    }
}

impl<T: TableSet> Store<T> {
    /// # Errors
    /// When the name of one of the tables is not configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&app.aws);
        config.set_endpoint_url(app.config.aws.dynamodb_endpoint.clone());
        let config = config.retry_classifier(TransactionConflicts);
        Ok(Self {
            client: Client::from_conf(config.build()),
            client_of_transactions: Arc::default(),
            transaction_timeout: app.config.aws.timeouts.transaction,
            tables: Arc::new(T::from_config(&app.config.resources)?),
            issuer: app.config.issuer.issuer.as_str().into(),
            numbering_plan: Arc::clone(&app.numbering_plan),
            organizations: Arc::new(Expiring::new(CACHED)),
            organizations_for_sends: Arc::new(Expiring::new(CACHED)),
            accesses: Arc::new(Expiring::new(CACHED)),
            highest_days: Arc::new(Expiring::new(CACHED)),
        })
    }
}

impl<T> Store<T> {
    pub(super) async fn get(
        &self,
        attempted: &'static str,
        table: &str,
        key: Item,
    ) -> Result<Option<Item>, Unavailable> {
        let request = self.client.get_item().table_name(table).set_key(Some(key)).consistent_read(true);
        request.send().await.map(|answer| answer.item).map_err(|error| Unavailable::new(attempted, error))
    }

    /// Writes if the conditions hold.
    pub(super) async fn update(
        &self,
        attempted: &'static str,
        table: &str,
        key: Item,
        expression: Expression,
    ) -> Result<Updated, Unavailable> {
        let expression = expression.build();
        let request = self
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(key))
            .update_expression(expression.update)
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(answer) => {
                let item = answer.attributes.ok_or_else(|| Unavailable::new(attempted, "no item was returned"))?;
                Ok(Updated::Done(item))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Updated::ConditionFailed(failed.item().cloned()))
                }
                _ => Err(Unavailable::new(attempted, error)),
            },
        }
    }

    pub(super) async fn delete(&self, attempted: &'static str, table: &str, key: Item) -> Result<(), Unavailable> {
        let request = self.client.delete_item().table_name(table).set_key(Some(key));
        request.send().await.map(|_| ()).map_err(|error| Unavailable::new(attempted, error))
    }

    /// Reads up to 100 items of tables that have only a partition key, in one request. Asks again for the items that
    /// DynamoDB leaves out under load.
    pub(super) async fn get_all(
        &self,
        attempted: &'static str,
        keys: Vec<(&str, Item)>,
        consistency: Consistency,
    ) -> Result<Found, Unavailable> {
        let mut by_table: BTreeMap<&str, KeysAndAttributesBuilder> = BTreeMap::new();
        for (table, key) in keys {
            let of_table = by_table.remove(table).unwrap_or_default();
            by_table.insert(table, of_table.keys(key));
        }
        let mut wanted = HashMap::new();
        for (table, keys) in by_table {
            let keys = keys.consistent_read(consistency == Consistency::Strong).build();
            wanted.insert(table.to_owned(), keys.map_err(|error| Unavailable::new(attempted, error))?);
        }
        let mut found = Found::default();
        for pause in BATCH_PAUSES_MILLISECONDS {
            let answer = self.client.batch_get_item().set_request_items(Some(wanted)).send().await;
            let answer = answer.map_err(|error| Unavailable::new(attempted, error))?;
            for (table, items) in answer.responses.unwrap_or_default() {
                let of_table = found.by_table.entry(table).or_default();
                for item in items {
                    of_table.0.insert(Row(&item).text("pk")?.to_owned(), item);
                }
            }
            wanted = answer.unprocessed_keys.unwrap_or_default();
            if wanted.is_empty() {
                return Ok(found);
            }
            let jitter = random::number()?.checked_rem(pause).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(u64::from(jitter))).await;
        }
        Err(Unavailable::new(attempted, "DynamoDB left out some items each time"))
    }
}
