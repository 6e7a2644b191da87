//! Backfills as a user meets them: windows made anew from an archive, into a store and into a bucket, cut short and taken up again.

#[path = "support/influx.rs"]
mod influx;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use evkit::time::Timestamp;

use crate::influx::{Asked, Fake, Real, Reply};
use crate::support::{Ended, LIMIT, Running, bash_in};

/// Eight hours of a small shop, out of order and late, in three files: a user's events are all in one of them.
const EVENTS: &str = "evgen -r 4000 --speed 14400x -d 8h --start 2026-02-16 --seed 3 --users 60 \
       --out-of-order 5m:20% --late 20m:2% -q > all.ndjson
     awk -F '\"user_id\":\"' '{ split($2, id, \"\\\"\"); n = id[1]; gsub(/[^0-9]/, \"\", n); print > (n % 3) \".ndjson\" }' all.ndjson
     # An archive in many parts, as one that is written while events come.
     mkdir grown; for part in $(seq 16); do
       for n in 0 1 2; do head -n $(($(wc -l < $n.ndjson) * part / 16)) $n.ndjson > grown/$n.ndjson; done
       evwindow --global -q --max-future none -o /dev/null --archive A grown/*.ndjson
     done\n";

/// All kinds of windows that have a time of their own.
const METRICS: &str = "cat > m.toml <<'EOF'
[[metric]]
name = \"sales\"
tumbling = \"5m\"
by = \"event_type\"
agg = \"count(*) AS n, sum(properties.amount) AS total, avg(properties.amount) AS mean, count(DISTINCT user_id) AS users\"
[[metric]]
name = \"busy\"
sliding = \"90m/30m\"
by = \"properties.country\"
[[metric]]
name = \"visits\"
session = \"2m\"
by = \"user_id\"
agg = \"count(*) AS n, min(timestamp) AS first\"
having = \"n < 6\"
[[metric]]
name = \"stays\"
session = \"8m\"
by = \"user_id\"
[[metric]]
name = \"best\"
tumbling = \"3h\"
by = \"properties.product_id\"
top = 3
EOF
SPAN='--start 2026-02-16T01:00:00Z --until 2026-02-16T06:00:00Z'
made() { evwindow --threads 1 --metrics m.toml --watermark-delay 5m --max-future none \"$@\"; }
# Of what reaches into the span only what lies in it.
ask() { for m in sales busy visits stays best; do
          evquery $m --window own $SPAN --from $1 -f csv | awk -F, '$2 >= \"2026-02-16T01\" && $3 <= \"2026-02-16T06:00:00.000Z\"'
        done
        evquery sales --window 1h --agg 'sum(n) AS n, sum(total) AS total' $SPAN --from $1 -f csv; }\n";

#[track_caller]
fn run(place: &Path, script: &str) -> Ended {
    let ended = bash_in(place, &format!("set -e\n{script}"), b"");
    ended.assert_code(0);
    ended
}

/// Runs what `made` is given until it ends by itself, killed at each hour that it has committed. Prints how often that was.
const KILLED: &str = "until_done() {
       kills=0; code=137
       while [ $code = 137 ]; do
         code=0; EVKIT_FAULT=backfill.after-progress:1 made \"$@\" --stats json 2>> said || code=$?
         if [ $code = 137 ]; then kills=$((kills + 1)); fi
       done
       [ $code = 0 ]; echo $kills
     }\n";

#[test]
fn one_that_is_killed_is_taken_up_where_it_was() {
    for lateness in ["0s", "15m"] {
        let place = tempfile::tempdir().unwrap();
        let ended = run(
            place.path(),
            &format!(
                "{EVENTS}{METRICS}{KILLED}
                 made --allowed-lateness {lateness} -q --to store:live.db ?.ndjson
                 over() {{ echo --allowed-lateness {lateness} --from archive:A $SPAN --to store:$1.db; }}
                 made $(over straight) --stats json 2> straight
                 until_done $(over killed)
                 made -q $(over live)
                 for s in live straight killed; do ask store:$s.db > $s.csv; evquery --check -q --from store:$s.db; done
                 cmp live.csv straight.csv; cmp killed.csv straight.csv; wc -l < live.csv
                 grep -c 'goes on at' said
                 made $(over killed) --stats json 2> again; ! grep 'goes on at' again
                 ask store:killed.db | cmp - straight.csv
                 for s in straight again said; do grep -v 'goes on' $s | tail -n 1 | sed 's/.*\"in\":\\([0-9]*\\).*/\\1/'; done"
            ),
        );
        let found: Vec<u64> = ended.stdout.lines().map(|line| line.trim().parse().unwrap()).collect();
        let [kills, rows, taken_up, straight, again, last] = found[..] else { panic!("{found:?}") };
        assert!(kills >= 3 && rows > 600, "{found:?}");
        assert_eq!(taken_up, kills, "each run goes on where the one before it was");
        assert_eq!(straight, again, "one that is complete is made anew, whole");
        assert!(last * 4 < straight * 3, "what has been made is not read again: {found:?}");
    }
}

#[test]
fn it_is_taken_up_only_if_it_would_be_made_of_the_same() {
    let place = tempfile::tempdir().unwrap();
    // After each kill something is another: then all is made anew, and nothing that was there before is left standing.
    let cut =
        "cut() { code=0; EVKIT_FAULT=backfill.after-progress:1 made \"$@\" 2> said || code=$?; [ $code = 137 ]; }";
    let script = format!(
        "{EVENTS}{METRICS}{cut}
         ALL='--from archive:A --to store:s.db'
         cut $ALL $SPAN
         made $ALL $SPAN --stats json 2> said; grep -q 'goes on at' said
         again() {{ cut $ALL $SPAN; made \"$@\" 2> said; ! grep 'goes on at' said; }}
         again $ALL $SPAN --no-resume
         again $ALL --start 2026-02-16T01:30:00Z --until 2026-02-16T06:30:00Z
         again $ALL $SPAN --late-to late
         again $ALL $SPAN --max-rejects 1%
         again $ALL $SPAN --to rows.ndjson
         # The same to a later end is gone on with.
         cut $ALL $SPAN; made $ALL --start 2026-02-16T01:00:00Z --until 2026-02-16T07:00:00Z 2> said; grep -q 'goes on at' said
         made -q $ALL $SPAN; ask store:s.db > before.csv
         # Events that come behind what was made change nothing of it; others do.
         cut $ALL $SPAN; event() {{ sed \"s/\\\"timestamp\\\":\\\"[^\\\"]*/\\\"timestamp\\\":\\\"$1/\" <(head -n 1 all.ndjson); }}
         event 2026-02-16T06:00:00Z > more.ndjson; made -q --to /dev/null more.ndjson --archive A
         made $ALL $SPAN 2> said; grep -q 'goes on at' said
         cut $ALL $SPAN; event 2026-02-16T01:10:00Z > other.ndjson; made -q --to /dev/null other.ndjson --archive A
         made $ALL $SPAN 2> said; ! grep 'goes on at' said
         ask store:s.db > after.csv; (diff before.csv after.csv || true) | grep -c '^>'"
    );
    let ended = run(place.path(), &script);
    let changed: u64 = ended.stdout.lines().last().unwrap().parse().unwrap();
    assert!(changed >= 2, "{}", ended.stdout);
    let refused = bash_in(place.path(), "evwindow -t 1m --no-resume all.ndjson", b"");
    refused.assert_code(2);
    assert!(refused.stderr.contains("it is for windows that are made anew from an archive"), "{}", refused.stderr);
}

/// Everything that a bucket holds, and its roll-ups.
fn everything(bucket: &Real) -> Vec<String> {
    let mut all = Vec::new();
    for (metric, tags) in [
        ("sales", &["event_type"][..]),
        ("busy", &["country"]),
        ("visits", &["user_id"]),
        ("stays", &["user_id"]),
        ("best", &["product_id", "rank"]),
    ] {
        let mut add = |suffix: &str, measurement: String, tags: &[&str]| {
            let points = bucket.points(suffix, &measurement, tags).into_iter();
            all.extend(points.map(|point| format!("{measurement} {point}")));
        };
        add("", metric.to_owned(), tags);
        add("", format!("evkit.points.{metric}"), &["series"]);
        add("_rollups", format!("evkit.rollups.{metric}"), &["series"]);
        add("_rollups", format!("{metric}.1h"), tags);
        add("_rollups", format!("{metric}.1d"), tags);
        add("_rollups", "evkit.backfill".to_owned(), &["metric"]);
    }
    all
}

#[test]
fn a_bucket_is_made_anew_as_the_live_run_wrote_it_however_often_that_is_killed() {
    let buckets = || Real::of_environment("a bucket is made anew as the live run wrote it");
    let (Some(live), Some(straight), Some(killed)) = (buckets(), buckets(), buckets()) else { return };
    let place = tempfile::tempdir().unwrap();
    let names = format!(
        "export INFLUX_TOKEN={} INFLUX_CONFIGS_PATH=none; live={} straight={} killed={}
         again=\"--from archive:A $SPAN --to\"\n",
        live.token,
        live.to(),
        straight.to(),
        killed.to()
    );
    let run = |script: &str| run(place.path(), &format!("{METRICS}{KILLED}{names}{script}"));
    run(&format!("{EVENTS} made -q --at-end drop --to $live ?.ndjson; ask $live > live.csv"));
    let written = everything(&live);
    assert!(written.len() > 4000, "{} points", written.len());
    run("made -q $again $straight; ask $straight | cmp - live.csv");
    let ended = run("until_done $again $killed; grep -c 'goes on at' said; ask $killed | cmp - live.csv");
    let found: Vec<u64> = ended.stdout.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert!(found[0] >= 3 && found[0] == found[1], "each run goes on where the one before it was: {found:?}");
    let once = everything(&straight);
    assert!(everything(&killed) == once, "killed, other points were written");
    run("made -q $again $straight; made -q $again $live; made -q $again $live");
    assert!(everything(&straight) == once, "the second time other points were written");
    assert!(everything(&live) == written, "a backfill has changed what the live run wrote");
}

#[test]
fn a_bucket_is_made_anew_by_one_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    run(place.path(), EVENTS);
    // The first one waits for ever in the midst of writing.
    let fake = Fake::start(|_, _| Reply::Hangs);
    let script = |to: &str| {
        format!("{METRICS}export INFLUX_TOKEN=x INFLUX_CONFIGS_PATH=none; made -q --from archive:A $SPAN --to {to}")
    };
    let to = format!("influx://{}/o/b", fake.address);
    let first = Running::start_in(place.path(), &script(&to));
    let begun = Instant::now();
    while fake.writes().is_empty() {
        assert!(begun.elapsed() < LIMIT, "nothing was written");
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = bash_in(place.path(), &script(&to), b"");
    second.assert_code(5);
    assert!(second.stderr.contains("anew: another backfill does"), "{}", second.stderr);
    first.signal(libc::SIGKILL);
    drop(first);
    let other = Fake::start(|_, _| Reply::done());
    run(place.path(), &script(&format!("influx://{}/o/b", other.address)));
}

/// A live run that lost events which the archive has, so that its windows hold rows that are no more: sessions that a lost event
/// joins, groups that lost events keep out of the top, sessions that are too short to fail `--having`; and groups that the archive
/// does not know.
const LOST: &str = "mkdir lost; for n in 0 1 2; do awk 'NR % 5' $n.ndjson > lost/$n.ndjson; done
     ghost() { for time; do echo '{\"timestamp\":\"2026-02-16T'$time'Z\",\"event_type\":\"ghost\",\"user_id\":\"'$time'\",\"properties\":{\"amount\":1}}'; done; }
     ghost 00:00:01 00:50:00 02:03:00 02:04:00 02:40:00 05:30:00 06:10:00 | cat - lost/0.ndjson > with; mv with lost/0.ndjson\n";

/// Of everything that a bucket holds, what is of the windows of a span of times: without what was taken back, and the roll-ups of the
/// day, which are of other windows, too.
fn standing(all: &[String], from: &str, until: &str) -> Vec<String> {
    let is_within = |line: &&String| {
        let (measurement, rest) = line.split_once(' ').expect("a measurement comes first");
        let time = &rest["2026-02-16T".len()..];
        !measurement.ends_with(".1d") && !rest.contains("  ") && from <= time && time < until
    };
    let mut found: Vec<String> = all.iter().filter(is_within).cloned().collect();
    found.sort();
    found
}

#[test]
fn a_bucket_holds_of_windows_made_anew_what_was_made_and_nothing_else() {
    let buckets = || Real::of_environment("a bucket holds of windows made anew what was made and nothing else");
    let (Some(once), Some(killed), Some(fresh)) = (buckets(), buckets(), buckets()) else { return };
    let place = tempfile::tempdir().unwrap();
    let names = format!(
        "export INFLUX_TOKEN={} INFLUX_CONFIGS_PATH=none; once={} killed={} fresh={}
         anew=\"--from archive:A $SPAN --to\"\n",
        once.token,
        once.to(),
        killed.to(),
        fresh.to()
    );
    let run = |script: &str| run(place.path(), &format!("{METRICS}{names}{script}"));
    run(&format!(
        "{EVENTS}{LOST}
         for to in $once $killed store:s.db; do made -q --at-end drop --to $to lost/?.ndjson; done
         ask store:s.db > live.csv; ask $once | cmp - live.csv
         made -q $anew store:s.db; ask store:s.db > made.csv; made -q $anew $fresh"
    ));
    let live = everything(&once);
    let told = run("made --stats text $anew $once 2>&1 | grep 'taken back'; ask $once | cmp - made.csv
                    (diff live.csv made.csv || true) | grep -c '^<'")
    .stdout;
    let changed: u64 = told.lines().last().unwrap().parse().unwrap();
    assert!(changed > 300 && told.contains(" points taken back that the windows made anew have no more"), "{told}");
    let after = everything(&once);
    // No window of another length that begins before this time ends beyond the span.
    let made = standing(&everything(&fresh), "01:00", "04:30:00");
    assert!(made.len() > 2000, "{} points", made.len());
    let now = standing(&after, "01:00", "04:30:00");
    let (more, less) = (difference(&now, &made), difference(&made, &now));
    assert!(more.is_empty() && less.is_empty(), "what is too much: {more:#?}\nwhat is missing: {less:#?}");
    for (from, until) in [("00:00", "01:00"), ("06:00", "99")] {
        let kept = standing(&live, from, until);
        assert!(!kept.is_empty() && kept == standing(&after, from, until), "{from} to {until} is not of the span");
    }
    let again = run("made --stats text $anew $once 2>&1; ask $once | cmp - made.csv").stdout;
    assert!(!again.contains("taken back"), "the second time there was something to take back: {again}");
    assert!(everything(&once) == after, "the second time other points were written");
    // Killed at each of these points, in the first stretch and in a later one.
    run(
        "for point in after-points:1 within-taking-back:1 after-taking-back:1 within-taking-back:2 after-progress:1; do
           code=0; EVKIT_FAULT=backfill.$point made $anew $killed 2>> said || code=$?; [ $code = 137 ]
         done
         made $anew $killed 2>> said; ask $killed | cmp - made.csv; grep -q 'goes on at' said",
    );
    assert!(everything(&killed) == after, "killed, the bucket holds something else");
}

/// The lines of one that the other lacks.
fn difference(one: &[String], other: &[String]) -> Vec<String> {
    one.iter().filter(|line| other.binary_search(line).is_err()).take(20).cloned().collect()
}

#[test]
fn nothing_of_a_point_that_was_overwritten_shows_through() {
    let Some(bucket) = Real::of_environment("nothing of a point that was overwritten shows through") else { return };
    let place = tempfile::tempdir().unwrap();
    let script = r#"
        event() { echo "{\"timestamp\":\"2026-02-16T$1Z\",\"g\":$2,\"x\":$3}"; }
        { event 09:00:00 '"a"' 1; event 10:00:00 '"a"' 1; } > before
        { event 10:02:00 1 5; event 10:03:00 null 6; event 10:03:00 '"b"' 1; event 12:00:00 '"a"' 1; } > after
        # The live run has seen another event, and groups of another type, and of none.
        { cat before; event 10:00:20 '"a"' 3; cat after; } > live
        { cat before; event 10:02:00 '"1"' 5; event 10:03:00 '"b"' 1; event 12:00:00 '"a"' 1; } > archived
        cat > m.toml <<'EOF'
[[metric]]
name = "visits"
session = "1m"
by = "g"
agg = "count(*) AS n, stddev_samp(x) AS spread"
[[metric]]
name = "minutes"
tumbling = "1m"
by = "g"
agg = "count(*) AS n, stddev_samp(x) AS spread"
EOF
        made() { evwindow --metrics m.toml --point-time end --max-future none --watermark-delay 1m -q "$@"; }
        made --to /dev/null archived --archive A
        made --to $to live
        for round in 1 2; do made --from archive:A --start 2026-02-16T09:30:00Z --until 2026-02-16T11:00:00Z --to $to; done
        for m in visits minutes; do evquery $m --window own --start 2026-02-16T09:30:00Z --until 2026-02-16T11:00:00Z --from $to -f csv | cut -d , -f 2-6; done"#;
    let names = format!("export INFLUX_TOKEN={} INFLUX_CONFIGS_PATH=none; to={}\n", bucket.token, bucket.to());
    let ended = run(place.path(), &format!("{names}{script}"));
    let expected = [
        "window_start,window_end,g,n,spread",
        "2026-02-16T10:00:00.000Z,2026-02-16T10:01:00.000Z,a,1,",
        "2026-02-16T10:02:00.000Z,2026-02-16T10:03:00.000Z,1,1,",
        "2026-02-16T10:03:00.000Z,2026-02-16T10:04:00.000Z,b,1,",
    ];
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), [expected, expected].concat());
    // Its points for everybody: of both metrics, of the hour and of the day.
    let told = "4 points no longer hold and still stand: a group column of theirs is NULL";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    for metric in ["visits", "minutes"] {
        let points = bucket.points("", metric, &["g"]);
        let points: Vec<&str> = points.iter().map(String::as_str).filter(|point| point.contains("T10:")).collect();
        let undeletable = "2026-02-16T10:04:00Z n 1 ";
        let made = ["2026-02-16T10:01:00Z n 1 a", "2026-02-16T10:03:00Z n 1 1", "2026-02-16T10:04:00Z n 1 b"];
        assert_eq!(points, [made[0], made[1], undeletable, made[2]], "{metric}");
    }
}

#[test]
fn an_entry_goes_after_all_that_is_made_of_it() {
    let place = tempfile::tempdir().unwrap();
    // A point stands in an hour of which the archive has no event, and reaches into one of which it has some.
    let answer = "#datatype,string,long,dateTime:RFC3339,string,string\n#group,false,false,false,true,true\n#default,_result,,,,\n\
                  ,result,table,_time,_field,series\n,,0,2026-02-16T11:59:00Z,l120000000,-\n";
    let is_what_stands = |asked: &Asked| asked.body.contains("evkit.points.m") && asked.body.contains("_value !=");
    let answer_to = move |asked: &Asked| if is_what_stands(asked) { answer } else { "\r\n" }.to_owned();
    let fake = Fake::start_answering(|_, _| Reply::done(), answer_to);
    let script = format!(
        "for hour in 09 10 12 13; do echo '{{\"timestamp\":\"2026-02-16T'$hour':00:00Z\"}}'; done > e.ndjson
         made() {{ evwindow -t 1m --name m --watermark-delay 0s --max-future none -q \"$@\"; }}
         made --to /dev/null e.ndjson --archive A
         export INFLUX_TOKEN=x INFLUX_CONFIGS_PATH=none
         made --from archive:A --start 2026-02-16T09:30:00Z --until 2026-02-16T12:59:00Z --to influx://{}/o/b",
        fake.address
    );
    run(place.path(), &script);
    // What was sent since the point was last found.
    let asked = fake.asked();
    let found = asked.iter().rposition(is_what_stands).unwrap();
    let changes = asked[found..].iter().filter(|asked| asked.is_write() || asked.path.ends_with("/delete"));
    let changes: Vec<String> = changes.map(|asked| asked.body.replace("\\\"", "'")).collect();
    let at = |time: &str| Timestamp::parse_argument(time, Timestamp(0)).unwrap().0 * 1000;
    let (hour, minute, day) = (at("2026-02-16T11:00:00Z"), at("2026-02-16T11:59:00Z"), at("2026-02-16T00:00:00Z"));
    let deleted = |time: &str, measurement: &str| {
        format!(r#"{{"start":"{time}","stop":"{time}","predicate":"_measurement='{measurement}'"}}"#)
    };
    let expected = [
        format!("evkit.rollups.m,series=- hour=\"\" {hour}\nm.1d count=2i {day}\n"),
        deleted("2026-02-16T11:00:00.000Z", "m.1h"),
        deleted("2026-02-16T11:59:00.000Z", "m"),
        format!("evkit.points.m,series=- l120000000=\"\" {minute}\n"),
    ];
    assert_eq!(changes[..4], expected);
    assert!(changes[4..].iter().all(|change| change.contains("'evkit.backfill'")), "then it is complete: {changes:?}");
}
