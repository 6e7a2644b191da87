//! evwindow processes at work: started, killed, stopped where they stand, and what they were doing when it struck.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A process that is asked to end has this long.
const LEAVING: Duration = Duration::from_secs(10);

/// Processes of one group, each by the name of its instance.
pub struct Fleet {
    folder: PathBuf,
    /// What all are started with.
    arguments: Vec<String>,
    running: BTreeMap<String, Process>,
    started: u32,
}

struct Process {
    child: Child,
    phases: PathBuf,
    stderr: PathBuf,
}

/// The last phase of each stage, as a process logged it: `combine` and `merge`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phases {
    /// By stage.
    pub last: BTreeMap<String, String>,
}

impl Phases {
    /// Whether one of the stages had a transaction open.
    pub fn is_within_transaction(&self) -> bool {
        self.last.values().any(|phase| ["begin", "checkpoint", "commit"].contains(&phase.as_str()))
    }
}

impl Fleet {
    /// Nobody runs yet. Logs are kept in `folder`.
    pub fn new(folder: &Path, arguments: Vec<String>) -> Fleet {
        Fleet { folder: folder.to_owned(), arguments, running: BTreeMap::new(), started: 0 }
    }

    /// Starts an instance.
    pub fn start(&mut self, instance: &str) {
        self.start_with(instance, None);
    }

    /// Starts an instance, which kills itself at a named point: `combine.in-commit:3`.
    pub fn start_with(&mut self, instance: &str, fault: Option<&str>) {
        assert!(!self.running.contains_key(instance), "'{instance}' runs already");
        let process = self.spawn(instance, fault);
        self.running.insert(instance.to_owned(), process);
    }

    /// Starts another process as `instance`, while the first goes on; from now on that one is called `first`.
    pub fn replace(&mut self, instance: &str, first: &str) {
        let process = self.running.remove(instance).unwrap();
        self.running.insert(first.to_owned(), process);
        self.start(instance);
    }

    /// Starts an instance, which lets the group begin anew.
    pub fn start_resetting(&mut self, instance: &str) {
        self.arguments.push("--reset".to_owned());
        self.start(instance);
        self.arguments.pop();
    }

    /// Whoever is started from now on is told `new` in all places where the others were told `old`.
    pub fn replace_argument(&mut self, old: &str, new: &str) {
        self.arguments.iter_mut().for_each(|argument| *argument = argument.replace(old, new));
    }

    fn spawn(&mut self, instance: &str, fault: Option<&str>) -> Process {
        self.started += 1;
        let file = |kind: &str| self.folder.join(format!("{instance}.{}.{kind}", self.started));
        let (phases, stderr) = (file("phases"), file("stderr"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_evwindow"));
        command.args(&self.arguments).args(["--instance", instance]).env("EVKIT_FAULT_LOG", &phases);
        // Lock files of instances, and whatever else a process keeps of its own.
        command.current_dir(&self.folder).env("XDG_STATE_HOME", &self.folder).env("XDG_RUNTIME_DIR", &self.folder);
        match fault {
            Some(fault) => command.env("EVKIT_FAULT", fault),
            None => command.env_remove("EVKIT_FAULT"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
        Process { child: command.spawn().unwrap(), phases, stderr }
    }

    /// Panics, with what it said, where an instance has ended by itself.
    pub fn check(&mut self) {
        for (instance, process) in &mut self.running {
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("'{instance}' ended by itself: {status}\n--- stderr\n{}\n---", said(&process.stderr));
            }
        }
    }

    /// Who runs.
    pub fn instances(&self) -> Vec<String> {
        self.running.keys().cloned().collect()
    }

    /// kill -9; gives what it was doing.
    pub fn kill(&mut self, instance: &str) -> Phases {
        let mut process = self.running.remove(instance).unwrap();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        phases_of(&process.phases)
    }

    /// Sends a signal.
    pub fn signal(&self, instance: &str, signal: i32) {
        let id = i32::try_from(self.running[instance].child.id()).unwrap();
        // SAFETY: kill has no memory of ours to touch; the process is our child and not yet waited for.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0, "'{instance}' can't be signalled");
    }

    /// Waits until an instance ends by itself; gives how, and what it was doing.
    pub fn wait(&mut self, instance: &str, patience: Duration) -> (ExitStatus, Phases, String) {
        let process = self.running.get_mut(instance).unwrap();
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = process.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "'{instance}' still runs after {patience:?}\n{}", said(&process.stderr));
            std::thread::sleep(Duration::from_millis(5));
        };
        let process = self.running.remove(instance).unwrap();
        (status, phases_of(&process.phases), said(&process.stderr))
    }

    /// Waits until an instance is at work: it has begun a batch of records.
    pub fn wait_for_work(&mut self, instance: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        while phases_of(&self.running[instance].phases).last.is_empty() {
            self.check();
            assert!(Instant::now() < deadline, "'{instance}' does nothing\n{}", self.said(instance));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How often an instance logged this line, `merge committed`.
    pub fn count(&self, instance: &str, line: &str) -> usize {
        let log = std::fs::read_to_string(&self.running[instance].phases).unwrap_or_default();
        log.lines().filter(|logged| logged.split_once(' ').is_some_and(|(_, rest)| rest == line)).count()
    }

    /// What an instance has written to stderr.
    pub fn said(&self, instance: &str) -> String {
        said(&self.running[instance].stderr)
    }

    /// The time that an instance has worked.
    pub fn cpu(&self, instance: &str) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running[instance].child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // SAFETY: it only looks up a number.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        Duration::from_secs_f64(ticks as f64 / per_second as f64)
    }

    /// A number of /proc/PID/status in KiB, such as VmHWM.
    pub fn memory(&self, instance: &str, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running[instance].child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }

    /// SIGTERM; an instance leaves in time, and says by its code why.
    pub fn stop(&mut self, instance: &str) {
        self.signal(instance, libc::SIGTERM);
        let (status, _, said) = self.wait(instance, LEAVING);
        let is_asked_for =
            status.code() == Some(143) || status.code() == Some(0) || status.signal() == Some(libc::SIGTERM);
        assert!(is_asked_for, "'{instance}' was asked to end: {status}\n--- stderr\n{said}\n---");
    }

    /// All leave.
    pub fn stop_all(&mut self) {
        for instance in self.instances() {
            self.stop(&instance);
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in self.running.values_mut() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// The last lines of a log; of one that is long, what matters stands at its end.
fn said(path: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn phases_of(path: &Path) -> Phases {
    let mut phases = Phases::default();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(stage), Some(phase)) = (words.next(), words.next()) {
            phases.last.insert(stage.to_owned(), phase.to_owned());
        }
    }
    phases
}
