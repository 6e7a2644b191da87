//! Blocks that somebody else has read: a bounded queue between two threads, with a source at its end.
//!
//! `Tee` is a source that hands a copy of every block on. Whoever gives waits where the other is slower; where the other has gone,
//! nothing is waited for. Knows nothing of what is in the blocks.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::{Delivered, Polled, Source, SourceError, Waker};

/// Blocks that wait at most.
const BLOCKS_MAX: usize = 8;

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    blocks: VecDeque<Block>,
    /// Nobody gives any more.
    has_ended: bool,
    /// Nobody takes any more.
    is_left: bool,
    is_woken: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives blocks. Dropped, the source ends behind what was given.
pub struct Hand(Arc<Queue>);

/// What was given, as a source.
pub struct HandedSource {
    queue: Arc<Queue>,
    names: Vec<String>,
}

/// A hand, and the source of what it gives, whose partitions have these names.
pub fn handed(names: Vec<String>) -> (Hand, HandedSource) {
    let queue = Arc::new(Queue::default());
    (Hand(Arc::clone(&queue)), HandedSource { queue, names })
}

impl Hand {
    /// Gives a block, once there is room for it.
    pub fn give(&self, block: Block) {
        let is_full = |state: &mut State| state.blocks.len() >= BLOCKS_MAX && !state.is_left;
        let waited = self.0.changed.wait_while(self.0.lock(), is_full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.is_left {
            state.blocks.push_back(block);
            self.0.changed.notify_all();
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.changed.notify_all();
    }
}

impl Drop for HandedSource {
    fn drop(&mut self) {
        self.queue.lock().is_left = true;
        self.queue.changed.notify_all();
    }
}

impl Source for HandedSource {
    fn partitions(&self) -> usize {
        self.names.len()
    }

    fn name(&self, partition: PartitionId) -> &str {
        &self.names[partition.0 as usize]
    }

    /// Whoever gives decides where that begins.
    fn seek(&mut self, _partition: PartitionId, _offset: u64) {}

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        let mut state = self.queue.lock();
        let next = state.blocks.iter().position(|block| block.partition == partition);
        match next.and_then(|next| state.blocks.remove(next)) {
            Some(block) => {
                self.queue.changed.notify_all();
                Ok(Polled::Block(block))
            }
            None if state.has_ended => Ok(Polled::End),
            None => Ok(Polled::Pending),
        }
    }

    fn wait(&mut self, partitions: &[PartitionId], timeout: Option<Duration>) {
        let is_idle = |state: &mut State| {
            let has_one = state.blocks.iter().any(|block| partitions.contains(&block.partition));
            !has_one && !state.has_ended && !state.is_woken
        };
        let state = self.queue.lock();
        let mut state = match timeout {
            None => self.queue.changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = self.queue.changed.wait_timeout_while(state, timeout, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.is_woken = false;
    }

    fn waker(&self) -> Waker {
        let queue = Arc::clone(&self.queue);
        Waker::new(move || {
            queue.lock().is_woken = true;
            queue.changed.notify_all();
        })
    }
}

/// A source that hands a copy of each of its blocks on.
pub struct Tee {
    source: Box<dyn Source>,
    hand: Hand,
}

impl Tee {
    /// Of this source to this hand.
    pub fn new(source: Box<dyn Source>, hand: Hand) -> Tee {
        Tee { source, hand }
    }
}

impl Source for Tee {
    fn partitions(&self) -> usize {
        self.source.partitions()
    }

    fn name(&self, partition: PartitionId) -> &str {
        self.source.name(partition)
    }

    fn seek(&mut self, partition: PartitionId, offset: u64) {
        self.source.seek(partition, offset);
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        let block = match self.source.poll(partition)? {
            Polled::Block(block) => block,
            // What is read by several is read here, for both.
            Polled::Unread(unread) => unread.read()?,
            Polled::Deferred(deferred) => match deferred.read()? {
                Delivered::Block(block) => block,
                Delivered::Batch(_) => unreachable!("nobody hands on what comes as columns"),
            },
            other => return Ok(other),
        };
        self.hand.give(block.clone());
        Ok(Polled::Block(block))
    }

    fn wait(&mut self, partitions: &[PartitionId], timeout: Option<Duration>) {
        self.source.wait(partitions, timeout);
    }

    fn waker(&self) -> Waker {
        self.source.waker()
    }

    fn is_silent(&mut self, partition: PartitionId) -> bool {
        self.source.is_silent(partition)
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        self.source.recycle(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::clock::ManualClock;
    use crate::source::memory::{MemorySource, Step};
    use crate::time::Timestamp;

    fn texts(source: &mut impl Source) -> String {
        let mut found = String::new();
        loop {
            match source.poll(PartitionId(0)).unwrap() {
                Polled::Block(block) => found.push_str(std::str::from_utf8(&block.bytes).unwrap()),
                Polled::End => return found,
                _ => source.wait(&[PartitionId(0)], None),
            }
        }
    }

    #[test]
    fn both_get_every_block_and_the_slower_one_is_waited_for() {
        let steps: Vec<Step> = (0..50).map(|number| Step::Block(format!("{number}\n").into_bytes())).collect();
        let expected: String = (0..50).map(|number| format!("{number}\n")).collect();
        let memory = MemorySource::new(vec![steps], Arc::new(ManualClock::new(Timestamp(0))));
        let (hand, mut other) = handed(vec!["copy".to_owned()]);
        let mut tee = Tee::new(Box::new(memory), hand);
        let reader = std::thread::spawn(move || texts(&mut other));
        assert_eq!(texts(&mut tee), expected);
        drop(tee);
        assert_eq!(reader.join().unwrap(), expected);
    }

    #[test]
    fn nobody_waits_for_who_has_gone() {
        let steps: Vec<Step> = (0..50).map(|number| Step::Block(format!("{number}\n").into_bytes())).collect();
        let memory = MemorySource::new(vec![steps], Arc::new(ManualClock::new(Timestamp(0))));
        let (hand, other) = handed(vec!["copy".to_owned()]);
        drop(other);
        assert_eq!(texts(&mut Tee::new(Box::new(memory), hand)).lines().count(), 50);
    }
}
