//! Why a run of evingest ends before its input does. Knows nothing of exit codes and hints.

use crate::codec::csv::SchemaError;
use crate::codec::encode::event::PathConflict;
use crate::kafka::transaction::TransactionError;
use crate::pipeline::error::PipelineError;
use crate::pipeline::ingest::delivery::DeliveryError;
use crate::pipeline::ingest::summary::Summary;
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
    /// A transaction was lost; whoever runs this can go on from the positions that are committed.
    #[error("{source}")]
    Lost {
        /// How.
        source: TransactionError,
        /// What is sure to be committed.
        committed: Box<Summary>,
        /// What is committed if these positions are.
        attempted: Option<(String, Box<Summary>)>,
    },
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
