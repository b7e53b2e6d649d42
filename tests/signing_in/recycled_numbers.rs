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

/// Guesses ten times under ids of a stranger, which closes the number.
async fn close(world: &World) {
    for wait in [30, 60] {
        world.advance(wait);
        let strangers = world.send_code(&phone(1)).await;
        for _ in 0..5 {
            let guess = Sent { code: wrong(&strangers.code), ..strangers.clone() };
            submit(world, &guess, json!({})).send().await.assert_problem(400, "incorrect_otp");
        }
    }
}

#[tokio::test]
async fn in_a_closure_too_the_right_code_stays_valid_for_a_second_signal() {
    let (world, owner, owners) = dormant().await;
    close(&world).await;
    for _ in 0..2 {
        submit(&world, &owners, json!({})).send().await.assert_problem(403, "second_signal_required");
    }
    let signed_in = submit(&world, &owners, json!({"refresh_token": owner.refresh})).send().await.ok();
    assert_eq!(signed_in["user"]["user_id"], json!(owner.user_id));
}

#[tokio::test]
async fn in_a_closure_a_wrong_code_with_a_second_signal_uses_up_the_ids_comparison() {
    let (world, owner, owners) = dormant().await;
    close(&world).await;
    let mistyped = Sent { code: wrong(&owners.code), ..owners.clone() };
    let signal = json!({"refresh_token": owner.refresh});
    submit(&world, &mistyped, signal.clone()).send().await.assert_problem(400, "incorrect_otp");
    submit(&world, &owners, signal).send().await.assert_problem(429, "too_many_requests");
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
async fn only_a_refresh_token_of_a_session_of_the_holder_is_a_second_signal() {
    let (world, owner, _) = dormant().await;
    let stranger = world.sign_in(&phone(2)).await;
    world.advance(60);
    let sent = world.send_code(&phone(1)).await;
    for token in [&stranger.refresh, &owner.access, &"rubbish".to_owned()] {
        assert_no_signal(&world, &sent, token).await;
    }
}

// Sessions that ended by age.

/// The refresh tokens of one device that is used every 26 days, oldest first, `refreshes` times.
async fn tokens_of_a_loyal_user(world: &World, refreshes: usize) -> (Person, Vec<String>) {
    let mut owner = world.sign_in_as(&phone(1), "sita").await;
    let mut tokens = vec![owner.refresh.clone()];
    for _ in 0..refreshes {
        world.advance(26 * DAY_SECONDS);
        owner = world.refreshed(&owner).await;
        tokens.push(owner.refresh.clone());
    }
    (owner, tokens)
}

async fn assert_no_signal(world: &World, sent: &Sent, token: &str) {
    let reply = submit(world, sent, json!({"refresh_token": token})).send().await;
    reply.assert_problem(403, "second_signal_required");
}

#[tokio::test]
async fn the_last_refresh_token_of_a_session_that_ended_by_age_is_a_second_signal() {
    // A session ends after 365 days, however often the app was used, and after 30 days without the app.
    for (refreshes, pause_days) in [(14, 1), (6, 31)] {
        let world = World::new().await;
        let (owner, tokens) = tokens_of_a_loyal_user(&world, refreshes).await;
        world.advance(pause_days * DAY_SECONDS);
        world.refresh(&owner.refresh).await.assert_problem(401, "token_expired");
        let sent = world.send_code(&phone(1)).await;
        submit(&world, &sent, json!({})).send().await.assert_problem(403, "second_signal_required");
        let mistyped = Sent { code: wrong(&sent.code), ..sent.clone() };
        let last = json!({"refresh_token": owner.refresh});
        submit(&world, &mistyped, last.clone()).send().await.assert_problem(400, "incorrect_otp");
        assert_no_signal(&world, &sent, &tokens[refreshes - 1]).await;
        let signed_in = submit(&world, &sent, last).send().await.ok();
        assert_eq!((&signed_in["is_new_user"], &signed_in["user"]["username"]), (&json!(false), &json!("sita")));
        // The token revives nothing, and the number is proven.
        world.refresh(&owner.refresh).await.assert_problem(401, "token_expired");
        world.advance(60);
        assert_eq!(world.sign_in(&phone(1)).await.user_id, owner.user_id);
    }
}

#[tokio::test]
async fn a_session_that_was_revoked_is_no_second_signal_however_it_was_revoked() {
    let world = World::new().await;
    let mut devices = Vec::new();
    for _ in 0..5 {
        devices.push(world.sign_in(&phone(1)).await);
        world.advance(3_600);
    }
    let end = async |path: &str, by: &Person| {
        assert_eq!(world.call("DELETE", path).as_person(by).send().await.status, 204, "{path}");
    };
    let sid = |person: &Person| tests::token::claims(&person.access)["sid"].as_str().unwrap().to_owned();
    let [own, by_id, reused, aged, everywhere]: [Person; 5] = devices.try_into().unwrap();
    let own = world.refreshed(&own).await;
    end("/v1/session", &own).await;
    let reused = world.refreshed(&reused).await;
    let newest = world.refreshed(&reused).await;
    world.advance(60);
    world.refresh(&reused.refresh).await.assert_problem(401, "refresh_reused");
    let current = world.refreshed(&everywhere).await;
    end(&format!("/v1/sessions/{}", sid(&by_id)), &current).await;
    world.advance(31 * DAY_SECONDS);
    // A session that ended by age is signed out like any other.
    let later = world.sign_in(&phone(1)).await;
    end(&format!("/v1/sessions/{}", sid(&aged)), &later).await;
    world.advance(DORMANT_SECONDS);
    let sent = world.send_code(&phone(1)).await;
    for token in [&own.refresh, &by_id.refresh, &newest.refresh, &aged.refresh] {
        assert_no_signal(&world, &sent, token).await;
    }
    submit(&world, &sent, json!({"refresh_token": current.refresh})).send().await.ok();
}

#[tokio::test]
async fn signing_out_everywhere_ends_the_second_signals_of_sessions_that_ended_by_age() {
    let world = World::new().await;
    let aged = world.sign_in(&phone(1)).await;
    world.advance(31 * DAY_SECONDS);
    let later = world.sign_in(&phone(1)).await;
    assert_eq!(world.call("DELETE", "/v1/sessions").as_person(&later).send().await.status, 204);
    world.advance(DORMANT_SECONDS);
    let sent = world.send_code(&phone(1)).await;
    for token in [&aged.refresh, &later.refresh] {
        assert_no_signal(&world, &sent, token).await;
    }
}

#[tokio::test]
async fn a_session_that_ended_by_age_is_a_second_signal_for_two_years_whatever_keys_were_rotated() {
    for (days, is_signal) in [(30 + 729, true), (30 + 730, false)] {
        let world = World::new().await;
        let owner = world.sign_in(&phone(1)).await;
        for day in 0..days {
            if day % 90 == 45 {
                world.secrets_manager("RotateSecret", json!({"SecretId": "SigningKeySecret"})).await;
            }
            world.advance(DAY_SECONDS);
        }
        let sent = world.send_code(&phone(1)).await;
        if is_signal {
            let signed_in = submit(&world, &sent, json!({"refresh_token": owner.refresh})).send().await.ok();
            assert_eq!(signed_in["user"]["user_id"], json!(owner.user_id));
        } else {
            assert_no_signal(&world, &sent, &owner.refresh).await;
        }
    }
}

#[tokio::test]
async fn the_record_of_a_session_is_not_removed_before_two_years_after_its_end_by_age() {
    let world = World::new().await;
    let (_, tokens) = tokens_of_a_loyal_user(&world, 1).await;
    let session = world.items("SessionsTable").await.remove(0);
    let removable_at: i64 = session["expires_at"]["N"].as_str().unwrap().parse().unwrap();
    let ends_at = tests::token::claims(tokens.last().unwrap())["exp"].as_i64().unwrap();
    assert!(removable_at >= ends_at + 730 * i64::try_from(DAY_SECONDS).unwrap(), "{session}");
}

// Numbers without a recorded proof.

#[tokio::test]
async fn a_number_without_a_recorded_proof_counts_from_the_creation_of_its_user() {
    let world = World::new().await;
    let owner = world.sign_in(&phone(1)).await;
    world.update_user(&format!("phone#{}", phone(1)), json!({"UpdateExpression": "REMOVE proven_at"})).await;
    let forget = json!({"UpdateExpression": "REMOVE phone_proven_at"});
    world.update_user(&format!("user#{}", owner.user_id), forget.clone()).await;
    world.advance(DORMANT_SECONDS - 60);
    let sent = world.send_code(&phone(1)).await;
    let again = submit(&world, &sent, json!({})).send().await.ok();
    assert_eq!(again["user"]["user_id"], json!(owner.user_id));

    world.update_user(&format!("phone#{}", phone(1)), json!({"UpdateExpression": "REMOVE proven_at"})).await;
    world.update_user(&format!("user#{}", owner.user_id), forget).await;
    world.advance(60);
    let sent = world.send_code(&phone(1)).await;
    submit(&world, &sent, json!({})).send().await.assert_problem(403, "second_signal_required");
    submit(&world, &sent, json!({"refresh_token": again["refresh_token"]})).send().await.ok();
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
}

/// A user who lost their number to another person a moment ago, on a device that has just signed in.
async fn set_aside(world: &World) -> Person {
    let owner = world.sign_in_as(&phone(1), "sita").await;
    let long_ago = json!({
        "UpdateExpression": "SET proven_at = :then",
        "ExpressionAttributeValues": {":then": {"N": (world.now() - 200 * 86_400).to_string()}},
    });
    world.update_user(&format!("phone#{}", phone(1)), long_ago).await;
    world.advance(60);
    let sent = world.send_code(&phone(1)).await;
    submit(world, &sent, json!({"fresh_account": true})).send().await.ok();
    assert_eq!(world.me(&owner).await["phone_number"], Value::Null);
    owner
}

#[tokio::test]
async fn who_lost_their_number_is_sent_a_code_for_another_one_with_a_fresh_token_only() {
    let world = World::new().await;
    let owner = set_aside(&world).await;
    let stale = world.refreshed(&owner).await;
    for body in [json!({"phone_number": phone(4)}), json!({"phone_number": phone(4), "change": true})] {
        let refused = world.post("/v1/phone/otp/send", body).as_person(&stale).send().await;
        refused.assert_problem(401, "fresh_token_required");
        assert!(refused.headers["www-authenticate"].contains("insufficient_user_authentication"), "{refused:?}");
    }
    assert!(world.inbox(&phone(4)).await.is_empty());
    world.post("/v1/phone/otp/send", json!({"phone_number": phone(4)})).as_person(&owner).send().await.ok();
    let code = world.code(&phone(4)).await;
    let validate = |code: &str| {
        let body = json!({"phone": phone(4), "otp": code, "username": "sita"});
        world.post("/v1/phone/otp/validate", body).as_person(&stale).send()
    };
    // The same session's token may have been refreshed since the send.
    validate(&wrong(&code)).await.assert_problem(400, "incorrect_otp");
    validate(&code).await.ok();
    assert_eq!(world.me(&owner).await["phone_number"], json!(phone(4)));
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

// Proving a number anew.

/// Sends a code to the caller's own number, without a change of number, and validates it.
async fn prove_anew(world: &World, owner: &Person) {
    world.post("/v1/phone/otp/send", json!({"phone_number": phone(1)})).as_person(owner).send().await.ok();
    let code = world.code(&phone(1)).await;
    let body = json!({"phone_number": phone(1), "otp": code, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(owner).send().await.ok();
}

#[tokio::test]
async fn a_number_that_its_holder_proves_anew_in_time_does_not_become_dormant() {
    let world = World::new().await;
    let (owner, _) = tokens_of_a_loyal_user(&world, 6).await;
    prove_anew(&world, &owner).await;
    world.advance(DORMANT_SECONDS - 60);
    assert_eq!(world.sign_in(&phone(1)).await.user_id, owner.user_id);
}

#[tokio::test]
async fn the_holder_of_a_dormant_number_proves_it_anew_on_a_device_that_is_signed_in() {
    let world = World::new().await;
    let owner = dormant_owner(&world).await;
    prove_anew(&world, &owner).await;
    world.advance(60);
    assert_eq!(world.sign_in(&phone(1)).await.user_id, owner.user_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dormant_number_proven_by_its_holder_and_by_a_new_person_at_once_has_one_holder() {
    let (world, owner, new_person) = dormant().await;
    world.advance(60);
    world.post("/v1/phone/otp/send", json!({"phone_number": phone(1)})).as_person(&owner).send().await.ok();
    let code = world.code(&phone(1)).await;
    let world = Arc::new(world);
    let replies = at_once(&world, 2, |world, n| {
        let (owner, code, sent) = (owner.clone(), code.clone(), new_person.clone());
        async move {
            let proof = json!({"phone_number": phone(1), "otp": code, "username": "sita"});
            match n {
                0 => world.post("/v1/phone/otp/validate", proof).as_person(&owner).send().await,
                _ => submit(&world, &sent, json!({"fresh_account": true})).send().await,
            }
        }
    })
    .await;
    let [renewed, signed_in] = &replies[..] else { panic!("{replies:?}") };
    let holder = world.me(&owner).await["phone_number"].clone();
    match renewed.status {
        200 => {
            assert_eq!(holder, json!(phone(1)));
            assert_eq!(signed_in.clone().ok()["user"]["user_id"], json!(owner.user_id), "the number is in use again");
        }
        _ => {
            renewed.assert_problem(403, "already_verified");
            assert_eq!((holder, signed_in.clone().ok()["is_new_user"].clone()), (Value::Null, json!(true)));
        }
    }
}

#[tokio::test]
async fn from_thirty_days_ahead_a_user_is_told_when_their_number_needs_a_proof() {
    let world = World::new().await;
    let signed_in_at = world.now();
    let (mut owner, _) = tokens_of_a_loyal_user(&world, 5).await;
    world.advance(20 * DAY_SECONDS - 60);
    owner = world.refreshed(&owner).await;
    assert_eq!(world.me(&owner).await.get("phone_proof_due_at"), None, "not told earlier");
    world.advance(60);
    let due_at = world.me(&owner).await["phone_proof_due_at"].as_i64().unwrap();
    let days = |days: i64| days * 86_400;
    assert_eq!(due_at, signed_in_at + days(180));
    world.advance(29 * DAY_SECONDS);
    owner = world.refreshed(&owner).await;
    world.advance(29 * DAY_SECONDS);
    owner = world.refreshed(&owner).await;
    assert_eq!(world.me(&owner).await["phone_proof_due_at"], json!(due_at), "told after it was due, too");
    prove_anew(&world, &owner).await;
    assert_eq!(world.me(&owner).await.get("phone_proof_due_at"), None);
}

#[tokio::test]
async fn users_who_were_written_before_their_own_record_of_the_proof_are_told_too() {
    let world = World::new().await;
    let owner = world.sign_in_as(&phone(1), "sita").await;
    let forget = json!({"UpdateExpression": "REMOVE phone_proven_at"});
    world.update_user(&format!("user#{}", owner.user_id), forget).await;
    assert_eq!(world.me(&owner).await.get("phone_proof_due_at"), None);
    let proven_at = world.now() - 170 * 86_400;
    let long_ago = json!({
        "UpdateExpression": "SET proven_at = :then",
        "ExpressionAttributeValues": {":then": {"N": proven_at.to_string()}},
    });
    world.update_user(&format!("phone#{}", phone(1)), long_ago).await;
    assert_eq!(world.me(&owner).await["phone_proof_due_at"], json!(proven_at + 180 * 86_400));
    // Without any recorded proof, the creation of the user counts.
    world.update_user(&format!("phone#{}", phone(1)), json!({"UpdateExpression": "REMOVE proven_at"})).await;
    assert_eq!(world.me(&owner).await.get("phone_proof_due_at"), None);
}

#[tokio::test]
async fn a_user_without_a_number_has_no_proof_to_give() {
    let world = World::with(&[("PHONE_DORMANT_DAYS", "1")]).await;
    let owner = world.sign_in(&phone(1)).await;
    assert!(world.me(&owner).await.get("phone_proof_due_at").is_some(), "a day is within thirty");
    world.remove_phone(&owner).await;
    assert_eq!(world.me(&owner).await.get("phone_proof_due_at"), None);
}
