//! Questions to brokers that are asked again: leaders and coordinators move, brokers come back, and what was made a moment ago is not
//! known everywhere. The client library refreshes what it knows behind such an answer, and leaves the rest to whoever asks.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::error::KafkaError;

/// So long after a topic was made, some broker of its cluster may not have heard of it.
pub(in crate::kafka) const NEWS: Duration = Duration::from_secs(2);

/// How long one answer is waited for, at least and at most: a question goes to one broker, and another one may be there.
const ANSWER_MIN: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The pause before a question is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer, or `patience` is over. A question is told how long it may wait. That we have no right is an answer.
pub(in crate::kafka) fn ask<T>(
    patience: Duration,
    question: impl Fn(Duration) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let started = Instant::now();
    loop {
        let answer = question(patience.saturating_sub(started.elapsed()).clamp(ANSWER_MIN, ANSWER_MAX));
        let Err(error) = &answer else { return answer };
        if is_refused(error) || started.elapsed() + PAUSE >= patience {
            return answer;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether the same question would be refused again.
fn is_refused(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidGroupId
                | Code::InvalidTopic
        )
    )
}

/// How many partitions a topic has. Waits for the brokers until `patience` is over.
pub(in crate::kafka) fn partitions_of<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    (brokers, topic): (&str, &str),
    patience: Duration,
) -> Result<i32, KafkaError> {
    let started = Instant::now();
    let count = |limit| {
        let metadata = consumer.fetch_metadata(Some(topic), limit)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.and_then(|found| found.error()).map(Code::from) {
            None => match found.map_or(0, |found| found.partitions().len()) {
                // One that was made a moment ago may have none yet.
                0 => Err(ClientError::MetadataFetch(Code::LeaderNotAvailable)),
                count => Ok(Some(count as i32)),
            },
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) if started.elapsed() >= NEWS => Ok(None),
            Some(code) => Err(ClientError::MetadataFetch(code)),
        }
    };
    match ask(patience, count) {
        Ok(Some(count)) => Ok(count),
        Err(error) if !is_unknown(&error) => Err(KafkaError::of(format!("read '{topic}'"), brokers, &error)),
        _ => Err(KafkaError::NoTopic { attempted: "read", topic: topic.to_owned(), brokers: brokers.to_owned() }),
    }
}

fn is_unknown(error: &ClientError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::UnknownTopicOrPartition | Code::UnknownTopic))
}

/// The first offset of a partition whose record's time is at least so many milliseconds; that behind the last record if there is none.
pub(in crate::kafka) fn offset_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    (partition, milliseconds): (i32, i64),
    limit: Duration,
) -> Result<i64, ClientError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(milliseconds))?;
    let found = consumer.offsets_for_times(list, limit)?;
    let entry = found.find_partition(topic, partition).ok_or(ClientError::Global(Code::UnknownPartition))?;
    entry.error()?;
    match entry.offset() {
        Offset::Offset(offset) => Ok(offset),
        _ => consumer.fetch_watermarks(topic, partition, limit).map(|(_, end)| end),
    }
}
