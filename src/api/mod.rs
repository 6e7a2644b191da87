//! HTTP: what a running program tells whoever asks over a socket.
//!
//! Async lives here and nowhere below: a server has one thread and one runtime of its own, and the program beside it goes on as if it
//! were not there. Knows nothing of flags.

pub mod operations;
pub mod prometheus;
pub mod server;
