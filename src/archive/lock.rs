//! One process archives a topic, one makes the same points anew: an advisory lock on a file of the archive, which the kernel gives
//! back however a process ends.
//!
//! It only keeps processes from doing the same work twice. Who writes what is decided by the manifest.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use crate::archive::ArchiveError;
use crate::archive::manifest::Manifest;

/// Takes the lock of a source, until it is dropped. `None` when another process has it.
pub fn hold(archive: &Path, source: &str) -> Result<Option<File>, ArchiveError> {
    Manifest::create(archive)?;
    let path = archive.join("manifest").join(format!("{source}.lock"));
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    try_lock(open.map_err(ArchiveError::io("open", &path))?, &path)
}

/// Takes the right to make points anew, of which `what` says which and where, until it is dropped. `None` when another process has
/// it. Of an archive that may not be written to there is one such right for all.
pub fn hold_backfill(archive: &Path, what: &str) -> Result<Option<File>, ArchiveError> {
    let folder = archive.join("manifest");
    // No topic has a name with this sign.
    let path = folder.join(format!("backfill={:016x}.lock", rapidhash::v3::rapidhash_v3(what.as_bytes())));
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let opened = match opened {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            File::open(&folder)
        }
        opened => opened,
    };
    try_lock(opened.map_err(ArchiveError::io("open", &path))?, &path)
}

fn try_lock(file: File, path: &Path) -> Result<Option<File>, ArchiveError> {
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(ArchiveError::io("lock", path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_made_anew_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        Manifest::create(folder.path()).unwrap();
        let first = hold_backfill(folder.path(), "bucket m").unwrap();
        assert!(first.is_some());
        assert!(hold_backfill(folder.path(), "bucket m").unwrap().is_none());
        assert!(hold_backfill(folder.path(), "bucket n").unwrap().is_some());
        drop(first);
        assert!(hold_backfill(folder.path(), "bucket m").unwrap().is_some());
    }

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
