//! The routes: every list of them agrees with one, and each route asks for a token if and only if it is guarded.

use std::collections::BTreeSet;

use serde_json::json;
use tests::World;

use crate::sample;
use crate::workspace::{functions, logical_id, metadata, resource};

pub struct Route {
    method: &'static str,
    path: &'static str,
    pub function: &'static str,
    is_guarded: bool,
}

impl Route {
    /// API Gateway's route key.
    pub fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

const fn open(method: &'static str, path: &'static str, function: &'static str) -> Route {
    Route { method, path, function, is_guarded: false }
}

const fn guarded(method: &'static str, path: &'static str, function: &'static str) -> Route {
    Route { method, path, function, is_guarded: true }
}

/// The list that all others are compared with.
pub const ROUTES: [Route; 16] = [
    open("POST", "/v1/otp/send", "send-otp"),
    open("POST", "/v1/otp/submit", "submit-otp"),
    guarded("POST", "/v1/phone/otp/send", "send-otp"),
    guarded("POST", "/v1/phone/otp/validate", "validate-otp"),
    open("POST", "/v1/session/refresh", "session"),
    guarded("GET", "/v1/sessions", "session"),
    guarded("DELETE", "/v1/sessions", "session"),
    guarded("DELETE", "/v1/sessions/{session_id}", "session"),
    guarded("DELETE", "/v1/session", "session"),
    guarded("GET", "/v1/me", "account"),
    guarded("PATCH", "/v1/me", "account"),
    guarded("DELETE", "/v1/me", "account"),
    guarded("PUT", "/v1/me/fcm-token", "account"),
    guarded("POST", "/v1/me/sign-in-approval", "account"),
    open("GET", "/.well-known/jwks.json", "jwks"),
    open("GET", "/.well-known/openid-configuration", "jwks"),
];

fn keys<'a>(routes: impl IntoIterator<Item = &'a Route>) -> BTreeSet<String> {
    routes.into_iter().map(Route::key).collect()
}

#[test]
fn the_template_declares_every_route_with_its_function_and_its_guard() {
    let mut declared = BTreeSet::new();
    for function in functions() {
        for event in resource(&logical_id(&function))["Properties"]["Events"].as_object().into_iter().flatten() {
            let properties = &event.1["Properties"];
            let [method, path] = ["Method", "Path"].map(|name| properties[name].as_str().unwrap());
            let authorizer = &properties["Auth"]["Authorizer"];
            assert!(authorizer.is_null() || authorizer == "LatchkeyAuthorizer", "{authorizer}");
            declared.insert((format!("{method} {path}"), function.clone(), !authorizer.is_null()));
        }
    }
    let routes = ROUTES.iter().map(|route| (route.key(), route.function.to_owned(), route.is_guarded));
    assert_eq!(declared, routes.collect());
}

#[test]
fn cargo_lambda_watch_serves_the_same_routes() {
    let router = metadata()["metadata"]["lambda"]["watch"]["router"].as_object().unwrap();
    let mut served = BTreeSet::new();
    for (path, methods) in router {
        for entry in methods.as_array().unwrap() {
            let key = format!("{} {path}", entry["method"].as_str().unwrap());
            served.insert((key, entry["function"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(served, ROUTES.iter().map(|route| (route.key(), route.function.to_owned())).collect());
}

#[test]
fn openapi_documents_the_same_routes_and_the_same_guards() {
    let mut documented = BTreeSet::new();
    let mut guarded = BTreeSet::new();
    for (path, methods) in tests::document()["paths"].as_object().unwrap() {
        let operations = methods.as_object().unwrap().iter().filter(|(name, _)| {
            ["get", "put", "post", "patch", "delete", "head", "options", "trace"].contains(&name.as_str())
        });
        for (method, operation) in operations {
            let key = format!("{} {path}", method.to_uppercase());
            if operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty()) {
                guarded.insert(key.clone());
            }
            documented.insert(key);
        }
    }
    assert_eq!(documented, keys(&ROUTES));
    assert_eq!(guarded, keys(ROUTES.iter().filter(|route| route.is_guarded)));
}

#[tokio::test]
async fn the_authorizer_passes_refusals_on_to_exactly_the_guarded_routes() {
    let world = World::new().await;
    for route in &ROUTES {
        let mut event = sample::read("authorizer/no-token.json");
        event["routeKey"] = json!(route.key());
        let answer = world.system.invoke("AuthorizerFunction", event).await.unwrap();
        let is_passed_on = answer["context"]["refusal"] == "token_required";
        assert_eq!(
            (&answer["isAuthorized"], is_passed_on),
            (&json!(route.is_guarded), route.is_guarded),
            "{}",
            route.key()
        );
    }
}

#[tokio::test]
async fn a_route_asks_for_a_token_if_and_only_if_it_is_guarded() {
    let world = World::new().await;
    for route in &ROUTES {
        let reply = world.call(route.method, &route.path.replace("{session_id}", "ses_0")).send().await;
        assert_eq!(reply.problem() == (401, "token_required"), route.is_guarded, "{}: {reply:?}", route.key());
    }
}
