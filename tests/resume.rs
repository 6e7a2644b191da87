//! `evwindow --to store:` over a file that grows, killed at random moments: run again, the store holds what one straight run
//! over the file gives. Nothing is counted twice and nothing is lost, also where the file ended within a line.
//!
//! A failure prints its seed; `EVKIT_SEED=…` runs it again, `EVKIT_KILLS=…` sets how many runs are killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use evkit::store::Reader;
use evkit::time::Timestamp;

use crate::support::bash_in;

/// Runs that are killed in an ordinary test run.
const KILLS: u64 = 24;

/// One query of each kind whose open state is of another form.
const METRICS: &str = r#"
[[metric]]
name = "revenue"
tumbling = "5s"
where = "event_type = 'purchase_completed'"
by = "properties.currency"
agg = "count(*) AS count, sum(properties.amount) AS total, avg(properties.amount) AS mean"
allowed-lateness = "2s"

[[metric]]
name = "users"
tumbling = "3s"
agg = "count(DISTINCT user_id) AS users, approx_count_distinct(user_id) AS about, median(properties.amount) AS half"

[[metric]]
name = "best"
sliding = "10s/3s"
by = "event_type"
top = 3
allowed-lateness = "1s"

[[metric]]
name = "day"
cumulate = "1m/5s"
by = "event_type"

[[metric]]
name = "sessions"
session = "2s"
by = "user_id"
agg = "count(*) AS count, first(event_type) AS first, last(event_type) AS last"
"#;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("the variable holds a number"))
}

/// Every point that a store has, by metric, group and window.
fn points(path: &Path) -> BTreeMap<String, String> {
    let reader = Reader::open(path).unwrap();
    let mut points = BTreeMap::new();
    for metric in reader.metrics().unwrap() {
        for series in reader.series(metric.id).unwrap() {
            let all = (Timestamp::MIN, Timestamp::MAX);
            reader
                .points(&metric, series.id, all, |point| {
                    let place = format!("{} {:?} {:?}", metric.catalogue.name, series.groups, point.window);
                    let form = if point.is_final { "final" } else { "open" };
                    points.insert(place, format!("{:?} {:?} {form}", point.values, point.rank));
                })
                .unwrap();
        }
    }
    points
}

/// The command that stores the file's metrics in the folder's store of this name.
fn evwindow(folder: &Path, store: &str, threads: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evwindow"));
    command.current_dir(folder).args(["--metrics", "metrics.toml", "--watermark-delay", "500ms", "--quiet"]);
    command.args(["--threads", &threads.to_string(), "--to", &format!("store:{store}"), "events.ndjson"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[track_caller]
fn run_to_end(mut command: Command, seed: u64) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The store of the runs so far against that of one run over all that the file has.
#[track_caller]
fn check(folder: &Path, seed: u64, step: u64) {
    run_to_end(evwindow(folder, "kept.db", 2), seed);
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("straight.db{ending}")));
    }
    run_to_end(evwindow(folder, "straight.db", 1), seed);
    let (kept, straight) = (points(&folder.join("kept.db")), points(&folder.join("straight.db")));
    let differ = |place: &&String| kept.get(*place) != straight.get(*place);
    let places: std::collections::BTreeSet<&String> = kept.keys().chain(straight.keys()).collect();
    let different: Vec<&String> = places.into_iter().filter(differ).collect();
    let shown =
        different.iter().take(5).map(|&place| format!("{place}: {:?} {:?}", kept.get(place), straight.get(place)));
    assert!(
        different.is_empty(),
        "seed {seed}, step {step}: {} of {} points differ; kept, and by a straight run:\n{}",
        different.len(),
        straight.len(),
        shown.collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn a_growing_file_is_counted_once_wherever_runs_are_killed() {
    let seed = number("EVKIT_SEED").unwrap_or(7);
    let kills = number("EVKIT_KILLS").unwrap_or(KILLS);
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("metrics.toml"), METRICS).unwrap();
    let per_run = 3_000;
    let script = format!(
        "evgen --events {} --seed {seed} --out-of-order 900ms:5% --late 10s:1% --malformed 0.5%",
        per_run * (kills + kills / 4 + 2)
    );
    let generated = bash_in(folder, &script, b"");
    generated.assert_code(0);
    let events = generated.stdout.into_bytes();
    let mut file = std::fs::File::create(folder.join("events.ndjson")).unwrap();
    let (mut written, mut killed, mut step) = (0, 0, 0);
    // How long a run takes, so that kills fall into all of it.
    let mut usual = Duration::from_millis(50);
    while killed < kills && written < events.len() {
        step += 1;
        // Cut anywhere: a writer may be in the middle of a line.
        let grown = (written + random.below(2 * per_run * 400) as usize).min(events.len());
        file.write_all(&events[written..grown]).unwrap();
        written = grown;
        let begun = Instant::now();
        let mut child = evwindow(folder, "kept.db", 1 + random.below(3)).stderr(Stdio::null()).spawn().unwrap();
        let limit = usual.mul_f64(random.below(1000) as f64 / 800.0);
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if begun.elapsed() >= limit {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::yield_now();
        };
        match ended {
            Some(status) => {
                assert!(status.success(), "seed {seed}, step {step}: {status}");
                usual = begun.elapsed();
            }
            None => killed += 1,
        }
        if step % 6 == 0 {
            check(folder, seed, step);
        }
    }
    file.write_all(&events[written..]).unwrap();
    check(folder, seed, step);
    assert!(killed >= kills.min(10), "seed {seed}: {killed} runs were killed");
}

/// An event whose line is still being written waits for the rest of it.
#[test]
fn half_a_line_is_left_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        run() { evwindow --to store:s.db -t 1m --stats json events.ndjson 2>&1 | grep -o '"in":[0-9]*,"rejected":[0-9]*'; }
        echo '{"timestamp":"2026-02-16T10:00:01Z"}' > events.ndjson
        printf '{"timestamp":"2026-02-' >> events.ndjson
        run
        printf '16T10:00:02Z"}' >> events.ndjson
        run
        printf '\n{"timestamp":"2026-02-16T10:00:03Z"}\nbad\n' >> events.ndjson
        run
        run"#;
    let ended = bash_in(folder.path(), script, b"");
    ended.assert_code(0);
    let expected = [(1, 0), (1, 0), (2, 1), (0, 0)].map(|(read, bad)| format!("\"in\":{read},\"rejected\":{bad}\n"));
    assert_eq!(ended.stdout, expected.concat());
}
