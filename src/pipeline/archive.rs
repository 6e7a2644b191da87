//! A run's archive: its events, read by a thread of their own and written beside whatever else is made of them.
//!
//! Folding and archiving don't wait for each other: each has its own place in the input. What is read twice (files, topics) is read
//! from where the archive ended; what can be read once is handed over in copies. Knows when to commit; knows nothing of Parquet.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::archive::manifest::{FileIdentity, State, TopicIdentity};
use crate::archive::writer::{Position, Reach, Source as Archived, Stream, Writer};
use crate::archive::{ArchiveError, form};
use crate::batch::EventBatch;
use crate::codec::ndjson::Decoder;
use crate::codec::{TimeFrom, Wanted};
use crate::partition::PartitionId;
use crate::pipeline::crew::Crew;
use crate::pipeline::error::PipelineError;
use crate::record::Block;
use crate::source::address::Address;
use crate::source::identity::{Head, Identity};
use crate::source::input::{Compression, Input};
use crate::source::{Delivered, Polled, Source, SourceError, Waker};
use crate::time::{Clock, Duration, Timestamp};
use crate::validate::FutureGuard;

/// Why events could not be archived.
#[derive(Debug, thiserror::Error)]
pub enum KeepingError {
    /// The archive says no.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The input can't be read, or not on.
    #[error("cannot archive what is read")]
    Source(#[from] SourceError),
    /// An input can't be looked at.
    #[error("cannot read '{input}'")]
    Read {
        /// Its name.
        input: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Two inputs can't be told apart.
    #[error("cannot archive '{other}' beside '{first}': they begin alike, and are taken for one file")]
    Alike {
        /// The one.
        first: String,
        /// The other.
        other: String,
    },
    /// Part of an input has gone, or it is another one that begins alike.
    #[error("cannot go on archiving '{input}' at byte {read}, where the last run ended: it has {length} bytes now")]
    Shrunk {
        /// Its name.
        input: String,
        /// Bytes that were read.
        read: u64,
        /// Bytes that it has.
        length: u64,
    },
    /// Retention was faster.
    #[error(
        "cannot go on archiving '{input}' at offset {read}, where the last run ended: retention has dropped all before {low}"
    )]
    Gap {
        /// The topic and partition.
        input: String,
        /// The offset to be read next.
        read: u64,
        /// The first that is there.
        low: u64,
    },
    /// There are no threads to work with.
    #[error(transparent)]
    Threads(#[from] PipelineError),
    /// There is no thread to write with.
    #[error("cannot start a thread that writes the archive")]
    Thread(#[source] std::io::Error),
}

/// How events are archived.
#[derive(Debug, Clone)]
pub struct ArchiveConfig {
    /// The archive's folder.
    pub folder: PathBuf,
    /// Events wait at most so long.
    pub interval: Duration,
    /// Threads that decode. At least 1.
    pub threads: usize,
    /// Where the time of an event comes from, and in words.
    pub time: (TimeFrom, String),
    /// The longest line.
    pub line_bytes_max: usize,
    /// What is too far in the future.
    pub future: FutureGuard,
    /// How far ahead of its arrival an event may be dated and still tells time. Others are kept, and marked.
    pub ahead_max: Option<Duration>,
    /// Whether records that retention has dropped are passed over.
    pub skips_gaps: bool,
}

/// What is archived: what tells it from others, by partition of the input.
#[derive(Debug, Clone)]
pub enum Kept {
    /// The partitions of a topic.
    Topic {
        /// Its name.
        topic: String,
        /// Which of those that have this name.
        identity: TopicIdentity,
        /// By partition: where it is begun, and the first offset that is there.
        partitions: Vec<(u64, u64)>,
    },
    /// Files and pipes, one partition each.
    Files {
        /// The inputs.
        inputs: Vec<Input>,
        /// What was made of them: what is kept of one file by several programs is kept apart.
        prefix: &'static str,
    },
}

/// Opens the archive for what is kept.
pub fn open(config: &ArchiveConfig, kept: &Kept) -> Result<Writer, KeepingError> {
    let heads = match kept {
        Kept::Topic { .. } => Vec::new(),
        Kept::Files { inputs, .. } => {
            let head =
                |input: &Input| Head::of(input).map_err(|source| KeepingError::Read { input: input.name(), source });
            inputs.iter().map(head).collect::<Result<Vec<_>, _>>()?
        }
    };
    if let Kept::Files { inputs, .. } = kept {
        let known = |head: &Option<Head>| head.as_ref().map(Head::identity).filter(|identity| identity.bytes > 0);
        for (number, head) in heads.iter().enumerate() {
            let before = heads[..number].iter().position(|other| known(head).is_some() && known(other) == known(head));
            if let Some(before) = before {
                return Err(KeepingError::Alike { first: inputs[before].name(), other: inputs[number].name() });
            }
        }
    }
    let time_field = &config.time.1;
    let streams = |state: &State| match kept {
        Kept::Topic { topic, identity, partitions } => {
            let id = format!("topic:{topic}");
            let (name, time_field, topic) = (topic.clone(), time_field.clone(), Some(identity.clone()));
            let source = Archived { id, name, time_field, identity: None, topic };
            let stream = |(partition, (start, _)): (i32, &(u64, u64))| Stream {
                source: 0,
                partition,
                start: Position { offset: *start, lines: 0 },
            };
            (vec![source], (0..).zip(partitions).map(stream).collect())
        }
        Kept::Files { inputs, prefix } => {
            let source =
                |(input, head): (&Input, &Option<Head>)| of_file(state, input, head.as_ref(), prefix, time_field);
            let sources: Vec<Archived> = inputs.iter().zip(&heads).map(source).collect();
            let stream = |source| Stream { source, partition: 0, start: Position::default() };
            let streams = (0..sources.len()).map(stream).collect();
            (sources, streams)
        }
    };
    let mut writer = Writer::open(&config.folder, streams, reach())?;
    if let Some(max) = config.ahead_max {
        writer.bound_ahead(max);
    }
    if let Kept::Files { inputs, .. } = kept {
        check_files(&writer, inputs, &heads)?;
    }
    if let Kept::Topic { topic, partitions, .. } = kept {
        let behind = writer.positions().zip(partitions).enumerate();
        let behind: Vec<_> = behind.filter(|(_, (position, (_, low)))| position.offset < *low).collect();
        for (partition, (position, (_, low))) in behind {
            if !config.skips_gaps {
                let (input, read) = (format!("{topic}[{partition}]"), position.offset);
                return Err(KeepingError::Gap { input, read, low: *low });
            }
            writer.pass_over(partition, *low);
        }
    }
    Ok(writer)
}

/// A file as the archive knows it, or knows it from now on.
fn of_file(state: &State, input: &Input, head: Option<&Head>, prefix: &str, time_field: &str) -> Archived {
    let Some(head) = head.filter(|head| head.identity().bytes > 0) else {
        // What can't be read twice is another one each time, and an empty file can't be known again.
        let id = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), input.name());
        let id = format!("{prefix}pipe:{id:016x}");
        return Archived { id, name: input.name(), time_field: time_field.to_owned(), identity: None, topic: None };
    };
    let Identity { bytes, hash } = head.identity();
    let is_it = |known: &&crate::archive::manifest::SourceRead| {
        let identity = known.identity.map(|FileIdentity { bytes, hash }| Identity { bytes, hash });
        let is_alike = identity.is_some_and(|identity| identity.bytes > 0 && head.is_of(identity));
        is_alike && known.id.starts_with(&format!("{prefix}file:"))
    };
    let id = match state.sources.values().find(is_it) {
        Some(known) => known.id.clone(),
        None => format!("{prefix}file:{hash:016x}"),
    };
    let identity = Some(FileIdentity { bytes, hash });
    Archived { id, name: input.name(), time_field: time_field.to_owned(), identity, topic: None }
}

/// Refuses files that begin like one that is archived and are not that one for sure: it still stands beside, or was longer.
fn check_files(writer: &Writer, inputs: &[Input], heads: &[Option<Head>]) -> Result<(), KeepingError> {
    for (number, (input, head)) in inputs.iter().zip(heads).enumerate() {
        let (Some(known), Some(head), Address::Path(path)) = (writer.known(number), head, &input.address) else {
            continue;
        };
        let failed = |source| KeepingError::Read { input: input.name(), source };
        let metadata = path.metadata().map_err(failed)?;
        let read = known.partitions.first().map_or(0, |read| read.to);
        if input.compression == Compression::None && metadata.len() < read {
            return Err(KeepingError::Shrunk { input: input.name(), read, length: metadata.len() });
        }
        if known.name == input.name() {
            continue;
        }
        let other = Input { address: Address::Path(known.name.clone().into()), ..input.clone() };
        // What can't be looked at any more has been renamed, or compressed.
        let Ok(other_metadata) = std::fs::metadata(&known.name) else { continue };
        let is_same = (other_metadata.dev(), other_metadata.ino()) == (metadata.dev(), metadata.ino());
        let is_alike = || matches!(Head::of(&other), Ok(Some(other)) if head.is_of(other.identity()) || other.is_of(head.identity()));
        if !is_same && is_alike() {
            return Err(KeepingError::Alike { first: known.name.clone(), other: input.name() });
        }
    }
    Ok(())
}

fn reach() -> Reach {
    |point| crate::pipeline::group::fault::reach("archive", point)
}

/// An archive that is written by a thread of its own.
pub struct Archiver {
    thread: JoinHandle<Result<u64, KeepingError>>,
    has_failed: Arc<AtomicBool>,
    waker: Waker,
}

impl Archiver {
    /// Begins to archive what `source` gives, until it ends or `is_stopped`; whoever makes that true must call the source's waker.
    /// `failed` is called if it fails, so that whoever reads beside it can end.
    pub fn start(
        config: ArchiveConfig,
        writer: Writer,
        mut source: Box<dyn Source>,
        clock: Arc<dyn Clock>,
        (is_stopped, failed): (Box<dyn Fn() -> bool + Send>, impl Fn() + Send + 'static),
    ) -> Result<Archiver, KeepingError> {
        let waker = source.waker();
        let has_failed = Arc::new(AtomicBool::new(false));
        let fault = Arc::clone(&has_failed);
        for (partition, position) in (0..).zip(writer.positions()) {
            if position.offset > 0 {
                source.seek(PartitionId(partition), position.offset);
            }
        }
        let work = move || {
            let ended = Keeping::new(&config, writer, source, clock.as_ref(), &*is_stopped).and_then(Keeping::run);
            if ended.is_err() {
                fault.store(true, Ordering::Release);
                failed();
            }
            ended
        };
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(work);
        Ok(Archiver { thread: thread.map_err(KeepingError::Thread)?, has_failed, waker })
    }

    /// Whether it has ended with an error.
    pub fn has_failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_failed)
    }

    /// Lets it look whether it is to stop.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Waits for its end. Gives the number of events that were written.
    pub fn finish(self) -> Result<u64, KeepingError> {
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The loop of an archiver.
struct Keeping<'a> {
    config: &'a ArchiveConfig,
    writer: Writer,
    source: Box<dyn Source>,
    clock: &'a dyn Clock,
    is_stopped: &'a dyn Fn() -> bool,
    crew: Crew,
    decoders: Vec<Decoder>,
    open: Vec<PartitionId>,
    /// Lines before the next block, by partition.
    lines: Vec<u64>,
    /// When events that wait are to be committed.
    due: Option<Timestamp>,
}

impl<'a> Keeping<'a> {
    fn new(
        config: &'a ArchiveConfig,
        writer: Writer,
        source: Box<dyn Source>,
        clock: &'a dyn Clock,
        is_stopped: &'a dyn Fn() -> bool,
    ) -> Result<Keeping<'a>, KeepingError> {
        let wanted = Wanted { paths: form::paths(), time: config.time.0.clone() };
        let open = (0..source.partitions()).map(|partition| PartitionId(partition as u32)).collect();
        Ok(Keeping {
            crew: Crew::new(config.threads)?,
            decoders: vec![Decoder::new(&wanted, config.line_bytes_max); config.threads],
            open,
            lines: writer.positions().map(|position| position.lines).collect(),
            due: None,
            config,
            writer,
            source,
            clock,
            is_stopped,
        })
    }

    fn run(mut self) -> Result<u64, KeepingError> {
        let mut failed = None;
        while failed.is_none() && !self.open.is_empty() && !(self.is_stopped)() {
            let (blocks, error) = self.poll();
            failed = error;
            let is_idle = blocks.is_empty();
            for (batch, place) in self.decode(blocks) {
                self.append(batch, place)?;
            }
            let now = self.clock.now();
            if self.due.is_some_and(|due| due <= now) {
                self.commit()?;
            }
            if is_idle && failed.is_none() && !self.open.is_empty() {
                let left = self.due.map(|due| std::time::Duration::from_micros((due.0 - now.0).max(0).unsigned_abs()));
                self.source.wait(&self.open, left);
            }
        }
        // What came before a failure was read well.
        self.commit()?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(self.writer.committed()),
        }
    }

    /// Blocks that are there, of each partition in their order, and what kept from reading on.
    fn poll(&mut self) -> (Vec<Block>, Option<SourceError>) {
        let mut blocks = Vec::new();
        let blocks_max = 2 * self.config.threads;
        let mut ended = Vec::new();
        for &partition in &self.open {
            while blocks.len() < blocks_max {
                let block = match self.source.poll(partition) {
                    Ok(Polled::Block(block)) => Ok(block),
                    Ok(Polled::Unread(unread)) => unread.read(),
                    Ok(Polled::Deferred(deferred)) => match deferred.read() {
                        Ok(Delivered::Block(block)) => Ok(block),
                        Ok(Delivered::Batch(_)) => unreachable!("an archive is not archived"),
                        Err(error) => Err(error),
                    },
                    Ok(Polled::Pending) => break,
                    Ok(Polled::End) => {
                        ended.push(partition);
                        break;
                    }
                    Err(error) => Err(error),
                };
                match block {
                    Ok(block) => blocks.push(block),
                    Err(error) => return (blocks, Some(error)),
                }
            }
        }
        self.open.retain(|partition| !ended.contains(partition));
        if !self.open.is_empty() {
            // Another one comes first the next time.
            self.open.rotate_left(1);
        }
        (blocks, None)
    }

    /// Decodes blocks side by side; batches come in the order of the blocks, each with the place behind it and when it was read.
    fn decode(&mut self, blocks: Vec<Block>) -> Vec<(EventBatch, (u64, Timestamp))> {
        let future = self.config.future;
        let decode = |decoder: &mut Decoder, block: Block| {
            let arrival = block.arrival;
            let next = match block.stamps.as_deref() {
                Some([.., last]) => last.offset + 1,
                _ => block.offset + block.bytes.len() as u64,
            };
            let mut batch = decoder.decode(block);
            future.judge(&mut batch, arrival);
            (batch, (next, arrival))
        };
        self.crew.share(&mut self.decoders, blocks, decode)
    }

    fn append(&mut self, batch: EventBatch, (offset, arrival): (u64, Timestamp)) -> Result<(), KeepingError> {
        let stream = batch.partition.0 as usize;
        self.lines[stream] += u64::from(batch.lines);
        self.writer.append(stream, &batch, Position { offset, lines: self.lines[stream] }, arrival);
        if self.due.is_none() && self.writer.is_behind() {
            self.due = Some(Timestamp(self.clock.now().0.saturating_add(self.config.interval.0)));
        }
        self.source.recycle(batch.text);
        if self.writer.is_full() {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), KeepingError> {
        self.due = None;
        Ok(self.writer.commit()?)
    }
}
