//! The truth against a recount from the bytes, by a reader that knows nothing of the generator but the ids.

use std::collections::{BTreeMap, HashSet};

use evkit::generate::disturb::Disturbances;
use evkit::generate::encode::Format;
use evkit::generate::{Body, Event, Ids, Profile};
use evkit::pipeline::generate::Job;
use evkit::time::{Duration, Timestamp};
use serde_json::{Map, Value, json};

use crate::pace::{run_job, truth};
use crate::{PROFILES, SECOND, YEAR, disturbed, events, job, lines, text};

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
