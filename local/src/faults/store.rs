//! The faults that are still to happen, and their execution.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use crate::answer;
use crate::faults::aim::{Aim, Outgoing, RequestCounter};
use crate::faults::fault::{Fault, Mode, Target};
use crate::live::Live;
use crate::lock::lock;

/// Longer than any client here waits, but not for ever.
const NEVER: Duration = Duration::from_secs(30);

/// Many more than a test queues.
const QUEUE: usize = 1000;

/// The queued faults, oldest first. The aimed fault takes precedence.
pub struct Faults {
    live: Arc<Live>,
    queue: Mutex<VecDeque<Fault>>,
    counter: RequestCounter,
    late: Mutex<Vec<Late>>,
    deaths: watch::Sender<()>,
    slow: Duration,
}

/// A request that is held back: it is executed on `go`, and reports on `done`.
struct Late {
    go: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

impl Faults {
    /// `attempt_timeout` is the time that a client here allows one attempt.
    pub fn new(attempt_timeout: Duration, live: Arc<Live>) -> Self {
        Self {
            live,
            queue: Mutex::default(),
            counter: RequestCounter::default(),
            late: Mutex::default(),
            deaths: watch::Sender::new(()),
            slow: attempt_timeout.mul_f64(0.75),
        }
    }

    /// Returns whether there was room for it.
    pub fn add(&self, fault: Fault) -> bool {
        let mut queue = lock(&self.queue);
        let has_room = queue.len() < QUEUE;
        if has_room {
            queue.push_back(fault);
            self.tell(&queue);
        }
        has_room
    }

    pub fn clear(&self) {
        let mut queue = lock(&self.queue);
        queue.clear();
        self.tell(&queue);
    }

    /// The faults that are still to happen, oldest first, as `GET /local/faults` shows them.
    pub fn pending(&self) -> Value {
        pending(&lock(&self.queue))
    }

    fn tell(&self, queue: &VecDeque<Fault>) {
        self.live.tell("faults", &pending(queue));
    }

    pub fn aim(&self, aim: Option<Aim>) {
        self.counter.aim(aim);
    }

    pub fn outgoing(&self) -> Vec<Outgoing> {
        self.counter.seen()
    }

    /// Executes the requests that were held back, and waits until they are done.
    pub async fn do_late_requests(&self) {
        let late = std::mem::take(&mut *lock(&self.late));
        for Late { go, done } in late {
            let _ = go.send(());
            let _ = done.await;
        }
    }

    /// Changes whenever a function is to die.
    pub fn deaths(&self) -> watch::Receiver<()> {
        self.deaths.subscribe()
    }

    fn next(&self, target: Target) -> Option<Fault> {
        let mut faults = lock(&self.queue);
        let position = faults.iter().position(|fault| fault.target == target)?;
        let fault = faults.get_mut(position)?;
        fault.times = fault.times.saturating_sub(1);
        let next = fault.clone();
        faults.retain(|fault| fault.times > 0);
        self.tell(&faults);
        Some(next)
    }

    /// Executes a request with `work`, unless a fault is due for it. `what` names the request, as [`Outgoing::what`]
    /// does.
    pub async fn execute<Work: Future<Output = Response>>(
        &self,
        target: Target,
        what: String,
        refusal: impl FnOnce(Option<&str>) -> Response,
        error: impl FnOnce() -> Response,
        work: impl Fn() -> Work,
    ) -> Response {
        let aimed = self.counter.pass(target, what);
        let Some(fault) = aimed.or_else(|| self.next(target)) else { return work().await };
        match fault.mode {
            Mode::Refuse => match &fault.code {
                Value::String(code) => refusal(Some(code)),
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
            Mode::Lost | Mode::LostThenThrottled(_) => {
                let _ = work().await;
                error()
            }
            Mode::LostInCut | Mode::LostInCuts(_) => {
                let _ = work().await;
                answer::cut_off()
            }
            Mode::InProgress(_) => {
                let _ = work().await;
                refusal(Some("TransactionInProgressException"))
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
        let (go, started) = oneshot::channel();
        let (finished, done) = oneshot::channel();
        lock(&self.late).push(Late { go, done });
        // The sender is dropped without a message when the system ends.
        if started.await.is_ok() {
            let _ = work().await;
            let _ = finished.send(());
        }
        answer::cut_off()
    }
}

fn pending(queue: &VecDeque<Fault>) -> Value {
    json!({ "faults": queue })
}
