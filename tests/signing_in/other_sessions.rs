//! The other sessions of whoever signs in: how many there are, and ending them with the sign-in.

use serde_json::{Value, json};
use tests::device::Device;
use tests::{Call, Person, Reply, Sent, World, person, with, wrong};

use crate::setup::phone;

async fn send(world: &World) -> Sent {
    world.advance(600);
    world.send_code(&phone(1)).await
}

fn submit<'a>(world: &'a World, sent: &Sent, more: Value) -> Call<'a> {
    let body = json!({"phone_number": phone(1), "otp": sent.code, "challenge_id": sent.challenge_id});
    world.post("/v1/otp/submit", with(&body, more))
}

fn sign_out_others() -> Value {
    json!({"sign_out_others": true})
}

async fn assert_signed_in(world: &World, device: &Person) {
    world.refresh(&device.refresh).await.ok();
}

async fn assert_signed_out(world: &World, device: &Person) {
    world.refresh(&device.refresh).await.assert_problem(401, "session_revoked");
}

fn others(reply: &Reply) -> u64 {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.number("other_sessions")
}

#[tokio::test]
async fn a_sign_in_tells_how_many_other_devices_are_signed_in() {
    let world = World::new().await;
    for expected in 0..3 {
        let sent = send(&world).await;
        let reply = submit(&world, &sent, json!({})).header("idempotency-key", "one").send().await;
        assert_eq!(others(&reply), expected);
        let again = submit(&world, &sent, json!({})).header("idempotency-key", "one").send().await;
        assert_eq!(others(&again), expected);
    }
    // Sessions that ended by age do not count.
    world.advance(31 * 86_400);
    assert_eq!(others(&submit(&world, &send(&world).await, json!({})).send().await), 0);
}

#[tokio::test]
async fn a_sign_in_ends_the_other_sessions_if_it_is_asked_to_and_only_with_the_right_code() {
    let world = World::new().await;
    let stranger = world.sign_in(&phone(2)).await;
    let mut devices = Vec::new();
    for _ in 0..3 {
        devices.push(person(&phone(1), &submit(&world, &send(&world).await, json!({})).send().await));
    }
    let sent = send(&world).await;
    let mistyped = Sent { code: wrong(&sent.code), ..sent.clone() };
    submit(&world, &mistyped, sign_out_others()).send().await.assert_problem(400, "incorrect_otp");
    for device in &mut devices {
        *device = world.refreshed(device).await;
    }
    let reply = submit(&world, &sent, sign_out_others()).send().await;
    assert_eq!(others(&reply), 0);
    for device in &devices {
        assert_signed_out(&world, device).await;
    }
    assert_signed_in(&world, &person(&phone(1), &reply)).await;
    assert_signed_in(&world, &stranger).await;
}

#[tokio::test]
async fn a_sign_in_that_ends_the_other_sessions_forgets_their_devices_and_knows_its_own() {
    let world = World::new().await;
    let (former, own) = (Device::new(), Device::new());
    submit(&world, &send(&world).await, json!({})).proven_by(&former).send().await.ok();
    submit(&world, &send(&world).await, sign_out_others()).proven_by(&own).send().await.ok();
    world.advance(crate::setup::DORMANT_SECONDS);
    let sent = send(&world).await;
    let refused = submit(&world, &sent, json!({})).proven_by(&former).send().await;
    refused.assert_problem(403, "second_signal_required");
    submit(&world, &sent, json!({})).proven_by(&own).send().await.ok();
}

#[tokio::test]
async fn a_sign_in_that_could_not_end_the_other_sessions_does_so_when_it_is_repeated() {
    let world = World::new().await;
    let other = person(&phone(1), &submit(&world, &send(&world).await, json!({})).send().await);
    let sent = send(&world).await;
    let submit = || submit(&world, &sent, sign_out_others()).header("idempotency-key", "one");
    // The listing of the sessions to end; the first one counts them.
    let at = local::Outgoing { target: local::Target::Dynamodb, what: "Query SessionsTable".to_owned(), nth: 2 };
    world.system.aim(Some(local::Aim { at, mode: local::Mode::Refuse, code: None, lasts: true }));
    submit().send().await.assert_problem(503, "service_unavailable");
    world.system.aim(None);
    assert_signed_in(&world, &other).await;
    assert_eq!(others(&submit().send().await), 0);
    assert_signed_out(&world, &other).await;
}
