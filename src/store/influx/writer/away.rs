//! The half of a writer that sends, here or away: a load that is sent by a thread of its own leaves the caller free to make the next.
//!
//! Knows nothing of what is sent.

use std::thread::JoinHandle;

use crate::store::influx::deliver::{Lease, WriteError};
use crate::store::influx::writer::sender::{Ready, Sender};

/// Carries loads away, one at a time.
#[derive(Debug)]
pub(crate) struct Courier {
    /// `None` while it is away.
    here: Option<Box<Sender>>,
    away: Option<JoinHandle<Return>>,
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
        Courier { here: Some(Box::new(sender)), away: None }
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
    pub fn send_away(&mut self, ready: Ready, now: i64, mut lease: Box<dyn Lease + Send>) {
        let mut sender = self.here.take().expect("one load is under way at a time");
        self.away = Some(std::thread::spawn(move || {
            let sent = sender.send(ready, now, &mut *lease);
            Return { sender, sent }
        }));
    }
}
