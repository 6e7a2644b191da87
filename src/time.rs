//! Points and lengths of time: `i64` microseconds since the epoch, UTC; how they are read and written.
//!
//! Knows nothing of windows and watermarks, and reads no clock.

/// A point in time: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before every event: the watermark of a partition that has shown nothing.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every event: the watermark at the end of input, and the end of the global window.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with milliseconds, or six digits when the last three are not zero.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(time) = chrono::DateTime::from_timestamp_micros(self.0) else {
            return write!(f, "{}us", self.0);
        };
        let digits = if self.0 % 1000 == 0 { chrono::SecondsFormat::Millis } else { chrono::SecondsFormat::Micros };
        f.write_str(&time.to_rfc3339_opts(digits, true))
    }
}

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

/// Tells what time it is. The core never asks; the edges are handed one, so that tests can hold it still.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

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
}
