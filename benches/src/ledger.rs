//! What a program asks of others, counted apart from its timing: between it and DynamoDB stands a clerk who asks what
//! each request consumed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local::Target;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Fault;
use crate::flows::Conversation;
use crate::process::{Process, Start};
use crate::programs::Program;
use crate::tally::{milliseconds, percentile};
use crate::world::World;

/// How many warm requests are counted.
const WARM: u32 = 20;

/// What a start to the first answer, or one warm request, comes to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Requests to DynamoDB.
    pub dynamodb: f64,
    /// Requests to Secrets Manager and to SMS gateways.
    pub others: f64,
    /// Read units of DynamoDB.
    pub reads: f64,
    /// Write units of DynamoDB.
    pub writes: f64,
    /// What it wrote to the log.
    pub log_bytes: f64,
    /// The median time from an event to its answer; not counted of a start.
    pub milliseconds: f64,
}

/// What one program comes to.
pub struct Ledger {
    /// From the start to the first answer.
    pub cold: Counts,
    /// A warm request, on average.
    pub warm: Counts,
}

/// Counts for one program.
pub async fn of(world: &World, program: &Program) -> Result<Ledger, Fault> {
    let (clerk, address) = Clerk::start(world.system.dynamodb_address()).await?;
    let mut conversation = Conversation::begin(world, program.flow).await?;
    let event = conversation.event().await?;
    let log = world.folder.log();
    let variables = vec![("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), format!("http://{address}"))];
    // From here on the system counts what reaches it, the events' preparation included.
    world.system.aim(None);
    let start = Start { variables, log: Some(log.clone()), ..Start::default() };
    let mut process = Process::start(world, program, start).await?;
    process.asked().await?;
    let served = process.serve(&event).await?;
    process.rest().await?;
    let cold = so_far(world, &clerk, &log);
    conversation.hear(&served.answer).await?;
    let (mut warm, mut took) = (Counts::default(), Vec::new());
    for _ in 0..WARM {
        let event = conversation.event().await?;
        let before = so_far(world, &clerk, &log);
        let served = process.serve(&event).await?;
        process.rest().await?;
        let spent = so_far(world, &clerk, &log).with(&before, |now, before| now - before);
        warm = warm.with(&spent, |sum, spent| sum + spent / f64::from(WARM));
        took.push(served.took);
        conversation.hear(&served.answer).await?;
    }
    process.end().await?;
    Ok(Ledger { cold, warm: Counts { milliseconds: milliseconds(percentile(&took, 50)), ..warm } })
}

fn so_far(world: &World, clerk: &Clerk, log: &Path) -> Counts {
    let to_others = world.system.outgoing().iter().filter(|request| request.target != Target::Dynamodb).count();
    let log_bytes = std::fs::metadata(log).map_or(0, |file| file.len());
    let (others, log_bytes) = (to_others as f64, log_bytes as f64);
    Counts { others, log_bytes, ..clerk.book() }
}

impl Counts {
    /// Each of these with its like.
    fn with(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            dynamodb: of(self.dynamodb, other.dynamodb),
            others: of(self.others, other.others),
            reads: of(self.reads, other.reads),
            writes: of(self.writes, other.writes),
            log_bytes: of(self.log_bytes, other.log_bytes),
            milliseconds: of(self.milliseconds, other.milliseconds),
        }
    }
}

/// Stands in front of DynamoDB and keeps the book.
struct Clerk {
    database: SocketAddr,
    client: Client<HttpConnector, Body>,
    book: Mutex<Counts>,
}

impl Clerk {
    async fn start(database: SocketAddr) -> Result<(Arc<Self>, SocketAddr), Fault> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let clerk = Arc::new(Self { database, client, book: Mutex::default() });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(pass).with_state(Arc::clone(&clerk));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((clerk, address))
    }

    fn book(&self) -> Counts {
        *self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a request on with the question what it consumes, and enters the answer.
    async fn enter(&self, request: Request) -> Result<Response, Fault> {
        let (mut parts, body) = request.into_parts();
        let mut asked: Value = serde_json::from_slice(&to_bytes(body, usize::MAX).await?)?;
        asked["ReturnConsumedCapacity"] = json!("TOTAL");
        parts.uri = format!("http://{}/", self.database).parse()?;
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove(HOST);
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let is_read = ["GetItem", "BatchGetItem", "Query"].iter().any(|read| target.ends_with(&format!(".{read}")));
        let request = Request::from_parts(parts, Body::from(asked.to_string()));
        let (parts, body) = self.client.request(request).await?.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await?;
        let units = consumed(&serde_json::from_slice(&body)?);
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.dynamodb += 1.0;
        *(if is_read { &mut book.reads } else { &mut book.writes }) += units;
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

async fn pass(State(clerk): State<Arc<Clerk>>, request: Request) -> Response {
    match clerk.enter(request).await {
        Ok(response) => response,
        Err(fault) => (StatusCode::BAD_GATEWAY, fault.to_string()).into_response(),
    }
}

/// The units of one table, or of several.
fn consumed(answer: &Value) -> f64 {
    let units = |consumed: &Value| consumed["CapacityUnits"].as_f64().unwrap_or_default();
    match &answer["ConsumedCapacity"] {
        Value::Array(tables) => tables.iter().map(units).sum(),
        table => units(table),
    }
}
