//! One partition of the input in the first stage: the records that wait to be folded, how far time has come, and silence.
//!
//! Knows nothing of how records are read and decoded.

use std::time::Instant;

use crate::kafka::group::Record;
use crate::kafka::source::push_line;
use crate::kafka::transaction::NextOffset;
use crate::partition::PartitionId;
use crate::pipeline::decode::Decoded;
use crate::pipeline::group::note::{self, By, InputNote};
use crate::pipeline::group::parcel::{Mark, Silence};
use crate::record::{Block, Stamp};
use crate::time::{Duration, Timestamp};
use crate::watermark::{Progress, Run};

/// One partition of the input.
#[derive(Debug)]
pub struct Lane {
    partition: i32,
    /// How many partitions the input had when the group began.
    born: u32,
    /// The offset of the record to be read next.
    next: i64,
    /// What is committed.
    committed: i64,
    delay: Duration,
    progress: Progress,
    bytes: Vec<u8>,
    stamps: Vec<Stamp>,
    arrival: Timestamp,
    /// Since when everything there is has been read.
    at_end: Option<Instant>,
    silence: Silence,
    /// Where the brokers said that it ends when its silence was first looked into.
    confirmed: Option<i64>,
}

/// How a partition is begun.
#[derive(Debug)]
pub enum Opened {
    /// Nothing was committed for it.
    New(i64),
    /// It goes on at this offset, with what was noted beside it.
    At(i64, InputNote),
}

/// Bits of a position that count events within a partition.
const POSITION_BITS: u32 = 44;

impl Lane {
    /// A partition that is read from now on.
    pub fn open(partition: i32, born: u32, opened: Opened, delay: Duration) -> Lane {
        let bounded = |highest| Progress::Bounded { highest, delay };
        let (next, progress, is_idle) = match opened {
            Opened::New(offset) => (offset, bounded(Timestamp::MIN), false),
            Opened::At(offset, note) => {
                let watermark = note.w.map_or(Timestamp::MIN, Timestamp);
                let progress = match (note.in_band, watermark) {
                    (true, watermark) => Progress::InBand(watermark),
                    (false, Timestamp::MIN) => bounded(Timestamp::MIN),
                    (false, watermark) => bounded(Timestamp(watermark.0.saturating_add(delay.0))),
                };
                (offset, progress, note.idle)
            }
        };
        Lane {
            partition,
            born,
            next,
            committed: next,
            delay,
            progress,
            bytes: Vec::new(),
            stamps: Vec::new(),
            arrival: Timestamp::MIN,
            at_end: None,
            // A partition that changes hands is no less idle: the first record wakes it.
            silence: Silence { is_idle, closing: None },
            confirmed: None,
        }
    }

    /// Its number.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The offset of the record to be read next.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The offset that is committed.
    pub fn committed(&self) -> i64 {
        self.committed
    }

    /// All that was read is committed.
    pub fn settle(&mut self) {
        self.committed = self.next;
    }

    /// Takes a record. Gives the number of bytes that it makes.
    pub fn push(&mut self, record: &Record, now: Timestamp) -> usize {
        let start = self.bytes.len();
        if start == 0 {
            self.arrival = now;
        }
        push_line(record.value(), &mut self.bytes);
        let time = record.milliseconds().map_or(now, |milliseconds| Timestamp(milliseconds.saturating_mul(1000)));
        self.stamps.push(Stamp { offset: record.offset() as u64, time, seen_until: Timestamp::MIN });
        self.next = record.offset() + 1;
        self.at_end = None;
        self.silence = Silence::AWAKE;
        self.confirmed = None;
        self.bytes.len() - start
    }

    /// What waits to be folded.
    pub fn take_block(&mut self) -> Option<Block> {
        if self.bytes.is_empty() {
            return None;
        }
        Some(Block {
            partition: PartitionId(self.partition as u32),
            offset: self.stamps[0].offset,
            from: 0,
            arrival: self.arrival,
            stamps: Some(std::mem::take(&mut self.stamps).into()),
            bytes: std::mem::take(&mut self.bytes),
        })
    }

    /// The rows of a batch, cut where the stream itself tells the watermark; moves this partition's watermark behind them.
    pub fn runs(&mut self, decoded: &Decoded) -> Vec<Run> {
        let rows = decoded.projected.rows();
        let maximum = &decoded.projected.maximum;
        let first = decoded.projected.batch.stamps.as_ref().map_or(0, |stamps| stamps[0].offset);
        let position = (self.partition as u64) << POSITION_BITS | first;
        let mut runs = Vec::new();
        let mut start = 0;
        let mut run = |range: std::ops::Range<usize>, own: Progress| {
            if !range.is_empty() {
                runs.push(Run {
                    partition: PartitionId(self.partition as u32),
                    batch: 0,
                    rows: range,
                    position,
                    own,
                    // Nothing fires here.
                    others: Timestamp::MIN,
                    floor: Timestamp::MIN,
                });
            }
        };
        for &(row, mark) in &decoded.watermarks {
            run(start..row, self.progress);
            start = row;
            let reached = watermark(self.progress, self.delay).max(match self.progress {
                Progress::InBand(watermark) => watermark,
                Progress::Bounded { .. } => less(maximum.before(row), self.delay),
            });
            self.progress = Progress::InBand(reached.max(mark));
        }
        run(start..rows, self.progress);
        if let Progress::Bounded { highest, .. } = &mut self.progress {
            *highest = (*highest).max(maximum.before(rows));
        }
        runs
    }

    /// How far it has come.
    pub fn mark(&self) -> Mark {
        Mark {
            partition: PartitionId(self.partition as u32),
            watermark: watermark(self.progress, self.delay),
            silence: self.silence,
        }
    }

    /// What is to be committed of it.
    pub fn offset(&self, fingerprint: u64, by: By) -> NextOffset {
        let note = InputNote {
            v: note::VERSION,
            q: note::hex(fingerprint),
            by,
            born: self.born,
            w: note::micros(watermark(self.progress, self.delay)),
            in_band: matches!(self.progress, Progress::InBand(_)),
            idle: self.silence.is_idle,
        };
        NextOffset { partition: self.partition, offset: self.next, metadata: note::text(&note) }
    }

    /// Takes note that everything there is has been read.
    pub fn reach_end(&mut self, now: Instant) {
        self.at_end.get_or_insert(now);
    }

    /// Whether everything there is has been read.
    pub fn is_at_end(&self) -> bool {
        self.at_end.is_some()
    }

    /// What its silence has come to mean, if that is something new.
    pub fn silence(&self, (timeout, close): (Option<Duration>, Option<Duration>), now: Instant) -> Option<Silence> {
        let silent = now.saturating_duration_since(self.at_end?);
        let silent = Duration(i64::try_from(silent.as_micros()).unwrap_or(i64::MAX));
        let closing = close.filter(|&close| silent >= close).map(|close| Duration(silent.0 - close.0));
        let is_idle = self.silence.is_idle || timeout.is_some_and(|timeout| silent >= timeout);
        // Closing says how long it has lasted, and so is new each time.
        let silence = Silence { is_idle, closing };
        (silence != self.silence).then_some(silence)
    }

    /// Takes note of where the brokers say that it ends. Whether they said so before, when its silence was looked into last: only then it
    /// has had the time to give all that is there.
    pub fn confirm(&mut self, end: i64) -> bool {
        self.confirmed.replace(end) == Some(end)
    }

    /// It is silent, and the brokers say that nothing is left.
    pub fn fall_silent(&mut self, silence: Silence) {
        self.silence = silence;
    }

    /// Its silence begins anew: it could not be heard, or something is left that can't be read yet.
    pub fn begin_silence(&mut self, now: Instant) {
        self.at_end = self.at_end.map(|_| now);
        self.confirmed = None;
    }
}

fn watermark(progress: Progress, delay: Duration) -> Timestamp {
    match progress {
        Progress::InBand(watermark) => watermark,
        Progress::Bounded { highest, .. } => less(highest, delay),
    }
}

fn less(time: Timestamp, delay: Duration) -> Timestamp {
    Timestamp(time.0.saturating_sub(delay.0))
}
