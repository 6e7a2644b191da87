//! Blocks of a source's partitions for those who need no event time: one partition after the other, or side by side as they come.
//!
//! Knows nothing of what the blocks hold.

use std::collections::VecDeque;

use crate::partition::PartitionId;
use crate::pipeline::intake::Incoming;
use crate::record::Block;
use crate::source::{Polled, Source, SourceError};

/// A source, read.
pub struct Abreast<S> {
    source: S,
    /// Partitions that have not ended, in the order in which they are polled.
    open: VecDeque<PartitionId>,
    /// How many of them are read at once.
    width: usize,
}

impl<S: Source> Abreast<S> {
    /// Each partition to its end before the next: files.
    pub fn in_turn(source: S) -> Abreast<S> {
        Abreast::of_width(source, 1)
    }

    /// All partitions at once, whichever has something: a topic.
    pub fn side_by_side(source: S) -> Abreast<S> {
        Abreast::of_width(source, usize::MAX)
    }

    fn of_width(source: S, width: usize) -> Abreast<S> {
        let open = (0..source.partitions()).map(|partition| PartitionId(partition as u32)).collect();
        Abreast { source, open, width }
    }

    /// The next block, for which it waits; `None` once all partitions have ended, or `is_stopped` and somebody called the source's waker.
    pub fn next(&mut self, is_stopped: &dyn Fn() -> bool) -> Result<Option<Block>, SourceError> {
        while !self.open.is_empty() && !is_stopped() {
            let mut index = 0;
            while index < self.open.len().min(self.width) {
                let partition = self.open[index];
                let block = match self.source.poll(partition)? {
                    Polled::Block(block) => block,
                    Polled::Unread(unread) => unread.read()?,
                    Polled::Deferred(deferred) => Incoming::Deferred(deferred).read_lines()?,
                    Polled::Pending => {
                        index += 1;
                        continue;
                    }
                    Polled::End => {
                        self.open.remove(index);
                        continue;
                    }
                };
                if self.width > 1 {
                    // The others come first the next time.
                    self.open.rotate_left(index + 1);
                }
                return Ok(Some(block));
            }
            let waiting: Vec<PartitionId> = self.open.iter().copied().take(self.width).collect();
            if !waiting.is_empty() {
                self.source.wait(&waiting, None);
            }
        }
        Ok(None)
    }

    /// Takes back the bytes of a block that is done with.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.source.recycle(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::clock::ManualClock;
    use crate::source::memory::{MemorySource, Step};
    use crate::time::Timestamp;

    /// Scripts have a letter a step; `.` is a pause.
    fn check(make: impl Fn(MemorySource) -> Abreast<MemorySource>, scripts: &[&str], expected: &str) {
        let step = |letter: char| match letter {
            '.' => Step::Pending,
            letter => Step::Block(letter.to_string().into_bytes()),
        };
        let scripts = scripts.iter().map(|script| script.chars().map(step).collect()).collect();
        let mut read = make(MemorySource::new(scripts, Arc::new(ManualClock::new(Timestamp(0)))));
        let mut found = String::new();
        while let Some(block) = read.next(&|| false).unwrap() {
            found.push_str(str::from_utf8(&block.bytes).unwrap());
        }
        assert_eq!(found, expected);
        assert!(read.next(&|| false).unwrap().is_none(), "the end stays the end");
    }

    #[test]
    fn files_come_one_after_the_other() {
        check(Abreast::in_turn, &["a.b", "cd", "", "e"], "abcde");
        check(Abreast::in_turn, &[], "");
    }

    #[test]
    fn partitions_of_a_topic_come_as_they_have_something() {
        check(Abreast::side_by_side, &["ab", "cd", "ef"], "acebdf");
        check(Abreast::side_by_side, &["..ab", "c", "", "...d"], "cabd");
    }

    #[test]
    fn whoever_is_stopped_gets_nothing_more() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let source = MemorySource::new(vec![vec![Step::Block(b"a".to_vec())]], clock);
        assert!(Abreast::side_by_side(source).next(&|| true).unwrap().is_none());
    }
}
