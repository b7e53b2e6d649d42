//! DynamoDB: each verb of the domain as one conditional write, one transaction, or reads side by side.
//!
//! Every read is strongly consistent, but for days that are over. TTL deletes late, so every condition checks the expiry itself.

mod accounts;
mod approval;
mod challenges;
mod contention;
mod counters;
mod item;
mod sends;
mod sessions;
mod settings;
mod sign_in;
mod transaction;
mod users;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use domain::Unavailable;

use crate::app::App;
use crate::config::{ConfigError, Table};
use crate::random;

/// The longest pauses after each try of a batch. Milliseconds.
const BATCH_PAUSES_MILLISECONDS: [u32; 4] = [50, 100, 200, 400];

/// An item, as DynamoDB has it.
type Item = HashMap<String, AttributeValue>;

/// The store, for one function: it knows only the tables that the function may touch.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    tables: Arc<BTreeMap<Table, String>>,
    settings: Arc<settings::Cache>,
    best_days: Arc<counters::Cache>,
}

/// Items that were read together, by their keys, which say of what kind each is.
#[derive(Default)]
struct Found(HashMap<String, Item>);

impl Found {
    fn get(&self, key: &Item) -> Option<&Item> {
        self.0.get(item::Row(key).text("pk").ok()?)
    }
}

impl Store {
    /// Opens the store on these tables.
    ///
    /// # Errors
    /// When a table's name is not configured.
    pub fn new(app: &App, tables: &[Table]) -> Result<Self, ConfigError> {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&app.aws);
        config.set_endpoint_url(app.config.aws.dynamodb_endpoint.clone());
        let config = config.retry_classifier(contention::TransactionConflicts);
        let names = tables.iter().map(|table| Ok((*table, app.config.table(*table)?.to_owned())));
        Ok(Self {
            client: Client::from_conf(config.build()),
            tables: Arc::new(names.collect::<Result<_, ConfigError>>()?),
            settings: Arc::default(),
            best_days: Arc::default(),
        })
    }

    fn table(&self, table: Table) -> &str {
        // A table that the function was not opened on has no name; DynamoDB refuses the request.
        self.tables.get(&table).map_or("", String::as_str)
    }

    async fn get(&self, what: &'static str, table: Table, key: Item) -> Result<Option<Item>, Unavailable> {
        let request = self.client.get_item().table_name(self.table(table)).set_key(Some(key)).consistent_read(true);
        match request.send().await {
            Ok(answer) => Ok(answer.item),
            Err(error) => Err(Unavailable::new(what, error)),
        }
    }

    /// Reads up to 100 items of tables that have a partition key alone, in one request. What DynamoDB leaves out, because
    /// it has too much to do, is asked for again.
    async fn get_all(
        &self,
        what: &'static str,
        keys: Vec<(Table, Item)>,
        is_consistent: bool,
    ) -> Result<Found, Unavailable> {
        let mut by_table: BTreeMap<Table, KeysAndAttributesBuilder> = BTreeMap::new();
        for (table, key) in keys {
            let of_table = by_table.remove(&table).unwrap_or_default();
            by_table.insert(table, of_table.keys(key));
        }
        let mut wanted = HashMap::new();
        for (table, keys) in by_table {
            let keys = keys.consistent_read(is_consistent).build().map_err(|error| Unavailable::new(what, error))?;
            wanted.insert(self.table(table).to_owned(), keys);
        }
        let mut found = Found::default();
        for pause in BATCH_PAUSES_MILLISECONDS {
            let answer = self.client.batch_get_item().set_request_items(Some(wanted)).send().await;
            let answer = answer.map_err(|error| Unavailable::new(what, error))?;
            for item in answer.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                found.0.insert(item::Row(&item).text("pk")?.to_owned(), item);
            }
            wanted = answer.unprocessed_keys.unwrap_or_default();
            if wanted.is_empty() {
                return Ok(found);
            }
            let jitter = random::number()?.checked_rem(pause).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(u64::from(jitter))).await;
        }
        Err(Unavailable::new(what, "some of it was left out each time"))
    }

    /// Writes what is of no use any more once its condition fails.
    async fn write_if_it_still_holds(
        &self,
        what: &'static str,
        request: UpdateItemFluentBuilder,
    ) -> Result<(), Unavailable> {
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(Unavailable::new(what, error)),
        }
    }
}
