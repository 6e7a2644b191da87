//! Where result rows go: encoders and sinks, and which metric's rows each takes.
//!
//! Knows nothing of how rows come about.

use crate::codec::encode::RowEncoder;
use crate::codec::encode::in_band::{StatsLine, push_stats, push_watermark};
use crate::codec::encode::ndjson::NdjsonEncoder;
use crate::codec::partial::{Header, push_header, push_partial};
use crate::metric::{Metric, MetricSchema};
use crate::pipeline::crew::Crew;
use crate::plan::Plan;
use crate::sink::{Sink, SinkError};
use crate::time::Timestamp;
use crate::window::{Output, Windows};

/// One place for rows.
pub struct Destination {
    /// The metrics whose rows it takes, by number.
    pub metrics: Vec<bool>,
    /// The format.
    pub encoder: Box<dyn RowEncoder>,
    /// The place.
    pub sink: Box<dyn Sink>,
    /// Whether its reader has gone.
    pub closed: bool,
    /// Whether what stands before the first row is there already, from an earlier run.
    pub is_continued: bool,
    buffer: Vec<u8>,
    /// Encoders for rows encoded side by side, each with what it has encoded.
    forks: Vec<(Box<dyn RowEncoder>, Vec<u8>)>,
}

/// A buffer longer than this is handed to the sink.
const BUFFER_BYTES: usize = 256 << 10;

/// From so many outputs on, waking other threads costs less than they save.
const OUTPUTS_MANY: usize = 1024;

impl Destination {
    /// A place for the rows of these metrics.
    pub fn new(metrics: Vec<bool>, encoder: Box<dyn RowEncoder>, sink: Box<dyn Sink>) -> Destination {
        let (buffer, forks) = (Vec::new(), Vec::new());
        Destination { metrics, encoder, sink, closed: false, is_continued: false, buffer, forks }
    }

    /// Encodes rows side by side, where the format allows it and all of them are rows. Whether it did.
    fn write_forked(&mut self, outputs: &[Output], crew: &Crew) -> Result<bool, SinkError> {
        if !outputs.iter().all(|output| matches!(output, Output::Row(_))) {
            return Ok(false);
        }
        while self.forks.len() < crew.threads() {
            let Some(encoder) = self.encoder.fork() else { return Ok(false) };
            self.forks.push((encoder, Vec::new()));
        }
        let metrics = &self.metrics;
        // In pieces, so that what is encoded and not yet written stays small.
        for piece in outputs.chunks(OUTPUTS_MANY * crew.threads()) {
            let shares = piece.chunks(piece.len().div_ceil(crew.threads()));
            let mut parts: Vec<_> = self.forks.iter_mut().zip(shares).collect();
            crew.each(&mut parts, |((encoder, buffer), share)| {
                for output in *share {
                    if let Output::Row(row) = output
                        && metrics[row.metric]
                    {
                        encoder.row(row, buffer);
                    }
                }
            });
            for (_, encoded) in &mut self.forks {
                self.buffer.append(encoded);
            }
            if self.buffer.len() >= BUFFER_BYTES {
                self.sink.write(&self.buffer)?;
                self.buffer.clear();
            }
        }
        Ok(true)
    }
}

/// All places for rows.
#[derive(Default)]
pub struct Destinations {
    /// Each with its format.
    pub all: Vec<Destination>,
    /// Whether result rows are written; else only what stands between them.
    pub rows: bool,
}

impl Destinations {
    /// Writes what stands before the first row.
    pub fn begin(&mut self, header: &[Vec<u8>]) -> Result<(), SinkError> {
        self.each(|destination| {
            destination.encoder.begin(&mut destination.buffer);
            if destination.is_continued {
                destination.buffer.clear();
            }
            for (line, _) in header.iter().zip(&destination.metrics).filter(|(_, takes)| **takes) {
                destination.encoder.in_band(line, &mut destination.buffer);
            }
            Ok(())
        })
    }

    /// Encodes outputs in their order, and hands full buffers on.
    pub fn write(&mut self, outputs: &[Output], schemas: &[MetricSchema], crew: &Crew) -> Result<(), SinkError> {
        let rows = self.rows;
        self.each(|destination| {
            if rows && outputs.len() >= OUTPUTS_MANY && crew.threads() > 1 && destination.write_forked(outputs, crew)? {
                return Ok(());
            }
            for output in outputs {
                let buffer = &mut destination.buffer;
                match output {
                    Output::Row(row) if rows && destination.metrics[row.metric] => destination.encoder.row(row, buffer),
                    Output::Partial(partial) if destination.metrics[partial.metric] => {
                        let mut line = Vec::new();
                        push_partial(partial, &schemas[partial.metric].name, &mut line);
                        destination.encoder.in_band(&line, buffer);
                    }
                    _ => continue,
                }
                if buffer.len() >= BUFFER_BYTES {
                    destination.sink.write(buffer)?;
                    buffer.clear();
                }
            }
            Ok(())
        })
    }

    /// Says in band how far event time has come.
    pub fn write_watermark(&mut self, watermark: Timestamp) -> Result<(), SinkError> {
        let mut line = Vec::new();
        push_watermark(watermark, &mut line);
        self.write_in_band(&line)
    }

    /// Says in band what happened to the events.
    pub fn write_stats(&mut self, stats: &StatsLine) -> Result<(), SinkError> {
        let mut line = Vec::new();
        push_stats(stats, &mut line);
        self.write_in_band(&line)
    }

    fn write_in_band(&mut self, line: &[u8]) -> Result<(), SinkError> {
        self.each(|destination| {
            if !line.is_empty() {
                destination.encoder.in_band(line, &mut destination.buffer);
            }
            Ok(())
        })
    }

    /// Makes everything visible that was written so far.
    pub fn flush(&mut self) -> Result<(), SinkError> {
        self.each(|destination| {
            destination.encoder.flush(&mut destination.buffer);
            if !destination.buffer.is_empty() {
                destination.sink.write(&destination.buffer)?;
                destination.buffer.clear();
            }
            destination.sink.flush()
        })
    }

    /// Rows so far that a format could not hold.
    pub fn skipped(&self) -> u64 {
        self.all.iter().map(|destination| destination.encoder.skipped()).sum()
    }

    /// Writes what stands after the last row, and completes files.
    pub fn finish(&mut self) -> Result<(), SinkError> {
        self.each(|destination| {
            destination.encoder.end(&mut destination.buffer);
            destination.sink.write(&destination.buffer)?;
            destination.buffer.clear();
            destination.sink.finish()
        })
    }

    /// Whether there is any place left whose reader has not gone.
    pub fn any_open(&self) -> bool {
        self.all.iter().any(|destination| !destination.closed)
    }

    /// A reader that has gone has seen all that it wanted; the others go on.
    fn each(&mut self, mut act: impl FnMut(&mut Destination) -> Result<(), SinkError>) -> Result<(), SinkError> {
        for destination in self.all.iter_mut().filter(|destination| !destination.closed) {
            match act(destination) {
                Err(SinkError::Closed { .. }) => destination.closed = true,
                other => other?,
            }
        }
        Ok(())
    }
}

/// The lines that stand before the first partial.
pub fn headers(plan: &Plan) -> Vec<Vec<u8>> {
    let metrics = plan.schemas.iter().zip(&plan.queries);
    metrics
        .map(|(schema, query)| {
            let mut line = Vec::new();
            let gap = match &query.windows {
                Windows::Session(gap) => Some(gap.gap),
                Windows::Aligned(_) => None,
            };
            push_header(&Header { schema: schema.clone(), functions: query.functions.clone(), gap }, &mut line);
            line
        })
        .collect()
}

/// A row as it is written in NDJSON, without the line feed.
pub fn shown(row: &Metric, schemas: &[MetricSchema]) -> String {
    let mut line = Vec::new();
    NdjsonEncoder::new(schemas).row(row, &mut line);
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::ndjson::NdjsonEncoder;
    use crate::metric::Metric;
    use crate::sink::memory::MemorySink;
    use crate::time::Window;
    use crate::value::Value;

    fn written(rows: usize, threads: usize) -> Vec<u8> {
        let schema = MetricSchema { name: "m".into(), groups: vec![], aggregates: vec!["a".into()], ranked: false };
        let row = |number: usize| {
            Output::Row(Metric {
                metric: 0,
                window: Window::new(Timestamp(number as i64 / 7), Timestamp(1_000_000)),
                groups: [].into(),
                aggregates: [Value::Int(number as i128)].into(),
                rank: None,
                revision: 0,
                is_final: true,
                retracted: false,
                state: None,
            })
        };
        let outputs: Vec<Output> = (0..rows).map(row).collect();
        let sink = MemorySink::default();
        let encoder = Box::new(NdjsonEncoder::new(std::slice::from_ref(&schema)));
        let destination = Destination::new(vec![true], encoder, Box::new(sink.clone()));
        let mut destinations = Destinations { all: vec![destination], rows: true };
        destinations.write(&outputs, &[schema], &Crew::new(threads).unwrap()).unwrap();
        destinations.finish().unwrap();
        sink.flushed()
    }

    #[test]
    fn rows_encoded_side_by_side_stand_in_their_order() {
        for rows in [OUTPUTS_MANY - 1, OUTPUTS_MANY, 3 * OUTPUTS_MANY + 1, 10_000] {
            let alone = written(rows, 1);
            assert_eq!(memchr::memchr_iter(b'\n', &alone).count(), rows);
            assert!(written(rows, 3) == alone, "{rows} rows by three threads");
        }
    }
}
