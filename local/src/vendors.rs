//! Everything on `--aws-port`: Secrets Manager and SNS where the AWS SDK looks for them, and the stand-ins for the
//! HTTP gateways under `/sparrow` and `/twilio`, and for FCM under `/google`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::faults::{Faults, Target};
use crate::functions::Functions;
use crate::google::Google;
use crate::inbox::Inbox;
use crate::secrets_manager::{Refusal, SecretsManager};
use crate::{answer, google, rotation, sns, sparrow, twilio};

/// More than any of these services takes in one request.
const LARGEST_BODY: usize = 1024 * 1024;

/// The members of a form or of a query.
pub type Fields = BTreeMap<String, String>;

pub struct Vendors {
    pub faults: Arc<Faults>,
    pub inbox: Arc<Inbox>,
    pub secrets: Arc<SecretsManager>,
    pub google: Arc<Google>,
    /// The name of the secret with the gateways' credentials.
    pub gateway_secret: Option<String>,
    /// Set once the functions stand: they need these endpoints, and a rotation needs them.
    pub functions: OnceLock<Arc<Functions>>,
}

impl Vendors {
    /// Whether `value` is the credential that our own side would present under this name.
    pub fn is_gateway_credential(&self, name: &str, value: &str) -> bool {
        let secret = self.gateway_secret.as_deref().and_then(|secret| self.secrets.current(secret));
        let credentials: Option<Value> = secret.and_then(|secret| serde_json::from_str(&secret).ok());
        let expected = credentials.as_ref().and_then(|credentials| credentials.get(name)).and_then(Value::as_str);
        expected == Some(value)
    }

    async fn secrets_manager(&self, operation: &str, body: &[u8]) -> Response {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return refused(&Refusal { kind: "SerializationException", message: "The body is not JSON.".to_owned() });
        };
        let outcome = match (operation, self.functions.get()) {
            ("RotateSecret", Some(functions)) => rotation::rotate(&self.secrets, functions, &request).await,
            _ => self.secrets.call(operation, &request),
        };
        match outcome {
            Ok(body) => answer::with_type(StatusCode::OK, "application/x-amz-json-1.1", body.to_string()),
            Err(refusal) => refused(&refusal),
        }
    }
}

/// The services' HTTP face.
pub fn router(vendors: Arc<Vendors>) -> Router {
    Router::new().fallback(answer).with_state(vendors)
}

async fn answer(State(vendors): State<Arc<Vendors>>, request: Request) -> Response {
    // What has arrived is done even if whoever asked has gone.
    tokio::spawn(serve(vendors, request)).await.unwrap_or_else(|_| injected("InternalServiceError"))
}

async fn serve(vendors: Arc<Vendors>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return answer::gateway_message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let (method, headers, path) = (&parts.method, &parts.headers, parts.uri.path());
    let vendors = vendors.as_ref();
    let faults = &vendors.faults;
    if method == Method::HEAD {
        // A connection is opened ahead; nothing is asked, so nothing can be made to go wrong.
        return answer::gateway_message(StatusCode::NOT_FOUND, "Not Found");
    }
    let fields = fields(method, parts.uri.query(), &body);
    let fields = &fields;

    if let Some(operation) = secrets_manager_operation(headers) {
        let call = || vendors.secrets_manager(operation, &body);
        let refusal = |code: Option<&str>| injected(code.unwrap_or("AccessDeniedException"));
        let what = describe(operation, &body);
        return faults.spoil(Target::SecretsManager, what, refusal, || injected("InternalServiceError"), call).await;
    }
    if let Some(path) = path.strip_prefix("/sparrow") {
        let call = || async move { sparrow::answer(vendors, method, path, fields) };
        return faults.spoil(Target::Sparrow, "a message".to_owned(), sparrow::refusal, sparrow::error, call).await;
    }
    if let Some(path) = path.strip_prefix("/twilio") {
        let call = || async move { twilio::answer(vendors, method, path, headers, fields) };
        return faults.spoil(Target::Twilio, "a message".to_owned(), twilio::refusal, twilio::error, call).await;
    }
    if let Some(path) = path.strip_prefix("/google") {
        let call = || async { vendors.google.answer(method, path, headers, fields, &body) };
        let what = if path == "/token" { "a token" } else { "a push" };
        return faults.spoil(Target::Fcm, what.to_owned(), google::refusal, google::error, call).await;
    }
    if fields.contains_key("Action") {
        let call = || async move { sns::answer(vendors, fields) };
        return faults.spoil(Target::Sns, "a message".to_owned(), sns::refusal, sns::error, call).await;
    }
    answer::gateway_message(StatusCode::NOT_FOUND, "No emulated service answers this request")
}

/// A request without the names of versions: `GetSecretValue SigningKeySecret AWSCURRENT`.
fn describe(operation: &str, body: &[u8]) -> String {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name| request.get(name).and_then(Value::as_str);
    let listed = request.get("SecretIdList").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let named = [member("SecretId"), member("VersionStage")].into_iter().flatten();
    [operation].into_iter().chain(named).chain(listed).collect::<Vec<_>>().join(" ")
}

fn secrets_manager_operation(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-amz-target")?.to_str().ok()?.strip_prefix("secretsmanager.")
}

fn fields(method: &Method, query: Option<&str>, body: &[u8]) -> Fields {
    let encoded = if method == Method::GET { query.unwrap_or_default().as_bytes() } else { body };
    form_urlencoded::parse(encoded).into_owned().collect()
}

fn injected(kind: &str) -> Response {
    refused_as(kind, "Refused, as asked of POST /local/faults.")
}

fn refused(refusal: &Refusal) -> Response {
    refused_as(refusal.kind, &refusal.message)
}

fn refused_as(kind: &str, message: &str) -> Response {
    let status = match kind {
        "InternalServiceError" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = json!({ "__type": kind, "Message": message });
    answer::with_type(status, "application/x-amz-json-1.1", body.to_string())
}
