//! Everything that touches the world: DynamoDB, Secrets Manager, the SMS gateways, HTTP, configuration, the log.
//!
//! Invariants: environment variables are read in [`config`] alone; conditions of the store are written beside the
//! domain's transition they stand for; nothing here decides what the domain decides.

pub mod app;
pub mod body;
pub mod config;
pub mod firebase;
pub mod guard;
pub mod http;
mod https;
pub mod organization;
pub mod problem;
pub mod push;
pub mod random;
pub mod secrets;
pub mod sms;
pub mod store;
pub mod telemetry;
pub mod tokens;
pub mod warm;

pub use app::{App, Clock};
pub use config::{Config, ConfigError};
