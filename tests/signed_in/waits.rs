//! Every `retry_after` of a 429 keeps its promise: who waits as long is not told to wait again, and who waits a second less is.

use serde_json::json;
use tests::{Call, Reply, World, person, wrong};

use crate::{OTHER, PHONE};

/// So that a test need not refresh for each request.
const LONG_TOKENS: (&str, &str) = ("ACCESS_TOKEN_SECONDS", "8640000");

/// Asks, is refused for a while, and asks again one second before the end and at the end. Returns how long the wait was.
async fn wait_out(world: &World, request: impl AsyncFn() -> Reply) -> u64 {
    let refused = request().await;
    assert_eq!(refused.problem(), (429, "too_many_requests"), "{refused:?}");
    let seconds = refused.number("retry_after");
    assert_eq!(refused.headers["retry-after"], seconds.to_string());
    world.advance(seconds - 1);
    let early = request().await;
    assert_eq!(early.problem(), (429, "too_many_requests"), "a second before {seconds}: {early:?}");
    assert_eq!(early.number("retry_after"), 1);
    world.advance(1);
    let after = request().await;
    assert_ne!(after.status, 429, "after {seconds} seconds: {after:?}");
    seconds
}

fn send<'a>(world: &'a World, phone: &str) -> Call<'a> {
    world.post("/v1/otp/send", json!({"phone_number": phone}))
}

#[tokio::test]
async fn the_waits_of_a_number_the_hour_and_the_day_can_be_waited_out() {
    let world = World::new().await;
    send(&world, PHONE).send().await.ok();
    let mut waits = Vec::new();
    for _ in 0..11 {
        waits.push(wait_out(&world, async || send(&world, PHONE).send().await).await);
    }
    assert!(
        waits[0] == 30 && waits.iter().any(|wait| *wait > 2_000) && waits.iter().any(|wait| *wait > 50_000),
        "{waits:?}"
    );
}

/// Two things stand in the way of each of these sends. The longer wait is told at once.
#[tokio::test]
async fn of_a_number_and_its_country_the_longer_wait_is_told() {
    let world = World::with(&[("COUNTRY_SENDS_PER_DAY", "1")]).await;
    send(&world, PHONE).send().await.ok();
    assert!(wait_out(&world, async || send(&world, PHONE).send().await).await > 30);
}

#[tokio::test]
async fn of_a_number_and_a_source_the_longer_wait_is_told() {
    let world = World::with(&[("SOURCE_SENDS_PER_HOUR", "1"), ("SEND_WAITS_SECONDS", "7200")]).await;
    send(&world, PHONE).send().await.ok();
    assert_eq!(wait_out(&world, async || send(&world, PHONE).send().await).await, 7_200);
    let world = World::with(&[("SOURCE_SENDS_PER_HOUR", "1")]).await;
    send(&world, PHONE).send().await.ok();
    assert!(wait_out(&world, async || send(&world, PHONE).send().await).await > 30);
}

#[tokio::test]
async fn an_enforced_budget_can_be_waited_out() {
    let world = World::with(&[("PUMPING_BUDGETS", "enforce")]).await;
    for n in 0..5 {
        let reply = send(&world, &format!("+977984100010{n}")).send().await;
        if reply.status == 429 {
            break;
        }
    }
    wait_out(&world, async || send(&world, OTHER).send().await).await;
}

#[tokio::test]
async fn the_delays_after_wrong_codes_can_be_waited_out() {
    // So that the code outlives the delays.
    let world = World::with(&[("CODE_LIFETIME_SECONDS", "36000")]).await;
    let mut waits = Vec::new();
    for _ in 0..4 {
        world.advance(3_600);
        let sent = world.send_code(PHONE).await;
        for _ in 0..5 {
            let guess = async || world.submit_with_id(PHONE, &sent.challenge_id, &wrong(&sent.code)).send().await;
            if guess().await.problem() == (429, "too_many_requests") {
                waits.push(wait_out(&world, guess).await);
            }
        }
    }
    assert!(!waits.is_empty());
}

#[tokio::test]
async fn the_guesses_of_a_source_can_be_waited_out() {
    let world = World::with(&[("SOURCE_GUESSES_PER_HOUR", "2")]).await;
    let guess = async || world.submit(PHONE, "123456").send().await;
    for _ in 0..2 {
        guess().await.assert_problem(400, "incorrect_otp");
    }
    wait_out(&world, guess).await;
}

#[tokio::test]
async fn changes_of_number_can_be_waited_out_together_with_the_waits_of_the_new_number() {
    let world = World::with(&[LONG_TOKENS]).await;
    let owner = person(PHONE, &{
        let code = world.send_code(PHONE).await.code;
        world.submit(PHONE, &code).send().await
    });
    let body = |to: &str| json!({"phone_number": to, "change": true});
    let named = world.call("PATCH", "/v1/me").as_person(&owner).json(json!({"username": "sita"}));
    named.send().await.ok();
    for n in 0..5 {
        let to = format!("+977984100010{n}");
        world.advance(300);
        let sent = world.post("/v1/phone/otp/send", body(&to)).as_person(&owner).send().await;
        let code = world.received(&to, &sent).await.code;
        let typed = json!({"phone_number": to, "otp": code, "username": "sita"});
        world.post("/v1/phone/otp/validate", typed).as_person(&owner).send().await.ok();
    }
    // The number is sent a code to sign in, and has a wait of its own.
    send(&world, OTHER).send().await.ok();
    let change = async || world.post("/v1/phone/otp/send", body(OTHER)).as_person(&owner).send().await;
    assert!(wait_out(&world, change).await > 2 * 86_400);
}
