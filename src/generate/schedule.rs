//! When events happen: the slots in event time that a simulation fills, one event each.
//!
//! Either at a fixed rate, exactly and evenly, or at random around a rate that follows the hour of the day. Knows no
//! clock: a slot is a time of the simulation, and who wants to keep to it on the wall waits for it.

use crate::generate::random::{Random, Waits};
use crate::time::Timestamp;

/// How densely the slots lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Events come at random, about `per_second` on average over a day when `daily`, few at night (UTC) and many in the evening.
    Natural {
        /// Mean number of events a second, greater than 0.
        per_second: f64,
        /// Whether the hour of the day matters.
        daily: bool,
    },
    /// One event every `seconds / events` seconds of event time, to the nanosecond and without drift.
    Fixed {
        /// Numerator, greater than 0.
        events: u64,
        /// Denominator, greater than 0.
        seconds: u64,
    },
}

/// An endless row of slots, never going back.
#[derive(Debug)]
pub struct Schedule {
    start: Timestamp,
    /// Nanoseconds from the start to the next slot.
    next_ns: u64,
    gaps: Gaps,
}

#[derive(Debug)]
enum Gaps {
    /// Mean gap by the minute of the day, in nanoseconds.
    Natural { by_minute: Vec<u64>, waits: Waits, random: Random },
    /// The gap is `whole` nanoseconds, and one more each time that `rest` has filled `events`.
    Fixed { whole: u64, rest: u64, events: u64, filled: u64 },
}

const NANOS: u128 = 1_000_000_000;
const MINUTES_A_DAY: usize = 1440;

impl Schedule {
    /// Slots from `start` on, at `rate`; `random` is used up by natural rates only.
    pub fn new(start: Timestamp, rate: Rate, random: Random) -> Schedule {
        let gaps = match rate {
            Rate::Natural { per_second, daily } => {
                let gap = |minute| 1e9 / (per_second * if daily { share_of_the_day(minute) } else { 1.0 });
                let by_minute = (0..MINUTES_A_DAY).map(|minute| gap(minute) as u64).collect();
                Gaps::Natural { by_minute, waits: Waits::new(), random }
            }
            Rate::Fixed { events, seconds } => {
                let span = NANOS * u128::from(seconds);
                let whole = (span / u128::from(events)) as u64;
                Gaps::Fixed { whole, rest: (span % u128::from(events)) as u64, events, filled: 0 }
            }
        };
        Schedule { start, next_ns: 0, gaps }
    }

    /// The next slot, in microseconds since the epoch.
    pub fn next_slot(&mut self) -> i64 {
        let slot = self.start.0 + (self.next_ns / 1000) as i64;
        self.next_ns += match &mut self.gaps {
            Gaps::Natural { by_minute, waits, random } => {
                let minute = slot.div_euclid(60_000_000).rem_euclid(MINUTES_A_DAY as i64) as usize;
                waits.scaled((random.bits() >> 52) as usize, by_minute[minute])
            }
            Gaps::Fixed { whole, rest, events, filled } => {
                *filled += *rest;
                let carry = u64::from(*filled >= *events);
                *filled -= carry * *events;
                *whole + carry
            }
        };
        slot
    }
}

/// The rate in a minute of the day over the day's mean: lowest at 04:00, highest at 16:00, with a second hump at 21:00. In 0.3..1.9.
fn share_of_the_day(minute: usize) -> f64 {
    let turn = |hour: f64, per_day: f64| ((minute as f64 / 60.0 - hour) / 24.0 * per_day * std::f64::consts::TAU).cos();
    1.0 + 0.6 * turn(16.0, 1.0) + 0.15 * turn(21.0, 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(rate: Rate, count: usize) -> Vec<i64> {
        let mut schedule = Schedule::new(Timestamp(0), rate, Random::new(7, 0));
        (0..count).map(|_| schedule.next_slot()).collect()
    }

    #[test]
    fn fixed_rates_are_exact() {
        let check = |events, seconds, count, last| {
            assert_eq!(slots(Rate::Fixed { events, seconds }, count).last(), Some(&last), "{events}/{seconds}s");
        };
        check(1000, 1, 1, 0);
        check(1000, 1, 1001, 1_000_000);
        check(3, 1, 4, 1_000_000);
        check(7, 1, 7_001, 1_000_000_000);
        check(1, 60, 3, 120_000_000);
        check(7, 3, 701, 300_000_000);
        check(4_000_000, 1, 6, 1);
    }

    #[test]
    fn natural_rates_follow_the_day() {
        let slots = slots(Rate::Natural { per_second: 10.0, daily: true }, 900_000);
        let in_hour = |hour: i64| slots.iter().filter(|&&slot| slot / 3_600_000_000 == hour).count() as f64 / 36_000.0;
        for (hour, expected) in [(4, 0.5), (16, 1.5), (10, 1.1)] {
            let share = share_of_the_day(hour as usize * 60 + 30);
            assert!((in_hour(hour) - share).abs() < 0.05, "hour {hour}: {} and {share}", in_hour(hour));
            assert!((share - expected).abs() < 0.4, "hour {hour}: {share}");
        }
        let day = slots.iter().filter(|&&slot| slot < 86_400_000_000).count();
        assert!((850_000..880_000).contains(&day), "{day}");
        assert!(slots.is_sorted());
    }

    #[test]
    fn the_day_has_mean_one() {
        let total: f64 = (0..MINUTES_A_DAY).map(share_of_the_day).sum();
        assert!((total / MINUTES_A_DAY as f64 - 1.0).abs() < 1e-9);
        assert!((0..MINUTES_A_DAY).all(|minute| (0.25..1.9).contains(&share_of_the_day(minute))));
    }
}
