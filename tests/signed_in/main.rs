//! What a signed-in user can do, and what nobody else can do for them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod account;
mod authorizer;
mod code_key;
mod delayed_change;
mod device_keys;
mod events;
mod jwks;
mod notices;
mod session;
mod tokens;
mod undo;
mod validate_otp;
mod waits;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Person, Reply, World, person};

const PHONE: &str = "+9779841000001";
const OTHER: &str = "+9779841000002";

/// A system with one user, who is signed in with `PHONE`.
async fn signed_in() -> (World, Person) {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    (world, person)
}

async fn delete(world: &World, person: &Person, path: &str) {
    let reply = world.call("DELETE", path).as_person(person).send().await;
    assert_eq!((reply.status, &reply.body), (204, &Value::Null), "{reply:?}");
}

/// Signs in on a device with a name. The clock advances first, because a send to the same phone has to wait.
async fn sign_in_on(world: &World, phone: &str, device_name: &str) -> Person {
    world.advance(60);
    let code = world.send_code(phone).await.code;
    let body = json!({"phone_number": phone, "otp": code, "device_name": device_name});
    person(phone, &world.post("/v1/otp/submit", body).send().await)
}

/// Deletes only the user's own item: sessions and locks stay.
async fn delete_user_item(world: &World, person: &Person) {
    world.delete_user_item(&format!("user#{}", person.user_id)).await;
}

fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

async fn assert_empty(world: &World, tables: &[&str]) {
    for table in tables {
        assert_eq!(world.items(table).await, [] as [Value; 0], "{table}");
    }
}

/// Panics unless there is nothing of a user but what has an end: usernames given up, and what an undo needs.
async fn assert_no_user(world: &World) {
    let left = world.items("UsersTable").await;
    let is_user = |item: &Value| item["pk"]["S"].as_str().unwrap().starts_with("user#");
    assert!(left.iter().all(|item| is_kept(item) && !is_user(item)), "{left:?}");
    assert_empty(world, &["SessionsTable"]).await;
}

/// Whether an item is only kept for the former owner of a username, a number or an account.
fn is_kept(item: &Value) -> bool {
    item.get("kept_until").is_some()
}

/// Panics unless there is exactly one lock for each phone and each username of a user, apart from usernames given up.
async fn assert_locks_match_users(world: &World) {
    let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
    let (mut expected, mut locks) = (BTreeSet::new(), BTreeSet::new());
    for item in world.items("UsersTable").await {
        let (pk, user) = (text(&item, "pk").unwrap(), text(&item, "user_id").unwrap());
        if pk.starts_with("user#") {
            expected.extend(text(&item, "phone").map(|phone| (format!("phone#{phone}"), user.clone())));
            expected.extend(text(&item, "username").map(|name| (format!("username#{}", name.to_lowercase()), user)));
        } else if !is_kept(&item) {
            locks.insert((pk, user));
        }
    }
    assert_eq!(locks, expected);
}
