//! A file as a sink: written beside its place and put there by one rename, or appended to.
//!
//! A reader never sees half of a replaced file, and a run that fails leaves the old one as it was and nothing beside it.
//! Devices, FIFOs and sockets can't be replaced and are written in place.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::sink::descriptor::DescriptorSink;
use crate::sink::temporary::Temporary;
use crate::sink::{FileMode, Sink, SinkError};

/// Opens `path` for writing.
pub fn open(path: &Path, mode: FileMode) -> Result<Box<dyn Sink>, SinkError> {
    let name = path.display().to_string();
    let failed = |source| SinkError::Open { name: name.clone(), source };
    let existing = match path.metadata() {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    if existing.as_ref().is_some_and(std::fs::Metadata::is_dir) {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if mode != FileMode::Replace {
        let file = File::options().append(true).create(true).open(path).map_err(failed)?;
        if mode == FileMode::Anew && existing.is_some_and(|metadata| metadata.is_file()) {
            file.set_len(0).map_err(failed)?;
        }
        return Ok(Box::new(DescriptorSink::new(name, file)));
    }
    match existing {
        Some(metadata) if !metadata.is_file() => {
            let file = File::options().write(true).custom_flags(libc::O_NOCTTY).open(path).map_err(failed)?;
            Ok(Box::new(DescriptorSink::new(name, file)))
        }
        existing => {
            let permissions = existing.map(|metadata| metadata.permissions());
            Ok(Box::new(ReplacingSink::create(path, name.clone(), permissions).map_err(failed)?))
        }
    }
}

/// Writes a temporary file in the target's folder, renamed by `finish`, removed when dropped before.
struct ReplacingSink {
    name: String,
    path: PathBuf,
    writer: DescriptorSink,
    /// None once it is in place.
    temporary: Option<Temporary>,
}

impl ReplacingSink {
    fn create(path: &Path, name: String, permissions: Option<Permissions>) -> io::Result<ReplacingSink> {
        // A symbolic link stays; what it points to is replaced.
        let path = if permissions.is_some() { path.canonicalize()? } else { path.to_owned() };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Without it the error would name the temporary file, which says nothing to the user.
        folder.metadata()?;
        let temporary = Temporary::create_in(folder, permissions)?;
        let writer = DescriptorSink::new(name.clone(), temporary.handle()?);
        Ok(ReplacingSink { name, path, writer, temporary: Some(temporary) })
    }
}

impl Sink for ReplacingSink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.writer.flush()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.writer.flush()?;
        let Some(temporary) = self.temporary.take() else { return Ok(()) };
        let failed = |source| SinkError::Persist { name: self.name.clone(), source };
        temporary.persist(&self.path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Names in a folder, sorted.
    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        for content in ["first\n", "second\n"] {
            let before = std::fs::read_to_string(&path).ok();
            let mut sink = open(&path, FileMode::Replace).unwrap();
            sink.write(content.as_bytes()).unwrap();
            sink.flush().unwrap();
            assert_eq!(std::fs::read_to_string(&path).ok(), before);
            sink.finish().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            assert_eq!(names(folder.path()), ["out.ndjson"]);
        }
    }

    #[test]
    fn a_run_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let mut sink = open(&path, FileMode::Replace).unwrap();
        sink.write(b"half").unwrap();
        sink.flush().unwrap();
        drop(sink);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn append_goes_on_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        for _ in 0..2 {
            let mut sink = open(&path, FileMode::Append).unwrap();
            sink.write(b"row\n").unwrap();
            sink.finish().unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "row\nrow\n");
    }

    #[test]
    fn mode_and_symbolic_link_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("data"), folder.path().join("link"));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut sink = open(&link, FileMode::Replace).unwrap();
        sink.write(b"new").unwrap();
        sink.finish().unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_device_is_written_in_place() {
        let mut sink = open(Path::new("/dev/null"), FileMode::Replace).unwrap();
        sink.write(b"row\n").unwrap();
        sink.finish().unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }

    #[test]
    fn a_place_that_can_not_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("missing/out")] {
            let error = open(&path, FileMode::Replace).err().unwrap();
            assert_eq!(error.to_string(), format!("cannot open '{}' for writing", path.display()));
        }
    }
}
