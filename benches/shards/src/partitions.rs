//! Which partitions an organization's counters fall on: new ones each day, for the day is in their keys.

use domain::pumping::SHARDS;

use crate::random::Random;

/// How many days are tried.
const DAYS: u32 = 1_000;

/// The most of a day's counters of sends and of sign-ins that one of `partitions` has: of the mean day, and the worst.
pub fn most_in_one(random: &mut Random, partitions: u32) -> (f64, u32) {
    let mut most = Vec::new();
    for _ in 0..DAYS {
        let mut fallen = vec![0_u32; usize::try_from(partitions).unwrap_or_default()];
        for _ in 0..SHARDS.saturating_mul(2) {
            let at = usize::try_from(random.below(u64::from(partitions))).unwrap_or_default();
            if let Some(count) = fallen.get_mut(at) {
                *count = count.saturating_add(1);
            }
        }
        most.push(fallen.into_iter().max().unwrap_or_default());
    }
    let mean = most.iter().map(|count| f64::from(*count)).sum::<f64>() / f64::from(DAYS);
    (mean, most.into_iter().max().unwrap_or_default())
}
