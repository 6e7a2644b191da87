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

#[cfg(test)]
mod tests {
    use crate::plan::MetricText;
    use crate::window::testing::check;

    fn one_group(query: MetricText) -> MetricText {
        MetricText { max_groups: Some(1), ..query }
    }

    /// In [0, 8) a came first, and its second event belongs to it, though c is the first of the slice [4, 8).
    /// ```text
    /// 0        4        8
    /// [  a@1   |  c@4 a@5 )
    /// ```
    #[test]
    fn the_groups_of_a_window_are_its_own_and_not_those_of_its_slices() {
        let query = MetricText { cumulate: Some("8us/4us".into()), ..MetricText::default() };
        let expected = ["[0,4) a=1", "[0,8) __other__=1", "[0,8) a=2"];
        check(one_group(query), 0, &["a@1 c@4 a@5"], &expected);
    }

    /// The same over two sliding windows: c is the first of [4, 12), a of [0, 8).
    #[test]
    fn overlapping_windows_may_show_different_groups() {
        let query = MetricText { sliding: Some("8us/4us".into()), ..MetricText::default() };
        let expected = ["[-4,4) a=1", "[0,8) __other__=2", "[0,8) a=2", "[4,12) __other__=1", "[4,12) c=2"];
        check(one_group(query), 0, &["a@1 c@4 a@5 c@6"], &expected);
    }

    /// Whoever folds the later events, a came first.
    #[test]
    fn the_first_groups_do_not_depend_on_the_workers() {
        let query = MetricText { global: true, ..MetricText::default() };
        let expected = ["[…,…) __other__=4", "[…,…) a=3"];
        check(one_group(query), 9, &["a@1 b@2 b@3 a@4 c@5 b@6 a@7"], &expected);
    }
}
