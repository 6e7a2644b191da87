//! What is judged to go, and what is read for it.

use crate::store::catalogue::HOUR;
use crate::store::influx::writer::rewrite::*;
use crate::time::Duration;

const WHOLE: (Timestamp, Timestamp) = (Timestamp(100), Timestamp(1000));

fn catalogue(window: WindowKind, zone: Option<&str>) -> Option<Catalogue> {
    Some(Catalogue {
        name: "m".into(),
        groups: Vec::new(),
        fields: Vec::new(),
        window,
        offset: Duration(0),
        zone: zone.map(str::to_owned),
        ranked: false,
        having: None,
        all_states: false,
    })
}

fn rewrite(made: Option<Timestamp>, point_time: PointTime, window: WindowKind) -> Rewrite {
    Rewrite::new(WHOLE, made, point_time, [catalogue(window, None)].into_iter())
}

const STEPS: WindowKind = WindowKind::Cumulative { length: Duration(100), step: Duration(1) };

fn standing(start: i64, end: i64) -> Standing {
    Standing { key: Box::default(), start, length: end - start }
}

fn row(start: i64, end: i64) -> Metric {
    Metric {
        metric: 0,
        window: Window::new(Timestamp(start), Timestamp(end)),
        groups: [].into(),
        aggregates: Box::default(),
        revision: 0,
        rank: None,
        is_final: true,
        retracted: false,
        state: None,
    }
}

#[test]
fn what_lies_whole_in_what_is_complete_and_was_not_made_goes() {
    let mut rewrite = rewrite(None, PointTime::Start, STEPS);
    for made in [row(100, 150), row(300, 400), row(450, 470)] {
        rewrite.make(&made);
    }
    rewrite.make(&Metric { is_final: false, ..row(300, 401) });
    for (start, end, expected) in [
        (200, 290, Verdict::Stays),
        (90, 250, Verdict::Stays),
        (100, 201, Verdict::Goes),
        (300, 400, Verdict::Stays),
        (300, 401, Verdict::Goes),
        (400, 500, Verdict::Goes),
        (400, 501, Verdict::Waits),
        (900, 1000, Verdict::Waits),
        (900, 1001, Verdict::Stays),
    ] {
        assert_eq!(rewrite.judge(0, &standing(start, end), 500), expected, "{start} to {end}");
    }
    let other = Standing { key: b"g".as_slice().into(), ..standing(300, 400) };
    assert_eq!(rewrite.judge(0, &other, 500), Verdict::Goes, "it is of another group");
    rewrite.reach(500);
    assert!(rewrite.made.is_empty());
}

#[test]
fn a_session_goes_when_one_was_made_that_may_have_taken_it_in() {
    let mut rewrite = rewrite(None, PointTime::Start, WindowKind::Session { gap: Duration(5) });
    let judge = |rewrite: &Rewrite, complete| rewrite.judge(0, &standing(310, 320), complete);
    assert_eq!(judge(&rewrite, 400), Verdict::Waits);
    rewrite.reach(400);
    assert_eq!(judge(&rewrite, 400 + DAY), Verdict::Stays, "nothing was made of its time");
    rewrite.make(&row(300, 600));
    assert_eq!(judge(&rewrite, 700), Verdict::Goes);
}

#[test]
fn spans_are_put_together() {
    let mut spans = Spans::default();
    for (start, end) in [(10, 20), (20, 30), (12, 15), (50, 60), (0, 5), (55, 70)] {
        spans.add(start, end);
    }
    spans.settle(3);
    assert_eq!(spans.0, [(0, 5), (10, 30), (50, 70)]);
    for (start, end, expected) in [(4, 6, true), (5, 10, false), (29, 31, true), (30, 50, false), (70, 80, false)] {
        assert_eq!(spans.touch(start, end), expected, "{start} to {end}");
    }
    spans.settle(30);
    assert_eq!(spans.0, [(50, 70)]);
}

#[test]
fn sessions_that_share_a_start_are_one_whatever_their_end() {
    let mut rewrite = rewrite(None, PointTime::End, WindowKind::Session { gap: Duration(5) });
    rewrite.make(&row(300, 400));
    assert_eq!(rewrite.judge(0, &standing(300, 500), 600), Verdict::Stays);
    assert!(rewrite.made.contains_key(&point(b"m", 400)) && !rewrite.made.contains_key(&point(b"m", 300)));
}

#[test]
fn only_what_may_have_become_complete_is_read() {
    let check = |window: WindowKind, zone: Option<&str>, expected: (i64, i64)| {
        let range = (Timestamp(10 * DAY), Timestamp(20 * DAY));
        let mut rewrite = Rewrite::new(range, None, PointTime::Start, [catalogue(window, zone)].into_iter());
        let starts = |rewrite: &Rewrite, complete| rewrite.starts(rewrite.metrics[0].as_ref().unwrap(), complete);
        assert_eq!(starts(&rewrite, 11 * DAY).0, 10 * DAY);
        rewrite.reach(15 * DAY);
        assert_eq!(starts(&rewrite, 15 * DAY + HOUR), expected, "{window:?}");
    };
    let end = 15 * DAY + HOUR;
    let (hour, day) = (Duration(HOUR), Duration(DAY));
    check(WindowKind::Tumbling { length: hour }, None, (15 * DAY - HOUR + 1, 15 * DAY + 1));
    check(WindowKind::Sliding { length: day, slide: hour }, None, (14 * DAY + 1, 14 * DAY + HOUR + 1));
    check(WindowKind::Tumbling { length: day }, Some("Europe/Berlin"), (13 * DAY, end));
    check(WindowKind::Cumulative { length: day, step: hour }, None, (13 * DAY, end));
    check(WindowKind::Session { gap: hour }, None, (15 * DAY, end));
}
