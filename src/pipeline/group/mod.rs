//! A consumer group's run of the window pipeline, exactly once, in two stages that share a process and scale to many.
//!
//! `combine` reads the input, folds events into pieces and sends them to the internal topic `GROUP.partials`; `merge` reads them there,
//! merges and fires windows, and writes results. Each stage commits what it wrote together with how far it read. What one stage makes
//! of the same records is always the same, so whatever a kill leaves undone is done again and comes out once.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration as WallDuration, Instant};

use crate::kafka::admin::Admin;
use crate::kafka::error::KafkaError;
use crate::kafka::internal;
use crate::kafka::settings::Settings;
use crate::kafka::transaction::{NextOffset, TransactionError};
use crate::pipeline::decode::Decode;
use crate::pipeline::error::PipelineError;
use crate::pipeline::group::combine::Combine;
use crate::pipeline::group::merge::Merge;
use crate::pipeline::group::note::{By, NoteError, ShardNote};
use crate::pipeline::group::parcel::Mark;
use crate::pipeline::group::shard::{Shard, ShardError};
use crate::pipeline::group::status::Pulse;
pub use crate::pipeline::group::status::{Histogram, Place, STAGES, Status};
use crate::pipeline::points::{BucketConfig, Buckets};
use crate::plan::Plan;
use crate::stats::{InputCounts, MetricCounts};
use crate::store::influx::{Lease, OpenError, WriteError};
use crate::time::{Clock, Duration, Timestamp};
use crate::window::operator::OpenSize;

pub mod combine;
pub(crate) mod fault;
mod lane;
mod lease;
pub mod merge;
mod note;
mod parcel;
pub mod shard;
mod stage;
mod status;

/// How a group's run is to be.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// The cluster.
    pub settings: Settings,
    /// The topic of the input.
    pub topic: String,
    /// The group: all processes of it share the work.
    pub group: String,
    /// This process in the group: no other may use the name at the same time.
    pub instance: String,
    /// When this process was started.
    pub started: Timestamp,
    /// The query.
    pub plan: Arc<Plan>,
    /// What the answer depends on, as one number: processes of a group must agree.
    pub fingerprint: u64,
    /// Threads that decode and fold. At least 1.
    pub threads: usize,
    /// By how much events of a partition may be out of order.
    pub watermark_delay: Duration,
    /// Silence after which a partition is not waited for.
    pub idle_timeout: Option<Duration>,
    /// Silence of all partitions after which time goes on with the clock.
    pub idle_close: Option<Duration>,
    /// Write early results whenever the watermark passes a multiple of this.
    pub early: Option<Duration>,
    /// Where to begin where nothing was committed.
    pub start: Start,
    /// What to do where retention has overtaken a committed offset.
    pub on_gap: Gap,
    /// The most that a commit waits.
    pub commit_interval: WallDuration,
    /// How often open windows are saved.
    pub checkpoint_interval: WallDuration,
    /// How long brokers that can't be reached are waited for at the beginning.
    pub startup_timeout: WallDuration,
    /// How many records may be rejected by this process.
    pub rejects_max: Option<u64>,
    /// The longest record that is kept whole when it is rejected.
    pub line_bytes_max: usize,
    /// Where rows go.
    pub outputs: Vec<TopicOutput>,
    /// The buckets that rows go to.
    pub buckets: Vec<BucketConfig>,
    /// The topic that rejects go to.
    pub rejects_to: Option<String>,
    /// The topic that late events go to.
    pub late_to: Option<String>,
}

/// A topic for rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOutput {
    /// Its name.
    pub topic: String,
    /// The metrics whose rows it takes, by number.
    pub metrics: Vec<bool>,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the first record that is there.
    Earliest,
    /// With the next record.
    Latest,
    /// With the first record whose Kafka time is at least this.
    At(Timestamp),
}

/// What to do where records are gone that were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// End.
    Fail,
    /// Say so, and go on behind it.
    Skip,
}

/// Why a group's run ended.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A transaction, which can be begun anew.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// A bucket does not take the rows.
    #[error(transparent)]
    Points(#[from] WriteError),
    /// A bucket can't be written to.
    #[error(transparent)]
    Bucket(#[from] OpenError),
    /// Threads, mostly.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// What the first stage sent can't be merged.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// What is committed can't be gone on with.
    #[error("cannot go on where the group ended")]
    Note(#[from] NoteError),
    /// Retention was faster.
    #[error(
        "cannot go on with partition {partition} of '{topic}' at offset {committed}: retention has dropped all before {low}"
    )]
    Gap {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset that was committed.
        committed: i64,
        /// The first that is there.
        low: i64,
    },
    /// The topic is not the one that was read.
    #[error(
        "cannot go on with partition {partition} of '{topic}' at offset {committed}: it ends at {high}; was the topic deleted and made again?"
    )]
    Beyond {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset that was committed.
        committed: i64,
        /// Its end.
        high: i64,
    },
    /// What was committed for a partition has been replaced since it was looked up.
    #[error("partition {partition} has moved on")]
    Moved {
        /// The partition.
        partition: i32,
    },
    /// Somebody has deleted records of an internal topic.
    #[error("cannot go on: records of '{topic}' that were not merged yet have been deleted")]
    LogLost {
        /// The topic.
        topic: String,
    },
    /// What spoils transactions does not pass.
    #[error("cannot commit: {lost} transactions were lost one after the other, the last one because of: {cause}")]
    Stuck {
        /// How many.
        lost: u32,
        /// The client's words.
        cause: String,
    },
    /// The group's processes run.
    #[error("cannot begin the group '{group}' anew: it has members")]
    Running {
        /// The group.
        group: String,
    },
    /// The input holds results.
    #[error("cannot window {place}: it is a partial result, or a corrected row that may have been counted already")]
    NotEvents {
        /// Topic, partition and offset.
        place: String,
    },
    /// More than `--max-rejects`.
    #[error("{rejected} records are rejected, and --max-rejects allows '{max}'")]
    TooManyRejects {
        /// How many.
        rejected: u64,
        /// How many may be.
        max: u64,
    },
    /// The client does not know its own group: a bug, or a member that was thrown out this moment.
    #[error("cannot commit: the client has no group")]
    NoGroup,
}

impl GroupConfig {
    /// The topic that pieces travel in.
    pub fn partials_topic(&self) -> String {
        format!("{}.partials", self.group)
    }

    /// The topic that open windows are saved in.
    pub fn state_topic(&self) -> String {
        format!("{}.state", self.group)
    }

    fn by(&self) -> By {
        By { i: self.instance.clone(), t: self.started.0.div_euclid(1000) }
    }

    /// Whether a later process goes by our name: it has committed something of `topic` in `group`. Brokers say that a member is fenced also
    /// when one of its own requests to join was answered and the answer was lost, and that a producer is when it ran out of time; what is
    /// committed tells. Without an answer nothing may be taken for ours.
    fn is_replaced(&self, group: &str, topic: &str, edges: &Edges) -> Result<bool, KafkaError> {
        let committed = edges.wait_for_brokers(|| Admin::new(&self.settings, ASK_TIMEOUT)?.committed(group, topic))?;
        Ok(committed.iter().any(|committed| self.by().is_replaced_in(&committed.metadata)))
    }

    fn merge_group(&self) -> String {
        format!("{}.merge", self.group)
    }

    fn transactional_id(&self, stage: &str) -> String {
        format!("{}.{stage}.{}", self.group, self.instance)
    }
}

/// Makes a group forget all that it has committed and merged, and drops what its buckets have of the metrics. None of its processes may
/// run. Whatever is half done is refused by the next run, until this has been done again.
pub fn reset(config: &GroupConfig, now: Timestamp, lease: &mut dyn Lease) -> Result<(), GroupError> {
    let settings = &config.settings;
    let merge = config.merge_group();
    for group in [&config.group, &merge] {
        if internal::is_running(settings, group)? {
            return Err(GroupError::Running { group: group.clone() });
        }
    }
    let (partials, state) = (config.partials_topic(), config.state_topic());
    internal::empty(settings, &[&partials, &state])?;
    // Before the group is gone: a process that begins meanwhile keeps it from going, and is heard of.
    Buckets::open(&config.buckets, true, now, lease)?;
    let admin = Admin::new(settings, RESET_TIMEOUT)?;
    for group in [&config.group, &merge] {
        admin.delete_group(group).map_err(|error| match internal::is_running(settings, group) {
            Ok(true) => GroupError::Running { group: group.clone() },
            _ => error.into(),
        })?;
    }
    if admin.topic(&partials)?.is_none() {
        return Ok(());
    }
    // What is sent from now on is all there is to merge.
    let begin = |(partition, _, high): (i32, i64, i64)| NextOffset {
        partition,
        offset: high,
        metadata: note::text(&ShardNote {
            v: note::VERSION,
            q: note::hex(config.fingerprint),
            w: None,
            by: None,
            b: high,
            s: None,
        }),
    };
    let offsets: Vec<NextOffset> = internal::ends(settings, &partials)?.into_iter().map(begin).collect();
    Ok(internal::commit(settings, &merge, &partials, &offsets)?)
}

/// Runs both stages until `edges` says stop, or one of them fails.
pub fn run(config: &GroupConfig, decode: Decode, edges: &Edges) -> Result<(), GroupError> {
    let inputs = internal::partitions(&config.settings, &config.topic, config.startup_timeout)?;
    for output in &config.outputs {
        internal::partitions(&config.settings, &output.topic, config.startup_timeout)?;
    }
    for topic in config.rejects_to.iter().chain(&config.late_to) {
        internal::partitions(&config.settings, topic, config.startup_timeout)?;
    }
    let partials = internal::ensure(&config.settings, &config.partials_topic(), inputs, config.startup_timeout)?;
    internal::ensure(&config.settings, &config.state_topic(), partials, config.startup_timeout)?;
    let (inputs, partials) = (inputs as u32, partials as u32);
    std::thread::scope(|scope| {
        let merge = std::thread::Builder::new().name("merge".to_owned()).spawn_scoped(scope, || {
            let _stops = StopsWhenDropped(edges);
            Merge::new(config, edges).and_then(Merge::run)
        });
        let merge = merge.map_err(|source| KafkaError::Client {
            attempted: "start a thread".to_owned(),
            cause: source.to_string(),
        })?;
        let combined = {
            let _stops = StopsWhenDropped(edges);
            Combine::new(config, decode, edges, (inputs, partials)).and_then(Combine::run)
        };
        let merged = merge.join().expect("a panic of a stage is a bug of ours");
        combined.and(merged)
    })
}

/// One stage does not go on without the other, however that ended.
struct StopsWhenDropped<'a>(&'a Edges);

impl Drop for StopsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What both stages share with the process around them.
pub struct Edges {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whether the process was asked to stop.
    stop: Box<dyn Fn() -> bool + Send + Sync>,
    is_over: AtomicBool,
    say: Box<dyn Fn(&str) + Send + Sync>,
    said: Mutex<HashMap<String, Instant>>,
    status: Mutex<Status>,
    /// One a stage.
    pulses: [Pulse; STAGES.len()],
}

/// How long brokers that were there a moment ago are waited for.
const PATIENCE: WallDuration = WallDuration::from_secs(120);

/// How long they are asked one question.
const ASK_TIMEOUT: WallDuration = WallDuration::from_secs(5);

/// How long they may not know a topic that is there.
const UNHEARD: WallDuration = WallDuration::from_secs(10);

/// The pause before they are asked again.
const ASK_AGAIN: WallDuration = WallDuration::from_millis(200);

/// How long one request for a reset may take.
const RESET_TIMEOUT: WallDuration = WallDuration::from_secs(30);

/// The header of a piece's record that holds the greatest Kafka time of the records that it was made from, in microseconds since the epoch.
const NEWEST: &str = "newest";

/// The same is said again after so long.
const SAY_AGAIN: WallDuration = WallDuration::from_secs(60);

impl Edges {
    /// For a process that ends when `stop` says so and tells people by `say`.
    pub fn new(
        clock: Arc<dyn Clock>,
        stop: impl Fn() -> bool + Send + Sync + 'static,
        say: impl Fn(&str) + Send + Sync + 'static,
    ) -> Edges {
        Edges {
            clock,
            stop: Box::new(stop),
            is_over: AtomicBool::new(false),
            say: Box::new(say),
            said: Mutex::default(),
            status: Mutex::default(),
            pulses: STAGES.map(|_| Pulse::new()),
        }
    }

    /// How the process fares.
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether both stages are alive: have polled within the last 30 s. Else the reason.
    pub fn health(&self) -> Result<(), String> {
        if self.is_stopped() {
            return Err("the process is about to end".to_owned());
        }
        status::judge(STAGES.into_iter().zip(self.pulses.iter().map(Pulse::age)))
    }

    fn is_stopped(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || (self.stop)()
    }

    fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn say(&self, line: &str) {
        (self.say)(line);
    }

    /// Says something that may hold for long: once a minute.
    fn say_once(&self, line: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| at.elapsed() < SAY_AGAIN);
        if !said.contains_key(line) {
            said.insert(line.to_owned(), Instant::now());
            self.say(line);
        }
    }

    /// What the brokers answer, as soon as they are there; they are not waited for without end, and not by a process that is to end. A
    /// broker that has just come up may not know a topic.
    fn wait_for_brokers<T>(&self, question: impl Fn() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
        let started = Instant::now();
        loop {
            let answer = question();
            let Err(error) = &answer else { return answer };
            let patience = match error {
                KafkaError::NoTopic { .. } => UNHEARD,
                error if error.is_unavailable() => PATIENCE,
                _ => WallDuration::ZERO,
            };
            if self.is_stopped() || started.elapsed() >= patience {
                return answer;
            }
            self.say_once(&format!("waiting for the brokers: {error}"));
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A stage has polled; `is_quiet`: and nothing came.
    fn beat(&self, stage: &'static str, is_quiet: bool) {
        if let Some(pulse) = STAGES.iter().position(|known| *known == stage).map(|index| &self.pulses[index]) {
            pulse.beat(is_quiet);
        }
    }

    fn note_commit(&self, stage: &'static str, input: &InputCounts, late: u64, metrics: &[MetricCounts]) {
        self.change(|status| {
            (status.input, status.late, status.metrics) = (*input, late, metrics.to_vec());
            *status.commits.entry(stage).or_default() += 1;
        });
    }

    /// The second stage has committed rows. `waited`: how many of them fired behind a record with this Kafka time.
    fn note_merge<'s>(
        &self,
        shards: impl Iterator<Item = (i32, &'s Shard)>,
        rows: u64,
        waited: impl Iterator<Item = (Timestamp, u64)>,
    ) {
        let now = self.clock.now();
        self.change(|status| {
            status.rows += rows;
            *status.commits.entry("merge").or_default() += 1;
            waited.for_each(|(newest, rows)| status.latency.observe(Duration(now.0.saturating_sub(newest.0)), rows));
            status.fired.clear();
            for (partition, shard) in shards {
                status.fired.insert(partition, shard.watermark());
                for mark in shard.marks() {
                    status.heard.insert(mark.partition.0, (mark.watermark, mark.silence.is_idle));
                }
            }
        });
    }

    /// A stage begins to read at what was committed.
    fn count_begun(&self, stage: &'static str) {
        self.change(|status| *status.begun.entry(stage).or_default() += 1);
    }

    /// Where a stage is in the partitions that are its own by now.
    fn note_places(&self, stage: &'static str, places: BTreeMap<i32, Place>) {
        self.change(|status| drop(status.places.insert(stage, places)));
    }

    /// How far the partitions of the input have come that are ours by now.
    fn note_marks(&self, marks: impl Iterator<Item = Mark>) {
        let of = |mark: Mark| (mark.partition.0, (mark.watermark, mark.silence.is_idle));
        self.change(|status| status.read = marks.map(of).collect());
    }

    /// What is open in the shards, by metric.
    fn note_open<'s>(&self, shards: impl Iterator<Item = &'s Shard>) {
        let mut open: Vec<OpenSize> = Vec::new();
        for shard in shards {
            let sizes = shard.open_sizes();
            open.resize(open.len().max(sizes.len()), OpenSize::default());
            open.iter_mut().zip(sizes).for_each(|(open, size)| *open = open.and(size));
        }
        self.change(|status| status.open = open);
    }

    fn count_lost(&self, stage: &'static str) {
        self.change(|status| *status.lost.entry(stage).or_default() += 1);
    }

    fn count_late(&self, events: u64) {
        self.change(|status| status.late_merged += events);
    }
}
