//! A metric: one result row, made from a partial when its window fires.
//!
//! Knows nothing of how the row was computed and of the format in which it is written.

use std::sync::Arc;

use crate::time::Window;
use crate::value::Value;

/// What the rows of one metric have in common: names, in the order of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricSchema {
    /// The metric's name; the measurement in a store.
    pub name: String,
    /// Names of the group columns.
    pub groups: Vec<String>,
    /// Names of the aggregates.
    pub aggregates: Vec<String>,
    /// Whether rows carry a `rank` (queries with `--top`).
    pub ranked: bool,
}

/// One result row.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Number of its schema, in the order of the metrics file.
    pub metric: usize,
    /// The window that fired. The global window has no bounds: `Window::GLOBAL`.
    pub window: Window,
    /// Values of the group columns.
    pub groups: Arc<[Value]>,
    /// Values of the aggregates.
    pub aggregates: Box<[Value]>,
    /// Place among the rows of its window, from 1, where the schema is ranked.
    pub rank: Option<u64>,
    /// How many rows of the same (metric, window, group) were written before.
    pub revision: u32,
    /// False for an early result: the window may still change before it fires.
    pub is_final: bool,
    /// The row no longer holds: a session was merged away, a group fell out of `--top` or fails `--having`.
    pub retracted: bool,
    /// The group's accumulators in their versioned encoding, where they are asked for: what a store makes coarser windows of.
    pub state: Option<Box<[u8]>>,
}
