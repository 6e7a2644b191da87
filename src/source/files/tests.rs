//! Files, pipes and what goes wrong with them.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::*;
use crate::source::clock::SystemClock;
use crate::source::fixture::{Random, random_text};
use crate::source::input::inputs;

fn open(paths: &[PathBuf], options: &FilesOptions) -> Result<FilesSource, SourceError> {
    let addresses: Vec<Address> = paths.iter().cloned().map(Address::Path).collect();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    FilesSource::open(&inputs(&addresses, None).unwrap(), options, &clock)
}

/// What a poll gives, read.
fn next_block(source: &mut FilesSource, partition: PartitionId) -> Result<Polled, SourceError> {
    match source.poll(partition)? {
        Polled::Unread(unread) => unread.read().map(Polled::Block),
        polled => Ok(polled),
    }
}

/// Polls a partition until its end: its blocks joined, and the error that ended it. Blocks must follow each other without a gap.
fn read_all(source: &mut FilesSource, partition: u32) -> (Vec<u8>, Option<SourceError>) {
    let mut all = Vec::new();
    let partition = PartitionId(partition);
    loop {
        match next_block(source, partition) {
            Ok(Polled::Block(block)) => {
                let place = block.offset + block.from as u64;
                let is_empty = block.from == block.bytes.len();
                assert!(block.partition == partition && (is_empty || place == all.len() as u64));
                all.extend_from_slice(&block.bytes[block.from..]);
                source.recycle(block.bytes);
            }
            Ok(Polled::Unread(_) | Polled::Deferred(_)) => unreachable!("it was read"),
            Ok(Polled::Pending) => source.wait(&[partition], None),
            Ok(Polled::End) => return (all, None),
            Err(error) => {
                assert!(matches!(source.poll(partition), Ok(Polled::End)), "an error is followed by the end");
                return (all, Some(error));
            }
        }
    }
}

fn check_file(name: &str, content: &[u8], expected: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let options = FilesOptions { block_bytes: 100, ..FilesOptions::new(whole_lines) };
    let mut source = open(&[path], &options).unwrap();
    let (read, error) = read_all(&mut source, 0);
    assert!(error.is_none(), "{name}: {error:?}");
    assert!(read == expected, "{name}: {} bytes read, {} expected", read.len(), expected.len());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn files_come_as_they_are() {
    for content in ["", "\n", "a", "a\n", "a\r\nb\r\n", "\n\n\nx", "\u{feff}a\n"] {
        check_file("a.ndjson", content.as_bytes(), content.as_bytes());
    }
    let text = random_text(&mut Random::new(1), 300_000);
    check_file("a.log", &text, &text);
}

#[test]
fn compressed_files_come_decompressed() {
    let mut random = Random::new(2);
    let (one, two) = (random_text(&mut random, 300_000), random_text(&mut random, 9_000));
    let both = [&one[..], &two].concat();
    let zstd = |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).unwrap();
    check_file("a.gz", &gzip(&one), &one);
    check_file("a.ndjson.gz", &[gzip(&one), gzip(&two)].concat(), &both);
    check_file("a.ndjson.zst", &zstd(&one), &one);
    check_file("a.zst", &[zstd(&one), zstd(&two)].concat(), &both);
    check_file("empty.gz", &gzip(b""), b"");
    check_file("empty.zst", &zstd(b""), b"");
}

/// What is left of `compressed` after a cut: whole lines, then an error that names the file and the byte.
fn check_damaged(name: &str, compressed: &[u8], original: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, compressed).unwrap();
    let mut source = open(std::slice::from_ref(&path), &FilesOptions::new(whole_lines)).unwrap();
    let (read, error) = read_all(&mut source, 0);
    let message = error.unwrap().to_string();
    assert!(message.starts_with(&format!("cannot read '{}' at byte ", path.display())), "{message}");
    assert!(!read.is_empty() && read.ends_with(b"\n") && original.starts_with(&read), "{name}: {}", read.len());
}

#[test]
fn a_damaged_file_is_an_error_after_what_could_be_read() {
    let lines: Vec<u8> = (0..200_000).flat_map(|i| format!("{{\"line\":{i}}}\n").into_bytes()).collect();
    let (gz, zst) = (gzip(&lines), zstd::stream::encode_all(&lines[..], 1).unwrap());
    check_damaged("cut.gz", &gz[..gz.len() * 2 / 3], &lines);
    check_damaged("cut.zst", &zst[..zst.len() * 2 / 3], &lines);
    check_damaged("tail.gz", &[&gz[..], b"no gzip"].concat(), &lines);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.gz");
    std::fs::write(&path, "{}\n").unwrap();
    let (read, error) = read_all(&mut open(&[path], &FilesOptions::new(whole_lines)).unwrap(), 0);
    assert!(read.is_empty() && error.is_some());
}

/// A pipe as a path, and its writing end. The reading end is to be kept until the path was opened.
fn pipe() -> (io::PipeReader, PathBuf, io::PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
    (reader, path, writer)
}

#[test]
fn a_pipe_gives_the_same_lines_as_a_file_whatever_the_pieces() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let text = random_text(&mut random, 100_000);
        let (reader, path, mut writer) = pipe();
        let options = FilesOptions { block_bytes: random.below(5000) + 1, ..FilesOptions::new(whole_lines) };
        let mut source = open(&[path], &options).unwrap();
        drop(reader);
        let written = text.clone();
        let write = std::thread::spawn(move || {
            let mut rest = &written[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((random.below(3000) + 1).min(rest.len()));
                writer.write_all(piece).unwrap();
                rest = after;
            }
        });
        let (read, error) = read_all(&mut source, 0);
        write.join().unwrap();
        assert!(error.is_none() && read == text, "seed {seed}: {error:?}, {} of {}", read.len(), text.len());
    }
}

#[test]
fn a_line_is_delivered_while_the_pipe_stays_open() {
    let (_reader, path, mut writer) = pipe();
    let mut source = open(&[path], &FilesOptions::new(whole_lines)).unwrap();
    for line in ["one\n", "two\n"] {
        writer.write_all(line.as_bytes()).unwrap();
        let block = loop {
            source.wait(&[PartitionId(0)], None);
            if let Polled::Block(block) = source.poll(PartitionId(0)).unwrap() {
                break block;
            }
        };
        assert_eq!(block.bytes, line.as_bytes());
    }
    // Dropping the source ends the thread, though the pipe stays open and silent.
    drop(source);
    drop(writer);
}

#[test]
fn a_compressed_pipe_is_decompressed() {
    let (reader, path, mut writer) = pipe();
    let input = Input { address: Address::Path(path), format: InputFormat::Ndjson, compression: Compression::Gzip };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    writer.write_all(&gzip(b"a\nb\n")).unwrap();
    drop(writer);
    let mut source = FilesSource::open(&[input], &FilesOptions::new(whole_lines), &clock).unwrap();
    drop(reader);
    assert_eq!(read_all(&mut source, 0).0, b"a\nb\n");
}

#[test]
fn a_wait_ends_by_whichever_partition_has_something_and_by_the_waker() {
    let ((_first_reader, first, _first_writer), (_reader, second, mut writer)) = (pipe(), pipe());
    let mut source = open(&[first, second], &FilesOptions::new(whole_lines)).unwrap();
    let both = [PartitionId(0), PartitionId(1)];
    writer.write_all(b"x\n").unwrap();
    source.wait(&both, None);
    assert!(matches!(source.poll(both[0]), Ok(Polled::Pending)));
    assert!(matches!(source.poll(both[1]), Ok(Polled::Block(_))));
    let waker = source.waker();
    let wake = std::thread::spawn(move || waker.wake());
    source.wait(&both, None);
    wake.join().unwrap();
    source.wait(&both, Some(Duration::from_micros(1)));
    assert!(matches!(source.poll(both[1]), Ok(Polled::Pending)));
}

#[test]
fn a_line_over_the_maximum_is_one_cut_line_from_file_and_pipe() {
    let text = [&b"a\n"[..], &[b'x'; 70_000], b"\nb\n"].concat();
    let expected = [&b"a\n"[..], &[b'x'; 1002], b"\nb\n"].concat();
    let options = FilesOptions { block_bytes: 64, line_bytes_max: 1000, whole_csv: whole_lines, whole_line: None };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.log");
    std::fs::write(&file, &text).unwrap();
    let (_reader, path, mut writer) = pipe();
    let mut source = open(&[file, path], &options).unwrap();
    let write = std::thread::spawn(move || writer.write_all(&text));
    for partition in [PartitionId(0), PartitionId(1)] {
        let (mut all, mut last) = (Vec::new(), None);
        loop {
            match next_block(&mut source, partition).unwrap() {
                Polled::Block(block) if block.from < block.bytes.len() => {
                    all.extend_from_slice(&block.bytes[block.from..]);
                    last = Some(block.offset + block.from as u64);
                }
                Polled::Block(_) => {}
                Polled::Pending => source.wait(&[partition], None),
                Polled::End => break,
                Polled::Unread(_) | Polled::Deferred(_) => unreachable!("it was read"),
            }
        }
        assert!(all == expected, "{} bytes", all.len());
        assert_eq!(last, Some(70_003));
    }
    write.join().unwrap().unwrap();
}

#[test]
fn more_files_than_may_be_open_are_read_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let line = |file: usize, line: usize| format!("file {file} line {line:04} {}\n", "x".repeat(80));
    let paths: Vec<PathBuf> = (0..OPEN_FILES_MAX + 40)
        .map(|file| {
            let path = folder.path().join(format!("{file:04}"));
            let text: String = (0..100).map(|i| line(file, i)).collect();
            std::fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let mut source = open(&paths, &FilesOptions::new(whole_lines)).unwrap();
    let mut contents = vec![Vec::new(); paths.len()];
    let mut open: Vec<PartitionId> = (0..paths.len() as u32).map(PartitionId).collect();
    while !open.is_empty() {
        source.wait(&open, None);
        open.retain(|&partition| match next_block(&mut source, partition).unwrap() {
            Polled::Block(block) => {
                contents[partition.0 as usize].extend_from_slice(&block.bytes[block.from..]);
                true
            }
            Polled::Pending => true,
            Polled::End => false,
            Polled::Unread(_) | Polled::Deferred(_) => unreachable!("it was read"),
        });
    }
    for (path, content) in paths.iter().zip(&contents) {
        assert!(*content == std::fs::read(path).unwrap(), "{}", path.display());
    }
}

#[test]
fn csv_records_are_not_cut() {
    fn whole_pairs(bytes: &[u8]) -> usize {
        let ends: Vec<usize> = memchr::memchr_iter(b'\n', bytes).map(|i| i + 1).collect();
        ends.chunks_exact(2).next_back().map_or(0, |pair| pair[1])
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "1\n2\n3\n4\n5\n6\n7").unwrap();
    let options = FilesOptions { block_bytes: 6, ..FilesOptions::new(whole_pairs) };
    let mut source = open(&[path], &options).unwrap();
    let mut blocks = Vec::new();
    loop {
        match source.poll(PartitionId(0)).unwrap() {
            Polled::Block(block) => blocks.push(String::from_utf8(block.bytes).unwrap()),
            Polled::Pending => source.wait(&[PartitionId(0)], None),
            Polled::End => break,
            Polled::Unread(_) | Polled::Deferred(_) => panic!("a file with records has no ranges"),
        }
    }
    assert_eq!(blocks, ["1\n2\n", "3\n4\n", "5\n6\n7"]);
}

#[test]
fn a_file_that_goes_away_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let input =
        Input { address: Address::Path(path.clone()), format: InputFormat::Ndjson, compression: Compression::None };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let error = FilesSource::open(&[input], &FilesOptions::new(whole_lines), &clock).err().unwrap();
    assert_eq!(error.to_string(), format!("cannot open '{}'", path.display()));
    assert!(matches!(error, SourceError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound));
}

#[test]
fn a_source_dropped_before_its_end_stops_reading() {
    let folder = tempfile::tempdir().unwrap();
    let hole = folder.path().join("hole.log");
    File::create(&hole).unwrap().set_len(1 << 36).unwrap();
    for endless in [Path::new("/dev/zero"), &hole] {
        let mut source = open(&[endless.into()], &FilesOptions::new(whole_lines)).unwrap();
        source.wait(&[PartitionId(0)], None);
        assert!(matches!(next_block(&mut source, PartitionId(0)), Ok(Polled::Block(_))));
        drop(source);
    }
    let (_reader, path, mut writer) = pipe();
    let source = open(&[path], &FilesOptions { block_bytes: 16, ..FilesOptions::new(whole_lines) }).unwrap();
    // More blocks than the queue takes: the thread waits for room.
    writer.write_all(&b"0123456789abcde\n".repeat(100)).unwrap();
    drop(source);
}
