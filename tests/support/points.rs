//! Rows as evwindow would give them, with their states, for tests of the store and of evquery.
//!
//! Events are a group, a time and an amount; each window's row is folded of its events by the real accumulators.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;

use evkit::aggregate::Accumulators;
use evkit::batch::{Column, EventBatch, LineSpan};
use evkit::metric::Metric;
use evkit::partition::PartitionId;
use evkit::plan::{MetricText, Plan};
use evkit::store::{Catalogue, Job};
use evkit::time::{Timestamp, Window};
use evkit::value::Value;

/// A second, a minute, an hour and a day in microseconds.
pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// An event: its groups, its time, what is aggregated.
#[derive(Debug, Clone)]
pub struct Event {
    pub groups: Vec<Value>,
    pub time: i64,
    pub amount: Value,
}

/// The query `--tumbling length --by groups --agg agg` under a name.
pub fn query(name: &str, length: &str, by: &str, agg: &str) -> MetricText {
    MetricText {
        name: Some(name.into()),
        tumbling: Some(length.into()),
        by: (!by.is_empty()).then(|| by.into()),
        agg: Some(agg.into()),
        ..MetricText::default()
    }
}

/// What a store keeps of a query.
pub fn catalogue(text: &MetricText) -> Catalogue {
    let plan = Plan::build(std::slice::from_ref(text)).expect("the query is valid");
    Catalogue::of(text, &plan.schemas[0], &plan.queries[0].functions)
}

/// A job of these metrics.
pub fn job(metrics: &[Catalogue]) -> Job {
    Job { metrics: metrics.to_vec(), fingerprint: vec![("--where".into(), "".into())], reset: false }
}

/// The row of each window and group of these events, in order, of the job's metric of this number. Every aggregate is of the amount,
/// or of rows.
pub fn rows(metric: usize, catalogue: &Catalogue, events: &[Event]) -> Vec<Metric> {
    let length = catalogue.length().expect("a tumbling window").0;
    let mut windows: BTreeMap<(i64, String), Vec<&Event>> = BTreeMap::new();
    for event in events {
        let start = event.time - event.time.rem_euclid(length);
        windows.entry((start, format!("{:?}", event.groups))).or_default().push(event);
    }
    let row = |((start, _), events): (&(i64, String), &Vec<&Event>)| row(metric, catalogue, *start, length, events);
    windows.iter().map(row).collect()
}

/// The row of one window and group.
pub fn row(metric: usize, catalogue: &Catalogue, start: i64, length: i64, events: &[&Event]) -> Metric {
    let functions: Vec<_> = catalogue.fields.iter().map(|field| field.function.clone()).collect();
    let mut accumulators = Accumulators::new(&functions);
    accumulators.add_group();
    let batch = batch(events);
    let numbers: Vec<u32> = (0..events.len() as u32).collect();
    for (aggregate, field) in catalogue.fields.iter().enumerate() {
        let input = (!field.expression.contains('*')).then(|| &batch.columns[0]);
        accumulators.update(aggregate, &vec![0; events.len()], &numbers, input, None, &batch, &mut 0);
    }
    let mut state = Vec::new();
    accumulators.encode_group(0, &mut state);
    let seconds = Some(length as f64 / 1e6);
    Metric {
        metric,
        window: Window::new(Timestamp(start), Timestamp(start + length)),
        groups: events[0].groups.clone().into(),
        aggregates: (0..functions.len()).map(|aggregate| accumulators.finish(aggregate, 0, seconds)).collect(),
        rank: None,
        revision: 0,
        is_final: true,
        retracted: false,
        state: Some(state.into()),
    }
}

/// Where an event stood is told by its time, so that it doesn't depend on who folds it.
fn batch(events: &[&Event]) -> EventBatch {
    let mut text = Vec::new();
    let mut column = Column::new();
    events.iter().for_each(|event| column.push_value(&event.amount, &mut text));
    let spans = events.iter().map(|event| LineSpan { start: event.time as u32, len: 1, line: 0 });
    EventBatch {
        stamps: None,
        partition: PartitionId(0),
        offset: 0,
        line: 0,
        times: events.iter().map(|event| Timestamp(event.time)).collect(),
        spans: spans.collect(),
        columns: vec![column],
        text,
        rejects: Vec::new(),
        in_band: Vec::new(),
        lines: 0,
        blank: 0,
        result_lines: Vec::new(),
    }
}
