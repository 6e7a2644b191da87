//! An archive as evwindow's input, and beside its outputs: what the flags mean for it, and how it is opened.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, anyhow};

use crate::archive::coverage::covered;
use crate::archive::form;
use crate::archive::manifest::{Manifest, State, TopicIdentity};
use crate::archive::reader::{ArchiveSource, Wanted};
use crate::archive::writer::Writer;
use crate::cli::archive::{explained, explained_archive};
use crate::cli::evwindow::config::Config;
use crate::cli::evwindow::times::time_in_words;
use crate::cli::evwindow::topic::{GapArg, Topic, TopicArgs};
use crate::cli::evwindow::{Args, AtEndArg, EmitArg, TimeArg};
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::signals::StopRequest;
use crate::codec::TimeFrom;
use crate::expr::Expr;
use crate::pipeline::archive::{ArchiveConfig, Archiver, Kept};
use crate::pipeline::backfill::MadeOf;
use crate::pipeline::window::RejectsMax;
use crate::plan::{MetricText, Plan};
use crate::source::address::Address;
use crate::source::handed::{Hand, handed};
use crate::source::identity::Head;
use crate::source::input::{Input, InputFormat};
use crate::source::{Source, Waker};
use crate::time::{Clock, Duration, Timestamp};
use crate::validate::FutureGuard;
use crate::window::Windows;

/// The archive among the inputs.
#[derive(Debug, Clone)]
pub struct ArchiveInput {
    /// Its folder.
    pub folder: PathBuf,
    start: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The field that tells time, and how.
    time_field: String,
    /// Whether the original lines are wanted in any case.
    wants_lines: bool,
    /// Whether nothing but final rows is wanted: then it does not matter how time went on between, and what no row is made of.
    wants_rows: bool,
    /// Whether a backfill goes on where an earlier one ended before its time.
    pub resumes: bool,
    /// What the archive had when it was looked up what it covers.
    state: Option<Arc<State>>,
}

impl ArchiveInput {
    /// The archive among the inputs. One is read alone: its partitions are those of what was archived.
    pub fn among(args: &Args, addresses: &[Address], now: Timestamp) -> anyhow::Result<Option<ArchiveInput>> {
        let folders = addresses.iter().find_map(|address| match address {
            Address::Archive(folder) => Some(folder),
            _ => None,
        });
        let Some(folder) = folders else {
            return match args.output.no_resume {
                true => Err(anyhow!("cannot take --no-resume: it is for windows that are made anew from an archive"))
                    .hint("--reset begins anew what a store or a bucket has")
                    .exit_code(ExitCode::Usage),
                false => Ok(None),
            };
        };
        let refuse = |what: &str, cause: &str| {
            let folder = folder.display();
            Err(anyhow!("cannot take {what} 'archive:{folder}': {cause}")).exit_code(ExitCode::Usage)
        };
        if addresses.len() > 1 {
            return refuse("other inputs with", "an archive is read alone");
        }
        if args.query.merge {
            return refuse("--merge with", "an archive holds events");
        }
        if args.time.time == TimeArg::Processing {
            return refuse("--time processing with", "an archive is read by the times of its events");
        }
        if args.time.at_end == AtEndArg::Drop {
            return refuse("--at-end drop with", "whole windows are written, and no others");
        }
        if args.archive.archive.is_some() {
            return refuse("--archive with", "its events are in one already");
        }
        if args.topic.group.is_some() {
            return refuse("--group with", "a group reads topics");
        }
        let TopicArgs { start, until, .. } = &args.topic;
        let start = match start.as_deref() {
            None | Some("earliest") => None,
            Some(text) => Some(time("start", text, now)?),
        };
        let until = match until.as_deref() {
            None | Some("end") => None,
            Some(text) => Some(time("until", text, now)?),
        };
        if let (Some(start), Some(until)) = (start, until)
            && start >= until
        {
            return Err(anyhow!(
                "cannot read from --start '{start}' to --until '{until}': the end is not after the start"
            ))
            .exit_code(ExitCode::Usage);
        }
        let wants_lines = args.reading.late_to.is_some() || args.reading.rejects_to.is_some();
        let time_field = time_in_words(args);
        let is_judged = matches!(args.reading.max_rejects, Some(RejectsMax::Percent(_)));
        let wants_rows = args.time.early.is_none() && args.output.emit == [EmitArg::Rows] && !is_judged;
        let resumes = !args.output.no_resume && !args.output.reset;
        let folder = folder.clone();
        Ok(Some(ArchiveInput { folder, start, until, time_field, wants_lines, wants_rows, resumes, state: None }))
    }

    /// The event times that whole windows must lie in.
    pub fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let bounds = (self.start.unwrap_or(Timestamp::MIN), self.until.unwrap_or(Timestamp::MAX));
        (self.start.is_some() || self.until.is_some()).then_some(bounds)
    }

    /// Keeps to what the archive covers, where points of a store or a bucket are made anew: there is nothing to make others from.
    pub fn keep_to_covered(&mut self, plan: &Plan, delay: Duration) -> anyhow::Result<()> {
        let (state, covered) = covered_by(&self.folder, plan, delay)?;
        let folder = self.folder.display();
        let Some((from, until)) = covered.filter(|(from, until)| from < until) else {
            return Err(anyhow!("cannot make points anew from 'archive:{folder}': it covers no span of time yet"))
                .hint("run it again when more has been archived, or write to a file: --to FILE takes what there is")
                .exit_code(ExitCode::Usage);
        };
        let flags = [("start", self.start), ("until", self.until)];
        let is_covered = |time: Timestamp| from <= time && time <= until;
        if let Some((flag, Some(time))) = flags.into_iter().find(|(_, time)| time.is_some_and(|time| !is_covered(time)))
        {
            return Err(anyhow!(
                "cannot take --{flag} '{time}': 'archive:{folder}' covers '{from}' to '{until}', and points beyond can't \
                 be made anew from it"
            ))
            .hint(format!("give --start {from} --until {until}, or what lies between"))
            .exit_code(ExitCode::Usage);
        }
        (self.start, self.until) = (self.start.or(Some(from)), self.until.or(Some(until)));
        self.state = Some(Arc::new(state));
        Ok(())
    }

    /// The event times of which windows within the range are made.
    fn span(&self, plan: &Plan) -> (Timestamp, Timestamp) {
        let (start, until) = self.range().unwrap_or((Timestamp::MIN, Timestamp::MAX));
        // Whether a session begins at the bound is known from what stands before it.
        let margin = gap(plan);
        (Timestamp(start.0.saturating_sub(margin.0)), Timestamp(until.0.saturating_add(margin.0)))
    }

    /// What the windows that end by a time are made of, as one number: the query, where the range begins, and all files with events
    /// before that time. Files never change, and no two have one name.
    pub fn made_of(&self, plan: &Plan, query: &str) -> MadeOf {
        let (start, _) = self.span(plan);
        let state = self.state.clone().unwrap_or_default();
        let begin = format!("{query}\0{:?}\0", self.start);
        Box::new(move |made| {
            let mut text = begin.clone();
            for file in state.files.iter().filter(|file| file.may_have((start, made))) {
                text.push_str(&file.path);
                text.push('\0');
            }
            rapidhash::v3::rapidhash_v3(text.as_bytes())
        })
    }

    /// Opens it for this plan.
    pub fn open(&self, plan: &Plan, clock: &Arc<dyn Clock>) -> anyhow::Result<ArchiveSource> {
        self.open_from(plan, None, clock)
    }

    /// Opens it for this plan; only events from `needed` on are read, if that is given.
    pub fn open_from(
        &self,
        plan: &Plan,
        needed: Option<Timestamp>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<ArchiveSource> {
        let (start, until) = self.span(plan);
        let range = (start.max(needed.unwrap_or(start)), until);
        let columns = if self.wants_lines { None } else { form::typed(&plan.wanted) };
        let wanted = Wanted { range, columns, time_field: self.time_field.clone() };
        let opened = match &self.state {
            Some(state) => ArchiveSource::of(&self.folder, state, &wanted, clock),
            None => ArchiveSource::open(&self.folder, &wanted, clock),
        };
        let mut opened = opened.map_err(explained_archive)?;
        // Of several partitions, windows that are revised fire sooner where less is read, and so oftener.
        let is_judged_once = plan.queries.iter().all(|query| query.allowed_lateness.0 == 0);
        if self.wants_rows && (is_judged_once || opened.partitions() == 1) {
            let filter = |text: &MetricText| crate::expr::parse(text.filter.as_deref()?).ok();
            let filters: Option<Vec<Expr>> = plan.texts.iter().map(filter).collect();
            opened.leave_out(filters.unwrap_or_default());
        }
        Ok(opened)
    }
}

/// What the archive in a folder has, and the span in which it has all events of the plan's windows.
pub fn covered_by(
    folder: &Path,
    plan: &Plan,
    delay: Duration,
) -> anyhow::Result<(State, Option<(Timestamp, Timestamp)>)> {
    let state = Manifest::open(folder).map_err(explained_archive)?.state;
    let lateness = plan.queries.iter().map(|query| query.allowed_lateness).max().unwrap_or(Duration(0));
    // A window may still be revised by what is late, and a session be one with what stands before.
    let covered = covered(&state, delay, Duration(delay.0.saturating_add(lateness.0)));
    let covered = covered.map(|(from, until)| (Timestamp(from.0.saturating_add(gap(plan).0)), until));
    Ok((state, covered))
}

/// The longest gap of sessions; none where there are none.
fn gap(plan: &Plan) -> Duration {
    let gaps = plan.queries.iter().map(|query| match &query.windows {
        Windows::Session(sessions) => sessions.gap,
        _ => Duration(0),
    });
    gaps.max().unwrap_or(Duration(0))
}

/// A time as a flag names it; `@` before it, as topics want it, makes no difference.
fn time(flag: &str, text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    Timestamp::parse_argument(text.strip_prefix('@').unwrap_or(text), now)
        .with_context(|| format!("cannot take --{flag} '{text}'"))
        .exit_code(ExitCode::Usage)
}

/// Refuses to archive what an archive can't hold.
pub fn check_kept(args: &Args, inputs: &[Input]) -> anyhow::Result<()> {
    let refuse = |cause: String, hint: &str| {
        let folder = args.archive.archive.as_deref().unwrap_or("".as_ref()).display();
        Err(anyhow!("cannot take --archive '{folder}': {cause}")).hint(hint).exit_code(ExitCode::Usage)
    };
    if args.archive.archive.is_none() {
        return Ok(());
    }
    if args.query.merge {
        return refuse("what is merged are partials, not events".into(), "archive where the events are read");
    }
    if args.time.time == TimeArg::Processing {
        return refuse(
            "it is ordered by the times of events, and --time processing has none".into(),
            "leave --time out, or name the field with --time-field",
        );
    }
    if let Some(csv) = inputs.iter().find(|input| input.format == InputFormat::Csv) {
        return refuse(
            format!("'{}' is CSV, and an archive holds JSON", csv.name()),
            "evingest --archive makes JSON of it",
        );
    }
    Ok(())
}

/// How the events are archived, if that is wished.
pub fn config_of(
    args: &Args,
    time: TimeFrom,
    (threads, line_bytes_max, future): (usize, usize, FutureGuard),
) -> Option<ArchiveConfig> {
    Some(ArchiveConfig {
        folder: args.archive.archive.clone()?,
        interval: args.archive.interval(),
        threads,
        time: (time, time_in_words(args)),
        line_bytes_max,
        future,
        // What lies ahead was rejected, as in the run itself.
        ahead_max: None,
        skips_gaps: args.topic.on_gap == GapArg::Skip,
    })
}

/// What is read beside the run, to be archived.
pub struct Keeping {
    archiver: Archiver,
    /// Gives the run's own blocks to be archived, where they can be read only once.
    pub hand: Option<Hand>,
    stops: Arc<AtomicBool>,
    /// Whether it ends by itself.
    ends: bool,
}

impl Keeping {
    /// Begins to archive the inputs, if that is wished. `waker` ends the waits of the run beside it.
    pub fn start(
        config: &Config,
        stop: &StopRequest,
        clock: &Arc<dyn Clock>,
        waker: Waker,
    ) -> anyhow::Result<Option<Keeping>> {
        let Some(archive) = &config.archive else { return Ok(None) };
        let wake = move || waker.wake();
        if let Some(topic) = &config.topic {
            return Keeping::of_topic(archive, topic, stop, clock, wake).map(Some);
        }
        let kept = Kept::Files { inputs: config.inputs.clone(), prefix: "" };
        let writer = crate::pipeline::archive::open(archive, &kept).map_err(explained)?;
        let is_read_once = |input: &Input| !matches!(Head::of(input), Ok(Some(_)));
        let is_handed = config.inputs.iter().any(is_read_once);
        let (source, hand): (Box<dyn Source>, _) = match is_handed {
            true => {
                let (hand, source) = handed(config.inputs.iter().map(Input::name).collect());
                (Box::new(source), Some(hand))
            }
            false => (Box::new(config.files(true, clock)?), None),
        };
        // What was handed over is written to its end.
        let is_stopped = if is_handed { Box::new(|| false) as Stopped } else { stopped(stop, &source.waker()) };
        Keeping::begin(archive, writer, source, clock, (is_stopped, wake), hand, true).map(Some)
    }

    /// Begins to archive a topic.
    pub fn of_topic(
        archive: &ArchiveConfig,
        topic: &Topic,
        stop: &StopRequest,
        clock: &Arc<dyn Clock>,
        wake: impl Fn() + Send + 'static,
    ) -> anyhow::Result<Keeping> {
        let ends = topic.ends(clock.now());
        let source = topic.open(clock)?;
        let partitions = source.bounds().map(|bounds| (bounds.start.unsigned_abs(), bounds.low.unsigned_abs()));
        let (cluster, id) = source.identity();
        let identity = TopicIdentity { cluster, id };
        let kept = Kept::Topic { topic: topic.address.topic.clone(), identity, partitions: partitions.collect() };
        let writer = crate::pipeline::archive::open(archive, &kept).map_err(explained)?;
        let is_stopped = stopped(stop, &source.waker());
        Keeping::begin(archive, writer, Box::new(source), clock, (is_stopped, wake), None, ends)
    }

    fn begin(
        archive: &ArchiveConfig,
        writer: Writer,
        source: Box<dyn Source>,
        clock: &Arc<dyn Clock>,
        (is_stopped, wake): (Stopped, impl Fn() + Send + 'static),
        hand: Option<Hand>,
        ends: bool,
    ) -> anyhow::Result<Keeping> {
        let stops = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stops);
        let is_stopped = Box::new(move || is_stopped() || stopping.load(Ordering::Acquire));
        let archiver = Archiver::start(archive.clone(), writer, source, Arc::clone(clock), (is_stopped, wake));
        Ok(Keeping { archiver: archiver.map_err(explained)?, hand, stops, ends })
    }

    /// Whether the archive can't be written any more.
    pub fn has_failed(&self) -> Arc<AtomicBool> {
        self.archiver.has_failed()
    }

    /// Waits until all is archived that the run has read, or, of a run that failed, ends at once.
    pub fn finish(self, has_failed: bool) -> anyhow::Result<u64> {
        drop(self.hand);
        if has_failed || !self.ends {
            self.stops.store(true, Ordering::Release);
            self.archiver.wake();
        }
        self.archiver.finish().map_err(explained)
    }
}

type Stopped = Box<dyn Fn() -> bool + Send>;

/// Whether the user has asked to stop.
fn stopped(stop: &StopRequest, waker: &Waker) -> Stopped {
    stop.wake_on_request(waker.clone());
    let stop = stop.clone();
    Box::new(move || stop.exit_code().is_some())
}

/// How often a process looks whether it is to take the archive over, or to end.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

/// The archive of a topic that a group reads: one of its processes writes it, and another takes over when that has gone.
pub struct GroupKeeping {
    thread: std::thread::JoinHandle<anyhow::Result<u64>>,
    stops: Arc<AtomicBool>,
    has_failed: Arc<AtomicBool>,
}

impl GroupKeeping {
    /// Begins to archive, or to wait for it.
    pub fn start(
        archive: ArchiveConfig,
        topic: Topic,
        stop: StopRequest,
        clock: Arc<dyn Clock>,
        is_quiet: bool,
    ) -> GroupKeeping {
        let stops = Arc::new(AtomicBool::new(false));
        let has_failed = Arc::new(AtomicBool::new(false));
        let (stopping, fault) = (Arc::clone(&stops), Arc::clone(&has_failed));
        let thread = std::thread::spawn(move || {
            let is_over = || stopping.load(Ordering::Acquire) || stop.exit_code().is_some();
            let kept = keep_in_turn(&archive, &topic, &stop, &clock, (&is_over, is_quiet));
            fault.store(kept.is_err(), Ordering::Release);
            kept
        });
        GroupKeeping { thread, stops, has_failed }
    }

    /// Whether the archive can't be written any more.
    pub fn has_failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_failed)
    }

    /// Ends it: what was read by then is written.
    pub fn finish(self) -> anyhow::Result<u64> {
        self.stops.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(kept) => kept,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn keep_in_turn(
    archive: &ArchiveConfig,
    topic: &Topic,
    stop: &StopRequest,
    clock: &Arc<dyn Clock>,
    (is_over, is_quiet): (&dyn Fn() -> bool, bool),
) -> anyhow::Result<u64> {
    let mut is_told = false;
    let _held = loop {
        if is_over() {
            return Ok(0);
        }
        match crate::archive::lock::hold(&archive.folder, &topic.address.topic).map_err(explained_archive)? {
            Some(held) => break held,
            None => {
                if !std::mem::replace(&mut is_told, true) && !is_quiet {
                    let (topic, folder) = (&topic.address.topic, archive.folder.display());
                    let line = format!(
                        "evwindow: another process archives '{topic}' in '{folder}'; this one goes on when that ends\n"
                    );
                    // Without a stderr there is nobody to tell.
                    let _ = std::io::stderr().write_all(printable(&line).as_bytes());
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
    };
    let keeping = Keeping::of_topic(archive, topic, stop, clock, || {})?;
    let has_failed = keeping.has_failed();
    while !is_over() && !has_failed.load(Ordering::Acquire) {
        std::thread::sleep(LOOK_EVERY);
    }
    keeping.finish(false)
}
