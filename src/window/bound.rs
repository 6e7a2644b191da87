//! Keeps the open tables of a metric small under `--max-groups`, without changing any answer.
//!
//! Which groups a window shows is decided in stream order: the first `groups_max` that it meets. A table of a slice sees
//! only a part of each of its windows, so it can't decide that while it is folded; it keeps every group. Between steps,
//! when all tables together are known, the groups that every window of a table has already passed over are put together
//! as the overflow group. A window once full stays so, and what comes later comes later in the stream: when this is done
//! does not show. Knows nothing of firing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::aggregate::Function;
use crate::time::{Timestamp, Window};
use crate::window::assigner::Assigner;
use crate::window::fold::SliceKey;
use crate::window::table::{GroupLimit, Table};

/// The tables of one metric that windows still to fire are made of.
pub struct OpenTables<'a> {
    /// By slice, several of one key where several threads fold.
    pub slices: Vec<(SliceKey, &'a mut Table)>,
    /// Of one window each.
    pub extras: &'a BTreeMap<Window, Table>,
}

impl OpenTables<'_> {
    /// Groups in all slices.
    pub fn groups(&self) -> usize {
        self.slices.iter().map(|(_, table)| table.len() as usize).sum()
    }

    /// Puts the groups together that no window after `watermark` can show.
    pub fn bound(&mut self, assigner: &Assigner, functions: &[Function], limit: &GroupLimit, watermark: Timestamp) {
        let mut needed: Vec<Vec<bool>> =
            self.slices.iter().map(|(_, table)| vec![false; table.len() as usize]).collect();
        let windows = |key: &SliceKey| {
            let (slice, mut end) = (key.slice, watermark.max(Timestamp(key.first_end.0 - 1)));
            std::iter::from_fn(move || {
                let window = assigner.window_after(slice, end)?;
                end = window.end;
                Some(window)
            })
        };
        let mut members: BTreeMap<Window, Vec<usize>> = BTreeMap::new();
        for (number, (key, _)) in self.slices.iter().enumerate() {
            for window in windows(key) {
                members.entry(window).or_default().push(number);
            }
        }
        for (window, numbers) in members {
            self.mark_needed(window, &numbers, limit, &mut needed);
        }
        for ((_, table), needed) in self.slices.iter_mut().zip(&needed) {
            if needed.contains(&false) {
                **table = table.reduced(functions, limit, needed);
            }
        }
    }

    /// Marks the groups that `window` may show, in the tables that it is made of.
    fn mark_needed(&self, window: Window, numbers: &[usize], limit: &GroupLimit, needed: &mut [Vec<bool>]) {
        let mut first: HashMap<&[u8], u64> = HashMap::new();
        let tables = numbers.iter().map(|&number| &*self.slices[number].1);
        for table in tables.chain(self.extras.get(&window)) {
            for group in table.regular_groups() {
                let position = first.entry(table.key(group)).or_insert(u64::MAX);
                *position = (*position).min(table.first_position(group));
            }
        }
        let positions: BTreeSet<u64> = first.values().copied().collect();
        let last = positions.iter().nth(limit.groups_max as usize - 1).copied().unwrap_or(u64::MAX);
        for &number in numbers {
            let table = &self.slices[number].1;
            for group in 0..table.len() {
                let is_shown = first.get(table.key(group)).is_none_or(|&position| position <= last);
                needed[number][group as usize] |= is_shown;
            }
        }
    }
}
