//! What is counted, as CloudWatch reads it: what gateways do, and whose codes come back.

use serde_json::{Value, json};
use tests::{World, person, wrong};

use crate::gateways::spoil;
use crate::setup::{phone, send, test_number};

/// A document in the embedded metric format that counts one.
pub fn counted(name: &str, dimensions: &[(&str, &str)], at: &Value) -> Value {
    let mut document = json!({
        "_aws": {
            "Timestamp": at,
            "CloudWatchMetrics": [{
                "Namespace": "Latchkey",
                "Dimensions": [dimensions.iter().map(|(name, _)| *name).collect::<Vec<_>>()],
                "Metrics": [{"Name": name, "Unit": "Count"}],
            }],
        },
    });
    document[name] = json!(1);
    for (name, value) in dimensions {
        document[name] = json!(value);
    }
    document
}

fn attempt(gateway: &str, country: &str, outcome: &str, at: &Value) -> Value {
    counted("SmsAttempts", &[("Gateway", gateway), ("Country", country), ("Outcome", outcome)], at)
}

fn accepted(gateway: &str, country: &str, at: &Value) -> Value {
    counted("CodesAccepted", &[("Gateway", gateway), ("Country", country)], at)
}

/// Metrics without their times.
pub fn undated(world: &World) -> Vec<Value> {
    let undate = |mut metric: Value| {
        metric["_aws"]["Timestamp"] = Value::Null;
        metric
    };
    world.metrics().into_iter().map(undate).collect()
}

async fn world(routes: &str) -> World {
    let variables = [("SMS_ROUTES", routes), ("GATEWAY_TIMEOUT_MILLISECONDS", "2000"), ("PUMPING_BUDGETS", "off")];
    World::with(&variables).await
}

#[tokio::test]
async fn a_metric_has_its_time_in_milliseconds() {
    let world = world("*=sparrow").await;
    world.advance(86_400);
    let before = world.now() * 1_000;
    world.sign_in(&phone(1)).await;
    let after = world.now() * 1_000;
    let metrics = world.metrics();
    for metric in &metrics {
        let at = metric["_aws"]["Timestamp"].as_i64().unwrap();
        assert!((before..=after).contains(&at), "{before} {at} {after}");
    }
    assert_eq!(metrics.len(), 2);
}

#[tokio::test]
async fn each_outcome_is_counted_once_for_each_gateway_that_was_tried() {
    let world = world("*=twilio,sns").await;
    for (n, outcome) in ["accepted", "number_refused", "refused_us", "unavailable", "unknown"].into_iter().enumerate() {
        let before = world.metrics().len();
        spoil(&world, "twilio", outcome).await;
        world.keep_secret(&phone(n));
        send(&world, &phone(n)).send().await;
        let mut wanted = vec![attempt("twilio", "NP", outcome, &Value::Null)];
        if !["accepted", "number_refused"].contains(&outcome) {
            wanted.push(attempt("sns", "NP", "accepted", &Value::Null));
        }
        assert_eq!(undated(&world).split_off(before), wanted);
    }
}

#[tokio::test]
async fn the_country_of_a_metric_is_that_of_the_number() {
    let world = World::with(&[("SMS_ROUTES", "*=sns"), ("ALLOWED_COUNTRIES", "*")]).await;
    let phone = "+919876543210";
    person(phone, &world.submit(phone, &world.send_code(phone).await.code).send().await);
    let wanted = [attempt("sns", "IN", "accepted", &Value::Null), accepted("sns", "IN", &Value::Null)];
    assert_eq!(undated(&world), wanted);
}

/// Submits a code that was just sent and gives the gateways to which its acceptance was counted.
async fn accepted_of(world: &World, phone: &str, code: &str) -> Vec<Value> {
    let before = world.metrics().len();
    person(phone, &world.submit(phone, code).send().await);
    let since = undated(world).split_off(before);
    assert!(since.iter().all(|metric| metric["CodesAccepted"] == json!(1)), "{since:?}");
    since.iter().map(|metric| metric["Gateway"].clone()).collect()
}

#[tokio::test]
async fn an_accepted_code_is_counted_for_the_gateway_that_carried_it() {
    let world = world("*=twilio,sns,sparrow").await;
    let first = world.send_code(&phone(1)).await;
    assert_eq!(accepted_of(&world, &phone(1), &first.code).await, ["twilio"]);
    // Another carried it than was to be tried first.
    for (n, outcome) in [(2, "refused_us"), (3, "unknown")] {
        spoil(&world, "twilio", outcome).await;
        let sent = world.send_code(&phone(n)).await;
        assert_eq!(accepted_of(&world, &phone(n), &sent.code).await, ["sns"], "{outcome}");
    }
}

#[tokio::test]
async fn a_resent_code_is_counted_for_the_gateway_that_carried_it_last() {
    let world = world("*=twilio,sns").await;
    // By another gateway than the first time, whichever of them is the first choice.
    for (n, first, second, carrier) in [(1, "accepted", "unavailable", "sns"), (2, "unavailable", "accepted", "twilio")]
    {
        for outcome in [first, second] {
            spoil(&world, "twilio", outcome).await;
            world.send_code(&phone(n)).await;
            world.advance(30);
        }
        let code = world.code(&phone(n)).await;
        assert_eq!(accepted_of(&world, &phone(n), &code).await, [carrier], "{first}, then {second}");
    }
}

#[tokio::test]
async fn a_verified_phone_is_counted_like_a_sign_in() {
    let world = world("*=twilio,sparrow").await;
    let caller = world.sign_in_as(&phone(1), "asha").await;
    let before = world.metrics().len();
    spoil(&world, "twilio", "unavailable").await;
    let change = json!({"phone_number": phone(2), "change": true});
    world.post("/v1/phone/otp/send", change).as_person(&caller).send().await.ok();
    let code = world.code(&phone(2)).await;
    world.keep_secret(&phone(2));
    let proof = |code: &str| json!({"phone_number": phone(2), "otp": code, "username": "asha"});
    for (code, status) in [(wrong(&code), 400), (code.clone(), 200), (code, 403)] {
        assert_eq!(world.post("/v1/phone/otp/validate", proof(&code)).as_person(&caller).send().await.status, status);
    }
    let wanted = [
        attempt("twilio", "NP", "unavailable", &Value::Null),
        attempt("sparrow", "NP", "accepted", &Value::Null),
        accepted("sparrow", "NP", &Value::Null),
    ];
    assert_eq!(undated(&world).split_off(before), wanted);
}

#[tokio::test]
async fn wrong_codes_and_retries_are_not_counted() {
    let world = world("*=sparrow").await;
    let sent = world.send_code(&phone(1)).await;
    world.submit(&phone(1), &wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
    for _ in 0..2 {
        world.submit(&phone(1), &sent.code).header("idempotency-key", "one-and-the-same").send().await.ok();
    }
    world.submit(&phone(1), &sent.code).send().await.assert_problem(400, "incorrect_otp");
    let wanted = [attempt("sparrow", "NP", "accepted", &Value::Null), accepted("sparrow", "NP", &Value::Null)];
    assert_eq!(undated(&world), wanted);
}

#[tokio::test]
async fn a_test_number_is_not_counted() {
    let world = World::new().await;
    test_number(&world, "acme", &phone(1), "135790", "2199-01-01").await;
    let by_acme = json!({"phone_number": phone(1), "organization_id": "acme", "otp": "135790"});
    for path in ["/v1/otp/send", "/v1/otp/submit"] {
        world.post(path, by_acme.clone()).send().await.ok();
    }
    assert_eq!(undated(&world), Vec::<Value>::new());
}

#[tokio::test]
async fn a_code_is_accepted_even_if_its_carrier_could_not_be_stored() {
    let world = world("*=twilio,sns").await;
    spoil(&world, "twilio", "unavailable").await;
    // The read of a send and its transaction pass; what notes the carrier fails, however often it is tried.
    world.fault("dynamodb", "duplicate", 2).await;
    world.fault("dynamodb", "error", 3).await;
    let sent = world.send_code(&phone(1)).await;
    assert_eq!(accepted_of(&world, &phone(1), &sent.code).await, ["twilio"]);
}
