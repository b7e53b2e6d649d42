//! Gateways at rest: one that keeps failing is tried last for a while, so that people need not wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Timestamp;
use domain::gateway::Gateway;

/// Failures in a row after which a gateway rests.
const FAILURES: u32 = 3;
/// For how long. Then the next message tries it again; one more failure, and it rests again. Seconds.
const REST_SECONDS: u32 = 60;

/// How each gateway has done of late, as far as this process has seen.
#[derive(Clone, Default)]
pub(super) struct Rest(Arc<Mutex<BTreeMap<Gateway, Health>>>);

#[derive(Clone, Copy, Default)]
struct Health {
    failures: u32,
    rests_until: Timestamp,
}

impl Rest {
    /// A route's gateways in the order to try them: those at rest come last, for a late message beats none.
    pub(super) fn order(&self, route: &[Gateway], now: Timestamp) -> Vec<Gateway> {
        let health = self.lock();
        let at_rest = |gateway: &Gateway| health.get(gateway).is_some_and(|health| now < health.rests_until);
        let (resting, awake): (Vec<Gateway>, Vec<Gateway>) = route.iter().partition(|gateway| at_rest(gateway));
        awake.into_iter().chain(resting).collect()
    }

    /// It took a message, or said what is wrong with one.
    pub(super) fn worked(&self, gateway: Gateway) {
        self.lock().remove(&gateway);
    }

    /// It did not.
    pub(super) fn failed(&self, gateway: Gateway, now: Timestamp) {
        let mut health = self.lock();
        let health = health.entry(gateway).or_default();
        health.failures = health.failures.saturating_add(1);
        if health.failures >= FAILURES {
            health.rests_until = now.plus(REST_SECONDS);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Gateway, Health>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
