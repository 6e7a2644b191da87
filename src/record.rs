//! Records: bytes as they came, before anyone looks into them.
//!
//! Files and pipes deliver many records at once as a block of whole lines. Knows nothing of what the bytes mean.

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
    /// The lines. At most 2 GiB.
    pub bytes: Vec<u8>,
}
