//! Transactions whose outcome DynamoDB tells late.

use std::collections::BTreeSet;

use local::{Aim, Mode, Outgoing, Target};
use serde_json::json;
use tests::{World, assert_refused_for_now, person};

use crate::clock::start_next_day;
use crate::setup::{phone, send, world_with_code};

/// Far more requests than a transaction may spend on contention.
const MANY: usize = 20;
const LATE: Mode = Mode::InProgress(MANY);

/// Aims at the transactions of the next request that are on these tables, from the `nth` on.
fn aim(world: &World, tables: &str, nth: usize, mode: Mode, code: Option<&'static str>) {
    let at = Outgoing { target: Target::Dynamodb, what: format!("TransactWriteItems {tables}"), nth };
    world.system.aim(Some(Aim { at, mode, code, lasts: false }));
}

#[tokio::test]
async fn a_send_whose_transaction_finishes_late_sends_its_message() {
    let world = World::new().await;
    aim(&world, "OtpsTable", 1, LATE, None);
    let reply = send(&world, &phone(1)).send().await;
    assert_eq!((reply.status, world.inbox(&phone(1)).await.len()), (200, 1), "{reply:?}");
}

/// Submits the right code while the transaction fails in this way.
async fn assert_signs_in(mode: Mode) {
    let (world, sent) = world_with_code(&phone(1)).await;
    aim(&world, "OtpsTable SessionsTable UsersTable", 1, mode, None);
    person(&phone(1), &world.submit_with_id(&phone(1), &sent.challenge_id, &sent.code).send().await);
    assert_eq!(world.items("SessionsTable").await.len(), 1);
}

#[tokio::test]
async fn a_submit_whose_transaction_finishes_late_signs_in() {
    assert_signs_in(LATE).await;
}

#[tokio::test]
async fn a_submit_whose_transaction_is_throttled_after_its_answer_was_lost_signs_in() {
    assert_signs_in(Mode::LostThenThrottled(MANY)).await;
}

#[tokio::test]
async fn a_message_that_was_not_sent_is_given_back_once_however_late_its_transactions_finish() {
    let world = World::with(&[("SOURCE_SENDS_PER_HOUR", "2")]).await;
    start_next_day(&world);
    world.send_code(&phone(1)).await;
    for gateway in ["sparrow", "sns"] {
        world.fault(gateway, "refuse", 1).await;
    }
    // The first transaction reserves, the next ones give back.
    aim(&world, "OtpsTable", 2, LATE, None);
    send(&world, &phone(2)).send().await.assert_problem(503, "sms_gateway_unavailable");
    world.send_code(&phone(3)).await;
    assert_refused_for_now(&send(&world, &phone(4)).send().await, "too_many_requests", json!({}));
}

/// The tokens of a send's requests to write, while its transactions fail as aimed.
async fn tokens_of_a_send(mode: Mode, code: Option<&'static str>) -> Vec<String> {
    let world = World::new().await;
    aim(&world, "OtpsTable", 1, mode, code);
    let (requests, _) = world.requests(world.send_code(&phone(1))).await;
    let writes = requests.iter().filter(|request| request.operation == "TransactWriteItems");
    writes.map(|request| request.body["ClientRequestToken"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_transaction_keeps_its_token_until_dynamodb_cancels_it() {
    for (mode, requests) in [(Mode::InProgress(4), 5), (Mode::LostInCuts(4), 5), (Mode::Error, 2)] {
        let tokens = tokens_of_a_send(mode, None).await;
        assert_eq!((tokens.len(), tokens.iter().collect::<BTreeSet<_>>().len()), (requests, 1), "{mode:?}: {tokens:?}");
    }
    for reason in ["TransactionConflict", "ProvisionedThroughputExceededException"] {
        let tokens = tokens_of_a_send(Mode::Refuse, Some(reason)).await;
        assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{reason}: {tokens:?}");
    }
}
