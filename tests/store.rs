//! The local store by its public face: what was written is read back, owners, crashes, roll-ups, broken files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use evkit::aggregate::Accumulators;
use evkit::metric::Metric;
use evkit::plan::MetricText;
use evkit::store::{
    Catalogue, Grain, Job, Metrics, News, Point, Reader, SourceOffset, StoreError, StoredMetric, Writer,
};
use evkit::time::{Timestamp, Window};
use evkit::value::Value;

use crate::points::{DAY, Event, HOUR, MINUTE, catalogue, job, query, row, rows};
use crate::random::Random;

#[path = "support/points.rs"]
mod points;
#[path = "support/random.rs"]
mod random;

const ALL_TIME: (Timestamp, Timestamp) = (Timestamp::MIN, Timestamp::MAX);

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/store.db");
    (folder, path)
}

fn counts() -> Catalogue {
    catalogue(&query("m", "1m", "g", "count(*) AS n, sum(x) AS total, count(DISTINCT x) AS kinds"))
}

fn event(group: &str, time: i64, amount: i64) -> Event {
    Event { groups: vec![Value::Text(group.into())], time, amount: Value::Int(amount.into()) }
}

fn source(offset: u64) -> Vec<SourceOffset> {
    vec![SourceOffset { name: "a.ndjson".into(), identity: vec![1, 2], offset, lines: 3 }]
}

/// Every point of a metric, with its group, by group and window.
fn all(path: &Path, name: &str) -> Vec<(Arc<[Value]>, Point)> {
    let reader = Reader::open(path).unwrap();
    let metric = reader.metric(name).unwrap().expect("the metric is in the store");
    let mut found = Vec::new();
    for series in reader.series(metric.id).unwrap() {
        reader.points(&metric, series.id, ALL_TIME, |point| found.push((series.groups.clone(), point))).unwrap();
    }
    found.sort_by_key(|(groups, point)| (format!("{groups:?}"), point.window));
    assert_eq!(found.len() as u64, metric.points, "the catalogue's count of points");
    found
}

/// Checks that the store has exactly the values of these rows.
#[track_caller]
fn check_points(path: &Path, name: &str, rows: &[Metric]) {
    let found: Vec<_> =
        all(path, name).into_iter().map(|(groups, point)| (groups, point.window, point.values)).collect();
    let mut expected: Vec<_> =
        rows.iter().map(|row| (row.groups.clone(), row.window, row.aggregates.clone())).collect();
    expected.sort_by_key(|(groups, window, _)| (format!("{groups:?}"), *window));
    assert_eq!(found, expected);
}

#[test]
fn rows_read_back_as_they_were_and_a_run_goes_on_where_it_ended() {
    let (_folder, path) = place();
    let catalogue = counts();
    let job = job(std::slice::from_ref(&catalogue));
    let events: Vec<Event> = (0..400).map(|i| event(["a", "b"][i % 2], i as i64 * 31_000_000, i as i64 % 7)).collect();
    let rows = rows(0, &catalogue, &events);
    let (mut writer, resume) = Writer::open(&path, &job).unwrap();
    assert_eq!(resume, None);
    let (first, second) = rows.split_at(rows.len() / 2);
    writer.write(first).unwrap();
    assert_eq!(writer.commit(&source(7), b"open").unwrap(), 1);
    writer.write(second).unwrap();
    drop(writer);
    check_points(&path, "m", first);

    let (mut writer, resume) = Writer::open(&path, &job).unwrap();
    let resume = resume.expect("the job was committed");
    assert_eq!((resume.sources, resume.state), (source(7), b"open".to_vec()));
    writer.write(second).unwrap();
    writer.commit(&source(8), b"").unwrap();
    check_points(&path, "m", &rows);
    drop(writer);
    let (_, resume) = Writer::open(&path, &job).unwrap();
    assert_eq!(resume.unwrap().sources[0].offset, 8);
}

#[test]
fn revisions_overwrite_and_retractions_remove() {
    let (_folder, path) = place();
    let catalogue = counts();
    let (mut writer, _) = Writer::open(&path, &job(std::slice::from_ref(&catalogue))).unwrap();
    let events: Vec<Event> = (0..90).map(|i| event("a", i * MINUTE, i)).collect();
    let rows = rows(0, &catalogue, &events);
    writer.write(&rows).unwrap();
    writer.commit(&[], b"").unwrap();
    let late = [&events[3], &event("a", 3 * MINUTE + 5, 100)];
    let revised = Metric { revision: 1, ..row(0, &catalogue, 3 * MINUTE, MINUTE, &late) };
    let gone = Metric { retracted: true, revision: 1, state: None, ..rows[80].clone() };
    let early = Metric { is_final: false, ..row(0, &catalogue, 90 * MINUTE, MINUTE, &[&event("a", 90 * MINUTE, 1)]) };
    writer.write(&[revised.clone(), gone, early.clone()]).unwrap();
    writer.commit(&[], b"").unwrap();
    let mut expected = rows.clone();
    expected[3] = revised;
    expected.remove(80);
    expected.push(early);
    check_points(&path, "m", &expected);
    check_roll_ups(&path, "m", "after a revision and a retraction");
    let points = all(&path, "m");
    assert_eq!((points[3].1.revision, points[3].1.is_final), (1, true));
    assert!(!points.last().unwrap().1.is_final);
}

#[test]
fn points_of_other_windows_keep_their_values_and_rank() {
    let (_folder, path) = place();
    let texts = [
        MetricText { name: Some("top".into()), tumbling: Some("1m".into()), top: Some(2), ..MetricText::default() },
        MetricText { name: Some("all".into()), global: true, ..MetricText::default() },
        MetricText { name: Some("visits".into()), session: Some("30m".into()), ..MetricText::default() },
    ];
    let catalogues: Vec<Catalogue> = texts.iter().map(catalogue).collect();
    let (mut writer, _) = Writer::open(&path, &job(&catalogues)).unwrap();
    let plain = |metric, window, rank| Metric {
        metric,
        window,
        groups: [].into(),
        aggregates: [Value::Int(5)].into(),
        rank,
        revision: 0,
        is_final: true,
        retracted: false,
        state: None,
    };
    let span = |start, end| Window::new(Timestamp(start), Timestamp(end));
    let rows = [
        plain(0, span(0, MINUTE), Some(2)),
        plain(1, Window::GLOBAL, None),
        plain(2, span(-77, 1234), None),
        plain(2, span(HOUR + 1, 2 * HOUR), None),
    ];
    writer.write(&rows).unwrap();
    writer.commit(&[], b"").unwrap();
    for (metric, name) in ["top", "all", "visits"].into_iter().enumerate() {
        let rows: Vec<Metric> = rows.iter().filter(|row| row.metric == metric).cloned().collect();
        check_points(&path, name, &rows);
    }
    assert_eq!(all(&path, "top")[0].1.rank, Some(2));
    let gone = Metric { retracted: true, ..rows[2].clone() };
    writer.write(&[gone]).unwrap();
    writer.commit(&[], b"").unwrap();
    check_points(&path, "visits", &rows[3..]);
}

#[test]
fn groups_are_told_apart_by_type() {
    let (_folder, path) = place();
    let catalogue = counts();
    let (mut writer, _) = Writer::open(&path, &job(std::slice::from_ref(&catalogue))).unwrap();
    let groups = [Value::Int(1), Value::Text("1".into()), Value::Null, Value::Text("".into()), Value::Bool(true)];
    let events: Vec<Event> =
        groups.iter().map(|group| Event { groups: vec![group.clone()], time: 0, amount: Value::Int(1) }).collect();
    let rows = rows(0, &catalogue, &events);
    writer.write(&rows).unwrap();
    writer.commit(&[], b"").unwrap();
    check_points(&path, "m", &rows);
}

/// What the points of a series give for each hour or day, as bytes.
fn recomputed(reader: &Reader, metric: &StoredMetric, series: i64, length: i64) -> Vec<(i64, Vec<u8>)> {
    let mut made: Vec<(i64, Accumulators)> = Vec::new();
    let add = |window: Window, partial: &[u8], is_final: bool| {
        if !is_final {
            return Ok(());
        }
        let start = window.start.0 - window.start.0.rem_euclid(length);
        if made.last().is_none_or(|(last, _)| *last != start) {
            let mut empty = Accumulators::new(&metric.catalogue.states());
            empty.add_group();
            made.push((start, empty));
        }
        made.last_mut().expect("one was pushed").1.decode_into_group(0, partial)
    };
    reader.partials(metric, series, Grain::Points, (ALL_TIME.0, ALL_TIME.1, Timestamp::MAX), add).unwrap();
    let bytes = |(start, accumulators): (i64, Accumulators)| {
        let mut out = Vec::new();
        accumulators.encode_group(0, &mut out);
        (start, out)
    };
    made.into_iter().map(bytes).collect()
}

#[track_caller]
fn check_roll_ups(path: &Path, name: &str, what: &str) {
    let reader = Reader::open(path).unwrap();
    let metric = reader.metric(name).unwrap().unwrap();
    for series in reader.series(metric.id).unwrap() {
        for (grain, length) in [(Grain::Hour, HOUR), (Grain::Day, DAY)] {
            let mut kept = Vec::new();
            let add = |window: Window, partial: &[u8], _: bool| {
                kept.push((window.start.0, partial.to_vec()));
                Ok(())
            };
            reader.partials(&metric, series.id, grain, (ALL_TIME.0, ALL_TIME.1, Timestamp::MAX), add).unwrap();
            assert_eq!(kept, recomputed(&reader, &metric, series.id, length), "{what}: {grain:?}");
        }
    }
}

#[test]
fn roll_ups_are_what_the_points_give_whatever_comes() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let (_folder, path) = place();
        let length = ["1m", "10m", "20m"][random.below(3) as usize];
        let agg = "count(*) AS n, sum(x) AS total, avg(x) AS mean, max(x) AS most, stddev(x) AS spread";
        let catalogue = catalogue(&query("m", length, "g", agg));
        let step = catalogue.length().unwrap().0;
        let (mut writer, _) = Writer::open(&path, &job(std::slice::from_ref(&catalogue))).unwrap();
        for commit in 0..12 {
            for _ in 0..random.below(60) {
                let start = random.below(4 * DAY as u64 / step as u64) as i64 * step - DAY;
                let amount = Value::Float(random.below(1000) as f64 / 8.0);
                let groups = vec![Value::Int(random.below(3).into())];
                let event = Event { groups, time: start, amount };
                let row = row(0, &catalogue, start, step, &[&event]);
                let retracted = random.below(4) == 0;
                let state = row.state.clone().filter(|_| !retracted);
                let is_final = retracted || random.below(5) > 0;
                writer.write(&[Metric { retracted, state, is_final, ..row }]).unwrap();
            }
            writer.commit(&[], b"").unwrap();
            check_roll_ups(&path, "m", &format!("seed {seed}, commit {commit}"));
        }
        all(&path, "m");
    }
}

#[track_caller]
fn refused(path: &Path, job: &Job) -> StoreError {
    Writer::open(path, job).map(|_| ()).expect_err("the job must be refused")
}

#[test]
fn one_living_writer_a_metric() {
    let (_folder, path) = place();
    let (one, other) = (counts(), catalogue(&query("other", "1m", "", "count(*) AS n")));
    let (first, _) = Writer::open(&path, &job(std::slice::from_ref(&one))).unwrap();
    let error = refused(&path, &job(std::slice::from_ref(&one)));
    assert!(error.is_fenced() && error.to_string().contains("cannot write the metric 'm'"), "{error}");
    assert!(refused(&path, &Job { reset: true, ..job(std::slice::from_ref(&one)) }).is_fenced());
    let (mut second, _) = Writer::open(&path, &job(std::slice::from_ref(&other))).unwrap();
    second.commit(&[], b"").unwrap();
    drop(first);
    Writer::open(&path, &job(&[one])).unwrap();
}

#[test]
fn a_writer_that_lost_its_lock_is_fenced() {
    let (_folder, path) = place();
    let catalogue = counts();
    let job = job(std::slice::from_ref(&catalogue));
    let rows = rows(0, &catalogue, &[event("a", 0, 1)]);
    let (mut paused, _) = Writer::open(&path, &job).unwrap();
    paused.commit(&source(1), b"first").unwrap();
    std::fs::remove_dir_all(path.with_extension("db.locks")).unwrap();
    let (mut second, resume) = Writer::open(&path, &job).unwrap();
    assert_eq!(resume.unwrap().state, b"first");
    paused.write(&rows).unwrap();
    let error = paused.commit(&source(2), b"stale").unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    check_points(&path, "m", &[]);
    second.write(&rows).unwrap();
    second.commit(&source(3), b"second").unwrap();
    check_points(&path, "m", &rows);
}

#[test]
fn a_changed_query_is_refused_with_what_changed_unless_it_is_reset() {
    let (_folder, path) = place();
    let catalogue = counts();
    let before = job(std::slice::from_ref(&catalogue));
    let (mut writer, _) = Writer::open(&path, &before).unwrap();
    let many: Vec<Event> = (0..700).map(|i| event(["a", "b"][i % 2], i as i64 * HOUR, 1)).collect();
    writer.write(&rows(0, &catalogue, &many)).unwrap();
    writer.commit(&source(5), b"open").unwrap();
    drop(writer);
    let other_filter = Job { fingerprint: vec![("--where".into(), "x > 1".into())], ..before.clone() };
    let other_window = job(&[crate::points::catalogue(&query("m", "5m", "g", "count(*) AS n"))]);
    let another = crate::points::catalogue(&query("n", "1m", "", "count(*) AS n"));
    for (changed, expected) in [
        (&other_filter, "--where was not given and is 'x > 1'"),
        (
            &other_window,
            "--agg was 'count(*) AS n, sum(x) AS total, count(DISTINCT x) AS kinds' and is 'count(*) AS n'",
        ),
        (&job(&[catalogue.clone(), another]), "it stored 'm' together, and this one stores 'm', 'n'"),
    ] {
        let error = refused(&path, changed);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().unwrap().contains("--reset"));
    }
    let (mut writer, resume) = Writer::open(&path, &Job { reset: true, ..other_filter.clone() }).unwrap();
    assert_eq!(resume, None);
    check_points(&path, "m", &[]);
    let few = rows(0, &catalogue, &many[..3]);
    writer.write(&few).unwrap();
    writer.commit(&[], b"").unwrap();
    check_points(&path, "m", &few);
    drop(writer);
    assert!(matches!(refused(&path, &before), StoreError::Changed { .. }));
    assert!(Writer::open(&path, &other_filter).unwrap().1.is_some());
}

#[test]
fn followers_are_told_what_changed() {
    let (_folder, path) = place();
    let catalogue = counts();
    let (mut writer, _) = Writer::open(&path, &job(std::slice::from_ref(&catalogue))).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.changes(0).unwrap().number, 0);
    for minute in [5, 7] {
        writer.write(&rows(0, &catalogue, &[event("a", minute * MINUTE, 1), event("b", HOUR, 1)])).unwrap();
        writer.commit(&[], b"").unwrap();
    }
    let changes = reader.changes(1).unwrap();
    assert_eq!((changes.number, changes.is_incomplete), (2, false));
    assert_eq!(changes.ranges, [(1, Timestamp(7 * MINUTE), Timestamp(HOUR))]);
    assert_eq!(reader.changes(2).unwrap().ranges, []);
}

#[test]
fn followers_are_told_of_everything_where_changes_are_forgotten_or_the_metric_was_reset() {
    let (_folder, path) = place();
    let catalogue = counts();
    let mut job = job(std::slice::from_ref(&catalogue));
    let (mut writer, _) = Writer::open(&path, &job).unwrap();
    writer.write(&rows(0, &catalogue, &[event("a", 3 * MINUTE, 1), event("b", 7 * MINUTE, 1)])).unwrap();
    writer.commit(&[], b"").unwrap();
    drop(writer);
    let mut reader = Reader::open(&path).unwrap();
    let metric = reader.metric("m").unwrap().unwrap();
    let span = |first: i64, last: i64| Some((Timestamp(first * MINUTE), Timestamp(last * MINUTE)));
    assert_eq!(reader.news(&metric, Some(0)).unwrap(), News { moment: 1, range: span(3, 7), is_whole: false });
    // As so many commits leave it of other metrics.
    let many = "DELETE FROM changes; UPDATE meta SET commits = commits + 10001";
    rusqlite::Connection::open(&path).unwrap().execute_batch(many).unwrap();
    assert_eq!(reader.news(&metric, Some(1)).unwrap(), News { moment: 10_002, range: span(3, 7), is_whole: true });
    assert_eq!(reader.news(&metric, Some(2)).unwrap(), News { moment: 10_002, range: None, is_whole: false });
    assert_eq!(reader.news(&metric, None).unwrap(), News { moment: 10_002, range: None, is_whole: false });

    job.reset = true;
    let (mut writer, _) = Writer::open(&path, &job).unwrap();
    let moment = reader.changes(0).unwrap().number;
    assert_eq!(reader.news(&metric, Some(10_002)).unwrap(), News { moment, range: None, is_whole: true });
    writer.write(&rows(0, &catalogue, &[event("a", 5 * MINUTE, 1)])).unwrap();
    let moment = writer.commit(&[], b"").unwrap();
    assert_eq!(reader.news(&metric, Some(moment)).unwrap(), News { moment, range: span(5, 5), is_whole: true });
}

#[test]
fn damage_is_found() {
    let (_folder, path) = place();
    let catalogue = counts();
    let (mut writer, _) = Writer::open(&path, &job(std::slice::from_ref(&catalogue))).unwrap();
    let events: Vec<Event> = (0..5000).map(|i| event("a", i * MINUTE, i)).collect();
    writer.write(&rows(0, &catalogue, &events)).unwrap();
    writer.commit(&[], b"").unwrap();
    drop(writer);
    assert_eq!(evkit::store::check::check(&path).unwrap().findings, [""; 0]);
    let good = std::fs::read(&path).unwrap();
    for (statement, expected) in [
        ("UPDATE metrics SET points = points + 1", "has 5000 points, and its catalogue says 5001"),
        (
            "UPDATE chunks SET data = substr(data, 1, length(data) - 1) WHERE grain = 0 AND start = 0",
            "it ends too early",
        ),
        ("UPDATE chunks SET data = x'09' WHERE grain = 1 AND start = 0", "of the unknown version 9"),
        ("DELETE FROM chunks WHERE grain = 0 AND start = 3600000000", "roll-ups by hour are not what its points give"),
        ("DELETE FROM chunks WHERE grain = 2", "roll-ups by day are not what those by hour give"),
        ("DELETE FROM series", "chunks of no series"),
        ("DELETE FROM jobs", "metrics of no job"),
        ("UPDATE metrics SET catalogue = '{}'", "the catalogue of 'm' cannot be read"),
    ] {
        std::fs::write(&path, &good).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(statement).unwrap();
        let findings = evkit::store::check::check(&path).unwrap().findings;
        assert!(findings.iter().any(|finding| finding.contains(expected)), "{statement}: {findings:?}");
    }
    // Bytes of the file where a chunk lies.
    for grain in [0, 1, 2] {
        std::fs::write(&path, &good).unwrap();
        let longest = "SELECT data FROM chunks WHERE grain = ?1 ORDER BY length(data) DESC LIMIT 1";
        let chunk: Vec<u8> =
            rusqlite::Connection::open(&path).unwrap().query_row(longest, [grain], |row| row.get(0)).unwrap();
        let at = memchr::memmem::find(&good, &chunk[..chunk.len().min(64)]).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + chunk.len().min(64)].fill(0x55);
        std::fs::write(&path, &bytes).unwrap();
        let findings = evkit::store::check::check(&path).map(|report| report.findings);
        assert!(
            findings.as_ref().is_ok_and(|findings| !findings.is_empty()) || findings.is_err(),
            "grain {grain}: {findings:?}"
        );
    }
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let findings = evkit::store::check::check(&path).map(|report| report.findings);
    assert!(findings.is_err() || findings.is_ok_and(|findings| !findings.is_empty()));
}

#[track_caller]
fn check_error(path: &Path, expected: &str) {
    for error in [refused(path, &job(&[counts()])), Reader::open(path).map(|_| ()).unwrap_err()] {
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some(), "{error} has no hint");
    }
}

#[test]
fn files_that_are_no_store_of_this_version_are_left_alone() {
    let (_folder, path) = place();
    Writer::open(&path, &job(&[counts()])).unwrap();
    let good = std::fs::read(&path).unwrap();
    for (place, value, expected) in [
        // The places of user_version and application_id in a database's header.
        (60, 99_u32, "is of version 99; this program knows version 1"),
        (68, 7, "is no store of evkit"),
    ] {
        let mut bytes = good.clone();
        bytes[place..place + 4].copy_from_slice(&value.to_be_bytes());
        std::fs::write(&path, &bytes).unwrap();
        check_error(&path, expected);
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{expected}: the file was changed");
    }
    std::fs::write(&path, [7; 5000]).unwrap();
    check_error(&path, "is no store of evkit");
    assert_eq!(std::fs::read(&path).unwrap(), [7; 5000]);
}

#[test]
fn a_folder_that_is_a_file_and_a_store_that_is_a_folder_are_told() {
    let (folder, path) = place();
    std::fs::write(folder.path().join("deep"), "").unwrap();
    assert!(matches!(refused(&path, &job(&[counts()])), StoreError::Folder { .. }));
    let error = refused(folder.path(), &job(&[counts()]));
    assert!(error.to_string().contains("cannot open the store"), "{error}");
}

#[test]
fn two_writers_of_different_metrics_take_turns() {
    let (_folder, path) = place();
    let names = ["one", "two", "three"];
    std::thread::scope(|scope| {
        for (number, name) in names.into_iter().enumerate() {
            let path = &path;
            scope.spawn(move || {
                let catalogue = catalogue(&query(name, "1m", "g", "count(*) AS n"));
                let (mut writer, _) = Writer::open(path, &job(std::slice::from_ref(&catalogue))).unwrap();
                for minute in 0..30 {
                    let events = [event("a", minute * MINUTE, number as i64), event("b", minute * MINUTE, 1)];
                    writer.write(&rows(0, &catalogue, &events)).unwrap();
                    writer.commit(&source(minute as u64), b"").unwrap();
                }
            });
        }
    });
    for name in names {
        assert_eq!(all(&path, name).len(), 60, "{name}");
    }
    assert_eq!(Reader::open(&path).unwrap().changes(0).unwrap().number, 90);
}
