//! Recovery of an account whose number is dormant and whose devices are gone: whoever has the number asks for it, and it
//! opens after a wait in which any device can refuse.

use super::delayed_change::reminder_at;
use super::limits::Limits;
use super::session::Session;
use super::user::{Recovery, User};
use crate::values::phone::PhoneNumber;
use crate::values::text::OrganizationId;
use crate::values::time::Timestamp;

impl Recovery {
    pub fn request(
        phone: PhoneNumber,
        organization: OrganizationId,
        sessions: &[Session],
        limits: &Limits,
        now: Timestamp,
    ) -> Self {
        let opens_at = now.plus(limits.recovery_seconds);
        let sessions = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        Self { phone, requested_at: now, opens_at, organization, sessions, refused_at: None }
    }

    /// From then on it opens nothing any more: as long after it opened as it waited.
    pub fn closes_at(&self) -> Timestamp {
        self.opens_at.plus(self.requested_at.seconds_until(self.opens_at))
    }

    pub fn reminder_at(&self) -> Option<Timestamp> {
        reminder_at(self.requested_at, self.opens_at)
    }
}

/// What whoever has the dormant number can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryState {
    /// Ask for the account.
    Closed,
    Waiting(Recovery),
    Open(Recovery),
    /// A device refused.
    Refused {
        until: Timestamp,
    },
}

impl User {
    pub fn recovery_state(&self, limits: &Limits, now: Timestamp) -> RecoveryState {
        let Some(recovery) = &self.recovery else { return RecoveryState::Closed };
        if let Some(refused_at) = recovery.refused_at {
            let until = refused_at.plus(limits.refusal_seconds);
            return if now < until { RecoveryState::Refused { until } } else { RecoveryState::Closed };
        }
        // Whoever signs in has no need of it any more, and another number is another person's to prove.
        let is_over = self.has_proven_since(recovery.requested_at) || self.phone.as_ref() != Some(&recovery.phone);
        if is_over || now >= recovery.closes_at() {
            RecoveryState::Closed
        } else if now < recovery.opens_at {
            RecoveryState::Waiting(Recovery::clone(recovery))
        } else {
            RecoveryState::Open(Recovery::clone(recovery))
        }
    }

    /// The recovery that opens the account, or will, unless a device refuses it.
    pub fn pending_recovery(&self, limits: &Limits, now: Timestamp) -> Option<Recovery> {
        match self.recovery_state(limits, now) {
            RecoveryState::Waiting(recovery) | RecoveryState::Open(recovery) => Some(recovery),
            RecoveryState::Closed | RecoveryState::Refused { .. } => None,
        }
    }
}

/// Whether a device of the user's was used since, if only to sign out: then the devices are not gone.
pub fn is_in_use(sessions: &[Session], recovery: &Recovery) -> bool {
    let is_used = |session: &Session| session.last_used_at >= recovery.requested_at;
    sessions.iter().any(is_used) || u32::try_from(sessions.len()).is_ok_and(|count| count < recovery.sessions)
}
