//! Medians and percentiles over all runs of one program.

use std::time::Duration;

use crate::run::Run;

#[derive(Default)]
pub struct Statistics(Vec<Run>);

/// Times are medians in milliseconds; `Run` says what each one measures.
impl Statistics {
    pub fn add(&mut self, run: Run) {
        self.0.push(run);
    }

    pub fn ready(&self) -> f64 {
        self.time(50, |run| vec![run.ready])
    }

    pub fn first(&self) -> f64 {
        self.time(50, |run| vec![run.first])
    }

    pub fn cold_cpu(&self) -> f64 {
        self.time(50, |run| vec![run.cold_cpu])
    }

    pub fn warm(&self, percent: usize) -> f64 {
        self.time(percent, |run| run.warm.clone())
    }

    pub fn warm_cpu(&self) -> f64 {
        self.time(50, |run| run.warm_cpu.clone())
    }

    pub fn peak_mib(&self) -> f64 {
        let kib: Vec<u64> = self.0.iter().map(|run| run.peak_kib).collect();
        percentile(&kib, 50) as f64 / 1024.0
    }

    fn time(&self, percent: usize, of: impl Fn(&Run) -> Vec<Duration>) -> f64 {
        let times: Vec<Duration> = self.0.iter().flat_map(of).collect();
        milliseconds(percentile(&times, percent))
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
