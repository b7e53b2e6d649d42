//! A change of number without the old number: a known device asks for it, and it waits until nobody has refused it.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::device::Device;
use tests::{Person, Reply, World, at_once, person, wrong};

use crate::{OTHER, PHONE};

const CANCEL: &str = "/v1/phone/change/cancel";
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// So that a test need not refresh for each request.
const LONG_TOKENS: &[(&str, &str)] = &[("ACCESS_TOKEN_SECONDS", "8640000")];

/// A person on a device with a key, whose token is not fresh.
struct Owner {
    person: Person,
    device: Device,
}

impl Owner {
    async fn of(world: &World) -> Self {
        let device = Device::new();
        let code = world.send_code(PHONE).await.code;
        let person = person(PHONE, &world.submit(PHONE, &code).proven_by(&device).send().await);
        let named = world.call("PATCH", "/v1/me").as_person(&person).json(json!({"username": "sita"}));
        named.send().await.ok();
        world.keep_phone_secret(OTHER);
        world.advance(60);
        let mut owner = Self { person, device };
        owner.refresh(world).await;
        owner
    }

    async fn refresh(&mut self, world: &World) {
        let call = world.post("/v1/session/refresh", json!({"refresh_token": self.person.refresh}));
        let reply = call.proven_by(&self.device).send().await;
        self.person.access = reply.text("access_token");
        self.person.refresh = reply.text("refresh_token");
    }

    async fn send(&self, world: &World, to: &str) -> Reply {
        world.advance(300);
        let call = world.post("/v1/phone/otp/send", json!({"phone_number": to, "change": true}));
        call.as_person(&self.person).proven_by(&self.device).send().await
    }

    async fn validate(&self, world: &World, to: &str, code: &str) -> Reply {
        let body = json!({"phone_number": to, "otp": code, "username": "sita"});
        world.post("/v1/phone/otp/validate", body).as_person(&self.person).send().await
    }

    /// Asks for a change and proves the new number.
    async fn ask(&self, world: &World, to: &str) -> Reply {
        self.send(world, to).await.ok();
        self.validate(world, to, &world.code(to).await).await
    }

    async fn me(&self, world: &World) -> Value {
        world.me(&self.person).await
    }

    async fn number(&self, world: &World) -> Value {
        self.me(world).await["phone_number"].clone()
    }
}

async fn asked() -> (World, Owner) {
    let world = World::with(LONG_TOKENS).await;
    let owner = Owner::of(&world).await;
    assert_eq!(owner.ask(&world, OTHER).await.status, 202);
    (world, owner)
}

/// What the clock does each hour, and then the deliveries.
async fn run_due(world: &World) {
    world.system.invoke("DueFunction", json!({})).await.unwrap();
    world.system.deliver_streams().await;
}

async fn another_device(world: &World) -> Person {
    world.advance(600);
    let code = world.send_code(PHONE).await.code;
    let body = json!({"phone_number": PHONE, "otp": code, "fcm_token": "tablet"});
    person(PHONE, &world.post("/v1/otp/submit", body).send().await)
}

async fn pushed(world: &World) -> Vec<String> {
    let pushes = world.call("GET", "/local/pushes").send().await.ok();
    let pushes = pushes["pushes"].as_array().unwrap().iter().rev();
    pushes.filter_map(|push| Some(push["data"]["event"].as_str()?.to_owned())).collect()
}

async fn texts(world: &World, phone: &str) -> Vec<String> {
    let inbox = world.inbox(phone).await;
    inbox.iter().rev().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_known_device_without_the_old_number_has_another_one_after_72_hours() {
    let world = World::with(LONG_TOKENS).await;
    let owner = Owner::of(&world).await;
    let sent = owner.send(&world, OTHER).await.ok();
    assert_eq!(sent["change_in"], json!(3 * DAY));
    let asked = owner.validate(&world, OTHER, &world.code(OTHER).await).await;
    let due_at = world.now() + 3 * DAY as i64;
    assert_eq!((asked.status, &asked.body["change_due_at"]), (202, &json!(due_at)));
    let pending = owner.me(&world).await["pending_phone_change"].clone();
    assert_eq!((&pending["phone_number"], &pending["due_at"]), (&json!(OTHER), &json!(due_at)));

    world.advance(3 * DAY - 1);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE), "not before");
    world.advance(1);
    run_due(&world).await;
    let me = owner.me(&world).await;
    assert_eq!((&me["phone_number"], &me["pending_phone_change"]), (&json!(OTHER), &Value::Null));
    world.advance(600);
    assert_eq!(world.sign_in(OTHER).await.user_id, owner.person.user_id, "the new number opens the account");
}

#[tokio::test]
async fn everybody_is_told_of_a_change_that_waits_at_once_a_day_before_and_when_it_is_made() {
    let world = World::with(LONG_TOKENS).await;
    another_device(&world).await;
    world.advance(600);
    let owner = Owner::of(&world).await;
    let before = texts(&world, PHONE).await.len();
    let told = pushed(&world).await.len();
    owner.ask(&world, OTHER).await;
    world.system.deliver_streams().await;
    world.advance(2 * DAY);
    run_due(&world).await;
    world.advance(DAY);
    run_due(&world).await;
    run_due(&world).await;
    let expected = [
        "Your Latchkey account is to get another number. Not you? Sign in with this number within 72 hours.",
        "Your Latchkey account is to get another number. Not you? Sign in with this number within 24 hours.",
        "The number of your Latchkey account was changed. Not you? Sign in with this number within 72 hours.",
    ];
    assert_eq!(texts(&world, PHONE).await[before..], expected);
    let events = pushed(&world).await;
    let events: Vec<&String> = events[told..].iter().filter(|event| event.starts_with("phone")).collect();
    assert_eq!(events, ["phone_change_pending", "phone_change_due", "phone_changed"]);
}

#[tokio::test]
async fn a_change_without_the_old_number_requires_a_proof_by_a_known_device() {
    let world = World::with(LONG_TOKENS).await;
    let owner = Owner::of(&world).await;
    let send = || {
        let call = world.post("/v1/phone/otp/send", json!({"phone_number": OTHER, "change": true}));
        call.as_person(&owner.person)
    };
    send().send().await.assert_problem(401, "fresh_token_required");
    // The thief of a token has another key.
    send().proven_by(&Device::new()).send().await.assert_problem(401, "fresh_token_required");
    assert_eq!(world.inbox(OTHER).await, Vec::<Value>::new());
    let world = World::with(&[LONG_TOKENS, &[("DEVICE_KEYS", "off")]].concat()).await;
    let owner = Owner::of(&world).await;
    owner.send(&world, OTHER).await.assert_problem(401, "fresh_token_required");
}

#[tokio::test]
async fn a_wrong_code_asks_for_nothing() {
    let world = World::with(LONG_TOKENS).await;
    let owner = Owner::of(&world).await;
    owner.send(&world, OTHER).await.ok();
    let code = world.code(OTHER).await;
    owner.validate(&world, OTHER, &wrong(&code)).await.assert_problem(400, "incorrect_otp");
    assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
    assert_eq!(owner.validate(&world, OTHER, &code).await.status, 202);
    owner.validate(&world, OTHER, &code).await.assert_problem(403, "already_verified");
}

#[tokio::test]
async fn a_sign_in_at_the_old_number_refuses_the_change_and_closes_it_for_30_days() {
    let (world, mut owner) = asked().await;
    another_device(&world).await;
    assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE));
    let refused = owner.send(&world, OTHER).await;
    refused.assert_problem(429, "too_many_requests");
    assert!(refused.number("retry_after") > 26 * DAY, "{refused:?}");
    world.advance(20 * DAY);
    owner.refresh(&world).await;
    world.advance(refused.number("retry_after") - 20 * DAY);
    assert_eq!(owner.ask(&world, OTHER).await.status, 202);
}

#[tokio::test]
async fn a_change_waits_as_long_as_somebody_uses_up_the_old_numbers_codes() {
    let (world, mut owner) = asked().await;
    world.advance(3 * DAY - 2 * HOUR);
    let last_send = world.use_up_sends(PHONE, 6).await;
    world.advance(2 * HOUR - last_send);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE), "its owner had no code to refuse with");
    assert_ne!(owner.me(&world).await["pending_phone_change"], Value::Null);
    world.advance(DAY);
    world.use_up_sends(PHONE, 10).await;
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE), "nor a day later");

    world.advance(DAY);
    another_device(&world).await;
    run_due(&world).await;
    assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
    owner.refresh(&world).await;
    owner.send(&world, OTHER).await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn a_change_is_made_when_the_old_number_had_codes_left_for_a_day() {
    let (world, owner) = asked().await;
    world.advance(DAY - 2 * HOUR);
    world.use_up_sends(PHONE, 10).await;
    world.advance(2 * DAY + 2 * HOUR);
    // Five of ten leave somebody enough to refuse with.
    world.use_up_sends(PHONE, 5).await;
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(OTHER));
}

/// The sends of a thief just before and just after the beginning of the last day refuse the owner's for almost all of it.
#[tokio::test]
async fn codes_that_were_used_up_before_the_last_day_keep_a_change_waiting_too() {
    let (world, owner) = asked().await;
    world.advance(3 * DAY - 25 * HOUR);
    let took = world.use_up_sends(PHONE, 5).await;
    world.advance(2 * HOUR - took);
    let took = world.use_up_sends(PHONE, 5).await;
    world.advance(10 * HOUR - took);
    let owners = world.post("/v1/otp/send", json!({"phone_number": PHONE})).send().await;
    owners.assert_problem(429, "too_many_requests");
    world.advance(11 * HOUR);
    world.post("/v1/otp/send", json!({"phone_number": PHONE})).send().await.assert_problem(429, "too_many_requests");
    world.advance(2 * HOUR);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE), "its owner had no code for almost a day");
}

#[tokio::test]
async fn a_change_that_somebody_keeps_from_being_made_ends_after_a_week() {
    let (world, owner) = asked().await;
    world.advance(3 * DAY);
    for _ in 0..8 {
        world.use_up_sends(PHONE, 6).await;
        run_due(&world).await;
        assert_eq!(owner.number(&world).await, json!(PHONE));
        world.advance(DAY);
    }
    assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE));
}

/// The run of an hour must not leave an end of an undo to a later hour, in which it is over.
#[tokio::test]
async fn one_run_does_everything_that_is_due() {
    let world = World::new().await;
    let at = world.now();
    for n in 0..1_100 {
        let user = format!("usr_{n:026}");
        let item = json!({
            "pk": {"S": "due"}, "sk": {"S": format!("{at:012}#change_reminder#{user}#{at}")}, "user_id": {"S": user},
            "kind": {"S": "change_reminder"}, "at": {"N": at.to_string()}, "requested_at": {"N": at.to_string()},
        });
        world.dynamodb("PutItem", json!({"TableName": "NoticesTable", "Item": item})).await;
    }
    let answer = world.system.invoke("DueFunction", json!({})).await.unwrap();
    assert_eq!((answer, world.items("NoticesTable").await.len()), (json!({"seen": 1_100}), 0));
}

#[tokio::test]
async fn another_device_refuses_the_change_and_closes_it_for_30_days() {
    let world = World::with(LONG_TOKENS).await;
    let tablet = another_device(&world).await;
    world.advance(600);
    let owner = Owner::of(&world).await;
    owner.ask(&world, OTHER).await;
    let cancel = || world.call("POST", CANCEL).as_person(&tablet);
    assert_eq!(cancel().send().await.status, 204);
    cancel().send().await.assert_problem(404, "nothing_pending");
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE));
    owner.send(&world, OTHER).await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn whoever_asked_can_withdraw_and_ask_again_when_the_change_would_have_been_made() {
    let (world, owner) = asked().await;
    assert_eq!(world.call("POST", CANCEL).as_person(&owner.person).send().await.status, 204);
    assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
    let early = owner.send(&world, OTHER).await;
    early.assert_problem(429, "too_many_requests");
    world.advance(early.number("retry_after"));
    assert_eq!(owner.ask(&world, OTHER).await.status, 202);
}

#[tokio::test]
async fn one_change_waits_at_a_time() {
    let (world, owner) = asked().await;
    let second = owner.send(&world, "+9779841000003").await;
    second.assert_problem(409, "change_pending");
    assert_eq!(second.body["due_at"], owner.me(&world).await["pending_phone_change"]["due_at"]);
}

#[tokio::test]
async fn of_two_changes_that_are_proven_at_the_same_time_one_waits() {
    let world = Arc::new(World::with(LONG_TOKENS).await);
    let owner = Arc::new(Owner::of(&world).await);
    let numbers = [OTHER, "+9779841000003"];
    let mut codes = Vec::new();
    for number in numbers {
        world.keep_phone_secret(number);
        owner.send(&world, number).await.ok();
        codes.push(world.code(number).await);
    }
    let replies = at_once(&world, 2, |world, n| {
        let (owner, code) = (Arc::clone(&owner), codes[n].clone());
        async move { owner.validate(&world, numbers[n], &code).await }
    })
    .await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409], "{replies:?}");
}

#[tokio::test]
async fn a_device_that_is_signed_out_by_another_one_has_asked_for_nothing() {
    let world = World::with(LONG_TOKENS).await;
    let tablet = another_device(&world).await;
    world.advance(600);
    let owner = Owner::of(&world).await;
    owner.ask(&world, OTHER).await;
    let sessions = world.call("GET", "/v1/sessions").as_person(&owner.person).send().await.ok();
    let is_current = |session: &&Value| session["current"] == json!(true);
    let asking = sessions["sessions"].as_array().unwrap().iter().find(is_current).unwrap();
    let end = format!("/v1/sessions/{}", asking["session_id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &end).as_person(&tablet).send().await.status, 204);
    assert_eq!(world.me(&tablet).await["pending_phone_change"], Value::Null);
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(world.me(&tablet).await["phone_number"], json!(PHONE));
}

#[tokio::test]
async fn a_number_that_somebody_else_has_by_then_is_not_taken() {
    let (world, owner) = asked().await;
    world.advance(600);
    let newcomer = world.sign_in(OTHER).await;
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE));
    assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
    assert_eq!(world.me(&newcomer).await["phone_number"], json!(OTHER));
    let items = world.items("NoticesTable").await;
    assert!(!items.iter().any(|item| item["pk"]["S"] == json!("due")), "{items:?}");
}

#[tokio::test]
async fn a_number_that_somebody_has_is_refused_when_it_is_asked_for() {
    let world = World::with(LONG_TOKENS).await;
    world.sign_in(OTHER).await;
    let owner = Owner::of(&world).await;
    owner.ask(&world, OTHER).await.assert_problem(403, "already_verified");
    assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
}

#[tokio::test]
async fn a_change_that_was_made_can_be_taken_back_by_the_old_number() {
    let (world, owner) = asked().await;
    world.advance(3 * DAY);
    run_due(&world).await;
    world.advance(600);
    let code = world.send_code(PHONE).await.code;
    let body = json!({"phone_number": PHONE, "otp": code, "restore": true});
    let restored = world.post("/v1/otp/submit", body).send().await.ok();
    assert_eq!(restored["user"]["user_id"], json!(owner.person.user_id));
    assert_eq!(restored["user"]["phone_number"], json!(PHONE));
}

#[tokio::test]
async fn a_user_who_lost_the_number_to_somebody_else_gets_another_one_after_72_hours() {
    let world = World::with(&[LONG_TOKENS, &[("PHONE_DORMANT_DAYS", "1")]].concat()).await;
    let owner = Owner::of(&world).await;
    world.advance(2 * DAY);
    let code = world.send_code(PHONE).await.code;
    let body = json!({"phone_number": PHONE, "otp": code, "fresh_account": true});
    let stranger = person(PHONE, &world.post("/v1/otp/submit", body).send().await);
    assert_eq!(owner.number(&world).await, Value::Null);
    assert_eq!(owner.ask(&world, OTHER).await.status, 202);
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(OTHER));
    assert_eq!(world.me(&stranger).await["phone_number"], json!(PHONE));
    assert!(!texts(&world, PHONE).await.iter().any(|text| text.contains("another number")), "it is not theirs");
}

#[tokio::test]
async fn a_deleted_account_gets_no_number() {
    let world = World::with(LONG_TOKENS).await;
    let tablet = another_device(&world).await;
    world.advance(600);
    let owner = Owner::of(&world).await;
    assert_eq!(owner.ask(&world, OTHER).await.status, 202);
    assert_eq!(world.call("DELETE", "/v1/me").as_person(&tablet).send().await.status, 204);
    world.advance(3 * DAY);
    run_due(&world).await;
    let fresh = world.sign_in(OTHER).await;
    assert_ne!(fresh.user_id, owner.person.user_id);
}

#[tokio::test]
async fn a_device_that_was_signed_out_after_the_change_takes_nothing_back_at_a_dormant_number() {
    let world = World::with(&[LONG_TOKENS, &[("PHONE_DORMANT_DAYS", "1")]].concat()).await;
    let lost = Device::new();
    let code = world.send_code(PHONE).await.code;
    person(PHONE, &world.submit(PHONE, &code).proven_by(&lost).send().await);
    world.advance(600);
    let owner = Owner::of(&world).await;
    world.advance(2 * DAY);
    assert_eq!(owner.ask(&world, OTHER).await.status, 202);
    world.advance(3 * DAY);
    run_due(&world).await;
    let sessions = world.call("GET", "/v1/sessions").as_person(&owner.person).send().await.ok();
    let sessions = sessions["sessions"].as_array().unwrap().clone();
    let other = sessions.iter().find(|session| session["current"] == json!(false)).unwrap();
    let end = format!("/v1/sessions/{}", other["session_id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &end).as_person(&owner.person).send().await.status, 204);
    let code = world.send_code(PHONE).await.code;
    let restore = json!({"phone_number": PHONE, "otp": code, "restore": true});
    let taken = world.post("/v1/otp/submit", restore.clone()).proven_by(&lost).send().await;
    taken.assert_problem(403, "second_signal_required");
    assert_eq!(owner.number(&world).await, json!(OTHER));
    world.post("/v1/otp/submit", restore).proven_by(&owner.device).send().await.ok();
}

/// An owner whose number is dormant, with a change that waits.
async fn asked_at_a_dormant_number() -> (World, Owner) {
    let world = World::with(&[LONG_TOKENS, &[("PHONE_DORMANT_DAYS", "1")]].concat()).await;
    let owner = Owner::of(&world).await;
    world.advance(2 * DAY);
    assert_eq!(owner.ask(&world, OTHER).await.status, 202);
    (world, owner)
}

#[tokio::test]
async fn a_dormant_number_is_told_nothing_and_its_code_alone_takes_nothing_back() {
    let (world, owner) = asked_at_a_dormant_number().await;
    let before = texts(&world, PHONE).await;
    for _ in 0..3 {
        world.advance(DAY);
        run_due(&world).await;
    }
    assert_eq!(owner.number(&world).await, json!(OTHER));
    assert_eq!(texts(&world, PHONE).await, before, "the number may be another person's by now");
    world.advance(600);
    let code = world.send_code(PHONE).await.code;
    let body = json!({"phone_number": PHONE, "otp": code});
    let restore = json!({"phone_number": PHONE, "otp": code, "restore": true});
    for stranger in [world.post("/v1/otp/submit", body.clone()), world.post("/v1/otp/submit", restore.clone())] {
        stranger.send().await.assert_problem(403, "second_signal_required");
    }
    world.post("/v1/phone/change/undo", body).send().await.assert_problem(403, "second_signal_required");
    assert_eq!(owner.number(&world).await, json!(OTHER));
    let back = world.post("/v1/otp/submit", restore).proven_by(&owner.device).send().await.ok();
    assert_eq!(back["user"]["user_id"], json!(owner.person.user_id));
}

#[tokio::test]
async fn a_stranger_who_takes_over_the_dormant_number_meanwhile_stops_nothing() {
    let (world, owner) = asked_at_a_dormant_number().await;
    world.advance(600);
    let code = world.send_code(PHONE).await.code;
    let body = json!({"phone_number": PHONE, "otp": code, "fresh_account": true});
    let stranger = person(PHONE, &world.post("/v1/otp/submit", body).send().await);
    assert_ne!(owner.me(&world).await["pending_phone_change"], Value::Null);
    let before = texts(&world, PHONE).await;
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(OTHER));
    assert_eq!(world.me(&stranger).await["phone_number"], json!(PHONE));
    assert_eq!(texts(&world, PHONE).await, before);
}

#[tokio::test]
async fn the_key_must_be_that_of_the_session_so_that_ending_the_session_ends_the_request() {
    let world = World::with(LONG_TOKENS).await;
    let former = Device::new();
    let code = world.send_code(PHONE).await.code;
    world.submit(PHONE, &code).proven_by(&former).send().await.ok();
    world.advance(600);
    let owner = Owner::of(&world).await;
    world.advance(300);
    let body = json!({"phone_number": OTHER, "change": true});
    let send = world.post("/v1/phone/otp/send", body).as_person(&owner.person).proven_by(&former);
    send.send().await.assert_problem(401, "fresh_token_required");
    assert_eq!(world.inbox(OTHER).await, Vec::<Value>::new());
}

/// The code was sent to one session, and another one of the same user validates it.
#[tokio::test]
async fn another_session_than_that_of_the_device_cannot_validate_the_code() {
    let world = World::with(LONG_TOKENS).await;
    let tablet = another_device(&world).await;
    world.advance(600);
    let owner = Owner::of(&world).await;
    owner.send(&world, OTHER).await.ok();
    let body = json!({"phone_number": OTHER, "otp": world.code(OTHER).await, "username": "sita"});
    let validate = world.post("/v1/phone/otp/validate", body).as_person(&tablet);
    validate.send().await.assert_problem(401, "fresh_token_required");
    assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
}

#[tokio::test]
async fn a_change_at_once_ends_one_that_waits_and_no_undo_revives_it() {
    let world = World::with(LONG_TOKENS).await;
    let mut owner = Owner::of(&world).await;
    world.advance(300);
    let code = world.send_code(PHONE).await.code;
    let fresh = person(PHONE, &world.submit(PHONE, &code).proven_by(&owner.device).send().await);
    world.advance(60);
    assert_eq!(owner.ask(&world, OTHER).await.status, 202);
    let third = "+9779841000003";
    world.keep_phone_secret(third);
    world.advance(300);
    let body = json!({"phone_number": third, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(&fresh).send().await.ok();
    let body = json!({"phone_number": third, "otp": world.code(third).await, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(&fresh).send().await.ok();
    owner.refresh(&world).await;
    let undo = world.call("POST", "/v1/phone/change/undo").as_person(&owner.person).proven_by(&owner.device);
    undo.send().await.ok();
    assert_eq!(owner.number(&world).await, json!(PHONE));
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(PHONE));
}

#[tokio::test]
async fn whoever_has_no_username_needs_none() {
    let world = World::with(LONG_TOKENS).await;
    let device = Device::new();
    let code = world.send_code(PHONE).await.code;
    let person = person(PHONE, &world.submit(PHONE, &code).proven_by(&device).send().await);
    let mut owner = Owner { person, device };
    owner.refresh(&world).await;
    world.keep_phone_secret(OTHER);
    owner.send(&world, OTHER).await.ok();
    let body = json!({"phone_number": OTHER, "otp": world.code(OTHER).await});
    let asked = world.post("/v1/phone/otp/validate", body).as_person(&owner.person).send().await;
    assert_eq!(asked.status, 202, "{asked:?}");
}

#[tokio::test]
async fn a_refusal_by_a_sign_in_is_told_when_the_change_would_have_been_made() {
    let world = World::with(LONG_TOKENS).await;
    another_device(&world).await;
    world.advance(600);
    let owner = Owner::of(&world).await;
    owner.ask(&world, OTHER).await;
    world.advance(600);
    world.sign_in(PHONE).await;
    for _ in 0..2 {
        world.advance(3 * DAY);
        run_due(&world).await;
    }
    assert_eq!(pushed(&world).await.iter().filter(|event| *event == "phone_change_stopped").count(), 1);
    let refused = world.metrics().into_iter().filter(|metric| metric["Kind"] == "phone_change");
    let outcomes: Vec<Value> = refused.map(|metric| metric["Outcome"].clone()).collect();
    assert_eq!(outcomes, [json!("requested"), json!("refused")]);
}

#[tokio::test]
async fn something_due_that_cannot_be_read_stops_nothing_else() {
    let (world, owner) = asked().await;
    let unknown = json!({"pk": {"S": "due"}, "sk": {"S": "000000000001#unknown#1"}, "kind": {"S": "unknown"}});
    world.dynamodb("PutItem", json!({"TableName": "NoticesTable", "Item": unknown})).await;
    world.advance(3 * DAY);
    run_due(&world).await;
    assert_eq!(owner.number(&world).await, json!(OTHER));
}

#[tokio::test]
async fn a_change_that_is_due_and_refused_at_the_same_time_is_one_of_the_two() {
    for _ in 0..4 {
        let world = World::with(LONG_TOKENS).await;
        let tablet = another_device(&world).await;
        world.advance(600);
        let owner = Owner::of(&world).await;
        owner.ask(&world, OTHER).await;
        world.advance(3 * DAY);
        let world = Arc::new(world);
        let tablet = Arc::new(tablet);
        let done = at_once(&world, 3, |world, n| {
            let tablet = Arc::clone(&tablet);
            async move {
                match n {
                    0 => world.call("POST", CANCEL).as_person(&tablet).send().await.status,
                    _ => {
                        world.system.invoke("DueFunction", json!({})).await.unwrap();
                        0
                    }
                }
            }
        })
        .await;
        let wanted = if done[0] == 204 { PHONE } else { OTHER };
        assert_eq!(owner.number(&world).await, json!(wanted), "{done:?}");
        assert_eq!(owner.me(&world).await["pending_phone_change"], Value::Null);
    }
}

#[tokio::test]
async fn a_change_that_is_asked_for_in_the_second_of_a_sign_in_waits_too() {
    let world = World::with(LONG_TOKENS).await;
    let mut owner = Owner::of(&world).await;
    owner.send(&world, OTHER).await.ok();
    let change = world.code(OTHER).await;
    let sent = world.send_code(PHONE).await;
    let again = world.submit(PHONE, &sent.code).proven_by(&owner.device).send().await;
    owner.person = person(PHONE, &again);
    owner.refresh(&world).await;
    assert_eq!(owner.validate(&world, OTHER, &change).await.status, 202);
    assert_ne!(owner.me(&world).await["pending_phone_change"], Value::Null);
}
