//! The in-memory twin of a source, for tests and simulations: each partition plays a script.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::partition::PartitionId;
use crate::record::Block;
use crate::source::{Polled, Source, SourceError, Waker};
use crate::time::Clock;

/// What a partition does when it is polled next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Gives these lines as a block.
    Block(Vec<u8>),
    /// Has nothing yet.
    Pending,
    /// Fails.
    Error(io::ErrorKind),
}

/// Plays a script for each partition; when it is played, the partition has ended.
pub struct MemorySource {
    partitions: Vec<Script>,
    clock: Arc<dyn Clock>,
}

struct Script {
    name: String,
    steps: VecDeque<Step>,
    offset: u64,
}

impl MemorySource {
    /// A source of one partition a script, named `memory-0` and so on. Blocks arrive by `clock`, read when they are polled.
    pub fn new(scripts: Vec<Vec<Step>>, clock: Arc<dyn Clock>) -> MemorySource {
        let script =
            |(i, steps): (usize, Vec<Step>)| Script { name: format!("memory-{i}"), steps: steps.into(), offset: 0 };
        MemorySource { partitions: scripts.into_iter().enumerate().map(script).collect(), clock }
    }
}

impl Source for MemorySource {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn name(&self, partition: PartitionId) -> &str {
        &self.partitions[partition.0 as usize].name
    }

    fn seek(&mut self, partition: PartitionId, offset: u64) {
        let script = &mut self.partitions[partition.0 as usize];
        while script.offset < offset {
            let Some(step) = script.steps.pop_front() else { return };
            let Step::Block(mut bytes) = step else { continue };
            let passed = bytes.len().min((offset - script.offset) as usize);
            script.offset += passed as u64;
            if passed < bytes.len() {
                bytes.drain(..passed);
                script.steps.push_front(Step::Block(bytes));
            }
        }
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        let script = &mut self.partitions[partition.0 as usize];
        match script.steps.pop_front() {
            None => Ok(Polled::End),
            Some(Step::Pending) => Ok(Polled::Pending),
            Some(Step::Error(kind)) => {
                script.steps.clear();
                Err(SourceError::Read { name: script.name.clone(), byte: script.offset, source: kind.into() })
            }
            Some(Step::Block(bytes)) => {
                let offset = script.offset;
                script.offset += bytes.len() as u64;
                Ok(Polled::Block(Block { partition, offset, from: 0, arrival: self.clock.now(), stamps: None, bytes }))
            }
        }
    }

    /// Returns at once: time is the test's to move.
    fn wait(&mut self, _partitions: &[PartitionId], _timeout: Option<Duration>) {}

    fn waker(&self) -> Waker {
        Waker::new(|| {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::clock::ManualClock;
    use crate::time::Timestamp;

    #[test]
    fn scripts_are_played_in_order() {
        let clock = Arc::new(ManualClock::new(Timestamp(1)));
        let block = |text: &str| Step::Block(text.as_bytes().to_vec());
        let scripts = vec![
            vec![block("a\nb\n"), Step::Pending, block("c\n")],
            vec![Step::Error(io::ErrorKind::TimedOut), block("never\n")],
        ];
        let mut source = MemorySource::new(scripts, clock.clone());
        let (first, second) = (PartitionId(0), PartitionId(1));
        let shown = |polled: Result<Polled, SourceError>| match polled {
            Ok(Polled::Block(b)) => format!("{}@{} {:?}", b.offset, b.arrival.0, String::from_utf8(b.bytes)),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown(source.poll(first)), r#"0@1 Ok("a\nb\n")"#);
        assert_eq!(shown(source.poll(second)), "cannot read 'memory-1' at byte 0");
        clock.set(Timestamp(2));
        let rest: Vec<_> = (0..4).map(|_| shown(source.poll(first))).collect();
        assert_eq!(rest, ["Pending", r#"4@2 Ok("c\n")"#, "End", "End"]);
        assert_eq!(shown(source.poll(second)), "End");
    }
}
