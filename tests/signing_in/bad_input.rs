//! Requests that the two open routes refuse: nothing is written, sent or echoed.

use serde_json::{Value, json};
use tests::{Reply, Sent, World, assert_refused, at_body, at_member};

use crate::setup::everything;

const SEND: &str = "/v1/otp/send";
const SUBMIT: &str = "/v1/otp/submit";
const PHONE: &str = "+9779841000001";
/// A word in the requests that may occur in no answer and no log line.
const MARK: &str = "Machhapuchhre";

/// A system in which a code is pending and another one may be sent, so that every accepted request has an effect.
struct Setup {
    world: World,
    sent: Sent,
    before: Value,
}

impl Setup {
    async fn new() -> Self {
        let world = World::new().await;
        world.keep_secret(MARK);
        let sent = world.send_code(PHONE).await;
        world.advance(60);
        let before = everything(&world).await;
        Self { world, sent, before }
    }

    fn valid(&self, route: &str) -> Value {
        match route {
            SEND => json!({"phone_number": PHONE}),
            _ => json!({"phone_number": PHONE, "otp": self.sent.code, "challenge_id": self.sent.challenge_id}),
        }
    }

    /// The valid body with one member changed.
    fn with(&self, route: &str, member: &str, value: impl Into<Value>) -> Value {
        let mut body = self.valid(route);
        body[member] = value.into();
        body
    }

    async fn assert_refuses(&self, route: &str, media_type: &str, body: &[u8], code: &str, more: Value) {
        let reply = self.world.call("POST", route).bytes(media_type, body.to_vec()).send().await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
        assert_eq!(reply.body["code"], json!(code), "{route} {media_type} {shown}: {reply:?}");
        assert_refused(&reply, code, more);
        assert!(!format!("{reply:?}").contains(MARK), "{reply:?}");
    }

    async fn assert_malformed(&self, route: &str, body: &[u8], errors: Value) {
        self.assert_refuses(route, "application/json", body, "malformed_request", json!({"errors": errors})).await;
    }

    /// The problem names the place at which the body is no JSON.
    async fn assert_not_json(&self, route: &str, body: &[u8]) {
        let reply = self.world.call("POST", route).bytes("application/json", body.to_vec()).send().await;
        let errors = reply.body["errors"].clone();
        assert!(errors[0]["detail"].as_str().unwrap().starts_with("not valid JSON at line 1, column "), "{reply:?}");
        assert_refused(&reply, "malformed_request", json!({"errors": errors}));
        assert!(!format!("{reply:?}").contains(MARK), "{reply:?}");
    }

    async fn assert_malformed_member(&self, route: &str, member: &str, value: impl Into<Value>, detail: &str) {
        let body = self.with(route, member, value).to_string();
        self.assert_malformed(route, body.as_bytes(), at_member(member, detail)).await;
    }

    async fn assert_too_large(&self, route: &str, body: &[u8]) {
        self.assert_refuses(route, "application/json", body, "payload_too_large", json!({})).await;
    }

    async fn post_text(&self, route: &str, body: String) -> Reply {
        self.world.call("POST", route).bytes("application/json", body.into_bytes()).send().await
    }

    /// Panics unless nothing changed and the pending code still signs in.
    async fn assert_unchanged(self) {
        assert_eq!(everything(&self.world).await, self.before);
        for route in [SUBMIT, SEND] {
            self.world.post(route, self.valid(route)).send().await.ok();
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_malformed() {
    let setup = Setup::new().await;
    for route in [SEND, SUBMIT] {
        let valid = setup.valid(route).to_string();
        let latin = [br#"{"phone_number":"#.as_slice(), b"\"\xe9\xff", MARK.as_bytes(), b"\"}"].concat();
        let single_quoted = valid.replace('"', "'");
        let bodies: [&[u8]; 12] = [
            b" ",
            MARK.as_bytes(),
            &valid.as_bytes()[..valid.len() - 1],
            &[valid.as_bytes(), valid.as_bytes()].concat(),
            &[valid.as_bytes(), MARK.as_bytes()].concat(),
            &[b"\xef\xbb\xbf", valid.as_bytes()].concat(),
            single_quoted.as_bytes(),
            b"phone_number=%2B9779841000001",
            &latin,
            &[b"\xff\xfe", valid.as_bytes()].concat(),
            br#"{"phone_number":"\ud800"}"#,
            b"{\"phone_number\":\"\x00\"}",
        ];
        for body in bodies {
            setup.assert_not_json(route, body).await;
        }
    }
    setup.assert_unchanged().await;
}

#[tokio::test]
async fn json_of_the_wrong_form_is_malformed() {
    const REQUIRED: &str = "this member is required";
    const STRING: &str = "expected a string";
    let setup = Setup::new().await;
    let sent = &setup.sent;
    let (phone, otp) = (json!(PHONE), json!(sent.code));
    for route in [SEND, SUBMIT] {
        let no_objects = [
            json!(null),
            json!(true),
            json!(42),
            json!(MARK),
            json!([]),
            json!([setup.valid(route)]),
            // The members in their order, without names.
            json!([phone, otp, null, null, null]),
        ];
        for body in no_objects {
            setup.assert_malformed(route, body.to_string().as_bytes(), at_body("expected a JSON object")).await;
        }
        let twice = setup.valid(route).to_string().replacen('{', &format!("{{\"phone_number\":\"{MARK}\","), 1);
        let errors = at_member("phone_number", "this member appears more than once");
        setup.assert_malformed(route, twice.as_bytes(), errors).await;
        for (member, value, detail) in [
            ("phone_number", Value::Null, REQUIRED),
            ("phone_number", json!(9_841_000_001_u64), STRING),
            ("phone_number", json!([PHONE]), STRING),
            ("phone_number", json!({"e164": PHONE}), STRING),
            ("organization_id", json!(7), STRING),
            ("source", json!(["android"]), STRING),
        ] {
            setup.assert_malformed_member(route, member, value, detail).await;
        }
    }
    for (route, member, value, detail) in [
        (SEND, "locale", json!(7), STRING),
        (SEND, "change", json!("true"), "expected true or false"),
        (SUBMIT, "otp", Value::Null, REQUIRED),
        (SUBMIT, "otp", json!(123_456), STRING),
        (SUBMIT, "challenge_id", json!(1), STRING),
        (SUBMIT, "name", json!({"first": MARK}), STRING),
        (SUBMIT, "image_url", json!(false), STRING),
        (SUBMIT, "fcm_token", json!(1.5), STRING),
        (SUBMIT, "device_name", json!([]), STRING),
        (SUBMIT, "restore", json!(1), "expected true or false"),
    ] {
        setup.assert_malformed_member(route, member, value, detail).await;
    }
    for (route, body, missing) in [
        (SEND, json!({}), &["phone_number"][..]),
        (SEND, json!({"phone": PHONE}), &["phone_number"]),
        (SUBMIT, json!({}), &["phone_number", "otp"]),
        (SUBMIT, json!({"phone_number": PHONE}), &["otp"]),
        (SUBMIT, json!({"otp": sent.code}), &["phone_number"]),
    ] {
        let errors: Vec<Value> = missing.iter().map(|name| at_member(name, REQUIRED)[0].clone()).collect();
        setup.assert_malformed(route, body.to_string().as_bytes(), json!(errors)).await;
    }
    setup.assert_unchanged().await;
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_request_is_told_at_once() {
    let setup = Setup::new().await;
    let body = json!({
        "phoneNumber": PHONE, "otp": 7, "name": "", "Challenge-Id": setup.sent.challenge_id, "restore": true, "recover": true,
        "later": MARK,
    });
    let errors = json!([
        {"pointer": "#/name", "detail": "expected 1 to 100 printable characters"},
        {"pointer": "#/recover", "detail": "expected at most one of fresh_account, restore and recover"},
        {"pointer": "#/otp", "detail": "expected a string"},
        {"pointer": "#/phone_number", "detail": "this member is required"},
        {"pointer": "#/phoneNumber", "detail": "the name of this member is phone_number"},
        {"pointer": "#/Challenge-Id", "detail": "the name of this member is challenge_id"},
    ]);
    let reply = setup.world.post(SUBMIT, body).send().await;
    let sorted = |errors: &Value| {
        let mut errors: Vec<String> = errors.as_array().unwrap().iter().map(Value::to_string).collect();
        errors.sort();
        errors
    };
    assert_eq!(sorted(&reply.body["errors"]), sorted(&errors), "{reply:?}");
    assert!(!format!("{reply:?}").contains(MARK));
    setup.assert_unchanged().await;
}

#[tokio::test]
async fn people_are_told_in_their_language_and_programs_in_english() {
    let setup = Setup::new().await;
    let send = async |language: &str, body: Value| {
        setup.world.post(SEND, body).header("accept-language", language).send().await
    };
    for (language, tag, words) in [
        ("ne-NP,en;q=0.5", "ne", "एपले पठाएको अनुरोध मिलेन। एप अपडेट गर्नुहोस्, वा एपको सहायता कक्षलाई भन्नुहोस्।"),
        ("fr", "en", "The app sent a request that is malformed. Update the app, or tell its support."),
    ] {
        let reply = send(language, json!({})).await;
        assert_eq!((reply.headers["content-language"].as_str(), reply.text("detail")), (tag, words.to_owned()));
        assert_eq!(reply.body["title"], "malformed request");
        assert_eq!(reply.body["errors"], at_member("phone_number", "this member is required"));
    }
    setup.world.send_code(PHONE).await;
    let waits = send("ne", json!({"phone_number": PHONE})).await;
    assert_eq!(waits.text("detail"), "धेरै पटक प्रयास भयो। ६० सेकेन्डपछि फेरि प्रयास गर्नुहोस्।");
}

#[tokio::test]
async fn nesting_is_refused_in_known_members_and_ignored_in_unknown_ones() {
    let setup = Setup::new().await;
    let nested = |open: &str, depth: usize, close: &str| format!("{}{}", open.repeat(depth), close.repeat(depth));
    for route in [SEND, SUBMIT] {
        let nested_phone = nested("{\"a\":[", 1_000, "]}").replace("[]", "[1]");
        let known_member = setup.valid(route).to_string().replacen(&format!("\"{PHONE}\""), &nested_phone, 1);
        for body in [nested("[", 8_000, "]"), nested("[", 100, "]"), "[".repeat(16_000), known_member] {
            let reply = setup.post_text(route, body).await;
            assert_eq!(reply.problem(), (400, "malformed_request"), "{reply:?}");
        }
        setup.assert_too_large(route, nested("[", 100_000, "]").as_bytes()).await;
    }
    assert_eq!(everything(&setup.world).await, setup.before);
    for route in [SUBMIT, SEND] {
        let unknown = format!(r#"{{"later":{},"#, nested("[", 3_000, "]"));
        setup.post_text(route, setup.valid(route).to_string().replacen('{', &unknown, 1)).await.ok();
    }
}

#[tokio::test]
async fn unknown_members_and_headers_are_ignored() {
    let setup = Setup::new().await;
    for route in [SUBMIT, SEND] {
        let unknown = format!(r#"{{"phone":7,"phone":8,"name ":{{"of":"{MARK}"}},"#);
        let body = setup.valid(route).to_string().replacen('{', &unknown, 1).into_bytes();
        let call = setup.world.call("POST", route).bytes("application/json", body);
        let reply = call.header("x-person", "सीता").send().await;
        assert!(!format!("{reply:?}").contains(MARK));
        reply.ok();
    }
}

#[tokio::test]
async fn a_body_of_16_kib_is_accepted_and_one_byte_more_is_not() {
    let setup = Setup::new().await;
    let padded = |route: &str, length: usize| {
        let body = setup.with(route, "padding", "").to_string();
        body.replacen("\"padding\":\"\"", &format!("\"padding\":\"{}\"", "x".repeat(length - body.len())), 1)
    };
    for route in [SEND, SUBMIT] {
        for length in [16 * 1024 + 1, 100_000, 1_000_000] {
            setup.assert_too_large(route, padded(route, length).as_bytes()).await;
        }
        // Bytes count, not characters, and a body that API Gateway encodes in base64 counts as it was sent.
        let wide = setup.with(route, "padding", "न".repeat(6_000)).to_string();
        setup.assert_too_large(route, wide.as_bytes()).await;
        let bytes = [0xff; 16 * 1024 + 1];
        setup.assert_too_large(route, &bytes).await;
        setup.assert_not_json(route, &bytes[1..]).await;
    }
    assert_eq!(everything(&setup.world).await, setup.before);
    for route in [SUBMIT, SEND] {
        let body = padded(route, 16 * 1024);
        assert_eq!(body.len(), 16 * 1024);
        setup.post_text(route, body).await.ok();
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_refused() {
    let setup = Setup::new().await;
    let others = [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonx",
        "application/problem+json",
        "application/xml",
        "json",
        "application",
        "Machhapuchhre/json",
        "text/plain; application/json",
        "text/plain, application/json",
    ];
    for route in [SEND, SUBMIT] {
        let body = setup.valid(route).to_string();
        for media_type in others {
            setup.assert_refuses(route, media_type, body.as_bytes(), "unsupported_media_type", json!({})).await;
        }
        let nothing_at_all = setup.world.call("POST", route).send().await;
        let errors = at_body("expected a JSON object; the body is empty");
        assert_refused(&nothing_at_all, "malformed_request", json!({"errors": errors}));
    }
    setup.assert_unchanged().await;
}

#[tokio::test]
async fn the_json_media_type_may_have_a_charset_and_capitals() {
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/json ;charset=\"utf-8\""] {
        let setup = Setup::new().await;
        for route in [SUBMIT, SEND] {
            let body = setup.valid(route).to_string().into_bytes();
            setup.world.call("POST", route).bytes(media_type, body).send().await.ok();
        }
    }
}

#[tokio::test]
async fn a_malformed_member_is_named_and_not_echoed() {
    let setup = Setup::new().await;
    let long = |length: usize| format!("{MARK}{}", "x".repeat(length - MARK.len()));
    let organization = "expected 1 to 64 letters, digits, hyphens or underscores";
    let source = "expected 1 to 64 printable characters";
    for route in [SEND, SUBMIT] {
        for (member, value, detail) in [
            ("organization_id", long(65), organization),
            ("organization_id", String::new(), organization),
            ("organization_id", format!("{MARK}#keys"), organization),
            ("organization_id", "नेपाल".to_owned(), organization),
            ("source", long(65), source),
            ("source", " ".to_owned(), source),
            ("source", format!("{MARK}\n"), source),
        ] {
            setup.assert_malformed_member(route, member, value, detail).await;
        }
    }
    let locale = "expected a language tag of at most 35 characters";
    setup.assert_malformed_member(SEND, "locale", long(36), locale).await;
    let name = "expected 1 to 100 printable characters";
    let url = "expected an http or https URL of at most 2048 visible ASCII characters";
    let fcm_token = "expected an FCM token of 1 to 4096 visible characters";
    let device_name = "expected 1 to 100 printable characters";
    let challenge_id = "expected the challenge_id that a send returned";
    let otp = "expected six digits";
    let key = "expected 1 to 255 visible ASCII characters or spaces";
    for (member, value, detail) in [
        ("name", long(101), name),
        ("name", String::new(), name),
        ("name", format!("{MARK}\u{0}"), name),
        ("image_url", format!("https://{}", long(2_041)), url),
        ("image_url", MARK.to_owned(), url),
        ("image_url", format!("javascript:{MARK}"), url),
        ("image_url", "https://".to_owned(), url),
        ("fcm_token", long(4_097), fcm_token),
        ("fcm_token", String::new(), fcm_token),
        ("fcm_token", format!("{MARK} {MARK}"), fcm_token),
        ("device_name", long(101), device_name),
        ("device_name", "\t".to_owned(), device_name),
        ("challenge_id", MARK.to_owned(), challenge_id),
        ("challenge_id", String::new(), challenge_id),
        ("challenge_id", setup.sent.challenge_id.to_uppercase(), challenge_id),
        ("challenge_id", format!("{} ", setup.sent.challenge_id), challenge_id),
        ("otp", String::new(), otp),
        ("otp", "12345".to_owned(), otp),
        ("otp", "1234567".to_owned(), otp),
        ("otp", MARK.to_owned(), otp),
        ("otp", "١٢٣٤٥٦".to_owned(), otp),
        ("otp", "9".repeat(10_000), "expected at most 16 characters"),
        ("otp", format!("{}123456", " ".repeat(11)), "expected at most 16 characters"),
    ] {
        setup.assert_malformed_member(SUBMIT, member, value, detail).await;
    }
    for (header, value, detail) in [
        ("fcm-token", long(4_097), fcm_token),
        ("fcm-token", format!("{MARK} {MARK}"), fcm_token),
        ("fcm-token", "कुञ्जी".to_owned(), fcm_token),
        ("idempotency-key", long(256), key),
        ("idempotency-key", String::new(), key),
        ("idempotency-key", "कुञ्जी".to_owned(), key),
    ] {
        let reply = setup.world.post(SUBMIT, setup.valid(SUBMIT)).header(header, &value).send().await;
        let errors = match header {
            "fcm-token" => at_member("fcm_token", detail),
            _ => json!([{"header": "Idempotency-Key", "detail": detail}]),
        };
        assert_refused(&reply, "malformed_request", json!({"errors": errors}));
    }
    setup.assert_unchanged().await;
}

#[tokio::test]
async fn members_of_the_maximum_length_are_accepted() {
    let setup = Setup::new().await;
    let mut body = setup.valid(SUBMIT);
    let letters = |length: usize| "न".repeat(length);
    body["name"] = json!(letters(100));
    body["image_url"] = json!(format!("https://{}", "x".repeat(2_040)));
    body["source"] = json!(letters(64));
    body["device_name"] = json!(letters(100));
    body["fcm_token"] = json!("x".repeat(4_096));
    let key = "k".repeat(255);
    let signed_in = setup.world.post(SUBMIT, body.clone()).header("idempotency-key", &key).send().await.ok();
    for member in ["name", "image_url", "source"] {
        assert_eq!(signed_in["user"][member], body[member]);
    }
    let mut body = setup.with(SEND, "source", letters(64));
    body["locale"] = json!("x".repeat(35));
    setup.world.post(SEND, body).send().await.ok();
}

#[tokio::test]
async fn text_that_is_no_mobile_number_is_refused() {
    let setup = Setup::new().await;
    let too_long = "9".repeat(32);
    let numbers = [
        "",
        " ",
        "0",
        "+",
        "100",
        "12345",
        "+977",
        "984100001",
        "98410000011",
        "+97798410000011",
        "+0009841000001",
        "01-4412345",
        "+97714412345",
        "+1 800 555 0199",
        "+99999999999",
        "+9779841000001;ext=5",
        "9841000001 ext. 5",
        "9841000001,,1",
        "tel:+9779841000001",
        "+9779841000001\u{0}",
        "1-800-FLOWERS",
        MARK,
        "٠",
        "📱",
        "-1",
        "1e10",
        "9841000001\n9841000002",
        "+9779841000001+9779841000002",
        &too_long,
    ];
    for route in [SEND, SUBMIT] {
        for number in numbers {
            let body = setup.with(route, "phone_number", number).to_string();
            setup.assert_refuses(route, "application/json", body.as_bytes(), "invalid_phone_number", json!({})).await;
        }
    }
    setup.assert_unchanged().await;
}
