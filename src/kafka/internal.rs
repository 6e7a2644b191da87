//! Topics that are ours alone: made when they are missing, read by ranges, emptied when a group begins anew.
//!
//! Knows nothing of what their records mean.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::kafka::admin::{Admin, TopicSpec};
use crate::kafka::ask::{ask, partitions_of};
use crate::kafka::error::KafkaError;
use crate::kafka::settings::Settings;
use crate::kafka::transaction::NextOffset;

/// The longest record of ours, in bytes: a piece holds whole sets and samples.
pub const RECORD_BYTES_MAX: &str = "67108864";

/// How long brokers may take for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How many partitions a topic has. Waits for the brokers until `patience` is over.
pub fn partitions(settings: &Settings, topic: &str, patience: Duration) -> Result<i32, KafkaError> {
    let consumer: BaseConsumer = settings
        .client(&[])?
        .create()
        .map_err(|error| KafkaError::of(format!("look up '{topic}'"), &settings.brokers, &error))?;
    partitions_of(&consumer, (&settings.brokers, topic), patience)
}

/// Makes a topic whose records are kept until they are trimmed, unless it is there. Gives the number of its partitions.
pub fn ensure(settings: &Settings, topic: &str, partitions: i32, patience: Duration) -> Result<i32, KafkaError> {
    let admin = Admin::new(settings, REQUEST_TIMEOUT)?;
    if admin.topic(topic)?.is_none() {
        let kept = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("max.message.bytes", RECORD_BYTES_MAX),
        ];
        let spec = TopicSpec {
            name: topic.to_owned(),
            partitions: partitions.unsigned_abs(),
            replication: None,
            settings: kept.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        // Another process of the group may be faster.
        admin.ensure_topic(&spec)?;
    }
    self::partitions(settings, topic, patience)
}

/// Empties topics that are ours, all of whose records are then gone.
pub fn empty(settings: &Settings, topics: &[&str]) -> Result<(), KafkaError> {
    let admin = Admin::new(settings, REQUEST_TIMEOUT)?;
    for topic in topics {
        if admin.topic(topic)?.is_some() {
            // All there is, also of transactions that are open.
            let all: Vec<(i32, i64)> = admin.ends(topic)?.iter().map(|ends| (ends.partition, ends.high)).collect();
            admin.delete_records(topic, &all)?;
        }
    }
    Ok(())
}

/// Whether a group has members.
pub fn is_running(settings: &Settings, group: &str) -> Result<bool, KafkaError> {
    Ok(!Admin::new(settings, REQUEST_TIMEOUT)?.group(group)?.members.is_empty())
}

/// Commits offsets of a group that has no members.
pub fn commit(settings: &Settings, group: &str, topic: &str, offsets: &[NextOffset]) -> Result<(), KafkaError> {
    let failed = |error: ClientError| KafkaError::of(format!("commit offsets of '{topic}'"), &settings.brokers, &error);
    let config = settings.client(&[("group.id", group), ("enable.auto.commit", "false")])?;
    let consumer: BaseConsumer = config.create().map_err(failed)?;
    let mut list = TopicPartitionList::new();
    for NextOffset { partition, offset, metadata } in offsets {
        let mut entry = list.add_partition(topic, *partition);
        entry.set_metadata(metadata);
        entry.set_offset(Offset::Offset(*offset)).map_err(failed)?;
    }
    consumer.commit(&list, CommitMode::Sync).map_err(failed)
}

/// The first offset that is there and the end of each partition of a topic.
pub fn ends(settings: &Settings, topic: &str) -> Result<Vec<(i32, i64, i64)>, KafkaError> {
    let ends = Admin::new(settings, REQUEST_TIMEOUT)?.ends(topic)?;
    Ok(ends.iter().map(|ends| (ends.partition, ends.low, ends.high)).collect())
}

/// Hands every record of `from..to` of a partition to `each`, with its offset, as a reader of committed records sees them.
pub fn read_range(
    settings: &Settings,
    (topic, partition): (&str, i32),
    (from, to): (i64, i64),
    mut each: impl FnMut(i64, &[u8]),
) -> Result<(), KafkaError> {
    let failed = |error: ClientError| KafkaError::of(format!("read '{topic}'"), &settings.brokers, &error);
    let nothing_comes = || KafkaError::Unavailable {
        attempted: format!("read '{topic}' from {from} to {to}"),
        brokers: settings.brokers.clone(),
        cause: "nothing comes".to_owned(),
    };
    let config = settings.client(&[
        ("group.id", "evkit"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("fetch.wait.max.ms", "50"),
    ])?;
    let consumer: BaseConsumer = config.create().map_err(failed)?;
    let started = Instant::now();
    // A transaction that was just committed is seen a moment later. Whatever end is found after that lies at or behind `to`.
    let ends = |limit| consumer.fetch_watermarks(topic, partition, limit);
    while ask(REQUEST_TIMEOUT, ends).map_err(failed)?.1 < to {
        if started.elapsed() >= REQUEST_TIMEOUT {
            return Err(nothing_comes());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(failed)?;
    consumer.assign(&list).map_err(failed)?;
    let mut silent_since = Instant::now();
    while silent_since.elapsed() < REQUEST_TIMEOUT * 2 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) if record.offset() < to => {
                each(record.offset(), record.payload().unwrap_or_default());
                if record.offset() + 1 == to {
                    return Ok(());
                }
                silent_since = Instant::now();
            }
            Some(Ok(_) | Err(ClientError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => {
                if let Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) = error.rdkafka_error_code() {
                    return Err(failed(error));
                }
            }
            None => {}
        }
    }
    Err(nothing_comes())
}
