//! What happened to every event: nothing is dropped uncounted.
//!
//! Knows nothing of how the counts are shown.

/// The fate of the events that one metric was shown. `in = used + filtered + rejected + late + no_window`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricCounts {
    /// Joined at least one window.
    pub used: u64,
    /// Dropped by `--where`.
    pub filtered: u64,
    /// Every window that they belong to was closed.
    pub late: u64,
    /// Fell into a gap between windows (slide > size).
    pub no_window: u64,
    /// Of those used: joined the group `"__other__"` because of `--max-groups`.
    pub overflowed: u64,
}

impl MetricCounts {
    /// What has been counted since these were.
    pub fn since(&self, before: &MetricCounts) -> MetricCounts {
        MetricCounts {
            used: self.used - before.used,
            filtered: self.filtered - before.filtered,
            late: self.late - before.late,
            no_window: self.no_window - before.no_window,
            overflowed: self.overflowed - before.overflowed,
        }
    }

    /// Events that the metric was shown.
    pub fn events(&self) -> u64 {
        self.used + self.filtered + self.late + self.no_window
    }
}

/// The fate of the lines of the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InputCounts {
    /// Lines that are events or rejects: in-band marks and blank lines are neither.
    pub events_in: u64,
    /// Lines that are no valid event, or hold no usable time.
    pub malformed: u64,
    /// Events dated more than `--max-future` after the reference clock.
    pub future: u64,
    /// In-band lines that another evkit program wrote: watermarks, stats.
    pub in_band: u64,
    /// Blank lines.
    pub blank: u64,
    /// Results that had no value: division by zero, an overflow, a wrong type. They became NULL.
    pub became_null: u64,
}

impl InputCounts {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, more: &InputCounts) {
        self.events_in += more.events_in;
        self.malformed += more.malformed;
        self.future += more.future;
        self.in_band += more.in_band;
        self.blank += more.blank;
        self.became_null += more.became_null;
    }

    /// Events that never reached a metric.
    pub fn rejected(&self) -> u64 {
        self.malformed + self.future
    }
}
