//! evquery's flags, as they are written.
//!
//! Only what a single value may be is checked here; how flags stand together is `crate::cli::evquery::config`'s.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cli::about::AboutArgs;
use crate::cli::evquery::influx::InfluxCommand;
use crate::cli::evwindow::{FormatArg, TimeFormatArg};
use crate::cli::flags::{self, FlagError, TimeFlag};
use crate::cli::influx::InfluxArgs;
use crate::cli::kafka::ClientArgs;
use crate::cli::records::ListFormat;
use crate::cli::registry::{RegistryArgs, UserArgs};
use crate::query::{Fill, WindowAsked};
use crate::time::Duration;

/// Asks the local store or InfluxDB for metrics: a table, rows, a chart.
///
/// What evwindow --to store: or --to influx://… keeps is answered in its own windows or in coarser ones, with all groups or with
/// fewer. Coarser answers are merged of what the store keeps of the events, so averages, percentiles and distinct counts are
/// those of the events; what cannot be merged is refused, with the reason.
#[derive(Debug, Clone, Parser)]
#[command(name = "evquery", version, after_long_help = EXAMPLES)]
pub struct Args {
    /// list, describe, admin; without one, the metric is asked for
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The metric
    #[arg(value_name = "METRIC")]
    pub metric: Option<String>,

    /// What is asked.
    #[command(flatten)]
    pub query: QueryArgs,

    /// For which time.
    #[command(flatten)]
    pub time: TimeArgs,

    /// How it is shown.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Where the metrics are: store:, store:PATH, influx://HOST:PORT/ORG/BUCKET, or archive:DIR, which has raw events to make them
    /// of; with --follow also a topic that evwindow writes, kafka://HOST:PORT/TOPIC [default: store:]
    #[arg(long, value_name = "ADDRESS", global = true, help_heading = "Store")]
    pub from: Option<OsString>,

    /// Check that the store is whole, and end
    #[arg(long, help_heading = "Store")]
    pub check: bool,

    /// The archive beneath.
    #[command(flatten)]
    pub beneath: BeneathArgs,

    /// The client of a bucket.
    #[command(flatten)]
    pub influx: InfluxArgs,

    /// The client of a topic.
    #[command(flatten)]
    pub client: ClientArgs,

    /// What it says of itself.
    #[command(flatten)]
    pub about: AboutArgs,
}

/// What else can be asked than a metric's values.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show the metrics that the store has
    List {
        /// How [default: a table on a terminal, else ndjson]
        #[arg(short, long, value_enum)]
        format: Option<ListFormat>,
    },
    /// Show what the store knows of a metric: fields, group columns, time
    Describe {
        /// The metric
        metric: String,

        /// How [default: a table on a terminal, else ndjson]
        #[arg(short, long, value_enum)]
        format: Option<ListFormat>,
    },
    /// Look after the store or a server of InfluxDB, and keep dashboards
    Admin {
        /// What is done
        #[command(subcommand)]
        command: AdminCommand,
    },
}

/// `evquery admin`.
#[derive(Debug, Clone, Subcommand)]
pub enum AdminCommand {
    /// Drop what is old: points that live on as roll-ups, then roll-ups
    Retention {
        /// Drop points older than this where hourly roll-ups live on: 90d
        #[arg(long, value_name = "AGE", value_parser = flags::age)]
        hot: Option<Duration>,

        /// Drop everything older than this: 1y
        #[arg(long, value_name = "AGE", value_parser = flags::age)]
        cold: Option<Duration>,

        /// Look after this archive instead of the store: whole hours of events that are older than --cold go
        #[arg(long, value_name = "DIR", conflicts_with = "hot", requires = "cold")]
        archive: Option<PathBuf>,

        /// The time from which age is counted [default: the machine's]
        #[arg(long, value_name = "TIME", value_parser = flags::time, allow_hyphen_values = true)]
        now: Option<TimeFlag>,
    },
    /// Make ready a server of InfluxDB for evwindow to write to
    Influx {
        /// What is done
        #[command(subcommand)]
        command: InfluxCommand,
    },
    /// Keep layouts for evtop --dashboard in a registry
    Dashboard {
        /// What is done
        #[command(subcommand)]
        command: DashboardCommand,
    },
}

/// `evquery admin dashboard`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum DashboardCommand {
    /// Keep a layout under a name, in place of your own of that name
    Put {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,

        /// The layout: a TOML file as for evtop --layout, or - for stdin
        #[arg(value_name = "FILE")]
        file: OsString,

        /// Others find it too
        #[arg(long)]
        public: bool,

        /// Whose.
        #[command(flatten)]
        user: UserArgs,

        /// Where.
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Print a layout as TOML: your own of that name, else one that is public
    Get {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,

        /// Whose.
        #[command(flatten)]
        user: UserArgs,

        /// Where.
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// List your own dashboards and those that are public
    List {
        /// How [default: a table on a terminal, else ndjson]
        #[arg(short, long, value_enum)]
        format: Option<ListFormat>,

        /// Whose.
        #[command(flatten)]
        user: UserArgs,

        /// Where.
        #[command(flatten)]
        registry: RegistryArgs,
    },
}

/// The archive beneath what is stored, and the query by which windows are made of its events.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Archive")]
pub struct BeneathArgs {
    /// Make of the raw events in this archive what the store no longer has or cannot give: older windows, exact distinct counts
    /// and percentiles of coarser ones
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,

    /// The metrics file with the query, for --from archive:DIR, and where none was kept with the points
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,

    /// With --metrics: by how much events may be out of order, as for evwindow [default: 5s]
    #[arg(long, value_name = "D", value_parser = flags::duration, requires = "metrics")]
    pub watermark_delay: Option<Duration>,

    /// With --metrics: how long a window takes late events after it has fired, as for evwindow [default: 0s]
    #[arg(long, value_name = "D", requires = "metrics")]
    pub allowed_lateness: Option<String>,

    /// With --metrics: the field that holds the time of an event, as for evwindow [default: timestamp]
    #[arg(long, value_name = "PATH", requires = "metrics")]
    pub time_field: Option<String>,

    /// With --metrics: how it is written [default: auto]
    #[arg(long, value_enum, requires = "metrics")]
    pub time_format: Option<TimeFormatArg>,
}

/// What is asked.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Query")]
pub struct QueryArgs {
    /// Only these fields [default: all]
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    pub field: Vec<String>,

    /// Only these group columns; groups that differ in others are merged [default: all of the metric's]
    #[arg(short, long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub by: Vec<String>,

    /// Merge all groups into one
    #[arg(long, conflicts_with = "by")]
    pub total: bool,

    /// Only groups for which this SQL expression over group columns is TRUE; where it names a field, only such rows
    #[arg(short = 'w', long = "where", value_name = "EXPR")]
    pub filter: Option<String>,

    /// Windows of this length, a multiple of the metric's; or own, or all for one window [default: what suits the range]
    #[arg(long, value_name = "SIZE|own|all", value_parser = window)]
    pub window: Option<WindowAsked>,

    /// Aggregates of the metric's own rows instead of its fields: "max(revenue) AS peak"
    #[arg(short, long, value_name = "AGG,…", conflicts_with = "field")]
    pub agg: Vec<String>,

    /// Only the first N rows of each window
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = |text: &str| flags::count_within(text, 1, 1_000_000_000))]
    pub top: Option<u32>,

    /// The order for --top [default: the first value, greatest first]
    #[arg(long, value_name = "EXPR [DESC],…")]
    pub order_by: Option<String>,

    /// What stands in windows in which a group has no events
    #[arg(long, value_enum, default_value = "none")]
    pub fill: FillArg,

    /// Beside each value the one this much earlier, and the change: 7d
    #[arg(long, value_name = "D", value_parser = flags::age)]
    pub compare: Option<Duration>,

    /// Print what would be read and how, and end
    #[arg(long)]
    pub explain: bool,
}

/// For which time.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Time")]
pub struct TimeArgs {
    /// From the window that holds this time on [default: a day before the end]
    #[arg(long, value_name = "TIME", value_parser = flags::time, allow_hyphen_values = true)]
    pub start: Option<TimeFlag>,

    /// Before this time [default: the end of the metric's last window]
    #[arg(long, value_name = "TIME", value_parser = flags::time, allow_hyphen_values = true)]
    pub until: Option<TimeFlag>,

    /// The time from this long ago until now
    #[arg(long, value_name = "D", value_parser = flags::age, conflicts_with_all = ["start", "until"])]
    pub last: Option<Duration>,

    /// What --last and -1h count from [default: the machine's clock]
    #[arg(long, value_name = "TIME", value_parser = flags::time, allow_hyphen_values = true)]
    pub now: Option<TimeFlag>,
}

/// How it is shown.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// How rows are written [default: a table on a terminal and ndjson elsewhere]
    #[arg(short, long, value_enum)]
    pub format: Option<FormatArg>,

    /// Draw the first value as a chart instead of rows: lines over time, bars for one window
    #[arg(long, conflicts_with_all = ["format", "follow"])]
    pub chart: bool,

    /// Draw the first value to this SVG file, beside the rows
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    pub svg: Option<PathBuf>,

    /// Then write new rows as they are stored; from a topic, as they are written, from now on or from --start on
    #[arg(long, conflicts_with_all = ["window", "agg", "top", "order_by", "compare", "fill", "explain"])]
    pub follow: bool,

    /// End with code 6 when this expression is TRUE for a row of a window that has fired
    #[arg(long, value_name = "EXPR")]
    pub fail_if: Option<String>,

    /// No report on stderr
    #[arg(short, long)]
    pub quiet: bool,
}

/// `--fill`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FillArg {
    /// No row
    #[default]
    None,
    /// A row of NULLs
    Null,
    /// A row of zeros
    Zero,
    /// The group's row before
    Previous,
}

impl From<FillArg> for Fill {
    fn from(fill: FillArg) -> Fill {
        match fill {
            FillArg::None => Fill::None,
            FillArg::Null => Fill::Null,
            FillArg::Zero => Fill::Zero,
            FillArg::Previous => Fill::Previous,
        }
    }
}

fn window(text: &str) -> Result<WindowAsked, FlagError> {
    match text {
        "own" => Ok(WindowAsked::Own),
        "all" => Ok(WindowAsked::Whole),
        text => flags::duration(text).map(WindowAsked::Every),
    }
}

const EXAMPLES: &str = "\
Examples:
  What the store has, and what a metric is:
    evquery list
    evquery describe revenue
  Revenue by hour and country over the last week:
    evquery revenue --by country --window 1h --last 7d
  The ten products that sold best on each day, as CSV:
    evquery purchase_metrics --by product_id --window 1d -n 10 -f csv --last 30d
  Today beside a week ago, as a chart:
    evquery revenue --total --window 1h --start 2026-02-16 --compare 7d --chart
  For a report that cron mails:
    evquery revenue --by country --window 1d --last 90d --svg revenue.svg -q
  Fail in cron when an hour's revenue is low:
    evquery revenue --total --window 1h --last 2h --fill zero --fail-if \"revenue < 1000\"
  New rows as they are stored:
    evquery revenue --follow
  New rows of a group that writes to Kafka, and those of the last ten minutes:
    evquery revenue --follow --start -10m --from kafka://127.0.0.1:9092/processed_metrics
  From InfluxDB, the same questions:
    evquery revenue --window 1h --last 90d --from influx://127.0.0.1:8086/shop/metrics
  Buyers of each day, exactly, and years back: what the store lacks is made of raw events:
    evquery revenue --window 1d --start 2024-01-01 --archive /data/archive
  From the raw events alone:
    evquery revenue --window 1d --from archive:/data/archive --metrics metrics.toml
  Keep 90 days of points, and a year of roll-ups:
    evquery admin retention --hot 90d --cold 1y
  A layout for everybody's evtop:
    evquery admin dashboard put shop layouts/ecommerce.toml --public
    evtop --dashboard shop

Exit codes: 0 ok, 1 failure, 2 usage, 4 no broker, server or registry answers, 6 --fail-if, 130/143 signals.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_take_years_and_windows_words() {
        assert_eq!(flags::age("1y"), Ok(Duration(365 * 86_400_000_000)));
        assert_eq!(flags::age("90d"), Ok(Duration(90 * 86_400_000_000)));
        assert!(flags::age("y").is_err() && flags::age("-1y").is_err() && flags::age("99999y").is_err());
        assert_eq!(window("own"), Ok(WindowAsked::Own));
        assert_eq!(window("all"), Ok(WindowAsked::Whole));
        assert_eq!(window("1h"), Ok(WindowAsked::Every(Duration(3_600_000_000))));
        assert!(window("hour").is_err());
    }

    #[test]
    fn the_definition_holds_together() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
