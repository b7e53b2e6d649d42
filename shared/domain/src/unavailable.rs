//! The one failure that is nobody's decision: something outside could not be reached or answered nonsense.

use std::error::Error;
use std::fmt;

/// A dependency could not be reached or answered what it never should.
///
/// Its source is for the log, once; callers are told only that they may retry.
#[derive(Debug)]
pub struct Unavailable {
    what: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl Unavailable {
    /// `what` names the attempted verb, such as "claim an attempt".
    pub fn new(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what, source: source.into() }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.what)
    }
}

impl Error for Unavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
