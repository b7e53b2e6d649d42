//! The clock of the local system: the machine's time, or the time at its start, plus an offset that tests and
//! `POST /local/clock` increase.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapters::clock::Clock;

/// All clones share one offset.
#[derive(Clone, Debug)]
pub struct AdjustableClock {
    base: Clock,
    ahead_seconds: Arc<AtomicU64>,
}

impl AdjustableClock {
    pub fn running() -> Self {
        Self { base: Clock::system(), ahead_seconds: Arc::default() }
    }

    /// Its time changes only by [`AdjustableClock::advance`], so that a test can tell it to the second, however slow the
    /// machine is. It starts that many seconds behind the machine's.
    pub fn standing_still(behind_seconds: u32) -> Self {
        let started_at = Clock::system().now().minus(behind_seconds);
        Self { base: Clock::new(move || started_at), ahead_seconds: Arc::default() }
    }

    /// Moves the time forward for everything that shares this clock.
    pub fn advance(&self, seconds: u64) {
        self.ahead_seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The sum of all advances.
    pub fn ahead_seconds(&self) -> u64 {
        self.ahead_seconds.load(Ordering::SeqCst)
    }

    /// Seconds since the epoch.
    pub fn now_seconds(&self) -> i64 {
        self.for_functions().now().seconds()
    }

    /// The same clock in the form that the functions use.
    pub fn for_functions(&self) -> Clock {
        let (base, ahead_seconds) = (self.base.clone(), Arc::clone(&self.ahead_seconds));
        Clock::new(move || {
            let ahead = ahead_seconds.load(Ordering::SeqCst);
            base.now().plus(u32::try_from(ahead).unwrap_or(u32::MAX))
        })
    }
}
