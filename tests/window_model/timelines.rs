//! Cases that went wrong once, each with its rows in full: the model and the pipeline must both give them.

use crate::case::{Aggregate, Case, Event, Line, MetricCase, WindowsCase};
use crate::random::Random;
use crate::real::Layout;

fn metric(windows: WindowsCase, lateness: i64) -> MetricCase {
    MetricCase {
        windows,
        offset: 0,
        lateness,
        filter: false,
        groups: 0,
        aggregates: vec![Aggregate::Count],
        having: None,
        top: None,
        groups_max: None,
    }
}

/// Events at these times, and `w` before the time of a watermark in band.
fn lines(text: &str) -> Vec<Line> {
    let line = |(id, word): (usize, &str)| match word.strip_prefix('w') {
        Some(time) => Line::Watermark(time.parse().expect("a watermark is a number")),
        None => {
            let time = word.parse().expect("a time is a number");
            Line::Event(Event { id, time, is_row: false, g: None, h: None, n: None, x: None })
        }
    };
    text.split_whitespace().enumerate().map(line).collect()
}

/// Checks the rows, each as `start-end count` with the marks that follow it, in microseconds.
#[track_caller]
fn check(metric: MetricCase, early: Option<i64>, fire_at_end: bool, partitions: &[&str], expected: &[&str]) {
    let case = Case {
        metrics: vec![metric],
        delay: 0,
        fire_at_end,
        early,
        latest: None,
        partitions: partitions.iter().map(|text| lines(text)).collect(),
    };
    let answer = crate::model::answer(&case);
    assert_eq!(answer.rows.iter().map(|row| shown(row)).collect::<Vec<_>>(), expected, "the model");
    for seed in 0..20 {
        let layout = Layout::random(&mut Random::new(seed));
        assert_eq!(crate::real::answer(&case, &layout), Ok(answer.clone()), "{layout:?}");
    }
}

fn shown(row: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(row).expect("rows are JSON");
    let micros = |name: &str| {
        let text = row[name].as_str().expect("windows have bounds");
        chrono::DateTime::parse_from_rfc3339(text).expect("bounds are times").timestamp_micros()
    };
    let mut shown = format!("{}-{} {}", micros("window_start"), micros("window_end"), row["c"]);
    if row["revision"] != 0 {
        shown += &format!(" #{}", row["revision"]);
    }
    if row["final"] == false {
        shown += " early";
    }
    if row["retracted"] == true {
        shown += " gone";
    }
    shown
}

/// [0, 10) has fired when w comes to 12, but its slice [0, 5) is needed by [0, 15) still.
/// ```text
/// 0    5    10   15
/// [─1─3┊────)    ┊      fires at w = 12, and is not written early any more
/// [─1─3┊─────12──)      early
/// ```
#[test]
fn a_window_that_has_fired_is_not_written_early() {
    let rows = ["0-5 2 early", "0-10 2 early", "0-15 2 early", "0-5 2", "0-10 2", "0-15 3 early", "0-15 3"];
    check(metric(WindowsCase::Cumulative(15, 5), 0), Some(2), true, &["1 3 12"], &rows);
}

/// The end of a lets the watermark pass a multiple of 4 without an event of b.
/// ```text
/// a: 1 ── end                w: 1
/// b: 2 ── 9 ─────────── end  w: 9 once a has ended
/// ```
#[test]
fn the_end_of_an_input_gives_early_rows() {
    let rows = ["0-4 2", "8-12 1 early", "8-12 1"];
    check(metric(WindowsCase::Tumbling(4), 0), Some(4), true, &["1", "2 9"], &rows);
}

#[test]
fn a_watermark_in_band_gives_early_rows() {
    check(metric(WindowsCase::Tumbling(10), 0), Some(4), true, &["1 w6"], &["0-10 1 early", "0-10 1"]);
}

/// At the end of all input the watermark is the highest that an input had, whichever end was found first.
/// ```text
/// a: 1 ── 6            w: 6
/// b: 2 ── 13           w: 13, which fires [0, 5) and [5, 10)
/// ```
#[test]
fn the_highest_watermark_decides_what_is_dropped_at_the_end() {
    check(metric(WindowsCase::Tumbling(5), 0), None, false, &["1 6", "2 13"], &["0-5 2", "5-10 1"]);
}

/// A mark behind the events takes nothing back: 4 is late for [0, 5).
/// ```text
/// 1 ── 7 (w = 7) ── mark 3 ── 4
/// ```
#[test]
fn a_mark_takes_no_watermark_back() {
    check(metric(WindowsCase::Tumbling(5), 0), None, true, &["1 7 w3 4"], &["0-5 1", "5-10 1"]);
}

/// An early row comes again only when its session has grown.
/// ```text
/// w:   1    3    w5   w7     a session of gap 10
/// ```
#[test]
fn a_session_is_written_early_only_when_it_has_changed() {
    let rows = ["1-13 2 early", "1-13 2"];
    check(metric(WindowsCase::Session(10, None), 0), Some(2), true, &["1 3 w5 w7"], &rows);
}

/// What was parted in the stream stays parted when its partials are merged, though the marks in band came only to 10.
/// ```text
/// a: 8 ── end
/// b: 19 (w = 10) ── 20 (w = 11 retires [8, 11)) ── 9
/// ```
#[test]
fn partials_of_sessions_parted_by_a_retirement_are_not_joined() {
    let case = Case {
        metrics: vec![metric(WindowsCase::Session(3, None), 0)],
        delay: 9,
        fire_at_end: true,
        early: None,
        latest: None,
        partitions: vec![lines("8"), lines("19 20 9")],
    };
    let expected = ["8-11 1", "9-12 1", "19-23 2"];
    let direct = crate::model::answer(&case).rows;
    assert_eq!(direct.iter().map(|row| shown(row)).collect::<Vec<_>>(), expected, "the model");
    for seed in 0..20 {
        let layout = Layout::random(&mut Random::new(seed));
        let merged = crate::real::rows_through_partials(&case, &layout).expect("partials merge");
        assert_eq!(merged.iter().map(|row| shown(row)).collect::<Vec<_>>(), expected, "{layout:?}");
    }
}
