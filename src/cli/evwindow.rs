//! evwindow's command line: arguments, the checked config made of them, and the wiring.
//!
//! `Args` mirrors the flags; `Config` holds what the run needs. Nothing below this file knows of either.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, anyhow};

use crate::cli::about;
use crate::cli::evwindow::archive::Keeping;
pub use crate::cli::evwindow::args::{
    Args, AtEndArg, Command, EmitArg, FormatArg, OutputArgs, QueryArgs, ReadingArgs, TimeArg, TimeArgs, TimeFormatArg,
};
use crate::cli::evwindow::config::{Config, Output};
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::points::explained_open;
use crate::cli::progress::Progress;
use crate::cli::signals::StopRequest;
use crate::cli::upstream;
use crate::codec::encode::keyed::KeyedEncoder;
use crate::codec::encode::{EncodeOptions, RowEncoder, encoder};
use crate::codec::partial::{Header, Line};
use crate::kafka::source::Bounds;
use crate::pipeline::destination::{Destination, Destinations};
use crate::pipeline::intake::Intake;
use crate::pipeline::keep::{Keeper, Readable};
use crate::pipeline::points::Buckets;
use crate::pipeline::summary::{Kept, Summary};
use crate::pipeline::topic::TopicSink;
use crate::pipeline::window::{WindowEdges, WindowPipeline};
use crate::record::Block;
use crate::sink::side::RejectWriter;
use crate::sink::{self, FileMode};
use crate::source::address::Address;
use crate::source::clock::SystemClock;
use crate::source::handed::Tee;
use crate::store::influx::Lease;
use crate::time::{Clock, Timestamp};

mod archive;
mod args;
mod backfill;
mod buckets;
pub mod config;
pub(in crate::cli) mod keep;
mod late;
mod repair;
mod settings;
pub(in crate::cli) mod times;
pub mod topic;

/// evwindow from its command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    about::program("evwindow", arguments, |args: &Args| &args.about, |args| window(args).map_err(upstream::explained))
}

fn window(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(Command::Repair(repair)) = &args.command {
        return repair::work(repair);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if args.topic.client.wants_list() {
        about::print(crate::cli::kafka::list().as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    let mut config = Config::new(args, clock.now(), std::io::stdout().is_terminal())?;
    if let Some(explanation) = &config.explanation {
        about::print(explanation.as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    let stop = StopRequest::listen().context("cannot listen to signals")?;
    if let Some(topic) = config.topic.as_ref().filter(|topic| topic.is_grouped()) {
        return topic.run_group(&config, &stop, clock);
    }
    let summary = run(&mut config, &stop, clock)?;
    report(&config, &summary);
    match stop.exit_code() {
        Some(code) => Ok(code),
        None => verdict(&config, &summary),
    }
}

/// A run that came to its end may still have found what the user calls a failure.
fn verdict(config: &Config, summary: &Summary) -> anyhow::Result<ExitCode> {
    if summary.too_many_rejects && summary.points_rejected > 0 {
        let (lines, points, max) = (summary.input.rejected(), summary.points_rejected, config.window.rejects_max);
        let first = summary.first_refused.as_ref().filter(|_| config.quiet);
        let first = first.map_or_else(String::new, |first| format!("; the first row is {first}"));
        let found =
            anyhow!("{lines} lines are rejected and {points} rows refused, and --max-rejects allows '{max}'{first}");
        let hint = if config.rejects_to.is_some() { None } else { Some("--rejects-to FILE keeps them") };
        return Err(found).hint_if(hint).exit_code(ExitCode::Rejects);
    }
    if summary.too_many_rejects {
        let (rejected, events_in) = (summary.input.rejected(), summary.input.events_in);
        let max = config.window.rejects_max;
        // The summary has told the first one, where it was not silenced.
        let first = summary.first_reject.as_ref().filter(|_| config.quiet);
        let first = first.map_or_else(String::new, |first| format!("; the first is {first}"));
        let found = anyhow!("{rejected} of {events_in} lines are rejected, and --max-rejects allows '{max}'{first}");
        let hint = if config.rejects_to.is_some() { None } else { Some("--rejects-to FILE keeps them") };
        return Err(found).hint_if(hint).exit_code(ExitCode::Rejects);
    }
    if let (Some(row), Some(fail_if)) = (&summary.failed_if, &config.fail_if) {
        return Err(anyhow!("--fail-if '{fail_if}' is TRUE for {row}")).exit_code(ExitCode::FailIf);
    }
    Ok(ExitCode::Ok)
}

fn run(config: &mut Config, stop: &StopRequest, clock: Arc<dyn Clock>) -> anyhow::Result<Summary> {
    let is_kept_open = !config.is_merging();
    let plan = &config.window.plan;
    let topic = config.topic.as_ref().map(|topic| topic.open(&clock)).transpose()?;
    let readable: Vec<Readable> = match &topic {
        Some(topic) => topic.bounds().map(of_partition).collect(),
        None => config.inputs.iter().cloned().map(Readable::File).collect(),
    };
    let mut keeper = match (&config.store, &config.archived) {
        (Some(store), Some(archived)) => {
            let range = archived.range().unwrap_or((Timestamp::MIN, Timestamp::MAX));
            match config.with_late {
                true => Some(store.open_repair_over(plan, range, true)?.0),
                false => Some(store.open_over(plan, range)?),
            }
        }
        (Some(store), None) if config.window.repairs => Some(store.open_repair(plan, &readable)?),
        (Some(store), None) if is_kept_open => Some(store.open(plan, &readable, true)?),
        _ => None,
    };
    let is_resumable = keeper.as_ref().is_some_and(Keeper::is_resumable);
    if keeper.as_ref().is_some_and(Keeper::goes_on) {
        config.append()?;
    } else if is_resumable
        && config.file_mode == FileMode::Replace
        && config.archived.is_none()
        && !config.window.repairs
    {
        // The next run goes on with these files, also where this one is killed.
        config.file_mode = FileMode::Anew;
    }
    let mut until_stopped = UntilStopped(stop);
    // What is made anew is taken up where an earlier run left it: that is known before anything is read.
    let mut rewriting = None;
    let archived = match &config.archived {
        Some(archived) if !config.buckets.is_empty() || keeper.is_some() => {
            let configs = config.bucket_configs()?;
            // Where late events are brought in that has been done, for all spans at once.
            let held = if config.with_late { Vec::new() } else { backfill::hold(&archived.folder, &configs)? };
            let mut buckets =
                Buckets::open(&configs, config.resets(), clock.now(), &mut until_stopped).map_err(explained_open)?;
            let places = (&mut keeper, &mut buckets);
            let (begun, needed) = backfill::begin(config, archived, places, (clock.now(), &mut until_stopped))?;
            rewriting = Some((begun, buckets, held));
            Some(archived.open_from(&config.window.plan, needed, &clock)?)
        }
        Some(archived) => Some(archived.open(&config.window.plan, &clock)?),
        None => None,
    };
    let is_shown = !config.quiet && config.is_of_files() && std::io::stderr().is_terminal();
    let bytes_total = archived.as_ref().map_or_else(|| config.bytes_total(), |archived| Some(archived.bytes_total()));
    let progress = if is_shown { Progress::shown(bytes_total) } else { Progress::hidden() };
    let mut source = match (topic, archived) {
        (Some(topic), _) => progress.source(topic),
        (_, Some(archived)) => progress.source(archived),
        (None, None) => {
            let mut files = config.files(is_resumable || config.window.repairs, &clock)?;
            keeper.iter().flat_map(Keeper::ends).for_each(|(partition, end)| files.stop_at(partition, end));
            progress.source(files)
        }
    };
    let mut keeping = Keeping::start(config, stop, &clock, source.waker())?;
    if let Some(hand) = keeping.as_mut().and_then(|keeping| keeping.hand.take()) {
        source = Box::new(Tee::new(source, hand));
    }
    keeper.iter().flat_map(Keeper::positions).for_each(|(partition, position)| source.seek(partition, position.offset));
    stop.wake_on_request(source.waker());
    let reader_gone = Arc::new(AtomicBool::new(false));
    // Whoever reads the rows may end the run: the others have by then what it has.
    if config.outputs.iter().any(|output| output.address == Address::Stdio) {
        let (gone, waker) = (Arc::clone(&reader_gone), source.waker());
        sink::stdout::watch_closed(move || {
            gone.store(true, Ordering::Relaxed);
            waker.wake();
        })?;
    }
    let is_stopped = {
        let stop = stop.clone();
        let has_failed = keeping.as_ref().map(Keeping::has_failed).unwrap_or_default();
        let is_over = move || reader_gone.load(Ordering::Relaxed) || has_failed.load(Ordering::Acquire);
        move || stop.exit_code().is_some() || is_over()
    };
    let partitions = source.partitions();
    let mut intake = Intake::new(source, Arc::clone(&clock), is_stopped, config.intake);
    if config.is_merging() {
        config.plan_merging(&headers(intake.peek())?)?;
    }
    let keeper = match (&config.store, keeper) {
        (Some(store), None) => Some(store.open(&config.window.plan, &readable, false)?),
        (_, keeper) => keeper,
    };
    let (backfill, buckets, _held) = match rewriting {
        Some((backfill, buckets, held)) => (Some(backfill), buckets, held),
        None => {
            let configs = config.bucket_configs()?;
            let buckets =
                Buckets::open(&configs, config.resets(), clock.now(), &mut until_stopped).map_err(explained_open)?;
            (None, buckets, Vec::new())
        }
    };
    let (late, late_file) = late::open(config, keeper.as_ref())?;
    let edges = WindowEdges {
        intake,
        buckets,
        payload_bytes_max: config.line_bytes_max,
        destinations: destinations(config, &progress)?,
        rejects: side(&config.rejects_to, config)?.map(|sink| RejectWriter::new(sink, config.line_bytes_max)),
        late,
        late_file,
        say: Arc::new(move |line| {
            // Without a stderr there is nobody to tell.
            let _ = progress.aside(|| writeln!(std::io::stderr(), "evwindow: {}", printable(line)));
        }),
        clock,
        keeper,
        backfill,
    };
    let pipeline = WindowPipeline::new(config.window.clone(), config.decode(partitions)?, edges);
    let run = pipeline.and_then(WindowPipeline::run).map_err(keep::explained_pipeline);
    let kept = keeping.map_or(Ok(0), |keeping| keeping.finish(run.is_err()));
    let summary = run?;
    kept?;
    Ok(summary)
}

/// A request to stop ends all trying.
struct UntilStopped<'a>(&'a StopRequest);

impl Lease for UntilStopped<'_> {
    fn limit(&mut self) -> Option<std::time::Duration> {
        Some(std::time::Duration::MAX)
    }

    fn is_hurried(&self) -> bool {
        self.0.exit_code().is_some()
    }
}

/// A partition as the store knows it: by its topic, wherever the brokers are.
fn of_partition(bounds: Bounds) -> Readable {
    let Bounds { topic, partition, name, start, low } = bounds;
    let identity = format!("kafka topic {topic} partition [{partition}]");
    Readable::Partition { name: name.to_owned(), identity, start: start.unsigned_abs(), low: low.unsigned_abs() }
}

/// The headers of partials at the beginning of the inputs, each metric's once.
fn headers(blocks: &[Block]) -> anyhow::Result<Vec<Header>> {
    let mut headers: Vec<Header> = Vec::new();
    for block in blocks {
        for line in block.bytes.split(|&byte| byte == b'\n') {
            let Ok(Line::Header(header)) = crate::codec::partial::parse(line) else { break };
            match headers.iter().find(|known| known.schema.name == header.schema.name) {
                None => headers.push(header),
                Some(known) if *known == header => {}
                Some(_) => {
                    let name = header.schema.name;
                    return Err(anyhow!(
                        "cannot merge the partials of '{name}': two inputs have other groups or aggregates"
                    ))
                    .hint("merge what the same query folded, or name the metrics apart with --name");
                }
            }
        }
    }
    if headers.is_empty() && !blocks.is_empty() {
        return Err(anyhow!("cannot merge: no input begins with the header that --emit partials writes"))
            .hint("--merge takes what evwindow --emit partials writes, from its first line on");
    }
    Ok(headers)
}

fn destinations(config: &Config, progress: &Progress) -> anyhow::Result<Destinations> {
    let mut all = Vec::new();
    for output in &config.outputs {
        let options = EncodeOptions { taken: output.metrics.clone(), ..config.encode.clone() };
        if let Address::Kafka(address) = &output.address {
            let encoder = Box::new(KeyedEncoder::new(&config.window.plan.schemas));
            let sink = Box::new(TopicSink::of_rows(config.client.producer(address)?));
            all.push(Destination::new(output.metrics.clone(), encoder, sink));
            continue;
        }
        let mut encoder = encoder(output.format, &config.window.plan.schemas, &options)
            .exit_code(ExitCode::Usage)
            .hint("write each metric to a file of its own, or use another --format")?;
        let is_continued = config.file_mode == FileMode::Append && continues(output, encoder.as_mut())?;
        let sink =
            sink::open(&output.address, config.file_mode).hint("name a file that can be written, or - for stdout")?;
        let is_beside_progress = output.address == Address::Stdio && std::io::stdout().is_terminal();
        let sink = if is_beside_progress { progress.sink(sink) } else { sink };
        let mut destination = Destination::new(output.metrics.clone(), encoder, sink);
        destination.is_continued = is_continued;
        all.push(destination);
    }
    Ok(Destinations { all, rows: config.window.emit.rows })
}

/// Whether a file that is appended to has its header already. Refused where it has another one: its columns would be mixed up.
fn continues(output: &Output, encoder: &mut dyn RowEncoder) -> anyhow::Result<bool> {
    let Address::Path(path) = &output.address else { return Ok(false) };
    let mut header = Vec::new();
    encoder.begin(&mut header);
    if header.is_empty() || !path.is_file() {
        return Ok(false);
    }
    let mut first = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(header.len() as u64).read_to_end(&mut first));
    read.with_context(|| format!("cannot read the header of '{}' before appending to it", path.display()))?;
    if !first.is_empty() && first != header {
        let header = String::from_utf8_lossy(&header).trim_end().to_owned();
        return Err(anyhow!("cannot append to '{}': its first line is not '{header}'", path.display()))
            .hint("append rows with the same columns only, or name another file")
            .exit_code(ExitCode::Usage);
    }
    Ok(!first.is_empty())
}

fn side(address: &Option<Address>, config: &Config) -> anyhow::Result<Option<Box<dyn sink::Sink>>> {
    Ok(match address {
        Some(Address::Kafka(address)) => Some(Box::new(TopicSink::of_lines(config.client.producer(address)?))),
        Some(address) => Some(sink::open(address, config.file_mode)?),
        None => None,
    })
}

/// Tells what happened where it was asked for, a person watches, or something was lost on the way.
fn report(config: &Config, summary: &Summary) {
    let told = || summary.to_text(Kept { rejects: config.rejects_to.is_some(), late: config.late_to.is_some() });
    let text = match config.stats {
        config::Stats::Json => format!("{}\n", summary.to_json()),
        config::Stats::Text => told(),
        config::Stats::WhenRemarkable if config.quiet => return,
        config::Stats::WhenRemarkable if summary.is_remarkable() || std::io::stderr().is_terminal() => told(),
        config::Stats::WhenRemarkable => return,
    };
    // Without a stderr there is nobody to tell.
    let _ = std::io::stderr().write_all(printable(&text).as_bytes());
}
