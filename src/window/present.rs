//! From the table of a window to its rows: final values, `--having`, `--order-by`, `--top`, and their order.
//!
//! Knows nothing of which rows were written before; that is `crate::window::aligned`'s.

use std::cmp::Ordering;

use smallvec::SmallVec;

use crate::batch::Column;
use crate::expr::Program;
use crate::time::Window;
use crate::value::Value;
use crate::window::Row;
use crate::window::key::{compare_groups, groups_of};
use crate::window::table::Table;

/// Which rows of a window are shown, and in which order. Programs run over the group columns, then the aggregates.
#[derive(Debug, Clone, Default)]
pub struct Presentation {
    /// Only rows where this is TRUE.
    pub having: Option<Program>,
    /// With `--top`: only the first rows by an order, with their rank. Otherwise all rows, by group.
    pub top: Option<Top>,
}

/// `--top N --order-by …`.
#[derive(Debug, Clone)]
pub struct Top {
    /// How many rows.
    pub rows: usize,
    /// By what, most important first. Ties go by group.
    pub order: Vec<Order>,
    /// Also show rows that tie with the last one. Tied rows then share a rank.
    pub with_ties: bool,
}

/// One key of an order.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is compared.
    pub program: Program,
    /// Greatest first.
    pub descending: bool,
    /// NULL before everything else; it comes last otherwise.
    pub nulls_first: bool,
}

impl Presentation {
    /// Whether the rows are simply all groups: then a change of one group changes no other's row.
    pub fn is_plain(&self) -> bool {
        self.having.is_none() && self.top.is_none()
    }

    /// Whether a row passes `--having`.
    pub fn shows(&self, row: &Row) -> bool {
        let Some(having) = &self.having else { return true };
        let mut text = Vec::new();
        let columns = columns_of(std::slice::from_ref(row), &mut text);
        !having.select(&columns, 1, &mut text, &mut 0).is_empty()
    }

    /// The rows of a window in the order in which they are written, each with its group's number.
    pub fn rows(&self, table: &Table, aggregates: usize, window: Window) -> Vec<(u32, Row)> {
        let row = |group| row_of(table, group, aggregates, window);
        let by_group = |a: &Row, b: &Row| compare_groups(&a.groups, &b.groups);
        let places = if self.is_plain() { Vec::new() } else { self.places_of(table, aggregates, window) };
        let Some(top) = &self.top else {
            let shown: Vec<u32> = match self.having {
                Some(_) => places.iter().map(|(group, _)| *group as u32).collect(),
                None => (0..table.len()).collect(),
            };
            let mut rows: Vec<(u32, Row)> = shown.into_iter().map(|group| (group, row(group))).collect();
            rows.sort_unstable_by(|(_, a), (_, b)| by_group(a, b));
            return rows;
        };
        // Only of the groups that may be shown are the rows made: most windows have many more.
        let mut best: Vec<(OrderKeys, u32, Row)> =
            top.best_of(places).into_iter().map(|(group, keys)| (keys, group as u32, row(group as u32))).collect();
        best.sort_unstable_by(|(keys, _, row), (other_keys, _, other)| {
            keys.cmp(other_keys).then_with(|| by_group(row, other))
        });
        let ranks = top.ranks(best.iter().map(|(keys, _, _)| &**keys));
        best.into_iter().zip(ranks).map(|((_, group, row), rank)| (group, Row { rank: Some(rank), ..row })).collect()
    }

    /// Of the groups of a table, by number, those that pass `--having`, with what `--top` orders them by.
    fn places_of(&self, table: &Table, aggregates: usize, window: Window) -> Vec<(usize, OrderKeys)> {
        if table.is_empty() {
            return Vec::new();
        }
        let programs = || self.having.iter().chain(self.top.iter().flat_map(Top::programs));
        let is_read = |column: usize| programs().any(|program| program.reads(column));
        let group_columns = groups_of(table.key(0)).len();
        let (mut text, mut columns) = (Vec::new(), vec![Column::new(); group_columns + aggregates]);
        let (of_groups, of_aggregates) = columns.split_at_mut(group_columns);
        if (0..group_columns).any(is_read) {
            for group in 0..table.len() {
                for (column, value) in of_groups.iter_mut().zip(&*groups_of(table.key(group))) {
                    column.push_value(value, &mut text);
                }
            }
        }
        let seconds = window.seconds();
        for (aggregate, column) in of_aggregates.iter_mut().enumerate() {
            if is_read(group_columns + aggregate) {
                for group in 0..table.len() {
                    column.push_value(&table.accumulators().finish(aggregate, group, seconds), &mut text);
                }
            }
        }
        self.places_in(&columns, table.len() as usize, text)
    }

    /// Of these rows, those that pass `--having`, by number and with what `--top` orders them by.
    pub fn places(&self, rows: &[Row]) -> Vec<(usize, OrderKeys)> {
        let mut text = Vec::new();
        let columns = columns_of(rows, &mut text);
        self.places_in(&columns, rows.len(), text)
    }

    fn places_in(&self, columns: &[Column], rows: usize, mut text: Vec<u8>) -> Vec<(usize, OrderKeys)> {
        let shown: Vec<u32> = match &self.having {
            Some(having) => having.select(columns, rows, &mut text, &mut 0),
            None => (0..rows as u32).collect(),
        };
        let order = self.top.as_ref().map_or(&[][..], |top| &top.order);
        let keys: Vec<Column> =
            order.iter().map(|order| order.program.evaluate(columns, rows, &mut text, &mut 0)).collect();
        let key = |(order, column): (&Order, &Column), row| OrderKey {
            value: column.value(row, &text),
            descending: order.descending,
            nulls_first: order.nulls_first,
        };
        let keys_of = |row: usize| order.iter().zip(&keys).map(|by| key(by, row)).collect();
        shown.into_iter().map(|row| (row as usize, keys_of(row as usize))).collect()
    }

    /// What `--top` orders a row by; `None` if it fails `--having`.
    pub fn place(&self, row: &Row) -> Option<OrderKeys> {
        self.places(std::slice::from_ref(row)).pop().map(|(_, keys)| keys)
    }
}

impl Top {
    fn programs(&self) -> impl Iterator<Item = &Program> {
        self.order.iter().map(|order| &order.program)
    }

    /// Of all places, those that come before the last one shown or tie with it, in no particular order.
    fn best_of(&self, mut places: Vec<(usize, OrderKeys)>) -> Vec<(usize, OrderKeys)> {
        if self.rows >= places.len() {
            return places;
        }
        let (_, (_, last), _) = places.select_nth_unstable_by(self.rows - 1, |(_, a), (_, b)| a.cmp(b));
        let last = last.clone();
        places.retain(|(_, keys)| *keys <= last);
        places
    }

    /// The ranks of rows that come in order, by what they are ordered by; as many as are shown.
    pub fn ranks<'a>(&self, in_order: impl Iterator<Item = &'a [OrderKey]>) -> Vec<u64> {
        let mut ranks: Vec<u64> = Vec::new();
        let mut last: Option<&[OrderKey]> = None;
        for keys in in_order {
            let tied = self.with_ties && last == Some(keys);
            if ranks.len() >= self.rows && !tied {
                break;
            }
            let next = ranks.len() as u64 + 1;
            ranks.push(ranks.last().copied().filter(|_| tied).unwrap_or(next));
            last = Some(keys);
        }
        ranks
    }
}

/// What a row is ordered by, most important first.
pub type OrderKeys = SmallVec<[OrderKey; 1]>;

/// One value that rows are ordered by. The least comes first.
#[derive(Debug, Clone)]
pub struct OrderKey {
    value: Value,
    descending: bool,
    nulls_first: bool,
}

impl Ord for OrderKey {
    fn cmp(&self, other: &OrderKey) -> Ordering {
        let by_null = |is_null: bool, other: bool| {
            let order = is_null.cmp(&other);
            if self.nulls_first { order.reverse() } else { order }
        };
        match (self.value == Value::Null, other.value == Value::Null) {
            (false, false) => {
                let order = compare_groups(std::slice::from_ref(&self.value), std::slice::from_ref(&other.value));
                if self.descending { order.reverse() } else { order }
            }
            (is_null, other) => by_null(is_null, other),
        }
    }
}

impl PartialOrd for OrderKey {
    fn partial_cmp(&self, other: &OrderKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OrderKey {
    fn eq(&self, other: &OrderKey) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OrderKey {}

/// The row of one group of a table, without rank.
pub fn row_of(table: &Table, group: u32, aggregates: usize, window: Window) -> Row {
    Row {
        groups: groups_of(table.key(group)),
        aggregates: values_of(table.accumulators(), group, aggregates, window),
        rank: None,
    }
}

/// The final values of one group.
pub fn values_of(
    accumulators: &crate::aggregate::Accumulators,
    group: u32,
    aggregates: usize,
    window: Window,
) -> Box<[Value]> {
    let seconds = window.seconds();
    (0..aggregates).map(|aggregate| accumulators.finish(aggregate, group, seconds)).collect()
}

/// Group columns, then aggregates, of these rows as columns.
pub fn columns_of(rows: &[Row], text: &mut Vec<u8>) -> Vec<Column> {
    let Some(first) = rows.first() else { return Vec::new() };
    let mut columns = vec![Column::new(); first.groups.len() + first.aggregates.len()];
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row.groups.iter().chain(&row.aggregates)) {
            column.push_value(value, text);
        }
    }
    columns
}
