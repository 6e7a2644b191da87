//! The truth about a run: what a perfect reader of its lines must find, from the generator's own state.
//!
//! Deliberately uses nothing of windows, watermarks and aggregates, so that it can judge them. Memory grows with what is
//! noteworthy, not with the events.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::generate::iot::Quantity;
use crate::generate::people::{COUNTRIES, People};
use crate::generate::{Body, Event, Fate, Ids, Settings, ecommerce, web};
use crate::time::{Duration, Timestamp};

/// Takes note of every line as it is written.
#[derive(Debug)]
pub struct Truth {
    settings: Settings,
    delay: Duration,
    ids: Ids,
    people: People,
    header_lines: u64,
    lines: u64,
    /// Greatest timestamp of a sound line.
    time_max: Option<i64>,
    counts: BTreeMap<&'static str, u64>,
    late: Vec<Late>,
    duplicates: Vec<u64>,
    malformed: Vec<(u64, u64)>,
    future: Vec<(u64, u64)>,
    anomalous: Vec<(u64, &'static str)>,
    /// By minute and currency: purchases and hundredths.
    revenue: BTreeMap<(i64, &'static str), Tally>,
    /// By minute and page.
    views: BTreeMap<(i64, u32), u64>,
    /// By hour, device and quantity: readings and hundredths.
    readings: BTreeMap<(i64, u32, u8), Tally>,
}

#[derive(Debug)]
struct Late {
    sequence: u64,
    event_type: &'static str,
    time: i64,
    watermark: i64,
    value: Value,
}

/// What of an event goes into a total.
#[derive(Debug, Clone, Copy)]
enum Value {
    None,
    Revenue { cents: u32, currency: &'static str },
    View { page: u32 },
    Reading { device: u32, quantity: Quantity, hundredths: i32 },
}

#[derive(Debug, Default)]
struct Tally {
    count: u64,
    hundredths: i128,
}

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

impl Truth {
    /// About a run with `settings`, for a reader who takes the watermark to be the greatest timestamp less `delay`.
    /// `header_lines` come before the first event and are counted in line numbers.
    pub fn new(settings: &Settings, delay: Duration, header_lines: u64) -> Truth {
        Truth {
            settings: settings.clone(),
            delay,
            ids: Ids::new(settings.seed),
            people: People::new(settings.seed),
            header_lines,
            lines: 0,
            time_max: None,
            counts: BTreeMap::new(),
            late: Vec::new(),
            duplicates: Vec::new(),
            malformed: Vec::new(),
            future: Vec::new(),
            anomalous: Vec::new(),
            revenue: BTreeMap::new(),
            views: BTreeMap::new(),
            readings: BTreeMap::new(),
        }
    }

    /// Takes note of the next lines.
    pub fn record(&mut self, events: &[Event]) {
        events.iter().for_each(|event| self.record_line(event));
    }

    fn record_line(&mut self, event: &Event) {
        self.lines += 1;
        let line = self.header_lines + self.lines;
        match event.fate {
            Fate::Broken(..) => return self.malformed.push((line, event.sequence)),
            Fate::Future => return self.future.push((line, event.sequence)),
            Fate::Copy => self.duplicates.push(event.sequence),
            Fate::Sound => {}
        }
        let time = event.timestamp().0;
        let event_type = event.body.event_type();
        let value = self.value(&event.body);
        *self.counts.entry(event_type).or_default() += 1;
        if let Some(watermark) = self.time_max.map(|time_max| time_max - self.delay.0)
            && time < watermark
        {
            self.late.push(Late { sequence: event.sequence, event_type, time, watermark, value });
        }
        self.time_max = self.time_max.max(Some(time));
        if let Body::Fleet(reading) = &event.body
            && let Some(fault) = reading.fault
        {
            self.anomalous.push((event.sequence, fault.name()));
        }
        match value {
            Value::None => {}
            Value::Revenue { cents, currency } => {
                self.revenue.entry((time.div_euclid(MINUTE), currency)).or_default().add(i128::from(cents));
            }
            Value::View { page } => *self.views.entry((time.div_euclid(MINUTE), page)).or_default() += 1,
            Value::Reading { device, quantity, hundredths } => {
                let key = (time.div_euclid(HOUR), device, quantity as u8);
                self.readings.entry(key).or_default().add(i128::from(hundredths));
            }
        }
    }

    fn value(&self, body: &Body) -> Value {
        match body {
            Body::Shop(action) if action.kind == ecommerce::Kind::PurchaseCompleted => {
                let country = self.people.person(action.user).country;
                Value::Revenue { cents: action.amount, currency: COUNTRIES[country as usize].currency }
            }
            Body::Site(action) if action.kind == web::Kind::PageView => Value::View { page: action.page },
            Body::Fleet(reading) => {
                Value::Reading { device: reading.device, quantity: reading.quantity, hundredths: reading.value }
            }
            Body::Shop(_) | Body::Site(_) => Value::None,
        }
    }

    /// The truth as JSON, with a line feed at its end. Amounts are texts with two decimals, exact.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json =
            serde_json::to_vec_pretty(&self.report()).expect("the report has no maps with other keys than text");
        json.push(b'\n');
        json
    }

    fn report(&self) -> Report<'_> {
        let line = |&(line, sequence): &(u64, u64)| Line { line, event_id: self.id(sequence) };
        Report {
            profile: self.settings.profile.name(),
            seed: self.settings.seed,
            start: self.settings.start.to_string(),
            delay_ms: self.delay.0 / 1000,
            lines: self.lines,
            sound: self.counts.values().sum(),
            counts_by_type: &self.counts,
            late: self.late.iter().map(|late| self.late_line(late)).collect(),
            duplicates: self.duplicates.iter().map(|&sequence| self.id(sequence)).collect(),
            malformed: self.malformed.iter().map(line).collect(),
            future: self.future.iter().map(line).collect(),
            anomalous: self.anomalous.iter().map(|&(id, fault)| Anomaly { event_id: self.id(id), fault }).collect(),
            revenue_by_minute: self.revenue.iter().map(revenue).collect(),
            views_by_minute: self.views.iter().map(views).collect(),
            readings_by_hour: self.readings.iter().map(readings).collect(),
        }
    }

    fn late_line(&self, late: &Late) -> LateLine {
        let mut line = LateLine {
            event_id: self.id(late.sequence),
            event_type: late.event_type,
            timestamp: Timestamp(late.time).to_string(),
            watermark: Timestamp(late.watermark).to_string(),
            ..LateLine::default()
        };
        match late.value {
            Value::None => {}
            Value::Revenue { cents, currency } => {
                (line.amount, line.currency) = (Some(decimal(i128::from(cents))), Some(currency));
            }
            Value::View { page } => line.page_url = Some(web::page_url(page)),
            Value::Reading { device, hundredths, .. } => {
                (line.device_id, line.value) = (Some(device_id(device)), Some(decimal(i128::from(hundredths))));
            }
        }
        line
    }

    fn id(&self, sequence: u64) -> String {
        format!("evt_{:016x}", self.ids.event(sequence))
    }
}

impl Tally {
    fn add(&mut self, hundredths: i128) {
        self.count += 1;
        self.hundredths += hundredths;
    }
}

/// The file's form. Sound lines are those that are neither malformed nor future; copies and late ones are among them.
#[derive(Serialize)]
struct Report<'a> {
    profile: &'static str,
    seed: u64,
    start: String,
    delay_ms: i64,
    lines: u64,
    sound: u64,
    counts_by_type: &'a BTreeMap<&'static str, u64>,
    late: Vec<LateLine>,
    duplicates: Vec<String>,
    malformed: Vec<Line>,
    future: Vec<Line>,
    anomalous: Vec<Anomaly>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revenue_by_minute: Vec<Revenue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    views_by_minute: Vec<Views>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    readings_by_hour: Vec<Readings>,
}

#[derive(Serialize, Default)]
struct LateLine {
    event_id: String,
    event_type: &'static str,
    timestamp: String,
    watermark: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

#[derive(Serialize)]
struct Line {
    line: u64,
    event_id: String,
}

#[derive(Serialize)]
struct Anomaly {
    event_id: String,
    fault: &'static str,
}

#[derive(Serialize)]
struct Revenue {
    minute: String,
    currency: &'static str,
    count: u64,
    amount: String,
}

#[derive(Serialize)]
struct Views {
    minute: String,
    page_url: String,
    count: u64,
}

#[derive(Serialize)]
struct Readings {
    hour: String,
    device_id: String,
    event_type: &'static str,
    count: u64,
    sum: String,
}

fn revenue((&(minute, currency), tally): (&(i64, &'static str), &Tally)) -> Revenue {
    let minute = Timestamp(minute * MINUTE).to_string();
    Revenue { minute, currency, count: tally.count, amount: decimal(tally.hundredths) }
}

fn views((&(minute, page), &count): (&(i64, u32), &u64)) -> Views {
    Views { minute: Timestamp(minute * MINUTE).to_string(), page_url: web::page_url(page), count }
}

fn readings((&(hour, device, quantity), tally): (&(i64, u32, u8), &Tally)) -> Readings {
    Readings {
        hour: Timestamp(hour * HOUR).to_string(),
        device_id: device_id(device),
        event_type: Quantity::ALL[quantity as usize].name(),
        count: tally.count,
        sum: decimal(tally.hundredths),
    }
}

fn device_id(device: u32) -> String {
    format!("dev_{}", device + 1)
}

/// Hundredths with two decimals.
fn decimal(hundredths: i128) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (hundredths, expected) in [(0, "0.00"), (7, "0.07"), (-7, "-0.07"), (123_456, "1234.56"), (-200, "-2.00")] {
            assert_eq!(decimal(hundredths), expected);
        }
    }
}
