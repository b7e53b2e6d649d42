//! The keys of a user's devices: which ones signed in, and whether an organization asks for them.

use std::collections::BTreeMap;
use std::str::FromStr;

use thiserror::Error;

use super::device_proof::ProofRefusal;
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::time::Timestamp;

/// How many keys are remembered for one user: enough for all devices of a person, and few enough for one small item.
pub const MAX_DEVICE_KEYS: usize = 20;

/// Whether sessions are bound to keys of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKeyPolicy {
    /// Proofs are ignored.
    Off,
    /// A sign-in with a proof opens a bound session, one without a proof an unbound one.
    #[default]
    Optional,
    /// A sign-in without a proof is refused.
    Required,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected off, optional or required")]
pub struct UnknownDeviceKeyPolicy;

impl FromStr for DeviceKeyPolicy {
    type Err = UnknownDeviceKeyPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownDeviceKeyPolicy> {
        match name {
            "off" => Ok(Self::Off),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err(UnknownDeviceKeyPolicy),
        }
    }
}

impl DeviceKeyPolicy {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }

    /// The key to recognize a device by, of what its request proved.
    pub fn device_key(
        self,
        proven: Result<Option<KeyThumbprint>, ProofRefusal>,
    ) -> Result<Option<KeyThumbprint>, ProofRefusal> {
        if self == Self::Off { Ok(None) } else { proven }
    }

    /// The key to bind a new session to.
    pub fn session_key(
        self,
        proven: Result<Option<KeyThumbprint>, ProofRefusal>,
    ) -> Result<Option<KeyThumbprint>, ProofRefusal> {
        match self.device_key(proven)? {
            None if self == Self::Required => Err(ProofRefusal::Missing),
            key => Ok(key),
        }
    }
}

/// The keys with which a user signed in, and when each did last. Whoever ends the session of another device removes its
/// key too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceKeys(pub BTreeMap<KeyThumbprint, Timestamp>);

impl DeviceKeys {
    /// Whether the key is one of the newest [`MAX_DEVICE_KEYS`]. Sign-ins at the same time may leave more of them.
    pub fn contains(&self, key: &KeyThumbprint) -> bool {
        self.newest_first().take(MAX_DEVICE_KEYS).any(|known| known == key)
    }

    /// The keys to forget when this one signs in, so that no more than [`MAX_DEVICE_KEYS`] are left.
    pub fn superseded_by(&self, key: &KeyThumbprint) -> Vec<KeyThumbprint> {
        let others = self.newest_first().filter(|known| *known != key);
        others.skip(MAX_DEVICE_KEYS.saturating_sub(1)).cloned().collect()
    }

    /// All keys but this one.
    pub fn others_than(&self, own: Option<&KeyThumbprint>) -> Vec<KeyThumbprint> {
        self.0.keys().filter(|key| own != Some(*key)).cloned().collect()
    }

    fn newest_first(&self) -> impl Iterator<Item = &KeyThumbprint> {
        let mut keys: Vec<_> = self.0.iter().collect();
        keys.sort_by(|(a, a_at), (b, b_at)| b_at.cmp(a_at).then(a.cmp(b)));
        keys.into_iter().map(|(key, _)| key)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(n: usize) -> KeyThumbprint {
        format!("{n:043}").parse().unwrap()
    }

    fn keys(count: usize) -> DeviceKeys {
        DeviceKeys((0..count).map(|n| (key(n), Timestamp::from_seconds(n.try_into().unwrap()))).collect())
    }

    #[test]
    fn the_oldest_key_is_forgotten_when_a_new_one_signs_in_beyond_twenty() {
        assert_eq!(keys(19).superseded_by(&key(99)), []);
        assert_eq!(keys(20).superseded_by(&key(99)), [key(0)]);
        assert_eq!(keys(20).superseded_by(&key(5)), []);
        assert_eq!(keys(22).superseded_by(&key(99)), [key(2), key(1), key(0)]);
    }

    #[test]
    fn of_more_than_twenty_keys_the_newest_twenty_are_known() {
        let many = keys(22);
        assert!(many.contains(&key(2)) && many.contains(&key(21)));
        assert!(!many.contains(&key(1)) && !many.contains(&key(99)));
    }
}
