//! SQL expressions over columns: what stands in `--where`, `--by`, `--agg`, `--having` and `--order-by`.
//!
//! A text is cut into tokens and paths are folded (`tokens`), parsed by the `sqlparser` crate (`parse`), turned into
//! our own small tree (`convert`, `ast`), compiled for the columns at hand and evaluated (`program`).
//! Knows nothing of events' encoding, of aggregation and of what the results are used for; reads no clock.
//!
//! Words:
//! * *path*: the place of a field in an event, `properties.items[0].id`. Any word works as a path where SQL's grammar
//!   leaves no doubt (`timestamp`, `user`, `end`); double quotes always help. Case is kept.
//! * *NULL and counted*: an operation without a value (wrong type, overflow, division by zero, a cast that fails) gives
//!   NULL and adds one to `nulled`. A missing field is NULL too, but is nobody's fault and not counted.
//! * *active row*: a row for which a part of an expression is evaluated at all. `AND`, `OR`, `IN`, `BETWEEN`, `CASE`
//!   and `COALESCE` go from left to right and leave out rows that are decided, so those count nothing.
//!
//! What is decided where SQL's products differ:
//! * Integers are exact within `i64` and `u64`; beyond them NULL and counted. `/` gives a double always.
//! * `=` on different types is NULL and counted, but numbers compare exactly whatever their types, and a time compares
//!   with RFC 3339 text. Nested JSON compares equal by its text and has no order. `IS DISTINCT FROM` counts nothing.
//! * `||` and `concat` take any scalar as its text; `concat`, `greatest` and `least` skip NULLs.
//! * `CAST` and `TRY_CAST` are the same; a cast to an integer rounds half away from zero, as `round` does.
//! * `LIKE` has an escape character only where `ESCAPE` names one. Text counts in characters, from 1.

mod arithmetic;
mod ast;
#[cfg(test)]
mod cases;
mod cast;
mod cells;
mod compare;
mod convert;
mod display;
mod error;
mod evaluate;
mod function;
mod like;
mod logic;
mod node;
#[cfg(test)]
mod oracle;
mod parse;
mod program;
#[cfg(test)]
mod random;
mod text;
mod times;
mod tokens;

pub use ast::{
    AggregateCall, ArithmeticOperator, CastTarget, Comparison, Expr, Literal, Named, OrderKey, Truth, name_of_path,
};
pub use error::{Error, Problem, Span};
pub use function::{AGGREGATES, Function};
pub use parse::{parse, parse_aggregates, parse_groups, parse_order};
pub use program::Program;
