//! The secret with the gateways' credentials. Its member names are those of the older system's configuration file.

use domain::values::gateway::Gateway;
use domain::values::unavailable::Unavailable;
use serde::Deserialize;

use super::reader::SecretReader;
use crate::app::App;
use crate::config::ConfigError;

#[derive(Clone, Deserialize)]
pub struct GatewayCredentials {
    #[serde(rename = "SPARROW_TOKEN", default)]
    pub sparrow_token: String,
    /// The sender that Sparrow assigned.
    #[serde(rename = "SPARROW_IDENTITY", default)]
    pub sparrow_identity: String,
    #[serde(rename = "TWILIO_ACCOUNT_SID", default)]
    pub twilio_account_sid: String,
    #[serde(rename = "TWILIO_AUTH_TOKEN", default)]
    pub twilio_auth_token: String,
    /// The sender: a number, or a messaging service's SID (`MG…`).
    #[serde(rename = "TWILIO_FROM", default)]
    pub twilio_from: String,
}

impl GatewayCredentials {
    /// Whether the secret was filled in for a gateway. SNS needs nothing but the function's own role.
    pub fn are_complete_for(&self, gateway: Gateway) -> bool {
        let members: &[&str] = match gateway {
            Gateway::Sparrow => &[&self.sparrow_token, &self.sparrow_identity],
            Gateway::Twilio => &[&self.twilio_account_sid, &self.twilio_auth_token, &self.twilio_from],
            Gateway::Sns => &[],
        };
        members.iter().all(|member| !member.trim().is_empty())
    }
}

#[derive(Clone)]
pub struct GatewaySecret(SecretReader);

impl GatewaySecret {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self(SecretReader::new(app, app.config.resources.gateway_secret()?)))
    }

    pub fn reader(&self) -> &SecretReader {
        &self.0
    }

    pub async fn credentials(&self) -> Result<GatewayCredentials, Unavailable> {
        parse(&self.0.current().await?.text)
    }

    /// The credentials, if they were read before.
    pub fn kept_credentials(&self) -> Option<GatewayCredentials> {
        parse(&self.0.kept()?.text).ok()
    }
}

fn parse(secret: &str) -> Result<GatewayCredentials, Unavailable> {
    // The parser's error would quote the secret.
    serde_json::from_str(secret)
        .map_err(|_| Unavailable::new("read the gateways' credentials", "the secret is not a JSON object of texts"))
}
