//! The registry as one SQLite file. Several processes may use it at the same time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use serde_json::Value;

use crate::registry::{Candidate, Put, Registry, RegistryError, Stored, judged};
use crate::time::Timestamp;

/// Marks the file as ours: "evrg".
const APPLICATION_ID: i32 = 0x6576_7267;
const VERSION: i32 = 1;

/// How long one process waits for another's transaction.
const PATIENCE: Duration = Duration::from_secs(30);

const TABLE: &str = "CREATE TABLE schemas (
    event_type TEXT NOT NULL, version INTEGER NOT NULL, created INTEGER NOT NULL, schema TEXT NOT NULL,
    PRIMARY KEY (event_type, version)) WITHOUT ROWID";

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
        registry.make().map_err(|source| registry.failed("set up", source))?;
        registry.check_file()?;
        Ok(registry)
    }

    /// Opens the registry at `path`, to read from it.
    pub fn open(path: &Path) -> Result<SqliteRegistry, RegistryError> {
        if !path.exists() {
            return Err(RegistryError::Missing { path: path.to_path_buf() });
        }
        let registry = SqliteRegistry::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        registry.check_file()?;
        Ok(registry)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<SqliteRegistry, RegistryError> {
        let failed = |source| RegistryError::Sqlite { doing: "open", path: path.to_path_buf(), source };
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        Ok(SqliteRegistry { connection, path: path.to_path_buf() })
    }

    /// Makes the table in a file that is empty.
    fn make(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            transaction.execute_batch(TABLE)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()
    }

    fn check_file(&self) -> Result<(), RegistryError> {
        let read = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let foreign = |cause: String| Err(RegistryError::Foreign { path: self.path.clone(), cause });
        match (read("application_id"), read("user_version")) {
            (Ok(APPLICATION_ID), Ok(VERSION)) => Ok(()),
            (Ok(APPLICATION_ID), Ok(version)) => {
                foreign(format!("it has version {version}, and this release knows version {VERSION}"))
            }
            (Ok(_), Ok(_)) => foreign("it is another SQLite file".to_owned()),
            (Err(error), _) | (_, Err(error)) => foreign(error.to_string()),
        }
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

    fn check(&self, candidate: &Candidate<'_>) -> Result<Put, RegistryError> {
        judged(candidate, self.get(candidate.event_type, None)?.as_ref())
    }

    fn get(&self, event_type: &str, number: Option<u32>) -> Result<Option<Stored>, RegistryError> {
        version(&self.connection, event_type, number).map_err(|source| self.failed("read", source))
    }

    fn list(&self) -> Result<Vec<Stored>, RegistryError> {
        let query = "SELECT event_type, version, created, schema FROM schemas ORDER BY event_type, version";
        let all =
            |query| self.connection.prepare(query)?.query_map([], stored)?.collect::<rusqlite::Result<Vec<Stored>>>();
        all(query).map_err(|source| self.failed("read", source))
    }
}

fn version(connection: &Connection, event_type: &str, version: Option<u32>) -> rusqlite::Result<Option<Stored>> {
    let query = "SELECT event_type, version, created, schema FROM schemas
        WHERE event_type = ?1 AND version = coalesce(?2, version) ORDER BY version DESC LIMIT 1";
    connection.query_row(query, params![event_type, version], stored).optional()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let schema: String = row.get(3)?;
    let no_json = |error| rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error));
    Ok(Stored {
        event_type: row.get(0)?,
        version: row.get(1)?,
        created: Timestamp(row.get(2)?),
        schema: serde_json::from_str::<Value>(&schema).map_err(no_json)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::schema::compatible::Compatibility;

    /// Puts schemas of a type, one after the other: the version of each, or why it was refused.
    #[track_caller]
    fn check(schemas: &[(Value, Compatibility)], expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of/schemas.db");
        let mut found = Vec::new();
        for (i, (schema, compatibility)) in schemas.iter().enumerate() {
            let mut registry = SqliteRegistry::open_or_make(&path).unwrap();
            let candidate = Candidate { event_type: "t", schema, compatibility: *compatibility };
            let shown = |put: Result<Put, RegistryError>| match put {
                Ok(put) => format!("{}{}", put.version, if put.was_there { " again" } else { "" }),
                Err(error) => format!("{error}: {}", std::error::Error::source(&error).unwrap()),
            };
            let checked = shown(registry.check(&candidate));
            found.push(shown(registry.put(&candidate, Timestamp(i as i64))));
            assert_eq!(checked, found[i], "a check says what a put does");
        }
        assert_eq!(found, expected);
        let registry = SqliteRegistry::open(&path).unwrap();
        let newest = registry.newest().unwrap();
        let all = registry.list().unwrap();
        assert_eq!(newest.first(), all.last());
        assert_eq!(registry.get("t", Some(1)).unwrap().as_ref(), all.first());
        assert_eq!((registry.get("t", Some(99)).unwrap(), registry.get("u", None).unwrap()), (None, None));
    }

    #[test]
    fn versions_follow_each_other_if_they_are_compatible() {
        let minimum = |minimum: i64| json!({"properties": {"a": {"minimum": minimum}}});
        let backward = Compatibility::Backward;
        check(
            &[
                (minimum(1), backward),
                (minimum(1), backward),
                (minimum(0), backward),
                (minimum(5), backward),
                (minimum(5), Compatibility::None),
            ],
            &[
                "1",
                "1 again",
                "2",
                "cannot take the schema of 't': it is not compatible with version 2: at '/properties/a/minimum': it is higher than in the other version",
                "3",
            ],
        );
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let refused = "cannot take the schema of 't': it is no schema: at '/type': ";
        let folder = tempfile::tempdir().unwrap();
        let mut registry = SqliteRegistry::open_or_make(&folder.path().join("r.db")).unwrap();
        let candidate = Candidate { event_type: "t", schema: &json!({"type": 5}), compatibility: Compatibility::None };
        let error = registry.put(&candidate, Timestamp(0)).unwrap_err();
        let shown = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(shown.starts_with(refused), "{shown}");
        let unnamed = Candidate { event_type: "a\n", schema: &json!(true), compatibility: Compatibility::None };
        assert!(matches!(registry.put(&unnamed, Timestamp(0)), Err(RegistryError::Type(_))));
        assert!(registry.list().unwrap().is_empty());
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
        assert!(matches!(SqliteRegistry::open_or_make(&path), Err(RegistryError::Foreign { .. })));
        assert!(matches!(SqliteRegistry::open(&folder.path().join("none.db")), Err(RegistryError::Missing { .. })));
        let text = folder.path().join("text.db");
        std::fs::write(&text, "no database, but a text that is long enough to be looked at").unwrap();
        assert!(SqliteRegistry::open(&text).is_err());
    }
}
