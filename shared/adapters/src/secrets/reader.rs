//! Reads one secret, through a cache that outlives an outage of Secrets Manager for a while.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use crate::app::App;
use crate::clock::Clock;
use crate::expiring::{Expiring, Fetched};

/// How long a secret is used without asking again. Seconds.
pub const SECRET_CACHE_SECONDS: u32 = 300;
/// How long after it was read a secret is still used if Secrets Manager does not answer. Seconds.
const STALE_SECONDS: u32 = 3_600;
/// How long a stale secret is used without asking again after Secrets Manager failed. Seconds.
const RETRY_SECONDS: u32 = 5;
/// The most versions that are cached: the current and the previous one, and those of pending codes.
const CACHED: usize = 16;

/// The label of the version in use.
pub(super) const CURRENT: &str = "AWSCURRENT";
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";
pub(super) const PENDING: &str = "AWSPENDING";

/// One version of a secret.
#[derive(Clone)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) text: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    Stage(&'static str),
    Id(String),
}

#[derive(Clone)]
pub struct SecretReader {
    pub(super) client: Client,
    pub(super) name: Arc<str>,
    clock: Clock,
    /// None where the version does not exist.
    versions: Arc<Expiring<Which, Option<Version>>>,
}

impl SecretReader {
    /// `name` may be an ARN.
    pub(super) fn new(app: &App, name: &str) -> Self {
        Self {
            client: app.secrets_manager().clone(),
            name: name.into(),
            clock: app.clock.clone(),
            versions: Arc::new(
                Expiring::new(CACHED)
                    .stale_for(STALE_SECONDS.saturating_sub(SECRET_CACHE_SECONDS))
                    .retry_after(RETRY_SECONDS),
            ),
        }
    }

    /// A version; none if it does not exist, which is not cached: it may be about to be made.
    pub(super) async fn get(&self, which: Which) -> Result<Option<Version>, Unavailable> {
        let now = self.clock.now();
        let fetch = || async { Ok(fetched(self.fetch(&which).await?, now)) };
        self.versions.get(&which, now, fetch).await
    }

    /// Reads a version without the cache.
    pub(super) async fn fetch(&self, which: &Which) -> Result<Option<Version>, Unavailable> {
        let request = self.client.get_secret_value().secret_id(self.name.as_ref());
        let request = match which {
            Which::Stage(stage) => request.version_stage(*stage),
            Which::Id(id) => request.version_id(id),
        };
        match request.send().await {
            Ok(answer) => {
                let id = answer.version_id.unwrap_or_default();
                let text = answer.secret_string.ok_or_else(|| Unavailable::new("read a secret", "it is not a text"))?;
                Ok(Some(Version { id, text }))
            }
            Err(error) => match error.into_service_error() {
                GetSecretValueError::ResourceNotFoundException(_) => Ok(None),
                other => Err(Unavailable::new("read a secret", other)),
            },
        }
    }

    /// Forgets the current version, because its content is of no use yet.
    pub(super) async fn forget_current(&self) {
        self.versions.forget(&Which::Stage(CURRENT)).await;
    }

    /// The current version, if it was read before.
    pub(super) fn kept(&self) -> Option<Version> {
        self.versions.kept(&Which::Stage(CURRENT), self.clock.now())?
    }

    /// Reads the current version before the first event, which reports what is wrong.
    pub async fn read_ahead(&self) {
        let _ = self.current().await;
    }

    pub(super) async fn current(&self) -> Result<Version, Unavailable> {
        let version = self.get(Which::Stage(CURRENT)).await?;
        version.ok_or_else(|| Unavailable::new("read a secret", "it has no current version"))
    }
}

fn fetched(value: Option<Version>, now: Timestamp) -> Fetched<Option<Version>> {
    let fresh_until = if value.is_some() { now.plus(SECRET_CACHE_SECONDS) } else { now };
    Fetched { value, fresh_until }
}

/// Reads the current versions of several secrets by one request over one connection, before the first event. The first
/// event reads by itself what this request does not return, and reports what is wrong.
pub async fn read_together(readers: &[&SecretReader]) {
    let Some(SecretReader { client, clock, .. }) = readers.first() else { return };
    let names = readers.iter().map(|reader| reader.name.to_string()).collect();
    let now = clock.now();
    let Ok(answer) = client.batch_get_secret_value().set_secret_id_list(Some(names)).send().await else { return };
    for value in answer.secret_values.unwrap_or_default() {
        let is_of = |name: &str| value.arn.as_deref() == Some(name) || value.name.as_deref() == Some(name);
        let reader = readers.iter().find(|reader| is_of(&reader.name));
        if let (Some(reader), Some(id), Some(text)) = (reader, value.version_id, value.secret_string) {
            let version = fetched(Some(Version { id, text }), now);
            reader.versions.insert(&Which::Stage(CURRENT), version, now).await;
        }
    }
}
