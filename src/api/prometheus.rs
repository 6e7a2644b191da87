//! Prometheus's text format, and the page of a group's process in it.
//!
//! Names begin with `evkit_`, hold their unit, and end in `_total` where they only grow. The same numbers give the same bytes. Knows
//! nothing of how the page is served.

use std::fmt::{Display, Write};

use crate::pipeline::group::{Histogram, Status};
use crate::stats::MetricCounts;
use crate::time::Timestamp;

/// What the format is called in HTTP.
pub const CONTENT_TYPE_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page in the making.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

/// Of what kind the numbers of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow, but begin at 0 again with the process.
    Counter,
    /// They come and go.
    Gauge,
    /// Counts of what is at most as great as the label `le`.
    Histogram,
}

/// The numbers of one name.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Page {
    /// Begins the numbers of a name.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        push(&mut self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text: &mut self.text, name }
    }

    /// The whole page.
    pub fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// Adds a number with its labels.
    pub fn add(&mut self, labels: &[(&str, &dyn Display)], number: impl Display) -> &mut Self {
        self.add_part("", labels, number)
    }

    fn add_part(&mut self, suffix: &str, labels: &[(&str, &dyn Display)], number: impl Display) -> &mut Self {
        push(self.text, format_args!("{}{suffix}", self.name));
        for (index, (label, value)) in labels.iter().enumerate() {
            push(self.text, format_args!("{}{label}=\"", if index == 0 { '{' } else { ',' }));
            self.text.push_str(&escaped(&value.to_string()));
            self.text.push('"');
        }
        push(self.text, format_args!("{} {number}\n", if labels.is_empty() { "" } else { "}" }));
        self
    }

    /// Adds a histogram of seconds.
    pub fn add_histogram(&mut self, histogram: &Histogram) {
        for (bound, count) in histogram.cumulated() {
            self.add_part("_bucket", &[("le", &seconds(bound.0.into()))], count);
        }
        self.add_part("_bucket", &[("le", &"+Inf")], histogram.count());
        self.add_part("_sum", &[], seconds(histogram.total()));
        self.add_part("_count", &[], histogram.count());
    }
}

/// The page of a process of a group whose metrics have these names.
pub fn group_page(status: &Status, metrics: &[String]) -> String {
    let mut page = Page::default();
    page.family("evkit_build_info", Kind::Gauge, "1, with the version that runs.")
        .add(&[("version", &env!("CARGO_PKG_VERSION"))], 1);
    add_events(&mut page, status, metrics);
    add_stages(&mut page, status);
    add_time(&mut page, status);
    add_open(&mut page, status, metrics);
    page.family(
        "evkit_row_latency_seconds",
        Kind::Histogram,
        "From the Kafka time of the newest record that a row waited for to the commit of the row.",
    )
    .add_histogram(&status.latency);
    page.into_text()
}

fn add_events(page: &mut Page, status: &Status, metrics: &[String]) {
    page.family("evkit_input_events_total", Kind::Counter, "Records of the input, rejected ones included.")
        .add(&[], status.input.events_in);
    page.family(
        "evkit_rejected_events_total",
        Kind::Counter,
        "Records that are no valid event, or dated in the future.",
    )
    .add(&[("reason", &"malformed")], status.input.malformed)
    .add(&[("reason", &"future")], status.input.future);
    let mut late = page.family(
        "evkit_late_events_total",
        Kind::Counter,
        "Events that came too late for every window of a metric.",
    );
    late.add(&[("stage", &"combine")], status.late).add(&[("stage", &"merge")], status.late_merged);
    let help = "What the first stage did with the events that a metric was shown.";
    let mut fates = page.family("evkit_metric_events_total", Kind::Counter, help);
    for (name, counts) in metrics.iter().zip(&status.metrics) {
        let MetricCounts { used, filtered, late, no_window, .. } = *counts;
        for (fate, count) in [("used", used), ("filtered", filtered), ("late", late), ("no_window", no_window)] {
            fates.add(&[("metric", name), ("fate", &fate)], count);
        }
    }
    page.family("evkit_rows_total", Kind::Counter, "Result rows that were committed.").add(&[], status.rows);
}

fn add_stages(page: &mut Page, status: &Status) {
    let counters = [
        ("evkit_transactions_committed_total", "Transactions that were committed.", &status.commits),
        ("evkit_transactions_lost_total", "Transactions that were lost and begun anew.", &status.lost),
        (
            "evkit_stage_restarts_total",
            "Times a stage began to read at what was committed: at first, when partitions changed hands, after a loss.",
            &status.begun,
        ),
    ];
    for (name, help, counts) in counters {
        let mut family = page.family(name, Kind::Counter, help);
        for stage in crate::pipeline::group::STAGES {
            family.add(&[("stage", &stage)], counts.get(stage).copied().unwrap_or(0));
        }
    }
    let places = || {
        status
            .places
            .iter()
            .flat_map(|(stage, places)| places.iter().map(move |(partition, place)| (stage, partition, place)))
    };
    let help =
        "Offsets between what a stage has committed and the last stable one; markers of transactions take offsets too.";
    let mut lags = page.family("evkit_consumer_lag_offsets", Kind::Gauge, help);
    for (stage, partition, place) in places() {
        if let Some(lag) = place.lag() {
            lags.add(&[("stage", stage), ("partition", partition)], lag);
        }
    }
    let help = "The offset that a stage has committed: that of the record to be read next.";
    let mut offsets = page.family("evkit_committed_offset", Kind::Gauge, help);
    for (stage, partition, place) in places() {
        offsets.add(&[("stage", stage), ("partition", partition)], place.committed);
    }
}

fn add_time(page: &mut Page, status: &Status) {
    let help = "How far event time has come in a partition of the input that this process reads.";
    let mut watermarks = page.family("evkit_input_watermark_timestamp_seconds", Kind::Gauge, help);
    for (partition, (watermark, _)) in &status.read {
        add_time_of(&mut watermarks, partition, *watermark);
    }
    let help = "1 where a partition of the input has been silent for so long that it is not waited for.";
    let mut silent = page.family("evkit_input_silent", Kind::Gauge, help);
    for (partition, (_, is_silent)) in &status.read {
        silent.add(&[("partition", partition)], u8::from(*is_silent));
    }
    let help = "Up to which event time windows have fired, by partition of the pieces that this process merges.";
    let mut fired = page.family("evkit_fired_watermark_timestamp_seconds", Kind::Gauge, help);
    for (partition, watermark) in &status.fired {
        add_time_of(&mut fired, partition, *watermark);
    }
}

/// Before the first event there is no time to tell.
fn add_time_of(family: &mut Family, partition: &dyn Display, time: Timestamp) {
    if time > Timestamp::MIN && time < Timestamp::MAX {
        family.add(&[("partition", partition)], seconds(time.0.into()));
    }
}

fn add_open(page: &mut Page, status: &Status, metrics: &[String]) {
    let open = || metrics.iter().zip(&status.open);
    let help = "Slices of windows that have not fired; of tumbling windows, the windows.";
    let mut slices = page.family("evkit_open_slices", Kind::Gauge, help);
    for (name, size) in open() {
        slices.add(&[("metric", name)], size.slices);
    }
    let mut groups = page.family("evkit_open_groups", Kind::Gauge, "Groups in open slices.");
    for (name, size) in open() {
        groups.add(&[("metric", name)], size.groups);
    }
    let help = "Sessions that have not ended, or may still be revised.";
    let mut sessions = page.family("evkit_open_sessions", Kind::Gauge, help);
    for (name, size) in open() {
        sessions.add(&[("metric", name)], size.sessions);
    }
}

/// Microseconds as seconds, exactly.
fn seconds(micros: i128) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (whole, part) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    match part {
        0 => format!("{sign}{whole}"),
        part => format!("{sign}{whole}.{part:06}").trim_end_matches('0').to_owned(),
    }
}

/// A label's value as the format takes it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::pipeline::group::Place;
    use crate::stats::InputCounts;
    use crate::time::Duration;
    use crate::window::operator::OpenSize;

    #[test]
    fn labels_are_escaped_and_seconds_exact() {
        let mut page = Page::default();
        page.family("n_total", Kind::Counter, "Help.").add(&[("l", &"a\"b\\\n"), ("m", &1)], 2).add(&[], 3);
        let expected =
            "# HELP n_total Help.\n# TYPE n_total counter\nn_total{l=\"a\\\"b\\\\\\n\",m=\"1\"} 2\nn_total 3\n";
        assert_eq!(page.into_text(), expected);
        for (micros, expected) in
            [(0, "0"), (10_000, "0.01"), (-1, "-0.000001"), (1_500_000, "1.5"), (60_000_000, "60")]
        {
            assert_eq!(seconds(micros), expected);
        }
    }

    fn status() -> Status {
        let mut status = Status {
            input: InputCounts { events_in: 100, malformed: 2, future: 1, ..InputCounts::default() },
            late: 4,
            late_merged: 1,
            metrics: vec![MetricCounts { used: 80, filtered: 13, late: 4, no_window: 0, overflowed: 0 }],
            rows: 9,
            commits: BTreeMap::from([("combine", 12), ("merge", 5)]),
            lost: BTreeMap::from([("merge", 1)]),
            begun: BTreeMap::from([("combine", 1), ("merge", 2)]),
            places: BTreeMap::from([
                ("combine", BTreeMap::from([(0, Place { committed: 40, stable: Some(57) })])),
                ("merge", BTreeMap::from([(3, Place { committed: 8, stable: None })])),
            ]),
            read: BTreeMap::from([(0, (Timestamp(1_500_000), false)), (1, (Timestamp::MIN, true))]),
            fired: BTreeMap::from([(3, Timestamp(-1))]),
            heard: BTreeMap::new(),
            open: vec![OpenSize { slices: 2, groups: 30, sessions: 0 }],
            latency: Histogram::default(),
        };
        status.latency.observe(Duration(30_000), 8);
        status.latency.observe(Duration(70_000_000), 1);
        status
    }

    #[test]
    fn a_page_tells_all_that_operators_watch() {
        let page = group_page(&status(), &["revenue".to_owned()]);
        let numbers: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = "\
            evkit_build_info{version=\"VERSION\"} 1\n\
            evkit_input_events_total 100\n\
            evkit_rejected_events_total{reason=\"malformed\"} 2\n\
            evkit_rejected_events_total{reason=\"future\"} 1\n\
            evkit_late_events_total{stage=\"combine\"} 4\n\
            evkit_late_events_total{stage=\"merge\"} 1\n\
            evkit_metric_events_total{metric=\"revenue\",fate=\"used\"} 80\n\
            evkit_metric_events_total{metric=\"revenue\",fate=\"filtered\"} 13\n\
            evkit_metric_events_total{metric=\"revenue\",fate=\"late\"} 4\n\
            evkit_metric_events_total{metric=\"revenue\",fate=\"no_window\"} 0\n\
            evkit_rows_total 9\n\
            evkit_transactions_committed_total{stage=\"combine\"} 12\n\
            evkit_transactions_committed_total{stage=\"merge\"} 5\n\
            evkit_transactions_lost_total{stage=\"combine\"} 0\n\
            evkit_transactions_lost_total{stage=\"merge\"} 1\n\
            evkit_stage_restarts_total{stage=\"combine\"} 1\n\
            evkit_stage_restarts_total{stage=\"merge\"} 2\n\
            evkit_consumer_lag_offsets{stage=\"combine\",partition=\"0\"} 17\n\
            evkit_committed_offset{stage=\"combine\",partition=\"0\"} 40\n\
            evkit_committed_offset{stage=\"merge\",partition=\"3\"} 8\n\
            evkit_input_watermark_timestamp_seconds{partition=\"0\"} 1.5\n\
            evkit_input_silent{partition=\"0\"} 0\n\
            evkit_input_silent{partition=\"1\"} 1\n\
            evkit_fired_watermark_timestamp_seconds{partition=\"3\"} -0.000001\n\
            evkit_open_slices{metric=\"revenue\"} 2\n\
            evkit_open_groups{metric=\"revenue\"} 30\n\
            evkit_open_sessions{metric=\"revenue\"} 0\n\
            evkit_row_latency_seconds_bucket{le=\"0.01\"} 0\n\
            evkit_row_latency_seconds_bucket{le=\"0.025\"} 0\n\
            evkit_row_latency_seconds_bucket{le=\"0.05\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"0.1\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"0.25\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"0.5\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"1\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"2.5\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"5\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"10\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"30\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"60\"} 8\n\
            evkit_row_latency_seconds_bucket{le=\"+Inf\"} 9\n\
            evkit_row_latency_seconds_sum 70.24\n\
            evkit_row_latency_seconds_count 9";
        let expected = expected.replace("VERSION", env!("CARGO_PKG_VERSION"));
        assert_eq!(numbers.join("\n"), expected);
    }

    /// What Prometheus's own checker asks of a page.
    #[test]
    fn every_number_has_help_and_type_and_counters_end_in_total() {
        let page = group_page(&status(), &["revenue".to_owned()]);
        let mut helped = "";
        let mut family = ("", "");
        for line in page.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').unwrap().0;
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                family = kind.split_once(' ').unwrap();
                assert_eq!(family.0, helped);
                assert_eq!(family.1 == "counter", family.0.ends_with("_total"), "{line}");
                assert!(family.0.starts_with("evkit_"), "{line}");
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                let is_part =
                    ["_bucket", "_sum", "_count"].iter().any(|part| name.strip_suffix(part) == Some(family.0));
                assert!(name == family.0 || (family.1 == "histogram" && is_part), "{line}");
            }
        }
    }
}
