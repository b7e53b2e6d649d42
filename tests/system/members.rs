//! A request's members: the API accepts exactly the values that `openapi.yaml` allows.

use serde_json::{Value, json};
use tests::{World, takes};

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\u{3000}",
        "\t",
        "a\nb",
        "a\u{0}",
        "\u{7f}",
        "a\u{85}b",
        "a b",
        " a",
        "\u{200b}",
        "सीता",
        "https://",
        "https://images.example.com/sita.jpg",
        "http://a",
        "HTTP://a",
        "ftp://a",
        "https://a b",
        "https://नेपाल.example.com",
        "default",
        "a.b",
        "chl_01jd8x4n5t2qvzk7w3m9hpa6rc",
        "chl_01JD8X4N5T2QVZK7W3M9HPA6RC",
        "chl_01jd8x4n5t2qvzk7w3m9hpa6r",
        "usr_01jd8x4n5t2qvzk7w3m9hpa6rc",
        "dGhpcyBpcyBhIHNhbXBsZQ:APA91bSample",
    ]
    .map(str::to_owned)
    .into();
    for length in [35, 36, 64, 65, 100, 101, 2_048, 2_049, 4_096, 4_097] {
        texts.push("x".repeat(length));
        texts.push("é".repeat(length));
        texts.push(format!("https://{}", "x".repeat(length - 8)));
    }
    texts
}

/// Sends each value of each member, in a request that fails for another reason if the value is accepted.
async fn assert_agreement(world: &World, path: &str, schema: &str, body: &Value, members: &[&str]) {
    for member in members {
        let at = format!("/components/schemas/{schema}");
        for value in texts().into_iter().map(Value::String).chain([Value::Null, json!(7), json!(["x"]), json!({})]) {
            let mut body = body.clone();
            body[member] = value.clone();
            let reply = world.post(path, body.clone()).send().await;
            let is_accepted = reply.body["code"] != "malformed_request";
            assert_eq!(is_accepted, takes(&at, &body), "{member}: {value}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn the_members_of_a_submit_are_accepted_as_documented() {
    let world = World::new().await;
    let unknown = json!({"phone_number": "9841234567", "otp": "000000"});
    let members = ["name", "image_url", "source", "organization_id", "fcm_token", "device_name", "challenge_id"];
    assert_agreement(&world, "/v1/otp/submit", "SubmitRequest", &unknown, &members).await;
    for (body, is_accepted) in [
        (json!({}), false),
        (json!({"otp": "000000"}), false),
        (json!({"phone_number": "9841234567"}), false),
        (json!({"phone_number": "9841234567", "otp": "000000", "restore": true, "recover": true}), false),
        (json!({"phone_number": "9841234567", "otp": "000000", "restore": true, "recover": null}), true),
        (json!({"phone_number": "9841234567", "otp": "000000", "firebase_id_token": "a.b.c"}), false),
        (json!({"phone_number": "9841234567", "otp": "000000", "firebase_id_token": null}), true),
    ] {
        let reply = world.post("/v1/otp/submit", body.clone()).send().await;
        assert_eq!(reply.body["code"] != "malformed_request", is_accepted, "{body}: {}", reply.body);
        assert_eq!(takes("/components/schemas/SubmitRequest", &body), is_accepted, "{body}");
    }
}

#[tokio::test]
async fn the_members_of_a_send_and_of_a_refresh_are_accepted_as_documented() {
    let world = World::new().await;
    let unknown = json!({"phone_number": "9841234567", "organization_id": "nobody"});
    assert_agreement(&world, "/v1/otp/send", "SendRequest", &unknown, &["source", "locale"]).await;
    assert_agreement(&world, "/v1/session/refresh", "RefreshRequest", &json!({}), &["refresh_token"]).await;
}

#[tokio::test]
async fn an_idempotency_key_is_accepted_as_documented() {
    let world = World::new().await;
    let at = "/paths/~1v1~1otp~1submit/post/parameters/0/schema";
    // Values that a header can have and that the client does not trim.
    for key in ["", "a", "a b", "5f0c3a52-7d0e-4f0e-9a37-1f0b7c1f7a11", "a\tb", &"x".repeat(255), &"x".repeat(256)] {
        let call = world.post("/v1/otp/submit", json!({"phone_number": "9841234567", "otp": "000000"}));
        let reply = call.header("idempotency-key", key).send().await;
        assert_eq!(reply.body["code"] != "malformed_request", takes(at, &json!(key)), "{key}: {}", reply.body);
    }
}
