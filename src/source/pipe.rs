//! Pipes: how much they hold.
//!
//! Serves the sources and the sinks alike, at both ends of `evgen | evwindow`.

use std::os::fd::{AsRawFd, BorrowedFd};

/// What a pipe is asked to hold: the most that an ordinary user may ask for. The usual 64 KiB mean 16 times as many changes between
/// writer and reader.
const PIPE_BYTES: libc::c_int = 1 << 20;

/// Asks the kernel for a bigger buffer if `descriptor` is a pipe. The wish may be refused (there is a limit for all pipes of a user):
/// then the pipe is just slower.
pub fn grow_pipe(descriptor: BorrowedFd<'_>) {
    // SAFETY: the descriptor is open as long as it is borrowed, and this command takes one integer.
    unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_pipe_holds_more_and_other_files_do_not_mind() {
        let (_reader, writer) = std::io::pipe().unwrap();
        // SAFETY: the descriptor is open, and this command takes no argument.
        let size = || unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
        let before = size();
        grow_pipe(writer.as_fd());
        assert!(size() >= before, "{} < {before}", size());
        let file = tempfile::tempfile().unwrap();
        grow_pipe(file.as_fd());
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}
