//! What a writer that was killed has left: files that the manifest names and that have not their name yet, and others; parts of
//! the manifest that it never put.
//!
//! A file is written as `.NAME.parquet.part` and has its name once the manifest names it: whoever looks for `*.parquet` finds only
//! what is. Between the two a writer may be killed; so readers know both names, and the next writer gives the right one.
//! Retention works beside it: a file that is gone is looked up in the manifest as that is by then, a folder that is gone is empty.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::archive::ArchiveError;
use crate::archive::manifest::{BESIDE, Manifest, State};
use crate::time::Timestamp;

/// A file that no part names may be that of a writer at work until it is this old.
const GRACE: Duration = Duration::from_secs(3600);

/// The name of a file before the manifest names it.
pub(crate) fn unnamed(path: &Path) -> PathBuf {
    let name = path.file_name().expect("an archive's files have names").to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

/// Opens a file that the manifest named when it was read, by whichever name it has. `path` is from the archive's folder.
pub(crate) fn open_named(archive: &Path, path: &str) -> Result<File, ArchiveError> {
    let place = archive.join(path);
    let opened = match File::open(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => match File::open(unnamed(&place)) {
            // It may have got its name just now.
            Err(error) if error.kind() == ErrorKind::NotFound => File::open(&place),
            opened => opened,
        },
        opened => opened,
    };
    if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        let state = Manifest::open(archive)?.state;
        if !state.names(path) {
            return Err(ArchiveError::Dropped { path: place, kept_from: state.kept_from_us.map(Timestamp) });
        }
    }
    opened.map_err(ArchiveError::io("open", &place))
}

/// Gives a file that the manifest named when it was read its name. `path` is from the archive's folder.
pub(crate) fn give_name(archive: &Path, path: &str) -> Result<(), ArchiveError> {
    let place = archive.join(path);
    match fs::rename(unnamed(&place), &place) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Another writer was first, or retention.
            let is_settled = place.exists() || !Manifest::open(archive)?.state.names(path);
            if is_settled { Ok(()) } else { Err(ArchiveError::io("give its name to", &place)(error)) }
        }
        renamed => renamed.map_err(ArchiveError::io("give its name to", &place)),
    }
}

/// Gives names to what the manifest names, and removes what it has not named for long. `now` tells how old that is.
pub(crate) fn clear(archive: &Path, state: &State, now: SystemTime) -> Result<(), ArchiveError> {
    let named: std::collections::HashSet<&str> = state.files.iter().map(|file| file.path.as_str()).collect();
    for day in folders(archive, "dt=")? {
        for hour in folders(&day, "hour=")? {
            for path in entries(&hour)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let place = match name.strip_prefix('.').and_then(|name| name.strip_suffix(".part")) {
                    Some(name) => hour.join(name),
                    // Dropped from the manifest and not yet removed, or somebody else's.
                    None => path.clone(),
                };
                let from_archive = place.strip_prefix(archive).ok().and_then(Path::to_str);
                if let Some(from_archive) = from_archive.filter(|path| named.contains(path)) {
                    if place != path {
                        give_name(archive, from_archive)?;
                    }
                } else if place != path && is_ours(&place) && is_old(&path, now) {
                    // It may be gone by now, or not be ours to remove; it harms nobody.
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
    for path in entries(&archive.join("manifest"))? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(BESIDE) && is_old(&path, now) {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Whether a file has a name as writers give it: `NAME-0123456789abcdef.parquet`.
pub(crate) fn is_ours(path: &Path) -> bool {
    let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".parquet"));
    let token = stem.and_then(|stem| stem.rsplit_once('-')).map(|(_, token)| token);
    token.is_some_and(|token| token.len() == 16 && token.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a file is too old to be that of a writer at work.
pub(crate) fn is_old(path: &Path, now: SystemTime) -> bool {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > GRACE))
}

/// The folders in `folder` whose names begin so.
pub(crate) fn folders(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, ArchiveError> {
    let mut found = entries(folder)?;
    found.retain(|path| {
        let is_one = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix));
        is_one && path.is_dir()
    });
    found.sort();
    Ok(found)
}

/// What stands in a folder; nothing where another process has removed it since.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let failed = || ArchiveError::io("read", folder);
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(failed())?.map(|entry| Ok(entry.map_err(failed())?.path())).collect(),
    }
}
