//! Between the threads that read and the one that consumes: a bounded queue of blocks for each partition, and one place to wait for
//! any of them.
//!
//! Does not know what reads and what the blocks hold.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::{Polled, SourceError};

/// Queues by partition. `R` is what reads a partition that shares its thread with others, parked here while its queue is full.
pub struct Lanes<R> {
    state: Mutex<State<R>>,
    /// For the consumer: some lane has something, or the waker was called.
    ready: Condvar,
    /// For the reading threads: there is a job, or room, or all is over.
    work: Condvar,
    blocks_max: usize,
}

struct State<R> {
    lanes: Vec<Lane<R>>,
    /// Partitions to be read on by a shared thread, in turn.
    jobs: VecDeque<(usize, R)>,
    is_woken: bool,
    is_closed: bool,
}

struct Lane<R> {
    blocks: VecDeque<Block>,
    error: Option<SourceError>,
    is_ended: bool,
    parked: Option<R>,
}

impl<R> Lanes<R> {
    /// `count` empty lanes that hold at most `blocks_max` blocks each.
    pub fn new(count: usize, blocks_max: usize) -> Lanes<R> {
        let lane = || Lane { blocks: VecDeque::new(), error: None, is_ended: false, parked: None };
        let lanes = std::iter::repeat_with(lane).take(count).collect();
        let state = State { lanes, jobs: VecDeque::new(), is_woken: false, is_closed: false };
        Lanes { state: Mutex::new(state), ready: Condvar::new(), work: Condvar::new(), blocks_max: blocks_max.max(1) }
    }

    /// Consumer: what the lane has.
    pub fn poll(&self, partition: PartitionId) -> Result<Polled, SourceError> {
        let mut state = self.lock();
        let index = partition.0 as usize;
        let lane = &mut state.lanes[index];
        let Some(block) = lane.blocks.pop_front() else {
            return match lane.error.take() {
                Some(error) => Err(error),
                None if lane.is_ended => Ok(Polled::End),
                None => Ok(Polled::Pending),
            };
        };
        if let Some(reader) = lane.parked.take() {
            state.jobs.push_back((index, reader));
        }
        self.work.notify_all();
        Ok(Polled::Block(block))
    }

    /// Consumer: waits until one of the lanes has something, or it was woken, or the time is up.
    pub fn wait(&self, partitions: &[PartitionId], timeout: Option<Duration>) {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            let was_woken = std::mem::take(&mut state.is_woken);
            let has_something = |partition: &PartitionId| {
                let lane = &state.lanes[partition.0 as usize];
                !lane.blocks.is_empty() || lane.is_ended
            };
            if was_woken || partitions.iter().any(has_something) {
                return;
            }
            state = match deadline {
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Ends the consumer's wait, or its next one.
    pub fn wake(&self) {
        self.lock().is_woken = true;
        self.ready.notify_all();
    }

    /// Nothing more is wanted: all reading threads are told to end.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.jobs.clear();
        state.lanes.iter_mut().for_each(|lane| lane.parked = None);
        self.work.notify_all();
    }

    /// A thread of one lane: puts a block, waiting for room. False when nothing more is wanted.
    pub fn put(&self, partition: PartitionId, block: Block) -> bool {
        let mut state = self.lock();
        let index = partition.0 as usize;
        while state.lanes[index].blocks.len() >= self.blocks_max && !state.is_closed {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.lanes[index].blocks.push_back(block);
        self.ready.notify_all();
        !state.is_closed
    }

    /// The lane has ended, perhaps by an error.
    pub fn end(&self, partition: PartitionId, error: Option<SourceError>) {
        let mut state = self.lock();
        let lane = &mut state.lanes[partition.0 as usize];
        lane.is_ended = true;
        lane.error = error;
        self.ready.notify_all();
    }

    /// Gives a lane to the shared threads.
    pub fn add_job(&self, partition: PartitionId, reader: R) {
        self.lock().jobs.push_back((partition.0 as usize, reader));
        self.work.notify_all();
    }

    /// A shared thread: the next lane to read a block of, waiting for one. None when nothing more is wanted.
    pub fn take_job(&self) -> Option<(PartitionId, R)> {
        let mut state = self.lock();
        while !state.is_closed {
            if let Some((index, reader)) = state.jobs.pop_front() {
                return Some((PartitionId(u32::try_from(index).expect("partitions are counted in 32 bits")), reader));
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// A shared thread: puts the block that was read; the lane's turn comes again when it has room.
    pub fn put_job(&self, partition: PartitionId, block: Block, reader: R) {
        let mut state = self.lock();
        let index = partition.0 as usize;
        let lane = &mut state.lanes[index];
        lane.blocks.push_back(block);
        if lane.blocks.len() >= self.blocks_max {
            lane.parked = Some(reader);
        } else {
            state.jobs.push_back((index, reader));
            self.work.notify_one();
        }
        self.ready.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
