//! A repair from an archive: the windows that have late events are found, and made anew of all their events.
//!
//! Nothing is left out as late, so whole windows come out right whatever a live run had of them, and doing it again gives the same.
//! Windows of which the archive has not all events are left as they are, and told.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::archive::manifest::State;
use crate::archive::reader::{ArchiveSource, Wanted};
use crate::cli::archive::{explained_archive, is_dropped};
use crate::cli::evwindow::archive::covered_by;
use crate::cli::evwindow::backfill;
use crate::cli::evwindow::config::Config;
use crate::cli::evwindow::repair::{RepairArgs, check_events, tell};
use crate::cli::evwindow::times::time_in_words;
use crate::cli::evwindow::{run, verdict};
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::signals::StopRequest;
use crate::partition::PartitionId;
use crate::pipeline::late::{Affected, fingerprint};
use crate::pipeline::summary::counted;
use crate::plan::{MetricText, Plan};
use crate::source::{Delivered, Polled, Source};
use crate::time::{Clock, Duration, Timestamp, Window};
use crate::window::Windows;

/// Windows that begin in one of these are made anew together.
const HOUR: Duration = Duration(3_600_000_000);

/// A span of time, of windows that touch each other.
type Span = (Timestamp, Timestamp);

/// Finds the windows that have late events, and makes them anew from the archive in `folder`.
pub fn work(
    args: &RepairArgs,
    mut config: Config,
    folder: &Path,
    clock: Arc<dyn Clock>,
    stop: &StopRequest,
) -> anyhow::Result<ExitCode> {
    check(&config.window.plan)?;
    let plan = Arc::clone(&config.window.plan);
    let look = || covered_by(folder, &plan, args.time.watermark_delay);
    let (mut state, mut covered) = look()?;
    let everything = (Timestamp::MIN, Timestamp::MAX);
    // What is found out here holds later, too: an owner's watermark only grows.
    let opened = config.store.take().map(|store| store.open_repair_over(&plan, everything, false)).transpose()?;
    let fired = opened.as_ref().map_or(Timestamp::MAX, |(_, fired)| *fired);
    // Like the store, which is open until the end, no bucket may see a backfill between two spans.
    let _held = match args.dry_run {
        true => Vec::new(),
        false => backfill::hold(folder, &config.bucket_configs()?)?,
    };
    config.buckets.clear();
    config.window.plan = Arc::new(windows_only(&plan)?);
    let mut looked = run(&mut config, stop, Arc::clone(&clock))?;
    if let Some(code) = stop.exit_code() {
        return Ok(code);
    }
    let rejected = looked.input.rejected();
    if rejected > 0 && rejected == looked.input.events_in {
        let names = config.inputs.iter().map(|input| (input.name(), rejected));
        looked.only_rejects = names.take(1).collect();
    }
    check_events(&config, &looked)?;
    let Affected { windows, lines } = &looked.affected;
    let (mut found, spans, missing) = loop {
        let found = Found::of(windows.iter().copied(), covered, fired);
        let spans = spans(&found.windows);
        match missing(folder, &state, &time_in_words(&args.as_run()), lines, &spans, &clock) {
            // Retention comes to fewer events each time, and may have come to all.
            Err(error) if is_dropped(&error) => {
                (state, covered) = look()?;
                covered = covered.or(Some((Timestamp::MAX, Timestamp::MAX)));
            }
            missing => break (found, spans, missing?),
        }
    };
    if let Some(missing) = missing {
        let all = counted(lines.len() as u64, "late event");
        return Err(anyhow!("{missing} of {all} are not in 'archive:{}' yet", folder.display()))
            .hint("repair again when they are: --archive-interval of the live run says how long events wait at most");
    }
    let mut taken_back = 0;
    if !args.dry_run {
        let make = |span: Span| {
            let mut anew = Config::new(args.as_backfill(folder, span), clock.now(), false)?;
            anew.make_anew();
            let summary = run(&mut anew, stop, Arc::clone(&clock))?;
            Ok((anew, summary))
        };
        let mut made = Vec::new();
        let mut waiting = VecDeque::from(spans);
        while let Some(span) = waiting.pop_front() {
            let (anew, summary) = match unless_dropped(span, make(span), || Ok(look()?.1))? {
                Ok(made) => made,
                Err(from) => {
                    found.left_of(span, from).into_iter().rev().for_each(|left| waiting.push_front(left));
                    continue;
                }
            };
            if let Some(code) = stop.exit_code() {
                return Ok(code);
            }
            verdict(&anew, &summary)?;
            taken_back += summary.taken_back;
            made.push(span);
        }
        found.keep_to(&made);
    }
    if !args.quiet {
        let events = looked.input.events_in - looked.input.rejected();
        let mut told = found.told(&plan, folder, covered, (events, args.dry_run));
        if taken_back > 0 {
            told.push_str(&format!("; {} taken back that they have no more", counted(taken_back, "point")));
        }
        tell(&told);
    }
    verdict(&config, &looked)
}

/// What was made of a span; where it failed and the archive has no longer all of it, the time at which that begins now.
fn unless_dropped<T>(
    span: Span,
    made: anyhow::Result<T>,
    covered: impl Fn() -> anyhow::Result<Option<Span>>,
) -> anyhow::Result<Result<T, Timestamp>> {
    let error = match made {
        Ok(made) => return Ok(Ok(made)),
        // It is found out when a file is read, or before, when the span is compared with what is covered.
        Err(error) if is_dropped(&error) || ExitCode::of(&error) == ExitCode::Usage => error,
        Err(error) => return Err(error),
    };
    match covered().map(|covered| covered.map_or(Timestamp::MAX, |(from, _)| from)) {
        Ok(from) if span.0 < from => Ok(Err(from)),
        _ => Err(error),
    }
}

/// Refuses windows that can't be told from their late events.
fn check(plan: &Plan) -> anyhow::Result<()> {
    for (query, schema) in plan.queries.iter().zip(&plan.schemas) {
        let is_global = plan.texts.iter().any(|text| text.global && text.name.as_deref() == Some(&schema.name));
        let cause = match query.windows {
            Windows::Session(_) => {
                "a late event may join sessions, and which that were is known to a run over all events only"
            }
            Windows::Aligned(_) if is_global => "its one window is all of time",
            Windows::Aligned(_) => continue,
        };
        return Err(anyhow!("cannot repair '{}' from an archive: {cause}", schema.name))
            .hint("window all events anew, under another --name, with a --watermark-delay that takes them")
            .exit_code(ExitCode::Usage);
    }
    Ok(())
}

/// The same windows, of which only is asked whether there is an event.
fn windows_only(plan: &Plan) -> anyhow::Result<Plan> {
    let only = |text: &MetricText| MetricText {
        by: None,
        agg: None,
        having: None,
        top: None,
        order_by: None,
        with_ties: false,
        ..text.clone()
    };
    let texts: Vec<MetricText> = plan.texts.iter().map(only).collect();
    Plan::build(&texts).context("cannot plan the windows that have late events")
}

/// Windows that have late events, and what can be done about them.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// Those that can be made anew, by metric.
    windows: Vec<(usize, Window)>,
    /// How many began before the archive.
    before: u64,
    /// How many the archive, or the live run, has not come to the end of.
    waiting: u64,
}

impl Found {
    fn of(all: impl Iterator<Item = (usize, Window)>, covered: Option<Span>, fired: Timestamp) -> Found {
        let mut found = Found::default();
        for (metric, window) in all {
            match covered {
                Some((from, until)) if from <= window.start && window.end <= until.min(fired) => {
                    found.windows.push((metric, window));
                }
                Some((from, _)) if window.start < from => found.before += 1,
                _ => found.waiting += 1,
            }
        }
        found
    }

    /// What can still be made of a span, where the archive begins at `from` now.
    fn left_of(&self, span: Span, from: Timestamp) -> Vec<Span> {
        let left = self.windows.iter().filter(|(_, window)| lies_in(window, &span) && from <= window.start);
        spans(&left.copied().collect::<Vec<_>>())
    }

    /// Counts windows in none of these spans among those that began before the archive: retention has come to them since.
    fn keep_to(&mut self, made: &[Span]) {
        let count = self.windows.len();
        self.windows.retain(|(_, window)| made.iter().any(|span| lies_in(window, span)));
        self.before += (count - self.windows.len()) as u64;
    }

    fn told(&self, plan: &Plan, folder: &Path, covered: Option<Span>, (events, is_dry): (u64, bool)) -> String {
        let of = |metric: usize| self.windows.iter().filter(|(of, _)| *of == metric).count() as u64;
        let windows = (0..plan.schemas.len()).filter(|metric| of(*metric) > 0);
        let windows =
            windows.map(|metric| format!("{} of '{}'", counted(of(metric), "window"), plan.schemas[metric].name));
        let windows: Vec<String> = windows.collect();
        let mut text = format!("{} read", counted(events, "late event"));
        match (&windows[..], is_dry) {
            ([], _) => text.push_str(", nothing to repair"),
            (windows, true) => text.push_str(&format!("; would make {} anew", windows.join(", "))),
            (windows, false) => text.push_str(&format!("; made {} anew", windows.join(", "))),
        }
        if self.before > 0 {
            text.push_str(&format!(
                "; {} stay as they are: 'archive:{}' has not all of their events",
                counted(self.before, "window"),
                folder.display()
            ));
        }
        if self.waiting > 0 {
            let (waiting, folder) = (counted(self.waiting, "window"), folder.display());
            let until = covered.map_or_else(|| "nothing yet".to_owned(), |(_, until)| format!("all until {until}"));
            text.push_str(&format!(
                "; {waiting} wait until the live run has fired them and they are archived ('archive:{folder}' covers {until}): \
                 repair again later"
            ));
        }
        text
    }
}

fn lies_in(window: &Window, span: &Span) -> bool {
    span.0 <= window.start && window.end <= span.1
}

/// What is made anew at once: windows that touch, unless they begin in different hours, or are longer and begin at different times. All
/// that is made of a span is in memory until its end.
fn spans(windows: &[(usize, Window)]) -> Vec<Span> {
    let mut windows: Vec<Window> = windows.iter().map(|(_, window)| *window).collect();
    windows.sort_by_key(|window| window.start);
    let mut spans: Vec<Span> = Vec::new();
    for window in windows {
        let unit = HOUR.0.max(window.end.0.saturating_sub(window.start.0));
        let part = |time: Timestamp| time.0.div_euclid(unit);
        let joins =
            |(start, end): &Span| window.end <= *end || window.start <= *end && part(window.start) == part(*start);
        match spans.last_mut().filter(|span| joins(span)) {
            Some((_, end)) => *end = window.end.max(*end),
            None => spans.push((window.start, window.end)),
        }
    }
    spans
}

/// How many of the late events within the spans are not archived, if any: they come to the archive some time after they were found
/// late, and windows made without them would look repaired.
fn missing(
    folder: &Path,
    state: &State,
    time_field: &str,
    lines: &[(Timestamp, u64)],
    spans: &[Span],
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<u64>> {
    let (mut missing, mut done) = (0, Timestamp::MIN);
    for (start, end) in spans {
        // Spans may overlap, and an event is looked for once.
        let range = &((*start).max(done), *end);
        done = *end;
        let mut wanted: HashMap<u64, u64> = HashMap::new();
        let within = lines.iter().filter(|(time, _)| range.0 <= *time && *time < range.1);
        within.for_each(|(_, line)| *wanted.entry(*line).or_default() += 1);
        let look = Wanted { range: *range, columns: None, time_field: time_field.to_owned() };
        let mut source = ArchiveSource::of(folder, state, &look, clock).map_err(explained_archive)?;
        for partition in (0..source.partitions() as u32).map(PartitionId) {
            while let Polled::Deferred(deferred) = source.poll(partition)? {
                let Delivered::Block(block) = deferred.read()? else { continue };
                for line in block.bytes.split(|&byte| byte == b'\n') {
                    if let Some(count) = wanted.get_mut(&fingerprint(line)) {
                        *count = count.saturating_sub(1);
                    }
                }
            }
        }
        missing += wanted.values().sum::<u64>();
    }
    Ok((missing > 0).then_some(missing))
}

impl RepairArgs {
    /// The run that makes the windows of a span anew.
    fn as_backfill(&self, folder: &Path, (start, until): Span) -> crate::cli::evwindow::Args {
        let mut args = self.as_run();
        let mut address = OsString::from("archive:");
        address.push(folder);
        args.inputs = vec![address];
        args.topic.start = Some(start.to_string());
        args.topic.until = Some(until.to_string());
        args.reading.rejects_to = None;
        args
    }
}

impl Config {
    /// Lets the windows of an archive be made anew with all of their events, late ones too.
    fn make_anew(&mut self) {
        self.with_late = true;
        self.window.watermark_delay = Duration(i64::MAX);
        self.outputs.clear();
        if self.store.is_some() {
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window::new(Timestamp(start), Timestamp(end))
    }

    #[test]
    fn windows_that_touch_make_one_span() {
        let of = |windows: &[(i64, i64)]| {
            let windows: Vec<_> = windows.iter().map(|(start, end)| (0, window(*start, *end))).collect();
            spans(&windows).into_iter().map(|(start, end)| (start.0, end.0)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(10, 20), (0, 5), (20, 30), (12, 14)]), [(0, 5), (10, 30)]);
        assert_eq!(of(&[(0, 60), (0, 10), (50, 60), (61, 62)]), [(0, 60), (61, 62)]);
        // Not more than an hour at once, or one longer window with those in it.
        let minutes: Vec<(i64, i64)> = (0..150).map(|n| (n * HOUR.0 / 60, (n + 1) * HOUR.0 / 60)).collect();
        assert_eq!(of(&minutes), [(0, HOUR.0), (HOUR.0, 2 * HOUR.0), (2 * HOUR.0, 5 * HOUR.0 / 2)]);
        let (day, hour) = (24 * HOUR.0, HOUR.0);
        assert_eq!(of(&[(0, day), (hour, 2 * hour), (day, 2 * day)]), [(0, day), (day, 2 * day)]);
        // Overlapping ones lie whole in a span each.
        assert_eq!(of(&[(0, hour), (hour / 2, 3 * hour / 2), (hour, 2 * hour)]), [(0, 3 * hour / 2), (hour, 2 * hour)]);
    }

    #[test]
    fn windows_are_made_anew_that_are_covered_and_have_fired() {
        let all = [(0, window(0, 10)), (0, window(10, 20)), (1, window(20, 30)), (1, window(30, 40))];
        let found = |covered: Option<(i64, i64)>, fired| {
            let covered = covered.map(|(from, until)| (Timestamp(from), Timestamp(until)));
            let Found { windows, before, waiting } = Found::of(all.into_iter(), covered, Timestamp(fired));
            (windows.len(), before, waiting)
        };
        assert_eq!(found(Some((5, 35)), i64::MAX), (2, 1, 1));
        assert_eq!(found(Some((0, 40)), 25), (2, 0, 2));
        assert_eq!(found(None, i64::MAX), (0, 0, 4));
    }

    #[test]
    fn windows_that_retention_has_come_to_meanwhile_are_told_as_ones_from_before() {
        let after = |span: (i64, i64), made: anyhow::Result<u32>, covered: Option<(i64, i64)>| {
            let covered = covered.map(|(from, until)| (Timestamp(from), Timestamp(until)));
            let span = (Timestamp(span.0), Timestamp(span.1));
            let made = unless_dropped(span, made, || Ok(covered)).map_err(|error| error.root_cause().to_string());
            made.map(|made| made.map_err(|from| from.0))
        };
        let failed = || Err(anyhow!("cannot take --start '0'")).exit_code(ExitCode::Usage);
        let away = || Err(anyhow!("no connection")).exit_code(ExitCode::Upstream);
        assert_eq!(after((0, 10), failed(), Some((5, 40))), Ok(Err(5)));
        assert_eq!(after((0, 10), failed(), None), Ok(Err(i64::MAX)));
        assert_eq!(after((0, 10), failed(), Some((0, 40))), Err("cannot take --start '0'".to_owned()));
        assert_eq!(after((0, 10), away(), Some((5, 40))), Err("no connection".to_owned()));
        assert_eq!(after((0, 10), Ok(7), Some((5, 40))), Ok(Ok(7)), "it was faster");
        let span = |from, until| (Timestamp(from), Timestamp(until));
        let windows = vec![(0, window(0, 30)), (1, window(5, 15)), (0, window(20, 30)), (1, window(20, 30))];
        let mut found = Found { windows, before: 1, waiting: 3 };
        assert_eq!(found.left_of(span(0, 30), Timestamp(6)), [span(20, 30)]);
        assert_eq!(found.left_of(span(0, 10), Timestamp(6)), []);
        found.keep_to(&[span(20, 30)]);
        let left = vec![(0, window(20, 30)), (1, window(20, 30))];
        assert_eq!(found, Found { windows: left, before: 3, waiting: 3 });
    }
}
