//! The in-memory twin of a sink, for tests and simulations.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sink::{Sink, SinkError};

/// Keeps what is written, where its clones can look at it.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    buffered: Vec<u8>,
    flushed: Vec<u8>,
    flushes: u64,
    is_finished: bool,
    bytes_max: Option<usize>,
}

impl MemorySink {
    /// An empty sink.
    pub fn new() -> MemorySink {
        MemorySink::default()
    }

    /// A sink whose reader goes after `bytes_max` bytes.
    pub fn closing_after(bytes_max: usize) -> MemorySink {
        let sink = MemorySink::new();
        sink.with(|state| state.bytes_max = Some(bytes_max));
        sink
    }

    /// What a reader has seen: everything that was flushed.
    pub fn flushed(&self) -> Vec<u8> {
        self.with(|state| state.flushed.clone())
    }

    /// How often it was flushed with something to hand on.
    pub fn flushes(&self) -> u64 {
        self.with(|state| state.flushes)
    }

    /// Whether the output is complete.
    pub fn is_finished(&self) -> bool {
        self.with(|state| state.is_finished)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for MemorySink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.with(|state| state.buffered.extend_from_slice(bytes));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.with(|state| {
            state.flushes += u64::from(!state.buffered.is_empty());
            let room = state.bytes_max.map_or(usize::MAX, |max| max.saturating_sub(state.flushed.len()));
            let is_closed = state.buffered.len() > room;
            let taken = state.buffered.len().min(room);
            let taken: Vec<u8> = state.buffered.drain(..taken).collect();
            state.flushed.extend_from_slice(&taken);
            if is_closed { Err(SinkError::Closed { name: "memory".to_owned() }) } else { Ok(()) }
        })
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.flush()?;
        self.with(|state| state.is_finished = true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_what_was_flushed() {
        let mut sink = MemorySink::new();
        let seen = sink.clone();
        sink.write(b"a").unwrap();
        assert_eq!((seen.flushed(), seen.flushes(), seen.is_finished()), (vec![], 0, false));
        sink.flush().unwrap();
        sink.flush().unwrap();
        sink.write(b"b").unwrap();
        sink.finish().unwrap();
        assert_eq!((seen.flushed(), seen.flushes(), seen.is_finished()), (b"ab".to_vec(), 2, true));
    }

    #[test]
    fn a_reader_may_go() {
        let mut sink = MemorySink::closing_after(3);
        sink.write(b"abcd").unwrap();
        assert!(matches!(sink.flush(), Err(SinkError::Closed { .. })));
        assert_eq!(sink.flushed(), b"abc");
    }
}
