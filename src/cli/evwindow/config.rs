//! evwindow's checked configuration, made of its arguments without touching anything but the names of files.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::ValueEnum;

use crate::aggregate::Function;
use crate::cli::evwindow::archive::{ArchiveInput, check_kept, config_of};
use crate::cli::evwindow::buckets::{Bucket, check_format};
use crate::cli::evwindow::keep::{Store, Wish};
use crate::cli::evwindow::settings::{in_words, settings};
use crate::cli::evwindow::times::time_from;
use crate::cli::evwindow::topic::{Topic, check_output};
use crate::cli::evwindow::{Args, AtEndArg, EmitArg, FormatArg, OutputArgs, QueryArgs, TimeArg};
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::flags;
use crate::cli::kafka::ClientArgs;
use crate::cli::places::check_files;
use crate::cli::points::PointArgs;
use crate::codec::csv::Schema;
use crate::codec::encode::{EncodeOptions, OutputFormat};
use crate::codec::ndjson::Instructions;
use crate::codec::partial::Header;
use crate::codec::{Decoder, TimeFrom, Wanted};
use crate::expr::Program;
use crate::pipeline::archive::ArchiveConfig;
use crate::pipeline::decode::{CsvInput, Decode, InputDecoder};
use crate::pipeline::intake::IntakeOptions;
use crate::pipeline::points::BucketConfig;
use crate::pipeline::window::{Emit, RejectsMax, WindowConfig};
use crate::plan::error::PlanError;
use crate::plan::{MetricText, Plan};
use crate::sink::FileMode;
use crate::source::address::Address;
use crate::source::files::{FilesOptions, FilesSource};
use crate::source::input::{Compression, Input, InputFormat, inputs};
use crate::time::{Clock, Duration, Timestamp};
use crate::validate::FutureGuard;

/// What a run of evwindow needs.
#[derive(Debug)]
pub struct Config {
    /// How the pipeline runs.
    pub window: WindowConfig,
    /// What is read: files, unless it is a topic.
    pub inputs: Vec<Input>,
    /// The topic that is read.
    pub topic: Option<Topic>,
    /// The archive that is read.
    pub archived: Option<ArchiveInput>,
    /// Whether windows are made anew with the events that were late for them.
    pub with_late: bool,
    /// The archive that is written.
    pub archive: Option<ArchiveConfig>,
    /// How much is taken at once.
    pub intake: IntakeOptions,
    /// Where rows go, the store aside.
    pub outputs: Vec<Output>,
    /// The local store, if it is among the outputs.
    pub store: Option<Store>,
    /// The buckets among the outputs.
    pub buckets: Vec<Bucket>,
    /// How they are written to.
    pub points: PointArgs,
    /// What encoders must know.
    pub encode: EncodeOptions,
    /// How files are written.
    pub file_mode: FileMode,
    /// Where rejects go.
    pub rejects_to: Option<Address>,
    /// Where late events go.
    pub late_to: Option<Address>,
    /// The longest line.
    pub line_bytes_max: usize,
    /// What is reported at the end.
    pub stats: Stats,
    /// Whether to keep silent.
    pub quiet: bool,
    /// What `--explain` prints.
    pub explanation: Option<String>,
    /// How clients of topics are set up.
    pub client: ClientArgs,
    /// `--fail-if` in the user's words.
    pub fail_if: Option<String>,
    /// Where partials are merged: the windows, in words.
    merging: Option<MetricText>,
    output_args: OutputArgs,
    wish: Wish,
    is_terminal: bool,
    time: TimeFrom,
    future: FutureGuard,
    csv_schema: Schema,
}

/// One place for rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Where.
    pub address: Address,
    /// How.
    pub format: OutputFormat,
    /// Whose, by metric.
    pub metrics: Vec<bool>,
}

/// What is reported at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stats {
    /// The summary, on a terminal or when something was lost.
    WhenRemarkable,
    /// The summary.
    Text,
    /// The same as JSON.
    Json,
}

/// How long all partitions of a topic must be silent before time goes on with the clock.
const IDLE_CLOSE_KAFKA: Duration = Duration(10_000_000);

/// The longest line when partials are merged.
const PARTIAL_BYTES_MAX: usize = 512 << 20;

/// Blocks taken at once: with more of them threads wait less often for one another, and more memory is under way.
const BLOCKS_A_THREAD: usize = 8;

impl Config {
    /// Checks `args` as they stand together. `now` is what relative times refer to. Reads the metrics file, if one is given,
    /// and looks up globs.
    pub fn new(mut args: Args, now: Timestamp, is_terminal: bool) -> anyhow::Result<Config> {
        let stats = stats(&mut args)?;
        let merging = args.query.merge.then(|| text_of(&args.query, &args));
        let plan = match &merging {
            // What is merged is known when the headers have been read.
            Some(text) => Plan::merging(text, &[]),
            None => Plan::build(&texts(&args)?),
        };
        let metrics_file = args.query.metrics.clone();
        let plan = Arc::new(planned(plan, metrics_file.as_deref())?);
        let addresses = addresses(&args).exit_code(ExitCode::Usage)?;
        let topic = Topic::among(&args, &addresses, now)?;
        let mut archived = ArchiveInput::among(&args, &addresses, now)?;
        let inputs = match (&topic, &archived) {
            (None, None) => named_inputs(&args, &addresses).exit_code(ExitCode::Usage)?,
            _ => Vec::new(),
        };
        check_kept(&args, &inputs)?;
        let emit = emit(&args.output.emit)?;
        let mut outputs = outputs(&args.output, &plan, emit, is_terminal)?;
        let rejects_to = side(&args.reading.rejects_to, "rejects-to")?;
        let late_to = side(&args.reading.late_to, "late-to")?;
        let to = outputs.iter().map(|output| ("to", &output.address));
        let sides = rejects_to.iter().map(|to| ("rejects-to", to)).chain(late_to.iter().map(|to| ("late-to", to)));
        check_files("evwindow", &inputs, to.clone().chain(sides.clone()))?;
        if let Some(topic) = &topic {
            topic.check_only_read(to.chain(sides))?;
        }
        let encode = encode_options(&plan, args.time.early.is_some(), is_terminal);
        let threads = args.reading.threads.map_or_else(flags::cores, |threads| threads as usize);
        let csv_schema = args.input.columns()?;
        let now_fixed = match &args.time.now {
            Some(time) => Some(time.resolve(now).exit_code(ExitCode::Usage)?),
            None => None,
        };
        let is_processing = args.time.time == TimeArg::Processing;
        if args.time.early.is_some() && emit.partials {
            let cause = "cannot take --early: partials are sent once, as they become final, and have no early form";
            return Err(anyhow!(cause)).exit_code(ExitCode::Usage);
        }
        if args.time.early.is_some_and(|early| early.0 <= 0) {
            return Err(anyhow!("cannot take --early '0s': it must be greater than zero")).exit_code(ExitCode::Usage);
        }
        let idle_close = match (args.time.idle_close, &topic) {
            (Some(flag), _) => flag.0,
            (None, Some(_)) => Some(IDLE_CLOSE_KAFKA),
            (None, None) => None,
        };
        let explanation = args.query.explain.then(|| {
            let from: Vec<String> = match (&topic, &archived) {
                (Some(topic), _) => vec![topic.address.to_string()],
                (_, Some(archived)) => vec![Address::Archive(archived.folder.clone()).to_string()],
                (None, None) => inputs.iter().map(in_words).collect(),
            };
            plan.explain(&settings(&args, threads, idle_close, from, &outputs))
        });
        let wish = Wish::of(&args);
        // Where partials are merged, it is known later which metrics there are.
        let is_grouped = topic.as_ref().is_some_and(Topic::is_grouped);
        let buckets = match merging {
            Some(_) => Vec::new(),
            None => Bucket::among(&mut outputs, &plan, &args.points)?,
        };
        let store = match merging.is_some() || is_grouped {
            true => None,
            false => Store::among(&mut outputs, &wish, !buckets.is_empty())?,
        };
        let future = FutureGuard {
            // Time told by the clock can't be ahead of it.
            max: args.time.max_future.0.filter(|_| args.time.time == TimeArg::Event),
            // What was archived is judged by its arrival.
            now: now_fixed.filter(|_| archived.is_none()),
        };
        let line_bytes_max = if args.query.merge {
            // What evwindow wrote it must be able to read: a partial holds whole sets and samples.
            args.reading.max_line.max(PARTIAL_BYTES_MAX)
        } else {
            args.reading.max_line
        };
        let time = time_from(&args)?;
        let archive = config_of(&args, time.clone(), (threads, line_bytes_max, future));
        if let Some(archived) =
            archived.as_mut().filter(|_| explanation.is_none() && (store.is_some() || !buckets.is_empty()))
        {
            archived.keep_to_covered(&plan, args.time.watermark_delay)?;
        }
        let range = topic.as_ref().and_then(Topic::range).or(archived.as_ref().and_then(ArchiveInput::range));
        Ok(Config {
            intake: IntakeOptions {
                blocks_max: BLOCKS_A_THREAD * threads,
                idle_timeout: args.time.idle_timeout.0,
                // Time told by the clock goes on with the clock.
                idle_close: idle_close.or(is_processing.then_some(crate::time::Duration(0))),
                patience: args.output.why.then_some(crate::time::Duration(2_000_000)),
            },
            encode,
            file_mode: if args.output.append { FileMode::Append } else { FileMode::Replace },
            rejects_to,
            late_to,
            line_bytes_max,
            quiet: args.output.quiet,
            time,
            future,
            window: WindowConfig {
                threads,
                // The clock is never out of order.
                watermark_delay: if is_processing { crate::time::Duration(0) } else { args.time.watermark_delay },
                fire_at_end: args.time.at_end == AtEndArg::Fire,
                range,
                // Of an archive nothing is read that lies behind the range; what comes late may still belong into it.
                repairs: false,
                ends_with_range: archived.is_none(),
                early: args.time.early,
                emit,
                rejects_max: args.reading.max_rejects.unwrap_or(RejectsMax::Unlimited),
                why: args.output.why,
                fail_if: fail_if(&args.output.fail_if, &plan, metrics_file.as_deref())?,
                plan,
            },
            fail_if: args.output.fail_if.clone(),
            client: args.topic.client.clone(),
            inputs,
            topic,
            archived,
            with_late: false,
            archive,
            outputs,
            store,
            buckets,
            points: args.points,
            stats,
            explanation,
            csv_schema,
            merging,
            output_args: args.output,
            wish,
            is_terminal,
        })
    }

    /// Writes to the end of files: a run that goes on where another ended must not replace what that one wrote.
    pub fn append(&mut self) -> anyhow::Result<()> {
        let is_array = |output: &&Output| output.format == OutputFormat::Json && output.address != Address::Stdio;
        if let Some(Output { address, .. }) = self.outputs.iter().find(is_array) {
            return Err(anyhow!("cannot go on writing '{address}': a JSON array cannot be continued"))
                .hint("use --format ndjson, or begin anew with --reset")
                .exit_code(ExitCode::Usage);
        }
        self.file_mode = FileMode::Append;
        Ok(())
    }

    /// Whether partials are merged.
    pub fn is_merging(&self) -> bool {
        self.merging.is_some()
    }

    /// Plans the merging of partials with these headers. Does nothing where events are windowed.
    pub fn plan_merging(&mut self, headers: &[Header]) -> anyhow::Result<()> {
        let Some(text) = &self.merging else { return Ok(()) };
        let plan = Arc::new(planned(Plan::merging(text, headers), None)?);
        self.outputs = outputs(&self.output_args, &plan, self.window.emit, self.is_terminal)?;
        self.buckets = Bucket::among(&mut self.outputs, &plan, &self.points)?;
        self.store = Store::among(&mut self.outputs, &self.wish, !self.buckets.is_empty())?;
        self.encode = encode_options(&plan, self.window.early.is_some(), self.is_terminal);
        self.window.fail_if = fail_if(&self.fail_if, &plan, None)?;
        self.window.plan = plan;
        Ok(())
    }

    /// How the buckets are written to: reads their tokens.
    pub fn bucket_configs(&self) -> anyhow::Result<Vec<BucketConfig>> {
        let queries = self.wish.queries(&self.window.plan);
        self.buckets.iter().map(|bucket| bucket.config(&self.points, &queries)).collect()
    }

    /// Whether what was kept is to be dropped first.
    pub fn resets(&self) -> bool {
        self.output_args.reset
    }

    /// What the answer depends on, as one number, where a topic of this name is read.
    pub fn fingerprint(&self, topic: &str) -> u64 {
        self.wish.fingerprint(&self.window.plan, topic)
    }

    /// The decoders of all inputs, for one thread; `partitions` is how many there are.
    pub fn decode(&self, partitions: usize) -> anyhow::Result<Decode> {
        let plan = &self.window.plan;
        let wanted = Wanted { paths: plan.wanted.clone(), time: self.time.clone() };
        // For tests, and for whoever doubts: the answers are the same.
        let instructions = match std::env::var_os("EVKIT_INSTRUCTIONS").is_some_and(|wish| wish == "baseline") {
            true => Instructions::BASELINE,
            false => Instructions::best(),
        };
        let ndjson = || {
            let decoder = crate::codec::ndjson::Decoder::with(&wanted, self.line_bytes_max, instructions);
            InputDecoder::Ready(Decoder::Ndjson(Box::new(decoder)))
        };
        let decoder = |input: &Input| match input.format {
            InputFormat::Ndjson => ndjson(),
            InputFormat::Csv => InputDecoder::CsvWithoutHeader(CsvInput {
                wanted: wanted.clone(),
                schema: self.csv_schema.clone(),
                record_bytes_max: self.line_bytes_max,
            }),
        };
        let decoders = match (&self.topic, &self.archived) {
            (Some(_), _) | (_, Some(_)) => (0..partitions).map(|_| ndjson()).collect(),
            (None, None) => self.inputs.iter().map(decoder).collect(),
        };
        let merging = self.merging.is_some().then(|| plan.schemas.iter().map(|schema| schema.name.clone()).collect());
        Ok(Decode { decoders, plan: Arc::clone(plan), future: self.future, merging })
    }

    /// Whether all that is read are files.
    pub fn is_of_files(&self) -> bool {
        self.topic.is_none() && self.inputs.iter().all(|input| input.address != Address::Stdio)
    }

    /// Opens the files. `is_resumable`: half a line at the end of one is left for the next run.
    pub fn files(&self, is_resumable: bool, clock: &Arc<dyn Clock>) -> anyhow::Result<FilesSource> {
        let options = FilesOptions {
            line_bytes_max: self.line_bytes_max,
            whole_line: is_resumable.then_some(crate::codec::ndjson::is_whole_object),
            ..FilesOptions::new(crate::codec::csv::whole_records)
        };
        FilesSource::open(&self.inputs, &options, clock).hint("give readable files, or - for stdin")
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

fn encode_options(plan: &Plan, is_early: bool, is_terminal: bool) -> EncodeOptions {
    EncodeOptions {
        changes: is_early || plan.queries.iter().any(|query| query.allowed_lateness.0 > 0),
        counts: counts(plan),
        taken: Vec::new(),
        color: flags::may_colour(is_terminal),
    }
}

/// The flag `--stats` may be followed by an input: then that is no form of the report.
fn stats(args: &mut Args) -> anyhow::Result<Stats> {
    let Some(form) = args.output.stats.take() else { return Ok(Stats::WhenRemarkable) };
    match form.to_str() {
        Some("json") => return Ok(Stats::Json),
        Some("text") => return Ok(Stats::Text),
        // What can only be meant as a form is not looked for among the files.
        Some(word) if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !std::path::Path::new(word).exists() => {
            return Err(anyhow!(
                "cannot take --stats '{word}': it is neither 'text' nor 'json', and there is no such file"
            ))
            .exit_code(ExitCode::Usage);
        }
        _ => args.inputs.insert(0, form),
    }
    Ok(Stats::Text)
}

/// Says what can be done about an error of the plan, and in which file it is.
fn planned<T>(plan: Result<T, PlanError>, metrics_file: Option<&std::path::Path>) -> anyhow::Result<T> {
    let hint = plan.as_ref().err().and_then(PlanError::hint);
    let plan = match metrics_file {
        Some(path) => plan.with_context(|| format!("cannot take --metrics '{}'", path.display())),
        None => plan.map_err(anyhow::Error::from),
    };
    plan.hint_if(hint).exit_code(ExitCode::Usage)
}

fn fail_if(
    expression: &Option<String>,
    plan: &Plan,
    metrics_file: Option<&std::path::Path>,
) -> anyhow::Result<Vec<Option<Program>>> {
    match expression {
        Some(expression) => planned(plan.over_rows("fail-if", expression), metrics_file),
        None => Ok(vec![None; plan.schemas.len()]),
    }
}

/// The queries in words: those of the metrics file, or the one of the flags.
fn texts(args: &Args) -> anyhow::Result<Vec<MetricText>> {
    let query = &args.query;
    let Some(path) = &query.metrics else { return Ok(vec![text_of(query, args)]) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read --metrics '{}'", path.display()))
        .exit_code(ExitCode::Usage)?;
    let mut texts = crate::plan::file::parse(&text)
        .with_context(|| format!("cannot take --metrics '{}'", path.display()))
        .exit_code(ExitCode::Usage)?;
    for text in &mut texts {
        // Flags that stand beside the file hold for all metrics that say nothing else.
        text.allowed_lateness = text.allowed_lateness.take().or_else(|| args.time.allowed_lateness.clone());
        text.max_groups = text.max_groups.or(query.max_groups);
        text.tz = text.tz.take().or_else(|| query.tz.clone());
        text.window_offset = text.window_offset.take().or_else(|| query.window_offset.clone());
    }
    Ok(texts)
}

fn text_of(query: &QueryArgs, args: &Args) -> MetricText {
    let joined = |texts: &[String]| (!texts.is_empty()).then(|| texts.join(", "));
    MetricText {
        name: query.name.clone(),
        tumbling: query.tumbling.clone(),
        sliding: query.sliding.clone(),
        cumulate: query.cumulate.clone(),
        session: query.session.clone(),
        session_max: query.session_max.clone(),
        global: query.global,
        window_offset: query.window_offset.clone(),
        tz: query.tz.clone(),
        filter: query.filter.clone(),
        by: joined(&query.by),
        agg: joined(&query.agg),
        having: query.having.clone(),
        top: query.top.map(|rows| rows as usize),
        order_by: query.order_by.clone(),
        with_ties: query.with_ties,
        allowed_lateness: args.time.allowed_lateness.clone(),
        max_groups: query.max_groups,
        to: None,
    }
}

fn addresses(args: &Args) -> anyhow::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    for text in args.inputs.iter().chain(&args.input.from) {
        addresses.push(Address::parse(text)?);
    }
    if addresses.is_empty() {
        addresses.push(Address::Stdio);
    }
    Ok(addresses)
}

fn named_inputs(args: &Args, addresses: &[Address]) -> anyhow::Result<Vec<Input>> {
    Ok(inputs(addresses, args.input.format())?)
}

fn side(text: &Option<OsString>, flag: &str) -> anyhow::Result<Option<Address>> {
    let Some(text) = text else { return Ok(None) };
    let address = Address::parse(text).with_context(|| format!("cannot take --{flag}")).exit_code(ExitCode::Usage)?;
    if matches!(address, Address::Store(_)) {
        return Err(anyhow!("cannot take --{flag} '{address}': a store takes result rows, not lines"))
            .exit_code(ExitCode::Usage);
    }
    Ok(Some(address))
}

fn emit(list: &[EmitArg]) -> anyhow::Result<Emit> {
    let has = |wanted| list.contains(&wanted);
    if has(EmitArg::Rows) && has(EmitArg::Partials) {
        return Err(anyhow!("cannot take --emit 'rows,partials': partials are written instead of rows"))
            .exit_code(ExitCode::Usage);
    }
    Ok(Emit {
        rows: has(EmitArg::Rows),
        partials: has(EmitArg::Partials),
        watermarks: has(EmitArg::Watermarks),
        stats: has(EmitArg::Stats),
    })
}

/// Where rows go: `--to` for all metrics, and each metric's own `to`.
fn outputs(args: &OutputArgs, plan: &Plan, emit: Emit, is_terminal: bool) -> anyhow::Result<Vec<Output>> {
    let mut outputs: Vec<Output> = Vec::new();
    let mut add = |text: &OsString, metrics: Vec<bool>| -> anyhow::Result<()> {
        let address = Address::parse(text).context("cannot take --to").exit_code(ExitCode::Usage)?;
        if let Some(known) = outputs.iter_mut().find(|output| output.address == address) {
            known.metrics.iter_mut().zip(metrics).for_each(|(takes, more)| *takes |= more);
            return Ok(());
        }
        if emit.partials && matches!(address, Address::Store(_)) {
            return Err(anyhow!("cannot take --emit partials with --to '{address}': the store takes rows"))
                .exit_code(ExitCode::Usage);
        }
        check_output(&address, args.format, emit)?;
        check_format(&address, args.format)?;
        let format = format_of(args.format, &address, is_terminal);
        let in_band = emit.partials || emit.watermarks || emit.stats;
        // A terminal's table was chosen by us, so it may give way.
        if in_band && format != OutputFormat::Ndjson && (args.format.is_some() || address != Address::Stdio) {
            let cause = "only ndjson has a place for partials, watermarks and stats";
            return Err(anyhow!("cannot take --emit with --to '{address}': {cause}"))
                .hint("use --format ndjson")
                .exit_code(ExitCode::Usage);
        }
        if args.append && format == OutputFormat::Json && address != Address::Stdio {
            return Err(anyhow!("cannot take --append with --to '{address}': a JSON array cannot be continued"))
                .hint("use --format ndjson")
                .exit_code(ExitCode::Usage);
        }
        let format = if in_band { OutputFormat::Ndjson } else { format };
        outputs.push(Output { address, format, metrics });
        Ok(())
    };
    let own: Vec<bool> = plan.texts.iter().map(|text| text.to.is_some()).collect();
    let default = [OsString::from("-")];
    let shared = if args.to.is_empty() { &default[..] } else { &args.to };
    let rest: Vec<bool> = own.iter().map(|own| !own).collect();
    if rest.contains(&true) {
        for text in shared {
            add(text, rest.clone())?;
        }
    }
    for (metric, text) in plan.texts.iter().enumerate() {
        if let Some(to) = &text.to {
            add(&to.into(), (0..own.len()).map(|other| other == metric).collect())?;
        }
    }
    check_points(&outputs, plan)?;
    Ok(outputs)
}

/// Refuses to write rows without a time of their own where each needs one.
fn check_points(outputs: &[Output], plan: &Plan) -> anyhow::Result<()> {
    let is_global = |(text, takes): (&MetricText, &bool)| *takes && text.global;
    let is_timeless = |output: &&Output| {
        output.format == OutputFormat::LineProtocol && plan.texts.iter().zip(&output.metrics).any(is_global)
    };
    match outputs.iter().find(is_timeless) {
        Some(Output { address, .. }) => {
            let cause = "a point of line protocol needs a time, and the one window over everything has none";
            Err(anyhow!("cannot take --global with --to '{address}': {cause}"))
                .hint("use --format ndjson, or windows such as --tumbling 1d")
                .exit_code(ExitCode::Usage)
        }
        None => Ok(()),
    }
}

fn format_of(format: Option<FormatArg>, address: &Address, is_terminal: bool) -> OutputFormat {
    match (format, address) {
        (Some(FormatArg::Ndjson), _) => OutputFormat::Ndjson,
        (Some(FormatArg::Json), _) => OutputFormat::Json,
        (Some(FormatArg::Csv), _) => OutputFormat::Csv,
        (Some(FormatArg::LineProtocol), _) => OutputFormat::LineProtocol,
        (Some(FormatArg::Table), _) => OutputFormat::Table,
        (None, Address::Influx(_)) => OutputFormat::LineProtocol,
        (None, Address::Stdio) if is_terminal => OutputFormat::Table,
        (None, Address::Path(path)) => match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => OutputFormat::Csv,
            Some("json") => OutputFormat::Json,
            Some("lp") => OutputFormat::LineProtocol,
            _ => OutputFormat::Ndjson,
        },
        (None, _) => OutputFormat::Ndjson,
    }
}

fn counts(plan: &Plan) -> Vec<Vec<bool>> {
    plan.queries.iter().map(|query| query.functions.iter().map(Function::is_count).collect()).collect()
}

/// A value as its flag takes it.
pub fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests;
