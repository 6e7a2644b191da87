//! Coarser windows and fewer groups, merged of partials: points or roll-ups.
//!
//! Merging is exact, so the answer is what one fold over all the events would give, whatever grain it is made of, and whoever
//! reads which series. A table has a place for each window and group; each thread fills its own from its share of the
//! series, and then the tables are merged.

use rayon::prelude::*;

use crate::aggregate::Accumulators;
use crate::query::answer::{Cell, share};
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

/// The merged values of each window and group, window by window; `None` where nothing is. `wanted` are numbers of functions.
pub fn cells<M: Points>(readers: &mut [M], plan: Plan<'_>, wanted: &[usize]) -> Result<Vec<Option<Cell>>, StoreError> {
    let functions = plan.metric.catalogue.states();
    let parts = share(plan.series, readers.len());
    let tables = readers.par_iter_mut().zip(parts).map(|(reader, series)| {
        let mut table = Table::new(&functions, plan.windows.len() * plan.groups);
        let range = (plan.range.0, plan.range.1, plan.open_from);
        reader.partials(plan.metric, series, plan.grain, range, |number, window, partial| {
            let Some(index) = place(plan.windows, window.start) else { return Ok(()) };
            let slot = table.slot(index * plan.groups + series[number].1 as usize);
            table.accumulators.decode_into_group(slot, partial)
        })?;
        Ok(table)
    });
    let tables = tables.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(finished(tables, plan.windows, plan.groups, wanted))
}

/// Merges tables of the same places, and reads the results out.
pub fn finished(mut tables: Vec<Table>, windows: &[Window], groups: usize, wanted: &[usize]) -> Vec<Option<Cell>> {
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
    let tables = &tables;
    let cell = |place: usize| {
        let table = tables.iter().find(|table| table.slots[place] != NONE)?;
        let accumulators = &table.accumulators;
        let functions = accumulators.functions().len();
        let all = values_of(accumulators, table.slots[place], functions, windows[place / groups.max(1)]);
        let is_all = wanted.iter().enumerate().all(|(index, field)| index == *field) && wanted.len() == functions;
        let values: Box<[Value]> = if is_all { all } else { wanted.iter().map(|field| all[*field].clone()).collect() };
        Some(Cell { values, revision: 0, rank: None, is_final: true })
    };
    (0..windows.len() * groups).into_par_iter().with_min_len(256).map(cell).collect()
}
