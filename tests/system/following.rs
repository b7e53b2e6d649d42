//! Following one request through the log: each line that it causes names it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::World;

const PHONE: &str = "+9779841000001";

fn of_request(world: &World, id: &str) -> Vec<Value> {
    world.own_log().into_iter().filter(|line| line["span"]["request_id"] == id).collect()
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["fields"]["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_line_that_a_request_causes_names_it() {
    let world = World::with(&[("SMS_ROUTES", "*=sparrow,sns")]).await;
    world.keep_phone_secret(PHONE);
    world.fault("sparrow", "refuse", 1).await;
    let sent = world.post("/v1/otp/send", json!({"phone_number": PHONE})).send().await;
    let code = world.code(PHONE).await;
    let signed_in = world.submit(PHONE, &code).send().await;
    let of_send = of_request(&world, &sent.headers["x-request-id"]);
    let expected = ["the gateway did not accept the message", "the gateway accepted the message", "served"];
    assert_eq!(messages(&of_send), expected);
    assert_eq!(messages(&of_request(&world, &signed_in.headers["x-request-id"])), ["served"]);
    assert!(world.own_log().iter().all(|line| line["span"]["request_id"].is_string()), "{:?}", world.own_log());
}

#[tokio::test]
async fn the_authorizer_and_the_function_behind_it_name_the_same_request() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    world.fault("dynamodb", "error", 100).await;
    let refused = world.call("GET", "/v1/me").as_person(&person).send().await;
    refused.assert_problem(503, "service_unavailable");
    let lines = of_request(&world, &refused.headers["x-request-id"]);
    assert_eq!(messages(&lines), ["unavailable", "unavailable", "served"]);
    assert_eq!(lines[0]["fields"]["function"], "authorizer");
}

/// Lambda gives each call of these functions an id, which the function itself must name.
#[tokio::test]
async fn what_no_request_causes_is_named_by_its_call() {
    let world = World::publishing(&[]).await;
    world.sign_in(PHONE).await;
    world.fault("dynamodb", "error", 1_000).await;
    world.fault("secretsmanager", "error", 1_000).await;
    let notice = include_str!("../../events/notify/delivered-before.json");
    let change = include_str!("../../events/publish/new-user.json");
    let step = json!({"Step": "testSecret", "SecretId": "CodeKeySecret", "ClientRequestToken": "1"});
    let calls = [
        ("DueFunction", json!({})),
        ("NotifyFunction", serde_json::from_str(notice).unwrap()),
        ("PublishFunction", serde_json::from_str(change).unwrap()),
        ("RotateKeysFunction", step),
    ];
    for (function, event) in calls {
        let before = world.own_log().len();
        let _ = world.system.invoke(function, event).await;
        let lines = world.own_log().split_off(before);
        let ids: BTreeSet<&str> = lines.iter().map(|line| line["span"]["request_id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 1, "{function}: {lines:?}");
    }
}
