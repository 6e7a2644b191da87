//! From the table of a window to its rows: final values, `--having`, `--order-by`, `--top`, and their order.
//!
//! Knows nothing of which rows were written before; that is `crate::window::aligned`'s.

use std::cmp::Ordering;

use crate::batch::Column;
use crate::expr::Program;
use crate::time::{Timestamp, Window};
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
        let mut rows: Vec<(u32, Row)> =
            (0..table.len()).map(|group| (group, row_of(table, group, aggregates, window))).collect();
        rows.sort_unstable_by(|(_, a), (_, b)| compare_groups(&a.groups, &b.groups));
        if self.is_plain() {
            return rows;
        }
        let (groups, mut rows): (Vec<u32>, Vec<Row>) = rows.into_iter().unzip();
        let mut places = self.places(&rows);
        let mut take = |index: usize, rank| (groups[index], Row { rank, ..std::mem::take(&mut rows[index]) });
        let Some(top) = &self.top else {
            return places.into_iter().map(|(index, _)| take(index, None)).collect();
        };
        // Rows come in order of group, and the sort is stable.
        places.sort_by(|(_, a), (_, b)| a.cmp(b));
        let ranks = top.ranks(places.iter().map(|(_, keys)| &**keys));
        places.iter().zip(ranks).map(|((index, _), rank)| take(*index, Some(rank))).collect()
    }

    /// Of these rows, those that pass `--having`, by number and with what `--top` orders them by.
    pub fn places(&self, rows: &[Row]) -> Vec<(usize, OrderKeys)> {
        let mut text = Vec::new();
        let columns = columns_of(rows, &mut text);
        let shown: Vec<usize> = match &self.having {
            Some(having) => {
                having.select(&columns, rows.len(), &mut text, &mut 0).into_iter().map(|row| row as usize).collect()
            }
            None => (0..rows.len()).collect(),
        };
        let order = self.top.as_ref().map_or(&[][..], |top| &top.order);
        let keys: Vec<Column> =
            order.iter().map(|order| order.program.evaluate(&columns, rows.len(), &mut text, &mut 0)).collect();
        let key = |(order, column): (&Order, &Column), row| OrderKey {
            value: column.value(row, &text),
            descending: order.descending,
            nulls_first: order.nulls_first,
        };
        shown.into_iter().map(|row| (row, order.iter().zip(&keys).map(|by| key(by, row)).collect())).collect()
    }

    /// What `--top` orders a row by; `None` if it fails `--having`.
    pub fn place(&self, row: &Row) -> Option<OrderKeys> {
        self.places(std::slice::from_ref(row)).pop().map(|(_, keys)| keys)
    }
}

impl Top {
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
pub type OrderKeys = Box<[OrderKey]>;

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
    let seconds = (window.start > Timestamp::MIN && window.end < Timestamp::MAX)
        .then(|| (window.end.0 - window.start.0) as f64 / 1e6);
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
