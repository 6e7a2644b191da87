//! A topic as a source of blocks: each partition read by itself, from a place to a place, without a group.
//!
//! Records become lines, each stamped with its offset and the log's time. The client fetches ahead within its own bounds, partition
//! by partition, so one that is not polled holds nothing else up. Knows nothing of what records mean.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::kafka::ask::{NEWS, ask, offset_at, partitions_of};
use crate::kafka::error::{KafkaError, words};
use crate::kafka::native::{Batches, high_watermark, topic_id};
use crate::kafka::settings::Settings;
use crate::partition::PartitionId;
use crate::record::{Block, Stamp};
use crate::source::{Polled, Source, SourceError, Waker};
use crate::time::{Clock, Timestamp};

/// A block is cut once it is longer than this.
const BLOCK_BYTES: usize = 512 << 10;

/// How long a question to the brokers may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The client's own events (brokers lost, rights refused) are looked at so often.
const SERVE_EVERY: Duration = Duration::from_millis(200);

/// Where each partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the first record that is there.
    Earliest,
    /// With the next record.
    Latest,
    /// With the first record whose time in the log is at least this.
    At(Timestamp),
}

/// A topic, read.
pub struct TopicSource {
    consumer: Arc<BaseConsumer>,
    lanes: Vec<Lane>,
    topic: String,
    clock: Arc<dyn Clock>,
    signal: Arc<Signal>,
    served: Instant,
    failure: Option<String>,
}

/// Where a partition begins.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its number.
    pub partition: i32,
    /// Its name in messages.
    pub name: &'a str,
    /// The offset of the record to be read first.
    pub start: i64,
    /// The first offset that is there.
    pub low: i64,
}

struct Lane {
    /// There once reading has begun: the queue that tells when something has come, and what is read from it.
    queue: Option<(PartitionQueue<DefaultConsumerContext>, Batches<DefaultConsumerContext>)>,
    name: String,
    partition: i32,
    low: i64,
    /// The end of the partition when reading began, where it is read no further.
    end: Option<i64>,
    next: i64,
    /// The offset at which everything had been read, if nothing has come since.
    at_end: Option<i64>,
    is_over: bool,
}

/// Ends waits.
#[derive(Default)]
struct Signal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl TopicSource {
    /// Reads `topic` from the beginning that `from` names; with `to_end` up to the end that each partition has now. Waits for the brokers,
    /// and for each partition's leader, until `patience` is over.
    pub fn open(
        settings: &Settings,
        topic: &str,
        (from, to_end): (From, bool),
        clock: &Arc<dyn Clock>,
        patience: Duration,
    ) -> Result<TopicSource, KafkaError> {
        let config = settings.tuned_client(
            &[
                ("fetch.wait.max.ms", "100"),
                // A queue that was full is empty again much sooner than after the client's second.
                ("fetch.queue.backoff.ms", "10"),
            ],
            &[
                ("group.id", "evkit"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
            ],
        )?;
        let failed = |error: ClientError| KafkaError::of(format!("read '{topic}'"), &settings.brokers, &error);
        let consumer: Arc<BaseConsumer> = Arc::new(config.create().map_err(failed)?);
        let started = Instant::now();
        // Brokers that come back at the last moment are not asked in vain.
        let left = || patience.saturating_sub(started.elapsed()).max(NEWS.min(patience));
        let partitions = partitions_of(&consumer, (&settings.brokers, topic), left())?;
        let mut lanes = Vec::new();
        for partition in 0..partitions {
            let ends = |limit| consumer.fetch_watermarks(topic, partition, limit);
            let (low, high) = ask(left(), ends).map_err(failed)?;
            let start = match from {
                From::Earliest => low,
                From::Latest => high,
                From::At(time) => {
                    let at = (partition, time.0.div_euclid(1000));
                    ask(left(), |limit| offset_at(&consumer, topic, at, limit)).map_err(failed)?.max(low)
                }
            };
            let end = to_end.then_some(high);
            lanes.push(Lane {
                queue: None,
                name: format!("kafka://{}/{topic}[{partition}]", settings.brokers),
                partition,
                low,
                end,
                next: start,
                at_end: None,
                is_over: end.is_some_and(|end| start >= end),
            });
        }
        Ok(TopicSource {
            consumer,
            lanes,
            topic: topic.to_owned(),
            clock: Arc::clone(clock),
            signal: Arc::new(Signal::default()),
            served: Instant::now(),
            failure: None,
        })
    }

    /// The ids of the cluster and of the topic, as far as the brokers tell them: what tells it from others of its name.
    pub fn identity(&self) -> (Option<String>, Option<String>) {
        let client = self.consumer.client();
        let cluster = client.fetch_cluster_id(QUESTION_TIMEOUT).filter(|id| !id.is_empty());
        (cluster, topic_id(client, &self.topic, QUESTION_TIMEOUT))
    }

    /// Where each partition begins.
    pub fn bounds(&self) -> impl Iterator<Item = Bounds<'_>> {
        self.lanes.iter().map(|lane| Bounds {
            topic: &self.topic,
            partition: lane.partition,
            name: &lane.name,
            start: lane.next,
            low: lane.low,
        })
    }

    /// Begins to read, once all seeks are made.
    fn begin(&mut self) -> Result<(), SourceError> {
        if self.lanes.iter().all(|lane| lane.queue.is_some()) {
            return Ok(());
        }
        let failed = |cause: String| SourceError::Topic { name: self.topic.clone(), cause, is_unavailable: false };
        let mut list = TopicPartitionList::new();
        for lane in self.lanes.iter().filter(|lane| !lane.is_over) {
            let added = list.add_partition_offset(&self.topic, lane.partition, Offset::Offset(lane.next));
            added.map_err(|error| failed(words(&error)))?;
        }
        self.consumer.assign(&list).map_err(|error| failed(words(&error)))?;
        for lane in &mut self.lanes {
            let split = self.consumer.split_partition_queue(&self.topic, lane.partition);
            let mut queue = split.ok_or_else(|| failed(format!("there is no partition {}", lane.partition)))?;
            let signal = Arc::clone(&self.signal);
            queue.set_nonempty_callback(move || signal.set());
            let batches = Batches::of(&self.consumer, &self.topic, lane.partition);
            lane.queue = Some((queue, batches.ok_or_else(|| failed("it has no queue".to_owned()))?));
        }
        self.recall_strays().map_err(failed)
    }

    /// What was fetched before its partition had a queue of its own came into the one of all, where nobody looks for it: those
    /// partitions are read again from where they begin.
    fn recall_strays(&self) -> Result<(), String> {
        let mut strayed = BTreeSet::new();
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            match polled {
                Ok(record) => strayed.insert(record.partition()),
                Err(ClientError::PartitionEOF(partition)) => strayed.insert(partition),
                Err(_) => false,
            };
        }
        for lane in self.lanes.iter().filter(|lane| strayed.contains(&lane.partition)) {
            let back = self.consumer.seek(&self.topic, lane.partition, Offset::Offset(lane.next), QUESTION_TIMEOUT);
            back.map_err(|error| words(&error))?;
        }
        Ok(())
    }

    /// Reads a partition again from where it is, after a record of it came another way; fails if it is beyond that record.
    fn recall(&self, partition: i32, offset: i64) -> Result<(), String> {
        let Some(lane) = self.lanes.iter().find(|lane| lane.partition == partition) else { return Ok(()) };
        if lane.next > offset {
            return Err(format!("the record at offset {offset} came after later ones; read it again"));
        }
        let back = self.consumer.seek(&self.topic, partition, Offset::Offset(lane.next), QUESTION_TIMEOUT);
        back.map_err(|error| words(&error))
    }

    /// Lets the client do its own work, and looks for what it has to say.
    fn serve(&mut self) {
        if self.served.elapsed() < SERVE_EVERY {
            return;
        }
        self.served = Instant::now();
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            let error = match polled {
                Err(error) => error,
                // One that was under way while its partition was given a queue of its own.
                Ok(record) => {
                    self.failure = self.recall(record.partition(), record.offset()).err();
                    continue;
                }
            };
            // Brokers that go away: the client tries again by itself.
            if let Some(
                Code::TopicAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition,
            ) = error.rdkafka_error_code()
            {
                self.failure = Some(words(&error));
            }
        }
    }
}

impl Source for TopicSource {
    fn partitions(&self) -> usize {
        self.lanes.len()
    }

    fn name(&self, partition: PartitionId) -> &str {
        &self.lanes[partition.0 as usize].name
    }

    /// Here an offset is that of a record.
    fn seek(&mut self, partition: PartitionId, offset: u64) {
        let lane = &mut self.lanes[partition.0 as usize];
        lane.next = offset as i64;
        lane.is_over = lane.end.is_some_and(|end| lane.next >= end);
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        self.begin()?;
        self.serve();
        let now = self.clock.now();
        let lane = &mut self.lanes[partition.0 as usize];
        if let Some(cause) = self.failure.clone() {
            return Err(SourceError::Topic { name: lane.name.clone(), cause, is_unavailable: true });
        }
        let (mut bytes, mut stamps) = (Vec::new(), Vec::new());
        let mut failed = None;
        while !lane.is_over && failed.is_none() && bytes.len() < BLOCK_BYTES {
            let (_, batches) = lane.queue.as_mut().expect("reading has begun");
            let (next, end) = (&mut lane.next, lane.end);
            let (at_end, is_over) = (&mut lane.at_end, &mut lane.is_over);
            let count = batches.read(|record| match record.error {
                // Its end lies at or behind the one that it had when reading began.
                Some(Code::PartitionEOF) => {
                    *at_end = Some(record.offset);
                    *is_over |= end.is_some();
                }
                Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => failed = Some(*next),
                // The client tries again by itself.
                Some(_) => {}
                None if end.is_some_and(|end| record.offset >= end) => *is_over = true,
                None => {
                    *at_end = None;
                    *next = record.offset + 1;
                    *is_over = end.is_some_and(|end| *next >= end);
                    let time = record.milliseconds.map_or(now, |ms| Timestamp(ms.saturating_mul(1000)));
                    let stamp = Stamp { offset: record.offset as u64, time, seen_until: Timestamp::MIN };
                    if record.key.starts_with(MARK) {
                        push_line(record.key, &mut bytes);
                        stamps.push(stamp);
                    }
                    push_line(record.value, &mut bytes);
                    stamps.push(stamp);
                }
            });
            if count == 0 {
                break;
            }
        }
        if let Some(next) = failed.filter(|_| stamps.is_empty()) {
            let cause = format!("retention has dropped the records from offset {next} on");
            return Err(SourceError::Topic { name: lane.name.clone(), cause, is_unavailable: false });
        }
        if !stamps.is_empty() {
            let offset = stamps[0].offset;
            let stamps = Some(stamps.into());
            return Ok(Polled::Block(Block { partition, offset, from: 0, arrival: now, stamps, bytes }));
        }
        Ok(if lane.is_over { Polled::End } else { Polled::Pending })
    }

    fn wait(&mut self, _partitions: &[PartitionId], timeout: Option<Duration>) {
        let timeout = timeout.unwrap_or(SERVE_EVERY).min(SERVE_EVERY);
        self.signal.wait(timeout);
        self.serve();
    }

    fn waker(&self) -> Waker {
        let signal = Arc::clone(&self.signal);
        Waker::new(move || signal.set())
    }

    /// Only what the brokers say anew counts: an outage is no silence, and neither is an open transaction.
    fn is_silent(&mut self, partition: PartitionId) -> bool {
        let lane = &self.lanes[partition.0 as usize];
        let Some(at_end) = lane.at_end else { return false };
        let bounds = self.consumer.fetch_watermarks(&self.topic, lane.partition, Duration::from_secs(1));
        let high = high_watermark(self.consumer.client(), &self.topic, lane.partition);
        bounds.is_ok_and(|(_, stable)| stable <= at_end && high.is_none_or(|high| high <= stable))
    }
}

impl Signal {
    fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self, timeout: Duration) {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(is_set, timeout, |is_set| !*is_set);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// A key that begins like this is a line that stands before its record: what is said of it has no place in a value that is to stay as
/// it was.
pub const MARK: &[u8] = b"{\"late_for\":";

/// Appends a record as a line. Line feeds are space in JSON, but not in its strings, and so are tabs.
pub fn push_line(record: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(record);
    for at in memchr::memchr_iter(b'\n', record) {
        out[start + at] = b'\t';
    }
    out.push(b'\n');
}
