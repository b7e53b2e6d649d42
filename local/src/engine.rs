//! The embedded DynamoDB. The engine serves on a listener, a thread and a runtime of its own; in front of it stands
//! ours, on `--dynamodb-port`, which injects faults and notes every request, so that tests can count round trips.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header, request, uri};
use axum::response::Response;
use dynoxide::Database;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::describe_table::DescribeTableRequest;
use dynoxide::actions::describe_time_to_live::DescribeTimeToLiveRequest;
use dynoxide::actions::update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rusqlite::OpenFlags;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::faults::{Faults, Target};
use crate::template::Table;
use crate::{answer, lock};

/// DynamoDB itself takes days; nobody may rely on a deletion in time.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// DynamoDB's limit for one request.
const LARGEST_BODY: usize = 16 * 1024 * 1024;
/// How many requests are remembered for tests; the oldest go first.
const REMEMBERED: usize = 100_000;

/// One request that reached DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamodbRequest {
    /// For example `TransactWriteItems`.
    pub operation: String,
    /// The tables it names, sorted, each once.
    pub tables: Vec<String>,
    /// When it arrived.
    pub began: Instant,
    /// When it was answered, if it has been.
    pub ended: Option<Instant>,
}

/// The running engine; dropping it stops it.
pub struct Engine {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Opens the database (in memory without a path), creates the tables that are missing, and serves.
    pub fn start(path: Option<&Path>, tables: &[Table]) -> Result<Self, String> {
        let database = open(path)?;
        for table in tables {
            ensure_table(&database, table).map_err(|reason| format!("table {}: {reason}", table.name))?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("dynamodb".to_owned())
            .spawn(move || serve(listener, database, stopped))
            .map_err(|error| error.to_string())?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Finishes what is running and closes the database.
    pub async fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }
}

fn serve(listener: TcpListener, database: Database, stopped: oneshot::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        tokio::spawn(sweep(database.clone()));
        // Both a message and the sender's end mean stop.
        let stopped = async {
            let _ = stopped.await;
        };
        let _ = dynoxide::server::serve_with_shutdown(listener, database, stopped).await;
    });
}

async fn sweep(database: Database) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let database = database.clone();
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
    let text = path.to_str().ok_or_else(|| format!("{name} is not a name in UTF-8"))?;
    Database::new(text).map_err(|error| format!("{name}: {error}"))
}

/// Damage in the middle of the file would else show itself at some later request, as a failure of that request.
fn is_intact(path: &Path) -> bool {
    let check = || -> rusqlite::Result<String> {
        let connection = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_query_value(None, "quick_check", |row| row.get(0))
    };
    check().is_ok_and(|verdict| verdict == "ok")
}

fn ensure_table(database: &Database, table: &Table) -> Result<(), String> {
    let describe = DescribeTableRequest { table_name: table.name.clone() };
    match database.describe_table(describe) {
        Ok(description) => {
            let description = serde_json::to_value(&description).unwrap_or_default();
            if description.pointer("/Table/KeySchema") != table.create.get("KeySchema") {
                return Err(
                    "its keys are not those of the template; move the data folder away to begin anew".to_owned()
                );
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

/// What stands in front of the engine.
pub struct Front {
    client: Client<HttpConnector, Body>,
    engine: SocketAddr,
    faults: Arc<Faults>,
    requests: Mutex<VecDeque<Noted>>,
}

struct Noted {
    operation: String,
    tables: Vec<String>,
    began: Instant,
    ended: Arc<OnceLock<Instant>>,
}

impl Front {
    pub fn new(engine: SocketAddr, faults: Arc<Faults>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, engine, faults, requests: Mutex::default() }
    }

    /// The requests since the last reset, in the order of their arrival.
    pub fn requests(&self) -> Vec<DynamodbRequest> {
        let requests = lock(&self.requests);
        let copied = requests.iter().map(|noted| DynamodbRequest {
            operation: noted.operation.clone(),
            tables: noted.tables.clone(),
            began: noted.began,
            ended: noted.ended.get().copied(),
        });
        copied.collect()
    }

    pub fn reset(&self) {
        lock(&self.requests).clear();
    }

    fn note(&self, operation: &str, body: &Value) -> Arc<OnceLock<Instant>> {
        let ended = Arc::new(OnceLock::new());
        let noted = Noted {
            operation: operation.to_owned(),
            tables: tables(body),
            began: Instant::now(),
            ended: Arc::clone(&ended),
        };
        let mut requests = lock(&self.requests);
        if requests.len() >= REMEMBERED {
            requests.pop_front();
        }
        requests.push_back(noted);
        ended
    }

    async fn forward(&self, parts: &request::Parts, body: Bytes) -> Response {
        let path = parts.uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
        let target = Uri::builder().scheme("http").authority(self.engine.to_string()).path_and_query(path).build();
        let Ok(target) = target else { return unavailable() };
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = target;
        *request.headers_mut() = parts.headers.clone();
        for hop in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
            request.headers_mut().remove(hop);
        }
        self.client.request(request).await.map_or_else(|_| unavailable(), |response| response.map(Body::new))
    }
}

/// The front's HTTP face.
pub fn router(front: Arc<Front>) -> Router {
    Router::new().fallback(answer).with_state(front)
}

async fn answer(State(front): State<Arc<Front>>, request: Request) -> Response {
    // What has arrived is done even if whoever asked has gone.
    tokio::spawn(serve_one(front, request)).await.unwrap_or_else(|_| unavailable())
}

async fn serve_one(front: Arc<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return refused("ValidationException", "The request is too large.", None);
    };
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let Some((_, operation)) = target.and_then(|target| target.split_once('.')) else {
        return front.forward(&parts, body).await;
    };
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    let ended = front.note(operation, &document);
    let refusal = |code: Option<&str>| refuse(code.unwrap_or("ThrottlingException"), operation, &document);
    let forward = || front.forward(&parts, body.clone());
    let what = describe(operation, &document);
    let answer = front.faults.spoil(Target::Dynamodb, what, refusal, unavailable, forward).await;
    let _ = ended.set(Instant::now());
    answer
}

/// A refusal as DynamoDB words it. What ails one item of a transaction cancels the transaction, with a reason an item.
fn refuse(code: &str, operation: &str, body: &Value) -> Response {
    let message = "Refused, as asked of POST /local/faults.";
    // What throttles a part of a transaction is a reason of its cancellation, by a name of its own.
    let (alone, reason) = match code {
        "TransactionConflict" => ("TransactionConflictException", code),
        "ProvisionedThroughputExceededException" => (code, "ProvisionedThroughputExceeded"),
        _ => return refused(code, message, None),
    };
    match body.get("TransactItems").and_then(Value::as_array) {
        Some(items) if operation == "TransactWriteItems" => {
            let reason = json!({ "Code": reason, "Message": message });
            let reasons = items.iter().map(|_| reason.clone()).collect();
            refused(
                "TransactionCanceledException",
                "Transaction cancelled, please refer cancellation reasons",
                Some(reasons),
            )
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
    answer::with_type(status, "application/x-amz-json-1.0", body.to_string())
}

fn unavailable() -> Response {
    refused("InternalServerError", "Internal server error", None)
}

/// A request without what differs from one person to the next: `GetItem OtpsTable phone`.
fn describe(operation: &str, body: &Value) -> String {
    let key = ["/Key/pk/S", "/Item/pk/S"].iter().find_map(|at| body.pointer(at)).and_then(Value::as_str);
    let kind = key.and_then(|key| key.split('#').next());
    [operation].into_iter().chain(tables(body).iter().map(String::as_str)).chain(kind).collect::<Vec<_>>().join(" ")
}

/// The tables a request names, wherever its operation has them.
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
