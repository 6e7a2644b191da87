//! Which windows an event belongs to: tumbling, sliding, cumulative and global windows, on the instant axis or by a
//! civil calendar.
//!
//! All of these are *aligned*: their edges depend on the clock only, not on the data. Time between two consecutive edges
//! is a *slice*; every event of a slice belongs to the same windows, so events are folded once, into their slice, and
//! slices are merged when a window fires. Sessions follow the data and live in `crate::window::session`.
//! Knows nothing of watermarks, lateness and accumulators.

use chrono::{Datelike, MappedLocalTime, NaiveDate, TimeZone};
use chrono_tz::Tz;

use crate::time::{Duration, Timestamp, Window};

const DAY: i64 = 86_400_000_000;

/// Assigns instants to slices and slices to windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Assigner {
    shape: Shape,
    axis: Axis,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// Windows of `size` units that start at every multiple of `slide` units. Tumbling windows have slide = size.
    Sliding { size: i64, slide: i64 },
    /// Windows that start at every unit of the axis and end at every `step` microseconds until the next unit.
    Cumulative { step: i64 },
    /// One window over everything.
    Global,
}

/// Instants counted in units. Unit numbers rise with time; unit `i` spans `[instant(i), instant(i + 1))`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Axis {
    /// Units of equal length since `offset`.
    Instant { unit: i64, offset: i64 },
    /// Runs of `days` civil days of a time zone since 1970-01-01, each begun at local midnight plus `offset`.
    Civil { days: i64, offset: i64, zone: Tz },
}

/// Why a window can't be built.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum AssignerError {
    /// A length that must be greater than zero is not.
    #[error("a window's {0} must be greater than zero")]
    NotPositive(&'static str),
    /// A cumulative window whose size is not a multiple of its step.
    #[error("the size of a cumulative window must be a multiple of its step")]
    NotMultiple,
    /// Windows by a civil calendar last whole days.
    #[error("windows in a time zone must last whole days; shorter windows are the same in every zone")]
    NotWholeDays,
}

/// On which calendar windows are aligned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// Added to every edge.
    pub offset: Duration,
    /// Follow the civil days of this zone; windows must then last whole days.
    pub zone: Option<Tz>,
}

impl Alignment {
    /// To the epoch, UTC.
    pub const EPOCH: Alignment = Alignment { offset: Duration(0), zone: None };

    fn axis(self, unit: i64) -> Result<Axis, AssignerError> {
        match self.zone {
            None => Ok(Axis::Instant { unit, offset: self.offset.0 }),
            Some(_) if unit % DAY != 0 => Err(AssignerError::NotWholeDays),
            Some(zone) => Ok(Axis::Civil { days: unit / DAY, offset: self.offset.0, zone }),
        }
    }
}

impl Assigner {
    /// Windows of `size`, one after the other.
    pub fn tumbling(size: Duration, alignment: Alignment) -> Result<Assigner, AssignerError> {
        positive(size, "size")?;
        Ok(Assigner { shape: Shape::Sliding { size: 1, slide: 1 }, axis: alignment.axis(size.0)? })
    }

    /// Windows of `size` that start every `slide`. Neither need be a multiple of the other; a slide greater than the size
    /// leaves gaps, in which events belong to no window.
    pub fn sliding(size: Duration, slide: Duration, alignment: Alignment) -> Result<Assigner, AssignerError> {
        positive(size, "size")?;
        positive(slide, "slide")?;
        let unit = if alignment.zone.is_some() { DAY } else { greatest_common_divisor(size.0, slide.0) };
        if size.0 % unit != 0 || slide.0 % unit != 0 {
            return Err(AssignerError::NotWholeDays);
        }
        let shape = Shape::Sliding { size: size.0 / unit, slide: slide.0 / unit };
        Ok(Assigner { shape, axis: alignment.axis(unit)? })
    }

    /// Windows that start every `size` and fire at every `step` until they are full. On a civil calendar steps are
    /// counted from the window's start, and the last one of a short or long day is cut or added.
    pub fn cumulative(size: Duration, step: Duration, alignment: Alignment) -> Result<Assigner, AssignerError> {
        positive(size, "size")?;
        positive(step, "step")?;
        if size.0 % step.0 != 0 {
            return Err(AssignerError::NotMultiple);
        }
        Ok(Assigner { shape: Shape::Cumulative { step: step.0 }, axis: alignment.axis(size.0)? })
    }

    /// One window over everything; it fires at the end of input.
    pub fn global() -> Assigner {
        Assigner { shape: Shape::Global, axis: Axis::Instant { unit: DAY, offset: 0 } }
    }

    /// The slice that holds `time`, or `None` in a gap between windows.
    pub fn slice(&self, time: Timestamp) -> Option<Window> {
        match self.shape {
            Shape::Global => Some(Window::GLOBAL),
            Shape::Sliding { size, slide } => {
                let unit = self.axis.index(time);
                // Edges are the starts (multiples of the slide) and the ends (the same, plus the size).
                let (since_start, since_end) = (unit.rem_euclid(slide), (unit - size).rem_euclid(slide));
                if since_start >= size {
                    return None;
                }
                let start = unit - since_start.min(since_end);
                let end = unit + (slide - since_start).min(slide - since_end);
                Some(Window::new(self.axis.instant(start), self.axis.instant(end)))
            }
            Shape::Cumulative { step } => {
                let unit = self.axis.index(time);
                let (base, limit) = (self.axis.instant(unit).0, self.axis.instant(unit + 1).0);
                let start = base + (time.0 - base) / step * step;
                Some(Window::new(Timestamp(start), Timestamp((start + step).min(limit))))
            }
        }
    }

    /// Of the windows that hold `slice`, the one that ends first after `end`.
    ///
    /// Walks all windows of a slice in order when called again with each answer's end, from `Timestamp::MIN` on.
    pub fn window_after(&self, slice: Window, end: Timestamp) -> Option<Window> {
        match self.shape {
            Shape::Global => (end < Timestamp::MAX).then_some(Window::GLOBAL),
            Shape::Sliding { size, slide } => {
                // The window starts at a multiple of the slide, not after the slice does, and ends not before it.
                let end_least = self.axis.index(slice.end).max(self.axis.index(end.max(slice.start)) + 1);
                let start = -(size - end_least).div_euclid(slide) * slide;
                (start <= self.axis.index(slice.start))
                    .then(|| Window::new(self.axis.instant(start), self.axis.instant(start + size)))
            }
            Shape::Cumulative { step } => {
                let unit = self.axis.index(slice.start);
                let (base, limit) = (self.axis.instant(unit).0, self.axis.instant(unit + 1).0);
                let next = base + (end.0.clamp(base, limit) - base) / step * step + step;
                let next = next.max(slice.end.0).min(limit);
                (next > end.0).then(|| Window::new(Timestamp(base), Timestamp(next)))
            }
        }
    }

    /// The first edge after `time`: where a window may end next. `None` for the global window, which has no edges.
    pub fn edge_after(&self, time: Timestamp) -> Option<Timestamp> {
        match self.shape {
            Shape::Global => None,
            Shape::Cumulative { .. } => self.slice(time).map(|slice| slice.end),
            Shape::Sliding { size, slide } => {
                let unit = self.axis.index(time);
                let since_edge = |shift: i64| (unit - shift).rem_euclid(slide);
                Some(self.axis.instant(unit + (slide - since_edge(0)).min(slide - since_edge(size))))
            }
        }
    }
}

fn positive(length: Duration, what: &'static str) -> Result<(), AssignerError> {
    if length.0 > 0 { Ok(()) } else { Err(AssignerError::NotPositive(what)) }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Axis {
    /// The unit that holds `time`.
    fn index(&self, time: Timestamp) -> i64 {
        match *self {
            Axis::Instant { unit, offset } => time.0.saturating_sub(offset).div_euclid(unit),
            Axis::Civil { days, offset, .. } => {
                let mut unit = self.local_day(time.0.saturating_sub(offset)).div_euclid(days);
                // Where a zone skips midnight a day begins later than its date says: trust the edges alone.
                while self.instant(unit) > time {
                    unit -= 1;
                }
                while self.instant(unit + 1) <= time {
                    unit += 1;
                }
                unit
            }
        }
    }

    /// Where unit `index` begins.
    fn instant(&self, index: i64) -> Timestamp {
        match *self {
            Axis::Instant { unit, offset } => Timestamp(index.saturating_mul(unit).saturating_add(offset)),
            Axis::Civil { days, offset, zone } => Timestamp(local_midnight(index * days, zone).saturating_add(offset)),
        }
    }

    fn local_day(&self, micros: i64) -> i64 {
        let Axis::Civil { zone, .. } = *self else { unreachable!("only civil axes have local days") };
        match chrono::DateTime::from_timestamp_micros(micros) {
            Some(instant) => {
                i64::from(instant.with_timezone(&zone).date_naive().num_days_from_ce()) - i64::from(epoch_day())
            }
            None => micros.div_euclid(DAY),
        }
    }
}

fn epoch_day() -> i32 {
    NaiveDate::from_ymd_opt(1970, 1, 1).expect("the epoch is a date").num_days_from_ce()
}

/// The first instant of a civil day, counted from 1970-01-01. A midnight that the zone skips is moved to the first
/// instant after it, a repeated one is taken the first time, so that days neither overlap nor leave a gap.
fn local_midnight(day: i64, zone: Tz) -> i64 {
    let date = i32::try_from(day + i64::from(epoch_day())).ok().and_then(NaiveDate::from_num_days_from_ce_opt);
    let Some(date) = date else { return day.saturating_mul(DAY) };
    let mut local = date.and_hms_opt(0, 0, 0).expect("midnight is a time");
    loop {
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => {
                return instant.timestamp_micros();
            }
            MappedLocalTime::None => local += chrono::TimeDelta::minutes(1),
        }
    }
}
