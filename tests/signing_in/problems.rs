//! The exact words of each problem of the two open routes.

use serde_json::{Value, json};
use tests::Reply;

fn words(code: &str) -> (u16, &'static str, &'static str) {
    match code {
        "malformed_request" => {
            (400, "malformed request", "The request can't be understood. Mend it before sending it again.")
        }
        "invalid_phone_number" => {
            (400, "invalid phone number", "This is not a mobile phone number. Check it and try again.")
        }
        "payload_too_large" => (413, "payload too large", "The body is larger than 16 KiB."),
        "unsupported_media_type" => (415, "unsupported media type", "Send the body as application/json."),
        "no_such_organization" => (400, "no such organization", "There is no organization of that name."),
        "country_not_allowed" => (403, "country not allowed", "Codes are not sent to numbers of this country."),
        "incorrect_otp" => (400, "incorrect code", "Incorrect OTP. Try again"),
        "otp_expired" => (400, "code expired", "This code has expired or was used. Ask for a new one."),
        "too_many_attempts" => {
            (429, "too many attempts", "Too many wrong codes were tried. Ask for a new code once this one has expired.")
        }
        "too_many_requests" => (429, "too many requests", "Too many requests. Wait before trying again."),
        "sms_gateway_unavailable" => {
            (503, "SMS gateway unavailable", "No message could be sent. Nothing was counted; try again shortly.")
        }
        "service_unavailable" => {
            (503, "service unavailable", "The service is out of reach. Nothing was lost; try again shortly.")
        }
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
