//! The setup that several modules share: phones, requests and store faults.

use serde_json::{Value, json};
use tests::{Call, Person, Sent, World, person};

/// Without a recent sign-in, a number is dormant after this many seconds.
pub const DORMANT_SECONDS: u64 = 180 * 86_400;

/// Lets one source address guess more often than any test does, for tests of other limits.
pub const MANY_GUESSES: [(&str, &str); 2] =
    [("SOURCE_GUESSES_PER_HOUR", "100000"), ("SOURCE_GUESSES_PER_DAY", "100000")];

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

/// Signs in with the newest code that the phone got.
pub async fn submit_newest_code(world: &World, phone: &str) -> Person {
    let code = world.code(phone).await;
    person(phone, &world.submit(phone, &code).send().await)
}

/// Refreshes the sessions of devices until the number they were signed in with is dormant.
pub async fn refresh_until_dormant(world: &World, devices: &mut [Person]) {
    for _ in 0..9 {
        world.advance(DORMANT_SECONDS / 9);
        for device in &mut *devices {
            *device = world.refreshed(device).await;
        }
    }
}

/// Everything that a request could change: all tables and the inbox.
pub async fn everything(world: &World) -> Value {
    let inbox = world.call("GET", "/local/inbox").send().await.ok();
    let mut state = json!({"inbox": inbox});
    for table in ["OtpsTable", "UsersTable", "SessionsTable", "SettingsTable", "NoticesTable"] {
        state[table] = json!(world.items(table).await);
    }
    state
}

/// How often a word of letters and digits occurs in a value.
pub fn mentions(value: &Value, word: &str) -> usize {
    value.to_string().split(|c: char| !c.is_ascii_alphanumeric()).filter(|found| *found == word).count()
}

/// Makes DynamoDB refuse the next request's transactions with this code, after `before` other calls. Those are only
/// duplicated, which must have no effect.
pub async fn fail_transactions(world: &World, before: u32, code: &str, times: u32) {
    world.fault("dynamodb", "duplicate", before).await;
    world.add_fault(json!({"target": "dynamodb", "mode": "refuse", "code": code, "times": times})).await;
}
