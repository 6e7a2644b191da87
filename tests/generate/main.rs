//! The generator as its users see it: the bytes that it writes, judged by readers of their own (serde_json, csv), and the truth
//! against a recount from those bytes.

// The whole file is a test; clippy knows only test functions.
#![allow(clippy::unwrap_used)]

mod pace;
mod truth;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use evkit::generate::disturb::{Delay, Disturbances};
use evkit::generate::ecommerce::Kind;
use evkit::generate::encode::Format;
use evkit::generate::iot::FaultKind;
use evkit::generate::random::Chance;
use evkit::generate::{Body, Event, Fate, Generator, Profile, Settings};
use evkit::pipeline::generate::Job;
use evkit::time::{Duration, Timestamp};
use serde_json::{Map, Value};

const PROFILES: [Profile; 3] = [Profile::Ecommerce, Profile::Web, Profile::Iot];
const SECOND: i64 = 1_000_000;
const YEAR: i64 = 365 * 86_400 * SECOND;
const START: Timestamp = Timestamp(1_767_225_600_000_000);

/// 20,000 undisturbed events in ndjson, flat out on one thread.
fn job(profile: Profile) -> Job {
    let settings = Settings {
        profile,
        seed: 7,
        start: START,
        events_max: Some(20_000),
        duration: None,
        rate: None,
        users: 5_000,
        products: 200,
        devices: 300,
        disturbances: Disturbances::NONE,
        now: START,
    };
    Job { settings, format: Format::Ndjson, threads: 1, speed: None, truth_delay: Some(Duration(5 * SECOND)) }
}

/// The same with everything going wrong that can.
fn disturbed(profile: Profile) -> Job {
    let mut job = job(profile);
    let delay = |seconds, share| Delay { by: Duration(seconds * SECOND), share: Chance::new(share) };
    job.settings.disturbances = Disturbances {
        out_of_order: delay(5, 0.2),
        late: delay(15, 0.02),
        duplicates: Chance::new(0.02),
        malformed: Chance::new(0.02),
        future: Chance::new(0.01),
    };
    job
}

fn bytes(job: &Job) -> Vec<u8> {
    pace::run_job(job).0
}

fn events(job: &Job) -> Vec<Event> {
    let mut events = Vec::new();
    Generator::new(&job.settings).fill(Timestamp::MAX, usize::MAX, &mut events);
    events
}

/// The bytes line by line, without line feeds.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.strip_suffix(b"\n").expect("the last line is ended").split(|&byte| byte == b'\n')
}

fn parsed(bytes: &[u8]) -> Vec<Map<String, Value>> {
    lines(bytes).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn text<'a>(event: &'a Map<String, Value>, path: &str) -> &'a str {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = if rest.is_empty() { &event[first] } else { &event[first][rest] };
    value.as_str().unwrap_or_else(|| panic!("no text at {path} in {event:?}"))
}

fn keys(object: &Map<String, Value>) -> Vec<&str> {
    object.keys().map(String::as_str).collect()
}

#[test]
fn seeds_differ() {
    for profile in PROFILES {
        let ids = |seed| {
            let mut job = job(profile);
            job.settings.seed = seed;
            let ids =
                parsed(&bytes(&job)).iter().map(|event| text(event, "event_id").to_owned()).collect::<HashSet<_>>();
            assert_eq!(ids.len(), 20_000, "{profile:?}: ids repeat");
            ids
        };
        assert!(ids(7).is_disjoint(&ids(8)), "{profile:?}: seeds share ids");
    }
}

/// The properties that an event of this type has, in order.
fn properties(profile: Profile, event_type: &str) -> &'static [&'static str] {
    match (profile, event_type) {
        (Profile::Ecommerce, "purchase_completed" | "refund") => {
            &["product_id", "amount", "currency", "payment_method", "country"]
        }
        (Profile::Ecommerce, "product_view") => &["product_id", "category", "price", "currency", "country"],
        (Profile::Ecommerce, "add_to_cart") => &["product_id", "price", "quantity", "currency", "country"],
        (Profile::Ecommerce, "restock") => &["product_id", "quantity", "stock"],
        (Profile::Ecommerce, "page_view") => &["page_url", "country"],
        (Profile::Ecommerce, "click") => &["product_id", "element", "country"],
        (Profile::Ecommerce, "form_submit") => &["form", "country"],
        (Profile::Web, "page_view") => &["page_url", "country", "device_type", "load_time"],
        (Profile::Web, "click") => &["page_url", "country", "device_type", "load_time", "element"],
        (Profile::Web, "scroll") => &["page_url", "country", "device_type", "load_time", "depth"],
        (Profile::Web, "form_submit") => &["page_url", "country", "device_type", "load_time", "form"],
        (Profile::Iot, "temperature" | "humidity" | "pressure") => &["device_id", "value", "unit", "site"],
        other => panic!("event type {other:?}"),
    }
}

#[test]
fn every_event_has_the_form() {
    for (profile, types) in PROFILES.into_iter().zip([8, 4, 3]) {
        let mut seen = BTreeSet::new();
        for event in parsed(&bytes(&job(profile))) {
            let expected = ["event_id", "event_type", "timestamp", "user_id", "session_id", "properties", "metadata"];
            assert_eq!(keys(&event), expected);
            let event_type = text(&event, "event_type");
            seen.insert(event_type.to_owned());
            assert_eq!(keys(event["properties"].as_object().unwrap()), properties(profile, event_type), "{event_type}");
            assert_eq!(keys(event["metadata"].as_object().unwrap()), ["ip_address", "user_agent", "platform"]);
            let time = text(&event, "timestamp");
            assert!(time.len() == 24 && time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok());
            assert!(text(&event, "event_id").strip_prefix("evt_").is_some_and(|id| id.len() == 16));
            assert!(text(&event, "metadata.ip_address").parse::<std::net::Ipv4Addr>().is_ok());
        }
        assert_eq!(seen.len(), types, "{profile:?}: {seen:?}");
    }
}

#[test]
fn disturbances_leave_the_events_as_they_are() {
    for profile in PROFILES {
        let sound = bytes(&job(profile));
        let mut job = disturbed(profile);
        job.settings.disturbances.malformed = Chance::ZERO;
        job.settings.disturbances.future = Chance::ZERO;
        let disturbed = bytes(&job);
        assert_ne!(sound, disturbed);
        let as_set = |bytes: &[u8]| lines(bytes).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
        assert!(as_set(&sound) == as_set(&disturbed), "{profile:?}");
    }
}

#[test]
fn events_arrive_in_order_and_within_their_delay() {
    let events = events(&disturbed(Profile::Ecommerce));
    assert!(events.is_sorted_by_key(|event| event.arrival));
    let delays: Vec<i64> = (events.iter().filter(|event| event.fate == Fate::Sound))
        .map(|event| event.arrival - event.time)
        .filter(|&delay| delay != 15 * SECOND)
        .collect();
    assert!(delays.iter().all(|delay| (0..=5 * SECOND).contains(delay)));
    let share = |count: usize| count as f64 / 20_000.0;
    let delayed = share(delays.iter().filter(|&&delay| delay > 0).count());
    assert!((0.17..0.21).contains(&delayed), "{delayed} were delayed");
    let copies = share(events.iter().filter(|event| event.fate == Fate::Copy).count());
    assert!((0.015..0.025).contains(&copies), "{copies} were copied");
}

#[test]
fn events_are_the_same_however_many_are_taken_at_once() {
    for profile in PROFILES {
        let by_number = job(profile);
        let mut by_time = job(profile);
        (by_time.settings.events_max, by_time.settings.duration) = (None, Some(Duration(7 * SECOND)));
        for job in [by_number, by_time, disturbed(profile)] {
            let shown = |events: &[Event]| events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>();
            // One by one, as their times come.
            let (mut generator, mut paced) = (Generator::new(&job.settings), Vec::new());
            while let Some(arrival) = generator.next_arrival() {
                generator.fill(arrival, 1, &mut paced);
            }
            let paced = shown(&paced);
            for at_once in [1, 2, 7, 2048, usize::MAX] {
                let (mut generator, mut events) = (Generator::new(&job.settings), Vec::new());
                while generator.fill(Timestamp::MAX, at_once, &mut events) > 0 {}
                assert!(shown(&events) == paced, "{profile:?}, {at_once} at once: {} of {}", events.len(), paced.len());
            }
        }
    }
}

#[test]
fn a_duration_bounds_the_event_time() {
    let mut job = disturbed(Profile::Ecommerce);
    job.settings.duration = Some(Duration(10 * SECOND));
    let times: Vec<i64> =
        events(&job).iter().filter(|event| event.fate != Fate::Future).map(|event| event.time - START.0).collect();
    assert!(times.iter().all(|time| (0..10 * SECOND).contains(time)));
    assert!(times.iter().any(|&time| time > 9_900_000), "it ended early");
}

#[test]
fn future_events_lie_years_after_both_clocks() {
    for now in [START.0 - YEAR, START.0 + YEAR] {
        let mut job = disturbed(Profile::Web);
        job.settings.now = Timestamp(now);
        let times: Vec<i64> =
            events(&job).iter().filter(|event| event.fate == Fate::Future).map(|event| event.time).collect();
        assert!((100..300).contains(&times.len()), "{}", times.len());
        assert!(times.iter().all(|&time| time > now.max(START.0) + 10 * YEAR));
    }
}

#[test]
fn journeys_make_sense() {
    let mut job = job(Profile::Ecommerce);
    job.settings.events_max = Some(300_000);
    let (mut in_cart, mut bought) = (HashMap::<(u64, u32), u32>::new(), HashMap::<(u64, u32), u32>::new());
    let (mut stocks, mut restocks, mut refunds, mut purchases) = (HashMap::<u32, u32>::new(), 0, 0, 0);
    let (mut users, mut carts) = (HashMap::<u32, HashSet<u64>>::new(), HashSet::new());
    for event in events(&job) {
        let Body::Shop(action) = event.body else { panic!("{event:?} is not of the shop") };
        let key = (action.session, action.product);
        match action.kind {
            Kind::AddToCart => {
                *in_cart.entry(key).or_default() += 1;
                carts.insert(action.session);
            }
            Kind::PurchaseCompleted => {
                purchases += 1;
                let left = in_cart.get_mut(&key).unwrap_or_else(|| panic!("{action:?} was never in the cart"));
                *left = left.checked_sub(1).unwrap_or_else(|| panic!("{action:?} was bought twice"));
                *bought.entry(key).or_default() += 1;
                assert!(action.amount > 0 && action.quantity > 0);
                if let Some(stock) = stocks.get_mut(&action.product) {
                    let sold = u32::from(action.quantity);
                    *stock = stock.checked_sub(sold).unwrap_or_else(|| panic!("{action:?} was out of stock"));
                }
            }
            Kind::Refund => {
                refunds += 1;
                let left = bought.get_mut(&key).unwrap_or_else(|| panic!("{action:?} was never bought"));
                *left = left.checked_sub(1).unwrap_or_else(|| panic!("{action:?} was refunded twice"));
            }
            Kind::Restock => {
                restocks += 1;
                let before = action.amount - u32::from(action.quantity);
                if let Some(stock) = stocks.insert(action.product, action.amount) {
                    assert_eq!(stock, before, "{action:?}");
                }
            }
            Kind::PageView | Kind::Click | Kind::FormSubmit | Kind::ProductView => {}
        }
        if action.kind != Kind::Restock {
            users.entry(action.user).or_default().insert(action.session);
        }
    }
    assert!(purchases > 3_000 && restocks > 20 && refunds > 50, "{purchases} {restocks} {refunds}");
    let returning = users.values().filter(|sessions| sessions.len() > 1).count();
    assert!(returning * 2 > users.len(), "{returning} of {} users came back", users.len());
    let buyers: HashSet<u64> = bought.keys().map(|&(session, _)| session).collect();
    let abandoned = carts.difference(&buyers).count() as f64 / carts.len() as f64;
    assert!((0.5..0.9).contains(&abandoned), "{abandoned} of the carts were abandoned");
}

#[test]
fn products_and_pages_follow_zipf() {
    let check = |profile, event_type: &str, path: &str| {
        let mut counts = HashMap::<String, u64>::new();
        for event in parsed(&bytes(&job(profile))).iter().filter(|event| text(event, "event_type") == event_type) {
            *counts.entry(text(event, path).to_owned()).or_default() += 1;
        }
        let mut counts: Vec<u64> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let ratio = |rank: usize| counts[0] as f64 / counts[rank - 1] as f64;
        assert!((1.4..2.9).contains(&ratio(2)) && (7.0..15.0).contains(&ratio(10)), "{profile:?}: {counts:?}");
    };
    check(Profile::Ecommerce, "product_view", "properties.product_id");
    check(Profile::Web, "page_view", "properties.page_url");
}

#[test]
fn sensors_stick_fail_and_drift() {
    let mut job = job(Profile::Iot);
    job.settings.events_max = Some(200_000);
    let (mut last, mut faults, mut missing) = (HashMap::new(), BTreeMap::<&str, u64>::new(), 0);
    for event in events(&job) {
        let Body::Fleet(reading) = event.body else { panic!("{event:?} is not of the fleet") };
        let before = last.insert((reading.device, reading.quantity.name()), (reading.value, event.time));
        // Each sensor has its slot in a round of ten seconds; one that is left out is a reading that is missing.
        let skipped = before.map_or(0, |(_, time)| (event.time - time + SECOND) / (10 * SECOND) - 1);
        missing += skipped;
        let Some(fault) = reading.fault else { continue };
        *faults.entry(fault.name()).or_default() += 1;
        if let (FaultKind::Stuck, Some((value, _)), 0) = (fault, before, skipped) {
            assert_eq!(reading.value, value, "{reading:?}");
        }
    }
    assert!(faults.len() == 3 && faults.values().all(|&count| count > 100), "{faults:?}");
    assert!((200..2000).contains(&missing), "{missing}");
}

fn flatten(prefix: &str, object: &Map<String, Value>, into: &mut BTreeMap<String, String>) {
    for (key, value) in object {
        let path = format!("{prefix}{key}");
        match value {
            Value::Object(inner) => flatten(&format!("{path}."), inner, into),
            Value::String(text) => drop(into.insert(path, text.clone())),
            other => drop(into.insert(path, format!("{:.2}", other.as_f64().unwrap()))),
        }
    }
}

#[test]
fn csv_has_the_same_fields() {
    for profile in PROFILES {
        let job = job(profile);
        let table = bytes(&Job { format: Format::Csv, ..job.clone() });
        let mut reader = csv::Reader::from_reader(&table[..]);
        let header = reader.headers().unwrap().clone();
        let mut rows = 0;
        for (row, event) in reader.records().zip(parsed(&bytes(&job))) {
            let mut expected = BTreeMap::new();
            flatten("", &event, &mut expected);
            let row = row.unwrap();
            let cells = header.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
            let found: BTreeMap<String, String> = cells
                .map(|(name, cell)| {
                    let value = cell.parse::<f64>().map_or_else(|_| cell.to_owned(), |number| format!("{number:.2}"));
                    (name.to_owned(), value)
                })
                .collect();
            assert_eq!(found, expected);
            rows += 1;
        }
        assert_eq!(rows, 20_000);
    }
}
