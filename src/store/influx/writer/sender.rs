//! Sends what has waited: takes back what no longer holds, writes lines, and their roll-ups after them.
//!
//! One request is under way at a time, so that no revision overtakes another. A row that the server refuses is given back with its
//! words. Knows nothing of how rows become lines, and of when they are sent.

use std::ops::ControlFlow;

use crate::codec::encode::line_protocol::stored_tag;
use crate::store::catalogue::{Catalogue, DAY};
use crate::store::influx::ask::{Portion, bring_in};
use crate::store::influx::batch::Batch;
use crate::store::influx::client::Client;
use crate::store::influx::deliver::{Delivery, Lease, Pieces, WriteError, halves};
use crate::store::influx::form;
use crate::store::influx::rollups::{RollUps, Touch};
use crate::store::influx::writer::waiting::{Load, WaitingRow};
use crate::store::influx::writer::{RejectedPoint, WriterSettings};
use crate::time::Timestamp;
use crate::value::Value;
use crate::window::key;

/// A request has at most so many lines and, before it is compressed, bytes; a longer line goes alone.
const LINES_MAX: usize = 5_000;
const BYTES_MAX: usize = 2 << 20;

/// One metric that is written.
#[derive(Debug)]
pub(crate) struct OfMetric {
    pub catalogue: Catalogue,
    /// The query that makes it, as flags and their values.
    pub query: Vec<(String, String)>,
    pub roll_ups: Option<RollUps>,
}

/// A load, ready to be sent.
#[derive(Debug)]
pub(crate) struct Ready {
    load: Load,
    pieces: Pieces,
}

impl Ready {
    /// Cuts a load, and compresses what is sent first.
    pub fn of(load: Load) -> Ready {
        Ready { pieces: Pieces::of(&load.batch, LINES_MAX, BYTES_MAX), load }
    }
}

/// Writes to one bucket.
#[derive(Debug)]
pub(crate) struct Sender {
    pub delivery: Delivery,
    pub bucket: String,
    pub settings: WriterSettings,
    /// By `Metric::metric`.
    pub metrics: Vec<Option<OfMetric>>,
    rejected: Vec<RejectedPoint>,
    not_taken_back: u64,
    /// The day at which the catalogues were written last.
    pub catalogued: Option<i64>,
    /// The time of the points that tell how far a backfill has come, in microseconds.
    pub backfill_at: Option<i64>,
    /// A load that was sent: its memory.
    pub spare: Option<Load>,
}

impl Sender {
    /// One for these metrics by `Metric::metric`. Nothing is sent yet.
    pub fn new(client: Client, catalogues: Vec<Option<Catalogue>>, settings: WriterSettings) -> Sender {
        let of_metric = |catalogue: Catalogue| OfMetric {
            roll_ups: RollUps::of(&catalogue, settings.point_time).filter(|_| !settings.points_only),
            query: Vec::new(),
            catalogue,
        };
        Sender {
            bucket: client.target().address.bucket.clone(),
            delivery: Delivery::new(client, settings.retry_for),
            settings,
            metrics: catalogues.into_iter().map(|catalogue| catalogue.map(of_metric)).collect(),
            rejected: Vec::new(),
            not_taken_back: 0,
            catalogued: None,
            backfill_at: None,
            spare: None,
        }
    }

    /// The bucket in the user's words.
    pub fn name(&self) -> String {
        self.delivery.client().target().address.to_string()
    }

    /// Forgets what is stored: somebody else may write from now on.
    pub fn forget(&mut self) {
        self.metrics.iter_mut().flatten().filter_map(|of| of.roll_ups.as_mut()).for_each(RollUps::forget);
    }

    /// Writes a load: when this returns, the server has acknowledged all of it but what it refused. `now` is in microseconds.
    pub fn send(&mut self, ready: Ready, now: i64, lease: &mut dyn Lease) -> Result<(), WriteError> {
        let Ready { load, pieces } = ready;
        let Load { rows, batch, are_entries, .. } = &load;
        for row in rows.iter().filter(|row| row.deletes) {
            self.delete(row, load.key(row), lease)?;
        }
        let refused = self.delivery.write(&self.bucket, batch, pieces, lease)?;
        // Roll-ups are made of entries: a row counts there as long as its own is stored, whatever became of its point.
        let mut has_entry = vec![true; rows.len()];
        let mut is_told = vec![false; rows.len()];
        for refusal in refused {
            let (line, row) = (refusal.line, batch.row(refusal.line) as usize);
            has_entry[row] &= !are_entries[line];
            if !std::mem::replace(&mut is_told[row], true) {
                self.reject(rows[row].number, batch.text(line..line + 1).to_vec(), refusal.words);
            }
        }
        if !self.settings.points_only {
            if self.catalogued.is_some_and(|day| now.div_euclid(DAY) != day) {
                self.write_catalogues(now, lease)?;
            }
            self.roll_up(&load, &has_entry, lease)?;
        }
        self.spare = Some(load);
        Ok(())
    }

    /// Rows that could not be written, since this was asked last.
    pub fn take_rejected(&mut self) -> Vec<RejectedPoint> {
        std::mem::take(&mut self.rejected)
    }

    /// Points that no longer hold and still stand: a group column is NULL, and servers can't delete what has no tag.
    pub fn not_taken_back(&self) -> u64 {
        self.not_taken_back
    }

    fn reject(&mut self, number: u64, line: Vec<u8>, words: String) {
        self.rejected.push(RejectedPoint { number, line, words });
    }

    /// Writes lines that are of no row. Those that are refused are rejects.
    pub fn write_aside(&mut self, bucket: &str, batch: &Batch, lease: &mut dyn Lease) -> Result<(), WriteError> {
        let pieces = Pieces::of(batch, LINES_MAX, BYTES_MAX);
        for refusal in self.delivery.write(bucket, batch, pieces, lease)? {
            self.reject(0, batch.text(refusal.line..refusal.line + 1).to_vec(), refusal.words);
        }
        Ok(())
    }

    fn delete(&mut self, row: &WaitingRow, key: &[u8], lease: &mut dyn Lease) -> Result<(), WriteError> {
        let of = self.metrics[row.metric].as_ref().expect("what waits is of a metric that is written");
        let (bucket, name) = (self.bucket.clone(), of.catalogue.name.clone());
        let time = self.settings.point_time.of(row.window);
        self.delete_point((&bucket, &name), (row.metric, key), time, lease)
    }

    /// Deletes the point of a metric's group at this time, in microseconds, from a measurement of a bucket. One with a NULL in a group
    /// column stays, and is counted.
    pub fn delete_point(
        &mut self,
        (bucket, measurement): (&str, &str),
        (metric, key): (usize, &[u8]),
        time: i64,
        lease: &mut dyn Lease,
    ) -> Result<(), WriteError> {
        let of = self.metrics[metric].as_ref().expect("what is deleted is of a metric that is written");
        let groups = key::groups_of(key);
        if groups.contains(&Value::Null) {
            self.not_taken_back += 1;
            return Ok(());
        }
        let mut predicate = format!("_measurement={}", predicate_text(measurement));
        for (column, value) in of.catalogue.groups.iter().zip(&*groups) {
            predicate.push_str(&format!(" AND {}={}", predicate_text(column), predicate_text(&stored_tag(value))));
        }
        let (time, most) = (Timestamp(time), self.delivery.client().patience().write);
        self.delivery.again(lease, |client, limit, _| client.delete(bucket, (time, time), &predicate, limit.min(most)))
    }

    /// Brings the roll-ups of these rows up to date, as far as their entries are stored: of as many rows at once as memory has room
    /// for what their roll-ups are made of.
    fn roll_up(&mut self, load: &Load, has_entry: &[bool], lease: &mut dyn Lease) -> Result<(), WriteError> {
        let mut touches: Vec<Vec<Touch>> = self.metrics.iter().map(|_| Vec::new()).collect();
        for (row, _) in load.rows.iter().zip(has_entry).filter(|(_, has_entry)| **has_entry) {
            if let Some(state) = load.state(row) {
                let (key, start) = (load.key(row).into(), row.window.start.0);
                touches[row.metric].push(Touch { key, start, state: Some(state.into()) });
            }
        }
        self.bring_up_to_date(touches, lease)
    }

    /// The same of points that were written, or go, by metric.
    pub fn bring_up_to_date(&mut self, touches: Vec<Vec<Touch>>, lease: &mut dyn Lease) -> Result<(), WriteError> {
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
pub(crate) fn predicate_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
