//! Identifiers: a prefix that says what is named, then 128 random bits in Crockford's base 32.
//!
//! They are unguessable, but they are names, not secrets: they may be logged.

use std::fmt;
use std::str::FromStr;

/// Crockford's base 32, lower case: no i, l, o, u. <https://www.crockford.com/base32.html>
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits need 26 characters of 5 bits.
const LENGTH: usize = 26;

/// The text is not an identifier of the kind that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedId;

impl fmt::Display for MalformedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an identifier of this kind")
    }
}

impl std::error::Error for MalformedId {}

fn encode(prefix: &str, random: [u8; 16]) -> String {
    let mut rest = u128::from_be_bytes(random);
    let mut digits = [b'0'; LENGTH];
    for digit in digits.iter_mut().rev() {
        if let Some(symbol) = ALPHABET.get((rest & 31) as usize) {
            *digit = *symbol;
        }
        rest >>= 5;
    }
    let mut text = String::with_capacity(prefix.len().saturating_add(LENGTH));
    text.push_str(prefix);
    text.extend(digits.iter().map(|digit| char::from(*digit)));
    text
}

fn check(prefix: &str, text: &str) -> Result<(), MalformedId> {
    let digits = text.strip_prefix(prefix).ok_or(MalformedId)?;
    if digits.len() == LENGTH && digits.bytes().all(|digit| ALPHABET.contains(&digit)) {
        Ok(())
    } else {
        Err(MalformedId)
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Makes one of 16 random bytes.
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(encode($prefix, random))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                check($prefix, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// Names a user; `sub` in tokens.
    UserId, "usr_"
);
identifier!(
    /// Names a signed-in device; `sid` in tokens.
    SessionId, "ses_"
);
identifier!(
    /// Names a challenge: one code, sent to one phone for one purpose.
    ChallengeId, "chl_"
);
identifier!(
    /// Names one token; `jti`.
    TokenId, "tok_"
);
identifier!(
    /// Names a signing key; `kid` in the head of tokens.
    KeyId, "key_"
);
