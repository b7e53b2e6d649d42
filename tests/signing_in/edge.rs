//! The edge in front of the API: the address of a caller is what the edge says, and nobody goes around it.

use local::{EDGE_SECRET, Options};
use serde_json::{Value, json};
use tests::World;

use crate::setup::phone;

const SECRET: &str = "x-latchkey-edge";
const VIEWER: &str = "cloudfront-viewer-address";

async fn world() -> World {
    World::of(Options { edge_port: Some(0), ..Options::default() }).await
}

async fn content(world: &World) -> Value {
    let secret = world.secrets_manager("GetSecretValue", json!({"SecretId": EDGE_SECRET})).await;
    serde_json::from_str(secret["SecretString"].as_str().unwrap()).unwrap()
}

async fn shown(world: &World) -> String {
    content(world).await["shown"].as_str().unwrap().to_owned()
}

async fn change_to(world: &World, content: Value) {
    let put = json!({
        "SecretId": EDGE_SECRET,
        "SecretString": content.to_string(),
        "ClientRequestToken": "00000000-0000-4000-8000-000000000001",
    });
    world.secrets_manager("PutSecretValue", put).await;
}

#[tokio::test]
async fn a_person_signs_in_through_the_edge() {
    let world = world().await.at_the_edge();
    let person = world.sign_in(&phone(1)).await;
    world.me(&person).await;
    world.refreshed(&person).await;
}

#[tokio::test]
async fn requests_for_and_with_codes_that_go_around_the_edge_are_refused() {
    let world = world().await;
    let secret = shown(&world).await;
    let longer = format!("{secret}0");
    let bodies = [
        ("/v1/otp/send", json!({"phone_number": phone(1)})),
        ("/v1/otp/submit", json!({"phone_number": phone(1), "otp": "123456"})),
        ("/v1/phone/change/undo", json!({"phone_number": phone(1), "otp": "123456"})),
    ];
    for (path, body) in bodies {
        for value in [None, Some(""), Some("x"), Some(&secret[1..]), Some(longer.as_str())] {
            let call = world.post(path, body.clone()).header(VIEWER, "198.51.100.7:1");
            let call = value.into_iter().fold(call, |call, value| call.header(SECRET, value));
            call.send().await.assert_problem(403, "edge_required");
        }
    }
    assert_eq!(world.inbox(&phone(1)).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_caller_has_the_address_that_the_edge_saw() {
    let world = World::of(Options {
        edge_port: Some(0),
        overrides: [("SOURCE_SENDS_PER_HOUR".to_owned(), "2".to_owned())].into(),
        ..Options::default()
    })
    .await;
    let secret = shown(&world).await;
    let send = |n: usize, viewer: &str| {
        let call = world.post("/v1/otp/send", json!({"phone_number": phone(n)}));
        call.header(SECRET, &secret).header(VIEWER, viewer).send()
    };
    send(1, "198.51.100.7:1001").await.ok();
    send(2, "198.51.100.7:1002").await.ok();
    send(3, "198.51.100.7:1003").await.assert_problem(429, "too_many_requests");
    send(3, "198.51.100.8:1003").await.ok();
    // IPv6 counts by /64.
    send(4, "2001:db8:1:1:0:0:0:1:1004").await.ok();
    send(5, "2001:db8:1:1::2:1005").await.ok();
    send(6, "2001:db8:1:1::3:1006").await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn the_edge_replaces_what_a_caller_says_of_itself() {
    let world = World::of(Options {
        edge_port: Some(0),
        overrides: [("SOURCE_SENDS_PER_HOUR".to_owned(), "1".to_owned())].into(),
        ..Options::default()
    })
    .await
    .at_the_edge();
    let send = |n: usize, viewer: &str| {
        let call = world.post("/v1/otp/send", json!({"phone_number": phone(n)}));
        call.header(VIEWER, viewer).header(SECRET, "mine").send()
    };
    send(1, "198.51.100.7:1").await.ok();
    send(2, "198.51.100.8:1").await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn the_secret_changes_while_the_edge_still_shows_the_former_one() {
    let world = world().await;
    let former = shown(&world).await;
    let next = "n".repeat(64);
    let send = |n: usize, secret: &str| {
        let call = world.post("/v1/otp/send", json!({"phone_number": phone(n)}));
        call.header(SECRET, secret).header(VIEWER, "198.51.100.7:1").send()
    };
    change_to(&world, json!({"shown": next, "before": former})).await;
    world.advance(301);
    send(1, &former).await.ok();
    send(2, &next).await.ok();
    let put = json!({
        "SecretId": EDGE_SECRET,
        "SecretString": json!({"shown": next}).to_string(),
        "ClientRequestToken": "00000000-0000-4000-8000-000000000002",
    });
    world.secrets_manager("PutSecretValue", put).await;
    world.advance(301);
    send(3, &former).await.assert_problem(403, "edge_required");
    send(3, &next).await.ok();
}

#[tokio::test]
async fn a_secret_that_is_short_or_not_readable_lets_nobody_in() {
    for (content, status, code) in
        [(json!({"shown": "", "before": ""}), 403, "edge_required"), (json!("{}"), 503, "service_unavailable")]
    {
        let world = world().await;
        change_to(&world, content).await;
        world.advance(301);
        let call = world.post("/v1/otp/send", json!({"phone_number": phone(1)})).header(SECRET, "");
        call.header(VIEWER, "198.51.100.7:1").send().await.assert_problem(status, code);
    }
}
