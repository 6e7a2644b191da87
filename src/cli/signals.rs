//! SIGINT and SIGTERM: the first asks the program to stop reading and to finish what it has, the second ends it at once.
//!
//! SIGPIPE needs nothing: Rust ignores it, and a write to a pipe without a reader is `SinkError::Closed`. Does not know what
//! finishing means.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::exit::ExitCode;
use crate::sink::temporary;
use crate::source::Waker;

/// Whether the program was asked to stop.
#[derive(Debug, Clone, Default)]
pub struct StopRequest {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first signal that came, 0 before.
    signal: AtomicI32,
    /// Whether one came, for those who need not know which.
    is_requested: Arc<AtomicBool>,
    wakers: Mutex<Vec<Waker>>,
}

impl StopRequest {
    /// A request that nobody has made and no signal will make: for tests, and programs without signals.
    pub fn new() -> StopRequest {
        StopRequest::default()
    }

    /// Listens to the signals from now on, on a thread of its own. To be called once in a process.
    pub fn listen() -> io::Result<StopRequest> {
        let request = StopRequest::new();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let listener = request.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if !listener.request(signal) {
                    // At once: no destructor, no flush; whoever asks twice means it. Only what nobody wants is removed.
                    temporary::give_up();
                    signal_hook::low_level::exit(code_of(signal) as i32);
                }
            }
        })?;
        Ok(request)
    }

    /// The code to end with once all is finished: `None` if nobody asked to stop.
    pub fn exit_code(&self) -> Option<ExitCode> {
        match self.state.signal.load(Ordering::Acquire) {
            0 => None,
            signal => Some(code_of(signal)),
        }
    }

    /// Becomes true with the first request.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.state.is_requested)
    }

    /// Lets a request end the waits of a source, at once if it was made before.
    pub fn wake_on_request(&self, waker: Waker) {
        let mut wakers = self.state.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.exit_code().is_some() {
            waker.wake();
        }
        wakers.push(waker);
    }

    /// Makes the request, as `signal` would. False if it was made before.
    pub fn request(&self, signal: i32) -> bool {
        let is_first = self.state.signal.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.state.is_requested.store(true, Ordering::Release);
        let wakers = self.state.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.iter().for_each(Waker::wake);
        is_first
    }
}

fn code_of(signal: i32) -> ExitCode {
    if signal == SIGINT { ExitCode::Interrupted } else { ExitCode::Terminated }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn check(signal: i32, expected: ExitCode) {
        let request = StopRequest::new();
        assert_eq!((request.exit_code(), request.flag().load(Ordering::Relaxed)), (None, false));
        assert!(request.request(signal));
        assert!(!request.request(SIGTERM), "the second request is told apart");
        assert!(request.flag().load(Ordering::Relaxed));
        assert_eq!(request.exit_code(), Some(expected), "the first signal decides the code");
    }

    #[test]
    fn the_first_signal_decides() {
        check(SIGINT, ExitCode::Interrupted);
        check(SIGTERM, ExitCode::Terminated);
    }

    #[test]
    fn sources_are_woken_whether_they_come_before_or_after() {
        let wakes = Arc::new(AtomicU32::new(0));
        let waker = || {
            let wakes = Arc::clone(&wakes);
            Waker::new(move || {
                wakes.fetch_add(1, Ordering::Relaxed);
            })
        };
        let request = StopRequest::new();
        request.wake_on_request(waker());
        assert_eq!(wakes.load(Ordering::Relaxed), 0);
        request.request(SIGINT);
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        request.wake_on_request(waker());
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_real_signal_is_heard() {
        let request = StopRequest::listen().unwrap();
        let (woken, wait) = std::sync::mpsc::channel();
        request.wake_on_request(Waker::new(move || woken.send(()).unwrap()));
        signal_hook::low_level::raise(SIGTERM).unwrap();
        wait.recv().unwrap();
        assert_eq!(request.exit_code(), Some(ExitCode::Terminated));
    }
}
