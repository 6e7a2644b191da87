//! A sink over an open file descriptor: its own buffer, big writes, and a pipe asked to hold 1 MiB.
//!
//! Serves stdout and everything else that is written in place. Does not know how the descriptor was opened.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::sink::{Sink, SinkError};

/// Rows are handed on in pieces of at least this size, or when flushed.
const BUFFER_BYTES: usize = 256 * 1024;

/// What a pipe is asked to hold. It takes the place of 16 wake-ups of the other side.
const PIPE_BYTES: libc::c_int = 1 << 20;

/// Writes to an open file, pipe or terminal.
pub struct DescriptorSink {
    name: String,
    file: File,
    buffer: Vec<u8>,
}

impl DescriptorSink {
    /// A sink over `file`; `name` stands in errors.
    pub fn new(name: String, file: File) -> DescriptorSink {
        grow_pipe(file.as_fd());
        DescriptorSink { name, file, buffer: Vec::with_capacity(BUFFER_BYTES) }
    }

    fn write_through(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        write_all(&self.file, bytes).map_err(|source| SinkError::of_write(&self.name, source))
    }
}

impl Sink for DescriptorSink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.write_through(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.write_through(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        result
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.flush()
    }
}

/// Asks the kernel for a bigger buffer if `descriptor` is a pipe. The wish may be refused (a limit of the user's): then the pipe is
/// just slower.
pub fn grow_pipe(descriptor: BorrowedFd<'_>) {
    // SAFETY: the descriptor is open as long as it is borrowed, and this command takes one integer.
    unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
}

/// Writes all of `bytes`, also to a descriptor that whoever shares it has made non-blocking.
fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_writable(file.as_fd())?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_writable(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid entry is passed with its count.
    let ready = unsafe { libc::poll(&raw mut poll, 1, -1) };
    let error = io::Error::last_os_error();
    if ready < 0 && error.kind() != io::ErrorKind::Interrupted { Err(error) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    fn pipe_sink() -> (io::PipeReader, DescriptorSink) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, DescriptorSink::new("a pipe".into(), File::from(OwnedFd::from(writer))))
    }

    #[test]
    fn nothing_is_seen_before_the_flush_and_all_after_it() {
        let (mut reader, mut sink) = pipe_sink();
        sink.write(b"one\n").unwrap();
        sink.write(b"two\n").unwrap();
        assert_eq!(sink.buffer, b"one\ntwo\n");
        sink.flush().unwrap();
        let mut read = [0; 8];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one\ntwo\n");
    }

    #[test]
    fn pieces_of_any_size_arrive_in_order() {
        let (mut reader, mut sink) = pipe_sink();
        let read = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let mut expected = Vec::new();
        for (i, length) in [0, 1, 4096, BUFFER_BYTES - 1, BUFFER_BYTES, 3 * BUFFER_BYTES + 1, 7].into_iter().enumerate()
        {
            let piece = vec![b'a' + i as u8; length];
            sink.write(&piece).unwrap();
            expected.extend_from_slice(&piece);
        }
        sink.finish().unwrap();
        drop(sink);
        assert!(read.join().unwrap() == expected);
    }

    #[test]
    fn a_reader_that_has_gone_is_told_apart() {
        let (reader, mut sink) = pipe_sink();
        drop(reader);
        sink.write(b"row\n").unwrap();
        let error = sink.flush().unwrap_err();
        assert!(matches!(error, SinkError::Closed { .. }), "{error:?}");
    }

    #[test]
    fn a_full_device_is_an_error_with_its_cause() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let mut sink = DescriptorSink::new("/dev/full".into(), file);
        sink.write(b"row\n").unwrap();
        let error = sink.finish().unwrap_err();
        assert_eq!(error.to_string(), "cannot write to '/dev/full'");
        assert!(matches!(error, SinkError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull));
    }

    #[test]
    fn a_pipe_that_does_not_block_is_waited_for() {
        let (mut reader, sink) = pipe_sink();
        // SAFETY: the descriptor is open, and this command takes one integer.
        unsafe { libc::fcntl(sink.file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        let mut sink = sink;
        let writer = std::thread::spawn(move || sink.write(&vec![b'x'; 3 << 20]).map(|()| drop(sink)));
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(all.len(), 3 << 20);
    }
}
