//! `--follow`: rows as they are stored, until a signal comes or the reader of stdout goes.
//!
//! The store is asked a few times a second what its last commits changed; only those windows are read. A row is written again
//! when its point has changed. What was shown is remembered by a hash a point, for a bounded number of points.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashbrown::HashMap;

use crate::cli::evquery::{Judge, Rows, config, in_words};
use crate::cli::exit::ExitCode;
use crate::cli::signals::StopRequest;
use crate::metric::Metric;
use crate::query::{Asked, Question};
use crate::sink;
use crate::store::{Reader, StoredMetric};
use crate::time::Timestamp;
use crate::window::key::key_of;

/// How often the store is asked.
const PAUSE: Duration = Duration::from_millis(200);

/// Points that are remembered.
const SHOWN_MAX: usize = 1 << 20;

/// Writes rows of new and changed points until it is told to stop.
pub(crate) fn follow(
    asked: &Asked,
    metric: &StoredMetric,
    reader: Reader,
    rows: &mut Rows,
    judge: &mut Judge<'_>,
) -> anyhow::Result<ExitCode> {
    let stop = StopRequest::listen()?;
    let reader_gone = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&reader_gone);
    sink::stdout::watch_closed(move || gone.store(true, Ordering::Relaxed))?;
    // What is asked from here on was committed after the answer.
    let mut since = config::in_words(reader.changes(0))?.number;
    config::in_words(reader.end())?;
    rows.take(&[])?;
    let mut shown = Shown::default();
    let mut readers = [reader];
    while stop.exit_code().is_none() && !reader_gone.load(Ordering::Relaxed) {
        let changes = config::in_words(readers[0].changes(since))?;
        since = changes.number;
        let ranges = changes.ranges.iter().filter(|(id, ..)| *id == metric.id);
        let from = ranges.clone().map(|(_, first, _)| *first).min();
        let until = ranges.map(|(_, _, last)| *last).max();
        if let Some((from, until)) = from.zip(until) {
            let mut news = Vec::new();
            config::in_words(readers[0].begin())?;
            let series = config::in_words(readers[0].series(metric.id))?;
            let extent = config::in_words(readers[0].extent(metric, &series))?;
            let range = (Some(from), Some(Timestamp(until.0.saturating_add(1))));
            let asked = Asked { from: range.0, until: range.1, ..asked.clone() };
            let question = in_words(Question::of(&asked, metric, &series, extent))?;
            in_words(crate::query::answer(&question, &mut readers, |some| {
                news.extend(some.into_iter().filter(|row| shown.is_news(row)));
                true
            }))?;
            config::in_words(readers[0].end())?;
            judge.look(&news);
            rows.take(&news)?;
            if judge.found.is_some() {
                rows.finish()?;
                return judge.verdict(&question);
            }
        }
        std::thread::sleep(PAUSE);
    }
    rows.finish()?;
    Ok(stop.exit_code().unwrap_or(ExitCode::Ok))
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
