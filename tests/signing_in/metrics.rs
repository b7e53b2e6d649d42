//! The metrics as CloudWatch reads them: the outcomes of the gateways, and the codes that were accepted.

use serde_json::{Value, json};
use tests::{World, person, wrong};

use crate::gateways::{set_credentials, set_next_outcome};
use crate::setup::{phone, send};

/// A document in the embedded metric format that counts one, without its time.
pub fn counted(name: &str, dimensions: &[(&str, &str)]) -> Value {
    let mut document = json!({
        "_aws": {
            "Timestamp": null,
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

fn sms_attempt(gateway: &str, country: &str, outcome: &str) -> Value {
    counted("SmsAttempts", &[("Gateway", gateway), ("Country", country), ("Outcome", outcome)])
}

fn code_accepted(gateway: &str, country: &str) -> Value {
    counted("CodesAccepted", &[("Gateway", gateway), ("Country", country)])
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
    world.sign_in(&phone(1)).await;
    let metrics = world.metrics();
    for metric in &metrics {
        assert_eq!(metric["_aws"]["Timestamp"], json!(world.now() * 1_000));
    }
    assert_eq!(metrics.len(), 2);
}

#[tokio::test]
async fn each_outcome_is_counted_once_for_each_gateway_that_was_tried() {
    let world = world("*=twilio,sns").await;
    let outcomes = ["accepted", "number_refused", "blocked", "refused_us", "unavailable", "unknown"];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let before = world.metrics().len();
        set_next_outcome(&world, "twilio", outcome).await;
        world.keep_secret(&phone(n));
        send(&world, &phone(n)).send().await;
        let mut expected = vec![sms_attempt("twilio", "NP", outcome)];
        if !["accepted", "number_refused", "blocked"].contains(&outcome) {
            expected.push(sms_attempt("sns", "NP", "accepted"));
        }
        assert_eq!(undated(&world).split_off(before), expected);
    }
}

#[tokio::test]
async fn a_gateway_without_credentials_is_counted_for_each_message_and_logged_once() {
    let world = world("*=twilio,sparrow").await;
    set_credentials(&world, json!({"SPARROW_TOKEN": "local", "SPARROW_IDENTITY": "LATCHKEY"})).await;
    for n in 0..3 {
        world.send_code(&phone(n)).await;
    }
    let of_a_message = [sms_attempt("twilio", "NP", "no_credentials"), sms_attempt("sparrow", "NP", "accepted")];
    assert_eq!(undated(&world), [&of_a_message[..]; 3].concat());
    let log = world.own_log();
    let is_about_twilio = |line: &&Value| line["fields"]["gateway"] == json!("twilio");
    let [line] = log.iter().filter(is_about_twilio).collect::<Vec<_>>()[..] else { panic!("not one line: {log:?}") };
    let message = "the gateway has no credentials and gets no messages";
    assert_eq!((&line["level"], &line["fields"]["message"]), (&json!("WARN"), &json!(message)));
}

#[tokio::test]
async fn the_country_of_a_metric_is_that_of_the_number() {
    let world = World::with(&[("SMS_ROUTES", "*=sns"), ("ALLOWED_COUNTRIES", "*")]).await;
    let phone = "+919876543210";
    person(phone, &world.submit(phone, &world.send_code(phone).await.code).send().await);
    let expected = [sms_attempt("sns", "IN", "accepted"), code_accepted("sns", "IN")];
    assert_eq!(undated(&world), expected);
}

/// Submits the right code; returns the gateways for which its acceptance was counted.
async fn carriers_of_accepted(world: &World, phone: &str, code: &str) -> Vec<Value> {
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
    assert_eq!(carriers_of_accepted(&world, &phone(1), &first.code).await, ["twilio"]);
    // The gateway that is tried first does not carry these.
    for (n, outcome) in [(2, "refused_us"), (3, "unknown")] {
        set_next_outcome(&world, "twilio", outcome).await;
        let sent = world.send_code(&phone(n)).await;
        assert_eq!(carriers_of_accepted(&world, &phone(n), &sent.code).await, ["sns"], "{outcome}");
    }
}

#[tokio::test]
async fn a_resent_code_is_counted_for_the_gateway_that_carried_it_last() {
    let world = world("*=twilio,sns").await;
    // The second message is carried by another gateway than the first, in both orders.
    for (n, first, second, carrier) in [(1, "accepted", "unavailable", "sns"), (2, "unavailable", "accepted", "twilio")]
    {
        for outcome in [first, second] {
            set_next_outcome(&world, "twilio", outcome).await;
            world.send_code(&phone(n)).await;
            world.advance(30);
        }
        let code = world.code(&phone(n)).await;
        assert_eq!(carriers_of_accepted(&world, &phone(n), &code).await, [carrier], "{first}, then {second}");
    }
}

#[tokio::test]
async fn a_verified_phone_is_counted_like_a_sign_in() {
    let world = world("*=twilio,sparrow").await;
    let caller = world.sign_in_as(&phone(1), "asha").await;
    let before = world.metrics().len();
    set_next_outcome(&world, "twilio", "unavailable").await;
    let change = json!({"phone_number": phone(2), "change": true});
    world.post("/v1/phone/otp/send", change).as_person(&caller).send().await.ok();
    let code = world.code(&phone(2)).await;
    world.keep_secret(&phone(2));
    let proof = |code: &str| json!({"phone_number": phone(2), "otp": code, "username": "asha"});
    for (code, status) in [(wrong(&code), 400), (code.clone(), 200), (code, 403)] {
        assert_eq!(world.post("/v1/phone/otp/validate", proof(&code)).as_person(&caller).send().await.status, status);
    }
    let expected = [
        sms_attempt("twilio", "NP", "unavailable"),
        sms_attempt("sparrow", "NP", "accepted"),
        code_accepted("sparrow", "NP"),
    ];
    assert_eq!(undated(&world).split_off(before), expected);
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
    let expected = [sms_attempt("sparrow", "NP", "accepted"), code_accepted("sparrow", "NP")];
    assert_eq!(undated(&world), expected);
}

#[tokio::test]
async fn a_test_number_is_not_counted() {
    let world = World::new().await;
    world.create_test_number("acme", &phone(1), "135790", "2199-01-01").await;
    let by_acme = json!({"phone_number": phone(1), "organization_id": "acme", "otp": "135790"});
    for path in ["/v1/otp/send", "/v1/otp/submit"] {
        world.post(path, by_acme.clone()).send().await.ok();
    }
    assert_eq!(undated(&world), Vec::<Value>::new());
}

#[tokio::test]
async fn a_code_is_accepted_even_if_its_carrier_could_not_be_stored() {
    let world = world("*=twilio,sns").await;
    set_next_outcome(&world, "twilio", "unavailable").await;
    // The read of the send and its transaction succeed. The write of the carrier fails at every retry.
    world.fault("dynamodb", "duplicate", 2).await;
    world.fault("dynamodb", "error", 3).await;
    let sent = world.send_code(&phone(1)).await;
    assert_eq!(carriers_of_accepted(&world, &phone(1), &sent.code).await, ["twilio"]);
}
