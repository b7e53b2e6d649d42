//! Identifiers: a prefix that names the kind, then 128 random bits in Crockford's base 32.
//!
//! Nobody can guess one, but an identifier is not a secret: it may be logged.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Crockford's base 32, lower case: no i, l, o, u. <https://www.crockford.com/base32.html>
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits need 26 characters of 5 bits.
const LENGTH: usize = 26;

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an identifier of this kind")]
pub struct MalformedId;

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
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(encode($prefix, random))
            }

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
    /// `sub` in tokens.
    UserId, "usr_"
);
identifier!(
    /// One signed-in device; `sid` in tokens.
    SessionId, "ses_"
);
identifier!(
    /// One challenge as one of its sends issued it.
    ChallengeId, "chl_"
);
identifier!(
    /// What a user is told of their account, once.
    NoticeId, "ntc_"
);
identifier!(
    /// `jti` of a token.
    TokenId, "tok_"
);
identifier!(
    /// `kid` in the header of tokens.
    KeyId, "key_"
);
