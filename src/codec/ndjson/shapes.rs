//! Which shapes of lines are known, and whether knowing them pays.
//!
//! Where keys come in ever other orders, gaps are of no use and cost time: when too few lines are of a known shape, all is
//! forgotten and not tried for a while. Knows nothing of how lines are walked.

use crate::codec::ndjson::gaps::Gaps;
use crate::codec::ndjson::shape::take_apart;
use crate::codec::ndjson::trie::Trie;

/// Lines after which it is asked whether knowing shapes pays.
const TERM: u64 = 4096;

/// It pays if this share of lines, in percent, is of a known shape.
const KNOWN_PERCENT: u64 = 70;

/// Terms that pass before shapes are learnt again where it did not pay.
const REST: u64 = 16;

/// Known shapes and how often they were met.
#[derive(Debug, Clone, Default)]
pub struct Shapes {
    gaps: Gaps,
    /// Lines of a known shape in the current term. Whoever walks one counts it.
    pub known: u64,
    /// All other lines that could have been learnt in the current term.
    unknown: u64,
    /// Lines that are yet to be passed over.
    resting: u64,
    /// There was no room for all shapes of the current term.
    is_full: bool,
}

impl Shapes {
    /// The gaps, unless there are none or they do not pay.
    #[inline(always)]
    pub fn gaps(&self) -> Option<&Gaps> {
        if self.gaps.is_empty() { None } else { Some(&self.gaps) }
    }

    /// Takes note of a line, from `start` to its line feed at `end`, that the walker has accepted.
    pub fn learn(&mut self, trie: &Trie, bytes: &[u8], start: usize, end: usize) {
        if self.resting > 0 {
            self.resting -= 1;
            return;
        }
        self.unknown += 1;
        let lines = self.known + self.unknown;
        if lines >= TERM {
            if self.known * 100 < lines * KNOWN_PERCENT {
                self.gaps.clear();
                self.resting = TERM * REST;
            } else if self.is_full {
                // Some shapes have gone out of use, perhaps.
                self.gaps.clear();
            }
            (self.known, self.unknown, self.is_full) = (0, 0, false);
            return;
        }
        if let Some(steps) = take_apart(trie, bytes, start, end) {
            self.is_full |= !self.gaps.learn(bytes, &steps);
        }
    }
}
