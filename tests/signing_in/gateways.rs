//! Which gateway carries a message, and which one is tried next if it fails.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, State};
use axum::http::Method;
use axum::routing::post;
use local::Target;
use serde_json::{Value, json};
use tests::{World, assert_refused};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::setup::{phone, send};

const PHONE: &str = "+9779841000001";
/// Twilio's errors for messages that it blocked as fraud (<https://www.twilio.com/docs/api/errors/30450>).
const FRAUD_BLOCKS: [u32; 3] = [30450, 30453, 60410];

/// Gives the next message at a gateway the outcome of this name.
pub async fn set_next_outcome(world: &World, gateway: &str, outcome: &str) {
    let number_refused = json!({"sparrow": "1007", "sns": "InvalidParameter", "twilio": "21211"});
    let mut fault = json!({"target": gateway, "times": 1});
    fault["mode"] = match outcome {
        "accepted" => return,
        "number_refused" | "blocked" | "refused_us" => json!("refuse"),
        "unavailable" => json!("error"),
        "unknown" => json!("timeout"),
        _ => panic!("no outcome {outcome}"),
    };
    match outcome {
        "number_refused" => fault["code"] = number_refused[gateway].clone(),
        "blocked" => fault["code"] = json!(FRAUD_BLOCKS[0]),
        _ => {}
    }
    world.add_fault(fault).await;
}

/// The gateways of the messages that the phone got, oldest first.
async fn carriers(world: &World) -> Vec<String> {
    let inbox = world.inbox(PHONE).await;
    inbox.iter().rev().map(|message| message["gateway"].as_str().unwrap().to_owned()).collect()
}

/// Status and code of an answer, and whether the send counts.
type Answer = ((u16, &'static str), bool);

const SENT: Answer = ((200, ""), true);
const NUMBER_REFUSED: Answer = ((400, "invalid_phone_number"), true);
const BLOCKED: Answer = ((503, "sms_gateway_unavailable"), true);
const NO_GATEWAY: Answer = ((503, "sms_gateway_unavailable"), false);

/// The outcome at the first gateway, the outcome at the second one if it is tried, the answer, and the carriers.
/// A gateway that does not answer in time carries the message nevertheless.
type Row = (&'static str, &'static str, Answer, &'static [&'static str]);

const ROWS: [Row; 30] = [
    ("accepted", "accepted", SENT, &["twilio"]),
    ("accepted", "number_refused", SENT, &["twilio"]),
    ("accepted", "refused_us", SENT, &["twilio"]),
    ("accepted", "unavailable", SENT, &["twilio"]),
    ("accepted", "unknown", SENT, &["twilio"]),
    // A number that one gateway refuses is not tried at another.
    ("number_refused", "accepted", NUMBER_REFUSED, &[]),
    ("number_refused", "number_refused", NUMBER_REFUSED, &[]),
    ("number_refused", "refused_us", NUMBER_REFUSED, &[]),
    ("number_refused", "unavailable", NUMBER_REFUSED, &[]),
    ("number_refused", "unknown", NUMBER_REFUSED, &[]),
    // Another gateway would carry the fraud.
    ("blocked", "accepted", BLOCKED, &[]),
    ("blocked", "number_refused", BLOCKED, &[]),
    ("blocked", "refused_us", BLOCKED, &[]),
    ("blocked", "unavailable", BLOCKED, &[]),
    ("blocked", "unknown", BLOCKED, &[]),
    ("refused_us", "accepted", SENT, &["sparrow"]),
    ("refused_us", "number_refused", NUMBER_REFUSED, &[]),
    ("refused_us", "refused_us", NO_GATEWAY, &[]),
    ("refused_us", "unavailable", NO_GATEWAY, &[]),
    ("refused_us", "unknown", NO_GATEWAY, &["sparrow"]),
    ("unavailable", "accepted", SENT, &["sparrow"]),
    ("unavailable", "number_refused", NUMBER_REFUSED, &[]),
    ("unavailable", "refused_us", NO_GATEWAY, &[]),
    ("unavailable", "unavailable", NO_GATEWAY, &[]),
    ("unavailable", "unknown", NO_GATEWAY, &["sparrow"]),
    ("unknown", "accepted", SENT, &["twilio", "sparrow"]),
    ("unknown", "number_refused", NUMBER_REFUSED, &["twilio"]),
    ("unknown", "refused_us", NO_GATEWAY, &["twilio"]),
    ("unknown", "unavailable", NO_GATEWAY, &["twilio"]),
    ("unknown", "unknown", NO_GATEWAY, &["twilio", "sparrow"]),
];

async fn assert_row(row: Row, world: World) {
    let (first, second, (answer, counts), carried_by) = row;
    world.keep_secret(PHONE);
    set_next_outcome(&world, "twilio", first).await;
    set_next_outcome(&world, "sparrow", second).await;
    let reply = send(&world, PHONE).send().await;
    assert_eq!(reply.problem(), answer, "{row:?}");
    assert_eq!(carriers(&world).await, carried_by, "{row:?}");

    // The reservation of a message that no gateway accepted is returned at once. Any other counts.
    world.clear_faults().await;
    let again = send(&world, PHONE).send().await;
    assert_eq!(again.problem(), if counts { (429, "too_many_requests") } else { SENT.0 }, "{row:?}");
    // Each message of a challenge has the same code.
    let inbox = world.inbox(PHONE).await;
    assert_eq!(inbox.len(), carried_by.len() + usize::from(!counts), "{row:?}");
    assert!(inbox.iter().all(|message| message["text"] == inbox[0]["text"]), "{row:?}");
    if reply.status == 200 {
        let code = world.code(PHONE).await;
        assert_eq!(world.submit(PHONE, &code).send().await.status, 200, "{row:?}");
    }
}

/// A system with a timeout that is long enough for every gateway that answers, even on a busy machine.
async fn world_with_timeout(milliseconds: &str, routes: &str) -> World {
    World::with(&[("SMS_ROUTES", routes), ("GATEWAY_TIMEOUT_MILLISECONDS", milliseconds)]).await
}

#[tokio::test]
async fn every_pair_of_gateway_outcomes_has_the_result_in_the_table() {
    let mut worlds = Vec::new();
    for _ in ROWS {
        worlds.push(world_with_timeout("2000", "977=twilio,sparrow;*=sns").await);
    }
    let mut rows = JoinSet::new();
    for (row, world) in ROWS.into_iter().zip(worlds) {
        rows.spawn(assert_row(row, world));
    }
    rows.join_all().await;
}

/// A fault at the only gateway, the answer, and how many messages the phone gets.
const FAULTS: [(&str, Answer, usize); 5] = [
    ("refuse", NO_GATEWAY, 0),
    // The AWS client must not retry, because a second request may send a second message.
    ("error", NO_GATEWAY, 0),
    ("timeout", NO_GATEWAY, 1),
    ("slow", SENT, 1),
    ("duplicate", SENT, 2),
];

#[tokio::test]
async fn every_fault_at_the_only_gateway_has_the_result_in_the_table() {
    let mut calls = JoinSet::new();
    for gateway in ["sparrow", "sns", "twilio"] {
        for (mode, (answer, _), messages) in FAULTS {
            let world = world_with_timeout("4000", &format!("*={gateway}")).await;
            world.fault(gateway, mode, 1).await;
            calls.spawn(async move {
                let reply = send(&world, PHONE).send().await;
                assert_eq!(reply.problem(), answer, "{gateway} {mode}");
                assert_eq!(carriers(&world).await, vec![gateway; messages], "{gateway} {mode}");
            });
        }
    }
    calls.join_all().await;
}

type Fields = BTreeMap<String, String>;

async fn publish(State(forms): State<Arc<Mutex<Vec<Fields>>>>, Form(form): Form<Fields>) -> String {
    forms.lock().unwrap().push(form);
    let body = "<PublishResult><MessageId>94f20ce6</MessageId></PublishResult>";
    format!(r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{body}</PublishResponse>"#)
}

/// The address of an SNS that records what it is asked to publish, and its record.
async fn recording_sns() -> (String, Arc<Mutex<Vec<Fields>>>) {
    let forms = Arc::default();
    let router = Router::new().route("/", post(publish)).with_state(Arc::clone(&forms));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, forms)
}

/// The message attributes of a form: type and value by name.
fn attributes(form: &Fields) -> Value {
    let names = form.iter().filter_map(|(key, name)| Some((key.strip_suffix(".Name")?, name)));
    let of = |entry: &str, member: &str| form[&format!("{entry}.Value.{member}")].clone();
    names.map(|(entry, name)| (name.clone(), json!([of(entry, "DataType"), of(entry, "StringValue")]))).collect()
}

#[tokio::test]
async fn sns_gets_the_configured_attributes_and_those_of_india_only_for_india() {
    let (endpoint, forms) = recording_sns().await;
    let world = World::with(&[
        ("AWS_ENDPOINT_URL_SNS", &endpoint),
        ("SMS_ROUTES", "*=sns"),
        ("ALLOWED_COUNTRIES", "NP,IN"),
        ("SNS_SENDER_ID", "Latchkey"),
        ("SNS_MAX_PRICE", "0.10"),
        ("SNS_ORIGINATION_NUMBER", "+15550100999"),
        ("SNS_INDIA_ENTITY_ID", "1001000000000000001"),
        ("SNS_INDIA_TEMPLATE_ID", "1007000000000000002"),
    ])
    .await;
    let everywhere = json!({
        "AWS.SNS.SMS.SMSType": ["String", "Transactional"],
        "AWS.SNS.SMS.SenderID": ["String", "Latchkey"],
        "AWS.SNS.SMS.MaxPrice": ["Number", "0.10"],
        "AWS.MM.SMS.OriginationNumber": ["String", "+15550100999"],
    });
    let mut in_india = everywhere.clone();
    in_india["AWS.MM.SMS.EntityId"] = json!(["String", "1001000000000000001"]);
    in_india["AWS.MM.SMS.TemplateId"] = json!(["String", "1007000000000000002"]);
    for (number, expected) in [(PHONE, everywhere), ("+919876543210", in_india)] {
        world.keep_secret(number);
        send(&world, number).send().await.ok();
        let [form] = &std::mem::take(&mut *forms.lock().unwrap())[..] else { panic!("not one message to {number}") };
        assert_eq!(attributes(form), expected);
        assert_eq!((form["Action"].as_str(), form["PhoneNumber"].as_str()), ("Publish", number));
        assert!(form["Message"].ends_with(" is your Latchkey code."));
    }
}

#[tokio::test]
async fn sns_gets_no_attribute_that_is_not_configured() {
    let (endpoint, forms) = recording_sns().await;
    let world = World::with(&[("AWS_ENDPOINT_URL_SNS", &endpoint), ("SMS_ROUTES", "*=sns")]).await;
    send(&world, PHONE).send().await.ok();
    assert_eq!(attributes(&forms.lock().unwrap()[0]), json!({"AWS.SNS.SMS.SMSType": ["String", "Transactional"]}));
}

#[tokio::test]
async fn the_local_sns_accepts_every_configured_attribute() {
    let world = World::with(&[
        ("SMS_ROUTES", "*=sns"),
        ("ALLOWED_COUNTRIES", "IN"),
        ("SNS_MAX_PRICE", "0.10"),
        ("SNS_ORIGINATION_NUMBER", "55501"),
        ("SNS_INDIA_ENTITY_ID", "1001000000000000001"),
        ("SNS_INDIA_TEMPLATE_ID", "1007000000000000002"),
    ])
    .await;
    send(&world, "+919876543210").send().await.ok();
    assert_eq!(world.inbox("+919876543210").await[0]["from"], json!("55501"));
}

/// The address of a gateway that reads the request and closes the connection.
async fn closing_gateway() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 16_384]).await;
        }
    });
    address
}

#[tokio::test]
async fn a_broken_connection_is_an_unknown_outcome_and_a_refused_one_is_unavailable() {
    // Nothing listens on the port of tcpmux.
    let (broken, closed) = (closing_gateway().await, "http://127.0.0.1:1".to_owned());
    for (gateway, variable) in
        [("sparrow", "SPARROW_BASE_URL"), ("sns", "AWS_ENDPOINT_URL_SNS"), ("twilio", "TWILIO_BASE_URL")]
    {
        for (address, outcome) in [(&broken, "unknown"), (&closed, "unavailable")] {
            let world = World::with(&[("SMS_ROUTES", &format!("*={gateway}")), (variable, address)]).await;
            assert_eq!(send(&world, PHONE).send().await.problem(), NO_GATEWAY.0, "{gateway}");
            let [metric] = &world.metrics()[..] else { panic!("not one attempt: {:?}", world.metrics()) };
            assert_eq!((&metric["Gateway"], &metric["Outcome"]), (&json!(gateway), &json!(outcome)), "{metric}");
        }
    }
}

#[tokio::test]
async fn an_accepted_message_is_logged_once_by_the_gateways_message_id() {
    let world = World::with(&[("SMS_ROUTES", "*=sns")]).await;
    world.send_code(&phone(1)).await;
    let id = world.inbox(&phone(1)).await[0]["id"].clone();
    let log = world.log();
    let is_of_message = |line: &&str| !line.contains(r#""level":"TRACE""#) && line.contains(id.as_str().unwrap());
    let lines: Vec<&str> = log.lines().filter(is_of_message).collect();
    let [line] = lines[..] else { panic!("not one line of {id}") };
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], json!("INFO"));
    let message = "the gateway accepted the message";
    assert_eq!(line["fields"], json!({"message": message, "gateway": "sns", "country": "NP", "message_id": id}));
}

#[tokio::test]
async fn a_message_by_twilio_has_the_configured_sender_and_its_code_signs_in() {
    let world = World::with(&[("SMS_ROUTES", "*=twilio")]).await;
    let person = world.sign_in(PHONE).await;
    assert_eq!(person.phone, PHONE);
    let inbox = world.inbox(PHONE).await;
    assert_eq!(inbox.len(), 1);
    assert_eq!((&inbox[0]["gateway"], &inbox[0]["from"]), (&json!("twilio"), &json!("+15005550006")));
}

/// Sends a code to the `n`th phone; returns the gateway that carried it.
async fn carrier(world: &World, n: u32) -> String {
    let phone = format!("+97798410001{n:02}");
    world.send_code(&phone).await;
    world.inbox(&phone).await[0]["gateway"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_gateway_that_keeps_failing_is_skipped_for_a_minute() {
    let world = World::with(&[("SMS_ROUTES", "*=twilio,sparrow")]).await;
    world.fault("twilio", "error", 3).await;
    for n in 0..3 {
        assert_eq!(carrier(&world, n).await, "sparrow");
    }
    // It works again, but it is not tried yet.
    assert_eq!(carrier(&world, 3).await, "sparrow");
    world.advance(60);
    assert_eq!(carrier(&world, 4).await, "twilio");
}

#[tokio::test]
async fn a_skipped_gateway_is_still_tried_when_no_other_accepts_the_message() {
    let world = World::with(&[("SMS_ROUTES", "*=twilio,sparrow")]).await;
    world.fault("twilio", "error", 3).await;
    for n in 0..3 {
        carrier(&world, n).await;
    }
    world.fault("sparrow", "error", 1).await;
    assert_eq!(carrier(&world, 3).await, "twilio");
}

#[tokio::test]
async fn the_prefix_of_an_operator_can_have_its_own_route() {
    let world = World::with(&[("SMS_ROUTES", "977=sparrow;977984100010=twilio;*=sns")]).await;
    assert_eq!(carrier(&world, 1).await, "twilio");
    assert_eq!(carrier(&world, 11).await, "sparrow");
}

/// The gateways that were called since the last aim, in order.
fn called(world: &World) -> Vec<Target> {
    let targets = world.system.outgoing().into_iter().map(|request| request.target);
    targets.filter(|target| [Target::Sparrow, Target::Sns, Target::Twilio].contains(target)).collect()
}

#[tokio::test]
async fn a_message_that_twilio_blocks_as_fraud_goes_out_by_no_other_gateway_and_counts() {
    for code in FRAUD_BLOCKS {
        let world = World::with(&[("SMS_ROUTES", "*=twilio,sns")]).await;
        world.keep_phone_secret(PHONE);
        world.add_fault(json!({"target": "twilio", "mode": "refuse", "code": code, "times": 1})).await;
        world.system.aim(None);
        let blocked = send(&world, PHONE).send().await;
        assert_eq!(called(&world), [Target::Twilio], "{code}: {blocked:?}");
        // The client learns when to send again, and not why.
        assert_refused(&blocked, "sms_gateway_unavailable", json!({"retry_after": 30}));
        world.advance(25);
        send(&world, PHONE).send().await.assert_problem(429, "too_many_requests");
        world.advance(5);
        world.sign_in(PHONE).await;
        assert_eq!(carriers(&world).await, ["twilio"], "{code}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_reached_after_another_failed_may_block_the_message_too() {
    let world = World::with(&[("SMS_ROUTES", "*=sns,twilio,sparrow")]).await;
    set_next_outcome(&world, "sns", "unavailable").await;
    set_next_outcome(&world, "twilio", "blocked").await;
    world.system.aim(None);
    let blocked = send(&world, PHONE).send().await;
    assert_refused(&blocked, "sms_gateway_unavailable", json!({"retry_after": 30}));
    assert_eq!(called(&world), [Target::Sns, Target::Twilio]);
    send(&world, PHONE).send().await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn blocked_messages_say_nothing_about_the_health_of_their_gateway() {
    let world = World::with(&[("SMS_ROUTES", "*=twilio,sns")]).await;
    for n in 0..3 {
        set_next_outcome(&world, "twilio", "blocked").await;
        send(&world, &phone(n)).send().await.assert_problem(503, "sms_gateway_unavailable");
    }
    assert_eq!(carrier(&world, 3).await, "twilio", "three blocked messages are not three failures");
    for (n, outcome) in (4..).zip(["unavailable", "unavailable", "blocked", "unavailable"]) {
        set_next_outcome(&world, "twilio", outcome).await;
        send(&world, &phone(n)).send().await;
    }
    assert_eq!(carrier(&world, 8).await, "sns", "a blocked message is no success between three failures");
}

/// The address of a gateway that accepts everything like Sparrow, and the method of each request to it.
async fn recording_gateway() -> (String, UnboundedReceiver<Method>) {
    let (requests, received) = unbounded_channel();
    let answer = async move |method: Method| {
        requests.send(method).unwrap();
        r#"{"count":1,"response_code":200,"response":"queued"}"#
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (address, received)
}

/// Replaces the secret with the gateways' credentials, and starts every function anew.
pub async fn set_credentials(world: &World, credentials: Value) {
    let secret = json!({"SecretId": "GatewaySecret", "SecretString": credentials.to_string()});
    world.secrets_manager("PutSecretValue", secret).await;
    world.system.cool();
    world.system.warm().await;
}

#[tokio::test]
async fn a_gateway_without_credentials_gets_neither_a_connection_nor_a_code() {
    let of_sparrow = json!({"SPARROW_TOKEN": "token", "SPARROW_IDENTITY": "LATCHKEY"});
    let of_twilio = json!({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "token", "TWILIO_FROM": "+15005550006"});
    for (gateway, variable, complete) in
        [("sparrow", "SPARROW_BASE_URL", of_sparrow), ("twilio", "TWILIO_BASE_URL", of_twilio)]
    {
        let (address, mut requests) = recording_gateway().await;
        let world = World::with(&[("SMS_ROUTES", &format!("*={gateway},sns")), (variable, &address)]).await;
        // With credentials, a start connects to it.
        assert_eq!(requests.recv().await, Some(Method::HEAD));
        let mut secrets = vec![json!({}), json!({"SPARROW_TOKEN": "", "SPARROW_IDENTITY": ""})];
        for member in complete.as_object().unwrap().keys() {
            secrets.push(tests::with(&complete, json!({member: null})));
            secrets.push(tests::with(&complete, json!({member: " "})));
        }
        for (n, secret) in secrets.into_iter().enumerate() {
            set_credentials(&world, secret.clone()).await;
            world.keep_phone_secret(&phone(n));
            send(&world, &phone(n)).send().await.ok();
            assert_eq!(requests.try_recv().ok(), None, "{gateway} with {secret}");
            assert_eq!(world.inbox(&phone(n)).await[0]["gateway"], json!("sns"), "{secret}");
        }
        set_credentials(&world, complete).await;
        assert_eq!(requests.recv().await, Some(Method::HEAD));
        world.keep_phone_secret(&phone(99));
        send(&world, &phone(99)).send().await.ok();
        assert_eq!(requests.recv().await, Some(Method::POST));
    }
}

#[tokio::test]
async fn a_send_whose_gateways_all_lack_credentials_calls_nobody_and_does_not_count() {
    let world = World::with(&[("SMS_ROUTES", "*=sparrow,twilio"), ("PHONE_SENDS_PER_DAY", "1")]).await;
    let filled = world.secrets_manager("GetSecretValue", json!({"SecretId": "GatewaySecret"})).await;
    set_credentials(&world, json!({"SPARROW_TOKEN": "", "SPARROW_IDENTITY": ""})).await;
    world.keep_phone_secret(PHONE);
    world.system.aim(None);
    let refused = send(&world, PHONE).send().await;
    assert!(called(&world).is_empty(), "{:?}", called(&world));
    assert_refused(&refused, "sms_gateway_unavailable", json!({"retry_after": 5}));
    // A new value of the secret is used within five minutes.
    let secret = json!({"SecretId": "GatewaySecret", "SecretString": filled["SecretString"]});
    world.secrets_manager("PutSecretValue", secret).await;
    world.advance(300);
    world.sign_in(PHONE).await;
    assert_eq!(carriers(&world).await, ["sparrow"]);
}
