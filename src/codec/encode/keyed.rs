//! Result rows as records of a log: a key and, behind a separator, the row as NDJSON.
//!
//! The key is `["METRIC",GROUP,…]`, so that a row's revisions share a partition and keep their order. Knows nothing of the log.

use crate::codec::encode::RowEncoder;
use crate::codec::encode::ndjson::NdjsonEncoder;
use crate::metric::{Metric, MetricSchema};
use crate::value::write_json_string;

/// Stands between key and value: a byte that JSON text never holds.
pub const SEPARATOR: u8 = 0x1f;

/// Appends the key of a row of the metric `name`.
pub fn push_key(row: &Metric, name: &str, out: &mut Vec<u8>) {
    out.push(b'[');
    write_json_string(name, out);
    for value in &*row.groups {
        out.push(b',');
        value.write_json(out);
    }
    out.push(b']');
}

/// Writes a key, the separator and a JSON object a line.
#[derive(Clone)]
pub struct KeyedEncoder {
    names: Vec<String>,
    rows: NdjsonEncoder,
}

impl KeyedEncoder {
    /// An encoder of rows of these metrics.
    pub fn new(schemas: &[MetricSchema]) -> KeyedEncoder {
        let names = schemas.iter().map(|schema| schema.name.clone()).collect();
        KeyedEncoder { names, rows: NdjsonEncoder::new(schemas) }
    }
}

impl RowEncoder for KeyedEncoder {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Metric, out: &mut Vec<u8>) {
        push_key(row, &self.names[row.metric], out);
        out.push(SEPARATOR);
        self.rows.row(row, out);
    }

    fn fork(&self) -> Option<Box<dyn RowEncoder>> {
        Some(Box::new(self.clone()))
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::fixture::{encode, row, schema, text};
    use crate::value::Value;

    #[test]
    fn a_key_is_the_metric_and_its_group() {
        let schema = schema("m\"", &["g", "h"], &["n"], false);
        let rows = [row(&[text("a\u{1f}"), Value::Null], &[Value::Int(1)])];
        let written = encode(KeyedEncoder::new(std::slice::from_ref(&schema)), &rows);
        let (key, value) = written.split_once(char::from(SEPARATOR)).unwrap();
        assert_eq!(key, r#"["m\"","a\u001f",null]"#);
        assert_eq!(value, encode(NdjsonEncoder::new(&[schema]), &rows));
    }
}
