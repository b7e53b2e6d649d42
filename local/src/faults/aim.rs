//! One fault at one chosen request: the functions' requests are counted, and the chosen one fails. With this a test
//! goes through every request of a flow and sees what a fault there does. Only Rust code can use it; it has no route.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

use crate::faults::fault::{Fault, Mode, Target};
use crate::lock::lock;

/// A request that a function sent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Outgoing {
    pub target: Target,
    /// What it asks for, without what differs between users, such as `GetItem OtpsTable phone`.
    pub what: String,
    /// Its number among those with the same `target` and `what`, counted from 1. Concurrent requests keep their names
    /// whichever comes first.
    pub nth: usize,
}

/// One fault for one future request.
#[derive(Clone, Debug)]
pub struct Aim {
    pub at: Outgoing,
    pub mode: Mode,
    /// With [`Mode::Refuse`]: the vendor's error code, if not the usual one.
    pub code: Option<&'static str>,
    /// Whether the following requests with the same `target` and `what` fail too, so that no retry helps.
    pub lasts: bool,
}

/// Counts requests, and says which one fails. It counts nothing until [`RequestCounter::aim`] is called for the first
/// time.
#[derive(Default)]
pub struct RequestCounter(Mutex<Option<Counted>>);

#[derive(Default)]
struct Counted {
    seen: Vec<Outgoing>,
    alike: BTreeMap<(Target, String), usize>,
    aim: Option<Aim>,
}

impl RequestCounter {
    /// Restarts the count.
    pub fn aim(&self, aim: Option<Aim>) {
        *lock(&self.0) = Some(Counted { aim, ..Counted::default() });
    }

    /// The requests since the last [`RequestCounter::aim`], oldest first.
    pub fn seen(&self) -> Vec<Outgoing> {
        lock(&self.0).as_ref().map(|counted| counted.seen.clone()).unwrap_or_default()
    }

    /// Counts a request, and returns the fault that is aimed at it.
    pub fn pass(&self, target: Target, what: String) -> Option<Fault> {
        let mut counter = lock(&self.0);
        let Counted { seen, alike, aim } = counter.as_mut()?;
        let nth = alike.entry((target, what.clone())).or_default();
        *nth = nth.saturating_add(1);
        let nth = *nth;
        let hit = aim.as_ref().filter(|Aim { at, mode, lasts, .. }| {
            let is_meant = at.nth <= nth && (*lasts || nth < at.nth.saturating_add(mode.requests()));
            is_meant && (at.target, &at.what) == (target, &what)
        });
        let fault = hit.map(|aim| {
            let (mode, code) = match aim.mode {
                Mode::LostThenThrottled(_) if nth > aim.at.nth => (Mode::Refuse, Some("ThrottlingException")),
                mode => (mode, aim.code),
            };
            Fault { target, mode, times: 1, code: code.map_or(Value::Null, Value::from) }
        });
        seen.push(Outgoing { target, what, nth });
        fault
    }
}
