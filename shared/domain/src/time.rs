//! A moment, in whole seconds since the Unix epoch. Nothing in this crate asks what time it is.

use serde::{Deserialize, Serialize};

/// A moment in epoch seconds (RFC 7519 `NumericDate`, DynamoDB TTL).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `seconds` after the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// The moment `seconds` later; stops at the end of time rather than overflow.
    pub const fn plus(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds as i64))
    }

    /// The moment `seconds` earlier.
    pub const fn minus(self, seconds: u32) -> Self {
        Self(self.0.saturating_sub(seconds as i64))
    }

    /// Whole seconds from here until `later`; 0 if that has passed.
    pub fn seconds_until(self, later: Self) -> u32 {
        u32::try_from(later.0.saturating_sub(self.0).max(0)).unwrap_or(u32::MAX)
    }

    /// Which window of `length_seconds` this moment falls in, counted from the epoch, and when that window ends.
    pub const fn window(self, length_seconds: u32) -> (i64, Self) {
        let length = if length_seconds == 0 { 1 } else { length_seconds as i64 };
        let number = self.0.div_euclid(length);
        (number, Self(number.saturating_add(1).saturating_mul(length)))
    }
}
