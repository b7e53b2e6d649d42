//! What a function has ready before its first event: Lambda gives it a whole processor until then, and its share after.

use domain::phone::{Country, DialledNumber};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::app::OPERATION_TIMEOUT;

/// Does all of `work` that can be done while one call to AWS may last. What is not done by then, or fails, the first
/// event does itself, or fails at it and says so.
pub async fn ahead<T>(work: impl Future<Output = T>) {
    let _ = timeout(OPERATION_TIMEOUT, work).await;
}

/// Loads the numbering plan, as the first number to be parsed does: any number. On another thread, for it takes as long
/// as the connections do.
pub async fn numbering_plan(country: Country) {
    let _ = spawn_blocking(move || DialledNumber::parse("9800000000", country)).await;
}
