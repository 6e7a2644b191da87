//! Where accepted events go: lines to a file or pipe, records to a topic.
//!
//! Knows nothing of how events are judged.

use crate::kafka::producer::{ProduceError, Producer};
use crate::kafka::transaction::TransactionError;
use crate::partition::PartitionId;
use crate::pipeline::archive::KeepingError;
use crate::pipeline::ingest::positions::{Position, PositionsError};
use crate::sink::{Sink, SinkError};
use crate::time::Timestamp;

/// An event on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The number of its input.
    pub partition: u32,
    /// Where in that it begins.
    pub place: u64,
    /// Its JSON text, without a line feed.
    pub payload: &'a [u8],
    /// What decides its partition, if it has that.
    pub key: Option<&'a [u8]>,
    /// When it happened.
    pub time: Timestamp,
    /// Which version of its type's schema it was judged by; 0 where there are no versions.
    pub schema_version: u32,
}

/// A place for events.
pub trait Delivery {
    /// Takes an event. May wait, where the place is slower than the input.
    fn send(&mut self, event: &Event<'_>) -> Result<(), DeliveryError>;

    /// Everything before this place of an input has had its turn. Whether all that was taken so far is sure to have arrived, and the
    /// place with it.
    fn reached(&mut self, _partition: PartitionId, _position: Position) -> Result<bool, DeliveryError> {
        Ok(false)
    }

    /// Hands on what was taken, without waiting for an answer. To be called before waiting for input.
    fn flush(&mut self) -> Result<(), DeliveryError>;

    /// Makes sure that everything arrived. The output becomes complete only if the run `is_good`: a file then gets its name. To be
    /// called once, at the end.
    fn finish(&mut self, is_good: bool) -> Result<(), DeliveryError>;

    /// Keeps what is kept beside the output, where that can't go on. To be called instead of `finish`.
    fn give_up(&mut self) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// How many events are known to have arrived, where the place tells.
    fn acknowledged(&self) -> Option<u64> {
        None
    }
}

/// Why events could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// To a file or pipe.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// To a topic.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// To a topic, exactly once.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// A transaction was lost while it was committed.
    #[error("{source}")]
    Commit {
        /// How.
        source: TransactionError,
        /// The positions that were to be committed, as text: whoever finds them committed knows that it was.
        positions: String,
    },
    /// To an archive.
    #[error(transparent)]
    Archive(#[from] KeepingError),
    /// Places in files don't fit.
    #[error(transparent)]
    Positions(#[from] PositionsError),
}

/// Events as lines.
pub struct Lines {
    sink: Box<dyn Sink>,
}

impl Lines {
    /// To this sink.
    pub fn new(sink: Box<dyn Sink>) -> Lines {
        Lines { sink }
    }
}

impl Delivery for Lines {
    fn send(&mut self, event: &Event<'_>) -> Result<(), DeliveryError> {
        self.sink.write(event.payload)?;
        Ok(self.sink.write(b"\n")?)
    }

    fn flush(&mut self) -> Result<(), DeliveryError> {
        Ok(self.sink.flush()?)
    }

    fn finish(&mut self, is_good: bool) -> Result<(), DeliveryError> {
        match is_good {
            true => self.sink.finish()?,
            false => self.sink.flush()?,
        }
        Ok(())
    }
}

/// Events as records of a topic, with the headers `schema-version` and `intended-time`.
pub struct Topic {
    producer: Producer,
    headers: Headers,
}

impl Topic {
    /// By this producer.
    pub fn new(producer: Producer) -> Topic {
        Topic { producer, headers: Headers::default() }
    }
}

impl Delivery for Topic {
    fn send(&mut self, event: &Event<'_>) -> Result<(), DeliveryError> {
        let headers = self.headers.of(event);
        Ok(self.producer.send(event.key, event.payload, headers.as_slice())?)
    }

    fn flush(&mut self) -> Result<(), DeliveryError> {
        // The client sends by itself, a few milliseconds after a record came.
        Ok(())
    }

    fn finish(&mut self, _is_good: bool) -> Result<(), DeliveryError> {
        self.producer.finish()?;
        Ok(())
    }

    fn acknowledged(&self) -> Option<u64> {
        Some(self.producer.delivered().acknowledged)
    }
}

/// The headers of a record, in memory that is used again.
#[derive(Debug, Default)]
pub struct Headers {
    time: Vec<u8>,
    version: Vec<u8>,
}

/// One header or two.
pub struct HeaderList<'a> {
    headers: [(&'static str, &'a [u8]); 2],
    len: usize,
}

impl HeaderList<'_> {
    /// Names and values.
    pub fn as_slice(&self) -> &[(&str, &[u8])] {
        &self.headers[..self.len]
    }
}

impl Headers {
    /// Those of an event: its own time, and the version of its schema if it has one.
    pub fn of(&mut self, event: &Event<'_>) -> HeaderList<'_> {
        self.time.clear();
        event.time.write_rfc3339(&mut self.time);
        self.version.clear();
        if event.schema_version > 0 {
            self.version.extend_from_slice(itoa::Buffer::new().format(event.schema_version).as_bytes());
        }
        HeaderList {
            headers: [("intended-time", &self.time), ("schema-version", &self.version)],
            len: 1 + usize::from(event.schema_version > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema_version: u32, expected: &[(&str, &str)]) {
        let event =
            Event { partition: 0, place: 0, payload: b"{}", key: None, time: Timestamp(1_500_000), schema_version };
        let mut headers = Headers::default();
        let list = headers.of(&event);
        let found: Vec<(&str, &str)> =
            list.as_slice().iter().map(|(name, value)| (*name, std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_version_is_told_where_there_is_one() {
        check(0, &[("intended-time", "1970-01-01T00:00:01.500Z")]);
        check(12, &[("intended-time", "1970-01-01T00:00:01.500Z"), ("schema-version", "12")]);
    }
}
