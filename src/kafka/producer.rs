//! Records to a topic, each acknowledged or known not to be.
//!
//! Idempotent, acknowledged by all replicas that are in sync, placed by key as Java's clients place them. The client's queue has a
//! bound: where it is full, the caller waits. Knows nothing of what the records mean.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use crate::kafka::ask::NEWS;
use crate::kafka::error::{KafkaError, words};
use crate::kafka::settings::Settings;

/// How long a record may wait for its acknowledgement where `message.timeout.ms` says nothing else: a broker that is started anew is
/// away for some 20 s.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a record may wait beyond that until the client says that it has failed.
const MESSAGE_TIMEOUT_SLACK: Duration = Duration::from_secs(5);

/// One look for brokers, and the pause before the next.
const LOOK: Duration = Duration::from_secs(2);
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Ours unless the user sets them: what costs least and keeps memory bounded.
const DEFAULTS: [(&str, &str); 4] = [
    ("compression.type", "lz4"),
    ("linger.ms", "5"),
    ("queue.buffering.max.kbytes", "65536"),
    ("queue.buffering.max.messages", "200000"),
];

/// A producer for one topic.
pub struct Producer {
    client: ThreadedProducer<Reports>,
    topic: String,
    brokers: String,
    message_timeout: Duration,
    sent: u64,
}

/// What became of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Handed to the client.
    pub sent: u64,
    /// Acknowledged by the brokers.
    pub acknowledged: u64,
}

/// Why not every record arrived.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The client refused a record, or could not be made.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Records were not acknowledged. Some of them may have arrived nevertheless.
    #[error("{missing} of {sent} records for '{topic}' at '{brokers}' were not acknowledged: {cause}")]
    Unacknowledged {
        /// How many.
        missing: u64,
        /// Of how many.
        sent: u64,
        /// The topic.
        topic: String,
        /// The brokers.
        brokers: String,
        /// The client's words.
        cause: String,
        /// Whether trying again later may help.
        is_unavailable: bool,
    },
}

impl ProduceError {
    /// Whether trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        match self {
            ProduceError::Kafka(error) => error.is_unavailable(),
            ProduceError::Unacknowledged { is_unavailable, .. } => *is_unavailable,
        }
    }
}

impl Producer {
    /// Connects to the brokers, for which it waits until `patience` is over, and makes sure that the topic is there.
    pub fn connect(settings: &Settings, topic: &str, patience: Duration) -> Result<Producer, KafkaError> {
        let message_timeout = match settings.value("message.timeout.ms").map(str::parse) {
            // 0 is for ever.
            Some(Ok(0)) => Duration::MAX,
            Some(Ok(ms)) => Duration::from_millis(ms),
            Some(Err(_)) | None => MESSAGE_TIMEOUT,
        };
        let default_timeout = MESSAGE_TIMEOUT.as_millis().to_string();
        let defaults = [&DEFAULTS[..], &[("message.timeout.ms", default_timeout.as_str())][..]].concat();
        let ours = [("enable.idempotence", "true"), ("acks", "all"), ("partitioner", "murmur2_random")];
        let attempted = || format!("produce to '{topic}'");
        let made = settings.tuned_client(&defaults, &ours)?.create_with_context(Reports::default());
        let client: ThreadedProducer<Reports> =
            made.map_err(|error| KafkaError::of(attempted(), &settings.brokers, &error))?;
        let producer =
            Producer { client, topic: topic.to_owned(), brokers: settings.brokers.clone(), message_timeout, sent: 0 };
        producer.await_topic(patience)?;
        Ok(producer)
    }

    /// Hands a record to the client, and waits while its queue is full: at most until records of the queue have waited as long as they
    /// may. The key decides the partition; without one any may be taken. Fails once any record was not acknowledged.
    pub fn send(&mut self, key: Option<&[u8]>, value: &[u8], headers: &[(&str, &[u8])]) -> Result<(), ProduceError> {
        let reports = self.client.context();
        if reports.has_failed.load(Ordering::Acquire) {
            return self.finish().map(|_| ());
        }
        let mut made: BaseRecord<[u8], [u8]> = BaseRecord::to(&self.topic).payload(value);
        made.key = key;
        if !headers.is_empty() {
            let owned = OwnedHeaders::new_with_capacity(headers.len());
            let add = |headers: OwnedHeaders, (key, value): &(&str, &[u8])| {
                headers.insert(Header { key, value: Some(*value) })
            };
            made.headers = Some(headers.iter().fold(owned, add));
        }
        loop {
            match self.client.send(made) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(());
                }
                Err((ClientError::MessageProduction(Code::QueueFull), back)) => {
                    made = back;
                    self.client.context().await_room();
                    if self.client.context().has_failed.load(Ordering::Acquire) {
                        return self.finish().map(|_| ());
                    }
                }
                Err((error, _)) => {
                    let attempted = format!("write a record of {} bytes to '{}'", value.len(), self.topic);
                    return Err(KafkaError::of(attempted, &self.brokers, &error).into());
                }
            }
        }
    }

    /// What has become of the records so far.
    pub fn delivered(&self) -> Delivered {
        Delivered { sent: self.sent, acknowledged: self.client.context().acknowledged.load(Ordering::Acquire) }
    }

    /// Waits until every record was acknowledged or has failed: at most as long as a record may wait. An error unless all arrived.
    pub fn finish(&mut self) -> Result<Delivered, ProduceError> {
        let flushed = self
            .client
            .flush(self.message_timeout.saturating_add(MESSAGE_TIMEOUT_SLACK).min(Duration::from_secs(1 << 20)));
        let delivered = self.delivered();
        let missing = delivered.sent - delivered.acknowledged;
        if missing == 0 {
            return Ok(delivered);
        }
        let failed = self.client.context().failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut cause, is_unavailable) = failed.unwrap_or_else(|| {
            (flushed.err().map_or_else(|| "no answer came".to_owned(), |error| words(&error)), true)
        });
        // That time ran out says less than what was heard of the brokers meanwhile.
        if let Some(heard) = self.client.context().heard.lock().unwrap_or_else(PoisonError::into_inner).take()
            && is_unavailable
        {
            cause = format!("{cause}; {heard}");
        }
        Err(ProduceError::Unacknowledged {
            missing,
            sent: delivered.sent,
            topic: self.topic.clone(),
            brokers: self.brokers.clone(),
            cause,
            is_unavailable,
        })
    }

    /// Looks for the topic until it is found, a broker says that there is none, or `patience` is over.
    fn await_topic(&self, patience: Duration) -> Result<(), KafkaError> {
        let started = Instant::now();
        let attempted = || format!("produce to '{}'", self.topic);
        loop {
            let left = patience.saturating_sub(started.elapsed());
            let failed = match self.client.client().fetch_metadata(Some(&self.topic), LOOK.min(left).max(LOOK_PAUSE)) {
                Ok(metadata) => match metadata.topics().first().and_then(|topic| topic.error()).map(Code::from) {
                    None => return Ok(()),
                    Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)
                        if started.elapsed() + LOOK_PAUSE >= NEWS.min(patience) =>
                    {
                        let (topic, brokers) = (self.topic.clone(), self.brokers.clone());
                        return Err(KafkaError::NoTopic { attempted: "produce", topic, brokers });
                    }
                    Some(code) => ClientError::MetadataFetch(code),
                },
                Err(error) => error,
            };
            // Of a topic that was made a moment ago this broker may not have heard.
            let soon = [Code::UnknownTopicOrPartition, Code::UnknownTopic];
            let may_come = KafkaError::of("", "", &failed).is_unavailable()
                || failed.rdkafka_error_code().is_some_and(|code| soon.contains(&code));
            if started.elapsed() + LOOK_PAUSE >= patience || !may_come {
                // What the client heard last from the brokers says more than that none answers.
                let heard = self.client.context().heard.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Err(match (KafkaError::of(attempted(), &self.brokers, &failed), heard) {
                    (KafkaError::Unavailable { attempted, brokers, .. }, Some(cause)) => {
                        KafkaError::Unavailable { attempted, brokers, cause }
                    }
                    (error, _) => error,
                });
            }
            std::thread::sleep(LOOK_PAUSE);
        }
    }
}

/// Counts what became of records, on the client's thread.
#[derive(Default)]
struct Reports {
    acknowledged: AtomicU64,
    has_failed: AtomicBool,
    /// Of the first record that failed: the words, and whether trying again later may help.
    failure: Mutex<Option<(String, bool)>>,
    /// The last trouble with a broker.
    heard: Mutex<Option<String>>,
    /// Whether someone waits for room in the queue.
    is_awaited: AtomicBool,
    turn: Mutex<()>,
    room: Condvar,
}

impl Reports {
    /// Waits until a report came in; or a moment, since the one that made room may have come before.
    fn await_room(&self) {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_awaited.store(true, Ordering::Release);
        drop(self.room.wait_timeout(turn, Duration::from_millis(20)));
        self.is_awaited.store(false, Ordering::Release);
    }
}

impl ClientContext for Reports {
    fn error(&self, error: ClientError, reason: &str) {
        // That all brokers are down is what the others, which say why, end in.
        if error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            // What stands behind is how often the same was said.
            let reason = reason.split_once(" (after ").map_or(reason, |(reason, _)| reason);
            *heard = Some(if reason.is_empty() { words(&error) } else { reason.to_owned() });
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::AcqRel);
            }
            Err((error, _)) => {
                let is_unavailable = KafkaError::of("", "", error).is_unavailable()
                    || error.rdkafka_error_code() == Some(Code::MessageTimedOut);
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| (words(error), is_unavailable));
                drop(failure);
                self.has_failed.store(true, Ordering::Release);
            }
        }
        if self.is_awaited.load(Ordering::Acquire) {
            self.room.notify_one();
        }
    }
}
