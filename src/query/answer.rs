//! The answer to a question, slice by slice of time, so that memory holds one slice.
//!
//! Series, or parts of the time, are read side by side, each reader on its own connection, of a store at the same commit. Rows come
//! in order of their windows, then of rank or group, whoever read them.

use std::sync::mpsc::sync_channel;

use crate::metric::Metric;
use crate::query::error::QuestionError;
use crate::query::frame::Frame;
use crate::query::question::{Fill, How, Question};
use crate::query::recombine::{Merged, Plan};
use crate::query::{recombine, refine, stored};
use crate::store::{Grain, Points, WindowKind};
use crate::time::{Duration, Timestamp, Window};
use crate::value::Value;

/// What one group has in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The answer's values.
    pub values: Box<[Value]>,
    /// The stored row's revision.
    pub revision: u32,
    /// The stored row's rank.
    pub rank: Option<u64>,
    /// Whether the window has fired.
    pub is_final: bool,
}

/// Windows by groups of one slice.
const SLICE_CELLS: usize = 1 << 18;

/// The same where all values of a window may have to be known at once.
const SLICE_CELLS_ALL_STATES: usize = 1 << 12;

/// Rows that are handed out at a time, about.
const ROWS_MANY: usize = 1 << 10;

/// As often rows are made ahead of whoever takes them.
const CHUNKS_AHEAD: usize = 2;

/// Sessions are looked for that began so long before the range.
const SESSION_LOOKED_BACK: Duration = Duration(86_400_000_000);

/// Windows by groups where all must be known at once, to be filled.
const FILLED_CELLS_MAX: u64 = 4 << 20;

/// Answers a question: calls `take` with some rows after the other, in order, until it says no.
pub fn answer<M: Points>(
    question: &Question,
    readers: &mut [M],
    mut take: impl FnMut(Vec<Metric>) -> bool,
) -> Result<(), QuestionError> {
    let groups = question.grouping.groups.len();
    if groups == 0 {
        return Ok(());
    }
    if question.frame == Frame::AsStored {
        return as_stored(question, readers, &mut take);
    }
    let windows = question.frame.windows(question.range)?;
    // Sets of values may be large.
    let slice_cells = if question.metric.catalogue.all_states { SLICE_CELLS_ALL_STATES } else { SLICE_CELLS };
    let mut slice_windows = (slice_cells / groups).max(1);
    if question.fill != Fill::None {
        let cells = windows.len() as u64 * groups as u64;
        if cells > FILLED_CELLS_MAX {
            return Err(QuestionError::TooMany { cells, most: FILLED_CELLS_MAX });
        }
        slice_windows = windows.len().max(1);
    }
    let values = question.schema.aggregates.len() / if question.compare.is_some() { 3 } else { 1 };
    for windows in windows.chunks(slice_windows) {
        let mut slice = read(question, readers, windows)?;
        if question.fill != Fill::None || question.compare.is_some() {
            // What a cell becomes depends on others.
            let mut cells = slice.next(windows.len());
            refine::fill(&mut cells, &question.grouping.groups, question.fill, values);
            if let Some(by) = question.compare {
                let earlier = question.frame.earlier(windows, by);
                let before = read(question, readers, &earlier)?.next(earlier.len());
                refine::compare(&mut cells, &before);
            }
            slice = Slice::made(cells, groups);
        }
        if !hand_out(question, windows, slice, &mut take) {
            return Ok(());
        }
    }
    Ok(())
}

/// Hands out the rows of a slice, until `take` says no: while it takes some, the next ones are made. Gives what it said last.
fn hand_out(
    question: &Question,
    windows: &[Window],
    mut slice: Slice<'_>,
    take: &mut impl FnMut(Vec<Metric>) -> bool,
) -> bool {
    let (groups, presentation) = (&question.grouping.groups, &question.presentation);
    std::thread::scope(|scope| {
        let (hand, made) = sync_channel(CHUNKS_AHEAD);
        scope.spawn(move || {
            for windows in windows.chunks((ROWS_MANY / groups.len()).max(1)) {
                let mut cells = slice.next(windows.len()).into_iter();
                let mut rows = Vec::new();
                refine::rows(&mut cells, windows, groups, presentation, question.complete_until, &mut rows);
                if hand.send(rows).is_err() {
                    break;
                }
            }
        });
        made.into_iter().all(take)
    })
}

/// What the windows of a slice have of each group, from the first window on.
enum Slice<'a> {
    /// To be read out of what was merged: the next window.
    Merged(Merged<'a>, usize),
    /// The cells that are left, window by window, and the number of groups.
    Made(std::vec::IntoIter<Option<Cell>>, usize),
}

impl Slice<'_> {
    fn made(cells: Vec<Option<Cell>>, groups: usize) -> Slice<'static> {
        Slice::Made(cells.into_iter(), groups)
    }

    /// The cells of so many more windows.
    fn next(&mut self, windows: usize) -> Vec<Option<Cell>> {
        match self {
            Slice::Merged(merged, next) => {
                let from = std::mem::replace(next, *next + windows);
                merged.cells(from..*next)
            }
            Slice::Made(cells, groups) => cells.take(windows * *groups).collect(),
        }
    }
}

/// Reads what these windows have of each group.
fn read<'a, M: Points>(
    question: &'a Question,
    readers: &mut [M],
    windows: &'a [Window],
) -> Result<Slice<'a>, QuestionError> {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else { return Ok(Slice::made(Vec::new(), 1)) };
    let (metric, grouping) = (&question.metric, &question.grouping);
    // Half dropped points are no points.
    let kept_from = if question.grain == Grain::Points { metric.kept_from } else { metric.rolled_from };
    let from = kept_from.map_or(first.start, |kept_from| kept_from.max(first.start));
    let plan = Plan {
        metric,
        series: &grouping.series,
        groups: grouping.groups.len(),
        grain: question.grain,
        windows,
        range: (from, last.end.max(from)),
        open_from: question.complete_until,
    };
    Ok(match &question.how {
        How::Recombined(wanted) => Slice::Merged(recombine::merged(readers, plan, wanted)?, 0),
        How::Folded(refold) => Slice::Merged(refold.merged(readers, plan)?, 0),
        How::Stored(fields) => {
            let mut cells = vec![None; windows.len() * plan.groups];
            for (window, group, cell) in stored::rows(readers, metric, &grouping.series, fields, plan.range)? {
                if let Some(index) = crate::query::frame::place(windows, window.start) {
                    cells[index * plan.groups + group as usize] = Some(cell);
                }
            }
            Slice::made(cells, plan.groups)
        }
    })
}

/// Rows whose windows follow no grid, by the time at which they start.
fn as_stored<M: Points>(
    question: &Question,
    readers: &mut [M],
    take: &mut impl FnMut(Vec<Metric>) -> bool,
) -> Result<(), QuestionError> {
    let How::Stored(fields) = &question.how else { unreachable!("only stored rows need no grid") };
    let grouping = &question.grouping;
    // At first some sixty windows of a group a slice, as the chunks are laid out.
    let mut step = match question.metric.catalogue.window {
        WindowKind::Global => i64::MAX,
        WindowKind::Session { gap: unit } | WindowKind::Tumbling { length: unit } => unit.0.saturating_mul(60),
        WindowKind::Sliding { slide: unit, .. } => unit.0.saturating_mul(60),
        WindowKind::Cumulative { length, .. } => length.0,
    };
    let (begin, until) = question.range;
    // A window that began before the range may reach into it.
    let back = reach_of(question.metric.catalogue.window);
    // An archive may lack events of windows that seem to have fired.
    let archived = question.archived.as_ref().filter(|archived| archived.edge == Timestamp::MAX);
    let sure_until = archived.map(|archived| archived.complete_until);
    let mut from = Timestamp(begin.0.saturating_sub(back.0));
    while from < until {
        let next = Timestamp(from.0.saturating_add(step)).min(until);
        let mut found = stored::rows(readers, &question.metric, &grouping.series, fields, (from, next))?;
        found.retain(|(window, ..)| window.end > begin);
        let mut rows = Vec::new();
        for of_window in found.chunk_by(|(a, ..), (b, ..)| a == b) {
            let row = |(window, group, cell): &stored::Placed| {
                let is_complete = sure_until.is_none_or(|until| window.end <= until);
                refine::row(*window, grouping.groups[*group as usize].clone(), cell.clone(), is_complete)
            };
            refine::present(of_window.iter().map(row).collect(), &question.presentation, &mut rows);
        }
        // A look costs the more the further away the points are: where few are found, the next one goes further.
        if found.len() < SLICE_CELLS / 8 {
            step = step.saturating_mul(2);
        } else if found.len() > SLICE_CELLS {
            step = (step / 2).max(1);
        }
        if !take(rows) {
            return Ok(());
        }
        from = next;
    }
    Ok(())
}

/// By how much a window may reach beyond where it is looked for: windows that follow no grid overlap.
pub(crate) fn reach_of(window: WindowKind) -> Duration {
    match window {
        WindowKind::Sliding { length, .. } | WindowKind::Cumulative { length, .. } => length,
        WindowKind::Session { .. } => SESSION_LOOKED_BACK,
        WindowKind::Tumbling { .. } | WindowKind::Global => Duration(0),
    }
}

/// What one reader takes.
pub(crate) struct Task<'a> {
    /// The series, each with its group.
    pub series: &'a [(i64, u32)],
    /// The place of the first of them among all, for what goes by the order of series.
    pub first: usize,
    /// The time that is read of them.
    pub range: (Timestamp, Timestamp),
}

/// What each of the readers takes: some of the series, or of the time where there are fewer series than
/// readers, or where that is what readers of this kind share.
pub(crate) fn tasks<'a, M: Points>(
    series: &'a [(i64, u32)],
    range: (Timestamp, Timestamp),
    readers: &[M],
) -> Vec<Task<'a>> {
    let parts = readers.len();
    if !M::SHARES_TIME && series.len() >= parts {
        let edge = |part: usize| series.len() * part / parts.max(1);
        let task = |part: usize| Task { series: &series[edge(part)..edge(part + 1)], first: edge(part), range };
        return (0..parts).map(task).collect();
    }
    let (from, length) = (i128::from(range.0.0), i128::from(range.1.0) - i128::from(range.0.0));
    let edge = |part: usize| Timestamp((from + length * part as i128 / parts as i128) as i64);
    (0..parts).map(|part| Task { series, first: 0, range: (edge(part), edge(part + 1)) }).collect()
}
