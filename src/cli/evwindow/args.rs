//! evwindow's flags, as clap reads them. What they mean together is checked elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cli::about::AboutArgs;
use crate::cli::archive::ArchiveArgs;
use crate::cli::evwindow::repair::RepairArgs;
use crate::cli::evwindow::topic::TopicArgs;
use crate::cli::flags::{self, TimeFlag};
use crate::cli::input::InputArgs;
use crate::cli::points::PointArgs;
use crate::time::Duration;

/// Windows a stream of events: filter, group, aggregate.
///
/// Reads NDJSON or CSV from stdin, files and globs, and writes one row for every window and group as soon as the watermark
/// says that no more of its events are expected: the highest event time seen, less --watermark-delay. At the end of the
/// input all windows fire.
#[derive(Debug, Clone, Parser)]
#[command(name = "evwindow", version, args_conflicts_with_subcommands = true, after_long_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(in crate::cli::evwindow) command: Option<Command>,

    /// Files, globs, - for stdin, kafka://HOST:PORT/TOPIC, or archive:DIR [default: -]
    #[arg(value_name = "INPUT")]
    pub(in crate::cli::evwindow) inputs: Vec<OsString>,

    #[command(flatten)]
    pub(in crate::cli::evwindow) query: QueryArgs,

    #[command(flatten)]
    pub(in crate::cli::evwindow) time: TimeArgs,

    #[command(flatten)]
    pub(in crate::cli::evwindow) input: InputArgs,

    #[command(flatten)]
    pub(in crate::cli::evwindow) reading: ReadingArgs,

    #[command(flatten)]
    pub(in crate::cli::evwindow) output: OutputArgs,

    #[command(flatten)]
    pub(in crate::cli::evwindow) archive: ArchiveArgs,

    #[command(flatten)]
    pub(in crate::cli::evwindow) topic: TopicArgs,

    #[command(flatten)]
    pub(in crate::cli::evwindow) points: PointArgs,

    #[command(flatten)]
    pub(in crate::cli::evwindow) about: AboutArgs,
}

/// What else evwindow does.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Bring late events into the windows that they were too late for
    Repair(Box<RepairArgs>),
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

/// How it is read, and where what is not taken goes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Input")]
pub struct ReadingArgs {
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
    /// Where rows go: a file, store: for the local store, kafka://HOST:PORT/TOPIC, influx://HOST:PORT/ORG/BUCKET, or - for
    /// stdout; may be repeated [default: -]
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
    ///
    /// A bucket of InfluxDB takes each row as a point named by metric, window and group, so that a row that is written again
    /// replaces itself; what evquery reads stands beside it. influx: alone means $INFLUX_HOST, $INFLUX_ORG and $INFLUX_BUCKET.
    #[arg(short = 'o', long, value_name = "ADDRESS")]
    pub to: Vec<OsString>,

    /// How rows are written [default: by the file's name, else a table on a terminal and ndjson elsewhere]
    #[arg(short, long, value_enum)]
    pub format: Option<FormatArg>,

    /// Drop what the store or the bucket has of these metrics, and begin anew
    #[arg(long)]
    pub reset: bool,

    /// Make all windows anew from an archive, also those that an earlier run has made which ended before its time
    #[arg(long)]
    pub no_resume: bool,

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
    evwindow --from kafka://127.0.0.1:9092/raw_events --group analytics \\
      --metrics metrics/ecommerce.toml --listen 9464 \\
      --to kafka://127.0.0.1:9092/processed_metrics
  Raw events kept beside the rows, and a week of windows made anew from them:
    evwindow --metrics metrics/web.toml --to store: --archive history access.ndjson
    evwindow --metrics metrics/web.toml --to store: --from archive:history \\
      --start 2026-02-01 --until 2026-02-08 --quiet
  What came too late, kept aside and brought in later:
    evwindow --metrics metrics/web.toml --to store: --late-to late.ndjson access.ndjson
    evwindow repair --metrics metrics/web.toml --to store: late.ndjson
  Minutes into InfluxDB, for Grafana and evquery; the token is in $INFLUX_TOKEN:
    evwindow -t 1m -b properties.currency -a \"sum(properties.amount) AS revenue\" \\
      --name revenue --to influx://127.0.0.1:8086/shop/metrics events.ndjson
  Fail in cron when an hour's revenue is low:
    evwindow -t 1h -a \"sum(properties.amount) AS revenue\" \\
      --fail-if \"revenue < 1000\" yesterday.ndjson

Exit codes: 0 ok, 1 failure, 2 usage, 3 more rejects than --max-rejects,
  4 a server does not answer, 5 another process writes these metrics, 6 --fail-if, 130/143 signals.";
