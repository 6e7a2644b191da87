//! An exact accumulator for numbers that are far apart: a two's complement number as long as it needs to be.
//!
//! It is the superaccumulator of Neal, "Fast exact summation using small and large superaccumulators" (2015), but for
//! its length: only the limbs between the lowest and the highest bit seen are kept, which is four or five for
//! everyday numbers. An addition touches three limbs and as many more as the carry runs.
//! Knows nothing of rounding and of why numbers are added.

use num_bigint::BigInt;

/// The exact sum of numbers `± magnitude · 2^exponent`.
#[derive(Debug, Clone, Default)]
pub struct Wide {
    /// Two's complement, least first. The last limb is nothing but sign: 0 or `u64::MAX`.
    limbs: Vec<u64>,
    /// The first limb counts units of `2^(64 · lowest)`.
    lowest: i32,
}

impl Wide {
    /// Adds `± magnitude · 2^exponent`.
    pub fn add(&mut self, magnitude: u128, exponent: i32, negative: bool) {
        if magnitude == 0 {
            return;
        }
        let (limb, shift) = (exponent.div_euclid(64), exponent.rem_euclid(64));
        let low = (magnitude as u64 as u128) << shift;
        let high = ((magnitude >> 64) << shift) + (low >> 64);
        let addend = [low as u64, high as u64, (high >> 64) as u64];
        let used = if addend[2] != 0 { 3 } else { 2 };
        let at = self.reach(limb, used);
        let carry = if negative { self.subtract(at, &addend[..used]) } else { self.add_at(at, &addend[..used]) };
        let first = at + used;
        self.carry_on(first, carry, negative);
        self.keep_sign_limb();
    }

    /// Adds all that `other` has summed.
    pub fn merge(&mut self, other: &Wide) {
        let Some((&sign, digits)) = other.limbs.split_last() else { return };
        let at = self.reach(other.lowest, digits.len());
        let mut carry = self.add_at(at, digits);
        for limb in &mut self.limbs[at + digits.len()..] {
            let (sum, first) = limb.overflowing_add(sign);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first | second;
        }
        self.keep_sign_limb();
    }

    /// The sum as `value · 2^exponent`.
    pub fn exact(&self) -> (BigInt, i32) {
        let bytes: Vec<u8> = self.limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        (BigInt::from_signed_bytes_le(&bytes), self.lowest * 64)
    }

    /// Makes sure that limbs `limb..limb + used` (in units of `2^64`) stand below the sign limb; the index of the first.
    fn reach(&mut self, limb: i32, used: usize) -> usize {
        if self.limbs.is_empty() {
            self.lowest = limb;
            self.limbs.push(0);
        }
        if limb < self.lowest {
            let missing = (self.lowest - limb) as usize;
            self.limbs.splice(0..0, std::iter::repeat_n(0, missing));
            self.lowest = limb;
        }
        let at = (limb - self.lowest) as usize;
        if self.limbs.len() < at + used + 1 {
            let sign = self.limbs[self.limbs.len() - 1];
            self.limbs.resize(at + used + 1, sign);
        }
        at
    }

    fn add_at(&mut self, at: usize, addend: &[u64]) -> bool {
        let mut carry = false;
        for (limb, digit) in self.limbs[at..].iter_mut().zip(addend) {
            let (sum, first) = limb.overflowing_add(*digit);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first | second;
        }
        carry
    }

    fn subtract(&mut self, at: usize, addend: &[u64]) -> bool {
        let mut borrow = false;
        for (limb, digit) in self.limbs[at..].iter_mut().zip(addend) {
            let (difference, first) = limb.overflowing_sub(*digit);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = first | second;
        }
        borrow
    }

    fn carry_on(&mut self, first: usize, mut carry: bool, negative: bool) {
        for limb in &mut self.limbs[first..] {
            if !carry {
                break;
            }
            (*limb, carry) = if negative { limb.overflowing_sub(1) } else { limb.overflowing_add(1) };
        }
    }

    /// The sign limb had room for one bit of overflow: where it was taken a new one follows.
    fn keep_sign_limb(&mut self) {
        let top = self.limbs[self.limbs.len() - 1];
        if top != 0 && top != u64::MAX {
            self.limbs.push(if top >> 63 == 1 { u64::MAX } else { 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::testing::Random;

    fn exact(wide: &Wide, lowest: i32) -> BigInt {
        let (value, exponent) = wide.exact();
        value << (exponent - lowest)
    }

    #[test]
    fn sums_equal_big_integers() {
        const LOWEST: i32 = -2200;
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut parts = vec![Wide::default(); 3];
            let mut expected = BigInt::ZERO;
            let spread = 1 + random.below(3000) as i32;
            for _ in 0..random.below(200) {
                let magnitude = (random.next() as u128) << 64 | random.next() as u128;
                let magnitude = magnitude >> random.below(128);
                let exponent = random.below(spread as u64) as i32 - spread / 2;
                let negative = random.below(2) == 0;
                parts[random.below(3) as usize].add(magnitude, exponent, negative);
                let term = BigInt::from(magnitude) << (exponent - LOWEST);
                expected += if negative { -term } else { term };
            }
            let mut sum = Wide::default();
            parts.iter().for_each(|part| sum.merge(part));
            assert_eq!(exact(&sum, LOWEST), expected, "seed {seed}");
        }
    }

    #[test]
    fn a_sum_grows_by_doubling_itself() {
        for negative in [false, true] {
            let mut sum = Wide::default();
            sum.add(u128::MAX, 0, negative);
            for doubled in 1..300 {
                let copy = sum.clone();
                sum.merge(&copy);
                let magnitude: BigInt = BigInt::from(u128::MAX) << doubled;
                assert_eq!(exact(&sum, 0), if negative { -magnitude } else { magnitude });
            }
        }
    }
}
