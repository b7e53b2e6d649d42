//! `POST /v1/session/refresh`, `/v1/sessions`, `/v1/session`: staying signed in, and not.

use std::sync::Arc;

use local::{Aim, Mode, Outgoing, Target};
use serde_json::{Value, json};
use tests::{Person, Reply, World};

use crate::authorizer::forgeries;
use crate::tokens::{claims, header, own_key, session_id, signed, with};
use crate::{at_once, count, lose_user, me, refresh, sign_in_on};

const PHONE: &str = "+9779841000001";
const OTHER: &str = "+9779841000002";
const DAY: u64 = 24 * 60 * 60;

async fn get_me(world: &World, access: &str) -> Reply {
    world.call("GET", "/v1/me").bearer(access).send().await
}

async fn sessions(world: &World, person: &Person) -> Value {
    world.call("GET", "/v1/sessions").as_person(person).send().await.ok()
}

/// Revokes a session that goes by that path.
async fn delete(world: &World, person: &Person, path: &str) {
    let reply = world.call("DELETE", path).as_person(person).send().await;
    assert_eq!((reply.status, &reply.body), (204, &Value::Null), "{reply:?}");
}

#[track_caller]
fn signed_in(access: &Reply) {
    assert_eq!(access.status, 200, "{access:?}");
}

/// Panics unless neither token of a device is good any more.
async fn assert_revoked(world: &World, person: &Person) {
    get_me(world, &person.access).await.assert_problem(401, "session_revoked");
    refresh(world, &person.refresh).await.assert_problem(401, "session_revoked");
}

/// Seconds until a token expires.
fn left(world: &World, token: &str) -> u64 {
    (claims(token)["exp"].as_i64().unwrap() - world.now()).try_into().unwrap()
}

// Refreshing.

#[tokio::test]
async fn a_refresh_gives_new_tokens_for_the_same_session_and_the_access_token_is_not_fresh() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    world.advance(60);
    let reply = refresh(&world, &person.refresh).await;
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
    signed_in(&get_me(&world, &access).await);
}

#[tokio::test]
async fn each_new_refresh_token_can_be_refreshed() {
    let world = World::new().await;
    let mut token = world.sign_in(PHONE).await.refresh;
    for _ in 0..5 {
        token = refresh(&world, &token).await.text("refresh_token");
    }
}

#[tokio::test]
async fn the_previous_refresh_token_gets_the_current_one_within_the_grace_period() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let lost = refresh(&world, &person.refresh).await.text("refresh_token");
    world.advance(15);
    let again = refresh(&world, &person.refresh).await.text("refresh_token");
    let which = |token: &str| (claims(token)["sid"].clone(), claims(token)["counter"].clone());
    assert_eq!(which(&again), which(&lost));
    let next = refresh(&world, &again).await.text("refresh_token");
    // The one that was lost and then found is by now the one before the current one.
    assert_eq!(which(&refresh(&world, &lost).await.text("refresh_token")), which(&next));
}

#[tokio::test]
async fn a_refresh_token_older_than_the_previous_one_ends_the_session() {
    let world = World::new().await;
    let mut person = world.sign_in(PHONE).await;
    let first = person.refresh.clone();
    let second = refresh(&world, &first).await.text("refresh_token");
    let third = refresh(&world, &second).await;
    person = Person { access: third.text("access_token"), refresh: third.text("refresh_token"), ..person };
    refresh(&world, &first).await.assert_problem(401, "refresh_reused");
    assert_revoked(&world, &person).await;
    refresh(&world, &first).await.assert_problem(401, "session_revoked");
    assert!(world.items("SessionsTable").await.is_empty());
}

#[tokio::test]
async fn the_previous_refresh_token_ends_the_session_after_the_grace_period() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let next = refresh(&world, &person.refresh).await;
    let next = Person { access: next.text("access_token"), refresh: next.text("refresh_token"), ..person.clone() };
    world.advance(30);
    refresh(&world, &person.refresh).await.assert_problem(401, "refresh_reused");
    assert_revoked(&world, &next).await;
}

#[tokio::test]
async fn a_reused_refresh_token_ends_only_its_own_session() {
    let world = World::new().await;
    let stolen = world.sign_in(PHONE).await;
    let device = sign_in_on(&world, PHONE, "tablet").await;
    refresh(&world, &stolen.refresh).await.ok();
    world.advance(30);
    refresh(&world, &stolen.refresh).await.assert_problem(401, "refresh_reused");
    signed_in(&get_me(&world, &device.access).await);
    refresh(&world, &device.refresh).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_concurrent_refreshes_sign_nobody_out() {
    let world = Arc::new(World::new().await);
    let person = world.sign_in(PHONE).await;
    let replies = at_once((0..64).map(|_| {
        let (world, token) = (Arc::clone(&world), person.refresh.clone());
        async move { refresh(&world, &token).await }
    }))
    .await;
    assert_eq!(count(&replies, 200), 64, "{replies:?}");
    for reply in &replies {
        assert_eq!(claims(&reply.text("refresh_token"))["counter"], 2);
        signed_in(&get_me(&world, &reply.text("access_token")).await);
    }
    let newest = refresh(&world, &replies[63].text("refresh_token")).await;
    signed_in(&get_me(&world, &newest.text("access_token")).await);
    refresh(&world, &newest.text("refresh_token")).await.ok();
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_for_30_days_is_over() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    world.advance(30 * DAY - 60);
    let next = refresh(&world, &person.refresh).await.text("refresh_token");
    world.advance(left(&world, &next));
    refresh(&world, &next).await.assert_problem(401, "token_expired");
}

#[tokio::test]
async fn a_session_is_over_after_365_days_however_often_it_was_refreshed() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let ends_at = claims(&person.access)["iat"].as_i64().unwrap() + 365 * i64::try_from(DAY).unwrap();
    let mut token = person.refresh;
    for _ in 0..12 {
        world.advance(29 * DAY);
        token = refresh(&world, &token).await.text("refresh_token");
    }
    assert_eq!(claims(&token)["exp"], ends_at);
    world.advance(left(&world, &token) - 60);
    let last = refresh(&world, &token).await;
    let (access, token) = (last.text("access_token"), last.text("refresh_token"));
    assert!(last.number("expires_in") <= 60 && last.number("refresh_expires_in") <= 60, "{last:?}");
    assert_eq!((&claims(&access)["exp"], &claims(&token)["exp"]), (&json!(ends_at), &json!(ends_at)));
    world.advance(left(&world, &token));
    refresh(&world, &token).await.assert_problem(401, "token_expired");
    get_me(&world, &access).await.assert_problem(401, "token_expired");
}

#[tokio::test]
async fn an_access_token_expires_after_15_minutes_and_the_refresh_token_outlives_it() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    world.advance(900 - 60);
    signed_in(&get_me(&world, &person.access).await);
    world.advance(left(&world, &person.access));
    get_me(&world, &person.access).await.assert_problem(401, "token_expired");
    refresh(&world, &person.refresh).await.ok();
}

#[tokio::test]
async fn neither_token_passes_for_the_other() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    get_me(&world, &person.refresh).await.assert_problem(401, "token_invalid");
    refresh(&world, &person.access).await.assert_problem(401, "token_invalid");
    // Nor does it with the other's type on it: the claims tell them apart too.
    let key = own_key(&world).await;
    let dressed = |head_of: &str, claims_of: &str| signed(&header(head_of), &claims(claims_of), &key);
    get_me(&world, &dressed(&person.access, &person.refresh)).await.assert_problem(401, "token_invalid");
    refresh(&world, &dressed(&person.refresh, &person.access)).await.assert_problem(401, "token_invalid");
}

#[tokio::test]
async fn a_forged_refresh_token_is_refused_without_reading_any_session() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    world.system.reset_dynamodb_requests();
    for (what, token) in forgeries(&person.refresh, &own_key(&world).await) {
        let reply = refresh(&world, &token).await;
        let too_long = token.len() > 4_096;
        let expected = if too_long { (400, "malformed_request") } else { (401, "token_invalid") };
        assert_eq!(reply.problem(), expected, "{what}");
    }
    assert_eq!(world.system.dynamodb_requests().len(), 0, "{:?}", world.system.dynamodb_requests());
    refresh(&world, &person.refresh).await.ok();
}

#[tokio::test]
async fn a_refresh_token_with_a_counter_never_issued_is_refused_and_ends_no_session() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let head = header(&person.refresh);
    let ahead = with(&claims(&person.refresh), json!({"counter": 7}));
    let token = signed(&head, &ahead, &own_key(&world).await);
    refresh(&world, &token).await.assert_problem(401, "session_revoked");
    refresh(&world, &person.refresh).await.ok();
}

#[tokio::test]
async fn a_deleted_user_cannot_refresh() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    lose_user(&world, &person).await;
    refresh(&world, &person.refresh).await.assert_problem(403, "no_such_user");
    refresh(&world, &person.refresh).await.assert_problem(403, "no_such_user");
    assert!(world.items("SessionsTable").await.is_empty());
}

// Devices.

#[tokio::test]
async fn the_list_names_every_device_and_marks_the_one_that_asks() {
    let world = World::new().await;
    let phone = sign_in_on(&world, PHONE, "Pixel 9").await;
    let nameless = {
        world.advance(60);
        world.sign_in(PHONE).await
    };
    world.advance(60);
    sign_in_on(&world, OTHER, "a stranger's").await;
    let device = |person: &Person, name: Value, current: bool| {
        let opened = claims(&person.access)["iat"].as_i64().unwrap();
        json!({
            "session_id": session_id(&person.access), "device_name": name, "created_at": opened,
            "last_used_at": opened, "expires_at": claims(&person.refresh)["exp"], "fcm_token_at": null,
            "current": current,
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
    let world = World::new().await;
    let mut person = world.sign_in(PHONE).await;
    let opened = claims(&person.access)["iat"].clone();
    world.advance(120);
    person.access = refresh(&world, &person.refresh).await.text("access_token");
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
    let world = World::new().await;
    let (lost, kept) = (sign_in_on(&world, PHONE, "lost").await, sign_in_on(&world, PHONE, "kept").await);
    delete(&world, &kept, &format!("/v1/sessions/{}", session_id(&lost.access))).await;
    assert_revoked(&world, &lost).await;
    signed_in(&get_me(&world, &kept.access).await);
    assert_eq!(sessions(&world, &kept).await["sessions"].as_array().unwrap().len(), 1);
    refresh(&world, &kept.refresh).await.ok();
}

#[tokio::test]
async fn this_device_is_signed_out_and_the_others_are_not() {
    let world = World::new().await;
    let (this, other) = (sign_in_on(&world, PHONE, "this").await, sign_in_on(&world, PHONE, "other").await);
    delete(&world, &this, "/v1/session").await;
    assert_revoked(&world, &this).await;
    signed_in(&get_me(&world, &other.access).await);
    refresh(&world, &other.refresh).await.ok();
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
    signed_in(&get_me(&world, &stranger.access).await);
    refresh(&world, &stranger.refresh).await.ok();
}

#[tokio::test]
async fn an_interrupted_sign_out_of_every_device_can_be_retried() {
    let world = World::new().await;
    let mut devices = vec![world.sign_in(PHONE).await];
    for name in ["two", "three"] {
        devices.push(sign_in_on(&world, PHONE, name).await);
    }
    // Sessions are read in the order of their ids: the one that asks is read first.
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
    // Whose a session is, and whether there is one, stays unsaid.
    delete(&world, &stranger, &format!("/v1/sessions/{}", session_id(&person.access))).await;
    delete(&world, &stranger, "/v1/sessions").await;
    signed_in(&get_me(&world, &person.access).await);
    refresh(&world, &person.refresh).await.ok();
}

#[tokio::test]
async fn signing_out_an_unknown_device_succeeds_and_a_malformed_id_is_refused() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    delete(&world, &person, "/v1/sessions/ses_00000000000000000000000000").await;
    for id in ["1", "ses_", "usr_00000000000000000000000000", "ses_0000000000000000000000000U", "%00"] {
        let reply = world.call("DELETE", &format!("/v1/sessions/{id}")).as_person(&person).send().await;
        reply.assert_problem(400, "malformed_request");
    }
    assert_eq!(me(&world, &person).await["user_id"], person.user_id);
}
