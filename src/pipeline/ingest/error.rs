//! Why a run of evingest ends before its input does. Knows nothing of exit codes and hints.

use crate::codec::csv::SchemaError;
use crate::codec::encode::event::PathConflict;
use crate::pipeline::error::PipelineError;
use crate::pipeline::ingest::delivery::DeliveryError;
use crate::sink::SinkError;
use crate::source::SourceError;

/// Why a run ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Reading failed; what was read before was used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Events could not be delivered.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// Rejects or verdicts could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// There are no threads to work with.
    #[error(transparent)]
    Threads(#[from] PipelineError),
    /// A CSV input can't be read as it is meant.
    #[error("cannot read '{input}' as CSV")]
    Csv {
        /// The input's name.
        input: String,
        /// Why.
        #[source]
        source: SchemaError,
    },
    /// The columns of a CSV input make no object.
    #[error("cannot make events of '{input}'")]
    CsvPaths {
        /// The input's name.
        input: String,
        /// Why.
        #[source]
        source: PathConflict,
    },
}
