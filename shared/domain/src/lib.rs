//! The rules of Latchkey: what a code, a challenge, a session and a user are, and how each may change.
//!
//! Pure: no AWS, no HTTP, no clock, no environment and no global randomness. Time and fresh identifiers
//! come in as arguments; the outside world is reached through the port at the top of each use case.

pub mod account;
pub mod approval;
pub mod authorize;
pub mod challenge;
pub mod code;
pub mod firebase;
pub mod gateway;
pub mod ids;
pub mod language;
pub mod limits;
pub mod message;
mod numbering_plan;
pub mod organization;
pub mod phone;
pub mod pumping;
pub mod refresh;
pub mod send_otp;
pub mod session;
pub mod sign_in;
pub mod signing_keys;
pub mod submit_otp;
pub mod text;
pub mod time;
pub mod token;
pub mod unavailable;
pub mod user;
pub mod validate_otp;

pub use time::Timestamp;
pub use unavailable::Unavailable;
