//! The rows of a panel: which groups of a metric are shown, in which order, with which values.
//!
//! A row stands for one group, or for several that agree in the columns that the panel goes by: then their values are added up,
//! which is right for counts and sums only and so is done only where a layout asks for it. Does not know how rows are drawn.

use std::cmp::Ordering;
use std::collections::HashMap;

use smallvec::{SmallVec, smallvec};

use crate::dashboard::model::columns::Role;
use crate::dashboard::model::metric::MetricModel;
use crate::dashboard::model::series::{Point, Series};
use crate::time::Window;

/// How the rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// By the rank that the rows carry.
    Rank,
    /// By a field, by its place in the metric.
    Field {
        /// The place.
        field: usize,
        /// The greatest first.
        descending: bool,
    },
    /// By the groups' names.
    Group,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Columns to group by; None for all that the metric has.
    pub by: Option<&'a [String]>,
    /// The order; None for ranks where the rows carry them, else the first field, greatest first.
    pub sort: Option<Sort>,
    /// Only groups whose names hold this text, in any case of letters.
    pub filter: &'a str,
    /// The field whose history is wanted.
    pub history_field: usize,
    /// So many windows of history.
    pub history: usize,
    /// Rows to pass over.
    pub skip: usize,
    /// Rows to give at most.
    pub take: usize,
}

/// The rows of a panel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranked {
    /// The window that is looked at; None before the first row, and where each group has windows of its own.
    pub window: Option<Window>,
    /// The windows of the histories, oldest first; empty where each group has windows of its own.
    pub axis: Vec<Window>,
    /// The names of the columns that the rows go by.
    pub columns: Vec<String>,
    /// The rows asked for.
    pub rows: Vec<RankedRow>,
    /// Rows that there are, with those left out by `skip` and `take`.
    pub rows_matching: usize,
    /// Groups of the window, before the filter.
    pub groups: usize,
}

/// A group, or several added up.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedRow {
    /// Its columns' values, joined by ` / `.
    pub label: String,
    /// By field; NaN where there is none.
    pub values: Vec<f64>,
    /// The values of the window before; empty where the group was not in it.
    pub before: Vec<f64>,
    /// The history of one field, oldest first; NaN for windows without the group.
    pub history: Vec<f64>,
    /// False where a value may still change, because its window has not fired.
    pub is_final: bool,
    /// The place in the order of `--top`.
    pub rank: Option<u64>,
}

/// The groups that make a row; one, nearly always.
type Members<'a> = SmallVec<[&'a Series; 1]>;

/// A row before it is known whether it is shown.
struct Candidate<'a> {
    members: Members<'a>,
    sort_value: f64,
    rank: Option<u64>,
}

/// Answers what is asked.
pub fn rank(metric: &MetricModel, question: &Question) -> Ranked {
    let current = if metric.is_unaligned() { None } else { metric.current() };
    let axis = if metric.is_unaligned() { Vec::new() } else { metric.axis(question.history.max(2)) };
    let at = |series: &Series| point_at(series, current).map(|point| (point.values.clone(), point.rank));
    let keys = Keys::of(metric, question.by);
    let present = metric.series().filter(|series| point_at(series, current).is_some());
    let mut candidates = keys.candidates(present);
    let groups = candidates.len();
    let sort = question.sort.unwrap_or_else(|| {
        let is_ranked = candidates
            .iter()
            .any(|it| it.members.len() == 1 && at(it.members[0]).is_some_and(|(_, rank)| rank.is_some()));
        if is_ranked { Sort::Rank } else { Sort::Field { field: 0, descending: true } }
    });
    let wanted = question.filter.to_lowercase();
    // What has no groups has no names to hold the text.
    if !wanted.is_empty() && !keys.places.is_empty() {
        candidates.retain(|candidate| keys.label(candidate.members[0]).to_lowercase().contains(&wanted));
    }
    for candidate in &mut candidates {
        candidate.rank =
            if candidate.members.len() == 1 { at(candidate.members[0]).and_then(|(_, rank)| rank) } else { None };
        if let Sort::Field { field, .. } = sort {
            candidate.sort_value = sum_at(&candidate.members, current, field);
        }
    }
    let rows_matching = candidates.len();
    let shown_to = (question.skip + question.take).min(rows_matching);
    if shown_to > 0 && shown_to < rows_matching {
        candidates.select_nth_unstable_by(shown_to - 1, |a, b| order(sort, &keys, a, b));
        candidates.truncate(shown_to);
    }
    candidates.sort_unstable_by(|a, b| order(sort, &keys, a, b));
    let fields = metric.field_names().count();
    let row = |candidate: &Candidate| row_of(candidate, &keys, current, &axis, fields, question);
    Ranked {
        window: current,
        columns: keys.names.clone(),
        rows: candidates.iter().skip(question.skip).map(row).collect(),
        rows_matching,
        groups,
        axis: axis.into_iter().rev().take(question.history).rev().collect(),
    }
}

/// Which parts of a group's key a row goes by.
struct Keys {
    places: Vec<usize>,
    names: Vec<String>,
    /// Whether several groups may be one row.
    is_coarser: bool,
}

impl Keys {
    fn of(metric: &MetricModel, by: Option<&[String]>) -> Keys {
        let columns: Vec<_> = metric.key_columns().collect();
        let places: Vec<usize> = match by {
            // A column that was always null tells nothing apart and has no name worth showing.
            None => (0..columns.len()).filter(|&place| columns[place].role == Role::Group).collect(),
            Some(by) => by.iter().filter_map(|name| columns.iter().position(|column| column.name == *name)).collect(),
        };
        let is_coarser = (0..columns.len()).any(|place| columns[place].role == Role::Group && !places.contains(&place));
        let names = places.iter().map(|&place| columns[place].name.clone()).collect();
        Keys { places, names, is_coarser }
    }

    fn candidates<'a>(&self, present: impl Iterator<Item = &'a Series>) -> Vec<Candidate<'a>> {
        let candidate = |members| Candidate { members, sort_value: f64::NAN, rank: None };
        if !self.is_coarser {
            return present.map(|series| candidate(smallvec![series])).collect();
        }
        let mut rows: HashMap<Vec<Option<&str>>, Members> = HashMap::new();
        for series in present {
            rows.entry(self.parts(series).collect()).or_default().push(series);
        }
        let mut rows: Vec<Candidate> = rows.into_values().map(candidate).collect();
        // The order of a hash map must not decide how a sum is rounded.
        rows.iter_mut().for_each(|row| row.members.sort_unstable_by(|a, b| a.groups.cmp(&b.groups)));
        rows
    }

    fn parts<'a>(&self, series: &'a Series) -> impl Iterator<Item = Option<&'a str>> {
        self.places.iter().map(|&place| series.groups.get(place).and_then(|group| group.as_deref()))
    }

    fn label(&self, series: &Series) -> String {
        let parts: Vec<&str> = self.parts(series).map(|part| part.unwrap_or("null")).collect();
        parts.join(" / ")
    }
}

fn order(sort: Sort, keys: &Keys, a: &Candidate, b: &Candidate) -> Ordering {
    let by_group = || keys.parts(a.members[0]).cmp(keys.parts(b.members[0]));
    match sort {
        Sort::Group => by_group(),
        Sort::Rank => a.rank.unwrap_or(u64::MAX).cmp(&b.rank.unwrap_or(u64::MAX)).then_with(by_group),
        Sort::Field { descending, .. } => {
            let (x, y) = (a.sort_value, b.sort_value);
            // What has no value comes last either way.
            let by_value = match (x.is_nan(), y.is_nan()) {
                (false, false) if descending => y.total_cmp(&x),
                (false, false) => x.total_cmp(&y),
                (x, y) => x.cmp(&y),
            };
            by_value.then_with(by_group)
        }
    }
}

fn row_of(
    candidate: &Candidate,
    keys: &Keys,
    current: Option<Window>,
    axis: &[Window],
    fields: usize,
    question: &Question,
) -> RankedRow {
    let members = &candidate.members;
    let values = |window: Option<Window>| (0..fields).map(|field| sum_at(members, window, field)).collect::<Vec<_>>();
    let (before, history) = match current {
        Some(_) => {
            let before = axis.len().checked_sub(2).map(|place| axis[place]);
            let was_there = before.is_some_and(|window| members.iter().any(|series| series.at(window).is_some()));
            let shown = &axis[axis.len().saturating_sub(question.history)..];
            let history = shown.iter().map(|&window| sum_at(members, Some(window), question.history_field)).collect();
            (if was_there { values(before) } else { Vec::new() }, history)
        }
        None => own_history(members[0], fields, question),
    };
    RankedRow {
        label: keys.label(members[0]),
        values: values(current),
        before,
        history,
        is_final: members.iter().filter_map(|series| point_at(series, current)).all(|point| point.is_final),
        rank: candidate.rank,
    }
}

/// Of a group with windows of its own: the values of the one before the last, and its history.
fn own_history(series: &Series, fields: usize, question: &Question) -> (Vec<f64>, Vec<f64>) {
    let points = series.points();
    let value = |point: &Point, field: usize| point.value(field).unwrap_or(f64::NAN);
    let before = points.iter().rev().nth(1).map(|point| (0..fields).map(|field| value(point, field)).collect());
    let skipped = points.len().saturating_sub(question.history);
    let history = points.iter().skip(skipped).map(|point| value(point, question.history_field)).collect();
    (before.unwrap_or_default(), history)
}

/// The point of a window, or the newest where each group has windows of its own.
fn point_at(series: &Series, window: Option<Window>) -> Option<&Point> {
    window.map_or_else(|| series.last(), |window| series.at(window))
}

/// The sum of the members' values; NaN where none has one.
fn sum_at(members: &[&Series], window: Option<Window>, field: usize) -> f64 {
    let values = members.iter().filter_map(|series| point_at(series, window)?.value(field));
    values.reduce(|sum, value| sum + value).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::model::fixture::{model_of, row};

    const ALL: Question<'static> =
        Question { by: None, sort: None, filter: "", history_field: 0, history: 10, skip: 0, take: 100 };

    fn lines() -> String {
        [
            row("m", 0, r#""country":"DE","currency":"EUR","total":10,"orders":1"#),
            row("m", 0, r#""country":"FR","currency":"EUR","total":30,"orders":2"#),
            row("m", 1, r#""country":"DE","currency":"EUR","total":20,"orders":5"#),
            row("m", 1, r#""country":"US","currency":"USD","total":5,"orders":9"#),
            row("m", 1, r#""country":"FR","currency":"EUR","total":15,"orders":null"#),
        ]
        .concat()
    }

    /// Rows as `label values | before | history`.
    #[track_caller]
    fn check(text: &str, question: Question, expected: &[&str]) -> Ranked {
        let ranked = rank(&model_of(text).metrics()[0], &question);
        let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        let shown: Vec<String> = ranked
            .rows
            .iter()
            .map(|row| {
                let mark = if row.is_final { "" } else { "~" };
                format!("{mark}{}: {} | {} | {}", row.label, list(&row.values), list(&row.before), list(&row.history))
            })
            .collect();
        assert_eq!(shown, expected);
        ranked
    }

    #[test]
    fn greatest_first_with_what_was_before() {
        let ranked = check(
            &lines(),
            ALL,
            &["DE / EUR: 20 5 | 10 1 | 10 20", "FR / EUR: 15 NaN | 30 2 | 30 15", "US / USD: 5 9 |  | NaN 5"],
        );
        assert_eq!((ranked.columns.join(","), ranked.groups), ("country,currency".into(), 3));
    }

    #[test]
    fn other_orders() {
        let orders = |field, descending| Question { sort: Some(Sort::Field { field, descending }), ..ALL };
        let labels = |question: Question| {
            let ranked = rank(&model_of(&lines()).metrics()[0], &question);
            ranked.rows.iter().map(|row| row.label[..2].to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(orders(1, true)), "US DE FR");
        assert_eq!(labels(orders(1, false)), "DE US FR");
        assert_eq!(labels(Question { sort: Some(Sort::Group), ..ALL }), "DE FR US");
        assert_eq!(labels(Question { skip: 1, take: 1, ..ALL }), "FR");
        assert_eq!(labels(Question { filter: "eur", ..ALL }), "DE FR");
        let ranked = row("m", 0, r#""g":"b","n":9,"rank":2"#) + &row("m", 0, r#""g":"a","n":1,"rank":1"#);
        check(&ranked, ALL, &["a: 1 |  | 1", "b: 9 |  | 9"]);
    }

    #[test]
    fn groups_that_agree_are_added_up_where_it_is_asked() {
        let by = ["currency".to_owned()];
        let coarser = Question { by: Some(&by), ..ALL };
        check(&lines(), coarser, &["EUR: 35 5 | 40 3 | 40 35", "USD: 5 9 |  | NaN 5"]);
        check(&lines(), Question { by: Some(&[]), ..ALL }, &[": 40 14 | 40 3 | 40 40"]);
    }

    #[test]
    fn early_rows_come_first_and_are_told_apart() {
        let text = lines() + &row("m", 2, r#""country":"DE","currency":"EUR","total":1,"orders":1,"final":false"#);
        check(&text, ALL, &["~DE / EUR: 1 1 | 20 5 | 10 20 1"]);
    }

    #[test]
    fn each_session_is_the_window_of_its_group() {
        let session = |user: &str, from: i64, to: i64, n: i64| {
            let time = |second: i64| crate::time::Timestamp(second * 1_000_000);
            format!(
                "{{\"metric\":\"s\",\"window_start\":\"{}\",\"window_end\":\"{}\",\"user\":\"{user}\",\"n\":{n}}}\n",
                time(from),
                time(to)
            )
        };
        let text = session("a", 0, 30, 1) + &session("b", 5, 42, 7) + &session("a", 50, 67, 3);
        let ranked = check(&text, ALL, &["b: 7 |  | 7", "a: 3 | 1 | 1 3"]);
        assert_eq!((ranked.window, ranked.axis.len()), (None, 0));
    }
}
