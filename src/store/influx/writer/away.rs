//! The half of a writer that sends, here or away: a load that is sent by a thread of its own leaves the caller free to make the next.
//!
//! Knows nothing of what is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::store::influx::deliver::{Lease, WriteError};
use crate::store::influx::error::InfluxError;
use crate::store::influx::writer::sender::{Ready, Sender};

/// Carries loads away, one at a time.
#[derive(Debug)]
pub(crate) struct Courier {
    /// `None` while it is away.
    here: Option<Box<Sender>>,
    away: Option<JoinHandle<Return>>,
    /// Whether nobody waits for it any more.
    is_given_up: Arc<AtomicBool>,
}

/// The half that sends, back again, and what became of its load.
#[derive(Debug)]
struct Return {
    sender: Box<Sender>,
    sent: Result<(), WriteError>,
}

impl Courier {
    /// One that is here.
    pub fn new(sender: Sender) -> Courier {
        Courier { here: Some(Box::new(sender)), away: None, is_given_up: Arc::default() }
    }

    /// The half that sends, once it is back, and what became of the load that it was away with.
    pub fn back(&mut self) -> (&mut Sender, Result<(), WriteError>) {
        let mut sent = Ok(());
        if let Some(thread) = self.away.take() {
            let back = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (self.here, sent) = (Some(back.sender), back.sent);
        }
        (self.here.as_mut().expect("what is not away is here"), sent)
    }

    /// Sends a load on a thread of its own. Must be back.
    pub fn send_away(&mut self, ready: Ready, now: i64, lease: Box<dyn Lease + Send>) {
        let mut lease = WhileAwaited { lease, is_given_up: Arc::clone(&self.is_given_up) };
        let mut sender = self.here.take().expect("one load is under way at a time");
        self.away = Some(std::thread::spawn(move || {
            let sent = sender.send(ready, now, &mut lease);
            Return { sender, sent }
        }));
    }
}

/// Whoever gives up a run sends nothing after it: somebody else may write by then.
impl Drop for Courier {
    fn drop(&mut self) {
        self.is_given_up.store(true, Ordering::Release);
        // What became of the load nobody wants to know.
        self.away.take().map(JoinHandle::join);
    }
}

/// A lease that ends when nobody waits for what is sent.
struct WhileAwaited {
    lease: Box<dyn Lease + Send>,
    is_given_up: Arc<AtomicBool>,
}

impl Lease for WhileAwaited {
    fn limit(&mut self) -> Option<Duration> {
        self.lease.limit().filter(|_| !self.is_given_up.load(Ordering::Acquire))
    }

    fn note_trouble(&mut self, error: &InfluxError) {
        self.lease.note_trouble(error);
    }

    fn is_hurried(&self) -> bool {
        self.lease.is_hurried()
    }
}
