//! Signing keys over time: published before they sign, kept until the last token they signed has expired.

use crate::Timestamp;
use crate::ids::KeyId;
use crate::limits::{DAY, Limits};

/// For how long verifiers may keep the key set they have read. Seconds.
pub const KEY_SET_CACHE_SECONDS: u32 = 300;
/// How long a new key is published before it signs: twice as long as anyone keeps an older key set, and our own
/// processes' copy of the secret with it. Seconds.
pub const PUBLISHED_BEFORE_USE_SECONDS: u32 = 2 * KEY_SET_CACHE_SECONDS;

/// A public key on P-256 (RFC 7518 §6.2.1), as everyone may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// `kid`.
    pub id: KeyId,
    /// `x`, base64url.
    pub x: String,
    /// `y`, base64url.
    pub y: String,
    /// When no token it signed can be good any more; `None` while it is the newest.
    pub retires_at: Option<Timestamp>,
}

/// The published keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// Oldest first.
    pub keys: Vec<PublicKey>,
    /// Grows with each change.
    pub revision: u64,
}

impl KeySet {
    /// The set with `key` as the newest: older ones retire once every token they may have signed has expired, and
    /// retired ones are dropped. Publishing a key again changes nothing.
    pub fn publish(&self, key: PublicKey, now: Timestamp, limits: &Limits) -> Self {
        if self.keys.iter().any(|published| published.id == key.id) {
            return self.clone();
        }
        let last_signature = now.plus(PUBLISHED_BEFORE_USE_SECONDS);
        let longest_token = limits.refresh_idle_seconds.max(limits.access_token_seconds);
        let mut keys: Vec<PublicKey> = self.good(now).cloned().collect();
        for older in keys.iter_mut().filter(|older| older.retires_at.is_none()) {
            // A day more than needed: a rotation may be stuck half-way while the older key goes on signing.
            older.retires_at = Some(last_signature.plus(longest_token).plus(DAY));
        }
        keys.push(key);
        Self { keys, revision: self.revision.saturating_add(1) }
    }

    /// The keys whose tokens may still be good.
    pub fn good(&self, now: Timestamp) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(move |key| key.retires_at.is_none_or(|retires_at| now < retires_at))
    }
}
