//! `evwindow --to influx://…`: what a server gets, and what becomes of it where the server is slow, refuses, breaks or is away.
//!
//! The servers here are made up; what a real one does is told in `influx_server.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;
#[path = "support/influx.rs"]
mod influx;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/sent.rs"]
mod sent;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::producer::Producer;

use crate::events::events;
use crate::influx::{Asked, Fake, Reply};
use crate::kafka::{PATIENCE, Sent, Topics, brokers, producer, send};
use crate::sent::{QUERY, run, run_at};
use crate::support::bash_in;

/// The points of measurement `m` in these lines.
fn points<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    lines.into_iter().filter(|line| line.starts_with("m,")).map(str::to_owned).collect()
}

/// What a server that takes everything gets.
fn all_points(events: &str) -> BTreeSet<String> {
    let fake = Fake::start(|_, _| Reply::done());
    run(&fake, "", events).0.assert_quiet();
    points(fake.writes().iter().flat_map(|write| write.lines()))
}

#[test]
fn points_come_with_their_entries_and_roll_ups() {
    let fake = Fake::start(|_, _| Reply::done());
    run(&fake, "", &events(150)).0.assert_quiet();
    let writes = fake.writes();
    for write in &writes {
        assert_eq!((write.token.as_deref(), write.encoding.as_deref()), (Some("Token hush"), Some("gzip")));
        assert!(write.query.contains("org=o") && write.query.contains("precision=ns"), "{}", write.query);
    }
    let of = |bucket: &str, measurement: &str| -> Vec<String> {
        let bucket = format!("bucket={bucket}&");
        let writes = writes.iter().filter(|write| format!("{}&", write.query).contains(&bucket));
        let lines = writes.flat_map(|write| write.lines());
        lines.filter(|line| line.starts_with(measurement)).map(str::to_owned).collect()
    };
    let points = of("b", "m,");
    assert_eq!(points.len(), 9);
    assert_eq!(points[0], "m,g=g0 n=20i,mean=2.95 1771236000000000000");
    assert_eq!(of("b", "evkit.points.m,series=").len(), 9);
    let catalogues = of("b_rollups", "evkit.catalogue,metric=m ");
    let days: BTreeSet<&str> = catalogues.iter().filter_map(|line| Some(line.rsplit_once(' ')?.1)).collect();
    assert!(!days.is_empty() && catalogues.len() == days.len(), "one a day: {catalogues:?}");
    // Whoever is slow writes some of them twice, the last one whole.
    let last = |measurement: &str| -> BTreeMap<String, String> {
        let lines = of("b_rollups", measurement);
        lines.into_iter().map(|line| (line.split(' ').next().unwrap().to_owned(), line)).collect()
    };
    assert_eq!(last("evkit.rollups.m,series=").len(), 3);
    let hour = |line: &String| line.contains(" hour=\"") && line.ends_with(" 1771236000000000000");
    assert!(of("b_rollups", "evkit.rollups.m,series=").iter().all(hour));
    assert_eq!(last("m.1h,")["m.1h,g=g0"], "m.1h,g=g0 n=50i,mean=2.94 1771236000000000000");
    assert_eq!(last("m.1d,")["m.1d,g=g0"], "m.1d,g=g0 n=50i,mean=2.94 1771200000000000000");
}

#[test]
fn points_only_are_points_and_nothing_else() {
    let fake = Fake::start(|_, _| Reply::done());
    run(&fake, "--points-only --point-time end", &events(90)).0.assert_quiet();
    // Once it is asked whether there is more than points.
    let (writes, questions): (Vec<_>, Vec<_>) = fake.asked().into_iter().partition(|asked| asked.is_write());
    assert!(writes.iter().all(|asked| asked.query.contains("bucket=b&")));
    assert_eq!(questions.len(), 1, "{questions:?}");
    let writes = fake.writes();
    let lines: Vec<&str> = writes.iter().flat_map(|write| write.lines()).collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[0].ends_with(" 1771236060000000000"), "{}", lines[0]);
}

#[test]
fn a_path_in_the_address_is_kept() {
    let fake = Fake::start(|_, _| Reply::done());
    let to = format!("influx://{}/a/path/o/b", fake.address);
    run_at(&to, "", &events(60)).0.assert_quiet();
    assert!(fake.asked().iter().all(|asked| asked.path.starts_with("/a/path/api/v2/")));
}

#[test]
fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let fake = Fake::start(|number, _| match number {
        0 => Reply::Says(429, vec![("retry-after", "1".into())], "{}".into()),
        1 => Reply::refusal(503, "not now"),
        _ => Reply::done(),
    });
    let given = events(60);
    run(&fake, "--points-only", &given).0.assert_quiet();
    let writes = fake.writes();
    assert_eq!(writes.len(), 3);
    assert!(writes[1].at - writes[0].at >= Duration::from_secs(1), "{:?}", writes[1].at - writes[0].at);
    assert!(writes.iter().all(|write| write.body == writes[0].body));
}

#[test]
fn a_connection_that_breaks_is_made_again() {
    let fake = Fake::start(|number, _| if number < 2 { Reply::Breaks } else { Reply::done() });
    let given = events(60);
    run(&fake, "--points-only", &given).0.assert_quiet();
    assert_eq!(points(fake.writes()[2].lines()), all_points(&given));
}

#[track_caller]
fn check_given_up(reply: Reply, flags: &str, tries: impl Fn(usize) -> bool, expected: &str) {
    let answer = reply.clone();
    let fake = Fake::start(move |number, _| if number == usize::MAX { Reply::done() } else { answer.clone() });
    let (ended, _) = run(&fake, &format!("--points-only {flags}"), &events(60));
    ended.assert_code(4);
    let server = format!("'http://{}'", fake.address);
    assert!(ended.stderr.contains(&server) && ended.stderr.contains(expected), "{}", ended.stderr);
    assert!(tries(fake.writes().len()), "{} tries", fake.writes().len());
}

#[test]
fn what_does_not_pass_ends_the_run() {
    check_given_up(
        Reply::refusal(500, "the cache is full"),
        "--retry-for 4s",
        |tries| tries > 1,
        "500: the cache is full",
    );
    check_given_up(Reply::Hangs, "--retry-for 0s --influx-timeout 5s", |tries| tries == 1, "no answer within 5 s");
    check_given_up(Reply::Breaks, "--retry-for 4s", |tries| tries > 1, "cannot write to InfluxDB");
    let late = Reply::Says(503, vec![("retry-after", "3600".into())], String::new());
    check_given_up(late, "--retry-for 10s", |tries| tries == 1, "503: Service Unavailable");
    check_given_up(
        Reply::refusal(401, "unauthorized access"),
        "",
        |tries| tries == 1,
        "401: unauthorized access\nhint: give a token",
    );
    check_given_up(
        Reply::refusal(403, "forbidden"),
        "",
        |tries| tries == 1,
        "403: forbidden\nhint: the token needs the right",
    );
    check_given_up(
        Reply::refusal(404, "bucket \"b\" not found"),
        "",
        |tries| tries == 1,
        "hint: evquery admin influx setup",
    );
    let moved = Reply::Says(301, vec![("location", "http://elsewhere/".into())], String::new());
    check_given_up(moved, "", |tries| tries == 1, "it has moved to 'http://elsewhere/'");
}

#[test]
fn what_is_too_long_is_halved() {
    let fake = Fake::start(|_, asked| match asked.lines().len() {
        8.. => Reply::refusal(413, "too long"),
        _ => Reply::done(),
    });
    let given = events(600);
    run(&fake, "--points-only", &given).0.assert_quiet();
    let writes = fake.writes();
    let taken = writes.iter().filter(|write| write.lines().len() < 8).flat_map(|write| write.lines());
    let taken: Vec<&str> = taken.collect();
    assert_eq!(taken.len(), 30);
    assert_eq!(points(taken), all_points(&given));
}

/// A server that refuses the lines with `bad` in them. `keeps_rest`: it takes the others of a batch.
#[track_caller]
fn check_refused(status: u16, keeps_rest: bool) {
    let bad = |line: &str| line.contains("g=g1") && line.contains("n=20i");
    let fake = Fake::start(move |_, asked| match asked.lines().into_iter().find(|line| bad(line)) {
        Some(line) => Reply::refusal(status, &format!("no good: '{line}'")),
        None => Reply::done(),
    });
    let given = events(600);
    let (ended, rejects) = run(&fake, "--points-only --rejects-to rejects", &given);
    ended.assert_quiet();
    let (refused, good): (BTreeSet<String>, BTreeSet<String>) =
        all_points(&given).into_iter().partition(|line| bad(line));
    let taken = |lines: Vec<&str>| keeps_rest || !lines.iter().any(|line| bad(line));
    let writes = fake.writes();
    let stored = points(writes.iter().map(|write| write.lines()).filter(|lines| taken(lines.clone())).flatten());
    let stored: BTreeSet<String> = stored.into_iter().filter(|line| !bad(line)).collect();
    assert_eq!(stored, good);
    let told: Vec<serde_json::Value> = rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: BTreeSet<String> = told.iter().map(|told| told["payload"].as_str().unwrap().to_owned()).collect();
    assert_eq!((told.len(), &lines), (refused.len(), &refused));
    assert!(told.iter().all(|told| told["reason"] == format!("no good: '{}'", told["payload"].as_str().unwrap())));
    assert!(!refused.is_empty() && writes.len() < 100, "{} writes for {} bad lines", writes.len(), refused.len());

    let (ended, _) = run(&fake, &format!("--points-only --max-rejects {}", refused.len() - 1), &given);
    ended.assert_code(3);
    assert!(ended.stderr.contains(&format!("{} rows refused", refused.len())), "{}", ended.stderr);
    run(&fake, &format!("--points-only --max-rejects {}", refused.len()), &given).0.assert_code(0);
}

#[test]
fn refused_lines_are_found_and_written_aside() {
    check_refused(400, false);
    check_refused(422, true);
}

#[test]
fn what_a_server_has_dropped_as_a_whole_is_not_sent_again() {
    let fake = Fake::start(|_, asked| {
        Reply::refusal(422, &format!("partial write: points beyond retention policy dropped={}", asked.lines().len()))
    });
    let (ended, rejects) = run(&fake, "--points-only --rejects-to rejects", &events(600));
    ended.assert_quiet();
    let lines = fake.writes().iter().map(|write| write.lines().len()).sum::<usize>();
    assert_eq!((lines, rejects.lines().count()), (30, 30));
}

#[test]
fn what_a_server_is_too_slow_for_is_halved() {
    let fake = Fake::start(|_, asked| if asked.lines().len() > 8 { Reply::Hangs } else { Reply::done() });
    let given = events(600);
    run(&fake, "--points-only --influx-timeout 500ms", &given).0.assert_quiet();
    let writes = fake.writes();
    let taken = writes.iter().filter(|write| write.lines().len() <= 8).flat_map(|write| write.lines());
    assert_eq!(points(taken), all_points(&given));
}

#[test]
fn a_row_whose_point_is_refused_counts_in_roll_ups_if_its_entry_is_stored() {
    let is_refused = |line: &str| line.starts_with("m,g=g1 ");
    let fake = Fake::start(move |_, asked| match asked.lines().into_iter().any(is_refused) {
        true => Reply::refusal(400, "field type conflict"),
        false => Reply::done(),
    });
    let (ended, rejects) = run(&fake, "--rejects-to rejects", &events(150));
    ended.assert_quiet();
    assert_eq!(rejects.lines().count(), 3);
    let writes = fake.writes();
    let lines: Vec<&str> = writes.iter().flat_map(|write| write.lines()).collect();
    assert!(lines.contains(&"m.1h,g=g1 n=50i,mean=2.96 1771236000000000000"), "{lines:?}");
}

#[test]
fn what_the_store_has_as_read_has_come_to_the_bucket() {
    let Some(kafka) = brokers("what the store has as read has come to the bucket") else { return };
    let mut topics = Topics::new(&kafka);
    let topic = topics.create("points", 1, &[]);
    let given = events(600);
    let producer = producer(&kafka, &[]);
    for event in given.lines() {
        send(&producer, &topic, Sent { partition: Some(0), payload: Some(event.as_bytes()), ..Sent::default() });
    }
    producer.flush(PATIENCE).unwrap();
    let place = tempfile::tempdir().unwrap();
    let run = |fake: &Fake, flags: &str| {
        let script = format!(
            "export INFLUX_TOKEN=hush HOME=$PWD; evwindow {QUERY} {flags} --from kafka://{kafka}/{topic} --start earliest \
             --to store:s.db --to influx://{}/o/b",
            fake.address
        );
        bash_in(place.path(), &script, b"")
    };
    // Live: positions are committed every 200 ms, rows written after half a second.
    let away = Fake::start(|number, _| match number {
        usize::MAX => Reply::done(),
        _ => Reply::refusal(503, "not now"),
    });
    run(&away, "--points-only --retry-for 0s").assert_code(4);
    let fake = Fake::start(|_, _| Reply::done());
    run(&fake, "--points-only --until end").assert_quiet();
    let found = points(fake.writes().iter().flat_map(|write| write.lines()));
    // What the end leaves open goes on with the next run.
    let fired: BTreeSet<String> =
        all_points(&given).into_iter().filter(|line| !line.ends_with(" 1771236540000000000")).collect();
    let missing: Vec<&String> = fired.difference(&found).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn groups_that_differ_in_type_only_do_not_share_a_series() {
    let fake = Fake::start(|_, _| Reply::done());
    let event = |second: u32, g: &str| format!("{{\"timestamp\":\"2026-02-16T10:00:{second:02}Z\",\"g\":{g}}}\n");
    let given = [event(0, "1"), event(1, "\"1\""), event(2, "\"2\""), event(3, "null"), event(4, "true")].concat();
    let (ended, rejects) = run(&fake, "--rejects-to rejects", &given);
    ended.assert_quiet();
    let writes = fake.writes();
    let stored =
        writes.iter().flat_map(|write| write.lines()).filter(|line| line.starts_with("m,") || line.starts_with("m "));
    assert_eq!(stored.count(), 4);
    assert_eq!(rejects.lines().count(), 1);
    assert!(rejects.contains("differs in type only") && rejects.contains("m,g=1 "), "{rejects}");
}

#[test]
fn revisions_follow_and_what_is_taken_back_is_deleted() {
    let fake = Fake::start(|_, _| Reply::done());
    let event = |second: u32, g: &str| format!("{{\"timestamp\":\"2026-02-16T10:00:{second:02}Z\",\"g\":\"{g}\"}}\n");
    // a comes first, then b overtakes it, late.
    let given = [event(0, "a"), event(1, "b"), event(40, "c"), event(2, "b")].concat();
    let flags = "--watermark-delay 0s --allowed-lateness 1h -n 1 --early 1s";
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("e.ndjson"), &given).unwrap();
    let script = format!(
        "export INFLUX_TOKEN=hush HOME=$PWD; evwindow -t 10s -b g -a 'count(*) AS n' --name m --quiet --max-future none {flags} \
         --to influx://{}/o/b e.ndjson",
        fake.address
    );
    bash_in(place.path(), &script, b"").assert_quiet();
    let deleted: Vec<String> =
        fake.asked().into_iter().filter(|asked| asked.path.ends_with("/delete")).map(|asked| asked.body).collect();
    assert_eq!(deleted.len(), 1, "{deleted:?}");
    let deleted: serde_json::Value = serde_json::from_str(&deleted[0]).unwrap();
    assert_eq!(deleted["predicate"], "_measurement=\"m\" AND \"g\"=\"a\"");
    assert_eq!(deleted["start"], "2026-02-16T10:00:00.000Z");
    let writes = fake.writes();
    let lines = writes.iter().flat_map(|write| write.lines()).filter(|line| line.starts_with("m,"));
    // Whoever is slow has written a's point by then.
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("m,g=a ")).collect();
    assert_eq!(lines, ["m,g=b n=2i 1771236000000000000", "m,g=c n=1i 1771236040000000000"]);
}

/// Of a window that was taken back, and of the one at whose end another now stands, nothing is forgotten while rows wait.
#[test]
fn entries_of_windows_that_end_together_are_all_written() {
    let fake = Fake::start(|_, _| Reply::done());
    let event = |second: u32| format!("{{\"timestamp\":\"2026-02-16T10:00:{second:02}Z\",\"g\":\"a\"}}\n");
    // A session is fired, taken back for one that begins sooner, and that one is revised.
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("e.ndjson"), [10, 30, 8, 9].map(event).concat()).unwrap();
    let script = format!(
        "export INFLUX_TOKEN=hush HOME=$PWD; evwindow --session 5s -b g -a 'count(*) AS n' --name m --quiet --max-future none \
         --watermark-delay 0s --allowed-lateness 1h --point-time end --to influx://{}/o/b e.ndjson",
        fake.address
    );
    bash_in(place.path(), &script, b"").assert_quiet();
    let writes = fake.writes();
    let lines: Vec<&str> = writes.iter().flat_map(|write| write.lines()).collect();
    let last = |ending: &str| lines.iter().rfind(|line| line.ends_with(ending)).copied();
    assert_eq!(last(" 1771236015000000000"), Some("m,g=a n=3i 1771236015000000000"));
    let gone = last(" 1771236010000000000").unwrap();
    assert!(gone.starts_with("evkit.points.m,") && gone.contains(" session=\"\" "), "{lines:?}");
    let stands = last(" 1771236008000000000").unwrap();
    assert!(stands.starts_with("evkit.points.m,") && !stands.contains("\"\""), "{lines:?}");
}

/// An hour of long states for each of many series is read back in portions that memory has room for.
#[test]
fn what_is_read_back_is_never_in_memory_as_a_whole() {
    const SERIES: usize = 24;
    let query = "-t 1s -b g -a 'approx_percentile(x, 0.5) AS p' --name m --quiet --max-future none";
    let place = tempfile::tempdir().unwrap();
    let event = |number: usize| {
        let (g, x) = (number % SERIES, 1.02_f64.powi((number / SERIES) as i32));
        format!("{{\"timestamp\":\"2026-02-16T10:00:00Z\",\"g\":\"g{g}\",\"x\":{x}}}\n")
    };
    std::fs::write(place.path().join("e.ndjson"), (0..SERIES * 700).map(event).collect::<String>()).unwrap();
    let run = |fake: &Fake| {
        let script = format!(
            "export INFLUX_TOKEN=hush HOME=$PWD; evwindow {query} --to influx://{}/o/b e.ndjson & echo $! > pid; wait $!",
            fake.address
        );
        bash_in(place.path(), &script, b"").assert_quiet();
    };
    // What an entry of each series looks like; it says its time by the point that it stands in.
    let fake = Fake::start(|_, _| Reply::done());
    run(&fake);
    let entries: Vec<(String, String)> = fake
        .writes()
        .iter()
        .flat_map(|write| write.lines())
        .filter_map(|line| line.strip_prefix("evkit.points.m,series=")?.split_once(" l1000000=\""))
        .map(|(tag, rest)| (tag.to_owned(), rest.split('"').next().unwrap().to_owned()))
        .collect();
    assert_eq!(entries.len(), SERIES);

    let answered = Arc::new(AtomicU64::new(0));
    let (peak, pid) = (Arc::new(AtomicU64::new(0)), place.path().join("pid"));
    let answer = {
        let answered = Arc::clone(&answered);
        move |asked: &Asked| {
            let mut answer = String::from("\r\n");
            if asked.body.contains("evkit.points.m") && asked.body.contains("l1000000") {
                let head = "#datatype,string,long,string,string,string\r\n#group,false,false,false,false,true\r\n#default,_result,,,,\r\n";
                answer = format!("{head},result,table,_time,_value,series\r\n");
                for (tag, text) in entries.iter().filter(|(tag, _)| asked.body.contains(&format!("\"{tag}\\\""))) {
                    for second in 0..3600 {
                        let (minute, second) = (second / 60, second % 60);
                        answer += &format!(",,0,2026-02-16T10:{minute:02}:{second:02}Z,{text},{tag}\r\n");
                    }
                }
                answered.fetch_max(answer.len() as u64, Ordering::Relaxed);
            }
            answer
        }
    };
    let judge = {
        let peak = Arc::clone(&peak);
        move |_: usize, asked: &Asked| {
            if asked.query.contains("b_rollups") {
                let pid = std::fs::read_to_string(&pid).unwrap();
                let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
                let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
                peak.fetch_max(kib.unwrap().parse().unwrap(), Ordering::Relaxed);
            }
            Reply::done()
        }
    };
    let fake = Fake::start_answering(judge, answer);
    run(&fake);
    let writes = fake.writes();
    let days: BTreeSet<&str> = writes
        .iter()
        .flat_map(|write| write.lines())
        .filter(|line| line.starts_with("evkit.rollups.m,"))
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(days.len(), SERIES);
    let (answered, peak) = (answered.load(Ordering::Relaxed) >> 20, peak.load(Ordering::Relaxed) >> 10);
    assert!(answered > 100 && peak < 150, "an answer of {answered} MiB, and a peak of {peak} MiB");
}
