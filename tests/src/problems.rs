//! Whole replies with a problem, in the words of `openapi.yaml`.

use serde_json::{Value, json};

use crate::contract::problem_examples;
use crate::{Reply, with};

/// The codes of problems whose words tell cases apart, or say how long to wait.
pub const OF_A_CASE: [&str; 4] = ["incorrect_otp", "number_released", "too_many_requests", "sms_gateway_unavailable"];

/// Panics unless the whole reply is this problem; `more` holds further members, or replaces some. The words for people are
/// those of `openapi.yaml`, unless they differ from case to case.
#[track_caller]
pub fn assert_refused(reply: &Reply, code: &str, more: Value) {
    let example = problem_examples()[code][0];
    let mut expected: Value =
        ["type", "title", "status", "detail", "code"].iter().map(|name| (*name, example[name].clone())).collect();
    if OF_A_CASE.contains(&code) {
        expected["detail"] = json!(reply.text("detail"));
    }
    // A send that must wait longer than a code lives says how to go on without the wait.
    if let (Some(ways), true) = (reply.body.get("other_ways"), reply.body["retry_after"].as_u64() > Some(600)) {
        expected["other_ways"] = ways.clone();
    }
    if code == "no_such_organization" {
        expected["errors"] = example["errors"].clone();
    }
    let expected = with(&expected, more);
    assert_eq!(reply.body, expected);
    assert_eq!(expected["status"], json!(reply.status));
    reply.assert_problem(reply.status, code);
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

/// What is wrong with one member, as the problem tells it.
pub fn at_member(name: &str, detail: &str) -> Value {
    json!([{"pointer": format!("#/{name}"), "detail": detail}])
}

/// What is wrong with the body as a whole.
pub fn at_body(detail: &str) -> Value {
    json!([{"pointer": "#", "detail": detail}])
}
