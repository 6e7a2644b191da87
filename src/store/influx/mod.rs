//! Metrics in InfluxDB 2: points for everybody, and beside them what evquery needs to give the very answers of the local store.
//!
//! A bucket holds the points; the bucket of the same name with `_rollups` behind it, which is kept longer, the roll-ups by hour
//! and by day and the catalogue of each metric. `form` says how they stand there. Only this module speaks to InfluxDB.

pub mod admin;
pub(crate) mod annotated;
mod ask;
mod batch;
pub mod client;
pub mod credentials;
pub mod deliver;
pub mod error;
pub(crate) mod flux;
pub mod form;
pub mod reader;
mod rollups;
mod tags;
#[cfg(test)]
pub(crate) mod testing;
pub mod writer;

pub use crate::store::influx::client::{Client, Patience};
pub use crate::store::influx::credentials::{Environment, Target, Token};
pub use crate::store::influx::deliver::{Lease, Sole, WriteError};
pub use crate::store::influx::error::InfluxError;
pub use crate::store::influx::form::PointTime;
pub use crate::store::influx::reader::Reader;
pub use crate::store::influx::writer::{InfluxWriter, OpenError, RejectedPoint, WriterSettings};
