//! What is dropped of an archive: whole hours that are too old, from the manifest first.
//!
//! Cut short, the next run ends the work: what the manifest no longer names is removed wherever it is found. It is told the time
//! from which age counts.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use crate::archive::manifest::{Manifest, Part, Put, State};
use crate::archive::{ArchiveError, HOUR, folder_of, litter};
use crate::time::{Duration, Timestamp};

/// What was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Files that the manifest named.
    pub files: u64,
    /// Events in them.
    pub rows: u64,
    /// Their lengths.
    pub bytes: u64,
    /// From this hour on there are events.
    pub kept_from: Option<Timestamp>,
}

/// Drops the hours that end at or before `now` less `age`.
pub fn retain(archive: &Path, age: Duration, now: Timestamp) -> Result<Dropped, ArchiveError> {
    let hour = now.0.saturating_sub(age.0).div_euclid(HOUR);
    let horizon = folder_of(hour);
    let mut manifest = Manifest::open(archive)?;
    let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let mut dropped = Dropped { kept_from: Some(Timestamp(hour.saturating_mul(HOUR))), ..Dropped::default() };
    let mut removed = Vec::new();
    for file in manifest.state.files.iter().filter(|file| folder(&file.path) < horizon) {
        dropped.files += 1;
        dropped.rows += file.rows;
        dropped.bytes += file.bytes;
        removed.push(file.path.clone());
    }
    if !removed.is_empty() {
        let kept_from_us = dropped.kept_from.map(|time| time.0);
        let put = manifest.put(Part { removed: removed.clone(), kept_from_us, ..Part::default() }, |_| true)?;
        if let Put::There { synced } = put {
            // What a part names that may come back must be there.
            synced?;
        }
    }
    for path in &removed {
        let path = archive.join(path);
        for path in [litter::unnamed(&path), path] {
            remove(&path)?;
        }
    }
    let now = SystemTime::now();
    litter::clear(archive, &manifest.state, now)?;
    for day in litter::folders(archive, "dt=")? {
        for hour in litter::folders(&day, "hour=")? {
            let name = hour.strip_prefix(archive).ok().and_then(Path::to_str).unwrap_or_default();
            if name < &*horizon {
                remove_dropped(&hour, name, &manifest.state, now)?;
                // Only a folder in which nothing is left can be removed.
                let _ = fs::remove_dir(&hour);
            }
        }
        let _ = fs::remove_dir(&day);
    }
    Ok(dropped)
}

/// Removes a file, if another run has not done so.
pub(crate) fn remove(path: &Path) -> Result<(), ArchiveError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(ArchiveError::io("remove", path)),
    }
}

/// Removes the files that an earlier run dropped from the manifest and had no time to remove.
pub(crate) fn remove_dropped(hour: &Path, name: &str, state: &State, now: SystemTime) -> Result<(), ArchiveError> {
    for path in litter::entries(hour)? {
        let from_archive = format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if !state.names(&from_archive) && litter::is_ours(&path) && litter::is_old(&path, now) {
            remove(&path)?;
        }
    }
    Ok(())
}
