//! The command `cargo organization`: the settings that it writes take effect, and it refuses invalid ones with a reason.

use std::process::{Command, Output};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};
use tests::World;

use crate::workspace::{Folder, path, program};

/// Runs the command with these settings on the database of a running system.
fn run(world: &World, settings: &Value, options: &[&str]) -> Output {
    let port = world.system.dynamodb_address().port().to_string();
    let folder = Folder::new(&format!("organization-{port}"));
    let file = folder.write("organization.json", settings.to_string());
    let mut command = Command::new(program("latchkey-organization"));
    command.arg(&file).args(["--dynamodb-port", &port]).args(options).output().unwrap()
}

async fn message(world: &World, organization: &str) -> (u16, String) {
    let phone = "+9779841000001";
    let reply =
        world.post("/v1/otp/send", json!({"phone_number": phone, "organization_id": organization})).send().await;
    let inbox = world.inbox(phone).await;
    (reply.status, inbox.first().map(|message| message["text"].as_str().unwrap().to_owned()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_written_and_takes_effect() {
    let world = World::new().await;
    let example: Value = serde_json::from_slice(&std::fs::read(path("examples/organization.json")).unwrap()).unwrap();
    let output = run(&world, &example, &[]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("ne, sign-in: 57 of 70 UCS-2 characters\n    <#> तपाईंको Himal कोड:\n"), "{printed}");
    let (status, text) = message(&world, "himal").await;
    assert_eq!(status, 200);
    assert!(text.starts_with("<#> तपाईंको Himal कोड:\n@himal.example #"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_takes_effect() {
    let world = World::new().await;
    let day = DateTime::from_secs(world.now() + 3 * 86_400).fmt(Format::DateTime).unwrap()[..10].to_owned();
    let settings = json!({
        "id": "acme", "app_name": "Acme", "site": "acme.example", "languages": ["en"], "default_region": "IN",
        "allowed_countries": ["IN"],
        "test_numbers": [{"phone_number": "+919876543210", "code": "135790", "until": day}],
    });
    assert!(run(&world, &settings, &[]).status.success());
    let national = json!({"phone_number": "9876543210", "organization_id": "acme"});
    world.post("/v1/otp/send", national.clone()).send().await.ok();
    let mut submission = national;
    submission["otp"] = json!("135790");
    world.post("/v1/otp/submit", submission).send().await.ok();
    let nepalese = json!({"phone_number": "+9779841234567", "organization_id": "acme"});
    world.post("/v1/otp/send", nepalese).send().await.assert_problem(403, "country_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_settings_are_refused_with_the_reason_and_not_written() {
    let world = World::new().await;
    let number =
        |number: &str, code: &str, until: &str| json!([{"phone_number": number, "code": code, "until": until}]);
    for (member, value, reason) in [
        (
            "web_domain",
            json!("auth.a-very-long-subdomain-indeed.himal.example"),
            "the message in ne is 20 UCS-2 characters too long: it has 90, of 70 allowed",
        ),
        (
            "app_name",
            json!("Code 123456"),
            "app_name: expected 1 to 40 printable characters on one line, without six digits",
        ),
        ("app_name", json!("a\nb"), "app_name: expected 1 to 40 printable characters on one line"),
        ("app_nam", json!("A"), "unknown field `app_nam`"),
        ("id", json!("a b"), "id: expected 1 to 64 letters"),
        ("web_domain", json!("https://acme.example"), "web_domain: expected a domain name in lower case"),
        ("android_app_hash", json!("short"), "android_app_hash: expected 11 characters of base64"),
        ("languages", json!(["en", "xx"]), "languages: no messages are written in \"xx\"; expected en, ne"),
        ("default_region", json!("Nepal"), "default_region: expected ISO 3166-1"),
        ("allowed_countries", json!(["NP", "*"]), "allowed_countries: expected ISO 3166-1"),
        (
            "test_numbers",
            number("9800000000", "135790", "2027-01-01"),
            "expected a mobile number with + and calling code",
        ),
        ("test_numbers", number("+9779800000000", "1357", "2027-01-01"), "code: expected six digits"),
        ("test_numbers", number("+9779800000000", "135790", "soon"), "until: expected a day, YYYY-MM-DD"),
        ("test_numbers", number("+9779800000000", "135790", "2020-01-01"), "until: expected a day in the future"),
        (
            "test_numbers",
            number("+9779800000000", "135790", "2199-01-01"),
            "until: expected a day in the future, at most 366 days from now",
        ),
    ] {
        let mut settings = json!({"id": "acme", "app_name": "Acme", "android_app_hash": "FA+9qCX9VSu"});
        settings[member] = value;
        let output = run(&world, &settings, &[]);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{settings}: {printed}");
        assert!(printed.contains(reason), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(!printed.contains("135790") && !printed.contains("9800000000"), "{printed}");
    }
    assert_eq!(message(&world, "acme").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_writes_nothing() {
    let world = World::new().await;
    let settings = json!({"id": "acme", "app_name": "Acme"});
    assert!(run(&world, &settings, &["--check"]).status.success());
    assert_eq!(message(&world, "acme").await.0, 400);
}

#[test]
fn the_command_says_so_if_cargo_local_does_not_run() {
    let output = Command::new(program("latchkey-organization"))
        .args([path("examples/organization.json").to_str().unwrap(), "--dynamodb-port", "9"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(printed.contains("Does `cargo local` run?"), "{printed}");
}
