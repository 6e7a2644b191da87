//! Whether the store is whole: the file, every blob, and that what is kept twice agrees.
//!
//! Reads everything within one snapshot and changes nothing. Findings are told, not mended.

use std::path::Path;

use rusqlite::Connection;

use crate::aggregate::Accumulators;
use crate::store::catalogue::{DAY, Grain, HOUR};
use crate::store::connection;
use crate::store::error::{Fault, Inner, StoreError};
use crate::store::metrics::StoredMetric;
use crate::store::payload::Form;
use crate::store::reader::{each_entry, metrics, series};

/// What a check looked at, and what it found wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Metrics.
    pub metrics: u64,
    /// Series.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Roll-ups.
    pub roll_ups: u64,
    /// What is wrong, one line each; the first ones only.
    pub findings: Vec<String>,
}

/// Findings that are told.
const FINDINGS_MAX: usize = 100;

/// Checks the store at `path`.
pub fn check(path: &Path) -> Result<Report, StoreError> {
    let connection = connection::for_reading(path)?;
    let mut report = Report::default();
    let failed = |fault: Fault| fault.at("check", path);
    connection.execute_batch("BEGIN").map_err(|error| failed(error.into()))?;
    for check in [check_file, check_references, check_metrics] {
        // A damaged file is a finding; that it can't be read at all isn't.
        match check(&connection, &mut report).map_err(failed) {
            Ok(()) => {}
            Err(StoreError::Damaged { what, .. }) => report.find(what),
            Err(error) => return Err(error),
        }
    }
    report.findings.truncate(FINDINGS_MAX);
    Ok(report)
}

impl Report {
    fn find(&mut self, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what);
        }
    }
}

fn check_file(connection: &Connection, report: &mut Report) -> Inner<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            report.find(format!("the file: {line}"));
        }
    }
    Ok(())
}

fn check_references(connection: &Connection, report: &mut Report) -> Inner<()> {
    for (what, query) in [
        ("series of no metric", "SELECT count(*) FROM series WHERE metric NOT IN (SELECT id FROM metrics)"),
        ("chunks of no series", "SELECT count(*) FROM chunks WHERE series NOT IN (SELECT id FROM series)"),
        (
            "metrics of no job",
            "SELECT count(*) FROM metrics WHERE name IS NOT NULL AND job NOT IN (SELECT id FROM jobs)",
        ),
        ("offsets of no job", "SELECT count(*) FROM source_offsets WHERE job NOT IN (SELECT id FROM jobs)"),
        ("chunks of an unknown grain", "SELECT count(*) FROM chunks WHERE grain NOT IN (0, 1, 2)"),
        ("offsets below zero", "SELECT count(*) FROM source_offsets WHERE offset < 0 OR lines < 0"),
    ] {
        let count: i64 = connection.query_row(query, [], |row| row.get(0))?;
        if count > 0 {
            report.find(format!("{count} {what}"));
        }
    }
    Ok(())
}

fn check_metrics(connection: &Connection, report: &mut Report) -> Inner<()> {
    for metric in metrics(connection)? {
        report.metrics += 1;
        let name = metric.catalogue.name.clone();
        let mut points = 0;
        for series in series(connection, metric.id)? {
            report.series += 1;
            let what = format!("'{name}', series {}", series.id);
            if series.groups.len() != metric.catalogue.groups.len() {
                report.find(format!("{what}: its key has {} columns", series.groups.len()));
            }
            match check_series(connection, &metric, series.id, &what, report) {
                Ok(count) => points += count,
                Err(Fault::Damaged(wrong)) => report.find(format!("{what}: {wrong}")),
                Err(other) => return Err(other),
            }
        }
        report.points += points;
        // Points behind the horizon may be half dropped, and are still counted until they are.
        if points != metric.points {
            report.find(format!("'{name}' has {points} points, and its catalogue says {}", metric.points));
        }
    }
    Ok(())
}

/// Reads every point, and compares hours with points and days with hours. Gives the number of points.
fn check_series(
    connection: &Connection,
    metric: &StoredMetric,
    series: i64,
    what: &str,
    report: &mut Report,
) -> Inner<u64> {
    let catalogue = &metric.catalogue;
    let mut form = Form::of(catalogue);
    let mut points = 0;
    let mut hours = Sums::of(catalogue.states(), HOUR);
    let mut days = Sums::of(catalogue.states(), DAY);
    let all = (i64::MIN, i64::MAX);
    each_entry(connection, catalogue, series, Grain::Points, all, |entry| {
        form.values(entry)?;
        points += 1;
        if let Some(state) = form.state(Grain::Points, entry)?.filter(|_| entry.is_final) {
            for (grain, sums) in [(Grain::Hour, &mut hours), (Grain::Day, &mut days)] {
                if catalogue.has(grain) {
                    sums.add(entry.start, state)?;
                }
            }
        }
        Ok(())
    })?;
    let kept_from = metric.kept_from.map_or(i64::MIN, |time| time.0);
    let mut of_hours = Sums::of(catalogue.states(), DAY);
    for (grain, made) in [(Grain::Hour, hours.done()), (Grain::Day, days.done())] {
        let mut kept = Vec::new();
        each_entry(connection, catalogue, series, grain, all, |entry| {
            report.roll_ups += 1;
            kept.push((entry.start, entry.payload.to_vec()));
            if grain == Grain::Hour {
                of_hours.add(entry.start, entry.payload)?;
            }
            Ok(())
        })?;
        // Where points were dropped only the days can be compared, with the hours.
        let is_old = |(start, _): &&(i64, Vec<u8>)| *start < kept_from;
        let same =
            |a: &[(i64, Vec<u8>)], b: &[(i64, Vec<u8>)]| a.iter().skip_while(is_old).eq(b.iter().skip_while(is_old));
        let name = if grain == Grain::Hour { "hour" } else { "day" };
        if !same(&kept, &made) {
            report.find(format!("{what}: the roll-ups by {name} are not what its points give"));
        }
        if grain == Grain::Day && catalogue.has(Grain::Hour) && catalogue.has(Grain::Day) {
            let of_hours = std::mem::replace(&mut of_hours, Sums::of(catalogue.states(), DAY)).done();
            if kept != of_hours {
                report.find(format!("{what}: the roll-ups by day are not what those by hour give"));
            }
        }
    }
    Ok(points)
}

/// Partials merged by multiples of a length, in order.
struct Sums {
    length: i64,
    accumulators: Accumulators,
    current: Option<i64>,
    done: Vec<(i64, Vec<u8>)>,
}

impl Sums {
    fn of(functions: Vec<crate::aggregate::Function>, length: i64) -> Sums {
        let mut accumulators = Accumulators::new(&functions);
        accumulators.add_group();
        Sums { length, accumulators, current: None, done: Vec::new() }
    }

    fn add(&mut self, start: i64, state: &[u8]) -> Inner<()> {
        let start = start - start.rem_euclid(self.length);
        if self.current != Some(start) {
            self.end();
            self.current = Some(start);
        }
        Ok(self.accumulators.decode_into_group(0, state)?)
    }

    fn end(&mut self) {
        if let Some(start) = self.current.take() {
            let mut bytes = Vec::new();
            self.accumulators.encode_group(0, &mut bytes);
            self.done.push((start, bytes));
            self.accumulators.reset_group(0);
        }
    }

    fn done(mut self) -> Vec<(i64, Vec<u8>)> {
        self.end();
        self.done
    }
}
