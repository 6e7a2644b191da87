//! evingest from its command line to its exit code: arguments, the checked config made of them, and the wiring.

pub mod args;
mod cluster;
pub mod config;
mod exactly_once;
mod groups;
mod schema;
mod topics;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};

use crate::cli::about;
use crate::cli::archive::explained;
use crate::cli::evingest::args::{Args, Command};
use crate::cli::evingest::config::{Config, Stats};
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::kafka;
use crate::cli::progress::Progress;
use crate::cli::signals::StopRequest;
use crate::cli::upstream;
use crate::codec::ndjson::is_whole_object;
use crate::partition::PartitionId;
use crate::pipeline::archive::{self, ArchiveConfig, Archiver, Kept};
use crate::pipeline::ingest::delivery::{Delivery, Lines, Topic};
use crate::pipeline::ingest::kept::KeptDelivery;
use crate::pipeline::ingest::positions::Position;
use crate::pipeline::ingest::summary::{Known, Summary};
use crate::pipeline::ingest::{Edges, Settings, run};
use crate::pipeline::pace::WallPacer;
use crate::pipeline::topic::TopicSink;
use crate::registry::watch::{News, Watch};
use crate::sink::side::RejectWriter;
use crate::sink::{self, Sink};
use crate::source::address::Address;
use crate::source::clock::SystemClock;
use crate::source::files::{FilesOptions, FilesSource};
use crate::source::handed::handed;
use crate::source::input::Input;
use crate::time::Clock;
use crate::validate::schema::Schemas;

/// evingest from its command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    about::program("evingest", arguments, |args: &Args| &args.about, |args| work(&args))
}

fn work(args: &Args) -> anyhow::Result<ExitCode> {
    if args.run.client.wants_list() {
        about::print(kafka::list().as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    match &args.command {
        None => ingest(Config::of_events(args)?),
        Some(Command::Replay(replay)) => ingest(Config::of_rejects(replay)?),
        Some(Command::Schema { command }) => schema::work(command),
        Some(Command::Topics { command }) => topics::run(command),
        Some(Command::Groups { command }) => groups::run(command),
    }
}

fn ingest(mut config: Config) -> anyhow::Result<ExitCode> {
    let around = Around::begin(&mut config)?;
    let summary = deliver(&config, &around).map_err(upstream::explained)?;
    report(&config, &summary);
    match around.stop.exit_code() {
        Some(code) => Ok(code),
        None => verdict(&config, &summary),
    }
}

/// What goes on beside a run, however often it is begun anew.
struct Around {
    /// Signals.
    stop: StopRequest,
    /// What looks for newer schemas.
    watch: Option<Watch>,
    /// The bar that is shown now.
    progress: Arc<Mutex<Progress>>,
}

impl Around {
    fn begin(config: &mut Config) -> anyhow::Result<Around> {
        let stop = StopRequest::listen().context("cannot listen to signals")?;
        let progress = Arc::new(Mutex::new(Progress::hidden()));
        let shown = Arc::clone(&progress);
        let tell = move |news: &News| {
            let line = printable(&format!("evingest: {}\n", schema::told(news)));
            // Without a stderr there is nobody to tell.
            let say = || std::io::stderr().write_all(line.as_bytes());
            let _ = shown.lock().unwrap_or_else(PoisonError::into_inner).aside(say);
        };
        let watched = config.watched.take();
        let watch = watched.map(|watched| Watch::start(watched, config.schema_refresh, tell)).transpose();
        Ok(Around { stop, watch: watch.context("cannot begin to watch the registry")?, progress })
    }
}

fn deliver(config: &Config, around: &Around) -> anyhow::Result<Summary> {
    let delivery: Option<Box<dyn Delivery>> = match (&config.to, &config.transactional_id) {
        _ if config.is_kept_only => None,
        (Address::Kafka(address), Some(name)) => return exactly_once::deliver(config, address, name, around),
        (Address::Kafka(address), None) => Some(Box::new(Topic::new(config.client.producer(address)?))),
        (address, _) => {
            let sink =
                sink::open(address, config.file_mode).hint("name a file that can be written, or - for stdout")?;
            Some(Box::new(Lines::new(sink)))
        }
    };
    let rejects: Option<Box<dyn Sink>> = match &config.rejects_to {
        Some(Address::Kafka(address)) => Some(Box::new(TopicSink::of_lines(config.client.producer(address)?))),
        _ => None,
    };
    let delivery = match (&config.archive, delivery) {
        (Some(archive), delivery) => Box::new(kept(config, archive, delivery)?),
        (None, delivery) => delivery.expect("without an archive events go somewhere"),
    };
    attempt(config, around, (delivery, rejects), &Start::default())
}

/// A delivery that archives what it takes.
fn kept(config: &Config, archive: &ArchiveConfig, inner: Option<Box<dyn Delivery>>) -> anyhow::Result<KeptDelivery> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let inputs = config.inputs.clone();
    let (hand, source) = handed(inputs.iter().map(Input::name).collect());
    let writer = archive::open(archive, &Kept::Files { inputs, prefix: "evingest:" }).map_err(explained)?;
    // What was handed over is written to its end.
    let ends: (Box<dyn Fn() -> bool + Send>, _) = (Box::new(|| false), || {});
    let archiver = Archiver::start(archive.clone(), writer, Box::new(source), Arc::clone(&clock), ends);
    Ok(KeptDelivery::new(inner, hand, archiver.map_err(explained)?, clock))
}

/// Where a run begins: at the start of everything, or where another one was lost.
#[derive(Debug, Clone, Default)]
struct Start {
    /// By input.
    positions: Vec<Position>,
    /// What was done before, to be counted with it.
    before: Summary,
}

/// Runs once over the inputs. Where rejects go to a topic, it is the sink beside the delivery.
fn attempt(
    config: &Config,
    around: &Around,
    (delivery, rejects): (Box<dyn Delivery>, Option<Box<dyn Sink>>),
    start: &Start,
) -> anyhow::Result<Summary> {
    let stop = &around.stop;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = FilesOptions {
        line_bytes_max: config.line_bytes_max,
        // A line that is still being written is left for the next run.
        whole_line: config.transactional_id.as_ref().map(|_| is_whole_object as fn(&[u8]) -> bool),
        ..FilesOptions::new(crate::codec::csv::whole_records)
    };
    let files = FilesSource::open(&config.inputs, &options, &clock).hint("give readable files, or - for stdin")?;
    // Lines and a bar on one screen would be in each other's way.
    let is_free = !config.writes_stdout() || !std::io::stdout().is_terminal();
    let is_shown = config.stats != Stats::Quiet && is_free && !config.reads_stdin() && std::io::stderr().is_terminal();
    let progress = if is_shown { Progress::shown(config.bytes_total()) } else { Progress::hidden() };
    *around.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress.clone();
    let rejects = match (&config.rejects_to, rejects) {
        (_, Some(topic)) => Some(topic),
        (Some(address), None) => Some(sink::open(address, config.file_mode)?),
        (None, None) => None,
    };
    let verdicts = match config.verdicts {
        true => Some(sink::open(&Address::Stdio, config.file_mode)?),
        false => None,
    };
    let mut source = progress.source(files);
    for (partition, position) in (0..).zip(&start.positions) {
        source.seek(PartitionId(partition), position.byte);
    }
    stop.wake_on_request(source.waker());
    let reader_gone = Arc::new(AtomicBool::new(false));
    if config.sends_to_stdout() || config.verdicts {
        let (gone, waker) = (Arc::clone(&reader_gone), source.waker());
        sink::stdout::watch_closed(move || {
            gone.store(true, Ordering::Relaxed);
            waker.wake();
        })?;
    }
    let schemas = around.watch.as_ref().map(|watch| || watch.schemas());
    let edges = Edges {
        source,
        delivery,
        rejects: rejects.map(|sink| RejectWriter::new(sink, config.payload_bytes_max)),
        verdicts,
        dedup: config.dedup.map(|wish| wish.start()),
        pacer: &WallPacer::start(),
        schemas: schemas.as_ref().map(|schemas| schemas as &dyn Fn() -> Arc<Schemas>),
        is_stopped: &|| stop.exit_code().is_some() || reader_gone.load(Ordering::Relaxed),
    };
    let settings = Settings {
        lines_passed: start.positions.iter().map(|position| position.lines).collect(),
        before: start.before.clone(),
        ..config.settings.clone()
    };
    Ok(run(&settings, config.worker.clone(), edges)?)
}

/// A run that came to its end may still have found what the user calls a failure.
fn verdict(config: &Config, summary: &Summary) -> anyhow::Result<ExitCode> {
    if !summary.too_many_rejects {
        return Ok(ExitCode::Ok);
    }
    let (rejected, events_in, max) = (summary.rejected, summary.events_in, config.settings.rejects_max);
    let first = summary.first_reject.as_ref().filter(|_| config.stats == Stats::Quiet);
    let first = first.map_or_else(String::new, |first| format!("; the first is {first}"));
    let found = anyhow!("{rejected} of {events_in} lines are rejected, and --max-rejects allows '{max}'{first}");
    let hint = if config.rejects_to.is_some() { None } else { Some("--rejects-to FILE keeps them") };
    Err(found).hint_if(hint).exit_code(ExitCode::Rejects)
}

/// Tells what happened where it was asked for, a person watches, or something was left out.
fn report(config: &Config, summary: &Summary) {
    let told = || summary.to_text(Known { rejects_are_kept: config.rejects_to.is_some() });
    let text = match config.stats {
        Stats::Quiet => return,
        Stats::Json => format!("{}\n", summary.to_json()),
        Stats::Text => told(),
        Stats::WhenRemarkable if summary.is_remarkable() || std::io::stderr().is_terminal() => told(),
        Stats::WhenRemarkable => return,
    };
    // Without a stderr there is nobody to tell.
    let _ = std::io::stderr().write_all(printable(&text).as_bytes());
}
