//! Rows as they are stored, of one slice of time.
//!
//! Knows nothing of merging.

use rayon::prelude::*;

use crate::query::answer::{Cell, share};
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
    let tasks = tasks(series, range, readers.len());
    let found = readers.par_iter_mut().zip(tasks).map(|(reader, (series, range))| {
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

/// Some series, each with its group, and the time to read of them.
type Task<'a> = (&'a [(i64, u32)], (Timestamp, Timestamp));

/// What each reader takes: some of the series, or of the time where there are fewer series than readers.
fn tasks(series: &[(i64, u32)], (from, until): (Timestamp, Timestamp), readers: usize) -> Vec<Task<'_>> {
    if series.len() >= readers {
        return share(series, readers).into_iter().map(|series| (series, (from, until))).collect();
    }
    let length = i128::from(until.0) - i128::from(from.0);
    let edge = |part: usize| Timestamp((i128::from(from.0) + length * part as i128 / readers as i128) as i64);
    (0..readers).map(|part| (series, (edge(part), edge(part + 1)))).collect()
}

fn cell(mut point: Point, fields: &[usize]) -> Cell {
    let is_all = fields.len() == point.values.len() && fields.iter().enumerate().all(|(index, field)| index == *field);
    let values = match is_all {
        true => point.values,
        false => fields.iter().map(|field| std::mem::replace(&mut point.values[*field], Value::Null)).collect(),
    };
    Cell { values, revision: point.revision, rank: point.rank, is_final: point.is_final }
}
