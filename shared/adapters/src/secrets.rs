//! Secrets, from Secrets Manager, kept in the process for a while. None has a `Debug` that shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::code::{CodeKey, CodeKeyVersion};
use domain::ids::KeyId;
use domain::send_otp::CodeKeys;
use domain::signing_keys::{PUBLISHED_BEFORE_USE_SECONDS, PublicKey};
use domain::{Timestamp, Unavailable};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::app::{App, Clock};
use crate::config::{ConfigError, Secret};
use crate::random;
use crate::telemetry::trace;
use crate::tokens::SigningKey;

/// For how long a secret that was read is used without asking again. Seconds.
const CACHE_SECONDS: u32 = 300;
/// For how long one is still used when Secrets Manager does not answer. Seconds.
const STALE_SECONDS: u32 = 3_600;

/// The label of the version that is in use.
const CURRENT: &str = "AWSCURRENT";

/// One version of a secret.
#[derive(Clone)]
struct Version {
    id: String,
    text: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Stage(&'static str),
    Id(String),
}

/// What was read of a secret, and when; that there is no such version, too.
type Versions = BTreeMap<Which, (Timestamp, Option<Version>)>;

/// One secret.
#[derive(Clone)]
pub struct SecretReader {
    client: Client,
    name: Arc<str>,
    clock: Clock,
    read: Arc<Mutex<Versions>>,
}

impl SecretReader {
    fn new(app: &App, secret: Secret) -> Result<Self, ConfigError> {
        Ok(Self {
            client: app.secrets_manager().clone(),
            name: app.config.secret(secret)?.into(),
            clock: app.clock.clone(),
            read: Arc::default(),
        })
    }

    /// The version asked for, from the cache if it is young enough. `None` if there is no such version.
    async fn get(&self, which: Which) -> Result<Option<Version>, Unavailable> {
        let now = self.clock.now();
        // Held while asking: one question at a time for all who wait.
        let mut read = self.read.lock().await;
        let cached = read.get(&which);
        if let Some((read_at, version)) = cached
            && now < read_at.plus(CACHE_SECONDS)
        {
            return Ok(version.clone());
        }
        match self.fetch(&which).await {
            Ok(version) => {
                read.retain(|_, (read_at, _)| now < read_at.plus(STALE_SECONDS));
                read.insert(which, (now, version.clone()));
                Ok(version)
            }
            Err(error) => match cached {
                Some((read_at, version)) if now < read_at.plus(STALE_SECONDS) => Ok(version.clone()),
                _ => Err(error),
            },
        }
    }

    async fn fetch(&self, which: &Which) -> Result<Option<Version>, Unavailable> {
        let request = self.client.get_secret_value().secret_id(self.name.as_ref());
        let request = match which {
            Which::Stage(stage) => request.version_stage(*stage),
            Which::Id(id) => request.version_id(id),
        };
        match request.send().await {
            Ok(answer) => {
                let id = answer.version_id.unwrap_or_default();
                let text = answer.secret_string.ok_or_else(|| Unavailable::new("read a secret", "it is not text"))?;
                Ok(Some(Version { id, text }))
            }
            Err(error) => match error.into_service_error() {
                GetSecretValueError::ResourceNotFoundException(_) => Ok(None),
                other => Err(Unavailable::new("read a secret", other)),
            },
        }
    }

    async fn current(&self) -> Result<Version, Unavailable> {
        let version = self.get(Which::Stage(CURRENT)).await?;
        version.ok_or_else(|| Unavailable::new("read a secret", "it has no current version"))
    }
}

/// Reads the current versions of several secrets ahead, by one request over one connection. Of what it does not bring
/// the first event asks by itself, and says what is wrong.
pub async fn read_ahead(readers: &[&SecretReader]) {
    let Some(SecretReader { client, clock, .. }) = readers.first() else { return };
    let names = readers.iter().map(|reader| reader.name.to_string()).collect();
    let now = clock.now();
    let Ok(answer) = client.batch_get_secret_value().set_secret_id_list(Some(names)).send().await else { return };
    for value in answer.secret_values.unwrap_or_default() {
        let is_of = |name: &str| value.arn.as_deref() == Some(name) || value.name.as_deref() == Some(name);
        let reader = readers.iter().find(|reader| is_of(&reader.name));
        if let (Some(reader), Some(id), Some(text)) = (reader, value.version_id, value.secret_string) {
            reader.read.lock().await.insert(Which::Stage(CURRENT), (now, Some(Version { id, text })));
        }
    }
}

/// The keys that derive codes.
#[derive(Clone)]
pub struct CodeKeySecret(SecretReader);

impl CodeKeySecret {
    /// Of the configured secret.
    ///
    /// # Errors
    /// When none is configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        SecretReader::new(app, Secret::CodeKey).map(Self)
    }

    /// What reads it.
    pub fn reader(&self) -> &SecretReader {
        &self.0
    }

    fn key(version: Version) -> Result<CodeKey, Unavailable> {
        CodeKey::new(CodeKeyVersion::new(version.id), version.text.into_bytes())
            .map_err(|weak| Unavailable::new("read the code key", weak))
    }
}

impl CodeKeys for CodeKeySecret {
    async fn current(&self) -> Result<CodeKey, Unavailable> {
        Self::key(self.0.current().await?)
    }

    async fn version(&self, version: &CodeKeyVersion) -> Result<CodeKey, Unavailable> {
        let current = self.0.current().await?;
        if current.id == version.as_str() {
            return Self::key(current);
        }
        let older = self.0.get(Which::Id(version.as_str().to_owned())).await?;
        Self::key(older.ok_or_else(|| Unavailable::new("read the code key", "that version is gone"))?)
    }
}

/// What a version of the signing secret holds.
#[derive(Serialize, Deserialize)]
pub struct SigningKeyPair {
    kid: String,
    /// PKCS #8, base64.
    private_key: String,
    x: String,
    y: String,
    /// From when it signs; before, verifiers may not have read it yet.
    signs_from: i64,
}

impl std::fmt::Debug for SigningKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKeyPair(…)")
    }
}

impl SigningKeyPair {
    /// Makes a new key on P-256.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(now: Timestamp) -> Result<Self, Unavailable> {
        let failed = |_| Unavailable::new("make a signing key", "no randomness");
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref())
            .map_err(|error| Unavailable::new("make a signing key", error.to_string()))?;
        // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1 §2.3.3).
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(Unavailable::new("make a signing key", "not an uncompressed point"));
        };
        Ok(Self {
            kid: KeyId::from_random(random::bytes()?).to_string(),
            private_key: STANDARD.encode(pkcs8.as_ref()),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
            signs_from: now.plus(PUBLISHED_BEFORE_USE_SECONDS).seconds(),
        })
    }

    /// As the secret holds it.
    ///
    /// # Errors
    /// Never, in practice.
    pub fn to_secret(&self) -> Result<String, Unavailable> {
        serde_json::to_string(self).map_err(|error| Unavailable::new("write a signing key", error))
    }

    /// As the secret holds it; `None` if that is not a key, such as before the first rotation.
    pub fn from_secret(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What everyone may see of it.
    ///
    /// # Errors
    /// When the secret was tampered with.
    pub fn public(&self) -> Result<PublicKey, Unavailable> {
        let id = self
            .kid
            .parse()
            .map_err(|malformed: domain::ids::MalformedId| Unavailable::new("read a signing key", malformed))?;
        Ok(PublicKey { id, x: self.x.clone(), y: self.y.clone(), retires_at: None })
    }

    /// The key that signs.
    ///
    /// # Errors
    /// When the secret was tampered with.
    pub fn signing_key(&self) -> Result<SigningKey, Unavailable> {
        let pkcs8 =
            STANDARD.decode(&self.private_key).map_err(|_| Unavailable::new("read a signing key", "not base64"))?;
        SigningKey::from_pkcs8(self.public()?.id, &pkcs8)
    }
}

/// The key that signs now.
#[derive(Clone)]
pub struct SigningKeySecret {
    reader: SecretReader,
    /// The key that was taken in last.
    last: Arc<Mutex<Option<SigningKey>>>,
}

impl SigningKeySecret {
    /// Of the configured secret.
    ///
    /// # Errors
    /// When none is configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { reader: SecretReader::new(app, Secret::SigningKey)?, last: Arc::default() })
    }

    /// What reads it.
    pub fn reader(&self) -> &SecretReader {
        &self.reader
    }

    /// The newest key that every verifier has had time to read. The very first key signs at once: before it there was
    /// nothing to verify.
    ///
    /// # Errors
    /// Before the first rotation, or when Secrets Manager is out of reach.
    pub async fn signing_key(&self, now: Timestamp) -> Result<SigningKey, Unavailable> {
        let current = SigningKeyPair::from_secret(&self.reader.current().await?.text);
        let current = current
            .ok_or_else(|| Unavailable::new("read the signing key", "there is none yet: rotate the secret once"))?;
        if now < Timestamp::from_seconds(current.signs_from)
            && let Some(previous) = self.reader.get(Which::Stage("AWSPREVIOUS")).await?
            && let Some(previous) = SigningKeyPair::from_secret(&previous.text)
        {
            return self.take_in(&previous).await;
        }
        self.take_in(&current).await
    }

    async fn take_in(&self, pair: &SigningKeyPair) -> Result<SigningKey, Unavailable> {
        trace("a key signs", pair);
        let mut last = self.last.lock().await;
        match last.as_ref() {
            Some(key) if key.id().as_str() == pair.kid => Ok(key.clone()),
            _ => Ok(last.insert(pair.signing_key()?).clone()),
        }
    }
}

/// What the gateways know us by. The names are those the older system kept in its configuration file.
#[derive(Clone, Deserialize)]
pub struct GatewayCredentials {
    /// Sparrow's token.
    #[serde(rename = "SPARROW_TOKEN", default)]
    pub sparrow_token: String,
    /// The identity that Sparrow assigned: the sender.
    #[serde(rename = "SPARROW_IDENTITY", default)]
    pub sparrow_identity: String,
    /// Twilio's account.
    #[serde(rename = "TWILIO_ACCOUNT_SID", default)]
    pub twilio_account_sid: String,
    /// Twilio's token for it.
    #[serde(rename = "TWILIO_AUTH_TOKEN", default)]
    pub twilio_auth_token: String,
    /// The sender: a number, or a messaging service's SID (`MG…`).
    #[serde(rename = "TWILIO_FROM", default)]
    pub twilio_from: String,
}

/// The gateways' secret.
#[derive(Clone)]
pub struct GatewaySecret(SecretReader);

impl GatewaySecret {
    /// Of the configured secret.
    ///
    /// # Errors
    /// When none is configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        SecretReader::new(app, Secret::Gateways).map(Self)
    }

    /// What reads it.
    pub fn reader(&self) -> &SecretReader {
        &self.0
    }

    /// The credentials.
    ///
    /// # Errors
    /// When Secrets Manager is out of reach or the secret is not JSON.
    pub async fn credentials(&self) -> Result<GatewayCredentials, Unavailable> {
        let version = self.0.current().await?;
        // The parser's error would quote the secret.
        serde_json::from_str(&version.text)
            .map_err(|_| Unavailable::new("read the gateways' credentials", "the secret is not a JSON object of texts"))
    }
}

/// A service account of Google's, as its key file describes it
/// (<https://cloud.google.com/iam/docs/keys-create-delete#creating>).
#[derive(Clone, Deserialize)]
pub struct ServiceAccount {
    /// Its name.
    pub client_email: String,
    /// Its RSA key: PKCS #8, in PEM.
    pub private_key: String,
    /// Where it gets tokens.
    pub token_uri: String,
}

/// The secret with the service account that pushes.
#[derive(Clone)]
pub struct PushSecret(SecretReader);

impl PushSecret {
    /// Of the configured secret.
    ///
    /// # Errors
    /// When none is configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        SecretReader::new(app, Secret::Push).map(Self)
    }

    /// The account.
    ///
    /// # Errors
    /// When Secrets Manager is out of reach or the secret is no key file.
    pub async fn account(&self) -> Result<ServiceAccount, Unavailable> {
        let version = self.0.current().await?;
        // The parser's error would quote the secret.
        serde_json::from_str(&version.text)
            .map_err(|_| Unavailable::new("read the service account", "the secret is no key file of one"))
    }
}

/// The signing secret, as its rotation sees it: versions by stage, never cached.
#[derive(Clone)]
pub struct RotatingSecret {
    reader: SecretReader,
}

/// Where the versions of a secret under rotation stand.
#[derive(Clone, Debug, Default)]
pub struct Stages {
    /// The version that is current.
    pub current: Option<String>,
    /// The version that is pending.
    pub pending: Option<String>,
    /// Whether the secret has rotation switched on at all.
    pub rotation_enabled: bool,
    known: Vec<String>,
}

impl Stages {
    /// Whether there is a version of that name.
    pub fn knows(&self, version: &str) -> bool {
        self.known.iter().any(|known| known == version)
    }
}

impl RotatingSecret {
    /// Of the configured secret.
    ///
    /// # Errors
    /// When none is configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { reader: SecretReader::new(app, Secret::SigningKey)? })
    }

    /// Where its versions stand.
    ///
    /// # Errors
    /// When Secrets Manager is out of reach.
    pub async fn stages(&self) -> Result<Stages, Unavailable> {
        let request = self.reader.client.describe_secret().secret_id(self.reader.name.as_ref());
        let answer = request.send().await.map_err(|error| Unavailable::new("describe a secret", error))?;
        let mut stages = Stages { rotation_enabled: answer.rotation_enabled.unwrap_or(true), ..Stages::default() };
        for (version, labels) in answer.version_ids_to_stages.unwrap_or_default() {
            if labels.iter().any(|label| label == CURRENT) {
                stages.current = Some(version.clone());
            }
            if labels.iter().any(|label| label == "AWSPENDING") {
                stages.pending = Some(version.clone());
            }
            stages.known.push(version);
        }
        Ok(stages)
    }

    /// The key pair of a version; `None` if the version has no value, or none that is a key pair.
    ///
    /// # Errors
    /// When Secrets Manager is out of reach.
    pub async fn key_pair(&self, version: &str) -> Result<Option<SigningKeyPair>, Unavailable> {
        let found = self.reader.fetch(&Which::Id(version.to_owned())).await?;
        Ok(found.and_then(|found| SigningKeyPair::from_secret(&found.text)))
    }

    /// Stores a key pair as the pending version.
    ///
    /// # Errors
    /// When Secrets Manager is out of reach.
    pub async fn put_pending(&self, version: &str, pair: &SigningKeyPair) -> Result<(), Unavailable> {
        let request = self
            .reader
            .client
            .put_secret_value()
            .secret_id(self.reader.name.as_ref())
            .client_request_token(version)
            .secret_string(pair.to_secret()?)
            .version_stages("AWSPENDING");
        request.send().await.map_err(|error| Unavailable::new("store a signing key", error))?;
        Ok(())
    }

    /// Makes a version current, and the one that was current the previous one.
    ///
    /// # Errors
    /// When Secrets Manager is out of reach.
    pub async fn make_current(&self, version: &str, stages: &Stages) -> Result<(), Unavailable> {
        let request = self
            .reader
            .client
            .update_secret_version_stage()
            .secret_id(self.reader.name.as_ref())
            .version_stage(CURRENT)
            .move_to_version_id(version)
            .set_remove_from_version_id(stages.current.clone());
        request.send().await.map_err(|error| Unavailable::new("make a signing key current", error))?;
        Ok(())
    }
}
