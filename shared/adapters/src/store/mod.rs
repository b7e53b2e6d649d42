//! DynamoDB: each verb of the domain as one conditional write, one transaction, or reads side by side.
//!
//! Every read is strongly consistent. TTL deletes late, so every condition checks the expiry itself.

mod accounts;
mod challenges;
mod contention;
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

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::Unavailable;

use crate::app::App;
use crate::config::{ConfigError, Table};

/// An item, as DynamoDB has it.
type Item = HashMap<String, AttributeValue>;

/// The store, for one function: it knows only the tables that the function may touch.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    tables: Arc<BTreeMap<Table, String>>,
    settings: Arc<settings::Cache>,
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
}
