//! Functions that EventBridge calls by the clock.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::clock::AdjustableClock;
use crate::functions::Functions;

/// How often the clock is read: it can be moved at any time.
const PAUSE: Duration = Duration::from_secs(1);
const HOUR_SECONDS: i64 = 3_600;

/// Calls the functions in each hour of the clock, until the task is dropped.
pub async fn run(functions: Arc<Functions>, hourly: Vec<String>, clock: AdjustableClock) {
    let hour = || clock.now_seconds().div_euclid(HOUR_SECONDS);
    let mut last = hour();
    loop {
        sleep(PAUSE).await;
        if hour() != last {
            last = hour();
            for function in &hourly {
                // A failure is repeated in the next hour.
                let _ = functions.invoke(function, json!({"detail-type": "Scheduled Event"})).await;
            }
        }
    }
}
