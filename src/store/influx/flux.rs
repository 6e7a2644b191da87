//! All questions, in Flux: those of the reader, and what a writer must know of what is stored.
//!
//! Each begins with range and filter and ends, if at all, with what the server answers from its index: nothing that would make it
//! read what is not asked for. Knows nothing of answers.

use std::fmt::Write as _;

use crate::store::influx::form::{self, CATALOGUE as CATALOGUES, METRIC, SERIES};
use crate::time::Timestamp;

/// The result of `look` that holds the catalogue.
pub(crate) const CATALOGUE: &str = "catalogue";
/// Those with the first of each series.
pub(crate) const FIRST: &str = "first";
/// Those with the last.
pub(crate) const LAST: &str = "last";

/// The span of InfluxDB's times, in microseconds.
const BEGINNING: i64 = i64::MIN / 1000 + 1;
const END: i64 = i64::MAX / 1000 - 1;

/// All catalogues, the last of each metric.
pub(crate) fn catalogues(roll_ups: &str) -> String {
    format!("{} |> last()\n", all_of(roll_ups, CATALOGUES))
}

/// The catalogue of a metric, the first and last point of its series, and the first of their roll-ups.
pub(crate) fn look(points: &str, roll_ups: &str, metric: &str) -> String {
    let catalogue = newest(roll_ups, CATALOGUES, metric);
    let points = all_of(points, &form::points_measurement(metric));
    let rolled = all_of(roll_ups, &form::roll_ups_measurement(metric));
    format!(
        "{}{}{}{}",
        result(catalogue.trim_end(), CATALOGUE, ""),
        result(&format!("{points} |> first()"), FIRST, " points"),
        result(&format!("{points} |> last()"), LAST, " points"),
        result(&format!("{rolled} |> first()"), FIRST, " roll-ups"),
    )
}

/// The same of these series, or all, where the ends were taken back.
pub(crate) fn look_closely(points: &str, roll_ups: &str, metric: &str, series: Option<&[&str]>) -> String {
    let is_there = "filter(fn: (r) => r._value != \"\")";
    let points = format!("{}{} |> {is_there}", all_of(points, &form::points_measurement(metric)), only(series));
    let rolled = format!("{}{} |> {is_there}", all_of(roll_ups, &form::roll_ups_measurement(metric)), only(series));
    format!(
        "{}{}{}",
        result(&format!("{points} |> first()"), FIRST, " points"),
        result(&format!("{points} |> last()"), LAST, " points"),
        result(&format!("{rolled} |> first()"), FIRST, " roll-ups"),
    )
}

/// The last roll-up of each series of a metric.
pub(crate) fn last_roll_ups(roll_ups: &str, metric: &str) -> String {
    let rolled = all_of(roll_ups, &form::roll_ups_measurement(metric));
    result(&format!("{rolled} |> filter(fn: (r) => r._value != \"\") |> last()"), LAST, "")
}

/// The last point of each series of a metric.
pub(crate) fn last_points(points: &str, metric: &str) -> String {
    format!("{} |> last()\n", all_of(points, &form::points_measurement(metric)))
}

/// How many points a metric has.
pub(crate) fn count(points: &str, metric: &str) -> String {
    let points = all_of(points, &form::points_measurement(metric));
    format!("{points} |> filter(fn: (r) => r._value != \"\") |> count()\n")
}

/// The points of these series, or all, over a range, the end excluded.
pub(crate) fn points(bucket: &str, metric: &str, series: Option<&[&str]>, range: (i64, i64)) -> String {
    format!("{}{}{}\n", of(bucket, &form::points_measurement(metric), range), only(series), keep())
}

/// The points of a metric that were not taken back and start in a range, the end excluded; `with_values`: with what they say.
pub(crate) fn standing(bucket: &str, metric: &str, range: (i64, i64), with_values: bool) -> String {
    let points = of(bucket, &form::points_measurement(metric), range);
    let value = if with_values { "\"_value\", " } else { "" };
    let keep = format!("keep(columns: [\"_time\", {value}\"_field\", {}])", quoted(SERIES));
    format!("{points} |> filter(fn: (r) => r._value != \"\") |> {keep}\n")
}

/// The roll-ups of these series, or all, that start in a range, the end excluded: a metric has those of hours or those of days.
pub(crate) fn roll_ups(bucket: &str, metric: &str, series: Option<&[&str]>, range: (i64, i64)) -> String {
    format!("{}{}{}\n", of(bucket, &form::roll_ups_measurement(metric), range), only(series), keep())
}

/// The catalogue of a metric.
pub(crate) fn catalogue(roll_ups: &str, metric: &str) -> String {
    format!("{}\n", newest(roll_ups, CATALOGUES, metric))
}

/// One field of a measurement from `span.0` to before `span.1`: of these series, or of all.
pub(crate) fn field(
    bucket: &str,
    (measurement, field): (&str, &str),
    span: (i64, i64),
    series: Option<&[&str]>,
) -> String {
    let of_field = format!(" |> filter(fn: (r) => r._field == {})", quoted(field));
    format!("{}{of_field}{}{}\n", of(bucket, measurement, span), only(series), keep())
}

/// How far a backfill of a metric has come.
pub(crate) fn backfill(roll_ups: &str, metric: &str) -> String {
    format!("{}\n", newest(roll_ups, form::BACKFILL, metric))
}

/// Whether a measurement has any point.
pub(crate) fn any(bucket: &str, measurement: &str) -> String {
    format!("{} |> first() |> limit(n: 1)\n", all_of(bucket, measurement))
}

/// All points of a measurement, whenever.
fn all_of(bucket: &str, measurement: &str) -> String {
    of(bucket, measurement, (BEGINNING, END))
}

/// The newest point of a measurement that is tagged with this metric.
fn newest(roll_ups: &str, measurement: &str, metric: &str) -> String {
    let of_metric = format!("filter(fn: (r) => r.{METRIC} == {})", quoted(metric));
    format!("{} |> {of_metric} |> last()", all_of(roll_ups, measurement))
}

/// A range of time as far as servers know time; `None` where nothing is left.
pub(crate) fn within((from, until): (i64, i64)) -> Option<(i64, i64)> {
    let (from, until) = (from.clamp(BEGINNING, END), until.clamp(BEGINNING, END));
    (from < until).then_some((from, until))
}

fn of(bucket: &str, measurement: &str, (from, until): (i64, i64)) -> String {
    let time = |time: i64| Timestamp(time.clamp(BEGINNING, END));
    let (bucket, measurement) = (quoted(bucket), quoted(measurement));
    format!(
        "from(bucket: {bucket}) |> range(start: {}, stop: {}) |> filter(fn: (r) => r._measurement == {measurement})",
        time(from),
        time(until),
    )
}

fn only(series: Option<&[&str]>) -> String {
    let Some(series) = series else { return String::new() };
    let tags: Vec<String> = series.iter().map(|tag| format!("r.{SERIES} == {}", quoted(tag))).collect();
    format!(" |> filter(fn: (r) => {})", tags.join(" or "))
}

/// Only what is looked at. What is left out is the same in all rows of a series, and would be most of the answer.
fn keep() -> String {
    format!(" |> keep(columns: [\"_time\", \"_value\", \"_field\", {}])", quoted(SERIES))
}

/// A result by this name. The server wants names that differ; what stands behind a blank is not looked at.
fn result(tables: &str, name: &str, of: &str) -> String {
    format!("{tables} |> yield(name: \"{name}{of}\")\n")
}

/// A text as Flux writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            '$' => quoted.push_str("\\x24"),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string can't fail.
                    let _ = write!(quoted, "\\x{byte:02x}");
                }
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        for (text, expected) in [
            ("a b", r#""a b""#),
            (r#"a"\b"#, r#""a\"\\b""#),
            ("${x}", r#""\x24{x}""#),
            ("é\n\u{85}", r#""é\x0a\xc2\x85""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn requests_name_range_and_series() {
        assert_eq!(
            points("b", "m", Some(&["AQ", "-"]), (1_000_000, i64::MAX)),
            "from(bucket: \"b\") |> range(start: 1970-01-01T00:00:01.000Z, stop: 2262-04-11T23:47:16.854774Z) \
             |> filter(fn: (r) => r._measurement == \"evkit.points.m\") \
             |> filter(fn: (r) => r.series == \"AQ\" or r.series == \"-\") \
             |> keep(columns: [\"_time\", \"_value\", \"_field\", \"series\"])\n"
        );
        assert_eq!(
            roll_ups("b", "m", None, (0, 86_400_000_000)),
            "from(bucket: \"b\") |> range(start: 1970-01-01T00:00:00.000Z, stop: 1970-01-02T00:00:00.000Z) \
             |> filter(fn: (r) => r._measurement == \"evkit.rollups.m\") \
             |> keep(columns: [\"_time\", \"_value\", \"_field\", \"series\"])\n"
        );
        assert_eq!(
            field("b", ("evkit.points.m", "l60"), (0, 3_600_000_000), Some(&["-"])),
            "from(bucket: \"b\") |> range(start: 1970-01-01T00:00:00.000Z, stop: 1970-01-01T01:00:00.000Z) \
             |> filter(fn: (r) => r._measurement == \"evkit.points.m\") |> filter(fn: (r) => r._field == \"l60\") \
             |> filter(fn: (r) => r.series == \"-\") |> keep(columns: [\"_time\", \"_value\", \"_field\", \"series\"])\n"
        );
    }
}
