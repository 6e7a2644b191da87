//! What a run of evingest did with every line, and how it is told at the end. Knows nothing of when it is told.

use std::fmt::Write;

use crate::pipeline::summary::{FirstReject, counted, share};

/// Everything counted: `events_in = accepted + rejected + duplicates`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines that are neither blank nor in band.
    pub events_in: u64,
    /// Sent on.
    pub accepted: u64,
    /// Refused.
    pub rejected: u64,
    /// Left out by `--dedup`.
    pub duplicates: u64,
    /// Known to have arrived, where the output tells.
    pub acknowledged: Option<u64>,
    /// Watermarks, statistics and the like of other evkit programs, passed over.
    pub in_band: u64,
    /// Blank lines.
    pub blank: u64,
    /// Rejects that `--where` left out of a replay.
    pub left_out: u64,
    /// Ids that `--dedup` had to forget before their window was over.
    pub forgotten_early: u64,
    /// The first line that was refused.
    pub first_reject: Option<FirstReject>,
    /// Whether more lines were refused than allowed.
    pub too_many_rejects: bool,
}

/// What the reader of a summary need not be told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// Rejects are kept.
    pub rejects_are_kept: bool,
}

impl Summary {
    /// Whether something happened that the user should hear of without asking.
    pub fn is_remarkable(&self) -> bool {
        self.rejected + self.duplicates + self.forgotten_early > 0
            || self.acknowledged.is_some_and(|n| n < self.accepted)
    }

    /// For people: some lines, each ended by a line feed.
    pub fn to_text(&self, known: Known) -> String {
        let mut text = String::new();
        let mut say = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        let acknowledged = self.acknowledged.map_or(String::new(), |n| format!(", {n} acknowledged"));
        say(format!("{} in, {} accepted{acknowledged}", counted(self.events_in, "event"), self.accepted));
        if self.rejected > 0 {
            say(share(self.rejected, self.events_in, "line", ["is rejected", "are rejected"]));
        }
        if let Some(first) = &self.first_reject {
            let hint = if known.rejects_are_kept { "" } else { " (`--rejects-to FILE` keeps all, to be sent again)" };
            say(format!("the first reject is {first}{hint}"));
        }
        if self.duplicates > 0 {
            say(share(
                self.duplicates,
                self.events_in,
                "event",
                ["came before and is left out", "came before and are left out"],
            ));
        }
        if self.forgotten_early > 0 {
            say(format!(
                "{} had to be forgotten before `--dedup-window` was over; `--dedup-max` sets how many are remembered",
                counted(self.forgotten_early, "id")
            ));
        }
        if self.left_out > 0 {
            say(format!("{} left out by `--where`", counted(self.left_out, "reject")));
        }
        if self.in_band > 0 {
            say(format!(
                "{} of other evkit programs passed over: watermarks, statistics, partials",
                counted(self.in_band, "line")
            ));
        }
        text
    }

    /// For programs: one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "in": self.events_in, "accepted": self.accepted, "rejected": self.rejected, "duplicates": self.duplicates,
            "acknowledged": self.acknowledged, "in_band": self.in_band, "blank": self.blank, "left_out": self.left_out,
            "forgotten_early": self.forgotten_early,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(summary: &Summary, is_remarkable: bool, expected: &str) {
        assert_eq!(summary.is_remarkable(), is_remarkable);
        assert_eq!(summary.to_text(Known::default()), expected);
    }

    #[test]
    fn a_run_without_trouble_is_one_line() {
        let mut summary = Summary { events_in: 5000, accepted: 5000, ..Summary::default() };
        check(&summary, false, "5,000 events in, 5000 accepted\n");
        summary.acknowledged = Some(5000);
        check(&summary, false, "5,000 events in, 5000 accepted, 5000 acknowledged\n");
    }

    #[test]
    fn what_was_left_out_is_told() {
        let first = FirstReject { input: "stdin".into(), line: 3, reason: "no field 'event_id'".into() };
        let summary = Summary {
            events_in: 10,
            accepted: 7,
            rejected: 1,
            duplicates: 2,
            first_reject: Some(first),
            ..Summary::default()
        };
        check(
            &summary,
            true,
            "10 events in, 7 accepted\n1 line (10.0 %) is rejected\n\
             the first reject is 'stdin' line 3: no field 'event_id' (`--rejects-to FILE` keeps all, to be sent again)\n\
             2 events (20.0 %) came before and are left out\n",
        );
    }
}
