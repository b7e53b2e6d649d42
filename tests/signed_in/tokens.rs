//! What tokens say; and tokens of any making, signed with the system's own key or a stranger's.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use tests::World;

/// PKCS #8 of a key on P-256 that no Latchkey ever saw, and its public point.
const STRANGER: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg46qfhf/C+TyKFZqKypCzdLjYRDiKarNd7dBnygygGsqhRANCAAQRu/T1oKWPsS82Ro46HatIReWN3uTF2nMrtlwAjbLwVGOTOca/D5KSPSW+hm6j34nOC5rYJOHCS5p/Brp6+R9i";

/// A private key.
pub struct Key {
    /// Its point, base64url.
    pub x: String,
    /// Its point, base64url.
    pub y: String,
    signing: EncodingKey,
}

/// The key that the system signs with, out of its Secrets Manager.
pub async fn own_key(world: &World) -> Key {
    let secret = secrets_manager(world, "GetSecretValue", json!({"SecretId": "SigningKeySecret"})).await;
    let pair: Value = serde_json::from_str(secret["SecretString"].as_str().unwrap()).unwrap();
    let text = |name: &str| pair[name].as_str().unwrap().to_owned();
    Key {
        x: text("x"),
        y: text("y"),
        signing: EncodingKey::from_ec_der(&STANDARD.decode(text("private_key")).unwrap()),
    }
}

/// A key that is not the system's.
pub fn strangers_key() -> Key {
    let der = STANDARD.decode(STRANGER).unwrap();
    // The document ends with the public point: x and y of 32 bytes each.
    let (x, y) = der[der.len() - 64..].split_at(32);
    Key { x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y), signing: EncodingKey::from_ec_der(&der) }
}

/// Asks the embedded Secrets Manager.
pub async fn secrets_manager(world: &World, operation: &str, body: Value) -> Value {
    let request = http::Request::post(format!("http://{}/", world.system.aws_address()))
        .header("x-amz-target", format!("secretsmanager.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    let response = Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap();
    assert_eq!(response.status(), 200, "{operation}");
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// The head of a token.
pub fn header(token: &str) -> Value {
    part(token, 0)
}

/// What a token says.
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The session of a token.
pub fn session_id(token: &str) -> String {
    claims(token)["sid"].as_str().unwrap().to_owned()
}

fn part(token: &str, number: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(number).unwrap()).unwrap()).unwrap()
}

/// Head and claims as they are signed.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// A token of any making, signed with ES256 whatever its head says.
pub fn signed(header: &Value, claims: &Value, key: &Key) -> String {
    let message = unsigned(header, claims);
    let signature = crypto::sign(message.as_bytes(), &key.signing, Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

/// A token whose signature is a MAC with `secret`.
pub fn symmetric(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = unsigned(header, claims);
    let mac = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256).unwrap();
    format!("{message}.{mac}")
}

/// `value` with members replaced; null removes one.
pub fn with(value: &Value, changes: Value) -> Value {
    let mut members = value.as_object().unwrap().clone();
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => members.remove(name),
            change => members.insert(name.clone(), change.clone()),
        };
    }
    Value::Object(members)
}
