//! A stand-in for Firebase Cloud Messaging: `POST /google/token` gives a service account its access tokens, and
//! `POST /google/v1/projects/{project}/messages:send` sends. The pushes are kept in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::AdjustableClock;
use crate::live::Live;
use crate::lock::lock;
use crate::secrets_manager::store::{Refusal, SecretsManager};
use crate::vendors::context::Fields;
use crate::{answer, random};

const PUSHES_KEPT: usize = 1000;
/// The lifetime of an access token, and the maximum lifetime of the assertion that asks for one.
const LIFETIME_SECONDS: i64 = 3_600;
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub struct Google {
    clock: AdjustableClock,
    live: Arc<Live>,
    secrets: Arc<SecretsManager>,
    /// The name of the secret with the service account's key file, if the template has one.
    push_secret: Option<String>,
    /// The access tokens that were issued, and when each expires.
    tokens: Mutex<BTreeMap<String, i64>>,
    /// Newest first.
    pushes: Mutex<VecDeque<Push>>,
}

/// One message on one device.
#[derive(Clone, Debug, Serialize)]
pub struct Push {
    pub id: String,
    /// The device's FCM token.
    pub to: String,
    pub data: BTreeMap<String, String>,
    pub at: i64,
}

#[derive(Deserialize)]
struct SendRequest {
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
    pub fn new(
        clock: AdjustableClock,
        live: Arc<Live>,
        secrets: Arc<SecretsManager>,
        push_secret: Option<String>,
    ) -> Self {
        Self { clock, live, secrets, push_secret, tokens: Mutex::default(), pushes: Mutex::default() }
    }

    /// Makes sure that the secret holds a key file that gets its tokens from `token_uri`.
    pub fn ensure_key_file(&self, token_uri: &str) -> Result<(), Refusal> {
        let Some(name) = &self.push_secret else { return Ok(()) };
        let mut file = self.key_file();
        if file.get("private_key").is_none() {
            file =
                json!({"type": "service_account", "client_email": "push@latchkey.local", "private_key": private_key()});
        } else if file.get("token_uri").is_some_and(|present| present == token_uri) {
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

    /// Newest first.
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
        let now = self.clock.now_seconds();
        if self.verify(field("assertion"), now).is_none() {
            return answer::json(StatusCode::BAD_REQUEST, &json!({"error": "invalid_grant"}));
        }
        let token = format!("ya29.{}", random::hex(32));
        let mut tokens = lock(&self.tokens);
        tokens.retain(|_, until| now < *until);
        tokens.insert(token.clone(), now.saturating_add(LIFETIME_SECONDS));
        answer::json(
            StatusCode::OK,
            &json!({"access_token": token, "expires_in": LIFETIME_SECONDS, "token_type": "Bearer"}),
        )
    }

    /// `None` unless the assertion is signed by the service account, for this endpoint and scope, and valid now.
    fn verify(&self, assertion: &str, now: i64) -> Option<()> {
        let file = self.key_file();
        let member = |name: &str| file.get(name).and_then(Value::as_str);
        let (signed, signature) = assertion.rsplit_once('.')?;
        let key = KeyPair::from_pkcs8(&der(member("private_key")?)?).ok()?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let (head, claims) = signed.split_once('.')?;
        let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        let claims: Assertion = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let is_valid = head.get("alg")? == "RS256"
            && Some(claims.iss.as_str()) == member("client_email")
            && Some(claims.aud.as_str()) == member("token_uri")
            && claims.scope == SCOPE
            && claims.iat <= now
            && now < claims.exp
            && claims.exp.saturating_sub(claims.iat) <= LIFETIME_SECONDS;
        is_valid.then_some(())
    }

    fn send(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let now = self.clock.now_seconds();
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if lock(&self.tokens).get(bearer).is_none_or(|until| *until <= now) {
            return refused("UNAUTHENTICATED");
        }
        // As in FCM, all values of `data` must be strings.
        let Ok(SendRequest { message }) = serde_json::from_slice::<SendRequest>(body) else {
            return refused("INVALID_ARGUMENT");
        };
        let id = random::hex(8);
        let push = Push { id: id.clone(), to: message.token, data: message.data, at: now };
        let mut pushes = lock(&self.pushes);
        self.live.tell("push", &push);
        pushes.push_front(push);
        pushes.truncate(PUSHES_KEPT);
        answer::json(StatusCode::OK, &json!({"name": format!("projects/local/messages/0:{id}")}))
    }
}

/// The codes are at <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>.
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

/// A private key in PEM, as in the key files that Google issues. One for each process, because it takes long to
/// generate.
fn private_key() -> Option<&'static str> {
    static KEY: OnceLock<Option<String>> = OnceLock::new();
    let generate = || {
        let key = AsDer::<Pkcs8V1Der<'_>>::as_der(&KeyPair::generate(KeySize::Rsa2048).ok()?).ok()?;
        Some(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key.as_ref())))
    };
    KEY.get_or_init(generate).as_deref()
}

fn der(pem: &str) -> Option<Vec<u8>> {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(base64).ok()
}
