//! Takes events through sequencer, workers and operator without a pipeline, for the timelines in this module's tests.

use std::sync::Arc;

use crate::aggregate::Accumulators;
use crate::batch::EventBatch;
use crate::codec::ndjson::Decoder;
use crate::codec::{TimeFrom, Wanted};
use crate::event::Path;
use crate::partition::PartitionId;
use crate::plan::{MetricText, Plan};
use crate::record::Block;
use crate::time::{Duration, TimeFormat, Timestamp, Window};
use crate::value::Value;
use crate::watermark::{RunningMaximum, Sequenced, Sequencer, Step};
use crate::window::operator::{Input, Operator};
use crate::window::{Output, Partial, Projected, Query, Selected};

/// The next number of the generator splitmix64.
pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Checks what a query gives for events such as `a@3 b@5`, group and time in microseconds, by partition: rows such as
/// `[0,10) a=2`, with `#1` for a revision above 0 and `gone` for a retraction. Whole batches and one worker, single
/// events and three workers, and runs that go on in another process after every step must agree.
#[track_caller]
pub fn check(query: MetricText, delay: i64, partitions: &[&str], expected: &[&str]) {
    let query = MetricText { by: Some("g".into()), ..query };
    let plan = Plan::build(&[query]).unwrap();
    for (events_max, workers) in [(usize::MAX, 1), (1, 1), (2, 3)] {
        for restarts in [false, true] {
            let rows = Stream::new(&plan, delay, partitions, events_max, workers).run(restarts);
            assert_eq!(rows, expected, "batches of {events_max}, {workers} workers, restarts: {restarts}");
        }
    }
}

/// A query on its way through some events.
struct Stream<'a> {
    plan: &'a Plan,
    delay: i64,
    /// By partition.
    events: Vec<Vec<&'a str>>,
    events_max: usize,
    workers: usize,
    sequencer: Sequencer,
    operator: Operator,
    /// Each with the number of events of its partition before it.
    batches: Vec<(usize, Projected)>,
}

/// What a query gives for events such as `a@3 b@5`, by partition, in one straight run.
pub fn straight(plan: &Plan, delay: i64, partitions: &[Vec<&str>]) -> Vec<Output> {
    let joined: Vec<String> = partitions.iter().map(|events| events.join(" ")).collect();
    let partitions: Vec<&str> = joined.iter().map(String::as_str).collect();
    Stream::new(plan, delay, &partitions, 7, 1).outputs(false)
}

impl<'a> Stream<'a> {
    fn new(plan: &'a Plan, delay: i64, partitions: &[&'a str], events_max: usize, workers: usize) -> Stream<'a> {
        let events: Vec<Vec<&str>> = partitions.iter().map(|events| events.split_whitespace().collect()).collect();
        let sequencer = Sequencer::new(partitions.len(), Duration(delay));
        let operator = Operator::new(plan.queries.clone(), workers, false);
        let none_taken = vec![0; events.len()];
        let mut stream = Stream { plan, delay, events, events_max, workers, sequencer, operator, batches: Vec::new() };
        stream.give(&none_taken);
        stream
    }

    /// Hands everything to the sequencer but the events that were taken before.
    fn give(&mut self, taken: &[usize]) {
        for (index, &taken) in taken.iter().enumerate() {
            let partition = PartitionId(index as u32);
            let mut before = taken;
            for events in self.events[index][taken..].chunks(self.events_max.min(self.events[index].len().max(1))) {
                let projected = projected(self.plan, partition, events);
                let (batch, rows, maximum) = (self.batches.len(), events.len(), Arc::clone(&projected.maximum));
                let (in_band, rejects) = Default::default();
                self.sequencer.push(partition, Sequenced { batch, rows, maximum, in_band, rejects });
                self.batches.push((before, projected));
                before += events.len();
            }
            self.sequencer.end(partition);
        }
    }

    /// In steps of three runs, neither one at a time nor all at once; with restarts, one at a time.
    fn run(self, restarts: bool) -> Vec<String> {
        self.outputs(restarts).iter().map(shown).collect()
    }

    fn outputs(mut self, restarts: bool) -> Vec<Output> {
        let runs_max = if restarts { 1 } else { 3 };
        let (mut out, mut runs) = (Vec::new(), Vec::new());
        loop {
            let step = self.sequencer.next(Timestamp::MAX);
            let ended = step == Step::End;
            if let Step::Run(run) = step {
                runs.push(run);
            }
            if ended || runs.len() == runs_max {
                let inputs: Vec<Input> =
                    runs.iter().map(|run| Input { run, projected: &self.batches[run.batch].1 }).collect();
                let folded = self.operator.workers().iter_mut().map(|worker| worker.fold(&inputs)).collect();
                self.operator.apply(&inputs, folded, &mut out).unwrap();
                self.operator.fire(self.sequencer.watermark(), &mut out);
                runs.clear();
                if restarts {
                    self.restart();
                }
            }
            if ended {
                self.operator.fire(Timestamp::MAX, &mut out);
                return out;
            }
        }
    }

    /// Goes on with nothing but what was saved, on another number of workers.
    fn restart(&mut self) {
        let (mut of_operator, mut of_sequencer) = (Vec::new(), Vec::new());
        self.operator.save(&mut of_operator);
        self.sequencer.save(&mut of_sequencer);
        self.workers = 4 - self.workers;
        self.operator = Operator::new(self.plan.queries.clone(), self.workers, false);
        self.operator.restore(&of_operator).unwrap();
        let before = std::mem::replace(&mut self.sequencer, Sequencer::new(self.events.len(), Duration(self.delay)));
        self.sequencer.restore(&of_sequencer).unwrap();
        let mut taken = Vec::new();
        for (index, events) in self.events.iter().enumerate() {
            let partition = PartitionId(index as u32);
            let mut saved = Vec::new();
            before.save_partition(partition, &mut saved);
            self.sequencer.restore_partition(partition, &saved).unwrap();
            let goes_on = before.goes_on_at(partition).map(|(batch, rows)| self.batches[batch].0 + rows);
            taken.push(goes_on.unwrap_or(events.len()));
        }
        self.batches.clear();
        self.give(&taken);
    }
}

/// Events such as `a@3`, decoded and projected.
pub fn projected(plan: &Plan, partition: PartitionId, events: &[&str]) -> Projected {
    let line = |event: &&str| {
        let (group, time) = event.split_once('@').unwrap();
        format!("{{\"t\":{time},\"g\":\"{group}\"}}\n")
    };
    let bytes = events.iter().map(line).collect::<String>().into_bytes();
    let time = TimeFrom::Field { path: Path::of_keys(&["t"]), format: TimeFormat::Micros };
    let mut decoder = Decoder::new(&Wanted { paths: plan.wanted.clone(), time }, 1000);
    let mut batch = decoder.decode(Block { partition, offset: 0, from: 0, arrival: Timestamp(0), stamps: None, bytes });
    plan.compute(&mut batch, &mut 0);
    let maximum = Arc::new(RunningMaximum::of(&batch.times));
    let selected = Selected::of_all(&plan.queries, &batch);
    Projected { batch, partials: Vec::new(), maximum, selected }
}

fn shown(output: &Output) -> String {
    let Output::Row(row) = output else { panic!("rows were asked for, not {output:?}") };
    let bound = |time: Timestamp| match time {
        Timestamp::MIN | Timestamp::MAX => "…".to_owned(),
        time => time.0.to_string(),
    };
    let text = |value: &Value| match value {
        Value::Text(text) => text.to_string(),
        other => other.to_json(),
    };
    let revision = if row.revision > 0 { format!(" #{}", row.revision) } else { String::new() };
    let gone = if row.retracted { " gone" } else { "" };
    let values: Vec<String> = row.groups.iter().chain(&row.aggregates).map(text).collect();
    format!("[{},{}) {}{revision}{gone}", bound(row.window.start), bound(row.window.end), values.join("="))
}

/// One event of a group in `[start, start + 1)`, as a partial of a query whose one aggregate is `count(*)`.
pub fn one_event(queries: &[Query], metric: usize, group: &str, start: i64) -> Partial {
    let mut accumulators = Accumulators::new(&queries[metric].functions);
    let number = accumulators.add_group();
    let bytes = Vec::new();
    let block = Block { partition: PartitionId(0), offset: 0, from: 0, arrival: Timestamp(0), stamps: None, bytes };
    accumulators.update(0, &[number], &[0], None, None, &EventBatch::empty(block), &mut 0);
    let mut state = Vec::new();
    accumulators.encode_group(number, &mut state);
    Partial {
        metric,
        span: Window::new(Timestamp(start), Timestamp(start + 1)),
        first_end: Timestamp(start + 1),
        judged: Timestamp::MIN,
        groups: [Value::Text(group.into())].into(),
        events: 1,
        state,
    }
}
