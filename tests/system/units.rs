//! The DynamoDB requests and capacity units of each route in a warm function, compared with the table in ARCHITECTURE.md.

use serde_json::{Value, json};
use tests::device::Device;
use tests::token::claims;
use tests::{Person, World, person, wrong};

use crate::{sample, workspace};

const PHONE: &str = "+9779841000001";
const OTHER_PHONE: &str = "+9779841000002";
const PHONE_WITH_KEY: &str = "+9779841000003";
/// Longer than the waits before a phone's second code and its third.
const WAIT_SECONDS: [u64; 2] = [31, 61];
/// The first line of the table.
const HEAD: &str = "| path of a warm function | in a row | requests | write units | read units |";

/// The measured rows of the table.
struct Measured<'a> {
    world: &'a World,
    rows: Vec<String>,
}

impl Measured<'_> {
    async fn note<T>(&mut self, path: &str, work: impl Future<Output = T>) -> T {
        let (cost, done) = self.world.cost(work).await;
        let (writes, reads) = (cost.units.writes, cost.units.reads);
        self.rows.push(format!("| {path} | {} | {} | {writes} | {reads} |", cost.in_a_row, cost.requests));
        done
    }

    /// Measures a guarded route's function alone, because its authorizer has a row of its own.
    async fn note_as(&mut self, person: &Person, path: &str, function: &str, route: &str, body: Option<Value>) {
        let event = sample::authorized(route, person, body);
        let answer = self.note(path, invoke(self.world, function, event)).await;
        assert!(matches!(answer["statusCode"].as_u64(), Some(200 | 202 | 204)), "{path}: {answer}");
    }
}

async fn invoke(world: &World, function: &str, event: Value) -> Value {
    world.system.invoke(function, event).await.unwrap()
}

/// Lets time pass, and signs another phone in so that the functions' caches are fresh.
async fn wait(world: &World, seconds: u64, other_phone: &str) {
    world.advance(seconds);
    world.sign_in(other_phone).await;
}

/// What device keys add: a read of the phone's lock at a send, and the end of another device's session.
async fn measure_device_keys(measured: &mut Measured<'_>) {
    let (world, device) = (measured.world, Device::new());
    let sign_in = async || {
        let sent = world.send_code(PHONE_WITH_KEY).await;
        person(PHONE_WITH_KEY, &world.submit(PHONE_WITH_KEY, &sent.code).proven_by(&device).send().await)
    };
    sign_in().await;
    wait(world, WAIT_SECONDS[0], "+9779841000013").await;
    let send = world.post("/v1/otp/send", json!({"phone_number": PHONE_WITH_KEY})).proven_by(&device);
    let sent = measured.note("send, a known device", send.send()).await;
    let sent = world.received(PHONE_WITH_KEY, &sent).await;
    let submit = world.submit(PHONE_WITH_KEY, &sent.code).proven_by(&device);
    let lost = person(PHONE_WITH_KEY, &measured.note("submit, a known device", submit.send()).await);
    let refresh = world.post("/v1/session/refresh", json!({"refresh_token": lost.refresh})).proven_by(&device);
    measured.note("refresh, a bound session", refresh.send()).await.ok();
    wait(world, WAIT_SECONDS[1], "+9779841000014").await;
    let other = world.sign_in(PHONE_WITH_KEY).await;
    let bound = claims(&lost.access)["sid"].as_str().unwrap().to_owned();
    let end = format!("DELETE /v1/sessions/{bound}");
    measured.note_as(&other, "end of a bound session", "SessionFunction", &end, None).await;
}

/// A change without the old number: asking for it, and making it when it is due.
async fn measure_delayed_change(measured: &mut Measured<'_>) {
    let (world, device) = (measured.world, Device::new());
    let [phone, new] = ["+9779841000004", "+9779841000005"];
    wait(world, WAIT_SECONDS[1], "+9779841000015").await;
    let sent = world.send_code(phone).await;
    let owner = person(phone, &world.submit(phone, &sent.code).proven_by(&device).send().await);
    let refresh = world.post("/v1/session/refresh", json!({"refresh_token": owner.refresh})).proven_by(&device);
    let owner = Person { access: refresh.send().await.text("access_token"), ..owner };
    let send = world.post("/v1/phone/otp/send", json!({"phone_number": new, "change": true}));
    send.as_person(&owner).proven_by(&device).send().await.ok();
    let code = world.code(new).await;
    let proof = |otp: &str| Some(json!({"phone_number": new, "otp": otp}));
    let (validate, route) = ("ValidateOtpFunction", "POST /v1/phone/otp/validate");
    // A request that fills the function's caches.
    invoke(world, validate, sample::authorized(route, &owner, proof(&wrong(&code)))).await;
    measured.note_as(&owner, "validate, a change that waits", validate, route, proof(&code)).await;
    // One second more, because it was asked for in the second of the sign-in.
    world.advance(3 * 86_400 + 1);
    measured.note("due, a reminder and a change", invoke(world, "DueFunction", json!({}))).await;
}

#[tokio::test]
async fn every_route_costs_what_the_architecture_document_says() {
    let world = &World::new().await;
    let mut measured = Measured { world, rows: Vec::new() };
    wait(world, 0, "+9779841000010").await;

    let sent = measured.note("send, a new code", world.send_code(PHONE)).await;
    measured.note("submit, a wrong code", world.submit(PHONE, &wrong(&sent.code)).send()).await;
    let reply = measured.note("submit, a new user", world.submit(PHONE, &sent.code).send()).await;
    assert_eq!(reply.body["is_new_user"], json!(true), "{reply:?}");
    let reply = measured.note("submit, a code that was used", world.submit(PHONE, &sent.code).send()).await;
    reply.assert_problem(400, "incorrect_otp");

    wait(world, WAIT_SECONDS[0], "+9779841000011").await;
    world.send_code(PHONE).await;
    wait(world, WAIT_SECONDS[1], "+9779841000012").await;
    let sent = measured.note("send, the same code again", world.send_code(PHONE)).await;
    let reply = measured.note("submit, a known user", world.submit(PHONE, &sent.code).send()).await;
    assert_eq!(reply.body["is_new_user"], json!(false), "{reply:?}");
    let person = person(PHONE, &reply);

    let account = "AccountFunction";
    let session = "SessionFunction";
    let asha = json!({"username": "asha"});
    measured.note_as(&person, "change of username", account, "PATCH /v1/me", Some(asha)).await;
    let send = json!({"phone_number": OTHER_PHONE, "change": true});
    measured
        .note_as(&person, "send, to verify a phone", "SendOtpFunction", "POST /v1/phone/otp/send", Some(send))
        .await;
    let code = world.code(OTHER_PHONE).await;
    let proof = |otp: &str| Some(json!({"phone_number": OTHER_PHONE, "otp": otp, "username": "asha"}));
    let (validate, route) = ("ValidateOtpFunction", "POST /v1/phone/otp/validate");
    // This function's first request, which fills its caches.
    invoke(world, validate, sample::authorized(route, &person, proof(&wrong(&code)))).await;
    measured.note_as(&person, "validate, a change of number", validate, route, proof(&code)).await;

    // Its first request fills this function's cache of the organization.
    let refreshed = world.refresh(&person.refresh).await.text("refresh_token");
    measured.note("refresh", world.refresh(&refreshed)).await.ok();
    measured.note("authorizer", invoke(world, "AuthorizerFunction", sample::authorization(&person.access))).await;
    let (signed, signature) = person.access.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    measured
        .note("authorizer, a forged token", invoke(world, "AuthorizerFunction", sample::authorization(&forged)))
        .await;
    measured.note_as(&person, "me", account, "GET /v1/me", None).await;
    let name = json!({"name": "Asha"});
    measured.note_as(&person, "change of name", account, "PATCH /v1/me", Some(name)).await;
    for path in ["FCM token, another one", "FCM token, the same one"] {
        let token = json!({"fcm_token": "fcm-token"});
        measured.note_as(&person, path, account, "PUT /v1/me/fcm-token", Some(token)).await;
    }
    measured.note_as(&person, "list of two sessions", session, "GET /v1/sessions", None).await;
    let sid = claims(&person.access)["sid"].as_str().unwrap().to_owned();
    let listed = world.call("GET", "/v1/sessions").as_person(&person).send().await.ok();
    let listed = listed["sessions"].as_array().unwrap().iter().map(|session| session["session_id"].as_str().unwrap());
    let older = format!("DELETE /v1/sessions/{}", listed.clone().find(|id| *id != sid).unwrap());
    measured.note_as(&person, "end of one session", session, &older, None).await;
    measured.note("published keys", world.call("GET", "/.well-known/jwks.json").send()).await.ok();
    measured.note("metadata", world.call("GET", "/.well-known/openid-configuration").send()).await.ok();
    measured.note_as(&person, "deletion of an account with one session", account, "DELETE /v1/me", None).await;
    measure_device_keys(&mut measured).await;
    measure_delayed_change(&mut measured).await;

    let architecture = workspace::text("ARCHITECTURE.md");
    let written =
        architecture.lines().skip_while(|line| *line != HEAD).skip(2).take_while(|line| line.starts_with('|'));
    assert_eq!(measured.rows, written.collect::<Vec<_>>(), "\n{}", measured.rows.join("\n"));
}
