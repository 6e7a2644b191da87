//! The inputs one after the other, each to its end: so the output's order is the input's, whatever is read faster.

use crate::partition::PartitionId;
use crate::pipeline::intake::Incoming;
use crate::source::{Polled, Source, SourceError};

/// Inputs in their order.
pub struct InTurn {
    source: Box<dyn Source>,
    current: PartitionId,
    failed: Option<SourceError>,
}

impl InTurn {
    /// The inputs of `source`.
    pub fn new(source: Box<dyn Source>) -> InTurn {
        InTurn { source, current: PartitionId(0), failed: None }
    }

    /// The next blocks that are there, at most so many; never waits. Nothing where all has ended, failed, or is yet to come.
    pub fn take(&mut self, blocks_max: usize) -> Vec<Incoming> {
        let mut blocks = Vec::new();
        while blocks.len() < blocks_max && !self.has_ended() {
            match self.source.poll(self.current) {
                Ok(Polled::Block(block)) => blocks.push(Incoming::Read(block)),
                Ok(Polled::Unread(unread)) => blocks.push(Incoming::Unread(unread)),
                Ok(Polled::Deferred(deferred)) => blocks.push(Incoming::Deferred(deferred)),
                Ok(Polled::Pending) => break,
                Ok(Polled::End) => self.current.0 += 1,
                Err(error) => self.failed = Some(error),
            }
        }
        blocks
    }

    /// Waits until there is something to take, or the source's waker was called.
    pub fn wait(&mut self) {
        if !self.has_ended() {
            self.source.wait(&[self.current], None);
        }
    }

    /// Whether nothing more will come.
    pub fn has_ended(&self) -> bool {
        self.failed.is_some() || self.current.0 as usize == self.source.partitions()
    }

    /// Why reading ended early, if it did.
    pub fn take_error(&mut self) -> Option<SourceError> {
        self.failed.take()
    }

    /// The name of an input.
    pub fn name(&self, partition: PartitionId) -> &str {
        self.source.name(partition)
    }

    /// Takes back the bytes of a block that is done with.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.source.recycle(bytes);
    }
}
