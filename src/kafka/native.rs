//! What is called past the wrapper: a commit, because the wrapper's waits for its own polls, which costs 100 ms a transaction; what a
//! consumer knows of the high watermark, because the wrapper only asks for the last stable offset; many records at once; and the id of a topic, which the wrapper does not ask for.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};

/// What a failed call of a transaction asks for. The code of an error does not tell; its flags do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// The client's words.
    pub words: String,
    /// The same call may be made again.
    pub is_retriable: bool,
    /// The transaction must be aborted.
    pub must_abort: bool,
    /// The producer can't be used any more.
    pub is_fatal: bool,
    /// Another producer of the same transactional id began, or this one's transaction ran out of time: the broker says the same.
    pub is_fenced: bool,
}

/// Commits a transaction; waits at most `timeout` for all of its records to be acknowledged and for the broker's answer. Something
/// else must serve delivery reports meanwhile, as the thread of a `ThreadedProducer` does.
pub fn commit<C: ProducerContext + 'static>(producer: &ThreadedProducer<C>, timeout: Duration) -> Result<(), Flags> {
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the handle lives as long as `producer`, which is borrowed for the whole call; librdkafka's handles may be used by several
    // threads at once. The error, if there is one, is ours and is destroyed exactly once, after its last use.
    unsafe {
        let error = bindings::rd_kafka_commit_transaction(producer.client().native_ptr(), milliseconds);
        if error.is_null() {
            return Ok(());
        }
        let code = bindings::rd_kafka_error_code(error);
        let flags = Flags {
            words: CStr::from_ptr(bindings::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            is_retriable: bindings::rd_kafka_error_is_retriable(error) != 0,
            must_abort: bindings::rd_kafka_error_txn_requires_abort(error) != 0,
            is_fatal: bindings::rd_kafka_error_is_fatal(error) != 0,
            is_fenced: matches!(
                code,
                bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__FENCED
                    | bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_PRODUCER_FENCED
            ),
        };
        bindings::rd_kafka_error_destroy(error);
        Err(flags)
    }
}

/// The offset behind the last record of a partition that a consumer reads, open transactions included, as its last fetch told.
pub fn high_watermark<C: ClientContext>(client: &Client<C>, topic: &str, partition: i32) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the handle and the name live for the whole call, and both numbers are ours to be written to.
    let code = unsafe {
        bindings::rd_kafka_get_watermark_offsets(client.native_ptr(), topic.as_ptr(), partition, &mut low, &mut high)
    };
    (code == bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// The id that a topic got when it was made; `None` where brokers are too old to have any, or do not answer in time.
pub fn topic_id<C: ClientContext>(client: &Client<C>, topic: &str, timeout: Duration) -> Option<String> {
    /// Of brokers that have no ids.
    const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    let topic = CString::new(topic).ok()?;
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut words: [std::ffi::c_char; 256] = [0; 256];
    let is_good = |code| code == bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: the client's handle and the name live for the whole call. Names, options, queue and event are ours; each is destroyed exactly
    // once, after its last use, the event after what is taken from it. The list has `count` descriptions, and a description's error and
    // id belong to it; an error may be null, which has the code of none.
    let id = unsafe {
        let handle = client.native_ptr();
        let topics = bindings::rd_kafka_TopicCollection_of_topic_names([topic.as_ptr()].as_mut_ptr(), 1);
        let of_this = bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = bindings::rd_kafka_AdminOptions_new(handle, of_this);
        // A time that is out of bounds leaves the default.
        bindings::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds, words.as_mut_ptr(), words.len());
        let queue = bindings::rd_kafka_queue_new(handle);
        bindings::rd_kafka_DescribeTopics(handle, topics, options, queue);
        let event = bindings::rd_kafka_queue_poll(queue, milliseconds);
        let mut found = None;
        if !event.is_null() {
            let result = bindings::rd_kafka_event_DescribeTopics_result(event);
            if !result.is_null() && is_good(bindings::rd_kafka_event_error(event)) {
                let mut count = 0;
                let list = bindings::rd_kafka_DescribeTopics_result_topics(result, &mut count);
                if count == 1
                    && is_good(bindings::rd_kafka_error_code(bindings::rd_kafka_TopicDescription_error(*list)))
                {
                    let id = bindings::rd_kafka_TopicDescription_topic_id(*list);
                    if !id.is_null() {
                        found =
                            Some(CStr::from_ptr(bindings::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned());
                    }
                }
            }
            bindings::rd_kafka_event_destroy(event);
        }
        bindings::rd_kafka_queue_destroy(queue);
        bindings::rd_kafka_AdminOptions_destroy(options);
        bindings::rd_kafka_TopicCollection_destroy(topics);
        found
    };
    id.filter(|id| id != NO_ID)
}

/// Every property of the client and of its topics with its default.
pub fn defaults() -> Vec<(String, String)> {
    // SAFETY: both configurations and the lists made of them are ours; each is freed exactly once, after its last use. A list has `count`
    // strings, name and value by turns.
    unsafe {
        let (client, topic) = (bindings::rd_kafka_conf_new(), bindings::rd_kafka_topic_conf_new());
        let mut properties = Vec::new();
        let mut count = 0;
        let mut take = |list: *mut *const std::ffi::c_char, count: usize| {
            let text = |at: usize| CStr::from_ptr(*list.add(at)).to_string_lossy().into_owned();
            properties.extend((0..count / 2).map(|pair| (text(2 * pair), text(2 * pair + 1))));
            bindings::rd_kafka_conf_dump_free(list, count);
        };
        let list = bindings::rd_kafka_conf_dump(client, &mut count);
        take(list, count);
        let list = bindings::rd_kafka_topic_conf_dump(topic, &mut count);
        take(list, count);
        bindings::rd_kafka_conf_destroy(client);
        bindings::rd_kafka_topic_conf_destroy(topic);
        properties
    }
}

/// Reads many records of a partition's queue at once: the wrapper makes an event of each, and asks for the time twice.
pub struct Batches<C: ConsumerContext + 'static> {
    queue: *mut bindings::rd_kafka_queue_t,
    messages: Vec<*mut bindings::rd_kafka_message_t>,
    /// Outlives the queue.
    _consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used by any thread, and this one's messages are never kept between two calls.
unsafe impl<C: ConsumerContext + 'static> Send for Batches<C> {}

/// A record, or what the queue says in place of one.
#[derive(Debug, Clone, Copy)]
pub struct Queued<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its key; empty where there is none.
    pub key: &'a [u8],
    /// Its value; empty where there is none.
    pub value: &'a [u8],
    /// Its time in milliseconds since the epoch, if it has any.
    pub milliseconds: Option<i64>,
    /// An error in place of a record, or the end of the partition.
    pub error: Option<RDKafkaErrorCode>,
}

/// So many records are taken at once.
const BATCH: usize = 512;

impl<C: ConsumerContext + 'static> Batches<C> {
    /// Of a partition that was assigned to the consumer and split from its main queue.
    pub fn of(consumer: &Arc<BaseConsumer<C>>, topic: &str, partition: i32) -> Option<Batches<C>> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the handle and the name live for the whole call. What comes back is a reference of ours, or null.
        let queue = unsafe {
            bindings::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition)
        };
        let messages = vec![std::ptr::null_mut(); BATCH];
        (!queue.is_null()).then(|| Batches { queue, messages, _consumer: Arc::clone(consumer) })
    }

    /// Hands what is there to `each`, at most `BATCH` records. Never waits. Gives how many there were.
    pub fn read(&mut self, mut each: impl FnMut(Queued)) -> usize {
        // SAFETY: the queue is ours until we are dropped, and `messages` has room for as many as are asked for.
        let count = unsafe { bindings::rd_kafka_consume_batch_queue(self.queue, 0, self.messages.as_mut_ptr(), BATCH) };
        let count = usize::try_from(count).unwrap_or(0);
        for &message in &self.messages[..count] {
            // SAFETY: each of the first `count` messages is valid and ours until it is destroyed, which happens once, after its last use;
            // its payload and its key, where it has them, are `len` and `key_len` bytes that live as long as it does.
            unsafe {
                let found = &*message;
                let value = match found.payload.is_null() {
                    true => &[][..],
                    false => std::slice::from_raw_parts(found.payload.cast::<u8>(), found.len),
                };
                let key = match found.key.is_null() {
                    true => &[][..],
                    false => std::slice::from_raw_parts(found.key.cast::<u8>(), found.key_len),
                };
                let mut kind = bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
                let milliseconds = bindings::rd_kafka_message_timestamp(message, &mut kind);
                let is_error = found.err != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
                each(Queued {
                    offset: found.offset,
                    key: if is_error { &[] } else { key },
                    value: if is_error { &[] } else { value },
                    milliseconds: (milliseconds >= 0).then_some(milliseconds),
                    error: is_error.then(|| found.err.into()),
                });
                bindings::rd_kafka_message_destroy(message);
            }
        }
        count
    }
}

impl<C: ConsumerContext + 'static> Drop for Batches<C> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and is given back once.
        unsafe { bindings::rd_kafka_queue_destroy(self.queue) }
    }
}
