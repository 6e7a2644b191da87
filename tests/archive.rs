//! The archive as a user meets it: written beside a run, read back, windows made anew from it, and nothing twice whoever is killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/kafka.rs"]
mod kafka;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evkit::archive::manifest::Manifest;
use evkit::archive::reader::{ArchiveSource, Wanted};
use evkit::generate::random::Random;
use evkit::partition::PartitionId;
use evkit::source::clock::SystemClock;
use evkit::source::{Delivered, Polled, Source};
use evkit::time::{Clock, Timestamp};

use crate::kafka::{PATIENCE, Topics, brokers, unique};
use crate::support::{Ended, Running, bash_in};

/// Three partitions of events that are out of order, late and cross the hour.
const EVENTS: &str =
    "evgen -d 24s --start 2026-02-16T09:59:50Z --seed 3 --users 300 --out-of-order 2s:20% --late 6s:2% -q > all.ndjson
     for n in 0 1 2; do awk -v n=$n 'NR % 3 == n' all.ndjson > $n.ndjson; done\n";

const QUERY: &str = "evwindow -t 1s -b event_type,properties.country --watermark-delay 1s \
     -a 'count(*) AS n, sum(properties.amount) AS total, count(DISTINCT user_id) AS users, max(user_id) AS last'";

const START: &str = "2026-02-16T09:59:55Z";
const UNTIL: &str = "2026-02-16T10:00:06Z";

#[track_caller]
fn run(place: &Path, script: &str) -> Ended {
    let ended = bash_in(place, script, b"");
    ended.assert_quiet();
    ended
}

/// All lines that an archive holds, in order; those of a partition stand in the order of their offsets.
fn archived(folder: &Path) -> Vec<String> {
    let range = (Timestamp::MIN, Timestamp::MAX);
    let wanted = Wanted { range, columns: None, time_field: "timestamp".into() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut source = ArchiveSource::open(folder, &wanted, &clock).unwrap();
    let mut lines = Vec::new();
    for partition in (0..source.partitions() as u32).map(PartitionId) {
        loop {
            match source.poll(partition).unwrap() {
                Polled::Deferred(deferred) => match deferred.read().unwrap() {
                    Delivered::Block(block) => {
                        lines.extend(String::from_utf8(block.bytes).unwrap().lines().map(str::to_owned));
                    }
                    Delivered::Batch(_) => panic!("lines were asked for"),
                },
                Polled::End => break,
                other => panic!("{other:?}"),
            }
        }
    }
    lines
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn lines_of(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The last revision of each window and group within the span, without its number.
fn last_rows(rows: &str) -> BTreeMap<String, String> {
    let mut last = BTreeMap::new();
    for row in rows.lines() {
        let mut row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(row).unwrap();
        let is_within = row["window_start"].as_str().unwrap() >= START.trim_end_matches('Z')
            && row["window_end"].as_str().unwrap() <= &*UNTIL.replace('Z', ".000Z");
        row.remove("revision");
        row.remove("retracted");
        if is_within {
            let key = ["window_start", "window_end", "event_type", "country"].map(|key| row[key].to_string());
            last.insert(key.join(" "), serde_json::Value::Object(row).to_string());
        }
    }
    last
}

#[test]
fn windows_made_anew_equal_those_of_the_live_run() {
    for lateness in ["0s", "4s"] {
        let place = tempfile::tempdir().unwrap();
        let live = run(
            place.path(),
            &format!(
                "{EVENTS}{QUERY} --allowed-lateness {lateness} ?.ndjson --archive A --archive-interval 50ms --stats json 2> s"
            ),
        );
        let expected = last_rows(&live.stdout);
        assert!(expected.len() > 50, "{} rows", expected.len());
        let stats = std::fs::read_to_string(place.path().join("s")).unwrap();
        assert!(!stats.contains("\"late\":0"), "the live run must have had late events: {stats}");
        for columns in [true, false] {
            // A file of late events needs the lines, so columns are not read then; the rows are the same.
            let late = if columns { "" } else { "--late-to late.ndjson" };
            let again = run(
                place.path(),
                &format!(
                    "{QUERY} -q --allowed-lateness {lateness} --from archive:A --start {START} --until {UNTIL} {late}"
                ),
            );
            assert!(last_rows(&again.stdout) == expected, "lateness {lateness}: other rows from the archive");
            assert_eq!(last_rows(&again.stdout).len(), expected.len());
        }
    }
}

#[test]
fn only_columns_are_read_where_they_suffice_and_the_rows_are_the_same() {
    let place = tempfile::tempdir().unwrap();
    let query = "evwindow -t 1s -b event_type --watermark-delay 1s -q -a 'count(*) AS n, approx_count_distinct(user_id) AS users'";
    let live = run(place.path(), &format!("{EVENTS}{query} ?.ndjson --archive A"));
    let none = run(place.path(), &format!("{query} --from archive:A --start 2026-02-17 --until 2026-02-18"));
    assert_eq!(none.stdout, "", "a span without events");
    let whole = run(place.path(), &format!("{query} --from archive:A"));
    assert_eq!(whole.stdout, live.stdout, "without a span everything is read");
    let lines = run(place.path(), &format!("{query} --from archive:A --late-to late"));
    assert_eq!(lines.stdout, live.stdout);
}

/// Events of one partition in parts, in each of which there are a few types and users only. Some have a user that is no text, or none.
fn parts(random: &mut Random, partition: u32) -> Vec<String> {
    let mut time = 1_771_236_000_000_000;
    let part = |part: u32| {
        let mut lines = String::new();
        for _ in 0..random.below(60) {
            time += i64::from(random.below(60)) * 1_000_000;
            let at = Timestamp(time - i64::from(random.below(5)) * i64::from(random.below(200)) * 1_000_000);
            let (kind, number) = ((part + random.below(2)) % 5, part * 3 + random.below(4));
            let user = match random.below(if part.is_multiple_of(3) { 40 } else { 12 }) {
                0 => String::new(),
                1 if part.is_multiple_of(3) => format!(",\"user_id\":{number}"),
                _ => format!(",\"user_id\":\"u{partition}-{number:02}\""),
            };
            let x = random.below(9);
            lines.push_str(&format!("{{\"timestamp\":\"{at}\",\"event_type\":\"t{kind}\"{user},\"x\":{x}}}\n"));
        }
        lines
    };
    (0..8).map(part).collect()
}

/// Windows and a filter, of which row groups can be told apart by a part at least.
fn filtered_query(random: &mut Random) -> String {
    let mut pick = |of: &[&str]| of[random.below(of.len() as u32) as usize].to_owned();
    let windows = pick(&["-t 10m", "--sliding 30m/10m", "--session 5m", "--global", "-t 1h -n 2", "--cumulate 1h/20m"]);
    let by = pick(&["event_type", "user_id", "event_type,user_id"]);
    let agg = pick(&["count(*) AS n", "sum(x) AS total, last(x) AS last", "count(DISTINCT user_id) AS users"]);
    let delay = pick(&["0s", "90s", "20m"]);
    let lateness = pick(&["0s", "0s", "10m"]);
    let mut filter = || {
        pick(&[
            "event_type = 't1'",
            "event_type IN ('t0', 't4')",
            "event_type > 't3'",
            "user_id >= 'u1-10' AND x > 3",
            "user_id < 'u1-08' OR event_type = 't2'",
            "user_id BETWEEN 'u0-05' AND 'u0-09'",
            "event_type <> 't0' AND user_id IS NULL",
            "timestamp >= TIMESTAMP '2026-02-16T10:40:00Z'",
            "event_type = 'none'",
        ])
    };
    format!("{windows} -b {by} -a '{agg}' --watermark-delay {delay} --allowed-lateness {lateness} -w \"{}\"", filter())
}

#[test]
fn filters_leave_row_groups_out_and_change_no_row() {
    let (mut all, mut read) = (0, 0);
    for seed in 0..8 {
        let mut random = Random::new(seed, 0);
        let place = tempfile::tempdir().unwrap();
        let partitions = 1 + random.below(3);
        let lanes: Vec<Vec<String>> = (0..partitions).map(|partition| parts(&mut random, partition)).collect();
        for part in 0..8 {
            for (partition, parts) in lanes.iter().enumerate() {
                std::fs::write(place.path().join(format!("{partition}.ndjson")), parts[..=part].concat()).unwrap();
            }
            run(place.path(), "evwindow --global -q --archive A -o /dev/null ?.ndjson");
        }
        for _ in 0..6 {
            let query = filtered_query(&mut random);
            // What is to be judged by how many events there are wants all of them.
            let script = format!(
                "made() {{ evwindow {query} --from archive:A --stats json \"$@\"; }}
                 made > some 2> stats; made --max-rejects 100% > all 2>> stats; cmp all some
                 sed 's/^{{\"in\":\\([0-9]*\\),.*/\\1/' stats"
            );
            let ended = bash_in(place.path(), &script, b"");
            assert_eq!(ended.code, 0, "seed {seed}: {query}\n{}{}", ended.stdout, ended.stderr);
            let counts: Vec<u64> = ended.stdout.lines().map(|count| count.parse().unwrap()).collect();
            let [some, whole] = counts[..] else { panic!("seed {seed}: {query}: {counts:?}") };
            assert!(some <= whole, "seed {seed}: {query}: {counts:?}");
            (read, all) = (read + some, all + whole);
        }
    }
    assert!(read * 10 < all * 8, "{read} of {all} events were read");
}

#[test]
fn files_are_archived_once_and_grown_ones_gone_on_with() {
    let place = tempfile::tempdir().unwrap();
    let count = "evwindow --global --archive A -q log.ndjson";
    let script = format!(
        "evgen -n 3000 --seed 1 -q > all.ndjson
         head -n 1200 all.ndjson > log.ndjson; {count}; {count}
         printf '{{\"half' >> log.ndjson; {count}
         cp all.ndjson log.ndjson; {count}"
    );
    bash_in(place.path(), &script, b"").assert_code(0);
    assert_eq!(archived(&place.path().join("A")), lines_of(&place.path().join("all.ndjson")));
}

#[test]
fn of_files_that_begin_alike_none_is_taken_for_another() {
    let place = tempfile::tempdir().unwrap();
    let script = "evgen -n 300 --seed 1 -q > all.ndjson; head -n 200 all.ndjson > one.ndjson
         keep() { evwindow --global --archive A -q -o /dev/null \"$@\"; }
         refused() { code=0; keep \"$1\" 2> said || code=$?; [ $code = 2 ]; grep \"$2\" said > /dev/null; }
         keep one.ndjson
         # Another log of the same beginning, beside the first one.
         { head -n 100 all.ndjson; evgen -n 200 --seed 2 -q; } > two.ndjson
         refused two.ndjson \"cannot archive 'two.ndjson' beside 'one.ndjson': they begin alike\"
         # Renamed, linked and grown it is itself.
         mv one.ndjson renamed.ndjson; keep renamed.ndjson; ln renamed.ndjson linked.ndjson; keep linked.ndjson
         rm linked.ndjson; cp all.ndjson renamed.ndjson; keep renamed.ndjson
         head -n 150 all.ndjson > renamed.ndjson
         refused renamed.ndjson \"cannot go on archiving 'renamed.ndjson' at byte\"";
    bash_in(place.path(), &format!("set -e\n{script}"), b"").assert_code(0);
    assert_eq!(archived(&place.path().join("A")), lines_of(&place.path().join("all.ndjson")));
}

#[test]
fn what_comes_by_a_pipe_is_archived_beside_the_rows() {
    let place = tempfile::tempdir().unwrap();
    run(place.path(), "evgen -n 5000 --seed 2 -q | tee all.ndjson | evwindow -t 1s --archive A -q > rows.ndjson");
    assert_eq!(archived(&place.path().join("A")), lines_of(&place.path().join("all.ndjson")));
    run(place.path(), "evwindow -t 1s -q all.ndjson | cmp - rows.ndjson");
}

#[test]
fn evingest_archives_what_it_accepts() {
    let place = tempfile::tempdir().unwrap();
    let script = "evgen -n 4000 --malformed 2% --seed 4 -q > all.ndjson
         evingest all.ndjson --archive A -q
         evingest all.ndjson --archive A -q -o good.ndjson";
    run(place.path(), script);
    let good = lines_of(&place.path().join("good.ndjson"));
    assert!(good.len() < 4000);
    assert_eq!(archived(&place.path().join("A")), good);
}

#[test]
fn what_evingest_has_accepted_is_archived_though_nobody_reads_it_any_more() {
    let place = tempfile::tempdir().unwrap();
    let script = "evgen -n 60000 --seed 6 -q > all.ndjson
         evingest --archive A --to - --stats json 2> stats < <(cat all.ndjson) | head -n 1 > first
         cmp first <(head -n 1 all.ndjson); cat stats";
    let stats = run(place.path(), script).stdout;
    let stats: serde_json::Value = serde_json::from_str(stats.lines().last().unwrap()).unwrap();
    let found = archived(&place.path().join("A"));
    assert!(!found.is_empty(), "{stats}");
    assert_eq!(stats["accepted"], found.len(), "{stats}");
    assert_eq!(found, lines_of(&place.path().join("all.ndjson"))[..found.len()]);
}

#[test]
fn an_event_from_the_future_makes_no_others_late() {
    let place = tempfile::tempdir().unwrap();
    let script = "event() { printf '{\"event_id\":\"%s\",\"event_type\":\"page_view\",\"user_id\":\"u\",\"session_id\":\"s\",\"timestamp\":\"%s\"}\\n' $1 $2; }
         { event a 2026-02-16T10:00:01Z; event b 2099-01-01T00:00:00Z; event c 2026-02-16T10:00:02Z; } > first.ndjson
         evingest first.ndjson --archive A -q
         { cat first.ndjson; event d 2026-02-16T10:00:03Z; event e 2026-02-16T10:05:00Z; } > all.ndjson
         cat all.ndjson > first.ndjson; evingest first.ndjson --archive A -q
         window() { evwindow -t 1m -b event_type -a 'count(*) AS n' --stats json -f csv \"$@\"; }
         window all.ndjson > live.csv 2> live
         window --from archive:A > columns.csv 2> columns
         window --from archive:A --late-to late > lines.csv 2> lines
         cmp live.csv columns.csv; cmp live.csv lines.csv
         window --from archive:A --max-future none 2> /dev/null | grep -c ,2099-";
    let ended = run(place.path(), script);
    assert_eq!(ended.stdout.trim(), "1", "the event is kept");
    let state = Manifest::open(&place.path().join("A")).unwrap().state;
    let seen: Vec<_> = state.sources.values().map(|source| source.partitions[0].seen_until_us).collect();
    assert_eq!(seen, [Some(1_771_236_300_000_000)]);
    for name in ["live", "columns", "lines"] {
        let stats = std::fs::read_to_string(place.path().join(name)).unwrap();
        assert!(stats.contains("\"late\":0"), "{name}: {stats}");
        assert!(stats.contains("\"rejected\":1"), "{name}: {stats}");
    }
}

#[test]
fn killed_at_any_step_it_is_complete_when_it_is_run_again() {
    for (point, times) in [
        ("before-file", 1),
        ("before-file", 3),
        ("after-file", 1),
        ("after-file", 4),
        ("after-files", 2),
        ("after-part", 1),
        ("after-part", 2),
        ("after-name", 1),
    ] {
        let place = tempfile::tempdir().unwrap();
        let keep = "evwindow --global -q ?.ndjson --archive A --archive-interval 1us --threads 1";
        // Fewer of them: each commit makes its files durable.
        run(place.path(), &EVENTS.replace("-d 24s --start 2026-02-16T09:59:50Z", "-d 8s --start 2026-02-16T09:59:56Z"));
        let killed = bash_in(place.path(), &format!("EVKIT_FAULT=archive.{point}:{times} {keep}"), b"");
        assert_eq!(killed.code, 137, "{point}:{times} was not reached: {}", killed.stderr);
        run(place.path(), keep);
        let (found, all) = (archived(&place.path().join("A")), lines_of(&place.path().join("all.ndjson")));
        assert!(sorted(found) == sorted(all), "{point}:{times}");
        let names = run(place.path(), "find A -name '*.parquet' | wc -l").stdout;
        let state = Manifest::open(&place.path().join("A")).unwrap().state;
        assert_eq!(names.trim(), state.files.len().to_string(), "{point}:{times}: what has a name is what is named");
    }
}

#[test]
fn a_store_is_made_anew_in_the_span_and_goes_on_as_before() {
    let place = tempfile::tempdir().unwrap();
    let store = |name: &str| format!("{QUERY} -q --name m --to store:{name}.db");
    // The store has counted events that the archive has not: they go, and groups with them.
    let script = format!(
        "{EVENTS}head -n 5000 0.ndjson > grown.ndjson
         sed 's/\"country\":\"US\"/\"country\":\"XX\"/' 1.ndjson > more.ndjson
         {live} grown.ndjson more.ndjson
         {keep} 0.ndjson
         {anew} --from archive:A --start {START} --until {UNTIL}
         {anew} --from archive:A --start {START} --until {UNTIL}
         {fresh} --from archive:A --start {START} --until {UNTIL}
         ask() {{ evquery m --window own --by event_type,country --from store:$1.db --start {START} --until {UNTIL} -f csv; }}
         ask live > live.csv; ask fresh > fresh.csv
         cmp live.csv fresh.csv; grep -c XX live.csv > xx || true
         {straight} 0.ndjson; ask straight > straight.csv; cmp live.csv straight.csv
         evquery --check --from store:live.db -q
         {live} 0.ndjson more.ndjson
         ",
        live = store("live"),
        anew = store("live"),
        fresh = store("fresh"),
        straight = store("straight"),
        keep = "evwindow --global --archive A -q -o /dev/null",
    );
    let ended = bash_in(place.path(), &script, b"");
    ended.assert_code(0);
    assert_eq!(std::fs::read_to_string(place.path().join("xx")).unwrap().trim(), "0");
    assert!(lines_of(&place.path().join("live.csv")).len() > 30);
}

/// A store that is whole, and archives of a part of its events, which are in order.
const PARTS: &str = "evgen -d 24s --start 2026-02-16T09:59:50Z --seed 5 --users 300 -q > all.ndjson
     n=$(( $(wc -l < all.ndjson) / 3 ))
     store() { evwindow -t 1s -b event_type --name m --watermark-delay 1s -q --to store:s.db \"$@\"; }
     keep() { evwindow --global -q --archive \"$@\" -o /dev/null; }
     ask() { evquery m --window own --by event_type --from store:s.db --start 2026-02-16 --until 2026-02-17 -f csv; }
     store all.ndjson; ask > whole.csv\n";

#[test]
fn points_of_which_the_archive_has_no_events_stay() {
    for (part, words) in [
        ("tail -n +$n all.ndjson > part.ndjson", "begun later than the store"),
        ("head -n $n all.ndjson > part.ndjson", "lags behind the store"),
        ("head -n $((2 * n)) all.ndjson | tail -n $n > part.ndjson", "both"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let script = format!(
            "{PARTS}{part}; keep A part.ndjson
             store --from archive:A; ask > again.csv; cmp whole.csv again.csv; wc -l < whole.csv
             ! store --from archive:A --start 2026-02-16T09:00:00Z --until 2026-02-16T10:00:30Z 2> refused; cat refused
             ask > again.csv; cmp whole.csv again.csv"
        );
        let ended = bash_in(place.path(), &format!("set -e; {script}"), b"");
        ended.assert_code(0);
        assert!(ended.stdout.contains("'archive:A' covers '2026-02-16T"), "{words}: {}", ended.stdout);
    }
}

#[test]
fn made_anew_is_what_is_covered_and_no_more() {
    let place = tempfile::tempdir().unwrap();
    // The middle third, of which the archive has no page views.
    let script = format!(
        "set -e; {PARTS}head -n $((2 * n)) all.ndjson | tail -n $n | grep -v '\"page_view\"' > part.ndjson
         keep A part.ndjson; store --from archive:A; ask > again.csv
         grep -c page_view whole.csv; grep -c page_view again.csv
         grep -v page_view whole.csv > whole; grep -v page_view again.csv | cmp whole -"
    );
    let ended = bash_in(place.path(), &script, b"");
    ended.assert_code(0);
    let counts: Vec<u32> = ended.stdout.lines().map(|line| line.parse().unwrap()).collect();
    assert!(10 < counts[1] && counts[1] < counts[0] - 4, "{counts:?}: those of some seconds go, and no others");
}

#[test]
fn nothing_is_made_anew_from_an_archive_that_covers_nothing() {
    let place = tempfile::tempdir().unwrap();
    let script = format!(
        "set -e; {PARTS}: > empty.ndjson; keep E empty.ndjson
         keep D all.ndjson; evquery admin retention --archive D --cold 1h > /dev/null
         for a in E D; do code=0; store --from archive:$a 2>> refused || code=$?; echo $code; done
         code=0; store --from archive:D --start 2026-02-16T10:00:00Z --until 2026-02-16T10:00:05Z 2>> refused || code=$?
         echo $code; ask | cmp - whole.csv; cat refused"
    );
    let ended = bash_in(place.path(), &script, b"");
    ended.assert_code(0);
    assert!(ended.stdout.starts_with("2\n2\n2\n"), "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("it covers no span of time yet").count(), 3, "{}", ended.stdout);
}

#[test]
fn a_group_archives_its_topic_once_however_often_it_is_killed() {
    let Some(brokers) = brokers("a group archives its topic once however often it is killed") else { return };
    let mut topics = Topics::new(&brokers);
    let (input, rows) = (topics.create("archived", 3, &[]), topics.create("archived-rows", 1, &[]));
    let group = unique("archive");
    for internal in ["partials", "state"] {
        topics.adopt(&format!("{group}.{internal}"));
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("A");
    let mut total = 0;
    for round in 0..4 {
        let script =
            format!("evgen -n 3000 --seed {round} -q | tee -a all.ndjson | evingest --to kafka://{brokers}/{input} -q");
        bash_in(place.path(), &script, b"").assert_code(0);
        total += 3000;
        let run = Running::start_in(
            place.path(),
            &format!(
                "exec evwindow -t 1s --from kafka://{brokers}/{input} --group {group} --instance one \
                 --to kafka://{brokers}/{rows} --archive A --archive-interval 100ms -q"
            ),
        );
        // The last round is awaited whole; the others end wherever they are once something is there.
        let wanted = if round == 3 { total } else { total - 1500 };
        let begun = Instant::now();
        let rows_kept =
            || Manifest::open(&folder).map_or(0, |kept| kept.state.files.iter().map(|file| file.rows).sum());
        while rows_kept() < wanted {
            assert!(begun.elapsed() < PATIENCE, "{} of {wanted} events were archived", rows_kept());
            std::thread::sleep(Duration::from_millis(20));
        }
        run.signal(libc::SIGKILL);
        drop(run);
    }
    assert!(sorted(archived(&folder)) == sorted(lines_of(&place.path().join("all.ndjson"))));
    let state = Manifest::open(&folder).unwrap().state;
    assert_eq!(state.sources.values().map(|source| source.name.as_str()).collect::<Vec<_>>(), [input.as_str()]);
}

#[test]
fn a_topic_that_was_made_anew_is_not_gone_on_with() {
    let Some(brokers) = brokers("a topic that was made anew is not gone on with") else { return };
    let mut topics = Topics::new(&brokers);
    let topic = topics.create("remade", 1, &[]);
    let place = tempfile::tempdir().unwrap();
    let fill = |seed: u32| {
        let script = format!("evgen -n 500 --seed {seed} -q | evingest --to kafka://{brokers}/{topic} -q");
        bash_in(place.path(), &script, b"").assert_code(0);
    };
    let keep = |folder: &str| {
        let from = format!("--from kafka://{brokers}/{topic} --until end");
        bash_in(place.path(), &format!("evwindow --global -q -o /dev/null {from} --archive {folder}"), b"")
    };
    fill(1);
    keep("A").assert_code(0);
    keep("A").assert_code(0);
    let state = Manifest::open(&place.path().join("A")).unwrap().state;
    let known = state.sources.values().next().unwrap().topic.clone().unwrap();
    assert!(known.cluster.is_some() && known.id.is_some(), "{known:?}");
    topics.make_anew(&topic, 1);
    fill(2);
    let refused = keep("A");
    refused.assert_code(2);
    assert!(refused.stderr.contains(&format!("has events of another topic '{topic}'")), "{}", refused.stderr);
    keep("B").assert_code(0);
    assert_eq!((archived(&place.path().join("A")).len(), archived(&place.path().join("B")).len()), (500, 500));
}

#[test]
fn what_can_not_be_is_refused_with_the_way_out() {
    let place = tempfile::tempdir().unwrap();
    let check = |arguments: &str, code: i32, expected: &str| {
        let ended = bash_in(
            place.path(),
            &format!(
                "printf 'a,timestamp\\n' > x.csv; echo '{{}}' | tee x.ndjson > y.ndjson; evwindow -t 1s {arguments}"
            ),
            b"",
        );
        ended.assert_code(code);
        assert!(ended.stderr.contains(expected), "{arguments}: {}", ended.stderr);
    };
    check("--from archive:none", 2, "there is no archive in 'none'");
    check("--from archive:A - ", 2, "an archive is read alone");
    check("--from archive:A --archive B", 2, "its events are in one already");
    check("--from archive:A --start 2026-01-02 --until 2026-01-01", 2, "the end is not after the start");
    check("--archive A x.csv", 2, "'x.csv' is CSV, and an archive holds JSON");
    check("--archive A --time processing", 2, "--time processing has none");
    check("--archive A x.ndjson y.ndjson", 2, "cannot archive 'y.ndjson' beside 'x.ndjson': they begin alike");
    check("--archive-interval 1s", 2, "--archive <DIR>");
}
