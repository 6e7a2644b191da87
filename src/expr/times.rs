//! Functions of time, in UTC; microseconds since the epoch.
//!
//! Reads no clock. Every function gives `None` for a wrong type or a time beyond the calendar.

use crate::batch::Tag;
use crate::expr::cells::{Cell, Number};
use crate::time::{Duration, Timestamp};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};

/// The time of a cell: its own, or that of RFC 3339 text.
pub fn of_cell(cell: Cell, text: &[u8]) -> Option<i64> {
    match cell.tag {
        Tag::Time => Some(cell.bits as i64),
        Tag::Text => parse(cell.str(text)?),
        _ => None,
    }
}

/// The time of RFC 3339 text.
pub fn parse(text: &str) -> Option<i64> {
    crate::time::parse_rfc3339(text.as_bytes()).ok().map(|time| time.0)
}

/// The time of a literal: RFC 3339, or without a zone in UTC, or a date alone.
pub fn parse_literal(text: &str) -> Option<Timestamp> {
    let without_zone = || {
        let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
        formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    };
    let date_alone = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    let naive = || without_zone().or_else(date_alone).map(|time| time.and_utc().timestamp_micros());
    parse(text).or_else(naive).map(Timestamp)
}

/// A length such as `5 minutes` or `1 hour 30 minutes`; the error says what is wrong.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err("expected numbers with units, such as '5 minutes'".into());
    }
    let mut micros = 0.0;
    for pair in words.chunks(2) {
        let amount: f64 = pair[0].parse().map_err(|_| format!("'{}' is not a number", pair[0]))?;
        let unit = pair[1].to_lowercase();
        let size = match unit.strip_suffix('s').filter(|u| u.len() > 1).unwrap_or(&unit) {
            "microsecond" | "us" | "u" => 1.0,
            "millisecond" | "ms" => 1e3,
            "second" | "sec" | "s" => 1e6,
            "minute" | "min" | "m" => 60e6,
            "hour" | "h" => 3600e6,
            "day" | "d" => 86_400e6,
            "week" | "w" => 604_800e6,
            "month" | "year" | "quarter" => return Err(format!("'{unit}' has no fixed length")),
            _ => return Err(format!("'{unit}' is not a unit of time")),
        };
        micros += amount * size;
    }
    let micros: f64 = micros.round();
    if micros.abs() < 9e18 { Ok(Duration(micros as i64)) } else { Err("it is too long".into()) }
}

/// The time so many microseconds later; or the number so many seconds greater, since the difference of two times is one.
pub fn shift(operand: Cell, micros: i64, text: &[u8]) -> Option<Cell> {
    let seconds = match operand.number() {
        None => None,
        Some(Number::Int(seconds)) => Some(seconds as f64),
        Some(Number::Float(seconds)) => Some(seconds),
    };
    if let Some(seconds) = seconds {
        return Cell::float(seconds + micros as f64 / 1e6);
    }
    of_cell(operand, text)?.checked_add(micros).map(Cell::time)
}

/// Units that times are cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Of a fixed length in microseconds; all but weeks are aligned to the epoch.
    Fixed(i64),
    /// From Monday.
    Week,
    /// So many months, aligned to January.
    Months(u32),
}

const UNITS: &[(&str, Unit)] = &[
    ("microsecond", Unit::Fixed(1)),
    ("millisecond", Unit::Fixed(1000)),
    ("second", Unit::Fixed(1_000_000)),
    ("minute", Unit::Fixed(60_000_000)),
    ("hour", Unit::Fixed(3_600_000_000)),
    ("day", Unit::Fixed(DAY)),
    ("week", Unit::Week),
    ("month", Unit::Months(1)),
    ("quarter", Unit::Months(3)),
    ("year", Unit::Months(12)),
];

const DAY: i64 = 86_400_000_000;

impl Unit {
    /// By its name in lower case.
    pub fn parse(name: &str) -> Option<Unit> {
        UNITS.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit)
    }

    /// All names, for errors.
    pub fn names() -> String {
        UNITS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// The start of the unit that the time is in.
pub fn truncate(operand: Cell, unit: Unit, text: &[u8]) -> Option<Cell> {
    let micros = of_cell(operand, text)?;
    let start = match unit {
        Unit::Fixed(size) => micros.div_euclid(size).checked_mul(size)?,
        // The epoch was a Thursday.
        Unit::Week => ((micros.div_euclid(DAY) + 3).div_euclid(7) * 7 - 3).checked_mul(DAY)?,
        Unit::Months(months) => {
            let date = DateTime::<Utc>::from_timestamp_micros(micros)?.date_naive();
            let first = NaiveDate::from_ymd_opt(date.year(), date.month0() / months * months + 1, 1)?;
            first.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros()
        }
    };
    Some(Cell::time(start))
}

/// Parts of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The year of the calendar.
    Year,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// The week of ISO 8601, 1 to 53.
    Week,
    /// Of the month, 1 to 31.
    Day,
    /// Of the year, 1 to 366.
    DayOfYear,
    /// 0 is Sunday.
    DayOfWeek,
    /// 1 is Monday, 7 is Sunday.
    IsoDayOfWeek,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// 0 to 59, without a fraction.
    Second,
    /// Seconds since the epoch with their fraction.
    Epoch,
}

const FIELDS: &[(&str, Field)] = &[
    ("year", Field::Year),
    ("quarter", Field::Quarter),
    ("month", Field::Month),
    ("week", Field::Week),
    ("day", Field::Day),
    ("doy", Field::DayOfYear),
    ("dow", Field::DayOfWeek),
    ("isodow", Field::IsoDayOfWeek),
    ("hour", Field::Hour),
    ("minute", Field::Minute),
    ("second", Field::Second),
    ("epoch", Field::Epoch),
];

impl Field {
    /// By its name in lower case.
    pub fn parse(name: &str) -> Option<Field> {
        FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    /// All names, for errors.
    pub fn names() -> String {
        FIELDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// One part of a time.
pub fn extract(operand: Cell, field: Field, text: &[u8]) -> Option<Cell> {
    let micros = of_cell(operand, text)?;
    let within_day = micros.rem_euclid(DAY) / 1_000_000;
    let date = || Some(DateTime::<Utc>::from_timestamp_micros(micros)?.date_naive());
    let part: i64 = match field {
        Field::Epoch => return Cell::float(micros as f64 / 1e6),
        Field::Hour => within_day / 3600,
        Field::Minute => within_day / 60 % 60,
        Field::Second => within_day % 60,
        Field::Year => date()?.year().into(),
        Field::Quarter => (date()?.month0() / 3 + 1).into(),
        Field::Month => date()?.month().into(),
        Field::Week => date()?.iso_week().week().into(),
        Field::Day => date()?.day().into(),
        Field::DayOfYear => date()?.ordinal().into(),
        Field::DayOfWeek => date()?.weekday().num_days_from_sunday().into(),
        Field::IsoDayOfWeek => date()?.weekday().number_from_monday().into(),
    };
    Cell::int(part.into())
}
