//! Rotates the signing key and the code key in Secrets Manager's four steps. The first rotation makes the first signing key.
//!
//! Each step is idempotent: running it again changes nothing.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html>

use adapters::app::App;
use adapters::config::ConfigError;
use adapters::dynamodb::{SettingsTable, Store};
use adapters::secrets::{RotatingSecret, SECRET_CACHE_SECONDS, SigningKeyPair, Stages, is_code_key, new_code_key};
use adapters::telemetry::{self, causes, with_request_id};
use adapters::tokens::{VerifyingKeys, new_token_ids};
use aws_lambda_events::secretsmanager::SecretsManagerSecretRotationEvent;
use domain::rules::session::{Device, Session};
use domain::rules::signing_keys::NotReady;
use domain::rules::token::Grant;
use domain::rules::user::{Rights, Roles};
use domain::values::ids::{SessionId, UserId};
use domain::values::time::{DAY, Timestamp};
use lambda_http::lambda_runtime::{Error, LambdaEvent};
use serde::Deserialize;

#[derive(Clone)]
pub struct RotateKeys {
    app: App,
    store: Store<SettingsTable>,
    signing_key: RotatingSecret,
    code_key: RotatingSecret,
}

/// What calls the function.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// Secrets Manager, for one step of a rotation.
    Rotation(SecretsManagerSecretRotationEvent),
    /// EventBridge, every day.
    Clock {
        #[serde(rename = "detail-type")]
        _kind: String,
    },
}

#[derive(Clone, Copy)]
enum Key {
    Signing,
    Code,
}

impl RotateKeys {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let resources = &app.config.resources;
        Ok(Self {
            app: app.clone(),
            store: Store::new(app)?,
            signing_key: RotatingSecret::new(app, resources.signing_key_secret()?),
            code_key: RotatingSecret::new(app, resources.code_key_secret()?),
        })
    }

    /// # Errors
    /// If the step is not possible now, or a dependency is unavailable. Secrets Manager retries.
    pub async fn handle(&self, event: LambdaEvent<Event>) -> Result<(), Error> {
        let LambdaEvent { payload, context } = event;
        let work = async {
            match payload {
                Event::Rotation(step) => self.rotate(step).await,
                Event::Clock { .. } => self.report_ages().await,
            }
        };
        with_request_id(&context.request_id, work).await
    }

    /// Counts the days since each key's rotation, so that an alarm notices a rotation that does not happen.
    async fn report_ages(&self) -> Result<(), Error> {
        let now = self.app.clock.now();
        for (key, secret) in [("signing", &self.signing_key), ("code", &self.code_key)] {
            if let Some(rotated_at) = secret.stages().await?.rotated_at {
                telemetry::days_since_rotation(key, u64::from(rotated_at.seconds_until(now) / DAY), now);
            }
        }
        Ok(())
    }

    async fn rotate(&self, event: SecretsManagerSecretRotationEvent) -> Result<(), Error> {
        let result = self.run_step(&event).await;
        if let Err(error) = &result {
            tracing::error!(step = event.step, cause = causes(error.as_ref()), "rotation step failed");
        }
        result
    }

    async fn run_step(&self, event: &SecretsManagerSecretRotationEvent) -> Result<(), Error> {
        let version = event.client_request_token.as_str();
        let (key, secret) = if self.signing_key.is(&event.secret_id) {
            (Key::Signing, &self.signing_key)
        } else if self.code_key.is(&event.secret_id) {
            (Key::Code, &self.code_key)
        } else {
            return Err("this function rotates other secrets".into());
        };
        if !["createSecret", "setSecret", "testSecret", "finishSecret"].contains(&event.step.as_str()) {
            return Err("unknown step".into());
        }
        let stages = secret.stages().await?;
        if !stages.rotation_enabled {
            return Err("rotation is not switched on for this secret".into());
        }
        if stages.current.as_deref() == Some(version) {
            tracing::info!(step = event.step, "this version is already current");
            // The note may have failed after the version became current.
            return match (event.step.as_str(), key) {
                ("finishSecret", Key::Signing) => self.note_that_it_signs(&self.pending(version).await?).await,
                _ => Ok(()),
            };
        }
        if event.step != "createSecret" && stages.pending.as_deref() != Some(version) {
            return Err("this version is not pending".into());
        }
        match (event.step.as_str(), key) {
            ("createSecret", Key::Signing) => self.create_signing_key(version, &stages).await?,
            ("createSecret", Key::Code) => self.create_code_key(version).await?,
            // "Set" means publish: verifiers read the key before it signs anything.
            ("setSecret", Key::Signing) => self.publish(&self.pending(version).await?).await?,
            ("testSecret", Key::Signing) => self.test(&self.pending(version).await?).await?,
            ("testSecret", Key::Code) if !self.has_code_key(version).await? => {
                return Err("the pending version holds no key".into());
            }
            // A code names the version of its key, so nobody needs to know the key before it is used.
            ("setSecret" | "testSecret", Key::Code) => {}
            (_, Key::Signing) => {
                let pair = self.pending(version).await?;
                self.check_is_known(&pair).await?;
                secret.make_current(version, &stages).await?;
                self.note_that_it_signs(&pair).await?;
            }
            (_, Key::Code) => secret.make_current(version, &stages).await?,
        }
        tracing::info!(step = event.step, "rotation step done");
        Ok(())
    }

    async fn create_signing_key(&self, version: &str, stages: &Stages) -> Result<(), Error> {
        if self.key_pair(version).await?.is_none() {
            let now = self.app.clock.now();
            self.check_current_signs(stages, now).await?;
            let pair = SigningKeyPair::generate(now)?;
            self.signing_key.put_pending(version, pair.to_secret()?).await?;
        }
        Ok(())
    }

    /// Until the current key signs, the previous one does. A further rotation would put the current one in its place too early.
    async fn check_current_signs(&self, stages: &Stages, now: Timestamp) -> Result<(), Error> {
        let (Some(current), Some(previous)) = (&stages.current, &stages.previous) else { return Ok(()) };
        let Some(current) = self.key_pair(current).await?.filter(|current| now < current.signs_from()) else {
            return Ok(());
        };
        // Without a previous key, the current one signs at once.
        if self.key_pair(previous).await?.is_none() {
            return Ok(());
        }
        let wait = now.seconds_until(current.signs_from());
        Err(format!("the newest key does not sign yet: rotate again in {wait} seconds").into())
    }

    async fn create_code_key(&self, version: &str) -> Result<(), Error> {
        if !self.has_code_key(version).await? {
            self.code_key.put_pending(version, new_code_key()?).await?;
        }
        Ok(())
    }

    async fn has_code_key(&self, version: &str) -> Result<bool, Error> {
        Ok(self.code_key.value(version).await?.is_some_and(|value| is_code_key(&value)))
    }

    /// The key pair of a version; none if the version has no value, or a value that is not a key pair.
    async fn key_pair(&self, version: &str) -> Result<Option<SigningKeyPair>, Error> {
        Ok(self.signing_key.value(version).await?.as_deref().and_then(SigningKeyPair::from_secret))
    }

    async fn pending(&self, version: &str) -> Result<SigningKeyPair, Error> {
        self.key_pair(version).await?.ok_or_else(|| "the pending version holds no key".into())
    }

    async fn publish(&self, pair: &SigningKeyPair) -> Result<(), Error> {
        let now = self.app.clock.now();
        Ok(self.store.publish_key(&pair.public(now)?, now, &self.app.config.limits).await?)
    }

    /// Refuses a key that some verifiers may not have read yet: an earlier step took long, or was repeated late.
    async fn check_is_known(&self, pair: &SigningKeyPair) -> Result<(), Error> {
        let now = self.app.clock.now();
        match self.store.key_set().await?.may_sign(&pair.id()?, now.max(pair.signs_from())) {
            Ok(()) => Ok(()),
            Err(NotReady::JustPublished { until }) => {
                let wait = now.seconds_until(until);
                Err(format!("verifiers may not have read the new key yet: rotate again in {wait} seconds").into())
            }
            Err(not_published) => Err(not_published.into()),
        }
    }

    /// So that an operator knows when an older key no longer signs.
    async fn note_that_it_signs(&self, pair: &SigningKeyPair) -> Result<(), Error> {
        let everywhere_from = self.app.clock.now().plus(SECRET_CACHE_SECONDS).max(pair.signs_from());
        Ok(self.store.key_signs(&pair.id()?, everywhere_from).await?)
    }

    /// Signs a token with the new key and verifies it with the published keys.
    async fn test(&self, pair: &SigningKeyPair) -> Result<(), Error> {
        let (now, limits) = (self.app.clock.now(), &self.app.config.limits);
        let (user, session) = (UserId::from_random([0; 16]), SessionId::from_random([0; 16]));
        let organization = self.app.config.default_organization.id.clone();
        let session = Session::open(user, session, organization, Device::default(), now, limits);
        let (roles, ids) = (Roles::new(), new_token_ids()?);
        let rights = Rights { roles: &roles, claims: None };
        let claims = self.app.config.issuer.tokens(&session, rights, Grant::RefreshToken, ids, now, limits);
        let signed = pair.signing_key()?.sign(&claims)?;
        let published = VerifyingKeys::new(&self.store.key_set().await?, now);
        match published.access(signed.access_token()) {
            Ok(read) if read == claims.access => Ok(()),
            _ => Err("a token signed with the new key does not verify with the published keys".into()),
        }
    }
}
