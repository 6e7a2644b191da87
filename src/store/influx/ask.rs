//! What a writer reads of what is stored: answers row by row as they come, so that no more than one is in memory.
//!
//! Questions are made in `crate::store::influx::flux`. Knows nothing of what is done with the rows.

use std::ops::ControlFlow;

use crate::store::error::{Fault, Inner};
use crate::store::influx::annotated::{Row, Tables};
use crate::store::influx::deliver::{Delivery, Lease, WriteError, while_looking};
use crate::store::influx::error::InfluxError;
use crate::store::influx::rollups::{Missing, RollUps, Touch};
use crate::store::influx::{flux, form};

/// A question names its series where they are so few; else all are asked for.
const SERIES_NAMED_MAX: usize = 64;

/// Touches whose roll-ups are made at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portion<'a> {
    /// The touches.
    pub touches: &'a [Touch],
    /// Whether it can't be cut: then it is read whatever its size.
    pub is_least: bool,
}

/// Reads back what the roll-ups of a portion are made of and memory has not, from the buckets of points and of roll-ups. Breaks off
/// where memory has no room for it.
pub(crate) fn bring_in(
    delivery: &mut Delivery,
    (points, rolled): (&str, &str),
    portion: Portion<'_>,
    roll_ups: &mut RollUps,
    lease: &mut dyn Lease,
) -> Result<ControlFlow<()>, WriteError> {
    const COLUMNS: &[&str] = &[form::SERIES, "_time", "_value"];
    for missing in roll_ups.missing(portion.touches) {
        let Missing { measurement, field, span, tags, .. } = &missing;
        let bucket = if missing.is_rolled_up { rolled } else { points };
        let named: Vec<&str> = tags.iter().map(String::as_str).collect();
        let named = Some(&named[..]).filter(|named| named.len() <= SERIES_NAMED_MAX);
        let question = flux::field(bucket, (measurement, field), *span, named);
        let read = each_row(delivery, (bucket, &question), COLUMNS, lease, |row| {
            let [tag, time, text] = [0, 1, 2].map(|column| row.get(column));
            if !tags.contains(tag) {
                return Ok(ControlFlow::Continue(()));
            }
            let time = crate::time::parse_rfc3339(time.as_bytes()).map_err(|e| Fault::Damaged(e.to_string()))?;
            let has_room = roll_ups.take(&missing, tag, time.0, text)?;
            Ok(if has_room || portion.is_least { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        if read.is_break() {
            return Ok(read);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Asks a bucket, and hands these columns of each row to `see`, until it breaks off. Where an answer breaks off it is asked for again,
/// and its rows are handed out again.
pub(crate) fn each_row(
    delivery: &mut Delivery,
    (bucket, question): (&str, &str),
    columns: &'static [&'static str],
    lease: &mut dyn Lease,
    mut see: impl FnMut(Row<'_>) -> Inner<ControlFlow<()>> + Send,
) -> Result<ControlFlow<()>, WriteError> {
    let seen = delivery.again(lease, |client, _, lease| {
        while_looking(lease, || -> Result<Inner<ControlFlow<()>>, InfluxError> {
            let mut tables = Tables::new(client.query_flux(question)?, columns);
            while let Some(row) = tables.next().map_err(|error| client.broken("ask", error))? {
                match see(row) {
                    Ok(ControlFlow::Continue(())) => {}
                    ended => return Ok(ended),
                }
            }
            Ok(Ok(ControlFlow::Continue(())))
        })
    })?;
    seen.map_err(|fault| WriteError::damaged(bucket, fault))
}
