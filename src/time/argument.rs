//! Times as flags take them: `--start 2026-02-16`, `--until -1h`.
//!
//! Knows nothing of the flags, and is told what time it is.

use crate::time::rfc3339::parse_date;
use crate::time::{Duration, ParseError, TimeFormat, Timestamp, excerpt, parse_rfc3339};

impl Timestamp {
    /// Reads RFC 3339, a day (its first instant in UTC), an epoch number (see `TimeFormat::Auto`), `now`, or a length of
    /// time before now: `-1h`.
    pub fn parse_argument(text: &str, now: Timestamp) -> Result<Timestamp, ParseError> {
        if text == "now" {
            return Ok(now);
        }
        if let Ok(time) = TimeFormat::Auto.read_number(text.as_bytes()) {
            return Ok(time);
        }
        if let Some(before) = text.strip_prefix('-') {
            let before = Duration::parse(before)?;
            return now
                .0
                .checked_sub(before.0)
                .map(Timestamp)
                .ok_or_else(|| ParseError::Argument { text: excerpt(text.as_bytes()) });
        }
        // What begins as a date is judged as one, since the reason tells more than the list of forms.
        match (text.len(), text.as_bytes()) {
            (10, [b'0'..=b'9', ..]) => parse_date(text.as_bytes()),
            (11.., [b'0'..=b'9', ..]) => parse_rfc3339(text.as_bytes()),
            _ => Err(ParseError::Argument { text: excerpt(text.as_bytes()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let now = parse_rfc3339(b"2026-02-16T10:30:00Z").unwrap();
        match (Timestamp::parse_argument(text, now), expected) {
            (Ok(time), Ok(expected)) => assert_eq!(time.to_string(), expected, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (read, expected) => panic!("{text}: {read:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn reads_every_form() {
        check("now", Ok("2026-02-16T10:30:00.000Z"));
        check("-1h", Ok("2026-02-16T09:30:00.000Z"));
        check("-1d12h", Ok("2026-02-14T22:30:00.000Z"));
        check("2026-02-01", Ok("2026-02-01T00:00:00.000Z"));
        check("2026-02-01T01:00:00+01:00", Ok("2026-02-01T00:00:00.000Z"));
        check("1700000000", Ok("2023-11-14T22:13:20.000Z"));
        check("1700000000000", Ok("2023-11-14T22:13:20.000Z"));
        check("-1", Ok("1969-12-31T23:59:59.000Z"));
    }

    #[test]
    fn refuses_with_the_reason() {
        check("yesterday", Err("'yesterday' is no time\nwrite it as"));
        check("2026-02-30", Err("no such day"));
        check("2026-02-01T01:00", Err("seconds must be there"));
        check("-1x", Err("'1x' is no length of time"));
        check("1h", Err("'1h' is no time"));
        check("", Err("'' is no time"));
    }
}
