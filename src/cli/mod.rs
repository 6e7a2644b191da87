//! The command lines of the programs: arguments, what they are checked against, and how a program ends.

pub mod about;
pub mod evgen;
pub mod evwindow;
pub mod exit;
pub mod flags;
pub mod progress;
pub mod signals;
