//! A stand-in for Google's public keys, with which Firebase's ID tokens are verified, and tokens signed by its key.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::World;

pub const PROJECT: &str = "himal-sign-in";

/// A key that signs ID tokens.
pub struct Key(pub KeyPair);

impl Key {
    /// The key that [`Google`] publishes.
    pub fn of_google() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(|| Self(KeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// A key that [`Google`] does not publish.
    pub fn of_a_stranger() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(|| Self(KeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// The public key (RFC 7517).
    pub fn jwk(&self, id: &str) -> Value {
        let public = self.0.public_key();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": id,
            "n": text(public.modulus().big_endian_without_leading_zero()),
            "e": text(public.exponent().big_endian_without_leading_zero()),
        })
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs a header and claims that may be malformed.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A server of the public key set.
pub struct Google {
    pub url: String,
    asked: Arc<AtomicUsize>,
    /// Answers 500 while true.
    pub is_down: Arc<AtomicBool>,
    /// Publishes the key as "second" instead of "first" while true.
    pub is_rotated: Arc<AtomicBool>,
}

impl Google {
    /// Starts a server whose answers have this `Cache-Control`.
    pub async fn serving(cache_control: &'static str) -> Self {
        let (asked, is_down, is_rotated) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let answer = {
            let (asked, is_down, is_rotated) = (Arc::clone(&asked), Arc::clone(&is_down), Arc::clone(&is_rotated));
            async move || {
                asked.fetch_add(1, Ordering::SeqCst);
                if is_down.load(Ordering::SeqCst) {
                    return (StatusCode::INTERNAL_SERVER_ERROR, [("cache-control", "no-store")], String::new());
                }
                let id = if is_rotated.load(Ordering::SeqCst) { "second" } else { "first" };
                let keys = json!({"keys": [Key::of_google().jwk(id)]}).to_string();
                (StatusCode::OK, [("cache-control", cache_control)], keys)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", get(answer))).await });
        Self { url, asked, is_down, is_rotated }
    }

    /// The number of requests so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Makes a world verify ID tokens with these keys.
    pub fn variables(&self) -> [(&str, &str); 2] {
        [("FIREBASE_PROJECT_ID", PROJECT), ("FIREBASE_JWKS_URL", &self.url)]
    }

    /// Starts a world that verifies ID tokens with these keys.
    pub async fn world(&self) -> World {
        World::with(&self.variables()).await
    }
}

pub fn header() -> Value {
    json!({"alg": "RS256", "kid": "first", "typ": "JWT"})
}

/// The claims of a token for a sign-in by phone.
pub fn claims(world: &World, phone: &str) -> Value {
    let now = world.now();
    json!({
        "iss": format!("https://securetoken.google.com/{PROJECT}"), "aud": PROJECT, "sub": "Zs2kPq", "user_id": "Zs2kPq",
        "iat": now - 5, "exp": now - 5 + 3_600, "auth_time": now - 5, "phone_number": phone,
        "firebase": {"identities": {"phone": [phone]}, "sign_in_provider": "phone"},
    })
}
