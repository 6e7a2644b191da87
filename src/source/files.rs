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
use std::io::{self, PipeWriter};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
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
use crate::source::ranges::{BUFFER_ROOM, PlainFile, RangedFile};
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
    /// Where this is given, files may still be written: the last line of a plain file is left where it has no line feed and is
    /// not whole by this.
    pub whole_line: Option<fn(&[u8]) -> bool>,
}

impl FilesOptions {
    /// Blocks of 512 KiB, which stay in a core's second cache; lines of up to 1 MiB.
    pub fn new(whole_csv: WholeRecords) -> FilesOptions {
        FilesOptions { block_bytes: 512 << 10, line_bytes_max: 1 << 20, whole_csv, whole_line: None }
    }
}

/// Reads stdin, pipes and files.
pub struct FilesSource {
    names: Vec<String>,
    /// By partition: the plain files of lines.
    ranged: Vec<Option<PlainFile>>,
    lanes: Arc<Lanes<FileReader>>,
    buffers: Arc<Buffers>,
    clock: Arc<dyn Clock>,
    block_bytes: usize,
    line_bytes_max: usize,
    whole_line: Option<fn(&[u8]) -> bool>,
    /// By partition: bytes to be passed over, and those that have come from a thread.
    passed: Vec<u64>,
    /// By partition: the byte at which it seems to end.
    ends: Vec<u64>,
    come: Vec<u64>,
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
        let buffers = Arc::new(Buffers::new(block_bytes + BUFFER_ROOM, 8));
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
            whole_line: options.whole_line,
            passed: vec![0; inputs.len()],
            ends: vec![u64::MAX; inputs.len()],
            come: vec![0; inputs.len()],
            threads: Vec::new(),
            stop_files: Arc::new(AtomicBool::new(false)),
            stop_streams: Some(stop),
        };
        let mut files = 0;
        for (i, input) in inputs.iter().enumerate() {
            let partition = PartitionId(u32::try_from(i).expect("there are fewer inputs than 2^32"));
            let kept_open = i < OPEN_FILES_MAX;
            let ranged = if kept_open { PlainFile::of(input)? } else { None };
            let is_ranged = ranged.is_some();
            source.ranged.push(ranged);
            if is_ranged {
                continue;
            }
            let whole = if input.format == InputFormat::Csv { options.whole_csv } else { whole_lines };
            let whole_rest = options.whole_line.map(|is_whole| match input.format {
                InputFormat::Ndjson => is_whole,
                // A field may always go on.
                InputFormat::Csv => |_: &[u8]| false,
            });
            let line_options = LineOptions { block_bytes, line_bytes_max: options.line_bytes_max, whole, whole_rest };
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

    /// What a thread has read, without what is to be passed over. The first block comes in any case: a CSV input has its header
    /// there.
    fn poll_lane(&mut self, partition: PartitionId, passed: u64) -> Result<Polled, SourceError> {
        loop {
            let mut polled = self.lanes.poll(partition)?;
            let come = &mut self.come[partition.0 as usize];
            match &polled {
                Polled::Block(block) => *come = block.offset + block.bytes.len() as u64,
                Polled::End if *come < passed => {
                    let (name, byte) = (self.names[partition.0 as usize].clone(), *come);
                    *come = passed;
                    let source =
                        io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter since the last run");
                    return Err(SourceError::Read { name, byte, source });
                }
                _ => {}
            }
            let end = self.ends[partition.0 as usize].max(passed);
            if let Polled::Block(block) = &mut polled
                && block.offset + block.bytes.len() as u64 > end
            {
                let left = usize::try_from(end.saturating_sub(block.offset)).unwrap_or(usize::MAX);
                block.bytes.truncate(left);
                if left == 0 {
                    self.buffers.give(std::mem::take(&mut block.bytes));
                    return Ok(Polled::End);
                }
            }
            if let Polled::Block(block) = &mut polled
                && block.offset < passed
            {
                block.from =
                    usize::try_from(passed - block.offset).map_or(block.bytes.len(), |n| n.min(block.bytes.len()));
                if block.from == block.bytes.len() && block.offset > 0 {
                    self.buffers.give(std::mem::take(&mut block.bytes));
                    continue;
                }
            }
            return Ok(polled);
        }
    }

    /// Lets a partition end at this byte, behind a line: more of it is still being written. To be called before it is polled.
    pub fn stop_at(&mut self, partition: PartitionId, byte: u64) {
        self.ends[partition.0 as usize] = byte;
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

    fn seek(&mut self, partition: PartitionId, offset: u64) {
        self.passed[partition.0 as usize] = offset;
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        let index = partition.0 as usize;
        let passed = self.passed[index];
        let end = self.ends[index].max(passed);
        let Some(ranged) = &mut self.ranged[index] else { return self.poll_lane(partition, passed) };
        ranged.poll(&self.names[index], self.whole_line, |file, start, length| RangedFile {
            name: self.names[index].clone(),
            partition,
            block_bytes: self.block_bytes,
            line_bytes_max: self.line_bytes_max,
            buffers: Arc::clone(&self.buffers),
            clock: Arc::clone(&self.clock),
            file,
            start,
            length: length.min(end),
            passed,
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
        _ => unreachable!("only files and pipes are inputs of events here"),
    }
}

#[cfg(test)]
mod tests;
