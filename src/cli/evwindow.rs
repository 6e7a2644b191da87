//! evwindow's command line: arguments, the checked config made of them, and the wiring.
//!
//! `Args` mirrors the flags; `Config` holds what the run needs. Nothing below this file knows of either.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, anyhow};
use clap::{Parser, ValueEnum};

use crate::cli::about::{self, AboutArgs};
use crate::cli::evwindow::config::{Config, Output};
use crate::cli::evwindow::topic::TopicArgs;
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::flags::{self, TimeFlag};
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
use crate::pipeline::summary::{Kept, Summary};
use crate::pipeline::topic::TopicSink;
use crate::pipeline::window::{WindowEdges, WindowPipeline};
use crate::record::Block;
use crate::sink::side::{LateWriter, RejectWriter};
use crate::sink::{self, FileMode};
use crate::source::address::Address;
use crate::source::clock::SystemClock;
use crate::source::files::{FilesOptions, FilesSource};
use crate::time::{Clock, Duration};

pub mod config;
mod keep;
mod settings;
pub mod topic;

/// Windows a stream of events: filter, group, aggregate.
///
/// Reads NDJSON or CSV from stdin, files and globs, and writes one row for every window and group as soon as the watermark
/// says that no more of its events are expected: the highest event time seen, less --watermark-delay. At the end of the
/// input all windows fire.
#[derive(Debug, Clone, Parser)]
#[command(name = "evwindow", version, after_long_help = EXAMPLES)]
pub struct Args {
    /// Files, globs, or - for stdin [default: -]
    #[arg(value_name = "INPUT")]
    inputs: Vec<OsString>,

    #[command(flatten)]
    query: QueryArgs,

    #[command(flatten)]
    time: TimeArgs,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    topic: TopicArgs,

    #[command(flatten)]
    about: AboutArgs,
}

/// What is computed.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Query")]
pub struct QueryArgs {
    /// Windows of this size, one after the other: 1m
    #[arg(short, long, value_name = "SIZE")]
    pub tumbling: Option<String>,

    /// Windows of a size that start every slide: 5m/1m
    #[arg(long, value_name = "SIZE/SLIDE")]
    pub sliding: Option<String>,

    /// Windows of a size that fire at every step until they are full: 1d/1h
    #[arg(long, value_name = "SIZE/STEP")]
    pub cumulate: Option<String>,

    /// Windows of each group that end with this much silence: 30m
    #[arg(long, value_name = "GAP")]
    pub session: Option<String>,

    /// Cut sessions at multiples of this since the epoch
    #[arg(long, value_name = "D")]
    pub session_max: Option<String>,

    /// One window over everything, which fires at the end
    #[arg(long)]
    pub global: bool,

    /// Move the edges of windows by this much
    #[arg(long, value_name = "D", allow_hyphen_values = true)]
    pub window_offset: Option<String>,

    /// Let windows of whole days follow the civil days of this time zone
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,

    /// Only events for which this SQL expression is TRUE
    #[arg(short = 'w', long = "where", value_name = "EXPR")]
    pub filter: Option<String>,

    /// Group by these expressions: "properties.country, lower(user_id) AS user"
    #[arg(short, long, value_name = "EXPR,…")]
    pub by: Vec<String>,

    /// Compute these aggregates: "count(*) AS n, sum(properties.amount) AS total" [default: count(*) AS count]
    ///
    /// count(*) count(x) count(DISTINCT x) approx_count_distinct(x) sum avg min max first last stddev_samp stddev_pop
    /// var_samp var_pop median(x) percentile_cont(p) WITHIN GROUP (ORDER BY x) percentile_disc approx_percentile(x, p)
    /// topk(x, k) rate(x), each with FILTER (WHERE …).
    #[arg(short, long, value_name = "AGG,…")]
    pub agg: Vec<String>,

    /// Only rows for which this expression over groups and aggregates is TRUE
    #[arg(long, value_name = "EXPR")]
    pub having: Option<String>,

    /// Only the first N rows of each window
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = |text: &str| flags::count_within(text, 1, 1_000_000_000))]
    pub top: Option<u32>,

    /// The order for --top [default: the first aggregate, greatest first]
    #[arg(long, value_name = "EXPR [DESC],…")]
    pub order_by: Option<String>,

    /// With --top, also the rows that tie with the last one
    #[arg(long)]
    pub with_ties: bool,

    /// Name of the metric in its rows [default: events]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Run the queries of this TOML file in one pass, instead of the one described by flags
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tumbling", "sliding", "cumulate", "session", "session_max", "global", "filter", "by", "agg", "having", "top", "order_by", "with_ties", "name"])]
    pub metrics: Option<PathBuf>,

    /// Most groups of a window; events of further groups join the group "__other__" [default: 1M]
    #[arg(long, value_name = "N", value_parser = |text: &str| flags::count_within(text, 1, 1_000_000_000))]
    pub max_groups: Option<u32>,

    /// Merge the partials that another evwindow wrote with --emit partials, in windows of this command's
    #[arg(long, conflicts_with_all = ["filter", "by", "agg", "name", "metrics"])]
    pub merge: bool,

    /// Print the plan with every effective value, and end
    #[arg(long)]
    pub explain: bool,
}

/// How time is told.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Time")]
pub struct TimeArgs {
    /// The field that holds the time of an event
    #[arg(long, value_name = "PATH", default_value = "timestamp")]
    pub time_field: String,

    /// How it is written
    #[arg(long, value_enum, default_value = "auto")]
    pub time_format: TimeFormatArg,

    /// The time of an event is when it happened, or when it is read; a replay of the latter differs
    #[arg(long, value_enum, default_value = "event")]
    pub time: TimeArg,

    /// By how much events may be out of order
    #[arg(long, value_name = "D", default_value = "5s", value_parser = flags::duration)]
    pub watermark_delay: Duration,

    /// How long a window takes late events after it has fired, and fires again for each [default: 0s]
    #[arg(long, value_name = "D")]
    pub allowed_lateness: Option<String>,

    /// Reject events dated more than this after the clock; `none` takes all
    #[arg(long, value_name = "D", default_value = "5m", value_parser = flags::duration_or_none)]
    pub max_future: flags::DurationOrNone,

    /// What --max-future takes for the clock [default: the machine's]
    #[arg(long, value_name = "TIME", value_parser = flags::time, allow_hyphen_values = true)]
    pub now: Option<TimeFlag>,

    /// Do not wait for an input that was silent for this long while others go on; `none` waits
    #[arg(long, value_name = "D", default_value = "30s", value_parser = flags::duration_or_none)]
    pub idle_timeout: flags::DurationOrNone,

    /// When all inputs were silent for this long, let the watermark go on with the clock [default: 10s on Kafka, else none]
    #[arg(long, value_name = "D", value_parser = flags::duration_or_none)]
    pub idle_close: Option<flags::DurationOrNone>,

    /// What the end of the input does with windows that have not fired
    #[arg(long, value_enum, default_value = "fire")]
    pub at_end: AtEndArg,

    /// Write windows that have changed as rows with "final":false, whenever the watermark passes a multiple of this
    #[arg(long, value_name = "D", value_parser = flags::duration)]
    pub early: Option<Duration>,
}

/// What is read.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// The same as INPUT
    #[arg(long, value_name = "INPUT")]
    pub from: Vec<OsString>,

    /// What the lines are, where the name of an input does not tell
    #[arg(long, value_enum)]
    pub input_format: Option<InputFormatArg>,

    /// Types and paths of CSV columns: "amount:float=properties.amount, user:text=user_id"
    #[arg(long, value_name = "COLUMN[:TYPE][=PATH],…")]
    pub csv_schema: Option<String>,

    /// The longest line; a longer one is rejected
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = flags::bytes)]
    pub max_line: usize,

    /// Write rejected lines to this file or topic, with reason and position
    #[arg(long, value_name = "ADDRESS")]
    pub rejects_to: Option<OsString>,

    /// End with code 3 when more lines than this are rejected: 100, or 1%
    #[arg(long, value_name = "N|P%", value_parser = flags::rejects_max)]
    pub max_rejects: Option<crate::pipeline::window::RejectsMax>,

    /// Write events that came too late to this file or topic
    #[arg(long, value_name = "ADDRESS")]
    pub late_to: Option<OsString>,

    /// Threads that decode and fold [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = |text: &str| flags::count_within(text, 1, 256))]
    pub threads: Option<u32>,
}

/// What is written.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Where rows go: a file, store: for the local store, kafka://HOST:PORT/TOPIC, or - for stdout; may be repeated [default: -]
    ///
    /// The store keeps, beside the rows, how far files were read and what is open: the same query run again over a file that
    /// has grown, or after it was killed, goes on from there and counts nothing twice. Windows that are still open at the end
    /// of a file are kept as rows with "final":false until the next run completes them, and other outputs are then written to
    /// the end of their files. A pipe can't be read again: its windows fire at its end, and what the next one gives of the
    /// same windows replaces them. store:PATH is another file than $EVKIT_STORE, by default evkit/store.db in the user's data
    /// folder.
    ///
    /// A topic takes each row as a record whose key is metric and group as JSON: with --group exactly once, else a run that is
    /// broken off and started again may write rows twice.
    #[arg(short = 'o', long, value_name = "ADDRESS")]
    pub to: Vec<OsString>,

    /// How rows are written [default: by the file's name, else a table on a terminal and ndjson elsewhere]
    #[arg(short, long, value_enum)]
    pub format: Option<FormatArg>,

    /// Drop what the store has of these metrics, and begin anew
    #[arg(long)]
    pub reset: bool,

    /// Write to the end of files instead of replacing them
    #[arg(long)]
    pub append: bool,

    /// What is written: rows or partials, and between them watermarks and stats
    #[arg(long, value_enum, value_delimiter = ',', default_value = "rows")]
    pub emit: Vec<EmitArg>,

    /// End with code 6 when this expression is TRUE for a final row
    #[arg(long, value_name = "EXPR")]
    pub fail_if: Option<String>,

    /// Report on stderr what happened to every event, as text or json
    #[arg(long, value_name = "text|json", num_args = 0..=1, default_missing_value = "text")]
    pub stats: Option<OsString>,

    /// Tell on stderr why windows have not fired, when nothing comes and at the end
    #[arg(long)]
    pub why: bool,

    /// No report on stderr
    #[arg(short, long, conflicts_with = "stats")]
    pub quiet: bool,
}

/// `--time-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimeFormatArg {
    /// RFC 3339, or a number since the epoch whose unit its size tells
    Auto,
    /// 2026-02-16T10:30:00.000Z
    Rfc3339,
    /// Seconds since the epoch
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

/// `--time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimeArg {
    /// When it happened
    Event,
    /// When it is read
    Processing,
}

/// `--at-end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AtEndArg {
    /// They fire
    Fire,
    /// They are dropped
    Drop,
}

/// `--input-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormatArg {
    /// A JSON object a line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// A JSON object a line
    Ndjson,
    /// A JSON array
    Json,
    /// Comma-separated values with a header
    Csv,
    /// InfluxDB's line protocol
    LineProtocol,
    /// Aligned columns
    Table,
}

/// `--emit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EmitArg {
    /// Result rows
    Rows,
    /// Partial results, to be merged by --merge
    Partials,
    /// {"watermark":…} whenever it passes the edge of a window
    Watermarks,
    /// {"stats":…} at the same time
    Stats,
}

const EXAMPLES: &str = "\
Examples:
  Revenue per minute and currency, live:
    evgen | evwindow -t 1m -w \"event_type = 'purchase_completed'\" \\
      -b properties.currency -a \"sum(properties.amount) AS revenue\"
  The ten most viewed products of the last five minutes, every minute:
    evwindow --sliding 5m/1m -w \"event_type = 'product_view'\" \\
      -b properties.product_id -n 10 events.ndjson
  Requests per hour by status, from compressed logs:
    evwindow -t 1h -b properties.status \\
      -a \"count(*) AS requests, median(properties.bytes)\" 'logs/*.ndjson.gz'
  Sessions of each user, and how long they were:
    evwindow --session 30m -b user_id \\
      -a \"count(*) AS n, min(timestamp) AS first, max(timestamp) AS last\"
  Many queries in one pass:
    evwindow --metrics metrics.toml events.ndjson
  Many queries over a log that grows, kept for evquery and evtop, from cron:
    evwindow --metrics metrics/web.toml --to store: access.ndjson
  Minutes on one machine, hours of all of them on another:
    evwindow -t 1m --emit partials,watermarks events.ndjson |
      evwindow --merge -t 1h
  From a topic to a topic, exactly once, with numbers for Prometheus:
    evwindow --from kafka://127.0.0.1:9092/raw_events --group analytics \
      --metrics metrics/ecommerce.toml --listen 9464 \
      --to kafka://127.0.0.1:9092/processed_metrics
  Fail in cron when an hour's revenue is low:
    evwindow -t 1h -a \"sum(properties.amount) AS revenue\" \\
      --fail-if \"revenue < 1000\" yesterday.ndjson

Exit codes: 0 ok, 1 failure, 2 usage, 3 more rejects than --max-rejects,
  4 no broker answers, 5 another process writes these metrics, 6 --fail-if, 130/143 signals.";

/// evwindow from its command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    about::program("evwindow", arguments, |args: &Args| &args.about, |args| window(args).map_err(upstream::explained))
}

fn window(args: Args) -> anyhow::Result<ExitCode> {
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
    let keeper = match &config.store {
        Some(store) if is_kept_open => Some(store.open(plan, &readable, true)?),
        _ => None,
    };
    let is_resumable = keeper.as_ref().is_some_and(Keeper::is_resumable);
    if keeper.as_ref().is_some_and(Keeper::goes_on) {
        config.append()?;
    }
    let options = FilesOptions {
        line_bytes_max: config.line_bytes_max,
        whole_line: is_resumable.then_some(crate::codec::ndjson::is_whole_object),
        ..FilesOptions::new(crate::codec::csv::whole_records)
    };
    let is_shown = !config.quiet && config.is_of_files() && std::io::stderr().is_terminal();
    let progress = if is_shown { Progress::shown(config.bytes_total()) } else { Progress::hidden() };
    let mut source = match topic {
        Some(topic) => progress.source(topic),
        None => {
            let files = FilesSource::open(&config.inputs, &options, &clock);
            progress.source(files.hint("give readable files, or - for stdin")?)
        }
    };
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
        Box::new(move || stop.exit_code().is_some() || reader_gone.load(Ordering::Relaxed))
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
    let edges = WindowEdges {
        intake,
        destinations: destinations(config, &progress)?,
        rejects: side(&config.rejects_to, config)?.map(|sink| RejectWriter::new(sink, config.line_bytes_max)),
        late: side(&config.late_to, config)?.map(LateWriter::new),
        say: Box::new(move |line| {
            // Without a stderr there is nobody to tell.
            let _ = progress.aside(|| writeln!(std::io::stderr(), "evwindow: {}", printable(line)));
        }),
        clock,
        keeper,
    };
    let pipeline = WindowPipeline::new(config.window.clone(), config.decode(partitions)?, edges);
    pipeline.and_then(WindowPipeline::run).map_err(keep::explained_pipeline)
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
