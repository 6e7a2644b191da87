//! Topics that are ours alone: made when they are missing, read by ranges, trimmed behind what is still needed.
//!
//! Knows nothing of what their records mean.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::kafka::error::{KafkaError, words};
use crate::kafka::group::partitions_of;
use crate::kafka::settings::Settings;

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
    let admin = admin(settings)?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "delete")
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1");
    let attempted = || format!("make the topic '{topic}'");
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT));
    let made = wait(admin.create_topics([&new], &options));
    let made = made.map_err(|error| KafkaError::of(attempted(), &settings.brokers, &error))?;
    for result in made {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((_, code)) => {
                return Err(KafkaError::of(attempted(), &settings.brokers, &ClientError::AdminOp(code)));
            }
        }
    }
    self::partitions(settings, topic, patience)
}

/// Deletes the records before these offsets, by partition. What can't be deleted now can be another time: that is not told.
pub struct Trimmer {
    admin: AdminClient<DefaultClientContext>,
}

impl Trimmer {
    /// Of this cluster.
    pub fn new(settings: &Settings) -> Result<Trimmer, KafkaError> {
        Ok(Trimmer { admin: admin(settings)? })
    }

    /// Deletes the records of a partition before `offset`.
    pub fn trim(&self, topic: &str, partition: i32, offset: i64) -> Result<(), String> {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, partition, Offset::Offset(offset));
        added.map_err(|error| words(&error))?;
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        wait(self.admin.delete_records(&list, &options)).map(drop).map_err(|error| words(&error))
    }
}

/// Hands every record of `from..to` of a partition to `each`, with its offset, as a reader of committed records sees them.
pub fn read_range(
    settings: &Settings,
    (topic, partition): (&str, i32),
    (from, to): (i64, i64),
    mut each: impl FnMut(i64, &[u8]),
) -> Result<(), KafkaError> {
    let failed = |error: ClientError| KafkaError::of(format!("read '{topic}'"), &settings.brokers, &error);
    let config = settings.client(&[
        ("group.id", "evkit"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("fetch.wait.max.ms", "50"),
    ])?;
    let consumer: BaseConsumer = config.create().map_err(failed)?;
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
            Some(Ok(_)) => return Ok(()),
            // Its end may be found before a transaction that was just committed can be seen.
            Some(Err(ClientError::PartitionEOF(_))) | None => {
                let end = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(failed)?.1;
                let position = consumer.position().map_err(failed)?;
                let at = position.find_partition(topic, partition).map(|found| found.offset());
                if matches!(at, Some(Offset::Offset(at)) if at >= to) && end >= to {
                    return Ok(());
                }
            }
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => return Err(failed(error)),
                _ => {}
            },
        }
    }
    Err(KafkaError::Unavailable {
        attempted: format!("read '{topic}' from {from} to {to}"),
        brokers: settings.brokers.clone(),
        cause: "nothing comes".to_owned(),
    })
}

fn admin(settings: &Settings) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
    let made = settings.client(&[])?.create();
    made.map_err(|error| KafkaError::of("administer topics", &settings.brokers, &error))
}

/// Waits for what a client's own thread brings about.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
