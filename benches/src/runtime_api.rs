//! Lambda's Runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>) for one process: hands it
//! events and hears its answers, with the time of each.

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

use crate::Fault;

/// Far longer than anything takes, under valgrind too.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the function believes it has left.
const DEADLINE: Duration = Duration::from_secs(30);

/// The API, as its driver sees it. Dropping it stops it.
pub struct RuntimeApi {
    address: SocketAddr,
    events: mpsc::UnboundedSender<Bytes>,
    heard: mpsc::UnboundedReceiver<(Instant, Heard)>,
    server: JoinHandle<()>,
}

enum Heard {
    Next,
    Answer(Bytes),
    Failure(Bytes),
}

struct Wires {
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    heard: mpsc::UnboundedSender<(Instant, Heard)>,
}

impl RuntimeApi {
    /// Starts one on a port of its own.
    pub async fn start() -> Result<Self, Fault> {
        let (events, waiting) = mpsc::unbounded_channel();
        let (hear, heard) = mpsc::unbounded_channel();
        let wires = Arc::new(Wires { events: Mutex::new(waiting), heard: hear });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answer))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failure))
            .route("/2018-06-01/runtime/init/error", post(failure))
            .with_state(wires);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, events, heard, server })
    }

    /// What `AWS_LAMBDA_RUNTIME_API` is to say.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the process asks for an event, and says when it did.
    pub async fn asked(&mut self) -> Result<Instant, Fault> {
        match self.hear().await? {
            (at, Heard::Next) => Ok(at),
            (_, Heard::Answer(_)) => Err("it answered what nobody asked".into()),
            (_, Heard::Failure(body)) => Err(String::from_utf8_lossy(&body).into()),
        }
    }

    /// Hands an event over, and says when.
    pub fn hand_over(&self, event: &Value) -> Result<Instant, Fault> {
        let event = Bytes::from(event.to_string());
        let now = Instant::now();
        self.events.send(event).map_err(|_| "the Runtime API has stopped")?;
        Ok(now)
    }

    /// Waits for the answer, and says when it was there.
    pub async fn answer(&mut self) -> Result<(Instant, Value), Fault> {
        match self.hear().await? {
            (at, Heard::Answer(body)) => Ok((at, serde_json::from_slice(&body)?)),
            (_, Heard::Next) => Err("it asked for another event and has not answered this one".into()),
            (_, Heard::Failure(body)) => Err(String::from_utf8_lossy(&body).into()),
        }
    }

    async fn hear(&mut self) -> Result<(Instant, Heard), Fault> {
        let heard = timeout(PATIENCE, self.heard.recv()).await.map_err(|_| "it keeps silent")?;
        heard.ok_or_else(|| "the Runtime API has stopped".into())
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(wires): State<Arc<Wires>>) -> Response {
    let _ = wires.heard.send((Instant::now(), Heard::Next));
    let Some(event) = wires.events.lock().await.recv().await else {
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

async fn answer(State(wires): State<Arc<Wires>>, body: Bytes) -> StatusCode {
    let _ = wires.heard.send((Instant::now(), Heard::Answer(body)));
    StatusCode::ACCEPTED
}

async fn failure(State(wires): State<Arc<Wires>>, body: Bytes) -> StatusCode {
    let _ = wires.heard.send((Instant::now(), Heard::Failure(body)));
    StatusCode::ACCEPTED
}
