//! Connections to the store's file: opened, checked to be ours, set up for writing or reading.
//!
//! `synchronous = NORMAL`: a commit survives the end of the process at once, and that of the machine from the next
//! checkpoint on; the file is whole in either case, and offsets and points are of the same commit.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::error::{Fault, Inner, StoreError};
use crate::store::schema;

/// How long one writer waits for another's transaction: far longer than any of ours is.
const PATIENCE: Duration = Duration::from_secs(60);

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
        set_up(&connection).map_err(failed)?;
    }
    check(&connection, path)?;
    schema::complete(&connection).map_err(failed)?;
    let settings =
        "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;
        PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;";
    connection.execute_batch(settings).map_err(|error| failed(error.into()))?;
    Ok(connection)
}

/// Opens the store at `path` for reading.
pub(crate) fn for_reading(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_path_buf() });
    }
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    if is_empty(&connection).map_err(|fault| fault.at("open", path))? {
        return Err(StoreError::Foreign { path: path.to_path_buf() });
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

fn set_up(connection: &Connection) -> Inner<()> {
    connection.execute_batch(schema::BEFORE_TABLES)?;
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
