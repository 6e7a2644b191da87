//! Takes blocks from the source: first from the partition that the sequencer waits for, then from all others that have
//! something, within a bound.
//!
//! Decides which partitions are idle, by the clock. Knows nothing of what is in the blocks.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::{Polled, Source, SourceError};
use crate::time::{Clock, Duration, Timestamp};
use crate::watermark::Sequencer;

/// Blocks on their way in.
pub struct Intake {
    source: Box<dyn Source>,
    clock: Arc<dyn Clock>,
    /// Whether reading is to stop.
    stop: Box<dyn Fn() -> bool + Send>,
    options: IntakeOptions,
    partitions: Vec<Lane>,
    /// Blocks that have been looked at before they are taken.
    peeked: Vec<Block>,
    /// What went wrong; told once everything that was read before has been used.
    errors: VecDeque<SourceError>,
}

/// How much is taken at once, and when silence counts.
#[derive(Debug, Clone, Copy)]
pub struct IntakeOptions {
    /// Most blocks taken at once.
    pub blocks_max: usize,
    /// Silence after which other partitions need not wait for this one; `None`: they always wait.
    pub idle_timeout: Option<Duration>,
    /// Silence of all partitions after which the watermark goes on with the clock; `None`: never.
    pub idle_close: Option<Duration>,
    /// Comes back without blocks when nothing came for this long; `None`: waits.
    pub patience: Option<Duration>,
}

#[derive(Debug)]
struct Lane {
    /// When it last gave a block, or was opened.
    heard: Timestamp,
    ended: bool,
}

/// While the watermark goes on with the clock it is looked at this often.
const TICK: Duration = Duration(100_000);

impl Intake {
    /// Takes from `source` until it ends or `stop` says so.
    pub fn new(
        source: Box<dyn Source>,
        clock: Arc<dyn Clock>,
        stop: Box<dyn Fn() -> bool + Send>,
        options: IntakeOptions,
    ) -> Intake {
        let heard = clock.now();
        let partitions = (0..source.partitions()).map(|_| Lane { heard, ended: false }).collect();
        Intake { source, clock, stop, options, partitions, peeked: Vec::new(), errors: VecDeque::new() }
    }

    /// The name of a partition.
    pub fn name(&self, partition: PartitionId) -> &str {
        self.source.name(partition)
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Whether reading was stopped from outside.
    pub fn is_stopped(&self) -> bool {
        (self.stop)()
    }

    /// The first block of every partition, those aside that have none. They are taken later as if nobody had looked.
    pub fn peek(&mut self) -> &[Block] {
        let mut waiting: Vec<PartitionId> = self.open().collect();
        while !waiting.is_empty() && !self.is_stopped() {
            waiting.retain(|&partition| match self.source.poll(partition) {
                Ok(Polled::Block(block)) => {
                    self.peeked.push(block);
                    false
                }
                Ok(Polled::Pending) => true,
                Ok(Polled::End) => false,
                Err(error) => {
                    self.errors.push_back(error);
                    false
                }
            });
            if !waiting.is_empty() {
                self.source.wait(&waiting, None);
            }
        }
        &self.peeked
    }

    /// The next blocks, in the order of each partition; waits until `awaited` has one. Comes back without any when a
    /// partition ended, went idle, or the watermark has to go on with the clock, all of which the sequencer is told.
    pub fn take(&mut self, sequencer: &mut Sequencer, awaited: PartitionId) -> Vec<Block> {
        let mut blocks = std::mem::take(&mut self.peeked);
        loop {
            let ended = self.poll_all(sequencer, awaited, &mut blocks);
            if ended || !blocks.is_empty() && self.suffices(sequencer, awaited, &blocks) || self.is_stopped() {
                return blocks;
            }
            if self.note_silence(sequencer, awaited) {
                return blocks;
            }
            let timeout = self.until_silence(awaited);
            let patience =
                self.options.patience.map(|patience| std::time::Duration::from_micros(patience.0.unsigned_abs()));
            // Whoever has been read ahead would end the wait at once, and to no use.
            let waited_for: Vec<PartitionId> =
                self.open().filter(|&partition| !is_ahead(sequencer, &blocks, awaited, partition)).collect();
            self.source.wait(&waited_for, timeout.into_iter().chain(patience).min());
            if patience.is_some_and(|patience| timeout.is_none_or(|timeout| patience < timeout)) {
                self.poll_all(sequencer, awaited, &mut blocks);
                return blocks;
            }
        }
    }

    fn open(&self) -> impl Iterator<Item = PartitionId> {
        let open = self.partitions.iter().enumerate().filter(|(_, lane)| !lane.ended);
        open.map(|(index, _)| PartitionId(index as u32))
    }

    /// An idle partition is not waited for: then any block will do. Where others have taken all the room, they must be
    /// handed on, or the awaited one would never be asked again.
    fn suffices(&self, sequencer: &Sequencer, awaited: PartitionId, blocks: &[Block]) -> bool {
        let full = blocks.len() >= self.options.blocks_max;
        full || sequencer.is_idle(awaited) || blocks.iter().any(|block| block.partition == awaited)
    }

    /// Polls the awaited partition until it has no more, then the others in turn. Whether one has ended.
    fn poll_all(&mut self, sequencer: &mut Sequencer, awaited: PartitionId, blocks: &mut Vec<Block>) -> bool {
        let mut ended = false;
        let mut waiting: Vec<PartitionId> = self.open().filter(|&partition| partition != awaited).collect();
        if !self.partitions[awaited.0 as usize].ended {
            waiting.insert(0, awaited);
        }
        for partition in waiting {
            while blocks.len() < self.options.blocks_max && !is_ahead(sequencer, blocks, awaited, partition) {
                match self.source.poll(partition) {
                    Ok(Polled::Block(block)) => {
                        self.partitions[partition.0 as usize].heard = self.clock.now();
                        blocks.push(block);
                    }
                    Ok(Polled::Pending) => break,
                    Ok(Polled::End) => {
                        self.partitions[partition.0 as usize].ended = true;
                        sequencer.end(partition);
                        ended = true;
                        break;
                    }
                    Err(error) => self.errors.push_back(error),
                }
            }
        }
        ended
    }

    /// Tells the sequencer of a partition that has been silent for too long. Whether that changes anything.
    fn note_silence(&mut self, sequencer: &mut Sequencer, awaited: PartitionId) -> bool {
        let now = self.clock.now();
        let silent = |lane: &Lane| Duration(now.0.saturating_sub(lane.heard.0));
        let others = self.open().count() > 1;
        if let Some(timeout) = self.options.idle_timeout
            && others
            && !sequencer.is_idle(awaited)
            && silent(&self.partitions[awaited.0 as usize]) >= timeout
        {
            sequencer.set_idle(awaited);
            return true;
        }
        if let Some(close) = self.options.idle_close
            && let Some(least) = self.partitions.iter().filter(|lane| !lane.ended).map(silent).min()
            && least >= close
            && let Some(highest) = sequencer.highest_watermark()
        {
            let before = sequencer.watermark();
            sequencer.raise(Timestamp(highest.0.saturating_add(least.0 - close.0)));
            return sequencer.watermark() > before;
        }
        false
    }

    fn until_silence(&self, awaited: PartitionId) -> Option<std::time::Duration> {
        let now = self.clock.now();
        let elapsed = now.0.saturating_sub(self.partitions[awaited.0 as usize].heard.0);
        let idle = self.options.idle_timeout.filter(|_| self.open().count() > 1).map(|timeout| timeout.0 - elapsed);
        let close = self.options.idle_close.map(|close| (close.0 - elapsed).max(TICK.0));
        // A deadline that has passed has been acted upon: what is left is to look again now and then.
        let micros = idle.filter(|left| *left > 0).into_iter().chain(close).min()?;
        Some(std::time::Duration::from_micros(micros.unsigned_abs().max(1000)))
    }

    /// Takes back the bytes of a block that is done with.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.source.recycle(bytes);
    }

    /// Whether anything went wrong while reading.
    pub fn has_failed(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The first thing that went wrong while reading.
    pub fn take_error(&mut self) -> Option<SourceError> {
        self.errors.pop_front()
    }
}

/// Others than the awaited partition are read ahead by one block each, so that memory does not grow with how far they are
/// apart.
fn is_ahead(sequencer: &Sequencer, blocks: &[Block], awaited: PartitionId, partition: PartitionId) -> bool {
    let taken = blocks.iter().filter(|block| block.partition == partition).count();
    partition != awaited && sequencer.queued(partition) + taken > 0
}
