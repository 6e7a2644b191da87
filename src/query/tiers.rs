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
    let Some(stored_from) = stored_from(question, known, reach) else { return false };
    let (first, last) = needed(question);
    if first >= stored_from {
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
        question.notes.push(format!("nothing before {from} is compared with: it is neither stored nor covered by the archive"));
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

/// From when on the grain that is read is stored; `None` where that is always.
fn stored_from(question: &Question, known: &Known, reach: Reach) -> Option<Timestamp> {
    if reach.is_alone {
        return Some(Timestamp::MAX);
    }
    let metric = &known.metric;
    let kept_from = if question.grain == Grain::Points { metric.kept_from } else { metric.rolled_from };
    // Where nothing was said to be dropped, the window with the first point is whole as far as anybody knows.
    let first = known.extent.map(|extent| window_at(question, extent.first).map_or(extent.first, |window| window.start));
    kept_from.or(first).or(Some(Timestamp::MAX))
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
    question.frame.whole(&question.metric.catalogue, (time, plus(time, Duration(1)))).ok().map(|(a, b)| Window::new(a, b))
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
            let metric = &question.metric;
            let kept_from = if question.grain == Grain::Points { metric.kept_from } else { metric.rolled_from };
            if kept_from == Some(question.range.0) {
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
