//! Which events are refused although they were decoded well: by their time, by the form that all events share, by a schema.
//!
//! Knows nothing of formats and of what the query needs.

pub mod complete;
pub mod form;
pub mod schema;

use std::borrow::Cow;

use crate::batch::EventBatch;
use crate::time::{Duration, Timestamp};

/// What an event breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The place in the event, as a JSON pointer (RFC 6901); empty for the event itself.
    pub pointer: Cow<'static, str>,
    /// What is wrong there, in lower case, without a full stop.
    pub reason: Cow<'static, str>,
}

/// Refuses events dated long after the clock, which would take the watermark with them.
#[derive(Debug, Clone, Copy)]
pub struct FutureGuard {
    /// How far after the clock an event may be dated; `None` takes any.
    pub max: Option<Duration>,
    /// The clock, if it is not that of the block's arrival.
    pub now: Option<Timestamp>,
}

impl FutureGuard {
    /// Turns the events of a batch that are dated too far in the future into rejects, and gives their lines in order.
    /// `arrival` is when it was read.
    pub fn judge(self, batch: &mut EventBatch, arrival: Timestamp) -> Vec<u32> {
        let Some(max) = self.max else { return Vec::new() };
        let now = self.now.unwrap_or(arrival);
        let stamps = batch.stamps.clone().filter(|_| self.now.is_none());
        // A record's clock is that of its arrival in the log: however late it is read, the verdict is the same.
        let clock = |line: u32| stamps.as_ref().map_or(now, |stamps| stamps[line as usize].time);
        let is_ahead = |time: Timestamp, line: u32| time.0 > clock(line).0.saturating_add(max.0);
        let mut rows = batch.times.iter().zip(&batch.spans);
        if !rows.any(|(&time, span)| is_ahead(time, span.line)) {
            return Vec::new();
        }
        // The row of a window that has not ended on the clock is no mistake.
        let results = std::mem::take(&mut batch.result_lines);
        let is_beyond = |time: Timestamp, line: u32| is_ahead(time, line) && results.binary_search(&line).is_err();
        let rows = batch.times.iter().zip(&batch.spans);
        let lines = rows.filter(|(time, span)| is_beyond(**time, span.line)).map(|(_, span)| span.line).collect();
        batch.reject_rows(|time, line| {
            let now = clock(line);
            is_beyond(time, line).then(|| format!("future: '{time}' is more than {max} after the clock, '{now}'"))
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{InBand, LineSpan};
    use crate::partition::PartitionId;
    use crate::record::Block;

    /// Accepted times, and how many rejects, of events at these times read at 100 µs.
    #[track_caller]
    fn check(max: Option<i64>, now: Option<i64>, times: &[i64], accepted: &[i64], marks: &[u32]) {
        let block = Block {
            partition: PartitionId(0),
            offset: 0,
            from: 0,
            arrival: Timestamp(100),
            stamps: None,
            bytes: Vec::new(),
        };
        let mut batch = EventBatch::empty(block);
        batch.times = times.iter().map(|&time| Timestamp(time)).collect();
        batch.spans = (0..times.len() as u32).map(|line| LineSpan { start: 0, len: 0, line }).collect();
        // A mark stands before every event and after the last.
        batch.in_band = (0..=times.len() as u32).map(|row| (row, InBand::Stats)).collect();
        let guard = FutureGuard { max: max.map(Duration), now: now.map(Timestamp) };
        let lines = guard.judge(&mut batch, Timestamp(100));
        assert_eq!(lines, batch.rejects.iter().map(|reject| reject.span.line).collect::<Vec<_>>());
        assert_eq!(batch.times.iter().map(|time| time.0).collect::<Vec<_>>(), accepted);
        assert_eq!(batch.rejects.len(), times.len() - accepted.len());
        assert_eq!(batch.in_band.iter().map(|(row, _)| *row).collect::<Vec<_>>(), marks);
    }

    #[test]
    fn events_up_to_the_limit_are_taken_and_marks_keep_their_place() {
        check(Some(10), None, &[1, 111, 110, 200], &[1, 110], &[0, 1, 1, 2, 2]);
    }

    #[test]
    fn results_may_lie_ahead_of_the_clock() {
        let block = Block {
            partition: PartitionId(0),
            offset: 0,
            from: 0,
            arrival: Timestamp(0),
            stamps: None,
            bytes: Vec::new(),
        };
        let mut batch = EventBatch::empty(block);
        batch.times = vec![Timestamp(50), Timestamp(60)];
        batch.spans = (0..2).map(|line| LineSpan { start: 0, len: 0, line }).collect();
        batch.result_lines = vec![1];
        let guard = FutureGuard { max: Some(Duration(10)), now: None };
        assert_eq!(guard.judge(&mut batch, Timestamp(0)), [0]);
        assert_eq!(batch.times, [Timestamp(60)]);
    }

    #[test]
    fn another_clock_or_none_can_be_taken() {
        check(Some(10), Some(500), &[1, 510, 511], &[1, 510], &[0, 1, 2, 2]);
        check(None, None, &[1, i64::MAX], &[1, i64::MAX], &[0, 1, 2]);
    }
}
