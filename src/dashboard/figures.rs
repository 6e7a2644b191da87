//! How numbers, times and lengths of time are written where there is little room.
//!
//! Every figure is plain ASCII but for the minus sign and the marks of a change, so that its width is its number of characters.

use crate::time::{Duration, Timestamp, Window};

/// A number in at most nine characters: exact while it is small, then in thousands `k`, millions `M` and so on, with four digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".to_owned();
    }
    if size >= 1e15 || (size > 0.0 && size < 0.0005) {
        return format!("{value:.2e}");
    }
    if size < 100_000.0 {
        if value.fract() == 0.0 {
            return grouped(value);
        }
        let decimals = if size < 10.0 { 3 } else { 2 };
        let (text, rounded) = (format!("{value:.decimals$}"), size as u32);
        return if rounded >= 1000 { grouped_text(&text) } else { text };
    }
    let units = [(1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k')];
    let (unit, letter) = units.into_iter().find(|(unit, _)| size >= *unit).unwrap_or((1.0, ' '));
    let scaled = value / unit;
    let decimals = match scaled.abs() {
        large if large >= 100.0 => 1,
        middle if middle >= 10.0 => 2,
        _ => 3,
    };
    format!("{scaled:.decimals$}{letter}")
}

/// A whole count with commas between thousands.
pub fn count(value: u64) -> String {
    grouped_text(&value.to_string())
}

fn grouped(value: f64) -> String {
    // -0 has no sign that would mean anything.
    grouped_text(&format!("{:.0}", value + 0.0))
}

/// Puts commas between the thousands of a decimal number.
fn grouped_text(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// By how much `now` differs from `before`, such as `+3.2%`; `new` where there was nothing before, `=` where nothing changed.
/// Of a change from zero there is no share.
pub fn change(now: f64, before: Option<f64>) -> String {
    let Some(before) = before.filter(|before| before.is_finite()) else { return "new".to_owned() };
    if now == before {
        return "=".to_owned();
    }
    if before == 0.0 {
        return if now > 0.0 { "+".to_owned() } else { "-".to_owned() };
    }
    let percent = (now - before) / before.abs() * 100.0;
    match percent.abs() {
        huge if huge >= 9999.5 => if percent > 0.0 { ">+9999%" } else { "<-9999%" }.to_owned(),
        large if large >= 99.95 => format!("{percent:+.0}%"),
        _ => format!("{percent:+.1}%"),
    }
}

/// A length of time in at most seven characters, by its two largest units: `31ms`, `5.2s`, `3m05s`, `2h10m`, `4d06h`, `327d`.
pub fn span(duration: Duration) -> String {
    let micros = duration.0.unsigned_abs();
    let sign = if duration.0 < 0 { "-" } else { "" };
    let seconds = micros / 1_000_000;
    let text = match seconds {
        0 if micros < 1000 => format!("{micros}us"),
        0 => format!("{}ms", micros / 1000),
        1..60 => format!("{}.{}s", seconds, micros % 1_000_000 / 100_000),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        86_400..864_000 => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
        _ => format!("{}d", seconds / 86_400),
    };
    format!("{sign}{text}")
}

/// A point in time in UTC, to the second unless it has a fraction: `2026-01-01 10:31:00`.
pub fn instant(time: Timestamp) -> String {
    let text = time.to_string();
    let Some((day, clock)) = text.trim_end_matches('Z').split_once('T') else { return text };
    format!("{day} {}", clock.strip_suffix(".000").unwrap_or(clock))
}

/// The clock's part of a point in time: `10:31`, or `10:31:20` where it has seconds.
pub fn clock(time: Timestamp) -> String {
    let text = instant(time);
    let clock = text.split_once(' ').map_or(text.as_str(), |(_, clock)| clock);
    clock.strip_suffix(":00").unwrap_or(clock).to_owned()
}

/// A window: `01-31 10:31-10:32`, of whole days `2026-01-31`, of several days `01-31 10:00 - 02-01 10:00`; the global one is `all time`.
pub fn window(window: Window) -> String {
    if window.start == Timestamp::MIN || window.end == Timestamp::MAX {
        return "all time".to_owned();
    }
    let (start, end) = (instant(window.start), instant(window.end));
    let day = |text: &str| text.get(5..10).unwrap_or_default().to_owned();
    let midnight = |time: Timestamp| time.0.rem_euclid(DAY) == 0;
    if midnight(window.start) && window.end.0 - window.start.0 == DAY {
        return start.get(..10).unwrap_or(&start).to_owned();
    }
    if day(&start) == day(&end) || (midnight(window.end) && window.end.0 - window.start.0 < DAY) {
        return format!("{} {}-{}", day(&start), clock(window.start), clock(window.end));
    }
    format!("{} {} - {} {}", day(&start), clock(window.start), day(&end), clock(window.end))
}

const DAY: i64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_rfc3339;

    #[test]
    fn numbers() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (7.0, "7"),
            (-1234.0, "-1,234"),
            (99_999.0, "99,999"),
            (1.0 / 3.0, "0.333"),
            (12.345, "12.35"),
            (1234.5, "1,234.50"),
            (123_456.0, "123.5k"),
            (1_234_567.0, "1.235M"),
            (-12_345_678.9, "-12.35M"),
            (5e9, "5.000G"),
            (2.5e12, "2.500T"),
            (1e18, "1.00e18"),
            (0.0001, "1.00e-4"),
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
        ] {
            assert_eq!(number(value), expected);
            assert!(number(value).len() <= 9, "{expected}");
        }
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn changes() {
        for (now, before, expected) in [
            (1.0, None, "new"),
            (1.0, Some(f64::NAN), "new"),
            (2.0, Some(2.0), "="),
            (103.2, Some(100.0), "+3.2%"),
            (50.0, Some(100.0), "-50.0%"),
            (350.0, Some(100.0), "+250%"),
            (-50.0, Some(-100.0), "+50.0%"),
            (5.0, Some(0.0), "+"),
            (-5.0, Some(0.0), "-"),
            (1e9, Some(1.0), ">+9999%"),
        ] {
            assert_eq!(change(now, before), expected);
        }
    }

    #[test]
    fn spans() {
        for (micros, expected) in [
            (500, "500us"),
            (31_999, "31ms"),
            (5_250_000, "5.2s"),
            (185_000_000, "3m05s"),
            (7_800_000_000, "2h10m"),
            (4 * DAY + 6 * 3_600_000_000, "4d06h"),
            (327 * DAY, "327d"),
            (-5_000_000, "-5.0s"),
        ] {
            assert_eq!(span(Duration(micros)), expected);
        }
    }

    #[test]
    fn windows() {
        let time = |text: &str| parse_rfc3339(text.as_bytes()).unwrap();
        for (start, end, expected) in [
            ("2026-01-31T10:31:00Z", "2026-01-31T10:32:00Z", "01-31 10:31-10:32"),
            ("2026-01-31T10:31:10Z", "2026-01-31T10:31:20.5Z", "01-31 10:31:10-10:31:20.500"),
            ("2026-01-31T23:00:00Z", "2026-02-01T00:00:00Z", "01-31 23:00-00:00"),
            ("2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z", "2026-01-31"),
            ("2026-01-31T10:00:00Z", "2026-02-02T10:00:00Z", "01-31 10:00 - 02-02 10:00"),
        ] {
            assert_eq!(window(Window::new(time(start), time(end))), expected);
        }
        assert_eq!(window(Window::GLOBAL), "all time");
        assert_eq!(instant(time("2026-01-31T10:31:00Z")), "2026-01-31 10:31:00");
    }
}
