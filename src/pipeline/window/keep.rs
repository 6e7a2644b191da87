//! When the window pipeline commits what is kept, and what it remembers of a backfill.
//!
//! Knows nothing of where that stands.

use crate::pipeline::error::PipelineError;
use crate::pipeline::group::fault;
use crate::pipeline::keep::{Keeper, LatePlace};
use crate::pipeline::window::WindowPipeline;
use crate::store::Note;
use crate::window::Projected;

impl WindowPipeline {
    /// Commits what is to be kept, if it is time or has to be now.
    pub(in crate::pipeline::window) fn keep(&mut self, now: bool) -> Result<(), PipelineError> {
        let due = self.edges.keeper.as_ref().and_then(Keeper::due);
        let is_due = now || due.is_some_and(|due| due <= self.edges.clock.now());
        if is_due && self.edges.keeper.is_some() && self.edges.buckets.due().is_some() {
            // What is committed is not read again: its rows must have arrived in the buckets before.
            self.flush_buckets()?;
        }
        if is_due && self.edges.backfill.is_some() {
            self.note_progress()?;
        }
        let buckets_due = self.edges.buckets.due();
        if is_due && self.edges.keeper.is_some() {
            // Nor do the rows of files come again, and what was rejected or late.
            self.flush()?;
        }
        let Some(keeper) = &mut self.edges.keeper else {
            self.edges.intake.wake_at(buckets_due);
            return Ok(());
        };
        if is_due {
            if let Some(file) = &mut self.edges.late_file {
                keeper.note_late(file)?;
            }
            let batch = |number| self.batches.get(&number).map(|projected: &Projected| &projected.batch);
            fault::reach("keep", "before-commit");
            keeper.commit(&self.sequencer, &self.operator, batch, || self.edges.clock.now())?;
            fault::reach("keep", "after-commit");
        }
        self.edges.intake.wake_at(keeper.due().into_iter().chain(buckets_due).min());
        Ok(())
    }

    /// Commits where late events begin in a file that no run has written to so far: what a run that is killed leaves behind that
    /// place comes again.
    pub(in crate::pipeline::window) fn keep_late_place(&mut self) -> Result<(), PipelineError> {
        match (&self.edges.keeper, &self.edges.late_file) {
            (Some(keeper), Some(file)) if !matches!(keeper.late_place(file)?, LatePlace::Behind(_)) => self.keep(true),
            _ => Ok(()),
        }
    }

    /// Commits a stretch of a backfill, if one is complete: whoever else writes has its turn between.
    pub(in crate::pipeline::window) fn keep_stretch(&mut self) -> Result<(), PipelineError> {
        let Some(backfill) = &mut self.edges.backfill else { return Ok(()) };
        let is_due = backfill.is_due(&self.operator, || self.edges.clock.now());
        if !is_due {
            return Ok(());
        }
        let (begun, noted) = (self.edges.clock.now(), backfill.noted());
        self.keep(true)?;
        let ended = self.edges.clock.now();
        let Some(backfill) = &mut self.edges.backfill else { return Ok(()) };
        backfill.committed(begun, ended);
        fault::reach("backfill", if backfill.noted() > noted { "after-progress" } else { "after-commit" });
        Ok(())
    }

    /// Says how far a backfill has come, to be remembered with the points that are committed next. Those of buckets are written.
    fn note_progress(&mut self) -> Result<(), PipelineError> {
        let Some(backfill) = &mut self.edges.backfill else { return Ok(()) };
        let note = backfill.note(&self.operator);
        self.edges.keeper.iter_mut().for_each(|keeper| keeper.note(note));
        if self.edges.intake.is_stopped() && !self.edges.buckets.is_empty() {
            // To take points back may last; the next run does it, from what was noted before.
            return Ok(());
        }
        self.complete_buckets()?;
        if note == Note::AsBefore {
            return Ok(());
        }
        self.flush_buckets()?;
        self.note_in_buckets(note)
    }

    /// Lets buckets have of the windows of a backfill that are complete by now what was made of them, and nothing else.
    fn complete_buckets(&mut self) -> Result<(), PipelineError> {
        let complete = self.edges.backfill.as_mut().and_then(|backfill| backfill.complete(&self.operator));
        let Some(complete) = complete.filter(|_| !self.edges.buckets.is_empty()) else { return Ok(()) };
        self.flush_buckets()?;
        fault::reach("backfill", "after-points");
        fault::reach_within("backfill", "within-taking-back");
        self.take_back(complete)?;
        fault::reach("backfill", "after-taking-back");
        Ok(())
    }

    /// Does so before its time where buckets remember much of what was made.
    pub(in crate::pipeline::window) fn keep_buckets_small(&mut self) -> Result<(), PipelineError> {
        if self.edges.buckets.remembers_much() { self.complete_buckets() } else { Ok(()) }
    }
}
