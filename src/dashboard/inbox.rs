//! What comes to the dashboard's loop from its threads: lines, keys, signals.
//!
//! Lines are bounded: who brings more waits, so a slow terminal slows down the writer and nothing is dropped. Keys and signals
//! never wait behind lines. The loop is woken once a frame, not once a line. Knows nothing of what is done with any of it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::dashboard::feed::{Batch, FeedError};

/// Lines that may wait.
const LINES_MAX: usize = 16_384;

/// What has come.
#[derive(Debug)]
pub struct Received<E> {
    /// Keys and signals, in order.
    pub events: Vec<E>,
    /// Lines, in order.
    pub batches: Vec<Batch>,
    /// Set once there will be no more lines: why, if something went wrong.
    pub end: Option<Result<(), FeedError>>,
}

/// The place where it is collected.
#[derive(Debug)]
pub struct Inbox<E> {
    state: Mutex<State<E>>,
    has_come: Condvar,
    has_room: Condvar,
}

#[derive(Debug)]
struct State<E> {
    events: Vec<E>,
    batches: VecDeque<Batch>,
    lines: usize,
    end: Option<Result<(), FeedError>>,
    /// Whether the loop waits for lines too.
    wants_lines: bool,
}

impl<E> Default for Inbox<E> {
    fn default() -> Inbox<E> {
        let state = State { events: Vec::new(), batches: VecDeque::new(), lines: 0, end: None, wants_lines: false };
        Inbox { state: Mutex::new(state), has_come: Condvar::new(), has_room: Condvar::new() }
    }
}

impl<E> Inbox<E> {
    /// Brings lines. Waits while there are too many.
    pub fn bring(&self, batch: Batch) {
        let mut state = self.lock();
        while state.lines >= LINES_MAX {
            state = self.has_room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.lines += batch.lines.len();
        state.batches.push_back(batch);
        if state.wants_lines || state.lines >= LINES_MAX / 2 {
            self.has_come.notify_one();
        }
    }

    /// Says that there will be no more lines.
    pub fn end(&self, how: Result<(), FeedError>) {
        self.lock().end = Some(how);
        self.has_come.notify_one();
    }

    /// Brings a key or a signal.
    pub fn event(&self, event: E) {
        self.lock().events.push(event);
        self.has_come.notify_one();
    }

    /// Waits for something to come, at most until `deadline`, and takes all of it. Without `wants_lines` it waits for keys and
    /// signals only, unless the lines become many.
    pub fn wait(&self, deadline: Option<Instant>, wants_lines: bool) -> Received<E> {
        let mut state = self.lock();
        state.wants_lines = wants_lines;
        loop {
            let has_lines = if wants_lines { state.lines > 0 } else { state.lines >= LINES_MAX / 2 };
            if !state.events.is_empty() || state.end.is_some() || has_lines {
                break;
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.has_come.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => self.has_come.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.lines = 0;
        let received = Received {
            events: std::mem::take(&mut state.events),
            batches: state.batches.drain(..).collect(),
            end: state.end.take(),
        };
        drop(state);
        self.has_room.notify_all();
        received
    }

    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dashboard::line::Line;

    fn batch(lines: usize) -> Batch {
        Batch { lines: vec![Line::Partial; lines], arrival: None }
    }

    #[test]
    fn lines_keys_and_the_end_come_in_order() {
        let inbox: Inbox<char> = Inbox::default();
        inbox.bring(batch(1));
        inbox.event('a');
        inbox.bring(batch(2));
        inbox.event('b');
        inbox.end(Ok(()));
        let received = inbox.wait(None, true);
        assert_eq!(received.events, ['a', 'b']);
        assert_eq!(received.batches.iter().map(|batch| batch.lines.len()).collect::<Vec<_>>(), [1, 2]);
        assert!(received.end.is_some());
        assert!(inbox.wait(Some(Instant::now()), true).end.is_none(), "the end is told once");
    }

    #[test]
    fn who_brings_too_many_waits_and_nothing_is_lost() {
        let inbox: Arc<Inbox<()>> = Arc::default();
        let bringer = {
            let inbox = Arc::clone(&inbox);
            std::thread::spawn(move || {
                (0..1000).for_each(|_| inbox.bring(batch(100)));
                inbox.end(Ok(()));
            })
        };
        let mut lines = 0;
        loop {
            let received = inbox.wait(None, false);
            let now: usize = received.batches.iter().map(|batch| batch.lines.len()).sum();
            assert!(now < LINES_MAX + 100);
            lines += now;
            if received.end.is_some() {
                break;
            }
        }
        bringer.join().unwrap();
        lines += inbox.wait(Some(Instant::now()), true).batches.iter().map(|batch| batch.lines.len()).sum::<usize>();
        assert_eq!(lines, 100_000);
    }
}
