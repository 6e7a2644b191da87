//! evgen's flags, one by one.
//!
//! Knows nothing of how they must fit together; that is the config's.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::cli::about::AboutArgs;
use crate::cli::flags::{self, TimeFlag};
use crate::cli::kafka::ClientArgs;
use crate::generate::Profile;
use crate::time::Duration;

/// Generates realistic synthetic events.
///
/// Simulates a shop, a web site or a fleet of sensors and writes what happens there, one event a line. The same seed gives
/// the same bytes, whatever the number of threads.
///
/// With --events or --duration alone it writes as fast as its reader reads. With --rate or --speed the clock paces it:
/// every event keeps its time, so a slow reader does not slow down the events, and how far it fell behind is reported at
/// the end. Without any of them it writes 1000 events a second, from now on, until it is stopped.
#[derive(Debug, Clone, Parser)]
#[command(name = "evgen", version, after_long_help = EXAMPLES, next_line_help = false)]
pub struct Args {
    /// What is simulated
    #[arg(short, long, value_enum, default_value = "ecommerce", help_heading = "What")]
    pub(crate) profile: ProfileArg,

    /// Where all chance comes from: the same seed gives the same events
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "What")]
    pub(crate) seed: u64,

    /// How many users there are
    #[arg(long, value_name = "N", default_value = "100k", value_parser = |text: &str| flags::count_within(text, 1, 100_000_000), help_heading = "What")]
    pub(crate) users: u32,

    /// How many products the shop has
    #[arg(long, value_name = "N", default_value = "1000", value_parser = |text: &str| flags::count_within(text, 1, 1_000_000), help_heading = "What")]
    pub(crate) products: u32,

    /// How many devices report
    #[arg(long, value_name = "N", default_value = "1000", value_parser = |text: &str| flags::count_within(text, 1, 1_000_000), help_heading = "What")]
    pub(crate) devices: u32,

    /// End after this many events (copies by --duplicates come on top)
    #[arg(short = 'n', long, value_name = "N", value_parser = flags::count, help_heading = "When")]
    pub(crate) events: Option<u64>,

    /// End after this much event time
    #[arg(short, long, value_name = "D", value_parser = flags::duration, help_heading = "When")]
    pub(crate) duration: Option<Duration>,

    /// Time of the first event [default: 2026-01-01T00:00:00Z, or now for an endless run paced by a rate]
    #[arg(long, value_name = "TIME", value_parser = flags::time, allow_hyphen_values = true, help_heading = "When")]
    pub(crate) start: Option<TimeFlag>,

    /// Write this many events a second, evenly
    ///
    /// Without it events come at random: in ecommerce and web about 1000 in a second of event time over the day, half of
    /// that before dawn and more in the afternoon (UTC); in iot each device sends three readings every ten seconds.
    #[arg(short, long, value_name = "N", value_parser = flags::rate_milli, help_heading = "When")]
    pub(crate) rate: Option<u64>,

    /// Let event time run this much faster than the clock, as 60x
    ///
    /// With --rate, that many events a second are still written, and lie further apart in event time.
    #[arg(long, value_name = "X", value_parser = flags::speed_milli, help_heading = "When")]
    pub(crate) speed: Option<u64>,

    /// This share of events arrives up to so long after its time, as 5s:20%
    #[arg(long, value_name = "D:P%", value_parser = flags::delayed_share, help_heading = "Trouble")]
    pub(crate) out_of_order: Option<(Duration, f64)>,

    /// This share of events arrives so long after its time, as 2m:1%
    #[arg(long, value_name = "D:P%", value_parser = flags::delayed_share, help_heading = "Trouble")]
    pub(crate) late: Option<(Duration, f64)>,

    /// This share of events comes a second time, within two seconds
    #[arg(long, value_name = "P%", value_parser = flags::share, help_heading = "Trouble")]
    pub(crate) duplicates: Option<f64>,

    /// The lines of this share of events are broken
    #[arg(long, value_name = "P%", value_parser = flags::share, help_heading = "Trouble")]
    pub(crate) malformed: Option<f64>,

    /// This share of events is dated ten years after the clock
    #[arg(long, value_name = "P%", value_parser = flags::share, help_heading = "Trouble")]
    pub(crate) future: Option<f64>,

    /// Where to write: a path, kafka://HOST:PORT/TOPIC, or - for stdout
    ///
    /// In a topic each event is a record with its user_id as key, so that a user's events share a partition.
    #[arg(short = 'o', long, value_name = "ADDRESS", default_value = "-", help_heading = "Output")]
    pub(crate) to: String,

    /// How to write [default: csv if the path says so, else ndjson]
    #[arg(short, long, value_enum, help_heading = "Output")]
    pub(crate) format: Option<FormatArg>,

    /// Write what a perfect reader must find to this file, as JSON, at the end
    ///
    /// Counts by type, the events that are late for --truth-delay, duplicates, malformed lines, future and anomalous
    /// events, and exact totals: revenue by minute and currency, views by minute and page, or readings by hour and device.
    /// Totals hold every line that is neither malformed nor future. Covers what was written when evgen is interrupted;
    /// is not written when the reader leaves before the end.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) truth: Option<PathBuf>,

    /// In the truth, an event is late when it is this much behind the greatest time before it
    #[arg(long, value_name = "D", default_value = "5s", value_parser = flags::duration, help_heading = "Output")]
    pub(crate) truth_delay: Duration,

    /// How many threads encode when not paced [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = |text: &str| flags::count_within(text, 1, 256), help_heading = "Output")]
    pub(crate) threads: Option<u32>,

    /// Do not report on stderr
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) client: ClientArgs,

    #[command(flatten)]
    pub(crate) about: AboutArgs,
}

const EXAMPLES: &str = "\
Examples:
  A thousand shop events a second, from now on:
    evgen
  A million events as fast as possible, always the same ones:
    evgen --events 1M --seed 7 > events.ndjson
  A day of sensor readings in 24 minutes:
    evgen --profile iot --duration 1d --speed 60x
  A stream as it comes over a bad network, and what must be found in it:
    evgen --events 1M --out-of-order 5s:20% --late 2m:1% --malformed 0.1% --truth truth.json
  Twenty thousand shop events a second into a topic:
    evgen --rate 20k --to kafka://127.0.0.1:9092/raw_events
  Ten thousand page views and clicks a second for half a minute:
    evgen --profile web --rate 10k --duration 30s --start now";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    /// A shop: views, carts, purchases, refunds, stock
    Ecommerce,
    /// A web site: page views, clicks, scrolling, forms
    Web,
    /// Sensors: temperature, humidity, pressure, and their faults
    Iot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// One JSON object a line
    Ndjson,
    /// A header of flattened paths such as properties.amount, then one row a line
    Csv,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Profile {
        match profile {
            ProfileArg::Ecommerce => Profile::Ecommerce,
            ProfileArg::Web => Profile::Web,
            ProfileArg::Iot => Profile::Iot,
        }
    }
}
