//! Rows on their way to buckets: who takes which, and when they are due.
//!
//! Knows nothing of how points are written, and nothing of where rows come from.

use crate::sink::side::{RejectRecord, push_record};
use crate::store::influx::{Client, InfluxWriter, Lease, OpenError, Patience, Target, WriteError, WriterSettings};
use crate::store::{Catalogue, Note, Progress};
use crate::time::{Duration, Timestamp};
use crate::window::Output;

/// Rows wait at most so long while others come.
const INTERVAL: Duration = Duration(500_000);

/// A bucket, and what it takes.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// Where, and by which token.
    pub target: Target,
    /// How long is waited.
    pub patience: Patience,
    /// What the metrics are by number; `None` of those that are not for it.
    pub catalogues: Vec<Option<Catalogue>>,
    /// The queries that make the metrics, by number, as flags and their values.
    pub queries: Vec<Vec<(String, String)>>,
    /// How rows are written.
    pub settings: WriterSettings,
}

/// All buckets of a run.
#[derive(Default)]
pub struct Buckets {
    all: Vec<InfluxWriter>,
    /// Since when rows have been waiting, or been under way.
    since: Option<Timestamp>,
}

impl Buckets {
    /// Opens the buckets: each must be there, and hold nothing that another query made of the same names. With `reset` what they have of
    /// these names is dropped first.
    pub fn open(
        configs: &[BucketConfig],
        reset: bool,
        now: Timestamp,
        lease: &mut dyn Lease,
    ) -> Result<Buckets, OpenError> {
        let mut all = Vec::new();
        for config in configs {
            let client = Client::new(config.target.clone(), config.patience);
            let mut writer = InfluxWriter::new(client, config.catalogues.clone(), config.settings);
            writer.open(&config.queries, reset, now.0, lease)?;
            all.push(writer);
        }
        Ok(Buckets { all, since: None })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// By metric: whether its rows must carry their state.
    pub fn keeps_states(&self) -> Vec<bool> {
        let mut keeps: Vec<bool> = Vec::new();
        for writer in &self.all {
            let own = writer.keeps_states();
            keeps.resize(keeps.len().max(own.len()), false);
            keeps.iter_mut().zip(own).for_each(|(keeps, own)| *keeps |= own);
        }
        keeps
    }

    /// Takes rows; what is too much to wait is written while the caller goes on, each bucket's with a lease of its own. What fails
    /// of it the next call says.
    pub fn write(
        &mut self,
        outputs: &[Output],
        now: Timestamp,
        lease: &(impl Lease + Clone + Send + 'static),
    ) -> Result<(), WriteError> {
        let mut rest = outputs;
        while !rest.is_empty() && !self.all.is_empty() {
            rest = &rest[self.take(rest, now)?..];
            if self.is_full() {
                // What is under way is as good as waiting, until it is acknowledged.
                self.since = Some(now);
                self.all.iter_mut().try_for_each(|writer| writer.begin_flush(now.0, Box::new(lease.clone())))?;
            }
        }
        Ok(())
    }

    /// Takes the first of some outputs, until a bucket is full. Gives how many it has taken.
    pub fn take(&mut self, outputs: &[Output], now: Timestamp) -> Result<usize, WriteError> {
        for (index, output) in outputs.iter().enumerate() {
            let Output::Row(row) = output else { continue };
            self.all.iter_mut().try_for_each(|writer| writer.push(row))?;
            self.since = self.since.or(Some(now));
            if self.is_full() {
                return Ok(index + 1);
            }
        }
        Ok(outputs.len())
    }

    /// Whether so many rows wait that they are to be written.
    pub fn is_full(&self) -> bool {
        self.all.iter().any(InfluxWriter::is_full)
    }

    /// When what waits is to be written at the latest; `None` where all is acknowledged.
    pub fn due(&self) -> Option<Timestamp> {
        self.since.map(|since| Timestamp(since.0.saturating_add(INTERVAL.0)))
    }

    /// Writes what waits: when this returns, the servers have acknowledged it.
    pub fn flush(&mut self, now: Timestamp, lease: &mut dyn Lease) -> Result<(), WriteError> {
        self.since = None;
        self.all.iter_mut().try_for_each(|writer| writer.flush(now.0, lease))
    }

    /// By bucket, what an earlier run has remembered of a backfill.
    pub fn progress(&mut self, lease: &mut dyn Lease) -> Result<Vec<Option<Progress>>, WriteError> {
        self.all.iter_mut().map(|writer| writer.progress(lease)).collect()
    }

    /// Remembers how far a backfill has come: nothing must wait.
    pub fn note(&mut self, note: Note, now: Timestamp, lease: &mut dyn Lease) -> Result<(), WriteError> {
        self.all.iter_mut().try_for_each(|writer| writer.note(note, now.0, lease))
    }

    /// Windows in `range` are made anew from now on, all of those that end after `made`.
    pub fn begin_rewriting(&mut self, range: (Timestamp, Timestamp), made: Option<Timestamp>) {
        self.all.iter_mut().for_each(|writer| writer.begin_rewriting(range, made));
    }

    /// Whether so much is remembered of what was made anew that what it lacks is to be taken back soon.
    pub fn remembers_much(&self) -> bool {
        self.all.iter().any(InfluxWriter::remembers_much)
    }

    /// Takes back what windows made anew that end by `complete` have no more: nothing must wait.
    pub fn take_back(&mut self, complete: Timestamp, lease: &mut dyn Lease) -> Result<(), WriteError> {
        self.all.iter_mut().try_for_each(|writer| writer.take_back(complete, lease))
    }

    /// Points that windows made anew have no more, and that were taken back.
    pub fn taken_back(&self) -> u64 {
        self.all.iter().map(InfluxWriter::taken_back).sum()
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.since = None;
        self.all.iter_mut().for_each(InfluxWriter::clear);
    }

    /// Rows that could not be written so far.
    pub fn rejected(&self) -> u64 {
        self.all.iter().map(InfluxWriter::rejected).sum()
    }

    /// Points that no longer hold and could not be deleted.
    pub fn not_taken_back(&self) -> u64 {
        self.all.iter().map(InfluxWriter::not_taken_back).sum()
    }

    /// The rejects since this was asked last, as they are written aside: each with its line feed. Of a line no more than so many bytes.
    pub fn take_rejects(&mut self, payload_bytes_max: usize) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for writer in &mut self.all {
            for point in writer.take_rejected() {
                let mut record = Vec::new();
                let payload = point.line.strip_suffix(b"\n").unwrap_or(&point.line);
                let told = RejectRecord {
                    source: writer.name(),
                    offset: None,
                    line: point.number,
                    byte: 0,
                    reason: &point.words,
                    pointer: None,
                    attempt: None,
                    payload,
                };
                push_record(&told, payload_bytes_max, &mut record);
                records.push(record);
            }
        }
        records
    }
}
