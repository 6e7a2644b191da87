//! What is dropped of an archive: whole hours that are too old, from the manifest first.
//!
//! Cut short, the next run ends the work: what the manifest no longer names is removed wherever it is found. Knows nothing of
//! clocks: it is told the time.

use std::fs;
use std::path::Path;

use crate::archive::manifest::{Manifest, Part};
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
        manifest.put(Part { removed, ..Part::default() }, |_| true)?;
    }
    for day in litter::folders(archive, "dt=")? {
        for hour in litter::folders(&day, "hour=")? {
            let name = hour.strip_prefix(archive).ok().and_then(Path::to_str).unwrap_or_default();
            if name < &*horizon && !manifest.state.files.iter().any(|file| folder(&file.path) == name) {
                remove_hour(&hour)?;
            }
        }
        // Only a day without hours can be removed.
        let _ = fs::remove_dir(&day);
    }
    Ok(dropped)
}

/// Removes the files of an archive that stand in an hour's folder, and the folder if nothing else is there.
fn remove_hour(hour: &Path) -> Result<(), ArchiveError> {
    for entry in fs::read_dir(hour).map_err(ArchiveError::io("read", hour))? {
        let path = entry.map_err(ArchiveError::io("read", hour))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".parquet") || name.ends_with(".parquet.part") {
            fs::remove_file(&path).map_err(ArchiveError::io("remove", &path))?;
        }
    }
    // What somebody else has put there is left.
    let _ = fs::remove_dir(hour);
    Ok(())
}
