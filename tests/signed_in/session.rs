//! `POST /v1/session/refresh`, `/v1/sessions` and `/v1/session`: how a session continues and how it ends.

use std::sync::Arc;

use local::{Aim, Mode, Outgoing, Target};
use serde_json::{Value, json};
use tests::google::{self, Google};
use tests::{Person, Reply, World, at_once, with};

use crate::authorizer::forgeries;
use crate::tokens::{claims, header, own_key, session_id, signed};
use crate::{OTHER, PHONE, assert_empty, count, delete, delete_user_item, sign_in_on, signed_in};

const DAY: u64 = 24 * 60 * 60;

async fn get_me(world: &World, access: &str) -> Reply {
    world.call("GET", "/v1/me").bearer(access).send().await
}

async fn sessions(world: &World, person: &Person) -> Value {
    world.call("GET", "/v1/sessions").as_person(person).send().await.ok()
}

/// Panics unless both tokens of a device are valid. Uses the refresh token.
async fn assert_signed_in(world: &World, person: &Person) {
    get_me(world, &person.access).await.ok();
    world.refresh(&person.refresh).await.ok();
}

/// Panics unless both tokens of a device are revoked.
async fn assert_revoked(world: &World, person: &Person) {
    get_me(world, &person.access).await.assert_problem(401, "session_revoked");
    world.refresh(&person.refresh).await.assert_problem(401, "session_revoked");
}

fn seconds_left(world: &World, token: &str) -> u64 {
    (claims(token)["exp"].as_i64().unwrap() - world.now()).try_into().unwrap()
}

// Refreshing.

#[tokio::test]
async fn a_refresh_gives_new_tokens_for_the_same_session_and_the_access_token_is_not_fresh() {
    let (world, person) = signed_in().await;
    world.advance(60);
    let reply = world.refresh(&person.refresh).await;
    let (access, next) = (reply.text("access_token"), reply.text("refresh_token"));
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(
        reply.ok(),
        json!({"token_type": "Bearer", "access_token": access, "expires_in": 900, "refresh_token": next,
            "refresh_expires_in": 30 * DAY})
    );
    let (before, after) = (claims(&person.access), claims(&access));
    let issued = after["iat"].as_i64().unwrap();
    assert!(issued >= before["iat"].as_i64().unwrap() + 60);
    assert_ne!(after["jti"], before["jti"]);
    let changed = json!({"iat": issued, "nbf": issued, "exp": issued + 900, "jti": after["jti"], "fresh": false});
    assert_eq!(after, with(&before, changed));
    get_me(&world, &access).await.ok();
}

#[tokio::test]
async fn each_new_refresh_token_can_be_refreshed() {
    let world = World::new().await;
    let mut token = world.sign_in(PHONE).await.refresh;
    for _ in 0..5 {
        token = world.refresh(&token).await.text("refresh_token");
    }
}

#[tokio::test]
async fn the_previous_refresh_token_gets_the_current_one_within_the_grace_period() {
    let (world, person) = signed_in().await;
    let lost = world.refresh(&person.refresh).await.text("refresh_token");
    world.advance(15);
    let again = world.refresh(&person.refresh).await.text("refresh_token");
    let session_and_counter = |token: &str| (claims(token)["sid"].clone(), claims(token)["counter"].clone());
    assert_eq!(session_and_counter(&again), session_and_counter(&lost));
    let next = world.refresh(&again).await.text("refresh_token");
    // The lost token is now the previous one.
    let repeated = world.refresh(&lost).await.text("refresh_token");
    assert_eq!(session_and_counter(&repeated), session_and_counter(&next));
}

#[tokio::test]
async fn a_refresh_token_older_than_the_previous_one_ends_the_session() {
    let (world, first) = signed_in().await;
    let second = world.refreshed(&first).await;
    let third = world.refreshed(&second).await;
    world.refresh(&first.refresh).await.assert_problem(401, "refresh_reused");
    assert_revoked(&world, &third).await;
    world.refresh(&first.refresh).await.assert_problem(401, "session_revoked");
    assert_empty(&world, &["SessionsTable"]).await;
}

#[tokio::test]
async fn the_previous_refresh_token_ends_only_its_own_session_after_the_grace_period() {
    let (world, stolen) = signed_in().await;
    let other_device = sign_in_on(&world, PHONE, "tablet").await;
    let next = world.refreshed(&stolen).await;
    world.advance(30);
    world.refresh(&stolen.refresh).await.assert_problem(401, "refresh_reused");
    assert_revoked(&world, &next).await;
    assert_signed_in(&world, &other_device).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_concurrent_refreshes_sign_nobody_out() {
    let world = Arc::new(World::new().await);
    let person = world.sign_in(PHONE).await;
    let replies = at_once(&world, 64, |world, _| {
        let token = person.refresh.clone();
        async move { world.refresh(&token).await }
    })
    .await;
    assert_eq!(count(&replies, 200), 64, "{replies:?}");
    for reply in &replies {
        assert_eq!(claims(&reply.text("refresh_token"))["counter"], 2);
        get_me(&world, &reply.text("access_token")).await.ok();
    }
    let one = Person { refresh: replies[63].text("refresh_token"), ..person };
    assert_signed_in(&world, &world.refreshed(&one).await).await;
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_for_30_days_is_over() {
    let (world, person) = signed_in().await;
    world.advance(30 * DAY - 60);
    let next = world.refresh(&person.refresh).await.text("refresh_token");
    world.advance(seconds_left(&world, &next));
    world.refresh(&next).await.assert_problem(401, "token_expired");
}

#[tokio::test]
async fn a_session_is_over_after_365_days_however_often_it_was_refreshed() {
    let (world, person) = signed_in().await;
    let ends_at = claims(&person.access)["iat"].as_i64().unwrap() + 365 * i64::try_from(DAY).unwrap();
    let mut token = person.refresh;
    for _ in 0..12 {
        world.advance(29 * DAY);
        token = world.refresh(&token).await.text("refresh_token");
    }
    assert_eq!(claims(&token)["exp"], ends_at);
    world.advance(seconds_left(&world, &token) - 60);
    let last = world.refresh(&token).await;
    let (access, token) = (last.text("access_token"), last.text("refresh_token"));
    assert!(last.number("expires_in") <= 60 && last.number("refresh_expires_in") <= 60, "{last:?}");
    assert_eq!((&claims(&access)["exp"], &claims(&token)["exp"]), (&json!(ends_at), &json!(ends_at)));
    world.advance(seconds_left(&world, &token));
    world.refresh(&token).await.assert_problem(401, "token_expired");
    get_me(&world, &access).await.assert_problem(401, "token_expired");
}

#[tokio::test]
async fn an_access_token_expires_after_15_minutes_and_the_refresh_token_outlives_it() {
    let (world, person) = signed_in().await;
    world.advance(900 - 60);
    get_me(&world, &person.access).await.ok();
    world.advance(seconds_left(&world, &person.access));
    get_me(&world, &person.access).await.assert_problem(401, "token_expired");
    world.refresh(&person.refresh).await.ok();
}

#[tokio::test]
async fn neither_token_passes_for_the_other() {
    let (world, person) = signed_in().await;
    get_me(&world, &person.refresh).await.assert_problem(401, "token_invalid");
    world.refresh(&person.access).await.assert_problem(401, "token_invalid");
    // Nor with the header of the other: the claims differ too.
    let key = own_key(&world).await;
    let mixed = |header_of: &str, claims_of: &str| signed(&header(header_of), &claims(claims_of), &key);
    get_me(&world, &mixed(&person.access, &person.refresh)).await.assert_problem(401, "token_invalid");
    world.refresh(&mixed(&person.refresh, &person.access)).await.assert_problem(401, "token_invalid");
}

#[tokio::test]
async fn a_forged_refresh_token_is_refused_without_reading_any_session() {
    let (world, person) = signed_in().await;
    world.system.reset_dynamodb_requests();
    for (what, token) in forgeries(&person.refresh, &own_key(&world).await) {
        let reply = world.refresh(&token).await;
        let too_long = token.len() > 4_096;
        let expected = if too_long { (400, "malformed_request") } else { (401, "token_invalid") };
        assert_eq!(reply.problem(), expected, "{what}");
    }
    assert_eq!(world.system.dynamodb_requests().len(), 0, "{:?}", world.system.dynamodb_requests());
    world.refresh(&person.refresh).await.ok();
}

#[tokio::test]
async fn a_forged_refresh_token_is_no_second_signal_although_an_expired_one_is() {
    let google = Google::serving("max-age=19204").await;
    let world = World::with(&[&google.variables()[..], &[("PHONE_DORMANT_DAYS", "1")]].concat()).await;
    let person = world.sign_in(PHONE).await;
    world.advance(31 * DAY);
    world.refresh(&person.refresh).await.assert_problem(401, "token_expired");
    // The proof is not used up by a refusal, so it serves for every forgery.
    let proof = google::Key::of_google().sign(&google::header(), &google::claims(&world, PHONE));
    let submit = |token: &str| {
        let body = json!({"firebase_id_token": proof, "refresh_token": token});
        world.post("/v1/otp/submit", body).send()
    };
    let own = own_key(&world).await;
    let mut forged = forgeries(&person.refresh, &own);
    forged.retain(|(what, _)| *what != "not yet valid");
    let variant = |changes: Value| signed(&header(&person.refresh), &with(&claims(&person.refresh), changes), &own);
    forged.push(("not yet valid by now", variant(json!({"nbf": world.now() + 3_600}))));
    forged.push(("a counter never issued", variant(json!({"counter": 2}))));
    forged.push(("an access token", person.access.clone()));
    for (what, token) in forged {
        assert_eq!(submit(&token).await.problem(), (403, "second_signal_required"), "{what}");
    }
    assert_eq!(submit(&person.refresh).await.ok()["user"]["user_id"], json!(person.user_id));
}

#[tokio::test]
async fn a_refresh_token_with_a_counter_never_issued_is_refused_and_ends_no_session() {
    let (world, person) = signed_in().await;
    let never_issued = with(&claims(&person.refresh), json!({"counter": 7}));
    let token = signed(&header(&person.refresh), &never_issued, &own_key(&world).await);
    world.refresh(&token).await.assert_problem(401, "session_revoked");
    world.refresh(&person.refresh).await.ok();
}

#[tokio::test]
async fn a_deleted_user_cannot_refresh() {
    let (world, person) = signed_in().await;
    delete_user_item(&world, &person).await;
    world.refresh(&person.refresh).await.assert_problem(403, "no_such_user");
    world.refresh(&person.refresh).await.assert_problem(403, "no_such_user");
    assert_empty(&world, &["SessionsTable"]).await;
}

// Devices.

#[tokio::test]
async fn the_list_names_every_device_and_marks_the_one_that_asks() {
    let world = World::new().await;
    let phone = sign_in_on(&world, PHONE, "Pixel 9").await;
    world.advance(60);
    let nameless = world.sign_in(PHONE).await;
    world.advance(60);
    sign_in_on(&world, OTHER, "a stranger's").await;
    let device = |person: &Person, name: Value, current: bool| {
        let opened = claims(&person.access)["iat"].as_i64().unwrap();
        json!({
            "session_id": session_id(&person.access), "device_name": name, "created_at": opened,
            "last_used_at": opened, "expires_at": claims(&person.refresh)["exp"], "fcm_token_at": null,
            "has_device_key": false, "current": current,
        })
    };
    let seen_from = |current: &Person| {
        json!({"sessions": [
            device(&nameless, Value::Null, nameless.access == current.access),
            device(&phone, json!("Pixel 9"), phone.access == current.access),
        ]})
    };
    assert_eq!(sessions(&world, &nameless).await, seen_from(&nameless));
    assert_eq!(sessions(&world, &phone).await, seen_from(&phone));
}

#[tokio::test]
async fn the_list_shows_when_a_device_was_last_used() {
    let (world, mut person) = signed_in().await;
    let opened = claims(&person.access)["iat"].clone();
    world.advance(120);
    person.access = world.refresh(&person.refresh).await.text("access_token");
    let used = claims(&person.access)["iat"].as_i64().unwrap();
    let list = sessions(&world, &person).await;
    let device = &list["sessions"][0];
    assert_eq!(
        (&device["created_at"], &device["last_used_at"], &device["expires_at"]),
        (&opened, &json!(used), &json!(used + 30 * i64::try_from(DAY).unwrap()))
    );
}

#[tokio::test]
async fn an_expired_session_is_not_listed_while_its_item_still_exists() {
    let world = World::new().await;
    world.sign_in(PHONE).await;
    world.advance(30 * DAY);
    let person = sign_in_on(&world, PHONE, "new").await;
    assert_eq!(world.items("SessionsTable").await.len(), 2);
    let list = sessions(&world, &person).await;
    let names: Vec<&Value> = list["sessions"].as_array().unwrap().iter().map(|it| &it["device_name"]).collect();
    assert_eq!(names, [&json!("new")]);
}

#[tokio::test]
async fn one_device_is_signed_out_and_the_others_are_not() {
    for signs_itself_out in [false, true] {
        let world = World::new().await;
        let (lost, kept) = (sign_in_on(&world, PHONE, "lost").await, sign_in_on(&world, PHONE, "kept").await);
        if signs_itself_out {
            delete(&world, &lost, "/v1/session").await;
        } else {
            delete(&world, &kept, &format!("/v1/sessions/{}", session_id(&lost.access))).await;
        }
        assert_revoked(&world, &lost).await;
        assert_eq!(sessions(&world, &kept).await["sessions"].as_array().unwrap().len(), 1);
        assert_signed_in(&world, &kept).await;
    }
}

#[tokio::test]
async fn every_device_is_signed_out_at_once_and_nobody_elses() {
    let world = World::new().await;
    let mut devices = Vec::new();
    for name in ["one", "two", "three"] {
        devices.push(sign_in_on(&world, PHONE, name).await);
    }
    let stranger = world.sign_in(OTHER).await;
    delete(&world, &devices[1], "/v1/sessions").await;
    for device in &devices {
        assert_revoked(&world, device).await;
    }
    assert_signed_in(&world, &stranger).await;
}

#[tokio::test]
async fn an_interrupted_sign_out_of_every_device_can_be_retried() {
    let world = World::new().await;
    let mut devices = vec![world.sign_in(PHONE).await];
    for name in ["two", "three"] {
        devices.push(sign_in_on(&world, PHONE, name).await);
    }
    // Sessions are read in the order of their ids: the caller's session is read first.
    devices.sort_by_key(|device| session_id(&device.access));
    let at = Outgoing { target: Target::Dynamodb, what: "DeleteItem SessionsTable".to_owned(), nth: 2 };
    world.system.aim(Some(Aim { at, mode: Mode::Error, code: None, lasts: true }));
    let everywhere = || world.call("DELETE", "/v1/sessions").as_person(&devices[0]).send();
    everywhere().await.assert_problem(503, "service_unavailable");
    world.system.aim(None);
    assert_eq!(everywhere().await.status, 204);
    for device in &devices {
        assert_revoked(&world, device).await;
    }
}

#[tokio::test]
async fn nobody_signs_out_someone_elses_device() {
    let world = World::new().await;
    let (person, stranger) = (world.sign_in(PHONE).await, world.sign_in(OTHER).await);
    // The answer does not reveal whether the session exists or whose it is.
    delete(&world, &stranger, &format!("/v1/sessions/{}", session_id(&person.access))).await;
    delete(&world, &stranger, "/v1/sessions").await;
    assert_signed_in(&world, &person).await;
}

#[tokio::test]
async fn signing_out_an_unknown_device_succeeds_and_a_malformed_id_is_refused() {
    let (world, person) = signed_in().await;
    delete(&world, &person, "/v1/sessions/ses_00000000000000000000000000").await;
    for id in ["1", "ses_", "usr_00000000000000000000000000", "ses_0000000000000000000000000U", "%00"] {
        let reply = world.call("DELETE", &format!("/v1/sessions/{id}")).as_person(&person).send().await;
        reply.assert_problem(400, "malformed_request");
    }
    assert_eq!(world.me(&person).await["user_id"], person.user_id);
}
