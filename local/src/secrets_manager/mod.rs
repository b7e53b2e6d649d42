//! An embedded AWS Secrets Manager: the secrets (`store`) and their rotation. Its HTTP API is among the vendors.

pub mod rotation;
pub mod store;
