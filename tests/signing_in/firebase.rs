//! Sign-ins with a Firebase ID token. A local server of the tests publishes the keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::google::{Google, Key, PROJECT, claims, header};
use tests::token::claims as claims_of;
use tests::{Call, World, assert_refused, at_once, person};

use crate::setup::phone;

async fn world() -> World {
    Google::serving("public, max-age=19204").await.world().await
}

/// A valid token for a phone.
fn token(world: &World, phone: &str) -> String {
    let token = Key::of_google().sign(&header(), &claims(world, phone));
    world.keep_secret(&token);
    world.keep_secret(phone);
    token
}

fn submit<'a>(world: &'a World, token: &str) -> Call<'a> {
    world.post("/v1/otp/submit", json!({"firebase_id_token": token}))
}

#[tokio::test]
async fn a_firebase_sign_in_creates_a_user_and_later_finds_them_again() {
    let world = world().await;
    let body = json!({"firebase_id_token": token(&world, &phone(1)), "name": "Sita", "device_name": "Pixel", "source": "android"});
    let new = world.post("/v1/otp/submit", body).send().await.ok();
    assert_eq!((&new["is_new_user"], &new["user"]["name"]), (&json!(true), &json!("Sita")));
    assert_eq!(new["user"]["phone_number"], json!(phone(1)));
    // A code for the same phone signs in the same user.
    let known = world.sign_in(&phone(1)).await;
    assert_eq!(json!(known.user_id), new["user"]["user_id"]);
    world.advance(1);
    let again = submit(&world, &token(&world, &phone(1))).send().await.ok();
    assert_eq!((&again["is_new_user"], &again["user"]["user_id"]), (&json!(false), &new["user"]["user_id"]));
    assert_eq!(world.inbox(&phone(1)).await.len(), 1, "only the code was sent");
}

#[tokio::test]
async fn a_firebase_sign_in_issues_a_fresh_access_token() {
    let world = world().await;
    let reply = submit(&world, &token(&world, &phone(1))).send().await;
    let person = person(&phone(1), &reply);
    let change = json!({"phone_number": phone(2), "change": true});
    world.post("/v1/phone/otp/send", change).as_person(&person).send().await.ok();
}

#[tokio::test]
async fn without_a_project_no_token_is_accepted() {
    let world = World::new().await;
    let reply = submit(&world, &token(&world, &phone(1))).send().await;
    reply.assert_problem(400, "malformed_request");
    let detail = "this deployment does not accept Firebase sign-ins; send otp instead";
    assert_eq!(reply.body["errors"], tests::at_member("firebase_id_token", detail));
}

#[tokio::test]
async fn both_or_neither_of_a_code_and_a_token_are_malformed() {
    let world = world().await;
    let both = json!({"phone_number": phone(1), "otp": "123456", "firebase_id_token": token(&world, &phone(1))});
    world.post("/v1/otp/submit", both).send().await.assert_problem(400, "malformed_request");
    let neither = json!({"phone_number": phone(1)});
    world.post("/v1/otp/submit", neither).send().await.assert_problem(400, "malformed_request");
}

#[tokio::test]
async fn a_phone_number_beside_the_token_must_match_it() {
    let world = world().await;
    let with = |phone: &str, token: String| json!({"phone_number": phone, "firebase_id_token": token});
    let other = with("9841000002", token(&world, &phone(1)));
    world.post("/v1/otp/submit", other).send().await.assert_problem(400, "firebase_token_invalid");
    let own = with("9841000001", token(&world, &phone(1)));
    world.post("/v1/otp/submit", own).send().await.ok();
}

/// A token that Google signed, with changes to its header and claims, for phone 1.
fn changed(world: &World, change: impl Fn(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = (header(), claims(world, &phone(1)));
    change(&mut header, &mut claims);
    Key::of_google().sign(&header, &claims)
}

fn with_claim(world: &World, name: &str, value: Value) -> String {
    changed(world, |_, claims| claims[name] = value.clone())
}

fn without_claim(world: &World, name: &str) -> String {
    changed(world, |_, claims| _ = claims.as_object_mut().unwrap().remove(name))
}

fn with_header(world: &World, name: &str, value: Value) -> String {
    changed(world, |header, _| header[name] = value.clone())
}

fn forgeries(world: &World) -> Vec<(&'static str, String)> {
    let valid = token(world, &phone(1));
    let parts: Vec<&str> = valid.split('.').collect();
    let now = world.now();
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg, "kid": "first", "typ": "JWT"}).to_string();
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), parts[1])
    };
    let by_public_key = |secret: &[u8]| {
        let header = json!({"alg": "HS256", "kid": "first", "typ": "JWT"}).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), parts[1]);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    };
    let public = Key::of_google().0.public_key();
    let modulus = public.modulus();
    let stolen = claims(world, &phone(2)).to_string();
    let duplicated = claims(world, &phone(1)).to_string().replacen('{', r#"{"aud":"himal-sign-in","#, 1);
    let foreign = json!({"jwk": Key::of_a_stranger().jwk("first"), "alg": "RS256", "kid": "first", "typ": "JWT"});
    vec![
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg NONE", unsigned("NONE")),
        ("an empty alg", unsigned("")),
        ("HS256 by the modulus", by_public_key(modulus.big_endian_without_leading_zero())),
        (
            "HS256 by the key's DER",
            by_public_key(AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(public).unwrap().as_ref()),
        ),
        ("alg RS512", with_header(world, "alg", json!("RS512"))),
        ("alg PS256", with_header(world, "alg", json!("PS256"))),
        ("a foreign key", Key::of_a_stranger().sign(&header(), &claims(world, &phone(1)))),
        ("a foreign key in the token's header", Key::of_a_stranger().sign(&foreign, &claims(world, &phone(1)))),
        ("another payload", format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(stolen), parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{valid}.x")),
        ("no kid", changed(world, |header, _| _ = header.as_object_mut().unwrap().remove("kid"))),
        ("an unknown kid", with_header(world, "kid", json!("third"))),
        ("a path as the kid", with_header(world, "kid", json!("../first"))),
        ("crit", with_header(world, "crit", json!(["exp"]))),
        ("another project's aud", with_claim(world, "aud", json!("other-project"))),
        ("a list as the aud", with_claim(world, "aud", json!([PROJECT]))),
        ("another project's iss", with_claim(world, "iss", json!("https://securetoken.google.com/other-project"))),
        ("another iss", with_claim(world, "iss", json!(format!("https://evil.example/{PROJECT}")))),
        ("no sub", without_claim(world, "sub")),
        ("an empty sub", with_claim(world, "sub", json!(""))),
        ("a sub of 129", with_claim(world, "sub", json!("s".repeat(129)))),
        ("no exp", without_claim(world, "exp")),
        ("no iat", without_claim(world, "iat")),
        ("no auth_time", without_claim(world, "auth_time")),
        ("an iat in the future", with_claim(world, "iat", json!(now + 600))),
        ("an auth_time in the future", with_claim(world, "auth_time", json!(now + 600))),
        ("text as the exp", with_claim(world, "exp", json!((now + 60).to_string()))),
        ("a password sign-in", with_claim(world, "firebase", json!({"sign_in_provider": "password"}))),
        ("an anonymous sign-in", with_claim(world, "firebase", json!({"sign_in_provider": "anonymous"}))),
        ("no provider", with_claim(world, "firebase", json!({}))),
        ("no firebase", without_claim(world, "firebase")),
        ("no phone", without_claim(world, "phone_number")),
        ("a national phone", with_claim(world, "phone_number", json!("9841000001"))),
        ("a phone that is not text", with_claim(world, "phone_number", json!(["+9779841000001"]))),
        ("a claim twice", Key::of_google().sign_text(&header().to_string(), &duplicated)),
        ("no JSON", Key::of_google().sign_text(&header().to_string(), "{")),
        ("too long", with_claim(world, "padding", json!("x".repeat(4_096)))),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("padding", format!("{valid}=")),
        ("a space", format!(" {valid}")),
    ]
}

#[tokio::test]
async fn no_forgery_signs_in_or_reaches_the_store() {
    let world = world().await;
    let own = world.sign_in(&phone(3)).await;
    let mut forgeries = forgeries(&world);
    forgeries.extend([("our access token", own.access), ("our refresh token", own.refresh)]);
    world.system.reset_dynamodb_requests();
    for (what, forgery) in &forgeries {
        let reply = submit(&world, forgery).send().await;
        assert_eq!(reply.problem(), (400, "firebase_token_invalid"), "{what}: {reply:?}");
    }
    assert_eq!(world.system.dynamodb_requests().len(), 0, "a forgery reached the store");
    submit(&world, &token(&world, &phone(1))).send().await.ok();
}

#[tokio::test]
async fn a_token_expires_a_minute_after_its_exp_and_an_hour_after_its_sign_in() {
    let world = world().await;
    let now = world.now();
    let issued = |ago: i64, expires_in: i64| {
        changed(&world, move |_, claims| {
            claims["auth_time"] = json!(now - ago);
            claims["iat"] = json!(now - ago);
            claims["exp"] = json!(now + expires_in);
        })
    };
    // Clocks may differ by a minute. The margin of a few seconds is for the duration of this test.
    submit(&world, &issued(600, -50)).send().await.ok();
    submit(&world, &issued(600, -61)).send().await.assert_problem(400, "firebase_token_expired");
    submit(&world, &issued(3_650, 60)).send().await.ok();
    // A token that Firebase refreshed long after the sign-in by code.
    submit(&world, &issued(3_661, 3_600)).send().await.assert_problem(400, "firebase_token_expired");
    submit(&world, &with_claim(&world, "iat", json!(world.now() + 60))).send().await.ok();
}

fn submit_with_key<'a>(world: &'a World, token: &str, key: &str) -> Call<'a> {
    submit(world, token).header("idempotency-key", key)
}

#[tokio::test]
async fn a_used_token_is_answered_again_only_to_its_idempotency_key_within_a_minute() {
    let world = world().await;
    let token = token(&world, &phone(1));
    let first = person(&phone(1), &submit_with_key(&world, &token, "of-the-owner").send().await);
    let refuse_others = async || {
        submit(&world, &token).send().await.assert_problem(400, "firebase_token_invalid");
        submit_with_key(&world, &token, "of-a-thief").send().await.assert_problem(400, "firebase_token_invalid");
    };
    refuse_others().await;
    world.advance(50);
    refuse_others().await;
    let again = person(&phone(1), &submit_with_key(&world, &token, "of-the-owner").send().await);
    assert_eq!(first.user_id, again.user_id);
    let sessions = world.call("GET", "/v1/sessions").as_person(&again).send().await.ok();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1);
    world.advance(10);
    refuse_others().await;
    submit_with_key(&world, &token, "of-the-owner").send().await.assert_problem(400, "firebase_token_invalid");
    // Whoever presented the token again did not end the owner's session.
    world.refreshed(&again).await;
}

#[tokio::test]
async fn a_used_token_is_not_answered_again_for_another_organization() {
    let world = world().await;
    world.create_organization("bank", &[("membership", "invited"), ("audience", "https://bank.example")]).await;
    let token = token(&world, &phone(1));
    person(&phone(1), &submit_with_key(&world, &token, "a-key").send().await);
    let body = json!({"firebase_id_token": token, "organization_id": "bank"});
    let crossed = world.post("/v1/otp/submit", body).header("idempotency-key", "a-key").send().await;
    crossed.assert_problem(400, "firebase_token_invalid");
    submit_with_key(&world, &token, "a-key").send().await.ok();
}

#[tokio::test]
async fn a_token_that_was_used_without_an_idempotency_key_is_never_answered_again() {
    let world = world().await;
    let token = token(&world, &phone(1));
    submit(&world, &token).send().await.ok();
    submit(&world, &token).send().await.assert_problem(400, "firebase_token_invalid");
    submit_with_key(&world, &token, "a-key").send().await.assert_problem(400, "firebase_token_invalid");
}

#[tokio::test]
async fn a_retry_gets_no_tokens_for_a_session_that_was_ended() {
    let world = world().await;
    let token = token(&world, &phone(1));
    let first = person(&phone(1), &submit_with_key(&world, &token, "a-key").send().await);
    world.call("DELETE", "/v1/session").as_person(&first).send().await;
    submit_with_key(&world, &token, "a-key").send().await.assert_problem(400, "firebase_token_invalid");
    assert_eq!(world.items("SessionsTable").await.len(), 0);
}

/// Submits a token 64 times at once, the `n`th time with the key that `key` makes of `n`; returns the statuses.
async fn sixty_four_submissions(key: fn(usize) -> String) -> Vec<u16> {
    let world = Arc::new(world().await);
    let token = token(&world, &phone(1));
    let replies = at_once(&world, 64, move |world, n| {
        let token = token.clone();
        async move { submit_with_key(&world, &token, &key(n)).send().await }
    });
    let replies = replies.await;
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        refused.assert_problem(400, "firebase_token_invalid");
    }
    assert_eq!(world.items("SessionsTable").await.len(), 1);
    assert_eq!(world.items("UsersTable").await.len(), 2, "a user and the lock of the phone");
    replies.iter().map(|reply| reply.status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_four_concurrent_submissions_of_a_token_one_opens_a_session_and_only_its_retries_are_answered() {
    let retries = sixty_four_submissions(|_| "one-and-the-same".to_owned()).await;
    assert!(retries.iter().all(|status| *status == 200), "{retries:?}");
    let rivals = sixty_four_submissions(|n| n.to_string()).await;
    assert_eq!(rivals.iter().filter(|status| **status == 200).count(), 1, "{rivals:?}");
}

/// A token for a sign-in with Firebase `seconds` ago.
fn token_of_sign_in(world: &World, seconds: i64) -> String {
    let at = json!(world.now() - seconds);
    let token = with_claim(world, "auth_time", at);
    world.keep_secret(&token);
    token
}

#[tokio::test]
async fn an_access_token_is_fresh_only_if_the_sign_in_with_firebase_was_within_its_lifetime() {
    let world = world().await;
    // The margin is for the duration of this test.
    for (seconds_ago, is_fresh) in [(0, true), (890, true), (901, false), (3_500, false)] {
        let reply = submit(&world, &token_of_sign_in(&world, seconds_ago)).send().await;
        let person = person(&phone(1), &reply);
        assert_eq!(claims_of(&person.access)["fresh"], json!(is_fresh), "{seconds_ago} s ago");
        let change = json!({"phone_number": phone(2), "change": true});
        let change = world.post("/v1/phone/otp/send", change).as_person(&person).send().await;
        assert_eq!(change.problem().1 == "fresh_token_required", !is_fresh, "{change:?}");
    }
}

#[tokio::test]
async fn a_retry_is_fresh_only_as_long_as_the_sign_in_with_firebase_is() {
    let world = world().await;
    let token = token_of_sign_in(&world, 870);
    let submit_again = async || submit_with_key(&world, &token, "a-key").send().await.text("access_token");
    assert_eq!(claims_of(&submit_again().await)["fresh"], json!(true));
    world.advance(40);
    assert_eq!(claims_of(&submit_again().await)["fresh"], json!(false));
}

#[tokio::test]
async fn a_firebase_sign_in_is_fresh_for_as_long_as_access_tokens_are_configured_to_live() {
    let google = Google::serving("max-age=19204").await;
    let world = World::with(&[&google.variables()[..], &[("ACCESS_TOKEN_SECONDS", "120")]].concat()).await;
    for (seconds_ago, is_fresh) in [(100, true), (130, false)] {
        let reply = submit(&world, &token_of_sign_in(&world, seconds_ago)).send().await;
        assert_eq!(claims_of(&reply.text("access_token"))["fresh"], json!(is_fresh), "{seconds_ago} s ago");
    }
}

#[tokio::test]
async fn a_number_by_firebase_passes_the_same_checks_as_any_other() {
    let world = world().await;
    let owner = world.sign_in(&phone(1)).await;
    world.system.reset_dynamodb_requests();
    for (number, status, code) in [
        ("+97714412345", 400, "invalid_phone_number"),
        ("+99999999999", 400, "invalid_phone_number"),
        ("+447400123456", 403, "country_not_allowed"),
        ("+919876543210", 403, "country_not_allowed"),
    ] {
        submit(&world, &token(&world, number)).send().await.assert_problem(status, code);
    }
    assert_eq!(world.system.dynamodb_requests().len(), 0, "a refused number reached the store");
    let written_otherwise = token(&world, "+97709841000001");
    let reply = submit(&world, &written_otherwise).send().await.ok();
    assert_eq!((&reply["is_new_user"], &reply["user"]["user_id"]), (&json!(false), &json!(owner.user_id)));
}

#[tokio::test]
async fn an_organization_takes_numbers_by_firebase_of_its_own_countries_only() {
    let world = world().await;
    world.create_organization("abroad", &[("allowed_countries", "GB")]).await;
    let submit = |number: &str| {
        let body = json!({"firebase_id_token": token(&world, number), "organization_id": "abroad"});
        world.post("/v1/otp/submit", body).send()
    };
    submit("+447400123456").await.ok();
    submit(&phone(1)).await.assert_problem(403, "country_not_allowed");
}

#[tokio::test]
async fn a_test_number_by_firebase_opens_no_account_with_roles() {
    let world = world().await;
    world.create_test_number("acme", &phone(1), "135790", "2199-01-01").await;
    let submit_to = |organization: &str| {
        world.advance(1);
        let body = json!({"firebase_id_token": token(&world, &phone(1)), "organization_id": organization});
        world.post("/v1/otp/submit", body).send()
    };
    let admin = person(&phone(1), &submit_to("acme").await);
    let grant = json!({
        "UpdateExpression": "SET role_admin = :organizations",
        "ExpressionAttributeValues": {":organizations": {"SS": ["acme"]}},
    });
    world.update_user(&format!("user#{}", admin.user_id), grant).await;
    let refused = submit_to("acme").await;
    assert_refused(&refused, "test_number_refused", json!({}));
    assert_eq!(world.items("SessionsTable").await.len(), 1);
    let is_of_use = |line: &&Value| line["fields"]["message"] == json!("a test number was used");
    assert_eq!(world.own_log().iter().filter(is_of_use).count(), 1, "each use is logged");
}

#[tokio::test]
async fn a_test_number_by_firebase_may_be_of_a_country_that_is_not_allowed() {
    let world = world().await;
    world.create_test_number("acme", "+447400123456", "135790", "2199-01-01").await;
    let body = json!({"firebase_id_token": token(&world, "+447400123456"), "organization_id": "acme"});
    world.post("/v1/otp/submit", body).send().await.ok();
}

#[tokio::test]
async fn the_keys_are_cached_for_the_max_age_of_their_response() {
    let google = Google::serving("public, max-age=600, must-revalidate").await;
    let world = google.world().await;
    assert_eq!(google.asked(), 1, "before the first request");
    for n in 1..4 {
        submit(&world, &token(&world, &phone(n))).send().await.ok();
    }
    world.advance(595);
    submit(&world, &token(&world, &phone(4))).send().await.ok();
    assert_eq!(google.asked(), 1);
    world.advance(5);
    submit(&world, &token(&world, &phone(5))).send().await.ok();
    assert_eq!(google.asked(), 2);
}

#[tokio::test]
async fn unknown_key_ids_cause_at_most_one_fetch_a_minute() {
    let google = Google::serving("max-age=19204").await;
    let world = google.world().await;
    for n in 0..20 {
        let forgery = with_header(&world, "kid", json!(format!("key{n}")));
        submit(&world, &forgery).send().await.assert_problem(400, "firebase_token_invalid");
    }
    assert_eq!(google.asked(), 1);
    // A new key is found a minute later.
    google.is_rotated.store(true, Ordering::SeqCst);
    world.advance(60);
    submit(&world, &with_header(&world, "kid", json!("second"))).send().await.ok();
    assert_eq!(google.asked(), 2);
    submit(&world, &token(&world, &phone(2))).send().await.assert_problem(400, "firebase_token_invalid");
}

#[tokio::test]
async fn while_google_is_down_cached_keys_work_for_an_hour_and_then_sign_ins_get_503() {
    let google = Google::serving("max-age=600").await;
    let world = google.world().await;
    google.is_down.store(true, Ordering::SeqCst);
    world.advance(600);
    submit(&world, &token(&world, &phone(1))).send().await.ok();
    world.advance(3_600);
    submit(&world, &token(&world, &phone(2))).send().await.assert_problem(503, "service_unavailable");
    let asked = google.asked();
    submit(&world, &token(&world, &phone(2))).send().await.assert_problem(503, "service_unavailable");
    assert_eq!(google.asked(), asked, "the keys are not fetched again at once");
    google.is_down.store(false, Ordering::SeqCst);
    world.advance(5);
    submit(&world, &token(&world, &phone(2))).send().await.ok();
}
