//! evquery from its command line to its exit code.
//!
//! `Args` mirrors the flags, `config` checks them; what is asked is `crate::query`'s to answer, and rows are written by the same
//! encoders as evwindow's.

mod admin;
mod archive;
mod args;
mod chart;
mod config;
mod dashboard;
mod follow;
mod influx;
mod list;
mod svg;
mod topic;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::anyhow;

use crate::cli::about;
pub use crate::cli::evquery::args::Args;
use crate::cli::evquery::args::{AdminCommand, Command};
use crate::cli::evquery::chart::Lines;
use crate::cli::evquery::config::Place;
use crate::cli::evquery::follow::Follower;
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::flags;
use crate::cli::kafka;
use crate::cli::upstream;
use crate::codec::encode::{EncodeOptions, OutputFormat, RowEncoder, encoder};
use crate::expr::Program;
use crate::metric::Metric;
use crate::pipeline::destination::shown;
use crate::query::{Question, QuestionError, Tier};
use crate::sink::{self, FileMode, Sink, SinkError};
use crate::source::address::{Address, InfluxAddress};
use crate::source::clock::SystemClock;
use crate::store::influx::Reader as BucketReader;
use crate::store::{Extent, Grain, Known, Metrics, Points, Reader};
use crate::time::Clock;
use crate::window::Row;
use crate::window::present::columns_of;

/// evquery from its command line to its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    about::program("evquery", arguments, |args: &Args| &args.about, |args| run(&args).map_err(upstream::explained))
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.client.wants_list() {
        about::print(kafka::list().as_bytes())?;
        return Ok(ExitCode::Ok);
    }
    // It has to do with a registry, and with no store.
    if let (Some(Command::Admin { command: AdminCommand::Dashboard { command } }), None, None, false) =
        (&args.command, &args.metric, &args.from, args.check)
    {
        return dashboard::run(command);
    }
    if let Some(topic) = config::topic(args)? {
        return match (&args.command, &args.metric) {
            (None, Some(metric)) if !args.check => topic::follow(args, &topic, metric),
            (None, None) if !args.check => Err(anyhow!("no metric is named"))
                .hint("evquery METRIC --follow --from kafka://…")
                .exit_code(ExitCode::Usage),
            _ => {
                Err(anyhow!("cannot take --from '{topic}': a topic has rows to --follow, and nothing else to ask for"))
                    .exit_code(ExitCode::Usage)
            }
        };
    }
    let place = config::place(args)?;
    archive::check(args, &place)?;
    match place {
        Place::Store(path) => of_store(args, &path),
        Place::Influx(bucket) => of_bucket(args, &bucket),
        Place::Archive(folder) => archive::ask_alone(args, &folder),
    }
}

/// What is asked of a local store.
fn of_store(args: &Args, path: &Path) -> anyhow::Result<ExitCode> {
    let reader = || config::in_words(Reader::open(path));
    match (&args.command, &args.metric) {
        (Some(_), Some(metric)) => both_asked(metric),
        (Some(_), _) if args.check => Err(anyhow!("--check stands alone")).exit_code(ExitCode::Usage),
        (Some(Command::List { format }), None) => list::list(reader()?, *format),
        (Some(Command::Describe { metric, format }), None) => list::describe(reader()?, metric, *format),
        (Some(Command::Admin { command: AdminCommand::Retention { hot, cold, archive, now } }), None) => {
            match (archive, cold) {
                (Some(folder), Some(cold)) => admin::archive_retention(folder, *cold, now.as_ref()),
                _ => admin::retention(path, *hot, *cold, now.as_ref()),
            }
        }
        (Some(Command::Admin { command: AdminCommand::Influx { command } }), None) => {
            influx::run(command, &args.influx)
        }
        (Some(Command::Admin { command: AdminCommand::Dashboard { .. } }), None) => {
            Err(anyhow!("cannot take --from: dashboards are in a registry"))
                .hint("name it with --registry")
                .exit_code(ExitCode::Usage)
        }
        (None, Some(metric)) if args.check => {
            Err(anyhow!("cannot take '{metric}': --check looks at the whole store")).exit_code(ExitCode::Usage)
        }
        (None, _) if args.check => admin::check(path, args.output.quiet),
        (None, Some(metric)) => {
            let open = || config::in_words(Reader::open_together(path, flags::cores().min(READERS_MAX)));
            ask(args, open, metric)
        }
        (None, None) => nothing_asked(),
    }
}

/// What is asked of a bucket.
fn of_bucket(args: &Args, bucket: &InfluxAddress) -> anyhow::Result<ExitCode> {
    let reader = || args.influx.client(bucket).map(BucketReader::new);
    match (&args.command, &args.metric) {
        (Some(_), Some(metric)) => both_asked(metric),
        (Some(Command::List { format }), None) => list::list(reader()?, *format),
        (Some(Command::Describe { metric, format }), None) => list::describe(reader()?, metric, *format),
        (Some(Command::Admin { command: AdminCommand::Influx { command } }), None) => {
            influx::run(command, &args.influx)
        }
        (None, Some(metric)) if !args.check => {
            let open = || Ok(BucketReader::together(&args.influx.client(bucket)?, flags::cores().min(REQUESTS_MAX)));
            ask(args, open, metric)
        }
        (None, None) if !args.check => nothing_asked(),
        _ => Err(anyhow!("cannot take --from '{bucket}': --check and admin retention look after a local store"))
            .exit_code(ExitCode::Usage),
    }
}

fn both_asked(metric: &str) -> anyhow::Result<ExitCode> {
    Err(anyhow!("cannot ask for the metric '{metric}' and something else at once"))
        .hint("a metric named as a command stands behind --")
        .exit_code(ExitCode::Usage)
}

fn nothing_asked() -> anyhow::Result<ExitCode> {
    Err(anyhow!("no metric is named"))
        .hint("evquery list shows what the store has; --help tells the rest")
        .exit_code(ExitCode::Usage)
}

fn ask<M: Metrics>(args: &Args, open: impl Fn() -> anyhow::Result<Vec<M>>, name: &str) -> anyhow::Result<ExitCode> {
    let asked = config::asked(&args.query, &args.time, args.output.follow, SystemClock.now())?;
    if let Some(folder) = &args.beneath.archive {
        return archive::ask_over(args, &asked, open, (name, folder));
    }
    let mut readers = open()?;
    let Known { metric, series, extent } = find(&mut readers[0], name)?;
    let question = in_words(Question::of(&asked, &metric, &series, extent))?;
    if args.query.explain {
        return explain(&question, |tier| readers[0].place_of(tier.grain().unwrap_or(Grain::Points)));
    }
    if !args.output.quiet {
        tell(&question);
    }
    if !args.output.follow {
        return show(args, &question, &mut readers, extent, || false);
    }
    let (mut rows, mut judge) = (Rows::open(args, &question)?, Judge::of(args, &question)?);
    let mut follower = Follower::begin(&asked, &metric, extent, &mut readers[0])?;
    if asked.from.is_some() || asked.until.is_some() {
        read(&question, &mut readers, &mut rows, &mut judge, |some| {
            some.iter().for_each(|row| follower.has_shown(row));
            true
        })?;
    }
    readers.truncate(1);
    let reader = readers.pop().expect("one reader at least was opened");
    follower.run(reader, &mut rows, &mut judge)
}

/// `--explain`: each part of the answer, and where it lies.
pub(crate) fn explain(question: &Question, place_of: impl Fn(Tier) -> String) -> anyhow::Result<ExitCode> {
    let notes = question.notes.iter().map(|note| format!("{note}\n"));
    let told = format!("{}\n{}{}", question.told(), told_parts(question, "", place_of), notes.collect::<String>());
    about::print(told.as_bytes())?;
    Ok(ExitCode::Ok)
}

/// Each part of the answer on a line that begins so.
pub(crate) fn told_parts(question: &Question, head: &str, place_of: impl Fn(Tier) -> String) -> String {
    let parts = question.parts().into_iter();
    parts.map(|part| format!("{head}{part}, in '{}'\n", place_of(part.tier))).collect()
}

/// Writes the whole answer, until `is_stopped`, and judges it.
pub(crate) fn show<P: Points>(
    args: &Args,
    question: &Question,
    readers: &mut [P],
    extent: Option<Extent>,
    is_stopped: impl Fn() -> bool,
) -> anyhow::Result<ExitCode> {
    let (mut rows, mut judge) = (Rows::open(args, question)?, Judge::of(args, question)?);
    let count = read(question, readers, &mut rows, &mut judge, |_| !is_stopped())?;
    rows.finish()?;
    if count == 0 && !args.output.quiet && !is_stopped() {
        tell_empty(question, extent.map(|extent| (extent.first, extent.end)));
    }
    if judge.is_blind() && !args.output.quiet {
        let said =
            "evquery: no window of the range has fired, so --fail-if has looked at none: is evwindow still running?\n";
        // Without a stderr there is nobody to tell.
        let _ = io::stderr().write_all(said.as_bytes());
    }
    judge.verdict(question)
}

/// Writes the rows of an answer as they come, until `see` says no. Gives their number.
fn read<P: Points>(
    question: &Question,
    readers: &mut [P],
    rows: &mut Rows,
    judge: &mut Judge<'_>,
    mut see: impl FnMut(&[Metric]) -> bool,
) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut failed = Ok(());
    let answered = crate::query::answer(question, readers, |some| {
        count += some.len();
        judge.look(&some);
        let goes_on = see(&some);
        failed = rows.take(&some);
        failed.is_ok() && goes_on
    });
    in_words(answered)?;
    failed?;
    Ok(count)
}

/// The metric of this name, or what there is.
fn find<M: Metrics>(reader: &mut M, name: &str) -> anyhow::Result<Known> {
    if let Some(found) = config::in_words(reader.look(name))? {
        return Ok(found);
    }
    let known = config::in_words(reader.names())?;
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    let hint = match nearest {
        Some((distance, nearest)) if distance <= 3 && distance < name.len() => {
            format!("did you mean '{nearest}'? It has {}", known.join(", "))
        }
        Some(_) => format!("it has {}", known.join(", ")),
        None => "it has no metric at all".to_owned(),
    };
    let hint = config::in_words(reader.why_missing(name))?.unwrap_or(hint);
    Err(anyhow!("{} has no metric '{name}'", reader.named())).hint(hint)
}

/// An error about the question with its hint and exit code.
fn in_words<T>(result: Result<T, QuestionError>) -> anyhow::Result<T> {
    let hint = result.as_ref().err().and_then(QuestionError::hint);
    let code = match &result {
        Err(QuestionError::Store(error)) if error.is_unavailable() => Some(ExitCode::Upstream),
        Err(QuestionError::Store(_) | QuestionError::MadeAnew { .. }) | Ok(_) => None,
        Err(_) => Some(ExitCode::Usage),
    };
    let result = result.hint_if(hint);
    match code {
        Some(code) => result.exit_code(code),
        None => result,
    }
}

/// Says on stderr what the answer is made of, where the user didn't say it or is a person.
fn tell(question: &Question) {
    let mut told = String::new();
    if question.is_chosen || io::stderr().is_terminal() {
        told.push_str(&format!("evquery: {}\n", question.told()));
    }
    for note in &question.notes {
        told.push_str(&format!("evquery: {note}\n"));
    }
    // Without a stderr there is nobody to tell.
    let _ = io::stderr().write_all(printable(&told).as_bytes());
}

fn tell_empty(question: &Question, extent: Option<(crate::time::Timestamp, crate::time::Timestamp)>) {
    let name = &question.metric.catalogue.name;
    let told = match extent {
        Some((first, end)) => format!("evquery: no rows: the points of '{name}' lie between {first} and {end}\n"),
        None => format!("evquery: no rows: '{name}' has no points yet\n"),
    };
    let _ = io::stderr().write_all(printable(&told).as_bytes());
}

/// Where rows go: an encoder to stdout, or a chart; and beside it a drawing.
struct Rows {
    encoder: Box<dyn RowEncoder>,
    sink: Box<dyn Sink>,
    bytes: Vec<u8>,
    is_chart: bool,
    svg: Option<std::path::PathBuf>,
    lines: Option<Lines>,
}

impl Rows {
    fn open(args: &Args, question: &Question) -> anyhow::Result<Rows> {
        let is_terminal = io::stdout().is_terminal();
        let format = config::format(&args.output, is_terminal);
        let options = EncodeOptions {
            changes: format == OutputFormat::Table && question.range.1 > question.complete_until,
            counts: vec![question.counts.clone()],
            color: flags::may_colour(is_terminal),
            taken: Vec::new(),
        };
        let mut encoder = encoder(format, std::slice::from_ref(&question.schema), &options)?;
        let is_drawn = args.output.chart || args.output.svg.is_some();
        let mut bytes = Vec::new();
        if !args.output.chart {
            encoder.begin(&mut bytes);
        }
        Ok(Rows {
            encoder,
            sink: sink::open(&Address::Stdio, FileMode::Replace)?,
            bytes,
            is_chart: args.output.chart,
            svg: args.output.svg.clone(),
            lines: is_drawn.then(|| Lines::of(&question.schema)),
        })
    }

    fn take(&mut self, rows: &[Metric]) -> Result<(), SinkError> {
        if let Some(lines) = &mut self.lines {
            rows.iter().for_each(|row| lines.add(row));
        }
        if self.is_chart {
            return Ok(());
        }
        for row in rows {
            self.encoder.row(row, &mut self.bytes);
        }
        self.encoder.flush(&mut self.bytes);
        self.sink.write(&self.bytes)?;
        self.bytes.clear();
        self.sink.flush()
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        if self.is_chart {
            let (width, height) = chart::room();
            let lines = self.lines.as_ref().expect("a chart has its lines");
            self.bytes.extend_from_slice(lines.draw(width, height).as_bytes());
        } else {
            self.encoder.end(&mut self.bytes);
        }
        self.sink.write(&self.bytes)?;
        self.sink.finish()?;
        if let (Some(path), Some(lines)) = (&self.svg, &self.lines) {
            let mut file = sink::open(&Address::Path(path.clone()), FileMode::Replace)?;
            file.write(svg::draw(lines)?.as_bytes())?;
            file.finish()?;
        }
        Ok(())
    }
}

/// Looks at rows for `--fail-if`.
struct Judge<'a> {
    fail_if: Option<(&'a str, Program)>,
    found: Option<Metric>,
    /// Whether any window has fired of those that were asked for.
    has_looked: bool,
}

impl<'a> Judge<'a> {
    /// Looks for what `--fail-if` of these arguments says.
    fn of(args: &'a Args, question: &Question) -> anyhow::Result<Judge<'a>> {
        let fail_if = match args.output.fail_if.as_deref() {
            Some(text) => Some((text, in_words(question.over_rows("fail-if", text))?)),
            None => None,
        };
        Ok(Judge { fail_if, found: None, has_looked: false })
    }

    /// Remembers the first row of a window that has fired for which the expression is TRUE.
    fn look(&mut self, rows: &[Metric]) {
        let Some((_, program)) = self.fail_if.as_ref().filter(|_| self.found.is_none()) else { return };
        let fired: Vec<&Metric> = rows.iter().filter(|row| row.is_final).collect();
        let plain: Vec<Row> = fired
            .iter()
            .map(|row| Row { groups: row.groups.clone(), aggregates: row.aggregates.clone(), rank: row.rank })
            .collect();
        let mut text = Vec::new();
        let columns = columns_of(&plain, &mut text);
        if plain.is_empty() {
            return;
        }
        self.has_looked = true;
        let hit = program.select(&columns, plain.len(), &mut text, &mut 0);
        self.found = hit.first().map(|row| fired[*row as usize].clone());
    }

    /// Whether an alarm was asked for, and nothing could raise it.
    fn is_blind(&self) -> bool {
        self.fail_if.is_some() && !self.has_looked
    }

    fn verdict(&self, question: &Question) -> anyhow::Result<ExitCode> {
        let (Some((text, _)), Some(row)) = (&self.fail_if, &self.found) else { return Ok(ExitCode::Ok) };
        let shown = shown(row, std::slice::from_ref(&question.schema));
        Err(anyhow!("--fail-if '{text}' is TRUE for {shown}")).exit_code(ExitCode::FailIf)
    }
}

/// Readers side by side: more than these wait for one another.
const READERS_MAX: usize = 8;

/// Questions that a server is asked at once for one answer.
const REQUESTS_MAX: usize = 4;
