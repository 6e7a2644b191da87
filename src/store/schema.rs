//! The tables of the store and their version.
//!
//! `application_id` tells our files from other SQLite databases, `user_version` one form of the tables from another.

use rusqlite::Connection;

use crate::store::error::Inner;

/// "evkt": written into every store.
pub(crate) const APPLICATION: i64 = 0x6576_6b74;

/// The form of the tables that this program reads and writes.
pub(crate) const VERSION: i64 = 1;

/// Settings that must be made before the first table.
///
/// Pages of 8 KiB hold a chunk of some sixty points whole; free pages can be given back bit by bit.
pub(crate) const BEFORE_TABLES: &str = "
    PRAGMA page_size = 8192;
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
";

/// * `meta`: one row. `commits` numbers what was committed, for followers; `sweeps` changes when series were removed.
/// * `jobs`: what writes metrics. `epoch` counts its owners: a writer of an older one is fenced.
/// * `metrics`: a name is NULL once the metric was dropped, until its points are swept away. `points` counts those of full grain.
///   Points that start before `kept_from` were dropped, roll-ups before `rolled_from` too.
/// * `series`: a group of a metric, by its type-exact key.
/// * `chunks`: points (grain 0) and roll-ups by hour (1) and day (2).
/// * `changes`: between which starts a commit changed a metric; the last ones only.
const TABLES: &str = "
    CREATE TABLE meta (commits INTEGER NOT NULL, sweeps INTEGER NOT NULL);
    INSERT INTO meta VALUES (0, 0);
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint TEXT NOT NULL, epoch INTEGER NOT NULL, owner TEXT NOT NULL, state BLOB
    );
    CREATE TABLE metrics (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, catalogue TEXT NOT NULL, job INTEGER NOT NULL,
        points INTEGER NOT NULL, refused INTEGER NOT NULL, kept_from INTEGER NOT NULL, rolled_from INTEGER NOT NULL
    );
    CREATE TABLE series (
        id INTEGER PRIMARY KEY AUTOINCREMENT, metric INTEGER NOT NULL, key BLOB NOT NULL, UNIQUE (metric, key)
    );
    CREATE TABLE chunks (
        series INTEGER NOT NULL, grain INTEGER NOT NULL, start INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (series, grain, start)
    ) WITHOUT ROWID;
    CREATE TABLE source_offsets (
        job INTEGER NOT NULL, source TEXT NOT NULL, identity BLOB NOT NULL, offset INTEGER NOT NULL, lines INTEGER NOT NULL,
        PRIMARY KEY (job, source)
    ) WITHOUT ROWID;
    CREATE TABLE changes (
        number INTEGER NOT NULL, metric INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (number, metric)
    ) WITHOUT ROWID;
";

/// Tables that stores of earlier programs lack; whoever knows nothing of them leaves them alone.
///
/// * `backfills`: how far a backfill of a job's metrics has come that is not complete: windows that end by `made` are, and all others are
///   made of events from `needed` on. `made_of` is what tells one backfill from another.
/// * `repairs`: how far a job's late events have been repaired, and by what: opaque. Also there, as one from an archive, once a backfill
///   has made points beside a live run: it may have taken late events as on time.
/// * `late_points`: what repairs added to points, in chunks like these. It is merged into what the owner writes of their windows.
const LATER_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS backfills (
        job INTEGER PRIMARY KEY, made_of INTEGER NOT NULL, made INTEGER NOT NULL, needed INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS repairs (job INTEGER PRIMARY KEY, means TEXT NOT NULL, state BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS late_points (
        series INTEGER NOT NULL, start INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (series, start)
    ) WITHOUT ROWID;
";

/// Makes the tables that an earlier program did not. Writes nothing where they are there.
pub(crate) fn complete(connection: &Connection) -> Inner<()> {
    Ok(connection.execute_batch(LATER_TABLES)?)
}

/// Forgets the backfills of jobs that are gone, within a transaction of the caller's.
pub(crate) fn forget_backfills(connection: &Connection) -> Inner<()> {
    Ok(connection.execute_batch("DELETE FROM backfills WHERE job NOT IN (SELECT id FROM jobs)")?)
}

/// Makes the tables in an empty database, within a transaction of the caller's.
pub(crate) fn create(connection: &Connection) -> Inner<()> {
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}
