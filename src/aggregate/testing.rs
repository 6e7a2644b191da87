//! Random numbers for the tests of this module, the same for the same seed.
//!
//! Knows nothing of what is tested.

/// splitmix64.
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A finite double of everyday size, or one of any size there is.
    pub fn double(&mut self) -> f64 {
        match self.below(4) {
            0 => f64::from_bits(self.next() & !(1 << 62)),
            1 => f64::from_bits(self.next() & !(1 << 54)),
            2 => (self.below(2_000_000) as f64 - 1e6) / 100.0,
            _ => (self.next() >> 11) as f64 / (1_u64 << 53) as f64,
        }
    }
}
