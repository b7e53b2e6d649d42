//! Every sample event, handled by its function on an empty system.

use std::collections::BTreeSet;

use adapters::http::Route;
use serde_json::{Value, json};
use tests::World;

use crate::sample;
use crate::workspace::{functions, logical_id, names};

fn expected() -> serde_json::Map<String, Value> {
    sample::read("expected.json").as_object().unwrap().clone()
}

fn files() -> BTreeSet<String> {
    let is_event = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "json");
    let of = |function: String| {
        names(&format!("events/{function}"), is_event).into_iter().map(move |name| format!("{function}/{name}"))
    };
    functions().into_iter().flat_map(of).collect()
}

#[test]
fn every_event_has_an_expectation_and_every_expectation_has_an_event() {
    assert_eq!(expected().keys().cloned().collect::<BTreeSet<_>>(), files());
}

#[test]
fn every_event_names_a_route_of_its_function_or_the_default_route() {
    for file in files().iter().filter(|file| has_route(file)) {
        let event = sample::read(file);
        let route = event["routeKey"].as_str().unwrap();
        let function = file.split('/').next().unwrap();
        assert!(
            route == "$default" || Route::of_key(route).is_some_and(|known| known.function() == function),
            "{file}: {route}"
        );
    }
}

fn has_route(file: &str) -> bool {
    ["authorizer/", "due/", "notify/", "publish/", "rotate-keys/"].iter().all(|folder| !file.starts_with(folder))
}

/// An answer in the form of `expected.json`.
fn outcome(answer: &Value) -> Value {
    if let Some(status) = answer.get("statusCode") {
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or("null")).unwrap();
        return json!({"status": status, "code": body["code"]});
    }
    if let Some(failures) = answer.get("batchItemFailures") {
        return json!({"failures": failures.as_array().unwrap().len()});
    }
    if let Some(seen) = answer.get("seen") {
        return json!({"seen": seen});
    }
    if let Some(policy) = answer.get("policyDocument") {
        return json!({"effect": policy["Statement"][0]["Effect"]});
    }
    let mut outcome = json!({"isAuthorized": answer["isAuthorized"]});
    if let Some(refusal) = answer["context"].get("refusal") {
        outcome["refusal"] = refusal.clone();
    }
    outcome
}

async fn replay(function: &str) {
    let world = World::publishing(&[]).await;
    let mut wrong = Vec::new();
    let prefix = format!("{function}/");
    for (file, wanted) in expected().iter().filter(|(file, _)| file.starts_with(&prefix)) {
        let answer = world.system.invoke(&logical_id(function), sample::read(file)).await;
        match answer.map(|answer| outcome(&answer)) {
            Ok(outcome) if outcome == *wanted => {}
            other => wrong.push(format!("{file}: {other:?} rather than {wanted}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One test for each function, on a system of its own.
macro_rules! replay {
    ($($name:ident: $function:literal),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            replay($function).await;
        })*

        #[test]
        fn the_events_of_every_function_are_replayed() {
            assert_eq!([$($function,)* "rotate-keys"].map(str::to_owned).into_iter().collect::<BTreeSet<_>>(), functions());
        }
    };
}

replay! {
    each_event_of_account_is_answered_as_expected: "account",
    each_event_of_authorizer_is_answered_as_expected: "authorizer",
    each_event_of_due_is_answered_as_expected: "due",
    each_event_of_jwks_is_answered_as_expected: "jwks",
    each_event_of_notify_is_answered_as_expected: "notify",
    each_event_of_publish_is_answered_as_expected: "publish",
    each_event_of_send_otp_is_answered_as_expected: "send-otp",
    each_event_of_session_is_answered_as_expected: "session",
    each_event_of_submit_otp_is_answered_as_expected: "submit-otp",
    each_event_of_validate_otp_is_answered_as_expected: "validate-otp",
}

/// The event, after all that must have succeeded before it.
fn chain(expected: &serde_json::Map<String, Value>, file: &str) -> Vec<String> {
    let mut chain = match expected[file]["after"].as_str() {
        Some(before) => chain(expected, before),
        None => Vec::new(),
    };
    chain.push(file.to_owned());
    chain
}

#[tokio::test]
async fn each_event_of_rotate_keys_is_answered_as_expected_after_the_events_it_needs() {
    let expected = expected();
    for (file, _) in expected.iter().filter(|(file, _)| file.starts_with("rotate-keys/")) {
        let world = World::new().await;
        for step in chain(&expected, file) {
            let mut event = sample::read(&step);
            if step != "rotate-keys/other-secret.json" {
                event["SecretId"] = json!("SigningKeySecret");
            }
            let outcome = world.system.invoke("RotateKeysFunction", event).await;
            assert_eq!(json!(outcome.is_ok()), expected[&step]["ok"], "{step}: {outcome:?}");
        }
    }
}
