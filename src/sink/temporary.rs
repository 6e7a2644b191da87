//! The files that sinks write before they have their name, and how a program that ends at once leaves none behind.
//!
//! Knows nothing of what is written to them.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

/// The temporary files of this process. Locked while one is made, renamed or removed, so that none is forgotten.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes all temporary files, for a program that ends without running destructors. Whoever wants to make or to finish one
/// afterwards waits for that end. To be called from a thread, not from within a signal handler.
pub fn give_up() {
    let mut unfinished = unfinished();
    for path in unfinished.drain(..) {
        // There is nobody left to tell.
        let _ = std::fs::remove_file(path);
    }
    std::mem::forget(unfinished);
}

/// A file beside the place that it will have. Removed when dropped before it was put there.
#[derive(Debug)]
pub struct Temporary {
    /// None once it is in place.
    file: Option<NamedTempFile>,
}

impl Temporary {
    /// Makes one in `folder`. Permissions are taken as they are, the default is what the umask leaves of reading and writing.
    pub fn create_in(folder: &Path, permissions: Option<Permissions>) -> io::Result<Temporary> {
        let mut builder = tempfile::Builder::new();
        let wanted = permissions.clone().unwrap_or_else(|| Permissions::from_mode(0o666));
        builder.prefix(".evkit-").suffix(".part").permissions(wanted);
        let mut unfinished = unfinished();
        let file = builder.tempfile_in(folder)?;
        unfinished.push(file.path().to_owned());
        drop(unfinished);
        let temporary = Temporary { file: Some(file) };
        if let Some(permissions) = permissions {
            // What the umask took from the mode of a file that is to be replaced.
            temporary.handle()?.set_permissions(permissions)?;
        }
        Ok(temporary)
    }

    /// A handle to write by.
    pub fn handle(&self) -> io::Result<File> {
        self.file.as_ref().expect("it is not in place yet").as_file().try_clone()
    }

    /// Puts it at `path`, in the same file system, replacing what is there.
    pub fn persist(mut self, path: &Path) -> io::Result<()> {
        self.settle(|file| file.persist(path).map(drop).map_err(|error| error.error))
    }

    /// Lets `settle` have the file, which is none of the unfinished ones afterwards.
    fn settle(&mut self, settle: impl FnOnce(NamedTempFile) -> io::Result<()>) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let mut unfinished = unfinished();
        unfinished.retain(|path| path != file.path());
        settle(file)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A file that can't be removed stays; the error that led here is the one to tell.
        let _ = self.settle(NamedTempFile::close);
    }
}

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}
