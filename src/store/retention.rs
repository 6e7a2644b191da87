//! What is dropped: old points, old roll-ups, metrics that were reset.
//!
//! Points older than *hot* go where hourly roll-ups live on; a metric that has none keeps its points until *cold*, when roll-ups
//! go, too. The horizon is written first, so that neither a writer nor a reader looks behind it while the points go in
//! slices: small transactions with pauses between, so that a writer waits for milliseconds at most. Cut short, the
//! next run ends the work. A horizon never goes back, whoever else moves it meanwhile. Knows nothing of clocks: it is told the time.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::catalogue::{DAY, Grain, WindowKind};
use crate::store::connection;
use crate::store::entry;
use crate::store::error::{Inner, StoreError};
use crate::store::metrics::StoredMetric;
use crate::store::reader::{metrics, series};
use crate::store::{catalogue::Grid, chunks};
use crate::time::{Duration, Timestamp};

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Points older than this go where hourly roll-ups live on.
    pub hot: Option<Duration>,
    /// Everything older than this goes.
    pub cold: Option<Duration>,
}

/// What was dropped of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub metric: String,
    /// Points.
    pub points: u64,
    /// Roll-ups.
    pub roll_ups: u64,
    /// From when on there are points.
    pub kept_from: Option<Timestamp>,
}

/// Chunks that one transaction removes, and series that it looks at.
const SLICE_ROWS: usize = 200;

/// Pages that one transaction gives back to the file system.
const SLICE_PAGES: i64 = 200;

/// Drops what is too old at `now` from the store at `path`; says what, by metric. Room in the file is given back.
pub fn retain(path: &Path, limits: Limits, now: Timestamp) -> Result<Vec<Dropped>, StoreError> {
    let connection = connection::for_writing(path)?;
    let all = || {
        sweep_dropped(&connection)?;
        let metrics = metrics(&connection)?;
        let dropped = metrics.iter().map(|metric| retain_metric(&connection, metric, limits, now));
        let dropped = dropped.collect::<Inner<Vec<_>>>()?;
        give_back(&connection)?;
        Ok(dropped)
    };
    all().map_err(|fault: crate::store::error::Fault| fault.at("write to", path))
}

fn retain_metric(connection: &Connection, metric: &StoredMetric, limits: Limits, now: Timestamp) -> Inner<Dropped> {
    let catalogue = &metric.catalogue;
    // Whole days, so that days are made of whole hours, and hours of all of their points.
    let before = |age: Option<Duration>| age.map_or(i64::MIN, |age| now.0.saturating_sub(age.0).div_euclid(DAY) * DAY);
    let lasts = catalogue.window == WindowKind::Global;
    let cold = if lasts { i64::MIN } else { before(limits.cold) };
    let hot = if catalogue.has(Grain::Hour) { before(limits.hot) } else { i64::MIN };
    let mut dropped = Dropped { metric: catalogue.name.clone(), points: 0, roll_ups: 0, kept_from: None };
    // It may have been dropped meanwhile.
    let Some((kept_from, rolled_from)) = move_horizons(connection, metric.id, (hot.max(cold), cold))? else {
        return Ok(dropped);
    };
    dropped.kept_from = (kept_from > i64::MIN).then_some(Timestamp(kept_from));
    slice(connection, || {
        let mut statement = connection.prepare_cached(
            "DELETE FROM late_points WHERE start < ?2 AND series IN (SELECT id FROM series WHERE metric = ?1)",
        )?;
        // A chunk that reaches beyond the horizon stays whole: what is before it is looked at no more.
        statement.execute(params![metric.id, catalogue.grid(Grain::Points).chunk(kept_from)])?;
        Ok(())
    })?;
    let ids: Vec<i64> = series(connection, metric.id)?.into_iter().map(|series| series.id).collect();
    for grain in Grain::ALL {
        let from = if grain == Grain::Points { kept_from } else { rolled_from };
        let gone = drop_before(connection, metric, &ids, grain, from)?;
        if grain == Grain::Points { dropped.points += gone } else { dropped.roll_ups += gone }
    }
    remove_empty(connection, metric.id, &ids)?;
    Ok(dropped)
}

/// Moves the horizons of a metric's points and roll-ups up to these, and says where they are then: another retention may be further.
///
/// Behind a horizon the points are gone of which roll-ups were made, so what comes late would be added to them twice if it went back.
fn move_horizons(
    connection: &Connection,
    metric: i64,
    (kept_from, rolled_from): (i64, i64),
) -> Inner<Option<(i64, i64)>> {
    slice(connection, || {
        let mut statement = connection.prepare_cached(
            "UPDATE metrics SET kept_from = max(kept_from, ?2), rolled_from = max(rolled_from, ?3) WHERE id = ?1
             RETURNING kept_from, rolled_from",
        )?;
        let moved = statement.query_row(params![metric, kept_from, rolled_from], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(moved.optional()?)
    })
}

/// Removes the points, or roll-ups, that start before `from`. Gives their number.
fn drop_before(connection: &Connection, metric: &StoredMetric, ids: &[i64], grain: Grain, from: i64) -> Inner<u64> {
    let grid = metric.catalogue.grid(grain);
    let (mut gone, mut next) = (0, 0);
    while from > i64::MIN && next < ids.len() {
        let gone_now = slice(connection, || {
            let (mut points, mut chunks_seen, mut series_seen) = (0, 0, 0);
            while next < ids.len() && chunks_seen < SLICE_ROWS && series_seen < SLICE_ROWS {
                let seen = trim(connection, ids[next], grain, &grid, from, SLICE_ROWS - chunks_seen)?;
                (points, chunks_seen) = (points + seen.points, chunks_seen + seen.chunks);
                if seen.is_done {
                    (next, series_seen) = (next + 1, series_seen + 1);
                }
            }
            if grain == Grain::Points {
                let mut statement =
                    connection.prepare_cached("UPDATE metrics SET points = points - ?2 WHERE id = ?1")?;
                statement.execute(params![metric.id, points as i64])?;
            }
            Ok(points)
        })?;
        gone += gone_now;
    }
    Ok(gone)
}

/// What one look at a series removed.
struct Trimmed {
    points: u64,
    chunks: usize,
    is_done: bool,
}

/// Removes up to `limit` chunks of a series before `from`; of the chunk that holds `from`, the entries before it.
fn trim(connection: &Connection, series: i64, grain: Grain, grid: &Grid, from: i64, limit: usize) -> Inner<Trimmed> {
    let mut statement = connection.prepare_cached(
        "SELECT start, data FROM chunks WHERE series = ?1 AND grain = ?2 AND start < ?3 ORDER BY start LIMIT ?4",
    )?;
    let old = statement.query_map(params![series, grain as i64, from, limit as i64], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let old = old.collect::<Result<Vec<_>, _>>()?;
    let mut trimmed = Trimmed { points: 0, chunks: old.len(), is_done: old.len() < limit };
    for (start, data) in old {
        let entries = entry::entries(grid, start, &data)?;
        let kept = &entries[entries.partition_point(|entry| entry.start < from)..];
        trimmed.points += (entries.len() - kept.len()) as u64;
        if kept.is_empty() {
            chunks::remove(connection, series, grain, start)?;
        } else if kept.len() < entries.len() {
            let mut rest = Vec::new();
            entry::begin(&mut rest);
            kept.iter().for_each(|entry| entry::push(grid, start, entry, &mut rest));
            chunks::save(connection, series, grain, start, &rest)?;
        } else {
            trimmed.is_done = true;
        }
    }
    Ok(trimmed)
}

/// Removes series of which nothing is left.
fn remove_empty(connection: &Connection, metric: i64, ids: &[i64]) -> Inner<()> {
    for some in ids.chunks(SLICE_ROWS) {
        slice(connection, || {
            let mut statement = connection.prepare_cached(
                "DELETE FROM series WHERE id = ?1 AND metric = ?2
                 AND NOT EXISTS (SELECT 1 FROM chunks WHERE series = ?1)",
            )?;
            let mut removed = 0;
            for id in some {
                removed += statement.execute(params![id, metric])?;
            }
            if removed > 0 {
                connection.execute("UPDATE meta SET sweeps = sweeps + 1", [])?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Gives free pages of the file back, bit by bit.
fn give_back(connection: &Connection) -> Inner<()> {
    loop {
        let free =
            |connection: &Connection| connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
        let before = free(connection)?;
        if before == 0 {
            break;
        }
        let begun = Instant::now();
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({SLICE_PAGES})"))?;
        if free(connection)? >= before {
            break;
        }
        std::thread::sleep(begun.elapsed());
    }
    Ok(())
}

/// Removes what is left of metrics that were dropped.
pub(crate) fn sweep_dropped(connection: &Connection) -> Inner<()> {
    while slice(connection, || sweep_slice(connection))? {}
    Ok(())
}

/// Removes one slice. False when nothing was left.
fn sweep_slice(connection: &Connection) -> Inner<bool> {
    let metric = connection.query_row("SELECT id FROM metrics WHERE name IS NULL", [], |row| row.get::<_, i64>(0));
    let Some(metric) = metric.optional()? else { return Ok(false) };
    let series = connection.query_row("SELECT id FROM series WHERE metric = ?1", [metric], |row| row.get::<_, i64>(0));
    let Some(series) = series.optional()? else {
        connection.execute("DELETE FROM metrics WHERE id = ?1", [metric])?;
        return Ok(true);
    };
    let mut statement = connection.prepare_cached(
        "DELETE FROM chunks WHERE series = ?1 AND (grain, start) IN
            (SELECT grain, start FROM chunks WHERE series = ?1 ORDER BY grain, start LIMIT ?2)",
    )?;
    if statement.execute(params![series, SLICE_ROWS as i64])? < SLICE_ROWS {
        connection.execute("DELETE FROM late_points WHERE series = ?1", [series])?;
        connection.execute("DELETE FROM series WHERE id = ?1", [series])?;
        connection.execute("UPDATE meta SET sweeps = sweeps + 1", [])?;
    }
    Ok(true)
}

/// Does some work in a transaction of its own, then leaves as much time to others as it took.
fn slice<T>(connection: &Connection, work: impl FnOnce() -> Inner<T>) -> Inner<T> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let begun = Instant::now();
    let done = work().and_then(|done| {
        // Readers side by side tell by this number whether they see the same.
        connection.execute("UPDATE meta SET commits = commits + 1", [])?;
        connection.execute_batch("COMMIT")?;
        Ok(done)
    });
    if done.is_err() {
        // The transaction may have ended by itself, as when the disk is full.
        let _ = connection.execute_batch("ROLLBACK");
    }
    std::thread::sleep(begun.elapsed());
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::influx::testing::points::{Event, catalogue, job, query, rows};
    use crate::store::writer::{Job, Writer};
    use crate::store::{Catalogue, check};
    use crate::value::Value;

    const DAYS: i64 = 40;

    /// A store with a point a day.
    fn stored(path: &Path) -> (Catalogue, Writer) {
        let catalogue = catalogue(&query("m", "1m", "g", "count(*) AS n"));
        let (mut writer, _) = Writer::open(path, &job(std::slice::from_ref(&catalogue))).unwrap();
        let all: Vec<Event> = (0..DAYS).map(event).collect();
        writer.write(&rows(0, &catalogue, &all)).unwrap();
        writer.commit(&[], b"").unwrap();
        (catalogue, writer)
    }

    fn event(day: i64) -> Event {
        Event { groups: vec![Value::Int(1)], time: day * DAY, amount: Value::Int(1) }
    }

    fn limits(hot: i64, cold: i64) -> Limits {
        Limits { hot: Some(Duration(hot * DAY)), cold: Some(Duration(cold * DAY)) }
    }

    const NOW: Timestamp = Timestamp(DAYS * DAY);

    #[test]
    fn a_horizon_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let (catalogue, mut writer) = stored(&path);
        // One that keeps more has read the metrics, and comes to write when one that keeps less is done.
        let slow = connection::for_writing(&path).unwrap();
        let known = metrics(&slow).unwrap().remove(0);
        retain(&path, limits(10, 20), NOW).unwrap();
        let dropped = retain_metric(&slow, &known, limits(15, 30), NOW).unwrap();
        assert_eq!((dropped.points, dropped.roll_ups, dropped.kept_from), (0, 0, Some(Timestamp(30 * DAY))));
        let now = metrics(&slow).unwrap().remove(0);
        assert_eq!((now.kept_from, now.rolled_from), (Some(Timestamp(30 * DAY)), Some(Timestamp(20 * DAY))));
        // Of that time there are roll-ups and no points: it would be counted twice.
        writer.write(&rows(0, &catalogue, &[event(27)])).unwrap();
        writer.commit(&[], b"").unwrap();
        assert_eq!(writer.refused(), 1);
        assert_eq!(check::check(&path).unwrap().findings, [""; 0]);
        // Each horizon moves on by itself.
        retain_metric(&slow, &known, limits(12, 15), NOW).unwrap();
        let now = metrics(&slow).unwrap().remove(0);
        assert_eq!((now.kept_from, now.rolled_from), (Some(Timestamp(30 * DAY)), Some(Timestamp(25 * DAY))));
    }

    #[test]
    fn of_a_metric_that_was_reset_meanwhile_nothing_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let (catalogue, writer) = stored(&path);
        let slow = connection::for_writing(&path).unwrap();
        let known = metrics(&slow).unwrap().remove(0);
        drop(writer);
        let again = Job { reset: true, ..job(std::slice::from_ref(&catalogue)) };
        let (mut writer, _) = Writer::open(&path, &again).unwrap();
        writer.write(&rows(0, &catalogue, &[event(0)])).unwrap();
        writer.commit(&[], b"").unwrap();
        let dropped = retain_metric(&slow, &known, limits(10, 20), NOW).unwrap();
        assert_eq!((dropped.points, dropped.roll_ups, dropped.kept_from), (0, 0, None));
        let now = metrics(&slow).unwrap().remove(0);
        assert_eq!((now.points, now.kept_from), (1, None));
    }
}
