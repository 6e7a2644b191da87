//! `evwindow --to store:` over a file that grows, killed at random moments: run again, the store holds what one straight run
//! over the file gives. Nothing is counted twice and nothing is lost, also where the file ended within a line.
//!
//! A failure prints its seed; `EVKIT_SEED=…` runs it again, `EVKIT_KILLS=…` sets how many runs are killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/kept.rs"]
mod kept;
#[path = "support/random.rs"]
mod random;
#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::kept::{assert_same, each_point};
use crate::random::Random;
use crate::support::bash_in;

/// Runs that are killed in an ordinary test run.
const KILLS: u64 = 24;

/// One query of each kind whose open state is of another form.
const METRICS: &str = r#"
[[metric]]
name = "revenue"
tumbling = "5s"
where = "event_type = 'purchase_completed'"
by = "properties.currency"
agg = "count(*) AS count, sum(properties.amount) AS total, avg(properties.amount) AS mean"
allowed-lateness = "2s"

[[metric]]
name = "users"
tumbling = "3s"
agg = "count(DISTINCT user_id) AS users, approx_count_distinct(user_id) AS about, median(properties.amount) AS half"

[[metric]]
name = "best"
sliding = "10s/3s"
by = "event_type"
top = 3
allowed-lateness = "1s"

[[metric]]
name = "day"
cumulate = "1m/5s"
by = "event_type"

[[metric]]
name = "sessions"
session = "2s"
by = "user_id"
agg = "count(*) AS count, first(event_type) AS first, last(event_type) AS last"
"#;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("the variable holds a number"))
}

/// The command that stores the file's metrics in the folder's store of this name.
fn evwindow(folder: &Path, store: &str, threads: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evwindow"));
    command.current_dir(folder).args(["--metrics", "metrics.toml", "--watermark-delay", "500ms", "--quiet"]);
    command.args(["--threads", &threads.to_string(), "--to", &format!("store:{store}"), "events.ndjson"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[track_caller]
fn run_to_end(mut command: Command, seed: u64) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The store of the runs so far against that of one run over all that the file has.
#[track_caller]
fn check(folder: &Path, seed: u64, step: u64) {
    run_to_end(evwindow(folder, "kept.db", 2), seed);
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("straight.db{ending}")));
    }
    run_to_end(evwindow(folder, "straight.db", 1), seed);
    assert_same(&folder.join("kept.db"), &folder.join("straight.db"), &format!("seed {seed}, step {step}"));
}

#[test]
fn a_growing_file_is_counted_once_wherever_runs_are_killed() {
    let seed = number("EVKIT_SEED").unwrap_or(7);
    let kills = number("EVKIT_KILLS").unwrap_or(KILLS);
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("metrics.toml"), METRICS).unwrap();
    let per_run = 3_000;
    let script = format!(
        "evgen --events {} --seed {seed} --out-of-order 900ms:5% --late 10s:1% --malformed 0.5%",
        per_run * (kills + kills / 4 + 2)
    );
    let generated = bash_in(folder, &script, b"");
    generated.assert_code(0);
    let events = generated.stdout.into_bytes();
    let mut file = std::fs::File::create(folder.join("events.ndjson")).unwrap();
    let (mut written, mut killed, mut step) = (0, 0, 0);
    // How long a run takes, so that kills fall into all of it.
    let mut usual = Duration::from_millis(50);
    while killed < kills && written < events.len() {
        step += 1;
        // Cut anywhere: a writer may be in the middle of a line.
        let grown = (written + random.below(2 * per_run * 400) as usize).min(events.len());
        file.write_all(&events[written..grown]).unwrap();
        written = grown;
        let begun = Instant::now();
        let mut child = evwindow(folder, "kept.db", 1 + random.below(3)).stderr(Stdio::null()).spawn().unwrap();
        let limit = usual.mul_f64(random.below(1000) as f64 / 800.0);
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if begun.elapsed() >= limit {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::yield_now();
        };
        match ended {
            Some(status) => {
                assert!(status.success(), "seed {seed}, step {step}: {status}");
                usual = begun.elapsed();
            }
            None => killed += 1,
        }
        if step % 6 == 0 {
            check(folder, seed, step);
        }
    }
    file.write_all(&events[written..]).unwrap();
    check(folder, seed, step);
    assert!(killed >= kills.min(10), "seed {seed}: {killed} runs were killed");
}

/// An event whose line is still being written waits for the rest of it.
#[test]
fn half_a_line_is_left_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        run() { evwindow --to store:s.db -t 1m --stats json events.ndjson 2>&1 | grep -o '"in":[0-9]*,"rejected":[0-9]*'; }
        echo '{"timestamp":"2026-02-16T10:00:01Z"}' > events.ndjson
        printf '{"timestamp":"2026-02-' >> events.ndjson
        run
        printf '16T10:00:02Z"}' >> events.ndjson
        run
        printf '\n{"timestamp":"2026-02-16T10:00:03Z"}\nbad\n' >> events.ndjson
        run
        run"#;
    let ended = bash_in(folder.path(), script, b"");
    ended.assert_code(0);
    let expected = [(1, 0), (1, 0), (2, 1), (0, 0)].map(|(read, bad)| format!("\"in\":{read},\"rejected\":{bad}\n"));
    assert_eq!(ended.stdout, expected.concat());
}

/// The count of each point of a store, in order of the windows' starts.
fn counts(folder: &Path, store: &str) -> Vec<String> {
    let mut counts = Vec::new();
    each_point(&folder.join(store), |_, _, point| {
        let start = point.window.start.to_string();
        let form = if point.is_final { "" } else { " open" };
        counts.push(format!("{} {}{form}", &start[11..16], point.values[0].to_json()));
    });
    counts.sort();
    counts
}

/// `evwindow` counts events by the minute; `at MINUTE…` writes one of each minute.
const PRELUDE: &str = r#"
    at() { for minute in "$@"; do echo "{\"timestamp\":\"2026-02-16T10:$minute:00Z\"}"; done; }
    keep() { evwindow --to store:s.db -t 1m --watermark-delay 0s --quiet "$@"; }
"#;

/// Runs the script, and compares the points that it leaves in `s.db`.
#[track_caller]
fn check_points(script: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    bash_in(folder.path(), &format!("{PRELUDE}{script}"), b"").assert_code(0);
    assert_eq!(counts(folder.path(), "s.db"), expected, "{script}");
}

#[test]
fn a_file_is_known_again_by_how_it_begins() {
    // It has grown, was moved, and a new one has its name.
    check_points(
        "at 01 02 > a; keep a; mv a b; at 03 >> b; at 03 04 > a; keep a b",
        &["10:01 1", "10:02 1", "10:03 2", "10:04 1 open"],
    );
    // Once more over the same files, and without one of them, and with it again.
    check_points("at 01 > a; at 01 > b; keep a b; keep a b; keep a; keep a b", &["10:01 2 open"]);
    // By another path, and under a name that another file had.
    check_points(
        "at 01 > a; keep a; at 02 >> a; keep $PWD/a; at 03 >> a; keep a",
        &["10:01 1", "10:02 1", "10:03 1 open"],
    );
    check_points(
        "at 01 > a; keep a; mv a b; at 02 > a; keep a; at 03 >> a; keep [ab]",
        &["10:01 1", "10:02 1", "10:03 1 open"],
    );
    check_points(
        "at 01 > a; keep a; mv a b; at 02 >> b; keep [ab]; mv b c; at 02 >> c; keep [a-c]",
        &["10:01 1", "10:02 2 open"],
    );
    // Twice the same, as often as it is named.
    check_points("at 01 > a; keep a '[a]'; keep a '[a]'", &["10:01 2 open"]);
    // Compressed since.
    check_points("at 01 02 > a; keep a; gzip a; at 03 > a; keep a.gz a", &["10:01 1", "10:02 1", "10:03 1 open"]);
    // Empty at first.
    check_points("touch a; keep a; at 01 > a; keep a", &["10:01 1 open"]);
    // Others come by the glob.
    check_points(
        "at 01 > a.ndjson; keep '*.ndjson'; at 01 02 > b.ndjson; keep '*.ndjson'",
        &["10:01 2", "10:02 1 open"],
    );
}

/// `60s` is `1m`, and nothing is late by `0s` as by none said.
#[test]
fn the_same_query_in_other_words_goes_on() {
    let words = ["-t 1m --allowed-lateness 10m", "-t 60s --allowed-lateness 600s", "-t 0m60s --allowed-lateness 9m60s"];
    let runs = words.map(|words| format!("keep {words} a")).join("; at 02 >> a; ");
    let script =
        format!("keep() {{ evwindow --to store:s.db --watermark-delay 0s --quiet \"$@\"; }}; at 01 > a; {runs}");
    check_points(&script, &["10:01 1", "10:02 2 open"]);
    check_points(
        "at 01 > a; keep a; at 02 >> a; keep --window-offset 0s --allowed-lateness 0s a",
        &["10:01 1", "10:02 1 open"],
    );
}

#[test]
fn compressed_files_and_csv_go_on_too() {
    check_points(
        "at 01 02 | gzip > a.gz; keep a.gz; at 02 03 | gzip >> a.gz; keep a.gz",
        &["10:01 1", "10:02 2", "10:03 1 open"],
    );
    let csv = "
        printf 'timestamp,note\\n2026-02-16T10:01:00Z,\"a\\nb\"\\n2026-02-16T10:02:00Z,x\\n' > a.csv; keep a.csv
        printf '2026-02-16T10:02:30Z,\"half' >> a.csv; keep a.csv
        printf ' a field\"\\n2026-02-16T10:03:00Z,y\\n' >> a.csv; keep a.csv; keep a.csv";
    check_points(csv, &["10:01 1", "10:02 2", "10:03 1 open"]);
}

/// Files that are read by threads, and are longer than a block.
#[test]
fn long_files_are_counted_once_however_often_they_are_read() {
    let csv = "
        long() { echo timestamp,note; for n in $(seq 30000); do echo 2026-02-16T10:01:00Z,some-note-or-other; done; }
        long > a.csv; keep a.csv; keep a.csv; echo 2026-02-16T10:01:00Z,x >> a.csv; keep a.csv; keep a.csv";
    check_points(csv, &["10:01 30001 open"]);
    check_points("at $(yes 01 | head -n 30000) | gzip > a.gz; keep a.gz; keep a.gz; keep a.gz", &["10:01 30000 open"]);
}

/// What is stored does not stop in the middle where rows go to a reader that has seen enough.
#[test]
fn all_windows_of_a_pipe_fire_into_the_store() {
    let script = "
        for hour in 10 11 12; do for minute in $(seq 10 59); do
            echo \"{\\\"timestamp\\\":\\\"2026-02-16T$hour:$minute:00Z\\\"}\"
        done; done > a
        cat a | evwindow --to store:s.db --to - -t 1m --watermark-delay 1d --quiet | head -n 1 > /dev/null";
    let folder = tempfile::tempdir().unwrap();
    bash_in(folder.path(), script, b"").assert_code(0);
    assert_eq!(counts(folder.path(), "s.db").len(), 150);
}

/// What `script` prints when the points of `PRELUDE` are asked for.
#[track_caller]
fn check_asked(script: &str, expected: &str) {
    let ended = bash_in(tempfile::tempdir().unwrap().path(), &format!("{PRELUDE}{script}"), b"");
    ended.assert_code(0);
    assert_eq!(ended.stdout, expected, "{script}\n{}", ended.stderr);
}

/// The last window of a file has not fired, and is part of every answer, marked.
#[test]
fn windows_that_have_not_fired_are_in_merged_answers_too() {
    let ask = "ask() { evquery events --from store:s.db --start 2026-02-16T10:00:00Z -f csv -q \"$@\" | cut -d, -f4; }";
    let script = |question: &str| format!("{ask}\nat 01 02 02 > a; keep a; ask {question}");
    check_asked(&script("--window own"), "count\n1\n2\n");
    check_asked(&script("--window 5m"), "count\n3\n");
    check_asked(&script("--window 1h"), "count\n3\n");
    check_asked(&script("--window all"), "count\n3\n");
    check_asked(&script("--total --agg 'max(count) AS count'"), "count\n1\n2\n");
}

/// One window over a range that begins and ends within windows is made of whole ones.
#[test]
fn one_window_over_all_has_the_edges_of_whole_windows() {
    let script = "at 01 02 03 > a; keep a
        evquery events --from store:s.db --start 2026-02-16T10:01:30Z --until 2026-02-16T10:02:30Z --window all -f csv -q";
    let row = "events,2026-02-16T10:01:00.000Z,2026-02-16T10:03:00.000Z,2,0\n";
    check_asked(script, &format!("metric,window_start,window_end,count,revision\n{row}"));
}

/// A window that grows since midnight is found in its last hour.
#[test]
fn windows_that_reach_into_the_range_are_found() {
    let script = "at 01 02 > a; evwindow --cumulate 1h/1m --watermark-delay 0s --to store:s.db --quiet a
        evquery events --from store:s.db --start 2026-02-16T10:02:00Z --until 2026-02-16T10:02:30Z -f csv -q | cut -d, -f3,4 | sed -n 1,2p";
    check_asked(script, "window_end,count\n2026-02-16T10:03:00.000Z,2\n");
}

/// A reader of stdout that goes ends the run, and the files beside it are complete.
#[test]
fn a_closed_stdout_ends_a_run_that_writes_files_too() {
    let script = "
        mkfifo p; (evwindow -t 1m --watermark-delay 0s --quiet --to - --to rows.ndjson < p; echo $? > code) | head -n 1 > /dev/null &
        exec 3> p; at $(seq 10 59) >&3; until [ -s code ]; do at 59 >&3 2> /dev/null || true; done; exec 3>&-; cat code; ls rows.ndjson";
    check_asked(&format!("trap '' PIPE; {script}"), "0\nrows.ndjson\n");
}

/// Windows of what other machines folded.
#[test]
fn merged_partials_are_stored() {
    let script =
        "at 01 02 > a; evwindow -t 10s --emit partials --quiet a | evwindow --merge -t 1m --to store:s.db --quiet";
    check_points(script, &["10:01 1", "10:02 1"]);
}

/// A second run goes on with the files beside the store, too.
#[test]
fn files_beside_the_store_are_continued() {
    let script = "
        (at 01; echo bad; at 02) > a; keep --to rows.ndjson --rejects-to bad.ndjson a
        (echo worse; at 03) >> a; keep --to rows.ndjson --rejects-to bad.ndjson a
        [ $(wc -l < bad.ndjson) = 2 ]; [ $(grep -vc '\"final\":false' rows.ndjson) = 2 ]";
    check_points(script, &["10:01 1", "10:02 1", "10:03 1 open"]);
}

/// What a commit counts on no run reads again.
#[test]
fn what_a_killed_run_has_written_beside_its_commits_stays() {
    let script = "
        (at 01; echo bad; at 02 03) > a; echo old > bad.ndjson
        (EVKIT_FAULT=keep.after-commit:1 keep --to rows.ndjson --rejects-to bad.ndjson a) && exit 1
        (echo worse; at 04) >> a; keep --to rows.ndjson --rejects-to bad.ndjson a
        [ $(wc -l < bad.ndjson) = 2 ]; [ $(grep -vc '\"final\":false' rows.ndjson) = 3 ]";
    check_points(script, &["10:01 1", "10:02 1", "10:03 1", "10:04 1 open"]);
}

/// A pipe can't be read again: its windows fire at its end, and a second one writes them anew.
#[test]
fn windows_of_a_pipe_are_final() {
    check_points("at 01 02 02 | keep; at 02 | keep", &["10:01 1", "10:02 1"]);
}

/// The last line has no line feed, and its text is written anew with one in it.
#[test]
fn escapes_in_the_last_line_do_not_move_the_position() {
    let script = r#"
        printf '{"timestamp":"2026-02-16T10:01:00Z","user_id":"a\\nb"}' > a; keep -b user_id a
        printf '\n{"timestamp":"2026-02-16T10:02:00Z","user_id":"c\\nd"}' >> a; keep -b user_id a; keep -b user_id a"#;
    check_points(script, &["10:01 1", "10:02 1 open"]);
}

#[test]
fn events_that_come_late_after_a_resume_are_late() {
    let script =
        "at 01 02 03 > a; keep a; at 01 >> a; keep --late-to late.ndjson a; grep -c 10:01 late.ndjson | grep -qx 1";
    check_points(script, &["10:01 1", "10:02 1", "10:03 1 open"]);
    let corrected = "at 01 02 03 > a; keep --allowed-lateness 10m a; at 01 >> a; keep --allowed-lateness 10m a";
    check_points(corrected, &["10:01 2", "10:02 1", "10:03 1 open"]);
}

#[test]
fn a_closed_stdout_ends_the_run_and_what_came_before_is_kept() {
    let script = "
        for hour in 10 11 12; do for minute in $(seq 10 59); do
            echo \"{\\\"timestamp\\\":\\\"2026-02-16T$hour:$minute:00Z\\\"}\"
        done; done > a
        mkfifo p; (keep --to - < p; echo $? > code) | head -n 3 > /dev/null & exec 3> p
        cat a >&3; until [ -s code ]; do :; done; exec 3>&-; grep -qx 0 code";
    let folder = tempfile::tempdir().unwrap();
    bash_in(folder.path(), &format!("{PRELUDE}{script}"), b"").assert_code(0);
    assert!(counts(folder.path(), "s.db").len() >= 100, "{:?}", counts(folder.path(), "s.db"));
}

/// The exit code of the last command of a script, and what it says.
#[track_caller]
fn check_refused(script: &str, code: i32, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let ended = bash_in(folder.path(), &format!("{PRELUDE}{script}"), b"");
    assert_eq!(ended.code, code, "{script}\n{}", ended.stderr);
    assert!(ended.stderr.contains(expected), "{script}\n{}", ended.stderr);
}

#[test]
fn what_would_spoil_the_store_is_refused() {
    check_refused("at 01 > a; keep a; keep -b x a", 2, "was made by another query");
    check_refused(
        "at 01 > a; keep --allowed-lateness 10m a; keep --allowed-lateness 601s a",
        2,
        "--allowed-lateness of 'events' was '10m' and is '601s'",
    );
    check_refused("at 01 > a; keep a; keep --time-format rfc3339 a", 2, "--reset drops what the store has of it");
    check_refused("at 01 > a; keep a; keep --reset -b x a; keep -b x a; keep a", 2, "was made by another query");
    check_refused(
        "at $(seq 10 59) > a; keep a; at $(seq 10 40) > a; keep a",
        1,
        "it has 1147 bytes now\nhint: give the whole file",
    );
    check_refused("at 01 > a; keep a; keep < a", 2, "cannot go on with 'stdin', which can be read only once");
    check_refused("at 01 > a; keep a; evwindow --to store:s.db -t 5m a", 2, "'--tumbling 1m' and is '--tumbling 5m'");
    check_refused("at 01 > a; keep --to store:t.db a", 2, "a run keeps its place in one store");
    check_refused("at 01 > a; keep --emit partials a", 2, "the store takes rows");
    check_refused("at 01 > a; evwindow -t 1m --reset a", 2, "cannot take --reset");
    check_refused("at 01 > a; echo no store > s.db; keep a", 1, "is no store of evkit");
    // Who has given a row owns the store.
    let second = "mkfifo p; keep --to - p > rows & exec 3> p; at 01 02 >&3; until [ -s rows ]; do sleep 0.01; done
        code=0; keep p || code=$?; exec 3>&-; wait; exit $code";
    check_refused(second, 5, "is writing it");
}
