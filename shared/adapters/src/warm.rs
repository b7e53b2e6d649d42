//! What a function has ready before its first event: Lambda gives it a whole processor until then, and its share after.

use domain::phone::{Country, DialledNumber};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::app::OPERATION_TIMEOUT;

/// How often a task that connects has to have its turn until it waits for the other side's part of TLS's handshake, where
/// that is near.
const TURNS_TO_CONNECT: usize = 2;

/// Does all of `work` that can be done while one call to AWS may last. What is not done by then, or fails, the first
/// event does itself, or fails at it and says so.
pub async fn ahead<T>(work: impl Future<Output = T>) {
    let _ = timeout(OPERATION_TIMEOUT, work).await;
}

/// Reads the numbering plan of the country most numbers are of: half a millisecond of work, for which others need not
/// wait that can connect meanwhile and be answered.
pub async fn numbering_plan(country: Country) {
    for _ in 0..TURNS_TO_CONNECT {
        yield_now().await;
    }
    DialledNumber::prepare(country);
}
