//! How far a backfill has come: what a run that takes it up again may leave out, and from when on it needs events.
//!
//! Knows nothing of where that stands, nor of what the windows were made of: that is one number to it.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Windows of a backfill that are complete where they were written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What these windows were made of, and how, as one number: another query or other events give another one.
    pub made_of: u64,
    /// Windows that end by then are complete, in microseconds since the epoch.
    made_us: i64,
    /// All others are made of events from then on, in microseconds since the epoch.
    needed_us: i64,
}

impl Progress {
    /// Windows that end by `made` are complete; to make the others, events from `needed` on are read.
    pub fn new(made_of: u64, made: Timestamp, needed: Timestamp) -> Progress {
        Progress { made_of, made_us: made.0, needed_us: needed.0 }
    }

    /// Windows that end by then are complete.
    pub fn made(&self) -> Timestamp {
        Timestamp(self.made_us)
    }

    /// All others are made of events from then on.
    pub fn needed(&self) -> Timestamp {
        Timestamp(self.needed_us)
    }
}

/// What is to be remembered of a backfill, once the points so far are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// What was remembered before.
    AsBefore,
    /// It has come so far.
    At(Progress),
    /// Nothing: it is complete, or begins anew.
    Nothing,
}
