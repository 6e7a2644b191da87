//! The bytes of one input: a plain file, a pipe or terminal, or either of them decompressed.
//!
//! Does not know lines, partitions and who waits for them.

use std::fs::File;
use std::io::{self, BufReader, PipeReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::source::input::Compression;
use crate::source::lines::{ByteReader, Patience};
use crate::source::pipe::grow_pipe;

/// Compressed bytes are read so many at a time.
const COMPRESSED_BYTES: usize = 128 * 1024;

/// A regular file, read in big pieces.
pub struct FileBytes {
    place: Place,
    file: Option<File>,
    position: u64,
    options: FileOptions,
}

/// How to treat a regular file.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Whether it stays open between two blocks. If not it is opened anew at its position, so that thousands of inputs need few
    /// descriptors.
    pub is_kept_open: bool,
    /// Set when the source is dropped: the file then seems to end.
    pub stop: Arc<AtomicBool>,
}

enum Place {
    Path(PathBuf),
    /// Stdin, redirected from a file: it can't be opened again, and may not stand at its start.
    Open,
}

impl FileBytes {
    /// The file at `path`, opened when it is first read.
    pub fn at(path: PathBuf, options: FileOptions) -> FileBytes {
        FileBytes { place: Place::Path(path), file: None, position: 0, options }
    }

    /// An open file, from where it stands.
    pub fn of_open(file: File, options: FileOptions) -> FileBytes {
        FileBytes { place: Place::Open, file: Some(file), position: 0, options }
    }

    /// Closes the file if it is not to be kept open. To be called between two blocks.
    pub fn rest(&mut self) {
        if !self.options.is_kept_open && matches!(self.place, Place::Path(_)) {
            self.file = None;
        }
    }

    /// Reads with `read`, but for signals.
    fn read_once(&mut self, mut read: impl FnMut(&File) -> io::Result<usize>) -> io::Result<usize> {
        while !self.options.stop.load(Ordering::Relaxed) {
            match read(self.open()?) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(length) => {
                    self.position += length as u64;
                    return Ok(length);
                }
            }
        }
        Ok(0)
    }

    fn open(&mut self) -> io::Result<&File> {
        if let (None, Place::Path(path)) = (&self.file, &self.place) {
            let mut file = File::open(path)?;
            if self.position > 0 {
                file.seek(SeekFrom::Start(self.position))?;
            }
            self.file = Some(file);
        }
        Ok(self.file.as_ref().expect("only a file with a path is ever closed"))
    }
}

impl ByteReader for FileBytes {
    fn read_more(&mut self, buffer: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        self.read_once(|file| read_into(file.as_raw_fd(), buffer, room))
    }
}

impl Read for FileBytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_once(|mut file| file.read(out))
    }
}

/// A pipe, terminal, socket or device: what is there is read at once, and waiting ends when the source is dropped.
pub struct StreamBytes {
    file: File,
    /// Hangs up when the source is dropped.
    stop: Arc<PipeReader>,
}

impl StreamBytes {
    /// Reads `file`, blocking or not, until its end or until the other end of `stop` is closed.
    pub fn new(file: File, stop: Arc<PipeReader>) -> StreamBytes {
        grow_pipe(file.as_fd());
        StreamBytes { file, stop }
    }

    /// Waits for bytes and reads them with `read`.
    fn read_when_ready(&mut self, mut read: impl FnMut(&File) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let mut polls = [self.file.as_raw_fd(), self.stop.as_raw_fd()].map(poll_in);
            // SAFETY: two valid entries are passed with their count.
            let ready = unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) };
            if ready < 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            if polls[1].revents != 0 {
                return Ok(0);
            }
            match read(&self.file) {
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                result => return result,
            }
        }
    }
}

impl ByteReader for StreamBytes {
    fn read_more(&mut self, buffer: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        self.read_when_ready(|file| read_into(file.as_raw_fd(), buffer, room))
    }

    fn patience(&mut self) -> Patience {
        let mut poll = poll_in(self.file.as_raw_fd());
        // SAFETY: one valid entry is passed with its count.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        if ready > 0 { Patience::Fill } else { Patience::Deliver }
    }
}

impl Read for StreamBytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_when_ready(|mut file| file.read(out))
    }
}

/// What a decoder gives.
pub struct DecodedBytes {
    decoder: Box<dyn Read + Send>,
}

impl DecodedBytes {
    /// The decompressed bytes of `reader`.
    pub fn new(reader: impl Read + Send + 'static, compression: Compression) -> io::Result<DecodedBytes> {
        let reader = BufReader::with_capacity(COMPRESSED_BYTES, reader);
        let decoder: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(reader),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        };
        Ok(DecodedBytes { decoder })
    }
}

impl ByteReader for DecodedBytes {
    fn read_more(&mut self, buffer: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        (&mut self.decoder).take(room as u64).read_to_end(buffer)
    }
}

fn poll_in(descriptor: RawFd) -> libc::pollfd {
    libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 }
}

/// One `read` of at most `room` bytes to the end of `buffer`, without the cost of clearing them first.
fn read_into(descriptor: RawFd, buffer: &mut Vec<u8>, room: usize) -> io::Result<usize> {
    append(buffer, room, |free| {
        // SAFETY: `free` is writable for its length.
        unsafe { libc::read(descriptor, free.as_mut_ptr().cast(), free.len()) }
    })
}

/// The same from place `at` of a file.
pub fn pread_into(descriptor: RawFd, buffer: &mut Vec<u8>, room: usize, at: u64) -> io::Result<usize> {
    let at = libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
    append(buffer, room, |free| {
        // SAFETY: `free` is writable for its length.
        unsafe { libc::pread(descriptor, free.as_mut_ptr().cast(), free.len(), at) }
    })
}

/// Appends what `read` writes; it returns how many bytes that were, or less than 0 where it failed.
fn append(
    buffer: &mut Vec<u8>,
    room: usize,
    read: impl FnOnce(&mut [std::mem::MaybeUninit<u8>]) -> isize,
) -> io::Result<usize> {
    buffer.reserve(room);
    let length = read(&mut buffer.spare_capacity_mut()[..room]);
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has written the first `length` bytes of the spare capacity.
    unsafe { buffer.set_len(buffer.len() + length) };
    Ok(length)
}
