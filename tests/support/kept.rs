//! What stores hold, point by point, and whether two hold the same.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evkit::store::{Point, Reader, Series, StoredMetric};
use evkit::time::Timestamp;

/// What points say, by metric, group and window; and their revisions.
pub type Points = BTreeMap<String, (String, u32)>;

/// Hands every point of a store to `see`.
pub fn each_point(path: &Path, mut see: impl FnMut(&StoredMetric, &Series, Point)) {
    let reader = Reader::open(path).unwrap();
    for metric in reader.metrics().unwrap() {
        for series in reader.series(metric.id).unwrap() {
            let all = (Timestamp::MIN, Timestamp::MAX);
            reader.points(&metric, series.id, all, |point| see(&metric, &series, point)).unwrap();
        }
    }
}

/// Every point that a store has.
pub fn points(path: &Path) -> Points {
    let mut points = Points::new();
    each_point(path, |metric, series, point| {
        let (name, window) = (&metric.catalogue.name, point.window);
        let place = format!("{name} {:?} {} {}", series.groups, window.start, window.end);
        let form = if point.is_final { "final" } else { "open" };
        points.insert(place, (format!("{:?} {:?} {form}", point.values, point.rank), point.revision));
    });
    points
}

/// Panics with what differs, unless the points of both stores say the same, however often they were revised.
#[track_caller]
pub fn assert_same(kept: &Path, straight: &Path, told: &str) {
    let (kept, straight) = (points(kept), points(straight));
    let of = |points: &Points, place: &String| points.get(place).map(|(text, _)| text.clone());
    let places: BTreeSet<&String> = kept.keys().chain(straight.keys()).collect();
    let shown = |place: &&String| format!("{place}: {:?} {:?}", of(&kept, place), of(&straight, place));
    let different: Vec<String> =
        places.iter().filter(|place| of(&kept, place) != of(&straight, place)).map(shown).collect();
    let some = different.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    let count = (different.len(), straight.len());
    assert!(
        different.is_empty(),
        "{told}: {} of {} points differ; kept, and by a straight run:\n{some}",
        count.0,
        count.1
    );
}
