//! Takes blocks from the source as they are there: first from the partition that the sequencer waits for, then from all
//! others, within a bound; and waits only when there is nothing.
//!
//! Decides by the clock which partitions are silent, and what that means. Knows nothing of what is in the blocks.

use std::sync::Arc;

use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::{Polled, Source, SourceError};
use crate::time::{Clock, Duration, Timestamp};
use crate::watermark::Sequencer;

/// While the watermark goes on with the clock it is looked at this often.
const TICK: Duration = Duration(20_000);

/// A look that comes later than it was meant to by more than this was held up: by a stopped process, a blocked output, or
/// a clock that was set. What has come meanwhile may not have been read yet, so it says nothing about silence.
const HELD_UP: Duration = Duration(1_000_000);

/// Blocks on their way in.
pub struct Intake {
    source: Box<dyn Source>,
    clock: Arc<dyn Clock>,
    /// Whether reading is to stop.
    stop: Box<dyn Fn() -> bool + Send>,
    options: IntakeOptions,
    lanes: Vec<Lane>,
    /// Blocks that have been looked at before they are taken.
    peeked: Vec<Block>,
    /// When the clock was last looked at, and when it was to be looked at again.
    looked: Timestamp,
    due: Timestamp,
    /// Since when nothing at all has come, or that was told.
    quiet_since: Timestamp,
}

/// How much is taken at once, and when silence counts.
#[derive(Debug, Clone, Copy)]
pub struct IntakeOptions {
    /// Most blocks taken at once. At least 1.
    pub blocks_max: usize,
    /// Silence after which other partitions that go on need not wait for this one; `None`: they always wait.
    pub idle_timeout: Option<Duration>,
    /// Silence of all partitions after which the watermark goes on with the clock; `None`: never.
    pub idle_close: Option<Duration>,
    /// Says so when nothing came for this long; `None`: waits.
    pub patience: Option<Duration>,
}

/// What `Intake::take` came back with.
#[derive(Debug, Default)]
pub struct Taken {
    /// Blocks, those of each partition in their order.
    pub blocks: Vec<Block>,
    /// Nothing came for as long as `IntakeOptions::patience`.
    pub is_quiet: bool,
}

struct Lane {
    state: LaneState,
    /// Since when polls have given nothing. A partition that is not polled, because what it gave is yet to be used, is not
    /// silent.
    silent_since: Option<Timestamp>,
}

enum LaneState {
    Open,
    Ended,
    /// It could not be read on. It never ends, so that no window fires that it might have had events for.
    Failed(SourceError),
}

impl Intake {
    /// Takes from `source` until it ends or `stop` says so. Whoever makes `stop` true must call the source's waker.
    pub fn new(
        source: Box<dyn Source>,
        clock: Arc<dyn Clock>,
        stop: Box<dyn Fn() -> bool + Send>,
        options: IntakeOptions,
    ) -> Intake {
        let now = clock.now();
        let lane = || Lane { state: LaneState::Open, silent_since: None };
        let lanes = std::iter::repeat_with(lane).take(source.partitions()).collect();
        Intake { source, clock, stop, options, lanes, peeked: Vec::new(), looked: now, due: now, quiet_since: now }
    }

    /// The name of a partition.
    pub fn name(&self, partition: PartitionId) -> &str {
        self.source.name(partition)
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.lanes.len()
    }

    /// Whether reading was stopped from outside.
    pub fn is_stopped(&self) -> bool {
        (self.stop)()
    }

    /// Waits for the first block of every partition, those aside that have none, and gives these blocks in the order of the
    /// partitions. They are taken later as if nobody had looked.
    pub fn peek(&mut self) -> &[Block] {
        let mut waiting: Vec<PartitionId> = self.open().collect();
        while !waiting.is_empty() && !self.is_stopped() {
            waiting.retain(|&partition| match self.source.poll(partition) {
                Ok(Polled::Block(block)) => {
                    self.peeked.push(block);
                    false
                }
                Ok(Polled::Pending) => true,
                // Told once more when it is taken from.
                Ok(Polled::End) => false,
                Err(error) => {
                    self.lanes[partition.0 as usize].state = LaneState::Failed(error);
                    false
                }
            });
            if !waiting.is_empty() {
                self.source.wait(&waiting, None);
            }
        }
        self.peeked.sort_by_key(|block| block.partition);
        &self.peeked
    }

    /// The next blocks; waits until there are any. Comes back without when a partition ended or went idle or the watermark
    /// went on with the clock, all of which the sequencer was told; when one has failed, when it is quiet, and when reading was
    /// stopped.
    pub fn take(&mut self, sequencer: &mut Sequencer, awaited: PartitionId) -> Taken {
        loop {
            let now = self.look();
            if self.is_stopped() || self.has_failed(awaited) {
                return Taken::default();
            }
            let mut blocks = std::mem::take(&mut self.peeked);
            let changed = self.poll_all(sequencer, awaited, now, &mut blocks);
            if !blocks.is_empty() {
                self.quiet_since = now;
            }
            if changed || !blocks.is_empty() || self.note_silence(sequencer, awaited, now) {
                return Taken { blocks, is_quiet: false };
            }
            if self.options.patience.is_some_and(|patience| now.0 - self.quiet_since.0 >= patience.0) {
                self.quiet_since = now;
                return Taken { blocks, is_quiet: true };
            }
            let next_look = self.next_look(sequencer, awaited, now);
            self.due = next_look.unwrap_or(Timestamp::MAX);
            let waited_for: Vec<PartitionId> =
                self.open().filter(|&partition| !sequencer.has_more(partition)).collect();
            let micros = next_look.map(|next_look| (next_look.0 - now.0).unsigned_abs());
            self.source.wait(&waited_for, micros.map(std::time::Duration::from_micros));
        }
    }

    /// Takes back the bytes of a block that is done with.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.source.recycle(bytes);
    }

    /// Whether a partition could not be read on. All that was read of it has been taken.
    pub fn has_failed(&self, partition: PartitionId) -> bool {
        matches!(self.lanes[partition.0 as usize].state, LaneState::Failed(_))
    }

    /// What went wrong while reading, in the first of the partitions.
    pub fn take_error(&mut self) -> Option<SourceError> {
        self.lanes.iter_mut().find_map(|lane| match std::mem::replace(&mut lane.state, LaneState::Ended) {
            LaneState::Failed(error) => Some(error),
            state => {
                lane.state = state;
                None
            }
        })
    }

    fn open(&self) -> impl Iterator<Item = PartitionId> {
        let open = self.lanes.iter().enumerate().filter(|(_, lane)| matches!(lane.state, LaneState::Open));
        open.map(|(index, _)| PartitionId(index as u32))
    }

    /// The clock's time. Silence is counted anew when this look was held up.
    fn look(&mut self) -> Timestamp {
        let now = self.clock.now();
        if now.0 > self.due.0.saturating_add(HELD_UP.0) || now < self.looked {
            self.lanes.iter_mut().for_each(|lane| lane.silent_since = lane.silent_since.map(|_| now));
            self.quiet_since = now;
        }
        self.looked = now;
        // A step that takes long is as good as being held up.
        self.due = now;
        now
    }

    /// Polls the awaited partition until it has no more, then the others, of each one block ahead of what the sequencer
    /// has taken: so memory does not grow with how far they are apart. Whether any has ended or failed.
    fn poll_all(
        &mut self,
        sequencer: &mut Sequencer,
        awaited: PartitionId,
        now: Timestamp,
        blocks: &mut Vec<Block>,
    ) -> bool {
        let others = self.open().filter(|&partition| partition != awaited && !sequencer.has_more(partition));
        let awaited_first: Vec<PartitionId> = self.open().filter(|&open| open == awaited).chain(others).collect();
        let mut changed = false;
        for partition in awaited_first {
            let lane = &mut self.lanes[partition.0 as usize];
            let is_peeked = blocks.iter().any(|block| block.partition == partition);
            let mut room = self.options.blocks_max.saturating_sub(blocks.len());
            if partition != awaited {
                room = room.min(usize::from(!is_peeked));
            }
            for _ in 0..room {
                match self.source.poll(partition) {
                    Ok(Polled::Block(block)) => {
                        lane.silent_since = None;
                        blocks.push(block);
                        continue;
                    }
                    Ok(Polled::Pending) => {
                        lane.silent_since.get_or_insert(now);
                    }
                    Ok(Polled::End) => {
                        lane.state = LaneState::Ended;
                        sequencer.end(partition);
                        changed = true;
                    }
                    Err(error) => {
                        lane.state = LaneState::Failed(error);
                        changed = true;
                    }
                }
                break;
            }
        }
        changed
    }

    /// Tells the sequencer that the awaited partition is idle, or how far the clock has gone on since all fell silent.
    /// Whether that changes anything.
    fn note_silence(&mut self, sequencer: &mut Sequencer, awaited: PartitionId, now: Timestamp) -> bool {
        if !sequencer.is_idle(awaited) && self.idle_at(sequencer, awaited, now).is_some_and(|at| at <= now) {
            sequencer.set_idle(awaited);
            return true;
        }
        if let Some(at) = self.closing_at(sequencer)
            && at <= now
            && let Some(highest) = sequencer.highest_watermark()
        {
            let before = sequencer.watermark();
            sequencer.raise(Timestamp(highest.0.saturating_add(now.0 - at.0)));
            return sequencer.watermark() > before;
        }
        false
    }

    /// When the awaited partition counts as idle; `None` as long as no other goes on.
    fn idle_at(&self, sequencer: &Sequencer, awaited: PartitionId, now: Timestamp) -> Option<Timestamp> {
        let timeout = self.options.idle_timeout?;
        let idle_at = |lane: &Lane| Some(Timestamp(lane.silent_since?.0.saturating_add(timeout.0)));
        let goes_on = |(index, lane): (usize, &Lane)| {
            let partition = PartitionId(index as u32);
            let is_heard = matches!(lane.state, LaneState::Open) && idle_at(lane).is_none_or(|at| at > now);
            partition != awaited && (is_heard || sequencer.has_more(partition))
        };
        let awaited_lane = &self.lanes[awaited.0 as usize];
        let is_waiting = matches!(awaited_lane.state, LaneState::Open) && self.lanes.iter().enumerate().any(goes_on);
        idle_at(awaited_lane).filter(|_| is_waiting)
    }

    /// From when on the watermark goes on with the clock; `None` while there is anything left or anyone to be heard.
    fn closing_at(&self, sequencer: &Sequencer) -> Option<Timestamp> {
        let close = self.options.idle_close?;
        let mut silent_since = Timestamp::MIN;
        for (index, lane) in self.lanes.iter().enumerate() {
            match lane.state {
                LaneState::Ended if !sequencer.has_more(PartitionId(index as u32)) => {}
                LaneState::Open => silent_since = silent_since.max(lane.silent_since?),
                _ => return None,
            }
        }
        (silent_since > Timestamp::MIN).then(|| Timestamp(silent_since.0.saturating_add(close.0)))
    }

    /// When silence will mean something, if nothing comes before. Later than `now`.
    fn next_look(&self, sequencer: &Sequencer, awaited: PartitionId, now: Timestamp) -> Option<Timestamp> {
        let idle = self.idle_at(sequencer, awaited, now).filter(|&at| at > now);
        let close = self.closing_at(sequencer).filter(|_| sequencer.highest_watermark().is_some());
        let close = close.map(|at| if at > now { at } else { Timestamp(now.0.saturating_add(TICK.0)) });
        let patience = self.options.patience.map(|patience| Timestamp(self.quiet_since.0.saturating_add(patience.0)));
        idle.into_iter().chain(close).chain(patience).min()
    }
}

#[cfg(test)]
mod tests {
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

    const OPTIONS: IntakeOptions =
        IntakeOptions { blocks_max: 4, idle_timeout: None, idle_close: None, patience: None };

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
                let events = String::from_utf8(block.bytes).unwrap();
                let times: Vec<Timestamp> =
                    events.lines().map(|time| Timestamp(time.parse::<i64>().unwrap() * MILLI)).collect();
                write!(text, " {}:{}", block.partition.0, events.replace('\n', ",")).unwrap();
                let maximum = Arc::new(RunningMaximum::of(&times));
                let batch = Sequenced { batch: 0, rows: times.len(), maximum, in_band: Default::default() };
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
}
