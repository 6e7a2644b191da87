//! Synthetic events: simulations of a shop, a web site and a fleet of sensors, as compact structs in order of arrival,
//! how they are disturbed on the way, and their encoding to bytes.
//!
//! Pure: the same settings give the same events and the same bytes. Does no I/O, reads no clock, starts no thread;
//! pacing and parallel encoding are the pipeline's.
//!
//! Sketch: 60 ns for an event of the simulation, another 80 ns for its 430 bytes; the bytes bind, so that part can be
//! spread over threads (`encode::Encoder` is a pure function of the event), and the rest stays sequential.

pub mod crowd;
pub mod disturb;
pub mod ecommerce;
pub mod encode;
pub mod flaw;
pub mod iot;
pub mod people;
pub mod random;
pub mod schedule;
pub mod truth;
pub mod web;

use crate::generate::disturb::{Disturbances, Disturber};
use crate::generate::ecommerce::Shop;
use crate::generate::flaw::Flaw;
use crate::generate::iot::Fleet;
use crate::generate::random::{Random, mix};
use crate::generate::schedule::{Rate, Schedule};
use crate::generate::web::Site;
use crate::time::{Duration, Timestamp};

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A shop: views, carts, purchases, refunds, stock.
    Ecommerce,
    /// A web site: pages, clicks, scrolling, forms.
    Web,
    /// Devices with a thermometer, a hygrometer and a barometer each.
    Iot,
}

impl Profile {
    /// The name on the command line and in the truth.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Ecommerce => "ecommerce",
            Profile::Web => "web",
            Profile::Iot => "iot",
        }
    }
}

/// Everything that decides the events.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What is simulated.
    pub profile: Profile,
    /// Where all chance comes from.
    pub seed: u64,
    /// Time of the first event. Whole milliseconds.
    pub start: Timestamp,
    /// The end: this many simulated events (copies not counted), or none.
    pub events_max: Option<u64>,
    /// The end: this much event time, or none. Both may be given; the first to be reached ends it, and so do 250 years.
    pub duration: Option<Duration>,
    /// How densely events come; `None` is the profile's own way.
    pub rate: Option<Rate>,
    /// How many users there are, at least 1.
    pub users: u32,
    /// How many products the shop has, at least 1.
    pub products: u32,
    /// How many devices report, at least 1.
    pub devices: u32,
    /// What happens to events on their way.
    pub disturbances: Disturbances,
    /// The wall clock at the start; only the timestamps of `disturbances.future` depend on it.
    pub now: Timestamp,
}

/// One event, as compact as it can travel from the simulation to the encoder.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// When it reaches the reader, in microseconds since the epoch.
    pub arrival: i64,
    /// Its timestamp, in microseconds since the epoch; printed to the millisecond.
    pub time: i64,
    /// Number of the simulated event, from 0. Copies share it.
    pub sequence: u64,
    /// What befell it on the way.
    pub fate: Fate,
    /// What happened.
    pub body: Body,
}

impl Event {
    /// The timestamp as it is printed.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp(self.time - self.time.rem_euclid(1000))
    }
}

/// What befell an event between its source and the reader, apart from a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Sound,
    /// It was sent again: this is not its first line.
    Copy,
    /// Its timestamp is years after the clock.
    Future,
    /// Its line is broken in this way; the number varies where and how.
    Broken(Flaw, u32),
}

/// What happened, by profile.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// In the shop.
    Shop(ecommerce::Action),
    /// On the web site.
    Site(web::Action),
    /// At a sensor.
    Fleet(iot::Reading),
}

impl Body {
    /// The event's type, as it is printed.
    pub fn event_type(&self) -> &'static str {
        match self {
            Body::Shop(action) => action.kind.name(),
            Body::Site(action) => action.kind.name(),
            Body::Fleet(reading) => reading.quantity.name(),
        }
    }
}

/// The events of some settings in order of arrival, and among equals in order of happening.
#[derive(Debug)]
pub struct Generator {
    simulation: Simulation,
    disturber: Disturber,
    /// The first simulated event that has not been handed to the disturber.
    upcoming: Option<Event>,
    sequence: u64,
    events_max: u64,
    end: i64,
}

#[derive(Debug)]
enum Simulation {
    Shop(Box<Shop>),
    Site(Box<Site>),
    Fleet(Box<Fleet>),
}

impl Generator {
    /// Sets the scene.
    pub fn new(settings: &Settings) -> Generator {
        let schedule =
            |natural| Schedule::new(settings.start, settings.rate.unwrap_or(natural), Random::new(settings.seed, 1));
        let people = Rate::Natural { per_second: PEOPLE_PER_SECOND, daily: true };
        let simulation = match settings.profile {
            Profile::Ecommerce => Simulation::Shop(Box::new(Shop::new(settings, schedule(people)))),
            Profile::Web => Simulation::Site(Box::new(Site::new(settings, schedule(people)))),
            Profile::Iot => {
                let rate = Rate::Fixed { events: u64::from(settings.devices) * 3, seconds: iot::INTERVAL_SECONDS };
                Simulation::Fleet(Box::new(Fleet::new(settings, schedule(rate))))
            }
        };
        let mut generator = Generator {
            simulation,
            disturber: Disturber::new(settings),
            upcoming: None,
            sequence: 0,
            events_max: settings.events_max.unwrap_or(u64::MAX),
            end: settings
                .start
                .0
                .saturating_add(settings.duration.map_or(SPAN_MAX, |duration| duration.0.min(SPAN_MAX))),
        };
        generator.upcoming = generator.simulate();
        generator
    }

    /// Appends to `block` what arrives by `until`, but at most `events_max` events. Gives the number appended, which is
    /// less than `events_max` only when nothing else arrives by then.
    pub fn fill(&mut self, until: Timestamp, events_max: usize, block: &mut Vec<Event>) -> usize {
        let before = block.len();
        if until == Timestamp::MAX && self.disturber.is_idle() {
            self.fill_undisturbed(events_max, block);
            return block.len() - before;
        }
        while block.len() - before < events_max {
            match self.next(until.0) {
                Some(event) => block.push(event),
                None => break,
            }
        }
        block.len() - before
    }

    /// Appends the next events as they are simulated: nothing delays them, and nobody waits for them.
    fn fill_undisturbed(&mut self, events_max: usize, block: &mut Vec<Event>) {
        let Some(more) = (events_max as u64).checked_sub(1) else { return };
        let Some(first) = self.upcoming.take() else { return };
        block.push(first);
        let sequences = self.sequence..self.sequence + more.min(self.events_max - self.sequence);
        self.sequence = sequences.end;
        let goes_on = match &mut self.simulation {
            Simulation::Shop(shop) => append(|| shop.next_event(), sequences, self.end, block),
            Simulation::Site(site) => append(|| site.next_event(), sequences, self.end, block),
            Simulation::Fleet(fleet) => append(|| fleet.next_event(), sequences, self.end, block),
        };
        if goes_on {
            self.upcoming = self.simulate();
        }
    }

    /// When the next event arrives, or `None` after the last. Once the simulation is over, what is still under way
    /// counts as arriving with its last event: nobody should wait for the stragglers of a finished run.
    pub fn next_arrival(&self) -> Option<Timestamp> {
        match (&self.upcoming, self.disturber.next_arrival()) {
            (Some(event), Some(delayed)) => Some(Timestamp(event.time.min(delayed))),
            (Some(event), None) => Some(Timestamp(event.time)),
            (None, Some(_)) => Some(Timestamp::MIN),
            (None, None) => None,
        }
    }

    fn next(&mut self, until: i64) -> Option<Event> {
        loop {
            let Some(event) = self.upcoming else {
                return self.disturber.take_delayed(i64::MAX);
            };
            if let Some(delayed) = self.disturber.take_delayed(event.time.min(until)) {
                return Some(delayed);
            }
            if event.time > until {
                return None;
            }
            self.upcoming = self.simulate();
            if let Some(event) = self.disturber.send(event) {
                return Some(event);
            }
        }
    }

    fn simulate(&mut self) -> Option<Event> {
        if self.sequence == self.events_max {
            return None;
        }
        let (time, body) = match &mut self.simulation {
            Simulation::Shop(shop) => shop.next_event(),
            Simulation::Site(site) => site.next_event(),
            Simulation::Fleet(fleet) => fleet.next_event(),
        };
        let event = Event { arrival: time, time, sequence: self.sequence, fate: Fate::Sound, body };
        self.sequence += 1;
        (time < self.end).then_some(event)
    }
}

/// Appends an event for each of `sequences`. False when one does not happen before `end`: then it is over.
#[inline(always)]
fn append(
    mut next: impl FnMut() -> (i64, Body),
    sequences: std::ops::Range<u64>,
    end: i64,
    block: &mut Vec<Event>,
) -> bool {
    for sequence in sequences {
        let (time, body) = next();
        if time >= end {
            return false;
        }
        block.push(Event { arrival: time, time, sequence, fate: Fate::Sound, body });
    }
    true
}

/// No run lasts longer in event time: 250 years, for the sake of schedules in nanoseconds.
const SPAN_MAX: i64 = 250 * 365 * 86_400_000_000;

/// Mean number of events a second of event time, in the profiles with people.
pub const PEOPLE_PER_SECOND: f64 = 1000.0;

/// The ids that are printed for a seed: random to look at, unique in a run.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    events: u64,
    sessions: u64,
}

impl Ids {
    /// The ids of `seed`.
    pub fn new(seed: u64) -> Ids {
        Ids { events: mix(seed ^ 0x0065_7665_6e74), sessions: mix(seed ^ 0x0073_6573_7369_6f6e) }
    }

    /// The id of event number `sequence`: `evt_` and this in 16 hex digits.
    pub fn event(&self, sequence: u64) -> u64 {
        mix(sequence ^ self.events)
    }

    /// The id of session number `session` below 2⁴⁸: `sess_` and this in 12 hex digits.
    pub fn session(&self, session: u64) -> u64 {
        const MASK: u64 = (1 << 48) - 1;
        // Each step is a bijection on 48 bits.
        let x = (session ^ self.sessions).wrapping_mul(0x9e37_79b9_7f4b) & MASK;
        let x = (x ^ (x >> 24)).wrapping_mul(0xd134_2543_de83) & MASK;
        x ^ (x >> 24)
    }
}
