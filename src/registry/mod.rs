//! Schemas of event types, in versions: kept, given out, and taken only if they are compatible with the version before. And
//! dashboards: layouts by their names.
//!
//! One trait over a local file and a server. What a schema is and what compatible means is `crate::validate`'s to say, what a layout
//! is `crate::dashboard`'s.

pub mod address;
pub mod error;
mod path;
pub mod postgres;
mod sqlite;
pub mod watch;

use serde_json::{Number, Value};

use crate::registry::address::RegistryAddress;
pub use crate::registry::error::RegistryError;
pub use crate::registry::path::default_address;
pub use crate::registry::postgres::PostgresRegistry;
pub use crate::registry::sqlite::SqliteRegistry;
use crate::time::Timestamp;
use crate::validate::schema::Schema;
use crate::validate::schema::compatible::Compatibility;

/// The longest names: they are columns of tables that others use too.
const TYPE_CHARS_MAX: usize = 100;
const DASHBOARD_CHARS_MAX: usize = 255;

/// A place that keeps schemas and dashboards.
pub trait Registry: std::fmt::Debug + Send {
    /// Adds a version, unless the newest is the same. Refuses what is no schema, and what is not compatible with the newest.
    fn put(&mut self, candidate: &Candidate<'_>, now: Timestamp) -> Result<Put, RegistryError>;

    /// Says whether `put` would take it, and changes nothing.
    fn check(&mut self, candidate: &Candidate<'_>) -> Result<Put, RegistryError>;

    /// A version of a type's schema, or the newest.
    fn get(&mut self, event_type: &str, version: Option<u32>) -> Result<Option<Stored>, RegistryError>;

    /// All versions of all types, by type and version.
    fn list(&mut self) -> Result<Vec<Stored>, RegistryError>;

    /// The newest version of each type, by type.
    fn newest(&mut self) -> Result<Vec<Stored>, RegistryError>;

    /// Keeps a dashboard, in place of the one of its name and user. True where there was one.
    fn put_dashboard(&mut self, dashboard: &Dashboard) -> Result<bool, RegistryError>;

    /// The dashboard of this name: the user's own, else one that is public.
    fn dashboard(&mut self, name: &str, user: i64) -> Result<Option<Dashboard>, RegistryError>;

    /// The user's own dashboards and those that are public, by name and user.
    fn dashboards(&mut self, user: i64) -> Result<Vec<Dashboard>, RegistryError>;
}

/// What is to become a version.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Of which type.
    pub event_type: &'a str,
    /// The schema.
    pub schema: &'a Value,
    /// What it must do.
    pub compatibility: Compatibility,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// Its version.
    pub version: u32,
    /// Whether it was there before.
    pub was_there: bool,
}

/// A version of a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The event type.
    pub event_type: String,
    /// Counted from 1.
    pub version: u32,
    /// When it was put.
    pub created: Timestamp,
    /// The schema.
    pub schema: Value,
}

/// A layout of panels that evtop reads by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    /// Its name.
    pub name: String,
    /// The layout: what a layout file holds, as JSON.
    pub config: Value,
    /// The user whose it is.
    pub created_by: i64,
    /// Whether others find it too.
    pub is_public: bool,
}

/// A step by which a registry is made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it makes.
    pub name: &'static str,
    /// What became of it.
    pub state: StepState,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// It was taken now.
    Done,
    /// It was taken before.
    WasThere,
    /// It would be taken.
    Planned,
}

/// Opens a registry that is there, to read from it.
pub fn open(address: &RegistryAddress) -> Result<Box<dyn Registry>, RegistryError> {
    Ok(match address {
        RegistryAddress::File(path) => Box::new(SqliteRegistry::open(path)?),
        RegistryAddress::Postgres(address) => Box::new(PostgresRegistry::open(address, &environment)?),
    })
}

/// Opens a registry to write to it. A file is made where there is none; a database must have been made ready.
pub fn open_to_write(address: &RegistryAddress) -> Result<Box<dyn Registry>, RegistryError> {
    Ok(match address {
        RegistryAddress::File(path) => Box::new(SqliteRegistry::open_or_make(path)?),
        RegistryAddress::Postgres(address) => Box::new(PostgresRegistry::open(address, &environment)?),
    })
}

/// Makes a registry ready, and says what that took; with `dry_run` only says what it would take. Once is as good as often.
pub fn init(address: &RegistryAddress, dry_run: bool) -> Result<Vec<Step>, RegistryError> {
    match address {
        RegistryAddress::File(path) => SqliteRegistry::init(path, dry_run),
        RegistryAddress::Postgres(address) => PostgresRegistry::init(address, &environment, dry_run),
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What a candidate would become after `newest`.
fn judged(candidate: &Candidate<'_>, newest: Option<&Stored>) -> Result<Put, RegistryError> {
    let Candidate { event_type, schema, compatibility } = *candidate;
    if !is_name(event_type, TYPE_CHARS_MAX) {
        return Err(RegistryError::Type(event_type.to_owned()));
    }
    Schema::compile(schema).map_err(|source| RegistryError::Schema { event_type: event_type.to_owned(), source })?;
    let Some(newest) = newest else { return Ok(Put { version: 1, was_there: false }) };
    if is_same(&newest.schema, schema) {
        return Ok(Put { version: newest.version, was_there: true });
    }
    let checked = crate::validate::schema::compatible::check(&newest.schema, schema, compatibility);
    let (event_type, version) = (event_type.to_owned(), newest.version);
    checked.map_err(|source| RegistryError::Incompatible { event_type, version, source })?;
    Ok(Put { version: newest.version + 1, was_there: false })
}

fn is_name(text: &str, chars_max: usize) -> bool {
    !text.is_empty() && text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}

fn check_dashboard_name(name: &str) -> Result<(), RegistryError> {
    match is_name(name, DASHBOARD_CHARS_MAX) {
        true => Ok(()),
        false => Err(RegistryError::DashboardName(name.to_owned())),
    }
}

/// Whether two schemas say the same. Numbers are compared by their value: a database may write 1e2 as 100.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let whole = |number: &Number| number.as_i128();
            one == other || whole(one).is_none() != whole(other).is_none() && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(name, one)| other.get(name).is_some_and(|other| is_same(one, other));
            one.len() == other.len() && one.iter().all(is_there)
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::from_str;

    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, expected: bool) {
        let (one, other) = (from_str(one).unwrap(), from_str(other).unwrap());
        assert_eq!((is_same(&one, &other), is_same(&other, &one)), (expected, expected), "{one} and {other}");
    }

    #[test]
    fn schemas_are_the_same_by_value() {
        check(r#"{"a": 1, "b": [1e2]}"#, r#"{"b": [100], "a": 1.0}"#, true);
        check(r#"{"a": 1}"#, r#"{"a": 1, "b": null}"#, false);
        check("[1, 2]", "[2, 1]", false);
        check("9007199254740993", "9007199254740992", false);
        check("0.5", "1", false);
    }
}
