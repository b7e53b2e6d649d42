//! The key that derives codes by a keyed MAC, so that nothing that is stored reveals a code.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::values::ids::ChallengeId;
use crate::values::otp_code::OtpCode;
use crate::values::phone::PhoneNumber;
use crate::values::purpose::Purpose;

/// How many codes there are; each is equally likely.
const CODES: u32 = 1_000_000;

/// The version of the key's secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CodeKeyVersion(String);

impl CodeKeyVersion {
    pub fn new(version: impl Into<String>) -> Self {
        Self(version.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Must be secret and long (the template generates 64 random characters).
#[derive(Clone)]
pub struct CodeKey {
    version: CodeKeyVersion,
    secret: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the code key has fewer than 32 bytes")]
pub struct WeakCodeKey;

impl CodeKey {
    /// Refuses fewer than 32 bytes, the output length of SHA-256 (RFC 2104 §3).
    pub fn new(version: CodeKeyVersion, secret: Vec<u8>) -> Result<Self, WeakCodeKey> {
        if secret.len() < 32 { Err(WeakCodeKey) } else { Ok(Self { version, secret }) }
    }

    pub fn version(&self) -> &CodeKeyVersion {
        &self.version
    }

    /// The code of a challenge: HMAC-SHA-256 (RFC 2104) over challenge, purpose, organization, caller and phone, reduced to
    /// six digits by rejection sampling, so that every code is equally likely.
    pub(crate) fn derive(&self, challenge: &ChallengeId, purpose: &Purpose, phone: &PhoneNumber) -> OtpCode {
        // A word of 32 bits is used only below the largest multiple of a million. All 8 words of a block are rejected
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
        // HMAC accepts keys of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return [0; 32] };
        let caller = purpose.caller().map_or("", |caller| caller.as_str());
        for part in [challenge.as_str(), purpose.name(), purpose.organization().as_str(), caller, phone.e164()] {
            // A length before each part: no two different tuples give the same bytes.
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
    use crate::values::ids::UserId;
    use crate::values::text::OrganizationId;

    fn key() -> CodeKey {
        CodeKey::new(CodeKeyVersion::new("1"), vec![7; 32]).unwrap()
    }

    fn phone(text: &str) -> PhoneNumber {
        PhoneNumber::from_e164(text).unwrap()
    }

    #[test]
    fn a_code_depends_on_challenge_purpose_organization_caller_and_phone() {
        let challenge = ChallengeId::from_random([1; 16]);
        let sign_in = |organization| Purpose::SignIn { organization: OrganizationId::parse(organization).unwrap() };
        let verify = |caller: u8| Purpose::VerifyPhone {
            organization: OrganizationId::parse("a").unwrap(),
            caller: UserId::from_random([caller; 16]),
        };
        let of = |challenge: &ChallengeId, purpose: Purpose, number: &str| {
            key().derive(challenge, &purpose, &phone(number)).reveal()
        };
        let code = of(&challenge, sign_in("a"), "+9779841234567");
        assert_eq!(code, of(&challenge, sign_in("a"), "+9779841234567"));
        assert_ne!(code, of(&ChallengeId::from_random([3; 16]), sign_in("a"), "+9779841234567"));
        assert_ne!(code, of(&challenge, sign_in("b"), "+9779841234567"));
        assert_ne!(code, of(&challenge, verify(1), "+9779841234567"));
        assert_ne!(of(&challenge, verify(1), "+9779841234567"), of(&challenge, verify(2), "+9779841234567"));
        assert_ne!(code, of(&challenge, sign_in("a"), "+9779841234568"));
    }

    #[test]
    fn codes_are_uniform_from_000000_to_999999() {
        // Chi-squared over 100 equal bins of 50,000 codes: the 99.99th percentile for 99 degrees of freedom is 161.
        let mut bins = [0_u32; 100];
        let purpose = Purpose::SignIn { organization: OrganizationId::parse("default").unwrap() };
        for n in 0..50_000_u128 {
            let code = key().derive(&ChallengeId::from_random(n.to_be_bytes()), &purpose, &phone("+9779841234567"));
            bins[code.reveal()[..2].parse::<usize>().unwrap()] += 1;
        }
        let chi_squared: f64 = bins.iter().map(|seen| (f64::from(*seen) - 500.0).powi(2) / 500.0).sum();
        assert!(chi_squared < 161.0, "{chi_squared}");
    }

    #[test]
    fn debug_hides_the_key() {
        assert_eq!(format!("{:?}", key()), "CodeKey(1, …)");
    }
}
