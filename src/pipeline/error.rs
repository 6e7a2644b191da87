//! Why a run of the window pipeline ends before its input does. Knows nothing of exit codes and hints.

use crate::pipeline::keep::KeepError;
use crate::sink::SinkError;
use crate::source::SourceError;
use crate::store::influx::WriteError;
use crate::window::operator::OperatorError;

/// Why a run ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Reading failed; what was read before has been used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Writing failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A bucket does not take the rows.
    #[error(transparent)]
    Points(#[from] WriteError),
    /// A bound was reached.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// What is kept can't be kept, or not gone on with.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// There are no threads to work with.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were wanted.
        threads: usize,
        /// Why.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
    /// A CSV input can't be read as it is meant.
    #[error("cannot read '{input}' as CSV")]
    Csv {
        /// The input's name.
        input: String,
        /// Why.
        #[source]
        source: crate::codec::csv::SchemaError,
    },
    /// The input holds results that another evkit program has corrected since.
    #[error("cannot window '{input}': line {line} corrects a result row that may have been counted already")]
    Revised {
        /// The input's name.
        input: String,
        /// Counted from 1.
        line: u64,
    },
    /// The input holds partials.
    #[error("cannot window '{input}': line {line} is a partial result, which only --merge takes")]
    Partial {
        /// The input's name.
        input: String,
        /// Counted from 1.
        line: u64,
    },
}
