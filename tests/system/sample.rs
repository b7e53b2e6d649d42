//! Events made from the samples in `events/`, to call one function without API Gateway and its authorizer.

use serde_json::{Value, json};
use tests::Person;
use tests::token::claims;

use crate::workspace;

pub fn read(name: &str) -> Value {
    serde_json::from_str(&workspace::text(&format!("events/{name}"))).unwrap()
}

/// A request without an authorizer's context: the function checks the token itself.
pub fn request(route: &str, token: Option<&str>, body: Option<Value>) -> Value {
    let (method, path) = route.split_once(' ').unwrap();
    let mut event = read("send-otp/login.json");
    event["routeKey"] = json!(route);
    event["rawPath"] = json!(path);
    event["requestContext"]["routeKey"] = json!(route);
    event["requestContext"]["http"]["method"] = json!(method);
    event["requestContext"]["http"]["path"] = json!(path);
    event["body"] = body.map_or(Value::Null, |body| json!(body.to_string()));
    if let Some(token) = token {
        event["headers"]["authorization"] = json!(format!("Bearer {token}"));
    }
    event
}

/// A request with the context that the authorizer adds for a valid token.
pub fn authorized(route: &str, person: &Person, body: Option<Value>) -> Value {
    let mut event = request(route, None, body);
    let context = json!({
        "user_id": person.user_id, "session_id": claims(&person.access)["sid"], "fresh": true, "roles": "{}",
        "organization_id": claims(&person.access)["org"],
    });
    event["requestContext"]["authorizer"] = json!({ "lambda": context });
    event
}

/// An event for the authorizer.
pub fn authorization(token: &str) -> Value {
    let mut event = read("authorizer/garbage-token.json");
    event["headers"]["authorization"] = json!(format!("Bearer {token}"));
    event
}
