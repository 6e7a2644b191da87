//! The window operator: all metrics of a stream, folded by workers side by side, applied and fired in one order.
//!
//! The caller cuts the stream into runs (`crate::watermark::Sequencer`), lets every `Worker` fold them, on as many threads
//! as it likes, and hands the results back to `Operator::apply`, in the order of the runs. What comes out is the same for
//! any number of workers and any cut. Starts no thread itself; knows nothing of formats and clocks.

mod open;
mod saved;

use std::sync::Arc;

use crate::stats::MetricCounts;
use crate::time::Timestamp;
use crate::watermark::Run;
use crate::window::aligned::{Aligned, Arrival, Bounds, Context};
use crate::window::fold::{Outcome, SliceKey, StragglerPolicy};
use crate::window::key::key_of;
use crate::window::open::most_open;
pub use crate::window::operator::open::OpenSize;
use crate::window::table::hash_key;
use crate::window::{Output, Partial, Projected, Query, Windows};

/// A run with its batch.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The rows to take.
    pub run: &'a Run,
    /// The batch that they belong to.
    pub projected: &'a Projected,
}

/// One share of the open state of all metrics, folded by one thread at a time.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    workers: usize,
    queries: Arc<[Query]>,
    partials: bool,
    shards: Vec<Shard>,
}

#[derive(Debug)]
enum Shard {
    Aligned(crate::window::fold::Shard),
    Session(Box<crate::window::session::Shard>),
}

impl Shard {
    fn session(&self) -> Option<&crate::window::session::Shard> {
        match self {
            Shard::Session(shard) => Some(shard),
            Shard::Aligned(_) => None,
        }
    }

    fn session_mut(&mut self) -> Option<&mut crate::window::session::Shard> {
        match self {
            Shard::Session(shard) => Some(shard),
            Shard::Aligned(_) => None,
        }
    }

    fn aligned(&self) -> Option<&crate::window::fold::Shard> {
        match self {
            Shard::Aligned(shard) => Some(shard),
            Shard::Session(_) => None,
        }
    }

    fn aligned_mut(&mut self) -> Option<&mut crate::window::fold::Shard> {
        match self {
            Shard::Aligned(shard) => Some(shard),
            Shard::Session(_) => None,
        }
    }
}

/// What a worker found in the runs of one step.
#[derive(Debug, Default)]
pub struct Folded {
    /// (number of the input, metric, outcome).
    outcomes: Vec<(usize, usize, Outcome)>,
    revisions: Vec<(usize, crate::window::session::Revision)>,
    nulled: u64,
}

impl Worker {
    /// Folds this worker's share of a step: its part of the runs for aligned windows, its groups of all runs for sessions.
    pub fn fold(&mut self, inputs: &[Input]) -> Folded {
        let mut folded = Folded::default();
        let (place, policy) = ((self.index, self.workers), self.policy());
        for (metric, (query, shard)) in self.queries.iter().zip(&mut self.shards).enumerate() {
            match (shard, &query.windows) {
                (Shard::Aligned(shard), Windows::Aligned(assigner)) => {
                    for (index, &Input { run, projected }) in inputs.iter().enumerate() {
                        // Every run is shared, so that one alone keeps all workers busy.
                        let part = |nth: usize| run.rows.start + run.rows.len() * nth / place.1;
                        let run = Run { rows: part(place.0)..part(place.0 + 1), ..run.clone() };
                        let input = (projected, &*projected.selected[metric], &run);
                        let outcome = shard.fold(query, assigner, policy, input, &mut folded.nulled);
                        folded.outcomes.push((index, metric, outcome));
                    }
                }
                (Shard::Session(shard), Windows::Session(gap)) => {
                    for (index, &Input { run, projected }) in inputs.iter().enumerate() {
                        let input = (projected, &*projected.selected[metric], run);
                        let outcome = shard.fold(query, *gap, place, input, &mut folded.nulled);
                        folded.outcomes.push((index, metric, outcome));
                    }
                    folded.revisions.extend(shard.take_revisions().into_iter().map(|revision| (metric, revision)));
                }
                _ => unreachable!("shards are made after the queries"),
            }
        }
        folded
    }

    /// Does this worker's part of firing the sessions that end by `watermark`, ahead of `Operator::fire_next`.
    pub fn fire_sessions(&mut self, watermark: Timestamp) {
        for (query, shard) in self.queries.iter().zip(&mut self.shards) {
            if let Shard::Session(shard) = shard {
                shard.fire_ahead(query, watermark);
            }
        }
    }

    fn policy(&self) -> StragglerPolicy {
        if self.partials { StragglerPolicy::Whole } else { StragglerPolicy::Split }
    }
}

/// A bound that was reached.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum OperatorError {
    /// Sessions are found group by group, so there is no window in which further groups could be put together.
    #[error("more than {groups_max} sessions are open at once, the most that --max-groups allows")]
    TooManySessions {
        /// The bound.
        groups_max: u32,
    },
    /// A partial over a span that is in no one window.
    #[error("a partial of the span from {start} to {end} crosses the edge of a window")]
    SpansWindows {
        /// Its start.
        start: Timestamp,
        /// Its end.
        end: Timestamp,
    },
}

/// An event that no window of a metric took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Late {
    /// Number of the input of the step.
    pub input: usize,
    /// Row of its batch.
    pub row: u32,
    /// Number of the metric.
    pub metric: usize,
}

/// All metrics of a stream.
#[derive(Debug)]
pub struct Operator {
    queries: Arc<[Query]>,
    workers: Vec<Worker>,
    aligned: Vec<Aligned>,
    counts: Vec<MetricCounts>,
    nulled: u64,
    partials: bool,
    watermark: Timestamp,
}

/// What an event causes by itself, in its place in the stream.
enum Caused {
    Straggler { input: usize, straggler: crate::window::fold::Straggler },
    Output(Output),
}

impl Operator {
    /// For these queries, with the state spread over `workers` workers. `partials`: send partials instead of rows.
    pub fn new(queries: Vec<Query>, workers: usize, partials: bool) -> Operator {
        let queries: Arc<[Query]> = queries.into();
        let worker = |index| Worker {
            index,
            workers,
            queries: queries.clone(),
            partials,
            shards: queries
                .iter()
                .enumerate()
                .map(|(metric, query)| match query.windows {
                    Windows::Aligned(_) => Shard::Aligned(Default::default()),
                    Windows::Session(gap) => {
                        Shard::Session(Box::new(crate::window::session::Shard::new(metric, query, gap, partials)))
                    }
                })
                .collect(),
        };
        Operator {
            workers: (0..workers).map(worker).collect(),
            aligned: queries.iter().map(|_| Aligned::default()).collect(),
            counts: vec![MetricCounts::default(); queries.len()],
            nulled: 0,
            partials,
            watermark: Timestamp::MIN,
            queries,
        }
    }

    /// From now on the rows of the metrics that are named by `true` carry the states of their groups (`Metric::state`), as far
    /// as the metric's windows are aligned and it has neither `--top` nor `--having`.
    pub fn keep_states(&mut self, metrics: &[bool]) {
        for ((query, aligned), _) in
            self.queries.iter().zip(&mut self.aligned).zip(metrics).filter(|(_, asked)| **asked)
        {
            if query.presentation.is_plain() {
                aligned.keep_states();
            }
        }
    }

    /// The workers, each of which must fold every step before it is applied.
    pub fn workers(&mut self) -> &mut [Worker] {
        &mut self.workers
    }

    /// What happened to the events, by metric.
    pub fn counts(&self) -> Vec<MetricCounts> {
        let overflowed = self.aligned.iter().map(Aligned::overflowed);
        self.counts.iter().zip(overflowed).map(|(counts, overflowed)| MetricCounts { overflowed, ..*counts }).collect()
    }

    /// Values that became NULL while they were aggregated.
    pub fn nulled(&self) -> u64 {
        self.nulled + self.aligned.iter().map(Aligned::nulled).sum::<u64>()
    }

    /// Lets windows fire again up to any watermark: where events are folded whatever the watermark, those of windows that have fired
    /// make windows of their own.
    pub fn rewind(&mut self) {
        self.watermark = Timestamp::MIN;
    }

    /// The watermark up to which windows have fired.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Applies what the workers found in one step: what events caused by themselves comes out at their place between
    /// the windows that fire. Returns the late events in the order of the stream, once for each metric that they are late for.
    pub fn apply(
        &mut self,
        inputs: &[Input],
        folded: Vec<Folded>,
        out: &mut Vec<Output>,
    ) -> Result<Vec<Late>, OperatorError> {
        self.check_sessions()?;
        let mut late = Vec::new();
        let mut caused: Vec<(u64, usize, Timestamp, Caused)> = Vec::new();
        for part in folded {
            self.nulled += part.nulled;
            for (input, metric, outcome) in part.outcomes {
                let counts = &mut self.counts[metric];
                counts.used += outcome.used;
                counts.late += outcome.late;
                counts.no_window += outcome.no_window;
                late.extend(outcome.late_rows.into_iter().map(|row| Late { input, row, metric }));
                for straggler in outcome.stragglers {
                    let Input { run, projected } = inputs[input];
                    let row = straggler.row as usize;
                    let operator = run.operator_before(row, &projected.maximum);
                    let place = (run.position_of(row), metric, operator);
                    caused.push((place.0, place.1, place.2, Caused::Straggler { input, straggler }));
                }
            }
            for (metric, revision) in part.revisions {
                caused.push((revision.position, metric, revision.operator, Caused::Output(revision.output)));
            }
        }
        for (metric, counts) in self.counts.iter_mut().enumerate() {
            for Input { run, projected } in inputs {
                let selected = projected.selected[metric].within(&run.rows).len();
                counts.filtered += (run.rows.len() - selected) as u64;
            }
        }
        caused.sort_by_key(|(position, metric, _, _)| (*position, *metric));
        for (position, metric, operator, what) in caused {
            self.fire(operator, out);
            match what {
                Caused::Output(output) => out.push(output),
                Caused::Straggler { input, straggler } => {
                    let projected = inputs[input].projected;
                    let arrival = Arrival::Event(projected, &projected.selected[metric], straggler);
                    let (queries, partials) = (self.queries.clone(), self.partials);
                    let Some(context) = context(&queries, metric, partials) else { continue };
                    let lateness = context.query.allowed_lateness.0;
                    let closed = straggler.watermark;
                    let after = Timestamp(closed.0.saturating_sub(lateness));
                    let bounds = Bounds { slice: straggler.slice, after, closed };
                    self.aligned[metric].straggle(context, bounds, (arrival, position), operator, out);
                }
            }
        }
        late.sort_unstable();
        self.bound_groups();
        Ok(late)
    }

    /// Merges a partial that another program folded, and whose state was found whole, in its place in the stream: `own` is
    /// its partition's watermark before it, `operator` the operator's. Windows fire as for events. Whether it came too late
    /// for all of its windows. After some of them, `bound_groups` keeps memory in bounds.
    pub fn merge(
        &mut self,
        partial: &Partial,
        (own, operator, position): (Timestamp, Timestamp, u64),
        out: &mut Vec<Output>,
    ) -> Result<bool, OperatorError> {
        self.fire(operator, out);
        let (queries, metric) = (self.queries.clone(), partial.metric);
        let query = &queries[metric];
        let Some(context) = context(&queries, metric, self.partials) else {
            return self.merge_session(partial, (own, operator, position), out);
        };
        let Some(slice) = context.assigner.slice(partial.span.start) else {
            self.counts[metric].no_window += partial.events;
            return Ok(false);
        };
        if partial.span.end > slice.end {
            return Err(OperatorError::SpansWindows { start: partial.span.start, end: partial.span.end });
        }
        let lateness = context.query.allowed_lateness.0;
        let first_possible = Timestamp(partial.first_end.0 - 1);
        let after = Timestamp(own.0.saturating_sub(lateness)).max(first_possible);
        let Some(first) = context.assigner.window_after(slice, after) else {
            self.counts[metric].late += partial.events;
            return Ok(true);
        };
        self.counts[metric].used += partial.events;
        // What is sent on as a partial is sent as it came.
        if first.end <= own || self.partials {
            let bounds = Bounds { slice, after, closed: own };
            let arrival = (Arrival::Partial(partial), position);
            self.aligned[metric].straggle(context, bounds, arrival, operator, out);
            if self.partials {
                return Ok(false);
            }
        }
        if let Some(open) = context.assigner.window_after(slice, own.max(first_possible)) {
            let key = SliceKey { first_end: open.end, slice };
            if let Some(shard) = self.workers[0].aligned(metric) {
                shard.merge(query, key, partial, position);
            }
        }
        Ok(false)
    }

    fn merge_session(
        &mut self,
        partial: &Partial,
        place: (Timestamp, Timestamp, u64),
        out: &mut Vec<Output>,
    ) -> Result<bool, OperatorError> {
        let metric = partial.metric;
        let query = &self.queries[metric];
        let key = key_of(&partial.groups);
        let worker = crate::window::session::shard_of(hash_key(&key), self.workers.len());
        let (Shard::Session(shard), Windows::Session(gap)) = (&mut self.workers[worker].shards[metric], &query.windows)
        else {
            unreachable!("shards are made after the queries")
        };
        let counts = &mut self.counts[metric];
        let is_late = !shard.merge_partial(query, *gap, (partial, &key), place);
        *(if is_late { &mut counts.late } else { &mut counts.used }) += partial.events;
        out.extend(shard.take_revisions().into_iter().map(|revision| revision.output));
        self.check_sessions()?;
        Ok(is_late)
    }

    /// Puts groups together that no window will show, once there are far more than `--max-groups`. No answer depends on
    /// when this is done. `apply` does it for events.
    pub fn bound_groups(&mut self) {
        for metric in 0..self.queries.len() {
            if let Some(context) = context(&self.queries, metric, self.partials) {
                let shards = self.workers.iter_mut().filter_map(|worker| worker.aligned(metric)).collect();
                self.aligned[metric].bound_groups(context, shards, self.watermark);
            }
        }
    }

    /// Fails if more sessions were open at once than the bound allows. Nothing must have fired since the last events.
    fn check_sessions(&mut self) -> Result<(), OperatorError> {
        for (metric, query) in self.queries.iter().enumerate() {
            let shards = || self.workers.iter().filter_map(|worker| worker.shards[metric].session());
            let groups_max = query.limit.groups_max;
            let at_most: u64 = shards().map(crate::window::session::Shard::open_at_most).sum();
            // Nearly always there is no need to look any closer.
            if at_most > u64::from(groups_max)
                && most_open(shards().map(|shard| shard.noted(query))) > u64::from(groups_max)
            {
                return Err(OperatorError::TooManySessions { groups_max });
            }
        }
        for shard in self.workers.iter_mut().flat_map(|worker| &mut worker.shards) {
            if let Shard::Session(shard) = shard {
                shard.settle();
            }
        }
        Ok(())
    }

    /// Fires the windows that end first, of those that end by `watermark`. Whether there are more: then what came out can
    /// be written before they fire, so that memory holds one window's rows and not all of them.
    pub fn fire_next(&mut self, watermark: Timestamp, out: &mut Vec<Output>) -> bool {
        let begin = out.len();
        let mut due: Option<Timestamp> = None;
        for metric in 0..self.queries.len() {
            if let Some(context) = context(&self.queries, metric, self.partials) {
                let mut shards: Vec<_> = self.workers.iter_mut().filter_map(|w| w.aligned(metric)).collect();
                let next = self.aligned[metric].next_due(context, &mut shards, watermark, out);
                due = due.into_iter().chain(next).min();
            }
        }
        let end = due.filter(|&end| end > self.watermark).unwrap_or(watermark);
        self.fire(end, out);
        if self.partials {
            // Those of slices and of sessions stand in one order, wherever the stream was cut.
            self.sort(&mut out[begin..]);
        }
        end < watermark
    }

    /// Fires every window that ends by `watermark`, in order of end, start, metric, and rank or group.
    pub fn fire(&mut self, watermark: Timestamp, out: &mut Vec<Output>) {
        if watermark <= self.watermark {
            return;
        }
        self.watermark = watermark;
        let begin = out.len();
        for metric in 0..self.queries.len() {
            match context(&self.queries, metric, self.partials) {
                Some(context) => {
                    let mut shards: Vec<_> = self.workers.iter_mut().filter_map(|w| w.aligned(metric)).collect();
                    self.aligned[metric].fire(context, &mut shards, watermark, out);
                }
                None => {
                    for worker in &mut self.workers {
                        if let Shard::Session(shard) = &mut worker.shards[metric] {
                            shard.fire(&self.queries[metric], watermark, out);
                        }
                    }
                }
            }
        }
        self.sort(&mut out[begin..]);
    }

    /// Rows of aligned windows are in order within their metric already; sessions come group by group.
    fn sort(&self, outputs: &mut [Output]) {
        Output::sort(outputs, |metric| self.is_session(metric));
    }

    fn is_session(&self, metric: usize) -> bool {
        matches!(self.queries[metric].windows, Windows::Session(_))
    }
}

impl Worker {
    fn aligned(&mut self, metric: usize) -> Option<&mut crate::window::fold::Shard> {
        self.shards[metric].aligned_mut()
    }
}

/// What the aligned windows of a metric need; `None` for sessions.
fn context(queries: &[Query], metric: usize, partials: bool) -> Option<Context<'_>> {
    let query = &queries[metric];
    match &query.windows {
        Windows::Aligned(assigner) => Some(Context { metric, query, assigner, partials }),
        Windows::Session(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Accumulators;
    use crate::batch::EventBatch;
    use crate::partition::PartitionId;
    use crate::plan::{MetricText, Plan};
    use crate::record::Block;
    use crate::time::Window;
    use crate::value::Value;
    use crate::window::testing::check;

    fn tumbling() -> MetricText {
        MetricText { tumbling: Some("10us".into()), ..MetricText::default() }
    }

    /// w = 9 leaves the window open, w = 10 fires it: b@5 comes in time, b@6 too late.
    /// ```text
    /// 0                  10
    /// [── a@1 ─ z@9 ─ b@5 )  z@10  b@6
    /// ```
    #[test]
    fn a_window_fires_when_the_watermark_reaches_its_end() {
        check(tumbling(), 0, &["a@1 z@9 b@5 z@10 b@6"], &["[0,10) a=1", "[0,10) b=1", "[0,10) z=1", "[10,20) z=1"]);
    }

    /// The watermark moves with every event, also within one batch: b comes after z@12 has closed its window.
    #[test]
    fn the_watermark_moves_with_every_event() {
        check(tumbling(), 2, &["a@1 z@12 b@5"], &["[0,10) a=1", "[10,20) z=1"]);
    }

    /// Windows that fire together come in order of their ends.
    #[test]
    fn rows_come_in_order_of_windows_and_groups() {
        let expected = ["[0,10) a=1", "[0,10) c=1", "[10,20) b=1", "[30,40) a=1"];
        check(tumbling(), 100, &["a@31 c@4 b@15 a@5"], &expected);
    }

    /// The operator waits for the slowest partition; one that has ended holds nothing back.
    /// ```text
    /// 0: a@1 ───────────────── a@15
    /// 1: b@2 ── b@25 ── end
    /// ```
    #[test]
    fn the_slowest_partition_holds_the_watermark() {
        let expected = ["[0,10) a=1", "[0,10) b=1", "[10,20) a=1", "[20,30) b=1"];
        check(tumbling(), 0, &["a@1 a@15", "b@2 b@25"], &expected);
    }

    /// Partials of a hundred groups, of which the window shows one.
    #[test]
    fn merging_keeps_groups_within_their_bound() {
        let query = MetricText { by: Some("g".into()), max_groups: Some(1), ..tumbling() };
        let plan = Plan::build(&[query]).unwrap();
        let mut one_event = Accumulators::new(&plan.queries[0].functions);
        let group = one_event.add_group();
        one_event.update(0, &[group], &[0], None, None, &EventBatch::empty(block()), &mut 0);
        let mut state = Vec::new();
        one_event.encode_group(group, &mut state);
        let mut operator = Operator::new(plan.queries, 1, false);
        let mut out = Vec::new();
        for number in 0..100 {
            let span = Window::new(Timestamp(0), Timestamp(10));
            let groups = [Value::Int(number)].into();
            let judged = Timestamp::MIN;
            let partial =
                Partial { metric: 0, span, first_end: span.end, judged, groups, events: 1, state: state.clone() };
            let place = (Timestamp(0), Timestamp(0), number as u64);
            assert_eq!(operator.merge(&partial, place, &mut out), Ok(false));
        }
        operator.bound_groups();
        assert_eq!(operator.workers[0].aligned(0).map(|shard| shard.groups()), Some(2));
        operator.fire(Timestamp(10), &mut out);
        let counts: Vec<Box<[Value]>> = out
            .into_iter()
            .map(|output| match output {
                Output::Row(row) => row.aggregates,
                Output::Partial(partial) => panic!("rows were asked for, not {partial:?}"),
            })
            .collect();
        assert_eq!(counts, [[Value::Int(1)].into(), [Value::Int(99)].into()]);
    }

    fn block() -> Block {
        Block { partition: PartitionId(0), offset: 0, from: 0, arrival: Timestamp(0), stamps: None, bytes: Vec::new() }
    }
}
