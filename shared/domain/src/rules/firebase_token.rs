//! ID tokens of Firebase phone sign-in: what an accepted one must say. The adapters verify signatures.
//!
//! <https://firebase.google.com/docs/auth/admin/verify-id-tokens#verify_id_tokens_using_a_third-party_jwt_library>

use std::fmt;

use serde::Deserialize;

use super::limits::Limits;
use super::token::Grant;
use crate::values::phone::PhoneNumber;
use crate::values::text::MalformedText;
use crate::values::time::{HOUR, Timestamp};

/// How much Google's clock and ours may differ. Seconds; RFC 7519 §4.1.4 suggests no more than a few minutes.
pub const LEEWAY_SECONDS: u32 = 60;
/// How long ago the person may have typed Firebase's code: the lifetime of an ID token. A token that was issued later, for
/// Firebase's refresh token, proves nothing recent. Seconds.
const MAX_SECONDS_SINCE_SIGN_IN: u32 = HOUR;
/// The longest `sub`, in characters.
const MAX_SUBJECT_CHARACTERS: usize = 128;
/// `firebase.sign_in_provider` of a sign-in by phone.
const PHONE: &str = "phone";

/// The id of a Firebase project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirebaseProject(String);

impl FirebaseProject {
    /// Accepts the ids that Google documents
    /// (<https://cloud.google.com/resource-manager/docs/creating-managing-projects>).
    pub fn parse(text: &str) -> Result<Self, MalformedText> {
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (6..=30).contains(&text.len()) && text.chars().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedText { expected: "a Firebase project id: 6 to 30 lower-case letters, digits or hyphens" })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Deserialize)]
pub struct FirebaseClaims {
    iss: String,
    aud: String,
    sub: String,
    iat: Timestamp,
    exp: Timestamp,
    auth_time: Timestamp,
    phone_number: String,
    firebase: FirebaseMember,
}

#[derive(Clone, Deserialize)]
struct FirebaseMember {
    sign_in_provider: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirebaseRefusal {
    /// Not a token for this project, not a sign-in by phone, or used before.
    Invalid,
    /// The token has expired, or the person signed in too long ago.
    Expired,
}

impl FirebaseClaims {
    /// The phone that the token proves.
    pub fn proven_phone(&self, project: &FirebaseProject, now: Timestamp) -> Result<PhoneNumber, FirebaseRefusal> {
        let soon = now.plus(LEEWAY_SECONDS);
        let is_valid = self.aud == project.0
            && self.iss.strip_prefix("https://securetoken.google.com/") == Some(&project.0)
            && (1..=MAX_SUBJECT_CHARACTERS).contains(&self.sub.chars().count())
            && self.firebase.sign_in_provider == PHONE
            && self.iat <= soon
            && self.auth_time <= soon;
        let phone = PhoneNumber::from_e164(&self.phone_number).map_err(|_| FirebaseRefusal::Invalid)?;
        if !is_valid {
            return Err(FirebaseRefusal::Invalid);
        }
        let is_recent = now < self.auth_time.plus(MAX_SECONDS_SINCE_SIGN_IN).plus(LEEWAY_SECONDS);
        if now < self.valid_until() && is_recent { Ok(phone) } else { Err(FirebaseRefusal::Expired) }
    }

    /// When the person typed Firebase's code.
    pub const fn authenticated_at(&self) -> Timestamp {
        self.auth_time
    }

    /// From then on the token is refused, whatever the clocks say.
    pub fn valid_until(&self) -> Timestamp {
        self.exp.plus(LEEWAY_SECONDS)
    }
}

/// SHA-256 of the part of a token that its signature covers: enough to recognize the token, and not to present it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest(String);

impl TokenDigest {
    /// Accepts any canonical text form of the digest.
    pub fn new(digest: String) -> Self {
        Self(digest)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// An ID token that was verified.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// As Firebase wrote it.
    pub phone: PhoneNumber,
    pub digest: TokenDigest,
    pub authenticated_at: Timestamp,
    pub valid_until: Timestamp,
}

impl VerifiedToken {
    /// A fresh token says that its holder typed a code within the lifetime of an access token.
    pub fn grant(&self, limits: &Limits, now: Timestamp) -> Grant {
        let is_recent = now <= self.authenticated_at.plus(limits.access_token_seconds);
        if is_recent { Grant::Code } else { Grant::EarlierProof }
    }
}
