//! Events made from the samples in `events/`, to call one function without API Gateway and its authorizer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::Person;

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

pub fn header(token: &str) -> Value {
    part(token, 0)
}

pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The header of a JWT is part 0, its claims are part 1.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
