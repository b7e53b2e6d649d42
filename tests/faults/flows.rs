//! The steps, requests and checks that the flows consist of. A retry sends the same request again, so a request depends
//! on nothing but its case.

use std::pin::Pin;

use serde_json::{Value, json};
use tests::device::Device;
use tests::token::{claims, header};
use tests::{Call, Person, Reply, Sent, World, person, wrong};

use crate::sweep::DAY_SECONDS;

/// The code of the case's test number.
const FIXED_CODE: &str = "135790";

pub type ApiRequest = for<'a> fn(&'a World, &Case) -> Call<'a>;

/// What one client does with one account.
#[derive(Clone, Copy)]
pub struct Flow {
    pub name: &'static str,
    pub prepare: &'static [Step],
    pub request: Request,
    pub check: Check,
    pub end: End,
    /// How many requests the client needs without a fault.
    pub requests: usize,
    pub events: Events,
}

/// Whether the system publishes events. If it does, each write costs the engine more.
#[derive(Clone, Copy)]
pub enum Events {
    Off,
    Published,
}

#[derive(Clone, Copy)]
pub enum Step {
    FailOnce(&'static str),
    Wait(u64),
    /// So that the function for what is due finds nothing of another flow's case in the same world.
    DoWhatEarlierCasesLeft,
    SendCode,
    SendToOtherPhone(ApiRequest),
    /// On one more device, if the user is signed in already.
    SignIn,
    /// On a device with a key.
    SignInWithKey,
    /// So that the first device's token is the previous one.
    Refresh,
    /// So that the token of the last device, which has the key, is not fresh.
    RefreshWithKey,
    SignUpByName,
    Request(ApiRequest),
    /// One that is refused, and is remembered.
    Asked(ApiRequest),
    /// Finds what the stream of the notices would bring.
    ReadNotices,
    /// Finds what the streams of users and sessions would bring of the last sign-in.
    ReadSignIn,
    /// Makes the user one who was imported without a phone.
    LosePhone,
    /// Makes a sign-in need a second signal.
    AgePhoneProof,
    /// Makes a recovery that was asked for one that opens now.
    AgeRecovery,
    /// Makes the phone a test number of an organization of its own.
    AddTestNumber,
}

#[derive(Clone, Copy)]
pub enum Request {
    Api(ApiRequest),
    /// The events of functions that no client calls, in order. The first error ends them.
    Functions(fn(&Case) -> Vec<(&'static str, Value)>),
}

/// The answer that ends the flow.
#[derive(Clone, Copy)]
pub enum End {
    Success,
    /// A retry may also get this problem, because the request before it succeeded.
    SuccessOrOnRetry(u16, &'static str),
    Problem(u16, &'static str),
    /// A retry may also get the second problem, because the request before it was carried out.
    ProblemOrOnRetry((u16, &'static str), (u16, &'static str)),
}

/// Panics unless everything is right after the last answer.
pub type Check = for<'a> fn(&'a World, &'a Case, &'a Reply) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One run of a flow, with a user of its own.
pub struct Case {
    pub number: usize,
    pub phone: String,
    pub other_phone: String,
    pub username: String,
    pub idempotency_key: String,
    /// The user on each device, the oldest sign-in first.
    pub devices: Vec<Person>,
    /// The code that the last step sent.
    pub sent: Option<Sent>,
    pub key: Device,
    pub notices: Vec<Value>,
    pub records: Vec<Value>,
}

impl Case {
    pub fn new(number: usize) -> Self {
        Self {
            number,
            phone: format!("+97798410{number:05}"),
            other_phone: format!("+97798411{number:05}"),
            username: format!("person{number}"),
            idempotency_key: format!("key-of-case-{number}"),
            devices: Vec::new(),
            sent: None,
            key: Device::new(),
            notices: Vec::new(),
            records: Vec::new(),
        }
    }

    fn person(&self) -> &Person {
        &self.devices[0]
    }

    fn sent(&self) -> &Sent {
        self.sent.as_ref().unwrap()
    }

    fn code(&self) -> &str {
        &self.sent().code
    }

    fn organization(&self) -> String {
        format!("org-{}", self.number)
    }

    fn fcm_token(&self) -> String {
        format!("token-{}", self.number)
    }

    fn new_username(&self) -> String {
        format!("new-{}", self.username)
    }

    fn key_version(&self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.number)
    }
}

impl Flow {
    pub fn new(name: &'static str, prepare: &'static [Step], request: Request, check: Check) -> Self {
        Self { name, prepare, request, check, end: End::Success, requests: 1, events: Events::Off }
    }

    pub async fn prepare(&self, world: &World, case: &mut Case) {
        for phone in [&case.phone, &case.other_phone] {
            world.keep_phone_secret(phone);
        }
        for step in self.prepare {
            step.run(world, case).await;
        }
    }

    pub async fn send(&self, world: &World, case: &Case) -> Reply {
        let events = match self.request {
            Request::Api(call) => return call(world, case).send_at_risk().await,
            Request::Functions(events) => events(case),
        };
        let mut answer = Ok(Value::Null);
        for (function, event) in events {
            if answer.is_ok() {
                answer = world.system.invoke(function, event).await.and_then(took_all);
            }
        }
        // As API Gateway answers for a function that fails.
        let (status, body) =
            answer.map_or_else(|_| (500, json!({"message": "Internal Server Error"})), |body| (200, body));
        Reply { status, headers: [].into(), body }
    }

    /// Whether the flow ends with this answer. Panics if a success is an answer that no fault may cause.
    pub fn ends_with(&self, reply: &Reply, retries: usize) -> bool {
        match self.end {
            End::Success => reply.status < 300,
            End::SuccessOrOnRetry(status, code) => {
                reply.status < 300 || (retries > 0 && reply.problem() == (status, code))
            }
            End::Problem(status, code) => {
                assert!(reply.status >= 400, "the request must be refused, but it succeeded: {reply:?}");
                reply.problem() == (status, code)
            }
            End::ProblemOrOnRetry(problem, on_retry) => {
                assert!(reply.status >= 400, "the request must be refused, but it succeeded: {reply:?}");
                reply.problem() == problem || (retries > 0 && reply.problem() == on_retry)
            }
        }
    }
}

/// Lambda repeats the records of a stream that a function did not take.
fn took_all(answer: Value) -> Result<Value, String> {
    let failures = answer["batchItemFailures"].as_array();
    if failures.is_some_and(|failures| !failures.is_empty()) { Err(answer.to_string()) } else { Ok(answer) }
}

impl Step {
    async fn run(self, world: &World, case: &mut Case) {
        match self {
            Self::FailOnce(gateway) => world.fault(gateway, "error", 1).await,
            Self::Wait(seconds) => world.advance(seconds),
            Self::DoWhatEarlierCasesLeft => {
                while world.items("NoticesTable").await.iter().any(|item| item["pk"]["S"] == json!("due")) {
                    world.advance(DAY_SECONDS);
                    world.system.invoke("DueFunction", json!({})).await.unwrap();
                }
            }
            Self::SendCode => case.sent = Some(world.send_code(&case.phone).await),
            Self::SendToOtherPhone(call) => {
                let reply = call(world, case).send().await;
                case.sent = Some(world.received(&case.other_phone, &reply).await);
            }
            Self::SignIn => {
                case.devices.push(world.sign_in(&case.phone).await);
                world.advance(61);
            }
            Self::SignInWithKey => {
                let sent = world.send_code(&case.phone).await;
                let submit = world.submit(&case.phone, &sent.code).proven_by(&case.key);
                case.devices.push(person(&case.phone, &submit.send().await));
                world.advance(61);
            }
            Self::SignUpByName => {
                case.devices.push(world.sign_in_as(&case.phone, &case.username).await);
                world.advance(61);
            }
            Self::Request(call) => {
                let reply = call(world, case).send().await;
                assert!(reply.status < 300, "{reply:?}");
                if reply.body["access_token"].is_string() {
                    case.devices.push(person(&case.phone, &reply));
                }
            }
            Self::Refresh => drop(refresh(world, case).send().await.ok()),
            Self::RefreshWithKey => {
                let device = case.devices.last().unwrap();
                let reply = refresh_with(world, &device.refresh).proven_by(&case.key).send().await;
                let tokens = Person {
                    access: reply.text("access_token"),
                    refresh: reply.text("refresh_token"),
                    ..device.clone()
                };
                *case.devices.last_mut().unwrap() = tokens;
            }
            Self::Asked(call) => assert!(call(world, case).send().await.status == 403),
            Self::ReadNotices => case.notices = pending_notices(world, case).await,
            Self::ReadSignIn => case.records = records_of_sign_in(world, case).await,
            Self::LosePhone => world.remove_phone(case.person()).await,
            Self::AgePhoneProof => {
                let long_ago = json!({
                    "UpdateExpression": "SET proven_at = :then",
                    "ExpressionAttributeValues": {":then": {"N": "0"}},
                });
                world.update_user(&format!("phone#{}", case.phone), long_ago).await;
            }
            Self::AgeRecovery => {
                let now = world.now();
                let week_ago = json!({
                    "UpdateExpression": "SET phone_proven_at = :then, recovery.requested_at = :week_ago, recovery.opens_at = :now",
                    "ExpressionAttributeValues": {
                        ":then": {"N": "0"}, ":week_ago": {"N": (now - 7 * 86_400).to_string()}, ":now": {"N": now.to_string()},
                    },
                });
                world.update_user(&format!("user#{}", case.person().user_id), week_ago).await;
            }
            Self::AddTestNumber => {
                world.create_test_number(&case.organization(), &case.phone, FIXED_CODE, "2199-01-01").await;
            }
        }
    }
}

// The requests.

pub fn send<'a>(world: &'a World, case: &Case) -> Call<'a> {
    world.post("/v1/otp/send", json!({"phone_number": case.phone}))
}

pub fn submit<'a>(world: &'a World, case: &Case) -> Call<'a> {
    submit_code(world, case, case.code())
}

pub fn submit_wrong_code<'a>(world: &'a World, case: &Case) -> Call<'a> {
    submit_code(world, case, &wrong(case.code()))
}

fn submit_code<'a>(world: &'a World, case: &Case, code: &str) -> Call<'a> {
    world.submit_with_id(&case.phone, &case.sent().challenge_id, code).header("idempotency-key", &case.idempotency_key)
}

fn as_user<'a>(world: &'a World, case: &Case, method: &'static str, path: &str) -> Call<'a> {
    world.call(method, path).as_person(case.person())
}

pub fn send_to_verify<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "POST", "/v1/phone/otp/send").json(json!({"phone_number": case.other_phone, "change": false}))
}

pub fn send_to_change<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "POST", "/v1/phone/otp/send").json(json!({"phone_number": case.other_phone, "change": true}))
}

pub fn validate<'a>(world: &'a World, case: &Case) -> Call<'a> {
    validate_code(world, case, case.sent())
}

pub fn validate_wrong_code<'a>(world: &'a World, case: &Case) -> Call<'a> {
    validate_code(world, case, &Sent { code: wrong(case.code()), ..case.sent().clone() })
}

fn validate_code<'a>(world: &'a World, case: &Case, Sent { challenge_id, code }: &Sent) -> Call<'a> {
    let phone = &case.other_phone;
    let body = json!({"phone_number": phone, "otp": code, "username": case.username, "challenge_id": challenge_id});
    as_user(world, case, "POST", "/v1/phone/otp/validate").json(body)
}

pub fn send_without_the_old_number<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let call = world.post("/v1/phone/otp/send", json!({"phone_number": case.other_phone, "change": true}));
    call.as_person(case.devices.last().unwrap()).proven_by(&case.key)
}

pub fn ask_without_the_old_number<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let Sent { challenge_id, code } = case.sent();
    let body = json!({
        "phone_number": case.other_phone, "otp": code, "challenge_id": challenge_id, "username": case.username,
    });
    world.post("/v1/phone/otp/validate", body).as_person(case.devices.last().unwrap())
}

pub fn refuse_change<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "POST", "/v1/phone/change/cancel")
}

pub fn recover<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let Sent { challenge_id, code } = case.sent();
    let body = json!({"phone_number": case.phone, "otp": code, "challenge_id": challenge_id, "recover": true});
    world.post("/v1/otp/submit", body).header("idempotency-key", &case.idempotency_key)
}

pub fn refuse_recovery<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "POST", "/v1/recovery/cancel")
}

pub fn refresh<'a>(world: &'a World, case: &Case) -> Call<'a> {
    refresh_with(world, &case.person().refresh)
}

fn refresh_with<'a>(world: &'a World, token: &str) -> Call<'a> {
    world.post("/v1/session/refresh", json!({"refresh_token": token}))
}

pub fn refresh_with_key<'a>(world: &'a World, case: &Case) -> Call<'a> {
    refresh(world, case).proven_by(&case.key)
}

pub fn undo_by_code<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let Sent { challenge_id, code } = case.sent();
    let body = json!({"phone_number": case.phone, "otp": code, "challenge_id": challenge_id});
    world.post("/v1/phone/change/undo", body).header("idempotency-key", &case.idempotency_key)
}

pub fn undo_by_another_device<'a>(world: &'a World, case: &Case) -> Call<'a> {
    world.call("POST", "/v1/phone/change/undo").as_person(&case.devices[1]).proven_by(&case.key)
}

pub fn restore<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let Sent { challenge_id, code } = case.sent();
    let body = json!({"phone_number": case.phone, "otp": code, "challenge_id": challenge_id, "restore": true});
    world.post("/v1/otp/submit", body).header("idempotency-key", &case.idempotency_key)
}

pub fn list_sessions<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "GET", "/v1/sessions")
}

pub fn sign_out_other<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let claims = claims(&case.devices[1].access);
    as_user(world, case, "DELETE", &format!("/v1/sessions/{}", claims["sid"].as_str().unwrap()))
}

pub fn sign_out<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "DELETE", "/v1/session")
}

pub fn sign_out_all<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "DELETE", "/v1/sessions")
}

pub fn read_profile<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "GET", "/v1/me")
}

pub fn change_username<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "PATCH", "/v1/me").json(json!({"username": case.new_username(), "name": "Asha"}))
}

pub fn put_fcm_token<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "PUT", "/v1/me/fcm-token").json(json!({"fcm_token": case.fcm_token()}))
}

pub fn put_fcm_token_on_the_other_device<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let call = world.call("PUT", "/v1/me/fcm-token").as_person(&case.devices[1]);
    call.json(json!({"fcm_token": case.fcm_token()}))
}

pub fn approve<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let body = json!({"challenge_id": case.sent().challenge_id});
    as_user(world, case, "POST", "/v1/me/sign-in-approval").json(body)
}

pub fn delete_account<'a>(world: &'a World, case: &Case) -> Call<'a> {
    as_user(world, case, "DELETE", "/v1/me")
}

pub fn read_public_keys<'a>(world: &'a World, _: &Case) -> Call<'a> {
    world.call("GET", "/.well-known/jwks.json")
}

pub fn send_to_test_number<'a>(world: &'a World, case: &Case) -> Call<'a> {
    world.post("/v1/otp/send", json!({"phone_number": case.phone, "organization_id": case.organization()}))
}

pub fn submit_fixed_code<'a>(world: &'a World, case: &Case) -> Call<'a> {
    submit_fixed_code_without_key(world, case).header("idempotency-key", &case.idempotency_key)
}

fn submit_fixed_code_without_key<'a>(world: &'a World, case: &Case) -> Call<'a> {
    let body = json!({"phone_number": case.phone, "organization_id": case.organization(), "otp": FIXED_CODE});
    world.post("/v1/otp/submit", body)
}

/// What EventBridge calls each hour.
pub fn do_due(_: &Case) -> Vec<(&'static str, Value)> {
    vec![("DueFunction", json!({}))]
}

/// A request to a backend's own route.
pub fn authorize(case: &Case) -> Vec<(&'static str, Value)> {
    let mut event: Value =
        serde_json::from_str(include_str!("../../events/authorizer/team-route-garbage-token.json")).unwrap();
    event["headers"]["authorization"] = json!(format!("Bearer {}", case.person().access));
    vec![("AuthorizerFunction", event)]
}

/// After a failure, Secrets Manager starts again with the first step.
pub fn rotate_keys(case: &Case) -> Vec<(&'static str, Value)> {
    let steps = ["createSecret", "setSecret", "testSecret", "finishSecret"]
        .map(|step| json!({"Step": step, "SecretId": "SigningKeySecret", "ClientRequestToken": case.key_version()}));
    steps.map(|event| ("RotateKeysFunction", event)).into()
}

// The checks.

pub async fn the_code_signs_in(world: &World, case: &Case, reply: &Reply) {
    let Sent { challenge_id, code } = world.received(&case.phone, reply).await;
    person(&case.phone, &world.submit_with_id(&case.phone, &challenge_id, &code).send().await);
}

pub async fn the_same_code_signs_in(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(world.code(&case.phone).await, case.code(), "a resend sends the same code");
    the_code_signs_in(world, case, reply).await;
}

pub async fn a_new_user_is_signed_in(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(reply.body["is_new_user"], json!(true), "{reply:?}");
    assert_signed_in_once(world, case, reply, 1).await;
}

pub async fn the_known_user_is_signed_in(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(reply.body["is_new_user"], json!(false));
    assert_eq!(reply.body["user"]["user_id"], json!(case.person().user_id));
    assert_signed_in_once(world, case, reply, 2).await;
}

pub async fn the_first_sign_in_is_returned(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(reply.body["user"]["user_id"], json!(case.person().user_id));
    a_new_user_is_signed_in(world, case, reply).await;
}

pub async fn the_right_code_still_signs_in(world: &World, case: &Case, _: &Reply) {
    a_new_user_is_signed_in(world, case, &submit(world, case).send().await).await;
}

/// The user has this many sessions, and the code opens no other: neither alone, nor with the key and a wrong digit.
async fn assert_signed_in_once(world: &World, case: &Case, reply: &Reply, session_count: usize) {
    let person = person(&case.phone, reply);
    assert_eq!(profile(world, &person.access).await["phone_number"], case.phone);
    for again in [world.submit(&case.phone, case.code()), submit_wrong_code(world, case)] {
        let again = again.send().await;
        assert!([400, 429].contains(&again.status), "{again:?}");
    }
    assert_eq!(sessions(world, &person.user_id).await.len(), session_count);
}

pub async fn the_code_verifies_the_other_phone(world: &World, case: &Case, reply: &Reply) {
    let sent = world.received(&case.other_phone, reply).await;
    validate_code(world, case, &sent).send().await.ok();
    assert_eq!(profile(world, &case.person().access).await["phone_number"], case.other_phone);
}

/// The other phone belongs to the user and signs them in, and the code no longer serves.
pub async fn the_other_phone_is_theirs(world: &World, case: &Case, _: &Reply) {
    assert_eq!(profile(world, &case.person().access).await["phone_number"], case.other_phone);
    for again in [validate(world, case), validate_wrong_code(world, case)] {
        again.send().await.assert_problem(403, "already_verified");
    }
    world.advance(31);
    assert_eq!(world.sign_in(&case.other_phone).await.user_id, case.person().user_id);
}

pub async fn the_right_code_still_verifies(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(profile(world, &case.person().access).await["phone_number"], Value::Null);
    validate(world, case).send().await.ok();
    the_other_phone_is_theirs(world, case, reply).await;
}

pub async fn the_number_is_changed(world: &World, case: &Case, reply: &Reply) {
    the_other_phone_is_theirs(world, case, reply).await;
    world.advance(72 * 3_600);
    assert_ne!(world.sign_in(&case.phone).await.user_id, case.person().user_id, "the previous number is free");
}

const CHANGE_WAITS_SECONDS: u64 = 72 * 3_600;

/// The change waits once, and is made when it is due.
pub async fn the_change_waits_and_is_made(world: &World, case: &Case, _: &Reply) {
    let access = &case.devices.last().unwrap().access;
    assert_eq!(profile(world, access).await["pending_phone_change"]["phone_number"], json!(case.other_phone));
    world.advance(CHANGE_WAITS_SECONDS);
    world.system.invoke("DueFunction", json!({})).await.unwrap();
    the_change_is_made(world, case).await;
}

pub async fn the_change_that_was_due_is_made_once(world: &World, case: &Case, _: &Reply) {
    world.system.invoke("DueFunction", json!({})).await.unwrap();
    the_change_is_made(world, case).await;
}

async fn the_change_is_made(world: &World, case: &Case) {
    let by_new_number = world.sign_in(&case.other_phone).await;
    assert_eq!(by_new_number.user_id, case.person().user_id);
    let due = world.items("NoticesTable").await;
    let of_case =
        |item: &&Value| item["pk"]["S"] == json!("due") && item["user_id"]["S"] == json!(case.person().user_id);
    let left: Vec<&Value> = due.iter().filter(of_case).map(|item| &item["kind"]["S"]).collect();
    assert_eq!(left, [&json!("undo_end")], "only the end of the undo is left to do");
    // The former number is kept for an undo, and then it is free.
    world.advance(CHANGE_WAITS_SECONDS);
    assert_ne!(world.sign_in(&case.phone).await.user_id, case.person().user_id);
}

pub async fn the_change_is_not_made(world: &World, case: &Case, _: &Reply) {
    assert_eq!(profile(world, &case.person().access).await["pending_phone_change"], Value::Null);
    world.advance(CHANGE_WAITS_SECONDS);
    world.system.invoke("DueFunction", json!({})).await.unwrap();
    assert_eq!(world.sign_in(&case.phone).await.user_id, case.person().user_id);
}

pub async fn the_account_opens_after_seven_days(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(profile(world, &case.person().access).await["recovery"]["opens_at"], reply.body["opens_at"]);
    world.advance(7 * 86_400);
    let sent = world.send_code(&case.phone).await;
    let body = json!({"phone_number": case.phone, "otp": sent.code, "recover": true});
    let opened = world.post("/v1/otp/submit", body).send().await.ok();
    assert_eq!(opened["user"]["user_id"], json!(case.person().user_id));
}

pub async fn the_account_is_open(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(reply.body["user"]["user_id"], json!(case.person().user_id));
    world.advance(300);
    assert_eq!(world.sign_in(&case.phone).await.user_id, case.person().user_id, "the number is proven");
}

pub async fn the_recovery_is_refused(world: &World, case: &Case, _: &Reply) {
    assert_eq!(profile(world, &case.person().access).await["recovery"], Value::Null);
    world.advance(7 * 86_400);
    let sent = world.send_code(&case.phone).await;
    let body = json!({"phone_number": case.phone, "otp": sent.code, "recover": true});
    world.post("/v1/otp/submit", body).send().await.assert_problem(403, "recovery_refused");
    // A new account ends the flow as any other.
    let sent = {
        world.advance(300);
        world.send_code(&case.phone).await
    };
    let body = json!({"phone_number": case.phone, "otp": sent.code, "fresh_account": true});
    world.post("/v1/otp/submit", body).send().await.ok();
}

/// Shows that the number gets a code and that the code is compared. Where the flow gave the number up, it may be kept.
pub async fn get_a_code(world: &World, phone: &str) {
    let sent = world.send_code(phone).await;
    let reply = world.submit(phone, &sent.code).send().await;
    assert!(reply.status == 200 || reply.problem() == (403, "number_released"), "{reply:?}");
}

/// Creates a new account for the number of a deleted one.
async fn sign_up_again(world: &World, phone: &str) -> Person {
    let sent = world.send_code(phone).await;
    let body = json!({"phone_number": phone, "otp": sent.code, "fresh_account": true});
    person(phone, &world.post("/v1/otp/submit", body).send().await)
}

/// The number is the user's again, the other one is nobody's, and the device that changed it is signed out.
pub async fn the_number_returned(world: &World, case: &Case, _: &Reply) {
    refresh(world, case).send().await.assert_problem(401, "session_revoked");
    world.advance(300);
    let back = world.sign_in(&case.phone).await;
    assert_eq!(back.user_id, case.person().user_id);
    assert_eq!(world.me(&back).await["phone_number"], json!(case.phone));
    let stranger = world.sign_in(&case.other_phone).await;
    assert_ne!(stranger.user_id, case.person().user_id);
}

pub async fn the_account_is_restored(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(reply.body["user"]["user_id"], json!(case.person().user_id));
    world.advance(300);
    let again = world.sign_in(&case.phone).await;
    let me = world.me(&again).await;
    assert_eq!((&me["user_id"], &me["username"]), (&json!(case.person().user_id), &json!(case.username)));
}

pub async fn the_bound_tokens_are_rotated(world: &World, case: &Case, reply: &Reply) {
    let next = reply.text("refresh_token");
    refresh_with(world, &next).send().await.assert_problem(401, "invalid_dpop_proof");
    refresh_with(world, &next).proven_by(&case.key).send().await.ok();
}

pub async fn the_tokens_are_rotated(world: &World, case: &Case, reply: &Reply) {
    profile(world, &reply.text("access_token")).await;
    world.advance(31);
    refresh_with(world, &reply.text("refresh_token")).send().await.ok();
    // The case's token is older than the previous one by now. That ends the session, within the grace period or not.
    refresh(world, case).send().await.assert_problem(401, "refresh_reused");
    assert!(sessions(world, &case.person().user_id).await.is_empty());
}

pub async fn the_session_is_ended(world: &World, case: &Case, _: &Reply) {
    assert!(sessions(world, &case.person().user_id).await.is_empty());
}

pub async fn two_sessions_are_listed(_: &World, _: &Case, reply: &Reply) {
    assert_eq!(reply.body["sessions"].as_array().unwrap().len(), 2);
}

pub async fn the_other_device_is_signed_out(world: &World, case: &Case, _: &Reply) {
    assert_eq!(signed_in(world, case).await, [true, false]);
}

pub async fn the_other_bound_device_is_signed_out(world: &World, case: &Case, _: &Reply) {
    let call = refresh_with(world, &case.devices[1].refresh).proven_by(&case.key);
    call.send().await.assert_problem(401, "session_revoked");
    let known = world.items("UsersTable").await;
    let of_case = |item: &&Value| item["user_id"]["S"] == json!(case.person().user_id);
    assert!(!known.iter().filter(of_case).any(|item| item.to_string().contains("device_key_")), "the key is forgotten");
}

pub async fn this_device_is_signed_out(world: &World, case: &Case, _: &Reply) {
    assert_eq!(signed_in(world, case).await, [false, true]);
}

pub async fn all_devices_are_signed_out(world: &World, case: &Case, _: &Reply) {
    assert_eq!(signed_in(world, case).await, [false; 3]);
    assert!(sessions(world, &case.person().user_id).await.is_empty());
}

async fn signed_in(world: &World, case: &Case) -> Vec<bool> {
    let mut signed_in = Vec::new();
    for device in &case.devices {
        let reply = world.call("GET", "/v1/me").as_person(device).send().await;
        assert!(reply.status == 200 || reply.problem() == (401, "session_revoked"), "{reply:?}");
        signed_in.push(reply.status == 200);
    }
    signed_in
}

pub async fn the_username_is_returned(_: &World, case: &Case, reply: &Reply) {
    assert_eq!(reply.body["username"], json!(case.username));
}

pub async fn the_username_is_changed(world: &World, case: &Case, reply: &Reply) {
    assert_eq!((&reply.body["username"], &reply.body["name"]), (&json!(case.new_username()), &json!("Asha")));
    assert_eq!(profile(world, &case.person().access).await["username"], json!(case.new_username()));
}

pub async fn the_fcm_token_is_stored(world: &World, case: &Case, _: &Reply) {
    let sessions = sessions(world, &case.person().user_id).await;
    assert_eq!(sessions[0]["fcm_token"]["S"], json!(case.fcm_token()));
}

pub async fn an_approval_lets_the_code_sign_in(world: &World, case: &Case, reply: &Reply) {
    assert_eq!(approve(world, case).send().await.status, 204);
    the_approved_code_signs_in_once(world, case, reply).await;
}

pub async fn the_approved_code_signs_in_once(world: &World, case: &Case, _: &Reply) {
    let reply = world.submit(&case.phone, case.code()).send().await;
    assert_eq!(person(&case.phone, &reply).user_id, case.person().user_id);
    let again = world.submit(&case.phone, case.code()).send().await;
    assert_eq!(again.problem(), (400, "incorrect_otp"));
}

pub async fn the_account_is_deleted(world: &World, case: &Case, _: &Reply) {
    let deleted = &case.person().user_id;
    for table in ["UsersTable", "SessionsTable"] {
        let mut items = world.items(table).await;
        items.retain(|item| item.get("kept_until").is_none());
        assert!(!json!(items).to_string().contains(deleted.as_str()), "{table} has the deleted user");
    }
    assert_ne!(sign_up_again(world, &case.phone).await.user_id, *deleted);
}

async fn pending_notices(world: &World, case: &Case) -> Vec<Value> {
    let user = &case.person().user_id;
    let items = world.items("NoticesTable").await.into_iter();
    items.filter(|item| item["pk"]["S"] == json!(format!("user#{user}"))).collect()
}

pub fn deliver_notices(case: &Case) -> Vec<(&'static str, Value)> {
    let records: Vec<Value> = case.notices.iter().map(inserted).collect();
    vec![("NotifyFunction", json!({"Records": records}))]
}

fn inserted(notice: &Value) -> Value {
    let keys = json!({"pk": notice["pk"], "sk": notice["sk"]});
    let change = json!({
        "ApproximateCreationDateTime": 1_795_219_200, "Keys": keys, "SequenceNumber": notice["sk"]["S"],
    });
    json!({"eventID": notice["sk"]["S"], "eventName": "INSERT", "dynamodb": change})
}

async fn records_of_sign_in(world: &World, case: &Case) -> Vec<Value> {
    let mut records = Vec::new();
    for (table, keys) in [("UsersTable", &["pk"][..]), ("SessionsTable", &["user_id", "session_id"])] {
        let user = &case.person().user_id;
        let is_lock = |item: &Value| item["pk"]["S"].as_str().is_some_and(|pk| !pk.starts_with("user#"));
        let items = world.items(table).await.into_iter();
        for item in items.filter(|item| item["user_id"]["S"] == json!(user) && !is_lock(item)) {
            let keys: Value = keys.iter().map(|key| ((*key).to_owned(), item[*key].clone())).collect();
            let number = records.len();
            records.push(json!({
                "eventID": format!("{}-{number}", case.number),
                "eventName": "INSERT",
                "dynamodb": {
                    "ApproximateCreationDateTime": world.now(), "Keys": keys, "NewImage": item,
                    "SequenceNumber": number.to_string(),
                },
            }));
        }
    }
    records
}

pub fn publish_events(case: &Case) -> Vec<(&'static str, Value)> {
    vec![("PublishFunction", json!({"Records": case.records}))]
}

/// Each event is there, and one that is there twice is the same.
pub async fn the_events_of_the_sign_in_are_published(world: &World, case: &Case, _: &Reply) {
    let events = world.call("GET", "/local/events").send().await.ok();
    let user = json!(case.person().user_id);
    let of_case = events["events"].as_array().unwrap().iter().map(|event| &event["detail"]);
    let mut of_case: Vec<_> = of_case.filter(|event| event["data"]["user_id"] == user).collect();
    of_case.sort_by_key(|event| event["type"].to_string());
    of_case.dedup();
    let types: Vec<_> = of_case.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["user.created", "user.signed_in"]);
}

/// A device that FCM no longer knows is told nothing more.
pub async fn everybody_was_told_of_the_change(world: &World, case: &Case, _: &Reply) {
    assert_eq!(pending_notices(world, case).await, Vec::<Value>::new());
    let sessions = sessions(world, &case.person().user_id).await;
    let can_be_told = sessions.iter().any(|session| session["fcm_token"]["S"] == json!(case.fcm_token()));
    let pushes = world.call("GET", "/local/pushes").send().await.ok();
    let pushes = pushes["pushes"].as_array().unwrap();
    for event in ["phone_change_requested", "phone_changed"] {
        let told = |push: &&Value| push["to"] == json!(case.fcm_token()) && push["data"]["event"] == json!(event);
        assert!(!can_be_told || pushes.iter().any(|push| told(&push)), "{event}");
    }
    let inbox = world.inbox(&case.phone).await;
    let texts = inbox.iter().filter(|message| message["text"].as_str().unwrap().contains("was changed")).count();
    assert!((1..=3).contains(&texts), "{texts} messages at the former number");
}

pub async fn the_user_is_authorized(_: &World, case: &Case, reply: &Reply) {
    assert_eq!(reply.body["isAuthorized"], json!(true));
    assert_eq!(reply.body["context"]["user_id"], json!(case.person().user_id));
}

pub async fn nobody_is_authorized(_: &World, _: &Case, reply: &Reply) {
    assert_eq!(reply.body["isAuthorized"], json!(false), "a signed-out user was authorized");
}

pub async fn a_key_is_published(_: &World, _: &Case, reply: &Reply) {
    assert!(!reply.body["keys"].as_array().unwrap().is_empty());
}

/// The new key is current, signs and is published once, and what the previous key signed stays valid.
pub async fn the_new_key_signs(world: &World, case: &Case, _: &Reply) {
    let request = json!({"SecretId": "SigningKeySecret", "VersionId": case.key_version()});
    let current = world.secrets_manager("GetSecretValue", request).await;
    assert_eq!(current["VersionStages"].as_array().unwrap().first(), Some(&json!("AWSCURRENT")), "{current}");
    let pair: Value = serde_json::from_str(current["SecretString"].as_str().unwrap()).unwrap();
    profile(world, &case.person().access).await;
    world.advance(661);
    let access = refresh(world, case).send().await.text("access_token");
    assert_eq!(header(&access)["kid"].as_str().unwrap(), pair["kid"]);
    profile(world, &access).await;
    let keys = world.call("GET", "/.well-known/jwks.json").send().await.ok();
    let published = keys["keys"].as_array().unwrap().iter().filter(|key| key["kid"] == pair["kid"]).count();
    assert_eq!(published, 1, "{keys}");
}

pub async fn the_fixed_code_serves_once(world: &World, case: &Case, _: &Reply) {
    the_fixed_code_served_once(world, case, &submit_fixed_code(world, case).send().await).await;
}

pub async fn the_fixed_code_served_once(world: &World, case: &Case, reply: &Reply) {
    let person = person(&case.phone, reply);
    assert!(world.inbox(&case.phone).await.is_empty());
    let again = submit_fixed_code_without_key(world, case).send().await;
    assert!([400, 429].contains(&again.status), "{again:?}");
    assert_eq!(sessions(world, &person.user_id).await.len(), 1);
}

async fn profile(world: &World, access: &str) -> Value {
    world.call("GET", "/v1/me").bearer(access).send().await.ok()
}

async fn sessions(world: &World, user_id: &str) -> Vec<Value> {
    world.items("SessionsTable").await.into_iter().filter(|session| session["user_id"]["S"] == user_id).collect()
}
