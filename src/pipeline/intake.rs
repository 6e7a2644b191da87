//! Takes blocks from the source as they are there: first from the partition that the sequencer waits for, then from all
//! others, within a bound; and waits only when there is nothing.
//!
//! Decides by the clock which partitions are silent, and what that means. Knows nothing of what is in the blocks.

use std::sync::Arc;

use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::ranges::Unread;
use crate::source::{Deferred, Delivered, Polled, Source, SourceError};
use crate::time::{Clock, Duration, Timestamp};
use crate::watermark::Sequencer;

/// While the watermark goes on with the clock it is looked at this often.
const TICK: Duration = Duration(20_000);

/// A look that comes later than it was meant to by more than this was held up: by a stopped process, a blocked output, or
/// a clock that was set. What has come meanwhile may not have been read yet, so it says nothing about silence.
const HELD_UP: Duration = Duration(1_000_000);

/// Whether what is done is to be stopped.
pub type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

/// Blocks on their way in.
pub struct Intake {
    source: Box<dyn Source>,
    clock: Arc<dyn Clock>,
    /// Whether reading is to stop.
    stop: Stop,
    options: IntakeOptions,
    /// Blocks taken at once at present; at most as many as the options say.
    blocks_now: usize,
    lanes: Vec<Lane>,
    /// Blocks that have been looked at before they are taken.
    peeked: Vec<Block>,
    /// When the clock was last looked at, and when it was to be looked at again.
    looked: Timestamp,
    due: Timestamp,
    /// Since when nothing at all has come, or that was told.
    quiet_since: Timestamp,
    /// When to come back, even if nothing has come.
    wake_at: Option<Timestamp>,
}

/// How much is taken at once, and when silence counts.
#[derive(Debug, Clone, Copy)]
pub struct IntakeOptions {
    /// Most blocks taken at once. At least 1.
    pub blocks_max: usize,
    /// Silence after which other partitions that go on need not wait for this one; `None`: they always wait.
    pub idle_timeout: Option<Duration>,
    /// Silence of all partitions after which the watermark goes on with the clock; `None`: never.
    pub idle_close: Option<Duration>,
    /// Says so when nothing came for this long; `None`: waits.
    pub patience: Option<Duration>,
}

/// What `Intake::take` came back with.
#[derive(Debug, Default)]
pub struct Taken {
    /// Blocks, those of each partition in their order.
    pub blocks: Vec<Incoming>,
    /// Nothing came for as long as `IntakeOptions::patience`.
    pub is_quiet: bool,
}

/// A block on its way in.
#[derive(Debug)]
pub enum Incoming {
    /// It was read.
    Read(Block),
    /// It is to be read by whoever decodes it.
    Unread(Unread),
    /// Events that are to be read by whoever takes them, and may need no decoding.
    Deferred(Box<dyn Deferred>),
}

impl Incoming {
    /// Where it came from.
    pub fn partition(&self) -> PartitionId {
        match self {
            Incoming::Read(block) => block.partition,
            Incoming::Unread(unread) => unread.partition(),
            Incoming::Deferred(deferred) => deferred.partition(),
        }
    }

    fn is_unread_of(&self, partition: PartitionId) -> bool {
        !matches!(self, Incoming::Read(_)) && self.partition() == partition
    }

    /// The block, or the columns, read if need be.
    pub fn read(self) -> Result<Delivered, SourceError> {
        match self {
            Incoming::Read(block) => Ok(Delivered::Block(block)),
            Incoming::Unread(unread) => unread.read().map(Delivered::Block),
            Incoming::Deferred(deferred) => deferred.read(),
        }
    }

    /// The block, read if need be, of a source that was asked for lines.
    pub fn read_lines(self) -> Result<Block, SourceError> {
        match self.read()? {
            Delivered::Block(block) => Ok(block),
            Delivered::Batch(_) => unreachable!("a source that was asked for lines gives no columns"),
        }
    }
}

struct Lane {
    state: LaneState,
    /// Since when polls have given nothing. A partition that is not polled, because what it gave is yet to be used, is not
    /// silent.
    silent_since: Option<Timestamp>,
}

enum LaneState {
    Open,
    Ended,
    /// It could not be read on. It never ends, so that no window fires that it might have had events for.
    Failed(SourceError),
}

impl Intake {
    /// Takes from `source` until it ends or `stop` says so. Whoever makes `stop` true must call the source's waker.
    pub fn new(
        source: Box<dyn Source>,
        clock: Arc<dyn Clock>,
        stop: impl Fn() -> bool + Send + Sync + 'static,
        options: IntakeOptions,
    ) -> Intake {
        let now = clock.now();
        let lane = || Lane { state: LaneState::Open, silent_since: None };
        let lanes = std::iter::repeat_with(lane).take(source.partitions()).collect();
        let blocks_now = options.blocks_max;
        Intake {
            source,
            clock,
            stop: Arc::new(stop),
            options,
            blocks_now,
            lanes,
            peeked: Vec::new(),
            looked: now,
            due: now,
            quiet_since: now,
            wake_at: None,
        }
    }

    /// Lets the next `take` come back by this time, with or without blocks.
    pub fn wake_at(&mut self, time: Option<Timestamp>) {
        self.wake_at = time;
    }

    /// The name of a partition.
    pub fn name(&self, partition: PartitionId) -> &str {
        self.source.name(partition)
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.lanes.len()
    }

    /// Whether reading was stopped from outside.
    pub fn is_stopped(&self) -> bool {
        (self.stop)()
    }

    /// The same, for whoever works beside.
    pub fn stop(&self) -> Stop {
        Arc::clone(&self.stop)
    }

    /// Waits for the first block of every partition, those aside that have none, and gives these blocks in the order of the
    /// partitions. They are taken later as if nobody had looked.
    pub fn peek(&mut self) -> &[Block] {
        let mut waiting: Vec<PartitionId> = self.open().collect();
        while !waiting.is_empty() && !self.is_stopped() {
            let poll = |source: &mut dyn Source, partition| match source.poll(partition)? {
                Polled::Unread(unread) => unread.read().map(Polled::Block),
                polled => Ok(polled),
            };
            waiting.retain(|&partition| match poll(&mut *self.source, partition) {
                Ok(Polled::Block(block)) => {
                    self.peeked.push(block);
                    false
                }
                Ok(Polled::Pending) => true,
                // Told once more when it is taken from.
                Ok(Polled::End | Polled::Unread(_) | Polled::Deferred(_)) => false,
                Err(error) => {
                    self.lanes[partition.0 as usize].state = LaneState::Failed(error);
                    false
                }
            });
            if !waiting.is_empty() {
                self.source.wait(&waiting, None);
            }
        }
        self.peeked.sort_by_key(|block| block.partition);
        &self.peeked
    }

    /// The next blocks; waits until there are any. Comes back without when a partition ended or went idle or the watermark
    /// went on with the clock, all of which the sequencer was told; when one has failed, when it is quiet, and when reading was
    /// stopped.
    pub fn take(&mut self, sequencer: &mut Sequencer, awaited: PartitionId) -> Taken {
        loop {
            let now = self.look();
            if self.is_stopped() || self.has_failed(awaited) {
                return Taken::default();
            }
            let mut blocks = std::mem::take(&mut self.peeked).into_iter().map(Incoming::Read).collect();
            let changed = self.poll_all(sequencer, awaited, now, &mut blocks);
            if !blocks.is_empty() {
                self.quiet_since = now;
            }
            let is_due = self.wake_at.is_some_and(|wake_at| wake_at <= now);
            if changed || !blocks.is_empty() || is_due || self.note_silence(sequencer, awaited, now) {
                return Taken { blocks, is_quiet: false };
            }
            if self.options.patience.is_some_and(|patience| now.0 - self.quiet_since.0 >= patience.0) {
                self.quiet_since = now;
                return Taken { blocks, is_quiet: true };
            }
            let next_look = self.next_look(sequencer, awaited, now);
            self.due = next_look.unwrap_or(Timestamp::MAX);
            let waited_for: Vec<PartitionId> =
                self.open().filter(|&partition| !sequencer.has_more(partition)).collect();
            let micros = next_look.map(|next_look| (next_look.0 - now.0).unsigned_abs());
            self.source.wait(&waited_for, micros.map(std::time::Duration::from_micros));
        }
    }

    /// Takes one block at a time from now on.
    pub fn slow_down(&mut self) {
        self.blocks_now = 1;
    }

    /// Takes twice as many blocks at once, if it may.
    pub fn speed_up(&mut self) {
        self.blocks_now = (self.blocks_now * 2).min(self.options.blocks_max);
    }

    /// Takes back the bytes of a block that is done with.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.source.recycle(bytes);
    }

    /// Whether a partition could not be read on. All that was read of it has been taken.
    pub fn has_failed(&self, partition: PartitionId) -> bool {
        matches!(self.lanes[partition.0 as usize].state, LaneState::Failed(_))
    }

    /// Takes note that a block could not be read: the partition has failed before it.
    pub fn fail(&mut self, partition: PartitionId, error: SourceError) {
        let lane = &mut self.lanes[partition.0 as usize];
        if !matches!(lane.state, LaneState::Failed(_)) {
            lane.state = LaneState::Failed(error);
        }
    }

    /// What went wrong while reading, in the first of the partitions.
    pub fn take_error(&mut self) -> Option<SourceError> {
        self.lanes.iter_mut().find_map(|lane| match std::mem::replace(&mut lane.state, LaneState::Ended) {
            LaneState::Failed(error) => Some(error),
            state => {
                lane.state = state;
                None
            }
        })
    }

    fn open(&self) -> impl Iterator<Item = PartitionId> {
        let open = self.lanes.iter().enumerate().filter(|(_, lane)| matches!(lane.state, LaneState::Open));
        open.map(|(index, _)| PartitionId(index as u32))
    }

    /// The clock's time. Silence is counted anew when this look was held up.
    fn look(&mut self) -> Timestamp {
        let now = self.clock.now();
        if now.0 > self.due.0.saturating_add(HELD_UP.0) || now < self.looked {
            self.lanes.iter_mut().for_each(|lane| lane.silent_since = lane.silent_since.map(|_| now));
            self.quiet_since = now;
        }
        self.looked = now;
        // A step that takes long is as good as being held up.
        self.due = now;
        now
    }

    /// Polls the awaited partition until it has no more, then the others, of each one block ahead of what the sequencer
    /// has taken: so memory does not grow with how far they are apart. Whether any has ended or failed.
    fn poll_all(
        &mut self,
        sequencer: &mut Sequencer,
        awaited: PartitionId,
        now: Timestamp,
        blocks: &mut Vec<Incoming>,
    ) -> bool {
        let others = self.open().filter(|&partition| partition != awaited && !sequencer.has_more(partition));
        let awaited_first: Vec<PartitionId> = self.open().filter(|&open| open == awaited).chain(others).collect();
        let mut changed = false;
        for partition in awaited_first {
            let lane = &mut self.lanes[partition.0 as usize];
            let is_peeked = blocks.iter().any(|block| block.partition() == partition);
            let mut room = self.blocks_now.saturating_sub(blocks.len());
            if partition != awaited {
                room = room.min(usize::from(!is_peeked));
            }
            for _ in 0..room {
                match self.source.poll(partition) {
                    Ok(Polled::Block(block)) => {
                        lane.silent_since = None;
                        blocks.push(Incoming::Read(block));
                        continue;
                    }
                    Ok(Polled::Unread(unread)) => {
                        lane.silent_since = None;
                        blocks.push(Incoming::Unread(unread));
                        continue;
                    }
                    Ok(Polled::Deferred(deferred)) => {
                        lane.silent_since = None;
                        blocks.push(Incoming::Deferred(deferred));
                        continue;
                    }
                    Ok(Polled::Pending) => {
                        lane.silent_since.get_or_insert(now);
                    }
                    // Not before its blocks were read: one of them may fail.
                    Ok(Polled::End) if blocks.iter().any(|block| block.is_unread_of(partition)) => {}
                    Ok(Polled::End) => {
                        lane.state = LaneState::Ended;
                        sequencer.end(partition);
                        changed = true;
                    }
                    Err(error) => {
                        lane.state = LaneState::Failed(error);
                        changed = true;
                    }
                }
                break;
            }
        }
        changed
    }

    /// Tells the sequencer that the awaited partition is idle, or how far the clock has gone on since all fell silent.
    /// Whether that changes anything.
    fn note_silence(&mut self, sequencer: &mut Sequencer, awaited: PartitionId, now: Timestamp) -> bool {
        if !sequencer.is_idle(awaited) && self.idle_at(sequencer, awaited, now).is_some_and(|at| at <= now) {
            if self.source.is_silent(awaited) {
                sequencer.set_idle(awaited);
                return true;
            }
            // Silence is counted anew.
            self.lanes[awaited.0 as usize].silent_since = None;
            return false;
        }
        if let Some(at) = self.closing_at(sequencer)
            && at <= now
            && let Some(highest) = sequencer.highest_watermark()
        {
            let before = sequencer.watermark();
            sequencer.raise(Timestamp(highest.0.saturating_add(now.0 - at.0)));
            return sequencer.watermark() > before;
        }
        false
    }

    /// When the awaited partition counts as idle; `None` as long as no other goes on.
    fn idle_at(&self, sequencer: &Sequencer, awaited: PartitionId, now: Timestamp) -> Option<Timestamp> {
        let timeout = self.options.idle_timeout?;
        let idle_at = |lane: &Lane| Some(Timestamp(lane.silent_since?.0.saturating_add(timeout.0)));
        let goes_on = |(index, lane): (usize, &Lane)| {
            let partition = PartitionId(index as u32);
            let is_heard = matches!(lane.state, LaneState::Open) && idle_at(lane).is_none_or(|at| at > now);
            partition != awaited && (is_heard || sequencer.has_more(partition))
        };
        let awaited_lane = &self.lanes[awaited.0 as usize];
        let is_waiting = matches!(awaited_lane.state, LaneState::Open) && self.lanes.iter().enumerate().any(goes_on);
        idle_at(awaited_lane).filter(|_| is_waiting)
    }

    /// From when on the watermark goes on with the clock; `None` while there is anything left or anyone to be heard.
    fn closing_at(&self, sequencer: &Sequencer) -> Option<Timestamp> {
        let close = self.options.idle_close?;
        let mut silent_since = Timestamp::MIN;
        for (index, lane) in self.lanes.iter().enumerate() {
            match lane.state {
                LaneState::Ended if !sequencer.has_more(PartitionId(index as u32)) => {}
                LaneState::Open => silent_since = silent_since.max(lane.silent_since?),
                _ => return None,
            }
        }
        (silent_since > Timestamp::MIN).then(|| Timestamp(silent_since.0.saturating_add(close.0)))
    }

    /// When silence will mean something, if nothing comes before. Later than `now`.
    fn next_look(&self, sequencer: &Sequencer, awaited: PartitionId, now: Timestamp) -> Option<Timestamp> {
        let idle = self.idle_at(sequencer, awaited, now).filter(|&at| at > now);
        let close = self.closing_at(sequencer).filter(|_| sequencer.highest_watermark().is_some());
        let close = close.map(|at| if at > now { at } else { Timestamp(now.0.saturating_add(TICK.0)) });
        let patience = self.options.patience.map(|patience| Timestamp(self.quiet_since.0.saturating_add(patience.0)));
        idle.into_iter().chain(close).chain(patience).chain(self.wake_at).min()
    }
}

#[cfg(test)]
mod tests;
