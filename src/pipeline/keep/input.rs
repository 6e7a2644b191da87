//! An input as a run goes on with it: what it is known by, and up to where its lines have had their turn.
//!
//! Knows nothing of what is made of the lines.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use crate::batch::EventBatch;
use crate::pipeline::keep::KeepError;
use crate::pipeline::late::last_mark;
use crate::source::identity::{Head, Identity};
use crate::source::input::{Compression, Input};
use crate::store::SourceOffset;

/// An input, as far as a run may go on with it.
#[derive(Debug, Clone)]
pub enum Readable {
    /// A file, or a pipe, which can't be read again.
    File(Input),
    /// A partition of a topic.
    Partition {
        /// Its name in messages.
        name: String,
        /// What it is known by.
        identity: String,
        /// The offset at which it is begun where no run has read it.
        start: u64,
        /// The first offset that retention has left.
        low: u64,
    },
}

impl Readable {
    /// Its name in messages.
    pub fn name(&self) -> String {
        match self {
            Readable::File(input) => input.name(),
            Readable::Partition { name, .. } => name.clone(),
        }
    }

    /// What it is known by; `None` where it can be read only once.
    pub fn head(&self) -> Result<Option<Head>, KeepError> {
        match self {
            Readable::File(input) => Head::of(input).map_err(|source| unreadable(input, source)),
            Readable::Partition { identity, .. } => Ok(Some(Head::named(identity))),
        }
    }

    /// Where it is begun where no run has read it.
    pub fn start(&self) -> Position {
        match self {
            Readable::File(_) => Position::default(),
            Readable::Partition { start, .. } => Position { offset: *start, lines: 0 },
        }
    }

    /// What begins the same and does not reach as far as it was read has lost events that were counted, or that never will be.
    pub fn check(&self, read: u64) -> Result<(), KeepError> {
        match self {
            Readable::File(input) => check_length(input, read),
            Readable::Partition { name, low, .. } if *low > read => {
                Err(KeepError::Gap { input: name.clone(), read, low: *low })
            }
            Readable::Partition { .. } => Ok(()),
        }
    }
}

/// One input that can be read again.
#[derive(Debug)]
pub(in crate::pipeline::keep) struct KeptInput {
    pub name: String,
    pub identity: Identity,
    /// Where the next line to be read begins, once all that was admitted has had its turn.
    pub end: Position,
    /// Batches that were admitted and may not have had their turn.
    pub batches: VecDeque<Admitted>,
    /// What was saved of its partition.
    pub partition: Option<Vec<u8>>,
    /// Whether the last line that was admitted is a mark, before which `end` stands.
    pub ends_in_mark: bool,
    /// Where this run goes on with it.
    pub begun_at: Position,
    /// Lines that this run has rejected.
    pub rejected: u64,
    /// Whether it is a file, and has found nothing else.
    pub is_empty: bool,
}

/// A file as a run left it.
#[derive(Debug, Clone)]
pub(in crate::pipeline::keep) struct Known {
    pub name: String,
    pub identity: Identity,
    pub position: Position,
    pub partition: Vec<u8>,
}

/// A batch that may not have had its turn.
#[derive(Debug, Clone)]
pub(in crate::pipeline::keep) struct Admitted {
    pub number: usize,
    pub rows: usize,
    pub bytes: Range<u64>,
    pub start: Position,
    /// Behind its last row. Rejects may follow.
    pub behind: Position,
}

/// A place where a line begins: what stands before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Bytes of the input; of a topic's partition, the offset of the record.
    pub offset: u64,
    /// Its lines.
    pub lines: u64,
}

impl Position {
    /// Behind the first `rows` rows of a batch that lies at these bytes; at its beginning if there are none.
    pub fn behind(batch: &EventBatch, bytes: &Range<u64>, rows: usize) -> Position {
        let Some(last) = rows.checked_sub(1).map(|row| batch.spans[row]) else {
            return Position { offset: bytes.start, lines: batch.line };
        };
        if let Some(stamps) = &batch.stamps {
            let lines = batch.line + u64::from(last.line) + 1;
            return Position { offset: stamps[last.line as usize].offset + 1, lines };
        }
        let (from, end) = (last.start as usize, (last.start + last.len) as usize);
        // What was written anew while it was decoded stands behind the bytes of the input.
        let read = &batch.text[..(bytes.end - batch.offset) as usize];
        let next = memchr::memchr(b'\n', &read[end..]).map_or(read.len(), |feed| end + feed + 1);
        let lines = 1 + memchr::memchr_iter(b'\n', &batch.text[from..end]).count() as u64;
        Position { offset: batch.offset + next as u64, lines: batch.line + u64::from(last.line) + lines }
    }
}

impl Known {
    /// As the store tells it to people; what counts is in the state.
    pub fn offset(&self) -> SourceOffset {
        let Identity { bytes, hash } = self.identity;
        let identity = [bytes.to_be_bytes(), hash.to_be_bytes()].concat();
        SourceOffset { name: self.name.clone(), identity, offset: self.position.offset, lines: self.position.lines }
    }
}

impl KeptInput {
    /// Takes note of a batch of so many rows that has come.
    pub fn admit(&mut self, number: usize, batch: &EventBatch, rows: usize, bytes: &Range<u64>) {
        let behind = Position::behind(batch, bytes, rows);
        // What came before may have ended with a mark, which is read again with the line that it is about.
        let start = if self.ends_in_mark { self.end } else { Position::behind(batch, bytes, 0) };
        self.batches.push_back(Admitted { number, rows, bytes: bytes.clone(), start, behind });
        self.end = Position { offset: bytes.end, lines: batch.line + u64::from(batch.lines) };
        let mark = last_mark(batch).filter(|_| batch.stamps.is_none());
        self.ends_in_mark = mark.is_some();
        if let Some(mark) = mark {
            let (offset, lines) = (batch.offset + u64::from(mark.start), batch.line + u64::from(mark.line));
            self.end = Position { offset, lines };
        }
        // Rejects have been taken out of it.
        let others = batch.blank as usize + batch.in_band.len() + rows;
        self.rejected += (batch.lines as usize).saturating_sub(others) as u64;
        self.is_empty &= rows == 0 && batch.in_band.is_empty();
    }

    /// How many lines of it were rejected, if no line of it was anything else, ever.
    pub fn only_rejects(&self) -> Option<u64> {
        (self.is_empty && self.begun_at == Position::default() && self.rejected > 0).then_some(self.rejected)
    }

    pub fn new((readable, head): (&Readable, &Head)) -> KeptInput {
        let (name, identity, end) = (readable.name(), head.identity(), readable.start());
        KeptInput {
            name,
            identity,
            end,
            batches: VecDeque::new(),
            partition: None,
            ends_in_mark: false,
            begun_at: end,
            rejected: 0,
            is_empty: matches!(readable, Readable::File(_)),
        }
    }

    /// Where to go on when the sequencer goes on with so many rows taken of that batch.
    pub fn position<'a>(
        &mut self,
        goes_on_at: Option<(usize, usize)>,
        batch: impl Fn(usize) -> Option<&'a EventBatch>,
    ) -> Position {
        let Some((number, rows)) = goes_on_at else {
            self.batches.clear();
            return self.end;
        };
        while self.batches.pop_front_if(|admitted| admitted.number < number).is_some() {}
        let Some(admitted) = self.batches.front() else { return self.end };
        match rows {
            0 => admitted.start,
            _ if rows == admitted.rows => admitted.behind,
            _ => {
                let batch = batch(number).expect("a batch is kept while it has rows left");
                Position::behind(batch, &admitted.bytes, rows)
            }
        }
    }
}

fn unreadable(input: &Input, source: io::Error) -> KeepError {
    KeepError::Read { input: input.name(), source }
}

/// A file that begins the same and is shorter than what was read of it has lost events that were counted.
fn check_length(input: &Input, read: u64) -> Result<(), KeepError> {
    let crate::source::address::Address::Path(path) = &input.address else { return Ok(()) };
    let length = path.metadata().map_err(|source| unreadable(input, source))?.len();
    match input.compression {
        Compression::None if length < read => Err(KeepError::Shrunk { input: input.name(), read, length }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{InBand, LineSpan};
    use crate::partition::PartitionId;
    use crate::record::Block;
    use crate::time::Timestamp;

    /// A batch of these bytes, the last line of which is a mark or an event.
    fn batch(offset: u64, line: u64, text: &str, is_mark: bool) -> EventBatch {
        let block = Block {
            partition: PartitionId(0),
            offset,
            from: 0,
            arrival: Timestamp(0),
            stamps: None,
            bytes: text.into(),
        };
        let mut batch = EventBatch { line, ..EventBatch::empty(block) };
        batch.blank = 0;
        let spans = text.lines().enumerate().scan(0, |start, (line, text)| {
            let span = LineSpan { start: *start, len: text.len() as u32, line: line as u32 };
            *start += text.len() as u32 + 1;
            Some(span)
        });
        batch.spans = spans.collect();
        if is_mark {
            let mark = batch.spans.pop().expect("there is a line");
            batch.in_band = vec![(batch.spans.len() as u32, InBand::LateFor(mark))];
        }
        batch.times = vec![Timestamp(0); batch.spans.len()];
        batch
    }

    /// Where two batches meet between a mark and its line, the second is begun at the mark.
    #[test]
    fn a_mark_is_read_again_with_its_line() {
        let head = Head::named("late");
        let readable = Readable::Partition { name: "late".into(), identity: "late".into(), start: 0, low: 0 };
        let mut input = KeptInput::new((&readable, &head));
        let (first, second) = (batch(0, 0, "a\nmark\n", true), batch(7, 2, "b\nc\n", false));
        input.admit(0, &first, 1, &(0..7));
        input.admit(1, &second, 2, &(7..11));
        let place = |offset, lines| Position { offset, lines };
        let of = |number: usize| [Some(&first), Some(&second)][number];
        assert_eq!(input.position(Some((0, 1)), of), place(2, 1));
        assert_eq!(input.position(Some((1, 0)), of), place(2, 1));
        assert_eq!(input.position(Some((1, 1)), of), place(9, 3));
        assert_eq!(input.position(None, of), place(11, 4));
    }
}
