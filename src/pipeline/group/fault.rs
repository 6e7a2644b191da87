//! Named points at which tests kill a process, and a log of the phases that it goes through.
//!
//! `EVKIT_FAULT=combine.after-produce:3` kills this process, as `kill -9` would, when it comes to that point for the third time;
//! `EVKIT_FAULT_LOG=FILE` appends a line a phase. Both do nothing where they are not set.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

struct Faults {
    point: Option<(String, u64)>,
    reached: AtomicU64,
    log: Option<File>,
}

fn faults() -> &'static Faults {
    static FAULTS: OnceLock<Faults> = OnceLock::new();
    FAULTS.get_or_init(|| {
        let point = std::env::var("EVKIT_FAULT").ok().map(|wish| match wish.rsplit_once(':') {
            Some((point, times)) => (point.to_owned(), times.parse().unwrap_or(1)),
            None => (wish, 1),
        });
        let open = |path| OpenOptions::new().append(true).create(true).open(path).ok();
        Faults { point, reached: AtomicU64::new(0), log: std::env::var_os("EVKIT_FAULT_LOG").and_then(open) }
    })
}

fn is_due(stage: &str, point: &str) -> bool {
    let Faults { point: wanted, reached, .. } = faults();
    let Some((wanted, times)) = wanted else { return false };
    let is_it = wanted.split_once('.') == Some((stage, point));
    is_it && reached.fetch_add(1, Ordering::Relaxed) + 1 == *times
}

fn kill() {
    // Nothing is left to do where even this fails.
    let _ = signal_hook::low_level::raise(libc::SIGKILL);
}

/// Comes to a point.
pub fn reach(stage: &str, point: &str) {
    if is_due(stage, point) {
        kill();
    }
}

/// Comes to a point within a call that is made next.
pub fn reach_within(stage: &str, point: &str) {
    if is_due(stage, point) {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(3));
            kill();
        });
    }
}

/// Enters a phase.
pub fn enter(stage: &str, phase: &str) {
    if let Some(mut log) = faults().log.as_ref() {
        // One write a line: several threads and processes append. A test that finds no log fails by that.
        let _ = log.write_all(format!("{} {stage} {phase}\n", std::process::id()).as_bytes());
    }
}
