//! The names of tables, secrets and the event bus. A function's environment has only those that it may use.

use super::variables::{ConfigError, Variables};

#[derive(Clone, Debug, Default)]
pub struct Resources {
    users_table: Option<String>,
    otps_table: Option<String>,
    sessions_table: Option<String>,
    settings_table: Option<String>,
    notices_table: Option<String>,
    signing_key_secret: Option<String>,
    code_key_secret: Option<String>,
    gateway_secret: Option<String>,
    push_secret: Option<String>,
    edge_secret: Option<String>,
    event_key_secret: Option<String>,
    event_bus: Option<String>,
}

fn set<'a>(name: &'a Option<String>, variable: &'static str, kind: &'static str) -> Result<&'a str, ConfigError> {
    name.as_deref().ok_or_else(|| ConfigError::new(variable, format!("expected the name of a {kind}")))
}

impl Resources {
    pub(super) fn read(variables: &Variables) -> Self {
        Self {
            users_table: variables.owned("USERS_TABLE"),
            otps_table: variables.owned("OTPS_TABLE"),
            sessions_table: variables.owned("SESSIONS_TABLE"),
            settings_table: variables.owned("SETTINGS_TABLE"),
            notices_table: variables.owned("NOTICES_TABLE"),
            signing_key_secret: variables.owned("SIGNING_KEY_SECRET"),
            code_key_secret: variables.owned("CODE_KEY_SECRET"),
            gateway_secret: variables.owned("GATEWAY_SECRET"),
            push_secret: variables.owned("PUSH_SECRET"),
            edge_secret: variables.owned("EDGE_SECRET"),
            event_key_secret: variables.owned("EVENT_KEY_SECRET"),
            event_bus: variables.owned("EVENT_BUS"),
        }
    }

    /// `USERS_TABLE`: users, and the locks that make phones and usernames unique.
    pub fn users_table(&self) -> Result<&str, ConfigError> {
        set(&self.users_table, "USERS_TABLE", "table")
    }

    /// `OTPS_TABLE`: challenges and counters.
    pub fn otps_table(&self) -> Result<&str, ConfigError> {
        set(&self.otps_table, "OTPS_TABLE", "table")
    }

    /// `SESSIONS_TABLE`: signed-in devices.
    pub fn sessions_table(&self) -> Result<&str, ConfigError> {
        set(&self.sessions_table, "SESSIONS_TABLE", "table")
    }

    /// `SETTINGS_TABLE`: organizations and public keys.
    pub fn settings_table(&self) -> Result<&str, ConfigError> {
        set(&self.settings_table, "SETTINGS_TABLE", "table")
    }

    /// `NOTICES_TABLE`: what users are told of their accounts, until it is delivered.
    pub fn notices_table(&self) -> Result<&str, ConfigError> {
        set(&self.notices_table, "NOTICES_TABLE", "table")
    }

    /// `SIGNING_KEY_SECRET`: the name or ARN of the secret with the key that signs tokens; rotated.
    pub fn signing_key_secret(&self) -> Result<&str, ConfigError> {
        set(&self.signing_key_secret, "SIGNING_KEY_SECRET", "secret, or its ARN")
    }

    /// `CODE_KEY_SECRET`: the name or ARN of the secret with the key that derives codes.
    pub fn code_key_secret(&self) -> Result<&str, ConfigError> {
        set(&self.code_key_secret, "CODE_KEY_SECRET", "secret, or its ARN")
    }

    /// `GATEWAY_SECRET`: the name or ARN of the secret with the gateways' credentials.
    pub fn gateway_secret(&self) -> Result<&str, ConfigError> {
        set(&self.gateway_secret, "GATEWAY_SECRET", "secret, or its ARN")
    }

    /// `PUSH_SECRET`: the name or ARN of the secret with the service account that pushes.
    pub fn push_secret(&self) -> Result<&str, ConfigError> {
        set(&self.push_secret, "PUSH_SECRET", "secret, or its ARN")
    }

    /// `EDGE_SECRET`: the name or ARN of the secret that the edge shows; none where there is no edge.
    pub fn edge_secret(&self) -> Option<&str> {
        self.edge_secret.as_deref()
    }

    /// `EVENT_KEY_SECRET`: the name or ARN of the secret with the key of the digests in events.
    pub fn event_key_secret(&self) -> Result<&str, ConfigError> {
        set(&self.event_key_secret, "EVENT_KEY_SECRET", "secret, or its ARN")
    }

    /// `EVENT_BUS`: the name or ARN of the event bus.
    pub fn event_bus(&self) -> Result<&str, ConfigError> {
        set(&self.event_bus, "EVENT_BUS", "event bus, or its ARN")
    }
}
