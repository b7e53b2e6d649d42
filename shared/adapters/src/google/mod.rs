//! Google's services: ID tokens of Firebase phone sign-in, and pushes by Firebase Cloud Messaging.

pub mod firebase;
pub mod push;
