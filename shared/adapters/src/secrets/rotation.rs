//! The signing secret as its rotation sees it: versions by stage, never cached.

use domain::values::unavailable::Unavailable;

use super::reader::{CURRENT, PENDING, SecretReader, Which};
use super::signing_key::SigningKeyPair;
use crate::app::App;
use crate::config::ConfigError;

#[derive(Clone)]
pub struct RotatingSecret {
    reader: SecretReader,
}

/// Which versions of a secret are current and pending.
#[derive(Clone, Debug, Default)]
pub struct Stages {
    pub current: Option<String>,
    pub pending: Option<String>,
    pub rotation_enabled: bool,
}

impl RotatingSecret {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { reader: SecretReader::new(app, app.config.resources.signing_key_secret()?) })
    }

    pub async fn stages(&self) -> Result<Stages, Unavailable> {
        let request = self.reader.client.describe_secret().secret_id(self.reader.name.as_ref());
        let answer = request.send().await.map_err(|error| Unavailable::new("describe a secret", error))?;
        let versions = answer.version_ids_to_stages.unwrap_or_default();
        let with = |stage: &str| {
            let found = versions.iter().find(|(_, stages)| stages.iter().any(|label| label == stage));
            found.map(|(version, _)| version.clone())
        };
        Ok(Stages {
            current: with(CURRENT),
            pending: with(PENDING),
            rotation_enabled: answer.rotation_enabled.unwrap_or(true),
        })
    }

    /// The key pair of a version; none if the version has no value, or a value that is not a key pair.
    pub async fn key_pair(&self, version: &str) -> Result<Option<SigningKeyPair>, Unavailable> {
        let found = self.reader.fetch(&Which::Id(version.to_owned())).await?;
        Ok(found.and_then(|found| SigningKeyPair::from_secret(&found.text)))
    }

    /// Stores a key pair as the pending version.
    pub async fn put_pending(&self, version: &str, pair: &SigningKeyPair) -> Result<(), Unavailable> {
        let request = self
            .reader
            .client
            .put_secret_value()
            .secret_id(self.reader.name.as_ref())
            .client_request_token(version)
            .secret_string(pair.to_secret()?)
            .version_stages(PENDING);
        request.send().await.map(drop).map_err(|error| Unavailable::new("store a signing key", error))
    }

    /// Makes a version the current one, and the current one the previous one.
    pub async fn make_current(&self, version: &str, stages: &Stages) -> Result<(), Unavailable> {
        let request = self
            .reader
            .client
            .update_secret_version_stage()
            .secret_id(self.reader.name.as_ref())
            .version_stage(CURRENT)
            .move_to_version_id(version)
            .set_remove_from_version_id(stages.current.clone());
        request.send().await.map(drop).map_err(|error| Unavailable::new("make a signing key current", error))
    }
}
