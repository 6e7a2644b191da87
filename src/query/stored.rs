//! Rows as they are stored, of one slice of time.
//!
//! Knows nothing of merging.

use rayon::prelude::*;

use crate::query::answer::{Cell, Task, tasks};
use crate::store::{Point, Points, StoreError, StoredMetric};
use crate::time::{Timestamp, Window};
use crate::value::Value;

/// A point's window, the number of its group, and what it says.
pub type Placed = (Window, u32, Cell);

/// The points of these series whose windows start within the range, in order of start, end, and rank or group.
pub fn rows<M: Points>(
    readers: &mut [M],
    metric: &StoredMetric,
    series: &[(i64, u32)],
    fields: &[usize],
    range: (Timestamp, Timestamp),
) -> Result<Vec<Placed>, StoreError> {
    let tasks = tasks(series, range, readers);
    let found = readers.par_iter_mut().zip(tasks).map(|(reader, Task { series, range, .. })| {
        let mut found: Vec<Placed> = Vec::new();
        reader.points(metric, series, range, |number, point| {
            found.push((point.window, series[number].1, cell(point, fields)));
        })?;
        Ok(found)
    });
    let mut found: Vec<Placed> = found.collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect();
    found.par_sort_by_key(|(window, group, cell)| (window.start, window.end, cell.rank, *group));
    Ok(found)
}

fn cell(mut point: Point, fields: &[usize]) -> Cell {
    let is_all = fields.len() == point.values.len() && fields.iter().enumerate().all(|(index, field)| index == *field);
    let values = match is_all {
        true => point.values,
        false => fields.iter().map(|field| std::mem::replace(&mut point.values[*field], Value::Null)).collect(),
    };
    Cell { values, revision: point.revision, rank: point.rank, is_final: point.is_final }
}
