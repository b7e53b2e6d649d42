//! Sessions that are bound to the key of a device: which proofs are refused, and what a thief of tokens gets.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::device::{Device, digest};
use tests::{Call, Person, Reply, World, person, with};

use crate::tokens::{claims, session_id, symmetric};
use crate::{OTHER, PHONE, delete};

const REFRESH: &str = "/v1/session/refresh";

async fn sign_in_with(world: &World, phone: &str, device: &Device) -> Person {
    let sent = world.send_code(phone).await;
    person(phone, &world.submit(phone, &sent.code).proven_by(device).send().await)
}

async fn bound() -> (World, Device, Person) {
    bound_in(&[]).await
}

async fn bound_in(variables: &[(&str, &str)]) -> (World, Device, Person) {
    let (world, device) = (World::with(variables).await, Device::new());
    let person = sign_in_with(&world, PHONE, &device).await;
    (world, device, person)
}

fn refresh<'a>(world: &'a World, token: &str) -> Call<'a> {
    world.post(REFRESH, json!({"refresh_token": token}))
}

async fn refreshed(world: &World, device: &Device, token: &str) -> String {
    refresh(world, token).proven_by(device).send().await.text("refresh_token")
}

fn thumbprint(device: &Device) -> String {
    let jwk = device.jwk();
    let text = |name: &str| jwk[name].as_str().unwrap().to_owned();
    digest(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, text("x"), text("y")))
}

/// Every way in which a proof can be wrong: what it is, and the header.
fn wrong_proofs(device: &Device, call: &Call<'_>) -> Vec<(&'static str, String)> {
    let (header, good) = (device.header(), device.claims(call));
    let (other, jwk) = (Device::new(), device.jwk());
    let with_header = |changes: Value| device.sign(&with(&header, changes), &good);
    let with_claims = |changes: Value| device.sign(&header, &with(&good, changes));
    let with_jwk = |changes: Value| with_header(json!({"jwk": with(&jwk, changes)}));
    let proof = device.sign(&header, &good);
    let parts: Vec<&str> = proof.split('.').collect();
    let unsigned = |alg: &str| {
        let encoded = URL_SAFE_NO_PAD.encode(with(&header, json!({"alg": alg})).to_string());
        format!("{encoded}.{}.", parts[1])
    };
    let doubled = |text: &Value, member: &str, value: &Value| {
        format!("{},\"{member}\":{value}}}", text.to_string().trim_end_matches('}'))
    };
    let double_claim = |name: &str| device.sign_text(&header.to_string(), &doubled(&good, name, &good[name]));
    let double_header = |name: &str| {
        let text = header.to_string();
        device.sign_text(&format!("{{\"{name}\":{},{}", header[name], &text[1..]), &good.to_string())
    };
    let double_coordinate = {
        let text = header.to_string().replace("\"crv\"", &format!("\"x\":{},\"crv\"", jwk["x"]));
        device.sign_text(&text, &good.to_string())
    };
    let altered = URL_SAFE_NO_PAD.encode(with(&good, json!({"jti": "another"})).to_string());
    let now = call.now();
    let url = call.url();
    let origin = url.split_at(url.find("/v1/").unwrap()).0;
    let point = format!("{}{}", jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
    let hs256 = symmetric(&with(&header, json!({"alg": "HS256"})), &good, point.as_bytes());
    vec![
        ("garbage", "not-a-proof".to_owned()),
        ("empty", String::new()),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("no third part", format!("{}.{}", parts[0], parts[1])),
        ("altered claims", format!("{}.{altered}.{}", parts[0], parts[2])),
        ("a signature of zeros", format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86))),
        ("two proofs", format!("{proof},{proof}")),
        ("too long", with_claims(json!({"padding": "x".repeat(2_048)}))),
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg RS256", with_header(json!({"alg": "RS256"}))),
        ("alg ES384", with_header(json!({"alg": "ES384"}))),
        ("alg HS256 with the key as secret", hs256),
        ("no alg", with_header(json!({"alg": null}))),
        ("no typ", with_header(json!({"typ": null}))),
        ("typ JWT", with_header(json!({"typ": "JWT"}))),
        ("typ at+jwt", with_header(json!({"typ": "at+jwt"}))),
        ("an unknown critical header", with_header(json!({"crit": ["b64"], "b64": true}))),
        ("no jwk", with_header(json!({"jwk": null}))),
        ("a private jwk", with_jwk(json!({"d": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}))),
        ("another curve", with_jwk(json!({"crv": "P-384"}))),
        ("an RSA key", with_header(json!({"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}))),
        ("a symmetric key", with_header(json!({"jwk": {"kty": "oct", "k": "AQAB"}}))),
        ("no y", with_jwk(json!({"y": null}))),
        ("a short x", with_jwk(json!({"x": "AQAB"}))),
        ("a point that is not on the curve", with_jwk(json!({"x": jwk["y"], "y": jwk["x"]}))),
        ("the key of another device in jwk", with_header(json!({"jwk": other.jwk()}))),
        ("a proof by another device", other.sign(&other.header(), &good)),
        ("jwk twice", double_header("jwk")),
        ("alg twice", double_header("alg")),
        ("x twice", double_coordinate),
        ("no jti", with_claims(json!({"jti": null}))),
        ("an empty jti", with_claims(json!({"jti": ""}))),
        ("a numeric jti", with_claims(json!({"jti": 7}))),
        ("jti twice", double_claim("jti")),
        ("no htm", with_claims(json!({"htm": null}))),
        ("another method", with_claims(json!({"htm": "GET"}))),
        ("the method in lower case", with_claims(json!({"htm": "post"}))),
        ("htm twice", double_claim("htm")),
        ("no htu", with_claims(json!({"htu": null}))),
        ("another route", with_claims(json!({"htu": format!("{origin}/v1/phone/otp/validate")}))),
        ("another host", with_claims(json!({"htu": url.replace(origin, "https://evil.example")}))),
        ("another scheme", with_claims(json!({"htu": url.replace("http://", "https://")}))),
        ("a path alone", with_claims(json!({"htu": url.replace(origin, "")}))),
        ("a longer path", with_claims(json!({"htu": format!("{url}/")}))),
        ("a user in htu", with_claims(json!({"htu": url.replace("http://", "http://sita@")}))),
        ("htu twice", double_claim("htu")),
        ("no iat", with_claims(json!({"iat": null}))),
        ("a stale proof", with_claims(json!({"iat": now - 310}))),
        ("a proof of the future", with_claims(json!({"iat": now + 310}))),
        ("iat as text", with_claims(json!({"iat": now.to_string()}))),
        ("iat twice", double_claim("iat")),
    ]
}

fn assert_invalid_proof(what: &str, reply: &Reply) {
    assert_eq!(reply.problem(), (401, "invalid_dpop_proof"), "{what}: {reply:?}");
    let challenge = &reply.headers["www-authenticate"];
    assert!(
        challenge.starts_with("DPoP ") && challenge.contains(r#"error="invalid_dpop_proof""#),
        "{what}: {challenge}"
    );
    assert!(challenge.contains(r#"algs="ES256""#), "{what}: {challenge}");
}

#[tokio::test]
async fn no_wrong_proof_refreshes_a_bound_session_and_none_costs_a_request_to_the_store() {
    let (world, device, person) = bound().await;
    let proofs = wrong_proofs(&device, &refresh(&world, &person.refresh));
    assert!(proofs.len() >= 50);
    world.system.reset_dynamodb_requests();
    assert_invalid_proof("none", &refresh(&world, &person.refresh).send().await);
    for (what, proof) in proofs {
        assert_invalid_proof(what, &refresh(&world, &person.refresh).header("dpop", &proof).send().await);
    }
    assert_eq!(world.system.dynamodb_requests().len(), 0, "{:?}", world.system.dynamodb_requests());
    // The session and its token are as they were.
    let next = refreshed(&world, &device, &person.refresh).await;
    assert_eq!(claims(&next)["counter"], 2);
}

#[tokio::test]
async fn no_wrong_proof_signs_in_and_none_uses_an_attempt() {
    let (world, device) = (World::new().await, Device::new());
    let sent = world.send_code(PHONE).await;
    let mut proofs = wrong_proofs(&device, &world.submit(PHONE, &sent.code));
    // Any device may sign in.
    proofs.retain(|(what, _)| *what != "a proof by another device");
    for (what, proof) in proofs {
        assert_invalid_proof(what, &world.submit(PHONE, &sent.code).header("dpop", &proof).send().await);
    }
    for _ in 0..5 {
        let wrong = tests::wrong(&sent.code);
        let reply = world.submit_with_id(PHONE, &sent.challenge_id, &wrong).proven_by(&device).send().await;
        reply.assert_problem(400, "incorrect_otp");
    }
    let reply = world.submit_with_id(PHONE, &sent.challenge_id, &sent.code).proven_by(&device).send().await;
    reply.assert_problem(429, "too_many_attempts");
}

#[tokio::test]
async fn a_sign_in_with_a_proof_binds_the_refresh_token_and_leaves_the_access_token_to_every_verifier() {
    let (world, device, person) = bound().await;
    assert_eq!(claims(&person.refresh)["cnf"], json!({"jkt": thumbprint(&device)}));
    assert_eq!(claims(&person.access).get("cnf"), None);
    world.me(&person).await;
    let reply = refresh(&world, &person.refresh).proven_by(&device).send().await;
    assert_eq!(reply.text("token_type"), "Bearer");
    assert_eq!(claims(&reply.text("refresh_token"))["cnf"], json!({"jkt": thumbprint(&device)}));
}

#[tokio::test]
async fn the_url_of_a_proof_may_have_a_query_and_upper_case_in_scheme_and_host() {
    let (world, device, person) = bound().await;
    let mut token = person.refresh;
    for change in [
        |url: &str| format!("{url}?a=b"),
        |url: &str| format!("{url}#c"),
        |url: &str| url.replace("http://", "HTTP://"),
    ] {
        let call = refresh(&world, &token);
        let claims = with(&device.claims(&call), json!({"htu": change(&call.url())}));
        let proof = device.sign(&device.header(), &claims);
        token = call.header("dpop", &proof).send().await.text("refresh_token");
    }
}

#[tokio::test]
async fn a_proof_is_accepted_for_five_minutes_and_with_a_clock_that_is_five_minutes_ahead() {
    let (world, device, person) = bound().await;
    let mut token = person.refresh;
    for seconds in [-290, 290] {
        let call = refresh(&world, &token);
        let claims = with(&device.claims(&call), json!({"iat": call.now() + seconds}));
        let proof = device.sign(&device.header(), &claims);
        token = call.header("dpop", &proof).send().await.text("refresh_token");
    }
}

#[tokio::test]
async fn a_client_with_a_wrong_clock_learns_the_time_from_the_refusal() {
    let (world, device, person) = bound().await;
    world.advance(86_400);
    let call = refresh(&world, &person.refresh);
    let claims = with(&device.claims(&call), json!({"iat": call.now() - 86_400}));
    let proof = device.sign(&device.header(), &claims);
    let refused = call.header("dpop", &proof).send().await;
    assert_invalid_proof("a clock that is a day slow", &refused);
    assert!(
        refused.body["errors"][0]["detail"].as_str().unwrap().contains("the Date header of this answer has the time"),
        "{refused:?}"
    );
    let date = httpdate::parse_http_date(&refused.headers["date"]).unwrap();
    let seconds = date.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = with(&claims, json!({"iat": seconds}));
    let proof = device.sign(&device.header(), &claims);
    refresh(&world, &person.refresh).header("dpop", &proof).send().await.ok();
}

#[tokio::test]
async fn an_unbound_session_refreshes_with_and_without_a_proof_as_ever() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    assert_eq!(claims(&person.refresh).get("cnf"), None);
    let reply = refresh(&world, &person.refresh).proven_by(&Device::new()).send().await;
    let next = reply.text("refresh_token");
    assert_eq!(claims(&next).get("cnf"), None);
    world.refresh(&next).await.ok();
}

// Stolen tokens.

#[tokio::test]
async fn a_stolen_refresh_token_is_worth_nothing_and_its_owner_is_not_signed_out() {
    let (world, device, person) = bound().await;
    let (thief, old) = (Device::new(), person.refresh.clone());
    let current = refreshed(&world, &device, &old).await;
    for stolen in [&old, &current] {
        assert_invalid_proof("no proof", &world.refresh(stolen).await);
        assert_invalid_proof("the thief's", &refresh(&world, stolen).proven_by(&thief).send().await);
    }
    refreshed(&world, &device, &current).await;
}

#[tokio::test]
async fn a_retry_of_a_sign_in_is_answered_only_to_the_key_that_it_bound() {
    let (world, device, thief) = (World::new().await, Device::new(), Device::new());
    let sent = world.send_code(PHONE).await;
    let submit = || world.submit(PHONE, &sent.code).header("idempotency-key", "one");
    submit().proven_by(&device).send().await.ok();
    submit().send().await.assert_problem(400, "incorrect_otp");
    submit().proven_by(&thief).send().await.assert_problem(400, "incorrect_otp");
    submit().proven_by(&device).send().await.ok();
}

// No random sign-outs.

#[tokio::test]
async fn a_bound_device_that_lost_an_answer_gets_the_current_token_however_late_it_asks_again() {
    for seconds in [40, 86_400, 29 * 86_400] {
        let (world, device, person) = bound().await;
        let lost = refreshed(&world, &device, &person.refresh).await;
        world.advance(seconds);
        let again = refreshed(&world, &device, &person.refresh).await;
        assert_eq!(claims(&again)["counter"], claims(&lost)["counter"]);
        let next = refreshed(&world, &device, &again).await;
        assert_eq!(claims(&next)["counter"], 3);
    }
}

#[tokio::test]
async fn an_unbound_device_that_lost_an_answer_is_signed_out_after_the_grace_period() {
    for (grace, seconds, is_answered) in [("30", 29, true), ("30", 30, false), ("90", 89, true), ("90", 90, false)] {
        let world = World::with(&[("REFRESH_GRACE_SECONDS", grace)]).await;
        let person = world.sign_in(PHONE).await;
        world.refreshed(&person).await;
        world.advance(seconds);
        let reply = world.refresh(&person.refresh).await;
        if is_answered {
            reply.ok();
        } else {
            reply.assert_problem(401, "refresh_reused");
        }
    }
}

#[tokio::test]
async fn once_the_current_token_of_a_bound_session_was_presented_the_earlier_one_serves_for_30_seconds_only() {
    for (seconds, is_answered) in [(29, true), (30, false)] {
        let (world, device, person) = bound().await;
        let second = refreshed(&world, &device, &person.refresh).await;
        let third = refreshed(&world, &device, &second).await;
        world.advance(seconds);
        let reply = refresh(&world, &person.refresh).proven_by(&device).send().await;
        if is_answered {
            assert_eq!(claims(&reply.text("refresh_token"))["counter"], claims(&third)["counter"]);
        } else {
            reply.assert_problem(401, "refresh_reused");
            refresh(&world, &third).proven_by(&device).send().await.assert_problem(401, "session_revoked");
        }
    }
}

#[tokio::test]
async fn a_much_earlier_token_of_a_bound_session_ends_it() {
    let (world, device, person) = bound().await;
    let mut token = person.refresh.clone();
    for _ in 0..3 {
        token = refreshed(&world, &device, &token).await;
    }
    refresh(&world, &person.refresh).proven_by(&device).send().await.assert_problem(401, "refresh_reused");
    refresh(&world, &token).proven_by(&device).send().await.assert_problem(401, "session_revoked");
}

// Bound access tokens.

const ALL: &[(&str, &str)] = &[("ACCESS_TOKEN_BINDING", "all")];

/// `GET /v1/me` with the scheme and, if there is one, the proof.
async fn me(world: &World, scheme: &str, token: &str, proof: impl Fn(&Call<'_>) -> Option<String>) -> Reply {
    let call = world.call("GET", "/v1/me").header("authorization", &format!("{scheme} {token}"));
    let proof = proof(&call);
    match proof {
        Some(proof) => call.header("dpop", &proof).send().await,
        None => call.send().await,
    }
}

#[tokio::test]
async fn a_bound_access_token_is_accepted_with_a_proof_for_it_and_in_no_other_way() {
    let (world, device, person) = bound_in(ALL).await;
    let other = sign_in_with(&world, OTHER, &Device::new()).await;
    assert_eq!(claims(&person.access)["cnf"], json!({"jkt": thumbprint(&device)}));
    let token = &person.access;
    let valid = |call: &Call<'_>| Some(device.proof_with_token(call, token));
    world.system.reset_dynamodb_requests();
    assert_invalid_proof("Bearer", &me(&world, "Bearer", token, valid).await);
    assert_invalid_proof("Bearer without proof", &me(&world, "Bearer", token, |_| None).await);
    assert_invalid_proof("no proof", &me(&world, "DPoP", token, |_| None).await);
    let without_ath = |call: &Call<'_>| Some(device.sign(&device.header(), &device.claims(call)));
    assert_invalid_proof("no ath", &me(&world, "DPoP", token, without_ath).await);
    let for_another = |call: &Call<'_>| Some(device.proof_with_token(call, &other.access));
    assert_invalid_proof("ath of another token", &me(&world, "DPoP", token, for_another).await);
    let by_a_thief = |call: &Call<'_>| Some(Device::new().proof_with_token(call, token));
    assert_invalid_proof("another key", &me(&world, "DPoP", token, by_a_thief).await);
    let elsewhere = |_: &Call<'_>| Some(device.proof_with_token(&world.call("GET", "/v1/sessions"), token));
    assert_invalid_proof("another route", &me(&world, "DPoP", token, elsewhere).await);
    let method = |_: &Call<'_>| Some(device.proof_with_token(&world.call("DELETE", "/v1/me"), token));
    assert_invalid_proof("another method", &me(&world, "DPoP", token, method).await);
    assert_eq!(world.system.dynamodb_requests().len(), 0);
    assert_eq!(me(&world, "DPoP", token, valid).await.ok()["user_id"], json!(person.user_id));
    me(&world, "dpop", token, valid).await.ok();
}

#[tokio::test]
async fn what_is_wrong_with_the_proof_of_a_guarded_route_is_told() {
    let (world, device, person) = bound_in(ALL).await;
    let elsewhere = |_: &Call<'_>| Some(device.proof_with_token(&world.call("GET", "/v1/sessions"), &person.access));
    let detail = me(&world, "DPoP", &person.access, elsewhere).await.body["errors"].to_string();
    assert!(detail.contains("htu is not the URL of this request"), "{detail}");
}

#[tokio::test]
async fn an_unbound_access_token_is_a_bearer_token_only() {
    let world = World::with(ALL).await;
    let person = world.sign_in(PHONE).await;
    assert_eq!(claims(&person.access).get("cnf"), None);
    world.me(&person).await;
    let device = Device::new();
    let proof = |call: &Call<'_>| Some(device.proof_with_token(call, &person.access));
    let reply = me(&world, "DPoP", &person.access, proof).await;
    assert_invalid_proof("an unbound token", &reply);
    assert!(reply.body["errors"].to_string().contains("must be Bearer <token>"), "{reply:?}");
}

#[tokio::test]
async fn token_type_says_how_the_access_token_is_presented() {
    let (world, device) = (World::with(ALL).await, Device::new());
    let sent = world.send_code(PHONE).await;
    let reply = world.submit(PHONE, &sent.code).proven_by(&device).send().await;
    assert_eq!(reply.text("token_type"), "DPoP");
    let reply = refresh(&world, &reply.text("refresh_token")).proven_by(&device).send().await;
    assert_eq!(reply.text("token_type"), "DPoP");
    let sent = world.send_code(OTHER).await;
    assert_eq!(world.submit(OTHER, &sent.code).send().await.text("token_type"), "Bearer");
}

// Devices.

#[tokio::test]
async fn the_list_of_sessions_says_which_have_a_device_key() {
    let (world, device, person) = bound().await;
    world.advance(60);
    world.sign_in(PHONE).await;
    let call = world.call("GET", "/v1/sessions").as_person(&person).proven_by(&device);
    let sessions = call.send().await.ok()["sessions"].clone();
    let found: Vec<_> = sessions.as_array().unwrap().iter().map(|session| session["has_device_key"].clone()).collect();
    assert_eq!(found, [json!(false), json!(true)]);
}

/// The device keys that are stored for a person, with the user and with the lock of the phone.
async fn stored_keys(world: &World) -> Vec<Vec<String>> {
    let items = world.items("UsersTable").await;
    let keys = |item: &Value| {
        let names = item.as_object().unwrap().keys().filter_map(|name| name.strip_prefix("device_key_"));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    items.iter().map(keys).collect()
}

#[tokio::test]
async fn a_device_that_another_one_signs_out_is_no_longer_known_and_one_that_signs_itself_out_is() {
    let (world, lost, stolen) = bound().await;
    world.advance(60);
    let (kept, mine) = (Device::new(), Device::new());
    let person = sign_in_with(&world, PHONE, &mine).await;
    world.advance(60);
    let third = sign_in_with(&world, PHONE, &kept).await;
    delete(&world, &third, "/v1/session").await;
    delete(&world, &person, &format!("/v1/sessions/{}", session_id(&stolen.refresh))).await;
    let mut expected = vec![thumbprint(&mine), thumbprint(&kept)];
    expected.sort();
    for mut keys in stored_keys(&world).await {
        keys.sort();
        assert_eq!(keys, expected, "{}", thumbprint(&lost));
    }
    // Everywhere: only the device that asks stays known.
    delete(&world, &person, "/v1/sessions").await;
    assert_eq!(stored_keys(&world).await, [[thumbprint(&mine)], [thumbprint(&mine)]]);
}

#[tokio::test]
async fn a_device_that_ends_its_own_earlier_session_stays_known() {
    let (world, device, earlier) = bound().await;
    world.advance(60);
    let now = sign_in_with(&world, PHONE, &device).await;
    delete(&world, &now, &format!("/v1/sessions/{}", session_id(&earlier.refresh))).await;
    assert_eq!(stored_keys(&world).await, [[thumbprint(&device)], [thumbprint(&device)]]);
}

#[tokio::test]
async fn the_last_twenty_keys_of_a_person_are_kept() {
    let unlimited = [("PHONE_SENDS_PER_HOUR", "1000"), ("PHONE_SENDS_PER_DAY", "1000"), ("SEND_WAITS_SECONDS", "0")];
    let world = World::with(&unlimited).await;
    let devices: Vec<_> = std::iter::repeat_with(Device::new).take(22).collect();
    for device in &devices {
        sign_in_with(&world, PHONE, device).await;
        world.advance(60);
    }
    let mut expected: Vec<_> = devices[2..].iter().map(thumbprint).collect();
    expected.sort();
    for mut keys in stored_keys(&world).await {
        keys.sort();
        assert_eq!(keys, expected);
    }
}

#[tokio::test]
async fn a_change_of_number_keeps_the_devices_known() {
    let (world, device, person) = bound().await;
    world.call("PATCH", "/v1/me").as_person(&person).json(json!({"username": "sita"})).send().await.ok();
    let body = json!({"phone_number": OTHER, "change": true});
    world.post("/v1/phone/otp/send", body).as_person(&person).send().await.ok();
    let code = world.code(OTHER).await;
    let body = json!({"phone_number": OTHER, "otp": code, "username": "sita"});
    world.post("/v1/phone/otp/validate", body).as_person(&person).send().await.ok();
    // With the user, the number, and the former number while the change can be taken back.
    let known = stored_keys(&world).await.into_iter().filter(|keys| !keys.is_empty()).collect::<Vec<_>>();
    assert_eq!(known, [[thumbprint(&device)], [thumbprint(&device)], [thumbprint(&device)]]);
}
