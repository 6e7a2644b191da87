//! The generator splitmix64 (Steele, Lea, Flood 2014): every random test case follows from one number.

/// A source of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `least` to `most`, both included.
    pub fn within(&mut self, least: i64, most: i64) -> i64 {
        let count = (most - least + 1) as u64;
        least + (self.next() % count) as i64
    }

    /// True `times` in `of`.
    pub fn chance(&mut self, times: i64, of: i64) -> bool {
        self.within(1, of) <= times
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.within(0, choices.len() as i64 - 1) as usize].clone()
    }
}
