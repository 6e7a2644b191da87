//! Exact numbers become doubles here, by one rounding to the nearest, ties to even.
//!
//! Knows nothing of how the exact numbers came about.

use num_bigint::{BigInt, BigUint, Sign};

/// A finite double as `mantissa · 2^exponent` and its sign.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// At most 53 bits.
    pub mantissa: u64,
    /// From -1074 to 971.
    pub exponent: i32,
    /// Whether the double is below zero, or -0.0.
    pub negative: bool,
}

impl Parts {
    /// Takes a finite double apart, exactly.
    #[inline]
    pub fn of(value: f64) -> Parts {
        let bits = value.to_bits();
        let field = (bits >> 52 & 0x7ff) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field - 1075) };
        Parts { mantissa, exponent, negative: bits >> 63 == 1 }
    }
}

/// `magnitude · 2^exponent` rounded; None where that is beyond the doubles.
///
/// `more` says that the exact number is a little greater in magnitude, by less than one unit of `magnitude`, which
/// must then have at least 55 bits.
pub fn round(magnitude: u128, more: bool, exponent: i32, negative: bool) -> Option<f64> {
    if magnitude == 0 {
        return Some(0.0);
    }
    let bits = 128 - magnitude.leading_zeros() as i32;
    debug_assert!(!more || bits >= 55, "{bits} bits are too few to round to 53");
    let mut unit = (exponent + bits - 53).max(-1074);
    let drop = unit - exponent;
    let mut mantissa = if drop <= 0 {
        (magnitude << -drop) as u64
    } else if drop > 128 {
        0
    } else {
        let kept = if drop == 128 { 0 } else { (magnitude >> drop) as u64 };
        let dropped = magnitude << (128 - drop);
        let half = 1_u128 << 127;
        let up = dropped > half || dropped == half && (more || kept & 1 == 1);
        kept + u64::from(up)
    };
    if mantissa == 1 << 53 {
        mantissa >>= 1;
        unit += 1;
    }
    let field = if mantissa < 1 << 52 { 0 } else { (unit + 1075) as u64 };
    if field >= 0x7ff {
        return None;
    }
    let magnitude = f64::from_bits(field << 52 | mantissa & ((1 << 52) - 1));
    Some(if negative { -magnitude } else { magnitude })
}

/// `numerator / divisor · 2^exponent` rounded once; None where the divisor is zero or the result beyond the doubles.
pub fn round_quotient(numerator: i128, divisor: u64, exponent: i32) -> Option<f64> {
    if numerator == 0 || divisor == 0 {
        return (divisor != 0).then_some(0.0);
    }
    let shift = numerator.unsigned_abs().leading_zeros();
    let magnitude = numerator.unsigned_abs() << shift;
    let divisor = u128::from(divisor);
    round(magnitude / divisor, !magnitude.is_multiple_of(divisor), exponent - shift as i32, numerator < 0)
}

/// `numerator / divisor · 2^exponent` rounded once; None where the divisor is zero or the result beyond the doubles.
pub fn round_big_quotient(numerator: &BigInt, divisor: &BigUint, exponent: i32) -> Option<f64> {
    if divisor.bits() == 0 {
        return None;
    }
    let shift = (divisor.bits() + 66).saturating_sub(numerator.bits());
    let magnitude = numerator.magnitude() << shift;
    let quotient = &magnitude / divisor;
    let remains = &quotient * divisor != magnitude;
    let surplus = quotient.bits().saturating_sub(128);
    let top = &quotient >> surplus;
    let more = remains || &top << surplus != quotient;
    let exponent = exponent - shift as i32 + surplus as i32;
    round(low_bits(&top), more, exponent, numerator.sign() == Sign::Minus)
}

fn low_bits(value: &BigUint) -> u128 {
    value.iter_u64_digits().take(2).enumerate().fold(0, |low, (i, digit)| low | u128::from(digit) << (64 * i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(magnitude: u128, more: bool, exponent: i32, expected: Option<f64>) {
        assert_eq!(round(magnitude, more, exponent, false), expected, "{magnitude} {more} {exponent}");
        assert_eq!(round(magnitude, more, exponent, true), expected.map(|value| -value));
    }

    #[test]
    fn rounding_is_to_nearest_ties_to_even() {
        const BIT_54: u128 = 1 << 54;
        check(1, false, 0, Some(1.0));
        check(BIT_54 + 1, false, 0, Some(BIT_54 as f64));
        check(BIT_54 + 2, false, 0, Some(BIT_54 as f64));
        check(BIT_54 + 2, true, 0, Some((BIT_54 + 4) as f64));
        check(BIT_54 + 3, false, 0, Some((BIT_54 + 4) as f64));
        check(BIT_54 + 6, false, 0, Some((BIT_54 + 8) as f64));
        check(u128::MAX, true, 0, Some(2_f64.powi(128)));
        check(u128::MAX, false, 1023 - 128, Some(2_f64.powi(1023)));
        check(u128::MAX, false, 1024 - 128, None);
    }

    #[test]
    fn small_results_are_subnormal_or_zero() {
        let least = f64::from_bits(1);
        check(1, false, -1074, Some(least));
        check(1, false, -1075, Some(0.0));
        check(3, false, -1075, Some(2.0 * least));
        check(3, false, -1076, Some(least));
        check(1 << 127, false, -1075 - 127, Some(0.0));
        check((1 << 127) + 1, false, -1075 - 127, Some(least));
        check(1 << 127, true, -1075 - 127, Some(least));
        check(u128::MAX, false, -1400, Some(0.0));
        check((1 << 53) - 1, false, -1075, Some(f64::MIN_POSITIVE));
    }

    #[test]
    fn quotients_are_rounded_once() {
        for (numerator, divisor, expected) in
            [(1, 3, 1.0 / 3.0), (-2, 3, -2.0 / 3.0), (10, 5, 2.0), (i128::MAX, u64::MAX, 9223372036854775808.0)]
        {
            assert_eq!(round_quotient(numerator, divisor, 0), Some(expected));
            assert_eq!(round_big_quotient(&numerator.into(), &divisor.into(), 0), Some(expected));
        }
        assert_eq!(round_quotient(1, 0, 0), None);
        assert_eq!(round_big_quotient(&1.into(), &0_u8.into(), 0), None);
    }
}
