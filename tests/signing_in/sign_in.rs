//! The main job: from a phone number to tokens.

use serde_json::json;
use tests::{World, wrong};

#[tokio::test]
async fn a_person_signs_in_and_reads_their_profile() {
    let world = World::new().await;
    let person = world.sign_in("+9779841000001").await;
    let me = world.call("GET", "/v1/me").as_person(&person).send().await.ok();
    assert_eq!(me["phone_number"], json!("+9779841000001"));
    let refreshed = world.post("/v1/session/refresh", json!({"refresh_token": person.refresh})).send().await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
}

/// What the whole suite traces is searched for codes, tokens and numbers as each world ends; here, that there is much to
/// search.
#[tokio::test]
async fn traced_values_show_no_secret() {
    let world = World::new().await;
    let person = world.sign_in_as("+9779841000001", "sita").await;
    let change = json!({"phone_number": "+9779841000002", "change": true});
    world.post("/v1/phone/otp/send", change).as_person(&person).send().await.ok();
    let code = world.code("+9779841000002").await;
    for otp in [wrong(&code), code] {
        let proof = json!({"phone_number": "+9779841000002", "otp": otp, "username": "sita"});
        world.post("/v1/phone/otp/validate", proof).as_person(&person).send().await;
    }
    world.post("/v1/session/refresh", json!({"refresh_token": person.refresh})).send().await.ok();
    world.keep_secret("+9779841000002");
    world.keep_secret("9841000002");
    let log = world.log();
    for (what, value) in [
        ("configured", "Config {"),
        ("an organization is read", "Organization {"),
        ("a code is asked for", "SendOtp {"),
        ("a send is planned on", "SendState {"),
        ("a send takes", "Allowance {"),
        ("a message goes out", "Message(…)"),
        ("a code is submitted", "OtpCode(…)"),
        ("a try is counted", "Claim {"),
        ("a key signs", "SigningKeyPair(…)"),
        ("a sign-in writes", "Session {"),
        ("a session continues", "Rotated("),
        ("a code is typed to verify a phone", "TypedCode {"),
        ("a verification writes", "BindPhone {"),
    ] {
        let of_it = |line: &&str| line.contains(&format!("\"what\":\"{what}\"")) && line.contains(value);
        assert!(log.lines().any(|line| of_it(&line)), "{what}: {value}");
    }
}
