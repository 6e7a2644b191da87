//! One question over points, roll-ups and archived events: whatever has been dropped of what is stored, and wherever it is stored,
//! the answer is the same, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use crate::influx::Real;
use crate::support::{Ended, bash_in};

#[path = "support/influx.rs"]
mod influx;
mod support;

const METRICS: &str = r#"
[[metric]]
name = "revenue"
tumbling = "1m"
where = "event_type = 'purchase_completed'"
by = ["properties.country", "properties.currency"]
agg = "sum(properties.amount) AS revenue, count(*) AS orders, avg(properties.amount) AS mean, count(DISTINCT user_id) AS buyers, median(properties.amount) AS middle"
[[metric]]
name = "days"
tumbling = "1d"
tz = "Europe/Berlin"
agg = "count(*) AS events"
[[metric]]
name = "busy"
sliding = "2h/30m"
by = "event_type"
[[metric]]
name = "visits"
session = "30m"
by = "properties.country"
[[metric]]
name = "best"
tumbling = "1h"
by = "properties.product_id"
agg = "count(*) AS n, sum(properties.amount) AS total"
having = "n > 1"
top = 3
order-by = "total DESC, n"
allowed-lateness = "10m"
"#;

/// Some days of a shop in three files, some of it too late.
const EVENTS: &str = "evgen --profile ecommerce --seed 5 -r 4000 --speed 172800x -d 4d --start 2026-03-27 \
     --out-of-order 20m:20% --late 3h:3% -q > events.ndjson
     for n in 0 1 2; do awk -v n=$n 'NR % 3 == n' events.ndjson > $n.ndjson; done\n";

/// Windows that have fired, from the second day on.
const SPAN: &str = "--start 2026-03-28 --until 2026-03-30T12:00:00Z";

/// Questions that points and roll-ups answer.
const QUESTIONS: [&str; 14] = [
    "revenue --window own --field revenue,orders,mean,buyers,middle",
    "revenue --window own -f csv --where \"country = 'DE'\"",
    "revenue --window 15m --field revenue,mean --by country",
    "revenue --window 1h --field revenue,orders --by currency --fill zero -f json",
    "revenue --window 12h --field revenue,mean --total --compare 12h",
    "revenue --window all --field orders --top 3 --order-by 'orders DESC'",
    "revenue --window 1h --agg 'max(orders) AS peak, first(mean) AS opening' --total",
    "revenue --field revenue",
    "days --window own",
    "days --window 2d",
    "busy",
    "visits",
    "best --where 'n > 2'",
    "best --window own -f csv",
];

/// Those that need the events.
const OF_EVENTS: [&str; 8] = [
    "revenue --window 1h --field buyers --total",
    "revenue --window 1h",
    "revenue --window 1d --by country --where \"currency <> 'EUR'\" --field buyers,middle,revenue",
    "revenue --window all --total --field buyers,middle",
    "revenue --window own --total --field buyers --fill previous",
    "revenue --window 6h --field buyers --top 2 --compare 6h",
    "best --window 6h",
    "best --window 1d --top 1",
];

/// Runs a command line in a folder whose store is `s.db`.
fn run(place: &Path, script: &str) -> Ended {
    bash_in(place, &format!("export EVKIT_STORE=s.db\n{script}"), b"")
}

/// The same, where `$B` is a bucket.
fn run_beside(buckets: &Real, place: &Path, script: &str) -> Ended {
    bash_in(place, &format!("{}{script}", buckets.surroundings()), b"")
}

/// Drops of a bucket, with this at the end of its name, what lies before `until` of what evquery reads: `points.METRIC`,
/// `rollups.METRIC`.
fn drop_entries(buckets: &Real, of: &str, (ending, until): (&str, &str)) {
    let path = format!("/api/v2/delete?org=evkit&bucket={}{ending}", buckets.bucket);
    let body = format!(
        "{{\"start\":\"2026-03-01T00:00:00Z\",\"stop\":\"{until}\",\"predicate\":\"_measurement=\\\"evkit.{of}\\\"\"}}"
    );
    buckets.ask("POST", &path, &body);
}

#[track_caller]
fn answer(place: &Path, question: &str, from: &str) -> String {
    let ended = run(place, &format!("evquery {question} -q {from}"));
    assert_eq!(ended.code, 0, "{question} {from}\n{}", ended.stderr);
    ended.stdout
}

/// Both answers are the same; else the first rows that differ are shown.
#[track_caller]
fn check_equal(expected: &str, found: &str, question: &str) {
    let differing = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    let lines = (expected.lines().count(), found.lines().count());
    assert!(expected == found, "{question}: lines {lines:?}, first {differing:#?}");
}

const ALONE: &str = "--from archive:A --metrics metrics.toml --watermark-delay 15m";

/// The events, and what evwindow makes of them: a store and an archive.
fn shop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("metrics.toml"), METRICS).unwrap();
    let script = format!(
        "{EVENTS}evwindow --metrics metrics.toml --watermark-delay 15m --to store: --archive A --stats json ?.ndjson 2> stats"
    );
    run(folder.path(), &script).assert_code(0);
    let stats = std::fs::read_to_string(folder.path().join("stats")).unwrap();
    assert!(!stats.contains("\"late\":0"), "some events must be late: {stats}");
    folder
}

#[test]
fn the_archive_alone_answers_as_the_store() {
    let folder = shop();
    let place = folder.path();
    for question in QUESTIONS {
        for span in [SPAN, "", "--start 2026-03-01", "--last 2d --now 2026-03-30"] {
            let stored = answer(place, &format!("{question} {span}"), "");
            assert!(stored.lines().count() > usize::from(question.contains("csv")), "{question} {span}");
            let archived = answer(place, &format!("{question} {span}"), ALONE);
            check_equal(&stored, &archived, &format!("{question} {span}"));
        }
    }
}

#[test]
fn what_retention_drops_is_made_of_events() {
    let folder = shop();
    let place = folder.path();
    let ask = |question: &str, from: &str| answer(place, &format!("{question} {SPAN}"), from);
    let before: Vec<String> = QUESTIONS.iter().map(|question| ask(question, "")).collect();
    for (dropped, limits) in [
        ("points", "--now 2026-03-30T18:00:00Z --hot 1d"),
        ("roll-ups", "--now 2026-03-30T18:00:00Z --cold 1d"),
        ("everything", "--now 2026-06-01 --cold 1d"),
    ] {
        run(place, &format!("evquery admin retention {limits}")).assert_code(0);
        for (question, before) in QUESTIONS.iter().zip(&before) {
            let after = ask(question, "--archive A");
            check_equal(before, &after, &format!("{dropped} dropped, {question}"));
        }
    }
    let lost = run(place, &format!("evquery revenue --window own {SPAN}"));
    assert_eq!(lost.stdout, "", "without the archive nothing is left");
}

/// Events in order, seven a minute: the last of each minute stands within the delay of its end or before.
const IN_ORDER: &str =
    "evgen --profile ecommerce --seed 9 -r 20000 --speed 172800x -d 3d --start 2026-03-27 -q > events.ndjson\n";

#[test]
fn the_last_windows_before_what_is_stored_are_in_coarser_ones() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("all.toml"), "[[metric]]\nname = \"all\"\ntumbling = \"1m\"\n").unwrap();
    let script = format!("{IN_ORDER}evwindow -q --metrics all.toml --to store: --archive A events.ndjson");
    run(place, &script).assert_code(0);
    let hours = "all --window 1h --start 2026-03-28T20:00:00Z --until 2026-03-29T04:00:00Z";
    let day = "all --window 1d --start 2026-03-28 --until 2026-03-29";
    let before = [answer(place, hours, ""), answer(place, day, "")];
    let events = run(place, "grep -c 'timestamp\":\"2026-03-28T23:' events.ndjson").stdout;
    let expected = format!(
        "\"window_start\":\"2026-03-28T23:00:00.000Z\",\"window_end\":\"2026-03-29T00:00:00.000Z\",\"count\":{},\"revision\":0}}",
        events.trim()
    );
    assert!(before[0].contains(&expected), "{expected}\n{}", before[0]);
    let alone = "--from archive:A --metrics all.toml";
    for (question, before) in [hours, day].iter().zip(&before) {
        check_equal(before, &answer(place, question, alone), question);
    }
    for limits in ["--now 2026-03-30 --cold 1d", "--now 2026-06-01 --cold 1d"] {
        run(place, &format!("evquery admin retention {limits}")).assert_code(0);
        for (question, before) in [hours, day].iter().zip(&before) {
            check_equal(before, &answer(place, question, "--archive A"), &format!("{limits}, {question}"));
        }
    }
}

#[test]
fn a_window_within_which_the_store_began_comes_from_an_archive_that_has_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("all.toml"), "[[metric]]\nname = \"all\"\ntumbling = \"1m\"\n").unwrap();
    let script = format!(
        "{IN_ORDER}evwindow -q --metrics all.toml --archive A events.ndjson > rows
         N=$(grep -n -m 1 'timestamp\":\"2026-03-28T10:30' events.ndjson | cut -d : -f 1)
         tail -n +$N events.ndjson > later.ndjson; evwindow -q --metrics all.toml --to store: later.ndjson"
    );
    run(place, &script).assert_code(0);
    // Also where retention looks after the store, and has nothing to drop yet.
    for retention in ["", "evquery admin retention --now 2026-03-30 --hot 90d --cold 1y"] {
        run(place, retention).assert_code(0);
        for length in ["own", "1h", "7h", "1d"] {
            let question = format!("all --window {length} --start 2026-03-28 --until 2026-03-29");
            let archived = answer(place, &question, "--from archive:A --metrics all.toml");
            assert!(answer(place, &question, "") != archived, "the store alone has half");
            check_equal(&archived, &answer(place, &question, "--archive A"), &format!("{retention} {question}"));
        }
    }
}

#[test]
fn half_a_day_does_not_look_whole_when_its_points_are_gone() {
    let Some(buckets) = Real::of_environment("half_a_day_does_not_look_whole_when_its_points_are_gone") else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("all.toml"), "[[metric]]\nname = \"all\"\ntumbling = \"1m\"\n").unwrap();
    // The live runs begin and end within an hour and a day, and leave out the minutes that they are in.
    let live = "evwindow -q --metrics all.toml --at-end drop live.ndjson --to";
    let script = format!(
        "{IN_ORDER}evwindow -q --metrics all.toml --archive A events.ndjson > rows
         line() {{ grep -n -m 1 \"timestamp\\\":\\\"$1\" events.ndjson | cut -d : -f 1; }}
         sed -n \"$(line 2026-03-28T10:30),$(line 2026-03-29T15:30)p\" events.ndjson > live.ndjson
         {live} store:; {live} $B"
    );
    run_beside(&buckets, place, &script).assert_code(0);
    for from in ["", "--from $B"] {
        let ask = |question: &str| {
            let ended = run_beside(&buckets, place, &format!("evquery {question} {from}"));
            assert_eq!(ended.code, 0, "{question} {from}\n{}", ended.stderr);
            ended.stdout
        };
        let days = ask("all --window 1d");
        let is_final: Vec<bool> = days.lines().map(|row| !row.contains("\"final\":false")).collect();
        assert_eq!(is_final, [true, false], "{days}");
        match from {
            "" => drop(run(place, "evquery admin retention --now 2026-06-01 --hot 1d").assert_code(0)),
            _ => drop_entries(&buckets, "points.all", ("", "2026-06-01T00:00:00Z")),
        }
        assert_eq!(ask("all --window own"), "", "{from}: points are left");
        check_equal(&days, &ask("all --window 1d"), &format!("{from}: the days that were begun"));
        let described = ask("describe all -f ndjson");
        for known in ["\"first\":\"2026-03-28T10:00:00.000Z\"", "\"last\":\"2026-03-29T15:00:00.000Z\""] {
            assert!(described.contains(known), "{from}: {described}");
        }
        for length in ["1h", "7h", "1d"] {
            let question = format!("all --window {length} --start 2026-03-28 --until 2026-03-29");
            let archived = answer(place, &question, "--from archive:A --metrics all.toml");
            assert!(ask(&question) != archived, "{from}: {length} of what is stored is half");
            check_equal(&archived, &ask(&format!("{question} --archive A")), &format!("{from}: {question}"));
        }
    }
}

#[test]
fn what_windows_of_events_lack_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let metric = "[[metric]]\nname = \"all\"\ntumbling = \"1m\"\nby = \"event_type\"\nmax-groups = 1\n";
    std::fs::write(place.join("all.toml"), metric).unwrap();
    run(place, &format!("{IN_ORDER}evwindow -q --metrics all.toml --archive A events.ndjson > rows")).assert_code(0);
    let question = "evquery all --from archive:A --metrics all.toml --start 2026-03-28 --until 2026-03-29";
    let told = run(place, question);
    assert!(told.stderr.contains("archived events in the group \"__other__\""), "{}", told.stderr);
    assert!(!told.stderr.contains("rejected"), "{}", told.stderr);
    let told = run(place, &format!("{question} -q"));
    assert_eq!((told.code, &*told.stderr), (0, ""));
}

#[test]
fn exact_counts_and_ranks_of_coarser_windows_are_made_of_events() {
    let folder = shop();
    let place = folder.path();
    for question in OF_EVENTS {
        let refused = run(place, &format!("evquery {question} {SPAN}"));
        let is_partial = refused.code == 0 && refused.stderr.contains("left out");
        assert!(is_partial || (refused.code == 2 && refused.stderr.contains("--archive DIR")), "{}", refused.stderr);
        let stored = answer(place, &format!("{question} {SPAN}"), "--archive A");
        let archived = answer(place, &format!("{question} {SPAN}"), ALONE);
        assert!(!stored.is_empty(), "{question}");
        check_equal(&stored, &archived, question);
    }
}

#[test]
fn exact_counts_of_coarser_windows_are_those_of_the_events() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let query = "-b properties.country -w \"event_type = 'product_view'\" \
         -a 'count(*) AS n, count(DISTINCT user_id) AS users, percentile_disc(0.9) WITHIN GROUP (ORDER BY properties.price) AS p90'";
    let script = format!(
        "evgen --profile ecommerce --seed 8 -r 4000 --speed 172800x -d 3d --start 2026-03-27 -q > events.ndjson
         evwindow -q --name views -t 1m {query} --to store: --archive A events.ndjson
         evwindow -q --name views -t 6h {query} events.ndjson | grep 'T..:00:00.000Z\",\"window_end\":\"2026-03-2[89]' > expected
         evquery views -q --window 6h --start 2026-03-27T18:00:00Z --until 2026-03-29T18:00:00Z --archive A > found
         cmp <(grep -v window_end.:.2026-03-29T00:00:00 expected | head -5) <(grep -v window_end.:.2026-03-29T00:00:00 found | head -5) &&
         wc -l < found"
    );
    let ended = run(place, &script);
    ended.assert_code(0);
    assert!(ended.stdout.trim().parse::<usize>().unwrap() > 20, "{}", ended.stdout);
}

#[test]
fn each_part_of_an_answer_says_where_it_lies() {
    let folder = shop();
    let place = folder.path();
    let explain = |question: &str| {
        let ended = run(place, &format!("evquery {question} --explain"));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    run(place, "evquery admin retention --now 2026-03-30 --hot 1d --cold 2d").assert_code(0);
    let whole = explain("revenue --window own --start 2026-03-29 --until 2026-03-30 --archive A");
    assert!(whole.contains("hot: points") && !whole.contains("archive"), "nothing is missing: {whole}");
    let own = explain("revenue --window own --start 2026-03-28 --until 2026-03-30 --archive A");
    assert_eq!(
        own,
        "windows of 1m as they are stored, before 2026-03-29T00:00:00.000Z from archived events, from 2026-03-28T00:00:00.000Z to 2026-03-30T00:00:00.000Z\n\
         archive: raw events, from 2026-03-28T00:00:00.000Z to 2026-03-29T00:00:00.000Z, in 'archive:A'\n\
         hot: points, from 2026-03-29T00:00:00.000Z to 2026-03-30T00:00:00.000Z, in 's.db'\n"
    );
    let hours =
        explain("revenue --window 7h --field revenue --start 2026-03-27T12:00:00Z --until 2026-03-30 --archive A");
    assert!(
        hours.contains("archive: raw events, from 2026-03-27T11:00:00.000Z to 2026-03-28T01:00:00.000Z"),
        "{hours}"
    );
    assert!(hours.contains("cold: roll-ups by hour, from 2026-03-28T01:00:00.000Z"), "{hours}");
    let exact = explain("revenue --window 1h --field buyers --start 2026-03-26 --until 2026-03-30 --archive A");
    assert!(exact.contains("windows of 1h from archived events"), "{exact}");
    assert!(exact.contains("what lies before 2026-03-27T01:00:00.000Z is not covered by the archive"), "{exact}");
    let said = run(place, "evquery revenue --window own --start 2026-03-28 --until 2026-03-30 --archive A");
    assert!(said.stderr.contains("evquery: archive: raw events, from 2026-03-28"), "{}", said.stderr);
}

#[test]
fn a_window_that_the_archive_has_half_is_not_shown() {
    let folder = shop();
    let place = folder.path();
    run(place, "evquery admin retention --now 2026-03-30 --cold 1d").assert_code(0);
    run(place, "evquery admin retention --archive A --now 2026-03-29T06:00:00Z --cold 1d").assert_code(0);
    let days = answer(
        place,
        "revenue --window 1d --total --field orders --start 2026-03-27 --until 2026-03-30",
        "--archive A",
    );
    let starts: Vec<&str> = days.lines().map(|row| &row[row.find("2026-").unwrap()..][..10]).collect();
    assert_eq!(starts, ["2026-03-29"], "the archive has the 28th from six o'clock on only: {days}");
    let told = run(
        place,
        "evquery revenue --window 1d --total --field orders --start 2026-03-27 --until 2026-03-30 --archive A",
    );
    assert!(told.stderr.contains("2026-03-29T00:00:00.000Z"), "{}", told.stderr);
    let hours = answer(
        place,
        "revenue --window 2h --total --field orders --start 2026-03-27 --until 2026-03-30",
        "--archive A",
    );
    assert!(
        hours.contains("2026-03-28T06:00:00.000Z") && !hours.contains("2026-03-28T04:00:00.000Z\",\"window_end"),
        "{hours}"
    );
    let alone = answer(place, "days --start 2026-03-01", ALONE);
    assert!(!alone.contains("window_start\":\"2026-03-27"), "half a day is no day: {alone}");
}

#[test]
fn a_query_that_is_not_known_or_another_one_is_refused() {
    let folder = shop();
    let place = folder.path();
    std::fs::write(place.join("other.toml"), METRICS.replace("purchase_completed", "product_view")).unwrap();
    let refused = |script: &str, expected: &str| {
        let ended = run(place, script);
        ended.assert_code(2);
        assert!(ended.stderr.contains(expected), "{script}\n{}", ended.stderr);
    };
    refused(
        "evquery revenue --window 1h --archive A --metrics other.toml",
        "was made with --where 'event_type = 'purchase_completed'', and the file says",
    );
    for (flag, said, was) in
        [("--watermark-delay", "1m", "15m"), ("--time-field", "at", "timestamp"), ("--time-format", "ms", "auto")]
    {
        refused(
            &format!("evquery revenue --window 1h --archive A --metrics metrics.toml {flag} {said}"),
            &format!("'revenue' was made with {flag} '{was}'"),
        );
    }
    run(place, &format!("evquery revenue --window 1h --metrics metrics.toml --watermark-delay 15m --time-field timestamp --archive A {SPAN}"))
        .assert_code(0);
    std::fs::write(place.join("same.toml"), METRICS.replace("\"10m\"", "\"600s\"").replace("\"1h\"", "\"60m\""))
        .unwrap();
    run(place, &format!("evquery best --window own --metrics same.toml --archive A {SPAN}")).assert_code(0);
    refused("evquery revenue --from archive:A", "nothing says what is made of them");
    refused("evquery nothing --from archive:A --metrics metrics.toml", "has no metric 'nothing'");
    refused("evquery busy --window 4h --archive A", "its windows slide");
    refused("evquery revenue --archive B --window 1h", "there is no archive in 'B'");
    run(place, "evwindow -q -t 1m --time processing --name clocked --to store: events.ndjson").assert_code(0);
    refused("evquery clocked --window 1h --archive A", "its windows follow the clock");
    let script = "evwindow -q -t 1m --emit partials events.ndjson | evwindow -q --merge -t 1m --to store:
         evquery events --window 1h --archive A";
    refused(script, "it was merged of partials");
}

#[test]
fn nothing_is_left_behind() {
    let folder = shop();
    let place = folder.path();
    let script = "mkdir scratch; export TMPDIR=$PWD/scratch
         evquery revenue --window 1h --archive A -q > rows && ls scratch | wc -l
         evquery revenue --window 1h --archive A | head -n 1 > row; ls scratch | wc -l";
    let ended = run(place, script);
    ended.assert_code(0);
    assert_eq!(ended.stdout, "0\n0\n");
}

#[test]
fn a_bucket_answers_as_the_store_and_the_archive() {
    let Some(buckets) = Real::of_environment("a_bucket_answers_as_the_store_and_the_archive") else { return };
    let folder = shop();
    let place = folder.path();
    let run = |script: &str| run_beside(&buckets, place, script);
    run("evwindow -q --metrics metrics.toml --watermark-delay 15m --to $B ?.ndjson").assert_code(0);
    let ask = |question: &str, from: &str| {
        let ended = run(&format!("evquery {question} {SPAN} -q {from}"));
        assert_eq!(ended.code, 0, "{question} {from}\n{}", ended.stderr);
        ended.stdout
    };
    for question in OF_EVENTS {
        let (stored, archived) = (ask(question, "--archive A"), ask(question, ALONE));
        let in_bucket = ask(question, "--from $B --archive A");
        assert!(!stored.is_empty(), "{question}");
        check_equal(&stored, &in_bucket, question);
        check_equal(&stored, &archived, question);
    }
    let before: Vec<String> = QUESTIONS.iter().map(|question| ask(question, "--from $B")).collect();
    for (question, before) in QUESTIONS.iter().zip(&before) {
        let stored = ask(question, "");
        // At the end of the file the store leaves windows open, and all fire into a bucket.
        if !stored.contains("\"final\":false") {
            check_equal(&stored, before, question);
        }
    }
    // What retention of the server would drop of points, and then of roll-ups: whole days.
    for (dropped, bucket) in [("points", ""), ("roll-ups", "_rollups")] {
        for kind in ["points", "rollups"] {
            for metric in ["revenue", "days", "busy", "visits", "best"] {
                drop_entries(&buckets, &format!("{kind}.{metric}"), (bucket, "2026-03-28T23:59:59Z"));
            }
        }
        for (question, before) in QUESTIONS.iter().zip(&before) {
            let after = ask(question, "--from $B --archive A");
            check_equal(before, &after, &format!("{dropped} dropped, {question}"));
        }
    }
}
