//! What is known of the stream itself: how many rows and how fast, how far time has come, what happened to the events.
//!
//! The clock is handed in with each line; without one (a recorded stream, one frame) nothing that depends on it is known.

use std::collections::VecDeque;

use crate::dashboard::line::{Line, Row, Stats};
use crate::time::{Duration, Timestamp};

/// Rows whose delay is remembered.
const DELAYS_MAX: usize = 1000;

/// The rate is that of so many seconds.
const RATE_SECONDS: i64 = 5;

/// What is known of the stream.
#[derive(Debug, Clone, Default)]
pub struct StreamModel {
    /// Result rows of every kind.
    pub rows: u64,
    /// Of those: rows that were written before their windows fired.
    pub rows_early: u64,
    /// Of those: rows that replaced what had been said before.
    pub rows_revised: u64,
    /// Of those: rows that took back what had been said before.
    pub rows_retracted: u64,
    /// Rows of metrics that are too many to be kept.
    pub rows_not_kept: u64,
    /// Lines that are none of ours.
    pub malformed: u64,
    /// What is wrong with the last of them.
    pub last_fault: Option<String>,
    /// Partials, which are nothing to look at.
    pub partials: u64,
    /// How far time has come.
    pub watermark: Option<Timestamp>,
    /// When it last moved, by the clock.
    pub moved_at: Option<Timestamp>,
    /// What happened to the events so far.
    pub stats: Option<Stats>,
    delays: VecDeque<i64>,
    /// Rows by second of the clock, the last ones.
    seconds: VecDeque<(i64, u64)>,
    began_at: Option<Timestamp>,
}

impl StreamModel {
    /// Counts a line that came at `arrival`.
    pub fn count(&mut self, line: &Line, arrival: Option<Timestamp>) {
        match line {
            Line::Row(row) => self.count_row(row, arrival),
            Line::Watermark(watermark) => self.move_on(*watermark, arrival),
            Line::Stats(stats) => {
                if let Some(watermark) = stats.watermark {
                    self.move_on(watermark, arrival);
                }
                self.stats = Some((**stats).clone());
            }
            Line::Partial => self.partials += 1,
            Line::Malformed(fault) => {
                self.malformed += 1;
                self.last_fault = Some(fault.clone());
            }
        }
    }

    /// Rows a second, over the last seconds before `now`.
    pub fn rate(&self, now: Timestamp) -> Option<f64> {
        let second = now.0.div_euclid(1_000_000);
        let began = self.began_at?.0.div_euclid(1_000_000);
        // The second that is not over yet would make the rate look lower than it is.
        let rows: u64 =
            self.seconds.iter().filter(|(at, _)| (second - RATE_SECONDS..second).contains(at)).map(|(_, n)| n).sum();
        let seconds = (second - began).clamp(1, RATE_SECONDS);
        Some(rows as f64 / seconds as f64)
    }

    /// From the end of a window to the arrival of its row: the median and the 99th percentile of the last thousand final rows.
    pub fn delays(&self) -> Option<(Duration, Duration)> {
        if self.delays.is_empty() {
            return None;
        }
        let mut sorted: Vec<i64> = self.delays.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| Duration(sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]);
        Some((at(50), at(99)))
    }

    /// Events of all metrics that came too late.
    pub fn late(&self) -> Option<u64> {
        Some(self.stats.as_ref()?.metrics.values().map(|counts| counts.late).sum())
    }

    fn count_row(&mut self, row: &Row, arrival: Option<Timestamp>) {
        self.rows += 1;
        self.rows_early += u64::from(!row.is_final);
        self.rows_retracted += u64::from(row.retracted);
        self.rows_revised += u64::from(row.revision > 0 && !row.retracted);
        let Some(arrival) = arrival else { return };
        self.began_at.get_or_insert(arrival);
        let second = arrival.0.div_euclid(1_000_000);
        match self.seconds.back_mut() {
            Some((at, rows)) if *at == second => *rows += 1,
            _ => self.seconds.push_back((second, 1)),
        }
        if self.seconds.len() > RATE_SECONDS as usize + 1 {
            self.seconds.pop_front();
        }
        if row.is_final && row.revision == 0 && row.window.end != Timestamp::MAX {
            if self.delays.len() == DELAYS_MAX {
                self.delays.pop_front();
            }
            self.delays.push_back(arrival.0.saturating_sub(row.window.end.0));
        }
    }

    fn move_on(&mut self, watermark: Timestamp, arrival: Option<Timestamp>) {
        if self.watermark.is_none_or(|before| before < watermark) {
            self.watermark = Some(watermark);
            self.moved_at = arrival;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::line::decode;

    fn count(stream: &mut StreamModel, line: &str, second: i64) {
        let line = decode(line.as_bytes()).unwrap();
        stream.count(&line, Some(Timestamp(second * 1_000_000)));
    }

    const ROW: &str =
        r#"{"metric":"m","window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:00:10.000Z","n":1"#;

    #[test]
    fn kinds_of_lines_are_counted() {
        let mut stream = StreamModel::default();
        for rest in ["}", ",\"final\":false}", ",\"revision\":1}", ",\"revision\":2,\"retracted\":true}"] {
            count(&mut stream, &format!("{ROW}{rest}"), 0);
        }
        count(&mut stream, r#"{"partial":"x"}"#, 0);
        count(&mut stream, "what?", 0);
        assert_eq!((stream.rows, stream.rows_early, stream.rows_revised, stream.rows_retracted), (4, 1, 1, 1));
        assert_eq!((stream.partials, stream.malformed), (1, 1));
        assert!(stream.last_fault.is_some());
    }

    #[test]
    fn rate_and_delays_go_by_the_clock() {
        let mut stream = StreamModel::default();
        for second in 11..=15 {
            for _ in 0..second {
                count(&mut stream, &format!("{ROW}}}"), second);
            }
        }
        assert_eq!(stream.rate(Timestamp(16_000_000)), Some(13.0));
        assert_eq!(stream.rate(Timestamp(60_000_000)), Some(0.0));
        assert_eq!(stream.delays(), Some((Duration(3_000_000), Duration(5_000_000))));
        let silent = StreamModel::default();
        assert_eq!((silent.rate(Timestamp(0)), silent.delays()), (None, None));
    }

    #[test]
    fn the_watermark_only_moves_on() {
        let mut stream = StreamModel::default();
        count(&mut stream, r#"{"watermark":"1970-01-01T00:00:20.000Z"}"#, 1);
        count(&mut stream, r#"{"watermark":"1970-01-01T00:00:10.000Z"}"#, 2);
        count(
            &mut stream,
            r#"{"stats":{"watermark":"1970-01-01T00:00:20.000Z","metrics":{"a":{"late":2},"b":{"late":3}}}}"#,
            3,
        );
        assert_eq!((stream.watermark, stream.moved_at), (Some(Timestamp(20_000_000)), Some(Timestamp(1_000_000))));
        assert_eq!(stream.late(), Some(5));
    }
}
