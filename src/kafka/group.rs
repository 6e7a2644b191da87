//! A member of a consumer group: records of the partitions that it is given, and when they are given and taken.
//!
//! Partitions are handed over whole: when they are taken, the caller commits what it has before it lets them go. Everything happens on
//! the thread that polls. Offsets are not committed here, they go with a transaction. Knows nothing of what records mean.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings::rd_kafka_resp_err_t as ResponseError;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientContext, Message, Offset, Statistics, TopicPartitionList};

use crate::kafka::ask::{ask, offset_at, partitions_of};
use crate::kafka::error::{KafkaError, words};
use crate::kafka::native;
use crate::kafka::settings::Settings;
use crate::kafka::transaction::GroupMetadata;

/// A member that is silent for so long has its partitions given to others.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long brokers that were there a moment ago are asked the same.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often in a row a member joins again that the brokers took for another's.
pub const REJOINS_MAX: u32 = 5;

/// A member of a group that reads one topic.
pub struct Member {
    consumer: BaseConsumer<Context>,
    topic: String,
    brokers: String,
    instance: String,
}

/// What a poll gave.
pub enum Polled<'a> {
    /// A record.
    Record(Record<'a>),
    /// Everything of this partition has been read; it may go on.
    End(i32),
    /// These partitions are ours now: `Member::start` begins to read them.
    Given(Vec<i32>),
    /// These partitions are taken: commit, then `Member::let_go`.
    Taken {
        /// The partitions.
        partitions: Vec<i32>,
        /// Others may have them already: nothing more can be committed.
        is_lost: bool,
    },
    /// A committed or asked-for offset is not there: retention has overtaken it.
    OutOfRange,
    /// The brokers can't be reached at present, in the client's words.
    Away(String),
    /// Nothing for now.
    Nothing,
}

/// A record as it came.
pub struct Record<'a>(BorrowedMessage<'a>);

/// What was committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The offset of the record to be read next.
    pub offset: i64,
    /// What was kept with it.
    pub metadata: String,
}

impl Record<'_> {
    /// Its partition.
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its offset.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its value; empty where there is none.
    pub fn value(&self) -> &[u8] {
        self.0.payload().unwrap_or_default()
    }

    /// The value of the header of this name, if it has one.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.headers()?.iter().find(|header| header.key == name)?.value
    }

    /// Kafka's time of it in milliseconds since the epoch, if it has any.
    pub fn milliseconds(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }
}

impl Member {
    /// Joins `group` as `instance`, which no other process may use at the same time, to read `topic`, which must exist. Waits for the
    /// brokers until `patience` is over.
    pub fn join(
        settings: &Settings,
        (group, instance): (&str, &str),
        topic: &str,
        patience: Duration,
    ) -> Result<Member, KafkaError> {
        let session = SESSION_TIMEOUT.as_millis().to_string();
        let config = settings.tuned_client(
            &[
                ("fetch.wait.max.ms", "100"),
                // A queue that was full is empty again much sooner than after the client's second.
                ("fetch.queue.backoff.ms", "10"),
                // New partitions are found by it.
                ("topic.metadata.refresh.interval.ms", "10000"),
            ],
            &[
                ("group.id", group),
                ("group.instance.id", instance),
                ("session.timeout.ms", &session),
                ("heartbeat.interval.ms", "1000"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
                ("partition.assignment.strategy", "roundrobin"),
                // Last stable offsets are told by it, without a question of ours.
                ("statistics.interval.ms", "1000"),
            ],
        )?;
        let attempted = format!("read '{topic}' as a member of the group '{group}'");
        let of = |error: ClientError| KafkaError::of(attempted.clone(), &settings.brokers, &error);
        let context = Context { topic: topic.to_owned(), ..Context::default() };
        let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(of)?;
        let member = Member {
            consumer,
            topic: topic.to_owned(),
            brokers: settings.brokers.clone(),
            instance: instance.to_owned(),
        };
        member.partitions(patience)?;
        member.consumer.subscribe(&[topic]).map_err(of)?;
        Ok(member)
    }

    /// How many partitions the topic has. Waits for the brokers until `patience` is over.
    pub fn partitions(&self, patience: Duration) -> Result<i32, KafkaError> {
        partitions_of(&self.consumer, (&self.brokers, &self.topic), patience)
    }

    /// What comes next; waits for it at most `timeout`.
    pub fn poll(&self, timeout: Duration) -> Result<Polled<'_>, KafkaError> {
        match self.consumer.poll(timeout) {
            None => Ok(self.take_change().unwrap_or(Polled::Nothing)),
            Some(Ok(message)) => Ok(Polled::Record(Record(message))),
            Some(Err(ClientError::PartitionEOF(partition))) => Ok(Polled::End(partition)),
            Some(Err(error)) => self.judge(&error),
        }
    }

    /// What a rebalance in the last poll brought. Such a poll gives no record.
    fn take_change(&self) -> Option<Polled<'_>> {
        let changes = &self.consumer.context().changes;
        match changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()? {
            Change::Given(partitions) => Some(Polled::Given(partitions)),
            Change::Taken(partitions) => Some(Polled::Taken { partitions, is_lost: self.consumer.assignment_lost() }),
        }
    }

    fn judge(&self, error: &ClientError) -> Result<Polled<'_>, KafkaError> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Ok(Polled::OutOfRange),
            // Its partitions are taken next, which says what there is to say.
            Some(Code::PollExceeded) => Ok(Polled::Nothing),
            Some(Code::FencedInstanceId | Code::Fenced) => Err(KafkaError::Fenced { name: self.instance.clone() }),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                let (topic, brokers) = (self.topic.clone(), self.brokers.clone());
                Err(KafkaError::NoTopic { attempted: "read on", topic, brokers })
            }
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication,
            ) => Err(KafkaError::of(format!("read '{}'", self.topic), &self.brokers, error)),
            _ if matches!(error, ClientError::MessageConsumptionFatal(_)) => {
                Err(KafkaError::of(format!("read '{}'", self.topic), &self.brokers, error))
            }
            // Brokers that go away, coordinators that move: the client tries again by itself.
            _ => Ok(Polled::Away(words(error))),
        }
    }

    /// Whether our partitions are about to be taken, for others have them already. Then they must not be begun anew: a poll will say
    /// `Polled::Taken`.
    pub fn is_lost(&self) -> bool {
        let changes = &self.consumer.context().changes;
        self.consumer.assignment_lost() || !changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Begins to read partitions that were given, each at an offset; or begins anew there with all that are ours.
    pub fn start(&self, offsets: &[(i32, i64)]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for &(partition, offset) in offsets {
            let added = list.add_partition_offset(&self.topic, partition, Offset::Offset(offset));
            added.map_err(|error| self.failed("begin to read", &error))?;
        }
        let failed = |error: ClientError| self.failed("begin to read", &error);
        self.consumer.assign(&list).map_err(failed)?;
        self.await_stops().map_err(failed)
    }

    /// Lets all partitions go, for others to read.
    pub fn let_go(&self) -> Result<(), KafkaError> {
        let failed = |error: ClientError| self.failed("leave the partitions of", &error);
        self.consumer.unassign().map_err(failed)?;
        self.await_stops().map_err(failed)
    }

    /// Waits until the client has stopped reading what was assigned before: it ends the process where partitions are taken from it
    /// again meanwhile (confluentinc/librdkafka#5573). Its thread takes orders one by one. Behind the first question it has stopped
    /// them all, and behind the second it has noted that. What it takes back by itself, after a fatal error, is not guarded so.
    fn await_stops(&self) -> Result<(), ClientError> {
        for _ in 0..2 {
            self.consumer.assignment()?;
        }
        Ok(())
    }

    /// Who we are in the group at this moment.
    pub fn metadata(&self) -> Option<GroupMetadata> {
        self.consumer.group_metadata().map(|metadata| GroupMetadata(metadata.into()))
    }

    /// What is committed for these partitions; waits where a transaction that has offsets of them is open still.
    pub fn committed(&self, partitions: &[i32]) -> Result<Vec<Option<Committed>>, KafkaError> {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        // An open transaction ends by itself after a while. A partition without an answer is not one without an offset.
        let list = self.ask("look up the committed offsets of", |limit| {
            let list = self.consumer.committed_offsets(list.clone(), limit)?;
            list.elements().iter().try_for_each(|entry| entry.error())?;
            Ok(list)
        })?;
        let found = list.elements_for_topic(&self.topic);
        let of = |partition: i32| {
            let entry = found.iter().find(|entry| entry.partition() == partition)?;
            match entry.offset() {
                Offset::Offset(offset) => Some(Committed { offset, metadata: entry.metadata().to_owned() }),
                _ => None,
            }
        };
        Ok(partitions.iter().map(|&partition| of(partition)).collect())
    }

    /// The first offset of a partition that is there, and the one behind the last that can be read: the last stable offset.
    pub fn bounds(&self, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.ask("look up the ends of", |limit| self.consumer.fetch_watermarks(&self.topic, partition, limit))
    }

    /// The last stable offset, if the brokers tell it at once.
    pub fn stable_now(&self, partition: i32) -> Option<i64> {
        self.consumer.fetch_watermarks(&self.topic, partition, Duration::from_secs(1)).ok().map(|(_, stable)| stable)
    }

    fn ask<T>(&self, attempted: &str, question: impl Fn(Duration) -> Result<T, ClientError>) -> Result<T, KafkaError> {
        ask(PATIENCE, question).map_err(|error| self.failed(attempted, &error))
    }

    /// The last stable offset of a partition, as the fetches of the last seconds told.
    pub fn stable(&self, partition: i32) -> Option<i64> {
        let stable = self.consumer.context().stable.lock().unwrap_or_else(PoisonError::into_inner);
        stable.get(&partition).copied()
    }

    /// The offset behind the last record of a partition, open transactions included, as the last fetch told.
    pub fn high(&self, partition: i32) -> Option<i64> {
        native::high_watermark(self.consumer.client(), &self.topic, partition)
    }

    /// The first offset whose record's time is at least `milliseconds`; that behind the last record if there is none.
    pub fn offset_at(&self, partition: i32, milliseconds: i64) -> Result<i64, KafkaError> {
        self.ask("look up a time in", |limit| offset_at(&self.consumer, &self.topic, (partition, milliseconds), limit))
    }

    fn failed(&self, attempted: &str, error: &ClientError) -> KafkaError {
        KafkaError::of(format!("{attempted} '{}'", self.topic), &self.brokers, error)
    }
}

enum Change {
    Given(Vec<i32>),
    Taken(Vec<i32>),
}

/// Notes rebalances, and what the client tells of partitions, for the polling loop, which answers them when it is ready.
#[derive(Default)]
struct Context {
    topic: String,
    changes: Mutex<VecDeque<Change>>,
    /// The last stable offset by partition.
    stable: Mutex<HashMap<i32, i64>>,
    is_leaving: AtomicBool,
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let known = topic.partitions.values().filter(|partition| partition.partition >= 0 && partition.ls_offset >= 0);
        let known = known.map(|partition| (partition.partition, partition.ls_offset)).collect();
        *self.stable.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Context>, error: ResponseError, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(|entry| entry.partition()).collect();
        let change = match error {
            ResponseError::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Given(partitions),
            _ => Change::Taken(partitions),
        };
        // While the member leaves for good nobody polls for changes any more.
        if self.is_leaving.load(Ordering::Relaxed) {
            let _ = consumer.unassign();
            return;
        }
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}

impl Drop for Member {
    /// Leaves the group: its partitions go to others once the session is over, or back to this instance when it comes again.
    fn drop(&mut self) {
        self.consumer.context().is_leaving.store(true, Ordering::Relaxed);
        let _ = self.consumer.unassign();
    }
}
