//! Pseudo-random numbers, the same at each run: SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).

pub struct Random(pub u64);

impl Random {
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any().checked_rem(bound).unwrap_or_default()
    }

    /// Microseconds until the next event of a Poisson process with this rate.
    pub fn gap(&mut self, per_second: f64) -> u64 {
        let unit = (self.any() >> 11) as f64 / (1_u64 << 53) as f64;
        (-(1.0 - unit).ln() / per_second * 1e6) as u64
    }
}
