//! A window that has fired: what was written of it, and what something that still comes to it changes.
//!
//! Nothing is computed again that can't have changed. `--having` looks at one group by itself. `--top` looks at all of them:
//! from the first change on they are kept in their order, so that a change costs the rows that are shown and the logarithm of
//! the groups, not all of the groups. Knows nothing of other windows and of lateness.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::aggregate::encoding::{Reader, put_varint};
use crate::aggregate::saved::StateError;
use crate::time::Window;
use crate::value::Value;
use crate::window::key::compare_groups;
use crate::window::present::{OrderKeys, Presentation, Top, row_of};
use crate::window::state::{put_flag, put_table, read_flag, read_table, read_u32};
use crate::window::table::Table;
use crate::window::{Query, Row};

/// A window that has fired.
#[derive(Debug)]
pub struct Fired {
    table: Table,
    /// By group number.
    groups: Vec<Shown>,
    /// With `--top`: the groups whose rows hold, best first.
    top: Vec<u32>,
    /// With `--top`, once it has changed.
    ranking: Option<Ranking>,
}

/// What was written of a group.
#[derive(Debug, Clone, Default)]
struct Shown {
    /// Rows written, retractions included: the next one's revision.
    written: u32,
    /// The last row, if it holds. Kept only where it may be taken back.
    row: Option<Row>,
}

/// A row to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The row. One taken back is as it was written.
    pub row: Row,
    /// Its number among the rows of its window and group.
    pub revision: u32,
    /// It no longer holds.
    pub retracted: bool,
}

/// How a window's rows are made of its table.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// Which rows, in which order.
    pub presentation: &'a Presentation,
    /// Number of aggregates.
    pub aggregates: usize,
    /// The window.
    pub window: Window,
}

impl Fired {
    /// A window of this table, of which these rows were written, each with its group's number.
    pub fn new(table: Table, rows: &[(u32, Row)], presentation: &Presentation) -> Fired {
        let mut groups = vec![Shown::default(); table.len() as usize];
        for (group, row) in rows {
            let row = (!presentation.is_plain()).then(|| row.clone());
            groups[*group as usize] = Shown { written: 1, row };
        }
        let ranked = rows.iter().filter(|_| presentation.top.is_some());
        Fired { table, groups, top: ranked.map(|(group, _)| *group).collect(), ranking: None }
    }

    /// Its table, to be added to. Every group that was added to must then be given to `changed`, one by one.
    pub fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// Its table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The rows that a change of one group causes: those that no longer hold, in the order in which they were shown; then
    /// the group's own and those that it moved, in their order.
    pub fn changed(&mut self, form: Form, group: u32) -> Vec<Change> {
        self.groups.resize(self.table.len() as usize, Shown::default());
        let row = row_of(&self.table, group, form.aggregates, form.window);
        if form.presentation.is_plain() {
            return vec![self.groups[group as usize].next(row, false)];
        }
        match &form.presentation.top {
            Some(top) => self.rank_again(form, top, group, row),
            None => {
                let shown = &mut self.groups[group as usize];
                let holds = form.presentation.shows(&row);
                if holds { vec![shown.write(row)] } else { shown.take_back().into_iter().collect() }
            }
        }
    }

    /// Appends the table, and for each of its groups what was written of it. The rows that hold are not written: each is what
    /// the group's values give, since whatever changes them writes the row anew or takes it back.
    pub fn save(&self, out: &mut Vec<u8>) {
        for group in put_table(out, &self.table) {
            let Shown { written, row } = &self.groups[group as usize];
            put_varint(out, u64::from(*written));
            put_flag(out, row.is_some());
            put_varint(out, row.as_ref().and_then(|row| row.rank).unwrap_or(0));
        }
    }

    /// What `save` wrote.
    pub fn restore(reader: &mut Reader, query: &Query, form: Form) -> Result<Fired, StateError> {
        let table = read_table(reader, query)?;
        let mut groups = Vec::with_capacity(table.len() as usize);
        for group in 0..table.len() {
            let written = read_u32(reader)?;
            let (holds, rank) = (read_flag(reader)?, reader.varint()?);
            let row =
                || Row { rank: (rank > 0).then_some(rank), ..row_of(&table, group, form.aggregates, form.window) };
            groups.push(Shown { written, row: holds.then(row) });
        }
        let mut top: Vec<(Option<u64>, &[Value], u32)> = Vec::new();
        if form.presentation.top.is_some() {
            let rows =
                (0..).zip(&groups).filter_map(|(group, shown): (u32, &Shown)| Some((group, shown.row.as_ref()?)));
            top.extend(rows.map(|(group, row)| (row.rank, &*row.groups, group)));
            top.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| compare_groups(a.1, b.1)));
        }
        let top = top.into_iter().map(|(_, _, group)| group).collect();
        Ok(Fired { table, groups, top, ranking: None })
    }

    fn rank_again(&mut self, form: Form, top: &Top, changed: u32, row: Row) -> Vec<Change> {
        match &mut self.ranking {
            Some(ranking) => {
                let keys = form.presentation.place(&row);
                ranking.place(changed, keys.map(|keys| (keys, row.groups.clone())));
            }
            None => self.ranking = Some(Ranking::of(&self.table, form)),
        }
        let in_order = self.ranking.iter().flat_map(|ranking| &ranking.places);
        let ranks = top.ranks(in_order.clone().map(|place| &*place.keys));
        let ranked: Vec<(u32, u64)> = in_order.map(|place| place.group).zip(ranks).collect();
        let holds: HashSet<u32> = ranked.iter().map(|(group, _)| *group).collect();
        let fallen = self.top.iter().filter(|group| !holds.contains(group));
        let mut changes: Vec<Change> = fallen.filter_map(|&group| self.groups[group as usize].take_back()).collect();
        self.top.clear();
        for (group, rank) in ranked {
            self.top.push(group);
            let shown = &mut self.groups[group as usize];
            let row = match &shown.row {
                _ if group == changed => row.clone(),
                Some(row) if row.rank == Some(rank) => continue,
                Some(row) => row.clone(),
                None => row_of(&self.table, group, form.aggregates, form.window),
            };
            changes.push(shown.write(Row { rank: Some(rank), ..row }));
        }
        changes
    }
}

impl Shown {
    fn next(&mut self, row: Row, retracted: bool) -> Change {
        self.written += 1;
        Change { row, revision: self.written - 1, retracted }
    }

    fn write(&mut self, row: Row) -> Change {
        self.row = Some(row.clone());
        self.next(row, false)
    }

    /// The last row once more, if it holds.
    fn take_back(&mut self) -> Option<Change> {
        let row = self.row.take()?;
        Some(self.next(row, true))
    }
}

/// The groups of a window that pass `--having`, in the order of `--top`.
#[derive(Debug)]
struct Ranking {
    places: BTreeSet<Arc<Place>>,
    /// By group number.
    by_group: Vec<Option<Arc<Place>>>,
}

/// Where a group stands. Ties go by group.
#[derive(Debug)]
struct Place {
    keys: OrderKeys,
    groups: Arc<[Value]>,
    group: u32,
}

impl Ranking {
    fn of(table: &Table, form: Form) -> Ranking {
        let mut ranking = Ranking { places: BTreeSet::new(), by_group: Vec::new() };
        let rows: Vec<Row> = (0..table.len()).map(|group| row_of(table, group, form.aggregates, form.window)).collect();
        for (group, keys) in form.presentation.places(&rows) {
            ranking.place(group as u32, Some((keys, rows[group].groups.clone())));
        }
        ranking
    }

    /// Moves a group to its new place, or away.
    fn place(&mut self, group: u32, place: Option<(OrderKeys, Arc<[Value]>)>) {
        let number = group as usize;
        if self.by_group.len() <= number {
            self.by_group.resize(number + 1, None);
        }
        let place = place.map(|(keys, groups)| Arc::new(Place { keys, groups, group }));
        if let Some(before) = std::mem::replace(&mut self.by_group[number], place.clone()) {
            self.places.remove(&before);
        }
        self.places.extend(place);
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> std::cmp::Ordering {
        self.keys
            .cmp(&other.keys)
            .then_with(|| compare_groups(&self.groups, &other.groups))
            .then_with(|| self.group.cmp(&other.group))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}
