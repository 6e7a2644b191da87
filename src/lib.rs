//! The library behind evkit's five programs: real-time stream analytics on one machine.
//!
//! `ARCHITECTURE.md` has the bird's eye view; the layers below may only name layers beneath them,
//! which `tests/tidy.rs` enforces.

// Tests within share what those in `tests/` have, which know us by our name.
#[cfg(test)]
extern crate self as evkit;

// Layer 0: words.
pub mod event;
pub mod metric;
pub mod partition;
pub mod record;
pub mod stats;
pub mod time;
pub mod value;

// Layer 1: columns.
pub mod aggregate;
pub mod batch;
pub mod expr;

// Layer 2: core.
pub mod codec;
pub mod generate;
pub mod plan;
pub mod validate;
pub mod watermark;
pub mod window;

// Layer 3: edges.
pub mod archive;
pub mod kafka;
pub mod registry;
pub mod sink;
pub mod source;
pub mod store;

// Layer 4: assembly.
pub mod api;
pub mod dashboard;
pub mod pipeline;
pub mod query;

// Layer 5: programs.
pub mod cli;
