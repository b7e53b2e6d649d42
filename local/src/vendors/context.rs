//! What the vendors share: the inbox, the secrets with their credentials, and the form of their requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::inbox::Inbox;
use crate::secrets_manager::store::SecretsManager;

/// The members of a form or of a query.
pub type Fields = BTreeMap<String, String>;

pub struct Context {
    pub inbox: Arc<Inbox>,
    pub secrets: Arc<SecretsManager>,
    /// The name of the secret with the gateways' credentials.
    pub gateway_secret: Option<String>,
}

impl Context {
    /// Whether `value` is the credential that the functions would send under this name.
    pub fn is_gateway_credential(&self, name: &str, value: &str) -> bool {
        let secret = self.gateway_secret.as_deref().and_then(|secret| self.secrets.current(secret));
        let credentials: Option<Value> = secret.and_then(|secret| serde_json::from_str(&secret).ok());
        let expected = credentials.as_ref().and_then(|credentials| credentials.get(name)).and_then(Value::as_str);
        expected == Some(value)
    }
}
