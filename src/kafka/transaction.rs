//! Transactions: records to any topics and the offsets of what they were made from, all of them or none.
//!
//! Whoever loses a transaction can't know whether it was committed: the broker may have taken it and its answer been lost. So there is
//! one way out of every failure: drop the `Transaction`, open it again under the same name (which ends what the old one left open),
//! look at the committed offsets, and go on from there. Knows nothing of what the records mean.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::kafka::error::{KafkaError, words};
use crate::kafka::internal::RECORD_BYTES_MAX;
use crate::kafka::native::{self, Flags};
use crate::kafka::settings::Settings;

/// A transaction that lasts longer than this is aborted by the broker.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one call may take, and how often it is made again: a broker that is started anew is away for some 20 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CALLS_MAX: usize = 6;

/// A call that takes longer does not come back: librdkafka waits without bound for the coordinator of a group where that broker has left
/// the cluster (confluentinc/librdkafka#5456 and #5511, seen with one of three brokers killed). By then the broker has aborted what was open.
const CALL_BOUND: Duration = TRANSACTION_TIMEOUT;
const HURRIED_BOUND: Duration = Duration::from_secs(5);

/// How long a try to open lasts, and the pause before the next.
const OPEN_TRY: Duration = Duration::from_secs(5);
const OPEN_PAUSE: Duration = Duration::from_millis(500);

/// A producer whose records become visible together with the offsets that they were made from.
pub struct Transaction {
    producer: Arc<ThreadedProducer<Deliveries>>,
    name: String,
    brokers: String,
    is_open: bool,
    calls_max: usize,
    call_bound: Duration,
}

/// One record to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; where it is left out the key decides as Java's clients do, and without a key any may be taken.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: &'a [u8],
    /// Names and values.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Told back with the record's offset by `Transaction::delivered` when it is not 0.
    pub tag: usize,
}

/// An offset to be committed: that of the record to be read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextOffset {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Text that is kept with it; the broker takes 4096 bytes.
    pub metadata: String,
}

/// Where a tagged record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Its tag.
    pub tag: usize,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// Why a transaction did not come about.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// It may have been committed or not. Open it anew and look.
    #[error("lost a transaction of '{name}': {cause}")]
    Lost {
        /// The transactional id.
        name: String,
        /// The client's words.
        cause: String,
        /// Whether the broker said that another producer has our name, or our time ran out.
        is_fenced: bool,
    },
    /// There is no going on.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl Transaction {
    /// Ends what an earlier producer of this name has left open and makes ready to begin. Tries until `patience` is over.
    pub fn open(settings: &Settings, name: &str, patience: Duration) -> Result<Transaction, KafkaError> {
        let timeout = TRANSACTION_TIMEOUT.as_millis().to_string();
        let config = settings.tuned_client(
            &[
                // lz4 costs least for what it saves.
                ("compression.codec", "lz4"),
                ("linger.ms", "2"),
                ("message.max.bytes", RECORD_BYTES_MAX),
                // Markers of the last transaction are written while the next one begins: waiting 100 ms for them is too long.
                ("retry.backoff.ms", "5"),
            ],
            &[
                ("transactional.id", name),
                ("transaction.timeout.ms", &timeout),
                ("message.timeout.ms", &timeout),
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("partitioner", "murmur2_random"),
            ],
        )?;
        let started = Instant::now();
        loop {
            let attempted = || format!("begin transactions as '{name}'");
            let made = config.create_with_context(Deliveries::default());
            let producer: ThreadedProducer<Deliveries> =
                made.map_err(|error| KafkaError::of(attempted(), &settings.brokers, &error))?;
            let left = patience.saturating_sub(started.elapsed());
            match producer.init_transactions(OPEN_TRY.min(left).max(Duration::from_secs(1))) {
                Ok(()) => {
                    let (name, brokers) = (name.to_owned(), settings.brokers.clone());
                    let (producer, calls_max, call_bound) = (Arc::new(producer), CALLS_MAX, CALL_BOUND);
                    return Ok(Transaction { producer, name, brokers, is_open: false, calls_max, call_bound });
                }
                Err(error) => {
                    let is_refused =
                        matches!(&error, ClientError::Transaction(cause) if cause.is_fatal() && !cause.is_retriable());
                    if started.elapsed() >= patience || is_refused {
                        return Err(KafkaError::of(attempted(), &settings.brokers, &error));
                    }
                }
            }
            std::thread::sleep(OPEN_PAUSE.min(patience.saturating_sub(started.elapsed())));
        }
    }

    /// The transactional id.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on nothing is waited for longer than one call.
    pub fn hurry(&mut self) {
        (self.calls_max, self.call_bound) = (1, HURRIED_BOUND);
    }

    /// Whether anything was begun that is yet to be committed or aborted.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Hands a record to the client, beginning a transaction if none is open. Waits while the client's queue is full.
    pub fn send(&mut self, record: &Outgoing) -> Result<(), TransactionError> {
        self.begin()?;
        let mut made: BaseRecord<[u8], [u8], usize> =
            BaseRecord::with_opaque_to(record.topic, record.tag).payload(record.value);
        made.key = record.key;
        made.partition = record.partition;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let add = |headers: OwnedHeaders, (key, value): &(&str, &[u8])| {
                headers.insert(Header { key, value: Some(*value) })
            };
            made.headers = Some(record.headers.iter().fold(headers, add));
        }
        let started = Instant::now();
        loop {
            match self.producer.send(made) {
                Ok(()) => return Ok(()),
                Err((ClientError::MessageProduction(Code::QueueFull), back))
                    if started.elapsed() < TRANSACTION_TIMEOUT =>
                {
                    made = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error @ ClientError::MessageProduction(Code::MessageSizeTooLarge), _)) => {
                    let attempted = format!("write a record of {} bytes to '{}'", record.value.len(), record.topic);
                    return Err(KafkaError::of(attempted, &self.brokers, &error).into());
                }
                Err((error, _)) => return Err(self.lost(words(&error), false)),
            }
        }
    }

    /// Waits until every record was acknowledged, and tells where the tagged ones were written, in the order of their tags.
    pub fn delivered(&mut self) -> Result<Vec<Delivered>, TransactionError> {
        self.producer.flush(CALL_TIMEOUT * 2).map_err(|error| self.lost(words(&error), false))?;
        let deliveries = self.producer.context();
        let mut delivered = std::mem::take(&mut *deliveries.tagged.lock().unwrap_or_else(PoisonError::into_inner));
        delivered.sort_by_key(|delivered| delivered.tag);
        self.check_deliveries()?;
        Ok(delivered)
    }

    /// Adds offsets of `topic` to the transaction. `group` must have been taken with the records that they were made from: then the broker
    /// refuses them if the partitions have changed hands since.
    pub fn send_offsets(
        &mut self,
        topic: &str,
        offsets: &[NextOffset],
        group: &GroupMetadata,
    ) -> Result<(), TransactionError> {
        self.begin()?;
        let mut list = TopicPartitionList::new();
        for NextOffset { partition, offset, metadata } in offsets {
            let mut entry = list.add_partition(topic, *partition);
            entry.set_metadata(metadata);
            let set = entry.set_offset(Offset::Offset(*offset));
            set.map_err(|error| KafkaError::of("commit offsets", &self.brokers, &error))?;
        }
        let list = Arc::new(list);
        for call in 1.. {
            let (list, group) = (Arc::clone(&list), Arc::clone(&group.0));
            match self.bounded(move |producer| producer.send_offsets_to_transaction(&list, &group, CALL_TIMEOUT))? {
                Ok(()) => break,
                Err(ClientError::Transaction(cause))
                    if cause.is_retriable()
                        && !cause.is_fatal()
                        && !cause.txn_requires_abort()
                        && call < self.calls_max => {}
                Err(error) => return Err(self.lost_by(&error)),
            }
        }
        Ok(())
    }

    /// Commits. All records and offsets become visible a little later, together.
    pub fn commit(&mut self) -> Result<(), TransactionError> {
        if !self.is_open {
            return Ok(());
        }
        for call in 1.. {
            match native::commit(&self.producer, CALL_TIMEOUT) {
                Ok(()) => break,
                Err(flags) if flags.is_retriable && !flags.is_fatal && !flags.must_abort && call < self.calls_max => {}
                Err(Flags { words, is_fenced, .. }) => return Err(self.lost(words, is_fenced)),
            }
        }
        self.is_open = false;
        self.check_deliveries()
    }

    /// Gives up what was begun, as far as the broker can be told: opening anew does the rest.
    pub fn abort(mut self) {
        if std::mem::take(&mut self.is_open) {
            // An abort with records in flight can spoil the next transaction.
            let _ = self.producer.flush(Duration::from_secs(5));
            let _ = self.producer.abort_transaction(Duration::from_secs(5));
        }
    }

    /// Makes a call that may never come back, on a thread of its own. One that does not is left behind with its producer, which the next
    /// of the name fences.
    fn bounded<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&ThreadedProducer<Deliveries>) -> T + Send + 'static,
    ) -> Result<T, TransactionError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let producer = Arc::clone(&self.producer);
        let work = move || {
            // Nobody waits for an answer that comes too late.
            let _ = answer.send(call(&producer));
        };
        let begun = std::thread::Builder::new().name("transaction".into()).spawn(work);
        begun.map_err(|error| self.lost(error.to_string(), false))?;
        answered.recv_timeout(self.call_bound).map_err(|_| {
            // Nothing else may be asked of it: it would wait for the same.
            self.is_open = false;
            self.lost(format!("the client has not answered for {} s", self.call_bound.as_secs()), false)
        })
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        if !self.is_open {
            self.producer.begin_transaction().map_err(|error| self.lost_by(&error))?;
            self.is_open = true;
        }
        Ok(())
    }

    /// A record that was refused fails the transaction anyway; this names the reason.
    fn check_deliveries(&self) -> Result<(), TransactionError> {
        let failed = self.producer.context().failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), |cause| Err(self.lost(cause, false)))
    }

    fn lost_by(&self, error: &ClientError) -> TransactionError {
        let is_fenced = matches!(error.rdkafka_error_code(), Some(Code::Fenced | Code::ProducerFenced));
        self.lost(error.to_string(), is_fenced)
    }

    fn lost(&self, cause: String, is_fenced: bool) -> TransactionError {
        let refused = self.producer.context().failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        TransactionError::Lost { name: self.name.clone(), cause: refused.unwrap_or(cause), is_fenced }
    }
}

/// Who we are in a consumer group, at one moment: what the broker fences by.
pub struct GroupMetadata(pub(in crate::kafka) Arc<ConsumerGroupMetadata>);

/// What became of records.
#[derive(Default)]
struct Deliveries {
    tagged: Mutex<Vec<Delivered>>,
    failed: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        match result {
            Ok(record) if tag != 0 => {
                let delivered = Delivered { tag, partition: record.partition(), offset: record.offset() };
                self.tagged.lock().unwrap_or_else(PoisonError::into_inner).push(delivered);
            }
            Ok(_) => {}
            // Records that go with an abort say so; what made it necessary came first.
            Err((error, record)) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert_with(|| format!("a record for '{}': {}", record.topic(), words(error)));
            }
        }
    }
}
