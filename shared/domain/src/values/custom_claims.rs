//! What operators say of a user to backends: a JSON object that the user's access tokens bear.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

/// The most bytes of the object's text, so that a token still fits into a header.
pub const MAX_CLAIMS_BYTES: usize = 2_048;

/// The text of a JSON object, without needless spaces.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CustomClaims(String);

/// Never contains the text that was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected a JSON object of at most 2048 bytes")]
pub struct MalformedClaims;

impl CustomClaims {
    pub fn parse(text: &str) -> Result<Self, MalformedClaims> {
        let object: Map<String, Value> = serde_json::from_str(text).map_err(|_| MalformedClaims)?;
        let text = serde_json::to_string(&object).map_err(|_| MalformedClaims)?;
        if text.len() <= MAX_CLAIMS_BYTES { Ok(Self(text)) } else { Err(MalformedClaims) }
    }

    /// Restores what was parsed before.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As they stand in a token; none if somebody else wrote what is stored.
    pub fn in_token(&self) -> Option<CustomClaimsOfToken> {
        RawValue::from_string(self.0.clone()).ok().map(CustomClaimsOfToken)
    }

    pub fn object(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for CustomClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomClaims(…)")
    }
}

/// The member `claims` of an access token, as the token has it. Nothing here looks into it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomClaimsOfToken(Box<RawValue>);

impl CustomClaimsOfToken {
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for CustomClaimsOfToken {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for CustomClaimsOfToken {}

impl fmt::Debug for CustomClaimsOfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomClaimsOfToken(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_an_object_of_at_most_two_kilobytes() {
        assert_eq!(CustomClaims::parse(r#" {"plan": "gold"} "#).unwrap().as_str(), r#"{"plan":"gold"}"#);
        for wrong in ["", "7", "[]", "null", "{", r#"{"a":1} x"#] {
            assert_eq!(CustomClaims::parse(wrong), Err(MalformedClaims), "{wrong}");
        }
        let of_bytes = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        assert!(CustomClaims::parse(&of_bytes(MAX_CLAIMS_BYTES)).is_ok());
        assert!(CustomClaims::parse(&of_bytes(MAX_CLAIMS_BYTES + 1)).is_err());
    }
}
