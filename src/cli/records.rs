//! Records of what there is, metrics, topics, groups, for `list` and `describe`: tables for people, objects for programs.
//!
//! A record is an object of JSON. Does not know what its members mean.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::{Map, Value as Json};

use crate::cli::about;
use crate::cli::exit::{ExitCode, printable};

/// `--format` of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// A JSON object a line
    Ndjson,
    /// A JSON array
    Json,
    /// Comma-separated values with a header
    Csv,
    /// Aligned columns
    Table,
}

/// Whether a table is asked for: by name, or by a terminal.
pub(crate) fn is_table(format: Option<ListFormat>) -> bool {
    format == Some(ListFormat::Table) || format.is_none() && io::stdout().is_terminal()
}

/// Prints records of the same members; of a table without any, `empty` is said.
pub(crate) fn show(records: &[Map<String, Json>], format: Option<ListFormat>, empty: &str) -> anyhow::Result<ExitCode> {
    let text = match format {
        _ if is_table(format) && records.is_empty() => empty.to_owned(),
        _ if is_table(format) => {
            let header: Vec<&String> = records[0].keys().collect();
            let rows = records.iter().map(|record| record.values().map(cell).collect());
            table(&header, rows.collect())
        }
        Some(ListFormat::Json) => {
            let lines: Vec<String> = records.iter().map(|record| Json::from(record.clone()).to_string()).collect();
            format!("[\n{}\n]\n", lines.join(",\n"))
        }
        Some(ListFormat::Csv) => {
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            if let Some(first) = records.first() {
                writer.write_record(first.keys())?;
            }
            for record in records {
                writer.write_record(record.values().map(cell))?;
            }
            String::from_utf8_lossy(&writer.into_inner()?).into_owned()
        }
        _ => records.iter().map(|record| format!("{}\n", Json::from(record.clone()))).collect(),
    };
    let text = if is_table(format) { printable(&text) } else { text };
    about::print(text.as_bytes())?;
    Ok(ExitCode::Ok)
}

/// A value as a person reads it.
pub(crate) fn cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Bool(true) => "yes".into(),
        Json::Bool(false) => "no".into(),
        Json::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(" "),
        Json::Object(members) => Json::from(members.clone()).to_string(),
        number => number.to_string(),
    }
}

/// Aligned columns; those of numbers to the right.
pub(crate) fn table<Name: ToString>(header: &[Name], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty();
    table.set_header(header.iter().map(ToString::to_string));
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        let is_number = |row: &Vec<String>| row[index].parse::<f64>().is_ok();
        if !rows.is_empty() && rows.iter().all(is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
