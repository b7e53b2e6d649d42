//! Makes tokens of any content that are signed with the key of the system or with a foreign key.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use tests::World;
pub use tests::token::{claims, header};

/// PKCS #8 of a P-256 key that no system uses, with its public point.
const FOREIGN_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg46qfhf/C+TyKFZqKypCzdLjYRDiKarNd7dBnygygGsqhRANCAAQRu/T1oKWPsS82Ro46HatIReWN3uTF2nMrtlwAjbLwVGOTOca/D5KSPSW+hm6j34nOC5rYJOHCS5p/Brp6+R9i";

/// A P-256 key; `x` and `y` are its public point in base64url.
pub struct Key {
    pub x: String,
    pub y: String,
    signing: EncodingKey,
}

/// The key that the system signs with, from its Secrets Manager.
pub async fn own_key(world: &World) -> Key {
    let secret = world.secrets_manager("GetSecretValue", json!({"SecretId": "SigningKeySecret"})).await;
    let pair: Value = serde_json::from_str(secret["SecretString"].as_str().unwrap()).unwrap();
    let text = |name: &str| pair[name].as_str().unwrap().to_owned();
    Key {
        x: text("x"),
        y: text("y"),
        signing: EncodingKey::from_ec_der(&STANDARD.decode(text("private_key")).unwrap()),
    }
}

pub fn foreign_key() -> Key {
    let der = STANDARD.decode(FOREIGN_KEY).unwrap();
    // The DER ends with the public point: x and y of 32 bytes each.
    let (x, y) = der[der.len() - 64..].split_at(32);
    Key { x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y), signing: EncodingKey::from_ec_der(&der) }
}

pub fn session_id(token: &str) -> String {
    claims(token)["sid"].as_str().unwrap().to_owned()
}

/// The signing input of a token: header and claims.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// A token signed with ES256, whatever algorithm its header names.
pub fn signed(header: &Value, claims: &Value, key: &Key) -> String {
    let message = unsigned(header, claims);
    let signature = crypto::sign(message.as_bytes(), &key.signing, Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

/// A token signed with HS256.
pub fn symmetric(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = unsigned(header, claims);
    let mac = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256).unwrap();
    format!("{message}.{mac}")
}
