//! Between bytes and columns: decoders make an `EventBatch` of a `Block`, encoders make bytes of rows.
//!
//! One seam, `block of bytes + wanted paths → columns + rejects`, whatever the format and however it is read. Knows
//! nothing of where the bytes come from and of what is computed from the columns.

pub mod csv;
pub mod encode;
pub mod ndjson;
pub mod partial;
pub mod row;

use crate::batch::EventBatch;
use crate::event::Path;
use crate::record::Block;
use crate::time::TimeFormat;

/// What a decoder takes out of each event; all else is checked and passed over.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The fields, one column each, in this order. A path may repeat, lead through arrays, and be the beginning of
    /// another; the empty path is the whole event.
    pub paths: Vec<Path>,
    /// Where event time comes from.
    pub time: TimeFrom,
}

/// Where the time of an event comes from.
#[derive(Debug, Clone)]
pub enum TimeFrom {
    /// From one of its fields. An event without it, or whose field is no time, is a reject.
    Field {
        /// The field.
        path: Path,
        /// How it holds the time.
        format: TimeFormat,
    },
    /// From the clock when its block was read (`--time processing`).
    Arrival,
}

/// A decoder of one input's format. Each thread has a clone of its own, since it reuses memory.
#[derive(Debug, Clone)]
pub enum Decoder {
    /// Lines of JSON.
    Ndjson(Box<ndjson::Decoder>),
    /// CSV whose header is known.
    Csv(csv::Decoder),
}

impl Decoder {
    /// Decodes one block of whole lines or records.
    pub fn decode(&mut self, block: Block) -> EventBatch {
        match self {
            Decoder::Ndjson(decoder) => decoder.decode(block),
            Decoder::Csv(decoder) => decoder.decode(block),
        }
    }
}
