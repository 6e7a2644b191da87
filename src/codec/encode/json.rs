//! Result rows as one JSON array, written as it goes: `[`, the objects of `ndjson.rs` each on its line, `]`.
//!
//! A stream that is cut off lacks its closing bracket; who wants to read a running stream takes NDJSON.

use crate::codec::encode::RowEncoder;
use crate::codec::encode::ndjson::NdjsonEncoder;
use crate::metric::{Metric, MetricSchema};

/// Writes one JSON array.
pub struct JsonEncoder {
    rows: NdjsonEncoder,
    is_empty: bool,
}

impl JsonEncoder {
    /// An encoder of rows of these metrics.
    pub fn new(schemas: &[MetricSchema]) -> JsonEncoder {
        JsonEncoder { rows: NdjsonEncoder::new(schemas), is_empty: true }
    }

    fn push_separator(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_empty { b"\n" } else { b",\n" });
        self.is_empty = false;
    }
}

impl RowEncoder for JsonEncoder {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.push(b'[');
    }

    fn row(&mut self, row: &Metric, out: &mut Vec<u8>) {
        self.push_separator(out);
        self.rows.push_object(row, out);
    }

    fn in_band(&mut self, object: &[u8], out: &mut Vec<u8>) {
        self.push_separator(out);
        out.extend_from_slice(object);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_empty { b"]\n" } else { b"\n]\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::fixture::{encode, row, schema};
    use crate::value::Value;

    fn check(rows: &[Metric], expected_rows: usize) {
        let written = encode(JsonEncoder::new(&[schema("m", &[], &["n"], false)]), rows);
        let array: Vec<serde_json::Value> = serde_json::from_str(&written).unwrap();
        assert_eq!(array.len(), expected_rows, "{written}");
        for (read, row) in array.iter().zip(rows) {
            assert_eq!(read["n"].to_string(), row.aggregates[0].to_json());
        }
    }

    #[test]
    fn any_number_of_rows_is_one_valid_array() {
        let rows: Vec<Metric> = (0..3).map(|n| row(&[], &[Value::Int(n)])).collect();
        for count in 0..=3 {
            check(&rows[..count], count);
        }
    }

    #[test]
    fn in_band_objects_are_elements() {
        let mut encoder = JsonEncoder::new(&[schema("m", &[], &["n"], false)]);
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.in_band(b"{\"watermark\":1}", &mut out);
        encoder.row(&row(&[], &[Value::Int(7)]), &mut out);
        encoder.end(&mut out);
        let array: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
        assert_eq!((&array[0]["watermark"], &array[1]["n"]), (&1.into(), &7.into()));
    }
}
