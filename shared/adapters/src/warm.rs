//! What a function has ready before its first event: Lambda gives it a whole processor until then, and its share after.

use std::time::Duration;

use domain::phone::{Country, DialledNumber};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long it may take; the first event does what is not done by then, or fails at it and says so.
const LONGEST: Duration = Duration::from_millis(2_000);

/// Does all of `work` that can be done in time. What fails will fail again where it is needed.
pub async fn ahead<T>(work: impl Future<Output = T>) {
    let _ = timeout(LONGEST, work).await;
}

/// Loads the numbering plan, as the first number to be parsed does: any number. On another thread, for it takes as long
/// as the connections do.
pub async fn numbering_plan(country: Country) {
    let _ = spawn_blocking(move || DialledNumber::parse("9800000000", country)).await;
}
