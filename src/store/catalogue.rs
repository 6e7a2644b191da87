//! What the store knows of a metric: its columns, what each field is, its windows, and so which coarser windows can be made of it.
//!
//! Knows nothing of SQLite.

use serde::{Deserialize, Serialize};

use crate::aggregate::Function;
use crate::metric::MetricSchema;
use crate::plan::MetricText;
use crate::time::Duration;

/// A minute, an hour and a day in microseconds.
const MINUTE: i64 = 60_000_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// What the points of one metric are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The metric's name.
    pub name: String,
    /// Names of the group columns.
    pub groups: Vec<String>,
    /// What is computed.
    pub fields: Vec<Field>,
    /// In which windows.
    pub window: WindowKind,
    /// What was added to the windows' edges.
    #[serde(with = "micros", default)]
    pub offset: Duration,
    /// The time zone whose days the windows follow.
    pub zone: Option<String>,
    /// Whether only the first rows of a window are kept, with their rank.
    pub ranked: bool,
    /// The condition that rows must fulfil to be kept.
    pub having: Option<String>,
    /// Whether the state of every field is kept, whatever it holds, and then no roll-ups: for what is made of events to be asked once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_states: bool,
}

/// A field of a metric's points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredField", into = "StoredField")]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What computes it.
    pub function: Function,
    /// The aggregate as the query says it: `sum(properties.amount)`.
    pub expression: String,
}

/// Which windows a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowKind {
    /// One after the other.
    Tumbling {
        /// How long each is.
        #[serde(with = "micros")]
        length: Duration,
    },
    /// Overlapping.
    Sliding {
        /// How long each is.
        #[serde(with = "micros")]
        length: Duration,
        /// From one start to the next.
        #[serde(with = "micros")]
        slide: Duration,
    },
    /// Growing until they are full.
    Cumulative {
        /// How long a full one is.
        #[serde(with = "micros")]
        length: Duration,
        /// From one end to the next.
        #[serde(with = "micros")]
        step: Duration,
    },
    /// As long as events come.
    Session {
        /// The silence that ends one.
        #[serde(with = "micros")]
        gap: Duration,
    },
    /// One over everything.
    Global,
}

/// How fine the points are that an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Grain {
    /// The metric's own windows.
    Points = 0,
    /// Roll-ups by hour, UTC.
    Hour = 1,
    /// Roll-ups by day, UTC.
    Day = 2,
}

/// The layout of the chunks of one grain: how long a chunk spans, and what its points usually are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// The time that one chunk spans. 0 where there is one window only.
    pub span: i64,
    /// From the start of one window to the next, usually.
    pub unit: i64,
    /// How long a window is, usually.
    pub length: i64,
}

impl Catalogue {
    /// What a store keeps of a metric that was planned from `text`.
    pub fn of(text: &MetricText, schema: &MetricSchema, functions: &[Function]) -> Catalogue {
        let duration = |text: &str| match text.strip_prefix('-').map_or_else(|| Duration::parse(text), Duration::parse)
        {
            Ok(length) if text.starts_with('-') => Duration(-length.0),
            Ok(length) => length,
            Err(error) => unreachable!("the plan has read this length of time: {error}"),
        };
        let pair = |text: &str| {
            let (first, second) = text.split_once('/').expect("the plan has read these two lengths of time");
            (duration(first), duration(second))
        };
        let window = if let Some(length) = &text.tumbling {
            WindowKind::Tumbling { length: duration(length) }
        } else if let Some((length, slide)) = text.sliding.as_deref().map(pair) {
            WindowKind::Sliding { length, slide }
        } else if let Some((length, step)) = text.cumulate.as_deref().map(pair) {
            WindowKind::Cumulative { length, step }
        } else if let Some(gap) = &text.session {
            WindowKind::Session { gap: duration(gap) }
        } else {
            WindowKind::Global
        };
        let calls = crate::expr::parse_aggregates(text.agg.as_deref().unwrap_or("count(*) AS count"));
        let calls = calls.expect("the plan has read these aggregates");
        let field = |((name, function), call): ((&String, &Function), &crate::expr::AggregateCall)| Field {
            name: name.clone(),
            function: function.clone(),
            expression: call.to_string(),
        };
        Catalogue {
            name: schema.name.clone(),
            groups: schema.groups.clone(),
            fields: schema.aggregates.iter().zip(functions).zip(&calls).map(field).collect(),
            window,
            offset: text.window_offset.as_deref().map_or(Duration(0), duration),
            zone: text.tz.clone(),
            ranked: schema.ranked,
            having: text.having.clone(),
            all_states: false,
        }
    }

    /// The same metric with the states of all fields and all rows, whatever `--top` and `--having` leave out: any coarser windows and
    /// fewer groups can be made of it, where its windows have common edges.
    pub fn with_all_states(&self) -> Catalogue {
        Catalogue { ranked: false, having: None, all_states: true, ..self.clone() }
    }

    /// What differs where another one is meant to be the same metric, in the words of the flags.
    pub fn differs_from(&self, other: &Catalogue) -> String {
        crate::store::ownership::catalogue_changes(other, self)
    }

    /// The schema of its rows.
    pub fn schema(&self) -> MetricSchema {
        MetricSchema {
            name: self.name.clone(),
            groups: self.groups.clone(),
            aggregates: self.fields.iter().map(|field| field.name.clone()).collect(),
            ranked: self.ranked,
        }
    }

    /// Why coarser windows can't be made of this metric's; `None` when they can, as far as the single fields do.
    pub fn refusal(&self) -> Option<&'static str> {
        match self.window {
            WindowKind::Sliding { .. } => return Some("its windows slide, so an event is in several of them"),
            WindowKind::Cumulative { .. } => return Some("its windows grow, so an event is in several of them"),
            WindowKind::Session { .. } => return Some("its windows are sessions, which have no common edges"),
            WindowKind::Global => return Some("its window is all of time"),
            WindowKind::Tumbling { length } if self.offset.0 % length.0 != 0 => {
                return Some("its windows are moved by --window-offset");
            }
            WindowKind::Tumbling { .. } => {}
        }
        if self.ranked {
            return Some("--top kept the first rows of each window only");
        }
        self.having.is_some().then_some("--having kept some rows of each window only")
    }

    /// Whether the store keeps states, of which coarser windows can be made.
    pub fn recombines(&self) -> bool {
        self.refusal().is_none()
    }

    /// Whether this field's points hold its state rather than its value.
    pub fn keeps_state(&self, field: usize) -> bool {
        self.recombines() && (self.all_states || self.fields[field].function.recombines())
    }

    /// Whether points hold all that late events can be merged into.
    pub fn mends(&self) -> bool {
        self.recombines() && (0..self.fields.len()).all(|field| self.keeps_state(field))
    }

    /// The functions of which points hold the states, in the order of the fields.
    pub fn states(&self) -> Vec<Function> {
        let kept = (0..self.fields.len()).filter(|field| self.keeps_state(*field));
        kept.map(|field| self.fields[field].function.clone()).collect()
    }

    /// The length of a tumbling window.
    pub fn length(&self) -> Option<Duration> {
        match self.window {
            WindowKind::Tumbling { length } => Some(length),
            _ => None,
        }
    }

    /// Whether there are roll-ups of this grain; points there are always.
    pub fn has(&self, grain: Grain) -> bool {
        let Some(length) = grain.length() else { return true };
        let own = self.length().filter(|_| self.zone.is_none() && self.recombines() && !self.all_states);
        own.is_some_and(|own| own.0 < length && length % own.0 == 0) && !self.states().is_empty()
    }

    /// The finest roll-ups that there are, which tell most of when points began and ended that were dropped.
    pub(crate) fn finest_roll_ups(&self) -> Option<Grain> {
        [Grain::Hour, Grain::Day].into_iter().find(|grain| self.has(*grain))
    }

    /// The layout of chunks.
    pub(crate) fn grid(&self, grain: Grain) -> Grid {
        let usual = |length: Duration, unit: Duration| Grid { span: span_for(unit.0), unit: unit.0, length: length.0 };
        match (grain, self.window) {
            (Grain::Hour, _) => Grid { span: DAY, unit: HOUR, length: HOUR },
            (Grain::Day, _) => Grid { span: 32 * DAY, unit: DAY, length: DAY },
            (Grain::Points, WindowKind::Tumbling { length }) => usual(length, length),
            (Grain::Points, WindowKind::Sliding { length, slide }) => usual(length, slide),
            (Grain::Points, WindowKind::Cumulative { length, step }) => {
                Grid { span: span_for(step.0).min(length.0), unit: step.0, length: length.0 }
            }
            (Grain::Points, WindowKind::Session { gap }) => Grid { unit: 1, ..usual(Duration(0), gap) },
            (Grain::Points, WindowKind::Global) => Grid { span: 0, unit: 1, length: 0 },
        }
    }
}

impl Grain {
    /// All, finest first.
    pub const ALL: [Grain; 3] = [Grain::Points, Grain::Hour, Grain::Day];

    /// How long a roll-up is, in microseconds.
    pub fn length(self) -> Option<i64> {
        match self {
            Grain::Points => None,
            Grain::Hour => Some(HOUR),
            Grain::Day => Some(DAY),
        }
    }
}

impl Grid {
    /// Where the chunk begins that holds a window starting at `start`; never before all time.
    pub fn chunk(&self, start: i64) -> i64 {
        if self.span == 0 { i64::MIN } else { start.saturating_sub(start.rem_euclid(self.span)) }
    }
}

/// A chunk spans 30 to 180 units, in a round length, so that chunks of minutes don't cross hours.
fn span_for(unit: i64) -> i64 {
    const SECOND: i64 = 1_000_000;
    const ROUND: [i64; 9] = [1, 1000, SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY];
    if let Some(span) = ROUND.into_iter().find(|span| *span >= unit.saturating_mul(30)) {
        return span;
    }
    let mut span = DAY;
    while span < unit.saturating_mul(30) {
        span = span.saturating_mul(4);
    }
    span
}

/// A field as it is written: functions go by name and parameter.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredField {
    name: String,
    function: String,
    distinct: bool,
    parameter: Option<f64>,
    expression: String,
}

impl TryFrom<StoredField> for Field {
    type Error = crate::aggregate::Error;

    fn try_from(stored: StoredField) -> Result<Field, Self::Error> {
        let function = Function::from_name(&stored.function, stored.distinct, stored.parameter.as_slice())?;
        Ok(Field { name: stored.name, function, expression: stored.expression })
    }
}

impl From<Field> for StoredField {
    fn from(field: Field) -> StoredField {
        let (function, distinct, parameter) = field.function.parts();
        StoredField { name: field.name, function: function.into(), distinct, parameter, expression: field.expression }
    }
}

/// Lengths of time as numbers of microseconds.
mod micros {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Duration;

    pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(length.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        i64::deserialize(deserializer).map(Duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    fn of(text: MetricText) -> Catalogue {
        let plan = Plan::build(std::slice::from_ref(&text)).unwrap();
        Catalogue::of(&text, &plan.schemas[0], &plan.queries[0].functions)
    }

    fn tumbling(length: &str) -> MetricText {
        MetricText { tumbling: Some(length.into()), ..MetricText::default() }
    }

    #[test]
    fn it_is_written_and_read_back() {
        let catalogue = of(MetricText {
            name: Some("m".into()),
            sliding: Some("5m/1m".into()),
            window_offset: Some("-30s".into()),
            by: Some("a.b, c AS d".into()),
            agg: Some("count(DISTINCT x), topk(y, 3) AS best, percentile_cont(0.9) WITHIN GROUP (ORDER BY z)".into()),
            ..MetricText::default()
        });
        assert_eq!(catalogue.groups, ["b", "d"]);
        assert_eq!(catalogue.offset, Duration(-30_000_000));
        assert_eq!(catalogue.fields[1].expression, "topk(y, 3)");
        let json = serde_json::to_string(&catalogue).unwrap();
        assert_eq!(serde_json::from_str::<Catalogue>(&json).unwrap(), catalogue);
    }

    #[track_caller]
    fn check(text: MetricText, recombines: bool, grains: &[Grain]) {
        let catalogue = of(text);
        assert_eq!(catalogue.recombines(), recombines, "{:?}", catalogue.refusal());
        let has: Vec<Grain> = Grain::ALL.into_iter().filter(|grain| catalogue.has(*grain)).collect();
        assert_eq!(has, grains);
    }

    #[test]
    fn roll_ups_are_kept_where_windows_divide_them() {
        use Grain::{Day, Hour, Points};
        check(tumbling("1m"), true, &[Points, Hour, Day]);
        check(tumbling("7m"), true, &[Points]);
        check(tumbling("1h"), true, &[Points, Day]);
        check(tumbling("45m"), true, &[Points, Day]);
        check(tumbling("1d"), true, &[Points]);
        check(MetricText { tz: Some("Europe/Berlin".into()), ..tumbling("1d") }, true, &[Points]);
        check(MetricText { window_offset: Some("2m".into()), ..tumbling("1m") }, true, &[Points, Hour, Day]);
        check(MetricText { agg: Some("median(x)".into()), ..tumbling("1m") }, true, &[Points]);
    }

    #[test]
    fn what_was_cut_or_overlaps_does_not_recombine() {
        use Grain::Points;
        check(MetricText { top: Some(3), ..tumbling("1m") }, false, &[Points]);
        check(MetricText { having: Some("count > 1".into()), ..tumbling("1m") }, false, &[Points]);
        check(MetricText { window_offset: Some("30s".into()), ..tumbling("1m") }, false, &[Points]);
        check(MetricText { sliding: Some("5m/1m".into()), ..MetricText::default() }, false, &[Points]);
        check(MetricText { session: Some("30m".into()), ..MetricText::default() }, false, &[Points]);
        check(MetricText { global: true, ..MetricText::default() }, false, &[Points]);
    }

    #[test]
    fn with_all_states_every_field_recombines_and_there_are_no_roll_ups() {
        let agg = Some("median(x), count(DISTINCT y) AS u, count(*) AS n".into());
        let best = of(MetricText { top: Some(3), having: Some("n > 1".into()), agg, ..tumbling("1m") });
        assert!(!best.recombines());
        let whole = best.with_all_states();
        assert!(whole.recombines() && !whole.ranked && (0..3).all(|field| whole.keeps_state(field)));
        assert!(!whole.has(Grain::Hour) && !whole.has(Grain::Day));
        let json = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Catalogue>(&json).unwrap(), whole);
        assert!(!serde_json::to_string(&best).unwrap().contains("all_states"), "stores of before are as they were");
        let session = of(MetricText { session: Some("30m".into()), ..MetricText::default() });
        assert!(!session.with_all_states().recombines(), "sessions have no common edges");
    }

    #[test]
    fn chunks_hold_some_sixty_windows() {
        for (unit, span) in [(MINUTE, HOUR), (10_000_000, 10 * MINUTE), (HOUR, 4 * DAY), (DAY, 64 * DAY), (1, 1000)] {
            assert_eq!(span_for(unit), span);
        }
        let grid = of(tumbling("1m")).grid(Grain::Points);
        assert_eq!((grid.chunk(HOUR + 1), grid.chunk(-1)), (HOUR, -HOUR));
        assert_eq!(grid.chunk(i64::MIN), i64::MIN, "before all time nothing begins");
        assert_eq!(
            of(MetricText { global: true, ..MetricText::default() }).grid(Grain::Points).chunk(i64::MIN),
            i64::MIN
        );
    }
}
