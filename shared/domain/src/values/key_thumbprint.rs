//! The public key of a device, by its thumbprint.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// SHA-256 in base64url without padding.
const LENGTH: usize = 43;

/// The SHA-256 thumbprint of a JSON Web Key (RFC 7638).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyThumbprint(String);

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a SHA-256 thumbprint in base64url")]
pub struct MalformedThumbprint;

impl KeyThumbprint {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyThumbprint {
    type Err = MalformedThumbprint;

    fn from_str(text: &str) -> Result<Self, MalformedThumbprint> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for KeyThumbprint {
    type Error = MalformedThumbprint;

    fn try_from(text: String) -> Result<Self, MalformedThumbprint> {
        let is_base64url = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if text.len() == LENGTH && is_base64url { Ok(Self(text)) } else { Err(MalformedThumbprint) }
    }
}

impl From<KeyThumbprint> for String {
    fn from(thumbprint: KeyThumbprint) -> Self {
        thumbprint.0
    }
}

/// It recognizes a device, so no log contains it.
impl fmt::Debug for KeyThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyThumbprint(…)")
    }
}
