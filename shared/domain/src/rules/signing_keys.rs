//! Signing keys over time: published before they sign and until the last token they signed has expired, then kept as
//! long as such a token may be a second signal.

use thiserror::Error;

use super::limits::Limits;
use super::session::KEPT_AFTER_END_SECONDS;
use crate::values::ids::KeyId;
use crate::values::time::{DAY, Timestamp};

/// How long verifiers may cache the key set. Seconds.
pub const KEY_SET_CACHE_SECONDS: u32 = 300;
/// How long a new key is published before it signs: twice as long as anyone caches an older key set, our own processes
/// included. Seconds.
pub const PUBLISHED_BEFORE_USE_SECONDS: u32 = 2 * KEY_SET_CACHE_SECONDS;

/// A public key on P-256 (RFC 7518 §6.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// `kid`.
    pub id: KeyId,
    /// `x`, base64url.
    pub x: String,
    /// `y`, base64url.
    pub y: String,
    /// When every token that it signed has expired; `None` while it is the newest key.
    pub retires_at: Option<Timestamp>,
}

impl PublicKey {
    /// Whether a token that it signed may still be valid.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.retires_at.is_none_or(|retires_at| now < retires_at)
    }
}

/// Why a key stays.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RetirementError {
    #[error("no key has this id")]
    NoSuchKey,
    #[error("it is the newest key, which signs; rotate first")]
    IsNewest,
    /// The newest key is not used yet.
    #[error("it still signs")]
    StillSigns { until: Timestamp },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// Oldest first.
    pub keys: Vec<PublicKey>,
    /// Grows with each change.
    pub revision: u64,
}

impl KeySet {
    /// The set with `key` as the newest. Older keys retire when every token that they may have signed has expired.
    /// Publishing a key again changes nothing.
    pub fn publish(&self, key: PublicKey, now: Timestamp, limits: &Limits) -> Self {
        if self.keys.iter().any(|published| published.id == key.id) {
            return self.clone();
        }
        let last_signature = now.plus(PUBLISHED_BEFORE_USE_SECONDS);
        let longest_token = limits.refresh_idle_seconds.max(limits.access_token_seconds);
        let mut keys: Vec<PublicKey> = self.kept(now).cloned().collect();
        for older in keys.iter_mut().filter(|older| older.retires_at.is_none()) {
            // One day more than needed, because the older key still signs while a rotation is stuck.
            older.retires_at = Some(last_signature.plus(longest_token).plus(DAY));
        }
        keys.push(key);
        Self { keys, revision: self.revision.saturating_add(1) }
    }

    /// The set without a key, so that nothing that it signed is accepted any more.
    ///
    /// # Errors
    /// While the key may still sign.
    pub fn retire(&self, key: &KeyId, now: Timestamp, limits: &Limits) -> Result<Self, RetirementError> {
        let retired = self.keys.iter().find(|published| published.id == *key).ok_or(RetirementError::NoSuchKey)?;
        let longest_token = limits.refresh_idle_seconds.max(limits.access_token_seconds);
        match retired.retires_at {
            None => return Err(RetirementError::IsNewest),
            Some(retires_at) => {
                let last_signature = retires_at.minus(longest_token).minus(DAY);
                if now < last_signature {
                    return Err(RetirementError::StillSigns { until: last_signature });
                }
            }
        }
        let keys = self.keys.iter().filter(|published| published.id != *key).cloned().collect();
        Ok(Self { keys, revision: self.revision.saturating_add(1) })
    }

    /// The keys whose tokens may still be valid: those to publish.
    pub fn valid(&self, now: Timestamp) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(move |key| key.is_valid(now))
    }

    /// The valid keys, and the retired ones that signed refresh tokens of sessions whose records are still kept.
    pub fn kept(&self, now: Timestamp) -> impl Iterator<Item = &PublicKey> {
        let is_kept = move |retires_at: Timestamp| now < retires_at.plus(KEPT_AFTER_END_SECONDS);
        self.keys.iter().filter(move |key| key.retires_at.is_none_or(is_kept))
    }
}
