//! What the console of `cargo local` is built of: calls with their requests to DynamoDB, the stream of events, and seeds.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use local::{Options, System};
use serde_json::{Value, json};
use tests::World;
use tokio::time::timeout;

use crate::wire::{call, client};

const PHONE: &str = "+9779841000001";
const OTHER_PHONE: &str = "+9779841000002";

type Stream = BoxBody<Bytes, String>;

async fn console() -> World {
    World::of(Options { console: true, ..Options::default() }).await
}

async fn calls(world: &World) -> Vec<Value> {
    world.call("GET", "/local/calls").send().await.ok()["calls"].as_array().unwrap().clone()
}

/// The stream of a system's events.
async fn listen(system: &System) -> Stream {
    let uri = format!("http://{}/local/stream", system.address());
    let request = http::Request::builder().uri(uri).body(Full::default()).unwrap();
    let response = client(1).request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().map_err(|error| error.to_string()).boxed()
}

/// The next event, as its name and its data.
async fn next(stream: &mut Stream) -> Option<(String, Value)> {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let frame = timeout(Duration::from_secs(60), stream.frame()).await.unwrap()?;
        text.push_str(&String::from_utf8_lossy(&frame.unwrap().into_data().unwrap()));
    }
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    Some((line("event: ").to_owned(), serde_json::from_str(line("data: ")).unwrap()))
}

#[tokio::test]
async fn a_call_is_listed_with_all_that_was_said_and_with_what_it_asked_of_dynamodb() {
    let world = console().await;
    world.system.reset_dynamodb_requests();
    world.send_code(PHONE).await;
    let requests = world.system.take_dynamodb_requests();
    world.post("/v1/otp/send?x=1", json!({})).send().await.assert_problem(400, "malformed_request");
    world.call("GET", "/v1/nothing").send().await;

    let calls = calls(&world).await;
    let [nothing, refused, sent] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((&nothing["status"], nothing.get("route")), (&json!(404), None));
    assert_eq!((&refused["path"], &refused["dynamodb"]), (&json!("/v1/otp/send?x=1"), &json!([])));
    assert_eq!((&sent["route"], &sent["status"]), (&json!("POST /v1/otp/send"), &json!(200)));
    assert_eq!(sent["request"]["headers"]["content-type"], "application/json");
    let said = |side: &str| serde_json::from_str::<Value>(sent[side]["body"].as_str().unwrap()).unwrap();
    assert_eq!(said("request")["phone_number"], PHONE);
    assert!(said("response")["challenge_id"].is_string());
    let asked: Vec<_> =
        sent["dynamodb"].as_array().unwrap().iter().map(|it| (&it["operation"], &it["reads"], &it["writes"])).collect();
    let made: Vec<_> =
        requests.iter().map(|it| (json!(it.operation), json!(it.units.reads), json!(it.units.writes))).collect();
    assert_eq!(asked, made.iter().map(|(operation, reads, writes)| (operation, reads, writes)).collect::<Vec<_>>());
    assert_eq!(sent["overlapped"], false);
}

#[tokio::test]
async fn the_requests_of_calls_at_once_belong_to_their_functions() {
    let world = console().await;
    let person = world.sign_in(PHONE).await;
    world.system.delay_dynamodb_answers(Duration::from_millis(100));
    let (_sent, me) = tokio::join!(
        world.post("/v1/otp/send", json!({"phone_number": OTHER_PHONE})).send(),
        world.call("GET", "/v1/me").as_person(&person).send(),
    );
    me.ok();
    let calls = calls(&world).await;
    for route in ["POST /v1/otp/send", "GET /v1/me"] {
        let call = calls.iter().find(|call| call["route"] == route).unwrap();
        assert_eq!(call["overlapped"], false, "{route}");
        let writes = call["dynamodb"].as_array().unwrap().iter().filter(|it| it["writes"] != json!(0.0)).count();
        assert_eq!(writes > 0, route == "POST /v1/otp/send", "{call}");
    }
}

#[tokio::test]
async fn the_last_two_hundred_calls_are_kept() {
    let world = console().await;
    for _ in 0..205 {
        world.call("GET", "/v1/nothing").send().await;
    }
    let calls = calls(&world).await;
    assert_eq!((calls.len(), &calls[0]["id"], &calls[199]["id"]), (200, &json!(205), &json!(6)));
}

#[tokio::test]
async fn without_the_console_no_call_is_kept() {
    let world = World::new().await;
    world.send_code(PHONE).await;
    assert_eq!(calls(&world).await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_stream_tells_of_a_message_a_call_the_clock_and_faults_and_ends_with_the_system() {
    let system = System::start(Options { console: true, ..Options::default() }).await.unwrap();
    let mut stream = listen(&system).await;
    let post = async |path: &str, body: Value| {
        call(&client(1), "POST", (system.address(), path), &[("content-type", "application/json")], body.to_string())
            .await
            .unwrap()
    };
    assert_eq!(post("/v1/otp/send", json!({"phone_number": PHONE})).await.status, 200);
    let (what, message) = next(&mut stream).await.unwrap();
    assert_eq!((&*what, &message["to"]), ("message", &json!(PHONE)));
    let (what, call) = next(&mut stream).await.unwrap();
    assert_eq!((&*what, &call["route"]), ("call", &json!("POST /v1/otp/send")));
    let told = post("/local/clock", json!({"advance_seconds": 60})).await.json();
    assert_eq!(next(&mut stream).await.unwrap(), ("clock".to_owned(), told));
    let fault = json!({"target": "sparrow", "mode": "slow", "times": 2});
    post("/local/faults", fault.clone()).await;
    assert_eq!(next(&mut stream).await.unwrap(), ("faults".to_owned(), json!({"faults": [fault]})));

    let mut other = listen(&system).await;
    timeout(Duration::from_secs(4), system.stop()).await.unwrap();
    assert_eq!((next(&mut stream).await, next(&mut other).await), (None, None));
}

#[tokio::test]
async fn a_seed_adds_users_and_settings_at_once_and_a_wrong_one_changes_nothing() {
    let world = console().await;
    let settings = world.call("GET", "/local/settings").send().await.ok();
    assert_eq!((&settings["country"], &settings["organizations"]), (&json!("NP"), &json!([])));
    let organization = json!({"id": settings["organization"], "app_name": "Acme",
        "test_numbers": [{"phone_number": PHONE, "code": "424242"}]});
    let seed = json!({"organizations": [organization], "users": [{"phone_number": OTHER_PHONE, "phone_proven_days_ago": 200}]});
    for (wrong, pointer) in [
        (json!({"users": [{"phone": OTHER_PHONE}]}), "#/users/0/phone"),
        (json!({"parameters": {"AppName": "Acme"}}), "#/parameters"),
        (json!({"organizations": [organization], "users": [{"phone_number": "12"}]}), "#/users/0/phone_number"),
        (json!([]), "#"),
    ] {
        let reply = world.post("/local/seed", wrong).send().await;
        reply.assert_problem(400, "malformed_request");
        assert!(reply.body["detail"].as_str().unwrap().starts_with(pointer), "{}", reply.body);
    }
    assert_eq!(world.call("GET", "/local/settings").send().await.ok(), settings);

    world.post("/v1/otp/send", json!({"phone_number": PHONE})).send().await;
    assert_eq!(world.inbox(PHONE).await.len(), 1);
    assert_eq!(world.post("/local/seed", seed).send().await.status, 204);
    world.advance(60);
    world.post("/v1/otp/send", json!({"phone_number": PHONE})).send().await;
    assert_eq!(world.inbox(PHONE).await.len(), 1, "a test number gets no message");
    world.submit(PHONE, "424242").send().await.ok();
    world.send_code(OTHER_PHONE).await;
    let code = world.code(OTHER_PHONE).await;
    world.submit(OTHER_PHONE, &code).send().await.assert_problem(403, "second_signal_required");
    let settings = world.call("GET", "/local/settings").send().await.ok();
    assert_eq!(settings["organizations"][0]["test_numbers"][0]["code"], "424242");
}

#[tokio::test]
async fn the_type_of_each_problem_is_a_page_of_the_documents() {
    let world = console().await;
    let reply = world.post("/v1/otp/send", json!({})).send().await;
    let kind = reply.body["type"].as_str().unwrap();
    let path = kind.strip_prefix(&format!("http://{}", world.system.address())).unwrap();
    assert_eq!(path, "/docs/problems/malformed_request/");
    let page = call(&client(1), "GET", (world.system.address(), path), &[], "").await.unwrap();
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn the_consoles_own_requests_meet_no_fault_and_use_none_up() {
    let world = console().await;
    let fault = json!({"target": "dynamodb", "mode": "error", "times": 3});
    world.post("/local/faults", fault.clone()).send().await;
    world.call("GET", "/local/settings").send().await.ok();
    let seed = json!({"users": [{"phone_number": PHONE}]});
    assert_eq!(world.post("/local/seed", seed).send().await.status, 204);
    assert_eq!(world.call("GET", "/local/faults").send().await.ok(), json!({"faults": [fault]}));
}

#[tokio::test]
async fn a_seed_of_many_users_is_taken_and_one_that_is_too_large_is_refused_in_words() {
    let world = console().await;
    let users = |count: usize| json!({"users": (0..count).map(|n| json!({"phone_number": format!("+97798{n:08}"), "name": "Sita"})).collect::<Vec<_>>()});
    assert_eq!(world.post("/local/seed", users(500)).send().await.status, 204);
    let reply = world.post("/local/seed", users(30_000)).send().await;
    assert_eq!((reply.status, reply.body["code"].as_str()), (413, Some("unread_body")));
}
