//! Moments, in whole seconds since the Unix epoch. Nothing in this crate reads a clock.

use serde::{Deserialize, Serialize};

pub const MINUTE: u32 = 60;
pub const HOUR: u32 = 60 * MINUTE;
pub const DAY: u32 = 24 * HOUR;

/// A moment in epoch seconds (RFC 7519 `NumericDate`, DynamoDB TTL).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Saturates instead of overflowing.
    pub const fn plus(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds as i64))
    }

    /// Saturates instead of overflowing.
    pub const fn minus(self, seconds: u32) -> Self {
        Self(self.0.saturating_sub(seconds as i64))
    }

    /// Whole seconds from this moment until `later`; 0 if `later` has passed.
    pub fn seconds_until(self, later: Self) -> u32 {
        u32::try_from(later.0.saturating_sub(self.0).max(0)).unwrap_or(u32::MAX)
    }

    /// The number of the fixed window of `length_seconds` that contains this moment, counted from the epoch, and the
    /// moment at which that window ends.
    pub const fn window(self, length_seconds: u32) -> (i64, Self) {
        let length = if length_seconds == 0 { 1 } else { length_seconds as i64 };
        let number = self.0.div_euclid(length);
        (number, Self(number.saturating_add(1).saturating_mul(length)))
    }
}
