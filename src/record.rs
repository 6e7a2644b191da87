//! Records: bytes as they came, before anyone looks into them.
//!
//! Files and pipes deliver many records at once as a block of whole lines. Knows nothing of what the bytes mean.

use std::sync::Arc;

use crate::partition::PartitionId;
use crate::time::Timestamp;

/// A run of whole lines of one partition, each ended by a line feed but perhaps the last of the input.
#[derive(Debug, Clone)]
pub struct Block {
    /// Where it came from.
    pub partition: PartitionId,
    /// Bytes of the partition before `bytes` (after decompression).
    pub offset: u64,
    /// Where its first line begins in `bytes`. What stands before is not of this block.
    pub from: usize,
    /// The clock when the block was read.
    pub arrival: Timestamp,
    /// Where each line was a record by itself, what it came with: one for each line.
    pub stamps: Option<Arc<[Stamp]>>,
    /// The lines. At most 2 GiB.
    pub bytes: Vec<u8>,
}

/// What a record came with, beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its number in its partition.
    pub offset: u64,
    /// Its time by the log that kept it, not by its writer's fields.
    pub time: Timestamp,
    /// The greatest event time of its partition before it, where that was kept with it; else `Timestamp::MIN`. Where events between
    /// are left out, they are still judged by it.
    pub seen_until: Timestamp,
}
