//! Whether a stage may still write where no transaction guards it.
//!
//! A member that is silent for long has its partitions given to others. A process that was stopped and wakes up does not know
//! yet; that it was stopped shows in the time since it looked last. So it looks often, and right before each request. Knows
//! nothing of what is written.

use std::time::{Duration, Instant};

use crate::kafka::group::{Member, SESSION_TIMEOUT};
use crate::pipeline::group::Edges;
use crate::store::influx::{InfluxError, Lease};

/// A request that is sent under a lease takes no longer.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// Who has not looked for so long may have been stopped: with this and no request longer than that, the session can't be over.
const SILENCE_MAX: Duration = Duration::from_secs(7);

const _: () = assert!(
    SILENCE_MAX.as_secs() > REQUEST_MAX.as_secs() && SILENCE_MAX.as_secs() < SESSION_TIMEOUT.as_secs(),
    "a request must fit into a silence, and a silence into a session"
);

/// When a stage was last seen to be running.
#[derive(Debug)]
pub struct Watch {
    looked: Instant,
    was_stopped: bool,
}

impl Watch {
    /// Running now.
    pub fn new() -> Watch {
        Watch { looked: Instant::now(), was_stopped: false }
    }

    /// Looks at the clock.
    pub fn look(&mut self) {
        let now = Instant::now();
        self.was_stopped |= now.duration_since(self.looked) > SILENCE_MAX;
        self.looked = now;
    }

    /// The stage knows by now where it stands.
    pub fn reset(&mut self) {
        *self = Watch::new();
    }
}

/// The right of a member to write.
pub struct MemberLease<'a> {
    /// The member.
    pub member: &'a Member,
    /// When it was seen to be running.
    pub watch: &'a mut Watch,
    /// The process around.
    pub edges: &'a Edges,
}

impl Lease for MemberLease<'_> {
    fn limit(&mut self) -> Option<Duration> {
        self.watch.look();
        (!self.watch.was_stopped && !self.member.is_lost()).then_some(REQUEST_MAX)
    }

    fn note_trouble(&mut self, error: &InfluxError) {
        self.edges.say_once(&format!("{error}; trying again"));
    }

    fn is_hurried(&self) -> bool {
        self.edges.is_stopped()
    }
}

/// The right to look at a server before anything is ours.
pub struct StartLease<'a>(pub &'a Edges);

impl Lease for StartLease<'_> {
    fn limit(&mut self) -> Option<Duration> {
        Some(Duration::MAX)
    }

    fn is_hurried(&self) -> bool {
        self.0.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_stopped_is_told_until_it_knows() {
        let mut watch = Watch::new();
        watch.look();
        assert!(!watch.was_stopped);
        watch.looked = watch.looked.checked_sub(SILENCE_MAX * 2).unwrap();
        watch.look();
        watch.look();
        assert!(watch.was_stopped);
        watch.reset();
        assert!(!watch.was_stopped);
    }
}
