//! What tests begin with.

use serde_json::{Value, json};
use tests::{Call, World};

/// A Nepalese mobile number, another one for each `n`.
pub fn phone(n: usize) -> String {
    format!("+97798410{n:05}")
}

/// Asks for a code.
pub fn send<'a>(world: &'a World, phone: &str) -> Call<'a> {
    world.post("/v1/otp/send", json!({"phone_number": phone}))
}

/// Submits a code along with its challenge.
pub fn submit_bound<'a>(world: &'a World, phone: &str, challenge_id: &str, code: &str) -> Call<'a> {
    world.post("/v1/otp/submit", json!({"phone_number": phone, "otp": code, "challenge_id": challenge_id}))
}

/// Sets an organization up.
pub async fn organization(world: &World, id: &str, settings: &[(&str, &str)]) {
    let mut item = json!({"pk": {"S": format!("organization#{id}")}, "app_name": {"S": "Acme"}});
    for (name, value) in settings {
        item[name] = json!({"S": value});
    }
    world.dynamodb("PutItem", json!({"TableName": "SettingsTable", "Item": item})).await;
}

/// Everything that a request could have changed.
pub async fn everything(world: &World) -> Value {
    let inbox = world.call("GET", "/local/inbox").send().await.ok();
    let mut tables = json!({"inbox": inbox});
    for table in ["OtpsTable", "UsersTable", "SessionsTable", "SettingsTable"] {
        tables[table] = json!(world.items(table).await);
    }
    tables
}

/// How often a word of letters and digits stands in a value.
pub fn mentions(value: &Value, word: &str) -> usize {
    value.to_string().split(|c: char| !c.is_ascii_alphanumeric()).filter(|found| *found == word).count()
}

/// Makes the next request's transactions go wrong, but not the reads or writes that go before them, so many: what those
/// do twice they might as well have done once.
pub async fn spoil_transactions(world: &World, before: u32, mut fault: Value, times: u32) {
    world.fault("dynamodb", "duplicate", before).await;
    fault["target"] = json!("dynamodb");
    fault["times"] = json!(times);
    assert_eq!(world.post("/local/faults", fault).send().await.status, 204);
}

/// Gives an organization a number with a fixed code.
pub async fn test_number(world: &World, organization: &str, phone: &str, code: &str, until: &str) {
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
