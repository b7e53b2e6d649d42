//! The rotation of the signing key: it signs no user out, and each of its steps can be repeated or left unfinished.

use serde_json::{Value, json};
use tests::token::header;
use tests::{Person, World, person};

const PHONES: [&str; 4] = ["+9779841000001", "+9779841000002", "+9779841000003", "+9779841000004"];
const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];
const VERSION: &str = "3f1d2c4b-5a69-4e87-9b0c-7d8e9fa0b1c2";
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

async fn secret(world: &World, operation: &str, mut request: Value) -> Value {
    request["SecretId"] = json!("SigningKeySecret");
    world.secrets_manager(operation, request).await
}

async fn rotate(world: &World) {
    secret(world, "RotateSecret", json!({})).await;
}

async fn step(world: &World, step: &str, version: &str) -> Result<Value, String> {
    let event = json!({"Step": step, "SecretId": "SigningKeySecret", "ClientRequestToken": version});
    world.system.invoke("RotateKeysFunction", event).await
}

/// The secret's versions with their labels, and the published keys.
async fn state(world: &World) -> Value {
    let stages = secret(world, "DescribeSecret", json!({})).await["VersionIdsToStages"].clone();
    let mut versions = Vec::new();
    for version in stages.as_object().unwrap().keys() {
        versions.push(secret(world, "GetSecretValue", json!({"VersionId": version})).await["SecretString"].clone());
    }
    json!([stages, versions, world.items("SettingsTable").await])
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
async fn a_new_key_is_published_at_once_and_signs_after_ten_minutes() {
    let world = World::new().await;
    let early = world.sign_in(PHONES[0]).await;
    let old = signer(&early.access);
    assert_eq!(published(&world).await, [old.as_str()]);

    rotate(&world).await;
    let keys = published(&world).await;
    let [first, new] = keys.as_slice() else { panic!("{keys:?}") };
    assert_eq!(*first, old, "the older key stays");
    assert_eq!(signer(&world.sign_in(PHONES[1]).await.access), old, "at once");
    world.advance(9 * MINUTE);
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
    world.advance(10 * MINUTE - 5);
    let person = world.sign_in(PHONES[0]).await;
    assert_eq!([signer(&person.refresh)], old.as_slice());
    world.advance(30 * DAY - 5);
    assert!(published(&world).await.contains(&old[0]));
    world.refresh(&person.refresh).await.ok();
    world.advance(DAY + 10 * MINUTE);
    let keys = published(&world).await;
    assert_eq!((keys.len(), keys.contains(&old[0])), (1, false));
}

#[tokio::test]
async fn a_repeated_step_changes_nothing() {
    let world = World::new().await;
    let mut before = state(&world).await;
    for name in STEPS {
        step(&world, name, VERSION).await.unwrap();
        let once = state(&world).await;
        assert_eq!(once == before, name == "testSecret", "{name} does its work the first time");
        step(&world, name, VERSION).await.unwrap();
        assert_eq!(state(&world).await, once, "{name}");
        before = once;
    }
    for name in STEPS {
        step(&world, name, VERSION).await.unwrap();
    }
    assert_eq!(state(&world).await, before, "all steps again");
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
        world.advance(10 * MINUTE + 1);
        assert_eq!(signer(&refreshed(&world, &person).await.access), pending, "{steps}");
    }
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
        world.advance(10 * MINUTE + 1);
        let again = refreshed(&world, &person).await;
        let newest = published(&world).await.pop().unwrap();
        assert_eq!(signer(&again.access), newest, "{steps}");
        assert_ne!(newest, key_of(&world, VERSION).await, "{steps}");
        refreshed(&world, &again).await;
    }
}

#[tokio::test]
async fn a_step_out_of_order_or_unknown_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let before = state(&world).await;
    for name in ["setSecret", "testSecret", "finishSecret", "deleteSecret"] {
        assert!(step(&world, name, VERSION).await.is_err(), "{name} of a version that is not pending");
    }
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
