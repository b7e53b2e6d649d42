//! Test numbers: numbers with fixed codes, for the reviewers of an app store and for an app's own tests.

use std::collections::BTreeSet;

use serde_json::json;
use tests::{World, person, wrong};

use crate::setup::{phone, send_to_organization};

const CODE: &str = "135790";
/// Later than the clock of any test.
const FAR_FUTURE: &str = "2199-01-01";

async fn world() -> World {
    let world = World::new().await;
    world.create_test_number("acme", &phone(1), CODE, FAR_FUTURE).await;
    world
}

fn send<'a>(world: &'a World, organization: &str) -> tests::Call<'a> {
    send_to_organization(world, &phone(1), organization)
}

fn submit<'a>(world: &'a World, organization: &str, code: &str) -> tests::Call<'a> {
    world.post("/v1/otp/submit", json!({"phone_number": phone(1), "organization_id": organization, "otp": code}))
}

#[tokio::test]
async fn a_test_number_signs_in_with_its_fixed_code_and_no_message_is_sent() {
    let world = World::new().await;
    world.create_test_number("in-review", &phone(1), CODE, FAR_FUTURE).await;
    let sent = send(&world, "in-review").send().await.ok();
    assert_eq!((&sent["resend_in"], &sent["attempts_left"]), (&json!(0), &json!(5)));
    let signed_in = submit(&world, "in-review", CODE).send().await.ok();
    assert_eq!(signed_in["user"]["roles"], json!({"default": ["in-review"]}));
    assert!(world.inbox(&phone(1)).await.is_empty());
    for function in ["send-otp", "submit-otp"] {
        let entry = format!(r#""function":"{function}","organization":"in-review""#);
        assert!(world.log().contains(&entry), "each use is logged");
    }
}

#[tokio::test]
async fn a_fixed_code_works_once_after_a_send_and_never_before() {
    let world = world().await;
    submit(&world, "acme", CODE).send().await.assert_problem(400, "incorrect_otp");
    send(&world, "acme").send().await.ok();
    submit(&world, "acme", &wrong(CODE)).send().await.assert_problem(400, "incorrect_otp");
    submit(&world, "acme", CODE).send().await.ok();
    submit(&world, "acme", CODE).send().await.assert_problem(400, "incorrect_otp");
    send(&world, "acme").send().await.ok();
    submit(&world, "acme", CODE).send().await.ok();
}

#[tokio::test]
async fn a_test_number_is_exempt_from_the_limits_on_sends() {
    let world = World::with(&[("SOURCE_SENDS_PER_HOUR", "1"), ("COUNTRY_SENDS_PER_DAY", "1")]).await;
    world.create_test_number("acme", &phone(1), CODE, FAR_FUTURE).await;
    let mut issued_ids = BTreeSet::new();
    for _ in 0..20 {
        issued_ids.insert(send(&world, "acme").send().await.text("challenge_id"));
    }
    // The number of ids that are stored is limited.
    assert_eq!(issued_ids.len(), 16);
    // The sends counted in no limit of the source or the country.
    world.send_code(&phone(2)).await;
}

#[tokio::test]
async fn a_test_number_is_not_exempt_from_the_limits_on_attempts() {
    let world = world().await;
    // Each id has five attempts. Sends do not reset the count of wrong codes in a row: after the tenth there is a wait, and
    // no id has a comparison in it, because the code stays the same.
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(send(&world, "acme").send().await.text("challenge_id"));
    }
    let guess = async |id: &str, code: &str| {
        let body = json!({"phone_number": phone(1), "organization_id": "acme", "otp": code, "challenge_id": id});
        world.post("/v1/otp/submit", body).send().await
    };
    for id in &ids[..2] {
        for _ in 0..5 {
            guess(id, &wrong(CODE)).await.assert_problem(400, "incorrect_otp");
        }
    }
    for id in &ids {
        guess(id, CODE)
            .await
            .assert_problem(429, if *id == ids[2] { "too_many_requests" } else { "too_many_attempts" });
    }
    let sent_later = send(&world, "acme").send().await.text("challenge_id");
    guess(&sent_later, CODE).await.assert_problem(429, "too_many_requests");
    // Guesses without an id are counted apart.
    for _ in 0..10 {
        submit(&world, "acme", &wrong(CODE)).send().await.assert_problem(400, "incorrect_otp");
    }
    submit(&world, "acme", CODE).send().await.assert_problem(429, "too_many_requests");
    world.advance(30);
    guess(&sent_later, CODE).await.ok();
}

#[tokio::test]
async fn a_test_number_expires_on_its_day() {
    let world = World::new().await;
    // The start of 2096-10-02.
    let until = 4_000_000_000_i64 / 86_400 * 86_400;
    world.create_test_number("acme", &phone(1), CODE, "2096-10-02").await;
    world.advance(u64::try_from(until - world.now() - 10).unwrap());
    send(&world, "acme").send().await.ok();
    world.advance(10);
    // The fixed code of an earlier send is wrong now, and a send goes to the phone.
    submit(&world, "acme", CODE).send().await.assert_problem(400, "incorrect_otp");
    send(&world, "acme").send().await.ok();
    let code = world.code(&phone(1)).await;
    submit(&world, "acme", CODE).send().await.assert_problem(400, "incorrect_otp");
    submit(&world, "acme", &code).send().await.ok();
}

#[tokio::test]
async fn a_fixed_code_of_one_organization_signs_in_to_no_other() {
    let world = world().await;
    send(&world, "acme").send().await.ok();
    submit(&world, "default", CODE).send().await.assert_problem(400, "incorrect_otp");
    // For the other organization it is an ordinary number.
    send(&world, "default").send().await.ok();
    let code = world.code(&phone(1)).await;
    submit(&world, "default", CODE).send().await.assert_problem(400, "incorrect_otp");
    submit(&world, "acme", &code).send().await.assert_problem(400, "incorrect_otp");
    submit(&world, "default", &code).send().await.ok();
}

#[tokio::test]
async fn a_fixed_code_does_not_sign_in_to_an_account_with_roles() {
    let world = world().await;
    send(&world, "acme").send().await.ok();
    let admin = person(&phone(1), &submit(&world, "acme", CODE).send().await);
    let grant = json!({
        "UpdateExpression": "SET role_admin = :organizations",
        "ExpressionAttributeValues": {":organizations": {"SS": ["acme"]}},
    });
    world.update_user(&format!("user#{}", admin.user_id), grant).await;
    send(&world, "acme").send().await.ok();
    submit(&world, "acme", &wrong(CODE)).send().await.assert_problem(400, "incorrect_otp");
    submit(&world, "acme", CODE).send().await.assert_problem(403, "test_number_refused");
}

#[tokio::test]
async fn a_test_number_may_be_of_a_country_that_is_not_allowed() {
    let world = World::new().await;
    world.create_test_number("acme", "+447400123456", CODE, FAR_FUTURE).await;
    send_to_organization(&world, "+447400123456", "acme").send().await.ok();
    let body = json!({"phone_number": "+447400123456", "organization_id": "acme", "otp": CODE});
    world.post("/v1/otp/submit", body).send().await.ok();
    let other = send_to_organization(&world, "+447400123457", "acme").send().await;
    other.assert_problem(403, "country_not_allowed");
}

#[tokio::test]
async fn a_fixed_code_verifies_no_phone() {
    let world = World::new().await;
    world.create_test_number("default", &phone(1), CODE, FAR_FUTURE).await;
    let person = world.sign_in_as(&phone(2), "sita").await;
    let body = json!({"phone_number": phone(1), "change": true});
    let sent = world.post("/v1/phone/otp/send", body).as_person(&person).send().await;
    let code = world.received(&phone(1), &sent).await.code;
    let validate = |code: &str| {
        let body = json!({"phone": phone(1), "otp": code, "username": "sita"});
        world.post("/v1/phone/otp/validate", body).as_person(&person)
    };
    validate(CODE).send().await.assert_problem(400, "incorrect_otp");
    validate(&wrong(&code)).send().await.assert_problem(400, "incorrect_otp");
    validate(&code).send().await.ok();
}
