//! The proxy in front of the embedded DynamoDB, on `--dynamodb-port`. It injects faults. For tests and benchmarks it
//! also records requests with the capacity that they consume, delays answers, and leaves keys out of batches.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer;
use crate::dynamodb::capacity::{self, Units};
use crate::dynamodb::engine::Engine;
use crate::dynamodb::request::DynamodbRequest;
use crate::dynamodb::stream::Streams;
use crate::faults::fault::Target;
use crate::faults::store::Faults;
use crate::journal::Journal;
use crate::lock::lock;

/// DynamoDB's limit for one request or answer.
const MAXIMUM_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The path of the system's own requests, for its settings and seeds. They meet no fault, and nobody counts them.
pub const OWN: &str = "local";
const MEDIA_TYPE: &str = "application/x-amz-json-1.0";

type Recorded = Arc<Mutex<DynamodbRequest>>;

pub struct Proxy {
    engine: Engine,
    faults: Arc<Faults>,
    journal: Option<Arc<Journal>>,
    /// Oldest first. `None`: nothing is recorded. Without a journal, requests then pass unchanged.
    recorded: Mutex<Option<Vec<Recorded>>>,
    delay_milliseconds: AtomicU64,
    batches_to_halve: AtomicUsize,
    /// Set once the functions run.
    streams: OnceLock<Arc<Streams>>,
}

impl Proxy {
    pub fn new(engine: Engine, faults: Arc<Faults>, journal: Option<Arc<Journal>>) -> Self {
        Self {
            engine,
            faults,
            journal,
            recorded: Mutex::default(),
            delay_milliseconds: AtomicU64::new(0),
            batches_to_halve: AtomicUsize::new(0),
            streams: OnceLock::new(),
        }
    }

    /// Tells these streams of each write from here on.
    pub fn feed(&self, streams: Arc<Streams>) {
        let _ = self.streams.set(streams);
    }

    /// Discards the recorded requests, and records from here on.
    pub fn restart_recording(&self) {
        *lock(&self.recorded) = Some(Vec::new());
    }

    pub fn stop_recording(&self) {
        *lock(&self.recorded) = None;
    }

    /// The recorded requests, oldest first.
    pub fn recorded(&self) -> Vec<DynamodbRequest> {
        let recorded = lock(&self.recorded);
        recorded.iter().flatten().map(|request| lock(request).clone()).collect()
    }

    pub fn delay_answers(&self, delay: Duration) {
        self.delay_milliseconds.store(delay.as_millis().try_into().unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub fn halve_batches(&self, batches: usize) {
        self.batches_to_halve.store(batches, Ordering::SeqCst);
    }

    fn record(&self, operation: &str, body: &Value) -> Option<Recorded> {
        let mut recorded = lock(&self.recorded);
        if recorded.is_none() && self.journal.is_none() {
            return None;
        }
        let request = Arc::new(Mutex::new(DynamodbRequest {
            operation: operation.to_owned(),
            tables: tables(body),
            body: body.clone(),
            units: Units::default(),
            began: Instant::now(),
            ended: None,
        }));
        if let Some(recorded) = recorded.as_mut() {
            recorded.push(Arc::clone(&request));
        }
        Some(request)
    }

    fn note_write(&self, document: &Value) {
        if let Some(streams) = self.streams.get() {
            streams.note_write(&tables(document));
        }
    }

    /// Removes the second half of the keys from a batch that is to be halved, and returns what it removed.
    fn halve(&self, operation: &str, body: &mut Value) -> Option<Value> {
        let tables = body.get_mut("RequestItems").filter(|_| operation == "BatchGetItem")?;
        let one_less = |batches: usize| batches.checked_sub(1);
        self.batches_to_halve.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).ok()?;
        let mut removed = tables.clone();
        let halves = tables.as_object_mut()?.iter_mut().zip(removed.as_object_mut()?.iter_mut());
        for ((_, kept), (_, removed)) in halves {
            let keys = kept.get_mut("Keys")?.as_array_mut()?;
            *removed.get_mut("Keys")? = json!(keys.split_off(keys.len() / 2));
        }
        Some(removed)
    }

    /// Executes an operation, and changes it only if it is recorded or halved.
    async fn perform(&self, body: Bytes, operation: &str, document: &Value, recorded: Option<&Recorded>) -> Response {
        let mut changed = document.clone();
        let removed = self.halve(operation, &mut changed);
        if recorded.is_none() && removed.is_none() {
            let (status, answer) = self.engine.execute(operation, body).await;
            return answer::with_type(status, MEDIA_TYPE, answer);
        }
        if let Some(members) = changed.as_object_mut() {
            members.insert("ReturnConsumedCapacity".to_owned(), json!("TOTAL"));
        }
        let (status, body) = self.engine.execute(operation, changed.to_string().into()).await;
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_default();
        if let Some(recorded) = recorded {
            let Units { reads, writes } = capacity::units(operation, document, &answer);
            let mut recorded = lock(recorded);
            recorded.units.reads += reads;
            recorded.units.writes += writes;
        }
        if let (Some(removed), Some(members)) = (removed, answer.as_object_mut()) {
            members.insert("UnprocessedKeys".to_owned(), removed);
        }
        answer::with_type(status, MEDIA_TYPE, answer.to_string())
    }
}

pub fn router(proxy: Arc<Proxy>) -> Router {
    Router::new().fallback(answer).with_state(proxy)
}

async fn answer(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    // A request that has arrived is executed even if the caller has disconnected.
    tokio::spawn(serve(proxy, request)).await.unwrap_or_else(|_| unavailable())
}

async fn serve(proxy: Arc<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAXIMUM_BODY_BYTES).await else {
        return refused("ValidationException", "The request is too large.", None);
    };
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let Some((_, operation)) = target.and_then(|target| target.split_once('.')) else {
        return refused("UnknownOperationException", "The header x-amz-target names no operation.", None);
    };
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    // A function's own path (`Functions::start`).
    let caller = parts.uri.path().trim_matches('/');
    if caller == OWN {
        let (status, answer) = proxy.engine.execute(operation, body).await;
        proxy.note_write(&document);
        return answer::with_type(status, MEDIA_TYPE, answer);
    }
    let recorded = proxy.record(operation, &document);
    let refusal = |code: Option<&str>| refuse(code.unwrap_or("ThrottlingException"), operation, &document);
    let perform = || proxy.perform(body.clone(), operation, &document, recorded.as_ref());
    let what = describe(operation, &document);
    let answer = proxy.faults.execute(Target::Dynamodb, what, refusal, unavailable, perform).await;
    proxy.note_write(&document);
    let delay = proxy.delay_milliseconds.load(Ordering::SeqCst);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if let Some(recorded) = recorded {
        let mut recorded = lock(&recorded);
        recorded.ended = Some(Instant::now());
        if let Some(journal) = &proxy.journal {
            journal.note(caller, &recorded);
        }
    }
    answer
}

/// A refusal in DynamoDB's terms. An error of one item cancels its transaction, with one reason for each item.
fn refuse(code: &str, operation: &str, body: &Value) -> Response {
    let message = "Refused, as requested by POST /local/faults.";
    // Inside a transaction, these two errors have another name than outside.
    let (alone, reason) = match code {
        "TransactionConflict" => ("TransactionConflictException", code),
        "ProvisionedThroughputExceededException" => (code, "ProvisionedThroughputExceeded"),
        _ => return refused(code, message, None),
    };
    match body.get("TransactItems").and_then(Value::as_array) {
        Some(items) if operation == "TransactWriteItems" => {
            let reason = json!({ "Code": reason, "Message": message });
            let reasons = items.iter().map(|_| reason.clone()).collect();
            let message = "Transaction cancelled, please refer cancellation reasons";
            refused("TransactionCanceledException", message, Some(reasons))
        }
        _ => refused(alone, message, None),
    }
}

fn refused(kind: &str, message: &str, reasons: Option<Value>) -> Response {
    let mut body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": message });
    if let (Some(reasons), Some(body)) = (reasons, body.as_object_mut()) {
        body.insert("CancellationReasons".to_owned(), reasons);
    }
    let status = match kind {
        "InternalServerError" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    answer::with_type(status, MEDIA_TYPE, body.to_string())
}

fn unavailable() -> Response {
    refused("InternalServerError", "Internal server error", None)
}

/// A request without what differs between users: `GetItem OtpsTable phone`.
fn describe(operation: &str, body: &Value) -> String {
    let key = ["/Key/pk/S", "/Item/pk/S"].iter().find_map(|at| body.pointer(at)).and_then(Value::as_str);
    let kind = key.and_then(|key| key.split('#').next());
    [operation].into_iter().chain(tables(body).iter().map(String::as_str)).chain(kind).collect::<Vec<_>>().join(" ")
}

/// The tables that a request names, in whichever member its operation has them.
fn tables(body: &Value) -> Vec<String> {
    let own = body.get("TableName").into_iter();
    let items = body.get("TransactItems").and_then(Value::as_array).into_iter().flatten();
    let in_transaction =
        items.filter_map(Value::as_object).flat_map(|item| item.values()).filter_map(|action| action.get("TableName"));
    let in_batch = body.get("RequestItems").and_then(Value::as_object).into_iter().flatten();
    let mut tables: Vec<String> = own.chain(in_transaction).filter_map(Value::as_str).map(str::to_owned).collect();
    tables.extend(in_batch.map(|(table, _)| table.clone()));
    tables.sort();
    tables.dedup();
    tables
}
