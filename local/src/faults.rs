//! Faults on demand: `POST /local/faults` makes the next calls to a vendor go wrong in a way of the caller's choosing.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use crate::lock;

/// Longer than any client here waits; a connection is not held for ever all the same.
const NEVER: Duration = Duration::from_secs(30);
/// Slow, but within what a client here allows one try.
const SLOW: Duration = Duration::from_millis(1_500);

/// Who is to fail.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    Sparrow,
    Sns,
    Twilio,
    Dynamodb,
    SecretsManager,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The vendor's own refusal; nothing is done.
    Refuse,
    /// A 500; nothing is done.
    Error,
    /// All is done, but no answer ever comes.
    Timeout,
    /// All is done, and the answer takes a second and a half.
    Slow,
    /// All is done twice, as after a retry of a lost answer.
    Duplicate,
}

/// The body of `POST /local/faults`.
#[derive(Clone, Debug, Deserialize)]
pub struct Fault {
    pub target: Target,
    pub mode: Mode,
    /// How many calls it spoils.
    #[serde(default = "once")]
    pub times: u32,
    /// With `refuse`: the vendor's code, a word or a number, for another refusal than the usual one.
    #[serde(default)]
    code: Value,
}

fn once() -> u32 {
    1
}

/// The faults still to happen, in the order they were asked for.
#[derive(Default)]
pub struct Faults(Mutex<VecDeque<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) {
        lock(&self.0).push_back(fault);
    }

    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    fn next(&self, target: Target) -> Option<Fault> {
        let mut faults = lock(&self.0);
        let position = faults.iter().position(|fault| fault.target == target && fault.times > 0)?;
        let fault = faults.get_mut(position)?;
        fault.times = fault.times.saturating_sub(1);
        let next = fault.clone();
        faults.retain(|fault| fault.times > 0);
        Some(next)
    }

    /// Does `work`, unless a fault is due for `target`: then it goes wrong as asked.
    pub async fn spoil<Work: Future<Output = Response>>(
        &self,
        target: Target,
        refusal: impl FnOnce(Option<&str>) -> Response,
        error: impl FnOnce() -> Response,
        work: impl Fn() -> Work,
    ) -> Response {
        let Some(fault) = self.next(target) else { return work().await };
        match fault.mode {
            Mode::Refuse => match &fault.code {
                Value::String(word) => refusal(Some(word)),
                Value::Number(number) => refusal(Some(&number.to_string())),
                _ => refusal(None),
            },
            Mode::Error => error(),
            Mode::Timeout => {
                let _ = work().await;
                sleep(NEVER).await;
                error()
            }
            Mode::Slow => {
                let answer = work().await;
                sleep(SLOW).await;
                answer
            }
            Mode::Duplicate => {
                let _ = work().await;
                work().await
            }
        }
    }
}
