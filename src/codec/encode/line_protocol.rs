//! Result rows as InfluxDB's line protocol: measurement = metric, tags = group columns, fields = aggregates, time = start of
//! the window in nanoseconds.
//!
//! Counts are integers (`1i`), other numbers floats, texts strings; what is NULL is left out; an empty tag is `(empty)`,
//! because the protocol has none. `rank` and `revision` are not written: a point is named by (metric, group, window), and its
//! newest value replaces the one before. Early rows and retractions, rows without any field and windows outside of the years
//! 1677 to 2262 (what nanoseconds can hold), the global window among them, are skipped and counted.
//!
//! The protocol has no escape for a backslash outside of a field's text, and a name that ends in one would swallow the
//! separator behind it, so such a name gets a space at its end; line feeds, carriage returns and tabs become `\n`, `\r`, `\t`.
//! Knows nothing of servers, batches and deletion.

use std::io::Write;

use crate::codec::encode::{EncodeOptions, RowEncoder};
use crate::metric::{Metric, MetricSchema};
use crate::value::Value;

/// What stands for an empty tag.
const EMPTY: &str = "(empty)";

/// Writes one point a line.
pub struct LineProtocolEncoder {
    metrics: Vec<MetricKeys>,
    scratch: Vec<u8>,
    skipped: u64,
}

/// The value of one field of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// A finite double.
    Float(f64),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(&'a str),
}

/// Appends one point and a line feed. Tags and fields are written in the order given; there must be a field. An empty tag
/// value is written as `(empty)`.
pub fn encode_point(
    measurement: &str,
    tags: &[(&str, &str)],
    fields: &[(&str, Field<'_>)],
    time_ns: i64,
    out: &mut Vec<u8>,
) {
    assert!(!fields.is_empty(), "a point of '{measurement}' without a field");
    push_measurement(measurement, out);
    for (key, value) in tags {
        out.push(b',');
        push_key(key, out);
        out.push(b'=');
        push_tag_value(value, out);
    }
    for (i, (key, field)) in fields.iter().enumerate() {
        out.push(if i == 0 { b' ' } else { b',' });
        push_key(key, out);
        out.push(b'=');
        push_field(*field, out);
    }
    push_time_ns(time_ns, out);
}

impl LineProtocolEncoder {
    /// An encoder of rows of these metrics; `options.counts` says which aggregates are counts.
    pub fn new(schemas: &[MetricSchema], options: &EncodeOptions) -> LineProtocolEncoder {
        let metrics = schemas.iter().enumerate().map(|(metric, schema)| {
            let counts = options.counts.get(metric).map_or(&[][..], Vec::as_slice);
            MetricKeys::new(schema, counts)
        });
        LineProtocolEncoder { metrics: metrics.collect(), scratch: Vec::new(), skipped: 0 }
    }
}

impl RowEncoder for LineProtocolEncoder {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Metric, out: &mut Vec<u8>) {
        let time_ns = row.window.start.0.checked_mul(1000);
        let keys = &self.metrics[row.metric];
        let line = out.len();
        let is_written = match time_ns {
            Some(time_ns) if row.is_final && !row.retracted => keys.push_row(row, time_ns, &mut self.scratch, out),
            _ => false,
        };
        if !is_written {
            out.truncate(line);
            self.skipped += 1;
        }
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// What the points of one metric have in common, as bytes.
#[derive(Debug)]
pub(crate) struct MetricKeys {
    measurement: Vec<u8>,
    /// `,name=` of each group column.
    tags: Vec<Vec<u8>>,
    /// `name=` of each aggregate, and whether it is a count.
    fields: Vec<(Vec<u8>, bool)>,
}

impl MetricKeys {
    /// Of a metric; for each aggregate, whether it is a count.
    pub(crate) fn new(schema: &MetricSchema, counts: &[bool]) -> MetricKeys {
        let key = |name: &str, before: &[u8]| {
            let mut key = before.to_vec();
            push_key(name, &mut key);
            key.push(b'=');
            key
        };
        let mut measurement = Vec::new();
        push_measurement(&schema.name, &mut measurement);
        let is_count = |i: usize| counts.get(i).copied().unwrap_or(false);
        MetricKeys {
            measurement,
            tags: schema.groups.iter().map(|name| key(name, b",")).collect(),
            fields: schema.aggregates.iter().enumerate().map(|(i, name)| (key(name, b""), is_count(i))).collect(),
        }
    }

    /// Appends the point of `row`; false when it has no field.
    fn push_row(&self, row: &Metric, time_ns: i64, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        self.push_series(&row.groups, scratch, out);
        self.push_fields(&row.aggregates, time_ns, scratch, out)
    }

    /// Appends measurement and tags: what names the series of a group.
    pub(crate) fn push_series(&self, groups: &[Value], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.measurement);
        for (key, value) in self.tags.iter().zip(groups) {
            if *value == Value::Null {
                continue;
            }
            out.extend_from_slice(key);
            push_tag_value(text_of(value, scratch), out);
        }
    }

    /// Appends fields, time and a line feed behind a series; false when there is no field.
    pub(crate) fn push_fields(
        &self,
        aggregates: &[Value],
        time_ns: i64,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut separator = b' ';
        for ((key, is_count), value) in self.fields.iter().zip(aggregates) {
            let field = match value {
                Value::Null => continue,
                Value::Bool(b) => Field::Bool(*b),
                Value::Int(i) => match i64::try_from(*i) {
                    Ok(count) if *is_count => Field::Int(count),
                    _ => Field::Float(*i as f64),
                },
                Value::Float(f) => Field::Float(*f),
                Value::Text(_) | Value::Json(_) | Value::Time(_) | Value::Array(_) => {
                    Field::Text(text_of(value, scratch))
                }
            };
            out.push(separator);
            separator = b',';
            out.extend_from_slice(key);
            push_field(field, out);
        }
        push_time_ns(time_ns, out);
        separator == b','
    }
}

/// The value as plain text: a text is itself, everything else its JSON, times without quotes.
fn text_of<'a>(value: &'a Value, scratch: &'a mut Vec<u8>) -> &'a str {
    scratch.clear();
    match value {
        Value::Text(text) => return text,
        Value::Time(time) => time.write_rfc3339(scratch),
        _ => value.write_json(scratch),
    }
    std::str::from_utf8(scratch).expect("JSON and times are UTF-8")
}

/// Appends the name of a measurement, escaped.
pub(crate) fn push_measurement(name: &str, out: &mut Vec<u8>) {
    // A line that starts with '#' is a comment.
    if name.starts_with('#') {
        out.push(b'\\');
    }
    push_escaped(name, b", ", out);
}

/// What a server keeps as the value of a tag: the text, but for what the protocol can't hold.
pub(crate) fn stored_tag(value: &Value) -> String {
    let mut scratch = Vec::new();
    let text = text_of(value, &mut scratch);
    if text.is_empty() {
        return EMPTY.to_owned();
    }
    let mut stored = text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    if stored.ends_with('\\') {
        stored.push_str("\\ ");
    }
    stored
}

fn push_key(name: &str, out: &mut Vec<u8>) {
    push_escaped(name, b",= ", out);
}

fn push_tag_value(value: &str, out: &mut Vec<u8>) {
    push_escaped(if value.is_empty() { EMPTY } else { value }, b",= ", out);
}

fn push_escaped(text: &str, special: &[u8], out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ if special.contains(&byte) => out.extend_from_slice(&[b'\\', byte]),
            _ => out.push(byte),
        }
    }
    if text.ends_with('\\') {
        out.extend_from_slice(b"\\ ");
    }
}

fn push_field(field: Field<'_>, out: &mut Vec<u8>) {
    match field {
        Field::Float(f) => push_float(f, out),
        Field::Int(i) => {
            out.extend_from_slice(itoa::Buffer::new().format(i).as_bytes());
            out.push(b'i');
        }
        Field::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
        Field::Text(text) => {
            out.push(b'"');
            for &byte in text.as_bytes() {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
}

/// Appends a double in its shortest form, as InfluxDB's own encoder does (Go's `strconv` format `g`): an exponent of at least two
/// digits with its sign below 1e-4 and from 1e6 on, and no fraction where there is none.
fn push_float(f: f64, out: &mut Vec<u8>) {
    let magnitude = f.abs();
    if magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        write!(out, "{f}").expect("writing to a vector can't fail");
        return;
    }
    let text = format!("{f:e}");
    let (mantissa, exponent) = text.split_once('e').expect("the form {:e} of a finite double has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent of a double is a small integer");
    write!(out, "{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        .expect("writing to a vector can't fail");
}

fn push_time_ns(time_ns: i64, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(time_ns).as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::fixture::{encode, row, schema, text};
    use crate::time::{Timestamp, Window};

    fn check(tags: &[(&str, &str)], fields: &[(&str, Field<'_>)], expected: &str) {
        let mut out = Vec::new();
        encode_point("m", tags, fields, 1, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("m{expected} 1\n"));
    }

    fn check_row(row: Metric, expected: &str) {
        let options = EncodeOptions { counts: vec![vec![true, false]], ..EncodeOptions::default() };
        let schemas = [schema("m", &["g"], &["n", "x"], false)];
        assert_eq!(encode(LineProtocolEncoder::new(&schemas, &options), &[row]), expected);
    }

    #[test]
    fn names_are_escaped() {
        let x = [("x", Field::Int(1))];
        check(&[("a b", "c,d=e")], &x, r",a\ b=c\,d\=e x=1i");
        check(&[("a", "")], &x, ",a=(empty) x=1i");
        check(&[("a", "b\nc\rd\te")], &x, r",a=b\nc\rd\te x=1i");
        check(&[("a", r"C:\")], &x, r",a=C:\\  x=1i");
        check(&[("ключ", "é\"")], &x, ",ключ=é\" x=1i");
        let mut out = Vec::new();
        encode_point("#a,b c=d", &[], &x, -1, &mut out);
        assert_eq!(out, b"\\#a\\,b\\ c=d x=1i -1\n");
    }

    #[test]
    fn floats_as_influxdb_writes_them() {
        for (f, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (12.123, "12.123"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (-6_632_243.0, "-6.632243e+06"),
            (0.0001, "0.0001"),
            (0.000_05, "5e-05"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ] {
            check(&[], &[("x", Field::Float(f))], &format!(" x={expected}"));
        }
    }

    #[test]
    fn rows_are_points() {
        let both = [Value::Int(3), Value::Int(4)];
        check_row(row(&[text("a b")], &both), "m,g=a\\ b n=3i,x=4 0\n");
        check_row(row(&[Value::Null], &both), "m n=3i,x=4 0\n");
        check_row(row(&[Value::Int(7)], &[Value::Null, text("q\"\\")]), "m,g=7 x=\"q\\\"\\\\\" 0\n");
        let window = Window::new(Timestamp(1_000_001), Timestamp(2_000_000));
        check_row(Metric { window, revision: 4, ..row(&[text("")], &both) }, "m,g=(empty) n=3i,x=4 1000001000\n");
        check_row(row(&[Value::Bool(true)], &both), "m,g=true n=3i,x=4 0\n");
    }

    #[test]
    fn what_is_no_point_is_skipped_and_counted() {
        let options = EncodeOptions::default();
        let mut encoder = LineProtocolEncoder::new(&[schema("m", &[], &["n"], false)], &options);
        let plain = row(&[], &[Value::Int(1)]);
        let far = Window::new(Timestamp(i64::MAX / 1000 + 1), Timestamp(i64::MAX - 1));
        let mut out = Vec::new();
        for row in [
            Metric { is_final: false, ..plain.clone() },
            Metric { retracted: true, ..plain.clone() },
            Metric { window: far, ..plain.clone() },
            Metric { window: Window::GLOBAL, ..plain },
            row(&[], &[Value::Null]),
        ] {
            encoder.row(&row, &mut out);
        }
        assert_eq!((encoder.skipped(), out.len()), (5, 0));
    }

    /// The conformance cases: facts about what InfluxDB's encoder writes.
    #[test]
    fn conformance() {
        let Ok(folder) = std::env::var("EVKIT_CASES") else {
            eprintln!("SKIPPED: EVKIT_CASES is not set, line protocol is not checked against its cases");
            return;
        };
        let cases = std::fs::read_to_string(format!("{folder}/line-protocol/encode.ndjson")).unwrap();
        let mut count = 0;
        for case in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(case).unwrap();
            assert_eq!(case["expect"], "line", "a verdict that this test does not know");
            let point = &case["point"];
            let pairs = |name: &str| point[name].as_array().unwrap().clone();
            let (tags, fields) = (pairs("tags"), pairs("fields"));
            let tags: Vec<_> =
                tags.iter().map(|tag| (tag["key"].as_str().unwrap(), tag["value"].as_str().unwrap())).collect();
            let fields: Vec<_> = fields.iter().map(|f| (f["key"].as_str().unwrap(), field(&f["value"]))).collect();
            let mut out = Vec::new();
            let measurement = point["measurement"].as_str().unwrap();
            encode_point(measurement, &tags, &fields, point["time_ns"].as_i64().unwrap(), &mut out);
            let expected = format!("{}\n", case["line"].as_str().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "case {}", case["id"]);
            count += 1;
        }
        assert!(count > 0, "no cases in {folder}/line-protocol");
    }

    fn field(value: &serde_json::Value) -> Field<'_> {
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "float" => Field::Float(value.as_f64().unwrap()),
            "int" => Field::Int(value.as_i64().unwrap()),
            "bool" => Field::Bool(value.as_bool().unwrap()),
            "string" => Field::Text(value.as_str().unwrap()),
            _ => panic!("a field type that this test does not know: {kind}"),
        }
    }
}
