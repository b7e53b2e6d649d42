//! `POST /v1/otp/submit`: which submissions sign in, and how attempts are limited.

use serde_json::{Value, json};
use tests::{Reply, Sent, World, assert_refused, person, with, wrong};

use crate::clock::{AfterWait, wait_out};
use crate::setup::{MANY_GUESSES, everything, fail_transactions, phone, send_to_organization, world_with_code};

const PHONE: &str = "+9779841000001";

/// Submits the right code without the id of its challenge, and with more members.
async fn submit_with(world: &World, sent: &Sent, more: Value) -> Reply {
    let body = json!({"phone_number": PHONE, "otp": sent.code});
    world.post("/v1/otp/submit", with(&body, more)).send().await
}

async fn right_with_id(world: &World, sent: &Sent) -> Reply {
    world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).send().await
}

async fn wrong_with_id(world: &World, sent: &Sent) -> Reply {
    world.submit_with_id(PHONE, &sent.challenge_id, &wrong(&sent.code)).send().await
}

async fn wrong_without_id(world: &World, sent: &Sent) -> Reply {
    world.submit(PHONE, &wrong(&sent.code)).send().await
}

async fn right_without_id(world: &World, sent: &Sent) -> Reply {
    world.submit(PHONE, &sent.code).send().await
}

/// Uses up the five attempts of an id with wrong codes.
async fn exhaust(world: &World, sent: &Sent) {
    for attempts_left in (0..5).rev() {
        let refused = wrong_with_id(world, sent).await;
        assert_refused(&refused, "incorrect_otp", json!({"attempts_left": attempts_left}));
    }
}

/// Uses up the five attempts without an id, which nobody is told.
async fn exhaust_without_id(world: &World, sent: &Sent) {
    for _ in 0..5 {
        assert_refused(&wrong_without_id(world, sent).await, "incorrect_otp", json!({}));
    }
}

/// Panics unless requests with the id learn that the code was used or has expired, and others get a wrong code.
async fn assert_only_the_id_reveals_the_end(world: &World, sent: &Sent) {
    for reply in [right_with_id(world, sent).await, wrong_with_id(world, sent).await] {
        assert_refused(&reply, "otp_expired", json!({}));
    }
    for reply in [right_without_id(world, sent).await, wrong_without_id(world, sent).await] {
        assert_refused(&reply, "incorrect_otp", json!({}));
    }
}

/// The item of the only user.
async fn user_item(world: &World) -> Value {
    let users = world.items("UsersTable").await;
    let mut users = users.into_iter().filter(|item| item["pk"]["S"].as_str().unwrap().starts_with("user#"));
    let user = users.next().unwrap();
    assert_eq!(users.next(), None);
    user
}

#[tokio::test]
async fn a_new_user_gets_the_profile_that_came_with_the_code() {
    let (world, sent) = world_with_code(PHONE).await;
    let profile =
        json!({"name": "सीता Sharma", "image_url": "https://images.example.com/sita.jpg", "source": "android"});
    let reply = submit_with(&world, &sent, profile.clone()).await;
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert!(reply.headers.contains_key("x-request-id"));
    let body = reply.ok();
    assert_eq!(body["user"]["created_at"], json!(world.now()));
    assert_eq!(
        body,
        json!({
            "token_type": "Bearer", "access_token": body["access_token"], "expires_in": 900,
            "refresh_token": body["refresh_token"], "refresh_expires_in": 30 * 86_400, "is_new_user": true,
            "other_sessions": 0,
            "user": {
                "user_id": body["user"]["user_id"], "phone_number": PHONE, "phone_verified": true, "username": null,
                "name": "सीता Sharma", "image_url": "https://images.example.com/sita.jpg", "source": "android",
                "roles": {"default": ["default"]}, "created_at": body["user"]["created_at"],
                "last_sign_in_at": body["user"]["created_at"],
            },
        })
    );
    let me = world.call("GET", "/v1/me").bearer(body["access_token"].as_str().unwrap()).send().await.ok();
    assert_eq!(me, body["user"]);
}

#[tokio::test]
async fn a_new_user_of_an_organization_is_a_member_only_of_that_one() {
    let world = World::new().await;
    world.create_organization("himal", &[]).await;
    let sent = send_to_organization(&world, PHONE, "himal").send().await;
    let sent = world.received(PHONE, &sent).await;
    let body = submit_with(&world, &sent, json!({"organization_id": "himal"})).await.ok();
    assert_eq!(body["user"]["roles"], json!({"default": ["himal"]}));
}

#[tokio::test]
async fn a_known_user_keeps_the_profile_and_gains_the_organization() {
    let world = World::new().await;
    world.create_organization("himal", &[]).await;
    let sent = world.send_code(PHONE).await;
    let first = submit_with(&world, &sent, json!({"name": "Sita", "source": "android"})).await.ok();
    let mut item = user_item(&world).await;
    world.advance(30);
    let sent = send_to_organization(&world, PHONE, "himal").send().await;
    let sent = world.received(PHONE, &sent).await;
    let other = json!({
        "name": "Gita", "image_url": "https://images.example.com/g.jpg", "source": "web", "organization_id": "himal",
    });
    let second = submit_with(&world, &sent, other.clone()).await.ok();
    let signed_in_at = json!(world.now());
    let mut user = first["user"].clone();
    user["roles"] = json!({"default": ["default", "himal"]});
    user["last_sign_in_at"] = signed_in_at.clone();
    assert_eq!((&second["is_new_user"], &second["user"]), (&json!(false), &user));
    item["role_default"] = json!({"SS": ["default", "himal"]});
    for time in ["last_sign_in_at", "phone_proven_at"] {
        item[time] = json!({"N": signed_in_at.to_string()});
    }
    item["sign_ins"] = json!({"N": "2"});
    assert_eq!(user_item(&world).await, item);
    assert_eq!(world.items("SessionsTable").await.len(), 2);
}

#[tokio::test]
async fn an_fcm_token_comes_in_the_body_or_in_the_header_and_the_body_wins() {
    let world = World::new().await;
    let cases = [
        (json!({}), None, None),
        (json!({"fcm_token": "from:body"}), None, Some("from:body")),
        (json!({}), Some("from:header"), Some("from:header")),
        (json!({"fcm_token": null}), Some("from:header"), Some("from:header")),
        (json!({"fcm_token": "from:body"}), Some("from:header"), Some("from:body")),
    ];
    for (n, (mut body, header, stored)) in cases.into_iter().enumerate() {
        let sent = world.send_code(&phone(n)).await;
        body["phone_number"] = json!(phone(n));
        body["otp"] = json!(sent.code);
        body["device_name"] = json!("Pixel 9");
        let mut call = world.post("/v1/otp/submit", body);
        if let Some(token) = header {
            call = call.header("FCM-TOKEN", token);
        }
        let answer = call.send().await.ok();
        let sessions = world.items("SessionsTable").await;
        let session = sessions.iter().find(|session| session["user_id"]["S"] == answer["user"]["user_id"]).unwrap();
        assert_eq!(session["device_name"], json!({"S": "Pixel 9"}));
        assert_eq!(session.get("fcm_token"), stored.map(|token| json!({"S": token})).as_ref(), "{n}");
        let stamp = stored.map(|_| json!({"N": answer["user"]["created_at"].to_string()}));
        assert_eq!(session.get("fcm_token_at"), stamp.as_ref(), "{n}");
    }
}

#[tokio::test]
async fn a_code_is_accepted_in_devanagari_digits_and_with_a_gap() {
    let world = World::new().await;
    for (n, written) in ["NNN NNN", "NNN-NNN", "०"].into_iter().enumerate() {
        let sent = world.send_code(&phone(n)).await;
        let typed: String = match written {
            "०" => sent.code.chars().map(|c| char::from_u32(0x0966 + c.to_digit(10).unwrap()).unwrap()).collect(),
            _ => format!("{}{}{}", &sent.code[..3], &written[3..4], &sent.code[3..]),
        };
        world.submit(&phone(n), &typed).send().await.ok();
    }
}

#[tokio::test]
async fn five_wrong_codes_with_the_id_exhaust_only_the_attempts_with_the_id() {
    let (world, sent) = world_with_code(PHONE).await;
    exhaust(&world, &sent).await;
    assert_refused(&right_with_id(&world, &sent).await, "too_many_attempts", json!({"attempts_left": 0}));
    person(PHONE, &right_without_id(&world, &sent).await);
}

#[tokio::test]
async fn a_stranger_without_the_id_cannot_exhaust_the_attempts_of_its_owner() {
    let (world, sent) = world_with_code(PHONE).await;
    exhaust_without_id(&world, &sent).await;
    assert_refused(&right_without_id(&world, &sent).await, "incorrect_otp", json!({}));
    assert_refused(&wrong_with_id(&world, &sent).await, "incorrect_otp", json!({"attempts_left": 4}));
    person(PHONE, &right_with_id(&world, &sent).await);
}

#[tokio::test]
async fn a_new_code_can_be_requested_when_the_attempts_are_used_up() {
    let (world, sent) = world_with_code(PHONE).await;
    exhaust(&world, &sent).await;
    world.advance(30);
    let fresh = world.send_code(PHONE).await;
    // The earlier id is of a challenge that was replaced.
    assert_refused(&right_with_id(&world, &sent).await, "incorrect_otp", json!({}));
    person(PHONE, &right_with_id(&world, &fresh).await);
}

#[tokio::test]
async fn a_code_expires_after_ten_minutes_and_only_its_challenge_id_reveals_it() {
    let world = World::new().await;
    let valid = world.send_code(&phone(2)).await;
    let sent = world.send_code(PHONE).await;
    world.advance(590);
    person(&phone(2), &world.submit(&phone(2), &valid.code).send().await);
    world.advance(10);
    assert_only_the_id_reveals_the_end(&world, &sent).await;
    let other = Sent { challenge_id: valid.challenge_id, ..sent };
    assert_refused(&right_with_id(&world, &other).await, "incorrect_otp", json!({}));
}

#[tokio::test]
async fn a_code_signs_in_once() {
    let (world, sent) = world_with_code(PHONE).await;
    person(PHONE, &right_with_id(&world, &sent).await);
    assert_only_the_id_reveals_the_end(&world, &sent).await;
    assert_eq!(world.items("SessionsTable").await.len(), 1);
}

#[tokio::test]
async fn a_number_without_a_code_and_the_challenge_of_another_phone_are_a_wrong_code() {
    let world = World::new().await;
    let (mine, yours) = (world.send_code(PHONE).await, world.send_code(&phone(2)).await);
    assert_refused(&world.submit(&phone(3), &mine.code).send().await, "incorrect_otp", json!({}));
    let crossed = world.submit_with_id(PHONE, &yours.challenge_id, &mine.code).send().await;
    assert_refused(&crossed, "incorrect_otp", json!({}));
    let nobodys = world.submit_with_id(&phone(3), &mine.challenge_id, &mine.code).send().await;
    assert_refused(&nobodys, "incorrect_otp", json!({}));
    // None of these counted as an attempt.
    let attempt = world.submit_with_id(PHONE, &mine.challenge_id, &wrong(&mine.code)).send().await;
    assert_refused(&attempt, "incorrect_otp", json!({"attempts_left": 4}));
}

#[tokio::test]
async fn the_code_of_another_phone_is_a_wrong_code() {
    let (world, mine) = world_with_code(PHONE).await;
    let mut yours = world.send_code(&phone(2)).await;
    if mine.code == yours.code {
        yours = world.send_code(&phone(3)).await;
    }
    let refused = world.submit_with_id(PHONE, &mine.challenge_id, &yours.code).send().await;
    assert_refused(&refused, "incorrect_otp", json!({"attempts_left": 4}));
}

#[tokio::test]
async fn the_code_of_an_earlier_challenge_is_a_wrong_code() {
    let (world, earlier) = world_with_code(PHONE).await;
    world.advance(600);
    let mut latest = world.send_code(PHONE).await;
    if earlier.code == latest.code {
        world.advance(600);
        latest = world.send_code(PHONE).await;
    }
    // This does not count as an attempt at the latest code.
    assert_refused(&right_with_id(&world, &earlier).await, "incorrect_otp", json!({}));
    let mixed = world.submit_with_id(PHONE, &latest.challenge_id, &earlier.code).send().await;
    assert_refused(&mixed, "incorrect_otp", json!({"attempts_left": 4}));
    assert_refused(&world.submit(PHONE, &earlier.code).send().await, "incorrect_otp", json!({}));
    person(PHONE, &right_with_id(&world, &latest).await);
}

#[tokio::test]
async fn an_unknown_organization_signs_nobody_in_and_counts_no_attempt() {
    let (world, sent) = world_with_code(PHONE).await;
    let before = everything(&world).await;
    let refused = submit_with(&world, &sent, json!({"organization_id": "nobody"})).await;
    assert_refused(&refused, "no_such_organization", json!({}));
    assert_eq!(everything(&world).await, before);
}

#[tokio::test]
async fn a_retry_with_its_idempotency_key_gets_tokens_for_the_same_session() {
    let world = World::new().await;
    for (n, is_new_user) in [true, false].into_iter().enumerate() {
        let sent = world.send_code(PHONE).await;
        let submit = || world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).header("idempotency-key", "a key");
        let first = submit().send().await.ok();
        world.advance(50);
        let retried = submit().send().await;
        let again = person(PHONE, &retried);
        assert_eq!(retried.headers["cache-control"], "no-store");
        let mut retried = retried.body;
        // The refresh token expires with the session, so less than 30 days are left.
        assert_eq!(retried["refresh_expires_in"], json!(2_591_950));
        for name in ["access_token", "refresh_token", "refresh_expires_in"] {
            retried[name] = first[name].clone();
        }
        assert_eq!(first["is_new_user"], json!(is_new_user));
        assert_eq!(retried, first);
        assert_eq!(world.items("SessionsTable").await.len(), n + 1);
        world.me(&again).await;
        world.refresh(&again.refresh).await.ok();
    }
}

#[tokio::test]
async fn a_retry_needs_the_same_key_and_code_within_a_minute() {
    let (world, sent) = world_with_code(PHONE).await;
    let submit = |code: &str| world.submit_with_id(PHONE, &sent.challenge_id, code);
    submit(&sent.code).header("idempotency-key", "a key").send().await.ok();
    let another_key = submit(&sent.code).header("idempotency-key", "A key").send().await;
    assert_refused(&another_key, "otp_expired", json!({}));
    assert_refused(&submit(&sent.code).send().await, "otp_expired", json!({}));
    let unbound = world.submit(PHONE, &sent.code).header("idempotency-key", "another").send().await;
    assert_refused(&unbound, "incorrect_otp", json!({}));
    let wrong_code = submit(&wrong(&sent.code)).header("idempotency-key", "a key").send().await;
    assert_refused(&wrong_code, "incorrect_otp", json!({"attempts_left": 3}));
    world.advance(60);
    let late = submit(&sent.code).header("idempotency-key", "a key").send().await;
    assert_refused(&late, "otp_expired", json!({}));
    assert_eq!(world.items("SessionsTable").await.len(), 1);
}

#[tokio::test]
async fn a_retry_does_not_restore_a_device_that_was_signed_out() {
    let (world, sent) = world_with_code(PHONE).await;
    let submit = || world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).header("idempotency-key", "a key");
    let somebody = person(PHONE, &submit().send().await);
    let signed_out = world.call("DELETE", "/v1/session").as_person(&somebody).send().await;
    assert!((200..300).contains(&signed_out.status), "{signed_out:?}");
    assert_refused(&submit().send().await, "otp_expired", json!({}));
    assert_eq!(world.items("SessionsTable").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_request_without_a_key_cannot_be_retried() {
    let (world, sent) = world_with_code(PHONE).await;
    right_with_id(&world, &sent).await.ok();
    let keyed = world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).header("idempotency-key", "a key");
    assert_refused(&keyed.send().await, "otp_expired", json!({}));
}

#[tokio::test]
async fn the_tenth_wrong_code_in_a_row_delays_the_right_one_and_success_resets_the_count() {
    let (world, first) = world_with_code(PHONE).await;
    exhaust(&world, &first).await;
    world.advance(600);
    let second = world.send_code(PHONE).await;
    world.advance(60);
    let third = world.send_code(PHONE).await;
    exhaust(&world, &second).await;
    // The tenth wrong code closed the number, and the third id still has one comparison.
    let closed_at = world.now();
    assert_refused(&wrong_with_id(&world, &third).await, "incorrect_otp", json!({"attempts_left": 4}));
    let AfterWait { reply, opens_at } =
        wait_out(&world, "too_many_requests", async || right_with_id(&world, &third).await).await;
    person(PHONE, &reply);
    assert_eq!(opens_at, closed_at + 60);
    world.advance(120);
    let fourth = world.send_code(PHONE).await;
    for _ in 0..4 {
        wrong_with_id(&world, &fourth).await.assert_problem(400, "incorrect_otp");
    }
    person(PHONE, &right_with_id(&world, &fourth).await);
}

#[tokio::test]
async fn delays_double_up_to_an_hour_and_the_hundredth_wrong_code_blocks_the_phone_for_a_day() {
    let lasting = [("CODE_ATTEMPTS", "1000"), ("CODE_LIFETIME_SECONDS", "10000000")];
    let world = World::with(&[lasting, MANY_GUESSES].concat()).await;
    let sent = world.send_code(PHONE).await;
    let (mut latest, mut at) = (wrong_with_id(&world, &sent).await, world.now());
    for failures in 1..100 {
        assert_refused(&latest, "incorrect_otp", json!({"attempts_left": 1_000 - failures}));
        if failures < 10 {
            (latest, at) = (wrong_with_id(&world, &sent).await, world.now());
            continue;
        }
        let delay = if failures < 17 { 30 << (failures - 10) } else { 3_600 };
        let AfterWait { reply, opens_at } =
            wait_out(&world, "too_many_requests", async || wrong_with_id(&world, &sent).await).await;
        assert_eq!(opens_at, at + delay, "{failures}");
        (latest, at) = (reply, opens_at);
    }
    assert_refused(&latest, "incorrect_otp", json!({"attempts_left": 900}));
    let AfterWait { reply, opens_at } =
        wait_out(&world, "too_many_requests", async || right_with_id(&world, &sent).await).await;
    person(PHONE, &reply);
    assert_eq!(opens_at, at + 86_400);
}

#[tokio::test]
async fn while_the_store_is_down_nobody_signs_in_and_later_the_same_request_succeeds() {
    let (world, sent) = world_with_code(PHONE).await;
    for mode in ["error", "refuse"] {
        world.fault("dynamodb", mode, 1_000).await;
        assert_refused(&right_with_id(&world, &sent).await, "service_unavailable", json!({"retry_after": 5}));
        world.clear_faults().await;
    }
    assert_eq!(world.items("UsersTable").await, [] as [Value; 0]);
    world.advance(5);
    person(PHONE, &right_with_id(&world, &sent).await);
}

#[tokio::test]
async fn brief_store_failures_and_duplicated_requests_do_not_affect_a_sign_in() {
    let world = World::new().await;
    for (n, (mode, times)) in [("refuse", 2), ("error", 2), ("duplicate", 100)].into_iter().enumerate() {
        let sent = world.send_code(&phone(n)).await;
        world.fault("dynamodb", mode, times).await;
        let reply = world.submit_with_id(&phone(n), &sent.challenge_id, &sent.code).send().await;
        world.clear_faults().await;
        let somebody = person(&phone(n), &reply);
        assert_eq!(reply.body["is_new_user"], json!(true), "{mode}");
        world.me(&somebody).await;
        assert_eq!(world.items("SessionsTable").await.len(), n + 1, "{mode}");
    }
}

#[tokio::test]
async fn a_sign_in_whose_transaction_fails_creates_no_user_and_a_conflict_is_retried() {
    let (world, sent) = world_with_code(PHONE).await;
    for code in ["AccessDeniedException", "TransactionConflict"] {
        fail_transactions(&world, 3, code, 1_000).await;
        let refused = right_without_id(&world, &sent).await;
        assert_refused(&refused, "service_unavailable", json!({"retry_after": 5}));
        world.clear_faults().await;
        for table in ["UsersTable", "SessionsTable"] {
            assert_eq!(world.items(table).await, [] as [Value; 0]);
        }
    }
    fail_transactions(&world, 3, "TransactionConflict", 3).await;
    assert_eq!(right_with_id(&world, &sent).await.ok()["is_new_user"], json!(true));
}
