//! A country's daily limit as it fills. Each send reads the counters, reserves by the domain's own rule, and writes later,
//! when other sends may have written in between.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use domain::rules::limits::Limits;
use domain::rules::pumping::{CounterScope, MessageCounts, SharedReservation};
use domain::values::source_address::SourceAddress;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;

use crate::random::Random;

/// The time from reading the counters to writing one.
const LAG_MICROSECONDS: u64 = 10_000;
/// The maximum of reservations for one send, as in the domain's `send_otp`.
const MAX_RESERVATIONS: u32 = 12;
/// The stages of the limit: a name, and the percentage of use below which the stage ends.
const STAGES: [(&str, u64); 5] =
    [("to 50 %", 50), ("to 90 %", 90), ("to 99 %", 99), ("to 100 %", 100), ("used up", u64::MAX)];

/// The outcome of the sends that made their first reservation in this stage of the limit.
#[derive(Clone, Default)]
pub struct Stage {
    pub name: &'static str,
    pub sends: u32,
    /// Sends that needed more than one reservation.
    pub reserved_again: u32,
    /// The highest number of reservations of one send.
    pub most_reservations: u32,
    /// Sends that were refused although the limit was not used up.
    pub refused_early: u32,
    /// Sends that failed with their last reservation too.
    pub lost: u32,
}

struct Send {
    stage: usize,
    reservations: u32,
    seed: u32,
    /// What the next step writes; without it, the next step reads.
    reservation: Option<SharedReservation>,
}

/// Simulates 10 % more sends than the limit allows. Also returns how many were counted.
pub fn fill(random: &mut Random, limit: u32, per_second: f64) -> (Vec<Stage>, u32) {
    let unlimited = u32::MAX;
    let limits = Limits {
        country_sends_per_day: limit,
        source_sends_per_hour: unlimited,
        source_sends_per_day: unlimited,
        ..Limits::default()
    };
    let Some(scope) = scope() else { return (Vec::new(), 0) };
    let mut stages = STAGES.map(|(name, _)| Stage { name, ..Stage::default() });
    let mut counts = MessageCounts::default();
    let mut steps: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut sends = Vec::new();
    let mut at = 0;
    for number in 0..usize::try_from(limit.saturating_add(limit / 10)).unwrap_or_default() {
        at = random.gap(per_second).saturating_add(at);
        let seed = u32::try_from(random.below(u64::from(u32::MAX))).unwrap_or_default();
        sends.push(Send { stage: 0, reservations: 0, seed, reservation: None });
        steps.push(Reverse((at, number)));
    }
    let now = Timestamp::from_seconds(0);
    while let Some(Reverse((at, number))) = steps.pop() {
        let Some(send) = sends.get_mut(number) else { continue };
        let used: u32 = counts.country.iter().map(|shard| shard.day).sum();
        if let Some(reservation) = send.reservation.take() {
            if write(&mut counts, &reservation) {
                continue;
            }
        } else if send.reservations == 0 {
            let percent = u64::from(used).saturating_mul(100).checked_div(u64::from(limit)).unwrap_or_default();
            send.stage = STAGES.iter().position(|(_, up_to)| percent < *up_to).unwrap_or_default();
        }
        let Some(stage) = stages.get_mut(send.stage) else { continue };
        send.reservations = send.reservations.saturating_add(1);
        stage.most_reservations = stage.most_reservations.max(send.reservations.min(MAX_RESERVATIONS));
        stage.sends = stage.sends.saturating_add(u32::from(send.reservations == 1));
        stage.reserved_again = stage.reserved_again.saturating_add(u32::from(send.reservations == 2));
        if send.reservations > MAX_RESERVATIONS {
            stage.lost = stage.lost.saturating_add(1);
        } else if counts.decide(&limits, now).refused_until.is_some() {
            stage.refused_early = stage.refused_early.saturating_add(u32::from(used < limit));
        } else {
            send.reservation = counts.reserve(scope.clone(), &limits, send.seed);
            stage.refused_early = stage.refused_early.saturating_add(u32::from(send.reservation.is_none()));
            if send.reservation.is_some() {
                steps.push(Reverse((at.saturating_add(LAG_MICROSECONDS), number)));
            }
        }
    }
    (stages.to_vec(), counts.country.iter().map(|shard| shard.day).sum())
}

fn scope() -> Option<CounterScope> {
    Some(CounterScope {
        organization: OrganizationId::parse("default").ok()?,
        country: "NP".parse().ok()?,
        source: SourceAddress::of(None),
    })
}

/// Counts a message unless its shard is full.
fn write(counts: &mut MessageCounts, reservation: &SharedReservation) -> bool {
    let shard = usize::try_from(reservation.day.number).ok().and_then(|number| counts.country.get_mut(number));
    let Some(shard) = shard.filter(|shard| shard.day < reservation.day.below) else { return false };
    shard.day = shard.day.saturating_add(1);
    true
}
