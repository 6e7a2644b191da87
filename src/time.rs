//! Points and lengths of time: `i64` microseconds since the epoch, UTC; how they are read and written.
//!
//! Knows nothing of windows and watermarks, and never reads a clock: who needs one is given a [`Clock`].

mod argument;
mod duration;
mod format;
mod rfc3339;

pub use crate::time::format::TimeFormat;
pub use crate::time::rfc3339::parse_rfc3339;

/// A point in time: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before every event: the watermark of a partition that has shown nothing.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every event: the watermark at the end of input, and the end of the global window.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
    /// 0000-01-01T00:00:00Z, the earliest time that is ever read from text or a number.
    pub const EARLIEST: Timestamp = Timestamp(-62_167_219_200_000_000);
    /// The last microsecond of the year 9999, the latest time that is ever read from text or a number.
    pub const LATEST: Timestamp = Timestamp(253_402_300_799_999_999);
}

impl std::fmt::Display for Timestamp {
    /// As [`Timestamp::write_rfc3339`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::with_capacity(32);
        self.write_rfc3339(&mut text);
        f.write_str(std::str::from_utf8(&text).expect("digits and signs are ASCII"))
    }
}

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

/// A half-open span of event time: `start` belongs to it, `end` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Compared first, because rows come in order of their window's end.
    pub end: Timestamp,
    /// First instant of the window.
    pub start: Timestamp,
}

impl Window {
    /// The window over everything. It fires at the end of input.
    pub const GLOBAL: Window = Window { end: Timestamp::MAX, start: Timestamp::MIN };

    /// The window `[start, end)`.
    pub fn new(start: Timestamp, end: Timestamp) -> Window {
        debug_assert!(start < end, "empty window [{start:?}, {end:?})");
        Window { end, start }
    }

    /// Its length in seconds; `None` where it has no bounds.
    pub fn seconds(self) -> Option<f64> {
        (self.start > Timestamp::MIN && self.end < Timestamp::MAX).then(|| (self.end.0 - self.start.0) as f64 / 1e6)
    }
}

/// Where the present time comes from: the machine's clock in a program, a fixed or stepped one in a test.
pub trait Clock: Send + Sync {
    /// The present time. May stand still or go back, as the machine's clock may.
    fn now(&self) -> Timestamp;
}

/// A text or number that is no time, or no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a date and time as RFC 3339 writes them.
    #[error("'{text}' is no RFC 3339 time: {reason}")]
    Rfc3339 {
        /// What was read.
        text: String,
        /// The first rule that it breaks.
        reason: &'static str,
    },
    /// Not a number of seconds, milliseconds, microseconds or nanoseconds since the epoch.
    #[error("'{text}' is no epoch time: {reason}")]
    Epoch {
        /// What was read.
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// Not a length of time.
    #[error("'{text}' is no length of time: {reason}\nwrite it as '90s', '5m', '7d', '250ms', '10us' or '1h30m'")]
    Duration {
        /// What was read.
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// Not a format of times.
    #[error("'{text}' is no time format\nuse one of 'auto', 'rfc3339', 's', 'ms', 'us' and 'ns'")]
    Format {
        /// What was read.
        text: String,
    },
    /// Not a time as flags take it.
    #[error(
        "'{text}' is no time\nwrite it as '2026-02-16T10:30:00Z', '2026-02-16', an epoch number, '-1h' (before now) or 'now'"
    )]
    Argument {
        /// What was read.
        text: String,
    },
}

/// What a message shows of a value: its text, cut where it gets long.
pub(crate) fn excerpt(text: &[u8]) -> String {
    const BYTES_SHOWN: usize = 64;
    let shown = String::from_utf8_lossy(&text[..text.len().min(BYTES_SHOWN)]);
    if text.len() > BYTES_SHOWN { format!("{shown}…") } else { shown.into_owned() }
}
