//! The writer: events are gathered by source and hour, and committed as one part of the manifest.
//!
//! ```text
//!  gather ─ write .x.parquet.part, each durable ─ put the part ─ name the files ─ gather …
//! ```
//!
//! Killed before the part is put, nothing was written; killed behind it, everything. Only one file is open at a time, and what is
//! gathered has a bound. Knows nothing of when to commit, and of how events are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::archive::file::Rows;
use crate::archive::litter;
use crate::archive::manifest::{
    FileEntry, FileIdentity, Manifest, Part, Put, Read, SourceRead, State, TopicIdentity, sync_folder,
};
use crate::archive::{ArchiveError, folder_of, hour_of};
use crate::batch::EventBatch;
use crate::time::{Duration, Timestamp};

/// Bytes of lines that are gathered at most before a commit is due.
const BYTES_MAX: usize = 64 << 20;

/// Files that are gathered at most before a commit is due: events may be of any hour.
const HOURS_MAX: usize = 256;

/// A source of events.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// What it is told from others by, for ever.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The field that tells time.
    pub time_field: String,
    /// Of a file: how it begins.
    pub identity: Option<FileIdentity>,
    /// Of a topic: which of those that have its name.
    pub topic: Option<TopicIdentity>,
}

/// A partition that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// The number of its source.
    pub source: usize,
    /// Its number in the source.
    pub partition: i32,
    /// Where it is begun, if the archive has nothing of it.
    pub start: Position,
}

/// A place in a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The next offset to read.
    pub offset: u64,
    /// Lines before it.
    pub lines: u64,
}

/// Points at which tests kill the process: called with the name of each.
pub type Reach = fn(&str);

/// Writes an archive.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    pub(crate) manifest: Manifest,
    sources: Vec<Source>,
    lanes: Vec<Lane>,
    gathered: BTreeMap<(usize, i64), Rows>,
    bytes: usize,
    rows: u64,
    committed: u64,
    /// The time of the first event of all, until it is committed.
    begun: Option<Timestamp>,
    /// The time from which reading goes on behind events that were not read, until it is committed.
    torn: Option<Timestamp>,
    /// How far ahead of its arrival an event may be dated and still tells time; any, if `None`.
    ahead_max: Option<Duration>,
    reach: Reach,
}

#[derive(Debug)]
struct Lane {
    stream: Stream,
    from: u64,
    next: Position,
    seen_until: Timestamp,
    /// Whether events before the next one were not read.
    is_torn: bool,
}

impl Writer {
    /// Opens the archive in `folder`, makes it where there is none, and clears away what a killed writer left.
    pub fn open(
        folder: &Path,
        sources: impl FnOnce(&State) -> (Vec<Source>, Vec<Stream>),
        reach: Reach,
    ) -> Result<Writer, ArchiveError> {
        let manifest = Manifest::create(folder)?;
        litter::clear(folder, &manifest.state, SystemTime::now())?;
        let (sources, streams) = sources(&manifest.state);
        for source in &sources {
            if let Some(known) = manifest.state.sources.get(&source.id)
                && known.time_field != source.time_field
            {
                let (known, wanted) = (known.time_field.clone(), source.time_field.clone());
                let (path, source_name) = (folder.to_path_buf(), source.name.clone());
                return Err(ArchiveError::TimeField { path, source_name, known, wanted });
            }
            let known = manifest.state.sources.get(&source.id).and_then(|known| known.topic.as_ref());
            if let (Some(known), Some(wanted)) = (known, &source.topic)
                && known.differs(wanted)
            {
                let source_name = source.name.clone();
                return Err(ArchiveError::OtherTopic { path: folder.to_path_buf(), source_name });
            }
        }
        let lane = |stream: Stream| {
            let read = manifest.state.read(&sources[stream.source].id, stream.partition);
            let next = read.map_or(stream.start, |read| Position { offset: read.to, lines: read.lines });
            let seen_until = read.and_then(|read| read.seen_until_us).map_or(Timestamp::MIN, Timestamp);
            let is_torn = read.map_or(stream.start.offset > 0, |read| read.is_torn);
            Lane { from: next.offset, next, seen_until, is_torn, stream }
        };
        let lanes = streams.into_iter().map(lane).collect();
        let folder = folder.to_path_buf();
        let gathered = BTreeMap::new();
        let (begun, torn, ahead_max) = (None, None, None);
        Ok(Writer {
            folder,
            manifest,
            sources,
            lanes,
            gathered,
            bytes: 0,
            rows: 0,
            committed: 0,
            begun,
            torn,
            ahead_max,
            reach,
        })
    }

    /// What the archive knows of a source, by its number, if it has something of it.
    pub fn known(&self, source: usize) -> Option<&SourceRead> {
        self.manifest.state.sources.get(&self.sources[source].id)
    }

    /// Where each stream is to be read on.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        self.lanes.iter().map(|lane| lane.next)
    }

    /// Events that are dated further ahead of their arrival are kept, but tell no time: one of them would make all that follow late.
    pub fn bound_ahead(&mut self, max: Duration) {
        self.ahead_max = Some(max);
    }

    /// Goes on at a later offset: what stands before it is gone.
    pub fn pass_over(&mut self, stream: usize, offset: u64) {
        self.lanes[stream].next.offset = offset;
        self.lanes[stream].is_torn = true;
    }

    /// Events that are sure to be in the archive, of those that this writer took.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Whether so much has been gathered that it is to be committed.
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.gathered.len() >= HOURS_MAX
    }

    /// Whether anything waits to be committed.
    pub fn is_behind(&self) -> bool {
        self.lanes.iter().any(|lane| lane.from != lane.next.offset)
    }

    /// Takes the events of a batch, which is the next one of its stream; the first columns are those of the form. `next` is what
    /// comes behind it, `arrival` when it was read. Events before the stream's position are there already, and passed over.
    pub fn append(&mut self, stream: usize, batch: &EventBatch, next: Position, arrival: Timestamp) {
        let latest = self.ahead_max.map_or(Timestamp::MAX, |max| Timestamp(arrival.0.saturating_add(max.0)));
        let lane = &mut self.lanes[stream];
        let (source, partition) = (lane.stream.source, lane.stream.partition);
        let mut row = 0;
        while row < batch.rows() {
            if batch.place(row) < lane.next.offset {
                row += 1;
                continue;
            }
            let hour = hour_of(batch.times[row]);
            let rows = self.gathered.entry((source, hour)).or_default();
            // Events of an hour mostly follow one another.
            while row < batch.rows() && hour_of(batch.times[row]) == hour {
                let time = batch.times[row];
                let is_ahead = time > latest;
                rows.push(batch, row, partition, (lane.seen_until, is_ahead.then_some(arrival)));
                if !is_ahead {
                    if lane.seen_until == Timestamp::MIN {
                        self.begun = Some(self.begun.map_or(time, |begun| begun.min(time)));
                    }
                    lane.seen_until = lane.seen_until.max(time);
                    if std::mem::take(&mut lane.is_torn) {
                        self.torn = self.torn.max(Some(lane.seen_until));
                    }
                }
                self.bytes += batch.spans[row].len as usize;
                self.rows += 1;
                row += 1;
            }
        }
        if next.offset > lane.next.offset {
            lane.next = next;
        }
    }

    /// Makes all that was taken exist in the archive, with how far it was read.
    pub fn commit(&mut self) -> Result<(), ArchiveError> {
        if !self.is_behind() {
            return Ok(());
        }
        // Another source that begins earlier doesn't fill what is missing between them.
        let begun = self.begun.filter(|_| self.manifest.state.kept_from_us.is_none());
        let (kept_from_us, torn_us) = (begun.map(|time| time.0), self.torn.map(|time| time.0));
        let mut part = Part { sources: self.read(), kept_from_us, torn_us, ..Part::default() };
        let written = self.write_files(&mut part);
        let put = written.and_then(|()| {
            (self.reach)("after-files");
            self.put(&part)
        });
        let paths = || part.files.iter().map(|file| &*file.path);
        let synced = match put {
            Ok(synced) => synced,
            Err(error) => {
                for path in paths() {
                    // The next writer removes what is left.
                    let _ = std::fs::remove_file(litter::unnamed(&self.folder.join(path)));
                }
                return Err(error);
            }
        };
        // From here on the files are named, whatever fails.
        synced?;
        (self.reach)("after-part");
        for path in paths() {
            litter::give_name(&self.folder, path)?;
            (self.reach)("after-name");
        }
        self.lanes.iter_mut().for_each(|lane| lane.from = lane.next.offset);
        self.committed += self.rows;
        (self.bytes, self.rows) = (0, 0);
        (self.begun, self.torn) = (None, None);
        Ok(())
    }

    /// How far the sources have been read.
    fn read(&self) -> Vec<SourceRead> {
        let of = |(number, source): (usize, &Source)| {
            let lanes = self.lanes.iter().filter(|lane| lane.stream.source == number);
            let read = |lane: &Lane| Read {
                partition: lane.stream.partition,
                from: lane.from,
                to: lane.next.offset,
                lines: lane.next.lines,
                seen_until_us: (lane.seen_until > Timestamp::MIN).then_some(lane.seen_until.0),
                is_torn: lane.is_torn,
            };
            let partitions: Vec<Read> = lanes.filter(|lane| lane.from != lane.next.offset).map(read).collect();
            let Source { id, name, time_field, identity, topic } = source.clone();
            (!partitions.is_empty()).then_some(SourceRead { id, name, time_field, identity, topic, partitions })
        };
        self.sources.iter().enumerate().filter_map(of).collect()
    }

    fn write_files(&mut self, part: &mut Part) -> Result<(), ArchiveError> {
        let mut folders = BTreeSet::new();
        for ((source, hour), rows) in std::mem::take(&mut self.gathered) {
            let source = &self.sources[source];
            let path = format!("{}/{}.parquet", folder_of(hour), file_name(&source.name));
            let ranges = part.sources.iter().find(|read| read.id == source.id).map(|read| &read.partitions);
            let ranges = serde_json::to_string(&ranges).expect("ranges are made of numbers");
            let origin = [
                ("evkit.format", "1".to_owned()),
                ("evkit.source", source.name.clone()),
                ("evkit.source_id", source.id.clone()),
                ("evkit.time_field", source.time_field.clone()),
                ("evkit.read", ranges),
            ];
            let place = litter::unnamed(&self.folder.join(&path));
            (self.reach)("before-file");
            let written = rows.write(&place, &origin, self.reach);
            if written.is_err() {
                // The next writer removes what is left.
                let _ = std::fs::remove_file(&place);
            }
            let written = written?;
            (self.reach)("after-file");
            folders.insert(folder_of(hour));
            part.files.push(FileEntry {
                path,
                source: source.id.clone(),
                part: 0,
                rows: written.rows,
                bytes: written.bytes,
                first_us: written.first_us,
                last_us: written.last_us,
                inexact: written.inexact,
                partitions: written.partitions,
            });
        }
        for folder in &folders {
            sync_folder(&self.folder.join(folder))?;
            sync_folder(self.folder.join(folder).parent().expect("an hour's folder stands in a day's"))?;
        }
        sync_folder(&self.folder)
    }

    /// Puts the part. After an error it is not there; else what is given says whether it is durable.
    fn put(&mut self, part: &Part) -> Result<Result<(), ArchiveError>, ArchiveError> {
        // What is passed over belongs to the part: it begins where the last one ended.
        let is_next = |state: &State, source: &SourceRead| {
            let mut reads = source.partitions.iter();
            reads.all(|new| state.read(&source.id, new.partition).is_none_or(|known| known.to == new.from))
        };
        match self.manifest.put(part.clone(), |state| part.sources.iter().all(|source| is_next(state, source)))? {
            Put::There { synced } => Ok(synced),
            Put::Unfit => {
                let state = &self.manifest.state;
                let taken = part.sources.iter().find(|source| !is_next(state, source));
                let source_name = taken.map_or(String::new(), |source| source.name.clone());
                Err(ArchiveError::Overtaken { source_name, path: self.folder.clone() })
            }
        }
    }
}

/// A name that no other file has, and that tells a person what is in it.
fn file_name(source: &str) -> String {
    const LENGTH_MAX: usize = 40;
    let plain = source.rsplit('/').next().unwrap_or_default().chars();
    let plain = plain.map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' });
    let plain: String = plain.take(LENGTH_MAX).collect();
    let plain = plain.trim_matches(|c| matches!(c, '.' | '_' | '-'));
    let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), source);
    format!("{}-{random:016x}", if plain.is_empty() { "events" } else { plain })
}
