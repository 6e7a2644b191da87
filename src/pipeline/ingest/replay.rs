//! Rejects that are sent again: their original bytes out of the records that they are kept in, judged as if they came for the first time.
//!
//! Each keeps the place where it was first read; what is refused again has one attempt more.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::batch::{EventBatch, LineSpan, Reject, Tag, slot_bytes, slot_str};
use crate::codec::ndjson::Decoder;
use crate::codec::{TimeFrom, Wanted};
use crate::event::Path;
use crate::expr::{Error, Expr, Program};
use crate::partition::PartitionId;
use crate::pipeline::ingest::error::IngestError;
use crate::pipeline::ingest::judge::{Judge, Judged, Origin, Rejected};
use crate::record::Block;
use crate::validate::Violation;
use crate::validate::schema::Schemas;

/// What a thread does with a block.
#[derive(Debug, Clone)]
pub enum Worker {
    /// Its lines are events.
    Events(Judge),
    /// Its lines are rejects.
    Rejects(Box<Replay>),
}

/// Takes rejects out of their records.
#[derive(Debug, Clone)]
pub struct Replay {
    decoder: Decoder,
    filter: Option<Program>,
    names: Vec<String>,
    judge: Judge,
}

/// The fields of a record: the first columns.
const FIELDS: [&str; 6] = ["source", "line", "byte", "attempt", "payload", "payload_base64"];
const SOURCE: usize = 0;
const LINE: usize = 1;
const BYTE: usize = 2;
const ATTEMPT: usize = 3;
const PAYLOAD: usize = 4;
const PAYLOAD_BASE64: usize = 5;

/// A record is longer than the line that it keeps: each of its bytes may be an escape.
const RECORD_BYTES: usize = 6;

impl Worker {
    /// Whether blocks of this input can't be judged before its header is known.
    pub fn awaits_header(&self, partition: PartitionId) -> bool {
        matches!(self, Worker::Events(judge) if judge.awaits_header(partition))
    }

    /// Takes the header from an input's first block.
    pub fn meet_header(&mut self, block: &Block, name: &str) -> Result<(), IngestError> {
        match self {
            Worker::Events(judge) => judge.meet_header(block, name),
            Worker::Rejects(_) => Ok(()),
        }
    }

    /// Takes what another worker knows of an input.
    pub fn learn(&mut self, other: &Worker, partition: PartitionId) {
        if let (Worker::Events(own), Worker::Events(other)) = (self, other) {
            own.learn(other, partition);
        }
    }

    /// Takes other schemas than those before.
    pub fn renew(&mut self, schemas: &Arc<Schemas>) {
        match self {
            Worker::Events(judge) => judge.renew(schemas),
            Worker::Rejects(replay) => replay.judge.renew(schemas),
        }
    }

    /// Judges one block.
    pub fn block(&mut self, block: Block) -> Judged {
        match self {
            Worker::Events(judge) => judge.block(block),
            Worker::Rejects(replay) => replay.block(block),
        }
    }
}

impl Replay {
    /// The longest line of a file of rejects, of which each keeps so many bytes at most.
    pub fn line_bytes_max(payload_bytes_max: usize) -> usize {
        payload_bytes_max.saturating_mul(RECORD_BYTES).saturating_add(1 << 16).min(1 << 30)
    }

    /// Replays what `filter` is TRUE for, all without one. `names` are those of the inputs, of which the judge takes NDJSON.
    pub fn new(
        filter: Option<&Expr>,
        names: Vec<String>,
        judge: Judge,
        line_bytes_max: usize,
    ) -> Result<Replay, Error> {
        let mut paths: Vec<Path> = FIELDS.iter().map(|field| Path::of_keys(&[field])).collect();
        paths.extend(filter.into_iter().flat_map(Expr::paths).cloned());
        let resolve = |path: &Path| paths.iter().position(|known| known == path);
        let filter = filter.map(|filter| Program::compile(filter, &resolve)).transpose()?;
        let wanted = Wanted { paths, time: TimeFrom::Arrival };
        Ok(Replay { decoder: Decoder::new(&wanted, line_bytes_max), filter, names, judge })
    }

    fn block(&mut self, block: Block) -> Judged {
        let (partition, offset, arrival) = (block.partition, block.offset, block.arrival);
        let end = offset + block.bytes.len() as u64;
        let mut batch = self.decoder.decode(block);
        let mut text = std::mem::take(&mut batch.text);
        let selected = match &self.filter {
            Some(filter) => filter.select(&batch.columns, batch.rows(), &mut text, &mut 0),
            None => (0..batch.rows() as u32).collect(),
        };
        batch.text = text;
        let name = self.names[partition.0 as usize].as_str();
        let mut lines = Payloads::default();
        let mut rejects = batch.rejects.iter().peekable();
        let push_reject = |reject: &Reject, lines: &mut Payloads| {
            let original = &batch.text[reject.span.start as usize..][..reject.span.len as usize];
            let byte = batch.offset + u64::from(reject.span.start);
            lines.push_no_record(original, name, byte, format!("no record of a reject: {}", reject.reason));
        };
        for &row in &selected {
            let row = row as usize;
            while let Some(reject) = rejects.next_if(|reject| reject.span.line < batch.spans[row].line) {
                push_reject(reject, &mut lines);
            }
            lines.push(&batch, row, name);
        }
        rejects.for_each(|reject| push_reject(reject, &mut lines));
        let inner = Block { partition, offset: 0, from: 0, arrival, stamps: None, bytes: lines.bytes };
        let mut judged = self.judge.block(inner);
        let mut refused: HashMap<u32, String> = lines.refused.into_iter().collect();
        let spans = judged.accepted.iter().map(|accepted| accepted.span).chain(judged.rejected.iter().map(|r| r.span));
        let taken: Vec<LineSpan> = spans.filter(|span| refused.contains_key(&span.line)).collect();
        judged.accepted.retain(|accepted| !refused.contains_key(&accepted.span.line));
        judged.rejected.retain(|rejected| !refused.contains_key(&rejected.span.line));
        judged.rejected.extend(taken.into_iter().filter_map(|span| {
            let violation = Violation { pointer: "".into(), reason: refused.remove(&span.line)?.into() };
            Some(Rejected { span, byte: 0, violation, is_event: false })
        }));
        judged.rejected.sort_by_key(|rejected| rejected.span.line);
        judged.left_out = batch.rows() as u32 - selected.len() as u32;
        judged.blank += batch.blank;
        (judged.offset, judged.end) = (offset, end);
        judged.origins = lines.origins;
        judged
    }
}

/// The payloads of records as lines.
#[derive(Default)]
struct Payloads {
    bytes: Vec<u8>,
    origins: Vec<Origin>,
    /// Lines that are no payload, with the reason.
    refused: Vec<(u32, String)>,
}

impl Payloads {
    fn push(&mut self, batch: &EventBatch, row: usize, name: &str) {
        let cell = |column: usize| (batch.columns[column].tags[row], batch.columns[column].bits[row]);
        let text = |column: usize| match cell(column) {
            (Tag::Text, bits) => Some(slot_bytes(&batch.text, bits)),
            _ => None,
        };
        let number = |column: usize| match cell(column) {
            (Tag::Int, bits) => u64::try_from(bits as i64).ok(),
            (Tag::UInt, bits) => Some(bits),
            _ => None,
        };
        let payload = match (text(PAYLOAD), text(PAYLOAD_BASE64)) {
            (Some(payload), _) => Some(Cow::Borrowed(payload)),
            (None, Some(encoded)) => STANDARD.decode(encoded).ok().map(Cow::Owned),
            (None, None) => None,
        };
        let Some(payload) = payload else {
            let span = batch.spans[row];
            let original = &batch.text[span.start as usize..][..span.len as usize];
            let byte = batch.offset + u64::from(span.start);
            return self.push_no_record(
                original,
                name,
                byte,
                "no record of a reject: neither 'payload' nor 'payload_base64'".into(),
            );
        };
        let source = match cell(SOURCE) {
            (Tag::Text, bits) => slot_str(&batch.text, bits),
            _ => name,
        };
        let attempt = number(ATTEMPT).unwrap_or(1).saturating_add(1);
        self.origins.push(Origin {
            source: source.into(),
            line: number(LINE).unwrap_or(0),
            byte: number(BYTE).unwrap_or(0),
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        });
        if payload.contains(&b'\n') {
            let reason = "its payload has several lines, as records of CSV have: mend it where it came from";
            self.refused.push((self.origins.len() as u32 - 1, reason.to_owned()));
        }
        self.push_line(&payload);
    }

    fn push_no_record(&mut self, original: &[u8], name: &str, byte: u64, reason: String) {
        self.refused.push((self.origins.len() as u32, reason));
        self.origins.push(Origin { source: name.into(), line: 0, byte, attempt: 1 });
        self.push_line(original);
    }

    fn push_line(&mut self, line: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(line);
        // A line feed would make two lines of it, of which the second has no origin.
        self.bytes[start..].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        self.bytes.push(b'\n');
    }
}
