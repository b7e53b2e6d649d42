//! One fault at one request: the functions' requests are counted, and the one aimed at goes wrong. With this, a test
//! goes through every request of a flow and sees what a fault there does; it is Rust alone and has no route.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::faults::{Fault, Mode, Target};
use crate::lock;

/// A request that a function sent into the world.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Outgoing {
    /// To whom.
    pub target: Target,
    /// What it asks for, without what differs from one person to the next, such as `GetItem OtpsTable phone`.
    pub what: String,
    /// Which one of those alike, counted from 1 since aim was taken. Requests that go side by side keep their names
    /// whichever comes first.
    pub nth: usize,
}

/// One fault, for one request to come.
#[derive(Clone, Debug)]
pub struct Aim {
    /// Which request goes wrong.
    pub at: Outgoing,
    /// How.
    pub mode: Mode,
    /// With [`Mode::Refuse`]: the vendor's code for another refusal than the usual one.
    pub code: Option<&'static str>,
    /// Whether those alike that follow go wrong as well, until aim is taken anew: no try of the same call helps then.
    pub lasts: bool,
}

/// The requests since aim was taken, and the aim. Where nobody ever takes aim, nothing is counted.
#[derive(Default)]
pub struct Sight(Mutex<Option<Counted>>);

#[derive(Default)]
struct Counted {
    seen: Vec<Outgoing>,
    alike: BTreeMap<(Target, String), usize>,
    aim: Option<Aim>,
}

impl Sight {
    /// Counts anew, with an aim or with none.
    pub fn take(&self, aim: Option<Aim>) {
        *lock(&self.0) = Some(Counted { aim, ..Counted::default() });
    }

    /// The requests since, in the order of their arrival.
    pub fn seen(&self) -> Vec<Outgoing> {
        lock(&self.0).as_ref().map(|counted| counted.seen.clone()).unwrap_or_default()
    }

    /// Counts a request, and says what is to befall it.
    pub fn pass(&self, target: Target, what: String) -> Option<Fault> {
        let mut sight = lock(&self.0);
        let Counted { seen, alike, aim } = sight.as_mut()?;
        let nth = alike.entry((target, what.clone())).or_default();
        *nth = nth.saturating_add(1);
        let nth = *nth;
        let struck = aim.as_ref().filter(|Aim { at, lasts, .. }| {
            (at.target, &at.what) == (target, &what) && (at.nth == nth || (*lasts && at.nth < nth))
        });
        let fault = struck.map(|aim| Fault::once(target, aim.mode, aim.code));
        seen.push(Outgoing { target, what, nth });
        fault
    }
}
