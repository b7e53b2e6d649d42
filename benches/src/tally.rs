//! Medians and percentiles over all runs of one program.

use std::time::Duration;

use crate::run::Run;

#[derive(Default)]
pub struct Tally {
    ready: Vec<Duration>,
    first: Vec<Duration>,
    cold_cpu: Vec<Duration>,
    warm: Vec<Duration>,
    warm_cpu: Vec<Duration>,
    peak_kib: Vec<u64>,
}

impl Tally {
    pub fn add(&mut self, run: Run) {
        self.ready.push(run.ready);
        self.first.push(run.first);
        self.cold_cpu.push(run.cold_cpu);
        self.warm.extend(run.warm);
        self.warm_cpu.extend(run.warm_cpu);
        self.peak_kib.push(run.peak_kib);
    }

    /// Milliseconds, as for all times below: the median from the start to the first request for an event.
    pub fn ready(&self) -> f64 {
        milliseconds(percentile(&self.ready, 50))
    }

    /// The median from the start to the first answer.
    pub fn first(&self) -> f64 {
        milliseconds(percentile(&self.first, 50))
    }

    /// The median processor time of the start and the first answer.
    pub fn cold_cpu(&self) -> f64 {
        milliseconds(percentile(&self.cold_cpu, 50))
    }

    /// A percentile of the time from an event to its answer in warm requests.
    pub fn warm(&self, percent: usize) -> f64 {
        milliseconds(percentile(&self.warm, percent))
    }

    /// The median processor time of a warm request.
    pub fn warm_cpu(&self) -> f64 {
        milliseconds(percentile(&self.warm_cpu, 50))
    }

    /// The median of the runs' peak memory, in MiB.
    pub fn peak_mib(&self) -> f64 {
        let kib = percentile(&self.peak_kib, 50) as f64;
        kib / 1024.0
    }
}

/// The nearest-rank percentile; the default value if there are no values.
pub fn percentile<T: Copy + Default + Ord>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_percentile_is_one_of_the_values_and_the_median_is_the_middle_one() {
        let values: Vec<u32> = (1..=200).rev().collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&values, percent)), [100, 198, 200]);
        assert_eq!([50, 99].map(|percent| percentile(&[3, 1, 2], percent)), [2, 3]);
        assert_eq!(percentile::<u32>(&[], 50), 0);
    }
}
