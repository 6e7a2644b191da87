//! What a question reads: metrics, their series and the time that these span, points and partials; and the traits of whatever
//! keeps them, a file or a server.
//!
//! Knows nothing of how they are kept, and of what is asked.

use std::sync::Arc;

use crate::store::catalogue::{Catalogue, Grain};
use crate::store::error::StoreError;
use crate::time::{Timestamp, Window};
use crate::value::Value;

/// Where metrics are kept.
pub trait Metrics: Points {
    /// What messages call it, such as `the store 'metrics.db'`.
    fn named(&self) -> String;

    /// Where points or roll-ups of this grain lie: a file, a bucket.
    fn place_of(&self, grain: Grain) -> String;

    /// The names of all metrics, in order.
    fn names(&mut self) -> Result<Vec<String>, StoreError>;

    /// What is to be said of a metric that is not there, beside which there are.
    fn why_missing(&mut self, _name: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// What is known of the metric of this name. Numbers of series hold until the next look at this metric.
    fn look(&mut self, name: &str) -> Result<Option<Known>, StoreError>;

    /// From now on, and until `release`, sees one state, where that is in its power.
    fn hold(&mut self) -> Result<(), StoreError>;

    /// Sees what is written again.
    fn release(&mut self) -> Result<(), StoreError>;

    /// What of a metric is new after the moment `since`; without a moment what may be taken for new later on, though it is there.
    fn news(&mut self, metric: &StoredMetric, since: Option<u64>) -> Result<News, StoreError>;

    /// How long whoever waits for news waits before asking again.
    const PAUSE: std::time::Duration;

    /// How many points a metric has, of its own grain.
    fn count(&mut self, metric: &StoredMetric) -> Result<u64, StoreError>;

    /// The query that made a metric: what decides its rows, each by its flag without a metric's name, such as `--where`, and its
    /// value. Empty where that was not kept.
    fn query_of(&mut self, metric: &StoredMetric) -> Result<Vec<(String, String)>, StoreError>;
}

/// Where the points and roll-ups of a metric are read.
///
/// A question is answered by readers side by side, each of which reads some series, or some of the time; a series goes by its number,
/// beside which stands the number of its group in the answer. Points of one series are handed out in no promised order.
pub trait Points: Send {
    /// Whether readers side by side had better share the time than the series.
    const SHARES_TIME: bool = false;

    /// Calls `see` with the place in `series`, the window and the partial of each point that starts from `range.0` to before
    /// `range.1`: of the roll-ups, where those are of this grain, and of the points that are in none because their windows have not fired.
    /// These start at `range.2` or later. The partial is of `Catalogue::states`.
    fn partials(
        &mut self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        grain: Grain,
        range: (Timestamp, Timestamp, Timestamp),
        see: impl FnMut(usize, Window, &[u8]) -> Result<(), crate::aggregate::Error>,
    ) -> Result<(), StoreError>;

    /// Calls `see` with the place in `series` and each point whose window starts from `range.0` to before `range.1`.
    fn points(
        &mut self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        range: (Timestamp, Timestamp),
        see: impl FnMut(usize, Point),
    ) -> Result<(), StoreError>;
}

/// Where news lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// The moment up to which that holds: the `since` of the next question, of which only the reader knows what it is. The number of a
    /// commit of a store, the start of a bucket's last window.
    pub moment: u64,
    /// Between which starts of windows, both included. Not all that lies there needs to be new.
    pub range: Option<(Timestamp, Timestamp)>,
    /// Whether that is all that there is: what was changed is forgotten, or the metric was dropped and its name is another's,
    /// which is to be looked at.
    pub is_whole: bool,
}

/// A metric with all that a question is checked against.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The metric.
    pub metric: StoredMetric,
    /// Its series, in no particular order.
    pub series: Vec<Series>,
    /// Over which time they have points, or roll-ups where the points were dropped.
    pub extent: Option<Extent>,
}

/// A metric that the store has.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMetric {
    /// Its number in the store.
    pub id: i64,
    /// What it is.
    pub catalogue: Catalogue,
    /// How many points it has, of its own grain.
    pub points: u64,
    /// Rows that were not stored, because retention had dropped the points of their time.
    pub refused: u64,
    /// Points that start before this were dropped.
    pub kept_from: Option<Timestamp>,
    /// Roll-ups that start before this were dropped, too.
    pub rolled_from: Option<Timestamp>,
}

/// One group of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its number in the store.
    pub id: i64,
    /// Values of the group columns.
    pub groups: Arc<[Value]>,
}

/// A point as the row was.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The window.
    pub window: Window,
    /// Values of the fields, in the catalogue's order.
    pub values: Box<[Value]>,
    /// Revision of the row.
    pub revision: u32,
    /// Rank of the row.
    pub rank: Option<u64>,
    /// Whether the window has fired.
    pub is_final: bool,
}

/// The time that points span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Start of the first window.
    pub first: Timestamp,
    /// Start of the last one.
    pub last: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// Windows that end by then have fired.
    pub complete_until: Timestamp,
}

impl Extent {
    /// The extent of both.
    pub fn and(self, other: Extent) -> Extent {
        Extent {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            end: self.end.max(other.end),
            complete_until: self.complete_until.max(other.complete_until),
        }
    }

    /// The extent of points, and of roll-ups of this length that are left where points were dropped.
    ///
    /// A roll-up begins before what it is made of and ends behind it, so it says more only where it lies before the first point.
    pub(crate) fn with_roll_ups(points: Option<Extent>, rolled: Option<Extent>, length: i64) -> Option<Extent> {
        match (points, rolled) {
            (Some(points), Some(rolled)) if rolled.first.0.saturating_add(length) <= points.first.0 => {
                Some(Extent { first: rolled.first, ..points })
            }
            (points, rolled) => points.or(rolled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roll_ups_say_more_where_they_lie_before_the_points() {
        let extent = |first: i64, end: i64| {
            let (first, end) = (Timestamp(first), Timestamp(end));
            Some(Extent { first, last: first, end, complete_until: end })
        };
        let check = |points, rolled, expected: Option<(i64, i64)>| {
            let found = Extent::with_roll_ups(points, rolled, 60);
            assert_eq!(found.map(|extent| (extent.first.0, extent.end.0)), expected);
        };
        check(extent(130, 150), extent(0, 180), Some((0, 150)));
        check(extent(60, 150), extent(0, 180), Some((0, 150)));
        check(extent(10, 150), extent(0, 180), Some((10, 150)));
        check(extent(10, 150), None, Some((10, 150)));
        check(None, extent(0, 180), Some((0, 180)));
        check(None, None, None);
    }
}
