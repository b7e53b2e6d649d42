//! Faults on demand: `POST /local/faults` makes the next calls to a vendor go wrong in a way of the caller's choosing,
//! and [`Aim`] one certain call.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use crate::aim::{Aim, Outgoing, Sight};
use crate::{answer, lock};

/// Longer than any client here waits; a connection is not held for ever all the same.
const NEVER: Duration = Duration::from_secs(30);

/// Who is to fail.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Target {
    Sparrow,
    Sns,
    Twilio,
    Fcm,
    Dynamodb,
    SecretsManager,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The vendor's own refusal; nothing is done.
    Refuse,
    /// A 500; nothing is done.
    Error,
    /// All is done, but no answer ever comes.
    Timeout,
    /// All is done, and the answer takes three quarters of the time that a client here allows one try.
    Slow,
    /// All is done twice, as after a retry of a lost answer.
    Duplicate,
    /// Nothing is done, and the connection is cut.
    #[serde(skip)]
    Cut,
    /// All is done, and a 500 answers.
    #[serde(skip)]
    Lost,
    /// All is done, and the connection is cut in place of an answer.
    #[serde(skip)]
    LostInCut,
    /// No answer ever comes; all is done later, when [`crate::System::do_late_requests`] says so.
    #[serde(skip)]
    Late,
    /// All is done, and the function that asked for it dies before it learns so.
    #[serde(skip)]
    Kill,
    /// The function dies as its request is on the way; all is done later, as with [`Mode::Late`].
    #[serde(skip)]
    KillLate,
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

impl Fault {
    /// One that spoils one call.
    pub fn once(target: Target, mode: Mode, code: Option<&str>) -> Self {
        Self { target, mode, times: 1, code: code.map_or(Value::Null, Value::from) }
    }
}

/// The faults still to happen, in the order they were asked for; before them, the one that is aimed.
pub struct Faults {
    queue: Mutex<VecDeque<Fault>>,
    sight: Sight,
    late: Mutex<Vec<Late>>,
    deaths: watch::Sender<()>,
    slow: Duration,
}

/// A request that was held back: sent word, it is done, and word comes back when it is.
struct Late {
    go: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

impl Faults {
    /// None so far. `try_time` is what a client here allows one try.
    pub fn new(try_time: Duration) -> Self {
        Self {
            queue: Mutex::default(),
            sight: Sight::default(),
            late: Mutex::default(),
            deaths: watch::Sender::new(()),
            slow: try_time.mul_f64(0.75),
        }
    }

    pub fn add(&self, fault: Fault) {
        lock(&self.queue).push_back(fault);
    }

    pub fn clear(&self) {
        lock(&self.queue).clear();
    }

    pub fn aim(&self, aim: Option<Aim>) {
        self.sight.take(aim);
    }

    pub fn outgoing(&self) -> Vec<Outgoing> {
        self.sight.seen()
    }

    /// Lets what was held back be done, and waits until it is.
    pub async fn do_late_requests(&self) {
        let late = std::mem::take(&mut *lock(&self.late));
        for Late { go, done } in late {
            let _ = go.send(());
            let _ = done.await;
        }
    }

    /// Hears of the moments at which functions die.
    pub fn deaths(&self) -> watch::Receiver<()> {
        self.deaths.subscribe()
    }

    fn next(&self, target: Target) -> Option<Fault> {
        let mut faults = lock(&self.queue);
        let position = faults.iter().position(|fault| fault.target == target && fault.times > 0)?;
        let fault = faults.get_mut(position)?;
        fault.times = fault.times.saturating_sub(1);
        let next = fault.clone();
        faults.retain(|fault| fault.times > 0);
        Some(next)
    }

    /// Does `work`, unless a fault is due for `target`: then it goes wrong as asked. `what` names the call among its
    /// target's.
    pub async fn spoil<Work: Future<Output = Response>>(
        &self,
        target: Target,
        what: String,
        refusal: impl FnOnce(Option<&str>) -> Response,
        error: impl FnOnce() -> Response,
        work: impl Fn() -> Work,
    ) -> Response {
        let aimed = self.sight.pass(target, what);
        let Some(fault) = aimed.or_else(|| self.next(target)) else { return work().await };
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
                sleep(self.slow).await;
                answer
            }
            Mode::Duplicate => {
                let _ = work().await;
                work().await
            }
            Mode::Cut => answer::cut_off(),
            Mode::Lost => {
                let _ = work().await;
                error()
            }
            Mode::LostInCut => {
                let _ = work().await;
                answer::cut_off()
            }
            Mode::Late => self.hold_back(work).await,
            Mode::Kill => {
                let _ = work().await;
                self.deaths.send_replace(());
                sleep(NEVER).await;
                error()
            }
            Mode::KillLate => {
                self.deaths.send_replace(());
                self.hold_back(work).await
            }
        }
    }

    async fn hold_back<Work: Future<Output = Response>>(&self, work: impl Fn() -> Work) -> Response {
        let (go, gone) = oneshot::channel();
        let (finished, done) = oneshot::channel();
        lock(&self.late).push(Late { go, done });
        // Without word, the system has ended.
        if gone.await.is_ok() {
            let _ = work().await;
            let _ = finished.send(());
        }
        answer::cut_off()
    }
}
