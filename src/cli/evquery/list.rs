//! `evquery list` and `evquery describe`: what the store has, as tables for people and objects for programs.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::cli::about;
use crate::cli::evquery::config::in_words;
use crate::cli::evquery::find;
use crate::cli::exit::{ExitCode, printable};
use crate::cli::records::{ListFormat, cell, is_table, show, table};
use crate::store::{Grain, Known, Metrics, Series, StoredMetric, WindowKind};
use crate::time::Timestamp;

/// Values of a group column that are shown as examples.
const EXAMPLES_MAX: usize = 5;

/// `evquery list`.
pub(crate) fn list<M: Metrics>(mut reader: M, format: Option<ListFormat>) -> anyhow::Result<ExitCode> {
    in_words(reader.hold())?;
    let mut records = Vec::new();
    for name in in_words(reader.names())? {
        if let Some(known) = in_words(reader.look(&name))? {
            records.push(summary(&mut reader, &known)?);
        }
    }
    let empty = format!("{} has no metric yet\n", reader.named());
    show(&records, format, &empty)
}

/// `evquery describe METRIC`.
pub(crate) fn describe<M: Metrics>(mut reader: M, name: &str, format: Option<ListFormat>) -> anyhow::Result<ExitCode> {
    in_words(reader.hold())?;
    let known = find(&mut reader, name)?;
    let mut record = summary(&mut reader, &known)?;
    let Known { metric, series, .. } = &known;
    record.insert("fields".into(), fields(metric).into());
    record.insert("groups".into(), groups(metric, series).into());
    record.insert("recombines".into(), metric.catalogue.recombines().into());
    record.insert("reason".into(), metric.catalogue.refusal().map_or(Json::Null, Json::from));
    record.insert("grains".into(), grains(metric).into());
    record.insert("points_from".into(), time(metric.kept_from));
    record.insert("refused".into(), metric.refused.into());
    if is_table(format) {
        about::print(printable(&described(&record)).as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    show(&[record], format, "")
}

fn summary<M: Metrics>(reader: &mut M, known: &Known) -> anyhow::Result<Map<String, Json>> {
    let Known { metric, series, extent } = known;
    let points = in_words(reader.count(metric))?;
    let catalogue = &metric.catalogue;
    let names: Vec<&str> = catalogue.fields.iter().map(|field| field.name.as_str()).collect();
    let record = json!({
        "metric": catalogue.name,
        "window": window(metric),
        "fields": names,
        "groups": catalogue.groups,
        "series": series.len(),
        "points": points,
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
