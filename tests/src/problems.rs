//! The exact words of each problem of the two open routes.

use serde_json::{Value, json};
use tests::Reply;

fn words(code: &str) -> (u16, &'static str, &'static str) {
    match code {
        "malformed_request" => (400, "malformed request", "The request is malformed. Fix the request before retrying."),
        "invalid_phone_number" => {
            (400, "invalid phone number", "This is not a mobile phone number. Check it and try again.")
        }
        "payload_too_large" => (413, "payload too large", "The body is larger than 16 KiB. Send a smaller one."),
        "unsupported_media_type" => (415, "unsupported media type", "Send the body as application/json."),
        "no_such_organization" => (400, "no such organization", "No organization has this id. Check organization_id."),
        "country_not_allowed" => {
            (403, "country not allowed", "This organization does not send codes to numbers of this country.")
        }
        "incorrect_otp" => (400, "incorrect code", "Incorrect OTP. Try again"),
        "otp_expired" => (400, "code expired", "This code has expired or was already used. Request a new code."),
        "too_many_attempts" => {
            (429, "too many attempts", "This code was tried too often. Request a new code after retry_after seconds.")
        }
        "too_many_requests" => {
            (429, "too many requests", "Too many requests. Wait retry_after seconds before retrying.")
        }
        "sms_gateway_unavailable" => (
            503,
            "SMS gateway unavailable",
            "No gateway accepted the message. The send was not counted. Retry after retry_after seconds.",
        ),
        "service_unavailable" => (
            503,
            "service unavailable",
            "A service that Latchkey depends on is unavailable. Retry the same request after retry_after seconds.",
        ),
        _ => panic!("the open routes have no problem {code}"),
    }
}

/// Panics unless the whole reply is this problem; `more` holds further members, or replaces some.
#[track_caller]
pub fn assert_refused(reply: &Reply, code: &str, more: Value) {
    let (status, title, detail) = words(code);
    let kind = format!("urn:latchkey:problem:{code}");
    let mut expected = json!({"type": kind, "title": title, "status": status, "detail": detail, "code": code});
    expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    assert_eq!(reply.body, expected);
    reply.assert_problem(status, code);
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert!(reply.headers.contains_key("x-request-id"));
    assert_eq!(reply.headers.get("retry-after").cloned(), expected.get("retry_after").map(Value::to_string));
}

/// Like [`assert_refused`], with any `retry_after`.
#[track_caller]
pub fn assert_refused_for_now(reply: &Reply, code: &str, mut more: Value) {
    more["retry_after"] = json!(reply.number("retry_after"));
    assert_refused(reply, code, more);
}
