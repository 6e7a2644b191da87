//! evtop's dashboard: rows in, frames out.
//!
//! ```text
//!  feed (thread) ─ lines ─┐                    ┌─ view ─ frame ─▶ terminal, or text
//!  keys (thread) ─ events ┼─▶ inbox ─▶ run ─▶ model, state
//!  signals (thread) ──────┘
//! ```
//!
//! `line`, `model`, `layout`, `arrange`, `state`, `keys` and `view` are pure. `feed`, `inbox`, `terminal`, `run` and `once` touch the
//! world. Knows nothing of how the rows were made.

pub mod arrange;
pub mod feed;
pub mod figures;
pub mod inbox;
pub mod keys;
pub mod layout;
pub mod line;
pub mod model;
pub mod once;
pub mod printable;
pub mod run;
pub mod state;
pub mod store_feed;
pub mod terminal;
pub mod view;
