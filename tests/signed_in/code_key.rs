//! The key that derives codes can be replaced at any time without any effect on sign-ins.

use serde_json::json;
use tests::{World, person, wrong};

use crate::PHONE;

/// Longer than a process caches a secret, and shorter than the lifetime of a code.
const CACHED_SECONDS: u64 = 301;

async fn replace_key(world: &World) {
    let version = "00000000-0000-4000-8000-000000000001";
    let replaced = json!({"SecretId": "CodeKeySecret", "SecretString": "k".repeat(64), "ClientRequestToken": version});
    world.secrets_manager("PutSecretValue", replaced).await;
    world.advance(CACHED_SECONDS);
}

#[tokio::test]
async fn a_code_stays_valid_after_the_key_that_derived_it_is_replaced() {
    let world = World::new().await;
    let before = world.send_code(PHONE).await;
    replace_key(&world).await;
    let resent = world.send_code(PHONE).await;
    assert_eq!(resent.code, before.code);
    world.submit(PHONE, &wrong(&before.code)).send().await.assert_problem(400, "incorrect_otp");
    person(PHONE, &world.submit(PHONE, &before.code).send().await);
}

#[tokio::test]
async fn a_code_that_is_sent_after_the_key_is_replaced_signs_in() {
    let world = World::new().await;
    world.sign_in(PHONE).await;
    replace_key(&world).await;
    let sent = world.send_code(PHONE).await;
    world.submit(PHONE, &wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
    person(PHONE, &world.submit(PHONE, &sent.code).send().await);
}
