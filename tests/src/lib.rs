//! A world for each test: the whole system, its phones, and clients that call it over HTTP.
//!
//! Every answer must be one that `openapi.yaml` documents. When a world ends, neither the log nor a metric may contain a
//! code, a token or a phone number that was used in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod contract;
pub mod google;
mod log;
pub mod tap;
mod world;

pub use contract::{document, takes};
pub use world::{Call, Person, Reply, Sent, World, person, start_unthrottled, wrong};
