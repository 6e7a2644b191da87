//! Rows that wait for their commit, as compact points, by series.
//!
//! Knows the numbers of the series that it has met, and nothing of transactions.

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension, params};

use crate::metric::Metric;
use crate::store::catalogue::Catalogue;
use crate::store::entry::{Entry, key_of};
use crate::store::error::Inner;
use crate::store::payload::Form;
use crate::store::upsert::{NewPoint, Upserter};
use crate::window::key;

/// Series whose numbers are remembered between commits.
const SERIES_MAX: usize = 1 << 20;

/// Rows of one metric.
#[derive(Debug)]
pub(crate) struct Pending {
    form: Form,
    needs_state: bool,
    /// Series by their key; the number in it is a place in `ids`.
    series: HashMap<Box<[u8]>, u32>,
    /// The number in the store of each series, once it was looked up.
    ids: Vec<Option<i64>>,
    points: Vec<Point>,
    payloads: Vec<u8>,
    key_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    series: u32,
    /// Later rows of the same window win.
    order: u32,
    start: i64,
    length: i64,
    rank: Option<u64>,
    payload: (usize, u32),
    revision: u32,
    is_final: bool,
    is_retracted: bool,
    has_state: bool,
}

/// What storing the rows came to.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// How many points there are more than before.
    pub grown: i64,
    /// Rows whose time retention has dropped.
    pub refused: u64,
    /// First and last start of what changed.
    pub changed: Option<(i64, i64)>,
}

impl Pending {
    /// No rows of this metric yet.
    pub fn of(catalogue: &Catalogue) -> Pending {
        let form = Form::of(catalogue);
        Pending {
            needs_state: form.has_states(),
            form,
            series: HashMap::new(),
            ids: Vec::new(),
            points: Vec::new(),
            payloads: Vec::new(),
            key_bytes: 0,
        }
    }

    /// Whether no row waits.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// What the rows take in memory, roughly.
    pub fn bytes(&self) -> usize {
        self.points.len() * size_of::<Point>() + self.payloads.len() + self.key_bytes
    }

    /// Forgets the numbers of series: some may have been removed.
    pub fn forget_series(&mut self) {
        self.ids.iter_mut().for_each(|id| *id = None);
    }

    /// Adds a row.
    pub fn push(&mut self, row: &Metric) -> Inner<()> {
        let is_plain = row.is_final && !row.retracted;
        assert!(
            !self.needs_state || row.state.is_some() || !is_plain,
            "a final row of a metric that recombines comes without its state: {row:?}"
        );
        let from = self.payloads.len();
        let has_state = !row.retracted && self.form.write(row, &mut self.payloads)?;
        let (start, length) = key_of(row.window);
        let series = self.series_of(row);
        self.points.push(Point {
            series,
            order: self.points.len() as u32,
            start,
            length,
            rank: row.rank,
            payload: (from, (self.payloads.len() - from) as u32),
            revision: row.revision,
            is_final: row.is_final,
            is_retracted: row.retracted,
            has_state,
        });
        Ok(())
    }

    fn series_of(&mut self, row: &Metric) -> u32 {
        let key = key::key_of(&row.groups);
        match self.series.get(&key[..]) {
            Some(series) => *series,
            None => {
                let series = self.ids.len() as u32;
                self.key_bytes += key.len() + 64;
                self.series.insert(key.into(), series);
                self.ids.push(None);
                series
            }
        }
    }

    /// Stores all rows, within the caller's transaction. Rows that start before `kept_from` are refused.
    pub fn store(
        &mut self,
        connection: &Connection,
        metric: i64,
        kept_from: i64,
        upserter: &mut Upserter,
    ) -> Inner<Stored> {
        let mut stored = Stored::default();
        let all = self.points.len();
        self.points.retain(|point| point.start >= kept_from);
        stored.refused = (all - self.points.len()) as u64;
        let starts = self.points.iter().map(|point| point.start);
        stored.changed = starts.clone().min().zip(starts.max());
        self.look_up(connection, metric)?;
        let id = |point: &Point| self.ids[point.series as usize].expect("the series of all points were looked up");
        self.points.sort_unstable_by_key(|point| (id(point), point.start, point.length, point.order));
        let mut of_series = Vec::new();
        for points in self.points.chunk_by(|a, b| a.series == b.series) {
            of_series.clear();
            let same = |a: &Point, b: &Point| (a.start, a.length) == (b.start, b.length);
            for versions in points.chunk_by(same) {
                let last = &versions[versions.len() - 1];
                of_series.push(last.new_point(&self.payloads));
            }
            stored.grown += upserter.upsert(connection, id(&points[0]), &of_series)?;
        }
        self.clear();
        Ok(stored)
    }

    fn clear(&mut self) {
        self.points.clear();
        self.payloads.clear();
        if self.series.len() > SERIES_MAX {
            self.series.clear();
            self.ids.clear();
            self.key_bytes = 0;
        }
    }

    /// Finds or makes the number of each series that has rows.
    fn look_up(&mut self, connection: &Connection, metric: i64) -> Inner<()> {
        let mut wanted = vec![false; self.ids.len()];
        self.points.iter().for_each(|point| wanted[point.series as usize] = true);
        let ids = &self.ids;
        let is_missing = |series: u32| wanted[series as usize] && ids[series as usize].is_none();
        let mut missing: Vec<(u32, &[u8])> = self
            .series
            .iter()
            .filter(|(_, series)| is_missing(**series))
            .map(|(key, series)| (*series, &**key))
            .collect();
        missing.sort_unstable_by_key(|(series, _)| *series);
        let mut find = connection.prepare_cached("SELECT id FROM series WHERE metric = ?1 AND key = ?2")?;
        let mut make = connection.prepare_cached("INSERT INTO series (metric, key) VALUES (?1, ?2)")?;
        for (series, key) in missing {
            let found = find.query_row(params![metric, key], |row| row.get(0)).optional()?;
            self.ids[series as usize] = Some(match found {
                Some(id) => id,
                None => make.insert(params![metric, key])?,
            });
        }
        Ok(())
    }
}

impl Point {
    fn new_point<'a>(&self, payloads: &'a [u8]) -> NewPoint<'a> {
        let (from, length) = self.payload;
        NewPoint {
            entry: Entry {
                start: self.start,
                length: self.length,
                revision: self.revision,
                rank: self.rank,
                is_final: self.is_final,
                has_state: self.has_state,
                payload: &payloads[from..from + length as usize],
            },
            is_retracted: self.is_retracted,
        }
    }
}
