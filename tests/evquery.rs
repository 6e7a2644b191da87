//! evquery on stores made by the real writer of what the real operator folded: its answers are those of evwindow over the raw
//! events, bit for bit, or refusals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use evkit::codec::partial::{Line, parse};
use evkit::metric::Metric;
use evkit::plan::MetricText;
use evkit::store::retention::{Limits, retain};
use evkit::store::{Catalogue, Job, StoreError, Writer};
use evkit::time::{Duration, Timestamp, Window, parse_rfc3339};
use evkit::value::Value;

use crate::points::{DAY, Event, HOUR, MINUTE, catalogue, job, query, rows};
use crate::random::Random;
use crate::support::{Ended, LIMIT, Running, bash_in};

#[path = "support/points.rs"]
mod points;
#[path = "support/random.rs"]
mod random;
mod support;

/// Runs a command line in a folder whose store is `s.db`.
fn run(place: &Path, script: &str) -> Ended {
    bash_in(place, &format!("export EVKIT_STORE=s.db\n{script}"), b"")
}

#[track_caller]
fn check(place: &Path, script: &str, expected: &str) {
    let ended = run(place, script);
    assert_eq!(ended.stdout.trim_end(), expected.trim(), "{script}\n{}", ended.stderr);
    ended.assert_code(0);
}

#[track_caller]
fn check_refused(place: &Path, script: &str, code: i32, expected: &str) {
    let ended = run(place, script);
    ended.assert_code(code);
    assert!(ended.stderr.contains(expected), "{script}\n{}", ended.stderr);
}

const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// Opens a store for writing. A program that another test starts at this moment has a share in locks that were let go, until it runs.
fn open(path: &Path, job: &Job) -> Writer {
    let deadline = Instant::now() + LIMIT;
    loop {
        match Writer::open(path, job) {
            Err(StoreError::Owned { .. }) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            opened => return opened.unwrap().0,
        }
    }
}

/// Stores what `evwindow --emit partials` folds of `events.ndjson`: each slice's partial is a row with its state.
fn store_partials(place: &Path, text: &MetricText) {
    let (tumbling, by, agg) = (text.tumbling.as_ref(), text.by.as_ref(), text.agg.as_ref());
    let by = by.map_or_else(String::new, |by| format!("-b '{by}'"));
    let script = format!(
        "evwindow -t {} {by} -a \"{}\" --emit partials events.ndjson",
        tumbling.expect("a tumbling window"),
        agg.expect("aggregates")
    );
    let ended = bash_in(place, &script, b"");
    ended.assert_quiet();
    let catalogue = catalogue(text);
    let mut writer = open(&place.join("s.db"), &job(std::slice::from_ref(&catalogue)));
    for line in ended.stdout.lines() {
        let Line::Partial(_, partial) = parse(line.as_bytes()).unwrap() else { continue };
        let values = vec![Value::Null; catalogue.fields.len()];
        writer
            .write(&[Metric {
                metric: 0,
                window: partial.span,
                groups: partial.groups,
                aggregates: values.into(),
                rank: None,
                revision: 0,
                is_final: true,
                retracted: false,
                state: Some(partial.state.into()),
            }])
            .unwrap();
    }
    writer.commit(&[], b"").unwrap();
}

const RECOMBINING: &str = "count(*) AS n, count(x) AS xs, approx_count_distinct(u) AS users, sum(x) AS total, avg(x) AS mean, \
    min(x) AS least, max(x) AS most, first(x) AS opening, last(x) AS closing, stddev_samp(x) AS spread, stddev_pop(x) AS sp, \
    var_samp(x) AS vs, var_pop(x) AS vp, approx_percentile(x, 0.9) AS p90, topk(x, 3) AS best, rate(x) AS speed";

/// Events of two days, in order; the last one in the last minute, so that every window is complete.
fn write_events(place: &Path, random: &mut Random) {
    let mut events = String::new();
    let mut times: Vec<i64> = (0..600).map(|_| random.below(2 * DAY as u64) as i64).collect();
    times.push(2 * DAY - 1000);
    times.sort_unstable();
    for time in times {
        let x = match random.below(6) {
            0 => "null".to_owned(),
            1 => (random.below(2000) as i64 - 1000).to_string(),
            2 => format!("{:e}", f64::from_bits(random.next() >> 2)),
            _ => format!("{}.{:03}", random.below(100_000), random.below(1000)),
        };
        let (group, user) = (["a", "b", "c"][random.below(3) as usize], random.below(50));
        let time = Timestamp(time - time % 1000);
        writeln!(events, r#"{{"timestamp":"{time}","g":"{group}","h":{},"x":{x},"u":{user}}}"#, random.below(2))
            .unwrap();
    }
    std::fs::write(place.join("events.ndjson"), events).unwrap();
}

#[test]
fn coarser_windows_and_fewer_groups_are_what_the_raw_events_give() {
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        write_events(place, &mut Random(seed));
        let fine = ["1m", "5m", "15m", "1h"][seed as usize];
        store_partials(place, &query("m", fine, "g, h", RECOMBINING));
        for window in ["1h", "2h", "6h", "1d", "2d"] {
            for (by, total) in [("g,h", ""), ("g", ""), ("", "--total")] {
                let by = if by.is_empty() { String::new() } else { format!("-b {by}") };
                let raw = run(place, &format!("evwindow -t {window} {by} --name m -a \"{RECOMBINING}\" events.ndjson"));
                raw.assert_quiet();
                let range = "--start 1970-01-01 --until 1970-01-03";
                let asked = run(place, &format!("evquery m --window {window} {by} {total} {range}"));
                asked.assert_quiet();
                assert!(raw.stdout.lines().count() > 0);
                for (asked, raw) in asked.stdout.lines().zip(raw.stdout.lines()) {
                    assert_eq!(asked, raw, "seed {seed}: {fine} to {window} {by}");
                }
                assert_eq!(asked.stdout.lines().count(), raw.stdout.lines().count(), "{window} {by}");
            }
        }
        run(place, "evquery --check").assert_code(0);
    }
}

#[test]
fn what_does_not_recombine_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    write_events(place, &mut Random(9));
    let agg = "count(*) AS n, count(DISTINCT u) AS users, median(x) AS middle";
    store_partials(place, &query("m", "1m", "g", agg));
    check_refused(
        place,
        "evquery m --window 1h --field users",
        2,
        "cannot recombine the field 'users' to coarser windows",
    );
    check_refused(
        place,
        "evquery m --total --window own --field middle",
        2,
        "--archive DIR; or store approx_percentile",
    );
    check_refused(
        place,
        "evquery m --window 90s",
        2,
        "cannot make windows of 90s from windows of 1m: it is no multiple",
    );
    check_refused(
        place,
        "evquery m --by x",
        2,
        "the metric 'm' has no group column 'x'\nhint: each group column there is: g",
    );
    check_refused(place, "evquery m --field x", 2, "has no field 'x'\nhint: each field there is: n, users, middle");
    check_refused(place, "evquery m --window 1h -a 'avg(users)'", 2, "the field 'users' is itself count(DISTINCT …)");
    check_refused(place, "evquery z", 1, "has no metric 'z'\nhint: it has m");
    let ended = run(place, "evquery m --window 1d --start 1970-01-01");
    assert!(ended.stderr.contains("'users', 'middle' is left out"), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 6);
}

/// Minutes of an hour from the epoch on: groups a and b, amounts 1 to 60 in a and 10 in b, which has none in the second half.
fn store_minutes(place: &Path) -> Catalogue {
    let text = query("revenue", "1m", "shop", "count(*) AS orders, sum(x) AS revenue, avg(x) AS mean");
    let catalogue = catalogue(&text);
    let event = |shop: &str, minute: i64, amount: i64| Event {
        groups: vec![Value::Text(shop.into())],
        time: minute * MINUTE,
        amount: Value::Int(amount.into()),
    };
    let mut events: Vec<Event> = (0..60).map(|minute| event("a", minute, i64::from(minute as i32) + 1)).collect();
    events.extend((0..30).map(|minute| event("b", minute, 10)));
    let mut writer = open(&place.join("s.db"), &job(std::slice::from_ref(&catalogue)));
    writer.write(&rows(0, &catalogue, &events)).unwrap();
    writer.commit(&[], b"").unwrap();
    catalogue
}

#[test]
fn rows_are_chosen_ranked_filled_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    store_minutes(place);
    check(
        place,
        "evquery revenue --window 1h -f csv",
        "metric,window_start,window_end,shop,orders,revenue,mean,revision
revenue,1970-01-01T00:00:00.000Z,1970-01-01T01:00:00.000Z,a,60,1830,30.5,0
revenue,1970-01-01T00:00:00.000Z,1970-01-01T01:00:00.000Z,b,30,300,10.0,0",
    );
    check(
        place,
        "evquery revenue --total --field revenue --window 30m --compare 30m -f csv | cut -d, -f4-",
        "revenue,revenue_before,revenue_change,revision
765,,,0
1365,765,0.7843137254901961,0",
    );
    check(
        place,
        "evquery revenue -n 1 --order-by 'revenue DESC' --window 30m -f csv --field revenue | cut -d, -f4-",
        "shop,revenue,rank,revision\na,465,1,0\na,1365,1,0",
    );
    check(
        place,
        "evquery revenue -w \"shop = 'b'\" --window 15m --fill zero -f csv | cut -d, -f4-",
        "shop,orders,revenue,mean,revision\nb,15,150,10.0,0\nb,15,150,10.0,0\nb,0,0,0,0\nb,0,0,0,0",
    );
    check(
        place,
        "evquery revenue -w 'revenue > 1000' --window 1h --field revenue -f csv | cut -d, -f4-",
        "shop,revenue,revision\na,1830,0",
    );
    check(
        place,
        "evquery revenue --by shop --window 1h -a 'max(revenue) AS peak, avg(revenue) AS usual, count(*) AS minutes' -f csv | cut -d, -f4-",
        "shop,peak,usual,minutes,revision\na,60,30.5,60,0\nb,10,10.0,30,0",
    );
    check(
        place,
        "evquery revenue --start 1970-01-01T00:58:30Z --field revenue -f line-protocol",
        "revenue,shop=a revenue=59 3480000000000\nrevenue,shop=a revenue=60 3540000000000",
    );
    check(place, "evquery revenue --window all --total --field orders -f csv | cut -d, -f4-", "orders,revision\n90,0");
    check(
        place,
        "evquery revenue --window 1h --field revenue -f table",
        "start (UTC)          end           shop                     revenue
1970-01-01 00:00:00  01:00:00      a                           1830
1970-01-01 00:00:00  01:00:00      b                            300",
    );
}

#[test]
fn a_window_that_has_not_ended_is_not_final_and_does_not_fail() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    store_minutes(place);
    check_refused(place, "evquery revenue --window 1h --fail-if \"shop = 'b' AND revenue < 1000\"", 6, "is TRUE for {");
    check_refused(place, "evquery revenue --window 1h --fail-if 'nothing < 1000'", 2, "wrong --fail-if");
    run(place, "evquery revenue --window 2h --fail-if 'revenue < 1000'").assert_code(0);
    let rows = run(place, "evquery revenue --window 2h --total --field orders").stdout;
    assert!(rows.contains(r#""orders":90,"revision":0,"final":false}"#), "{rows}");
}

#[test]
fn the_range_chooses_the_grain_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    store_minutes(place);
    let ended = run(place, "evquery revenue --start 1969-12-01 --until 1970-01-02");
    assert!(
        ended.stderr.contains("evquery: windows of 1h from roll-ups by hour, 2 series in 2 groups"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stdout.lines().count(), 2);
    assert_eq!(run(place, "evquery revenue -q --start 1969-12-01 --until 1970-01-02").stderr, "");
    check(
        place,
        "evquery revenue --window 1d --explain",
        "windows of 1d from roll-ups by day, 2 series in 2 groups, from 1970-01-01T00:00:00.000Z to 1970-01-01T01:00:00.000Z
cold: roll-ups by day, from 1970-01-01T00:00:00.000Z to 1970-01-01T01:00:00.000Z, in 's.db'",
    );
    check(
        place,
        "evquery revenue --window 1h --until 1970-01-01T02:00:00Z --explain | tail -n 2",
        "cold: roll-ups by hour, from 1970-01-01T00:00:00.000Z to 1970-01-01T01:00:00.000Z, in 's.db'
hot: points whose windows have not fired, from 1970-01-01T01:00:00.000Z to 1970-01-01T02:00:00.000Z, in 's.db'",
    );
    let ended = run(place, "evquery revenue --last 1h --now 1980-01-01");
    assert!(
        ended.stderr.contains("no rows: the points of 'revenue' lie between 1970-01-01T00:00:00.000Z"),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_store_is_listed_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    store_minutes(place);
    check(
        place,
        "evquery list",
        r#"{"metric":"revenue","window":"tumbling 1m","fields":["orders","revenue","mean"],"groups":["shop"],"series":2,"points":90,"first":"1970-01-01T00:00:00.000Z","last":"1970-01-01T00:59:00.000Z"}"#,
    );
    check(
        place,
        "evquery describe revenue -f table",
        "metric:     revenue
window:     tumbling 1m
series:     2
points:     90
first:      1970-01-01T00:00:00.000Z
last:       1970-01-01T00:59:00.000Z
recombines: yes
grains:     points hour day
refused:    0

field    aggregate  recombines
orders   count(*)   yes
revenue  sum(x)     yes
mean     avg(x)     yes

group column  values  examples
shop               2  a b",
    );
    check(
        place,
        "evquery list -f csv --from store:s.db | head -1",
        "metric,window,fields,groups,series,points,first,last",
    );
}

#[test]
fn charts_are_drawn_in_the_terminal_and_as_svg() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    store_minutes(place);
    let bars = run(place, "COLUMNS=40 evquery revenue --window 1h --field revenue --chart");
    assert_eq!(bars.stdout, "revenue: revenue by shop\na ███████████████████████████ 1830\nb ████▍ 300\n");
    let ended = run(place, "evquery revenue --field revenue --chart --svg chart.svg");
    assert!(ended.stdout.contains('┤') && ended.stdout.contains("a a   b b"), "{}", ended.stdout);
    let svg = std::fs::read_to_string(place.join("chart.svg")).unwrap();
    assert!(svg.contains("revenue: revenue by shop") && svg.contains("<polyline"));
}

#[test]
fn points_that_retention_dropped_live_on_as_roll_ups() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let text = query("m", "1m", "g", "count(*) AS n, sum(x) AS total");
    let catalogue = catalogue(&text);
    let job: Job = job(std::slice::from_ref(&catalogue));
    let path = place.join("s.db");
    let event = |hour: i64| Event {
        groups: vec![Value::Int((hour % 3).into())],
        time: hour * HOUR + 7 * MINUTE,
        amount: Value::Int(hour.into()),
    };
    let all: Vec<Event> = (0..40 * 24).map(event).collect();
    let mut writer = open(&path, &job);
    writer.write(&rows(0, &catalogue, &all)).unwrap();
    writer.commit(&[], b"").unwrap();
    let hourly = "evquery m -q --window 1h --start 1970-01-01 --until 1970-02-10";
    let before = run(place, hourly).stdout;
    let limits = Limits { hot: Some(Duration(10 * DAY)), cold: None };
    let dropped = retain(&path, limits, Timestamp(40 * DAY)).unwrap();
    assert_eq!((dropped[0].points, dropped[0].roll_ups), (30 * 24, 0));
    assert!(run(place, hourly).stdout == before, "roll-ups give another answer than points");
    check_refused(place, "evquery m --window 5m --start 1970-01-01", 2, "were dropped by retention");
    let rest = run(place, "evquery m --window own --start 1970-01-01");
    assert_eq!(rest.stdout.lines().count(), 10 * 24);
    assert!(rest.stderr.contains("was dropped by retention"), "{}", rest.stderr);

    // A late row of that time would make a wrong roll-up: it is refused and counted.
    writer.write(&rows(0, &catalogue, &[event(5), event(39 * 24 + 1)])).unwrap();
    writer.commit(&[], b"").unwrap();
    assert_eq!(writer.refused(), 1);
    assert!(run(place, hourly).stdout == before, "roll-ups give another answer than points");
    run(place, "evquery --check").assert_code(0);

    let cold = run(place, "evquery admin retention --hot 10d --cold 20d --now 1970-02-10");
    assert!(cold.stdout.starts_with("m: 0 points and "), "{}{}", cold.stdout, cold.stderr);
    let rest = run(place, hourly).stdout;
    assert_eq!(rest.lines().count(), 20 * 24);
    assert!(before.ends_with(&rest));
    run(place, "evquery --check").assert_code(0);
    run(place, "evquery admin retention --cold 0d --now 1970-03-01").assert_code(0);
    assert!(run(place, "evquery list").stdout.contains(r#""series":0,"points":0"#));
    // Series that were swept away come back with their next row.
    writer.write(&rows(0, &catalogue, &[event(80 * 24)])).unwrap();
    writer.commit(&[], b"").unwrap();
    assert!(run(place, "evquery list").stdout.contains(r#""series":1,"points":1"#));
    run(place, "evquery --check").assert_code(0);
}

#[test]
fn new_rows_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let catalogue = store_minutes(place);
    let mut running =
        Running::start_in(place, "EVKIT_STORE=s.db evquery revenue --follow --start 1970-01-01T00:59:00Z");
    let first = running.line().expect("the row that is there");
    assert!(first.contains(r#""shop":"a","orders":1,"revenue":60"#), "{first}");
    let mut writer = open(&place.join("s.db"), &job(std::slice::from_ref(&catalogue)));
    for (minute, amount) in [(60, 7), (61, 8), (60, 9)] {
        let row = rows(0, &catalogue, &[of_shop_a(minute, amount)]).remove(0);
        writer.write(&[Metric { revision: u32::from(amount == 9), ..row }]).unwrap();
        writer.commit(&[], b"").unwrap();
        let line = running.line().expect("the new row");
        assert!(line.contains(&format!(r#""revenue":{amount}"#)), "{line}");
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.finish().code, 143);
}

/// Follows the metric of `store_minutes`; ready when its first line was read.
fn following(place: &Path) -> Running {
    let mut running = Running::start_in(place, "EVKIT_STORE=s.db evquery revenue --follow -f csv");
    let first = running.line().expect("the names of the columns");
    assert!(first.starts_with("metric,window_start,"), "{first}");
    running
}

fn of_shop_a(minute: i64, amount: i64) -> Event {
    Event { groups: vec![Value::Text("a".into())], time: minute * MINUTE, amount: Value::Int(amount.into()) }
}

#[test]
fn a_metric_that_is_made_anew_is_followed_unless_another_query_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let one = store_minutes(place);
    let mut running = following(place);
    let anew = |catalogue: &Catalogue| {
        let fingerprint = vec![("--where".into(), "x > 1".into())];
        let job = Job { reset: true, fingerprint, ..job(std::slice::from_ref(catalogue)) };
        open(&place.join("s.db"), &job)
    };
    let mut writer = anew(&one);
    for (minute, amount) in [(5, 1005), (61, 1061), (5, 2005)] {
        let row = rows(0, &one, &[of_shop_a(minute, amount)]).remove(0);
        writer.write(&[Metric { revision: u32::from(amount > 2000), ..row }]).unwrap();
        writer.commit(&[], b"").unwrap();
        let line = running.line().expect("the new row");
        assert!(line.contains(&format!(",{amount},")), "{line}");
    }
    drop(writer);
    let other = catalogue(&query("revenue", "5m", "shop", "count(*) AS orders, sum(x) AS revenue, avg(x) AS mean"));
    let _writer = anew(&other);
    let ended = running.finish();
    ended.assert_code(1);
    let expected = "evquery: cannot follow the metric 'revenue' in the store 's.db' any longer: another query makes it now: \
                    the window was '--tumbling 1m' and is '--tumbling 5m'\nhint: run evquery again to follow that one";
    assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
}

#[test]
fn rows_of_which_the_store_has_forgotten_when_they_were_written_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let catalogue = store_minutes(place);
    let mut running = following(place);
    let mut writer = open(&place.join("s.db"), &job(std::slice::from_ref(&catalogue)));
    // Each commit becomes one of very many, of which the account of this one is forgotten.
    let many = "CREATE TRIGGER many AFTER INSERT ON changes BEGIN
        DELETE FROM changes; UPDATE meta SET commits = commits + 10001; END";
    rusqlite::Connection::open(place.join("s.db")).unwrap().execute_batch(many).unwrap();
    for amount in [1060, 2060] {
        let row = rows(0, &catalogue, &[of_shop_a(60, amount)]).remove(0);
        writer.write(&[Metric { revision: u32::from(amount > 2000), ..row }]).unwrap();
        writer.commit(&[], b"").unwrap();
        // The window that was the last at first may have changed. Those before are of no account.
        let mut line = running.line().expect("the new row");
        while line.starts_with("revenue,1970-01-01T00:59:00.000Z,") {
            line = running.line().expect("the new row");
        }
        assert!(line.starts_with("revenue,1970-01-01T01:00:00.000Z,"), "{line}");
        assert!(line.contains(&format!(",{amount},")), "{line}");
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.finish().code, 143);
}

#[test]
fn rows_without_a_grid_are_shown_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let text = MetricText {
        name: Some("visits".into()),
        session: Some("30m".into()),
        by: Some("user".into()),
        ..MetricText::default()
    };
    let catalogue = catalogue(&text);
    let mut writer = open(&place.join("s.db"), &job(std::slice::from_ref(&catalogue)));
    let time = |text: &str| parse_rfc3339(text.as_bytes()).unwrap();
    let visit = |user: &str, from: &str, to: &str, count: i128| Metric {
        metric: 0,
        window: Window::new(time(from), time(to)),
        groups: [Value::Text(user.into())].into(),
        aggregates: [Value::Int(count)].into(),
        rank: None,
        revision: 0,
        is_final: true,
        retracted: false,
        state: None,
    };
    writer
        .write(&[
            visit("b", "2026-01-01T10:00:00Z", "2026-01-01T10:40:00Z", 2),
            visit("a", "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z", 3),
            visit("a", "2026-01-03T10:00:00Z", "2026-01-03T10:30:00Z", 1),
        ])
        .unwrap();
    writer.commit(&[], b"").unwrap();
    check(
        place,
        "evquery visits --start 2026-01-01 -f csv | cut -d, -f2-",
        "window_start,window_end,user,count,revision
2026-01-01T10:00:00.000Z,2026-01-01T10:40:00.000Z,b,2,0
2026-01-01T10:00:00.000Z,2026-01-01T11:00:00.000Z,a,3,0
2026-01-03T10:00:00.000Z,2026-01-03T10:30:00.000Z,a,1,0",
    );
    check_refused(place, "evquery visits --window 1d", 2, "its windows are sessions, which have no common edges");
    check_refused(place, "evquery visits --total", 2, "cannot recombine the metric 'visits' to fewer groups");
    check_refused(place, "evquery visits --fill zero", 2, "its windows follow no grid");
}

#[test]
fn stores_that_cannot_be_read_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    check_refused(
        place,
        "evquery list",
        1,
        "evquery: there is no store at 's.db'\nhint: evwindow --to store: makes one",
    );
    std::fs::write(
        place.join("s.db"),
        "no database at all, though long enough to hold a header of one hundred bytes or more…",
    )
    .unwrap();
    check_refused(place, "evquery list", 1, "'s.db' is no store of evkit");
    std::fs::remove_file(place.join("s.db")).unwrap();
    check_refused(
        place,
        "evquery list --from a.db",
        2,
        "cannot take --from 'a.db': evquery reads a store\nhint: name it as store:a.db",
    );
    check_refused(place, "evquery", 2, "no metric is named");
    check_refused(place, "evquery admin retention", 2, "neither --hot nor --cold");
    store_minutes(place);
    check_refused(place, "evquery --check list", 2, "--check stands alone");
    check(place, "evquery --check", "the store 's.db' is whole: 1 metrics, 2 series, 90 points, 4 roll-ups");
}
