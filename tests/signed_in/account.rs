//! `/v1/me` and `/v1/me/fcm-token`: the caller's own account.

use std::collections::BTreeMap;
use std::sync::Arc;

use local::{Aim, Mode, Outgoing, Target};
use serde_json::{Value, json};
use tests::{Person, Reply, World, assert_refused, at_once, person as person_of, wrong};

use crate::tokens::{claims, session_id};
use crate::{
    OTHER, PHONE, assert_empty, assert_locks_match_users, assert_no_user, count, delete, delete_user_item, sign_in_on,
    signed_in,
};

const NEW: &str = "+9779841000003";
const DAY: u64 = 24 * 60 * 60;

async fn patch(world: &World, person: &Person, body: Value) -> Reply {
    world.call("PATCH", "/v1/me").as_person(person).json(body).send().await
}

async fn rename(world: &World, person: &Person, username: Value) -> Reply {
    patch(world, person, json!({"username": username})).await
}

#[track_caller]
fn assert_taken(reply: &Reply) {
    assert_refused(reply, "username_taken", json!({}));
}

// The profile.

#[tokio::test]
async fn a_new_user_reads_their_profile() {
    let (world, person) = signed_in().await;
    let now = &claims(&person.access)["iat"];
    let reply = world.call("GET", "/v1/me").as_person(&person).send().await;
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(
        reply.ok(),
        json!({
            "user_id": person.user_id, "phone_number": PHONE, "phone_verified": true, "username": null, "name": null,
            "image_url": null, "source": null, "roles": {"default": ["default"]}, "created_at": now,
            "last_sign_in_at": now,
        })
    );
}

#[tokio::test]
async fn a_change_is_returned_and_stored_and_other_members_stay() {
    let (world, person) = signed_in().await;
    let mut expected = world.me(&person).await;
    let changes = [
        json!({"name": "Sita Sharma", "image_url": "https://images.example.com/sita.jpg", "username": "Sita.S"}),
        json!({"name": "सीता"}),
        json!({"image_url": null}),
        json!({"username": "sita_s"}),
        json!({"name": null}),
        json!({"username": null}),
    ];
    for change in changes {
        for (name, value) in change.as_object().unwrap() {
            expected[name] = value.clone();
        }
        assert_eq!(patch(&world, &person, change).await.ok(), expected);
        assert_eq!(world.me(&person).await, expected);
    }
    assert_locks_match_users(&world).await;
}

#[tokio::test]
async fn empty_changes_and_changes_to_read_only_members_have_no_effect() {
    let world = World::new().await;
    let person = world.sign_in_as(PHONE, "sita").await;
    let before = world.me(&person).await;
    let others = json!({"phone_number": OTHER, "roles": {"admin": ["default"]}, "user_id": "usr_1", "created_at": 0});
    for body in [json!({}), others] {
        assert_eq!(patch(&world, &person, body).await.ok(), before);
    }
    assert_eq!(world.me(&person).await, before);
}

#[tokio::test]
async fn one_malformed_member_refuses_the_whole_change() {
    let world = World::new().await;
    let person = world.sign_in_as(PHONE, "sita").await;
    let before = world.me(&person).await;
    let malformed = [
        json!({"username": "si"}),
        json!({"username": "s".repeat(31)}),
        json!({"username": "sita sharma"}),
        json!({"username": "सीता"}),
        json!({"username": ""}),
        json!({"name": ""}),
        json!({"name": "x".repeat(101)}),
        json!({"name": "a\u{0}b"}),
        json!({"image_url": "javascript:alert(1)"}),
        json!({"image_url": format!("https://{}", "x".repeat(2048))}),
        json!({"name": 7}),
    ];
    for mut body in malformed {
        for (name, value) in [("name", "Changed"), ("username", "changed")] {
            if body.get(name).is_none() {
                body[name] = json!(value);
            }
        }
        patch(&world, &person, body).await.assert_problem(400, "malformed_request");
    }
    assert_eq!(world.me(&person).await, before);
}

// Usernames.

#[tokio::test]
async fn usernames_are_unique_without_regard_to_case() {
    let world = World::new().await;
    let (sita, gita) = (world.sign_in_as(PHONE, "Sita").await, world.sign_in(OTHER).await);
    for username in ["Sita", "sita", "SITA"] {
        assert_taken(&patch(&world, &gita, json!({"username": username, "name": "Gita"})).await);
    }
    let gita = world.me(&gita).await;
    assert_eq!((&gita["username"], &gita["name"]), (&Value::Null, &Value::Null));
    assert_eq!(world.me(&sita).await["username"], "Sita");
}

#[tokio::test]
async fn a_user_can_change_the_case_of_their_own_username() {
    let world = World::new().await;
    let sita = world.sign_in_as(PHONE, "sita").await;
    // Also the same name again.
    for username in ["Sita", "Sita", "SITA"] {
        assert_eq!(rename(&world, &sita, json!(username)).await.ok()["username"], username);
    }
    assert_locks_match_users(&world).await;
}

#[tokio::test]
async fn a_username_that_is_given_up_is_kept_for_30_days_for_its_former_owner() {
    for given_up_for in [json!("rita"), Value::Null] {
        let world = World::new().await;
        let sita = world.sign_in_as(PHONE, "sita").await;
        rename(&world, &sita, given_up_for).await.ok();
        for wait in [0, 30 * DAY - 1] {
            world.advance(wait);
            let gita = world.sign_in(OTHER).await;
            assert_taken(&rename(&world, &gita, json!("SITA")).await);
        }
        // For whoever gave it up, it is available all the time.
        let sita = world.sign_in(PHONE).await;
        rename(&world, &sita, json!("Sita")).await.ok();
        rename(&world, &sita, json!("nobody")).await.ok();
        assert_locks_match_users(&world).await;
        world.advance(30 * DAY);
        let gita = world.sign_in(OTHER).await;
        rename(&world, &gita, json!("sita")).await.ok();
        let sita = world.sign_in(PHONE).await;
        assert_taken(&rename(&world, &sita, json!("sita")).await);
        assert_locks_match_users(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_30_days_one_of_many_users_gets_a_username_that_was_given_up() {
    let world = Arc::new(World::new().await);
    let sita = world.sign_in_as(PHONE, "sita").await;
    rename(&world, &sita, Value::Null).await.ok();
    world.advance(30 * DAY);
    let mut people = vec![world.sign_in(PHONE).await];
    for n in 10..20 {
        people.push(world.sign_in(&format!("+97798410{n:05}")).await);
    }
    let replies = at_once(&world, people.len(), |world, n| {
        let person = people[n].clone();
        async move { rename(&world, &person, json!("sita")).await }
    })
    .await;
    assert_eq!((count(&replies, 200), count(&replies, 409)), (1, people.len() - 1), "{replies:?}");
    assert_locks_match_users(&world).await;
}

#[tokio::test]
async fn at_most_five_usernames_are_kept_for_one_user() {
    let world = World::new().await;
    let sita = world.sign_in_as(PHONE, "name-0").await;
    for n in 1..=5 {
        rename(&world, &sita, json!(format!("name-{n}"))).await.ok();
    }
    for username in [json!("name-6"), Value::Null] {
        let refused = rename(&world, &sita, username).await;
        refused.assert_problem(429, "too_many_requests");
        assert!((30 * DAY - 60..=30 * DAY).contains(&refused.number("retry_after")), "{refused:?}");
    }
    // Taking one of them back keeps no more of them. Neither does another case of the present name.
    rename(&world, &sita, json!("name-2")).await.ok();
    rename(&world, &sita, json!("NAME-2")).await.ok();
    let gita = world.sign_in(OTHER).await;
    for n in 0..=5 {
        assert_taken(&rename(&world, &gita, json!(format!("name-{n}"))).await);
    }
    let wait = rename(&world, &sita, json!("name-6")).await.number("retry_after");
    world.advance(wait);
    let sita = world.sign_in(PHONE).await;
    rename(&world, &sita, json!("name-6")).await.ok();
    assert_locks_match_users(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_changes_of_username_keep_no_more_than_five() {
    let world = Arc::new(World::new().await);
    let sita = world.sign_in_as(PHONE, "name-0").await;
    let replies = at_once(&world, 12, |world, n| {
        let sita = sita.clone();
        async move { rename(&world, &sita, json!(format!("name-{}", n + 1))).await }
    })
    .await;
    assert!(replies.iter().all(|reply| [200, 429, 503].contains(&reply.status)), "{replies:?}");
    assert!(count(&replies, 200) <= 5, "{replies:?}");
    let items = world.items("UsersTable").await;
    let names = items.iter().filter(|item| item["pk"]["S"].as_str().unwrap().starts_with("username#")).count();
    assert_eq!(names, count(&replies, 200) + 1);
    assert_locks_match_users(&world).await;
}

#[tokio::test]
async fn another_username_and_a_deletion_require_a_fresh_token_and_other_changes_none() {
    let world = World::new().await;
    let fresh = world.sign_in_as(PHONE, "sita").await;
    let stale = world.refreshed(&fresh).await;
    let before = world.me(&stale).await;
    for username in [json!("rita"), json!("SITA"), Value::Null] {
        assert_fresh_token_required(&rename(&world, &stale, username.clone()).await);
        assert_fresh_token_required(&patch(&world, &stale, json!({"username": username, "name": "Rita"})).await);
    }
    assert_fresh_token_required(&world.call("DELETE", "/v1/me").as_person(&stale).send().await);
    assert_eq!(world.me(&stale).await, before);
    // The present username is no change.
    patch(&world, &stale, json!({"username": "sita", "name": "Sita", "image_url": null})).await.ok();
    rename(&world, &fresh, json!("rita")).await.ok();
    delete_account(&world, &fresh).await;
    assert_no_user(&world).await;
}

#[track_caller]
fn assert_fresh_token_required(reply: &Reply) {
    assert_refused(reply, "fresh_token_required", json!({}));
    let challenge = &reply.headers["www-authenticate"];
    assert!(challenge.contains(r#"error="insufficient_user_authentication""#), "{challenge}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_users_who_want_the_same_username_one_gets_it() {
    let many = [
        ("SOURCE_SENDS_PER_HOUR", "1000"),
        ("SOURCE_SENDS_PER_DAY", "1000"),
        ("SOURCE_GUESSES_PER_HOUR", "1000"),
        ("SOURCE_GUESSES_PER_DAY", "1000"),
    ];
    let world = Arc::new(World::with(&many).await);
    let mut people = Vec::new();
    for n in 0..64 {
        people.push(world.sign_in(&format!("+97798410{n:05}")).await);
    }
    let renames = at_once(&world, 64, |world, n| {
        let (person, username) = (people[n].clone(), ["sita", "Sita", "SITA", "sItA"][n % 4]);
        async move { (person.user_id.clone(), rename(&world, &person, json!(username)).await) }
    });
    let (users, replies): (Vec<_>, Vec<_>) = renames.await.into_iter().unzip();
    let problems: Vec<_> = replies.iter().map(Reply::problem).filter(|problem| *problem != (200, "")).collect();
    assert_eq!(problems, vec![(409, "username_taken"); 63]);
    let winner = &users[replies.iter().position(|reply| reply.status == 200).unwrap()];
    for person in &people {
        assert_eq!(world.me(person).await["username"].is_string(), person.user_id == *winner);
    }
    assert_locks_match_users(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_users_who_swap_usernames_at_once_leave_no_lock_behind() {
    let world = Arc::new(World::new().await);
    let pair = [(world.sign_in_as(PHONE, "sita").await, "gita"), (world.sign_in_as(OTHER, "gita").await, "sita")];
    let replies = at_once(&world, 64, |world, n| {
        let (person, username) = pair[n % 2].clone();
        async move { rename(&world, &person, json!(username)).await }
    })
    .await;
    // Neither name is available at any time.
    assert_eq!(count(&replies, 409), 64, "{replies:?}");
    assert_locks_match_users(&world).await;
}

// Deletion.

async fn delete_account(world: &World, person: &Person) {
    delete(world, person, "/v1/me").await;
}

async fn request_change_to_new(world: &World, person: &Person) {
    world.keep_secret(NEW);
    let body = json!({"phone_number": NEW, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(person).send().await.ok();
}

/// Copies the only session under other ids.
async fn add_sessions(world: &World, ids: impl Iterator<Item = String>) {
    let mut session = world.items("SessionsTable").await.remove(0);
    for id in ids {
        session["session_id"] = json!({"S": id});
        world.dynamodb("PutItem", json!({"TableName": "SessionsTable", "Item": session})).await;
    }
}

/// How many challenges still have a code that could be used.
async fn pending_codes(world: &World) -> usize {
    let pending = |item: &Value| {
        let challenges = item.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("challenge#"));
        challenges.filter(|(_, challenge)| challenge["M"].get("consumed_at").is_none()).count()
    };
    world.items("OtpsTable").await.iter().map(pending).sum()
}

#[tokio::test]
async fn an_account_is_deleted_with_its_locks_its_devices_and_its_pending_codes() {
    let world = World::new().await;
    let first = sign_in_on(&world, PHONE, "first").await;
    rename(&world, &first, json!("sita")).await.ok();
    let second = sign_in_on(&world, PHONE, "second").await;
    world.advance(120);
    let sign_in = world.send_code(PHONE).await;
    assert_eq!(pending_codes(&world).await, 1);
    delete_account(&world, &second).await;
    assert_no_user(&world).await;
    assert_eq!(pending_codes(&world).await, 0);
    for device in [&first, &second] {
        world.call("GET", "/v1/me").as_person(device).send().await.assert_problem(403, "no_such_user");
        world.refresh(&device.refresh).await.assert_problem(403, "no_such_user");
    }
    world.submit(PHONE, &sign_in.code).send().await.assert_problem(400, "incorrect_otp");
}

#[tokio::test]
async fn an_account_is_deleted_with_its_sessions_that_ended_by_age() {
    let world = World::new().await;
    world.sign_in(PHONE).await;
    world.advance(31 * DAY);
    let person = world.sign_in(PHONE).await;
    assert_eq!(world.items("SessionsTable").await.len(), 2);
    delete_account(&world, &person).await;
    assert_no_user(&world).await;
}

#[tokio::test]
async fn a_code_for_a_number_that_a_deleted_user_did_not_hold_verifies_nothing() {
    let (world, person) = signed_in().await;
    world.remove_phone(&person).await;
    world.keep_secret(NEW);
    world.post("/v1/phone/otp/send", json!({"phone_number": NEW})).as_person(&person).send().await.ok();
    delete_account(&world, &person).await;
    assert_empty(&world, &["UsersTable"]).await;
    let proof = json!({"phone_number": NEW, "otp": world.code(NEW).await, "username": "sita"});
    let refused = world.post("/v1/phone/otp/validate", proof).as_person(&person).send().await;
    assert_refused(&refused, "no_such_user", json!({}));
}

#[tokio::test]
async fn items_that_a_deletion_leaves_behind_expire() {
    let world = World::new().await;
    let person = world.sign_in_as(PHONE, "sita").await;
    request_change_to_new(&world, &person).await;
    let proof = json!({"phone_number": NEW, "otp": world.code(NEW).await, "username": "sita"});
    world.post("/v1/phone/otp/validate", proof).as_person(&person).send().await.ok();
    delete_account(&world, &person).await;
    for item in world.items("OtpsTable").await {
        assert!(item.get("expires_at").is_some(), "{item}");
    }
}

#[tokio::test]
async fn the_number_of_a_deleted_account_is_available_for_a_new_account_and_its_username_after_30_days() {
    let world = World::new().await;
    let person = world.sign_in_as(PHONE, "sita").await;
    let stranger = world.sign_in_as(OTHER, "gita").await;
    delete_account(&world, &person).await;
    world.advance(30);
    let sent = world.send_code(PHONE).await;
    let body = json!({"phone_number": PHONE, "otp": sent.code, "fresh_account": true});
    let reply = world.post("/v1/otp/submit", body).send().await;
    assert_eq!(reply.body["is_new_user"], true);
    assert_ne!(reply.body["user"]["user_id"], json!(person.user_id));
    assert_eq!(reply.body["user"]["username"], Value::Null);
    assert_taken(&rename(&world, &stranger, json!("Sita")).await);
    // Not even by the person who had it: the user who had it no longer exists.
    let same_number = person_of(PHONE, &reply);
    assert_taken(&rename(&world, &same_number, json!("sita")).await);
    world.advance(30 * DAY - 90);
    let stranger_again = world.sign_in(OTHER).await;
    assert_taken(&rename(&world, &stranger_again, json!("sita")).await);
    world.advance(60);
    rename(&world, &stranger_again, json!("Sita")).await.ok();
    assert_eq!(world.me(&stranger_again).await["phone_number"], OTHER);
    assert_locks_match_users(&world).await;
}

#[tokio::test]
async fn deleting_an_account_keeps_the_failed_attempts_at_its_number() {
    let (world, person) = signed_in().await;
    world.advance(30);
    let sent = world.send_code(PHONE).await;
    for _ in 0..5 {
        world.submit(PHONE, &wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
    }
    let failures = |items: Vec<Value>| items.iter().find_map(|item| item.get("failures_without_id").cloned());
    let before = failures(world.items("OtpsTable").await);
    assert_eq!(before, Some(json!({"N": "5"})));
    delete_account(&world, &person).await;
    assert_eq!(failures(world.items("OtpsTable").await), before);
}

#[tokio::test]
async fn an_account_with_more_devices_than_a_transaction_holds_is_deleted_completely() {
    let world = World::new().await;
    let person = world.sign_in_as(PHONE, "sita").await;
    add_sessions(&world, (0..120).map(|n| format!("ses_{n:026}"))).await;
    assert_eq!(world.items("SessionsTable").await.len(), 121);
    delete_account(&world, &person).await;
    assert_no_user(&world).await;
}

#[tokio::test]
async fn a_valid_token_of_a_deleted_account_gets_no_such_user() {
    let (world, person) = signed_in().await;
    delete_user_item(&world, &person).await;
    let call = |method| world.call(method, "/v1/me").as_person(&person);
    for call in [call("GET"), call("PATCH").json(json!({"username": "sita"})), call("DELETE")] {
        assert_refused(&call.send().await, "no_such_user", json!({}));
    }
    assert!(world.items("UsersTable").await.iter().all(|item| item["pk"]["S"] == format!("phone#{PHONE}")));
}

#[tokio::test]
async fn an_interrupted_deletion_of_many_devices_can_be_retried() {
    let (world, person) = signed_in().await;
    // More sessions than one transaction holds, with ids that sort before that of the caller's session.
    add_sessions(&world, (0..100).map(|n| format!("!{n:03}"))).await;
    let what = "TransactWriteItems OtpsTable SessionsTable UsersTable".to_owned();
    let at = Outgoing { target: Target::Dynamodb, what, nth: 1 };
    world.system.aim(Some(Aim { at, mode: Mode::Refuse, code: Some("AccessDeniedException"), lasts: true }));
    let delete = || world.call("DELETE", "/v1/me").as_person(&person).send();
    delete().await.assert_problem(503, "service_unavailable");
    world.system.aim(None);
    assert_eq!(delete().await.status, 204);
    assert_no_user(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_deletions_of_an_account_delete_it_once() {
    let world = Arc::new(World::new().await);
    let person = world.sign_in_as(PHONE, "sita").await;
    let replies = at_once(&world, 64, |world, _| {
        let person = person.clone();
        async move { world.call("DELETE", "/v1/me").as_person(&person).send().await }
    })
    .await;
    assert_eq!(count(&replies, 204), 1, "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 204) {
        assert!([(401, "session_revoked"), (403, "no_such_user")].contains(&reply.problem()), "{reply:?}");
    }
    assert_no_user(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_account_deleted_while_its_owner_signs_in_leaves_no_device_behind() {
    let world = Arc::new(World::new().await);
    let mut people = Vec::new();
    for n in 0..12 {
        people.push(world.sign_in(&format!("+97798410{n:05}")).await);
    }
    world.advance(30);
    let mut codes = Vec::new();
    for person in &people {
        codes.push(world.send_code(&person.phone).await.code);
    }
    at_once(&world, 2 * people.len(), |world, n| {
        let (person, code) = (people[n / 2].clone(), codes[n / 2].clone());
        async move {
            match n % 2 {
                0 => world.call("DELETE", "/v1/me").as_person(&person).send().await,
                _ => world.submit(&person.phone, &code).send().await,
            }
        }
    })
    .await;
    let users = world.items("UsersTable").await;
    for session in world.items("SessionsTable").await {
        let pk = format!("user#{}", session["user_id"]["S"].as_str().unwrap());
        assert!(users.iter().any(|user| user["pk"]["S"] == pk), "a device without a user: {session}");
    }
    assert_locks_match_users(&world).await;
}

// FCM tokens.

async fn register(world: &World, person: &Person, token: &str) -> i64 {
    world.keep_secret(token);
    let call = world.call("PUT", "/v1/me/fcm-token").as_person(person);
    registered_at(&call.json(json!({"fcm_token": token})).send().await)
}

/// The time in the answer, which has no other member.
#[track_caller]
fn registered_at(reply: &Reply) -> i64 {
    let at = reply.body["fcm_token_at"].as_i64().unwrap();
    assert_eq!((reply.status, &reply.body), (200, &json!({"fcm_token_at": at})));
    at
}

/// Each session's FCM token and the time of its registration; both are empty without a token.
async fn fcm_tokens(world: &World) -> BTreeMap<String, (String, String)> {
    let text = |item: &Value, name: &str, kind: &str| item[name][kind].as_str().unwrap_or_default().to_owned();
    let entry = |item: &Value| {
        let token = (text(item, "fcm_token", "S"), text(item, "fcm_token_at", "N"));
        (text(item, "session_id", "S"), token)
    };
    world.items("SessionsTable").await.iter().map(entry).collect()
}

#[tokio::test]
async fn an_fcm_token_is_stored_with_the_time_of_its_registration() {
    let (world, person) = signed_in().await;
    let session = session_id(&person.access);
    assert_eq!(fcm_tokens(&world).await[&session], (String::new(), String::new()));
    let at = register(&world, &person, "first:token").await;
    assert_eq!(at, world.now());
    assert_eq!(fcm_tokens(&world).await[&session], ("first:token".into(), at.to_string()));
    world.advance(60);
    let at = register(&world, &person, "second:token").await;
    assert_eq!(fcm_tokens(&world).await[&session], ("second:token".into(), at.to_string()));
    let list = world.call("GET", "/v1/sessions").as_person(&person).send().await.ok();
    assert_eq!(list["sessions"][0]["fcm_token_at"], at);
}

#[tokio::test]
async fn registering_the_same_fcm_token_again_takes_one_write() {
    let (world, person) = signed_in().await;
    let first = register(&world, &person, "the:token").await;
    world.advance(60);
    world.system.reset_dynamodb_requests();
    let second = register(&world, &person, "the:token").await;
    let requests = world.system.dynamodb_requests();
    let writes = requests.iter().filter(|request| request.operation != "GetItem").count();
    assert_eq!(writes, 1, "{requests:?}");
    assert_eq!(second, first + 60);
    assert_eq!(fcm_tokens(&world).await[&session_id(&person.access)], ("the:token".into(), second.to_string()));
}

#[tokio::test]
async fn the_fcm_token_in_the_body_takes_precedence_over_the_header() {
    let (world, person) = signed_in().await;
    let session = session_id(&person.access);
    for (body, expected) in [
        (json!({}), "header:token"),
        (json!({"fcm_token": null}), "header:token"),
        (json!({"fcm_token": "member:token"}), "member:token"),
    ] {
        world.advance(1);
        let call = world.call("PUT", "/v1/me/fcm-token").as_person(&person).header("FCM-TOKEN", "header:token");
        let at = registered_at(&call.json(body).send().await);
        assert_eq!(fcm_tokens(&world).await[&session], (expected.into(), at.to_string()));
    }
}

#[tokio::test]
async fn each_device_has_its_own_fcm_token() {
    let world = World::new().await;
    let (phone, tablet) = (sign_in_on(&world, PHONE, "phone").await, sign_in_on(&world, PHONE, "tablet").await);
    let of_phone = register(&world, &phone, "phone:token").await;
    world.advance(60);
    let of_tablet = register(&world, &tablet, "tablet:token").await;
    let expected = [
        (session_id(&phone.access), ("phone:token".to_owned(), of_phone.to_string())),
        (session_id(&tablet.access), ("tablet:token".to_owned(), of_tablet.to_string())),
    ];
    assert_eq!(fcm_tokens(&world).await, expected.into());
}

#[tokio::test]
async fn a_malformed_fcm_token_is_refused_and_the_stored_one_stays() {
    let (world, person) = signed_in().await;
    register(&world, &person, "the:token").await;
    let before = fcm_tokens(&world).await;
    for body in
        [json!({}), json!({"fcm_token": ""}), json!({"fcm_token": "a b"}), json!({"fcm_token": "x".repeat(4097)})]
    {
        let reply = world.call("PUT", "/v1/me/fcm-token").as_person(&person).json(body).send().await;
        reply.assert_problem(400, "malformed_request");
    }
    assert_eq!(fcm_tokens(&world).await, before);
}

#[tokio::test]
async fn registering_an_fcm_token_recreates_no_user_and_no_session() {
    let (world, person) = signed_in().await;
    delete_user_item(&world, &person).await;
    let register =
        || world.call("PUT", "/v1/me/fcm-token").as_person(&person).json(json!({"fcm_token": "the:token"})).send();
    register().await.assert_problem(403, "no_such_user");
    let key = json!({"user_id": {"S": person.user_id}, "session_id": {"S": session_id(&person.access)}});
    world.dynamodb("DeleteItem", json!({"TableName": "SessionsTable", "Key": key})).await;
    register().await.assert_problem(403, "no_such_user");
    assert_empty(&world, &["SessionsTable"]).await;
}
