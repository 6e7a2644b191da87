//! evtop from its command line to its exit code.

mod args;
mod config;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT};

use crate::cli::about;
use crate::cli::dashboards;
pub use crate::cli::evtop::args::Args;
pub use crate::cli::evtop::config::{Config, From, Surroundings};
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::kafka;
use crate::cli::upstream;
use crate::dashboard::feed::{Feed, PacedFeed, StreamFeed};
use crate::dashboard::once::once;
use crate::dashboard::run::{End, Settings, run};
use crate::dashboard::store_feed::StoreFeed;
use crate::dashboard::view::theme::Theme;
use crate::pipeline::pace::WallPacer;
use crate::source::clock::SystemClock;
use crate::source::files::{FilesOptions, FilesSource};
use crate::store::StoreError;
use crate::time::Clock;

/// evtop from its command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    about::program("evtop", arguments, |args: &Args| &args.about, |args| top(args).map_err(upstream::explained))
}

fn top(args: Args) -> anyhow::Result<ExitCode> {
    if args.client.wants_list() {
        about::print(kafka::list().as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    let config = Config::new(args, &Surroundings::of_process()).exit_code(ExitCode::Usage)?;
    let layout = match &config.dashboard {
        Some(found) => Some(dashboards::layout(&found.registry.address()?, &found.name, found.user.id()?)?),
        None => config.layout.clone(),
    };
    let feed = feed(&config)?;
    let settings = Settings {
        layout,
        input: config.input_name,
        is_live: config.is_live,
        theme: Theme { has_colour: config.has_colour },
    };
    if let Some(size) = config.once {
        let deadline = config.patience.map(|patience| Instant::now() + patience);
        about::print(once(&settings, feed, size, deadline)?.as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    Ok(match run(&settings, feed, &SystemClock)? {
        End::Quit => ExitCode::Ok,
        End::Signal(SIGHUP) => {
            // The terminal has gone, and whoever waits for us should learn how we ended.
            signal_hook::low_level::emulate_default_handler(SIGHUP)?;
            ExitCode::Failure
        }
        End::Signal(SIGINT) => ExitCode::Interrupted,
        End::Signal(_) => ExitCode::Terminated,
    })
}

fn feed(config: &Config) -> anyhow::Result<Box<dyn Feed>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let inputs = match &config.from {
        From::Store(path) => {
            let feed = StoreFeed::open(path, config.once.is_none());
            let hint = feed.as_ref().err().and_then(StoreError::hint);
            return Ok(Box::new(feed.hint_if(hint)?));
        }
        From::Topic(topic) => {
            let range = (topic.begin, topic.to_end);
            return Ok(Box::new(StreamFeed::of_topic(topic.client.source(&topic.address, range, &clock)?)));
        }
        From::Stream(inputs) => inputs,
    };
    let options = FilesOptions::new(crate::codec::csv::whole_records);
    let source = FilesSource::open(inputs, &options, &clock).hint("give a readable file, or - for stdin")?;
    let feed = StreamFeed::new(source, config.is_live);
    Ok(match config.speed_milli {
        Some(speed_milli) => Box::new(PacedFeed::new(feed, WallPacer::start(), speed_milli)),
        None => Box::new(feed),
    })
}
