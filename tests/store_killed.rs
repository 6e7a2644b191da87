//! A writer of the local store that is killed: it leaves whole commits, and the next one goes on with them.
//!
//! A program of its own, since a process that a test starts holds all files of the other tests, and their locks, until it runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use evkit::store::{Job, Reader, SourceOffset, Writer};
use evkit::time::Timestamp;
use evkit::value::Value;

use crate::points::{Event, MINUTE, catalogue, job, query, rows};
use crate::random::Random;

#[path = "support/points.rs"]
mod points;
#[path = "support/random.rs"]
mod random;

const ALL_TIME: (Timestamp, Timestamp) = (Timestamp::MIN, Timestamp::MAX);

/// Names the store to the child of the crash test.
const CHILD: &str = "EVKIT_TEST_STORE_CHILD";

/// Groups of each of the child's commits.
const CHILD_GROUPS: i64 = 20;

fn child_job() -> Job {
    job(&[catalogue(&query("m", "1m", "g", "count(*) AS n, sum(x) AS total"))])
}

/// Not a test of its own: what the crash test starts as a process. It goes on where the state says, commits one window of all groups after
/// the other, and says so, until it is killed.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let job = child_job();
    let (mut writer, resume) = Writer::open(Path::new(&path), &job).unwrap();
    let done = resume.map_or(0, |resume| {
        assert_eq!(resume.sources[0].offset, u64::from_le_bytes(resume.state[..].try_into().unwrap()));
        resume.sources[0].offset
    });
    for window in done.. {
        let event = |group: i64| Event {
            groups: vec![Value::Int(group.into())],
            time: window as i64 * MINUTE,
            amount: Value::Int(window.into()),
        };
        let events: Vec<Event> = (0..CHILD_GROUPS).map(event).collect();
        writer.write(&rows(0, &job.metrics[0], &events)).unwrap();
        let offset = window + 1;
        let source = SourceOffset { name: "a.ndjson".into(), identity: vec![1, 2], offset, lines: 3 };
        writer.commit(&[source], &offset.to_le_bytes()).unwrap();
        println!("committed");
    }
}

/// The windows of each group that one commit shows.
fn seen(path: &Path) -> Vec<usize> {
    let reader = Reader::open(path).unwrap();
    reader.begin().unwrap();
    let Some(metric) = reader.metric("m").unwrap() else { return Vec::new() };
    let count = |series: &evkit::store::Series| {
        let mut count = 0;
        reader.points(&metric, series.id, ALL_TIME, |_| count += 1).unwrap();
        count
    };
    reader.series(metric.id).unwrap().iter().map(count).collect()
}

#[test]
fn a_killed_writer_leaves_whole_commits_and_the_next_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    Writer::open(&path, &child_job()).unwrap();
    let mut random = Random(5);
    let mut least = 0;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut committed = lines.map(Result::unwrap).filter(|line| line.contains("committed"));
        let commits = 1 + random.below(30);
        for _ in 0..commits {
            committed.next().expect("the child commits until it is killed");
            // While it works, a reader sees each window of all groups or of none.
            let windows = seen(&path);
            assert!(windows.iter().all(|count| *count == windows[0]), "round {round}: half a commit: {windows:?}");
        }
        // Some way into a commit, perhaps.
        (0..random.below(200_000)).for_each(|n| _ = std::hint::black_box(n));
        child.kill().unwrap();
        child.wait().unwrap();
        let windows = seen(&path);
        assert_eq!(windows.len() as i64, CHILD_GROUPS, "round {round}");
        assert!(windows.iter().all(|count| *count == windows[0]), "round {round}: half a commit: {windows:?}");
        least += commits as usize;
        assert!(windows[0] >= least, "round {round}: {} windows are left of at least {least}", windows[0]);
        let (_, resume) = Writer::open(&path, &child_job()).unwrap();
        assert_eq!(resume.unwrap().sources[0].offset as usize, windows[0], "round {round}: offsets and points differ");
        least = windows[0];
    }
    let report = evkit::store::check::check(&path).unwrap();
    assert_eq!((report.findings, report.points as i64), (vec![], least as i64 * CHILD_GROUPS));
}
