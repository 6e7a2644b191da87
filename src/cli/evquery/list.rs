//! `evquery list` and `evquery describe`: what the store has, as tables for people and objects for programs.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::{Map, Value as Json, json};

use crate::cli::about;
use crate::cli::evquery::args::ListFormat;
use crate::cli::evquery::config::in_words;
use crate::cli::evquery::find;
use crate::cli::exit::{ExitCode, printable};
use crate::store::{Grain, Reader, Series, StoredMetric, WindowKind};
use crate::time::Timestamp;

/// Values of a group column that are shown as examples.
const EXAMPLES_MAX: usize = 5;

/// `evquery list`.
pub(crate) fn list(path: &Path, format: Option<ListFormat>) -> anyhow::Result<ExitCode> {
    let reader = in_words(Reader::open(path))?;
    in_words(reader.begin())?;
    let mut records = Vec::new();
    for metric in in_words(reader.metrics())? {
        let series = in_words(reader.series(metric.id))?;
        records.push(summary(&reader, &metric, &series)?);
    }
    let empty = format!("the store '{}' has no metric yet\n", path.display());
    show(&records, format, &empty)
}

/// `evquery describe METRIC`.
pub(crate) fn describe(path: &Path, name: &str, format: Option<ListFormat>) -> anyhow::Result<ExitCode> {
    let reader = in_words(Reader::open(path))?;
    in_words(reader.begin())?;
    let metric = find(&reader, name)?;
    let series = in_words(reader.series(metric.id))?;
    let mut record = summary(&reader, &metric, &series)?;
    record.insert("fields".into(), fields(&metric).into());
    record.insert("groups".into(), groups(&metric, &series).into());
    record.insert("recombines".into(), metric.catalogue.recombines().into());
    record.insert("reason".into(), metric.catalogue.refusal().map_or(Json::Null, Json::from));
    record.insert("grains".into(), grains(&metric).into());
    record.insert("points_from".into(), time(metric.kept_from));
    record.insert("refused".into(), metric.refused.into());
    if is_table(format) {
        about::print(printable(&described(&record)).as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    show(&[record], format, "")
}

fn summary(reader: &Reader, metric: &StoredMetric, series: &[Series]) -> anyhow::Result<Map<String, Json>> {
    let extent = in_words(reader.extent(metric, series))?;
    let catalogue = &metric.catalogue;
    let names: Vec<&str> = catalogue.fields.iter().map(|field| field.name.as_str()).collect();
    let record = json!({
        "metric": catalogue.name,
        "window": window(metric),
        "fields": names,
        "groups": catalogue.groups,
        "series": series.len(),
        "points": metric.points,
        "first": time(extent.map(|extent| extent.first)),
        "last": time(extent.map(|extent| extent.last)),
    });
    match record {
        Json::Object(record) => Ok(record),
        other => unreachable!("an object was written, not {other}"),
    }
}

fn time(time: Option<Timestamp>) -> Json {
    time.filter(|time| *time > Timestamp::MIN).map_or(Json::Null, |time| time.to_string().into())
}

fn window(metric: &StoredMetric) -> String {
    let catalogue = &metric.catalogue;
    let kind = match catalogue.window {
        WindowKind::Tumbling { length } => format!("tumbling {length}"),
        WindowKind::Sliding { length, slide } => format!("sliding {length}/{slide}"),
        WindowKind::Cumulative { length, step } => format!("cumulate {length}/{step}"),
        WindowKind::Session { gap } => format!("session {gap}"),
        WindowKind::Global => "global".into(),
    };
    match &catalogue.zone {
        Some(zone) => format!("{kind} {zone}"),
        None => kind,
    }
}

fn fields(metric: &StoredMetric) -> Vec<Json> {
    let catalogue = &metric.catalogue;
    let field = |(index, field): (usize, &crate::store::Field)| json!({"name": field.name, "aggregate": field.expression, "recombines": catalogue.keeps_state(index)});
    catalogue.fields.iter().enumerate().map(field).collect()
}

/// Each group column with the number of its values, and those that most series have.
fn groups(metric: &StoredMetric, series: &[Series]) -> Vec<Json> {
    let column = |(index, name): (usize, &String)| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        series.iter().for_each(|series| *counts.entry(series.groups[index].to_json()).or_default() += 1);
        let mut most: Vec<(&String, &usize)> = counts.iter().collect();
        most.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let examples =
            most.iter().take(EXAMPLES_MAX).map(|(value, _)| serde_json::from_str(value).unwrap_or(Json::Null));
        json!({"name": name, "values": counts.len(), "examples": examples.collect::<Vec<Json>>()})
    };
    metric.catalogue.groups.iter().enumerate().map(column).collect()
}

fn grains(metric: &StoredMetric) -> Vec<&'static str> {
    let grains = Grain::ALL.into_iter().filter(|grain| metric.catalogue.has(*grain));
    grains
        .map(|grain| match grain {
            Grain::Points => "points",
            Grain::Hour => "hour",
            Grain::Day => "day",
        })
        .collect()
}

fn is_table(format: Option<ListFormat>) -> bool {
    format == Some(ListFormat::Table) || format.is_none() && io::stdout().is_terminal()
}

/// Prints records of the same members.
fn show(records: &[Map<String, Json>], format: Option<ListFormat>, empty: &str) -> anyhow::Result<ExitCode> {
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
fn cell(value: &Json) -> String {
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

fn described(record: &Map<String, Json>) -> String {
    let mut text = String::new();
    for (name, value) in record.iter().filter(|(name, _)| !["fields", "groups"].contains(&name.as_str())) {
        if !value.is_null() {
            text.push_str(&format!("{:<12}{}\n", format!("{name}:").replace('_', " "), cell(value)));
        }
    }
    for (what, columns) in [("fields", ["name", "aggregate", "recombines"]), ("groups", ["name", "values", "examples"])]
    {
        let members = record[what].as_array().map_or(&[][..], Vec::as_slice);
        if members.is_empty() {
            continue;
        }
        let rows = members.iter().map(|member| columns.iter().map(|column| cell(&member[*column])).collect());
        let header = [if what == "fields" { "field" } else { "group column" }, columns[1], columns[2]];
        text.push('\n');
        text.push_str(&table(&header, rows.collect()));
    }
    text
}

/// Aligned columns; those of numbers to the right.
fn table<Name: ToString>(header: &[Name], rows: Vec<Vec<String>>) -> String {
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
