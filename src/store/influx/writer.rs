//! Rows into a bucket: points for everybody, entries for evquery, roll-ups and the catalogue.
//!
//! Rows wait in memory until they are flushed, of each point the newest revision only; then what they take back is deleted, they
//! are written, and their roll-ups after them. One request is under way at a time, so that no revision overtakes another. A row that
//! the server refuses is given back with its words. Whoever writes the same rows again overwrites equal with equal.
//! Knows nothing of where rows come from and of when they are flushed.

mod backfill;
mod open;

use std::ops::ControlFlow;
use std::time::Duration;

use hashbrown::HashTable;

use crate::codec::encode::line_protocol::{MetricKeys, stored_tag};
use crate::metric::Metric;
use crate::store::catalogue::{Catalogue, DAY, WindowKind};
use crate::store::entry::{Entry, key_of};
use crate::store::influx::ask::{Portion, bring_in};
use crate::store::influx::batch::Batch;
use crate::store::influx::client::Client;
use crate::store::influx::deliver::{Delivery, Lease, WriteError, halves};
use crate::store::influx::form::{self, EntryLines, PointTime};
use crate::store::influx::rollups::{RollUps, Touch};
use crate::store::influx::tags::Tags;
use crate::store::payload::Form;
use crate::time::{Timestamp, Window};
use crate::value::Value;
use crate::window::key;

pub use crate::store::influx::writer::open::OpenError;

/// A request has at most so many lines and, before it is compressed, bytes; a longer line goes alone.
const LINES_MAX: usize = 5_000;
const BYTES_MAX: usize = 2 << 20;

/// Rows are flushed once there are so many, or their lines so long.
const ROWS_MANY: usize = 20_000;
const BYTES_MANY: usize = 8 << 20;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterSettings {
    /// Which end of its window a point stands at.
    pub point_time: PointTime,
    /// Whether points are all that is written.
    pub points_only: bool,
    /// How long what fails is tried again.
    pub retry_for: Duration,
}

/// A row that could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedPoint {
    /// Its number among all rows, from 1; 0 of a roll-up.
    pub number: u64,
    /// Its line.
    pub line: Vec<u8>,
    /// Why.
    pub words: String,
}

/// Why a metric of this kind can't stand at these times; `None` if it can.
pub fn reason_against(catalogue: &Catalogue, point_time: PointTime) -> Option<&'static str> {
    match (catalogue.window, point_time) {
        (WindowKind::Global, _) => Some("a point needs a time, and the one window over everything has none"),
        (WindowKind::Cumulative { .. }, PointTime::Start) => {
            Some("growing windows share their start, and so their points would overwrite each other")
        }
        _ => None,
    }
}

/// A column whose name InfluxDB keeps to itself: points with it are refused, or can't be asked for.
pub fn reserved_column(catalogue: &Catalogue) -> Option<&str> {
    let names = catalogue.groups.iter().chain(catalogue.fields.iter().map(|field| &field.name));
    names.map(String::as_str).find(|name| matches!(*name, "time" | "_field" | "_measurement"))
}

/// A name of a metric or a field that InfluxDB takes for another: it reads a backslash before a blank, a comma or `=` as one that
/// belongs to them, and then finds no such metric, or refuses the field.
pub fn misread_name(catalogue: &Catalogue) -> Option<&str> {
    let names = std::iter::once(&catalogue.name).chain(catalogue.fields.iter().map(|field| &field.name));
    let is_misread = |name: &&str| name.ends_with('\\') || ["\\ ", "\\,", "\\="].iter().any(|pair| name.contains(pair));
    names.map(String::as_str).find(is_misread)
}

/// One metric that is written.
#[derive(Debug)]
struct OfMetric {
    catalogue: Catalogue,
    /// The query that makes it, as flags and their values.
    query: Vec<(String, String)>,
    keys: MetricKeys,
    form: Form,
    entries: EntryLines,
    roll_ups: Option<RollUps>,
    tags: Tags,
}

/// A row that waits.
#[derive(Debug)]
struct Waiting {
    metric: usize,
    /// Its number among all rows, from 1.
    number: u64,
    key: Box<[u8]>,
    window: Window,
    /// The point's line; empty where there is none.
    line: Box<[u8]>,
    entry: Box<[u8]>,
    /// Entries of other windows whose points stand at the same time, and came before.
    aside: Vec<u8>,
    /// For the roll-ups.
    state: Option<Box<[u8]>>,
    /// The point that stands there must go first.
    deletes: bool,
}

impl Waiting {
    /// Of the point that it is.
    fn hash(&self, point_time: PointTime) -> u64 {
        let time = point_time.of(self.window);
        rapidhash::v3::rapidhash_v3(&self.key) ^ (time as u64 ^ self.metric as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// Whether both are the same point.
    fn is_of(&self, other: &Waiting, point_time: PointTime) -> bool {
        let time = |one: &Waiting| point_time.of(one.window);
        self.metric == other.metric && time(self) == time(other) && self.key == other.key
    }

    fn size(&self) -> usize {
        let state = self.state.as_ref().map_or(0, |state| state.len());
        self.key.len() + self.line.len() + self.entry.len() + self.aside.len() + state
    }
}

/// Writes rows to one bucket.
#[derive(Debug)]
pub struct InfluxWriter {
    delivery: Delivery,
    bucket: String,
    settings: WriterSettings,
    /// By `Metric::metric`.
    metrics: Vec<Option<OfMetric>>,
    /// What waits, in the order of its first row; `None` where something newer has come.
    waiting: Vec<Option<Waiting>>,
    /// Where in `waiting` the newest of each metric, group and time of the point stands.
    places: HashTable<usize>,
    bytes: usize,
    rows: u64,
    rejected: Vec<RejectedPoint>,
    rejected_count: u64,
    not_taken_back: u64,
    /// The day at which the catalogues were written last.
    catalogued: Option<i64>,
    /// The time of the points that tell how far a backfill has come, in microseconds.
    backfill_at: Option<i64>,
    scratch: Vec<u8>,
    line: Vec<u8>,
    entry: Vec<u8>,
    batch: Batch,
}

impl InfluxWriter {
    /// A writer of these metrics by `Metric::metric`; of those that are `None` it takes no rows. Nothing is sent yet.
    pub fn new(client: Client, catalogues: Vec<Option<Catalogue>>, settings: WriterSettings) -> InfluxWriter {
        let of_metric = |catalogue: Catalogue| {
            let counts: Vec<bool> = catalogue.fields.iter().map(|field| field.function.is_count()).collect();
            OfMetric {
                keys: MetricKeys::new(&catalogue.schema(), &counts),
                form: Form::of(&catalogue),
                entries: EntryLines::of(&catalogue),
                roll_ups: RollUps::of(&catalogue, settings.point_time).filter(|_| !settings.points_only),
                tags: Tags::default(),
                query: Vec::new(),
                catalogue,
            }
        };
        InfluxWriter {
            bucket: client.target().address.bucket.clone(),
            delivery: Delivery::new(client, settings.retry_for),
            settings,
            metrics: catalogues.into_iter().map(|catalogue| catalogue.map(of_metric)).collect(),
            waiting: Vec::new(),
            places: HashTable::new(),
            bytes: 0,
            rows: 0,
            rejected: Vec::new(),
            rejected_count: 0,
            not_taken_back: 0,
            catalogued: None,
            backfill_at: None,
            scratch: Vec::new(),
            line: Vec::new(),
            entry: Vec::new(),
            batch: Batch::default(),
        }
    }

    /// The same, which keeps the queries of these metrics beside their catalogues: flags and their values.
    pub fn with_queries(mut self, queries: &[Vec<(String, String)>]) -> InfluxWriter {
        for (of, query) in self.metrics.iter_mut().zip(queries) {
            of.iter_mut().for_each(|of| of.query.clone_from(query));
        }
        self
    }

    /// The bucket in the user's words.
    pub fn name(&self) -> String {
        self.delivery.client().target().address.to_string()
    }

    /// By metric: whether its rows must carry their state.
    pub fn keeps_states(&self) -> Vec<bool> {
        let keeps = |of: &OfMetric| !self.settings.points_only && of.form.has_states();
        self.metrics.iter().map(|of| of.as_ref().is_some_and(keeps)).collect()
    }

    /// Takes a row. Early ones are passed over.
    pub fn push(&mut self, row: &Metric) -> Result<(), WriteError> {
        let Some(of) = self.metrics[row.metric].as_mut().filter(|_| row.is_final) else { return Ok(()) };
        self.rows += 1;
        let number = self.rows;
        let key: Box<[u8]> = key::key_of(&row.groups).into();
        let time = self.settings.point_time.of(row.window);
        let (line, entry) = (&mut self.line, &mut self.entry);
        line.clear();
        entry.clear();
        of.keys.push_series(&row.groups, &mut self.scratch, line);
        let is_taken = of.tags.is_taken(&row.groups, line, &key);
        let has_fields = match form::nanoseconds(time) {
            Some(nanoseconds) => of.keys.push_fields(&row.aggregates, nanoseconds, &mut self.scratch, line),
            None => false,
        };
        if is_taken || form::nanoseconds(time).is_none() || form::nanoseconds(row.window.start.0).is_none() {
            let words = match is_taken {
                true => "its tags are those of another group, which differs in type only: a tag is a text",
                false => "its window is outside of the years 1677 to 2262",
            };
            let line = std::mem::take(line);
            self.reject(number, line, words.to_owned());
            return Ok(());
        }
        let mut state = None;
        if !self.settings.points_only {
            let tag = form::series_tag(&key);
            let (start, length) = key_of(row.window);
            if row.retracted {
                of.entries.push(&tag, (start, length), None, entry);
            } else {
                let mut payload = Vec::new();
                let written = of.form.write(row, &mut payload);
                let has_state = written.map_err(|fault| WriteError::damaged("a row", fault))?;
                let stored = Entry {
                    start,
                    length,
                    revision: row.revision,
                    rank: row.rank,
                    is_final: true,
                    has_state,
                    payload: &payload,
                };
                of.entries.push(&tag, (start, length), Some(&stored), entry);
                if of.roll_ups.is_some() {
                    let of_row = of.form.state(crate::store::Grain::Points, &stored);
                    state = of_row.map_err(|fault| WriteError::damaged("a row", fault))?.map(Box::from);
                }
            }
        }
        if row.retracted || !has_fields {
            line.clear();
        }
        let new = Waiting {
            metric: row.metric,
            number,
            key,
            window: row.window,
            line: line.as_slice().into(),
            entry: entry.as_slice().into(),
            aside: Vec::new(),
            state,
            // Fields merge: one that is NULL by now would stay as it was.
            deletes: row.retracted || (row.revision > 0 && row.aggregates.contains(&Value::Null)),
        };
        self.put(new, row.retracted);
        Ok(())
    }

    /// Has a row wait, in place of an older one of its point.
    fn put(&mut self, mut new: Waiting, is_retracted: bool) {
        let point_time = self.settings.point_time;
        let hash = |waiting: &Waiting| waiting.hash(point_time);
        let InfluxWriter { waiting, places, metrics, .. } = self;
        let hash_at = |place: &usize| waiting[*place].as_ref().map_or(0, hash);
        let is_same = |place: &usize| waiting[*place].as_ref().is_some_and(|known| known.is_of(&new, point_time));
        match places.entry(hash(&new), is_same, hash_at) {
            hashbrown::hash_table::Entry::Vacant(place) => drop(place.insert(waiting.len())),
            hashbrown::hash_table::Entry::Occupied(mut place) => {
                let mut before = waiting[*place.get()].take().expect("what is in place waits");
                *place.get_mut() = waiting.len();
                self.bytes -= before.size();
                if before.window != new.window && is_retracted {
                    // Another window with its point at the same time, which is the newer.
                    before.aside.extend_from_slice(&new.entry);
                    before.deletes |= new.deletes;
                    new = before;
                } else {
                    new.aside = before.aside;
                    // What becomes of another window's entry must be said, too.
                    let entries = metrics[new.metric].as_ref().map(|of| &of.entries);
                    let windows = (key_of(before.window), key_of(new.window));
                    if !entries.is_some_and(|entries| entries.share_place(windows.0, windows.1)) {
                        new.aside.extend_from_slice(&before.entry);
                    }
                    new.deletes |= before.deletes;
                }
            }
        }
        self.bytes += new.size();
        self.waiting.push(Some(new));
    }

    /// Whether any row waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether so many rows wait that they are to be flushed.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= ROWS_MANY || self.bytes >= BYTES_MANY
    }

    /// Forgets the rows that wait, and what is stored: somebody else may write from now on.
    pub fn clear(&mut self) {
        self.take_waiting();
        self.metrics.iter_mut().flatten().filter_map(|of| of.roll_ups.as_mut()).for_each(RollUps::forget);
    }

    fn take_waiting(&mut self) -> Vec<Waiting> {
        self.places.clear();
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into_iter().flatten().collect()
    }

    /// Writes what waits: when this returns, the server has acknowledged all of it but what it refused. `now` is in microseconds.
    pub fn flush(&mut self, now: i64, lease: &mut dyn Lease) -> Result<(), WriteError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = self.take_waiting();
        for row in rows.iter().filter(|row| row.deletes) {
            self.delete(row, lease)?;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let mut are_entries = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            for (lines, is_entry) in [(&*row.line, false), (&row.aside, true), (&row.entry, true)] {
                for line in lines.split_inclusive(|&byte| byte == b'\n') {
                    are_entries.push(is_entry);
                    batch.push(index as u32, |out| {
                        out.extend_from_slice(line);
                        true
                    });
                }
            }
        }
        let bucket = self.bucket.clone();
        let refused = self.write(&bucket, &batch, lease)?;
        // Roll-ups are made of entries: a row counts there as long as its own is stored, whatever became of its point.
        let mut has_entry = vec![true; rows.len()];
        let mut is_told = vec![false; rows.len()];
        for (line, words) in refused {
            let row = batch.row(line) as usize;
            has_entry[row] &= !are_entries[line];
            if !std::mem::replace(&mut is_told[row], true) {
                self.reject(rows[row].number, batch.text(line..line + 1).to_vec(), words);
            }
        }
        self.batch = batch;
        if !self.settings.points_only {
            if self.catalogued.is_some_and(|day| now.div_euclid(DAY) != day) {
                self.write_catalogues(now, lease)?;
            }
            self.roll_up(rows, &has_entry, lease)?;
        }
        Ok(())
    }

    /// Rows that could not be written, since this was asked last.
    pub fn take_rejected(&mut self) -> Vec<RejectedPoint> {
        std::mem::take(&mut self.rejected)
    }

    /// How many rows could not be written so far.
    pub fn rejected(&self) -> u64 {
        self.rejected_count
    }

    /// Points that no longer hold and still stand: a group column is NULL, and servers can't delete what has no tag.
    pub fn not_taken_back(&self) -> u64 {
        self.not_taken_back
    }

    fn reject(&mut self, number: u64, line: Vec<u8>, words: String) {
        self.rejected_count += 1;
        self.rejected.push(RejectedPoint { number, line, words });
    }

    /// Writes a batch in pieces; gives the lines that were refused.
    fn write(
        &mut self,
        bucket: &str,
        batch: &Batch,
        lease: &mut dyn Lease,
    ) -> Result<Vec<(usize, String)>, WriteError> {
        let found = self.delivery.write(bucket, batch, batch.pieces(LINES_MAX, BYTES_MAX), lease)?;
        Ok(found.into_iter().map(|refusal| (refusal.line, refusal.words)).collect())
    }

    fn delete(&mut self, row: &Waiting, lease: &mut dyn Lease) -> Result<(), WriteError> {
        let of = self.metrics[row.metric].as_ref().expect("what waits is of a metric that is written");
        let groups = key::groups_of(&row.key);
        if groups.contains(&Value::Null) {
            self.not_taken_back += 1;
            return Ok(());
        }
        let mut predicate = format!("_measurement={}", predicate_text(&of.catalogue.name));
        for (column, value) in of.catalogue.groups.iter().zip(&groups) {
            predicate.push_str(&format!(" AND {}={}", predicate_text(column), predicate_text(&stored_tag(value))));
        }
        let time = Timestamp(self.settings.point_time.of(row.window));
        let (bucket, most) = (self.bucket.clone(), self.delivery.client().patience().write);
        self.delivery.again(lease, |client, limit, _| client.delete(&bucket, (time, time), &predicate, limit.min(most)))
    }

    /// Writes lines that are of no row.
    fn write_aside(&mut self, bucket: &str, batch: &Batch, lease: &mut dyn Lease) -> Result<(), WriteError> {
        for (line, words) in self.write(bucket, batch, lease)? {
            self.reject(0, batch.text(line..line + 1).to_vec(), words);
        }
        Ok(())
    }

    /// Brings the roll-ups of these rows up to date, as far as their entries are stored: of as many rows at once as memory has room
    /// for what their roll-ups are made of.
    fn roll_up(&mut self, rows: Vec<Waiting>, has_entry: &[bool], lease: &mut dyn Lease) -> Result<(), WriteError> {
        let mut touches: Vec<Vec<Touch>> = self.metrics.iter().map(|_| Vec::new()).collect();
        for (row, _) in rows.into_iter().zip(has_entry).filter(|(_, has_entry)| **has_entry) {
            if let Some(state) = row.state {
                touches[row.metric].push(Touch { key: row.key, start: row.window.start.0, state });
            }
        }
        let buckets = (self.bucket.clone(), form::roll_ups_of(&self.bucket));
        let mut batch = Batch::default();
        for (metric, mut touches) in touches.into_iter().enumerate().filter(|(_, touches)| !touches.is_empty()) {
            let Some(roll_ups) = self.metrics[metric].as_mut().and_then(|of| of.roll_ups.as_mut()) else { continue };
            let firsts = roll_ups.order(&mut touches);
            let touch = |span: usize| firsts.get(span).copied().unwrap_or(touches.len());
            let whole = 0..firsts.len();
            let mut left = vec![whole];
            while let Some(spans) = left.pop() {
                let Some(roll_ups) = self.metrics[metric].as_mut().and_then(|of| of.roll_ups.as_mut()) else { break };
                let is_least = spans.len() == 1;
                let portion = Portion { touches: &touches[touch(spans.start)..touch(spans.end)], is_least };
                match bring_in(&mut self.delivery, (&buckets.0, &buckets.1), portion, roll_ups, lease) {
                    Ok(ControlFlow::Continue(())) => {
                        let applied = roll_ups.apply(portion.touches, &mut batch);
                        applied.map_err(|fault| WriteError::damaged(&buckets.1, fault))?;
                    }
                    Ok(ControlFlow::Break(())) => {
                        roll_ups.let_go(portion.touches);
                        left.extend(halves(spans));
                    }
                    Err(error) => {
                        // What is half known would be taken for the whole.
                        roll_ups.forget();
                        return Err(error);
                    }
                }
                if !left.is_empty() {
                    // What is let go of from here on is read back from the server.
                    self.write_aside(&buckets.1, &batch, lease)?;
                    batch.clear();
                }
            }
        }
        self.write_aside(&buckets.1, &batch, lease)
    }
}

/// A text as predicates of deletion write it.
fn predicate_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
