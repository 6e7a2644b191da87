//! A delivery that archives what it takes, beside handing it on or alone.
//!
//! Events are gathered as lines, each with its place in the input, and handed to the archive's own thread. However handing on ends,
//! what was handed on is archived. Knows nothing of where events go otherwise.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::partition::PartitionId;
use crate::pipeline::archive::Archiver;
use crate::pipeline::ingest::delivery::{Delivery, DeliveryError, Event};
use crate::pipeline::ingest::positions::Position;
use crate::record::{Block, Stamp};
use crate::source::handed::Hand;
use crate::time::{Clock, Timestamp};

/// A block of lines is handed over once it is longer than this.
const BLOCK_BYTES: usize = 512 << 10;

/// Archives, and delivers if there is a place to.
pub struct KeptDelivery {
    inner: Option<Box<dyn Delivery>>,
    hand: Option<Hand>,
    archiver: Option<Archiver>,
    clock: Arc<dyn Clock>,
    partition: u32,
    lines: Vec<u8>,
    stamps: Vec<Stamp>,
}

impl KeptDelivery {
    /// What is given to `hand` is what `archiver` archives.
    pub fn new(
        inner: Option<Box<dyn Delivery>>,
        hand: Hand,
        archiver: Archiver,
        clock: Arc<dyn Clock>,
    ) -> KeptDelivery {
        let (lines, stamps) = (Vec::new(), Vec::new());
        KeptDelivery { inner, hand: Some(hand), archiver: Some(archiver), clock, partition: 0, lines, stamps }
    }

    fn hand_over(&mut self) -> Result<(), DeliveryError> {
        if self.archiver.as_ref().is_some_and(|archiver| archiver.has_failed().load(Ordering::Acquire)) {
            return self.end();
        }
        if let (Some(hand), false) = (&self.hand, self.stamps.is_empty()) {
            let partition = PartitionId(self.partition);
            let (stamps, bytes) = (std::mem::take(&mut self.stamps), std::mem::take(&mut self.lines));
            let offset = stamps[0].offset;
            let arrival = self.clock.now();
            // Offset 0 would be the place of a byte order mark, which a line that was handed on has not.
            let block =
                Block { partition, offset: offset.max(1), from: 0, arrival, stamps: Some(stamps.into()), bytes };
            hand.give(block);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), DeliveryError> {
        self.hand = None;
        self.archiver.take().map_or(Ok(0), Archiver::finish)?;
        Ok(())
    }
}

impl Drop for KeptDelivery {
    fn drop(&mut self) {
        // The error that led here is the one to tell.
        let _ = self.give_up();
    }
}

impl Delivery for KeptDelivery {
    fn send(&mut self, event: &Event<'_>) -> Result<(), DeliveryError> {
        self.inner.as_mut().map_or(Ok(()), |inner| inner.send(event))?;
        if event.partition != self.partition || self.lines.len() >= BLOCK_BYTES {
            self.hand_over()?;
        }
        self.partition = event.partition;
        self.lines.extend_from_slice(event.payload);
        self.lines.push(b'\n');
        self.stamps.push(Stamp { offset: event.place, time: event.time, seen_until: Timestamp::MIN });
        Ok(())
    }

    fn reached(&mut self, partition: PartitionId, position: Position) -> Result<bool, DeliveryError> {
        self.inner.as_mut().map_or(Ok(false), |inner| inner.reached(partition, position))
    }

    fn flush(&mut self) -> Result<(), DeliveryError> {
        self.hand_over()?;
        self.inner.as_mut().map_or(Ok(()), |inner| inner.flush())
    }

    fn finish(&mut self, is_good: bool) -> Result<(), DeliveryError> {
        let finished = self.inner.as_mut().map_or(Ok(()), |inner| inner.finish(is_good));
        let kept = self.give_up();
        finished.and(kept)
    }

    fn give_up(&mut self) -> Result<(), DeliveryError> {
        let handed = self.hand_over();
        let ended = self.end();
        handed.and(ended)
    }

    fn acknowledged(&self) -> Option<u64> {
        self.inner.as_ref().and_then(|inner| inner.acknowledged())
    }
}
