//! The registry as one SQLite file. Several processes may use it at the same time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use serde_json::Value;

use crate::registry::{
    Candidate, Dashboard, Put, Registry, RegistryError, Step, StepState, Stored, check_dashboard_name, judged,
};
use crate::time::Timestamp;

/// Marks the file as ours: "evrg".
const APPLICATION_ID: i32 = 0x6576_7267;
/// How long one process waits for another's transaction.
const PATIENCE: Duration = Duration::from_secs(30);

/// What each step makes, in order. The file's version is how many of them were taken; one that was released is never changed.
const MIGRATIONS: [(&str, &str); 2] = [
    (
        "table schemas: every version of every schema",
        "CREATE TABLE schemas (
            event_type TEXT NOT NULL, version INTEGER NOT NULL, created INTEGER NOT NULL, schema TEXT NOT NULL,
            PRIMARY KEY (event_type, version)) WITHOUT ROWID",
    ),
    (
        "table dashboards: layouts for evtop",
        "CREATE TABLE dashboards (
            id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, config TEXT NOT NULL,
            created_by INTEGER NOT NULL, is_public INTEGER NOT NULL)",
    ),
];
const VERSION: i32 = MIGRATIONS.len() as i32;

/// The first version that has dashboards.
const VERSION_WITH_DASHBOARDS: i32 = 2;

const DASHBOARDS: &str =
    "SELECT name, config, created_by, is_public FROM dashboards WHERE (created_by = ?1 OR is_public)";

/// A registry in a file.
#[derive(Debug)]
pub struct SqliteRegistry {
    connection: Connection,
    path: PathBuf,
}

impl SqliteRegistry {
    /// Opens the registry at `path`, and makes it where there is none.
    pub fn open_or_make(path: &Path) -> Result<SqliteRegistry, RegistryError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let failed = |source| RegistryError::Folder { path: folder.to_path_buf(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut registry =
            SqliteRegistry::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        registry.migrate().map_err(|source| registry.failed("set up", source))?;
        registry.version()?;
        Ok(registry)
    }

    /// Opens the registry at `path`, to read from it. One that is being made is not there yet.
    pub fn open(path: &Path) -> Result<SqliteRegistry, RegistryError> {
        let registry = if path.exists() { Some(SqliteRegistry::connect_to_read(path)?) } else { None };
        match registry {
            Some(registry) if registry.version_or_empty()? > 0 => Ok(registry),
            _ => Err(RegistryError::Missing { path: path.to_path_buf() }),
        }
    }

    /// Takes the steps that are missing; with `dry_run` only says which.
    pub fn init(path: &Path, dry_run: bool) -> Result<Vec<Step>, RegistryError> {
        let before = match path.exists() {
            true => SqliteRegistry::connect_to_read(path)?.version_or_empty()?,
            false => 0,
        };
        if !dry_run {
            SqliteRegistry::open_or_make(path)?;
        }
        let state = |number| match number <= before {
            true => StepState::WasThere,
            false if dry_run => StepState::Planned,
            false => StepState::Done,
        };
        Ok((1..).zip(MIGRATIONS).map(|(number, (name, _))| Step { name, state: state(number) }).collect())
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<SqliteRegistry, RegistryError> {
        let failed = |source| RegistryError::Sqlite { doing: "open", path: path.to_path_buf(), source };
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        Ok(SqliteRegistry { connection, path: path.to_path_buf() })
    }

    /// Opens a file that is there. Where a writer was killed in mid-commit, what he began is undone, which takes the right to write.
    fn connect_to_read(path: &Path) -> Result<SqliteRegistry, RegistryError> {
        let registry = SqliteRegistry::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        match registry.tables() {
            Err(error) if has_hot_journal(&error) => SqliteRegistry::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE),
            _ => Ok(registry),
        }
    }

    fn tables(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
    }

    /// Takes the steps that are missing, in a file that is empty or ours.
    fn migrate(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let number = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let (id, version) = (number("application_id")?, number("user_version")?);
        if tables == 0 || id == APPLICATION_ID {
            for (number, (_, sql)) in (1..).zip(MIGRATIONS).filter(|(number, _)| *number > version) {
                transaction.execute_batch(sql)?;
                transaction.pragma_update(None, "user_version", number)?;
            }
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        transaction.commit()
    }

    /// How many steps were taken in a file that is ours.
    fn version(&self) -> Result<i32, RegistryError> {
        let read = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let foreign = |cause: String| Err(RegistryError::Foreign { registry: self.path.display().to_string(), cause });
        match (read("application_id"), read("user_version")) {
            (Ok(APPLICATION_ID), Ok(version @ 1..=VERSION)) => Ok(version),
            (Ok(APPLICATION_ID), Ok(version)) => {
                foreign(format!("it has version {version}, and this release knows version {VERSION}"))
            }
            (Ok(_), Ok(_)) => foreign("it is another SQLite file".to_owned()),
            (Err(error), _) | (_, Err(error)) => Err(self.unreadable(error)),
        }
    }

    /// The same, 0 for a file with nothing in it.
    fn version_or_empty(&self) -> Result<i32, RegistryError> {
        match self.tables() {
            Ok(0) => Ok(0),
            Ok(_) => self.version(),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    fn unreadable(&self, error: rusqlite::Error) -> RegistryError {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                RegistryError::Foreign { registry: self.path.display().to_string(), cause: error.to_string() }
            }
            _ => self.failed("read", error),
        }
    }

    /// All versions that a query finds.
    fn all(&self, query: &str) -> Result<Vec<Stored>, RegistryError> {
        let all = || self.connection.prepare(query)?.query_map([], stored)?.collect::<rusqlite::Result<Vec<Stored>>>();
        all().map_err(|source| self.failed("read", source))
    }

    fn failed(&self, doing: &'static str, source: rusqlite::Error) -> RegistryError {
        RegistryError::Sqlite { doing, path: self.path.clone(), source }
    }
}

impl Registry for SqliteRegistry {
    fn put(&mut self, candidate: &Candidate<'_>, now: Timestamp) -> Result<Put, RegistryError> {
        let path = self.path.clone();
        let failed = |source| RegistryError::Sqlite { doing: "write to", path: path.clone(), source };
        // Whoever else puts a version waits: it is judged by this one then.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let newest = version(&transaction, candidate.event_type, None).map_err(failed)?;
        let put = judged(candidate, newest.as_ref())?;
        if !put.was_there {
            let row = params![candidate.event_type, put.version, now.0, candidate.schema.to_string()];
            transaction
                .execute("INSERT INTO schemas (event_type, version, created, schema) VALUES (?, ?, ?, ?)", row)
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(put)
    }

    fn check(&mut self, candidate: &Candidate<'_>) -> Result<Put, RegistryError> {
        judged(candidate, self.get(candidate.event_type, None)?.as_ref())
    }

    fn get(&mut self, event_type: &str, number: Option<u32>) -> Result<Option<Stored>, RegistryError> {
        version(&self.connection, event_type, number).map_err(|source| self.failed("read", source))
    }

    fn list(&mut self) -> Result<Vec<Stored>, RegistryError> {
        self.all("SELECT event_type, version, created, schema FROM schemas ORDER BY event_type, version")
    }

    fn newest(&mut self) -> Result<Vec<Stored>, RegistryError> {
        // Of a group with one max(), the other columns are those of its row.
        self.all(
            "SELECT event_type, max(version), created, schema FROM schemas GROUP BY event_type ORDER BY event_type",
        )
    }

    fn put_dashboard(&mut self, dashboard: &Dashboard) -> Result<bool, RegistryError> {
        check_dashboard_name(&dashboard.name)?;
        put_dashboard(&mut self.connection, dashboard).map_err(|source| self.failed("write to", source))
    }

    fn dashboard(&mut self, name: &str, user: i64) -> Result<Option<Dashboard>, RegistryError> {
        if self.version()? < VERSION_WITH_DASHBOARDS {
            return Ok(None);
        }
        // One's own goes before others', and of several of one name the latest.
        let query = format!("{DASHBOARDS} AND name = ?2 ORDER BY created_by = ?1 DESC, id DESC LIMIT 1");
        let found = self.connection.query_row(&query, params![user, name], dashboard).optional();
        found.map_err(|source| self.failed("read", source))
    }

    fn dashboards(&mut self, user: i64) -> Result<Vec<Dashboard>, RegistryError> {
        if self.version()? < VERSION_WITH_DASHBOARDS {
            return Ok(Vec::new());
        }
        let query = format!("{DASHBOARDS} ORDER BY name, created_by, id");
        let all = || {
            self.connection.prepare(&query)?.query_map([user], dashboard)?.collect::<rusqlite::Result<Vec<Dashboard>>>()
        };
        all().map_err(|source| self.failed("read", source))
    }
}

/// Whether the file has the journal of a commit that was cut short, and this connection may not play it back.
pub(crate) fn has_hot_journal(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK)
}

fn put_dashboard(connection: &mut Connection, dashboard: &Dashboard) -> rusqlite::Result<bool> {
    let Dashboard { name, config, created_by, is_public } = dashboard;
    let row = params![name, config.to_string(), created_by, is_public];
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let query = "UPDATE dashboards SET config = ?2, is_public = ?4
        WHERE id = (SELECT max(id) FROM dashboards WHERE name = ?1 AND created_by = ?3)";
    let replaced = transaction.execute(query, row)? > 0;
    if !replaced {
        let query = "INSERT INTO dashboards (name, config, created_by, is_public) VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(query, row)?;
    }
    transaction.commit()?;
    Ok(replaced)
}

fn version(connection: &Connection, event_type: &str, version: Option<u32>) -> rusqlite::Result<Option<Stored>> {
    let query = "SELECT event_type, version, created, schema FROM schemas
        WHERE event_type = ?1 AND version = coalesce(?2, version) ORDER BY version DESC LIMIT 1";
    connection.query_row(query, params![event_type, version], stored).optional()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored { event_type: row.get(0)?, version: row.get(1)?, created: Timestamp(row.get(2)?), schema: json(row, 3)? })
}

fn dashboard(row: &Row<'_>) -> rusqlite::Result<Dashboard> {
    Ok(Dashboard { name: row.get(0)?, config: json(row, 1)?, created_by: row.get(2)?, is_public: row.get(3)? })
}

fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    let no_json =
        |error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error));
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(no_json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::schema::compatible::Compatibility;

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
        assert!(matches!(SqliteRegistry::open_or_make(&path), Err(RegistryError::Foreign { .. })));
        assert!(matches!(SqliteRegistry::init(&path, true), Err(RegistryError::Foreign { .. })));
        assert!(matches!(SqliteRegistry::open(&folder.path().join("none.db")), Err(RegistryError::Missing { .. })));
        let text = folder.path().join("text.db");
        std::fs::write(&text, "no database, but a text that is long enough to be looked at").unwrap();
        assert!(matches!(SqliteRegistry::open(&text), Err(RegistryError::Foreign { .. })));
    }

    #[test]
    fn a_registry_that_is_being_made_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        let check_missing = || {
            let error = SqliteRegistry::open(&path).unwrap_err();
            assert!(matches!(error, RegistryError::Missing { .. }), "{error}");
        };
        check_missing();
        std::fs::write(&path, "").unwrap();
        check_missing();
        let maker = Connection::open(&path).unwrap();
        // The first page is written, and no table is in it.
        maker.execute_batch("CREATE TABLE t (x); DROP TABLE t; BEGIN IMMEDIATE").unwrap();
        check_missing();
        maker.execute_batch(MIGRATIONS[0].1).unwrap();
        check_missing();
        drop(maker);
        assert!(SqliteRegistry::init(&path, true).unwrap().iter().all(|step| step.state == StepState::Planned));
        SqliteRegistry::open_or_make(&path).unwrap();
        SqliteRegistry::open(&path).unwrap();
    }

    /// Copies a file and its journal, as a writer leaves them that is killed in mid-commit.
    fn copy_torn(from: &Path, to: &Path) {
        let journal = |path: &Path| path.with_extension("db-journal");
        std::fs::copy(from, to).unwrap();
        std::fs::copy(journal(from), journal(to)).unwrap();
        let reader = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let read = reader.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        assert!(has_hot_journal(&read.unwrap_err()), "the journal is one that is to be played back");
    }

    #[test]
    fn what_a_killed_writer_began_is_undone_by_whoever_reads() {
        let folder = tempfile::tempdir().unwrap();
        let (path, torn) = (folder.path().join("r.db"), folder.path().join("torn.db"));
        let mut registry = SqliteRegistry::open_or_make(&path).unwrap();
        let candidate = Candidate { event_type: "t", schema: &Value::Bool(true), compatibility: Compatibility::None };
        registry.put(&candidate, Timestamp(5)).unwrap();
        let before = registry.list().unwrap();
        // A cache of some pages spills into the file before the commit.
        let spills = "PRAGMA cache_size = 1; BEGIN; UPDATE schemas SET schema = 'false';
            WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
            INSERT INTO schemas SELECT 't', i, 0, hex(randomblob(500)) FROM n;";
        registry.connection.execute_batch(spills).unwrap();
        copy_torn(&path, &torn);
        assert!(SqliteRegistry::init(&torn, true).unwrap().iter().all(|step| step.state == StepState::WasThere));
        assert_eq!(SqliteRegistry::open(&torn).unwrap().list().unwrap(), before);
        copy_torn(&path, &torn);
        // As where the file may be read only.
        let error =
            SqliteRegistry::connect(&torn, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap().version_or_empty().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read the registry '{}'", torn.display()));
        assert!(error.hint().unwrap().contains("a process was killed while it wrote to it"));
        assert_eq!(SqliteRegistry::open(&torn).unwrap().list().unwrap(), before);
    }

    #[test]
    fn a_damaged_file_is_no_stranger_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        SqliteRegistry::open_or_make(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        // What kind of page the first one is.
        bytes[100] = 0xff;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(SqliteRegistry::open(&path), Err(RegistryError::Sqlite { doing: "read", .. })));
    }

    #[test]
    fn a_file_of_the_release_before_is_read_as_it_is_and_gets_what_it_lacks_when_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0].1).unwrap();
        old.execute_batch("INSERT INTO schemas VALUES ('t', 1, 5, 'true')").unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let mut registry = SqliteRegistry::open(&path).unwrap();
        assert_eq!((registry.list().unwrap().len(), registry.dashboards(0).unwrap().len()), (1, 0));
        let states = || SqliteRegistry::init(&path, true).unwrap().into_iter().map(|step| step.state);
        assert!(states().eq([StepState::WasThere, StepState::Planned]));
        let dashboard = Dashboard { name: "d".into(), config: Value::Null, created_by: 0, is_public: false };
        SqliteRegistry::open_or_make(&path).unwrap().put_dashboard(&dashboard).unwrap();
        assert_eq!((registry.list().unwrap().len(), registry.dashboards(0).unwrap()), (1, vec![dashboard]));
        assert!(states().eq([StepState::WasThere, StepState::WasThere]));
    }
}
