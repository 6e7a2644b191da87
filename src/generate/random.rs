//! Chance: a small seeded generator and the few distributions that the simulations draw from.
//!
//! Knows nothing of events. Everything here is a pure function of the seed, so that a seed gives the same
//! stream on every machine.

/// Mixes the bits of `x` so that neighbours look unrelated: splitmix64's finalizer (Steele, Lea, Flood 2014). A bijection.
pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A stream of random numbers (splitmix64). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Stream number `stream` of `seed`. Different streams of one seed are unrelated.
    pub fn new(seed: u64, stream: u64) -> Random {
        Random {
            state: mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ stream.wrapping_mul(0xd134_2543_de82_ef95)),
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number in `0..bound`, as good as uniform. 0 for a bound of 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// A number in `0..bound`, for bounds beyond `below`'s.
    pub fn below_wide(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True with probability `chance`.
    pub fn hits(&mut self, chance: Chance) -> bool {
        (self.bits() >> 32) < chance.0
    }

    /// A waiting time in microseconds: exponential around `mean`, at most about 8 times it.
    pub fn wait(&mut self, waits: &Waits, mean: i64) -> i64 {
        ((i128::from(mean) * i128::from(waits.0[self.below(Waits::COUNT as u32) as usize])) >> 16) as i64
    }
}

/// A probability, in units of 2⁻³².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// Never.
    pub const ZERO: Chance = Chance(0);

    /// The chance `share`, which lies in 0..=1.
    pub fn new(share: f64) -> Chance {
        assert!((0.0..=1.0).contains(&share), "a chance of {share} is none");
        Chance((share * 4_294_967_296.0).round() as u64)
    }
}

/// Quantiles of the exponential distribution of mean 1, in units of 2⁻¹⁶: a draw is one look-up instead of a logarithm.
#[derive(Debug, Clone)]
pub struct Waits(Vec<u32>);

impl Waits {
    const COUNT: usize = 4096;

    /// The table. Its mean is 1 to within a thousandth.
    pub fn new() -> Waits {
        let quantile = |i: usize| -(1.0 - (i as f64 + 0.5) / Waits::COUNT as f64).ln();
        Waits((0..Waits::COUNT).map(|i| (quantile(i) * 65_536.0).round() as u32).collect())
    }

    /// The quantile number `i` modulo the table's size, scaled to `mean`; for those who bring their own random bits.
    pub fn scaled(&self, i: usize, mean: u64) -> u64 {
        (mean * u64::from(self.0[i % Waits::COUNT])) >> 16
    }
}

impl Default for Waits {
    fn default() -> Waits {
        Waits::new()
    }
}

/// A choice among `0..n` by weight, in constant time: the alias method (Walker 1977, built as Vose 1991).
#[derive(Debug, Clone)]
pub struct Weighted {
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Below it the cell's own number is drawn, else its alias.
    threshold: u32,
    alias: u32,
}

impl Weighted {
    /// Draws `i` in proportion to `weights[i]`, which are finite, not negative and not all zero.
    pub fn new(weights: &[f64]) -> Weighted {
        let count = weights.len();
        let total: f64 = weights.iter().sum();
        assert!(total > 0.0 && total.is_finite(), "weights add up to {total}");
        let mut share: Vec<f64> = weights.iter().map(|weight| weight * count as f64 / total).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..count).partition(|&i| share[i] < 1.0);
        let mut cells: Vec<Cell> = (0..count).map(|i| Cell { threshold: u32::MAX, alias: i as u32 }).collect();
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            cells[poor] = Cell { threshold: (share[poor] * 4_294_967_296.0) as u32, alias: rich as u32 };
            share[rich] -= 1.0 - share[poor];
            if share[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Weighted { cells }
    }

    /// Zipf's law over `0..count`: the weight of `i` is `1 / (i + 1)^exponent`.
    pub fn zipf(count: u32, exponent: f64) -> Weighted {
        Weighted::new(&(1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect::<Vec<_>>())
    }

    /// One draw.
    pub fn draw(&self, random: &mut Random) -> u32 {
        self.pick(random.bits())
    }

    /// The draw that 64 random bits stand for.
    pub fn pick(&self, bits: u64) -> u32 {
        let own = (((bits >> 32) * self.cells.len() as u64) >> 32) as u32;
        let cell = self.cells[own as usize];
        if (bits as u32) < cell.threshold { own } else { cell.alias }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_a_seed_differ_and_repeat() {
        let draw = |seed, stream| Random::new(seed, stream).bits();
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn below_reaches_both_ends_and_not_beyond() {
        let mut random = Random::new(1, 0);
        let mut seen = [0u32; 5];
        (0..10_000).for_each(|_| seen[random.below(5) as usize] += 1);
        assert!(seen.iter().all(|&n| (1_800..2_200).contains(&n)), "{seen:?}");
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| random.below_wide(1 << 40) < 1 << 40));
    }

    #[test]
    fn chances_are_kept_at_and_between_the_ends() {
        let mut random = Random::new(2, 0);
        let mut hits = |share: f64| (0..100_000).filter(|_| random.hits(Chance::new(share))).count();
        assert_eq!(hits(0.0), 0);
        assert_eq!(hits(1.0), 100_000);
        let fifth = hits(0.2);
        assert!((19_500..20_500).contains(&fifth), "{fifth}");
    }

    #[test]
    fn waits_have_their_mean() {
        let (mut random, waits) = (Random::new(3, 0), Waits::new());
        let total: i64 = (0..200_000).map(|_| random.wait(&waits, 1_000)).sum();
        assert!((195_000_000..205_000_000).contains(&total), "{total}");
    }

    #[test]
    fn weights_are_kept() {
        let check = |weights: &[f64]| {
            let (mut random, table) = (Random::new(4, 0), Weighted::new(weights));
            let mut seen = vec![0f64; weights.len()];
            (0..200_000).for_each(|_| seen[table.draw(&mut random) as usize] += 1.0 / 200_000.0);
            let total: f64 = weights.iter().sum();
            for (share, weight) in seen.iter().zip(weights) {
                assert!((share - weight / total).abs() < 0.005, "{weights:?} gave {seen:?}");
            }
        };
        check(&[1.0]);
        check(&[1.0, 0.0, 3.0]);
        check(&[5.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        check(&[0.1, 0.2, 0.3, 0.4]);
    }

    #[test]
    fn mix_is_a_bijection_on_a_sample() {
        let mut seen: Vec<u64> = (0..100_000).map(mix).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100_000);
    }
}
