//! From the words of a query to what runs: parse, check, number the columns.
//!
//! A `MetricText` holds the texts of one query as the user wrote them, by flag or in a metrics file; `Plan::build` turns
//! all metrics of a stream into one list of wanted fields, computed columns and window queries, so that one decode serves
//! them all. Knows nothing of clap, files and threads.

pub mod error;
pub mod explain;
pub mod file;
pub mod meaning;

use chrono_tz::Tz;

use crate::aggregate::Function;
use crate::batch::{Column, EventBatch};
use crate::codec::partial::Header;
use crate::event::{Path, Segment};
use crate::expr::{AggregateCall, Expr, Literal, Named, Problem, Program};
use crate::metric::MetricSchema;
use crate::plan::error::{PlanError, Refusal};
use crate::time::Duration;
use crate::window::assigner::{Alignment, Assigner};
use crate::window::key::overflow_key;
use crate::window::present::{Order, Presentation, Top};
use crate::window::session::Gap;
use crate::window::table::GroupLimit;
use crate::window::{AggregateInput, Query, Windows};

/// One query in the user's words. Field names are the flags, and the keys of a metrics file.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MetricText {
    /// The metric's name; `events` if there is none.
    pub name: Option<String>,
    /// `1m`.
    pub tumbling: Option<String>,
    /// `5m/1m`: size and slide.
    pub sliding: Option<String>,
    /// `1d/1h`: size and step.
    pub cumulate: Option<String>,
    /// `30m`: the gap.
    pub session: Option<String>,
    /// Longest session.
    pub session_max: Option<String>,
    /// One window over everything.
    pub global: bool,
    /// Added to the edges of windows.
    pub window_offset: Option<String>,
    /// Time zone for windows of whole days.
    pub tz: Option<String>,
    /// Which events.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// Group columns.
    pub by: Option<String>,
    /// Aggregates; `count(*) AS count` if there are none.
    pub agg: Option<String>,
    /// Which rows.
    pub having: Option<String>,
    /// How many rows of a window.
    pub top: Option<usize>,
    /// By which order.
    pub order_by: Option<String>,
    /// Rows that tie with the last one, too.
    pub with_ties: bool,
    /// How long a window may change after it fired.
    pub allowed_lateness: Option<String>,
    /// Most groups of a window.
    pub max_groups: Option<u32>,
    /// Where its rows go, if not where all go.
    pub to: Option<String>,
}

/// Groups of a window where `--max-groups` says nothing.
pub const GROUPS_MAX: u32 = 1_000_000;

const GROUPS_LIMIT: u32 = 1_000_000_001;

/// The longest window, gap, offset and lateness: event time lies in the years 0 to 9999, and sums of these fit well.
const LENGTH_MAX: Duration = Duration(10_000 * 366 * 86_400_000_000);

/// Columns of a result row that no group or aggregate may be named as.
const RESERVED: [&str; 7] = ["metric", "window_start", "window_end", "rank", "revision", "final", "retracted"];

/// All metrics of a stream, ready to run.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Fields to decode: the first columns of a batch.
    pub wanted: Vec<Path>,
    /// Columns that are computed from those before them, in order.
    pub computed: Vec<Computed>,
    /// One query a metric.
    pub queries: Vec<Query>,
    /// One schema a metric.
    pub schemas: Vec<MetricSchema>,
    /// The texts that the plan was built from, with every default filled in.
    pub texts: Vec<MetricText>,
    /// What expressions over the rows of each metric may name.
    columns: Vec<RowColumns>,
}

/// A computed column.
#[derive(Debug, Clone)]
pub struct Computed {
    /// The expression as canonical SQL; equal expressions are computed once.
    pub text: String,
    /// What computes it.
    pub program: Program,
}

impl Plan {
    /// Plans these metrics. Names must differ.
    pub fn build(texts: &[MetricText]) -> Result<Plan, PlanError> {
        let mut plan = Plan::default();
        // Paths come first, so that computed columns can be numbered after them.
        let mut parsed = Vec::new();
        for text in texts {
            let metric = Parsed::of(text)?;
            for path in metric.expressions().flat_map(Expr::paths) {
                if !plan.wanted.contains(path) {
                    plan.wanted.push(path.clone());
                }
            }
            parsed.push(metric);
        }
        for (text, metric) in texts.iter().zip(parsed) {
            let schema = metric.schema(text)?;
            if plan.schemas.iter().any(|other| other.name == schema.name) {
                let name = &schema.name;
                return Err(PlanError::new(text, "name", name, Refusal::Other("another metric has this name".into())));
            }
            let query = plan.query(text, &metric)?;
            plan.queries.push(query);
            plan.schemas.push(schema);
            plan.texts.push(text.clone());
            plan.columns.push(metric.columns());
        }
        Ok(plan)
    }

    /// Compiles an expression over the rows of any metric, such as `--fail-if`: one program for each metric whose rows have its
    /// columns. Refused when none has.
    pub fn over_rows(&self, flag: &'static str, expression: &str) -> Result<Vec<Option<Program>>, PlanError> {
        let mut programs = Vec::new();
        let mut refused = None;
        for (text, columns) in self.texts.iter().zip(&self.columns) {
            match columns.over_rows(text, flag, expression) {
                Ok(program) => programs.push(Some(program)),
                Err(error) => {
                    programs.push(None);
                    refused = Some(error);
                }
            }
        }
        match refused {
            Some(error) if programs.iter().all(Option::is_none) => Err(error),
            _ => Ok(programs),
        }
    }

    /// Plans the merging of partials that other programs folded: what is computed, their headers say; in which windows and
    /// how it is shown, `text`.
    pub fn merging(text: &MetricText, headers: &[Header]) -> Result<Plan, PlanError> {
        let mut plan = Plan::default();
        windows(text)?;
        for Header { schema, functions, gap } in headers {
            let windows = windows(text)?;
            if let Windows::Session(wanted) = &windows
                && *gap != Some(wanted.gap)
            {
                let held = gap.map_or("slices of time".into(), |gap| format!("sessions with a gap of {gap}"));
                let cause = format!("the partials of '{}' are {held}, of which no others can be made", schema.name);
                return Err(PlanError::new(text, "session", &wanted.gap.to_string(), Refusal::Other(cause)));
            }
            let columns = RowColumns {
                groups: schema.groups.iter().map(|name| (name.clone(), None)).collect(),
                aggregates: schema.aggregates.iter().map(|name| (name.clone(), name.clone())).collect(),
                sessions: matches!(windows, Windows::Session(_)),
            };
            let lateness = text.allowed_lateness.as_deref();
            plan.queries.push(Query {
                windows,
                filter: None,
                groups: Vec::new(),
                functions: functions.clone(),
                inputs: Vec::new(),
                allowed_lateness: lateness
                    .map_or(Ok(Duration(0)), |value| duration(text, "allowed-lateness", value))?,
                limit: GroupLimit {
                    groups_max: text.max_groups.unwrap_or(GROUPS_MAX),
                    overflow_key: overflow_key(schema.groups.len()),
                },
                presentation: columns.presentation(text)?,
            });
            plan.columns.push(columns);
            plan.schemas.push(MetricSchema { ranked: text.top.is_some(), ..schema.clone() });
            plan.texts.push(MetricText { name: Some(schema.name.clone()), ..text.clone() });
        }
        Ok(plan)
    }

    /// Appends the computed columns to a batch. `nulled` counts values that became NULL.
    pub fn compute(&self, batch: &mut EventBatch, nulled: &mut u64) {
        let rows = batch.rows();
        if rows == 0 {
            batch.columns.resize(self.wanted.len() + self.computed.len(), Column::new());
            return;
        }
        for computed in &self.computed {
            let column = computed.program.evaluate(&batch.columns, rows, &mut batch.text, nulled);
            batch.columns.push(column);
        }
    }

    fn query(&mut self, text: &MetricText, metric: &Parsed) -> Result<Query, PlanError> {
        let filter = metric.filter.as_ref().map(|filter| self.column(text, "where", filter)).transpose()?;
        let groups = metric.groups.iter().map(|g| self.column(text, "by", &g.expr)).collect::<Result<Vec<_>, _>>()?;
        let mut functions = Vec::new();
        let mut inputs = Vec::new();
        for call in &metric.aggregates {
            let (function, argument) = function_of(text, call)?;
            functions.push(function);
            inputs.push(AggregateInput {
                value: argument.map(|argument| self.column(text, "agg", argument)).transpose()?,
                filter: call.filter.as_ref().map(|filter| self.column(text, "agg", filter)).transpose()?,
            });
        }
        Ok(Query {
            windows: metric.windows.clone(),
            filter,
            functions,
            inputs,
            allowed_lateness: metric.allowed_lateness,
            limit: GroupLimit {
                groups_max: text.max_groups.unwrap_or(GROUPS_MAX),
                overflow_key: overflow_key(groups.len()),
            },
            groups,
            presentation: metric.columns().presentation(text)?,
        })
    }

    /// The number of the column that holds an expression.
    fn column(&mut self, text: &MetricText, flag: &'static str, expr: &Expr) -> Result<usize, PlanError> {
        let wanted = &self.wanted;
        let program = Program::compile(expr, &|path| wanted.iter().position(|wanted| wanted == path))
            .map_err(|error| PlanError::expression(text, flag, error))?;
        if let Some(column) = program.as_column() {
            return Ok(column);
        }
        let canonical = expr.to_string();
        let known = self.computed.iter().position(|computed| computed.text == canonical);
        let index = known.unwrap_or_else(|| {
            self.computed.push(Computed { text: canonical, program });
            self.computed.len() - 1
        });
        Ok(self.wanted.len() + index)
    }
}

/// One metric after parsing, before its columns are numbered.
struct Parsed {
    windows: Windows,
    allowed_lateness: Duration,
    filter: Option<Expr>,
    groups: Vec<Named>,
    aggregates: Vec<AggregateCall>,
}

impl Parsed {
    fn of(text: &MetricText) -> Result<Parsed, PlanError> {
        let wrong = |flag| move |error| PlanError::expression(text, flag, error);
        let filter = text.filter.as_deref().map(crate::expr::parse).transpose().map_err(wrong("where"))?;
        let groups = match &text.by {
            Some(by) => crate::expr::parse_groups(by).map_err(wrong("by"))?,
            None => Vec::new(),
        };
        for (flag, expr) in filter.iter().map(|f| ("where", f)).chain(groups.iter().map(|g| ("by", &g.expr))) {
            expr.refuse_aggregates(&format!("--{flag}")).map_err(wrong(flag))?;
        }
        let aggregates = text.agg.as_deref().unwrap_or("count(*) AS count");
        let aggregates = crate::expr::parse_aggregates(aggregates).map_err(wrong("agg"))?;
        let allowed_lateness = match &text.allowed_lateness {
            Some(lateness) => duration(text, "allowed-lateness", lateness)?,
            None => Duration(0),
        };
        Ok(Parsed { windows: windows(text)?, allowed_lateness, filter, groups, aggregates })
    }

    /// Every expression over events.
    fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let aggregates =
            self.aggregates.iter().flat_map(|call| call.arguments.iter().chain(&call.within_group).chain(&call.filter));
        self.filter.iter().chain(self.groups.iter().map(|group| &group.expr)).chain(aggregates)
    }

    fn schema(&self, text: &MetricText) -> Result<MetricSchema, PlanError> {
        let groups: Vec<String> = self.groups.iter().map(|group| group.name.clone()).collect();
        let aggregates: Vec<String> = self.aggregates.iter().map(|call| call.name.clone()).collect();
        let mut seen = Vec::new();
        let flags = groups.iter().map(|name| ("by", name)).chain(aggregates.iter().map(|name| ("agg", name)));
        for (flag, name) in flags {
            if RESERVED.contains(&name.as_str()) {
                let cause = "every row has a column of this name; give another one with AS".into();
                return Err(PlanError::new(text, flag, name, Refusal::Other(cause)));
            }
            if seen.contains(&name) {
                let cause = "this name is used twice; give another one with AS".into();
                return Err(PlanError::new(text, flag, name, Refusal::Other(cause)));
            }
            seen.push(name);
        }
        let name = text.name.clone().unwrap_or_else(|| "events".into());
        if name.is_empty() {
            return Err(PlanError::new(
                text,
                "name",
                "",
                Refusal::Other("it is empty, and a metric needs a name".into()),
            ));
        }
        if let Some(groups @ (0 | GROUPS_LIMIT..)) = text.max_groups {
            let cause = format!("it must lie between 1 and {}", GROUPS_LIMIT - 1);
            return Err(PlanError::new(text, "max-groups", &groups.to_string(), Refusal::Other(cause)));
        }
        Ok(MetricSchema { name, groups, aggregates, ranked: text.top.is_some() })
    }

    fn columns(&self) -> RowColumns {
        let path_of = |expr: &Expr| match expr {
            Expr::Path { path, .. } => Some(path.clone()),
            _ => None,
        };
        RowColumns {
            groups: self.groups.iter().map(|group| (group.name.clone(), path_of(&group.expr))).collect(),
            aggregates: self.aggregates.iter().map(|call| (call.name.clone(), call.to_string())).collect(),
            sessions: matches!(self.windows, Windows::Session(_)),
        }
    }
}

/// What an expression over result rows may name.
#[derive(Debug, Clone)]
pub struct RowColumns {
    /// Names, and the paths that they stand for.
    groups: Vec<(String, Option<Path>)>,
    /// Names, and the calls that they stand for.
    aggregates: Vec<(String, String)>,
    /// Whether each window has one row only.
    sessions: bool,
}

impl RowColumns {
    /// Columns of these names; aggregates go by the calls that they stand for, too.
    pub fn new(groups: &[String], aggregates: &[(String, String)]) -> RowColumns {
        let groups = groups.iter().map(|name| (name.clone(), None)).collect();
        RowColumns { groups, aggregates: aggregates.to_vec(), sessions: false }
    }

    /// Compiles `having`, `top` and `order_by` of `text`.
    pub fn presentation(&self, text: &MetricText) -> Result<Presentation, PlanError> {
        let having = match &text.having {
            Some(having) => Some(self.over_rows(text, "having", having)?),
            None => None,
        };
        let Some(rows) = text.top else {
            for (flag, given) in [("order-by", text.order_by.is_some()), ("with-ties", text.with_ties)] {
                if given {
                    let cause = "it says which rows --top shows, but --top is not given".into();
                    return Err(PlanError::new(text, flag, "", Refusal::Other(cause)));
                }
            }
            return Ok(Presentation { having, top: None });
        };
        if rows == 0 {
            return Err(PlanError::new(text, "top", "0", Refusal::Other("at least one row must be shown".into())));
        }
        if self.sessions {
            let cause = "sessions are windows of one group each, so there is nothing to rank".into();
            return Err(PlanError::new(text, "top", &rows.to_string(), Refusal::Other(cause)));
        }
        let order = match &text.order_by {
            Some(order_by) => {
                let keys = crate::expr::parse_order(order_by)
                    .map_err(|error| PlanError::expression(text, "order-by", error))?;
                keys.into_iter()
                    .map(|key| {
                        let program = self.row_program(text, "order-by", &key.expr)?;
                        Ok(Order { program, descending: key.descending, nulls_first: key.nulls_first })
                    })
                    .collect::<Result<Vec<_>, PlanError>>()?
            }
            None => {
                let first = format!("\"{}\"", self.aggregates[0].0.replace('"', "\"\""));
                let program = self.over_rows(text, "order-by", &first)?;
                vec![Order { program, descending: true, nulls_first: false }]
            }
        };
        Ok(Presentation { having, top: Some(Top { rows, order, with_ties: text.with_ties }) })
    }

    /// Compiles an expression over the rows, the value of a flag.
    pub fn over_rows(&self, text: &MetricText, flag: &'static str, expression: &str) -> Result<Program, PlanError> {
        let expr = crate::expr::parse(expression).map_err(|error| PlanError::expression(text, flag, error))?;
        self.row_program(text, flag, &expr)
    }

    /// Compiles an expression over result rows: group columns and aggregates go by their names, or as they are written.
    fn row_program(&self, text: &MetricText, flag: &'static str, expr: &Expr) -> Result<Program, PlanError> {
        let names = self.groups.iter().map(|(name, _)| name).chain(self.aggregates.iter().map(|(name, _)| name));
        let named = |path: &Path, name: &str| matches!(&path.0[..], [Segment::Key(key)] if **key == *name);
        let resolve = |path: &Path| {
            let by_call = || self.aggregates.iter().position(|(_, call)| named(path, call));
            let by_path = || self.groups.iter().position(|(_, group)| group.as_ref() == Some(path));
            let by_name = names.clone().position(|name| named(path, name));
            by_name.or_else(|| by_call().map(|index| self.groups.len() + index)).or_else(by_path)
        };
        Program::compile(expr, &resolve).map_err(|error| match error.problem {
            Problem::NoColumn(_) => {
                let columns = names.cloned().collect();
                PlanError::new(text, flag, "", Refusal::NoColumn { error: Box::new(error), columns })
            }
            _ => PlanError::expression(text, flag, error),
        })
    }
}

fn function_of<'a>(text: &MetricText, call: &'a AggregateCall) -> Result<(Function, Option<&'a Expr>), PlanError> {
    let refuse = |cause: String| PlanError::new(text, "agg", &call.to_string(), Refusal::Other(cause));
    // Percentiles take their parameter in the brackets and what is aggregated behind WITHIN GROUP, or both in the brackets.
    let (argument, constants) = match (&call.within_group, call.arguments.split_first()) {
        (Some(_), _) if call.within_group_descending => {
            return Err(refuse("ORDER BY … DESC is not supported here; use 1 less the fraction".into()));
        }
        (Some(argument), _) => (Some(argument), &call.arguments[..]),
        (None, Some((argument, constants))) => (Some(argument), constants),
        (None, None) => (None, &[][..]),
    };
    if argument.is_none() && !call.star {
        return Err(refuse(format!("{} needs a value to aggregate", call.function)));
    }
    if call.star && call.function != "count" {
        return Err(refuse(format!("{} needs a value to aggregate; only count takes *", call.function)));
    }
    let parameters = constants
        .iter()
        .map(|expr| match expr {
            Expr::Literal(Literal::Int(i)) => Ok(*i as f64),
            Expr::Literal(Literal::Float(f)) => Ok(*f),
            other => Err(refuse(format!("'{other}' must be a number"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let function =
        Function::from_name(&call.function, call.distinct, &parameters).map_err(|error| refuse(error.to_string()))?;
    Ok((function, argument))
}

fn duration(text: &MetricText, flag: &'static str, value: &str) -> Result<Duration, PlanError> {
    let length = Duration::parse(value).map_err(|error| PlanError::new(text, flag, value, Refusal::Duration(error)))?;
    if length > LENGTH_MAX {
        let cause = format!("it is longer than {LENGTH_MAX}, which is longer than all of time");
        return Err(PlanError::new(text, flag, value, Refusal::Other(cause)));
    }
    Ok(length)
}

fn windows(text: &MetricText) -> Result<Windows, PlanError> {
    let given: Vec<(&'static str, &str)> = [
        ("tumbling", text.tumbling.as_deref()),
        ("sliding", text.sliding.as_deref()),
        ("cumulate", text.cumulate.as_deref()),
        ("session", text.session.as_deref()),
        ("global", text.global.then_some("")),
    ]
    .into_iter()
    .filter_map(|(flag, value)| Some((flag, value?)))
    .collect();
    let (flag, value) = match given[..] {
        [one] => one,
        [] => return Err(PlanError::new(text, "tumbling", "", Refusal::NoWindow)),
        [(first, _), (second, value), ..] => {
            let cause = format!("--{first} is given too, and a metric has one kind of window");
            return Err(PlanError::new(text, second, value, Refusal::Other(cause)));
        }
    };
    let refuse = |error: crate::window::assigner::AssignerError| {
        PlanError::new(text, flag, value, Refusal::Other(error.to_string()))
    };
    let alignment = alignment(text)?;
    if matches!(flag, "session" | "global") && alignment != Alignment::EPOCH {
        let other = if text.tz.is_some() { "tz" } else { "window-offset" };
        let cause = format!("windows by --{flag} have no edges to move");
        return Err(PlanError::new(text, other, "", Refusal::Other(cause)));
    }
    if flag != "session" && text.session_max.is_some() {
        let cause = "it cuts sessions, but --session is not given".into();
        return Err(PlanError::new(text, "session-max", "", Refusal::Other(cause)));
    }
    Ok(Windows::Aligned(match flag {
        "tumbling" => Assigner::tumbling(duration(text, flag, value)?, alignment).map_err(refuse)?,
        "sliding" => {
            let (size, slide) = pair(text, flag, value, "size and slide, such as 5m/1m")?;
            Assigner::sliding(size, slide, alignment).map_err(refuse)?
        }
        "cumulate" => {
            let (size, step) = pair(text, flag, value, "size and step, such as 1d/1h")?;
            Assigner::cumulative(size, step, alignment).map_err(refuse)?
        }
        "session" => return session(text, value).map(Windows::Session),
        _ => Assigner::global(),
    }))
}

fn session(text: &MetricText, value: &str) -> Result<Gap, PlanError> {
    let positive = |flag, value: &str| {
        let length = duration(text, flag, value)?;
        let cause = || Refusal::Other("it must be greater than zero".into());
        if length.0 > 0 { Ok(length) } else { Err(PlanError::new(text, flag, value, cause())) }
    };
    let longest = text.session_max.as_deref().map(|longest| positive("session-max", longest)).transpose()?;
    Ok(Gap { gap: positive("session", value)?, longest })
}

fn alignment(text: &MetricText) -> Result<Alignment, PlanError> {
    let offset = match &text.window_offset {
        Some(offset) => match offset.strip_prefix('-') {
            Some(back) => Duration(-duration(text, "window-offset", back)?.0),
            None => duration(text, "window-offset", offset)?,
        },
        None => Duration(0),
    };
    let zone = match &text.tz {
        Some(zone) => Some(zone.parse::<Tz>().map_err(|_| {
            let cause = "it is no time zone of the IANA database, such as Europe/Berlin".into();
            PlanError::new(text, "tz", zone, Refusal::Other(cause))
        })?),
        None => None,
    };
    Ok(Alignment { offset, zone })
}

fn pair(
    text: &MetricText,
    flag: &'static str,
    value: &str,
    wanted: &'static str,
) -> Result<(Duration, Duration), PlanError> {
    let Some((first, second)) = value.split_once('/') else {
        return Err(PlanError::new(text, flag, value, Refusal::Other(format!("it takes {wanted}"))));
    };
    let part = |part| duration(text, flag, part).map_err(|error| PlanError { value: value.into(), ..error });
    Ok((part(first)?, part(second)?))
}
