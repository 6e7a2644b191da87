//! Variance and standard deviation from the exact sums of x and of x².
//!
//! `(n·Σx² − (Σx)²) / (n·(n−1))` is evaluated in whole numbers and rounded once, so nothing cancels away, however
//! near together the values are. The deviation is the square root of that double. Knows nothing of columns.

use crate::aggregate::Error;
use crate::aggregate::encoding::{Reader, put_varint};
use crate::aggregate::exact_sum::ExactSum;
use crate::aggregate::rounding::round_big_quotient;
use num_bigint::{BigUint, Sign};

/// What a variance is computed from.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    count: u64,
    sum: ExactSum,
    squares: ExactSum,
}

impl Moments {
    /// Takes in an integer.
    #[inline]
    pub fn add_integer(&mut self, value: i128) {
        self.count += 1;
        self.sum.add_integer(value);
        match value.checked_mul(value) {
            Some(square) => self.squares.add_integer(square),
            // The square of a u64 may need 128 bits without a sign: (2^32·h + l)² in three parts.
            None => {
                let (high, low) = (value >> 32, value & 0xffff_ffff);
                self.squares.add_integer(low * low);
                (0..2).for_each(|_| self.squares.add_integer((high * low) << 32));
                (0..4).for_each(|_| self.squares.add_integer((high * high) << 62));
            }
        }
    }

    /// Takes in a finite double.
    #[inline]
    pub fn add_double(&mut self, value: f64) {
        self.count += 1;
        self.sum.add_double(value);
        self.squares.add_square(value);
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &Moments) {
        self.count = self.count.saturating_add(other.count);
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
    }

    /// The variance of the population (`degrees_lost` 0), or of the sample (1), rounded once. None over too few values,
    /// and where it is beyond the doubles.
    pub fn variance(&self, degrees_lost: u64) -> Option<f64> {
        if self.count <= degrees_lost {
            return None;
        }
        let (sum, sum_unit) = self.sum.exact();
        let (squares, squares_unit) = self.squares.exact();
        let unit = (2 * sum_unit).min(squares_unit);
        let spread = ((squares * self.count) << (squares_unit - unit)) - ((&sum * &sum) << (2 * sum_unit - unit));
        let divisor = BigUint::from(self.count) * (self.count - degrees_lost);
        // Only a forged partial has a spread below zero.
        if spread.sign() == Sign::Minus { None } else { round_big_quotient(&spread, &divisor, unit) }
    }

    /// Appends the moments to a partial.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.count);
        self.sum.encode(out);
        self.squares.encode(out);
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Moments, Error> {
        Ok(Moments { count: reader.varint()?, sum: ExactSum::decode(reader)?, squares: ExactSum::decode(reader)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], population: Option<f64>, sample: Option<f64>) {
        let mut doubles = Moments::default();
        values.iter().for_each(|value| doubles.add_double(*value));
        assert_eq!((doubles.variance(0), doubles.variance(1)), (population, sample), "{values:?}");
        if values.iter().all(|value| value.fract() == 0.0 && value.abs() < 1e20) {
            let mut integers = Moments::default();
            values.iter().for_each(|value| integers.add_integer(*value as i128));
            assert_eq!((integers.variance(0), integers.variance(1)), (population, sample), "{values:?}");
        }
    }

    #[test]
    fn variance_is_exact() {
        check(&[], None, None);
        check(&[5.0], Some(0.0), None);
        check(&[1.0, 2.0, 3.0, 4.0], Some(1.25), Some(5.0 / 3.0));
        check(&[1e15 + 1.0, 1e15 + 2.0, 1e15 + 3.0], Some(2.0 / 3.0), Some(1.0));
        check(
            &[18446744073709549568.0, 18446744073709549568.0, 0.0],
            Some(7.561830376020853e37),
            Some(1.134274556403128e38),
        );
        check(&[1e200, 1e200], Some(0.0), Some(0.0));
        check(&[1e200, -1e200], None, None);
        check(&[1e-170, 3e-170], Some(0.0), Some(0.0));
        check(&[1e-160, 3e-160], Some(1e-320), Some(2e-320));
    }
}
