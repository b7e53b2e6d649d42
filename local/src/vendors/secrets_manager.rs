//! The HTTP API of Secrets Manager: the AWS JSON 1.1 protocol.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer;
use crate::functions::Functions;
use crate::secrets_manager::rotation;
use crate::secrets_manager::store::{Refusal, SecretsManager};

/// The operation, if the request is for Secrets Manager.
pub fn operation(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-amz-target")?.to_str().ok()?.strip_prefix("secretsmanager.")
}

/// `functions` is `None` while they start; rotations need them.
pub async fn answer(
    secrets: &SecretsManager,
    functions: Option<&Functions>,
    operation: &str,
    request: &Value,
) -> Response {
    let outcome = match (operation, functions) {
        ("RotateSecret", Some(functions)) => rotation::rotate(secrets, functions, request).await,
        _ => secrets.call(operation, request),
    };
    match outcome {
        Ok(body) => answer::with_type(StatusCode::OK, "application/x-amz-json-1.1", body.to_string()),
        Err(Refusal { kind, message }) => refused(kind, &message),
    }
}

pub fn refusal(code: Option<&str>) -> Response {
    refused(code.unwrap_or("AccessDeniedException"), "Refused, as requested by POST /local/faults.")
}

pub fn error() -> Response {
    refused("InternalServiceError", "An internal error occurred.")
}

/// A request without the ids of versions: `GetSecretValue SigningKeySecret AWSCURRENT`.
pub fn describe(operation: &str, request: &Value) -> String {
    let member = |name| request.get(name).and_then(Value::as_str);
    let listed = request.get("SecretIdList").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let named = [member("SecretId"), member("VersionStage")].into_iter().flatten();
    [operation].into_iter().chain(named).chain(listed).collect::<Vec<_>>().join(" ")
}

fn refused(kind: &str, message: &str) -> Response {
    let status = match kind {
        "InternalServiceError" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = json!({ "__type": kind, "Message": message });
    answer::with_type(status, "application/x-amz-json-1.1", body.to_string())
}
