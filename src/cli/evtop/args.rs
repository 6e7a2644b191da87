//! evtop's flags, one by one.
//!
//! Knows nothing of how they must fit together; that is the config's.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::cli::about::AboutArgs;
use crate::cli::evtop::config::size;
use crate::cli::flags;
use crate::cli::kafka::ClientArgs;
use crate::cli::registry::{RegistryArgs, UserArgs};
use crate::dashboard::once::Size;
use crate::time::Duration;

/// Shows a stream of metrics on the terminal, live.
///
/// Reads the rows that evwindow writes, from a pipe, a recorded stream or a Kafka topic, or follows the local store, and shows a panel for each metric: the values
/// of its last window, their change, their history, and the greatest groups. With evwindow --emit rows,watermarks,stats it
/// also shows how far time has come, what was late or rejected, and what the next window waits for.
///
/// Keys are read from the terminal, also when stdin is a pipe. Press ? for them.
#[derive(Debug, Clone, Parser)]
#[command(name = "evtop", version, after_long_help = EXAMPLES)]
pub struct Args {
    /// A recorded stream of rows (also .gz, .zst), kafka://HOST:PORT/TOPIC, store: for the local store, or - for stdin [default:
    /// stdin when it is a pipe or a file, else the store]
    #[arg(value_name = "INPUT")]
    pub(crate) input: Option<OsString>,

    /// The same as INPUT
    #[arg(long, value_name = "INPUT", conflicts_with = "input")]
    pub(crate) from: Option<OsString>,

    /// Where to begin in a topic: earliest, latest, @TIME or -10m, by the time that Kafka gave the rows [default: -1h]
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
    pub(crate) start: Option<String>,

    /// Play a recorded stream again at the pace of its event time, or so much faster: 1x, 10x [default: as fast as it is read]
    #[arg(long, value_name = "X", value_parser = flags::speed_milli, conflicts_with = "once")]
    pub(crate) speed: Option<u64>,

    /// The panels and what they show, from a TOML file [default: a panel for each metric]
    #[arg(long, value_name = "FILE")]
    pub(crate) layout: Option<PathBuf>,

    /// The panels of a dashboard that a registry keeps: your own of this name, else one that is public
    #[arg(long, value_name = "NAME", conflicts_with = "layout")]
    pub(crate) dashboard: Option<String>,

    #[command(flatten)]
    pub(crate) registry: RegistryArgs,

    #[command(flatten)]
    pub(crate) user: UserArgs,

    /// Read to the end of the input, print one frame as text, and end
    #[arg(long)]
    pub(crate) once: bool,

    /// With --once: wait no longer than this for the end of the input
    #[arg(long = "for", value_name = "D", value_parser = flags::duration, requires = "once")]
    pub(crate) patience: Option<Duration>,

    /// With --once: the size of the frame [default: COLUMNS and LINES, else 80x24]
    #[arg(long, value_name = "WxH", value_parser = size, requires = "once")]
    pub(crate) size: Option<Size>,

    /// When to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) color: ColorArg,

    #[command(flatten)]
    pub(crate) client: ClientArgs,

    #[command(flatten)]
    pub(crate) about: AboutArgs,
}

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

const EXAMPLES: &str = "\
Examples:
  Revenue by currency, live:
    evgen | evwindow -t 10s -b properties.currency \\
      -a \"sum(properties.amount) AS revenue\" | evtop
  With watermark, late and rejected events, and why a window waits:
    evgen | evwindow -t 10s --emit rows,watermarks,stats | evtop
  Record a stream while watching it, and play it again ten times faster:
    evgen | evwindow -t 10s | tee rows.ndjson | evtop
    evtop rows.ndjson --speed 10x
  The results of a group that runs elsewhere:
    evtop kafka://127.0.0.1:9092/processed_metrics
  Panels of one's own:
    evgen | evwindow --metrics metrics.toml | evtop --layout layouts/ecommerce.toml
  Panels that a team keeps together (evquery admin dashboard put):
    evtop --dashboard shop --registry postgres://evkit@db.example.com/evkit
  One frame for a mail:
    evwindow -t 1h yesterday.ndjson | evtop --once --size 100x30

Keys:
  arrows or h j k l  select a panel and a group   Tab    next panel
  s  another order   /  filter groups   + -  range of history
  Enter  chart, Esc back   space  hold the picture   ?  help   q  quit

Exit codes: 0 ok, 1 failure, 2 usage, 4 no broker or registry answers, 130/143 signals.";
