//! The local store: metrics kept in one SQLite file, with what a run needs to go on where it ended.
//!
//! A *series* is one metric and one group; its *points* are the rows of its windows. A point keeps, for each field that
//! recombines, the accumulators and not the value, so that coarser windows are made of finer ones without error;
//! *roll-ups* by hour and by day are such coarser points, kept ready. A *job* is a query (or a file of them) that writes
//! metrics: it owns them, and commits their points, its open state and the offsets of its inputs as one.
//!
//! Points lie in *chunks*: the points of one series over some sixty windows are one blob (`crate::store::entry`), because
//! that is a third of the bytes and a thirtieth of the rows that one row a point would take. SQLite in WAL mode gives the
//! rest: a reader sees whole commits, and neither waits for the other.
//!
//! Knows nothing of how rows are computed and of how answers look. Only this module names SQLite.

pub mod catalogue;
pub mod check;
mod chunks;
mod connection;
mod entry;
pub mod error;
pub mod influx;
mod late;
mod lock;
pub mod metrics;
mod ownership;
pub mod path;
mod payload;
mod pending;
pub mod progress;
pub mod reader;
pub mod retention;
mod rewrite;
mod rollup;
mod schema;
pub mod tiers;
mod upsert;
pub mod writer;

pub use crate::store::catalogue::{Catalogue, Field, Grain, WindowKind};
pub use crate::store::error::StoreError;
pub use crate::store::metrics::{Extent, Known, Metrics, News, Point, Points, Series, StoredMetric};
pub use crate::store::path::default_path;
pub use crate::store::progress::{Note, Progress};
pub use crate::store::reader::{Changes, Reader};
pub use crate::store::tiers::Tiered;
pub use crate::store::writer::{Job, Repairing, Resume, SourceOffset, Writer};
