//! The one failure that no rule decides: something outside is unreachable or answered nonsense.

use std::error::Error as StdError;

use thiserror::Error;

/// The source is for the log, once. Clients learn only that they may retry.
#[derive(Debug, Error)]
#[error("could not {attempted}")]
pub struct Unavailable {
    attempted: &'static str,
    source: Box<dyn StdError + Send + Sync>,
}

impl Unavailable {
    /// `attempted` is a verb phrase, such as "claim an attempt".
    pub fn new(attempted: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { attempted, source: source.into() }
    }
}
