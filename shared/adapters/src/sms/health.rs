//! The health of gateways: one that keeps failing is tried last for a while, so that people do not wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::values::gateway::Gateway;
use domain::values::time::Timestamp;

/// Consecutive failures after which a gateway is tried last.
const MAX_FAILURES: u32 = 3;
/// For how long. After that the next message tries the gateway first again, and one more failure puts it last. Seconds.
const DEMOTION_SECONDS: u32 = 60;

/// The recent results of each gateway, as far as this process knows.
#[derive(Clone, Default)]
pub(super) struct GatewayHealth(Arc<Mutex<BTreeMap<Gateway, Failures>>>);

#[derive(Clone, Copy, Default)]
struct Failures {
    consecutive: u32,
    demoted_until: Timestamp,
}

impl GatewayHealth {
    /// A route's gateways in the order to try them. No gateway is left out: a late message is better than none.
    pub(super) fn order(&self, route: &[Gateway], now: Timestamp) -> Vec<Gateway> {
        let failures = self.lock();
        let is_demoted = |gateway: &Gateway| failures.get(gateway).is_some_and(|failures| now < failures.demoted_until);
        let (demoted, healthy): (Vec<Gateway>, Vec<Gateway>) = route.iter().partition(|gateway| is_demoted(gateway));
        healthy.into_iter().chain(demoted).collect()
    }

    /// The gateway accepted a message, or refused its number.
    pub(super) fn succeeded(&self, gateway: Gateway) {
        self.lock().remove(&gateway);
    }

    pub(super) fn failed(&self, gateway: Gateway, now: Timestamp) {
        let mut failures = self.lock();
        let failures = failures.entry(gateway).or_default();
        failures.consecutive = failures.consecutive.saturating_add(1);
        if failures.consecutive >= MAX_FAILURES {
            failures.demoted_until = now.plus(DEMOTION_SECONDS);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Gateway, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
