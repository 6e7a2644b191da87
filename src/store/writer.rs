//! The writer: one job's points, open state and offsets, committed as one.
//!
//! Rows are collected in memory and written within the commit's transaction, so that the write lock is held for as long as
//! writing takes, and other jobs write between; only where a bound is passed is the transaction begun before. The owner's epoch
//! is compared in each transaction: a writer that was paused, and whose metrics another one took over, is fenced.
//!
//! Knows nothing of what the state of a job is, of where its inputs are, and of when to commit.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use crate::metric::Metric;
use crate::store::catalogue::Catalogue;
use crate::store::connection;
use crate::store::error::{Fault, Inner, MEANS_ARCHIVE, MEANS_POINTS, StoreError};
use crate::store::late::Lateness;
use crate::store::lock::Locks;
use crate::store::ownership::{self, Beside, Owned};
use crate::store::pending::Pending;
use crate::store::progress::{Note, Progress};
use crate::store::rewrite::Rewrite;
use crate::store::upsert::Upserter;
use crate::time::{Timestamp, Window};

/// What a run writes, and what decides its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What it writes; `Metric::metric` is a number in it.
    pub metrics: Vec<Catalogue>,
    /// All that decides the answer beside the catalogues, each by the name that the user knows it by, such as `--where`, and its value.
    /// A run with the same metrics and the same fingerprint goes on where the last one ended.
    pub fingerprint: Vec<(String, String)>,
    /// Drop what the store has of these metrics, and begin anew.
    pub reset: bool,
}

/// How far an input was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOffset {
    /// What it is called.
    pub name: String,
    /// What tells it from another of that name; opaque to the store.
    pub identity: Vec<u8>,
    /// Bytes that were read: the next to read.
    pub offset: u64,
    /// Lines that were read.
    pub lines: u64,
}

/// Where the last run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Its inputs, by name.
    pub sources: Vec<SourceOffset>,
    /// Its open state, as it was committed.
    pub state: Vec<u8>,
}

/// Where the repairs of a job ended, and where its owner is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repairing {
    /// What the last repair committed as its state.
    pub state: Option<Vec<u8>>,
    /// The open state that the owner committed last.
    pub owner: Option<Vec<u8>>,
}

/// Writes the points of one job.
///
/// After an error it is of no further use: nothing since the last commit was written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    connection: Connection,
    job: i64,
    epoch: i64,
    metrics: Vec<Open>,
    is_in_transaction: bool,
    /// The store's count of sweeps when the numbers of series were looked up.
    sweeps: i64,
    refused: u64,
    /// Where points are made anew beside their owner.
    rewrite: Option<Rewrite>,
    /// Where late events are brought in beside the owner: by what means.
    repairs: Option<&'static str>,
    _locks: Locks,
}

/// A metric that is written.
#[derive(Debug)]
struct Open {
    id: i64,
    name: String,
    catalogue: Catalogue,
    pending: Pending,
    upserter: Upserter,
    /// First and last start of what this transaction wrote.
    changed: Option<(i64, i64)>,
}

/// What rows in memory may take, over all metrics.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// What of it one transaction takes at most, where points are made anew beside others who write.
const STRETCH_BYTES: usize = 8 << 20;

/// How many commits followers can look back.
pub(crate) const CHANGES_KEPT: i64 = 10_000;

impl Writer {
    /// Opens the store at `path`, makes it where there is none, and takes the job's metrics: where they are in the store by the same
    /// query, the second part says where its last run ended. Refused when a living process writes one of them, and when another
    /// query made one, unless `job.reset`.
    pub fn open(path: &Path, job: &Job) -> Result<(Writer, Option<Resume>), StoreError> {
        let connection = connection::for_writing(path)?;
        let mut locks = Locks::default();
        let owned = ownership::take(&connection, path, job, &mut locks)?;
        let resume = owned.resume.clone();
        let dropped = owned.dropped;
        let writer = Writer::of(path, connection, job, owned, locks);
        if dropped {
            crate::store::retention::sweep_dropped(&writer.connection).map_err(|fault| fault.at("write to", path))?;
        }
        Ok((writer, resume))
    }

    /// Opens the store to make the points of windows within `range` anew, beside whoever owns the metrics: they must be made by the
    /// same query, or not be there yet. Refused while another process does the same. What is committed are points; positions and
    /// open windows stay as they are.
    pub fn open_over(path: &Path, job: &Job, range: (Timestamp, Timestamp)) -> Result<Writer, StoreError> {
        let connection = connection::for_writing(path)?;
        let mut locks = Locks::default();
        let owned = ownership::take_beside(&connection, path, job, Beside::Backfill, &mut locks)?;
        let mut writer = Writer::of(path, connection, job, owned, locks);
        writer.rewrite = Some(Rewrite::of(range));
        Ok(writer)
    }

    /// Opens the store to add late events to the points of the job's metrics, beside whoever owns them: rows are what the events
    /// make by themselves, and are merged into what is there. Refused while another process does so, or makes points anew.
    pub fn open_repair(path: &Path, job: &Job) -> Result<(Writer, Repairing), StoreError> {
        let mut writer = Writer::beside(path, job, MEANS_POINTS, Beside::Repair(MEANS_POINTS))?;
        let found = writer.repairing().map_err(|fault| fault.at("read", path))?;
        writer.metrics.iter_mut().for_each(|metric| metric.upserter.take_for(Lateness::Added));
        Ok((writer, found))
    }

    /// The same, where whole windows within `range` are made anew with their late events. `is_part`: this process has another writer
    /// that was opened so, and does a part of its work.
    pub fn open_repair_over(
        path: &Path,
        job: &Job,
        range: (Timestamp, Timestamp),
        is_part: bool,
    ) -> Result<(Writer, Repairing), StoreError> {
        let purpose = if is_part { Beside::Part(MEANS_ARCHIVE) } else { Beside::Repair(MEANS_ARCHIVE) };
        let mut writer = Writer::beside(path, job, MEANS_ARCHIVE, purpose)?;
        let found = writer.repairing().map_err(|fault| fault.at("read", path))?;
        writer.rewrite = Some(Rewrite::of(range));
        Ok((writer, found))
    }

    fn beside(path: &Path, job: &Job, means: &'static str, purpose: Beside) -> Result<Writer, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.to_path_buf() });
        }
        let connection = connection::for_writing(path)?;
        let mut locks = Locks::default();
        let owned = ownership::take_beside(&connection, path, job, purpose, &mut locks)?;
        let mut writer = Writer::of(path, connection, job, owned, locks);
        writer.repairs = Some(means);
        Ok(writer)
    }

    fn repairing(&self) -> Inner<Repairing> {
        let blob = |query: &str| -> Inner<Option<Vec<u8>>> {
            let mut statement = self.connection.prepare(query)?;
            let found: Option<Option<Vec<u8>>> = statement.query_row([self.job], |row| row.get(0)).optional()?;
            Ok(found.flatten().filter(|state| !state.is_empty()))
        };
        let state = blob("SELECT state FROM repairs WHERE job = ?1")?;
        Ok(Repairing { state, owner: blob("SELECT state FROM jobs WHERE id = ?1")? })
    }

    fn of(path: &Path, connection: Connection, job: &Job, owned: Owned, locks: Locks) -> Writer {
        let metrics = owned.metrics.iter().zip(&job.metrics);
        let metrics = metrics.map(|(id, catalogue)| Open {
            id: *id,
            name: catalogue.name.clone(),
            catalogue: catalogue.clone(),
            pending: Pending::of(catalogue),
            upserter: Upserter::of(catalogue),
            changed: None,
        });
        Writer {
            path: path.to_path_buf(),
            job: owned.job,
            epoch: owned.epoch,
            metrics: metrics.collect(),
            is_in_transaction: false,
            sweeps: 0,
            refused: 0,
            rewrite: None,
            repairs: None,
            _locks: locks,
            connection,
        }
    }

    /// What an earlier run has remembered of a backfill of the job's metrics that it did not complete.
    pub fn progress(&self) -> Result<Option<Progress>, StoreError> {
        crate::store::rewrite::remembered(&self.connection, self.job).map_err(|fault| fault.at("read", &self.path))
    }

    /// Makes only those windows anew that end after `made`; of `None` all of them, and what was remembered is forgotten.
    pub fn begin_rewriting(&mut self, made: Option<Timestamp>) {
        self.rewrite.iter_mut().for_each(|rewrite| rewrite.begin(made));
    }

    /// Takes note of what is to be remembered of the backfill with the next commit.
    pub fn note(&mut self, note: Note) {
        self.rewrite.iter_mut().for_each(|rewrite| rewrite.note(note));
    }

    /// Whether so much waits that it is to be committed, where points are made anew: others write between.
    pub fn is_full(&self) -> bool {
        self.is_in_transaction || self.pending_bytes() > STRETCH_BYTES
    }

    fn pending_bytes(&self) -> usize {
        self.metrics.iter().map(|metric| metric.pending.bytes()).sum()
    }

    /// Windows that end by then have been made anew: what else the store has of them goes with the next commit.
    pub fn reach(&mut self, time: Timestamp) {
        self.rewrite.iter_mut().for_each(|rewrite| rewrite.reach(time));
    }

    /// Takes rows to be stored with the next commit: the same window and group overwrites, a retracted row removes.
    ///
    /// A final row of a metric that recombines must have its state.
    pub fn write(&mut self, rows: &[Metric]) -> Result<(), StoreError> {
        for row in rows {
            let pushed = self.metrics[row.metric].pending.push(row);
            pushed.map_err(|fault| fault.at("write to", &self.path))?;
            if let Some(rewrite) = self.rewrite.as_mut().filter(|_| row.window != Window::GLOBAL) {
                rewrite.reach(row.window.end);
            }
        }
        if self.pending_bytes() > PENDING_BYTES_MAX {
            self.within_transaction(Writer::store_pending)?;
        }
        Ok(())
    }

    /// Makes durable, as one: the rows since the last commit, how far each of these inputs was read, and the open state. What
    /// is known of other inputs stays. Gives the number of the commit.
    pub fn commit(&mut self, sources: &[SourceOffset], state: &[u8]) -> Result<u64, StoreError> {
        self.within_transaction(|writer| {
            writer.store_pending()?;
            writer.store_progress(sources, state)?;
            if let Some(rewrite) = &mut writer.rewrite {
                rewrite.remember(&writer.connection, writer.job)?;
            }
            let number = writer.number_changes()?;
            writer.connection.execute_batch("COMMIT")?;
            writer.is_in_transaction = false;
            Ok(number)
        })
    }

    /// Rows that were not stored so far, because retention has dropped the points of their time.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn within_transaction<T>(&mut self, work: impl FnOnce(&mut Writer) -> Inner<T>) -> Result<T, StoreError> {
        let begun = if self.is_in_transaction { Ok(()) } else { self.begin() };
        begun.and_then(|()| work(self)).map_err(|fault| {
            // The transaction may have ended by itself, as when the disk is full.
            let _ = self.connection.execute_batch("ROLLBACK");
            self.is_in_transaction = false;
            fault.at("write to", &self.path)
        })
    }

    fn begin(&mut self) -> Inner<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.is_in_transaction = true;
        let mut statement = self.connection.prepare_cached("SELECT epoch, owner FROM jobs WHERE id = ?1")?;
        let owner = statement.query_row([self.job], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
        match owner.optional()? {
            Some((epoch, _)) if epoch == self.epoch || self.is_beside() => {}
            Some((_, owner)) => return Err(Fault::Fenced { owner }),
            None => return Err(Fault::Fenced { owner: "another process".into() }),
        }
        drop(statement);
        let sweeps = self.connection.query_row("SELECT sweeps FROM meta", [], |row| row.get(0))?;
        if std::mem::replace(&mut self.sweeps, sweeps) != sweeps {
            self.metrics.iter_mut().for_each(|metric| metric.pending.forget_series());
        }
        if !self.is_beside() {
            let mut statement = self
                .connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM repairs WHERE job = ?1 AND means = ?2)")?;
            let is_repaired = statement.query_row(params![self.job, MEANS_POINTS], |row| row.get(0))?;
            let lateness = if is_repaired { Lateness::Kept } else { Lateness::None };
            self.metrics.iter_mut().for_each(|metric| metric.upserter.take_for(lateness));
        }
        Ok(())
    }

    /// Whether the metrics are another's.
    fn is_beside(&self) -> bool {
        self.rewrite.is_some() || self.repairs.is_some()
    }

    fn store_pending(&mut self) -> Inner<()> {
        self.clear_rewritten()?;
        let connection = &self.connection;
        for Open { id, pending, upserter, changed, .. } in &mut self.metrics {
            if pending.is_empty() {
                continue;
            }
            let mut statement = connection.prepare_cached("SELECT kept_from FROM metrics WHERE id = ?1")?;
            let kept_from = statement.query_row([*id], |row| row.get::<_, i64>(0))?;
            let stored = pending.store(connection, *id, kept_from, upserter)?;
            let mut statement = connection
                .prepare_cached("UPDATE metrics SET points = points + ?2, refused = refused + ?3 WHERE id = ?1")?;
            statement.execute(params![*id, stored.grown, stored.refused as i64])?;
            self.refused += stored.refused;
            if let Some((first, last)) = stored.changed {
                let before = changed.unwrap_or((first, last));
                *changed = Some((before.0.min(first), before.1.max(last)));
            }
        }
        Ok(())
    }

    /// Removes what is made anew.
    fn clear_rewritten(&mut self) -> Inner<()> {
        let Some(rewrite) = &mut self.rewrite else { return Ok(()) };
        let connection = &self.connection;
        for Open { id, catalogue, upserter, changed, .. } in &mut self.metrics {
            let (grown, gone) = rewrite.clear(connection, *id, catalogue, upserter)?;
            let mut statement = connection.prepare_cached("UPDATE metrics SET points = points + ?2 WHERE id = ?1")?;
            statement.execute(params![*id, grown])?;
            if let Some((first, last)) = gone {
                let before = changed.unwrap_or((first, last));
                *changed = Some((before.0.min(first), before.1.max(last)));
            }
        }
        rewrite.cleared();
        if self.repairs.is_none() {
            // What a live run has found late a backfill may take as on time: a repair could not tell which.
            let mut statement = connection.prepare_cached(
                "INSERT OR IGNORE INTO repairs (job, means, state)
                 SELECT id, ?2, x'' FROM jobs WHERE id = ?1 AND state IS NOT NULL",
            )?;
            statement.execute(params![self.job, MEANS_ARCHIVE])?;
        }
        Ok(())
    }

    fn store_progress(&self, sources: &[SourceOffset], state: &[u8]) -> Inner<()> {
        if let Some(means) = self.repairs {
            let mut statement = self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO repairs (job, means, state) VALUES (?1, ?2, ?3)")?;
            statement.execute(params![self.job, means, state])?;
        }
        if self.is_beside() {
            return Ok(());
        }
        let mut statement = self.connection.prepare_cached("UPDATE jobs SET state = ?2 WHERE id = ?1")?;
        statement.execute(params![self.job, state])?;
        let mut statement = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO source_offsets (job, source, identity, offset, lines) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for SourceOffset { name, identity, offset, lines } in sources {
            statement.execute(params![self.job, name, identity, *offset as i64, *lines as i64])?;
        }
        Ok(())
    }

    /// Numbers the commit, and tells followers where it changed something.
    fn number_changes(&mut self) -> Inner<u64> {
        let mut statement =
            self.connection.prepare_cached("UPDATE meta SET commits = commits + 1 RETURNING commits")?;
        let number: i64 = statement.query_row([], |row| row.get(0))?;
        let mut statement = self
            .connection
            .prepare_cached("INSERT INTO changes (number, metric, first, last) VALUES (?1, ?2, ?3, ?4)")?;
        for metric in &mut self.metrics {
            if let Some((first, last)) = metric.changed.take() {
                statement.execute(params![number, metric.id, first, last])?;
            }
        }
        let mut statement = self.connection.prepare_cached("DELETE FROM changes WHERE number <= ?1")?;
        statement.execute([number - CHANGES_KEPT])?;
        Ok(number as u64)
    }

    /// The names of its metrics, in the order of `Metric::metric`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|metric| metric.name.as_str())
    }
}
