//! Writing an archive and reading it back, events a second on one core.
//!
//! Writing is all of it: decode the lines, gather, compress, make durable. Reading is what a source gives, before it is folded.

use std::path::Path;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use evkit::archive::form;
use evkit::archive::reader::{ArchiveSource, Wanted};
use evkit::archive::writer::{Position, Source as Archived, Stream, Writer};
use evkit::codec::ndjson::Decoder;
use evkit::codec::{TimeFrom, Wanted as Fields};
use evkit::event::Path as FieldPath;
use evkit::partition::PartitionId;
use evkit::record::Block;
use evkit::source::clock::SystemClock;
use evkit::source::{Delivered, Polled, Source};
use evkit::time::{Clock, TimeFormat, Timestamp};

const EVENTS: u64 = 200_000;
const BLOCK_BYTES: usize = 512 << 10;

fn main() {
    divan::main();
}

/// Events that evgen made, in blocks of whole lines.
fn blocks() -> Vec<Vec<u8>> {
    let evgen = std::env::var_os("CARGO_BIN_EXE_evgen").unwrap_or_else(|| env!("CARGO_BIN_EXE_evgen").into());
    let count = EVENTS.to_string();
    let made = std::process::Command::new(evgen).args(["-n", &count, "--seed", "1", "-q"]).output();
    let text = made.expect("evgen runs").stdout;
    let mut blocks = vec![Vec::new()];
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if blocks.last().is_some_and(|block: &Vec<u8>| block.len() >= BLOCK_BYTES) {
            blocks.push(Vec::new());
        }
        blocks.last_mut().expect("there is one").extend_from_slice(line);
    }
    blocks
}

fn decoder() -> Decoder {
    let path = FieldPath::of_keys(&["timestamp"]);
    let time = TimeFrom::Field { path, format: TimeFormat::Auto };
    Decoder::new(&Fields { paths: form::paths(), time }, 1 << 20)
}

fn write_all(folder: &Path, blocks: &[Vec<u8>]) {
    let source = Archived {
        id: "file:1".into(),
        name: "events".into(),
        time_field: "timestamp".into(),
        identity: None,
        topic: None,
    };
    let stream = Stream { source: 0, partition: 0, start: Position::default() };
    let mut writer =
        Writer::open(folder, |_| (vec![source], vec![stream]), |_| {}).expect("the archive can be written");
    let mut decoder = decoder();
    let mut offset = 0;
    for bytes in blocks {
        let (partition, arrival) = (PartitionId(0), Timestamp(0));
        let bytes = bytes.clone();
        let next = offset + bytes.len() as u64;
        let batch = decoder.decode(Block { partition, offset, from: 0, arrival, stamps: None, bytes });
        offset = next;
        writer.append(0, &batch, Position { offset, lines: 0 }, Timestamp(0));
        if writer.is_full() {
            writer.commit().expect("the archive can be written");
        }
    }
    writer.commit().expect("the archive can be written");
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn write(bencher: Bencher) {
    let blocks = blocks();
    bencher.counter(ItemsCount::new(EVENTS)).with_inputs(|| tempfile::tempdir().expect("there is room")).bench_values(
        |folder| {
            write_all(folder.path(), &blocks);
            folder
        },
    );
}

fn read(bencher: Bencher, columns: Option<Vec<usize>>) {
    let folder = tempfile::tempdir().expect("there is room");
    write_all(folder.path(), &blocks());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let range = (Timestamp::MIN, Timestamp::MAX);
        let wanted = Wanted { range, columns: columns.clone(), time_field: "timestamp".into() };
        let mut source = ArchiveSource::open(folder.path(), &wanted, &clock).expect("the archive can be read");
        let mut decoder = decoder();
        let mut events = 0;
        while let Polled::Deferred(deferred) = source.poll(PartitionId(0)).expect("the archive can be read") {
            events += match deferred.read().expect("the archive can be read") {
                Delivered::Block(block) => decoder.decode(block).rows(),
                Delivered::Batch(batch) => batch.rows(),
            };
        }
        assert_eq!(events as u64, EVENTS);
    });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn read_two_columns(bencher: Bencher) {
    // event_type and user_id.
    read(bencher, Some(vec![1, 2]));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn read_lines(bencher: Bencher) {
    read(bencher, None);
}
