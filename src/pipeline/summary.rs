//! What a run of the window pipeline found, and how it is told at the end.
//!
//! Knows nothing of when and whether it is told.

use std::fmt::Write;

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
    /// Rows that an output format could not hold.
    pub rows_skipped: u64,
    /// The operator's watermark at the end.
    pub watermark: Option<Timestamp>,
    /// How far behind its partition's highest time the event was that was furthest behind.
    pub furthest_behind: Duration,
    /// Whether a row met `--fail-if`.
    pub failed_if: bool,
    /// Whether reading was stopped by a signal.
    pub stopped: bool,
    /// Whether more lines were rejected than allowed.
    pub too_many_rejects: bool,
}

impl Summary {
    /// Whether something happened that the user should hear of without asking.
    pub fn is_remarkable(&self) -> bool {
        let metrics = self.metrics.iter().any(|(_, counts)| counts.late + counts.overflowed > 0);
        metrics || self.input.rejected() > 0 || self.rows_skipped > 0
    }

    /// For people: some lines, each ended by a line feed.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let input = &self.input;
        let mut say = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        say(format!("{} events in, {} rows out", grouped(input.events_in), grouped(self.rows)));
        if input.malformed > 0 {
            say(format!(
                "{} were no valid events; `--rejects-to FILE` keeps them",
                share(input.malformed, input.events_in)
            ));
        }
        if input.future > 0 {
            say(format!(
                "{} were dated too far in the future; `--max-future none` takes them all",
                share(input.future, input.events_in)
            ));
        }
        if input.became_null > 0 {
            say(format!("{} values became NULL (wrong type, division by zero, overflow)", grouped(input.became_null)));
        }
        for (name, counts) in &self.metrics {
            let name = if self.metrics.len() > 1 { format!("{name}: ") } else { String::new() };
            if counts.late > 0 {
                say(format!(
                    "{name}{} came too late; `--watermark-delay {}` takes them all",
                    share(counts.late, input.events_in),
                    rounded_up(self.furthest_behind)
                ));
            }
            if counts.no_window > 0 {
                say(format!("{name}{} fell between two windows", share(counts.no_window, input.events_in)));
            }
            if counts.overflowed > 0 {
                say(format!(
                    "{name}{} joined the group \"__other__\"; `--max-groups` sets how many groups a window may have",
                    share(counts.overflowed, input.events_in)
                ));
            }
        }
        if self.rows_skipped > 0 {
            say(format!("{} rows could not be written in this format", grouped(self.rows_skipped)));
        }
        text
    }

    /// For programs: one JSON object. For every metric `in = used + filtered + rejected + late + no_window`.
    pub fn to_json(&self) -> serde_json::Value {
        let metrics: serde_json::Map<String, serde_json::Value> = self
            .metrics
            .iter()
            .map(|(name, counts)| {
                let counts = serde_json::json!({
                    "used": counts.used, "filtered": counts.filtered, "late": counts.late,
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
            "rows_skipped": self.rows_skipped, "watermark": bounded.map(|w| w.to_string()),
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

/// `31,204 events (3.1 %)`.
fn share(number: u64, of: u64) -> String {
    let percent = 100.0 * number as f64 / of.max(1) as f64;
    let events = if number == 1 { "event" } else { "events" };
    let percent = if percent < 0.1 { "under 0.1 %".into() } else { format!("{percent:.1} %") };
    format!("{} {events} ({percent})", grouped(number))
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

    #[test]
    fn a_run_without_trouble_is_one_line() {
        let input = InputCounts { events_in: 1_000_000, ..InputCounts::default() };
        let summary = Summary { input, rows: 12, metrics: vec![("m".into(), counts(0))], ..Summary::default() };
        assert!(!summary.is_remarkable());
        assert_eq!(summary.to_text(), "1,000,000 events in, 12 rows out\n");
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
        assert_eq!(
            summary.to_text(),
            "1,000,000 events in, 12 rows out\n\
             31,204 events (3.1 %) came too late; `--watermark-delay 17m` takes them all\n"
        );
    }
}
