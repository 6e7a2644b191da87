//! The command lines of the programs: arguments, what they are checked against, and how a program ends.

/// Blocks, columns and groups come and go by the thousand in several threads: the system's allocator gives memory back to the
/// system between any two of them and asks for it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod about;
pub mod archive;
pub mod dashboards;
pub mod evgen;
pub mod evingest;
pub mod evquery;
pub mod evtop;
pub mod evwindow;
pub mod exit;
pub mod flags;
pub mod influx;
pub mod input;
pub mod kafka;
pub mod kept_query;
pub mod places;
pub mod points;
pub mod progress;
pub mod records;
pub mod registry;
pub mod signals;
pub mod upstream;
