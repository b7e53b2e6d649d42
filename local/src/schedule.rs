//! Functions that EventBridge calls by the clock.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::clock::AdjustableClock;
use crate::cloudformation::Schedule;
use crate::functions::Functions;

/// How often the clock is read: it can be moved at any time.
const PAUSE: Duration = Duration::from_secs(1);

/// Calls each function once in each of its periods of the clock, until the task is dropped.
pub async fn run(functions: Arc<Functions>, schedules: Vec<Schedule>, clock: AdjustableClock) {
    let periods = || schedules.iter().map(|schedule| clock.now_seconds().div_euclid(schedule.seconds));
    let mut last: Vec<i64> = periods().collect();
    loop {
        sleep(PAUSE).await;
        let now: Vec<i64> = periods().collect();
        for (schedule, _) in schedules.iter().zip(now.iter().zip(&last)).filter(|(_, (now, last))| now != last) {
            // A failure is repeated in the next period.
            let _ = functions.invoke(&schedule.function, json!({"detail-type": "Scheduled Event"})).await;
        }
        last = now;
    }
}
