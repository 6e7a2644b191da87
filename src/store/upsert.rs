//! New points of one series into its chunks: the same window overwrites, a retraction removes; roll-ups follow.
//!
//! Runs within the caller's transaction. Knows nothing of owners, commits and limits.

use rusqlite::Connection;

use crate::store::catalogue::{Catalogue, Grain, Grid};
use crate::store::chunks;
use crate::store::entry::{self, Entry};
use crate::store::error::Inner;
use crate::store::late::{Late, Lateness};
use crate::store::payload::Form;
use crate::store::rollup::{RollUps, Touch};

/// A point to be stored, or removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewPoint<'a> {
    /// The point.
    pub entry: Entry<'a>,
    /// It no longer holds.
    pub is_retracted: bool,
}

/// Puts points of one metric in their places.
#[derive(Debug)]
pub(crate) struct Upserter {
    grid: Grid,
    form: Form,
    roll_ups: Option<RollUps>,
    late: Option<Late>,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Upserter {
    /// For points of this metric.
    pub fn of(catalogue: &Catalogue) -> Upserter {
        Upserter {
            grid: catalogue.grid(Grain::Points),
            form: Form::of(catalogue),
            roll_ups: RollUps::of(catalogue),
            late: Late::of(catalogue),
            old: Vec::new(),
            new: Vec::new(),
        }
    }

    /// From now on points are these.
    pub fn take_for(&mut self, lateness: Lateness) {
        self.late.iter_mut().for_each(|late| late.take_for(lateness));
    }

    /// Stores points of a series, which are in order of their keys, each key once. Gives by how many points it grew.
    pub fn upsert(&mut self, connection: &Connection, series: i64, points: &[NewPoint<'_>]) -> Inner<i64> {
        let Some(late) = self.late.as_mut().filter(|late| late.is_active()) else {
            return self.place(connection, series, points);
        };
        let states = late.merge(connection, series, points)?;
        let merged =
            points.iter().zip(&states).map(|(point, state)| state.as_ref().map_or(*point, |state| state.point()));
        let merged: Vec<NewPoint<'_>> = merged.collect();
        self.place(connection, series, &merged)
    }

    fn place(&mut self, connection: &Connection, series: i64, points: &[NewPoint<'_>]) -> Inner<i64> {
        let mut grown = 0;
        let mut touches = Vec::new();
        let grid = self.grid;
        for of_chunk in points.chunk_by(|a, b| grid.chunk(a.entry.start) == grid.chunk(b.entry.start)) {
            grown += self.merge(connection, series, grid.chunk(of_chunk[0].entry.start), of_chunk, &mut touches)?;
        }
        if let Some(roll_ups) = &mut self.roll_ups {
            roll_ups.apply(connection, series, &touches)?;
        }
        Ok(grown)
    }

    /// Merges points into one chunk, and tells what became of the final ones.
    fn merge<'a>(
        &mut self,
        connection: &Connection,
        series: i64,
        start: i64,
        points: &[NewPoint<'a>],
        touches: &mut Vec<Touch<'a>>,
    ) -> Inner<i64> {
        let grid = self.grid;
        let had = chunks::load(connection, series, Grain::Points, start, &mut self.old)?;
        let old = if had { entry::entries(&grid, start, &self.old)? } else { Vec::new() };
        let mut rest = &old[..];
        let mut count = 0_usize;
        if old.last().is_some_and(|last| last.key() < points[0].entry.key()) {
            // All are new: what is there stays as it is.
            self.new.clear();
            self.new.extend_from_slice(&self.old);
            (rest, count) = (&[], old.len());
        } else {
            entry::begin(&mut self.new);
        }
        for point in points {
            let key = point.entry.key();
            while let Some((first, others)) = rest.split_first().filter(|(first, _)| first.key() < key) {
                entry::push(&grid, start, first, &mut self.new);
                (rest, count) = (others, count + 1);
            }
            let known = rest.first().filter(|known| known.key() == key);
            rest = &rest[usize::from(known.is_some())..];
            let is_added = !point.is_retracted && point.entry.is_final;
            if known.is_some_and(|known| known.is_final) {
                touches.push(Touch { start: key.0, added: None });
            } else if let Some(state) = self.form.state(Grain::Points, &point.entry)?.filter(|_| is_added) {
                touches.push(Touch { start: key.0, added: Some(state) });
            }
            if !point.is_retracted {
                entry::push(&grid, start, &point.entry, &mut self.new);
                count += 1;
            }
        }
        rest.iter().for_each(|entry| entry::push(&grid, start, entry, &mut self.new));
        count += rest.len();
        let grown = count as i64 - old.len() as i64;
        match (count, had) {
            (0, true) => chunks::remove(connection, series, Grain::Points, start)?,
            (0, false) => {}
            _ => chunks::save(connection, series, Grain::Points, start, &self.new)?,
        }
        Ok(grown)
    }
}
