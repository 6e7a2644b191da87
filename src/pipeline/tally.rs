//! Counts the lines of the input as their turn comes, and keeps the rejects until then: what is said in band, what is
//! written aside and where too many rejects end the run do not depend on how far ahead was read.
//!
//! Knows nothing of what happens to events later, and nothing of the form in which rejects are written.

use std::collections::VecDeque;
use std::fmt;

use crate::batch::{EventBatch, Reject};
use crate::partition::PartitionId;
use crate::stats::InputCounts;
use crate::watermark::Run;

/// Counts of the lines whose turn has come, and the rejects that wait for it.
#[derive(Debug)]
pub struct Tally {
    /// By partition, in order.
    waiting: Vec<VecDeque<Waiting>>,
    /// By partition, how these are written aside, one after the other; empty where nothing is.
    waiting_records: Vec<VecDeque<u8>>,
    /// Lines read, by partition.
    lines: Vec<u64>,
    counts: InputCounts,
    first_reject: Option<TakenReject>,
    records: Vec<u8>,
}

/// A reject whose turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenReject {
    /// Where it was read.
    pub partition: PartitionId,
    /// Its line, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub reason: Box<str>,
}

/// How many lines may be rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RejectsMax {
    /// Any number.
    Unlimited,
    /// One more ends the run where it stands in the stream.
    Count(u64),
    /// More than this share of all lines, in percent, found at the end.
    Percent(f64),
}

impl RejectsMax {
    /// How many may have their turn before the run ends for it.
    pub fn while_running(self) -> usize {
        match self {
            RejectsMax::Count(max) => usize::try_from(max).unwrap_or(usize::MAX),
            RejectsMax::Unlimited | RejectsMax::Percent(_) => usize::MAX,
        }
    }
}

impl fmt::Display for RejectsMax {
    /// As `--max-rejects` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RejectsMax::Unlimited => f.write_str("any"),
            RejectsMax::Count(max) => write!(f, "{max}"),
            RejectsMax::Percent(max) => write!(f, "{max}%"),
        }
    }
}

#[derive(Debug)]
struct Waiting {
    batch: usize,
    rows_before: usize,
    kind: RejectKind,
    line: u64,
    /// What is wrong, if this may become the first reject that is told.
    reason: Option<Box<str>>,
    /// Bytes of its record.
    record_bytes: u32,
}

#[derive(Debug, Clone, Copy)]
enum RejectKind {
    Malformed,
    Future,
}

impl Tally {
    /// Nothing has been counted yet.
    pub fn new(partitions: usize) -> Tally {
        Tally {
            waiting: std::iter::repeat_with(VecDeque::new).take(partitions).collect(),
            waiting_records: vec![VecDeque::new(); partitions],
            lines: vec![0; partitions],
            counts: InputCounts::default(),
            first_reject: None,
            records: Vec::new(),
        }
    }

    /// So many lines of a partition were read by an earlier run.
    pub fn begin_at(&mut self, partition: PartitionId, lines: u64) {
        self.lines[partition.0 as usize] = lines;
    }

    /// Tells a batch how many lines were before it, takes its rejects, and gives for each the number of rows before it. The
    /// batch's number is greater than those before. `future` are the lines of those that are dated too far in the future, in
    /// order; `record` says how a reject is written aside. Marks, blank lines and values without a meaning are counted at
    /// once: they are told at the end only.
    pub fn read(
        &mut self,
        (number, batch): (usize, &mut EventBatch),
        future: &[u32],
        became_null: u64,
        record: impl Fn(&EventBatch, &Reject, &mut Vec<u8>),
    ) -> VecDeque<usize> {
        let lines = &mut self.lines[batch.partition.0 as usize];
        batch.line = *lines;
        *lines += u64::from(batch.lines);
        self.counts.in_band += batch.in_band.len() as u64;
        self.counts.blank += u64::from(batch.blank);
        self.counts.became_null += became_null;
        let partition = batch.partition.0 as usize;
        let (mut rows_before, mut scratch) = (VecDeque::new(), Vec::new());
        for reject in std::mem::take(&mut batch.rejects) {
            scratch.clear();
            record(batch, &reject, &mut scratch);
            self.waiting_records[partition].extend(&scratch);
            let line = reject.span.line;
            let may_be_first = self.first_reject.is_none() && self.waiting[partition].is_empty();
            let is_future = future.binary_search(&line).is_ok();
            rows_before.push_back(batch.spans.partition_point(|span| span.line < line));
            self.waiting[partition].push_back(Waiting {
                batch: number,
                rows_before: *rows_before.back().expect("it was just pushed"),
                kind: if is_future { RejectKind::Future } else { RejectKind::Malformed },
                line: batch.line + u64::from(line) + 1,
                reason: may_be_first.then(|| reject.reason.into()),
                record_bytes: scratch.len() as u32,
            });
        }
        rows_before
    }

    /// Counts `events` that are in the rows of a run, and the rejects between them.
    pub fn take(&mut self, run: &Run, events: u64) {
        self.counts.events_in += events;
        let has_passed = |reject: &Waiting| (reject.batch, reject.rows_before) < (run.batch, run.rows.end);
        while let Some(reject) = self.waiting[run.partition.0 as usize].pop_front_if(|reject| has_passed(reject)) {
            self.count(run.partition, reject);
        }
    }

    /// Counts the next `rejects` of a partition.
    pub fn take_rejects(&mut self, partition: PartitionId, rejects: usize) {
        for _ in 0..rejects {
            let reject = self.waiting[partition.0 as usize].pop_front();
            self.count(partition, reject.expect("a reject is read before its turn comes"));
        }
    }

    fn count(&mut self, partition: PartitionId, reject: Waiting) {
        let Waiting { kind, line, reason, record_bytes, .. } = reject;
        self.counts.events_in += 1;
        match kind {
            RejectKind::Malformed => self.counts.malformed += 1,
            RejectKind::Future => self.counts.future += 1,
        }
        self.records.extend(self.waiting_records[partition.0 as usize].drain(..record_bytes as usize));
        if self.first_reject.is_none() {
            let reason = reason.expect("the first to wait keeps its reason as long as none has had its turn");
            self.first_reject = Some(TakenReject { partition, line, reason });
        }
    }

    /// What has been counted so far.
    pub fn counts(&self) -> &InputCounts {
        &self.counts
    }

    /// The reject whose turn came first.
    pub fn first_reject(&self) -> Option<&TakenReject> {
        self.first_reject.as_ref()
    }

    /// What is to be written aside of the rejects whose turn has come since the last call.
    pub fn take_records(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.records)
    }
}
