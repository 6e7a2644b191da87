//! Rows in topics as a user meets them: written by evwindow, shown by evquery and evtop, and what a group tells operators.
//!
//! That a group writes each row once is told by `tests/faults`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/kafka.rs"]
mod kafka;
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use evkit::partition::partition_of;

use crate::kafka::{Committed, PATIENCE, Seen, Topics, brokers, unique};
use crate::support::{Running, bash_in};

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.unwrap()).unwrap()
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn all(brokers: &str, topic: &str) -> Vec<Seen> {
    let mut all = Vec::new();
    Committed::open(brokers, topic).read_to_end(|seen| all.push(seen));
    all
}

#[test]
fn rows_of_a_file_are_records_that_are_shown_again() {
    let Some(brokers) = brokers("rows of a file are records that are shown again") else { return };
    let mut topics = Topics::new(&brokers);
    let (rows, rejects) = (topics.create("rows", 3, &[]), topics.create("rejects", 1, &[]));
    let place = tempfile::tempdir().unwrap();
    let to = |topic: &str| format!("kafka://{brokers}/{topic}");
    let script = format!(
        "evgen -n 5000 --seed 5 > e.ndjson
         {{ cat e.ndjson; echo '{{\"bad'; }} | evwindow -t 1s -b event_type --quiet --to {} --rejects-to {} --to -",
        to(&rows),
        to(&rejects)
    );
    let ended = bash_in(place.path(), &script, b"");
    ended.assert_code(0);
    let expected = sorted(&ended.stdout);
    assert!(expected.len() > 10, "{}", ended.stdout);

    let seen = all(&brokers, &rows);
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for Seen { partition, key, payload, .. } in seen {
        let (key, value) = (text(key), text(payload));
        assert_eq!(partition as u32, partition_of(key.as_bytes(), 3), "{key}");
        let row: serde_json::Value = serde_json::from_str(&value).unwrap();
        assert_eq!(key, format!(r#"["events",{}]"#, row["event_type"]));
        let end = row["window_end"].as_str().unwrap().to_owned();
        let before = last.insert(key.clone(), end.clone());
        assert!(before.is_none_or(|before| before < end), "{key} at {value}");
        found.push(value);
    }
    found.sort();
    assert_eq!(found, expected);
    let rejected: Vec<String> = all(&brokers, &rejects).into_iter().map(|seen| text(seen.payload)).collect();
    assert!(rejected.len() == 1 && rejected[0].contains("{\\\"bad"), "{rejected:?}");

    let follow = format!("evquery events --follow --start 2020-01-01 --from {}", to(&rows));
    let ended = bash_in(place.path(), &format!("{follow} | head -n {}", expected.len()), b"");
    ended.assert_code(0);
    assert_eq!(sorted(&ended.stdout), expected);
    let ended = bash_in(place.path(), &format!("{follow} --fail-if 'count > 0'"), b"");
    ended.assert_code(6);
    let ended = bash_in(place.path(), &format!("evtop --once --size 90x24 {}", to(&rows)), b"");
    ended.assert_code(0);
    let told = format!("rows {}", expected.len());
    assert!(ended.stdout.lines().any(|line| line.trim_end().ends_with(&told)), "{}", ended.stdout);
}

/// What stands below the head of an answer, and its status.
fn ask(address: &str, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn a_group_tells_operators_how_it_fares() {
    let Some(brokers) = brokers("a group tells operators how it fares") else { return };
    let mut topics = Topics::new(&brokers);
    let (events, rows) = (topics.create("events", 2, &[]), topics.create("rows", 1, &[]));
    let group = unique("watched");
    topics.adopt(&format!("{group}.partials"));
    topics.adopt(&format!("{group}.state"));
    let place = tempfile::tempdir().unwrap();
    bash_in(place.path(), &format!("evgen -n 20000 --seed 5 --to kafka://{brokers}/{events}"), b"").assert_code(0);
    let script = format!(
        "exec evwindow -t 1s --group {group} --instance one --listen 0 --from kafka://{brokers}/{events} --to kafka://{brokers}/{rows} 2>&1"
    );
    let mut running = Running::start_in(place.path(), &script);
    let line = running.line().unwrap();
    let address = line.strip_prefix("evwindow: answering at http://").and_then(|line| line.strip_suffix("/metrics"));
    let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
    let deadline = Instant::now() + PATIENCE;
    let mut reader = Committed::open(&brokers, &rows);
    while reader.poll(PATIENCE).is_none() {
        assert!(Instant::now() < deadline, "no row came");
    }
    let page = loop {
        let (status, page) = ask(&address, "/metrics");
        assert_eq!(status, 200);
        if page.contains("\nevkit_row_latency_seconds_count ") && !page.contains("\nevkit_rows_total 0\n") {
            break page;
        }
        assert!(Instant::now() < deadline, "{page}");
    };
    assert!(page.contains("\nevkit_metric_events_total{metric=\"events\",fate=\"used\"} "), "{page}");
    for partition in 0..2 {
        let offset = format!("\nevkit_committed_offset{{stage=\"combine\",partition=\"{partition}\"}} ");
        assert!(page.contains(&offset), "{page}");
    }
    assert_eq!(ask(&address, "/healthz"), (200, "ok\n".to_owned()));
    running.signal(libc::SIGTERM);
    running.finish().assert_code(143);
    assert!(TcpStream::connect(&address).is_err(), "the server outlived its program");
}
