//! The secret with the key that signs tokens.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::rules::signing_keys::{MADE_BEFORE_USE_SECONDS, PublicKey};
use domain::values::ids::{KeyId, MalformedId};
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::reader::{PREVIOUS, SecretReader, Which};
use crate::app::App;
use crate::config::ConfigError;
use crate::random;
use crate::telemetry::trace;
use crate::tokens::SigningKey;

const MAKE: &str = "make a signing key";
const READ: &str = "read a signing key";

/// The content of one version of the secret.
#[derive(Serialize, Deserialize)]
pub struct SigningKeyPair {
    kid: String,
    /// PKCS #8, base64.
    private_key: String,
    x: String,
    y: String,
    /// When the key starts to sign, in epoch seconds. Before, verifiers may not have read it yet.
    signs_from: i64,
}

impl fmt::Debug for SigningKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeyPair(…)")
    }
}

impl SigningKeyPair {
    /// A new key on P-256.
    pub fn generate(now: Timestamp) -> Result<Self, Unavailable> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
            .map_err(|_| Unavailable::new(MAKE, "no randomness"))?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref())
            .map_err(|error| Unavailable::new(MAKE, error.to_string()))?;
        // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1 §2.3.3).
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(Unavailable::new(MAKE, "not an uncompressed point"));
        };
        Ok(Self {
            kid: KeyId::from_random(random::bytes()?).to_string(),
            private_key: STANDARD.encode(pkcs8.as_ref()),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
            signs_from: now.plus(MADE_BEFORE_USE_SECONDS).seconds(),
        })
    }

    pub fn to_secret(&self) -> Result<String, Unavailable> {
        serde_json::to_string(self).map_err(|error| Unavailable::new("write a signing key", error))
    }

    /// None if the text is not a key, as before the first rotation.
    pub fn from_secret(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub fn id(&self) -> Result<KeyId, Unavailable> {
        self.kid.parse().map_err(|malformed: MalformedId| Unavailable::new(READ, malformed))
    }

    pub const fn signs_from(&self) -> Timestamp {
        Timestamp::from_seconds(self.signs_from)
    }

    /// The public half, to be published now.
    pub fn public(&self, now: Timestamp) -> Result<PublicKey, Unavailable> {
        let (x, y) = (self.x.clone(), self.y.clone());
        Ok(PublicKey { id: self.id()?, x, y, published_at: now, signs_from: None, retires_at: None })
    }

    pub fn signing_key(&self) -> Result<SigningKey, Unavailable> {
        let pkcs8 = STANDARD.decode(&self.private_key).map_err(|_| Unavailable::new(READ, "not base64"))?;
        SigningKey::from_pkcs8(self.id()?, &pkcs8)
    }
}

#[derive(Clone)]
pub struct SigningKeySecret {
    reader: SecretReader,
    /// The key that signed last, since parsing one takes longer than signing.
    parsed: Arc<Mutex<Option<SigningKey>>>,
}

impl SigningKeySecret {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let reader = SecretReader::new(app, app.config.resources.signing_key_secret()?);
        Ok(Self { reader, parsed: Arc::default() })
    }

    pub fn reader(&self) -> &SecretReader {
        &self.reader
    }

    /// The newest key that every verifier has had time to read. The very first key signs at once, because there were no
    /// tokens to verify before it.
    ///
    /// # Errors
    /// Before the first rotation, or if Secrets Manager is unreachable.
    pub async fn signing_key(&self, now: Timestamp) -> Result<SigningKey, Unavailable> {
        let Some(current) = SigningKeyPair::from_secret(&self.reader.current().await?.text) else {
            // The first rotation is about to make one.
            self.reader.forget_current().await;
            return Err(Unavailable::new(READ, "there is none yet: rotate the secret once"));
        };
        if now < current.signs_from()
            && let Some(previous) = self.reader.get(Which::Stage(PREVIOUS)).await?
            && let Some(previous) = SigningKeyPair::from_secret(&previous.text)
        {
            return self.parse(&previous).await;
        }
        self.parse(&current).await
    }

    async fn parse(&self, pair: &SigningKeyPair) -> Result<SigningKey, Unavailable> {
        trace("a key signs", pair);
        let mut parsed = self.parsed.lock().await;
        match parsed.as_ref() {
            Some(key) if key.id().as_str() == pair.kid => Ok(key.clone()),
            _ => Ok(parsed.insert(pair.signing_key()?).clone()),
        }
    }
}
