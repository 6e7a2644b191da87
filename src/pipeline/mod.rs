//! Each program's loop: source, stages, sink.
//!
//! This is the only place where sources, the core and sinks meet, and the only one that runs the core on several threads.

pub mod abreast;
pub mod archive;
pub mod backfill;
pub mod cadence;
pub mod crew;
pub mod decode;
pub mod destination;
pub mod error;
pub mod generate;
pub mod group;
pub mod ingest;
pub mod intake;
pub mod keep;
pub mod late;
pub mod pace;
pub mod points;
pub mod recompute;
pub mod summary;
pub mod tally;
pub mod topic;
mod why;
pub mod window;
