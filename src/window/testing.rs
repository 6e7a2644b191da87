//! Takes events through sequencer, workers and operator without a pipeline, for the timelines in this module's tests.

use std::sync::Arc;

use crate::codec::ndjson::Decoder;
use crate::codec::{TimeFrom, Wanted};
use crate::event::Path;
use crate::partition::PartitionId;
use crate::plan::{MetricText, Plan};
use crate::record::Block;
use crate::time::{Duration, TimeFormat, Timestamp};
use crate::value::Value;
use crate::watermark::{RunningMaximum, Sequenced, Sequencer, Step};
use crate::window::operator::{Input, Operator};
use crate::window::{Output, Projected, Selected};

/// Checks what a query gives for events such as `a@3 b@5`, group and time in microseconds, by partition: rows such as
/// `[0,10) a=2`, with `#1` for a revision above 0 and `gone` for a retraction. Whole batches and one worker, single
/// events and three workers must agree.
#[track_caller]
pub fn check(query: MetricText, delay: i64, partitions: &[&str], expected: &[&str]) {
    let query = MetricText { by: Some("g".into()), ..query };
    let plan = Plan::build(&[query]).unwrap();
    for (events_max, workers) in [(usize::MAX, 1), (1, 1), (2, 3)] {
        let rows = run(&plan, delay, partitions, events_max, workers);
        assert_eq!(rows, expected, "batches of {events_max}, {workers} workers");
    }
}

fn run(plan: &Plan, delay: i64, partitions: &[&str], events_max: usize, workers: usize) -> Vec<String> {
    let mut sequencer = Sequencer::new(partitions.len(), Duration(delay));
    let mut batches = Vec::new();
    for (partition, events) in partitions.iter().enumerate() {
        let partition = PartitionId(partition as u32);
        let events: Vec<&str> = events.split_whitespace().collect();
        for events in events.chunks(events_max.min(events.len().max(1))) {
            let projected = projected(plan, partition, events);
            let (rows, maximum) = (projected.batch.rows(), Arc::clone(&projected.maximum));
            sequencer.push(
                partition,
                Sequenced {
                    batch: batches.len(),
                    rows,
                    maximum,
                    in_band: Default::default(),
                    rejects: Default::default(),
                },
            );
            batches.push(projected);
        }
        sequencer.end(partition);
    }
    let mut operator = Operator::new(plan.queries.clone(), workers, false);
    let mut out = Vec::new();
    let mut runs = Vec::new();
    // Steps of three runs: neither one at a time nor all at once.
    loop {
        let step = sequencer.next(Timestamp::MAX);
        let ended = step == Step::End;
        if let Step::Run(run) = step {
            runs.push(run);
        }
        if ended || runs.len() == 3 {
            let inputs: Vec<Input> = runs.iter().map(|run| Input { run, projected: &batches[run.batch] }).collect();
            let folded = operator.workers().iter_mut().map(|worker| worker.fold(&inputs)).collect();
            operator.apply(&inputs, folded, &mut out).unwrap();
            operator.fire(sequencer.watermark(), &mut out);
            runs.clear();
        }
        if ended {
            operator.fire(Timestamp::MAX, &mut out);
            return out.iter().map(shown).collect();
        }
    }
}

fn projected(plan: &Plan, partition: PartitionId, events: &[&str]) -> Projected {
    let line = |event: &&str| {
        let (group, time) = event.split_once('@').unwrap();
        format!("{{\"t\":{time},\"g\":\"{group}\"}}\n")
    };
    let bytes = events.iter().map(line).collect::<String>().into_bytes();
    let time = TimeFrom::Field { path: Path::of_keys(&["t"]), format: TimeFormat::Micros };
    let mut decoder = Decoder::new(&Wanted { paths: plan.wanted.clone(), time }, 1000);
    let mut batch = decoder.decode(Block { partition, offset: 0, from: 0, arrival: Timestamp(0), bytes });
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
