//! What tells a file from others: how it begins.
//!
//! A name does not: logs are rotated. Nor does the number that the file system gives it: files are copied, and numbers used
//! again. Events carry ids and times, so two files of events do not begin with the same thousand bytes. Knows nothing of what
//! a file holds.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::source::address::Address;
use crate::source::input::Input;

/// So many bytes of a file are compared, compressed ones as they are.
const HEAD_BYTES: u64 = 1024;

/// How a file begins. `None` for what can't be read twice: stdin, pipes, devices.
pub fn head_of(input: &Input) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = regular(input)? else { return Ok(None) };
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(Some(head))
}

/// Whether a file begins as one did that had this head, and is at least this long.
pub fn begins_with(input: &Input, head: &[u8]) -> io::Result<bool> {
    let Some(file) = regular(input)? else { return Ok(false) };
    let mut found = vec![0; head.len()];
    match file.read_exact_at(&mut found, 0) {
        Ok(()) => Ok(found == head),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn regular(input: &Input) -> io::Result<Option<File>> {
    match &input.address {
        Address::Path(path) if path.metadata()?.is_file() => File::open(path).map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::input::{Compression, InputFormat};

    fn input(path: &std::path::Path) -> Input {
        Input { address: Address::Path(path.into()), format: InputFormat::Ndjson, compression: Compression::None }
    }

    /// A file that began as `before` is `after` now: whether it is taken for the same.
    #[track_caller]
    fn check(before: &str, after: &str, expected: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        std::fs::write(&path, before).unwrap();
        let head = head_of(&input(&path)).unwrap().expect("a regular file has a head");
        std::fs::write(&path, after).unwrap();
        assert_eq!(begins_with(&input(&path), &head).unwrap(), expected, "{before:?}, then {after:?}");
    }

    #[test]
    fn a_file_is_the_same_as_long_as_it_begins_the_same() {
        check("a\n", "a\nb\n", true);
        check("", "a\n", true);
        check("a\nb\n", "a\n", false);
        check("a\n", "b\n", false);
        let long = "x".repeat(HEAD_BYTES as usize);
        check(&format!("{long}a"), &format!("{long}b"), true);
    }

    #[test]
    fn what_can_be_read_only_once_has_no_head() {
        let stdin = Input { address: Address::Stdio, ..input("x".as_ref()) };
        assert_eq!(head_of(&stdin).unwrap(), None);
        assert_eq!(head_of(&input("/dev/null".as_ref())).unwrap(), None);
    }
}
