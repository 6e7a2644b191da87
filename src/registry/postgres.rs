//! The registry as tables of a PostgreSQL database. Any number of processes may use it at the same time.
//!
//! `event_schemas` has the newest schema of each type, where others read it too; `event_schema_versions` has all of them, as they
//! were put. A row of `event_schemas` that somebody else has made is a version like ours, and is kept when the next one takes its place.

mod connection;
mod migrations;
mod passfile;
pub mod settings;

use std::future::Future;

use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;
use tokio_postgres::{Client, Error, GenericClient, IsolationLevel, Row};

use crate::registry::address::PostgresAddress;
use crate::registry::error::RegistryError;
use crate::registry::postgres::connection::Connection;
pub use crate::registry::postgres::connection::ServerError;
use crate::registry::postgres::migrations::State;
use crate::registry::postgres::settings::{Environment, Settings};
use crate::registry::{Candidate, Dashboard, Put, Registry, Step, Stored, check_dashboard_name, judged};
use crate::time::Timestamp;

/// Behind SELECT: every version that there is; in the order of bytes, as SQLite has it.
const VERSIONS: &str = "event_type, schema_version, created_at, json_schema FROM (
        SELECT event_type, schema_version, created_at, json_schema FROM event_schema_versions
        UNION ALL
        SELECT event_type, schema_version, created_at, json_schema::json FROM event_schemas AS newest
        WHERE NOT EXISTS (SELECT FROM event_schema_versions AS kept
            WHERE kept.event_type = newest.event_type AND kept.schema_version = newest.schema_version)
    ) AS versions";

const DASHBOARDS: &str = "SELECT name, config, created_by, coalesce(is_public, FALSE) FROM dashboards
    WHERE (created_by = $1 OR is_public)";

/// A registry in a database.
#[derive(Debug)]
pub struct PostgresRegistry {
    connection: Connection,
    address: PostgresAddress,
}

impl PostgresRegistry {
    /// Connects to the registry at `address`, which must have been made ready. `environment` fills in what that leaves out.
    pub fn open(address: &PostgresAddress, environment: Environment<'_>) -> Result<PostgresRegistry, RegistryError> {
        let mut registry = PostgresRegistry::connect(address, environment)?;
        let name = address.to_string();
        match registry.run("read", |client| migrations::state(client))? {
            State::Ready => Ok(registry),
            State::Empty => Err(RegistryError::NotReady { registry: name }),
            State::Behind => Err(RegistryError::Behind { registry: name }),
            State::Ahead => Err(RegistryError::Foreign {
                registry: name,
                cause: "a later release has made changes that this one doesn't know".to_owned(),
            }),
        }
    }

    /// Makes the tables that are missing; with `dry_run` only says which.
    pub fn init(
        address: &PostgresAddress,
        environment: Environment<'_>,
        dry_run: bool,
    ) -> Result<Vec<Step>, RegistryError> {
        let mut registry = PostgresRegistry::connect(address, environment)?;
        let migrated = registry.run("set up", |client| migrations::migrate(client, dry_run))?;
        migrated.map_err(|cause| RegistryError::Tables { registry: address.to_string(), cause })
    }

    fn connect(address: &PostgresAddress, environment: Environment<'_>) -> Result<PostgresRegistry, RegistryError> {
        let settings = Settings::of(address, environment)?;
        let unavailable = |source| RegistryError::Unavailable {
            registry: address.to_string(),
            unused: settings.unused.clone(),
            has_password: settings.password.is_some(),
            source,
        };
        Ok(PostgresRegistry { connection: Connection::open(&settings).map_err(unavailable)?, address: address.clone() })
    }

    fn run<'a, T, Done>(
        &'a mut self,
        doing: &'static str,
        work: impl FnOnce(&'a mut Client) -> Done,
    ) -> Result<T, RegistryError>
    where
        Done: Future<Output = Result<T, Error>>,
    {
        let PostgresRegistry { connection, address } = self;
        let registry = address.to_string();
        connection.run(work).map_err(|source: ServerError| match source.is_outage() {
            // One that goes is told as one that is not there: in which step that shows is chance.
            true => RegistryError::Unavailable { registry, unused: None, has_password: true, source },
            false => RegistryError::Server { doing, registry, source },
        })
    }
}

impl Registry for PostgresRegistry {
    fn put(&mut self, candidate: &Candidate<'_>, now: Timestamp) -> Result<Put, RegistryError> {
        self.run("write to", |client| put(client, candidate, now))?
    }

    fn check(&mut self, candidate: &Candidate<'_>) -> Result<Put, RegistryError> {
        judged(candidate, self.get(candidate.event_type, None)?.as_ref())
    }

    fn get(&mut self, event_type: &str, version: Option<u32>) -> Result<Option<Stored>, RegistryError> {
        self.run("read", |client| get(client, event_type, version))
    }

    fn list(&mut self) -> Result<Vec<Stored>, RegistryError> {
        let query = format!("SELECT {VERSIONS} ORDER BY event_type COLLATE \"C\", schema_version");
        self.run("read", async |client: &mut Client| {
            client.query(&query, &[]).await?.iter().map(stored).collect::<Result<Vec<Stored>, Error>>()
        })
    }

    fn newest(&mut self) -> Result<Vec<Stored>, RegistryError> {
        let order = "event_type COLLATE \"C\"";
        let query = format!("SELECT DISTINCT ON ({order}) {VERSIONS} ORDER BY {order}, schema_version DESC");
        self.run("read", async |client: &mut Client| {
            client.query(&query, &[]).await?.iter().map(stored).collect::<Result<Vec<Stored>, Error>>()
        })
    }

    fn put_dashboard(&mut self, dashboard: &Dashboard) -> Result<bool, RegistryError> {
        check_dashboard_name(&dashboard.name)?;
        self.run("write to", |client| put_dashboard(client, dashboard))
    }

    fn dashboard(&mut self, name: &str, user: i64) -> Result<Option<Dashboard>, RegistryError> {
        // One's own goes before others', and of several of one name the latest.
        let query = format!("{DASHBOARDS} AND name = $2 ORDER BY created_by = $1 DESC, id DESC LIMIT 1");
        self.run("read", async |client: &mut Client| {
            client.query_opt(&query, &[&user, &name]).await?.as_ref().map(dashboard).transpose()
        })
    }

    fn dashboards(&mut self, user: i64) -> Result<Vec<Dashboard>, RegistryError> {
        let query = format!("{DASHBOARDS} ORDER BY name COLLATE \"C\", created_by, id");
        self.run("read", async |client: &mut Client| {
            client.query(&query, &[&user]).await?.iter().map(dashboard).collect::<Result<Vec<Dashboard>, Error>>()
        })
    }
}

/// Whoever else puts a version waits at the lock: it is judged by this one then. Readers don't.
async fn put(
    client: &mut Client,
    candidate: &Candidate<'_>,
    now: Timestamp,
) -> Result<Result<Put, RegistryError>, Error> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    transaction.batch_execute("LOCK TABLE event_schemas IN SHARE ROW EXCLUSIVE MODE").await?;
    let newest = get(&transaction, candidate.event_type, None).await?;
    let put = match judged(candidate, newest.as_ref()) {
        Ok(put) if !put.was_there => put,
        judged => return Ok(judged),
    };
    if let Some(newest) = &newest {
        insert(&transaction, candidate.event_type, newest.version, &newest.schema, newest.created).await?;
    }
    insert(&transaction, candidate.event_type, put.version, candidate.schema, now).await?;
    let query =
        "INSERT INTO event_schemas (event_type, schema_version, json_schema, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (event_type) DO UPDATE SET schema_version = excluded.schema_version,
            json_schema = excluded.json_schema, created_at = excluded.created_at";
    let (version, created) = (number(put.version), naive(now));
    transaction.execute(query, &[&candidate.event_type, &version, candidate.schema, &created]).await?;
    transaction.commit().await?;
    Ok(Ok(put))
}

/// Keeps a version, unless it is kept already.
async fn insert(
    client: &impl GenericClient,
    event_type: &str,
    version: u32,
    schema: &Value,
    created: Timestamp,
) -> Result<u64, Error> {
    let query = "INSERT INTO event_schema_versions (event_type, schema_version, json_schema, created_at)
        VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    client.execute(query, &[&event_type, &number(version), schema, &naive(created)]).await
}

async fn get(client: &impl GenericClient, event_type: &str, version: Option<u32>) -> Result<Option<Stored>, Error> {
    let query = format!(
        "SELECT {VERSIONS} WHERE event_type = $1 AND schema_version = coalesce($2, schema_version) ORDER BY schema_version DESC LIMIT 1"
    );
    client.query_opt(&query, &[&event_type, &version.map(number)]).await?.as_ref().map(stored).transpose()
}

async fn put_dashboard(client: &mut Client, dashboard: &Dashboard) -> Result<bool, Error> {
    let Dashboard { name, config, created_by, is_public } = dashboard;
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    // The name is no key: without a lock two might both find that there is none.
    transaction.batch_execute("LOCK TABLE dashboards IN SHARE ROW EXCLUSIVE MODE").await?;
    let query = "UPDATE dashboards SET config = $2, is_public = $4
        WHERE id = (SELECT max(id) FROM dashboards WHERE name = $1 AND created_by = $3)";
    let replaced = transaction.execute(query, &[name, config, created_by, is_public]).await? > 0;
    if !replaced {
        let query = "INSERT INTO dashboards (name, config, created_by, is_public) VALUES ($1, $2, $3, $4)";
        transaction.execute(query, &[name, config, created_by, is_public]).await?;
    }
    transaction.commit().await?;
    Ok(replaced)
}

fn stored(row: &Row) -> Result<Stored, Error> {
    let created: NaiveDateTime = row.try_get(2)?;
    Ok(Stored {
        event_type: row.try_get(0)?,
        // Others may have written anything.
        version: u32::try_from(row.try_get::<_, i32>(1)?).unwrap_or(0),
        created: Timestamp(created.and_utc().timestamp_micros()),
        schema: row.try_get(3)?,
    })
}

fn dashboard(row: &Row) -> Result<Dashboard, Error> {
    Ok(Dashboard {
        name: row.try_get(0)?,
        config: row.try_get(1)?,
        created_by: row.try_get(2)?,
        is_public: row.try_get(3)?,
    })
}

/// No type has two thousand million versions, so a number that is asked for beyond is one that isn't there.
fn number(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

fn naive(time: Timestamp) -> NaiveDateTime {
    DateTime::from_timestamp_micros(time.0).unwrap_or_default().naive_utc()
}
