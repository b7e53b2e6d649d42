//! Signing keys over time: published before they sign and until the last token they signed has expired, then kept as
//! long as such a token may be a second signal.

use thiserror::Error;

use super::limits::Limits;
use super::session::KEPT_AFTER_END_SECONDS;
use crate::values::ids::KeyId;
use crate::values::time::{DAY, MINUTE, Timestamp};

/// How long verifiers may cache the key set. Seconds.
pub const KEY_SET_CACHE_SECONDS: u32 = 300;
/// How long a new key is published before it signs: twice as long as anyone caches an older key set, our own processes
/// included. Seconds.
pub const PUBLISHED_BEFORE_USE_SECONDS: u32 = 2 * KEY_SET_CACHE_SECONDS;
/// From the making of a key to its use: a minute more, in which it is published. Seconds.
pub const MADE_BEFORE_USE_SECONDS: u32 = PUBLISHED_BEFORE_USE_SECONDS + MINUTE;

/// A public key on P-256 (RFC 7518 §6.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// `kid`.
    pub id: KeyId,
    /// `x`, base64url.
    pub x: String,
    /// `y`, base64url.
    pub y: String,
    /// When it was first published.
    pub published_at: Timestamp,
    /// From when on it signs in every process, and no older key does; `None` while that is not decided.
    pub signs_from: Option<Timestamp>,
    /// When every token that it signed has expired; `None` while it is the newest key.
    pub retires_at: Option<Timestamp>,
}

impl PublicKey {
    /// Whether a token that it signed may still be valid.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.retires_at.is_none_or(|retires_at| now < retires_at)
    }
}

/// Why a key may not sign.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotReady {
    #[error("the key is not published")]
    NotPublished,
    #[error("verifiers may not have read the key yet")]
    JustPublished { until: Timestamp },
}

/// Why a key stays.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RetirementError {
    #[error("no key has this id")]
    NoSuchKey,
    #[error("it is the newest key; rotate first")]
    IsNewest,
    /// None if the rotation to a newer key has not ended.
    #[error("it still signs")]
    StillSigns { until: Option<Timestamp> },
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

    /// When the newest key begins to sign, if it waits for that: the key before it signs until then.
    pub fn waiting_until(&self, now: Timestamp) -> Option<Timestamp> {
        let signs_from = self.keys.last().and_then(|newest| newest.signs_from);
        // The very first key signs at once.
        signs_from.filter(|from| now < *from && self.keys.len() > 1)
    }

    /// The key that signs; none before the first rotation has ended.
    pub fn signer(&self, now: Timestamp) -> Option<&PublicKey> {
        let has_begun = |key: &&PublicKey| key.signs_from.is_some_and(|from| from <= now);
        self.keys.iter().rfind(has_begun).or_else(|| self.keys.iter().find(|key| key.signs_from.is_some()))
    }

    /// Refuses a key that would sign at `from`, before every verifier has read it.
    pub fn may_sign(&self, key: &KeyId, from: Timestamp) -> Result<(), NotReady> {
        let published = self.keys.iter().find(|published| published.id == *key).ok_or(NotReady::NotPublished)?;
        let until = published.published_at.plus(PUBLISHED_BEFORE_USE_SECONDS);
        // Nobody has read a set without the very first key: there were no tokens to verify before it.
        if from < until && self.keys.len() > 1 { Err(NotReady::JustPublished { until }) } else { Ok(()) }
    }

    /// The set once a key is the current one, and signs in every process from `from` on.
    pub fn signing(&self, key: &KeyId, from: Timestamp) -> Self {
        let mut after = self.clone();
        let newly = after.keys.iter_mut().find(|published| published.id == *key && published.signs_from.is_none());
        if let Some(key) = newly {
            key.signs_from = Some(from);
            after.revision = after.revision.saturating_add(1);
        }
        after
    }

    /// The set without a key, so that nothing that it signed is accepted any more.
    ///
    /// # Errors
    /// While the key may still sign.
    pub fn retire(&self, key: &KeyId, now: Timestamp) -> Result<Self, RetirementError> {
        let mut following = self.keys.iter().skip_while(|published| published.id != *key);
        following.next().ok_or(RetirementError::NoSuchKey)?;
        let newer: Vec<&PublicKey> = following.collect();
        if newer.is_empty() {
            return Err(RetirementError::IsNewest);
        }
        match newer.iter().filter_map(|newer| newer.signs_from).min() {
            Some(from) if from <= now => {}
            until => return Err(RetirementError::StillSigns { until }),
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
