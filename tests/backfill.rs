//! Backfills as a user meets them: windows made anew from an archive, into a store and into a bucket, cut short and taken up again.

#[path = "support/influx.rs"]
mod influx;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::influx::{Fake, Real, Reply};
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
name = \"best\"
tumbling = \"3h\"
by = \"properties.product_id\"
top = 3
EOF
SPAN='--start 2026-02-16T01:00:00Z --until 2026-02-16T06:00:00Z'
made() { evwindow --threads 1 --metrics m.toml --watermark-delay 5m --max-future none \"$@\"; }
# Of what reaches into the span only what lies in it.
ask() { for m in sales busy visits best; do
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
