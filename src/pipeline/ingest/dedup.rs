//! Events that come a second time, told by an id, within a window of event time and a bound on memory.
//!
//! Ids are known by 128 bits of their hash: among a million of them two differ and look the same once in 10^26 times.

use std::collections::{BTreeMap, HashSet};

use crate::time::{Duration, Timestamp};

/// Ids are forgotten in so many steps a window.
const STEPS: i64 = 32;

/// The ids seen last.
#[derive(Debug)]
pub struct Dedup {
    step: i64,
    ids_max: usize,
    seen: HashSet<u128>,
    /// The same ids by the step of their event's time.
    by_step: BTreeMap<i64, Vec<u128>>,
    /// Steps before this are forgotten.
    first: i64,
    forgotten_early: u64,
}

impl Dedup {
    /// Remembers the ids of events that are at most `window` older than the newest, and at most `ids_max` of them: of more, those
    /// of the oldest events are forgotten first.
    pub fn new(window: Duration, ids_max: usize) -> Dedup {
        Dedup {
            step: (window.0 / STEPS).max(1),
            ids_max,
            seen: HashSet::new(),
            by_step: BTreeMap::new(),
            first: i64::MIN,
            forgotten_early: 0,
        }
    }

    /// Whether the id of an event of this time is new. Of an event that is older than the window nothing is known: it counts as new.
    pub fn is_new(&mut self, id: u128, time: Timestamp) -> bool {
        if self.seen.contains(&id) {
            return false;
        }
        let step = time.0.div_euclid(self.step);
        if step < self.first {
            return true;
        }
        self.seen.insert(id);
        self.by_step.entry(step).or_default().push(id);
        let first = step.saturating_sub(STEPS);
        while let Some((&oldest, _)) = self.by_step.first_key_value().filter(|(oldest, _)| **oldest < first) {
            self.forget(oldest);
        }
        self.first = self.first.max(first);
        while self.seen.len() > self.ids_max
            && let Some((&oldest, ids)) = self.by_step.first_key_value()
        {
            self.forgotten_early += ids.len() as u64;
            self.forget(oldest);
            self.first = self.first.max(oldest + 1);
        }
        true
    }

    /// How many ids were forgotten before their window was over, because there were too many.
    pub fn forgotten_early(&self) -> u64 {
        self.forgotten_early
    }

    fn forget(&mut self, step: i64) {
        for id in self.by_step.remove(&step).unwrap_or_default() {
            self.seen.remove(&id);
        }
    }
}

/// What an id is known by.
pub fn hash(id: &[u8]) -> u128 {
    let half = |seed: &[u8]| u128::from(rapidhash::v3::rapidhash_v3(&[seed, id].concat()));
    half(b"") << 64 | half(b"second half")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as `id at time`: which are new.
    #[track_caller]
    fn check(window: i64, ids_max: usize, events: &[(u128, i64)], expected: &[bool]) -> Dedup {
        let mut dedup = Dedup::new(Duration(window), ids_max);
        let found: Vec<bool> = events.iter().map(|&(id, time)| dedup.is_new(id, Timestamp(time))).collect();
        assert_eq!(found, expected, "{events:?}");
        dedup
    }

    #[test]
    fn within_the_window_an_id_comes_once() {
        check(320, 100, &[(1, 0), (1, 0), (2, 100), (1, 300), (2, 320)], &[true, false, true, false, false]);
        check(320, 100, &[(1, 0), (2, 1000), (1, 0), (2, 0)], &[true, true, true, false]);
    }

    #[test]
    fn of_too_many_the_oldest_are_forgotten() {
        let dedup = check(3200, 2, &[(1, 0), (2, 100), (3, 200), (1, 250), (3, 250)], &[true, true, true, true, false]);
        assert_eq!(dedup.forgotten_early(), 2);
        assert!(dedup.seen.len() <= 2);
    }

    #[test]
    fn hashes_differ_in_both_halves() {
        let (a, b) = (hash(b"evt_1"), hash(b"evt_2"));
        assert!(a as u64 != b as u64 && (a >> 64) != (b >> 64) && a as u64 != (a >> 64) as u64);
    }
}
