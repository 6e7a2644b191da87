//! Reading metrics from InfluxDB, as the local store's reader gives them: what is there, its points and roll-ups.
//!
//! All that a question needs to be checked is one request: the metric's catalogue, and of each series the first and the last
//! point and the first roll-up, which the server finds without reading what lies between. Points are one request a
//! slice of time, ranges and series left to the server; rows are decoded as they come, so that one is in memory.
//! Knows nothing of what is made of them. A server has no snapshot: what is written while it is read is seen or not.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use crate::store::catalogue::{Catalogue, Grain, HOUR};
use crate::store::entry::Entry;
use crate::store::error::{Fault, Inner, StoreError};
use crate::store::influx::annotated::{AnswerError, Tables};
use crate::store::influx::client::{Answer, Client};
use crate::store::influx::error::InfluxError;
use crate::store::influx::flux;
use crate::store::influx::form;
use crate::store::metrics::{Extent, Known, Metrics, News, Point, Points, Series, StoredMetric};
use crate::store::payload::Form;
use crate::time::{Timestamp, Window, parse_rfc3339};
use crate::window::key::read_key;

/// Reads the metrics of one bucket.
#[derive(Debug)]
pub struct Reader {
    client: Client,
    /// The bucket of points.
    points: String,
    /// The bucket of roll-ups and catalogues.
    roll_ups: String,
    /// The tags of the series of each metric that was looked at, by their numbers, whoever has looked.
    tags: Arc<Mutex<HashMap<String, Arc<[String]>>>>,
}

const DOING: &str = "read from";

/// The columns that are read.
const COLUMNS: &[&str] = &["result", "_time", "_value", form::SERIES, "_field"];
const RESULT: usize = 0;
const TIME: usize = 1;
const VALUE: usize = 2;
const SERIES: usize = 3;
const FIELD: usize = 4;

/// Up to so many series are named to the server; of more, all are read, and those that were not asked for passed over.
const NAMED_MAX: usize = 100;

/// News are looked for in windows that start so long before the last one, in microseconds, or in the last ten.
const LOOKED_BACK: i64 = HOUR;

/// What the first look at a metric found.
#[derive(Default)]
struct Found {
    catalogue: Option<Catalogue>,
    /// Whether something of the metric is there at all, by its tag.
    series: HashMap<String, Ends>,
}

/// The first and the last of a series.
#[derive(Debug, Default, Clone)]
struct Ends {
    first: Option<Window>,
    last: Option<(Window, bool)>,
    /// Its first roll-up.
    rolled_first: Option<Window>,
    /// Its last one.
    rolled_last: Option<Window>,
    /// An end was taken back, so another one must be looked for.
    is_torn: bool,
}

impl Reader {
    /// Reads the bucket that the client's address names.
    pub fn new(client: Client) -> Reader {
        let points = client.target().address.bucket.clone();
        Reader { roll_ups: form::roll_ups_of(&points), points, client, tags: Arc::default() }
    }

    /// So many readers of that bucket, at least one, each on a connection of its own: what one has looked at the others know.
    pub fn together(client: &Client, count: usize) -> Vec<Reader> {
        let first = Reader::new(client.clone());
        let tags = Arc::clone(&first.tags);
        let other = || Reader { tags: Arc::clone(&tags), ..Reader::new(client.clone()) };
        std::iter::once(first).chain((1..count).map(|_| other())).collect()
    }

    /// The tags of the series of a metric, by their numbers.
    fn tags_of(&self, metric: &str) -> Arc<[String]> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner).get(metric).map(Arc::clone).unwrap_or_default()
    }

    /// Whether the bucket has points of this name for everybody.
    fn has_plain_points(&self, name: &str) -> Result<bool, StoreError> {
        let mut tables = self.ask(&flux::any(&self.points, name))?;
        Ok(tables.next().map_err(|error| self.broken(error))?.is_some())
    }

    fn ask(&self, flux: &str) -> Result<Tables<Answer>, StoreError> {
        let answer = self.client.query_flux(flux).map_err(StoreError::Influx)?;
        Ok(Tables::new(answer, COLUMNS))
    }

    fn broken(&self, error: AnswerError) -> StoreError {
        StoreError::Influx(self.client.broken(DOING, error))
    }

    /// A fault of what stands in the bucket.
    fn damaged(&self, fault: Fault) -> StoreError {
        let what = match fault {
            Fault::Damaged(what) => what,
            other => unreachable!("only bytes are read here: {other:?}"),
        };
        StoreError::Influx(InfluxError::Answer { doing: DOING, server: self.client.base().to_owned(), what })
    }

    /// Calls `see` with the time, field, text and series of each row of an answer.
    fn each_row(
        &self,
        flux: &str,
        mut see: impl FnMut(&str, i64, &str, &str, &str) -> Inner<()>,
    ) -> Result<(), StoreError> {
        let mut tables = self.ask(flux)?;
        while let Some(row) = tables.next().map_err(|error| self.broken(error))? {
            let seen = time_of(row.get(TIME))
                .and_then(|time| see(row.get(RESULT), time, row.get(FIELD), row.get(VALUE), row.get(SERIES)));
            seen.map_err(|fault| self.damaged(fault))?;
        }
        Ok(())
    }

    /// The catalogue of a metric, and the ends of its series.
    fn find(&self, name: &str) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let mut rows: Vec<EndRow> = Vec::new();
        self.each_row(&flux::look(&self.points, &self.roll_ups, name), |result, time, field, text, series| {
            if result == flux::CATALOGUE {
                found.catalogue = Some(form::read_catalogue(text)?.catalogue);
            } else {
                rows.push(EndRow::of(result, time, field, text, series));
            }
            Ok(())
        })?;
        let Some(catalogue) = found.catalogue.clone() else { return Ok(found) };
        let read = |rows: Vec<EndRow>, series: &mut HashMap<String, Ends>| {
            rows.into_iter().try_for_each(|row| row.put(&catalogue, series)).map_err(|fault| self.damaged(fault))
        };
        read(rows, &mut found.series)?;
        let torn: Vec<&str> =
            found.series.iter().filter(|(_, ends)| ends.is_torn).map(|(tag, _)| tag.as_str()).collect();
        if !torn.is_empty() {
            // What was taken back is skipped, which the server can't do without reading.
            let named = named(torn.iter().copied());
            let mut rows = Vec::new();
            self.each_row(
                &flux::look_closely(&self.points, &self.roll_ups, name, named.as_deref()),
                |result, time, field, text, series| {
                    rows.push(EndRow::of(result, time, field, text, series));
                    Ok(())
                },
            )?;
            read(rows, &mut found.series)?;
        }
        if found.series.values().all(|ends| ends.first.is_none()) {
            let mut rows = Vec::new();
            self.each_row(&flux::last_roll_ups(&self.roll_ups, name), |result, time, field, text, series| {
                rows.push(EndRow::of(result, time, field, text, series));
                Ok(())
            })?;
            read(rows, &mut found.series)?;
        }
        Ok(found)
    }

    /// Calls `see` with the place in `series` and each entry of a grain that starts from `from` to before `until`: of days, with their
    /// hours where these are kept. Entries of a series come in order of time.
    fn each_entry(
        &self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        grain: Grain,
        range: (i64, i64),
        mut see: impl FnMut(usize, &Entry<'_>) -> Inner<()>,
    ) -> Result<(), StoreError> {
        // A server refuses to look where no time is.
        let Some((from, until)) = flux::within(range) else { return Ok(()) };
        let catalogue = &metric.catalogue;
        // A day is the merge of its hours, where these are kept.
        let grain = if grain == Grain::Day && catalogue.has(Grain::Hour) { Grain::Hour } else { grain };
        let tags = self.tags_of(&catalogue.name);
        let tag = |id: i64| tags[id as usize].as_str();
        let places: HashMap<&str, usize> =
            series.iter().enumerate().map(|(place, (id, _))| (tag(*id), place)).collect();
        let is_all = series.len() == tags.len();
        let named = if is_all { None } else { named(series.iter().map(|(id, _)| tag(*id))) };
        let flux = match grain {
            Grain::Points => flux::points(&self.points, &catalogue.name, named.as_deref(), (from, until)),
            _ => flux::roll_ups(&self.roll_ups, &catalogue.name, named.as_deref(), (from, until)),
        };
        let (mut bytes, mut current, mut place) = (Vec::new(), String::new(), None);
        self.each_row(&flux, |_, time, _, text, series| {
            // Rows of a series follow one another.
            if current != series {
                place = places.get(series).copied();
                current.clear();
                current.push_str(series);
            }
            let Some(place) = place else { return Ok(()) };
            if !form::decode(text, &mut bytes)? {
                return Ok(());
            }
            let entry = form::read_entry(catalogue, grain, time, &bytes)?;
            if (from..until).contains(&entry.start) { see(place, &entry) } else { Ok(()) }
        })
    }
}

impl Metrics for Reader {
    fn named(&self) -> String {
        format!("the bucket '{}'", self.client.target().address)
    }

    fn place_of(&self, grain: Grain) -> String {
        if grain == Grain::Points { self.points.clone() } else { self.roll_ups.clone() }
    }

    fn names(&mut self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        self.each_row(&flux::catalogues(&self.roll_ups), |_, _, _, text, _| {
            names.push(form::read_catalogue(text)?.catalogue.name);
            Ok(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    fn why_missing(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let said = "the bucket has its points, but not what answers are made of beside them: were they written with \
                    --points-only, or by another program?";
        Ok(self.has_plain_points(name)?.then(|| said.to_owned()))
    }

    fn look(&mut self, name: &str) -> Result<Option<Known>, StoreError> {
        let found = self.find(name)?;
        let Some(catalogue) = found.catalogue else { return Ok(None) };
        let mut tags: Vec<String> = found.series.keys().cloned().collect();
        tags.sort_unstable();
        let series = tags.iter().zip(0..).map(|(tag, id)| {
            let key = form::key_of_tag(tag)?;
            let groups = read_key(&key).ok_or_else(|| Fault::Damaged(format!("the series '{tag}' has no key")))?;
            Ok(Series { id, groups })
        });
        let series = series.collect::<Inner<Vec<_>>>().map_err(|fault| self.damaged(fault))?;
        let (extent, kept_from) = extent_of(&catalogue, found.series.values());
        self.tags.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), tags.into());
        let metric = StoredMetric { id: 0, catalogue, points: 0, refused: 0, kept_from, rolled_from: None };
        Ok(Some(Known { metric, series, extent }))
    }

    fn hold(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn release(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn news(&mut self, metric: &StoredMetric, since: Option<u64>) -> Result<News, StoreError> {
        // The server keeps no account of writes: what starts late enough is looked at anew each time, and what has come behind the
        // window that was the last one then, which is the moment.
        let length = metric.catalogue.length().map_or(0, |length| length.0);
        let back = LOOKED_BACK.max(length.saturating_mul(10));
        let mut last = None;
        self.each_row(&flux::last_points(&self.points, &metric.catalogue.name), |_, time, _, _, _| {
            last = last.max(Some(time));
            Ok(())
        })?;
        let before = since.map_or(i64::MAX, |since| since as i64);
        let range = last.map(|last| (Timestamp(last.saturating_sub(back).min(before)), Timestamp(last)));
        let moment = last.map(|last| last as u64).or(since).unwrap_or(i64::MIN as u64);
        Ok(News { moment, range, is_whole: false })
    }

    const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

    fn count(&mut self, metric: &StoredMetric) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut tables = self.ask(&flux::count(&self.points, &metric.catalogue.name))?;
        while let Some(row) = tables.next().map_err(|error| self.broken(error))? {
            let of_table: Result<u64, _> = row.get(VALUE).parse();
            count += of_table
                .map_err(|_| self.damaged(Fault::Damaged(format!("the number of points is '{}'", row.get(VALUE)))))?;
        }
        Ok(count)
    }

    fn query_of(&mut self, metric: &StoredMetric) -> Result<Vec<(String, String)>, StoreError> {
        let mut query = Vec::new();
        self.each_row(&flux::catalogue(&self.roll_ups, &metric.catalogue.name), |_, _, _, text, _| {
            query = form::read_catalogue(text)?.query;
            Ok(())
        })?;
        Ok(query)
    }
}

impl Points for Reader {
    // A server finds some time of all series sooner than all of some.
    const SHARES_TIME: bool = true;

    fn partials(
        &mut self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        grain: Grain,
        (from, until, open_from): (Timestamp, Timestamp, Timestamp),
        mut see: impl FnMut(usize, Window, &[u8]) -> Result<(), crate::aggregate::Error>,
    ) -> Result<(), StoreError> {
        let form = Form::of(&metric.catalogue);
        self.each_entry(metric, series, grain, (from.0, until.0), |place, entry| {
            if let Some(state) = form.state(grain, entry)? {
                see(place, entry.window(), state)?;
            }
            Ok(())
        })?;
        let open_from = from.max(open_from);
        if grain == Grain::Points || open_from >= until {
            return Ok(());
        }
        self.each_entry(metric, series, Grain::Points, (open_from.0, until.0), |place, entry| {
            if let Some(state) = form.state(Grain::Points, entry)?.filter(|_| !entry.is_final) {
                see(place, entry.window(), state)?;
            }
            Ok(())
        })
    }

    fn points(
        &mut self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        (from, until): (Timestamp, Timestamp),
        mut see: impl FnMut(usize, Point),
    ) -> Result<(), StoreError> {
        let mut form = Form::of(&metric.catalogue);
        self.each_entry(metric, series, Grain::Points, (from.0, until.0), |place, entry| {
            see(place, form.point(entry)?);
            Ok(())
        })
    }
}

/// A row about the end of a series.
struct EndRow {
    result: String,
    time: i64,
    field: String,
    text: String,
    series: String,
}

impl EndRow {
    fn of(result: &str, time: i64, field: &str, text: &str, series: &str) -> EndRow {
        // What is of points and what of roll-ups stands behind a blank; the fields tell it, too.
        let result = result.split(' ').next().unwrap_or_default();
        let [result, field, text, series] = [result, field, text, series].map(str::to_owned);
        EndRow { result, time, field, text, series }
    }

    /// Notes it with its series. There is one row for each field, so the first of firsts and the last of lasts hold.
    fn put(self, catalogue: &Catalogue, all: &mut HashMap<String, Ends>) -> Inner<()> {
        let ends = all.entry(self.series).or_default();
        let mut bytes = Vec::new();
        if !form::decode(&self.text, &mut bytes)? {
            ends.is_torn = true;
            return Ok(());
        }
        let grain = form::grain_of_field(&self.field).unwrap_or(Grain::Points);
        let entry = form::read_entry(catalogue, grain, self.time, &bytes)?;
        let window = entry.window();
        let earliest = |known: Option<Window>, new: Window| Some(known.map_or(new, |known| known.min(new)));
        match (self.result.as_str(), grain) {
            (flux::LAST, Grain::Points) => {
                let new = (window, entry.is_final);
                ends.last = Some(ends.last.map_or(new, |known| if new.0 > known.0 { new } else { known }));
            }
            (flux::LAST, _) => ends.rolled_last = ends.rolled_last.max(Some(window)),
            (_, Grain::Hour | Grain::Day) => ends.rolled_first = earliest(ends.rolled_first, window),
            (_, Grain::Points) => ends.first = earliest(ends.first, window),
        }
        Ok(())
    }
}

/// Over which time a metric has points or roll-ups, and since when points, where roll-ups tell that there were some before.
fn extent_of<'a>(
    catalogue: &Catalogue,
    all: impl Iterator<Item = &'a Ends> + Clone,
) -> (Option<Extent>, Option<Timestamp>) {
    let points = all.clone().filter_map(|ends| {
        let (first, (last, is_final)) = (ends.first?, ends.last?);
        let complete_until = if is_final { last.end } else { last.start };
        Some(Extent { first: first.start, last: last.start, end: last.end, complete_until })
    });
    let points = points.reduce(Extent::and);
    let Some(length) = catalogue.finest_roll_ups().and_then(Grain::length) else { return (points, None) };
    let rolled = all.filter_map(|ends| {
        let first = ends.rolled_first?;
        // The last one is looked for where roll-ups are all that is left. Of it is not told how far into it points came.
        let last = ends.rolled_last.unwrap_or(first);
        Some(Extent { first: first.start, last: last.start, end: last.end, complete_until: last.end })
    });
    let extent = Extent::with_roll_ups(points, rolled.reduce(Extent::and), length);
    let kept_from = match (points, extent) {
        (Some(points), Some(extent)) if extent.first < points.first => {
            Some(Timestamp(points.first.0 - points.first.0.rem_euclid(length)))
        }
        (None, Some(extent)) => Some(extent.end),
        _ => None,
    };
    (extent, kept_from)
}

/// The tags by which a request names series; `None` where they are too many.
fn named<'a>(tags: impl ExactSizeIterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    (tags.len() <= NAMED_MAX).then(|| tags.collect())
}

/// The time of a row, in microseconds.
fn time_of(text: &str) -> Inner<i64> {
    let time = parse_rfc3339(text.as_bytes());
    time.map(|time| time.0).map_err(|error| Fault::Damaged(format!("a row has no time: {error}")))
}

#[cfg(test)]
mod tests;
