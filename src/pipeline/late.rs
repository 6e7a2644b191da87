//! For which metrics an event was late, where they differ: told before its line, and taken note of when it is read again.
//!
//! An event may be too late for the minutes of one metric and in time for the hours of another. A line of late events is the original
//! one; before those that only some of their metrics found too late stands `{"late_for":["minutes"]}`. Knows nothing of when an event
//! is late.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::batch::{EventBatch, InBand, LineSpan};
use crate::codec::partial::{Line, parse};
use crate::metric::MetricSchema;
use crate::partition::PartitionId;
use crate::plan::Plan;
use crate::time::{Timestamp, Window};
use crate::window::{Output, Projected, Windows};

/// What stands before an event that was late for these of the plan's metrics; `None` where these are all that have a window for it.
pub fn mark(plan: &Plan, projected: &Projected, row: u32, late: &[usize]) -> Option<Vec<u8>> {
    let time = projected.batch.times[row as usize];
    let has_window = |metric: usize| {
        let in_windows = match &plan.queries[metric].windows {
            Windows::Aligned(assigner) => assigner.slice(time).is_some(),
            Windows::Session(_) => true,
        };
        in_windows && projected.selected[metric].rows.binary_search(&row).is_ok()
    };
    let is_other = |metric: usize| !late.contains(&metric) && has_window(metric);
    // A line of CSV has no place for a mark.
    let span = projected.batch.spans[row as usize];
    let line = projected.batch.text[span.start as usize..][..span.len as usize].trim_ascii_start();
    if !line.starts_with(b"{") || !(0..plan.schemas.len()).any(is_other) {
        return None;
    }
    let names: Vec<&str> = late.iter().map(|&metric| plan.schemas[metric].name.as_str()).collect();
    Some(json!({ "late_for": names }).to_string().into_bytes())
}

/// Windows that have late events.
#[derive(Debug, Clone, Default)]
pub struct Affected {
    /// By metric.
    pub windows: BTreeSet<(usize, Window)>,
    /// Of each event that some metric takes, its time, and what its line hashes to.
    pub lines: Vec<(Timestamp, u64)>,
}

/// What a line is known by: the same in every place where it is kept.
pub fn fingerprint(line: &[u8]) -> u64 {
    rapidhash::v3::rapidhash_v3(line.trim_ascii())
}

/// Marks that were read.
#[derive(Debug, Default)]
pub struct Marks {
    affected: Affected,
    /// Of partitions whose last line so far was a mark: by metric, whether its event was late for it.
    waiting: HashMap<PartitionId, Vec<bool>>,
}

impl Marks {
    /// Leaves the events of a batch out of those metrics that had them in time. Batches of a partition come in order.
    pub fn apply(&mut self, projected: &mut Projected, schemas: &[MetricSchema]) {
        let batch = &projected.batch;
        if batch.lines == 0 {
            return;
        }
        let mut by_line: HashMap<u32, Vec<bool>> = HashMap::new();
        by_line.extend(self.waiting.remove(&batch.partition).map(|late| (0, late)));
        for (_, mark) in &batch.in_band {
            let InBand::LateFor(span) = mark else { continue };
            by_line.insert(span.line + 1, metrics_of(batch, *span, schemas));
        }
        self.waiting.extend(by_line.remove(&batch.lines).map(|late| (batch.partition, late)));
        if by_line.is_empty() {
            return;
        }
        let marked: Vec<(u32, Vec<bool>)> = batch
            .spans
            .iter()
            .enumerate()
            .filter_map(|(row, span)| Some((row as u32, by_line.remove(&span.line)?)))
            .collect();
        for (metric, selected) in projected.selected.iter_mut().enumerate() {
            let in_time: Vec<u32> = marked.iter().filter(|(_, late)| !late[metric]).map(|(row, _)| *row).collect();
            if !in_time.is_empty() {
                *selected = Arc::new(selected.without(&in_time));
            }
        }
    }
}

impl Marks {
    /// Takes note of the events that some metric takes, and of the windows of late partials.
    pub fn note(&mut self, projected: &Projected, plan: &Plan) {
        let batch = &projected.batch;
        let line = |span: &LineSpan| &batch.text[span.start as usize..][..span.len as usize];
        let is_taken = |row: u32| projected.selected.iter().any(|selected| selected.rows.binary_search(&row).is_ok());
        let taken = (0..batch.rows()).filter(|row| is_taken(*row as u32));
        self.affected.lines.extend(taken.map(|row| (batch.times[row], fingerprint(line(&batch.spans[row])))));
        for (_, mark) in &batch.in_band {
            let InBand::Partial(span) = mark else { continue };
            let Ok(Line::Partial(name, partial)) = parse(line(span)) else { continue };
            let Some(metric) = plan.schemas.iter().position(|schema| schema.name == name) else { continue };
            let Windows::Aligned(assigner) = &plan.queries[metric].windows else { continue };
            let Some(slice) = assigner.slice(partial.span.start) else { continue };
            let mut end = Timestamp(partial.first_end.0.saturating_sub(1));
            while let Some(window) = assigner.window_after(slice, end) {
                end = window.end;
                self.affected.windows.insert((metric, window));
            }
        }
    }

    /// Takes note of the windows of rows.
    pub fn note_windows(&mut self, outputs: &[Output]) {
        self.affected.windows.extend(outputs.iter().map(|output| {
            let (_, window, metric) = output.place();
            (metric, window)
        }));
    }

    /// All that was noted.
    pub fn take(&mut self) -> Affected {
        std::mem::take(&mut self.affected)
    }
}

/// Where the last line of a batch is a mark, which says nothing without the line after it: that line.
pub fn last_mark(batch: &EventBatch) -> Option<LineSpan> {
    let (_, mark) = batch.in_band.last()?;
    match mark {
        InBand::LateFor(span) if span.line + 1 == batch.lines => Some(*span),
        _ => None,
    }
}

fn metrics_of(batch: &EventBatch, span: LineSpan, schemas: &[MetricSchema]) -> Vec<bool> {
    let line = &batch.text[span.start as usize..][..span.len as usize];
    let mark: Json = serde_json::from_slice(line).unwrap_or(Json::Null);
    let is_named = |schema: &MetricSchema| {
        mark["late_for"].as_array().is_some_and(|names| names.iter().any(|name| *name == *schema.name))
    };
    schemas.iter().map(is_named).collect()
}
