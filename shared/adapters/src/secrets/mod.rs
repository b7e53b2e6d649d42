//! Secrets, from Secrets Manager, cached in the process. No secret has a `Debug` that shows it.

mod code_key;
mod edge;
mod event_key;
mod gateways;
mod reader;
mod rotation;
mod service_account;
mod signing_key;

pub use self::code_key::{CodeKeySecret, is_code_key, new_code_key};
pub use self::edge::EdgeSecret;
pub use self::event_key::EventKeySecret;
pub use self::gateways::{GatewayCredentials, GatewaySecret};
pub use self::reader::{SECRET_CACHE_SECONDS, SecretReader, read_together};
pub use self::rotation::{RotatingSecret, SecretStatus, Stages};
pub use self::service_account::{PushSecret, ServiceAccount};
pub use self::signing_key::{SigningKeyPair, SigningKeySecret};
