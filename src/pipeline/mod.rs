//! Each program's loop.

pub mod generate;
pub mod pace;
