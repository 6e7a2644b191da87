//! evgen from its command line to its exit code.

mod args;
mod config;

use std::ffi::OsString;
use std::io::{self, Write};

use crate::cli::about;
pub use crate::cli::evgen::args::Args;
pub use crate::cli::evgen::config::{Config, ConfigError};
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::kafka::{self, ClientArgs};
use crate::cli::signals::StopRequest;
use crate::cli::upstream;
use crate::event::Path;
use crate::pipeline::generate::{End, Outcome, run};
use crate::pipeline::pace::WallPacer;
use crate::pipeline::topic::TopicSink;
use crate::sink::{self, FileMode, Sink};
use crate::source::address::Address;
use crate::time::{Clock, Duration};

/// evgen from its command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    about::program("evgen", arguments, |args: &Args| &args.about, |args| generate(&args).map_err(upstream::explained))
}

fn generate(args: &Args) -> anyhow::Result<ExitCode> {
    if args.client.wants_list() {
        about::print(kafka::list().as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    let pacer = WallPacer::start();
    let config = Config::new(args, pacer.now()).exit_code(ExitCode::Usage)?;
    let stop = StopRequest::listen()?;
    let mut truth = match &config.truth {
        Some(path) => Some(sink::open(&Address::Path(path.clone()), FileMode::Replace)?),
        None => None,
    };
    let mut out = open(&config.to, &args.client)?;
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

/// The sink that the address names. A topic's records have their user as key.
fn open(to: &Address, client: &ClientArgs) -> anyhow::Result<Box<dyn Sink>> {
    let Address::Kafka(address) = to else { return Ok(sink::open(to, FileMode::Replace)?) };
    let producer = client.producer(address)?;
    Ok(Box::new(TopicSink::of_events(producer, Path::of_keys(&["user_id"]))))
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
