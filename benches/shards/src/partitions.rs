//! How an organization's counters spread over partitions. The spread changes each day, because the day is in their keys.

use domain::rules::pumping::SHARDS;

use crate::random::Random;

const DAYS: u32 = 1_000;

/// The highest number of one day's counters (of sends and of sign-ins) in one partition: the mean over all days, and the
/// worst day.
pub fn most_in_one(random: &mut Random, partitions: u32) -> (f64, u32) {
    let mut highest = Vec::new();
    for _ in 0..DAYS {
        let mut counters = vec![0_u32; usize::try_from(partitions).unwrap_or_default()];
        for _ in 0..SHARDS.saturating_mul(2) {
            let partition = usize::try_from(random.below(u64::from(partitions))).unwrap_or_default();
            if let Some(count) = counters.get_mut(partition) {
                *count = count.saturating_add(1);
            }
        }
        highest.push(counters.into_iter().max().unwrap_or_default());
    }
    let mean = highest.iter().map(|count| f64::from(*count)).sum::<f64>() / f64::from(DAYS);
    (mean, highest.into_iter().max().unwrap_or_default())
}
