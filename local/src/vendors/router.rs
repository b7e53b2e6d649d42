//! Hands each request on `--aws-port` to its vendor: Secrets Manager, SNS and EventBridge at the root, where the AWS SDK
//! looks for them; the SMS gateways under `/sparrow` and `/twilio`, and Google under `/google`.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::Value;

use crate::answer;
use crate::faults::fault::Target;
use crate::faults::store::Faults;
use crate::functions::Functions;
use crate::vendors::context::{Context, Fields};
use crate::vendors::eventbridge::{self, EventBridge};
use crate::vendors::google::{self, Google};
use crate::vendors::{secrets_manager, sns, sparrow, twilio};

/// More than any of these services accepts in one request.
const MAXIMUM_BODY_BYTES: usize = 1024 * 1024;

pub struct Vendors {
    pub context: Context,
    pub google: Arc<Google>,
    pub eventbridge: Arc<EventBridge>,
    pub faults: Arc<Faults>,
    /// Set after the functions have started: they need these vendors, and a rotation needs them.
    pub functions: OnceLock<Arc<Functions>>,
}

pub fn router(vendors: Arc<Vendors>) -> Router {
    Router::new().fallback(answer).with_state(vendors)
}

async fn answer(State(vendors): State<Arc<Vendors>>, request: Request) -> Response {
    // A request that has arrived is executed even if the caller has disconnected.
    tokio::spawn(serve(vendors, request)).await.unwrap_or_else(|_| secrets_manager::error())
}

async fn serve(vendors: Arc<Vendors>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAXIMUM_BODY_BYTES).await else {
        return answer::gateway_message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let (method, headers, path) = (&parts.method, &parts.headers, parts.uri.path());
    let Vendors { context, google, eventbridge, faults, functions } = vendors.as_ref();
    if method == Method::HEAD {
        // Only opens a connection ahead of time; it asks for nothing that could fail.
        return answer::gateway_message(StatusCode::NOT_FOUND, "Not Found");
    }
    let fields = &fields(method, parts.uri.query(), &body);

    if let Some(operation) = secrets_manager::operation(headers) {
        let request = &serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let functions = functions.get().map(Arc::as_ref);
        let call = || secrets_manager::answer(&context.secrets, functions, operation, request);
        let what = secrets_manager::describe(operation, request);
        let (refusal, error) = (secrets_manager::refusal, secrets_manager::error);
        return faults.execute(Target::SecretsManager, what, refusal, error, call).await;
    }
    if let Some(operation) = eventbridge::operation(headers) {
        let request = &serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let call = || async move { eventbridge.answer(operation, request) };
        let refusal = |code: Option<&str>| eventbridge.refuse(code, request);
        return faults.execute(Target::EventBridge, operation.to_owned(), refusal, eventbridge::error, call).await;
    }
    if let Some(path) = path.strip_prefix("/sparrow") {
        let call = || async move { sparrow::answer(context, method, path, fields) };
        return faults.execute(Target::Sparrow, "a message".to_owned(), sparrow::refusal, sparrow::error, call).await;
    }
    if let Some(path) = path.strip_prefix("/twilio") {
        let call = || async move { twilio::answer(context, method, path, headers, fields) };
        return faults.execute(Target::Twilio, "a message".to_owned(), twilio::refusal, twilio::error, call).await;
    }
    if let Some(path) = path.strip_prefix("/google") {
        let call = || async { google.answer(method, path, headers, fields, &body) };
        let what = if path == "/token" { "a token" } else { "a push" };
        return faults.execute(Target::Fcm, what.to_owned(), google::refusal, google::error, call).await;
    }
    if method == Method::POST && fields.contains_key("Action") {
        let call = || async move { sns::answer(context, fields) };
        return faults.execute(Target::Sns, "a message".to_owned(), sns::refusal, sns::error, call).await;
    }
    answer::gateway_message(StatusCode::NOT_FOUND, "No emulated service answers this request")
}

fn fields(method: &Method, query: Option<&str>, body: &[u8]) -> Fields {
    let encoded = if method == Method::GET { query.unwrap_or_default().as_bytes() } else { body };
    form_urlencoded::parse(encoded).into_owned().collect()
}
