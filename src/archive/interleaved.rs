//! Tests of processes that interleave on one archive: what others do between two steps of one is done there by hand.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::archive::manifest::{FileEntry, Manifest, Part, Put, Read, SourceRead, State, sync_folder};
use crate::archive::reader::{ArchiveSource, Wanted};
use crate::archive::round_trip::orders;
use crate::archive::writer::{Position, Stream, Writer};
use crate::codec::ndjson::Decoder;
use crate::codec::{TimeFrom, Wanted as Fields};
use crate::event::Path as FieldPath;
use crate::partition::PartitionId;
use crate::record::{Block, Stamp};
use crate::source::clock::ManualClock;
use crate::source::{Polled, Source, SourceError};
use crate::time::{Clock, Duration, TimeFormat};

/// So many parts are summed up twice, after which the first of them are removed.
const MANY: u64 = 130;
/// 2026-02-16T00:00:00Z.
const BEGIN: i64 = 1_771_200_000_000_000;

fn part(path: &str) -> Part {
    let (rows, bytes, first_us, last_us) = (1, 1, 0, 0);
    let (path, source) = (path.to_owned(), "topic:orders".to_owned());
    let file = FileEntry { path, source, part: 0, rows, bytes, first_us, last_us, inexact: vec![], partitions: vec![] };
    Part { files: vec![file], ..Part::default() }
}

/// A part that only says how far the orders were read.
fn part_read(from: u64, to: u64) -> Part {
    let read = Read { partition: 0, from, to, lines: to, seen_until_us: None, is_torn: false };
    let source = SourceRead {
        id: "topic:orders".into(),
        name: "orders".into(),
        time_field: "timestamp".into(),
        identity: None,
        topic: None,
        partitions: vec![read],
    };
    Part { sources: vec![source], ..Part::default() }
}

#[track_caller]
fn put(manifest: &mut Manifest, part: Part) {
    assert!(matches!(manifest.put(part, |_| true), Ok(Put::There { synced: Ok(()) })));
}

fn put_many(archive: &Path) {
    let mut other = Manifest::open(archive).unwrap();
    (0..MANY).for_each(|number| put(&mut other, part(&number.to_string())));
}

fn paths(state: &State) -> Vec<&str> {
    state.files.iter().map(|file| file.path.as_str()).collect()
}

fn is_first_there(archive: &Path) -> bool {
    archive.join("manifest/0000000001.json").exists()
}

#[test]
fn the_second_of_two_writers_reads_what_the_first_put() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Manifest::create(folder.path()).unwrap();
    let mut second = Manifest::create(folder.path()).unwrap();
    put(&mut first, part("a"));
    assert!(matches!(second.put(part("b"), |state| state.files.is_empty()), Ok(Put::Unfit)));
    assert!(matches!(second.put(part("c"), |state| state.number == 1), Ok(Put::There { synced: Ok(()) })));
    first.refresh().unwrap();
    assert_eq!(paths(&first.state), ["a", "c"]);
    assert_eq!(first.state, second.state);
}

#[test]
fn a_number_that_was_summed_up_and_removed_is_not_given_again() {
    for (part, is_in) in [
        (part("halted"), (|state| paths(state).ends_with(&["halted"])) as fn(&State) -> bool),
        (part_read(0, 7), |state| state.read("topic:orders", 0).is_some_and(|read| read.to == 7)),
        (Part { removed: vec!["5".into()], ..Part::default() }, |state| !paths(state).contains(&"5")),
        (Part { kept_from_us: Some(5), ..Part::default() }, |state| state.kept_from_us == Some(5)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut halted = Manifest::create(folder.path()).unwrap();
        let is_first = Cell::new(true);
        // It is asked between the look at the folder and the link.
        let is_good = |_: &State| {
            if is_first.replace(false) {
                put_many(folder.path());
                assert!(!is_first_there(folder.path()), "the name is free again");
            }
            true
        };
        assert!(matches!(halted.put(part.clone(), is_good), Ok(Put::There { synced: Ok(()) })));
        let state = Manifest::open(folder.path()).unwrap().state;
        assert!(is_in(&state), "{part:?} is lost");
        assert_eq!((state.number, &state), (MANY + 1, &halted.state));
        assert!(!is_first_there(folder.path()), "{part:?} stands in a place that is not its own");
    }
}

#[test]
fn a_part_that_others_have_summed_up_at_once_is_not_put_twice() {
    for part in [part("halted"), part_read(0, 7), Part { kept_from_us: Some(5), ..Part::default() }] {
        let folder = tempfile::tempdir().unwrap();
        let mut halted = Manifest::create(folder.path()).unwrap();
        // It is made durable between the link and the look whether it counts.
        halted.sync = |folder| {
            put_many(folder.parent().unwrap());
            sync_folder(folder)
        };
        assert!(matches!(halted.put(part, |state| state.number == 0), Ok(Put::There { synced: Ok(()) })));
        assert_eq!(halted.state.number, 1);
        halted.refresh().unwrap();
        assert_eq!(halted.state.number, MANY + 1);
        assert_eq!(halted.state, Manifest::open(folder.path()).unwrap().state);
    }
}

type Step = (&'static str, Box<dyn FnOnce()>);

thread_local! {
    /// What others do once this thread's writer comes to a point.
    static STEP: RefCell<Option<Step>> = const { RefCell::new(None) };
}

fn at(point: &'static str, step: impl FnOnce() + 'static) {
    STEP.set(Some((point, Box::new(step))));
}

fn reach(point: &str) {
    let step = STEP.with_borrow_mut(|step| step.take_if(|(at, _)| *at == point));
    if let Some((_, step)) = step {
        step();
    }
}

#[track_caller]
fn assert_stepped() {
    assert!(STEP.take().is_none(), "the writer did not come to the point");
}

/// A writer of a topic of one partition, which is begun at an offset where nothing is archived.
fn writer(folder: &Path, start: u64) -> Writer {
    let stream = Stream { source: 0, partition: 0, start: Position { offset: start, lines: 0 } };
    Writer::open(folder, |_| (vec![orders()], vec![stream]), reach).unwrap()
}

/// Gives the writer an event of each of these hours, from an offset on.
fn append(writer: &mut Writer, offset: u64, hours: std::ops::Range<i64>) {
    let stamp = |offset| Stamp { offset, time: Timestamp(0), seen_until: Timestamp::MIN };
    let next = offset + hours.clone().count() as u64;
    let stamps: Vec<Stamp> = (offset..next).map(stamp).collect();
    let line = |hour: i64| format!("{{\"timestamp\":\"{}\"}}\n", Timestamp(BEGIN + hour * HOUR));
    let bytes = hours.map(line).collect::<String>().into_bytes();
    let time = TimeFrom::Field { path: FieldPath::of_keys(&["timestamp"]), format: TimeFormat::Auto };
    let mut decoder = Decoder::new(&Fields { paths: form::paths(), time }, 1 << 20);
    let (partition, arrival) = (PartitionId(0), Timestamp(0));
    let batch = decoder.decode(Block { partition, offset, from: 0, arrival, stamps: Some(stamps.into()), bytes });
    writer.append(0, &batch, Position { offset: next, lines: next }, Timestamp(0));
}

/// An archive of these hours, each event in a commit and so in a stretch of its own.
fn archive_of(folder: &Path, hours: std::ops::Range<i64>) {
    let mut writer = writer(folder, 0);
    for hour in hours {
        append(&mut writer, hour.unsigned_abs(), hour..hour + 1);
        writer.commit().unwrap();
    }
}

/// Drops all hours before this one.
fn retain_from(folder: &Path, hour: i64) -> retention::Dropped {
    retention::retain(folder, Duration(0), Timestamp(BEGIN + hour * HOUR)).unwrap()
}

#[test]
fn a_writer_leaves_no_hole_behind_another_that_began_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, mut second) = (writer(folder.path(), 0), writer(folder.path(), 9));
    append(&mut first, 0, 0..4);
    first.commit().unwrap();
    append(&mut second, 9, 9..12);
    let error = second.commit().unwrap_err();
    assert!(error.is_overtaken() && error.to_string().contains("'orders'"), "{error}");
    // What is passed over on purpose is none.
    let mut third = writer(folder.path(), 9);
    third.pass_over(0, 9);
    append(&mut third, 9, 9..12);
    third.commit().unwrap();
    assert_eq!(Manifest::open(folder.path()).unwrap().state.read("topic:orders", 0).unwrap().to, 12);
}

#[test]
fn files_that_retention_drops_before_they_have_their_names_are_none_of_the_writers_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), 0);
    append(&mut writer, 0, 0..2);
    let archive = folder.path().to_path_buf();
    at("after-part", move || assert_eq!(retain_from(&archive, 1).files, 1));
    writer.commit().unwrap();
    assert_stepped();
    assert_eq!(writer.committed(), 2);
    let state = Manifest::open(folder.path()).unwrap().state;
    let [file] = &state.files[..] else { panic!("{:?}", paths(&state)) };
    assert!(folder.path().join(&file.path).exists());
    // What nobody dropped must be there.
    fs::remove_file(folder.path().join(&file.path)).unwrap();
    let error = litter::give_name(folder.path(), &file.path).unwrap_err().to_string();
    assert!(error.starts_with("cannot give its name to"), "{error}");
}

#[test]
fn a_folder_that_retention_removes_as_empty_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), 0);
    append(&mut writer, 0, 0..1);
    let archive = folder.path().to_path_buf();
    at("after-folder", move || {
        assert_eq!(retain_from(&archive, 1).files, 0);
        assert!(!archive.join("dt=2026-02-16").exists());
    });
    writer.commit().unwrap();
    assert_stepped();
    let state = Manifest::open(folder.path()).unwrap().state;
    assert!(folder.path().join(&state.files[0].path).exists());
}

#[test]
fn folders_and_files_that_another_process_removes_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    archive_of(folder.path(), 0..2);
    let days = litter::folders(folder.path(), "dt=").unwrap();
    let hours = litter::folders(&days[0], "hour=").unwrap();
    let files = litter::entries(&hours[0]).unwrap();
    assert_eq!((days.len(), hours.len(), files.len()), (1, 2, 1));
    retain_from(folder.path(), 2);
    let state = Manifest::open(folder.path()).unwrap().state;
    assert_eq!(litter::folders(&days[0], "hour=").unwrap(), Vec::<PathBuf>::new());
    assert_eq!(litter::entries(&hours[0]).unwrap(), Vec::<PathBuf>::new());
    retention::remove_dropped(&hours[0], "dt=2026-02-16/hour=00", &state, std::time::SystemTime::now()).unwrap();
    retention::remove(&files[0]).unwrap();
}

fn source(folder: &Path) -> ArchiveSource {
    let range = (Timestamp::MIN, Timestamp::MAX);
    let wanted = Wanted { range, columns: None, time_field: "timestamp".into() };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    ArchiveSource::open(folder, &wanted, &clock).unwrap()
}

#[track_caller]
fn assert_dropped(error: SourceError) {
    let SourceError::Archive { source, .. } = error else { panic!("{error}") };
    let error = source.downcast::<ArchiveError>().unwrap();
    let told = error.to_string();
    assert!(error.is_dropped() && told.contains("/hour=0") && told.contains("retention has dropped it"), "{told}");
    assert!(told.ends_with("the archive begins at '2026-02-16T03:00:00.000Z' now"), "{told}");
    assert!(error.hint().is_some_and(|hint| hint.contains("run it again")));
}

#[test]
fn a_reader_says_that_retention_has_dropped_what_it_was_about_to_read() {
    let folder = tempfile::tempdir().unwrap();
    archive_of(folder.path(), 0..4);
    let partition = PartitionId(0);
    let (mut planned, mut begun) = (source(folder.path()), source(folder.path()));
    let Ok(Polled::Deferred(deferred)) = begun.poll(partition) else { panic!("there are events") };
    retain_from(folder.path(), 3);
    assert_dropped(planned.poll(partition).unwrap_err());
    assert_dropped(deferred.read().unwrap_err());
    // What is lost though it is still named is another matter.
    let mut broken = source(folder.path());
    let state = Manifest::open(folder.path()).unwrap().state;
    fs::remove_file(folder.path().join(paths(&state)[0])).unwrap();
    let SourceError::Archive { source, .. } = broken.poll(partition).unwrap_err() else { panic!("it is an archive") };
    let told = source.to_string();
    assert!(told.starts_with("cannot open '") && told.contains("hour=03"), "{told}");
}
