//! `evwindow --to influx://…` and `evquery admin influx` with a real server: what it holds afterwards, asked by another client.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::events::events;
use crate::influx::Real;
use crate::support::{Ended, bash_in};

#[path = "support/events.rs"]
mod events;
#[path = "support/influx.rs"]
mod influx;
mod support;

fn run_real(real: &Real, flags: &str, events: &str) -> (Ended, String) {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("e.ndjson"), events).unwrap();
    let script = format!(
        "export INFLUX_TOKEN={} HOME=$PWD; evwindow {flags} --quiet --max-future none --to {} e.ndjson",
        real.token,
        real.to()
    );
    let ended = bash_in(place.path(), &script, b"");
    (ended, std::fs::read_to_string(place.path().join("rejects")).unwrap_or_default())
}

#[test]
fn a_real_server_has_what_was_written_whatever_it_is_called() {
    let Some(real) = Real::of_environment("a real server has what was written") else { return };
    let names = ["plain", "a b,c=d", "quote\"s'", "back\\slash\\", "line\nfeed", "", "é\t$x"];
    let event = |name: &str| {
        let name = serde_json::Value::from(name);
        format!("{{\"timestamp\":\"2026-02-16T10:00:00Z\",\"g\":{name},\"x\":1.5}}\n")
    };
    let given: String = names.iter().map(|name| event(name)).collect();
    run_real(&real, "-t 1m -b 'g AS \"my tag\"' -a 'sum(x) AS \"the sum, all\"' --name 'my metric, x'", &given)
        .0
        .assert_quiet();
    let found = real.points("", "my metric, x", &["my tag"]);
    let stored = ["plain", "a b,c=d", "quote\"s'", "back\\slash\\ ", "line\\nfeed", "(empty)", "é\\t$x"];
    let mut expected: Vec<String> =
        stored.iter().map(|name| format!("2026-02-16T10:00:00Z the sum, all 1.5 {name}")).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_real_server_gets_roll_ups_that_runs_complete() {
    let Some(real) = Real::of_environment("a real server gets roll-ups that runs complete") else { return };
    let all = events(7200 + 90);
    let half = all.lines().take(2000).map(|line| format!("{line}\n")).collect::<String>();
    let query = "-t 1m -b g -a 'count(*) AS n, sum(x) AS total' --name m";
    // The second run writes the first one's windows again, and reads its own hours back.
    run_real(&real, query, &half).0.assert_quiet();
    let rest: String = all.lines().skip(1980).map(|line| format!("{line}\n")).collect();
    run_real(&real, query, &rest).0.assert_quiet();
    let hours = real.points("_rollups", "m.1h", &["g"]);
    let days = real.points("_rollups", "m.1d", &["g"]);
    let entries = real.points("_rollups", "evkit.rollups.m", &["series"]);
    run_real(&real, query, &all).0.assert_quiet();
    assert_eq!(real.points("_rollups", "m.1h", &["g"]), hours);
    assert_eq!(real.points("_rollups", "m.1d", &["g"]), days);
    assert_eq!(real.points("_rollups", "evkit.rollups.m", &["series"]), entries);
    assert_eq!(hours.iter().filter(|hour| hour.contains("T10:00:00Z n 1200 ")).count(), 3, "{hours:?}");
    assert_eq!(days.iter().filter(|day| day.contains("T00:00:00Z n 2430 ")).count(), 3, "{days:?}");
    assert_eq!(entries.len(), 9, "{entries:?}");
    let (filtered, _) = run_real(&real, &format!("{query} -w 'x > 1'"), &half);
    filtered.assert_code(2);
    assert!(filtered.stderr.contains("--where was not given and is 'x > 1'"), "{}", filtered.stderr);
    let (changed, _) = run_real(&real, "-t 5m -b g -a 'count(*) AS n, sum(x) AS total' --name m", &half);
    changed.assert_code(2);
    assert!(changed.stderr.contains("the window was '--tumbling 1m' and is '--tumbling 5m'"), "{}", changed.stderr);
    run_real(&real, "-t 5m -b g -a 'count(*) AS n' --name m --reset", &half).0.assert_quiet();
    let after = real.points("", "m", &["g"]);
    assert_eq!(after.len(), 3 * 7, "{after:?}");
}

#[test]
fn a_real_server_remembers_how_points_were_written() {
    let Some(real) = Real::of_environment("a real server remembers how points were written") else { return };
    let given = events(120);
    let run = |name: &str, flags: &str| {
        run_real(&real, &format!("-t 1m -b g -a 'count(*) AS n' --name {name} {flags}"), &given).0
    };
    let refused = |name: &str, flags: &str, expected: &str| {
        let ended = run(name, flags);
        ended.assert_code(2);
        assert!(ended.stderr.contains(expected) && ended.stderr.contains("--reset"), "{}", ended.stderr);
    };
    run("m", "--point-time end").assert_quiet();
    let points = real.points("", "m", &["g"]);
    refused("m", "", "--point-time was 'end' and is 'start'");
    refused("m", "--point-time end --points-only", "which --points-only would leave behind");
    assert_eq!(real.points("", "m", &["g"]), points);
    run("m", "--point-time end").assert_quiet();
    assert_eq!(real.points("", "m", &["g"]), points);
    run("m", "--reset").assert_quiet();
    assert_eq!(real.points("", "m", &["g"]).len(), points.len());
    assert_ne!(real.points("", "m", &["g"]), points);
    run("m", "--points-only --reset").assert_quiet();
    assert_eq!(real.points("", "evkit.points.m", &["series"]).len(), 0);
    run("m", "--points-only").assert_quiet();

    run("plain", "--points-only").assert_quiet();
    refused("plain", "", "has points of 'plain', but not what evquery reads");
    run("plain", "--reset").assert_quiet();
    assert_eq!(real.points("", "evkit.points.plain", &["series"]).len(), points.len());
}

#[test]
fn a_real_server_has_sessions_in_one_field_whatever_became_of_them() {
    let Some(real) = Real::of_environment("a real server has sessions in one field") else { return };
    let event = |second: u32| format!("{{\"timestamp\":\"2026-02-16T10:00:{second:02}Z\",\"g\":\"a\"}}\n");
    // The second one is fired, taken back, and grows; the late event makes one of the first two.
    let given: String = [0, 2, 10, 30, 6, 11].into_iter().map(event).collect();
    let query = "--session 5s -b g -a 'count(*) AS n' --watermark-delay 0s --allowed-lateness 1h --name visits";
    for point_time in ["start", "end"] {
        run_real(&real, &format!("{query} --point-time {point_time} --reset"), &given).0.assert_quiet();
        let points = real.points("", "visits", &["g"]);
        let time = if point_time == "start" { ["00", "30"] } else { ["16", "35"] };
        let expected: Vec<String> =
            time.iter().zip([5, 1]).map(|(second, n)| format!("2026-02-16T10:00:{second}Z n {n} a")).collect();
        assert_eq!(points, expected);
        let entries = real.points("", "evkit.points.visits", &[]);
        assert!(entries.iter().all(|entry| entry.contains("Z session ")), "{entries:?}");
        let standing = entries.iter().filter(|entry| !entry.trim_end().ends_with(" session")).count();
        assert_eq!(standing, 2, "{entries:?}");
    }
}

#[test]
fn a_real_servers_refusals_are_written_aside_and_the_rest_is_stored() {
    let Some(real) = Real::of_environment("a real server's refusals are written aside") else { return };
    // An hour of retention, and a field that is a number in one row and a text in another.
    real.make_bucket("_short", 3600);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 60 * 60;
    let old = now - 10 * 86_400;
    let given: String =
        [("a", now, "1"), ("b", now, "\"x\""), ("c", now, "2"), ("a", old, "3"), ("c", old, "4"), ("a", now + 60, "5")]
            .iter()
            .map(|(g, at, v)| format!("{{\"timestamp\":{at},\"g\":\"{g}\",\"v\":{v}}}\n"))
            .collect();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("e.ndjson"), given).unwrap();
    let script = format!(
        "export INFLUX_TOKEN={} HOME=$PWD; evwindow -t 1m -b g -a 'min(v) AS v' --name m --watermark-delay 30d --max-future none --points-only \
         --rejects-to rejects --to {}_short e.ndjson 2> told",
        real.token,
        real.to()
    );
    bash_in(place.path(), &script, b"").assert_quiet();
    let rejects = std::fs::read_to_string(place.path().join("rejects")).unwrap();
    let told = std::fs::read_to_string(place.path().join("told")).unwrap();
    let count = |words: &str| rejects.lines().filter(|line| line.contains(words)).count();
    assert_eq!((count("field type conflict"), count("outside retention policy")), (1, 2), "{rejects}");
    assert_eq!(rejects.lines().count(), 3);
    assert!(told.contains("3 rows refused by InfluxDB"), "{told}");
    let stored = real.points("_short", "m", &["g"]);
    let values: Vec<&str> = stored.iter().map(|point| point.split_once(' ').unwrap().1).collect();
    assert_eq!(values, ["v 1 a", "v 2 c", "v 5 a"], "{stored:?}");
}

#[test]
fn a_real_server_is_made_ready_and_twice_is_once() {
    let Some(real) = Real::of_environment("a real server is made ready") else { return };
    let name = real.to().rsplit('/').next().unwrap().to_owned();
    let to = format!("influx://{}/org_{name}/made", real.address);
    let admin = |what: &str| {
        let script = format!("export INFLUX_TOKEN={} HOME=$PWD; evquery admin influx {what}", real.token);
        support::bash(&script, b"")
    };
    let missing = admin(&format!("health {to}"));
    missing.assert_code(4);
    assert!(missing.stderr.contains(&format!("hint: evquery admin influx setup {to}")), "{}", missing.stderr);
    let planned = admin(&format!("setup {to} --dry-run"));
    planned.assert_quiet();
    assert!(planned.stdout.contains("would be made"), "{}", planned.stdout);
    admin(&format!("bucket {to}")).assert_code(4);
    let made = admin(&format!("setup {to}"));
    made.assert_quiet();
    assert_eq!(
        made.stdout,
        format!(
            "organisation 'org_{name}': made\nbucket 'made': made, keeping 90d\nbucket 'made_rollups': made, keeping 365d\n"
        )
    );
    let again = admin(&format!("setup {to}"));
    again.assert_quiet();
    assert_eq!(again.stdout, made.stdout.replace("made, keep", "is there, keep").replace("': made\n", "': is there\n"));
    let changed = admin(&format!("retention {to} --hot 30d --cold 2y"));
    changed.assert_quiet();
    assert_eq!(changed.stdout, "bucket 'made': keeps 30d; was 90d\nbucket 'made_rollups': keeps 730d; was 365d\n");
    let healthy = admin(&format!("health {to}"));
    healthy.assert_quiet();
    assert!(healthy.stdout.contains("bucket 'made': is there, keeping 30d\n"), "{}", healthy.stdout);
    let found = real.ask("GET", &format!("/api/v2/orgs?org=org_{name}"), "");
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    real.ask("DELETE", &format!("/api/v2/orgs/{}", found["orgs"][0]["id"].as_str().unwrap()), "");
    let wrong = admin(&format!("retention {to} --hot 2y"));
    wrong.assert_code(2);
}

/// A server that nobody has set up, of the program by which `scripts/services` starts its own. Ends with the test.
struct Fresh {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Fresh {
    fn start(test: &str) -> Option<Fresh> {
        let Some(program) = std::env::var_os("EVKIT_TEST_INFLUX_PROGRAM").filter(|program| !program.is_empty()) else {
            let way = "start a server with 'scripts/services up influx', then: export $(scripts/services env)";
            let told =
                format!("'{test}' starts an InfluxDB of its own, and EVKIT_TEST_INFLUX_PROGRAM names none; {way}");
            assert!(std::env::var_os("CI").is_none(), "{told}");
            let _ = writeln!(std::io::stderr(), "\nLEFT OUT: {told}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new(program);
        command.args(["run", "--reporting-disabled", "--http-bind-address", "127.0.0.1:0"]);
        for (flag, name) in [("--bolt-path", "bolt"), ("--sqlite-path", "sqlite"), ("--engine-path", "engine")] {
            command.arg(flag).arg(folder.path().join(name));
        }
        command.stdin(Stdio::null()).stdout(File::create(&log).unwrap()).stderr(Stdio::null());
        let mut fresh = Fresh { child: command.spawn().unwrap(), address: String::new(), _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while fresh.address.is_empty() || !fresh.answers() {
            let ended = fresh.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "the server does not come up: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
            fresh.address = listens_at(&log).unwrap_or_default();
        }
        Some(fresh)
    }

    fn answers(&self) -> bool {
        let asked = Command::new("curl")
            .args(["-sf", "--max-time", "5", &format!("http://{}/health", self.address)])
            .output()
            .unwrap();
        asked.status.success()
    }
}

/// Where a server listens that has chosen its port itself: its log says so.
fn listens_at(log: &Path) -> Option<String> {
    let log = std::fs::read_to_string(log).unwrap();
    let mut lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let line = lines.find(|line| line.contains(" msg=Listening "))?;
    Some(format!("127.0.0.1:{}", line.rsplit_once(" port=")?.1))
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_new_server_is_set_up_and_twice_is_once() {
    let Some(fresh) = Fresh::start("a new server is set up") else { return };
    let place = tempfile::tempdir().unwrap();
    let to = format!("influx://{}/shop/metrics", fresh.address);
    let run = |script: &str| {
        bash_in(place.path(), &format!("export INFLUX_TOKEN=a-token-of-our-own HOME=$PWD; {script}"), b"")
    };
    let planned = run(&format!("evquery admin influx setup {to} --dry-run"));
    planned.assert_quiet();
    assert!(planned.stdout.starts_with("server: new; would make the user 'evkit'"), "{}", planned.stdout);
    let made = run(&format!("evquery admin influx setup {to}"));
    made.assert_quiet();
    assert_eq!(
        made.stdout,
        "server: new; makes the user 'evkit' with the token given\n\
         organisation 'shop': made\n\
         bucket 'metrics': made, keeping 90d\n\
         bucket 'metrics_rollups': made, keeping 365d\n"
    );
    let again = run(&format!("evquery admin influx setup {to}"));
    again.assert_quiet();
    assert_eq!(
        again.stdout,
        "organisation 'shop': is there\n\
         bucket 'metrics': is there, keeping 90d\n\
         bucket 'metrics_rollups': is there, keeping 365d\n"
    );
    // It can be written to and read from by that token, and by no other.
    std::fs::write(place.path().join("e.ndjson"), events(120).replace("2026-02-16", &today())).unwrap();
    let query = format!("evwindow -t 1m --name m --quiet --max-future none --to {to} e.ndjson");
    run(&query).assert_quiet();
    let found = run(&format!("evquery m --window all --from {to} -f csv"));
    found.assert_code(0);
    assert!(found.stdout.contains(",120"), "{}", found.stdout);
    run(&format!("export INFLUX_TOKEN=another; {query}")).assert_code(4);
}

#[test]
fn all_that_set_a_new_server_up_at_once_are_done() {
    let Some(fresh) = Fresh::start("all that set a new server up at once are done") else { return };
    let script = format!(
        "export INFLUX_TOKEN=a-token-of-our-own HOME=$PWD
         for i in 1 2 3 4; do evquery admin influx setup influx://{}/shop/metrics > $i 2>&1 & ids[i]=$!; done
         for i in 1 2 3 4; do wait ${{ids[i]}} || {{ cat $i; exit 1; }}; done",
        fresh.address
    );
    let ended = bash_in(tempfile::tempdir().unwrap().path(), &script, b"");
    assert_eq!((ended.code, &*ended.stdout), (0, ""), "{}", ended.stderr);
}

/// The day that it is, so that points are as young as a bucket keeps them.
fn today() -> String {
    let days = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
    evkit::time::Timestamp(days).to_string()[..10].to_owned()
}
