//! A world of its own for each test: the whole system, the phones in it, and somebody who calls it over HTTP.
//!
//! Every answer that any test sees is held to `openapi.yaml`; every world, as it ends, holds the log to silence about
//! the codes, tokens and numbers that were used in it.

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
pub use world::{Call, Person, Reply, Sent, World, person, wrong};
