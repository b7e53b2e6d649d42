//! A world whose functions reach DynamoDB through a tap that notes each request whole and what it consumed, and can hold
//! the answers back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::World;

/// How long answers are held back: far longer than it takes to send two requests side by side, and far shorter than
/// the two seconds after which the SDK tries again.
const HOLD: Duration = Duration::from_millis(300);

/// One request to DynamoDB.
#[derive(Clone, Debug)]
pub struct Tapped {
    /// For example `TransactWriteItems`.
    pub operation: String,
    /// The request.
    pub body: Value,
    /// What it consumed, by DynamoDB's public rules: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>.
    pub units: Units,
    began: Instant,
    ended: Instant,
}

/// Read and write units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Units {
    pub reads: f64,
    pub writes: f64,
}

/// What some work asked of DynamoDB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Requests one after another; those side by side count as one.
    pub in_a_row: usize,
    /// All requests.
    pub requests: usize,
    /// What they consumed.
    pub units: Units,
}

/// The world and its tap.
pub struct TappedWorld {
    /// The world.
    pub world: World,
    /// Whose DynamoDB it uses: the tap must know it before the world that uses it starts.
    pub database: World,
    tap: Arc<Tap>,
}

struct Tap {
    database: SocketAddr,
    client: Client<HttpConnector, Body>,
    is_held: AtomicBool,
    batches_to_halve: AtomicUsize,
    noted: Mutex<Vec<Tapped>>,
}

impl TappedWorld {
    /// Starts one.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Starts one with variables of its own.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let database = World::new().await;
        let tap = Arc::new(Tap {
            database: database.system.dynamodb_address(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            is_held: AtomicBool::new(false),
            batches_to_halve: AtomicUsize::new(0),
            noted: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(Arc::clone(&tap));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let world = World::with(&[&[("AWS_ENDPOINT_URL_DYNAMODB", endpoint.as_str())], variables].concat()).await;
        Self { world, database, tap }
    }

    /// Leaves the second half out of the answers to the next `batches` batches, as DynamoDB does under load.
    pub fn halve_batches(&self, batches: usize) {
        self.tap.batches_to_halve.store(batches, Ordering::SeqCst);
    }

    /// What `work` asks of DynamoDB.
    pub async fn requests<T>(&self, work: impl Future<Output = T>) -> (Vec<Tapped>, T) {
        self.tap.noted.lock().unwrap().clear();
        let done = work.await;
        (std::mem::take(&mut *self.tap.noted.lock().unwrap()), done)
    }

    /// How many requests `work` makes in a row.
    pub async fn requests_in_a_row<T>(&self, work: impl Future<Output = T>) -> (usize, T) {
        let (cost, done) = self.cost(work).await;
        (cost.in_a_row, done)
    }

    /// What `work` asks of DynamoDB, in figures. While one request is held back, whatever does not wait for it gets sent.
    pub async fn cost<T>(&self, work: impl Future<Output = T>) -> (Cost, T) {
        self.tap.is_held.store(true, Ordering::SeqCst);
        let (requests, done) = self.requests(work).await;
        self.tap.is_held.store(false, Ordering::SeqCst);
        (Cost::of(requests), done)
    }
}

impl Tapped {
    /// How long its answer took.
    pub fn took(&self) -> Duration {
        self.ended.duration_since(self.began)
    }
}

impl Cost {
    fn of(mut requests: Vec<Tapped>) -> Self {
        requests.sort_by_key(|request| request.ended);
        let mut cost = Self { requests: requests.len(), ..Self::default() };
        let mut last: Option<Instant> = None;
        for request in requests {
            cost.units.reads += request.units.reads;
            cost.units.writes += request.units.writes;
            if last.is_none_or(|last| request.began >= last) {
                cost.in_a_row += 1;
                last = Some(request.ended);
            }
        }
        cost
    }
}

impl Tap {
    /// Takes the second half of a batch's keys out of the request, if one is to be halved, and gives them.
    fn leave_out(&self, request: &mut Value) -> Option<Value> {
        let one_less = |batches: usize| batches.checked_sub(1);
        self.batches_to_halve.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).ok()?;
        let mut left_out = request["RequestItems"].clone();
        for (table, wanted) in request["RequestItems"].as_object_mut().unwrap() {
            let keys = wanted["Keys"].as_array_mut().unwrap();
            left_out[table]["Keys"] = json!(keys.split_off(keys.len() / 2));
        }
        Some(left_out)
    }
}

/// What a request consumed, as its answer says. One that failed is not told: what a write met that its condition refused
/// costs as much as if it had been written.
fn units(operation: &str, asked: &Value, answer: &Value) -> Units {
    let is_read = matches!(operation, "GetItem" | "BatchGetItem" | "Query");
    let tables = match &answer["ConsumedCapacity"] {
        Value::Array(tables) => tables.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    };
    let told: f64 = tables.iter().map(|table| table["CapacityUnits"].as_f64().unwrap()).sum();
    let refused = || match asked["TransactItems"].as_array() {
        Some(steps) => {
            let met = |step: usize| write_units(answer.pointer(&format!("/CancellationReasons/{step}/Item")));
            (0..steps.len()).map(|step| 2.0 * met(step)).sum()
        }
        None => write_units(answer.get("Item")),
    };
    match (is_read, tables.is_empty()) {
        (true, _) => Units { reads: told, writes: 0.0 },
        (false, false) => Units { reads: 0.0, writes: told },
        (false, true) => Units { reads: 0.0, writes: refused() },
    }
}

fn write_units(item: Option<&Value>) -> f64 {
    let size = item.map_or(0, item_size);
    f64::from(u32::try_from(size.div_ceil(1_024).max(1)).unwrap())
}

/// The bytes of an item, in DynamoDB's JSON: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.
pub fn item_size(item: &Value) -> usize {
    item.as_object().unwrap().iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => text.len(),
        ("N", Value::String(number)) => 1 + number.len().div_ceil(2),
        ("BOOL" | "NULL", _) => 1,
        ("SS", Value::Array(texts)) => texts.iter().map(|text| text.as_str().unwrap().len()).sum(),
        ("L", Value::Array(values)) => 3 + values.iter().map(|value| 1 + value_size(value)).sum::<usize>(),
        ("M", Value::Object(members)) => 3 + members.len() + item_size(value),
        _ => panic!("no size of {kind}"),
    }
}

async fn pass(State(tap): State<Arc<Tap>>, request: Request) -> Response {
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("http://{}{path}", tap.database).parse().unwrap();
    let operation = parts.headers["x-amz-target"].to_str().unwrap().split('.').next_back().unwrap().to_owned();
    let document: Value = serde_json::from_slice(&body).unwrap();
    let mut asked = document.clone();
    asked["ReturnConsumedCapacity"] = json!("TOTAL");
    let left_out = if operation == "BatchGetItem" { tap.leave_out(&mut asked) } else { None };
    parts.headers.remove(CONTENT_LENGTH);
    let response = tap.client.request(Request::from_parts(parts, Body::from(asked.to_string()))).await.unwrap();
    let (mut parts, body) = response.into_parts();
    let mut body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
    let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let units = units(&operation, &document, &answer);
    if let Some(left_out) = left_out {
        answer["UnprocessedKeys"] = left_out;
        body = answer.to_string().into();
        parts.headers.remove(CONTENT_LENGTH);
    }
    if tap.is_held.load(Ordering::SeqCst) {
        tokio::time::sleep(HOLD).await;
    }
    tap.noted.lock().unwrap().push(Tapped { operation, body: document, units, began, ended: Instant::now() });
    Response::from_parts(parts, Body::from(body))
}
