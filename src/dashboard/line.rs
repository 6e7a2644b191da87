//! A line of a stream of results, decoded: a row, a watermark, stats, a partial, or none of them.
//!
//! The forms are those that `codec::encode` writes. A line that is none of them is data of a kind as well: it carries its fault, so
//! that it can be counted and shown. Knows nothing of what is done with the lines.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::time::{Timestamp, Window, parse_rfc3339};

/// A line of a stream of results.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A result row.
    Row(Row),
    /// No later row has a time before this.
    Watermark(Timestamp),
    /// What happened to the events so far.
    Stats(Box<Stats>),
    /// A partial or its header: nothing to look at.
    Partial,
    /// None of these, and why.
    Malformed(String),
}

/// A result row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The name of the metric.
    pub metric: String,
    /// Its window; `Window::GLOBAL` where the bounds are null.
    pub window: Window,
    /// Group columns and aggregates in the order of the row.
    pub cells: Vec<(String, Cell)>,
    /// How many cells from the first on are group columns, where the source of the row knows that. Lines do not say it.
    pub group_count: Option<usize>,
    /// The place in the order of `--top`.
    pub rank: Option<u64>,
    /// How often the window had fired before.
    pub revision: u64,
    /// False for a row that was written before its window fired.
    pub is_final: bool,
    /// Whether the row says that it no longer holds.
    pub retracted: bool,
}

/// The value of a member of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A number, to the precision of a double.
    Number(f64),
    /// A text, a truth value or an object, as text.
    Text(String),
    /// Null.
    Null,
    /// An array, which is neither a group nor one number.
    Array,
}

/// What a stats line says; what it leaves out is 0 or none.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct Stats {
    /// The watermark of all inputs together.
    #[serde(deserialize_with = "optional_time")]
    pub watermark: Option<Timestamp>,
    /// The input that holds it back.
    pub held_by: Option<String>,
    /// From the arrival of the last events to the writing of their rows, in microseconds.
    pub latency_us: Option<i64>,
    /// Lines that were read.
    #[serde(rename = "in")]
    pub events_in: u64,
    /// Lines that were no usable events.
    pub rejected: u64,
    /// Of those: lines that could not be read.
    pub malformed: u64,
    /// Of those: events dated in the future.
    pub future: u64,
    /// What happened to the events, by metric.
    pub metrics: BTreeMap<String, MetricStats>,
}

/// The fate of the events that one metric was shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct MetricStats {
    /// Events that it was shown.
    #[serde(rename = "in")]
    pub events_in: u64,
    /// Of those: joined a window.
    pub used: u64,
    /// Of those: dropped by the filter.
    pub filtered: u64,
    /// Of those: came too late.
    pub late: u64,
    /// Of those: fell between windows.
    pub no_window: u64,
    /// Of those used: joined the group of all that were too many.
    pub overflowed: u64,
}

/// Decodes one line, without its line feed. None for a line of white space only.
pub fn decode(line: &[u8]) -> Option<Line> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    Some(serde_json::from_slice(line).unwrap_or_else(|error| Line::Malformed(error.to_string())))
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Line, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

/// A text that is borrowed from the line where it holds no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
        let mut metric = None;
        let (mut start, mut end) = (None, None);
        let mut row = Row {
            metric: String::new(),
            window: Window::GLOBAL,
            cells: Vec::with_capacity(4),
            group_count: None,
            rank: None,
            revision: 0,
            is_final: true,
            retracted: false,
        };
        // Only a row has a metric, and it comes first: behind it the other lines' names are those of columns.
        let mut other = None;
        while let Some(Borrowed(key)) = map.next_key()? {
            match &*key {
                "metric" => metric = Some(map.next_value::<String>()?),
                "window_start" => start = Some(bound(map.next_value()?)?),
                "window_end" => end = Some(bound(map.next_value()?)?),
                "rank" => row.rank = map.next_value()?,
                "revision" => row.revision = map.next_value()?,
                "final" => row.is_final = map.next_value()?,
                "retracted" => row.retracted = map.next_value()?,
                "watermark" if metric.is_none() => other = Some(Line::Watermark(time(map.next_value()?)?)),
                "stats" if metric.is_none() => other = Some(Line::Stats(map.next_value()?)),
                "partial" if metric.is_none() => {
                    map.next_value::<IgnoredAny>()?;
                    other = Some(Line::Partial);
                }
                _ => row.cells.push((key.into_owned(), map.next_value()?)),
            }
        }
        if let Some(other) = other {
            return Ok(other);
        }
        row.metric = metric.ok_or_else(|| de::Error::missing_field("metric"))?;
        let end = end.ok_or_else(|| de::Error::missing_field("window_end"))?;
        let start = start.ok_or_else(|| de::Error::missing_field("window_start"))?;
        row.window = Window { start: start.unwrap_or(Timestamp::MIN), end: end.unwrap_or(Timestamp::MAX) };
        if row.window.start >= row.window.end {
            return Err(de::Error::custom("the window ends before it starts"));
        }
        Ok(Line::Row(row))
    }
}

fn bound<E: de::Error>(text: Option<Borrowed>) -> Result<Option<Timestamp>, E> {
    text.map(time).transpose()
}

fn time<E: de::Error>(Borrowed(text): Borrowed) -> Result<Timestamp, E> {
    parse_rfc3339(text.as_bytes()).map_err(de::Error::custom)
}

fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    bound(Option::<Borrowed>::deserialize(deserializer)?)
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cell, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(Cell::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        Ok(Cell::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cell, A::Error> {
        let object = serde_json::Value::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Cell::Text(object.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        r#"{"metric":"m","window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:01:00.000Z""#;

    fn row(cells: &[(&str, Cell)]) -> Row {
        Row {
            metric: "m".into(),
            window: Window::new(Timestamp(0), Timestamp(60_000_000)),
            cells: cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect(),
            group_count: None,
            rank: None,
            revision: 0,
            is_final: true,
            retracted: false,
        }
    }

    #[track_caller]
    fn check(line: &str, expected: Option<Line>) {
        assert_eq!(decode(line.as_bytes()), expected, "{line}");
    }

    #[track_caller]
    fn check_row(rest: &str, expected: Row) {
        check(&format!("{HEAD}{rest}}}"), Some(Line::Row(expected)));
    }

    #[track_caller]
    fn check_malformed(line: &str, part: &str) {
        match decode(line.as_bytes()) {
            Some(Line::Malformed(fault)) => assert!(fault.contains(part), "{line}: {fault}"),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn rows_keep_the_order_of_their_cells() {
        let text = |text: &str| Cell::Text(text.into());
        check_row(
            r#","g":"a\nb","h":null,"b":true,"n":1,"x":-0.5,"o":{"k":[1]},"t":[1,2],"revision":0"#,
            row(&[
                ("g", text("a\nb")),
                ("h", Cell::Null),
                ("b", text("true")),
                ("n", Cell::Number(1.0)),
                ("x", Cell::Number(-0.5)),
                ("o", text(r#"{"k":[1]}"#)),
                ("t", Cell::Array),
            ]),
        );
        // Beyond u64, as a sum of integers may be.
        check_row(r#","n":18446744073709551616"#, row(&[("n", Cell::Number(18_446_744_073_709_551_616.0))]));
    }

    #[test]
    fn marks_of_a_row() {
        check_row(r#","rank":3,"revision":2"#, Row { rank: Some(3), revision: 2, ..row(&[]) });
        check_row(r#","revision":0,"final":false"#, Row { is_final: false, ..row(&[]) });
        check_row(r#","revision":1,"retracted":true"#, Row { revision: 1, retracted: true, ..row(&[]) });
        let global = Row { window: Window::GLOBAL, ..row(&[]) };
        check(r#"{"metric":"m","window_start":null,"window_end":null}"#, Some(Line::Row(global)));
        check_row(
            r#","watermark":1,"stats":2"#,
            row(&[("watermark", Cell::Number(1.0)), ("stats", Cell::Number(2.0))]),
        );
    }

    #[test]
    fn what_stands_between_rows() {
        check(r#"{"watermark":"1970-01-01T00:00:01.000Z"}"#, Some(Line::Watermark(Timestamp(1_000_000))));
        check(r#"{"partial":"AAA","metric":"m","window_start":null}"#, Some(Line::Partial));
        check(" \r", None);
        let counts = MetricStats { events_in: 7, used: 3, filtered: 2, late: 1, no_window: 1, overflowed: 1 };
        let stats = Stats {
            watermark: Some(Timestamp(0)),
            held_by: Some("a.ndjson".into()),
            latency_us: None,
            events_in: 10,
            rejected: 3,
            malformed: 1,
            future: 2,
            metrics: BTreeMap::from([("m".to_owned(), counts)]),
        };
        check(
            r#"{"stats":{"watermark":"1970-01-01T00:00:00.000Z","held_by":"a.ndjson","latency_us":null,"in":10,"rejected":3,"malformed":1,"future":2,"metrics":{"m":{"in":7,"used":3,"filtered":2,"late":1,"no_window":1,"overflowed":1}}}}"#,
            Some(Line::Stats(Box::new(stats))),
        );
        check(r#"{"stats":{"watermark":null,"later":1}}"#, Some(Line::Stats(Box::default())));
    }

    #[test]
    fn everything_else_is_malformed_and_says_why() {
        check_malformed("metric,window_start", "expected");
        check_malformed("[1]", "a JSON object");
        check_malformed("{}", "missing field `metric`");
        check_malformed(r#"{"metric":1}"#, "expected a string");
        check_malformed(r#"{"metric":"m","window_start":null}"#, "missing field `window_end`");
        check_malformed(r#"{"metric":"m","window_start":"now"}"#, "'now' is no RFC 3339 time");
        check_malformed(&format!("{HEAD},\"n\":1"), "EOF");
        check_malformed(&format!("{HEAD},\"revision\":-1}}"), "invalid value");
        check_malformed("{\"metric\":\"\u{1}\"}", "control character");
        let hour = "1970-01-01T01:00:00.000Z";
        check_malformed(&format!(r#"{{"metric":"m","window_start":"{hour}","window_end":"{hour}"}}"#), "ends before");
    }
}
