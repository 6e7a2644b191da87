//! Live runs that find events late, and what their stores hold once these were brought in.
//!
//! Beside it stand `kept.rs` and `mod.rs`.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;

use evkit::store::check::check;

use crate::kept::{assert_same, points};
use crate::support::{Ended, bash_in};

/// Windows of several lengths and latenesses: an event may be late for one metric and in time for another.
pub const METRICS: &str = r#"
[[metric]]
name = "revenue"
tumbling = "1s"
where = "event_type = 'purchase_completed'"
by = "properties.currency"
agg = "count(*) AS count, sum(properties.amount) AS total, avg(properties.amount) AS mean, max(user_id) AS last"

[[metric]]
name = "types"
tumbling = "1s"
by = "event_type"

[[metric]]
name = "lasting"
tumbling = "2s"
by = "event_type"
agg = "count(*) AS n, approx_count_distinct(user_id) AS users, topk(properties.amount, 3) AS best"
allowed-lateness = "4s"

[[metric]]
name = "minutes"
tumbling = "1m"
agg = "count(*) AS n, stddev_samp(properties.amount) AS spread"
"#;

/// An event may be late for its ten seconds, and in time for its minute.
pub const SECONDS_AND_MINUTES: &str = r#"
[[metric]]
name = "seconds"
tumbling = "10s"
by = "g"
[[metric]]
name = "minutes"
tumbling = "1m"
"#;

/// What the points say whose windows begin at ten.
pub fn points_of_ten(store: &Path) -> Vec<String> {
    let points = points(store).into_iter();
    points.filter(|(place, _)| place.contains("T10:00:00.000Z ")).map(|(_, (text, _))| text).collect()
}

/// Three inputs, each with events out of order and late, and one far ahead at the end that closes all windows.
pub fn events(folder: &Path, seed: u64) {
    std::fs::write(folder.join("metrics.toml"), METRICS).unwrap();
    let script = format!(
        "evgen -d 60s --start 2026-02-16T09:59:30Z --seed {seed} --users 200 --out-of-order 2s:20% --late 40s:3% \
             -q > all.ndjson
         for n in 0 1 2; do awk -v n=$n 'NR % 3 == n' all.ndjson > $n.ndjson; done
         for n in 0 1 2; do cat $n.ndjson > $n.whole; printf '%s\n' \
             '{{\"timestamp\":\"2026-02-16T11:00:00Z\",\"event_type\":\"end\",\"user_id\":\"u\"}}' >> $n.whole; done"
    );
    bash_in(folder, &script, b"").assert_quiet();
}

/// The live run, without its inputs.
pub const LIVE: &str =
    "evwindow --metrics metrics.toml --watermark-delay 1s -q --to store:kept.db --late-to late.ndjson";
/// The repair, without late events.
pub const REPAIR: &str = "evwindow repair --metrics metrics.toml --watermark-delay 1s --to store:kept.db";

/// The points of `kept.db` are those of a run that waits for all events, and its roll-ups are those of its points.
#[track_caller]
pub fn assert_whole(folder: &Path, inputs: &str, seed: u64) {
    assert_points_whole(folder, inputs, seed);
    let report = check(&folder.join("kept.db")).unwrap();
    assert!(report.findings.is_empty() && report.roll_ups > 0, "seed {seed}: {report:?}");
}

/// Its points are, whatever its roll-ups say.
#[track_caller]
pub fn assert_points_whole(folder: &Path, inputs: &str, seed: u64) {
    let script = format!(
        "rm -rf straight.db*; evwindow --metrics metrics.toml --watermark-delay 10m -q --to store:straight.db {inputs}"
    );
    bash_in(folder, &script, b"").assert_quiet();
    assert_same(&folder.join("kept.db"), &folder.join("straight.db"), &format!("seed {seed}"));
}

/// The seed of all that is random.
pub fn seed() -> u64 {
    std::env::var("EVKIT_SEED").map_or(11, |text| text.parse().unwrap())
}

/// What a script says that ends well.
#[track_caller]
pub fn run(folder: &Path, script: &str) -> Ended {
    let ended = bash_in(folder, script, b"");
    ended.assert_code(0);
    ended
}

/// The archive has what came before the windows that are looked at.
pub fn events_from_before(folder: &Path, seed: u64) {
    events(folder, seed);
    let first = r#"{"timestamp":"2026-02-16T09:50:00Z","event_type":"begin","user_id":"u"}"#;
    run(folder, &format!("for n in 0 1 2; do echo '{first}' | cat - $n.whole > whole; mv whole $n.whole; done"));
}
