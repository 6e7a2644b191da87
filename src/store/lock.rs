//! One living writer a metric: an advisory lock on a file beside the database, which the kernel gives back when its process ends,
//! however it ends.
//!
//! The files lie in the folder `<store>.locks`, one a metric, named by its number; they are empty and stay. Where locks are lost
//! (a copied folder, a file system without them) the owner's epoch in the database still keeps a second writer out.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::store::error::StoreError;

/// Locks that are held until it is dropped.
#[derive(Debug, Default)]
pub struct Locks {
    held: Vec<File>,
}

impl Locks {
    /// Takes the lock of a metric of the store at `path`. False when another writer has it.
    pub fn take(&mut self, path: &Path, metric: i64) -> Result<bool, StoreError> {
        self.take_named(path, metric.to_string())
    }

    /// Takes the right to make points of a metric anew, which one process has beside the writer. False when another one has it.
    pub fn take_rewriting(&mut self, path: &Path, metric: i64) -> Result<bool, StoreError> {
        self.take_named(path, format!("{metric}.rewriting"))
    }

    fn take_named(&mut self, path: &Path, name: String) -> Result<bool, StoreError> {
        let folder = folder_of(path);
        let file_path = folder.join(name);
        let failed = |source| StoreError::Lock { path: file_path.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&file_path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                self.held.push(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".locks");
    folder.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_once_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut first = Locks::default();
        assert!(first.take(&path, 1).unwrap());
        assert!(!Locks::default().take(&path, 1).unwrap());
        assert!(Locks::default().take(&path, 2).unwrap());
        // Points may be made anew beside the writer, by one process.
        assert!(first.take_rewriting(&path, 1).unwrap());
        assert!(!Locks::default().take_rewriting(&path, 1).unwrap());
        drop(first);
        assert!(Locks::default().take(&path, 1).unwrap());
    }
}
