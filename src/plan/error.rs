//! Why a query can't be planned, told by flag and value.
//!
//! Knows nothing of how errors reach the user.

use std::fmt;

use crate::expr::{Problem, Span};
use crate::plan::MetricText;
use crate::time::ParseError;

/// A query that can't be planned.
#[derive(Debug)]
pub struct PlanError {
    /// The metric's name, where it has one.
    pub metric: Option<String>,
    /// The flag, without dashes, which is the key in a metrics file too.
    pub flag: &'static str,
    /// Its value; empty where the flag has none.
    pub value: String,
    /// The cause.
    pub refusal: Refusal,
}

/// The cause of a `PlanError`.
#[derive(Debug)]
pub enum Refusal {
    /// No flag says which windows.
    NoWindow,
    /// An expression is wrong at a place.
    Expression(Box<crate::expr::Error>),
    /// An expression over rows names something that they don't have.
    NoColumn {
        /// What, and where.
        error: Box<crate::expr::Error>,
        /// What they have.
        columns: Vec<String>,
    },
    /// A value, or a part of it, is no length of time.
    Duration(ParseError),
    /// Anything else, in words.
    Other(String),
}

impl PlanError {
    pub(crate) fn new(text: &MetricText, flag: &'static str, value: &str, refusal: Refusal) -> PlanError {
        PlanError { metric: text.name.clone(), flag, value: value.into(), refusal }
    }

    pub(crate) fn expression(text: &MetricText, flag: &'static str, error: crate::expr::Error) -> PlanError {
        PlanError::new(text, flag, "", Refusal::Expression(Box::new(error)))
    }

    /// What to do about it, where that is not plain from the cause.
    pub fn hint(&self) -> Option<String> {
        match &self.refusal {
            Refusal::NoWindow => Some("try --tumbling 1m, --sliding 5m/1m, --session 30m or --global".into()),
            Refusal::NoColumn { columns, .. } => Some(format!("the columns are {}", columns.join(", "))),
            Refusal::Duration(_) => {
                Some("write a length of time as '90s', '5m', '7d', '250ms', '10us' or '1h30m'".into())
            }
            Refusal::Expression(error) => name_without_as(error)
                .filter(|_| matches!(self.flag, "by" | "agg"))
                .map(|name| format!("a name of your own stands after AS: AS {name}")),
            Refusal::Other(_) => None,
        }
    }
}

/// What the user seems to have meant as a column's name: a single word after an expression, as SQL allows it.
fn name_without_as(error: &crate::expr::Error) -> Option<&str> {
    let Span { text, start, end } = &error.span;
    let (word, rest) = (&text[*start..*end], text[*end..].trim_start());
    let is_name = word.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '"'))
        && !["ASC", "DESC"].iter().any(|order| word.eq_ignore_ascii_case(order));
    let is_operand_before =
        matches!(&error.problem, Problem::Syntax(cause) if cause.starts_with("expected an operator"));
    (is_operand_before && is_name && (rest.is_empty() || rest.starts_with(','))).then_some(word)
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(metric) = self.metric.as_ref().filter(|metric| !metric.is_empty()) {
            write!(f, "cannot plan the metric '{metric}': ")?;
        }
        match (&self.refusal, self.value.as_str()) {
            (Refusal::NoWindow, _) => f.write_str("no window is given"),
            (Refusal::Expression(error) | Refusal::NoColumn { error, .. }, _) => {
                write!(f, "wrong --{}: {}", self.flag, error.render())
            }
            (Refusal::Duration(ParseError::Duration { text, reason }), value) if text == value => {
                write!(f, "cannot take --{} '{value}': {reason}", self.flag)
            }
            (Refusal::Duration(ParseError::Duration { text, reason }), value) => {
                write!(f, "cannot take --{} '{value}': '{text}' is no length of time: {reason}", self.flag)
            }
            (Refusal::Duration(error), value) => write!(f, "cannot take --{} '{value}': {error}", self.flag),
            (Refusal::Other(cause), "") => write!(f, "cannot take --{}: {cause}", self.flag),
            (Refusal::Other(cause), value) => write!(f, "cannot take --{} '{value}': {cause}", self.flag),
        }
    }
}

impl std::error::Error for PlanError {}
