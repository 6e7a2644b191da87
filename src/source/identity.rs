//! What tells a file from others: how what it holds begins, decompressed.
//!
//! A name does not: logs are rotated, and then compressed. Nor does the number that the file system gives it: files are copied,
//! and numbers used again. Events carry ids and times, so two files of events do not begin with the same thousand bytes. Knows
//! nothing of what a file holds.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::source::address::Address;
use crate::source::bytes::{DecodedBytes, FileBytes, FileOptions};
use crate::source::input::Input;
use crate::source::lines::ByteReader;

/// So many bytes of a file are looked at.
const HEAD_BYTES: usize = 1024;

/// How a file begins: of so many bytes, what they hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// At most `HEAD_BYTES`: fewer where it had no more.
    pub bytes: u64,
    /// Their rapidhash V3, which has one value on all machines.
    pub hash: u64,
}

/// The beginning of a file.
#[derive(Debug, Clone)]
pub struct Head(Vec<u8>);

impl Head {
    /// Reads it. `None` for what can't be read twice: stdin, pipes, devices.
    pub fn of(input: &Input) -> io::Result<Option<Head>> {
        let path = match &input.address {
            Address::Path(path) if path.metadata()?.is_file() => path.clone(),
            _ => return Ok(None),
        };
        let options = FileOptions { is_kept_open: true, stop: Arc::new(AtomicBool::new(false)) };
        let mut bytes = DecodedBytes::new(FileBytes::at(path, options), input.compression)?;
        let mut head = Vec::new();
        match read_all(&mut bytes, &mut head) {
            // A compressed file that is cut off has a beginning all the same; whoever reads it on will say so.
            Err(error) if head.is_empty() && error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(Some(Head(head))),
        }
    }

    /// That of an open plain file, wherever it stands.
    pub fn of_open(file: &File) -> io::Result<Head> {
        let mut head = vec![0; HEAD_BYTES];
        let mut length = 0;
        loop {
            match file.read_at(&mut head[length..], length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        head.truncate(length);
        Ok(Head(head))
    }

    /// That of something that is known by a name of its own. No name may be the beginning of another.
    pub fn named(name: &str) -> Head {
        Head(name.as_bytes().to_vec())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the file is known by from now on.
    pub fn identity(&self) -> Identity {
        Identity { bytes: self.0.len() as u64, hash: rapidhash::v3::rapidhash_v3(&self.0) }
    }

    /// Whether this is the beginning of a file that was known by this, and may have grown.
    pub fn is_of(&self, identity: Identity) -> bool {
        let begin = usize::try_from(identity.bytes).ok().and_then(|bytes| self.0.get(..bytes));
        begin.is_some_and(|begin| rapidhash::v3::rapidhash_v3(begin) == identity.hash)
    }
}

fn read_all(bytes: &mut dyn ByteReader, head: &mut Vec<u8>) -> io::Result<()> {
    while head.len() < HEAD_BYTES && bytes.read_more(head, HEAD_BYTES - head.len())? > 0 {}
    Ok(())
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
        let head = || Head::of(&input(&path)).unwrap().expect("a regular file has a head");
        let identity = head().identity();
        std::fs::write(&path, after).unwrap();
        assert_eq!(head().is_of(identity), expected, "{before:?}, then {after:?}");
    }

    #[test]
    fn a_file_is_the_same_as_long_as_it_begins_the_same() {
        check("a\n", "a\nb\n", true);
        check("", "a\n", true);
        check("a\nb\n", "a\n", false);
        check("a\n", "b\n", false);
        let long = "x".repeat(HEAD_BYTES);
        check(&format!("{long}a"), &format!("{long}b"), true);
    }

    #[test]
    fn what_can_be_read_only_once_has_no_head() {
        let stdin = Input { address: Address::Stdio, ..input("x".as_ref()) };
        assert!(Head::of(&stdin).unwrap().is_none());
        assert!(Head::of(&input("/dev/null".as_ref())).unwrap().is_none());
    }
}
