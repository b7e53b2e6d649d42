//! JSON Web Tokens, ES256 (RFC 7519, RFC 8725): signing them and verifying their signatures.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::rules::signing_keys::{KeySet, PublicKey};
use domain::rules::token::{ACCESS_TYPE, AccessClaims, REFRESH_TYPE, RefreshClaims, TokenClaims};
use domain::values::ids::{KeyId, TokenId};
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::random;

/// Longer than any token that we issue, in bytes. A longer token is rejected without parsing.
const MAX_TOKEN_BYTES: usize = 8_192;

#[derive(Clone)]
pub struct SignedTokens {
    access: String,
    refresh: String,
    access_expires_in: u32,
    refresh_expires_in: u32,
    /// How the access token is presented: `Bearer` (RFC 6750), or `DPoP` if it is bound to a key (RFC 9449 §5).
    scheme: &'static str,
}

impl SignedTokens {
    pub fn access_token(&self) -> &str {
        &self.access
    }

    /// The members of a token response (RFC 6749 §5.1).
    pub fn to_json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("token_type".into(), json!(self.scheme));
        members.insert("access_token".into(), json!(self.access));
        members.insert("expires_in".into(), json!(self.access_expires_in));
        members.insert("refresh_token".into(), json!(self.refresh));
        members.insert("refresh_expires_in".into(), json!(self.refresh_expires_in));
        members
    }
}

/// The identifiers of a new pair of tokens.
pub fn new_token_ids() -> Result<[TokenId; 2], Unavailable> {
    Ok([TokenId::from_random(random::bytes()?), TokenId::from_random(random::bytes()?)])
}

#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    pair: Arc<EcdsaKeyPair>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, …)", self.id)
    }
}

impl SigningKey {
    /// Parses a P-256 key in PKCS #8 (RFC 5958). This checks the key against its public half, which takes longer than
    /// signing.
    pub fn from_pkcs8(id: KeyId, pkcs8: &[u8]) -> Result<Self, Unavailable> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        let pair = pair.map_err(|error| Unavailable::new("read a signing key", error.to_string()))?;
        Ok(Self { id, pair: Arc::new(pair) })
    }

    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Signs both tokens of a response.
    pub fn sign(&self, claims: &TokenClaims) -> Result<SignedTokens, Unavailable> {
        Ok(SignedTokens {
            access: self.sign_one(ACCESS_TYPE, &claims.access)?,
            refresh: self.sign_one(REFRESH_TYPE, &claims.refresh)?,
            access_expires_in: claims.access.iat.seconds_until(claims.access.exp),
            refresh_expires_in: claims.refresh.iat.seconds_until(claims.refresh.exp),
            scheme: if claims.access.cnf.is_some() { "DPoP" } else { "Bearer" },
        })
    }

    fn sign_one(&self, kind: &str, claims: &impl Serialize) -> Result<String, Unavailable> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(kind.to_owned());
        header.kid = Some(self.id.to_string());
        // Assembled here (RFC 7515 §7.1), because `jsonwebtoken` would parse the key again for each token.
        let signed = format!("{}.{}", encoded(&header)?, encoded(claims)?);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| Unavailable::new("sign a token", "no randomness"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn encoded(part: &impl Serialize) -> Result<String, Unavailable> {
    let json = serde_json::to_vec(part).map_err(|error| Unavailable::new("sign a token", error))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Forged, issued by someone else, of the other kind, or not a token.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the token was not issued here")]
pub struct InvalidToken;

/// Our public keys, parsed, by their ids: the published ones, and retired ones whose refresh tokens may still be second
/// signals.
pub struct VerifyingKeys(BTreeMap<String, VerifyingKey>);

struct VerifyingKey {
    key: DecodingKey,
    is_published: bool,
}

impl VerifyingKeys {
    /// Omits keys that are not points on the curve.
    pub fn new(keys: &KeySet, now: Timestamp) -> Self {
        let key = |public: &PublicKey| {
            let key = DecodingKey::from_ec_components(&public.x, &public.y).ok()?;
            Some((public.id.to_string(), VerifyingKey { key, is_published: public.is_valid(now) }))
        };
        Self(keys.kept(now).filter_map(key).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The claims of an access token with a valid signature. The domain decides what they mean.
    pub fn access(&self, token: &str) -> Result<AccessClaims, InvalidToken> {
        self.claims(token, ACCESS_TYPE, |key| key.is_published)
    }

    /// The claims of a refresh token with a valid signature.
    pub fn refresh(&self, token: &str) -> Result<RefreshClaims, InvalidToken> {
        self.claims(token, REFRESH_TYPE, |key| key.is_published)
    }

    /// The claims of a refresh token whose key may have retired since.
    pub fn refresh_of_any_age(&self, token: &str) -> Result<RefreshClaims, InvalidToken> {
        self.claims(token, REFRESH_TYPE, |_| true)
    }

    fn claims<T: DeserializeOwned>(
        &self,
        token: &str,
        kind: &str,
        is_accepted: fn(&VerifyingKey) -> bool,
    ) -> Result<T, InvalidToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(InvalidToken);
        }
        let header = decode_header(token).map_err(|_| InvalidToken)?;
        // The kind must match, critical extensions are not supported (RFC 7515 §4.1.11), and the key must be one of ours,
        // never one that the token contains or points to.
        if header.typ.as_deref() != Some(kind) || header.crit.is_some() || header.alg != Algorithm::ES256 {
            return Err(InvalidToken);
        }
        let known = header.kid.as_deref().and_then(|kid| self.0.get(kid)).filter(|known| is_accepted(known));
        signed_claims(token, &known.ok_or(InvalidToken)?.key, Algorithm::ES256).ok_or(InvalidToken)
    }
}

/// The claims of a token that this key signed. Only the signature is verified: the domain decides about the claims.
pub fn signed_claims<T: DeserializeOwned>(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<T> {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    decode(token, key, &validation).ok().map(|data| data.claims)
}

/// The key set in the format of RFC 7517 §5.
pub fn jwks_json(keys: &KeySet, now: Timestamp) -> Value {
    let key = |key: &PublicKey| json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.id.as_str(), "x": key.x, "y": key.y});
    json!({"keys": keys.valid(now).map(key).collect::<Vec<Value>>()})
}
