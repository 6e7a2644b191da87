//! Result rows as CSV (RFC 4180, line feeds only): one header line, then one line a row.
//!
//! Columns: `metric,window_start,window_end`, the group columns, the aggregates, `rank` where ranked, `revision`, and where
//! changes can come `final,retracted`. A file has one header, so several metrics must have equal columns. NULL is an empty
//! field and the empty text is `""`. Arrays and nested JSON are their JSON text. Knows nothing of reading CSV.

use crate::codec::encode::{EncodeError, EncodeOptions, RowEncoder};
use crate::metric::{Metric, MetricSchema};
use crate::time::Timestamp;
use crate::value::Value;

/// Writes CSV.
pub struct CsvEncoder {
    header: Vec<u8>,
    /// Each metric's name as a field.
    names: Vec<Vec<u8>>,
    has_rank: bool,
    has_changes: bool,
    scratch: Vec<u8>,
}

impl CsvEncoder {
    /// An encoder of rows of these metrics. Refused when their columns differ.
    pub fn new(schemas: &[MetricSchema], options: &EncodeOptions) -> Result<CsvEncoder, EncodeError> {
        let taken = options.taken(schemas);
        let first = taken.first().copied();
        if let Some(first) = first
            && let Some(other) = taken.iter().find(|other| columns(other) != columns(first))
        {
            return Err(EncodeError::CsvColumns {
                first: first.name.clone(),
                first_columns: columns(first).join(","),
                other: other.name.clone(),
                other_columns: columns(other).join(","),
            });
        }
        let mut header = b"metric,window_start,window_end".to_vec();
        for name in first.map(columns).unwrap_or_default() {
            header.push(b',');
            push_field(name.as_bytes(), &mut header);
        }
        header.extend_from_slice(b",revision");
        header.extend_from_slice(if options.changes { b",final,retracted\n" } else { b"\n" });
        let field = |schema: &MetricSchema| {
            let mut field = Vec::new();
            push_field(schema.name.as_bytes(), &mut field);
            field
        };
        Ok(CsvEncoder {
            header,
            names: schemas.iter().map(field).collect(),
            has_rank: first.is_some_and(|schema| schema.ranked),
            has_changes: options.changes,
            scratch: Vec::new(),
        })
    }
}

impl RowEncoder for CsvEncoder {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
    }

    fn row(&mut self, row: &Metric, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.names[row.metric]);
        for bound in [row.window.start, row.window.end] {
            out.push(b',');
            if bound != Timestamp::MIN && bound != Timestamp::MAX {
                bound.write_rfc3339(out);
            }
        }
        for value in row.groups.iter().chain(&row.aggregates) {
            out.push(b',');
            push_value(value, &mut self.scratch, out);
        }
        if self.has_rank {
            out.push(b',');
            if let Some(rank) = row.rank {
                out.extend_from_slice(itoa::Buffer::new().format(rank).as_bytes());
            }
        }
        out.push(b',');
        out.extend_from_slice(itoa::Buffer::new().format(row.revision).as_bytes());
        if self.has_changes {
            out.extend_from_slice(if row.is_final { b",true" } else { b",false" });
            out.extend_from_slice(if row.retracted { b",true" } else { b",false" });
        }
        out.push(b'\n');
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// Names of the columns that differ between metrics.
fn columns(schema: &MetricSchema) -> Vec<&str> {
    let names = schema.groups.iter().chain(&schema.aggregates).map(String::as_str);
    names.chain(schema.ranked.then_some("rank")).collect()
}

fn push_value(value: &Value, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Text(text) if text.is_empty() => out.extend_from_slice(b"\"\""),
        Value::Text(text) => push_field(text.as_bytes(), out),
        Value::Time(time) => time.write_rfc3339(out),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => value.write_json(out),
        Value::Json(_) | Value::Array(_) => {
            scratch.clear();
            value.write_json(scratch);
            push_field(scratch, out);
        }
    }
}

/// Appends a field, in quotes where it has a comma, a quote, a line feed or a carriage return, or a space at an end.
fn push_field(field: &[u8], out: &mut Vec<u8>) {
    let at_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    let is_plain = !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if is_plain && !at_end(field.first()) && !at_end(field.last()) {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    for &byte in field {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::fixture::{encode, row, schema, text};
    use crate::time::Window;

    fn check(schemas: &[MetricSchema], changes: bool, rows: &[Metric], expected: &str) {
        let options = EncodeOptions { changes, ..EncodeOptions::default() };
        assert_eq!(encode(CsvEncoder::new(schemas, &options).unwrap(), rows), expected);
    }

    #[test]
    fn header_stands_first_even_without_rows() {
        let schemas = [schema("m", &["a b"], &["sum(x, \"y\")"], true)];
        check(&schemas, false, &[], "metric,window_start,window_end,a b,\"sum(x, \"\"y\"\")\",rank,revision\n");
    }

    #[test]
    fn fields_are_quoted_where_they_must_be_and_null_is_not_the_empty_text() {
        let cells = [
            (Value::Null, ""),
            (text(""), "\"\""),
            (text("a,b"), "\"a,b\""),
            (text("say \"x\""), "\"say \"\"x\"\"\""),
            (text("two\nlines"), "\"two\nlines\""),
            (text(" x"), "\" x\""),
            (text("plain ünïcode"), "plain ünïcode"),
            (Value::Float(1.5), "1.5"),
            (Value::Array(vec![Value::Int(2), text("z")]), "\"[2,\"\"z\"\"]\""),
            (Value::Time(Timestamp(0)), "1970-01-01T00:00:00.000Z"),
        ];
        for (value, expected) in cells {
            let expected = format!(
                "metric,window_start,window_end,g,n,revision\nm,1970-01-01T00:00:00.000Z,1970-01-01T00:01:00.000Z,{expected},1,0\n"
            );
            check(&[schema("m", &["g"], &["n"], false)], false, &[row(&[value], &[Value::Int(1)])], &expected);
        }
    }

    #[test]
    fn changes_rank_and_the_global_window() {
        let rows = [
            Metric { rank: Some(1), window: Window::GLOBAL, ..row(&[], &[Value::Int(1)]) },
            Metric { rank: Some(2), window: Window::GLOBAL, is_final: false, ..row(&[], &[Value::Int(2)]) },
            Metric { window: Window::GLOBAL, retracted: true, revision: 1, ..row(&[], &[Value::Null]) },
        ];
        check(
            &[schema("m", &[], &["n"], true)],
            true,
            &rows,
            "metric,window_start,window_end,n,rank,revision,final,retracted\n\
             m,,,1,1,0,true,false\nm,,,2,2,0,false,false\nm,,,,,1,true,true\n",
        );
    }

    #[test]
    fn only_metrics_whose_rows_come_here_need_equal_columns() {
        let schemas = [schema("a", &["g"], &["n"], false), schema("b", &["h", "i"], &["m"], true)];
        let options = EncodeOptions { taken: vec![false, true], ..EncodeOptions::default() };
        let encoder = CsvEncoder::new(&schemas, &options).unwrap();
        assert_eq!(encode(encoder, &[]), "metric,window_start,window_end,h,i,m,rank,revision\n");
    }

    #[test]
    fn metrics_of_equal_columns_share_a_file_and_others_are_refused() {
        let (a, b) = (schema("a", &["g"], &["n"], false), schema("b", &["g"], &["n"], false));
        let second = Metric { metric: 1, window: Window::GLOBAL, ..row(&[text("x")], &[Value::Int(1)]) };
        check(&[a.clone(), b], false, &[second], "metric,window_start,window_end,g,n,revision\nb,,,x,1,0\n");
        let error = CsvEncoder::new(&[a, schema("c", &["g"], &["n"], true)], &EncodeOptions::default()).err().unwrap();
        assert_eq!(
            error.to_string(),
            "cannot write the metrics 'a' and 'c' as one CSV: their columns differ (g,n and g,n,rank)"
        );
    }

    #[test]
    fn a_csv_reader_gets_the_fields_back() {
        let groups = [text("a\"b\r\n,c"), text("\u{1}x ")];
        let written = encode(
            CsvEncoder::new(&[schema("m,1", &["g", "h"], &[], false)], &EncodeOptions::default()).unwrap(),
            &[row(&groups, &[])],
        );
        let mut reader = ::csv::Reader::from_reader(written.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        assert_eq!((&record[0], &record[3], &record[4]), ("m,1", "a\"b\r\n,c", "\u{1}x "));
    }
}
