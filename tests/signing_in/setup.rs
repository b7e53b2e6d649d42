//! The setup that several modules share: phones, organizations, test numbers, requests and store faults.

use serde_json::{Value, json};
use tests::{Call, Person, Sent, World, person};

/// Without a recent sign-in, a number is dormant after this many seconds.
pub const DORMANT_SECONDS: u64 = 180 * 86_400;

/// A different Nepalese mobile number for each `n`.
pub fn phone(n: usize) -> String {
    format!("+97798410{n:05}")
}

/// A system and a code that was sent to `phone`.
pub async fn world_with_code(phone: &str) -> (World, Sent) {
    let world = World::new().await;
    let sent = world.send_code(phone).await;
    (world, sent)
}

pub fn send<'a>(world: &'a World, phone: &str) -> Call<'a> {
    world.post("/v1/otp/send", json!({"phone_number": phone}))
}

pub fn send_to_organization<'a>(world: &'a World, phone: &str, organization: &str) -> Call<'a> {
    world.post("/v1/otp/send", json!({"phone_number": phone, "organization_id": organization}))
}

pub fn submit_with_id<'a>(world: &'a World, phone: &str, challenge_id: &str, code: &str) -> Call<'a> {
    world.post("/v1/otp/submit", json!({"phone_number": phone, "otp": code, "challenge_id": challenge_id}))
}

/// Signs in with the newest code that the phone got.
pub async fn submit_newest_code(world: &World, phone: &str) -> Person {
    let code = world.code(phone).await;
    person(phone, &world.submit(phone, &code).send().await)
}

/// Refreshes the tokens of a person in place.
pub async fn refresh(world: &World, person: &mut Person) {
    let reply = world.post("/v1/session/refresh", json!({"refresh_token": person.refresh})).send().await;
    (person.access, person.refresh) = (reply.text("access_token"), reply.text("refresh_token"));
}

/// Refreshes the sessions of devices until the number they were signed in with is dormant.
pub async fn refresh_until_dormant(world: &World, devices: &mut [Person]) {
    for _ in 0..9 {
        world.advance(DORMANT_SECONDS / 9);
        for device in &mut *devices {
            refresh(world, device).await;
        }
    }
}

pub async fn create_organization(world: &World, id: &str, settings: &[(&str, &str)]) {
    let mut item = json!({"pk": {"S": format!("organization#{id}")}, "app_name": {"S": "Acme"}});
    for (name, value) in settings {
        item[name] = json!({"S": value});
    }
    world.dynamodb("PutItem", json!({"TableName": "SettingsTable", "Item": item})).await;
}

/// Creates an organization that has a number with a fixed code.
pub async fn create_test_number(world: &World, organization: &str, phone: &str, code: &str, until: &str) {
    world.keep_secret(phone);
    world.keep_secret(code);
    let number = json!({"phone_number": {"S": phone}, "code": {"S": code}, "until": {"S": until}});
    let item = json!({
        "pk": {"S": format!("organization#{organization}")},
        "app_name": {"S": "Acme"},
        "test_numbers": {"L": [{"M": number}]},
    });
    world.dynamodb("PutItem", json!({"TableName": "SettingsTable", "Item": item})).await;
}

/// Everything that a request could change: all tables and the inbox.
pub async fn everything(world: &World) -> Value {
    let inbox = world.call("GET", "/local/inbox").send().await.ok();
    let mut state = json!({"inbox": inbox});
    for table in ["OtpsTable", "UsersTable", "SessionsTable", "SettingsTable"] {
        state[table] = json!(world.items(table).await);
    }
    state
}

/// How often a word of letters and digits occurs in a value.
pub fn mentions(value: &Value, word: &str) -> usize {
    value.to_string().split(|c: char| !c.is_ascii_alphanumeric()).filter(|found| *found == word).count()
}

pub async fn add_fault(world: &World, fault: Value) {
    assert_eq!(world.post("/local/faults", fault).send().await.status, 204);
}

pub async fn clear_faults(world: &World) {
    assert_eq!(world.call("DELETE", "/local/faults").send().await.status, 204);
}

/// Makes the next request's transactions fail, after `before` other calls to DynamoDB. Those are only duplicated, which
/// must have no effect.
pub async fn fail_transactions(world: &World, before: u32, mut fault: Value, times: u32) {
    world.fault("dynamodb", "duplicate", before).await;
    fault["target"] = json!("dynamodb");
    fault["times"] = json!(times);
    add_fault(world, fault).await;
}
