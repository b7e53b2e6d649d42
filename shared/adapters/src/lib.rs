//! Everything that touches the outside: configuration, DynamoDB, Secrets Manager, SMS gateways, Google, HTTP and the log.
//!
//! Imports run one way: `config` <- {`clock`, `random`, `telemetry`, `expiring`, `tokens`,
//! `device_proof`, `people`} <- `https` <- `app` <-
//! {`dynamodb`, `event_bus`, `secrets`, `sms`, `google`} <- `http`. `sms` and `google` also import `secrets`. Nothing here decides what
//! the domain decides.

pub mod app;
pub mod clock;
pub mod config;
pub mod device_proof;
pub mod dynamodb;
#[cfg(feature = "events")]
pub mod event_bus;
pub mod expiring;
pub mod google;
pub mod http;
pub mod https;
pub mod people;
pub mod random;
pub mod secrets;
pub mod sms;
pub mod telemetry;
pub mod tokens;
