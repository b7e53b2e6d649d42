//! Transactions that meet at a shard: the later one is refused and comes again, as `store/transaction.rs` has it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::random::Random;

/// Write units a transaction takes of a shard: two for each KB that is begun.
pub const UNITS: f64 = 2.0;
/// Write units a second that a partition gives, and so the item that has one to itself
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>).
const UNITS_PER_SECOND: f64 = 1_000.0;
/// Tries of a transaction, as in `store/transaction.rs`.
const TRIES: u32 = 6;
/// The longest pause before the second try, as there; it doubles with each. Microseconds.
const FIRST_PAUSE: u64 = 10_000;
/// Until a refusal is known. Microseconds.
const ROUND_TRIP: u64 = 3_000;
/// How long people come. Microseconds.
const LASTS: u64 = 20_000_000;

/// What became of transactions.
pub struct Met {
    /// How often each was tried.
    pub tries: f64,
    /// The share that was in another's way at least once.
    pub delayed: f64,
    /// The share that was in another's way each time.
    pub lost: f64,
}

/// A try to come; the earliest is first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Try {
    at: u64,
    shard: u32,
    before: u32,
}

/// A shard's item: until when a transaction holds it, and what it may still write.
#[derive(Clone)]
struct Shard {
    held_until: u64,
    units: f64,
    filled_at: u64,
}

impl Shard {
    /// Whether a transaction that begins now goes through.
    fn takes(&mut self, at: u64, hold: u64) -> bool {
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

/// Lets so many transactions a second at these shards, in bursts: every other second half as many again, and half.
pub fn of(random: &mut Random, per_second: f64, shards: u32, hold_milliseconds: u64) -> Met {
    let mut to_come = BinaryHeap::new();
    let mut at = 0;
    while at < LASTS {
        let is_burst = (at / 1_000_000).is_multiple_of(2);
        at = at.saturating_add(random.gap(per_second * if is_burst { 1.5 } else { 0.5 }));
        let shard = u32::try_from(random.below(u64::from(shards))).unwrap_or_default();
        to_come.push(Reverse(Try { at, shard, before: 0 }));
    }
    let all = to_come.len() as f64;
    let fresh = Shard { held_until: 0, units: UNITS_PER_SECOND, filled_at: 0 };
    let mut items = vec![fresh; usize::try_from(shards).unwrap_or_default()];
    let (mut tries, mut delayed, mut lost) = (0.0, 0.0, 0.0);
    while let Some(Reverse(Try { at, shard, before })) = to_come.pop() {
        tries += 1.0;
        let item = usize::try_from(shard).ok().and_then(|shard| items.get_mut(shard));
        if item.is_some_and(|item| item.takes(at, hold_milliseconds.saturating_mul(1_000))) {
            continue;
        }
        delayed += if before == 0 { 1.0 } else { 0.0 };
        let next = before.saturating_add(1);
        if next == TRIES {
            lost += 1.0;
        } else {
            let pause = random.below(FIRST_PAUSE.checked_shl(before).unwrap_or(FIRST_PAUSE));
            to_come.push(Reverse(Try { at: at.saturating_add(ROUND_TRIP).saturating_add(pause), shard, before: next }));
        }
    }
    Met { tries: tries / all, delayed: delayed / all, lost: lost / all }
}
