//! How a run of the window pipeline is to be, and what it reads from and writes to.

use std::sync::Arc;

use crate::expr::Program;
use crate::pipeline::backfill::Backfill;
use crate::pipeline::destination::Destinations;
use crate::pipeline::intake::Intake;
use crate::pipeline::keep::Keeper;
use crate::pipeline::points::Buckets;
use crate::pipeline::tally::RejectsMax;
use crate::plan::Plan;
use crate::sink::appended::Appended;
use crate::sink::side::{LateWriter, RejectWriter};
use crate::time::{Clock, Duration, Timestamp};

/// How the pipeline is to run.
#[derive(Debug, Clone)]
pub struct WindowConfig {
    /// The query.
    pub plan: Arc<Plan>,
    /// Threads that decode and fold. At least 1.
    pub threads: usize,
    /// By how much events of a partition may be out of order.
    pub watermark_delay: Duration,
    /// Whether the end of the input fires all open windows.
    pub fire_at_end: bool,
    /// Only windows that lie in this span of event time are written.
    pub range: Option<(Timestamp, Timestamp)>,
    /// Whether the input are late events, which join windows of just those metrics that they were late for.
    pub repairs: bool,
    /// Whether the run ends once the watermark has passed that span.
    pub ends_with_range: bool,
    /// Write early results whenever the watermark passes a multiple of this.
    pub early: Option<Duration>,
    /// What is written.
    pub emit: Emit,
    /// How many lines may be rejected.
    pub rejects_max: RejectsMax,
    /// Tell why windows wait whenever nothing comes.
    pub why: bool,
    /// For each metric, the row expression that makes the run fail.
    pub fail_if: Vec<Option<Program>>,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emit {
    /// Result rows.
    pub rows: bool,
    /// Partials instead.
    pub partials: bool,
    /// `{"watermark":…}` whenever it passes the edge of a window.
    pub watermarks: bool,
    /// `{"stats":…}` at the same time.
    pub stats: bool,
}

/// What the pipeline reads from and writes to.
pub struct WindowEdges {
    /// Where blocks come from.
    pub intake: Intake,
    /// Where rows go.
    pub destinations: Destinations,
    /// The buckets that rows go to, beside.
    pub buckets: Buckets,
    /// Where rejects go.
    pub rejects: Option<RejectWriter>,
    /// What is kept of a point that a bucket refuses.
    pub payload_bytes_max: usize,
    /// Where late events go.
    pub late: Option<LateWriter>,
    /// The file that late events go to, where it is kept how far it belongs to what was committed.
    pub late_file: Option<Appended>,
    /// Where is told why windows wait, and what goes wrong meanwhile.
    pub say: Arc<dyn Fn(&str) + Send + Sync>,
    /// Tells the latency.
    pub clock: Arc<dyn Clock>,
    /// What is kept for the next run.
    pub keeper: Option<Keeper>,
    /// Where windows are made anew, how far that has come.
    pub backfill: Option<Backfill>,
}
