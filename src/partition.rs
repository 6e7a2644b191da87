//! A partition: one ordered stream of records with a watermark of its own.
//!
//! A file, a pipe and a Kafka partition are one partition each. Knows nothing of where it is read from.

/// Which partition of the input a record came from, counted from 0 in the order in which the inputs were named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);
