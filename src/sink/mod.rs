//! Where bytes go: stdout, a file, memory.
//!
//! A sink takes bytes that are already encoded and makes them visible when it is flushed; its caller flushes once a batch
//! and always before it waits for input. Nothing here knows rows and formats.

use std::io;

use crate::source::address::Address;

pub mod appended;
pub mod descriptor;
pub mod file;
pub mod memory;
pub mod side;
pub mod stdout;
pub mod temporary;

/// A place for bytes. After an error nothing more may be written to it.
pub trait Sink: Send {
    /// Takes bytes, whole rows at a time. They may be kept in a buffer of bounded size.
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError>;

    /// Hands on everything that was taken so far.
    fn flush(&mut self) -> Result<(), SinkError>;

    /// Flushes, and makes the output complete: a file gets its name only now. To be called once, at the end; a sink dropped without
    /// it leaves nothing behind that looks complete.
    fn finish(&mut self) -> Result<(), SinkError>;
}

/// Why bytes could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The reader has gone. That is no failure: it has seen all that it wanted.
    #[error("the reader of {name} has gone")]
    Closed {
        /// The sink's name.
        name: String,
    },
    /// The place can't be opened.
    #[error("cannot open '{name}' for writing")]
    Open {
        /// The path.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two can't write to one file.
    #[error("cannot write to '{name}': another process is writing to it")]
    Taken {
        /// The path.
        name: String,
    },
    /// Writing failed: the medium is full or gone.
    #[error("cannot write to '{name}'")]
    Write {
        /// The sink's name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// All was written, but the file could not be given its name.
    #[error("cannot put the finished file in place as '{name}'")]
    Persist {
        /// The path.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A store, which takes no lines.
    #[error("cannot write lines to '{name}': a store takes result rows only")]
    Store {
        /// Its address.
        name: String,
    },
    /// A bucket or an archive.
    #[error("cannot write to '{name}' here: it takes no lines")]
    NoLines {
        /// Its address.
        name: String,
    },
    /// A server did not take it.
    #[error(transparent)]
    Upstream {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A topic takes records, not bytes.
    #[error("cannot write to '{name}' here: a topic takes rows and events, not a side file")]
    Topic {
        /// The address.
        name: String,
    },
}

impl SinkError {
    fn of_write(name: &str, source: io::Error) -> SinkError {
        match source.kind() {
            io::ErrorKind::BrokenPipe => SinkError::Closed { name: name.to_owned() },
            _ => SinkError::Write { name: name.to_owned(), source },
        }
    }
}

/// How to open a file as a sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileMode {
    /// Written beside its place and put there when finished, replacing what was there.
    #[default]
    Replace,
    /// Written straight to its place, which is emptied first: what was written by then stays when a run is killed.
    Anew,
    /// Written straight to the end of what is there.
    Append,
}

/// Opens the sink that `address` names.
pub fn open(address: &Address, mode: FileMode) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match address {
        Address::Stdio => Box::new(stdout::open()?),
        Address::Path(path) => file::open(path, mode)?,
        Address::Store(_) => return Err(SinkError::Store { name: address.to_string() }),
        Address::Kafka(_) => return Err(SinkError::Topic { name: address.to_string() }),
        Address::Influx(_) | Address::Archive(_) => return Err(SinkError::NoLines { name: address.to_string() }),
    })
}
