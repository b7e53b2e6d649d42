//! Transactions that write the same shard at the same time: the later one is refused and retried, by the rules of the
//! adapters' own transactions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::random::Random;

/// Write units that a transaction uses at a shard: two for each started KB.
pub const UNITS: f64 = 2.0;
/// Write units per second of a partition, and so of an item that has one to itself
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>).
const UNITS_PER_SECOND: f64 = 1_000.0;
/// The maximum of requests for one transaction, as in the adapters.
const MAX_REQUESTS: u32 = 6;
/// The longest pause before the first retry, as in the adapters; it doubles with each retry.
const FIRST_PAUSE_MICROSECONDS: u64 = 10_000;
/// The time until a refusal is known.
const ROUND_TRIP_MICROSECONDS: u64 = 3_000;
const DURATION_MICROSECONDS: u64 = 20_000_000;

pub struct Outcome {
    /// The mean number of requests per transaction.
    pub requests: f64,
    /// The share that was refused at least once.
    pub delayed: f64,
    /// The share that was refused each time.
    pub lost: f64,
}

/// A pending request. The field order makes the earliest one sort first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    at: u64,
    shard: u32,
    retries: u32,
}

/// The item of a shard: when its current transaction ends, and the write units that are available.
#[derive(Clone)]
struct Shard {
    held_until: u64,
    units: f64,
    filled_at: u64,
}

impl Shard {
    /// Returns whether a transaction that begins now succeeds.
    fn write(&mut self, at: u64, hold: u64) -> bool {
        let elapsed = at.saturating_sub(self.filled_at) as f64 / 1e6;
        self.units = (self.units + elapsed * UNITS_PER_SECOND).min(UNITS_PER_SECOND);
        self.filled_at = at;
        let is_free = at >= self.held_until && self.units >= UNITS;
        if is_free {
            self.units -= UNITS;
            self.held_until = at.saturating_add(hold);
        }
        is_free
    }
}

/// Simulates this rate of transactions at these shards, in bursts: 1.5 and 0.5 times the rate in alternating seconds.
pub fn simulate(random: &mut Random, per_second: f64, shards: u32, hold_milliseconds: u64) -> Outcome {
    let mut pending = BinaryHeap::new();
    let mut at = 0;
    while at < DURATION_MICROSECONDS {
        let is_burst = (at / 1_000_000).is_multiple_of(2);
        at = at.saturating_add(random.gap(per_second * if is_burst { 1.5 } else { 0.5 }));
        let shard = u32::try_from(random.below(u64::from(shards))).unwrap_or_default();
        pending.push(Reverse(Request { at, shard, retries: 0 }));
    }
    let transactions = pending.len() as f64;
    let fresh = Shard { held_until: 0, units: UNITS_PER_SECOND, filled_at: 0 };
    let mut items = vec![fresh; usize::try_from(shards).unwrap_or_default()];
    let (mut requests, mut delayed, mut lost) = (0.0, 0.0, 0.0);
    while let Some(Reverse(Request { at, shard, retries })) = pending.pop() {
        requests += 1.0;
        let item = usize::try_from(shard).ok().and_then(|shard| items.get_mut(shard));
        if item.is_some_and(|item| item.write(at, hold_milliseconds.saturating_mul(1_000))) {
            continue;
        }
        delayed += if retries == 0 { 1.0 } else { 0.0 };
        let next = retries.saturating_add(1);
        if next == MAX_REQUESTS {
            lost += 1.0;
        } else {
            let pause = random.below(FIRST_PAUSE_MICROSECONDS.checked_shl(retries).unwrap_or(FIRST_PAUSE_MICROSECONDS));
            let at = at.saturating_add(ROUND_TRIP_MICROSECONDS).saturating_add(pause);
            pending.push(Reverse(Request { at, shard, retries: next }));
        }
    }
    Outcome { requests: requests / transactions, delayed: delayed / transactions, lost: lost / transactions }
}
