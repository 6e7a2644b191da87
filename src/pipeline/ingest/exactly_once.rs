//! Events of files to a topic, each once, whatever happens: records and the files' positions are committed together.
//!
//! When a transaction is lost, nobody knows whether it was committed. So whoever runs this opens a new one, which ends the old one
//! either way, reads the positions that are committed then, and goes on from there.

use std::time::{Duration, Instant};

use crate::kafka::bookmark::{Bookmark, TEXT_BYTES_MAX};
use crate::kafka::transaction::{Outgoing, Transaction, TransactionError};
use crate::partition::PartitionId;
use crate::pipeline::ingest::delivery::{Delivery, DeliveryError, Event, Headers};
use crate::pipeline::ingest::positions::{Position, Positions};

/// A transaction is committed when it is so old, or so big.
const AGE_MAX: Duration = Duration::from_millis(250);
const BYTES_MAX: usize = 32 << 20;

/// A topic that takes events and positions together.
pub struct Transactional {
    transaction: Transaction,
    bookmark: Bookmark,
    topic: String,
    positions: Positions,
    headers: Headers,
    /// Events in the topic by all runs, and those of this one.
    written: i64,
    committed: u64,
    /// What the open transaction holds.
    events: u64,
    bytes: usize,
    began: Instant,
    /// Whether anything is to be committed.
    is_dirty: bool,
}

impl Transactional {
    /// Goes on behind `written` events, at these positions.
    pub fn new(
        transaction: Transaction,
        bookmark: Bookmark,
        topic: &str,
        positions: Positions,
        written: i64,
    ) -> Transactional {
        Transactional {
            transaction,
            bookmark,
            topic: topic.to_owned(),
            positions,
            headers: Headers::default(),
            written,
            committed: 0,
            events: 0,
            bytes: 0,
            began: Instant::now(),
            is_dirty: false,
        }
    }

    fn commit(&mut self) -> Result<(), DeliveryError> {
        let text = self.positions.encode(TEXT_BYTES_MAX)?;
        let written = self.written + i64::try_from(self.events).unwrap_or(i64::MAX);
        let done = self.bookmark.write(&mut self.transaction, written, &text).and_then(|()| self.transaction.commit());
        match done {
            Err(source @ TransactionError::Lost { .. }) => {
                return Err(DeliveryError::Commit { source, positions: text });
            }
            done => done?,
        }
        self.committed += self.events;
        (self.written, self.events, self.bytes, self.is_dirty) = (written, 0, 0, false);
        Ok(())
    }
}

impl Delivery for Transactional {
    fn send(&mut self, event: &Event<'_>) -> Result<(), DeliveryError> {
        let headers = self.headers.of(event);
        let record = Outgoing {
            topic: &self.topic,
            partition: None,
            key: event.key,
            value: event.payload,
            headers: headers.as_slice(),
            tag: 0,
        };
        if !std::mem::replace(&mut self.is_dirty, true) {
            self.began = Instant::now();
        }
        self.transaction.send(&record)?;
        self.events += 1;
        self.bytes += event.payload.len();
        Ok(())
    }

    fn reached(&mut self, partition: PartitionId, position: Position) -> Result<bool, DeliveryError> {
        self.positions.reach(partition.0 as usize, position);
        if !std::mem::replace(&mut self.is_dirty, true) {
            self.began = Instant::now();
        }
        let is_due = self.bytes >= BYTES_MAX || self.began.elapsed() >= AGE_MAX;
        if is_due {
            self.commit()?;
        }
        Ok(is_due)
    }

    fn flush(&mut self) -> Result<(), DeliveryError> {
        // A commit needs a position, and that is told by `reached`.
        Ok(())
    }

    fn finish(&mut self, _is_good: bool) -> Result<(), DeliveryError> {
        if self.is_dirty { self.commit() } else { Ok(()) }
    }

    fn acknowledged(&self) -> Option<u64> {
        Some(self.committed)
    }
}
