//! The helper that the tests of pipelines stand on: it tells ends, signals and streams apart.

mod support;

use support::{Running, bash};

#[test]
fn streams_and_codes_are_told() {
    let ended = bash("cat; echo speech >&2; exit 3", b"data\n");
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (3, "data\n", "speech\n"));
    assert_eq!(bash("false | true", b"").code, 1);
    assert_eq!(bash("kill -TERM $$", b"").code, 143);
}

#[test]
fn lines_come_before_the_input_ends() {
    let place = tempfile::tempdir().unwrap();
    let mut running = Running::start_in(place.path(), "while read -r line; do echo \"<$line>\"; done; echo end");
    running.write(b"a\n");
    assert_eq!(running.line().as_deref(), Some("<a>"));
    running.write(b"b\n");
    assert_eq!(running.line().as_deref(), Some("<b>"));
    let ended = running.finish();
    assert_eq!(ended.assert_quiet().stdout, "end\n");
}

#[test]
fn a_signal_reaches_the_whole_pipeline() {
    let place = tempfile::tempdir().unwrap();
    let mut running = Running::start_in(place.path(), "trap 'exit 7' INT; (echo ready; exec sleep 100) | cat");
    assert_eq!(running.line().as_deref(), Some("ready"));
    running.signal(libc::SIGINT);
    running.finish().assert_code(7);
}
