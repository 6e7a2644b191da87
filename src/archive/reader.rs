//! An archive as a source: each partition of each source that was archived is one of the input, in the order of its offsets.
//!
//! What can't lie in the wanted span of time, or can't pass the filters, is not read: hours by their folders, files by the manifest,
//! row groups by their statistics. Of a part only the next stretch of offsets is planned at a time. Knows nothing of windows.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::archive::form::TIMESTAMP;
use crate::archive::manifest::{FileEntry, Manifest, State};
use crate::archive::unit::{Group, Opened, Unit, Wish};
use crate::archive::{ArchiveError, HOUR, folder_of, hour_of};
use crate::event::Path as FieldPath;
use crate::expr::Expr;
use crate::partition::PartitionId;
use crate::source::{Polled, Source, SourceError, Waker};
use crate::time::{Clock, Timestamp};

/// A row group with so many rows begins a stretch of its own.
const STRETCH_ROWS: u64 = 8 << 10;

/// The files that each part of the manifest added.
type FilesByPart = BTreeMap<u64, Vec<Arc<FileEntry>>>;

/// What is read of an archive.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Events with times from here to before there.
    pub range: (Timestamp, Timestamp),
    /// Where all wanted fields have columns: the number of each. Else lines are read.
    pub columns: Option<Vec<usize>>,
    /// The field that tells time.
    pub time_field: String,
}

/// An archive, read.
pub struct ArchiveSource {
    folder: PathBuf,
    lanes: Vec<Lane>,
    opened: HashMap<String, Weak<Opened>>,
    wish: Wish,
    /// Only row groups are read for whose events one of these may hold; all, where there is none.
    filters: Vec<Expr>,
    /// The field of which the column of times was made.
    times: Option<FieldPath>,
    clock: Arc<dyn Clock>,
    bytes_total: u64,
}

struct Lane {
    name: Arc<str>,
    partition: i32,
    /// The files of each part that is still to be planned, in the order of the offsets.
    parts: VecDeque<Vec<Arc<FileEntry>>>,
    units: VecDeque<Unit>,
    from: u64,
    has_failed: bool,
}

impl ArchiveSource {
    /// Opens the archive in `folder`.
    pub fn open(folder: &Path, wanted: &Wanted, clock: &Arc<dyn Clock>) -> Result<ArchiveSource, ArchiveError> {
        ArchiveSource::of(folder, &Manifest::open(folder)?.state, wanted, clock)
    }

    /// Opens the archive in `folder` as it was when `state` held.
    pub fn of(
        folder: &Path,
        state: &State,
        wanted: &Wanted,
        clock: &Arc<dyn Clock>,
    ) -> Result<ArchiveSource, ArchiveError> {
        let mut bytes_total = 0;
        let mut found: BTreeMap<(&str, i32), FilesByPart> = BTreeMap::new();
        for file in state.files.iter().filter(|file| in_folder(file, wanted.range) && file.may_have(wanted.range)) {
            bytes_total += file.bytes;
            let shared = Arc::new(file.clone());
            for span in &file.partitions {
                let parts = found.entry((file.source.as_str(), span.partition)).or_default();
                parts.entry(file.part).or_default().push(Arc::clone(&shared));
            }
        }
        check(folder, state, found.keys().map(|(source, _)| *source), &wanted.time_field)?;
        let lane = |((source, partition), parts): ((&str, i32), FilesByPart)| {
            let source = state.sources.get(source).map_or(source, |source| source.name.as_str());
            let mut parts: Vec<_> = parts.into_values().collect();
            parts.sort_by_key(|files| files.iter().filter_map(|file| first_of(file, partition)).min());
            Lane {
                name: format!("archive:{}[{source} {partition}]", folder.display()).into(),
                partition,
                parts: parts.into(),
                units: VecDeque::new(),
                from: 0,
                has_failed: false,
            }
        };
        if found.is_empty() {
            // An input has one partition at least, and this one ends at once.
            found.insert(("", 0), FilesByPart::new());
        }
        let lanes = found.into_iter().map(lane).collect();
        Ok(ArchiveSource {
            folder: folder.to_path_buf(),
            lanes,
            opened: HashMap::new(),
            wish: Wish { columns: wanted.columns.clone(), range: wanted.range },
            filters: Vec::new(),
            times: (wanted.time_field == TIMESTAMP).then(|| FieldPath::of_keys(&[TIMESTAMP])),
            clock: Arc::clone(clock),
            bytes_total,
        })
    }

    /// Leaves out row groups whose statistics say that none of these filters holds for any of their events. Events that are read
    /// are judged as ever, but what time the others told is known only from the events behind them.
    pub fn leave_out(&mut self, filters: Vec<Expr>) {
        self.filters = filters;
    }

    /// The lengths of all files that are read.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Plans the next part of a partition. False if there is none.
    fn plan(&mut self, partition: PartitionId) -> Result<bool, ArchiveError> {
        let lane = &mut self.lanes[partition.0 as usize];
        let Some(files) = lane.parts.pop_front() else { return Ok(false) };
        let mut groups: Vec<Group> = Vec::new();
        for file in &files {
            let opened = match self.opened.get(&file.path).and_then(Weak::upgrade) {
                Some(opened) => opened,
                None => {
                    let opened = Arc::new(Opened::open(&self.folder, file)?);
                    self.opened.retain(|_, opened| opened.strong_count() > 0);
                    self.opened.insert(file.path.clone(), Arc::downgrade(&opened));
                    opened
                }
            };
            let of_lane = opened.groups(self.wish.range)?.into_iter().filter(|group| group.partition == lane.partition);
            let may_hold =
                |group: &Group| self.filters.is_empty() || opened.may_hold(group, &self.filters, self.times.as_ref());
            groups.extend(of_lane.filter(may_hold));
        }
        let arrival = self.clock.now();
        for (from, to) in stretches(&groups) {
            let within: Vec<Group> =
                groups.iter().filter(|group| group.first < to && from <= group.last).cloned().collect();
            let offsets = (from.max(lane.from), to);
            if within.is_empty() || offsets.0 >= offsets.1 {
                continue;
            }
            let begun = within.iter().filter(|group| from <= group.first);
            lane.units.push_back(Unit {
                partition,
                bytes: begun.map(|group| group.bytes).sum(),
                groups: within,
                offsets,
                wish: self.wish.clone(),
                arrival,
                name: Arc::clone(&lane.name),
            });
        }
        Ok(true)
    }
}

/// Refuses sources that are not read as one: what told their time is another field, or they are several topics.
fn check<'a>(
    folder: &Path,
    state: &State,
    sources: impl Iterator<Item = &'a str>,
    time_field: &str,
) -> Result<(), ArchiveError> {
    let path = || folder.to_path_buf();
    let mut topics: Vec<&str> = Vec::new();
    for source in sources.filter_map(|source| state.sources.get(source)) {
        if source.time_field != time_field {
            let (source_name, known) = (source.name.clone(), source.time_field.clone());
            return Err(ArchiveError::TimeField { path: path(), source_name, known, wanted: time_field.to_owned() });
        }
        if source.is_topic() && !topics.contains(&source.name.as_str()) {
            topics.push(&source.name);
        }
    }
    match topics.len() {
        0 | 1 => Ok(()),
        _ => Err(ArchiveError::Topics { path: path(), topics: topics.join("', '") }),
    }
}

/// Parts of the offsets of these row groups, none of which has very many rows.
fn stretches(groups: &[Group]) -> Vec<(u64, u64)> {
    let Some(end) = groups.iter().map(|group| group.last + 1).max() else { return Vec::new() };
    let mut cuts: Vec<u64> =
        groups.iter().filter(|group| group.rows >= STRETCH_ROWS).map(|group| group.first).collect();
    cuts.extend(groups.iter().map(|group| group.first).min());
    cuts.push(end);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|two| (two[0], two[1])).collect()
}

/// Whether the folder that a file stands in may have events of these times.
fn in_folder(file: &FileEntry, (start, end): (Timestamp, Timestamp)) -> bool {
    if start >= end {
        return false;
    }
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let has_bounds = start.0 > Timestamp::EARLIEST.0 && end.0 < Timestamp::LATEST.0;
    // Names of folders are in the order of their hours.
    !has_bounds || (folder >= &*folder_of(hour_of(start)) && folder <= &*folder_of((end.0 - 1).div_euclid(HOUR)))
}

fn first_of(file: &FileEntry, partition: i32) -> Option<u64> {
    file.partitions.iter().find(|span| span.partition == partition).map(|span| span.first)
}

impl Source for ArchiveSource {
    fn partitions(&self) -> usize {
        self.lanes.len()
    }

    fn name(&self, partition: PartitionId) -> &str {
        &self.lanes[partition.0 as usize].name
    }

    /// Here an offset is that of an event.
    fn seek(&mut self, partition: PartitionId, offset: u64) {
        self.lanes[partition.0 as usize].from = offset;
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        loop {
            let lane = &mut self.lanes[partition.0 as usize];
            if lane.has_failed {
                return Ok(Polled::End);
            }
            if let Some(unit) = lane.units.pop_front() {
                return Ok(Polled::Deferred(Box::new(unit)));
            }
            match self.plan(partition) {
                Ok(true) => {}
                Ok(false) => return Ok(Polled::End),
                Err(error) => {
                    let lane = &mut self.lanes[partition.0 as usize];
                    lane.has_failed = true;
                    return Err(SourceError::Archive { name: lane.name.to_string(), source: Box::new(error) });
                }
            }
        }
    }

    /// There always is something, or the end.
    fn wait(&mut self, _partitions: &[PartitionId], _timeout: Option<Duration>) {}

    fn waker(&self) -> Waker {
        Waker::new(|| {})
    }
}
