//! At which watermarks the window pipeline stops to do something: write early results, or say in band how far it is.
//!
//! The stream is cut exactly there, so that what is written depends on the data and not on how it was read. Knows nothing
//! of what is done at a cut.

use crate::time::{Duration, Timestamp};
use crate::window::{Query, Windows};

/// The cuts of a stream.
#[derive(Debug, Clone)]
pub struct Cadence {
    early: Option<Duration>,
    /// The windows whose edges are cuts; empty where nothing is said in band.
    edges: Vec<Windows>,
}

impl Cadence {
    /// Cuts at the multiples of `early`, and at the edges of all windows if `in_band`.
    pub fn new(early: Option<Duration>, in_band: bool, queries: &[Query]) -> Cadence {
        let edges = if in_band { queries.iter().map(|query| query.windows.clone()).collect() } else { Vec::new() };
        Cadence { early, edges }
    }

    /// The first cut after `watermark`; `Timestamp::MAX` if there is none. Before the first event the next one is a cut.
    pub fn after(&self, watermark: Timestamp) -> Timestamp {
        if self.early.is_none() && self.edges.is_empty() {
            return Timestamp::MAX;
        }
        if watermark == Timestamp::MIN {
            return Timestamp(i64::MIN + 1);
        }
        let multiple = |step: Duration| Timestamp((watermark.0.div_euclid(step.0) + 1).saturating_mul(step.0));
        let early = self.early.map(multiple);
        let edges = self.edges.iter().filter_map(|windows| match windows {
            Windows::Session(gap) => Some(multiple(gap.gap)),
            Windows::Aligned(assigner) => assigner.edge_after(watermark),
        });
        edges.chain(early).min().unwrap_or(Timestamp::MAX)
    }

    /// Whether a multiple of the early interval lies in `(before, after]`.
    pub fn is_early(&self, before: Timestamp, after: Timestamp) -> bool {
        self.early.is_some_and(|step| before.0.div_euclid(step.0) < after.0.div_euclid(step.0))
    }
}
