//! What a run of the window pipeline found, and how it is told at the end.
//!
//! Knows nothing of when and whether it is told.

use std::fmt::{self, Write};

use crate::pipeline::late::Affected;
use crate::stats::{InputCounts, MetricCounts};
use crate::time::{Duration, Timestamp};

/// Everything counted, and where the windows stood at the end.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Lines of the input.
    pub input: InputCounts,
    /// Events, by metric.
    pub metrics: Vec<(String, MetricCounts)>,
    /// Rows written, by all metrics.
    pub rows: u64,
    /// Rows that a bucket refused.
    pub points_rejected: u64,
    /// The first of them as it is written aside.
    pub first_refused: Option<String>,
    /// Points of a bucket that windows made anew have no more.
    pub taken_back: u64,
    /// Rows that an output format could not hold.
    pub rows_skipped: u64,
    /// The operator's watermark at the end.
    pub watermark: Option<Timestamp>,
    /// How far behind its partition's highest time the event was that was furthest behind.
    pub furthest_behind: Duration,
    /// The first line that was rejected.
    pub first_reject: Option<FirstReject>,
    /// The first row that met `--fail-if`, as NDJSON.
    pub failed_if: Option<String>,
    /// By metric, how many windows a repair has added late events to.
    pub repaired: Vec<u64>,
    /// Files of late events without any, and how many lines they have.
    pub only_rejects: Vec<(String, u64)>,
    /// Where windows with late events were only looked for: which they are.
    pub affected: Affected,
    /// Lines that earlier repairs have read.
    pub repaired_before: u64,
    /// Windows for which late events wait until they fire.
    pub waiting: u64,
    /// Whether reading was stopped by a signal.
    pub stopped: bool,
    /// Whether more lines were rejected than allowed.
    pub too_many_rejects: bool,
}

/// What is written aside, and need not be recommended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kept {
    /// Rejected lines are.
    pub rejects: bool,
    /// Late events are.
    pub late: bool,
}

/// Where the first rejected line is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstReject {
    /// The input's name.
    pub input: String,
    /// Counted from 1.
    pub line: u64,
    /// What is wrong.
    pub reason: Box<str>,
}

impl fmt::Display for FirstReject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' line {}: {}", self.input, self.line, self.reason)
    }
}

impl Summary {
    /// Whether something happened that the user should hear of without asking.
    pub fn is_remarkable(&self) -> bool {
        let metrics = self.metrics.iter().any(|(_, counts)| counts.late + counts.overflowed > 0);
        metrics || self.input.rejected() > 0 || self.points_rejected + self.taken_back + self.rows_skipped > 0
    }

    /// For people: some lines, each ended by a line feed. Names `--rejects-to` and `--late-to` where they are not given but
    /// would help.
    pub fn to_text(&self, kept: Kept) -> String {
        let mut text = String::new();
        let input = &self.input;
        let mut say = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        say(format!("{} in, {} out", counted(input.events_in, "event"), counted(self.rows, "row")));
        if input.malformed > 0 {
            say(format!("{} no valid event", share(input.malformed, input.events_in, "line", ["is", "are"])));
        }
        if input.future > 0 {
            say(format!(
                "{} dated too far in the future; `--max-future none` takes all",
                share(input.future, input.events_in, "event", ["is", "are"])
            ));
        }
        if let Some(first) = &self.first_reject {
            let hint = if kept.rejects { "" } else { " (`--rejects-to FILE` keeps all)" };
            say(format!("the first reject is {first}{hint}"));
        }
        if input.became_null > 0 {
            let verb = if input.became_null == 1 { "was" } else { "were" };
            say(format!(
                "{} {verb} of no use and became NULL: a wrong type, a division by zero or an overflow",
                counted(input.became_null, "value")
            ));
        }
        for (name, counts) in &self.metrics {
            let name = if self.metrics.len() > 1 { format!("{name}: ") } else { String::new() };
            // Of merged partials, each metric has events of its own.
            let own = counts.events() + input.rejected();
            let events = |number, verbs| share(number, own, "event", verbs);
            if counts.used == 0 && counts.filtered > 0 {
                let total = counted(counts.filtered, "event");
                say(format!("{name}`--where` is TRUE for none of {total}; texts stand in 'single quotes'"));
            }
            if counts.late > 0 {
                let late = events(counts.late, ["came", "came"]);
                let delay = rounded_up(self.furthest_behind);
                let hint = if kept.late { "" } else { "; `--late-to FILE` keeps them" };
                // Watermarks in the input were set by whoever wrote it; a delay of ours has no say.
                match input.in_band {
                    0 => say(format!("{name}{late} too late; `--watermark-delay {delay}` takes them all{hint}")),
                    _ => say(format!("{name}{late} too late by the watermarks in the input{hint}")),
                }
            }
            if counts.no_window > 0 {
                say(format!("{name}{} between two windows", events(counts.no_window, ["fell", "fell"])));
            }
            if counts.overflowed > 0 {
                let joined = events(counts.overflowed, ["joined", "joined"]);
                say(format!(
                    "{name}{joined} the group \"__other__\"; `--max-groups` sets how many groups a window may have"
                ));
            }
        }
        if let Some(first) = &self.first_refused {
            let hint = if kept.rejects { "" } else { " (`--rejects-to FILE` keeps all)" };
            say(format!("{} refused by InfluxDB; the first is {first}{hint}", counted(self.points_rejected, "row")));
        }
        if self.taken_back > 0 {
            let points = counted(self.taken_back, "point");
            say(format!("{points} taken back that the windows made anew have no more"));
        }
        if self.rows_skipped > 0 {
            say(format!("{} could not be written in this format", counted(self.rows_skipped, "row")));
        }
        text
    }

    /// For programs: one JSON object. For every metric `in = used + filtered + late + no_window`; of the whole, where all
    /// metrics are shown the same events, `in` is that and the rejected.
    pub fn to_json(&self) -> serde_json::Value {
        let metrics: serde_json::Map<String, serde_json::Value> = self
            .metrics
            .iter()
            .map(|(name, counts)| {
                let counts = serde_json::json!({
                    "in": counts.events(), "used": counts.used, "filtered": counts.filtered, "late": counts.late,
                    "no_window": counts.no_window, "overflowed": counts.overflowed,
                });
                (name.clone(), counts)
            })
            .collect();
        let input = &self.input;
        let bounded = self.watermark.filter(|&w| w != Timestamp::MIN && w != Timestamp::MAX);
        serde_json::json!({
            "in": input.events_in, "rejected": input.rejected(), "malformed": input.malformed, "future": input.future,
            "in_band": input.in_band, "blank": input.blank, "became_null": input.became_null, "rows": self.rows,
            "rows_skipped": self.rows_skipped, "taken_back": self.taken_back, "watermark": bounded.map(|w| w.to_string()),
            "furthest_behind": self.furthest_behind.to_string(), "metrics": metrics,
        })
    }
}

/// `31,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `31,204 rows`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `31,204 events (3.1 %) came`; the verb for one and for many.
pub fn share(number: u64, of: u64, noun: &str, verbs: [&str; 2]) -> String {
    let percent = 100.0 * number as f64 / of.max(1) as f64;
    let percent = if percent < 0.1 { "under 0.1 %".into() } else { format!("{percent:.1} %") };
    format!("{} ({percent}) {}", counted(number, noun), verbs[usize::from(number != 1)])
}

/// To whole seconds below two minutes, to whole minutes below two hours, to whole hours beyond; never down.
fn rounded_up(length: Duration) -> Duration {
    const SECOND: i64 = 1_000_000;
    let unit = if length.0 <= 120 * SECOND {
        SECOND
    } else if length.0 <= 7200 * SECOND {
        60 * SECOND
    } else {
        3600 * SECOND
    };
    Duration((length.0 + unit - 1) / unit * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(late: u64) -> MetricCounts {
        MetricCounts { late, used: 1_000_000 - late, ..MetricCounts::default() }
    }

    #[track_caller]
    fn check(summary: &Summary, expected: &str) {
        assert_eq!(summary.to_text(Kept::default()), expected);
    }

    #[test]
    fn a_run_without_trouble_is_one_line() {
        let input = InputCounts { events_in: 1_000_000, ..InputCounts::default() };
        let summary = Summary { input, rows: 12, metrics: vec![("m".into(), counts(0))], ..Summary::default() };
        assert!(!summary.is_remarkable());
        check(&summary, "1,000,000 events in, 12 rows out\n");
    }

    #[test]
    fn one_of_a_thing_is_singular() {
        let input = InputCounts { events_in: 1, future: 1, became_null: 1, ..InputCounts::default() };
        check(
            &Summary { input, rows: 1, taken_back: 1, rows_skipped: 1, ..Summary::default() },
            "1 event in, 1 row out\n\
             1 event (100.0 %) is dated too far in the future; `--max-future none` takes all\n\
             1 value was of no use and became NULL: a wrong type, a division by zero or an overflow\n\
             1 point taken back that the windows made anew have no more\n\
             1 row could not be written in this format\n",
        );
    }

    #[test]
    fn rejects_are_explained_by_the_first() {
        let input = InputCounts { events_in: 5001, malformed: 5001, ..InputCounts::default() };
        let first = FirstReject { input: "-".into(), line: 1, reason: "not a JSON object".into() };
        let summary = Summary { input, first_reject: Some(first), ..Summary::default() };
        assert!(summary.is_remarkable());
        let expected = "5,001 events in, 0 rows out\n5,001 lines (100.0 %) are no valid event\n\
                        the first reject is '-' line 1: not a JSON object";
        check(&summary, &format!("{expected} (`--rejects-to FILE` keeps all)\n"));
        assert_eq!(summary.to_text(Kept { rejects: true, late: true }), format!("{expected}\n"));
    }

    #[test]
    fn a_filter_that_takes_nothing_is_pointed_at() {
        let filtered = MetricCounts { filtered: 2000, ..MetricCounts::default() };
        let input = InputCounts { events_in: 2000, ..InputCounts::default() };
        let summary = Summary { input, metrics: vec![("m".into(), filtered)], ..Summary::default() };
        check(
            &summary,
            "2,000 events in, 0 rows out\n`--where` is TRUE for none of 2,000 events; texts stand in 'single quotes'\n",
        );
    }

    #[test]
    fn late_events_name_the_delay_that_takes_them() {
        let input = InputCounts { events_in: 1_000_000, ..InputCounts::default() };
        let summary = Summary {
            input,
            rows: 12,
            metrics: vec![("m".into(), counts(31_204))],
            furthest_behind: Duration(16 * 60_000_000 + 1),
            ..Summary::default()
        };
        assert!(summary.is_remarkable());
        check(
            &summary,
            "1,000,000 events in, 12 rows out\n\
             31,204 events (3.1 %) came too late; `--watermark-delay 17m` takes them all; `--late-to FILE` keeps them\n",
        );
    }
}
