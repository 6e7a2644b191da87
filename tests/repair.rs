//! `evwindow repair`: what a live run found too late is brought in, once. Afterwards the store holds what a run gives that waits for all
//! events, whatever ran beside it, however often it is repeated and wherever it is killed.
//!
//! A failure prints its seed; `EVKIT_SEED=…` runs it again.

#[path = "support/influx.rs"]
mod influx;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/kept.rs"]
mod kept;
#[path = "support/random.rs"]
mod random;
#[path = "support/repairs.rs"]
mod repairs;
#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::influx::Real;
use crate::kafka::{Topics, brokers, keys_of, producer, send_events};
use crate::kept::{Points, points};
use crate::random::Random;
use crate::repairs::{
    LIVE, REPAIR, SECONDS_AND_MINUTES, assert_points_whole, assert_whole, events, events_from_before, points_of_ten,
    run, seed,
};
use crate::support::{Running, bash_in};

#[test]
fn a_repair_gives_what_a_run_gives_that_waits_for_all_and_twice_is_once() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events(folder, seed);
    let inputs = "0.whole 1.whole 2.whole";
    run(folder, &format!("{LIVE} {inputs}"));
    let before = points(&folder.join("kept.db"));
    let would = run(folder, &format!("{REPAIR} --dry-run late.ndjson")).stderr;
    assert!(would.contains("; would repair ") && would.contains(" of 'revenue'"), "{would}");
    assert!(points(&folder.join("kept.db")) == before, "seed {seed}: a dry run changes nothing");
    let told = run(folder, &format!("{REPAIR} late.ndjson")).stderr;
    assert!(told.contains("; repaired ") && !told.contains("wait"), "{told}");
    assert_whole(folder, inputs, seed);
    let after = points(&folder.join("kept.db"));
    assert!(after != before, "seed {seed}: nothing was late");
    let told = run(folder, &format!("{REPAIR} late.ndjson")).stderr;
    assert!(told.contains("0 late events read, nothing to repair; ") && told.contains(" passed over"), "{told}");
    assert!(points(&folder.join("kept.db")) == after, "seed {seed}: twice is not once");
    // Under another name, compressed, it is the same file.
    run(folder, &format!("gzip -c late.ndjson > rotated.gz; {REPAIR} -q rotated.gz"));
    assert!(points(&folder.join("kept.db")) == after, "seed {seed}: a file is not known by what it holds");
    // Only some metrics found some of the events late.
    run(folder, "grep -q '^{\"late_for\":' late.ndjson; grep -qv '^{\"late_for\":' late.ndjson");
}

/// The live run goes on and the late file grows between repairs; each takes what is new.
#[test]
fn what_a_late_file_has_grown_by_is_brought_in_once() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events(folder, seed);
    for share in [30, 60, 80] {
        let script = format!(
            "for n in 0 1 2; do head -n $(($(wc -l < $n.ndjson) * {share} / 100)) $n.ndjson > $n; done; {LIVE} 0 1 2; {REPAIR} -q late.ndjson"
        );
        run(folder, &script);
    }
    run(folder, &format!("for n in 0 1 2; do cat $n.whole > $n; done; {LIVE} 0 1 2"));
    // A mark whose event has not come yet, and half a line, are left for the next repair.
    let late = std::fs::read_to_string(folder.join("late.ndjson")).unwrap();
    let mark = late.rfind("{\"late_for\":").unwrap();
    let behind_mark = mark + late[mark..].find('\n').unwrap() + 1;
    for end in [behind_mark, behind_mark + 20, late.len()] {
        std::fs::write(folder.join("part"), &late[..end]).unwrap();
        run(folder, &format!("{REPAIR} -q part"));
    }
    assert_whole(folder, "0.whole 1.whole 2.whole", seed);
}

#[test]
fn killed_repairs_are_gone_on_with() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    let mut random = Random(seed);
    events(folder, seed);
    run(folder, &format!("{LIVE} 0.whole 1.whole 2.whole"));
    let late = std::fs::read_to_string(folder.join("late.ndjson")).unwrap();
    let lines: Vec<&str> = late.split_inclusive('\n').collect();
    let repair = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evwindow"));
        let flags = ["repair", "--metrics", "metrics.toml", "--watermark-delay", "1s", "--to", "store:kept.db", "-q"];
        command.current_dir(folder).args(flags).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    // How long one takes from its start to its end, nearly all of which is before its one commit.
    let begun = Instant::now();
    run(folder, &format!("cp kept.db probe.db; {} late.ndjson", REPAIR.replace("kept.db", "probe.db")));
    let whole = begun.elapsed();
    for part in 1..=12 {
        std::fs::write(folder.join("part"), lines[..lines.len() * part / 12].concat()).unwrap();
        let mut child = repair("part").spawn().unwrap();
        std::thread::sleep(random.within(whole + Duration::from_millis(20)));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let output = repair("part").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_whole(folder, "0.whole 1.whole 2.whole", seed);
}

/// A killed live run leaves late events of which the store knows nothing; they come again, and are in the file once.
#[test]
fn late_events_of_killed_live_runs_are_kept_once() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    let mut random = Random(seed);
    events(folder, seed);
    let live = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evwindow"));
        command.current_dir(folder).args(LIVE.split(' ').skip(1)).args(["--threads", "1", "0", "1", "2"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    let begun = Instant::now();
    run(folder, &format!("{} all.ndjson", LIVE.replace("kept.db", "probe.db").replace("late.ndjson", "probe")));
    let whole = begun.elapsed();
    for part in 1..=12 {
        run(
            folder,
            &format!("for n in 0 1 2; do head -n $(($(wc -l < $n.ndjson) * {part} / 12)) $n.ndjson > $n; done"),
        );
        let mut child = live().spawn().unwrap();
        std::thread::sleep(random.within(whole));
        let _ = child.kill();
        child.wait().unwrap();
        // It leaves alone what the next run cuts off. There may be no store yet, or no file.
        bash_in(folder, &format!("{REPAIR} -q late.ndjson"), b"");
    }
    run(folder, "for n in 0 1 2; do cat $n.whole > $n; done");
    let output = live().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    run(folder, &format!("{REPAIR} -q late.ndjson"));
    assert_whole(folder, "0.whole 1.whole 2.whole", seed);
}

/// An event that the live run found late may be in time for a backfill: it would count in both.
#[test]
fn a_backfill_does_not_count_again_what_was_repaired() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    let inputs = "0.whole 1.whole 2.whole";
    run(folder, &format!("{LIVE} --archive A {inputs}; {REPAIR} -q late.ndjson"));
    let before = points(&folder.join("kept.db"));
    let backfill = "evwindow --metrics metrics.toml --watermark-delay 1s -q --to store:kept.db --from archive:A";
    let backfill = format!("{backfill} --start 2026-02-16T09:59:00Z --until 2026-02-16T10:01:00Z");
    let refused = bash_in(folder, &backfill, b"");
    let told = &refused.assert_code(2).stderr;
    assert!(told.contains("late events were brought into them") && told.contains("--archive DIR"), "{told}");
    assert!(points(&folder.join("kept.db")) == before, "seed {seed}: something was written");
    assert_whole(folder, inputs, seed);
    // Made anew with all events, a backfill is no danger: it is repaired in the same way again.
    run(folder, &format!("rm -r kept.db* A late.ndjson; {LIVE} --archive A {inputs}"));
    let repair = format!("{REPAIR} --archive A -q late.ndjson");
    run(folder, &format!("{repair}; {backfill}; {repair}"));
    assert_points_whole(folder, inputs, seed);
}

/// Points that retention dropped are not made again.
#[test]
fn what_retention_dropped_is_counted() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events(folder, seed);
    let retain = "EVKIT_STORE=kept.db evquery admin retention --hot 1d --cold 1d --now 2026-02-20T00:00:00Z";
    let told = run(folder, &format!("{LIVE} 0.whole; {retain}; {REPAIR} late.ndjson")).stderr;
    assert!(told.contains(" rows were not stored: retention has dropped the points of their time"), "{told}");
}

/// Metrics of whose points not enough is kept.
const RANKED: &str = r#"
[[metric]]
name = "best"
tumbling = "2s"
by = "event_type"
top = 2

[[metric]]
name = "users"
tumbling = "1s"
agg = "count(DISTINCT user_id) AS users, median(properties.amount) AS half"

[[metric]]
name = "revenue"
tumbling = "1s"
by = "properties.currency"
having = "count > 3"
agg = "count(*) AS count, sum(properties.amount) AS total"
"#;

#[test]
fn windows_are_made_anew_from_the_archive_where_points_do_not_hold_enough() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    std::fs::write(folder.join("metrics.toml"), RANKED).unwrap();
    let inputs = "0.whole 1.whole 2.whole";
    run(folder, &format!("{LIVE} --archive A {inputs}"));
    let refused = bash_in(folder, &format!("{REPAIR} late.ndjson"), b"");
    assert!(refused.assert_code(2).stderr.contains("--archive DIR makes the windows anew"), "{}", refused.stderr);
    let would = run(folder, &format!("{REPAIR} --archive A --dry-run late.ndjson")).stderr;
    assert!(would.contains("; would make ") && !would.contains("wait"), "{would}");
    let told = run(folder, &format!("{REPAIR} --archive A late.ndjson")).stderr;
    assert!(told.contains("; made ") && told.contains(" of 'best'"), "{told}");
    let after = points(&folder.join("kept.db"));
    run(folder, &format!("{REPAIR} --archive A -q late.ndjson"));
    assert!(points(&folder.join("kept.db")) == after, "seed {seed}: twice is not once");
    assert_points_whole(folder, inputs, seed);
}

/// Late events that the archive does not have, or has no longer, are no reason to make windows anew without them.
#[test]
fn windows_are_left_as_they_are_where_the_archive_lacks_events() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    run(folder, &format!("{LIVE} --archive A 0.whole 1.whole 2.whole"));
    let before = points(&folder.join("kept.db"));
    let foreign = r#"{"timestamp":"2026-02-16T10:00:03Z","event_type":"page_view","user_id":"nobody"}"#;
    let refused = bash_in(folder, &format!("echo '{foreign}' >> late.ndjson; {REPAIR} --archive A late.ndjson"), b"");
    assert!(refused.assert_code(1).stderr.contains(" are not in 'archive:A' yet"), "{}", refused.stderr);
    assert!(points(&folder.join("kept.db")) == before, "seed {seed}: something was written");
    // What lies beyond the archive's span is told; the archive begins at 09:50 and ends a second before 11:00.
    let early = r#"{"timestamp":"2026-02-16T09:00:00Z","event_type":"page_view"}"#;
    let ended = bash_in(folder, &format!("echo '{early}' > old; {REPAIR} --archive A old"), b"");
    assert!(ended.assert_code(0).stderr.contains("'archive:A' has not all of their events"), "{}", ended.stderr);
    let ahead = r#"{"timestamp":"2026-02-16T11:00:00Z","event_type":"page_view"}"#;
    let told = run(folder, &format!("echo '{ahead}' > new; {REPAIR} --archive A new")).stderr;
    assert!(told.contains(" wait until the live run has fired them and they are archived"), "{told}");
    assert!(points(&folder.join("kept.db")) == before, "seed {seed}: something was written");
    // One way of repair at a time: what is in a point could not be told.
    run(folder, &format!("{REPAIR} -q old"));
    let refused = bash_in(folder, &format!("{REPAIR} --archive A -q old"), b"");
    assert!(refused.assert_code(2).stderr.contains("it was repaired from its points before"), "{}", refused.stderr);
}

/// Retention comes to the archive's first hour after the repair has looked what the archive covers, and before it reads events.
#[test]
fn windows_that_retention_comes_to_during_a_repair_are_left_as_they_are() {
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    run(folder, &format!("{LIVE} --archive A 0.whole 1.whole 2.whole; mkfifo pipe"));
    let before = points(&folder.join("kept.db"));
    let repair = Running::start_in(folder, &format!("{REPAIR} --archive A pipe"));
    // It is opened for reading once it is known what the archive covers, and read to its end.
    let mut writing = std::fs::OpenOptions::new();
    writing.write(true).custom_flags(libc::O_NONBLOCK);
    let deadline = Instant::now() + Duration::from_secs(60);
    let met = loop {
        match writing.open(folder.join("pipe")) {
            Ok(met) => break met,
            Err(error) => assert!(Instant::now() < deadline, "nobody reads the pipe: {error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    // One that waits where the pipe is full.
    let mut late = writing.custom_flags(0).open(folder.join("pipe")).unwrap();
    drop(met);
    run(folder, "evquery admin retention --archive A --cold 30m --now 2026-02-16T10:30:00Z; test ! -e A/*/hour=09");
    late.write_all(&std::fs::read(folder.join("late.ndjson")).unwrap()).unwrap();
    drop(late);
    let ended = repair.finish();
    ended.assert_code(0);
    let told = ended.stderr;
    assert!(told.contains("; made ") && told.contains(" stay as they are: 'archive:A' has not all of"), "{told}");
    let after = points(&folder.join("kept.db"));
    let of_hour = |points: &Points, hour: &str| -> Vec<String> {
        let begins = |place: &str| place.rsplit(' ').nth(1).is_some_and(|start| start.contains(hour));
        let points = points.iter().filter(|(place, _)| begins(place));
        points.map(|(place, point)| format!("{place} {point:?}")).collect()
    };
    let (gone, kept) = ("T09:", "T10:");
    assert!(!of_hour(&before, gone).is_empty() && of_hour(&before, gone) == of_hour(&after, gone), "seed {seed}");
    assert!(of_hour(&before, kept) != of_hour(&after, kept), "seed {seed}: nothing was repaired");
    // What there is to do is the same for one that begins afterwards.
    assert_eq!(run(folder, &format!("{REPAIR} --archive A late.ndjson")).stderr, told);
}

#[test]
fn in_influxdb_windows_are_made_anew_from_the_archive() {
    let test = "in_influxdb_windows_are_made_anew_from_the_archive";
    let (Some(kept), Some(straight)) = (Real::of_environment(test), Real::of_environment(test)) else { return };
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    let inputs = "0.whole 1.whole 2.whole";
    let token = kept.surroundings();
    let query = "--metrics metrics.toml --watermark-delay";
    let live = format!("evwindow {query} 1s -q --to {} --late-to late.ndjson --archive A {inputs}", kept.to());
    let waits = format!("evwindow {query} 10m -q --to {} {inputs}", straight.to());
    run(folder, &format!("{token}{live}; {waits}"));
    let all = |real: &Real| -> Vec<Vec<String>> {
        let of = |(suffix, name, tags): (&str, &str, &[&str])| real.points(suffix, name, tags);
        let tags: [&[&str]; 4] = [&["currency"], &["event_type"], &["event_type"], &[]];
        let names = ["revenue", "types", "lasting", "minutes"];
        let points = names.iter().zip(tags).map(|(name, tags)| of(("", name, tags)));
        let hours = names.iter().zip(tags).map(|(name, tags)| of(("_rollups", &format!("{name}.1h"), tags)));
        points.chain(hours).collect()
    };
    let expected = all(&straight);
    assert!(expected.iter().all(|points| !points.is_empty()), "seed {seed}: {expected:?}");
    assert!(all(&kept) != expected, "seed {seed}: nothing was late");
    let refused = bash_in(folder, &format!("{token}evwindow repair {query} 1s --to {} late.ndjson", kept.to()), b"");
    assert!(refused.assert_code(2).stderr.contains("--archive DIR"), "{}", refused.stderr);
    for round in ["once", "twice"] {
        let repair = format!("evwindow repair {query} 1s --to {} --archive A -q late.ndjson", kept.to());
        run(folder, &format!("{token}{repair}"));
        assert!(all(&kept) == expected, "seed {seed}: repaired {round}, the bucket differs");
    }
    // What evquery reads beside the points has followed.
    let asked = |real: &Real| {
        let ask = format!(
            "{token}evquery revenue --from {} --window 1m --by currency --start 2026-02-16T09:00:00Z",
            real.to()
        );
        run(folder, &ask).stdout
    };
    assert_eq!(asked(&kept), asked(&straight), "seed {seed}");
}

/// A group that a late event keeps out of the top, and a window of which there was only a late one, follow in a bucket.
#[test]
fn in_influxdb_what_windows_made_anew_have_no_more_goes() {
    let test = "in_influxdb_what_windows_made_anew_have_no_more_goes";
    let (Some(kept), Some(straight)) = (Real::of_environment(test), Real::of_environment(test)) else { return };
    let (folder, seed) = (tempfile::tempdir().unwrap(), seed());
    let folder = folder.path();
    events_from_before(folder, seed);
    std::fs::write(folder.join("metrics.toml"), RANKED.replace("event_type", "user_id")).unwrap();
    // A minute of which the live run knows nothing.
    let alone =
        r#"{"timestamp":"2026-02-16T09:56:00Z","event_type":"alone","user_id":"u","properties":{"currency":"EUR"}}"#;
    let alone = format!("for n in 1 2 3 4; do echo '{alone}'; done");
    run(folder, &format!("{{ {alone}; cat 0.whole; }} > 0.straight; {alone} >> 0.whole"));
    let inputs = "0.whole 1.whole 2.whole";
    let query = "--metrics metrics.toml --watermark-delay";
    let script = format!(
        "export INFLUX_TOKEN={} kept={} straight={}; live=\"evwindow {query} 1s -q {inputs}\"
         ask() {{ for m in best users revenue; do evquery $m --window own --from $1 -f csv --start 2026-02-16T09:00:00Z; done; }}\n",
        kept.token,
        kept.to(),
        straight.to()
    );
    let run = |then: &str| run(folder, &format!("{script}{then}"));
    run(&format!(
        "$live --to $kept --late-to late.ndjson --archive A; evwindow {query} 10m -q --to $straight 0.straight 1.whole 2.whole; grep -c alone late.ndjson"
    ));
    let standing = |real: &Real, name: &str, tags: &[&str]| -> Vec<String> {
        // What a live run has taken back stands there as the empty text.
        let entries = real.points("", &format!("evkit.points.{name}"), &["series"]).into_iter();
        let place = |entry: String| {
            let words: Vec<&str> = entry.split(' ').collect();
            let [time, field, text, series] = words[..] else { panic!("'{entry}'") };
            (!text.is_empty()).then(|| format!("{time} {field} {series}"))
        };
        real.points("", name, tags).into_iter().chain(entries.filter_map(place)).collect()
    };
    let all = |real: &Real| {
        [("best", &["user_id"][..]), ("users", &[]), ("revenue", &["currency"])]
            .map(|(name, tags)| standing(real, name, tags))
    };
    let expected = all(&straight);
    assert!(all(&kept) != expected, "seed {seed}: nothing was late");
    let repair = format!("evwindow repair {query} 1s --to $kept --archive A late.ndjson");
    let told = run(&repair).stderr;
    assert!(told.contains(" points taken back that they have no more"), "{told}");
    for (kept, expected) in all(&kept).iter().zip(&expected) {
        let lines = |of: &[String], other: &[String]| of.iter().filter(|line| !other.contains(line)).cloned().collect();
        let (more, less): (Vec<String>, Vec<String>) = (lines(kept, expected), lines(expected, kept));
        assert!(more.is_empty() && less.is_empty(), "seed {seed}: too much {more:#?}, missing {less:#?}");
    }
    run("ask $straight > straight.csv; ask $kept | cmp - straight.csv");
    let told = run(&repair).stderr;
    assert!(!told.contains("taken back"), "{told}");
    assert!(all(&kept) == expected, "seed {seed}: repaired twice, the bucket differs");
    // Of the late events alone a backfill knows nothing, as a live run; of their minute it makes nothing, and leaves it as it is.
    run(&format!(
        "evwindow {query} 1s -q --from archive:A --start 2026-02-16T09:55:00Z --until 2026-02-16T10:00:00Z --to $kept
         ask $kept | grep -q 09:56"
    ));
}

/// What others have written to a file of late events stays there, and two don't write to it at once.
#[test]
fn a_late_file_is_cut_back_by_nobody_but_who_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = r#"
        at() { for time; do echo '{"timestamp":"2026-02-16T10:'$time'Z"}'; done; }
        live() { evwindow -t 1m --watermark-delay 0s -q --to store:$1.db --late-to $2 $1; }
        at 01:10 05:00 01:20 > a; at 02:10 06:00 02:20 > b
        live a late; live b late; at 09:00 03:20 >> a; live a late
        mkdir c; echo foreign > c/late; (cd c; cp ../a .; live ../a late); grep -qx foreign c/late; cut -c 29-33 late
        mv late late.1; at 04:20 >> a; live a late; cut -c 29-33 late
        : > late; at 04:30 >> a; live a late; cut -c 29-33 late"#;
    let ended = run(folder, script);
    assert_eq!(ended.stdout, "01:20\n02:20\n03:20\n04:20\n04:30\n");
    let told = ended.stderr;
    assert!(told.contains("/late' is shorter than the ") || told.contains("'late' is shorter than the "), "{told}");
    let anew = "evwindow -t 1m --watermark-delay 0s -q --to store:a.db --late-to late --reset a; cut -c 29-33 late";
    assert_eq!(run(folder, anew).stdout, "01:20\n03:20\n04:20\n04:30\n", "the same events come again");
    let locked = "flock late evwindow -t 1m --watermark-delay 0s -q --to store:a.db --late-to late a";
    let refused = bash_in(folder, locked, b"");
    assert!(refused.assert_code(5).stderr.contains("another process is writing to it"), "{}", refused.stderr);
}

/// A live run over CSV keeps late lines that say nothing without their header.
#[test]
fn late_lines_of_csv_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = r#"
        printf '%s\n' timestamp,n 2026-02-16T10:01:10Z,1 2026-02-16T10:05:00Z,2 2026-02-16T10:01:20Z,3 > a.csv
        evwindow -t 1m --watermark-delay 0s -q --to store:kept.db --late-to late a.csv
        test "$(cat late)" = 2026-02-16T10:01:20Z,3"#;
    run(folder, script);
    let repair = "evwindow repair -t 1m --watermark-delay 0s --to store:kept.db -q late";
    for _ in 0..2 {
        let refused = bash_in(folder, repair, b"");
        let told = &refused.assert_code(1).stderr;
        assert!(told.contains("cannot repair from 'late': 1 rejected line and no event, it seems to be CSV"), "{told}");
    }
    // Nothing of it was taken: what it holds later is read from its beginning.
    let told = run(
        folder,
        &format!("echo '{{\"timestamp\":\"2026-02-16T10:01:30Z\"}}' >> late; {}", repair.replace("-q", "")),
    );
    assert!(
        told.stderr.contains("1 late event read; repaired 1 window") && told.stderr.contains("1 line rejected"),
        "{}",
        told.stderr
    );
}

/// A line may be among the late ones before what its live run fired was committed.
#[test]
fn late_events_wait_until_their_windows_have_fired() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = r#"
        at() { for time; do echo '{"timestamp":"2026-02-16T10:'$time'Z"}'; done; }
        live() { evwindow -t 1m --watermark-delay 0s -q --to store:kept.db a; }
        repair() { evwindow repair -t 1m --watermark-delay 0s --to store:kept.db late; }
        at 01:10 02:10 > a; live; at 01:20 02:20 01:30 > late; repair; repair
        at 02:30 03:10 >> a; live; at 02:40 >> late; repair; repair"#;
    let told = run(folder, script).stderr;
    let expected = [
        "3 late events read; repaired 1 window of 'events'; for 1 window that the live run has not fired yet they wait: repair again later",
        "0 late events read, nothing to repair; 3 lines passed over, which an earlier repair took; \
         for 1 window that the live run has not fired yet they wait: repair again later",
        "1 late event read; repaired 1 window of 'events'; 3 lines passed over, which an earlier repair took",
        "0 late events read, nothing to repair; 4 lines passed over, which an earlier repair took",
    ];
    assert_eq!(told, expected.map(|line| format!("evwindow: {line}\n")).concat());
    let found: Vec<String> = points(&folder.join("kept.db")).into_values().map(|(text, _)| text).collect();
    assert_eq!(found, ["[Int(3)] None final", "[Int(4)] None final", "[Int(1)] None open"]);
}

/// Late events in a topic: a record's key says for which metrics it was late, where it was in time for others.
#[test]
fn topics_of_late_events_are_read_on() {
    let Some(brokers) = brokers("topics_of_late_events_are_read_on") else { return };
    let mut topics = Topics::new(&brokers);
    let (events, late) = (topics.create("repair-events", 2, &[]), topics.create("repair-late", 3, &[]));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("metrics.toml"), SECONDS_AND_MINUTES).unwrap();
    let producer = producer(&brokers, &[]);
    let send_at = |partition: i32, times: &[&str]| send_events(&producer, (&events, partition), times);
    let live = format!(
        "evwindow --from kafka://{brokers}/{events} --until end --metrics metrics.toml --watermark-delay 1s -q \
         --to store:kept.db --late-to kafka://{brokers}/{late}"
    );
    let repair = format!("{REPAIR} kafka://{brokers}/{late}");
    // Late for its ten seconds, and in time for its minute; then late for both.
    send_at(0, &["10:00:01", "10:00:31", "10:00:02", "10:03:00", "10:00:03"]);
    send_at(1, &["10:00:04", "10:03:00"]);
    run(folder, &live);
    assert_eq!(keys_of(&brokers, &late), [None, Some(br#"{"late_for":["seconds"]}"#.to_vec())]);
    let told = run(folder, &repair).stderr;
    assert!(told.contains("2 late events read; repaired 1 window of 'seconds', 1 window of 'minutes'\n"), "{told}");
    let counts = || points_of_ten(&folder.join("kept.db"));
    assert_eq!(counts(), ["[Int(5)] None final", "[Int(4)] None final"]);
    run(folder, &repair);
    assert_eq!(counts(), ["[Int(5)] None final", "[Int(4)] None final"], "twice is not once");
    send_at(0, &["10:00:05"]);
    run(folder, &format!("{live}; {repair}"));
    assert_eq!(counts(), ["[Int(6)] None final", "[Int(5)] None final"]);
}
