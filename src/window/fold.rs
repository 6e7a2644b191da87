//! Folding: add the events of a run to the tables of the slices that they belong to.
//!
//! Runs are folded side by side, each into the tables of one shard. Each event is judged by its own watermark here, so
//! nothing depends on which shard takes which run: an event that is late for some of its slice's windows goes into a
//! table of its own kind (the same slice, another first window). What can't be done side by side, an event for a window
//! that has fired already, is put aside as a straggler. Knows nothing of firing.

use std::collections::BTreeMap;

use crate::time::{Duration, Timestamp, Window};
use crate::watermark::Run;
use crate::window::assigner::Assigner;
use crate::window::table::Table;
use crate::window::{Partial, Projected, Query, Selected};

/// Names a table: events of `slice` that may join its windows from the one ending at `first_end` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SliceKey {
    /// Compared first: once the watermark has reached it, the table is complete. Where partials are sent, the slice's end.
    pub first_end: Timestamp,
    /// The slice.
    pub slice: Window,
}

/// What happened to the events of one run in one metric.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Events that joined a window, stragglers included.
    pub used: u64,
    /// Events too late for all of their windows.
    pub late: u64,
    /// Their rows, where they are kept.
    pub late_rows: Vec<u32>,
    /// Events in a gap between windows.
    pub no_window: u64,
    /// Events for windows that had closed, within the allowed lateness, in order.
    pub stragglers: Vec<Straggler>,
}

/// An event that came after the end of a window that it still may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Straggler {
    /// Its row in the batch.
    pub row: u32,
    /// Its place among the selected rows.
    pub selected: u32,
    /// Its slice.
    pub slice: Window,
    /// The watermark that judged it: windows that end by then are closed.
    pub watermark: Timestamp,
}

/// Open tables of one metric, folded by one thread at a time.
#[derive(Debug, Default)]
pub struct Shard {
    by_key: BTreeMap<SliceKey, usize>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    touched: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    table: Table,
    /// Rows of the current run and their groups, until they are folded.
    rows: Vec<u32>,
    groups: Vec<u32>,
    /// The groups of the current run's keys by their numbers, `UNKNOWN` before they are first met.
    known: Vec<u32>,
}

const UNKNOWN: u32 = u32::MAX;

/// How a fold treats events that come after a window of theirs fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StragglerPolicy {
    /// Fold the event into the windows still open, and put it aside for the closed ones.
    Split,
    /// The partial of a slice is sent when the slice has ended, whichever windows it is part of. An event that comes after
    /// that, and that any window still takes, becomes one partial of its own.
    Whole,
    /// The same, for partials that are merged in pieces anyway: what comes after its slice ended is put together by the first window
    /// that takes it.
    Piecewise,
}

impl Shard {
    /// Folds the selected rows of a run.
    pub fn fold(
        &mut self,
        query: &Query,
        assigner: &Assigner,
        policy: StragglerPolicy,
        input: (&Projected, &Selected, &Run),
        nulled: &mut u64,
    ) -> Outcome {
        let (projected, selected, run) = input;
        let mut outcome = Outcome::default();
        // The table of the last event, while events fall into the same slice and are late for none of its windows.
        let mut current: Option<(SliceKey, usize)> = None;
        for index in selected.within(&run.rows) {
            let row = selected.rows[index] as usize;
            let time = projected.batch.times[row];
            let watermark = run.own_before(row, &projected.maximum);
            let entry = match current {
                Some((key, entry)) if key.slice.start <= time && time < key.slice.end && watermark < key.first_end => {
                    entry
                }
                _ => {
                    let Some(slice) = assigner.slice(time) else {
                        outcome.no_window += 1;
                        continue;
                    };
                    let judged = judge(assigner, slice, watermark, query.allowed_lateness, policy);
                    if judged.straggles {
                        let selected = index as u32;
                        outcome.stragglers.push(Straggler { row: row as u32, selected, slice, watermark });
                    }
                    let Some(first_end) = judged.first_open else {
                        if judged.straggles {
                            outcome.used += 1;
                        } else {
                            outcome.late += 1;
                            outcome.late_rows.push(row as u32);
                        }
                        continue;
                    };
                    let key = SliceKey { first_end, slice };
                    let entry = self.entry(key, query);
                    // Only where the first window is the slice's very first is nothing to be judged for its other events.
                    let is_first = policy == StragglerPolicy::Whole
                        || policy == StragglerPolicy::Piecewise && first_end == slice.end
                        || policy == StragglerPolicy::Split
                            && assigner.window_after(slice, Timestamp::MIN).is_some_and(|first| first.end == first_end);
                    current = is_first.then_some((key, entry));
                    entry
                }
            };
            outcome.used += 1;
            self.join(entry, (selected, index), run.position_of(row));
        }
        self.update(query, projected, nulled);
        outcome
    }

    fn join(&mut self, entry: usize, (selected, index): (&Selected, usize), position: u64) {
        let open = self.entries[entry].as_mut().expect("entries in use hold a table");
        if open.rows.is_empty() {
            self.touched.push(entry);
            open.known.clear();
            open.known.resize(selected.distinct(), UNKNOWN);
        }
        open.rows.push(selected.rows[index]);
        let known = &mut open.known[selected.number(index) as usize];
        if *known == UNKNOWN {
            *known = open.table.join(selected.key(index), selected.hash(index), position, None);
        } else {
            open.table.join_known(*known, position);
        }
        open.groups.push(*known);
    }

    /// Folds the rows that have been joined to groups, aggregate by aggregate.
    fn update(&mut self, query: &Query, projected: &Projected, nulled: &mut u64) {
        for entry in self.touched.drain(..) {
            let open = self.entries[entry].as_mut().expect("entries in use hold a table");
            query.update(open.table.accumulators_mut(), (&open.groups, &open.rows), projected, nulled);
            open.rows.clear();
            open.groups.clear();
        }
    }

    fn entry(&mut self, key: SliceKey, query: &Query) -> usize {
        if let Some(&entry) = self.by_key.get(&key) {
            return entry;
        }
        let entry = Some(Entry {
            table: Table::new(&query.functions),
            rows: Vec::new(),
            groups: Vec::new(),
            known: Vec::new(),
        });
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.by_key.insert(key, index);
        index
    }

    /// Merges a partial into the table of this key.
    pub fn merge(&mut self, query: &Query, key: SliceKey, partial: &Partial, position: u64) {
        let entry = self.entry(key, query);
        let open = self.entries[entry].as_mut().expect("entries in use hold a table");
        open.table.join_partial(partial, position, None);
    }

    /// Takes on a table as it was saved. There must be none of this key.
    pub fn restore(&mut self, query: &Query, key: SliceKey, table: Table) {
        let entry = self.entry(key, query);
        self.entries[entry].as_mut().expect("entries in use hold a table").table = table;
    }

    /// Takes out the tables that are complete at this watermark, in order of their keys.
    pub fn take_complete(&mut self, watermark: Timestamp) -> Vec<(SliceKey, Table)> {
        let mut complete = Vec::new();
        while let Some(first) = self.by_key.first_entry()
            && first.key().first_end <= watermark
        {
            let (key, index) = first.remove_entry();
            let entry = self.entries[index].take().expect("entries in use hold a table");
            self.free.push(index);
            complete.push((key, entry.table));
        }
        complete
    }

    /// Groups in all open tables.
    pub fn groups(&self) -> usize {
        self.open().map(|(_, table)| table.len() as usize).sum()
    }

    /// The open tables, to be changed.
    pub fn open_mut(&mut self) -> impl Iterator<Item = (SliceKey, &mut Table)> {
        let by_key = &self.by_key;
        let keys: std::collections::HashMap<usize, SliceKey> =
            by_key.iter().map(|(&key, &index)| (index, key)).collect();
        let tables = self.entries.iter_mut().enumerate();
        tables.filter_map(move |(index, entry)| Some((*keys.get(&index)?, &mut entry.as_mut()?.table)))
    }

    /// The open tables, in order of their keys.
    pub fn open(&self) -> impl Iterator<Item = (SliceKey, &Table)> {
        self.by_key
            .iter()
            .map(|(&key, &index)| (key, &self.entries[index].as_ref().expect("entries in use hold a table").table))
    }
}

/// What an event may join.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// End of its first window that has not closed.
    pub first_open: Option<Timestamp>,
    /// Whether it may change a window that has closed.
    pub straggles: bool,
}

/// Judges an event of `slice` by its partition's watermark, window by window: one that ends at or before the watermark
/// has closed, one that ended a lateness before it takes nothing more.
pub fn judge(
    assigner: &Assigner,
    slice: Window,
    watermark: Timestamp,
    lateness: Duration,
    policy: StragglerPolicy,
) -> Judgement {
    let taken_after = Timestamp(watermark.0.saturating_sub(lateness.0));
    if policy == StragglerPolicy::Whole {
        let first_open = (watermark < slice.end).then_some(slice.end);
        let straggles = first_open.is_none() && assigner.window_after(slice, taken_after).is_some();
        return Judgement { first_open, straggles };
    }
    if policy == StragglerPolicy::Piecewise {
        let is_in_time = watermark < slice.end;
        let first_open = match is_in_time {
            true => Some(slice.end),
            false => assigner.window_after(slice, taken_after).map(|window| window.end),
        };
        return Judgement { first_open, straggles: false };
    }
    let first_open = assigner.window_after(slice, watermark).map(|window| window.end);
    let straggles =
        lateness.0 > 0 && assigner.window_after(slice, taken_after).is_some_and(|window| window.end <= watermark);
    Judgement { first_open, straggles }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::MetricText;
    use crate::window::assigner::Alignment;
    use crate::window::testing::check;

    /// Windows of 4 every 2, the slice [4, 6): its windows end at 6 and at 8.
    /// ```text
    /// 2       4       6       8
    /// [───────────────)              ends 6
    ///         [───────────────)      ends 8
    /// ```
    #[test]
    fn an_event_is_judged_window_by_window() {
        let assigner = Assigner::sliding(Duration(4), Duration(2), Alignment::EPOCH).unwrap();
        let slice = Window::new(Timestamp(4), Timestamp(6));
        let judged = |watermark, lateness| {
            let judged = judge(&assigner, slice, Timestamp(watermark), Duration(lateness), StragglerPolicy::Split);
            (judged.first_open.map(|end| end.0), judged.straggles)
        };
        assert_eq!(judged(5, 0), (Some(6), false));
        assert_eq!(judged(6, 0), (Some(8), false));
        assert_eq!(judged(8, 0), (None, false));
        // With a lateness of 2 a window takes events until 2 after its end, not at it.
        assert_eq!(judged(6, 2), (Some(8), true));
        assert_eq!(judged(9, 2), (None, true));
        assert_eq!(judged(10, 2), (None, false));
    }

    /// The second a comes when w = 7: the window that ends at 6 has fired, the one that ends at 8 takes it.
    /// ```text
    /// a@5 ── z@7 (w = 7) ── a@4
    /// ```
    #[test]
    fn an_event_late_for_one_window_of_its_slice_joins_the_other() {
        let query = MetricText { sliding: Some("4us/2us".into()), ..MetricText::default() };
        let expected = ["[2,6) a=1", "[4,8) a=2", "[4,8) z=1", "[6,10) z=1"];
        check(query, 0, &["a@5 z@7 a@4"], &expected);
    }

    /// The same when both windows fire together: what is late for the first waits in a table of its own.
    #[test]
    fn an_event_late_for_a_window_stays_out_of_it_when_all_fire_at_once() {
        let query = MetricText { sliding: Some("4us/2us".into()), ..MetricText::default() };
        let expected = ["[2,6) a=1", "[4,8) a=2", "[4,8) z=1", "[6,10) z=1", "[18,22) z=1", "[20,24) z=1"];
        check(query, 0, &["a@5 z@7 a@4 z@20"], &expected);
    }

    /// Windows of 2 every 5 leave 2, 3 and 4 out.
    #[test]
    fn an_event_between_two_windows_joins_none() {
        let query = MetricText { sliding: Some("2us/5us".into()), ..MetricText::default() };
        check(query, 0, &["a@1 a@2 a@4 a@5"], &["[0,2) a=1", "[5,7) a=1"]);
    }
}
