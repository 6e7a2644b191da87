//! A Kafka topic as evwindow's input: its flags, what they are checked against, and the group's run made of them.

use std::io::{ErrorKind, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as SocketName, UnixListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration as WallDuration;

use anyhow::{Context, anyhow};
use clap::ValueEnum;

use crate::api::operations::{WatchedGroup, routes};
use crate::api::server::Server;
use crate::cli::evwindow::archive::GroupKeeping;
use crate::cli::evwindow::config::{Config, Output, Stats};
use crate::cli::evwindow::{Args, FormatArg, UntilStopped};
use crate::cli::exit::{ExitCode, ReportContext, error_of, printable};
use crate::cli::flags;
use crate::cli::kafka::{ClientArgs, explained, time_of};
use crate::cli::points::{explained_open, explained_write};
use crate::cli::signals::StopRequest;
use crate::codec::encode::OutputFormat;
use crate::kafka::settings::Settings;
use crate::kafka::source::{From, TopicSource};
use crate::pipeline::group::{Edges, Gap, GroupConfig, GroupError, Start, TopicOutput};
use crate::pipeline::window::{Emit, RejectsMax};
use crate::source::address::{Address, KafkaAddress};
use crate::time::{Clock, Duration, Timestamp};

/// How a topic is read.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct TopicArgs {
    /// The client.
    #[command(flatten)]
    pub client: ClientArgs,

    /// Read as this consumer group, exactly once: what is committed is gone on with, and processes of one group share the work
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,

    /// This process in the group; no other may have the name at the same time [default: the host's name and a number]
    #[arg(long, value_name = "NAME", requires = "group")]
    pub instance: Option<String>,

    /// Where to begin: earliest, latest, committed, @TIME or -1h; a group goes on where it ended; of an archive, the first window's start [default: earliest]
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
    pub start: Option<String>,

    /// Where to end: `end`, the end that each partition has now, or @TIME; only whole windows are written then [default: never, of an archive its end]
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true, conflicts_with = "group")]
    pub until: Option<String>,

    /// What to do where retention has dropped records that were not read
    #[arg(long, value_enum, default_value = "fail", requires = "group")]
    pub on_gap: GapArg,

    /// The most that a commit waits
    #[arg(long, value_name = "D", default_value = "100ms", value_parser = flags::duration)]
    pub commit_interval: Duration,

    /// Answer /metrics, for Prometheus, and /healthz at this address: 9464 is a port that only this machine reaches
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = flags::listen, requires = "group")]
    pub listen: Option<SocketAddr>,

    /// How often open windows are saved, longer where it takes long
    #[arg(long, value_name = "D", default_value = "10s", value_parser = flags::duration)]
    pub checkpoint_interval: Duration,
}

/// `--on-gap`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum GapArg {
    /// End with the reason
    #[default]
    Fail,
    /// Say how much is gone, and go on behind it
    Skip,
}

/// A topic to be read.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Where it is.
    pub address: KafkaAddress,
    settings: Settings,
    start: Start,
    until: Option<Until>,
    args: TopicArgs,
    /// How far before `--start` reading begins, for events that are dated ahead of their records.
    ahead: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    End,
    At(Timestamp),
}

/// A name of a group or an instance becomes part of the names of topics.
const NAME_BYTES_MAX: usize = 200;

impl Topic {
    /// The topic among the inputs. One is read alone: its records have positions of their own.
    pub fn among(args: &Args, addresses: &[Address], now: Timestamp) -> anyhow::Result<Option<Topic>> {
        let topics = addresses.iter().filter_map(|address| match address {
            Address::Kafka(topic) => Some(topic),
            _ => None,
        });
        if addresses.iter().any(|address| matches!(address, Address::Archive(_))) {
            // An archive has a start and an end, too.
            return Ok(None);
        }
        let Some(first) = topics.clone().next() else {
            let flags = [
                ("group", args.topic.group.is_some()),
                ("start", args.topic.start.is_some()),
                ("until", args.topic.until.is_some()),
            ];
            return match flags.iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => Err(anyhow!("cannot take --{flag}: it is for topics, and none is read"))
                    .hint("--from kafka://HOST:PORT/TOPIC")
                    .exit_code(ExitCode::Usage),
                None => Ok(None),
            };
        };
        if addresses.len() > 1 {
            return Err(anyhow!("cannot read '{first}' with other inputs: a topic is read alone"))
                .exit_code(ExitCode::Usage);
        }
        if args.query.merge {
            return Err(anyhow!("cannot take --merge with '{first}': a topic holds events or rows"))
                .hint("a group merges by itself: --group NAME")
                .exit_code(ExitCode::Usage);
        }
        Topic::new(first.clone(), &args.topic, now, args.time.max_future.0).map(Some)
    }

    /// Checks the flags for a topic at `address`. `now` is what relative times refer to.
    pub fn new(
        address: KafkaAddress,
        args: &TopicArgs,
        now: Timestamp,
        max_future: Option<Duration>,
    ) -> anyhow::Result<Topic> {
        for (flag, name) in [("group", &args.group), ("instance", &args.instance)] {
            if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
                return Err(anyhow!("cannot take --{flag} '{name}': it may have letters, digits, '.', '_' and '-'"))
                    .exit_code(ExitCode::Usage);
            }
        }
        let settings = args.client.settings(&address.brokers)?;
        settings.client(&[]).map_err(explained)?;
        let start = match args.start.as_deref() {
            None | Some("earliest" | "committed") => Start::Earliest,
            Some("latest") => Start::Latest,
            Some(text) => Start::At(time_of("start", text, "earliest, latest, committed", now)?),
        };
        let until = match args.until.as_deref() {
            None => None,
            Some("end") => Some(Until::End),
            Some(text) => Some(Until::At(time_of("until", text, "end", now)?)),
        };
        if let (Start::At(start), Some(Until::At(until))) = (start, until)
            && start >= until
        {
            return Err(anyhow!(
                "cannot read from --start '{start}' to --until '{until}': the end is not after the start"
            ))
            .exit_code(ExitCode::Usage);
        }
        let ahead = max_future.unwrap_or(Duration(0));
        Ok(Topic { address, settings, start, until, args: args.clone(), ahead })
    }

    /// Whether it is read as a group.
    pub fn is_grouped(&self) -> bool {
        self.args.group.is_some()
    }

    /// Refuses to write what would be read again without end.
    pub fn check_only_read<'a>(&self, mut to: impl Iterator<Item = (&'a str, &'a Address)>) -> anyhow::Result<()> {
        let is_it = |address: &Address| matches!(address, Address::Kafka(to) if *to == self.address);
        match to.find(|(_, address)| is_it(address)) {
            Some((flag, address)) => Err(anyhow!("cannot take --{flag} '{address}': it is read too"))
                .hint("write to another topic")
                .exit_code(ExitCode::Usage),
            None => Ok(()),
        }
    }

    /// The event times that whole windows must lie in.
    pub fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let start = match self.start {
            Start::At(start) if !self.is_grouped() => Some(start),
            _ => None,
        };
        let until = match self.until {
            Some(Until::At(until)) => Some(until),
            _ => None,
        };
        (start.is_some() || until.is_some()).then(|| (start.unwrap_or(Timestamp::MIN), until.unwrap_or(Timestamp::MAX)))
    }

    /// Whether all that is to be read has been written by now.
    pub fn ends(&self, now: Timestamp) -> bool {
        match self.until {
            None => false,
            Some(Until::End) => true,
            Some(Until::At(until)) => until <= now,
        }
    }

    /// Opens it to be read without a group. `reach`: how far back a window that begins at `--start` may look.
    pub fn open(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<TopicSource> {
        let from = match self.start {
            Start::Earliest => From::Earliest,
            Start::Latest => From::Latest,
            Start::At(time) => From::At(Timestamp(time.0.saturating_sub(self.ahead.0))),
        };
        let to_end = self.ends(clock.now());
        let patience = wall(self.args.client.startup_timeout);
        TopicSource::open(&self.settings, &self.address.topic, (from, to_end), clock, patience).map_err(explained)
    }

    /// Runs the query as a group until it is asked to stop.
    pub fn run_group(&self, config: &Config, stop: &StopRequest, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
        let (group, _held) = self.group_config(config)?;
        if config.resets() {
            let mut until_stopped = UntilStopped(stop);
            crate::pipeline::group::reset(&group, clock.now(), &mut until_stopped).map_err(explained_group)?;
        }
        let keeping = config.archive.clone();
        let keeping = keeping
            .map(|archive| GroupKeeping::start(archive, self.clone(), stop.clone(), Arc::clone(&clock), config.quiet));
        let has_failed = keeping.as_ref().map(GroupKeeping::has_failed).unwrap_or_default();
        let requested = stop.clone();
        let is_over = move || requested.exit_code().is_some() || has_failed.load(Ordering::Acquire);
        let say = |line: &str| {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "evwindow: {}", printable(line));
        };
        let edges = Arc::new(Edges::new(clock, is_over, say));
        let _server = self.listen(config, &edges)?;
        let ended = crate::pipeline::group::run(&group, config.decode(1)?, &edges);
        let status = edges.status();
        let is_told = !matches!(config.stats, Stats::WhenRemarkable) || std::io::stderr().is_terminal();
        if is_told && !config.quiet {
            let commits: Vec<String> = status.commits.iter().map(|(stage, count)| format!("{count} {stage}")).collect();
            say(&format!(
                "{} records in, {} rejected, {} late, {} rows out; committed: {}; begun anew: {}",
                status.input.events_in,
                status.input.rejected(),
                status.late + status.late_merged,
                status.rows,
                commits.join(", "),
                status.lost_total(),
            ));
        }
        let kept = keeping.map_or(Ok(0), GroupKeeping::finish);
        ended.map_err(explained_group)?;
        kept?;
        Ok(stop.exit_code().unwrap_or(ExitCode::Ok))
    }

    /// Begins to answer operators, if that is wished.
    fn listen(&self, config: &Config, edges: &Arc<Edges>) -> anyhow::Result<Option<Server>> {
        let Some(address) = self.args.listen else { return Ok(None) };
        let metrics = config.window.plan.schemas.iter().map(|schema| schema.name.clone()).collect();
        let watched = Arc::new(WatchedGroup { edges: Arc::clone(edges), metrics });
        let server = Server::start(address, routes(watched)).hint("choose another port, or 0 for any that is free")?;
        if !config.quiet {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "evwindow: answering at http://{}/metrics", server.address());
        }
        Ok(Some(server))
    }

    fn group_config(&self, config: &Config) -> anyhow::Result<(GroupConfig, Option<UnixListener>)> {
        let name = self.args.group.clone().expect("asked only of a topic that is read as a group");
        let (instance, held) = match &self.args.instance {
            Some(instance) => (instance.clone(), None),
            None => free_instance(&name).map(|(instance, held)| (instance, Some(held)))?,
        };
        let rejects_max = match config.window.rejects_max {
            RejectsMax::Unlimited => None,
            RejectsMax::Count(max) => Some(max),
            RejectsMax::Percent(_) => {
                return refuse("--max-rejects as a share: a group has no end at which it could be found");
            }
        };
        let group = GroupConfig {
            settings: self.settings.clone(),
            topic: self.address.topic.clone(),
            group: name,
            instance,
            started: crate::source::clock::SystemClock.now(),
            plan: Arc::clone(&config.window.plan),
            fingerprint: config.fingerprint(&self.address.topic),
            threads: config.window.threads,
            watermark_delay: config.window.watermark_delay,
            idle_timeout: config.intake.idle_timeout,
            idle_close: config.intake.idle_close,
            early: config.window.early,
            start: self.start,
            on_gap: if self.args.on_gap == GapArg::Skip { Gap::Skip } else { Gap::Fail },
            commit_interval: wall(self.args.commit_interval),
            checkpoint_interval: wall(self.args.checkpoint_interval),
            startup_timeout: wall(self.args.client.startup_timeout),
            rejects_max,
            line_bytes_max: config.line_bytes_max,
            outputs: config.outputs.iter().map(|output| self.output(output)).collect::<anyhow::Result<_>>()?,
            buckets: config.bucket_configs()?,
            rejects_to: self.side("rejects-to", &config.rejects_to)?,
            late_to: self.side("late-to", &config.late_to)?,
        };
        if config.window.emit.partials || config.window.emit.watermarks || config.window.emit.stats {
            return refuse("--emit with --group: a group writes rows");
        }
        if config.fail_if.is_some() {
            return refuse("--fail-if with --group: a group never ends");
        }
        Ok((group, held))
    }

    fn output(&self, output: &Output) -> anyhow::Result<TopicOutput> {
        if let Address::Store(_) = &output.address {
            return Err(anyhow!(
                "cannot write '{}' with --group: a store keeps its place in the topic itself",
                output.address
            ))
            .hint("leave --group out: run again, it goes on where it ended")
            .exit_code(ExitCode::Usage);
        }
        let Address::Kafka(to) = &output.address else {
            return Err(anyhow!(
                "cannot write '{}' with --group: results are committed with the offsets",
                output.address
            ))
            .hint("write to a bucket, --to influx://…, or a topic of the same cluster, --to kafka://…; or leave --group out and keep nothing")
            .exit_code(ExitCode::Usage);
        };
        self.check_cluster("to", to)?;
        if output.format != OutputFormat::Ndjson {
            return refuse("--format with --group: rows are written to topics as ndjson");
        }
        Ok(TopicOutput { topic: to.topic.clone(), metrics: output.metrics.clone() })
    }

    fn side(&self, flag: &str, address: &Option<Address>) -> anyhow::Result<Option<String>> {
        match address {
            None => Ok(None),
            Some(Address::Kafka(to)) => {
                self.check_cluster(flag, to)?;
                Ok(Some(to.topic.clone()))
            }
            Some(address) => {
                Err(anyhow!("cannot take --{flag} '{address}' with --group: it goes with the transaction"))
                    .hint("name a topic of the same cluster")
                    .exit_code(ExitCode::Usage)
            }
        }
    }

    fn check_cluster(&self, flag: &str, to: &KafkaAddress) -> anyhow::Result<()> {
        if to.brokers == self.address.brokers {
            return Ok(());
        }
        Err(anyhow!("cannot take --{flag} '{to}': the input's brokers are '{}'", self.address.brokers))
            .hint("a transaction has one cluster: name the brokers in the same words")
            .exit_code(ExitCode::Usage)
    }
}

/// Refuses for a topic what its records can't hold.
pub fn check_output(address: &Address, format: Option<FormatArg>, emit: Emit) -> anyhow::Result<()> {
    if !matches!(address, Address::Kafka(_)) {
        return Ok(());
    }
    let refuse = |flag: &str, cause: &str, hint: &str| {
        Err(anyhow!("cannot take --{flag} with --to '{address}': {cause}")).hint(hint).exit_code(ExitCode::Usage)
    };
    if emit.partials || emit.watermarks || emit.stats {
        return refuse(
            "emit",
            "what stands between rows has no place among partitions",
            "write it to a file or a pipe",
        );
    }
    match format {
        None | Some(FormatArg::Ndjson) => Ok(()),
        Some(_) => refuse("format", "a record is a row as ndjson", "leave --format out"),
    }
}

/// Says what can be done about why a group's run ended, and sets the exit code.
fn explained_group(error: GroupError) -> anyhow::Error {
    let (hint, code) = match error {
        GroupError::Kafka(error) => return explained(error),
        GroupError::Points(error) => return explained_write(error),
        GroupError::Bucket(error) => return explained_open(error),
        GroupError::Note(_) => (Some("choose another --group, or begin anew with --reset"), ExitCode::Usage),
        GroupError::Gap { .. } => (Some("--on-gap skip goes on behind the gap"), ExitCode::Failure),
        GroupError::Beyond { .. } => (Some("--on-gap skip begins it anew; --reset begins all anew"), ExitCode::Failure),
        GroupError::Running { .. } => {
            (Some("end all its processes first; they are forgotten 10 s after that"), ExitCode::Failure)
        }
        GroupError::LogLost { .. } => (Some("choose another --group, or begin anew with --reset"), ExitCode::Failure),
        GroupError::TooManyRejects { .. } => (Some("--rejects-to kafka://… keeps them"), ExitCode::Rejects),
        _ => (None, ExitCode::Failure),
    };
    error_of(Err(error).hint_if(hint).exit_code(code))
}

fn refuse<T>(what: &str) -> anyhow::Result<T> {
    Err(anyhow!("cannot take {what}")).exit_code(ExitCode::Usage)
}

fn wall(duration: Duration) -> WallDuration {
    WallDuration::from_micros(duration.0.unsigned_abs())
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_allowed)
}

/// The host's name with the first number that no other process of the group has on it, which is held as long as the socket is open.
fn free_instance(group: &str) -> anyhow::Result<(String, UnixListener)> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|&c| is_name(&c.to_string())).take(100).collect();
    let host = if host.is_empty() { "host".to_owned() } else { host };
    let failed = || "cannot choose an --instance";
    for number in 0..1000 {
        let instance = format!("{host}-{number}");
        // A socket without a file: all users see its name, which goes with the process and with nothing else. It has a hundred bytes.
        let hash = rapidhash::v3::rapidhash_v3(format!("{group}\0{instance}").as_bytes());
        let name = SocketName::from_abstract_name(format!("evkit-instance-{hash:016x}")).with_context(failed)?;
        match UnixListener::bind_addr(&name) {
            Ok(held) => return Ok((instance, held)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(failed),
        }
    }
    Err(anyhow!("cannot choose an --instance: a thousand processes of '{group}' run on this host"))
        .hint("name one with --instance")
}
