//! The streams of the tables, read as Lambda's event source mappings read them
//! (<https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>): a function is called with each batch of records, and
//! called again from the first record that it did not take, as often as the template says. Then they are dropped, or, if the
//! template sets no limit, kept for the next delivery.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use crate::clock::AdjustableClock;
use crate::cloudformation::EventSource;
use crate::dynamodb::engine::Engine;
use crate::functions::Functions;

/// How often a function is called again within one delivery, where the template sets no limit.
const RETRIES: u32 = 2;
/// The pause before records that a function did not take are delivered again.
const PAUSE: Duration = Duration::from_secs(1);

pub struct Streams {
    engine: Engine,
    functions: Arc<Functions>,
    clock: AdjustableClock,
    readers: Mutex<Vec<Reader>>,
    tables: BTreeSet<String>,
    written: Notify,
}

struct Reader {
    source: EventSource,
    /// Where the next records are; none before the first ones were read.
    position: Option<String>,
    /// The records that the function did not take yet.
    kept: Vec<Value>,
}

impl Streams {
    pub fn new(engine: Engine, functions: Arc<Functions>, sources: Vec<EventSource>, clock: AdjustableClock) -> Self {
        let tables = sources.iter().map(|source| source.table.clone()).collect();
        let readers = sources.into_iter().map(|source| Reader { source, position: None, kept: Vec::new() }).collect();
        Self { engine, functions, clock, readers: Mutex::new(readers), tables, written: Notify::new() }
    }

    /// Delivers whatever is written, until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.deliver().await;
            let is_behind = self.readers.lock().await.iter().any(|reader| !reader.kept.is_empty());
            if is_behind {
                let _ = timeout(PAUSE, self.written.notified()).await;
            } else {
                self.written.notified().await;
            }
        }
    }

    /// Called after a request that names these tables.
    pub fn note_write(&self, tables: &[String]) {
        if tables.iter().any(|table| self.tables.contains(table)) {
            self.written.notify_one();
        }
    }

    /// Calls the functions with everything that was written, and returns when they are done.
    pub async fn deliver(&self) {
        for reader in &mut *self.readers.lock().await {
            loop {
                let kept = std::mem::take(&mut reader.kept);
                reader.kept = self.call(&reader.source, kept).await;
                if !reader.kept.is_empty() {
                    break;
                }
                let Some(mut records) = self.read(reader).await else { break };
                let filters = &reader.source.filters;
                records.retain(|record| filters.is_empty() || filters.iter().any(|filter| matches(filter, record)));
                reader.kept = records;
            }
        }
    }

    /// The next records; none if there are none.
    async fn read(&self, reader: &mut Reader) -> Option<Vec<Value>> {
        let iterator = match reader.position.take() {
            Some(position) => position,
            None => self.first_position(&reader.source.table).await?,
        };
        let request = json!({"ShardIterator": iterator, "Limit": reader.source.batch_size});
        let answer = self.ask("GetRecords", &request).await;
        let next = answer.get("NextShardIterator").and_then(Value::as_str);
        reader.position = Some(next.map_or(iterator, str::to_owned));
        let mut records = answer.get("Records").and_then(Value::as_array).filter(|it| !it.is_empty()).cloned()?;
        // The engine does not have this clock.
        for record in records.iter_mut().filter_map(|record| record.get_mut("dynamodb")?.as_object_mut()) {
            record.insert("ApproximateCreationDateTime".to_owned(), json!(self.clock.now_seconds()));
        }
        Some(records)
    }

    async fn first_position(&self, table: &str) -> Option<String> {
        let streams = self.ask("ListStreams", &json!({ "TableName": table })).await;
        let arn = streams.pointer("/Streams/0/StreamArn")?;
        let described = self.ask("DescribeStream", &json!({ "StreamArn": arn })).await;
        let shard = described.pointer("/StreamDescription/Shards/0/ShardId")?;
        let request = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let answer = self.ask("GetShardIterator", &request).await;
        answer.get("ShardIterator").and_then(Value::as_str).map(str::to_owned)
    }

    async fn ask(&self, operation: &str, request: &Value) -> Value {
        let (_, answer) = self.engine.execute(operation, request.to_string().into()).await;
        serde_json::from_str(&answer).unwrap_or_default()
    }

    /// Returns the records that the function did not take and that are to be delivered again.
    async fn call(&self, source: &EventSource, mut records: Vec<Value>) -> Vec<Value> {
        for _ in 0..=source.retries.unwrap_or(RETRIES) {
            if records.is_empty() {
                break;
            }
            let answer = self.functions.invoke(&source.function, json!({ "Records": records })).await;
            match answer.as_ref().ok().map(|answer| first_failure(answer, &records)) {
                Some(None) => records.clear(),
                Some(Some(place)) => records = records.split_off(place),
                // The whole batch failed.
                None => {}
            }
        }
        if source.retries.is_some() { Vec::new() } else { records }
    }
}

/// Whether a record matches a pattern of EventBridge: an object names members, and an array lists what a member may be.
/// Understands texts, `prefix` and `exists`.
fn matches(pattern: &Value, record: &Value) -> bool {
    match pattern {
        Value::Object(members) => {
            members.iter().all(|(name, pattern)| record.get(name).is_some_and(|member| matches(pattern, member)))
        }
        Value::Array(choices) => choices.iter().any(|choice| match (choice.get("prefix"), record.as_str()) {
            (Some(prefix), Some(text)) => prefix.as_str().is_some_and(|prefix| text.starts_with(prefix)),
            _ => choice == record || choice.get("exists").is_some_and(|exists| *exists == json!(true)),
        }),
        _ => false,
    }
}

/// The place of the first record that the function did not take.
fn first_failure(answer: &Value, records: &[Value]) -> Option<usize> {
    let failures = answer.get("batchItemFailures").and_then(Value::as_array).into_iter().flatten();
    let failed: Vec<&Value> = failures.filter_map(|failure| failure.get("itemIdentifier")).collect();
    let number = |record: &Value| record.pointer("/dynamodb/SequenceNumber").cloned();
    records.iter().position(|record| number(record).is_some_and(|number| failed.contains(&&number)))
}
