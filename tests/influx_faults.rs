//! A group that writes to InfluxDB, while its processes and the server are killed: do the points equal those of one straight run?
//!
//! `scripts/test-faults` runs it with servers of its own; it says its seed, and `EVKIT_SEED` sets it. A topic gets slices of events;
//! between them evwindow is killed at named points and at any moment, and the server is killed at any moment and with a
//! request under way. At the end all windows have fired, and both buckets are compared: points, entries, roll-ups.

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
use std::process::{Child, Command, Stdio};
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

/// What is waited for comes within this time.
const LIMIT: Duration = Duration::from_secs(180);

/// Where evwindow is killed, beside any moment.
const POINTS: [&str; 4] = ["merge.in-points", "merge.after-points", "merge.after-send-offsets", "merge.in-commit"];

const MEASUREMENTS: [(&str, &str, &[&str]); 5] = [
    ("", "m", &["g"]),
    ("", "evkit.points.m", &["series"]),
    ("_rollups", "m.1h", &["g"]),
    ("_rollups", "m.1d", &["g"]),
    ("_rollups", "evkit.rollups.m", &["series"]),
];

/// evwindow under way, and where it tells what it does.
struct Process {
    child: Child,
    phases: PathBuf,
    stderr: PathBuf,
}

struct Trial {
    real: Real,
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
    fn start(&mut self, fault: Option<&str>) -> Process {
        self.started += 1;
        let file = |kind: &str| self.folder.path().join(format!("{}.{kind}", self.started));
        let (phases, stderr) = (file("phases"), file("stderr"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_evwindow"));
        let from = format!("kafka://{}/{}", self.kafka, self.topic);
        command.args(["--from", &from, "--group", &self.group, "--instance", "one", "--to", &self.real.to()]);
        command.args(["-t", "10s", "-b", "g", "-a", "count(*) AS n, sum(x) AS total, avg(x) AS mean", "--name", "m"]);
        command.args(["--idle-timeout", "none", "--idle-close", "none", "--checkpoint-interval", "1s"]);
        command.args(["--max-future", "none", "--watermark-delay", "0s", "--retry-for", "60s"]);
        command.env("INFLUX_TOKEN", &self.real.token).env("EVKIT_FAULT_LOG", &phases).current_dir(self.folder.path());
        match fault {
            Some(fault) => command.env("EVKIT_FAULT", fault),
            None => command.env_remove("EVKIT_FAULT"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
        Process { child: command.spawn().unwrap(), phases, stderr }
    }

    /// Adds a slice to the topic: events of all groups, in order of time in each partition.
    fn feed(&mut self) {
        let producer = producer(&self.kafka, &[]);
        for number in self.fed..self.fed + SLICE {
            let time = BEGIN + number * 10;
            let event = format!(
                "{{\"timestamp\":{time},\"g\":\"g{}\",\"x\":{}.25}}",
                self.random.below(7),
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
            "export INFLUX_TOKEN={}; evwindow --from kafka://{}/{} --until end --at-end drop -t 10s -b g --quiet --max-future none \
             --watermark-delay 0s --idle-timeout none --idle-close none \
             -a 'count(*) AS n, sum(x) AS total, avg(x) AS mean' --name m --to {}",
            other.token,
            self.kafka,
            self.topic,
            other.to()
        );
        support::bash(&script, b"").assert_quiet();
    }
}

impl Drop for Trial {
    /// A trial that fails leaves no stopped server behind.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
            let _ = Command::new(services).args(["cont", "influx"]).stdin(Stdio::null()).output();
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
fn until(what: &str, process: &mut Process, mut is_so: impl FnMut(&Process) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so(process) {
        let ended = process.child.try_wait().unwrap();
        assert!(ended.is_none(), "evwindow ended by itself, waiting until {what}: {ended:?}\n{}", said(process));
        assert!(Instant::now() < deadline, "never: {what}\n{}", said(process));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kill(mut process: Process) {
    process.child.kill().unwrap();
    process.child.wait().unwrap();
}

/// Does something to the server: `kill`, `start`, `stop`.
fn service(verb: &str) {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
    let output = Command::new(services).args([verb, "influx"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "services {verb} influx: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn points_equal_those_of_a_straight_run() {
    let test = "points equal those of a straight run, whatever is killed";
    let (Some(kafka), Ok(form)) = (brokers(test), std::env::var("EVKIT_FAULTS")) else {
        let _ = writeln!(std::io::stderr(), "LEFT OUT: '{test}' kills its servers; run it by scripts/test-faults");
        return;
    };
    let (Some(real), Some(other)) = (Real::of_environment(test), Real::of_environment(test)) else { return };
    let rounds = if form == "long" { 20 } else { 4 };
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64 % 1_000_000;
    let seed = std::env::var("EVKIT_SEED").map_or(moment, |seed| seed.parse().expect("EVKIT_SEED is a number"));
    let _ = writeln!(std::io::stderr(), "{test}: seed {seed}");
    let mut topics = Topics::new(&kafka);
    let topic = topics.create("points", PARTITIONS, &[]);
    let group = unique("points_group");
    ["partials", "state"].iter().for_each(|suffix| topics.adopt(&format!("{group}.{suffix}")));
    let folder = tempfile::tempdir().unwrap();
    let mut trial = Trial { real, kafka, topic, group, folder, started: 0, random: Random(seed), fed: 0 };
    let (mut ours, mut theirs, mut under_way) = (0, 0, 0);
    let mut process = trial.start(None);
    for round in 0..rounds {
        trial.feed();
        // evwindow, at a named point or at any moment.
        if round % 2 == 0 {
            ours += 1;
            kill(process);
            let point = POINTS[(round / 2) as usize % POINTS.len()];
            let mut faulty = trial.start(Some(&format!("{point}:1")));
            trial.feed();
            let deadline = Instant::now() + LIMIT;
            while faulty.child.try_wait().unwrap().is_none() {
                assert!(Instant::now() < deadline, "never came to {point}\n{}", said(&faulty));
                std::thread::sleep(Duration::from_millis(10));
            }
            ours += 1;
        } else {
            trial.feed();
            until("it writes points", &mut process, |process| times_logged(process, "merge points") > 0);
            std::thread::sleep(Duration::from_millis(trial.random.below(1000)));
            kill(process);
            ours += 1;
        }
        process = trial.start(None);
        // The server: with a request under way, which a stopped one leaves without an answer, or at any moment.
        if round % 2 == 0 {
            trial.feed();
            until("it writes points", &mut process, |process| times_logged(process, "merge points") > 0);
            service("stop");
            trial.feed();
            until("a request is under way", &mut process, |process| last_of_merge(process) == "points");
            under_way += 1;
        } else {
            trial.feed();
            std::thread::sleep(Duration::from_millis(trial.random.below(1500)));
        }
        service("kill");
        service("start");
        theirs += 1;
    }
    trial.close();
    trial.straight(&other);
    let of = |real: &Real| MEASUREMENTS.map(|(suffix, name, tags)| real.points(suffix, name, tags));
    let expected = of(&other);
    assert!(expected.iter().all(|points| !points.is_empty()), "{expected:?}");
    let count = |points: &[Vec<String>]| points.iter().map(Vec::len).collect::<Vec<_>>();
    let wanted = count(&expected);
    until("all points are there", &mut process, |_| count(&of(&trial.real)) == wanted);
    // Roll-ups come behind their points, and are written anew with each; an open window of the end fires no more.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut found = of(&trial.real);
    while found != expected && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        found = of(&trial.real);
    }
    for ((found, expected), (_, name, _)) in found.iter().zip(&expected).zip(MEASUREMENTS) {
        let differs = found.iter().zip(expected).find(|(found, expected)| found != expected);
        assert!(
            differs.is_none(),
            "'{name}' differs after {ours} kills of evwindow and {theirs} of the server: {differs:?}"
        );
    }
    let _ = writeln!(
        std::io::stderr(),
        "{ours} kills of evwindow, {theirs} of the server, {under_way} of these with a request under way: {wanted:?} points equal"
    );
    kill(process);
}
