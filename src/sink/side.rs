//! Side files: rejected lines with their reason and place, and late events as they came.
//!
//! A reader that has gone wants no more of them, and the run goes on. Does not decide what is rejected or late.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::batch::{EventBatch, LineSpan, Reject};
use crate::sink::{Sink, SinkError};
use crate::value::write_json_string;

/// Writes rejects as NDJSON: `{"source":…,"line":…,"byte":…,"reason":…,"pointer":…,"attempt":…,"payload":…}`, with `"offset"` in place
/// of line and byte where each was a record by itself, and `payload_base64` where the payload is not UTF-8. The pointer stands where
/// one is known, the attempt where rejects can be sent again.
pub struct RejectWriter {
    sink: SideSink,
    payload_bytes_max: usize,
}

impl RejectWriter {
    /// A writer to `sink` that keeps at most the first `payload_bytes_max` bytes of a line. Set it to the longest line allowed, so
    /// that the same is kept of a longer one however the input was cut into pieces.
    pub fn new(sink: Box<dyn Sink>, payload_bytes_max: usize) -> RejectWriter {
        RejectWriter { sink: SideSink::new(sink), payload_bytes_max }
    }

    /// Appends how a reject of a batch is written, with its line feed. `source` is the name of the batch's input.
    pub fn record(&self, source: &str, batch: &EventBatch, reject: &Reject, out: &mut Vec<u8>) {
        push_reject(source, batch, reject, self.payload_bytes_max, out);
    }

    /// Appends how a reject is written, with its line feed.
    pub fn push(&self, record: &RejectRecord<'_>, out: &mut Vec<u8>) {
        push_record(record, self.payload_bytes_max, out);
    }

    /// Writes records.
    pub fn write(&mut self, records: &[u8]) -> Result<(), SinkError> {
        self.sink.write(records)
    }

    /// Hands on what was written.
    pub fn flush(&mut self) -> Result<(), SinkError> {
        self.sink.flush()
    }

    /// Completes the file.
    pub fn finish(&mut self) -> Result<(), SinkError> {
        self.sink.finish()
    }
}

/// Writes late events, or late partials: their original bytes and a line feed.
pub struct LateWriter {
    sink: SideSink,
}

impl LateWriter {
    /// A writer to `sink`.
    pub fn new(sink: Box<dyn Sink>) -> LateWriter {
        LateWriter { sink: SideSink::new(sink) }
    }

    /// Writes one row of a batch.
    pub fn write(&mut self, batch: &EventBatch, row: usize) -> Result<(), SinkError> {
        self.line(bytes(batch, batch.spans[row]))
    }

    fn line(&mut self, line: &[u8]) -> Result<(), SinkError> {
        self.sink.write(line)?;
        self.sink.write(b"\n")
    }

    /// Writes a line that must stand before the first row, or before the next.
    pub fn write_header(&mut self, header: &[u8]) -> Result<(), SinkError> {
        self.line(header)
    }

    /// Hands on what was written.
    pub fn flush(&mut self) -> Result<(), SinkError> {
        self.sink.flush()
    }

    /// Completes the file.
    pub fn finish(&mut self) -> Result<(), SinkError> {
        self.sink.finish()
    }
}

/// A sink that takes and forgets everything once its reader has gone.
struct SideSink {
    sink: Box<dyn Sink>,
    is_closed: bool,
}

impl SideSink {
    fn new(sink: Box<dyn Sink>) -> SideSink {
        SideSink { sink, is_closed: false }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.unless_closed(|sink| sink.write(bytes))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.unless_closed(|sink| sink.flush())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.unless_closed(|sink| sink.finish())
    }

    fn unless_closed(&mut self, act: impl FnOnce(&mut dyn Sink) -> Result<(), SinkError>) -> Result<(), SinkError> {
        if self.is_closed {
            return Ok(());
        }
        match act(self.sink.as_mut()) {
            Err(SinkError::Closed { .. }) => {
                self.is_closed = true;
                Ok(())
            }
            result => result,
        }
    }
}

/// What is written of a reject.
#[derive(Debug, Clone, Copy)]
pub struct RejectRecord<'a> {
    /// The name of its input.
    pub source: &'a str,
    /// That of its record, told instead of line and byte.
    pub offset: Option<u64>,
    /// Counted from 1.
    pub line: u64,
    /// Where the trouble is, counted from 0 (after decompression).
    pub byte: u64,
    /// What is wrong.
    pub reason: &'a str,
    /// Which field is meant, as a JSON pointer, where that is known.
    pub pointer: Option<&'a str>,
    /// How often it was tried, this time included, where it can be tried again.
    pub attempt: Option<u32>,
    /// Its original bytes.
    pub payload: &'a [u8],
}

fn bytes(batch: &EventBatch, span: LineSpan) -> &[u8] {
    &batch.text[span.start as usize..][..span.len as usize]
}

/// Appends how a reject of a batch is written, with its line feed; `source` is the name of the batch's input.
pub fn push_reject(source: &str, batch: &EventBatch, reject: &Reject, payload_bytes_max: usize, out: &mut Vec<u8>) {
    let record = RejectRecord {
        source,
        offset: batch.stamps.as_ref().map(|stamps| stamps[reject.span.line as usize].offset),
        line: batch.line + u64::from(reject.span.line) + 1,
        byte: batch.offset + u64::from(reject.span.start) + u64::from(reject.byte),
        reason: &reject.reason,
        pointer: None,
        attempt: None,
        payload: bytes(batch, reject.span),
    };
    push_record(&record, payload_bytes_max, out);
}

/// Appends how a reject is written, with its line feed; of its payload no more than so many bytes.
pub fn push_record(record: &RejectRecord<'_>, payload_bytes_max: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"source\":");
    write_json_string(record.source, out);
    let place = match record.offset {
        Some(offset) => write!(out, ",\"offset\":{offset},\"reason\":"),
        None => write!(out, ",\"line\":{},\"byte\":{},\"reason\":", record.line, record.byte),
    };
    place.expect("writing to a vector can't fail");
    write_json_string(record.reason, out);
    if let Some(pointer) = record.pointer {
        out.extend_from_slice(b",\"pointer\":");
        write_json_string(pointer, out);
    }
    if let Some(attempt) = record.attempt {
        write!(out, ",\"attempt\":{attempt}").expect("writing to a vector can't fail");
    }
    let payload = &record.payload[..record.payload.len().min(payload_bytes_max)];
    let is_cut = payload.len() < record.payload.len();
    match std::str::from_utf8(payload) {
        // The cut went through a character, which is left out.
        Err(error) if is_cut && error.error_len().is_none() => {
            out.extend_from_slice(b",\"payload\":");
            let text = std::str::from_utf8(&payload[..error.valid_up_to()]).expect("valid up to there");
            write_json_string(text, out);
        }
        Ok(text) => {
            out.extend_from_slice(b",\"payload\":");
            write_json_string(text, out);
        }
        Err(_) => {
            write!(out, ",\"payload_base64\":\"{}\"", STANDARD.encode(payload)).expect("writing to a vector can't fail")
        }
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::PartitionId;
    use crate::sink::memory::MemorySink;
    use crate::time::Timestamp;

    fn batch(text: &[u8], spans: &[(u32, u32, u32)], rejects: &[(u32, u32, u32)]) -> EventBatch {
        let span = |&(start, len, line): &(u32, u32, u32)| LineSpan { start, len, line };
        EventBatch {
            stamps: None,
            partition: PartitionId(0),
            offset: 1000,
            line: 40,
            text: text.to_vec(),
            times: vec![Timestamp(0); spans.len()],
            spans: spans.iter().map(span).collect(),
            columns: vec![],
            rejects: rejects.iter().map(|r| Reject { span: span(r), byte: 2, reason: "bad".into() }).collect(),
            in_band: vec![],
            lines: 3,
            blank: 0,
            result_lines: Vec::new(),
        }
    }

    fn check(payload: &[u8], payload_bytes_max: usize, expected: &str) {
        let mut out = Vec::new();
        let record = RejectRecord {
            source: "a \"b\"",
            offset: None,
            line: 7,
            byte: 1234,
            reason: "why",
            pointer: None,
            attempt: None,
            payload,
        };
        push_record(&record, payload_bytes_max, &mut out);
        let expected =
            format!("{{\"source\":\"a \\\"b\\\"\",\"line\":7,\"byte\":1234,\"reason\":\"why\",{expected}}}\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn payloads() {
        check(b"{\"a\":1\r", 100, r#""payload":"{\"a\":1\r""#);
        check(b"", 100, r#""payload":"""#);
        check(b"\xff\0", 100, r#""payload_base64":"/wA=""#);
        check(b"0123456789", 4, r#""payload":"0123""#);
        check("aé".as_bytes(), 2, r#""payload":"a""#);
        check(b"a\xc3", 2, r#""payload_base64":"YcM=""#);
    }

    #[test]
    fn places_are_those_of_the_input() {
        let sink = MemorySink::new();
        let mut writer = RejectWriter::new(Box::new(sink.clone()), 100);
        let batch = batch(b"xx\nyyyy\nzz\n", &[], &[(0, 2, 0), (3, 4, 1)]);
        for reject in &batch.rejects {
            let mut record = Vec::new();
            writer.record("in", &batch, reject, &mut record);
            writer.write(&record).unwrap();
        }
        writer.flush().unwrap();
        assert_eq!(
            String::from_utf8(sink.flushed()).unwrap(),
            "{\"source\":\"in\",\"line\":41,\"byte\":1002,\"reason\":\"bad\",\"payload\":\"xx\"}\n\
             {\"source\":\"in\",\"line\":42,\"byte\":1005,\"reason\":\"bad\",\"payload\":\"yyyy\"}\n"
        );
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let sink = MemorySink::closing_after(3);
        let mut writer = LateWriter::new(Box::new(sink.clone()));
        for _ in 0..2 {
            writer.write(&batch(b"xx\nyy", &[(0, 2, 0), (3, 2, 1)], &[]), 1).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap();
        assert_eq!((sink.flushed(), sink.is_finished()), (b"yy\n".to_vec(), false));
    }

    #[test]
    fn late_events_keep_their_bytes() {
        let sink = MemorySink::new();
        let mut writer = LateWriter::new(Box::new(sink.clone()));
        let batch = batch(b"x\xff\r\nyy", &[(0, 3, 0), (4, 2, 1)], &[]);
        writer.write(&batch, 1).unwrap();
        writer.write(&batch, 0).unwrap();
        writer.finish().unwrap();
        assert_eq!(sink.flushed(), b"yy\nx\xff\r\n");
    }
}
