//! Blocks to projected batches, side by side: decode, look to the future, compute, select, write keys.
//!
//! Everything here depends on one block alone, so blocks can be taken by any thread in any order.

use std::sync::Arc;

use crate::codec::ndjson::Decoder;
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
    /// JSON lines.
    Ndjson(Decoder),
    /// Comma-separated values.
    Csv(crate::codec::csv::Decoder),
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
    /// Decodes one block.
    pub fn block(&mut self, block: Block) -> Decoded {
        let arrival = block.arrival;
        let mut batch = match &mut self.decoders[block.partition.0 as usize] {
            InputDecoder::Ndjson(decoder) => decoder.decode(block),
            InputDecoder::Csv(decoder) => decoder.decode(block),
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
