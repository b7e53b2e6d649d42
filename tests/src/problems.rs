//! Whole replies with a problem, in the words of `openapi.yaml`.

use serde_json::{Value, json};

use crate::contract::problem_examples;
use crate::{Reply, with};

/// Panics unless the whole reply is this problem; `more` holds further members, or replaces some.
#[track_caller]
pub fn assert_refused(reply: &Reply, code: &str, more: Value) {
    let example = problem_examples()[code][0];
    let expected: Value =
        ["type", "title", "status", "detail", "code"].iter().map(|name| (*name, example[name].clone())).collect();
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
