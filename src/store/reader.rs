//! Reading: what the store has, and its points and roll-ups in order, while others write.
//!
//! Between `begin` and `end` a reader sees one commit and nothing after it. Points are handed out one by one from the
//! bytes of their chunk; no more than a chunk is in memory. Knows nothing of what is made of them.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::store::catalogue::{Catalogue, Grain};
use crate::store::entry;
use crate::store::error::{Fault, Inner, StoreError};
use crate::store::metrics::{Extent, Known, Metrics, News, Point, Points, Series, StoredMetric};
use crate::store::payload::Form;
use crate::store::{chunks, connection, ownership};
use crate::time::{Timestamp, Window};
use crate::window::key::read_key;

/// A connection that reads.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

/// What commits changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The last commit.
    pub number: u64,
    /// Whether some changes after the given commit are forgotten: read everything anew.
    pub is_incomplete: bool,
    /// The number of each changed metric, and between which starts of windows it changed, both included; oldest first.
    pub ranges: Vec<(i64, Timestamp, Timestamp)>,
}

impl Reader {
    /// Opens the store at `path`.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        Ok(Reader { path: path.to_path_buf(), connection: connection::for_reading(path)? })
    }

    /// Opens up to `count` readers that see the same commit, to read side by side. Where writers are too quick for that, fewer.
    pub fn open_together(path: &Path, count: usize) -> Result<Vec<Reader>, StoreError> {
        const ATTEMPTS: usize = 20;
        let mut readers = (0..count.max(1)).map(|_| Reader::open(path)).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..ATTEMPTS {
            let commits = readers.iter().map(Reader::begin).collect::<Result<Vec<_>, _>>()?;
            if commits.iter().all(|commit| *commit == commits[0]) {
                return Ok(readers);
            }
            readers.iter().try_for_each(Reader::end)?;
        }
        readers.truncate(1);
        readers[0].begin()?;
        Ok(readers)
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on, and until `end`, sees the store as the commit of the number given left it.
    pub fn begin(&self) -> Result<u64, StoreError> {
        self.read(|| {
            self.connection.execute_batch("BEGIN")?;
            // The first look takes the snapshot.
            Ok(self.connection.query_row("SELECT commits FROM meta", [], |row| row.get::<_, i64>(0))? as u64)
        })
    }

    /// Sees each commit at once again.
    pub fn end(&self) -> Result<(), StoreError> {
        self.read(|| Ok(self.connection.execute_batch("ROLLBACK")?))
    }

    /// All metrics, by name.
    pub fn metrics(&self) -> Result<Vec<StoredMetric>, StoreError> {
        self.read(|| metrics(&self.connection))
    }

    /// The metric of this name.
    pub fn metric(&self, name: &str) -> Result<Option<StoredMetric>, StoreError> {
        self.read(|| Ok(metrics_named(&self.connection, Some(name))?.pop()))
    }

    /// All series of a metric, in no particular order.
    pub fn series(&self, metric: i64) -> Result<Vec<Series>, StoreError> {
        self.read(|| series(&self.connection, metric))
    }

    /// Over which time these series have points, or roll-ups where the points were dropped.
    pub fn extent(&self, metric: &StoredMetric, series: &[Series]) -> Result<Option<Extent>, StoreError> {
        let catalogue = &metric.catalogue;
        let of_grain = |grain: Grain| -> Inner<Option<Extent>> {
            let mut all: Option<Extent> = None;
            for Series { id, .. } in series {
                let found = extent_of(&self.connection, catalogue, *id, grain)?;
                all = all.into_iter().chain(found).reduce(Extent::and);
            }
            Ok(all)
        };
        self.read(|| {
            let points = of_grain(Grain::Points)?;
            // Roll-ups say more where points were dropped only.
            let finest = catalogue.finest_roll_ups().filter(|_| metric.kept_from.is_some());
            let Some((grain, length)) = finest.and_then(|grain| Some((grain, grain.length()?))) else {
                return Ok(points);
            };
            Ok(Extent::with_roll_ups(points, of_grain(grain)?, length))
        })
    }

    /// Calls `see` with window, partial and whether it has fired of each point of a series that starts from `from` to before `until`: of its roll-ups,
    /// where those are of this grain, and of the points that are in none because their windows have not fired. These start at
    /// `open_from` or later. The partial is of `Catalogue::states`.
    pub fn partials(
        &self,
        metric: &StoredMetric,
        series: i64,
        grain: Grain,
        (from, until, open_from): (Timestamp, Timestamp, Timestamp),
        mut see: impl FnMut(Window, &[u8], bool) -> Result<(), crate::aggregate::Error>,
    ) -> Result<(), StoreError> {
        let form = Form::of(&metric.catalogue);
        self.read(|| {
            let (connection, catalogue) = (&self.connection, &metric.catalogue);
            each_entry(connection, catalogue, series, grain, (from.0, until.0), |entry| {
                if let Some(state) = form.state(grain, entry)? {
                    see(entry.window(), state, entry.is_final)?;
                }
                Ok(())
            })?;
            let open_from = from.max(open_from);
            if grain == Grain::Points || open_from >= until {
                return Ok(());
            }
            each_entry(connection, catalogue, series, Grain::Points, (open_from.0, until.0), |entry| {
                if let Some(state) = form.state(Grain::Points, entry)?.filter(|_| !entry.is_final) {
                    see(entry.window(), state, false)?;
                }
                Ok(())
            })
        })
    }

    /// Calls `see` with each point of a series whose window starts from `from` to before `until`, in order.
    pub fn points(
        &self,
        metric: &StoredMetric,
        series: i64,
        (from, until): (Timestamp, Timestamp),
        mut see: impl FnMut(Point),
    ) -> Result<(), StoreError> {
        let mut form = Form::of(&metric.catalogue);
        self.read(|| {
            let (connection, catalogue) = (&self.connection, &metric.catalogue);
            each_entry(connection, catalogue, series, Grain::Points, (from.0, until.0), |entry| {
                see(form.point(entry)?);
                Ok(())
            })
        })
    }

    /// What was changed after commit `since`.
    pub fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        self.read(|| {
            let number: i64 = self.connection.query_row("SELECT commits FROM meta", [], |row| row.get(0))?;
            let mut statement = self.connection.prepare_cached(
                "SELECT metric, first, last FROM changes WHERE number > ?1 AND number <= ?2 ORDER BY number, metric",
            )?;
            let ranges = statement.query_map(params![since as i64, number], |row| {
                Ok((row.get(0)?, Timestamp(row.get(1)?), Timestamp(row.get(2)?)))
            })?;
            let kept = crate::store::writer::CHANGES_KEPT as u64;
            Ok(Changes {
                number: number as u64,
                is_incomplete: (number as u64).saturating_sub(since) > kept,
                ranges: ranges.collect::<Result<_, _>>()?,
            })
        })
    }

    /// Size of the store in bytes, the log of what was committed last not counted.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        self.read(|| {
            let number = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            Ok((number("page_count")? * number("page_size")?) as u64)
        })
    }

    fn read<T>(&self, work: impl FnOnce() -> Inner<T>) -> Result<T, StoreError> {
        work().map_err(|fault| fault.at("read", &self.path))
    }
}

impl Metrics for Reader {
    fn named(&self) -> String {
        format!("the store '{}'", self.path.display())
    }

    fn place_of(&self, _grain: Grain) -> String {
        self.path.display().to_string()
    }

    fn names(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(self.metrics()?.into_iter().map(|metric| metric.catalogue.name).collect())
    }

    fn look(&mut self, name: &str) -> Result<Option<Known>, StoreError> {
        let Some(metric) = self.metric(name)? else { return Ok(None) };
        let series = self.series(metric.id)?;
        let extent = self.extent(&metric, &series)?;
        Ok(Some(Known { metric, series, extent }))
    }

    fn hold(&mut self) -> Result<(), StoreError> {
        self.begin().map(drop)
    }

    fn release(&mut self) -> Result<(), StoreError> {
        self.end()
    }

    fn news(&mut self, metric: &StoredMetric, since: Option<u64>) -> Result<News, StoreError> {
        let changes = self.changes(since.unwrap_or_default())?;
        let moment = changes.number;
        if since.is_none() {
            return Ok(News { moment, range: None, is_whole: false });
        }
        // A metric that was reset has another number.
        let named = self.metric(&metric.catalogue.name)?;
        if let Some(named) = named.filter(|named| changes.is_incomplete || named.id != metric.id) {
            let extent = self.extent(&named, &self.series(named.id)?)?;
            return Ok(News { moment, range: extent.map(|extent| (extent.first, extent.last)), is_whole: true });
        }
        let ranges = changes.ranges.iter().filter(|(id, ..)| *id == metric.id);
        let first = ranges.clone().map(|(_, first, _)| *first).min();
        let last = ranges.map(|(_, _, last)| *last).max();
        Ok(News { moment, range: first.zip(last), is_whole: false })
    }

    const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

    fn count(&mut self, metric: &StoredMetric) -> Result<u64, StoreError> {
        Ok(metric.points)
    }

    fn query_of(&mut self, metric: &StoredMetric) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|| ownership::query_of(&self.connection, metric.id, &metric.catalogue.name))
    }
}

impl Points for Reader {
    fn partials(
        &mut self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        grain: Grain,
        range: (Timestamp, Timestamp, Timestamp),
        mut see: impl FnMut(usize, Window, &[u8]) -> Result<(), crate::aggregate::Error>,
    ) -> Result<(), StoreError> {
        for (place, (id, _)) in series.iter().enumerate() {
            Reader::partials(self, metric, *id, grain, range, |window, partial, _| see(place, window, partial))?;
        }
        Ok(())
    }

    fn points(
        &mut self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        range: (Timestamp, Timestamp),
        mut see: impl FnMut(usize, Point),
    ) -> Result<(), StoreError> {
        for (place, (id, _)) in series.iter().enumerate() {
            Reader::points(self, metric, *id, range, |point| see(place, point))?;
        }
        Ok(())
    }
}

/// All metrics that were not dropped, by name.
pub(crate) fn metrics(connection: &Connection) -> Inner<Vec<StoredMetric>> {
    metrics_named(connection, None)
}

/// Those of this name, or all.
fn metrics_named(connection: &Connection, name: Option<&str>) -> Inner<Vec<StoredMetric>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, catalogue, points, refused, kept_from, rolled_from FROM metrics
         WHERE name IS NOT NULL AND (?1 IS NULL OR name = ?1) ORDER BY name",
    )?;
    let mut rows = statement.query([name])?;
    let mut metrics = Vec::new();
    while let Some(row) = rows.next()? {
        let time = |index| row.get::<_, i64>(index).map(|time| (time > i64::MIN).then_some(Timestamp(time)));
        let (name, text): (String, String) = (row.get(1)?, row.get(2)?);
        let catalogue = serde_json::from_str(&text)
            .map_err(|error| Fault::Damaged(format!("the catalogue of '{name}' cannot be read: {error}")))?;
        metrics.push(StoredMetric {
            id: row.get(0)?,
            catalogue,
            points: row.get::<_, i64>(3)? as u64,
            refused: row.get::<_, i64>(4)? as u64,
            kept_from: time(5)?,
            rolled_from: time(6)?,
        });
    }
    Ok(metrics)
}

/// All series of a metric.
pub(crate) fn series(connection: &Connection, metric: i64) -> Inner<Vec<Series>> {
    let mut statement = connection.prepare_cached("SELECT id, key FROM series WHERE metric = ?1")?;
    let mut rows = statement.query([metric])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let key = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let groups = read_key(key).ok_or_else(|| Fault::Damaged("the key of a series cannot be read".into()))?;
        all.push(Series { id: row.get(0)?, groups });
    }
    Ok(all)
}

/// Calls `see` with the entries of a series that start from `from` to before `until`, in order.
pub(crate) fn each_entry(
    connection: &Connection,
    catalogue: &Catalogue,
    series: i64,
    grain: Grain,
    (from, until): (i64, i64),
    mut see: impl FnMut(&entry::Entry<'_>) -> Inner<()>,
) -> Inner<()> {
    let grid = catalogue.grid(grain);
    let last = until.saturating_sub(1);
    chunks::each(connection, series, grain, grid.chunk(from.max(i64::MIN + grid.span)), last, |start, chunk| {
        for entry in entry::entries(&grid, start, chunk)? {
            if entry.start >= from && (entry.start < until || until == i64::MAX) {
                see(&entry)?;
            }
        }
        Ok(())
    })
}

/// The extent of one series in one grain.
fn extent_of(connection: &Connection, catalogue: &Catalogue, series: i64, grain: Grain) -> Inner<Option<Extent>> {
    // Together they would be looked for in all chunks.
    let edge = |query| -> Inner<Option<i64>> {
        let mut statement = connection.prepare_cached(query)?;
        Ok(statement.query_row(params![series, grain as i64], |row| row.get(0))?)
    };
    let first = edge("SELECT min(start) FROM chunks WHERE series = ?1 AND grain = ?2")?;
    let last = edge("SELECT max(start) FROM chunks WHERE series = ?1 AND grain = ?2")?;
    let Some((first, last)) = first.zip(last) else { return Ok(None) };
    let grid = catalogue.grid(grain);
    let mut data = Vec::new();
    chunks::load(connection, series, grain, first, &mut data)?;
    let Some(first) = entry::entries(&grid, first, &data)?.first().map(entry::Entry::window) else { return Ok(None) };
    chunks::load(connection, series, grain, last, &mut data)?;
    let Some(last) = entry::entries(&grid, last, &data)?.last().copied() else { return Ok(None) };
    let window = last.window();
    Ok(Some(Extent {
        first: first.start,
        last: window.start,
        end: window.end,
        complete_until: if last.is_final { window.end } else { window.start },
    }))
}
