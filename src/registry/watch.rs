//! The newest schemas of a registry, kept up while a program runs: asked for again and again, and used on while nobody answers.
//!
//! Each question is a connection of its own, so a server that was replaced meanwhile is no trouble.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::registry::{Registry, RegistryError, Stored};
use crate::validate::schema::{Schema, SchemaError, Schemas, Versioned};

/// Opens the registry that is watched.
pub type Open = Box<dyn Fn() -> Result<Box<dyn Registry>, RegistryError> + Send>;

/// A registry and what it had when it was asked last.
pub struct Watched {
    open: Open,
    schemas: Arc<Schemas>,
    /// Versions that can't be used, which is said once.
    refused: Vec<(String, u32)>,
}

/// What there is to tell after a look.
#[derive(Debug)]
pub enum News {
    /// The registry doesn't answer any more.
    Lost(RegistryError),
    /// It answers again.
    Back,
    /// A new version can't be used, so the one before is.
    Refused {
        /// Of which type.
        event_type: String,
        /// Which version.
        version: u32,
        /// Why.
        source: SchemaError,
    },
}

/// A watched registry that can't be used from the start.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It can't be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// One of its schemas is none.
    #[error("cannot use version {version} of the schema of '{event_type}'")]
    Schema {
        /// Of which type.
        event_type: String,
        /// Which version.
        version: u32,
        /// Why.
        #[source]
        source: SchemaError,
    },
}

impl Watched {
    /// Reads the registry for the first time. Here everything must be well.
    pub fn begin(open: Open) -> Result<Watched, WatchError> {
        let mut schemas = Schemas::default();
        for stored in open()?.newest()? {
            let Stored { event_type, version, .. } = &stored;
            let schema = Schema::compile(&stored.schema).map_err(|source| {
                let (event_type, version) = (event_type.clone(), *version);
                WatchError::Schema { event_type, version, source }
            })?;
            schemas.insert(event_type, Versioned { schema, version: Some(*version) });
        }
        Ok(Watched { open, schemas: Arc::new(schemas), refused: Vec::new() })
    }

    /// The schemas as they were last.
    pub fn schemas(&self) -> Arc<Schemas> {
        Arc::clone(&self.schemas)
    }

    /// Asks the registry. What is new is compiled, what is known is kept as it is.
    pub fn look(&mut self) -> Vec<News> {
        let newest = (self.open)().and_then(|mut registry| registry.newest());
        let newest = match newest {
            Ok(newest) => newest,
            Err(_) if self.schemas.is_cut_off() => return Vec::new(),
            Err(error) => {
                self.schemas = Arc::new(self.schemas.cut_off(true));
                return vec![News::Lost(error)];
            }
        };
        let mut news = Vec::new();
        let mut schemas = self.schemas.cut_off(false);
        if self.schemas.is_cut_off() {
            news.push(News::Back);
        }
        schemas.retain(|event_type| newest.iter().any(|stored| stored.event_type == event_type));
        for Stored { event_type, version, schema, .. } in newest {
            let is_known = schemas.get(&event_type).is_some_and(|known| known.version == Some(version));
            if is_known || self.refused.iter().any(|(of, refused)| *of == event_type && *refused == version) {
                continue;
            }
            match Schema::compile(&schema) {
                Ok(schema) => schemas.insert(&event_type, Versioned { schema, version: Some(version) }),
                Err(source) => {
                    self.refused.push((event_type.clone(), version));
                    news.push(News::Refused { event_type, version, source });
                }
            }
        }
        if schemas != *self.schemas {
            self.schemas = Arc::new(schemas);
        }
        news
    }
}

/// A thread that looks every so often, until this is dropped.
pub struct Watch {
    newest: Arc<Mutex<Arc<Schemas>>>,
    _end: Sender<()>,
}

impl Watch {
    /// Begins to look, the first time when `interval` has passed. `tell` hears of what changes.
    pub fn start(
        mut watched: Watched,
        interval: Duration,
        tell: impl Fn(&News) + Send + 'static,
    ) -> std::io::Result<Watch> {
        let newest = Arc::new(Mutex::new(watched.schemas()));
        let (end, ended) = channel::<()>();
        let shared = Arc::clone(&newest);
        // It is not waited for: whoever ends need not wait for a server that doesn't answer.
        std::thread::Builder::new().name("registry".to_owned()).spawn(move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let news = watched.look();
                // What is told is true by then.
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = watched.schemas();
                news.iter().for_each(&tell);
            }
        })?;
        Ok(Watch { newest, _end: end })
    }

    /// The newest schemas.
    pub fn schemas(&self) -> Arc<Schemas> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("schemas", &self.schemas).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::registry::{Candidate, SqliteRegistry};
    use crate::time::Timestamp;
    use crate::validate::schema::compatible::Compatibility;

    fn put(path: &Path, event_type: &str, minimum: i64) {
        let schema = json!({"properties": {"a": {"minimum": minimum}}});
        let candidate = Candidate { event_type, schema: &schema, compatibility: Compatibility::None };
        SqliteRegistry::open_or_make(path).unwrap().put(&candidate, Timestamp(0)).unwrap();
    }

    fn version(watched: &Watched, event_type: &str) -> Option<u32> {
        watched.schemas().get(event_type)?.version
    }

    #[test]
    fn new_versions_are_taken_and_an_outage_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("r.db"), folder.path().join("away.db"));
        put(&path, "a", 1);
        let opened = path.clone();
        let open: Open = Box::new(move || Ok(Box::new(SqliteRegistry::open(&opened)?)));
        let mut watched = Watched::begin(open).unwrap();
        let first = watched.schemas();
        assert!(watched.look().is_empty());
        assert!(Arc::ptr_eq(&first, &watched.schemas()), "nothing has changed, so nothing is made anew");
        put(&path, "a", 2);
        put(&path, "b", 1);
        assert!(watched.look().is_empty());
        assert_eq!((version(&watched, "a"), version(&watched, "b")), (Some(2), Some(1)));
        std::fs::rename(&path, &away).unwrap();
        assert!(matches!(watched.look()[..], [News::Lost(RegistryError::Missing { .. })]));
        assert!(watched.look().is_empty(), "it is said once");
        assert!(watched.schemas().is_cut_off());
        assert_eq!((version(&watched, "a"), version(&watched, "b")), (Some(2), Some(1)));
        put(&away, "b", 7);
        std::fs::rename(&away, &path).unwrap();
        assert!(matches!(watched.look()[..], [News::Back]));
        assert!(!watched.schemas().is_cut_off());
        assert_eq!((version(&watched, "a"), version(&watched, "b")), (Some(2), Some(2)));
    }

    #[test]
    fn a_version_that_cannot_be_used_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        put(&path, "a", 1);
        let opened = path.clone();
        let mut watched = Watched::begin(Box::new(move || Ok(Box::new(SqliteRegistry::open(&opened)?)))).unwrap();
        let others = rusqlite::Connection::open(&path).unwrap();
        others.execute_batch(r#"INSERT INTO schemas VALUES ('a', 2, 0, '{"type": 5}')"#).unwrap();
        assert!(matches!(&watched.look()[..], [News::Refused { version: 2, .. }]));
        assert!(watched.look().is_empty(), "it is said once");
        assert_eq!(version(&watched, "a"), Some(1));
        let again = SqliteRegistry::open(&path).map(|registry| Box::new(registry) as Box<dyn Registry>);
        let again = std::sync::Mutex::new(Some(again));
        let begun = Watched::begin(Box::new(move || again.lock().unwrap().take().unwrap()));
        assert!(matches!(begun, Err(WatchError::Schema { version: 2, .. })));
    }
}
