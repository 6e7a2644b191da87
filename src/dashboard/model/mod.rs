//! What evtop knows of a stream of results: its metrics, their groups and histories, and the stream itself.
//!
//! Pure: lines and the clock's readings are handed in. Bounded: see [`Limits`]. Knows nothing of screens.

use std::collections::BTreeMap;

use crate::dashboard::line::{Line, Row};
use crate::dashboard::model::metric::MetricModel;
use crate::dashboard::model::stream::StreamModel;
use crate::time::{Duration, Timestamp};

pub mod columns;
pub mod metric;
pub mod ranking;
pub mod series;
pub mod stream;

/// How much is kept. What is beyond is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Metrics.
    pub metrics: usize,
    /// Groups of a metric.
    pub series: usize,
    /// Points of a metric, of all its groups together: they share them evenly.
    pub points: usize,
    /// Points of a group, at least; so a metric may have `series * points_min` of them.
    pub points_min: usize,
    /// Points of a group, at most.
    pub points_max: usize,
}

impl Default for Limits {
    /// A point takes some 100 bytes: 6 MB for a metric that uses all of its room, 200 MB for all of them.
    fn default() -> Limits {
        Limits { metrics: 32, series: 2000, points: 60_000, points_min: 30, points_max: 600 }
    }
}

/// What is known of a stream.
#[derive(Debug, Clone, Default)]
pub struct Model {
    limits: Limits,
    /// Names of columns that are groups whatever they hold, by metric.
    groups: BTreeMap<String, Vec<String>>,
    metrics: Vec<MetricModel>,
    /// What is known of the stream itself.
    pub stream: StreamModel,
}

/// The window that fires next, and what it waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting<'a> {
    /// Its metric.
    pub metric: &'a str,
    /// Its end.
    pub end: Timestamp,
    /// How far the watermark must still move.
    pub missing: Duration,
}

impl Model {
    /// Knows nothing yet. `groups` names columns that are groups whatever they hold, by metric.
    pub fn new(limits: Limits, groups: BTreeMap<String, Vec<String>>) -> Model {
        Model { limits, groups, ..Model::default() }
    }

    /// The metrics in the order of their first rows.
    pub fn metrics(&self) -> &[MetricModel] {
        &self.metrics
    }

    /// The metric of this name, once a row of it has come.
    pub fn metric(&self, name: &str) -> Option<&MetricModel> {
        self.metrics.iter().find(|metric| metric.name() == name)
    }

    /// Takes a line in that came at `arrival`; None where the clock is of no account.
    pub fn apply(&mut self, line: &Line, arrival: Option<Timestamp>) {
        self.stream.count(line, arrival);
        if let Line::Row(row) = line {
            self.apply_row(row);
        }
    }

    /// Which window fires next, as far as the windows and the watermark tell it.
    pub fn waiting(&self) -> Option<Waiting<'_>> {
        let watermark = self.stream.watermark?;
        let waits = self.metrics.iter().filter_map(|metric| {
            let (end, missing) = metric.missing(watermark)?;
            Some(Waiting { metric: metric.name(), end, missing })
        });
        waits.min_by_key(|waiting| waiting.end)
    }

    fn apply_row(&mut self, row: &Row) {
        let known = self.metrics.iter().position(|metric| metric.name() == row.metric);
        let index = match known {
            Some(index) => index,
            None if self.metrics.len() >= self.limits.metrics => {
                self.stream.rows_not_kept += 1;
                return;
            }
            None => {
                let groups = self.groups.get(&row.metric).cloned().unwrap_or_default();
                self.metrics.push(MetricModel::new(&row.metric, groups, self.limits));
                self.metrics.len() - 1
            }
        };
        self.metrics[index].apply(row);
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Streams of lines for tests.

    use super::*;
    use crate::dashboard::line::decode;

    /// A model that has seen these lines, without a clock.
    pub fn model_of(text: &str) -> Model {
        let mut model = Model::default();
        feed(&mut model, text);
        model
    }

    /// Shows the model more lines.
    pub fn feed(model: &mut Model, text: &str) {
        text.lines().filter_map(|line| decode(line.as_bytes())).for_each(|line| model.apply(&line, None));
    }

    /// A row of the one-minute window that starts `minute` minutes after midnight.
    pub fn row(metric: &str, minute: i64, cells: &str) -> String {
        let time = |minute: i64| Timestamp(1_767_225_600_000_000 + minute * 60_000_000);
        let (start, end) = (time(minute), time(minute + 1));
        format!("{{\"metric\":\"{metric}\",\"window_start\":\"{start}\",\"window_end\":\"{end}\",{cells}}}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{feed, model_of, row};
    use super::*;

    #[test]
    fn metrics_are_discovered_and_bounded() {
        let lines: String = (0..40).map(|index| row(&format!("m{index}"), 0, "\"n\":1")).collect();
        let model = model_of(&lines);
        assert_eq!((model.metrics().len(), model.stream.rows, model.stream.rows_not_kept), (32, 40, 8));
        assert_eq!(model.metrics()[0].name(), "m0");
        assert!(model.metric("m31").is_some() && model.metric("m32").is_none());
    }

    #[test]
    fn the_next_window_is_told_from_the_last_two() {
        let mut model = model_of(&(row("m", 0, "\"n\":1") + &row("m", 1, "\"n\":1")));
        assert_eq!(model.waiting(), None, "no watermark yet");
        let mut check = |watermark: &str, end: &str, missing: i64| {
            feed(&mut model, &format!("{{\"watermark\":\"{watermark}\"}}\n"));
            let waiting = model.waiting().unwrap();
            assert_eq!((waiting.end.to_string().as_str(), waiting.missing.0), (end, missing * 1_000_000));
        };
        check("2026-01-01T00:02:10Z", "2026-01-01T00:03:00.000Z", 50);
        check("2026-01-01T00:07:00Z", "2026-01-01T00:08:00.000Z", 60);
    }

    #[test]
    fn no_line_makes_it_panic() {
        // splitmix64, seeded; lines are cut and garbled rows.
        let mut state = 7u64;
        let mut random = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
        };
        let cells = [
            "\"g\":\"a\"",
            "\"g\":null",
            "\"g\":7",
            "\"n\":1",
            "\"n\":null",
            "\"n\":\"x\"",
            "\"t\":[1]",
            "\"revision\":1",
            "\"final\":false",
            "\"retracted\":true",
            "\"rank\":2",
        ];
        let limits = Limits { metrics: 2, series: 3, points: 6, points_min: 1, points_max: 4 };
        let mut model = Model::new(limits, BTreeMap::new());
        for _ in 0..20_000 {
            let count = random() as usize % 5;
            let some: Vec<&str> = (0..count).map(|_| cells[random() as usize % cells.len()]).collect();
            let line = row(
                ["a", "b", "c"][random() as usize % 3],
                random() as i64 % 8,
                &(some.join(",") + if count > 0 { ",\"z\":1" } else { "\"z\":1" }),
            );
            let cut = if random() % 50 == 0 { random() as usize % line.len() } else { line.len() };
            feed(&mut model, &line[..cut]);
            for metric in model.metrics() {
                assert!(metric.series_count() <= 3);
                let points: usize = metric.series().map(|series| series.points().len()).sum();
                assert!(points <= 12 && metric.series().all(|series| !series.points().is_empty()));
                assert_eq!(metric.current().is_some(), points > 0);
            }
        }
    }
}
