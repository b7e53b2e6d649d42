//! A country's cap as it fills: each send reads the counters, plans by the domain's own rule, and writes a while later,
//! when others have written in between.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use domain::Timestamp;
use domain::limits::Limits;
use domain::pumping::{CountedOn, Counts, Take};
use domain::send_otp::SourceAddress;
use domain::text::OrganizationId;

use crate::random::Random;

/// From reading the counters to writing one. Microseconds.
const LAG: u64 = 10_000;
/// How often a send is planned, as in `send_otp.rs`.
const PLANS: u32 = 12;
/// The parts of the cap that are looked at: up to which hundredth of it is used.
const STAGES: [(&str, u64); 5] =
    [("to 50 %", 50), ("to 90 %", 90), ("to 99 %", 99), ("to 100 %", 100), ("used up", u64::MAX)];

/// What became of the sends that were planned first while so much of the cap was used.
#[derive(Clone, Default)]
pub struct Stage {
    /// How much.
    pub name: &'static str,
    /// How many came.
    pub sends: u32,
    /// How many were planned more than once.
    pub planned_again: u32,
    /// The most plans that one took.
    pub most_plans: u32,
    /// How many were refused although the cap had room.
    pub refused_early: u32,
    /// How many found no room by their last plan.
    pub lost: u32,
}

/// A send's next step.
struct Step {
    stage: usize,
    plans: u32,
    seed: u32,
    /// What it writes; without, it reads.
    take: Option<Take>,
}

/// Lets a tenth more sends come than a day's cap has room for. Also says how many were counted in the end.
pub fn fill(random: &mut Random, cap: u32, per_second: f64) -> (Vec<Stage>, u32) {
    let unlimited = u32::MAX;
    let limits = Limits {
        country_sends_per_day: cap,
        source_sends_per_hour: unlimited,
        source_sends_per_day: unlimited,
        ..Limits::default()
    };
    let Some(counted_on) = counted_on() else { return (Vec::new(), 0) };
    let mut stages = STAGES.map(|(name, _)| Stage { name, ..Stage::default() });
    let mut counts = Counts::default();
    let mut steps: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut sends = Vec::new();
    let mut at = 0;
    for number in 0..usize::try_from(cap.saturating_add(cap / 10)).unwrap_or_default() {
        at = random.gap(per_second).saturating_add(at);
        let seed = u32::try_from(random.below(u64::from(u32::MAX))).unwrap_or_default();
        sends.push(Step { stage: 0, plans: 0, seed, take: None });
        steps.push(Reverse((at, number)));
    }
    let now = Timestamp::from_seconds(0);
    while let Some(Reverse((at, number))) = steps.pop() {
        let Some(send) = sends.get_mut(number) else { continue };
        let used: u32 = counts.country.iter().map(|shard| shard.day).sum();
        if let Some(take) = send.take.take() {
            if write(&mut counts, &take) {
                continue;
            }
        } else if send.plans == 0 {
            let hundredths = u64::from(used).saturating_mul(100).checked_div(u64::from(cap)).unwrap_or_default();
            send.stage = STAGES.iter().position(|(_, up_to)| hundredths < *up_to).unwrap_or_default();
        }
        let Some(stage) = stages.get_mut(send.stage) else { continue };
        send.plans = send.plans.saturating_add(1);
        stage.most_plans = stage.most_plans.max(send.plans.min(PLANS));
        stage.sends = stage.sends.saturating_add(u32::from(send.plans == 1));
        stage.planned_again = stage.planned_again.saturating_add(u32::from(send.plans == 2));
        if send.plans > PLANS {
            stage.lost = stage.lost.saturating_add(1);
        } else if counts.verdict(&limits, now).refused_until.is_some() {
            stage.refused_early = stage.refused_early.saturating_add(u32::from(used < cap));
        } else {
            send.take = counts.take(counted_on.clone(), &limits, send.seed);
            stage.refused_early = stage.refused_early.saturating_add(u32::from(send.take.is_none()));
            if send.take.is_some() {
                steps.push(Reverse((at.saturating_add(LAG), number)));
            }
        }
    }
    (stages.to_vec(), counts.country.iter().map(|shard| shard.day).sum())
}

fn counted_on() -> Option<CountedOn> {
    Some(CountedOn {
        organization: OrganizationId::parse("default").ok()?,
        country: "NP".parse().ok()?,
        source: SourceAddress::of(None),
    })
}

/// Counts a message, if its shard has room still.
fn write(counts: &mut Counts, take: &Take) -> bool {
    let shard = usize::try_from(take.day.number).ok().and_then(|number| counts.country.get_mut(number));
    let Some(shard) = shard.filter(|shard| shard.day < take.day.below) else { return false };
    shard.day = shard.day.saturating_add(1);
    true
}
