//! One-time codes: six digits derived by a keyed MAC, so that nothing that is stored tells them.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::challenge::Purpose;
use crate::ids::ChallengeId;
use crate::phone::PhoneNumber;

/// Decimal digits in a code. NIST SP 800-63B-4 §3.1.3.2 asks for at least six.
pub const DIGITS: usize = 6;
/// How many codes there are; each is equally likely.
const CODES: u32 = 1_000_000;

/// A six-digit code. It can be compared and put in a message; it can't be printed.
#[derive(Clone)]
pub struct OtpCode([u8; DIGITS]);

/// Not six digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedCode;

impl fmt::Display for MalformedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a six-digit code")
    }
}

impl std::error::Error for MalformedCode {}

impl OtpCode {
    /// Reads what a person typed: six digits, Devanagari ones too, with spaces or a hyphen anywhere.
    pub fn parse(text: &str) -> Result<Self, MalformedCode> {
        let mut digits = [0_u8; DIGITS];
        let mut places = digits.iter_mut();
        for typed in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            *places.next().ok_or(MalformedCode)? = ascii_digit(typed).ok_or(MalformedCode)?;
        }
        if places.next().is_some() { Err(MalformedCode) } else { Ok(Self(digits)) }
    }

    /// Whether both are the same code, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The digits, for the message to the phone and nothing else.
    pub fn reveal(&self) -> String {
        self.0.iter().map(|digit| char::from(*digit)).collect()
    }

    fn from_number(number: u32) -> Self {
        let mut rest = number;
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.saturating_add((rest % 10) as u8);
            rest /= 10;
        }
        Self(digits)
    }
}

impl fmt::Debug for OtpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtpCode(…)")
    }
}

fn ascii_digit(typed: char) -> Option<u8> {
    let value = match typed {
        '0'..='9' => typed.to_digit(10)?,
        // Devanagari digits, U+0966 to U+096F.
        '०'..='९' => u32::from(typed).checked_sub(0x0966)?,
        _ => return None,
    };
    u8::try_from(value).ok()?.checked_add(b'0')
}

/// Which version of the key derived a code; the version of its secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CodeKeyVersion(String);

impl CodeKeyVersion {
    /// Names a version.
    pub fn new(version: impl Into<String>) -> Self {
        Self(version.into())
    }

    /// The version's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key that derives codes; it must be secret and long (the template makes 64 random characters).
#[derive(Clone)]
pub struct CodeKey {
    version: CodeKeyVersion,
    secret: Vec<u8>,
}

/// The key is too short to be worth its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakCodeKey;

impl fmt::Display for WeakCodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the code key has fewer than 32 bytes")
    }
}

impl std::error::Error for WeakCodeKey {}

impl CodeKey {
    /// Takes the key's bytes; fewer than 32 (the output of SHA-256; RFC 2104 §3) are refused.
    pub fn new(version: CodeKeyVersion, secret: Vec<u8>) -> Result<Self, WeakCodeKey> {
        if secret.len() < 32 { Err(WeakCodeKey) } else { Ok(Self { version, secret }) }
    }

    /// The version to store beside a challenge.
    pub fn version(&self) -> &CodeKeyVersion {
        &self.version
    }

    /// The code of a challenge: HMAC-SHA-256 (RFC 2104) over challenge, purpose, caller and phone, brought to six
    /// digits by rejection, so that every code is equally likely.
    pub fn derive(&self, challenge: &ChallengeId, purpose: &Purpose, phone: &PhoneNumber) -> OtpCode {
        // A word of 32 bits is kept only below the largest multiple of a million; 8 words a block are all refused
        // about once in 10^29 blocks.
        let bound = u32::MAX - u32::MAX % CODES;
        for block in 0_u32..=u32::MAX {
            let mac = self.mac(challenge, purpose, phone, block);
            for word in mac.chunks_exact(4) {
                let number = word.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
                if number < bound {
                    return OtpCode::from_number(number % CODES);
                }
            }
        }
        OtpCode::from_number(0)
    }

    fn mac(&self, challenge: &ChallengeId, purpose: &Purpose, phone: &PhoneNumber, block: u32) -> [u8; 32] {
        // HMAC takes keys of any length, so this can't fail; a key of zeros would be the harm if it did.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return [0; 32] };
        let caller = purpose.caller().map_or("", |caller| caller.as_str());
        for part in [challenge.as_str(), purpose.name(), caller, phone.e164()] {
            // Each part after its length: no two different tuples give the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(&block.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeKey({}, …)", self.version.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::ids::UserId;

    fn key() -> CodeKey {
        CodeKey::new(CodeKeyVersion::new("1"), vec![7; 32]).unwrap()
    }

    fn phone(text: &str) -> PhoneNumber {
        PhoneNumber::from_e164(text).unwrap()
    }

    #[test]
    fn a_code_is_read_in_either_script_and_nothing_else_is() {
        assert_eq!(OtpCode::parse("०१२ ३४५").unwrap().reveal(), "012345");
        assert_eq!(OtpCode::parse(" 012-345 ").unwrap().reveal(), "012345");
        for text in ["", "12345", "1234567", "12345a", "+12345", "¹23456", "12345\u{0}"] {
            assert!(OtpCode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_code_belongs_to_its_challenge_purpose_caller_and_phone() {
        let challenge = ChallengeId::from_random([1; 16]);
        let caller = UserId::from_random([2; 16]);
        let of = |challenge: &ChallengeId, purpose: Purpose, number: &str| {
            key().derive(challenge, &purpose, &phone(number)).reveal()
        };
        let code = of(&challenge, Purpose::SignIn, "+9779841234567");
        assert_eq!(code, of(&challenge, Purpose::SignIn, "+9779841234567"));
        assert_ne!(code, of(&ChallengeId::from_random([3; 16]), Purpose::SignIn, "+9779841234567"));
        assert_ne!(code, of(&challenge, Purpose::VerifyPhone { caller }, "+9779841234567"));
        assert_ne!(code, of(&challenge, Purpose::SignIn, "+9779841234568"));
    }

    #[test]
    fn codes_are_uniform_from_000000_to_999999() {
        // Chi-squared over 100 equal bins of 50,000 codes: the 99.99th percentile for 99 degrees of freedom is 161.
        let mut bins = [0_u32; 100];
        for n in 0..50_000_u128 {
            let code =
                key().derive(&ChallengeId::from_random(n.to_be_bytes()), &Purpose::SignIn, &phone("+9779841234567"));
            bins[code.reveal()[..2].parse::<usize>().unwrap()] += 1;
        }
        let chi_squared: f64 = bins.iter().map(|seen| (f64::from(*seen) - 500.0).powi(2) / 500.0).sum();
        assert!(chi_squared < 161.0, "{chi_squared}");
    }

    #[test]
    fn debug_shows_neither_code_nor_key() {
        assert_eq!(format!("{:?}", OtpCode::parse("123456").unwrap()), "OtpCode(…)");
        assert_eq!(format!("{:?}", key()), "CodeKey(1, …)");
    }
}
