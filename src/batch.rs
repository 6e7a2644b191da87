//! Many events as columns of just the fields that the query reads.
//!
//! A column is two parallel vectors, a tag and 64 bits a row, whatever JSON types its rows mix. Text is a slot (start,
//! length) into the batch's text, which is the block of input bytes itself followed by whatever had to be written
//! anew (unescaped strings, results of functions): no value is allocated on its own.
//! Knows nothing of how bytes are decoded and of what is computed.

use std::borrow::Cow;
use std::sync::Arc;

use crate::partition::PartitionId;
use crate::record::{Block, Stamp};
use crate::time::Timestamp;
use crate::value::Value;

/// The type of one cell of a column, and how its 64 bits are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tag {
    /// NULL: the field is missing or null. Bits are 0.
    Null,
    /// FALSE. Bits are 0.
    False,
    /// TRUE. Bits are 1.
    True,
    /// An `i64`.
    Int,
    /// A `u64` greater than `i64::MAX`, so that a number has one form only.
    UInt,
    /// A finite `f64` by its bits.
    Float,
    /// UTF-8 text: a slot into the batch's text.
    Text,
    /// A nested object or array, as its JSON text: a slot into the batch's text.
    Json,
    /// A `Timestamp`, microseconds as `i64`.
    Time,
}

/// One field, or one expression's result, of all rows of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// Type of each row's cell.
    pub tags: Vec<Tag>,
    /// Payload of each row's cell; see `Tag`.
    pub bits: Vec<u64>,
}

/// The slot of a text that starts at `start` and is `len` bytes long.
pub fn slot(start: usize, len: usize) -> u64 {
    debug_assert!(start <= u32::MAX as usize && len <= u32::MAX as usize, "text beyond 4 GiB: {start} + {len}");
    (start as u64) << 32 | len as u64
}

/// The bytes that a slot names. Text in a batch is UTF-8.
pub fn slot_bytes(text: &[u8], slot: u64) -> &[u8] {
    let (start, len) = ((slot >> 32) as usize, (slot & 0xffff_ffff) as usize);
    &text[start..start + len]
}

/// The text that a slot names.
pub fn slot_str(text: &[u8], slot: u64) -> &str {
    std::str::from_utf8(slot_bytes(text, slot)).expect("text of a batch was checked to be UTF-8 when it was decoded")
}

impl Column {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// A column of `rows` NULLs.
    pub fn nulls(rows: usize) -> Self {
        Column { tags: vec![Tag::Null; rows], bits: vec![0; rows] }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Appends one cell.
    pub fn push(&mut self, tag: Tag, bits: u64) {
        self.tags.push(tag);
        self.bits.push(bits);
    }

    /// Appends `value`; text is appended to `text`, the batch's. Integers beyond `u64` become doubles, arrays become JSON.
    pub fn push_value(&mut self, value: &Value, text: &mut Vec<u8>) {
        let mut push_text = |tag, s: &str| {
            let start = text.len();
            text.extend_from_slice(s.as_bytes());
            (tag, slot(start, s.len()))
        };
        let (tag, bits) = match value {
            Value::Null => (Tag::Null, 0),
            Value::Bool(false) => (Tag::False, 0),
            Value::Bool(true) => (Tag::True, 1),
            Value::Int(i) => match (i64::try_from(*i), u64::try_from(*i)) {
                (Ok(i), _) => (Tag::Int, i as u64),
                (_, Ok(u)) => (Tag::UInt, u),
                _ => (Tag::Float, (*i as f64).to_bits()),
            },
            Value::Float(f) => (Tag::Float, f.to_bits()),
            Value::Text(s) => push_text(Tag::Text, s),
            Value::Json(s) => push_text(Tag::Json, s),
            Value::Time(t) => (Tag::Time, t.0 as u64),
            Value::Array(_) => push_text(Tag::Json, &value.to_json()),
        };
        self.push(tag, bits);
    }

    /// The cell of one row as a scalar; `text` is the batch's.
    pub fn value(&self, row: usize, text: &[u8]) -> Value {
        let bits = self.bits[row];
        match self.tags[row] {
            Tag::Null => Value::Null,
            Tag::False => Value::Bool(false),
            Tag::True => Value::Bool(true),
            Tag::Int => Value::Int(bits as i64 as i128),
            Tag::UInt => Value::Int(bits as i128),
            Tag::Float => Value::Float(f64::from_bits(bits)),
            Tag::Text => Value::Text(slot_str(text, bits).into()),
            Tag::Json => Value::Json(slot_str(text, bits).into()),
            Tag::Time => Value::Time(Timestamp(bits as i64)),
        }
    }
}

/// Where the original bytes of a row stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSpan {
    /// First byte, counted from the start of the batch's text.
    pub start: u32,
    /// Bytes without the line feed.
    pub len: u32,
    /// Line of the block, counted from 0.
    pub line: u32,
}

/// A line that is not an event: data about data, not an error of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its original bytes.
    pub span: LineSpan,
    /// Where in the line the trouble is: bytes from its start.
    pub byte: u32,
    /// What is wrong, in lower case, without a full stop.
    pub reason: Cow<'static, str>,
}

/// What stands between events in a stream that another evkit program wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InBand {
    /// `{"watermark":"…"}`: no later row has a time before this.
    Watermark(Timestamp),
    /// `{"stats":{…}}`: how the other program fared. Counted and not read.
    Stats,
    /// A result row with `"final":false`: its window has not fired, so it is skipped.
    Early,
    /// `{"partial":…}`: the mergeable state of one group of a window, for the merger to decode from the line.
    Partial(LineSpan),
    /// `{"late_for":[…]}`: the event on the next line was late for these metrics, and in time for the others.
    LateFor(LineSpan),
    /// A result row with `revision` > 0 or `"retracted":true`: what it corrects may be in a window that has fired, so
    /// the reader must stop and name `--emit partials`.
    Refused(LineSpan),
}

fn retain_rows<T>(cells: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    cells.retain(|_| *keep.next().expect("every row was judged"));
}

/// The accepted events of one block as columns, in the order of the input.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// The input that the block was read from.
    pub partition: PartitionId,
    /// Bytes of the partition before the text: a row's place in its partition is `offset + span.start`.
    pub offset: u64,
    /// What each line's record came with, where each was a record by itself.
    pub stamps: Option<Arc<[Stamp]>>,
    /// Lines of the partition before the block. Decoders can't know and say 0; the pipeline sets it.
    pub line: u64,
    /// The block's bytes as they came, then text written anew. At most 4 GiB.
    pub text: Vec<u8>,
    /// Event time of each row.
    pub times: Vec<Timestamp>,
    /// Original bytes of each row.
    pub spans: Vec<LineSpan>,
    /// The wanted fields, by their number in the plan; each as long as `times`.
    pub columns: Vec<Column>,
    /// Lines that are no events, in order.
    pub rejects: Vec<Reject>,
    /// In-band marks, each with the number of rows before it, in order.
    pub in_band: Vec<(u32, InBand)>,
    /// Lines of the block, of whatever kind: `rows + rejects + in_band + blank`, and the header of a CSV file.
    pub lines: u32,
    /// Lines with nothing in them but spaces.
    pub blank: u32,
    /// Lines, rising, whose rows are results of ours: their times are those of windows, and may lie ahead of the clock.
    pub result_lines: Vec<u32>,
}

impl EventBatch {
    /// The batch of a block that has nothing but blank lines. It has no columns.
    pub fn empty(block: Block) -> EventBatch {
        let lines = block.bytes[block.from..].iter().filter(|&&byte| byte == b'\n').count() as u32;
        EventBatch {
            partition: block.partition,
            offset: block.offset,
            stamps: block.stamps,
            line: 0,
            text: block.bytes,
            times: Vec::new(),
            spans: Vec::new(),
            columns: Vec::new(),
            rejects: Vec::new(),
            in_band: Vec::new(),
            lines,
            blank: lines,
            result_lines: Vec::new(),
        }
    }

    /// Number of accepted events.
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// The place of a row in its partition: its record's offset, or its first byte where records have none.
    #[inline]
    pub fn place(&self, row: usize) -> u64 {
        let span = self.spans[row];
        match &self.stamps {
            Some(stamps) => stamps[span.line as usize].offset,
            None => self.offset + u64::from(span.start),
        }
    }

    /// Turns accepted events into rejects: those for whose time and line `reason` has one. Costs a look at every row.
    pub fn reject_rows(&mut self, reason: impl Fn(Timestamp, u32) -> Option<String>) {
        let rows = self.times.iter().zip(&self.spans);
        let reasons: Vec<Option<String>> = rows.map(|(&time, span)| reason(time, span.line)).collect();
        let keep: Vec<bool> = reasons.iter().map(Option::is_none).collect();
        let mut kept_before = 0;
        let mut marks = self.in_band.iter_mut().peekable();
        for (row, reason) in reasons.into_iter().enumerate() {
            while let Some((rows, _)) = marks.next_if(|(rows, _)| *rows as usize == row) {
                *rows = kept_before;
            }
            match reason {
                None => kept_before += 1,
                Some(reason) => self.rejects.push(Reject { span: self.spans[row], byte: 0, reason: reason.into() }),
            }
        }
        marks.for_each(|(rows, _)| *rows = kept_before);
        self.rejects.sort_by_key(|reject| reject.span.line);
        retain_rows(&mut self.times, &keep);
        retain_rows(&mut self.spans, &keep);
        for column in &mut self.columns {
            retain_rows(&mut column.tags, &keep);
            retain_rows(&mut column.bits, &keep);
        }
    }
}
