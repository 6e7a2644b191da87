//! Timelines of sessions.

use crate::plan::MetricText;
use crate::time::{Duration, Timestamp, Window};
use crate::window::session::Gap;
use crate::window::testing::check;

fn session(lateness: &str) -> MetricText {
    let allowed_lateness = Some(lateness.into());
    MetricText { session: Some("5us".into()), allowed_lateness, ..MetricText::default() }
}

/// ```text
/// a@1 ─ 5 ─ a@6 ── 6 ── a@12
/// [───────────────)[────────)     one gap apart is one session, more are two
/// ```
#[test]
fn sessions_exactly_one_gap_apart_are_one() {
    check(session("0s"), 0, &["a@1 a@6 a@12"], &["[1,11) a=2", "[12,17) a=1"]);
}

/// ```text
/// a@1 ──────── a@9 ── a@5 (w = 4)
/// [─────)    [─────)
/// [────────────────)              5 touches both
/// ```
#[test]
fn an_event_between_two_sessions_joins_them() {
    check(session("0s"), 5, &["a@1 a@9 a@5"], &["[1,14) a=3"]);
}

/// z takes the watermark to 6, where [1, 6) has finished. The event at 5 would touch it, but begins a session of its own.
#[test]
fn nothing_joins_a_session_that_has_finished() {
    check(session("0s"), 0, &["a@1 z@6 a@5"], &["[1,6) a=1", "[5,10) a=1", "[6,11) z=1"]);
}

/// Within the lateness it does join: the fired row is taken back, and the longer session waits for its own end.
#[test]
fn a_fired_session_that_grows_is_retracted() {
    let expected = ["[1,6) a=1", "[1,6) a=1 #1 gone", "[1,10) a=2", "[6,11) z=1"];
    check(session("3us"), 0, &["a@1 z@6 a@5"], &expected);
}

#[test]
fn a_fired_session_that_takes_a_straggler_within_its_bounds_is_revised() {
    let expected = ["[1,7) a=2", "[1,7) a=3 #1", "[7,12) z=1"];
    check(session("3us"), 0, &["a@1 a@2 z@7 a@1"], &expected);
}

/// Two fired sessions merge: both rows are taken back in the order of their windows, whichever came first.
/// ```text
/// a@10 ── a@2 ── z@24 (w = 15 fires both) ── a@6 (touches both)
/// ```
#[test]
fn merged_sessions_are_retracted_in_order() {
    check(
        session("9us"),
        9,
        &["a@10 a@2 z@24 a@6"],
        &["[2,7) a=1", "[10,15) a=1", "[2,7) a=1 #1 gone", "[10,15) a=1 #1 gone", "[2,15) a=3", "[24,29) z=1"],
    );
}

/// What `--having` takes back is the row that was written, not the new one that fails.
#[test]
fn a_session_taken_back_is_shown_as_it_was() {
    let query = MetricText { having: Some("count < 3".into()), ..session("3us") };
    let expected = ["[1,7) a=2", "[1,7) a=2 #1 gone", "[7,12) z=1"];
    check(query, 0, &["a@1 a@2 z@7 a@1"], &expected);
}

/// Cut at multiples of 8: the session that starts at 8 does not join the one before it.
#[test]
fn the_longest_session_is_cut_at_multiples() {
    let query = MetricText { session_max: Some("8us".into()), ..session("0s") };
    check(query, 0, &["a@5 a@7 a@8"], &["[5,8) a=2", "[8,13) a=1"]);
}

#[test]
fn before_the_epoch_cuts_lie_at_multiples_too() {
    let gap = Gap { gap: Duration(5), longest: Some(Duration(8)) };
    assert_eq!(gap.window(Timestamp(-3), Timestamp(-1)), Window::new(Timestamp(-3), Timestamp(0)));
    assert!(!gap.joins((Timestamp(-1), Timestamp(-1)), (Timestamp(0), Timestamp(0))));
}
