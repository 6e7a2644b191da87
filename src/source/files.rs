//! The source of stdin, pipes and files.
//!
//! A plain file of lines is handed out in ranges, which are read where they are decoded. A pipe, terminal or device has a
//! thread of its own, which delivers what is there as soon as a line is whole. All other files (compressed ones, CSV) share a
//! few threads, which read ahead of the consumer by a bounded number of blocks.
//!
//! ```text
//!  file 0 ─── ranges ─────────────────────────┐
//!  file 1.gz ─┬─ shared threads ─┬─ lane ▣▣▣ ─┼─▶ poll(partition), wait(partitions)
//!  file 2.csv ┘                  └─ lane ▣▣  ─┤
//!  stdin ─────── its own thread ─── lane ▣   ─┘
//! ```
//!
//! Memory is bounded by a budget shared by all partitions: many inputs have smaller blocks and read less far ahead. Beyond
//! `OPEN_FILES_MAX` inputs a plain file is closed between its blocks. A compressed one can't be: its decoder stays, with its
//! descriptor and its window (gzip 32 KiB, Zstandard up to 8 MiB and more by the writer's choice).

use std::fs::File;
use std::io::{self, PipeWriter, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::partition::PartitionId;
use crate::source::address::Address;
use crate::source::buffers::Buffers;
use crate::source::bytes::{DecodedBytes, FileBytes, FileOptions, StreamBytes};
use crate::source::input::{Compression, Input, InputFormat};
use crate::source::lanes::Lanes;
use crate::source::lines::{ByteReader, LineCutter, LineOptions, WholeRecords, whole_lines};
use crate::source::ranges::{FileRanges, RangedFile};
use crate::source::{Polled, Source, SourceError, Waker};
use crate::time::Clock;

/// Plain files that are kept open between two blocks.
const OPEN_FILES_MAX: usize = 256;

/// All blocks that are read ahead, of all partitions together.
const AHEAD_BYTES: usize = 16 << 20;

/// A block is never made smaller than this, however many inputs there are.
const BLOCK_BYTES_MIN: usize = 4096;

/// Threads that regular files share.
const SHARED_THREADS_MAX: usize = 4;

/// How to read files.
#[derive(Debug, Clone, Copy)]
pub struct FilesOptions {
    /// Bytes of a block, less with many inputs and more for a longer line.
    pub block_bytes: usize,
    /// The longest line allowed, without its line feed. At most 1 GiB.
    pub line_bytes_max: usize,
    /// Where the records of a CSV input end.
    pub whole_csv: WholeRecords,
}

impl FilesOptions {
    /// 1 MiB each.
    pub fn new(whole_csv: WholeRecords) -> FilesOptions {
        FilesOptions { block_bytes: 1 << 20, line_bytes_max: 1 << 20, whole_csv }
    }
}

/// Reads stdin, pipes and files.
pub struct FilesSource {
    names: Vec<String>,
    /// By partition: the plain files of lines.
    ranged: Vec<Option<Ranged>>,
    lanes: Arc<Lanes<FileReader>>,
    buffers: Arc<Buffers>,
    clock: Arc<dyn Clock>,
    block_bytes: usize,
    line_bytes_max: usize,
    threads: Vec<JoinHandle<()>>,
    /// Stops the threads that read files.
    stop_files: Arc<AtomicBool>,
    /// Closed to stop the threads that wait for a pipe.
    stop_streams: Option<PipeWriter>,
}

impl FilesSource {
    /// Starts to read `inputs`, one partition each, in this order.
    pub fn open(inputs: &[Input], options: &FilesOptions, clock: &Arc<dyn Clock>) -> Result<FilesSource, SourceError> {
        let blocks_ahead = if inputs.len() <= 8 { 3 } else { 1 };
        let share = AHEAD_BYTES / (inputs.len().max(1) * (blocks_ahead + 1));
        let block_bytes = share.max(BLOCK_BYTES_MIN).min(options.block_bytes.max(1));
        let buffers = Arc::new(Buffers::new(block_bytes, 8));
        let no_thread = |source| SourceError::Thread { source };
        let (stopped, stop) = io::pipe().map_err(no_thread)?;
        let stopped = Arc::new(stopped);
        let mut source = FilesSource {
            names: inputs.iter().map(Input::name).collect(),
            ranged: Vec::new(),
            lanes: Arc::new(Lanes::new(inputs.len(), blocks_ahead)),
            buffers: Arc::clone(&buffers),
            clock: Arc::clone(clock),
            block_bytes,
            line_bytes_max: options.line_bytes_max,
            threads: Vec::new(),
            stop_files: Arc::new(AtomicBool::new(false)),
            stop_streams: Some(stop),
        };
        let mut files = 0;
        for (i, input) in inputs.iter().enumerate() {
            let partition = PartitionId(u32::try_from(i).expect("there are fewer inputs than 2^32"));
            let kept_open = i < OPEN_FILES_MAX;
            let ranged = if kept_open { Ranged::of(input)? } else { None };
            let is_ranged = ranged.is_some();
            source.ranged.push(ranged);
            if is_ranged {
                continue;
            }
            let whole = if input.format == InputFormat::Csv { options.whole_csv } else { whole_lines };
            let line_options = LineOptions { block_bytes, line_bytes_max: options.line_bytes_max, whole };
            let cutter = LineCutter::new(partition, line_options, Arc::clone(clock), Arc::clone(&buffers));
            let file_options = FileOptions { is_kept_open: kept_open, stop: Arc::clone(&source.stop_files) };
            match opened(input, file_options)? {
                Opened::File(bytes) => {
                    files += 1;
                    let bytes = FileReaderBytes::Unopened(bytes, input.compression);
                    source.lanes.add_job(partition, FileReader { name: input.name(), cutter, bytes });
                }
                Opened::Stream(file) => {
                    let bytes = StreamBytes::new(file, Arc::clone(&stopped));
                    let bytes: Box<dyn ByteReader + Send> = match input.compression {
                        Compression::None => Box::new(bytes),
                        compression => Box::new(
                            DecodedBytes::new(bytes, compression)
                                .map_err(|source| SourceError::Open { name: input.name(), source })?,
                        ),
                    };
                    let (lanes, name) = (Arc::clone(&source.lanes), input.name());
                    source.spawn(move || read_stream(&lanes, partition, name, cutter, bytes))?;
                }
            }
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..files.min(SHARED_THREADS_MAX).min(cores) {
            let lanes = Arc::clone(&source.lanes);
            source.spawn(move || read_files(&lanes))?;
        }
        Ok(source)
    }

    fn spawn(&mut self, work: impl FnOnce() + Send + 'static) -> Result<(), SourceError> {
        let thread = std::thread::Builder::new().name("read".to_owned());
        self.threads.push(thread.spawn(work).map_err(|source| SourceError::Thread { source })?);
        Ok(())
    }
}

impl Source for FilesSource {
    fn partitions(&self) -> usize {
        self.names.len()
    }

    fn name(&self, partition: PartitionId) -> &str {
        &self.names[partition.0 as usize]
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        let index = partition.0 as usize;
        let Some(ranged) = &mut self.ranged[index] else { return self.lanes.poll(partition) };
        ranged.poll(&self.names[index], |file, start, length| RangedFile {
            name: self.names[index].clone(),
            partition,
            block_bytes: self.block_bytes,
            line_bytes_max: self.line_bytes_max,
            buffers: Arc::clone(&self.buffers),
            clock: Arc::clone(&self.clock),
            file,
            start,
            length,
        })
    }

    fn wait(&mut self, partitions: &[PartitionId], timeout: Option<Duration>) {
        // There is always something of a ranged file.
        if !partitions.iter().any(|partition| self.ranged[partition.0 as usize].is_some()) {
            self.lanes.wait(partitions, timeout);
        }
    }

    fn waker(&self) -> Waker {
        let lanes = Arc::clone(&self.lanes);
        Waker::new(move || lanes.wake())
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        self.buffers.give(bytes);
    }
}

impl Drop for FilesSource {
    fn drop(&mut self) {
        self.lanes.close();
        self.stop_files.store(true, Ordering::Relaxed);
        self.stop_streams = None;
        for thread in self.threads.drain(..) {
            // A panic over there was reported on stderr; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

/// A plain file of lines.
enum Ranged {
    /// Opened when it is first polled.
    Path(PathBuf),
    /// Stdin, redirected from a file, from where it stands.
    Open(File),
    /// Being read.
    Ranges(FileRanges),
    Ended,
}

impl Ranged {
    /// The input as such, if it is one. A file without length may still have content, as those of `/proc` do: it is none.
    fn of(input: &Input) -> Result<Option<Ranged>, SourceError> {
        if input.compression != Compression::None || input.format == InputFormat::Csv {
            return Ok(None);
        }
        let is_plain = |metadata: std::fs::Metadata| metadata.is_file() && metadata.len() > 0;
        let failed = |source| SourceError::Open { name: input.name(), source };
        match &input.address {
            Address::Stdio => {
                let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
                Ok(is_plain(stdin.metadata().map_err(failed)?).then_some(Ranged::Open(stdin)))
            }
            Address::Path(path) => Ok(is_plain(path.metadata().map_err(failed)?).then(|| Ranged::Path(path.clone()))),
        }
    }

    /// The next range; `ranged` makes the file to be read of an open one, the place of its first byte and its length.
    fn poll(&mut self, name: &str, ranged: impl Fn(File, u64, u64) -> RangedFile) -> Result<Polled, SourceError> {
        let opened = match std::mem::replace(self, Ranged::Ended) {
            Ranged::Path(path) => File::open(&path).map(|file| (file, 0)),
            Ranged::Open(mut file) => file.stream_position().map(|start| (file, start)),
            Ranged::Ranges(ranges) => return Ok(self.next_of(ranges)),
            Ranged::Ended => return Ok(Polled::End),
        };
        let measured = opened.and_then(|(file, start)| Ok((file.metadata()?.len().saturating_sub(start), file, start)));
        let failed = |source| SourceError::Open { name: name.into(), source };
        let (length, file, start) = measured.map_err(failed)?;
        Ok(self.next_of(FileRanges::of(ranged(file, start, length))))
    }

    fn next_of(&mut self, mut ranges: FileRanges) -> Polled {
        match ranges.next() {
            Some(unread) => {
                *self = Ranged::Ranges(ranges);
                Polled::Unread(unread)
            }
            None => Polled::End,
        }
    }
}

/// An input that is read by the shared threads.
struct FileReader {
    name: String,
    cutter: LineCutter,
    bytes: FileReaderBytes,
}

enum FileReaderBytes {
    /// Not read yet: decoders are made when they are first needed.
    Unopened(FileBytes, Compression),
    Plain(FileBytes),
    Decoded(DecodedBytes),
}

impl FileReaderBytes {
    fn open(self) -> io::Result<FileReaderBytes> {
        Ok(match self {
            FileReaderBytes::Unopened(bytes, Compression::None) => FileReaderBytes::Plain(bytes),
            FileReaderBytes::Unopened(bytes, compression) => {
                FileReaderBytes::Decoded(DecodedBytes::new(bytes, compression)?)
            }
            opened => opened,
        })
    }

    fn reader(&mut self) -> &mut dyn ByteReader {
        match self {
            FileReaderBytes::Unopened(bytes, _) | FileReaderBytes::Plain(bytes) => bytes,
            FileReaderBytes::Decoded(bytes) => bytes,
        }
    }
}

/// The life of a shared thread.
fn read_files(lanes: &Lanes<FileReader>) {
    while let Some((partition, FileReader { name, mut cutter, bytes })) = lanes.take_job() {
        let mut bytes = match bytes.open() {
            Ok(bytes) => bytes,
            Err(source) => {
                lanes.end(partition, Some(SourceError::Open { name, source }));
                continue;
            }
        };
        match cutter.next_block(bytes.reader()) {
            Ok(Some(block)) => {
                if let FileReaderBytes::Plain(bytes) = &mut bytes {
                    bytes.rest();
                }
                lanes.put_job(partition, block, FileReader { name, cutter, bytes });
            }
            Ok(None) => lanes.end(partition, None),
            Err(source) => lanes.end(partition, Some(read_error(name, &cutter, source))),
        }
    }
}

/// The life of a stream's own thread.
fn read_stream(
    lanes: &Lanes<FileReader>,
    partition: PartitionId,
    name: String,
    mut cutter: LineCutter,
    mut bytes: Box<dyn ByteReader + Send>,
) {
    loop {
        match cutter.next_block(bytes.as_mut()) {
            Ok(Some(block)) => {
                if !lanes.put(partition, block) {
                    return;
                }
            }
            Ok(None) => return lanes.end(partition, None),
            Err(source) => return lanes.end(partition, Some(read_error(name, &cutter, source))),
        }
    }
}

fn read_error(name: String, cutter: &LineCutter, source: io::Error) -> SourceError {
    SourceError::Read { name, byte: cutter.bytes_read(), source }
}

enum Opened {
    File(FileBytes),
    Stream(File),
}

/// Tells what kind an input is. Regular files are opened later, when they are first read.
fn opened(input: &Input, options: FileOptions) -> Result<Opened, SourceError> {
    let failed = |source| SourceError::Open { name: input.name(), source };
    match &input.address {
        Address::Stdio => {
            let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
            let is_file = stdin.metadata().map_err(failed)?.is_file();
            Ok(if is_file { Opened::File(FileBytes::of_open(stdin, options)) } else { Opened::Stream(stdin) })
        }
        Address::Path(path) if path.metadata().map_err(failed)?.is_file() => {
            Ok(Opened::File(FileBytes::at(path.clone(), options)))
        }
        Address::Path(path) => {
            // Opening a FIFO must not wait for its writer: that waiting could not be ended.
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            Ok(Opened::Stream(File::options().read(true).custom_flags(flags).open(path).map_err(failed)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::path::Path;

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
                Ok(Polled::Unread(_)) => unreachable!("it was read"),
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
        let options = FilesOptions { block_bytes: 64, line_bytes_max: 1000, whole_csv: whole_lines };
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
                    Polled::Unread(_) => unreachable!("it was read"),
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
                Polled::Unread(_) => unreachable!("it was read"),
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
                Polled::Unread(unread) => panic!("{unread:?} is of a file with records"),
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
}
