//! Where records come from: stdin, files and globs, memory.
//!
//! Every input is one partition. A source delivers each partition's bytes as blocks of whole lines, in order, and lets its
//! caller choose which partition to read next and wait for any of several. It knows nothing of what lines mean.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::EventBatch;
use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::ranges::Unread;

pub mod address;
mod buffers;
mod bytes;
pub mod clock;
pub mod files;
pub mod handed;
pub mod identity;
pub mod input;
mod lanes;
pub mod lines;
pub mod memory;
pub mod pipe;
pub mod ranges;

/// Blocks of lines, by partition.
pub trait Source: Send {
    /// Number of partitions: their ids run from 0 to this.
    fn partitions(&self) -> usize;

    /// The name of a partition in errors, rejects and statistics.
    fn name(&self, partition: PartitionId) -> &str;

    /// Passes over the first bytes of a partition, the last of which ends a line. To be called before the partition is polled.
    fn seek(&mut self, partition: PartitionId, offset: u64);

    /// The next block of `partition`, if there is one, read or not. Never waits. After `End` or an error the partition gives `End` for ever.
    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError>;

    /// Waits until `poll` of one of `partitions` gives something other than `Pending`, or `timeout` has passed, or the waker was
    /// called since the last wait. It may return early. Partitions that have ended count as giving something: leave them out.
    fn wait(&mut self, partitions: &[PartitionId], timeout: Option<Duration>);

    /// A handle that ends a wait from another thread.
    fn waker(&self) -> Waker;

    /// Whether a partition that has given nothing for long is silent indeed, and not only out of reach. May ask whoever keeps it.
    fn is_silent(&mut self, _partition: PartitionId) -> bool {
        true
    }

    /// Takes back the bytes of a block that is done with, to be used again.
    fn recycle(&mut self, _bytes: Vec<u8>) {}
}

/// What a poll gave.
#[derive(Debug)]
pub enum Polled {
    /// The next block.
    Block(Block),
    /// The next block, to be read by whoever works on it.
    Unread(Unread),
    /// The next events, to be read by whoever works on them.
    Deferred(Box<dyn Deferred>),
    /// Nothing yet.
    Pending,
    /// There will be nothing more.
    End,
}

/// Events that are read by whoever works on them.
pub trait Deferred: Send + fmt::Debug {
    /// Where they came from.
    fn partition(&self) -> PartitionId;

    /// Bytes that reading them is about, as far as a progress bar is concerned.
    fn bytes(&self) -> u64;

    /// Reads them.
    fn read(self: Box<Self>) -> Result<Delivered, SourceError>;
}

/// What was read.
#[derive(Debug)]
pub enum Delivered {
    /// Lines, to be decoded.
    Block(Block),
    /// Events whose wanted fields were there as columns.
    Batch(Box<EventBatch>),
}

/// Ends a wait from another thread: the next one too, if none is going on.
#[derive(Clone)]
pub struct Waker {
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Waker {
        Waker { wake: Arc::new(wake) }
    }

    /// Ends the wait.
    pub fn wake(&self) {
        (self.wake)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// Why an input could not be read (to its end). What was read before was delivered.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It can't be opened.
    #[error("cannot open '{name}'")]
    Open {
        /// The input's name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Reading failed, or a compressed input is cut off or damaged.
    #[error("cannot read '{name}' at byte {byte}")]
    Read {
        /// The input's name.
        name: String,
        /// Bytes that were read before (after decompression).
        byte: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A topic can't be read, or not on.
    #[error("cannot read '{name}': {cause}")]
    Topic {
        /// The topic and partition.
        name: String,
        /// Why, in the client's words.
        cause: String,
        /// Whether trying again later may help.
        is_unavailable: bool,
    },
    /// An archive can't be read, or not on.
    #[error("cannot read '{name}'")]
    Archive {
        /// The source and partition.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no thread to read with.
    #[error("cannot start a thread that reads the input")]
    Thread {
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Random input for the tests of sources.

    /// The generator splitmix64.
    pub struct Random(u64);

    impl Random {
        pub fn new(seed: u64) -> Random {
            Random(seed)
        }

        pub fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        pub fn below(&mut self, bound: usize) -> usize {
            (self.next() % bound as u64) as usize
        }
    }

    /// Lines of mixed lengths with all kinds of ends; the last line may lack its line feed.
    pub fn random_text(random: &mut Random, bytes_max: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let length = random.below(bytes_max + 1);
        while text.len() < length {
            let line = [0, 3, 20, 200][random.below(4)];
            text.extend((0..random.below(line + 1)).map(|_| b"abc{\"\\ \xc3"[random.below(8)]));
            text.extend_from_slice([&b"\n"[..], b"\r\n", b"\n\n"][random.below(3)]);
        }
        text.truncate(length);
        text
    }
}
