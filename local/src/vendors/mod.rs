//! Everything on `--aws-port`: Secrets Manager, SNS and EventBridge, and the stand-ins for the vendors with an HTTP API of their
//! own.

pub mod context;
pub mod eventbridge;
pub mod google;
pub mod router;
mod secrets_manager;
mod sns;
mod sparrow;
mod twilio;
