//! A proof that a client has a device's key (DPoP, RFC 9449): what its claims must say. The adapters verify its signature.

use serde::Deserialize;
use thiserror::Error;

use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::time::{MINUTE, Timestamp};

/// `typ` of a proof (RFC 9449 §4.2).
pub const PROOF_TYPE: &str = "dpop+jwt";
/// How far `iat` may be from the time here, before or after it. RFC 9449 §11.1 asks for seconds or minutes; the clocks of
/// phones are not exact. Seconds.
pub const PROOF_SKEW_SECONDS: u32 = 5 * MINUTE;

/// Claims of a proof (RFC 9449 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProofClaims {
    pub jti: String,
    /// The method of the request.
    pub htm: String,
    /// The URL of the request.
    pub htu: String,
    pub iat: Timestamp,
    /// The digest of the access token that the proof accompanies.
    pub ath: Option<String>,
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProofRefusal {
    #[error("the request has no proof")]
    Missing,
    #[error("the request has more than one proof")]
    Repeated,
    #[error(
        "the proof is not a JWT of three parts with the claims jti, htm, htu and iat, each once, or it is too long"
    )]
    Malformed,
    #[error("typ is not dpop+jwt, or the header has critical extensions")]
    WrongType,
    #[error("alg is not ES256")]
    WrongAlgorithm,
    #[error("jwk is not a public key on the curve P-256")]
    WrongKey,
    #[error("the signature is not of the key in jwk")]
    WrongSignature,
    #[error("htm is not the method of this request")]
    OtherMethod,
    #[error("htu is not the URL of this request")]
    OtherUrl,
    #[error("iat is too far from the time here")]
    OutsideTime,
    #[error("ath is not the digest of the access token")]
    OtherToken,
    #[error("the key is not the one that the token is bound to")]
    OtherKey,
    #[error("the token is bound to a key, so the Authorization header must be DPoP <token>")]
    BoundToken,
    #[error("the token is bound to no key, so the Authorization header must be Bearer <token>")]
    UnboundToken,
    #[error("the session is bound to no key, so it cannot do this; the former number can")]
    UnboundSession,
}

impl ProofRefusal {
    pub const ALL: [Self; 15] = [
        Self::Missing,
        Self::Repeated,
        Self::Malformed,
        Self::WrongType,
        Self::WrongAlgorithm,
        Self::WrongKey,
        Self::WrongSignature,
        Self::OtherMethod,
        Self::OtherUrl,
        Self::OutsideTime,
        Self::OtherToken,
        Self::OtherKey,
        Self::BoundToken,
        Self::UnboundToken,
        Self::UnboundSession,
    ];

    /// The name between functions of different versions, and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongKey => "wrong_key",
            Self::WrongSignature => "wrong_signature",
            Self::OtherMethod => "other_method",
            Self::OtherUrl => "other_url",
            Self::OutsideTime => "outside_time",
            Self::OtherToken => "other_token",
            Self::OtherKey => "other_key",
            Self::BoundToken => "bound_token",
            Self::UnboundToken => "unbound_token",
            Self::UnboundSession => "unbound_session",
        }
    }
}

/// What a proof must be made for.
#[derive(Clone, Copy, Debug)]
pub struct ProofTarget<'a> {
    pub method: &'a str,
    /// The URLs of the request, without query and fragment. One of them is enough.
    pub urls: &'a [String],
    /// `ath` of the access token in the request, if there is one.
    pub access_token_digest: Option<&'a str>,
}

impl ProofClaims {
    /// Checks a proof whose signature is valid. `htu` is normalized as the URLs of the target are.
    pub fn check(&self, target: &ProofTarget<'_>, now: Timestamp) -> Result<(), ProofRefusal> {
        if self.jti.is_empty() {
            return Err(ProofRefusal::Malformed);
        }
        if self.htm != target.method {
            return Err(ProofRefusal::OtherMethod);
        }
        if !target.urls.contains(&self.htu) {
            return Err(ProofRefusal::OtherUrl);
        }
        if self.iat > now.plus(PROOF_SKEW_SECONDS) || self.iat < now.minus(PROOF_SKEW_SECONDS) {
            return Err(ProofRefusal::OutsideTime);
        }
        if target.access_token_digest.is_some_and(|digest| self.ath.as_deref() != Some(digest)) {
            return Err(ProofRefusal::OtherToken);
        }
        Ok(())
    }
}

/// Checks that a request which continues something bound to `bound` has proven that key.
pub fn require_key(bound: &KeyThumbprint, proven: Option<&KeyThumbprint>) -> Result<(), ProofRefusal> {
    match proven {
        Some(proven) if proven == bound => Ok(()),
        Some(_) => Err(ProofRefusal::OtherKey),
        None => Err(ProofRefusal::Missing),
    }
}
