//! Windows: assign events to spans of event time, aggregate them by group, fire when the watermark says so.
//!
//! Glossary, one meaning each:
//! * *window*: a half-open span of event time with one row a group. *Aligned* windows follow the clock
//!   (`crate::window::assigner`), *sessions* follow the data (`crate::window::session`).
//! * *slice*: time between two consecutive edges of aligned windows; all its events belong to the same windows.
//! * *table*: the partials of one metric over a slice or a window, a row a group (`crate::window::table`).
//! * *shard*: the part of the open state that one thread folds into. *Fold*: add events to tables.
//! * *fire*: the watermark has reached a window's end; its row is written.
//! * *late*: every window of the event was closed when it came. *Straggler*: it came after a window of its fired, but
//!   within the allowed lateness; that window fires again.
//! * *revision*: how many rows of the same (metric, window, group) were written before.
//!
//! `crate::window::operator` puts these together. Knows nothing of bytes, files, clocks and formats.

pub mod aligned;
pub mod assigner;
pub mod bound;
pub mod combine;
pub mod fired;
pub mod fold;
pub mod key;
pub mod open;
pub mod operator;
pub mod present;
pub mod selected;
pub mod session;
pub mod slices;
pub mod state;
pub mod stretch;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod timers;

use std::sync::Arc;

use crate::aggregate::{Accumulators, Function};
use crate::batch::EventBatch;
use crate::time::{Duration, Timestamp, Window};
use crate::value::Value;
use crate::watermark::RunningMaximum;
pub use crate::window::selected::Selected;

/// Which windows a metric has.
#[derive(Debug, Clone, PartialEq)]
pub enum Windows {
    /// Tumbling, sliding, cumulative, global.
    Aligned(crate::window::assigner::Assigner),
    /// `[first, last + gap)` of each group.
    Session(crate::window::session::Gap),
}

/// Where an aggregate finds its input and its `FILTER`, by column number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateInput {
    /// Column that is aggregated; `None` for `count(*)`.
    pub value: Option<usize>,
    /// Column of truth values; only rows where it is TRUE are aggregated.
    pub filter: Option<usize>,
}

/// One metric, ready to run: all expressions have become columns of the batch.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its windows.
    pub windows: Windows,
    /// Column of truth values; only rows where it is TRUE join windows.
    pub filter: Option<usize>,
    /// Group columns.
    pub groups: Vec<usize>,
    /// What is computed.
    pub functions: Vec<Function>,
    /// Of what, in the same order.
    pub inputs: Vec<AggregateInput>,
    /// How long after firing a window may still change.
    pub allowed_lateness: Duration,
    /// Bound on the groups of a window.
    pub limit: crate::window::table::GroupLimit,
    /// Which rows are shown, and in which order.
    pub presentation: crate::window::present::Presentation,
}

impl Query {
    /// Folds rows into the accumulators of the groups that stand at the same places, aggregate by aggregate.
    pub fn update(
        &self,
        accumulators: &mut Accumulators,
        (groups, rows): (&[u32], &[u32]),
        projected: &Projected,
        nulled: &mut u64,
    ) {
        let batch = &projected.batch;
        for (aggregate, input) in self.inputs.iter().enumerate() {
            let value = input.value.map(|column| &batch.columns[column]);
            let filter = input.filter.map(|column| &batch.columns[column]);
            accumulators.update(aggregate, groups, rows, value, filter, batch, nulled);
        }
    }
}

/// A batch with what the windows need to know of it, computed where it was decoded.
#[derive(Debug)]
pub struct Projected {
    /// The events: wanted fields, then computed columns.
    pub batch: EventBatch,
    /// Where partials are merged: what the lines of the block hold, instead of events.
    pub partials: Vec<Partial>,
    /// Running maximum of the times of the events or partials.
    pub maximum: Arc<RunningMaximum>,
    /// For each metric, the rows that passed its filter and their keys.
    pub selected: Vec<Arc<Selected>>,
}

impl Projected {
    /// Number of events or partials.
    pub fn rows(&self) -> usize {
        self.batch.rows() + self.partials.len()
    }
}

/// A row that was written, or would be: the values of one group of one window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Values of the group columns.
    pub groups: Arc<[Value]>,
    /// Values of the aggregates.
    pub aggregates: Box<[Value]>,
    /// Place among the rows of the window, from 1, with `--top`.
    pub rank: Option<u64>,
}

/// The partial of one group over one span of time, as it is sent on: a delta, each exactly once.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// Number of the metric.
    pub metric: usize,
    /// The span that its events lie in: a slice, or from the first to just after the last event of a session.
    pub span: Window,
    /// Windows that end before this were closed for its events. The slice's end if none was.
    pub first_end: Timestamp,
    /// Of a session, the watermark when it began: sessions that had ended by then are not joined to it.
    pub judged: Timestamp,
    /// Values of the group columns.
    pub groups: Arc<[Value]>,
    /// How many events it holds.
    pub events: u64,
    /// The accumulators, in their versioned encoding.
    pub state: Vec<u8>,
}

impl Partial {
    /// The time by which it moves the watermark: the last instant of its span. One over everything moves nothing.
    pub fn time(&self) -> Timestamp {
        if self.span.end == Timestamp::MAX { Timestamp::MIN } else { Timestamp(self.span.end.0 - 1) }
    }
}

/// What the operator gives, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A result row.
    Row(crate::metric::Metric),
    /// A partial, where partials are asked for instead of rows.
    Partial(Partial),
}

impl Output {
    /// Where it stands among others: by end, then start, then metric.
    pub fn place(&self) -> (Timestamp, Window, usize) {
        match self {
            Output::Row(row) => (row.window.end, row.window, row.metric),
            Output::Partial(partial) => (partial.first_end, partial.span, partial.metric),
        }
    }

    /// Puts outputs in order by place; those that have one place stay as they are, or, where `by_group` says so of their
    /// metric, come in order of their groups: sessions, each of which is a window of its own.
    pub fn sort(outputs: &mut [Output], by_group: impl Fn(usize) -> bool) {
        outputs.sort_by_key(Output::place);
        for same in outputs.chunk_by_mut(|a, b| a.place() == b.place()) {
            if same.len() > 1 && by_group(same[0].place().2) {
                same.sort_by(|a, b| crate::window::key::compare_groups(a.groups(), b.groups()));
            }
        }
    }

    fn groups(&self) -> &[Value] {
        match self {
            Output::Row(row) => &row.groups,
            Output::Partial(partial) => &partial.groups,
        }
    }
}
