//! The log: one JSON line an event on standard output, for CloudWatch. It never sees a code, a token or a number.

use std::str::FromStr;

use domain::Unavailable;
use tracing::Level;

use crate::http::causes;

/// Starts the log. A level that is no level is `info`; a log that was started already stays.
pub fn start(level: &str) {
    let level = Level::from_str(level).unwrap_or(Level::INFO);
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        // CloudWatch stamps each line.
        .without_time()
        .try_init();
}

/// Logs that something was out of reach, with what led to it.
pub fn unavailable(function: &'static str, unavailable: &Unavailable) {
    tracing::error!(function, cause = causes(unavailable), "unavailable");
}
