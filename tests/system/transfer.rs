//! `latchkey import` and `export`: users from elsewhere can sign in afterwards, and a run that is killed loses and doubles none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::World;

use crate::admin::{Ran, latchkey, run_with};
use crate::workspace::{Folder, program};

/// A day before the worlds begin, so that no proof is dormant.
const PROVEN: i64 = 1_700_000_000;

fn folder(world: &World, name: &str) -> Folder {
    Folder::new(&format!("{name}-{}", world.system.dynamodb_address().port()))
}

fn import(world: &World, format: &str, file: &Path, options: &[&str]) -> Ran {
    latchkey(world, &[&["import", format, file.to_str().unwrap()], options].concat())
}

/// The numbers of an import's answer: imported, there already, rejected.
fn counts(answer: &Value) -> (u64, u64, u64) {
    let count = |name: &str| answer[name].as_u64().unwrap();
    (count("imported"), count("already_there"), count("rejected"))
}

/// The user's item with this number.
async fn user(world: &World, phone: &str) -> Value {
    let users = world.items("UsersTable").await;
    users.into_iter().find(|item| item["phone"]["S"] == phone).unwrap_or_else(|| panic!("no user has {phone}"))
}

/// Panics unless the right code opens the account of this user.
async fn assert_signs_in(world: &World, phone: &str) {
    let before = user(world, phone).await["user_id"]["S"].as_str().unwrap().to_owned();
    assert_eq!(world.sign_in(phone).await.user_id, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_firebase_keep_their_claims_and_the_dates_of_their_proofs() {
    let world = World::new().await;
    let folder = folder(&world, "firebase");
    let recent = (world.now() - 86_400) * 1_000;
    let file = folder.write(
        "users.json",
        json!({"users": [
            {
                "localId": "a1", "phoneNumber": "+9779841000001", "displayName": "Sita", "createdAt": recent.to_string(),
                "lastSignedInAt": (recent + 3_600_000).to_string(), "customAttributes": "{\"plan\":\"gold\"}",
                "providerUserInfo": [{"providerId": "phone", "rawId": "+9779841000001"}], "photoUrl": "https://a.example/s.png",
            },
            {
                "localId": "b2", "phoneNumber": "+9779841000002", "createdAt": recent.to_string(), "disabled": true,
                "lastSignedInAt": (recent + 3_600_000).to_string(), "email": "b@example.com", "passwordHash": "x",
                "providerUserInfo": [{"providerId": "phone"}, {"providerId": "google.com"}],
            },
            {"localId": "c3", "email": "c@example.com", "createdAt": recent.to_string()},
        ]})
        .to_string(),
    );
    let dry = import(&world, "firebase", &file, &["--dry-run", "--json"]).bad_json();
    assert_eq!((counts(&dry), world.items("UsersTable").await.len()), ((2, 0, 1), 0));
    let answer = import(&world, "firebase", &file, &["--json"]).bad_json();
    assert_eq!(counts(&answer), (2, 0, 1));
    assert_eq!(answer["reasons"], json!({"the account has no number": 1}));
    let rejected = std::fs::read_to_string(folder.file("users.json.rejected")).unwrap();
    assert_eq!(rejected, "{\"reason\":\"the account has no number\",\"record\":3}\n");
    let sita = user(&world, "+9779841000001").await;
    assert_eq!(sita["phone_proven_at"]["N"], (recent / 1_000 + 3_600).to_string());
    assert_eq!((&sita["claims"]["S"], &sita["name"]["S"]), (&json!("{\"plan\":\"gold\"}"), &json!("Sita")));
    assert_signs_in(&world, "+9779841000001").await;
    // Another provider's sign-in proves no number.
    assert_eq!(user(&world, "+9779841000002").await["phone_proven_at"]["N"], (recent / 1_000).to_string());
    let sent = world.send_code("+9779841000002").await;
    world.submit("+9779841000002", &sent.code).send().await.assert_problem(403, "account_blocked");
    let again = import(&world, "firebase", &file, &["--json"]).bad_json();
    assert_eq!(counts(&again), (0, 2, 1), "an import that is repeated changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_cognito_need_a_verified_number_and_the_day_of_its_proof() {
    let world = World::new().await;
    let folder = folder(&world, "cognito");
    let file = folder.write(
        "users.csv",
        "cognito:username,name,preferred_username,phone_number,phone_number_verified,cognito:mfa_enabled\n\
         u-1,\"Rai, Sita\",sita.rai,+9779841000001,TRUE,FALSE\n\
         u-2,Hari,,+9779841000002,FALSE,FALSE\n\
         u-3,Gita,no spaces please,+9779841000003,true,FALSE\n",
    );
    let undated = import(&world, "cognito", &file, &["--json"]).bad_json();
    assert_eq!(counts(&undated), (0, 0, 3));
    assert!(undated["reasons"].to_string().contains("see --proven-on"), "{undated}");
    let day = &aws_smithy_types::DateTime::from_secs(world.now() - 86_400)
        .fmt(aws_smithy_types::date_time::Format::DateTime)
        .unwrap()[..10];
    world.create_organization("acme", &[]).await;
    let answer = import(&world, "cognito", &file, &["--json", "--proven-on", day, "--organization", "acme"]).bad_json();
    assert_eq!(counts(&answer), (1, 0, 2));
    let sita = user(&world, "+9779841000001").await;
    assert_eq!((&sita["name"]["S"], &sita["role_default"]["SS"]), (&json!("Rai, Sita"), &json!(["acme"])));
    assert_signs_in(&world, "+9779841000001").await;
    assert_eq!(latchkey(&world, &["user", "show", "Sita.Rai", "--json"]).json()["user"]["username"], "sita.rai");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_supabase_are_read_as_postgresql_writes_them() {
    let world = World::new().await;
    let folder = folder(&world, "supabase");
    let at = |seconds: i64| {
        let text = aws_smithy_types::DateTime::from_secs(seconds).fmt(aws_smithy_types::date_time::Format::DateTime);
        text.unwrap().replace('T', " ").replace('Z', ".123456+00")
    };
    let (confirmed, signed_in) = (world.now() - 9 * 86_400, world.now() - 86_400);
    let rows = format!(
        "id,phone,phone_confirmed_at,created_at,last_sign_in_at,raw_app_meta_data,raw_user_meta_data,banned_until,deleted_at\n\
         i-1,9779841000001,{0},{0},{1},\"{{\"\"providers\"\": [\"\"phone\"\"]}}\",\"{{\"\"full_name\"\": \"\"Sita\"\"}}\",,\n\
         i-2,9779841000002,{0},{0},{1},\"{{\"\"providers\"\": [\"\"phone\"\", \"\"email\"\"]}}\",,{1},\n\
         i-3,9779841000003,,{0},,,,,\n\
         i-4,9779841000004,{0},{0},,,,,{1}\n",
        at(confirmed),
        at(signed_in)
    );
    let answer = import(&world, "supabase", &folder.write("users.csv", rows), &["--json"]).bad_json();
    assert_eq!(counts(&answer), (2, 0, 2));
    let proven = async |phone: &str| user(&world, phone).await["phone_proven_at"]["N"].clone();
    assert_eq!(proven("+9779841000001").await, signed_in.to_string());
    assert_eq!(proven("+9779841000002").await, confirmed.to_string());
    assert_eq!(user(&world, "+9779841000001").await["name"]["S"], "Sita");
    // The ban of the second one is over.
    assert_signs_in(&world, "+9779841000002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_the_older_system_keep_their_roles_in_each_organization() {
    let world = World::new().await;
    let folder = folder(&world, "older");
    let rows = format!(
        "id,phone,username,roles,date_joined,verified_at\n\
         7,984-1000001,sita,default:himal|acme;admin:acme,{PROVEN},{0}\n\
         8,9841000002,,admin,{PROVEN},{0}\n\
         9,9841000003,,team lead:acme,{PROVEN},{0}\n",
        world.now() - 86_400
    );
    let answer = import(&world, "older", &folder.write("users.csv", rows), &["--json"]).bad_json();
    assert_eq!(counts(&answer), (1, 0, 2));
    let refused = "roles: a role: expected 1 to 64 letters, digits, hyphens or underscores";
    assert_eq!(answer["reasons"][refused], 1, "{answer}");
    let shown = latchkey(&world, &["user", "show", "sita", "--json"]).json();
    assert_eq!(shown["user"]["roles"], json!({"admin": ["acme"], "default": ["acme", "himal"]}));
    assert_eq!(shown["user"]["created_at"], PROVEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_and_imported_elsewhere_is_the_same() {
    let (world, other) = (World::new().await, World::new().await);
    let folder = folder(&world, "export");
    for n in 1..=3 {
        world.sign_in_as(&format!("+977984100000{n}"), &format!("user{n}")).await;
    }
    world.create_organization("acme", &[]).await;
    latchkey(&world, &["user", "add-role", "user1", "admin", "--organization", "acme"]).ok();
    latchkey(&world, &["user", "set-claims", "user2", r#"{"plan":"gold"}"#]).ok();
    let file = folder.file("users.jsonl");
    let to = ["--to", file.to_str().unwrap()];
    latchkey(&world, &[&["export"], &to[..]].concat()).ok();
    let answer = import(&other, "lines", &file, &["--json"]).json();
    assert_eq!(counts(&answer), (3, 0, 0));
    let copy = folder.file("copy.jsonl");
    latchkey(&other, &["export", "--to", copy.to_str().unwrap()]).ok();
    let lines = |file: &Path| -> BTreeSet<String> {
        std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(lines(&file), lines(&copy));
    let printed = latchkey(&world, &["export"]).ok();
    assert_eq!(printed.lines().map(str::to_owned).collect::<BTreeSet<_>>(), lines(&file));
    assert_signs_in(&other, "+9779841000001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_no_number_and_no_username_from_anybody_and_a_dry_run_says_so_before() {
    let world = World::new().await;
    let folder = folder(&world, "collisions");
    world.sign_in_as("+9779841000001", "sita").await;
    let gone = world.sign_in("+9779841000002").await;
    latchkey(&world, &["user", "delete", &gone.user_id, "--yes"]).ok();
    let line = |n: u32, username: &str| {
        json!({"phone_number": format!("+977984100000{n}"), "username": username, "phone_proven_at": PROVEN})
            .to_string()
    };
    let lines = [
        line(1, "other"),
        line(2, "another"),
        line(3, "SITA"),
        line(4, "gita"),
        line(4, "hari"),
        r#"{"phone_number":"+9779841000005","phone_proven_at":1,"surname":"Rai"}"#.to_owned(),
        r#"{"phone_number":"12","phone_proven_at":1}"#.to_owned(),
    ];
    let file = folder.write("users.jsonl", lines.join("\n"));
    let before = world.items("UsersTable").await.len();
    let dry = import(&world, "lines", &file, &["--dry-run", "--json"]).bad_json();
    assert_eq!((counts(&dry), world.items("UsersTable").await.len()), ((1, 0, 6), before));
    let answer = import(&world, "lines", &file, &["--json"]).bad_json();
    // The two records without an id are told apart by their numbers, so the second one is the first one again.
    assert_eq!(counts(&answer), (1, 1, 5));
    assert_eq!(answer["reasons"].as_object().unwrap().len(), 4, "{answer}");
    let taken = "another user has the number, or it is kept for one";
    for options in [&["--dry-run"][..], &[]] {
        let text = import(&world, "lines", &file, options).bad();
        assert!(text.contains(&format!("- 2 rejected: {taken} (records 1, 2)\n")), "{text}");
        let answer = import(&world, "lines", &file, &[&["--json"], options].concat()).bad_json();
        assert_eq!((&answer["reasons"][taken], &answer["first_places"][taken]), (&json!(2), &json!([1, 2])));
    }
    let rejected = std::fs::read_to_string(folder.file("users.jsonl.rejected")).unwrap();
    assert!(!rejected.contains("984100000") && !rejected.contains("sita"), "{rejected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_records_with_the_same_number_or_username_the_earlier_one_stays() {
    const PAIRS: usize = 20;
    let world = World::new().await;
    let folder = folder(&world, "pairs");
    let mut rows = "id,phone_number,username,name,phone_proven_at\n".to_owned();
    for pair in 0..PAIRS {
        // Of the even pairs the number is the same, of the odd ones the username.
        let (other_number, other_name) = if pair % 2 == 0 { (0, "b") } else { (50, "a") };
        rows += &format!("{pair}a,+97798410000{pair:02},user{pair}a,first,{PROVEN}\n");
        rows += &format!("{pair}b,+97798410000{:02},user{pair}{other_name},second,{PROVEN}\n", pair + other_number);
    }
    let file = folder.write("users.csv", rows);
    let dry = import(&world, "older", &file, &["--json", "--dry-run"]).bad_json();
    let rate = ["--json", "--units-per-second", "100000"];
    let answer = import(&world, "older", &file, &rate).bad_json();
    assert_eq!(counts(&answer), (PAIRS as u64, 0, PAIRS as u64));
    assert_eq!(counts(&dry), counts(&answer));
    let users: Vec<_> = world
        .items("UsersTable")
        .await
        .into_iter()
        .filter(|item| !item["user_id"].is_null() && !item["name"].is_null())
        .collect();
    assert_eq!(users.len(), PAIRS);
    for user in users {
        assert_eq!(user["name"]["S"], "first", "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_format_is_refused_and_leaves_no_checkpoint_and_no_entry_in_the_log() {
    let world = World::new().await;
    let folder = folder(&world, "formats");
    let line = json!({"phone_number": "+9779841000001", "phone_proven_at": PROVEN}).to_string();
    let foreign = "Name,Mobile\nSita,+9779841000001\n";
    for (format, content, reason) in [
        ("firebase", r#"{"user":[]}"#, "users.txt: not an export of Firebase: it has no list `users`"),
        ("firebase", &line, "it has no list `users`"),
        ("firebase", &format!("{line}\n{line}\n"), "it has no list `users`"),
        ("firebase", "", "not an export of Firebase, at line 1"),
        ("older", "", "users.txt: its first line, the header, has no column phone_number or phone"),
        ("older", foreign, "has no column phone_number or phone"),
        ("older", "7,+9779841000001\n", "has no column phone_number or phone"),
        ("cognito", foreign, "has no column cognito:username or sub"),
        ("cognito", "sub,phone_number\n", "has no column phone_number_verified"),
        ("supabase", foreign, "has no column id"),
        ("supabase", "id,phone\n", "has no column phone_confirmed_at"),
    ] {
        let file = folder.write("users.txt", content);
        for options in [&["--dry-run"][..], &[]] {
            let refusal = import(&world, format, &file, options).refused();
            assert!(refusal.contains(reason), "{format} {content}: {refusal}");
        }
        assert!(!folder.file("users.txt.checkpoint").exists(), "{format} {content}");
    }
    assert_eq!(latchkey(&world, &["audit", "--json"]).json()["entries"], json!([]));
    // What has no users is an export all the same.
    import(&world, "firebase", &folder.write("users.txt", r#"{"users":[]}"#), &[]).ok();
    import(&world, "lines", &folder.write("users.txt", line), &[]).ok();
    assert_eq!(world.items("UsersTable").await.len(), 2, "a user and the lock of the number");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_says_once_how_many_users_it_has_and_replaces_no_file() {
    let world = World::new().await;
    let folder = folder(&world, "exported");
    world.sign_in("+9779841000001").await;
    let file = folder.file("users.jsonl");
    let export = || latchkey(&world, &["export", "--to", file.to_str().unwrap()]);
    let (printed, progress) = export().printed();
    assert!(printed.starts_with("1 user is exported") && progress.is_empty(), "{printed}{progress}");
    let refusal = export().refused();
    assert!(refusal.contains("users.jsonl exists: remove it or choose another name"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_one_person_has_what_is_stored_of_them_and_nothing_of_others() {
    let world = World::new().await;
    let device = tests::device::Device::new();
    let sent = world.send_code("+9779841000001").await;
    let body =
        json!({"phone_number": "+9779841000001", "otp": sent.code, "device_name": "Sita's phone", "fcm_token": "f:1"});
    world.post("/v1/otp/submit", body).proven_by(&device).send().await.ok();
    world.sign_in("+9779841000002").await;
    world.advance(600);
    let again = world.sign_in("+9779841000001").await;
    let wrong = tests::wrong(&world.send_code("+9779841000002").await.code);
    world.submit("+9779841000002", &wrong).send().await;
    latchkey(&world, &["user", "add-role", "+9779841000001", "admin"]).ok();
    latchkey(&world, &["user", "add-role", "+9779841000002", "admin"]).ok();
    let one = latchkey(&world, &["export", "--user", "+9779841000001"]).json();
    assert_eq!(one["user"]["phone_number"], "+9779841000001");
    assert_eq!(
        (&one["sessions"][0]["device_name"], &one["sessions"][0]["fcm_token"]),
        (&json!("Sita's phone"), &json!("f:1"))
    );
    assert_eq!(one["known_devices"].as_array().unwrap().len(), 1);
    assert_eq!(one["messages_sent_at"], json!([world.now() - 600, world.now()]));
    let notices = one["waiting_notices"].as_array().unwrap();
    assert_eq!(notices.len(), 1, "that a device signed in which was not known");
    assert_eq!((&notices[0]["event"], &notices[0]["at"]), (&json!("new_device"), &json!(world.now())));
    let signed_in = tests::token::claims(&again.access)["sid"].clone();
    assert_eq!(notices[0]["to"], json!({"all_devices_but": signed_in}));
    assert_eq!((&one["has_lost_number"], &one["wrong_codes"]["without_id"]["in_a_row"]), (&json!(false), &json!(0)));
    let changes = one["changes_by_operators"].as_array().unwrap();
    let actions: Vec<_> = changes.iter().map(|change| change["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["user.export", "user.add_role"]);
    assert!(!one.to_string().contains("\"by\""), "{one}");
    assert!(!one.to_string().contains("9841000002"));
    let entries = latchkey(&world, &["audit", "--json"]).json()["entries"].clone();
    assert_eq!(entries[0]["action"], "user.export");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_one_person_says_how_a_change_of_number_and_a_recovery_ended() {
    const DAY: u64 = 86_400;
    let world = World::with(&[("ACCESS_TOKEN_SECONDS", "31536000"), ("REFRESH_IDLE_SECONDS", "31536000")]).await;
    let (phone, other) = ("+9779841000001", "+9779841000002");
    let export = || latchkey(&world, &["export", "--user", phone]).json();
    let device = tests::device::Device::new();
    let sent = world.send_code(phone).await;
    let sita = tests::person(phone, &world.submit(phone, &sent.code).proven_by(&device).send().await);
    let named = world.call("PATCH", "/v1/me").as_person(&sita).json(json!({"username": "sita"}));
    named.send().await.ok();
    let before = export();
    assert_eq!((&before["delayed_change"], &before["recovery"]), (&Value::Null, &Value::Null));
    world.advance(DAY);
    // A refresh, because a change by a fresh token does not wait.
    let refresh = world.post("/v1/session/refresh", json!({"refresh_token": sita.refresh}));
    let access = refresh.proven_by(&device).send().await.text("access_token");
    let sita = tests::Person { access, ..sita };
    let send = world.post("/v1/phone/otp/send", json!({"phone_number": other, "change": true}));
    send.as_person(&sita).proven_by(&device).send().await.ok();
    let proof = json!({"phone_number": other, "otp": world.code(other).await, "username": "sita"});
    assert_eq!(world.post("/v1/phone/otp/validate", proof).as_person(&sita).send().await.status, 202);
    let change = export()["delayed_change"].clone();
    assert_eq!((&change["from"], &change["phone_number"]), (&json!(phone), &json!(other)));
    assert_eq!((&change["ended"], &change["due_at"]), (&Value::Null, &json!(world.now() + 3 * DAY as i64)));
    world.call("POST", "/v1/phone/change/cancel").as_person(&sita).send().await;
    assert_eq!(export()["delayed_change"]["ended"], "withdrawn");

    world.advance(180 * DAY);
    let sent = world.send_code(phone).await;
    let recover = json!({"phone_number": phone, "otp": sent.code, "recover": true});
    world.post("/v1/otp/submit", recover).send().await.assert_problem(403, "recovery_pending");
    world.advance(60);
    world.call("POST", "/v1/recovery/cancel").as_person(&sita).send().await;
    let recovery = export()["recovery"].clone();
    assert_eq!((&recovery["phone_number"], &recovery["refused_at"]), (&json!(phone), &json!(world.now())));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_logged_in_is_the_operator_and_not_the_user_of_an_export() {
    let world = World::new().await;
    let sita = world.sign_in("+9779841000001").await;
    let port = world.system.dynamodb_address().port().to_string();
    let arguments = ["export", "--user", &sita.user_id, "--dynamodb-port", &port];
    run_with(&[("USER", "hari".to_owned())], &arguments).ok();
    let entries = latchkey(&world, &["audit", "--json"]).json()["entries"].clone();
    assert_eq!((&entries[0]["by"], &entries[0]["subject"]), (&json!("hari"), &json!(sita.user_id)));
}

/// A file of users, each with a number and a username.
fn many(folder: &Folder, users: usize) -> PathBuf {
    let line = |n: usize| {
        let phone = format!("+97798{:08}", 41_000_000 + n);
        json!({"phone_number": phone, "username": format!("user{n}"), "phone_proven_at": PROVEN, "name": "Sita Rai"})
            .to_string()
    };
    folder.write("many.jsonl", (0..users).map(line).collect::<Vec<_>>().join("\n"))
}

/// An import of lines that runs.
struct Importing {
    process: Child,
    checkpoint: PathBuf,
}

impl Importing {
    fn start(world: &World, file: &Path, units_per_second: &str) -> Self {
        let port = world.system.dynamodb_address().port().to_string();
        let process = Command::new(program("latchkey"))
            .args(["import", "lines", file.to_str().unwrap(), "--dynamodb-port", &port])
            .args(["--units-per-second", units_per_second])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, checkpoint: PathBuf::from(format!("{}.checkpoint", file.display())) }
    }

    fn done(&self) -> Option<u64> {
        let text = std::fs::read_to_string(&self.checkpoint).ok()?;
        serde_json::from_str::<Value>(&text).ok()?["records"].as_u64()
    }

    /// Kills it once it has done more records than these, and returns how many it has done.
    async fn kill_after(mut self, records: u64) -> u64 {
        let started = Instant::now();
        while self.done().unwrap_or_default() <= records {
            assert!(started.elapsed() < Duration::from_secs(60), "the import makes no progress");
            assert!(self.process.try_wait().unwrap().is_none(), "the import ended before it was killed");
            tokio::task::yield_now().await;
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.done().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_twice_and_resumed_loses_and_doubles_nobody() {
    const USERS: usize = 1_500;
    let world = World::new().await;
    let folder = folder(&world, "killed");
    let file = many(&folder, USERS);
    let checkpoint = folder.file("many.jsonl.checkpoint");
    let mut last = 0;
    for _ in 0..2 {
        last = Importing::start(&world, &file, "100000").kill_after(last + 50).await;
        assert!((last as usize) < USERS);
    }
    let answer = import(&world, "lines", &file, &["--json", "--units-per-second", "100000"]).json();
    assert_eq!(answer["records"], USERS);
    // What was written after the last checkpoint was there already.
    assert_eq!(answer["rejected"], 0);
    assert!(!checkpoint.exists());
    let items = all_keys(&world).await;
    assert_eq!(items.len(), 3 * USERS, "a user and two locks each");
    assert_eq!(items.into_iter().collect::<BTreeSet<_>>().len(), 3 * USERS);
}

/// A file of two good lines and one that ends the run, so that its checkpoint stays.
fn ending_early(folder: &Folder, last_digit: u32) -> PathBuf {
    let line = |phone: String| json!({"phone_number": phone, "phone_proven_at": PROVEN}).to_string().into_bytes();
    let lines = [line("+9779841000001".to_owned()), line(format!("+977984100000{last_digit}")), vec![0xff]];
    folder.write("users.jsonl", lines.join(&b'\n'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_another_file_or_of_other_options_skips_nobody() {
    let world = World::new().await;
    world.create_organization("acme", &[]).await;
    let folder = folder(&world, "checkpoint");
    let file = ending_early(&folder, 2);
    let unreadable = import(&world, "lines", &file, &[]).refused();
    assert!(unreadable.contains("after record 2"), "{unreadable}");
    let checkpoint = folder.file("users.jsonl.checkpoint");
    let written = std::fs::read(&checkpoint).unwrap();
    let refused = |format: &str, options: &[&str], parts: [&str; 2]| {
        let refusal = import(&world, format, &file, options).refused();
        assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
        assert_eq!(std::fs::read(&checkpoint).unwrap(), written);
    };
    let remove = "remove it to import this file from its start";
    refused("lines", &["--organization", "acme"], ["another --organization:", remove]);
    refused("lines", &["--proven-on", "2026-01-02"], ["another --proven-on:", remove]);
    refused("older", &[], ["another format:", remove]);
    let length = std::fs::metadata(&file).unwrap().len();
    let other = ending_early(&folder, 3);
    assert_eq!(std::fs::metadata(&other).unwrap().len(), length);
    refused("lines", &[], ["is of a run with other content of the file:", remove]);
    assert_eq!(world.items("UsersTable").await.len(), 4, "two users and their locks");
    std::fs::write(&checkpoint, r#"{"format":"lines","file_bytes":7,"records":3}"#).unwrap();
    assert!(import(&world, "lines", &file, &[]).refused().contains("is no checkpoint of this version: remove it"));
    std::fs::remove_file(&checkpoint).unwrap();
    import(&world, "lines", &file, &[]).refused();
    assert_eq!(world.items("UsersTable").await.len(), 6, "three users and their locks");
}

/// The numbers of the records that were rejected, in the order of their file.
fn rejected(folder: &Folder) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.file("users.jsonl.rejected")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rejected_record_is_noted_once_also_after_a_kill_and_in_a_later_run() {
    const USERS: u64 = 60;
    let world = World::new().await;
    let folder = folder(&world, "rejected");
    let is_bad = |n: &u64| n.is_multiple_of(2);
    let line = |n: u64| {
        let phone = if is_bad(&n) { "12".to_owned() } else { format!("+97798410000{n:02}") };
        json!({"phone_number": phone, "phone_proven_at": PROVEN}).to_string()
    };
    let file = folder.write("users.jsonl", (1..=USERS).map(line).collect::<Vec<_>>().join("\n"));
    let running = Importing::start(&world, &file, "100");
    let done = running.kill_after(20).await;
    assert!(done < USERS);
    // As if it had been killed after it noted the next one, and before its checkpoint.
    let next = done / 2 * 2 + 2;
    let mut noted = std::fs::read_to_string(folder.file("users.jsonl.rejected")).unwrap();
    noted += &format!("{}\n", json!({"reason": "phone_number: not a mobile number", "record": next}));
    folder.write("users.jsonl.rejected", noted);
    let all: Vec<_> = (1..=USERS).filter(is_bad).collect();
    for run in ["resumed", "later"] {
        let answer = import(&world, "lines", &file, &["--json"]).bad_json();
        assert_eq!((&answer["rejected"], rejected(&folder)), (&json!(USERS / 2), all.clone()), "{run}");
    }
    let none = folder.write("users.jsonl", line(1));
    import(&world, "lines", &none, &[]).ok();
    assert_eq!(rejected(&folder), [0; 0], "those of an earlier file");
    let refusal = import(&world, "lines", &none, &["--rejected", none.to_str().unwrap()]).refused();
    assert!(refusal.contains("is what is imported") && std::fs::read_to_string(&none).unwrap() == line(1), "{refusal}");
}

async fn all_keys(world: &World) -> Vec<String> {
    let (mut keys, mut from) = (Vec::new(), Value::Null);
    loop {
        let mut request = json!({"TableName": "UsersTable", "ProjectionExpression": "pk"});
        if !from.is_null() {
            request["ExclusiveStartKey"] = from;
        }
        let page = world.dynamodb("Scan", request).await;
        let items = page["Items"].as_array().unwrap();
        keys.extend(items.iter().map(|item| item["pk"]["S"].as_str().unwrap().to_owned()));
        from = page["LastEvaluatedKey"].clone();
        if from.is_null() {
            return keys;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_at_most_so_many_units_a_second_also_after_it_was_throttled() {
    let world = Arc::new(World::new().await);
    let folder = folder(&world, "rate");
    let file = many(&folder, 40);
    let checkpoint = folder.file("many.jsonl.checkpoint");
    world.system.reset_dynamodb_requests();
    world.system.delay_dynamodb_answers(Duration::from_millis(500));
    let of_import = Arc::clone(&world);
    let rate = ["--json", "--units-per-second", "80"];
    let importing = tokio::task::spawn_blocking(move || import(&of_import, "lines", &file, &rate).json());
    while !checkpoint.exists() {
        assert!(!importing.is_finished(), "the import wrote no checkpoint");
        tokio::task::yield_now().await;
    }
    world.system.delay_dynamodb_answers(Duration::ZERO);
    let resumed = Instant::now();
    let answer = importing.await.unwrap();
    let seconds = resumed.elapsed().as_secs_f64();
    let requests = world.system.take_dynamodb_requests();
    let units = |since: Option<Instant>| -> f64 {
        let counted = requests.iter().filter(|request| since.is_none_or(|since| request.began >= since));
        counted.map(|request| request.units.writes).sum()
    };
    let written = units(Some(resumed));
    assert!(written / seconds <= 85.0, "{written} units in {seconds} s");
    let (written, stated) = (units(None), answer["write_units"].as_u64().unwrap() as f64);
    // The entry of the audit log is the rest.
    assert!((stated - written).abs() <= 6.0, "stated {stated}, consumed {written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_user_is_a_new_one_to_other_systems_and_not_a_restored_one() {
    let world = World::publishing(&[]).await;
    let folder = folder(&world, "imported-event");
    let line = json!({
        "phone_number": "+9779841000001", "phone_proven_at": world.now() - 86_400, "sign_ins": 7,
    });
    import(&world, "lines", &folder.write("users.jsonl", line.to_string()), &[]).ok();
    world.system.deliver_streams().await;
    let events = world.call("GET", "/local/events").send().await.ok();
    let [created] = &events["events"].as_array().unwrap()[..] else { panic!("{events}") };
    assert_eq!(
        (&created["detail"]["type"], &created["detail"]["data"]["restored"]),
        (&json!("user.created"), &json!(false))
    );
}
