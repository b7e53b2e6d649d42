//! A device with a key in its keystore, which proves with DPoP (RFC 9449) that it has the key.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::Call;

pub struct Device {
    pair: EcdsaKeyPair,
}

impl Device {
    pub fn new() -> Self {
        Self { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    /// The public key (RFC 7517).
    pub fn jwk(&self) -> Value {
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    pub fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()})
    }

    /// The claims of a valid proof of this request.
    pub fn claims(&self, call: &Call<'_>) -> Value {
        json!({"jti": "e1j3V_bKic8-LAEB", "htm": call.method(), "htu": call.url(), "iat": call.now()})
    }

    /// A JWT of any header and claims, with a valid signature.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// As [`Device::sign`], of texts that need not be JSON.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A valid proof of this request together with an access token (RFC 9449 §7).
    pub fn proof_with_token(&self, call: &Call<'_>, access_token: &str) -> String {
        let mut claims = self.claims(call);
        claims["ath"] = json!(digest(access_token));
        self.sign(&self.header(), &claims)
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-256 in base64url.
pub fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}
