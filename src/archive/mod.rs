//! The archive: raw events as Parquet files by day and hour, and the manifest that says which of them exist.
//!
//! ```text
//!  DIR/manifest/0000000001.json                     a part: files that exist from now on, and how far each source was read
//!  DIR/dt=2026-02-16/hour=10/orders-9f….parquet     events of one source by the hour of their event time, UTC
//! ```
//!
//! A part is put in place whole and never replaced, so what it names (files of several hours, and the positions that belong to
//! them) exists as one. Of two writers that read the same, the first to put its part wins. What no part names is litter of a
//! writer that was killed. Knows nothing of where events come from and of which windows are made of them.

use std::io;
use std::path::{Path, PathBuf};

use crate::time::Timestamp;

pub mod coverage;
mod file;
pub mod form;
#[cfg(test)]
mod interleaved;
mod litter;
pub mod lock;
pub mod manifest;
mod prune;
pub mod reader;
pub mod retention;
#[cfg(test)]
mod round_trip;
mod unit;
pub mod writer;

/// Why an archive can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file system says no.
    #[error("cannot {doing} '{}'", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A Parquet file can't be written, or is none.
    #[error("cannot {doing} '{}'", path.display())]
    Parquet {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file has not the columns of an archive.
    #[error("cannot read '{}': it has no column '{column}' as archives have it", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// Retention has dropped a file since it was known what there is.
    #[error(
        "cannot read '{}': retention has dropped it meanwhile{}",
        path.display(),
        kept_from.map_or(String::new(), |from| format!(", and the archive begins at '{from}' now"))
    )]
    Dropped {
        /// The file.
        path: PathBuf,
        /// From when on there are events.
        kept_from: Option<Timestamp>,
    },
    /// A part of the manifest is damaged.
    #[error("cannot read '{}': {cause}", path.display())]
    Manifest {
        /// The part.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// There is no archive.
    #[error("there is no archive in '{}': it has no manifest", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// Another process has archived the same events.
    #[error("another process has written events of '{source_name}' to the archive '{}'", path.display())]
    Overtaken {
        /// What was read.
        source_name: String,
        /// The folder.
        path: PathBuf,
    },
    /// The time of its events was told another way.
    #[error("the archive '{}' tells time of '{source_name}' by the field '{known}', not by '{wanted}'", path.display())]
    TimeField {
        /// The folder.
        path: PathBuf,
        /// What was archived.
        source_name: String,
        /// By what it was written.
        known: String,
        /// What was asked for.
        wanted: String,
    },
    /// It has events of another topic of this name.
    #[error(
        "the archive '{}' has events of another topic '{source_name}': this one was made anew since then, or is in another cluster",
        path.display()
    )]
    OtherTopic {
        /// The folder.
        path: PathBuf,
        /// The topic.
        source_name: String,
    },
    /// Events of several topics lie in the span.
    #[error("cannot read the archive '{}' as one stream: it has events of the topics '{topics}'", path.display())]
    Topics {
        /// The folder.
        path: PathBuf,
        /// Their names, in quotes but for the outer ones.
        topics: String,
    },
}

impl ArchiveError {
    /// Makes an error of the file system one of the archive.
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
        let path = path.to_path_buf();
        move |source| ArchiveError::Io { doing, path, source }
    }

    /// Makes an error of a Parquet file one of the archive.
    fn parquet(doing: &'static str, path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> ArchiveError {
        let path = path.to_path_buf();
        move |source| ArchiveError::Parquet { doing, path, source }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ArchiveError::Missing { .. } => Some("evwindow or evingest with --archive DIR writes one"),
            ArchiveError::Dropped { .. } => {
                Some("run it again: it begins where retention has come to; a --start before that is to be moved there")
            }
            ArchiveError::Overtaken { .. } => Some("one process archives a source: end the other one, then run again"),
            ArchiveError::TimeField { .. } => Some("give the same --time-field as when it was written"),
            ArchiveError::OtherTopic { .. } => {
                Some("offsets of the one say nothing of the other: keep this one in another folder, with --archive DIR")
            }
            ArchiveError::Topics { .. } => Some(
                "give each topic a folder of its own, with --archive DIR; a span with events of one of them can be read",
            ),
            _ => None,
        }
    }

    /// Whether retention has dropped what this process was about to read.
    pub fn is_dropped(&self) -> bool {
        matches!(self, ArchiveError::Dropped { .. })
    }

    /// Whether another process has what this one wanted to write.
    pub fn is_overtaken(&self) -> bool {
        matches!(self, ArchiveError::Overtaken { .. })
    }
}

/// Does again what found a file or folder gone, which another process has removed since it was looked at.
fn again_where_gone<T>(mut attempt: impl FnMut() -> Result<T, ArchiveError>) -> Result<T, ArchiveError> {
    const TIMES_MAX: usize = 10;
    for _ in 1..TIMES_MAX {
        match attempt() {
            Err(ArchiveError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    attempt()
}

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

/// The folder of an hour, from the archive's: `dt=2026-02-16/hour=10`.
fn folder_of(hour: i64) -> String {
    let text = Timestamp(hour.saturating_mul(HOUR)).to_string();
    let (day, rest) = text.split_once('T').expect("a time is written as day, T and time of day");
    format!("dt={day}/hour={}", &rest[..2])
}

/// The number of the hour in which a time lies.
fn hour_of(time: Timestamp) -> i64 {
    time.0.div_euclid(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_have_folders() {
        let check = |time: &str, expected: &str| {
            let time = crate::time::parse_rfc3339(time.as_bytes()).unwrap();
            assert_eq!(folder_of(hour_of(time)), expected);
        };
        check("2026-02-16T10:59:59.999999Z", "dt=2026-02-16/hour=10");
        check("2026-02-16T00:00:00Z", "dt=2026-02-16/hour=00");
        check("1969-12-31T23:30:00Z", "dt=1969-12-31/hour=23");
    }
}
