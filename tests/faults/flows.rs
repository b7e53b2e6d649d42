//! What clients do with Latchkey: each flow's start, its one request, and what must have come of it.

use serde_json::{Value, json};
use tests::{Call, Person, Reply, World, person, wrong};

use crate::sweep::{Case, Flow, sessions};

/// An organization whose test number is the case's phone.
const FIXED_CODE: &str = "135790";

fn keep_quiet_about(world: &World, phone: &str) {
    world.keep_secret(phone);
    world.keep_secret(phone.trim_start_matches("+977"));
}

async fn sign_up_by_name(world: &World, case: &mut Case) {
    case.devices.push(world.sign_in_as(&case.phone, &case.username).await);
    world.advance(61);
}

/// Signs in, on one more device if there is one already.
async fn sign_in(world: &World, case: &mut Case) {
    case.devices.push(world.sign_in(&case.phone).await);
    world.advance(61);
}

async fn me(world: &World, access: &str) -> Reply {
    world.call("GET", "/v1/me").bearer(access).send().await
}

fn was_signed_out(reply: &Reply) -> bool {
    reply.problem() == (401, "session_revoked")
}

/// Asks for a sign-in code.
fn send<'a>(world: &'a World, case: &Case) -> Call<'a> {
    keep_quiet_about(world, &case.phone);
    world.post("/v1/otp/send", json!({"phone_number": case.phone}))
}

/// The code that came signs in.
async fn assert_code_signs_in(world: &World, case: &Case, reply: &Reply) {
    let code = world.code(&case.phone).await;
    let body = json!({"phone_number": case.phone, "otp": code, "challenge_id": reply.text("challenge_id")});
    person(&case.phone, &world.post("/v1/otp/submit", body).send().await);
}

pub struct Send;

impl Flow for Send {
    const NAME: &'static str = "a send";

    async fn begin(_: &World, _: &mut Case) {}

    async fn attempt(world: &World, case: &Case) -> Reply {
        send(world, case).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_code_signs_in(world, case, &reply).await;
    }
}

/// The live code once more, by the first gateway again: a retry, a change of carrier and the phone's schedule.
pub struct Resend;

impl Flow for Resend {
    const NAME: &'static str = "a resend";

    async fn begin(world: &World, case: &mut Case) {
        world.fault("sparrow", "error", 1).await;
        case.sent = Some(world.send_code(&case.phone).await);
        world.advance(31);
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        send(world, case).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_eq!(world.code(&case.phone).await, case.code(), "the same code");
        assert_code_signs_in(world, case, &reply).await;
    }
}

pub struct SendByTheLastGateway;

impl Flow for SendByTheLastGateway {
    const NAME: &'static str = "a send by the last gateway";
    const SPOILS_GATEWAYS: bool = true;

    async fn begin(world: &World, _: &mut Case) {
        world.fault("sparrow", "error", 1).await;
        world.fault("sns", "error", 1).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        send(world, case).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_code_signs_in(world, case, &reply).await;
    }
}

pub struct SendThatNobodyCarries;

impl Flow for SendThatNobodyCarries {
    const NAME: &'static str = "a send that nobody carries";
    const SPOILS_GATEWAYS: bool = true;
    const TRIES: usize = 2;

    async fn begin(world: &World, _: &mut Case) {
        for gateway in ["sparrow", "sns", "twilio"] {
            world.fault(gateway, "error", 1).await;
        }
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        send(world, case).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_code_signs_in(world, case, &reply).await;
    }
}

/// Submits the code with a key for retries.
fn submit<'a>(world: &'a World, case: &Case, code: &str) -> Call<'a> {
    let sent = case.sent.as_ref().unwrap();
    let body = json!({"phone_number": case.phone, "otp": code, "challenge_id": sent.challenge_id});
    world.post("/v1/otp/submit", body).header("idempotency-key", &case.idempotency_key)
}

/// They are signed in, once, and the code is worth nothing more: not alone, and not with the key and a slip in it.
async fn assert_signed_in_once(world: &World, case: &Case, reply: &Reply, sessions_before: usize) {
    let person = person(&case.phone, reply);
    assert_eq!(me(world, &person.access).await.ok()["phone_number"], case.phone);
    let again = world.submit(&case.phone, case.code()).send().await;
    assert!([400, 429].contains(&again.status), "{again:?}");
    let slipped = submit(world, case, &wrong(case.code())).send().await;
    assert!([400, 429].contains(&slipped.status), "{slipped:?}");
    assert_eq!(sessions(world, &person.user_id).await.len(), sessions_before + 1);
}

pub struct SubmitOfANewUser;

impl Flow for SubmitOfANewUser {
    const NAME: &'static str = "a new user's submit";

    async fn begin(world: &World, case: &mut Case) {
        case.sent = Some(world.send_code(&case.phone).await);
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        submit(world, case, case.code()).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_eq!(reply.body["is_new_user"], json!(true));
        assert_signed_in_once(world, case, &reply, 0).await;
    }
}

pub struct SubmitOfAKnownUser;

impl Flow for SubmitOfAKnownUser {
    const NAME: &'static str = "a known user's submit";

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
        case.sent = Some(world.send_code(&case.phone).await);
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        submit(world, case, case.code()).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_eq!(reply.body["is_new_user"], json!(false));
        assert_eq!(reply.body["user"]["user_id"], json!(case.person().user_id));
        assert_signed_in_once(world, case, &reply, 1).await;
    }
}

/// The answer to the first submit was lost, all of it done.
pub struct RetryOfASubmit;

impl Flow for RetryOfASubmit {
    const NAME: &'static str = "a submit's retry";

    async fn begin(world: &World, case: &mut Case) {
        case.sent = Some(world.send_code(&case.phone).await);
        let reply = submit(world, case, case.code()).send().await;
        case.devices.push(person(&case.phone, &reply));
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        submit(world, case, case.code()).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_eq!(reply.body["is_new_user"], json!(true));
        assert_eq!(reply.body["user"]["user_id"], json!(case.person().user_id));
        assert_signed_in_once(world, case, &reply, 0).await;
    }
}

pub struct SubmitOfAWrongCode;

impl Flow for SubmitOfAWrongCode {
    const NAME: &'static str = "a wrong code's submit";

    async fn begin(world: &World, case: &mut Case) {
        case.sent = Some(world.send_code(&case.phone).await);
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        let reply = submit(world, case, &wrong(case.code())).send_at_risk().await;
        assert!(reply.status >= 400, "a wrong code signed in");
        reply
    }

    fn is_done(reply: &Reply, _: bool) -> bool {
        reply.problem() == (400, "incorrect_otp")
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        let reply = submit(world, case, case.code()).send().await;
        assert_eq!(reply.body["is_new_user"], json!(true), "{reply:?}");
        assert_signed_in_once(world, case, &reply, 0).await;
    }
}

/// Takes the phone from someone, who then is as those who were brought over from elsewhere.
async fn lose_phone(world: &World, case: &Case) {
    let key = json!({"pk": {"S": format!("user#{}", case.person().user_id)}});
    let update = json!({"TableName": "UsersTable", "Key": key, "UpdateExpression": "REMOVE phone"});
    world.dynamodb("UpdateItem", update).await;
    let lock = json!({"pk": {"S": format!("phone#{}", case.phone)}});
    world.dynamodb("DeleteItem", json!({"TableName": "UsersTable", "Key": lock})).await;
}

/// Asks for a code that verifies the other phone.
fn send_to_other<'a>(world: &'a World, case: &Case, change: bool) -> Call<'a> {
    keep_quiet_about(world, &case.other_phone);
    let body = json!({"phone_number": case.other_phone, "change": change});
    world.post("/v1/phone/otp/send", body).as_person(case.person())
}

async fn sent_to_other(world: &World, case: &mut Case, change: bool) {
    let reply = send_to_other(world, case, change).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let code = world.code(&case.other_phone).await;
    case.sent = Some(tests::Sent { challenge_id: reply.text("challenge_id"), code });
}

/// Types a code that came to the other phone.
fn validate<'a>(world: &'a World, case: &Case, code: &str) -> Call<'a> {
    let sent = case.sent.as_ref();
    let body = json!({"phone_number": case.other_phone, "otp": code, "username": case.username,
        "challenge_id": sent.map(|sent| &sent.challenge_id)});
    world.post("/v1/phone/otp/validate", body).as_person(case.person())
}

/// The other phone is theirs, and signs them in from now on; the code is worth nothing more.
async fn assert_other_phone_is_theirs(world: &World, case: &Case) {
    let own = me(world, &case.person().access).await.ok();
    assert_eq!(own["phone_number"], case.other_phone);
    for code in [case.code(), &wrong(case.code())] {
        validate(world, case, code).send().await.assert_problem(403, "already_verified");
    }
    world.advance(31);
    assert_eq!(world.sign_in(&case.other_phone).await.user_id, case.person().user_id);
}

/// The other phone's code came, and serves.
async fn assert_code_verifies(world: &World, case: &Case, reply: &Reply) {
    let code = world.code(&case.other_phone).await;
    let mut body = json!({"phone_number": case.other_phone, "otp": code, "username": case.username});
    body["challenge_id"] = reply.body["challenge_id"].clone();
    world.post("/v1/phone/otp/validate", body).as_person(case.person()).send().await.ok();
    assert_eq!(me(world, &case.person().access).await.ok()["phone_number"], case.other_phone);
}

pub struct SendToVerify;

impl Flow for SendToVerify {
    const NAME: &'static str = "a send to verify a phone";

    async fn begin(world: &World, case: &mut Case) {
        sign_up_by_name(world, case).await;
        lose_phone(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        send_to_other(world, case, false).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_code_verifies(world, case, &reply).await;
    }
}

pub struct Validation;

impl Flow for Validation {
    const NAME: &'static str = "a validation";

    async fn begin(world: &World, case: &mut Case) {
        sign_up_by_name(world, case).await;
        lose_phone(world, case).await;
        sent_to_other(world, case, false).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        validate(world, case, case.code()).send_at_risk().await
    }

    fn is_done(reply: &Reply, is_retry: bool) -> bool {
        reply.status == 200 || (is_retry && reply.problem() == (403, "already_verified"))
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        assert_other_phone_is_theirs(world, case).await;
    }
}

pub struct ValidationOfAWrongCode;

impl Flow for ValidationOfAWrongCode {
    const NAME: &'static str = "a wrong code's validation";

    async fn begin(world: &World, case: &mut Case) {
        Validation::begin(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        let reply = validate(world, case, &wrong(case.code())).send_at_risk().await;
        assert!(reply.status >= 400, "a wrong code verified a phone");
        reply
    }

    fn is_done(reply: &Reply, _: bool) -> bool {
        reply.problem() == (400, "incorrect_otp")
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        assert_eq!(me(world, &case.person().access).await.ok()["phone_number"], Value::Null);
        validate(world, case, case.code()).send().await.ok();
        assert_other_phone_is_theirs(world, case).await;
    }
}

pub struct SendToChange;

impl Flow for SendToChange {
    const NAME: &'static str = "a send to change the number";

    async fn begin(world: &World, case: &mut Case) {
        sign_up_by_name(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        send_to_other(world, case, true).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_code_verifies(world, case, &reply).await;
    }
}

pub struct ChangeOfNumber;

impl Flow for ChangeOfNumber {
    const NAME: &'static str = "a change of number";

    async fn begin(world: &World, case: &mut Case) {
        sign_up_by_name(world, case).await;
        sent_to_other(world, case, true).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        validate(world, case, case.code()).send_at_risk().await
    }

    fn is_done(reply: &Reply, is_retry: bool) -> bool {
        Validation::is_done(reply, is_retry)
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        assert_other_phone_is_theirs(world, case).await;
        assert_ne!(world.sign_in(&case.phone).await.user_id, case.person().user_id, "the number before is free");
    }
}

pub struct Refresh;

impl Flow for Refresh {
    const NAME: &'static str = "a refresh";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        let body = json!({"refresh_token": case.person().refresh});
        world.post("/v1/session/refresh", body).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        me(world, &reply.text("access_token")).await.ok();
        world.advance(31);
        let next = json!({"refresh_token": reply.text("refresh_token")});
        world.post("/v1/session/refresh", next).send().await.ok();
        // A copy that is older than the one before ends the session, late or not.
        let reused = world.post("/v1/session/refresh", json!({"refresh_token": case.person().refresh})).send().await;
        reused.assert_problem(401, "refresh_reused");
        assert!(sessions(world, &case.person().user_id).await.is_empty());
    }
}

pub struct ListOfSessions;

impl Flow for ListOfSessions {
    const NAME: &'static str = "a list of sessions";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
        sign_in(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        world.call("GET", "/v1/sessions").as_person(case.person()).send_at_risk().await
    }

    async fn check(_: &World, _: &Case, reply: Reply) {
        assert_eq!(reply.body["sessions"].as_array().unwrap().len(), 2);
    }
}

/// Who is signed in still, device by device.
async fn signed_in(world: &World, case: &Case) -> Vec<bool> {
    let mut signed_in = Vec::new();
    for device in &case.devices {
        let reply = me(world, &device.access).await;
        assert!(reply.status == 200 || was_signed_out(&reply), "{reply:?}");
        signed_in.push(reply.status == 200);
    }
    signed_in
}

pub struct SignOutOfOne;

impl Flow for SignOutOfOne {
    const NAME: &'static str = "a sign-out of one device";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
        sign_in(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        let sid = claim(&case.devices[1], "sid");
        world.call("DELETE", &format!("/v1/sessions/{sid}")).as_person(case.person()).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        assert_eq!(signed_in(world, case).await, [true, false]);
    }
}

pub struct SignOutOfThis;

impl Flow for SignOutOfThis {
    const NAME: &'static str = "a sign-out of this device";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
        sign_in(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        world.call("DELETE", "/v1/session").as_person(case.person()).send_at_risk().await
    }

    fn is_done(reply: &Reply, is_retry: bool) -> bool {
        reply.status == 204 || (is_retry && was_signed_out(reply))
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        assert_eq!(signed_in(world, case).await, [false, true]);
    }
}

pub struct SignOutOfAll;

impl Flow for SignOutOfAll {
    const NAME: &'static str = "a sign-out of all devices";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
        sign_in(world, case).await;
        sign_in(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        world.call("DELETE", "/v1/sessions").as_person(case.person()).send_at_risk().await
    }

    fn is_done(reply: &Reply, is_retry: bool) -> bool {
        SignOutOfThis::is_done(reply, is_retry)
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        assert_eq!(signed_in(world, case).await, [false; 3]);
        assert!(sessions(world, &case.person().user_id).await.is_empty());
    }
}

pub struct ReadOfOneself;

impl Flow for ReadOfOneself {
    const NAME: &'static str = "a read of oneself";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(world: &World, case: &mut Case) {
        sign_up_by_name(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        world.call("GET", "/v1/me").as_person(case.person()).send_at_risk().await
    }

    async fn check(_: &World, case: &Case, reply: Reply) {
        assert_eq!(reply.body["username"], json!(case.username));
    }
}

pub struct ChangeOfUsername;

impl Flow for ChangeOfUsername {
    const NAME: &'static str = "a change of username";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(world: &World, case: &mut Case) {
        sign_up_by_name(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        let body = json!({"username": format!("new-{}", case.username), "name": "Asha"});
        world.call("PATCH", "/v1/me").as_person(case.person()).json(body).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        let username = format!("new-{}", case.username);
        assert_eq!((&reply.body["username"], &reply.body["name"]), (&json!(username), &json!("Asha")));
        assert_eq!(me(world, &case.person().access).await.ok()["username"], json!(username));
    }
}

pub struct FcmToken;

impl Flow for FcmToken {
    const NAME: &'static str = "an FCM token";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        let body = json!({"fcm_token": format!("token-{}", case.number)});
        world.call("PUT", "/v1/me/fcm-token").as_person(case.person()).json(body).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        let sessions = sessions(world, &case.person().user_id).await;
        assert_eq!(sessions[0]["fcm_token"]["S"], json!(format!("token-{}", case.number)));
    }
}

/// Someone whose number has been dormant, on a device that can be pushed to, and a code that is to be typed elsewhere.
async fn dormant(world: &World, case: &mut Case) {
    sign_in(world, case).await;
    let body = json!({"fcm_token": format!("token-{}", case.number)});
    world.call("PUT", "/v1/me/fcm-token").as_person(case.person()).json(body).send().await.ok();
    case.sent = Some(world.send_code(&case.phone).await);
    let long_ago = json!({
        "TableName": "UsersTable", "Key": {"pk": {"S": format!("phone#{}", case.phone)}},
        "UpdateExpression": "SET proven_at = :then", "ExpressionAttributeValues": {":then": {"N": "0"}},
    });
    world.dynamodb("UpdateItem", long_ago).await;
}

fn approve<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let body = json!({"challenge_id": case.sent.as_ref().unwrap().challenge_id});
    world.post("/v1/me/sign-in-approval", body).as_person(case.person())
}

/// What was approved opens the account, once.
async fn assert_approved(world: &World, case: &Case) {
    let reply = world.submit(&case.phone, case.code()).send().await;
    assert_eq!(person(&case.phone, &reply).user_id, case.person().user_id);
    let again = world.submit(&case.phone, case.code()).send().await;
    assert_eq!(again.problem(), (400, "incorrect_otp"));
}

pub struct QuestionToADevice;

impl Flow for QuestionToADevice {
    const NAME: &'static str = "a question to a device";

    async fn begin(world: &World, case: &mut Case) {
        dormant(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        submit(world, case, case.code()).send_at_risk().await
    }

    fn is_done(reply: &Reply, _: bool) -> bool {
        reply.problem() == (403, "second_signal_required")
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        assert_eq!(approve(world, case).send().await.status, 204);
        assert_approved(world, case).await;
    }
}

pub struct Approval;

impl Flow for Approval {
    const NAME: &'static str = "an approval";

    async fn begin(world: &World, case: &mut Case) {
        dormant(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        approve(world, case).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        assert_approved(world, case).await;
    }
}

pub struct Deletion;

impl Flow for Deletion {
    const NAME: &'static str = "a deletion";

    async fn begin(world: &World, case: &mut Case) {
        sign_up_by_name(world, case).await;
        sign_in(world, case).await;
        sent_to_other(world, case, true).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        world.call("DELETE", "/v1/me").as_person(case.person()).send_at_risk().await
    }

    fn is_done(reply: &Reply, is_retry: bool) -> bool {
        SignOutOfThis::is_done(reply, is_retry)
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        let gone = &case.person().user_id;
        for table in ["UsersTable", "SessionsTable"] {
            assert!(!json!(world.items(table).await).to_string().contains(gone.as_str()), "{table}");
        }
        let someone = world.sign_in_as(&case.phone, &case.username).await;
        assert_ne!(someone.user_id, *gone);
    }
}

/// What a token says.
fn claim(person: &Person, name: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = person.access.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    claims[name].as_str().unwrap().to_owned()
}

/// What someone other than the API is answered by a function, as a reply: what fails is a 500.
fn reply(outcome: Result<Value, String>) -> Reply {
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err(_) => (500, json!({"message": "Internal Server Error"})),
    };
    Reply { status, headers: [].into(), body }
}

/// A backend engineer's own route, behind an authorizer that has just started.
pub struct TeamRoute;

impl Flow for TeamRoute {
    const NAME: &'static str = "a team's route, the authorizer cold";
    const TAKES_ALLOWANCES: bool = false;
    const DIES_OF_ERRORS: bool = true;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../events/authorizer/team-route-garbage-token.json");
        let mut event: Value = serde_json::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
        event["headers"]["authorization"] = json!(format!("Bearer {}", case.person().access));
        reply(world.system.invoke("AuthorizerFunction", event).await)
    }

    async fn check(_: &World, case: &Case, reply: Reply) {
        assert_eq!(reply.body["isAuthorized"], json!(true));
        assert_eq!(reply.body["context"]["user_id"], json!(case.person().user_id));
    }
}

/// The same route, for someone who was signed out: no fault lets them in.
pub struct TeamRouteAfterSignOut;

impl Flow for TeamRouteAfterSignOut {
    const NAME: &'static str = "a team's route after a sign-out";
    const TAKES_ALLOWANCES: bool = false;
    const DIES_OF_ERRORS: bool = true;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
        let reply = world.call("DELETE", "/v1/session").as_person(case.person()).send().await;
        assert_eq!(reply.status, 204);
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        let reply = TeamRoute::attempt(world, case).await;
        assert_ne!(reply.body["isAuthorized"], json!(true), "someone who was signed out got in");
        reply
    }

    async fn check(_: &World, _: &Case, reply: Reply) {
        assert_eq!(reply.body["isAuthorized"], json!(false));
    }
}

pub struct PublicKeys;

impl Flow for PublicKeys {
    const NAME: &'static str = "a read of the public keys";
    const TAKES_ALLOWANCES: bool = false;

    async fn begin(_: &World, _: &mut Case) {}

    async fn attempt(world: &World, _: &Case) -> Reply {
        world.call("GET", "/.well-known/jwks.json").send_at_risk().await
    }

    async fn check(_: &World, _: &Case, reply: Reply) {
        assert!(!reply.body["keys"].as_array().unwrap().is_empty());
    }
}

fn version(case: &Case) -> String {
    format!("00000000-0000-4000-8000-{:012}", case.number)
}

/// All four steps; as Secrets Manager does, from the first again if one fails.
pub struct Rotation;

impl Flow for Rotation {
    const NAME: &'static str = "a rotation of the signing key";
    const TAKES_ALLOWANCES: bool = false;
    const DIES_OF_ERRORS: bool = true;

    async fn begin(world: &World, case: &mut Case) {
        sign_in(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        for step in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
            let event = json!({"Step": step, "SecretId": "SigningKeySecret", "ClientRequestToken": version(case)});
            if let Err(why) = world.system.invoke("RotateKeysFunction", event).await {
                return reply(Err(why));
            }
        }
        reply(Ok(Value::Null))
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        let request = json!({"SecretId": "SigningKeySecret", "VersionId": version(case)});
        let current = world.secrets_manager("GetSecretValue", request).await;
        assert_eq!(current["VersionStages"].as_array().unwrap().first(), Some(&json!("AWSCURRENT")), "{current}");
        let pair: Value = serde_json::from_str(current["SecretString"].as_str().unwrap()).unwrap();
        me(world, &case.person().access).await.ok();
        world.advance(601);
        let refreshed = world.post("/v1/session/refresh", json!({"refresh_token": case.person().refresh})).send().await;
        let next = Person { access: refreshed.text("access_token"), ..case.person().clone() };
        assert_eq!(kid(&next), pair["kid"].as_str().unwrap());
        me(world, &next.access).await.ok();
        let keys = world.call("GET", "/.well-known/jwks.json").send().await.ok();
        let published = keys["keys"].as_array().unwrap().iter().filter(|key| key["kid"] == pair["kid"]).count();
        assert_eq!(published, 1, "{keys}");
    }
}

/// The key that signed their token.
fn kid(person: &Person) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let header = URL_SAFE_NO_PAD.decode(person.access.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn organization(case: &Case) -> String {
    format!("org-{}", case.number)
}

/// Sets up an organization of the case's own, with its phone as a test number.
async fn test_number(world: &World, case: &Case) {
    keep_quiet_about(world, &case.phone);
    let number = json!({"phone_number": {"S": case.phone}, "code": {"S": FIXED_CODE}, "until": {"S": "2199-01-01"}});
    let item = json!({
        "pk": {"S": format!("organization#{}", organization(case))},
        "app_name": {"S": "Acme"},
        "test_numbers": {"L": [{"M": number}]},
    });
    world.dynamodb("PutItem", json!({"TableName": "SettingsTable", "Item": item})).await;
}

fn send_to_test_number<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let body = json!({"phone_number": case.phone, "organization_id": organization(case)});
    world.post("/v1/otp/send", body)
}

fn submit_fixed_code<'a>(world: &'a World, case: &Case, code: &str) -> Call<'a> {
    let body = json!({"phone_number": case.phone, "organization_id": organization(case), "otp": code});
    world.post("/v1/otp/submit", body).header("idempotency-key", &case.idempotency_key)
}

/// They are signed in, and the fixed code is worth nothing before the next send.
async fn assert_fixed_code_served_once(world: &World, case: &Case, reply: &Reply) {
    let person = person(&case.phone, reply);
    assert!(world.inbox(&case.phone).await.is_empty());
    let body = json!({"phone_number": case.phone, "organization_id": organization(case), "otp": FIXED_CODE});
    let again = world.post("/v1/otp/submit", body).send().await;
    assert!([400, 429].contains(&again.status), "{again:?}");
    assert_eq!(sessions(world, &person.user_id).await.len(), 1);
}

pub struct TestNumbersSend;

impl Flow for TestNumbersSend {
    const NAME: &'static str = "a test number's send";

    async fn begin(world: &World, case: &mut Case) {
        test_number(world, case).await;
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        send_to_test_number(world, case).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, _: Reply) {
        let reply = submit_fixed_code(world, case, FIXED_CODE).send().await;
        assert_fixed_code_served_once(world, case, &reply).await;
    }
}

pub struct TestNumbersSubmit;

impl Flow for TestNumbersSubmit {
    const NAME: &'static str = "a test number's submit";

    async fn begin(world: &World, case: &mut Case) {
        test_number(world, case).await;
        send_to_test_number(world, case).send().await.ok();
    }

    async fn attempt(world: &World, case: &Case) -> Reply {
        submit_fixed_code(world, case, FIXED_CODE).send_at_risk().await
    }

    async fn check(world: &World, case: &Case, reply: Reply) {
        assert_fixed_code_served_once(world, case, &reply).await;
    }
}
