//! The sketch behind `approx_percentile`: counts of values in buckets of equal relative width.
//!
//! It is the DDSketch of Masson, Rim and Lee (2019): the answer is within 1 % of the exact lower quantile, the value at
//! rank ⌊p·(n−1)⌋ counted from 0, whatever the distribution, and whatever the order of values and merges. Each power of
//! two is cut into 38 buckets by a quadratic that stands for the logarithm (as in the authors' Java code), so that bucket
//! and answer come from operations that IEEE 754 defines to the bit, the same on every machine.
//! Buckets never collapse, so the bound always holds: values over six powers of ten take at most 760 buckets of 16
//! bytes, and all the doubles that there are 159,450. Subnormal numbers may miss by half a unit more.
//! Knows nothing of columns.

use crate::aggregate::Error;
use crate::aggregate::encoding::{Reader, put_signed, put_varint};
use crate::aggregate::rounding::Parts;

/// The greatest relative error.
pub const RELATIVE_ERROR: f64 = 0.01;

/// Buckets to a power of two. The quadratic is at least 4/3 as steep as the natural logarithm, so a bucket's ends are at
/// most e^(3 / (4·38)) apart and its middle within tanh(3 / (8·38)) = 0.99 % of both.
const BUCKETS: i32 = 38;
/// Added to the exponent of a double, so that every bucket of positive values has a number above 0.
const EXPONENT_BIAS: i32 = 1075;

/// A sketch of a multiset of numbers.
#[derive(Debug, Clone, Default)]
pub struct DdSketch {
    /// How many values fell into each bucket, in the order of the values. Bucket 0 is the number 0; a negative number is
    /// in the bucket of its magnitude, with the sign changed.
    buckets: Vec<(i32, u64)>,
}

impl DdSketch {
    /// Takes in a finite number.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.add_many(bucket(value), 1);
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &DdSketch) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        other.buckets.iter().for_each(|(bucket, count)| self.add_many(*bucket, *count));
    }

    /// The middle of the bucket that holds the lower quantile; None over no values.
    pub fn quantile(&self, fraction: f64) -> Option<f64> {
        let count = self.buckets.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        let rank = (fraction * count.checked_sub(1)? as f64).floor() as u64;
        let mut seen = 0_u64;
        let holds_rank = |(_, count): &&(i32, u64)| {
            seen = seen.saturating_add(*count);
            seen > rank
        };
        let found = self.buckets.iter().find(holds_rank).or(self.buckets.last());
        found.map(|(bucket, _)| middle(*bucket))
    }

    /// Appends the sketch to a partial: each bucket by its step from the one before, and its count.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.buckets.len() as u64);
        let mut before = 0;
        for (bucket, count) in &self.buckets {
            put_signed(out, i64::from(bucket - before));
            put_varint(out, *count);
            before = *bucket;
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<DdSketch, Error> {
        let mut buckets: Vec<(i32, u64)> = Vec::new();
        for _ in 0..reader.count()? {
            let before = buckets.last().map(|(bucket, _)| *bucket);
            let bucket = i64::from(before.unwrap_or(0)).saturating_add(reader.signed()?);
            let count = reader.varint()?;
            let in_range = bucket.abs() <= i64::from(GREATEST) && (bucket == 0 || bucket.abs() >= i64::from(LEAST));
            if !in_range || before.is_some_and(|before| i64::from(before) >= bucket) || count == 0 {
                return Err(Error::Malformed("a sketch of percentiles is out of order or range"));
            }
            buckets.push((bucket as i32, count));
        }
        Ok(DdSketch { buckets })
    }

    #[inline]
    fn add_many(&mut self, bucket: i32, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(own, _)| *own) {
            Ok(place) => self.buckets[place].1 = self.buckets[place].1.saturating_add(count),
            Err(place) => self.buckets.insert(place, (bucket, count)),
        }
    }
}

/// The buckets of the least and of the greatest positive double.
const LEAST: i32 = (-1074 + EXPONENT_BIAS) * BUCKETS;
const GREATEST: i32 = (1023 + EXPONENT_BIAS) * BUCKETS + BUCKETS - 1;

/// The bucket of a finite number.
#[inline]
fn bucket(value: f64) -> i32 {
    let parts = Parts::of(value);
    if parts.mantissa == 0 {
        return 0;
    }
    let shift = parts.mantissa.leading_zeros() as i32 - 11;
    let exponent = parts.exponent - shift + 52;
    // The mantissa as a number from 1 up to, not including, 2.
    let fraction = (parts.mantissa << shift) as f64 * (1.0 / (1_u64 << 52) as f64) - 1.0;
    let within = (f64::from(BUCKETS) / 3.0 * (fraction * (4.0 - fraction))) as i32;
    let bucket = (exponent + EXPONENT_BIAS) * BUCKETS + within.min(BUCKETS - 1);
    if parts.negative { -bucket } else { bucket }
}

/// The number that is relatively as near to one end of the bucket as to the other.
fn middle(bucket: i32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let exponent = bucket.abs() / BUCKETS - EXPONENT_BIAS;
    let within = bucket.abs() % BUCKETS;
    let edge = |within: i32| 3.0 - (4.0 - 3.0 * f64::from(within) / f64::from(BUCKETS)).sqrt();
    let (low, high) = (edge(within), edge(within + 1));
    let magnitude = times_power_of_two(2.0 * low * high / (low + high), exponent);
    if bucket < 0 { -magnitude } else { magnitude }
}

/// `value · 2^exponent` in two exact steps and one that may be inexact.
fn times_power_of_two(value: f64, exponent: i32) -> f64 {
    let power = |exponent: i32| f64::from_bits(((exponent + 1023) as u64) << 52);
    let half = exponent / 2;
    value * power(half) * power(exponent - half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::testing::Random;

    /// The sketch of the values, and of 16 parts of them, is within its bound of every lower quantile.
    fn check(mut values: Vec<f64>, name: &str) {
        let mut whole = DdSketch::default();
        let mut parts = vec![DdSketch::default(); 16];
        for (i, value) in values.iter().enumerate() {
            whole.add(*value);
            parts[i * 7 % 16].add(*value);
        }
        let mut merged = DdSketch::default();
        parts.iter().rev().for_each(|part| merged.merge(part));
        assert_eq!(merged.buckets, whole.buckets, "{name}");
        values.sort_unstable_by(f64::total_cmp);
        for percent in 0..=1000 {
            let fraction = f64::from(percent) / 1000.0;
            let exact = values[(fraction * (values.len() - 1) as f64).floor() as usize];
            let found = whole.quantile(fraction).expect("there are values");
            let error = (found - exact).abs();
            assert!(error <= RELATIVE_ERROR * exact.abs(), "{name}, p = {fraction}: {found} for {exact}");
        }
    }

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut random = Random::new(1);
        let mut unit = || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        check((0..10_000).map(|_| unit()).collect(), "uniform");
        check((0..10_000).map(|_| unit() - 0.5).collect(), "around zero");
        check((0..10_000).map(|_| 1.0 / (1.0 - unit())).collect(), "pareto");
        check((0..10_000).map(|_| 10_f64.powf(600.0 * unit() - 300.0)).collect(), "every size");
        check((0..10_000).map(|_| -(20.0 * unit() - 10.0).exp()).collect(), "negative");
        check((0..1000).map(|_| f64::from((unit() * 5.0) as u32)).collect(), "few numbers");
        check(vec![0.0, -0.0, 0.0], "zeros");
        check(vec![f64::MAX, -f64::MAX, f64::MIN_POSITIVE], "ends");
    }

    #[test]
    fn every_bucket_holds_its_middle_and_both_its_ends() {
        let mut before = 0.0;
        for number in 53 * BUCKETS..=GREATEST {
            let middle = middle(number);
            assert_eq!(bucket(middle), number);
            assert_eq!(bucket(-middle), -number);
            assert!(before < middle, "bucket {number}");
            before = middle;
        }
        assert_eq!((bucket(f64::from_bits(1)), bucket(f64::MAX)), (LEAST, GREATEST));
    }

    #[test]
    fn buckets_are_within_one_percent_of_all_that_they_hold() {
        let mut random = Random::new(2);
        for _ in 0..200_000 {
            let value = f64::from_bits(random.next() & !(1 << 54) & !(1 << 63));
            let error = (middle(bucket(value)) - value).abs();
            // Half of the least double is all that a subnormal answer can be rounded by.
            assert!(error <= 0.0099 * value + f64::from_bits(1), "{value:e}: {error:e}");
        }
    }
}
