//! The command lines of the programs: arguments, what they are checked against, and how a program ends.

pub mod evgen;
pub mod exit;
pub mod flags;
pub mod signals;
