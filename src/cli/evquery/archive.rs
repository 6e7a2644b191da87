//! `--archive` and `--from archive:`: which query made a metric, what of the answer is made of raw events, and where it waits to be read.
//!
//! Windows are made by evwindow's own pipeline into a store in a temporary folder, and read like any other. What is made of events
//! and what is not, `crate::query` settles.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use tempfile::TempDir;

use crate::archive::coverage;
use crate::archive::form;
use crate::archive::manifest::{Manifest, State};
use crate::archive::reader::{ArchiveSource, Wanted};
use crate::cli::archive::{explained_archive, is_dropped};
use crate::cli::evquery::args::{Args, BeneathArgs};
use crate::cli::evquery::config::Place;
use crate::cli::evquery::{READERS_MAX, config, explain, find, in_words, show, tell, told_parts};
use crate::cli::evwindow::TimeFormatArg;
use crate::cli::evwindow::keep::explained_pipeline;
use crate::cli::evwindow::times::{field_in_words, time_of_field};
use crate::cli::exit::{ExitCode, ReportContext, printable, report};
use crate::cli::flags;
use crate::cli::kept_query::{KeptQuery, MAX_FUTURE, query_of};
use crate::cli::progress::Progress;
use crate::cli::signals::StopRequest;
use crate::pipeline::recompute::Recompute;
use crate::pipeline::summary::{Summary, counted};
use crate::plan::meaning::meaning;
use crate::plan::{MetricText, Plan};
use crate::query::{Archived, Asked, Question, Reach, Tier, settle};
use crate::source::clock::SystemClock;
use crate::store::{Catalogue, Extent, Grain, Known, Metrics, Points, Reader, StoredMetric, Tiered, WindowKind};
use crate::time::{Clock, Duration, Timestamp};

/// By how much events are out of order where nothing is said.
const WATERMARK_DELAY: Duration = Duration(5_000_000);

/// Refuses what has nothing to do with an archive.
pub(crate) fn check(args: &Args, place: &Place) -> anyhow::Result<()> {
    let is_alone = matches!(place, Place::Archive(_));
    let BeneathArgs { archive, metrics, .. } = &args.beneath;
    let refuse = |what: String, cause: &str, hint: &str| {
        let refused = Err(anyhow!("cannot take {what}: {cause}"));
        refused.hint_if((!hint.is_empty()).then_some(hint)).exit_code(ExitCode::Usage)
    };
    let named = match (place, archive) {
        (Place::Archive(folder), _) => format!("--from 'archive:{}'", folder.display()),
        (_, Some(folder)) => format!("--archive '{}'", folder.display()),
        _ => String::new(),
    };
    if let (true, Some(folder)) = (is_alone, archive) {
        let cause = "an archive is asked alone, or lies beneath a store or a bucket";
        return refuse(format!("--archive '{}'", folder.display()), cause, "name the store with --from");
    }
    if let (false, None, Some(file)) = (is_alone, archive, metrics) {
        let cause = "what is stored needs no query; it is for an archive";
        return refuse(format!("--metrics '{}'", file.display()), cause, "name the archive with --archive DIR");
    }
    if named.is_empty() {
        return Ok(());
    }
    if args.command.is_some() || args.check {
        return refuse(named, "raw events are for a metric that is asked for", "");
    }
    if args.output.follow {
        return refuse(named, "--follow shows what is new, and an archive has what is old", "leave one of them out");
    }
    if is_alone && metrics.is_none() {
        let cause = "it has raw events, and nothing says what is made of them";
        return refuse(named, cause, "name the file with the metric's query: --metrics FILE");
    }
    Ok(())
}

/// The archive beneath a metric, and the query by which windows of it are made.
struct Beneath {
    folder: PathBuf,
    state: State,
    query: KeptQuery,
    catalogue: Catalogue,
    reach: Reach,
    clock: Arc<dyn Clock>,
    stop: StopRequest,
    is_quiet: bool,
}

/// Windows that were made, until it is dropped.
struct Scratch {
    path: PathBuf,
    _folder: TempDir,
}

/// Answers from what is stored, and of events what that lacks.
pub(crate) fn ask_over<M: Metrics>(
    args: &Args,
    asked: &Asked,
    open: impl Fn() -> anyhow::Result<Vec<M>>,
    beneath: (&str, &Path),
) -> anyhow::Result<ExitCode> {
    let stop = listen()?;
    again_where_dropped(args.output.quiet, || answer_over(args, asked, &open, beneath, &stop))
}

/// Answers from an archive alone.
pub(crate) fn ask_alone(args: &Args, folder: &Path) -> anyhow::Result<ExitCode> {
    let stop = listen()?;
    again_where_dropped(args.output.quiet, || answer_alone(args, folder, &stop))
}

fn listen() -> anyhow::Result<StopRequest> {
    StopRequest::listen().context("cannot listen to signals")
}

/// Once more, where retention has come to events that were just to be read: no row of the answer has been written by then, and what is
/// left is another archive, of which another part of the answer may be made.
fn again_where_dropped<T>(is_quiet: bool, answer: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    match answer() {
        Err(error) if is_dropped(&error) => {
            if !is_quiet {
                let told = report("evquery", &error);
                // Without a stderr there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "{}; asking once more", told.lines().next().unwrap_or_default());
            }
            answer()
        }
        answered => answered,
    }
}

/// What is stored is not held while windows are made of events, which may take long: it is looked at anew afterwards.
fn answer_over<M: Metrics>(
    args: &Args,
    asked: &Asked,
    open: &impl Fn() -> anyhow::Result<Vec<M>>,
    (name, folder): (&str, &Path),
    stop: &StopRequest,
) -> anyhow::Result<ExitCode> {
    let (mut readers, mut known) = look(open, name)?;
    let query = query_beneath(&args.beneath, &mut readers[0], &known.metric)?;
    let mut beneath = Beneath::of(args, folder, query, known.metric.catalogue.clone(), (false, stop))?;
    // Beside nothing the archive stands alone, and may show what has not fired.
    beneath.reach.is_alone = known.extent.is_none();
    known.extent = known.extent.or_else(|| beneath.extent());
    // What is stored meanwhile is another question's.
    let end = known.extent.map(|extent| extent.end).filter(|end| *end < Timestamp::MAX);
    let asked = Asked { until: asked.until.or(end), ..asked.clone() };
    let mut made: Option<(Archived, Scratch)> = None;
    loop {
        let question = in_words(beneath.settle(&asked, &known))?;
        let place_of = |tier: Tier| match tier.grain() {
            Some(grain) => readers[0].place_of(grain),
            None => format!("archive:{}", beneath.folder.display()),
        };
        if args.query.explain {
            return explain(&question, place_of);
        }
        if made.is_none() {
            beneath.tell(&question, &told_parts(&question, "evquery: ", place_of));
        }
        let extent = known.extent;
        let Some(archived) = question.archived else {
            return beneath.answer(args, &asked, &known, readers);
        };
        match &made {
            Some((of, scratch)) if covers(of, &archived) => {
                let (of_events, found) = scratch.open(name)?;
                if archived.edge == Timestamp::MAX {
                    let metric = StoredMetric { id: found.metric.id, ..known.metric };
                    known = Known { metric, series: found.series, extent };
                    return beneath.answer(args, &asked, &known, of_events);
                }
                let (tiered, series) = Tiered::over(readers, &known.series, of_events, found, archived.edge);
                known = Known { series, ..known };
                return beneath.answer(args, &asked, &known, tiered);
            }
            _ => {}
        }
        drop(readers);
        let Some(scratch) = beneath.make(&archived)? else { return Ok(beneath.interrupted()) };
        made = Some((archived, scratch));
        (readers, known) = look(open, name)?;
        known.extent = known.extent.or_else(|| beneath.extent());
    }
}

/// Opens what is stored, and looks the metric up.
fn look<M: Metrics>(open: impl Fn() -> anyhow::Result<Vec<M>>, name: &str) -> anyhow::Result<(Vec<M>, Known)> {
    let mut readers = open()?;
    let known = find(&mut readers[0], name)?;
    Ok((readers, known))
}

/// Whether all that is wanted of the events was made.
fn covers(made: &Archived, wanted: &Archived) -> bool {
    made.catalogue == wanted.catalogue && made.range.0 <= wanted.range.0 && wanted.range.1 <= made.range.1
}

fn answer_alone(args: &Args, folder: &Path, stop: &StopRequest) -> anyhow::Result<ExitCode> {
    let Some(name) = &args.metric else {
        return Err(anyhow!("no metric is named")).hint("name one of --metrics").exit_code(ExitCode::Usage);
    };
    let asked = config::asked(&args.query, &args.time, false, SystemClock.now())?;
    let query = query_of_file(&args.beneath, name)?.expect("without a file of metrics it was refused");
    let catalogue = catalogue_of(&query.text)?;
    let beneath = Beneath::of(args, folder, query, catalogue.clone(), (true, stop))?;
    let metric = StoredMetric { id: 0, catalogue, points: 0, refused: 0, kept_from: None, rolled_from: None };
    let mut known = Known { metric, series: Vec::new(), extent: beneath.extent() };
    // How far the metric goes is known once some of it has been made.
    let mut scratch: Option<(Archived, Scratch)> = None;
    loop {
        let question = in_words(beneath.settle(&asked, &known))?;
        if args.query.explain {
            return explain(&question, |_| format!("archive:{}", folder.display()));
        }
        let Some(archived) = question.archived.filter(|_| known.extent.is_some()) else { break };
        if scratch.as_ref().is_some_and(|(made, _)| covers(made, &archived)) {
            break;
        }
        let Some(made) = beneath.make(&archived)? else { return Ok(beneath.interrupted()) };
        let (_, found) = made.open(name)?;
        let made_from = archived.range.0;
        scratch = Some((archived, made));
        if asked.until.is_some() {
            break;
        }
        let first = known.extent.map_or(made_from, |extent| extent.first);
        known.extent = match found.extent {
            Some(extent) => Some(Extent { first: extent.first.min(first), ..extent }),
            None if asked.from.is_some() => break,
            // What is asked for are the last windows that there are.
            None => match beneath.last_event_before(made_from) {
                Some(end) => known.extent.map(|extent| Extent { last: end, end, ..extent }),
                None => break,
            },
        };
    }
    let mut readers = Vec::new();
    if let Some((archived, scratch)) = &scratch {
        let (made, found) = scratch.open(name)?;
        readers = made;
        // Of a span that time has passed all has fired, though no later window of the metric was looked for.
        let complete_until = match asked.until.is_some() && archived.range.1 <= beneath.reach.fired {
            true => beneath.reach.fired,
            false => found.extent.map_or(Timestamp::MIN, |extent| extent.complete_until),
        };
        known.extent = known.extent.map(|extent| Extent { complete_until, ..extent });
        known = Known { metric: StoredMetric { id: found.metric.id, ..known.metric }, series: found.series, ..known };
    }
    let question = in_words(beneath.settle(&asked, &known))?;
    beneath.tell(&question, &told_parts(&question, "evquery: ", |_| format!("archive:{}", folder.display())));
    beneath.answer(args, &asked, &known, readers)
}

impl Beneath {
    /// Opens the archive beneath a metric that this query made.
    fn of(
        args: &Args,
        folder: &Path,
        query: KeptQuery,
        catalogue: Catalogue,
        (is_alone, stop): (bool, &StopRequest),
    ) -> anyhow::Result<Beneath> {
        let state = Manifest::open(folder).map_err(explained_archive)?.state;
        let plan = plan_of(&query.text)?;
        let lateness = plan.queries.first().map_or(Duration(0), |query| query.allowed_lateness);
        let reach = reach(&state, &catalogue, (query.watermark_delay, lateness), is_alone);
        Ok(Beneath {
            folder: folder.to_path_buf(),
            state,
            query,
            catalogue,
            reach,
            clock: Arc::new(SystemClock),
            stop: stop.clone(),
            is_quiet: args.output.quiet,
        })
    }

    fn settle(&self, asked: &Asked, known: &Known) -> Result<Question, crate::query::QuestionError> {
        settle(asked, known, &self.query.text, self.reach)
    }

    /// Makes windows of events. `None` when the user would not wait.
    fn make(&self, archived: &Archived) -> anyhow::Result<Option<Scratch>> {
        let text = match archived.catalogue.all_states {
            true => MetricText { having: None, top: None, order_by: None, with_ties: false, ..self.query.text.clone() },
            false => self.query.text.clone(),
        };
        let plan = Arc::new(plan_of(&text)?);
        let (start, end) = archived.range;
        // Whether a session begins at the bound is known from what stands before it.
        let margin = gap(&archived.catalogue);
        let range = (Timestamp(start.0.saturating_sub(margin.0)), Timestamp(end.0.saturating_add(margin.0)));
        let time_field = field_in_words(&self.query.time_field, self.query.time_format);
        let wanted = Wanted { range, columns: form::typed(&plan.wanted), time_field };
        let source = ArchiveSource::of(&self.folder, &self.state, &wanted, &self.clock).map_err(explained_archive)?;
        let is_shown = !self.is_quiet && std::io::stderr().is_terminal();
        let progress = if is_shown { Progress::shown(Some(source.bytes_total())) } else { Progress::hidden() };
        let folder = tempfile::Builder::new().prefix("evquery-").tempdir();
        let folder = folder.with_context(|| {
            format!("cannot make a folder in '{}' for what is made of events", std::env::temp_dir().display())
        })?;
        let path = folder.path().join("windows.db");
        let recompute = Recompute {
            plan,
            catalogue: archived.catalogue.clone(),
            time: time_of_field(&self.query.time_field, self.query.time_format)?,
            watermark_delay: self.query.watermark_delay,
            fired: self.reach.fired,
            max_future: self.query.max_future,
            threads: flags::cores(),
        };
        let stop = self.stop.clone();
        let is_stopped = Box::new(move || stop.exit_code().is_some());
        let run = recompute.run(archived.range, progress.source(source), &path, &self.clock, is_stopped);
        let made = run.map_err(explained_pipeline);
        self.tell_made(&made.with_context(|| format!("cannot make '{}' of events", self.catalogue.name))?);
        Ok(self.stop.exit_code().is_none().then_some(Scratch { path, _folder: folder }))
    }

    /// The answer from what is stored and what was made.
    fn answer<P: Points>(
        &self,
        args: &Args,
        asked: &Asked,
        known: &Known,
        mut readers: Vec<P>,
    ) -> anyhow::Result<ExitCode> {
        let question = in_words(self.settle(asked, known))?;
        let code = show(args, &question, &mut readers, known.extent, || self.stop.exit_code().is_some())?;
        Ok(self.stop.exit_code().unwrap_or(code))
    }

    fn interrupted(&self) -> ExitCode {
        self.stop.exit_code().unwrap_or(ExitCode::Interrupted)
    }

    /// Says on stderr what the answer is made of: always, where a part of it is made of events.
    fn tell(&self, question: &Question, parts: &str) {
        if self.is_quiet {
            return;
        }
        tell(question);
        if question.archived.is_some() {
            // Without a stderr there is nobody to tell.
            let _ = std::io::stderr().write_all(printable(parts).as_bytes());
        }
    }

    /// Says on stderr what windows made of events lack, or have in another group.
    fn tell_made(&self, made: &Summary) {
        if self.is_quiet {
            return;
        }
        // Without a stderr there is nobody to tell.
        let _ = std::io::stderr().write_all(printable(&told_made(made)).as_bytes());
    }

    /// Over which time the metric may have windows, as far as the events tell. `None` where there are none.
    fn extent(&self) -> Option<Extent> {
        let first = Timestamp(self.state.files.iter().map(|file| file.first_us).min()?);
        // An event that is dated far ahead moved nothing.
        let seen = self.state.sources.values().flat_map(|source| &source.partitions);
        let seen = seen.filter_map(|read| read.seen_until_us).max();
        let end = self.last_event_before(Timestamp(seen.map_or(i64::MAX, |seen| seen.saturating_add(1))))?;
        let end = if self.catalogue.window == WindowKind::Global { Timestamp::MAX } else { end };
        Some(Extent { first: first.min(end), last: end, end, complete_until: self.reach.fired })
    }

    /// Just behind the last event that may lie before a time.
    fn last_event_before(&self, time: Timestamp) -> Option<Timestamp> {
        let files = self.state.files.iter().filter(|file| file.first_us < time.0);
        files.map(|file| Timestamp(file.last_us.saturating_add(1)).min(time)).max()
    }
}

impl Scratch {
    /// Readers of what was made, and what there is of it.
    fn open(&self, name: &str) -> anyhow::Result<(Vec<Reader>, Known)> {
        let count = flags::cores().min(READERS_MAX);
        let mut readers = config::in_words(Reader::open_together(&self.path, count))?;
        let found = config::in_words(readers[0].look(name))?;
        Ok((readers, found.context("what was made of events is not there")?))
    }
}

/// What the archive has of a metric whose windows change so long after their time.
fn reach(state: &State, catalogue: &Catalogue, (delay, lateness): (Duration, Duration), is_alone: bool) -> Reach {
    let from = match is_alone && coverage::is_from_the_beginning(state) {
        true => Timestamp::MIN,
        // A session may be one with what stands before.
        false => coverage::begin(state, delay)
            .map_or(Timestamp::MAX, |begin| Timestamp(begin.0.saturating_add(gap(catalogue).0))),
    };
    let until = coverage::end(state, Duration(delay.0.saturating_add(lateness.0)));
    let fired = coverage::end(state, delay).unwrap_or(Timestamp::MIN);
    // Where there are roll-ups, the window in which time stands is still to be read of points.
    let length = catalogue.length().filter(|_| catalogue.has(Grain::Hour) || catalogue.has(Grain::Day));
    let begun = length.map_or(0, |length| fired.0.rem_euclid(length.0));
    let fired = Timestamp(fired.0.saturating_sub(begun));
    Reach { from, until: until.unwrap_or(Timestamp::MIN), fired, is_alone }
}

fn gap(catalogue: &Catalogue) -> Duration {
    match catalogue.window {
        WindowKind::Session { gap } => gap,
        _ => Duration(0),
    }
}

/// The query that made a stored metric: as it was kept with it, or as the user says.
fn query_beneath<M: Metrics>(args: &BeneathArgs, reader: &mut M, metric: &StoredMetric) -> anyhow::Result<KeptQuery> {
    let catalogue = &metric.catalogue;
    let name = &catalogue.name;
    let kept = KeptQuery::read(&config::in_words(reader.query_of(metric))?, catalogue)?;
    let said = query_of_file(args, name)?;
    let file = args.metrics.as_deref().unwrap_or("".as_ref()).display();
    if let (Some(kept), Some(said)) = (&kept, &said) {
        let differs = query_of(&kept.text)
            .zip(query_of(&said.text))
            .find(|((flag, was), (_, is))| meaning(flag, was) != meaning(flag, is));
        if let Some(((flag, was), (_, is))) = differs {
            let place = reader.named();
            return Err(anyhow!("cannot take --metrics '{file}': in {place} '{name}' was made with {flag} '{was}', and the file says '{is}'"))
                .hint("leave --metrics out: the query was kept with the points")
                .exit_code(ExitCode::Usage);
        }
    }
    if let Some((flag, said, was)) = kept.as_ref().and_then(|kept| differing_time(args, kept)) {
        let place = reader.named();
        return Err(anyhow!("cannot take {flag} '{said}': in {place} '{name}' was made with {flag} '{was}'"))
            .hint(format!("leave {flag} out: it was kept with the points"))
            .exit_code(ExitCode::Usage);
    }
    let Some(query) = kept.or(said) else {
        return Err(anyhow!(
            "cannot make '{name}' of archived events: {} does not say which query made it",
            reader.named()
        ))
        .hint("name the file with its query: --metrics FILE; and --watermark-delay, if evwindow was given one")
        .exit_code(ExitCode::Usage);
    };
    let own = catalogue_of(&query.text)?;
    if own != *catalogue {
        let changes = own.differs_from(catalogue);
        return Err(anyhow!("cannot make '{name}' of archived events: its query gives another metric: {changes}"))
            .hint("name the file with the query that made it: --metrics FILE")
            .exit_code(ExitCode::Usage);
    }
    Ok(query)
}

/// What the user says of the times of events where it is not what was kept: the flag, and both its values.
fn differing_time(args: &BeneathArgs, kept: &KeptQuery) -> Option<(&'static str, String, String)> {
    let format =
        |format: TimeFormatArg| format.to_possible_value().map_or(String::new(), |value| value.get_name().into());
    let said = [
        ("--watermark-delay", args.watermark_delay.map(|delay| delay.to_string()), kept.watermark_delay.to_string()),
        ("--time-field", args.time_field.clone(), kept.time_field.clone()),
        ("--time-format", args.time_format.map(format), format(kept.time_format)),
    ];
    said.into_iter().find_map(|(flag, said, was)| said.filter(|said| *said != was).map(|said| (flag, said, was)))
}

/// The query of this name in the file of metrics, if one is given.
fn query_of_file(args: &BeneathArgs, name: &str) -> anyhow::Result<Option<KeptQuery>> {
    let Some(path) = &args.metrics else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read --metrics '{}'", path.display()))
        .exit_code(ExitCode::Usage)?;
    let texts = crate::plan::file::parse(&text)
        .with_context(|| format!("cannot take --metrics '{}'", path.display()))
        .exit_code(ExitCode::Usage)?;
    let names: Vec<&str> = texts.iter().filter_map(|text| text.name.as_deref()).collect();
    let Some(text) = texts.iter().find(|text| text.name.as_deref() == Some(name)) else {
        return Err(anyhow!("'{}' has no metric '{name}'", path.display()))
            .hint(format!("it has {}", names.join(", ")))
            .exit_code(ExitCode::Usage);
    };
    let mut text = MetricText { to: None, ..text.clone() };
    text.allowed_lateness = text.allowed_lateness.or_else(|| args.allowed_lateness.clone());
    Ok(Some(KeptQuery {
        text,
        watermark_delay: args.watermark_delay.unwrap_or(WATERMARK_DELAY),
        max_future: Some(MAX_FUTURE),
        time_field: args.time_field.clone().unwrap_or_else(|| "timestamp".to_owned()),
        time_format: args.time_format.unwrap_or(TimeFormatArg::Auto),
    }))
}

fn plan_of(text: &MetricText) -> anyhow::Result<Plan> {
    let plan = Plan::build(std::slice::from_ref(text));
    let hint = plan.as_ref().err().and_then(crate::plan::error::PlanError::hint);
    plan.hint_if(hint).exit_code(ExitCode::Usage)
}

fn catalogue_of(text: &MetricText) -> anyhow::Result<Catalogue> {
    let plan = plan_of(text)?;
    Ok(Catalogue::of(text, &plan.schemas[0], &plan.queries[0].functions))
}

/// What windows made of events lack, or have in another group, in lines; nothing if that is nothing.
fn told_made(made: &Summary) -> String {
    let mut told = String::new();
    if made.input.rejected() > 0 {
        let lines = counted(made.input.rejected(), "line");
        let first = made.first_reject.as_ref().map_or(String::new(), |first| format!("; the first is {first}"));
        told += &format!("evquery: {lines} of the archive rejected{first}\n");
    }
    let overflowed: u64 = made.metrics.iter().map(|(_, counts)| counts.overflowed).sum();
    if overflowed > 0 {
        let events = counted(overflowed, "archived event");
        told += &format!("evquery: {events} in the group \"__other__\", as --max-groups of the metric has it\n");
    }
    told
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::archive::ArchiveError;
    use crate::cli::exit::report;
    use crate::pipeline::error::PipelineError;
    use crate::pipeline::summary::FirstReject;
    use crate::source::SourceError;
    use crate::stats::{InputCounts, MetricCounts};

    #[test]
    fn where_retention_was_faster_the_archive_is_asked_once_more() {
        let dropped = || {
            let path = PathBuf::from("A/dt=2026-02-16/hour=10/orders-1.parquet");
            let source = Box::new(ArchiveError::Dropped { path, kept_from: Some(Timestamp(0)) });
            let error = SourceError::Archive { name: "archive:A[orders 0]".to_owned(), source };
            Err::<u32, _>(explained_pipeline(PipelineError::Source(error))).context("cannot make 'm' of events")
        };
        let answer = |fails: u32, other: bool| {
            let asked = Cell::new(0);
            let answered = again_where_dropped(true, || {
                asked.set(asked.get() + 1);
                match asked.get() <= fails {
                    true if other => Err(anyhow!("the disk is full")),
                    true => dropped(),
                    false => Ok(7),
                }
            });
            (asked.get(), answered)
        };
        assert!(matches!(answer(0, false), (1, Ok(7))));
        assert!(matches!(answer(1, false), (2, Ok(7))));
        assert!(matches!(answer(1, true), (1, Err(_))));
        let (asked, answered) = answer(9, false);
        assert_eq!(asked, 2);
        assert_eq!(
            report("evquery", &answered.unwrap_err()),
            "evquery: cannot make 'm' of events: cannot read 'archive:A[orders 0]': cannot read \
             'A/dt=2026-02-16/hour=10/orders-1.parquet': retention has dropped it meanwhile, and the archive begins at \
             '1970-01-01T00:00:00.000Z' now\n\
             hint: run it again: it begins where retention has come to; a --start before that is to be moved there\n"
        );
    }

    #[test]
    fn what_windows_of_events_lack_is_told_and_nothing_else() {
        let metrics = vec![("m".to_owned(), MetricCounts { used: 9, late: 2, ..MetricCounts::default() })];
        let mut made = Summary { metrics, ..Summary::default() };
        assert_eq!(told_made(&made), "");
        made.input = InputCounts { malformed: 1, future: 1, ..InputCounts::default() };
        made.first_reject = Some(FirstReject { input: "a".into(), line: 7, reason: "no time".into() });
        made.metrics[0].1.overflowed = 1;
        assert_eq!(
            told_made(&made),
            "evquery: 2 lines of the archive rejected; the first is 'a' line 7: no time\n\
             evquery: 1 archived event in the group \"__other__\", as --max-groups of the metric has it\n"
        );
    }
}
