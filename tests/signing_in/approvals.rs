//! Approvals: if the number of an account is dormant, a signed-in device is asked by push, and after its approval the
//! same code signs in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use local::{Aim, Mode, Outgoing, Target};
use serde_json::{Value, json};
use tests::{Call, Person, Reply, Sent, World, at_once, wrong};

use crate::setup::{mentions, phone, refresh_until_dormant};

const PATH: &str = "/v1/me/sign-in-approval";

async fn register(world: &World, person: &Person, token: &str) {
    world.keep_secret(token);
    let call = world.call("PUT", "/v1/me/fcm-token").as_person(person).json(json!({"fcm_token": token}));
    call.send().await.ok();
}

/// The holder of a dormant number, on a device that is still in use and registered for pushes.
async fn owner(world: &World) -> Person {
    let mut owner = [world.sign_in(&phone(1)).await];
    register(world, &owner[0], "the:device").await;
    refresh_until_dormant(world, &mut owner).await;
    let [owner] = owner;
    owner
}

/// A system, the holder of a dormant number, and a code that was sent to the number.
async fn dormant() -> (World, Person, Sent) {
    let world = World::new().await;
    let owner = owner(&world).await;
    let sent = world.send_code(&phone(1)).await;
    (world, owner, sent)
}

async fn submit(world: &World, sent: &Sent) -> Reply {
    world.submit_with_id(&phone(1), &sent.challenge_id, &sent.code).send().await
}

/// Sends a code and submits it.
async fn sign_in(world: &World) -> Reply {
    submit(world, &world.send_code(&phone(1)).await).await
}

fn approve<'a>(world: &'a World, person: &Person, challenge_id: &str) -> Call<'a> {
    world.post(PATH, json!({"challenge_id": challenge_id})).as_person(person)
}

async fn assert_approved(world: &World, person: &Person, challenge_id: &str) {
    let reply = approve(world, person, challenge_id).send().await;
    assert_eq!((reply.status, reply.body), (204, Value::Null));
}

async fn assert_nothing_to_approve(world: &World, person: &Person, challenge_id: &str) {
    approve(world, person, challenge_id).send().await.assert_problem(404, "nothing_to_approve");
}

async fn pushes(world: &World) -> Vec<Value> {
    world.call("GET", "/local/pushes").send().await.ok()["pushes"].as_array().unwrap().clone()
}

#[track_caller]
fn assert_asked(reply: &Reply) {
    reply.assert_problem(403, "second_signal_required");
    assert_eq!(reply.body["approval_asked"], true, "{reply:?}");
}

#[track_caller]
fn assert_not_asked(reply: &Reply) {
    reply.assert_problem(403, "second_signal_required");
    assert_eq!(reply.body["approval_asked"], Value::Null, "{reply:?}");
}

#[tokio::test]
async fn after_a_device_approves_the_same_code_signs_in() {
    let (world, owner, sent) = dormant().await;
    assert_asked(&submit(&world, &sent).await);
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
    assert_approved(&world, &owner, &sent.challenge_id).await;
    let signed_in = submit(&world, &sent).await.ok();
    assert_eq!((&signed_in["is_new_user"], &signed_in["user"]["user_id"]), (&json!(false), &json!(owner.user_id)));
}

#[tokio::test]
async fn a_sign_in_without_a_challenge_id_is_approved_by_the_pushed_id() {
    let (world, owner, sent) = dormant().await;
    assert_asked(&world.submit(&phone(1), &sent.code).send().await);
    let id = pushes(&world).await[0]["data"]["challenge_id"].as_str().unwrap().to_owned();
    assert_approved(&world, &owner, &id).await;
    world.submit(&phone(1), &sent.code).send().await.ok();
}

#[tokio::test]
async fn devices_are_asked_once_per_challenge_and_each_retry_counts_as_an_attempt() {
    let (world, _, sent) = dormant().await;
    for _ in 0..5 {
        assert_asked(&submit(&world, &sent).await);
    }
    submit(&world, &sent).await.assert_problem(429, "too_many_attempts");
    assert_eq!(pushes(&world).await.len(), 1);
}

#[tokio::test]
async fn an_approval_without_the_right_code_signs_nobody_in() {
    let (world, owner, sent) = dormant().await;
    let wrong = Sent { code: wrong(&sent.code), ..sent.clone() };
    submit(&world, &wrong).await.assert_problem(400, "incorrect_otp");
    assert_eq!(pushes(&world).await.len(), 0, "a wrong code asks no device");
    submit(&world, &sent).await;
    assert_approved(&world, &owner, &sent.challenge_id).await;
    submit(&world, &wrong).await.assert_problem(400, "incorrect_otp");
}

#[tokio::test]
async fn an_approval_by_anyone_but_the_phone_holder_has_no_effect() {
    let (world, _, sent) = dormant().await;
    let stranger = world.sign_in(&phone(2)).await;
    submit(&world, &sent).await;
    assert_nothing_to_approve(&world, &stranger, &sent.challenge_id).await;
    // Nor has a stored approval by a user who no longer holds the number.
    let set = json!({
        "TableName": "OtpsTable", "Key": {"pk": {"S": format!("sign_in#{}", phone(1))}},
        "UpdateExpression": "SET approved_by = :by", "ExpressionAttributeValues": {":by": {"S": stranger.user_id}},
    });
    world.dynamodb("UpdateItem", set).await;
    assert_asked(&submit(&world, &sent).await);
}

#[tokio::test]
async fn an_approval_of_an_expired_a_used_or_an_unknown_challenge_is_refused() {
    let (world, owner, sent) = dormant().await;
    assert_nothing_to_approve(&world, &owner, "chl_00000000000000000000000000").await;
    submit(&world, &sent).await;
    world.advance(600);
    assert_nothing_to_approve(&world, &owner, &sent.challenge_id).await;
    let sent = world.send_code(&phone(1)).await;
    assert_asked(&submit(&world, &sent).await);
    assert_approved(&world, &owner, &sent.challenge_id).await;
    submit(&world, &sent).await.ok();
    assert_nothing_to_approve(&world, &owner, &sent.challenge_id).await;
}

#[tokio::test]
async fn an_approval_expires_with_its_challenge() {
    let (world, owner, sent) = dormant().await;
    submit(&world, &sent).await;
    assert_approved(&world, &owner, &sent.challenge_id).await;
    world.advance(600);
    let next = world.send_code(&phone(1)).await;
    assert_nothing_to_approve(&world, &owner, &sent.challenge_id).await;
    assert_asked(&submit(&world, &next).await);
    assert_eq!(pushes(&world).await.len(), 2, "each challenge asks again");
}

#[tokio::test]
async fn a_caller_without_a_number_has_nothing_to_approve() {
    let (world, owner, sent) = dormant().await;
    let body = json!({"phone_number": phone(1), "otp": sent.code, "fresh_account": true});
    world.post("/v1/otp/submit", body).send().await.ok();
    assert_nothing_to_approve(&world, &owner, &sent.challenge_id).await;
    for body in [json!({}), json!({"challenge_id": null}), json!({"challenge_id": "042917"})] {
        world.post(PATH, body).as_person(&owner).send().await.assert_problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn without_a_registered_device_no_approval_is_asked_for() {
    let world = World::new().await;
    let mut owner = [world.sign_in(&phone(1)).await];
    refresh_until_dormant(&world, &mut owner).await;
    let sent = world.send_code(&phone(1)).await;
    assert_not_asked(&submit(&world, &sent).await);
    assert_eq!(pushes(&world).await, Vec::<Value>::new());
    // A device that registers now is asked at the next attempt.
    register(&world, &owner[0], "the:device").await;
    assert_asked(&submit(&world, &sent).await);
}

#[tokio::test]
async fn without_a_firebase_project_no_approval_is_asked_for() {
    let world = World::with(&[("FCM_PROJECT_ID", "")]).await;
    owner(&world).await;
    assert_not_asked(&sign_in(&world).await);
    assert_eq!(pushes(&world).await, Vec::<Value>::new());
}

#[tokio::test]
async fn only_devices_that_are_signed_in_to_the_account_are_asked() {
    let world = World::new().await;
    let lost = world.sign_in(&phone(1)).await;
    register(&world, &lost, "the:lost:device").await;
    world.advance(60);
    let owner = owner(&world).await;
    let other = world.sign_in(&phone(2)).await;
    register(&world, &other, "another:device").await;
    let sent = world.send_code(&phone(1)).await;
    assert_asked(&submit(&world, &sent).await);
    let asked: Vec<Value> = pushes(&world).await.iter().map(|push| push["to"].clone()).collect();
    assert_eq!(asked, [json!("the:device")]);
    assert_approved(&world, &owner, &sent.challenge_id).await;
}

#[tokio::test]
async fn an_fcm_failure_does_not_delay_the_refusal_and_the_next_attempt_asks_again() {
    for mode in ["error", "refuse", "timeout"] {
        let (world, owner, sent) = dormant().await;
        world.fault("fcm", mode, 1).await;
        let started = Instant::now();
        assert_not_asked(&submit(&world, &sent).await);
        assert!(started.elapsed() < Duration::from_secs(8), "{mode}: {:?}", started.elapsed());
        assert_asked(&submit(&world, &sent).await);
        assert_approved(&world, &owner, &sent.challenge_id).await;
        submit(&world, &sent).await.ok();
        for secret in ["ya29", "BEGIN PRIVATE KEY"] {
            assert!(!world.log().contains(secret), "{mode}: {secret}");
        }
    }
}

#[tokio::test]
async fn an_approval_is_asked_for_even_if_the_answer_to_its_transaction_is_lost() {
    let world = World::new().await;
    owner(&world).await;
    world.system.aim(None);
    let sent = world.send_code(&phone(1)).await;
    submit(&world, &sent).await;
    let at = world.system.outgoing().into_iter().rfind(|request| request.what.starts_with("TransactWriteItems"));
    world.advance(600);
    let sent = world.send_code(&phone(1)).await;
    let at = Outgoing { nth: 1, ..at.unwrap() };
    world.system.aim(Some(Aim { at: at.clone(), mode: Mode::Lost, code: None, lasts: false }));
    assert_asked(&submit(&world, &sent).await);
    assert!(world.system.outgoing().contains(&Outgoing { nth: 2, ..at }), "the transaction was retried");
    assert_eq!(pushes(&world).await.len(), 2, "one for each challenge");
}

#[tokio::test]
async fn with_a_malformed_service_account_sign_ins_are_only_not_pushed() {
    for secret in ["{}", "rubbish", r#"{"client_email":"a","private_key":"b","token_uri":"c d"}"#] {
        let world = World::new().await;
        owner(&world).await;
        world.secrets_manager("PutSecretValue", json!({"SecretId": "PushSecret", "SecretString": secret})).await;
        assert_not_asked(&sign_in(&world).await);
    }
}

#[tokio::test]
async fn a_device_that_fcm_no_longer_knows_loses_its_token_and_others_do_not() {
    let (world, mut owner, first) = dormant().await;
    assert_asked(&submit(&world, &first).await);
    world.advance(600);
    // The access token for FCM is cached by now, so the push itself is refused.
    for (code, is_kept) in [("SENDER_ID_MISMATCH", true), ("UNREGISTERED", false)] {
        world.add_fault(json!({"target": "fcm", "mode": "refuse", "code": code})).await;
        assert_not_asked(&sign_in(&world).await);
        let items = world.items("SessionsTable").await;
        let has_token = items.iter().any(|item| item["fcm_token"]["S"] == "the:device");
        assert_eq!(has_token, is_kept, "{code}");
        world.advance(600);
    }
    owner = world.refreshed(&owner).await;
    register(&world, &owner, "the:new:device").await;
    assert_asked(&sign_in(&world).await);
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
    refresh_until_dormant(&world, &mut devices).await;
    let sent = world.send_code(&phone(1)).await;
    let at = Outgoing { target: Target::Fcm, what: "a push".to_owned(), nth: 1 };
    world.system.aim(Some(Aim { at, mode: Mode::Refuse, code: Some("UNREGISTERED"), lasts: false }));
    assert_asked(&submit(&world, &sent).await);
    let items = world.items("SessionsTable").await;
    let kept: Vec<&Value> = items.iter().map(|item| &item["fcm_token"]["S"]).filter(|token| !token.is_null()).collect();
    assert_eq!(kept, [&pushes(&world).await[0]["to"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_submissions_of_a_code_one_pushes() {
    let (world, _, sent) = dormant().await;
    let world = Arc::new(world);
    let replies = at_once(&world, 5, |world, _| {
        let sent = sent.clone();
        async move { submit(&world, &sent).await }
    })
    .await;
    assert!(replies.iter().all(|reply| reply.problem() == (403, "second_signal_required")), "{replies:?}");
    assert!(replies.iter().any(|reply| reply.body["approval_asked"] == json!(true)), "{replies:?}");
    assert_eq!(pushes(&world).await.len(), 1);
}

#[tokio::test]
async fn an_access_token_for_fcm_is_reused_until_it_expires_or_fcm_refuses_it() {
    let world = World::new().await;
    world.system.aim(None);
    owner(&world).await;
    let ask = async || {
        world.advance(600);
        sign_in(&world).await
    };
    let token_requests = || {
        let requests = world.system.outgoing();
        requests.iter().filter(|request| request.target == Target::Fcm && request.what == "a token").count()
    };
    assert_asked(&ask().await);
    assert_asked(&ask().await);
    assert_eq!(token_requests(), 1);
    world.advance(3_600);
    assert_asked(&ask().await);
    assert_eq!(token_requests(), 2);
    world.add_fault(json!({"target": "fcm", "mode": "refuse", "code": "UNAUTHENTICATED"})).await;
    assert_not_asked(&ask().await);
    assert_asked(&ask().await);
    assert_eq!(token_requests(), 3);
}
