//! The secret with Google's service account that pushes.

use domain::values::unavailable::Unavailable;
use serde::Deserialize;

use super::reader::SecretReader;
use crate::app::App;
use crate::config::ConfigError;

/// A key file of a service account (<https://cloud.google.com/iam/docs/keys-create-delete#creating>).
#[derive(Clone, Deserialize)]
pub struct ServiceAccount {
    pub client_email: String,
    /// An RSA key: PKCS #8, in PEM.
    pub private_key: String,
    pub token_uri: String,
}

#[derive(Clone)]
pub struct PushSecret(SecretReader);

impl PushSecret {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self(SecretReader::new(app, app.config.resources.push_secret()?)))
    }

    pub async fn account(&self) -> Result<ServiceAccount, Unavailable> {
        let version = self.0.current().await?;
        // The parser's error would quote the secret.
        serde_json::from_str(&version.text)
            .map_err(|_| Unavailable::new("read the service account", "the secret is not a key file of one"))
    }
}
