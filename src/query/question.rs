//! A question, checked against what the metric is: which fields, groups and windows, from which grain, and what is told of it.
//!
//! Reads nothing but the series of the metric and the time that they span.

use crate::aggregate::Function;
use crate::expr::Program;
use crate::metric::MetricSchema;
use crate::plan::error::PlanError;
use crate::plan::{MetricText, RowColumns};
use crate::query::error::QuestionError;
use crate::query::fold::Refold;
use crate::query::frame::Frame;
use crate::query::grouping::Grouping;
use crate::store::{Catalogue, Extent, Grain, Series, StoredMetric};
use crate::time::{Duration, Timestamp};
use crate::window::present::Presentation;

/// What is asked, in the user's words where they are expressions.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Which fields; all if empty.
    pub fields: Vec<String>,
    /// Which group columns; all if `None`.
    pub by: Option<Vec<String>>,
    /// Which series, or, where it names a field, which rows.
    pub filter: Option<String>,
    /// From when on.
    pub from: Option<Timestamp>,
    /// Before when.
    pub until: Option<Timestamp>,
    /// In which windows.
    pub window: WindowAsked,
    /// Aggregates of the points' values, instead of fields.
    pub agg: Option<String>,
    /// Only the first rows of each window.
    pub top: Option<usize>,
    /// By which order.
    pub order_by: Option<String>,
    /// With `top`, also the rows that tie with the last one.
    pub with_ties: bool,
    /// What rows must fulfil, beside `filter`.
    pub having: Option<String>,
    /// What stands where there are no events.
    pub fill: Fill,
    /// Beside each value the one so much earlier.
    pub compare: Option<Duration>,
}

/// Which windows are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WindowAsked {
    /// What suits the range.
    #[default]
    Any,
    /// The metric's own.
    Own,
    /// Of this length.
    Every(Duration),
    /// One over the whole range.
    Whole,
}

/// What stands in a window in which a group has no events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fill {
    /// No row.
    #[default]
    None,
    /// A row of NULLs.
    Null,
    /// A row of zeros.
    Zero,
    /// The group's last row before.
    Previous,
}

/// How the values of an answer come about.
#[derive(Debug, Clone)]
pub enum How {
    /// As they are stored; the numbers of the fields.
    Stored(Vec<usize>),
    /// Merged of partials; the numbers among `Catalogue::states`.
    Recombined(Vec<usize>),
    /// Folded anew from the points' values.
    Folded(Refold),
}

/// A question that can be answered.
#[derive(Debug, Clone)]
pub struct Question {
    /// The metric.
    pub metric: StoredMetric,
    /// The rows of the answer.
    pub schema: MetricSchema,
    /// Which of the answer's values are counts.
    pub counts: Vec<bool>,
    /// Series and groups.
    pub grouping: Grouping,
    /// How values come about.
    pub how: How,
    /// The windows.
    pub frame: Frame,
    /// What is read.
    pub grain: Grain,
    /// From when on, and before when.
    pub range: (Timestamp, Timestamp),
    /// Windows that end by then have fired.
    pub complete_until: Timestamp,
    /// What is made of archived events.
    pub archived: Option<Archived>,
    /// Whether fields were left out that can't be recombined.
    pub left_out: bool,
    /// Whether the range begins later than what was asked for, since what lies before was dropped.
    pub is_cut: bool,
    /// Which rows, in which order.
    pub presentation: Presentation,
    /// What stands where nothing is.
    pub fill: Fill,
    /// Beside each value the one so much earlier.
    pub compare: Option<Duration>,
    /// What the user should know of the answer.
    pub notes: Vec<String>,
    /// Whether the windows were chosen and not asked for.
    pub is_chosen: bool,
}

/// The time that is shown where nothing is said of it.
const DEFAULT_RANGE: Duration = Duration(86_400_000_000);

impl Question {
    /// Checks what is asked of a metric with these series, which span this time.
    pub fn of(
        asked: &Asked,
        metric: &StoredMetric,
        series: &[Series],
        extent: Option<Extent>,
    ) -> Result<Question, QuestionError> {
        let catalogue = &metric.catalogue;
        let by = columns(asked, metric)?;
        let (filter, having) = filters(asked, metric)?;
        let (frame, range) = Question::frame(asked, metric, extent)?;
        let is_own = match &frame {
            Frame::AsStored => true,
            Frame::Every { length, .. } => catalogue.length() == Some(*length),
            Frame::Whole => false,
        };
        let has_all_groups = by.len() == catalogue.groups.len();
        let mut notes = Vec::new();
        let mut left_out = false;
        let (how, values) = if let Some(agg) = &asked.agg {
            let refold = Refold::of(agg, catalogue)?;
            if matches!(frame, Frame::AsStored) {
                return Err(refuses(metric, "by --agg"));
            }
            let values = refold.values();
            (How::Folded(refold), values)
        } else if is_own && has_all_groups {
            let (fields, _) = fields(asked, metric, None, &mut notes)?;
            let values = fields.iter().map(|field| value_of(metric, *field)).collect();
            (How::Stored(fields), values)
        } else {
            let to = if is_own { "to fewer groups" } else { "to coarser windows" };
            if !catalogue.recombines() {
                return Err(refuses(metric, to));
            }
            let (fields, are_fewer) = fields(asked, metric, Some(to), &mut notes)?;
            left_out = are_fewer;
            let values = fields.iter().map(|field| value_of(metric, *field)).collect();
            let place = |field: usize| (0..field).filter(|before| catalogue.keeps_state(*before)).count();
            (How::Recombined(fields.into_iter().map(place).collect()), values)
        };
        let grain = if matches!(how, How::Recombined(_)) { frame.grain(catalogue, range) } else { Grain::Points };
        let wanted_from = range.0;
        let range = clip(range, metric, &frame, grain, &mut notes)?;
        let (names, counts): (Vec<Named>, Vec<bool>) = values.into_iter().unzip();
        let (names, counts) = with_compared(asked.compare, names, counts, &frame)?;
        if asked.fill != Fill::None && frame == Frame::AsStored {
            return Err(QuestionError::other(
                format!("cannot fill the metric '{}': its windows follow no grid", catalogue.name),
                "leave --fill out",
            ));
        }
        let groups: Vec<String> = by.iter().map(|column| catalogue.groups[*column].clone()).collect();
        let is_ranked = asked.top.is_some() || (catalogue.ranked && matches!(how, How::Stored(_)));
        let having = match (having, asked.having.clone()) {
            (Some(of_rows), Some(of_metric)) => Some(format!("({of_metric}) AND ({of_rows})")),
            (of_rows, of_metric) => of_rows.or(of_metric),
        };
        let (order_by, with_ties) = (asked.order_by.clone(), asked.with_ties);
        let text = MetricText { having, top: asked.top, order_by, with_ties, ..MetricText::default() };
        let presentation = RowColumns::new(&groups, &names).presentation(&text);
        // What rows must fulfil is said with --where here.
        let as_said =
            |error: PlanError| if error.flag == "having" { PlanError { flag: "where", ..error } } else { error };
        Ok(Question {
            presentation: presentation.map_err(as_said)?,
            schema: MetricSchema {
                name: catalogue.name.clone(),
                groups,
                aggregates: names.into_iter().map(|(name, _)| name).collect(),
                ranked: is_ranked,
            },
            counts,
            grouping: Grouping::of(series, filter.as_ref(), &by),
            how,
            grain,
            range,
            complete_until: extent.map_or(Timestamp::MIN, |extent| extent.complete_until),
            archived: None,
            left_out,
            is_cut: range.0 > wanted_from,
            fill: asked.fill,
            compare: asked.compare,
            is_chosen: asked.window == WindowAsked::Any && !is_own,
            frame,
            notes,
            metric: metric.clone(),
        })
    }

    /// The windows of the answer, and the range that is asked for, whatever of it there is.
    pub(crate) fn frame(
        asked: &Asked,
        metric: &StoredMetric,
        extent: Option<Extent>,
    ) -> Result<(Frame, (Timestamp, Timestamp)), QuestionError> {
        let range = range(asked, extent);
        let frame = Frame::choose(asked.window, &metric.catalogue, range, metric.kept_from)?;
        let range = frame.whole(&metric.catalogue, range)?;
        Ok((frame, range))
    }

    /// A program over the answer's rows, such as `--fail-if`.
    pub fn over_rows(&self, flag: &'static str, expression: &str) -> Result<Program, QuestionError> {
        let values: Vec<(String, String)> =
            self.schema.aggregates.iter().map(|name| (name.clone(), name.clone())).collect();
        Ok(RowColumns::new(&self.schema.groups, &values).over_rows(&MetricText::default(), flag, expression)?)
    }

    /// What is read for which part of the time, and from which tier; coldest first.
    pub fn parts(&self) -> Vec<Part> {
        let (mut from, until) = self.range;
        let mut parts = Vec::new();
        if let Some(archived) = &self.archived {
            let range = (archived.range.0, archived.range.1.min(archived.edge));
            parts.push(Part { tier: Tier::Archive, range });
            from = from.max(archived.edge);
        }
        let open_from = self.complete_until.max(from);
        match self.grain {
            Grain::Points => parts.push(Part { tier: Tier::Hot, range: (from, until) }),
            grain => {
                parts.push(Part { tier: Tier::Cold(grain), range: (from, open_from.min(until)) });
                parts.push(Part { tier: Tier::Open, range: (open_from, until) });
            }
        }
        parts.retain(|part| part.range.0 < part.range.1);
        parts
    }

    /// What the answer is made of, in words.
    pub fn told(&self) -> String {
        let windows = match &self.frame {
            Frame::AsStored => "windows as they are stored".to_owned(),
            Frame::Every { length, .. } => format!("windows of {length}"),
            Frame::Whole => "one window".to_owned(),
        };
        let is_of_events = self.archived.as_ref().is_some_and(|archived| archived.edge >= self.range.1);
        let made = match (&self.how, self.grain) {
            _ if is_of_events => "from archived events",
            (How::Folded(_), _) => "from the values of points",
            (How::Stored(_), _) => "as they are stored",
            (_, Grain::Points) => "from points",
            (_, Grain::Hour) => "from roll-ups by hour",
            (_, Grain::Day) => "from roll-ups by day",
        };
        let (series, groups) = (self.grouping.series.len(), self.grouping.groups.len());
        let (from, until) = (shown_time(self.range.0), shown_time(self.range.1));
        if let Some(archived) = &self.archived {
            // Which groups there are is known when they have been read.
            let beside = match is_of_events {
                true => String::new(),
                false => format!(", before {} from archived events", archived.edge),
            };
            return format!("{windows} {made}{beside}, from {from} to {until}");
        }
        format!("{windows} {made}, {series} series in {groups} groups, from {from} to {until}")
    }
}

/// What of an answer is made of archived events.
#[derive(Debug, Clone, PartialEq)]
pub struct Archived {
    /// Windows that lie here are made, and no others.
    pub range: (Timestamp, Timestamp),
    /// Windows of the answer that start before this are made of events, all others of what is stored.
    pub edge: Timestamp,
    /// What is made of the events.
    pub catalogue: Catalogue,
    /// Windows that end by then have all their events in the archive.
    pub complete_until: Timestamp,
}

/// What is read of a time, and from which tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What is read.
    pub tier: Tier,
    /// From when on, and before when.
    pub range: (Timestamp, Timestamp),
}

/// Where parts of an answer come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Raw events.
    Archive,
    /// Roll-ups of this grain.
    Cold(Grain),
    /// Points.
    Hot,
    /// Points of windows that have not fired and are in no roll-up.
    Open,
}

impl Tier {
    /// What is read there; `None` if it is neither points nor roll-ups.
    pub fn grain(self) -> Option<Grain> {
        match self {
            Tier::Archive => None,
            Tier::Cold(grain) => Some(grain),
            Tier::Hot | Tier::Open => Some(Grain::Points),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.tier {
            Tier::Archive => "archive: raw events",
            Tier::Hot | Tier::Cold(Grain::Points) => "hot: points",
            Tier::Open => "hot: points whose windows have not fired",
            Tier::Cold(Grain::Hour) => "cold: roll-ups by hour",
            Tier::Cold(Grain::Day) => "cold: roll-ups by day",
        })?;
        let (from, until) = self.range;
        write!(f, ", from {} to {}", shown_time(from), shown_time(until))
    }
}

/// A time, or that there is no bound.
fn shown_time(time: Timestamp) -> String {
    match time {
        Timestamp::MIN => "the first".to_owned(),
        Timestamp::MAX => "the last".to_owned(),
        time => time.to_string(),
    }
}

/// A value's name, and what it is called in the query that made it.
type Named = (String, String);

fn value_of(metric: &StoredMetric, field: usize) -> (Named, bool) {
    let field = &metric.catalogue.fields[field];
    ((field.name.clone(), field.expression.clone()), field.function.is_count())
}

fn refuses(metric: &StoredMetric, to: &'static str) -> QuestionError {
    let reason = metric.catalogue.refusal().unwrap_or("its windows follow no grid");
    let by_events = metric.catalogue.with_all_states().recombines();
    QuestionError::MetricRefuses { metric: metric.catalogue.name.clone(), to, reason: reason.into(), by_events }
}

fn no_such(metric: &StoredMetric, what: &'static str, name: &str, known: Vec<String>) -> QuestionError {
    QuestionError::NoSuch { metric: metric.catalogue.name.clone(), what, name: name.to_owned(), known }
}

fn columns(asked: &Asked, metric: &StoredMetric) -> Result<Vec<usize>, QuestionError> {
    let known = &metric.catalogue.groups;
    let Some(by) = &asked.by else { return Ok((0..known.len()).collect()) };
    let mut columns = Vec::new();
    for name in by {
        let column = known.iter().position(|known| known == name);
        let column = column.ok_or_else(|| no_such(metric, "group column", name, known.clone()))?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(columns)
}

/// The fields of the answer. With `merged`, those that must recombine to it: one that was named and can't is refused, others are left out
/// with a note, and then the second part is true.
fn fields(
    asked: &Asked,
    metric: &StoredMetric,
    merged: Option<&'static str>,
    notes: &mut Vec<String>,
) -> Result<(Vec<usize>, bool), QuestionError> {
    let known = &metric.catalogue.fields;
    let refused = |field: usize, to| QuestionError::FieldRefuses {
        field: known[field].name.clone(),
        to,
        function: shown(&known[field].function),
    };
    let mut fields = Vec::new();
    for name in &asked.fields {
        let field = known.iter().position(|field| field.name == *name);
        let names = || known.iter().map(|field| field.name.clone()).collect();
        let field = field.ok_or_else(|| no_such(metric, "field", name, names()))?;
        if let Some(to) = merged.filter(|_| !metric.catalogue.keeps_state(field)) {
            return Err(refused(field, to));
        }
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    let mut are_fewer = false;
    if asked.fields.is_empty() {
        fields = (0..known.len()).filter(|field| merged.is_none() || metric.catalogue.keeps_state(*field)).collect();
        if fields.len() < known.len() {
            let to = merged.expect("only merging leaves fields out");
            let mut left_out = (0..known.len()).filter(|field| !fields.contains(field));
            if fields.is_empty() {
                return Err(refused(left_out.next().expect("one is left out"), to));
            }
            let names: Vec<&str> = left_out.map(|field| known[field].name.as_str()).collect();
            notes.push(format!("'{}' is left out: it cannot be recombined {to}", names.join("', '")));
            are_fewer = true;
        }
    }
    Ok((fields, are_fewer))
}

/// A function as a query writes it.
pub(crate) fn shown(function: &Function) -> &'static str {
    match function {
        Function::CountDistinct => "count(DISTINCT …)",
        function => function.parts().0,
    }
}

/// The filter over series, and the condition on rows: an expression that names group columns only is the first.
fn filters(asked: &Asked, metric: &StoredMetric) -> Result<(Option<Program>, Option<String>), QuestionError> {
    let Some(filter) = &asked.filter else { return Ok((None, None)) };
    let catalogue = &metric.catalogue;
    let names_field = crate::expr::parse(filter).is_ok_and(|expr| {
        let names = expr.paths().into_iter().map(crate::expr::name_of_path).collect::<Vec<_>>();
        names.iter().any(|name| !catalogue.groups.contains(name))
            && names.iter().any(|name| {
                let is_compared = |field: &str| name.strip_prefix(field).is_some_and(|rest| COMPARED.contains(&rest));
                catalogue.fields.iter().any(|field| field.name == *name || is_compared(&field.name))
                    || asked.agg.is_some()
            })
    });
    if names_field {
        return Ok((None, Some(filter.clone())));
    }
    let text = MetricText::default();
    Ok((Some(RowColumns::new(&catalogue.groups, &[]).over_rows(&text, "where", filter)?), None))
}

/// The range that is asked for; a day up to the last point where nothing is.
fn range(asked: &Asked, extent: Option<Extent>) -> (Timestamp, Timestamp) {
    let end = extent.map_or(Timestamp(0), |extent| extent.end);
    let until = asked.until.unwrap_or(end);
    let first = extent.map_or(Timestamp::MIN, |extent| extent.first);
    // What is before the first point is asked for by name only.
    let from = asked.from.unwrap_or_else(|| Timestamp(until.0.saturating_sub(DEFAULT_RANGE.0)).max(first));
    if asked.from.is_none() && end == Timestamp::MAX {
        return (Timestamp::MIN, until);
    }
    (from, until.max(from))
}

/// The part of the range for which what is read was kept.
fn clip(
    (from, until): (Timestamp, Timestamp),
    metric: &StoredMetric,
    frame: &Frame,
    grain: Grain,
    notes: &mut Vec<String>,
) -> Result<(Timestamp, Timestamp), QuestionError> {
    let kept_from = if grain == Grain::Points { metric.kept_from } else { metric.rolled_from };
    let Some(kept_from) = kept_from.filter(|kept_from| *kept_from > from) else { return Ok((from, until)) };
    if grain == Grain::Points
        && metric.catalogue.has(Grain::Hour)
        && let Frame::Every { length, .. } = frame
        && Some(*length) != metric.catalogue.length()
    {
        return Err(QuestionError::Dropped { kept_from, asked: *length });
    }
    let way_out = if grain == Grain::Points && metric.catalogue.has(Grain::Hour) {
        "--window 1h goes further back, and so does --archive DIR"
    } else {
        "--archive DIR goes further back"
    };
    notes.push(format!("what lies before {kept_from} was dropped by retention; {way_out}"));
    Ok((kept_from, until.max(kept_from)))
}

/// What is added to the name of a value that is compared.
pub const COMPARED: [&str; 2] = ["_before", "_change"];

fn with_compared(
    compare: Option<Duration>,
    names: Vec<Named>,
    counts: Vec<bool>,
    frame: &Frame,
) -> Result<(Vec<Named>, Vec<bool>), QuestionError> {
    let Some(by) = compare else { return Ok((names, counts)) };
    match frame {
        Frame::AsStored => {
            return Err(QuestionError::other(
                format!("cannot compare with {by} before: the metric's windows follow no grid"),
                "leave --compare out",
            ));
        }
        Frame::Every { length, .. } if by.0 == 0 || by.0 % length.0 != 0 => {
            return Err(QuestionError::other(
                format!("cannot compare with {by} before: it is no multiple of the windows' {length}"),
                format!("compare with a multiple, or ask for --window {by}"),
            ));
        }
        _ => {}
    }
    let mut all = Vec::new();
    let mut all_counts = Vec::new();
    for ((name, call), is_count) in names.into_iter().zip(counts) {
        let compared = COMPARED.map(|suffix| format!("{name}{suffix}"));
        all.push((name, call));
        all.extend(compared.map(|name| (name.clone(), name)));
        all_counts.extend([is_count, is_count, false]);
    }
    Ok((all, all_counts))
}
