//! Accumulators: what a group of a window remembers of its events, merged without loss.
//!
//! A few words: a *state* is what one aggregate remembers of one group; the *accumulators* hold the states of all groups
//! of one table, one vector an aggregate, indexed by the group's dense number; a *partial* is the bytes of all states of
//! one group. Merging states is associative, commutative and exact, so that a result depends neither on the order of the
//! events nor on who folded which of them, and equal states have equal bytes.
//!
//! NULL is skipped. Text, truth values, JSON and times where numbers are wanted are taken for NULL and counted.
//! Knows nothing of windows, of how groups got their numbers, and of expressions: it is given columns.

mod accumulators;
mod cell;
#[cfg(test)]
mod conformance;
mod ddsketch;
mod distinct;
pub mod encoding;
mod exact_sum;
mod extremes;
mod function;
mod hyperloglog;
mod key;
mod percentile;
mod positions;
mod rounding;
pub mod saved;
mod states;
#[cfg(test)]
mod testing;
mod variance;
mod wide;

pub use crate::aggregate::accumulators::Accumulators;
pub use crate::aggregate::ddsketch::RELATIVE_ERROR as APPROX_PERCENTILE_RELATIVE_ERROR;
pub use crate::aggregate::function::{Function, NAMES as FUNCTION_NAMES, TOP_MAX};
pub use crate::aggregate::hyperloglog::PRECISION as APPROX_COUNT_DISTINCT_PRECISION;

/// Why a function can't be had, or a partial can't be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No function has this name.
    #[error("unknown aggregate function '{name}'{}", .nearest.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default())]
    UnknownFunction {
        /// As it was written.
        name: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
    },
    /// DISTINCT where it means nothing that we compute.
    #[error("'{0}' takes no DISTINCT")]
    DistinctNotTaken(String),
    /// Too many or too few constants beside the argument.
    #[error("'{name}' takes {} beside its argument, but {given} given", if *.takes == 1 { "1 parameter" } else { "no parameters" })]
    ParameterCount {
        /// The function.
        name: String,
        /// How many it takes.
        takes: usize,
        /// How many there are.
        given: usize,
    },
    /// The p of a percentile is out of range.
    #[error("'{name}' needs a fraction from 0 to 1, not '{given}'")]
    Fraction {
        /// The function.
        name: String,
        /// Its parameter.
        given: f64,
    },
    /// The k of `topk` is out of range.
    #[error("'{name}' needs a whole number from 1 to {TOP_MAX}, not '{given}'")]
    HowMany {
        /// The function.
        name: String,
        /// Its parameter.
        given: f64,
    },
    /// A partial of another version of its encoding.
    #[error("cannot read a partial of version '{0}'")]
    Version(u8),
    /// A partial of another query.
    #[error("cannot read a partial: its aggregates are not those of the query")]
    OtherAggregates,
    /// Bytes that no partial has.
    #[error("cannot read a partial: {0}")]
    Malformed(&'static str),
}
