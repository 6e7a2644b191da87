//! Cuts a stream of bytes into blocks of whole lines.
//!
//! Bounded memory whatever comes: a block holds about `block_bytes`; a line longer than that makes it grow, up to the longest
//! line allowed; of a longer line the first bytes are delivered as a line of their own, which the decoder rejects as too
//! long, and the rest is read and thrown away. Knows nothing of where bytes come from, of threads and of what a line means.

use std::io;
use std::sync::Arc;

use memchr::{memchr, memrchr};

use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::buffers::Buffers;
use crate::time::Clock;

/// Length of the longest prefix that consists of whole records. Records end at a line feed, but not every line feed ends one: a quoted
/// CSV field may hold some. What is handed over begins at the start of a record.
pub type WholeRecords = fn(&[u8]) -> usize;

/// Whole lines: every line feed ends a record.
pub fn whole_lines(bytes: &[u8]) -> usize {
    memrchr(b'\n', bytes).map_or(0, |last| last + 1)
}

/// How to cut.
#[derive(Debug, Clone, Copy)]
pub struct LineOptions {
    /// Bytes of a block, unless one line is longer.
    pub block_bytes: usize,
    /// The longest line allowed, without its line feed. At most 1 GiB.
    pub line_bytes_max: usize,
    /// Where records end.
    pub whole: WholeRecords,
    /// Where this is given, a last record without an end that is not whole by it is left: it is still being written.
    pub whole_rest: Option<fn(&[u8]) -> bool>,
}

/// Whether a block should wait for more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Fill blocks: the next bytes are there for the taking.
    Fill,
    /// Deliver what is there: it may be long until more comes.
    Deliver,
}

/// Where a cutter gets its bytes.
pub trait ByteReader {
    /// Appends at least one and at most `room` bytes to `buffer` and returns how many; 0 at the end. Before an error some may have been
    /// appended too.
    fn read_more(&mut self, buffer: &mut Vec<u8>, room: usize) -> io::Result<usize>;

    /// Asked when there is something to deliver and the block is not full.
    fn patience(&mut self) -> Patience {
        Patience::Fill
    }
}

/// The state between two blocks of one partition.
pub struct LineCutter {
    partition: PartitionId,
    options: LineOptions,
    clock: Arc<dyn Clock>,
    buffers: Arc<Buffers>,
    /// Bytes of the partition before `buffer`.
    offset: u64,
    buffer: Vec<u8>,
    /// No record ends in `buffer[..searched]`.
    searched: usize,
    /// The rest of a line that was too long is being thrown away.
    is_skipping: bool,
    /// The end, or an error that is yet to be told.
    end: Option<Option<io::Error>>,
}

impl LineCutter {
    /// A cutter at the start of a partition.
    pub fn new(
        partition: PartitionId,
        options: LineOptions,
        clock: Arc<dyn Clock>,
        buffers: Arc<Buffers>,
    ) -> LineCutter {
        assert!(options.block_bytes > 0 && options.line_bytes_max <= 1 << 30, "options out of bounds: {options:?}");
        LineCutter {
            partition,
            options,
            clock,
            buffer: buffers.take(),
            buffers,
            offset: 0,
            searched: 0,
            is_skipping: false,
            end: None,
        }
    }

    /// Bytes of the partition that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Reads until there is a block, or the end (`None`). An error comes after all whole records that were read before it; after it
    /// comes the end.
    pub fn next_block(&mut self, reader: &mut dyn ByteReader) -> io::Result<Option<Block>> {
        loop {
            if let Some(end) = &mut self.end {
                return end.take().map_or(Ok(None), Err);
            }
            if let Some(block) = self.cut_if_ready(reader) {
                return Ok(Some(block));
            }
            let length = self.buffer.len();
            // More than a block only for a line that is longer than a block, and then twice as much each time.
            let target = if length < self.options.block_bytes {
                self.options.block_bytes
            } else {
                (length * 2).min(self.line_bytes_cut()).max(length + 1)
            };
            self.buffer.reserve_exact(target - length);
            let result = reader.read_more(&mut self.buffer, target - length);
            debug_assert!(self.buffer.len() <= target, "a reader gave more than was asked for");
            let is_end = matches!(result, Ok(0) | Err(_));
            if self.is_skipping {
                self.skip();
            }
            if is_end {
                let error = result.err();
                // After an error the last line may be half a line.
                let whole = (self.options.whole)(&self.buffer);
                let is_left = |is_whole: fn(&[u8]) -> bool| !is_whole(&self.buffer[whole..]);
                let leaves_rest = error.is_some() || self.options.whole_rest.is_some_and(is_left);
                let rest = if leaves_rest { whole } else { self.buffer.len() };
                self.end = Some(error);
                if rest > 0 {
                    return Ok(Some(self.cut(rest)));
                }
            }
        }
    }

    /// A block of what was read, if it is full or should not wait.
    fn cut_if_ready(&mut self, reader: &mut dyn ByteReader) -> Option<Block> {
        let is_full = self.buffer.len() >= self.options.block_bytes;
        let has_line_feed = || memchr(b'\n', &self.buffer[self.searched..]).is_some();
        if is_full || (has_line_feed() && reader.patience() == Patience::Deliver) {
            let whole = if has_line_feed() { (self.options.whole)(&self.buffer) } else { 0 };
            if whole > 0 {
                return Some(self.cut(whole));
            }
            self.searched = self.buffer.len();
        }
        (is_full && self.buffer.len() >= self.line_bytes_cut()).then(|| self.cut_long_line())
    }

    /// Bytes of a line that are delivered when it is too long: so many that it is too long also without a carriage return at its end.
    fn line_bytes_cut(&self) -> usize {
        self.options.line_bytes_max + 2
    }

    fn cut(&mut self, length: usize) -> Block {
        let mut rest = self.buffers.take();
        rest.extend_from_slice(&self.buffer[length..]);
        let mut bytes = std::mem::replace(&mut self.buffer, rest);
        bytes.truncate(length);
        self.block(bytes, length)
    }

    fn cut_long_line(&mut self) -> Block {
        let length = self.line_bytes_cut();
        let mut bytes = self.buffer[..length].to_vec();
        self.buffer.drain(..length);
        self.is_skipping = true;
        let mut block = self.block(std::mem::take(&mut bytes), length);
        block.bytes.push(b'\n');
        self.skip();
        block
    }

    /// The next `length` bytes of the partition as a block.
    fn block(&mut self, bytes: Vec<u8>, length: usize) -> Block {
        let block = Block {
            partition: self.partition,
            offset: self.offset,
            from: 0,
            arrival: self.clock.now(),
            stamps: None,
            bytes,
        };
        self.offset += length as u64;
        self.searched = 0;
        block
    }

    /// Throws away what belongs to a line that was too long.
    fn skip(&mut self) {
        let length = match memchr(b'\n', &self.buffer) {
            Some(last) => {
                self.is_skipping = false;
                last + 1
            }
            None => self.buffer.len(),
        };
        self.buffer.drain(..length);
        self.offset += length as u64;
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::clock::ManualClock;
    use crate::time::Timestamp;

    /// Gives pieces one after the other.
    struct Pieces {
        pieces: Vec<Vec<u8>>,
        patience: Patience,
        error_at_end: bool,
    }

    impl ByteReader for Pieces {
        fn read_more(&mut self, buffer: &mut Vec<u8>, room: usize) -> io::Result<usize> {
            if self.pieces.is_empty() {
                return if self.error_at_end { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(0) };
            }
            let length = self.pieces[0].len().min(room);
            buffer.extend(self.pieces[0].drain(..length));
            if self.pieces[0].is_empty() {
                self.pieces.remove(0);
            }
            Ok(length)
        }

        fn patience(&mut self) -> Patience {
            self.patience
        }
    }

    fn cutter(block_bytes: usize, line_bytes_max: usize, whole: WholeRecords) -> LineCutter {
        let clock = Arc::new(ManualClock::new(Timestamp(9)));
        let options = LineOptions { block_bytes, line_bytes_max, whole, whole_rest: None };
        LineCutter::new(PartitionId(3), options, clock, Arc::new(Buffers::new(block_bytes, 2)))
    }

    fn pieces(text: &str, patience: Patience) -> Pieces {
        let pieces = text.split('|').filter(|piece| !piece.is_empty()).map(|piece| piece.as_bytes().to_vec());
        Pieces { pieces: pieces.collect(), patience, error_at_end: false }
    }

    /// Pieces are parted by `|`; blocks are shown as `offset:bytes`.
    fn check(cutter: &mut LineCutter, mut reader: Pieces, expected: &[&str]) {
        let mut blocks = Vec::new();
        loop {
            match cutter.next_block(&mut reader) {
                Ok(Some(block)) => {
                    assert_eq!((block.partition, block.arrival), (PartitionId(3), Timestamp(9)));
                    let text = String::from_utf8(block.bytes).unwrap();
                    blocks.push(format!("{}:{}", block.offset, text));
                }
                Ok(None) => break,
                Err(error) => blocks.push(error.kind().to_string()),
            }
        }
        assert_eq!(blocks, expected);
        assert!(matches!(cutter.next_block(&mut reader), Ok(None)), "the end stays the end");
    }

    fn check_lines(block_bytes: usize, patience: Patience, text: &str, expected: &[&str]) {
        check(&mut cutter(block_bytes, 10, whole_lines), pieces(text, patience), expected);
    }

    #[test]
    fn blocks_are_filled_with_whole_lines() {
        check_lines(5, Patience::Fill, "a\nb\nc\nd\n", &["0:a\nb\n", "4:c\nd\n"]);
        check_lines(4, Patience::Fill, "a|\nb|\n|c\nd\n", &["0:a\nb\n", "4:c\nd\n"]);
        check_lines(100, Patience::Fill, "a\n|b\n", &["0:a\nb\n"]);
    }

    #[test]
    fn what_is_there_is_delivered_when_nothing_follows_at_once() {
        check_lines(100, Patience::Deliver, "a\nb|c\n|d|\n", &["0:a\n", "2:bc\n", "5:d\n"]);
    }

    #[test]
    fn the_last_line_needs_no_line_feed_and_nothing_is_changed() {
        check_lines(100, Patience::Fill, "a\r\n\n \0b", &["0:a\r\n\n \0b"]);
        check_lines(2, Patience::Fill, "\n\nab", &["0:\n\n", "2:ab"]);
        check_lines(100, Patience::Fill, "", &[]);
    }

    #[test]
    fn a_long_line_makes_the_block_grow() {
        check_lines(2, Patience::Fill, "0123456789\nab\n", &["0:0123456789\n", "11:ab\n"]);
    }

    #[test]
    fn a_line_over_the_maximum_is_cut_and_the_stream_goes_on() {
        let long = "0123456789ABCDEF";
        for patience in [Patience::Fill, Patience::Deliver] {
            for block_bytes in [1, 4, 12] {
                let text = format!("{long}\nab\n");
                check_lines(block_bytes, patience, &text, &["0:0123456789AB\n", "17:ab\n"]);
            }
        }
        check_lines(4, Patience::Fill, &format!("{long}|{long}"), &["0:0123456789AB\n"]);
        // The longest line with a carriage return is not cut.
        check_lines(4, Patience::Fill, "0123456789\r\nab\n", &["0:0123456789\r\n", "12:ab\n"]);
    }

    #[test]
    fn an_error_comes_after_the_whole_lines_before_it() {
        let reader = Pieces { error_at_end: true, ..pieces("a\nb\nhalf", Patience::Fill) };
        check(&mut cutter(100, 10, whole_lines), reader, &["0:a\nb\n", "unexpected end of file"]);
    }

    /// Line feeds within double quotes do not end a record.
    fn whole_quoted(bytes: &[u8]) -> usize {
        let (mut quoted, mut whole) = (false, 0);
        for (i, &byte) in bytes.iter().enumerate() {
            quoted ^= byte == b'"';
            if byte == b'\n' && !quoted {
                whole = i + 1;
            }
        }
        whole
    }

    #[test]
    fn records_may_hold_line_feeds() {
        for patience in [Patience::Fill, Patience::Deliver] {
            let reader = pieces("a\n|\"b\n|c\"\nd\n", patience);
            let expected = ["0:a\n", "2:\"b\nc\"\n", "8:d\n"];
            check(&mut cutter(7, 20, whole_quoted), reader, &expected);
        }
    }

    #[test]
    fn any_cut_of_the_input_gives_the_same_lines() {
        for seed in 0..300 {
            let mut random = crate::source::fixture::Random::new(seed);
            let text = crate::source::fixture::random_text(&mut random, 400);
            let (block_bytes, is_fill) = (random.below(40) + 1, random.below(2) == 0);
            let mut reader = Pieces { pieces: vec![], patience: Patience::Fill, error_at_end: false };
            reader.patience = if is_fill { Patience::Fill } else { Patience::Deliver };
            let mut rest = &text[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((random.below(30) + 1).min(rest.len()));
                reader.pieces.push(piece.to_vec());
                rest = after;
            }
            let mut cutter = cutter(block_bytes, 1000, whole_lines);
            let mut joined = Vec::new();
            while let Some(block) = cutter.next_block(&mut reader).unwrap() {
                assert_eq!(block.offset, joined.len() as u64, "seed {seed}");
                assert!(!block.bytes.is_empty(), "seed {seed}");
                joined.extend_from_slice(&block.bytes);
                let is_whole = block.bytes.last() == Some(&b'\n') || joined.len() == text.len();
                assert!(is_whole, "seed {seed}: a block ends within a line");
            }
            assert!(joined == text, "seed {seed}");
        }
    }
}
