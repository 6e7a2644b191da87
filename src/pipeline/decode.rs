//! Blocks to projected batches, side by side: decode, look to the future, compute, select, write keys.
//!
//! Everything here depends on one block alone, so blocks can be taken by any thread in any order.

use std::ops::Range;
use std::sync::Arc;

use crate::aggregate::Accumulators;
use crate::batch::{EventBatch, InBand, Reject};
use crate::codec::csv::{Header, Schema, SchemaError};
use crate::codec::partial::Line;
use crate::codec::{Decoder, Wanted};
use crate::plan::Plan;
use crate::record::Block;
use crate::source::Delivered;
use crate::time::Timestamp;
use crate::validate::FutureGuard;
use crate::watermark::RunningMaximum;
use crate::window::{Partial, Projected, Query, Selected};

/// Decodes blocks, each by its partition's decoder. One for each thread.
#[derive(Debug, Clone)]
pub struct Decode {
    /// By partition: inputs may differ in format.
    pub decoders: Vec<InputDecoder>,
    /// The query.
    pub plan: Arc<Plan>,
    /// What is too far in the future.
    pub future: FutureGuard,
    /// Where partials are merged instead of events: the names of their metrics.
    pub merging: Option<Vec<String>>,
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

/// A projected batch with what was counted on the way.
#[derive(Debug)]
pub struct Decoded {
    /// The batch.
    pub projected: Projected,
    /// In-band watermarks, each with the number of rows before it.
    pub watermarks: Vec<(usize, Timestamp)>,
    /// The lines of those of its rejects that are dated too far in the future, in order.
    pub future: Vec<u32>,
    /// Values that became NULL.
    pub nulled: u64,
    /// The clock when its block was read.
    pub arrival: Timestamp,
    /// Bytes of the partition before its first line, and before the first line behind it; of records, their offsets.
    pub bytes: Range<u64>,
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

    /// Decodes what was read, unless it came as columns.
    pub fn take(&mut self, delivered: Delivered) -> Decoded {
        match delivered {
            Delivered::Block(block) => self.block(block),
            Delivered::Batch(batch) => {
                let stamps = batch.stamps.as_deref().unwrap_or_default();
                let bytes = match (stamps.first(), stamps.last()) {
                    (Some(first), Some(last)) => first.offset..last.offset + 1,
                    _ => batch.offset..batch.offset,
                };
                self.project(*batch, Timestamp::MIN, bytes)
            }
        }
    }

    /// Decodes one block.
    pub fn block(&mut self, block: Block) -> Decoded {
        let arrival = block.arrival;
        let bytes = match block.stamps.as_deref() {
            Some([first, .., last]) => first.offset..last.offset + 1,
            Some([only]) => only.offset..only.offset + 1,
            _ => block.offset + block.from as u64..block.offset + block.bytes.len() as u64,
        };
        let batch = match &mut self.decoders[block.partition.0 as usize] {
            InputDecoder::Ready(decoder) => decoder.decode(block),
            // Only an input without a header has nothing but blank lines before its first.
            InputDecoder::CsvWithoutHeader(_) => EventBatch::empty(block),
        };
        self.project(batch, arrival, bytes)
    }

    fn project(&mut self, mut batch: EventBatch, arrival: Timestamp, bytes: Range<u64>) -> Decoded {
        let future = self.future.judge(&mut batch, arrival);
        let (partials, watermarks) = match &self.merging {
            Some(metrics) => take_partials(&mut batch, metrics, &self.plan),
            None => (Vec::new(), watermarks(&batch)),
        };
        let mut nulled = 0;
        self.plan.compute(&mut batch, &mut nulled);
        let maximum = match &self.merging {
            Some(_) => RunningMaximum::of(&partials.iter().map(Partial::time).collect::<Vec<_>>()),
            None => maximum_of(&batch),
        };
        let selected = Selected::of_all(&self.plan.queries, &batch);
        let projected = Projected { batch, partials, maximum: Arc::new(maximum), selected };
        Decoded { projected, watermarks, future, nulled, arrival, bytes }
    }
}

/// The running maximum of a batch's times, and of those that are known to have stood between them.
fn maximum_of(batch: &EventBatch) -> RunningMaximum {
    match batch.stamps.as_deref() {
        Some(stamps) if stamps.iter().any(|stamp| stamp.seen_until > Timestamp::MIN) => {
            RunningMaximum::of_some(&batch.times, |row| stamps[batch.spans[row].line as usize].seen_until)
        }
        _ => RunningMaximum::of(&batch.times),
    }
}

/// The in-band watermarks of a batch, each with the number of events before it.
fn watermarks(batch: &EventBatch) -> Vec<(usize, Timestamp)> {
    let marks = batch.in_band.iter().filter_map(|(row, mark)| match mark {
        InBand::Watermark(watermark) => Some((*row as usize, *watermark)),
        _ => None,
    });
    marks.collect()
}

/// Whether the state of a partial can be merged.
fn is_whole(partial: &Partial, query: &Query) -> bool {
    let mut probe = Accumulators::new(&query.functions);
    let group = probe.add_group();
    probe.decode_into_group(group, &partial.state).is_ok()
}

/// The partials of a batch, and its watermarks, each with the number of partials before it. All other lines but headers
/// and marks become rejects. The batch's rows are then the partials: their lines are its spans.
fn take_partials(batch: &mut EventBatch, metrics: &[String], plan: &Plan) -> (Vec<Partial>, Vec<(usize, Timestamp)>) {
    batch.reject_rows(|_, _| Some("an event stands where partials are expected".into()));
    let (mut partials, mut watermarks) = (Vec::new(), Vec::new());
    let mut marks = std::mem::take(&mut batch.in_band);
    marks.retain(|(_, mark)| {
        let span = match mark {
            InBand::Watermark(watermark) => {
                watermarks.push((partials.len(), *watermark));
                return true;
            }
            InBand::Partial(span) => *span,
            _ => return true,
        };
        let line = &batch.text[span.start as usize..][..span.len as usize];
        let reason = match crate::codec::partial::parse(line) {
            Ok(Line::Header(_)) => return true,
            Ok(Line::Partial(metric, partial)) => match metrics.iter().position(|name| *name == metric) {
                Some(metric) if partial.groups.len() != plan.schemas[metric].groups.len() => {
                    "its key has not the group columns that the header names".into()
                }
                Some(metric) if !is_whole(&partial, &plan.queries[metric]) => {
                    "its state is damaged, or not of the aggregates that the header names".into()
                }
                Some(metric) => {
                    partials.push(Partial { metric, ..partial });
                    batch.spans.push(span);
                    return false;
                }
                None => format!("no header at the beginning of the input names the metric '{metric}'"),
            },
            Err(error) => error.to_string(),
        };
        batch.rejects.push(Reject { span, byte: 0, reason: reason.into() });
        false
    });
    batch.in_band = marks;
    batch.rejects.sort_by_key(|reject| reject.span.line);
    (partials, watermarks)
}
