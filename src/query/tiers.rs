//! Which part of a question is made of archived events: what lies before all that is stored, and what stored results can't give.
//!
//! ```text
//!   archive: raw events          │ edge   cold: roll-ups         hot: points
//!  ──┬─────────┬─────────┬───────┼─────────┬─────────┬─────────┬──────────
//!    reach.from  windows of the answer: each comes whole from one tier
//! ```
//!
//! Knows of an archive nothing but what it covers, and not how windows are made of it.

use crate::plan::MetricText;
use crate::query::answer::reach_of;
use crate::query::error::QuestionError;
use crate::query::frame::Frame;
use crate::query::question::{Archived, Asked, Question, WindowAsked};
use crate::store::{Grain, Known, StoredMetric};
use crate::time::{Duration, Timestamp, Window};

/// What an archive has of the events of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// From here on it has every event.
    pub from: Timestamp,
    /// Windows that end by then are settled: no more of their events can come.
    pub until: Timestamp,
    /// Windows that end by then have fired. Events within the allowed lateness may follow.
    pub fired: Timestamp,
    /// Whether nothing but the archive is asked.
    pub is_alone: bool,
}

/// Checks what is asked of a metric beneath which there is an archive. `text` is the query that made it.
///
/// Where the answer has a part of events, `Question::archived` says which. What there is of series need not be known for that: once
/// the part has been made, the same is asked again with those of both tiers.
pub fn settle(asked: &Asked, known: &Known, text: &MetricText, reach: Reach) -> Result<Question, QuestionError> {
    let alone = Question::of(asked, &known.metric, &known.series, known.extent);
    let needs_events = match &alone {
        Ok(question) => question.left_out,
        Err(QuestionError::FieldRefuses { .. }) => true,
        // Aggregates of the metric's own rows are of those that it keeps.
        Err(QuestionError::MetricRefuses { by_events, .. }) => *by_events && asked.agg.is_none(),
        Err(_) => false,
    };
    if needs_events {
        return of_events(asked, known, text, reach);
    }
    match alone {
        Ok(_) | Err(QuestionError::Dropped { .. }) => {
            // The same windows as without an archive.
            let pinned = pinned(asked, known)?;
            let whole = StoredMetric { kept_from: None, rolled_from: None, ..known.metric.clone() };
            let mut question = Question::of(&pinned, &whole, &known.series, known.extent)?;
            question.is_chosen = alone.as_ref().is_ok_and(|alone| alone.is_chosen);
            match beneath(&mut question, known, reach) {
                true => Ok(question),
                false => or_uncovered(alone, reach),
            }
        }
        Err(QuestionError::MetricRefuses { metric, to, reason, .. }) => {
            Err(QuestionError::MetricRefuses { metric, to, reason, by_events: false })
        }
        Err(error) => Err(error),
    }
}

/// The same question with its windows named.
fn pinned(asked: &Asked, known: &Known) -> Result<Asked, QuestionError> {
    if asked.window != WindowAsked::Any {
        return Ok(asked.clone());
    }
    let (frame, _) = Question::frame(asked, &known.metric, known.extent)?;
    let window = match frame {
        Frame::Every { length, .. } => WindowAsked::Every(length),
        Frame::Whole => WindowAsked::Whole,
        Frame::AsStored => WindowAsked::Any,
    };
    Ok(Asked { window, ..asked.clone() })
}

/// What lies before all that is stored comes from the archive. False where there is nothing of that, or the archive has none of it.
fn beneath(question: &mut Question, known: &Known, reach: Reach) -> bool {
    let stored_from = stored_from(question, known, reach);
    let (first, last) = needed(question);
    // Windows that reach into the range from before the first that is stored are looked for only where such were dropped.
    let is_dropped = kept_from(question, &known.metric).is_some() || reach.is_alone;
    let reached = if question.frame == Frame::AsStored && !is_dropped { question.range.0 } else { first };
    if reached >= stored_from {
        return false;
    }
    let edge = edge(question, stored_from);
    let from = first_whole(question, reach.from);
    // Beside what is stored only what is settled counts: it would never be looked at again.
    let until = if reach.is_alone { Timestamp::MAX } else { last_whole(question, reach.until) };
    let over = if question.frame == Frame::AsStored { reach_of(known.metric.catalogue.window) } else { Duration(0) };
    let made = (first.max(from), last.min(plus(edge, over)).min(until));
    let is_cut_off = question.frame == Frame::Whole && made.1 < edge.min(last);
    if made.0 >= made.1 || is_cut_off {
        return false;
    }
    if question.range.0 < from {
        question.notes.push(format!("what lies before {from} is neither stored nor covered by the archive"));
        question.range.0 = from;
        question.range.1 = question.range.1.max(from);
        (question.metric.kept_from, question.metric.rolled_from) = (Some(from), Some(from));
    }
    if question.range.0 >= from && first < from && question.compare.is_some() {
        question
            .notes
            .push(format!("nothing before {from} is compared with: it is neither stored nor covered by the archive"));
    }
    if until < edge.min(question.range.1) {
        let gap_end = edge.min(question.range.1);
        let told = format!("what lies between {until} and {gap_end} is neither stored nor covered by the archive yet");
        question.notes.push(told);
    }
    if reach.is_alone {
        question.complete_until = question.complete_until.min(reach.fired);
    }
    let catalogue = known.metric.catalogue.clone();
    question.archived = Some(Archived { range: made, edge, catalogue, complete_until: reach.fired });
    true
}

/// The whole answer comes from the archive: with all states and all rows any window can be merged.
fn of_events(asked: &Asked, known: &Known, text: &MetricText, reach: Reach) -> Result<Question, QuestionError> {
    let catalogue = known.metric.catalogue.with_all_states();
    let mut asked = pinned(asked, known)?;
    asked.having.clone_from(&known.metric.catalogue.having);
    if asked.top.is_none() && known.metric.catalogue.ranked {
        (asked.top, asked.with_ties) = (text.top, text.with_ties);
        asked.order_by.clone_from(&text.order_by);
    }
    let metric =
        StoredMetric { kept_from: None, rolled_from: None, catalogue: catalogue.clone(), ..known.metric.clone() };
    let mut question = Question::of(&asked, &metric, &known.series, known.extent)?;
    question.complete_until = question.complete_until.min(reach.fired);
    let (first, last) = needed(&question);
    let from = first_whole(&question, reach.from);
    if from >= question.range.1 {
        return Err(uncovered(reach));
    }
    if question.range.0 < from {
        question.notes.push(format!("what lies before {from} is not covered by the archive"));
        question.range.0 = from;
        (question.metric.kept_from, question.metric.rolled_from) = (Some(from), Some(from));
    }
    if !reach.is_alone && last > reach.until {
        question.notes.push(format!("what lies behind {} is not settled in the archive yet", reach.until));
    }
    let range = (first.max(from), last);
    question.archived = Some(Archived { range, edge: Timestamp::MAX, catalogue, complete_until: reach.fired });
    Ok(question)
}

/// From when on the grain that is read is stored.
fn stored_from(question: &Question, known: &Known, reach: Reach) -> Timestamp {
    if reach.is_alone {
        return Timestamp::MAX;
    }
    let dropped = kept_from(question, &known.metric);
    let Some(first) = known.extent.map(|extent| extent.first) else { return dropped.unwrap_or(Timestamp::MAX) };
    let is_rolled = known.metric.kept_from.is_some_and(|kept_from| first < kept_from);
    let begun = match window_at(question, first) {
        // The window with the first point is whole as far as anybody knows; but the archive, where it has all of it, does know.
        Some(window) if window.start < reach.from || reach.until < window.end => window.start,
        // A roll-up does not say since when within it there were points, unless all before it were dropped: then it is whole.
        Some(_) if is_rolled && dropped.is_none_or(|dropped| dropped < first) => plus(first, Duration(1)),
        _ => first,
    };
    // What is stored may begin later than what was dropped ends.
    dropped.map_or(begun, |dropped| dropped.max(begun))
}

/// From when on the grain that is read was kept, where some of it was dropped.
fn kept_from(question: &Question, metric: &StoredMetric) -> Option<Timestamp> {
    if question.grain == Grain::Points { metric.kept_from } else { metric.rolled_from }
}

/// The time that the answer's windows span, with those that they are compared with.
fn needed(question: &Question) -> (Timestamp, Timestamp) {
    let (from, until) = question.range;
    let catalogue = &question.metric.catalogue;
    let (mut first, last) = match &question.frame {
        Frame::Every { .. } => {
            let last = Timestamp(until.0.saturating_sub(1).max(from.0));
            let start = window_at(question, from).map_or(from, |window| window.start);
            (start, window_at(question, last).map_or(until, |window| window.end))
        }
        Frame::Whole => (from, until),
        Frame::AsStored => {
            let over = reach_of(catalogue.window);
            (Timestamp(from.0.saturating_sub(over.0)), plus(until, over))
        }
    };
    if let Some(by) = question.compare {
        let windows = [Window::new(first, plus(first, Duration(1)).max(last))];
        let earlier = match window_at(question, first) {
            Some(window) => question.frame.earlier(&[window], by),
            None => question.frame.earlier(&windows, by),
        };
        first = earlier.first().map_or(first, |window| window.start.min(first));
    }
    (first, last)
}

/// Where the windows begin that come from what is stored, which has all from `stored_from` on: no window lies across it.
fn edge(question: &Question, stored_from: Timestamp) -> Timestamp {
    if stored_from == Timestamp::MAX {
        return Timestamp::MAX;
    }
    match &question.frame {
        Frame::AsStored => stored_from,
        Frame::Every { .. } => match window_at(question, stored_from) {
            Some(window) if window.start < stored_from => window.end,
            _ => stored_from,
        },
        Frame::Whole => {
            let (from, until) = question.range;
            // Where only the earlier window is gone, and does not overlap.
            let earlier_end = Timestamp(until.0.saturating_sub(question.compare.map_or(0, |by| by.0)));
            if from >= stored_from && earlier_end <= from { earlier_end } else { until }
        }
    }
}

/// The start of the first window that lies behind `time`.
fn first_whole(question: &Question, time: Timestamp) -> Timestamp {
    match window_of_frame(question, time) {
        Some(window) if window.start < time => window.end,
        _ => time,
    }
}

/// The end of the last window that lies before `time`.
fn last_whole(question: &Question, time: Timestamp) -> Timestamp {
    window_of_frame(question, time).map_or(time, |window| window.start)
}

/// The window of the answer's grid that holds `time`; of one over all, that of the metric's own.
fn window_of_frame(question: &Question, time: Timestamp) -> Option<Window> {
    if question.frame != Frame::Whole {
        return window_at(question, time);
    }
    if time <= Timestamp::EARLIEST || time >= Timestamp::LATEST {
        return None;
    }
    question
        .frame
        .whole(&question.metric.catalogue, (time, plus(time, Duration(1))))
        .ok()
        .map(|(a, b)| Window::new(a, b))
}

/// The window of the answer's grid that holds `time`.
fn window_at(question: &Question, time: Timestamp) -> Option<Window> {
    match &question.frame {
        Frame::Every { grid, .. } if time > Timestamp::EARLIEST && time < Timestamp::LATEST => grid.slice(time),
        _ => None,
    }
}

fn plus(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_add(by.0))
}

/// The answer without an archive, with what that covers where it lacks something.
fn or_uncovered(alone: Result<Question, QuestionError>, reach: Reach) -> Result<Question, QuestionError> {
    match alone {
        Ok(mut question) => {
            if question.is_cut {
                question.notes.push(covers(reach));
            }
            Ok(question)
        }
        Err(error) => {
            let hint = error.hint();
            Err(QuestionError::Other { what: format!("{error}; {}", covers(reach)), hint })
        }
    }
}

fn uncovered(reach: Reach) -> QuestionError {
    let hint = format!("ask for a time within: --start {} --until {}", reach.from, reach.until);
    QuestionError::other(format!("cannot answer from the archive: {}", covers(reach)), hint)
}

fn covers(reach: Reach) -> String {
    match reach.from < reach.until {
        true => format!("the archive covers {} to {}", reach.from, reach.until),
        false => "the archive covers no span of time yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::query::question::Tier;
    use crate::store::{Catalogue, Extent};

    const MINUTE: i64 = 60_000_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn known(text: &MetricText, kept_from: Option<i64>, rolled_from: Option<i64>) -> Known {
        let plan = Plan::build(std::slice::from_ref(text)).unwrap();
        let catalogue = Catalogue::of(text, &plan.schemas[0], &plan.queries[0].functions);
        let time = |time: Option<i64>| time.map(Timestamp);
        let (kept_from, rolled_from) = (time(kept_from), time(rolled_from));
        let metric = StoredMetric { id: 1, catalogue, points: 1, refused: 0, kept_from, rolled_from };
        let first = Timestamp(rolled_from.or(kept_from).map_or(DAY, |time| time.0));
        let end = Timestamp(20 * DAY);
        let extent = Extent { first, last: Timestamp(end.0 - MINUTE), end, complete_until: end };
        Known { metric, series: Vec::new(), extent: Some(extent) }
    }

    fn minutes() -> MetricText {
        let agg = "count(*) AS n, count(DISTINCT u) AS users".to_owned();
        MetricText { tumbling: Some("1m".into()), agg: Some(agg), ..MetricText::default() }
    }

    fn asked(window: WindowAsked, days: (i64, i64)) -> Asked {
        let (from, until) = (Some(Timestamp(days.0 * DAY)), Some(Timestamp(days.1 * DAY)));
        Asked { window, from, until, fields: vec!["n".into()], ..Asked::default() }
    }

    /// The archive has all from two and a half hours after the epoch to the nineteenth day.
    const REACH: Reach = Reach {
        from: Timestamp(2 * HOUR + HOUR / 2),
        until: Timestamp(19 * DAY + HOUR / 2),
        fired: Timestamp(19 * DAY + HOUR),
        is_alone: false,
    };

    /// The parts of the answer, in hours.
    #[track_caller]
    fn check(asked: &Asked, known: &Known, expected: &[(Tier, i64, i64)]) -> Question {
        let question = settle(asked, known, &minutes(), REACH).unwrap();
        let parts = question.parts().into_iter();
        let parts: Vec<_> = parts.map(|part| (part.tier, part.range.0.0, part.range.1.0)).collect();
        let expected: Vec<_> = expected.iter().map(|(tier, from, to)| (*tier, from * HOUR, to * HOUR)).collect();
        assert_eq!(parts, expected);
        question
    }

    #[test]
    fn what_is_stored_needs_no_events() {
        let known = known(&minutes(), Some(10 * DAY), Some(5 * DAY));
        check(&asked(WindowAsked::Own, (10, 11)), &known, &[(Tier::Hot, 240, 264)]);
        let days = WindowAsked::Every(Duration(DAY));
        check(&asked(days, (5, 7)), &known, &[(Tier::Cold(Grain::Day), 120, 168)]);
    }

    #[test]
    fn what_was_dropped_of_the_grain_is_made_of_events_and_no_window_of_both() {
        use Tier::{Archive, Cold, Hot};
        let known = known(&minutes(), Some(10 * DAY), Some(5 * DAY));
        check(&asked(WindowAsked::Own, (9, 11)), &known, &[(Archive, 216, 240), (Hot, 240, 264)]);
        let every = |hours: i64| WindowAsked::Every(Duration(hours * HOUR));
        check(&asked(every(1), (4, 6)), &known, &[(Archive, 96, 120), (Cold(Grain::Hour), 120, 144)]);
        // The window that holds the edge comes whole from the archive: 119 to 126.
        check(&asked(every(7), (4, 6)), &known, &[(Archive, 91, 126), (Cold(Grain::Hour), 126, 144)]);
        let half = WindowAsked::Every(Duration(30 * MINUTE));
        check(&asked(half, (9, 11)), &known, &[(Archive, 216, 240), (Hot, 240, 264)]);
        check(&asked(WindowAsked::Whole, (4, 6)), &known, &[(Archive, 96, 144)]);
        let compared = Asked { compare: Some(Duration(DAY)), ..asked(every(24), (5, 7)) };
        check(&compared, &known, &[(Archive, 96, 120), (Cold(Grain::Day), 120, 168)]);
    }

    #[test]
    fn the_window_with_the_first_point_comes_from_the_archive_where_that_has_all_of_it() {
        use Tier::{Archive, Cold};
        let begun = |time: i64| {
            let known = known(&minutes(), None, None);
            let extent = known.extent.map(|extent| Extent { first: Timestamp(time), ..extent });
            Known { extent, ..known }
        };
        let every = |hours: i64| WindowAsked::Every(Duration(hours * HOUR));
        // Nothing was said to be dropped, and of the window from 119 to 126 only the rest is stored.
        let later = begun(5 * DAY);
        check(&asked(every(7), (4, 6)), &later, &[(Archive, 91, 126), (Cold(Grain::Hour), 126, 144)]);
        check(&asked(every(1), (4, 6)), &later, &[(Archive, 96, 120), (Cold(Grain::Hour), 120, 144)]);
        check(&asked(every(7), (6, 7)), &later, &[(Cold(Grain::Hour), 144, 168)]);
        let within = begun(5 * DAY + 10 * MINUTE);
        check(&asked(every(1), (5, 6)), &within, &[(Archive, 120, 121), (Cold(Grain::Hour), 121, 144)]);
        // The archive begins with half an hour, and ends with one: it knows no better.
        check(&asked(every(1), (0, 1)), &begun(2 * HOUR + 40 * MINUTE), &[(Cold(Grain::Hour), 0, 24)]);
        let last = begun(19 * DAY + 10 * MINUTE);
        check(&asked(every(1), (19, 20)), &last, &[(Cold(Grain::Hour), 456, 480)]);
        // Where its points are gone, of the first hour at 130 some minutes may be lacking, and of all before it everything.
        let gone = Known { metric: self::known(&minutes(), Some(10 * DAY), None).metric, ..begun(130 * HOUR) };
        check(&asked(every(1), (5, 6)), &gone, &[(Archive, 120, 131), (Cold(Grain::Hour), 131, 144)]);
        check(&asked(every(24), (5, 7)), &gone, &[(Archive, 120, 144), (Cold(Grain::Day), 144, 168)]);
        // Retention that has looked at it before it began has dropped nothing of it.
        let metric = self::known(&minutes(), Some(10 * DAY), Some(2 * DAY)).metric;
        check(
            &asked(every(24), (5, 7)),
            &Known { metric, ..begun(130 * HOUR) },
            &[(Archive, 120, 144), (Cold(Grain::Day), 144, 168)],
        );
        let metric = self::known(&minutes(), Some(2 * DAY), Some(DAY)).metric;
        let within = Known { metric, ..begun(130 * HOUR + 10 * MINUTE) };
        check(&asked(every(1), (5, 6)), &within, &[(Archive, 120, 131), (Cold(Grain::Hour), 131, 144)]);
        let metric = self::known(&minutes(), Some(2 * DAY), Some(DAY)).metric;
        let own = Known { metric, ..begun(130 * HOUR) };
        check(&asked(WindowAsked::Own, (5, 6)), &own, &[(Archive, 120, 130), (Tier::Hot, 130, 144)]);
    }

    #[test]
    fn windows_that_the_archive_has_half_are_left_out_and_told() {
        use Tier::{Archive, Cold};
        let known = known(&minutes(), Some(10 * DAY), Some(5 * DAY));
        let every = WindowAsked::Every(Duration(2 * HOUR));
        let question = check(&asked(every, (0, 6)), &known, &[(Archive, 4, 120), (Cold(Grain::Hour), 120, 144)]);
        assert_eq!(question.range.0, Timestamp(4 * HOUR));
        assert!(question.notes[0].contains("neither stored nor covered"), "{:?}", question.notes);
        let late = Reach { from: Timestamp(6 * DAY), ..REACH };
        let question = settle(&asked(every, (4, 7)), &known, &minutes(), late).unwrap();
        assert_eq!((question.archived.is_none(), question.range.0), (true, Timestamp(5 * DAY)));
        assert!(question.notes.iter().any(|note| note.contains("the archive covers")), "{:?}", question.notes);
        let short = Reach { until: Timestamp(3 * DAY + HOUR / 2), ..REACH };
        let question = settle(&asked(every, (1, 7)), &known, &minutes(), short).unwrap();
        assert_eq!(question.archived.unwrap().range, (Timestamp(DAY), Timestamp(3 * DAY)));
        assert!(question.notes[0].contains("what lies between"), "{:?}", question.notes);
        assert!(settle(&asked(WindowAsked::Whole, (1, 7)), &known, &minutes(), short).unwrap().archived.is_none());
    }

    #[test]
    fn what_cannot_be_merged_of_results_is_made_of_events_throughout() {
        let known = known(&minutes(), None, None);
        let hours = WindowAsked::Every(Duration(HOUR));
        let users = Asked { fields: vec!["users".into()], ..asked(hours, (2, 3)) };
        let question = check(&users, &known, &[(Tier::Archive, 48, 72)]);
        assert!(question.metric.catalogue.all_states);
        // All fields are asked for where none is named.
        let all = Asked { fields: Vec::new(), ..asked(hours, (2, 3)) };
        assert_eq!(check(&all, &known, &[(Tier::Archive, 48, 72)]).schema.aggregates, ["n", "users"]);
        // Beyond what is settled, windows have not fired.
        let question =
            check(&Asked { fields: Vec::new(), ..asked(hours, (18, 20)) }, &known, &[(Tier::Archive, 432, 480)]);
        assert_eq!(question.complete_until, REACH.fired);
        let best = MetricText { top: Some(3), having: Some("n > 1".into()), ..minutes() };
        let known = self::known(&best, None, None);
        let question = settle(&asked(hours, (2, 3)), &known, &best, REACH).unwrap();
        let top = question.presentation.top.as_ref().map(|top| top.rows);
        assert_eq!((top, question.presentation.having.is_some(), question.schema.ranked), (Some(3), true, true));
    }

    #[test]
    fn what_no_events_can_help_is_refused() {
        let sliding = MetricText { sliding: Some("2h/1h".into()), tumbling: None, ..minutes() };
        let known = known(&sliding, None, None);
        let refused = settle(&asked(WindowAsked::Every(Duration(4 * HOUR)), (2, 3)), &known, &sliding, REACH);
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("slide") && !refused.hint().unwrap().contains("--archive"), "{refused}");
    }
}
