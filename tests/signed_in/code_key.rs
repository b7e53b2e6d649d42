//! The key that derives codes can be replaced at any time without any effect on sign-ins.

use local::{Aim, Mode, Outgoing, Target};
use serde_json::json;
use tests::{World, person, wrong};

use crate::PHONE;

/// Longer than a process caches a secret, and shorter than the lifetime of a code.
const CACHED_SECONDS: u64 = 301;

/// Longer than a process uses a secret without asking for it again.
const STALE_SECONDS: u64 = 3_601;
/// More than the attempts of a code and the guesses without an id that a number allows together.
const MANY: u32 = 12;

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

/// Makes every request for the key fail, in processes that no longer may use the one that they know.
fn refuse_key(world: &World) {
    let what = "GetSecretValue CodeKeySecret AWSCURRENT".to_owned();
    let at = Outgoing { target: Target::SecretsManager, what, nth: 1 };
    world.system.aim(Some(Aim { at, mode: Mode::Refuse, code: Some("AccessDeniedException"), lasts: true }));
}

#[tokio::test]
async fn a_sign_in_uses_up_no_attempt_while_the_key_cannot_be_read() {
    let world = World::new().await;
    world.advance(STALE_SECONDS);
    let sent = world.send_code(PHONE).await;
    refuse_key(&world);
    for _ in 0..MANY {
        world.submit(PHONE, &wrong(&sent.code)).send().await.assert_problem(503, "service_unavailable");
        let submit = world.submit_with_id(PHONE, &sent.challenge_id, &wrong(&sent.code));
        submit.send().await.assert_problem(503, "service_unavailable");
    }
    world.system.aim(None);
    let reply = world.submit_with_id(PHONE, &sent.challenge_id, &wrong(&sent.code)).send().await;
    assert_eq!(reply.assert_problem(400, "incorrect_otp").number("attempts_left"), 4);
    person(PHONE, &world.submit(PHONE, &sent.code).send().await);
}

#[tokio::test]
async fn a_proof_of_a_number_uses_up_no_attempt_while_the_key_cannot_be_read() {
    let world = World::new().await;
    let sita = world.sign_in_as(PHONE, "sita").await;
    world.advance(STALE_SECONDS);
    let sita = world.refreshed(&sita).await;
    let reply = world.post("/v1/phone/otp/send", json!({"phone_number": PHONE})).as_person(&sita).send().await;
    let sent = world.received(PHONE, &reply).await;
    let validate = |code: &str| {
        let guess = json!({"phone_number": PHONE, "otp": code, "username": "sita", "challenge_id": sent.challenge_id});
        world.post("/v1/phone/otp/validate", guess).as_person(&sita)
    };
    refuse_key(&world);
    for _ in 0..MANY {
        validate(&wrong(&sent.code)).send().await.assert_problem(503, "service_unavailable");
    }
    world.system.aim(None);
    let reply = validate(&wrong(&sent.code)).send().await;
    assert_eq!(reply.assert_problem(400, "incorrect_otp").number("attempts_left"), 4);
    validate(&sent.code).send().await.ok();
}
