//! What `cargo local` adds to the API: the inbox, faults, the clock, the page, throttles and emulated vendors. It
//! listens on loopback only.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use local::{Callers, Options, System};
use serde_json::{Value, json};
use tests::World;
use tests::google::Key;
use tokio::time::timeout;

use crate::wire::{call, client, post};
use crate::workspace::{Folder, text};

const PHONE: &str = "+9779841000001";
const OTHER_PHONE: &str = "+9779841000002";

async fn inbox(world: &World, query: &str) -> Vec<Value> {
    let reply = world.call("GET", &format!("/local/inbox{query}")).send().await;
    reply.ok()["messages"].as_array().unwrap().clone()
}

fn numbers(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["to"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_inbox_lists_all_messages_or_those_to_one_number_newest_first() {
    let world = World::new().await;
    assert_eq!(inbox(&world, "").await, Vec::<Value>::new());
    world.send_code(PHONE).await;
    world.advance(60);
    world.send_code(OTHER_PHONE).await;
    world.advance(60);
    world.send_code(PHONE).await;

    let all = inbox(&world, "").await;
    assert_eq!(numbers(&all), [PHONE, OTHER_PHONE, PHONE]);
    let times: Vec<_> = all.iter().map(|message| message["at"].as_i64().unwrap()).collect();
    assert_eq!(times, [world.now(), world.now() - 60, world.now() - 120]);
    assert_eq!(all.iter().map(|message| message["id"].as_str().unwrap()).collect::<BTreeSet<_>>().len(), 3);
    let members: BTreeSet<_> = all[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["at", "from", "gateway", "id", "text", "to"]));

    // A plus sign that is not encoded is decoded as a space. The number may have any form that a send takes.
    for to in [
        "%2B9779841000001",
        "+9779841000001",
        "9779841000001",
        "9841000001",
        "984-100%200001",
        "%E0%A5%AF%E0%A5%AE%E0%A5%AA%E0%A5%A7%E0%A5%A6%E0%A5%A6%E0%A5%A6%E0%A5%A6%E0%A5%A6%E0%A5%A7",
    ] {
        assert_eq!(numbers(&inbox(&world, &format!("?to={to}")).await), [PHONE, PHONE], "{to}");
    }
    assert_eq!(inbox(&world, "?to=%2B9779841000009").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_start_refuses_the_issuer_as_the_audience_of_access_tokens() {
    let overrides = ["ISSUER", "AUDIENCE"].map(|name| (name.to_owned(), "https://auth.example.com".to_owned()));
    let started = System::start(Options { overrides: overrides.into(), ..Options::default() }).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("AUDIENCE") && error.contains("ISSUER") && error.contains("refresh tokens"), "{error}");
}

#[tokio::test]
async fn every_fault_of_every_vendor_can_be_set_and_cleared() {
    let world = World::new().await;
    for target in ["sparrow", "sns", "twilio", "fcm", "dynamodb", "secretsmanager", "eventbridge"] {
        for mode in ["refuse", "error", "timeout", "slow", "duplicate"] {
            world.fault(target, mode, 100).await;
        }
    }
    world.clear_faults().await;
    world.sign_in(PHONE).await;
    let messages = inbox(&world, "").await;
    assert_eq!((messages.len(), &messages[0]["gateway"]), (1, &json!("sparrow")));
}

#[tokio::test]
async fn an_invalid_fault_is_refused_and_has_no_effect() {
    let world = World::new().await;
    let invalid = [
        json!({"target": "sparrow"}),
        json!({"mode": "refuse"}),
        json!({"target": "pigeon", "mode": "refuse"}),
        json!({"target": "sparrow", "mode": "explode"}),
        json!({"target": "sparrow", "mode": "refuse", "times": 0}),
        json!({"target": "sparrow", "mode": "refuse", "times": -1}),
        json!({"target": "sparrow", "mode": "refuse", "times": "once"}),
        json!([]),
    ];
    for body in invalid {
        world.post("/local/faults", body.clone()).send().await.assert_problem(400, "malformed_request");
    }
    let refusal = async |body: Value| {
        let reply = world.post("/local/faults", body).send().await;
        reply.body["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refusal(json!({"target": "pigeon", "mode": "refuse"})).await,
        "target: expected one of sparrow, sns, twilio, fcm, dynamodb, secretsmanager, eventbridge"
    );
    assert_eq!(
        refusal(json!({"target": "sparrow", "mode": "explode"})).await,
        "mode: expected one of refuse, error, timeout, slow, duplicate"
    );
    let truncated = world.call("POST", "/local/faults").bytes("application/json", b"{\"target\":".to_vec());
    truncated.send().await.assert_problem(400, "malformed_request");
    world.send_code(PHONE).await;
    assert_eq!(inbox(&world, "").await[0]["gateway"], json!("sparrow"));
}

#[tokio::test]
async fn a_gateway_refuses_or_fails_as_often_as_its_fault_says() {
    for mode in ["refuse", "error"] {
        let world = World::new().await;
        world.fault("sparrow", mode, 2).await;
        for phone in ["+9779841000003", "+9779841000002", "+9779841000001"] {
            world.send_code(phone).await;
        }
        let gateways: Vec<_> = inbox(&world, "").await.iter().map(|message| message["gateway"].clone()).collect();
        assert_eq!(gateways, [json!("sparrow"), json!("sns"), json!("sns")], "{mode}");
    }
}

#[tokio::test]
async fn the_local_google_issues_no_token_to_another_key_and_accepts_no_push_without_a_token() {
    let world = World::new().await;
    let google = |path: &'static str, headers: &'static [(&'static str, &'static str)], body: String| {
        let address = world.system.aws_address();
        async move { call(&client(1), "POST", (address, path), headers, body).await.unwrap() }
    };
    let secret = world.secrets_manager("GetSecretValue", json!({"SecretId": "PushSecret"})).await;
    let file: Value = serde_json::from_str(secret["SecretString"].as_str().unwrap()).unwrap();
    let claims = json!({
        "iss": file["client_email"], "aud": file["token_uri"], "iat": world.now(), "exp": world.now() + 600,
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
    });
    let assertion = Key::of_a_stranger().sign(&json!({"alg": "RS256", "typ": "JWT"}), &claims);
    let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
    let refused = google("/google/token", &[("content-type", "application/x-www-form-urlencoded")], form).await;
    assert_eq!((refused.status, refused.json()), (400, json!({"error": "invalid_grant"})));
    let push = json!({"message": {"token": "the:device", "data": {}}}).to_string();
    let headers: &[_] = &[("content-type", "application/json"), ("authorization", "Bearer ya29.none")];
    let refused = google("/google/v1/projects/latchkey-local/messages:send", headers, push).await;
    assert_eq!((refused.status, &refused.json()["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    let pushes = world.call("GET", "/local/pushes").send().await.ok();
    assert_eq!(pushes, json!({"pushes": []}));
}

#[tokio::test]
async fn the_local_sns_refuses_attributes_that_sns_would_refuse() {
    let world = World::new().await;
    let publish = async |name: &str, data_type: &str, value: &str| {
        let entry = "MessageAttributes.entry.1";
        let form = format!(
            "Action=Publish&PhoneNumber=%2B9779841000001&Message=Hello&{entry}.Name={name}\
             &{entry}.Value.DataType={data_type}&{entry}.Value.StringValue={value}"
        );
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = call(&client(1), "POST", (world.system.aws_address(), "/"), &headers, form).await.unwrap();
        (answer.status, answer.text.contains("<Code>InvalidParameter</Code>"))
    };
    for (name, data_type, valid, invalid) in [
        ("AWS.SNS.SMS.SMSType", "String", "Transactional", "Urgent"),
        ("AWS.SNS.SMS.SenderID", "String", "Latchkey", "12345"),
        ("AWS.SNS.SMS.MaxPrice", "Number", "0.10", "cheap"),
        ("AWS.MM.SMS.OriginationNumber", "String", "%2B15550100999", "1234"),
        ("AWS.MM.SMS.EntityId", "String", "1001000000000000001", ""),
        ("AWS.MM.SMS.TemplateId", "String", "1007000000000000002", ""),
    ] {
        assert_eq!(publish(name, data_type, valid).await, (200, false), "{name}");
        assert_eq!(publish(name, data_type, invalid).await, (400, true), "{name}={invalid}");
        assert_eq!(publish(name, "Binary", valid).await, (400, true), "{name} of another type");
    }
    assert_eq!(inbox(&world, "").await.len(), 6);
}

#[tokio::test]
async fn a_duplicate_delivers_one_message_twice() {
    let world = World::new().await;
    world.fault("sparrow", "duplicate", 1).await;
    world.send_code(PHONE).await;
    let messages = inbox(&world, "").await;
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["text"], messages[1]["text"]);
}

/// Writes a value that shows later whether the call took effect.
async fn put(world: &World, token: &str) -> Value {
    let request = json!({"SecretId": "GatewaySecret", "SecretString": token, "ClientRequestToken": token});
    world.secrets_manager("PutSecretValue", request).await
}

#[tokio::test]
async fn a_slow_call_and_a_call_that_times_out_still_take_effect() {
    let world = World::new().await;
    let current = async || {
        let request = json!({"SecretId": "GatewaySecret"});
        world.secrets_manager("GetSecretValue", request).await["SecretString"].clone()
    };
    let [slow, lost] = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"];
    world.fault("secretsmanager", "slow", 1).await;
    let began = Instant::now();
    put(&world, slow).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(current().await, json!(slow));

    world.fault("secretsmanager", "timeout", 1).await;
    assert!(timeout(Duration::from_secs(2), put(&world, lost)).await.is_err(), "a call that times out got an answer");
    assert_eq!(current().await, json!(lost));
}

#[tokio::test]
async fn moving_the_clock_forward_makes_a_code_expire() {
    let world = World::new().await;
    let sent = world.send_code(PHONE).await;
    let before = world.now();
    let reply = world.post("/local/clock", json!({"advance_seconds": 601})).send().await;
    assert_eq!(reply.ok(), json!({"now": before + 601}));
    assert_eq!(world.call("GET", "/local/clock").send().await.ok(), json!({"now": before + 601}));
    world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).send().await.assert_problem(400, "otp_expired");
}

#[tokio::test]
async fn time_passes_in_a_system_that_runs_by_itself() {
    let world = World::of(Options { runs_by_itself: true, ..Options::default() }).await;
    let before = world.now();
    let passes =
        async { while world.call("GET", "/local/clock").send().await.ok()["now"].as_i64().unwrap() <= before {} };
    timeout(Duration::from_secs(60), passes).await.unwrap();
}

#[tokio::test]
async fn the_clock_moves_neither_back_nor_years_ahead() {
    let world = World::new().await;
    let before = world.now();
    for seconds in [json!(-1), json!(1.5), json!("60"), json!(null), json!(400_000_000), json!(u64::MAX)] {
        let reply = world.post("/local/clock", json!({"advance_seconds": seconds})).send().await;
        reply.assert_problem(400, "malformed_request");
    }
    assert_eq!(world.now(), before);
}

#[tokio::test]
async fn the_pages_may_run_their_own_scripts_and_call_this_server_only() {
    let world = World::new().await;
    let client = client(1);
    let get = async |path: &'static str| call(&client, "GET", (world.system.address(), path), &[], "").await.unwrap();
    let pages = [
        ("/", "text/html; charset=utf-8"),
        ("/console/console.js", "text/javascript; charset=utf-8"),
        ("/docs/", "text/html; charset=utf-8"),
    ];
    for (path, media_type) in pages {
        let page = get(path).await;
        assert_eq!((page.status, &page.headers["content-type"].to_str().unwrap()), (200, &media_type), "{path}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    }
    assert_eq!(get("/docs").await.headers["location"], "/docs/");
    for nothing in ["/docs/nothing", "/console/nothing.js", "/docs/../../Cargo.toml", "/docs/%2e%2e/index.html"] {
        assert_eq!(get(nothing).await.status, 404, "{nothing}");
    }
}

#[tokio::test]
async fn a_route_that_does_not_exist_is_not_found() {
    let world = World::new().await;
    for (method, path) in [("GET", "/v1"), ("GET", "/v1/otp/send"), ("POST", "/v1/me/"), ("POST", "/v2/otp/send")] {
        let reply = world.call(method, path).send().await;
        assert_eq!((reply.status, reply.body), (404, json!({"message": "Not Found"})), "{method} {path}");
    }
    world.call("GET", "/local/nothing").send().await.assert_problem(404, "not_found");
    world.call("PUT", "/local/faults").send().await.assert_problem(405, "method_not_allowed");
    let elsewhere = call(&client(1), "GET", (world.system.aws_address(), "/nothing"), &[], "").await.unwrap();
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn a_route_is_throttled_as_the_template_says_and_other_routes_are_not() {
    let mut template = text("template.yaml");
    for (parameter, default, lower) in [("SendBurst", "5000", "2"), ("SendRate", "10000", "0.001")] {
        let declared = |value: &str| format!("{parameter}:\n    Type: Number\n    Default: {value}\n");
        assert!(template.contains(&declared(default)), "{parameter} has another default: change it in this test too");
        template = template.replace(&declared(default), &declared(lower));
    }
    let folder = Folder::new("throttled");
    let template = folder.write("template.yaml", template);
    let system = System::start(Options { template: Some(template), ..Options::default() }).await.unwrap();
    let send = async || post(&client(1), system.address(), "/v1/otp/send", &json!({})).await.unwrap();
    assert_eq!([send().await.status, send().await.status], [400, 400]);
    let throttled = send().await;
    assert_eq!((throttled.status, throttled.json()), (429, json!({"message": "Too Many Requests"})));
    let submit = post(&client(1), system.address(), "/v1/otp/submit", &json!({})).await.unwrap();
    assert_eq!(submit.status, 400);
}

#[tokio::test]
async fn a_thousand_malformed_sends_from_one_address_keep_nobody_from_a_code() {
    let world = World::new().await;
    for _ in 0..1_000 {
        world.post("/v1/otp/send", json!({})).from(2).send().await.assert_problem(400, "malformed_request");
    }
    world.send_code(PHONE).await;
}

/// What a web page could read or change at each port, by plain requests.
fn requests_of_a_page(system: &System) -> Vec<(&'static str, (SocketAddr, &'static str), &'static str)> {
    let (api, dynamodb, aws) = (system.address(), system.dynamodb_address(), system.aws_address());
    let sms = "Action=Publish&PhoneNumber=%2B9779841000002&Message=Hello";
    vec![
        ("GET", (api, "/local/inbox"), ""),
        ("POST", (api, "/local/clock"), r#"{"advance_seconds":86400}"#),
        ("POST", (api, "/local/faults"), r#"{"target":"sparrow","mode":"refuse"}"#),
        ("DELETE", (api, "/local/faults"), ""),
        ("OPTIONS", (api, "/local/clock"), ""),
        ("OPTIONS", (dynamodb, "/"), ""),
        ("POST", (dynamodb, "/"), "{}"),
        ("POST", (aws, "/"), sms),
    ]
}

/// Panics unless the clock shows this time, no gateway fails and the inbox has only the messages of this function.
async fn assert_unchanged(world: &World, before: i64) {
    assert_eq!(world.now(), before);
    world.send_code(PHONE).await;
    let messages = inbox(world, "").await;
    assert_eq!((numbers(&messages), &messages[0]["gateway"]), (vec![PHONE], &json!("sparrow")));
}

#[tokio::test]
async fn no_port_answers_to_a_name_that_is_not_this_machines() {
    let world = World::new().await;
    let before = world.now();
    let mut requests = requests_of_a_page(&world.system);
    requests.extend([("GET", (world.system.address(), "/"), ""), ("GET", (world.system.address(), "/v1/me"), "")]);
    for host in [
        "attacker.example",
        "attacker.example:3000",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example:3000",
        "localhost@attacker.example",
        "192.168.1.5:3000",
        "0.0.0.0:3000",
        "[::2]:3000",
        "host.docker.internal:8000",
        "",
    ] {
        for (method, at, body) in &requests {
            let headers = [("host", host), ("content-type", "text/plain")];
            let refused = call(&client(1), method, *at, &headers, *body).await.unwrap();
            assert_eq!(
                (refused.status, &refused.json()["code"]),
                (421, &json!("misdirected_request")),
                "{host} {at:?}"
            );
        }
    }
    assert_unchanged(&world, before).await;
    for host in ["localhost", "LOCALHOST:3000", "127.0.0.1", "127.255.0.9:3000", "[::1]", "[::1]:3000"] {
        for address in [world.system.address(), world.system.dynamodb_address(), world.system.aws_address()] {
            let answer = call(&client(1), "GET", (address, "/"), &[("host", host)], "").await.unwrap();
            assert_ne!(answer.status, 421, "{host} {address}");
        }
    }
}

#[tokio::test]
async fn containers_that_are_let_in_may_call_the_services_and_not_the_api() {
    let callers = Callers::this_machine_and_containers();
    let world = World::of(Options { service_callers: callers, ..Options::default() }).await;
    let (api, dynamodb, aws) = (world.system.address(), world.system.dynamodb_address(), world.system.aws_address());
    let is_misdirected = async |address: SocketAddr, host: &str| {
        call(&client(1), "GET", (address, "/"), &[("host", host)], "").await.unwrap().status == 421
    };
    for (address, is_closed) in [(api, true), (dynamodb, false), (aws, false)] {
        assert_eq!(is_misdirected(address, "host.docker.internal:8000").await, is_closed, "{address}");
        assert!(is_misdirected(address, "attacker.example").await && !is_misdirected(address, "localhost").await);
    }
}

/// As in a container, whose peers call it by its name.
#[tokio::test]
async fn a_host_that_is_given_may_name_the_api_and_is_its_issuer() {
    let hosts = vec!["latchkey".to_owned(), "auth.test".to_owned()];
    let world = World::of(Options { hosts, ..Options::default() }).await;
    let (api, dynamodb, aws) = (world.system.address(), world.system.dynamodb_address(), world.system.aws_address());
    let status = async |address: SocketAddr, host: &str| {
        call(&client(1), "GET", (address, "/local/clock"), &[("host", host)], "").await.unwrap().status
    };
    for host in ["latchkey:3000", "LATCHKEY", "auth.test", "localhost:3000"] {
        assert_eq!(status(api, host).await, 200, "{host}");
    }
    for host in ["attacker.example", "latchkey.attacker.example", "192.168.1.5:3000", "0.0.0.0:3000"] {
        assert_eq!(status(api, host).await, 421, "{host}");
    }
    assert_eq!((status(dynamodb, "latchkey").await, status(aws, "latchkey").await), (421, 421));
    let origin = [("host", "latchkey:3000"), ("origin", "http://attacker.example")];
    let refused = call(&client(1), "GET", (api, "/local/inbox"), &origin, "").await.unwrap();
    assert_eq!(refused.status, 403);

    let issuer = format!("http://latchkey:{}", api.port());
    let metadata = world.call("GET", "/.well-known/openid-configuration").send().await.ok();
    assert_eq!(
        (&metadata["issuer"], &metadata["jwks_uri"]),
        (&json!(issuer), &json!(format!("{issuer}/.well-known/jwks.json")))
    );
    let person = world.sign_in(PHONE).await;
    assert_eq!(world.me(&person).await["phone_number"], PHONE);
}

#[tokio::test]
async fn a_page_of_another_origin_reads_and_changes_nothing() {
    let world = World::new().await;
    let before = world.now();
    let own = world.system.address().to_string();
    let https = format!("https://{own}");
    for origin in ["https://attacker.example", "http://localhost:5173", "http://127.0.0.1:1", "null", https.as_str()] {
        for (method, at, body) in requests_of_a_page(&world.system) {
            let headers = [("origin", origin), ("content-type", "text/plain")];
            let refused = call(&client(1), method, at, &headers, body).await.unwrap();
            assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("foreign_origin")), "{origin} {at:?}");
            assert!(!refused.headers.contains_key("access-control-allow-origin"));
        }
    }
    // A page's image has no origin.
    let sms = "/?Action=Publish&PhoneNumber=%2B9779841000002&Message=Hello";
    let images = [(world.system.aws_address(), sms), (world.system.address(), "/local/stream")];
    for (at, site) in images.into_iter().flat_map(|at| [(at, "cross-site"), (at, "same-site")]) {
        let refused = call(&client(1), "GET", at, &[("sec-fetch-site", site)], "").await.unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("foreign_origin")), "{site} {at:?}");
    }
    assert_eq!(call(&client(1), "GET", images[0], &[], "").await.unwrap().status, 404);
    assert_unchanged(&world, before).await;
    let advance = world.post("/local/clock", json!({"advance_seconds": 1})).header("origin", &format!("http://{own}"));
    assert_eq!(advance.send().await.status, 200);
}

#[tokio::test]
async fn only_pages_of_local_development_servers_may_read_the_api() {
    let world = World::new().await;
    for (origin, is_allowed) in [
        ("http://localhost:3000", true),
        ("http://localhost:5173", true),
        ("http://127.0.0.1:8123", true),
        ("https://localhost:8443", true),
        ("http://[::1]:4000", true),
        ("https://attacker.example", false),
        ("http://localhost.attacker.example", false),
        ("http://127.0.0.1@attacker.example", false),
        ("null", false),
    ] {
        for method in ["GET", "OPTIONS"] {
            let at = (world.system.address(), "/.well-known/jwks.json");
            let answer = call(&client(1), method, at, &[("origin", origin)], "").await.unwrap();
            let allowed = answer.headers.get("access-control-allow-origin");
            assert_eq!(allowed.is_some_and(|allowed| *allowed == *origin), is_allowed, "{method} {origin}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_the_messages_and_the_secrets_on_disk() {
    use std::os::unix::fs::PermissionsExt as _;

    let data = Folder::new("private");
    data.write("inbox.jsonl", "");
    let world = World::of(Options { data: Some(data.0.clone()), ..Options::default() }).await;
    world.send_code(PHONE).await;
    world.post("/local/clock", json!({"advance_seconds": 1})).send().await.ok();
    for name in ["inbox.jsonl", "secrets.json", "clock"] {
        let file = std::fs::metadata(data.file(name)).unwrap();
        assert!(file.len() > 0);
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let new = data.file("new");
    let _world = World::of(Options { data: Some(new.clone()), ..Options::default() }).await;
    assert_eq!(std::fs::metadata(new).unwrap().permissions().mode() & 0o777, 0o700);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_in_the_data_folder_leads_to_no_other_file() {
    let data = Folder::new("linked");
    let victim = data.write("victim", "1");
    let folder = data.file("data");
    std::fs::create_dir(&folder).unwrap();
    let options = || Options { data: Some(folder.clone()), ..Options::default() };
    std::os::unix::fs::symlink(&victim, folder.join("lock")).unwrap();
    assert!(System::start(options()).await.is_err());
    std::fs::remove_file(folder.join("lock")).unwrap();
    std::os::unix::fs::symlink(&victim, folder.join("clock")).unwrap();
    let world = World::of(options()).await;
    world.post("/local/clock", json!({"advance_seconds": 5})).send().await.ok();
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "1");
}

#[tokio::test]
async fn the_file_of_the_inbox_does_not_grow_for_ever() {
    let data = Folder::new("inbox");
    let world = World::of(Options { data: Some(data.0.clone()), ..Options::default() }).await;
    let sms = "Action=Publish&PhoneNumber=%2B9779841000002&Message=Hello";
    for _ in 0..2_300 {
        call(&client(1), "POST", (world.system.aws_address(), "/"), &[], sms).await.unwrap();
    }
    let lines = std::fs::read_to_string(data.file("inbox.jsonl")).unwrap().lines().count();
    assert!((1_000..2_000).contains(&lines), "{lines} lines");
    assert_eq!(inbox(&world, "").await.len(), 1_000);
}

#[tokio::test]
async fn a_source_address_comes_from_the_socket_and_not_from_a_header() {
    let world = World::with(&[("SOURCE_SENDS_PER_HOUR", "1")]).await;
    // Hours are counted from the full hour, so start at one.
    world.advance(3600 - world.now().unsigned_abs() % 3600);
    let send = |phone: &str, source: u8, claimed: &str| {
        let call = world.post("/v1/otp/send", json!({"phone_number": phone})).from(source);
        ["x-forwarded-for", "x-real-ip", "forwarded"]
            .into_iter()
            .fold(call, |call, name| call.header(name, claimed))
            .send()
    };
    assert_eq!(send("+9779841000001", 2, "203.0.113.1").await.status, 200);
    send("+9779841000002", 2, "203.0.113.2").await.assert_problem(429, "too_many_requests");
    assert_eq!(send("+9779841000003", 3, "127.0.0.2").await.status, 200);
}

/// The local addresses on which a process listens, as the kernel writes them in hexadecimal.
#[cfg(target_os = "linux")]
pub fn listeners(process: &str) -> Vec<String> {
    let own: BTreeSet<String> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    let sockets =
        ["tcp", "tcp6"].map(|kind| std::fs::read_to_string(format!("/proc/{process}/net/{kind}")).unwrap_or_default());
    let lines = sockets.iter().flat_map(|sockets| sockets.lines().skip(1));
    let columns = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Columns 1, 3 and 9 are the local address, the state (0A: listening) and the inode.
    let listening = columns.filter(|column| column[3] == "0A" && own.contains(&format!("socket:[{}]", column[9])));
    listening.map(|column| column[1].to_owned()).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn everything_listens_on_loopback_only() {
    let world = World::new().await;
    let listeners = listeners("self");
    for address in [world.system.address(), world.system.dynamodb_address(), world.system.aws_address()] {
        assert!(address.ip().is_loopback(), "{address}");
        assert!(listeners.contains(&format!("0100007F:{:04X}", address.port())), "{address} {listeners:?}");
    }
    assert!(listeners.iter().all(|address| address.starts_with("0100007F:")), "{listeners:?}");
}
