//! The embedded DynamoDB engine. It has no port of its own: only the proxy reaches it.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::describe_table::DescribeTableRequest;
use dynoxide::actions::describe_time_to_live::DescribeTimeToLiveRequest;
use dynoxide::actions::update_table::UpdateTableRequest;
use dynoxide::actions::update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest};
use dynoxide::{Database, DynoxideError};
use rusqlite::OpenFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cloudformation::Table;

/// How often expired items are deleted. DynamoDB itself may take days, so no code may rely on a deletion in time.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

const UNKNOWN_OPERATION: &str = r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;

/// The last one closes the database.
#[derive(Clone)]
pub struct Embedded(Arc<Database>);

impl Embedded {
    /// Opens the database (without a path, in memory) and creates the missing tables.
    pub fn open(path: Option<&Path>, tables: &[Table]) -> Result<Self, String> {
        let database = open(path)?;
        for table in tables {
            ensure_table(&database, table).map_err(|reason| format!("table {}: {reason}", table.name))?;
        }
        let database = Arc::new(database);
        tokio::spawn(sweep(Arc::downgrade(&database)));
        Ok(Self(database))
    }

    /// Executes a request, and returns the status and the body of its answer.
    pub async fn execute(&self, operation: &str, request: Bytes) -> (StatusCode, String) {
        let (database, operation) = (Arc::clone(&self.0), operation.to_owned());
        let executed = tokio::task::spawn_blocking(move || execute(&database, &operation, &request)).await;
        executed.unwrap_or_else(|panic| refusal(&DynoxideError::InternalServerError(panic.to_string())))
    }
}

/// The operations, each with the engine's method for it.
macro_rules! operations {
    ($database:ident, $operation:ident, $request:ident: $($name:literal => $method:ident),* $(,)?) => {
        match $operation {
            $($name => read($request).and_then(|request| $database.$method(request)).and_then(|answer| text(&answer)),)*
            _ => return (StatusCode::BAD_REQUEST, UNKNOWN_OPERATION.to_owned()),
        }
    };
}

fn execute(database: &Database, operation: &str, request: &[u8]) -> (StatusCode, String) {
    let executed = operations!(database, operation, request:
        "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item,
        "CreateTable" => create_table,
        "DeleteItem" => delete_item,
        "DeleteTable" => delete_table,
        "DescribeStream" => describe_stream,
        "DescribeTable" => describe_table,
        "DescribeTimeToLive" => describe_time_to_live,
        "ExecuteStatement" => execute_statement,
        "GetItem" => get_item,
        "GetRecords" => get_records,
        "GetShardIterator" => get_shard_iterator,
        "ListStreams" => list_streams,
        "ListTables" => list_tables,
        "PutItem" => put_item,
        "Query" => query,
        "Scan" => scan,
        "TransactGetItems" => transact_get_items,
        "TransactWriteItems" => transact_write_items,
        "UpdateItem" => update_item,
        "UpdateTable" => update_table,
        "UpdateTimeToLive" => update_time_to_live,
    );
    executed.map_or_else(|error| refusal(&error), |answer| (StatusCode::OK, answer))
}

fn read<Request: DeserializeOwned>(request: &[u8]) -> dynoxide::Result<Request> {
    serde_json::from_slice(request).map_err(|error| DynoxideError::SerializationException(error.to_string()))
}

fn text(answer: &impl Serialize) -> dynoxide::Result<String> {
    serde_json::to_string(answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

fn refusal(error: &DynoxideError) -> (StatusCode, String) {
    (StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.to_json())
}

async fn sweep(database: Weak<Database>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(database) = database.upgrade() else { return };
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

fn open(path: Option<&Path>) -> Result<Database, String> {
    let Some(path) = path else {
        return Database::memory().map_err(|error| error.to_string());
    };
    let name = path.display();
    if path.exists() && !is_intact(path) {
        return Err(format!("{name} is not an intact database"));
    }
    let text = path.to_str().ok_or_else(|| format!("{name} is not a UTF-8 path"))?;
    Database::new(text).map_err(|error| format!("{name}: {error}"))
}

/// Without this check, damage in the middle of the file would make some later request fail.
fn is_intact(path: &Path) -> bool {
    let check = || -> rusqlite::Result<String> {
        let connection = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_query_value(None, "quick_check", |row| row.get(0))
    };
    check().is_ok_and(|result| result == "ok")
}

fn ensure_table(database: &Database, table: &Table) -> Result<(), String> {
    let describe = DescribeTableRequest { table_name: table.name.clone() };
    match database.describe_table(describe) {
        Ok(description) => {
            let description = serde_json::to_value(&description).unwrap_or_default();
            if description.pointer("/Table/KeySchema") != table.create.get("KeySchema") {
                return Err("its keys differ from the template's; move the data folder away to start afresh".to_owned());
            }
            let stream = table.create.get("StreamSpecification");
            if let Some(stream) = stream.filter(|_| description.pointer("/Table/StreamSpecification").is_none()) {
                let request = json!({ "TableName": table.name, "StreamSpecification": stream });
                let request: UpdateTableRequest = serde_json::from_value(request).map_err(|error| error.to_string())?;
                database.update_table(request).map_err(|error| error.to_string())?;
            }
        }
        Err(_absent) => {
            let create: CreateTableRequest =
                serde_json::from_value(table.create.clone()).map_err(|error| error.to_string())?;
            database.create_table(create).map_err(|error| error.to_string())?;
        }
    }
    let Some(attribute_name) = table.ttl_attribute.clone() else { return Ok(()) };
    let describe = DescribeTimeToLiveRequest { table_name: table.name.clone() };
    let present = database.describe_time_to_live(describe).map_err(|error| error.to_string())?;
    let present = serde_json::to_value(&present).unwrap_or_default();
    if present.pointer("/TimeToLiveDescription/AttributeName").is_some() {
        return Ok(());
    }
    let time_to_live_specification = TimeToLiveSpecification { attribute_name, enabled: true };
    let update = UpdateTimeToLiveRequest { table_name: table.name.clone(), time_to_live_specification };
    database.update_time_to_live(update).map(|_| ()).map_err(|error| error.to_string())
}
