//! The tables of a registry in PostgreSQL: the steps by which they are made, in order, each once.
//!
//! The tables `event_schemas` and `dashboards` are also others' to read, and may have been there before us. A step that has been
//! released is never changed: what is to be otherwise is another step.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, IsolationLevel};

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

/// Takes the steps that are missing, all or none; with `dry_run` only says which.
pub async fn migrate(client: &mut Client, dry_run: bool) -> Result<Vec<Step>, Error> {
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
    if !dry_run {
        // A table that was there before us must be of the same make.
        for query in [crate::registry::postgres::NEWEST_COLUMNS, crate::registry::postgres::DASHBOARD_COLUMNS] {
            transaction.query(query, &[]).await?;
        }
    }
    transaction.commit().await?;
    Ok(steps)
}
