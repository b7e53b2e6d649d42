//! A session: one signed-in device. Its counter says which refresh token is the current one.

use super::limits::Limits;
use crate::values::ids::{SessionId, UserId};
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::text::{DeviceName, FcmToken, OrganizationId};
use crate::values::time::{DAY, Timestamp};

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
    /// The key of the device, which alone may refresh the session. None for a session that was opened without a proof.
    pub device_key: Option<KeyThumbprint>,
    pub device_name: Option<DeviceName>,
    pub fcm_token: Option<FcmToken>,
    /// When the device last confirmed its FCM token.
    pub fcm_token_at: Option<Timestamp>,
}

/// The refresh token that a client presented, verified but not yet compared with its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedRefreshToken {
    pub user: UserId,
    pub session: SessionId,
    pub organization: OrganizationId,
    /// The number of this token in its session, from 1.
    pub counter: u64,
    /// The key that the token is bound to.
    pub device_key: Option<KeyThumbprint>,
}

/// What a presented refresh token leads to. Its signature was verified before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the current token. Holds the session with the next counter.
    Rotated(Session),
    /// It was an earlier token whose successor the device may have lost. Holds the unchanged session; the current token is
    /// issued again.
    Replayed(Session),
    /// It is older: someone has a copy. The session must end.
    Reused,
    Expired,
    /// The session no longer exists, or this token was never issued.
    Revoked,
}

/// What a client says of its device when it signs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The key that the device proved to have.
    pub key: Option<KeyThumbprint>,
    pub name: Option<DeviceName>,
    pub fcm_token: Option<FcmToken>,
}

impl Session {
    pub fn open(
        user: UserId,
        id: SessionId,
        organization: OrganizationId,
        device: Device,
        now: Timestamp,
        limits: &Limits,
    ) -> Self {
        let Device { key: device_key, name: device_name, fcm_token } = device;
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
            device_key,
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

    /// Presents a refresh token whose key, if it is bound to one, was proven.
    pub fn rotate(&self, token: &PresentedRefreshToken, now: Timestamp, limits: &Limits) -> Rotation {
        let presented = token.counter;
        // Only this session's own tokens have its key.
        if token.device_key != self.device_key {
            return Rotation::Revoked;
        }
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
        } else if self.is_answered_again(presented, now, limits) {
            Rotation::Replayed(self.clone())
        } else {
            Rotation::Reused
        }
    }

    /// Whether an earlier refresh token gets the current one again, because the device may have lost the answer.
    ///
    /// Within the grace period this is the previous token. In a bound session, where a copy of a token is worth nothing
    /// without the key, it is the previous token at any time, because the device has not used the current one yet; and
    /// within the grace period the one before that too, because a slow request of the device may arrive late.
    fn is_answered_again(&self, presented: u64, now: Timestamp, limits: &Limits) -> bool {
        let is_in_grace = now < self.last_used_at.plus(limits.refresh_grace_seconds);
        let age = self.counter.saturating_sub(presented);
        match self.device_key {
            Some(_) => age == 1 || (age == 2 && is_in_grace),
            None => age == 1 && is_in_grace,
        }
    }

    /// Whether a refresh token is a second signal: it would be accepted, or it is the newest token and the session ended by
    /// age alone. A session that ended otherwise has no record.
    pub fn is_second_signal(&self, token: &PresentedRefreshToken, now: Timestamp, limits: &Limits) -> bool {
        match self.rotate(token, now, limits) {
            Rotation::Rotated(_) | Rotation::Replayed(_) => true,
            Rotation::Expired => token.counter == self.counter && now < self.expires_at().plus(KEPT_AFTER_END_SECONDS),
            Rotation::Reused | Rotation::Revoked => false,
        }
    }
}
