//! A file of lines that runs append to, one after the other, and that is cut back to where the last one was committed.
//!
//! One process writes to it at a time: an advisory lock on it says so, which the kernel gives back however a process ends. Does not
//! know what is committed.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::sink::descriptor::DescriptorSink;
use crate::sink::{Sink, SinkError};

/// The file, open and locked until this is dropped.
#[derive(Debug)]
pub struct Appended {
    path: PathBuf,
    file: File,
    /// So many bytes of it are on the disk for sure.
    synced: Option<u64>,
}

impl Appended {
    /// Opens the file at `path`, or makes it. Refused while another process writes to it in this way.
    pub fn open(path: &Path) -> Result<Appended, SinkError> {
        let name = || path.display().to_string();
        let failed = |source| SinkError::Open { name: name(), source };
        let file = File::options().read(true).append(true).create(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SinkError::Taken { name: name() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Another folder is no reason to take it for another file.
        let path = path.canonicalize().map_err(failed)?;
        Ok(Appended { path, file, synced: None })
    }

    /// Its path from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is, to be looked at.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes that it has.
    pub fn bytes(&self) -> Result<u64, SinkError> {
        Ok(self.file.metadata().map_err(|source| self.unwritten(source))?.len())
    }

    /// Drops what stands behind so many bytes.
    pub fn cut(&self, bytes: u64) -> Result<(), SinkError> {
        self.file.set_len(bytes).map_err(|source| self.unwritten(source))
    }

    /// Makes sure that what was written is on the disk. Gives how many bytes the file has.
    pub fn sync(&mut self) -> Result<u64, SinkError> {
        let bytes = self.bytes()?;
        if self.synced != Some(bytes) {
            self.file.sync_data().map_err(|source| self.unwritten(source))?;
            self.synced = Some(bytes);
        }
        Ok(bytes)
    }

    /// Writes to its end.
    pub fn sink(&self) -> Result<Box<dyn Sink>, SinkError> {
        let file = self.file.try_clone().map_err(|source| self.unwritten(source))?;
        Ok(Box::new(DescriptorSink::new(self.path.display().to_string(), file)))
    }

    fn unwritten(&self, source: io::Error) -> SinkError {
        SinkError::Write { name: self.path.display().to_string(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_place_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late.ndjson");
        for (place, expected) in [(0, "a\n"), (2, "a\na\n"), (2, "a\na\n"), (4, "a\na\na\n")] {
            let mut appended = Appended::open(&path).unwrap();
            appended.cut(place).unwrap();
            let mut sink = appended.sink().unwrap();
            sink.write(b"a\n").unwrap();
            sink.finish().unwrap();
            assert_eq!(appended.sync().unwrap(), expected.len() as u64);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
    }

    #[test]
    fn one_writes_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late.ndjson");
        let first = Appended::open(&path).unwrap();
        let error = Appended::open(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot write to '{}': another process is writing to it", path.display())
        );
        drop(first);
        Appended::open(&path).unwrap();
    }
}
