//! A session: one signed-in device. Its counter says which refresh token is the current one.

use super::limits::Limits;
use crate::values::ids::{SessionId, UserId};
use crate::values::text::{DeviceName, FcmToken, OrganizationId};
use crate::values::time::{DAY, Timestamp};

/// The grace period in which the previous refresh token still gets the current one, because the phone may have lost the
/// answer. Seconds.
pub const ROTATION_GRACE_SECONDS: u32 = 30;
/// How long the record of a session is kept after its end by age: two years, because the owner of a dormant number often
/// comes back with the device that they had. For so long its newest refresh token still is a second signal. Seconds.
pub const KEPT_AFTER_END_SECONDS: u32 = 2 * 365 * DAY;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    pub user: UserId,
    /// `sid` in tokens.
    pub id: SessionId,
    /// The organization that the person signed in to.
    pub organization: OrganizationId,
    /// The number of the current refresh token, from 1.
    pub counter: u64,
    pub created_at: Timestamp,
    /// The last refresh, or the opening.
    pub last_used_at: Timestamp,
    /// When the session ends unless it is refreshed.
    pub idle_until: Timestamp,
    /// When the session ends in any case.
    pub ends_at: Timestamp,
    pub device_name: Option<DeviceName>,
    pub fcm_token: Option<FcmToken>,
    /// When the device last confirmed its FCM token.
    pub fcm_token_at: Option<Timestamp>,
}

/// What a presented refresh token leads to. Its signature was verified before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the current token. Holds the session with the next counter.
    Rotated(Session),
    /// It was the previous token, within the grace period. Holds the unchanged session; the current token is issued again.
    Replayed(Session),
    /// It is older: someone has a copy. The session must end.
    Reused,
    Expired,
    /// The session no longer exists, or this token was never issued.
    Revoked,
}

impl Session {
    pub fn open(
        user: UserId,
        id: SessionId,
        organization: OrganizationId,
        device_name: Option<DeviceName>,
        fcm_token: Option<FcmToken>,
        now: Timestamp,
        limits: &Limits,
    ) -> Self {
        let fcm_token_at = fcm_token.is_some().then_some(now);
        Self {
            user,
            id,
            organization,
            counter: 1,
            created_at: now,
            last_used_at: now,
            idle_until: now.plus(limits.refresh_idle_seconds),
            ends_at: now.plus(limits.refresh_total_seconds),
            device_name,
            fcm_token,
            fcm_token_at,
        }
    }

    /// TTL deletes late, so every reader checks this.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at()
    }

    /// When the session ends if it is not refreshed again.
    pub fn expires_at(&self) -> Timestamp {
        self.idle_until.min(self.ends_at)
    }

    /// Presents refresh token number `presented`.
    pub fn rotate(&self, presented: u64, now: Timestamp, limits: &Limits) -> Rotation {
        if !self.is_live(now) {
            return Rotation::Expired;
        }
        if presented == self.counter {
            let mut next = self.clone();
            next.counter = self.counter.saturating_add(1);
            next.last_used_at = now;
            next.idle_until = now.plus(limits.refresh_idle_seconds);
            Rotation::Rotated(next)
        } else if presented > self.counter {
            Rotation::Revoked
        } else if presented.saturating_add(1) == self.counter && now < self.last_used_at.plus(ROTATION_GRACE_SECONDS) {
            Rotation::Replayed(self.clone())
        } else {
            Rotation::Reused
        }
    }

    /// Whether refresh token number `presented` is a second signal: it would be accepted, or it is the newest token and
    /// the session ended by age alone. A session that ended otherwise has no record.
    pub fn is_second_signal(&self, presented: u64, now: Timestamp, limits: &Limits) -> bool {
        match self.rotate(presented, now, limits) {
            Rotation::Rotated(_) | Rotation::Replayed(_) => true,
            Rotation::Expired => presented == self.counter && now < self.expires_at().plus(KEPT_AFTER_END_SECONDS),
            Rotation::Reused | Rotation::Revoked => false,
        }
    }
}
