//! Keeps a run to at most so many capacity units a second.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Each batch is paced by itself. Time that one lost to throttling is not made up for afterwards, which would only be throttled
/// again.
pub struct Pace {
    units_per_second: u64,
    /// When the batch began that runs now.
    began: Instant,
}

impl Pace {
    pub fn new(units_per_second: u64) -> Self {
        Self { units_per_second, began: Instant::now() }
    }

    /// Waits after a batch that consumed these units. The next one begins afterwards.
    pub async fn keep(&mut self, units: u64) {
        sleep(pause(units, self.units_per_second, self.began.elapsed())).await;
        self.began = Instant::now();
    }
}

/// How long to wait after a batch that took so long.
fn pause(units: u64, units_per_second: u64, took: Duration) -> Duration {
    let milliseconds = units.saturating_mul(1_000).checked_div(units_per_second).unwrap_or_default();
    Duration::from_millis(milliseconds).saturating_sub(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_after_one_that_stalled_waits_as_long_as_any_other() {
        let took = [60_000, 50, 150].map(Duration::from_millis);
        let pauses = took.map(|took| pause(100, 100, took));
        assert_eq!(pauses, [0, 950, 850].map(Duration::from_millis));
    }

    #[test]
    fn units_of_half_a_second_take_half_a_second() {
        assert_eq!(pause(250, 500, Duration::ZERO), Duration::from_millis(500));
        assert_eq!(pause(0, 500, Duration::ZERO), Duration::ZERO);
    }
}
