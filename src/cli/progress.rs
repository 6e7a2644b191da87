//! The progress bar on a terminal's stderr: a source that counts what passes, and what else is written to that terminal.
//!
//! Knows nothing of what is done with the blocks.

use indicatif::{ProgressBar, ProgressStyle};

use crate::partition::PartitionId;
use crate::sink::{Sink, SinkError};
use crate::source::{Polled, Source, SourceError, Waker};

/// A progress bar, or none: then all that it does is nothing.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing is shown.
    pub fn hidden() -> Progress {
        Progress { bar: None }
    }

    /// Shows how much of `bytes_total` has been read; only a rate if that is not known.
    pub fn shown(bytes_total: Option<u64>) -> Progress {
        let (bar, template) = match bytes_total {
            Some(total) => (ProgressBar::new(total), "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{bytes} read, {bytes_per_sec}"),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is right"));
        Progress { bar: Some(bar) }
    }

    /// A source that moves the bar, and takes it away when it is dropped.
    pub fn source(&self, source: impl Source + 'static) -> Box<dyn Source> {
        match &self.bar {
            Some(bar) => Box::new(ProgressSource { source, bar: bar.clone() }),
            None => Box::new(source),
        }
    }

    /// A sink to the terminal that shows the bar: rows take its place, and it stands below them again.
    pub fn sink(&self, sink: Box<dyn Sink>) -> Box<dyn Sink> {
        match &self.bar {
            Some(_) => Box::new(ProgressSink { sink, progress: self.clone(), has_written: false }),
            None => sink,
        }
    }

    /// Takes the bar away while `work` writes to the terminal.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }
}

struct ProgressSource<S> {
    source: S,
    bar: ProgressBar,
}

impl<S: Source> Source for ProgressSource<S> {
    fn partitions(&self) -> usize {
        self.source.partitions()
    }

    fn name(&self, partition: PartitionId) -> &str {
        self.source.name(partition)
    }

    fn seek(&mut self, partition: PartitionId, offset: u64) {
        self.bar.inc(offset);
        self.source.seek(partition, offset);
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        let polled = self.source.poll(partition);
        match &polled {
            Ok(Polled::Block(block)) => self.bar.inc((block.bytes.len() - block.from) as u64),
            // It is as good as read: there are few of them under way.
            Ok(Polled::Unread(unread)) => self.bar.inc(unread.bytes()),
            Ok(Polled::Deferred(deferred)) => self.bar.inc(deferred.bytes()),
            _ => {}
        }
        polled
    }

    fn wait(&mut self, partitions: &[PartitionId], timeout: Option<std::time::Duration>) {
        self.source.wait(partitions, timeout);
    }

    fn waker(&self) -> Waker {
        self.source.waker()
    }

    fn is_silent(&mut self, partition: PartitionId) -> bool {
        self.source.is_silent(partition)
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

struct ProgressSink {
    sink: Box<dyn Sink>,
    progress: Progress,
    /// Something may have been kept that the next flush shows.
    has_written: bool,
}

impl Sink for ProgressSink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.has_written |= !bytes.is_empty();
        self.progress.aside(|| self.sink.write(bytes))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        // Most flushes have nothing to show: the bar is not to flicker for them.
        match std::mem::take(&mut self.has_written) {
            true => self.progress.aside(|| self.sink.flush()),
            false => self.sink.flush(),
        }
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.progress.aside(|| self.sink.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal: its lines, the cursor at the end of the last one that was written.
    #[derive(Debug, Clone, Default)]
    struct Screen {
        state: Arc<Mutex<(Vec<String>, usize)>>,
    }

    impl Screen {
        fn shows(&self) -> Vec<String> {
            let lines = self.state.lock().unwrap().0.clone();
            lines.iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
        }

        fn on_line(&self, change: impl FnOnce(&mut String)) {
            let (lines, row) = &mut *self.state.lock().unwrap();
            lines.resize(lines.len().max(*row + 1), String::new());
            change(&mut lines[*row]);
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            40
        }

        fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
            self.state.lock().unwrap().1 -= lines;
            Ok(())
        }

        fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
            self.state.lock().unwrap().1 += lines;
            Ok(())
        }

        fn move_cursor_right(&self, _columns: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _columns: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            self.move_cursor_down(1)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.on_line(|line| line.push_str(text));
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.on_line(String::clear);
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink that writes to the same terminal when it is flushed.
    struct ScreenSink {
        screen: Screen,
        kept: String,
    }

    impl Sink for ScreenSink {
        fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
            self.kept += std::str::from_utf8(bytes).unwrap();
            Ok(())
        }

        fn flush(&mut self) -> Result<(), SinkError> {
            for line in std::mem::take(&mut self.kept).lines() {
                self.screen.write_line(line).unwrap();
            }
            Ok(())
        }

        fn finish(&mut self) -> Result<(), SinkError> {
            self.flush()
        }
    }

    #[test]
    fn rows_stand_above_the_bar_and_remain() {
        let screen = Screen::default();
        let bar = ProgressBar::with_draw_target(Some(10), ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.set_style(ProgressStyle::with_template("bar {pos}").unwrap());
        let progress = Progress { bar: Some(bar.clone()) };
        let mut sink = progress.sink(Box::new(ScreenSink { screen: screen.clone(), kept: String::new() }));
        bar.tick();
        assert_eq!(screen.shows(), ["bar 0"]);
        sink.write(b"first\nsecond\n").unwrap();
        assert_eq!(screen.shows(), ["bar 0"]);
        sink.flush().unwrap();
        assert_eq!(screen.shows(), ["first", "second", "bar 0"]);
        sink.write(b"third\n").unwrap();
        sink.finish().unwrap();
        bar.finish_and_clear();
        assert_eq!(screen.shows(), ["first", "second", "third"]);
    }
}
