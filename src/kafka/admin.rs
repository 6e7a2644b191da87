//! Looking after a cluster: topics and their settings, records that nobody needs any more; `offsets` has groups and ends.
//!
//! Nothing here deletes a topic or takes partitions from it. Every call blocks, since every one who calls has to wait: the client
//! answers from a thread of its own, so waiting for it takes an executor of a few lines and no runtime.

pub mod assignment;
pub mod offsets;
pub mod plan;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::Offset;

use crate::kafka::ask::ask;
use crate::kafka::error::KafkaError;
use crate::kafka::settings::Settings;

/// Settings that a broker doesn't show so long after it answered were refused.
const REFUSED_AFTER: Duration = Duration::from_secs(2);
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A connection to a cluster for its administration. Cheap to keep; threads of the client's end with it.
pub struct Admin {
    settings: Settings,
    patience: Duration,
    client: AdminClient<DefaultClientContext>,
}

/// What a cluster says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// In the order of their numbers.
    pub partitions: Vec<TopicPartition>,
}

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPartition {
    /// Its number.
    pub partition: i32,
    /// The broker that serves it, if there is one at the moment.
    pub leader: Option<i32>,
    /// The brokers that keep it.
    pub replicas: Vec<i32>,
    /// Those of them that have all of it.
    pub in_sync: Vec<i32>,
}

/// A topic as it shall be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// On how many brokers each record is kept; else as the cluster does it.
    pub replication: Option<u32>,
    /// Settings by their names in Kafka; for all others the cluster's hold.
    pub settings: BTreeMap<String, String>,
}

impl Topic {
    /// On how many brokers each record is kept.
    pub fn replication(&self) -> usize {
        self.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0)
    }
}

impl Admin {
    /// A connection that is made when it is first needed. `patience` is how long the brokers are asked each question, at most.
    pub fn new(settings: &Settings, patience: Duration) -> Result<Admin, KafkaError> {
        let client = settings
            .client(&[])?
            .create()
            .map_err(|error| KafkaError::of("set up a client", &settings.brokers, &error))?;
        Ok(Admin { settings: settings.clone(), patience, client })
    }

    /// All topics by name, without those that Kafka keeps for itself.
    pub fn topics(&self) -> Result<Vec<Topic>, KafkaError> {
        let metadata = ask(self.patience, |limit| self.client.inner().fetch_metadata(None, limit));
        let metadata = metadata.map_err(|error| self.failed("list topics", error))?;
        let is_users = |topic: &&MetadataTopic| !topic.name().starts_with("__") && topic.error().is_none();
        let mut topics: Vec<Topic> = metadata.topics().iter().filter(is_users).map(topic_of).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic, if it is there.
    pub fn topic(&self, name: &str) -> Result<Option<Topic>, KafkaError> {
        let found = ask(self.patience, |limit| {
            let metadata = self.client.inner().fetch_metadata(Some(name), limit)?;
            let Some(found) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
            match found.error().map(Code::from) {
                None => Ok(Some(topic_of(found))),
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
                Some(code) => Err(ClientError::Global(code)),
            }
        });
        found.map_err(|error| self.failed(format!("look for the topic '{name}'"), error))
    }

    /// The settings of a topic that were set for it, by their names in Kafka.
    pub fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, KafkaError> {
        let attempted = format!("read the settings of the topic '{topic}'");
        let of_topic = [ResourceSpecifier::Topic(topic)];
        let resources = self.wait(&attempted, self.client.describe_configs(&of_topic, &self.options()))?;
        let resource = one(resources).map_err(|code| self.failed(&*attempted, ClientError::Global(code)))?;
        let entries = resource.entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Makes a topic and waits until it can be used. One that is there already is an error.
    pub fn create_topic(&self, spec: &TopicSpec) -> Result<(), KafkaError> {
        match self.try_create(spec)? {
            Some(code) => Err(self.failed(creating(spec), ClientError::Global(code))),
            None => self.wait_for_partitions(&creating(spec), &spec.name, spec.partitions),
        }
    }

    /// Makes a topic unless it is there, also where somebody else makes it at the same time, and waits until it can be used.
    pub fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), KafkaError> {
        match self.try_create(spec)? {
            // It may have any number of partitions.
            Some(Code::TopicAlreadyExists) => self.wait_for_partitions(&creating(spec), &spec.name, 1),
            Some(code) => Err(self.failed(creating(spec), ClientError::Global(code))),
            None => self.wait_for_partitions(&creating(spec), &spec.name, spec.partitions),
        }
    }

    /// Asks for a topic; gives why the cluster refuses, if it does.
    fn try_create(&self, spec: &TopicSpec) -> Result<Option<Code>, KafkaError> {
        let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let replication = TopicReplication::Fixed(spec.replication.map_or(-1, whole));
        let mut topic = NewTopic::new(&spec.name, whole(spec.partitions), replication);
        for (name, value) in &spec.settings {
            topic = topic.set(name, value);
        }
        let results = self.wait(&creating(spec), self.client.create_topics([&topic], &self.options()))?;
        Ok(results.into_iter().find_map(|result| result.err().map(|(_, code)| code)))
    }

    /// Gives a topic more partitions, `count` in all, and waits until they can be used. Keys that were in one partition may come into another one from then on.
    pub fn grow_topic(&self, topic: &str, count: u32) -> Result<(), KafkaError> {
        let attempted = format!("give the topic '{topic}' {count} partitions");
        let wanted = NewPartitions::new(topic, count as usize);
        let results = self.wait(&attempted, self.client.create_partitions([&wanted], &self.options()))?;
        let result = results.into_iter().next().unwrap_or_else(|| Ok(topic.to_owned()));
        result.map_err(|(_, code)| self.failed(&*attempted, ClientError::Global(code)))?;
        self.wait_for_partitions(&attempted, topic, count)
    }

    /// The broker that is asked hears of new partitions a moment later than the one that made them.
    fn wait_for_partitions(&self, attempted: &str, topic: &str, count: u32) -> Result<(), KafkaError> {
        let deadline = Instant::now() + self.patience;
        let is_led =
            |topic: &Topic| topic.partitions.iter().filter(|one| one.leader.is_some()).count() >= count as usize;
        while !self.topic(topic)?.is_some_and(|topic| is_led(&topic)) {
            if Instant::now() > deadline {
                return Err(self.failed(attempted, ClientError::Global(Code::OperationTimedOut)));
            }
            std::thread::sleep(ASKED_AGAIN_AFTER);
        }
        Ok(())
    }

    /// Sets `settings` of a topic and leaves what else was set for it.
    pub fn set_topic(&self, topic: &str, settings: &BTreeMap<String, String>) -> Result<(), KafkaError> {
        let attempted = format!("set up the topic '{topic}'");
        // The request replaces everything that was set: what shall stay is sent along.
        let mut all = self.topic_settings(topic)?;
        all.extend(settings.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (name, value) in &all {
            wanted = wanted.set(name, value);
        }
        self.wait(&attempted, self.client.alter_configs([&wanted], &self.options()))?;
        // The crate passes over what the broker said of each topic, so whether it took the settings shows by reading them back, which
        // a broker does a moment later.
        let deadline = Instant::now() + REFUSED_AFTER;
        loop {
            let taken = self.topic_settings(topic)?;
            match all.iter().find(|(name, value)| taken.get(*name) != Some(value)) {
                None => return Ok(()),
                Some((name, value)) if Instant::now() > deadline => {
                    let cause = format!("the cluster did not take '{name}={value}'");
                    return Err(KafkaError::Client { attempted, cause });
                }
                Some(_) => std::thread::sleep(ASKED_AGAIN_AFTER),
            }
        }
    }

    /// Deletes the records of a topic that lie before an offset, for each (partition, offset). What the brokers don't have any more
    /// is no error.
    pub fn delete_records(&self, topic: &str, before: &[(i32, i64)]) -> Result<(), KafkaError> {
        if before.is_empty() {
            return Ok(());
        }
        let attempted = format!("delete records of the topic '{topic}'");
        let mut wanted = TopicPartitionList::new();
        for (partition, offset) in before {
            let added = wanted.add_partition_offset(topic, *partition, Offset::Offset(*offset));
            added.map_err(|error| self.failed(&*attempted, error))?;
        }
        let results = self.wait(&attempted, self.client.delete_records(&wanted, &self.options()))?;
        for result in results.elements() {
            match result.error() {
                Ok(()) | Err(ClientError::OffsetFetch(Code::OffsetOutOfRange)) => {}
                Err(error) => {
                    return Err(self.failed(format!("{attempted} in partition {}", result.partition()), error));
                }
            }
        }
        Ok(())
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.patience)).operation_timeout(Some(self.patience))
    }

    fn wait<T>(&self, attempted: &str, answer: impl Future<Output = KafkaResult<T>>) -> Result<T, KafkaError> {
        block_on(answer).map_err(|error| match error {
            // The crate doesn't count it among the errors that have a code.
            ClientError::AdminOp(code) => self.failed(attempted, ClientError::Global(code)),
            error => self.failed(attempted, error),
        })
    }

    fn failed(&self, attempted: impl Into<String>, error: ClientError) -> KafkaError {
        KafkaError::of(attempted, &self.settings.brokers, &error)
    }
}

fn creating(spec: &TopicSpec) -> String {
    format!("create the topic '{}'", spec.name)
}

fn topic_of(topic: &MetadataTopic) -> Topic {
    let mut partitions: Vec<TopicPartition> = topic
        .partitions()
        .iter()
        .map(|partition| TopicPartition {
            partition: partition.id(),
            leader: Some(partition.leader()).filter(|leader| *leader >= 0),
            replicas: partition.replicas().to_vec(),
            in_sync: partition.isr().to_vec(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    Topic { name: topic.name().to_owned(), partitions }
}

/// The answer for the one thing that was asked for.
fn one<T>(results: Vec<Result<T, Code>>) -> Result<T, Code> {
    results.into_iter().next().unwrap_or(Err(Code::Fail))
}
