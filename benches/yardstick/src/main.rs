//! The yardstick, which the functions' times are compared with: the smallest useful function behind API Gateway with a
//! table. It opens its connection before the first event, and does one read for each event.

use std::collections::HashMap;

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::{Error, Request, run, service_fn};

type Item = HashMap<String, AttributeValue>;

/// Reads the item of the published keys: it is small, and every deployment has it.
async fn read(client: &Client, table: &str) -> Result<Option<Item>, Error> {
    let key = AttributeValue::S("keys".to_owned());
    Ok(client.get_item().table_name(table).key("pk", key).send().await?.item)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let table = &std::env::var("SETTINGS_TABLE")?;
    let client = &Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let _ = read(client, table).await;
    run(service_fn(|_: Request| async move {
        let item = read(client, table).await?;
        Ok::<_, Error>(format!("{} attributes", item.map_or(0, |item| item.len())))
    }))
    .await
}
