//! Lines as records of a topic: a sink like any other, for what writes lines and need not know of Kafka.

use crate::batch::{EventBatch, Tag, slot_bytes};
use crate::codec::encode::keyed::SEPARATOR;
use crate::codec::ndjson::Decoder;
use crate::codec::{TimeFrom, Wanted};
use crate::event::Path;
use crate::kafka::producer::{ProduceError, Producer};
use crate::kafka::source::MARK;
use crate::partition::PartitionId;
use crate::record::Block;
use crate::sink::{Sink, SinkError};
use crate::time::Timestamp;

/// A topic that takes each line as a record.
pub struct TopicSink {
    producer: Producer,
    lines: Lines,
    /// What is said of the next line.
    mark: Option<Vec<u8>>,
    /// Records that were known to have arrived when it was last made sure of.
    arrived: u64,
}

/// What lines hold.
enum Lines {
    /// Whatever it is.
    Any,
    /// Events: the decoder finds key and time.
    Events(Box<Decoder>),
    /// Rows, each behind its key.
    Keyed,
}

const KEY: usize = 0;
const TIME: usize = 1;
const LINE_BYTES_MAX: usize = 1 << 30;

impl TopicSink {
    /// Lines of any kind. A mark is the key of the line after it; the others have none.
    pub fn of_lines(producer: Producer) -> TopicSink {
        TopicSink { producer, lines: Lines::Any, mark: None, arrived: 0 }
    }

    /// Events: the value of the field `key` is a record's key, their timestamp its header `intended-time`. A broken line has
    /// neither, and is sent as it is.
    pub fn of_events(producer: Producer, key: Path) -> TopicSink {
        let wanted = Wanted { paths: vec![key, Path::of_keys(&["timestamp"])], time: TimeFrom::Arrival };
        TopicSink {
            producer,
            lines: Lines::Events(Box::new(Decoder::new(&wanted, LINE_BYTES_MAX))),
            mark: None,
            arrived: 0,
        }
    }

    /// What `KeyedEncoder` writes: rows, each behind its key. A flush makes sure that they have arrived, so that whoever keeps how
    /// far it has come does so behind its rows.
    pub fn of_rows(producer: Producer) -> TopicSink {
        TopicSink { producer, lines: Lines::Keyed, mark: None, arrived: 0 }
    }

    fn send_all(&mut self, batch: &EventBatch) -> Result<(), ProduceError> {
        let original = |start: u32, len: u32| &batch.text[start as usize..][..len as usize];
        let mut rejects = batch.rejects.iter().peekable();
        for (row, span) in batch.spans.iter().enumerate() {
            while let Some(reject) = rejects.next_if(|reject| reject.span.line < span.line) {
                self.send(original(reject.span.start, reject.span.len), None, None)?;
            }
            let text = |column: usize| match batch.columns[column].tags[row] {
                Tag::Text => Some(slot_bytes(&batch.text, batch.columns[column].bits[row])),
                _ => None,
            };
            self.send(original(span.start, span.len), text(KEY), text(TIME))?;
        }
        rejects.try_for_each(|reject| self.send(original(reject.span.start, reject.span.len), None, None))
    }

    fn send(&mut self, value: &[u8], key: Option<&[u8]>, time: Option<&[u8]>) -> Result<(), ProduceError> {
        let headers = time.map(|time| [("intended-time", time)]);
        let headers: &[(&str, &[u8])] = headers.as_ref().map_or(&[], |headers| headers);
        self.producer.send(key, value, headers)
    }
}

impl Sink for TopicSink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let mut lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let sent = match &mut self.lines {
            Lines::Any => lines.try_for_each(|value| {
                if value.starts_with(MARK) {
                    self.mark = Some(value.to_vec());
                    return Ok(());
                }
                self.producer.send(self.mark.take().as_deref(), value, &[])
            }),
            Lines::Keyed => lines.try_for_each(|line| {
                let (key, value) = keyed(line);
                self.producer.send(key, value, &[])
            }),
            Lines::Events(decoder) => {
                let (partition, arrival) = (PartitionId(0), Timestamp(0));
                let batch = decoder.decode(Block {
                    partition,
                    offset: 1,
                    from: 0,
                    arrival,
                    stamps: None,
                    bytes: bytes.to_vec(),
                });
                self.send_all(&batch)
            }
        };
        sent.map_err(upstream)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        // The client sends by itself, a few milliseconds after a record came.
        if !matches!(self.lines, Lines::Keyed) || self.producer.delivered().sent == self.arrived {
            return Ok(());
        }
        self.arrived = self.producer.finish().map_err(upstream)?.acknowledged;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.producer.finish().map(|_| ()).map_err(upstream)
    }
}

/// Key and value of a line; all of it is the value where it has no key.
fn keyed(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match memchr::memchr(SEPARATOR, line) {
        Some(at) => (Some(&line[..at]), &line[at + 1..]),
        None => (None, line),
    }
}

fn upstream(error: ProduceError) -> SinkError {
    SinkError::Upstream { source: Box::new(error) }
}
