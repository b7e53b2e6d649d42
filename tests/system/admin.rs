//! `latchkey`: what operators see and change of users, numbers and keys, and the log of their changes.

use std::process::Command;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};
use tests::World;
use tests::device::Device;
use tests::token::claims;

use crate::workspace::program;

const PHONE: &str = "+9779841000001";
const OTHER: &str = "+9779841000002";

/// What a command printed.
#[derive(Debug)]
pub struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// The answer. Panics unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The answer, and what else was printed. Panics unless the command succeeded.
    #[track_caller]
    pub fn printed(self) -> (String, String) {
        assert_eq!(self.code, Some(0), "{self:?}");
        (self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// The answer of a command that did its work and found that something is wrong.
    #[track_caller]
    pub fn bad(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.stdout
    }

    #[track_caller]
    pub fn bad_json(self) -> Value {
        serde_json::from_str(&self.bad()).unwrap()
    }

    /// The reason, on one line. Panics unless the command failed.
    #[track_caller]
    pub fn refused(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        self.stderr
    }
}

pub fn run(arguments: &[&str]) -> Ran {
    run_with(&[], arguments)
}

/// As [`run`], with these variables in the environment.
pub fn run_with(variables: &[(&str, String)], arguments: &[&str]) -> Ran {
    let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
    let output = Command::new(program("latchkey")).args(arguments).envs(variables).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a command as Sita on a running system.
pub fn latchkey(world: &World, arguments: &[&str]) -> Ran {
    let dynamodb = world.system.dynamodb_address().port().to_string();
    let aws = world.system.aws_address().port().to_string();
    let now = world.now().to_string();
    let here = ["--dynamodb-port", &*dynamodb, "--aws-port", &aws, "--local-time", &now, "--as", "sita"];
    run(&[arguments, &here].concat())
}

fn day_after(world: &World, days: i64) -> String {
    DateTime::from_secs(world.now() + days * 86_400).fmt(Format::DateTime).unwrap()[..10].to_owned()
}

/// Action and subject of each entry of the log, newest first.
fn log(world: &World) -> Vec<(String, String)> {
    let entries = latchkey(world, &["audit", "--json"]).json()["entries"].clone();
    let entry = |entry: &Value| {
        assert_eq!(entry["by"], "sita");
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        (text("action"), text("subject"))
    };
    entries.as_array().unwrap().iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_number_is_added_takes_another_code_and_is_removed() {
    let world = World::new().await;
    let folder = crate::workspace::Folder::new(&format!("test-number-{}", world.system.dynamodb_address().port()));
    let file = folder.write("acme.json", json!({"id": "acme", "app_name": "Acme"}).to_string());
    latchkey(&world, &["organization", "apply", file.to_str().unwrap()]).ok();
    let day = day_after(&world, 3);
    let add = |code: &str| {
        let arguments = ["test-number", "add", PHONE, "--organization", "acme", "--code", code, "--until", &day];
        latchkey(&world, &arguments)
    };
    assert!(add("1234").refused().contains("code: expected six digits"));
    add("135790").ok();
    add("246802").ok();
    let list = latchkey(&world, &["test-number", "list", "--organization", "acme"]).ok();
    assert_eq!(list, format!("NUMBER          CODE    UNTIL\n+97798****0001  ******  {day}\n"));
    let body = json!({"phone_number": PHONE, "organization_id": "acme"});
    world.post("/v1/otp/send", body.clone()).send().await.ok();
    let submission = tests::with(&body, json!({"otp": "246802"}));
    world.post("/v1/otp/submit", submission).send().await.ok();
    latchkey(&world, &["test-number", "remove", PHONE, "--organization", "acme"]).ok();
    let again = latchkey(&world, &["test-number", "remove", PHONE, "--organization", "acme"]).refused();
    assert!(again.contains("+97798****0001 is no test number of acme"), "{again}");
    let actions: Vec<_> = log(&world).into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["test_number.remove", "test_number.add", "test_number.add", "organization.apply"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_number_of_the_default_organization_is_added_to_what_the_parameters_say() {
    let world = World::new().await;
    let before = latchkey(&world, &["organization", "show", "default", "--json"]).json();
    latchkey(&world, &["test-number", "add", PHONE, "--code", "135790", "--until", &day_after(&world, 3)]).ok();
    let mut after = latchkey(&world, &["organization", "show", "default", "--json"]).json();
    assert_eq!(after["test_numbers"].as_array().unwrap().len(), 1);
    after.as_object_mut().unwrap().remove("test_numbers");
    assert_eq!(after, before);
    let sent = world.post("/v1/otp/send", json!({"phone_number": PHONE})).send().await;
    assert_eq!(sent.status, 200, "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_asked_for_and_the_former_key_is_retired_once_it_no_longer_signs() {
    let world = World::new().await;
    let status = || latchkey(&world, &["key", "status", "--json"]).json();
    let first = status()["keys"][0]["kid"].as_str().unwrap().to_owned();
    assert!(latchkey(&world, &["key", "retire", &first, "--yes"]).refused().contains("newest key"));
    latchkey(&world, &["key", "rotate"]).ok();
    let keys = status()["keys"].clone();
    assert_eq!((keys[0]["state"].as_str(), keys[1]["kid"].as_str()), (Some("newest"), Some(&*first)));
    assert_eq!(keys[1]["state"], "signs");
    assert!(latchkey(&world, &["key", "rotate"]).refused().contains("does not sign yet"));
    let early = latchkey(&world, &["key", "retire", &first, "--yes"]).refused();
    assert!(early.contains("still signs"), "{early}");
    world.advance(660);
    let asked = latchkey(&world, &["key", "retire", &first]).refused();
    assert!(asked.contains("must sign in again") && asked.contains("--yes"), "{asked}");
    latchkey(&world, &["key", "retire", &first, "--yes"]).ok();
    assert_eq!(status()["keys"].as_array().unwrap().len(), 1);
    assert!(latchkey(&world, &["key", "retire", &first, "--yes"]).refused().contains("no key has this id"));
    let actions: Vec<_> = log(&world).into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["key.retire", "key.rotate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_signs_because_a_rotation_stopped_is_not_retired() {
    let world = World::new().await;
    let status = || latchkey(&world, &["key", "status", "--json"]).json();
    let first = status()["keys"][0]["kid"].as_str().unwrap().to_owned();
    let version = "4f1d2c4b-5a69-4e87-9b0c-7d8e9fa0b1c2";
    let event = |step: &str| json!({"Step": step, "SecretId": "SigningKeySecret", "ClientRequestToken": version});
    for step in ["createSecret", "setSecret", "testSecret"] {
        world.system.invoke("RotateKeysFunction", event(step)).await.unwrap();
    }
    world.advance(86_400);
    let refused = latchkey(&world, &["key", "retire", &first, "--yes"]).refused();
    assert!(refused.contains("the rotation has not ended"), "{refused}");
    world.system.invoke("RotateKeysFunction", event("finishSecret")).await.unwrap();
    let early = latchkey(&world, &["key", "retire", &first, "--yes"]).refused();
    assert!(early.contains("wait until"), "{early}");
    world.advance(300);
    latchkey(&world, &["key", "retire", &first, "--yes"]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_by_number_id_and_username() {
    let world = World::new().await;
    let sita = world.sign_in_as(PHONE, "sita.rai").await;
    for who in [PHONE, "9841000001", &sita.user_id, "Sita.Rai"] {
        let shown = latchkey(&world, &["user", "show", who, "--json"]).json();
        assert_eq!(shown["user"]["user_id"], *sita.user_id, "{who}");
        assert_eq!(shown["user"]["phone_number"], "+97798****0001");
        assert_eq!(shown["sessions"].as_array().unwrap().len(), 1);
    }
    let text = latchkey(&world, &["user", "show", PHONE, "--reveal"]).ok();
    assert!(text.contains(&format!("number         {PHONE}\n")), "{text}");
    assert!(text.contains("roles          default in default\n"), "{text}");
    for who in [OTHER, "nobody.here", "usr_01jd8x4n5t2qvzk7w3m9hpa6rc"] {
        latchkey(&world, &["user", "show", who]).refused();
    }
    let wrong = latchkey(&world, &["user", "join", "usr_x"]).refused();
    assert!(wrong.contains("no user has this id, number or username"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_signed_out_has_no_session_and_no_known_device_and_others_keep_theirs() {
    let world = World::new().await;
    let (phone, device) = (PHONE, Device::new());
    let sent = world.send_code(phone).await;
    let signed_in = world.submit(phone, &sent.code).proven_by(&device).send().await;
    let sita = tests::person(phone, &signed_in);
    let other = world.sign_in(OTHER).await;
    let dry = latchkey(&world, &["user", "sign-out", phone, "--dry-run"]).ok();
    assert_eq!(dry, format!("Would end 1 session of {} and forget 1 device. Nothing was changed.\n", sita.user_id));
    assert!(latchkey(&world, &["user", "sign-out", phone]).refused().contains("--yes"));
    assert_eq!(world.call("GET", "/v1/me").as_person(&sita).send().await.status, 200);
    latchkey(&world, &["user", "sign-out", phone, "--yes"]).ok();
    world.call("GET", "/v1/me").as_person(&sita).send().await.assert_problem(401, "session_revoked");
    assert_eq!(world.call("GET", "/v1/me").as_person(&other).send().await.status, 200);
    let users = json!(world.items("UsersTable").await).to_string();
    assert!(!users.contains("device_key_"), "{users}");
    assert_eq!(log(&world), [("user.sign_out".to_owned(), sita.user_id)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_can_come_back_unless_they_were_deleted_at_once() {
    let world = World::new().await;
    for (phone, option, status) in [(PHONE, None, 403), (OTHER, Some("--at-once"), 200)] {
        let person = world.sign_in(phone).await;
        let delete = |answer: &str| {
            let options: Vec<&str> = option.into_iter().chain([answer]).collect();
            latchkey(&world, &[&["user", "delete", phone], &*options].concat()).ok()
        };
        let end = if option.is_some() { "Nobody can take that back." } else { "Whoever proves the number can take" };
        let dry = delete("--dry-run");
        assert!(dry.contains(end) && dry.ends_with(". Nothing was changed.\n"), "{dry}");
        delete("--yes");
        world.call("GET", "/v1/me").as_person(&person).send().await.assert_problem(403, "no_such_user");
        world.advance(60);
        let sent = world.send_code(phone).await;
        let reply = world.submit(phone, &sent.code).send().await;
        assert_eq!(reply.status, status, "{option:?}: {reply:?}");
        if status == 200 {
            assert_ne!(tests::person(phone, &reply).user_id, person.user_id);
        }
    }
    let actions: Vec<_> = log(&world).into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["user.delete", "user.delete"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_memberships_are_in_the_tokens_of_the_next_refresh() {
    let world = World::new().await;
    let sita = world.sign_in(PHONE).await;
    latchkey(&world, &["user", "add-role", PHONE, "admin"]).ok();
    let join = || latchkey(&world, &["user", "join", &sita.user_id, "--organization", "acme"]);
    let refused = join();
    assert_eq!(refused.code, Some(1), "an organization that does not exist: {refused:?}");
    world.create_organization("acme", &[]).await;
    join().ok();
    let sita = world.refreshed(&sita).await;
    assert_eq!(claims(&sita.access)["roles"], json!({"admin": ["default"], "default": ["default"]}));
    assert_eq!(world.me(&sita).await["roles"]["default"], json!(["acme", "default"]));
    latchkey(&world, &["user", "remove-role", PHONE, "admin"]).ok();
    latchkey(&world, &["user", "leave", PHONE, "--organization", "acme"]).ok();
    let sita = world.refreshed(&sita).await;
    assert_eq!(world.me(&sita).await["roles"], json!({"default": ["default"]}));
    assert!(latchkey(&world, &["user", "leave", PHONE, "--organization", "acme"]).refused().contains("has no role"));
    assert!(latchkey(&world, &["user", "add-role", PHONE, "a b"]).refused().contains("the role: expected"));
    assert!(latchkey(&world, &["user", "add-role", PHONE, "default"]).refused().contains("already"));
    assert!(latchkey(&world, &["user", "remove-role", PHONE, "admin"]).refused().contains("has no role admin"));
    assert_eq!(log(&world).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_number_from_signing_in_is_named_with_its_end() {
    let world = World::new().await;
    let why = |number: &str| latchkey(&world, &["number", "why", number, "--json"]).json();
    let obstacles = |number: &str| -> Vec<String> {
        let found = why(number)["obstacles"].clone();
        found.as_array().unwrap().iter().map(|obstacle| obstacle["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(obstacles(PHONE), [""; 0]);
    assert!(why(PHONE)["facts"]["holder"].as_str().unwrap().starts_with("nobody"));
    assert_eq!(obstacles("+919876543210"), ["country_not_allowed"]);
    let sent = world.send_code(PHONE).await;
    assert_eq!(obstacles(PHONE), ["too_many_sends"]);
    for _ in 0..10 {
        world.submit(PHONE, &tests::wrong(&sent.code)).send().await;
    }
    let found = why(PHONE);
    assert_eq!(found["obstacles"][1]["code"], "too_many_guesses");
    assert!(found["obstacles"][1]["until"].as_i64().unwrap() > world.now());
    let text = latchkey(&world, &["number", "why", PHONE]).ok();
    assert!(text.contains("- No code can be sent until 20"), "{text}");
    assert!(text.contains("- Guesses without an id are refused until 20"), "{text}");
    assert!(text.contains(" UTC after 10 wrong codes.\n"), "{text}");
    assert!(!text.contains(PHONE), "{text}");
    assert!(latchkey(&world, &["number", "why", "12"]).refused().contains("no mobile number"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dormant_and_a_released_number_are_told_apart() {
    let world = World::new().await;
    let codes = |number: &str| latchkey(&world, &["number", "why", number, "--json"]).json()["obstacles"].clone();
    let sita = world.sign_in(OTHER).await;
    latchkey(&world, &["user", "delete", &sita.user_id, "--yes"]).ok();
    assert_eq!(codes(OTHER)[1]["code"], "number_released");
    world.sign_in(PHONE).await;
    let proven_at = (world.now() - 181 * 86_400).to_string();
    let update = json!({
        "TableName": "UsersTable", "Key": {"pk": {"S": format!("phone#{PHONE}")}},
        "UpdateExpression": "SET proven_at = :at", "ExpressionAttributeValues": {":at": {"N": proven_at}},
    });
    world.dynamodb("UpdateItem", update).await;
    assert_eq!(codes(PHONE)[1]["code"], "second_signal_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_number_is_nobodys_and_its_former_holder_keeps_the_account() {
    let world = World::new().await;
    let sita = world.sign_in(PHONE).await;
    assert!(latchkey(&world, &["number", "release", PHONE]).refused().contains(&sita.user_id));
    latchkey(&world, &["number", "release", PHONE, "--yes"]).ok();
    assert_eq!(world.me(&sita).await["phone_number"], Value::Null);
    world.advance(60);
    let next = world.sign_in(PHONE).await;
    assert_ne!(next.user_id, sita.user_id);
    // Kept for a deleted user: released for good.
    latchkey(&world, &["user", "delete", PHONE, "--yes"]).ok();
    latchkey(&world, &["number", "release", PHONE, "--yes"]).ok();
    assert!(latchkey(&world, &["number", "release", PHONE, "--yes"]).refused().contains("nobody's already"));
    let entries = latchkey(&world, &["audit", "--json"]).json()["entries"].clone();
    assert_eq!(entries[0]["detail"], "+97798****0001");
    let log = json!(world.items("SettingsTable").await).to_string();
    assert!(!log.contains(PHONE), "the log has a full number");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_get_numbers_of_their_own_in_the_log() {
    let world = std::sync::Arc::new(World::new().await);
    world.sign_in(PHONE).await;
    let runs = tests::at_once(&world, 4, |world, n| async move {
        let role = format!("role{n}");
        tokio::task::spawn_blocking(move || latchkey(&world, &["user", "add-role", PHONE, &role]).ok()).await.unwrap()
    });
    assert_eq!(runs.await.len(), 4);
    let text = latchkey(&world, &["audit", "--last", "3"]).ok();
    let numbers: Vec<_> = text.lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(numbers, ["4", "3", "2"]);
    let shown = latchkey(&world, &["user", "show", PHONE, "--json"]).json();
    assert_eq!(shown["user"]["roles"].as_object().unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_user_is_refused_after_the_right_code_and_at_a_refresh_until_unblocked() {
    let world = World::new().await;
    let sita = world.sign_in(PHONE).await;
    assert!(latchkey(&world, &["user", "block", PHONE]).refused().contains("--yes"));
    latchkey(&world, &["user", "block", PHONE, "--yes"]).ok();
    assert!(latchkey(&world, &["user", "block", PHONE, "--yes"]).refused().contains("is blocked since"));
    world.call("GET", "/v1/me").as_person(&sita).send().await.assert_problem(401, "session_revoked");
    world.refresh(&sita.refresh).await.assert_problem(403, "account_blocked");
    world.advance(60);
    let sent = world.send_code(PHONE).await;
    world
        .submit_with_id(PHONE, &sent.challenge_id, &tests::wrong(&sent.code))
        .send()
        .await
        .assert_problem(400, "incorrect_otp");
    let submit = || world.submit_with_id(PHONE, &sent.challenge_id, &sent.code);
    submit().send().await.assert_problem(403, "account_blocked");
    let shown = latchkey(&world, &["user", "show", PHONE, "--json"]).json();
    assert_eq!((&shown["user"]["sign_ins"], &shown["sessions"]), (&json!(1), &json!([])));
    let why = latchkey(&world, &["number", "why", PHONE, "--json"]).json();
    assert!(why["obstacles"].to_string().contains("account_blocked"), "{why}");
    latchkey(&world, &["user", "unblock", PHONE]).ok();
    // The code was not used up.
    assert_eq!(submit().send().await.status, 200);
    assert!(latchkey(&world, &["user", "unblock", PHONE]).refused().contains("is not blocked"));
    assert_eq!(log(&world), ["user.unblock", "user.block"].map(|action| (action.to_owned(), sita.user_id.clone())));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sign_ins_and_a_block_at_once_none_leaves_a_blocked_user_signed_in() {
    let world = std::sync::Arc::new(World::new().await);
    world.sign_in(PHONE).await;
    for _ in 0..3 {
        world.advance(3_600);
        let sent = world.send_code(PHONE).await;
        let code = sent.code.clone();
        let both = tests::at_once(&world, 2, move |world, n| {
            let code = code.clone();
            async move {
                if n == 0 {
                    world.submit(PHONE, &code).send().await.status
                } else {
                    let block = move || latchkey(&world, &["user", "block", PHONE, "--yes"]).ok();
                    tokio::task::spawn_blocking(block).await.unwrap();
                    0
                }
            }
        });
        let status = both.await[0];
        assert!([200, 403].contains(&status), "{status}");
        let shown = latchkey(&world, &["user", "show", PHONE, "--json"]).json();
        assert_eq!(shown["sessions"], json!([]), "after {status}");
        latchkey(&world, &["user", "unblock", PHONE]).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_who_was_blocked_is_not_restored() {
    let world = World::new().await;
    world.sign_in(PHONE).await;
    latchkey(&world, &["user", "block", PHONE, "--yes"]).ok();
    latchkey(&world, &["user", "delete", PHONE, "--yes"]).ok();
    world.advance(60);
    let sent = world.send_code(PHONE).await;
    let restore = json!({"phone_number": PHONE, "otp": sent.code, "restore": true});
    world.post("/v1/otp/submit", restore).send().await.assert_problem(403, "account_blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_number_or_beginning_gets_no_code_and_is_told_what_a_foreign_country_is_told() {
    let world = World::new().await;
    let send = async |phone: &str| world.post("/v1/otp/send", json!({"phone_number": phone})).send().await;
    let blocked = latchkey(&world, &["number", "block", OTHER, "--yes"]).ok();
    assert_eq!(blocked, "Within a minute, no number that begins with +97798****0002 gets a code.\n");
    world.advance(60);
    let refused = send(OTHER).await;
    let mut foreign = send("+919876543210").await;
    foreign.headers.clone_from(&refused.headers);
    assert_eq!((refused.status, &refused.body), (foreign.status, &foreign.body));
    assert_eq!(send(PHONE).await.status, 200, "another number");
    latchkey(&world, &["number", "block", "+977 984", "--yes"]).ok();
    world.advance(60);
    send(PHONE).await.assert_problem(403, "country_not_allowed");
    let why = latchkey(&world, &["number", "why", PHONE, "--json"]).json();
    assert!(why["obstacles"].to_string().contains("number_blocked"), "{why}");
    assert_eq!(latchkey(&world, &["number", "blocked"]).ok(), "+977984\n+97798****0002\n");
    latchkey(&world, &["number", "unblock", "+977984"]).ok();
    world.advance(60);
    assert_eq!(send(PHONE).await.status, 200);
    assert!(latchkey(&world, &["number", "unblock", "+977984"]).refused().contains("is not blocked"));
    assert_eq!(latchkey(&world, &["number", "unblock", OTHER, "--json"]).json()["unblocked"], "+97798****0002");
    let absent = latchkey(&world, &["number", "unblock", OTHER]).refused();
    assert!(!absent.contains(OTHER), "{absent}");
    let asked = latchkey(&world, &["number", "block", OTHER, "--reveal"]).refused();
    assert!(asked.contains(OTHER), "{asked}");
    for wrong in ["977984", "9841000001", "+", "+97798x", "+9779841000001234"] {
        for command in ["block", "unblock"] {
            let refusal = latchkey(&world, &["number", command, wrong, "--yes"]).refused();
            assert!(refusal.contains("its beginning with + and calling code, such as +977"), "{refusal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_in_the_access_tokens_of_a_sign_in_and_a_refresh_and_in_the_authorizers_context() {
    let world = World::new().await;
    let sita = world.sign_in(PHONE).await;
    assert_eq!(claims(&sita.access).get("claims"), None);
    latchkey(&world, &["user", "set-claims", PHONE, r#"{"plan": "gold", "seats": [1, 2]}"#]).ok();
    let wanted = json!({"plan": "gold", "seats": [1, 2]});
    let refreshed = world.refreshed(&sita).await;
    assert_eq!(claims(&refreshed.access)["claims"], wanted);
    assert_eq!(claims(&refreshed.refresh).get("claims"), None);
    world.advance(60);
    let again = world.sign_in(PHONE).await;
    assert_eq!(claims(&again.access)["claims"], wanted);
    let event = json!({
        "version": "2.0", "type": "REQUEST", "routeArn": "arn:aws:execute-api:us-east-1:1:api/$default/GET/orders",
        "identitySource": [format!("Bearer {}", again.access)], "routeKey": "GET /orders", "rawPath": "/orders",
        "rawQueryString": "", "headers": {"authorization": format!("Bearer {}", again.access)},
        "requestContext": {
            "accountId": "1", "apiId": "api", "domainName": "localhost", "domainPrefix": "api", "requestId": "r",
            "http": {"method": "GET", "path": "/orders", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"},
            "routeKey": "GET /orders", "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
        },
    });
    let verdict = world.system.invoke("AuthorizerFunction", event).await.unwrap();
    let passed: Value = serde_json::from_str(verdict["context"]["claims"].as_str().unwrap()).unwrap();
    assert_eq!(passed, wanted);
    for wrong in ["7", "[]", "gold", &format!(r#"{{"a":"{}"}}"#, "x".repeat(2_048))] {
        let refusal = latchkey(&world, &["user", "set-claims", PHONE, wrong]).refused();
        assert!(refusal.contains("expected a JSON object of at most 2048 bytes"), "{refusal}");
    }
    latchkey(&world, &["user", "set-claims", PHONE, "{}"]).ok();
    assert_eq!(claims(&world.refreshed(&again).await.access).get("claims"), None);
    let entries = latchkey(&world, &["audit", "--json"]).json()["entries"].clone();
    assert_eq!((&entries[1]["detail"], &entries[0]["detail"]), (&json!("plan, seats"), &json!("none")));
}
