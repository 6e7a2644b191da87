//! How fast evingest and evwindow are with a real Kafka, beside loops of librdkafka alone over the same events, in one run: broker, client
//! and measurement share the machine, so only ratios mean something. `scripts/bench-kafka` runs it.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

#[path = "../tests/support/kafka.rs"]
mod kafka;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evkit::kafka::admin::Admin;
use evkit::kafka::settings::Settings;
use evkit::time::Timestamp;
use rdkafka::producer::Producer;
use serde_json::Value as Json;

use crate::kafka::{Committed, PATIENCE, Sent, Topics, brokers, producer, send, unique};

const PARTITIONS: i32 = 12;

fn main() {
    let Some(brokers) = brokers("bench-kafka") else { return };
    let events: u64 =
        std::env::var("EVKIT_EVENTS").map_or(1_000_000, |text| text.parse().expect("EVKIT_EVENTS is a number"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    run(Command::new(env!("CARGO_BIN_EXE_evgen"))
        .args(["--events", &events.to_string(), "--quiet", "--to"])
        .arg(&file));
    let mut topics = Topics::new(&brokers);

    println!("{events} events, {PARTITIONS} partitions; events a second, and beside librdkafka alone");
    let topic = topics.create("bench", PARTITIONS, &[]);
    let alone = rate(events, || produce_alone(&brokers, &topic, &file));
    let topic = topics.create("bench", PARTITIONS, &[]);
    let ours = rate(events, || {
        let to = format!("kafka://{brokers}/{topic}");
        run(Command::new(env!("CARGO_BIN_EXE_evingest")).arg(&file).args(["--to", &to, "--quiet"]));
    });
    told("produce", ours, alone);

    let alone = rate(events, || {
        let mut count = 0;
        Committed::open(&brokers, &topic).read_to_stable_end(|_| count += 1);
        assert_eq!(count, events);
    });
    let ours = rate(events, || {
        let from = format!("kafka://{brokers}/{topic}");
        let output = Command::new(env!("CARGO_BIN_EXE_evwindow"))
            .args(["--from", &from, "--until", "end", "--global", "--quiet"])
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    told("consume, no group", ours, alone);

    backlog(&brokers, &topic, &mut topics, events, folder.path());
    latency(&brokers, &mut topics, folder.path());
    restart(&brokers, &mut topics, folder.path());
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn rate(events: u64, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    events as f64 / began.elapsed().as_secs_f64()
}

fn told(what: &str, ours: f64, alone: f64) {
    println!("{what:<20} {ours:>10.0} {alone:>10.0}  {:.0} %", 100.0 * ours / alone);
}

/// What evingest does less the looking at events: lines, keys, records.
fn produce_alone(brokers: &str, topic: &str, file: &Path) {
    let settings = [("enable.idempotence", "true"), ("compression.type", "lz4"), ("linger.ms", "50")];
    let producer = producer(brokers, &settings);
    let text = std::fs::read(file).unwrap();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        const NAME: &[u8] = br#""user_id":""#;
        let key = memchr::memmem::find(line, NAME).map(|at| &line[at + NAME.len()..]);
        let key = key.map(|rest| &rest[..memchr::memchr(b'"', rest).unwrap_or(0)]);
        send(&producer, topic, Sent { key, payload: Some(line), ..Sent::default() });
    }
    producer.flush(PATIENCE).unwrap();
}

/// A group's process, killed when it is dropped.
struct Grouped(Child);

impl Grouped {
    fn start(brokers: &str, input: &str, output: &str, group: &str, arguments: &[&str], folder: &Path) -> Grouped {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evwindow"));
        command.args(["--from", &format!("kafka://{brokers}/{input}"), "--to", &format!("kafka://{brokers}/{output}")]);
        command.args(["--group", group, "--instance", "bench", "--quiet"]).args(arguments).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Grouped(command.spawn().unwrap())
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn group_of(prefix: &str, topics: &mut Topics) -> String {
    let group = unique(prefix);
    ["partials", "state"].iter().for_each(|internal| topics.adopt(&format!("{group}.{internal}")));
    group
}

/// A backlog, exactly once from topic to topic: from the start of the process until all of it is committed.
fn backlog(brokers: &str, input: &str, topics: &mut Topics, events: u64, folder: &Path) {
    let output = topics.create("bench_rows", 6, &[]);
    let group = group_of("bench", topics);
    let admin = Admin::new(&Settings { brokers: brokers.to_owned(), properties: Vec::new() }, PATIENCE).unwrap();
    let ends: Vec<i64> = admin.ends(input).unwrap().iter().map(|ends| ends.stable).collect();
    let query =
        ["--tumbling", "1m", "--by", "event_type", "--agg", "count(*) AS count, sum(properties.price) AS total"];
    let began = Instant::now();
    let _grouped = Grouped::start(brokers, input, &output, &group, &query, folder);
    // Of a transactional topic the last offset is a marker's; the group is behind it, or at it.
    let is_done = || {
        let committed = admin.committed(&group, input).unwrap();
        committed.len() == ends.len() && committed.iter().all(|one| one.offset + 1 >= ends[one.partition as usize])
    };
    while !is_done() {
        assert!(began.elapsed() < 10 * PATIENCE, "the backlog was never done");
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("exactly once, backlog {:>9.0}  with the start of the process", events as f64 / seconds);
}

/// From the moment at which every partition has an event beyond a window's end to the moment at which its row is committed and read.
fn latency(brokers: &str, topics: &mut Topics, folder: &Path) {
    const RATE: u64 = 10_000;
    const WINDOW_MS: i64 = 100;
    let (input, output) = (topics.create("bench_live", PARTITIONS, &[]), topics.create("bench_rows", 6, &[]));
    let group = group_of("bench", topics);
    let query = ["--tumbling", "100ms", "--watermark-delay", "0s"];
    let _grouped = Grouped::start(brokers, &input, &output, &group, &query, folder);
    // By partition, the newest event's time; the lowest of them closes windows.
    let closed_at: Arc<std::sync::Mutex<BTreeMap<i64, Instant>>> = Arc::default();
    let lowest = AtomicI64::new(0);
    let seconds = 40;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = producer(brokers, &[("enable.idempotence", "true"), ("linger.ms", "1")]);
            let began = Instant::now();
            let mut newest = [0i64; PARTITIONS as usize];
            for count in 0..RATE * seconds {
                while count > RATE * began.elapsed().as_millis() as u64 / 1000 {
                    std::thread::sleep(Duration::from_micros(500));
                }
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
                let partition = (count % PARTITIONS as u64) as i32;
                let event = format!(
                    r#"{{"event_id":"{count}","event_type":"x","user_id":"u","timestamp":"{}"}}"#,
                    Timestamp(now)
                );
                send(
                    &producer,
                    &input,
                    Sent { partition: Some(partition), payload: Some(event.as_bytes()), ..Sent::default() },
                );
                newest[partition as usize] = now / 1000;
                let window = newest.iter().min().unwrap() / WINDOW_MS;
                if lowest.swap(window, Ordering::Relaxed) < window {
                    closed_at.lock().unwrap().insert(window * WINDOW_MS, Instant::now());
                }
            }
            producer.flush(PATIENCE).unwrap();
        });
        let mut reader = Committed::open(brokers, &output);
        let mut latencies = Vec::new();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            let Some(seen) = reader.poll(Duration::from_millis(5)) else { continue };
            let row: Json = serde_json::from_slice(&seen.payload.unwrap()).unwrap();
            let end = evkit::time::parse_rfc3339(row["window_end"].as_str().unwrap().as_bytes()).unwrap().0 / 1000;
            // The first seconds are spent with joining the group.
            if let Some(closed) = closed_at.lock().unwrap().get(&end).filter(|_| began.elapsed().as_secs() > 10) {
                latencies.push(closed.elapsed().as_secs_f64() * 1000.0);
            }
        }
        latencies.sort_by(f64::total_cmp);
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        println!(
            "latency at {RATE}/s     p50 {:.0} ms, p99 {:.0} ms of {} windows",
            at(0.5),
            at(0.99),
            latencies.len()
        );
    });
}

/// With a hundred thousand groups open: from the start of a process, after the one before was killed, to its first new row, committed
/// and read.
fn restart(brokers: &str, topics: &mut Topics, folder: &Path) {
    const GROUPS: i64 = 100_000;
    const START_US: i64 = 1_767_225_600_000_000;
    let (input, output) = (topics.create("bench_open", PARTITIONS, &[]), topics.create("bench_rows", 6, &[]));
    let group = group_of("bench", topics);
    let metrics = folder.join("restart.toml");
    let queries = "[[metric]]\nname = \"by_user\"\ntumbling = \"1d\"\nby = \"user_id\"\n\
                   agg = \"count(*) AS count, sum(properties.amount) AS total\"\n\
                   [[metric]]\nname = \"by_second\"\ntumbling = \"1s\"\n";
    std::fs::write(&metrics, queries).unwrap();
    // No silence may close a second before its event comes.
    let arguments = ["--metrics", metrics.to_str().unwrap(), "--watermark-delay", "0s", "--idle-close", "none"];
    let producer = producer(brokers, &[("enable.idempotence", "true"), ("linger.ms", "5")]);
    let produce = |number: i64, time: i64| {
        let event = format!(
            r#"{{"event_id":"{number}","event_type":"x","user_id":"user {number}","timestamp":"{}","properties":{{"amount":{number}.25}}}}"#,
            Timestamp(time)
        );
        let partition = Some((number % i64::from(PARTITIONS)) as i32);
        send(&producer, &input, Sent { partition, payload: Some(event.as_bytes()), ..Sent::default() });
    };
    // Behind the last user's event every partition gets a later one, which closes all seconds before it.
    (0..GROUPS).for_each(|number| produce(number, START_US + number * 1000));
    (0..i64::from(PARTITIONS)).for_each(|number| produce(number, START_US + 200_000_000));
    producer.flush(PATIENCE).unwrap();
    let newest_row = |reader: &mut Committed, until: i64| {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "no row of a window that ends at {until} or later");
            let Some(seen) = reader.poll(Duration::from_millis(5)) else { continue };
            let row: Json = serde_json::from_slice(&seen.payload.unwrap()).unwrap();
            let end = evkit::time::parse_rfc3339(row["window_end"].as_str().unwrap().as_bytes()).unwrap().0;
            if end >= until {
                return;
            }
        }
    };
    let mut reader = Committed::open(brokers, &output);
    let grouped = Grouped::start(brokers, &input, &output, &group, &arguments, folder);
    newest_row(&mut reader, START_US + GROUPS * 1000);
    // Long enough for a checkpoint of every shard, at the usual interval.
    std::thread::sleep(Duration::from_secs(25));
    drop(grouped);
    (0..i64::from(PARTITIONS)).for_each(|number| produce(number, START_US + 300_000_000));
    producer.flush(PATIENCE).unwrap();
    let began = Instant::now();
    let _grouped = Grouped::start(brokers, &input, &output, &group, &arguments, folder);
    newest_row(&mut reader, START_US + 201_000_000);
    println!("restart, {GROUPS} groups open: first new row after {:.2} s", began.elapsed().as_secs_f64());
}
