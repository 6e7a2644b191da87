//! From the cells of windows and groups to rows: what stands where nothing is, the comparison with an earlier time, which
//! rows are shown.
//!
//! Knows nothing of the store.

use std::sync::Arc;

use crate::metric::Metric;
use crate::query::answer::Cell;
use crate::query::question::Fill;
use crate::time::{Timestamp, Window};
use crate::value::Value;
use crate::window::Row;
use crate::window::key::compare_groups;
use crate::window::present::Presentation;

/// Fills the empty cells of groups that have any row, or of the one group that is everything. `values` is how many a cell has.
pub fn fill(cells: &mut [Option<Cell>], groups: &[Arc<[Value]>], how: Fill, values: usize) {
    if how == Fill::None {
        return;
    }
    let count = groups.len();
    for (group, key) in groups.iter().enumerate() {
        let of_group = || (group..cells.len()).step_by(count);
        if !key.is_empty() && of_group().all(|place| cells[place].is_none()) {
            continue;
        }
        let places: Vec<usize> = of_group().collect();
        let mut last: Option<Box<[Value]>> = None;
        for place in places {
            match &cells[place] {
                Some(cell) => last = Some(cell.values.clone()),
                None => {
                    let constant = |value: Value| Some(vec![value; values].into_boxed_slice());
                    let filled = match how {
                        Fill::Zero => constant(Value::Int(0)),
                        Fill::Null => constant(Value::Null),
                        Fill::Previous => last.clone(),
                        Fill::None => None,
                    };
                    let cell = |values| Cell { values, revision: 0, rank: None, is_final: true };
                    cells[place] = filled.map(cell);
                }
            }
        }
    }
}

/// Puts beside each value the one of `before`, and by what share of it it changed.
pub fn compare(cells: &mut [Option<Cell>], before: &[Option<Cell>]) {
    for (cell, before) in cells.iter_mut().zip(before) {
        let Some(cell) = cell else { continue };
        let mut values = Vec::with_capacity(cell.values.len() * 3);
        for (index, value) in cell.values.iter().enumerate() {
            let before = before.as_ref().map_or(Value::Null, |before| before.values[index].clone());
            let change = change(value, &before);
            values.extend([value.clone(), before, change]);
        }
        cell.values = values.into();
    }
}

/// `(value - before) / |before|`; NULL where there is no such number.
fn change(value: &Value, before: &Value) -> Value {
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    let change = number(value).zip(number(before)).map(|(value, before)| (value - before) / before.abs());
    change.filter(|change| change.is_finite()).map_or(Value::Null, Value::Float)
}

/// The rows of cells, window by window: those that pass, by rank or by group.
pub fn rows(
    cells: &mut impl Iterator<Item = Option<Cell>>,
    windows: &[Window],
    groups: &[Arc<[Value]>],
    presentation: &Presentation,
    complete_until: Timestamp,
    out: &mut Vec<Metric>,
) {
    for window in windows {
        let mut of_window: Vec<Metric> = Vec::new();
        for (groups, cell) in groups.iter().zip(cells.by_ref()) {
            let row = |cell: Cell| row(*window, groups.clone(), cell, window.end <= complete_until);
            of_window.extend(cell.map(row));
        }
        present(of_window, presentation, out);
    }
}

/// One row of an answer.
pub fn row(window: Window, groups: Arc<[Value]>, cell: Cell, is_complete: bool) -> Metric {
    Metric {
        metric: 0,
        window,
        groups,
        aggregates: cell.values,
        rank: cell.rank,
        revision: cell.revision,
        is_final: cell.is_final && is_complete,
        retracted: false,
        state: None,
    }
}

/// Appends those rows of one window that the presentation shows, in its order.
pub fn present(mut rows: Vec<Metric>, presentation: &Presentation, out: &mut Vec<Metric>) {
    if presentation.is_plain() {
        // Groups come in their order, but those of a ranked metric by rank.
        if rows.iter().any(|row| row.rank.is_some()) {
            rows.sort_by_key(|row| row.rank);
        }
        out.extend(rows);
        return;
    }
    if rows.is_empty() {
        return;
    }
    let plain: Vec<Row> = rows
        .iter()
        .map(|row| Row { groups: row.groups.clone(), aggregates: row.aggregates.clone(), rank: row.rank })
        .collect();
    let mut places = presentation.places(&plain);
    let Some(top) = &presentation.top else {
        out.extend(places.into_iter().map(|(index, _)| rows[index].clone()));
        return;
    };
    places.sort_by(|(a, keys_a), (b, keys_b)| {
        keys_a.cmp(keys_b).then_with(|| compare_groups(&plain[*a].groups, &plain[*b].groups))
    });
    let ranks = top.ranks(places.iter().map(|(_, keys)| &**keys));
    out.extend(places.iter().zip(ranks).map(|((index, _), rank)| Metric { rank: Some(rank), ..rows[*index].clone() }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(values: &[Option<i128>]) -> Vec<Option<Cell>> {
        let cell = |value: &i128| Cell { values: [Value::Int(*value)].into(), revision: 0, rank: None, is_final: true };
        values.iter().map(|value| value.as_ref().map(cell)).collect()
    }

    fn first(cells: &[Option<Cell>]) -> Vec<Option<Value>> {
        cells.iter().map(|cell| cell.as_ref().map(|cell| cell.values[0].clone())).collect()
    }

    #[test]
    fn gaps_of_groups_that_have_rows_are_filled() {
        let groups: Vec<Arc<[Value]>> = (0..3).map(|group| [Value::Int(group)].into()).collect();
        // Two windows of three groups; the last group has no row at all.
        let given = [None, Some(5), None, Some(7), None, None];
        let int = |value| Some(Value::Int(value));
        for (how, expected) in [
            (Fill::None, [None, int(5), None, int(7), None, None]),
            (Fill::Zero, [int(0), int(5), None, int(7), int(0), None]),
            (Fill::Null, [Some(Value::Null), int(5), None, int(7), Some(Value::Null), None]),
            (Fill::Previous, [None, int(5), None, int(7), int(5), None]),
        ] {
            let mut cells = cells(&given);
            fill(&mut cells, &groups, how, 1);
            assert_eq!(first(&cells), expected, "{how:?}");
        }
        let mut everything = cells(&[None, None]);
        fill(&mut everything, &[[].into()], Fill::Zero, 1);
        assert_eq!(first(&everything), [int(0), int(0)]);
    }

    #[test]
    fn values_stand_beside_those_before() {
        let mut now = cells(&[Some(15), Some(3), None]);
        compare(&mut now, &cells(&[Some(10), None, Some(1)]));
        let values: Vec<_> = now.iter().flatten().map(|cell| cell.values.to_vec()).collect();
        assert_eq!(values[0], [Value::Int(15), Value::Int(10), Value::Float(0.5)]);
        assert_eq!(values[1], [Value::Int(3), Value::Null, Value::Null]);
        assert_eq!(change(&Value::Int(3), &Value::Int(0)), Value::Null);
        assert_eq!(change(&Value::Int(-3), &Value::Float(-2.0)), Value::Float(-0.5));
    }
}
