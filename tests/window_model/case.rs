//! A test case: queries, settings and the lines of each partition; how it is made of a seed, and how it is shown.
//!
//! Times are microseconds. They come from a few dozen points, and windows, gaps, delays and lateness from a few, so that
//! events fall on edges, exactly one gap apart and exactly at the end of a lateness all the time.

use std::fmt;

use evkit::plan::MetricText;

use crate::random::Random;

/// Everything that a run depends on, but for how the input is cut and how many threads work.
#[derive(Debug, Clone)]
pub struct Case {
    pub metrics: Vec<MetricCase>,
    pub delay: i64,
    pub fire_at_end: bool,
    pub early: Option<i64>,
    /// Events after this are dated too far in the future.
    pub latest: Option<i64>,
    pub partitions: Vec<Vec<Line>>,
}

/// One query.
#[derive(Debug, Clone)]
pub struct MetricCase {
    pub windows: WindowsCase,
    pub offset: i64,
    pub lateness: i64,
    /// `n >= 2`
    pub filter: bool,
    /// The first of `g` and `h`.
    pub groups: usize,
    pub aggregates: Vec<Aggregate>,
    pub having: Option<Having>,
    pub top: Option<TopCase>,
    /// Of sessions, how many may be open at once.
    pub groups_max: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WindowsCase {
    Tumbling(i64),
    /// Size, slide.
    Sliding(i64, i64),
    /// Size, step.
    Cumulative(i64, i64),
    /// Gap, longest.
    Session(i64, Option<i64>),
    Global,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    Count,
    CountN,
    CountLarge,
    SumN,
    SumX,
    SumXLarge,
    AvgN,
    AvgX,
    MinX,
    MaxN,
    DistinctH,
    FirstX,
    LastN,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Having {
    CountAtLeast(i64),
    CountAtMost(i64),
    /// `sx > 1.0`
    SumOverOne,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TopCase {
    pub rows: usize,
    /// Numbers of aggregates, and whether the greatest comes first.
    pub order: Option<Vec<(usize, bool)>>,
    pub with_ties: bool,
}

/// One line of input.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    Event(Event),
    /// An in-band watermark.
    Watermark(i64),
    Blank,
    Malformed,
    /// An early row of another evwindow, which is passed over.
    EarlyRow,
    Stats,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Makes every line differ from the others.
    pub id: usize,
    pub time: i64,
    /// It is written as a result row whose window ends at `time` + 1.
    pub is_row: bool,
    pub g: Option<&'static str>,
    pub h: Option<i64>,
    pub n: Option<i64>,
    /// In quarters.
    pub x: Option<i64>,
}

impl Line {
    /// The line without its line feed.
    pub fn text(&self) -> String {
        match self {
            Line::Event(event) => event.text(),
            Line::Watermark(time) => format!(r#"{{"watermark":"{}"}}"#, rfc3339(*time)),
            Line::Blank => String::new(),
            Line::Malformed => r#"{"t":1,"#.into(),
            Line::EarlyRow => {
                r#"{"metric":"m","window_start":null,"window_end":"2026-01-01T00:00:00Z","n":1,"revision":0,"final":false}"#
                    .into()
            }
            Line::Stats => r#"{"stats":{"in":1}}"#.into(),
        }
    }
}

impl Event {
    fn text(&self) -> String {
        let mut text = match self.is_row {
            true => {
                format!(r#"{{"metric":"m","window_start":null,"window_end":"{}","revision":0"#, rfc3339(self.time + 1))
            }
            false => format!(r#"{{"t":{}"#, self.time),
        };
        text += &format!(r#","id":{}"#, self.id);
        text += &self.g.map_or(String::new(), |g| format!(r#","g":"{g}""#));
        text += &self.h.map_or(String::new(), |h| format!(r#","h":{h}"#));
        text += &self.n.map_or(r#","n":null"#.into(), |n| format!(r#","n":{n}"#));
        text += &self.x.map_or(String::new(), |x| format!(r#","x":{:?}"#, x as f64 / 4.0));
        text + "}"
    }
}

/// A time as rows show it: milliseconds, or microseconds where they are not zero.
pub fn rfc3339(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros).expect("test times are near the epoch");
    let format = if micros % 1000 == 0 { "%Y-%m-%dT%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%S%.6fZ" };
    time.format(format).to_string()
}

impl Aggregate {
    pub const ALL: [Aggregate; 13] = [
        Aggregate::Count,
        Aggregate::CountN,
        Aggregate::CountLarge,
        Aggregate::SumN,
        Aggregate::SumX,
        Aggregate::SumXLarge,
        Aggregate::AvgN,
        Aggregate::AvgX,
        Aggregate::MinX,
        Aggregate::MaxN,
        Aggregate::DistinctH,
        Aggregate::FirstX,
        Aggregate::LastN,
    ];

    /// Its name in rows, and its SQL.
    pub fn sql(self) -> (&'static str, &'static str) {
        match self {
            Aggregate::Count => ("c", "count(*)"),
            Aggregate::CountN => ("cn", "count(n)"),
            Aggregate::CountLarge => ("cl", "count(*) FILTER (WHERE n >= 2)"),
            Aggregate::SumN => ("sn", "sum(n)"),
            Aggregate::SumX => ("sx", "sum(x)"),
            Aggregate::SumXLarge => ("sl", "sum(x) FILTER (WHERE n >= 2)"),
            Aggregate::AvgN => ("an", "avg(n)"),
            Aggregate::AvgX => ("ax", "avg(x)"),
            Aggregate::MinX => ("ix", "min(x)"),
            Aggregate::MaxN => ("mn", "max(n)"),
            Aggregate::DistinctH => ("dh", "count(DISTINCT h)"),
            Aggregate::FirstX => ("fx", "first(x)"),
            Aggregate::LastN => ("ln", "last(n)"),
        }
    }
}

impl MetricCase {
    /// The query as a user writes it.
    pub fn text(&self, number: usize) -> MetricText {
        let micros = |length: i64| format!("{length}us");
        let mut text = MetricText {
            name: Some(format!("m{number}")),
            filter: self.filter.then(|| "n >= 2".into()),
            by: (self.groups > 0).then(|| ["g", "g, h"][self.groups - 1].into()),
            agg: Some(
                self.aggregates
                    .iter()
                    .map(|a| format!("{} AS {}", a.sql().1, a.sql().0))
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            having: self.having.map(|having| match having {
                Having::CountAtLeast(n) => format!("c >= {n}"),
                Having::CountAtMost(n) => format!("c <= {n}"),
                Having::SumOverOne => "sx > 1.0".into(),
            }),
            top: self.top.as_ref().map(|top| top.rows),
            with_ties: self.top.as_ref().is_some_and(|top| top.with_ties),
            allowed_lateness: (self.lateness > 0).then(|| micros(self.lateness)),
            max_groups: self.groups_max.map(|groups| groups as u32),
            ..MetricText::default()
        };
        text.order_by = self.top.as_ref().and_then(|top| top.order.as_ref()).map(|order| {
            let key = |&(i, descending): &(usize, bool)| {
                format!("{}{}", self.aggregates[i].sql().0, if descending { " DESC" } else { "" })
            };
            order.iter().map(key).collect::<Vec<_>>().join(", ")
        });
        if self.offset != 0 {
            text.window_offset =
                Some(format!("{}{}", if self.offset < 0 { "-" } else { "" }, micros(self.offset.abs())));
        }
        match self.windows {
            WindowsCase::Tumbling(size) => text.tumbling = Some(micros(size)),
            WindowsCase::Sliding(size, slide) => text.sliding = Some(format!("{}/{}", micros(size), micros(slide))),
            WindowsCase::Cumulative(size, step) => text.cumulate = Some(format!("{}/{}", micros(size), micros(step))),
            WindowsCase::Session(gap, longest) => {
                text.session = Some(micros(gap));
                text.session_max = longest.map(micros);
            }
            WindowsCase::Global => text.global = true,
        }
        text
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, metric) in self.metrics.iter().enumerate() {
            let text = format!("{:?}", metric.text(number));
            let fields: Vec<&str> =
                text.split(", ").filter(|field| !field.ends_with(": None") && !field.ends_with(": false")).collect();
            writeln!(f, "{}", fields.join(", "))?;
        }
        let Case { delay, fire_at_end, early, latest, .. } = self;
        writeln!(f, "delay {delay} µs, fire at end {fire_at_end}, early {early:?} µs, latest {latest:?} µs")?;
        for (number, lines) in self.partitions.iter().enumerate() {
            writeln!(f, "partition {number}:")?;
            for line in lines {
                writeln!(f, "  {}", line.text())?;
            }
        }
        Ok(())
    }
}

/// How the times of a case run.
#[derive(Debug, Clone, Copy)]
enum TimeOrder {
    Rising,
    Disturbed,
    Wild,
}

impl Case {
    /// A case of one metric that partials can carry: no bound on groups, since they name slices and not events; and all
    /// windows fire.
    pub fn of_partials(seed: u64) -> Case {
        let mut case = Case::of(seed);
        case.metrics.truncate(1);
        let metric = &mut case.metrics[0];
        metric.groups_max = None;
        metric.aggregates.retain(|aggregate| *aggregate != Aggregate::Count);
        metric.aggregates.insert(0, Aggregate::Count);
        Case { early: None, fire_at_end: true, ..case }
    }

    /// The case of a seed.
    pub fn of(seed: u64) -> Case {
        let random = &mut Random::new(seed);
        let unit = random.pick(&[1, 1000]);
        let metrics = (0..random.pick(&[1, 1, 1, 2, 3])).map(|_| MetricCase::random(random, unit)).collect();
        let partitions = random.pick(&[1, 1, 1, 2, 3, 4]);
        let events = random.pick(&[0, 3, 6, 10, 15, 25, 40]);
        let span = random.pick(&[10, 25, 60]);
        let order = random.pick(&[TimeOrder::Rising, TimeOrder::Disturbed, TimeOrder::Disturbed, TimeOrder::Wild]);
        // Negative times, too: before 1970.
        let begin = random.pick(&[0, 0, -20]);
        let mut ids = 0;
        let mut lines_of = |random: &mut Random| {
            let events = random.within(0, events);
            let with_marks = random.chance(1, 6);
            let with_others = random.chance(1, 6);
            let with_rows = random.chance(1, 8);
            let mut times: Vec<i64> = (0..events).map(|_| begin + random.within(0, span)).collect();
            if !matches!(order, TimeOrder::Wild) {
                times.sort_unstable();
            }
            if matches!(order, TimeOrder::Disturbed) {
                times.iter_mut().for_each(|time| *time -= random.pick(&[0, 0, 0, 1, 2, 5, 12]));
            }
            let mut lines = Vec::new();
            for time in times {
                if with_others && random.chance(1, 5) {
                    lines.push(random.pick(&[Line::Blank, Line::Malformed, Line::EarlyRow, Line::Stats]));
                }
                if with_marks && random.chance(1, 4) {
                    lines.push(Line::Watermark((time - random.within(-3, 8)) * unit));
                }
                ids += 1;
                let is_row = with_rows && random.chance(1, 2);
                lines.push(Line::Event(Event {
                    id: ids,
                    time: time * unit - i64::from(is_row),
                    is_row,
                    g: random.pick(&[Some("a"), Some("a"), Some("b"), Some("c"), None]),
                    h: random.pick(&[Some(1), Some(1), Some(10), Some(2), None]),
                    n: random.pick(&[Some(0), Some(1), Some(2), Some(3), Some(-7), None]),
                    x: random.pick(&[Some(1), Some(2), Some(4), Some(-3), Some(9), Some(0), None]),
                }));
            }
            lines
        };
        let partitions = (0..partitions).map(|_| lines_of(random)).collect();
        Case {
            metrics,
            delay: random.pick(&[0, 0, 1, 2, 5, 9]) * unit,
            fire_at_end: random.chance(4, 5),
            early: random.chance(1, 5).then(|| random.within(1, 10) * unit),
            latest: random.chance(1, 8).then(|| (begin + random.within(0, span)) * unit),
            partitions,
        }
    }
}

impl MetricCase {
    fn random(random: &mut Random, unit: i64) -> MetricCase {
        let windows = match random.within(0, 11) {
            0..=1 => WindowsCase::Tumbling(random.within(1, 12) * unit),
            2..=5 => WindowsCase::Sliding(random.within(1, 12) * unit, random.within(1, 15) * unit),
            6..=7 => {
                let step = random.within(1, 5) * unit;
                WindowsCase::Cumulative(step * random.within(1, 4), step)
            }
            8..=10 => {
                let longest = random.chance(1, 3).then(|| random.within(2, 20) * unit);
                WindowsCase::Session(random.within(1, 6) * unit, longest)
            }
            _ => WindowsCase::Global,
        };
        let is_session = matches!(windows, WindowsCase::Session(..));
        let has_edges = !is_session && windows != WindowsCase::Global;
        let mut aggregates = vec![Aggregate::Count];
        for _ in 0..random.within(0, 4) {
            let aggregate = random.pick(&Aggregate::ALL);
            let place = random.within(0, aggregates.len() as i64) as usize;
            if !aggregates.contains(&aggregate) {
                aggregates.insert(place, aggregate);
            }
        }
        let having = random.chance(1, 5).then(|| match aggregates.contains(&Aggregate::SumX) {
            true => Having::SumOverOne,
            false => random.pick(&[Having::CountAtLeast(2), Having::CountAtLeast(3), Having::CountAtMost(2)]),
        });
        let groups = random.pick(&[0, 1, 1, 2]);
        let top = (!is_session && random.chance(1, 4)).then(|| TopCase {
            rows: random.within(1, 3) as usize,
            order: random.chance(1, 2).then(|| {
                let keys = random.within(1, 2);
                (0..keys)
                    .map(|_| (random.within(0, aggregates.len() as i64 - 1) as usize, random.chance(1, 2)))
                    .collect()
            }),
            with_ties: random.chance(1, 2),
        });
        MetricCase {
            offset: if has_edges && random.chance(1, 3) { random.within(-7, 7) * unit } else { 0 },
            lateness: if random.chance(1, 2) { random.within(1, 12) * unit } else { 0 },
            filter: random.chance(1, 5),
            groups_max: random.chance(1, 8).then(|| random.within(1, if is_session { 8 } else { 4 }) as usize),
            windows,
            groups,
            aggregates,
            having,
            top,
        }
    }
}
