//! The rotation of the keys: it signs no user out and makes no code invalid, and each of its steps can be repeated or left
//! unfinished.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::token::header;
use tests::{Person, Sent, World, at_once, person, wrong};

const PHONES: [&str; 4] = ["+9779841000001", "+9779841000002", "+9779841000003", "+9779841000004"];
const SECRETS: [&str; 2] = ["SigningKeySecret", "CodeKeySecret"];
const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];
const VERSION: &str = "3f1d2c4b-5a69-4e87-9b0c-7d8e9fa0b1c2";
const WEAK: &str = "4f1d2c4b-5a69-4e87-9b0c-7d8e9fa0b1c2";
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// The id of the key that signed a token.
fn signer(token: &str) -> String {
    header(token)["kid"].as_str().unwrap().to_owned()
}

/// The published keys, oldest first.
async fn published(world: &World) -> Vec<String> {
    let keys = world.call("GET", "/.well-known/jwks.json").send().await.ok();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn on_secret(world: &World, secret: &str, operation: &str, mut request: Value) -> Value {
    request["SecretId"] = json!(secret);
    world.secrets_manager(operation, request).await
}

async fn secret(world: &World, operation: &str, request: Value) -> Value {
    on_secret(world, SECRETS[0], operation, request).await
}

async fn rotate(world: &World) {
    secret(world, "RotateSecret", json!({})).await;
}

async fn step_of(world: &World, secret: &str, step: &str, version: &str) -> Result<Value, String> {
    let event = json!({"Step": step, "SecretId": secret, "ClientRequestToken": version});
    world.system.invoke("RotateKeysFunction", event).await
}

async fn step(world: &World, step: &str, version: &str) -> Result<Value, String> {
    step_of(world, SECRETS[0], step, version).await
}

/// The secret's versions with their labels, and the published keys.
async fn state_of(world: &World, secret: &str) -> Value {
    let stages = on_secret(world, secret, "DescribeSecret", json!({})).await["VersionIdsToStages"].clone();
    let mut versions = Vec::new();
    for version in stages.as_object().unwrap().keys() {
        let value = on_secret(world, secret, "GetSecretValue", json!({"VersionId": version})).await;
        versions.push(value["SecretString"].clone());
    }
    json!([stages, versions, world.items("SettingsTable").await])
}

async fn state(world: &World) -> Value {
    state_of(world, SECRETS[0]).await
}

async fn value_of(world: &World, secret: &str, stage: &str) -> String {
    let value = on_secret(world, secret, "GetSecretValue", json!({"VersionStage": stage})).await;
    value["SecretString"].as_str().unwrap().to_owned()
}

/// Asserts that both tokens are still accepted, and returns the new ones.
async fn refreshed(world: &World, person: &Person) -> Person {
    world.me(person).await;
    world.refreshed(person).await
}

#[tokio::test]
async fn a_process_that_started_before_the_first_key_was_made_signs_with_it_at_once() {
    let world = World::new().await;
    let key = secret(&world, "GetSecretValue", json!({})).await["SecretString"].clone();
    let put = async |text: Value, version: &str| {
        secret(&world, "PutSecretValue", json!({"SecretString": text, "ClientRequestToken": version})).await
    };
    put(json!("{}"), VERSION).await;
    world.advance(5 * MINUTE);
    let sent = world.send_code(PHONES[0]).await;
    let submit = || world.submit_with_id(PHONES[0], &sent.challenge_id, &sent.code).send();
    submit().await.assert_problem(503, "service_unavailable");
    put(key, "4f1d2c4b-5a69-4e87-9b0c-7d8e9fa0b1c2").await;
    person(PHONES[0], &submit().await);
}

#[tokio::test]
async fn a_new_key_is_published_at_once_and_signs_after_eleven_minutes() {
    let world = World::new().await;
    let early = world.sign_in(PHONES[0]).await;
    let old = signer(&early.access);
    assert_eq!(published(&world).await, [old.as_str()]);

    rotate(&world).await;
    let keys = published(&world).await;
    let [first, new] = keys.as_slice() else { panic!("{keys:?}") };
    assert_eq!(*first, old, "the older key stays");
    assert_eq!(signer(&world.sign_in(PHONES[1]).await.access), old, "at once");
    world.advance(10 * MINUTE);
    let late = world.sign_in(PHONES[2]).await;
    assert_eq!(signer(&late.access), old, "a minute too soon");
    world.advance(MINUTE + 1);
    let person = world.sign_in(PHONES[3]).await;
    assert_eq!([signer(&person.access), signer(&person.refresh)], [new.as_str(), new]);

    for person in [&early, &late] {
        let again = refreshed(&world, person).await;
        assert_eq!([signer(&again.access), signer(&again.refresh)], [new.as_str(), new]);
        refreshed(&world, &again).await;
    }
    assert_eq!(published(&world).await, keys);
}

#[tokio::test]
async fn an_older_key_is_published_until_the_last_token_that_it_signed_has_expired() {
    let world = World::new().await;
    let old = published(&world).await;
    rotate(&world).await;
    // Just before the new key takes over.
    world.advance(11 * MINUTE - 5);
    let person = world.sign_in(PHONES[0]).await;
    assert_eq!([signer(&person.refresh)], old.as_slice());
    world.advance(30 * DAY - 5);
    assert!(published(&world).await.contains(&old[0]));
    world.refresh(&person.refresh).await.ok();
    world.advance(DAY + 11 * MINUTE);
    let keys = published(&world).await;
    assert_eq!((keys.len(), keys.contains(&old[0])), (1, false));
}

#[tokio::test]
async fn a_repeated_step_changes_nothing() {
    // The steps that change anything when they run for the first time.
    let working = [[true, true, false, true], [true, false, false, true]];
    for (name, works) in SECRETS.into_iter().zip(working) {
        let world = World::new().await;
        let mut before = state_of(&world, name).await;
        for (step, works) in STEPS.into_iter().zip(works) {
            step_of(&world, name, step, VERSION).await.unwrap();
            let once = state_of(&world, name).await;
            assert_eq!(once != before, works, "{name} {step}");
            step_of(&world, name, step, VERSION).await.unwrap();
            assert_eq!(state_of(&world, name).await, once, "{name} {step}");
            before = once;
        }
        for step in STEPS {
            step_of(&world, name, step, VERSION).await.unwrap();
        }
        assert_eq!(state_of(&world, name).await, before, "{name}: all steps again");
    }
}

/// The id of the key in a version of the secret.
async fn key_of(world: &World, version: &str) -> String {
    let value = secret(world, "GetSecretValue", json!({"VersionId": version})).await;
    let pair: Value = serde_json::from_str(value["SecretString"].as_str().unwrap()).unwrap();
    pair["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_next_rotation_finishes_one_that_stopped_after_any_step() {
    for steps in 1..STEPS.len() {
        let world = World::new().await;
        let person = world.sign_in(PHONES[0]).await;
        for name in &STEPS[..steps] {
            step(&world, name, VERSION).await.unwrap();
        }
        let pending = key_of(&world, VERSION).await;
        assert_eq!(
            signer(&world.sign_in(PHONES[1]).await.access),
            signer(&person.access),
            "{steps}: before the next rotation"
        );
        rotate(&world).await;
        assert_eq!(published(&world).await, [signer(&person.access), pending.clone()], "{steps}");
        world.advance(11 * MINUTE + 1);
        assert_eq!(signer(&refreshed(&world, &person).await.access), pending, "{steps}");
    }
}

/// Whoever verifies tokens caches the published keys.
#[tokio::test]
async fn a_rotation_that_is_finished_late_waits_until_every_verifier_has_read_the_key() {
    for done_in_time in 1..3 {
        let world = World::new().await;
        let person = world.sign_in(PHONES[0]).await;
        for name in &STEPS[..done_in_time] {
            step(&world, name, VERSION).await.unwrap();
        }
        world.advance(60 * MINUTE);
        // Processes read the keys that are published now.
        refreshed(&world, &world.refreshed(&person).await).await;
        for name in &STEPS[done_in_time..3] {
            step(&world, name, VERSION).await.unwrap();
        }
        if done_in_time == 1 {
            let refused = step(&world, "finishSecret", VERSION).await.unwrap_err();
            assert!(refused.contains("rotate again in 600 seconds"), "{refused}");
            world.me(&world.sign_in(PHONES[1]).await).await;
            world.advance(10 * MINUTE);
        }
        step(&world, "finishSecret", VERSION).await.unwrap();
        world.advance(5 * MINUTE);
        let later = world.sign_in(PHONES[2]).await;
        assert_eq!(signer(&later.access), key_of(&world, VERSION).await);
        world.me(&later).await;
        refreshed(&world, &later).await;
    }
}

/// The key before the current one signs until the current one may. A second rotation must not make it a key that nobody knows.
#[tokio::test]
async fn a_rotation_waits_until_the_key_of_the_last_one_signs() {
    let world = World::new().await;
    let person = world.sign_in(PHONES[0]).await;
    rotate(&world).await;
    let refused = step(&world, "createSecret", VERSION).await.unwrap_err();
    assert!(refused.contains("rotate again in 660 seconds"), "{refused}");
    world.advance(6 * MINUTE);
    assert_eq!(signer(&refreshed(&world, &person).await.access), signer(&person.access));
    world.advance(5 * MINUTE);
    for name in STEPS {
        step(&world, name, VERSION).await.unwrap();
    }
    assert_eq!(published(&world).await.len(), 3);
}

#[tokio::test]
async fn a_rotation_abandoned_after_any_step_does_not_block_the_next() {
    for steps in 1..STEPS.len() {
        let world = World::new().await;
        let person = world.sign_in(PHONES[0]).await;
        for name in &STEPS[..steps] {
            step(&world, name, VERSION).await.unwrap();
        }
        let abandoned = json!({"VersionStage": "AWSPENDING", "RemoveFromVersionId": VERSION});
        secret(&world, "UpdateSecretVersionStage", abandoned).await;
        rotate(&world).await;
        world.advance(11 * MINUTE + 1);
        let again = refreshed(&world, &person).await;
        let newest = published(&world).await.pop().unwrap();
        assert_eq!(signer(&again.access), newest, "{steps}");
        assert_ne!(newest, key_of(&world, VERSION).await, "{steps}");
        refreshed(&world, &again).await;
    }
}

#[tokio::test]
async fn a_rotation_of_the_code_key_that_stopped_after_any_step_keeps_nobody_from_signing_in() {
    for steps in 1..STEPS.len() {
        let world = World::new().await;
        let sent = world.send_code(PHONES[0]).await;
        let old = value_of(&world, SECRETS[1], "AWSCURRENT").await;
        for name in &STEPS[..steps] {
            step_of(&world, SECRETS[1], name, VERSION).await.unwrap();
        }
        let pending = value_of(&world, SECRETS[1], "AWSPENDING").await;
        world.advance(6 * MINUTE);
        person(PHONES[0], &world.submit(PHONES[0], &sent.code).send().await);
        world.sign_in(PHONES[1]).await;
        on_secret(&world, SECRETS[1], "RotateSecret", json!({})).await;
        let current = value_of(&world, SECRETS[1], "AWSCURRENT").await;
        assert_eq!(current, pending, "{steps}: the next rotation finishes it");
        assert_ne!(current, old, "{steps}");
        world.advance(6 * MINUTE);
        world.sign_in(PHONES[2]).await;
    }
}

#[tokio::test]
async fn a_new_code_key_has_256_random_bits() {
    let world = World::new().await;
    let mut keys = vec![value_of(&world, SECRETS[1], "AWSCURRENT").await];
    for _ in 0..3 {
        on_secret(&world, SECRETS[1], "RotateSecret", json!({})).await;
        keys.push(value_of(&world, SECRETS[1], "AWSCURRENT").await);
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| key.len() == 64 && key.chars().all(|digit| digit.is_ascii_hexdigit())), "{keys:?}");
}

#[tokio::test]
async fn a_weak_code_key_does_not_become_current() {
    let world = World::new().await;
    let before = value_of(&world, SECRETS[1], "AWSCURRENT").await;
    step_of(&world, SECRETS[1], "createSecret", VERSION).await.unwrap();
    let weak = json!({"SecretString": "k".repeat(31), "ClientRequestToken": WEAK, "VersionStages": ["AWSPENDING"]});
    on_secret(&world, SECRETS[1], "PutSecretValue", weak).await;
    assert!(step_of(&world, SECRETS[1], "testSecret", WEAK).await.is_err());
    assert_eq!(value_of(&world, SECRETS[1], "AWSCURRENT").await, before);
}

/// Somebody who signed in, and a code that waits for somebody else.
struct Round {
    signed_in: Person,
    waiting: (String, Sent),
}

/// One person uses a code of the last round, another one refreshes, and a third is sent a code.
async fn round(world: &World, task: usize, round: usize, before: Round) -> Round {
    let (phone, sent) = &before.waiting;
    let submit = |code: &str| world.submit_with_id(phone, &sent.challenge_id, code).from(task as u8);
    submit(&wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
    let newcomer = person(phone, &submit(&sent.code).send().await);
    refreshed(world, &newcomer).await;
    let signed_in = refreshed(world, &before.signed_in).await;
    Round { signed_in, waiting: next_code(world, task, round).await }
}

async fn next_code(world: &World, task: usize, round: usize) -> (String, Sent) {
    let phone = format!("+97798{task:04}{round:04}");
    let reply = world.post("/v1/otp/send", json!({"phone_number": phone})).from(task as u8).send().await;
    let sent = world.received(&phone, &reply).await;
    (phone, sent)
}

#[tokio::test]
async fn both_keys_rotate_under_load_with_each_step_repeated_and_nobody_is_signed_out() {
    const TASKS: usize = 6;
    let world = Arc::new(World::new().await);
    let mut people = Vec::new();
    for task in 0..TASKS {
        let signed_in = world.sign_in(&format!("+97798{task:04}9999")).await;
        people.push(Round { signed_in, waiting: next_code(&world, task, 0).await });
    }
    let mut number = 0;
    for rotation in 0..2 {
        let version = format!("{rotation}f1d2c4b-5a69-4e87-9b0c-7d8e9fa0b1c2");
        // Each rotation stops after each step, and all steps run again.
        for steps in 1..=STEPS.len() {
            number += 1;
            let before = Arc::new(std::sync::Mutex::new(people.drain(..).map(Some).collect::<Vec<_>>()));
            let replies = at_once(&world, TASKS + SECRETS.len(), |world, n| {
                let (before, version) = (Arc::clone(&before), version.clone());
                async move {
                    if n < TASKS {
                        let mine = before.lock().unwrap()[n].take().unwrap();
                        return Some(round(&world, n, number, mine).await);
                    }
                    for name in &STEPS[..steps] {
                        step_of(&world, SECRETS[n - TASKS], name, &version).await.unwrap();
                    }
                    None
                }
            })
            .await;
            people.extend(replies.into_iter().flatten());
            // Longer than a process caches a secret, and shorter than the lifetime of a code.
            world.advance(6 * MINUTE);
        }
    }
    let newest = published(&world).await.pop().unwrap();
    world.advance(6 * MINUTE);
    for (task, last) in people.into_iter().enumerate() {
        assert_eq!(signer(&refreshed(&world, &last.signed_in).await.access), newest, "{task}");
    }
}

#[tokio::test]
async fn a_step_out_of_order_or_unknown_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let before = state(&world).await;
    for name in ["setSecret", "testSecret", "finishSecret", "deleteSecret"] {
        assert!(step(&world, name, VERSION).await.is_err(), "{name} of a version that is not pending");
        assert!(step_of(&world, SECRETS[1], name, VERSION).await.is_err(), "{name} of a version that is not pending");
    }
    assert!(step_of(&world, "GatewaySecret", "createSecret", VERSION).await.is_err(), "another secret");
    assert_eq!(state(&world).await, before);
    step(&world, "createSecret", VERSION).await.unwrap();
    let created = state(&world).await;
    for name in ["testSecret", "deleteSecret"] {
        assert!(step(&world, name, VERSION).await.is_err(), "{name} of a key that is not published");
    }
    assert_eq!(state(&world).await, created);
}

#[tokio::test]
async fn a_private_key_is_in_the_secret_and_in_no_table() {
    let world = World::new().await;
    world.sign_in(PHONES[0]).await;
    rotate(&world).await;
    let mut stored = String::new();
    for table in ["UsersTable", "OtpsTable", "SessionsTable", "SettingsTable"] {
        stored.push_str(&json!(world.items(table).await).to_string());
    }
    for stage in ["AWSCURRENT", "AWSPREVIOUS"] {
        let value = secret(&world, "GetSecretValue", json!({"VersionStage": stage})).await;
        let pair: Value = serde_json::from_str(value["SecretString"].as_str().unwrap()).unwrap();
        assert!(stored.contains(pair["kid"].as_str().unwrap()) && stored.contains(pair["x"].as_str().unwrap()));
        let private = pair["private_key"].as_str().unwrap();
        assert!(private.len() > 100 && !stored.contains(private), "{stage}");
        world.keep_secret(private);
    }
    assert!(!stored.contains("private") && !stored.contains("\"d\""));
}
