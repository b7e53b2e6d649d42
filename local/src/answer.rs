//! The forms in which the local endpoints answer.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{Full, Limited};
use serde_json::{Value, json};

pub fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))];
    (status, headers, body.into()).into_response()
}

pub fn json(status: StatusCode, body: &Value) -> Response {
    with_type(status, "application/json", body.to_string())
}

/// An error in the form of API Gateway's own.
pub fn gateway_message(status: StatusCode, message: &str) -> Response {
    json(status, &json!({ "message": message }))
}

/// An RFC 9457 problem.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body =
        json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code });
    with_type(status, "application/problem+json", body.to_string())
}

/// No answer: the connection is cut before a byte of it is sent.
pub fn cut_off() -> Response {
    // The body announces two bytes and fails as soon as it is read, because its limit is one.
    Response::new(Body::new(Limited::new(Full::new(Bytes::from_static(b"--")), 1)))
}
