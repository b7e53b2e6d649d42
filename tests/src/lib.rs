//! A world for each test: the whole system, its phones, and clients that call it over HTTP.
//!
//! Every answer must be one that `openapi.yaml` documents. When a world ends, neither the log nor a metric may contain a
//! code, a token or a phone number that was used in it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod contract;
pub mod device;
pub mod google;
mod log;
mod problems;
mod setup;
pub mod tap;
pub mod token;
mod world;

pub use contract::{document, problem_examples, takes};
pub use problems::{assert_refused, assert_refused_for_now, at_body, at_member};
pub use world::{Call, Person, Reply, Sent, World, at_once, person, with, wrong};
