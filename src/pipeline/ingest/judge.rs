//! Blocks to judged events, side by side: decode, form, schema.
//!
//! Everything here depends on one block alone, so blocks can be taken by any thread in any order.

use std::sync::Arc;

use crate::batch::{EventBatch, LineSpan, Tag, slot};
use crate::codec::csv::{self, Header};
use crate::codec::encode::event::EventEncoder;
use crate::codec::ndjson::{self, Document, PADDING};
use crate::codec::{TimeFrom, Wanted};
use crate::event::Path;
use crate::partition::PartitionId;
use crate::pipeline::ingest::dedup;
use crate::pipeline::ingest::error::IngestError;
use crate::record::Block;
use crate::source::input::InputFormat;
use crate::time::Timestamp;
use crate::validate::complete::{Completion, complete};
use crate::validate::schema::Schemas;
use crate::validate::{Violation, form};

/// What is demanded of events, and what is told of them.
#[derive(Debug, Clone)]
pub struct Demands {
    /// The schemas of event types.
    pub schemas: Arc<Schemas>,
    /// Whether an event whose type has no schema is rejected.
    pub rejects_unknown_types: bool,
    /// What callers may leave out.
    pub completion: Completion,
    /// What decides an event's partition.
    pub key: Option<Path>,
    /// What an event is told from others by.
    pub dedup: Option<Path>,
    /// The longest line.
    pub line_bytes_max: usize,
    /// What is said about the columns of CSV inputs.
    pub csv_schema: csv::Schema,
}

/// Judges blocks. One for each thread, as clones of one.
#[derive(Debug, Clone)]
pub struct Judge {
    demands: Arc<Demands>,
    wanted: Wanted,
    key: Option<usize>,
    dedup: Option<usize>,
    /// By partition.
    inputs: Vec<InputDecoder>,
    document: Document,
}

#[derive(Debug, Clone)]
enum InputDecoder {
    Ndjson(Box<ndjson::Decoder>),
    /// Its header has not come.
    Csv,
    CsvWithHeader(Box<csv::Decoder>, Arc<EventEncoder>),
}

/// A block, judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// The input it was read from.
    pub partition: u32,
    /// Bytes of the input before its text.
    pub offset: u64,
    /// Bytes of the input before the next block's first line.
    pub end: u64,
    /// Its bytes, and what was written anew behind them.
    pub text: Vec<u8>,
    /// Events of other formats as JSON, and keys that are no texts.
    pub made: Vec<u8>,
    /// In the order of the lines.
    pub accepted: Vec<Accepted>,
    /// In the order of the lines.
    pub rejected: Vec<Rejected>,
    /// Lines, of whatever kind.
    pub lines: u32,
    /// Lines with nothing in them.
    pub blank: u32,
    /// Lines that other evkit programs have written between rows.
    pub in_band: u32,
    /// Where the lines of a replay came from at first; empty where nothing is replayed.
    pub origins: Vec<Origin>,
    /// Rejects that a replay leaves out.
    pub left_out: u32,
}

/// Where a line came from at first, and how often it was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The input's name.
    pub source: Box<str>,
    /// Counted from 1.
    pub line: u64,
    /// Where the line begins in its input.
    pub byte: u64,
    /// How often it was tried, this time included.
    pub attempt: u32,
}

/// An event that is good.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    /// Its original bytes.
    pub span: LineSpan,
    /// Its JSON: a slot of the text and what was made.
    pub payload: u64,
    /// Its key, likewise, if it has one.
    pub key: Option<u64>,
    /// Its id, likewise.
    pub event_id: u64,
    /// When it happened.
    pub time: Timestamp,
    /// What its id for telling duplicates hashes to; `None` where it has none or none is wanted.
    pub dedup: Option<u128>,
    /// The version of its schema; 0 where there is none.
    pub schema_version: u32,
}

/// A line that is refused.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Its original bytes.
    pub span: LineSpan,
    /// Where in the line the trouble is.
    pub byte: u32,
    /// What it breaks; the pointer is only there where `is_event` says so.
    pub violation: Violation,
    /// Whether it is an event at all, so that a field of it can be pointed to.
    pub is_event: bool,
}

impl Judged {
    /// What a slot of the text or of what was made names.
    pub fn bytes(&self, slot: u64) -> &[u8] {
        let (start, len) = ((slot >> 32) as usize, (slot & 0xffff_ffff) as usize);
        match start.checked_sub(self.text.len()) {
            None => &self.text[start..start + len],
            Some(start) => &self.made[start..start + len],
        }
    }

    /// The original bytes of a line.
    pub fn original(&self, span: LineSpan) -> &[u8] {
        &self.text[span.start as usize..][..span.len as usize]
    }
}

impl Judge {
    /// A judge of inputs of these formats.
    pub fn new(demands: Demands, formats: &[InputFormat]) -> Judge {
        let mut paths = form::paths();
        let mut column_of = |path: &Path| {
            paths.iter().position(|known| known == path).unwrap_or_else(|| {
                paths.push(path.clone());
                paths.len() - 1
            })
        };
        let (key, dedup) = (demands.key.as_ref().map(&mut column_of), demands.dedup.as_ref().map(&mut column_of));
        // The form itself judges the time, so that it can point to it.
        let wanted = Wanted { paths, time: TimeFrom::Arrival };
        let decoder = ndjson::Decoder::new(&wanted, demands.line_bytes_max);
        let input = |format: &InputFormat| match format {
            InputFormat::Ndjson => InputDecoder::Ndjson(Box::new(decoder.clone())),
            InputFormat::Csv => InputDecoder::Csv,
        };
        let inputs = formats.iter().map(input).collect();
        Judge { demands: Arc::new(demands), wanted, key, dedup, inputs, document: Document::default() }
    }

    /// Whether blocks of this input can't be judged before its header is known.
    pub fn awaits_header(&self, partition: PartitionId) -> bool {
        matches!(self.inputs[partition.0 as usize], InputDecoder::Csv)
    }

    /// Takes the header from an input's first block, unless that is blank.
    pub fn meet_header(&mut self, block: &Block, name: &str) -> Result<(), IngestError> {
        let failed = |source| IngestError::Csv { input: name.to_owned(), source };
        let Some(header) = Header::read(&block.bytes).map_err(failed)? else { return Ok(()) };
        // Ids of digits are no numbers.
        let schema = self.demands.csv_schema.clone().with_texts(&header, &form::paths());
        let fields = schema.paths(&header).map_err(failed)?;
        let mut wanted = self.wanted.clone();
        let first = wanted.paths.len();
        let encoder = EventEncoder::new(&fields, first)
            .map_err(|source| IngestError::CsvPaths { input: name.to_owned(), source })?;
        wanted.paths.extend(fields);
        let decoder = csv::Decoder::new(&wanted, &header, &schema, self.demands.line_bytes_max).map_err(failed)?;
        self.inputs[block.partition.0 as usize] = InputDecoder::CsvWithHeader(Box::new(decoder), Arc::new(encoder));
        Ok(())
    }

    /// Takes what another judge knows of an input.
    pub fn learn(&mut self, other: &Judge, partition: PartitionId) {
        self.inputs[partition.0 as usize] = other.inputs[partition.0 as usize].clone();
    }

    /// Takes other schemas than those before.
    pub fn renew(&mut self, schemas: &Arc<Schemas>) {
        // Each judge has its own: there are as many as threads, and this is seldom.
        Arc::make_mut(&mut self.demands).schemas = Arc::clone(schemas);
    }

    /// Judges one block.
    pub fn block(&mut self, block: Block) -> Judged {
        let Block { partition, offset, arrival, .. } = block;
        let end = offset + block.bytes.len() as u64;
        let block = match self.demands.completion {
            Completion::Off => block,
            completion => completed(completion, block, &mut self.document),
        };
        let (mut batch, encoder) = match &mut self.inputs[partition.0 as usize] {
            InputDecoder::Ndjson(decoder) => (decoder.decode(block), None),
            InputDecoder::CsvWithHeader(decoder, encoder) => (decoder.decode(block), Some(Arc::clone(encoder))),
            InputDecoder::Csv => (EventBatch::empty(Block { arrival, ..block }), None),
        };
        let mut judged = Judged {
            partition: partition.0,
            offset,
            end,
            lines: batch.lines,
            blank: batch.blank,
            in_band: batch.in_band.len() as u32,
            accepted: Vec::with_capacity(batch.rows()),
            ..Judged::default()
        };
        for reject in std::mem::take(&mut batch.rejects) {
            let violation = Violation { pointer: "".into(), reason: reject.reason };
            judged.rejected.push(Rejected { span: reject.span, byte: reject.byte, violation, is_event: false });
        }
        let own = judged.rejected.len();
        for row in 0..batch.rows() {
            match self.judge(&batch, row, encoder.as_deref(), &mut judged.made) {
                Ok(accepted) => judged.accepted.push(accepted),
                Err(violation) => {
                    let rejected = Rejected { span: batch.spans[row], byte: 0, violation, is_event: true };
                    judged.rejected.push(rejected);
                }
            }
        }
        if own > 0 && judged.rejected.len() > own {
            judged.rejected.sort_by_key(|rejected| rejected.span.line);
        }
        // A line that is too long may have been cut: where it really ends is not known here.
        let last = judged.rejected.last().filter(|last| last.span.len as usize > self.demands.line_bytes_max);
        if let Some(last) = last.filter(|last| last.span.line + 1 == judged.lines) {
            judged.end = offset + u64::from(last.span.start);
        }
        judged.text = batch.text;
        judged
    }

    #[inline]
    fn judge(
        &mut self,
        batch: &EventBatch,
        row: usize,
        encoder: Option<&EventEncoder>,
        made: &mut Vec<u8>,
    ) -> Result<Accepted, Violation> {
        let time = form::judge(batch, row)?;
        let span = batch.spans[row];
        let payload = match encoder {
            None => {
                let line = &batch.text[span.start as usize..][..span.len as usize];
                let before = line.len() - line.trim_ascii_start().len();
                slot(span.start as usize + before, line.trim_ascii().len())
            }
            Some(encoder) => {
                let start = made.len();
                encoder.encode(&batch.columns, row, &batch.text, made);
                let payload = slot(batch.text.len() + start, made.len() - start);
                made.push(b'\n');
                made.resize(made.len() + PADDING, 0);
                payload
            }
        };
        let schema_version = self.judge_by_schema(batch, row, payload, made)?;
        let key = self.key.and_then(|column| {
            let column = &batch.columns[column];
            match column.tags[row] {
                Tag::Null => None,
                Tag::Text | Tag::Json => Some(column.bits[row]),
                _ => {
                    let start = made.len();
                    column.value(row, &batch.text).write_json(made);
                    Some(slot(batch.text.len() + start, made.len() - start))
                }
            }
        });
        let dedup = self.dedup.and_then(|column| {
            let column = &batch.columns[column];
            match column.tags[row] {
                Tag::Null => None,
                Tag::Text | Tag::Json => Some(dedup::hash(crate::batch::slot_bytes(&batch.text, column.bits[row]))),
                // Numbers are told apart from texts that look like them.
                tag => Some(dedup::hash(&[&[tag as u8][..], &column.bits[row].to_le_bytes()].concat())),
            }
        });
        let event_id = batch.columns[form::EVENT_ID].bits[row];
        Ok(Accepted { span, payload, key, event_id, time, dedup, schema_version })
    }

    /// Judges the event by its type's schema; gives that one's version.
    #[inline]
    fn judge_by_schema(&mut self, batch: &EventBatch, row: usize, payload: u64, made: &[u8]) -> Result<u32, Violation> {
        if self.demands.schemas.is_empty() && !self.demands.rejects_unknown_types {
            return Ok(0);
        }
        let event_type = form::event_type(batch, row);
        let Some(known) = self.demands.schemas.get(event_type) else {
            return match self.demands.rejects_unknown_types {
                true => Err(Violation {
                    pointer: "/event_type".into(),
                    reason: unknown(event_type, &self.demands.schemas).into(),
                }),
                false => Ok(0),
            };
        };
        let start = (payload >> 32) as usize;
        let (bytes, start) = match start.checked_sub(batch.text.len()) {
            None => (&batch.text[..], start),
            Some(start) => (made, start),
        };
        match self.document.read(bytes, start) {
            Ok(event) => known.schema.judge(event)?,
            Err(error) => return Err(Violation { pointer: "".into(), reason: error.to_string().into() }),
        }
        Ok(known.version.unwrap_or(0))
    }
}

fn unknown(event_type: &str, schemas: &Schemas) -> String {
    let cut_off =
        if schemas.is_cut_off() { "; the registry does not answer, so a newer one may be missing" } else { "" };
    format!("no schema for events of type '{event_type}'{cut_off}")
}

/// The block with its events completed; lines that are no events stay as they are.
fn completed(completion: Completion, block: Block, document: &mut Document) -> Block {
    let mut bytes = block.bytes[block.from..].to_vec();
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    let end = bytes.len();
    bytes.resize(end + PADDING, 0);
    let mut whole = Vec::with_capacity(end + PADDING + 1);
    let mut start = 0;
    while let Some(length) = memchr::memchr(b'\n', &bytes[start..end]) {
        let line = std::str::from_utf8(&bytes[start..start + length]);
        let place = block.offset + (block.from + start) as u64;
        let has_changed = line.is_ok_and(|line| {
            ndjson::is_whole_object(line.as_bytes())
                && document
                    .read(&bytes, start)
                    .is_ok_and(|event| complete(completion, line, event, place, block.arrival, &mut whole))
        });
        if !has_changed {
            whole.extend_from_slice(&bytes[start..start + length]);
        }
        whole.push(b'\n');
        start += length + 1;
    }
    Block { bytes: whole, from: 0, ..block }
}
