//! The exact sum of integers and doubles, whatever their order, rounded once when it is asked for.
//!
//! Integers add up in `i128`. With the first double the sum becomes fixed point, an `i128` with 64 fraction bits, which
//! holds every double from 2^-12 to 2^62 or so exactly and costs about a nanosecond; the first number that does not fit
//! turns it into a `Wide`. Which of the three it is never shows: results and bytes depend on the exact sum only.
//! Knows nothing of counts and of columns.

use crate::aggregate::Error;
use crate::aggregate::encoding::{Reader, put_bytes, put_signed};
use crate::aggregate::rounding::{Parts, round_big_quotient, round_quotient};
use crate::aggregate::wide::Wide;
use crate::value::Value;
use num_bigint::BigInt;

/// Fraction bits of the fixed point form.
const FRACTION: i32 = 64;

/// An exact sum; 24 bytes, and some 80 on the heap where it is wide.
#[derive(Debug, Clone, Default)]
pub enum ExactSum {
    /// Nothing was added.
    #[default]
    Empty,
    /// Integers only.
    Integers(Small),
    /// In units of 2^-64; at least one double was added.
    Fixed(Small),
    /// Neither of these could hold it.
    Wide(Box<Spilled>),
}

/// An `i128` aligned as a `u64`, which makes the sum a third smaller.
#[derive(Debug, Clone, Copy)]
#[repr(Rust, packed(8))]
pub struct Small(i128);

/// What a sum is once it is wide.
#[derive(Debug, Clone, Default)]
pub struct Spilled {
    sum: Wide,
    /// Whether a double was added, so that the result is one.
    doubles: bool,
}

impl ExactSum {
    /// Adds an integer.
    #[inline]
    pub fn add_integer(&mut self, value: i128) {
        match self {
            ExactSum::Integers(sum) => {
                if let Some(total) = { sum.0 }.checked_add(value) {
                    sum.0 = total;
                    return;
                }
            }
            ExactSum::Empty => {
                *self = ExactSum::Integers(Small(value));
                return;
            }
            _ => {}
        }
        self.add_slowly(value.unsigned_abs(), 0, value < 0, false);
    }

    /// Adds a finite double.
    #[inline]
    pub fn add_double(&mut self, value: f64) {
        let parts = Parts::of(value);
        match self {
            ExactSum::Fixed(sum) => {
                if let Some(total) = fixed_point(parts).and_then(|fixed| { sum.0 }.checked_add(fixed)) {
                    sum.0 = total;
                    return;
                }
            }
            ExactSum::Wide(wide) => {
                wide.doubles = true;
                wide.sum.add(parts.mantissa.into(), parts.exponent, parts.negative);
                return;
            }
            _ => {}
        }
        self.add_slowly(parts.mantissa.into(), parts.exponent, parts.negative, true);
    }

    /// Adds the square of a finite double, which is not rounded either.
    #[inline]
    pub fn add_square(&mut self, value: f64) {
        let parts = Parts::of(value);
        let square = u128::from(parts.mantissa) * u128::from(parts.mantissa);
        match self {
            ExactSum::Wide(wide) => {
                wide.doubles = true;
                wide.sum.add(square, 2 * parts.exponent, false);
            }
            _ => self.add_slowly(square, 2 * parts.exponent, false, true),
        }
    }

    /// Adds all that `other` has summed.
    pub fn merge(&mut self, other: &ExactSum) {
        match (&mut *self, other) {
            (_, ExactSum::Empty) => {}
            (ExactSum::Empty, _) => *self = other.clone(),
            (_, ExactSum::Integers(sum)) => self.add_integer(sum.0),
            (ExactSum::Fixed(own), ExactSum::Fixed(sum)) if { own.0 }.checked_add(sum.0).is_some() => own.0 += sum.0,
            (_, ExactSum::Fixed(sum)) => self.add_slowly({ sum.0 }.unsigned_abs(), -FRACTION, { sum.0 } < 0, true),
            (_, ExactSum::Wide(wide)) => {
                let spilled = self.spill();
                spilled.doubles |= wide.doubles;
                spilled.sum.merge(&wide.sum);
            }
        }
    }

    /// The sum: an integer if only integers were added and it fits `i128`, else a double, rounded once. NULL over no
    /// numbers and beyond the doubles.
    pub fn value(&self) -> Value {
        match self {
            ExactSum::Empty => return Value::Null,
            ExactSum::Integers(sum) => return Value::Int(sum.0),
            ExactSum::Wide(wide) if !wide.doubles => {
                let (value, exponent) = wide.sum.exact();
                if let Ok(integer) = i128::try_from(shift(value, exponent)) {
                    return Value::Int(integer);
                }
            }
            _ => {}
        }
        self.quotient(1, 0).map_or(Value::Null, Value::Float)
    }

    /// The sum divided by `divisor · 2^exponent`, rounded once; None over no numbers, by zero, and beyond the doubles.
    pub fn quotient(&self, divisor: u64, exponent: i32) -> Option<f64> {
        match self {
            ExactSum::Empty => None,
            ExactSum::Integers(sum) => round_quotient(sum.0, divisor, -exponent),
            ExactSum::Fixed(sum) => round_quotient(sum.0, divisor, -FRACTION - exponent),
            ExactSum::Wide(wide) => {
                let (value, unit) = wide.sum.exact();
                round_big_quotient(&value, &divisor.into(), unit - exponent)
            }
        }
    }

    /// The sum as `value · 2^exponent`.
    pub fn exact(&self) -> (BigInt, i32) {
        match self {
            ExactSum::Empty => (BigInt::ZERO, 0),
            ExactSum::Integers(sum) => ({ sum.0 }.into(), 0),
            ExactSum::Fixed(sum) => ({ sum.0 }.into(), -FRACTION),
            ExactSum::Wide(wide) => wide.sum.exact(),
        }
    }

    /// Appends the sum to a partial: what was added (nothing, integers, doubles), and the exact value as the shortest
    /// signed number of whole bytes times a power of 256.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let doubles = match self {
            ExactSum::Empty => return out.push(EMPTY),
            ExactSum::Integers(_) => false,
            ExactSum::Fixed(_) => true,
            ExactSum::Wide(wide) => wide.doubles,
        };
        out.push(if doubles { DOUBLES } else { INTEGERS });
        if let ExactSum::Integers(sum) | ExactSum::Fixed(sum) = self
            && { sum.0 } != 0
        {
            // The same bytes as below, without a number on the heap: most sums are small, and stores read and write them.
            let value = { sum.0 };
            let zeros = value.trailing_zeros() as usize / 8;
            let signs = if value < 0 { value.leading_ones() } else { value.leading_zeros() } as usize;
            let length = 16 - (signs - 1) / 8;
            put_signed(out, zeros as i64 - if doubles { i64::from(FRACTION / 8) } else { 0 });
            return put_bytes(out, &value.to_le_bytes()[zeros..length]);
        }
        let (value, exponent) = self.exact();
        let bytes = value.to_signed_bytes_le();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros == bytes.len() {
            put_signed(out, 0);
            put_bytes(out, &[]);
        } else {
            put_signed(out, i64::from(exponent / 8) + zeros as i64);
            put_bytes(out, &bytes[zeros..]);
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<ExactSum, Error> {
        let doubles = match reader.byte()? {
            EMPTY => return Ok(ExactSum::Empty),
            INTEGERS => false,
            DOUBLES => true,
            _ => return Err(Error::Malformed("a sum is of an unknown kind")),
        };
        let place = reader.signed()?;
        let bytes = reader.bytes()?;
        let lowest = if doubles { -BYTES_MAX } else { 0 };
        if place < lowest || place > BYTES_MAX || bytes.len() as i64 > BYTES_MAX - place {
            return Err(Error::Malformed("a sum is out of range"));
        }
        if bytes.first() == Some(&0) || bytes.is_empty() && place != 0 || !is_shortest(bytes) {
            return Err(Error::Malformed("a sum is not in its shortest form"));
        }
        if let Some(small) = small(place + if doubles { i64::from(FRACTION / 8) } else { 0 }, bytes) {
            return Ok(if doubles { ExactSum::Fixed(small) } else { ExactSum::Integers(small) });
        }
        let value = BigInt::from_signed_bytes_le(bytes);
        Ok(ExactSum::of(value, place as i32 * 8, doubles))
    }

    /// `value · 2^exponent` in the least form that holds it.
    fn of(value: BigInt, exponent: i32, doubles: bool) -> ExactSum {
        let unit = if doubles { -FRACTION } else { 0 };
        let zeros = value.trailing_zeros().map_or(i64::MAX, |zeros| zeros as i64);
        let whole = i64::from(exponent) + zeros.min(1 << 32) >= i64::from(unit);
        if let (true, Ok(small)) = (whole, i128::try_from(shift(value.clone(), exponent - unit))) {
            return if doubles { ExactSum::Fixed(Small(small)) } else { ExactSum::Integers(Small(small)) };
        }
        let mut sum = Wide::default();
        let negative = value.sign() == num_bigint::Sign::Minus;
        for (i, digit) in value.iter_u64_digits().enumerate() {
            sum.add(digit.into(), exponent + 64 * i as i32, negative);
        }
        ExactSum::Wide(Box::new(Spilled { sum, doubles }))
    }

    /// Adds `± magnitude · 2^exponent` in fixed point where that is exact, else the sum becomes wide.
    #[cold]
    #[inline(never)]
    fn add_slowly(&mut self, magnitude: u128, exponent: i32, negative: bool, double: bool) {
        if let Some(total) = self.fixed_total(magnitude, exponent, negative, double) {
            *self = ExactSum::Fixed(Small(total));
            return;
        }
        let spilled = self.spill();
        spilled.doubles |= double;
        spilled.sum.add(magnitude, exponent, negative);
    }

    /// The sum in fixed point after an addition, where it is one already or becomes one, and nothing is lost.
    fn fixed_total(&self, magnitude: u128, exponent: i32, negative: bool, double: bool) -> Option<i128> {
        let sum = match self {
            ExactSum::Empty if double => 0,
            ExactSum::Integers(sum) if double => sum.0.checked_mul(1 << FRACTION)?,
            ExactSum::Fixed(sum) => sum.0,
            _ => return None,
        };
        let places = exponent + FRACTION;
        let units = if magnitude == 0 {
            0
        } else if places >= 0 {
            (places < magnitude.leading_zeros() as i32).then(|| magnitude << places)?
        } else {
            (-places <= magnitude.trailing_zeros() as i32).then(|| magnitude >> -places)?
        };
        let units = i128::try_from(units).ok()?;
        sum.checked_add(if negative { -units } else { units })
    }

    fn spill(&mut self) -> &mut Spilled {
        if !matches!(self, ExactSum::Wide(_)) {
            let mut spilled = Spilled::default();
            match self {
                ExactSum::Integers(sum) => spilled.sum.add({ sum.0 }.unsigned_abs(), 0, { sum.0 } < 0),
                ExactSum::Fixed(sum) => {
                    spilled.doubles = true;
                    spilled.sum.add({ sum.0 }.unsigned_abs(), -FRACTION, { sum.0 } < 0);
                }
                _ => {}
            }
            *self = ExactSum::Wide(Box::new(spilled));
        }
        match self {
            ExactSum::Wide(spilled) => spilled,
            _ => unreachable!("the sum was just made wide"),
        }
    }
}

const EMPTY: u8 = 0;
const INTEGERS: u8 = 1;
const DOUBLES: u8 = 2;
/// Squares of doubles reach from 2^-2148 to 2^2048; this leaves room for 2^64 times as many bits as could ever add up.
const BYTES_MAX: i64 = 300;

/// A double in units of 2^-64 where that is exact and has room to spare.
#[inline]
fn fixed_point(parts: Parts) -> Option<i128> {
    let places = parts.exponent + FRACTION;
    let units = if (0..=73).contains(&places) {
        i128::from(parts.mantissa) << places
    } else if (-52..0).contains(&places) && parts.mantissa.trailing_zeros() as i32 >= -places || parts.mantissa == 0 {
        i128::from(parts.mantissa >> (-places).clamp(0, 63))
    } else {
        return None;
    };
    Some(if parts.negative { -units } else { units })
}

/// `value · 2^places`; bits below the units are cut off.
fn shift(value: BigInt, places: i32) -> BigInt {
    if places >= 0 { value << places } else { value >> -places }
}

/// The number of these bytes, the least first, behind so many bytes of zeros; `None` where it doesn't fit.
fn small(zeros: i64, bytes: &[u8]) -> Option<Small> {
    let zeros = usize::try_from(zeros).ok()?;
    let length = zeros.checked_add(bytes.len()).filter(|length| *length <= 16)?;
    let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut all = [sign; 16];
    all[..zeros].fill(0);
    all[zeros..length].copy_from_slice(bytes);
    Some(Small(i128::from_le_bytes(all)))
}

/// Whether a two's complement number, least byte first, needs its last byte.
fn is_shortest(bytes: &[u8]) -> bool {
    match bytes {
        [.., before, last] => !(*last == 0 && before >> 7 == 0 || *last == 0xff && before >> 7 == 1),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::rounding::Parts;

    /// What small sums write without a number on the heap is what `BigInt` writes.
    #[test]
    fn small_sums_have_the_bytes_of_great_ones() {
        let mut values = vec![1, -1, 127, 128, -128, -129, 255, 256, 1 << 15, i128::MAX, i128::MIN, -(1 << 64)];
        values
            .extend((0..126).flat_map(|bit| [1 << bit, -(1 << bit), (1 << bit) - 1, 3 << bit >> 1, -(5 << (bit / 2))]));
        for value in values.into_iter().filter(|value| *value != 0) {
            let bytes = BigInt::from(value).to_signed_bytes_le();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            for (sum, kind, place) in [
                (ExactSum::Integers(Small(value)), INTEGERS, zeros as i64),
                (ExactSum::Fixed(Small(value)), DOUBLES, zeros as i64 - 8),
            ] {
                let mut expected = vec![kind];
                put_signed(&mut expected, place);
                put_bytes(&mut expected, &bytes[zeros..]);
                let mut out = Vec::new();
                sum.encode(&mut out);
                assert_eq!(out, expected, "{value}");
                let read = ExactSum::decode(&mut Reader::new(&out)).unwrap();
                assert_eq!(read.exact(), sum.exact(), "{value}");
            }
        }
    }
    use crate::aggregate::testing::{Random, assert_nearest};

    /// What every exact test number is a whole multiple of.
    const LOWEST: i32 = -2148;

    fn encoded(sum: &ExactSum) -> Vec<u8> {
        let mut bytes = Vec::new();
        sum.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let decoded = ExactSum::decode(&mut reader).expect("own bytes can be read");
        reader.finish().expect("nothing follows");
        let mut again = Vec::new();
        decoded.encode(&mut again);
        assert_eq!(again, bytes);
        assert_eq!(decoded.value(), sum.value());
        bytes
    }

    fn exact(value: f64) -> BigInt {
        let parts = Parts::of(value);
        let magnitude: BigInt = BigInt::from(parts.mantissa) << (parts.exponent - LOWEST);
        if parts.negative { -magnitude } else { magnitude }
    }

    fn check(doubles: &[f64], integers: &[i128], expected: Value) {
        let mut forward = ExactSum::default();
        doubles.iter().for_each(|value| forward.add_double(*value));
        integers.iter().for_each(|value| forward.add_integer(*value));
        let mut backward = ExactSum::default();
        integers.iter().rev().for_each(|value| backward.add_integer(*value));
        doubles.iter().rev().for_each(|value| backward.add_double(*value));
        assert_eq!(forward.value(), expected, "{doubles:?} {integers:?}");
        assert_eq!(backward.value(), expected, "{doubles:?} {integers:?} backward");
        assert_eq!(encoded(&forward), encoded(&backward), "{doubles:?} {integers:?}");
    }

    #[test]
    fn sums_are_rounded_once() {
        check(&[], &[], Value::Null);
        check(&[], &[1, 2, -5], Value::Int(-2));
        check(&[], &[256, 256], Value::Int(512));
        check(&[], &[i64::MAX.into(), i64::MAX.into()], Value::Int(2 * i128::from(i64::MAX)));
        check(&[], &[i128::MAX, 1, -1], Value::Int(i128::MAX));
        check(&[], &[i128::MIN, -1, 1], Value::Int(i128::MIN));
        check(&[], &[i128::MAX, i128::MAX], Value::Float(2_f64.powi(128)));
        check(&[0.1, 0.2, 0.3], &[], Value::Float(0.6));
        check(&[0.1; 10], &[], Value::Float(1.0));
        check(&[1e100, 1.0, -1e100], &[], Value::Float(1.0));
        check(&[1.5], &[i64::MAX.into(), -i128::from(i64::MAX)], Value::Float(1.5));
        check(&[0.5], &[9007199254740993], Value::Float(9007199254740994.0));
        check(&[-0.0, -0.0], &[], Value::Float(0.0));
        check(&[2.0, -2.0], &[], Value::Float(0.0));
        check(&[5e-324, 5e-324], &[], Value::Float(1e-323));
        check(&[1e-5, 1e5], &[], Value::Float(100000.00001));
        check(&[f64::MAX, f64::MAX, -f64::MAX], &[], Value::Float(f64::MAX));
        check(&[f64::MAX, f64::MAX], &[], Value::Null);
        check(&[2_f64.powi(62), 2_f64.powi(62)], &[], Value::Float(2_f64.powi(63)));
        check(&[2_f64.powi(-64)], &[], Value::Float(2_f64.powi(-64)));
        check(&[2_f64.powi(-65)], &[], Value::Float(2_f64.powi(-65)));
    }

    #[test]
    fn sums_averages_and_squares_equal_big_integers() {
        for seed in 0..2000 {
            let mut random = Random::new(seed);
            let everyday = random.below(2) == 0;
            let mut parts = vec![ExactSum::default(); 1 + random.below(4) as usize];
            let mut straight = ExactSum::default();
            let mut expected = BigInt::ZERO;
            let count = 1 + random.below(60);
            for _ in 0..count {
                let part = random.below(parts.len() as u64) as usize;
                match random.below(10) {
                    0..3 => {
                        let value = i128::from(random.next() as i64 >> random.below(64));
                        parts[part].add_integer(value);
                        straight.add_integer(value);
                        expected += BigInt::from(value) << -LOWEST;
                    }
                    3 => {
                        let value = if everyday { random.below(100) as f64 / 8.0 } else { random.double() };
                        parts[part].add_square(value);
                        straight.add_square(value);
                        let root = exact(value);
                        expected += (&root * &root) >> -LOWEST;
                    }
                    _ => {
                        let value = if everyday { random.below(100_000) as f64 / 100.0 } else { random.double() };
                        parts[part].add_double(value);
                        straight.add_double(value);
                        expected += exact(value);
                    }
                }
            }
            let mut merged = ExactSum::default();
            parts.iter().for_each(|part| merged.merge(part));
            assert_eq!(encoded(&merged), encoded(&straight), "seed {seed}");
            if let Value::Int(sum) = merged.value() {
                assert_eq!(BigInt::from(sum) << -LOWEST, expected, "seed {seed}");
            }
            assert_nearest(merged.quotient(1, 0), &expected, 1, LOWEST, seed);
            assert_nearest(merged.quotient(count, 0), &expected, count.into(), LOWEST, seed);
            assert_nearest(merged.quotient(count, 3), &expected, count.into(), LOWEST - 3, seed);
        }
    }

    #[test]
    fn everyday_sums_stay_small() {
        let mut sum = ExactSum::default();
        (0..1000).for_each(|i| sum.add_double(f64::from(i) / 100.0 + 1.0));
        assert!(matches!(sum, ExactSum::Fixed(_)));
        assert_eq!(size_of::<ExactSum>(), 24);
    }
}
