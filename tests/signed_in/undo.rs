//! Taking back a change of number, by the former number or by a device from before; and a deletion, by the number.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::device::Device;
use tests::{Person, Reply, Sent, World, at_once, person, with, wrong};

use crate::tokens::claims;
use crate::{OTHER, PHONE};

const THIRD: &str = "+9779841000003";
const UNDO: &str = "/v1/phone/change/undo";
const HOURS_72: u64 = 72 * 3_600;
/// So that a test need not refresh, which would make a token that is not fresh.
const LONG_TOKENS: &[(&str, &str)] = &[("ACCESS_TOKEN_SECONDS", "86400")];

async fn sign_in(world: &World, phone: &str, more: Value) -> Reply {
    world.advance(600);
    let sent = world.send_code(phone).await;
    submit(world, phone, &sent, more).await
}

async fn submit(world: &World, phone: &str, sent: &Sent, more: Value) -> Reply {
    let body = json!({"phone_number": phone, "otp": sent.code, "challenge_id": sent.challenge_id});
    world.post("/v1/otp/submit", with(&body, more)).send().await
}

async fn code_for(world: &World, phone: &str) -> Sent {
    world.advance(600);
    world.send_code(phone).await
}

/// Changes the number of a person with a fresh token.
async fn change(world: &World, person: &Person, to: &str) -> Reply {
    world.advance(60);
    world.keep_phone_secret(to);
    let body = json!({"phone_number": to, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(person).send().await.ok();
    let body = json!({"phone_number": to, "otp": world.code(to).await, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(person).send().await
}

/// The owner of the number, on a device with a key.
struct Owner {
    person: Person,
    device: Device,
}

impl std::ops::Deref for Owner {
    type Target = Person;

    fn deref(&self) -> &Person {
        &self.person
    }
}

async fn owner(world: &World) -> Owner {
    let device = Device::new();
    let sent = world.send_code(PHONE).await;
    let person = person(PHONE, &world.submit(PHONE, &sent.code).proven_by(&device).send().await);
    let named = world.call("PATCH", "/v1/me").as_person(&person).json(json!({"username": "sita"}));
    named.send().await.ok();
    Owner { person, device }
}

/// The owner on an older device, and a thief who signed in with a swapped SIM and moves the account to their own number.
async fn stolen() -> (World, Owner, Person) {
    let world = World::with(LONG_TOKENS).await;
    let owner = owner(&world).await;
    world.advance(600);
    let thief = person(PHONE, &sign_in(&world, PHONE, json!({})).await);
    change(&world, &thief, OTHER).await.ok();
    world.advance(60);
    (world, owner, thief)
}

async fn undo_by_code(world: &World, phone: &str, sent: &Sent) -> Reply {
    let body = json!({"phone_number": phone, "otp": sent.code, "challenge_id": sent.challenge_id});
    world.post(UNDO, body).send().await
}

async fn undo_as(world: &World, owner: &Owner) -> Reply {
    world.call("POST", UNDO).as_person(owner).proven_by(&owner.device).send().await
}

async fn refresh_bound(world: &World, owner: &Owner) -> Reply {
    let refresh = world.post("/v1/session/refresh", json!({"refresh_token": owner.refresh}));
    refresh.proven_by(&owner.device).send().await
}

async fn refresh(world: &World, person: &Person) -> Reply {
    world.refresh(&person.refresh).await
}

/// Panics unless the account is the owner's again, and the thief is out.
async fn assert_returned(world: &World, owner: &Person, thief: &Person) {
    refresh(world, thief).await.assert_problem(401, "session_revoked");
    let again = sign_in(world, PHONE, json!({})).await;
    assert_eq!(again.body["user"]["user_id"], json!(owner.user_id), "{again:?}");
    assert_eq!(again.body["user"]["phone_number"], json!(PHONE));
    // The thief's number is nobody's.
    let other = sign_in(world, OTHER, json!({})).await;
    assert_eq!(other.body["is_new_user"], json!(true), "{other:?}");
    assert_ne!(other.body["user"]["user_id"], json!(owner.user_id));
}

/// What the clock does each hour.
async fn run_due(world: &World) {
    world.system.invoke("DueFunction", json!({})).await.unwrap();
}

fn moment(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap()
}

// By the former number.

#[tokio::test]
async fn the_former_number_takes_a_change_back_and_the_thief_is_out() {
    let (world, owner, thief) = stolen().await;
    let sent = code_for(&world, PHONE).await;
    let mistyped = Sent { code: wrong(&sent.code), ..sent.clone() };
    undo_by_code(&world, PHONE, &mistyped).await.assert_problem(400, "incorrect_otp");
    let undone = undo_by_code(&world, PHONE, &sent).await;
    assert_eq!(undone.body["user"]["user_id"], json!(owner.user_id), "{undone:?}");
    assert_eq!(undone.body["user"]["phone_number"], json!(PHONE));
    assert_eq!(undone.body["user"].get("phone_change"), None);
    world.refresh(&undone.text("refresh_token")).await.ok();
    // A session from before the theft goes on.
    refresh_bound(&world, &owner).await.ok();
    assert_returned(&world, &owner, &thief).await;
}

#[tokio::test]
async fn a_code_at_the_former_number_opens_no_account_without_a_decision() {
    let (world, owner, _) = stolen().await;
    let sent = code_for(&world, PHONE).await;
    let refused = submit(&world, PHONE, &sent, json!({})).await;
    refused.assert_problem(403, "number_released");
    assert_eq!(refused.body["undoes"], json!("number_change"));
    let until = refused.body["undo_until"].as_i64().unwrap();
    assert!(until > world.now() && until <= world.now() + i64::try_from(HOURS_72).unwrap());
    let mistyped = Sent { code: wrong(&sent.code), ..sent.clone() };
    for more in [json!({}), json!({"restore": true}), json!({"fresh_account": true})] {
        submit(&world, PHONE, &mistyped, more).await.assert_problem(400, "incorrect_otp");
    }
    let sent = code_for(&world, PHONE).await;
    let both = submit(&world, PHONE, &sent, json!({"restore": true, "fresh_account": true})).await;
    both.assert_problem(400, "malformed_request");
    let restored = submit(&world, PHONE, &sent, json!({"restore": true})).await.ok();
    assert_eq!(restored["user"]["user_id"], json!(owner.user_id));
}

#[tokio::test]
async fn a_new_account_at_the_former_number_has_to_wait_until_the_change_is_final() {
    let (world, owner, thief) = stolen().await;
    let refused = sign_in(&world, PHONE, json!({"fresh_account": true})).await;
    refused.assert_problem(403, "number_released");
    assert!(refused.text("detail").contains("got another number"), "{refused:?}");
    assert_eq!(refused.body["undoes"], "number_change");
    undo_as(&world, &owner).await.ok();
    assert_returned(&world, &owner, &thief).await;
    let (world, _, thief) = stolen().await;
    world.advance(HOURS_72);
    let fresh = sign_in(&world, PHONE, json!({"fresh_account": true})).await.ok();
    assert_eq!(fresh["is_new_user"], json!(true));
    assert_ne!(fresh["user"]["user_id"], json!(thief.user_id));
}

/// Each day until the hours before the change would be final, somebody uses up the former number's codes.
async fn use_up_days(world: &World, days: u64) {
    for _ in 0..days {
        let began = world.now();
        world.use_up_sends(PHONE, 6).await;
        world.advance(86_400 - u64::try_from(world.now() - began).unwrap());
        run_due(world).await;
    }
}

#[tokio::test]
async fn whoever_uses_up_the_former_numbers_codes_does_not_make_a_change_final() {
    let (world, owner, thief) = stolen().await;
    let changed_at = world.now() - 60;
    world.advance(2 * 86_400 - 3_600);
    use_up_days(&world, 1).await;
    world.advance(86_400);
    assert!(world.now() > changed_at + moment(HOURS_72), "it would be final");
    let sent = code_for(&world, PHONE).await;
    let undone = undo_by_code(&world, PHONE, &sent).await;
    assert_eq!(undone.body["user"]["user_id"], json!(owner.user_id), "{undone:?}");
    refresh(&world, &thief).await.assert_problem(401, "session_revoked");
    run_due(&world).await;
    assert!(
        !world.items("NoticesTable").await.iter().any(|item| item["pk"]["S"] == json!("due")),
        "nothing is left to decide"
    );
}

#[tokio::test]
async fn a_change_is_final_a_week_later_at_the_latest() {
    let (world, owner, _) = stolen().await;
    world.advance(2 * 86_400 - 3_600);
    use_up_days(&world, 9).await;
    world.advance(86_400);
    let newcomer = sign_in(&world, PHONE, json!({})).await;
    assert_eq!(newcomer.body["is_new_user"], json!(true), "{newcomer:?}");
    assert_ne!(newcomer.body["user"]["user_id"], json!(owner.user_id));
}

#[tokio::test]
async fn a_change_is_final_when_the_former_number_had_codes_left() {
    let (world, owner, _) = stolen().await;
    world.advance(2 * 86_400);
    world.use_up_sends(PHONE, 4).await;
    world.advance(86_400 - 3_600 - 1_000);
    run_due(&world).await;
    world.advance(3_600 + 1_000);
    let newcomer = sign_in(&world, PHONE, json!({})).await;
    assert_ne!(newcomer.body["user"]["user_id"], json!(owner.user_id), "{newcomer:?}");
}

#[tokio::test]
async fn after_72_hours_a_change_is_final_and_the_former_number_is_free() {
    let (world, owner, thief) = stolen().await;
    world.advance(HOURS_72);
    let access = refresh_bound(&world, &owner).await.text("access_token");
    let late = world.call("POST", UNDO).bearer(&access).proven_by(&owner.device).send().await;
    late.assert_problem(404, "nothing_to_undo");
    let new = sign_in(&world, PHONE, json!({"restore": true})).await.ok();
    assert_eq!(new["is_new_user"], json!(true));
    let other = sign_in(&world, OTHER, json!({})).await.ok();
    assert_eq!(other["user"]["user_id"], json!(thief.user_id));
}

#[tokio::test]
async fn an_undo_lasts_until_the_last_second_of_the_configured_hours() {
    let world = World::with(&[("UNDO_HOURS", "2"), LONG_TOKENS[0]]).await;
    let owner = owner(&world).await;
    change(&world, &owner, OTHER).await.ok();
    let until = world.me(&owner).await["phone_change"]["undo_until"].as_i64().unwrap();
    let early = code_for(&world, PHONE).await;
    submit(&world, PHONE, &early, json!({})).await.assert_problem(403, "number_released");
    world.advance(u64::try_from(until - 60 - world.now()).unwrap());
    let sent = world.send_code(PHONE).await;
    submit(&world, PHONE, &sent, json!({})).await.assert_problem(403, "number_released");
    world.advance(60);
    let late = submit(&world, PHONE, &sent, json!({})).await.ok();
    assert_eq!(late["is_new_user"], json!(true));
    assert_eq!(world.me(&owner).await.get("phone_change"), None);
}

#[tokio::test]
async fn an_undo_takes_back_all_later_changes_too() {
    let (world, owner, thief) = stolen().await;
    change(&world, &thief, THIRD).await.ok();
    let sent = code_for(&world, PHONE).await;
    undo_by_code(&world, PHONE, &sent).await.ok();
    assert_returned(&world, &owner, &thief).await;
    // The thief's first number takes nothing back.
    let third = sign_in(&world, THIRD, json!({"restore": true})).await.ok();
    assert_eq!(third["is_new_user"], json!(true));
}

#[tokio::test]
async fn a_thief_who_holds_the_second_number_cannot_return_the_account_to_it() {
    let (world, owner, thief) = stolen().await;
    change(&world, &thief, THIRD).await.ok();
    // The number in between can take back only what came after it.
    let back = sign_in(&world, OTHER, json!({"restore": true})).await.ok();
    assert_eq!(back["user"]["user_id"], json!(thief.user_id));
    let undone = sign_in(&world, PHONE, json!({"restore": true})).await.ok();
    assert_eq!(undone["user"]["user_id"], json!(owner.user_id));
    assert_returned(&world, &owner, &thief).await;
}

#[tokio::test]
async fn whoever_holds_the_number_in_between_stops_no_undo_and_gets_an_account_of_their_own() {
    let (world, owner, thief) = stolen().await;
    change(&world, &thief, THIRD).await.ok();
    sign_in(&world, OTHER, json!({"fresh_account": true})).await.assert_problem(403, "number_released");
    let undone = sign_in(&world, PHONE, json!({"restore": true})).await.ok();
    assert_eq!(undone["user"]["user_id"], json!(owner.user_id));
    let new = sign_in(&world, OTHER, json!({})).await.ok();
    assert_eq!(new["is_new_user"], json!(true));
    assert_each_number_has_one_holder(&world).await;
}

#[tokio::test]
async fn nobody_else_gets_the_former_number_while_the_change_can_be_taken_back() {
    let (world, _, _) = stolen().await;
    let stranger = world.sign_in(THIRD).await;
    world.call("PATCH", "/v1/me").as_person(&stranger).json(json!({"username": "hari"})).send().await.ok();
    let take = async || {
        let body = json!({"phone_number": PHONE, "change": true});
        world.post("/v1/phone/otp/send", body).as_person(&stranger).send().await.ok();
        let body = json!({"phone_number": PHONE, "otp": world.code(PHONE).await, "username": "hari"});
        world.post("/v1/phone/otp/validate", body).as_person(&stranger).send().await
    };
    world.advance(60);
    take().await.assert_problem(403, "already_verified");
    // Nor after half a year of silence, had the undo that long: here it is over.
    world.advance(HOURS_72);
    let stranger = person(THIRD, &sign_in(&world, THIRD, json!({})).await);
    let body = json!({"phone_number": PHONE, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(&stranger).send().await.ok();
    let body = json!({"phone_number": PHONE, "otp": world.code(PHONE).await, "username": "hari"});
    world.post("/v1/phone/otp/validate", body).as_person(&stranger).send().await.ok();
}

#[tokio::test]
async fn a_change_back_takes_the_change_back_and_nobody_returns_to_the_number_in_between() {
    let (world, owner, thief) = stolen().await;
    let back = person(OTHER, &sign_in(&world, OTHER, json!({})).await);
    assert_eq!(back.user_id, thief.user_id);
    change(&world, &back, PHONE).await.ok();
    let me = world.me(&back).await;
    assert_eq!((&me["phone_number"], me.get("phone_change")), (&json!(PHONE), None));
    let at_other = sign_in(&world, OTHER, json!({"restore": true})).await.ok();
    assert_eq!(at_other["is_new_user"], json!(true));
    let again = sign_in(&world, PHONE, json!({})).await.ok();
    assert_eq!(again["user"]["user_id"], json!(owner.user_id));
    assert_each_number_has_one_holder(&world).await;
}

#[tokio::test]
async fn a_sixth_change_within_72_hours_waits() {
    let world = World::with(LONG_TOKENS).await;
    let owner = owner(&world).await;
    let numbers: Vec<String> = (11..17).map(|n| format!("+97798410000{n}")).collect();
    for number in &numbers[..5] {
        change(&world, &owner, number).await.ok();
    }
    let body = json!({"phone_number": numbers[5], "change": true});
    let refused = world.post("/v1/phone/otp/send", body).as_person(&owner).send().await;
    refused.assert_problem(429, "too_many_requests");
    assert!(refused.number("retry_after") <= HOURS_72, "{refused:?}");
}

/// A change to a number and one more in the same second, and then back to the first of them, must not leave the former number
/// out.
#[tokio::test]
async fn changes_in_the_same_second_do_not_take_the_former_number_from_its_owner() {
    for returns in [false, true] {
        let world = World::with(LONG_TOKENS).await;
        let owner = owner(&world).await;
        let thief = person(PHONE, &sign_in(&world, PHONE, json!({})).await);
        let mut codes = Vec::new();
        for to in [OTHER, THIRD] {
            world.advance(60);
            let body = json!({"phone_number": to, "change": true});
            let sent = world.post("/v1/phone/otp/send", body).as_person(&thief).send().await;
            codes.push((to, world.received(to, &sent).await.code));
        }
        let validate = async |(to, code): &(&str, String)| {
            let body = json!({"phone_number": to, "otp": code, "username": "sita"});
            world.post("/v1/phone/otp/validate", body).as_person(&thief).send().await
        };
        validate(&codes[0]).await.ok();
        let second = validate(&codes[1]).await;
        second.assert_problem(429, "too_many_requests");
        assert_eq!(second.number("retry_after"), 1);
        world.advance(1);
        validate(&codes[1]).await.ok();
        if returns {
            assert_eq!(change(&world, &thief, OTHER).await.status, 200);
        } else {
            sign_in(&world, OTHER, json!({"restore": true})).await;
        }
        let sent = code_for(&world, PHONE).await;
        undo_by_code(&world, PHONE, &sent).await.ok();
        assert_returned(&world, &owner, &thief).await;
    }
}

#[tokio::test]
async fn the_undo_route_undoes_changes_and_nothing_else() {
    let world = World::new().await;
    // A number that is nobody's, one with an account, and one whose account was deleted.
    let sent = code_for(&world, PHONE).await;
    undo_by_code(&world, PHONE, &sent).await.assert_problem(404, "nothing_to_undo");
    let owner = person(PHONE, &submit(&world, PHONE, &sent, json!({})).await);
    let sent = code_for(&world, PHONE).await;
    undo_by_code(&world, PHONE, &sent).await.assert_problem(404, "nothing_to_undo");
    let again = person(PHONE, &submit(&world, PHONE, &sent, json!({})).await);
    assert_eq!(again.user_id, owner.user_id);
    assert_eq!(world.call("DELETE", "/v1/me").as_person(&again).send().await.status, 204);
    let sent = code_for(&world, PHONE).await;
    undo_by_code(&world, PHONE, &sent).await.assert_problem(404, "nothing_to_undo");
    submit(&world, PHONE, &sent, json!({"restore": true})).await.ok();
}

#[tokio::test]
async fn an_undo_knows_no_device_that_was_signed_out_in_between() {
    let world = World::with(LONG_TOKENS).await;
    let lost = Device::new();
    let sent = world.send_code(PHONE).await;
    let on_lost = person(PHONE, &world.submit(PHONE, &sent.code).proven_by(&lost).send().await);
    world.advance(600);
    let owner = owner(&world).await;
    change(&world, &owner, OTHER).await.ok();
    let path = format!("/v1/sessions/{}", claims(&on_lost.refresh)["sid"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &path).as_person(&owner).send().await.status, 204);
    undo_as(&world, &owner).await.ok();
    let items = json!(world.items("UsersTable").await).to_string();
    assert_eq!(items.matches("device_key_").count(), 2, "the owner's, with the user and the number");
}

// By a device from before.

#[tokio::test]
async fn a_device_that_was_signed_in_before_the_change_takes_it_back() {
    let (world, owner, thief) = stolen().await;
    let undone = undo_as(&world, &owner).await.ok();
    assert_eq!((&undone["user_id"], &undone["phone_number"]), (&json!(owner.user_id), &json!(PHONE)));
    refresh_bound(&world, &owner).await.ok();
    assert_returned(&world, &owner, &thief).await;
    undo_as(&world, &owner).await.assert_problem(404, "nothing_to_undo");
}

#[tokio::test]
async fn a_device_that_signed_in_after_the_change_takes_nothing_back() {
    let (world, _, thief) = stolen().await;
    let device = Device::new();
    let sent = code_for(&world, OTHER).await;
    let later = person(OTHER, &world.submit(OTHER, &sent.code).proven_by(&device).send().await);
    assert_eq!(later.user_id, thief.user_id);
    undo_as(&world, &Owner { person: later, device }).await.assert_problem(404, "nothing_to_undo");
    world.call("POST", UNDO).bearer("rubbish").send().await.assert_problem(401, "token_invalid");
}

#[tokio::test]
async fn a_copy_of_an_old_token_takes_no_change_back() {
    let (world, owner, _) = stolen().await;
    let undo = || world.call("POST", UNDO).as_person(&owner);
    undo().send().await.assert_problem(401, "invalid_dpop_proof");
    undo().proven_by(&Device::new()).send().await.assert_problem(401, "invalid_dpop_proof");
    // A session without a key cannot show that it is not a copy.
    let world = World::with(LONG_TOKENS).await;
    let owner = world.sign_in_as(PHONE, "sita").await;
    change(&world, &owner, OTHER).await.ok();
    let refused = world.call("POST", UNDO).as_person(&owner).proven_by(&Device::new()).send().await;
    refused.assert_problem(401, "invalid_dpop_proof");
    assert!(refused.body["errors"].to_string().contains("submit it with restore"), "{refused:?}");
}

#[tokio::test]
async fn an_undo_ends_the_sessions_that_were_opened_since_and_makes_their_devices_unknown() {
    let world = World::with(LONG_TOKENS).await;
    let owner = owner(&world).await;
    world.advance(600);
    let (thiefs, thiefs_other) = (Device::new(), Device::new());
    let sent = world.send_code(PHONE).await;
    let thief = person(PHONE, &world.submit(PHONE, &sent.code).proven_by(&thiefs).send().await);
    change(&world, &thief, OTHER).await.ok();
    world.advance(600);
    let sent = world.send_code(OTHER).await;
    let second = world.submit(OTHER, &sent.code).proven_by(&thiefs_other).send().await;
    undo_as(&world, &owner).await.ok();
    for (refresh, device) in [(thief.refresh, &thiefs), (second.text("refresh_token"), &thiefs_other)] {
        let call = world.post("/v1/session/refresh", json!({"refresh_token": refresh})).proven_by(device);
        call.send().await.assert_problem(401, "session_revoked");
    }
    let items = world.items("UsersTable").await;
    assert_eq!(json!(items).to_string().matches("device_key_").count(), 2, "the owner's, twice: {items:?}");
}

// A deletion.

async fn deleted() -> (World, Owner) {
    let world = World::new().await;
    let owner = owner(&world).await;
    let reply = world.call("DELETE", "/v1/me").as_person(&owner).send().await;
    assert_eq!(reply.status, 204, "{reply:?}");
    world.advance(60);
    (world, owner)
}

#[tokio::test]
async fn the_number_takes_a_deletion_back_with_the_username_and_without_the_devices() {
    let (world, owner) = deleted().await;
    refresh_bound(&world, &owner).await.assert_problem(403, "no_such_user");
    let sent = code_for(&world, PHONE).await;
    let refused = submit(&world, PHONE, &sent, json!({})).await;
    refused.assert_problem(403, "number_released");
    assert_eq!(refused.body["undoes"], json!("account_deletion"));
    let mistyped = Sent { code: wrong(&sent.code), ..sent.clone() };
    submit(&world, PHONE, &mistyped, json!({"restore": true})).await.assert_problem(400, "incorrect_otp");
    let restored = submit(&world, PHONE, &sent, json!({"restore": true})).await.ok();
    let user = &restored["user"];
    assert_eq!((&user["user_id"], &user["username"]), (&json!(owner.user_id), &json!("sita")));
    assert_eq!((&restored["is_new_user"], &restored["other_sessions"]), (&json!(false), &json!(0)));
    refresh_bound(&world, &owner).await.assert_problem(401, "session_revoked");
    // The account is whole: it can be deleted and restored again, and nobody gets its username.
    let stranger = world.sign_in(OTHER).await;
    let rename = world.call("PATCH", "/v1/me").as_person(&stranger).json(json!({"username": "sita"}));
    rename.send().await.assert_problem(409, "username_taken");
    let again = person(PHONE, &sign_in(&world, PHONE, json!({})).await);
    assert_eq!(world.me(&again).await["username"], json!("sita"));
    assert_eq!(world.call("DELETE", "/v1/me").as_person(&again).send().await.status, 204);
    assert_eq!(sign_in(&world, PHONE, json!({"restore": true})).await.body["user"]["user_id"], json!(owner.user_id));
}

#[tokio::test]
async fn a_new_account_at_the_number_makes_a_deletion_final() {
    let (world, owner) = deleted().await;
    let fresh = sign_in(&world, PHONE, json!({"fresh_account": true})).await.ok();
    assert_eq!(fresh["is_new_user"], json!(true));
    let again = sign_in(&world, PHONE, json!({"restore": true})).await.ok();
    assert_eq!(again["user"]["user_id"], fresh["user"]["user_id"]);
    assert_ne!(again["user"]["user_id"], json!(owner.user_id));
}

#[tokio::test]
async fn after_72_hours_a_deletion_is_final() {
    let (world, owner) = deleted().await;
    world.advance(HOURS_72);
    let new = sign_in(&world, PHONE, json!({"restore": true})).await.ok();
    assert_eq!(new["is_new_user"], json!(true));
    assert_ne!(new["user"]["user_id"], json!(owner.user_id));
    // What is left of the account has an end.
    let left = world.items("UsersTable").await;
    let left = left.iter().find(|item| item["pk"]["S"].as_str().unwrap().starts_with("deleted#")).unwrap();
    let ends: i64 = left["kept_until"]["N"].as_str().unwrap().parse().unwrap();
    assert!(ends <= world.now());
}

/// The thief changes the number, and deletes the account at the new one.
async fn changed_and_deleted() -> (World, Owner, Person) {
    let (world, owner, thief) = stolen().await;
    let fresh = person(OTHER, &sign_in(&world, OTHER, json!({})).await);
    assert_eq!(world.call("DELETE", "/v1/me").as_person(&fresh).send().await.status, 204);
    (world, owner, thief)
}

#[tokio::test]
async fn a_deletion_after_a_change_is_taken_back_with_the_change_by_the_former_number() {
    let (world, owner, _) = changed_and_deleted().await;
    let sent = code_for(&world, PHONE).await;
    submit(&world, PHONE, &sent, json!({})).await.assert_problem(403, "number_released");
    let restored = submit(&world, PHONE, &sent, json!({"restore": true})).await.ok();
    let user = &restored["user"];
    assert_eq!((&user["user_id"], &user["phone_number"]), (&json!(owner.user_id), &json!(PHONE)));
    assert_eq!((&user["username"], user.get("phone_change")), (&json!("sita"), None));
    let at_other = sign_in(&world, OTHER, json!({"restore": true})).await.ok();
    assert_eq!(at_other["is_new_user"], json!(true));
    assert_each_number_has_one_holder(&world).await;
}

#[tokio::test]
async fn a_thief_who_deletes_and_restores_the_account_keeps_nothing() {
    let (world, owner, thief) = changed_and_deleted().await;
    let restored = sign_in(&world, OTHER, json!({"restore": true})).await.ok();
    assert_eq!(restored["user"]["user_id"], json!(thief.user_id));
    assert!(restored["user"]["phone_change"].is_object());
    let undone = sign_in(&world, PHONE, json!({"restore": true})).await.ok();
    assert_eq!(undone["user"]["user_id"], json!(owner.user_id));
    assert_each_number_has_one_holder(&world).await;
}

#[tokio::test]
async fn a_restored_account_joins_the_organization_and_knows_only_the_device_that_restored_it() {
    let world = World::new().await;
    world.create_organization("himal", &[]).await;
    let former = Device::new();
    let sent = world.send_code(PHONE).await;
    let owner = person(PHONE, &world.submit(PHONE, &sent.code).proven_by(&former).send().await);
    assert_eq!(world.call("DELETE", "/v1/me").as_person(&owner).send().await.status, 204);
    assert!(!json!(world.items("UsersTable").await).to_string().contains("device_key_"));
    world.advance(600);
    let body = json!({"phone_number": PHONE, "organization_id": "himal"});
    let sent = world.received(PHONE, &world.post("/v1/otp/send", body).send().await).await;
    let body = json!({"phone_number": PHONE, "organization_id": "himal", "otp": sent.code, "restore": true});
    let restored = world.post("/v1/otp/submit", body).proven_by(&Device::new()).send().await;
    let roles = restored.body["user"]["roles"]["default"].clone();
    assert_eq!(roles, json!(["default", "himal"]), "{restored:?}");
    let items = json!(world.items("UsersTable").await).to_string();
    assert_eq!(items.matches("device_key_").count(), 2, "the user's and the number's");
}

// At once.

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn undos_changes_and_sign_ins_at_once_leave_each_number_one_holder() {
    let (world, owner, thief) = stolen().await;
    let (world, owner) = (Arc::new(world), Arc::new(owner));
    let third = {
        let body = json!({"phone_number": THIRD, "change": true});
        world.post("/v1/phone/otp/send", body).as_person(&thief).send().await.ok();
        world.keep_phone_secret(THIRD);
        world.code(THIRD).await
    };
    let (former, own) = (code_for(&world, PHONE).await, world.send_code(OTHER).await);
    at_once(&world, 8, |world, n| {
        let (owner, thief, former, own, third) =
            (Arc::clone(&owner), thief.clone(), former.clone(), own.clone(), third.clone());
        async move {
            match n % 4 {
                0 => undo_by_code(&world, PHONE, &former).await,
                1 => undo_as(&world, &owner).await,
                2 => {
                    let body = json!({"phone_number": THIRD, "otp": third, "username": "sita"});
                    world.post("/v1/phone/otp/validate", body).as_person(&thief).send().await
                }
                _ => submit(&world, OTHER, &own, json!({})).await,
            }
        }
    })
    .await;
    assert_each_number_has_one_holder(&world).await;
    // If the change was taken back, no session of the thief's is left.
    let users = world.items("UsersTable").await;
    let account = users.iter().find(|item| item["pk"]["S"] == json!(format!("user#{}", owner.user_id))).unwrap();
    if account["phone"]["S"] == json!(PHONE) {
        refresh(&world, &thief).await.assert_problem(401, "session_revoked");
    }
    // The owner has the account in the end, now or by one more undo.
    let sent = code_for(&world, PHONE).await;
    let back = submit(&world, PHONE, &sent, json!({"restore": true})).await.ok();
    assert_eq!(back["user"]["user_id"], json!(owner.user_id));
    assert_each_number_has_one_holder(&world).await;
}

/// A user's phone has a lock of that user, and each lock is of a user who has or had the phone.
async fn assert_each_number_has_one_holder(world: &World) {
    let items = world.items("UsersTable").await;
    let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
    let find = |pk: String| items.iter().find(|item| text(item, "pk").as_deref() == Some(pk.as_str()));
    for item in &items {
        let pk = text(item, "pk").unwrap();
        let user_id = text(item, "user_id").unwrap();
        if pk.starts_with("user#")
            && let Some(phone) = text(item, "phone")
        {
            let lock = find(format!("phone#{phone}")).unwrap_or_else(|| panic!("{pk} has a phone without a lock"));
            assert_eq!(text(lock, "user_id"), Some(user_id.clone()), "{pk}");
            assert_eq!(lock.get("released_until"), None, "{pk}");
        }
        if let Some(phone) = pk.strip_prefix("phone#") {
            let user = find(format!("user#{user_id}"));
            let has = user.is_some_and(|user| text(user, "phone").as_deref() == Some(phone));
            assert_eq!(has, item.get("released_until").is_none(), "{pk}");
        }
    }
}

#[tokio::test]
async fn tokens_of_an_undo_are_fresh_and_bound_like_those_of_a_sign_in() {
    let (world, _, _) = stolen().await;
    let device = Device::new();
    let sent = code_for(&world, PHONE).await;
    let body = json!({"phone_number": PHONE, "otp": sent.code});
    let undone = world.post(UNDO, body).proven_by(&device).send().await;
    assert_eq!(claims(&undone.text("access_token"))["fresh"], json!(true));
    assert!(claims(&undone.text("refresh_token"))["cnf"].is_object());
}
