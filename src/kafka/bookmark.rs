//! Where a writer keeps its place: the committed offset of a group that nobody joins, on partition 0 of the topic that is written to.
//!
//! The offset goes with the writer's transaction, and the text that is kept with it says how far it has come. Knows nothing of what
//! the text means.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::topic_partition_list::Offset;

use crate::kafka::ask::{ask, partitions_of};
use crate::kafka::error::KafkaError;
use crate::kafka::group::Committed;
use crate::kafka::settings::Settings;
use crate::kafka::transaction::{GroupMetadata, NextOffset, Transaction, TransactionError};

/// The most bytes that a broker keeps with an offset (its `offset.metadata.max.bytes`).
pub const TEXT_BYTES_MAX: usize = 4096;

const PARTITION: i32 = 0;

/// The place of a writer.
pub struct Bookmark {
    consumer: BaseConsumer,
    topic: String,
    group: String,
    brokers: String,
}

impl Bookmark {
    /// That of `group` in `topic`, which must exist. Waits for the brokers until `patience` is over.
    pub fn open(settings: &Settings, group: &str, topic: &str, patience: Duration) -> Result<Bookmark, KafkaError> {
        let config = settings.client(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
        ])?;
        let made = config.create();
        let consumer: BaseConsumer =
            made.map_err(|error| KafkaError::of(format!("produce to '{topic}'"), &settings.brokers, &error))?;
        partitions_of(&consumer, (&settings.brokers, topic), patience)?;
        let (topic, group, brokers) = (topic.to_owned(), group.to_owned(), settings.brokers.clone());
        Ok(Bookmark { consumer, topic, group, brokers })
    }

    /// What was committed last, if anything was. Waits until `patience` is over where an open transaction holds it back.
    pub fn read(&self, patience: Duration) -> Result<Option<Committed>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, PARTITION);
        // A partition without an answer is not one without a place.
        let found = ask(patience, |limit| {
            let found = self.consumer.committed_offsets(list.clone(), limit)?;
            found.elements().iter().try_for_each(|entry| entry.error())?;
            Ok(found)
        });
        let found = found.map_err(|error| self.failed("look up the place of", &error))?;
        let entry = found.find_partition(&self.topic, PARTITION);
        Ok(entry.and_then(|entry| match entry.offset() {
            Offset::Offset(offset) => Some(Committed { offset, metadata: entry.metadata().to_owned() }),
            _ => None,
        }))
    }

    /// Adds the place to a transaction: `offset` is for people and tools, `text` for the next reader, at most `TEXT_BYTES_MAX` long.
    pub fn write(&self, transaction: &mut Transaction, offset: i64, text: &str) -> Result<(), TransactionError> {
        let group = self.consumer.group_metadata().map(|metadata| GroupMetadata(metadata.into()));
        let group = group.ok_or_else(|| KafkaError::Client {
            attempted: format!("commit the place of '{}'", self.group),
            cause: "the client knows no group".to_owned(),
        })?;
        let place = NextOffset { partition: PARTITION, offset, metadata: text.to_owned() };
        transaction.send_offsets(&self.topic, &[place], &group)
    }

    fn failed(&self, attempted: &str, error: &ClientError) -> KafkaError {
        KafkaError::of(format!("{attempted} '{}'", self.group), &self.brokers, error)
    }
}
