//! Counts the lines of the input as their turn comes, so that what is said in band does not depend on how far ahead was read.
//!
//! A line that is no event is counted with the next event of its partition. Knows nothing of what happens to events later.

use std::collections::VecDeque;

use crate::batch::EventBatch;
use crate::stats::InputCounts;
use crate::watermark::Run;

/// Counts of the lines whose turn has come, and what stands in the batches that wait for it.
#[derive(Debug)]
pub struct Tally {
    /// By partition, in order.
    waiting: Vec<VecDeque<Waiting>>,
    counts: InputCounts,
}

#[derive(Debug)]
struct Waiting {
    batch: usize,
    /// Each with the number of rows before it, in order.
    rejects: VecDeque<(usize, RejectKind)>,
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
            counts: InputCounts::default(),
        }
    }

    /// Takes note of a batch, whose number is greater than those before. `future` are the lines of those of its rejects
    /// that are dated too far in the future, in order. Marks, blank lines and values without a meaning are counted at once:
    /// they are told at the end only.
    pub fn read(&mut self, number: usize, batch: &EventBatch, future: &[u32], became_null: u64) {
        self.counts.in_band += batch.in_band.len() as u64;
        self.counts.blank += u64::from(batch.blank);
        self.counts.became_null += became_null;
        if batch.rejects.is_empty() {
            return;
        }
        let rejects = batch.rejects.iter().map(|reject| {
            let line = reject.span.line;
            let is_future = future.binary_search(&line).is_ok();
            let kind = if is_future { RejectKind::Future } else { RejectKind::Malformed };
            (batch.spans.partition_point(|span| span.line < line), kind)
        });
        let waiting = Waiting { batch: number, rejects: rejects.collect() };
        self.waiting[batch.partition.0 as usize].push_back(waiting);
    }

    /// Counts `events` that are in the rows of a run, and what stands before them.
    pub fn take(&mut self, run: &Run, events: u64) {
        self.counts.events_in += events;
        let waiting = &mut self.waiting[run.partition.0 as usize];
        while let Some(front) = waiting.front_mut() {
            let rows = match front.batch.cmp(&run.batch) {
                std::cmp::Ordering::Less => usize::MAX,
                std::cmp::Ordering::Equal => run.rows.end,
                std::cmp::Ordering::Greater => return,
            };
            count_before(&mut self.counts, &mut front.rejects, rows);
            if !front.rejects.is_empty() {
                return;
            }
            waiting.pop_front();
        }
    }

    /// Counts all rejects that are left, once no more events will come.
    pub fn take_rest(&mut self) {
        for mut waiting in self.waiting.iter_mut().flat_map(std::mem::take) {
            count_before(&mut self.counts, &mut waiting.rejects, usize::MAX);
        }
    }

    /// What has been counted so far.
    pub fn counts(&self) -> &InputCounts {
        &self.counts
    }
}

/// Counts the rejects that have fewer than `rows` rows before them.
fn count_before(counts: &mut InputCounts, rejects: &mut VecDeque<(usize, RejectKind)>, rows: usize) {
    while rejects.front().is_some_and(|(before, _)| *before < rows) {
        let Some((_, kind)) = rejects.pop_front() else { return };
        counts.events_in += 1;
        match kind {
            RejectKind::Malformed => counts.malformed += 1,
            RejectKind::Future => counts.future += 1,
        }
    }
}
