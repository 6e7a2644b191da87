//! A real Kafka for tests: topics that are gone afterwards, producers, and readers of what is committed.
//!
//! It doesn't go through our own Kafka code, so that it can judge it. `scripts/services` starts the broker and says where it is.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// How long anything may take that the broker does.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the broker is that `variable` names. Without one, CI fails, and elsewhere it is said that the test is left out.
pub fn brokers_of(variable: &str, test: &str) -> Option<String> {
    if let Some(brokers) = std::env::var(variable).ok().filter(|brokers| !brokers.is_empty()) {
        return Some(brokers);
    }
    let way = "start a broker with 'scripts/services up', then: export $(scripts/services env)";
    assert!(std::env::var_os("CI").is_none(), "'{test}' needs a real Kafka, and {variable} names none; {way}");
    // Straight to stderr: of tests that pass, what is printed is not shown.
    let _ = writeln!(std::io::stderr(), "\nLEFT OUT: '{test}' needs a real Kafka, and {variable} names none; {way}");
    None
}

/// Where the one broker is.
pub fn brokers(test: &str) -> Option<String> {
    brokers_of("EVKIT_TEST_KAFKA", test)
}

/// A name that no other test uses, now or in an hour.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("test_{prefix}_{moment}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A client's settings.
pub fn client(brokers: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("reconnect.backoff.max.ms", "500");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

/// Topics that were made for a test, and what grew from them: gone when it is dropped, also where the test failed.
pub struct Topics {
    brokers: String,
    names: Vec<String>,
}

impl Topics {
    /// None yet.
    pub fn new(brokers: &str) -> Topics {
        Topics { brokers: brokers.to_owned(), names: Vec::new() }
    }

    /// Makes a topic and gives its name.
    pub fn create(&mut self, prefix: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = unique(prefix);
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(-1));
        for (setting, value) in settings {
            topic = topic.set(setting, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let admin = admin(&self.brokers);
        let results = block_on(admin.create_topics([&topic], &options)).unwrap();
        results.into_iter().for_each(|result| assert!(result.is_ok(), "cannot create '{name}': {result:?}"));
        self.names.push(name.clone());
        // Each broker hears of it by itself, a moment later than the one that made it.
        let deadline = Instant::now() + PATIENCE;
        let is_there = |broker: &str| {
            let metadata = self::admin(broker).inner().fetch_metadata(Some(&name), PATIENCE).unwrap();
            let found = &metadata.topics()[0];
            found.partitions().len() == partitions as usize && found.partitions().iter().all(|one| one.leader() >= 0)
        };
        while !self.brokers.split(',').all(is_there) {
            assert!(Instant::now() < deadline, "the topic '{name}' never came");
        }
        name
    }

    /// Deletes a topic and makes another one of its name.
    pub fn make_anew(&self, name: &str, partitions: i32) {
        let (admin, options) = (admin(&self.brokers), AdminOptions::new().operation_timeout(Some(PATIENCE)));
        block_on(admin.delete_topics(&[name], &options)).unwrap();
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let deadline = Instant::now() + PATIENCE;
        // It goes a moment later than the broker says so.
        while block_on(admin.create_topics([&topic], &options)).unwrap()[0].is_err() {
            assert!(Instant::now() < deadline, "cannot make '{name}' anew");
            std::thread::sleep(Duration::from_millis(20));
        }
        // For a moment a broker may still lead the old partitions, and what is written then goes with them.
        let looker: BaseConsumer = client(&self.brokers, &[]).create().unwrap();
        for partition in 0..partitions {
            while looker.fetch_watermarks(name, partition, PATIENCE).map_or(true, |(_, high)| high > 0) {
                assert!(Instant::now() < deadline, "'{name}' is still the old one");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Takes care of a topic that others make, if they do.
    pub fn adopt(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        if !names.is_empty() {
            // A broker that a failed test left down can't be asked, and topics that were never made are no trouble.
            let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
            let _ = block_on(admin(&self.brokers).delete_topics(&names, &options));
        }
    }
}

/// A client for the administration.
pub fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    client(brokers, &[]).create().unwrap()
}

/// A producer that answers from a thread of its own; with a transactional id, ready to begin.
pub fn producer(brokers: &str, settings: &[(&str, &str)]) -> ThreadedProducer<DefaultProducerContext> {
    let producer: ThreadedProducer<DefaultProducerContext> = client(brokers, settings)
        .set("linger.ms", "5")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", "500000")
        .create()
        .unwrap();
    if settings.iter().any(|(name, _)| *name == "transactional.id") {
        producer.init_transactions(PATIENCE).unwrap();
    }
    producer
}

/// One record for a producer. `None` of a key or payload is Kafka's null.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent<'a> {
    /// Its partition; by its key where none is given.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub payload: Option<&'a [u8]>,
    /// Its time in milliseconds; the clock's where none is given.
    pub timestamp: Option<i64>,
}

/// Hands a record to a producer, waiting while its queue is full.
pub fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, sent: Sent<'_>) {
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
    record.partition = sent.partition;
    record.key = sent.key;
    record.payload = sent.payload;
    record.timestamp = sent.timestamp;
    let deadline = Instant::now() + PATIENCE;
    while let Err((error, again)) = producer.send(record) {
        let is_full = error.rdkafka_error_code() == Some(Code::QueueFull);
        assert!(is_full && Instant::now() < deadline, "cannot produce to '{topic}': {error}");
        producer.flush(Duration::from_millis(20)).ok();
        record = again;
    }
}

/// A transaction of somebody else's, open until it is dropped and its time is over.
pub fn open_transaction(brokers: &str, id: &str, timeout: Duration) -> BaseProducer {
    let timeout = timeout.as_millis().to_string();
    let producer: BaseProducer =
        client(brokers, &[("transactional.id", id), ("transaction.timeout.ms", &timeout)]).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    producer
}

/// A record as a reader of committed ones sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub payload: Option<Vec<u8>>,
}

/// A reader of committed records, of all partitions from the beginning.
pub struct Committed {
    consumer: BaseConsumer,
    brokers: String,
    topic: String,
    /// The partitions whose end has been seen since their last record.
    ended: BTreeSet<i32>,
    partitions: i32,
}

impl Committed {
    /// Begins to read.
    pub fn open(brokers: &str, topic: &str) -> Committed {
        let settings = [
            ("group.id", "judge"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "error"),
        ];
        let consumer: BaseConsumer = client(brokers, &settings).create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let partitions = i32::try_from(metadata.topics()[0].partitions().len()).unwrap();
        assert!(partitions > 0, "there is no topic '{topic}'");
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
        Committed { consumer, brokers, topic, ended: BTreeSet::new(), partitions }
    }

    /// What comes within `patience`, at most one record.
    pub fn poll(&mut self, patience: Duration) -> Option<Seen> {
        let message = match self.consumer.poll(patience)? {
            Ok(message) => message,
            Err(KafkaError::PartitionEOF(partition)) => {
                self.ended.insert(partition);
                return None;
            }
            // A broker that is down comes back, or the test's own deadline passes.
            Err(KafkaError::MessageConsumption(Code::BrokerTransportFailure | Code::AllBrokersDown)) => return None,
            Err(error) => panic!("cannot read '{}': {error}", self.topic),
        };
        self.ended.remove(&message.partition());
        Some(Seen {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
        })
    }

    /// Hands every record to `see` as soon as no transaction is open any more. Nobody writes meanwhile: a commit is acknowledged a
    /// moment before its records can be seen.
    pub fn read_to_end(self, see: impl FnMut(Seen)) {
        let all: BaseConsumer =
            client(&self.brokers, &[("group.id", "judge"), ("isolation.level", "read_uncommitted")]).create().unwrap();
        let end = |consumer: &BaseConsumer, partition| {
            consumer.fetch_watermarks(&self.topic, partition, PATIENCE).ok().map(|(_, end)| end)
        };
        // Without an answer nothing has ended.
        let is_open = |partition| {
            let ends = end(&self.consumer, partition).zip(end(&all, partition));
            ends.is_none_or(|(stable, high)| stable < high)
        };
        let deadline = Instant::now() + PATIENCE;
        while (0..self.partitions).any(is_open) {
            assert!(Instant::now() < deadline, "a transaction stays open in '{}'", self.topic);
            std::thread::sleep(Duration::from_millis(20));
        }
        self.read_to_stable_end(see);
    }

    /// Hands every record to `see` that is committed now, and perhaps later ones: up to the last stable offsets.
    pub fn read_to_stable_end(mut self, mut see: impl FnMut(Seen)) {
        let deadline = Instant::now() + PATIENCE;
        // The end is told where a fetch ends at it, and all fetches are made from now on.
        while self.ended.len() < self.partitions as usize {
            if let Some(seen) = self.poll(Duration::from_millis(50)) {
                see(seen);
            }
            assert!(Instant::now() < deadline, "of '{}' only the partitions {:?} ended", self.topic, self.ended);
        }
    }
}

/// Sends events of these times of a day to a partition, and waits until they have arrived.
pub fn send_events(
    producer: &ThreadedProducer<DefaultProducerContext>,
    (topic, partition): (&str, i32),
    times: &[&str],
) {
    for time in times {
        let value = format!("{{\"timestamp\":\"2026-02-16T{time}Z\",\"g\":\"a\"}}");
        let payload = Some(value.as_bytes());
        send(producer, topic, Sent { partition: Some(partition), payload, ..Sent::default() });
    }
    producer.flush(PATIENCE).unwrap();
}

/// The keys of all committed records of a topic, sorted.
pub fn keys_of(brokers: &str, topic: &str) -> Vec<Option<Vec<u8>>> {
    let mut keys = Vec::new();
    Committed::open(brokers, topic).read_to_end(|seen| keys.push(seen.key));
    keys.sort();
    keys
}
