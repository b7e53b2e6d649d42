//! `POST /v1/otp/send`: how a code is sent, and the limits on sends.

use serde_json::{Value, json};
use tests::{Reply, World, assert_refused, assert_refused_for_now, person, wrong};

use crate::clock::{AfterWait, start_next_day, wait_out};
use crate::setup::{
    everything, fail_transactions, mentions, phone, send, send_to_organization, submit_newest_code, world_with_code,
};

/// The id of the challenge, and the body without it.
#[track_caller]
fn without_challenge(reply: Reply) -> (String, Value) {
    let challenge_id = reply.text("challenge_id");
    let mut body = reply.ok();
    body.as_object_mut().unwrap().remove("challenge_id");
    (challenge_id, body)
}

fn sent(expires_in: u64, resend_in: u64, attempts_left: u64) -> Value {
    json!({
        "message": "sent otp", "expires_in": expires_in, "resend_in": resend_in, "attempts_left": attempts_left,
    })
}

async fn send_to_first(world: &World) -> Reply {
    send(world, &phone(1)).send().await
}

async fn assert_nothing_sent(world: &World, phone: &str) {
    assert_eq!(world.inbox(phone).await, [] as [Value; 0]);
}

/// Uses up the five attempts that a challenge id has, with wrong codes.
async fn exhaust(world: &World, challenge_id: &str, code: &str) {
    for attempts_left in (0..5).rev() {
        let attempt = world.submit_with_id(&phone(1), challenge_id, &wrong(code)).send().await;
        assert_refused(&attempt, "incorrect_otp", json!({"attempts_left": attempts_left}));
    }
}

#[tokio::test]
async fn a_send_answers_with_a_challenge_and_the_phone_gets_its_code() {
    let world = World::new().await;
    let reply = send_to_first(&world).await;
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert!(reply.headers.contains_key("x-request-id"));
    assert_eq!(without_challenge(reply).1, sent(600, 30, 5));
    let code = world.code(&phone(1)).await;
    let inbox = world.inbox(&phone(1)).await;
    let [message] = &inbox[..] else { panic!("not one message: {inbox:?}") };
    assert_eq!(
        message,
        &json!({
            "id": message["id"], "at": world.now(), "to": phone(1), "from": "LATCHKEY", "gateway": "sparrow",
            "text": format!("{code} is your Latchkey code."),
        })
    );
}

#[tokio::test]
async fn the_message_has_the_name_the_site_and_the_hash_of_the_organization() {
    let world = World::new().await;
    let settings = [("app_name", "Himal"), ("site", "himal.example"), ("android_app_hash", "FA+9qCX9VSu")];
    world.create_organization("himal", &settings).await;
    send_to_organization(&world, &phone(1), "himal").send().await.ok();
    let code = world.code(&phone(1)).await;
    let text = world.inbox(&phone(1)).await[0]["text"].clone();
    assert_eq!(text, json!(format!("<#> {code} is your Himal code.\nhimal.example\nFA+9qCX9VSu")));
}

#[tokio::test]
async fn the_answer_is_the_same_whether_or_not_the_number_has_a_user() {
    let world = World::new().await;
    world.sign_in(&phone(1)).await;
    // The waits reveal that a code was sent, which anyone can cause. A day later they are over.
    world.advance(86_400);
    let known = send_to_first(&world).await;
    let unknown = send(&world, &phone(2)).send().await;
    assert!(known.headers.keys().eq(unknown.headers.keys()), "{known:?} {unknown:?}");
    assert_eq!(without_challenge(known).1, without_challenge(unknown).1);
}

#[tokio::test]
async fn the_store_never_holds_a_code() {
    let (world, sent) = world_with_code(&phone(1)).await;
    let pending = everything(&world).await;
    // Only the message on the phone holds it.
    assert_eq!((mentions(&pending["inbox"], &sent.code), mentions(&pending, &sent.code)), (1, 1));
    person(&phone(1), &world.submit(&phone(1), &sent.code).header("idempotency-key", "k").send().await);
    assert_eq!(mentions(&everything(&world).await, &sent.code), 1);
}

#[tokio::test]
async fn a_resend_repeats_the_code_and_does_not_reset_the_attempts() {
    let (world, first) = world_with_code(&phone(1)).await;
    let attempt = async || world.submit_with_id(&phone(1), &first.challenge_id, &wrong(&first.code)).send().await;
    for attempts_left in [4, 3] {
        assert_refused(&attempt().await, "incorrect_otp", json!({"attempts_left": attempts_left}));
    }
    let again = wait_out(&world, "too_many_requests", async || send_to_first(&world).await).await;
    let (challenge_id, body) = without_challenge(again.reply);
    assert_eq!(body, sent(570, 60, 3));
    assert_eq!(world.inbox(&phone(1)).await.len(), 2);
    assert_eq!(world.code(&phone(1)).await, first.code);
    for issued_id in [&challenge_id, &first.challenge_id] {
        let attempt = world.submit_with_id(&phone(1), issued_id, &wrong(&first.code)).send().await;
        assert_refused(&attempt, "incorrect_otp", json!({"attempts_left": 2}));
    }
}

#[tokio::test]
async fn a_resend_by_a_stranger_cannot_exhaust_the_attempts_of_an_earlier_request() {
    let (world, owners) = world_with_code(&phone(1)).await;
    world.advance(30);
    let strangers = send(&world, &phone(1)).from(9).send().await.text("challenge_id");
    assert_ne!(strangers, owners.challenge_id);
    exhaust(&world, &strangers, &owners.code).await;
    let attempt = world.submit_with_id(&phone(1), &strangers, &owners.code).send().await;
    assert_refused(&attempt, "too_many_attempts", json!({"attempts_left": 0}));
    person(&phone(1), &world.submit_with_id(&phone(1), &owners.challenge_id, &owners.code).send().await);
}

#[tokio::test]
async fn a_code_that_was_used_or_has_expired_is_followed_by_a_new_one() {
    let (world, used) = world_with_code(&phone(1)).await;
    let attempt = world.submit_with_id(&phone(1), &used.challenge_id, &wrong(&used.code)).send().await;
    attempt.assert_problem(400, "incorrect_otp");
    person(&phone(1), &world.submit(&phone(1), &used.code).send().await);
    world.advance(30);
    let (second, body) = without_challenge(send_to_first(&world).await);
    assert_eq!(body, sent(600, 60, 5));
    world.advance(600);
    let (third, body) = without_challenge(send_to_first(&world).await);
    assert_eq!(body, sent(600, 120, 5));
    assert!(used.challenge_id != second && second != third && third != used.challenge_id);
}

#[tokio::test]
async fn an_exhausted_code_is_not_repeated() {
    let (world, exhausted) = world_with_code(&phone(1)).await;
    exhaust(&world, &exhausted.challenge_id, &exhausted.code).await;
    world.advance(30);
    assert_eq!(without_challenge(send_to_first(&world).await).1, sent(600, 60, 5));
    submit_newest_code(&world, &phone(1)).await;
}

#[tokio::test]
async fn waits_between_sends_grow_an_hour_has_five_and_a_day_has_ten() {
    let world = World::new().await;
    let resend = async || send_to_first(&world).await;
    resend().await.ok();
    let mut sends = vec![world.now()];
    // For each further send: which earlier one it waits for, and how many seconds after that it is possible.
    let waits = [(0, 30), (1, 60), (2, 120), (3, 300), (0, 3_600), (5, 300), (6, 120), (7, 300), (8, 300), (0, 86_400)];
    for (n, (earlier, wait)) in waits.into_iter().enumerate() {
        assert_refused_for_now(&resend().await, "too_many_requests", json!({}));
        let AfterWait { reply, opens_at } = wait_out(&world, "too_many_requests", resend).await;
        reply.ok();
        assert_eq!(opens_at - wait, sends[earlier], "send {n}");
        sends.push(opens_at);
    }
    assert_eq!(world.inbox(&phone(1)).await.len(), 11);
}

#[tokio::test]
async fn resend_in_is_the_exact_wait_until_the_next_send() {
    let world = World::new().await;
    let resend = async || send_to_first(&world).await;
    let (mut latest, mut at) = (resend().await, world.now());
    for _ in 0..6 {
        let resend_in = i64::try_from(latest.number("resend_in")).unwrap();
        let AfterWait { reply, opens_at } = wait_out(&world, "too_many_requests", resend).await;
        assert_eq!(opens_at - resend_in, at);
        (latest, at) = (reply, opens_at);
    }
}

#[tokio::test]
async fn one_source_address_sends_thirty_an_hour_and_a_hundred_a_day() {
    let world = World::new().await;
    start_next_day(&world);
    let day = world.now() / 86_400 * 86_400;
    let mut phones = (0..).map(phone);
    // The send that waited for the next hour is the first one of it.
    for (hours, further) in [(1, 30), (2, 29), (3, 29), (24, 9)] {
        for to in phones.by_ref().take(further) {
            send(&world, &to).from(2).send().await.ok();
        }
        let to = phones.next().unwrap();
        let refused = send(&world, &to).from(2).header("x-forwarded-for", "203.0.113.9").send().await;
        assert_refused_for_now(&refused, "too_many_requests", json!({}));
        assert_nothing_sent(&world, &to).await;
        // The refused send does not count for the phone, and other sources may send to it.
        send(&world, &to).from(3).send().await.ok();
        let next = phones.next().unwrap();
        let one_more = async || send(&world, &next).from(2).send().await;
        let AfterWait { reply, opens_at } = wait_out(&world, "too_many_requests", one_more).await;
        reply.ok();
        assert_eq!(opens_at, day + hours * 3_600);
    }
}

#[tokio::test]
async fn an_organization_has_a_daily_limit_for_each_country() {
    for cap in [1, 3, 20] {
        let world = World::with(&[("COUNTRY_SENDS_PER_DAY", &cap.to_string())]).await;
        world.create_organization("himal", &[("allowed_countries", "NP, IN")]).await;
        start_next_day(&world);
        let midnight = (world.now() / 86_400 + 1) * 86_400;
        for n in 0..cap {
            send(&world, &phone(n)).send().await.ok();
        }
        let one_more = async || send(&world, &phone(cap)).send().await;
        assert_refused_for_now(&one_more().await, "too_many_requests", json!({}));
        assert_nothing_sent(&world, &phone(cap)).await;
        send_to_organization(&world, &phone(cap), "himal").send().await.ok();
        send_to_organization(&world, "+919812345678", "himal").send().await.ok();
        world.advance(60);
        let AfterWait { reply, opens_at } = wait_out(&world, "too_many_requests", one_more).await;
        reply.ok();
        assert_eq!(opens_at, midnight);
    }
}

#[tokio::test]
async fn a_send_that_every_gateway_refuses_does_not_count() {
    let one_each = [
        "PHONE_SENDS_PER_HOUR",
        "PHONE_SENDS_PER_DAY",
        "SOURCE_SENDS_PER_HOUR",
        "SOURCE_SENDS_PER_DAY",
        "COUNTRY_SENDS_PER_DAY",
    ];
    let world = World::with(&one_each.map(|limit| (limit, "1"))).await;
    start_next_day(&world);
    for mode in ["refuse", "error"] {
        world.fault("sparrow", mode, 100).await;
        world.fault("sns", mode, 100).await;
        let refused = send_to_first(&world).await;
        assert_refused(&refused, "sms_gateway_unavailable", json!({"retry_after": 5}));
        world.clear_faults().await;
    }
    assert_nothing_sent(&world, &phone(1)).await;
    let (_, body) = without_challenge(send_to_first(&world).await);
    assert_eq!(body["attempts_left"], json!(5));
    submit_newest_code(&world, &phone(1)).await;
    // Each limit allows one send.
    assert_refused_for_now(&send(&world, &phone(2)).send().await, "too_many_requests", json!({}));
}

#[tokio::test]
async fn a_retry_does_not_return_a_reservation_twice() {
    let world = World::with(&[("SOURCE_SENDS_PER_HOUR", "2")]).await;
    start_next_day(&world);
    world.send_code(&phone(1)).await;
    for (target, mode) in [("sparrow", "refuse"), ("sns", "refuse"), ("dynamodb", "duplicate")] {
        world.fault(target, mode, 100).await;
    }
    let refused = send(&world, &phone(2)).send().await;
    assert_refused(&refused, "sms_gateway_unavailable", json!({"retry_after": 5}));
    world.clear_faults().await;
    world.send_code(&phone(3)).await;
    assert_refused_for_now(&send(&world, &phone(4)).send().await, "too_many_requests", json!({}));
}

#[tokio::test]
async fn while_sparrow_is_down_the_same_code_comes_through_sns() {
    let world = World::new().await;
    world.fault("sparrow", "refuse", 1).await;
    let first = world.send_code(&phone(1)).await;
    world.advance(30);
    world.fault("sparrow", "error", 1).await;
    let second = world.send_code(&phone(1)).await;
    world.advance(60);
    let third = world.send_code(&phone(1)).await;
    assert!(first.code == second.code && second.code == third.code);
    let inbox = world.inbox(&phone(1)).await;
    let gateways: Vec<_> = inbox.iter().rev().map(|message| message["gateway"].as_str().unwrap()).collect();
    assert_eq!(gateways, ["sns", "sns", "sparrow"]);
}

#[tokio::test]
async fn a_number_that_one_gateway_refuses_is_not_tried_at_another() {
    let world = World::new().await;
    world.add_fault(json!({"target": "sparrow", "mode": "refuse", "times": 1, "code": 1007})).await;
    assert_refused(&send_to_first(&world).await, "invalid_phone_number", json!({}));
    assert_nothing_sent(&world, &phone(1)).await;
    // The refused send counts like any other.
    assert_refused_for_now(&send_to_first(&world).await, "too_many_requests", json!({}));
}

#[tokio::test]
async fn while_the_store_is_down_nothing_is_sent_and_later_the_send_succeeds() {
    let world = World::new().await;
    for mode in ["error", "refuse"] {
        world.fault("dynamodb", mode, 1_000).await;
        assert_refused(&send_to_first(&world).await, "service_unavailable", json!({"retry_after": 5}));
        world.clear_faults().await;
    }
    assert_nothing_sent(&world, &phone(1)).await;
    world.advance(5);
    assert_eq!(without_challenge(send_to_first(&world).await).1, sent(600, 30, 5));
}

#[tokio::test]
async fn brief_store_failures_and_duplicated_requests_do_not_affect_a_send() {
    let world = World::new().await;
    for (n, (mode, times)) in [("refuse", 2), ("error", 2), ("duplicate", 100)].into_iter().enumerate() {
        world.fault("dynamodb", mode, times).await;
        assert_eq!(without_challenge(send(&world, &phone(n)).send().await).1, sent(600, 30, 5), "{mode}");
        world.clear_faults().await;
        assert_eq!(world.inbox(&phone(n)).await.len(), 1, "{mode}");
    }
}

#[tokio::test]
async fn a_send_whose_transaction_fails_reserves_nothing_and_a_conflict_is_retried() {
    let world = World::new().await;
    // One read precedes the transaction.
    for code in ["AccessDeniedException", "TransactionConflict"] {
        fail_transactions(&world, 1, code, 1_000).await;
        assert_refused(&send_to_first(&world).await, "service_unavailable", json!({"retry_after": 5}));
        world.clear_faults().await;
        assert_eq!(world.items("OtpsTable").await, [] as [Value; 0]);
    }
    fail_transactions(&world, 1, "TransactionConflict", 3).await;
    assert_eq!(without_challenge(send_to_first(&world).await).1, sent(600, 30, 5));
    assert_eq!(world.inbox(&phone(1)).await.len(), 1);
}

#[tokio::test]
async fn a_number_is_accepted_in_every_common_notation() {
    let world = World::new().await;
    let notations = [
        "+9779841000001",
        "+977 984-1000001",
        "9841000001",
        "09841000001",
        "984 100 0001",
        " (984) 1000001 ",
        "009779841000001",
        "00977 9841000001",
        "९८४१०००००१",
        "+९७७९८४१०००००१",
    ];
    for (n, notation) in notations.into_iter().enumerate() {
        send(&world, notation).send().await.ok();
        assert_eq!(world.inbox(&phone(1)).await.len(), n + 1, "{notation}");
        let code = world.code(&phone(1)).await;
        world.submit(notation, &code).send().await.ok();
        world.advance(86_400);
    }
    assert_eq!(world.items("UsersTable").await.len(), 2, "one user and the lock of one phone");
}

#[tokio::test]
async fn a_national_number_is_read_in_the_default_region_of_the_organization() {
    let world = World::new().await;
    world.create_organization("bharat", &[("default_region", "IN")]).await;
    send_to_organization(&world, "98123 45678", "bharat").send().await.ok();
    send(&world, "98123 45678").send().await.ok();
    let (india, nepal) = (world.inbox("+919812345678").await, world.inbox("+9779812345678").await);
    assert_eq!((india.len(), nepal.len()), (1, 1));
    assert_eq!((&india[0]["gateway"], &nepal[0]["gateway"]), (&json!("sns"), &json!("sparrow")));
    let code = world.code("+919812345678").await;
    let submit = json!({"phone_number": "०98123 45678", "otp": code, "organization_id": "bharat"});
    let body = world.post("/v1/otp/submit", submit).send().await.ok();
    assert_eq!(body["user"]["phone_number"], json!("+919812345678"));
}

#[tokio::test]
async fn an_organization_sends_only_to_its_countries_and_an_unknown_one_nowhere() {
    let world = World::new().await;
    world.create_organization("bharat", &[("default_region", "IN")]).await;
    world.create_organization("both", &[("allowed_countries", "NP,IN")]).await;
    world.create_organization("world", &[("allowed_countries", "*")]).await;
    let (nepal, india, japan) = ("+9779841000001", "+919812345678", "+819012345678");
    let before = everything(&world).await;
    for (organization, to, problem) in [
        ("default", india, "country_not_allowed"),
        ("default", japan, "country_not_allowed"),
        ("bharat", nepal, "country_not_allowed"),
        ("both", japan, "country_not_allowed"),
        ("nobody", nepal, "no_such_organization"),
    ] {
        assert_refused(&send_to_organization(&world, to, organization).send().await, problem, json!({}));
    }
    assert_eq!(everything(&world).await, before);
    for (organization, to) in
        [("default", nepal), ("bharat", india), ("both", nepal), ("both", india), ("world", japan)]
    {
        send_to_organization(&world, to, organization).send().await.ok();
        world.advance(60);
    }
}

/// A person who waits for a second message in vain must not learn it only after the code has expired.
#[tokio::test]
async fn whoever_gets_the_last_code_for_long_is_told_so_and_how_to_go_on_without_the_wait() {
    let world = World::new().await;
    let send = async |language: &str| {
        let call = world.post("/v1/otp/send", json!({"phone_number": phone(1)}));
        call.header("accept-language", language).send().await
    };
    let mut last = send("en").await;
    while last.number("resend_in") <= last.number("expires_in") {
        assert_eq!((&last.body["detail"], &last.body["other_ways"]), (&Value::Null, &Value::Null));
        world.advance(last.number("resend_in"));
        last = send("en").await;
    }
    let minutes = last.number("resend_in").div_ceil(60);
    let words = format!("No further code is sent for {minutes} minutes. Use this one before it expires.");
    assert_eq!((last.text("detail"), &last.body["other_ways"]), (words, &json!(["known_device"])));
    let refused = send("ne").await;
    refused.assert_problem(429, "too_many_requests");
    assert_eq!(refused.body["other_ways"], json!(["known_device"]));
    assert!(refused.text("detail").contains("मिनेट"), "{refused:?}");
}
