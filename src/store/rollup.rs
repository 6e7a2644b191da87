//! Roll-ups by hour and by day, kept true as points come, change and go.
//!
//! A point that is new is merged into its hour and its day: what came in one commit is first merged by itself, so that a
//! roll-up is read and written once a commit. Where a point that was final is replaced or removed nothing can be
//! subtracted: the hour is made anew of its points, and the day of its hours. Knows nothing of where points are kept
//! beside `crate::store::chunks`.

use rusqlite::Connection;

use crate::aggregate::Accumulators;
use crate::store::catalogue::{Catalogue, DAY, Grain, HOUR};
use crate::store::chunks;
use crate::store::entry::{self, Entry};
use crate::store::error::Inner;
use crate::store::payload::Form;

/// What happened to a final point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touch<'a> {
    /// Start of its window.
    pub start: i64,
    /// The partial of one that is new; `None` where one was replaced or removed.
    pub added: Option<&'a [u8]>,
}

/// Keeps the roll-ups of one metric.
#[derive(Debug)]
pub(crate) struct RollUps {
    catalogue: Catalogue,
    form: Form,
    has_hours: bool,
    has_days: bool,
    /// One group each.
    hour: Accumulators,
    day: Accumulators,
    chunk: Vec<u8>,
    written: Vec<u8>,
    state: Vec<u8>,
}

impl RollUps {
    /// The roll-ups of a metric; `None` where it has none.
    pub fn of(catalogue: &Catalogue) -> Option<RollUps> {
        let (has_hours, has_days) = (catalogue.has(Grain::Hour), catalogue.has(Grain::Day));
        let mut empty = Accumulators::new(&catalogue.states());
        empty.add_group();
        (has_hours || has_days).then(|| RollUps {
            form: Form::of(catalogue),
            catalogue: catalogue.clone(),
            has_hours,
            has_days,
            hour: empty.clone(),
            day: empty,
            chunk: Vec::new(),
            written: Vec::new(),
            state: Vec::new(),
        })
    }

    /// Makes the roll-ups of a series true again after these touches, which are in order of their starts. The points are
    /// in their chunks already.
    pub fn apply(&mut self, connection: &Connection, series: i64, touches: &[Touch<'_>]) -> Inner<()> {
        for of_day in touches.chunk_by(|a, b| a.start.div_euclid(DAY) == b.start.div_euclid(DAY)) {
            let start = of_day[0].start - of_day[0].start.rem_euclid(DAY);
            self.day.reset_group(0);
            if self.has_hours {
                self.apply_hours(connection, series, start, of_day)?;
            } else {
                for state in of_day.iter().filter_map(|touch| touch.added) {
                    self.day.decode_into_group(0, state)?;
                }
            }
            if self.has_days {
                let is_repair = of_day.iter().any(|touch| touch.added.is_none());
                self.apply_day(connection, series, start, is_repair)?;
            }
        }
        Ok(())
    }

    /// Brings the hours of a day up to date, and adds what is new in them to the day.
    fn apply_hours(&mut self, connection: &Connection, series: i64, day: i64, touches: &[Touch<'_>]) -> Inner<()> {
        let grid = self.catalogue.grid(Grain::Hour);
        let mut chunk = std::mem::take(&mut self.chunk);
        let had = chunks::load(connection, series, Grain::Hour, day, &mut chunk)?;
        let old = if had { entry::entries(&grid, day, &chunk)? } else { Vec::new() };
        let mut rest = &old[..];
        entry::begin(&mut self.written);
        let mut count = 0;
        for of_hour in touches.chunk_by(|a, b| a.start.div_euclid(HOUR) == b.start.div_euclid(HOUR)) {
            let hour = of_hour[0].start - of_hour[0].start.rem_euclid(HOUR);
            while let Some((first, others)) = rest.split_first().filter(|(first, _)| first.start < hour) {
                entry::push(&grid, day, first, &mut self.written);
                (rest, count) = (others, count + 1);
            }
            let known = rest.first().filter(|entry| entry.start == hour);
            rest = &rest[usize::from(known.is_some())..];
            self.hour.reset_group(0);
            let is_there = if of_hour.iter().all(|touch| touch.added.is_some()) {
                for state in of_hour.iter().filter_map(|touch| touch.added) {
                    self.hour.decode_into_group(0, state)?;
                }
                self.day.merge_group(0, &self.hour, 0);
                if let Some(known) = known {
                    self.hour.decode_into_group(0, known.payload)?;
                }
                true
            } else {
                let points =
                    gather(connection, &self.catalogue, &self.form, series, Grain::Points, hour, HOUR, |state| {
                        Ok(self.hour.decode_into_group(0, state)?)
                    })?;
                points > 0
            };
            if is_there {
                self.state.clear();
                self.hour.encode_group(0, &mut self.state);
                entry::push(&grid, day, &roll_up(hour, HOUR, &self.state), &mut self.written);
                count += 1;
            }
        }
        rest.iter().for_each(|entry| entry::push(&grid, day, entry, &mut self.written));
        let is_empty = count + rest.len() == 0;
        self.chunk = chunk;
        self.put(connection, series, Grain::Hour, day, is_empty)
    }

    fn apply_day(&mut self, connection: &Connection, series: i64, day: i64, is_repair: bool) -> Inner<()> {
        let mut is_there = true;
        if is_repair {
            self.day.reset_group(0);
            let finer = if self.has_hours { Grain::Hour } else { Grain::Points };
            let day_state = &mut self.day;
            let found = gather(connection, &self.catalogue, &self.form, series, finer, day, DAY, |state| {
                Ok(day_state.decode_into_group(0, state)?)
            })?;
            is_there = found > 0;
        }
        let grid = self.catalogue.grid(Grain::Day);
        let start = grid.chunk(day);
        let mut chunk = std::mem::take(&mut self.chunk);
        let had = chunks::load(connection, series, Grain::Day, start, &mut chunk)?;
        let old = if had { entry::entries(&grid, start, &chunk)? } else { Vec::new() };
        let place = old.partition_point(|entry| entry.start < day);
        let known = old.get(place).filter(|entry| entry.start == day);
        if let Some(known) = known.filter(|_| !is_repair) {
            self.day.decode_into_group(0, known.payload)?;
        }
        let rest = &old[place + usize::from(known.is_some())..];
        entry::begin(&mut self.written);
        old[..place].iter().for_each(|entry| entry::push(&grid, start, entry, &mut self.written));
        if is_there {
            self.state.clear();
            self.day.encode_group(0, &mut self.state);
            entry::push(&grid, start, &roll_up(day, DAY, &self.state), &mut self.written);
        }
        rest.iter().for_each(|entry| entry::push(&grid, start, entry, &mut self.written));
        let is_empty = place + rest.len() == 0 && !is_there;
        self.chunk = chunk;
        self.put(connection, series, Grain::Day, start, is_empty)
    }

    fn put(&self, connection: &Connection, series: i64, grain: Grain, start: i64, is_empty: bool) -> Inner<()> {
        if is_empty {
            return chunks::remove(connection, series, grain, start);
        }
        chunks::save(connection, series, grain, start, &self.written)
    }
}

/// The entry of a roll-up.
fn roll_up(start: i64, length: i64, state: &[u8]) -> Entry<'_> {
    Entry { start, length, revision: 0, rank: None, is_final: true, has_state: true, payload: state }
}

/// Calls `take` with the partial of every final point or roll-up that starts within `length` from `start`. Gives their number.
#[expect(clippy::too_many_arguments, reason = "each names one thing of where to look")]
pub(crate) fn gather(
    connection: &Connection,
    catalogue: &Catalogue,
    form: &Form,
    series: i64,
    grain: Grain,
    start: i64,
    length: i64,
    mut take: impl FnMut(&[u8]) -> Inner<()>,
) -> Inner<usize> {
    let grid = catalogue.grid(grain);
    let mut count = 0;
    chunks::each(connection, series, grain, grid.chunk(start), start + length - 1, |chunk_start, chunk| {
        for entry in entry::entries(&grid, chunk_start, chunk)? {
            let is_within = (start..start + length).contains(&entry.start) && entry.is_final;
            if let Some(state) = form.state(grain, &entry)?.filter(|_| is_within) {
                take(state)?;
                count += 1;
            }
        }
        Ok(())
    })?;
    Ok(count)
}
