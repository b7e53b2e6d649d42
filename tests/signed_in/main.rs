//! What a signed-in person can do, and what nobody else can do for them.

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

use serde_json::{Value, json};
use tests::{Person, Reply, World, person};
use tokio::task::JoinSet;

/// Makes all calls side by side and waits for every answer.
async fn at_once<F>(calls: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    calls.into_iter().collect::<JoinSet<F::Output>>().join_all().await
}

/// Reads who someone is.
async fn me(world: &World, person: &Person) -> Value {
    world.call("GET", "/v1/me").as_person(person).send().await.ok()
}

/// Shows a refresh token.
async fn refresh(world: &World, token: &str) -> Reply {
    world.post("/v1/session/refresh", json!({"refresh_token": token})).send().await
}

/// Signs a phone in once more, on a device with a name. Puts the clock forward, because sends must wait.
async fn sign_in_on(world: &World, phone: &str, device_name: &str) -> Person {
    world.advance(60);
    let code = world.send_code(phone).await.code;
    let body = json!({"phone_number": phone, "otp": code, "device_name": device_name});
    person(phone, &world.post("/v1/otp/submit", body).send().await)
}

/// Deletes the user's own item and nothing else.
async fn lose_user(world: &World, person: &Person) {
    let key = json!({"pk": {"S": format!("user#{}", person.user_id)}});
    world.dynamodb("DeleteItem", json!({"TableName": "UsersTable", "Key": key})).await;
}

/// How many statuses there are of each kind.
fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

/// Panics unless each user's phone and username is locked for them, and nothing else is locked.
async fn assert_locks_fit_users(world: &World) {
    let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
    let (mut wanted, mut held) = (BTreeSet::new(), BTreeSet::new());
    for item in world.items("UsersTable").await {
        let (pk, user) = (text(&item, "pk").unwrap(), text(&item, "user_id").unwrap());
        if pk.starts_with("user#") {
            wanted.extend(text(&item, "phone").map(|phone| (format!("phone#{phone}"), user.clone())));
            wanted.extend(text(&item, "username").map(|name| (format!("username#{}", name.to_lowercase()), user)));
        } else {
            held.insert((pk, user));
        }
    }
    assert_eq!(held, wanted);
}
