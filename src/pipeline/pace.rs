//! A clock that can be waited for. Its twin in tests stands still until it is waited for, so that nothing sleeps there.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Clock, Timestamp};

/// A clock that can be waited for.
pub trait Pacer: Clock {
    /// Returns when the clock shows `time` or later, or somewhat earlier when a signal came.
    fn sleep_until(&self, time: Timestamp);
}

/// The wall clock as it stood at the start, moved on by the monotonic one: never goes back, never jumps.
#[derive(Debug)]
pub struct WallPacer {
    begun: Instant,
    began_at: Timestamp,
}

impl WallPacer {
    /// Starts from the machine's clock.
    pub fn start() -> WallPacer {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallPacer { begun: Instant::now(), began_at: Timestamp(since_epoch.as_micros() as i64) }
    }
}

impl Clock for WallPacer {
    fn now(&self) -> Timestamp {
        Timestamp(self.began_at.0 + self.begun.elapsed().as_micros() as i64)
    }
}

impl Pacer for WallPacer {
    fn sleep_until(&self, time: Timestamp) {
        let micros = time.0.saturating_sub(self.now().0);
        if let Ok(micros) = u64::try_from(micros) {
            std::thread::sleep(std::time::Duration::from_micros(micros));
        }
    }
}
