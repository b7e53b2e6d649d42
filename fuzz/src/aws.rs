//! The AWS APIs that the functions call, emulated: every write succeeds, and every read finds the same few items.

use std::sync::LazyLock;

use adapters::secrets::SigningKeyPair;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use domain::values::time::Timestamp;
use serde_json::{Value, json};

use crate::{KEY, KEY_ID};

// The user and the session of the signed tokens, and the pending challenge of the phone.
const USER: &str = "usr_00000000000000000000000001";
const SESSION: &str = "ses_00000000000000000000000002";
const CHALLENGE: &str = "chl_00000000000000000000000003";
const END_OF_2099: &str = "4102444799";

const SNS_ANSWER: &str = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";

/// The key that signs new tokens. It is published together with the fixed key.
static SIGNING: LazyLock<SigningKeyPair> =
    LazyLock::new(|| SigningKeyPair::generate(Timestamp::from_seconds(0)).unwrap());

#[derive(Debug)]
struct Aws;

pub fn client() -> SharedHttpClient {
    http_client_fn(|_, _| SharedHttpConnector::new(Aws))
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request_body =
            request.body().bytes().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let answer = match target.rsplit_once('.').map(|(_, operation)| operation) {
            Some("GetSecretValue") => secret(&request_body).to_string(),
            Some(operation) => dynamodb(operation, &request_body).to_string(),
            None => SNS_ANSWER.to_owned(),
        };
        let mut response = HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(answer));
        response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn secret(request: &Value) -> Value {
    let text = match request["SecretId"].as_str() {
        Some("signing-key") => SIGNING.to_secret().unwrap(),
        _ => "c".repeat(64),
    };
    json!({"VersionId": "1", "SecretString": text})
}

fn dynamodb(operation: &str, request: &Value) -> Value {
    let item = match request["TableName"].as_str() {
        Some("Sessions") => session(),
        Some("Otps") => record(),
        Some("Settings") => keys(),
        _ => user(),
    };
    let key = request["Key"]["pk"]["S"].as_str().unwrap_or_default();
    match operation {
        // Only the default organization exists. A phone's send schedule and all counters are absent.
        "GetItem" if key.starts_with("organization#") || key.starts_with("phone#+") && item == record() => json!({}),
        "GetItem" => json!({"Item": item}),
        "Query" => json!({"Items": [item], "Count": 1}),
        "UpdateItem" => json!({"Attributes": item}),
        _ => json!({}),
    }
}

fn user() -> Value {
    json!({
        "pk": {"S": format!("user#{USER}")}, "user_id": {"S": USER}, "username": {"S": "sita"},
        "role_default": {"SS": ["default"]}, "created_at": {"N": "0"}, "last_sign_in_at": {"N": "0"},
    })
}

fn session() -> Value {
    json!({
        "user_id": {"S": USER}, "session_id": {"S": SESSION}, "organization": {"S": "default"}, "counter": {"N": "1"},
        "created_at": {"N": "0"}, "last_used_at": {"N": "0"}, "idle_until": {"N": END_OF_2099},
        "expires_at": {"N": END_OF_2099}, "ends_at": {"N": END_OF_2099},
    })
}

fn record() -> Value {
    let challenge = json!({
        "id": {"S": CHALLENGE}, "key_version": {"S": "1"}, "code_expires_at": {"N": END_OF_2099},
        "issued": {"M": {CHALLENGE: {"M": {"at": {"N": "0"}, "attempts": {"N": "1"}}}}}, "guesses_before": {"N": "0"},
    });
    json!({
        "challenge#default": {"M": challenge}, format!("challenge#default#{USER}"): {"M": challenge},
        "failures": {"N": "1"}, "failures_without_id": {"N": "1"}, "guesses_without_id": {"N": "1"},
    })
}

fn keys() -> Value {
    let signing = SIGNING.public(Timestamp::from_seconds(0)).unwrap();
    let key = |id: &str, x: &str, y: &str| json!({"M": {"kid": {"S": id}, "x": {"S": x}, "y": {"S": y}, "published_at": {"N": "0"}}});
    json!({"keys": {"L": [key(KEY_ID, KEY.0, KEY.1), key(signing.id.as_str(), &signing.x, &signing.y)]}, "revision": {"N": "1"}})
}
