//! A plain file of lines as ranges of bytes that any thread may read in any order.
//!
//! Where nothing but line feeds parts the records, a block can be found without having read those before it: to a range
//! belong the lines that begin behind its first line feed (or at the start of the file), up to the first line feed at or
//! behind its end. So each range is read by the thread that decodes it, and its bytes are in that core's cache.
//!
//! ```text
//!          range 0        │        range 1       │
//!  ▁▁▁▁▁▁⏎▁▁▁▁▁▁▁▁▁⏎▁▁▁▁▁▁│▁▁▁▁⏎▁▁▁▁▁▁▁⏎▁▁▁▁▁▁▁▁▁│▁▁▁▁▁▁▁▁⏎▁▁▁▁
//!  └────── block 0 ────────────┘└───── block 1 ──────────┘
//! ```
//!
//! A file is as long as it was when it was opened. Knows nothing of what a line means.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Arc;

use memchr::{memchr, memrchr};

use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::address::Address;
use crate::source::buffers::Buffers;
use crate::source::bytes::pread_into;
use crate::source::input::{Compression, Input, InputFormat};
use crate::source::{Polled, SourceError};
use crate::time::Clock;

/// The unit in which the kernel copies fastest: if the bytes stand in the buffer as they do in the file.
const PAGE: usize = 4096;
const PAGE_BYTES: u64 = PAGE as u64;

/// What a buffer holds beside a range: up to a page before it, its tail, and room for what a decoder puts behind it.
pub const BUFFER_ROOM: usize = PAGE + TAIL + PAGE;

/// Bytes read behind a range at first, to find the end of its last line.
const TAIL: usize = PAGE;

/// A plain file of lines.
pub enum PlainFile {
    /// Opened when it is first polled.
    Path(PathBuf),
    /// Stdin, redirected from a file, from where it stands.
    Open(File),
    /// Being read.
    Ranges(FileRanges),
    /// All ranges have been handed out.
    Ended,
}

impl PlainFile {
    /// The input as such, if it is one. A file without length may still have content, as those of `/proc` do: it is none.
    pub fn of(input: &Input) -> Result<Option<PlainFile>, SourceError> {
        if input.compression != Compression::None || input.format == InputFormat::Csv {
            return Ok(None);
        }
        let is_plain = |metadata: std::fs::Metadata| metadata.is_file() && metadata.len() > 0;
        let failed = |source| SourceError::Open { name: input.name(), source };
        match &input.address {
            Address::Stdio => {
                let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
                Ok(is_plain(stdin.metadata().map_err(failed)?).then_some(PlainFile::Open(stdin)))
            }
            Address::Path(path) => {
                Ok(is_plain(path.metadata().map_err(failed)?).then(|| PlainFile::Path(path.clone())))
            }
            _ => unreachable!("only files and pipes are inputs of events here"),
        }
    }

    /// The next range; `ranged` makes the file to be read of an open one, the place of its first byte and its length. Where
    /// `is_whole` is given, a last line without a line feed that is not whole by it is left: it is still being written.
    pub fn poll(
        &mut self,
        name: &str,
        is_whole: Option<fn(&[u8]) -> bool>,
        ranged: impl Fn(File, u64, u64) -> RangedFile,
    ) -> Result<Polled, SourceError> {
        let opened = match std::mem::replace(self, PlainFile::Ended) {
            PlainFile::Path(path) => File::open(&path).map(|file| (file, 0)),
            PlainFile::Open(mut file) => file.stream_position().map(|start| (file, start)),
            PlainFile::Ranges(ranges) => return Ok(self.next_of(ranges)),
            PlainFile::Ended => return Ok(Polled::End),
        };
        let measured = opened.and_then(|(file, start)| Ok((file.metadata()?.len().saturating_sub(start), file, start)));
        let failed = |source| SourceError::Open { name: name.into(), source };
        let (length, file, start) = measured.map_err(failed)?;
        let mut ranged = ranged(file, start, length);
        if let Some(is_whole) = is_whole {
            ranged.leave_half_line(is_whole)?;
        }
        Ok(self.next_of(FileRanges::of(ranged)))
    }

    fn next_of(&mut self, mut ranges: FileRanges) -> Polled {
        match ranges.next() {
            Some(unread) => {
                *self = PlainFile::Ranges(ranges);
                Polled::Unread(unread)
            }
            None => {
                // Whoever shares a redirected stdin goes on behind what was read. A file that can't be sought is not shared.
                let file = &*ranges.file;
                let _ = (&file.file).seek(io::SeekFrom::Start(file.start + file.length));
                Polled::End
            }
        }
    }
}

/// The ranges of one file that are yet to be handed out.
pub struct FileRanges {
    file: Arc<RangedFile>,
    next: u64,
}

/// An open file, shared by its ranges.
pub struct RangedFile {
    /// In errors.
    pub name: String,
    /// The partition that it is.
    pub partition: PartitionId,
    /// Bytes of a range.
    pub block_bytes: usize,
    /// The longest line allowed, without its line feed.
    pub line_bytes_max: usize,
    /// Where buffers come from.
    pub buffers: Arc<Buffers>,
    /// Tells when a block was read.
    pub clock: Arc<dyn Clock>,
    /// The open file.
    pub file: File,
    /// Where in the file its first line begins.
    pub start: u64,
    /// Bytes from there to its end.
    pub length: u64,
    /// How many of these are passed over. A line begins behind them.
    pub passed: u64,
}

impl RangedFile {
    /// Ends the file before its last line, if that has no line feed and is not whole, or is longer than a line may be.
    fn leave_half_line(&mut self, is_whole: fn(&[u8]) -> bool) -> Result<(), SourceError> {
        let longest = self.line_bytes_max as u64 + 2;
        let at = self.length.saturating_sub(longest).max(self.passed.min(self.length));
        let mut tail = Vec::new();
        let failed = |source| SourceError::Read { name: self.name.clone(), byte: at, source };
        let mut file = &self.file;
        let position = file.stream_position().map_err(failed)?;
        file.seek(io::SeekFrom::Start(self.start + at)).map_err(failed)?;
        file.take(self.length - at).read_to_end(&mut tail).map_err(failed)?;
        file.seek(io::SeekFrom::Start(position)).map_err(failed)?;
        let last = memrchr(b'\n', &tail).map_or(0, |feed| feed + 1);
        let is_begun = last > 0 || at == self.passed;
        if is_begun && last < tail.len() && !is_whole(&tail[last..]) {
            self.length = at + last as u64;
        }
        Ok(())
    }
}

/// A block that is yet to be read.
pub struct Unread {
    file: Arc<RangedFile>,
    start: u64,
    end: u64,
}

impl FileRanges {
    /// All ranges of a file.
    pub fn of(file: RangedFile) -> FileRanges {
        FileRanges { next: file.passed.min(file.length), file: Arc::new(file) }
    }
}

impl Iterator for FileRanges {
    type Item = Unread;

    fn next(&mut self) -> Option<Unread> {
        let start = self.next;
        let end = (start + self.file.block_bytes as u64).min(self.file.length);
        self.next = end;
        (start < end).then(|| Unread { file: Arc::clone(&self.file), start, end })
    }
}

impl std::fmt::Debug for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unread({} to {} of '{}')", self.start, self.end, self.file.name)
    }
}

impl Unread {
    /// The partition that it is part of.
    pub fn partition(&self) -> PartitionId {
        self.file.partition
    }

    /// How many bytes of the file it stands for.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }

    /// Reads the block. It has no lines where a single one is longer than the range.
    pub fn read(self) -> Result<Block, SourceError> {
        let file = &*self.file;
        let mut bytes = file.buffers.take();
        bytes.reserve(file.block_bytes + BUFFER_ROOM);
        let before = match self.start {
            // There is nothing that could stand before it.
            ..PAGE_BYTES => 0,
            _ => bytes.as_ptr().align_offset(PAGE).min(PAGE),
        };
        bytes.resize(before, 0);
        let range = before..before + (self.end - self.start) as usize;
        let offset = self.start - before as u64;
        self.fill(&mut bytes, offset, range.end + TAIL)?;
        let from = match self.start {
            start if start == file.passed => Some(before),
            _ => memchr(b'\n', &bytes[range.clone()]).map(|first| before + first + 1),
        };
        match from {
            Some(from) if self.end < file.length => self.end_with_line(&mut bytes, offset, from, range.end)?,
            Some(_) => {}
            None => bytes.truncate(before),
        }
        let from = from.unwrap_or(before);
        Ok(Block { partition: file.partition, offset, from, arrival: file.clock.now(), stamps: None, bytes })
    }

    /// Ends the block behind the first line feed at or after `end`. A line that is too long is cut, so that it is too long also
    /// without a carriage return at its end.
    fn end_with_line(&self, bytes: &mut Vec<u8>, offset: u64, from: usize, end: usize) -> Result<(), SourceError> {
        let line = memrchr(b'\n', &bytes[from..end]).map_or(from, |last| from + last + 1);
        let line_bytes_cut = self.file.line_bytes_max + 2;
        let mut searched = end;
        loop {
            if let Some(feed) = memchr(b'\n', &bytes[searched..]) {
                bytes.truncate(searched + feed + 1);
                return Ok(());
            }
            searched = bytes.len();
            if searched - line >= line_bytes_cut {
                bytes.truncate(line + line_bytes_cut);
                bytes.push(b'\n');
                return Ok(());
            }
            self.fill(bytes, offset, (line + 2 * (searched - line)).min(line + line_bytes_cut))?;
            if bytes.len() == searched {
                return Ok(());
            }
        }
    }

    /// Reads on until there are `length` bytes in the buffer, the first of which stands at `offset`, or the file is at its end.
    fn fill(&self, bytes: &mut Vec<u8>, offset: u64, length: usize) -> Result<(), SourceError> {
        let file = &*self.file;
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            let room = file.length.saturating_sub(at).min((length - bytes.len()) as u64) as usize;
            if room == 0 {
                return Ok(());
            }
            let failed = |source| SourceError::Read { name: file.name.clone(), byte: at, source };
            match pread_into(file.file.as_raw_fd(), bytes, room, file.start + at) {
                // Some file systems promise more bytes than a file has.
                Ok(0) if file.file.metadata().map_err(failed)?.len() >= file.start + file.length => return Ok(()),
                Ok(0) => {
                    return Err(failed(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::clock::ManualClock;
    use crate::source::fixture::{Random, random_text};
    use crate::time::Timestamp;

    fn ranges(text: &[u8], start: u64, block_bytes: usize, line_bytes_max: usize) -> FileRanges {
        let file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &file, text).unwrap();
        FileRanges::of(RangedFile {
            name: "made up".into(),
            partition: PartitionId(3),
            block_bytes,
            line_bytes_max,
            buffers: Arc::new(Buffers::new(block_bytes, 2)),
            clock: Arc::new(ManualClock::new(Timestamp(9))),
            file,
            start,
            length: text.len() as u64 - start,
            passed: 0,
        })
    }

    /// Blocks that have lines, each as `offset:lines`.
    #[track_caller]
    fn check(text: &str, block_bytes: usize, expected: &[&str]) {
        let blocks = ranges(text.as_bytes(), 0, block_bytes, 20).map(|unread| unread.read().unwrap());
        let shown = blocks.filter(|block| block.from < block.bytes.len()).map(|block| {
            let lines = std::str::from_utf8(&block.bytes[block.from..]).unwrap();
            format!("{}:{lines}", block.offset + block.from as u64)
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{text:?} by {block_bytes}");
    }

    #[test]
    fn a_line_is_of_the_range_in_which_the_one_before_it_ends() {
        check("ab\ncd\nef\n", 4, &["0:ab\ncd\n", "6:ef\n"]);
        check("ab\ncd\nef\n", 3, &["0:ab\ncd\n", "6:ef\n"]);
        check("ab\ncd\nef\n", 2, &["0:ab\n", "3:cd\n", "6:ef\n"]);
        check("ab\ncd\nef", 100, &["0:ab\ncd\nef"]);
        check("ab\ncd\nef", 1, &["0:ab\n", "3:cd\n", "6:ef"]);
        check("abcdefghij\nk", 4, &["0:abcdefghij\n", "11:k"]);
        check("\n\n\n", 1, &["0:\n\n", "2:\n"]);
    }

    #[test]
    fn a_line_over_the_maximum_is_cut() {
        let text = format!("a\n{}\nb\n", "x".repeat(10_000));
        let cut = format!("0:a\n{}\n", "x".repeat(22));
        check(&text, 10, &[&cut, "10003:b\n"]);
    }

    /// Random texts by random ranges, read backwards: the blocks in order are the text.
    #[test]
    fn ranges_in_any_order_are_the_whole_text() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let text = random_text(&mut random, 30_000);
            let start = random.below(text.len() / 4 + 1);
            let block_bytes = [1, 100, 4096, 10_000][random.below(4)] + random.below(50);
            let mut unread: Vec<Unread> = ranges(&text, start as u64, block_bytes, 1 << 20).collect();
            let mut blocks: Vec<Block> = Vec::new();
            while let Some(unread) = unread.pop() {
                blocks.push(unread.read().unwrap());
            }
            let mut joined = Vec::new();
            for block in blocks.iter().rev().filter(|block| block.from < block.bytes.len()) {
                assert_eq!(block.offset + block.from as u64, joined.len() as u64, "seed {seed}");
                joined.extend_from_slice(&block.bytes[block.from..]);
            }
            assert!(joined == text[start..], "seed {seed}: {} of {} bytes", joined.len(), text.len() - start);
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let mut file = ranges(b"a\nb\nc\n", 0, 4, 100);
        Arc::get_mut(&mut file.file).unwrap().length = 100;
        let errors: Vec<String> =
            file.filter_map(|unread| unread.read().err()).map(|error| error.to_string()).collect();
        assert!(errors.contains(&"cannot read 'made up' at byte 6".to_owned()), "{errors:?}");
    }
}
