//! The command lines of the programs: arguments, what they are checked against, and how a program ends.

pub mod exit;
pub mod signals;
