//! The first of two stages: events folded into partials that are sent on in pieces, whenever the caller likes.
//!
//! Nothing fires here and nothing is kept between two pieces. What each event may still join is judged by its own partition's
//! watermark and travels with its partial, so whoever merges the pieces of all partitions finds the windows that one
//! `crate::window::operator::Operator` would have. Starts no thread itself; knows nothing of where partials go.

use std::sync::Arc;

use crate::stats::MetricCounts;
use crate::time::{Timestamp, Window};
use crate::window::fold::StragglerPolicy;
use crate::window::operator::{Input, Late};
use crate::window::stretch::Stretches;
use crate::window::{Query, Windows};

/// The mergeable state of one group over a span of time: a piece, each exactly once.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Number of the metric.
    pub metric: usize,
    /// The span that its events lie in, as `crate::window::Partial::span`.
    pub span: Window,
    /// Windows that end before this were closed for its events.
    pub first_end: Timestamp,
    /// Of a session's stretch, the watermark before its first event.
    pub judged: Timestamp,
    /// The position of its first event.
    pub position: u64,
    /// How many events it holds.
    pub events: u64,
    /// The key of its group.
    pub key: Box<[u8]>,
    /// The accumulators, in their versioned encoding.
    pub state: Box<[u8]>,
}

/// One share of what is folded and not yet sent, for one thread at a time.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    workers: usize,
    queries: Arc<[Query]>,
    shards: Vec<Shard>,
    sent: Vec<Piece>,
}

#[derive(Debug)]
enum Shard {
    Aligned(crate::window::fold::Shard),
    Session(Stretches),
}

/// What a worker found in some runs.
#[derive(Debug, Default)]
pub struct Found {
    counts: Vec<MetricCounts>,
    late: Vec<Late>,
    nulled: u64,
}

/// All metrics of a stream.
#[derive(Debug)]
pub struct Combiner {
    workers: Vec<Worker>,
    counts: Vec<MetricCounts>,
    nulled: u64,
    settled: (Vec<MetricCounts>, u64),
}

impl Combiner {
    /// For these queries, spread over `workers` workers.
    pub fn new(queries: Vec<Query>, workers: usize) -> Combiner {
        let queries: Arc<[Query]> = queries.into();
        let shard = |(metric, query): (usize, &Query)| match query.windows {
            Windows::Aligned(_) => Shard::Aligned(Default::default()),
            Windows::Session(gap) => Shard::Session(Stretches::new(metric, query, gap)),
        };
        let worker = |index| Worker {
            index,
            workers,
            queries: Arc::clone(&queries),
            shards: queries.iter().enumerate().map(shard).collect(),
            sent: Vec::new(),
        };
        let counts = vec![MetricCounts::default(); queries.len()];
        Combiner { workers: (0..workers).map(worker).collect(), settled: (counts.clone(), 0), counts, nulled: 0 }
    }

    /// The workers, each of which must fold every step.
    pub fn workers(&mut self) -> &mut [Worker] {
        &mut self.workers
    }

    /// Counts what the workers found in one step. Returns the events that no window takes, in the order of the inputs, once for each
    /// metric that they are late for.
    pub fn apply(&mut self, found: Vec<Found>) -> Vec<Late> {
        let mut late = Vec::new();
        for found in found {
            self.nulled += found.nulled;
            late.extend(found.late);
            for (counts, found) in self.counts.iter_mut().zip(found.counts) {
                counts.used += found.used;
                counts.filtered += found.filtered;
                counts.late += found.late;
                counts.no_window += found.no_window;
            }
        }
        late.sort_unstable();
        late
    }

    /// Groups that are folded and not sent.
    pub fn groups(&self) -> usize {
        self.workers.iter().map(Worker::groups).sum()
    }

    /// What happened to the events so far, by metric.
    pub fn counts(&self) -> &[MetricCounts] {
        &self.counts
    }

    /// Values that became NULL while they were aggregated.
    pub fn nulled(&self) -> u64 {
        self.nulled
    }

    /// What was found so far counts from now on.
    pub fn settle(&mut self) {
        self.settled = (self.counts.clone(), self.nulled);
    }

    /// Forgets what was folded and not sent, and what was counted since `settle`.
    pub fn clear(&mut self) {
        self.workers.iter_mut().for_each(|worker| drop(worker.drain()));
        (self.counts, self.nulled) = self.settled.clone();
    }
}

impl Worker {
    /// Folds this worker's share of the runs: its part of each for aligned windows, its groups of all for sessions.
    pub fn fold(&mut self, inputs: &[Input]) -> Found {
        let mut found = Found { counts: vec![MetricCounts::default(); self.queries.len()], ..Found::default() };
        for (metric, (query, shard)) in self.queries.iter().zip(&mut self.shards).enumerate() {
            let counts = &mut found.counts[metric];
            for (index, &Input { run, projected }) in inputs.iter().enumerate() {
                let selected = &*projected.selected[metric];
                let part = |nth: usize| run.rows.start + run.rows.len() * nth / self.workers;
                let own = part(self.index)..part(self.index + 1);
                counts.filtered += (own.len() - selected.within(&own).len()) as u64;
                let outcome = match (&mut *shard, &query.windows) {
                    (Shard::Aligned(shard), Windows::Aligned(assigner)) => {
                        let run = crate::watermark::Run { rows: own, ..run.clone() };
                        let input = (projected, selected, &run);
                        shard.fold(query, assigner, StragglerPolicy::Piecewise, input, &mut found.nulled)
                    }
                    (Shard::Session(stretches), Windows::Session(_)) => {
                        let place = (self.index, self.workers);
                        let input = (projected, selected, run);
                        stretches.fold(query, place, input, &mut self.sent, &mut found.nulled)
                    }
                    _ => unreachable!("shards are made after the queries"),
                };
                counts.used += outcome.used;
                counts.late += outcome.late;
                counts.no_window += outcome.no_window;
                found.late.extend(outcome.late_rows.into_iter().map(|row| Late { input: index, row, metric }));
            }
        }
        found
    }

    /// Everything that was folded since the last call. The pieces of one session's group are in the order of the stream; any other order
    /// makes no difference.
    pub fn drain(&mut self) -> Vec<Piece> {
        let mut pieces = std::mem::take(&mut self.sent);
        for (metric, (query, shard)) in self.queries.iter().zip(&mut self.shards).enumerate() {
            match shard {
                Shard::Session(stretches) => stretches.drain(query, &mut pieces),
                Shard::Aligned(shard) => {
                    for (key, table) in shard.take_complete(Timestamp::MAX) {
                        pieces.extend((0..table.len()).map(|group| {
                            let mut state = Vec::new();
                            table.accumulators().encode_group(group, &mut state);
                            Piece {
                                metric,
                                span: key.slice,
                                first_end: key.first_end,
                                judged: Timestamp::MIN,
                                position: table.first_position(group),
                                events: table.group_events(group),
                                key: table.key(group).into(),
                                state: state.into(),
                            }
                        }));
                    }
                }
            }
        }
        pieces
    }

    /// Groups that are folded and not sent, an upper bound on what `drain` would give.
    pub fn groups(&self) -> usize {
        let groups = self.shards.iter().map(|shard| match shard {
            Shard::Aligned(shard) => shard.groups(),
            Shard::Session(stretches) => stretches.len(),
        });
        groups.sum::<usize>() + self.sent.len()
    }
}
