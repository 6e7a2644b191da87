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

use hashbrown::HashMap;

use crate::cli::evquery::{Judge, Rows, config, in_words};
use crate::cli::exit::{ExitCode, printable};
use crate::cli::signals::StopRequest;
use crate::metric::Metric;
use crate::query::{Asked, Question, QuestionError};
use crate::sink;
use crate::store::{Extent, Metrics, News, StoredMetric};
use crate::time::Timestamp;
use crate::window::key::key_of;

/// Points that are remembered.
const SHOWN_MAX: usize = 1 << 20;

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
        let mut follower = Follower { asked, metric, stop, shown, begun_from, since: moment };
        if let Some(range) = range {
            in_words(follower.read(std::slice::from_mut(reader), range))?;
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
        let mut is_away = false;
        while self.stop.exit_code().is_none() && !reader_gone.load(Ordering::Relaxed) {
            match self.news(&mut readers) {
                Ok(None) => is_away = false,
                Ok(Some((news, question))) => {
                    is_away = false;
                    judge.look(&news);
                    rows.take(&news)?;
                    if judge.found.is_some() {
                        rows.finish()?;
                        return judge.verdict(&question);
                    }
                }
                // What has come meanwhile is shown when the server is back.
                Err(QuestionError::Store(error)) if error.is_transient() => {
                    if !std::mem::replace(&mut is_away, true) {
                        // Without a stderr there is nobody to tell.
                        let _ = writeln!(std::io::stderr(), "evquery: {}; asking again", printable(&error.to_string()));
                    }
                }
                Err(error) => return in_words(Err(error)),
            }
            std::thread::sleep(M::PAUSE);
        }
        rows.finish()?;
        Ok(self.stop.exit_code().unwrap_or(ExitCode::Ok))
    }

    /// What has come since the last look, and was not shown yet; `None` where nothing has.
    fn news<M: Metrics>(&mut self, readers: &mut [M; 1]) -> Result<Option<(Vec<Metric>, Question)>, QuestionError> {
        let news = readers[0].news(&self.metric, Some(self.since))?;
        let mut found = None;
        if let Some(range) = self.range_of(news, &mut readers[0])? {
            readers[0].hold()?;
            found = Some(self.read(readers, range)?);
            readers[0].release()?;
        }
        self.since = news.moment;
        Ok(found)
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

    /// The rows whose windows start within this range, both ends included, and that were not shown yet as they are; they now were.
    fn read<M: Metrics>(
        &mut self,
        readers: &mut [M],
        (first, last): (Timestamp, Timestamp),
    ) -> Result<(Vec<Metric>, Question), QuestionError> {
        let (mut series, mut extent) = (Vec::new(), None);
        if let Some(known) = readers[0].look(&self.metric.catalogue.name)? {
            self.go_on_with(known.metric, &readers[0])?;
            (series, extent) = (known.series, known.extent);
        }
        let first = extent.map_or(first, |extent| first.max(extent.first));
        let until = Timestamp(last.0.saturating_add(1));
        let asked = Asked { from: Some(first), until: Some(until), ..self.asked.clone() };
        let question = Question::of(&asked, &self.metric, &series, extent)?;
        let mut news = Vec::new();
        crate::query::answer(&question, readers, |some| {
            news.extend(some);
            true
        })?;
        // Only now it is sure that they will be shown.
        news.retain(|row| self.shown.is_news(row));
        Ok((news, question))
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
