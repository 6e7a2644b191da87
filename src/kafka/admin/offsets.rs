//! Where partitions end and how far groups are.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset;

use crate::kafka::admin::assignment::{self, Assigned};
use crate::kafka::admin::{Admin, Topic};
use crate::kafka::ask::ask;
use crate::kafka::error::KafkaError;

/// The ends of one partition. `low <= stable <= high`, each taken at a moment of its own: of a partition that is written
/// to, `stable` may be beyond `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The partition.
    pub partition: i32,
    /// The first record that is still there.
    pub low: i64,
    /// The last stable offset: what a reader of committed records is shown ends before it.
    pub stable: i64,
    /// Behind the last record, committed or not.
    pub high: i64,
}

/// How far a group is in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next record to read.
    pub offset: i64,
    /// What the group wrote beside it; empty without.
    pub metadata: String,
}

/// A group as its coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Kafka's word for it: `Stable`, `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Dead`.
    pub state: String,
    /// Who is in it, by id.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave it; of a member with a `group.instance.id` it begins with that.
    pub id: String,
    /// How its client calls itself.
    pub client: String,
    /// From where it is connected.
    pub host: String,
    /// The partitions that it has; of a group with another protocol than a consumer's, none.
    pub assigned: Vec<Assigned>,
}

impl Admin {
    /// The ends of all partitions of a topic, in their order. A topic that isn't there is an error.
    pub fn ends(&self, topic: &str) -> Result<Vec<Ends>, KafkaError> {
        let found = self.topic(topic)?.ok_or_else(|| self.no_topic("look for the ends of partitions", topic))?;
        // The isolation of the asking client decides which end it is told.
        let (committed, all) = (
            self.reader(&[("isolation.level", "read_committed")])?,
            self.reader(&[("isolation.level", "read_uncommitted")])?,
        );
        let partitions: Vec<i32> = found.partitions.iter().map(|partition| partition.partition).collect();
        let low = self.logical(&all, topic, &partitions, Offset::Beginning)?;
        let stable = self.logical(&committed, topic, &partitions, Offset::End)?;
        let high = self.logical(&all, topic, &partitions, Offset::End)?;
        let ends = partitions.iter().enumerate();
        Ok(ends
            .map(|(at, partition)| Ends { partition: *partition, low: low[at], stable: stable[at], high: high[at] })
            .collect())
    }

    /// How far `group` is in `topic`: the partitions of which it has committed an offset, in their order. Nothing of a group that
    /// isn't there; a topic that isn't there is an error.
    pub fn committed(&self, group: &str, topic: &str) -> Result<Vec<Committed>, KafkaError> {
        let topic = self.topic(topic)?.ok_or_else(|| self.no_topic("read offsets", topic))?;
        self.committed_of(group, &[topic])
    }

    /// How far `group` is in any topic, in the order of topics and partitions.
    pub fn committed_everywhere(&self, group: &str) -> Result<Vec<Committed>, KafkaError> {
        let topics = self.topics()?;
        self.committed_of(group, &topics)
    }

    /// A group with its members. One that nobody has heard of is `Dead` and has none.
    pub fn group(&self, name: &str) -> Result<Group, KafkaError> {
        let attempted = || format!("describe the group '{name}'");
        let list = ask(self.patience, |limit| {
            let list = self.client.inner().fetch_group_list(Some(name), limit)?;
            // Whoever listed it was not its coordinator any more when it was to describe it.
            match list.groups().iter().any(|group| group.name() == name && group.state().is_empty()) {
                true => Err(ClientError::Global(Code::CoordinatorNotAvailable)),
                false => Ok(list),
            }
        });
        let list = list.map_err(|error| self.failed(attempted(), error))?;
        let Some(found) = list.groups().iter().find(|group| group.name() == name) else {
            return Ok(Group { name: name.to_owned(), state: "Dead".to_owned(), members: Vec::new() });
        };
        let is_consumers = found.protocol_type() == "consumer";
        let mut members: Vec<Member> = found
            .members()
            .iter()
            .map(|member| Member {
                id: member.id().to_owned(),
                client: member.client_id().to_owned(),
                host: member.client_host().trim_start_matches('/').to_owned(),
                assigned: member.assignment().filter(|_| is_consumers).and_then(assignment::decode).unwrap_or_default(),
            })
            .collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Group { name: name.to_owned(), state: found.state().to_owned(), members })
    }

    /// Forgets a group with all its offsets. It must have no members; one that isn't there is no error.
    pub fn delete_group(&self, group: &str) -> Result<(), KafkaError> {
        let attempted = format!("delete the offsets of the group '{group}'");
        let results = self.wait(&attempted, self.client.delete_groups(&[group], &self.options()))?;
        match results.into_iter().next() {
            None | Some(Ok(_) | Err((_, Code::GroupIdNotFound))) => Ok(()),
            Some(Err((_, code))) => Err(self.failed(attempted, ClientError::Global(code))),
        }
    }

    fn committed_of(&self, group: &str, topics: &[Topic]) -> Result<Vec<Committed>, KafkaError> {
        let mut wanted = TopicPartitionList::new();
        for topic in topics {
            for partition in &topic.partitions {
                wanted.add_partition(&topic.name, partition.partition);
            }
        }
        if wanted.count() == 0 {
            return Ok(Vec::new());
        }
        let attempted = || format!("read the offsets of the group '{group}'");
        // What is committed is asked for, not what a transaction that is open may commit: else a group at work would give no answer.
        let reader = self.reader(&[("group.id", group), ("isolation.level", "read_uncommitted")])?;
        let found = ask(self.patience, |limit| {
            let found = reader.committed_offsets(wanted.clone(), limit)?;
            found.elements().iter().try_for_each(|element| element.error())?;
            Ok(found)
        });
        let found = found.map_err(|error| self.failed(attempted(), error))?;
        let mut committed = Vec::new();
        for element in found.elements() {
            if let Offset::Offset(offset) = element.offset() {
                let (topic, metadata) = (element.topic().to_owned(), element.metadata().to_owned());
                committed.push(Committed { topic, partition: element.partition(), offset, metadata });
            }
        }
        Ok(committed)
    }

    /// What `which` stands for in each of `partitions`, in one request a broker.
    fn logical(
        &self,
        reader: &BaseConsumer,
        topic: &str,
        partitions: &[i32],
        which: Offset,
    ) -> Result<Vec<i64>, KafkaError> {
        let attempted = || format!("look for the ends of the topic '{topic}'");
        let mut wanted = TopicPartitionList::new();
        for partition in partitions {
            let added = wanted.add_partition_offset(topic, *partition, which);
            added.map_err(|error| self.failed(attempted(), error))?;
        }
        let asked = |limit| {
            let found = reader.offsets_for_times(wanted.clone(), limit)?;
            let one = |partition: &i32| {
                let element =
                    found.find_partition(topic, *partition).ok_or(ClientError::Global(Code::UnknownPartition))?;
                element.error()?;
                match element.offset() {
                    Offset::Offset(offset) => Ok(offset),
                    _ => Err(ClientError::Global(Code::OffsetNotAvailable)),
                }
            };
            partitions.iter().map(one).collect::<Result<Vec<i64>, ClientError>>()
        };
        // Of a topic that was made a moment ago, or while a broker leaves, nobody leads a partition yet.
        ask(self.patience, asked).map_err(|error| self.failed(attempted(), error))
    }

    fn no_topic(&self, attempted: &'static str, topic: &str) -> KafkaError {
        KafkaError::NoTopic { attempted, topic: topic.to_owned(), brokers: self.settings.brokers.clone() }
    }

    /// A client that asks as a consumer, and never consumes.
    fn reader(&self, ours: &[(&str, &str)]) -> Result<BaseConsumer, KafkaError> {
        let config = self.settings.client(ours)?;
        config.create().map_err(|error| self.failed("set up a client", error))
    }
}
