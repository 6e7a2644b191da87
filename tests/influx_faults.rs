//! A group that writes to InfluxDB, while its processes and the server are killed or stopped: do the points equal those of one
//! straight run?
//!
//! `scripts/test-faults` runs it with servers of its own; it says its seed, and `EVKIT_SEED` sets it. A topic gets slices of events;
//! between them evwindow is killed at named points, with a request under way and at any moment, and so is the server; or one of two
//! instances is stopped until the other has taken its partitions over, and goes on then. At the end all windows have fired, and
//! both buckets are compared: points, entries, roll-ups.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/influx.rs"]
mod influx;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/random.rs"]
mod random;
mod support;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::producer::Producer;

use crate::influx::Real;
use crate::kafka::{PATIENCE, Sent, Topics, brokers, producer, send, unique};
use crate::random::Random;

/// Partitions of the input.
const PARTITIONS: i32 = 4;

/// Events of a slice, a second of event time a partition each hundred.
const SLICE: u64 = 4_000;

/// 2026-02-16T10:00:00Z in milliseconds.
const BEGIN: u64 = 1_771_236_000_000;

/// Groups of events.
const GROUPS: u64 = 7;

/// What is waited for comes within this time.
const LIMIT: Duration = Duration::from_secs(180);

/// Where evwindow is killed, beside any moment.
const POINTS: [&str; 4] = ["merge.in-points", "merge.after-points", "merge.after-send-offsets", "merge.in-commit"];

/// The metric that is written.
#[derive(Clone, Copy)]
struct Metric {
    /// By the flags of both runs.
    flags: &'static str,
    /// What must be equal at the end: the bucket's suffix, the measurement, its tags.
    measurements: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Of ten events one is so much older than those around it, in milliseconds, at most.
    late: u64,
}

const PLAIN: Metric = Metric {
    flags: "-t 10s -b g -a 'count(*) AS n, sum(x) AS total, avg(x) AS mean' --name m",
    measurements: &[
        ("", "m", &["g"]),
        ("", "evkit.points.m", &["series"]),
        ("_rollups", "m.1h", &["g"]),
        ("_rollups", "m.1d", &["g"]),
        ("_rollups", "evkit.rollups.m", &["series"]),
    ],
    late: 0,
};

/// Late events revise rows. How often depends on what came first, so entries, which say it, are not compared.
const REVISED: Metric = Metric {
    flags: "-t 10s -b g -a 'count(*) AS n, sum(x) AS total, avg(x) AS mean' --name m --allowed-lateness 30s",
    measurements: &[
        ("", "m", &["g"]),
        ("_rollups", "m.1h", &["g"]),
        ("_rollups", "m.1d", &["g"]),
        ("_rollups", "evkit.rollups.m", &["series"]),
    ],
    late: 25_000,
};

/// Late events also take rows back: those of groups that others overtake.
const TAKEN_BACK: Metric = Metric {
    flags: "-t 10s -b g -a 'sum(x) AS total' -n 3 --name m --allowed-lateness 30s",
    measurements: &[("", "m", &["g"])],
    late: 25_000,
};

/// evwindow under way, and where it tells what it does.
struct Process {
    child: Child,
    phases: PathBuf,
    stderr: PathBuf,
}

impl Drop for Process {
    /// A trial that fails leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Trial {
    name: &'static str,
    metric: Metric,
    is_long: bool,
    real: Real,
    /// Gone with the trial.
    _topics: Topics,
    kafka: String,
    topic: String,
    group: String,
    folder: tempfile::TempDir,
    started: u32,
    random: Random,
    /// Events that the topic has.
    fed: u64,
}

impl Trial {
    /// A trial with servers that may be killed; without them it is said that the test is left out.
    fn new(name: &'static str, metric: Metric) -> Option<Trial> {
        let (Some(kafka), Ok(form)) = (brokers(name), std::env::var("EVKIT_FAULTS")) else {
            let _ = writeln!(std::io::stderr(), "LEFT OUT: '{name}' kills its servers; run it by scripts/test-faults");
            return None;
        };
        let real = Real::of_environment(name)?;
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64 % 1_000_000;
        let seed = std::env::var("EVKIT_SEED").map_or(moment, |seed| seed.parse().expect("EVKIT_SEED is a number"));
        let _ = writeln!(std::io::stderr(), "{name}: seed {seed}");
        let mut topics = Topics::new(&kafka);
        let topic = topics.create("points", PARTITIONS, &[]);
        let group = unique("points_group");
        ["partials", "state"].iter().for_each(|suffix| topics.adopt(&format!("{group}.{suffix}")));
        Some(Trial {
            name,
            metric,
            is_long: form == "long",
            real,
            _topics: topics,
            kafka,
            topic,
            group,
            folder: tempfile::tempdir().unwrap(),
            started: 0,
            random: Random(seed),
            fed: 0,
        })
    }

    fn start(&mut self, instance: &str, fault: Option<&str>) -> Process {
        self.started += 1;
        let file = |kind: &str| self.folder.path().join(format!("{}.{kind}", self.started));
        let (phases, stderr) = (file("phases"), file("stderr"));
        let script = format!(
            "exec {} --from kafka://{}/{} --group {} --instance {instance} --to {} {} --idle-timeout none --idle-close none \
             --checkpoint-interval 1s --max-future none --watermark-delay 0s --retry-for 60s",
            env!("CARGO_BIN_EXE_evwindow"),
            self.kafka,
            self.topic,
            self.group,
            self.real.to(),
            self.metric.flags
        );
        let mut command = Command::new("bash");
        command
            .args(["-c", &script])
            .env("INFLUX_TOKEN", &self.real.token)
            .env("EVKIT_FAULT_LOG", &phases)
            .current_dir(self.folder.path());
        match fault {
            Some(fault) => command.env("EVKIT_FAULT", fault),
            None => command.env_remove("EVKIT_FAULT"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
        Process { child: command.spawn().unwrap(), phases, stderr }
    }

    /// Adds a slice to the topic: events of all groups, in order of time in each partition, but for those that are late.
    fn feed(&mut self) {
        let producer = producer(&self.kafka, &[]);
        for number in self.fed..self.fed + SLICE {
            let is_late = self.metric.late > 0 && self.random.below(10) == 0;
            let late = if is_late { self.random.below(self.metric.late) } else { 0 };
            let time = (BEGIN + number * 10 - late).max(BEGIN);
            let event = format!(
                "{{\"timestamp\":{time},\"g\":\"g{}\",\"x\":{}.25}}",
                self.random.below(GROUPS),
                self.random.below(1000)
            );
            let partition = Some((number % PARTITIONS as u64) as i32);
            send(&producer, &self.topic, Sent { partition, payload: Some(event.as_bytes()), ..Sent::default() });
        }
        producer.flush(PATIENCE).unwrap();
        self.fed += SLICE;
    }

    /// Lets all windows fire.
    fn close(&self) {
        let producer = producer(&self.kafka, &[]);
        let event = format!("{{\"timestamp\":{},\"g\":\"end\",\"x\":0}}", BEGIN + self.fed * 10 + 3_600_000);
        for partition in 0..PARTITIONS {
            let sent = Sent { partition: Some(partition), payload: Some(event.as_bytes()), ..Sent::default() };
            send(&producer, &self.topic, sent);
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// What one straight run gives, written to a bucket of its own.
    fn straight(&self, other: &Real) {
        let script = format!(
            "export INFLUX_TOKEN={}; evwindow --from kafka://{}/{} --until end --at-end drop {} --quiet --max-future none \
             --watermark-delay 0s --idle-timeout none --idle-close none --to {}",
            other.token,
            self.kafka,
            self.topic,
            self.metric.flags,
            other.to()
        );
        support::bash(&script, b"").assert_quiet();
    }

    fn found(&self, real: &Real) -> Vec<Vec<String>> {
        self.metric.measurements.iter().map(|(suffix, name, tags)| real.points(suffix, name, tags)).collect()
    }

    /// Whether of all groups the last window that must have fired by now has its points.
    fn is_up_to_date(&self) -> bool {
        let fired = (BEGIN + self.fed * 10 - 1000) / 10_000 * 10_000 - 10_000;
        let fired = evkit::time::Timestamp(fired as i64 * 1000).to_string().replace(".000Z", "Z");
        let points = self.real.points("", "m", &["g"]);
        let is_there = |group: &u64| {
            let ending = format!(" g{group}");
            points.iter().any(|point| point.ends_with(&ending) && point.split(' ').next() == Some(&fired))
        };
        (0..GROUPS).filter(is_there).count() as u64 == GROUPS
    }

    /// Lets all windows fire, and compares what the buckets hold with a straight run's.
    fn judge(self, mut process: Process, what_happened: &str) {
        let Some(other) = Real::of_environment(self.name) else { return };
        self.close();
        self.straight(&other);
        let expected = self.found(&other);
        assert!(expected.iter().all(|points| !points.is_empty()), "{expected:?}");
        let deadline = Instant::now() + LIMIT;
        let mut found = self.found(&self.real);
        // Roll-ups come behind their points, and are written anew with each.
        while found != expected && Instant::now() < deadline {
            assert_running(&mut process);
            std::thread::sleep(Duration::from_millis(100));
            found = self.found(&self.real);
        }
        for ((found, expected), (_, name, _)) in found.iter().zip(&expected).zip(self.metric.measurements) {
            let (missing, surplus) = (differing(expected, found), differing(found, expected));
            assert!(
                missing.is_empty() && surplus.is_empty(),
                "'{name}' differs after {what_happened}: missing {missing:?}, surplus {surplus:?}\n{}",
                said(&process)
            );
        }
        let counts: Vec<usize> = expected.iter().map(Vec::len).collect();
        let _ = writeln!(std::io::stderr(), "{}: {what_happened}: {counts:?} points equal", self.name);
        kill(process);
    }
}

/// Some of the points that are in the first only.
fn differing<'a>(some: &'a [String], others: &[String]) -> Vec<&'a String> {
    some.iter().filter(|point| others.binary_search(point).is_err()).take(5).collect()
}

impl Drop for Trial {
    /// A trial that fails leaves no stopped or killed server behind.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = try_service("start");
        }
    }
}

fn said(process: &Process) -> String {
    std::fs::read_to_string(&process.stderr).unwrap_or_default()
}

/// What the second stage of a process is doing.
fn last_of_merge(process: &Process) -> String {
    let log = std::fs::read_to_string(&process.phases).unwrap_or_default();
    let mut phases = log.lines().filter_map(|line| line.split_once(" merge ").map(|(_, phase)| phase.to_owned()));
    phases.next_back().unwrap_or_default()
}

/// How often a process has logged that it came to a phase.
fn times_logged(process: &Process, phase: &str) -> usize {
    std::fs::read_to_string(&process.phases).unwrap_or_default().matches(phase).count()
}

/// Waits for something; panics where it does not come, or the process ends by itself.
#[track_caller]
fn until(what: &str, process: &mut Process, mut is_so: impl FnMut(&Process) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so(process) {
        assert_running(process);
        assert!(Instant::now() < deadline, "never: {what}\n{}", said(process));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// That a process has not ended by itself.
#[track_caller]
fn assert_running(process: &mut Process) {
    let ended = process.child.try_wait().unwrap();
    assert!(ended.is_none(), "evwindow ended by itself: {ended:?}\n{}", said(process));
}

fn kill(mut process: Process) {
    process.child.kill().unwrap();
    process.child.wait().unwrap();
}

/// Does something to the server: `kill`, `start`, `stop`.
fn service(verb: &str) {
    let output = try_service(verb).unwrap();
    assert!(output.status.success(), "services {verb} influx: {}", String::from_utf8_lossy(&output.stderr));
}

fn try_service(verb: &str) -> std::io::Result<Output> {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
    Command::new(services).args([verb, "influx"]).stdin(Stdio::null()).output()
}

/// A signal by its name.
fn signal(process: &Process, name: &str) {
    let ended = Command::new("kill").args([&format!("-{name}"), &process.child.id().to_string()]).status().unwrap();
    assert!(ended.success(), "no {name} for evwindow");
}

/// One process, which is killed, as is its server.
#[track_caller]
fn check_killed(name: &'static str, metric: Metric) {
    let Some(mut trial) = Trial::new(name, metric) else { return };
    let rounds = if trial.is_long { 20 } else { 4 };
    let (mut ours, mut ours_under_way, mut theirs, mut theirs_under_way) = (0, 0, 0, 0);
    let mut process = trial.start("one", None);
    for round in 0..rounds {
        trial.feed();
        // evwindow, at a named point or at any moment.
        if round % 2 == 0 {
            kill(process);
            let point = POINTS[(round / 2) as usize % POINTS.len()];
            let mut faulty = trial.start("one", Some(&format!("{point}:1")));
            trial.feed();
            let deadline = Instant::now() + LIMIT;
            while faulty.child.try_wait().unwrap().is_none() {
                assert!(Instant::now() < deadline, "never came to {point}\n{}", said(&faulty));
                std::thread::sleep(Duration::from_millis(10));
            }
            ours += 2;
        } else {
            trial.feed();
            until("it writes points", &mut process, |process| times_logged(process, "merge points") > 0);
            std::thread::sleep(Duration::from_millis(trial.random.below(1000)));
            kill(process);
            ours += 1;
        }
        process = trial.start("one", None);
        // The server: with a request under way, which a stopped one leaves without an answer, or at any moment.
        if round % 2 == 0 {
            trial.feed();
            until("it writes points", &mut process, |process| times_logged(process, "merge points") > 0);
            service("stop");
            trial.feed();
            until("a request is under way", &mut process, |process| last_of_merge(process) == "points");
            theirs_under_way += 1;
            if round % 4 == 0 {
                // Sooner or later than the server.
                std::thread::sleep(Duration::from_millis(trial.random.below(300)));
                kill(process);
                process = trial.start("one", None);
                ours += 1;
                ours_under_way += 1;
            }
        } else {
            trial.feed();
            std::thread::sleep(Duration::from_millis(trial.random.below(1500)));
        }
        service("kill");
        service("start");
        theirs += 1;
    }
    let what_happened = format!(
        "{ours} kills of evwindow, {ours_under_way} with a request under way, {theirs} of the server, {theirs_under_way} with one"
    );
    trial.judge(process, &what_happened);
}

#[test]
fn points_equal_those_of_a_straight_run() {
    check_killed("points equal those of a straight run, whatever is killed", PLAIN);
}

#[test]
fn points_equal_those_of_a_straight_run_where_rows_are_revised() {
    check_killed("last revisions equal those of a straight run, whatever is killed", REVISED);
}

#[test]
fn points_equal_those_of_a_straight_run_where_rows_are_taken_back() {
    check_killed("rows that no longer hold are gone, whatever is killed", TAKEN_BACK);
}

/// Two processes, of which one is stopped until the other has its partitions, and has revised what it wrote.
#[test]
fn points_equal_those_of_a_straight_run_where_one_of_two_is_stopped() {
    let name = "points equal those of a straight run, where one of two processes is stopped";
    let Some(mut trial) = Trial::new(name, REVISED) else { return };
    let rounds = if trial.is_long { 10 } else { 2 };
    let mut under_way = 0;
    let mut one = trial.start("one", None);
    let mut two = trial.start("two", None);
    for round in 0..rounds {
        let before = [times_logged(&one, "merge points"), times_logged(&two, "merge points")];
        // Both have their share again.
        let deadline = Instant::now() + LIMIT;
        while times_logged(&one, "merge points") == before[0] || times_logged(&two, "merge points") == before[1] {
            assert!(Instant::now() < deadline, "one of them has nothing to do\n{}\n{}", said(&one), said(&two));
            trial.feed();
            assert_running(&mut one);
            assert_running(&mut two);
            std::thread::sleep(Duration::from_millis(500));
        }
        trial.feed();
        if round % 2 == 0 {
            // With a request under way: the server gets it, but nobody hears of it.
            service("stop");
            trial.feed();
            until("a request is under way", &mut two, |process| last_of_merge(process) == "points");
            signal(&two, "STOP");
            service("cont");
            under_way += 1;
        } else {
            std::thread::sleep(Duration::from_millis(trial.random.below(500)));
            signal(&two, "STOP");
        }
        // Late events of what was written last among them.
        trial.feed();
        until("it has taken the other's partitions over", &mut one, |_| trial.is_up_to_date());
        signal(&two, "CONT");
        std::thread::sleep(Duration::from_millis(trial.random.below(2000)));
    }
    kill(two);
    let what_happened = format!("{rounds} times one of two was stopped, {under_way} times with a request under way");
    trial.judge(one, &what_happened);
}
