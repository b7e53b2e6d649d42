//! Rotates the signing key in Secrets Manager's four steps. The first rotation makes the first key.
//!
//! Each step is idempotent: running it again changes nothing.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html>

use adapters::app::App;
use adapters::config::ConfigError;
use adapters::dynamodb::{SettingsTable, Store};
use adapters::secrets::{RotatingSecret, SigningKeyPair};
use adapters::telemetry::causes;
use adapters::tokens::{VerifyingKeys, new_token_ids};
use aws_lambda_events::secretsmanager::SecretsManagerSecretRotationEvent;
use domain::rules::session::{Device, Session};
use domain::rules::token::Grant;
use domain::rules::user::Roles;
use domain::values::ids::{SessionId, UserId};
use domain::values::time::Timestamp;
use lambda_http::lambda_runtime::Error;

#[derive(Clone)]
pub struct RotateKeys {
    app: App,
    store: Store<SettingsTable>,
    secret: RotatingSecret,
}

impl RotateKeys {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), store: Store::new(app)?, secret: RotatingSecret::new(app)? })
    }

    /// # Errors
    /// If the step is not possible now, or a dependency is unavailable. Secrets Manager retries.
    pub async fn handle(&self, event: SecretsManagerSecretRotationEvent) -> Result<(), Error> {
        let result = self.run_step(&event).await;
        if let Err(error) = &result {
            tracing::error!(step = event.step, cause = causes(error.as_ref()), "rotation step failed");
        }
        result
    }

    async fn run_step(&self, event: &SecretsManagerSecretRotationEvent) -> Result<(), Error> {
        let version = event.client_request_token.as_str();
        if !is_same_secret(self.app.config.resources.signing_key_secret()?, &event.secret_id) {
            return Err("this function rotates another secret".into());
        }
        if !["createSecret", "setSecret", "testSecret", "finishSecret"].contains(&event.step.as_str()) {
            return Err("unknown step".into());
        }
        let stages = self.secret.stages().await?;
        if !stages.rotation_enabled {
            return Err("rotation is not switched on for this secret".into());
        }
        if stages.current.as_deref() == Some(version) {
            tracing::info!(step = event.step, "this version is already current");
            return Ok(());
        }
        if event.step != "createSecret" && stages.pending.as_deref() != Some(version) {
            return Err("this version is not pending".into());
        }
        let now = self.app.clock.now();
        match event.step.as_str() {
            "createSecret" => {
                if self.secret.key_pair(version).await?.is_none() {
                    self.secret.put_pending(version, &SigningKeyPair::generate(now)?).await?;
                }
            }
            // "Set" means publish: verifiers read the key before it signs anything.
            "setSecret" => {
                let public = self.pending(version).await?.public()?;
                self.store.publish_key(&public, now, &self.app.config.limits).await?;
            }
            "testSecret" => self.test(&self.pending(version).await?, now).await?,
            _ => self.secret.make_current(version, &stages).await?,
        }
        tracing::info!(step = event.step, "rotation step done");
        Ok(())
    }

    async fn pending(&self, version: &str) -> Result<SigningKeyPair, Error> {
        let pair = self.secret.key_pair(version).await?;
        pair.ok_or_else(|| "the pending version holds no key".into())
    }

    /// Signs a token with the new key and verifies it with the published keys.
    async fn test(&self, pair: &SigningKeyPair, now: Timestamp) -> Result<(), Error> {
        let limits = &self.app.config.limits;
        let (user, session) = (UserId::from_random([0; 16]), SessionId::from_random([0; 16]));
        let organization = self.app.config.default_organization.id.clone();
        let session = Session::open(user, session, organization, Device::default(), now, limits);
        let claims =
            self.app.config.issuer.tokens(&session, &Roles::new(), Grant::RefreshToken, new_token_ids()?, now, limits);
        let signed = pair.signing_key()?.sign(&claims)?;
        let published = VerifyingKeys::new(&self.store.key_set().await?, now);
        match published.access(signed.access_token()) {
            Ok(read) if read == claims.access => Ok(()),
            _ => Err("a token signed with the new key does not verify with the published keys".into()),
        }
    }
}

/// Whether an event's secret is the configured one. It may be configured by its ARN or by its name. An ARN ends with the
/// name, a hyphen and six characters.
fn is_same_secret(configured: &str, given: &str) -> bool {
    let by_name = || given.rsplit_once(":secret:").and_then(|(_, rest)| rest.rsplit_once('-'));
    configured == given || by_name().is_some_and(|(name, suffix)| name == configured && suffix.len() == 6)
}
