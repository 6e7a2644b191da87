//! Windows of a span of time made anew: what the store has of them goes, in the same transactions in which the new points come.
//!
//! Whoever makes them anew owns nothing but these points: the metric's owner may write meanwhile, and its positions and open windows
//! stay as they are. How far it has come is remembered in the same transactions. Knows nothing of commits.

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::catalogue::{Catalogue, Grain, WindowKind};
use crate::store::chunks;
use crate::store::entry;
use crate::store::error::Inner;
use crate::store::progress::{Note, Progress};
use crate::store::upsert::{NewPoint, Upserter};
use crate::time::{Timestamp, Window};

/// How far a span of time has been made anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewrite {
    /// Windows that lie here.
    range: (Timestamp, Timestamp),
    /// Windows that end by then have been cleared.
    done: Timestamp,
    /// Windows that end by then are complete, or among the rows that wait.
    reached: Timestamp,
    /// What is to be remembered of it with the next commit.
    note: Note,
}

impl Rewrite {
    /// Of the windows within this span.
    pub fn of((start, end): (Timestamp, Timestamp)) -> Rewrite {
        let range = (start.max(Timestamp::EARLIEST), end.min(Timestamp::LATEST));
        Rewrite { range, done: range.0, reached: range.0, note: Note::AsBefore }
    }

    /// Begins: windows that end by `made` stay, since an earlier run has made them; `None` begins anew.
    pub fn begin(&mut self, made: Option<Timestamp>) {
        match made {
            Some(made) => self.done = self.done.max(made),
            None => self.note = Note::Nothing,
        }
        self.reached = self.reached.max(self.done);
    }

    /// Takes note of what is to be remembered with the next commit.
    pub fn note(&mut self, note: Note) {
        if note != Note::AsBefore {
            self.note = note;
        }
    }

    /// Windows that end by then have been made.
    pub fn reach(&mut self, time: Timestamp) {
        self.reached = self.reached.max(time.min(self.range.1));
    }

    /// Windows that the next clearing removes.
    fn is_due(&self, window: Window) -> bool {
        self.range.0 <= window.start && self.done < window.end && window.end <= self.reached
    }

    /// Removes the points of the windows that have been made since the last time. Gives by how many points the metric shrank, and the
    /// first and last start of what went.
    pub fn clear(
        &self,
        connection: &Connection,
        metric: i64,
        catalogue: &Catalogue,
        upserter: &mut Upserter,
    ) -> Inner<(i64, Option<(i64, i64)>)> {
        let (mut shrunk, mut changed) = (0, None);
        if self.done >= self.reached {
            return Ok((shrunk, changed));
        }
        let grid = catalogue.grid(Grain::Points);
        let from = match catalogue.window {
            WindowKind::Tumbling { length } | WindowKind::Sliding { length, .. } => self.done.0 - 2 * length.0,
            _ => self.range.0.0,
        };
        let (first, last) = (grid.chunk(from.max(self.range.0.0)), grid.chunk(self.reached.0));
        let mut statement = connection.prepare_cached("SELECT id FROM series WHERE metric = ?1 ORDER BY id")?;
        let ids: Vec<i64> = statement.query_map(params![metric], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for id in ids {
            let mut found = Vec::new();
            chunks::each(connection, id, Grain::Points, first, last, |start, data| {
                found.push((start, data.to_vec()));
                Ok(())
            })?;
            let mut gone = Vec::new();
            for (start, data) in &found {
                let entries = entry::entries(&grid, *start, data)?.into_iter();
                let due = entries.filter(|entry| self.is_due(entry.window()));
                gone.extend(due.map(|entry| NewPoint { entry, is_retracted: true }));
            }
            if let (Some(first), Some(last)) = (gone.first(), gone.last()) {
                let (first, last) = (first.entry.start, last.entry.start);
                changed = Some(changed.map_or((first, last), |(a, b): (i64, i64)| (a.min(first), b.max(last))));
                shrunk += upserter.upsert(connection, id, &gone)?;
            }
        }
        Ok((shrunk, changed))
    }

    /// Takes note that all metrics were cleared.
    pub fn cleared(&mut self) {
        self.done = self.reached;
    }

    /// Remembers of the job's backfill what is to be remembered.
    pub fn remember(&mut self, connection: &Connection, job: i64) -> Inner<()> {
        match std::mem::replace(&mut self.note, Note::AsBefore) {
            Note::AsBefore => {}
            Note::At(progress) => {
                let text = "INSERT OR REPLACE INTO backfills (job, made_of, made, needed) VALUES (?1, ?2, ?3, ?4)";
                let (made, needed) = (progress.made().0, progress.needed().0);
                connection.prepare_cached(text)?.execute(params![job, progress.made_of as i64, made, needed])?;
            }
            Note::Nothing => {
                connection.execute("DELETE FROM backfills WHERE job = ?1", [job])?;
            }
        }
        Ok(())
    }
}

/// What is remembered of a job's backfill.
pub(crate) fn remembered(connection: &Connection, job: i64) -> Inner<Option<Progress>> {
    let mut statement = connection.prepare("SELECT made_of, made, needed FROM backfills WHERE job = ?1")?;
    let progress = statement.query_row([job], |row| {
        Ok(Progress::new(row.get::<_, i64>(0)? as u64, Timestamp(row.get(1)?), Timestamp(row.get(2)?)))
    });
    Ok(progress.optional()?)
}
