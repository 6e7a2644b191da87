//! What a run of evgen needs, made of the flags and checked as they stand together.
//!
//! Knows nothing of the terminal and of how the run goes.

use std::path::{Path, PathBuf};

use crate::cli::evgen::args::{Args, FormatArg};
use crate::cli::flags::{self, FlagError};
use crate::generate::Settings;
use crate::generate::disturb::{Delay, Disturbances};
use crate::generate::encode::Format;
use crate::generate::random::Chance;
use crate::generate::schedule::Rate;
use crate::pipeline::generate::Job;
use crate::source::address::{Address, AddressError};
use crate::time::{Duration, Timestamp};

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
        "'--to {0}' names a compressed file, which evgen does not write\nhint: write to '-' and pipe it through gzip or zstd"
    )]
    Compressed(String),
    /// A topic's records are read as JSON.
    #[error("'--format csv' makes no records for '--to {0}'\nhint: leave --format out")]
    CsvRecords(String),
    /// One file for two things.
    #[error("'--truth' and '--to' name the same file '{0}'")]
    SameFile(String),
    /// Stdout is for events.
    #[error("'--truth -' would mix the truth into the events\nhint: name a file")]
    TruthOnStdout,
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
        let job = Job {
            settings,
            format: format(args),
            threads: args.threads.map_or_else(flags::cores, |threads| threads as usize),
            speed: speed_milli.map(|milli| milli as f64 / 1000.0),
            truth_delay: args.truth.is_some().then_some(args.truth_delay),
        };
        let to = output(&args.to)?;
        if matches!((&to, job.format), (Address::Kafka(_), Format::Csv)) {
            return Err(ConfigError::CsvRecords(args.to.clone()));
        }
        if args.truth.as_deref() == Some(Path::new("-")) {
            return Err(ConfigError::TruthOnStdout);
        }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::generate::Profile;

    const NOW: Timestamp = Timestamp(1_800_000_000_123_456);
    const SECOND: i64 = 1_000_000;

    /// The config of a command line, or what is wrong with it in one text.
    fn config(line: &str) -> Result<Config, String> {
        let args = Args::try_parse_from(std::iter::once("evgen").chain(line.split_whitespace()));
        let args = args.map_err(|error| error.to_string())?;
        Config::new(&args, NOW).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })
    }

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(line: &str, part: impl Fn(&Config) -> T, expected: T) {
        let config = config(line).unwrap_or_else(|error| panic!("'{line}': {error}"));
        assert_eq!(part(&config), expected, "'{line}'");
    }

    #[track_caller]
    fn check_bad(line: &str, said: &str) {
        let error = config(line).expect_err(line);
        assert!(error.contains(said), "'{line}' said: {error}");
    }

    fn settings<T>(part: impl Fn(&Settings) -> T) -> impl Fn(&Config) -> T {
        move |config| part(&config.job.settings)
    }

    #[test]
    fn profile() {
        check("", settings(|s| s.profile), Profile::Ecommerce);
        check("--profile web", settings(|s| s.profile), Profile::Web);
        check("-p iot", settings(|s| s.profile), Profile::Iot);
        check_bad("--profile shop", "'shop'");
    }

    #[test]
    fn seed() {
        check("", settings(|s| s.seed), 1);
        check("--seed 18446744073709551615", settings(|s| s.seed), u64::MAX);
        check_bad("--seed=-1", "'-1'");
        check_bad("--seed seven", "'seven'");
    }

    #[test]
    fn users_products_devices() {
        let counts = settings(|s| (s.users, s.products, s.devices));
        check("", &counts, (100_000, 1000, 1000));
        check("--users 1 --products 1M --devices 20k", &counts, (1, 1_000_000, 20_000));
        check_bad("--users 0", "'0'");
        check_bad("--products 1000001", "between 1 and 1000000");
        check_bad("--devices many", "'many'");
    }

    #[test]
    fn events_and_duration() {
        let ends = settings(|s| (s.events_max, s.duration));
        check("", &ends, (None, None));
        check("--events 1M", &ends, (Some(1_000_000), None));
        check("-n 5 -d 90s", &ends, (Some(5), Some(Duration(90 * SECOND))));
        check_bad("--events=-5", "'-5'");
        check_bad("--duration 90", "'90'");
        check_bad("--duration 36501d", "'--duration' is 36501d");
    }

    #[test]
    fn start() {
        let start = settings(|s| s.start);
        let now = Timestamp(1_800_000_000_123_000);
        check("", &start, now);
        check("--rate 10", &start, now);
        check("--events 5", &start, DEFAULT_START);
        check("--rate 10 --duration 5s", &start, DEFAULT_START);
        check("--speed 60x", &start, DEFAULT_START);
        check("--events 5 --start now", &start, now);
        check("--events 5 --start -1h", &start, Timestamp(now.0 - 3600 * SECOND));
        check("--start 1970-01-01", &start, Timestamp(0));
        check_bad("--start 1969-12-31", "between the years 1970 and 8999");
        check_bad("--start 9000-01-01", "between the years 1970 and 8999");
        check_bad("--start yesterday", "'yesterday'");
        check_bad("--start -3000w", "between the years 1970 and 8999");
    }

    #[test]
    fn rate_and_speed() {
        let pace = |config: &Config| (config.job.settings.rate, config.job.speed);
        let fixed = |events, seconds| Some(Rate::Fixed { events, seconds });
        check("", pace, (fixed(1_000_000, 1000), Some(1.0)));
        check("--start now", pace, (fixed(1_000_000, 1000), Some(1.0)));
        check("--events 5", pace, (None, None));
        check("--duration 1d", pace, (None, None));
        check("--rate 10k --events 5", pace, (fixed(10_000_000, 1000), Some(1.0)));
        check("-r 0.5", pace, (fixed(500, 1000), Some(1.0)));
        check("--speed 60x", pace, (None, Some(60.0)));
        check("--rate 100 --speed 60x", pace, (fixed(100_000, 60_000), Some(60.0)));
        check_bad("--rate 0", "'0'");
        check_bad("--rate fast", "'fast'");
        check_bad("--speed 60", "'60'");
    }

    #[test]
    fn out_of_order_and_late() {
        let delay = |seconds, share| Delay { by: Duration(seconds * SECOND), share: Chance::new(share) };
        check("", settings(|s| s.disturbances), Disturbances::NONE);
        check("--out-of-order 5s:20%", settings(|s| s.disturbances.out_of_order), delay(5, 0.2));
        check("--late 2m:1%", settings(|s| s.disturbances.late), delay(120, 0.01));
        check_bad("--out-of-order 5s", "'5s'");
        check_bad("--late 2m:101%", "0% to 100%");
        check_bad("--late 2d:1%", "'--late' is 2d; it must be at most 1d");
        check_bad("--out-of-order 25h:1%", "'--out-of-order' is 25h; it must be at most 1d");
    }

    #[test]
    fn duplicates_malformed_future() {
        check("--duplicates 0.1%", settings(|s| s.disturbances.duplicates), Chance::new(0.001));
        check("--malformed 100%", settings(|s| s.disturbances.malformed), Chance::new(1.0));
        check("--future 0.01%", settings(|s| s.disturbances.future), Chance::new(0.0001));
        check_bad("--duplicates 0.1", "'0.1'");
        check_bad("--malformed=-1%", "'-1%'");
        check_bad("--future x%", "'x%'");
    }

    #[test]
    fn to_and_format() {
        let output = |config: &Config| (config.to.clone(), config.job.format);
        let path = |path: &str| Address::Path(path.into());
        check("", output, (Address::Stdio, Format::Ndjson));
        check("--to -", output, (Address::Stdio, Format::Ndjson));
        check("-o out.ndjson", output, (path("out.ndjson"), Format::Ndjson));
        check("--to out.csv", output, (path("out.csv"), Format::Csv));
        check("--to out.csv --format ndjson", output, (path("out.csv"), Format::Ndjson));
        check("-f csv", output, (Address::Stdio, Format::Csv));
        check_bad("--format xml", "'xml'");
        check_bad("--to out.ndjson.gz", "pipe it through gzip or zstd");
        check_bad("--to kafka://localhost", "is no name of a topic");
        check_bad("--to kafka://localhost/events --format csv", "makes no records");
    }

    #[test]
    fn truth() {
        let truth = |config: &Config| (config.truth.clone(), config.job.truth_delay);
        check("--truth-delay 2s", truth, (None, None));
        check("--truth t.json", truth, (Some("t.json".into()), Some(Duration(5 * SECOND))));
        check("--truth t.json --truth-delay 0", truth, (Some("t.json".into()), Some(Duration(0))));
        check_bad("--truth t.json --to t.json", "name the same file 't.json'");
        check_bad("--truth -", "name a file");
        check_bad("--truth-delay soon", "'soon'");
    }

    #[test]
    fn threads_and_quiet() {
        let rest = |config: &Config| (config.job.threads, config.quiet);
        check("--threads 3 -q", rest, (3, true));
        check("--threads 256", rest, (256, false));
        assert!(config("").expect("the bare command is fine").job.threads >= 1);
        check_bad("--threads 0", "between 1 and 256");
        check_bad("--threads 257", "between 1 and 256");
    }

    #[test]
    fn completions_and_man_stand_alone() {
        check_bad("--man --events 5", "--man");
        check_bad("--completions bash --events 5", "--completions");
        check_bad("--completions cmd", "'cmd'");
    }

    #[test]
    fn the_flags_are_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
