//! What happens to events between their source and the reader: some arrive out of order, some very late, some twice,
//! some broken, some with a clock gone wrong.
//!
//! Each disturbance has its own stream of chance, so that the simulated events stay the same, and switching one on does
//! not move another. Knows nothing of bytes.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::generate::flaw::Flaw;
use crate::generate::random::{Chance, Random};
use crate::generate::{Event, Fate, Settings};
use crate::time::{Duration, Timestamp};

/// Which disturbances there are, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disturbances {
    /// These arrive up to this long after their time, evenly spread.
    pub out_of_order: Delay,
    /// These arrive just this long after their time. Whom this befalls is not also out of order.
    pub late: Delay,
    /// These are sent once more, up to two seconds after they have arrived. Broken events and future ones are spared.
    pub duplicates: Chance,
    /// The lines of these are broken.
    pub malformed: Chance,
    /// The timestamps of these lie ten years after both their time and the clock. Broken events are spared.
    pub future: Chance,
}

impl Disturbances {
    /// Every event arrives once, whole, and at its time.
    pub const NONE: Disturbances = Disturbances {
        out_of_order: Delay { by: Duration(0), share: Chance::ZERO },
        late: Delay { by: Duration(0), share: Chance::ZERO },
        duplicates: Chance::ZERO,
        malformed: Chance::ZERO,
        future: Chance::ZERO,
    };
}

/// A delay that befalls a share of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// How long.
    pub by: Duration,
    /// How many.
    pub share: Chance,
}

const COPY_AFTER_MAX: u32 = 2_000_000;
const TEN_YEARS: i64 = 3652 * 86_400_000_000;

/// Disturbs events as they come, and holds those that are under way.
///
/// Holds as many as are simulated in the longest delay; the start's `--late 2m:1%` at 1000 events/s holds 1200.
#[derive(Debug)]
pub struct Disturber {
    disturbances: Disturbances,
    now: Timestamp,
    delayed: BinaryHeap<Reverse<Delayed>>,
    sent: u64,
    out_of_order: Random,
    late: Random,
    duplicates: Random,
    malformed: Random,
    future: Random,
}

impl Disturber {
    /// With the disturbances, the seed and the clock of `settings`.
    pub fn new(settings: &Settings) -> Disturber {
        let stream = |number| Random::new(settings.seed, number);
        Disturber {
            disturbances: settings.disturbances,
            now: settings.now,
            delayed: BinaryHeap::new(),
            sent: 0,
            out_of_order: stream(16),
            late: stream(17),
            duplicates: stream(18),
            malformed: stream(19),
            future: stream(20),
        }
    }

    /// Whether every event arrives as it is, at its time.
    pub fn is_idle(&self) -> bool {
        let Disturbances { out_of_order, late, duplicates, malformed, future } = self.disturbances;
        self.delayed.is_empty() && [out_of_order.share, late.share, duplicates, malformed, future] == [Chance::ZERO; 5]
    }

    /// Sends off `event` at its time. Gives it back when it arrives at once.
    pub fn send(&mut self, mut event: Event) -> Option<Event> {
        let Disturbances { out_of_order, late, duplicates, malformed, future } = self.disturbances;
        if late.share != Chance::ZERO && self.late.hits(late.share) {
            event.arrival += late.by.0;
        } else if out_of_order.share != Chance::ZERO && self.out_of_order.hits(out_of_order.share) {
            event.arrival += self.out_of_order.below_wide(out_of_order.by.0 as u64 + 1) as i64;
        }
        let is_delayed = event.arrival > event.time;
        if malformed != Chance::ZERO && self.malformed.hits(malformed) {
            let bits = self.malformed.bits();
            let flaw = Flaw::ALL[(bits >> 32) as usize % Flaw::ALL.len()];
            event.fate = Fate::Broken(flaw, bits as u32);
        } else if future != Chance::ZERO && self.future.hits(future) {
            event.fate = Fate::Future;
            event.time = event.time.max(self.now.0) + TEN_YEARS;
        }
        let copy = duplicates != Chance::ZERO && self.duplicates.hits(duplicates) && event.fate == Fate::Sound;
        if is_delayed {
            self.hold(event);
        }
        if copy {
            let after = 1 + i64::from(self.duplicates.below(COPY_AFTER_MAX));
            self.hold(Event { fate: Fate::Copy, arrival: event.arrival + after, ..event });
        }
        (!is_delayed).then_some(event)
    }

    /// The first of the delayed events, if it arrives by `until`.
    pub fn take_delayed(&mut self, until: i64) -> Option<Event> {
        match self.delayed.peek() {
            Some(Reverse(delayed)) if delayed.event.arrival <= until => {
                self.delayed.pop().map(|Reverse(delayed)| delayed.event)
            }
            _ => None,
        }
    }

    /// When the first of the delayed events arrives.
    pub fn next_arrival(&self) -> Option<i64> {
        self.delayed.peek().map(|Reverse(delayed)| delayed.event.arrival)
    }

    fn hold(&mut self, event: Event) {
        self.sent += 1;
        self.delayed.push(Reverse(Delayed { event, number: self.sent }));
    }
}

/// Ordered by arrival, then by sending.
#[derive(Debug)]
struct Delayed {
    event: Event,
    number: u64,
}

impl Ord for Delayed {
    fn cmp(&self, other: &Delayed) -> Ordering {
        (self.event.arrival, self.number).cmp(&(other.event.arrival, other.number))
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Delayed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Delayed) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Delayed {}
