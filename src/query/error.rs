//! Why a question can't be answered, told with the way out.
//!
//! Knows nothing of exit codes.

use crate::plan::error::PlanError;
use crate::store::StoreError;
use crate::time::{Duration, Timestamp};

/// A question that can't be answered as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// An expression or a flag's value is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No column or field has this name.
    #[error("the metric '{metric}' has no {what} '{name}'")]
    NoSuch {
        /// The metric.
        metric: String,
        /// `field` or `group column`.
        what: &'static str,
        /// As it was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Windows of this metric can't be merged.
    #[error("cannot recombine the metric '{metric}' {to}: {reason}")]
    MetricRefuses {
        /// The metric.
        metric: String,
        /// To what: coarser windows, fewer groups.
        to: &'static str,
        /// Why.
        reason: String,
        /// Whether it can be made of the raw events.
        by_events: bool,
    },
    /// This field can't be merged.
    #[error(
        "cannot recombine the field '{field}' {to}: {function} holds every value, and the store keeps its result only"
    )]
    FieldRefuses {
        /// The field.
        field: String,
        /// To what.
        to: &'static str,
        /// Its function.
        function: &'static str,
    },
    /// A result of results would mean nothing.
    #[error(
        "cannot take '{call}': the field '{field}' is itself {own}, and {function} of those is not that of the events"
    )]
    ResultOfResults {
        /// As it was asked for.
        call: String,
        /// The field.
        field: String,
        /// The field's function.
        own: &'static str,
        /// The function asked for.
        function: &'static str,
    },
    /// Windows that are no multiple of the metric's.
    #[error("cannot make windows of {asked} from windows of {own}: it is no multiple")]
    NoMultiple {
        /// What was asked for.
        asked: Duration,
        /// What there is.
        own: Duration,
    },
    /// The points of that time were dropped.
    #[error("the points before {kept_from} were dropped by retention, and windows of {asked} need them")]
    Dropped {
        /// From when on there are points.
        kept_from: Timestamp,
        /// What was asked for.
        asked: Duration,
    },
    /// Another query has made the metric anew since it was looked at.
    #[error("cannot follow the metric '{metric}' in {place} any longer: another query makes it now: {changes}")]
    MadeAnew {
        /// The metric.
        metric: String,
        /// The store or bucket.
        place: String,
        /// What differs.
        changes: String,
    },
    /// More windows and groups than an answer may have.
    #[error("the answer would have {cells} rows, more than {most}")]
    TooMany {
        /// Windows by groups.
        cells: u64,
        /// The bound.
        most: u64,
    },
    /// Anything else, in words.
    #[error("{what}")]
    Other {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl QuestionError {
    /// A refusal in words.
    pub(crate) fn other(what: impl Into<String>, hint: impl Into<String>) -> QuestionError {
        QuestionError::Other { what: what.into(), hint: Some(hint.into()) }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            QuestionError::Plan(error) => return error.hint(),
            QuestionError::Store(error) => return error.hint(),
            QuestionError::NoSuch { known, what, metric, .. } if known.is_empty() => {
                format!("'{metric}' has no {what} at all")
            }
            QuestionError::NoSuch { known, what, .. } => format!("each {what} there is: {}", known.join(", ")),
            QuestionError::MetricRefuses { by_events, .. } => {
                let events = if *by_events { "give the archive of its events with --archive DIR; or " } else { "" };
                format!(
                    "{events}ask for it as it is, without --window and with all of its groups; or store a metric of such \
                     windows, too: evwindow --metrics runs many queries in one pass"
                )
            }
            QuestionError::FieldRefuses { function, .. } => {
                let approximate = match *function {
                    "count(DISTINCT …)" => "approx_count_distinct(…)",
                    _ => "approx_percentile(…)",
                };
                format!(
                    "give the archive of its events with --archive DIR; or store {approximate}, which recombines; or a \
                     metric of such windows"
                )
            }
            QuestionError::ResultOfResults { field, .. } => {
                format!(
                    "take the field '{field}' without --agg: it is recombined from what the store keeps of the events"
                )
            }
            QuestionError::NoMultiple { own, .. } => {
                format!("ask for a multiple of {own}, such as {}", Duration(own.0 * 5))
            }
            QuestionError::Dropped { kept_from, .. } => {
                format!(
                    "ask for windows of whole hours, or from {kept_from} on: --start {kept_from}; or give the archive of its \
                     events with --archive DIR"
                )
            }
            QuestionError::MadeAnew { .. } => {
                "run evquery again to follow that one; a query under a --name of its own leaves others alone".into()
            }
            QuestionError::TooMany { .. } => "ask for a shorter time, longer windows or fewer groups".into(),
            QuestionError::Other { hint, .. } => return hint.clone(),
        })
    }
}
