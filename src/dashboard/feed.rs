//! Where lines come from: a seam, so that a pipe, a recorded stream and a store are followed alike.
//!
//! Knows nothing of what is done with the lines.

use std::collections::VecDeque;

use crate::dashboard::line::{Line, decode};
use crate::pipeline::abreast::Abreast;
use crate::pipeline::pace::Pacer;
use crate::record::Block;
use crate::source::{Source, SourceError};
use crate::store::StoreError;
use crate::time::Timestamp;

/// Lines of a batch: so few that the first of them is not kept waiting, so many that handing them over costs nothing.
const BATCH_LINES: usize = 512;

/// Lines that came together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// The clock when they came; None where that says nothing about them, as in a recorded stream.
    pub arrival: Option<Timestamp>,
}

/// Gives lines, one batch after the other.
pub trait Feed: Send {
    /// The next lines: waits for at least one. None at the end, and ever after.
    fn next(&mut self) -> Result<Option<Batch>, FeedError>;
}

impl Feed for Box<dyn Feed> {
    fn next(&mut self) -> Result<Option<Batch>, FeedError> {
        (**self).next()
    }
}

/// Why a feed ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The input could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The lines of a source: of stdin or files one after the other, of a topic as they come.
pub struct StreamFeed<S> {
    blocks: Abreast<S>,
    block: Option<Decoding>,
    is_live: bool,
    /// The greatest time that the log gave any record so far.
    logged: Timestamp,
}

/// The block that is being decoded.
struct Decoding {
    block: Block,
    /// Where its next line begins, and its number within the block.
    at: usize,
    line: usize,
}

impl<S: Source> StreamFeed<S> {
    /// All lines of stdin or files. Of a live source it matters when they came.
    pub fn new(source: S, is_live: bool) -> StreamFeed<S> {
        StreamFeed { blocks: Abreast::in_turn(source), block: None, is_live, logged: Timestamp::MIN }
    }

    /// All records of a topic, each of which came when the log says so.
    pub fn of_topic(source: S) -> StreamFeed<S> {
        StreamFeed { blocks: Abreast::side_by_side(source), block: None, is_live: true, logged: Timestamp::MIN }
    }
}

impl<S: Source> Feed for StreamFeed<S> {
    fn next(&mut self) -> Result<Option<Batch>, FeedError> {
        loop {
            let Decoding { block, mut at, mut line } = match self.block.take() {
                Some(decoding) => decoding,
                None => match self.blocks.next(&|| false)? {
                    Some(block) => Decoding { at: block.from, line: 0, block },
                    None => return Ok(None),
                },
            };
            let mut lines = Vec::new();
            while at < block.bytes.len() && lines.len() < BATCH_LINES {
                let rest = &block.bytes[at..];
                let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                lines.extend(decode(&rest[..length]));
                at += length + 1;
                line += 1;
            }
            let arrival = match &block.stamps {
                // Partitions are not in step; what came does not come earlier for that.
                Some(stamps) => {
                    self.logged = self.logged.max(stamps[line - 1].time);
                    self.logged
                }
                None => block.arrival,
            };
            if at < block.bytes.len() {
                self.block = Some(Decoding { block, at, line });
            } else {
                self.blocks.recycle(block.bytes);
            }
            if !lines.is_empty() {
                return Ok(Some(Batch { lines, arrival: self.is_live.then_some(arrival) }));
            }
        }
    }
}

/// A recorded stream, played again at the pace of its event time, or faster.
pub struct PacedFeed<F, P> {
    feed: F,
    pacer: P,
    /// Thousandths of the clock's own speed.
    speed_milli: u64,
    waiting: VecDeque<Line>,
    /// The clock and the event time at the beginning.
    began: Option<(Timestamp, Timestamp)>,
}

impl<F: Feed, P: Pacer> PacedFeed<F, P> {
    /// The lines of `feed`, each when event time has come so far; lines without a time come with those before them.
    pub fn new(feed: F, pacer: P, speed_milli: u64) -> PacedFeed<F, P> {
        PacedFeed { feed, pacer, speed_milli, waiting: VecDeque::new(), began: None }
    }

    /// When a line is due by the clock.
    fn due(&mut self, line: &Line) -> Option<Timestamp> {
        let time = time_of(line)?;
        let (began, first) = *self.began.get_or_insert((self.pacer.now(), time));
        let passed = i128::from(time.0.saturating_sub(first.0)) * 1000 / i128::from(self.speed_milli.max(1));
        Some(Timestamp(i64::try_from(i128::from(began.0) + passed).unwrap_or(i64::MAX)))
    }
}

impl<F: Feed, P: Pacer> Feed for PacedFeed<F, P> {
    fn next(&mut self) -> Result<Option<Batch>, FeedError> {
        let mut lines = Vec::new();
        loop {
            if self.waiting.is_empty() {
                match self.feed.next()? {
                    Some(batch) => self.waiting.extend(batch.lines),
                    None if lines.is_empty() => return Ok(None),
                    None => return Ok(Some(Batch { lines, arrival: None })),
                }
            }
            let Some(line) = self.waiting.pop_front() else { continue };
            if let Some(due) = self.due(&line).filter(|due| *due > self.pacer.now()) {
                if !lines.is_empty() {
                    self.waiting.push_front(line);
                    return Ok(Some(Batch { lines, arrival: None }));
                }
                while self.pacer.now() < due {
                    self.pacer.sleep_until(due);
                }
            }
            lines.push(line);
            if lines.len() == BATCH_LINES {
                return Ok(Some(Batch { lines, arrival: None }));
            }
        }
    }
}

/// How far event time was when a line was written.
fn time_of(line: &Line) -> Option<Timestamp> {
    let time = match line {
        Line::Row(row) => row.window.end,
        Line::Watermark(watermark) => *watermark,
        Line::Stats(stats) => stats.watermark?,
        Line::Partial | Line::Malformed(_) => return None,
    };
    // The global window ends with the stream.
    (time != Timestamp::MAX).then_some(time)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;
    use crate::dashboard::model::fixture::row;
    use crate::source::clock::ManualClock;
    use crate::source::memory::{MemorySource, Step};
    use crate::time::Clock;

    fn feed(pieces: &[&str]) -> StreamFeed<MemorySource> {
        let steps = pieces.iter().map(|piece| Step::Block(piece.as_bytes().to_vec())).collect();
        StreamFeed::new(MemorySource::new(vec![steps], Arc::new(ManualClock::new(Timestamp(7)))), true)
    }

    #[test]
    fn lines_come_in_order_whatever_the_pieces() {
        let text = row("a", 0, "\"n\":1") + "\n what\n" + &row("b", 0, "\"n\":2");
        let mut feed = feed(&[&text, "{\"watermark\":\"2026-01-01T00:00:00Z\"}\n"]);
        let mut kinds = Vec::new();
        while let Some(batch) = feed.next().unwrap() {
            assert_eq!(batch.arrival, Some(Timestamp(7)));
            kinds.extend(batch.lines.iter().map(|line| match line {
                Line::Row(row) => row.metric.clone(),
                Line::Malformed(_) => "malformed".into(),
                Line::Watermark(_) => "watermark".into(),
                other => format!("{other:?}"),
            }));
        }
        assert_eq!(kinds, ["a", "malformed", "b", "watermark"]);
        assert_eq!(feed.next().unwrap(), None, "the end stays the end");
    }

    #[test]
    fn long_blocks_are_cut_into_batches() {
        let text: String = (0..1200).map(|minute| row("a", minute, "\"n\":1")).collect();
        let mut feed = feed(&[&text]);
        let lengths: Vec<usize> = std::iter::from_fn(|| feed.next().unwrap()).map(|batch| batch.lines.len()).collect();
        assert_eq!(lengths, [512, 512, 176]);
    }

    /// Jumps to whatever is waited for, and remembers it.
    #[derive(Clone, Default)]
    struct Jumper(Arc<Mutex<(i64, Vec<i64>)>>);

    impl Clock for Jumper {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.lock().unwrap().0)
        }
    }

    impl Pacer for Jumper {
        fn sleep_until(&self, time: Timestamp) {
            let mut state = self.0.lock().unwrap();
            state.0 = time.0;
            state.1.push(time.0 / 1_000_000);
        }
    }

    #[test]
    fn a_recorded_stream_is_played_by_its_event_time() {
        let text = [0, 0, 1, 2, 4].map(|minute| row("a", minute, "\"n\":1")).concat();
        let pacer = Jumper::default();
        let mut paced = PacedFeed::new(feed(&[&text]), pacer.clone(), 10_000);
        let lengths: Vec<usize> = std::iter::from_fn(|| paced.next().unwrap()).map(|batch| batch.lines.len()).collect();
        assert_eq!(lengths, [2, 1, 1, 1]);
        assert_eq!(pacer.0.lock().unwrap().1, [6, 12, 24], "a minute takes six seconds");
    }
}
