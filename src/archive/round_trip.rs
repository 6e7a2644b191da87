//! Tests of the archive as a whole: what is written is read back, whatever is left out on the way and whoever is killed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration as WallDuration, SystemTime};

use super::*;
use crate::archive::manifest::{Manifest, State};
use crate::archive::reader::{ArchiveSource, Wanted};
use crate::archive::writer::{Position, Source as Archived, Stream, Writer};
use crate::batch::{EventBatch, Tag, slot_str};
use crate::codec::ndjson::Decoder;
use crate::codec::{TimeFrom, Wanted as Fields};
use crate::event::Path as FieldPath;
use crate::generate::random::Random;
use crate::partition::PartitionId;
use crate::record::{Block, Stamp};
use crate::source::clock::ManualClock;
use crate::source::{Delivered, Polled, Source};
use crate::time::{Clock, Duration, TimeFormat, parse_rfc3339};

const HOURS: i64 = HOUR;
const DAY: i64 = 24 * HOUR;
/// 2026-02-16T00:00:00Z.
const BEGIN: i64 = 1_771_200_000_000_000;

fn decoder() -> Decoder {
    let path = FieldPath::of_keys(&["timestamp"]);
    let time = TimeFrom::Field { path, format: TimeFormat::Auto };
    Decoder::new(&Fields { paths: form::paths(), time }, 1 << 20)
}

/// Lines as records from `offset` on.
fn batch(partition: u32, offset: u64, lines: &[String]) -> EventBatch {
    let stamp = |number| Stamp { offset: offset + number, time: Timestamp(0), seen_until: Timestamp::MIN };
    let stamps: Vec<Stamp> = (0..lines.len() as u64).map(stamp).collect();
    let bytes = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    let (partition, arrival) = (PartitionId(partition), Timestamp(0));
    let batch = decoder().decode(Block { partition, offset, from: 0, arrival, stamps: Some(stamps.into()), bytes });
    assert_eq!(batch.rejects, [], "the test's own lines are events");
    batch
}

/// A topic that is archived.
pub(in crate::archive) fn orders() -> Archived {
    Archived {
        id: "topic:orders".into(),
        name: "orders".into(),
        time_field: "timestamp".into(),
        identity: None,
        topic: None,
    }
}

fn topic(partitions: i32) -> impl FnOnce(&State) -> (Vec<Archived>, Vec<Stream>) {
    move |_| {
        let stream = |partition| Stream { source: 0, partition, start: Position::default() };
        (vec![orders()], (0..partitions).map(stream).collect())
    }
}

fn writer(folder: &Path, partitions: i32) -> Writer {
    Writer::open(folder, topic(partitions), |_| {}).unwrap()
}

fn append(writer: &mut Writer, partition: u32, offset: u64, lines: &[String]) {
    let batch = batch(partition, offset, lines);
    let next = offset + lines.len() as u64;
    writer.append(partition as usize, &batch, Position { offset: next, lines: next }, Timestamp(0));
}

fn event(number: u64, time: i64) -> String {
    let time = Timestamp(time);
    format!(
        r#"{{"event_id":"e{number}","event_type":"t{}","timestamp":"{time}","user_id":"u{}"}}"#,
        number % 3,
        number % 7
    )
}

/// An event as it was read back.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    partition: String,
    offset: u64,
    time: i64,
    seen_until: i64,
    /// The line, or the columns that were asked for.
    text: String,
}

fn read(folder: &Path, range: (i64, i64), columns: Option<Vec<usize>>) -> Vec<Found> {
    let range = (Timestamp(range.0), Timestamp(range.1));
    let wanted = Wanted { range, columns, time_field: "timestamp".into() };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    let mut source = ArchiveSource::open(folder, &wanted, &clock).unwrap();
    let mut found = Vec::new();
    for partition in (0..source.partitions() as u32).map(PartitionId) {
        let name = source.name(partition).rsplit_once('[').unwrap().1.to_owned();
        loop {
            let batch = match source.poll(partition).unwrap() {
                Polled::Deferred(deferred) => match deferred.read().unwrap() {
                    Delivered::Block(block) => {
                        let mut batch = decoder().decode(block);
                        batch.columns.clear();
                        batch
                    }
                    Delivered::Batch(batch) => *batch,
                },
                Polled::End => break,
                other => panic!("an archive gives units, not {other:?}"),
            };
            let stamps = batch.stamps.clone().unwrap();
            found.extend((0..batch.rows()).map(|row| {
                let span = batch.spans[row];
                let cell = |column: &crate::batch::Column| match column.tags[row] {
                    Tag::Text => format!("{:?}", slot_str(&batch.text, column.bits[row])),
                    tag => format!("{tag:?}"),
                };
                let text = match batch.columns.is_empty() {
                    true => String::from_utf8(batch.text[span.start as usize..][..span.len as usize].to_vec()).unwrap(),
                    false => batch.columns.iter().map(cell).collect::<Vec<_>>().join(" "),
                };
                Found {
                    partition: name.clone(),
                    offset: batch.place(row),
                    time: batch.times[row].0,
                    seen_until: stamps[span.line as usize].seen_until.0,
                    text,
                }
            }));
        }
    }
    found
}

#[test]
fn awkward_events_come_back_byte_for_byte() {
    let time = "2026-02-16T10:30:00.123456Z";
    let lines: Vec<String> = [
        format!(r#"{{"timestamp":"{time}"}}"#),
        format!(r#"  {{ "timestamp" : "{time}" , "user_id" : null }}  "#),
        format!(r#"{{"timestamp":"{time}","user_id":"a\u00e9\n\"\\\ud83d\ude00","event_id":"ü"}}"#),
        format!(r#"{{"timestamp":"{time}","user_id":"","session_id":"s","device_id":"d","event_type":"t"}}"#),
        format!(r#"{{"timestamp":"{time}","deep":{{"a":[1,2.5,{{"b":null}}],"user_id":"not this"}},"x":1e300}}"#),
        r#"{"timestamp":1771237800123}"#.to_owned(),
        r#"{"timestamp":"0000-01-01T00:00:00Z"}"#.to_owned(),
        r#"{"timestamp":"9999-12-31T23:59:59.999999Z"}"#.to_owned(),
        r#"{"timestamp":"1969-12-31T23:59:59.999Z"}"#.to_owned(),
    ]
    .into();
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), 1);
    append(&mut writer, 0, 40, &lines);
    writer.commit().unwrap();
    let found = read(folder.path(), (i64::MIN, i64::MAX), None);
    assert_eq!(found.iter().map(|event| event.text.clone()).collect::<Vec<_>>(), lines);
    assert_eq!(found.iter().map(|event| event.offset).collect::<Vec<_>>(), (40..49).collect::<Vec<_>>());
    let columns = read(folder.path(), (i64::MIN, i64::MAX), Some(vec![2, 0]));
    assert_eq!(columns[2].text, r#""aé\n\"\\😀" "ü""#);
    assert_eq!(columns[3].text, r#""" Null"#);
    assert_eq!(columns[1].text, "Null Null");
}

#[test]
fn a_column_that_lost_something_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), 1);
    let odd = r#"{"timestamp":"2026-02-16T10:30:00Z","user_id":7,"event_id":"e"}"#.to_owned();
    append(&mut writer, 0, 0, std::slice::from_ref(&odd));
    writer.commit().unwrap();
    let all = (i64::MIN, i64::MAX);
    assert_eq!(read(folder.path(), all, Some(vec![2]))[0].text, odd, "the line is read in place of the column");
    assert_eq!(read(folder.path(), all, Some(vec![0]))[0].text, r#""e""#);
}

/// Events of random times in random parts, and what is read of random spans: the same as everything, less what lies outside.
#[test]
fn what_is_left_out_changes_nothing_else() {
    for seed in 0..12 {
        let mut random = Random::new(seed, 0);
        let folder = tempfile::tempdir().unwrap();
        let partitions = 1 + random.below(3);
        let mut written = writer(folder.path(), partitions as i32);
        let mut offsets = vec![0; partitions as usize];
        let mut expected: Vec<Found> = Vec::new();
        let mut seen = vec![i64::MIN; partitions as usize];
        // Some streams have as many events as a row group, so that there are several stretches.
        let count = [30, 400, 6000][random.below(3) as usize];
        for step in 0..6 {
            let partition = random.below(partitions);
            let lane = partition as usize;
            let times: Vec<i64> = (0..random.below(count))
                .map(|_| BEGIN + step * HOURS + i64::from(random.below(7200)) * 1_000_000)
                .collect();
            let first = offsets[lane];
            let lines: Vec<String> = (first..).zip(&times).map(|(number, &time)| event(number, time)).collect();
            for ((offset, &time), text) in (first..).zip(&times).zip(&lines) {
                let (partition, seen_until) = (format!("orders {partition}]"), seen[lane]);
                expected.push(Found { partition, offset, time, seen_until, text: text.clone() });
                seen[lane] = seen[lane].max(time);
            }
            append(&mut written, partition, first, &lines);
            offsets[lane] += lines.len() as u64;
            if random.below(2) == 0 {
                written.commit().unwrap();
            }
            if random.below(4) == 0 {
                // What was not committed is read again by the next one.
                let next: Vec<u64> =
                    { writer(folder.path(), partitions as i32).positions().map(|p| p.offset).collect() };
                assert!(next.iter().zip(&offsets).all(|(next, offset)| next <= offset), "seed {seed}");
            }
        }
        written.commit().unwrap();
        expected.sort_by(|a, b| (&a.partition, a.offset).cmp(&(&b.partition, b.offset)));
        for _ in 0..6 {
            let start = BEGIN + i64::from(random.below(10 * 3600)) * 1_000_000;
            let end = start + i64::from(random.below(4 * 3600)) * 1_000_000;
            let within = expected.iter().filter(|event| start <= event.time && event.time < end).cloned();
            let found = read(folder.path(), (start, end), None);
            assert!(found == within.clone().collect::<Vec<_>>(), "seed {seed}: events from {start} to {end}");
            let ids = read(folder.path(), (start, end), Some(vec![0]));
            let texts: Vec<String> = within.map(|event| format!("\"e{}\"", event.offset)).collect();
            assert!(ids.iter().map(|event| event.text.clone()).eq(texts), "seed {seed}: ids from {start} to {end}");
        }
    }
}

/// One commit with so many events of two hours by turns that they are read in several parts: each takes offsets of both files.
#[test]
fn what_was_committed_at_once_is_read_in_parts_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), 2);
    let time = |number: u64| BEGIN + (number % 5 / 4) as i64 * HOURS + number as i64 * 10_000;
    let lines: Vec<String> = (0..45_000).map(|number| event(number, time(number))).collect();
    append(&mut writer, 0, 0, &lines[..100]);
    append(&mut writer, 1, 0, &lines);
    append(&mut writer, 0, 100, &lines[100..200]);
    writer.commit().unwrap();
    assert_eq!(Manifest::open(folder.path()).unwrap().state.number, 1);
    let check = |range: (i64, i64), units_least: usize| {
        let offsets = |partition: u32| -> Vec<u64> {
            let count = if partition == 0 { 200 } else { 45_000 };
            (0..count).filter(|&number| range.0 <= time(number) && time(number) < range.1).collect()
        };
        for columns in [None, Some(vec![0])] {
            let found = read(folder.path(), range, columns);
            for partition in 0..2 {
                let name = format!("orders {partition}]");
                let of_partition = found.iter().filter(|event| event.partition == name).map(|event| event.offset);
                assert!(of_partition.eq(offsets(partition)), "partition {partition} from {} to {}", range.0, range.1);
            }
        }
        assert!(units(folder.path(), range) >= units_least, "{} parts", units(folder.path(), range));
    };
    check((i64::MIN, i64::MAX), 4);
    check((BEGIN, BEGIN + HOURS), 3);
    check((BEGIN + HOURS, BEGIN + 2 * HOURS), 2);
    check((BEGIN + HOURS + 100_000_000, BEGIN + HOURS + 300_000_000), 1);
}

/// In how many parts a span is read.
fn units(folder: &Path, range: (i64, i64)) -> usize {
    let wanted =
        Wanted { range: (Timestamp(range.0), Timestamp(range.1)), columns: None, time_field: "timestamp".into() };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    let mut source = ArchiveSource::open(folder, &wanted, &clock).unwrap();
    let partitions: Vec<PartitionId> = (0..source.partitions() as u32).map(PartitionId).collect();
    let mut of = |partition| {
        std::iter::from_fn(|| match source.poll(partition).unwrap() {
            Polled::End => None,
            unit => Some(unit),
        })
        .count()
    };
    partitions.into_iter().map(&mut of).sum()
}

#[test]
fn of_two_writers_of_the_same_the_first_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, mut second) = (writer(folder.path(), 1), writer(folder.path(), 1));
    let lines: Vec<String> = (0..10).map(|number| event(number, BEGIN)).collect();
    append(&mut second, 0, 0, &lines);
    append(&mut first, 0, 0, &lines[..4]);
    first.commit().unwrap();
    let error = second.commit().unwrap_err();
    assert!(error.is_overtaken(), "{error}");
    assert!(error.to_string().contains("'orders'"), "{error}");
    assert_eq!(read(folder.path(), (i64::MIN, i64::MAX), None).len(), 4);
    // A third one goes on where the first ended, and passes over what is there.
    let mut third = writer(folder.path(), 1);
    assert_eq!(third.positions().collect::<Vec<_>>(), [Position { offset: 4, lines: 4 }]);
    append(&mut third, 0, 0, &lines);
    third.commit().unwrap();
    let found = read(folder.path(), (i64::MIN, i64::MAX), None);
    assert_eq!(found.iter().map(|event| event.offset).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[test]
fn litter_is_cleared_and_what_is_named_gets_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), 1);
    append(&mut writer, 0, 0, &[event(0, BEGIN)]);
    writer.commit().unwrap();
    let state = Manifest::open(folder.path()).unwrap().state;
    let named = folder.path().join(&state.files[0].path);
    std::fs::rename(&named, litter::unnamed(&named)).unwrap();
    assert_eq!(read(folder.path(), (i64::MIN, i64::MAX), None).len(), 1, "a reader knows both names");
    let stray = named.with_file_name(".orders-0123456789abcdef.parquet.part");
    std::fs::write(&stray, "x").unwrap();
    let foreign = ["notes.txt", "theirs.parquet", ".theirs.parquet.part"].map(|name| named.with_file_name(name));
    foreign.iter().for_each(|path| std::fs::write(path, "x").unwrap());
    let unput = folder.path().join("manifest/.part-Ab12cd");
    std::fs::write(&unput, "x").unwrap();
    litter::clear(folder.path(), &state, SystemTime::now()).unwrap();
    assert!(named.exists() && stray.exists() && unput.exists(), "a writer at work is left alone");
    litter::clear(folder.path(), &state, SystemTime::now() + WallDuration::from_secs(2 * 3600)).unwrap();
    assert!(named.exists() && !stray.exists() && !unput.exists());
    assert_eq!(Manifest::open(folder.path()).unwrap().state, state);
    assert!(foreign.iter().all(|path| path.exists()), "what somebody else has put there is left");
}

#[test]
fn old_hours_are_dropped_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), 1);
    let lines: Vec<String> = (0..48).map(|hour| event(hour, BEGIN + hour as i64 * HOURS)).collect();
    append(&mut writer, 0, 0, &lines);
    writer.commit().unwrap();
    let now = Timestamp(BEGIN + 2 * DAY + HOURS / 2);
    let dropped = retention::retain(folder.path(), Duration(DAY), now).unwrap();
    assert_eq!((dropped.files, dropped.rows), (24, 24));
    assert_eq!(dropped.kept_from, Some(Timestamp(BEGIN + DAY)));
    assert_eq!(read(folder.path(), (i64::MIN, i64::MAX), None).len(), 24);
    assert!(!folder.path().join("dt=2026-02-16").exists());
    // Run again, nothing is left to do; and the writer goes on.
    assert_eq!(retention::retain(folder.path(), Duration(DAY), now).unwrap().files, 0);
    append(&mut writer, 0, 48, &[event(48, BEGIN + DAY)]);
    writer.commit().unwrap();
    assert_eq!(read(folder.path(), (i64::MIN, i64::MAX), None).len(), 25);
}

#[test]
fn time_is_told_by_one_field() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path(), 1);
    append(&mut writer, 0, 0, &[event(0, BEGIN)]);
    writer.commit().unwrap();
    let range = (Timestamp::MIN, Timestamp::MAX);
    let wanted = Wanted { range, columns: None, time_field: "at".into() };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    let error = ArchiveSource::open(folder.path(), &wanted, &clock).err().unwrap();
    assert!(error.to_string().contains("by the field 'timestamp', not by 'at'"), "{error}");
    assert_eq!(parse_rfc3339(b"2026-02-16T00:00:00Z").unwrap(), Timestamp(BEGIN));
}

#[test]
fn what_is_read_together_is_of_one_time_field_and_one_topic() {
    let folder = tempfile::tempdir().unwrap();
    for (id, name, time_field, hour) in [
        ("topic:orders", "orders", "timestamp", 0),
        ("topic:views", "views", "at", 1),
        ("topic:clicks", "clicks", "timestamp", 2),
        ("file:1", "log.ndjson", "timestamp", 2),
    ] {
        let source =
            Archived { id: id.into(), name: name.into(), time_field: time_field.into(), identity: None, topic: None };
        let stream = Stream { source: 0, partition: 0, start: Position::default() };
        let mut writer = Writer::open(folder.path(), |_| (vec![source], vec![stream]), |_| {}).unwrap();
        append(&mut writer, 0, 0, &[event(0, BEGIN + hour * HOURS)]);
        writer.commit().unwrap();
    }
    let open = |from: i64, to: i64| {
        let range = (Timestamp(BEGIN + from * HOURS), Timestamp(BEGIN + to * HOURS));
        let wanted = Wanted { range, columns: None, time_field: "timestamp".into() };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
        ArchiveSource::open(folder.path(), &wanted, &clock).map(|source| source.partitions())
    };
    assert_eq!(open(0, 1).unwrap(), 1);
    assert_eq!(open(2, 3).unwrap(), 2, "a file may stand beside a topic");
    let error = open(1, 2).unwrap_err().to_string();
    assert!(error.contains("time of 'views' by the field 'at'"), "{error}");
    let mut manifest = Manifest::open(folder.path()).unwrap();
    let of_views = manifest.state.files.iter().find(|file| file.source == "topic:views").unwrap().path.clone();
    let part = manifest::Part { removed: vec![of_views], ..manifest::Part::default() };
    assert!(matches!(manifest.put(part, |_| true), Ok(manifest::Put::There { synced: Ok(()) })));
    let error = open(0, 3).unwrap_err().to_string();
    assert!(error.ends_with("it has events of the topics 'clicks', 'orders'"), "{error}");
}

#[test]
fn what_a_part_names_stays_though_the_part_can_not_be_made_durable() {
    let folder = tempfile::tempdir().unwrap();
    let mut failing = writer(folder.path(), 1);
    failing.manifest.sync = |path| Err(ArchiveError::io("make durable", path)(io::ErrorKind::Other.into()));
    append(&mut failing, 0, 0, &[event(0, BEGIN), event(1, BEGIN + HOURS)]);
    let error = failing.commit().unwrap_err().to_string();
    assert!(error.starts_with("cannot make durable"), "{error}");
    let state = Manifest::open(folder.path()).unwrap().state;
    assert_eq!(state.files.len(), 2);
    assert!(state.files.iter().all(|file| litter::open_named(folder.path(), &file.path).is_ok()));
    // The next writer goes on behind it.
    let next = writer(folder.path(), 1);
    assert_eq!(next.positions().collect::<Vec<_>>(), [Position { offset: 2, lines: 2 }]);
}

#[test]
fn it_is_known_where_the_archive_begins_and_where_something_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let known = || {
        let state = Manifest::open(folder.path()).unwrap().state;
        (state.kept_from_us.map(|time| time - BEGIN), state.torn_us.map(|time| time - BEGIN))
    };
    let mut first = writer(folder.path(), 2);
    append(&mut first, 0, 0, &[event(0, BEGIN + 7), event(1, BEGIN + 3)]);
    append(&mut first, 1, 0, &[event(2, BEGIN + 5)]);
    first.commit().unwrap();
    assert_eq!(known(), (Some(5), None));
    append(&mut first, 1, 1, &[event(3, BEGIN + 2)]);
    first.commit().unwrap();
    assert_eq!(known(), (Some(5), None));
    // Passed over, and killed before anything came behind it.
    let mut second = writer(folder.path(), 2);
    second.pass_over(0, 9);
    second.commit().unwrap();
    drop(second);
    let mut third = writer(folder.path(), 2);
    append(&mut third, 0, 9, &[event(4, BEGIN + 20), event(5, BEGIN + 30)]);
    third.commit().unwrap();
    assert_eq!(known(), (Some(5), Some(20)));
    super::retention::retain(folder.path(), Duration(0), Timestamp(BEGIN + 2 * HOURS)).unwrap();
    assert_eq!(known(), (Some(2 * HOURS), Some(20)));
}
