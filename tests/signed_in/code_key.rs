//! The key that derives codes may be replaced at any time, and nobody on the way in notices.

use serde_json::json;
use tests::{World, person, wrong};

use crate::tokens::secrets_manager;

const PHONE: &str = "+9779841000001";
/// Longer than any process keeps a secret without asking again, and shorter than a code's life.
const CACHED_SECONDS: u64 = 301;

async fn replace_the_key(world: &World) {
    let version = "00000000-0000-4000-8000-000000000001";
    let replaced = json!({"SecretId": "CodeKeySecret", "SecretString": "k".repeat(64), "ClientRequestToken": version});
    secrets_manager(world, "PutSecretValue", replaced).await;
    world.advance(CACHED_SECONDS);
}

#[tokio::test]
async fn a_code_stays_valid_after_the_key_that_derived_it_is_replaced() {
    let world = World::new().await;
    let before = world.send_code(PHONE).await;
    replace_the_key(&world).await;
    let repeated = world.send_code(PHONE).await;
    assert_eq!(repeated.code, before.code);
    world.submit(PHONE, &wrong(&before.code)).send().await.assert_problem(400, "incorrect_otp");
    person(PHONE, &world.submit(PHONE, &before.code).send().await);
}

#[tokio::test]
async fn a_code_that_is_sent_after_the_key_is_replaced_signs_in() {
    let world = World::new().await;
    world.sign_in(PHONE).await;
    replace_the_key(&world).await;
    let sent = world.send_code(PHONE).await;
    world.submit(PHONE, &wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
    person(PHONE, &world.submit(PHONE, &sent.code).send().await);
}
