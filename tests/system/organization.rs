//! `latchkey organization`: the settings that it writes take effect, and it refuses invalid ones with a reason.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};
use tests::World;

use crate::admin::{Ran, latchkey, run};
use crate::workspace::{Folder, path};

/// Runs a command with a file of these settings.
fn with_file(world: &World, command: &str, settings: &Value, options: &[&str]) -> Ran {
    let folder = Folder::new(&format!("organization-{}", world.system.dynamodb_address().port()));
    let file = folder.write("organization.json", settings.to_string());
    latchkey(world, &[&["organization", command, file.to_str().unwrap()], options].concat())
}

fn apply(world: &World, settings: &Value, options: &[&str]) -> Ran {
    with_file(world, "apply", settings, options)
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
    let printed = apply(&world, &example, &[]).ok();
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
    apply(&world, &settings, &[]).ok();
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
        let printed = apply(&world, &settings, &[]).refused();
        assert!(printed.contains(reason), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(!printed.contains("135790") && !printed.contains("9800000000"), "{printed}");
    }
    assert_eq!(message(&world, "acme").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing() {
    let world = World::new().await;
    let settings = json!({"id": "acme", "app_name": "Acme"});
    apply(&world, &settings, &["--dry-run"]).ok();
    assert_eq!(message(&world, "acme").await.0, 400);
    assert_eq!(world.items("SettingsTable").await.len(), 1, "only the published keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_in_force_already_are_not_written_and_not_logged_again() {
    let world = World::new().await;
    let settings = json!({"id": "acme", "app_name": "Acme"});
    assert_eq!(apply(&world, &settings, &["--json"]).json()["written"], true);
    let again = apply(&world, &settings, &[]).ok();
    assert!(
        again.ends_with("There is no difference.\nacme has these settings already. Nothing was written.\n"),
        "{again}"
    );
    assert_eq!(apply(&world, &settings, &["--json"]).json()["written"], false);
    let entries = latchkey(&world, &["audit", "--json"]).json()["entries"].clone();
    assert_eq!(entries.as_array().unwrap().len(), 1, "{entries}");
    let other = json!({"id": "acme", "app_name": "Acme Ltd"});
    assert_eq!(apply(&world, &other, &["--json"]).json()["written"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_test_numbers_are_masked_is_refused_with_the_option_that_writes_them() {
    let world = World::new().await;
    let day = DateTime::from_secs(world.now() + 3 * 86_400).fmt(Format::DateTime).unwrap()[..10].to_owned();
    let number = json!([{"phone_number": "+9779800000001", "code": "135790", "until": day}]);
    apply(&world, &json!({"id": "acme", "app_name": "Acme", "test_numbers": number}), &[]).ok();
    let show =
        |options: &[&str]| latchkey(&world, &[&["organization", "show", "acme", "--json"], options].concat()).json();
    for command in ["apply", "diff"] {
        let refusal = with_file(&world, command, &show(&[]), &[]).refused();
        assert!(refusal.contains("masked: write the file with --reveal"), "{refusal}");
        with_file(&world, command, &show(&["--reveal"]), &[]).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_names_each_member_and_hides_the_code_of_a_test_number() {
    let world = World::new().await;
    let before = json!({"id": "acme", "app_name": "Acme", "languages": ["en"]});
    assert_eq!(with_file(&world, "diff", &before, &[]).ok().lines().count(), 3, "all of it is new");
    apply(&world, &before, &[]).ok();
    assert_eq!(with_file(&world, "diff", &before, &[]).ok(), "There is no difference.\n");
    let day = DateTime::from_secs(world.now() + 3 * 86_400).fmt(Format::DateTime).unwrap()[..10].to_owned();
    let number = json!([{"phone_number": "+9779800000001", "code": "135790", "until": day}]);
    let after = json!({"id": "acme", "app_name": "Acme Ltd", "test_numbers": number});
    let printed = with_file(&world, "diff", &after, &[]).ok();
    let lines: Vec<_> = printed.lines().take(3).collect();
    assert_eq!(lines, ["- app_name: \"Acme\"", "+ app_name: \"Acme Ltd\"", "- languages: [\"en\"]"]);
    assert!(printed.contains("+97798****0001") && !printed.contains("135790"), "{printed}");
    let changes = with_file(&world, "diff", &after, &["--json", "--reveal"]).json()["changes"].clone();
    assert_eq!(changes[2]["to"][0]["code"], "135790");
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_are_listed_and_shown_as_a_file_has_them() {
    let world = World::new().await;
    let settings =
        json!({"id": "acme", "app_name": "Acme", "membership": "invited", "allowed_countries": ["NP", "IN"]});
    apply(&world, &settings, &[]).ok();
    let list = latchkey(&world, &["organization", "list"]).ok();
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines[0], "ID       APP                       MEMBERS  LANGUAGES  COUNTRIES         TEST NUMBERS");
    assert_eq!(lines[1], "acme     Acme                      invited  all        NP, IN            0");
    assert_eq!(lines[2], "default  (the stack's parameters)  open     all        the deployment's  0");
    assert_eq!(latchkey(&world, &["organization", "show", "acme", "--json"]).json(), settings);
    let refusal = latchkey(&world, &["organization", "show", "nobody"]).refused();
    assert!(refusal.contains("there is no organization nobody; see `latchkey organization list`"), "{refusal}");
}

#[test]
fn the_command_says_so_if_cargo_local_does_not_run() {
    let file = path("examples/organization.json");
    let ran = run(&["organization", "apply", file.to_str().unwrap(), "--dynamodb-port", "9"]);
    assert!(ran.refused().contains("Does `cargo local` run?"));
}
