//! One trial: a load, processes of a group that window it, and the judge. What goes wrong in between is the trial's own.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::fleet::{Fleet, Phases};
use crate::judge::{self, LiveReader, METRICS, Tally, WATERMARK_DELAY};
use crate::kafka::{Committed, PATIENCE, Topics, admin, brokers, unique};
use crate::load::{Load, Plan};
use crate::random::Random;

/// Partitions of the input.
pub const PARTITIONS: u32 = 12;

/// What all trials share. Only one is held at a time: they kill the broker that the others need.
pub struct Bench {
    /// Where the broker is.
    pub brokers: String,
    /// Where a proxy must listen, and what it passes on to.
    pub proxy: (String, String),
    /// Whether time is no matter.
    pub is_long: bool,
    /// Where all chance comes from.
    pub seed: u64,
    _alone: MutexGuard<'static, ()>,
}

/// The bench, if trials are to be held: `scripts/test-faults` says so, and starts a broker that may be killed.
pub fn bench(trial: &str) -> Option<Bench> {
    bench_of(trial, false)
}

/// The bench, if time is no matter.
pub fn long_bench(trial: &str) -> Option<Bench> {
    bench_of(trial, true)
}

fn bench_of(trial: &str, is_only_long: bool) -> Option<Bench> {
    static ALONE: Mutex<()> = Mutex::new(());
    let brokers = brokers(trial)?;
    let Ok(form) = std::env::var("EVKIT_FAULTS") else {
        tell(&format!("LEFT OUT: '{trial}' kills its broker; run it by scripts/test-faults"));
        return None;
    };
    if is_only_long && form != "long" {
        return None;
    }
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let moment = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64 % 1_000_000;
    let seed =
        std::env::var("EVKIT_SEED").map_or_else(|_| moment(), |seed| seed.parse().expect("EVKIT_SEED is a number"));
    let place =
        |variable| std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is missing: scripts/services env"));
    let proxy = (place("EVKIT_TEST_KAFKA_PROXY"), place("EVKIT_TEST_KAFKA_BEHIND"));
    tell(&format!("{trial}: seed {seed}"));
    Some(Bench { brokers, proxy, is_long: form == "long", seed, _alone: alone })
}

/// Straight to stderr: of tests that pass, what is printed is not shown.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Does something to the broker: `kill`, `start`, `stop`, `cont`.
pub fn service(verb: &str, node: &str) {
    let output = try_service(verb, node).unwrap();
    assert!(output.status.success(), "services {verb} {node}: {}", String::from_utf8_lossy(&output.stderr));
}

fn try_service(verb: &str, node: &str) -> std::io::Result<Output> {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
    Command::new(services).args([verb, node]).stdin(Stdio::null()).output()
}

/// How a trial differs from the usual.
pub struct Setup {
    /// What the processes are told beyond the usual.
    pub arguments: Vec<&'static str>,
    /// The brokers that they are told; else the usual ones.
    pub brokers: Option<String>,
    /// Events a second.
    pub rate: u64,
    /// At most so many events.
    pub events: u64,
    /// Partitions that get events.
    pub partitions: u32,
    /// Whether rejects go to a topic.
    pub keeps_rejects: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        // A quiet partition is waited for, and time never runs on with the clock: both would depend on how fast the machine is.
        let arguments = vec!["--idle-timeout", "none", "--idle-close", "none", "--checkpoint-interval", "1s"];
        Setup { arguments, brokers: None, rate: 5_000, events: u64::MAX, partitions: PARTITIONS, keeps_rejects: false }
    }
}

/// A trial under way.
pub struct Trial {
    /// The processes.
    pub fleet: Fleet,
    /// The load.
    pub load: Load,
    /// Chance.
    pub random: Random,
    /// The topic that is windowed.
    pub input: String,
    /// Kills by what was being done.
    pub kills: Kills,
    name: &'static str,
    group: String,
    patience: Duration,
    brokers: String,
    output: String,
    rejects: Option<String>,
    reader: Option<LiveReader>,
    folder: PathBuf,
    began: Instant,
    topics: Topics,
}

/// Kills, counted.
#[derive(Debug, Default)]
pub struct Kills {
    /// All of them.
    pub all: u32,
    /// Those within a transaction of one of the stages.
    pub within_transaction: u32,
    by_phase: BTreeMap<String, u32>,
}

impl Kills {
    /// Counts one.
    pub fn count(&mut self, phases: &Phases) {
        self.all += 1;
        self.within_transaction += u32::from(phases.is_within_transaction());
        if phases.last.is_empty() {
            *self.by_phase.entry("before the first batch".to_owned()).or_default() += 1;
        }
        for (stage, phase) in &phases.last {
            *self.by_phase.entry(format!("{stage} {phase}")).or_default() += 1;
        }
    }
}

impl Trial {
    /// Makes topics and begins the load; no process runs yet.
    pub fn new(bench: &Bench, name: &'static str, setup: Setup) -> Trial {
        let mut topics = Topics::new(&bench.brokers);
        let input = topics.create("events", i32::try_from(PARTITIONS).unwrap(), &[]);
        let output = topics.create("rows", 6, &[]);
        let group = unique(name);
        for internal in ["partials", "state"] {
            topics.adopt(&format!("{group}.{internal}"));
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{group}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("metrics.toml"), METRICS).unwrap();
        let at = setup.brokers.as_deref().unwrap_or(&bench.brokers);
        let mut arguments: Vec<String> =
            ["--metrics", "metrics.toml", "--watermark-delay", WATERMARK_DELAY].map(String::from).into();
        arguments.extend([
            "--from".to_owned(),
            format!("kafka://{at}/{input}"),
            "--to".to_owned(),
            format!("kafka://{at}/{output}"),
        ]);
        arguments.extend(["--group".to_owned(), group.clone()]);
        arguments.extend(setup.arguments.iter().map(|argument| (*argument).to_owned()));
        let rejects = setup.keeps_rejects.then(|| topics.create("rejects", 3, &[]));
        if let Some(rejects) = &rejects {
            arguments.extend(["--rejects-to".to_owned(), format!("kafka://{at}/{rejects}")]);
        }
        let plan = Plan { seed: bench.seed, events: setup.events, rate: setup.rate, partitions: setup.partitions };
        Trial {
            fleet: Fleet::new(&folder, arguments),
            load: Load::start(&bench.brokers, &input, plan),
            random: Random(bench.seed ^ 0x5eed),
            reader: Some(LiveReader::start(&bench.brokers, &output)),
            patience: Duration::from_secs(if bench.is_long { 300 } else { 90 }),
            kills: Kills::default(),
            brokers: bench.brokers.clone(),
            began: Instant::now(),
            topics,
            name,
            group,
            input,
            output,
            rejects,
            folder,
        }
    }

    /// Number of rows that are committed so far.
    pub fn rows(&self) -> u64 {
        self.reader.as_ref().map_or(0, LiveReader::rows)
    }

    /// What stands in the topic of rejects: how often each payload, in the first bytes that tell it.
    pub fn rejects(&self) -> BTreeMap<String, u32> {
        let mut payloads = BTreeMap::new();
        let topic = self.rejects.as_deref().expect("the trial keeps rejects");
        Committed::open(&self.brokers, topic).read_to_stable_end(|seen| {
            let record: serde_json::Value = serde_json::from_slice(&seen.payload.unwrap()).unwrap();
            let payload = record.get("payload").or_else(|| record.get("payload_base64")).unwrap();
            let told: String = payload.as_str().unwrap().chars().take(8).collect();
            *payloads.entry(told).or_default() += 1;
        });
        payloads
    }

    /// Whether the brokers take nobody for a member of the group any more, in neither of its stages.
    pub fn has_no_members(&self) -> bool {
        let admin = admin(&self.brokers);
        [self.group.clone(), format!("{}.merge", self.group)].iter().all(|group| {
            let found = admin.inner().fetch_group_list(Some(group), PATIENCE);
            found.is_ok_and(|found| matches!(found.groups(), [group] if group.members().is_empty()))
        })
    }

    /// All have left; the next that starts lets the group forget all that it did, and writes to a topic of its own.
    pub fn reset(&mut self, instance: &str) {
        assert!(self.fleet.instances().is_empty(), "a group that is at work is not reset");
        self.reader.take().map(LiveReader::finish);
        let output = self.topics.create("rows", 6, &[]);
        self.fleet.replace_argument(&self.output, &output);
        self.output = output;
        self.reader = Some(LiveReader::start(&self.brokers, &self.output));
        self.fleet.start_resetting(instance);
    }

    /// Lets time pass in which nobody may end.
    pub fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.fleet.check();
            std::thread::sleep(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(20)));
        }
    }

    /// Lets time pass until `is_so`.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Trial) -> bool) {
        let deadline = Instant::now() + self.patience;
        while !is_so(self) {
            self.fleet.check();
            assert!(Instant::now() < deadline, "{}: not within {:?}: {what}", self.name, self.patience);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills an instance, counts what it was doing, and starts it again.
    pub fn kill(&mut self, instance: &str) {
        let phases = self.fleet.kill(instance);
        self.kills.count(&phases);
        self.fleet.start(instance);
    }

    /// Ends the load, waits for all rows, and compares: what a reader sees that comes afterwards, and what one saw that read all along,
    /// must be what a straight run gives.
    pub fn conclude(mut self) {
        let mut laps = vec![self.began.elapsed()];
        self.load.finish();
        let files = self.load.dump(&self.folder);
        let expected = judge::straight(&self.folder, &files);
        laps.push(self.began.elapsed());
        self.wait_for(&expected);
        laps.push(self.began.elapsed());
        self.fleet.stop_all();
        laps.push(self.began.elapsed());
        let after = judge::committed(&self.brokers, &self.output);
        assert!(after.is_equal(&expected), "{}: afterwards\n{}", self.name, after.differences(&expected));
        let along = self.reader.take().map(LiveReader::finish).unwrap_or_default();
        assert!(along.is_equal(&expected), "{}: all along\n{}", self.name, along.differences(&expected));
        self.report(&expected, &laps);
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    /// Ends without a question: nobody has windowed anything.
    pub fn abandon(self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    fn wait_for(&mut self, expected: &Tally) {
        let deadline = Instant::now() + self.patience;
        while !self.reader.as_ref().is_some_and(|reader| reader.has_all(expected)) {
            self.fleet.check();
            if Instant::now() > deadline {
                let seen = judge::committed(&self.brokers, &self.output);
                let said: Vec<String> =
                    self.fleet.instances().iter().map(|one| format!("{one}: {}", self.fleet.said(one))).collect();
                panic!(
                    "{}: not all within {:?}\n{}\n{}",
                    self.name,
                    self.patience,
                    seen.differences(expected),
                    said.join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn report(&self, expected: &Tally, laps: &[Duration]) {
        let (events, rows, seconds) = (self.load.sent(), expected.rows(), self.began.elapsed().as_secs_f64());
        let laps: Vec<String> = laps.iter().map(|lap| format!("{:.1}", lap.as_secs_f64())).collect();
        tell(&format!(
            "{}: exact, {events} events, {rows} rows, {seconds:.1} s (trouble, straight run, all rows, all left: {})",
            self.name,
            laps.join(", ")
        ));
        if self.kills.all > 0 {
            let Kills { all, within_transaction, by_phase } = &self.kills;
            tell(&format!("  {all} kills, {within_transaction} within a transaction; the last phase of each stage:"));
            by_phase.iter().for_each(|(phase, count)| tell(&format!("  {count:>4} {phase}")));
        }
    }
}

impl Drop for Trial {
    /// A trial that fails leaves the brokers to the next one as it found them: at work.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nothing happens to those that run, and to those that are not there.
            ["kafka", "kafka3"].iter().for_each(|service| drop(try_service("start", service)));
            tell(&format!("{}: logs and files are kept in '{}'", self.name, self.folder.display()));
        }
    }
}
