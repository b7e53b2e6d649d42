//! Lambda's Runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>) for one process: sends it
//! events and receives its answers, with the time of each.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::failure::Failure;

/// Much longer than any step takes, even under valgrind.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The remaining time that each event announces to the function.
const DEADLINE: Duration = Duration::from_secs(30);

/// Dropping it stops the server.
pub struct RuntimeApi {
    address: SocketAddr,
    events: mpsc::UnboundedSender<Bytes>,
    received: mpsc::UnboundedReceiver<(Instant, Received)>,
    server: JoinHandle<()>,
}

enum Received {
    Next,
    Answer(Bytes),
    Failure(Bytes),
}

struct Channels {
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    received: mpsc::UnboundedSender<(Instant, Received)>,
}

impl RuntimeApi {
    pub async fn start() -> Result<Self, Failure> {
        let (events, next_events) = mpsc::unbounded_channel();
        let (sender, received) = mpsc::unbounded_channel();
        let channels = Arc::new(Channels { events: Mutex::new(next_events), received: sender });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answer))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failure))
            .route("/2018-06-01/runtime/init/error", post(failure))
            .with_state(channels);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, events, received, server })
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the process asks for an event, and returns when it did.
    pub async fn asked(&mut self) -> Result<Instant, Failure> {
        match self.receive().await? {
            (at, Received::Next) => Ok(at),
            (_, Received::Answer(_)) => Err("the process answered without an event".into()),
            (_, Received::Failure(body)) => Err(String::from_utf8_lossy(&body).into()),
        }
    }

    /// Sends an event, and returns when it did.
    pub fn send_event(&self, event: &Value) -> Result<Instant, Failure> {
        let event = Bytes::from(event.to_string());
        let now = Instant::now();
        self.events.send(event).map_err(|_| "the Runtime API has stopped")?;
        Ok(now)
    }

    /// Waits for the answer, and returns when it was received.
    pub async fn answer(&mut self) -> Result<(Instant, Value), Failure> {
        match self.receive().await? {
            (at, Received::Answer(body)) => Ok((at, serde_json::from_slice(&body)?)),
            (_, Received::Next) => Err("the process asked for the next event before it answered this one".into()),
            (_, Received::Failure(body)) => Err(String::from_utf8_lossy(&body).into()),
        }
    }

    async fn receive(&mut self) -> Result<(Instant, Received), Failure> {
        let received = timeout(TIMEOUT, self.received.recv()).await.map_err(|_| "the process does not respond")?;
        received.ok_or_else(|| "the Runtime API has stopped".into())
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(channels): State<Arc<Channels>>) -> Response {
    let _ = channels.received.send((Instant::now(), Received::Next));
    let Some(event) = channels.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", now.saturating_add(DEADLINE).as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:bench".to_owned()),
        (
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0".to_owned(),
        ),
    ];
    (headers, event).into_response()
}

async fn answer(State(channels): State<Arc<Channels>>, body: Bytes) -> StatusCode {
    let _ = channels.received.send((Instant::now(), Received::Answer(body)));
    StatusCode::ACCEPTED
}

async fn failure(State(channels): State<Arc<Channels>>, body: Bytes) -> StatusCode {
    let _ = channels.received.send((Instant::now(), Received::Failure(body)));
    StatusCode::ACCEPTED
}
