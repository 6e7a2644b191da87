//! Exactly once, in spite of everything: `evwindow --group` on a real broker, while processes, broker and network fail.
//!
//! `scripts/test-faults` runs it with a broker of its own; each trial says its seed, and `EVKIT_SEED` sets it. Every trial ends with
//! the same question: do readers of committed rows, one that comes afterwards and one that read all along, see what one straight run over
//! the same events gives?

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fleet;
mod judge;
#[path = "../support/kafka.rs"]
mod kafka;
mod load;
mod proxy;
#[path = "../support/random.rs"]
mod random;
mod trial;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer};

use crate::kafka::{Committed, PATIENCE, Sent, Topics, open_transaction, producer, send, unique};
use crate::proxy::Proxy;
use crate::random::Random;
use crate::trial::{Bench, PARTITIONS, Setup, Trial, bench, long_bench, service, tell};

const SECOND: Duration = Duration::from_secs(1);

/// The named points. All of them are reached.
const POINTS: [&str; 9] = [
    "combine.after-produce",
    "combine.after-send-offsets",
    "combine.in-commit",
    "combine.after-commit",
    "merge.after-produce",
    "merge.after-send-offsets",
    "merge.in-commit",
    "merge.after-commit",
    "merge.in-checkpoint",
];

/// A session of a member of a group lasts so long without a sign of life.
const SESSION: Duration = Duration::from_secs(10);

/// Partitions count as idle after seconds, and are not closed.
const IDLE_SOON: [&str; 6] = ["--idle-timeout", "10s", "--idle-close", "none", "--checkpoint-interval", "1s"];

#[test]
fn nothing_goes_wrong() {
    let Some(bench) = bench("nothing_goes_wrong") else { return };
    let mut trial = Trial::new(&bench, "calm", Setup::default());
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    trial.pass(2 * SECOND);
    trial.conclude();
}

#[test]
fn killed_at_named_points() {
    let Some(bench) = bench("killed_at_named_points") else { return };
    let mut trial = Trial::new(&bench, "points", Setup::default());
    for round in 0..if bench.is_long { 3 } else { 1 } {
        for point in POINTS {
            let fault = format!("{point}:{}", 1 + round + trial.random.below(2));
            trial.fleet.start_with("one", Some(&fault));
            let (status, phases, said) = trial.fleet.wait("one", PATIENCE);
            assert_eq!(status.signal(), Some(libc::SIGKILL), "at {fault}: {status}\n{said}");
            trial.kills.count(&phases);
        }
    }
    trial.fleet.start("one");
    trial.conclude();
}

#[test]
fn killed_at_random_moments() {
    let Some(bench) = bench("killed_at_random_moments") else { return };
    let (kills, rate) = if bench.is_long { (50, 33_000) } else { (5, 5_000) };
    let mut trial = Trial::new(&bench, "moments", Setup { rate, ..Setup::default() });
    let instances = ["one", "two"];
    instances.into_iter().for_each(|instance| trial.fleet.start(instance));
    trial.until("rows come", |trial| trial.rows() > 0);
    for _ in 0..kills {
        let instance = instances[trial.random.below(2) as usize];
        // A process that has only just been started may also be killed, but not each time.
        if trial.random.below(4) > 0 {
            trial.fleet.wait_for_work(instance, PATIENCE);
        }
        let moment = trial.random.within(SECOND);
        trial.pass(moment);
        trial.kill(instance);
    }
    if bench.is_long {
        trial.until("two million events", |trial| trial.load.sent() >= 2_000_000);
        assert!(trial.kills.within_transaction * 5 >= trial.kills.all * 3, "{:?}", trial.kills);
    }
    trial.conclude();
}

#[test]
fn stopped_past_its_session() {
    let Some(bench) = bench("stopped_past_its_session") else { return };
    let mut trial = Trial::new(&bench, "stopped", Setup { rate: 3_000, ..Setup::default() });
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    trial.fleet.start("two");
    trial.fleet.wait_for_work("two", PATIENCE);
    trial.fleet.signal("one", libc::SIGSTOP);
    trial.pass(SESSION + 3 * SECOND);
    let rows = trial.rows();
    trial.until("'two' goes on alone", |trial| trial.rows() > rows);
    trial.fleet.signal("one", libc::SIGCONT);
    let commits = trial.fleet.count("one", "combine committed");
    trial.until("'one' is at work again", |trial| trial.fleet.count("one", "combine committed") > commits + 1);
    trial.conclude();
}

#[test]
fn its_name_was_taken() {
    let Some(bench) = bench("its_name_was_taken") else { return };
    let mut trial = Trial::new(&bench, "taken", Setup { rate: 3_000, ..Setup::default() });
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    trial.fleet.signal("one", libc::SIGSTOP);
    trial.fleet.replace("one", "stopped");
    let rows = trial.rows();
    trial.until("the new 'one' is at work", |trial| trial.rows() > rows);
    trial.fleet.signal("stopped", libc::SIGCONT);
    let (status, _, said) = trial.fleet.wait("stopped", PATIENCE);
    assert_eq!(status.code(), Some(5), "{status}\n{said}");
    trial.conclude();
}

#[test]
fn instances_come_and_go() {
    let Some(bench) = bench("instances_come_and_go") else { return };
    let mut trial = Trial::new(&bench, "scaled", Setup::default());
    for round in 0..if bench.is_long { 5 } else { 1 } {
        for wanted in [2, 3, 1, 2] {
            let running = trial.fleet.instances();
            let (names, stay) = (["one", "two", "three"], running.len().min(wanted));
            // Not always the same ones leave.
            let mut leaving = running.clone();
            leaving.rotate_left((round + wanted) % running.len().max(1));
            leaving.iter().skip(stay).for_each(|instance| trial.fleet.stop(instance));
            let there = trial.fleet.instances();
            let new = names.into_iter().filter(|name| !there.iter().any(|there| there == name));
            new.take(wanted - stay).for_each(|instance| trial.fleet.start(instance));
            trial.pass(3 * SECOND);
        }
    }
    trial.conclude();
}

#[test]
fn answers_to_commits_are_lost() {
    let Some(bench) = bench("answers_to_commits_are_lost") else { return };
    let proxy = Proxy::start(&bench.proxy.0, &bench.proxy.1);
    let mut trial = Trial::new(&bench, "uncertain", Setup { brokers: Some(bench.proxy.0.clone()), ..Setup::default() });
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    for lost in 1..=if bench.is_long { 20 } else { 3 } {
        let moment = trial.random.within(SECOND);
        trial.pass(moment);
        // An answer that never comes takes as long as the client's patience.
        let rule = if lost % 3 == 0 { &proxy.rules.swallow_answers } else { &proxy.rules.cut_answers };
        rule.store(1, Ordering::Relaxed);
        trial.until("an answer is lost", |_| proxy.rules.lost.load(Ordering::Relaxed) >= lost);
    }
    trial.conclude();
}

#[test]
fn the_broker_is_killed() {
    let Some(bench) = bench("the_broker_is_killed") else { return };
    let mut trial = Trial::new(&bench, "broker", Setup::default());
    trial.fleet.start("one");
    trial.fleet.start("two");
    trial.until("rows come", |trial| trial.rows() > 0);
    for _ in 0..if bench.is_long { 5 } else { 1 } {
        let moment = trial.random.within(2 * SECOND);
        trial.pass(moment);
        service("kill", "kafka");
        let moment = trial.random.within(2 * SECOND);
        trial.pass(moment);
        service("start", "kafka");
        let rows = trial.rows();
        trial.until("rows come again", |trial| trial.rows() > rows);
    }
    trial.conclude();
}

#[test]
fn the_broker_is_stopped_for_a_while() {
    let Some(bench) = long_bench("the_broker_is_stopped_for_a_while") else { return };
    let mut trial = Trial::new(&bench, "stuck", Setup::default());
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    service("stop", "kafka");
    trial.pass(20 * SECOND);
    service("cont", "kafka");
    let rows = trial.rows();
    trial.until("rows come again", |trial| trial.rows() > rows);
    trial.conclude();
}

#[test]
fn the_broker_is_away() {
    let Some(bench) = long_bench("the_broker_is_away") else { return };
    // With the usual bounds: silence while nobody can be asked is not idleness, however long it lasts.
    let setup = Setup { arguments: vec!["--checkpoint-interval", "1s"], rate: 1_000, ..Setup::default() };
    let mut trial = Trial::new(&bench, "away", setup);
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    service("kill", "kafka");
    let spent = trial.fleet.cpu("one");
    trial.pass(120 * SECOND);
    let spent = trial.fleet.cpu("one") - spent;
    assert!(spent < 12 * SECOND, "{spent:?} of work in two minutes without a broker");
    service("start", "kafka");
    let rows = trial.rows();
    trial.until("rows come again", |trial| trial.rows() > rows);
    trial.conclude();
}

#[test]
fn no_broker_is_there_at_the_beginning() {
    let Some(bench) = bench("no_broker_is_there_at_the_beginning") else { return };
    let mut setup = Setup::default();
    setup.arguments.extend(["--startup-timeout", "2s"]);
    let mut trial = Trial::new(&bench, "nobody", Setup { brokers: Some(bench.proxy.0.clone()), ..setup });
    let began = Instant::now();
    trial.fleet.start("one");
    let (status, _, said) = trial.fleet.wait("one", 30 * SECOND);
    assert_eq!(status.code(), Some(4), "{status}\n{said}");
    assert!(began.elapsed() >= 2 * SECOND && began.elapsed() < 10 * SECOND, "after {:?}\n{said}", began.elapsed());
    trial.abandon();

    // One that comes in time is waited for, without spinning.
    let away = if bench.is_long { 120 * SECOND } else { 4 * SECOND };
    let mut setup = Setup::default();
    setup.arguments.extend(["--startup-timeout", "300s"]);
    let mut trial = Trial::new(&bench, "late", Setup { brokers: Some(bench.proxy.0.clone()), ..setup });
    trial.fleet.start("one");
    trial.pass(away);
    let spent = trial.fleet.cpu("one");
    // All of it, were it to spin; some goes into the start.
    assert!(spent * 2 < away, "{spent:?} of work in {away:?} without a broker");
    let _proxy = Proxy::start(&bench.proxy.0, &bench.proxy.1);
    trial.until("rows come", |trial| trial.rows() > 0);
    trial.conclude();
}

#[test]
fn a_stranger_leaves_a_transaction_open() {
    let Some(bench) = bench("a_stranger_leaves_a_transaction_open") else { return };
    // A partition that can't be read to its end is not idle, however long it is silent.
    let mut trial = Trial::new(&bench, "stranger", Setup { arguments: IDLE_SOON.into(), ..Setup::default() });
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    let stranger = open_transaction(&bench.brokers, &unique("stranger"), 5 * PATIENCE);
    stranger.send(BaseRecord::<str, [u8]>::to(&trial.input).partition(3).payload(b"{}")).unwrap();
    stranger.flush(PATIENCE).unwrap();
    trial.until("it says what it waits for", |trial| trial.fleet.said("one").contains("transaction"));
    // What all partitions have come to may still be on its way; then nothing fires, though the partition is silent for long enough.
    trial.until("no window fires whose events can't all be seen yet", |trial| {
        let rows = trial.rows();
        trial.pass(11 * SECOND);
        trial.rows() == rows
    });
    let rows = trial.rows();
    stranger.abort_transaction(PATIENCE).unwrap();
    trial.until("rows come again", |trial| trial.rows() > rows);
    trial.conclude();
}

#[test]
fn records_that_are_no_events() {
    let Some(bench) = bench("records_that_are_no_events") else { return };
    let mut trial = Trial::new(&bench, "poison", Setup { keeps_rejects: true, ..Setup::default() });
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    poison(&bench, &trial.input);
    abort_a_range(&bench, &trial.input);
    // What is nothing at all is no reject, and neither is what was aborted.
    let each = u32::from(u16::try_from(PARTITIONS).unwrap());
    let expected = [("not json", each), ("[1,2]", each), ("//4=", each), ("xxxxxxxx", 1)];
    let expected: BTreeMap<String, u32> = expected.map(|(payload, count)| (payload.to_owned(), count)).into();
    trial.until("all rejects are kept", |trial| trial.rejects().values().sum::<u32>() >= expected.values().sum());
    trial.kill("one");
    trial.pass(SECOND);
    assert_eq!(trial.rejects(), expected, "each is kept once");
    trial.conclude();
}

#[test]
fn a_group_begins_anew() {
    let Some(bench) = bench("a_group_begins_anew") else { return };
    let mut trial = Trial::new(&bench, "reset", Setup::default());
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    trial.fleet.start_resetting("two");
    let (status, _, said) = trial.fleet.wait("two", PATIENCE);
    assert!(!status.success() && said.contains("it has members"), "a group at work is not reset: {status}: {said}");
    let rows = trial.rows();
    trial.until("the first goes on", |trial| trial.rows() > rows);
    trial.fleet.stop_all();
    // Its members count as there until their session is over.
    trial.until("the group has no members", |trial| trial.has_no_members());
    trial.reset("one");
    trial.until("rows come anew", |trial| trial.rows() > 0);
    trial.kill("one");
    trial.conclude();
}

/// Not JSON, ten megabytes, a tombstone, nothing at all: in every partition.
fn poison(bench: &Bench, topic: &str) {
    let producer = producer(&bench.brokers, &[("message.max.bytes", "12000000")]);
    let long = vec![b'x'; 10_000_000];
    for partition in 0..i32::try_from(PARTITIONS).unwrap() {
        let payloads: [Option<&[u8]>; 5] = [Some(b"not json"), None, Some(b""), Some(b"[1,2]"), Some(b"\xff\xfe")];
        for payload in payloads {
            send(&producer, topic, Sent { partition: Some(partition), key: None, payload, timestamp: None });
        }
    }
    send(&producer, topic, Sent { partition: Some(5), payload: Some(&long), ..Sent::default() });
    producer.flush(PATIENCE).unwrap();
}

/// Thousands of records in a row that are nobody's to see.
fn abort_a_range(bench: &Bench, topic: &str) {
    let aborting = producer(&bench.brokers, &[("transactional.id", &unique("aborting"))]);
    for _ in 0..3 {
        aborting.begin_transaction().unwrap();
        for number in 0..3_000 {
            let partition = Some(number % i32::try_from(PARTITIONS).unwrap());
            send(&aborting, topic, Sent { partition, payload: Some(b"{\"never\":\"seen\"}"), ..Sent::default() });
        }
        aborting.flush(PATIENCE).unwrap();
        aborting.abort_transaction(PATIENCE).unwrap();
    }
}

#[test]
fn a_partition_stays_empty() {
    let Some(bench) = bench("a_partition_stays_empty") else { return };
    let setup = Setup { partitions: PARTITIONS - 1, arguments: IDLE_SOON.into(), ..Setup::default() };
    let mut trial = Trial::new(&bench, "idle", setup);
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    trial.conclude();
}

#[test]
fn the_sink_is_slow() {
    let Some(bench) = long_bench("the_sink_is_slow") else { return };
    let proxy = Proxy::start(&bench.proxy.0, &bench.proxy.1);
    let mut trial =
        Trial::new(&bench, "slow", Setup { brokers: Some(bench.proxy.0.clone()), rate: 20_000, ..Setup::default() });
    trial.fleet.start("one");
    trial.until("rows come", |trial| trial.rows() > 0);
    let before = trial.fleet.memory("one", "VmRSS:");
    proxy.rules.produce_delay_ms.store(500, Ordering::Relaxed);
    trial.pass(60 * SECOND);
    let after = trial.fleet.memory("one", "VmHWM:");
    proxy.rules.produce_delay_ms.store(0, Ordering::Relaxed);
    tell(&format!("  memory before and at most: {before} and {after} KiB"));
    assert!(after < before + 300_000, "memory grew from {before} to {after} KiB");
    trial.conclude();
}

#[test]
fn nodes_of_three_are_killed() {
    let Some(mut bench) = long_bench("nodes_of_three_are_killed") else { return };
    let Some(three) = kafka::brokers_of("EVKIT_TEST_KAFKA3", "nodes_of_three_are_killed") else { return };
    bench.brokers = three;
    let mut trial = Trial::new(&bench, "three", Setup::default());
    trial.fleet.start("one");
    trial.fleet.start("two");
    trial.until("rows come", |trial| trial.rows() > 0);
    for node in ["kafka3.1", "kafka3.2", "kafka3.3"] {
        service("kill", node);
        trial.pass(5 * SECOND);
        service("start", node);
        let rows = trial.rows();
        trial.until("rows come again", |trial| trial.rows() > rows);
    }
    trial.conclude();
}

#[test]
fn a_backfill_is_killed() {
    let Some(bench) = bench("a_backfill_is_killed") else { return };
    let mut topics = Topics::new(&bench.brokers);
    let topic = topics.create("backfill", 6, &[]);
    let (folder, mut random) = (tempfile::tempdir().unwrap(), Random(bench.seed));
    let events = if bench.is_long { 2_000_000 } else { 150_000 };
    let file = folder.path().join("events.ndjson");
    let made = Command::new(env!("CARGO_BIN_EXE_evgen"))
        .args(["--events", &events.to_string(), "--seed", &bench.seed.to_string(), "--quiet", "--to"])
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    let mut evingest = Command::new(env!("CARGO_BIN_EXE_evingest"));
    evingest.arg(&file).args(["--to", &format!("kafka://{}/{topic}", bench.brokers), "--key", "user_id", "--quiet"]);
    evingest.args(["--transactional-id", &topic]).env("XDG_DATA_HOME", folder.path());
    let (wanted, mut kills) = (if bench.is_long { 20 } else { 4 }, 0);
    for _ in 0..wanted {
        let mut child = evingest.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(SECOND / 4 + random.within(SECOND));
        // It may have come to its end before.
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = evingest.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    // Of each user, the events stand in the order of the file; and all of them are there once.
    let mut by_user: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Committed::open(&bench.brokers, &topic).read_to_end(|seen| {
        by_user.entry(text(&seen.key.unwrap())).or_default().push(text(&seen.payload.unwrap()));
    });
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        expected.entry(text(load::user_of(line.as_bytes()))).or_default().push(line.to_owned());
    }
    assert!(by_user == expected, "{} users, not {}", by_user.len(), expected.len());
    assert!(kills > 0, "no run was killed");
    tell(&format!("backfill: exact, {events} events, {kills} runs killed"));
}
