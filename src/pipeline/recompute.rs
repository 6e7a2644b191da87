//! Windows of one metric made of archived events once more, into a store of their own: for questions that what is stored can't answer.
//!
//! It is the very window pipeline, so that rows are those of the live run. Knows nothing of questions, and of where the store lies.

use std::path::Path;
use std::sync::Arc;

use crate::codec::ndjson::Instructions;
use crate::codec::{Decoder, TimeFrom, Wanted};
use crate::pipeline::decode::{Decode, InputDecoder};
use crate::pipeline::destination::Destinations;
use crate::pipeline::error::PipelineError;
use crate::pipeline::intake::{Intake, IntakeOptions};
use crate::pipeline::keep::Keeper;
use crate::pipeline::points::Buckets;
use crate::pipeline::summary::Summary;
use crate::pipeline::window::{Emit, RejectsMax, WindowConfig, WindowEdges, WindowPipeline};
use crate::plan::Plan;
use crate::source::Source;
use crate::store::{Catalogue, Job};
use crate::time::{Clock, Duration, Timestamp};
use crate::validate::FutureGuard;

/// Which windows are made, and how.
#[derive(Debug, Clone)]
pub struct Recompute {
    /// The query; it has one metric.
    pub plan: Arc<Plan>,
    /// What is kept of it.
    pub catalogue: Catalogue,
    /// Where the time of an event comes from.
    pub time: TimeFrom,
    /// By how much events of a partition may be out of order.
    pub watermark_delay: Duration,
    /// Windows that end by then have fired. What is read of the source may end sooner than that shows.
    pub fired: Timestamp,
    /// By how much an event may be dated ahead of its arrival; `None` takes any.
    pub max_future: Option<Duration>,
    /// Threads that decode and fold. At least 1.
    pub threads: usize,
}

/// The longest line that is read back: what was archived was short enough for whoever archived it.
const LINE_BYTES_MAX: usize = 512 << 20;

impl Recompute {
    /// Makes the windows that lie in `range` of what `source` has, and adds them to the store at `path`. Windows that
    /// have not fired are kept as they stand. Ends early, and then has made some of them only, when `is_stopped` says so.
    pub fn run(
        &self,
        range: (Timestamp, Timestamp),
        source: Box<dyn Source>,
        path: &Path,
        clock: &Arc<dyn Clock>,
        is_stopped: Box<dyn Fn() -> bool + Send + Sync>,
    ) -> Result<Summary, PipelineError> {
        let job = Job { metrics: vec![self.catalogue.clone()], fingerprint: Vec::new(), reset: false };
        let keeper = Keeper::open(path, &job, vec![Some(0)], &[], true)?.leaving_open(range.1.min(self.fired));
        let partitions = source.partitions();
        let options =
            IntakeOptions { blocks_max: 4 * self.threads, idle_timeout: None, idle_close: None, patience: None };
        let edges = WindowEdges {
            backfill: None,
            intake: Intake::new(source, Arc::clone(clock), is_stopped, options),
            destinations: Destinations { all: Vec::new(), rows: true },
            buckets: Buckets::default(),
            rejects: None,
            payload_bytes_max: LINE_BYTES_MAX,
            late: None,
            late_file: None,
            say: Arc::new(|_| {}),
            clock: Arc::clone(clock),
            keeper: Some(keeper),
        };
        let config = WindowConfig {
            plan: Arc::clone(&self.plan),
            threads: self.threads,
            watermark_delay: self.watermark_delay,
            fire_at_end: true,
            repairs: false,
            range: Some(range),
            ends_with_range: false,
            early: None,
            emit: Emit { rows: true, partials: false, watermarks: false, stats: false },
            rejects_max: RejectsMax::Unlimited,
            why: false,
            fail_if: vec![None],
        };
        WindowPipeline::new(config, self.decode(partitions), edges)?.run()
    }

    fn decode(&self, partitions: usize) -> Decode {
        let wanted = Wanted { paths: self.plan.wanted.clone(), time: self.time.clone() };
        let ndjson = || {
            let decoder = crate::codec::ndjson::Decoder::with(&wanted, LINE_BYTES_MAX, Instructions::best());
            InputDecoder::Ready(Decoder::Ndjson(Box::new(decoder)))
        };
        Decode {
            decoders: (0..partitions).map(|_| ndjson()).collect(),
            plan: Arc::clone(&self.plan),
            // What was archived is judged by its arrival.
            future: FutureGuard { max: self.max_future, now: None },
            merging: None,
        }
    }
}
