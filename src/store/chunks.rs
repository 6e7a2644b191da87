//! The table of chunks: loaded, saved, walked. One blob a (series, grain, start).
//!
//! Knows nothing of what is in a chunk.

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::catalogue::Grain;
use crate::store::error::Inner;

/// Reads a chunk into `out`. False, and `out` empty, when there is none.
pub(crate) fn load(connection: &Connection, series: i64, grain: Grain, start: i64, out: &mut Vec<u8>) -> Inner<bool> {
    out.clear();
    let mut statement =
        connection.prepare_cached("SELECT data FROM chunks WHERE series = ?1 AND grain = ?2 AND start = ?3")?;
    let found = statement.query_row(params![series, grain as i64, start], |row| {
        out.extend_from_slice(row.get_ref(0)?.as_blob()?);
        Ok(())
    });
    Ok(found.optional()?.is_some())
}

/// Writes a chunk in place of the one that may be there.
pub(crate) fn save(connection: &Connection, series: i64, grain: Grain, start: i64, data: &[u8]) -> Inner<()> {
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO chunks (series, grain, start, data) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![series, grain as i64, start, data])?;
    Ok(())
}

/// Removes a chunk.
pub(crate) fn remove(connection: &Connection, series: i64, grain: Grain, start: i64) -> Inner<()> {
    let mut statement =
        connection.prepare_cached("DELETE FROM chunks WHERE series = ?1 AND grain = ?2 AND start = ?3")?;
    statement.execute(params![series, grain as i64, start])?;
    Ok(())
}

/// Calls `see` with start and bytes of each chunk of a series that begins from `first` to `last`, in order.
pub(crate) fn each(
    connection: &Connection,
    series: i64,
    grain: Grain,
    first: i64,
    last: i64,
    mut see: impl FnMut(i64, &[u8]) -> Inner<()>,
) -> Inner<()> {
    let mut statement = connection.prepare_cached(
        "SELECT start, data FROM chunks WHERE series = ?1 AND grain = ?2 AND start BETWEEN ?3 AND ?4 ORDER BY start",
    )?;
    let mut rows = statement.query(params![series, grain as i64, first, last])?;
    while let Some(row) = rows.next()? {
        see(row.get(0)?, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
    }
    Ok(())
}
