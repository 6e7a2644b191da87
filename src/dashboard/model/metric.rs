//! One metric: its groups, and the census of its windows.
//!
//! Memory is bounded: so many groups, so many points of all of them together. A group that is too many takes the place of the
//! one that was silent longest, or was least, or is counted as not kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use crate::dashboard::line::{Cell, Row};
use crate::dashboard::model::Limits;
use crate::dashboard::model::columns::{Column, Columns, Role};
use crate::dashboard::model::series::{Point, Put, Series, Values};
use crate::time::{Duration, Timestamp, Window};

/// What is known of one metric.
#[derive(Debug, Clone)]
pub struct MetricModel {
    name: String,
    limits: Limits,
    columns: Columns,
    series: HashMap<Box<str>, Series>,
    /// The windows in which any group has a point.
    windows: BTreeMap<Window, Census>,
    /// Whether windows are each group's own, as sessions are.
    is_unaligned: bool,
    /// The shortest window that was seen, in microseconds.
    length_min: i64,
    /// Rows of groups that were not kept.
    rows_not_kept: u64,
    /// No group is below this, so that most rows of groups that are not kept cost no search.
    floor: Option<(Timestamp, f64)>,
    /// The key that is being built.
    key: String,
}

/// How many points a window has.
#[derive(Debug, Clone, Copy, Default)]
struct Census {
    points: usize,
    points_final: usize,
}

impl MetricModel {
    /// A metric without rows. Columns of the names in `groups` are groups whatever they hold.
    pub fn new(name: &str, groups: Vec<String>, limits: Limits) -> MetricModel {
        MetricModel {
            name: name.to_owned(),
            limits,
            columns: Columns::new(groups),
            series: HashMap::new(),
            windows: BTreeMap::new(),
            is_unaligned: false,
            length_min: i64::MAX,
            rows_not_kept: 0,
            floor: None,
            key: String::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the group columns in the order of the rows.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.columns.names(|role| role == Role::Group)
    }

    /// Names of the value fields in the order of the rows.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.columns.names(|role| role == Role::Value)
    }

    /// All columns that tell groups apart, those that were always null included: what the groups of a series are.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.all().iter().filter(|column| column.role.is_key())
    }

    /// The groups, in no order.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// Number of groups that are kept.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Rows of groups that were not kept.
    pub fn rows_not_kept(&self) -> u64 {
        self.rows_not_kept
    }

    /// Whether windows are each group's own, as sessions are: no window has all groups in it.
    pub fn is_unaligned(&self) -> bool {
        self.is_unaligned
    }

    /// The window that is looked at: the next one to fire, if early rows tell of it, else the last one that fired.
    pub fn current(&self) -> Option<Window> {
        let mut next = None;
        for (&window, census) in self.windows.iter().rev() {
            if census.points_final > 0 {
                return next.or(Some(window));
            }
            next = Some(window);
        }
        next
    }

    /// The last `count` windows up to the one that is looked at, oldest first.
    pub fn axis(&self, count: usize) -> Vec<Window> {
        let Some(current) = self.current() else { return Vec::new() };
        let mut axis: Vec<Window> =
            self.windows.range(..=current).rev().map(|(&window, _)| window).take(count).collect();
        axis.reverse();
        axis
    }

    /// Whether a row of the window has come that was written after it fired.
    pub fn is_final(&self, window: Window) -> bool {
        self.windows.get(&window).is_some_and(|census| census.points_final > 0)
    }

    /// When the next window is due to fire at the earliest, told from the distance of the last two. None where the windows do
    /// not follow each other so.
    fn next_end(&self, watermark: Timestamp) -> Option<Timestamp> {
        let mut fired =
            self.windows.iter().rev().filter(|(_, census)| census.points_final > 0).map(|(window, _)| *window);
        let last = fired.next()?;
        if self.is_unaligned || last.end == Timestamp::MAX {
            return None;
        }
        let length = last.end.0.checked_sub(last.start.0)?;
        let step = fired.next().map_or(length, |before| (last.end.0 - before.end.0).min(length)).max(1);
        let steps = (watermark.0.saturating_sub(last.end.0)).div_euclid(step).max(0).checked_add(1)?;
        last.end.0.checked_add(steps.checked_mul(step)?).map(Timestamp)
    }

    /// How far the watermark must still move before the next window fires, and when that ends.
    pub fn missing(&self, watermark: Timestamp) -> Option<(Timestamp, Duration)> {
        let end = self.next_end(watermark)?;
        Some((end, Duration(end.0.saturating_sub(watermark.0))))
    }

    /// Takes a row in.
    pub fn apply(&mut self, row: &Row) {
        if let Some(before) = self.columns.learn(row) {
            self.rebuild(&before);
        }
        self.watch_alignment(row.window);
        if row.retracted {
            self.retract(row);
        } else if self.put(row, false) == Some(Put::Contradicts) {
            // Two final rows of one group and window: a number that seemed a value tells groups apart.
            let promoted = if row.group_count.is_none() { self.columns.promote() } else { None };
            match promoted {
                Some(before) => {
                    self.rebuild(&before);
                    self.apply(row);
                }
                None => {
                    self.put(row, true);
                }
            }
        }
    }

    fn put(&mut self, row: &Row, replaces: bool) -> Option<Put> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        let mut values = Values::new();
        for (role, cell) in self.columns.cells(row) {
            match role {
                Role::Group | Role::Undecided => push_part(&mut key, cell.and_then(part_of).as_deref()),
                Role::Value => values.push(match cell {
                    Some(Cell::Number(value)) => *value,
                    _ => f64::NAN,
                }),
                Role::Ignored => {}
            }
        }
        let point =
            Point { window: row.window, revision: row.revision, is_final: row.is_final, rank: row.rank, values };
        let put = if self.series.contains_key(key.as_str()) || self.make_room(&point) {
            let series = match self.series.get_mut(key.as_str()) {
                Some(series) => series,
                None => {
                    let cells = self.columns.cells(row).filter(|(role, _)| role.is_key());
                    let groups = cells.map(|(_, cell)| cell.and_then(part_of).map(Into::into)).collect();
                    self.series.entry(key.as_str().into()).or_insert_with(|| Series::new(groups))
                }
            };
            Some(put_point(series, point, replaces, &mut self.windows))
        } else {
            self.rows_not_kept += 1;
            None
        };
        self.trim(&key);
        self.key = key;
        put
    }

    /// Keeps a group's history within the share that all groups have of the room.
    fn trim(&mut self, key: &str) {
        let points_max =
            (self.limits.points / self.series.len().max(1)).clamp(self.limits.points_min, self.limits.points_max);
        let Some(series) = self.series.get_mut(key) else { return };
        // With every new group the share of each gets smaller.
        while let Some(dropped) = series.trim(points_max) {
            forget(&mut self.windows, &dropped);
        }
    }

    fn retract(&mut self, row: &Row) {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for (_, cell) in self.columns.cells(row).filter(|(role, _)| role.is_key()) {
            push_part(&mut key, cell.and_then(part_of).as_deref());
        }
        if let Some(series) = self.series.get_mut(key.as_str()) {
            if let Some(removed) = series.remove(row.window) {
                forget(&mut self.windows, &removed);
            }
            if series.points().is_empty() {
                self.series.remove(key.as_str());
            }
        }
        self.key = key;
    }

    /// Makes room for one more group, unless every group that is kept is above `point`.
    fn make_room(&mut self, point: &Point) -> bool {
        if self.series.len() < self.limits.series {
            return true;
        }
        let standing = (point.window.end, point.value(0).unwrap_or(f64::NEG_INFINITY));
        if self.floor.is_some_and(|floor| standing <= floor) {
            return false;
        }
        let of = |series: &Series| {
            series.last().map_or((Timestamp::MIN, f64::NEG_INFINITY), |last| {
                (last.window.end, last.value(0).unwrap_or(f64::NEG_INFINITY))
            })
        };
        let least = self
            .series
            .iter()
            .map(|(key, series)| (of(series), key))
            .min_by(|(a, a_key), (b, b_key)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a_key.cmp(b_key)));
        let Some((floor, key)) = least else { return false };
        self.floor = Some(floor);
        if standing <= floor {
            return false;
        }
        let key = key.clone();
        if let Some(series) = self.series.remove(&key) {
            series.points().iter().for_each(|point| forget(&mut self.windows, point));
        }
        true
    }

    /// Makes all points anew, since columns have changed their roles.
    fn rebuild(&mut self, before: &[Role]) {
        let mut all: Vec<(Box<str>, Series)> = std::mem::take(&mut self.series).into_iter().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.windows.clear();
        self.floor = None;
        for (_, series) in &all {
            for point in series.points() {
                let (groups, values) = regrouped(self.columns.all(), before, &series.groups, &point.values);
                let mut key = String::new();
                groups.iter().for_each(|group| push_part(&mut key, group.as_deref()));
                let series = self.series.entry(key.into()).or_insert_with(|| Series::new(groups));
                put_point(series, Point { values, ..point.clone() }, true, &mut self.windows);
            }
        }
    }

    /// Windows of sessions are as long as they happen to be. All others are a multiple of the shortest, or civil days.
    fn watch_alignment(&mut self, window: Window) {
        const CIVIL: i64 = 20 * 3_600_000_000;
        let length = window.end.0.saturating_sub(window.start.0);
        if length >= CIVIL || self.is_unaligned {
            return;
        }
        let (short, long) = (length.min(self.length_min), length.max(self.length_min));
        self.is_unaligned = long != i64::MAX && long % short != 0;
        self.length_min = short;
    }
}

fn put_point(series: &mut Series, point: Point, replaces: bool, windows: &mut BTreeMap<Window, Census>) -> Put {
    let (window, is_final) = (point.window, point.is_final);
    let put = series.put(point, replaces);
    match &put {
        Put::Added => {
            let census = windows.entry(window).or_default();
            census.points += 1;
            census.points_final += usize::from(is_final);
        }
        Put::Replaced(before) => {
            let census = windows.entry(window).or_default();
            census.points_final += usize::from(is_final);
            census.points_final -= usize::from(before.is_final);
        }
        Put::Outdated | Put::Contradicts => {}
    }
    put
}

fn forget(windows: &mut BTreeMap<Window, Census>, point: &Point) {
    if let Some(census) = windows.get_mut(&point.window) {
        census.points -= 1;
        census.points_final -= usize::from(point.is_final);
        if census.points == 0 {
            windows.remove(&point.window);
        }
    }
}

/// A group's columns and values, made of what they were before the roles changed.
fn regrouped(
    columns: &[Column],
    before: &[Role],
    groups: &[Option<Box<str>>],
    values: &Values,
) -> (Vec<Option<Box<str>>>, Values) {
    let (mut old_groups, mut old_values) = (groups.iter(), values.iter());
    let (mut new_groups, mut new_values) = (Vec::new(), Values::new());
    for (index, column) in columns.iter().enumerate() {
        let (text, value) = match before.get(index) {
            Some(Role::Group | Role::Undecided) => (old_groups.next().cloned().flatten(), f64::NAN),
            Some(Role::Value) => (None, old_values.next().copied().unwrap_or(f64::NAN)),
            Some(Role::Ignored) | None => (None, f64::NAN),
        };
        match column.role {
            Role::Group | Role::Undecided => {
                new_groups.push(text.or_else(|| (!value.is_nan()).then(|| value.to_string().into())));
            }
            Role::Value => new_values.push(value),
            Role::Ignored => {}
        }
    }
    (new_groups, new_values)
}

/// A cell as a part of what tells groups apart.
fn part_of(cell: &Cell) -> Option<std::borrow::Cow<'_, str>> {
    match cell {
        Cell::Text(text) => Some(text.as_str().into()),
        Cell::Number(value) => Some(value.to_string().into()),
        Cell::Null | Cell::Array => None,
    }
}

/// Appends a part to a key, so that no two lists of parts give the same.
fn push_part(key: &mut String, part: Option<&str>) {
    match part {
        Some(part) => write!(key, "{}:{part}", part.len()).expect("a string takes everything"),
        None => key.push('-'),
    }
}

#[cfg(test)]
mod tests;
