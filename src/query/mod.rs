//! Asking the store: from a question to rows, combined without error from points or roll-ups.
//!
//! `crate::query::question` checks what is asked against what the metric is, and settles windows, grain and fields;
//! `crate::query::answer` reads, combines and hands out rows slice by slice of time. A coarser window is merged of the
//! accumulators of finer ones, never of their results: what can't be merged is refused, with the reason. `crate::query::tiers` says
//! what of it is made of archived events where what is stored does not answer.
//! Knows nothing of flags and formats.

pub mod answer;
pub mod error;
pub mod fold;
pub mod frame;
pub mod grouping;
pub mod question;
pub mod recombine;
pub mod refine;
pub mod stored;
pub mod tiers;

pub use crate::query::answer::answer;
pub use crate::query::error::QuestionError;
pub use crate::query::question::{Archived, Asked, Fill, Question, Tier, WindowAsked};
pub use crate::query::tiers::{Reach, settle};
