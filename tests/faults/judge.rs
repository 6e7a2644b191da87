//! The judge: what committed rows must be, and what they are, to readers that come afterwards and to one that reads all along.
//!
//! At lateness 0 the multiset of rows is compared, byte by byte. Of a metric with lateness it is the last revision of every window
//! and group, `revision` aside: how often a row was corrected on the way depends on how partitions were interleaved.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::kafka::{Committed, Seen};

/// The queries: sessions, top-N, distinct, float sums, and one whose rows are corrected by late events.
pub const METRICS: &str = r#"
[[metric]]
name = "sessions"
session = "5s"
by = "user_id"
agg = "count(*) AS events, first(event_type) AS first, last(event_type) AS last, sum(properties.price) AS prices"

[[metric]]
name = "best"
tumbling = "10s"
where = "event_type = 'product_view'"
by = "properties.product_id"
agg = "count(*) AS views, sum(properties.price) AS prices"
top = 5

[[metric]]
name = "people"
sliding = "20s/5s"
by = "properties.country"
agg = "count(DISTINCT user_id) AS users, approx_count_distinct(session_id) AS about, median(properties.price) AS half"

[[metric]]
name = "prices"
tumbling = "5s"
by = "properties.currency"
agg = "count(*) AS events, sum(properties.price) AS total, avg(properties.price) AS mean, stddev_samp(properties.price) AS spread"

[[metric]]
name = "corrected"
tumbling = "10s"
by = "event_type"
agg = "count(*) AS events, sum(properties.price) AS prices, count(DISTINCT user_id) AS users"
allowed-lateness = "20s"
"#;

/// By how much events may be out of order.
pub const WATERMARK_DELAY: &str = "3s";

/// The metrics that have lateness, with the columns that name a row of theirs.
const CORRECTED: (&str, [&str; 3]) = ("corrected", ["window_start", "window_end", "event_type"]);

/// After so long without a row, a reader of a topic that nobody writes to has seen all.
const SILENCE: Duration = Duration::from_secs(1);

/// Rows as they came, or as they must come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    rows: u64,
    /// Rows at lateness 0, with how often each came.
    exact: HashMap<String, u32>,
    /// The last revision of each row that may be corrected; one that was taken back is gone.
    last: BTreeMap<String, String>,
}

impl Tally {
    /// Takes the next row.
    pub fn add(&mut self, row: &str) {
        self.rows += 1;
        if !row.contains(&format!(r#""metric":"{}""#, CORRECTED.0)) {
            *self.exact.entry(row.to_owned()).or_default() += 1;
            return;
        }
        let mut parsed: Json = serde_json::from_str(row).unwrap_or_else(|error| panic!("'{row}' is no row: {error}"));
        let members = parsed.as_object_mut().unwrap();
        let name = CORRECTED.1.map(|column| members[column].to_string()).join(" ");
        members.remove("revision");
        match members.contains_key("retracted") {
            true => self.last.remove(&name),
            false => self.last.insert(name, parsed.to_string()),
        };
    }

    /// Number of rows that came.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether readers would have the same of both.
    pub fn is_equal(&self, other: &Tally) -> bool {
        self.exact == other.exact && self.last == other.last
    }

    /// Some of what is missing in `self`, or too much, against what it must be.
    pub fn differences(&self, expected: &Tally) -> String {
        let mut told = Vec::new();
        let count = |tally: &Tally, row: &str| tally.exact.get(row).copied().unwrap_or(0);
        let missing = expected.exact.keys().filter(|row| count(self, row) < count(expected, row));
        let extra = self.exact.keys().filter(|row| count(self, row) > count(expected, row));
        let (missing, extra): (Vec<_>, Vec<_>) = (missing.collect(), extra.collect());
        told.push(format!("{} of {} rows are missing, {} too many", missing.len(), expected.exact.len(), extra.len()));
        told.extend(missing.iter().take(4).map(|row| format!("  missing: {row}")));
        told.extend(extra.iter().take(4).map(|row| format!("  too many: {row}")));
        let names: std::collections::BTreeSet<&String> = self.last.keys().chain(expected.last.keys()).collect();
        let differ: Vec<&String> =
            names.into_iter().filter(|name| self.last.get(*name) != expected.last.get(*name)).collect();
        told.push(format!("{} of {} corrected rows differ", differ.len(), expected.last.len()));
        let nothing = "nothing".to_owned();
        told.extend(differ.iter().take(4).map(|name| {
            let of = |tally: &'_ Tally| tally.last.get(*name).unwrap_or(&nothing).clone();
            format!("  is: {}\n  must be: {}", of(self), of(expected))
        }));
        told.join("\n")
    }
}

/// What one straight run over the partitions' files gives. It has nothing to do with Kafka.
pub fn straight(folder: &Path, files: &[String]) -> Tally {
    std::fs::write(folder.join("metrics.toml"), METRICS).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_evwindow"))
        .current_dir(folder)
        .args(["--metrics", "metrics.toml", "--watermark-delay", WATERMARK_DELAY, "--at-end", "drop", "--quiet"])
        .args(files)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "the straight run: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let mut tally = Tally::default();
    String::from_utf8(output.stdout).unwrap().lines().for_each(|row| tally.add(row));
    tally
}

/// What is committed in a topic, to a reader that comes now.
pub fn committed(brokers: &str, topic: &str) -> Tally {
    let mut tally = Tally::default();
    Committed::open(brokers, topic).read_to_stable_end(|seen| tally.add(&row_of(seen)));
    tally
}

/// A reader that has read from the beginning, while all the rest happened.
pub struct LiveReader {
    tally: Arc<Mutex<Tally>>,
    is_enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LiveReader {
    /// Begins to read.
    pub fn start(brokers: &str, topic: &str) -> LiveReader {
        let (tally, is_enough) = (Arc::new(Mutex::new(Tally::default())), Arc::new(AtomicBool::new(false)));
        let mut reader = Committed::open(brokers, topic);
        let thread = {
            let (tally, is_enough) = (tally.clone(), is_enough.clone());
            std::thread::spawn(move || {
                let mut heard = Instant::now();
                while !is_enough.load(Ordering::Relaxed) || heard.elapsed() < SILENCE {
                    if let Some(seen) = reader.poll(Duration::from_millis(100)) {
                        tally.lock().unwrap().add(&row_of(seen));
                        heard = Instant::now();
                    }
                }
            })
        };
        LiveReader { tally, is_enough, thread: Some(thread) }
    }

    /// Number of rows so far.
    pub fn rows(&self) -> u64 {
        self.tally.lock().unwrap().rows()
    }

    /// Whether it has seen all that must come, so far.
    pub fn has_all(&self, expected: &Tally) -> bool {
        self.tally.lock().unwrap().is_equal(expected)
    }

    /// Reads to the end; gives all that it has seen.
    pub fn finish(mut self) -> Tally {
        self.is_enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the reader that reads all along failed");
        }
        self.tally.lock().unwrap().clone()
    }
}

impl Drop for LiveReader {
    fn drop(&mut self) {
        self.is_enough.store(true, Ordering::Relaxed);
        // Its topic may be deleted next.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn row_of(seen: Seen) -> String {
    let payload = seen.payload.unwrap_or_else(|| panic!("a row without a value at {}/{}", seen.partition, seen.offset));
    String::from_utf8(payload).unwrap()
}
