//! What a process knows about gateways. One that keeps failing is tried last for a while, so that people do not wait
//! for it. One without credentials is nobody's first choice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::values::gateway::Gateway;
use domain::values::time::Timestamp;

use crate::secrets::GatewayCredentials;

/// Consecutive failures after which a gateway is tried last.
const MAX_FAILURES: u32 = 3;
/// For how long. After that the next message tries the gateway first again, and one more failure puts it last. Seconds.
const DEMOTION_SECONDS: u32 = 60;

/// The health of each gateway, as far as this process knows.
#[derive(Clone, Default)]
pub(super) struct GatewayHealth(Arc<Mutex<HealthByGateway>>);

#[derive(Default)]
struct HealthByGateway {
    sparrow: Health,
    sns: Health,
    twilio: Health,
}

#[derive(Default)]
struct Health {
    consecutive_failures: u32,
    demoted_until: Timestamp,
    lacks_credentials: bool,
}

impl HealthByGateway {
    const fn health(&mut self, gateway: Gateway) -> &mut Health {
        match gateway {
            Gateway::Sparrow => &mut self.sparrow,
            Gateway::Sns => &mut self.sns,
            Gateway::Twilio => &mut self.twilio,
        }
    }
}

impl GatewayHealth {
    /// A route's gateways in the order to try them. No gateway is left out: a late message is better than none.
    pub(super) fn order(&self, route: &[Gateway], now: Timestamp) -> Vec<Gateway> {
        let mut known = self.lock();
        let (demoted, healthy): (Vec<Gateway>, Vec<Gateway>) =
            route.iter().partition(|gateway| now < known.health(**gateway).demoted_until);
        healthy.into_iter().chain(demoted).collect()
    }

    /// The gateway accepted a message, or refused its number.
    pub(super) fn succeeded(&self, gateway: Gateway) {
        *self.lock().health(gateway) = Health::default();
    }

    pub(super) fn failed(&self, gateway: Gateway, now: Timestamp) {
        let mut known = self.lock();
        let health = known.health(gateway);
        health.consecutive_failures = health.consecutive_failures.saturating_add(1);
        if health.consecutive_failures >= MAX_FAILURES {
            health.demoted_until = now.plus(DEMOTION_SECONDS);
        }
    }

    /// Whether the gateway had no credentials when they were last read.
    pub(super) fn lacks_credentials(&self, gateway: Gateway) -> bool {
        self.lock().health(gateway).lacks_credentials
    }

    /// Returns whether the gateway lacks them now and did not before.
    pub(super) fn credentials_read(&self, gateway: Gateway, credentials: &GatewayCredentials) -> bool {
        let lacks_now = !credentials.are_complete_for(gateway);
        let lacked_before = std::mem::replace(&mut self.lock().health(gateway).lacks_credentials, lacks_now);
        lacks_now && !lacked_before
    }

    fn lock(&self) -> MutexGuard<'_, HealthByGateway> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
