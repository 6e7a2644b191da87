//! The file of late events as a run leaves it: which it is, and how many of its bytes belong to what was committed.
//!
//! What stands behind these comes again: the next run cuts it off, and no repair takes it. Knows nothing of what late events are.

use std::path::Path;

use crate::pipeline::keep::input::{Known, Position};
use crate::pipeline::keep::{KeepError, Keeper, Saved};
use crate::sink::appended::Appended;
use crate::source::identity::{Head, Identity};

/// Before the name of the file that late events go to: no input is called so.
const LATE: &str = "\0late\0";

/// The file of late events.
#[derive(Debug, Clone)]
pub struct LateFile {
    /// Its path from the root.
    path: String,
    /// How it began, of what was committed.
    identity: Identity,
    /// So many bytes of it are committed.
    bytes: u64,
    /// Whether the run has ended: then what stands behind these bytes is another's.
    is_ended: bool,
}

/// Where late events go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatePlace {
    /// Behind so many bytes: what stands there comes again.
    Behind(u64),
    /// At the end: nothing is known of this file, or the last run ended by itself.
    End,
    /// At the end of what is shorter than it was: it had so many bytes.
    Shrunk(u64),
}

impl LateFile {
    fn of(file: &mut Appended, is_ended: bool) -> Result<LateFile, KeepError> {
        let bytes = file.sync()?;
        let identity = head(file)?.identity();
        Ok(LateFile { path: file.path().display().to_string(), identity, bytes, is_ended })
    }

    /// Whether a file that begins so, at this path, is this one. As long as nothing of it was committed the path alone tells.
    pub fn is(&self, head: &Head, path: &Path) -> bool {
        match self.identity.bytes {
            0 => path.canonicalize().is_ok_and(|path| path.display().to_string() == self.path),
            _ => head.is_of(self.identity),
        }
    }

    /// Bytes of it behind which stands what comes again; `None` where nothing does.
    pub fn uncommitted(&self) -> Option<u64> {
        (!self.is_ended).then_some(self.bytes)
    }

    /// As it is kept among the inputs.
    pub(in crate::pipeline::keep) fn known(&self) -> Known {
        let (identity, position) = (self.identity, Position { offset: self.bytes, lines: self.is_ended.into() });
        Known { name: format!("{LATE}{}", self.path), identity, position, partition: Vec::new() }
    }
}

impl Saved {
    /// Takes the file of late events from among the inputs.
    pub fn take_late(&mut self) -> Option<LateFile> {
        let late = self.files.iter().position(|known| known.name.starts_with(LATE))?;
        let Known { name, identity, position, .. } = self.files.remove(late);
        let (path, bytes, is_ended) = (name[LATE.len()..].to_owned(), position.offset, position.lines > 0);
        Some(LateFile { path, identity, bytes, is_ended })
    }
}

impl Keeper {
    /// Where late events go on in this file.
    pub fn late_place(&self, file: &Appended) -> Result<LatePlace, KeepError> {
        let Some(late) = &self.late else { return Ok(LatePlace::End) };
        let (head, length) = (head(file)?, file.bytes()?);
        let is_path = file.path().display().to_string() == late.path;
        Ok(match late.is(&head, file.path()) {
            true if length >= late.bytes && late.is_ended => LatePlace::End,
            true if length >= late.bytes => LatePlace::Behind(late.bytes),
            // It begins the same, or is empty: copied away and cut off, maybe.
            true => LatePlace::Shrunk(late.bytes),
            false if is_path && length < late.bytes => LatePlace::Shrunk(late.bytes),
            false => LatePlace::End,
        })
    }

    /// There will be no more late events.
    pub fn end_late(&mut self) {
        self.late_has_ended = true;
    }

    /// Late events have been written to this file, as far as it goes. What is committed of it is on the disk before.
    pub fn note_late(&mut self, file: &mut Appended) -> Result<(), KeepError> {
        self.late = Some(LateFile::of(file, self.late_has_ended)?);
        Ok(())
    }
}

fn head(file: &Appended) -> Result<Head, KeepError> {
    let input = || file.path().display().to_string();
    Head::of_open(file.file()).map_err(|source| KeepError::Read { input: input(), source })
}
