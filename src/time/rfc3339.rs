//! Times as RFC 3339 text, both ways.
//!
//! The two UTC forms that nearly every event uses (with and without milliseconds) are read eight bytes at a time; all
//! else takes the general way. Calendar arithmetic is Howard Hinnant's, "chrono-Compatible Low-Level Date Algorithms".
//! Knows nothing of epoch numbers and of what flags accept.

use crate::time::{ParseError, Timestamp, excerpt};

const MICROS_SECOND: i64 = 1_000_000;
const SECONDS_DAY: i64 = 86_400;
const MICROS_DAY: i64 = SECONDS_DAY * MICROS_SECOND;

/// Reads a time strictly by RFC 3339: `2026-02-16T10:30:00.000Z`, `2026-02-16 10:30:00+01:00`.
///
/// * `T` and `Z` may be lower case; a space may stand for `T`, as the RFC's section 5.6 allows.
/// * The seconds must be there. A fraction may have any number of digits; what is finer than a microsecond is cut off,
///   toward the past.
/// * The leap second `23:59:60` UTC (whatever the offset it is written in) is taken as the second before it, since our
///   time has no room for it. A `:60` at any other time of day is refused.
/// * The time in UTC must be of the years 0000 to 9999.
pub fn parse_rfc3339(text: &[u8]) -> Result<Timestamp, ParseError> {
    if let Some(time) = parse_utc(text) {
        return Ok(time);
    }
    parse_general(text).map_err(|reason| ParseError::Rfc3339 { text: excerpt(text), reason })
}

/// Reads a day, `2026-02-16`, as its first instant in UTC.
pub(crate) fn parse_date(text: &[u8]) -> Result<Timestamp, ParseError> {
    let date = |reader: &mut Reader| {
        let days = reader.date()?;
        if reader.rest.is_empty() { Ok(Timestamp(days * MICROS_DAY)) } else { Err("it goes on after the day") }
    };
    date(&mut Reader { rest: text }).map_err(|reason| ParseError::Rfc3339 { text: excerpt(text), reason })
}

impl Timestamp {
    /// Appends the time as RFC 3339 in UTC, with milliseconds, or six digits when the last three are not zero.
    ///
    /// A year outside of 0000 to 9999, which only the bounds of infinite windows have, is written in ISO 8601's
    /// expanded form: `+294247-01-10T04:00:54.775807Z`.
    pub fn write_rfc3339(&self, out: &mut Vec<u8>) {
        let (days, micros_of_day) = (self.0.div_euclid(MICROS_DAY), self.0.rem_euclid(MICROS_DAY));
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        if (0..=9999).contains(&year) {
            put_two_digits(&mut text, 0, year as u64 / 100);
            put_two_digits(&mut text, 2, year as u64 % 100);
        } else {
            out.push(if year < 0 { b'-' } else { b'+' });
            out.extend_from_slice(format!("{:04}", year.abs()).as_bytes());
        }
        put_two_digits(&mut text, 5, month);
        put_two_digits(&mut text, 8, day);
        let (seconds, micros) = (micros_of_day as u64 / 1_000_000, micros_of_day as u64 % 1_000_000);
        put_two_digits(&mut text, 11, seconds / 3600);
        put_two_digits(&mut text, 14, seconds / 60 % 60);
        put_two_digits(&mut text, 17, seconds % 60);
        put_two_digits(&mut text, 20, micros / 10_000);
        put_two_digits(&mut text, 22, micros / 100 % 100);
        put_two_digits(&mut text, 24, micros % 100);
        let from = if (0..=9999).contains(&year) { 0 } else { 4 };
        if micros % 1000 == 0 {
            text[23] = b'Z';
            out.extend_from_slice(&text[from..24]);
        } else {
            out.extend_from_slice(&text[from..]);
        }
    }
}

/// The forms `2026-02-16T10:30:00Z` and `2026-02-16T10:30:00.000Z`, or `None` for the general way to judge.
#[inline]
fn parse_utc(text: &[u8]) -> Option<Timestamp> {
    if text.len() < 20 {
        return None;
    }
    let word = |at: usize| u64::from_le_bytes(text[at..at + 8].try_into().expect("eight bytes"));
    let date = digit_pairs(word(0), b"0000-00-")?;
    let time = digit_pairs(word(8), b"00T00:00")?;
    let (second, millis) = match text.len() {
        24 => {
            let tail = digit_pairs(word(16), b":00.000Z")?;
            (lane(tail, 1), lane(tail, 4) * 10 + lane(tail, 5) % 10)
        }
        20 => (lane(digit_pairs(word(12), b"0:00:00Z")?, 5), 0),
        _ => return None,
    };
    let year = lane(date, 0) * 100 + lane(date, 2);
    let (month, day, hour, minute) = (lane(date, 5), lane(time, 0), lane(time, 3), lane(time, 6));
    if hour > 23 || minute > 59 || second > 59 || !is_day(year, month, day) {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * SECONDS_DAY + (hour * 3600 + minute * 60 + second) as i64;
    Some(Timestamp(seconds * MICROS_SECOND + millis as i64 * 1000))
}

/// The number made of the digit in each byte and the one after it, for eight bytes that match `template` (a `0` there
/// stands for any digit).
#[inline]
fn digit_pairs(word: u64, template: &[u8; 8]) -> Option<u64> {
    // Added to a byte, these carry into its highest bit when it is no digit (above 9), or not the template's (above 0).
    let mut carries = [0u8; 8];
    let mut lane = 0;
    while lane < 8 {
        carries[lane] = if template[lane] == b'0' { 0x76 } else { 0x7f };
        lane += 1;
    }
    let digits = word ^ u64::from_le_bytes(*template);
    let wrong = (digits | digits.wrapping_add(u64::from_le_bytes(carries))) & 0x8080_8080_8080_8080;
    (wrong == 0).then(|| digits.wrapping_mul(10).wrapping_add(digits >> 8))
}

#[inline]
fn lane(pairs: u64, lane: u32) -> u32 {
    (pairs >> (8 * lane)) as u32 & 0xff
}

fn parse_general(text: &[u8]) -> Result<Timestamp, &'static str> {
    let mut reader = Reader { rest: text };
    let days = reader.date()?;
    reader.one_of(b"Tt ", "no 'T' after the day")?;
    let hour = reader.digits(2, "the hour must have two digits")?;
    reader.one_of(b":", "no ':' after the hour")?;
    let minute = reader.digits(2, "the minute must have two digits")?;
    reader.one_of(b":", "no ':' after the minute; the seconds must be there")?;
    let second = reader.digits(2, "the second must have two digits")?;
    let micros = reader.fraction()?;
    let offset_seconds = reader.offset()?;
    if !reader.rest.is_empty() {
        return Err("it goes on after the offset");
    }
    if hour > 23 {
        return Err("the hour is above 23");
    }
    if minute > 59 {
        return Err("the minute is above 59");
    }
    let minutes = days * SECONDS_DAY + (hour * 3600 + minute * 60) as i64 - offset_seconds;
    let is_leap_second = second == 60 && minutes.rem_euclid(SECONDS_DAY) == SECONDS_DAY - 60;
    let second = match second {
        0..=59 => second,
        60 if is_leap_second => 59,
        60 => return Err("a leap second is at 23:59:60 UTC only"),
        _ => return Err("the second is above 59"),
    };
    let time = Timestamp((minutes + second as i64) * MICROS_SECOND + micros);
    if time < Timestamp::EARLIEST || time > Timestamp::LATEST {
        return Err("it is not of the years 0000 to 9999 in UTC");
    }
    Ok(time)
}

/// What is left of a text.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn digits(&mut self, count: usize, otherwise: &'static str) -> Result<u32, &'static str> {
        let (digits, rest) = self.rest.split_at_checked(count).ok_or(otherwise)?;
        if !digits.iter().all(u8::is_ascii_digit) || rest.first().is_some_and(u8::is_ascii_digit) {
            return Err(otherwise);
        }
        self.rest = rest;
        Ok(digits.iter().fold(0, |number, digit| number * 10 + (digit - b'0') as u32))
    }

    fn one_of(&mut self, allowed: &[u8], otherwise: &'static str) -> Result<u8, &'static str> {
        let (&first, rest) = self.rest.split_first().ok_or(otherwise)?;
        if !allowed.contains(&first) {
            return Err(otherwise);
        }
        self.rest = rest;
        Ok(first)
    }

    /// Days since the epoch.
    fn date(&mut self) -> Result<i64, &'static str> {
        let year = self.digits(4, "the year must have four digits")?;
        self.one_of(b"-", "no '-' after the year")?;
        let month = self.digits(2, "the month must have two digits")?;
        self.one_of(b"-", "no '-' after the month")?;
        let day = self.digits(2, "the day must have two digits")?;
        if !(1..=12).contains(&month) {
            return Err("the month is not of 1 to 12");
        }
        if !is_day(year, month, day) {
            return Err("the month has no such day");
        }
        Ok(days_from_civil(year, month, day))
    }

    /// Microseconds, the rest cut off.
    fn fraction(&mut self) -> Result<i64, &'static str> {
        if self.rest.first() != Some(&b'.') {
            return Ok(0);
        }
        let digits = self.rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err("no digit after the '.'");
        }
        let micros = (0..6).fold(0, |micros, place| {
            micros * 10 + if place < digits { (self.rest[1 + place] - b'0') as i64 } else { 0 }
        });
        self.rest = &self.rest[1 + digits..];
        Ok(micros)
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Result<i64, &'static str> {
        let sign = match self.one_of(b"Zz+-", "no 'Z' or offset such as '+01:00' at its end")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Ok(0),
        };
        let hours = self.digits(2, "the offset's hour must have two digits")?;
        self.one_of(b":", "no ':' in the offset")?;
        let minutes = self.digits(2, "the offset's minute must have two digits")?;
        if hours > 23 || minutes > 59 {
            return Err("the offset is above 23:59");
        }
        Ok(sign * (hours * 3600 + minutes * 60) as i64)
    }
}

#[inline]
fn is_day(year: u32, month: u32, day: u32) -> bool {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + is_leap as u32,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar, for years from 0.
#[inline]
fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    // Years begin in March, so that the leap day is the last; 400 years more, so that none is below zero.
    let year = year + 400 - (month <= 2) as u32;
    let month = if month <= 2 { month + 9 } else { month - 3 };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    (365 * year + year / 4 - year / 100 + year / 400 + day_of_year) as i64 - 865_565
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097) as u64;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era as i64 + era * 400 + (month <= 2) as i64, month, day)
}

#[inline]
fn put_two_digits(text: &mut [u8; 27], at: usize, number: u64) {
    debug_assert!(number < 100, "{number} has more than two digits");
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let read = parse_rfc3339(text.as_bytes());
        match expected {
            Ok(canonical) => assert_eq!(read.map(|t| t.to_string()).as_deref(), Ok(canonical), "{text}"),
            Err(part) => {
                let message = read.expect_err(text).to_string();
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn reads_and_writes() {
        check("2026-02-16T10:30:00Z", Ok("2026-02-16T10:30:00.000Z"));
        check("2026-02-16T10:30:00.987Z", Ok("2026-02-16T10:30:00.987Z"));
        check("2026-02-16t10:30:00.5z", Ok("2026-02-16T10:30:00.500Z"));
        check("2026-02-16 10:30:00.123456Z", Ok("2026-02-16T10:30:00.123456Z"));
        check("2026-02-16T10:30:00.1234569999+01:30", Ok("2026-02-16T09:00:00.123456Z"));
        check("0000-01-01T00:00:00Z", Ok("0000-01-01T00:00:00.000Z"));
        check("9999-12-31T23:59:59.999999Z", Ok("9999-12-31T23:59:59.999999Z"));
        check("1969-12-31T23:59:59.9999999Z", Ok("1969-12-31T23:59:59.999999Z"));
        check("2000-02-29T00:00:00Z", Ok("2000-02-29T00:00:00.000Z"));
    }

    #[test]
    fn decides_leap_seconds() {
        check("2016-12-31T23:59:60Z", Ok("2016-12-31T23:59:59.000Z"));
        check("2017-01-01T00:59:60.25+01:00", Ok("2016-12-31T23:59:59.250Z"));
        check("2016-12-31T23:58:60Z", Err("leap second"));
        check("2016-12-31T23:59:61Z", Err("above 59"));
    }

    #[test]
    fn refuses_with_the_reason() {
        check("2026-02-16T10:30Z", Err("seconds must be there"));
        check("2026-02-30T10:30:00Z", Err("no such day"));
        check("1900-02-29T10:30:00.000Z", Err("no such day"));
        check("2026-13-01T10:30:00Z", Err("month"));
        check("2026-02-16T24:00:00Z", Err("hour is above 23"));
        check("2026-02-16T10:30:00", Err("no 'Z' or offset"));
        check("2026-02-16T10:30:00.Z", Err("no digit"));
        check("2026-02-16T10:30:00+24:00", Err("offset is above"));
        check("0000-01-01T00:00:00+00:01", Err("years 0000 to 9999"));
        check("9999-12-31T23:59:59-00:01", Err("years 0000 to 9999"));
        check("", Err("year"));
        check("2026-02-16T10:30:0/Z", Err("second must have"));
        check("yesterday", Err("'yesterday' is no RFC 3339 time"));
    }

    #[test]
    fn writes_what_no_text_can_say() {
        assert_eq!(Timestamp::MAX.to_string(), "+294247-01-10T04:00:54.775807Z");
        assert_eq!(Timestamp::MIN.to_string(), "-290308-12-21T19:59:05.224192Z");
        assert_eq!(Timestamp(Timestamp::LATEST.0 + 1).to_string(), "+10000-01-01T00:00:00.000Z");
    }

    /// Every day of 0000 to 9999 against chrono, by both ways of reading.
    #[test]
    fn agrees_with_chrono() {
        let days = (Timestamp::EARLIEST.0 / MICROS_DAY)..=(Timestamp::LATEST.0 / MICROS_DAY);
        for day in days.step_by(3) {
            let time = Timestamp(day * MICROS_DAY + (day.rem_euclid(86_400)) * MICROS_SECOND + 7000);
            let chrono = chrono::DateTime::from_timestamp_micros(time.0).expect("in chrono's range");
            let text = chrono.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            assert_eq!(time.to_string(), text);
            assert_eq!(parse_utc(text.as_bytes()), Some(time), "{text}");
            assert_eq!(parse_general(text.as_bytes()), Ok(time), "{text}");
        }
    }

    /// One byte changed: the fast way never accepts what the general way does not, and agrees where it does.
    #[test]
    fn fast_and_general_way_agree() {
        for form in ["2024-02-29T23:59:59Z", "2024-02-29T23:59:59.999Z"] {
            for at in 0..form.len() {
                for byte in 0..=255 {
                    let mut text = form.as_bytes().to_vec();
                    text[at] = byte;
                    if let Some(time) = parse_utc(&text) {
                        assert_eq!(parse_general(&text), Ok(time), "{:?}", String::from_utf8_lossy(&text));
                    }
                }
            }
        }
    }

    /// The verdicts of other implementations' tests, where their folder is given.
    #[test]
    fn conforms() {
        let Some(folder) = std::env::var_os("EVKIT_CASES") else {
            eprintln!("skipped: EVKIT_CASES names no folder of conformance cases");
            return;
        };
        let file = std::path::Path::new(&folder).join("timestamps/rfc3339.ndjson");
        let cases = std::fs::read_to_string(&file).expect("the cases are readable");
        let mut judged = 0;
        for case in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(case).unwrap();
            let text = case["text"].as_str().unwrap();
            let expected =
                case["epoch_s"].as_i64().map(|s| Timestamp(s * MICROS_SECOND + case["nanos"].as_i64().unwrap() / 1000));
            match (case["expect"].as_str().unwrap(), parse_rfc3339(text.as_bytes())) {
                ("accept", read) => assert_eq!(read.ok(), expected, "{text}"),
                ("reject", read) => assert!(read.is_err(), "{text}"),
                (_, Ok(read)) => assert_eq!(Some(read), expected, "{text}"),
                (_, Err(_)) => {}
            }
            judged += 1;
        }
        assert!(judged > 50, "only {judged} cases in {}", file.display());
    }
}
