//! The metrics packs, each over an undisturbed stream of its profile: every row against the generator's own truth where that
//! tells it, and all rows against a plain recount of the events.
//!
//! The recount knows JSON and nothing else of evkit. Sums are compared to nine digits, since it adds doubles as they come;
//! approximate counts to 2 %, which for less than fifty means exactly.

// The whole file is a test; clippy knows only test functions.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use evkit::generate::disturb::Disturbances;
use evkit::generate::encode::Format;
use evkit::generate::schedule::Rate;
use evkit::generate::{Profile, Settings};
use evkit::pipeline::generate::Job;
use evkit::pipeline::pace::Pacer;
use evkit::sink::memory::MemorySink;
use evkit::time::{Clock, Duration, Timestamp};
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// 2026-01-01T00:00:00Z
const START: Timestamp = Timestamp(1_767_225_600_000_000);

/// A stream, what the generator says of it, and what evwindow makes of it.
struct Run {
    events: Vec<Value>,
    truth: Value,
    rows: Vec<Value>,
}

/// Window and values of the group columns.
type Key = (i64, i64, Vec<String>);

/// The events of each window and group, in the order of the stream.
type Groups<'a> = BTreeMap<Key, Vec<&'a Value>>;

/// Never waited for: the job is not paced.
struct NoPacer;

impl Clock for NoPacer {
    fn now(&self) -> Timestamp {
        START
    }
}

impl Pacer for NoPacer {
    fn sleep_until(&self, _: Timestamp) {}
}

impl Run {
    fn of(profile: Profile, pack: &str, duration: i64, rate: Option<Rate>) -> Run {
        let settings = Settings {
            profile,
            seed: 11,
            start: START,
            events_max: None,
            duration: Some(Duration(duration)),
            rate,
            users: 1500,
            products: 60,
            devices: 25,
            disturbances: Disturbances::NONE,
            now: START,
        };
        let truth_delay = Some(Duration(5 * SECOND));
        let job = Job { settings, format: Format::Ndjson, threads: 1, speed: None, truth_delay };
        let mut sink = MemorySink::new();
        let outcome = evkit::pipeline::generate::run(&job, &NoPacer, &|| false, &mut sink).unwrap();
        let place = tempfile::tempdir().unwrap();
        let bytes = sink.flushed();
        std::fs::write(place.path().join("events.ndjson"), &bytes).unwrap();
        let pack = format!("{}/metrics/{pack}", env!("CARGO_MANIFEST_DIR"));
        let ended = support::bash_in(
            place.path(),
            &format!("evwindow --metrics '{pack}' --max-future none events.ndjson"),
            b"",
        );
        ended.assert_code(0).assert_quiet();
        let parsed = |line: &str| serde_json::from_str(line).unwrap();
        Run {
            events: std::str::from_utf8(&bytes).unwrap().lines().map(parsed).collect(),
            truth: serde_json::from_slice(&outcome.truth.unwrap().to_json()).unwrap(),
            rows: ended.stdout.lines().map(parsed).collect(),
        }
    }

    fn rows(&self, metric: &str) -> impl Iterator<Item = &Value> {
        self.rows.iter().filter(move |row| row["metric"] == metric)
    }

    /// The events of these types by window and group; `windows` are those of a time.
    fn grouped(&self, types: &[&str], by: &[&str], windows: impl Fn(i64) -> Vec<(i64, i64)>) -> Groups<'_> {
        let mut groups = Groups::new();
        for event in &self.events {
            if types.is_empty() || types.iter().any(|name| event["event_type"] == **name) {
                for (start, end) in windows(micros(&event["timestamp"])) {
                    let key = (start, end, by.iter().map(|path| shown(field(event, path))).collect());
                    groups.entry(key).or_default().push(event);
                }
            }
        }
        groups
    }

    /// Every row of a metric has the fields that `expected` makes of its group's events, and no row is missing or too much.
    fn check(&self, metric: &str, by: &[&str], groups: &Groups, expected: impl Fn(&[&Value]) -> Value) {
        assert!(!groups.is_empty(), "{metric} has something to tell");
        let mut found = BTreeSet::new();
        for row in self.rows(metric) {
            let key = key_of(row, by);
            let events = groups.get(&key).unwrap_or_else(|| panic!("no event for {row}"));
            for (name, value) in expected(events).as_object().unwrap() {
                assert!(agree(name, value, &row[name]), "{name} is {value} in a recount: {row}");
            }
            assert!(found.insert(key), "written twice: {row}");
        }
        let missing: Vec<_> = groups.keys().filter(|key| !found.contains(*key)).collect();
        assert!(missing.is_empty(), "{metric} lacks {} of {} rows: {:?}", missing.len(), groups.len(), missing[0]);
    }
}

fn key_of(row: &Value, by: &[&str]) -> Key {
    (micros(&row["window_start"]), micros(&row["window_end"]), by.iter().map(|name| shown(&row[*name])).collect())
}

fn micros(time: &Value) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp_micros()
}

fn field<'a>(event: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(event, |value, name| &value[name])
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn agree(name: &str, expected: &Value, found: &Value) -> bool {
    const APPROXIMATE: [&str; 6] =
        ["unique_visitors", "visits", "visitors", "active_users", "active_sessions", "unique_users"];
    match (expected.as_f64(), found.as_f64()) {
        (Some(a), Some(b)) if APPROXIMATE.contains(&name) => found.is_u64() && (a - b).abs() <= 0.02 * a,
        (Some(a), Some(b)) if expected.is_f64() => (a - b).abs() <= 1e-9 * a.abs(),
        _ => expected == found,
    }
}

fn tumbling(size: i64) -> impl Fn(i64) -> Vec<(i64, i64)> {
    sliding(size, size)
}

fn sliding(size: i64, slide: i64) -> impl Fn(i64) -> Vec<(i64, i64)> {
    move |time| {
        let last = time.div_euclid(slide) * slide;
        (0..size / slide).map(|back| last - back * slide).map(|start| (start, start + size)).collect()
    }
}

fn numbers<'a>(events: &'a [&Value], path: &'a str) -> impl Iterator<Item = f64> + 'a {
    events.iter().filter_map(move |event| field(event, path).as_f64())
}

fn sum(events: &[&Value], path: &str) -> f64 {
    numbers(events, path).sum()
}

fn mean(events: &[&Value], path: &str) -> f64 {
    sum(events, path) / numbers(events, path).count() as f64
}

fn distinct(events: &[&Value], path: &str) -> usize {
    events.iter().map(|event| shown(field(event, path))).collect::<HashSet<_>>().len()
}

fn of_type<'a>(events: &[&'a Value], name: &str) -> Vec<&'a Value> {
    events.iter().copied().filter(|event| event["event_type"] == name).collect()
}

#[test]
fn web() {
    let run = Run::of(Profile::Web, "web.toml", 2 * HOUR, Some(Rate::Fixed { events: 6, seconds: 1 }));
    let views = run.grouped(&["page_view"], &["properties.page_url"], tumbling(MINUTE));
    run.check("page_views", &["page_url"], &views, |events| json!({"views": events.len()}));
    let told = run.truth["views_by_minute"].as_array().unwrap().iter();
    let told: BTreeSet<_> =
        told.map(|row| (micros(&row["minute"]), shown(&row["page_url"]), row["count"].clone().to_string())).collect();
    let rows = run.rows("page_views");
    let rows: BTreeSet<_> =
        rows.map(|row| (micros(&row["window_start"]), shown(&row["page_url"]), row["views"].to_string())).collect();
    assert_eq!(rows, told, "page_views and the truth");

    run.check(
        "unique_visitors",
        &[],
        &run.grouped(&[], &[], tumbling(HOUR)),
        |events| json!({"unique_visitors": distinct(events, "user_id"), "visits": distinct(events, "session_id")}),
    );
    run.check("active_users", &[], &run.grouped(&[], &[], sliding(5 * MINUTE, MINUTE)), |events| {
        json!({"active_users": distinct(events, "user_id"), "active_sessions": distinct(events, "session_id")})
    });
    let by = ["properties.page_url", "properties.country", "properties.device_type"];
    let groups = run.grouped(&["page_view"], &by, tumbling(MINUTE));
    run.check("website_metrics", &["page_url", "country", "device_type"], &groups, |events| {
        json!({
            "page_views": events.len(), "unique_users": distinct(events, "user_id"),
            "avg_load_time": mean(events, "properties.load_time"),
        })
    });
    popular_pages(&run);
}

/// The ten pages with the most views of each hour, ties by name.
fn popular_pages(run: &Run) {
    let groups = run.grouped(&["page_view"], &["properties.page_url"], tumbling(HOUR));
    let mut by_hour = BTreeMap::<(i64, i64), Vec<(std::cmp::Reverse<usize>, String, usize)>>::new();
    for ((start, end, page), events) in groups {
        let place = (std::cmp::Reverse(events.len()), page[0].clone(), distinct(&events, "user_id"));
        by_hour.entry((start, end)).or_default().push(place);
    }
    let mut rows = run.rows("popular_pages");
    for ((start, end), mut pages) in by_hour {
        pages.sort();
        for (index, (views, page, visitors)) in pages.into_iter().take(10).enumerate() {
            let row = rows.next().unwrap();
            assert_eq!(key_of(row, &["page_url"]), (start, end, vec![page]), "{row}");
            assert_eq!((&row["rank"], &row["views"]), (&json!(index + 1), &json!(views.0)), "{row}");
            assert!(agree("visitors", &json!(visitors), &row["visitors"]), "{visitors} visitors in a recount: {row}");
        }
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn ecommerce() {
    let run = Run::of(Profile::Ecommerce, "ecommerce.toml", 3 * HOUR, Some(Rate::Fixed { events: 8, seconds: 1 }));
    let sold = ["purchase_completed"];
    let amount = "properties.amount";
    let groups = run.grouped(&sold, &["properties.country", "properties.currency"], tumbling(MINUTE));
    run.check("revenue", &["country", "currency"], &groups, |events| {
        json!({
            "total_revenue": sum(events, amount), "orders": events.len(), "avg_order_value": mean(events, amount),
        })
    });
    let groups = run.grouped(&sold, &["properties.currency"], tumbling(MINUTE));
    run.check(
        "revenue_per_minute",
        &["currency"],
        &groups,
        |events| json!({"total_revenue": sum(events, amount), "orders": events.len()}),
    );
    revenue_is_the_truth(&run);
    let by = ["properties.product_id", "properties.currency", "properties.payment_method"];
    let groups = run.grouped(&sold, &by, tumbling(MINUTE));
    run.check("purchase_metrics", &["product_id", "currency", "payment_method"], &groups, |events| {
        json!({"count": events.len(), "total_amount": sum(events, amount), "avg_amount": mean(events, amount)})
    });
    let groups = run.grouped(&sold, &["properties.country", "properties.product_id"], tumbling(HOUR));
    run.check(
        "top_products_by_region",
        &["country", "product_id"],
        &groups,
        |events| json!({"purchases": events.len(), "total_amount": sum(events, amount)}),
    );
    let groups = run.grouped(&["refund", sold[0]], &["properties.currency"], tumbling(HOUR));
    run.check("refunds", &["currency"], &groups, |events| {
        let refunds = of_type(events, "refund");
        json!({
            "refunds": refunds.len(), "purchases": of_type(events, sold[0]).len(),
            "refunded_amount": if refunds.is_empty() { Value::Null } else { json!(sum(&refunds, amount)) },
        })
    });
    assert!(run.rows("refunds").any(|row| row["refunds"] != 0), "something was paid back");
    let through_the_day = |time: i64| {
        let midnight = time.div_euclid(24 * HOUR) * 24 * HOUR;
        let ends = (1..=24).map(|hour| midnight + hour * HOUR).filter(|&end| end > time);
        ends.map(|end| (midnight, end)).collect()
    };
    let groups = run.grouped(&["restock", sold[0]], &["properties.product_id"], through_the_day);
    run.check("stock_level", &["product_id"], &groups, |events| {
        let restocks = of_type(events, "restock");
        let number = |event: &Value, name: &str| event["properties"][name].as_u64().unwrap();
        let pieces = restocks.iter().map(|event| number(event, "quantity"));
        json!({
            "stock_min": restocks.iter().map(|event| number(event, "stock") - number(event, "quantity")).min(),
            "stock": restocks.last().map_or(&Value::Null, |event| &event["properties"]["stock"]),
            "restocked": if restocks.is_empty() { Value::Null } else { json!(pieces.sum::<u64>()) },
            "purchases": of_type(events, sold[0]).len(),
        })
    });
    assert!(run.rows("stock_level").any(|row| !row["stock"].is_null()), "something was delivered");
}

fn revenue_is_the_truth(run: &Run) {
    let told = run.truth["revenue_by_minute"].as_array().unwrap();
    let told: BTreeMap<_, _> =
        told.iter().map(|row| ((micros(&row["minute"]), shown(&row["currency"])), row)).collect();
    assert_eq!(run.rows("revenue_per_minute").count(), told.len());
    for row in run.rows("revenue_per_minute") {
        let truth = told[&(micros(&row["window_start"]), shown(&row["currency"]))];
        assert_eq!(row["orders"], truth["count"], "{row}");
        // Cents are no doubles, but the sum of a few thousand of them is off by far less than half a cent.
        let cents = format!("{:.2}", row["total_revenue"].as_f64().unwrap());
        assert_eq!(cents, shown(&truth["amount"]), "{row}");
    }
}

#[test]
fn iot() {
    let run = Run::of(Profile::Iot, "iot.toml", 2 * HOUR, None);
    let (types, by) = (["temperature", "humidity", "pressure"], ["properties.device_id", "event_type"]);
    let value = "properties.value";
    let groups = run.grouped(&types, &by, tumbling(HOUR));
    run.check("device_metrics", &["device_id", "quantity"], &groups, |events| {
        json!({
            "mean": mean(events, value), "count": events.len(),
            "min": numbers(events, value).fold(f64::INFINITY, f64::min),
            "max": numbers(events, value).fold(f64::NEG_INFINITY, f64::max),
        })
    });
    let told = run.truth["readings_by_hour"].as_array().unwrap();
    assert_eq!(run.rows("device_metrics").count(), told.len());
    for truth in told {
        let is_it = |row: &&Value| {
            row["device_id"] == truth["device_id"]
                && row["quantity"] == truth["event_type"]
                && micros(&row["window_start"]) == micros(&truth["hour"])
        };
        let row = run.rows("device_metrics").find(is_it).unwrap_or_else(|| panic!("no row for {truth}"));
        let mean = shown(&truth["sum"]).parse::<f64>().unwrap() / truth["count"].as_f64().unwrap();
        assert!(row["count"] == truth["count"] && agree("mean", &json!(mean), &row["mean"]), "{truth}, but {row}");
    }
    let mut groups = run.grouped(&types, &by, tumbling(10 * MINUTE));
    assert!(groups.values().all(|events| events.len() <= 60), "sensors report every ten seconds");
    groups.retain(|_, events| events.len() < 60);
    run.check("missing_readings", &["device_id", "quantity"], &groups, |events| json!({"readings": events.len()}));
}
