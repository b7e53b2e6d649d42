//! The sizes of items and the costs of requests for a user with many organizations, many devices or long values.

use serde_json::{Value, json};
use tests::tap::{Cost, Units, item_size};
use tests::{Person, Sent, World, person};

const PHONE: &str = "+9779841000001";
const ORGANIZATIONS: usize = 50;
const DEVICES: usize = 20;
/// Between sign-ins. It allows nine sign-ins a day.
const PAUSE_SECONDS: u64 = 9_000;
const KB: usize = 1_024;

/// As long as a UUID.
fn organization(n: usize) -> String {
    format!("018f2b6e-5c1d-7a3f-9b2e-{n:012}")
}

/// As long as a token of FCM: 142 characters after the installation's 22.
fn fcm_token(n: usize) -> String {
    format!("{n:022}:{}", "A".repeat(142))
}

/// Sends a code of the `n`th organization.
async fn send(world: &World, phone: &str, n: usize) -> Sent {
    let body = json!({"phone_number": phone, "organization_id": organization(n)});
    let reply = world.post("/v1/otp/send", body).send().await;
    world.received(phone, &reply).await
}

async fn sign_in(world: &World, n: usize) -> Person {
    world.advance(PAUSE_SECONDS);
    let sent = send(world, PHONE, n).await;
    person(PHONE, &submit(world, &sent.code, n).await)
}

async fn submit(world: &World, otp: &str, n: usize) -> tests::Reply {
    let body = json!({
        "phone_number": PHONE, "otp": otp, "organization_id": organization(n), "fcm_token": fcm_token(n),
        "device_name": "Asha's phone, the blue one", "name": "आशा गुरुङ", "source": "android",
        "image_url": format!("https://images.example.com/{}.jpg", "a".repeat(150)),
    });
    world.post("/v1/otp/submit", body).send().await
}

/// The largest of a table's items of one kind, or of all.
async fn largest(world: &World, table: &str, kind: &str) -> usize {
    let items = world.items(table).await;
    let is_wanted = |item: &&Value| item["pk"]["S"].as_str().is_none_or(|pk| pk.starts_with(kind));
    items.iter().filter(is_wanted).map(item_size).max().unwrap()
}

fn cost(in_a_row: usize, requests: usize, writes: f64, reads: f64) -> Cost {
    Cost { in_a_row, requests, units: Units { reads, writes } }
}

#[tokio::test]
async fn fifty_organizations_and_twenty_devices_cost_a_sign_in_four_more_units() {
    let world = &World::new().await;
    for n in 0..ORGANIZATIONS {
        world.create_organization(&organization(n), &[]).await;
    }
    for n in 0..ORGANIZATIONS {
        let person = sign_in(world, n).await;
        if n + 1 == ORGANIZATIONS - DEVICES {
            world.call("DELETE", "/v1/sessions").as_person(&person).send().await;
        }
    }
    let [user, session] = [largest(world, "UsersTable", "user#").await, largest(world, "SessionsTable", "").await];
    assert!((2 * KB..3 * KB).contains(&user), "a user of 50 organizations has {user} bytes");
    assert!(session < KB, "a session: {session} bytes");
    for kind in ["phone#", "source#", "spend#", "verified#", "codes#"] {
        let size = largest(world, "OtpsTable", kind).await;
        assert!(size < KB, "{kind}: {size} bytes");
    }

    // Other requests come first, so that the measured ones find the functions' caches filled.
    world.advance(PAUSE_SECONDS);
    let organization_again = ORGANIZATIONS - 1;
    send(world, "+9779841000002", organization_again).await;
    let (sending, sent) = world.cost(send(world, PHONE, organization_again)).await;
    assert_eq!(sending, cost(2, 2, 8.0, 19.0), "as with one organization");
    submit(world, &tests::wrong(&sent.code), organization_again).await;
    let (submitted, reply) = world.cost(submit(world, &sent.code, organization_again)).await;
    assert_eq!(submitted, cost(2, 6, 20.0, 5.0), "a user item of three KB, and all sessions by one query");
    let person = person(PHONE, &reply);
    let refresh = |token: &str| world.post("/v1/session/refresh", json!({"refresh_token": token}));
    let token = refresh(&person.refresh).send().await.text("refresh_token");
    let (refreshed, _) = world.cost(refresh(&token).send()).await;
    assert_eq!(refreshed, cost(1, 2, 1.0, 1.0), "as with one device");
    world.call("GET", "/v1/sessions").as_person(&person).send().await.ok();
    let (listed, reply) = world.cost(world.call("GET", "/v1/sessions").as_person(&person).send()).await;
    assert_eq!(reply.body["sessions"].as_array().unwrap().len(), DEVICES + 1);
    assert_eq!(listed, cost(2, 3, 0.0, 5.0), "the authorizer's read; then the user, and all sessions by one query");
    let (deleted, reply) = world.cost(world.call("DELETE", "/v1/me").as_person(&person).send()).await;
    assert_eq!(reply.status, 204, "{reply:?}");
    assert_eq!(
        deleted,
        cost(4, 6, 66.0, 7.0),
        "two units a device, the user kept for an undo, and a notice to the devices"
    );
}

#[tokio::test]
async fn the_longest_allowed_members_make_no_item_larger_than_five_kb() {
    let world = &World::new().await;
    let sent = world.send_code(PHONE).await;
    let longest = |characters: usize| "ༀ".repeat(characters);
    let body = json!({
        "phone_number": PHONE, "otp": sent.code, "fcm_token": "A".repeat(4_096), "device_name": longest(100),
        "name": longest(100), "source": longest(64), "image_url": format!("https://{}", "a".repeat(2_040)),
    });
    person(PHONE, &world.post("/v1/otp/submit", body).send().await);
    let [user, session] = [largest(world, "UsersTable", "user#").await, largest(world, "SessionsTable", "").await];
    assert!(user < 3 * KB && session < 5 * KB, "a user has {user} bytes, a session {session}");
}
