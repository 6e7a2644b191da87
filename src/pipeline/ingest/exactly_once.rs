//! Events of files to a topic, each once, whatever happens: records and the files' positions are committed together, and with them the
//! rejects, where a topic takes these.
//!
//! When a transaction is lost, nobody knows whether it was committed. So whoever runs this opens a new one, which ends the old one
//! either way, reads the positions that are committed then, and goes on from there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::kafka::bookmark::{Bookmark, TEXT_BYTES_MAX};
use crate::kafka::transaction::{Outgoing, Transaction, TransactionError};
use crate::partition::PartitionId;
use crate::pipeline::ingest::delivery::{Delivery, DeliveryError, Event, Headers};
use crate::pipeline::ingest::positions::{Position, Positions};
use crate::sink::{Sink, SinkError};

/// A transaction is committed when it is so old, or so big.
const AGE_MAX: Duration = Duration::from_millis(250);
const BYTES_MAX: usize = 32 << 20;

/// Lines that wait for the next commit: what is written here is written to a topic then, a record a line.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<Vec<u8>>>);

/// A topic that takes events and positions together.
pub struct Transactional {
    /// None once it was given up.
    transaction: Option<Transaction>,
    bookmark: Bookmark,
    topic: String,
    rejects: Option<(String, Waiting)>,
    /// Bytes of rejects that a position is behind.
    rejects_reached: usize,
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
    /// Whether events were sent that no position is behind yet.
    is_ahead: bool,
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
            transaction: Some(transaction),
            bookmark,
            topic: topic.to_owned(),
            rejects: None,
            rejects_reached: 0,
            positions,
            headers: Headers::default(),
            written,
            committed: 0,
            events: 0,
            bytes: 0,
            began: Instant::now(),
            is_dirty: false,
            is_ahead: false,
        }
    }

    /// Takes rejects along, to a topic of the same cluster. What is written to `waiting` before a position is reached goes with it.
    pub fn with_rejects(self, topic: &str, waiting: Waiting) -> Transactional {
        Transactional { rejects: Some((topic.to_owned(), waiting)), ..self }
    }

    fn commit(&mut self) -> Result<(), DeliveryError> {
        let text = self.positions.encode(TEXT_BYTES_MAX)?;
        let written = self.written + i64::try_from(self.events).unwrap_or(i64::MAX);
        let transaction = self.transaction.as_mut().expect("it is given up at the end only");
        if let Some((topic, waiting)) = &self.rejects {
            for value in waiting
                .take(std::mem::take(&mut self.rejects_reached))
                .split(|&byte| byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                transaction.send(&Outgoing { topic, value, ..Outgoing::default() })?;
            }
        }
        let done = self.bookmark.write(transaction, written, &text).and_then(|()| transaction.commit());
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

impl Waiting {
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The first bytes, which then are gone.
    fn take(&self, bytes: usize) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..bytes).collect()
    }
}

impl Sink for Waiting {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
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
        self.transaction.as_mut().expect("it is given up at the end only").send(&record)?;
        self.is_ahead = true;
        self.events += 1;
        self.bytes += event.payload.len();
        Ok(())
    }

    fn reached(&mut self, partition: PartitionId, position: Position) -> Result<bool, DeliveryError> {
        self.positions.reach(partition.0 as usize, position);
        if !std::mem::replace(&mut self.is_dirty, true) {
            self.began = Instant::now();
        }
        self.is_ahead = false;
        self.rejects_reached = self.rejects.as_ref().map_or(0, |(_, waiting)| waiting.len());
        let is_due = self.bytes + self.rejects_reached >= BYTES_MAX || self.began.elapsed() >= AGE_MAX;
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
        if self.is_ahead {
            // It ended within a block. What was sent of it would be sent again by the next run.
            self.transaction.take().into_iter().for_each(Transaction::abort);
            return Ok(());
        }
        if self.is_dirty { self.commit() } else { Ok(()) }
    }

    fn acknowledged(&self) -> Option<u64> {
        Some(self.committed)
    }
}
