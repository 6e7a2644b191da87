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
        let mut text = Vec::new();
        let all: Vec<Row> = rows.iter().map(|(_, row)| row.clone()).collect();
        let columns = columns_of(&all, &mut text);
        let mut shown: Vec<usize> = match &self.having {
            Some(having) => {
                having.select(&columns, all.len(), &mut text, &mut 0).into_iter().map(|row| row as usize).collect()
            }
            None => (0..all.len()).collect(),
        };
        if let Some(top) = &self.top {
            let ranks = top.rank(&mut shown, &columns, all.len(), &mut text);
            return shown
                .into_iter()
                .zip(ranks)
                .map(|(index, rank)| {
                    let (group, row) = std::mem::take(&mut rows[index]);
                    (group, Row { rank: Some(rank), ..row })
                })
                .collect();
        }
        shown.into_iter().map(|index| std::mem::take(&mut rows[index])).collect()
    }
}

impl Top {
    /// Sorts and cuts `shown`; returns the rank of each row left. Rows come in order of group, and the sort is stable.
    fn rank(&self, shown: &mut Vec<usize>, columns: &[Column], rows: usize, text: &mut Vec<u8>) -> Vec<u64> {
        let keys: Vec<Vec<Value>> = self
            .order
            .iter()
            .map(|order| {
                let column = order.program.evaluate(columns, rows, text, &mut 0);
                (0..rows).map(|row| column.value(row, text)).collect()
            })
            .collect();
        let compare = |&a: &usize, &b: &usize| {
            self.order
                .iter()
                .zip(&keys)
                .map(|(order, values)| order.compare(&values[a], &values[b]))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        shown.sort_by(compare);
        let tied = |place: usize| place > 0 && compare(&shown[place - 1], &shown[place]).is_eq();
        let mut ranks = Vec::new();
        for place in 0..shown.len() {
            if place >= self.rows && !(self.with_ties && tied(place)) {
                break;
            }
            let rank = if self.with_ties && tied(place) { ranks[place - 1] } else { place as u64 + 1 };
            ranks.push(rank);
        }
        shown.truncate(ranks.len());
        ranks
    }
}

impl Order {
    fn compare(&self, a: &Value, b: &Value) -> Ordering {
        match (a == &Value::Null, b == &Value::Null) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if self.nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if self.nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) => {
                let order = compare_groups(std::slice::from_ref(a), std::slice::from_ref(b));
                if self.descending { order.reverse() } else { order }
            }
        }
    }
}

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
