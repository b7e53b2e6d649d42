//! The log: one JSON line an event on standard output, for CloudWatch. It never sees a code, a token or a number.

use std::str::FromStr;

use domain::Unavailable;
use domain::text::OrganizationId;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::http::causes;

/// The crates whose events are logged. No others': at its finer levels the SDK would log whole requests, and in them
/// what nobody may see.
const OURS: [&str; 2] = ["adapters", "rotate_keys"];

/// What may be logged at a level.
pub fn filter(level: &str) -> Targets {
    let level = Level::from_str(level).unwrap_or(Level::INFO);
    Targets::new().with_default(LevelFilter::OFF).with_targets(OURS.map(|name| (name, level)))
}

/// Starts the log. A level that is no level is `info`; a log that was started already stays.
pub fn start(level: &str) {
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        // CloudWatch stamps each line.
        .without_time()
        .with_filter(filter(level));
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// Logs a use of a test number: whose it is, never which.
pub fn test_number_used(function: &'static str, organization: &OrganizationId) {
    tracing::info!(function, organization = organization.as_str(), "a test number was used");
}

/// Logs that something was out of reach, with what led to it.
pub fn unavailable(function: &'static str, unavailable: &Unavailable) {
    tracing::error!(function, cause = causes(unavailable), "unavailable");
}
