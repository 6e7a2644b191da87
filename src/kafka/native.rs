//! What is called past the wrapper: a commit, because the wrapper's waits for its own polls, which costs 100 ms a transaction; and what a
//! consumer knows of the high watermark, because the wrapper only asks for the last stable offset.

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::bindings;
use rdkafka::client::Client;
use rdkafka::ClientContext;
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

/// Every property of the client with its default.
pub fn defaults() -> Vec<(String, String)> {
    // SAFETY: the configuration and the list made of it are ours; each is freed exactly once, after its last use. The list has `count`
    // strings, name and value by turns.
    unsafe {
        let config = bindings::rd_kafka_conf_new();
        let mut count = 0;
        let list = bindings::rd_kafka_conf_dump(config, &mut count);
        let text = |at: usize| CStr::from_ptr(*list.add(at)).to_string_lossy().into_owned();
        let properties = (0..count / 2).map(|pair| (text(2 * pair), text(2 * pair + 1))).collect();
        bindings::rd_kafka_conf_dump_free(list, count);
        bindings::rd_kafka_conf_destroy(config);
        properties
    }
}
