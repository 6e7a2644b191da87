//! Kafka: records from topics, records to topics, transactions, and the administration of topics and groups.
//!
//! The only part that knows rdkafka and librdkafka. What records mean is for others to say: here they are bytes with a key,
//! a partition and an offset.

pub mod admin;
mod ask;
pub mod bookmark;
pub mod error;
pub mod group;
pub mod internal;
mod native;
pub mod producer;
pub mod settings;
pub mod source;
pub mod transaction;
