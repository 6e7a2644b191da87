//! The complete slices of one metric, and the windows that are merged of them.
//!
//! A window of a thousand slices has all but one or two of them in common with the next one. So that a firing need not
//! merge them all again, sliding windows keep two stacks, after the two-stacks algorithm of Tangwongsan, Hirzel and
//! Schneider, "Low-Latency Sliding-Window Aggregation in Worst-Case Time" (DEBS 2017): the *back*, one table of the newer
//! slices, and the *front*, tables of the older ones from some slice on. When the window has left the front behind, the
//! back's slices become the next front. The algorithm as published keeps a front table for every slice; of groups, which
//! differ from slice to slice, that would be far more than the slices themselves. Here the front is made as the window
//! moves into it, always by halves: it holds the logarithm of that many tables, and a slice is merged as often.
//! Cumulative windows need none of it: their slices stay together to the end, and are one table from the first firing on.
//!
//! Knows nothing of watermarks, of what is written, and of bounds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::aggregate::Function;
use crate::time::{Timestamp, Window};
use crate::window::assigner::Assigner;
use crate::window::fold::SliceKey;
use crate::window::table::Table;

/// With so few slices, merging all of them is less work than keeping stacks.
const SLICES_FEW: usize = 4;

/// Complete slices that windows still to fire need.
#[derive(Debug, Default)]
pub struct Slices {
    /// Tables whose first window has not fired.
    waiting: BTreeMap<SliceKey, Table>,
    /// By start: slices that were in a window that fired and are in one to come. Events that were late for some windows of
    /// a slice are with the others by then. Of cumulative windows, all slices are one, by the start of the window.
    shared: BTreeMap<Timestamp, (Window, Table)>,
    stacks: Stacks,
}

/// Merged tables of shared slices. Whatever they hold is also in a slice.
#[derive(Debug)]
struct Stacks {
    /// Starts of slices, falling, each with the table of the slices from there to `front_end`.
    front: Vec<(Timestamp, Table)>,
    front_end: Timestamp,
    /// Of the slices from `front_end` to `back_end`.
    back: Option<Table>,
    back_end: Timestamp,
}

impl Default for Stacks {
    fn default() -> Stacks {
        Stacks { front: Vec::new(), front_end: Timestamp::MIN, back: None, back_end: Timestamp::MIN }
    }
}

impl Slices {
    /// Takes a complete table. Its first window must not have fired.
    pub fn add(&mut self, key: SliceKey, table: Table) {
        merge_at(&mut self.waiting, key, table);
    }

    /// The table of a window that fires, and the window that fires next of the slices left. Windows must be asked for in
    /// order of their ends, and none that a slice is part of may be left out. Slices whose last window it is are given up.
    pub fn fire(
        &mut self,
        assigner: &Assigner,
        functions: &[Function],
        window: Window,
    ) -> (Cow<'_, Table>, Option<Window>) {
        let mut whole = self.take_waiting(assigner, window);
        let is_shared = |slice: Window| assigner.window_after(slice, window.end).is_some();
        if self.shared.len() > SLICES_FEW {
            let oldest_leaves = self.shared.first_key_value().is_some_and(|(_, (slice, _))| !is_shared(*slice));
            let stacked = self.stacks.merged(functions, &self.shared, window.end, oldest_leaves);
            whole = Some(whole.into_iter().fold(stacked, |stacked, last| joined(Some(stacked), last)));
            while let Some(oldest) = self.shared.first_entry()
                && !is_shared(oldest.get().0)
            {
                oldest.remove();
            }
        } else {
            self.stacks = Stacks::default();
            while let Some(oldest) = self.shared.first_entry()
                && !is_shared(oldest.get().0)
            {
                whole = Some(joined(whole, oldest.remove().1));
            }
            let mut left = self.shared.values();
            if let (None, Some((_, only)), None) = (&whole, left.next(), left.next()) {
                return (Cow::Borrowed(only), self.next_after(assigner, window));
            }
            for (_, table) in self.shared.values() {
                match &mut whole {
                    Some(whole) => whole.merge(table),
                    None => whole = Some(table.clone()),
                }
            }
        }
        let whole = whole.unwrap_or_else(|| Table::new(functions));
        (Cow::Owned(whole), self.next_after(assigner, window))
    }

    /// Moves the tables whose first window this is to the shared slices; returns what has no other window.
    fn take_waiting(&mut self, assigner: &Assigner, window: Window) -> Option<Table> {
        let mut whole: Option<Table> = None;
        while let Some(first) = self.waiting.first_entry()
            && first.key().first_end <= window.end
        {
            let (SliceKey { slice, .. }, table) = first.remove_entry();
            debug_assert!(window.start <= slice.start && slice.end <= window.end, "{slice:?} is not in {window:?}");
            if assigner.window_after(slice, window.end).is_none() {
                whole = Some(joined(whole, table));
                continue;
            }
            let start = if assigner.is_cumulative() { window.start } else { slice.start };
            self.stacks.add(start, &table);
            match self.shared.get_mut(&start) {
                Some((_, shared)) => shared.merge(&table),
                None => drop(self.shared.insert(start, (slice, table))),
            }
        }
        whole
    }

    /// The oldest slice is always the first one whose window comes.
    fn next_after(&self, assigner: &Assigner, window: Window) -> Option<Window> {
        self.shared.first_key_value().and_then(|(_, (slice, _))| assigner.window_after(*slice, window.end))
    }

    /// All tables, each with the first window that it is part of; of a shared slice that one has fired.
    pub fn tables(&self) -> impl Iterator<Item = (SliceKey, &Table)> {
        let shared = self.shared.values().map(|(slice, table)| (fired_key(*slice), table));
        self.waiting.iter().map(|(key, table)| (*key, table)).chain(shared)
    }

    /// The same tables, to be changed without changing what any window shows.
    pub fn tables_mut(&mut self) -> impl Iterator<Item = (SliceKey, &mut Table)> {
        self.stacks = Stacks::default();
        let shared = self.shared.values_mut().map(|(slice, table)| (fired_key(*slice), table));
        self.waiting.iter_mut().map(|(key, table)| (*key, table)).chain(shared)
    }
}

fn fired_key(slice: Window) -> SliceKey {
    SliceKey { first_end: slice.end, slice }
}

impl Stacks {
    /// Takes note of something that came to a slice.
    fn add(&mut self, start: Timestamp, table: &Table) {
        if start < self.front_end {
            for (_, front) in self.front.iter_mut().filter(|(from, _)| *from <= start) {
                front.merge(table);
            }
        } else if start < self.back_end {
            match &mut self.back {
                Some(back) => back.merge(table),
                None => self.back = Some(table.clone()),
            }
        }
    }

    /// The table of all slices, which start before `end`. `oldest_leaves`: the oldest of them is not asked for again.
    fn merged(
        &mut self,
        functions: &[Function],
        slices: &BTreeMap<Timestamp, (Window, Table)>,
        end: Timestamp,
        oldest_leaves: bool,
    ) -> Table {
        let oldest = *slices.first_key_value().expect("there are slices to merge").0;
        if oldest >= self.front_end {
            *self = Stacks { front_end: end, back_end: end, ..Stacks::default() };
        }
        for (_, (_, table)) in slices.range(self.back_end..end) {
            self.back.get_or_insert_with(|| Table::new(functions)).merge(table);
        }
        self.back_end = end;
        while self.front.last().is_some_and(|(from, _)| *from < oldest) {
            self.front.pop();
        }
        self.grow_front(functions, slices, oldest);
        let mut whole = match (oldest_leaves, self.front.last()) {
            (false, Some((_, front))) => front.clone(),
            _ => self.front.pop().expect("the front has grown down to the oldest slice").1,
        };
        if let Some(back) = &self.back {
            whole.merge(back);
        }
        whole
    }

    /// Makes front tables until there is one from the oldest slice on, of half of the slices that it lacks at a time.
    fn grow_front(&mut self, functions: &[Function], slices: &BTreeMap<Timestamp, (Window, Table)>, oldest: Timestamp) {
        loop {
            let until = self.front.last().map_or(self.front_end, |(from, _)| *from);
            let lacking: Vec<(&Timestamp, &(Window, Table))> = slices.range(oldest..until).collect();
            let newer = &lacking[lacking.len() / 2..];
            let Some((from, _)) = newer.first() else { return };
            let mut table = self.front.last().map_or_else(|| Table::new(functions), |(_, table)| table.clone());
            for (_, (_, slice)) in newer {
                table.merge(slice);
            }
            self.front.push((**from, table));
        }
    }
}

fn joined(whole: Option<Table>, table: Table) -> Table {
    match whole {
        None => table,
        Some(mut whole) => {
            whole.merge(&table);
            whole
        }
    }
}

fn merge_at(tables: &mut BTreeMap<SliceKey, Table>, key: SliceKey, table: Table) {
    match tables.entry(key) {
        std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(table)),
        std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(&table),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::time::Duration;
    use crate::window::assigner::Alignment;
    use crate::window::table::hash_key;
    use crate::window::testing::splitmix64;

    fn below(state: &mut u64, limit: u64) -> u64 {
        splitmix64(state) % limit
    }

    /// An event: the table that it is in, and its group. Its place among the others is its position.
    type Event = (SliceKey, u8);

    /// Every group with its first position and its number of events.
    fn groups_of(events: impl Iterator<Item = (usize, u8)>) -> BTreeMap<u8, (u64, u64)> {
        let mut groups = BTreeMap::new();
        for (position, group) in events {
            let (_, number) = groups.entry(group).or_insert((position as u64, 0));
            *number += 1;
        }
        groups
    }

    fn shown(table: &Table) -> BTreeMap<u8, (u64, u64)> {
        let group = |group| (table.key(group)[0], (table.first_position(group), table.group_events(group)));
        (0..table.len()).map(group).collect()
    }

    /// Events at multiples of `unit`. Some come late for the first windows of their slice.
    fn random_events(assigner: &Assigner, state: &mut u64, unit: i64) -> Vec<Event> {
        let span = 1 + below(state, 300);
        let late_for_most = 1 + below(state, 40);
        let event = |state: &mut u64| {
            let slice = assigner.slice(Timestamp(below(state, span) as i64 * unit))?;
            let mut first = assigner.window_after(slice, Timestamp::MIN)?;
            if below(state, 3) == 0 {
                for _ in 0..below(state, late_for_most) {
                    first = assigner.window_after(slice, first.end).unwrap_or(first);
                }
            }
            Some((SliceKey { first_end: first.end, slice }, below(state, 6) as u8))
        };
        (0..below(state, 400)).filter_map(|_| event(state)).collect()
    }

    fn check(assigner: &Assigner, state: &mut u64, unit: i64, what: &str) {
        let events = random_events(assigner, state, unit);
        let mut slices = Slices::default();
        let mut pending = BTreeSet::new();
        for (position, (key, group)) in events.iter().enumerate() {
            let mut table = Table::new(&[]);
            table.join(&[*group], hash_key(&[*group]), position as u64, None);
            slices.add(*key, table);
            pending.extend(assigner.window_after(key.slice, Timestamp(key.first_end.0 - 1)));
        }
        while let Some(window) = pending.pop_first() {
            if below(state, 20) == 0 {
                assert!(slices.tables_mut().all(|(_, table)| !table.is_empty()));
            }
            let (table, next) = slices.fire(assigner, &[], window);
            let joins = |key: SliceKey| {
                key.first_end <= window.end && window.start <= key.slice.start && key.slice.end <= window.end
            };
            let joined = events.iter().enumerate().filter(|(_, (key, _))| joins(*key));
            let expected = groups_of(joined.map(|(position, (_, group))| (position, *group)));
            assert_eq!(shown(&table), expected, "{what}: {window:?}");
            pending.extend(next);
        }
        assert_eq!(slices.tables().count(), 0, "{what}: every slice is given up in the end");
    }

    #[test]
    fn every_window_holds_the_events_of_its_slices_that_are_not_late_for_it() {
        for seed in 0..400u64 {
            let state = &mut seed.clone();
            let step = 1 + below(state, 8) as i64;
            let size = Duration(step * (1 + below(state, 60) as i64));
            let cumulative = Assigner::cumulative(size, Duration(step), Alignment::EPOCH).unwrap();
            check(&cumulative, state, 1, &format!("seed {seed}, cumulative {size}/{step}µs"));
            let slide = Duration(1 + below(state, 12) as i64);
            let sliding = Assigner::sliding(size, slide, Alignment::EPOCH).unwrap();
            check(&sliding, state, 1, &format!("seed {seed}, sliding {size}/{slide}"));
        }
    }

    /// The offset brings the edges of the days around 2011-12-30 and 1993-08-21, which these zones left out, to the test times.
    #[test]
    fn days_that_a_zone_left_out_are_no_trouble() {
        let day = 86_400_000_000;
        for (zone, back) in [("Pacific/Apia", 15_300), ("Pacific/Kwajalein", 8_600), ("Europe/Berlin", 0)] {
            let alignment = Alignment { offset: Duration(-back * day), zone: Some(zone.parse().unwrap()) };
            for seed in 0..30u64 {
                let state = &mut seed.clone();
                let mut days = |most| Duration((1 + below(state, most) as i64) * day);
                let (size, slide) = (days(20), days(3));
                let sliding = Assigner::sliding(size, slide, alignment).unwrap();
                check(&sliding, state, day / 2, &format!("seed {seed}, {zone}, sliding {size}/{slide}"));
            }
        }
    }

    /// As many slices as the window is long: all of them would be merged again at every firing.
    #[test]
    fn the_front_holds_few_tables() {
        let assigner = Assigner::sliding(Duration(1000), Duration(1), Alignment::EPOCH).unwrap();
        let mut slices = Slices::default();
        for time in 0..3000 {
            let slice = Window::new(Timestamp(time), Timestamp(time + 1));
            let mut table = Table::new(&[]);
            table.join(b"a", hash_key(b"a"), time as u64, None);
            slices.add(SliceKey { first_end: slice.end, slice }, table);
            let window = Window::new(Timestamp(time - 999), slice.end);
            let (table, _) = slices.fire(&assigner, &[], window);
            assert_eq!(table.events(), (time as u64 + 1).min(1000));
            assert!(slices.stacks.front.len() <= 11, "{} tables at {time}", slices.stacks.front.len());
        }
    }
}
