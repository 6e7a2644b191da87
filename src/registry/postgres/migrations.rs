//! The tables of a registry in PostgreSQL: the steps by which they are made, in order, each once.
//!
//! The tables `event_schemas` and `dashboards` are also others' to read, and may have been there before us. A step that has been
//! released is never changed: what is to be otherwise is another step.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, IsolationLevel, Transaction};

use crate::registry::{Step, StepState};

/// One step. Its number is its place, counted from 1.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 3] = [
    Migration {
        name: "table event_schemas: the newest schema of each type",
        sql: "CREATE TABLE IF NOT EXISTS event_schemas (
            event_type VARCHAR(100) PRIMARY KEY,
            schema_version INT NOT NULL,
            json_schema JSONB NOT NULL,
            created_at TIMESTAMP NOT NULL)",
    },
    Migration {
        // JSON and not JSONB: a schema comes back as it was put, its members in their order.
        name: "table event_schema_versions: every version of every schema",
        sql: "CREATE TABLE event_schema_versions (
            event_type VARCHAR(100) NOT NULL,
            schema_version INT NOT NULL,
            json_schema JSON NOT NULL,
            created_at TIMESTAMP NOT NULL,
            PRIMARY KEY (event_type, schema_version))",
    },
    Migration {
        name: "table dashboards: layouts for evtop",
        sql: "CREATE TABLE IF NOT EXISTS dashboards (
            id BIGSERIAL PRIMARY KEY,
            name VARCHAR(255) NOT NULL,
            config JSONB NOT NULL,
            created_by BIGINT NOT NULL,
            is_public BOOLEAN DEFAULT FALSE)",
    },
];

const LOG: &str = "CREATE TABLE IF NOT EXISTS evkit_migrations (
    number INT PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMP NOT NULL)";

/// What each of two that make the tables at the same time waits for: "evrg".
const LOCK: i64 = 0x6576_7267;

/// How far a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All steps were taken.
    Ready,
    /// None was.
    Empty,
    /// Some are missing.
    Behind,
    /// There are more than we know.
    Ahead,
}

/// How far the database is.
pub async fn state(client: &Client) -> Result<State, Error> {
    let newest = match client.query_one("SELECT max(number) FROM evkit_migrations", &[]).await {
        Ok(row) => row.try_get::<_, Option<i32>>(0)?,
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => None,
        Err(error) => return Err(error),
    };
    Ok(match newest.map(|newest| newest.cmp(&(MIGRATIONS.len() as i32))) {
        None => State::Empty,
        Some(std::cmp::Ordering::Less) => State::Behind,
        Some(std::cmp::Ordering::Equal) => State::Ready,
        Some(std::cmp::Ordering::Greater) => State::Ahead,
    })
}

/// The tables that others may have made before us: their columns, and the types that these must have.
const SHARED: [(&str, &[(&str, &str)]); 2] = [
    (
        "event_schemas",
        &[
            ("event_type", "character varying(100)"),
            ("schema_version", "integer"),
            ("json_schema", "jsonb"),
            ("created_at", "timestamp without time zone"),
        ],
    ),
    (
        "dashboards",
        &[
            ("id", "bigint"),
            ("name", "character varying(255)"),
            ("config", "jsonb"),
            ("created_by", "bigint"),
            ("is_public", "boolean"),
        ],
    ),
];

/// Takes the steps that are missing, all or none; with `dry_run` only says which. The inner error says why the tables that are there
/// are not ours to use.
pub async fn migrate(client: &mut Client, dry_run: bool) -> Result<Result<Vec<Step>, String>, Error> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let has_log = "SELECT to_regclass('evkit_migrations') IS NOT NULL";
    let mut taken: Vec<i32> = Vec::new();
    if transaction.query_one(has_log, &[]).await?.try_get(0)? {
        for row in transaction.query("SELECT number FROM evkit_migrations", &[]).await? {
            taken.push(row.try_get(0)?);
        }
    } else if !dry_run {
        transaction.batch_execute(LOG).await?;
    }
    let mut steps = Vec::new();
    for (number, migration) in (1_i32..).zip(&MIGRATIONS) {
        let state = match (taken.contains(&number), dry_run) {
            (true, _) => StepState::WasThere,
            (false, true) => StepState::Planned,
            (false, false) => {
                transaction.batch_execute(migration.sql).await?;
                let log = "INSERT INTO evkit_migrations VALUES ($1, $2, now() AT TIME ZONE 'UTC')";
                transaction.execute(log, &[&number, &migration.name]).await?;
                StepState::Done
            }
        };
        steps.push(Step { name: migration.name, state });
    }
    if let Some(cause) = other_make(&transaction).await? {
        return Ok(Err(cause));
    }
    transaction.commit().await?;
    Ok(Ok(steps))
}

/// In what a table that was there before us is of another make than ours; `None` where none is.
async fn other_make(transaction: &Transaction<'_>) -> Result<Option<String>, Error> {
    let columns = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped";
    for (table, wanted) in SHARED {
        let mut found: Vec<(String, String)> = Vec::new();
        for row in transaction.query(columns, &[&table]).await? {
            found.push((row.try_get(0)?, row.try_get(1)?));
        }
        // One that is not there is made yet.
        for (column, kind) in wanted.iter().filter(|_| !found.is_empty()) {
            match found.iter().find(|(name, _)| name == column) {
                None => return Ok(Some(format!("its table '{table}' was there before, and has no column '{column}'"))),
                Some((_, found)) if !serves_as(found, kind) => {
                    return Ok(Some(format!(
                        "its table '{table}' was there before, and its column '{column}' is of type '{found}', not '{kind}'"
                    )));
                }
                Some(_) => {}
            }
        }
    }
    Ok(None)
}

/// Whether a column of the one type takes what one of the other does: the same, or a text that may be as long.
fn serves_as(found: &str, wanted: &str) -> bool {
    let length = |kind: &str| {
        let length = kind.strip_prefix("character varying(")?.strip_suffix(')')?;
        length.parse::<u32>().ok()
    };
    match length(wanted) {
        None => found == wanted,
        Some(wanted) => {
            matches!(found, "text" | "character varying") || length(found).is_some_and(|found| found >= wanted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_be_longer_and_nothing_else_different() {
        let check =
            |found: &str, wanted: &str, expected: bool| assert_eq!(serves_as(found, wanted), expected, "{found}");
        check("character varying(100)", "character varying(100)", true);
        check("character varying(99)", "character varying(100)", false);
        check("character varying(255)", "character varying(100)", true);
        check("text", "character varying(100)", true);
        check("character varying", "character varying(100)", true);
        check("character(100)", "character varying(100)", false);
        check("jsonb", "jsonb", true);
        check("json", "jsonb", false);
        check("timestamp with time zone", "timestamp without time zone", false);
    }
}
