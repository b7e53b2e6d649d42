//! JSON Web Tokens, ES256 (RFC 7519, RFC 8725): signed by those who hold the secret, checked by anyone.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Unavailable;
use domain::ids::{KeyId, TokenId};
use domain::signing_keys::{KeySet, PublicKey};
use domain::token::{ACCESS_TYPE, AccessClaims, REFRESH_TYPE, RefreshClaims, TokenClaims};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::random;

/// Longer than any token of ours; a longer one is refused unread.
const LONGEST_TOKEN: usize = 8_192;

/// A signed pair.
#[derive(Clone)]
pub struct SignedTokens {
    access: String,
    refresh: String,
    access_expires_in: u32,
    refresh_expires_in: u32,
}

impl SignedTokens {
    /// The access token.
    pub fn access_token(&self) -> &str {
        &self.access
    }

    /// The members of a token answer (RFC 6749 §5.1).
    pub fn to_json(&self) -> serde_json::Map<String, Value> {
        let mut members = serde_json::Map::new();
        members.insert("token_type".into(), json!("Bearer"));
        members.insert("access_token".into(), json!(self.access));
        members.insert("expires_in".into(), json!(self.access_expires_in));
        members.insert("refresh_token".into(), json!(self.refresh));
        members.insert("refresh_expires_in".into(), json!(self.refresh_expires_in));
        members
    }
}

/// Two fresh token identifiers.
///
/// # Errors
/// When there is no randomness.
pub fn fresh_ids() -> Result<[TokenId; 2], Unavailable> {
    Ok([TokenId::from_random(random::bytes()?), TokenId::from_random(random::bytes()?)])
}

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    pair: Arc<EcdsaKeyPair>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, …)", self.id)
    }
}

impl SigningKey {
    /// Takes a P-256 key in PKCS #8 (RFC 5958). That it fits its public half is checked, which costs more than to sign.
    ///
    /// # Errors
    /// When the key is no key.
    pub fn from_pkcs8(id: KeyId, pkcs8: &[u8]) -> Result<Self, Unavailable> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        let pair = pair.map_err(|error| Unavailable::new("read a signing key", error.to_string()))?;
        Ok(Self { id, pair: Arc::new(pair) })
    }

    /// Which key it is.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Signs both tokens of an answer.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn sign(&self, claims: &TokenClaims) -> Result<SignedTokens, Unavailable> {
        Ok(SignedTokens {
            access: self.sign_one(ACCESS_TYPE, &claims.access)?,
            refresh: self.sign_one(REFRESH_TYPE, &claims.refresh)?,
            access_expires_in: claims.access.iat.seconds_until(claims.access.exp),
            refresh_expires_in: claims.refresh.iat.seconds_until(claims.refresh.exp),
        })
    }

    fn sign_one(&self, kind: &str, claims: &impl Serialize) -> Result<String, Unavailable> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(kind.to_owned());
        header.kid = Some(self.id.to_string());
        // By hand (RFC 7515 §7.1): `jsonwebtoken` would take the key in anew for each token.
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

/// The token is not one of ours: forged, foreign, of the other kind, or no token at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOurs;

/// The published keys, ready to check signatures.
pub struct VerifyingKeys(BTreeMap<String, DecodingKey>);

impl VerifyingKeys {
    /// Of a key set; a key that is no point on the curve is left out.
    pub fn new(keys: &KeySet, now: domain::Timestamp) -> Self {
        let key = |public: &PublicKey| {
            Some((public.id.to_string(), DecodingKey::from_ec_components(&public.x, &public.y).ok()?))
        };
        Self(keys.good(now).filter_map(key).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The claims of an access token whose signature holds. What they mean is for the domain to say.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn access(&self, token: &str) -> Result<AccessClaims, NotOurs> {
        self.claims(token, ACCESS_TYPE)
    }

    /// The claims of a refresh token whose signature holds.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn refresh(&self, token: &str) -> Result<RefreshClaims, NotOurs> {
        self.claims(token, REFRESH_TYPE)
    }

    fn claims<T: DeserializeOwned>(&self, token: &str, kind: &str) -> Result<T, NotOurs> {
        if token.len() > LONGEST_TOKEN {
            return Err(NotOurs);
        }
        let header = decode_header(token).map_err(|_| NotOurs)?;
        // The kind first, then what we would have to understand and don't (RFC 7515 §4.1.11), then one of our own keys:
        // never one that the token brings or points to.
        if header.typ.as_deref() != Some(kind) || header.crit.is_some() || header.alg != Algorithm::ES256 {
            return Err(NotOurs);
        }
        let key = self.0.get(header.kid.as_deref().ok_or(NotOurs)?).ok_or(NotOurs)?;
        let mut signature_alone = Validation::new(Algorithm::ES256);
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_aud = false;
        decode(token, key, &signature_alone).map(|data| data.claims).map_err(|_| NotOurs)
    }
}

/// The key set as RFC 7517 §5 writes it.
pub fn jwks_json(keys: &KeySet, now: domain::Timestamp) -> Value {
    let key = |key: &PublicKey| json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.id.as_str(), "x": key.x, "y": key.y});
    json!({"keys": keys.good(now).map(key).collect::<Vec<Value>>()})
}
