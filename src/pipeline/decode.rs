//! Blocks to projected batches, side by side: decode, look to the future, compute, select, write keys.
//!
//! Everything here depends on one block alone, so blocks can be taken by any thread in any order.

use std::sync::Arc;

use crate::batch::EventBatch;
use crate::codec::csv::{Header, Schema, SchemaError};
use crate::codec::{Decoder, Wanted};
use crate::plan::Plan;
use crate::record::Block;
use crate::time::{Duration, Timestamp};
use crate::watermark::RunningMaximum;
use crate::window::{Projected, Selected};

/// Decodes blocks, each by its partition's decoder. One for each thread.
#[derive(Debug, Clone)]
pub struct Decode {
    /// By partition: inputs may differ in format.
    pub decoders: Vec<InputDecoder>,
    /// The query.
    pub plan: Arc<Plan>,
    /// What is too far in the future.
    pub future: FutureGuard,
}

/// The decoder of one input.
#[derive(Debug, Clone)]
pub enum InputDecoder {
    /// It knows what it needs.
    Ready(Decoder),
    /// Comma-separated values whose header has not come yet.
    CsvWithoutHeader(CsvInput),
}

/// What a CSV decoder is made of, once the header is there.
#[derive(Debug, Clone)]
pub struct CsvInput {
    /// What is decoded.
    pub wanted: Wanted,
    /// What is said about the columns.
    pub schema: Schema,
    /// The longest record.
    pub record_bytes_max: usize,
}

/// Refuses events dated long after the clock, which would take the watermark with them.
#[derive(Debug, Clone, Copy)]
pub struct FutureGuard {
    /// How far after the clock an event may be dated; `None` takes any.
    pub max: Option<Duration>,
    /// The clock, if it is not that of the block's arrival.
    pub now: Option<Timestamp>,
}

/// A projected batch with what was counted on the way.
#[derive(Debug)]
pub struct Decoded {
    /// The batch.
    pub projected: Projected,
    /// Of its rejects, those dated too far in the future.
    pub future: u64,
    /// Values that became NULL.
    pub nulled: u64,
}

impl Decode {
    /// Makes the decoder of a CSV input when this block brings its header. `None` if there is nothing to make.
    pub fn meet_header(&self, block: &Block) -> Result<Option<InputDecoder>, SchemaError> {
        let InputDecoder::CsvWithoutHeader(input) = &self.decoders[block.partition.0 as usize] else { return Ok(None) };
        let Some(header) = Header::read(&block.bytes)? else { return Ok(None) };
        let CsvInput { wanted, schema, record_bytes_max } = input;
        let decoder = crate::codec::csv::Decoder::new(wanted, &header, schema, *record_bytes_max)?;
        Ok(Some(InputDecoder::Ready(Decoder::Csv(decoder))))
    }

    /// Decodes one block.
    pub fn block(&mut self, block: Block) -> Decoded {
        let arrival = block.arrival;
        let mut batch = match &mut self.decoders[block.partition.0 as usize] {
            InputDecoder::Ready(decoder) => decoder.decode(block),
            // Only an input without a header has nothing but blank lines before its first.
            InputDecoder::CsvWithoutHeader(_) => EventBatch::empty(block),
        };
        let rejects = batch.rejects.len();
        self.future.judge(&mut batch, arrival);
        let future = (batch.rejects.len() - rejects) as u64;
        let mut nulled = 0;
        self.plan.compute(&mut batch, &mut nulled);
        let maximum = Arc::new(RunningMaximum::of(&batch.times));
        let selected = self.plan.queries.iter().map(|query| Selected::of(query, &batch)).collect();
        Decoded { projected: Projected { batch, maximum, selected }, future, nulled }
    }
}

impl FutureGuard {
    fn judge(self, batch: &mut crate::batch::EventBatch, arrival: Timestamp) {
        let Some(max) = self.max else { return };
        let now = self.now.unwrap_or(arrival);
        let limit = Timestamp(now.0.saturating_add(max.0));
        if batch.times.iter().any(|&time| time > limit) {
            batch.reject_times(|time| {
                (time > limit).then(|| format!("future: '{time}' is more than {max} after the clock, '{now}'"))
            });
        }
    }
}
