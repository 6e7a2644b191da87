//! How a process of a group fares, in numbers: what operators watch, and whether both stages are alive.
//!
//! Everything here is noted between two polls, never for each record. Knows nothing of how it is shown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration as WallDuration, Instant};

use crate::stats::{InputCounts, MetricCounts};
use crate::time::{Duration, Timestamp};
use crate::window::operator::OpenSize;

/// The stages, in the order in which an event passes them.
pub const STAGES: [&str; 2] = ["combine", "merge"];

/// A stage that has not polled for so long is not alive.
pub const POLL_AGE_MAX: WallDuration = WallDuration::from_secs(30);

/// How a process of a group fares. Counts begin at 0 with the process; what is read again after a lost transaction counts again.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Records read and committed.
    pub input: InputCounts,
    /// Events that the first stage found too late for every window of their metric.
    pub late: u64,
    /// Those that the second stage found to be.
    pub late_merged: u64,
    /// What happened to events in the first stage, by metric.
    pub metrics: Vec<MetricCounts>,
    /// Rows written.
    pub rows: u64,
    /// Transactions committed, by stage.
    pub commits: BTreeMap<&'static str, u64>,
    /// Transactions that were lost and begun anew, by stage.
    pub lost: BTreeMap<&'static str, u64>,
    /// How often a stage began to read at what was committed: at the start, when partitions changed hands, after a loss.
    pub begun: BTreeMap<&'static str, u64>,
    /// Where each stage is in the partitions that it reads.
    pub places: BTreeMap<&'static str, BTreeMap<i32, Place>>,
    /// By partition of the input that is ours: how far it has come, and whether it is silent.
    pub read: BTreeMap<u32, (Timestamp, bool)>,
    /// By partition of the pieces that is ours: how far its windows have fired.
    pub fired: BTreeMap<i32, Timestamp>,
    /// By partition of the input, as far as was heard: how far it has come, and whether it is silent.
    pub heard: BTreeMap<u32, (Timestamp, bool)>,
    /// What is open in the second stage, by metric.
    pub open: Vec<OpenSize>,
    /// From the Kafka time of the newest record that a row waited for to the commit of the row.
    pub latency: Histogram,
}

impl Status {
    /// Transactions that were lost, in both stages.
    pub fn lost_total(&self) -> u64 {
        self.lost.values().sum()
    }
}

/// Where a stage is in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The offset that is committed: that of the record to be read next.
    pub committed: i64,
    /// The last stable offset, as the brokers told last: everything before it can be read.
    pub stable: Option<i64>,
}

impl Place {
    /// Offsets that are left to be committed, as far as is known. Markers of transactions take offsets too.
    pub fn lag(&self) -> Option<u64> {
        self.stable.map(|stable| stable.saturating_sub(self.committed).max(0) as u64)
    }
}

/// Lengths of time, counted in buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many were at most as long as the bound of the same index and longer than the one before; the last has all that were longer.
    counts: [u64; Histogram::BOUNDS.len() + 1],
    total: i128,
}

impl Histogram {
    /// The upper bounds of the buckets.
    pub const BOUNDS: [Duration; 12] = [
        Duration(10_000),
        Duration(25_000),
        Duration(50_000),
        Duration(100_000),
        Duration(250_000),
        Duration(500_000),
        Duration(1_000_000),
        Duration(2_500_000),
        Duration(5_000_000),
        Duration(10_000_000),
        Duration(30_000_000),
        Duration(60_000_000),
    ];

    /// Counts a length of time `times` times. One below zero, as of clocks that disagree, counts as none.
    pub fn observe(&mut self, length: Duration, times: u64) {
        let length = Duration(length.0.max(0));
        let bucket = Histogram::BOUNDS.partition_point(|bound| *bound < length);
        self.counts[bucket] += times;
        self.total += i128::from(length.0) * i128::from(times);
    }

    /// For each bound, how many were at most as long.
    pub fn cumulated(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        Histogram::BOUNDS.into_iter().zip(self.counts).map(move |(bound, count)| {
            sum += count;
            (bound, sum)
        })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, in microseconds.
    pub fn total(&self) -> i128 {
        self.total
    }
}

/// Tells whether a stage goes on. Beating costs a few nanoseconds.
#[derive(Debug)]
pub struct Pulse {
    started: Instant,
    beats: AtomicU32,
    /// Milliseconds after `started`, plus one; 0 before the first beat.
    last: AtomicU64,
}

/// So many beats share one look at the clock.
const BEATS_A_LOOK: u32 = 64;

impl Pulse {
    /// One that has not beaten yet.
    pub fn new() -> Pulse {
        Pulse { started: Instant::now(), beats: AtomicU32::new(0), last: AtomicU64::new(0) }
    }

    /// The stage has polled; `is_quiet`: and nothing came.
    pub fn beat(&self, is_quiet: bool) {
        // One thread beats, so nothing is lost between the two.
        let beats = self.beats.load(Ordering::Relaxed);
        self.beats.store(beats.wrapping_add(1), Ordering::Relaxed);
        if is_quiet || beats.is_multiple_of(BEATS_A_LOOK) {
            let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.last.store(now + 1, Ordering::Relaxed);
        }
    }

    /// How long ago it last beat; `None` if it never did.
    pub fn age(&self) -> Option<WallDuration> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(WallDuration::from_millis(last)))
    }
}

/// Whether stages that polled so long ago are alive, or the first reason why not.
pub fn judge(stages: impl IntoIterator<Item = (&'static str, Option<WallDuration>)>) -> Result<(), String> {
    for (stage, age) in stages {
        match age {
            None => return Err(format!("{stage} has not begun to read yet")),
            Some(age) if age > POLL_AGE_MAX => {
                return Err(format!("{stage} has not polled for {} s", age.as_secs()));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fall_into_the_bucket_whose_bound_they_do_not_pass() {
        let mut histogram = Histogram::default();
        for (length, times) in [(-5, 1), (10_000, 2), (10_001, 4), (60_000_000, 8), (60_000_001, 16)] {
            histogram.observe(Duration(length), times);
        }
        let cumulated: Vec<u64> = histogram.cumulated().map(|(_, count)| count).collect();
        assert_eq!(cumulated, [3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 15]);
        assert_eq!(histogram.count(), 31);
        assert_eq!(histogram.total(), 2 * 10_000 + 4 * 10_001 + 8 * 60_000_000 + 16 * 60_000_001);
    }

    #[test]
    fn a_stage_is_alive_that_has_polled_lately() {
        let seconds = |seconds| Some(WallDuration::from_secs(seconds));
        let check = |combine, merge, expected: Result<(), &str>| {
            assert_eq!(judge([("combine", combine), ("merge", merge)]), expected.map_err(str::to_owned));
        };
        check(seconds(0), seconds(30), Ok(()));
        check(None, seconds(0), Err("combine has not begun to read yet"));
        check(seconds(0), seconds(31), Err("merge has not polled for 31 s"));
    }

    #[test]
    fn a_pulse_has_no_age_before_its_first_beat() {
        let pulse = Pulse::new();
        assert_eq!(pulse.age(), None);
        pulse.beat(false);
        assert!(pulse.age().is_some_and(|age| age < POLL_AGE_MAX));
    }

    #[test]
    fn lag_is_told_where_the_brokers_told() {
        let lag = |committed, stable| Place { committed, stable }.lag();
        assert_eq!((lag(5, Some(9)), lag(9, Some(5)), lag(5, None)), (Some(4), Some(0), None));
    }
}
