//! Where a number has been dormant, a device that is signed in to its account is asked, and what it approves opens the
//! account to the same code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use local::{Aim, Mode, Outgoing, Target};
use serde_json::{Value, json};
use tests::{Call, Person, Reply, Sent, World, wrong};
use tokio::task::JoinSet;

use crate::setup::{mentions, phone};

const DORMANT: u64 = 180 * 86_400;
const PATH: &str = "/v1/me/sign-in-approval";

async fn refresh(world: &World, person: &mut Person) {
    let reply = world.post("/v1/session/refresh", json!({"refresh_token": person.refresh})).send().await;
    (person.access, person.refresh) = (reply.text("access_token"), reply.text("refresh_token"));
}

/// Keeps devices in use until the number they were signed in with is dormant.
async fn grow_old(world: &World, devices: &mut [Person]) {
    for _ in 0..9 {
        world.advance(DORMANT / 9);
        for device in &mut *devices {
            refresh(world, device).await;
        }
    }
}

async fn register(world: &World, person: &Person, token: &str) {
    world.keep_secret(token);
    let call = world.call("PUT", "/v1/me/fcm-token").as_person(person).json(json!({"fcm_token": token}));
    call.send().await.ok();
}

/// Someone who signed in long ago, on a device that is in use to this day, and can be pushed to.
async fn owner(world: &World, fcm_token: &str) -> Person {
    let mut owner = [world.sign_in(&phone(1)).await];
    register(world, &owner[0], fcm_token).await;
    grow_old(world, &mut owner).await;
    let [owner] = owner;
    owner
}

fn submit<'a>(world: &'a World, sent: &Sent) -> Call<'a> {
    let body = json!({"phone_number": phone(1), "otp": sent.code, "challenge_id": sent.challenge_id});
    world.post("/v1/otp/submit", body)
}

fn approve<'a>(world: &'a World, person: &Person, challenge_id: &str) -> Call<'a> {
    world.post(PATH, json!({"challenge_id": challenge_id})).as_person(person)
}

async fn pushes(world: &World) -> Vec<Value> {
    world.call("GET", "/local/pushes").send().await.ok()["pushes"].as_array().unwrap().clone()
}

/// Panics unless nobody was let in, and the answer says whether a device was asked.
#[track_caller]
fn assert_waits(reply: &Reply, is_asked: bool) {
    reply.assert_problem(403, "second_signal_required");
    let wanted = if is_asked { json!(true) } else { Value::Null };
    assert_eq!(reply.body["approval_asked"], wanted, "{reply:?}");
}

#[tokio::test]
async fn after_a_device_approves_the_same_code_signs_in() {
    let world = World::new().await;
    let owner = owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    assert_waits(&submit(&world, &sent).send().await, true);
    let pushed = pushes(&world).await;
    let expires_at = (world.now() + 600).to_string();
    let data = &pushed[0]["data"];
    assert_eq!((pushed.len(), &pushed[0]["to"]), (1, &json!("the:device")));
    assert_eq!((&data["type"], &data["challenge_id"]), (&json!("sign_in_approval"), &json!(sent.challenge_id)));
    // The clock may have ticked since the send.
    assert!(*data["expires_at"].as_str().unwrap() <= *expires_at && data.as_object().unwrap().len() == 3, "{data}");
    for secret in [sent.code.as_str(), phone(1).trim_start_matches('+'), phone(1).trim_start_matches("+977")] {
        assert_eq!(mentions(&json!(pushed), secret), 0);
    }
    let approved = approve(&world, &owner, &sent.challenge_id).send().await;
    assert_eq!((approved.status, approved.body), (204, Value::Null));
    let opened = submit(&world, &sent).send().await.ok();
    assert_eq!((&opened["is_new_user"], &opened["user"]["user_id"]), (&json!(false), &json!(owner.user_id)));
}

#[tokio::test]
async fn a_sign_in_without_a_challenge_id_is_approved_by_the_pushed_id() {
    let world = World::new().await;
    let owner = owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    assert_waits(&world.submit(&phone(1), &sent.code).send().await, true);
    let id = pushes(&world).await[0]["data"]["challenge_id"].as_str().unwrap().to_owned();
    assert_eq!(approve(&world, &owner, &id).send().await.status, 204);
    world.submit(&phone(1), &sent.code).send().await.ok();
}

#[tokio::test]
async fn devices_are_asked_once_per_challenge_and_each_retry_counts_as_an_attempt() {
    let world = World::new().await;
    owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    for _ in 0..5 {
        assert_waits(&submit(&world, &sent).send().await, true);
    }
    submit(&world, &sent).send().await.assert_problem(429, "too_many_attempts");
    assert_eq!(pushes(&world).await.len(), 1);
}

#[tokio::test]
async fn an_approval_without_the_right_code_signs_nobody_in() {
    let world = World::new().await;
    let owner = owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    let wrong = Sent { code: wrong(&sent.code), ..sent.clone() };
    submit(&world, &wrong).send().await.assert_problem(400, "incorrect_otp");
    assert_eq!(pushes(&world).await.len(), 0, "a wrong code asks nobody");
    submit(&world, &sent).send().await;
    assert_eq!(approve(&world, &owner, &sent.challenge_id).send().await.status, 204);
    submit(&world, &wrong).send().await.assert_problem(400, "incorrect_otp");
}

#[tokio::test]
async fn an_approval_by_anyone_but_the_phone_holder_has_no_effect() {
    let world = World::new().await;
    owner(&world, "the:device").await;
    let stranger = world.sign_in(&phone(2)).await;
    let sent = world.send_code(&phone(1)).await;
    submit(&world, &sent).send().await;
    let refused = approve(&world, &stranger, &sent.challenge_id).send().await;
    refused.assert_problem(404, "nothing_to_approve");
    // Even one who had the number when they approved.
    let set = json!({
        "TableName": "OtpsTable", "Key": {"pk": {"S": format!("sign_in#{}", phone(1))}},
        "UpdateExpression": "SET approved_by = :by", "ExpressionAttributeValues": {":by": {"S": stranger.user_id}},
    });
    world.dynamodb("UpdateItem", set).await;
    assert_waits(&submit(&world, &sent).send().await, true);
}

#[tokio::test]
async fn an_approval_of_an_expired_a_used_or_an_unknown_challenge_is_refused() {
    let world = World::new().await;
    let owner = owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    let never = "chl_00000000000000000000000000";
    approve(&world, &owner, never).send().await.assert_problem(404, "nothing_to_approve");
    submit(&world, &sent).send().await;
    world.advance(600);
    approve(&world, &owner, &sent.challenge_id).send().await.assert_problem(404, "nothing_to_approve");
    let sent = world.send_code(&phone(1)).await;
    assert_waits(&submit(&world, &sent).send().await, true);
    assert_eq!(approve(&world, &owner, &sent.challenge_id).send().await.status, 204);
    submit(&world, &sent).send().await.ok();
    approve(&world, &owner, &sent.challenge_id).send().await.assert_problem(404, "nothing_to_approve");
}

#[tokio::test]
async fn an_approval_expires_with_its_challenge() {
    let world = World::new().await;
    let owner = owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    submit(&world, &sent).send().await;
    assert_eq!(approve(&world, &owner, &sent.challenge_id).send().await.status, 204);
    world.advance(600);
    let next = world.send_code(&phone(1)).await;
    approve(&world, &owner, &sent.challenge_id).send().await.assert_problem(404, "nothing_to_approve");
    assert_waits(&submit(&world, &next).send().await, true);
    assert_eq!(pushes(&world).await.len(), 2, "each challenge asks anew");
}

#[tokio::test]
async fn a_caller_without_a_number_has_nothing_to_approve() {
    let world = World::new().await;
    let owner = owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    let body = json!({"phone_number": phone(1), "otp": sent.code, "fresh_account": true});
    world.post("/v1/otp/submit", body).send().await.ok();
    approve(&world, &owner, &sent.challenge_id).send().await.assert_problem(404, "nothing_to_approve");
    for body in [json!({}), json!({"challenge_id": null}), json!({"challenge_id": "042917"})] {
        world.post(PATH, body).as_person(&owner).send().await.assert_problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn without_a_registered_device_no_approval_is_asked_for() {
    let world = World::new().await;
    let mut owner = [world.sign_in(&phone(1)).await];
    grow_old(&world, &mut owner).await;
    let sent = world.send_code(&phone(1)).await;
    assert_waits(&submit(&world, &sent).send().await, false);
    assert_eq!(pushes(&world).await, Vec::<Value>::new());
    // One that registers meanwhile is asked at the next try.
    register(&world, &owner[0], "the:device").await;
    assert_waits(&submit(&world, &sent).send().await, true);
}

#[tokio::test]
async fn without_a_firebase_project_no_approval_is_asked_for() {
    let world = World::with(&[("FCM_PROJECT_ID", "")]).await;
    owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    assert_waits(&submit(&world, &sent).send().await, false);
    assert_eq!(pushes(&world).await, Vec::<Value>::new());
}

#[tokio::test]
async fn only_devices_that_are_signed_in_to_the_account_are_asked() {
    let world = World::new().await;
    let lost = world.sign_in(&phone(1)).await;
    register(&world, &lost, "the:lost:device").await;
    world.advance(60);
    let owner = owner(&world, "the:device").await;
    let other = world.sign_in(&phone(2)).await;
    register(&world, &other, "another:device").await;
    let sent = world.send_code(&phone(1)).await;
    assert_waits(&submit(&world, &sent).send().await, true);
    let asked: Vec<Value> = pushes(&world).await.iter().map(|push| push["to"].clone()).collect();
    assert_eq!(asked, [json!("the:device")]);
    assert_eq!(approve(&world, &owner, &sent.challenge_id).send().await.status, 204);
}

#[tokio::test]
async fn an_fcm_failure_does_not_delay_the_refusal_and_the_next_attempt_asks_again() {
    for (mode, times) in [("error", 1), ("refuse", 1), ("timeout", 1)] {
        let world = World::new().await;
        let owner = owner(&world, "the:device").await;
        let sent = world.send_code(&phone(1)).await;
        world.fault("fcm", mode, times).await;
        let begun = Instant::now();
        assert_waits(&submit(&world, &sent).send().await, false);
        assert!(begun.elapsed() < Duration::from_secs(8), "{mode}: {:?}", begun.elapsed());
        assert_waits(&submit(&world, &sent).send().await, true);
        assert_eq!(approve(&world, &owner, &sent.challenge_id).send().await.status, 204, "{mode}");
        submit(&world, &sent).send().await.ok();
        for secret in ["ya29", "BEGIN PRIVATE KEY"] {
            assert!(!world.log().contains(secret), "{mode}: {secret}");
        }
    }
}

#[tokio::test]
async fn an_approval_is_asked_for_even_if_the_answer_to_its_transaction_is_lost() {
    let world = World::new().await;
    owner(&world, "the:device").await;
    world.system.aim(None);
    let sent = world.send_code(&phone(1)).await;
    submit(&world, &sent).send().await;
    let at = world.system.outgoing().into_iter().rfind(|request| request.what.starts_with("TransactWriteItems"));
    world.advance(600);
    let sent = world.send_code(&phone(1)).await;
    let at = Outgoing { nth: 1, ..at.unwrap() };
    world.system.aim(Some(Aim { at: at.clone(), mode: Mode::Lost, code: None, lasts: false }));
    assert_waits(&submit(&world, &sent).send().await, true);
    assert!(world.system.outgoing().contains(&Outgoing { nth: 2, ..at }), "it was tried again");
    assert_eq!(pushes(&world).await.len(), 2, "one for each challenge");
}

#[tokio::test]
async fn with_a_malformed_service_account_sign_ins_are_only_not_pushed() {
    for secret in ["{}", "rubbish", r#"{"client_email":"a","private_key":"b","token_uri":"c d"}"#] {
        let world = World::new().await;
        owner(&world, "the:device").await;
        world.secrets_manager("PutSecretValue", json!({"SecretId": "PushSecret", "SecretString": secret})).await;
        let sent = world.send_code(&phone(1)).await;
        assert_waits(&submit(&world, &sent).send().await, false);
    }
}

#[tokio::test]
async fn a_device_that_fcm_no_longer_knows_loses_its_token_and_others_do_not() {
    let world = World::new().await;
    let mut owner = owner(&world, "the:device").await;
    let first = world.send_code(&phone(1)).await;
    assert_waits(&submit(&world, &first).send().await, true);
    world.advance(600);
    // The token for FCM is at hand by now: the push itself is refused.
    for (code, is_kept) in [("SENDER_ID_MISMATCH", true), ("UNREGISTERED", false)] {
        let sent = world.send_code(&phone(1)).await;
        let fault = json!({"target": "fcm", "mode": "refuse", "code": code});
        assert_eq!(world.post("/local/faults", fault).send().await.status, 204);
        assert_waits(&submit(&world, &sent).send().await, false);
        let items = world.items("SessionsTable").await;
        let has_token = items.iter().any(|item| item["fcm_token"]["S"] == "the:device");
        assert_eq!(has_token, is_kept, "{code}");
        world.advance(600);
    }
    refresh(&world, &mut owner).await;
    register(&world, &owner, "the:new:device").await;
    let sent = world.send_code(&phone(1)).await;
    assert_waits(&submit(&world, &sent).send().await, true);
}

#[tokio::test]
async fn one_reachable_device_of_two_is_enough() {
    let world = World::new().await;
    let mut devices = Vec::new();
    for token in ["the:device", "the:other:device"] {
        devices.push(world.sign_in(&phone(1)).await);
        register(&world, devices.last().unwrap(), token).await;
        world.advance(60);
    }
    grow_old(&world, &mut devices).await;
    let sent = world.send_code(&phone(1)).await;
    let at = Outgoing { target: Target::Fcm, what: "a push".to_owned(), nth: 1 };
    world.system.aim(Some(Aim { at, mode: Mode::Refuse, code: Some("UNREGISTERED"), lasts: false }));
    assert_waits(&submit(&world, &sent).send().await, true);
    let items = world.items("SessionsTable").await;
    let kept: Vec<&Value> = items.iter().map(|item| &item["fcm_token"]["S"]).filter(|token| !token.is_null()).collect();
    assert_eq!(kept, [&pushes(&world).await[0]["to"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_submissions_of_a_code_one_pushes() {
    let world = Arc::new(World::new().await);
    owner(&world, "the:device").await;
    let sent = world.send_code(&phone(1)).await;
    let mut running = JoinSet::new();
    for _ in 0..5 {
        let (world, sent) = (Arc::clone(&world), sent.clone());
        running.spawn(async move { submit(&world, &sent).send().await });
    }
    let replies = running.join_all().await;
    assert!(replies.iter().all(|reply| reply.problem() == (403, "second_signal_required")), "{replies:?}");
    assert!(replies.iter().any(|reply| reply.body["approval_asked"] == json!(true)), "{replies:?}");
    assert_eq!(pushes(&world).await.len(), 1);
}

#[tokio::test]
async fn an_access_token_for_fcm_is_reused_until_it_expires_or_fcm_refuses_it() {
    let world = World::new().await;
    world.system.aim(None);
    owner(&world, "the:device").await;
    let ask = async || {
        world.advance(600);
        let sent = world.send_code(&phone(1)).await;
        submit(&world, &sent).send().await
    };
    let asked_for_tokens = || {
        let asked = world.system.outgoing();
        asked.iter().filter(|request| request.target == Target::Fcm && request.what == "a token").count()
    };
    assert_waits(&ask().await, true);
    assert_waits(&ask().await, true);
    assert_eq!(asked_for_tokens(), 1);
    world.advance(3_600);
    assert_waits(&ask().await, true);
    assert_eq!(asked_for_tokens(), 2);
    let fault = json!({"target": "fcm", "mode": "refuse", "code": "UNAUTHENTICATED"});
    assert_eq!(world.post("/local/faults", fault).send().await.status, 204);
    assert_waits(&ask().await, false);
    assert_waits(&ask().await, true);
    assert_eq!(asked_for_tokens(), 3);
}
