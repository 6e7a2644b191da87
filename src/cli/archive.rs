//! `--archive` of the programs that write one: its flags, and what its errors mean.
//!
//! Knows nothing of what is archived.

use std::path::PathBuf;

use crate::archive::ArchiveError;
use crate::cli::exit::{ExitCode, ReportContext, error_of};
use crate::cli::flags;
use crate::pipeline::archive::KeepingError;
use crate::source::SourceError;
use crate::time::Duration;

/// Where raw events are kept.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Archive")]
pub struct ArchiveArgs {
    /// Keep the raw events in this folder, as Parquet files by day and hour
    ///
    /// Run again over the same files or topic, it goes on where it ended and keeps nothing twice. evwindow --from archive:DIR reads
    /// them back, and so do DuckDB, pandas and others: DIR/*/*/*.parquet.
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,

    /// How long events wait at most before they are there, in a file of their own [default: 5m]
    #[arg(long, value_name = "D", value_parser = flags::duration, requires = "archive")]
    pub archive_interval: Option<Duration>,
}

/// How long events wait where nothing else is said.
const INTERVAL: Duration = Duration(300_000_000);

impl ArchiveArgs {
    /// How long events wait at most.
    pub fn interval(&self) -> Duration {
        self.archive_interval.unwrap_or(INTERVAL)
    }
}

/// Says what can be done about an archive that can't be written, and sets the exit code.
pub fn explained(error: KeepingError) -> anyhow::Error {
    let (hint, code) = meaning_of(&error);
    error_of(Err(error).hint_if(hint).exit_code(code))
}

/// Hint and exit code of an archive that can't be written.
pub fn meaning_of(error: &KeepingError) -> (Option<&'static str>, ExitCode) {
    match error {
        KeepingError::Archive(error) => meaning(error),
        KeepingError::Source(SourceError::Topic { is_unavailable: true, .. }) => (None, ExitCode::Upstream),
        KeepingError::Gap { .. } => {
            (Some("--on-gap skip goes on behind the gap; another --archive begins anew"), ExitCode::Failure)
        }
        KeepingError::Alike { .. } => {
            (Some("name each file once: files are told apart by their first thousand bytes"), ExitCode::Usage)
        }
        KeepingError::Shrunk { .. } => (
            Some(
                "give the whole file; one that was emptied and begins alike is kept in another folder, with --archive DIR",
            ),
            ExitCode::Usage,
        ),
        KeepingError::Read { .. } => (Some("give readable files, or - for stdin"), ExitCode::Failure),
        _ => (None, ExitCode::Failure),
    }
}

/// The same of one that can't be read.
pub fn explained_archive(error: ArchiveError) -> anyhow::Error {
    let (hint, code) = meaning(&error);
    error_of(Err(error).hint_if(hint).exit_code(code))
}

/// What can be done about an archive that can't be read on as an input.
pub fn hint_of_input(error: &SourceError) -> Option<&'static str> {
    match error {
        SourceError::Archive { source, .. } => source.downcast_ref::<ArchiveError>().and_then(ArchiveError::hint),
        _ => None,
    }
}

/// Whether a run failed since retention has dropped what it was about to read of an archive.
pub fn is_dropped(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref().is_some_and(ArchiveError::is_dropped))
}

fn meaning(error: &ArchiveError) -> (Option<&'static str>, ExitCode) {
    let code = match error {
        error if error.is_overtaken() => ExitCode::Fenced,
        ArchiveError::TimeField { .. }
        | ArchiveError::Topics { .. }
        | ArchiveError::OtherTopic { .. }
        | ArchiveError::Missing { .. } => ExitCode::Usage,
        _ => ExitCode::Failure,
    };
    (error.hint(), code)
}
