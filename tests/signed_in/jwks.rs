//! `/.well-known/*`: what any service needs to verify the tokens.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use tests::{Reply, World, with};

use crate::tokens::{claims, header, own_key, signed};
use crate::{OTHER, signed_in};

async fn jwks(world: &World) -> Reply {
    world.call("GET", "/.well-known/jwks.json").send().await
}

async fn published_ids(world: &World) -> Vec<String> {
    let keys = jwks(world).await.ok();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    header(token)["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_key_set_holds_the_public_half_of_the_signing_key_and_nothing_else() {
    let (world, person) = signed_in().await;
    let own = own_key(&world).await;
    let reply = jwks(&world).await;
    assert_eq!(reply.headers["cache-control"], "public, max-age=300");
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(
        reply.ok(),
        json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid(&person.access),
            "x": own.x, "y": own.y}]})
    );
}

#[tokio::test]
async fn the_metadata_names_the_issuer_and_the_address_of_its_keys() {
    let world = World::new().await;
    let reply = world.call("GET", "/.well-known/openid-configuration").send().await;
    assert_eq!(reply.headers["cache-control"], "public, max-age=300");
    let issuer = format!("http://{}", world.system.address());
    assert_eq!(
        reply.ok(),
        json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/.well-known/jwks.json"), "response_types_supported": [],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "dpop_signing_alg_values_supported": ["ES256"],
        })
    );
}

#[tokio::test]
async fn an_access_token_has_exactly_the_documented_claims() {
    let (world, person) = signed_in().await;
    let other = claims(&world.sign_in(OTHER).await.access);
    let own = claims(&person.access);
    let (issued, jti, sid) = (world.now(), &own["jti"], &own["sid"]);
    assert_eq!(header(&person.access), json!({"typ": "at+jwt", "alg": "ES256", "kid": published_ids(&world).await[0]}));
    assert_eq!(
        own,
        json!({
            "iss": format!("http://{}", world.system.address()), "aud": "latchkey", "sub": person.user_id,
            "iat": issued, "nbf": issued, "exp": issued + 900, "jti": jti, "client_id": "latchkey-app", "sid": sid,
            "fresh": true, "org": "default", "roles": {"default": ["default"]},
        })
    );
    assert!(jti.is_string() && *jti != other["jti"] && sid.is_string() && *sid != other["sid"]);
}

#[tokio::test]
async fn a_token_can_be_verified_with_the_published_keys_alone() {
    let (world, person) = signed_in().await;
    let metadata = world.call("GET", "/.well-known/openid-configuration").send().await;
    let issuer = metadata.text("issuer");
    let path = metadata.text("jwks_uri").strip_prefix(&issuer).unwrap().to_owned();
    let keys = world.call("GET", &path).send().await.ok();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid(&person.access)).unwrap();
    let key = DecodingKey::from_ec_components(key["x"].as_str().unwrap(), key["y"].as_str().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["latchkey"]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    let read = decode::<Value>(&person.access, &key, &validation).unwrap();
    assert_eq!(read.claims["sub"], json!(person.user_id));
    let (message, signature) = person.access.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let other = world.sign_in(OTHER).await.access;
    let altered = format!("{head}.{}.{signature}", other.split('.').nth(1).unwrap());
    assert!(decode::<Value>(&altered, &key, &validation).is_err());
    // A refresh token does not pass as an access token.
    assert!(decode::<Value>(&person.refresh, &key, &validation).is_err());
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_older_tokens_stay_valid() {
    let (world, person) = signed_in().await;
    let old = published_ids(&world).await;
    world.secrets_manager("RotateSecret", json!({"SecretId": "SigningKeySecret"})).await;
    let both = published_ids(&world).await;
    assert_eq!((both.len(), &both[0]), (2, &old[0]));
    let immediately = world.refreshed(&person).await;
    assert_eq!(kid(&immediately.access), old[0]);
    world.advance(660);
    let later = world.refreshed(&immediately).await;
    assert_eq!((kid(&later.access), kid(&later.refresh)), (both[1].clone(), both[1].clone()));
    for tokens in [&person, &later] {
        assert_eq!(world.me(tokens).await["user_id"], json!(person.user_id));
    }
    assert_eq!(published_ids(&world).await, both);
}

#[tokio::test]
async fn a_retired_key_is_not_published_and_its_tokens_open_no_route() {
    let (world, person) = signed_in().await;
    let retired = own_key(&world).await;
    for _ in 0..2 {
        world.secrets_manager("RotateSecret", json!({"SecretId": "SigningKeySecret"})).await;
        world.advance(32 * 86_400);
    }
    assert!(!published_ids(&world).await.contains(&kid(&person.access)));
    // As if the key had been stolen: tokens that would be valid today.
    let now = world.now();
    let today = |token: &str| {
        signed(&header(token), &with(&claims(token), json!({"iat": now, "nbf": now, "exp": now + 900})), &retired)
    };
    let access = world.call("GET", "/v1/me").bearer(&today(&person.access)).send().await;
    access.assert_problem(401, "token_invalid");
    world.refresh(&today(&person.refresh)).await.assert_problem(401, "token_invalid");
}
