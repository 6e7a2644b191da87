//! JSON numbers: passing over them by the grammar, and reading those that are wanted.
//!
//! Integers are exact as far as `u64` and `i64` reach and the nearest double beyond; all else is the nearest double.
//! Knows nothing of columns but their tags.

use crate::batch::Tag;
use crate::codec::ndjson::fault::{Fault, Reason};

/// Passes over the number that begins at `at`; what follows it is the caller's to judge.
#[inline(always)]
pub fn scan(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    at += (bytes[at] == b'-') as usize;
    match bytes[at] {
        b'0' => at += 1,
        b'1'..=b'9' => at = skip_digits(bytes, at + 1),
        _ => return Err(Fault::new(bytes, at, Reason::NoDigit)),
    }
    if bytes[at] == b'.' {
        at = skip_digit_run(bytes, at + 1)?;
    }
    if bytes[at] | 0x20 == b'e' {
        at += 1;
        at += matches!(bytes[at], b'+' | b'-') as usize;
        at = skip_digit_run(bytes, at)?;
    }
    Ok(at)
}

#[inline(always)]
fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    while bytes[at].is_ascii_digit() {
        at += 1;
    }
    at
}

/// Passes over one digit or more.
#[inline(always)]
fn skip_digit_run(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    if bytes[at].is_ascii_digit() {
        Ok(skip_digits(bytes, at + 1))
    } else {
        Err(Fault::new(bytes, at, Reason::NoDigit))
    }
}

/// The cell of a number that `scan` has passed, or `None` when no finite double is near it.
///
/// A number written without fraction and exponent is an integer; `-0` is the integer 0, `-0.0` keeps its sign.
#[inline]
pub fn parse(text: &[u8]) -> Option<(Tag, u64)> {
    // Eighteen digits fit an i64 whatever they are.
    const DIGITS_PLAIN: usize = 18;
    let negative = text[0] == b'-';
    let digits = &text[negative as usize..];
    let (mut mantissa, mut point) = (0u64, None);
    if digits.len() > DIGITS_PLAIN {
        return parse_long(text);
    }
    for (i, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + (byte - b'0') as u64,
            b'.' => point = Some(i),
            _ => return parse_double(text),
        }
    }
    let Some(point) = point else {
        return Some((Tag::Int, if negative { mantissa.wrapping_neg() } else { mantissa }));
    };
    // Both are exact as doubles, so that their quotient is rounded once: Clinger's fast path.
    const MANTISSA_EXACT: u64 = 1 << 53;
    if mantissa > MANTISSA_EXACT {
        return parse_double(text);
    }
    let double = mantissa as f64 / POWERS_OF_TEN[digits.len() - 1 - point];
    Some((Tag::Float, if negative { -double } else { double }.to_bits()))
}

/// The cell of a text that is a whole JSON number and near a finite double, else `None`.
pub fn read(text: &[u8]) -> Option<(Tag, u64)> {
    // On the stack, since scanning wants a byte after the number; none that is longer has a meaning in CSV.
    let mut padded = [0; 64];
    padded[..63].get_mut(..text.len())?.copy_from_slice(text);
    if scan(&padded, 0) == Ok(text.len()) { parse(text) } else { None }
}

/// 10^0 to 10^22 are doubles exactly; at most 17 digits come after the point in `parse`.
const POWERS_OF_TEN: [f64; 18] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17];

#[cold]
fn parse_long(text: &[u8]) -> Option<(Tag, u64)> {
    let digits = std::str::from_utf8(text).expect("a number is ASCII");
    match (digits.parse::<i64>(), digits.parse::<u64>()) {
        (Ok(int), _) => Some((Tag::Int, int as u64)),
        (_, Ok(uint)) => Some((Tag::UInt, uint)),
        _ => parse_double(text),
    }
}

fn parse_double(text: &[u8]) -> Option<(Tag, u64)> {
    let double: f64 =
        std::str::from_utf8(text).expect("a number is ASCII").parse().expect("every JSON number is one for Rust too");
    double.is_finite().then(|| (Tag::Float, double.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(Tag, u64)>) {
        let mut padded = text.as_bytes().to_vec();
        padded.push(b'\n');
        assert_eq!(scan(&padded, 0), Ok(text.len()), "{text}");
        assert_eq!(parse(text.as_bytes()), expected, "{text}");
    }

    #[track_caller]
    fn check_refused(text: &str, at: u32) {
        let mut padded = text.as_bytes().to_vec();
        padded.push(b',');
        assert_eq!(scan(&padded, 0), Err(Fault { at, reason: Reason::NoDigit }), "{text}");
    }

    fn double(number: f64) -> Option<(Tag, u64)> {
        Some((Tag::Float, number.to_bits()))
    }

    #[test]
    fn integers_are_exact_as_far_as_64_bits_reach() {
        check("0", Some((Tag::Int, 0)));
        check("-0", Some((Tag::Int, 0)));
        check("-17", Some((Tag::Int, -17i64 as u64)));
        check("999999999999999999", Some((Tag::Int, 999_999_999_999_999_999)));
        check("9223372036854775807", Some((Tag::Int, i64::MAX as u64)));
        check("-9223372036854775808", Some((Tag::Int, i64::MIN as u64)));
        check("9223372036854775808", Some((Tag::UInt, 1 << 63)));
        check("18446744073709551615", Some((Tag::UInt, u64::MAX)));
        check("18446744073709551616", double(18_446_744_073_709_551_616.0));
        check("-9223372036854775809", double(-9_223_372_036_854_775_809.0));
    }

    #[test]
    fn doubles_are_the_nearest() {
        check("99.99", double(99.99));
        check("-0.0", double(-0.0));
        check("1.0", double(1.0));
        check("1e2", double(100.0));
        check("1E+2", double(100.0));
        check("123456789012.34567", double(123_456_789_012.345_67));
        check("9007199254740993.5", double(9_007_199_254_740_994.0));
        check("0.1234567890123456", double(0.1234567890123456));
        check("2.2250738585072011e-308", double(2.225_073_858_507_201e-308));
        check("1e-999", double(0.0));
        check("1.7976931348623157e308", double(f64::MAX));
    }

    #[test]
    fn beyond_a_double_is_nothing() {
        check("1e400", None);
        check("-1e309", None);
        check(&"9".repeat(400), None);
    }

    #[test]
    fn refuses() {
        check_refused("-", 1);
        check_refused("-a", 1);
        check_refused("1.", 2);
        check_refused("1.e1", 2);
        check_refused("1e", 2);
        check_refused("1e+", 3);
    }

    /// Random decimals against the standard library's correctly rounded reading.
    #[test]
    fn agrees_with_the_standard_library() {
        let mut state = 0x5eed_u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = (state >> 11) / 10u64.pow((state >> 7) as u32 % 16);
            let text = format!("{}.{:0width$}", number / 997, number % 997, width = 3 + (state as usize >> 3) % 8);
            check(&text, double(text.parse().unwrap()));
        }
    }
}
