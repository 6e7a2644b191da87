//! Result rows to bytes, one format a file, behind one trait.
//!
//! An encoder knows the schemas of all metrics and the form of its output, and appends to a buffer that its caller owns.
//! It does not know where the bytes go, when they are flushed, and why a row was written.

use crate::metric::{Metric, MetricSchema};

pub mod csv;
pub mod event;
pub mod in_band;
pub mod json;
pub mod keyed;
pub mod line_protocol;
pub mod ndjson;
pub mod table;

/// Turns result rows into the bytes of one format. Calls come in this order: `begin`, any of the others, `end`.
pub trait RowEncoder: Send {
    /// Appends what stands before the first row, such as a header.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Appends one row, or keeps it until `flush`. `row.metric` is its schema's number among those that the encoder was made with.
    fn row(&mut self, row: &Metric, out: &mut Vec<u8>);

    /// Another encoder of the same rows, where a row's bytes depend on no other row: several can then encode side by side.
    fn fork(&self) -> Option<Box<dyn RowEncoder>> {
        None
    }

    /// Appends an in-band object (`crate::codec::encode::in_band`), in the formats that have a place for it.
    fn in_band(&mut self, _object: &[u8], _out: &mut Vec<u8>) {}

    /// Appends what was kept so far. The caller does it before each flush of its sink.
    fn flush(&mut self, _out: &mut Vec<u8>) {}

    /// Appends what stands after the last row.
    fn end(&mut self, out: &mut Vec<u8>);

    /// Rows so far that the format can't hold and that were not written.
    fn skipped(&self) -> u64 {
        0
    }
}

/// The formats of result rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON object a line.
    Ndjson,
    /// One JSON array of objects.
    Json,
    /// Comma-separated values with a header line.
    Csv,
    /// InfluxDB's line protocol.
    LineProtocol,
    /// Aligned columns for a person at a terminal.
    Table,
}

impl OutputFormat {
    /// The names that `parse` takes, for help and errors.
    pub const NAMES: [&'static str; 5] = ["ndjson", "json", "csv", "line-protocol", "table"];

    /// The format of this name.
    pub fn parse(name: &str) -> Result<OutputFormat, EncodeError> {
        match name {
            "ndjson" | "jsonl" => Ok(OutputFormat::Ndjson),
            "json" => Ok(OutputFormat::Json),
            "csv" => Ok(OutputFormat::Csv),
            "line-protocol" => Ok(OutputFormat::LineProtocol),
            "table" => Ok(OutputFormat::Table),
            _ => Err(EncodeError::UnknownFormat { name: name.to_owned() }),
        }
    }
}

/// What an encoder must know beyond the schemas.
#[derive(Debug, Clone, Default)]
pub struct EncodeOptions {
    /// Whether rows with a revision, early rows or retractions can come: CSV and tables then have columns for them.
    pub changes: bool,
    /// For each metric, for each aggregate, whether it is a count. Line protocol writes counts as integers and other numbers
    /// as floats, because a field's type may never change. A missing entry means that it is no count.
    pub counts: Vec<Vec<bool>>,
    /// Whether the table may use colour.
    pub color: bool,
    /// For each metric, whether its rows come here: CSV and tables lay out those only. A missing entry means that they do.
    pub taken: Vec<bool>,
}

impl EncodeOptions {
    fn taken<'a>(&self, schemas: &'a [MetricSchema]) -> Vec<&'a MetricSchema> {
        let taken = schemas.iter().enumerate().filter(|(metric, _)| self.taken.get(*metric).copied().unwrap_or(true));
        taken.map(|(_, schema)| schema).collect()
    }
}

/// Why rows can't be encoded as wanted. Always the user's to mend.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EncodeError {
    /// No such format.
    #[error("unknown output format '{name}': formats are {}", OutputFormat::NAMES.join(", "))]
    UnknownFormat {
        /// The name as given.
        name: String,
    },
    /// CSV has one header, so all metrics need the same columns.
    #[error(
        "cannot write the metrics '{first}' and '{other}' as one CSV: their columns differ ({first_columns} and {other_columns})"
    )]
    CsvColumns {
        /// The first metric.
        first: String,
        /// Its columns.
        first_columns: String,
        /// The first metric that differs from it.
        other: String,
        /// Its columns.
        other_columns: String,
    },
}

/// The encoder of `format` for rows of `schemas`.
pub fn encoder(
    format: OutputFormat,
    schemas: &[MetricSchema],
    options: &EncodeOptions,
) -> Result<Box<dyn RowEncoder>, EncodeError> {
    Ok(match format {
        OutputFormat::Ndjson => Box::new(ndjson::NdjsonEncoder::new(schemas)),
        OutputFormat::Json => Box::new(json::JsonEncoder::new(schemas)),
        OutputFormat::Csv => Box::new(csv::CsvEncoder::new(schemas, options)?),
        OutputFormat::LineProtocol => Box::new(line_protocol::LineProtocolEncoder::new(schemas, options)),
        OutputFormat::Table => Box::new(table::TableEncoder::new(schemas, options)),
    })
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Schemas and rows that the tests of all formats share.

    use crate::metric::{Metric, MetricSchema};
    use crate::time::{Timestamp, Window};
    use crate::value::Value;

    /// A schema of these columns.
    pub fn schema(name: &str, groups: &[&str], aggregates: &[&str], ranked: bool) -> MetricSchema {
        MetricSchema {
            name: name.into(),
            groups: groups.iter().map(|s| (*s).into()).collect(),
            aggregates: aggregates.iter().map(|s| (*s).into()).collect(),
            ranked,
        }
    }

    /// A final row of the window `[0 s, 60 s)`.
    pub fn row(groups: &[Value], aggregates: &[Value]) -> Metric {
        Metric {
            metric: 0,
            window: Window::new(Timestamp(0), Timestamp(60_000_000)),
            groups: groups.into(),
            aggregates: aggregates.into(),
            rank: None,
            revision: 0,
            is_final: true,
            retracted: false,
            state: None,
        }
    }

    /// A text.
    pub fn text(s: &str) -> Value {
        Value::Text(s.into())
    }

    /// What an encoder writes for `rows`.
    pub fn encode(mut encoder: impl super::RowEncoder, rows: &[Metric]) -> String {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for row in rows {
            encoder.row(row, &mut out);
        }
        encoder.flush(&mut out);
        encoder.end(&mut out);
        String::from_utf8(out).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_format_and_others_are_refused() {
        for name in OutputFormat::NAMES {
            assert!(OutputFormat::parse(name).is_ok(), "{name}");
        }
        let error = OutputFormat::parse("xml").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown output format 'xml': formats are ndjson, json, csv, line-protocol, table"
        );
    }
}
