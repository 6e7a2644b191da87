//! What a run keeps in the local store: its rows, how far its inputs were read, and what is open, committed as one.
//!
//! The next run of the same query goes on from there, after the end of a file as after a kill: it passes over what was read,
//! and takes up the open windows. Inputs that can't be read twice keep their rows only. Knows when to commit; knows nothing of
//! SQLite, and nothing of what an open window is.
//!
//! A position is a place in the bytes of an input where a line begins: everything before it has had its turn. What was read
//! ahead and has not had its turn is read again.

mod error;
mod input;
mod late;
mod repair;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use crate::aggregate::encoding::{Reader, put_bytes, put_varint};
use crate::aggregate::saved::{Kind, StateError, seal, unseal};
use crate::batch::EventBatch;
use crate::metric::Metric;
use crate::partition::PartitionId;
pub use crate::pipeline::keep::error::KeepError;
use crate::pipeline::keep::input::{KeptInput, Known};
pub use crate::pipeline::keep::input::{Position, Readable};
pub use crate::pipeline::keep::late::{LateFile, LatePlace};
use crate::source::identity::{Head, Identity};
use crate::store::{Job, Note, Progress, SourceOffset, Writer};
use crate::time::{Duration, Timestamp, Window};
use crate::watermark::Sequencer;
use crate::window::operator::Operator;
use crate::window::{Output, Query, Windows};

/// Commits are at least this far apart while the input goes on.
const INTERVAL: Duration = Duration(200_000);

/// The same where windows are made anew: each commit looks at all groups.
const REWRITE_INTERVAL: Duration = Duration(5_000_000);

/// Time spent on other things for each part that is spent committing.
const SHARE: i64 = 10;

/// Keeps a run.
pub struct Keeper {
    writer: Writer,
    /// By metric: its number in the job, if it is kept.
    numbers: Vec<Option<usize>>,
    /// By metric: whether the store makes coarser windows of it.
    keeps_states: Vec<bool>,
    /// By partition; empty where some input can't be read twice.
    inputs: Vec<KeptInput>,
    /// By partition, the byte at which a repair stops reading it.
    ends: Vec<Option<u64>>,
    /// Files of earlier runs that are not inputs of this one, the latest first.
    absent: Vec<Known>,
    resume: Option<Saved>,
    rows: Vec<Metric>,
    has_ended: bool,
    /// By metric, whether an open window's row is always followed by another of the same window and group. Of others an early
    /// row would stay behind: a session grows, a group falls out of `--top`.
    takes_early: Vec<bool>,
    /// Whether rows of open windows are those of the end of the input, which the next run takes back.
    is_at_end: bool,
    /// Whether anything has come since the last commit.
    is_behind: bool,
    /// Where what the end of the input leaves open is kept as it stands, though nothing is gone on with: windows that end by then fire.
    fires_until: Option<Timestamp>,
    /// The file of late events.
    late: Option<LateFile>,
    late_has_ended: bool,
    purpose: Purpose,
    due: Timestamp,
}

/// What a run does to the store's points.
#[derive(Debug)]
enum Purpose {
    /// It owns them.
    Own,
    /// It makes windows anew beside their owner.
    Rewrite,
    /// It brings late events in beside their owner, into windows that the owner has fired: those that end by `until`. `windows` are
    /// those that it has brought some into.
    /// When it is only said what would be done, nothing is stored.
    Repair { until: Timestamp, windows: BTreeSet<(usize, Window)>, is_dry: bool },
}

/// Files that are remembered while no run names them: rotated logs come and go.
const ABSENT_MAX: usize = 1000;

/// The same where late events are brought in: a file that is forgotten would count twice.
const ABSENT_REPAIRED_MAX: usize = 100_000;

/// The open state of a run, as one blob.
#[derive(Debug, Default)]
struct Saved {
    sequencer: Vec<u8>,
    operator: Vec<u8>,
    files: Vec<Known>,
}

impl Keeper {
    /// Opens the store at `path` for a job and finds out where each input goes on. `numbers` are the job's metrics by the
    /// plan's. `is_resumable`: the inputs are events; what is merged of partials is not gone on with.
    pub fn open(
        path: &Path,
        job: &Job,
        numbers: Vec<Option<usize>>,
        inputs: &[Readable],
        is_resumable: bool,
    ) -> Result<Keeper, KeepError> {
        let (writer, resume) = Writer::open(path, job)?;
        let mut keeper = Keeper::of(writer, job, numbers);
        let resume = resume.filter(|resume| !resume.state.is_empty());
        let heads: Vec<Option<Head>> = match is_resumable {
            true => inputs.iter().map(Readable::head).collect::<Result<_, _>>()?,
            false => vec![None; inputs.len()],
        };
        if let (Some(_), Some(once)) = (&resume, heads.iter().position(Option::is_none)) {
            return Err(KeepError::ReadOnce { input: inputs[once].name() });
        }
        let Some(heads) = heads.into_iter().collect::<Option<Vec<Head>>>() else { return Ok(keeper) };
        keeper.inputs = inputs.iter().zip(&heads).map(KeptInput::new).collect();
        if let Some(resume) = resume {
            let mut saved = Saved::read(&resume.state)?;
            keeper.late = saved.take_late();
            keeper.find_inputs(inputs, &heads, saved)?;
        }
        Ok(keeper)
    }

    /// Opens the store to make the windows within `range` anew, from events that were archived. Nothing is gone on with.
    pub fn open_over(
        path: &Path,
        job: &Job,
        numbers: Vec<Option<usize>>,
        range: (Timestamp, Timestamp),
    ) -> Result<Keeper, KeepError> {
        let writer = Writer::open_over(path, job, range)?;
        Ok(Keeper { purpose: Purpose::Rewrite, ..Keeper::of(writer, job, numbers) })
    }

    /// What an earlier run has remembered of windows made anew.
    pub fn progress(&self) -> Result<Option<Progress>, KeepError> {
        Ok(self.writer.progress()?)
    }

    /// Makes only those windows anew that end after `made`; of `None` all of them.
    pub fn begin_rewriting(&mut self, made: Option<Timestamp>) {
        self.writer.begin_rewriting(made);
    }

    /// Takes note of what is to be remembered of that with the next commit.
    pub fn note(&mut self, note: Note) {
        self.writer.note(note);
    }

    /// Whether so much waits that it is to be committed, where windows are made anew.
    pub fn is_full(&self) -> bool {
        matches!(self.purpose, Purpose::Rewrite) && self.writer.is_full()
    }

    fn of(writer: Writer, job: &Job, numbers: Vec<Option<usize>>) -> Keeper {
        let keeps_states = |number: &Option<usize>| number.is_some_and(|number| job.metrics[number].recombines());
        Keeper {
            writer,
            keeps_states: numbers.iter().map(keeps_states).collect(),
            numbers,
            inputs: Vec::new(),
            ends: Vec::new(),
            absent: Vec::new(),
            resume: None,
            rows: Vec::new(),
            has_ended: false,
            takes_early: Vec::new(),
            is_at_end: false,
            is_behind: false,
            fires_until: None,
            late: None,
            late_has_ended: false,
            purpose: Purpose::Own,
            due: Timestamp::MIN,
        }
    }

    /// Where each partition goes on.
    pub fn positions(&self) -> impl Iterator<Item = (PartitionId, Position)> {
        self.inputs.iter().enumerate().map(|(index, input)| (PartitionId(index as u32), input.end))
    }

    /// What the end of the input leaves open fires if it ends by `fires_until`. The rest is kept as it stands, though no other run
    /// goes on with it.
    pub fn leaving_open(mut self, fires_until: Timestamp) -> Keeper {
        self.fires_until = Some(fires_until);
        self
    }

    /// Before when windows fire at the end of the input, though that does not tell that their time is over.
    pub fn fires_until(&self) -> Option<Timestamp> {
        self.fires_until
    }

    /// Whether windows that are open at the end of the input are kept as they stand, and do not fire.
    pub fn leaves_open(&self) -> bool {
        self.fires_until.is_some() || self.is_resumable()
    }

    /// Whether the next run goes on where this one ends. Then open windows must not fire at the end of the input.
    pub fn is_resumable(&self) -> bool {
        !self.inputs.is_empty()
    }

    /// By metric, whether its rows are kept with their states.
    pub fn keeps_states(&self) -> &[bool] {
        &self.keeps_states
    }

    /// Takes up what was open, and takes back the rows that were stored of it. To be called once, before anything is read.
    pub fn restore(
        &mut self,
        sequencer: &mut Sequencer,
        operator: &mut Operator,
        queries: &[Query],
    ) -> Result<(), KeepError> {
        let is_steady = |query: &Query| matches!(query.windows, Windows::Aligned(_)) && query.presentation.is_plain();
        // What is made anew is complete, or not there.
        let rewrites = matches!(self.purpose, Purpose::Rewrite);
        self.takes_early = queries.iter().map(|query| is_steady(query) && !rewrites).collect();
        let Some(saved) = self.resume.take() else { return Ok(()) };
        if let Purpose::Repair { .. } = self.purpose {
            operator.restore(&saved.operator)?;
            operator.rewind();
            return Ok(());
        }
        sequencer.restore(&saved.sequencer)?;
        operator.restore(&saved.operator)?;
        for (index, input) in self.inputs.iter_mut().enumerate() {
            if let Some(state) = input.partition.take() {
                sequencer.restore_partition(PartitionId(index as u32), &state)?;
            }
        }
        let mut open = Vec::new();
        operator.write_open(&mut open);
        for output in &mut open {
            if let Output::Row(row) = output {
                row.retracted = true;
            }
        }
        // Those of steady metrics are overwritten in any case.
        open.retain(|output| matches!(output, Output::Row(row) if !self.takes_early[row.metric]));
        self.is_at_end = true;
        self.take(&mut open)?;
        self.is_at_end = false;
        Ok(())
    }

    /// The rows that are still to come are those of windows left open by the end of the run.
    pub fn end(&mut self) {
        (self.is_at_end, self.has_ended) = (true, true);
    }

    /// Whether rows of windows left open have been asked for.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether what the end of a run leaves open is shown as it stands.
    pub fn shows_open(&self) -> bool {
        self.is_resumable() && !matches!(self.purpose, Purpose::Repair { .. })
    }

    /// Whether this run goes on where another ended.
    pub fn goes_on(&self) -> bool {
        self.resume.is_some()
    }

    /// Takes note of a batch of so many rows that has come: it lies at these bytes of its partition.
    pub fn admit(&mut self, number: usize, batch: &EventBatch, rows: usize, bytes: &Range<u64>) {
        self.is_behind = true;
        // A block without lines says nothing of where the next line begins.
        let input = self.inputs.get_mut(batch.partition.0 as usize).filter(|_| batch.lines > 0);
        input.into_iter().for_each(|input| input.admit(number, batch, rows, bytes));
    }

    /// Takes the rows that are kept out of the outputs.
    pub fn take(&mut self, outputs: &mut Vec<Output>) -> Result<(), KeepError> {
        for output in outputs.drain(..) {
            if let Output::Row(mut row) = output
                && let Some(number) = self.numbers[row.metric]
                && (row.is_final || self.is_at_end || self.takes_early[row.metric])
            {
                if let Purpose::Repair { windows, .. } = &mut self.purpose {
                    windows.insert((row.metric, row.window));
                }
                row.metric = number;
                self.rows.push(row);
            }
        }
        if matches!(self.purpose, Purpose::Repair { is_dry: true, .. }) {
            self.rows.clear();
        }
        self.is_behind |= !self.rows.is_empty();
        self.writer.write(&self.rows)?;
        self.rows.clear();
        Ok(())
    }

    /// When something is to be committed: at the latest by this time, if there is something.
    pub fn due(&self) -> Option<Timestamp> {
        self.is_behind.then_some(self.due)
    }

    /// Commits everything that has had its turn. `batch` finds the batches that have not had it whole.
    pub fn commit<'a>(
        &mut self,
        sequencer: &Sequencer,
        operator: &Operator,
        batch: impl Fn(usize) -> Option<&'a EventBatch>,
        now: impl Fn() -> Timestamp,
    ) -> Result<(), KeepError> {
        let is_repair = matches!(self.purpose, Purpose::Repair { .. });
        // A repair that found nothing changes nothing.
        if is_repair && !self.is_behind || matches!(self.purpose, Purpose::Repair { is_dry: true, .. }) {
            return Ok(());
        }
        let begun = now();
        let mut saved = Saved::default();
        for (index, input) in self.inputs.iter_mut().enumerate() {
            let number = PartitionId(index as u32);
            let position = match is_repair && input.only_rejects().is_some() {
                // What is no late event may be something else, to be read by another one.
                true => input.begun_at,
                false => input.position(sequencer.goes_on_at(number), &batch),
            };
            let mut partition = Vec::new();
            if !is_repair {
                sequencer.save_partition(number, &mut partition);
            }
            saved.files.push(Known { name: input.name.clone(), identity: input.identity, position, partition });
        }
        let sources: Vec<SourceOffset> = saved.files.iter().map(Known::offset).collect();
        let absent_max = if is_repair { ABSENT_REPAIRED_MAX } else { ABSENT_MAX };
        saved.files.extend(self.absent.iter().take(absent_max).cloned());
        saved.files.extend(self.late.as_ref().map(LateFile::known));
        let mut state = Vec::new();
        if self.is_resumable() {
            if !is_repair {
                sequencer.save(&mut saved.sequencer);
            }
            operator.save(&mut saved.operator);
            saved.write(&mut state);
        }
        let rewrites = matches!(self.purpose, Purpose::Rewrite);
        if rewrites {
            self.writer.reach(operator.watermark());
        }
        self.writer.commit(&sources, &state)?;
        let ended = now();
        self.is_behind = false;
        let interval = if rewrites { REWRITE_INTERVAL } else { INTERVAL };
        self.due = Timestamp(ended.0 + interval.0.max((ended.0 - begun.0) * SHARE));
        Ok(())
    }

    /// Rows that the store refused, because retention has dropped the points of their time.
    pub fn refused(&self) -> u64 {
        self.writer.refused()
    }

    /// Which input of this run is which file of earlier ones: by how it begins, and of several that begin alike by its name, and
    /// then the one that was read furthest.
    fn find_inputs(&mut self, inputs: &[Readable], heads: &[Head], mut saved: Saved) -> Result<(), KeepError> {
        let mut is_found = vec![false; inputs.len()];
        for by_name in [true, false] {
            for (index, (head, kept)) in heads.iter().zip(&mut self.inputs).enumerate() {
                let is_same = |known: &Known| match by_name {
                    true => known.name == kept.name,
                    false => known.identity.bytes > 0,
                };
                let found = saved.files.iter().enumerate();
                let found = found.filter(|(_, known)| !is_found[index] && is_same(known) && head.is_of(known.identity));
                let Some((at, _)) = found.max_by_key(|(_, known)| known.position.offset) else { continue };
                let known = saved.files.remove(at);
                inputs[index].check(known.position.offset)?;
                is_found[index] = true;
                (kept.end, kept.begun_at) = (known.position, known.position);
                kept.partition = Some(known.partition);
            }
        }
        self.absent = std::mem::take(&mut saved.files);
        self.resume = Some(saved);
        Ok(())
    }
}

impl Saved {
    fn write(&self, out: &mut Vec<u8>) {
        seal(Kind::Run, out, |out| {
            put_bytes(out, &self.sequencer);
            put_bytes(out, &self.operator);
            put_varint(out, self.files.len() as u64);
            for Known { name, identity, position, partition } in &self.files {
                put_bytes(out, name.as_bytes());
                for number in [identity.bytes, identity.hash, position.offset, position.lines] {
                    put_varint(out, number);
                }
                put_bytes(out, partition);
            }
        });
    }

    fn read(bytes: &[u8]) -> Result<Saved, StateError> {
        unseal(Kind::Run, bytes, |reader: &mut Reader| {
            let (sequencer, operator) = (reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
            let mut files = Vec::new();
            for _ in 0..reader.count()? {
                let name = String::from_utf8(reader.bytes()?.to_vec());
                let name = name.map_err(|_| StateError::Malformed("the name of an input is no text"))?;
                let identity = Identity { bytes: reader.varint()?, hash: reader.varint()? };
                let position = Position { offset: reader.varint()?, lines: reader.varint()? };
                files.push(Known { name, identity, position, partition: reader.bytes()?.to_vec() });
            }
            Ok(Saved { sequencer, operator, files })
        })
    }
}
