//! The clock of the local system: the machine's time plus an offset that tests and `POST /local/clock` increase.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapters::clock::Clock;

/// All clones share one offset.
#[derive(Clone, Debug, Default)]
pub struct AdjustableClock {
    ahead_seconds: Arc<AtomicU64>,
}

impl AdjustableClock {
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the time forward for everything that shares this clock.
    pub fn advance(&self, seconds: u64) {
        self.ahead_seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// By how much this clock is ahead of the machine's.
    pub fn ahead_seconds(&self) -> u64 {
        self.ahead_seconds.load(Ordering::SeqCst)
    }

    /// Seconds since the epoch.
    pub fn now_seconds(&self) -> i64 {
        self.for_functions().now().seconds()
    }

    /// The same clock in the form that the functions use.
    pub fn for_functions(&self) -> Clock {
        let (machine, ahead_seconds) = (Clock::system(), Arc::clone(&self.ahead_seconds));
        Clock::new(move || {
            let ahead = ahead_seconds.load(Ordering::SeqCst);
            machine.now().plus(u32::try_from(ahead).unwrap_or(u32::MAX))
        })
    }
}
