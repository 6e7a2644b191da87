//! Schemas of event types, in versions: kept, given out, and taken only if they are compatible with the version before.
//!
//! One trait, so that a registry on a server can stand where the local file stands. What a schema is and what compatible means is
//! `crate::validate`'s to say.

mod path;
mod sqlite;

use std::path::PathBuf;

use serde_json::Value;

pub use crate::registry::path::default_path;
pub use crate::registry::sqlite::SqliteRegistry;
use crate::time::Timestamp;
use crate::validate::schema::compatible::{Compatibility, Incompatible};
use crate::validate::schema::{Schema, SchemaError};

/// The longest name of an event type: it is a header's and a file's name elsewhere.
const TYPE_BYTES_MAX: usize = 200;

/// A place that keeps schemas.
pub trait Registry {
    /// Adds a version, unless the newest is the same. Refuses what is no schema, and what is not compatible with the newest.
    fn put(&mut self, candidate: &Candidate<'_>, now: Timestamp) -> Result<Put, RegistryError>;

    /// Says whether `put` would take it, and changes nothing.
    fn check(&self, candidate: &Candidate<'_>) -> Result<Put, RegistryError>;

    /// A version of a type's schema, or the newest.
    fn get(&self, event_type: &str, version: Option<u32>) -> Result<Option<Stored>, RegistryError>;

    /// All versions of all types, by type and version.
    fn list(&self) -> Result<Vec<Stored>, RegistryError>;

    /// The newest version of each type, by type.
    fn newest(&self) -> Result<Vec<Stored>, RegistryError> {
        let mut newest: Vec<Stored> = Vec::new();
        for stored in self.list()? {
            newest.pop_if(|before| before.event_type == stored.event_type);
            newest.push(stored);
        }
        Ok(newest)
    }
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

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no registry there.
    #[error("there is no registry '{}'", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else, or of a later release.
    #[error("cannot use '{}' as a registry: {cause}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        cause: String,
    },
    /// The user has no home.
    #[error("cannot tell where the registry is: neither EVKIT_REGISTRY nor XDG_DATA_HOME nor HOME is set")]
    NoHome,
    /// A name that can't be an event type's.
    #[error("cannot take the event type '{0}': a name has 1 to {TYPE_BYTES_MAX} bytes and no control characters")]
    Type(String),
    /// Not a schema.
    #[error("cannot take the schema of '{event_type}'")]
    Schema {
        /// The type.
        event_type: String,
        /// Why.
        #[source]
        source: SchemaError,
    },
    /// It does not fit to the version before.
    #[error("cannot take the schema of '{event_type}': it is not compatible with version {version}")]
    Incompatible {
        /// The type.
        event_type: String,
        /// The newest version.
        version: u32,
        /// Where.
        #[source]
        source: Incompatible,
    },
    /// The file can't be read or written.
    #[error("cannot {doing} the registry '{}'", path.display())]
    Sqlite {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file's folder can't be made.
    #[error("cannot make the folder '{}'", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What a candidate would become after `newest`.
fn judged(candidate: &Candidate<'_>, newest: Option<&Stored>) -> Result<Put, RegistryError> {
    let Candidate { event_type, schema, compatibility } = *candidate;
    let is_name =
        !event_type.is_empty() && event_type.len() <= TYPE_BYTES_MAX && !event_type.chars().any(char::is_control);
    if !is_name {
        return Err(RegistryError::Type(event_type.to_owned()));
    }
    Schema::compile(schema).map_err(|source| RegistryError::Schema { event_type: event_type.to_owned(), source })?;
    let Some(newest) = newest else { return Ok(Put { version: 1, was_there: false }) };
    if newest.schema == *schema {
        return Ok(Put { version: newest.version, was_there: true });
    }
    let checked = crate::validate::schema::compatible::check(&newest.schema, schema, compatibility);
    let (event_type, version) = (event_type.to_owned(), newest.version);
    checked.map_err(|source| RegistryError::Incompatible { event_type, version, source })?;
    Ok(Put { version: newest.version + 1, was_there: false })
}
