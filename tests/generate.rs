//! The generator as its users see it: the bytes that it writes, judged by readers of their own (serde_json, csv), and the truth
//! against a recount from those bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use evkit::generate::disturb::{Delay, Disturbances};
use evkit::generate::ecommerce::Kind;
use evkit::generate::encode::Format;
use evkit::generate::iot::FaultKind;
use evkit::generate::random::Chance;
use evkit::generate::schedule::Rate;
use evkit::generate::{Body, Event, Fate, Generator, Ids, Profile, Settings};
use evkit::pipeline::generate::{End, Job, Outcome, run};
use evkit::pipeline::pace::Pacer;
use evkit::sink::memory::MemorySink;
use evkit::sink::{Sink, SinkError};
use evkit::time::{Clock, Duration, Timestamp};
use serde_json::{Map, Value, json};

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

/// A clock that moves only when it is waited for, and writes down when that was.
#[derive(Default)]
struct TestPacer {
    now: AtomicI64,
    sink: MemorySink,
    /// At each wait: the time, and how many lines the reader had seen.
    waits: Mutex<Vec<(i64, usize)>>,
}

impl Clock for TestPacer {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }
}

impl Pacer for TestPacer {
    fn sleep_until(&self, time: Timestamp) {
        let lines = self.sink.flushed().iter().filter(|&&byte| byte == b'\n').count();
        self.waits.lock().unwrap().push((self.now().0, lines));
        self.now.fetch_max(time.0, Ordering::Relaxed);
    }
}

fn run_job(job: &Job) -> (Vec<u8>, Outcome) {
    let (pacer, mut sink) = (TestPacer::default(), MemorySink::new());
    let outcome = run(job, &pacer, &|| false, &mut sink).unwrap();
    (sink.flushed(), outcome)
}

fn bytes(job: &Job) -> Vec<u8> {
    run_job(job).0
}

fn truth(outcome: Outcome) -> Value {
    serde_json::from_slice(&outcome.truth.expect("the job asks for the truth").to_json()).unwrap()
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
fn the_number_of_threads_does_not_show() {
    for profile in PROFILES {
        for format in [Format::Ndjson, Format::Csv] {
            let with = |threads| {
                let (bytes, outcome) = run_job(&Job { threads, format, ..disturbed(profile) });
                assert_eq!(outcome.end, End::Finished);
                (bytes, outcome.lines, truth(outcome))
            };
            let one = with(1);
            assert!(one.0.len() > 2_000_000);
            assert!(one == with(2), "{profile:?} {format:?} with 2 threads");
            assert!(one == with(5), "{profile:?} {format:?} with 5 threads");
        }
    }
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

/// What a reader finds in the bytes, in the truth's own form.
fn recount(job: &Job, bytes: &[u8]) -> Value {
    let ids = ids_by_line(job);
    let (mut counts, mut late, mut duplicates) = (BTreeMap::<String, u64>::new(), Vec::new(), Vec::new());
    let (mut malformed, mut future) = (Vec::new(), Vec::new());
    let mut totals = BTreeMap::<(String, String, String), (u64, i128)>::new();
    let (mut seen, mut time_max) = (HashSet::new(), None::<i64>);
    for (number, line) in lines(bytes).enumerate() {
        let place = || json!({"line": number + 1, "event_id": ids[number]});
        let event = serde_json::from_slice::<Map<String, Value>>(line).ok();
        let time = event.as_ref().and_then(|event| event.get("timestamp")?.as_str());
        let time = time.and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok());
        let (Some(event), Some(time)) = (&event, time) else {
            malformed.push(place());
            continue;
        };
        let time = time.timestamp_micros();
        if time > job.settings.now.0 + YEAR {
            future.push(place());
            continue;
        }
        let (id, event_type) = (text(event, "event_id"), text(event, "event_type"));
        *counts.entry(event_type.to_owned()).or_default() += 1;
        if !seen.insert(id.to_owned()) {
            duplicates.push(json!(id));
        }
        let total = total_of(event_type, event);
        if let Some(watermark) = time_max.map(|time_max| time_max - job.truth_delay.unwrap().0)
            && time < watermark
        {
            let mut line = json!({
                "event_id": id, "event_type": event_type, "timestamp": text(event, "timestamp"),
                "watermark": Timestamp(watermark).to_string(),
            });
            for (key, value) in total.iter().flat_map(|total| &total.noted) {
                line[key] = json!(value);
            }
            late.push(line);
        }
        time_max = time_max.max(Some(time));
        if let Some(total) = total {
            let bucket = Timestamp(time - time.rem_euclid(total.size)).to_string();
            let entry = totals.entry((bucket, total.key, total.second_key)).or_default();
            entry.0 += 1;
            entry.1 += total.hundredths;
        }
    }
    let mut report = json!({
        "lines": lines(bytes).count(), "sound": counts.values().sum::<u64>(), "counts_by_type": counts, "late": late,
        "duplicates": duplicates, "malformed": malformed, "future": future,
    });
    let row = |((bucket, key, second), (count, sum))| match job.settings.profile {
        Profile::Ecommerce => json!({"minute": bucket, "currency": key, "count": count, "amount": decimal(sum)}),
        Profile::Web => json!({"minute": bucket, "page_url": key, "count": count}),
        Profile::Iot => {
            let sum = decimal(sum);
            json!({"hour": bucket, "device_id": key, "event_type": second, "count": count, "sum": sum})
        }
    };
    let name = match job.settings.profile {
        Profile::Ecommerce => "revenue_by_minute",
        Profile::Web => "views_by_minute",
        Profile::Iot => "readings_by_hour",
    };
    report[name] = totals.into_iter().map(row).collect();
    report
}

fn decimal(hundredths: i128) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

/// What an event adds to the truth's totals.
struct Total {
    size: i64,
    key: String,
    second_key: String,
    hundredths: i128,
    /// What the list of late events says of it.
    noted: Vec<(&'static str, String)>,
}

fn total_of(event_type: &str, event: &Map<String, Value>) -> Option<Total> {
    let total = |size, key: &str, second_key: &str, hundredths, noted| {
        Some(Total { size, key: key.to_owned(), second_key: second_key.to_owned(), hundredths, noted })
    };
    let two_decimals = |key: &str| format!("{:.2}", event["properties"][key].as_f64().unwrap());
    let hundredths = |decimal: &str| decimal.replace('.', "").parse().unwrap();
    match event_type {
        "purchase_completed" => {
            let (amount, currency) = (two_decimals("amount"), text(event, "properties.currency"));
            let cents = hundredths(&amount);
            total(60 * SECOND, currency, "", cents, vec![("amount", amount), ("currency", currency.to_owned())])
        }
        "page_view" if event["properties"].get("load_time").is_some() => {
            let page = text(event, "properties.page_url");
            total(60 * SECOND, page, "", 0, vec![("page_url", page.to_owned())])
        }
        "temperature" | "humidity" | "pressure" => {
            let (device, value) = (text(event, "properties.device_id"), two_decimals("value"));
            let sum = hundredths(&value);
            total(3600 * SECOND, device, event_type, sum, vec![("device_id", device.to_owned()), ("value", value)])
        }
        _ => None,
    }
}

/// The id of each line's event, also where the line is broken.
fn ids_by_line(job: &Job) -> Vec<String> {
    let ids = Ids::new(job.settings.seed);
    events(job).iter().map(|event| format!("evt_{:016x}", ids.event(event.sequence))).collect()
}

/// Rows of totals are ordered by text in the recount and by number in the truth.
fn sorted(mut value: Value) -> Value {
    if let Some(rows) = value.as_array_mut() {
        rows.sort_by_key(Value::to_string);
    }
    value
}

#[test]
fn the_truth_equals_a_recount() {
    for profile in PROFILES {
        for (mut job, delay) in [(disturbed(profile), 5), (disturbed(profile), 0), (job(profile), 5)] {
            job.truth_delay = Some(Duration(delay * SECOND));
            let (bytes, outcome) = run_job(&job);
            assert_eq!(outcome.lines as usize, lines(&bytes).count());
            let truth = truth(outcome);
            for (key, found) in recount(&job, &bytes).as_object().unwrap() {
                let (expected, found) = (sorted(truth[key].clone()), sorted(found.clone()));
                assert!(
                    expected == found,
                    "{profile:?}, delay {delay}: {key} is\n{expected}\nin truth, found\n{found}"
                );
            }
            let is_disturbed = job.settings.disturbances != Disturbances::NONE;
            for key in ["late", "duplicates", "malformed", "future"] {
                assert_eq!(truth[key].as_array().unwrap().is_empty(), !is_disturbed, "{profile:?} {key}");
            }
        }
    }
}

#[test]
fn the_truth_counts_the_header_of_csv_as_a_line() {
    let (bytes, outcome) = run_job(&Job { format: Format::Csv, ..disturbed(Profile::Iot) });
    let is_sound = |line: &[u8]| {
        let time = std::str::from_utf8(line).ok().and_then(|line| line.split(',').nth(2));
        time.is_some_and(|time| chrono::DateTime::parse_from_rfc3339(time).is_ok())
    };
    let rows: Vec<&[u8]> = lines(&bytes).collect();
    assert_eq!(rows.len() as u64, outcome.lines + 1);
    let broken: Vec<usize> = (1..rows.len()).filter(|&i| !is_sound(rows[i])).map(|i| i + 1).collect();
    let truth = truth(outcome);
    let told = truth["malformed"].as_array().unwrap().iter().map(|line| line["line"].as_u64().unwrap() as usize);
    assert_eq!(broken, told.collect::<Vec<_>>());
}

#[test]
fn the_truth_names_what_faulty_sensors_said() {
    let job = job(Profile::Iot);
    let (_, outcome) = run_job(&job);
    let faults = |event: &Event| match event.body {
        Body::Fleet(reading) => reading.fault.map(|fault| fault.name()),
        _ => None,
    };
    let ids = ids_by_line(&job);
    let expected: Vec<Value> = (events(&job).iter().zip(&ids))
        .filter_map(|(event, id)| Some(json!({"event_id": id, "fault": faults(event)?})))
        .collect();
    assert!(expected.len() > 20, "{}", expected.len());
    assert_eq!(truth(outcome)["anomalous"], json!(expected));
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

/// 3 s at 1000 events/s, paced by the clock.
fn paced_job() -> Job {
    let mut job = job(Profile::Ecommerce);
    job.settings.events_max = None;
    job.settings.duration = Some(Duration(3 * SECOND));
    job.settings.rate = Some(Rate::Fixed { events: 1000, seconds: 1 });
    Job { speed: Some(1.0), ..job }
}

#[test]
fn a_paced_run_keeps_to_the_clock() {
    let check = |job: &Job, millis_per_line: i64, lines: usize| {
        let pacer = TestPacer::default();
        let outcome = run(job, &pacer, &|| false, &mut pacer.sink.clone()).unwrap();
        assert_eq!((outcome.end, outcome.lines, outcome.lag_max), (End::Finished, lines as u64, Duration(0)));
        for &(now, seen) in pacer.waits.lock().unwrap().iter() {
            assert_eq!(seen as i64, now / 1000 / millis_per_line + 1, "lines seen at {now} us");
        }
        assert!(pacer.sink.flushed() == bytes(&Job { speed: None, ..job.clone() }), "the pace shows in the bytes");
    };
    check(&paced_job(), 1, 3000);
    let mut fast = paced_job();
    fast.settings.rate = Some(Rate::Fixed { events: 1_000_000, seconds: 60_000 });
    fast.settings.duration = Some(Duration(120 * SECOND));
    check(&Job { speed: Some(60.0), ..fast }, 1, 2000);
    let mut slow = paced_job();
    slow.settings.rate = Some(Rate::Fixed { events: 4, seconds: 1 });
    check(&slow, 250, 12);
}

/// A reader that takes 10 ms for each write.
struct SlowSink<'a>(&'a TestPacer);

impl Sink for SlowSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.0.now.fetch_add(10_000, Ordering::Relaxed);
        self.0.sink.clone().write(bytes)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.0.sink.clone().flush()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.0.sink.clone().finish()
    }
}

#[test]
fn a_slow_reader_does_not_slow_the_schedule() {
    let pacer = TestPacer::default();
    let outcome = run(&paced_job(), &pacer, &|| false, &mut SlowSink(&pacer)).unwrap();
    assert!((9_000..=10_000).contains(&outcome.lag_max.0), "{:?}", outcome.lag_max);
    let end = pacer.now().0;
    assert!((3 * SECOND..3 * SECOND + 30_000).contains(&end), "took {end} us");
    assert!(pacer.sink.flushed() == bytes(&Job { speed: None, ..paced_job() }));
}

#[test]
fn a_paced_run_does_not_wait_for_its_stragglers() {
    let mut job = paced_job();
    job.settings.disturbances.late = Delay { by: Duration(3600 * SECOND), share: Chance::new(0.1) };
    let pacer = TestPacer::default();
    let outcome = run(&job, &pacer, &|| false, &mut pacer.sink.clone()).unwrap();
    assert_eq!((outcome.lines, outcome.lag_max), (3000, Duration(0)));
    assert!(pacer.now().0 <= 3 * SECOND, "took {} us", pacer.now().0);
}

#[test]
fn a_run_that_is_stopped_has_the_truth_of_what_it_wrote() {
    for job in [paced_job(), disturbed(Profile::Web), Job { threads: 3, ..disturbed(Profile::Web) }] {
        let (pacer, asked) = (TestPacer::default(), AtomicI64::new(0));
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 5;
        let outcome = run(&job, &pacer, &stop, &mut pacer.sink.clone()).unwrap();
        let written = pacer.sink.flushed();
        assert_eq!(outcome.end, End::Stopped);
        assert!(bytes(&Job { speed: None, ..job.clone() }).starts_with(&written) && !written.is_empty());
        assert_eq!(truth(outcome)["lines"], lines(&written).count());
    }
}

#[test]
fn a_reader_that_leaves_ends_the_run() {
    for mut job in [paced_job(), job(Profile::Iot), Job { threads: 3, ..job(Profile::Iot) }] {
        (job.settings.events_max, job.settings.duration) = (None, None);
        let outcome = run(&job, &TestPacer::default(), &|| false, &mut MemorySink::closing_after(1_000_000)).unwrap();
        assert_eq!(outcome.end, End::ReaderLeft);
        assert!(outcome.truth.is_none());
    }
}

#[test]
fn nothing_to_write_is_fine() {
    let mut job = job(Profile::Ecommerce);
    job.settings.events_max = Some(0);
    assert!(bytes(&job).is_empty());
    assert!(bytes(&Job { threads: 2, ..job.clone() }).is_empty());
    assert_eq!(lines(&bytes(&Job { format: Format::Csv, ..job })).count(), 1);
}
