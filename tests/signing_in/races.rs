//! Concurrent requests: limits are never exceeded, and what may happen one time happens one time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use local::{Aim, Mode, Outgoing, Target};
use serde_json::json;
use tests::{Reply, Sent, World, assert_refused, assert_refused_for_now, person, wrong};
use tokio::sync::{Barrier, Mutex};
use tokio::task::JoinSet;

use crate::clock::start_next_day;
use crate::setup::{MANY_GUESSES, phone, send, send_to_organization, world_with_code};

const MANY: usize = 64;
const PHONE: &str = "+9779841000001";

/// One race at a time: on a small machine, several races exceed the timeouts of the DynamoDB client.
static RACE: Mutex<()> = Mutex::const_new(());

/// Makes `count` calls at the same moment; returns the replies in the order of `n`.
async fn at_once<F>(world: &Arc<World>, count: usize, call: impl Fn(Arc<World>, usize) -> F) -> Vec<Reply>
where
    F: Future<Output = Reply> + Send + 'static,
{
    let _one_race = RACE.lock().await;
    let start = Arc::new(Barrier::new(count));
    let mut calls = JoinSet::new();
    for n in 0..count {
        let (start, call) = (Arc::clone(&start), call(Arc::clone(world), n));
        calls.spawn(async move {
            start.wait().await;
            (n, call.await)
        });
    }
    let replies: BTreeMap<usize, Reply> = calls.join_all().await.into_iter().collect();
    replies.into_values().collect()
}

/// A code as it is submitted, with its challenge's id or without.
#[derive(Clone)]
struct Submission {
    code: String,
    challenge_id: Option<String>,
}

impl Submission {
    /// With the id of the challenge if `n` is even.
    fn nth(n: usize, code: &str, sent: &Sent) -> Self {
        Self { code: code.to_owned(), challenge_id: n.is_multiple_of(2).then(|| sent.challenge_id.clone()) }
    }

    async fn send(self, world: Arc<World>) -> Reply {
        match self.challenge_id {
            Some(id) => world.submit_with_id(PHONE, &id, &self.code).send().await,
            None => world.submit(PHONE, &self.code).send().await,
        }
    }
}

fn source(n: usize) -> u8 {
    u8::try_from(n + 2).unwrap()
}

/// A system and a code that was sent to `PHONE`.
async fn with_code() -> (Arc<World>, Sent) {
    let world = World::with(&MANY_GUESSES).await;
    let sent = world.send_code(PHONE).await;
    (Arc::new(world), sent)
}

/// Sends to the `n`th phone from its own source.
async fn send_to_nth(world: Arc<World>, n: usize) -> Reply {
    send(&world, &phone(n)).from(source(n)).send().await
}

/// The number of replies by problem code; the code of a success is "".
fn count_by_code(replies: &[Reply]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for reply in replies {
        *counts.entry(reply.problem().1).or_default() += 1;
    }
    counts
}

/// The number of attempts whose code was not compared.
fn delayed(counts: &BTreeMap<&str, usize>) -> usize {
    ["too_many_attempts", "too_many_requests"].iter().filter_map(|code| counts.get(code)).sum()
}

/// Panics unless there is one user with the lock of one phone, and one session.
async fn assert_one_signed_in(world: &World) {
    assert_eq!(world.items("UsersTable").await.len(), 2);
    assert_eq!(world.items("SessionsTable").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_right_codes_one_signs_in() {
    let (world, sent) = with_code().await;
    let replies = at_once(&world, MANY, |world, n| Submission::nth(n, &sent.code, &sent).send(world)).await;
    let (signed_in, refused): (Vec<_>, Vec<_>) = replies.iter().enumerate().partition(|(_, reply)| reply.status == 200);
    assert_eq!(signed_in.len(), 1, "{:?}", count_by_code(&replies));
    for (n, reply) in refused {
        match (n % 2 == 0, reply.problem().1) {
            (true, "otp_expired") => assert_refused(reply, "otp_expired", json!({})),
            (false, "incorrect_otp") => assert_refused(reply, "incorrect_otp", json!({})),
            (true, "too_many_attempts") => assert_refused(reply, "too_many_attempts", json!({"attempts_left": 0})),
            // Ten claimed attempts count as wrong codes until the right code among them is compared.
            _ => assert_refused_for_now(reply, "too_many_requests", json!({})),
        }
    }
    assert_one_signed_in(&world).await;
    let somebody = person(PHONE, signed_in[0].1);
    world.me(&somebody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_codes_of_two_challenges_only_the_later_signs_in() {
    let (world, earlier) = with_code().await;
    world.advance(600);
    let later = world.send_code(PHONE).await;
    let replies = at_once(&world, MANY, |world, n| {
        let sent = if n % 2 == 0 { &earlier } else { &later };
        Submission::nth(0, &sent.code, sent).send(world)
    })
    .await;
    let signed_in: Vec<usize> = (0..MANY).filter(|n| replies[*n].status == 200).collect();
    assert!(matches!(signed_in[..], [n] if n % 2 == 1), "{signed_in:?} {:?}", count_by_code(&replies));
    for reply in replies.iter().step_by(2) {
        assert_refused(reply, "incorrect_otp", json!({}));
    }
    assert_one_signed_in(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_attempts_at_a_challenge_five_are_compared() {
    let (world, sent) = with_code().await;
    let attempt = Submission::nth(0, &wrong(&sent.code), &sent);
    let replies = at_once(&world, MANY, |world, _| attempt.clone().send(world)).await;
    assert_eq!(count_by_code(&replies), [("incorrect_otp", 5), ("too_many_attempts", MANY - 5)].into());
    let mut left: Vec<u64> = Vec::new();
    for reply in &replies {
        match reply.problem().1 {
            "incorrect_otp" => {
                left.push(reply.number("attempts_left"));
                assert_refused(reply, "incorrect_otp", json!({"attempts_left": left.last()}));
            }
            _ => assert_refused(reply, "too_many_attempts", json!({"attempts_left": 0})),
        }
    }
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_guesses_without_an_id_ten_are_answered_and_the_others_wait() {
    let (world, sent) = with_code().await;
    let attempt = Submission::nth(1, &wrong(&sent.code), &sent);
    let replies = at_once(&world, MANY, |world, _| attempt.clone().send(world)).await;
    let counts = count_by_code(&replies);
    // A write that the client of a busy machine repeats counts twice.
    assert!((5..=10).contains(&counts["incorrect_otp"]), "{counts:?}");
    assert_eq!(counts["incorrect_otp"] + counts["too_many_requests"], MANY, "{counts:?}");
}

/// Submits a code a thousand times over 64 connections, with the id of the challenge, or with and without it in turn.
async fn submit_a_thousand_times(world: &Arc<World>, code: &str, sent: &Sent, step: usize) -> Vec<Reply> {
    let _one_race = RACE.lock().await;
    let mut workers = JoinSet::new();
    for worker in 0..MANY {
        let (world, code, sent) = (Arc::clone(world), code.to_owned(), sent.clone());
        workers.spawn(async move {
            let mut replies = Vec::new();
            for n in (worker..1_000).step_by(MANY) {
                replies.push(Submission::nth(n * step, &code, &sent).send(Arc::clone(&world)).await);
            }
            replies
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_wrong_codes_over_64_connections_five_are_compared() {
    let world = Arc::new(World::with(&MANY_GUESSES).await);
    let sent = world.send_code(PHONE).await;
    let replies = submit_a_thousand_times(&world, &wrong(&sent.code), &sent, 2).await;
    assert_eq!(count_by_code(&replies), [("incorrect_otp", 5), ("too_many_attempts", 995)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_right_codes_over_64_connections_one_signs_in() {
    let world = Arc::new(World::with(&MANY_GUESSES).await);
    let sent = world.send_code(PHONE).await;
    let replies = submit_a_thousand_times(&world, &sent.code, &sent, 1).await;
    assert_eq!(count_by_code(&replies)[""], 1, "{:?}", count_by_code(&replies));
    assert_one_signed_in(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_with_and_without_the_id_are_counted_apart() {
    let (world, sent) = with_code().await;
    let attempt = |world, n| Submission::nth(n, &wrong(&sent.code), &sent).send(world);
    let replies = at_once(&world, MANY, attempt).await;
    for (parity, answered) in [(0, 5..=5), (1, 5..=10)] {
        let half: Vec<Reply> = replies.iter().skip(parity).step_by(2).cloned().collect();
        let counts = count_by_code(&half);
        assert!(answered.contains(&counts["incorrect_otp"]), "{counts:?}");
        assert_eq!(counts["incorrect_otp"] + delayed(&counts), MANY / 2, "{counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sends_to_one_phone_send_one_message() {
    let world = Arc::new(World::new().await);
    let replies =
        at_once(&world, MANY, |world, n| async move { send(&world, PHONE).from(source(n)).send().await }).await;
    assert_eq!(count_by_code(&replies), [("", 1), ("too_many_requests", MANY - 1)].into());
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_refused_for_now(reply, "too_many_requests", json!({}));
    }
    assert_eq!(world.inbox(PHONE).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sends_from_one_source_send_thirty_messages() {
    let world = Arc::new(World::new().await);
    start_next_day(&world);
    let replies = at_once(&world, MANY, |world, n| async move { send(&world, &phone(n)).send().await }).await;
    assert_eq!(count_by_code(&replies), [("", 30), ("too_many_requests", MANY - 30)].into());
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!(world.inbox(&phone(n)).await.len(), usize::from(reply.status == 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sends_to_a_country_stop_at_its_daily_limit() {
    let world = Arc::new(World::with(&[("COUNTRY_SENDS_PER_DAY", "20")]).await);
    start_next_day(&world);
    let replies = at_once(&world, MANY, send_to_nth).await;
    assert_eq!(count_by_code(&replies), [("", 20), ("too_many_requests", MANY - 20)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sends_to_a_country_without_verified_codes_stop_at_its_budget() {
    for (best_day, budget) in [(0, 3), (150, 5), (1_000, 33)] {
        let world = Arc::new(World::with(&[("PUMPING_BUDGETS", "enforce")]).await);
        start_next_day(&world);
        let yesterday = format!("verified#default#NP#{}#0", world.now() / 86_400 - 1);
        let item = json!({"pk": {"S": yesterday}, "verified": {"N": best_day.to_string()}});
        world.dynamodb("PutItem", json!({"TableName": "OtpsTable", "Item": item})).await;
        let replies = at_once(&world, MANY, send_to_nth).await;
        assert_eq!(count_by_code(&replies), [("", budget), ("too_many_requests", MANY - budget)].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sends_from_one_source_reach_three_unverified_countries() {
    let variables = [("PUMPING_BUDGETS", "enforce"), ("ALLOWED_COUNTRIES", "*"), ("SMS_ROUTES", "*=sns")];
    let world = Arc::new(World::with(&variables).await);
    start_next_day(&world);
    let numbers = ["+9779841000001", "+919812345671", "+447400123456", "+4915123456789", "+12015550123"];
    let send_from_seven = |world: Arc<World>, n: usize| async move { send(&world, numbers[n]).from(7).send().await };
    let replies = at_once(&world, numbers.len(), send_from_seven).await;
    assert_eq!(count_by_code(&replies), [("", 3), ("too_many_requests", 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_retries_of_one_request_open_one_session() {
    let world = Arc::new(World::with(&[("CODE_ATTEMPTS", "1000")]).await);
    let sent = world.send_code(PHONE).await;
    // As many attempts in a row as are possible without a delay.
    let replies = at_once(&world, 9, |world, _| {
        let sent = sent.clone();
        async move {
            let submit = world.submit_with_id(PHONE, &sent.challenge_id, &sent.code);
            submit.header("idempotency-key", "a key").send().await
        }
    })
    .await;
    assert_eq!(count_by_code(&replies), [("", 9)].into());
    let users: BTreeSet<String> = replies.iter().map(|reply| person(PHONE, reply).user_id).collect();
    assert_eq!(users.len(), 1);
    assert_one_signed_in(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_phones_that_sign_in_at_once_get_one_user_each() {
    let world = Arc::new(World::new().await);
    let replies = at_once(&world, MANY, |world, n| async move {
        let sent = send(&world, &phone(n)).from(source(n)).send().await;
        let code = world.code(&phone(n)).await;
        world.submit_with_id(&phone(n), &sent.text("challenge_id"), &code).from(source(n)).send().await
    })
    .await;
    let mut users = BTreeSet::new();
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!((reply.status, &reply.body["user"]["phone_number"]), (200, &json!(phone(n))), "{reply:?}");
        users.insert(person(&phone(n), reply).user_id);
    }
    assert_eq!(users.len(), MANY);
    assert_eq!(world.items("UsersTable").await.len(), 2 * MANY);
    assert_eq!(world.items("SessionsTable").await.len(), MANY);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_sign_ins_to_an_organization_one_succeeds_and_memberships_add_up() {
    let world = Arc::new(World::with(&MANY_GUESSES).await);
    let first = world.sign_in(PHONE).await;
    for n in 0..4 {
        world.create_organization(&format!("org{n}"), &[]).await;
        world.advance(3_600);
        let organization = format!("org{n}");
        let sent = send_to_organization(&world, PHONE, &organization).send().await;
        let sent = world.received(PHONE, &sent).await;
        let body = json!({
            "phone_number": PHONE, "otp": sent.code, "challenge_id": sent.challenge_id,
            "organization_id": organization,
        });
        let replies = at_once(&world, MANY, |world, _| {
            let body = body.clone();
            async move { world.post("/v1/otp/submit", body).send().await }
        })
        .await;
        let mut signed_in = replies.iter().filter(|reply| reply.status == 200);
        assert_eq!(person(PHONE, signed_in.next().unwrap()).user_id, first.user_id);
        assert!(signed_in.next().is_none());
    }
    let users = world.items("UsersTable").await;
    let user = users.iter().find(|item| item["role_default"].is_object()).unwrap();
    assert_eq!(user["role_default"], json!({"SS": ["default", "org0", "org1", "org2", "org3"]}));
}

/// Requests a resend, and waits for `meanwhile` between the resend's read of the challenge and its write.
async fn resend_while(world: &World, meanwhile: impl Future<Output = ()>) -> Reply {
    let read = Outgoing { target: Target::Dynamodb, what: "BatchGetItem OtpsTable".to_owned(), nth: 1 };
    world.system.aim(Some(Aim { at: read.clone(), mode: Mode::Slow, code: None, lasts: false }));
    let meanwhile = async {
        while !world.system.outgoing().contains(&read) {
            tokio::task::yield_now().await;
        }
        meanwhile.await;
    };
    let resend = send(world, PHONE);
    tokio::join!(resend.send(), meanwhile).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_whose_code_is_used_before_it_is_written_sends_a_new_code() {
    let (world, used) = world_with_code(PHONE).await;
    world.advance(30);
    let resent = resend_while(&world, async {
        person(PHONE, &world.submit_with_id(PHONE, &used.challenge_id, &used.code).send().await);
    })
    .await;
    assert_eq!((resent.status, resent.number("attempts_left")), (200, 5));
    world.submit_with_id(PHONE, &used.challenge_id, &used.code).send().await.assert_problem(400, "incorrect_otp");
    let code = world.code(PHONE).await;
    person(PHONE, &world.submit_with_id(PHONE, &resent.text("challenge_id"), &code).send().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_counted_before_a_resend_is_written_stays_counted() {
    let (world, sent) = world_with_code(PHONE).await;
    world.advance(30);
    let resent = resend_while(&world, async {
        let attempt = world.submit_with_id(PHONE, &sent.challenge_id, &wrong(&sent.code)).send().await;
        assert_refused(&attempt, "incorrect_otp", json!({"attempts_left": 4}));
    })
    .await;
    assert_eq!((resent.status, resent.number("attempts_left")), (200, 4));
    person(PHONE, &world.submit_with_id(PHONE, &resent.text("challenge_id"), &sent.code).send().await);
}
