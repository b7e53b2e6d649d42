//! A session: one signed-in device. Its counter says which refresh token is the current one.

use crate::Timestamp;
use crate::ids::{SessionId, UserId};
use crate::limits::Limits;
use crate::text::{DeviceName, FcmToken};

/// For how long the refresh token before the current one still gets the current one: a phone may have lost the answer.
/// Seconds.
pub const ROTATION_GRACE_SECONDS: u32 = 30;

/// One signed-in device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// Whose.
    pub user: UserId,
    /// Names it; `sid` in tokens.
    pub id: SessionId,
    /// The number of its current refresh token, from 1.
    pub counter: u64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last refreshed, or opened.
    pub last_used_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub idle_until: Timestamp,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
    /// What the person calls the device.
    pub device_name: Option<DeviceName>,
    /// Where to push to it.
    pub fcm_token: Option<FcmToken>,
    /// When the device last said that its FCM token holds.
    pub fcm_token_at: Option<Timestamp>,
}

/// What becomes of a refresh token that was presented. The signature was checked before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the current one; the session as it now is, with the next counter.
    Rotated(Session),
    /// It was the one before, moments ago; the session as it is, so the current token is given again.
    Repeated(Session),
    /// It is older than that: someone has a copy. The session must end.
    Reused,
    /// The session has expired.
    Expired,
    /// There is no such session any more, or there never was such a token.
    Revoked,
}

impl Session {
    /// Opens a session.
    pub fn open(
        user: UserId,
        id: SessionId,
        device_name: Option<DeviceName>,
        fcm_token: Option<FcmToken>,
        now: Timestamp,
        limits: &Limits,
    ) -> Self {
        let fcm_token_at = fcm_token.is_some().then_some(now);
        Self {
            user,
            id,
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

    /// Whether it is in force. TTL deletes late, so every reader asks.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at()
    }

    /// When it ends as things stand.
    pub fn expires_at(&self) -> Timestamp {
        self.idle_until.min(self.ends_at)
    }

    /// What becomes of refresh token number `presented`.
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
            Rotation::Repeated(self.clone())
        } else {
            Rotation::Reused
        }
    }
}
