//! SMS pumping: the budgets of a country and of a source for messages whose codes are not verified.

use std::cell::Cell;

use serde_json::{Value, json};
use tests::{Reply, World, assert_refused_for_now, person, wrong};

use crate::clock::{AfterWait, start_next_day, wait_out};
use crate::metrics::{counted, undated};
use crate::setup::{MANY_GUESSES, phone, send, send_to_organization, submit_newest_code};

const HOUR_SECONDS: u64 = 3_600;

/// New people, each with their own phone and source address.
#[derive(Default)]
struct Strangers(Cell<usize>);

impl Strangers {
    fn next(&self) -> (String, u8) {
        let n = self.0.replace(self.0.get() + 1);
        (phone(n), u8::try_from(2 + n % 250).unwrap())
    }

    /// The next one requests a code of an organization.
    async fn send(&self, world: &World, organization: &str) -> Reply {
        let (to, source) = self.next();
        world.keep_secret(&to);
        send_to_organization(world, &to, organization).from(source).send().await
    }

    /// How many get a code, one after another, until one is refused.
    async fn served(&self, world: &World, organization: &str) -> usize {
        for served in 0.. {
            let reply = self.send(world, organization).await;
            if reply.status != 200 {
                assert_refused_for_now(&reply, "too_many_requests", json!({}));
                return served;
            }
        }
        unreachable!("a budget is used up at some point")
    }
}

/// A system at the start of a day, so that no window ends in the middle of a test.
async fn world(mode: &str) -> World {
    let variables = [
        ("PUMPING_BUDGETS", mode),
        ("ALLOWED_COUNTRIES", "NP,IN"),
        ("SMS_ROUTES", "*=sns"),
        // Higher than any number of sends in these tests: only the budgets limit them.
        ("SOURCE_SENDS_PER_HOUR", "1000"),
        ("SOURCE_SENDS_PER_DAY", "1000"),
    ];
    let world = World::with(&[&variables[..], &MANY_GUESSES].concat()).await;
    for id in ["himal", "terai"] {
        world.create_organization(id, &[]).await;
    }
    start_next_day(&world);
    world
}

async fn enforcing() -> (World, Strangers) {
    (world("enforce").await, Strangers::default())
}

#[tokio::test]
async fn unverified_messages_are_limited_to_three_an_hour_and_twenty_a_day_over_all_addresses() {
    let (world, strangers) = enforcing().await;
    let midnight = world.now() + 86_400;
    // Waits until the next send is possible. Its code is verified, so that it does not count.
    let opens_at = async || {
        let (honest, source) = strangers.next();
        let ask = async || send(&world, &honest).from(source).send().await;
        let AfterWait { reply, opens_at } = wait_out(&world, "too_many_requests", ask).await;
        reply.ok();
        submit_newest_code(&world, &honest).await;
        opens_at
    };
    for hour in 1..=6 {
        assert_eq!(strangers.served(&world, "default").await, 3, "hour {hour}");
        assert_eq!(opens_at().await, midnight - 86_400 + hour * 3_600);
    }
    assert_eq!(strangers.served(&world, "default").await, 2, "the rest of the day's budget");
    assert_eq!(opens_at().await, midnight);
}

#[tokio::test]
async fn each_country_and_each_organization_has_its_own_budget() {
    let (world, strangers) = enforcing().await;
    assert_eq!(strangers.served(&world, "default").await, 3);
    assert_eq!(strangers.served(&world, "himal").await, 3);
    for n in 0..3 {
        send(&world, &format!("+91981234567{n}")).from(250).send().await.ok();
    }
    assert_refused_for_now(&send(&world, "+919812345679").from(251).send().await, "too_many_requests", json!({}));
}

#[tokio::test]
async fn verified_codes_keep_the_budgets_open() {
    let world = world("enforce").await;
    for n in 0..40 {
        world.sign_in(&phone(n)).await;
    }
    // The budget is a fifth of the forty verified codes, which is more than before.
    let strangers = Strangers(Cell::new(100));
    assert_eq!(strangers.served(&world, "default").await, 8);
}

#[tokio::test]
async fn a_verified_code_makes_room_for_one_message() {
    let (world, strangers) = enforcing().await;
    let (late, source) = strangers.next();
    send(&world, &late).from(source).send().await.ok();
    assert_eq!(strangers.served(&world, "default").await, 2);
    let code = world.code(&late).await;
    world.submit(&late, &wrong(&code)).send().await.assert_problem(400, "incorrect_otp");
    assert_eq!(strangers.served(&world, "default").await, 0);
    for _ in 0..2 {
        world.submit(&late, &code).header("idempotency-key", "one-and-the-same").send().await.ok();
    }
    assert_eq!(strangers.served(&world, "default").await, 1);
}

#[tokio::test]
async fn a_verified_phone_makes_room_like_a_sign_in() {
    let (world, strangers) = enforcing().await;
    let caller = world.sign_in_as(&phone(900), "asha").await;
    let new = phone(901);
    let change = json!({"phone_number": new, "change": true});
    world.post("/v1/phone/otp/send", change).as_person(&caller).send().await.ok();
    assert_eq!(strangers.served(&world, "default").await, 2);
    let proof = json!({"phone_number": new, "otp": world.code(&new).await, "username": "asha"});
    world.post("/v1/phone/otp/validate", proof).as_person(&caller).send().await.ok();
    assert_eq!(strangers.served(&world, "default").await, 1);
}

#[tokio::test]
async fn many_sign_ins_raise_the_budget_and_14_quiet_days_lower_it_again() {
    let world = world("enforce").await;
    for n in 0..120 {
        world.sign_in(&phone(n)).await;
    }
    let strangers = Strangers(Cell::new(200));
    assert_eq!(strangers.served(&world, "default").await, 24, "a fifth of the codes verified in this hour");
    world.advance(HOUR_SECONDS);
    assert_eq!(strangers.served(&world, "default").await, 3, "the minimum of each hour");
    // On the following days, an hour has a fifth of a sixth of the best day in the last 14.
    for day in 1..=15 {
        start_next_day(&world);
        if [1, 2, 14, 15].contains(&day) {
            let budget = if day == 15 { 3 } else { 4 };
            assert_eq!(strangers.served(&world, "default").await, budget, "day {day}");
        }
    }
}

#[tokio::test]
async fn resends_of_a_code_no_longer_count_when_it_is_verified() {
    let (world, strangers) = enforcing().await;
    let (patient, source) = strangers.next();
    for wait in [0, 30, 60] {
        world.advance(wait);
        send(&world, &patient).from(source).send().await.ok();
    }
    assert_eq!(strangers.served(&world, "default").await, 0);
    submit_newest_code(&world, &patient).await;
    assert_eq!(strangers.served(&world, "default").await, 3);
}

#[tokio::test]
async fn a_verified_code_counts_for_the_hour_of_its_message() {
    let (world, strangers) = enforcing().await;
    world.advance(HOUR_SECONDS - 60);
    let (late, source) = strangers.next();
    send(&world, &late).from(source).send().await.ok();
    world.advance(120);
    submit_newest_code(&world, &late).await;
    assert_eq!(strangers.served(&world, "default").await, 3);
}

#[tokio::test]
async fn one_source_has_five_unverified_messages_an_hour_and_ten_a_day() {
    let world = world("enforce").await;
    let midnight = world.now() + 86_400;
    let ask =
        async |n: usize, organization: &str| send_to_organization(&world, &phone(n), organization).from(2).send().await;
    for (hour, next) in [(1, midnight - 23 * 3_600), (2, midnight)] {
        // The send that waited for the second hour is the first one of it.
        for n in (if hour == 1 { 0 } else { 1 })..5 {
            let organization = if n < 3 { "default" } else { "himal" };
            ask(hour * 10 + n, organization).await.ok();
        }
        let last = async || ask(hour * 10 + 10, "default").await;
        let AfterWait { reply, opens_at } = wait_out(&world, "too_many_requests", last).await;
        reply.ok();
        assert_eq!(opens_at, next);
    }
}

#[tokio::test]
async fn a_message_that_no_gateway_accepts_is_returned_to_every_budget() {
    let (world, strangers) = enforcing().await;
    let (unlucky, source) = strangers.next();
    for _ in 0..12 {
        world.fault("sns", "refuse", 1).await;
        let reply = send(&world, &unlucky).from(source).send().await;
        reply.assert_problem(503, "sms_gateway_unavailable");
    }
    send(&world, &unlucky).from(source).send().await.ok();
    // The verified code makes room for the one message that was sent, and not for the refused ones.
    submit_newest_code(&world, &unlucky).await;
    assert_eq!(strangers.served(&world, "default").await, 3);
}

#[tokio::test]
async fn a_test_number_counts_in_no_budget() {
    let world = world("enforce").await;
    world.create_test_number("acme", &phone(900), "135790", "2199-01-01").await;
    let by_acme = json!({"phone_number": phone(900), "organization_id": "acme", "otp": "135790"});
    for _ in 0..12 {
        for path in ["/v1/otp/send", "/v1/otp/submit"] {
            world.post(path, by_acme.clone()).send().await.ok();
        }
    }
    assert_eq!(Strangers::default().served(&world, "acme").await, 3);
}

fn over(budget: &str, country: &str, mode: &str) -> Value {
    counted("SendsOverBudget", &[("Budget", budget), ("Country", country), ("Mode", mode)])
}

fn reported(world: &World) -> Vec<Value> {
    undated(world).into_iter().filter(|metric| metric["SendsOverBudget"].is_number()).collect()
}

#[tokio::test]
async fn shadow_mode_reports_the_sends_that_enforce_mode_refuses() {
    for mode in ["shadow", "enforce"] {
        let world = world(mode).await;
        let status = if mode == "shadow" { 200 } else { 429 };
        let strangers = Strangers::default();
        for n in 1..=5 {
            let reply = strangers.send(&world, "default").await;
            assert_eq!(reply.status, if n <= 3 { 200 } else { status }, "{mode}");
        }
        assert_eq!(reported(&world), [over("country_hour", "NP", mode), over("country_hour", "NP", mode)]);
        let before = reported(&world).len();
        for n in 0..6 {
            let organization = if n < 3 { "himal" } else { "terai" };
            world.keep_secret(&phone(900 + n));
            let reply = send_to_organization(&world, &phone(900 + n), organization).from(200).send().await;
            assert_eq!(reply.status, if n == 5 { status } else { 200 }, "{mode}");
        }
        assert_eq!(reported(&world).split_off(before), [over("source_hour", "NP", mode)]);
    }
}

#[tokio::test]
async fn a_send_that_is_over_several_budgets_is_reported_for_each_of_them() {
    let world = world("shadow").await;
    for n in 0..21 {
        world.keep_secret(&phone(n));
        send(&world, &phone(n)).send().await.ok();
    }
    let last = ["country_day", "country_hour", "source_day", "source_hour"].map(|budget| over(budget, "NP", "shadow"));
    let before = reported(&world).len() - last.len();
    assert_eq!(reported(&world).split_off(before), last);
}

/// Mobile numbers of five countries.
const ABROAD: [&str; 5] = ["+9779841000001", "+919812345671", "+447400123456", "+4915123456789", "+12015550123"];

async fn world_of_countries(mode: &str) -> World {
    World::with(&[("PUMPING_BUDGETS", mode), ("ALLOWED_COUNTRIES", "*"), ("SMS_ROUTES", "*=sns")]).await
}

#[tokio::test]
async fn one_source_has_three_unverified_countries_a_day() {
    let world = world_of_countries("enforce").await;
    start_next_day(&world);
    for to in &ABROAD[..3] {
        send(&world, to).from(7).send().await.ok();
    }
    let fourth = async || send(&world, ABROAD[3]).from(7).send().await;
    assert_refused_for_now(&fourth().await, "too_many_requests", json!({}));
    assert_eq!(reported(&world), [over("source_countries", "DE", "enforce")]);
    // Further messages to the three countries are allowed, and other sources have their own three.
    world.keep_secret("+919812345672");
    send(&world, "+919812345672").from(7).send().await.ok();
    send(&world, ABROAD[3]).from(8).send().await.ok();
    // A verified code removes its country from the list of the day.
    let code = world.code(ABROAD[2]).await;
    world.submit(ABROAD[2], &wrong(&code)).send().await.assert_problem(400, "incorrect_otp");
    world.advance(30);
    assert_refused_for_now(&fourth().await, "too_many_requests", json!({}));
    world.submit(ABROAD[2], &code).send().await.ok();
    send(&world, ABROAD[2]).from(7).send().await.ok();
    fourth().await.ok();
    let fifth = async || send(&world, ABROAD[4]).from(7).send().await;
    wait_out(&world, "too_many_requests", fifth).await.reply.ok();
}

#[tokio::test]
async fn a_country_whose_message_no_gateway_accepted_does_not_count() {
    let world = world_of_countries("enforce").await;
    start_next_day(&world);
    for to in &ABROAD[..2] {
        send(&world, to).from(7).send().await.ok();
    }
    world.fault("sns", "refuse", 1).await;
    send(&world, ABROAD[2]).from(7).send().await.assert_problem(503, "sms_gateway_unavailable");
    send(&world, ABROAD[3]).from(7).send().await.ok();
    send(&world, ABROAD[4]).from(7).send().await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn with_budgets_off_nothing_is_refused_reported_or_stored() {
    let world = world("off").await;
    for n in 0..25 {
        send(&world, &phone(n)).send().await.ok();
    }
    let code = world.code(&phone(1)).await;
    world.advance(30);
    send(&world, &phone(1)).send().await.ok();
    person(&phone(1), &world.submit(&phone(1), &code).send().await);
    assert_eq!(reported(&world), [] as [Value; 0]);
    for item in world.items("OtpsTable").await {
        let pk = item["pk"]["S"].as_str().unwrap();
        let names: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
        let prefixes = ["credit_", "verified", "unverified", "messages"];
        let is_of_budgets = |name: &&&str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        assert_eq!(names.iter().find(is_of_budgets), None, "{pk}");
        assert!(!pk.starts_with("verified#"), "{pk}");
        assert!(!pk.starts_with("spend#") || !names.iter().any(|name| name.starts_with("sent_")), "{pk}");
    }
}

#[tokio::test]
async fn the_source_is_stored_until_the_code_is_verified_or_the_account_is_deleted() {
    let world = world("shadow").await;
    let stored = async || {
        world.items("OtpsTable").await.iter().filter(|item| item.to_string().contains("credit_source")).count()
    };
    let sent = world.send_code(&phone(1)).await;
    assert_eq!(stored().await, 1);
    let somebody = person(&phone(1), &world.submit(&phone(1), &sent.code).send().await);
    assert_eq!(stored().await, 0);
    world.advance(30);
    world.send_code(&phone(1)).await;
    assert_eq!(stored().await, 1);
    assert!(world.call("DELETE", "/v1/me").as_person(&somebody).send().await.status < 300);
    assert_eq!(stored().await, 0);
}
