//! The whole of Latchkey on one machine: the functions behind an HTTP API as `template.yaml` declares it, with embedded
//! stand-ins for every external service. It listens on loopback only, unless the options say otherwise. No state is global:
//! any number of systems can run in one process.

mod answer;
mod api_gateway;
mod callers;
mod clock;
mod cloudformation;
mod data_folder;
mod dynamodb;
mod edge;
mod faults;
mod functions;
mod inbox;
mod journal;
mod live;
mod local_routes;
mod lock;
mod options;
mod pages;
mod parameters;
mod private_file;
mod random;
mod schedule;
mod secrets_manager;
mod seed;
mod server;
mod start_error;
mod system;
mod vendors;

pub use crate::callers::Callers;
pub use crate::clock::AdjustableClock;
pub use crate::cloudformation::Template;
pub use crate::dynamodb::capacity::{Units, item_size};
pub use crate::dynamodb::request::DynamodbRequest;
pub use crate::edge::SECRET as EDGE_SECRET;
pub use crate::faults::aim::{Aim, Outgoing};
pub use crate::faults::fault::{Mode, Target};
pub use crate::options::Options;
pub use crate::private_file::write as write_private_file;
pub use crate::start_error::StartError;
pub use crate::system::System;
