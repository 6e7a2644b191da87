//! Rows into a bucket: points for everybody, entries for evquery, roll-ups and the catalogue.
//!
//! Rows wait in memory until there are enough of them, or until they are flushed (`waiting`), and are sent then (`sender`): by who
//! flushes, or by a thread of their own while the next ones come (`away`). One load is under way at a time. Whoever writes the same
//! rows again overwrites equal with equal.
//! Knows nothing of where rows come from and of when they are flushed.

mod away;
mod backfill;
mod open;
mod rewrite;
mod sender;
mod waiting;

use std::time::Duration;

use crate::metric::Metric;
use crate::store::catalogue::{Catalogue, WindowKind};
use crate::store::influx::client::Client;
use crate::store::influx::deliver::{Lease, WriteError};
use crate::store::influx::form::PointTime;
use crate::store::influx::writer::away::Courier;
use crate::store::influx::writer::rewrite::Rewrite;
use crate::store::influx::writer::sender::{Ready, Sender};
use crate::store::influx::writer::waiting::Waiting;
use crate::store::progress::{Note, Progress};

pub use crate::store::influx::writer::open::OpenError;

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

/// Writes rows to one bucket.
#[derive(Debug)]
pub struct InfluxWriter {
    waiting: Waiting,
    courier: Courier,
    /// Where windows of a span are made anew.
    rewrite: Option<Rewrite>,
    name: String,
    rejected: Vec<RejectedPoint>,
    rejected_count: u64,
    not_taken_back: u64,
}

impl InfluxWriter {
    /// A writer of these metrics by `Metric::metric`; of those that are `None` it takes no rows. Nothing is sent yet.
    pub fn new(client: Client, catalogues: Vec<Option<Catalogue>>, settings: WriterSettings) -> InfluxWriter {
        InfluxWriter {
            waiting: Waiting::new(&catalogues, settings),
            name: client.target().address.to_string(),
            courier: Courier::new(Sender::new(client, catalogues, settings)),
            rewrite: None,
            rejected: Vec::new(),
            rejected_count: 0,
            not_taken_back: 0,
        }
    }

    /// Finds out whether the bucket can be written to, and compares the catalogues with the stored ones: another query's metric is
    /// refused, or dropped with `reset`. With the catalogues the queries of the metrics are kept: flags and their values. `now` is in
    /// microseconds.
    pub fn open(
        &mut self,
        queries: &[Vec<(String, String)>],
        reset: bool,
        now: i64,
        lease: &mut dyn Lease,
    ) -> Result<(), OpenError> {
        self.with_sender(|sender| sender.open(queries, reset, now, lease))
    }

    /// The bucket in the user's words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By metric: whether its rows must carry their state.
    pub fn keeps_states(&self) -> Vec<bool> {
        self.waiting.keeps_states()
    }

    /// Takes a row. Early ones are passed over.
    pub fn push(&mut self, row: &Metric) -> Result<(), WriteError> {
        match self.waiting.push(row)? {
            None => self.rewrite.iter_mut().for_each(|rewrite| rewrite.make(row)),
            Some(rejected) => {
                self.rejected_count += 1;
                self.rejected.push(rejected);
            }
        }
        Ok(())
    }

    /// Whether so many rows wait that they are to be flushed.
    pub fn is_full(&self) -> bool {
        self.waiting.is_full()
    }

    /// Writes what waits: when this returns, the server has acknowledged all of it, and of what was sent before, but what it refused.
    /// `now` is in microseconds.
    pub fn flush(&mut self, now: i64, lease: &mut dyn Lease) -> Result<(), WriteError> {
        self.look_before(lease)?;
        let ready = (!self.waiting.is_empty()).then(|| Ready::of(self.waiting.take()));
        self.with_sender(|sender| ready.map_or(Ok(()), |ready| sender.send(ready, now, lease)))
    }

    /// Has what waits written by a thread of its own, once what was sent before is acknowledged: how that ends the next call says
    /// that writes. `now` is in microseconds.
    pub fn begin_flush(&mut self, now: i64, mut lease: Box<dyn Lease + Send>) -> Result<(), WriteError> {
        self.look_before(&mut *lease)?;
        let ready = Ready::of(self.waiting.take());
        self.with_sender(|_| Ok::<_, WriteError>(()))?;
        self.courier.send_away(ready, now, lease);
        Ok(())
    }

    /// Forgets the rows that wait, and what is stored: somebody else may write from now on.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.courier.back().0.forget();
    }

    /// What an earlier run has remembered of a backfill that it did not complete: what holds for all metrics.
    pub fn progress(&mut self, lease: &mut dyn Lease) -> Result<Option<Progress>, WriteError> {
        self.with_sender(|sender| sender.progress(lease))
    }

    /// Remembers how far a backfill has come, or forgets it. All points so far must have been written. `now` is in microseconds.
    pub fn note(&mut self, note: Note, now: i64, lease: &mut dyn Lease) -> Result<(), WriteError> {
        self.with_sender(|sender| sender.note(note, now, lease))
    }

    /// Rows that could not be written, since this was asked last, of what is not under way.
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

    /// Does something by the half that sends, once it is here, and takes over what it has to tell.
    fn with_sender<T, E: From<WriteError>>(&mut self, work: impl FnOnce(&mut Sender) -> Result<T, E>) -> Result<T, E> {
        let (sender, sent) = self.courier.back();
        let done = sent.map_err(E::from).and_then(|()| work(sender));
        let rejected = sender.take_rejected();
        self.rejected_count += rejected.len() as u64;
        self.rejected.extend(rejected);
        sender.spare.take().into_iter().for_each(|load| self.waiting.reuse(load));
        self.not_taken_back = sender.not_taken_back();
        done
    }
}
