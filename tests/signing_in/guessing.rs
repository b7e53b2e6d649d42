//! Guessing at codes: what a stranger cannot take from the owner of a number, and where guessing ends.

use serde_json::{Value, json};
use tests::{Reply, Sent, World, assert_refused, assert_refused_for_now, person, wrong};

use crate::clock::{AfterWait, start_next_day, wait_out};
use crate::setup::{everything, phone, send, world_with_code};

const PHONE: &str = "+9779841000001";
/// The address of a stranger.
const STRANGER: u8 = 66;

async fn guess_without_id(world: &World, code: &str) -> Reply {
    world.submit(PHONE, code).from(STRANGER).send().await
}

async fn guess(world: &World, challenge_id: &str, code: &str) -> Reply {
    world.submit_with_id(PHONE, challenge_id, code).from(STRANGER).send().await
}

/// The id that a send from the stranger's address issued.
async fn strangers_id(world: &World) -> String {
    send(world, PHONE).from(STRANGER).send().await.text("challenge_id")
}

/// Guesses wrong without an id until that is refused for some time.
async fn close_without_id(world: &World, code: &str) {
    loop {
        let reply = guess_without_id(world, &wrong(code)).await;
        if reply.status == 429 {
            return assert_refused_for_now(&reply, "too_many_requests", json!({}));
        }
        assert_refused(&reply, "incorrect_otp", json!({}));
    }
}

/// A number that a stranger closed after the owner's last send, which is returned.
async fn number_closed_after_send() -> (World, Sent) {
    let world = World::new().await;
    let guess_five_times = async |challenge_id: &str, code: &str| {
        for _ in 0..5 {
            guess(&world, challenge_id, &wrong(code)).await.assert_problem(400, "incorrect_otp");
        }
    };
    let first = world.send_code(PHONE).await;
    guess_five_times(&first.challenge_id, &first.code).await;
    world.advance(600);
    let owners = world.send_code(PHONE).await;
    world.advance(60);
    // The tenth wrong code in a row closes the number.
    guess_five_times(&strangers_id(&world).await, &owners.code).await;
    (world, owners)
}

#[tokio::test]
async fn guesses_without_an_id_neither_delay_nor_refuse_a_person_with_an_id() {
    let world = World::new().await;
    for _ in 0..5 {
        let sent = world.send_code(PHONE).await;
        close_without_id(&world, &sent.code).await;
        assert_refused_for_now(&guess_without_id(&world, &sent.code).await, "too_many_requests", json!({}));
        person(PHONE, &world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).send().await);
        world.advance(3_600);
    }
}

#[tokio::test]
async fn one_blind_guess_an_hour_keeps_nobody_out() {
    let world = World::with(&[("PHONE_SENDS_PER_DAY", "100")]).await;
    let mut sent = world.send_code(PHONE).await;
    for _ in 0..20 {
        close_without_id(&world, &sent.code).await;
        world.advance(3_600);
        sent = world.send_code(PHONE).await;
    }
    close_without_id(&world, &sent.code).await;
    person(PHONE, &world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).send().await);
}

#[tokio::test]
async fn a_closed_number_is_sent_a_code_that_signs_in() {
    let world = World::with(&[("CODE_ATTEMPTS", "1000"), ("CODE_LIFETIME_SECONDS", "100000")]).await;
    let sent = world.send_code(PHONE).await;
    for _ in 0..17 {
        let reply = guess(&world, &sent.challenge_id, &wrong(&sent.code)).await;
        if reply.status == 429 {
            world.advance(reply.number("retry_after"));
            guess(&world, &sent.challenge_id, &wrong(&sent.code)).await.assert_problem(400, "incorrect_otp");
        }
    }
    assert_refused_for_now(&guess(&world, &sent.challenge_id, &sent.code).await, "too_many_requests", json!({}));
    world.advance(1);
    let in_closure = world.send_code(PHONE).await;
    person(PHONE, &world.submit_with_id(PHONE, &in_closure.challenge_id, &in_closure.code).send().await);
}

#[tokio::test]
async fn an_issued_id_has_one_comparison_in_a_closure() {
    let (world, owners) = number_closed_after_send().await;
    let submit = async |code: &str| world.submit_with_id(PHONE, &owners.challenge_id, code).send().await;
    assert_refused(&submit(&wrong(&owners.code)).await, "incorrect_otp", json!({"attempts_left": 4}));
    assert_refused_for_now(&submit(&owners.code).await, "too_many_requests", json!({}));
    let AfterWait { reply, .. } = wait_out(&world, "too_many_requests", async || submit(&owners.code).await).await;
    person(PHONE, &reply);
}

#[tokio::test]
async fn the_right_code_with_an_issued_id_signs_in_during_a_closure() {
    let (world, owners) = number_closed_after_send().await;
    person(PHONE, &world.submit_with_id(PHONE, &owners.challenge_id, &owners.code).send().await);
}

#[tokio::test]
async fn after_many_sends_that_no_gateway_carried_each_person_is_issued_an_id_of_their_own() {
    let world = World::new().await;
    world.send_code(PHONE).await;
    world.advance(30);
    for gateway in ["sparrow", "sns"] {
        world.fault(gateway, "error", 1_000).await;
    }
    for _ in 0..20 {
        send(&world, PHONE).from(STRANGER).send().await.assert_problem(503, "sms_gateway_unavailable");
    }
    world.clear_faults().await;
    let owners = world.send_code(PHONE).await;
    world.advance(60);
    let strangers = strangers_id(&world).await;
    for _ in 0..5 {
        guess(&world, &strangers, &wrong(&owners.code)).await.assert_problem(400, "incorrect_otp");
    }
    person(PHONE, &world.submit_with_id(PHONE, &owners.challenge_id, &owners.code).send().await);
}

#[tokio::test]
async fn exhausted_attempts_refuse_no_send_and_a_new_code_has_attempts_again() {
    let (world, exhausted) = world_with_code(PHONE).await;
    for _ in 0..5 {
        guess(&world, &exhausted.challenge_id, &wrong(&exhausted.code)).await.assert_problem(400, "incorrect_otp");
    }
    let spent = guess(&world, &exhausted.challenge_id, &exhausted.code).await;
    assert_refused(&spent, "too_many_attempts", json!({"attempts_left": 0}));
    world.advance(30);
    let fresh = world.send_code(PHONE).await;
    person(PHONE, &world.submit_with_id(PHONE, &fresh.challenge_id, &fresh.code).send().await);
}

#[tokio::test]
async fn one_source_address_guesses_sixty_times_an_hour_and_two_hundred_a_day() {
    let world = World::new().await;
    start_next_day(&world);
    let mut n = 0;
    for (hour, allowed) in [60, 60, 60, 20].into_iter().enumerate() {
        for _ in 0..allowed {
            n += 1;
            let guess = world.submit(&phone(n), "000000").from(STRANGER).send().await;
            assert_refused(&guess, "incorrect_otp", json!({}));
        }
        let refused = world.submit(&phone(0), "000000").from(STRANGER).send().await;
        assert_refused_for_now(&refused, "too_many_requests", json!({}));
        let ends_in = if hour == 3 { 86_400 - 3 * 3_600 } else { 3_600 };
        assert_eq!(refused.number("retry_after"), ends_in);
        world.advance(3_600);
    }
    // Guesses with an id are counted by themselves, others go on, and so does the address the next day.
    let behind_the_address = world.send_code(PHONE).await;
    person(PHONE, &guess(&world, &behind_the_address.challenge_id, &behind_the_address.code).await);
    assert_refused(&world.submit(&phone(0), "000000").send().await, "incorrect_otp", json!({}));
    start_next_day(&world);
    assert_refused(&world.submit(&phone(0), "000000").from(STRANGER).send().await, "incorrect_otp", json!({}));
}

#[tokio::test]
async fn the_right_code_is_not_compared_for_a_source_without_guesses_left() {
    let world = World::with(&[("SOURCE_GUESSES_PER_HOUR", "1")]).await;
    start_next_day(&world);
    let sent = world.send_code(PHONE).await;
    guess(&world, &sent.challenge_id, &wrong(&sent.code)).await.assert_problem(400, "incorrect_otp");
    for code in [wrong(&sent.code), sent.code.clone()] {
        assert_refused_for_now(&guess(&world, &sent.challenge_id, &code).await, "too_many_requests", json!({}));
    }
    person(PHONE, &world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).send().await);
}

#[tokio::test]
async fn where_source_and_number_refuse_a_guess_the_longer_wait_is_enough() {
    let world = World::with(&[("SOURCE_GUESSES_PER_HOUR", "10")]).await;
    start_next_day(&world);
    world.advance(3_600 - 10);
    let sent = world.send_code(PHONE).await;
    close_without_id(&world, &sent.code).await;
    // The hour ends in ten seconds, the number's closure later.
    let guess = async || guess_without_id(&world, &wrong(&sent.code)).await;
    let AfterWait { reply, .. } = wait_out(&world, "too_many_requests", guess).await;
    assert_refused(&reply, "incorrect_otp", json!({}));
}

#[tokio::test]
async fn a_sign_in_does_not_show_in_a_closure_of_guesses_without_an_id() {
    let world = World::new().await;
    let sent = world.send_code(PHONE).await;
    close_without_id(&world, &sent.code).await;
    person(PHONE, &world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).send().await);
    assert_refused_for_now(&guess_without_id(&world, "000000").await, "too_many_requests", json!({}));
}

/// What a stranger can see of the answers to guesses without an id, or with an id of another phone, until they close.
async fn seen(world: &World, to: &str, id: Option<&str>) -> Vec<(u16, Value, Vec<String>)> {
    let mut seen = Vec::new();
    for n in 0..12 {
        let mut body = json!({"phone_number": to, "otp": format!("{n:06}")});
        if let Some(id) = id {
            body["challenge_id"] = json!(id);
        }
        let mut reply = world.post("/v1/otp/submit", body).from(STRANGER).send().await;
        if let Some(wait) = reply.body.get_mut("retry_after") {
            *wait = json!("a wait");
        }
        seen.push((reply.status, reply.body, reply.headers.into_keys().collect()));
    }
    seen
}

#[tokio::test]
async fn who_shows_no_issued_id_learns_nothing_of_whether_there_is_a_code() {
    let world = World::new().await;
    let foreign = world.send_code(&phone(9)).await.challenge_id;
    for id in [None, Some(foreign.as_str())] {
        let n = if id.is_none() { 20 } else { 30 };
        let (live, used, expired, never) = (phone(n), phone(n + 1), phone(n + 2), phone(n + 3));
        world.send_code(&expired).await;
        world.advance(600);
        world.sign_in(&used).await;
        let sent: Sent = world.send_code(&live).await;
        assert!(sent.code.parse::<u32>().unwrap() > 11, "the guesses below are wrong");
        let of_never = seen(&world, &never, id).await;
        assert_eq!(of_never[0].1["code"], json!("incorrect_otp"));
        assert_eq!(of_never[0].1.get("attempts_left"), None);
        for to in [live, used, expired] {
            assert_eq!(seen(&world, &to, id).await, of_never);
        }
        world.advance(3_600);
    }
}

#[tokio::test]
async fn a_guess_without_an_id_makes_the_same_requests_with_and_without_a_code() {
    let (world, sent) = world_with_code(PHONE).await;
    let requests = async |to: &str| {
        world.system.reset_dynamodb_requests();
        world.submit(to, &wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
        let requests = world.system.take_dynamodb_requests().into_iter();
        let mut requests: Vec<_> = requests.map(|request| (request.operation, request.tables)).collect();
        requests.sort();
        requests
    };
    assert_eq!(requests(PHONE).await, requests(&phone(2)).await);
}

#[tokio::test]
async fn where_ids_are_required_a_guess_without_one_is_refused_and_counts_nowhere() {
    let world = World::with(&[("REQUIRE_CHALLENGE_ID", "true")]).await;
    let sent = world.send_code(PHONE).await;
    let before = everything(&world).await;
    for code in [wrong(&sent.code), sent.code.clone()] {
        let refused = world.submit(PHONE, &code).send().await;
        let errors = tests::at_member("challenge_id", "this member is required");
        assert_refused(&refused, "malformed_request", json!({"errors": errors}));
    }
    assert_eq!(everything(&world).await, before);
    person(PHONE, &world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).send().await);
}
