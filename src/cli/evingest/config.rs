//! What a run of evingest needs, made of the flags and checked as they stand together. Reads schemas; opens nothing else.

use std::ffi::{OsStr, OsString};
use std::path::Path as FilePath;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::cli::evingest::args::{Args, ReplayArgs, RunArgs, UnknownTypeArg, ValidationArgs};
use crate::cli::evingest::schema;
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::flags;
use crate::cli::kafka::ClientArgs;
use crate::cli::places::check_files;
use crate::codec::{TimeFrom, csv};
use crate::event::Path;
use crate::expr::Expr;
use crate::pipeline::archive::ArchiveConfig;
use crate::pipeline::ingest::Settings;
use crate::pipeline::ingest::dedup::Dedup;
use crate::pipeline::ingest::judge::{Demands, Judge};
use crate::pipeline::ingest::replay::{Replay, Worker};
use crate::pipeline::ingest::summary::Summary;
use crate::pipeline::tally::RejectsMax;
use crate::registry::watch::Watched;
use crate::sink::FileMode;
use crate::source::address::Address;
use crate::source::input::{Compression, Input, InputFormat, inputs};
use crate::time::{Duration, TimeFormat};
use crate::validate::FutureGuard;
use crate::validate::complete::Completion;
use crate::validate::schema::{Schema, Schemas, Versioned};

/// What a run needs.
#[derive(Debug)]
pub struct Config {
    /// How the loop runs.
    pub settings: Settings,
    /// What is read.
    pub inputs: Vec<Input>,
    /// What judges it.
    pub worker: Worker,
    /// The registry whose schemas these are, if there is one.
    pub watched: Option<Watched>,
    /// How often it is asked for newer ones.
    pub schema_refresh: std::time::Duration,
    /// The longest line of an input.
    pub line_bytes_max: usize,
    /// The longest payload of a reject.
    pub payload_bytes_max: usize,
    /// What is left out because it came before.
    pub dedup: Option<DedupWish>,
    /// Where events go, unless they are kept only.
    pub to: Address,
    /// The archive that keeps them.
    pub archive: Option<ArchiveConfig>,
    /// Whether they go nowhere else.
    pub is_kept_only: bool,
    /// Where rejects go.
    pub rejects_to: Option<Address>,
    /// The name under which records and places in files are committed together, if they are.
    pub transactional_id: Option<String>,
    /// How files are written.
    pub file_mode: FileMode,
    /// Whether it is told of every event on stdout what became of it.
    pub verdicts: bool,
    /// How clients of Kafka are set up, brokers aside.
    pub client: ClientArgs,
    /// What is reported at the end.
    pub stats: Stats,
}

/// How duplicates are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupWish {
    /// Of event time.
    pub window: Duration,
    /// Values remembered at most.
    pub ids_max: usize,
}

/// What is reported at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stats {
    /// Nothing.
    Quiet,
    /// The summary, on a terminal or when something was left out.
    WhenRemarkable,
    /// The summary.
    Text,
    /// The same as JSON.
    Json,
}

const LINE_BYTES_MAX: usize = 1 << 20;
/// What lies further ahead of the clock evwindow rejects, where nothing else is said.
const AHEAD_MAX: Duration = Duration(300_000_000);
const SCHEMA_REFRESH: Duration = Duration(10_000_000);
const DEDUP_WINDOW: Duration = Duration(600_000_000);
const DEDUP_MAX: u32 = 1_000_000;

impl DedupWish {
    /// What remembers.
    pub fn start(self) -> Dedup {
        Dedup::new(self.window, self.ids_max)
    }
}

impl Config {
    /// That of reading events.
    pub fn of_events(args: &Args) -> anyhow::Result<Config> {
        let (stats, mistaken) = stats(&args.run)?;
        let mut addresses = addresses(mistaken.iter().chain(&args.inputs).chain(&args.input.from))?;
        if addresses.is_empty() {
            addresses.push(Address::Stdio);
        }
        let inputs = inputs(&addresses, args.input.format()).exit_code(ExitCode::Usage)?;
        let (demands, watched) = demands(&args.run, args.input.columns()?)?;
        let formats: Vec<InputFormat> = inputs.iter().map(|input| input.format).collect();
        let (line_bytes_max, worker) = (demands.line_bytes_max, Worker::Events(Judge::new(demands, &formats)));
        Ok(Config { watched, ..Config::new(&args.run, stats, inputs, worker, line_bytes_max)? })
    }

    /// That of sending rejects again.
    pub fn of_rejects(args: &ReplayArgs) -> anyhow::Result<Config> {
        let (stats, mistaken) = stats(&args.run)?;
        if args.run.output.transactional_id.is_some() && args.run.output.rate.is_some() {
            // A pause falls within a block, and only at its end is the place in a file of rejects known.
            return Err(anyhow!("cannot take --rate with --transactional-id: rejects are committed block by block"))
                .hint("leave one of them out")
                .exit_code(ExitCode::Usage);
        }
        let mut inputs = inputs(&addresses(mistaken.iter().chain(&args.rejects))?, Some(InputFormat::Ndjson))
            .exit_code(ExitCode::Usage)?;
        inputs.iter_mut().for_each(|input| input.format = InputFormat::Ndjson);
        let (demands, watched) = demands(&args.run, csv::Schema::default())?;
        let line_bytes_max = Replay::line_bytes_max(demands.line_bytes_max);
        let judge = Judge::new(demands, &vec![InputFormat::Ndjson; inputs.len()]);
        let names = inputs.iter().map(Input::name).collect();
        let filter = match &args.filter {
            Some(text) => Some(expression("where", text)?),
            None => None,
        };
        let replay = Replay::new(filter.as_ref(), names, judge, line_bytes_max)
            .map_err(|error| anyhow!("cannot take --where: {}", error.render()))
            .exit_code(ExitCode::Usage)?;
        let worker = Worker::Rejects(Box::new(replay));
        Ok(Config { watched, ..Config::new(&args.run, stats, inputs, worker, line_bytes_max)? })
    }

    fn new(
        args: &RunArgs,
        stats: Stats,
        inputs: Vec<Input>,
        worker: Worker,
        line_bytes_max: usize,
    ) -> anyhow::Result<Config> {
        let RunArgs { validation, output, archive, .. } = args;
        let is_kept_only = archive.archive.is_some() && output.to.is_none();
        let to = match &output.to {
            Some(to) => Address::parse(to).with_context(|| "cannot take --to").exit_code(ExitCode::Usage)?,
            None => Address::Stdio,
        };
        let rejects_to = match &validation.rejects_to {
            Some(to) => {
                Some(Address::parse(to).with_context(|| "cannot take --rejects-to").exit_code(ExitCode::Usage)?)
            }
            None => None,
        };
        for (flag, address) in [("to", Some(&to)), ("rejects-to", rejects_to.as_ref())] {
            if let Some(address @ Address::Store(_)) = address {
                return Err(anyhow!("cannot take --{flag} '{address}': a store holds metrics, not events"))
                    .hint("evwindow --to store: keeps what it makes of events")
                    .exit_code(ExitCode::Usage);
            }
        }
        let stdout = Address::Stdio;
        let verdicts = output.verdicts.then_some(("verdicts", &stdout));
        let outputs = [("to", &to)].into_iter().filter(|_| !is_kept_only);
        let outputs = outputs.chain(rejects_to.iter().map(|to| ("rejects-to", to)));
        let is_taken = to == Address::Stdio && !is_kept_only;
        if output.verdicts && (is_taken || rejects_to == Some(Address::Stdio)) {
            return Err(anyhow!("cannot take --verdicts: stdout has other lines already"))
                .hint("send events elsewhere: --to FILE or --to kafka://HOST:PORT/TOPIC")
                .exit_code(ExitCode::Usage);
        }
        check_files("evingest", &inputs, outputs.chain(verdicts))?;
        let transactional_id = output.transactional_id.clone();
        if transactional_id.is_some() {
            check_transactional(&to, rejects_to.as_ref())?;
        }
        if let (Some(folder), Some(_)) = (&archive.archive, &transactional_id) {
            let folder = folder.display();
            return Err(anyhow!(
                "cannot take --archive '{folder}' with --transactional-id: it would not be part of it"
            ))
            .hint("archive the topic: evwindow --from kafka://… --archive DIR")
            .exit_code(ExitCode::Usage);
        }
        let schema_refresh = validation.schema_refresh.unwrap_or(SCHEMA_REFRESH);
        let dedup = validation.dedup.is_some().then(|| DedupWish {
            window: validation.dedup_window.unwrap_or(DEDUP_WINDOW),
            ids_max: validation.dedup_max.unwrap_or(DEDUP_MAX) as usize,
        });
        Ok(Config {
            settings: Settings {
                threads: validation.threads.map_or_else(flags::cores, |threads| threads as usize),
                rejects_max: validation.max_rejects.unwrap_or(RejectsMax::Unlimited),
                rate_milli: output.rate,
                lines_passed: Vec::new(),
                before: Summary::default(),
            },
            archive: archive.archive.clone().map(|folder| ArchiveConfig {
                folder,
                interval: archive.interval(),
                threads: 1,
                time: (
                    TimeFrom::Field { path: Path::of_keys(&["timestamp"]), format: TimeFormat::Auto },
                    "timestamp".to_owned(),
                ),
                // What was accepted is kept, whatever was made of it.
                line_bytes_max: 1 << 30,
                future: FutureGuard { max: None, now: None },
                ahead_max: Some(AHEAD_MAX),
                skips_gaps: false,
            }),
            is_kept_only,
            inputs,
            worker,
            watched: None,
            schema_refresh: std::time::Duration::from_micros(schema_refresh.0.unsigned_abs()),
            line_bytes_max,
            payload_bytes_max: validation.max_line.unwrap_or(LINE_BYTES_MAX),
            dedup,
            to,
            rejects_to,
            // A run that goes on must not lose the rejects of the one before.
            file_mode: if output.append || transactional_id.is_some() { FileMode::Append } else { FileMode::Replace },
            transactional_id,
            verdicts: output.verdicts,
            client: args.client.clone(),
            stats,
        })
    }

    /// Whether stdin is an input.
    pub fn reads_stdin(&self) -> bool {
        self.inputs.iter().any(|input| input.address == Address::Stdio)
    }

    /// Whether events go to stdout.
    pub fn sends_to_stdout(&self) -> bool {
        self.to == Address::Stdio && !self.is_kept_only
    }

    /// Whether lines of any kind go to stdout.
    pub fn writes_stdout(&self) -> bool {
        self.verdicts || self.sends_to_stdout() || self.rejects_to == Some(Address::Stdio)
    }

    /// Bytes of all inputs, if that can be known before.
    pub fn bytes_total(&self) -> Option<u64> {
        let bytes = |input: &Input| match (&input.address, input.compression) {
            (Address::Path(path), Compression::None) => std::fs::metadata(path).ok().filter(|file| file.is_file()),
            _ => None,
        };
        self.inputs.iter().map(|input| Some(bytes(input)?.len())).sum()
    }
}

/// Refuses what can't be part of a transaction, or would not be.
fn check_transactional(to: &Address, rejects_to: Option<&Address>) -> anyhow::Result<()> {
    let refuse = |cause: String, hint: &str| {
        Err(anyhow!("cannot take --transactional-id: {cause}")).hint(hint).exit_code(ExitCode::Usage)
    };
    if !matches!(to, Address::Kafka(_)) {
        return refuse(
            format!("'{to}' is no topic, and has no transactions"),
            "send events to kafka://HOST:PORT/TOPIC",
        );
    }
    match (to, rejects_to) {
        (Address::Kafka(to), Some(Address::Kafka(rejects))) if to.brokers != rejects.brokers => refuse(
            format!("rejects in '{rejects}' would not be part of it: they go to another cluster than events"),
            "name the same brokers in --to and --rejects-to, or write rejects to a file",
        ),
        _ => Ok(()),
    }
}

/// The report wanted, and the input that stands behind a bare `--stats` and was taken for its form.
fn stats(args: &RunArgs) -> anyhow::Result<(Stats, Option<OsString>)> {
    let Some(form) = &args.output.stats else {
        return Ok((if args.output.quiet { Stats::Quiet } else { Stats::WhenRemarkable }, None));
    };
    match form.to_str() {
        Some("json") => Ok((Stats::Json, None)),
        Some("text") => Ok((Stats::Text, None)),
        // What can only be meant as a form is not looked for among the files.
        Some(word) if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !FilePath::new(word).exists() => {
            Err(anyhow!("cannot take --stats '{word}': it is neither 'text' nor 'json', and there is no such file"))
                .exit_code(ExitCode::Usage)
        }
        _ => Ok((Stats::Text, Some(form.clone()))),
    }
}

fn addresses<'a>(texts: impl IntoIterator<Item = &'a OsString>) -> anyhow::Result<Vec<Address>> {
    texts.into_iter().map(|text| Address::parse(text).exit_code(ExitCode::Usage)).collect()
}

/// The schemas that events are judged by.
enum Known {
    /// None.
    Nothing,
    /// Those of a folder.
    Folder(Schemas),
    /// Those of a registry.
    Registry(Watched),
}

fn known(args: &ValidationArgs) -> anyhow::Result<Known> {
    Ok(match (&args.schemas, &args.registry, std::env::var_os("EVKIT_REGISTRY")) {
        (Some(folder), ..) => Known::Folder(of_folder(folder)?),
        (None, Some(registry), _) => Known::Registry(schema::watched(registry)?),
        (None, None, Some(registry)) if !registry.is_empty() => Known::Registry(schema::watched(&registry)?),
        (None, None, _) => Known::Nothing,
    })
}

/// What is demanded, and the registry that is looked at for what is newer.
fn demands(args: &RunArgs, csv_schema: csv::Schema) -> anyhow::Result<(Demands, Option<Watched>)> {
    let validation = &args.validation;
    let known = known(validation)?;
    let has_schemas = !matches!(known, Known::Nothing);
    if validation.schema_refresh.is_some() && !matches!(known, Known::Registry(_)) {
        return Err(anyhow!("cannot take --schema-refresh: there is no registry that could be asked"))
            .hint("name it with --registry")
            .exit_code(ExitCode::Usage);
    }
    if let Some(refresh) = validation.schema_refresh.filter(|refresh| refresh.0 <= 0) {
        return Err(anyhow!("cannot take --schema-refresh '{refresh}': a registry needs time to answer"))
            .hint("the default is 10s")
            .exit_code(ExitCode::Usage);
    }
    let rejects_unknown_types = validation.unknown_type == Some(UnknownTypeArg::Reject);
    if !has_schemas && rejects_unknown_types {
        return Err(anyhow!("cannot take --unknown-type 'reject': there are no schemas, so no type is known"))
            .hint("name them with --schemas or --registry")
            .exit_code(ExitCode::Usage);
    }
    let key = match args.output.key.as_deref() {
        Some("none") => None,
        Some(key) => Some(path("key", key)?),
        None => Some(Path::of_keys(&["user_id"])),
    };
    let (schemas, watched) = match known {
        Known::Nothing => (Arc::default(), None),
        Known::Folder(schemas) => (Arc::new(schemas), None),
        Known::Registry(watched) => (watched.schemas(), Some(watched)),
    };
    let demands = Demands {
        schemas,
        rejects_unknown_types,
        completion: Completion::Off,
        key,
        dedup: validation.dedup.as_deref().map(|field| path("dedup", field)).transpose()?,
        line_bytes_max: validation.max_line.unwrap_or(LINE_BYTES_MAX),
        csv_schema,
    };
    Ok((demands, watched))
}

/// The schemas of a folder: of the type TYPE the one in `TYPE.json`.
fn of_folder(folder: &FilePath) -> anyhow::Result<Schemas> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read --schemas '{shown}'"))
        .hint("name a folder with files TYPE.json")
        .exit_code(ExitCode::Usage)?;
    let mut schemas = Schemas::default();
    for entry in entries {
        let file = entry.with_context(|| format!("cannot read --schemas '{shown}'"))?.path();
        let event_type = file.file_stem().and_then(OsStr::to_str);
        let (Some("json"), Some(event_type)) = (file.extension().and_then(OsStr::to_str), event_type) else { continue };
        let refused = || format!("cannot take the schema '{}'", file.display());
        let text = std::fs::read_to_string(&file).with_context(refused).exit_code(ExitCode::Usage)?;
        let schema = Schema::parse(&text).with_context(refused).exit_code(ExitCode::Usage)?;
        schemas.insert(event_type, Versioned { schema, version: None });
    }
    if schemas.is_empty() {
        return Err(anyhow!("cannot take --schemas '{shown}': there is no file TYPE.json in it"))
            .exit_code(ExitCode::Usage);
    }
    Ok(schemas)
}

fn path(flag: &str, text: &str) -> anyhow::Result<Path> {
    match expression(flag, text)? {
        Expr::Path { path, .. } => Ok(path),
        _ => Err(anyhow!("cannot take --{flag} '{text}': it must be the path of a field")).exit_code(ExitCode::Usage),
    }
}

fn expression(flag: &str, text: &str) -> anyhow::Result<Expr> {
    let refused = |error: crate::expr::Error| anyhow!("cannot take --{flag}: {}", error.render());
    let expression = crate::expr::parse(text).map_err(refused).exit_code(ExitCode::Usage)?;
    expression.refuse_aggregates(&format!("--{flag}")).map_err(refused).exit_code(ExitCode::Usage)?;
    Ok(expression)
}

#[cfg(test)]
mod tests;
