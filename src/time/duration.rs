//! Lengths of time as text, both ways: `90s`, `1h30m`.
//!
//! Knows nothing of calendars: a day is 24 hours, a week seven days.

use crate::time::{Duration, ParseError, excerpt};

/// Units from the longest to the shortest, with their microseconds. Written ones first of their length.
const UNITS: [(&str, i64); 7] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
    ("µs", 1),
];
const WEEK: (&str, i64) = ("w", 7 * 86_400_000_000);

impl Duration {
    /// Reads whole numbers with units `w d h m s ms us`, the longest unit first and each at most once: `90s`, `1h30m`.
    /// A bare `0` needs no unit. Never negative; at most some 292,000 years.
    pub fn parse(text: &str) -> Result<Duration, ParseError> {
        read(text).map(Duration).map_err(|reason| ParseError::Duration { text: excerpt(text.as_bytes()), reason })
    }
}

impl std::str::FromStr for Duration {
    type Err = ParseError;

    /// As [`Duration::parse`].
    fn from_str(text: &str) -> Result<Duration, ParseError> {
        Duration::parse(text)
    }
}

impl std::fmt::Display for Duration {
    /// The shortest text that reads back equal: `90s` rather than `1m30s`, `1d1s` rather than `86401s`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.unsigned_abs();
        if micros == 0 {
            return f.write_str("0s");
        }
        let (mut single, mut compound, mut left) = (None, String::new(), micros);
        for (name, unit) in UNITS.iter().take(6).map(|&(name, unit)| (name, unit as u64)) {
            if single.is_none() && micros.is_multiple_of(unit) {
                single = Some(format!("{}{name}", micros / unit));
            }
            if left >= unit {
                compound.push_str(&format!("{}{name}", left / unit));
                left %= unit;
            }
        }
        let single = single.expect("every number of microseconds is a multiple of one");
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", if single.len() <= compound.len() { single } else { compound })
    }
}

fn read(text: &str) -> Result<i64, &'static str> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.starts_with('-') {
        return Err("it is negative");
    }
    let (mut rest, mut total, mut unit_before) = (text, 0i64, i64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err("a whole number must stand before each unit");
        }
        let name_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (name, after) = after.split_at(name_end);
        if name.is_empty() {
            return Err("a unit must stand after each number");
        }
        let (_, unit) = UNITS.into_iter().chain([WEEK]).find(|unit| unit.0 == name).ok_or("it has an unknown unit")?;
        if unit >= unit_before {
            return Err("longer units come first, each once");
        }
        total = number
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .and_then(|micros| micros.checked_add(total))
            .ok_or("it is longer than 292,000 years")?;
        (rest, unit_before) = (after, unit);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(i64, &str), &str>) {
        match (Duration::parse(text), expected) {
            (Ok(read), Ok((micros, shortest))) => {
                assert_eq!((read.0, read.to_string().as_str()), (micros, shortest), "{text}");
                assert_eq!(Duration::parse(shortest), Ok(read), "{shortest}");
            }
            (Err(error), Err(part)) => {
                let message = error.to_string();
                assert!(message.contains(part) && message.contains(&format!("'{text}'")), "{message}");
            }
            (read, expected) => panic!("{text}: {read:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn reads_and_writes() {
        check("90s", Ok((90_000_000, "90s")));
        check("5m", Ok((300_000_000, "5m")));
        check("7d", Ok((604_800_000_000, "7d")));
        check("2w", Ok((1_209_600_000_000, "14d")));
        check("250ms", Ok((250_000, "250ms")));
        check("10us", Ok((10, "10us")));
        check("10µs", Ok((10, "10us")));
        check("1h30m", Ok((5_400_000_000, "90m")));
        check("1d1s", Ok((86_401_000_000, "1d1s")));
        check("60s", Ok((60_000_000, "1m")));
        check("0", Ok((0, "0s")));
        check("0s", Ok((0, "0s")));
        check("9223372036854775807us", Ok((i64::MAX, "9223372036854775807us")));
    }

    #[test]
    fn refuses_with_the_reason() {
        check("90", Err("a unit must stand"));
        check("s", Err("whole number"));
        check("1.5h", Err("unknown unit"));
        check("5 m", Err("unknown unit"));
        check("30m1h", Err("longer units come first"));
        check("1m1m", Err("each once"));
        check("5min", Err("unknown unit"));
        check("-1h", Err("negative"));
        check("", Err("empty"));
        check("9223372036854775808us", Err("292,000 years"));
        check("1000000000d", Err("write it as '90s'"));
    }

    #[test]
    fn writes_negative_lengths() {
        assert_eq!(Duration(-90_000_000).to_string(), "-90s");
        assert_eq!(Duration(i64::MIN).to_string(), "-9223372036854775808us");
    }
}
