//! Coarser windows and fewer groups, merged of partials: points or roll-ups.
//!
//! Merging is exact, so the answer is what one fold over all the events would give, whatever grain it is made of, and whoever
//! reads which series. A table has a place for each window and group; each thread fills its own from its share of the
//! series, and then the tables are merged.

use std::ops::Range;

use rayon::prelude::*;

use crate::aggregate::Accumulators;
use crate::query::answer::{Cell, Task, tasks};
use crate::query::frame::place;
use crate::store::{Grain, Points, StoreError, StoredMetric};
use crate::time::{Timestamp, Window};
use crate::value::Value;
use crate::window::present::values_of;

/// No accumulators yet.
const NONE: u32 = u32::MAX;

/// Accumulators of windows by groups, window by window; only those that were met have any.
pub struct Table {
    /// The group in `accumulators` of each place.
    pub slots: Vec<u32>,
    /// What was merged.
    pub accumulators: Accumulators,
}

impl Table {
    /// Nothing in any of `places`.
    pub fn new(functions: &[crate::aggregate::Function], places: usize) -> Table {
        Table { slots: vec![NONE; places], accumulators: Accumulators::new(functions) }
    }

    /// The accumulators' group of a place.
    pub fn slot(&mut self, place: usize) -> u32 {
        if self.slots[place] == NONE {
            self.slots[place] = self.accumulators.add_group();
        }
        self.slots[place]
    }
}

/// What is read, and into which windows.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The metric.
    pub metric: &'a StoredMetric,
    /// Series and the number of their group, by group.
    pub series: &'a [(i64, u32)],
    /// How many groups there are.
    pub groups: usize,
    /// What is read.
    pub grain: Grain,
    /// The windows, in order.
    pub windows: &'a [Window],
    /// Nothing before and after it is read, though windows may reach further.
    pub range: (Timestamp, Timestamp),
    /// Windows that have not fired start at this or later.
    pub open_from: Timestamp,
}

/// Merges the partials of each window and group. `wanted` are numbers of functions.
pub fn merged<'a, M: Points>(readers: &mut [M], plan: Plan<'a>, wanted: &[usize]) -> Result<Merged<'a>, StoreError> {
    let functions = plan.metric.catalogue.states();
    let tasks = tasks(plan.series, plan.range, readers);
    let tables = readers.par_iter_mut().zip(tasks).map(|(reader, Task { series, range, .. })| {
        let mut table = Table::new(&functions, plan.windows.len() * plan.groups);
        let range = (range.0, range.1, plan.open_from);
        reader.partials(plan.metric, series, plan.grain, range, |number, window, partial| {
            let Some(index) = place(plan.windows, window.start) else { return Ok(()) };
            let slot = table.slot(index * plan.groups + series[number].1 as usize);
            table.accumulators.decode_into_group(slot, partial)
        })?;
        Ok(table)
    });
    let tables = tables.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Merged::of(tables, plan.windows, plan.groups, wanted.to_vec()))
}

/// Merged accumulators, of which results are read out.
pub struct Merged<'a> {
    /// Of the same places, each of which one at most has.
    tables: Vec<Table>,
    windows: &'a [Window],
    groups: usize,
    /// Numbers of functions.
    wanted: Vec<usize>,
}

impl Merged<'_> {
    /// Merges tables of the same places.
    pub fn of(mut tables: Vec<Table>, windows: &[Window], groups: usize, wanted: Vec<usize>) -> Merged<'_> {
        for later in 1..tables.len() {
            let (before, rest) = tables.split_at_mut(later);
            let from = &mut rest[0];
            for place in 0..from.slots.len() {
                let Some(into) = before.iter_mut().find(|table| table.slots[place] != NONE) else { continue };
                if from.slots[place] != NONE {
                    into.accumulators.merge_group(into.slots[place], &from.accumulators, from.slots[place]);
                    from.slots[place] = NONE;
                }
            }
        }
        Merged { tables, windows, groups, wanted }
    }

    /// The values of each group in these windows, window by window; `None` where nothing is.
    pub fn cells(&self, of_windows: Range<usize>) -> Vec<Option<Cell>> {
        let Merged { tables, windows, groups, wanted } = self;
        let cell = |place: usize| {
            let table = tables.iter().find(|table| table.slots[place] != NONE)?;
            let accumulators = &table.accumulators;
            let functions = accumulators.functions().len();
            let all = values_of(accumulators, table.slots[place], functions, windows[place / groups]);
            let is_all = wanted.iter().enumerate().all(|(index, field)| index == *field) && wanted.len() == functions;
            let values: Box<[Value]> =
                if is_all { all } else { wanted.iter().map(|field| all[*field].clone()).collect() };
            Some(Cell { values, revision: 0, rank: None, is_final: true })
        };
        let places = of_windows.start * groups..of_windows.end * groups;
        places.into_par_iter().with_min_len(256).map(cell).collect()
    }
}
