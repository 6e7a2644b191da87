//! Late events beside what else goes on: kept by a group, by a run that is killed where it commits, brought in while others are, and
//! while the live run may still revise their windows.
//!
//! A failure prints its seed; `EVKIT_SEED=…` runs it again.

#[path = "support/influx.rs"]
mod influx;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/kept.rs"]
mod kept;
#[path = "support/repairs.rs"]
mod repairs;
#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Instant;

use crate::influx::Real;
use crate::kafka::{Committed, PATIENCE, Topics, brokers, keys_of, producer, send_events, unique};
use crate::kept::points;
use crate::repairs::{
    LIVE, REPAIR, SECONDS_AND_MINUTES, assert_points_whole, assert_whole, events, events_from_before, points_of_ten,
    run, seed,
};
use crate::support::{Running, bash_in};

/// What a group kept in a topic, in its transactions, is brought into stores: into points, and by an archive.
#[test]
fn late_events_of_a_group_are_brought_in_once() {
    let Some(brokers) = brokers("late_events_of_a_group_are_brought_in_once") else { return };
    let mut topics = Topics::new(&brokers);
    let (events, rows) = (topics.create("late-events", 2, &[]), topics.create("late-rows", 1, &[]));
    let (late, group) = (topics.create("late", 2, &[]), unique("late-group"));
    topics.adopt(&format!("{group}.partials"));
    topics.adopt(&format!("{group}.state"));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("metrics.toml"), SECONDS_AND_MINUTES).unwrap();
    let producer = producer(&brokers, &[]);
    let send_at = |partition: i32, times: &[&str]| send_events(&producer, (&events, partition), times);
    let query = format!("--from kafka://{brokers}/{events} --metrics metrics.toml --watermark-delay 1s -q");
    let of_group = format!(
        "exec evwindow {query} --group {group} --instance one --to kafka://{brokers}/{rows} \
         --late-to kafka://{brokers}/{late}"
    );
    // Runs the group until it has committed so many late events.
    let group_until = |count: usize| {
        let running = Running::start_in(folder, &of_group);
        let (mut reader, mut seen) = (Committed::open(&brokers, &late), 0);
        let deadline = Instant::now() + PATIENCE;
        while seen < count {
            seen += usize::from(reader.poll(PATIENCE).is_some());
            assert!(Instant::now() < deadline, "{seen} late events of {count} came");
        }
        running.signal(libc::SIGTERM);
        running.finish().assert_code(143);
    };
    let live = format!("evwindow {query} --until end --archive A --to store:kept.db");
    let counts = |store: &str| points_of_ten(&folder.join(store));
    // Late for its ten seconds, and in time for its minute; then late for both.
    send_at(0, &["09:50:00", "10:00:01", "10:00:31", "10:00:02", "10:03:00", "10:00:03"]);
    send_at(1, &["09:50:00", "10:00:04", "10:03:00"]);
    // Killed before it has committed: what is in the topic by then is not there for readers of committed records.
    bash_in(folder, &format!("EVKIT_FAULT=combine.after-produce:1 {of_group}"), b"").assert_code(137);
    group_until(2);
    assert_eq!(keys_of(&brokers, &late), [None, Some(br#"{"late_for":["seconds"]}"#.to_vec())]);
    run(folder, &format!("{live}; cp kept.db anew.db"));
    let repair = format!("{REPAIR} kafka://{brokers}/{late}");
    let anew = format!("{} --archive A kafka://{brokers}/{late}", REPAIR.replace("kept.db", "anew.db"));
    let told = run(folder, &repair).stderr;
    assert!(told.contains("2 late events read; repaired 1 window of 'seconds', 1 window of 'minutes'\n"), "{told}");
    let told = run(folder, &anew).stderr;
    assert!(told.contains("2 late events read; made 1 window of 'seconds', 1 window of 'minutes' anew\n"), "{told}");
    let expected = ["[Int(5)] None final", "[Int(4)] None final"];
    assert_eq!(
        (counts("kept.db"), counts("anew.db")),
        (expected.map(Into::into).into(), expected.map(Into::into).into())
    );
    let told = run(folder, &repair).stderr;
    // What stands in a key is a line, too.
    assert!(told.contains("0 late events read, nothing to repair; 3 lines passed over"), "{told}");
    run(folder, &anew);
    assert_eq!(counts("kept.db"), expected, "twice is not once");
    assert_eq!(counts("anew.db"), expected, "twice is not once");
    // The group goes on, and so do the repairs.
    send_at(0, &["10:00:05"]);
    group_until(3);
    let told = run(folder, &format!("{live}; {repair}")).stderr;
    assert!(told.contains("1 late event read; repaired 1 window of 'seconds', 1 window of 'minutes'"), "{told}");
    run(folder, &anew);
    let expected = ["[Int(6)] None final", "[Int(5)] None final"];
    assert_eq!(counts("kept.db"), expected);
    assert_eq!(counts("anew.db"), expected);
}

/// While a repair from an archive reads its late events of the pipe `p`, runs commands that write the same: each is refused. Then lets
/// it have them.
#[track_caller]
fn check_beside(folder: &Path, surroundings: &str, repair: &str, beside: &[String], said: &str) {
    let beside: Vec<String> = beside.iter().map(|command| format!("{command} && echo 0 || echo $?")).collect();
    // The pipe is open for writing once the repair reads it, and by then it has its locks.
    let script = format!(
        "{surroundings}mkfifo p; {repair} --archive A -q p & repair=$!
         exec 3> p
         {}
         cat late.ndjson >&3; exec 3>&-; wait $repair",
        beside.join("\n")
    );
    let ended = run(folder, &script);
    assert_eq!(ended.stdout, "5\n".repeat(beside.len()), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches(said).count(), beside.len(), "{}", ended.stderr);
}

#[test]
fn who_repairs_a_store_is_alone() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    let inputs = "0.whole 1.whole 2.whole";
    run(folder, &format!("{LIVE} --archive A {inputs}"));
    let span = "--start 2026-02-16T10:00:00Z --until 2026-02-16T10:00:10Z";
    let beside = [
        format!("{REPAIR} late.ndjson"),
        format!("{REPAIR} --archive A late.ndjson"),
        format!("evwindow --metrics metrics.toml --watermark-delay 1s -q --to store:kept.db --from archive:A {span}"),
    ];
    check_beside(folder, "", REPAIR, &beside, "another backfill or repair is writing it");
    assert_points_whole(folder, inputs, seed);
    // Nothing is left of the locks, and the live run was free to go on all the time.
    run(folder, &format!("{LIVE} {inputs}; {REPAIR} --archive A -q late.ndjson"));
    assert_points_whole(folder, inputs, seed);
}

#[test]
fn who_repairs_a_bucket_is_alone() {
    let Some(bucket) = Real::of_environment("who_repairs_a_bucket_is_alone") else { return };
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    let to = bucket.to();
    let query = format!("--metrics metrics.toml --watermark-delay 1s --to {to}");
    let live = format!("evwindow {query} -q --late-to late.ndjson --archive A 0.whole 1.whole 2.whole");
    run(folder, &format!("{}{live}", bucket.surroundings()));
    let repair = format!("evwindow repair {query}");
    let span = "--start 2026-02-16T10:00:00Z --until 2026-02-16T10:00:10Z";
    let beside = [format!("{repair} --archive A late.ndjson"), format!("evwindow {query} -q --from archive:A {span}")];
    check_beside(folder, &bucket.surroundings(), &repair, &beside, "another backfill does");
}

/// Killed wherever it commits, the live run has in its file what its commit counts on, and cuts off what no commit counts on.
#[test]
fn a_commit_counts_on_late_events_that_are_in_their_file() {
    let seed = seed();
    for point in ["before-commit", "after-commit"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        events(folder, seed);
        let mut killed = 0;
        for part in 1..=5 {
            let share = format!("head -n $(($(wc -l < $n.ndjson) * {part} / 5)) $n.ndjson > $n");
            run(folder, &format!("for n in 0 1 2; do {share}; done"));
            for commit in 1.. {
                let live = format!("EVKIT_FAULT=keep.{point}:{commit} exec {LIVE} 0 1 2");
                let ended = bash_in(folder, &live, b"");
                assert!(!ended.stderr.contains(" is shorter than "), "seed {seed}, {point}: {}", ended.stderr);
                // Only what is committed is brought in.
                bash_in(folder, &format!("[ ! -e kept.db ] || {REPAIR} -q late.ndjson"), b"");
                if ended.code != 137 {
                    ended.assert_quiet();
                    break;
                }
                killed += 1;
            }
        }
        assert!(killed >= 5, "seed {seed}: only {killed} runs were killed {point}");
        run(folder, &format!("for n in 0 1 2; do cat $n.whole > $n; done; {LIVE} 0 1 2; {REPAIR} -q late.ndjson"));
        assert_whole(folder, "0.whole 1.whole 2.whole", seed);
    }
}

/// What the live run may still revise it would write without late events: such windows wait, however far the archive has come.
#[test]
fn windows_that_may_be_revised_wait_for_a_repair_from_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let metrics = r#"
        [[metric]]
        name = "seconds"
        tumbling = "10s"
        [[metric]]
        name = "lasting"
        tumbling = "10s"
        allowed-lateness = "30s"
    "#;
    std::fs::write(folder.join("metrics.toml"), metrics).unwrap();
    // Ten seconds after ten o'clock are late for both; those of 01:35 for the first one, and within the lateness of the other.
    let script = format!(
        r#"at() {{ for time; do echo '{{"timestamp":"2026-02-16T'$time'Z"}}'; done; }}
        at 09:50:00 10:00:05 10:01:31 10:02:01 10:00:06 10:01:35 > a
        {{ cat a; at 10:01:36 11:00:00; }} > whole
        {LIVE} a; cat late.ndjson
        evwindow --metrics metrics.toml --watermark-delay 1s -q --archive A whole > rows
        {REPAIR} --archive A late.ndjson
        cp whole a; {LIVE} a; {REPAIR} --archive A late.ndjson"#
    );
    let ended = run(folder, &script);
    let late = r#"{"timestamp":"2026-02-16T10:00:06Z"}"#;
    let marked = "{\"late_for\":[\"seconds\"]}\n{\"timestamp\":\"2026-02-16T10:01:35Z\"}";
    assert_eq!(ended.stdout, format!("{late}\n{marked}\n"));
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        told[0].contains("2 late events read; made 1 window of 'seconds', 1 window of 'lasting' anew; 1 window wait"),
        "{told:?}"
    );
    assert!(
        told[1].ends_with("3 late events read; made 2 windows of 'seconds', 1 window of 'lasting' anew"),
        "{told:?}"
    );
    assert_points_whole(folder, "whole", 0);
}

/// Some of what the live run found late may be in time for a backfill, and would count twice.
#[test]
fn what_a_backfill_made_in_place_of_a_live_run_is_repaired_from_the_archive() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    let inputs = "0.whole 1.whole 2.whole";
    let backfill = "evwindow --metrics metrics.toml --watermark-delay 1s -q --to store:kept.db --from archive:A \
         --start 2026-02-16T09:59:00Z --until 2026-02-16T10:01:00Z";
    run(folder, &format!("{LIVE} --archive A {inputs}; {backfill}"));
    let before = points(&folder.join("kept.db"));
    let refused = bash_in(folder, &format!("{REPAIR} late.ndjson"), b"");
    let told = &refused.assert_code(2).stderr;
    assert!(told.contains("made anew from an archive before") && told.contains("give --archive DIR"), "{told}");
    assert!(points(&folder.join("kept.db")) == before, "seed {seed}: something was written");
    run(folder, &format!("{backfill}; {LIVE} {inputs}; {REPAIR} --archive A -q late.ndjson"));
    assert_points_whole(folder, inputs, seed);
}

#[test]
fn what_a_backfill_made_before_a_live_run_is_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        at() { for time; do echo '{"timestamp":"2026-02-16T'$time'Z"}'; done; }
        keep() { evwindow -t 1m --watermark-delay 0s -q --to store:s.db "$@"; }
        at 09:50:00 10:01:10 10:03:00 > old; evwindow -t 1m -q --archive A old > rows
        keep --from archive:A --start 2026-02-16T10:00:00Z --until 2026-02-16T10:02:00Z
        at 10:05:10 10:06:10 10:05:20 10:07:10 > new; keep --late-to late new
        evwindow repair -t 1m --watermark-delay 0s -q --to store:s.db late"#;
    run(folder.path(), script);
    let found: Vec<String> = points(&folder.path().join("s.db")).into_values().map(|(text, _)| text).collect();
    assert_eq!(found, ["[Int(1)] None final", "[Int(2)] None final", "[Int(1)] None final", "[Int(1)] None open"]);
}
