//! How many requests, to DynamoDB one after another and to Secrets Manager, each route needs in a warm function.

use domain::rules::signing_keys::MADE_BEFORE_USE_SECONDS;
use local::{Aim, Mode, Outgoing, Target};
use serde_json::{Value, json};
use tests::google::{Google, Key, claims, header};
use tests::tap::DynamodbRequest;
use tests::{Person, World, person};

use crate::sample;

const PHONE: &str = "+9779841000001";
/// Longer than the wait before a phone's second code, and shorter than the minute for which a warm function caches.
const WAIT_SECONDS: u64 = 31;

async fn invoke(world: &World, function: &str, event: Value) -> Value {
    world.system.invoke(function, event).await.unwrap()
}

/// Calls a function with the authorizer's context of this person, and asserts that the status is 200.
async fn invoke_as(world: &World, person: &Person, function: &str, route: &str, body: Option<Value>) -> Value {
    let answer = invoke(world, function, sample::authorized(route, person, body)).await;
    assert_eq!(answer["statusCode"], json!(200), "{answer}");
    answer
}

/// The requests to Secrets Manager since the last aim, sorted.
fn requests_for_secrets(world: &World) -> Vec<String> {
    let outgoing = world.system.outgoing().into_iter().filter(|request| request.target == Target::SecretsManager);
    let mut requests: Vec<_> = outgoing.map(|request| request.what).collect();
    requests.sort();
    requests
}

#[tokio::test]
async fn a_start_reads_each_functions_secrets_in_one_request_and_the_first_events_read_none() {
    let world = World::new().await;
    // Before that a new key does not sign, so the previous one is read too.
    world.advance(u64::from(MADE_BEFORE_USE_SECONDS));
    world.system.cool();
    world.system.aim(None);
    world.system.warm().await;
    let of_starts = [
        "BatchGetSecretValue CodeKeySecret GatewaySecret",
        "BatchGetSecretValue CodeKeySecret SigningKeySecret",
        "GetSecretValue CodeKeySecret AWSCURRENT",
        "GetSecretValue SigningKeySecret AWSCURRENT",
    ];
    assert_eq!(requests_for_secrets(&world), of_starts);
    world.system.aim(None);
    world.sign_in(PHONE).await;
    assert_eq!(requests_for_secrets(&world), [""; 0]);
}

#[tokio::test]
async fn the_starts_of_all_functions_read_the_settings_that_first_events_need_and_nothing_else() {
    let world = World::new().await;
    let (requests, ()) = world
        .requests(async {
            world.system.cool();
            world.system.warm().await;
        })
        .await;
    let read = |request: &DynamodbRequest| {
        let batch = request.body.pointer("/RequestItems/SettingsTable/Keys").and_then(Value::as_array);
        let keys: Vec<_> = match batch {
            Some(keys) => keys.iter().map(|key| key["pk"]["S"].as_str().unwrap()).collect(),
            None => vec![request.body["Key"]["pk"]["S"].as_str().unwrap()],
        };
        format!("{} {}", request.operation, keys.join(", "))
    };
    let mut read: Vec<_> = requests.iter().map(read).collect();
    read.sort();
    // Organizations for send-otp, submit-otp, validate-otp and session; keys for session, account, authorizer and jwks.
    let mut wanted = vec!["BatchGetItem organization#default, blocked"];
    wanted.extend(["GetItem keys"; 4]);
    wanted.extend(["GetItem organization#default"; 3]);
    assert_eq!(read, wanted);
}

#[tokio::test]
async fn the_first_events_read_the_secrets_that_a_start_could_not_read() {
    let world = World::new().await;
    let batch = |secrets: &str| Outgoing {
        target: Target::SecretsManager,
        what: format!("BatchGetSecretValue {secrets}"),
        nth: 1,
    };
    world.advance(u64::from(MADE_BEFORE_USE_SECONDS));
    // The start itself reads the signing key alone if the batch fails.
    let cases: [(&str, &[&str]); 2] = [
        ("CodeKeySecret GatewaySecret", &["CodeKeySecret", "GatewaySecret"]),
        ("CodeKeySecret SigningKeySecret", &["CodeKeySecret"]),
    ];
    for (secrets, of_first_events) in cases {
        world.system.cool();
        let aim = Aim { at: batch(secrets), mode: Mode::Refuse, code: Some("AccessDeniedException"), lasts: true };
        world.system.aim(Some(aim));
        world.system.warm().await;
        world.system.aim(None);
        world.sign_in(PHONE).await;
        let wanted: Vec<_> =
            of_first_events.iter().map(|secret| format!("GetSecretValue {secret} AWSCURRENT")).collect();
        assert_eq!(requests_for_secrets(&world), wanted, "{secrets}");
        world.advance(WAIT_SECONDS);
    }
}

#[tokio::test]
async fn a_request_that_is_refused_by_its_form_asks_nothing_of_any_service() {
    let world = World::new().await;
    let person = world.sign_in_as(PHONE, "asha").await;
    world.system.aim(None);
    for (path, body) in [
        ("/v1/otp/send", "{"),
        ("/v1/otp/send", "{}"),
        ("/v1/otp/send", r#"{"phone_number": 9841000001}"#),
        ("/v1/otp/send", r#"{"phone_number": "a number"}"#),
        ("/v1/otp/submit", r#"{"phone_number": "9841000001"}"#),
        ("/v1/otp/submit", r#"{"phone_number": "9841000001", "otp": "12345"}"#),
        ("/v1/session/refresh", "{}"),
        ("/v1/session/refresh", r#"{"refresh_token": "none"}"#),
    ] {
        let reply = world.call("POST", path).bytes("application/json", body.into()).send().await;
        assert!([400, 401].contains(&reply.status), "{path} {body}: {reply:?}");
    }
    for (function, route) in [
        ("SendOtpFunction", "POST /v1/phone/otp/send"),
        ("ValidateOtpFunction", "POST /v1/phone/otp/validate"),
        ("AccountFunction", "PATCH /v1/me"),
        ("AccountFunction", "PUT /v1/me/fcm-token"),
        ("AccountFunction", "POST /v1/me/sign-in-approval"),
    ] {
        let answer = invoke(&world, function, sample::authorized(route, &person, Some(json!({"name": 1})))).await;
        assert_eq!(answer["statusCode"], json!(400), "{route}: {answer}");
    }
    let outgoing = world.system.outgoing();
    assert!(outgoing.is_empty(), "{outgoing:?}");
}

#[tokio::test]
async fn a_send_takes_two_requests_in_a_row() {
    let world = World::new().await;
    let (in_a_row, _) = world.requests_in_a_row(world.send_code(PHONE)).await;
    assert_eq!(in_a_row, 2, "the first send");
    world.advance(WAIT_SECONDS);
    let (in_a_row, _) = world.requests_in_a_row(world.send_code(PHONE)).await;
    assert_eq!(in_a_row, 2, "a resend of the same code");
}

#[tokio::test]
async fn a_send_past_a_gateway_without_credentials_takes_no_further_request() {
    let world = World::new().await;
    let empty = json!({"SecretId": "GatewaySecret", "SecretString": "{}"});
    world.secrets_manager("PutSecretValue", empty).await;
    world.system.cool();
    world.system.warm().await;
    let (in_a_row, _) = world.requests_in_a_row(world.send_code(PHONE)).await;
    assert_eq!(in_a_row, 2);
}

#[tokio::test]
async fn unprocessed_keys_of_a_batch_are_requested_again_and_no_message_goes_out_without_the_counters() {
    let world = World::new().await;
    world.send_code("+9779841000002").await;
    world.system.halve_dynamodb_batches(3);
    let (requests, _) = world.requests(world.send_code(PHONE)).await;
    let batches: Vec<usize> = requests
        .iter()
        .filter_map(|request| Some(request.body["RequestItems"]["OtpsTable"]["Keys"].as_array()?.len()))
        .collect();
    assert_eq!(
        batches,
        [19, 10, 5, 3],
        "schedule, challenge, eight counters of sends, eight of sign-ins, the source's"
    );
    world.advance(WAIT_SECONDS);
    world.system.halve_dynamodb_batches(usize::MAX);
    let reply = world.post("/v1/otp/send", json!({"phone_number": PHONE})).send().await;
    reply.assert_problem(503, "service_unavailable");
    assert_eq!(world.inbox(PHONE).await.len(), 1);
}

#[tokio::test]
async fn a_send_by_the_second_gateway_takes_one_more_request_and_the_next_send_does_not() {
    let world = World::new().await;
    world.fault("sparrow", "error", 1).await;
    let (in_a_row, _) = world.requests_in_a_row(world.send_code(PHONE)).await;
    assert_eq!(in_a_row, 3, "by the second gateway");
    world.advance(WAIT_SECONDS);
    let (in_a_row, _) = world.requests_in_a_row(world.send_code(PHONE)).await;
    assert_eq!(in_a_row, 2, "the same code, by the first gateway again");
}

#[tokio::test]
async fn a_send_to_verify_a_phone_takes_two_requests_in_a_row() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let body = json!({"phone_number": "+9779841000002", "change": true});
    let send = invoke_as(&world, &person, "SendOtpFunction", "POST /v1/phone/otp/send", Some(body));
    assert_eq!(world.requests_in_a_row(send).await.0, 2);
}

#[tokio::test]
async fn a_submit_takes_two_requests_in_a_row_for_a_new_user_and_for_a_known_user() {
    let world = World::new().await;
    for is_new in [true, false] {
        let sent = world.send_code(PHONE).await;
        let (in_a_row, reply) = world.requests_in_a_row(world.submit(PHONE, &sent.code).send()).await;
        person(PHONE, &reply);
        assert_eq!((in_a_row, &reply.body["is_new_user"]), (2, &json!(is_new)));
        world.advance(WAIT_SECONDS);
    }
}

#[tokio::test]
async fn a_firebase_token_takes_two_requests_in_a_row_also_when_it_is_repeated() {
    let google = Google::serving("max-age=19204").await;
    let world = World::with(&google.variables()).await;
    let token = Key::of_google().sign(&header(), &claims(&world, PHONE));
    for _ in 0..2 {
        let submit = world.post("/v1/otp/submit", json!({"firebase_id_token": token}));
        let submit = submit.header("idempotency-key", "one-and-the-same");
        let (in_a_row, reply) = world.requests_in_a_row(submit.send()).await;
        assert_eq!((in_a_row, reply.status), (2, 200));
    }
}

#[tokio::test]
async fn a_validation_takes_two_requests_in_a_row() {
    let world = World::new().await;
    let person = world.sign_in_as(PHONE, "asha").await;
    let new = "+9779841000002";
    let send = json!({"phone_number": new, "change": true});
    invoke_as(&world, &person, "SendOtpFunction", "POST /v1/phone/otp/send", Some(send)).await;
    let body = json!({"phone_number": new, "otp": world.code(new).await, "username": "asha"});
    let validate = invoke_as(&world, &person, "ValidateOtpFunction", "POST /v1/phone/otp/validate", Some(body));
    assert_eq!(world.requests_in_a_row(validate).await.0, 2);
}

#[tokio::test]
async fn a_refresh_takes_one_request_in_a_row() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let refresh = world.post("/v1/session/refresh", json!({"refresh_token": person.refresh}));
    let (in_a_row, reply) = world.requests_in_a_row(refresh.send()).await;
    assert_eq!((in_a_row, reply.status), (1, 200));
}

#[tokio::test]
async fn reading_the_callers_account_takes_one_request_and_its_authorizer_another() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let (in_a_row, _) =
        world.requests_in_a_row(invoke_as(&world, &person, "AccountFunction", "GET /v1/me", None)).await;
    assert_eq!(in_a_row, 1, "the function alone");
    let (in_a_row, reply) = world.requests_in_a_row(world.call("GET", "/v1/me").as_person(&person).send()).await;
    assert_eq!((in_a_row, reply.status), (2, 200), "behind its authorizer");
}

#[tokio::test]
async fn the_authorizer_takes_one_request_and_none_for_an_invalid_signature() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let (signed, signature) = person.access.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for (token, wanted, refusal) in [(&person.access, 1, Value::Null), (&forged, 0, json!("token_invalid"))] {
        let event = sample::authorization(token);
        let (in_a_row, verdict) = world.requests_in_a_row(invoke(&world, "AuthorizerFunction", event)).await;
        assert_eq!((in_a_row, &verdict["context"]["refusal"]), (wanted, &refusal), "{verdict}");
    }
}
