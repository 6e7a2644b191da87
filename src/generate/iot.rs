//! The fleet: devices that report temperature, humidity and pressure every ten seconds, with daily cycles and a slow drift,
//! and whose sensors now and then stick, fail, or drift away.
//!
//! Knows nothing of bytes. A reading taken while its sensor is at fault is anomalous, which only the truth tells.

use crate::generate::random::{Chance, Random};
use crate::generate::schedule::Schedule;
use crate::generate::{Body, Settings};

/// How often each sensor reports when no rate is asked for.
pub const INTERVAL_SECONDS: u64 = 10;

/// One reading of one sensor.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// What was measured.
    pub quantity: Quantity,
    /// What was wrong with the sensor, if anything.
    pub fault: Option<FaultKind>,
    /// Number of the device, from 0.
    pub device: u32,
    /// How often the device has been started anew.
    pub boot: u32,
    /// In hundredths of the quantity's unit.
    pub value: i32,
}

/// What a device measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Degrees Celsius.
    Temperature,
    /// Percent of relative humidity.
    Humidity,
    /// Hectopascal.
    Pressure,
}

impl Quantity {
    /// All quantities, in their order as numbers.
    pub const ALL: [Quantity; 3] = [Quantity::Temperature, Quantity::Humidity, Quantity::Pressure];

    /// The event type.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Temperature => "temperature",
            Quantity::Humidity => "humidity",
            Quantity::Pressure => "pressure",
        }
    }

    /// The unit as it is printed.
    pub fn unit(self) -> &'static str {
        match self {
            Quantity::Temperature => "celsius",
            Quantity::Humidity => "percent",
            Quantity::Pressure => "hPa",
        }
    }

    /// Typical value, daily swing and noise, in hundredths.
    fn climate(self) -> (i32, i32, u32) {
        match self {
            Quantity::Temperature => (1800, 600, 30),
            Quantity::Humidity => (5500, -1500, 80),
            Quantity::Pressure => (101_300, 150, 20),
        }
    }
}

/// How a sensor can be at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It repeats its last value.
    Stuck,
    /// It gives nonsense far outside of its range, or nothing.
    Failing,
    /// It moves away from the truth, a step a reading.
    Drifting,
}

impl FaultKind {
    /// The name in the truth.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Stuck => "stuck",
            FaultKind::Failing => "failing",
            FaultKind::Drifting => "drifting",
        }
    }
}

/// Where devices stand: device `d` at number `d % 8`.
pub const SITES: [&str; 8] =
    ["berlin-1", "berlin-2", "hamburg-1", "munich-1", "vienna-1", "zurich-1", "oslo-1", "madrid-1"];

/// The running fleet.
#[derive(Debug)]
pub struct Fleet {
    schedule: Schedule,
    random: Random,
    /// Three a device, in the order in which they report.
    sensors: Vec<Sensor>,
    position: usize,
    fault_chance: Chance,
    missing_chance: Chance,
    reboot_chance: Chance,
    boots: Vec<u32>,
}

#[derive(Debug)]
struct Sensor {
    device: u32,
    quantity: Quantity,
    /// This sensor's own deviation, in hundredths; it wanders slowly.
    offset: i32,
    last: i32,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Fault {
    kind: FaultKind,
    readings_left: u32,
    /// What a drifting sensor has drifted by.
    drifted: i32,
}

impl Fleet {
    /// Starts all devices.
    pub fn new(settings: &Settings, schedule: Schedule) -> Fleet {
        let mut random = Random::new(settings.seed, 2);
        let mut sensors = Vec::with_capacity(settings.devices as usize * 3);
        for quantity in Quantity::ALL {
            let spread = quantity.climate().2 * 8;
            for device in 0..settings.devices {
                let offset = random.below(spread) as i32 - spread as i32 / 2;
                sensors.push(Sensor { device, quantity, offset, last: quantity.climate().0, fault: None });
            }
        }
        for i in (1..sensors.len()).rev() {
            sensors.swap(i, random.below(i as u32 + 1) as usize);
        }
        Fleet {
            schedule,
            sensors,
            position: 0,
            fault_chance: Chance::new(1.0 / 4000.0),
            missing_chance: Chance::new(0.002),
            reboot_chance: Chance::new(1.0 / 20_000.0),
            boots: vec![0; settings.devices as usize],
            random,
        }
    }

    /// The next reading, and when.
    #[inline(always)]
    pub fn next_event(&mut self) -> (i64, Body) {
        loop {
            let now = self.schedule.next_slot();
            let sensor = &mut self.sensors[self.position];
            self.position = if self.position + 1 == self.boots.len() * 3 { 0 } else { self.position + 1 };
            if self.random.hits(self.fault_chance) && sensor.fault.is_none() {
                sensor.fault = Some(Fault::begin(&mut self.random));
            }
            let Some((value, fault)) = sensor.read(now, &mut self.random) else { continue };
            // A reading that goes missing leaves its slot empty: the fleet keeps its beat.
            if self.random.hits(self.missing_chance) {
                continue;
            }
            let boot = &mut self.boots[sensor.device as usize];
            *boot += u32::from(self.random.hits(self.reboot_chance));
            let reading = Reading { quantity: sensor.quantity, fault, device: sensor.device, boot: *boot, value };
            return (now, Body::Fleet(reading));
        }
    }
}

impl Sensor {
    /// The value and the fault that it shows; or nothing, when a failing sensor gives none.
    fn read(&mut self, now: i64, random: &mut Random) -> Option<(i32, Option<FaultKind>)> {
        let true_value = self.measure(now, random);
        let Some(fault) = &mut self.fault else {
            self.last = true_value;
            return Some((true_value, None));
        };
        let kind = fault.kind;
        let value = match kind {
            FaultKind::Stuck => self.last,
            FaultKind::Failing => true_value * 10 + random.below(100_000) as i32,
            FaultKind::Drifting => {
                fault.drifted += self.quantity.climate().2 as i32;
                true_value + fault.drifted
            }
        };
        fault.readings_left -= 1;
        if fault.readings_left == 0 {
            self.fault = None;
        }
        let silent = kind == FaultKind::Failing && random.below(3) == 0;
        if silent {
            return None;
        }
        self.last = value;
        Some((value, Some(kind)))
    }

    fn measure(&mut self, now: i64, random: &mut Random) -> i32 {
        let (typical, swing, noise) = self.quantity.climate();
        let bits = random.bits();
        if bits & 0x3f == 0 {
            self.offset += if bits & 0x40 == 0 { 1 } else { -1 };
        }
        let jitter = (((bits >> 32) * u64::from(2 * noise + 1)) >> 32) as i32 - noise as i32;
        let value = typical + swing * daily_wave(now) / 1000 + self.offset + jitter;
        if self.quantity == Quantity::Humidity { value.clamp(0, 10_000) } else { value }
    }
}

impl Fault {
    fn begin(random: &mut Random) -> Fault {
        let kind = [FaultKind::Stuck, FaultKind::Failing, FaultKind::Drifting][random.below(3) as usize];
        Fault { kind, readings_left: 10 + random.below(50), drifted: 0 }
    }
}

/// The sun: -1000 at 03:00 to 1000 at 15:00, in thousandths, as a parabola for each half of the day (within 6 % of a sine).
fn daily_wave(now: i64) -> i32 {
    let second = (now.div_euclid(1_000_000) - 9 * 3600).rem_euclid(86_400);
    let half = second % 43_200;
    let height = (4 * half * (43_200 - half) * 1000 / (43_200 * 43_200)) as i32;
    if second < 43_200 { height } else { -height }
}
