//! The rules of windows and watermarks as plainly as they can be said: take one line after the other, keep every event,
//! and compute every row from all events of its window.
//!
//! Nothing here is shared with the library: no slices, no shards, no partial results.
//!
//! This file is long because the model is to be read in one go, from the events to the rows, beside the rules of time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::case::{Aggregate, Case, Event, Having, Line, MetricCase, TopCase, WindowsCase, rfc3339};

/// What a run gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The rows, in order.
    pub rows: Vec<String>,
    /// The late events' lines, in order.
    pub late: Vec<String>,
    /// By metric.
    pub counts: Vec<Counts>,
    pub input: InputCounts,
    /// More sessions were open at once than the bound allows. Then nothing else counts.
    pub too_many_sessions: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub used: u64,
    pub filtered: u64,
    pub late: u64,
    pub no_window: u64,
    /// Events in the overflow group, over all windows that fired.
    pub overflowed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputCounts {
    pub events_in: u64,
    pub malformed: u64,
    pub future: u64,
    pub in_band: u64,
    pub blank: u64,
}

/// The answer that the rules demand.
pub fn answer(case: &Case) -> Answer {
    let mut model = Model {
        case,
        events: Vec::new(),
        metrics: case.metrics.iter().map(|metric| Metric { case: metric, windows: Vec::new() }).collect(),
        watermark: MIN,
        partitions: vec![
            Partition { next: 0, highest: MIN, watermark: MIN, in_band: false, ended: false };
            case.partitions.len()
        ],
        answer: Answer { counts: vec![Counts::default(); case.metrics.len()], ..Answer::default() },
    };
    while model.step() {
        if model.answer.too_many_sessions {
            return Answer { too_many_sessions: true, ..Answer::default() };
        }
    }
    if case.fire_at_end {
        model.advance(MAX);
    }
    for number in 0..model.metrics.len() {
        model.answer.counts[number].overflowed = model.overflowed(number);
    }
    model.answer
}

const MIN: i64 = i64::MIN;
const MAX: i64 = i64::MAX;

struct Model<'a> {
    case: &'a Case,
    /// Every event that was taken, in order.
    events: Vec<Taken<'a>>,
    metrics: Vec<Metric<'a>>,
    /// The operator's.
    watermark: i64,
    partitions: Vec<Partition>,
    answer: Answer,
}

#[derive(Clone)]
struct Partition {
    next: usize,
    highest: i64,
    watermark: i64,
    in_band: bool,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Taken<'a> {
    event: &'a Event,
    partition: usize,
    line: usize,
}

struct Metric<'a> {
    case: &'a MetricCase,
    windows: Vec<WindowState>,
}

/// A window of the metric; of one group, where it is a session.
#[derive(Clone)]
struct WindowState {
    start: i64,
    end: i64,
    /// The group of a session.
    session: Option<Vec<Value>>,
    /// Its events, by number.
    members: Vec<usize>,
    fired: bool,
    /// What was written of each group.
    written: Vec<Written>,
    /// Events when it was written early.
    early: usize,
}

#[derive(Clone)]
struct Written {
    group: Vec<Value>,
    rows: usize,
    /// The row that holds.
    holds: Option<Row>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    group: Vec<Value>,
    aggregates: Vec<Value>,
    rank: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Int(i64),
    Float(f64),
    Text(String),
    Null,
}

/// An event late for a window of this end, and one that changes it after it has fired, differ by the lateness only.
fn is_late(watermark: i64, end: i64, lateness: i64) -> bool {
    watermark >= end.saturating_add(lateness)
}

impl<'a> Model<'a> {
    /// Takes the next line of the partition whose watermark is lowest. False when there is none left.
    fn step(&mut self) -> bool {
        let open = (0..self.partitions.len()).filter(|&p| !self.partitions[p].ended);
        let Some(lowest) = open.min_by_key(|&p| (self.partitions[p].watermark, p)) else { return false };
        let line = self.partitions[lowest].next;
        self.partitions[lowest].next += 1;
        match self.case.partitions[lowest].get(line) {
            None => self.partitions[lowest].ended = true,
            Some(Line::Blank) => self.answer.input.blank += 1,
            Some(Line::EarlyRow | Line::Stats) => self.answer.input.in_band += 1,
            Some(Line::Malformed) => {
                self.answer.input.events_in += 1;
                self.answer.input.malformed += 1;
            }
            Some(Line::Watermark(time)) => {
                self.answer.input.in_band += 1;
                let partition = &mut self.partitions[lowest];
                partition.in_band = true;
                partition.watermark = partition.watermark.max(*time);
            }
            Some(Line::Event(event)) => {
                self.answer.input.events_in += 1;
                // A result row is dated by its window, which may end after the clock.
                if !event.is_row && self.case.latest.is_some_and(|latest| event.time > latest) {
                    self.answer.input.future += 1;
                    return true;
                }
                self.take(Taken { event, partition: lowest, line });
                let partition = &mut self.partitions[lowest];
                partition.highest = partition.highest.max(event.time);
                if !partition.in_band {
                    partition.watermark = partition.watermark.max(partition.highest - self.case.delay);
                }
            }
        }
        let open = self.partitions.iter().filter(|partition| !partition.ended);
        let least = open.map(|partition| partition.watermark).min();
        self.advance(least.unwrap_or(MIN));
        true
    }

    /// Moves the operator's watermark: fires what it has reached.
    fn advance(&mut self, watermark: i64) {
        let before = self.watermark;
        self.watermark = before.max(watermark);
        let mut rows = Vec::new();
        for number in 0..self.metrics.len() {
            for index in 0..self.metrics[number].windows.len() {
                let window = &self.metrics[number].windows[index];
                if !window.fired && window.end <= self.watermark {
                    let place = (window.end, window.start, number, window.session.clone());
                    rows.push((place, self.fire(number, index)));
                }
            }
        }
        self.write(rows);
        let Some(early) = self.case.early else { return };
        if before == MIN || self.watermark == MAX || before.div_euclid(early) == self.watermark.div_euclid(early) {
            return;
        }
        let mut rows = Vec::new();
        for number in 0..self.metrics.len() {
            for index in 0..self.metrics[number].windows.len() {
                let window = &self.metrics[number].windows[index];
                if !window.fired && window.members.len() != window.early {
                    let place = (window.end, window.start, number, window.session.clone());
                    let rows_early = self.rows(number, index);
                    let lines = rows_early.iter().map(|row| self.line(number, index, row, 0, ",\"final\":false"));
                    rows.push((place, lines.collect()));
                    let window = &mut self.metrics[number].windows[index];
                    window.early = window.members.len();
                }
            }
        }
        self.write(rows);
    }

    /// Writes rows in order of window end, start, metric, and group of a session.
    #[allow(clippy::type_complexity)]
    fn write(&mut self, mut rows: Vec<((i64, i64, usize, Option<Vec<Value>>), Vec<String>)>) {
        rows.sort_by(|(a, _), (b, _)| {
            let sessions = || match (&a.3, &b.3) {
                (Some(a), Some(b)) => compare_groups(a, b),
                _ => Ordering::Equal,
            };
            (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then_with(sessions)
        });
        self.answer.rows.extend(rows.into_iter().flat_map(|(_, lines)| lines));
    }

    /// Shows an event to every metric.
    fn take(&mut self, taken: Taken<'a>) {
        self.events.push(taken);
        let event = self.events.len() - 1;
        // A partition that slept while the operator's watermark went on is judged by that.
        let own = self.partitions[taken.partition].watermark.max(self.watermark);
        let mut late = false;
        for number in 0..self.metrics.len() {
            let case = self.metrics[number].case;
            if case.filter && taken.event.n.is_none_or(|n| n < 2) {
                self.answer.counts[number].filtered += 1;
                continue;
            }
            let windows = windows_of(case, taken.event.time);
            if windows.is_empty() {
                self.answer.counts[number].no_window += 1;
                continue;
            }
            let joined = match case.windows {
                WindowsCase::Session(..) => {
                    let joined = self.join_session(number, event, windows[0], own);
                    self.answer.too_many_sessions |=
                        case.groups_max.is_some_and(|max| self.sessions_open(number) > max);
                    joined
                }
                _ => self.join(number, event, &windows, own),
            };
            match joined {
                true => self.answer.counts[number].used += 1,
                false => self.answer.counts[number].late += 1,
            }
            late |= !joined;
        }
        if late {
            self.answer.late.push(self.case.partitions[taken.partition][taken.line].text());
        }
    }

    /// Lets an event join each of its windows that is still open for it; those that have fired fire again.
    fn join(&mut self, number: usize, event: usize, windows: &[(i64, i64)], own: i64) -> bool {
        let mut joined = false;
        for &(start, end) in windows {
            let metric = &mut self.metrics[number];
            if is_late(own, end, metric.case.lateness) {
                continue;
            }
            joined = true;
            let found = metric.windows.iter().position(|window| (window.start, window.end) == (start, end));
            let index = found.unwrap_or_else(|| {
                // A window that had no event has fired without a row.
                metric.windows.push(WindowState { fired: end <= self.watermark, ..WindowState::new(start, end, None) });
                metric.windows.len() - 1
            });
            metric.windows[index].members.push(event);
            if metric.windows[index].fired {
                let group = self.limited_group(number, index, event);
                let lines = self.revise(number, index, &group);
                self.answer.rows.extend(lines);
            }
        }
        joined
    }

    /// Merges an event's own session with those of its group that it touches and that are not finished by its watermark;
    /// only then is it judged.
    fn join_session(&mut self, number: usize, event: usize, (start, end): (i64, i64), own: i64) -> bool {
        let case = self.metrics[number].case;
        let WindowsCase::Session(_, longest) = case.windows else { unreachable!("called for sessions only") };
        let group = group_of(case, self.events[event].event);
        let touched = |window: &WindowState| {
            let same_segment =
                longest.is_none_or(|longest| window.start.div_euclid(longest) == start.div_euclid(longest));
            let finished = is_late(own, window.end, case.lateness);
            window.session.as_ref() == Some(&group)
                && same_segment
                && !finished
                && start <= window.end
                && window.start <= end
        };
        let (mut joined, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.metrics[number].windows).into_iter().partition(touched);
        self.metrics[number].windows = others;
        let mut merged = WindowState::new(
            joined.iter().map(|window| window.start).fold(start, i64::min),
            joined.iter().map(|window| window.end).fold(end, i64::max),
            Some(group),
        );
        if joined.is_empty() && is_late(own, end, case.lateness) {
            return false;
        }
        joined.sort_by_key(|window| (window.end, window.start));
        for mut window in joined {
            merged.members.append(&mut window.members);
            if (window.start, window.end) == (merged.start, merged.end) {
                (merged.fired, merged.written) = (window.fired, window.written);
                continue;
            }
            // Its row no longer holds.
            for written in &window.written {
                if let Some(row) = &written.holds {
                    let line = line(case, number, (window.start, window.end), row, written.rows, ",\"retracted\":true");
                    self.answer.rows.push(line);
                }
            }
        }
        merged.members.push(event);
        merged.members.sort_unstable();
        let group = merged.session.clone().expect("sessions have a group");
        self.metrics[number].windows.push(merged);
        let index = self.metrics[number].windows.len() - 1;
        if self.metrics[number].windows[index].end <= self.watermark {
            self.metrics[number].windows[index].fired = true;
            let lines = self.revise(number, index, &group);
            self.answer.rows.extend(lines);
        }
        true
    }

    /// Sessions that an event could still change.
    fn sessions_open(&self, number: usize) -> usize {
        let Metric { case, windows } = &self.metrics[number];
        windows.iter().filter(|window| !is_late(self.watermark, window.end, case.lateness)).count()
    }

    /// The rows of a window that fires for the first time.
    fn fire(&mut self, number: usize, index: usize) -> Vec<String> {
        let rows = self.rows(number, index);
        let lines = rows.iter().map(|row| self.line(number, index, row, 0, "")).collect();
        let window = &mut self.metrics[number].windows[index];
        window.fired = true;
        let written = |row: Row| Written { group: row.group.clone(), rows: 1, holds: Some(row) };
        window.written = rows.into_iter().map(written).collect();
        lines
    }

    /// What changes when an event of `group` has joined a window that had fired: rows that no longer hold are written
    /// once more as retracted; then the group's row, and those of others that it changed, in order.
    fn revise(&mut self, number: usize, index: usize, group: &[Value]) -> Vec<String> {
        let rows = self.rows(number, index);
        let mut lines = Vec::new();
        let mut written = std::mem::take(&mut self.metrics[number].windows[index].written);
        let mut fallen: Vec<&mut Written> =
            written.iter_mut().filter(|w| w.holds.is_some() && !rows.iter().any(|row| row.group == w.group)).collect();
        fallen.sort_by(|a, b| {
            let rank = |w: &Written| w.holds.as_ref().and_then(|row| row.rank);
            rank(a).cmp(&rank(b)).then_with(|| compare_groups(&a.group, &b.group))
        });
        for written in fallen {
            let row = written.holds.take().expect("only rows that hold fall");
            lines.push(self.line(number, index, &row, written.rows, ",\"retracted\":true"));
            written.rows += 1;
        }
        for row in rows {
            let known = written.iter().position(|written| written.group == row.group);
            let place = known.unwrap_or_else(|| {
                written.push(Written { group: row.group.clone(), rows: 0, holds: None });
                written.len() - 1
            });
            let written = &mut written[place];
            if row.group == group || written.holds.as_ref() != Some(&row) {
                lines.push(self.line(number, index, &row, written.rows, ""));
                written.rows += 1;
                written.holds = Some(row);
            }
        }
        self.metrics[number].windows[index].written = written;
        lines
    }

    /// The group that a member of a window belongs to there: beyond the bound on groups, the overflow group.
    fn limited_group(&self, number: usize, index: usize, event: usize) -> Vec<Value> {
        let metric = &self.metrics[number];
        let mut known: Vec<Vec<Value>> = Vec::new();
        for &member in &metric.windows[index].members {
            let group = group_of(metric.case, self.events[member].event);
            let is_new = !known.contains(&group);
            let overflows = is_new && metric.case.groups_max.is_some_and(|max| known.len() >= max);
            if is_new && !overflows {
                known.push(group.clone());
            }
            if member == event {
                return if overflows { group.iter().map(|_| Value::Text("__other__".into())).collect() } else { group };
            }
        }
        unreachable!("the event is a member of the window")
    }

    fn overflowed(&self, number: usize) -> u64 {
        let windows = &self.metrics[number].windows;
        let fired = windows.iter().enumerate().filter(|(_, window)| window.fired);
        let overflows = |index: usize, event: usize| {
            self.limited_group(number, index, event).contains(&Value::Text("__other__".into()))
        };
        let count = |(index, window): (usize, &WindowState)| {
            window.members.iter().filter(|&&event| overflows(index, event)).count() as u64
        };
        fired.map(count).sum()
    }

    /// The rows of a window in their order, computed from all of its events.
    fn rows(&self, number: usize, index: usize) -> Vec<Row> {
        let metric = &self.metrics[number];
        let mut groups: Vec<(Vec<Value>, Vec<Taken>)> = Vec::new();
        for &member in &metric.windows[index].members {
            let group = self.limited_group(number, index, member);
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, members)) => members.push(self.events[member]),
                None => groups.push((group, vec![self.events[member]])),
            }
        }
        groups.sort_by(|(a, _), (b, _)| compare_groups(a, b));
        let row = |(group, members): (Vec<Value>, Vec<Taken>)| Row {
            group,
            aggregates: metric.case.aggregates.iter().map(|aggregate| aggregated(*aggregate, &members)).collect(),
            rank: None,
        };
        let mut rows: Vec<Row> = groups.into_iter().map(row).collect();
        rows.retain(|row| shows(metric.case, row));
        if let Some(top) = &metric.case.top {
            rank(top, &mut rows);
        }
        rows
    }

    fn line(&self, number: usize, index: usize, row: &Row, revision: usize, mark: &str) -> String {
        let metric = &self.metrics[number];
        let window = &metric.windows[index];
        line(metric.case, number, (window.start, window.end), row, revision, mark)
    }
}

impl WindowState {
    fn new(start: i64, end: i64, session: Option<Vec<Value>>) -> WindowState {
        WindowState { start, end, session, members: Vec::new(), fired: false, written: Vec::new(), early: 0 }
    }
}

/// Every window that holds `time`, as (start, end), in order of their ends.
fn windows_of(case: &MetricCase, time: i64) -> Vec<(i64, i64)> {
    let shifted = |multiple: i64, length: i64| multiple * length + case.offset;
    let mut windows: Vec<(i64, i64)> = Vec::new();
    // Far more multiples than the times of a case need.
    let multiples = -150..150;
    match case.windows {
        WindowsCase::Tumbling(size) => windows.extend(multiples.map(|k| (shifted(k, size), shifted(k + 1, size)))),
        WindowsCase::Sliding(size, slide) => {
            windows.extend(multiples.map(|k| (shifted(k, slide), shifted(k, slide) + size)))
        }
        WindowsCase::Cumulative(size, step) => {
            for k in multiples {
                windows.extend((1..=size / step).map(|j| (shifted(k, size), shifted(k, size) + j * step)));
            }
        }
        WindowsCase::Session(gap, longest) => {
            let cut = longest.map_or(MAX, |longest| (time.div_euclid(longest) + 1) * longest);
            windows.push((time, cut.min(time + gap)));
        }
        WindowsCase::Global => windows.push((MIN, MAX)),
    }
    windows.retain(|&(start, end)| start <= time && time < end);
    windows.sort_by_key(|&(start, end)| (end, start));
    windows
}

fn group_of(case: &MetricCase, event: &Event) -> Vec<Value> {
    let g = event.g.map_or(Value::Null, |g| Value::Text(g.into()));
    let h = event.h.map_or(Value::Null, Value::Int);
    [g, h].into_iter().take(case.groups).collect()
}

fn shows(case: &MetricCase, row: &Row) -> bool {
    let value = |wanted: Aggregate| {
        let place = case.aggregates.iter().position(|aggregate| *aggregate == wanted);
        &row.aggregates[place.expect("--having names an aggregate of the query")]
    };
    match case.having {
        None => true,
        Some(Having::CountAtLeast(n)) => matches!(value(Aggregate::Count), Value::Int(c) if *c >= n),
        Some(Having::CountAtMost(n)) => matches!(value(Aggregate::Count), Value::Int(c) if *c <= n),
        Some(Having::SumOverOne) => matches!(value(Aggregate::SumX), Value::Float(sum) if *sum > 1.0),
    }
}

/// Sorts rows, which are in order of their groups, cuts them and numbers them.
fn rank(top: &TopCase, rows: &mut Vec<Row>) {
    let first = vec![(0, true)];
    let order = top.order.as_ref().unwrap_or(&first);
    let compare = |a: &Row, b: &Row| {
        let keys = order.iter().map(|&(i, descending)| match (&a.aggregates[i], &b.aggregates[i]) {
            // NULL comes last either way.
            (Value::Null, _) | (_, Value::Null) => compare_values(&a.aggregates[i], &b.aggregates[i]),
            (a, b) if descending => compare_values(b, a),
            (a, b) => compare_values(a, b),
        });
        keys.fold(Ordering::Equal, Ordering::then)
    };
    rows.sort_by(compare);
    let mut ranked: Vec<Row> = Vec::new();
    for (place, mut row) in std::mem::take(rows).into_iter().enumerate() {
        let tied = top.with_ties && ranked.last().is_some_and(|last| compare(last, &row).is_eq());
        if place >= top.rows && !tied {
            break;
        }
        row.rank = if tied { ranked[place - 1].rank } else { Some(place + 1) };
        ranked.push(row);
    }
    *rows = ranked;
}

fn aggregated(aggregate: Aggregate, members: &[Taken]) -> Value {
    let mut members: Vec<Taken> = members.to_vec();
    members.sort_by_key(|taken| (taken.event.time, taken.partition, taken.line));
    let large = |taken: &&Taken| taken.event.n.is_some_and(|n| n >= 2);
    let ns: Vec<i64> = members.iter().filter_map(|taken| taken.event.n).collect();
    let xs: Vec<i64> = members.iter().filter_map(|taken| taken.event.x).collect();
    let count = |count: usize| Value::Int(count as i64);
    let quarters = |x: i64| Value::Float(x as f64 / 4.0);
    let sum = |xs: &[i64]| if xs.is_empty() { Value::Null } else { quarters(xs.iter().sum()) };
    match aggregate {
        Aggregate::Count => count(members.len()),
        Aggregate::CountN => count(ns.len()),
        Aggregate::CountLarge => count(members.iter().filter(large).count()),
        Aggregate::SumN if ns.is_empty() => Value::Null,
        Aggregate::SumN => Value::Int(ns.iter().sum()),
        Aggregate::SumX => sum(&xs),
        Aggregate::SumXLarge => {
            sum(&members.iter().filter(large).filter_map(|taken| taken.event.x).collect::<Vec<_>>())
        }
        Aggregate::AvgN if ns.is_empty() => Value::Null,
        Aggregate::AvgN => Value::Float(ns.iter().sum::<i64>() as f64 / ns.len() as f64),
        Aggregate::AvgX if xs.is_empty() => Value::Null,
        Aggregate::AvgX => Value::Float(xs.iter().sum::<i64>() as f64 / 4.0 / xs.len() as f64),
        Aggregate::MinX => xs.iter().min().map_or(Value::Null, |&x| quarters(x)),
        Aggregate::MaxN => ns.iter().max().map_or(Value::Null, |&n| Value::Int(n)),
        Aggregate::DistinctH => {
            let distinct: BTreeMap<i64, ()> = members.iter().filter_map(|taken| Some((taken.event.h?, ()))).collect();
            count(distinct.len())
        }
        Aggregate::FirstX => xs.first().map_or(Value::Null, |&x| quarters(x)),
        Aggregate::LastN => ns.last().map_or(Value::Null, |&n| Value::Int(n)),
    }
}

/// Numbers, then text, NULL last.
fn compare_values(a: &Value, b: &Value) -> Ordering {
    let family = |value: &Value| match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::Text(_) => 1,
        Value::Null => 2,
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => family(a).cmp(&family(b)),
    }
}

fn compare_groups(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare_values(a, b)).fold(Ordering::Equal, Ordering::then)
}

fn line(case: &MetricCase, number: usize, window: (i64, i64), row: &Row, revision: usize, mark: &str) -> String {
    let bound = |time: i64| match time {
        MIN | MAX => "null".to_owned(),
        _ => format!("\"{}\"", rfc3339(time)),
    };
    let mut line =
        format!(r#"{{"metric":"m{number}","window_start":{},"window_end":{}"#, bound(window.0), bound(window.1));
    let names =
        ["g", "h"].into_iter().take(case.groups).chain(case.aggregates.iter().map(|aggregate| aggregate.sql().0));
    for (name, value) in names.zip(row.group.iter().chain(&row.aggregates)) {
        let value = match value {
            Value::Int(i) => i.to_string(),
            Value::Float(f) => format!("{f:?}"),
            Value::Text(text) => format!("\"{text}\""),
            Value::Null => "null".into(),
        };
        line += &format!(",\"{name}\":{value}");
    }
    line += &row.rank.map_or(String::new(), |rank| format!(",\"rank\":{rank}"));
    format!("{line},\"revision\":{revision}{mark}}}")
}
