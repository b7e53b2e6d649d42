//! A whole sign-in, and what the system traces of it.

use serde_json::json;
use tests::{World, wrong};

const PHONE: &str = "+9779841000001";
const NEW: &str = "+9779841000002";

#[tokio::test]
async fn a_person_signs_in_and_reads_their_profile() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    let me = world.me(&person).await;
    assert_eq!(me["phone_number"], json!(PHONE));
    let refreshed = world.refresh(&person.refresh).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
}

/// Each world checks when it is dropped that the log holds none of its codes, tokens and numbers. This test checks that
/// the values which hold them are traced at all.
#[tokio::test]
async fn traced_values_show_no_secret() {
    let world = World::new().await;
    let person = world.sign_in_as(PHONE, "sita").await;
    let change = json!({"phone_number": NEW, "change": true});
    world.post("/v1/phone/otp/send", change).as_person(&person).send().await.ok();
    let code = world.code(NEW).await;
    for otp in [wrong(&code), code] {
        let proof = json!({"phone_number": NEW, "otp": otp, "username": "sita"});
        world.post("/v1/phone/otp/validate", proof).as_person(&person).send().await;
    }
    world.refresh(&person.refresh).await.ok();
    world.keep_secret(NEW);
    world.keep_secret("9841000002");
    let log = world.log();
    for (what, value) in [
        ("configured", "Config {"),
        ("an organization is read", "Organization {"),
        ("a code is requested", "SendRequest {"),
        ("a send is planned for", "SendState {"),
        ("a send reserves", "SendReservation {"),
        ("a message is sent", "Message(…)"),
        ("a code is submitted", "OtpCode(…)"),
        ("an attempt is claimed", "Claim {"),
        ("a key signs", "SigningKeyPair(…)"),
        ("a sign-in writes", "Session {"),
        ("a session is refreshed", "Rotated("),
        ("a code is validated", "ValidateOtpRequest {"),
        ("a verification writes", "PhoneBinding {"),
    ] {
        let what_member = format!("\"what\":\"{what}\"");
        assert!(log.lines().any(|line| line.contains(&what_member) && line.contains(value)), "{what}: {value}");
    }
}
