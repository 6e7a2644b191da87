//! Whether a stage may still write where no transaction guards it.
//!
//! A member that is silent for long has its partitions given to others. A process that was stopped and wakes up, be it alone or with
//! its whole machine, does not know yet; that it was stopped shows in the time since it looked last. So it looks often, and right
//! before each request, at a clock that runs on while the machine is suspended. Knows nothing of what is written.

use std::time::Duration;

use crate::kafka::group::{Member, SESSION_TIMEOUT};
use crate::pipeline::group::Edges;
use crate::source::clock::since_boot;
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
    /// Since the machine was started.
    looked: Duration,
    was_stopped: bool,
}

impl Watch {
    /// Running at this time since the machine was started.
    pub fn new(now: Duration) -> Watch {
        Watch { looked: now, was_stopped: false }
    }

    /// Looks at the clock.
    pub fn look(&mut self, now: Duration) {
        self.was_stopped |= now.saturating_sub(self.looked) > SILENCE_MAX;
        self.looked = now;
    }

    /// Whether the stage may have been stopped for so long that its partitions are others' by now.
    pub fn was_stopped(&self) -> bool {
        self.was_stopped
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
        self.watch.look(since_boot());
        (!self.watch.was_stopped() && !self.member.is_lost()).then_some(REQUEST_MAX)
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

    const SECOND: Duration = Duration::from_secs(1);

    /// A stage that looks at these seconds; from when on it is taken for one that was stopped.
    fn stopped_at(looks: &[u32]) -> Option<u32> {
        let mut watch = Watch::new(Duration::ZERO);
        looks.iter().copied().find(|second| {
            watch.look(SECOND * *second);
            watch.was_stopped()
        })
    }

    #[test]
    fn whoever_has_not_looked_for_longer_than_a_silence_may_have_been_stopped() {
        assert_eq!(stopped_at(&[0, 1, 8, 15, 15]), None);
        assert_eq!(stopped_at(&[1, 9, 10]), Some(9));
        // A machine that was suspended for a night.
        assert_eq!(stopped_at(&[1, 30_000]), Some(30_000));
    }

    #[test]
    fn whoever_was_stopped_is_told_until_it_knows() {
        let mut watch = Watch::new(SECOND);
        watch.look(SECOND * 20);
        watch.look(SECOND * 20);
        watch.look(SECOND * 21);
        assert!(watch.was_stopped());
        watch = Watch::new(SECOND * 21);
        watch.look(SECOND * 22);
        assert!(!watch.was_stopped());
    }

    #[test]
    fn the_clock_since_boot_does_not_go_back() {
        let before = since_boot();
        assert!(before > Duration::ZERO && since_boot() >= before);
    }
}
