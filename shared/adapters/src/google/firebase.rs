//! Firebase's ID tokens: whether a key that Google publishes signed one. The domain decides what it must say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::rules::firebase_token::{FirebaseClaims, FirebaseProject, FirebaseRefusal, TokenDigest, VerifiedToken};
use domain::use_cases::submit_firebase::SubmitFirebaseError;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use jsonwebtoken::{Algorithm, DecodingKey, decode_header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::app::App;
use crate::expiring::{Expiring, Fetched};
use crate::https::HttpsClient;
use crate::tokens::signed_claims;

/// Longer than any ID token with its custom claims, which may have 1,000 bytes. A longer token is rejected without parsing.
const MAX_TOKEN_BYTES: usize = 4_096;
/// How long reading the keys may take.
const TIMEOUT: Duration = Duration::from_millis(3_000);
/// How long keys are used if the response has no `Cache-Control` (RFC 9111 §5.2). Seconds.
const DEFAULT_CACHE_SECONDS: u32 = 300;
/// The longest time that keys are used, whatever the response says. Seconds.
const MAX_CACHE_SECONDS: u32 = 86_400;
/// How long expired keys are still used if no newer ones can be read. Seconds.
const STALE_SECONDS: u32 = 3_600;
/// The shortest time between two successful requests for keys, because strangers can name keys that do not exist. Seconds.
const MIN_CACHE_SECONDS: u32 = 60;
/// The shortest time between a failed request for keys and the next one. Seconds.
const RETRY_SECONDS: u32 = 5;
const READ: &str = "read Firebase's keys";

/// Verifies ID tokens of one project.
#[derive(Clone)]
pub struct Firebase {
    project: FirebaseProject,
    url: String,
    https: HttpsClient,
    keys: Arc<Expiring<(), Arc<Keys>>>,
}

/// Google's keys, as they were last read.
struct Keys {
    by_id: BTreeMap<String, DecodingKey>,
    read_at: Timestamp,
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
    /// None if no project is configured.
    pub fn new(app: &App) -> Option<Self> {
        let project = app.config.google.firebase_project.clone()?;
        let keys = Expiring::new(1).stale_for(STALE_SECONDS).retry_after(RETRY_SECONDS).fails_fast();
        let url = app.config.google.firebase_jwks_url.clone();
        Some(Self { project, url, https: HttpsClient::new(), keys: Arc::new(keys) })
    }

    /// Reads the keys before the first token comes.
    pub async fn read_keys_ahead(&self, now: Timestamp) {
        let _ = self.keys(None, now).await;
    }

    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<VerifiedToken, SubmitFirebaseError> {
        let invalid = || SubmitFirebaseError::Token(FirebaseRefusal::Invalid);
        let header = Some(token).filter(|token| token.len() <= MAX_TOKEN_BYTES).map(decode_header);
        let header = header.and_then(Result::ok).ok_or_else(invalid)?;
        // One algorithm, no critical extensions (RFC 7515 §4.1.11), and one of Google's keys: never one that the token
        // contains or points to.
        if header.alg != Algorithm::RS256 || header.crit.is_some() {
            return Err(invalid());
        }
        let id = header.kid.ok_or_else(invalid)?;
        let keys = self.keys(Some(&id), now).await?;
        let key = keys.by_id.get(&id).ok_or_else(invalid)?;
        let claims: FirebaseClaims = signed_claims(token, key, Algorithm::RS256).ok_or_else(invalid)?;
        let phone = claims.proven_phone(&self.project, now).map_err(SubmitFirebaseError::Token)?;
        let (signed, _) = token.rsplit_once('.').ok_or_else(invalid)?;
        let digest = TokenDigest::new(URL_SAFE_NO_PAD.encode(Sha256::digest(signed)));
        let (authenticated_at, valid_until) = (claims.authenticated_at(), claims.valid_until());
        Ok(VerifiedToken { phone, digest, authenticated_at, valid_until })
    }

    /// The keys. They are read again if they lack `wanted`, at most once in [`MIN_CACHE_SECONDS`].
    async fn keys(&self, wanted: Option<&str>, now: Timestamp) -> Result<Arc<Keys>, Unavailable> {
        let is_sufficient = |Fetched { value: keys, .. }: &Fetched<Arc<Keys>>| {
            wanted.is_none_or(|id| keys.by_id.contains_key(id)) || now < keys.read_at.plus(MIN_CACHE_SECONDS)
        };
        self.keys.get_if(&(), now, is_sufficient, || self.fetch(now)).await
    }

    async fn fetch(&self, now: Timestamp) -> Result<Fetched<Arc<Keys>>, Unavailable> {
        let response = timeout(TIMEOUT, self.https.get(&self.url)).await;
        let response = response.map_err(|late| Unavailable::new(READ, late))?;
        let response = response.map_err(|error| Unavailable::new(READ, error))?;
        if response.status != 200 {
            return Err(Unavailable::new(READ, format!("status {}", response.status)));
        }
        let set = serde_json::from_slice::<KeySet>(&response.body);
        let set = set.map_err(|_| Unavailable::new(READ, "the response is not a key set"))?;
        let seconds = response.cache_control.as_deref().and_then(max_age).unwrap_or(DEFAULT_CACHE_SECONDS);
        let key = |key: Key| Some((key.kid, DecodingKey::from_rsa_components(&key.n, &key.e).ok()?));
        let keys = Keys { by_id: set.keys.into_iter().filter_map(key).collect(), read_at: now };
        Ok(Fetched { value: Arc::new(keys), fresh_until: now.plus(seconds.max(MIN_CACHE_SECONDS)) })
    }
}

/// How long a response may be used, by its `Cache-Control`. Seconds.
fn max_age(cache_control: &str) -> Option<u32> {
    let mut directives = cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    if directives.clone().any(|directive| directive == "no-store" || directive == "no-cache") {
        return Some(0);
    }
    let seconds: Option<u32> = directives.find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok());
    seconds.map(|seconds| seconds.min(MAX_CACHE_SECONDS))
}
