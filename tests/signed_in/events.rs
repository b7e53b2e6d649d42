//! Events: each of the eight follows from its cause, none is lost, and none shows a number, a code or a token.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use local::{Aim, Mode, Options, Outgoing, Target, Template};
use serde_json::{Value, json};
use tests::token::claims;
use tests::{Person, World, at_once, person, wrong};

use crate::{OTHER, PHONE, count, delete};

const DAY: u64 = 86_400;
/// So that a test need not refresh, which would make a token that is not fresh.
const LONG_TOKENS: &[(&str, &str)] = &[("ACCESS_TOKEN_SECONDS", "86400")];

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn schema(name: &str) -> Value {
    serde_json::from_str(&file(&format!("schemas/events/{name}.json"))).unwrap()
}

/// Panics unless an event is as its schemas say.
#[track_caller]
fn assert_valid(event: &Value) {
    for (schema, value) in [(schema("event"), event), (schema(event["type"].as_str().unwrap()), &event["data"])] {
        if let Err(error) = jsonschema::validate(&schema, value) {
            panic!("{error}: {event}");
        }
        // A schema allows more members, because later versions may have them. These do not.
        let known = schema["properties"].as_object().unwrap();
        let unknown: Vec<_> = value.as_object().unwrap().keys().filter(|name| !known.contains_key(*name)).collect();
        assert_eq!(unknown, [""; 0], "{event}");
    }
    let kind = event["type"].as_str().unwrap();
    assert_eq!(event["dataschema"], schema(kind)["$id"], "{event}");
}

/// What the bus took, oldest first, with repetitions.
async fn taken(world: &World) -> Vec<Value> {
    let answer = world.call("GET", "/local/events").send().await.ok();
    let mut events = answer["events"].as_array().unwrap().clone();
    events.reverse();
    for event in &events {
        assert_eq!((&event["source"], &event["detail-type"]), (&json!("latchkey"), &event["detail"]["type"]));
        assert_valid(&event["detail"]);
        world.assert_no_secret(&event.to_string());
    }
    events.into_iter().map(|event| event["detail"].clone()).collect()
}

/// The events so far, each once, after everything that was written is delivered.
async fn published(world: &World) -> Vec<Value> {
    world.system.deliver_streams().await;
    let mut seen = BTreeMap::new();
    let mut events = taken(world).await;
    events.retain(|event| match seen.insert(event["id"].clone().to_string(), event.clone()) {
        Some(before) => {
            assert_eq!(before, *event, "an event that comes again is the same");
            false
        }
        None => true,
    });
    events
}

fn types(events: &[Value]) -> Vec<&str> {
    let mut types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    types.sort_unstable();
    types
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).map(|event| &event["data"]).collect()
}

/// The only event of a type.
#[track_caller]
fn only<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found = of(events, kind);
    assert_eq!(found.len(), 1, "{kind}: {events:?}");
    found[0]
}

fn session_of(person: &Person) -> Value {
    json!({
        "user_id": person.user_id, "session_id": claims(&person.access)["sid"], "organization_id": "default",
    })
}

async fn sign_in_again(world: &World, phone: &str) -> Person {
    world.advance(600);
    world.sign_in(phone).await
}

async fn change_number(world: &World, owner: &Person, to: &str) {
    world.keep_phone_secret(to);
    let body = json!({"phone_number": to, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(owner).send().await.ok();
    let body = json!({"phone_number": to, "otp": world.code(to).await, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(owner).send().await.ok();
}

#[tokio::test]
async fn the_first_sign_in_of_a_number_creates_a_user_and_each_sign_in_is_told() {
    let world = World::publishing(&[]).await;
    let first = world.sign_in(PHONE).await;
    let events = published(&world).await;
    assert_eq!(types(&events), ["user.created", "user.signed_in"]);
    let created = only(&events, "user.created");
    assert_eq!((&created["user_id"], &created["restored"]), (&json!(first.user_id), &json!(false)));
    assert_eq!(only(&events, "user.signed_in"), &session_of(&first));
    for event in &events {
        assert_eq!(event["subject"], json!(first.user_id));
        assert_eq!(event["source"], json!(format!("http://{}", world.system.address())));
        assert_eq!(event["time"], json!(DateTime::from_secs(world.now()).fmt(Format::DateTime).unwrap()));
    }
    let second = sign_in_again(&world, PHONE).await;
    let events = published(&world).await;
    assert_eq!(types(&events), ["user.created", "user.signed_in", "user.signed_in"]);
    assert_eq!(of(&events, "user.signed_in")[1], &session_of(&second));
}

#[tokio::test]
async fn the_digest_of_a_number_is_the_same_in_all_events_and_another_deployment_has_another() {
    let mut digests = BTreeSet::new();
    for _ in 0..2 {
        let world = World::publishing(LONG_TOKENS).await;
        let owner = world.sign_in_as(PHONE, "sita").await;
        change_number(&world, &owner, OTHER).await;
        let events = published(&world).await;
        let (created, changed) = (only(&events, "user.created"), only(&events, "phone.changed"));
        assert_eq!(changed["user_id"], json!(owner.user_id));
        assert_eq!(changed["former_phone_digest"], created["phone_digest"]);
        assert_ne!(changed["phone_digest"], created["phone_digest"]);
        digests.insert(created["phone_digest"].to_string());
    }
    assert_eq!(digests.len(), 2);
}

#[tokio::test]
async fn a_change_of_number_that_is_taken_back_is_a_change_too() {
    let world = World::publishing(LONG_TOKENS).await;
    let owner = world.sign_in_as(PHONE, "sita").await;
    change_number(&world, &owner, OTHER).await;
    world.advance(600);
    let body = json!({"phone_number": PHONE, "otp": world.send_code(PHONE).await.code});
    world.post("/v1/phone/change/undo", body).send().await.ok();
    let events = published(&world).await;
    let changes = of(&events, "phone.changed");
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0]["phone_digest"], changes[1]["former_phone_digest"]);
    assert_eq!(changes[0]["former_phone_digest"], changes[1]["phone_digest"]);
}

#[tokio::test]
async fn a_user_who_loses_a_dormant_number_to_another_has_none_any_more() {
    let world = World::publishing(&[("PHONE_DORMANT_DAYS", "1")]).await;
    let former = world.sign_in(PHONE).await;
    world.advance(DAY);
    let body = json!({"phone_number": PHONE, "otp": world.send_code(PHONE).await.code, "fresh_account": true});
    let new = person(PHONE, &world.post("/v1/otp/submit", body).send().await);
    let events = published(&world).await;
    assert_eq!(types(&events), ["phone.changed", "user.created", "user.created", "user.signed_in", "user.signed_in"]);
    let [before, after] = of(&events, "user.created")[..] else { panic!("{events:?}") };
    assert_eq!((&before["user_id"], &after["user_id"]), (&json!(former.user_id), &json!(new.user_id)));
    let lost = json!({"user_id": former.user_id, "former_phone_digest": before["phone_digest"]});
    assert_eq!(only(&events, "phone.changed"), &lost);
}

#[tokio::test]
async fn a_session_that_is_ended_is_told_whoever_ends_it_and_a_refresh_is_not() {
    let world = World::publishing(&[]).await;
    let own = world.sign_in(PHONE).await;
    let other = sign_in_again(&world, PHONE).await;
    let other = world.refreshed(&other).await;
    let third = sign_in_again(&world, PHONE).await;
    let of_other = claims(&other.access)["sid"].as_str().unwrap().to_owned();
    delete(&world, &third, &format!("/v1/sessions/{of_other}")).await;
    delete(&world, &third, "/v1/session").await;
    let events = published(&world).await;
    assert_eq!(of(&events, "session.revoked"), [&session_of(&other), &session_of(&third)]);
    assert_eq!(of(&events, "user.signed_in").len(), 3);
    assert!(of(&events, "refresh.reused").is_empty());
    world.me(&world.refreshed(&own).await).await;
}

#[tokio::test]
async fn a_reused_refresh_token_is_told_and_so_is_the_end_of_its_session() {
    let world = World::publishing(&[]).await;
    let first = world.sign_in(PHONE).await;
    let next = world.refreshed(&first).await;
    world.advance(31);
    assert_eq!(types(&published(&world).await), ["user.created", "user.signed_in"]);
    world.refresh(&first.refresh).await.assert_problem(401, "refresh_reused");
    world.refresh(&next.refresh).await.assert_problem(401, "session_revoked");
    let events = published(&world).await;
    assert_eq!(types(&events), ["refresh.reused", "session.revoked", "user.created", "user.signed_in"]);
    assert_eq!(only(&events, "refresh.reused"), &session_of(&first));
    assert_eq!(only(&events, "session.revoked"), &session_of(&first));
}

#[tokio::test]
async fn a_deleted_account_is_told_with_its_live_sessions_and_a_restored_one_is_created_again() {
    let world = World::publishing(&[]).await;
    world.sign_in(PHONE).await;
    // The first session ends by age: nobody revokes it.
    world.advance(31 * DAY);
    let owner = world.sign_in(PHONE).await;
    delete(&world, &owner, "/v1/me").await;
    let events = published(&world).await;
    assert_eq!(types(&events), ["session.revoked", "user.created", "user.deleted", "user.signed_in", "user.signed_in"]);
    assert_eq!(only(&events, "session.revoked"), &session_of(&owner));
    let digest = &only(&events, "user.created")["phone_digest"];
    assert_eq!(only(&events, "user.deleted"), &json!({"user_id": owner.user_id, "phone_digest": digest}));

    world.advance(600);
    let body = json!({"phone_number": PHONE, "otp": world.send_code(PHONE).await.code, "restore": true});
    world.post("/v1/otp/submit", body).send().await.ok();
    let after = published(&world).await;
    let restored = json!({"user_id": owner.user_id, "phone_digest": digest, "restored": true});
    assert_eq!(of(&after, "user.created")[1], &restored);
    assert_eq!((of(&after, "user.signed_in").len(), after.len()), (3, events.len() + 2));
}

#[tokio::test]
async fn a_number_is_blocked_by_the_tenth_wrong_code_and_for_longer_by_each_further_one() {
    let world = World::publishing(&[("CODE_ATTEMPTS", "20")]).await;
    let sent = world.send_code(PHONE).await;
    let guess = async || {
        let reply = world.submit_with_id(PHONE, &sent.challenge_id, &wrong(&sent.code)).send().await;
        reply.assert_problem(400, "incorrect_otp");
    };
    for _ in 0..9 {
        guess().await;
    }
    assert_eq!(published(&world).await, Vec::<Value>::new(), "a wrong code alone is no event");
    guess().await;
    let first = published(&world).await;
    let blocked = only(&first, "sign_in.blocked");
    assert_eq!((&blocked["guesses"], &blocked["wrong_codes"]), (&json!("with_challenge_id"), &json!(10)));
    assert_eq!((first.len(), &first[0]["subject"]), (1, &blocked["phone_digest"]));
    // A guess that the closure refuses changes nothing.
    world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).send().await.assert_problem(429, "too_many_requests");
    world.advance(30);
    assert_eq!(published(&world).await.len(), 1);
    guess().await;
    let events = published(&world).await;
    let blocked = of(&events, "sign_in.blocked");
    assert_eq!((blocked.len(), &blocked[1]["wrong_codes"]), (2, &json!(11)));
    assert!(blocked[0]["until"].as_str() < blocked[1]["until"].as_str());
}

#[tokio::test]
async fn a_country_is_capped_once_a_day_by_the_last_message_of_its_maximum() {
    let world = World::publishing(&[("COUNTRY_SENDS_PER_DAY", "12")]).await;
    let send = async |number: usize| {
        let phone = format!("+97798410001{number:02}");
        world.keep_phone_secret(&phone);
        world.post("/v1/otp/send", json!({"phone_number": phone})).send().await
    };
    for number in 0..11 {
        send(number).await.ok();
    }
    assert_eq!(published(&world).await, Vec::<Value>::new());
    send(11).await.ok();
    send(12).await.assert_problem(429, "too_many_requests");
    let events = published(&world).await;
    let capped = only(&events, "spend.capped");
    let expected = json!({"organization_id": "default", "country": "NP", "messages": 12, "until": capped["until"]});
    assert_eq!((capped, &events[0]["subject"]), (&expected, &json!("default/NP")));
    assert_eq!(events.len(), 1);
    world.advance(DAY);
    send(13).await.ok();
    assert_eq!(published(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_at_once_cap_a_country_once() {
    let world = Arc::new(World::publishing(&[("COUNTRY_SENDS_PER_DAY", "12")]).await);
    let replies = at_once(&world, 20, |world, n| async move {
        let phone = format!("+97798410001{n:02}");
        world.keep_phone_secret(&phone);
        world.post("/v1/otp/send", json!({"phone_number": phone})).send().await
    });
    assert_eq!(count(&replies.await, 200), 12);
    assert_eq!(types(&published(&world).await), ["spend.capped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_of_a_code_at_once_are_one_sign_in_and_old_tokens_at_once_one_reuse() {
    let world = Arc::new(World::publishing(&[]).await);
    let code = world.send_code(PHONE).await.code;
    let replies = at_once(&world, 8, |world, _| {
        let code = code.clone();
        async move { world.submit(PHONE, &code).send().await }
    });
    let signed_in = replies.await.into_iter().find(|reply| reply.status == 200).unwrap();
    assert_eq!(types(&published(&world).await), ["user.created", "user.signed_in"]);
    let first = person(PHONE, &signed_in);
    world.refreshed(&first).await;
    world.advance(31);
    let replies = at_once(&world, 8, |world, _| {
        let token = first.refresh.clone();
        async move { world.refresh(&token).await }
    });
    assert_eq!(count(&replies.await, 401), 8);
    assert_eq!(
        types(&published(&world).await),
        ["refresh.reused", "session.revoked", "user.created", "user.signed_in"]
    );
}

#[tokio::test]
async fn what_fails_or_is_refused_is_no_event() {
    let world = World::publishing(LONG_TOKENS).await;
    let owner = world.sign_in_as(PHONE, "sita").await;
    world.sign_in(OTHER).await;
    let before = published(&world).await;
    world.advance(600);
    let sent = world.send_code(PHONE).await;
    world.submit(PHONE, &wrong(&sent.code)).send().await.assert_problem(400, "incorrect_otp");
    let body = json!({"phone_number": OTHER, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(&owner).send().await.ok();
    let body = json!({"phone_number": OTHER, "otp": world.code(OTHER).await, "username": "sita"});
    let taken = world.post("/v1/phone/otp/validate", body).as_person(&owner).send().await;
    assert!(taken.status >= 400, "{taken:?}");
    world.call("PATCH", "/v1/me").as_person(&owner).json(json!({"name": "Sita"})).send().await.ok();
    world.refresh("no-token").await;
    world.call("DELETE", "/v1/me").bearer("no-token").send().await;
    // A transaction that is refused as a whole.
    world.add_fault(json!({"target": "dynamodb", "mode": "refuse", "code": "TransactionConflict", "times": 100})).await;
    assert!(world.submit(PHONE, &sent.code).send().await.status >= 400);
    world.clear_faults().await;
    assert_eq!(published(&world).await, before);
}

#[tokio::test]
async fn items_that_expire_or_that_nobody_can_read_are_no_events() {
    let world = World::publishing(&[]).await;
    for (name, expected) in [
        ("new-user", &["user.created"][..]),
        ("expired-session", &[]),
        ("unreadable", &[]),
        ("full-counter", &[]),
        ("sign-in", &["user.signed_in"]),
        ("reused-token", &["refresh.reused", "session.revoked"]),
        ("closed-number", &["sign_in.blocked"]),
    ] {
        let before = taken(&world).await.len();
        let event = serde_json::from_str(&file(&format!("events/publish/{name}.json"))).unwrap();
        let answer = world.system.invoke("PublishFunction", event).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}), "{name}");
        assert_eq!(types(&taken(&world).await[before..]), expected, "{name}");
    }
}

/// What two sign-ins and a sign-out publish, whatever happens to the bus before `repair`.
async fn assert_none_is_lost_or_doubled(world: &World, repair: impl AsyncFn(&World)) {
    let person = world.sign_in(PHONE).await;
    let other = world.sign_in(OTHER).await;
    delete(world, &person, "/v1/session").await;
    world.system.deliver_streams().await;
    repair(world).await;
    let events = published(world).await;
    assert_eq!(types(&events), ["session.revoked", "user.created", "user.created", "user.signed_in", "user.signed_in"]);
    assert_eq!(of(&events, "user.signed_in"), [&session_of(&person), &session_of(&other)]);
}

#[tokio::test]
async fn a_bus_that_is_down_or_throttles_or_takes_half_of_the_events_loses_none() {
    for fault in [
        json!({"target": "eventbridge", "mode": "error", "times": 1000}),
        json!({"target": "eventbridge", "mode": "refuse", "times": 1000}),
        json!({"target": "eventbridge", "mode": "refuse", "code": "AccessDeniedException", "times": 1000}),
        json!({"target": "eventbridge", "mode": "refuse", "code": "Half", "times": 1}),
        json!({"target": "eventbridge", "mode": "refuse", "code": "Half", "times": 1000}),
        json!({"target": "eventbridge", "mode": "duplicate", "times": 1000}),
    ] {
        let world = World::publishing(&[]).await;
        world.add_fault(fault).await;
        assert_none_is_lost_or_doubled(&world, async |world| world.clear_faults().await).await;
    }
}

#[tokio::test]
async fn entries_that_the_bus_does_not_take_are_put_again_without_the_others() {
    let world = World::publishing(&[]).await;
    world.add_fault(json!({"target": "eventbridge", "mode": "refuse", "code": "Half", "times": 1})).await;
    assert_none_is_lost_or_doubled(&world, async |_| {}).await;
    assert_eq!(taken(&world).await.len(), 5, "no event was put twice");
}

#[tokio::test]
async fn without_the_key_of_digests_no_event_is_published_and_none_is_lost() {
    let world = World::publishing(&[]).await;
    let person = world.sign_in(PHONE).await;
    world.fault("secretsmanager", "error", 1000).await;
    assert_eq!(published(&world).await, Vec::<Value>::new());
    world.clear_faults().await;
    world.advance(60);
    assert_eq!(only(&published(&world).await, "user.signed_in"), &session_of(&person));
}

#[tokio::test]
async fn a_function_that_is_killed_before_or_after_the_bus_took_its_events_loses_none() {
    for (mode, nth) in [(Mode::Kill, 1), (Mode::Kill, 2), (Mode::KillLate, 1), (Mode::Lost, 1), (Mode::LostInCut, 1)] {
        let world = World::publishing(&[]).await;
        let at = Outgoing { target: Target::EventBridge, what: "PutEvents".to_owned(), nth };
        world.system.aim(Some(Aim { at, mode, code: None, lasts: false }));
        assert_none_is_lost_or_doubled(&world, async |world| world.system.do_late_requests().await).await;
    }
}

#[tokio::test]
async fn no_request_waits_for_the_bus_or_fails_for_it() {
    let world = World::publishing(&[]).await;
    world.fault("eventbridge", "timeout", 1000).await;
    world.system.aim(None);
    let person = world.sign_in(PHONE).await;
    delete(&world, &person, "/v1/session").await;
    let outgoing = world.system.outgoing();
    assert!(!outgoing.iter().any(|request| request.target == Target::EventBridge), "{outgoing:?}");
    let published = world.metrics().iter().filter(|metric| !metric["Events"].is_null()).count();
    assert_eq!(published, 0);
}

#[tokio::test]
async fn each_event_is_counted_by_its_type_and_outcome() {
    let world = World::publishing(&[]).await;
    world.sign_in(PHONE).await;
    world.fault("eventbridge", "refuse", 3).await;
    published(&world).await;
    let counts = |outcome: &str| {
        let metrics = world.metrics();
        let of = metrics.iter().filter(|metric| metric["Events"] == json!(1) && metric["Outcome"] == json!(outcome));
        of.map(|metric| metric["Type"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let expected = BTreeSet::from(["user.created".to_owned(), "user.signed_in".to_owned()]);
    assert_eq!(counts("published"), expected);
    assert!(!counts("failed").is_empty());
}

#[test]
fn without_a_bus_there_is_no_function_no_stream_and_no_key_for_events() {
    let text = file("template.yaml");
    let streams = |template: &Template| -> Vec<String> {
        let tables = template.tables.iter().filter(|table| table.create.get("StreamSpecification").is_some());
        tables.map(|table| table.name.clone()).collect()
    };
    let secrets = |template: &Template| template.secrets.iter().any(|secret| secret.name == "EventKeySecret");
    let off = Template::parse(&text).unwrap();
    assert_eq!(streams(&off), ["NoticesTable"]);
    assert!(!off.functions.contains_key("PublishFunction") && !secrets(&off));
    assert!(off.event_sources.iter().all(|source| source.function == "NotifyFunction"));
    let on = Template::parse_with(&text, &Options::publishing()).unwrap();
    assert_eq!(streams(&on), ["NoticesTable", "OtpsTable", "SessionsTable", "UsersTable"]);
    assert!(on.functions.contains_key("PublishFunction") && secrets(&on));
    assert_eq!(on.event_sources.iter().filter(|source| source.function == "PublishFunction").count(), 3);
    // `cargo local` does not read queues.
    let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
    for id in ["PublishFunction", "PublishLogGroup", "LostEventsQueue", "EventKeySecret"] {
        assert_eq!(document["Resources"][id]["Condition"].as_str(), Some("PublishEvents"), "{id}");
    }
}

/// The blocks of JSON in a document.
fn examples(document: &str) -> Vec<Value> {
    let blocks = document.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"))).collect()
}

#[test]
fn the_document_of_events_has_a_valid_example_of_each_type() {
    let examples = examples(&file("docs/events.md"));
    let events: Vec<_> = examples.iter().filter(|example| !example["specversion"].is_null()).collect();
    events.iter().for_each(|event| assert_valid(event));
    let shown: BTreeSet<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let known = schema("event")["properties"]["type"]["enum"].clone();
    assert_eq!(shown, known.as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect());
}
