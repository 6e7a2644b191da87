//! What a run keeps in the local store: its rows, how far its inputs were read, and what is open, committed as one.
//!
//! The next run of the same query goes on from there, after the end of a file as after a kill: it passes over what was read,
//! and takes up the open windows. Inputs that can't be read twice keep their rows only. Knows when to commit; knows nothing of
//! SQLite, and nothing of what an open window is.
//!
//! A position is a place in the bytes of an input where a line begins: everything before it has had its turn. What was read
//! ahead and has not had its turn is read again.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::aggregate::encoding::{Reader, put_bytes, put_varint};
use crate::aggregate::saved::{Kind, StateError, seal, unseal};
use crate::batch::EventBatch;
use crate::metric::Metric;
use crate::partition::PartitionId;
use crate::source::identity::{begins_with, head_of};
use crate::source::input::{Compression, Input};
use crate::store::{Job, Resume, SourceOffset, StoreError, Writer};
use crate::time::{Duration, Timestamp};
use crate::watermark::Sequencer;
use crate::window::operator::Operator;
use crate::window::{Output, Query, Windows};

/// Commits are at least this far apart while the input goes on.
const INTERVAL: Duration = Duration(200_000);

/// Time spent on other things for each part that is spent committing.
const SHARE: i64 = 10;

/// A run can't go on where the last one ended.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The store says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An input can't be looked at.
    #[error("cannot read '{input}'")]
    Read {
        /// Its name.
        input: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Part of an input has gone.
    #[error("cannot go on reading '{input}' at byte {read}, where the last run ended: it has {length} bytes now")]
    Shrunk {
        /// Its name.
        input: String,
        /// Bytes that were read.
        read: u64,
        /// Bytes that it has.
        length: u64,
    },
    /// The store holds a state that is none of this query's, or damaged.
    #[error("cannot go on where the last run ended")]
    State(#[from] StateError),
}

/// Keeps a run.
pub struct Keeper {
    writer: Writer,
    /// By metric: its number in the job, if it is kept.
    numbers: Vec<Option<usize>>,
    /// By partition; empty where some input can't be read twice.
    inputs: Vec<KeptInput>,
    /// Partitions of earlier runs that are not inputs of this one: their names, and what was saved of them.
    absent: Vec<(String, Vec<u8>)>,
    resume: Option<Saved>,
    rows: Vec<Metric>,
    /// By metric, whether an open window's row is always followed by another of the same window and group. Of others an early
    /// row would stay behind: a session grows, a group falls out of `--top`.
    takes_early: Vec<bool>,
    /// Whether rows of open windows are those of the end of the input, which the next run takes back.
    is_at_end: bool,
    /// Whether anything has come since the last commit.
    is_behind: bool,
    due: Timestamp,
}

/// One input that can be read again.
#[derive(Debug)]
struct KeptInput {
    name: String,
    head: Vec<u8>,
    /// Where the next line to be read begins, once all that was admitted has had its turn.
    end: Position,
    /// Batches that were admitted and may not have had their turn.
    batches: VecDeque<Admitted>,
    /// The name that its partition was saved by, if it was.
    saved_as: Option<String>,
}

/// A batch that may not have had its turn.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    number: usize,
    rows: usize,
    start: Position,
    /// Behind its last row. Rejects may follow.
    behind: Position,
}

/// A place where a line begins: bytes and lines before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Bytes of the input.
    pub offset: u64,
    /// Its lines.
    pub lines: u64,
}

impl Position {
    /// Behind the first `rows` rows of a batch; at its beginning if there are none.
    fn behind(batch: &EventBatch, start: Position, rows: usize) -> Position {
        let Some(last) = rows.checked_sub(1).map(|row| batch.spans[row]) else { return start };
        let (from, end) = (last.start as usize, (last.start + last.len) as usize);
        let next = memchr::memchr(b'\n', &batch.text[end..]).map_or(batch.text.len(), |feed| end + feed + 1);
        let lines = 1 + memchr::memchr_iter(b'\n', &batch.text[from..end]).count() as u64;
        Position { offset: batch.offset + next as u64, lines: batch.line + u64::from(last.line) + lines }
    }
}

/// The open state of a run, as one blob.
#[derive(Debug, Default)]
struct Saved {
    sequencer: Vec<u8>,
    operator: Vec<u8>,
    partitions: Vec<(String, Vec<u8>)>,
}

impl Keeper {
    /// Opens the store at `path` for a job and finds out where each input goes on. `numbers` are the job's metrics by the
    /// plan's. `is_resumable`: the inputs are events; what is merged of partials is not gone on with.
    pub fn open(
        path: &Path,
        job: &Job,
        numbers: Vec<Option<usize>>,
        inputs: &[Input],
        is_resumable: bool,
    ) -> Result<Keeper, KeepError> {
        let (writer, resume) = Writer::open(path, job)?;
        let mut keeper = Keeper {
            writer,
            numbers,
            inputs: Vec::new(),
            absent: Vec::new(),
            resume: None,
            rows: Vec::new(),
            takes_early: Vec::new(),
            is_at_end: false,
            is_behind: false,
            due: Timestamp::MIN,
        };
        if !is_resumable {
            return Ok(keeper);
        }
        let heads: Vec<Option<Vec<u8>>> = inputs.iter().map(head).collect::<Result<_, _>>()?;
        let Some(heads) = heads.into_iter().collect::<Option<Vec<_>>>() else { return Ok(keeper) };
        let input = |(input, head): (&Input, Vec<u8>)| KeptInput {
            name: input.name(),
            head,
            end: Position::default(),
            batches: VecDeque::new(),
            saved_as: None,
        };
        keeper.inputs = inputs.iter().zip(heads).map(input).collect();
        if let Some(resume) = resume.filter(|resume| !resume.state.is_empty()) {
            keeper.find_inputs(inputs, resume)?;
        }
        Ok(keeper)
    }

    /// Where each partition goes on.
    pub fn positions(&self) -> impl Iterator<Item = (PartitionId, Position)> {
        self.inputs.iter().enumerate().map(|(index, input)| (PartitionId(index as u32), input.end))
    }

    /// Whether the next run goes on where this one ends. Then open windows must not fire at the end of the input.
    pub fn is_resumable(&self) -> bool {
        !self.inputs.is_empty()
    }

    /// By metric, whether its rows are kept with their states.
    pub fn metrics(&self) -> Vec<bool> {
        self.numbers.iter().map(Option::is_some).collect()
    }

    /// Takes up what was open, and takes back the rows that were stored of it. To be called once, before anything is read.
    pub fn restore(
        &mut self,
        sequencer: &mut Sequencer,
        operator: &mut Operator,
        queries: &[Query],
    ) -> Result<(), KeepError> {
        let is_steady = |query: &Query| matches!(query.windows, Windows::Aligned(_)) && query.presentation.is_plain();
        self.takes_early = queries.iter().map(is_steady).collect();
        let Some(mut saved) = self.resume.take() else { return Ok(()) };
        sequencer.restore(&saved.sequencer)?;
        operator.restore(&saved.operator)?;
        for (index, input) in self.inputs.iter().enumerate() {
            let Some(name) = &input.saved_as else { continue };
            let partition = saved.partitions.iter().position(|(saved, _)| saved == name);
            if let Some((_, state)) = partition.map(|at| saved.partitions.swap_remove(at)) {
                sequencer.restore_partition(PartitionId(index as u32), &state)?;
            }
        }
        let is_absent = |(name, _): &(String, Vec<u8>)| !self.inputs.iter().any(|input| input.name == *name);
        self.absent = saved.partitions.into_iter().filter(is_absent).collect();
        let mut open = Vec::new();
        operator.write_open(&mut open);
        for output in &mut open {
            if let Output::Row(row) = output {
                row.retracted = true;
            }
        }
        self.is_at_end = true;
        self.take(&mut open)?;
        self.is_at_end = false;
        Ok(())
    }

    /// The rows that are still to come are those of windows left open by the end of the input.
    pub fn end(&mut self) {
        self.is_at_end = true;
    }

    /// Takes note of a batch of so many rows that has come: it lies at these bytes of its partition.
    pub fn admit(&mut self, number: usize, batch: &EventBatch, rows: usize, bytes: &Range<u64>) {
        self.is_behind = true;
        if let Some(input) = self.inputs.get_mut(batch.partition.0 as usize) {
            let start = Position { offset: bytes.start, lines: batch.line };
            input.batches.push_back(Admitted { number, rows, start, behind: Position::behind(batch, start, rows) });
            input.end = Position { offset: bytes.end, lines: batch.line + u64::from(batch.lines) };
        }
    }

    /// Takes the rows that are kept out of the outputs.
    pub fn take(&mut self, outputs: &mut Vec<Output>) -> Result<(), KeepError> {
        for output in outputs.drain(..) {
            if let Output::Row(mut row) = output
                && let Some(number) = self.numbers[row.metric]
                && (row.is_final || self.is_at_end || self.takes_early[row.metric])
            {
                row.metric = number;
                self.rows.push(row);
            }
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
        let begun = now();
        let mut sources = Vec::with_capacity(self.inputs.len());
        let mut saved = Saved { partitions: self.absent.clone(), ..Saved::default() };
        for (index, input) in self.inputs.iter_mut().enumerate() {
            let partition = PartitionId(index as u32);
            let Position { offset, lines } = input.position(sequencer.goes_on_at(partition), &batch);
            let (name, identity) = (input.name.clone(), input.head.clone());
            sources.push(SourceOffset { name: name.clone(), identity, offset, lines });
            let mut state = Vec::new();
            sequencer.save_partition(partition, &mut state);
            saved.partitions.push((name, state));
        }
        let mut state = Vec::new();
        if self.is_resumable() {
            sequencer.save(&mut saved.sequencer);
            operator.save(&mut saved.operator);
            saved.write(&mut state);
        }
        self.writer.commit(&sources, &state)?;
        let ended = now();
        self.is_behind = false;
        self.due = Timestamp(ended.0 + INTERVAL.0.max((ended.0 - begun.0) * SHARE));
        Ok(())
    }

    /// Rows that the store refused, because retention has dropped the points of their time.
    pub fn refused(&self) -> u64 {
        self.writer.refused()
    }

    /// Which input of this run is which of the last one: by how it begins, and of several that begin alike by its name.
    fn find_inputs(&mut self, inputs: &[Input], resume: Resume) -> Result<(), KeepError> {
        let mut sources = resume.sources;
        for by_name in [true, false] {
            for (input, kept) in inputs.iter().zip(&mut self.inputs).filter(|(_, kept)| kept.saved_as.is_none()) {
                let is_same = |source: &SourceOffset| match by_name {
                    true => source.name == kept.name,
                    false => !source.identity.is_empty(),
                };
                let mut found = None;
                for (at, source) in sources.iter().enumerate().filter(|(_, source)| is_same(source)) {
                    if begins_with(input, &source.identity).map_err(|source| unreadable(input, source))? {
                        found = Some(at);
                        break;
                    }
                }
                let Some(source) = found.map(|at| sources.swap_remove(at)) else { continue };
                check_length(input, source.offset)?;
                kept.end = Position { offset: source.offset, lines: source.lines };
                kept.saved_as = Some(source.name);
            }
        }
        self.resume = Some(Saved::read(&resume.state)?);
        Ok(())
    }
}

impl KeptInput {
    /// Where to go on when the sequencer goes on with so many rows taken of that batch.
    fn position<'a>(
        &mut self,
        goes_on_at: Option<(usize, usize)>,
        batch: impl Fn(usize) -> Option<&'a EventBatch>,
    ) -> Position {
        let Some((number, rows)) = goes_on_at else {
            self.batches.clear();
            return self.end;
        };
        while self.batches.pop_front_if(|admitted| admitted.number < number).is_some() {}
        let Some(admitted) = self.batches.front() else { return self.end };
        match rows {
            0 => admitted.start,
            _ if rows == admitted.rows => admitted.behind,
            _ => Position::behind(batch(number).expect("a batch is kept while it has rows left"), admitted.start, rows),
        }
    }
}

impl Saved {
    fn write(&self, out: &mut Vec<u8>) {
        seal(Kind::Run, out, |out| {
            put_bytes(out, &self.sequencer);
            put_bytes(out, &self.operator);
            put_varint(out, self.partitions.len() as u64);
            for (name, state) in &self.partitions {
                put_bytes(out, name.as_bytes());
                put_bytes(out, state);
            }
        });
    }

    fn read(bytes: &[u8]) -> Result<Saved, StateError> {
        unseal(Kind::Run, bytes, |reader: &mut Reader| {
            let (sequencer, operator) = (reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
            let mut partitions = Vec::new();
            for _ in 0..reader.count()? {
                let name = String::from_utf8(reader.bytes()?.to_vec());
                let name = name.map_err(|_| StateError::Malformed("the name of an input is no text"))?;
                partitions.push((name, reader.bytes()?.to_vec()));
            }
            Ok(Saved { sequencer, operator, partitions })
        })
    }
}

fn head(input: &Input) -> Result<Option<Vec<u8>>, KeepError> {
    head_of(input).map_err(|source| unreadable(input, source))
}

fn unreadable(input: &Input, source: io::Error) -> KeepError {
    KeepError::Read { input: input.name(), source }
}

/// A file that begins the same and is shorter than what was read of it has lost events that were counted.
fn check_length(input: &Input, read: u64) -> Result<(), KeepError> {
    let crate::source::address::Address::Path(path) = &input.address else { return Ok(()) };
    let length = path.metadata().map_err(|source| unreadable(input, source))?.len();
    match input.compression {
        Compression::None if length < read => Err(KeepError::Shrunk { input: input.name(), read, length }),
        _ => Ok(()),
    }
}
