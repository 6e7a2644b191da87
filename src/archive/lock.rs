//! One process archives a topic: an advisory lock on a file of the archive, which the kernel gives back however a process ends.
//!
//! It only keeps processes from doing the same work twice. Who writes what is decided by the manifest.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::archive::ArchiveError;
use crate::archive::manifest::Manifest;

/// Takes the lock of a source, until it is dropped. `None` when another process has it.
pub fn hold(archive: &Path, source: &str) -> Result<Option<File>, ArchiveError> {
    Manifest::create(archive)?;
    let path = archive.join("manifest").join(format!("{source}.lock"));
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(ArchiveError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(ArchiveError::io("lock", &path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = hold(folder.path(), "orders").unwrap();
        assert!(first.is_some());
        assert!(hold(folder.path(), "orders").unwrap().is_none());
        assert!(hold(folder.path(), "views").unwrap().is_some());
        drop(first);
        assert!(hold(folder.path(), "orders").unwrap().is_some());
    }
}
