//! The progress bar on a terminal's stderr: a source that counts what passes.
//!
//! Knows nothing of what is done with the blocks.

use indicatif::{ProgressBar, ProgressStyle};

use crate::partition::PartitionId;
use crate::source::{Polled, Source, SourceError, Waker};

/// A source with a progress bar.
pub struct ProgressSource<S> {
    source: S,
    bar: ProgressBar,
}

impl<S: Source> ProgressSource<S> {
    /// Shows how much of `bytes_total` has been read; only a rate if that is not known.
    pub fn new(source: S, bytes_total: Option<u64>) -> ProgressSource<S> {
        let (bar, template) = match bytes_total {
            Some(total) => (ProgressBar::new(total), "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{bytes} read, {bytes_per_sec}"),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is right"));
        ProgressSource { source, bar }
    }
}

impl<S: Source> Source for ProgressSource<S> {
    fn partitions(&self) -> usize {
        self.source.partitions()
    }

    fn name(&self, partition: PartitionId) -> &str {
        self.source.name(partition)
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        let polled = self.source.poll(partition);
        if let Ok(Polled::Block(block)) = &polled {
            self.bar.inc(block.bytes.len() as u64);
        }
        polled
    }

    fn wait(&mut self, partitions: &[PartitionId], timeout: Option<std::time::Duration>) {
        self.source.wait(partitions, timeout);
    }

    fn waker(&self) -> Waker {
        self.source.waker()
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        self.source.recycle(bytes);
    }
}

impl<S> Drop for ProgressSource<S> {
    /// The bar goes as it came: what remains on the screen are rows and the summary.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
