//! What repairs add to points, kept by itself beside them.
//!
//! A late event is in no window of its metric, as the metric's owner sees it: whatever the owner writes of the window again is
//! without it. So what late events make is kept in chunks of its own, and a point is at all times what its owner says merged
//! with that. Knows nothing of roll-ups, which follow the points, and of where events come from.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::aggregate::Accumulators;
use crate::store::catalogue::{Catalogue, Grain, Grid};
use crate::store::chunks;
use crate::store::entry::{self, Entry};
use crate::store::error::{Fault, Inner};
use crate::store::upsert::NewPoint;

/// What the points are that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lateness {
    /// What is to be stored: no late events were ever brought in.
    None,
    /// What the owner's events make: late ones are to be merged into them.
    Kept,
    /// What late events make: to be merged into the points that are there, and to be kept.
    Added,
}

/// The late events of one metric.
#[derive(Debug)]
pub(crate) struct Late {
    grid: Grid,
    lateness: Lateness,
    /// One group: what is merged.
    sum: Accumulators,
}

/// A point as it is stored in place of the one that came.
#[derive(Debug)]
pub(crate) struct Merged {
    start: i64,
    length: i64,
    revision: u32,
    is_final: bool,
    state: Vec<u8>,
}

impl Merged {
    fn entry(&self) -> Entry<'_> {
        let Merged { start, length, revision, is_final, .. } = *self;
        Entry { start, length, revision, rank: None, is_final, has_state: true, payload: &self.state }
    }

    /// The point.
    pub fn point(&self) -> NewPoint<'_> {
        NewPoint { entry: self.entry(), is_retracted: false }
    }
}

impl Late {
    /// Of this metric; `None` where its points don't hold all that is needed to merge them.
    pub fn of(catalogue: &Catalogue) -> Option<Late> {
        let mut sum = Accumulators::new(&catalogue.states());
        sum.add_group();
        catalogue.mends().then(|| Late { grid: catalogue.grid(Grain::Points), lateness: Lateness::None, sum })
    }

    /// From now on points are these.
    pub fn take_for(&mut self, lateness: Lateness) {
        self.lateness = lateness;
    }

    /// Whether there is anything to merge.
    pub fn is_active(&self) -> bool {
        self.lateness != Lateness::None
    }

    /// What points of a series become, in their order; `None` where one is stored as it came.
    pub fn merge(
        &mut self,
        connection: &Connection,
        series: i64,
        points: &[NewPoint<'_>],
    ) -> Inner<Vec<Option<Merged>>> {
        let grid = self.grid;
        let mut merged = Vec::with_capacity(points.len());
        for of_chunk in points.chunk_by(|a, b| grid.chunk(a.entry.start) == grid.chunk(b.entry.start)) {
            let start = grid.chunk(of_chunk[0].entry.start);
            let chunk = load(connection, series, start)?;
            let kept = if chunk.is_empty() { Vec::new() } else { entry::entries(&grid, start, &chunk)? };
            match self.lateness {
                Lateness::Added => self.add(connection, (series, start), &kept, of_chunk, &mut merged)?,
                _ => {
                    for point in of_chunk {
                        let late = kept.binary_search_by_key(&point.entry.key(), Entry::key).ok().map(|at| &kept[at]);
                        merged.push(late.map(|late| self.with_late(point, late)).transpose()?.flatten());
                    }
                }
            }
        }
        Ok(merged)
    }

    /// What the owner wrote with its late events; where it wrote that there is nothing, these alone.
    fn with_late(&mut self, point: &NewPoint<'_>, late: &Entry<'_>) -> Inner<Option<Merged>> {
        let Entry { start, length, revision, is_final, has_state, .. } = point.entry;
        if point.is_retracted {
            let (revision, state) = (late.revision.saturating_sub(1), late.payload.to_vec());
            return Ok(Some(Merged { start, length, revision, is_final: true, state }));
        }
        // An early row may come without; the one that follows it has them.
        if !has_state {
            return Ok(None);
        }
        let revision = revision.saturating_add(late.revision);
        let state = self.sum_of([Some(point.entry.payload), Some(late.payload)])?;
        Ok(Some(Merged { start, length, revision, is_final, state }))
    }

    /// Adds late events to the points of a chunk, and to what is kept of them: its revision counts the repairs.
    fn add(
        &mut self,
        connection: &Connection,
        (series, start): (i64, i64),
        kept: &[Entry<'_>],
        points: &[NewPoint<'_>],
        merged: &mut Vec<Option<Merged>>,
    ) -> Inner<()> {
        let mut chunk = Vec::new();
        let had = chunks::load(connection, series, Grain::Points, start, &mut chunk)?;
        let there = if had { entry::entries(&self.grid, start, &chunk)? } else { Vec::new() };
        let of = |entries: &[Entry<'_>], key: (i64, i64)| entries.binary_search_by_key(&key, Entry::key).ok();
        let mut all: BTreeMap<(i64, i64), Merged> = BTreeMap::new();
        for NewPoint { entry, .. } in points {
            let (key, added) = (entry.key(), Some(entry.payload));
            let point = of(&there, key).map(|at| &there[at]);
            if point.is_some_and(|point| !point.has_state) {
                return Err(Fault::Damaged("a point to be repaired is kept without accumulators".into()));
            }
            let before = of(kept, key).map(|at| &kept[at]);
            let (start, length) = key;
            let state = self.sum_of([before.map(|before| before.payload), added])?;
            let revision = before.map_or(1, |before| before.revision.saturating_add(1));
            all.insert(key, Merged { start, length, revision, is_final: true, state });
            let state = self.sum_of([point.map(|point| point.payload), added])?;
            let revision = point.map_or(0, |point| point.revision.saturating_add(1));
            let is_final = point.is_none_or(|point| point.is_final);
            merged.push(Some(Merged { start, length, revision, is_final, state }));
        }
        for entry in kept {
            let Entry { start, length, revision, is_final, payload, .. } = *entry;
            let state = || payload.to_vec();
            all.entry(entry.key()).or_insert_with(|| Merged { start, length, revision, is_final, state: state() });
        }
        let mut written = Vec::new();
        entry::begin(&mut written);
        all.values().for_each(|late| entry::push(&self.grid, start, &late.entry(), &mut written));
        save(connection, series, start, &written)
    }

    fn sum_of(&mut self, states: [Option<&[u8]>; 2]) -> Inner<Vec<u8>> {
        self.sum.reset_group(0);
        for state in states.into_iter().flatten() {
            self.sum.decode_into_group(0, state)?;
        }
        let mut sum = Vec::new();
        self.sum.encode_group(0, &mut sum);
        Ok(sum)
    }
}

/// The late events of a chunk; empty where there are none.
fn load(connection: &Connection, series: i64, start: i64) -> Inner<Vec<u8>> {
    let mut statement = connection.prepare_cached("SELECT data FROM late_points WHERE series = ?1 AND start = ?2")?;
    let found: Option<Vec<u8>> = statement.query_row(params![series, start], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_default())
}

fn save(connection: &Connection, series: i64, start: i64, data: &[u8]) -> Inner<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO late_points (series, start, data) VALUES (?1, ?2, ?3)")?;
    statement.execute(params![series, start, data])?;
    Ok(())
}
