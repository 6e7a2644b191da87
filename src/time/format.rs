//! How a field holds its time: RFC 3339 text or a number since the epoch, and in which unit.
//!
//! Epoch numbers are computed from their decimal digits, never through a double, so that `1700000000.123456` keeps its
//! last microsecond. Knows nothing of where the field is found.

use crate::time::{ParseError, Timestamp, excerpt, parse_rfc3339};

/// What `--time-format` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeFormat {
    /// RFC 3339 text, or a number since the epoch (as a number or as text) whose unit is told by its magnitude:
    /// |x| < 10¹¹ are seconds (until the year 5138), < 10¹⁴ milliseconds, < 10¹⁷ microseconds, else nanoseconds.
    #[default]
    Auto,
    /// RFC 3339 text only.
    Rfc3339,
    /// Seconds since the epoch, as a number or as text.
    Seconds,
    /// Milliseconds since the epoch, as a number or as text.
    Millis,
    /// Microseconds since the epoch, as a number or as text.
    Micros,
    /// Nanoseconds since the epoch, as a number or as text.
    Nanos,
}

impl std::str::FromStr for TimeFormat {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<TimeFormat, ParseError> {
        Ok(match text {
            "auto" => TimeFormat::Auto,
            "rfc3339" => TimeFormat::Rfc3339,
            "s" => TimeFormat::Seconds,
            "ms" => TimeFormat::Millis,
            "us" => TimeFormat::Micros,
            "ns" => TimeFormat::Nanos,
            _ => return Err(ParseError::Format { text: excerpt(text.as_bytes()) }),
        })
    }
}

impl std::fmt::Display for TimeFormat {
    /// As `--time-format` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TimeFormat::Auto => "auto",
            TimeFormat::Rfc3339 => "rfc3339",
            TimeFormat::Seconds => "s",
            TimeFormat::Millis => "ms",
            TimeFormat::Micros => "us",
            TimeFormat::Nanos => "ns",
        })
    }
}

impl TimeFormat {
    /// Reads the time that a text holds.
    #[inline]
    pub fn read_text(self, text: &[u8]) -> Result<Timestamp, ParseError> {
        match self {
            TimeFormat::Rfc3339 => parse_rfc3339(text),
            TimeFormat::Auto => match parse_rfc3339(text) {
                Err(error) => self.read_number(text).map_err(|_| error),
                read => read,
            },
            _ => self.read_number(text),
        }
    }

    /// Reads the time that a number holds, given as its decimal text: digits with an optional sign `-`, fraction and
    /// exponent. What is finer than a microsecond is cut off, toward the past.
    pub fn read_number(self, text: &[u8]) -> Result<Timestamp, ParseError> {
        if let Some(time) = self.read_plain(text) {
            return Ok(time);
        }
        let error = |reason| ParseError::Epoch { text: excerpt(text), reason };
        let number = Decimal::read(text).ok_or_else(|| error("not a number"))?;
        // Micros are the number times 10 to this.
        let scale = match self {
            TimeFormat::Rfc3339 => return Err(error("the time format is 'rfc3339', text only")),
            TimeFormat::Seconds => 6,
            TimeFormat::Millis => 3,
            TimeFormat::Micros => 0,
            TimeFormat::Nanos => -3,
            TimeFormat::Auto => match number.magnitude() {
                ..=11 => 6,
                12..=14 => 3,
                15..=17 => 0,
                18.. => -3,
            },
        };
        let time = number.times_power_of_ten(scale).map(Timestamp);
        time.filter(|time| (Timestamp::EARLIEST..=Timestamp::LATEST).contains(time))
            .ok_or_else(|| error("it is not of the years 0000 to 9999"))
    }
}

impl TimeFormat {
    /// The time of a number of up to 18 digits and nothing else, as nearly all are; `None` for the general way to judge.
    #[inline]
    fn read_plain(self, text: &[u8]) -> Option<Timestamp> {
        const DIGITS: usize = 18;
        if text.is_empty() || text.len() > DIGITS || !text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = text.iter().fold(0, |number, digit| number * 10 + (digit - b'0') as i64);
        let micros = match (self, number) {
            (TimeFormat::Rfc3339, _) => return None,
            (TimeFormat::Seconds, _) | (TimeFormat::Auto, ..100_000_000_000) => number.checked_mul(1_000_000)?,
            (TimeFormat::Millis, _) | (TimeFormat::Auto, ..100_000_000_000_000) => number.checked_mul(1000)?,
            (TimeFormat::Micros, _) | (TimeFormat::Auto, ..100_000_000_000_000_000) => number,
            (TimeFormat::Nanos | TimeFormat::Auto, _) => number / 1000,
        };
        (micros <= Timestamp::LATEST.0).then_some(Timestamp(micros))
    }
}

/// A decimal number: digits × 10^exponent.
struct Decimal {
    negative: bool,
    /// The first 36 significant digits.
    digits: u128,
    exponent: i64,
    /// Some digit after those was not zero.
    cut: bool,
}

impl Decimal {
    fn read(text: &[u8]) -> Option<Decimal> {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut number = Decimal { negative, digits: 0, exponent: 0, cut: false };
        let integer = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut rest = &text[integer..];
        number.append(&text[..integer], 0);
        if let Some(after) = rest.strip_prefix(b".") {
            let fraction = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            number.append(&after[..fraction], -1);
            rest = &after[fraction..];
            if fraction == 0 {
                return None;
            }
        }
        if let Some(after) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
            let (sign, digits) = match after {
                [b'-', digits @ ..] => (-1, digits),
                [b'+', digits @ ..] => (1, digits),
                digits => (1, digits),
            };
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let exponent = digits.iter().fold(0i64, |e, digit| (e * 10 + (digit - b'0') as i64).min(1 << 40));
            number.exponent += sign * exponent;
            rest = b"";
        }
        (integer > 0 && rest.is_empty()).then_some(number)
    }

    /// Appends digits, each of which lowers the exponent by `-step`.
    fn append(&mut self, digits: &[u8], step: i64) {
        const FULL: u128 = 10u128.pow(35);
        for digit in digits {
            if self.digits < FULL {
                self.digits = self.digits * 10 + (digit - b'0') as u128;
                self.exponent += step;
            } else {
                self.cut |= *digit != b'0';
                self.exponent += step + 1;
            }
        }
    }

    /// Digits before the point: |x| < 10^magnitude, and no smaller one will do.
    fn magnitude(&self) -> i64 {
        self.digits.checked_ilog10().map_or(0, |log| log as i64 + 1 + self.exponent)
    }

    /// x × 10^scale, rounded toward −∞, if it is an `i64`.
    fn times_power_of_ten(&self, scale: i64) -> Option<i64> {
        let exponent = self.exponent + scale;
        let signed = if self.negative { -(self.digits as i128) - self.cut as i128 } else { self.digits as i128 };
        let scaled = if signed == 0 {
            0
        } else if exponent >= 0 {
            signed.checked_mul(10i128.checked_pow(u32::try_from(exponent).ok()?)?)?
        } else {
            match u32::try_from(-exponent).ok().and_then(|places| 10i128.checked_pow(places)) {
                Some(divisor) => signed.div_euclid(divisor),
                None => -(self.negative as i128),
            }
        };
        i64::try_from(scaled).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: TimeFormat, text: &str, expected: Option<i64>) {
        assert_eq!(format.read_text(text.as_bytes()).ok(), expected.map(Timestamp), "{format} {text}");
    }

    #[test]
    fn tells_units_by_magnitude() {
        let micros = Some(1_700_000_000_000_000);
        check(TimeFormat::Auto, "1700000000", micros);
        check(TimeFormat::Auto, "1700000000000", micros);
        check(TimeFormat::Auto, "1700000000000000", micros);
        check(TimeFormat::Auto, "1700000000000000000", micros);
        check(TimeFormat::Auto, "1.7e9", micros);
        check(TimeFormat::Auto, "17e8", micros);
        check(TimeFormat::Auto, "99999999999", Some(99_999_999_999_000_000));
        check(TimeFormat::Auto, "100000000000", Some(100_000_000_000_000));
        check(TimeFormat::Auto, "99999999999999.9", Some(99_999_999_999_999_900));
        check(TimeFormat::Auto, "100000000000000", Some(100_000_000_000_000));
        check(TimeFormat::Auto, "99999999999999999", Some(99_999_999_999_999_999));
        check(TimeFormat::Auto, "100000000000000000", Some(100_000_000_000_000));
        check(TimeFormat::Auto, "-1", Some(-1_000_000));
        check(TimeFormat::Auto, "0", Some(0));
        check(TimeFormat::Auto, "2023-11-14T22:13:20Z", micros);
    }

    #[test]
    fn keeps_every_digit_and_cuts_toward_the_past() {
        check(TimeFormat::Auto, "1700000000.123456", Some(1_700_000_000_123_456));
        check(TimeFormat::Auto, "1700000000.1234569", Some(1_700_000_000_123_456));
        check(TimeFormat::Seconds, "-0.0000001", Some(-1));
        check(TimeFormat::Seconds, "0.0000001", Some(0));
        check(TimeFormat::Nanos, "-1", Some(-1));
        check(TimeFormat::Nanos, "1999", Some(1));
        check(TimeFormat::Micros, "-1.00000000000000000000000000000000000000000001", Some(-2));
        check(TimeFormat::Seconds, "-1e-400", Some(-1));
        check(TimeFormat::Seconds, "0e999999999999999999999", Some(0));
        check(TimeFormat::Seconds, "0.000000000000000000000000000000000000000000000000001e51", Some(1_000_000));
    }

    /// Plain numbers by both ways, around every power of ten.
    #[test]
    fn fast_and_general_way_agree() {
        for format in [TimeFormat::Auto, TimeFormat::Seconds, TimeFormat::Millis, TimeFormat::Micros, TimeFormat::Nanos]
        {
            for number in (0..18).flat_map(|power| [10i64.pow(power) - 1, 10i64.pow(power), 17 * 10i64.pow(power) / 3])
            {
                let (plain, general) = (number.to_string(), format!("{number}.0"));
                check(format, &plain, format.read_text(general.as_bytes()).ok().map(|time| time.0));
            }
        }
    }

    #[test]
    fn refuses() {
        for text in ["", "-", "+1", "1.", ".5", "1e", "1e+", "1 ", "0x10", "nan", "253402300800", "1e400", "-1e20"] {
            check(TimeFormat::Seconds, text, None);
        }
        check(TimeFormat::Rfc3339, "1700000000", None);
        check(TimeFormat::Seconds, "2023-11-14T22:13:20Z", None);
        assert!(TimeFormat::Rfc3339.read_number(b"1").is_err());
    }

    #[test]
    fn names_its_formats() {
        for name in ["auto", "rfc3339", "s", "ms", "us", "ns"] {
            assert_eq!(name.parse::<TimeFormat>().map(|format| format.to_string()), Ok(name.to_owned()));
        }
        assert!("seconds".parse::<TimeFormat>().unwrap_err().to_string().starts_with("'seconds' is no time format"));
    }
}
