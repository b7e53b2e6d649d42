//! The system as a whole: its house, its deployment, its round trips, its restarts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod bounds;
mod events;
mod growth;
mod house;
mod imports;
mod layers;
mod local;
mod members;
mod organization;
mod restart;
mod rotate_keys;
mod round_trips;
mod sample;
mod template;
mod units;
mod wire;
mod workspace;
