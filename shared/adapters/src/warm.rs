//! What a function has ready before its first event: Lambda gives it a whole processor until then, and its share after.

use domain::phone::{Country, DialledNumber};
use tokio::time::timeout;

use crate::app::OPERATION_TIMEOUT;

/// Does all of `work` that can be done while one call to AWS may last. What is not done by then, or fails, the first
/// event does itself, or fails at it and says so.
pub async fn ahead<T>(work: impl Future<Output = T>) {
    let _ = timeout(OPERATION_TIMEOUT, work).await;
}

/// Reads the numbering plan of the country most numbers are of.
pub async fn numbering_plan(country: Country) {
    DialledNumber::prepare(country);
}
