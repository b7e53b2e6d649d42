//! The secret with the key of the digests that stand for numbers in events.

use domain::rules::event::DigestKey;
use domain::values::unavailable::Unavailable;

use super::reader::SecretReader;
use crate::app::App;
use crate::config::ConfigError;

#[derive(Clone)]
pub struct EventKeySecret(SecretReader);

impl EventKeySecret {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self(SecretReader::new(app, app.config.resources.event_key_secret()?)))
    }

    pub async fn key(&self) -> Result<DigestKey, Unavailable> {
        let secret = self.0.current().await?.text.into_bytes();
        DigestKey::new(secret).map_err(|weak| Unavailable::new("read the key of events", weak))
    }
}
