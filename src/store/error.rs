//! Why the store can't be used, told by file, cause and way out.
//!
//! Knows nothing of exit codes; `StoreError::is_fenced` says which errors are another owner's doing.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A repair that adds late events to the points that are there.
pub(crate) const MEANS_POINTS: &str = "from its points";

/// A repair that makes windows anew, or a backfill that did so beside a live run.
pub(crate) const MEANS_ARCHIVE: &str = "from an archive";

/// A store that can't be used as wanted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No variable says where the store lies.
    #[error("cannot tell where the local store lies: none of EVKIT_STORE, XDG_DATA_HOME and HOME is set")]
    NoHome,
    /// The folder of the store can't be made.
    #[error("cannot make the folder '{}' of the store", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing to read.
    #[error("there is no store at '{}'", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another program's database, or no database at all.
    #[error("'{}' is no store of evkit", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later evkit wrote it.
    #[error("the store '{}' is of version {found}; this program knows version {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file is damaged.
    #[error("the store '{}' is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// It may not be written.
    #[error("cannot {doing} the store '{}': the file or its folder is read-only", path.display())]
    ReadOnly {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// There is no room.
    #[error("cannot {doing} the store '{}': the disk is full", path.display())]
    Full {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Another process was writing for too long.
    #[error("cannot {doing} the store '{}': another process has been writing to it for too long", path.display())]
    Busy {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Anything else that SQLite says.
    #[error("cannot {doing} the store '{}'", path.display())]
    Sqlite {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A lock file beside the store can't be used.
    #[error("cannot lock '{}'", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A living process writes this metric.
    #[error("cannot write the metric '{metric}' to '{}': {owner} is writing it", path.display())]
    Owned {
        /// The metric.
        metric: String,
        /// The store.
        path: PathBuf,
        /// Which process.
        owner: String,
    },
    /// Another process took over the metrics of this one.
    #[error("cannot write to '{}' any more: {owner} has taken over the metrics", path.display())]
    Fenced {
        /// The store.
        path: PathBuf,
        /// Which process.
        owner: String,
    },
    /// The metric is in the store, and another query made it.
    #[error("the metric '{metric}' in '{}' was made by another query: {changes}", path.display())]
    Changed {
        /// The metric.
        metric: String,
        /// The store.
        path: PathBuf,
        /// What differs.
        changes: String,
    },
    /// There is nothing to repair.
    #[error("cannot repair the metric '{metric}': '{}' has none of this name", path.display())]
    Unknown {
        /// The metric.
        metric: String,
        /// The store.
        path: PathBuf,
    },
    /// Late events were brought in by other means, or may have been, and nothing tells which.
    #[error("cannot repair the metric '{metric}' in '{}': {} before, and events could count twice", path.display(), was_made(before))]
    Repaired {
        /// The metric.
        metric: String,
        /// The store.
        path: PathBuf,
        /// By what.
        before: String,
    },
    /// Late events were brought into the points, and a backfill may take some of them as on time.
    #[error("cannot make the points of '{metric}' in '{}' anew: late events were brought into them, and would count twice", path.display())]
    Mended {
        /// The metric.
        metric: String,
        /// The store.
        path: PathBuf,
    },
    /// The server that has the metrics can't be asked.
    #[error(transparent)]
    Influx(#[from] crate::store::influx::InfluxError),
}

impl StoreError {
    /// What to do about it, where that is not plain from the cause.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            StoreError::NoHome => "name the file: store:PATH, or EVKIT_STORE=PATH".into(),
            StoreError::Folder { .. } => "name a file in a folder that can be written: store:PATH".into(),
            StoreError::Missing { .. } => {
                "evwindow --to store: makes one; store:PATH or EVKIT_STORE names another".into()
            }
            StoreError::Foreign { .. } => "name another file: store:PATH".into(),
            StoreError::Newer { .. } => "use the evkit that wrote it, or a later one".into(),
            StoreError::Damaged { .. } => {
                "evquery --check tells how far the damage goes; restore the file from a copy, or remove it and run \
                 evwindow over the events again"
                    .into()
            }
            StoreError::ReadOnly { .. } => {
                "SQLite needs to write beside the file, too: give the folder and the file write permission".into()
            }
            StoreError::Full { .. } => {
                "nothing of the last commit was written; make room, or drop old points with evquery admin retention"
                    .into()
            }
            StoreError::Busy { .. } => "try again when the other process is done".into(),
            StoreError::Owned { .. } => "end that process first, or store under another --name".into(),
            StoreError::Fenced { .. } => "nothing of the last commit was written; one process writes a metric".into(),
            StoreError::Changed { .. } => {
                "--reset drops what the store has of it and begins anew; another --name keeps both".into()
            }
            StoreError::Unknown { .. } => {
                "give the query that made it, under its --name; evquery --list tells the names".into()
            }
            StoreError::Repaired { before, .. } => match before.as_str() {
                MEANS_ARCHIVE => "give --archive DIR: it makes the windows anew that have late events. So does, of sessions too, \
                                  evwindow --from archive:DIR --start … --until …"
                    .into(),
                _ => "leave --archive out".into(),
            },
            StoreError::Mended { .. } => {
                "--reset in a run over all events begins anew; metrics that are also made anew from an archive are best \
                 repaired with --archive DIR from the first time on"
                    .into()
            }
            StoreError::Influx(error) => return error.hint(),
            StoreError::Sqlite { .. } | StoreError::Lock { .. } => return None,
        })
    }

    /// Whether a server is to blame.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, StoreError::Influx(error) if error.is_unavailable())
    }

    /// Whether it may pass by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Influx(error) if error.is_transient())
    }

    /// Whether a server is not there, or too busy.
    pub fn is_away(&self) -> bool {
        matches!(self, StoreError::Influx(error) if error.is_away())
    }

    /// Whether another process owns what was to be written.
    pub fn is_fenced(&self) -> bool {
        matches!(self, StoreError::Owned { .. } | StoreError::Fenced { .. })
    }
}

/// What was done to a metric by these means.
fn was_made(means: &str) -> &'static str {
    match means {
        MEANS_ARCHIVE => "windows of it were made anew from an archive",
        _ => "it was repaired from its points",
    }
}

/// What goes wrong inside, before it is known of which file.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite's.
    Sqlite(rusqlite::Error),
    /// Bytes that the store never wrote.
    Damaged(String),
    /// The epoch is another owner's.
    Fenced {
        /// Which process.
        owner: String,
    },
}

/// What the parts of the store give each other.
pub(crate) type Inner<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sqlite(error)
    }
}

impl From<crate::aggregate::Error> for Fault {
    fn from(error: crate::aggregate::Error) -> Fault {
        Fault::Damaged(error.to_string())
    }
}

impl Fault {
    /// The error, when `doing` something with the store at `path` had this fault.
    pub(crate) fn at(self, doing: &'static str, path: &Path) -> StoreError {
        let path = path.to_path_buf();
        let source = match self {
            Fault::Damaged(what) => return StoreError::Damaged { path, what },
            Fault::Fenced { owner } => return StoreError::Fenced { path, owner },
            Fault::Sqlite(source) => source,
        };
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::Foreign { path },
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, what: source.to_string() },
            Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { doing, path, source },
            Some(ErrorCode::DiskFull) => StoreError::Full { doing, path, source },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { doing, path, source },
            _ => StoreError::Sqlite { doing, path, source },
        }
    }
}
