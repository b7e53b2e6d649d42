//! A change of number by somebody who no longer has the old one: a known device asks for it. It waits, so that the old number
//! or another device can refuse it.

use super::limits::Limits;
use super::user::{DelayedChange, Ending, User};
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::phone::PhoneNumber;
use crate::values::time::{DAY, Timestamp};

/// How long before it happens people are told again of what waits. Seconds.
pub const REMINDER_SECONDS: u32 = DAY;
/// How long after its time a change is made that could not be made before. Seconds.
const OVERDUE_SECONDS: u32 = 7 * DAY;

impl Ending {
    /// The name in the table and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::Refused { .. } => "refused",
        }
    }
}

impl DelayedChange {
    /// When everybody is told again; none if the wait is no longer than that.
    pub fn reminder_at(&self) -> Option<Timestamp> {
        reminder_at(self.requested_at, self.due_at)
    }

    pub fn ended(&self, ending: Ending) -> Self {
        Self { ended: Some(ending), ..self.clone() }
    }
}

pub(super) fn reminder_at(requested_at: Timestamp, due_at: Timestamp) -> Option<Timestamp> {
    Some(due_at.minus(REMINDER_SECONDS)).filter(|at| *at > requested_at)
}

/// Why a device may not ask for a change without the old number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeRefusal {
    UnknownDevice,
    /// Another change waits.
    Pending {
        due_at: Timestamp,
    },
    /// The last one was refused or withdrawn.
    Closed {
        until: Timestamp,
    },
}

impl User {
    pub fn may_ask_for_change(
        &self,
        device_key: &KeyThumbprint,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), ChangeRefusal> {
        if !self.device_keys.contains(device_key) {
            return Err(ChangeRefusal::UnknownDevice);
        }
        if let Some(pending) = self.pending_change(now) {
            return Err(ChangeRefusal::Pending { due_at: pending.due_at });
        }
        match self.next_delayed_change_at(limits).filter(|at| now < *at) {
            Some(until) => Err(ChangeRefusal::Closed { until }),
            None => Ok(()),
        }
    }

    /// The change that will be made unless somebody refuses it. Whoever proves the number refuses it by that. A device that is
    /// no longer known does not get what it asked for. A number that another person took over does not refuse.
    pub fn pending_change(&self, now: Timestamp) -> Option<&DelayedChange> {
        let change = self.delayed_change.as_ref()?;
        let is_pending = change.ended.is_none()
            && now < change.due_at.plus(OVERDUE_SECONDS)
            && !self.has_refused_by_proof(change)
            && (self.phone.is_none() || self.phone == change.from)
            && self.device_keys.contains(&change.device_key);
        is_pending.then_some(change)
    }

    /// The change that waited, refused by a change of number in between, at once or back.
    pub fn overtaken_change(&self, now: Timestamp) -> Option<DelayedChange> {
        let change = self.delayed_change.as_deref().filter(|change| change.ended.is_none())?;
        Some(change.ended(Ending::Refused { at: now }))
    }

    /// When the user may ask for a delayed change after the last one.
    fn next_delayed_change_at(&self, limits: &Limits) -> Option<Timestamp> {
        let change = self.delayed_change.as_ref()?;
        let refused_at = match change.ended {
            Some(Ending::Refused { at }) => Some(at),
            // Later proofs are of a number that nobody lost.
            None if self.has_refused_by_proof(change) => self.phone_proven_at.map(|at| at.min(change.due_at)),
            Some(Ending::Withdrawn) | None => None,
        };
        Some(refused_at.map_or(change.due_at, |at| at.plus(limits.refusal_seconds)))
    }

    pub fn has_refused_by_proof(&self, change: &DelayedChange) -> bool {
        self.has_proven_since(change.requested_at)
    }

    pub(super) fn has_proven_since(&self, moment: Timestamp) -> bool {
        self.phone_proven_at.is_some_and(|at| at >= moment)
    }

    /// The number, if it is the user's for sure. A dormant one may belong to another person by now, who is told nothing.
    pub fn reachable_number(&self, limits: &Limits, now: Timestamp) -> Option<&PhoneNumber> {
        let proven_at = self.phone_proven_at.unwrap_or(self.created_at);
        self.phone.as_ref().filter(|_| now < proven_at.plus(limits.phone_dormant_seconds))
    }
}
