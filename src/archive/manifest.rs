//! The manifest: which files exist, and how far each source was read for them. A log of parts, each put in place whole.
//!
//! ```text
//!  0000000001.json ─ 0000000002.json ─ … ─ 0000000064.json     64: 0000000064.all.json, all that holds by then
//! ```
//!
//! A part is written beside its place, made durable, and linked there: a name that is taken stays as it is. So of two writers that
//! put the same number one finds that it comes second, reads what came before it, and decides anew. Readers take the latest
//! summary and the parts behind it. Knows nothing of what is in the files.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::archive::{ArchiveError, again_where_gone};
use crate::time::Timestamp;

/// The version of the manifest that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// All that holds is summed up after so many parts.
const SUMMARY_EVERY: u64 = 64;

/// How the name of a file begins before it has its place in the manifest.
pub(crate) const BESIDE: &str = ".part-";

/// What changes with one part: what it names exists from then on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Part {
    /// The version of this form.
    pub format: u32,
    /// How far sources were read.
    #[serde(default)]
    pub sources: Vec<SourceRead>,
    /// Files that were added.
    #[serde(default)]
    pub files: Vec<FileEntry>,
    /// Paths of files that are no more.
    #[serde(default)]
    pub removed: Vec<String>,
    /// From when on there are events, in microseconds since the epoch, if that is later than before or new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_from_us: Option<i64>,
    /// The time at which reading was begun behind events that were not read, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn_us: Option<i64>,
}

/// A topic or a file, and how far it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceRead {
    /// What it is told from others by, for ever.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The field that told time, and how.
    pub time_field: String,
    /// Of a file: how it began when it was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<FileIdentity>,
    /// Of a topic: which of those that have its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicIdentity>,
    /// Its partitions; a file has one.
    pub partitions: Vec<Read>,
}

/// What a file is known by: of so many bytes at its beginning, what they hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Bytes that were looked at.
    pub bytes: u64,
    /// Their rapidhash V3.
    pub hash: u64,
}

/// What tells a topic from others of its name, as far as the brokers say it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TopicIdentity {
    /// The cluster's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The topic's own, which is another one when it has been deleted and made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl TopicIdentity {
    /// Whether they are two topics for sure.
    pub fn differs(&self, other: &TopicIdentity) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        differ(&self.cluster, &other.cluster) || differ(&self.id, &other.id)
    }
}

/// How far a partition was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Its number in the source.
    pub partition: i32,
    /// The offset at which this part began to read.
    pub from: u64,
    /// The next offset to read.
    pub to: u64,
    /// Lines before that.
    pub lines: u64,
    /// The greatest event time so far, in microseconds since the epoch.
    pub seen_until_us: Option<i64>,
    /// Whether events before the next one were not read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_torn: bool,
}

/// A file of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// From the archive's folder.
    pub path: String,
    /// The id of the source.
    pub source: String,
    /// The number of the part that added it.
    #[serde(default)]
    pub part: u64,
    /// Events in it.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// The least event time in it, in microseconds since the epoch.
    pub first_us: i64,
    /// The greatest.
    pub last_us: i64,
    /// Text columns that don't hold all that the events have there: some value is no text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inexact: Vec<String>,
    /// What it has of each partition, in order.
    pub partitions: Vec<Span>,
}

/// The events of one partition in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The partition.
    pub partition: i32,
    /// The offset of its first event here.
    pub first: u64,
    /// Of its last.
    pub last: u64,
    /// How many there are.
    pub rows: u64,
}

/// All that holds after some part.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// The version of this form.
    pub format: u32,
    /// The number of the last part; 0 before the first.
    pub number: u64,
    /// What was read, by id.
    pub sources: BTreeMap<String, SourceRead>,
    /// The files, in the order in which they were added.
    pub files: Vec<FileEntry>,
    /// From when on there are events, in microseconds since the epoch. It only ever goes on.
    #[serde(default)]
    pub kept_from_us: Option<i64>,
    /// The latest time at which reading was begun behind events that were not read.
    #[serde(default)]
    pub torn_us: Option<i64>,
}

impl SourceRead {
    /// Whether it is a topic, which has no end.
    pub fn is_topic(&self) -> bool {
        self.id.starts_with("topic:")
    }

    /// Whether another run may go on with it: a topic, or a file that is known by how it begins. A pipe is another one each time.
    pub fn can_be_read_on(&self) -> bool {
        self.is_topic() || self.identity.is_some()
    }
}

impl State {
    /// How far a partition of a source was read.
    pub fn read(&self, source: &str, partition: i32) -> Option<Read> {
        self.sources.get(source)?.partitions.iter().find(|read| read.partition == partition).copied()
    }

    /// Whether it names a file.
    pub(crate) fn names(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// Whether a part is in it. No two files have one name; one without files is in it where it says nothing new. Of one whose files
    /// have all been dropped since nothing can be told.
    fn has(&self, part: &Part) -> bool {
        if !part.files.is_empty() {
            return part.files.iter().any(|file| self.names(&file.path));
        }
        let is_read = |source: &SourceRead| {
            let known = |read: &Read| self.read(&source.id, read.partition).is_some_and(|known| known.to >= read.to);
            source.partitions.iter().all(known)
        };
        part.sources.iter().all(is_read)
            && !part.removed.iter().any(|path| self.names(path))
            && self.kept_from_us >= part.kept_from_us
            && self.torn_us >= part.torn_us
    }

    fn apply(&mut self, number: u64, part: Part) {
        self.number = number;
        self.kept_from_us = self.kept_from_us.max(part.kept_from_us);
        self.torn_us = self.torn_us.max(part.torn_us);
        for new in part.sources {
            match self.sources.get_mut(&new.id) {
                None => {
                    self.sources.insert(new.id.clone(), new);
                }
                Some(known) => {
                    let partitions = std::mem::take(&mut known.partitions);
                    let mut reads: BTreeMap<i32, Read> =
                        partitions.into_iter().map(|read| (read.partition, read)).collect();
                    reads.extend(new.partitions.iter().map(|read| (read.partition, *read)));
                    // A broker that does not answer takes nothing from what is known.
                    let topic = new.topic.or(known.topic.take());
                    *known = SourceRead { partitions: reads.into_values().collect(), topic, ..new };
                }
            }
        }
        let files_before = self.files.len();
        if !part.removed.is_empty() {
            let removed: std::collections::HashSet<String> = part.removed.into_iter().collect();
            self.files.retain(|file| !removed.contains(&file.path));
        }
        let has_removed = self.files.len() < files_before;
        self.files.extend(part.files.into_iter().map(|file| FileEntry { part: number, ..file }));
        if has_removed {
            // A pipe that is over and has left nothing: each is a source of its own, and they would grow more for ever.
            let left: std::collections::HashSet<&str> = self.files.iter().map(|file| file.source.as_str()).collect();
            self.sources.retain(|id, source| source.can_be_read_on() || left.contains(id.as_str()));
        }
    }
}

/// The manifest of one archive, as far as it was read.
#[derive(Debug)]
pub struct Manifest {
    folder: PathBuf,
    /// What holds by now.
    pub state: State,
    /// The last part that is summed up.
    summed_up: u64,
    pub(crate) sync: SyncFolder,
}

/// Makes durable what a folder names.
pub(crate) type SyncFolder = fn(&Path) -> Result<(), ArchiveError>;

/// What became of a part that was put.
#[must_use]
#[derive(Debug)]
pub enum Put {
    /// It is there. Where the folder could not be made durable, a power cut may still take it away; but others may have read it.
    There {
        /// Whether it is durable, and was seen to count.
        synced: Result<(), ArchiveError>,
    },
    /// It does not fit to what others have put, and is not there.
    Unfit,
}

impl Manifest {
    /// Reads the manifest of the archive in `archive`.
    pub fn open(archive: &Path) -> Result<Manifest, ArchiveError> {
        let folder = archive.join("manifest");
        if !folder.is_dir() {
            return Err(ArchiveError::Missing { path: archive.to_path_buf() });
        }
        let state = State { format: FORMAT, ..State::default() };
        let mut manifest = Manifest { folder, state, summed_up: 0, sync: sync_folder };
        manifest.refresh()?;
        Ok(manifest)
    }

    /// Reads it, or begins one where there is none.
    pub fn create(archive: &Path) -> Result<Manifest, ArchiveError> {
        let folder = archive.join("manifest");
        fs::create_dir_all(&folder).map_err(ArchiveError::io("make the folder", &folder))?;
        sync_folder(archive)?;
        Manifest::open(archive)
    }

    /// Reads the parts that have come since.
    pub fn refresh(&mut self) -> Result<(), ArchiveError> {
        // A part that was there when the folder was listed may have been summed up since.
        again_where_gone(|| self.try_refresh())
    }

    fn try_refresh(&mut self) -> Result<(), ArchiveError> {
        let (mut parts, summaries) = self.numbers()?;
        if let Some(&summary) = summaries.last().filter(|&&number| number > self.state.number) {
            self.state = read_json(&self.folder.join(summary_name(summary)))?;
            self.summed_up = summary;
        }
        parts.retain(|&number| number > self.state.number);
        for number in parts {
            let path = self.folder.join(part_name(number));
            if number != self.state.number + 1 {
                let cause = format!("part {} is missing before it", self.state.number + 1);
                return Err(ArchiveError::Manifest { path, cause });
            }
            let part: Part = read_json(&path)?;
            self.state.apply(number, part);
        }
        Ok(())
    }

    /// Puts a part behind the last one. Where others have come before it, `is_good` says whether it still fits. After an error the
    /// part is not there.
    pub fn put(&mut self, mut part: Part, is_good: impl Fn(&State) -> bool) -> Result<Put, ArchiveError> {
        part.format = FORMAT;
        let text = serde_json::to_vec(&part).expect("a part is made of texts and numbers");
        let beside = self.write_beside(&text)?;
        loop {
            self.refresh()?;
            if !is_good(&self.state) {
                return Ok(Put::Unfit);
            }
            let number = self.state.number + 1;
            let place = self.folder.join(part_name(number));
            match fs::hard_link(beside.path(), &place) {
                Ok(()) => {
                    let is_in = (self.sync)(&self.folder).and_then(|()| self.is_in_the_log(number, &part));
                    if matches!(is_in, Ok(false)) {
                        // Nobody reads it, and who sums up next removes it in any case.
                        let _ = fs::remove_file(&place);
                        continue;
                    }
                    let synced = is_in.map(|_| ());
                    self.state.apply(number, part);
                    if synced.is_ok() && number >= self.summed_up + SUMMARY_EVERY {
                        // All is in the parts: what failed is done with a later one.
                        let _ = self.sum_up();
                    }
                    return Ok(Put::There { synced });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(ArchiveError::io("write", &place)(error)),
            }
        }
    }

    /// Whether a part that was just put as this number is the one that counts. Between the last look at the folder and the link others
    /// may have put theirs there, summed it up and removed it, so that the name was free again.
    ///
    /// Parts are removed behind the last but one of the summaries, and both of these stay until there are later ones. So where no
    /// summary has come to this number, nothing was removed, and the part is the first of its number. A summary that has come to it was
    /// made of this part or of another, and tells which. Nobody takes the one for the other meanwhile: who finds the part finds a later
    /// summary, too, and goes on from there. A part that is in the log and not found, since its files were dropped, is put once more
    /// if it still fits: of events it does not.
    fn is_in_the_log(&self, number: u64, part: &Part) -> Result<bool, ArchiveError> {
        again_where_gone(|| match self.numbers()?.1.last() {
            Some(&summary) if summary >= number => {
                Ok(read_json::<State>(&self.folder.join(summary_name(summary)))?.has(part))
            }
            _ => Ok(true),
        })
    }

    /// Writes down all that holds, and removes what was summed up before.
    fn sum_up(&mut self) -> Result<(), ArchiveError> {
        let place = self.folder.join(summary_name(self.state.number));
        let text = serde_json::to_vec(&self.state).expect("a state is made of texts and numbers");
        let beside = self.write_beside(&text)?;
        beside.persist(&place).map_err(|error| ArchiveError::io("write", &place)(error.error))?;
        (self.sync)(&self.folder)?;
        self.summed_up = self.state.number;
        let (parts, summaries) = self.numbers()?;
        // Who listed the folder a moment ago may still be reading.
        let Some(&before) = summaries.iter().rev().nth(1) else { return Ok(()) };
        let old = parts.iter().filter(|&&number| number <= before).map(|&number| part_name(number));
        let old = old.chain(summaries.iter().filter(|&&number| number < before).map(|&number| summary_name(number)));
        for name in old {
            // What can't be removed now is removed next time.
            let _ = fs::remove_file(self.folder.join(name));
        }
        Ok(())
    }

    /// Writes a file of the manifest beside its place, durable.
    fn write_beside(&self, text: &[u8]) -> Result<NamedTempFile, ArchiveError> {
        let mut beside = tempfile::Builder::new()
            .prefix(BESIDE)
            // What the umask leaves: others may read an archive.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&self.folder)
            .map_err(ArchiveError::io("write to", &self.folder))?;
        let written = beside.write_all(text).and_then(|()| beside.as_file().sync_all());
        written.map_err(ArchiveError::io("write", beside.path()))?;
        Ok(beside)
    }

    /// The numbers of the parts and of the summaries, rising.
    fn numbers(&self) -> Result<(Vec<u64>, Vec<u64>), ArchiveError> {
        let (mut parts, mut summaries) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder).map_err(ArchiveError::io("read", &self.folder))? {
            let name = entry.map_err(ArchiveError::io("read", &self.folder))?.file_name();
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            match stem.strip_suffix(".all") {
                Some(number) => summaries.extend(number.parse::<u64>()),
                None => parts.extend(stem.parse::<u64>()),
            }
        }
        parts.sort_unstable();
        summaries.sort_unstable();
        Ok((parts, summaries))
    }
}

fn part_name(number: u64) -> String {
    format!("{number:010}.json")
}

fn summary_name(number: u64) -> String {
    format!("{number:010}.all.json")
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, ArchiveError> {
    let text = fs::read(path).map_err(ArchiveError::io("read", path))?;
    let damaged = |cause: String| ArchiveError::Manifest { path: path.to_path_buf(), cause };
    let format: Format = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if format.format != FORMAT {
        let cause = format!("its format is '{}', and this release knows '{FORMAT}'", format.format);
        return Err(damaged(cause));
    }
    serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Makes durable which files a folder has.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), ArchiveError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(ArchiveError::io("make durable", folder))
}

impl FileEntry {
    /// Whether an event of it may lie in `[start, end)`.
    pub fn may_have(&self, (start, end): (Timestamp, Timestamp)) -> bool {
        self.first_us < end.0 && self.last_us >= start.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> FileEntry {
        let (rows, bytes, first_us, last_us) = (1, 1, 0, 0);
        let (path, source) = (path.to_owned(), "s".to_owned());
        FileEntry { path, source, part: 0, rows, bytes, first_us, last_us, inexact: vec![], partitions: vec![] }
    }

    fn part(path: &str) -> Part {
        Part { files: vec![file(path)], ..Part::default() }
    }

    #[track_caller]
    fn put(manifest: &mut Manifest, part: Part) {
        assert!(matches!(manifest.put(part, |_| true), Ok(Put::There { synced: Ok(()) })));
    }

    #[test]
    fn what_was_summed_up_is_known_to_whoever_comes_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::create(folder.path()).unwrap();
        let mut onlooker = Manifest::open(folder.path()).unwrap();
        for number in 1..=4 * SUMMARY_EVERY + 3 {
            let removed = if number % 7 == 0 { vec![format!("{}", number - 1)] } else { vec![] };
            let part = Part { removed, ..part(&number.to_string()) };
            put(&mut manifest, part);
            if number % 50 == 0 {
                onlooker.refresh().unwrap();
                assert_eq!(onlooker.state, manifest.state);
            }
        }
        assert_eq!(Manifest::open(folder.path()).unwrap().state, manifest.state);
        let left = fs::read_dir(folder.path().join("manifest")).unwrap().count() as u64;
        assert!(left <= SUMMARY_EVERY + 6, "{left} files of the manifest were left");
    }

    #[test]
    fn a_part_is_there_though_it_can_not_be_made_durable_or_summed_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::create(folder.path()).unwrap();
        let failed = |path: &Path| Err(ArchiveError::io("make durable", path)(ErrorKind::Other.into()));
        manifest.sync = failed;
        assert!(matches!(manifest.put(part("a"), |_| true), Ok(Put::There { synced: Err(_) })));
        assert_eq!(manifest.state.number, 1);
        // It fails again once the summary is there, which is not durable then.
        manifest.sync = |path| match path.join(summary_name(SUMMARY_EVERY)).exists() {
            true => Err(ArchiveError::io("make durable", path)(ErrorKind::Other.into())),
            false => sync_folder(path),
        };
        for number in 2..=SUMMARY_EVERY {
            put(&mut manifest, part(&number.to_string()));
        }
        assert_eq!(manifest.summed_up, 0);
        manifest.sync = sync_folder;
        put(&mut manifest, part("z"));
        assert_eq!(manifest.summed_up, SUMMARY_EVERY + 1, "what failed is done later");
        assert_eq!(Manifest::open(folder.path()).unwrap().state, manifest.state);
    }

    #[test]
    fn parts_and_summaries_may_be_read_by_whom_other_files_may() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, "x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        let mut manifest = Manifest::create(folder.path()).unwrap();
        for number in 1..=SUMMARY_EVERY {
            put(&mut manifest, part(&number.to_string()));
        }
        for name in [part_name(SUMMARY_EVERY), summary_name(SUMMARY_EVERY)] {
            assert_eq!(mode(&folder.path().join("manifest").join(name)), mode(&plain));
        }
    }

    #[test]
    fn a_pipe_of_which_nothing_is_left_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::create(folder.path()).unwrap();
        let source = |id: &str, identity| SourceRead {
            id: id.to_owned(),
            name: id.to_owned(),
            time_field: "timestamp".to_owned(),
            identity,
            topic: None,
            partitions: Vec::new(),
        };
        let of = |path: &str, id: &str, identity| Part {
            files: vec![FileEntry { source: id.to_owned(), ..file(path) }],
            sources: vec![source(id, identity)],
            ..Part::default()
        };
        put(&mut manifest, of("a", "pipe:1", None));
        put(&mut manifest, of("b", "pipe:2", None));
        put(&mut manifest, of("c", "file:1", Some(FileIdentity { bytes: 1, hash: 1 })));
        put(&mut manifest, of("d", "topic:t", None));
        put(&mut manifest, of("e", "pipe:2", None));
        let drop =
            |paths: &[&str]| Part { removed: paths.iter().map(|&path| path.to_owned()).collect(), ..Part::default() };
        put(&mut manifest, drop(&["a", "b", "c", "d"]));
        let known = |state: &State| state.sources.keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(known(&manifest.state), "file:1 pipe:2 topic:t");
        put(&mut manifest, drop(&["e"]));
        assert_eq!(known(&manifest.state), "file:1 topic:t");
        assert_eq!(Manifest::open(folder.path()).unwrap().state, manifest.state);
    }

    #[test]
    fn a_damaged_part_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::create(folder.path()).unwrap();
        put(&mut manifest, part("a"));
        let path = folder.path().join("manifest/0000000001.json");
        let check = |text: &str, expected: &str| {
            fs::write(&path, text).unwrap();
            let error = Manifest::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains("0000000001.json") && error.contains(expected), "{error}");
        };
        check("{\"format\":1,", "EOF");
        check("{\"format\":9}", "its format is '9'");
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join("manifest/0000000002.json"), "{\"format\":1}").unwrap();
        let error = Manifest::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("part 1 is missing before it"), "{error}");
        assert!(matches!(Manifest::open(&folder.path().join("x")), Err(ArchiveError::Missing { .. })));
    }
}
