//! A secret as its rotation sees it: versions by stage, never cached.

use aws_smithy_types::DateTime;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::reader::{CURRENT, PENDING, PREVIOUS, SecretReader, Which};
use crate::app::App;

#[derive(Clone)]
pub struct RotatingSecret {
    reader: SecretReader,
}

/// Which versions of a secret are current and pending.
#[derive(Clone, Debug, Default)]
pub struct Stages {
    pub current: Option<String>,
    pub previous: Option<String>,
    pub pending: Option<String>,
    pub rotation_enabled: bool,
    /// Of the last rotation, or of the secret's creation.
    pub rotated_at: Option<Timestamp>,
}

/// What Secrets Manager says of a secret's age. Nothing of its content.
#[derive(Clone, Debug, Default)]
pub struct SecretStatus {
    pub rotation_enabled: bool,
    pub changed_at: Option<Timestamp>,
    pub rotated_at: Option<Timestamp>,
    /// None if no rotation is scheduled.
    pub rotates_at: Option<Timestamp>,
    /// Whether a rotation began and has not ended.
    pub is_rotating: bool,
}

impl RotatingSecret {
    /// The secret with this name or ARN.
    pub fn new(app: &App, name: &str) -> Self {
        Self { reader: SecretReader::new(app, name) }
    }

    /// Whether an event's secret is this one, which may be configured by its ARN or by its name. An ARN ends with the name, a
    /// hyphen and six characters.
    pub fn is(&self, given: &str) -> bool {
        let configured = self.reader.name.as_ref();
        let by_name = || given.rsplit_once(":secret:").and_then(|(_, rest)| rest.rsplit_once('-'));
        configured == given || by_name().is_some_and(|(name, suffix)| name == configured && suffix.len() == 6)
    }

    pub async fn stages(&self) -> Result<Stages, Unavailable> {
        let request = self.reader.client.describe_secret().secret_id(self.reader.name.as_ref());
        let answer = request.send().await.map_err(|error| Unavailable::new("describe a secret", error))?;
        let versions = answer.version_ids_to_stages.unwrap_or_default();
        let with = |stage: &str| {
            let found = versions.iter().find(|(_, stages)| stages.iter().any(|label| label == stage));
            found.map(|(version, _)| version.clone())
        };
        let rotated = answer.last_rotated_date.or(answer.created_date);
        Ok(Stages {
            current: with(CURRENT),
            previous: with(PREVIOUS),
            pending: with(PENDING),
            rotation_enabled: answer.rotation_enabled.unwrap_or(true),
            rotated_at: rotated.map(|at| Timestamp::from_seconds(at.secs())),
        })
    }

    /// Asks Secrets Manager to rotate the secret. It answers before the rotation ends.
    pub async fn rotate(&self) -> Result<(), Unavailable> {
        let request = self.reader.client.rotate_secret().secret_id(self.reader.name.as_ref());
        request.send().await.map(drop).map_err(|error| Unavailable::new("rotate the secret", error))
    }

    /// The value of a version; none if it has none yet.
    pub async fn value(&self, version: &str) -> Result<Option<String>, Unavailable> {
        Ok(self.reader.fetch(&Which::Id(version.to_owned())).await?.map(|found| found.text))
    }

    /// Stores the value of the pending version.
    pub async fn put_pending(&self, version: &str, value: String) -> Result<(), Unavailable> {
        let request = self
            .reader
            .client
            .put_secret_value()
            .secret_id(self.reader.name.as_ref())
            .client_request_token(version)
            .secret_string(value)
            .version_stages(PENDING);
        request.send().await.map(drop).map_err(|error| Unavailable::new("store a key", error))
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
        request.send().await.map(drop).map_err(|error| Unavailable::new("make a key current", error))
    }
}

impl SecretStatus {
    /// The status of any secret, by its name or ARN.
    pub async fn of(app: &App, name: &str) -> Result<Self, Unavailable> {
        let request = app.secrets_manager().describe_secret().secret_id(name);
        let answer = request.send().await.map_err(|error| Unavailable::new("describe a secret", error))?;
        let moment = |date: Option<DateTime>| date.map(|date| Timestamp::from_seconds(date.secs()));
        let versions = answer.version_ids_to_stages.unwrap_or_default();
        let is_only_pending = |stages: &Vec<String>| stages.iter().all(|stage| stage == PENDING) && !stages.is_empty();
        Ok(Self {
            rotation_enabled: answer.rotation_enabled.unwrap_or_default(),
            changed_at: moment(answer.last_changed_date),
            rotated_at: moment(answer.last_rotated_date),
            rotates_at: moment(answer.next_rotation_date),
            is_rotating: versions.values().any(is_only_pending),
        })
    }
}
