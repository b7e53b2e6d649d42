//! A world whose functions reach DynamoDB through a tap that notes each request whole, and can hold the answers back.

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
use tests::World;
use tokio::net::TcpListener;

/// How long answers are held back: far longer than it takes to send two requests side by side, and far shorter than
/// the two seconds after which the SDK tries again.
const HOLD: Duration = Duration::from_millis(300);

/// One request to DynamoDB.
#[derive(Clone, Debug)]
pub struct Tapped {
    pub operation: String,
    pub body: Value,
    began: Instant,
    ended: Instant,
}

/// The world and its tap.
pub struct TappedWorld {
    pub world: World,
    tap: Arc<Tap>,
    /// The tap must know its DynamoDB before the world that uses it starts: it is another world's.
    _database: World,
}

struct Tap {
    database: SocketAddr,
    client: Client<HttpConnector, Body>,
    is_held: AtomicBool,
    batches_to_halve: AtomicUsize,
    noted: Mutex<Vec<Tapped>>,
}

impl TappedWorld {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// One with variables of its own.
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
        Self { world, tap, _database: database }
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

    /// How many requests `work` makes in a row. While one is held back, whatever does not wait for it gets sent.
    pub async fn requests_in_a_row<T>(&self, work: impl Future<Output = T>) -> (usize, T) {
        self.tap.is_held.store(true, Ordering::SeqCst);
        let (mut requests, done) = self.requests(work).await;
        self.tap.is_held.store(false, Ordering::SeqCst);
        requests.sort_by_key(|request| request.ended);
        let mut last: Option<Instant> = None;
        let mut in_a_row = 0;
        for request in requests {
            if last.is_none_or(|last| request.began >= last) {
                in_a_row += 1;
                last = Some(request.ended);
            }
        }
        (in_a_row, done)
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

async fn pass(State(tap): State<Arc<Tap>>, request: Request) -> Response {
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("http://{}{path}", tap.database).parse().unwrap();
    let operation = parts.headers["x-amz-target"].to_str().unwrap().split('.').next_back().unwrap().to_owned();
    let document: Value = serde_json::from_slice(&body).unwrap();
    let mut asked = document.clone();
    let left_out = if operation == "BatchGetItem" { tap.leave_out(&mut asked) } else { None };
    parts.headers.remove(CONTENT_LENGTH);
    let response = tap.client.request(Request::from_parts(parts, Body::from(asked.to_string()))).await.unwrap();
    let (mut parts, body) = response.into_parts();
    let mut body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
    if let Some(left_out) = left_out {
        let mut answer: Value = serde_json::from_slice(&body).unwrap();
        answer["UnprocessedKeys"] = left_out;
        body = answer.to_string().into();
        parts.headers.remove(CONTENT_LENGTH);
    }
    if tap.is_held.load(Ordering::SeqCst) {
        tokio::time::sleep(HOLD).await;
    }
    tap.noted.lock().unwrap().push(Tapped { operation, body: document, began, ended: Instant::now() });
    Response::from_parts(parts, Body::from(body))
}
