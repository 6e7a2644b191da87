//! evgen's command line: arguments, the checked config made of them, and the wiring.
//!
//! `Args` mirrors the flags; `Config` holds what the run needs. Nothing below this file knows of either.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{CommandFactory, Parser, ValueEnum};

use crate::cli::exit::{ExitCode, ReportContext, finish};
use crate::cli::flags::{self, FlagError, TimeFlag};
use crate::cli::signals::StopRequest;
use crate::generate::disturb::{Delay, Disturbances};
use crate::generate::encode::Format;
use crate::generate::random::Chance;
use crate::generate::schedule::Rate;
use crate::generate::{Profile, Settings};
use crate::pipeline::generate::{End, Job, Outcome, run};
use crate::pipeline::pace::WallPacer;
use crate::sink::{self, FileMode};
use crate::source::address::{Address, AddressError};
use crate::time::{Clock, Duration, Timestamp};

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
    profile: ProfileArg,

    /// Where all chance comes from: the same seed gives the same events
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "What")]
    seed: u64,

    /// How many users there are
    #[arg(long, value_name = "N", default_value = "100k", value_parser = |text: &str| flags::count_within(text, 1, 100_000_000), help_heading = "What")]
    users: u32,

    /// How many products the shop has
    #[arg(long, value_name = "N", default_value = "1000", value_parser = |text: &str| flags::count_within(text, 1, 1_000_000), help_heading = "What")]
    products: u32,

    /// How many devices report
    #[arg(long, value_name = "N", default_value = "1000", value_parser = |text: &str| flags::count_within(text, 1, 1_000_000), help_heading = "What")]
    devices: u32,

    /// End after this many events (copies by --duplicates come on top)
    #[arg(short = 'n', long, value_name = "N", value_parser = flags::count, help_heading = "When")]
    events: Option<u64>,

    /// End after this much event time
    #[arg(short, long, value_name = "D", value_parser = flags::duration, help_heading = "When")]
    duration: Option<Duration>,

    /// Time of the first event [default: 2026-01-01T00:00:00Z, or now for an endless run paced by a rate]
    #[arg(long, value_name = "TIME", value_parser = flags::time, allow_hyphen_values = true, help_heading = "When")]
    start: Option<TimeFlag>,

    /// Write this many events a second, evenly
    ///
    /// Without it events come at random: in ecommerce and web about 1000 in a second of event time over the day, half of
    /// that before dawn and more in the afternoon (UTC); in iot each device sends three readings every ten seconds.
    #[arg(short, long, value_name = "N", value_parser = flags::rate_milli, help_heading = "When")]
    rate: Option<u64>,

    /// Let event time run this much faster than the clock, as 60x
    ///
    /// With --rate, that many events a second are still written, and lie further apart in event time.
    #[arg(long, value_name = "X", value_parser = flags::speed_milli, help_heading = "When")]
    speed: Option<u64>,

    /// This share of events arrives up to so long after its time, as 5s:20%
    #[arg(long, value_name = "D:P%", value_parser = flags::delayed_share, help_heading = "Trouble")]
    out_of_order: Option<(Duration, f64)>,

    /// This share of events arrives so long after its time, as 2m:1%
    #[arg(long, value_name = "D:P%", value_parser = flags::delayed_share, help_heading = "Trouble")]
    late: Option<(Duration, f64)>,

    /// This share of events comes a second time, within two seconds
    #[arg(long, value_name = "P%", value_parser = flags::share, help_heading = "Trouble")]
    duplicates: Option<f64>,

    /// The lines of this share of events are broken
    #[arg(long, value_name = "P%", value_parser = flags::share, help_heading = "Trouble")]
    malformed: Option<f64>,

    /// This share of events is dated ten years after the clock
    #[arg(long, value_name = "P%", value_parser = flags::share, help_heading = "Trouble")]
    future: Option<f64>,

    /// Where to write: a path, or - for stdout
    #[arg(short = 'o', long, value_name = "ADDRESS", default_value = "-", help_heading = "Output")]
    to: String,

    /// How to write [default: csv if the path says so, else ndjson]
    #[arg(short, long, value_enum, help_heading = "Output")]
    format: Option<FormatArg>,

    /// Write what a perfect reader must find to this file, as JSON, at the end
    ///
    /// Counts by type, the events that are late for --truth-delay, duplicates, malformed lines, future and anomalous
    /// events, and exact totals: revenue by minute and currency, views by minute and page, or readings by hour and device.
    /// Totals hold every line that is neither malformed nor future. Covers what was written when evgen is interrupted;
    /// is not written when the reader leaves before the end.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    truth: Option<PathBuf>,

    /// In the truth, an event is late when it is this much behind the greatest time before it
    #[arg(long, value_name = "D", default_value = "5s", value_parser = flags::duration, help_heading = "Output")]
    truth_delay: Duration,

    /// How many threads encode when not paced [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = |text: &str| flags::count_within(text, 1, 256), help_heading = "Output")]
    threads: Option<u32>,

    /// Do not report on stderr
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// Print a script that completes this program's flags
    #[arg(long, value_name = "SHELL", exclusive = true)]
    completions: Option<clap_complete::Shell>,

    /// Print this program's man page
    #[arg(long, exclusive = true)]
    man: bool,
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
    evgen --events 1M --out-of-order 5s:20% --late 2m:1% --duplicates 0.1% --malformed 0.1% --truth truth.json
  Ten thousand page views and clicks a second for half a minute:
    evgen --profile web --rate 10k --duration 30s --start now";

/// evgen from its command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help goes to stdout, complaints to stderr; where neither is read, the code still tells.
            let _ = error.print();
            return std::process::ExitCode::from(error.exit_code() as u8);
        }
    };
    finish("evgen", answer(&args).unwrap_or_else(|| generate(&args)))
}

/// Answers what is asked about the program itself, if anything.
fn answer(args: &Args) -> Option<anyhow::Result<ExitCode>> {
    let mut text = Vec::new();
    if let Some(shell) = args.completions {
        clap_complete::generate(shell, &mut Args::command(), "evgen", &mut text);
    } else if args.man {
        clap_mangen::Man::new(Args::command()).render(&mut text).expect("a vector takes everything");
    } else {
        return None;
    }
    let written = sink::open(&Address::Stdio, FileMode::Replace).and_then(|mut out| {
        out.write(&text)?;
        out.finish()
    });
    Some(written.map(|()| ExitCode::Ok).map_err(anyhow::Error::from))
}

fn generate(args: &Args) -> anyhow::Result<ExitCode> {
    let pacer = WallPacer::start();
    let config = Config::new(args, pacer.now()).exit_code(ExitCode::Usage)?;
    let stop = StopRequest::listen()?;
    let mut truth = match &config.truth {
        Some(path) => Some(sink::open(&Address::Path(path.clone()), FileMode::Replace)?),
        None => None,
    };
    let mut out = sink::open(&config.to, FileMode::Replace)?;
    let outcome = run(&config.job, &pacer, &|| stop.exit_code().is_some(), out.as_mut())?;
    if outcome.end == End::ReaderLeft {
        return Ok(stop.exit_code().unwrap_or(ExitCode::Ok));
    }
    out.finish()?;
    if let (Some(sink), Some(truth)) = (&mut truth, &outcome.truth) {
        sink.write(&truth.to_json())?;
        sink.finish()?;
    }
    if !config.quiet {
        report_lag(&outcome);
    }
    Ok(stop.exit_code().unwrap_or(ExitCode::Ok))
}

/// Says so when events came noticeably later than they should have.
fn report_lag(outcome: &Outcome) {
    const NOTICEABLE: Duration = Duration(1_000_000);
    if outcome.lag_max >= NOTICEABLE {
        let lag = Duration(outcome.lag_max.0 / 1000 * 1000);
        let lines = outcome.lines;
        // Without a stderr there is nobody to tell.
        let _ = writeln!(
            io::stderr(),
            "evgen: of {lines} events some were written up to {lag} behind their time: the reader or this machine is too slow for the rate"
        );
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProfileArg {
    /// A shop: views, carts, purchases, refunds, stock
    Ecommerce,
    /// A web site: page views, clicks, scrolling, forms
    Web,
    /// Sensors: temperature, humidity, pressure, and their faults
    Iot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// One JSON object a line
    Ndjson,
    /// A header of flattened paths such as properties.amount, then one row a line
    Csv,
}

/// What a run of evgen needs, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What to write, at which pace.
    pub job: Job,
    /// Where to.
    pub to: Address,
    /// Where to write the truth.
    pub truth: Option<PathBuf>,
    /// Whether to keep silent.
    pub quiet: bool,
}

/// Arguments that are fine one by one, but not as they stand together or at this time.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The start is no time after all, such as one too long before now.
    #[error("reading '--start'")]
    Start(#[source] FlagError),
    /// The start is out of bounds.
    #[error("'--start' is {0}; it must lie between the years 1970 and 8999")]
    StartOutOfBounds(Timestamp),
    /// A delay or an end that is too long to simulate.
    #[error("'{flag}' is {value}; it must be at most {max}")]
    TooLong {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: Duration,
        /// The most that is taken.
        max: Duration,
    },
    /// An output that evgen can't write to.
    #[error("reading '--to'")]
    Address(#[source] AddressError),
    /// The file's name promises a compression that would not be there.
    #[error(
        "'--to {0}' names a compressed file, which evgen does not write\nwrite to '-' and pipe it through gzip or zstd"
    )]
    Compressed(String),
    /// One file for two things.
    #[error("'--truth' and '--to' name the same file '{0}'")]
    SameFile(String),
}

const DEFAULT_START: Timestamp = Timestamp(1_767_225_600_000_000);
const DAY: i64 = 86_400_000_000;
const START_END: Timestamp = Timestamp(221_845_392_000_000_000);
/// Events under way are held in memory, and a day of them is plenty.
const DELAY_MAX: Duration = Duration(DAY);
const DURATION_MAX: Duration = Duration(36_500 * DAY);

impl Config {
    /// Checks `args` as they stand together; `now` is what relative times and defaults refer to.
    pub fn new(args: &Args, now: Timestamp) -> Result<Config, ConfigError> {
        let is_paced = args.rate.is_some() || args.speed.is_some();
        let is_endless = args.events.is_none() && args.duration.is_none();
        // Nobody would wait for an endless run at full speed; the bare command is a live stream.
        let rate_milli = args.rate.or((is_endless && args.speed.is_none()).then_some(1_000_000));
        let speed_milli = args.speed.or((is_paced || is_endless).then_some(1000));
        let start = match &args.start {
            Some(start) => start.resolve(now).map_err(ConfigError::Start)?,
            None if is_endless && args.speed.is_none() => now,
            None => DEFAULT_START,
        };
        if !(Timestamp(0)..START_END).contains(&start) {
            return Err(ConfigError::StartOutOfBounds(start));
        }
        let at_most = |flag, value: Duration, max| {
            if value <= max { Ok(value) } else { Err(ConfigError::TooLong { flag, value, max }) }
        };
        let delay = |flag, delay: Option<(Duration, f64)>| {
            let (by, share) = delay.unwrap_or((Duration(0), 0.0));
            Ok(Delay { by: at_most(flag, by, DELAY_MAX)?, share: Chance::new(share) })
        };
        let chance = |share: Option<f64>| Chance::new(share.unwrap_or(0.0));
        let settings = Settings {
            profile: args.profile.into(),
            seed: args.seed,
            start: Timestamp(start.0 - start.0.rem_euclid(1000)),
            events_max: args.events,
            duration: args.duration.map(|duration| at_most("--duration", duration, DURATION_MAX)).transpose()?,
            // Written a second of the clock, of which event time makes `speed` seconds.
            rate: rate_milli.map(|events| Rate::Fixed { events, seconds: speed_milli.unwrap_or(1000) }),
            users: args.users,
            products: args.products,
            devices: args.devices,
            disturbances: Disturbances {
                out_of_order: delay("--out-of-order", args.out_of_order)?,
                late: delay("--late", args.late)?,
                duplicates: chance(args.duplicates),
                malformed: chance(args.malformed),
                future: chance(args.future),
            },
            now,
        };
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let job = Job {
            settings,
            format: format(args),
            threads: args.threads.map_or_else(cores, |threads| threads as usize),
            speed: speed_milli.map(|milli| milli as f64 / 1000.0),
            truth_delay: args.truth.is_some().then_some(args.truth_delay),
        };
        let to = output(&args.to)?;
        if let (Address::Path(to), Some(truth)) = (&to, &args.truth)
            && to == truth
        {
            return Err(ConfigError::SameFile(to.display().to_string()));
        }
        Ok(Config { job, to, truth: args.truth.clone(), quiet: args.quiet })
    }
}

fn format(args: &Args) -> Format {
    match args.format {
        Some(FormatArg::Ndjson) => Format::Ndjson,
        Some(FormatArg::Csv) => Format::Csv,
        None if args.to.ends_with(".csv") => Format::Csv,
        None => Format::Ndjson,
    }
}

fn output(text: &str) -> Result<Address, ConfigError> {
    let address = Address::parse(text.as_ref()).map_err(ConfigError::Address)?;
    if [".gz", ".zst"].iter().any(|ending| text.ends_with(ending)) {
        return Err(ConfigError::Compressed(text.to_owned()));
    }
    Ok(address)
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
