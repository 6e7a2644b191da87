//! Stdout as a sink, and word of when its reader has gone.
//!
//! Written past `std::io::stdout`, whose line buffer costs a system call a row.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::sink::SinkError;
use crate::sink::descriptor::DescriptorSink;

/// Stdout. Nothing else may write there meanwhile.
pub fn open() -> Result<DescriptorSink, SinkError> {
    Ok(DescriptorSink::new("stdout".to_owned(), duplicate()?))
}

/// Calls `closed` once, on a thread of its own, when the reader of stdout has gone, so that a program which waits for input can
/// end at once instead of at its next row. Does nothing where stdout is no pipe or socket.
pub fn watch_closed(closed: impl FnOnce() + Send + 'static) -> Result<(), SinkError> {
    let descriptor = duplicate()?;
    let thread = std::thread::Builder::new().name("stdout watch".to_owned());
    let watch = move || {
        if wait_closed(&descriptor) {
            closed();
        }
    };
    thread.spawn(watch).map_err(|source| SinkError::Open { name: "stdout".to_owned(), source })?;
    Ok(())
}

fn duplicate() -> Result<File, SinkError> {
    let descriptor = io::stdout().as_fd().try_clone_to_owned();
    descriptor.map(File::from).map_err(|source| SinkError::Open { name: "stdout".to_owned(), source })
}

/// Blocks until the other end of a pipe is closed. False if that can't be told.
fn wait_closed(file: &File) -> bool {
    loop {
        // No events are asked for: errors and hang-ups are always told.
        let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: one valid entry is passed with its count.
        let ready = unsafe { libc::poll(&raw mut poll, 1, -1) };
        if ready > 0 {
            return poll.revents & (libc::POLLERR | libc::POLLHUP) != 0;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_pipe_whose_reader_goes_is_noticed_without_a_write() {
        let (reader, writer) = io::pipe().unwrap();
        let file = File::from(OwnedFd::from(writer));
        let watch = std::thread::spawn(move || wait_closed(&file));
        drop(reader);
        assert!(watch.join().unwrap());
    }
}
