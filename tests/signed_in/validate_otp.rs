//! `POST /v1/phone/otp/send` and `/v1/phone/otp/validate`: a signed-in user verifies or changes their phone.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::{Person, Reply, Sent, World, assert_refused, at_once, with, wrong};

use crate::{assert_locks_match_users, count, delete_user_item};

const OWN: &str = "+9779841000001";
const NEW: &str = "+9779841000002";
const OTHER: &str = "+9779841000003";

/// A system and a user with a username and a verified phone.
async fn verified() -> (World, Person) {
    let world = World::new().await;
    let person = sita(&world).await;
    (world, person)
}

async fn sita(world: &World) -> Person {
    world.sign_in_as(OWN, "sita").await
}

/// A system and a user with a username and no phone.
async fn unverified() -> (World, Person) {
    let (world, person) = verified().await;
    world.remove_phone(&person).await;
    (world, person)
}

/// A system, a user without a phone, and the code that was sent to `NEW`.
async fn unverified_with_code() -> (World, Person, Sent) {
    let (world, person) = unverified().await;
    let sent = sent(&world, &person, to_verify(NEW)).await;
    (world, person, sent)
}

/// A system and a user who has become verified after a code was sent to `NEW` that was not for a change of number.
async fn verified_with_code() -> (World, Person, Sent) {
    let (world, person, sent) = unverified_with_code().await;
    let values = json!({":phone": {"S": OWN}});
    let update = json!({"UpdateExpression": "SET phone = :phone", "ExpressionAttributeValues": values});
    world.update_user(&format!("user#{}", person.user_id), update).await;
    let lock = json!({"pk": {"S": format!("phone#{OWN}")}, "user_id": {"S": person.user_id}});
    world.dynamodb("PutItem", json!({"TableName": "UsersTable", "Item": lock})).await;
    (world, person, sent)
}

/// Another user, who holds `NEW`.
async fn holder_of_new(world: &World) -> Person {
    let holder = world.sign_in_as(NEW, "gita").await;
    world.advance(30);
    holder
}

fn to_verify(phone: &str) -> Value {
    json!({"phone_number": phone})
}

fn to_change(phone: &str) -> Value {
    json!({"phone_number": phone, "change": true})
}

async fn send(world: &World, person: &Person, body: Value) -> Reply {
    world.keep_secret(body["phone_number"].as_str().unwrap());
    world.post("/v1/phone/otp/send", body).as_person(person).send().await
}

/// Requests a code and reads it from the phone.
async fn sent(world: &World, person: &Person, body: Value) -> Sent {
    let phone = body["phone_number"].as_str().unwrap().to_owned();
    let reply = send(world, person, body).await;
    world.received(&phone, &reply).await
}

/// What Sita types.
fn typed(phone: &str, otp: &str) -> Value {
    typed_by("sita", phone, otp)
}

fn typed_with_id(phone: &str, otp: &str, challenge_id: &str) -> Value {
    json!({"phone_number": phone, "otp": otp, "username": "sita", "challenge_id": challenge_id})
}

fn typed_by(username: &str, phone: &str, otp: &str) -> Value {
    json!({"phone_number": phone, "otp": otp, "username": username})
}

async fn validate(world: &World, person: &Person, body: Value) -> Reply {
    world.post("/v1/phone/otp/validate", body).as_person(person).send().await
}

#[track_caller]
fn assert_invalid(reply: &Reply) {
    assert_refused(reply, "invalid_validation_request", json!({}));
}

#[track_caller]
fn assert_mistaken(reply: &Reply) {
    assert_refused(reply, "phone_or_username_mistaken", json!({}));
}

#[track_caller]
fn assert_already_verified(reply: &Reply) {
    assert_refused(reply, "already_verified", json!({}));
}

#[track_caller]
fn assert_incorrect(reply: &Reply) {
    assert_refused(reply, "incorrect_otp", json!({}));
}

#[track_caller]
fn assert_success(reply: &Reply) {
    let success = json!({"message": "Success! You have verified your phone number."});
    assert_eq!((reply.status, &reply.body), (200, &success));
}

/// Uses up all five attempts. Only who shows the id is told how many are left.
async fn exhaust(world: &World, person: &Person, body: &Value) {
    for left in (0..5).rev() {
        let more = if body.get("challenge_id").is_some() { json!({"attempts_left": left}) } else { json!({}) };
        assert_refused(&validate(world, person, body.clone()).await, "incorrect_otp", more);
    }
}

// Requesting a code.

#[tokio::test]
async fn a_user_without_a_phone_is_sent_a_code_to_verify_one() {
    let (world, person) = unverified().await;
    let reply = send(&world, &person, to_verify(NEW)).await;
    let challenge_id = reply.text("challenge_id");
    assert_eq!(
        reply.ok(),
        json!({"message": "sent otp", "challenge_id": challenge_id, "expires_in": 600, "resend_in": 30,
            "attempts_left": 5})
    );
    assert_eq!(world.inbox(NEW).await.len(), 1);
}

#[tokio::test]
async fn a_user_without_a_phone_needs_no_fresh_token_to_verify_one() {
    let (world, mut person) = unverified().await;
    person.access = world.refresh(&person.refresh).await.text("access_token");
    let code = sent(&world, &person, to_verify(NEW)).await.code;
    assert_success(&validate(&world, &person, typed(NEW, &code)).await);
}

#[tokio::test]
async fn a_verified_user_is_sent_no_code_without_the_change_member() {
    let (world, person) = verified().await;
    for body in [to_verify(NEW), json!({"phone_number": NEW, "change": false})] {
        assert_already_verified(&send(&world, &person, body).await);
    }
    assert!(world.inbox(NEW).await.is_empty());
}

#[tokio::test]
async fn a_verified_user_proves_their_own_number_anew_at_any_time() {
    let (world, mut person) = verified().await;
    // Any valid token will do.
    person.access = world.refresh(&person.refresh).await.text("access_token");
    let before = world.me(&person).await;
    for _ in 0..2 {
        world.advance(60);
        let Sent { code, challenge_id } = sent(&world, &person, to_verify(OWN)).await;
        assert_incorrect(&validate(&world, &person, typed(OWN, &wrong(&code))).await);
        assert_mistaken(&validate(&world, &person, typed_by("gita", OWN, &code)).await);
        assert_mistaken(&validate(&world, &person, typed(NEW, &code)).await);
        assert_success(&validate(&world, &person, typed_with_id(OWN, &code, &challenge_id)).await);
        assert_already_verified(&validate(&world, &person, typed(OWN, &code)).await);
    }
    assert_eq!(world.me(&person).await, before);
    assert_locks_match_users(&world).await;
}

#[tokio::test]
async fn a_user_without_a_username_proves_their_own_number_anew_and_no_other() {
    let world = World::new().await;
    let person = world.sign_in(OWN).await;
    world.advance(60);
    let own = sent(&world, &person, json!({"phone_number": OWN})).await;
    let body = json!({"phone_number": OWN, "otp": own.code, "challenge_id": own.challenge_id});
    assert_mistaken(&validate(&world, &person, with(&body, json!({"username": "sita"}))).await);
    assert_success(&validate(&world, &person, body).await);
    let other = sent(&world, &person, to_change(NEW)).await;
    let body = json!({"phone_number": NEW, "otp": other.code, "challenge_id": other.challenge_id});
    assert_invalid(&validate(&world, &person, body).await);
}

#[tokio::test]
async fn five_wrong_codes_exhaust_the_attempts_at_the_own_number_too() {
    let (world, person) = verified().await;
    world.advance(60);
    let Sent { code, challenge_id } = sent(&world, &person, to_verify(OWN)).await;
    exhaust(&world, &person, &typed_with_id(OWN, &wrong(&code), &challenge_id)).await;
    let refused = validate(&world, &person, typed_with_id(OWN, &code, &challenge_id)).await;
    assert_refused(&refused, "too_many_attempts", json!({"attempts_left": 0}));
}

#[tokio::test]
async fn a_code_for_the_own_number_is_no_change_of_number() {
    let (world, person) = verified().await;
    world.advance(60);
    let own = sent(&world, &person, to_verify(OWN)).await.code;
    let change = sent(&world, &person, to_change(NEW)).await.code;
    assert_incorrect(&validate(&world, &person, typed(NEW, &own)).await);
    assert_success(&validate(&world, &person, typed(NEW, &change)).await);
    assert_already_verified(&validate(&world, &person, typed(OWN, &own)).await);
    assert_eq!(world.me(&person).await["phone_number"], NEW);
}

#[tokio::test]
async fn a_number_cannot_be_changed_to_itself() {
    let (world, person) = verified().await;
    world.advance(30);
    assert_already_verified(&send(&world, &person, to_change(OWN)).await);
    assert_eq!(world.inbox(OWN).await.len(), 1, "the sign-in code alone");
}

#[tokio::test]
async fn a_change_of_number_requires_a_fresh_token() {
    let (world, mut person) = verified().await;
    person.access = world.refresh(&person.refresh).await.text("access_token");
    let reply = send(&world, &person, to_change(NEW)).await;
    reply.assert_problem(401, "fresh_token_required");
    assert_eq!(
        reply.headers["www-authenticate"],
        r#"Bearer realm="latchkey", error="insufficient_user_authentication", error_description="an access token issued for a code is required", max_age="900""#
    );
    assert!(world.inbox(NEW).await.is_empty());
}

#[tokio::test]
async fn a_deleted_user_is_sent_no_code() {
    let (world, person) = verified().await;
    delete_user_item(&world, &person).await;
    for body in [to_verify(NEW), to_change(NEW)] {
        send(&world, &person, body).await.assert_problem(403, "no_such_user");
    }
    assert!(world.inbox(NEW).await.is_empty());
}

#[tokio::test]
async fn the_answer_does_not_reveal_whether_the_number_has_another_holder() {
    let world = World::new().await;
    holder_of_new(&world).await;
    let person = sita(&world).await;
    let taken = send(&world, &person, to_change(NEW)).await;
    world.advance(3600);
    let free = send(&world, &world.sign_in(OWN).await, to_change(OTHER)).await;
    let shape = |reply: &Reply| (reply.status, reply.body["message"].clone(), reply.body["attempts_left"].clone());
    assert_eq!(shape(&taken), shape(&free));
    assert_eq!(shape(&taken), (200, json!("sent otp"), json!(5)));
}

// The five outcomes.

#[tokio::test]
async fn a_user_without_a_phone_verifies_one_and_then_signs_in_with_it() {
    let (world, person) = unverified().await;
    let before = world.me(&person).await;
    assert_eq!((&before["phone_number"], &before["phone_verified"]), (&Value::Null, &json!(false)));
    let code = sent(&world, &person, to_verify(NEW)).await.code;
    assert_incorrect(&validate(&world, &person, typed(NEW, &wrong(&code))).await);
    assert_success(&validate(&world, &person, typed(NEW, &code)).await);
    let after = world.me(&person).await;
    assert_eq!((&after["phone_number"], &after["phone_verified"]), (&json!(NEW), &json!(true)));
    assert_locks_match_users(&world).await;
    world.advance(30);
    assert_eq!(world.sign_in(NEW).await.user_id, person.user_id);
}

#[tokio::test]
async fn the_old_member_name_a_national_number_and_another_username_case_are_accepted() {
    let (world, person, Sent { code, .. }) = unverified_with_code().await;
    let spaced = format!(" {} {} ", &code[..3], &code[3..]);
    let body = json!({"phone": "984-1000002", "otp": spaced, "username": "SiTa"});
    assert_success(&validate(&world, &person, body).await);
}

#[tokio::test]
async fn the_right_code_with_its_challenge_id_verifies() {
    let (world, person, sent) = unverified_with_code().await;
    assert_success(&validate(&world, &person, typed_with_id(NEW, &sent.code, &sent.challenge_id)).await);
}

#[tokio::test]
async fn a_missing_member_is_reported_before_anything_else() {
    let (world, verified, sent) = verified_with_code().await;
    let other = world.sign_in_as(OTHER, "gita").await;
    let (right, mistaken) = (typed(NEW, &sent.code), typed_by("nobody", OTHER, &wrong(&sent.code)));
    for caller in [&verified, &other] {
        for body in [&right, &mistaken] {
            for member in ["phone_number", "otp", "username"] {
                for missing in [None, Some(Value::Null), Some(json!("")), Some(json!("  "))] {
                    let mut body = body.clone();
                    match missing {
                        Some(value) => body[member] = value,
                        None => _ = body.as_object_mut().unwrap().remove(member),
                    }
                    assert_invalid(&validate(&world, caller, body).await);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_request_without_the_username_that_it_needs_uses_one_attempt() {
    let (world, person, sent) = unverified_with_code().await;
    let body = with(&typed_with_id(NEW, &sent.code, &sent.challenge_id), json!({"username": null}));
    assert_invalid(&validate(&world, &person, body).await);
    let reply = validate(&world, &person, typed_with_id(NEW, &wrong(&sent.code), &sent.challenge_id)).await;
    assert_refused(&reply, "incorrect_otp", json!({"attempts_left": 3}));
}

#[tokio::test]
async fn a_mistaken_username_is_reported_before_the_code_is_compared() {
    let (world, person) = unverified().await;
    world.sign_in_as(OTHER, "gita").await;
    let code = sent(&world, &person, to_verify(NEW)).await.code;
    for otp in [wrong(&code), code.clone()] {
        for username in ["gita", "nobody"] {
            assert_mistaken(&validate(&world, &person, typed_by(username, NEW, &otp)).await);
        }
    }
    assert_success(&validate(&world, &person, typed(NEW, &code)).await);
}

#[tokio::test]
async fn a_mistaken_username_is_reported_before_already_verified() {
    let (world, person, sent) = verified_with_code().await;
    for otp in [wrong(&sent.code), sent.code.clone()] {
        assert_mistaken(&validate(&world, &person, typed_by("gita", NEW, &otp)).await);
    }
}

#[tokio::test]
async fn a_mistaken_username_is_reported_before_the_number_of_another_holder() {
    let world = World::new().await;
    holder_of_new(&world).await;
    let person = sita(&world).await;
    let code = sent(&world, &person, to_change(NEW)).await.code;
    assert_mistaken(&validate(&world, &person, typed_by("gita", NEW, &code)).await);
}

#[tokio::test]
async fn a_user_without_a_username_cannot_verify_a_phone() {
    let world = World::new().await;
    let person = world.sign_in(OWN).await;
    let code = sent(&world, &person, to_change(NEW)).await.code;
    assert_mistaken(&validate(&world, &person, typed(NEW, &code)).await);
}

#[tokio::test]
async fn without_a_pending_code_verified_and_unverified_callers_get_the_same_answer() {
    let (world, unverified) = unverified().await;
    assert_mistaken(&validate(&world, &unverified, typed(NEW, "123456")).await);
    let verified = world.sign_in_as(OTHER, "gita").await;
    assert_mistaken(&validate(&world, &verified, typed_by("gita", NEW, "123456")).await);
    assert_mistaken(&validate(&world, &verified, typed_by("gita", OTHER, "123456")).await);
}

#[tokio::test]
async fn a_code_for_one_number_does_not_verify_another() {
    let (world, person, Sent { code, .. }) = unverified_with_code().await;
    assert_mistaken(&validate(&world, &person, typed(OTHER, &code)).await);
    assert_success(&validate(&world, &person, typed(NEW, &code)).await);
}

#[tokio::test]
async fn a_verified_caller_gets_already_verified_for_every_code() {
    let (world, person, sent) = verified_with_code().await;
    // More wrong codes than a challenge has attempts: exhausted attempts are not reported either.
    let mut codes = vec![wrong(&sent.code); 7];
    codes.insert(1, sent.code);
    for otp in codes {
        assert_already_verified(&validate(&world, &person, typed(NEW, &otp)).await);
    }
    assert_eq!(world.me(&person).await["phone_number"], OWN);
}

#[tokio::test]
async fn a_code_verifies_once() {
    let (world, person, Sent { code, .. }) = unverified_with_code().await;
    assert_success(&validate(&world, &person, typed(NEW, &code)).await);
    assert_already_verified(&validate(&world, &person, typed(NEW, &code)).await);
    assert_already_verified(&validate(&world, &person, typed(NEW, &wrong(&code))).await);
}

#[tokio::test]
async fn only_the_right_code_reveals_that_the_number_has_another_holder() {
    let world = World::new().await;
    let holder = holder_of_new(&world).await;
    let person = sita(&world).await;
    let code = sent(&world, &person, to_change(NEW)).await.code;
    assert_incorrect(&validate(&world, &person, typed(NEW, &wrong(&code))).await);
    assert_already_verified(&validate(&world, &person, typed(NEW, &code)).await);
    assert_eq!(world.me(&person).await["phone_number"], OWN);
    assert_eq!(world.me(&holder).await["phone_number"], NEW);
    assert_locks_match_users(&world).await;
}

#[tokio::test]
async fn a_deleted_user_verifies_nothing() {
    let (world, person, Sent { code, .. }) = unverified_with_code().await;
    delete_user_item(&world, &person).await;
    let before = world.items("UsersTable").await;
    for otp in [wrong(&code), code] {
        validate(&world, &person, typed(NEW, &otp)).await.assert_problem(403, "no_such_user");
    }
    assert_eq!(world.items("UsersTable").await, before);
}

// Attempts and expiry.

#[tokio::test]
async fn five_wrong_codes_without_the_id_exhaust_the_attempts_without_an_id() {
    let (world, person, sent) = unverified_with_code().await;
    exhaust(&world, &person, &typed(NEW, &wrong(&sent.code))).await;
    assert_incorrect(&validate(&world, &person, typed(NEW, &sent.code)).await);
    assert_success(&validate(&world, &person, typed_with_id(NEW, &sent.code, &sent.challenge_id)).await);
}

#[tokio::test]
async fn five_wrong_codes_with_the_id_exhaust_it_and_a_new_code_can_be_requested() {
    let (world, person, first) = unverified_with_code().await;
    let with_id = |otp: &str| typed_with_id(NEW, otp, &first.challenge_id);
    exhaust(&world, &person, &with_id(&wrong(&first.code))).await;
    let refused = validate(&world, &person, with_id(&first.code)).await;
    assert_refused(&refused, "too_many_attempts", json!({"attempts_left": 0}));
    world.advance(30);
    let second = sent(&world, &person, to_verify(NEW)).await;
    assert_success(&validate(&world, &person, typed(NEW, &second.code)).await);
}

#[tokio::test]
async fn after_ten_wrong_codes_in_a_row_the_right_one_must_wait() {
    let (world, person, first) = unverified_with_code().await;
    exhaust(&world, &person, &typed_with_id(NEW, &wrong(&first.code), &first.challenge_id)).await;
    world.advance(30);
    let second = sent(&world, &person, to_verify(NEW)).await;
    exhaust(&world, &person, &typed_with_id(NEW, &wrong(&second.code), &second.challenge_id)).await;
    world.advance(600);
    let third = sent(&world, &person, to_verify(NEW)).await;
    let with_id = |otp: &str| typed_with_id(NEW, otp, &third.challenge_id);
    validate(&world, &person, with_id(&wrong(&third.code))).await.assert_problem(400, "incorrect_otp");
    let refused = validate(&world, &person, with_id(&third.code)).await;
    refused.assert_problem(429, "too_many_requests");
    assert_eq!(refused.number("retry_after"), 60);
    world.advance(60);
    assert_success(&validate(&world, &person, with_id(&third.code)).await);
}

#[tokio::test]
async fn five_wrong_codes_exhaust_a_change_of_number_too() {
    let (world, person) = verified().await;
    let code = sent(&world, &person, to_change(NEW)).await.code;
    exhaust(&world, &person, &typed(NEW, &wrong(&code))).await;
    assert_incorrect(&validate(&world, &person, typed(NEW, &code)).await);
    assert_eq!(world.me(&person).await["phone_number"], OWN);
}

#[tokio::test]
async fn only_a_request_with_the_challenge_id_learns_that_the_code_expired() {
    let (world, person, sent) = unverified_with_code().await;
    world.advance(600);
    assert_mistaken(&validate(&world, &person, typed(NEW, &sent.code)).await);
    let with_id = typed_with_id(NEW, &sent.code, &sent.challenge_id);
    validate(&world, &person, with_id).await.assert_problem(400, "otp_expired");
    assert_eq!(world.me(&person).await["phone_number"], Value::Null);
}

#[tokio::test]
async fn a_resend_repeats_the_code_and_does_not_reset_its_attempts() {
    let (world, person, first) = unverified_with_code().await;
    assert_incorrect(&validate(&world, &person, typed(NEW, &wrong(&first.code))).await);
    world.advance(30);
    let second = sent(&world, &person, to_verify(NEW)).await;
    assert_eq!(second.code, first.code);
    assert_incorrect(&validate(&world, &person, typed(NEW, &wrong(&first.code))).await);
}

/// Ten callers in turn, each with a code of their own for the same free number.
#[tokio::test]
async fn wrong_codes_at_a_number_count_whoever_guesses() {
    let world = World::with(&[("SOURCE_GUESSES_PER_HOUR", "1000"), ("ACCESS_TOKEN_SECONDS", "10000")]).await;
    let mut callers = Vec::new();
    for n in 0..10 {
        callers.push(world.sign_in_as(&format!("+977984100{n:04}"), &format!("caller{n}")).await);
    }
    let mut compared = 0;
    for (n, caller) in callers.iter().enumerate() {
        let sent = sent(&world, caller, to_change("+9779841999999")).await;
        for _ in 0..5 {
            for id in [Some(&sent.challenge_id), None] {
                let mut body = typed_by(&format!("caller{n}"), "+9779841999999", &wrong(&sent.code));
                if let Some(id) = id {
                    body["challenge_id"] = json!(id);
                }
                compared += u32::from(validate(&world, caller, body).await.status == 400);
            }
        }
        world.advance(if n == 4 { 3_600 } else { 300 });
    }
    assert!(compared <= 34, "{compared} guesses at one number in two hours");
}

#[tokio::test]
async fn wrong_codes_of_a_caller_count_at_whatever_number() {
    let (world, person) = unverified().await;
    for n in 0..2 {
        let phone = format!("+977984199999{n}");
        let sent = sent(&world, &person, to_verify(&phone)).await;
        for _ in 0..5 {
            let body = typed_with_id(&phone, &wrong(&sent.code), &sent.challenge_id);
            validate(&world, &person, body).await.assert_problem(400, "incorrect_otp");
        }
    }
    let sent = sent(&world, &person, to_verify(NEW)).await;
    let body = typed_with_id(NEW, &sent.code, &sent.challenge_id);
    validate(&world, &person, body.clone()).await.assert_problem(429, "too_many_requests");
    world.advance(30);
    assert_success(&validate(&world, &person, body).await);
    assert_eq!(world.me(&person).await["phone_number"], NEW);
}

#[tokio::test]
async fn a_change_of_number_from_a_source_without_guesses_left_must_wait() {
    let world = World::with(&[("SOURCE_GUESSES_PER_HOUR", "1")]).await;
    world.advance(86_400 - world.now().unsigned_abs() % 86_400);
    let person = world.sign_in_as(OWN, "sita").await;
    let sent = sent(&world, &person, to_change(NEW)).await;
    let body = |code: &str| typed_with_id(NEW, code, &sent.challenge_id);
    // The sign-in showed no id, so it is counted apart.
    validate(&world, &person, body(&wrong(&sent.code))).await.assert_problem(400, "incorrect_otp");
    validate(&world, &person, body(&sent.code)).await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn where_the_caller_and_the_number_must_wait_the_longer_wait_is_enough() {
    let (world, person) = unverified().await;
    let gita = world.sign_in_as(OTHER, "gita").await;
    let own = sent(&world, &person, to_verify(NEW)).await;
    let guess_at = async |n: u32, guesses: u32| {
        let phone = format!("+977984199999{n}");
        let sent = sent(&world, &person, to_verify(&phone)).await;
        for _ in 0..guesses {
            let body = typed_with_id(&phone, &wrong(&sent.code), &sent.challenge_id);
            validate(&world, &person, body).await.assert_problem(400, "incorrect_otp");
        }
    };
    guess_at(1, 5).await;
    guess_at(2, 5).await;
    world.advance(30);
    guess_at(3, 1).await;
    world.advance(60);
    for _ in 0..2 {
        let of_gita = sent(&world, &gita, to_change(NEW)).await;
        let body = with(&typed_by("gita", NEW, &wrong(&of_gita.code)), json!({"challenge_id": of_gita.challenge_id}));
        for _ in 0..5 {
            validate(&world, &gita, body.clone()).await.assert_problem(400, "incorrect_otp");
        }
        world.advance(60);
    }
    // The number's eleventh wrong code in a row, and the caller's twelfth.
    let body = |code: &str| typed_with_id(NEW, code, &own.challenge_id);
    validate(&world, &person, body(&wrong(&own.code))).await.assert_problem(400, "incorrect_otp");
    let refused = validate(&world, &person, body(&own.code)).await;
    refused.assert_problem(429, "too_many_requests");
    assert_eq!(refused.number("retry_after"), 120);
}

#[tokio::test]
async fn a_request_names_no_other_organization_than_its_tokens() {
    let (world, person) = unverified().await;
    world.create_organization("acme", &[]).await;
    let body = with(&to_verify(NEW), json!({"organization_id": "acme"}));
    let detail = "expected the organization that the access token was issued for, or none";
    let errors = tests::at_member("organization_id", detail);
    assert_refused(&send(&world, &person, body).await, "malformed_request", json!({"errors": errors}));
    let sent = sent(&world, &person, to_verify(NEW)).await;
    let body = with(&typed(NEW, &sent.code), json!({"organization_id": "acme"}));
    assert_refused(&validate(&world, &person, body).await, "malformed_request", json!({"errors": errors}));
    assert_success(&validate(&world, &person, typed(NEW, &sent.code)).await);
}

// A code works only for the caller and the purpose that it was requested for.

#[tokio::test]
async fn a_sign_in_code_verifies_no_phone_and_a_verifying_code_signs_nobody_in() {
    let (world, person) = verified().await;
    let sign_in = world.send_code(NEW).await;
    assert_mistaken(&validate(&world, &person, typed(NEW, &sign_in.code)).await);
    world.advance(30);
    let change = sent(&world, &person, to_change(NEW)).await;
    assert_incorrect(&validate(&world, &person, typed(NEW, &sign_in.code)).await);
    world.submit(NEW, &change.code).send().await.assert_problem(400, "incorrect_otp");
    assert_mistaken(&validate(&world, &person, typed_with_id(NEW, &sign_in.code, &sign_in.challenge_id)).await);
    assert_success(&validate(&world, &person, typed(NEW, &change.code)).await);
}

#[tokio::test]
async fn a_verifying_code_signs_nobody_in_without_a_sign_in_code() {
    let (world, person) = verified().await;
    let change = sent(&world, &person, to_change(NEW)).await;
    world.submit(NEW, &change.code).send().await.assert_problem(400, "incorrect_otp");
    assert_eq!(world.me(&person).await["phone_number"], OWN);
}

#[tokio::test]
async fn a_code_works_only_for_the_caller_who_requested_it() {
    let world = World::new().await;
    let (requester, thief) = (sita(&world).await, world.sign_in_as(OTHER, "gita").await);
    let sent_to_requester = sent(&world, &requester, to_change(NEW)).await;
    let without_id = typed_by("gita", NEW, &sent_to_requester.code);
    let mut with_id = without_id.clone();
    with_id["challenge_id"] = json!(sent_to_requester.challenge_id);
    assert_mistaken(&validate(&world, &thief, without_id.clone()).await);
    assert_mistaken(&validate(&world, &thief, with_id.clone()).await);
    world.advance(30);
    sent(&world, &thief, to_change(NEW)).await;
    assert_mistaken(&validate(&world, &thief, with_id).await);
    assert_incorrect(&validate(&world, &thief, without_id).await);
    assert_success(&validate(&world, &requester, typed(NEW, &sent_to_requester.code)).await);
    assert_eq!(world.me(&thief).await["phone_number"], OTHER);
}

// A change of number.

#[tokio::test]
async fn a_changed_number_signs_in_the_same_user_and_the_old_number_a_new_one_after_72_hours() {
    let (world, person) = verified().await;
    let before = world.me(&person).await;
    let code = sent(&world, &person, to_change(NEW)).await.code;
    assert_incorrect(&validate(&world, &person, typed(NEW, &wrong(&code))).await);
    assert_success(&validate(&world, &person, typed(NEW, &code)).await);
    let mut expected = before;
    let me = world.me(&person).await;
    let undo_until = me["phone_change"]["changed_at"].as_i64().unwrap() + 72 * 3_600;
    expected["phone_number"] = json!(NEW);
    expected["phone_change"] = json!({"changed_at": undo_until - 72 * 3_600, "undo_until": undo_until});
    assert_eq!(me, expected);
    assert_locks_match_users(&world).await;
    world.advance(30);
    assert_eq!(world.sign_in(NEW).await.user_id, person.user_id);
    world.advance(72 * 3_600);
    let stranger = world.sign_in(OWN).await;
    assert_ne!(stranger.user_id, person.user_id);
    assert_eq!(world.me(&stranger).await["username"], Value::Null);
    assert_locks_match_users(&world).await;
}

#[tokio::test]
async fn a_number_can_be_changed_and_changed_back() {
    let (world, person) = verified().await;
    for phone in [NEW, OWN] {
        let code = sent(&world, &person, to_change(phone)).await.code;
        assert_success(&validate(&world, &person, typed(phone, &code)).await);
        world.advance(30);
    }
    assert_eq!(world.me(&person).await["phone_number"], OWN);
    assert_locks_match_users(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_concurrent_right_codes_one_verifies() {
    let (world, person) = verified().await;
    let world = Arc::new(world);
    let code = sent(&world, &person, to_change(NEW)).await.code;
    let replies = at_once(&world, 64, |world, _| {
        let (person, body) = (person.clone(), typed(NEW, &code));
        async move { validate(&world, &person, body).await }
    })
    .await;
    assert_eq!(count(&replies, 200), 1, "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        let of_a_loser = [(403, "already_verified"), (400, "incorrect_otp"), (429, "too_many_requests")];
        assert!(of_a_loser.contains(&reply.problem()), "{reply:?}");
    }
    assert_eq!(world.me(&person).await["phone_number"], NEW);
    assert_locks_match_users(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_callers_who_prove_the_same_new_number_one_gets_it() {
    let world = Arc::new(World::new().await);
    let mut racers = [(sita(&world).await, "sita"), (world.sign_in_as(OTHER, "gita").await, "gita")]
        .map(|(person, username)| (person, username, String::new()));
    for (person, _, code) in &mut racers {
        *code = sent(&world, person, to_change(NEW)).await.code;
        world.advance(30);
    }
    let calls = at_once(&world, 64, |world, n| {
        let (person, username, code) = racers[n % 2].clone();
        async move { (person.user_id.clone(), validate(&world, &person, typed_by(username, NEW, &code)).await) }
    });
    let (users, replies): (Vec<_>, Vec<_>) = calls.await.into_iter().unzip();
    assert_eq!(count(&replies, 200), 1, "{replies:?}");
    let winner = &users[replies.iter().position(|reply| reply.status == 200).unwrap()];
    for ((person, ..), own) in racers.iter().zip([OWN, OTHER]) {
        let expected = if person.user_id == *winner { NEW } else { own };
        assert_eq!(world.me(person).await["phone_number"], expected);
    }
    assert_locks_match_users(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_number_proven_by_a_sign_in_and_a_change_at_once_has_one_holder() {
    let (world, person) = verified().await;
    let world = Arc::new(world);
    let sign_in = world.send_code(NEW).await.code;
    world.advance(30);
    let change = sent(&world, &person, to_change(NEW)).await.code;
    let replies = at_once(&world, 2, |world, n| {
        let (person, sign_in, change) = (person.clone(), sign_in.clone(), change.clone());
        async move {
            match n {
                0 => world.submit(NEW, &sign_in).send().await,
                _ => validate(&world, &person, typed(NEW, &change)).await,
            }
        }
    })
    .await;
    let (signed_in, changed): (Vec<_>, Vec<_>) = replies.iter().partition(|it| it.body.get("user").is_some());
    let holder = signed_in[0].body["user"]["user_id"].clone();
    match changed[0].status {
        200 => assert_eq!(holder, json!(person.user_id)),
        _ => {
            assert_already_verified(changed[0]);
            assert_ne!(holder, json!(person.user_id));
            assert_eq!(world.me(&person).await["phone_number"], OWN);
        }
    }
    assert_locks_match_users(&world).await;
}
