//! The load: events of evgen, keyed by user into partitions, at a rate; at the end an event far ahead in each, so that all windows fire.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use crate::kafka::{Committed, PATIENCE, Sent, producer, send};

/// Two days after evgen's first event: no load is that long.
const SENTINEL: &str = r#"{"event_id":"sentinel","event_type":"sentinel","timestamp":"2026-01-03T00:00:00.000Z","user_id":"sentinel","properties":{}}"#;

/// Longer records are no events of ours.
const EVENT_BYTES_MAX: usize = 1 << 16;

/// How a load is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// At most so many events.
    pub events: u64,
    /// How many a second.
    pub rate: u64,
    /// Partitions of the topic that get events, counted from 0.
    pub partitions: u32,
}

/// A load under way.
pub struct Load {
    brokers: String,
    topic: String,
    plan: Plan,
    is_enough: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Begins to produce.
    pub fn start(brokers: &str, topic: &str, plan: Plan) -> Load {
        let (is_enough, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = {
            let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
            let (is_enough, sent) = (is_enough.clone(), sent.clone());
            std::thread::spawn(move || produce(&brokers, &topic, plan, &is_enough, &sent))
        };
        Load { brokers: brokers.to_owned(), topic: topic.to_owned(), plan, is_enough, sent, thread: Some(thread) }
    }

    /// How many events have been handed to the producer.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until all events are produced.
    pub fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the load could not be produced");
        }
    }

    /// Ends the load where it is, and lets all windows fire.
    pub fn finish(&mut self) {
        self.is_enough.store(true, Ordering::Relaxed);
        self.wait();
        let last = producer(&self.brokers, &[("enable.idempotence", "true")]);
        for partition in 0..self.plan.partitions {
            let partition = i32::try_from(partition).unwrap();
            let (key, payload) = (Some(&b"sentinel"[..]), Some(SENTINEL.as_bytes()));
            send(&last, &self.topic, Sent { partition: Some(partition), key, payload, timestamp: None });
        }
        last.flush(PATIENCE).unwrap();
    }

    /// Writes what is committed in the topic to one file a partition, in order; gives the files of partitions that have events.
    pub fn dump(&self, folder: &Path) -> Vec<String> {
        let mut lines: Vec<Vec<u8>> = vec![Vec::new(); self.plan.partitions as usize];
        Committed::open(&self.brokers, &self.topic).read_to_stable_end(|seen| {
            // Poison is nothing that a file could hold.
            let is_event = |payload: &Vec<u8>| payload.starts_with(b"{") && payload.len() <= EVENT_BYTES_MAX;
            if let Some(payload) = seen.payload.filter(is_event) {
                let lines = &mut lines[seen.partition as usize];
                lines.extend_from_slice(&payload);
                lines.push(b'\n');
            }
        });
        let name = |partition: usize| format!("partition-{partition:02}.ndjson");
        for (partition, lines) in lines.iter().enumerate() {
            std::fs::write(folder.join(name(partition)), lines).unwrap();
        }
        (0..lines.len()).map(name).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn produce(brokers: &str, topic: &str, plan: Plan, is_enough: &AtomicBool, sent: &AtomicU64) {
    let mut evgen = Command::new(env!("CARGO_BIN_EXE_evgen"))
        .args(["--events", &plan.events.to_string(), "--seed", &plan.seed.to_string(), "--users", "3000", "--quiet"])
        .args(["--out-of-order", "2s:10%", "--late", "12s:1%", "--duplicates", "0.5%"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let producer = producer(brokers, &[("enable.idempotence", "true")]);
    let began = Instant::now();
    let mut lines = BufReader::with_capacity(1 << 16, evgen.stdout.take().unwrap());
    let mut line = Vec::new();
    for count in 0u64.. {
        while count > plan.rate * began.elapsed().as_millis() as u64 / 1000 {
            std::thread::sleep(Duration::from_millis(2));
        }
        line.clear();
        if is_enough.load(Ordering::Relaxed) || lines.read_until(b'\n', &mut line).unwrap() == 0 {
            break;
        }
        let payload = line.trim_ascii_end();
        let user = user_of(payload);
        let partition = i32::try_from(hash(user) % u64::from(plan.partitions)).unwrap();
        send(
            &producer,
            topic,
            Sent { partition: Some(partition), key: Some(user), payload: Some(payload), timestamp: None },
        );
        sent.store(count + 1, Ordering::Relaxed);
    }
    let _ = evgen.kill();
    evgen.wait().unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// The user of an event as evgen writes it.
pub fn user_of(payload: &[u8]) -> &[u8] {
    const NAME: &[u8] = br#""user_id":""#;
    let begin = payload.windows(NAME.len()).position(|window| window == NAME).map_or(0, |at| at + NAME.len());
    let rest = &payload[begin..];
    &rest[..rest.iter().position(|byte| *byte == b'"').unwrap_or(0)]
}

/// FNV-1a: any hash will do that keeps a user in one partition.
fn hash(bytes: &[u8]) -> u64 {
    let mixed = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    mixed ^ (mixed >> 29)
}
