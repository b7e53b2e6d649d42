//! Which gateway carries a message, and which one next when it does not.

use serde_json::{Value, json};
use tests::World;

const PHONE: &str = "+9779841000001";

/// Makes the next message at a gateway end as an outcome of that name.
async fn spoil(world: &World, gateway: &str, outcome: &str) {
    let number_refused = json!({"sparrow": "1007", "twilio": "21211"});
    let fault = match outcome {
        "accepted" => return,
        "number_refused" => json!({"target": gateway, "mode": "refuse", "times": 1, "code": number_refused[gateway]}),
        "refused_us" => json!({"target": gateway, "mode": "refuse", "times": 1}),
        _ => json!({"target": gateway, "mode": "error", "times": 1}),
    };
    let reply = world.post("/local/faults", fault).send().await;
    assert!(reply.status < 300, "{reply:?}");
}

#[tokio::test]
async fn each_outcome_of_the_first_gateway_meets_each_of_the_second_as_the_table_says() {
    let sent = |by: &'static str| (200, Some(by));
    for (first, second, expected) in [
        ("accepted", "accepted", sent("twilio")),
        ("accepted", "refused_us", sent("twilio")),
        ("accepted", "unavailable", sent("twilio")),
        ("refused_us", "accepted", sent("sparrow")),
        ("refused_us", "number_refused", (400, None)),
        ("refused_us", "refused_us", (503, None)),
        ("refused_us", "unavailable", (503, None)),
        ("unavailable", "accepted", sent("sparrow")),
        ("unavailable", "number_refused", (400, None)),
        ("unavailable", "refused_us", (503, None)),
        ("unavailable", "unavailable", (503, None)),
        // The number's own fault is never tried elsewhere.
        ("number_refused", "accepted", (400, None)),
        ("number_refused", "unavailable", (400, None)),
    ] {
        let world = World::with(&[("SMS_ROUTES", "977=twilio,sparrow;*=sns")]).await;
        spoil(&world, "twilio", first).await;
        spoil(&world, "sparrow", second).await;
        let reply = world.post("/v1/otp/send", json!({"phone_number": PHONE})).send().await;
        let inbox = world.inbox(PHONE).await;
        let carried: Vec<&str> = inbox.iter().filter_map(|message| message["gateway"].as_str()).collect();
        let expected_code = match expected.0 {
            200 => Value::Null,
            400 => json!("invalid_phone_number"),
            _ => json!("sms_gateway_unavailable"),
        };
        assert_eq!((reply.status, carried), (expected.0, Vec::from_iter(expected.1)), "{first}, then {second}");
        assert_eq!(reply.body["code"], expected_code, "{first}, then {second}");
    }
}

#[tokio::test]
async fn a_message_by_twilio_bears_our_sender_and_the_code_signs_in() {
    let world = World::with(&[("SMS_ROUTES", "*=twilio")]).await;
    let person = world.sign_in(PHONE).await;
    assert_eq!(person.phone, PHONE);
    let inbox = world.inbox(PHONE).await;
    assert_eq!(inbox.len(), 1);
    assert_eq!((&inbox[0]["gateway"], &inbox[0]["from"]), (&json!("twilio"), &json!("+15005550006")));
}

/// Sends a code to the `n`th phone; answers which gateway carried it.
async fn carrier(world: &World, n: u32) -> String {
    let phone = format!("+97798410001{n:02}");
    world.send_code(&phone).await;
    world.inbox(&phone).await[0]["gateway"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_gateway_that_keeps_failing_is_left_alone_for_a_minute_and_then_tried_again() {
    let world = World::with(&[("SMS_ROUTES", "*=twilio,sparrow")]).await;
    world.fault("twilio", "error", 3).await;
    for n in 0..3 {
        assert_eq!(carrier(&world, n).await, "sparrow");
    }
    // It would work again, but nobody asks it yet.
    assert_eq!(carrier(&world, 3).await, "sparrow");
    world.advance(60);
    assert_eq!(carrier(&world, 4).await, "twilio");
}

#[tokio::test]
async fn a_gateway_at_rest_is_still_tried_when_no_other_takes_the_message() {
    let world = World::with(&[("SMS_ROUTES", "*=twilio,sparrow")]).await;
    world.fault("twilio", "error", 3).await;
    for n in 0..3 {
        carrier(&world, n).await;
    }
    world.fault("sparrow", "error", 1).await;
    assert_eq!(carrier(&world, 3).await, "twilio");
}

#[tokio::test]
async fn an_operators_prefix_has_a_route_of_its_own() {
    let world = World::with(&[("SMS_ROUTES", "977=sparrow;977984100010=twilio;*=sns")]).await;
    assert_eq!(carrier(&world, 1).await, "twilio");
    assert_eq!(carrier(&world, 11).await, "sparrow");
}
