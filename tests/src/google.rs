//! Google, as Firebase's ID tokens know it: keys of the tests' own behind an address of the tests' own.

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

/// The Firebase project of the tests.
pub const PROJECT: &str = "himal-sign-in";

/// A key of Google's, or so the world believes.
pub struct Key(pub KeyPair);

impl Key {
    /// The one that the world believes in.
    pub fn of_google() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(|| Self(KeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// Another's.
    pub fn of_a_stranger() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(|| Self(KeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// Its public half (RFC 7517).
    pub fn jwk(&self, id: &str) -> Value {
        let public = self.0.public_key();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": id,
            "n": text(public.modulus().big_endian_without_leading_zero()),
            "e": text(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// Signs a token.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs a token of any two texts.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Where the keys are.
pub struct Google {
    /// The address of the key set.
    pub url: String,
    asked: Arc<AtomicUsize>,
    /// Whether it fails.
    pub is_down: Arc<AtomicBool>,
    /// Whether its key is called "second" by now.
    pub is_rotated: Arc<AtomicBool>,
}

impl Google {
    /// Serves keys with that `Cache-Control`.
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

    /// How often the keys were asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What makes a world believe in it.
    pub fn variables(&self) -> [(&str, &str); 2] {
        [("FIREBASE_PROJECT_ID", PROJECT), ("FIREBASE_JWKS_URL", &self.url)]
    }

    /// A world that believes in it.
    pub async fn world(&self) -> World {
        World::with(&self.variables()).await
    }
}

/// A token's header.
pub fn header() -> Value {
    json!({"alg": "RS256", "kid": "first", "typ": "JWT"})
}

/// What a token of a sign-in by phone says.
pub fn claims(world: &World, phone: &str) -> Value {
    let now = world.now();
    json!({
        "iss": format!("https://securetoken.google.com/{PROJECT}"), "aud": PROJECT, "sub": "Zs2kPq", "user_id": "Zs2kPq",
        "iat": now - 5, "exp": now - 5 + 3_600, "auth_time": now - 5, "phone_number": phone,
        "firebase": {"identities": {"phone": [phone]}, "sign_in_provider": "phone"},
    })
}
