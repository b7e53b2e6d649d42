//! What `cargo local` has from its start: the parameters, organizations and users of a file.

use std::path::Path;

use jsonschema::Validator;
use local::{Options, System};
use serde_json::{Value, json};
use tests::World;

use crate::workspace::{Folder, path, text};

const SITA: &str = "+9779841000001";
const DORMANT: &str = "+9779841000002";

async fn seeded(file: &Path) -> World {
    World::of(Options { seed: Some(file.to_owned()), ..Options::default() }).await
}

/// The line with which a start refuses a seed, without the name of the file.
async fn refusal(folder: &Folder, seed: &str) -> String {
    let file = folder.write("seed.json", seed);
    let started = System::start(Options { seed: Some(file.clone()), ..Options::default() }).await;
    let line = started.err().unwrap_or_else(|| panic!("it starts with {seed}")).to_string();
    line.strip_prefix(&format!("{}: ", file.display()))
        .unwrap_or_else(|| panic!("no name of the file: {line}"))
        .to_owned()
}

fn schema() -> Validator {
    jsonschema::validator_for(&serde_json::from_str(&text("schemas/seed.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn the_example_has_a_known_user_a_dormant_one_a_test_number_and_an_invited_organization() {
    let world = seeded(&path("examples/seed.json")).await;
    let sent = world.send_code(SITA).await;
    let answer = world.submit(SITA, &sent.code).send().await.ok();
    assert_eq!((&answer["is_new_user"], &answer["user"]["username"]), (&json!(false), &json!("sita")));
    assert_eq!(answer["user"]["name"], "Sita");

    let sent = world.send_code(DORMANT).await;
    world.submit(DORMANT, &sent.code).send().await.assert_problem(403, "second_signal_required");

    let test_number = |body: Value| {
        let mut body = body;
        body["phone_number"] = json!("+9779800000000");
        body["organization_id"] = json!("acme");
        body
    };
    world.keep_secret("135790");
    world.post("/v1/otp/send", test_number(json!({}))).send().await.ok();
    assert_eq!(world.inbox("+9779800000000").await, Vec::<Value>::new());
    world.post("/v1/otp/submit", test_number(json!({"otp": "135790"}))).send().await.ok();

    let at_staff = |phone: &str| json!({"phone_number": phone, "organization_id": "acme-staff"});
    for (phone, is_member) in [("+9779841000005", false), (SITA, true)] {
        world.advance(60);
        world.keep_phone_secret(phone);
        world.post("/v1/otp/send", at_staff(phone)).send().await.ok();
        let mut submit = at_staff(phone);
        submit["otp"] = json!(world.code(phone).await);
        let reply = world.post("/v1/otp/submit", submit).send().await;
        let expected = if is_member { (200, Value::Null) } else { (403, json!("not_a_member")) };
        assert_eq!((reply.status, reply.body["code"].clone()), expected, "{phone}");
    }
}

/// An app's tests all come from one address.
#[tokio::test]
async fn a_parameter_of_the_seed_replaces_its_default() {
    let world = seeded(&path("examples/seed.json")).await;
    for person in 0..40 {
        world.send_code(&format!("+97798420000{person:02}")).await;
    }
    let unseeded = World::new().await;
    for person in 0..30 {
        unseeded.send_code(&format!("+97798420000{person:02}")).await;
    }
    let one_more = unseeded.post("/v1/otp/send", json!({"phone_number": "+9779842000030"})).send().await;
    one_more.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn the_same_seed_changes_nothing_at_a_later_start() {
    let folder = Folder::new("seeded-twice");
    let start = async |behind_seconds| {
        let world = World::of(Options {
            seed: Some(path("examples/seed.json")),
            data: Some(folder.file("data")),
            behind_seconds,
            ..Options::default()
        });
        let world = world.await;
        let mut tables = Vec::new();
        for table in ["UsersTable", "SettingsTable"] {
            tables.extend(world.items(table).await);
        }
        let without_keys = tables.into_iter().filter(|item| item["pk"]["S"] != "keys");
        let mut items: Vec<String> = without_keys.map(|item| item.to_string()).collect();
        items.sort();
        items
    };
    let days = |days: u32| days * 24 * 60 * 60;
    let first = start(days(3)).await;
    assert!(first.len() > 6, "{first:?}");
    assert_eq!(start(days(1)).await, first);
}

#[tokio::test]
async fn a_later_seed_replaces_settings_of_organizations_and_keeps_users_as_they_are() {
    let folder = Folder::new("seeded-anew");
    let start = async |app_name: &str, name: &str| {
        let seed = json!({
            "organizations": [{"id": "default", "app_name": app_name}],
            "users": [{"phone_number": SITA, "name": name}],
        });
        let file = folder.write("seed.json", seed.to_string());
        let options = Options { seed: Some(file), data: Some(folder.file("data")), ..Options::default() };
        World::of(options).await
    };
    drop(start("Himal", "Sita").await);
    let world = start("Acme", "Another").await;
    let sent = world.send_code(SITA).await;
    let message = &world.inbox(SITA).await[0]["text"];
    assert!(message.as_str().unwrap().contains("Acme"), "{message}");
    assert_eq!(world.submit(SITA, &sent.code).send().await.ok()["user"]["name"], "Sita");
}

#[tokio::test]
async fn a_seed_that_is_wrong_is_refused_with_the_place_in_it() {
    let folder = Folder::new("seeds");
    let organization = |member: &str, value: Value| {
        let mut settings = json!({"id": "acme", "app_name": "Acme"});
        settings[member] = value;
        json!({"organizations": [{"id": "first", "app_name": "First"}, settings]})
    };
    let user = |member: &str, value: Value| {
        let mut user = json!({"phone_number": SITA});
        user[member] = value;
        json!({"users": [{"username": "hari"}, user]})
    };
    // The schema can't compare members of two entries, and does not read numbers, names and days.
    let beyond_the_schema = [
        (json!({"parameters": {"CodeLifetime": 60}}), "#/parameters/CodeLifetime: the template has no such parameter"),
        (json!({"parameters": {"CodeLifetimeSeconds": 0}}), "#/parameters/CodeLifetimeSeconds: expected 60 or more"),
        (json!({"parameters": {"CodeAttempts": "many"}}), "#/parameters/CodeAttempts: expected "),
        (json!({"parameters": {"PumpingBudgets": "on"}}), "#/parameters/PumpingBudgets: expected one of off"),
        (json!({"parameters": {"Issuer": "ftp://x"}}), "#/parameters/Issuer: expected an http(s) URL"),
        (organization("id", json!("first")), "#/organizations/1/id: an earlier organization has this id"),
        (organization("languages", json!(["xx"])), "#/organizations/1/languages: "),
        (organization("default_region", json!("ZZ")), "#/organizations/1/default_region: "),
        (
            organization("test_numbers", json!([{"phone_number": "9800000000", "code": "135790"}])),
            "#/organizations/1/test_numbers: phone_number: ",
        ),
        (
            organization("test_numbers", json!([{"phone_number": SITA, "code": "135790", "until": "2020-01-01"}])),
            "#/organizations/1/test_numbers: until: ",
        ),
        (user("phone_number", json!("12")), "#/users/1/phone_number: not a mobile number"),
        (user("username", json!("hari")), "#/users/1/username: an earlier user has the same"),
        (user("username", json!("no spaces")), "#/users/1/username: "),
        (user("user_id", json!("sita")), "#/users/1/user_id: "),
        (user("roles", json!({"owner/x": ["default"]})), "#/users/1/roles: a role: "),
        (user("roles", json!({"owner": ["acme"]})), "#/users/1/roles/owner: there is no organization acme"),
    ];
    let against_the_schema = [
        (json!({"user": []}), "#/user: unknown field"),
        (json!({"users": {}}), "#/users: invalid type"),
        (
            json!({"parameters": {"CodeAttempts": [5]}}),
            "#/parameters/CodeAttempts: expected a text, a number or a boolean",
        ),
        (organization("app", json!("Acme")), "#/organizations/1/app: unknown field"),
        (organization("app_name", json!(7)), "#/organizations/1/app_name: invalid type"),
        (organization("membership", json!("closed")), "#/organizations/1/membership: expected open or invited"),
        (organization("test_numbers", json!([{"code": "135790"}])), "#/organizations/1/test_numbers/0: missing field"),
        (
            organization("test_numbers", json!([{"phone_number": SITA, "code": "1"}])),
            "#/organizations/1/test_numbers: code: ",
        ),
        (json!({"organizations": [{"id": "acme"}]}), "#/organizations/0: missing field `app_name`"),
        (user("phone", json!(SITA)), "#/users/1/phone: unknown field"),
        (user("sign_ins", json!(-1)), "#/users/1/sign_ins: invalid value"),
        (user("roles", json!({"owner": []})), "#/users/1/roles: expected each role with at least one organization"),
        (user("phone_proven_days_ago", json!("200")), "#/users/1/phone_proven_days_ago: expected a number of days"),
        (
            json!({"users": [{"phone_number": SITA, "phone_proven_at": 1, "phone_proven_days_ago": 1}]}),
            "#/users/0/phone_proven_days_ago: phone_proven_at says it already",
        ),
        (json!({"users": [{"name": "Sita"}]}), "#/users/0: expected a phone_number, a username or a user_id"),
    ];
    let schema = schema();
    for (seeds, is_valid) in [(beyond_the_schema.as_slice(), true), (&against_the_schema, false)] {
        for (seed, words) in seeds {
            let line = refusal(&folder, &seed.to_string()).await;
            assert!(line.starts_with(words), "{seed}: {line}, and not {words}");
            assert_eq!(schema.is_valid(seed), is_valid, "{seed} and schemas/seed.json");
        }
    }
    let line = refusal(&folder, "{\n  \"users\": [}").await;
    assert!(line.starts_with("not JSON: ") && line.contains("line 2"), "{line}");
}

#[tokio::test]
async fn a_seed_that_does_not_fit_what_is_there_already_writes_nothing() {
    let folder = Folder::new("seed-conflict");
    let data = Some(folder.file("data"));
    let world = World::of(Options { data: data.clone(), ..Options::default() }).await;
    world.sign_in(SITA).await;
    let before = [world.items("UsersTable").await, world.items("SettingsTable").await];
    drop(world);
    let seed = json!({
        "organizations": [{"id": "acme", "app_name": "Acme"}],
        "users": [{"username": "hari"}, {"phone_number": SITA}],
    });
    let file = folder.write("seed.json", seed.to_string());
    let started = System::start(Options { seed: Some(file), data: data.clone(), ..Options::default() }).await;
    let line = started.err().unwrap().to_string();
    assert!(line.contains("#/users/1/phone_number: another user has the number"), "{line}");
    let world = World::of(Options { data, ..Options::default() }).await;
    assert_eq!([world.items("UsersTable").await, world.items("SettingsTable").await], before);
}

/// Otherwise an editor that knows the schema would refuse what `cargo local` accepts.
#[tokio::test]
async fn the_schema_has_the_members_that_a_seed_may_have_and_accepts_the_example() {
    let example: Value = serde_json::from_str(&text("examples/seed.json")).unwrap();
    assert!(schema().is_valid(&example));
    let folder = Folder::new("seed-members");
    let schema: Value = serde_json::from_str(&text("schemas/seed.json")).unwrap();
    let declared = |pointer: &str| -> Vec<String> {
        schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    for (seed, members) in [
        (json!({"?": 1}), declared("/properties")),
        (json!({"organizations": [{"?": 1}]}), declared("/$defs/organization/properties")),
        (
            json!({"organizations": [{"test_numbers": [{"?": 1}]}]}),
            declared("/$defs/organization/properties/test_numbers/items/properties"),
        ),
        (json!({"users": [{"?": 1}]}), declared("/$defs/user/properties")),
    ] {
        let line = refusal(&folder, &seed.to_string()).await;
        let (_, known) = line.split_once("expected ").unwrap_or_else(|| panic!("{line}"));
        let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        if known.contains(&"phone_proven_at") {
            known.push("phone_proven_days_ago");
        }
        known.sort_unstable();
        let mut members = members;
        members.sort_unstable();
        assert_eq!(known, members, "{seed}");
    }
}
