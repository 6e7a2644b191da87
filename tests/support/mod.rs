//! Runs our programs as a user's shell does: pipelines, closed readers, signals, rows that must come before the input ends.
//!
//! Every wait has a limit, and a failure prints both streams. Knows nothing of what the programs answer.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// No command of a test takes this long, also on a slow machine with other work.
pub const LIMIT: Duration = Duration::from_secs(120);

/// What a command left behind when it ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; 128 + the signal where one ended it, as a shell says it.
    pub code: i32,
    /// All of its stdout that was not taken by `Running::line`.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
}

impl Ended {
    /// Panics, showing both streams, unless the exit code is `code`.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}\n---", self.stdout, self.stderr);
        self
    }

    /// Panics, showing both streams, unless it ended with 0 and said nothing.
    #[track_caller]
    pub fn assert_quiet(&self) -> &Self {
        self.assert_code(0);
        assert!(
            self.stderr.is_empty(),
            "stderr is not empty\n--- stdout\n{}\n--- stderr\n{}\n---",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Runs `script` by `bash -euo pipefail` in the folder `place` with `stdin` as its input, our programs first on the PATH.
#[track_caller]
pub fn bash_in(place: &Path, script: &str, stdin: &[u8]) -> Ended {
    let mut running = Running::start_in(place, script);
    running.write(stdin);
    running.finish()
}

/// Like `bash_in`, in an empty folder of its own that is gone afterwards.
#[track_caller]
pub fn bash(script: &str, stdin: &[u8]) -> Ended {
    let place = tempfile::tempdir().expect("a temporary folder can be made");
    bash_in(place.path(), script, stdin)
}

/// A shell command at work: its input is open, its lines can be read one by one. Dropped, it is killed with all that it started.
pub struct Running {
    script: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    ended: bool,
}

impl Running {
    /// Starts `script` by `bash -euo pipefail` in the folder `place`.
    #[track_caller]
    pub fn start_in(place: &Path, script: &str) -> Running {
        let path = std::env::var("PATH").unwrap_or_default();
        // A job that a script has put in the background ignores Ctrl-C, and so do all that it starts, bash's traps too.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,QUIT,TERM,PIPE", "bash", "--norc", "-euo", "pipefail", "-c", script])
            .current_dir(place)
            .env("PATH", format!("{}:{path}", programs().display()))
            .env("NO_COLOR", "1")
            // What the user has stays out of it.
            .env("XDG_DATA_HOME", place.join(".local/share"))
            .env_remove("EVKIT_REGISTRY")
            .env_remove("EVKIT_STORE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that a whole pipeline can be signalled.
            .process_group(0)
            .spawn()
            .expect("bash can be started");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout was asked for");
        let mut stderr_pipe = child.stderr.take().expect("stderr was asked for");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr_pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Running { script: script.to_string(), child, stdin, lines, stderr: Some(stderr), ended: false }
    }

    /// Gives `bytes` to its stdin. A command that reads no further is none of our trouble, as in a shell.
    pub fn write(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
        }
    }

    /// Ends its stdin.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// The next line of its stdout, without the line feed; `None` at the end. Panics when there is neither within `LIMIT`.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line.trim_end_matches('\n').to_string()),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let stderr = self.kill();
                panic!("no line within {LIMIT:?} from: {}\n--- stderr\n{stderr}\n---", self.script);
            }
        }
    }

    /// Sends `signal` to the shell and all that it started.
    pub fn signal(&self, signal: i32) {
        let group = i32::try_from(self.child.id()).expect("process ids fit");
        // SAFETY: kill has no memory of ours to touch; the group is our child's own and not yet waited for.
        unsafe { libc::kill(-group, signal) };
    }

    /// Closes its stdin, and waits for its end. Panics when there is none within `LIMIT`.
    #[track_caller]
    pub fn finish(mut self) -> Ended {
        self.close();
        let mut stdout = String::new();
        while let Some(line) = self.lines.recv_timeout(LIMIT).map(Some).or_else(at_end).unwrap_or_else(|_| {
            let stderr = self.kill();
            panic!("not done within {LIMIT:?}: {}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---", self.script)
        }) {
            stdout.push_str(&line);
        }
        // Its stdout has ended; where a program closed it but works on, the test's own time-out is the limit.
        let status = self.child.wait().expect("the child is ours to wait for");
        self.ended = true;
        let stderr = self.stderr.take().expect("taken once only").join().expect("reading stderr doesn't panic");
        let code = status.code().unwrap_or_else(|| 128 + status.signal().expect("no code, so a signal"));
        Ended { code, stdout, stderr }
    }

    /// Ends all of it at once; gives what it wrote to stderr.
    fn kill(&mut self) -> String {
        self.signal(libc::SIGKILL);
        let _ = self.child.wait();
        self.ended = true;
        self.stderr.take().and_then(|stderr| stderr.join().ok()).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

/// The end of the stream is an answer, a time-out is none.
fn at_end(error: RecvTimeoutError) -> Result<Option<String>, RecvTimeoutError> {
    if error == RecvTimeoutError::Disconnected { Ok(None) } else { Err(error) }
}

/// The folder in which cargo put our programs for this test.
pub fn programs() -> PathBuf {
    let evgen = std::env::var_os("CARGO_BIN_EXE_evgen").expect("cargo builds the programs before their tests");
    Path::new(&evgen).parent().expect("a program stands in a folder").to_path_buf()
}
