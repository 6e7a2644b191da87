//! Watermarks: how far event time has come, by partition and for the operator, and in which order events are taken.
//!
//! The watermark says that no event with an earlier time is expected. Every partition has its own, the highest event time
//! seen less the delay (or what the stream itself says in band); the operator's is the least over the partitions that
//! are neither ended nor idle. An event is judged by its own partition's watermark as it stood before the event.
//! Several partitions are taken side by side, always from the one whose watermark is lowest, event by event, so that
//! the order depends on the data alone. Knows nothing of windows and of where the events come from.

mod saved;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use crate::partition::PartitionId;
use crate::time::{Duration, Timestamp};

/// The running maximum of a batch's event times: `maxima[i]` is the highest of the first `i` rows.
///
/// Computed where batches are decoded, side by side, so that the sequencer needs one look a batch.
#[derive(Debug, Clone, Default)]
pub struct RunningMaximum(Vec<Timestamp>);

impl RunningMaximum {
    /// Of these times, in the order of the input.
    pub fn of(times: &[Timestamp]) -> RunningMaximum {
        let mut maxima = Vec::with_capacity(times.len() + 1);
        let mut highest = Timestamp::MIN;
        maxima.push(highest);
        maxima.extend(times.iter().map(|&time| {
            highest = highest.max(time);
            highest
        }));
        RunningMaximum(maxima)
    }

    /// Of these times, where before each event others may have been left out: `seen` is the highest of all before it, as far as that
    /// is known.
    pub fn of_some(times: &[Timestamp], seen: impl Fn(usize) -> Timestamp) -> RunningMaximum {
        let mut maxima = Vec::with_capacity(times.len() + 1);
        let mut highest = Timestamp::MIN;
        for (row, &time) in times.iter().enumerate() {
            highest = highest.max(seen(row));
            maxima.push(highest);
            highest = highest.max(time);
        }
        maxima.push(highest);
        RunningMaximum(maxima)
    }

    /// The highest of the first `rows` times; `Timestamp::MIN` of none.
    pub fn before(&self, rows: usize) -> Timestamp {
        self.0[rows]
    }

    /// The least number of rows, in `from..=to`, whose highest time is at least `time`; `to + 1` if there is none.
    fn rows_to_reach(&self, time: Timestamp, from: usize, to: usize) -> usize {
        from + self.0[from..=to].partition_point(|&highest| highest < time)
    }
}

/// How a partition's own watermark follows from its events within one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The highest time seen less the delay.
    Bounded {
        /// Highest event time before the batch.
        highest: Timestamp,
        /// `--watermark-delay`.
        delay: Duration,
    },
    /// What the stream itself said last.
    InBand(Timestamp),
}

impl Progress {
    fn watermark(self, highest_in_batch: Timestamp) -> Timestamp {
        match self {
            Progress::InBand(watermark) => watermark,
            Progress::Bounded { highest, delay } => less_delay(highest.max(highest_in_batch), delay),
        }
    }
}

fn less_delay(highest: Timestamp, delay: Duration) -> Timestamp {
    Timestamp(highest.0.saturating_sub(delay.0))
}

/// Consecutive rows of one batch, in the order in which the operator takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The partition they come from.
    pub partition: PartitionId,
    /// Number of the batch, as it was given to the sequencer.
    pub batch: usize,
    /// The rows.
    pub rows: Range<usize>,
    /// Position in the stream of the batch's row 0 (may wrap: rows taken before are no part of this run).
    pub position: u64,
    /// How the partition's own watermark moves.
    pub own: Progress,
    /// The least watermark of the other partitions while the run lasts; `Timestamp::MAX` if there is none.
    pub others: Timestamp,
    /// The operator's watermark before the run; it never goes back.
    pub floor: Timestamp,
}

impl Run {
    /// The partition's own watermark before `row`: it judges that row. A partition that was idle while the operator's
    /// watermark went on is judged by that: what is gone is late.
    pub fn own_before(&self, row: usize, maximum: &RunningMaximum) -> Timestamp {
        self.own.watermark(maximum.before(row)).max(self.floor)
    }

    /// The operator's watermark before `row`: windows up to it have fired when the row is taken.
    pub fn operator_before(&self, row: usize, maximum: &RunningMaximum) -> Timestamp {
        self.own_before(row, maximum).min(self.others).max(self.floor)
    }

    /// The position of a row in the stream.
    pub fn position_of(&self, row: usize) -> u64 {
        self.position.wrapping_add(row as u64)
    }
}

/// What the sequencer sees of a batch.
#[derive(Debug, Clone)]
pub struct Sequenced {
    /// Number that the caller knows the batch by.
    pub batch: usize,
    /// Rows of the batch.
    pub rows: usize,
    /// Their running maximum.
    pub maximum: std::sync::Arc<RunningMaximum>,
    /// In-band watermarks, each with the number of rows before it, in order.
    pub in_band: VecDeque<(usize, Timestamp)>,
    /// For each line that is no event, the number of rows before it, in order. One that stands between the same two rows
    /// as a watermark has its turn after that.
    pub rejects: VecDeque<usize>,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// These rows, and the rejects between them.
    Run(Run),
    /// The turn of so many rejects of this partition has come, before its next row if there is one.
    Rejects(PartitionId, usize),
    /// Nothing ever again: one reject more than allowed has had its turn.
    TooManyRejects,
    /// Nothing: the watermark has come to the cut without a row, by what the stream said in band, by a partition that ended
    /// or went idle, or by `raise`.
    Cut,
    /// Nothing before this partition has given a batch, has ended or is idle.
    Wait(PartitionId),
    /// Every partition has ended.
    End,
}

/// Takes batches of all partitions and gives back runs in the order of the partitions' watermarks.
#[derive(Debug, Clone)]
pub struct Sequencer {
    delay: Duration,
    partitions: Vec<Partition>,
    /// The partitions that count, in the order of their turns: by watermark, then by number. There may be thousands, and
    /// runs of a single row, so finding the next one must not mean looking at all.
    turns: BTreeSet<(Timestamp, usize)>,
    watermark: Timestamp,
    position: u64,
    /// How many more rejects may have their turn; `None` once one too many had it.
    rejects_left: Option<usize>,
}

#[derive(Debug, Clone)]
struct Partition {
    queue: VecDeque<Sequenced>,
    /// Its watermark as it stands in `turns`, if it does.
    turn: Option<Timestamp>,
    row: usize,
    highest: Timestamp,
    in_band: Option<Timestamp>,
    ended: bool,
    /// It has ended, and its turn to do so has come.
    retired: bool,
    idle: bool,
}

impl Partition {
    fn progress(&self, delay: Duration) -> Progress {
        match self.in_band {
            Some(watermark) => Progress::InBand(watermark),
            None => Progress::Bounded { highest: self.highest, delay },
        }
    }

    /// The watermark before the next row.
    fn watermark(&self, delay: Duration) -> Timestamp {
        let in_batch = self.queue.front().map_or(Timestamp::MIN, |batch| batch.maximum.before(self.row));
        self.progress(delay).watermark(in_batch)
    }

    /// An end is taken in its turn as an event is, when the partition's watermark is the lowest: when it was found does
    /// not show.
    fn counts(&self) -> bool {
        !self.retired && (!self.idle || !self.queue.is_empty())
    }
}

impl Sequencer {
    /// For `partitions` inputs, each out of order by at most `delay` unless it says otherwise in band.
    pub fn new(partitions: usize, delay: Duration) -> Sequencer {
        let partition = Partition {
            queue: Default::default(),
            turn: None,
            row: 0,
            highest: Timestamp::MIN,
            in_band: None,
            ended: false,
            retired: false,
            idle: false,
        };
        let mut sequencer = Sequencer {
            delay,
            partitions: vec![partition; partitions],
            turns: BTreeSet::new(),
            watermark: Timestamp::MIN,
            position: 0,
            rejects_left: Some(usize::MAX),
        };
        (0..partitions).for_each(|index| sequencer.update_turn(index));
        sequencer
    }

    /// Stops behind the reject that is one more than `rejects_max`.
    pub fn with_rejects_max(self, rejects_max: usize) -> Sequencer {
        Sequencer { rejects_left: Some(rejects_max), ..self }
    }

    /// Appends a batch to what a partition has given. An idle partition is awake from then on.
    pub fn push(&mut self, partition: PartitionId, batch: Sequenced) {
        let index = partition.0 as usize;
        let partition = &mut self.partitions[index];
        partition.idle = false;
        partition.queue.push_back(batch);
        self.update_turn(index);
    }

    /// The partition will give no more.
    pub fn end(&mut self, partition: PartitionId) {
        self.partitions[partition.0 as usize].ended = true;
    }

    /// The partition has been silent for so long that the others need not wait for it.
    pub fn set_idle(&mut self, partition: PartitionId) {
        self.partitions[partition.0 as usize].idle = true;
        self.update_turn(partition.0 as usize);
    }

    /// Takes the operator's watermark on without an event, when all partitions have been idle for long.
    pub fn raise(&mut self, watermark: Timestamp) {
        self.watermark = self.watermark.max(watermark);
    }

    /// Whether a partition may still give batches.
    pub fn is_open(&self, partition: PartitionId) -> bool {
        !self.partitions[partition.0 as usize].ended
    }

    /// Whether a partition was found idle and has given nothing since.
    pub fn is_idle(&self, partition: PartitionId) -> bool {
        self.partitions[partition.0 as usize].idle
    }

    /// Whether any row or watermark that a partition has given is yet to be taken.
    pub fn has_more(&self, partition: PartitionId) -> bool {
        let Partition { queue, row, .. } = &self.partitions[partition.0 as usize];
        // A batch that was wholly taken leaves when its partition's turn comes again.
        let is_taken = |batch: &Sequenced| *row == batch.rows && batch.rows > 0 && batch.in_band.is_empty();
        queue.len() > 1 || queue.front().is_some_and(|batch| !is_taken(batch))
    }

    /// The operator's watermark: the least over the partitions that are neither ended nor idle. It never goes back. At the
    /// end of all input it stays at the highest that any partition had; the end itself is the caller's to act upon.
    pub fn watermark(&mut self) -> Timestamp {
        let least = self.turns.first().map_or(Timestamp::MIN, |&(watermark, _)| watermark);
        self.watermark = self.watermark.max(least);
        self.watermark
    }

    /// The greatest watermark that a partition has of its own; `None` before the first event.
    pub fn highest_watermark(&self) -> Option<Timestamp> {
        let own = self.partitions.iter().map(|partition| partition.watermark(self.delay)).max();
        own.filter(|&watermark| watermark > Timestamp::MIN)
    }

    /// Who holds the watermark: the partition with the lowest one, and that watermark.
    pub fn holder(&self) -> Option<(PartitionId, Timestamp)> {
        self.turns.first().map(|&(watermark, index)| (PartitionId(index as u32), watermark))
    }

    /// Highest event time seen in a partition's taken rows, for `--why`.
    pub fn partition_watermark(&self, partition: PartitionId) -> Timestamp {
        self.partitions[partition.0 as usize].watermark(self.delay)
    }

    /// Puts a partition in its place among the turns. To be called after every change of it.
    fn update_turn(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        let turn = partition.counts().then(|| partition.watermark(self.delay));
        let before = std::mem::replace(&mut partition.turn, turn);
        if before == turn {
            return;
        }
        before.map(|watermark| self.turns.remove(&(watermark, index)));
        turn.map(|watermark| self.turns.insert((watermark, index)));
    }

    /// The next rows, at most up to the row that takes the operator's watermark to `cut`; none once it is there.
    pub fn next(&mut self, cut: Timestamp) -> Step {
        loop {
            let Some(rejects_left) = self.rejects_left else { return Step::TooManyRejects };
            let floor = self.watermark();
            if floor >= cut {
                return Step::Cut;
            }
            let mut turns = self.turns.iter();
            let Some(&(_, index)) = turns.next() else {
                let silent = self.partitions.iter().position(|p| !p.ended);
                return silent.map_or(Step::End, |silent| Step::Wait(PartitionId(silent as u32)));
            };
            let second = turns.next().copied();
            let partition = &mut self.partitions[index];
            if partition.queue.is_empty() {
                if !partition.ended {
                    return Step::Wait(PartitionId(index as u32));
                }
                partition.retired = true;
                self.update_turn(index);
                continue;
            }
            let step = self.take(index, second, (floor, cut), rejects_left);
            self.update_turn(index);
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// A run of the front batch of a partition, or the rejects before it; `None` when an in-band mark or the end of the
    /// batch came first.
    fn take(
        &mut self,
        index: usize,
        second: Option<(Timestamp, usize)>,
        (floor, cut): (Timestamp, Timestamp),
        rejects_left: usize,
    ) -> Option<Step> {
        let delay = self.delay;
        let position = self.position;
        let partition = &mut self.partitions[index];
        let own = partition.progress(delay);
        let start = partition.row;
        let batch = partition.queue.front_mut().expect("only a partition with a batch is taken from");
        if let Some(&(row, watermark)) = batch.in_band.front()
            && row <= start
        {
            batch.in_band.pop_front();
            partition.in_band = Some(own.watermark(batch.maximum.before(start)).max(watermark));
            return None;
        }
        let rejects_due = batch.rejects.partition_point(|&row| row <= start);
        if rejects_due > 0 {
            let rejects_due = rejects_due.min(rejects_left.saturating_add(1));
            batch.rejects.drain(..rejects_due);
            self.rejects_left = rejects_left.checked_sub(rejects_due);
            return Some(Step::Rejects(PartitionId(index as u32), rejects_due));
        }
        if start == batch.rows {
            partition.highest = partition.highest.max(batch.maximum.before(batch.rows));
            partition.queue.pop_front();
            partition.row = 0;
            return None;
        }
        let mut end = batch.in_band.front().map_or(batch.rows, |&(row, _)| row);
        end = batch.rejects.get(rejects_left).map_or(end, |&row| end.min(row));
        let others = second.map_or(Timestamp::MAX, |(watermark, _)| watermark);
        if let Progress::Bounded { highest, .. } = own {
            let limit = end;
            let rows_to_reach = |watermark: Timestamp| {
                let time = Timestamp(watermark.0.saturating_add(delay.0));
                if highest >= time { start + 1 } else { batch.maximum.rows_to_reach(time, start + 1, limit) }
            };
            // The next row belongs to the other partition as soon as this one's watermark has passed the other's.
            if let Some((watermark, other)) = second {
                let passes = if index < other { Timestamp(watermark.0.saturating_add(1)) } else { watermark };
                end = end.min(rows_to_reach(passes));
            }
            if cut <= others {
                end = end.min(rows_to_reach(cut));
            }
        }
        let rejects_passed = batch.rejects.partition_point(|&row| row < end);
        batch.rejects.drain(..rejects_passed);
        self.rejects_left = Some(rejects_left - rejects_passed);
        partition.row = end;
        self.position += (end - start) as u64;
        Some(Step::Run(Run {
            partition: PartitionId(index as u32),
            batch: batch.batch,
            rows: start..end,
            position: position.wrapping_sub(start as u64),
            own,
            others,
            floor,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const DELAY: Duration = Duration(2);

    fn batch(batch: usize, times: &[i64], in_band: &[(usize, i64)]) -> Sequenced {
        let times: Vec<_> = times.iter().map(|&t| Timestamp(t)).collect();
        Sequenced {
            batch,
            rows: times.len(),
            maximum: Arc::new(RunningMaximum::of(&times)),
            in_band: in_band.iter().map(|&(row, t)| (row, Timestamp(t))).collect(),
            rejects: VecDeque::new(),
        }
    }

    /// All runs of these partitions as (partition, rows), with the operator's watermark after all.
    fn runs(partitions: &[&[Sequenced]], mut cut: i64) -> (Vec<(u32, Range<usize>)>, i64) {
        let mut sequencer = Sequencer::new(partitions.len(), DELAY);
        for (index, batches) in partitions.iter().enumerate() {
            for batch in *batches {
                sequencer.push(PartitionId(index as u32), batch.clone());
            }
        }
        let mut taken = Vec::new();
        loop {
            match sequencer.next(Timestamp(cut)) {
                Step::Run(run) => taken.push((run.partition.0, run.rows)),
                Step::Rejects(..) | Step::TooManyRejects => panic!("there are no rejects"),
                Step::Cut => cut = i64::MAX,
                Step::Wait(partition) => sequencer.end(partition),
                Step::End => return (taken, sequencer.watermark().0),
            }
        }
    }

    #[test]
    fn one_partition_gives_whole_batches() {
        let (taken, watermark) = runs(&[&[batch(0, &[1, 5, 3], &[]), batch(1, &[9], &[])]], i64::MAX);
        assert_eq!(taken, [(0, 0..3), (0, 0..1)]);
        assert_eq!(watermark, 7);
    }

    /// Own watermarks before each row (delay 2):
    /// ```text
    /// a: times 10 20 30   before: MIN  8 18
    /// b: times 15 16 40   before: MIN 13 14
    /// ```
    #[test]
    fn the_lowest_watermark_goes_first_whatever_the_batches() {
        let whole = runs(&[&[batch(0, &[10, 20, 30], &[])], &[batch(1, &[15, 16, 40], &[])]], i64::MAX).0;
        assert_eq!(whole, [(0, 0..1), (1, 0..1), (0, 1..2), (1, 1..3), (0, 2..3)]);
        let split = runs(
            &[&[batch(0, &[10], &[]), batch(1, &[20, 30], &[])], &[batch(2, &[15, 16], &[]), batch(3, &[40], &[])]],
            i64::MAX,
        );
        let order = |taken: &[(u32, Range<usize>)]| -> Vec<u32> {
            taken.iter().flat_map(|(p, rows)| rows.clone().map(|_| *p)).collect()
        };
        assert_eq!(order(&split.0), order(&whole));
    }

    #[test]
    fn a_run_ends_with_the_row_that_reaches_the_cut() {
        let (taken, _) = runs(&[&[batch(0, &[1, 12, 3, 14], &[])]], 10);
        assert_eq!(taken, [(0, 0..2), (0, 2..4)]);
    }

    /// The end of a and the mark in b take the operator's watermark to a cut, one after the other:
    /// ```text
    /// a: times 5 ┊           before: MIN  3 end
    /// b: times 9 ┊ mark 12   before: MIN  7 12
    /// ```
    #[test]
    fn an_end_and_a_mark_stop_at_the_cut_and_wait_for_their_turn() {
        for cut in [6, 10] {
            let mut sequencer = Sequencer::new(2, DELAY);
            sequencer.push(PartitionId(0), batch(0, &[5], &[]));
            sequencer.push(PartitionId(1), batch(1, &[9], &[(1, 12)]));
            sequencer.end(PartitionId(0));
            sequencer.end(PartitionId(1));
            let steps: Vec<Step> = (0..3).map(|_| sequencer.next(Timestamp(cut))).collect();
            assert!(matches!(steps[..], [Step::Run(_), Step::Run(_), Step::Cut]), "{steps:?}");
            assert_eq!(sequencer.watermark(), Timestamp(if cut == 6 { 7 } else { 12 }));
        }
    }

    /// ```text
    /// a: 10 ┊      b: 12 ─ 30 ┊      the end of a is known from the start, or asked for last
    /// ```
    #[test]
    fn the_last_watermark_is_the_highest_whichever_end_was_known_first() {
        for known in [true, false] {
            let mut sequencer = Sequencer::new(2, DELAY);
            sequencer.push(PartitionId(0), batch(0, &[10], &[]));
            sequencer.push(PartitionId(1), batch(1, &[9, 30], &[]));
            if known {
                sequencer.end(PartitionId(1));
            }
            while let Step::Wait(partition) | Step::Run(Run { partition, .. }) = sequencer.next(Timestamp::MAX) {
                sequencer.end(partition);
            }
            assert_eq!(sequencer.watermark(), Timestamp(28));
        }
    }

    #[test]
    fn a_mark_takes_no_watermark_back() {
        let (_, watermark) = runs(&[&[batch(0, &[50], &[(1, 4)])]], i64::MAX);
        assert_eq!(watermark, 48);
    }

    #[test]
    fn a_mark_that_reaches_the_cut_lets_no_row_pass() {
        let (taken, _) = runs(&[&[batch(0, &[1, 12, 3, 14], &[(1, 10)])]], 10);
        assert_eq!(taken, [(0, 0..1), (0, 1..4)]);
        let mut sequencer = Sequencer::new(1, DELAY);
        sequencer.push(PartitionId(0), batch(0, &[1, 12], &[(1, 10)]));
        assert!(matches!(sequencer.next(Timestamp(10)), Step::Run(_)));
        assert_eq!(sequencer.next(Timestamp(10)), Step::Cut);
        assert_eq!(sequencer.watermark(), Timestamp(10));
    }

    #[test]
    fn a_batch_that_was_taken_is_nothing_left() {
        let mut sequencer = Sequencer::new(2, DELAY);
        let (first, second) = (PartitionId(0), PartitionId(1));
        sequencer.push(first, batch(0, &[5], &[]));
        sequencer.push(second, batch(1, &[], &[]));
        assert!(sequencer.has_more(first) && sequencer.has_more(second));
        assert!(matches!(sequencer.next(Timestamp::MAX), Step::Run(_)));
        assert!(!sequencer.has_more(first));
        assert_eq!(sequencer.next(Timestamp::MAX), Step::Wait(second));
        assert!(!sequencer.has_more(second));
    }

    #[test]
    fn in_band_marks_replace_the_delay() {
        let (taken, watermark) = runs(&[&[batch(0, &[1, 50, 60], &[(1, 4), (3, 20)])]], i64::MAX);
        assert_eq!(taken, [(0, 0..1), (0, 1..3)]);
        assert_eq!(watermark, 20);
    }

    /// Random pushes, ends, silences and steps: the turns always are what a look at every partition gives.
    #[test]
    fn the_turns_are_those_of_all_partitions_that_count() {
        for seed in 0..300 {
            let mut random = crate::generate::random::Random::new(seed, 0);
            let mut sequencer = Sequencer::new(1 + random.below(5) as usize, Duration(random.below(4).into()));
            let (mut steps, mut cut) = (0, 0);
            for number in 0..200 {
                let partition = PartitionId(random.below(sequencer.partitions.len() as u32));
                match random.below(8) {
                    0..3 if sequencer.is_open(partition) => {
                        let times: Vec<i64> = (0..random.below(4)).map(|_| random.below(60).into()).collect();
                        let marks =
                            if random.below(4) == 0 { vec![(times.len(), random.below(60).into())] } else { vec![] };
                        sequencer.push(partition, batch(number, &times, &marks));
                    }
                    3 => sequencer.set_idle(partition),
                    4 if random.below(20) == 0 => sequencer.end(partition),
                    _ => {
                        steps += 1;
                        cut += i64::from(random.below(3));
                        sequencer.next(Timestamp(cut));
                    }
                }
                let counting = sequencer.partitions.iter().enumerate().filter(|(_, partition)| partition.counts());
                let mut all: Vec<_> = counting.map(|(index, p)| (p.watermark(sequencer.delay), index)).collect();
                all.sort_unstable();
                assert!(
                    sequencer.turns.iter().eq(&all),
                    "seed {seed}, step {steps}: {:?}, not {all:?}",
                    sequencer.turns
                );
            }
        }
    }
}
