//! Recovery: whoever has a dormant number, and no device of its account, asks for the account and waits.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::device::Device;
use tests::google::{Google, Key, claims, header};
use tests::{Person, Reply, World, at_once, person, with};

use crate::setup::{DORMANT_SECONDS, phone};

const CANCEL: &str = "/v1/recovery/cancel";
const DAY: u64 = 86_400;

/// A dormant number, whose holder has one device that can be reached and that stays signed in.
async fn dormant(variables: &[(&str, &str)]) -> (World, Person) {
    let long_sessions = [("REFRESH_IDLE_SECONDS", "31536000"), ("ACCESS_TOKEN_SECONDS", "31536000")];
    let world = World::with(&[variables, &long_sessions].concat()).await;
    let code = world.send_code(&phone(1)).await.code;
    let body = json!({"phone_number": phone(1), "otp": code, "fcm_token": "tablet"});
    let owner = person(&phone(1), &world.post("/v1/otp/submit", body).send().await);
    world.advance(DORMANT_SECONDS);
    (world, owner)
}

async fn submit(world: &World, more: Value) -> Reply {
    world.advance(600);
    let sent = world.send_code(&phone(1)).await;
    let body = json!({"phone_number": phone(1), "otp": sent.code, "challenge_id": sent.challenge_id});
    world.post("/v1/otp/submit", with(&body, more)).send().await
}

async fn recover(world: &World) -> Reply {
    submit(world, json!({"recover": true})).await
}

async fn told(world: &World) -> Vec<String> {
    world.system.deliver_streams().await;
    let pushes = world.call("GET", "/local/pushes").send().await.ok();
    let pushes = pushes["pushes"].as_array().unwrap().iter().rev();
    let notices = pushes.filter(|push| push["data"]["type"] == "account_notice");
    notices.map(|push| push["data"]["event"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_account_that_no_device_refuses_opens_after_seven_days() {
    let (world, owner) = dormant(&[]).await;
    let asked = recover(&world).await;
    asked.assert_problem(403, "recovery_pending");
    assert_eq!(asked.number("opens_at"), world.now() as u64 + 7 * DAY);
    assert_eq!(asked.number("closes_at"), world.now() as u64 + 14 * DAY);
    world.advance(7 * DAY - 601);
    recover(&world).await.assert_problem(403, "recovery_pending");
    world.advance(1);
    let opened = recover(&world).await.ok();
    assert_eq!((&opened["user"]["user_id"], &opened["is_new_user"]), (&json!(owner.user_id), &json!(false)));
    assert!(told(&world).await.contains(&"account_recovered".to_owned()));
    submit(&world, json!({})).await.ok();
}

#[tokio::test]
async fn a_recovery_is_visible_to_the_devices_which_are_told_at_once_and_a_day_before() {
    let (world, owner) = dormant(&[]).await;
    let asked = recover(&world).await;
    recover(&world).await.assert_problem(403, "recovery_pending");
    assert_eq!(told(&world).await, ["recovery_requested"], "a repeated request tells nobody");
    let shown = world.me(&owner).await["recovery"].clone();
    assert_eq!(
        (shown["opens_at"].as_u64(), shown["closes_at"].as_u64()),
        (Some(asked.number("opens_at")), Some(asked.number("closes_at")))
    );
    world.advance(6 * DAY);
    for _ in 0..2 {
        world.system.invoke("DueFunction", json!({})).await.unwrap();
    }
    assert_eq!(told(&world).await, ["recovery_requested", "recovery_due"]);
}

#[tokio::test]
async fn a_repeated_request_neither_moves_the_opening_nor_is_needed() {
    let (world, _) = dormant(&[]).await;
    let asked = recover(&world).await;
    world.advance(DAY);
    assert_eq!(recover(&world).await.number("opens_at"), asked.number("opens_at"));
    world.advance(6 * DAY);
    recover(&world).await.ok();
}

#[tokio::test]
async fn a_device_refuses_and_nobody_can_ask_again_for_30_days() {
    let (world, owner) = dormant(&[]).await;
    recover(&world).await;
    let cancel = || world.call("POST", CANCEL).as_person(&owner);
    assert_eq!(cancel().send().await.status, 204);
    cancel().send().await.assert_problem(404, "nothing_pending");
    assert_eq!(world.me(&owner).await["recovery"], Value::Null);
    world.advance(8 * DAY);
    let refused = recover(&world).await;
    refused.assert_problem(403, "recovery_refused");
    world.advance(refused.number("possible_at") - world.now() as u64);
    recover(&world).await.assert_problem(403, "recovery_pending");
}

#[tokio::test]
async fn an_account_whose_device_is_used_meanwhile_does_not_open() {
    let (world, owner) = dormant(&[]).await;
    recover(&world).await;
    world.advance(DAY);
    world.refresh(&owner.refresh).await.ok();
    recover(&world).await.assert_problem(403, "second_signal_required");
    world.advance(7 * DAY);
    recover(&world).await.assert_problem(403, "second_signal_required");
    world.advance(7 * DAY);
    recover(&world).await.assert_problem(403, "recovery_pending");
}

#[tokio::test]
async fn a_recovery_that_nobody_used_for_seven_days_has_to_be_asked_for_anew() {
    let (world, _) = dormant(&[]).await;
    recover(&world).await;
    world.advance(14 * DAY);
    let again = recover(&world).await;
    again.assert_problem(403, "recovery_pending");
    assert_eq!(again.number("opens_at"), world.now() as u64 + 7 * DAY);
}

#[tokio::test]
async fn without_recover_the_right_code_opens_nothing_after_the_wait_either() {
    let (world, _) = dormant(&[]).await;
    recover(&world).await;
    world.advance(7 * DAY);
    submit(&world, json!({})).await.assert_problem(403, "second_signal_required");
}

#[tokio::test]
async fn a_wrong_code_neither_asks_for_an_account_nor_opens_one() {
    let (world, owner) = dormant(&[]).await;
    let guess = async || {
        world.advance(600);
        let sent = world.send_code(&phone(1)).await;
        let wrong = tests::wrong(&sent.code);
        let body = json!({"phone_number": phone(1), "otp": wrong, "challenge_id": sent.challenge_id, "recover": true});
        world.post("/v1/otp/submit", body).send().await
    };
    guess().await.assert_problem(400, "incorrect_otp");
    assert_eq!(world.me(&owner).await["recovery"], Value::Null);
    recover(&world).await;
    world.advance(7 * DAY);
    guess().await.assert_problem(400, "incorrect_otp");
    recover(&world).await.ok();
}

#[tokio::test]
async fn a_known_device_needs_no_recovery_and_ends_it() {
    let world = World::new().await;
    let device = Device::new();
    let code = world.send_code(&phone(1)).await.code;
    let owner = person(&phone(1), &world.submit(&phone(1), &code).proven_by(&device).send().await);
    world.advance(DORMANT_SECONDS);
    recover(&world).await.assert_problem(403, "recovery_pending");
    world.advance(600);
    let code = world.send_code(&phone(1)).await.code;
    let back = person(&phone(1), &world.submit(&phone(1), &code).proven_by(&device).send().await);
    assert_eq!(back.user_id, owner.user_id);
    assert_eq!(world.me(&back).await["recovery"], Value::Null);
}

#[tokio::test]
async fn where_no_second_signal_is_needed_recover_changes_nothing() {
    let world = World::new().await;
    let owner = world.sign_in(&phone(1)).await;
    assert_eq!(recover(&world).await.ok()["user"]["user_id"], json!(owner.user_id));
    let new = world.send_code(&phone(2)).await;
    let body = json!({"phone_number": phone(2), "otp": new.code, "recover": true});
    assert_eq!(world.post("/v1/otp/submit", body).send().await.ok()["is_new_user"], json!(true));
}

#[tokio::test]
async fn at_most_one_of_recover_restore_and_fresh_account_is_accepted() {
    let world = World::new().await;
    for others in [json!({"restore": true}), json!({"fresh_account": true})] {
        let body = with(&json!({"phone_number": phone(1), "otp": "123456", "recover": true}), others);
        world.post("/v1/otp/submit", body).send().await.assert_problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn whoever_waits_for_an_account_can_have_a_new_one_instead() {
    let (world, owner) = dormant(&[]).await;
    recover(&world).await;
    let fresh = submit(&world, json!({"fresh_account": true})).await.ok();
    assert_ne!(fresh["user"]["user_id"], json!(owner.user_id));
    assert_eq!(world.me(&owner).await["phone_number"], Value::Null);
    world.advance(8 * DAY);
    assert_eq!(recover(&world).await.ok()["user"]["user_id"], fresh["user"]["user_id"], "the number is the new one's");
}

#[tokio::test]
async fn a_test_numbers_fixed_code_recovers_nothing() {
    let (world, _) = dormant(&[]).await;
    world.create_test_number("default", &phone(1), "135790", "2199-01-01").await;
    world.advance(600);
    world.post("/v1/otp/send", json!({"phone_number": phone(1)})).send().await.ok();
    let body = json!({"phone_number": phone(1), "otp": "135790", "recover": true});
    world.post("/v1/otp/submit", body).send().await.assert_problem(403, "second_signal_required");
}

#[tokio::test]
async fn firebase_asks_for_an_account_and_opens_it_too() {
    let google = Google::serving("max-age=19204").await;
    let variables = google.variables();
    let (world, owner) = dormant(&variables).await;
    let submit = async || {
        let token = Key::of_google().sign(&header(), &claims(&world, &phone(1)));
        world.post("/v1/otp/submit", json!({"firebase_id_token": token, "recover": true})).send().await
    };
    submit().await.assert_problem(403, "recovery_pending");
    world.advance(7 * DAY);
    assert_eq!(submit().await.ok()["user"]["user_id"], json!(owner.user_id));
}

#[tokio::test]
async fn an_opening_and_a_refusal_at_the_same_time_are_one_of_the_two() {
    for _ in 0..4 {
        let (world, owner) = dormant(&[]).await;
        recover(&world).await;
        world.advance(7 * DAY);
        let sent = world.send_code(&phone(1)).await;
        let (world, owner) = (Arc::new(world), Arc::new(owner));
        let replies = at_once(&world, 2, |world, n| {
            let (owner, sent) = (Arc::clone(&owner), sent.clone());
            async move {
                if n == 0 {
                    return world.call("POST", CANCEL).as_person(&owner).send().await;
                }
                let body = json!({
                    "phone_number": phone(1), "otp": sent.code, "challenge_id": sent.challenge_id, "recover": true,
                });
                world.post("/v1/otp/submit", body).send().await
            }
        })
        .await;
        let outcome = (replies[0].status, replies[1].status);
        assert!([(204, 403), (404, 200)].contains(&outcome), "{replies:?}");
    }
}

#[tokio::test]
async fn two_requests_at_the_same_time_ask_once() {
    let (world, _) = dormant(&[]).await;
    let sent = world.send_code(&phone(1)).await;
    let world = Arc::new(world);
    let replies = at_once(&world, 2, |world, _| {
        let sent = sent.clone();
        async move {
            let body = json!({
                "phone_number": phone(1), "otp": sent.code, "challenge_id": sent.challenge_id, "recover": true,
            });
            world.post("/v1/otp/submit", body).send().await
        }
    })
    .await;
    for reply in &replies {
        reply.assert_problem(403, "recovery_pending");
    }
    assert_eq!(told(&world).await, ["recovery_requested"]);
}

#[tokio::test]
async fn a_late_refusal_closes_for_as_long_as_an_early_one() {
    let (world, owner) = dormant(&[]).await;
    recover(&world).await;
    world.advance(13 * DAY);
    assert_eq!(world.call("POST", CANCEL).as_person(&owner).send().await.status, 204);
    let until = world.now() as u64 + 30 * DAY;
    assert_eq!(recover(&world).await.number("possible_at"), until);
}

#[tokio::test]
async fn a_device_that_signed_out_meanwhile_was_in_use_too() {
    let (world, owner) = dormant(&[]).await;
    recover(&world).await;
    world.advance(DAY);
    world.call("DELETE", "/v1/session").as_person(&owner).send().await;
    world.advance(7 * DAY);
    recover(&world).await.assert_problem(403, "second_signal_required");
}
