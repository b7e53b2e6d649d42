//! The system as a whole: its sources and dependencies, its deployment, its requests to AWS, its restarts.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod admin;
mod alarms;
mod bounds;
mod console;
mod dependencies;
mod doctor;
mod documents;
mod door;
mod events;
mod examples;
mod following;
mod growth;
mod imports;
mod layers;
mod local;
mod members;
mod organization;
mod parameters;
mod policies;
mod restart;
mod rights;
mod rotate_keys;
mod round_trips;
mod routes;
mod sample;
mod seed;
mod sources;
mod template;
mod transfer;
mod units;
mod wire;
mod workflows;
mod workspace;
