//! A run over late events: what is particular to it.
//!
//! With a keeper it brings them into the store. Without one it only finds out which windows they belong to.

use std::collections::BTreeSet;

use crate::pipeline::window::{PipelineError, WindowPipeline};

impl WindowPipeline {
    /// Whether it is only to be found out which windows have late events.
    pub(in crate::pipeline::window) fn looks_for_windows(&self) -> bool {
        self.config.repairs && self.edges.keeper.is_none()
    }

    /// Counts the windows for which late events wait.
    pub(in crate::pipeline::window) fn count_waiting(&mut self) -> Result<(), PipelineError> {
        self.operator.write_open(&mut self.outputs);
        let windows: BTreeSet<_> = self.outputs.drain(..).map(|output| output.place()).collect();
        self.summary.waiting = windows.len() as u64;
        Ok(())
    }
}
