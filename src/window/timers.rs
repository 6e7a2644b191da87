//! Timers of sessions, by the time at which they are due.
//!
//! A calendar queue, after Brown, "Calendar queues: a fast O(1) priority queue implementation" (CACM 31, 1988): days of equal
//! length, of which only the first is kept in order. Nearly all timers are set for a later day and taken with all of their
//! day, so that setting and taking cost no search and no comparison. Knows nothing of sessions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::time::{Duration, Timestamp};

/// A time, and who is to be looked at then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When it is due.
    pub time: Timestamp,
    /// Number of the group.
    pub group: u32,
    /// Number of its session.
    pub session: u64,
}

/// Timers that are not due yet.
#[derive(Debug)]
pub struct Timers {
    /// Length of a day, in microseconds.
    day: i64,
    /// Those of all days up to this one.
    first_day: i64,
    first: BinaryHeap<Reverse<Timer>>,
    /// Those of the days after it, in no order within a day. No day is empty.
    later: BTreeMap<i64, Vec<Timer>>,
    /// A list of a day that has gone, to be used again.
    spare: Vec<Timer>,
}

/// Days in the usual time from when a timer is set to when it is due.
const DAYS: i64 = 32;

impl Timers {
    /// For timers that are usually set this long before they are due.
    pub fn new(usual: Duration) -> Timers {
        let day = (usual.0 / DAYS).max(1);
        Timers { day, first_day: i64::MIN, first: BinaryHeap::new(), later: BTreeMap::new(), spare: Vec::new() }
    }

    /// Sets a timer.
    pub fn set(&mut self, timer: Timer) {
        let day = timer.time.0.div_euclid(self.day);
        if day <= self.first_day {
            self.first.push(Reverse(timer));
        } else {
            self.later.entry(day).or_insert_with(|| std::mem::take(&mut self.spare)).push(timer);
        }
    }

    /// Takes the timers that are due by `now`, in no particular order, and adds them to `due`.
    pub fn take(&mut self, now: Timestamp, due: &mut Vec<Timer>) {
        let today = now.0.div_euclid(self.day);
        if today > self.first_day {
            due.extend(self.first.drain().map(|Reverse(timer)| timer));
            while let Some(day) = self.later.first_entry()
                && *day.key() <= today
            {
                let is_today = *day.key() == today;
                let mut timers = day.remove();
                if is_today {
                    self.first.extend(timers.drain(..).map(Reverse));
                } else {
                    due.append(&mut timers);
                }
                self.spare = timers;
            }
            self.first_day = today;
        }
        while let Some(Reverse(timer)) = self.first.peek()
            && timer.time <= now
        {
            due.push(*timer);
            self.first.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::testing::splitmix64;

    /// Timers set before, on and after the first day, and a clock that moves by less and by more than a day.
    #[test]
    fn every_timer_is_taken_once_it_is_due_and_not_before() {
        for seed in 0..200 {
            let mut state = seed;
            let mut below = |limit: u64| (splitmix64(&mut state) % limit) as i64;
            let mut timers = Timers::new(Duration(DAYS * (1 + below(20))));
            let mut waiting: Vec<Timer> = Vec::new();
            let mut now = -500;
            for step in 0..100 {
                for group in 0..below(20) as u32 {
                    let time = Timestamp(now - 30 + below(400));
                    let timer = Timer { time, group, session: step };
                    timers.set(timer);
                    waiting.push(timer);
                }
                now += below(60);
                let mut due = Vec::new();
                timers.take(Timestamp(now), &mut due);
                due.sort_unstable();
                let mut expected: Vec<Timer> = waiting.extract_if(.., |timer| timer.time.0 <= now).collect();
                expected.sort_unstable();
                assert_eq!(due, expected, "seed {seed}, step {step}, at {now}");
            }
            let mut rest = Vec::new();
            timers.take(Timestamp::MAX, &mut rest);
            rest.sort_unstable();
            waiting.sort_unstable();
            assert_eq!(rest, waiting, "seed {seed}, at the end");
        }
    }
}
