//! The window pipeline's rows on their way to buckets, and what becomes of those that a server refuses.
//!
//! Knows nothing of how the rows came about.

use std::sync::Arc;

use crate::pipeline::error::PipelineError;
use crate::pipeline::intake::Stop;
use crate::pipeline::tally::RejectsMax;
use crate::pipeline::window::{WindowEdges, WindowPipeline};
use crate::store::Note;
use crate::store::influx::{InfluxError, Lease};
use crate::time::Timestamp;

/// Nobody else writes; a request to stop ends all trying.
#[derive(Clone)]
struct UntilStopped {
    stop: Stop,
    say: Arc<dyn Fn(&str) + Send + Sync>,
    has_said: bool,
}

impl UntilStopped {
    fn of(edges: &WindowEdges) -> UntilStopped {
        UntilStopped { stop: edges.intake.stop(), say: Arc::clone(&edges.say), has_said: false }
    }
}

impl Lease for UntilStopped {
    fn limit(&mut self) -> Option<std::time::Duration> {
        Some(std::time::Duration::MAX)
    }

    fn note_trouble(&mut self, error: &InfluxError) {
        if !std::mem::replace(&mut self.has_said, true) {
            (self.say)(&format!("{error}; trying again"));
        }
    }

    fn is_hurried(&self) -> bool {
        (self.stop)()
    }
}

impl WindowPipeline {
    /// Takes the outputs so far for the buckets.
    pub(in crate::pipeline::window) fn write_points(&mut self) -> Result<(), PipelineError> {
        if self.edges.buckets.is_empty() {
            return Ok(());
        }
        let now = self.edges.clock.now();
        let lease = UntilStopped::of(&self.edges);
        let written = self.edges.buckets.write(&self.outputs, now, &lease);
        self.take_refused()?;
        Ok(written?)
    }

    /// Writes to the buckets what waits for them, and aside what they refuse.
    pub(in crate::pipeline::window) fn flush_buckets(&mut self) -> Result<(), PipelineError> {
        let now = self.edges.clock.now();
        let mut lease = UntilStopped::of(&self.edges);
        let flushed = self.edges.buckets.flush(now, &mut lease);
        self.take_refused()?;
        Ok(flushed?)
    }

    /// Lets the buckets remember how far a backfill has come: all rows so far must have been written.
    pub(in crate::pipeline::window) fn note_in_buckets(&mut self, note: Note) -> Result<(), PipelineError> {
        let now = self.edges.clock.now();
        let mut lease = UntilStopped::of(&self.edges);
        Ok(self.edges.buckets.note(note, now, &mut lease)?)
    }

    /// Lets the buckets take back what windows made anew that end by `complete` have no more: all of their rows must have been written.
    pub(in crate::pipeline::window) fn take_back(&mut self, complete: Timestamp) -> Result<(), PipelineError> {
        let mut lease = UntilStopped::of(&self.edges);
        self.edges.buckets.take_back(complete, &mut lease)?;
        self.take_refused()
    }

    /// Takes note of the rows that buckets have refused.
    fn take_refused(&mut self) -> Result<(), PipelineError> {
        let WindowEdges { buckets, rejects, payload_bytes_max, .. } = &mut self.edges;
        for record in buckets.take_rejects(*payload_bytes_max) {
            self.summary.first_refused.get_or_insert_with(|| String::from_utf8_lossy(&record).trim_end().to_owned());
            if let Some(rejects) = rejects {
                rejects.write(&record)?;
            }
        }
        self.summary.points_rejected = buckets.rejected();
        let rejected = self.summary.points_rejected + self.tally.counts().rejected();
        if let RejectsMax::Count(max) = self.config.rejects_max {
            self.summary.too_many_rejects |= self.summary.points_rejected > 0 && rejected > max;
        }
        Ok(())
    }
}
