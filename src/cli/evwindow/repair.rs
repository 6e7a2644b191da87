//! `evwindow repair`: late events brought into the windows that they were too late for.
//!
//! A repair is a run over what `--late-to` wrote, with the query that made the metrics, in which nothing is late. Its flags are
//! checked here, and what it did is told.

mod anew;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::cli::about::AboutArgs;
use crate::cli::archive::ArchiveArgs;
use crate::cli::evwindow::config::Config;
use crate::cli::evwindow::topic::TopicArgs;
use crate::cli::evwindow::{
    Args, AtEndArg, EmitArg, OutputArgs, QueryArgs, ReadingArgs, TimeArg, TimeArgs, run, verdict,
};
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::input::{InputArgs, InputFormatArg};
use crate::cli::kafka::ClientArgs;
use crate::cli::points::PointArgs;
use crate::cli::signals::StopRequest;
use crate::pipeline::summary::{Summary, counted};
use crate::source::address::Address;
use crate::source::clock::SystemClock;
use crate::source::identity::Head;
use crate::time::{Clock, Duration};

/// Brings late events into the windows that they were too late for.
///
/// Reads what --late-to wrote, with the query that made the metrics: the same flags, or the same --metrics. Into the store the
/// events are merged with the points that are there, and how far each late file was read is committed with them: run again, nothing
/// counts twice, and of a file that has grown what is new is taken. With --archive, and into InfluxDB, the windows that have late
/// events are made anew from archived events, none of them left out as late.
#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RepairArgs {
    /// What --late-to wrote: files, globs, or kafka://HOST:PORT/TOPIC
    #[arg(value_name = "LATE", required = true)]
    late: Vec<OsString>,

    #[command(flatten)]
    query: QueryArgs,

    #[command(flatten)]
    time: TimeArgs,

    #[command(flatten)]
    reading: ReadingArgs,

    /// What is repaired: store: for the local store, or influx://HOST:PORT/ORG/BUCKET
    #[arg(short = 'o', long, value_name = "ADDRESS", required = true, help_heading = "Output")]
    to: OsString,

    /// Make the windows that have late events anew from the events in this folder
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    archive: Option<PathBuf>,

    /// Say what would be repaired, and change nothing
    #[arg(long, help_heading = "Output")]
    dry_run: bool,

    /// No report on stderr
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    #[command(flatten)]
    client: ClientArgs,

    #[command(flatten)]
    points: PointArgs,
}

const EXAMPLES: &str = "\
Examples:
  A live run that keeps its late events, and from cron what brings them in:
    evwindow --metrics web.toml --to store: --late-to late.ndjson access.ndjson
    evwindow repair --metrics web.toml --to store: --quiet late.ndjson
  The same in InfluxDB, where windows are made anew from the archive:
    evwindow repair --metrics web.toml --to influx://127.0.0.1:8086/shop/metrics \\
      --archive history late.ndjson";

/// Repairs, and tells what was done.
pub fn work(args: &RepairArgs) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if args.client.wants_list() {
        crate::cli::about::print(crate::cli::kafka::list().as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    check(args)?;
    let mut config = Config::new(args.as_run(), clock.now(), std::io::stdout().is_terminal())?;
    let is_into_store = matches!(Address::parse(&args.to), Ok(Address::Store(_)));
    config.repair(is_into_store, args.dry_run);
    let stop = StopRequest::listen().context("cannot listen to signals")?;
    if let Some(folder) = &args.archive {
        return anew::work(args, config, folder, clock, &stop);
    }
    let Some(store) = &config.store else {
        return refuse("--to", args.to.display(), "its points hold no accumulators that late events can be added to")
            .hint("--archive DIR makes the windows anew that have late events");
    };
    store.check_mends(&config.window.plan)?;
    let summary = run(&mut config, &stop, clock)?;
    if !args.quiet {
        tell(&told(&config, &summary, args.dry_run));
    }
    check_events(&config, &summary)?;
    match stop.exit_code() {
        Some(code) => Ok(code),
        None => verdict(&config, &summary),
    }
}

impl RepairArgs {
    /// The run over the late events.
    fn as_run(&self) -> Args {
        let is_topic = self.late.iter().any(|late| matches!(Address::parse(late), Ok(Address::Kafka(_))));
        Args {
            command: None,
            inputs: self.late.clone(),
            query: self.query.clone(),
            time: self.time.clone(),
            input: InputArgs { input_format: Some(InputFormatArg::Ndjson), ..InputArgs::default() },
            reading: self.reading.clone(),
            output: OutputArgs {
                to: vec![self.to.clone()],
                emit: vec![EmitArg::Rows],
                quiet: self.quiet,
                ..OutputArgs::default()
            },
            archive: ArchiveArgs::default(),
            topic: TopicArgs {
                client: self.client.clone(),
                until: is_topic.then(|| "end".to_owned()),
                ..TopicArgs::default()
            },
            points: self.points.clone(),
            about: AboutArgs::default(),
        }
    }
}

impl Config {
    /// Lets the inputs be late events, which are brought into the store, or into the buckets among the outputs: nothing is late.
    pub fn repair(&mut self, into_store: bool, is_dry: bool) {
        self.window.repairs = true;
        self.window.watermark_delay = Duration(i64::MAX);
        self.intake.idle_close = None;
        self.outputs.clear();
        match into_store {
            true => self.buckets.clear(),
            false => self.store = None,
        }
        self.store.iter_mut().for_each(|store| store.is_dry = is_dry);
    }
}

/// Refuses what makes no sense where late events are brought in.
fn check(args: &RepairArgs) -> anyhow::Result<()> {
    match Address::parse(&args.to).context("cannot take --to").exit_code(ExitCode::Usage)? {
        Address::Store(_) | Address::Influx(_) => {}
        _ => {
            return refuse("--to", args.to.display(), "what is repaired are the points of a store or a bucket")
                .hint("--to store:[PATH] or --to influx://HOST:PORT/ORG/BUCKET");
        }
    }
    let senseless = [
        (
            args.query.merge,
            "--merge: a repair adds events to points",
            "merge the late partials with the others, under another --name",
        ),
        (
            args.query.explain,
            "--explain: a repair has the plan of the query that it repairs",
            "evwindow --explain prints it",
        ),
        (args.time.time == TimeArg::Processing, "--time 'processing': by the clock nothing is late", "leave it out"),
        (args.time.early.is_some(), "--early: a repair writes windows that have fired", "leave it out"),
        (
            args.time.at_end == AtEndArg::Drop,
            "--at-end 'drop': a repair writes windows that have fired",
            "leave it out",
        ),
    ];
    if let Some((_, cause, hint)) = senseless.into_iter().find(|(is_given, ..)| *is_given) {
        return Err(anyhow!("cannot take {cause}")).hint(hint).exit_code(ExitCode::Usage);
    }
    if let Some(to) = &args.reading.late_to {
        return refuse("--late-to", to.display(), "in a repair nothing is late");
    }
    let is_pipe = |text: &&OsString| matches!(Address::parse(text), Ok(Address::Stdio));
    if args.late.iter().any(|text| is_pipe(&text)) {
        return refuse("LATE", "-", "a pipe can't be known again, and what it holds would count twice")
            .hint("write it to a file, and give that");
    }
    Ok(())
}

fn refuse<T>(flag: &str, value: impl Display, cause: &str) -> anyhow::Result<T> {
    Err(anyhow!("cannot take {flag} '{value}': {cause}")).exit_code(ExitCode::Usage)
}

/// Refuses files without any late event: they are something else.
fn check_events(config: &Config, summary: &Summary) -> anyhow::Result<()> {
    let Some((name, lines)) = summary.only_rejects.first() else { return Ok(()) };
    let input = config.inputs.iter().find(|input| input.name() == *name);
    let head = input.and_then(|input| Head::of(input).ok().flatten());
    let begins_with = head.and_then(|head| head.bytes().trim_ascii_start().first().copied());
    let (seems, hint) = match begins_with {
        Some(b'{') => (
            "JSON objects that are no events by this query",
            "give the query that made the metrics, with the same --time-field",
        ),
        Some(byte) if byte.is_ascii_graphic() => (
            "CSV",
            "late lines of a CSV input stand without its header, and can't be repaired: give the live run NDJSON",
        ),
        _ => ("no text", "give what --late-to wrote"),
    };
    let first =
        summary.first_reject.as_ref().map_or_else(String::new, |first| format!("; the first reject is {first}"));
    Err(anyhow!(
        "cannot repair from '{name}': {} and no event, it seems to be {seems}{first}",
        counted(*lines, "rejected line")
    ))
    .hint(hint)
}

/// What was done, for people.
fn told(config: &Config, summary: &Summary, is_dry: bool) -> String {
    let events = counted(summary.input.events_in - summary.input.rejected(), "late event");
    let mut text = format!("{events} read");
    let schemas = config.window.plan.schemas.iter();
    let windows: Vec<String> = schemas
        .zip(&summary.repaired)
        .filter(|(_, windows)| **windows > 0)
        .map(|(schema, windows)| format!("{} of '{}'", counted(*windows, "window"), schema.name))
        .collect();
    match &windows[..] {
        [] => text.push_str(", nothing to repair"),
        windows if is_dry => text.push_str(&format!("; would repair {}", windows.join(", "))),
        windows => text.push_str(&format!("; repaired {}", windows.join(", "))),
    }
    if summary.repaired_before > 0 {
        text.push_str(&format!(
            "; {} passed over, which an earlier repair took",
            counted(summary.repaired_before, "line")
        ));
    }
    if summary.waiting > 0 {
        let waiting = counted(summary.waiting, "window");
        text.push_str(&format!("; for {waiting} that the live run has not fired yet they wait: repair again later"));
    }
    if summary.input.rejected() > 0 {
        text.push_str(&format!("; {} rejected", counted(summary.input.rejected(), "line")));
    }
    text.extend(summary.first_reject.as_ref().map(|first| format!(", the first is {first}")));
    text
}

fn tell(line: &str) {
    // Without a stderr there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "evwindow: {}", printable(line));
}
