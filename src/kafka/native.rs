//! The one call that is made past the wrapper: its commit waits for its own polls, which costs 100 ms a transaction.

use std::ffi::CStr;
use std::time::Duration;

use rdkafka::bindings;
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
