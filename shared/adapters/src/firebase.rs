//! Firebase's ID tokens: whether one was signed by a key that Google publishes. What it must say is for the domain.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::firebase::{FirebaseClaims, FirebaseProject, FirebaseRefusal, SubmitFirebaseError, TokenDigest};
use domain::phone::PhoneNumber;
use domain::{Timestamp, Unavailable};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::app::App;
use crate::https;

/// Longer than any ID token with its custom claims, which may take 1,000 bytes; a longer one is refused unread.
const LONGEST_TOKEN: usize = 4_096;
/// How long the keys may take to come.
const TIMEOUT: Duration = Duration::from_millis(3_000);
/// More than any key set has, in bytes.
const LARGEST_KEY_SET: usize = 65_536;
/// For how long keys are used whose answer does not say (`Cache-Control`, RFC 9111 §5.2). Seconds.
const UNSAID_SECONDS: u32 = 300;
/// The longest that keys are used, whatever their answer says. Seconds.
const LONGEST_SECONDS: u32 = 86_400;
/// For how long keys whose time is over still serve while no newer ones can be had. Seconds.
const STALE_SECONDS: u32 = 3_600;
/// The shortest time between two requests for keys: strangers can name keys that there never were. Seconds.
const PAUSE_SECONDS: u32 = 60;
/// The same, after a request that failed. Seconds.
const PAUSE_AFTER_FAILURE_SECONDS: u32 = 5;

/// Checks ID tokens of one project.
#[derive(Clone)]
pub struct Firebase {
    project: FirebaseProject,
    url: String,
    connector: Arc<LazyLock<Connector>>,
    keys: Arc<Mutex<Keys>>,
}

/// A token that holds.
pub struct Verified {
    /// The phone that it proves.
    pub phone: PhoneNumber,
    /// Which token it is.
    pub digest: TokenDigest,
    /// When it is good no more.
    pub until: Timestamp,
}

/// Google's keys, as they were read last.
#[derive(Default)]
struct Keys {
    by_id: BTreeMap<String, DecodingKey>,
    fresh_until: Timestamp,
    ask_again_at: Timestamp,
}

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
    n: String,
    e: String,
}

impl Firebase {
    /// For the project that is configured, if one is.
    pub fn new(app: &App) -> Option<Self> {
        let project = app.config.firebase_project.clone()?;
        let url = app.config.firebase_jwks_url.clone();
        Some(Self { project, url, connector: Arc::new(LazyLock::new(https::connector)), keys: Arc::default() })
    }

    /// Reads the keys ahead of the first token.
    pub async fn warm(&self, now: Timestamp) {
        let _ = self.refresh(&mut *self.keys.lock().await, now).await;
    }

    /// Checks a token.
    ///
    /// # Errors
    /// When it does not hold, or the keys are out of reach.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, SubmitFirebaseError> {
        let invalid = || SubmitFirebaseError::Token(FirebaseRefusal::Invalid);
        let header = Some(token).filter(|token| token.len() <= LONGEST_TOKEN).map(decode_header);
        let header = header.and_then(Result::ok).ok_or_else(invalid)?;
        // One algorithm, nothing that we would have to understand and don't (RFC 7515 §4.1.11), and a key of Google's:
        // never one that the token brings or points to.
        if header.alg != Algorithm::RS256 || header.crit.is_some() {
            return Err(invalid());
        }
        let key = self.key(&header.kid.ok_or_else(invalid)?, now).await?.ok_or_else(invalid)?;
        let mut signature_alone = Validation::new(Algorithm::RS256);
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_aud = false;
        let claims = decode::<FirebaseClaims>(token, &key, &signature_alone).map_err(|_| invalid())?.claims;
        let phone = claims.proven_phone(&self.project, now).map_err(SubmitFirebaseError::Token)?;
        let (signed, _) = token.rsplit_once('.').ok_or_else(invalid)?;
        let digest = TokenDigest::new(URL_SAFE_NO_PAD.encode(Sha256::digest(signed)));
        Ok(Verified { phone, digest, until: claims.good_until() })
    }

    /// A key by its id. Who comes while another asks for the keys waits for that answer.
    async fn key(&self, id: &str, now: Timestamp) -> Result<Option<DecodingKey>, Unavailable> {
        let mut keys = self.keys.lock().await;
        let is_asked_for = now >= keys.fresh_until || !keys.by_id.contains_key(id);
        if is_asked_for && now >= keys.ask_again_at {
            let asked = self.refresh(&mut keys, now).await;
            if now >= keys.fresh_until.plus(STALE_SECONDS) {
                asked?;
            }
        }
        if now >= keys.fresh_until.plus(STALE_SECONDS) {
            return Err(Unavailable::new("read Firebase's keys", "they were out of reach a moment ago"));
        }
        Ok(keys.by_id.get(id).cloned())
    }

    async fn refresh(&self, keys: &mut Keys, now: Timestamp) -> Result<(), Unavailable> {
        keys.ask_again_at = now.plus(PAUSE_AFTER_FAILURE_SECONDS);
        let fetched = timeout(TIMEOUT, self.fetch()).await;
        let (set, lifetime_seconds) = fetched.map_err(|late| Unavailable::new("read Firebase's keys", late))??;
        let key = |key: Key| Some((key.kid, DecodingKey::from_rsa_components(&key.n, &key.e).ok()?));
        keys.by_id = set.keys.into_iter().filter_map(key).collect();
        keys.fresh_until = now.plus(lifetime_seconds);
        keys.ask_again_at = now.plus(PAUSE_SECONDS);
        Ok(())
    }

    async fn fetch(&self) -> Result<(KeySet, u32), Unavailable> {
        const WHAT: &str = "read Firebase's keys";
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(self.url.as_str()).map_err(|error| Unavailable::new(WHAT, error))?;
        let response = self.connector.call(request).await.map_err(|error| Unavailable::new(WHAT, error))?;
        if response.status().as_u16() != 200 {
            return Err(Unavailable::new(WHAT, format!("status {}", response.status().as_u16())));
        }
        let lifetime_seconds = response.headers().get("cache-control").and_then(max_age).unwrap_or(UNSAID_SECONDS);
        let mut body = ByteStream::new(response.into_body());
        let mut bytes = Vec::new();
        while let Some(part) = body.next().await {
            bytes.extend_from_slice(&part.map_err(|error| Unavailable::new(WHAT, error))?);
            if bytes.len() > LARGEST_KEY_SET {
                return Err(Unavailable::new(WHAT, "more than any key set has"));
            }
        }
        let set = serde_json::from_slice(&bytes).map_err(|_| Unavailable::new(WHAT, "no key set came"))?;
        Ok((set, lifetime_seconds))
    }
}

/// For how long an answer may be used, of what its `Cache-Control` says.
fn max_age(cache_control: &str) -> Option<u32> {
    let directives = || cache_control.split(',').map(str::trim);
    if directives()
        .any(|directive| directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache"))
    {
        return Some(0);
    }
    let seconds =
        directives().find_map(|directive| directive.to_ascii_lowercase().strip_prefix("max-age=")?.parse().ok());
    seconds.map(|seconds: u32| seconds.min(LONGEST_SECONDS))
}
