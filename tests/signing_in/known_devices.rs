//! Known devices: those that signed in to a number with a key before. Strangers use up nothing of theirs, and a dormant
//! number opens to them.

use serde_json::{Value, json};
use tests::device::Device;
use tests::google::{Google, Key, claims, header};
use tests::token;
use tests::{Call, Person, Reply, Sent, World, assert_refused_for_now, person, with, wrong};

use crate::clock::{start_next_day, wait_out};
use crate::setup::{DORMANT_SECONDS, MANY_GUESSES, everything, phone, send};

const PHONE: &str = "+9779841000001";
/// The address of a stranger.
const STRANGER: u8 = 66;

async fn sign_in_with(world: &World, phone: &str, device: &Device) -> Person {
    let sent = world.send_code(phone).await;
    person(phone, &world.submit(phone, &sent.code).proven_by(device).send().await)
}

/// A device that signed in to the number yesterday.
async fn known_in(variables: &[(&str, &str)]) -> (World, Device, Person) {
    let (world, device) = (World::with(variables).await, Device::new());
    let person = sign_in_with(&world, PHONE, &device).await;
    world.advance(86_400);
    start_next_day(&world);
    (world, device, person)
}

async fn known() -> (World, Device, Person) {
    known_in(&[]).await
}

fn submit<'a>(world: &'a World, sent: &Sent, code: &str) -> Call<'a> {
    world.submit_with_id(PHONE, &sent.challenge_id, code)
}

/// Sends from a stranger's address until that is refused; the last send is moments ago.
async fn use_up_the_numbers_sends(world: &World) {
    loop {
        let reply = send(world, PHONE).from(STRANGER).send().await;
        match reply.problem() {
            (200, _) => {}
            (429, _) if reply.number("retry_after") <= 300 => world.advance(reply.number("retry_after")),
            _ => return assert_refused_for_now(&reply, "too_many_requests", json!({})),
        }
    }
}

/// Guesses from a stranger's address, under ids of the stranger's, until the number is closed for a while.
async fn close(world: &World, sends: u32) {
    for _ in 0..sends {
        world.advance(600);
        let strangers = send(world, PHONE).from(STRANGER).send().await;
        let strangers = world.received(PHONE, &strangers).await;
        for _ in 0..5 {
            let reply = submit(world, &strangers, &wrong(&strangers.code)).from(STRANGER).send().await;
            assert!(reply.status == 400 || reply.status == 429, "{reply:?}");
        }
    }
}

// The reserve of sends.

#[tokio::test]
async fn a_known_device_gets_three_codes_an_hour_when_a_stranger_has_used_up_the_sends() {
    let (world, device, owner) = known().await;
    use_up_the_numbers_sends(&world).await;
    for resend_in in [30..=30, 30..=30, 1_000..=3_600] {
        let reply = send(&world, PHONE).proven_by(&device).send().await;
        let sent = world.received(PHONE, &reply).await;
        assert!(resend_in.contains(&reply.number("resend_in")), "{reply:?}");
        submit(&world, &sent, &wrong(&sent.code)).proven_by(&device).send().await.assert_problem(400, "incorrect_otp");
        world.advance(30);
    }
    let reply = send(&world, PHONE).proven_by(&device).send().await;
    assert_refused_for_now(&reply, "too_many_requests", json!({}));
    assert!(reply.number("retry_after") <= 3_600, "{reply:?}");
    let after =
        wait_out(&world, "too_many_requests", async || send(&world, PHONE).proven_by(&device).send().await).await;
    let sent = world.received(PHONE, &after.reply).await;
    let again = person(PHONE, &submit(&world, &sent, &sent.code).proven_by(&device).send().await);
    assert_eq!(again.user_id, owner.user_id);
}

#[tokio::test]
async fn nobody_else_gets_a_code_from_the_reserve() {
    let (world, device, owner) = known().await;
    let other = Device::new();
    sign_in_with(&world, &phone(2), &other).await;
    use_up_the_numbers_sends(&world).await;
    let refused = async |call: Call<'_>| {
        let reply = call.send().await;
        assert_refused_for_now(&reply, "too_many_requests", json!({}));
        reply.number("retry_after")
    };
    let without = refused(send(&world, PHONE)).await;
    // A key that nobody signed in with, and one of another number: the answers are the same.
    let unknown = refused(send(&world, PHONE).proven_by(&Device::new())).await;
    let of_another = refused(send(&world, PHONE).proven_by(&other)).await;
    let signed_in = refused(send(&world, PHONE).as_person(&owner)).await;
    for answer in [unknown, of_another, signed_in] {
        assert_eq!(answer, without);
    }
    send(&world, PHONE).proven_by(&device).send().await.ok();
}

#[tokio::test]
async fn a_stranger_who_asks_on_takes_nothing_of_the_reserve_and_the_reserve_nothing_of_the_shared_sends() {
    let (world, device, _) = known_in(&[("SEND_WAITS_SECONDS", "0"), ("PHONE_SENDS_PER_HOUR", "2")]).await;
    for _ in 0..2 {
        send(&world, PHONE).from(STRANGER).send().await.ok();
    }
    for _ in 0..3 {
        send(&world, PHONE).from(STRANGER).send().await.assert_problem(429, "too_many_requests");
        send(&world, PHONE).proven_by(&device).send().await.ok();
    }
    world.advance(3_600);
    for _ in 0..2 {
        send(&world, PHONE).from(STRANGER).send().await.ok();
    }
    send(&world, PHONE).from(STRANGER).send().await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn the_limits_of_the_source_the_country_and_the_budgets_do_not_stop_a_known_device() {
    let limits: [&[(&str, &str)]; 4] = [
        &[("SOURCE_SENDS_PER_HOUR", "1")],
        &[("SOURCE_SENDS_PER_DAY", "1")],
        &[("COUNTRY_SENDS_PER_DAY", "1")],
        &[("PUMPING_BUDGETS", "enforce"), ("SOURCE_SENDS_PER_HOUR", "100")],
    ];
    for variables in limits {
        let (world, device, owner) = known_in(variables).await;
        let mut strangers = 2;
        while send(&world, &phone(strangers)).send().await.status == 200 {
            world.keep_phone_secret(&phone(strangers));
            strangers += 1;
        }
        send(&world, PHONE).send().await.assert_problem(429, "too_many_requests");
        let reply = send(&world, PHONE).proven_by(&device).send().await;
        let sent = world.received(PHONE, &reply).await;
        submit(&world, &sent, &wrong(&sent.code)).proven_by(&device).send().await.assert_problem(400, "incorrect_otp");
        let again = person(PHONE, &submit(&world, &sent, &sent.code).proven_by(&device).send().await);
        assert_eq!(again.user_id, owner.user_id, "{variables:?}");
    }
}

#[tokio::test]
async fn the_reserve_has_a_cap_of_its_own_for_each_country() {
    let (world, device) =
        (World::with(&[("COUNTRY_SENDS_PER_DAY", "2"), ("SEND_WAITS_SECONDS", "0")]).await, Device::new());
    for n in 1..=2 {
        sign_in_with(&world, &phone(n), &device).await;
    }
    start_next_day(&world);
    for _ in 0..2 {
        send(&world, &phone(9)).send().await.ok();
    }
    world.keep_phone_secret(&phone(9));
    for n in [1, 2] {
        send(&world, &phone(n)).proven_by(&device).send().await.ok();
    }
    let refused = send(&world, PHONE).proven_by(&device).send().await;
    assert_refused_for_now(&refused, "too_many_requests", json!({}));
    let tomorrow = wait_out(&world, "too_many_requests", async || send(&world, PHONE).proven_by(&device).send().await);
    assert_eq!(tomorrow.await.reply.status, 200);
}

#[tokio::test]
async fn a_message_from_the_reserve_that_no_gateway_carried_is_given_back() {
    let (world, device, _) = known_in(&[("SMS_ROUTES", "*=sns"), ("PHONE_SENDS_PER_HOUR", "1")]).await;
    send(&world, PHONE).from(STRANGER).send().await.ok();
    for _ in 0..5 {
        world.fault("sns", "refuse", 1).await;
        let reply = send(&world, PHONE).proven_by(&device).send().await;
        reply.assert_problem(503, "sms_gateway_unavailable");
    }
    for _ in 0..3 {
        send(&world, PHONE).proven_by(&device).send().await.ok();
    }
    send(&world, PHONE).proven_by(&device).send().await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn a_send_with_a_wrong_proof_is_refused_and_changes_nothing() {
    let (world, device, _) = known().await;
    let before = everything(&world).await;
    let proof = device.sign(&device.header(), &with(&device.claims(&send(&world, PHONE)), json!({"htm": "GET"})));
    send(&world, PHONE).header("dpop", &proof).send().await.assert_problem(401, "invalid_dpop_proof");
    assert_eq!(everything(&world).await, before);
}

// Closures.

#[tokio::test]
async fn in_a_closure_the_guesses_of_a_known_device_are_compared() {
    let (world, device, owner) = known_in(&MANY_GUESSES).await;
    close(&world, 4).await;
    world.advance(300);
    let reply = send(&world, PHONE).proven_by(&device).send().await;
    let sent = world.received(PHONE, &reply).await;
    // Anybody may guess once under a new id; after that only the known device.
    submit(&world, &sent, &wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
    submit(&world, &sent, &sent.code).send().await.assert_problem(429, "too_many_requests");
    let unknown = submit(&world, &sent, &sent.code).proven_by(&Device::new()).send().await;
    unknown.assert_problem(429, "too_many_requests");
    submit(&world, &sent, &wrong(&sent.code)).proven_by(&device).send().await.assert_problem(400, "incorrect_otp");
    let again = person(PHONE, &submit(&world, &sent, &sent.code).proven_by(&device).send().await);
    assert_eq!(again.user_id, owner.user_id);
}

#[tokio::test]
async fn a_source_without_guesses_left_does_not_stop_a_known_device() {
    let (world, device, owner) = known_in(&[("SOURCE_GUESSES_PER_HOUR", "3")]).await;
    let sent = world.send_code(PHONE).await;
    for _ in 0..3 {
        submit(&world, &sent, &wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
    }
    submit(&world, &sent, &sent.code).send().await.assert_problem(429, "too_many_requests");
    // A new code, which nobody has guessed at.
    world.advance(600);
    let sent = world.received(PHONE, &send(&world, PHONE).proven_by(&device).send().await).await;
    submit(&world, &sent, &sent.code).send().await.assert_problem(429, "too_many_requests");
    let again = person(PHONE, &submit(&world, &sent, &sent.code).proven_by(&device).send().await);
    assert_eq!(again.user_id, owner.user_id);
}

#[tokio::test]
async fn ten_wrong_codes_of_known_devices_in_a_closure_delay_them_too() {
    let (world, device, _) = known_in(&MANY_GUESSES).await;
    close(&world, 4).await;
    let mut guesses = 0;
    let refused = loop {
        let reply = send(&world, PHONE).proven_by(&device).send().await;
        if reply.status == 429 {
            world.advance(reply.number("retry_after"));
            close(&world, 1).await;
            continue;
        }
        let sent = world.received(PHONE, &reply).await;
        let mut last = None;
        for _ in 0..5 {
            let reply = submit(&world, &sent, &wrong(&sent.code)).proven_by(&device).send().await;
            guesses += u32::from(reply.problem() == (400, "incorrect_otp"));
            last = Some(reply);
        }
        let last = last.unwrap();
        if last.problem() == (429, "too_many_requests") {
            break last;
        }
        assert!(guesses < 40, "{last:?}");
    };
    assert!(refused.number("retry_after") >= 1, "{refused:?}");
    assert!(guesses >= 10, "{guesses}");
}

// Dormant numbers.

async fn dormant() -> (World, Device, Person, Sent) {
    let (world, device, owner) = known().await;
    world.advance(DORMANT_SECONDS);
    let sent = world.send_code(PHONE).await;
    (world, device, owner, sent)
}

#[tokio::test]
async fn a_known_device_opens_a_dormant_number_and_no_other_device_does() {
    let (world, device, owner, sent) = dormant().await;
    submit(&world, &sent, &sent.code).send().await.assert_problem(403, "second_signal_required");
    let other = submit(&world, &sent, &sent.code).proven_by(&Device::new()).send().await;
    other.assert_problem(403, "second_signal_required");
    submit(&world, &sent, &wrong(&sent.code)).proven_by(&device).send().await.assert_problem(400, "incorrect_otp");
    let again = person(PHONE, &submit(&world, &sent, &sent.code).proven_by(&device).send().await);
    assert_eq!(again.user_id, owner.user_id);
}

#[tokio::test]
async fn a_known_device_is_a_second_signal_however_long_ago_it_signed_in() {
    let (world, device, owner) = known().await;
    world.advance(5 * 365 * 86_400);
    let sent = world.send_code(PHONE).await;
    submit(&world, &sent, &sent.code).send().await.assert_problem(403, "second_signal_required");
    let again = person(PHONE, &submit(&world, &sent, &sent.code).proven_by(&device).send().await);
    assert_eq!(again.user_id, owner.user_id);
}

#[tokio::test]
async fn a_device_whose_session_another_device_ended_is_no_second_signal() {
    let (world, stolen, thief) = known().await;
    let owner = world.sign_in(PHONE).await;
    let path = format!("/v1/sessions/{}", token::claims(&thief.access)["sid"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &path).as_person(&owner).send().await.status, 204);
    world.advance(DORMANT_SECONDS);
    let sent = world.send_code(PHONE).await;
    let refused = submit(&world, &sent, &sent.code).proven_by(&stolen).send().await;
    refused.assert_problem(403, "second_signal_required");
}

#[tokio::test]
async fn whoever_takes_over_a_recycled_number_does_not_inherit_its_known_devices() {
    let (world, former, owner, sent) = dormant().await;
    let new = Device::new();
    let body = json!({"phone_number": PHONE, "otp": sent.code, "fresh_account": true});
    let holder = person(PHONE, &world.post("/v1/otp/submit", body).proven_by(&new).send().await);
    assert_ne!(holder.user_id, owner.user_id);
    use_up_the_numbers_sends(&world).await;
    send(&world, PHONE).proven_by(&former).send().await.assert_problem(429, "too_many_requests");
    send(&world, PHONE).proven_by(&new).send().await.ok();
}

#[tokio::test]
async fn a_bound_refresh_token_is_a_second_signal_only_with_its_key() {
    let (world, device, owner) = known().await;
    // The number forgets the device, so that only the token counts.
    let lock = format!("phone#{PHONE}");
    let key = world.items("UsersTable").await.into_iter().find(|item| item["pk"]["S"] == json!(lock)).unwrap();
    let name = key.as_object().unwrap().keys().find(|name| name.starts_with("device_key_")).unwrap().clone();
    let update = json!({"UpdateExpression": "REMOVE #key", "ExpressionAttributeNames": {"#key": name}});
    world.update_user(&lock, update).await;
    world.advance(DORMANT_SECONDS);
    let sent = world.send_code(PHONE).await;
    let submit = || {
        let body = json!({"phone_number": PHONE, "otp": sent.code, "refresh_token": owner.refresh});
        world.post("/v1/otp/submit", body)
    };
    submit().send().await.assert_problem(403, "second_signal_required");
    submit().proven_by(&Device::new()).send().await.assert_problem(403, "second_signal_required");
    let again = person(PHONE, &submit().proven_by(&device).send().await);
    assert_eq!(again.user_id, owner.user_id);
}

// Firebase and organizations.

#[tokio::test]
async fn a_firebase_sign_in_is_bound_to_a_key_too_and_a_known_device_opens_a_dormant_number_with_it() {
    let world = Google::serving("public, max-age=19204").await.world().await;
    let device = Device::new();
    let submit = |token: &str| world.post("/v1/otp/submit", json!({"firebase_id_token": token}));
    let token = || Key::of_google().sign(&header(), &claims(&world, PHONE));
    world.keep_secret(PHONE);
    let reply = submit(&token()).header("dpop", "rubbish").send().await;
    reply.assert_problem(401, "invalid_dpop_proof");
    let owner = person(PHONE, &submit(&token()).proven_by(&device).send().await);
    let refresh = || world.post("/v1/session/refresh", json!({"refresh_token": owner.refresh}));
    refresh().send().await.assert_problem(401, "invalid_dpop_proof");
    refresh().proven_by(&device).send().await.ok();
    world.advance(DORMANT_SECONDS);
    submit(&token()).send().await.assert_problem(403, "second_signal_required");
    let again = person(PHONE, &submit(&token()).proven_by(&device).send().await);
    assert_eq!(again.user_id, owner.user_id);
}

async fn submit_to(world: &World, organization: &str, prepare: impl Fn(Call<'_>) -> Call<'_>) -> Reply {
    world.advance(3_600);
    let body = json!({"phone_number": PHONE, "organization_id": organization});
    let sent = world.received(PHONE, &world.post("/v1/otp/send", body).send().await).await;
    let body = json!({"phone_number": PHONE, "organization_id": organization, "otp": sent.code});
    prepare(world.post("/v1/otp/submit", body)).send().await
}

#[tokio::test]
async fn an_organization_may_require_device_keys_or_ignore_them() {
    let (world, device) = (World::new().await, Device::new());
    for policy in ["off", "optional", "required"] {
        world.create_organization(policy, &[("device_keys", policy)]).await;
    }
    let bound = |reply: Reply| {
        assert_eq!(reply.status, 200, "{reply:?}");
        token::claims(&reply.text("refresh_token")).get("cnf").is_some()
    };
    assert!(!bound(submit_to(&world, "off", |call| call.proven_by(&device)).await));
    assert!(!bound(submit_to(&world, "off", |call| call.header("dpop", "rubbish")).await));
    assert!(bound(submit_to(&world, "optional", |call| call.proven_by(&device)).await));
    assert!(!bound(submit_to(&world, "optional", |call| call).await));
    assert!(bound(submit_to(&world, "required", |call| call.proven_by(&device)).await));
    let refused = submit_to(&world, "required", |call| call).await;
    refused.assert_problem(401, "invalid_dpop_proof");
    assert_eq!(refused.body["attempts_left"], Value::Null);
}

#[tokio::test]
async fn the_default_organization_takes_its_policy_from_the_deployment() {
    let world = World::with(&[("DEVICE_KEYS", "required")]).await;
    let sent = world.send_code(PHONE).await;
    world.submit(PHONE, &sent.code).send().await.assert_problem(401, "invalid_dpop_proof");
    world.submit(PHONE, &sent.code).proven_by(&Device::new()).send().await.ok();
}
