//! Why a run can't go on where the last one ended.

use std::io;

use crate::aggregate::saved::StateError;
use crate::sink::SinkError;
use crate::store::StoreError;

/// A run can't go on where the last one ended.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The store says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An input can't be looked at.
    #[error("cannot read '{input}'")]
    Read {
        /// Its name.
        input: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was counted of it can't be told from what was not.
    #[error("cannot go on with '{input}', which can be read only once: the store has what the last run left open")]
    ReadOnce {
        /// The input's name, or what is merged.
        input: String,
    },
    /// What was brought in of it can't be told from what was not.
    #[error("cannot repair from '{input}', which can be read only once: what was brought in would be again")]
    LateOnce {
        /// The input's name.
        input: String,
    },
    /// The file of late events can't be written to.
    #[error(transparent)]
    Late(#[from] SinkError),
    /// Part of an input has gone.
    #[error("cannot go on reading '{input}' at byte {read}, where the last run ended: it has {length} bytes now")]
    Shrunk {
        /// Its name.
        input: String,
        /// Bytes that were read.
        read: u64,
        /// Bytes that it has.
        length: u64,
    },
    /// Retention was faster.
    #[error(
        "cannot go on reading '{input}' at offset {read}, where the last run ended: retention has dropped all before {low}"
    )]
    Gap {
        /// Its name.
        input: String,
        /// The offset to be read next.
        read: u64,
        /// The first that is there.
        low: u64,
    },
    /// The store holds a state that is none of this query's, or damaged.
    #[error("cannot go on where the last run ended")]
    State(#[from] StateError),
}
