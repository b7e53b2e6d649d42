//! The program `cargo local`: it survives a kill and a stop with its data, and it refuses to start on invalid input.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tests::token::claims;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[cfg(target_os = "linux")]
use crate::local::listeners;
use crate::wire::{Http, call, client, post};
use crate::workspace::{Folder, path, program};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("latchkey-local"));
    command.args(["--dynamodb-port", "0", "--aws-port", "0"]).args(arguments);
    command.current_dir(path("")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running `cargo local`, killed when the test ends.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    api: SocketAddr,
    dynamodb: SocketAddr,
}

impl Running {
    /// Starts it on a data folder, and returns when it prints that it is up.
    fn start(data: &Path, port: u16) -> Self {
        Self::start_with(data, port, &[])
    }

    fn start_with(data: &Path, port: u16, options: &[&str]) -> Self {
        let port = port.to_string();
        Self::of(&mut command(&[&["--port", &port, "--data", data.to_str().unwrap()], options].concat()))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut address_after = |words: &str| -> Option<SocketAddr> {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            let (before, address) = line.split_once("http://")?;
            assert_eq!(before.trim(), words, "{line}");
            Some(address.split_whitespace().next()?.parse().unwrap())
        };
        match (address_after("Latchkey is up:"), address_after("DynamoDB")) {
            (Some(api), Some(dynamodb)) => Self { child, out, api, dynamodb },
            _ => panic!("it did not start: {:?}", child.wait_with_output()),
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

/// A port for a program that is started twice, because its tokens name the port. It is outside the range from which the
/// system assigns ports, so that no other test gets it between the two starts.
fn lasting_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 10_000).unwrap();
    std::iter::repeat_with(|| 20_000 + (offset + NEXT.fetch_add(1, Ordering::SeqCst)) % 10_000)
        .take(100)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn get(client: &Http, address: SocketAddr, path: &str) -> Result<Value, String> {
    Ok(call(client, "GET", (address, path), &[], "").await?.ok())
}

/// Posts a request. A refusal fails the test; without an answer it is an error.
async fn post_ok(client: &Http, address: SocketAddr, path: &str, body: Value) -> Result<Value, String> {
    Ok(post(client, address, path, &body).await?.ok())
}

/// Signs in. It is an error if the program ends before it has answered.
async fn sign_in(client: &Http, api: SocketAddr, phone: &str) -> Result<Value, String> {
    post_ok(client, api, "/v1/otp/send", json!({"phone_number": phone})).await?;
    let inbox = get(client, api, &format!("/local/inbox?to={phone}")).await?;
    let text = inbox["messages"][0]["text"].as_str().unwrap();
    let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).unwrap();
    post_ok(client, api, "/v1/otp/submit", json!({"phone_number": phone, "otp": code})).await
}

/// The user of each phone in the table. A phone must have one user, and its lock must name that user.
async fn users(client: &Http, dynamodb: SocketAddr) -> BTreeMap<String, String> {
    let headers = [
        ("x-amz-target", "DynamoDB_20120810.Scan"),
        ("content-type", "application/x-amz-json-1.0"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
        ),
        ("x-amz-date", "20260101T000000Z"),
    ];
    let scan = json!({"TableName": "UsersTable"}).to_string();
    let page = call(client, "POST", (dynamodb, "/"), &headers, scan).await.unwrap().ok();
    assert!(page["LastEvaluatedKey"].is_null());
    let (mut users, mut locks) = (BTreeMap::new(), BTreeMap::new());
    for item in page["Items"].as_array().unwrap() {
        let [key, user] = ["pk", "user_id"].map(|name| item[name]["S"].as_str().unwrap());
        if let Some(phone) = key.strip_prefix("phone#") {
            locks.insert(phone.to_owned(), user.to_owned());
        } else {
            assert_eq!(key, format!("user#{user}"));
            let earlier = users.insert(item["phone"]["S"].as_str().unwrap().to_owned(), user.to_owned());
            assert_eq!(earlier, None, "two users of one phone");
        }
    }
    assert_eq!(users, locks);
    users
}

/// Signs in 200 phones, 20 from each source address. 16 at a time are few enough for a debug build on a busy machine.
fn sign_all_in(api: SocketAddr) -> JoinSet<(String, Result<Value, String>)> {
    const AT_A_TIME: usize = 16;
    let clients: Vec<_> = (1..=10).map(client).collect();
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let person = |number: usize| {
        let (phone, client, turns) = (format!("+9779841{number:06}"), clients[number % 10].clone(), Arc::clone(&turns));
        async move {
            let _turn = turns.acquire().await.unwrap();
            let answer = sign_in(&client, api, &phone).await;
            (phone, answer)
        }
    };
    (0..200).map(person).collect()
}

#[tokio::test]
async fn a_kill_during_200_sign_ins_loses_no_user_and_creates_none_twice() {
    let (folder, port) = (Folder::new("killed"), lasting_port());
    let mut before = Running::start(&folder.0, port);
    let mut sign_ins = sign_all_in(before.api);
    let mut answered = BTreeMap::new();
    let mut is_killed = false;
    while let Some(done) = sign_ins.join_next().await {
        match done.unwrap() {
            (phone, Ok(answer)) => {
                answered.insert(phone, answer);
            }
            (phone, Err(reason)) => assert!(is_killed, "{phone} got no answer: {reason}"),
        }
        if answered.len() == 60 && !is_killed {
            before.child.kill().unwrap();
            is_killed = true;
        }
    }
    assert!(
        (60..200).contains(&answered.len()),
        "{} were answered: the kill must come between the first and the last",
        answered.len()
    );
    drop(before);

    let after = Running::start(&folder.0, port);
    let caller = client(1);
    let found = users(&caller, after.dynamodb).await;
    for (phone, answer) in &answered {
        assert_eq!(found.get(phone).map(String::as_str), answer["user"]["user_id"].as_str(), "{phone}");
        let refresh = json!({"refresh_token": answer["refresh_token"]});
        post_ok(&caller, after.api, "/v1/session/refresh", refresh).await.unwrap();
    }

    // After every wait and the source addresses' hour, each phone signs in to the user that it had.
    post_ok(&caller, after.api, "/local/clock", json!({"advance_seconds": 3600})).await.unwrap();
    let mut signed_in = BTreeMap::new();
    for (phone, answer) in sign_all_in(after.api).join_all().await {
        let answer = answer.unwrap();
        assert_eq!(answer["is_new_user"], json!(!found.contains_key(&phone)), "{phone}");
        signed_in.insert(phone, answer["user"]["user_id"].as_str().unwrap().to_owned());
    }
    let found_again = users(&caller, after.dynamodb).await;
    assert_eq!(found_again, signed_in);
    assert!(found.iter().all(|found| found_again.get(found.0) == Some(found.1)));
}

#[tokio::test]
async fn a_later_start_on_the_same_data_publishes_what_happens_from_then_on() {
    let (folder, port) = (Folder::new("events"), lasting_port());
    let before = Running::start(&folder.0, port);
    sign_in(&client(1), before.api, "+9779841000001").await.unwrap();
    assert_eq!(get(&client(1), before.api, "/local/events").await.unwrap(), json!({"events": []}));
    drop(before);
    let caller = client(1);
    let after = Running::start_with(&folder.0, port, &["--events"]);
    let person = sign_in(&caller, after.api, "+9779841000002").await.unwrap();
    for _ in 0..100_000 {
        let events = get(&caller, after.api, "/local/events").await.unwrap();
        let users: Vec<_> =
            events["events"].as_array().unwrap().iter().map(|event| &event["detail"]["subject"]).collect();
        assert!(users.iter().all(|user| **user == person["user"]["user_id"]), "{events}");
        if users.len() == 2 {
            return;
        }
    }
    panic!("the events of the sign-in did not come");
}

#[tokio::test]
async fn ctrl_c_stops_cleanly_and_the_next_start_has_the_same_data() {
    let (folder, port) = (Folder::new("stopped"), lasting_port());
    let phone = "+9779841000001";
    let caller = client(1);
    let mut before = Running::start(&folder.0, port);
    let person = sign_in(&caller, before.api, phone).await.unwrap();
    post_ok(&caller, before.api, "/local/clock", json!({"advance_seconds": 86_400})).await.unwrap();
    before.signal("-INT");
    let mut rest = String::new();
    before.out.read_to_string(&mut rest).unwrap();
    assert_eq!(before.child.wait().unwrap().code(), Some(0));
    assert!(rest.ends_with("\nstopping\n"), "{rest}");
    assert!(!rest.contains("CloudWatchMetrics"), "metrics must not be printed: {rest}");
    let mut errors = String::new();
    before.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");

    let after = Running::start(&folder.0, port);
    // The first client's connections ended with the program.
    let caller = client(1);
    let inbox = get(&caller, after.api, &format!("/local/inbox?to={phone}")).await.unwrap();
    assert_eq!(inbox["messages"].as_array().unwrap().len(), 1);
    let now = get(&caller, after.api, "/local/clock").await.unwrap()["now"].as_i64().unwrap();
    let token_issued = claims(person["access_token"].as_str().unwrap())["iat"].as_i64().unwrap();
    assert!(now >= token_issued + 86_400, "the clock must not go back");
    let refresh = json!({"refresh_token": person["refresh_token"]});
    let refreshed = post_ok(&caller, after.api, "/v1/session/refresh", refresh).await.unwrap();
    let bearer = format!("Bearer {}", refreshed["access_token"].as_str().unwrap());
    let me = call(&caller, "GET", (after.api, "/v1/me"), &[("authorization", &bearer)], "").await.unwrap().ok();
    assert_eq!(me["user_id"], person["user"]["user_id"]);
}

/// A copy of the program is what people download: they have no sources.
#[tokio::test]
async fn it_needs_no_sources_and_keeps_its_data_in_the_folder_where_it_was_started() {
    // Inside the workspace, the data would be at its root.
    let folder = Folder(std::env::temp_dir().join(format!("latchkey-elsewhere-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let copy = folder.file("latchkey-local");
    std::fs::copy(program("latchkey-local"), &copy).unwrap();
    let start = || {
        let mut elsewhere = Command::new(&copy);
        elsewhere.args(["--port", "0", "--dynamodb-port", "0", "--aws-port", "0"]).env_clear();
        elsewhere.current_dir(&folder.0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::of(&mut elsewhere)
    };
    sign_in(&client(1), start().api, "+9779841000001").await.unwrap();
    assert!(folder.file(".local").join("dynamodb.sqlite").is_file());
    assert_eq!(users(&client(1), start().dynamodb).await.len(), 1);
}

#[tokio::test]
async fn a_request_to_terminate_stops_cleanly() {
    let folder = Folder::new("terminated");
    let mut running = Running::start(&folder.0, 0);
    running.signal("-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

/// Starts it on invalid input, and returns the exit code and stderr, which must be one line.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = command(arguments).spawn().unwrap();
    let mut banner = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut banner).unwrap();
    if !banner.is_empty() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(banner, "", "{arguments:?} started");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
    (output.status.code(), errors)
}

/// A program that starts it waits for the file, and finds it whole.
#[tokio::test]
async fn it_announces_its_addresses_once_it_answers() {
    let folder = Folder::new("announced");
    let file = folder.file("announced.json");
    let running = Running::start_with(&folder.file("data"), 0, &["--announce", file.to_str().unwrap()]);
    let announced: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(announced["api"], format!("http://{}", running.api));
    assert_eq!(announced["dynamodb"], format!("http://{}", running.dynamodb));
    assert_eq!(announced["pid"], running.child.id());
    let aws: SocketAddr = announced["aws"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    assert!(std::net::TcpStream::connect(aws).is_ok());
    let keys = get(&client(1), running.api, "/.well-known/jwks.json").await.unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn a_start_that_fails_leaves_no_announcement_of_an_earlier_one() {
    let folder = Folder::new("announced-earlier");
    let file = folder.write("announced.json", "{}");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = command(&["--ephemeral", "--port", &port, "--announce", file.to_str().unwrap()])
        .spawn()
        .unwrap()
        .wait_with_output();
    assert_eq!(output.unwrap().status.code(), Some(1));
    assert!(!file.exists());
}

#[track_caller]
fn assert_refused(arguments: &[&str], words: &[&str]) {
    let (code, line) = refused(arguments);
    assert_eq!(code, Some(1), "{line}");
    for word in words {
        assert!(line.contains(word), "no {word} in: {line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn it_listens_on_its_three_ports_and_on_no_other() {
    let folder = Folder::new("ports");
    let running = Running::start(&folder.0, 0);
    let listeners = listeners(&running.child.id().to_string());
    assert!(listeners.len() == 3 && listeners.iter().all(|address| address.starts_with("0100007F:")), "{listeners:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn only_the_api_listens_at_another_address_that_it_is_given() {
    let folder = Folder::new("listening");
    let running = Running::start_with(&folder.0, 0, &["--listen", "0.0.0.0"]);
    assert!(running.api.ip().is_loopback(), "an address that can be called is printed: {}", running.api);
    let (open, local): (Vec<_>, Vec<_>) =
        listeners(&running.child.id().to_string()).into_iter().partition(|address| address.starts_with("00000000:"));
    assert_eq!(open, [format!("00000000:{:04X}", running.api.port())]);
    assert!(local.len() == 2 && local.iter().all(|address| address.starts_with("0100007F:")), "{local:?}");
}

#[test]
fn a_port_in_use_is_named_with_the_option_that_chooses_another() {
    let in_use = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = in_use.local_addr().unwrap().port().to_string();
    for option in ["--port", "--dynamodb-port", "--aws-port"] {
        assert_refused(&["--ephemeral", "--port", "0", option, &port], &[&port, "already in use", option]);
    }
}

#[test]
fn an_invalid_data_folder_is_named_and_not_changed() {
    let folder = Folder::new("broken");
    let file = folder.write("file", "not a folder");
    assert_refused(&["--port", "0", "--data", file.to_str().unwrap()], &["data folder", file.to_str().unwrap()]);
    assert_eq!(std::fs::read(&file).unwrap(), b"not a folder");
    for name in ["dynamodb.sqlite", "secrets.json", "clock"] {
        let data = folder.file(&format!("with-{name}"));
        std::fs::create_dir_all(&data).unwrap();
        let garbage = "neither a database, nor JSON, nor a number ".repeat(200);
        std::fs::write(data.join(name), &garbage).unwrap();
        assert_refused(&["--port", "0", "--data", data.to_str().unwrap()], &["data folder", name]);
        assert_eq!(std::fs::read_to_string(data.join(name)).unwrap(), garbage, "{name}");
    }
}

#[tokio::test]
async fn a_damaged_database_is_refused_at_the_start() {
    let folder = Folder::new("damaged");
    let mut running = Running::start(&folder.0, 0);
    sign_in(&client(1), running.api, "+9779841000001").await.unwrap();
    running.signal("-INT");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    let database = folder.file("dynamodb.sqlite");
    let mut bytes = std::fs::read(&database).unwrap();
    assert!(bytes.len() > 3 * 4096, "{}", bytes.len());
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xFF);
    std::fs::write(&database, bytes).unwrap();
    assert_refused(&["--port", "0", "--data", folder.0.to_str().unwrap()], &["data folder", "dynamodb.sqlite"]);
}

#[test]
fn a_data_folder_in_use_is_refused() {
    let folder = Folder::new("shared");
    let _running = Running::start(&folder.0, 0);
    let words = ["data folder", "another cargo local is using it"];
    assert_refused(&["--port", "0", "--data", folder.0.to_str().unwrap()], &words);
}

#[test]
fn an_unreadable_or_invalid_template_is_named() {
    let folder = Folder::new("template");
    let yaml = "Resources:\n  OtherFunction:\n    Type: AWS::Serverless::Function\n    Properties: {}\n";
    let templates = [
        (folder.file("absent.yaml"), "absent.yaml"),
        (folder.0.clone(), "template"),
        (folder.write("tabs.yaml", "a: [\n\t- b: }"), "tabs.yaml"),
        (folder.write("list.yaml", "- a\n- b\n"), "list.yaml"),
        (folder.write("empty.yaml", ""), "empty.yaml"),
        (folder.write("other.yaml", yaml), "OtherFunction"),
    ];
    for (template, word) in templates {
        assert_refused(&["--ephemeral", "--port", "0", "--template", template.to_str().unwrap()], &[word]);
    }
}

#[test]
fn an_invalid_seed_is_a_usage_error_that_names_the_file_and_the_place_in_it() {
    let folder = Folder::new("invalid-seed");
    let seed = folder.write("people.json", r#"{"users": [{"phone": "9841000001"}]}"#);
    let (code, line) = refused(&["--ephemeral", "--port", "0", "--seed", seed.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(line.contains("people.json: #/users/0/phone: unknown field"), "{line}");
    let (code, line) = refused(&["--ephemeral", "--port", "0", "--seed", "absent.json"]);
    assert!(code == Some(2) && line.contains("absent.json: "), "{line}");
}

#[test]
fn an_invalid_option_is_a_usage_error() {
    let wrong: [&[&str]; 8] = [
        &["--nonsense"],
        &["--port"],
        &["--port", "70000"],
        &["--ephemeral", "--data", "x"],
        &["--listen", "everywhere"],
        &["--host", "latchkey:3000"],
        &["--host", "*"],
        &["--host", ""],
    ];
    let codes: BTreeSet<_> = wrong.into_iter().map(|arguments| refused(arguments).0).collect();
    assert_eq!(codes, BTreeSet::from([Some(2)]));
}
