//! How the values of flags are written in all programs: counts, rates, shares, times, lengths of time.
//!
//! Knows nothing of which flags there are. The messages leave out the value and the flag, which clap puts before them.

use std::net::{Ipv4Addr, SocketAddr};

use crate::pipeline::window::RejectsMax;
use crate::time::{Duration, ParseError, Timestamp};

/// A text that is not what its flag takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Not a count.
    #[error("write a whole number, as '5000', '10k' or '2M'")]
    Count,
    /// A count that is out of bounds.
    #[error("it must lie between {min} and {max}")]
    OutOfBounds {
        /// The least that is taken.
        min: u64,
        /// The most that is taken.
        max: u64,
    },
    /// Not a rate.
    #[error("write a number of events a second from 0.001 to 1000M, as '1000', '10k' or '0.5'")]
    Rate,
    /// Not a speed.
    #[error("write how much faster than the clock time should run, from 0.001x to 1000000x, as '60x'")]
    Speed,
    /// Not a share.
    #[error("write a share from 0% to 100%, as '0.1%'")]
    Share,
    /// Not a number of bytes.
    #[error("write a number of bytes up to 1024MiB, as '65536', '64KiB' or '1MiB'")]
    Bytes,
    /// Not a place to listen at.
    #[error(
        "write a port, as '9464', which only this machine reaches, or an address with one, as '192.0.2.1:9464' or '[::1]:9464'"
    )]
    Listen,
    /// Not a delay with a share.
    #[error("write how long and how many, as '5s:20%'")]
    DelayedShare,
    /// Not a time or a length of time.
    #[error(transparent)]
    Time(#[from] ParseError),
}

/// A length of time in days or shorter, or in years of 365 days.
pub fn age(text: &str) -> Result<Duration, FlagError> {
    let years = text.strip_suffix('y').and_then(|years| years.parse::<i64>().ok());
    match years.filter(|years| (0..=10_000).contains(years)) {
        Some(years) => Ok(Duration(years * 365 * 86_400_000_000)),
        None => duration(text),
    }
}

/// A whole number, with `k` for thousand and `M` for million.
pub fn count(text: &str) -> Result<u64, FlagError> {
    let (digits, factor) = split_factor(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FlagError::Count);
    }
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or(FlagError::OutOfBounds { min: 0, max: u64::MAX })
}

/// A whole number from `min` to `max`.
pub fn count_within(text: &str, min: u32, max: u32) -> Result<u32, FlagError> {
    let out_of_bounds = FlagError::OutOfBounds { min: min.into(), max: max.into() };
    match count(text)?.try_into() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(out_of_bounds),
    }
}

/// Events a thousand seconds, from a number of events a second with at most three decimals.
pub fn rate_milli(text: &str) -> Result<u64, FlagError> {
    let (digits, factor) = split_factor(text);
    match thousandths(digits).and_then(|milli| milli.checked_mul(factor)) {
        Some(milli @ 1..=1_000_000_000_000) => Ok(milli),
        _ => Err(FlagError::Rate),
    }
}

/// Thousandths of a speed such as `60x`.
pub fn speed_milli(text: &str) -> Result<u64, FlagError> {
    match text.strip_suffix('x').and_then(thousandths) {
        Some(milli @ 1..=1_000_000_000) => Ok(milli),
        _ => Err(FlagError::Speed),
    }
}

/// A share such as `0.1%`, from 0 to 1.
pub fn share(text: &str) -> Result<f64, FlagError> {
    let digits = text.strip_suffix('%').ok_or(FlagError::Share)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(FlagError::Share);
    }
    match digits.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(FlagError::Share),
    }
}

/// A length of time and a share, such as `5s:20%`.
pub fn delayed_share(text: &str) -> Result<(Duration, f64), FlagError> {
    let (delay, hit) = text.split_once(':').ok_or(FlagError::DelayedShare)?;
    Ok((duration(delay)?, share(hit)?))
}

/// A length of time such as `90s`.
pub fn duration(text: &str) -> Result<Duration, FlagError> {
    Ok(Duration::parse(text)?)
}

/// A place to listen at: `9464` and `:9464` are a port of this machine alone, `ADDRESS:PORT` is where the user says.
pub fn listen(text: &str) -> Result<SocketAddr, FlagError> {
    let port = text.strip_prefix(':').or_else(|| text.strip_prefix("localhost:")).unwrap_or(text);
    match port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten() {
        Some(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        None => text.parse().map_err(|_| FlagError::Listen),
    }
}

/// A length of time, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationOrNone(pub Option<Duration>);

/// A length of time such as `90s`, or `none`.
pub fn duration_or_none(text: &str) -> Result<DurationOrNone, FlagError> {
    Ok(DurationOrNone(if text == "none" { None } else { Some(duration(text)?) }))
}

/// A number of bytes from 1 byte to 1 GiB, such as `4096`, `64KiB` or `1MiB`.
pub fn bytes(text: &str) -> Result<usize, FlagError> {
    let (digits, factor) = match text.strip_suffix("KiB").map(|digits| (digits, 1 << 10)) {
        Some(split) => split,
        None => text.strip_suffix("MiB").map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    match digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(bytes @ 1..=0x4000_0000) => Ok(bytes),
        _ => Err(FlagError::Bytes),
    }
}

/// How many lines may be rejected: a count or a share.
pub fn rejects_max(text: &str) -> Result<RejectsMax, FlagError> {
    match text.ends_with('%') {
        true => Ok(RejectsMax::Percent(share(text)? * 100.0)),
        false => Ok(RejectsMax::Count(count(text)?)),
    }
}

/// A point in time, or one relative to a present that is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFlag {
    text: String,
}

impl TimeFlag {
    /// The time, when it is `now` now.
    pub fn resolve(&self, now: Timestamp) -> Result<Timestamp, FlagError> {
        Ok(Timestamp::parse_argument(&self.text, now)?)
    }
}

/// A point in time: RFC 3339, a day, an epoch number, `-1h` or `now`.
pub fn time(text: &str) -> Result<TimeFlag, FlagError> {
    Timestamp::parse_argument(text, Timestamp(0))?;
    Ok(TimeFlag { text: text.to_owned() })
}

/// The number's digits and what its suffix multiplies it by.
fn split_factor(text: &str) -> (&str, u64) {
    match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    }
}

/// A decimal number with at most three decimals, in thousandths.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 3 {
        return None;
    }
    let decimals = format!("{decimals:0<3}").parse::<u64>().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(decimals)
}

/// Cores of the machine that this process may use; 1 where that is not known.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether a table may use colour: on a terminal, unless `NO_COLOR` is set to something.
pub fn may_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + std::fmt::Debug>(
        parse: impl Fn(&str) -> Result<T, FlagError>,
        good: &[(&str, T)],
        bad: &[&str],
    ) {
        for (text, expected) in good {
            assert_eq!(parse(text).as_ref(), Ok(expected), "'{text}'");
        }
        for text in bad {
            assert!(parse(text).is_err(), "'{text}' was read as {:?}", parse(text));
        }
    }

    #[test]
    fn counts() {
        let bad = ["", "k", "-1", "+1", "1.5", "1e3", "10 k", "18446744073709551616", "18446744073709551615k", "ü"];
        check(count, &[("0", 0), ("5000", 5000), ("10k", 10_000), ("2M", 2_000_000)], &bad);
        check(|text| count_within(text, 1, 10), &[("1", 1), ("10", 10)], &["0", "11", "10k", "99999999999"]);
    }

    #[test]
    fn rates_and_speeds() {
        check(
            rate_milli,
            &[("1000", 1_000_000), ("10k", 10_000_000), ("0.5", 500), ("0.001", 1), ("1.5M", 1_500_000_000)],
            &["", "0", "0.0001", "-1", "1001M", "1/s", "1e3", ".5", "5.", "NaN", "inf"],
        );
        check(
            speed_milli,
            &[("60x", 60_000), ("1x", 1000), ("0.5x", 500), ("1000000x", 1_000_000_000)],
            &["60", "x", "0x", "-1x", "1000001x", "60X x"],
        );
    }

    #[test]
    fn places_to_listen_at_are_this_machine_alone_unless_said_otherwise() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let local = [("9464", "127.0.0.1:9464"), (":0", "127.0.0.1:0"), ("localhost:1", "127.0.0.1:1")];
        let named = [("0.0.0.0:80", "0.0.0.0:80"), ("[::1]:80", "[::1]:80"), ("192.0.2.1:1", "192.0.2.1:1")];
        let good: Vec<(&str, SocketAddr)> = local.into_iter().chain(named).map(|(text, is)| (text, at(is))).collect();
        check(listen, &good, &["", ":", "65536", "-1", "host:80", "127.0.0.1", "::1:80", "*:80", "80 "]);
    }

    #[test]
    fn shares() {
        check(
            share,
            &[("0%", 0.0), ("20%", 0.2), ("100%", 1.0), ("0.5%", 0.005)],
            &["20", "%", "-1%", "101%", "NaN%", "inf%", "1e1%", "1.1.1%", "20 %"],
        );
        check(
            delayed_share,
            &[("5s:20%", (Duration(5_000_000), 0.2)), ("1h30m:0%", (Duration(5_400_000_000), 0.0))],
            &["5s", "20%", "5s:", ":20%", "5s:20", "-5s:20%", "5s:20%:1"],
        );
    }

    #[test]
    fn times() {
        let now = Timestamp(7_200_000_000);
        let check_at = |text: &str, expected: i64| {
            assert_eq!(time(text).and_then(|time| time.resolve(now)), Ok(Timestamp(expected)), "'{text}'");
        };
        check_at("now", 7_200_000_000);
        check_at("-1h", 3_600_000_000);
        check_at("1970-01-02", 86_400_000_000);
        check_at("1970-01-01T00:00:01Z", 1_000_000);
        check(time, &[], &["", "tomorrow", "2026-02-30", "-1x", "1h"]);
    }
}
