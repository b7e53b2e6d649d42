//! Dormant numbers: after a long time without a sign-in, a number may belong to another person, and a code alone does not
//! open its account.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::google::{Google, Key, claims, header};
use tests::{Person, Sent, World, at_once, person, with, wrong};

use crate::setup::{DORMANT_SECONDS, phone, refresh_until_dormant};

const DAY_SECONDS: u64 = 86_400;

fn submit<'a>(world: &'a World, sent: &Sent, more: Value) -> tests::Call<'a> {
    let body = json!({"phone_number": phone(1), "otp": sent.code, "challenge_id": sent.challenge_id});
    world.post("/v1/otp/submit", with(&body, more))
}

/// The holder of a dormant number, on a device that is still in use.
async fn dormant_owner(world: &World) -> Person {
    let mut owner = [world.sign_in_as(&phone(1), "sita").await];
    refresh_until_dormant(world, &mut owner).await;
    let [owner] = owner;
    owner
}

/// A system, the holder of a dormant number, and a code that was sent to the number.
async fn dormant() -> (World, Person, Sent) {
    let world = World::new().await;
    let owner = dormant_owner(&world).await;
    let sent = world.send_code(&phone(1)).await;
    (world, owner, sent)
}

#[tokio::test]
async fn until_the_number_is_dormant_the_code_alone_signs_in() {
    let world = World::new().await;
    let owner = world.sign_in(&phone(1)).await;
    // The second time, the period starts at the sign-in before.
    for _ in 0..2 {
        world.advance(DORMANT_SECONDS - 60);
        let sent = world.send_code(&phone(1)).await;
        let again = submit(&world, &sent, json!({})).send().await.ok();
        assert_eq!(again["user"]["user_id"], json!(owner.user_id));
    }
}

#[tokio::test]
async fn a_dormant_number_requires_a_second_signal_and_the_code_stays_valid_for_it() {
    let (world, owner, sent) = dormant().await;
    submit(&world, &sent, json!({})).send().await.assert_problem(403, "second_signal_required");
    let signed_in = submit(&world, &sent, json!({"refresh_token": owner.refresh})).send().await.ok();
    assert_eq!((&signed_in["is_new_user"], &signed_in["user"]["username"]), (&json!(false), &json!("sita")));
    // The token is not used up.
    world.refresh(&owner.refresh).await.ok();
}

#[tokio::test]
async fn a_second_signal_without_the_right_code_signs_nobody_in() {
    let (world, owner, sent) = dormant().await;
    let wrong = Sent { code: wrong(&sent.code), ..sent };
    for more in [json!({"refresh_token": owner.refresh}), json!({"fresh_account": true}), json!({})] {
        submit(&world, &wrong, more).send().await.assert_problem(400, "incorrect_otp");
    }
}

#[tokio::test]
async fn only_a_refresh_token_of_a_live_session_of_the_holder_is_a_second_signal() {
    let world = World::new().await;
    let older = world.sign_in(&phone(1)).await;
    world.advance(60);
    let owner = dormant_owner(&world).await;
    let stranger = world.sign_in(&phone(2)).await;
    let ended = world.sign_in(&phone(3)).await;
    world.call("DELETE", "/v1/session").as_person(&ended).send().await;
    let sent = world.send_code(&phone(1)).await;
    for token in [&stranger.refresh, &older.refresh, &ended.refresh, &owner.access, &"rubbish".to_owned()] {
        let reply = submit(&world, &sent, json!({"refresh_token": token})).send().await;
        reply.assert_problem(403, "second_signal_required");
    }
}

#[tokio::test]
async fn a_fresh_account_takes_the_number_and_the_old_account_is_kept_and_reported() {
    let (world, owner, sent) = dormant().await;
    let fresh = submit(&world, &sent, json!({"fresh_account": true, "name": "Hari"})).send().await;
    let fresh_person = person(&phone(1), &fresh);
    assert_ne!(fresh_person.user_id, owner.user_id);
    let user = &fresh.body["user"];
    assert_eq!(
        (&fresh.body["is_new_user"], &user["name"], &user["username"]),
        (&json!(true), &json!("Hari"), &Value::Null)
    );
    // The old account is unchanged but for the number, and its device stays signed in.
    let me = world.me(&owner).await;
    assert_eq!((&me["username"], &me["phone_verified"]), (&json!("sita"), &json!(false)));
    let report = format!(r#""former":"{}","new":"{}""#, owner.user_id, fresh_person.user_id);
    assert!(world.log().contains(&report));
    // From now on a code alone signs in to the fresh account.
    world.advance(60);
    let again = world.sign_in(&phone(1)).await;
    assert_eq!(again.user_id, fresh_person.user_id);
    // The former holder can verify another number.
    let body = json!({"phone_number": phone(4)});
    world.post("/v1/phone/otp/send", body).as_person(&owner).send().await.ok();
    let code = world.code(&phone(4)).await;
    let body = json!({"phone": phone(4), "otp": code, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(&owner).send().await.ok();
}

#[tokio::test]
async fn a_fresh_account_is_not_created_while_the_number_is_in_use() {
    let world = World::new().await;
    let owner = world.sign_in(&phone(1)).await;
    world.advance(60);
    let sent = world.send_code(&phone(1)).await;
    let again = submit(&world, &sent, json!({"fresh_account": true})).send().await.ok();
    assert_eq!((&again["is_new_user"], &again["user"]["user_id"]), (&json!(false), &json!(owner.user_id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_requests_for_a_fresh_account_one_succeeds() {
    let world = Arc::new(World::new().await);
    world.sign_in(&phone(1)).await;
    world.advance(DORMANT_SECONDS + 30 * DAY_SECONDS);
    let sent = world.send_code(&phone(1)).await;
    let statuses = at_once(&world, 5, |world, _| {
        let sent = sent.clone();
        async move { submit(&world, &sent, json!({"fresh_account": true})).send().await.status }
    })
    .await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    let items = world.items("UsersTable").await;
    assert_eq!(items.len(), 3, "two users and one lock: {items:?}");
}

#[tokio::test]
async fn a_firebase_token_alone_does_not_open_a_dormant_account() {
    let google = Google::serving("max-age=19204").await;
    let world = google.world().await;
    let owner = world.sign_in(&phone(1)).await;
    world.advance(DORMANT_SECONDS);
    let token = Key::of_google().sign(&header(), &claims(&world, &phone(1)));
    let submit = |more| world.post("/v1/otp/submit", with(&json!({"firebase_id_token": token}), more)).send();
    submit(json!({})).await.assert_problem(403, "second_signal_required");
    let fresh = submit(json!({"fresh_account": true})).await.ok();
    assert_ne!(fresh["user"]["user_id"], json!(owner.user_id));
}

#[tokio::test]
async fn a_dormant_number_moves_to_the_user_who_verifies_it() {
    let world = World::new().await;
    let owner = dormant_owner(&world).await;
    let hari = world.sign_in_as(&phone(2), "hari").await;
    let body = json!({"phone_number": phone(1), "change": true});
    world.post("/v1/phone/otp/send", body).as_person(&hari).send().await.ok();
    let code = world.code(&phone(1)).await;
    let validate = |code: &str| {
        let body = json!({"phone": phone(1), "otp": code, "username": "hari"});
        world.post("/v1/phone/otp/validate", body).as_person(&hari).send()
    };
    validate(&wrong(&code)).await.assert_problem(400, "incorrect_otp");
    validate(&code).await.ok();
    let me = world.me(&hari).await;
    assert_eq!(me["phone_number"], json!(phone(1)));
    let me = world.me(&owner).await;
    assert_eq!((&me["username"], &me["phone_number"]), (&json!("sita"), &Value::Null));
}

#[tokio::test]
async fn the_dormant_period_is_configurable() {
    let world = World::with(&[("PHONE_DORMANT_DAYS", "1")]).await;
    world.sign_in(&phone(1)).await;
    world.advance(DAY_SECONDS);
    let sent = world.send_code(&phone(1)).await;
    submit(&world, &sent, json!({})).send().await.assert_problem(403, "second_signal_required");
}
