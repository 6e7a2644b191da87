//! Result rows as NDJSON: one JSON object a line.
//!
//! `{"metric":…,"window_start":…,"window_end":…,<group columns>,<aggregates>,"rank":…,"revision":0}`, then `"final":false`
//! for an early row and `"retracted":true` for a retraction; the bounds of the global window are null.
//! Does not know the array that may stand around the rows (`json.rs`).
//!
//! Names are turned into bytes once a schema, and everything up to the window's end once a window, because the rows of a
//! window follow each other: what is left for a row is copying and its values.

use crate::codec::encode::RowEncoder;
use crate::metric::{Metric, MetricSchema};
use crate::time::{Timestamp, Window};
use crate::value::write_json_string;

/// Writes one JSON object a line.
#[derive(Clone)]
pub struct NdjsonEncoder {
    metrics: Vec<MetricKeys>,
}

impl NdjsonEncoder {
    /// An encoder of rows of these metrics.
    pub fn new(schemas: &[MetricSchema]) -> NdjsonEncoder {
        NdjsonEncoder { metrics: schemas.iter().map(MetricKeys::new).collect() }
    }

    /// Appends the object of one row without a line feed.
    pub fn push_object(&mut self, row: &Metric, out: &mut Vec<u8>) {
        self.metrics[row.metric].push_object(row, out);
    }
}

impl RowEncoder for NdjsonEncoder {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Metric, out: &mut Vec<u8>) {
        self.push_object(row, out);
        out.push(b'\n');
    }

    fn fork(&self) -> Option<Box<dyn RowEncoder>> {
        Some(Box::new(self.clone()))
    }

    fn in_band(&mut self, object: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(object);
        out.push(b'\n');
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// What the rows of one metric have in common, as bytes.
#[derive(Clone)]
struct MetricKeys {
    /// `{"metric":"…","window_start":`
    head: Vec<u8>,
    /// `,"name":` of each group column.
    groups: Vec<Vec<u8>>,
    /// `,"name":` of each aggregate.
    aggregates: Vec<Vec<u8>>,
    /// The window of the row before and its bytes, from `{` to the window's end.
    window: Option<Window>,
    window_head: Vec<u8>,
}

impl MetricKeys {
    fn new(schema: &MetricSchema) -> MetricKeys {
        let mut head = b"{\"metric\":".to_vec();
        write_json_string(&schema.name, &mut head);
        head.extend_from_slice(b",\"window_start\":");
        MetricKeys {
            head,
            groups: schema.groups.iter().map(|name| key(name)).collect(),
            aggregates: schema.aggregates.iter().map(|name| key(name)).collect(),
            window: None,
            window_head: Vec::new(),
        }
    }

    fn push_object(&mut self, row: &Metric, out: &mut Vec<u8>) {
        if self.window != Some(row.window) {
            self.window = Some(row.window);
            self.window_head.clear();
            self.window_head.extend_from_slice(&self.head);
            push_bound(row.window.start, &mut self.window_head);
            self.window_head.extend_from_slice(b",\"window_end\":");
            push_bound(row.window.end, &mut self.window_head);
        }
        out.extend_from_slice(&self.window_head);
        assert_eq!(row.groups.len(), self.groups.len(), "a row has the group columns of its schema");
        assert_eq!(row.aggregates.len(), self.aggregates.len(), "a row has the aggregates of its schema");
        for (key, value) in self.groups.iter().zip(&*row.groups).chain(self.aggregates.iter().zip(&row.aggregates)) {
            out.extend_from_slice(key);
            value.write_json(out);
        }
        if let Some(rank) = row.rank {
            out.extend_from_slice(b",\"rank\":");
            out.extend_from_slice(itoa::Buffer::new().format(rank).as_bytes());
        }
        out.extend_from_slice(b",\"revision\":");
        out.extend_from_slice(itoa::Buffer::new().format(row.revision).as_bytes());
        if !row.is_final {
            out.extend_from_slice(b",\"final\":false");
        }
        if row.retracted {
            out.extend_from_slice(b",\"retracted\":true");
        }
        out.push(b'}');
    }
}

/// `,"name":`
fn key(name: &str) -> Vec<u8> {
    let mut key = b",".to_vec();
    write_json_string(name, &mut key);
    key.push(b':');
    key
}

fn push_bound(time: Timestamp, out: &mut Vec<u8>) {
    if time == Timestamp::MIN || time == Timestamp::MAX {
        out.extend_from_slice(b"null");
    } else {
        out.push(b'"');
        time.write_rfc3339(out);
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::fixture::{encode, row, schema, text};
    use crate::value::Value;

    const HEAD: &str =
        r#"{"metric":"m","window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:01:00.000Z","#;

    fn check(row: Metric, expected: &str) {
        let encoder = NdjsonEncoder::new(&[schema("m", &["g"], &["a"], row.rank.is_some())]);
        assert_eq!(encode(encoder, &[row]), format!("{expected}\n"));
    }

    #[test]
    fn values_of_every_type() {
        for (value, expected) in [
            (Value::Null, "null"),
            (Value::Bool(true), "true"),
            (Value::Int(i128::from(u64::MAX) + 1), "18446744073709551616"),
            (Value::Int(-1), "-1"),
            (Value::Float(0.1), "0.1"),
            (Value::Float(1e300), "1e+300"),
            (text("a\"b\\\n\u{1}é"), r#""a\"b\\\n\u0001é""#),
            (Value::Json(r#"{"a":[1]}"#.into()), r#"{"a":[1]}"#),
            (Value::Time(Timestamp(1)), r#""1970-01-01T00:00:00.000001Z""#),
            (Value::Array(vec![Value::Int(1), Value::Null]), "[1,null]"),
        ] {
            check(row(&[text("x")], &[value]), &format!(r#"{HEAD}"g":"x","a":{expected},"revision":0}}"#));
        }
    }

    #[test]
    fn marks_stand_at_the_end() {
        let plain = row(&[Value::Null], &[Value::Int(1)]);
        let body = format!(r#"{HEAD}"g":null,"a":1"#);
        check(Metric { rank: Some(3), ..plain.clone() }, &format!(r#"{body},"rank":3,"revision":0}}"#));
        check(Metric { is_final: false, ..plain.clone() }, &format!(r#"{body},"revision":0,"final":false}}"#));
        check(Metric { revision: 2, retracted: true, ..plain }, &format!(r#"{body},"revision":2,"retracted":true}}"#));
    }

    #[test]
    fn the_global_window_has_no_bounds() {
        check(
            Metric { window: Window::GLOBAL, ..row(&[Value::Null], &[Value::Null]) },
            r#"{"metric":"m","window_start":null,"window_end":null,"g":null,"a":null,"revision":0}"#,
        );
    }

    #[test]
    fn names_are_escaped_and_windows_of_several_metrics_do_not_mix() {
        let mut encoder =
            NdjsonEncoder::new(&[schema("a\"b", &[], &["count(\"x\")"], false), schema("c", &[], &["n"], false)]);
        let later = Window::new(Timestamp(60_000_001), Timestamp(120_000_000));
        let (first, second) = (row(&[], &[Value::Int(1)]), Metric { metric: 1, ..row(&[], &[Value::Int(2)]) });
        let third = Metric { window: later, ..first.clone() };
        let mut out = Vec::new();
        for row in [&first, &second, &third, &second] {
            encoder.row(row, &mut out);
        }
        encoder.in_band(b"{\"watermark\":\"x\"}", &mut out);
        let window = r#""window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:01:00.000Z""#;
        let expected = [
            format!(r#"{{"metric":"a\"b",{window},"count(\"x\")":1,"revision":0}}"#),
            format!(r#"{{"metric":"c",{window},"n":2,"revision":0}}"#),
            r#"{"metric":"a\"b","window_start":"1970-01-01T00:01:00.000001Z","window_end":"1970-01-01T00:02:00.000Z","count(\"x\")":1,"revision":0}"#.into(),
            format!(r#"{{"metric":"c",{window},"n":2,"revision":0}}"#),
            r#"{"watermark":"x"}"#.into(),
        ];
        assert_eq!(String::from_utf8(out).unwrap(), expected.join("\n") + "\n");
    }
}
