//! The second stage's rows on their way to buckets, which no transaction guards: written only while the partitions are ours, and
//! acknowledged before the transaction commits.
//!
//! Knows nothing of what is committed.

use std::time::{Duration as WallDuration, Instant};

use crate::pipeline::group::GroupError;
use crate::pipeline::group::fault;
use crate::pipeline::group::lease::MemberLease;
use crate::pipeline::group::merge::{Merge, STAGE};
use crate::pipeline::group::stage::Keeping;
use crate::window::Output;

/// After a time in which the process was stopped the brokers are given so long to say whether the partitions are still ours.
const ASK_AFTER: WallDuration = WallDuration::from_secs(3);

impl Merge<'_> {
    /// Takes rows for the buckets; what is too much to wait is written at once: until it is committed it may be written again, and
    /// is the same then.
    pub(in crate::pipeline::group::merge) fn write_points(&mut self, outputs: &[Output]) -> Result<(), GroupError> {
        if self.buckets.is_empty() {
            return Ok(());
        }
        let mut lease = MemberLease { member: &self.member, watch: &mut self.watch, edges: self.edges };
        self.buckets.write(outputs, self.edges.clock.now(), &mut lease)?;
        self.keep_refused()
    }

    /// Has everything acknowledged that goes to buckets.
    pub(in crate::pipeline::group::merge) fn flush_points(&mut self) -> Result<(), GroupError> {
        if self.buckets.due().is_none() {
            return Ok(());
        }
        fault::enter(STAGE, "points");
        fault::reach_within(STAGE, "in-points");
        let mut lease = MemberLease { member: &self.member, watch: &mut self.watch, edges: self.edges };
        self.buckets.flush(self.edges.clock.now(), &mut lease)?;
        fault::reach(STAGE, "after-points");
        self.keep_refused()
    }

    /// Writes what buckets have refused to the topic of rejects, with the transaction.
    fn keep_refused(&mut self) -> Result<(), GroupError> {
        for record in self.buckets.take_rejects(self.config.line_bytes_max) {
            self.edges.say_once("InfluxDB refuses rows; --rejects-to keeps them with its words");
            if let Some(topic) = &self.config.rejects_to {
                let value = record.strip_suffix(b"\n").unwrap_or(&record).to_vec();
                self.stage.keep(Keeping { topic: topic.clone(), key: None, value });
            }
        }
        let rejected = self.buckets.rejected();
        match self.config.rejects_max {
            Some(max) if rejected > max => Err(GroupError::TooManyRejects { rejected, max }),
            _ => Ok(()),
        }
    }

    /// Waits until the brokers have said whether the partitions are still ours, then takes them on anew.
    pub(in crate::pipeline::group::merge) fn wait_for_word(&mut self) -> Result<(), GroupError> {
        self.edges.say_once("the process was stopped, or has lost its partitions: going on from what is committed");
        let partitions: Vec<i32> = self.held.keys().copied().collect();
        self.forget();
        self.stage.give_up(&self.config.settings)?;
        self.held.clear();
        self.watch.reset();
        self.again = Some((Instant::now() + ASK_AFTER, partitions));
        Ok(())
    }
}
