//! What people are told of their accounts: on their other devices by a push, and at a former number by SMS.

use serde_json::{Value, json};
use tests::device::Device;
use tests::{Person, World, person};

use crate::{OTHER, PHONE};

/// So that a test need not refresh, which would make a token that is not fresh.
const LONG_TOKENS: &[(&str, &str)] = &[("ACCESS_TOKEN_SECONDS", "86400")];

/// Signs in on a device that can be reached.
async fn on(world: &World, phone: &str, fcm_token: &str) -> Person {
    world.advance(600);
    let sent = world.send_code(phone).await;
    let body = json!({"phone_number": phone, "otp": sent.code, "fcm_token": fcm_token});
    person(phone, &world.post("/v1/otp/submit", body).send().await)
}

/// What was pushed: to which device, and of what event. Oldest first.
async fn told(world: &World) -> Vec<(String, String)> {
    world.system.deliver_streams().await;
    let pushes = world.call("GET", "/local/pushes").send().await.ok()["pushes"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let notices = pushes.iter().rev().filter(|push| push["data"]["type"] == "account_notice");
    notices.map(|push| (text(&push["to"]), text(&push["data"]["event"]))).collect()
}

fn to(device: &str, event: &str) -> (String, String) {
    (device.to_owned(), event.to_owned())
}

#[tokio::test]
async fn a_sign_in_on_a_new_device_is_told_to_the_others_and_not_to_itself() {
    let world = World::new().await;
    on(&world, PHONE, "phone").await;
    assert_eq!(told(&world).await, [], "a new user has nobody to tell");
    on(&world, PHONE, "tablet").await;
    assert_eq!(told(&world).await, [to("phone", "new_device")]);
    assert_eq!(told(&world).await.len(), 1, "once");
}

#[tokio::test]
async fn a_known_device_that_signs_in_again_is_no_news() {
    let world = World::new().await;
    on(&world, PHONE, "phone").await;
    let device = Device::new();
    for _ in 0..2 {
        world.advance(600);
        let code = world.send_code(PHONE).await.code;
        world.submit(PHONE, &code).proven_by(&device).send().await.ok();
    }
    assert_eq!(told(&world).await, [to("phone", "new_device")]);
}

#[tokio::test]
async fn a_change_of_number_is_told_when_it_is_asked_for_and_when_it_is_made_and_to_the_former_number() {
    let world = World::with(LONG_TOKENS).await;
    on(&world, PHONE, "phone").await;
    let thief = on(&world, PHONE, "thief").await;
    world.call("PATCH", "/v1/me").as_person(&thief).json(json!({"username": "sita"})).send().await.ok();
    world.keep_phone_secret(OTHER);
    let body = json!({"phone_number": OTHER, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(&thief).send().await.ok();
    let before = world.inbox(PHONE).await.len();
    let body = json!({"phone_number": OTHER, "otp": world.code(OTHER).await, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(&thief).send().await.ok();
    let mut told = told(&world).await;
    told.sort();
    let expected = ["new_device", "phone_change_requested", "phone_changed", "username_changed"];
    assert_eq!(told, expected.map(|event| to("phone", event)));
    let inbox = world.inbox(PHONE).await;
    assert_eq!(inbox.len(), before + 1);
    let text = "The number of your Latchkey account was changed. Not you? Sign in with this number within 72 hours.";
    assert_eq!(inbox[0]["text"], text);
}

#[tokio::test]
async fn whoever_is_signed_out_by_somebody_else_is_told_although_the_session_is_gone() {
    let world = World::new().await;
    on(&world, PHONE, "phone").await;
    world.advance(600);
    let code = world.send_code(PHONE).await.code;
    let body = json!({"phone_number": PHONE, "otp": code, "sign_out_others": true, "fcm_token": "thief"});
    world.post("/v1/otp/submit", body).send().await.ok();
    // The sign-in itself would be told to the device too, but its session is gone when that is delivered.
    assert_eq!(told(&world).await, [to("phone", "signed_out")]);
}

#[tokio::test]
async fn a_deletion_is_told_to_the_other_devices() {
    let world = World::with(LONG_TOKENS).await;
    on(&world, PHONE, "phone").await;
    let thief = on(&world, PHONE, "thief").await;
    world.call("DELETE", "/v1/me").as_person(&thief).send().await;
    assert!(told(&world).await.contains(&to("phone", "account_deleted")));
}

#[tokio::test]
async fn nobody_is_told_where_notices_are_off() {
    let world = World::with(&[("NOTICES", "off")]).await;
    on(&world, PHONE, "phone").await;
    on(&world, PHONE, "tablet").await;
    assert_eq!(told(&world).await, []);
    assert_eq!(world.items("NoticesTable").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_push_that_fails_is_repeated_once_and_counted() {
    let world = World::new().await;
    on(&world, PHONE, "phone").await;
    for (failures, told_of) in [(1, 1), (4, 1)] {
        world.fault("fcm", "error", failures).await;
        on(&world, PHONE, "tablet").await;
        assert_eq!(told(&world).await.iter().filter(|(device, _)| device == "phone").count(), told_of);
    }
    let failed = world.metrics().iter().filter(|metric| metric["Outcome"] == "failed").count();
    assert_eq!(failed, 3);
}

#[tokio::test]
async fn an_undo_by_the_former_number_is_told_to_the_devices_that_stay_signed_in() {
    let world = World::with(LONG_TOKENS).await;
    on(&world, PHONE, "tablet").await;
    let owner = on(&world, PHONE, "phone").await;
    world.call("PATCH", "/v1/me").as_person(&owner).json(json!({"username": "sita"})).send().await.ok();
    world.advance(600);
    world.keep_phone_secret(OTHER);
    let body = json!({"phone_number": OTHER, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(&owner).send().await.ok();
    let body = json!({"phone_number": OTHER, "otp": world.code(OTHER).await, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(&owner).send().await.ok();
    on(&world, OTHER, "since").await;
    let code = world.send_code(PHONE).await.code;
    let body = json!({"phone_number": PHONE, "otp": code});
    world.post("/v1/phone/change/undo", body).send().await.ok();
    let told = told(&world).await;
    let undone: Vec<_> = told.iter().filter(|(_, event)| event == "phone_change_undone").collect();
    assert_eq!(undone, [&to("tablet", "phone_change_undone")]);
}

#[tokio::test]
async fn an_approved_sign_in_is_told_to_the_devices_that_did_not_approve_it() {
    let world = World::with(&[("PHONE_DORMANT_DAYS", "1")]).await;
    let owner = on(&world, PHONE, "phone").await;
    on(&world, PHONE, "tablet").await;
    world.advance(86_400);
    let sent = world.send_code(PHONE).await;
    let submit = json!({"phone_number": PHONE, "otp": sent.code, "challenge_id": sent.challenge_id});
    world.post("/v1/otp/submit", submit).send().await.assert_problem(403, "second_signal_required");
    let refresh = json!({"refresh_token": owner.refresh});
    let access = world.post("/v1/session/refresh", refresh).send().await.text("access_token");
    world.advance(31);
    let sent = world.send_code(PHONE).await;
    let approval = json!({"challenge_id": sent.challenge_id});
    world.call("POST", "/v1/me/sign-in-approval").bearer(&access).json(approval).send().await;
    assert!(told(&world).await.contains(&to("tablet", "sign_in_approved")));
    assert!(!told(&world).await.contains(&to("phone", "sign_in_approved")));
}

#[tokio::test]
async fn a_former_number_is_told_in_its_organizations_language_and_not_in_that_of_the_request() {
    let world = World::with(&[("LANGUAGES", "ne,en")]).await;
    let owner = world.sign_in_as(PHONE, "sita").await;
    world.keep_phone_secret(OTHER);
    let body = json!({"phone_number": OTHER, "change": true, "locale": "en"});
    world.post("/v1/phone/otp/send", body).as_person(&owner).send().await.ok();
    let body = json!({"phone_number": OTHER, "otp": world.code(OTHER).await, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(&owner).send().await.ok();
    world.system.deliver_streams().await;
    let text = "Latchkey खाताको नम्बर फेरियो। फर्काउन 72 घण्टाभित्र साइन इन गर्नुहोस्।";
    assert_eq!(world.inbox(PHONE).await[0]["text"], text);
}

#[tokio::test]
async fn without_a_project_for_pushes_nothing_is_written_for_devices_and_former_numbers_are_told() {
    let world = World::with(&[("FCM_PROJECT_ID", ""), ("ACCESS_TOKEN_SECONDS", "86400")]).await;
    let owner = world.sign_in_as(PHONE, "sita").await;
    on(&world, PHONE, "tablet").await;
    assert_eq!(world.items("NoticesTable").await, Vec::<Value>::new());
    world.keep_phone_secret(OTHER);
    let body = json!({"phone_number": OTHER, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(&owner).send().await.ok();
    let body = json!({"phone_number": OTHER, "otp": world.code(OTHER).await, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(&owner).send().await.ok();
    let written = world.items("NoticesTable").await;
    let notices = written.iter().filter(|item| item["pk"]["S"].as_str().unwrap().starts_with("user#"));
    assert_eq!(notices.count(), 1);
    world.system.deliver_streams().await;
    assert!(world.inbox(PHONE).await[0]["text"].as_str().unwrap().contains("was changed"));
}

#[tokio::test]
async fn a_notice_has_the_documented_members_and_no_number() {
    let world = World::new().await;
    let person = on(&world, PHONE, "phone").await;
    on(&world, PHONE, "tablet").await;
    told(&world).await;
    let pushes = world.call("GET", "/local/pushes").send().await.ok();
    let data = pushes["pushes"][0]["data"].as_object().unwrap();
    let names: Vec<&str> = data.keys().map(String::as_str).collect();
    assert_eq!(names, ["at", "event", "notice_id", "type", "user_id"]);
    assert_eq!(data["user_id"], json!(person.user_id));
    assert_eq!(world.items("NoticesTable").await, Vec::<Value>::new(), "a delivered notice is removed");
}

#[tokio::test]
async fn a_device_is_not_told_of_what_it_does_itself_in_another_session() {
    let world = World::with(LONG_TOKENS).await;
    on(&world, PHONE, "phone").await;
    let again = on(&world, PHONE, "phone").await;
    world.call("PATCH", "/v1/me").as_person(&again).json(json!({"username": "sita"})).send().await.ok();
    assert_eq!(told(&world).await, []);
    world.advance(600);
    let code = world.send_code(PHONE).await.code;
    let body = json!({"phone_number": PHONE, "otp": code, "sign_out_others": true, "fcm_token": "phone"});
    let last = person(PHONE, &world.post("/v1/otp/submit", body).send().await);
    assert_eq!(told(&world).await, []);
    world.advance(600);
    world.call("DELETE", "/v1/me").as_person(&last).send().await;
    assert_eq!(told(&world).await, []);
}

#[tokio::test]
async fn whoever_changes_the_username_back_and_forth_tells_the_devices_once_an_hour() {
    let world = World::with(LONG_TOKENS).await;
    on(&world, PHONE, "phone").await;
    let thief = on(&world, PHONE, "thief").await;
    for n in 0..6 {
        let name = if n % 2 == 0 { json!({"username": "sita"}) } else { json!({"username": "gita"}) };
        world.call("PATCH", "/v1/me").as_person(&thief).json(name).send().await.ok();
        world.advance(60);
    }
    let renames = |told: &[(String, String)]| told.iter().filter(|(_, event)| event == "username_changed").count();
    // The first name, and the first one given up.
    assert_eq!(renames(&told(&world).await), 2);
    world.advance(3_600);
    world.call("PATCH", "/v1/me").as_person(&thief).json(json!({"username": "sita"})).send().await.ok();
    assert_eq!(renames(&told(&world).await), 3);
}
