//! Rules: what a challenge, a session, a user and a limit are, and how each may change. Pure and synchronous.

pub mod challenge;
pub mod code_key;
pub mod delayed_change;
pub mod device_keys;
pub mod device_proof;
pub mod due;
pub mod event;
pub mod failures;
pub mod firebase_token;
pub mod limits;
pub mod message;
pub mod notice;
pub mod organization;
pub mod pumping;
pub mod recovery;
pub mod session;
pub mod signing_keys;
pub mod token;
pub mod undo;
pub mod user;
