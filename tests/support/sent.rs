//! evwindow over a few events, with its rows to a made-up server.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use crate::influx::Fake;
use crate::support::{Ended, bash_in};

/// Points named `m`, with a group and two fields.
pub const QUERY: &str = "-t 1m -b g -a 'count(*) AS n, avg(x) AS mean' --name m --quiet --max-future none";

/// Runs evwindow over events, with its rows to a server of ours and to `rows.ndjson`.
pub fn run(fake: &Fake, flags: &str, events: &str) -> (Ended, String) {
    run_at(&format!("influx://{}/o/b", fake.address), flags, events)
}

/// The same, to another address.
pub fn run_at(to: &str, flags: &str, events: &str) -> (Ended, String) {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("e.ndjson"), events).unwrap();
    let script = format!("export INFLUX_TOKEN=hush HOME=$PWD; evwindow {QUERY} {flags} --to {to} e.ndjson");
    let ended = bash_in(place.path(), &script, b"");
    assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
    let rejects = std::fs::read_to_string(place.path().join("rejects")).unwrap_or_default();
    (ended, rejects)
}
