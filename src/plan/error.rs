//! Why a query can't be planned, told by flag and value.
//!
//! Knows nothing of how errors reach the user.

use std::fmt;

use crate::plan::MetricText;

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
    pub fn hint(&self) -> Option<&'static str> {
        match self.refusal {
            Refusal::NoWindow => Some("try --tumbling 1m, --sliding 5m/1m, --session 30m or --global"),
            _ => None,
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(metric) = &self.metric {
            write!(f, "can't plan the metric '{metric}': ")?;
        }
        match (&self.refusal, self.value.as_str()) {
            (Refusal::NoWindow, _) => f.write_str("no window is given"),
            (Refusal::Expression(error), _) => write!(f, "wrong --{}: {}", self.flag, error.render()),
            (Refusal::Other(cause), "") => write!(f, "can't take --{}: {cause}", self.flag),
            (Refusal::Other(cause), value) => write!(f, "can't take --{} '{value}': {cause}", self.flag),
        }
    }
}

impl std::error::Error for PlanError {}
