//! The latest calls of the API for the console: request, answer, time, and what each asked of DynamoDB.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode, header, request};
use serde::Serialize;

use crate::clock::AdjustableClock;
use crate::dynamodb::request::DynamodbRequest;
use crate::live::Live;
use crate::lock::lock;

const CALLS_KEPT: usize = 200;
/// Of a body, a path or the value of a header. No body of this API is larger.
const BYTES_KEPT: usize = 16 * 1024;
/// Of one message. The cloud accepts fewer bytes in all of them.
const HEADERS_KEPT: usize = 50;
/// No call needs as many.
const REQUESTS_KEPT: usize = 100;

pub struct Journal {
    clock: AdjustableClock,
    live: Arc<Live>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    calls: u64,
    running: BTreeMap<u64, Running>,
    /// Newest first.
    ended: VecDeque<Arc<Call>>,
}

struct Running {
    call: Call,
    began: Instant,
    /// The functions that work for it: the route's and the authorizer's.
    functions: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Call {
    id: u64,
    /// Seconds since the epoch.
    at: i64,
    method: String,
    /// With the query.
    path: String,
    /// As the template names it, such as `POST /v1/otp/send`; absent if there is no such route.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    request: Message,
    status: u16,
    response: Message,
    milliseconds: f64,
    dynamodb: Vec<Request>,
    /// Whether calls of the same function overlapped, so that requests to DynamoDB may belong to another of them.
    overlapped: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Message {
    headers: BTreeMap<String, String>,
    body: String,
}

#[derive(Clone, Debug, Serialize)]
struct Request {
    operation: String,
    tables: Vec<String>,
    reads: f64,
    writes: f64,
    milliseconds: f64,
}

/// A call that is not answered yet. If its caller disconnects, it is dropped and leaves no trace.
pub struct Entry {
    journal: Arc<Journal>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.journal.kept).running.remove(&self.id);
    }
}

impl Journal {
    pub fn new(clock: AdjustableClock, live: Arc<Live>) -> Arc<Self> {
        Arc::new(Self { clock, live, kept: Mutex::default() })
    }

    /// Newest first.
    pub fn calls(&self) -> Vec<Arc<Call>> {
        lock(&self.kept).ended.iter().map(Arc::clone).collect()
    }

    pub fn begin(self: &Arc<Self>, parts: &request::Parts) -> Entry {
        let mut kept = lock(&self.kept);
        kept.calls = kept.calls.saturating_add(1);
        let id = kept.calls;
        let call = Call {
            id,
            at: self.clock.now_seconds(),
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map(|path| text(path.as_str().as_bytes())).unwrap_or_default(),
            request: Message { headers: headers(&parts.headers), body: String::new() },
            ..Call::default()
        };
        kept.running.insert(id, Running { call, began: Instant::now(), functions: Vec::new() });
        Entry { journal: Arc::clone(self), id }
    }

    /// A request of a function to DynamoDB. It belongs to the calls for which this function works.
    pub fn note(&self, function: &str, request: &DynamodbRequest) {
        let mut kept = lock(&self.kept);
        let works_for = |running: &&mut Running| running.functions.iter().any(|name| name == function);
        let mut calls: Vec<_> = kept.running.values_mut().filter(works_for).collect();
        let overlapped = calls.len() > 1;
        for Running { call, .. } in calls.iter_mut().filter(|running| running.call.dynamodb.len() < REQUESTS_KEPT) {
            call.overlapped |= overlapped;
            call.dynamodb.push(Request {
                operation: request.operation.clone(),
                tables: request.tables.clone(),
                reads: request.units.reads,
                writes: request.units.writes,
                milliseconds: milliseconds(request.took()),
            });
        }
    }
}

impl Entry {
    pub fn route(&self, route: &str, functions: impl IntoIterator<Item = String>) {
        self.change(|running| {
            running.call.route = Some(route.to_owned());
            running.functions = functions.into_iter().collect();
        });
    }

    pub fn request_body(&self, body: &[u8]) {
        self.change(|running| running.call.request.body = text(body));
    }

    pub fn end(self, status: StatusCode, response_headers: &HeaderMap, body: &[u8]) {
        let journal = Arc::clone(&self.journal);
        let mut kept = lock(&journal.kept);
        let Some(Running { mut call, began, .. }) = kept.running.remove(&self.id) else { return };
        call.milliseconds = milliseconds(began.elapsed());
        call.status = status.as_u16();
        call.response = Message { headers: headers(response_headers), body: text(body) };
        journal.live.tell("call", &call);
        kept.ended.push_front(Arc::new(call));
        kept.ended.truncate(CALLS_KEPT);
        drop(kept);
    }

    fn change(&self, change: impl FnOnce(&mut Running)) {
        lock(&self.journal.kept).running.get_mut(&self.id).map(change);
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(..BYTES_KEPT).unwrap_or(body)).into_owned()
}

fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let of_the_connection = [header::CONNECTION, header::CONTENT_LENGTH, header::HOST, header::TRANSFER_ENCODING];
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    let own = headers.iter().filter(|(name, _)| !of_the_connection.contains(name));
    for (name, value) in own.take(HEADERS_KEPT) {
        let value = text(value.as_bytes());
        let values = joined.entry(name.to_string()).or_default();
        let separator = if values.is_empty() { "" } else { ", " };
        *values = format!("{values}{separator}{value}");
    }
    joined
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
