//! In-band objects: data about the stream that stands between its rows, as JSON objects without a line feed.
//!
//! `{"watermark":"…"}` says that no later row has a time before it; `{"stats":{…}}` counts what happened to every event.
//! Does not know when they are written.

use serde_json::{Map, json};

use crate::stats::{InputCounts, MetricCounts};
use crate::time::Timestamp;

/// Appends `{"watermark":"…"}`. Nothing is appended for the two ends of time: before the first event there is nothing to say,
/// and that time is up is said by the end of the stream.
pub fn push_watermark(watermark: Timestamp, out: &mut Vec<u8>) {
    if watermark == Timestamp::MIN || watermark == Timestamp::MAX {
        return;
    }
    out.extend_from_slice(b"{\"watermark\":\"");
    watermark.write_rfc3339(out);
    out.extend_from_slice(b"\"}");
}

/// What a stats object says.
#[derive(Debug, Clone, Copy)]
pub struct StatsLine<'a> {
    /// The operator's watermark; null at the two ends of time.
    pub watermark: Timestamp,
    /// The input that holds the watermark back, by its name.
    pub held_by: Option<&'a str>,
    /// From the arrival of the last block to the moment when its rows were written, in microseconds.
    pub latency_us: Option<i64>,
    /// What happened to the lines of the input. Only what is known event by event is written.
    pub input: &'a InputCounts,
    /// What happened to the events, by metric in the order of the metrics file.
    pub metrics: &'a [(&'a str, MetricCounts)],
}

/// Appends `{"stats":{…}}`.
pub fn push_stats(stats: &StatsLine<'_>, out: &mut Vec<u8>) {
    let is_finite = stats.watermark != Timestamp::MIN && stats.watermark != Timestamp::MAX;
    let metrics: Map<String, serde_json::Value> = stats
        .metrics
        .iter()
        .map(|(name, counts)| {
            let counts = json!({
                "in": counts.events(), "used": counts.used, "filtered": counts.filtered, "late": counts.late,
                "no_window": counts.no_window, "overflowed": counts.overflowed,
            });
            ((*name).to_owned(), counts)
        })
        .collect();
    let object = json!({"stats": {
        "watermark": is_finite.then(|| stats.watermark.to_string()),
        "held_by": stats.held_by,
        "latency_us": stats.latency_us,
        "in": stats.input.events_in,
        "rejected": stats.input.rejected(),
        "malformed": stats.input.malformed,
        "future": stats.input.future,
        "metrics": metrics,
    }});
    serde_json::to_writer(out, &object).expect("writing to a vector can't fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_watermark(micros: i64, expected: &str) {
        let mut out = Vec::new();
        push_watermark(Timestamp(micros), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn watermarks() {
        check_watermark(1_500_000, r#"{"watermark":"1970-01-01T00:00:01.500Z"}"#);
        check_watermark(1, r#"{"watermark":"1970-01-01T00:00:00.000001Z"}"#);
        check_watermark(i64::MIN, "");
        check_watermark(i64::MAX, "");
    }

    #[test]
    fn stats_tell_the_fate_of_every_event() {
        let input = InputCounts { events_in: 10, malformed: 1, future: 2, in_band: 3, blank: 4, became_null: 5 };
        let counts = MetricCounts { used: 3, filtered: 2, late: 1, no_window: 1, overflowed: 1 };
        let stats = StatsLine {
            watermark: Timestamp(0),
            held_by: Some("a.ndjson"),
            latency_us: None,
            input: &input,
            metrics: &[("m", counts)],
        };
        let mut out = Vec::new();
        push_stats(&stats, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"stats":{"watermark":"1970-01-01T00:00:00.000Z","held_by":"a.ndjson","latency_us":null,"in":10,"rejected":3,"#
                .to_owned()
                + r#""malformed":1,"future":2,"#
                + r#""metrics":{"m":{"in":7,"used":3,"filtered":2,"late":1,"no_window":1,"overflowed":1}}}}"#
        );
    }
}
