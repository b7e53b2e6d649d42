//! A stand-in for Google, as Firebase Cloud Messaging has it: tokens for a service account under `/google/token`, and
//! `POST /google/v1/projects/{project}/messages:send`. The pushes of this run are kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use adapters::Clock;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::secrets_manager::{Refusal, SecretsManager};
use crate::vendors::Fields;
use crate::{answer, lock, random};

const KEPT: usize = 1000;
/// How long a token is good, and at most what asks for one. Seconds.
const HOUR: i64 = 3_600;
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub struct Google {
    clock: Clock,
    secrets: Arc<SecretsManager>,
    /// The name of the secret with the service account's key file, where the template has one.
    push_secret: Option<String>,
    /// The tokens that are out, and when each ends.
    tokens: Mutex<BTreeMap<String, i64>>,
    /// Newest first.
    pushes: Mutex<VecDeque<Push>>,
}

/// One message on one device.
#[derive(Clone, Debug, Serialize)]
pub struct Push {
    /// The device's FCM token.
    pub to: String,
    pub data: BTreeMap<String, String>,
    pub at: i64,
}

/// What is read of a request to send.
#[derive(Deserialize)]
struct Send {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    token: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Assertion {
    iss: String,
    aud: String,
    scope: String,
    iat: i64,
    exp: i64,
}

impl Google {
    pub fn new(clock: Clock, secrets: Arc<SecretsManager>, push_secret: Option<String>) -> Self {
        Self { clock, secrets, push_secret, tokens: Mutex::default(), pushes: Mutex::default() }
    }

    /// Sees that the secret holds a key file whose tokens come from `token_uri`.
    pub fn fill_in(&self, token_uri: &str) -> Result<(), Refusal> {
        let Some(name) = &self.push_secret else { return Ok(()) };
        let mut file = self.key_file();
        if file.get("private_key").is_none() {
            file = json!({"type": "service_account", "client_email": "push@latchkey.local", "private_key": key()});
        } else if file.get("token_uri").is_some_and(|held| held == token_uri) {
            return Ok(());
        }
        if let Some(file) = file.as_object_mut() {
            file.insert("token_uri".to_owned(), json!(token_uri));
        }
        let request = json!({"SecretId": name, "SecretString": file.to_string()});
        self.secrets.call("PutSecretValue", &request).map(drop)
    }

    /// The service account's key file, or null.
    fn key_file(&self) -> Value {
        let secret = self.push_secret.as_deref().and_then(|name| self.secrets.current(name));
        secret.and_then(|secret| serde_json::from_str(&secret).ok()).unwrap_or_default()
    }

    /// The pushes of this run, newest first.
    pub fn pushes(&self) -> Vec<Push> {
        lock(&self.pushes).iter().cloned().collect()
    }

    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, fields: &Fields, body: &[u8]) -> Response {
        match (method, path) {
            (&Method::POST, "/token") => self.grant(fields),
            (&Method::POST, path) if path.starts_with("/v1/projects/") && path.ends_with("/messages:send") => {
                self.send(headers, body)
            }
            _ => refused("NOT_FOUND"),
        }
    }

    fn grant(&self, fields: &Fields) -> Response {
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if field("grant_type") != GRANT_TYPE {
            return answer::json(StatusCode::BAD_REQUEST, &json!({"error": "unsupported_grant_type"}));
        }
        let now = self.clock.now().seconds();
        if self.holds(field("assertion"), now).is_none() {
            return answer::json(StatusCode::BAD_REQUEST, &json!({"error": "invalid_grant"}));
        }
        let token = format!("ya29.{}", random::hex(32));
        let mut tokens = lock(&self.tokens);
        tokens.retain(|_, until| now < *until);
        tokens.insert(token.clone(), now.saturating_add(HOUR));
        answer::json(StatusCode::OK, &json!({"access_token": token, "expires_in": HOUR, "token_type": "Bearer"}))
    }

    /// Whether an assertion is the account's own, to us, of now, and asks for what we give.
    fn holds(&self, assertion: &str, now: i64) -> Option<()> {
        let file = self.key_file();
        let member = |name: &str| file.get(name).and_then(Value::as_str);
        let (signed, signature) = assertion.rsplit_once('.')?;
        let key = KeyPair::from_pkcs8(&der(member("private_key")?)?).ok()?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let (head, claims) = signed.split_once('.')?;
        let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        let claims: Assertion = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let is_good = head.get("alg")? == "RS256"
            && Some(claims.iss.as_str()) == member("client_email")
            && Some(claims.aud.as_str()) == member("token_uri")
            && claims.scope == SCOPE
            && claims.iat <= now
            && now < claims.exp
            && claims.exp.saturating_sub(claims.iat) <= HOUR;
        is_good.then_some(())
    }

    fn send(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let now = self.clock.now().seconds();
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if lock(&self.tokens).get(bearer).is_none_or(|until| *until <= now) {
            return refused("UNAUTHENTICATED");
        }
        // FCM, too, takes texts alone for data.
        let Ok(Send { message }) = serde_json::from_slice::<Send>(body) else { return refused("INVALID_ARGUMENT") };
        let mut pushes = lock(&self.pushes);
        pushes.push_front(Push { to: message.token, data: message.data, at: now });
        pushes.truncate(KEPT);
        answer::json(StatusCode::OK, &json!({"name": format!("projects/local/messages/0:{}", random::hex(8))}))
    }
}

/// FCM's refusal by a code of its own (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>).
pub fn refusal(code: Option<&str>) -> Response {
    refused(code.unwrap_or("UNREGISTERED"))
}

pub fn error() -> Response {
    refused("INTERNAL")
}

fn refused(code: &str) -> Response {
    let (status, name) = match code {
        "UNREGISTERED" | "NOT_FOUND" => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        "UNAUTHENTICATED" | "THIRD_PARTY_AUTH_ERROR" => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        "SENDER_ID_MISMATCH" => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        "QUOTA_EXCEEDED" => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        "UNAVAILABLE" => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        "INTERNAL" => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        _ => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
    };
    let details = json!([{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]);
    let error = json!({"code": status.as_u16(), "message": "Refused", "status": name, "details": details});
    answer::json(status, &json!({"error": error}))
}

/// A private key in PEM, as Google hands them out. One a process: it takes long to make.
fn key() -> Option<&'static str> {
    static KEY: OnceLock<Option<String>> = OnceLock::new();
    let make = || {
        let key = AsDer::<Pkcs8V1Der<'_>>::as_der(&KeyPair::generate(KeySize::Rsa2048).ok()?).ok()?;
        Some(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key.as_ref())))
    };
    KEY.get_or_init(make).as_deref()
}

fn der(pem: &str) -> Option<Vec<u8>> {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(base64).ok()
}
