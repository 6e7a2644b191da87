//! `--follow`: rows as they are stored, until a signal comes or the reader of stdout goes.
//!
//! The store is asked a few times a second what its last commits changed; only those windows are read. A server is asked each
//! second for its last windows. A row is written again when its point has changed. What was shown is remembered by a hash a
//! point, for a bounded number of points.
//!
//! A metric that is made anew by the same query is gone on with; where it is another query's, following ends.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::cli::evquery::{Judge, Rows, config, in_words};
use crate::cli::exit::{ExitCode, printable};
use crate::cli::signals::StopRequest;
use crate::metric::Metric;
use crate::query::{Asked, Question, QuestionError};
use crate::sink;
use crate::store::{Extent, Metrics, News, StoreError, StoredMetric};
use crate::time::Timestamp;
use crate::window::key::key_of;

/// Points that are remembered.
const SHOWN_MAX: usize = 1 << 20;

/// Rows that are read at once, about.
const ROWS_MANY: usize = 1 << 16;

/// Windows that are read at once, at first and at most.
const WINDOWS: i64 = 8;
const WINDOWS_MAX: i64 = 1 << 20;

/// Of windows that have no length, so many microseconds count as one.
const MINUTE: i64 = 60_000_000;

/// A server that fails by itself is asked so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Writes rows of new and changed points.
pub(crate) struct Follower<'a> {
    asked: &'a Asked,
    /// As it was when it was looked at last.
    metric: StoredMetric,
    stop: StopRequest,
    shown: Shown,
    /// Windows that start before this were there at first, and were not to be shown.
    begun_from: Timestamp,
    /// The moment up to which all was shown.
    since: u64,
    /// What is left of what is looked at.
    look: Option<Look>,
    /// So many windows are read at once.
    windows: i64,
}

/// News that are not all shown yet.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Between which starts of windows, both included.
    range: (Timestamp, Timestamp),
    /// The moment up to which all is shown then.
    moment: u64,
}

/// A server that does not answer, or fails.
#[derive(Debug, Default)]
struct Trouble {
    since: Option<Instant>,
    /// What was told last.
    told: Option<Told>,
}

/// What the user was told of a server.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// That it can't be reached. One that goes shows this in several ways: a broken pipe, then a connection refused.
    Away,
    /// What it said.
    Fails(String),
}

impl Trouble {
    /// Whether this may pass. A trouble that the server makes itself, and that may be for ever, has a bound.
    fn passes(&mut self, error: &StoreError, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        error.is_away() || error.is_transient() && now.duration_since(since) < PATIENCE
    }

    /// Whether this is another trouble than the one that was told last; from now on it is told.
    fn is_news(&mut self, error: &StoreError) -> bool {
        let told = if error.is_away() { Told::Away } else { Told::Fails(error.to_string()) };
        self.told.replace(told) != self.told
    }
}

impl<'a> Follower<'a> {
    /// Begins with what this reader sees, over this time: what comes after it is new. Signals are heard from here on.
    pub fn begin<M: Metrics>(
        asked: &'a Asked,
        metric: &StoredMetric,
        extent: Option<Extent>,
        reader: &mut M,
    ) -> anyhow::Result<Follower<'a>> {
        let stop = StopRequest::listen()?;
        let News { moment, range, .. } = config::in_words(reader.news(metric, None))?;
        let begun_from = asked.from.or(extent.map(|extent| extent.last)).unwrap_or(Timestamp::MIN);
        let (metric, shown) = (metric.clone(), Shown::default());
        let look = range.map(|range| Look { range, moment });
        let mut follower = Follower { asked, metric, stop, shown, begun_from, since: moment, look, windows: WINDOWS };
        while let Some(look) = follower.look {
            in_words(follower.part(std::slice::from_mut(reader), look))?;
        }
        Ok(follower)
    }

    /// Remembers a row that was shown.
    pub fn has_shown(&mut self, row: &Metric) {
        self.shown.is_news(row);
    }

    /// Writes rows until a signal comes, `--fail-if` hits, or the reader of stdout goes.
    pub fn run<M: Metrics>(
        mut self,
        mut reader: M,
        rows: &mut Rows,
        judge: &mut Judge<'_>,
    ) -> anyhow::Result<ExitCode> {
        let reader_gone = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&reader_gone);
        sink::stdout::watch_closed(move || gone.store(true, Ordering::Relaxed))?;
        config::in_words(reader.release())?;
        rows.take(&[])?;
        let mut readers = [reader];
        let mut trouble = Trouble::default();
        while self.stop.exit_code().is_none() && !reader_gone.load(Ordering::Relaxed) {
            let pauses = match self.news(&mut readers) {
                Ok(None) => {
                    trouble = Trouble::default();
                    true
                }
                Ok(Some((news, question))) => {
                    trouble = Trouble::default();
                    judge.look(&news);
                    rows.take(&news)?;
                    if judge.found.is_some() {
                        rows.finish()?;
                        return judge.verdict(&question);
                    }
                    self.look.is_none()
                }
                // What has come meanwhile is shown when the server is back.
                Err(QuestionError::Store(error)) if trouble.passes(&error, Instant::now()) => {
                    if trouble.is_news(&error) {
                        // Without a stderr there is nobody to tell.
                        let _ = writeln!(std::io::stderr(), "evquery: {}; asking again", printable(&error.to_string()));
                    }
                    true
                }
                Err(error) => return in_words(Err(error)),
            };
            if pauses {
                std::thread::sleep(M::PAUSE);
            }
        }
        rows.finish()?;
        Ok(self.stop.exit_code().unwrap_or(ExitCode::Ok))
    }

    /// What has come since the last look, and was not shown yet, or the next part of it; `None` where nothing has.
    fn news<M: Metrics>(&mut self, readers: &mut [M; 1]) -> Result<Option<(Vec<Metric>, Question)>, QuestionError> {
        readers[0].hold()?;
        let found = self.news_of_now(readers);
        let released = readers[0].release();
        // Who could not read may have nothing to release.
        let found = found?;
        released?;
        Ok(found)
    }

    fn news_of_now<M: Metrics>(
        &mut self,
        readers: &mut [M; 1],
    ) -> Result<Option<(Vec<Metric>, Question)>, QuestionError> {
        if self.look.is_none() {
            let news = readers[0].news(&self.metric, Some(self.since))?;
            let range = self.range_of(news, &mut readers[0])?;
            self.look = range.map(|range| Look { range, moment: news.moment });
            if self.look.is_none() {
                self.since = news.moment;
            }
        }
        self.look.map(|look| self.part(readers, look)).transpose()
    }

    /// Reads the next part of what is looked at, as many windows as have some ten thousand rows, more or less: the rows that were not
    /// shown yet as they are, and now were.
    fn part<M: Metrics>(
        &mut self,
        readers: &mut [M],
        Look { range: (first, last), moment }: Look,
    ) -> Result<(Vec<Metric>, Question), QuestionError> {
        let unit = self.metric.catalogue.length().map_or(MINUTE, |length| length.0.max(1));
        let (mut news, question, until) = self.read(readers, (first, last), unit.saturating_mul(self.windows))?;
        if news.len() > ROWS_MANY {
            self.windows = (self.windows / 2).max(1);
        } else if until < last && news.len() < ROWS_MANY / 4 {
            self.windows = (self.windows * 2).min(WINDOWS_MAX);
        }
        // Only now it is sure that they will be shown.
        news.retain(|row| self.shown.is_news(row));
        let next = Timestamp(until.0.saturating_add(1));
        self.look = (until < last).then_some(Look { range: (next, last), moment });
        if self.look.is_none() {
            self.since = moment;
        }
        Ok((news, question))
    }

    /// Where news are to be looked for.
    fn range_of<M: Metrics>(
        &mut self,
        news: News,
        reader: &mut M,
    ) -> Result<Option<(Timestamp, Timestamp)>, QuestionError> {
        if !news.is_whole {
            return Ok(news.range);
        }
        let before = self.metric.id;
        if let Some(known) = reader.look(&self.metric.catalogue.name)? {
            self.go_on_with(known.metric, reader)?;
        }
        // All of a metric that was made anew is new. Else what was there at first is not.
        let from = if self.metric.id == before { self.begun_from } else { Timestamp::MIN };
        Ok(news.range.map(|(first, last)| (first.max(from), last)).filter(|(first, last)| first <= last))
    }

    /// Takes the metric as it is now, maybe made anew. Fails where it is another query's.
    fn go_on_with<M: Metrics>(&mut self, metric: StoredMetric, reader: &M) -> Result<(), QuestionError> {
        let changes = metric.catalogue.differs_from(&self.metric.catalogue);
        if !changes.is_empty() {
            return Err(QuestionError::MadeAnew { metric: metric.catalogue.name, place: reader.named(), changes });
        }
        self.metric = metric;
        Ok(())
    }

    /// The rows whose windows start in the first part of this range, both ends included, of so many microseconds from the first point
    /// on; and where that part ends.
    fn read<M: Metrics>(
        &mut self,
        readers: &mut [M],
        (first, last): (Timestamp, Timestamp),
        length: i64,
    ) -> Result<(Vec<Metric>, Question, Timestamp), QuestionError> {
        let (mut series, mut extent) = (Vec::new(), None);
        if let Some(known) = readers[0].look(&self.metric.catalogue.name)? {
            self.go_on_with(known.metric, &readers[0])?;
            (series, extent) = (known.series, known.extent);
        }
        // Where nothing is there is nothing to cut.
        let (first, last) = extent.map_or((first, last), |extent| {
            let first = first.max(extent.first).min(last);
            (first, last.min(Timestamp(first.0.saturating_add(length - 1))))
        });
        let until = Timestamp(last.0.saturating_add(1));
        let asked = Asked { from: Some(first), until: Some(until), ..self.asked.clone() };
        let question = Question::of(&asked, &self.metric, &series, extent)?;
        let mut rows = Vec::new();
        crate::query::answer(&question, readers, |some| {
            rows.extend(some);
            true
        })?;
        Ok((rows, question, last))
    }
}

/// The points that were shown last, each with a hash of what it said.
#[derive(Debug, Default)]
struct Shown {
    hashes: HashMap<u64, u64>,
    order: VecDeque<u64>,
}

impl Shown {
    /// Whether this was not shown yet as it is.
    fn is_news(&mut self, row: &Metric) -> bool {
        let mut point = DefaultHasher::new();
        (row.window, key_of(&row.groups)).hash(&mut point);
        let mut said = DefaultHasher::new();
        (row.revision, row.is_final, row.rank, format!("{:?}", row.aggregates)).hash(&mut said);
        let point = point.finish();
        let before = self.hashes.insert(point, said.finish());
        if before.is_none() {
            self.order.push_back(point);
        }
        if self.order.len() > SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        before != Some(said.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::influx::InfluxError;

    #[test]
    fn a_server_that_is_away_is_asked_on_and_one_that_fails_for_two_minutes() {
        let began = Instant::now();
        let away = InfluxError::Timeout { doing: "ask", server: "s".into(), limit: PATIENCE };
        let fails = |message: &str| InfluxError::GaveUp { doing: "ask", server: "s".into(), message: message.into() };
        let refused = InfluxError::Settings { what: "x".into(), cause: "y".into() };
        let mut trouble = Trouble::default();
        for (error, after, expected) in [
            (fails("memory"), Duration::ZERO, true),
            (fails("memory"), PATIENCE - Duration::from_secs(1), true),
            (away, PATIENCE * 9, true),
            (fails("memory"), PATIENCE, false),
            (refused, Duration::ZERO, false),
        ] {
            let error = StoreError::Influx(error);
            assert_eq!(trouble.passes(&error, began + after), expected, "{error} after {after:?}");
        }
    }

    #[test]
    fn a_server_that_goes_is_told_once_however_it_shows() {
        let cut = |cause: &str| InfluxError::Connection { doing: "ask", server: "s".into(), cause: cause.into() };
        let away = InfluxError::Timeout { doing: "ask", server: "s".into(), limit: PATIENCE };
        let fails = |message: &str| InfluxError::GaveUp { doing: "ask", server: "s".into(), message: message.into() };
        let mut trouble = Trouble::default();
        for (error, expected) in [
            (cut("Broken pipe"), true),
            (cut("Connection reset"), false),
            (away, false),
            (fails("memory"), true),
            (fails("memory"), false),
            (fails("disk"), true),
            (cut("Connection refused"), true),
        ] {
            let error = StoreError::Influx(error);
            assert_eq!(trouble.is_news(&error), expected, "{error}");
        }
    }
}
