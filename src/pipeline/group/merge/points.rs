//! The second stage's rows on their way to buckets, which no transaction guards: written only while the partitions are ours, and
//! acknowledged before the transaction commits.
//!
//! That they are ours the brokers have said in this very transaction: it holds our offsets, which they take of members only, and as
//! long as it is open nobody else is told where to begin. It may end while points are written, where a server takes its time; then
//! what `crate::pipeline::group::lease` sees has to do.
//!
//! Knows nothing of what is committed.

use std::time::Duration as WallDuration;

use crate::kafka::transaction::TRANSACTION_TIMEOUT;
use crate::pipeline::group::GroupError;
use crate::pipeline::group::fault;
use crate::pipeline::group::lease::{MemberLease, Watch};
use crate::pipeline::group::merge::{Merge, STAGE, is_replaced};
use crate::pipeline::group::stage::Keeping;
use crate::source::clock::since_boot;
use crate::window::Output;

/// After a time in which the process was stopped the brokers are given so long to say whether the partitions are still ours. Where
/// they are away for longer, nothing is lost: nothing is written before they have taken offsets.
const ASK_AFTER: WallDuration = WallDuration::from_secs(3);

/// A transaction that has been open for so long is not worth going on with.
const LONG: WallDuration = WallDuration::from_secs(TRANSACTION_TIMEOUT.as_secs() / 2);

impl Merge<'_> {
    /// Takes rows for the buckets; what is too much to wait is written at once: until it is committed it may be written again, and
    /// is the same then.
    pub(in crate::pipeline::group::merge) fn write_points(&mut self, outputs: &[Output]) -> Result<(), GroupError> {
        if self.buckets.is_empty() {
            return Ok(());
        }
        let mut rest = outputs;
        while !rest.is_empty() {
            rest = &rest[self.buckets.take(rest, self.edges.clock.now())?..];
            if self.buckets.is_full() {
                if self.claimed.is_none() {
                    self.claim(None)?;
                }
                self.flush_points()?;
            }
        }
        Ok(())
    }

    /// Has everything acknowledged that goes to buckets. The brokers have just said that the partitions are ours (`claim`). Where it
    /// took long, the transaction is begun anew, before the brokers end it.
    pub(in crate::pipeline::group::merge) fn flush_points(&mut self) -> Result<(), GroupError> {
        if self.buckets.due().is_none() {
            return Ok(());
        }
        fault::enter(STAGE, "points");
        fault::reach_within(STAGE, "in-points");
        let mut lease = MemberLease { member: &self.member, watch: &mut self.watch, edges: self.edges };
        self.buckets.flush(self.edges.clock.now(), &mut lease)?;
        fault::reach(STAGE, "after-points");
        self.keep_refused()?;
        let (config, edges) = (self.config, self.edges);
        let has_only_points = config.outputs.is_empty();
        if has_only_points && self.claimed.is_some_and(|claimed| claimed.elapsed() > LONG) {
            self.stage.renew(&config.settings, || is_replaced(config, edges))?;
            (self.claimed, self.metadata) = (None, None);
        }
        Ok(())
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
        self.watch = Watch::new(since_boot());
        self.put_off(ASK_AFTER, None)
    }
}
