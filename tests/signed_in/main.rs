//! What a signed-in user can do, and what nobody else can do for them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod account;
mod authorizer;
mod code_key;
mod jwks;
mod session;
mod tokens;
mod validate_otp;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tests::{Person, Reply, World, person};
use tokio::task::JoinSet;

const PHONE: &str = "+9779841000001";
const OTHER: &str = "+9779841000002";

/// A system with one user, who is signed in with `PHONE`.
async fn signed_in() -> (World, Person) {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    (world, person)
}

/// Makes `count` calls concurrently. The results are in the order in which the calls ended.
async fn at_once<F>(world: &Arc<World>, count: usize, call: impl Fn(Arc<World>, usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    (0..count).map(|n| call(Arc::clone(world), n)).collect::<JoinSet<F::Output>>().join_all().await
}

async fn me(world: &World, person: &Person) -> Value {
    world.call("GET", "/v1/me").as_person(person).send().await.ok()
}

async fn refresh(world: &World, token: &str) -> Reply {
    world.post("/v1/session/refresh", json!({"refresh_token": token})).send().await
}

/// The same person with the tokens of one refresh.
async fn refreshed(world: &World, person: &Person) -> Person {
    let reply = refresh(world, &person.refresh).await;
    Person { access: reply.text("access_token"), refresh: reply.text("refresh_token"), ..person.clone() }
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

fn user_key(person: &Person) -> Value {
    json!({"pk": {"S": format!("user#{}", person.user_id)}})
}

/// Deletes only the user's own item: sessions and locks stay.
async fn delete_user_item(world: &World, person: &Person) {
    world.dynamodb("DeleteItem", json!({"TableName": "UsersTable", "Key": user_key(person)})).await;
}

/// Removes the phone and its lock, as for a user who was imported without a verified phone.
async fn remove_phone(world: &World, person: &Person) {
    let update = json!({"TableName": "UsersTable", "Key": user_key(person), "UpdateExpression": "REMOVE phone"});
    world.dynamodb("UpdateItem", update).await;
    let lock = json!({"pk": {"S": format!("phone#{}", person.phone)}});
    world.dynamodb("DeleteItem", json!({"TableName": "UsersTable", "Key": lock})).await;
}

fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

/// Panics unless the whole reply is this problem.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16, code: &str, title: &str, detail: &str) {
    reply.assert_problem(status, code);
    let kind = format!("urn:latchkey:problem:{code}");
    assert_eq!(reply.body, json!({"type": kind, "title": title, "status": status, "detail": detail, "code": code}));
}

async fn assert_empty(world: &World, tables: &[&str]) {
    for table in tables {
        assert_eq!(world.items(table).await, [] as [Value; 0], "{table}");
    }
}

/// Panics unless there is exactly one lock for each phone and each username of a user.
async fn assert_locks_match_users(world: &World) {
    let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
    let (mut expected, mut locks) = (BTreeSet::new(), BTreeSet::new());
    for item in world.items("UsersTable").await {
        let (pk, user) = (text(&item, "pk").unwrap(), text(&item, "user_id").unwrap());
        if pk.starts_with("user#") {
            expected.extend(text(&item, "phone").map(|phone| (format!("phone#{phone}"), user.clone())));
            expected.extend(text(&item, "username").map(|name| (format!("username#{}", name.to_lowercase()), user)));
        } else {
            locks.insert((pk, user));
        }
    }
    assert_eq!(locks, expected);
}
