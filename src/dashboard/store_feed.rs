//! The lines of a dashboard from the local store: the last windows of each metric, and then what each commit changes.
//!
//! Knows nothing of how points are stored, and of what is shown of them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration as StdDuration;

use crate::dashboard::feed::{Batch, Feed, FeedError};
use crate::dashboard::line::{Cell, Line, Row};
use crate::store::{Reader, StoreError, StoredMetric};
use crate::time::{Timestamp, Window};
use crate::value::Value;

/// Windows of each metric that are shown at first.
const WINDOWS: i64 = 240;

/// The time that stands for them where windows have no length.
const SPAN: i64 = 3_600_000_000;

/// The store is asked this often whether anything was committed.
const PAUSE: StdDuration = StdDuration::from_millis(200);

/// Follows a store.
pub struct StoreFeed {
    reader: Reader,
    is_followed: bool,
    /// The commit up to which all has been told; None before the first look.
    seen: Option<u64>,
    /// What was told of each metric, by the start of its windows: a point that is gone since was taken back.
    told: BTreeMap<(i64, Timestamp), HashSet<Place>>,
}

/// A row's place: the end of its window, and its group as JSON.
type Place = (Timestamp, String);

impl StoreFeed {
    /// Opens the store. `is_followed`: waits for what comes after what is there.
    pub fn open(path: &Path, is_followed: bool) -> Result<StoreFeed, StoreError> {
        Ok(StoreFeed { reader: Reader::open(path)?, is_followed, seen: None, told: BTreeMap::new() })
    }

    /// The rows of one commit, whole: the reader sees one state of the store while it looks.
    fn look(&mut self) -> Result<Vec<Line>, StoreError> {
        self.reader.begin()?;
        let lines = self.look_within();
        self.reader.end()?;
        lines
    }

    fn look_within(&mut self) -> Result<Vec<Line>, StoreError> {
        let changes = self.reader.changes(self.seen.unwrap_or_default())?;
        if self.seen == Some(changes.number) {
            return Ok(Vec::new());
        }
        let metrics = self.reader.metrics()?;
        let mut ranges: BTreeMap<i64, (Timestamp, Timestamp)> = BTreeMap::new();
        if self.seen.is_none() || changes.is_incomplete {
            for metric in &metrics {
                ranges.extend(self.last_windows(metric)?.map(|range| (metric.id, range)));
            }
        } else {
            for (metric, first, last) in changes.ranges {
                let range = ranges.entry(metric).or_insert((first, last));
                *range = (range.0.min(first), range.1.max(last));
            }
        }
        self.seen = Some(changes.number);
        let mut rows = Vec::new();
        for metric in &metrics {
            if let Some((first, last)) = ranges.get(&metric.id) {
                self.rows_of(metric, (*first, Timestamp(last.0.saturating_add(1))), &mut rows)?;
            }
        }
        rows.sort_by_key(|row| row.window);
        Ok(rows.into_iter().map(Line::Row).collect())
    }

    /// From the start of the first to that of the last window that is shown at first.
    fn last_windows(&self, metric: &StoredMetric) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let series = self.reader.series(metric.id)?;
        let extent = self.reader.extent(metric, &series)?;
        let span = metric.catalogue.length().map_or(SPAN, |length| length.0.saturating_mul(WINDOWS));
        Ok(extent.map(|extent| (extent.first.max(Timestamp(extent.last.0.saturating_sub(span))), extent.last)))
    }

    /// The points whose windows start in this range, and what was told of it and is there no more.
    fn rows_of(
        &mut self,
        metric: &StoredMetric,
        range: (Timestamp, Timestamp),
        rows: &mut Vec<Row>,
    ) -> Result<(), StoreError> {
        let catalogue = &metric.catalogue;
        let before = self.forget(metric.id, range);
        let mut found: HashSet<(Timestamp, Place)> = HashSet::new();
        for series in self.reader.series(metric.id)? {
            let groups = catalogue.groups.iter().cloned().zip(series.groups.iter().map(cell));
            let groups: Vec<(String, Cell)> = groups.collect();
            let key = key_of(&series.groups);
            self.reader.points(metric, series.id, range, |point| {
                let fields = catalogue.fields.iter().map(|field| field.name.clone());
                let fields = fields.zip(point.values.iter().map(cell));
                found.insert((point.window.start, (point.window.end, key.clone())));
                rows.push(Row {
                    metric: catalogue.name.clone(),
                    window: point.window,
                    cells: groups.iter().cloned().chain(fields).collect(),
                    group_count: Some(groups.len()),
                    rank: point.rank,
                    revision: point.revision.into(),
                    is_final: point.is_final,
                    retracted: false,
                });
            })?;
        }
        for (start, (end, key)) in before.difference(&found) {
            rows.push(taken_back(metric, Window::new(*start, *end), key));
        }
        let horizon = catalogue.length().map_or(SPAN, |length| length.0.saturating_mul(WINDOWS));
        let oldest = Timestamp(range.1.0.saturating_sub(horizon));
        for (start, place) in found.into_iter().filter(|(start, _)| *start >= oldest) {
            self.told.entry((metric.id, start)).or_default().insert(place);
        }
        self.told.retain(|(id, start), _| *id != metric.id || *start >= oldest);
        Ok(())
    }

    /// Takes out what was told of the windows that start in this range.
    fn forget(&mut self, metric: i64, (first, until): (Timestamp, Timestamp)) -> HashSet<(Timestamp, Place)> {
        let told = self.told.extract_if((metric, first)..(metric, until), |_, _| true);
        told.flat_map(|((_, start), places)| places.into_iter().map(move |place| (start, place))).collect()
    }
}

impl Feed for StoreFeed {
    fn next(&mut self) -> Result<Option<Batch>, FeedError> {
        loop {
            let is_first = self.seen.is_none();
            let lines = self.look()?;
            if !lines.is_empty() {
                return Ok(Some(Batch { lines, arrival: None }));
            }
            if !self.is_followed && !is_first {
                return Ok(None);
            }
            if self.is_followed {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Int(number) => Cell::Number(*number as f64),
        Value::Float(number) => Cell::Number(*number),
        Value::Text(text) | Value::Json(text) => Cell::Text(text.to_string()),
        Value::Array(_) => Cell::Array,
        other => Cell::Text(other.to_json().trim_matches('"').to_owned()),
    }
}

fn key_of(groups: &[Value]) -> String {
    Value::Array(groups.to_vec()).to_json()
}

/// The row of a point that is gone.
fn taken_back(metric: &StoredMetric, window: Window, key: &str) -> Row {
    let groups: Vec<Cell> = serde_json::from_str(key).unwrap_or_default();
    Row {
        metric: metric.catalogue.name.clone(),
        window,
        group_count: Some(groups.len()),
        cells: metric.catalogue.groups.iter().cloned().zip(groups).collect(),
        rank: None,
        revision: u64::MAX,
        is_final: true,
        retracted: true,
    }
}
