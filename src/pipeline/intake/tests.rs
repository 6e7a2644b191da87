//! The intake with a source that moves the clock when it is waited for, and that refuses to be waited for in vain.

use std::collections::VecDeque;
use std::fmt::Write;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::source::Waker;
use crate::source::clock::ManualClock;
use crate::source::memory::{MemorySource, Step};
use crate::watermark::{RunningMaximum, Sequenced};

const MILLI: i64 = 1000;

/// A memory source whose partitions have something from a given millisecond on. A wait moves the clock to the next of
/// these times or to its end, and is written down; waiting for what is there already fails, because it would spin.
struct TimedSource {
    memory: MemorySource,
    /// By partition, when its next step can be taken.
    times: Vec<VecDeque<i64>>,
    clock: Arc<ManualClock>,
    seen: Arc<Mutex<String>>,
}

impl TimedSource {
    fn is_there(&self, partition: PartitionId) -> bool {
        self.times[partition.0 as usize].front().is_some_and(|&at| at * MILLI <= self.clock.now().0)
    }
}

impl Source for TimedSource {
    fn partitions(&self) -> usize {
        self.memory.partitions()
    }

    fn name(&self, partition: PartitionId) -> &str {
        self.memory.name(partition)
    }

    fn seek(&mut self, partition: PartitionId, offset: u64) {
        self.memory.seek(partition, offset);
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        if !self.is_there(partition) {
            return Ok(Polled::Pending);
        }
        let polled = self.memory.poll(partition);
        if !matches!(polled, Ok(Polled::End) | Err(_)) {
            self.times[partition.0 as usize].pop_front();
        }
        polled
    }

    fn wait(&mut self, partitions: &[PartitionId], timeout: Option<std::time::Duration>) {
        let now = self.clock.now().0;
        for &partition in partitions {
            assert!(!self.is_there(partition), "waits for {partition:?}, which has something");
        }
        let end = timeout.map(|timeout| now + timeout.as_micros() as i64);
        let next = partitions.iter().filter_map(|p| self.times[p.0 as usize].front()).map(|at| at * MILLI).min();
        let until = end.into_iter().chain(next).min().expect("a wait without an end");
        assert!(until > now, "a wait of no length");
        self.clock.set(Timestamp(until));
        let who: Vec<String> = partitions.iter().map(|p| p.0.to_string()).collect();
        write!(self.seen.lock().unwrap(), "[{} until {}]", who.join(","), until / MILLI).unwrap();
    }

    fn waker(&self) -> Waker {
        self.memory.waker()
    }
}

const OPTIONS: IntakeOptions = IntakeOptions { blocks_max: 4, idle_timeout: None, idle_close: None, patience: None };

/// The sequencer's loop around an intake.
struct Run {
    intake: Intake,
    sequencer: Sequencer,
    awaited: PartitionId,
    clock: Arc<ManualClock>,
    seen: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
}

impl Run {
    /// Scripts are steps parted by spaces, each `MILLISECOND:TIMES`: an event at each of the times, which are
    /// milliseconds and parted by commas; `MILLISECOND!` is an error, `MILLISECOND.` the end. A script without an end stays
    /// silent after its last step.
    fn new(scripts: &[&str], options: IntakeOptions) -> Run {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut steps, mut times) = (Vec::new(), Vec::new());
        for script in scripts {
            let step = |word: &str| -> (i64, Step) {
                match word.split_once(':') {
                    Some((at, events)) => (at.parse().unwrap(), Step::Block(events.replace(',', "\n").into())),
                    None => (word[..word.len() - 1].parse().unwrap(), Step::Error(ErrorKind::InvalidData)),
                }
            };
            let is_end = |word: &&str| word.ends_with('.');
            let words: Vec<&str> = script.split_whitespace().collect();
            let (at, played): (Vec<i64>, Vec<Step>) = words.iter().filter(|w| !is_end(w)).map(|w| step(w)).unzip();
            let end = words.iter().filter(|w| is_end(w)).map(|w| w.trim_end_matches('.').parse().unwrap());
            times.push(at.into_iter().chain(end).collect());
            steps.push(played);
        }
        let memory = MemorySource::new(steps, clock.clone());
        let source = TimedSource { memory, times, clock: clock.clone(), seen: seen.clone() };
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let is_stopped = Box::new(move || asked.load(Ordering::Relaxed));
        let intake = Intake::new(Box::new(source), clock.clone(), is_stopped, options);
        let sequencer = Sequencer::new(scripts.len(), Duration(0));
        Run { intake, sequencer, awaited: PartitionId(0), clock, seen, stop }
    }

    /// One step: takes blocks, and gives them to the sequencer. Writes down what was taken as `@MILLISECOND
    /// PARTITION:TIMES`, and the watermark where it has moved. False at the end.
    fn step(&mut self) -> bool {
        let before = self.sequencer.watermark();
        let taken = self.intake.take(&mut self.sequencer, self.awaited);
        let mut text = format!("@{}", self.clock.now().0 / MILLI);
        for block in taken.blocks {
            let block = block.read_lines().unwrap();
            let events = String::from_utf8(block.bytes).unwrap();
            let times: Vec<Timestamp> =
                events.lines().map(|time| Timestamp(time.parse::<i64>().unwrap() * MILLI)).collect();
            write!(text, " {}:{}", block.partition.0, events.replace('\n', ",")).unwrap();
            let maximum = Arc::new(RunningMaximum::of(&times));
            let batch = Sequenced {
                batch: 0,
                rows: times.len(),
                maximum,
                in_band: Default::default(),
                rejects: Default::default(),
            };
            self.sequencer.push(block.partition, batch);
        }
        let goes_on = loop {
            match self.sequencer.next(Timestamp::MAX) {
                crate::watermark::Step::Run(_) => {}
                crate::watermark::Step::Wait(partition) => {
                    self.awaited = partition;
                    break !self.intake.has_failed(partition);
                }
                _ => break false,
            }
        };
        let watermark = self.sequencer.watermark();
        if watermark > before {
            write!(text, " w{}", watermark.0 / MILLI).unwrap();
        }
        text += if taken.is_quiet { " quiet " } else { " " };
        self.seen.lock().unwrap().push_str(&text);
        goes_on
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().trim().to_owned()
    }
}

/// What happens within `until` milliseconds.
#[track_caller]
fn check(scripts: &[&str], options: IntakeOptions, until: i64, expected: &str) {
    let mut run = Run::new(scripts, options);
    while run.step() && run.clock.now().0 < until * MILLI {}
    assert_eq!(run.seen(), expected);
}

fn idle(timeout: i64) -> IntakeOptions {
    IntakeOptions { idle_timeout: Some(Duration(timeout * MILLI)), ..OPTIONS }
}

fn close(after: i64) -> IntakeOptions {
    IntakeOptions { idle_close: Some(Duration(after * MILLI)), ..OPTIONS }
}

#[test]
fn blocks_are_taken_as_they_come() {
    check(&["0:1,2 5:3 5."], OPTIONS, 99, "@0 0:1,2 w2 [0 until 5]@5 0:3 w3");
    check(&["0."], OPTIONS, 99, "@0");
}

#[test]
fn no_more_are_taken_than_the_bound() {
    let options = IntakeOptions { blocks_max: 2, ..OPTIONS };
    check(&["0:1 0:2 0:3 0:4 0:5 0."], options, 99, "@0 0:1 0:2 w2 @0 0:3 0:4 w4 @0 0:5 w5");
}

#[test]
fn the_awaited_partition_is_read_first_and_others_one_block_ahead() {
    check(
        &["0:1 0:2 9:9 9.", "0:5 0:6 0:7 9."],
        OPTIONS,
        8,
        // 1:5 is taken at once: until then both partitions knew no time. While 1:6 waits for its turn, 1:7 stays where it is
        // and is not waited for.
        "@0 0:1 0:2 1:5 w2 @0 1:6 [0 until 9]@9 0:9 w6",
    );
}

#[test]
fn full_blocks_of_others_do_not_keep_the_awaited_one_out() {
    let options = IntakeOptions { blocks_max: 1, ..OPTIONS };
    check(&["3:1 3.", "0:5 9.", "0:6 9."], options, 3, "@0 1:5 @0 2:6 [0 until 3]@3 0:1 w1");
}

#[test]
fn one_ends_while_others_are_silent() {
    check(&["0:1 4.", "0:2"], OPTIONS, 4, "@0 0:1 1:2 w1 [0,1 until 4]@4 w2");
    check(&["0:1 9:9", "0:2 4."], OPTIONS, 9, "@0 0:1 1:2 w1 [0,1 until 4]@4 [0 until 9]@9 0:9 w9");
}

#[test]
fn one_that_is_silent_is_idle_when_others_go_on() {
    check(
        &["0:1", "0:2 3:3 30:30 30."],
        idle(10),
        30,
        // At 10, partition 1 has given something that waits for partition 0.
        "@0 0:1 1:2 w1 [0,1 until 3]@3 1:3 [0 until 10]@10 w3 [0,1 until 30]@30 1:30 w30",
    );
}

#[test]
fn an_outage_of_all_is_not_idleness() {
    // At 18 the awaited partition 1 has been silent for long, but partition 0 even longer.
    check(
        &["0:1 0:4 90:6", "0:2 8:3 90:90"],
        idle(10),
        90,
        "@0 0:1 0:4 1:2 w2 [0,1 until 8]@8 1:3 w3 [0,1 until 18][0,1 until 90]@90 1:90 0:6 w6",
    );
}

#[test]
fn one_that_wakes_joins_at_once_and_the_watermark_waits() {
    check(
        &["0:1 20:5 40:40", "0:2 1:10 22:11 30:30"],
        idle(10),
        40,
        "@0 0:1 1:2 w1 [0,1 until 1]@1 1:10 [0 until 10]@10 w10 [0,1 until 20]@20 0:5 [0,1 until 22]@22 1:11 \
         [0 until 30]@30 w11 @30 1:30 w30 [0,1 until 40]@40 0:40",
    );
}

#[test]
fn what_is_read_ahead_is_not_silent() {
    // From 0 to 40 partition 1 is not polled, because it is ahead: its silence begins at 40, when it is polled in vain.
    check(
        &["0:1 40:50", "0:7 0:8,9"],
        close(10),
        50,
        "@0 0:1 1:7 w1 @0 1:8,9 [0 until 40]@40 0:50 w9 [0,1 until 50]@50 w50",
    );
}

#[test]
fn when_all_are_silent_the_watermark_goes_on_with_the_clock() {
    check(
        &["0:100"],
        close(50),
        115,
        // From the highest time on, a tick at a time; to where the next event finds it.
        "@0 0:100 w100 [0 until 50][0 until 70]@70 w120 [0 until 90]@90 w140 [0 until 110]@110 w160 [0 until 130]@130 w180",
    );
}

#[test]
fn nothing_goes_on_before_the_first_event() {
    check(&["300:100 301."], close(50), 300, "[0 until 300]@300 0:100 w100");
}

#[test]
fn a_program_that_was_held_up_has_heard_no_silence() {
    let mut run = Run::new(&["0:1", "0:2 0:3"], idle(10));
    run.step();
    run.step();
    // Partition 0 is silent since 0, but nobody has looked for two seconds.
    run.clock.set(Timestamp(2000 * MILLI));
    run.step();
    assert_eq!(run.seen(), "@0 0:1 1:2 w1 @0 1:3 [0 until 2010]@2010 w3");
}

#[test]
fn a_clock_that_goes_back_restarts_the_silence() {
    let mut run = Run::new(&["5000:1 5000:1", "5000:2 5000:3 5001:4"], idle(10));
    run.step();
    run.step();
    run.clock.set(Timestamp(1000 * MILLI));
    run.step();
    assert!(run.seen().ends_with("[0 until 1010]@1010 w3"), "{}", run.seen());
}

#[test]
fn quiet_is_told_again_and_again() {
    let options = IntakeOptions { patience: Some(Duration(30 * MILLI)), ..OPTIONS };
    check(
        &["0:1 40:2"],
        options,
        100,
        "@0 0:1 w1 [0 until 30]@30 quiet [0 until 40]@40 0:2 w2 [0 until 70]@70 quiet [0 until 100]@100 quiet",
    );
}

#[test]
fn an_error_is_told_when_what_was_read_before_is_used() {
    let mut run = Run::new(&["0:1 0!", "0:2 0:3 0:4"], OPTIONS);
    while run.step() {}
    // The watermark stays where the failed partition has left it, and the other one is not waited for.
    assert_eq!(run.seen(), "@0 0:1 1:2 w1");
    let error = run.intake.take_error().unwrap();
    assert_eq!(error.to_string(), "cannot read 'memory-0' at byte 1");
    assert!(run.intake.take_error().is_none());
}

#[test]
fn a_stop_request_is_obeyed_at_once() {
    let mut run = Run::new(&["0:1 0:2"], IntakeOptions { blocks_max: 1, ..OPTIONS });
    run.step();
    run.stop.store(true, Ordering::Relaxed);
    run.step();
    assert_eq!(run.seen(), "@0 0:1 w1 @0");
    assert!(run.intake.is_stopped());
}

#[test]
fn a_look_ahead_takes_nothing_away() {
    let mut run = Run::new(&["3:1 3:2 9:9 9.", "0.", "1:5 1:6 20.", "2!"], OPTIONS);
    let first: Vec<u32> = run.intake.peek().iter().map(|block| block.partition.0).collect();
    assert_eq!(first, [0, 2]);
    while run.step() {}
    assert_eq!(run.seen(), "[0,2,3 until 1][0,3 until 2][0 until 3]@3 0:1 2:5 0:2");
    assert!(run.intake.take_error().is_some());
}
