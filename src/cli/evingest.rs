//! evingest from its command line to its exit code: arguments, the checked config made of them, and the wiring.

pub mod args;
mod cluster;
pub mod config;
mod groups;
mod schema;
mod topics;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, anyhow};

use crate::cli::about;
use crate::cli::evingest::args::{Args, Command};
use crate::cli::evingest::config::{Config, Stats};
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::kafka;
use crate::cli::progress::Progress;
use crate::cli::signals::StopRequest;
use crate::cli::upstream;
use crate::pipeline::ingest::delivery::{Delivery, Lines, Topic};
use crate::pipeline::ingest::summary::{Known, Summary};
use crate::pipeline::ingest::{Edges, run};
use crate::pipeline::pace::WallPacer;
use crate::pipeline::topic::TopicSink;
use crate::sink::side::RejectWriter;
use crate::sink::{self, Sink};
use crate::source::address::Address;
use crate::source::clock::SystemClock;
use crate::source::files::{FilesOptions, FilesSource};
use crate::time::Clock;

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
        None => ingest(&Config::of_events(args)?),
        Some(Command::Replay(replay)) => ingest(&Config::of_rejects(replay)?),
        Some(Command::Schema { command }) => schema::work(command),
        Some(Command::Topics { command }) => topics::run(command),
        Some(Command::Groups { command }) => groups::run(command),
    }
}

fn ingest(config: &Config) -> anyhow::Result<ExitCode> {
    let stop = StopRequest::listen().context("cannot listen to signals")?;
    let summary = deliver(config, &stop).map_err(upstream::explained)?;
    report(config, &summary);
    match stop.exit_code() {
        Some(code) => Ok(code),
        None => verdict(config, &summary),
    }
}

fn deliver(config: &Config, stop: &StopRequest) -> anyhow::Result<Summary> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = FilesOptions {
        line_bytes_max: config.line_bytes_max,
        ..FilesOptions::new(crate::codec::csv::whole_records)
    };
    let files = FilesSource::open(&config.inputs, &options, &clock).hint("give readable files, or - for stdin")?;
    let is_shown = config.stats != Stats::Quiet && !config.reads_stdin() && std::io::stderr().is_terminal();
    let progress = if is_shown { Progress::shown(config.bytes_total()) } else { Progress::hidden() };
    let delivery: Box<dyn Delivery> = match &config.to {
        Address::Kafka(address) => Box::new(Topic::new(config.client.producer(address)?)),
        address => {
            let sink = sink::open(address, config.file_mode).hint("name a file that can be written, or - for stdout")?;
            Box::new(Lines::new(beside(&progress, address, sink)))
        }
    };
    let rejects = match &config.rejects_to {
        Some(Address::Kafka(address)) => Some(Box::new(TopicSink::of_lines(config.client.producer(address)?)) as Box<dyn Sink>),
        Some(address) => Some(beside(&progress, address, sink::open(address, config.file_mode)?)),
        None => None,
    };
    let verdicts = match config.verdicts {
        true => Some(beside(&progress, &Address::Stdio, sink::open(&Address::Stdio, config.file_mode)?)),
        false => None,
    };
    let source = progress.source(files);
    stop.wake_on_request(source.waker());
    let reader_gone = Arc::new(AtomicBool::new(false));
    if config.to == Address::Stdio || config.verdicts {
        let (gone, waker) = (Arc::clone(&reader_gone), source.waker());
        sink::stdout::watch_closed(move || {
            gone.store(true, Ordering::Relaxed);
            waker.wake();
        })?;
    }
    let edges = Edges {
        source,
        delivery,
        rejects: rejects.map(|sink| RejectWriter::new(sink, config.payload_bytes_max)),
        verdicts,
        dedup: config.dedup.map(|wish| wish.start()),
        pacer: &WallPacer::start(),
        is_stopped: &|| stop.exit_code().is_some() || reader_gone.load(Ordering::Relaxed),
    };
    Ok(run(&config.settings, config.worker.clone(), edges)?)
}

/// A sink to the terminal that shows the progress stands beside it.
fn beside(progress: &Progress, address: &Address, sink: Box<dyn Sink>) -> Box<dyn Sink> {
    match *address == Address::Stdio && std::io::stdout().is_terminal() {
        true => progress.sink(sink),
        false => sink,
    }
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
