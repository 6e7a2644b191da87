//! Connections to the store's file: opened, checked to be ours, set up for writing or reading.
//!
//! `synchronous = NORMAL`: a commit survives the end of the process at once, and that of the machine from the next
//! checkpoint on; the file is whole in either case, and offsets and points are of the same commit.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::error::{Fault, Inner, StoreError};
use crate::store::schema;

/// How long one writer waits for another's transaction: far longer than any of ours is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause before what SQLite does not wait for is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Opens the store at `path` for writing, and makes it where there is none.
pub(crate) fn for_writing(path: &Path) -> Result<Connection, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let failed = |source| StoreError::Folder { path: folder.to_path_buf(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |fault: Fault| fault.at("open", path);
    let connection = open(path, flags)?;
    // SQLite opens what it may not write as a file to read, without a word.
    if connection.is_readonly("main").unwrap_or(false) {
        let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY), None);
        return Err(StoreError::ReadOnly { doing: "open", path: path.to_path_buf(), source });
    }
    if is_empty(&connection).map_err(failed)? {
        set_up(&connection, || std::thread::sleep(PAUSE)).map_err(failed)?;
    }
    check(&connection, path)?;
    schema::complete(&connection).map_err(failed)?;
    let settings =
        "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;
        PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;";
    connection.execute_batch(settings).map_err(|error| failed(error.into()))?;
    Ok(connection)
}

/// Opens the store at `path` for reading. One that is being made, or whose maker was killed meanwhile, is not there yet.
pub(crate) fn for_reading(path: &Path) -> Result<Connection, StoreError> {
    let missing = || StoreError::Missing { path: path.to_path_buf() };
    if !path.exists() {
        return Err(missing());
    }
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    match is_empty(&connection) {
        Ok(false) => {}
        Ok(true) => return Err(missing()),
        Err(Fault::Sqlite(error)) if has_hot_journal(&error) => return Err(missing()),
        Err(fault) => return Err(fault.at("open", path)),
    }
    check(&connection, path)?;
    // Mapped pages need no copy. In WAL mode the file shrinks behind the last reader that knows of it only.
    let settings = "PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 2147418112;";
    connection.execute_batch(settings).map_err(|error| Fault::from(error).at("open", path))?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        // A folder that can't be written shows as a file that can't be opened.
        Some(ErrorCode::CannotOpen) if flags.contains(OpenFlags::SQLITE_OPEN_CREATE) && is_read_only(path) => {
            StoreError::ReadOnly { doing: "open", path: path.to_path_buf(), source: error }
        }
        _ => Fault::from(error).at("open", path),
    };
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn is_read_only(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.metadata().is_ok_and(|folder| folder.permissions().readonly())
}

/// Whether nobody has written anything to the database yet.
fn is_empty(connection: &Connection) -> Inner<bool> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0 && number(connection, "application_id")? == 0 && number(connection, "user_version")? == 0)
}

/// Whether the file has the journal of a commit that was cut short, which a reader may not play back. Stores have none from their first
/// table on: it is of a maker that was killed before, or the file is none of ours, which the first writer finds out.
fn has_hot_journal(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK)
}

fn set_up(connection: &Connection, pause: impl Fn()) -> Inner<()> {
    let started = Instant::now();
    // The change to WAL begins as a reader, and SQLite lets no reader wait for a writer: here, for another process that is at the same.
    while let Err(error) = connection.execute_batch(schema::BEFORE_TABLES) {
        if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) || started.elapsed() >= PATIENCE {
            return Err(error.into());
        }
        pause();
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    // Another process may have been faster.
    let made = is_empty(connection).and_then(|is_empty| if is_empty { schema::create(connection) } else { Ok(()) });
    connection.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    made
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let read = |name| number(connection, name).map_err(|fault| fault.at("open", path));
    let path = path.to_path_buf();
    if read("application_id")? != schema::APPLICATION {
        return Err(StoreError::Foreign { path });
    }
    match read("user_version")? {
        schema::VERSION => Ok(()),
        found => Err(StoreError::Newer { path, found, known: schema::VERSION }),
    }
}

fn number(connection: &Connection, pragma: &str) -> Inner<i64> {
    Ok(connection.pragma_query_value(None, pragma, |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Checks that nothing is at `path` for a reader, in the words that tell of a file that isn't there.
    #[track_caller]
    fn check_missing(path: &Path) {
        let error = for_reading(path).expect_err("there is nothing to read");
        let missing = StoreError::Missing { path: path.to_path_buf() };
        assert_eq!((error.to_string(), error.hint()), (missing.to_string(), missing.hint()));
    }

    #[test]
    fn a_store_that_is_being_made_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        check_missing(&path);
        std::fs::write(&path, "").unwrap();
        check_missing(&path);
        let maker = Connection::open(&path).unwrap();
        maker.execute_batch(schema::BEFORE_TABLES).unwrap();
        assert!(path.metadata().unwrap().len() > 0);
        check_missing(&path);
        maker.execute_batch("BEGIN IMMEDIATE").unwrap();
        schema::create(&maker).unwrap();
        check_missing(&path);
        maker.execute_batch("COMMIT").unwrap();
        for_reading(&path).unwrap();
    }

    #[test]
    fn two_that_make_a_store_at_once_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let (one, two) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
        // Both have come as far as before the change to WAL, and one is at it.
        let first = schema::BEFORE_TABLES.split_once("PRAGMA journal_mode").unwrap().0;
        one.execute_batch(first).unwrap();
        two.execute_batch(first).unwrap();
        one.execute_batch("BEGIN IMMEDIATE").unwrap();
        let waited = Cell::new(false);
        set_up(&two, || {
            if !waited.replace(true) {
                one.execute_batch("COMMIT").unwrap();
            }
        })
        .unwrap();
        assert!(waited.get());
        set_up(&one, || unreachable!("it is there")).unwrap();
        for_reading(&path).unwrap();
    }

    #[test]
    fn a_store_whose_maker_was_killed_is_not_there_yet_and_the_next_writer_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (of_maker, path) = (folder.path().join("maker.db"), folder.path().join("s.db"));
        // A cache of some pages spills: the file is written, and its journal says that it was empty before.
        let maker = Connection::open(&of_maker).unwrap();
        let spills = "PRAGMA cache_size = 1; BEGIN; CREATE TABLE t (x);
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
            INSERT INTO t SELECT randomblob(1000) FROM n;";
        maker.execute_batch(spills).unwrap();
        std::fs::copy(&of_maker, &path).unwrap();
        std::fs::copy(of_maker.with_extension("db-journal"), path.with_extension("db-journal")).unwrap();
        assert!(path.metadata().unwrap().len() > 0);
        check_missing(&path);
        for_writing(&path).unwrap();
        for_reading(&path).unwrap();
    }
}
